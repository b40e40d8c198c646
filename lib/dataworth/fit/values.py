"""Rows that a law is fitted to, and numbers with their intervals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from dataworth.arrays import Array
from dataworth.errors import UserError

from .laws import Law

ACCURACY = re.compile(
    r"acc|top.?[15]\b|\bf1\b|auc|exact.?match|pass@|recall|precision|win.?rate", re.IGNORECASE
)


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
    """The rows that a law is fitted to: x (n,d), y (n,), weights (n,), cluster codes (n,); what the
    columns of x and y are called, for pictures and sentences."""

    x: Array
    y: Array
    weights: Array
    cluster: Any = None
    names: tuple[str, ...] = ()
    y_name: str = "loss"

    def most(self, of_law: float, rises: bool) -> float:
        """What y cannot exceed: the law's own most; of a column that is named an accuracy and
        rises 1 or 100; else infinity."""
        if not (rises and ACCURACY.search(self.y_name)):
            return of_law
        largest = float(self.y.max())
        return 1.0 if largest <= 1 else 100.0 if largest <= 100 else np.inf

    def refuse_above(self, most: float, law: Law, at: Array, value: float) -> NoReturn:
        """UserError: the law is above what y can be, at one point (d,)."""
        names = self.names or law.variables
        place = ", ".join(f"{name} = {v:.4g}" for name, v in zip(names, at, strict=True))
        step = f"fit {most:g}-{self.y_name}, which falls to a floor"
        if np.isfinite(law.most):
            step = "take law 'sigmoid', or stay nearer to the losses that were measured"
        raise UserError(
            f"Law {law.name!r} gives {self.y_name} = {value:.4g} at {place}, above {most:g}, the "
            f"most that it can be: {step}."
        )
