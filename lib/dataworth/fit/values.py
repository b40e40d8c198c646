"""Rows that a law is fitted to, and numbers with their intervals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataworth.arrays import Array


@dataclass(frozen=True)
class Interval:
    """A value with its interval; an end is infinite when the data do not close it.

    method: percentile, basic or bca (draws), profile, wald (sandwich covariance), delta (first
    order, covariance of the model), or none (there is no interval: both ends are open).
    """

    value: float
    low: float
    high: float
    level: float
    method: str

    @property
    def open(self) -> bool:
        return not (np.isfinite(self.low) and np.isfinite(self.high))

    def __iter__(self) -> Iterator[float]:
        return iter((self.low, self.high))

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Prediction:
    """Predictions (m,) with interval ends (m,) and, per point, whether x lies outside the data."""

    mean: Array
    low: Array
    high: Array
    level: float
    extrapolated: Any


@dataclass(frozen=True)
class Curve:
    """The rows that a law is fitted to: x (n,d), y (n,), weights (n,), cluster codes (n,)."""

    x: Array
    y: Array
    weights: Array
    cluster: Any = None
