"""Estimates with bootstrap draws: differences draw by draw, and the best of several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number and its interval; `draws` (B,) are bootstrap versions of it."""

    value: float
    low: float
    high: float
    draws: Array

    @property
    def interval(self) -> tuple[float, float]:
        return self.low, self.high

    def minus(self, other: Estimate) -> Estimate:
        """The difference, draw by draw: both were resampled on the same test examples."""
        return estimate(self.value - other.value, self.draws - other.draws)

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def estimate(value: float, draws: ArrayLike, level: float = 0.95) -> Estimate:
    """Percentile interval of the finite draws; NaN ends where fewer than half are finite."""
    draws = np.asarray(draws, dtype=float)
    finite = draws[np.isfinite(draws)]
    tail = (1 - level) / 2
    low, high = (np.nan, np.nan)
    if 2 * len(finite) >= len(draws) > 0:
        low, high = np.quantile(finite, [tail, 1 - tail])
    return Estimate(float(value), float(low), float(high), draws)


def best_of(estimates: Mapping[str, Estimate], level: float = 0.95) -> tuple[str, Estimate]:
    """Name of the largest of m estimates, and an interval of the largest true value.

    Picking the best of several arms favours luck. Each of the m intervals is therefore made at
    level 1 - (1 - level) / m (Bonferroni): all hold at once with `level`, and then the largest
    true value lies between the largest lower and the largest upper end.
    """
    best = max(estimates, key=lambda name: estimates[name].value)
    within = 1 - (1 - level) / len(estimates)
    wide = [estimate(e.value, e.draws, within) for e in estimates.values()]
    low, high = max(e.low for e in wide), max(e.high for e in wide)
    return best, Estimate(estimates[best].value, low, high, estimates[best].draws)
