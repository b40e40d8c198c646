"""Minima of parabolas, one a compute budget: the second approach of Hoffmann et al. 2022
(arXiv 2203.15556), with its bias measured beside a direct fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dataworth.arrays import Array
from dataworth.errors import UserError

from .minimum import student_quantile
from .values import Interval

SAME = 0.05  # relative distance below which two budgets are one


@dataclass(frozen=True)
class Valley:
    """The parabola of one budget. size: where it is least, of a run's tokens or parameters; loss:
    there; runs: rows it stands on; inside: the minimum lies between them. Without a minimum (the
    parabola opens downwards) size and loss are NaN and the interval is open."""

    budget: float
    size: Interval
    loss: float
    runs: int
    inside: bool


def isoflop(budget: Array, size: Array, loss: Array, *, level: float = 0.95) -> list[Valley]:
    """The least loss of each compute budget, by least squares of loss on log size and its square.

    budget, size, loss: (n,), one run a row; budgets within 5 % of each other are one. The interval
    is Fieller's (the location is a ratio of two coefficients), with one noise for all budgets.
    Besides the noise the location is biased where a budget's runs lie off its minimum or far from
    it: real valleys are no parabolas (Czech et al. 2026, arXiv 2603.22339).

    Raises:
        UserError: no budget has runs at three sizes.
    """
    groups = [rows for rows in budgets_of(budget) if len(np.unique(size[rows])) >= 3]
    if not groups:
        raise UserError(
            "No budget has runs at three sizes, which a parabola needs; budgets within 5 % of each "
            "other are taken as one."
        )
    fits = [_parabola(np.log(size[rows]), loss[rows]) for rows in groups]
    dof = sum(len(rows) - 3 for rows in groups)
    noise = sum(one.squares for one in fits) / dof if dof else np.nan
    quantile = student_quantile(level, dof) if dof else np.inf
    found = []
    for rows, one in zip(groups, fits, strict=True):
        at = float(np.median(budget[rows]))
        low, high = one.ends(noise, quantile) if dof else (-np.inf, np.inf)
        with np.errstate(over="ignore"):
            ends = (float(np.exp(low)), float(np.exp(high)))
        where = float(np.exp(one.location)) if one.curvature > 0 else np.nan
        inside = bool(size[rows].min() <= where <= size[rows].max())
        least = one.least if one.curvature > 0 else np.nan
        method = "fieller" if dof else "none"
        found.append(Valley(at, Interval(where, *ends, level, method), least, len(rows), inside))
    return found


def budgets_of(budget: Array) -> list[Array]:
    """Rows of each budget, (m,) indices, budgets ascending."""
    order = np.argsort(budget, kind="stable")
    steps = np.diff(np.log(budget[order])) > np.log1p(SAME)
    return np.split(order, np.flatnonzero(steps) + 1)


@dataclass(frozen=True)
class _Parabola:
    """loss = c0 + c1 v + c2 v^2 in v = u - centre, u = log size; inverse: (X'X)^-1."""

    centre: float
    c: Array
    inverse: Array
    squares: float

    @property
    def curvature(self) -> float:
        return float(self.c[2])

    @property
    def location(self) -> float:
        return self.centre - float(self.c[1] / (2 * self.c[2]))

    @property
    def least(self) -> float:
        return float(self.c[0] - self.c[1] ** 2 / (4 * self.c[2]))

    def ends(self, noise: float, quantile: float) -> tuple[float, float]:
        """Fieller's interval of the location: v with (c1 + 2 c2 v)^2 <= t^2 var(c1 + 2 c2 v)."""
        v = quantile**2 * noise * self.inverse[1:, 1:]
        c1, c2 = self.c[1], self.c[2]
        square, mixed, plain = 4 * (c2**2 - v[1, 1]), 4 * (c1 * c2 - v[0, 1]), c1**2 - v[0, 0]
        inner = mixed**2 - 4 * square * plain
        if not (c2 > 0 and square > 0 and inner >= 0):
            return -np.inf, np.inf
        half = float(np.sqrt(inner))
        return tuple(self.centre + (-mixed + s * half) / (2 * square) for s in (-1, 1))


def _parabola(u: Array, loss: Array) -> _Parabola:
    centre = float(u.mean())
    v = u - centre
    design = np.stack([np.ones_like(v), v, v**2], 1)
    c: Array = np.linalg.lstsq(design, loss, rcond=None)[0].astype(float)
    inverse: Array = np.linalg.pinv(design.T @ design).astype(float)
    return _Parabola(centre, c, inverse, float(((loss - design @ c) ** 2).sum()))
