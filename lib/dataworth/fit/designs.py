"""Which further runs would settle a parameter: designs of one size or of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from dataworth.arrays import Array
from dataworth.errors import UserError

from .minimum import student_quantile
from .result import Fit


@dataclass(frozen=True)
class Advice:
    """Runs, equally many at each of `sizes`, that would narrow an interval to the wanted half
    width; runs: all of them together."""

    sizes: tuple[tuple[float, ...], ...]
    runs: int
    half_width: float

    @property
    def x(self) -> tuple[float, ...]:
        """The size of a design of one."""
        return self.sizes[0]


@dataclass(frozen=True)
class _Design:
    """What runs at some sizes would do to the variance of a scalar, to first order: the covariance
    of the present fit is updated by further rows with the present noise (Fedorov 1972).

    now: present variance; shared (k,): covariance of the scalar with the mean at each size; own
    (k,k): covariance of the means; noise: variance of a run; quantile: half width of an interval
    over its standard deviation.
    """

    now: float
    shared: Array
    own: Array
    noise: float
    quantile: float

    def half_width(self, runs: float) -> float:
        """After `runs` more runs at each size."""
        if not runs:
            return self.quantile * float(np.sqrt(self.now))
        spread = self.own + self.noise / runs * np.eye(len(self.own))
        gained = float(self.shared @ np.linalg.lstsq(spread, self.shared, rcond=None)[0])
        return self.quantile * float(np.sqrt(max(self.now - gained, 0.0)))


def _design(fitted: Fit, name: str, sizes: Sequence[Any], level: float) -> tuple[_Design, Array]:
    at = fitted.minimum
    slope = at.tangent(fitted.parameter(name))[2]
    noise, dof = at.noise(slope)
    covariance = noise * at.inverse
    points = np.concatenate([fitted.points(size) for size in sizes])
    slopes = at.problem.slopes(at.z, points / np.exp(fitted.log_x0))
    own = slopes @ covariance @ slopes.T
    now = float(slope @ covariance @ slope)
    quantile = student_quantile(level, dof)
    return _Design(now, slopes @ covariance @ slope, own, float(noise), quantile), points


def half_width_after(
    fitted: Fit, name: str, sizes: Sequence[Any], runs: int, *, level: float = 0.95
) -> float:
    """Half width of a parameter's interval after `runs` more runs at each of the sizes, to first
    order, in the unit of `more_runs`; 0 runs: now."""
    return _design(fitted, name, sizes, level)[0].half_width(runs)


def more_runs(
    fitted: Fit,
    name: str,
    half_width: float,
    sizes: Sequence[Any],
    *,
    level: float = 0.95,
    most: int = 10_000,
    together: int = 1,
) -> list[Advice]:
    """How many more runs, of which sizes, would settle a parameter, fewest runs first.

    First-order design: the covariance of the present fit is updated by further rows with the
    present noise (Fedorov 1972). half_width and the answer are in the parameter's unit, for
    positive parameters other than floors in relative (log) units. together: most sizes of one
    design, which are run equally often. Designs that cannot reach the width with `most` runs are
    left out; `half_width_after` says what they reach.

    Raises:
        UserError: the half width is not positive.
    """
    if not half_width > 0:
        raise UserError(f"half_width is {half_width!r}; a positive number is needed.")
    whole, points = _design(fitted, name, sizes, level)
    advice = []
    for count in range(1, min(together, len(points)) + 1):
        for chosen in map(list, combinations(range(len(points)), count)):
            own = whole.own[np.ix_(chosen, chosen)]
            one = _Design(whole.now, whole.shared[chosen], own, whole.noise, whole.quantile)
            runs = _fewest(one, half_width, most // count)
            if runs is not None:
                at = tuple(tuple(point) for point in points[chosen].tolist())
                advice.append(Advice(at, runs * count, one.half_width(runs)))
    return sorted(advice, key=lambda a: (a.runs, len(a.sizes)))


def _fewest(design: _Design, wanted: float, most: int) -> int | None:
    """Fewest runs a size that reach a half width; None if `most` do not."""
    if design.half_width(0) <= wanted:
        return 0
    if not design.half_width(most) <= wanted:
        return None
    low, high = 0, most  # the width falls with the runs
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if design.half_width(middle) <= wanted else (middle, high)
    return high
