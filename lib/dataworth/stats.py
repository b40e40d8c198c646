"""Estimates with bootstrap draws: over examples and seeds, differences draw by draw, the best of
several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
CHUNK = 100  # draws per matrix product


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
        value, low, high = (round(x, 9) for x in (self.value, self.low, self.high))  # no -5e-16
        return f"{value:.3g} [{low:.3g}, {high:.3g}]"


def estimate(value: float, draws: ArrayLike, level: float = 0.95) -> Estimate:
    """Percentile interval of the finite draws; NaN ends where fewer than half are finite."""
    draws = np.asarray(draws, dtype=float)
    finite = draws[np.isfinite(draws)]
    tail = (1 - level) / 2
    low, high = (np.nan, np.nan)
    if 2 * len(finite) >= len(draws) > 0:
        low, high = np.quantile(finite, [tail, 1 - tail])
    return Estimate(float(value), float(low), float(high), draws)


def grid(cells: Sequence[Sequence[Estimate]]) -> tuple[Array, NDArray[np.bool_]]:
    """Values of a table of estimates, and where the interval leaves out zero."""
    clear = [[e.low > 0 or e.high < 0 for e in row] for row in cells]
    return np.array([[e.value for e in row] for row in cells]), np.array(clear)


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


def over_examples(
    values: Array,
    *,
    resamples: int,
    seed: int,
    sizes: ArrayLike | None = None,
    rows: NDArray[np.intp] | None = None,
) -> Array:
    """Bootstrap versions (B, m) of the means of `values` (m, N) over N examples.

    Examples are drawn with replacement; draw b takes the same ones for equal N and `seed`, whatever
    the values. `sizes` (N,): the sum of the values over the sum of the sizes instead of a mean.
    `rows`: positions of the examples to average over (those of one class); they are resampled as
    they are within the whole set, and a draw that holds none of them is NaN.
    """
    counts = example_counts(values.shape[1], resamples, seed)
    below = np.ones(values.shape[1]) if sizes is None else np.asarray(sizes, dtype=float)
    if rows is not None:
        values, below = values[:, rows], below[rows]
    drawn = np.empty((resamples, len(values)))
    for start in range(0, resamples, CHUNK):
        weights = counts[start : start + CHUNK]
        weights = (weights if rows is None else weights[:, rows]).astype(np.float64)
        with np.errstate(invalid="ignore"):
            drawn[start : start + CHUNK] = (weights @ values.T) / (weights @ below)[:, None]
    return drawn


def over_seeds(values: Array, *, seed: int = 0, arm: int = 0) -> Array:
    """Bootstrap versions (B, ...) of means over S seeds; `values` (B, ..., S) are their versions
    over examples (`over_examples`).

    Seeds are drawn with replacement, by `arm`: arms of one number draw the same (give paired arms
    one number). Deviations from the seeds' mean are widened by sqrt(S / (S - 1)), without which S
    resampled seeds understate their variance; one seed gives an interval over examples alone.
    """
    count = values.shape[-1]
    widen = np.sqrt(count / (count - 1)) if count > 1 else 1.0
    pick = np.random.default_rng([seed, 6, arm]).integers(count, size=values.shape)
    middle = values.mean(-1)
    return np.asarray(middle + widen * (np.take_along_axis(values, pick, -1).mean(-1) - middle))


@lru_cache(maxsize=2)
def example_counts(examples: int, resamples: int, seed: int) -> NDArray[np.uint8]:
    """How often each draw takes each example, (B, N)."""
    rng = np.random.default_rng([seed, 5])
    even = np.full(examples, 1 / examples)
    counts = [rng.multinomial(examples, even).astype(np.uint8) for _ in range(resamples)]
    return np.stack(counts)
