"""Resamples of a fit's rows: counts for the case and cluster bootstrap, targets for the wild one,
or targets and multipliers that were given."""

from __future__ import annotations

from typing import Any

import numpy as np

from dataworth.arrays import Array
from dataworth.errors import UserError

from .result import Fit
from .table import numbers

KINDS = ("case", "cluster", "wild")
# Webb (2014) six-point weights: mean 0, variance 1, finer than Rademacher signs for few clusters
WEBB = np.sqrt(np.array([0.5, 1.0, 1.5]))
WEBB = np.concatenate([-WEBB, WEBB])


def given(
    y: Array, draws: Any, multipliers: Any, minimum: float | None
) -> tuple[Array, Array] | None:
    """Targets and multipliers (B,n) from outside for the rows y (n,); none if neither is given.

    minimum: what targets must exceed.
    """
    parts = {"draws": draws, "multipliers": multipliers}
    arrays = {name: np.asarray(a, float) for name, a in parts.items() if a is not None}
    if not arrays:
        return None
    for name, array in arrays.items():
        if array.ndim != 2 or array.shape[1] != len(y):
            raise UserError(f"{name} has shape {array.shape}; (B, {len(y)}) is needed.")
    shapes = [array.shape for array in arrays.values()]
    if shapes[0] != shapes[-1]:
        raise UserError(f"draws {shapes[0]} and multipliers {shapes[1]} must have one shape.")
    targets = arrays.get("draws", np.broadcast_to(y, shapes[0]))
    counts = arrays.get("multipliers", np.ones(shapes[0]))
    numbers(targets.ravel(), "draws", minimum)
    numbers(counts.ravel(), "multipliers", 0.0, strict=False)
    return targets, counts


def kind_of(bootstrap: int, resample: str | None, seed: int, *, clustered: bool) -> str | None:
    """The scheme of own resamples, by default that of the clusters; none for `bootstrap` = 0.

    Raises:
        UserError: a number is not whole or negative, or the scheme is unknown or lacks clusters.
    """
    for name, value in (("bootstrap", bootstrap), ("seed", seed)):
        if not isinstance(value, int | np.integer) or value < 0:
            raise UserError(f"{name} is {value!r}; a whole number of 0 or more is needed.")
    if not bootstrap:
        return None
    kind = resample or ("cluster" if clustered else "case")
    if kind not in KINDS:
        raise UserError(f"resample is {kind!r}; allowed are {', '.join(KINDS)}.")
    if kind == "cluster" and not clustered:
        raise UserError("resample is 'cluster'; it needs cluster, the column of the clusters.")
    return kind


def own(result: Fit, curves: Any, bootstrap: int, kind: str, seed: int) -> tuple[Array, Array]:
    """Targets and multipliers (B,n) by one of `KINDS`; curves: number of each row's curve."""
    cluster, y, n = result.curve.cluster, result.curve.y, result.n
    codes = np.arange(n) if cluster is None or kind == "case" else cluster
    if kind == "wild":
        return wild_targets(result, codes, bootstrap, seed), np.ones((bootstrap, n))
    # cases are sampled within each curve, so that no resample loses one
    strata = curves if kind == "case" else None
    return np.broadcast_to(y, (bootstrap, n)), multiplier_matrix(codes, bootstrap, seed, strata)


def multiplier_matrix(codes: Any, draws: int, seed: int, strata: Any = None) -> Array:
    """How often each row enters each resample, (B,n).

    Rows with one code are sampled together; codes are sampled within each stratum.
    """
    rng = np.random.default_rng(seed)
    out = np.empty((draws, len(codes)))
    strata = np.zeros(len(codes), int) if strata is None else strata
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        groups_of = np.unique(codes[rows], return_inverse=True)[1]
        groups = int(groups_of.max()) + 1
        picks = rng.integers(groups, size=(draws, groups)) + np.arange(draws)[:, None] * groups
        counts = np.bincount(picks.ravel(), minlength=draws * groups).reshape(draws, groups)
        out[:, rows] = counts[:, groups_of]
    return out


def wild_targets(fit: Fit, codes: Any, draws: int, seed: int) -> Array:
    """Fitted values plus residuals with random weights, one weight a cluster; y (B,n).

    Residuals are enlarged by sqrt(n / (n - p)): the fit absorbed the rest of the noise.
    """
    r = fit.residuals()
    n, free = len(r), fit.free
    rng = np.random.default_rng(seed)
    signs = WEBB[rng.integers(len(WEBB), size=(draws, int(codes.max()) + 1))][:, codes]
    objective = fit.settings.objective
    centre = objective.transform(fit.curve.y) + r
    return objective.inverse(centre - signs * r * np.sqrt(n / max(n - free, 1)))
