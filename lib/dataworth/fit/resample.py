"""Resampling schemes as arrays: counts for the case and cluster bootstrap, targets for the wild."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .laws import Array

if TYPE_CHECKING:
    from .model import Fit

# Webb (2014) six-point weights: mean 0, variance 1, finer than Rademacher signs for few clusters
WEBB = np.sqrt(np.array([0.5, 1.0, 1.5]))
WEBB = np.concatenate([-WEBB, WEBB])


def multiplier_matrix(codes: Any, draws: int, seed: int, strata: Any = None) -> Array:
    """How often each row enters each resample, (B,n).

    Rows with one code are drawn together; codes are drawn within each stratum.
    """
    rng = np.random.default_rng(seed)
    out = np.empty((draws, len(codes)))
    strata = np.zeros(len(codes), int) if strata is None else strata
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        own = np.unique(codes[rows], return_inverse=True)[1]
        groups = int(own.max()) + 1
        picks = rng.integers(groups, size=(draws, groups)) + np.arange(draws)[:, None] * groups
        counts = np.bincount(picks.ravel(), minlength=draws * groups).reshape(draws, groups)
        out[:, rows] = counts[:, own]
    return out


def wild_targets(fit: Fit, codes: Any, draws: int, seed: int) -> Array:
    """Fitted values plus residuals with random weights, one weight a cluster; y (B,n).

    Residuals are enlarged by sqrt(n / (n - p)), the share of noise that the fit absorbed.
    """
    r = fit.residuals()
    n, free = len(r), fit.free
    rng = np.random.default_rng(seed)
    signs = WEBB[rng.integers(len(WEBB), size=(draws, int(codes.max()) + 1))][:, codes]
    objective = fit.settings.objective
    centre = objective.transform(fit.curve.y) + r
    return objective.inverse(centre - signs * r * np.sqrt(n / max(n - free, 1)))
