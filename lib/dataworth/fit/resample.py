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


def multiplier_matrix(codes: Any, draws: int, seed: int) -> Array:
    """How often each row enters each resample, (B,n); rows with one code are drawn together."""
    groups = int(codes.max()) + 1
    rng = np.random.default_rng(seed)
    picks = rng.integers(groups, size=(draws, groups))
    picks += np.arange(draws)[:, None] * groups
    counts = np.bincount(picks.ravel(), minlength=draws * groups).reshape(draws, groups)
    return counts[:, codes].astype(float)


def wild_targets(fit: Fit, codes: Any, draws: int, seed: int) -> Array:
    """Fitted values plus residuals with random weights, one weight a cluster; y (B,n).

    Residuals are enlarged by sqrt(n / (n - p)), the share of noise that the fit absorbed.
    """
    r = fit.residuals()
    n, free = len(r), len(fit.law.params) - len(fit.settings.fixed) - len(fit.settings.tied)
    rng = np.random.default_rng(seed)
    signs = WEBB[rng.integers(len(WEBB), size=(draws, int(codes.max()) + 1))][:, codes]
    objective = fit.settings.objective
    centre = objective.transform(fit.curve.y) + r
    return objective.inverse(centre - signs * r * np.sqrt(n / max(n - free, 1)))
