"""Every interval, correlation and bootstrap of the book, once.

An `Estimate` carries its bootstrap draws, so that differences and ratios are taken draw by draw.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.arrays import Array
from dataworth.errors import UserError

CHUNK = 100  # draws per matrix product
RANK_CHUNK = 1 << 21  # elements ranked at a time


@dataclass(frozen=True)
class Estimate:
    """A number and its interval; `draws` (B,) are bootstrap versions of it. unmeasurable: a
    sentence why no outcome of this design could decide a claim on it."""

    value: float
    low: float
    high: float
    draws: Array
    unmeasurable: str = ""

    @property
    def interval(self) -> tuple[float, float]:
        return self.low, self.high

    def minus(self, other: Estimate) -> Estimate:
        """The difference, draw by draw: both were resampled on the same test examples."""
        return self._with(other, self.value - other.value, self.draws - other.draws)

    def over(self, other: Estimate) -> Estimate:
        """The ratio, draw by draw."""
        return self._with(other, self.value / other.value, self.draws / other.draws)

    def times(self, factor: float) -> Estimate:
        """The estimate in another unit; factor above zero."""
        value, low, high = (factor * x for x in (self.value, *self.interval))
        return Estimate(value, low, high, factor * self.draws, self.unmeasurable)

    def _with(self, other: Estimate, value: float, draws: Array) -> Estimate:
        """What is made of two estimates is as little measurable as either."""
        return replace(estimate(value, draws), unmeasurable=_reasons((self, other)))

    def side(self, of: float = 0.0) -> int:
        """1 where the interval lies above `of`, -1 below, 0 where it holds it."""
        return int(self.low > of) - int(self.high < of)

    def evidence(self) -> dict[str, float]:
        """What a ledger keeps of it: `value`, `low`, `high`."""
        return {"value": self.value, "low": self.low, "high": self.high}

    def __str__(self) -> str:
        if self.value != self.value:
            return "not measured"
        value, low, high = (round(x, 9) for x in (self.value, self.low, self.high))  # no -5e-16
        return f"{value:.3g} [{low:.3g}, {high:.3g}]"


def check_level(level: float) -> None:
    """Raises UserError unless 0 < level < 1."""
    if not 0 < level < 1:
        raise UserError(f"level={level} must lie between 0 and 1, such as 0.95.")


def interval(draws: ArrayLike, level: float = 0.95) -> tuple[Any, Any]:
    """Equal-tailed percentile interval of draws over axis 0: numbers for (B,), arrays (m,) for
    (B, m).

    Quantiles are interpolated linearly (numpy's default, Hyndman and Fan's type 7). NaN draws
    identify nothing and are left out; both ends are NaN where they are more than half. Infinite
    draws are kept: an end that falls beside one is infinite.
    """
    check_level(level)
    draws = np.asarray(draws, dtype=float)
    count = (~np.isnan(draws)).sum(0)
    known = (2 * count >= len(draws)) & (count > 0)
    if not len(draws):
        return np.full(draws.shape[1:], np.nan)[()], np.full(draws.shape[1:], np.nan)[()]
    ordered = np.sort(draws, axis=0)  # NaN last

    def at(q: float) -> Any:
        place = q * np.maximum(count - 1, 0)
        low, high = np.floor(place).astype(int), np.ceil(place).astype(int)
        a, b = (np.take_along_axis(ordered, np.expand_dims(i, 0), 0)[0] for i in (low, high))
        t = place - low
        outer = a if q < 0.5 else b
        with np.errstate(invalid="ignore"):
            # numpy's own two branches, so that all-finite draws give np.quantile's bits.
            between = np.where(t < 0.5, a + (b - a) * t, b - (b - a) * (1 - t))
        between = np.where(np.isfinite(a) & np.isfinite(b), between, outer)
        return np.where(known, between, np.nan)[()]

    return at((1 - level) / 2), at(1 - (1 - level) / 2)


def estimate(value: float, draws: ArrayLike, level: float = 0.95) -> Estimate:
    """A value with the percentile interval of its draws (`interval`)."""
    draws = np.asarray(draws, dtype=float)
    low, high = interval(draws, level)
    return Estimate(float(value), float(low), float(high), draws)


def not_measured(sentence: str) -> Estimate:
    """An estimate of nothing, and why."""
    return Estimate(np.nan, np.nan, np.nan, np.empty(0), sentence)


def mean(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of several estimates, draw by draw."""
    value = float(np.mean([e.value for e in estimates]))
    found = estimate(value, np.mean([e.draws for e in estimates], axis=0))
    return replace(found, unmeasurable=_reasons(estimates))


def _reasons(estimates: Iterable[Estimate]) -> str:
    """All sentences of `unmeasurable`, each once."""
    return " ".join(dict.fromkeys(e.unmeasurable for e in estimates if e.unmeasurable))


def first_and_rest(values: Array) -> Estimate:
    """An estimate from an array that holds the value first and its bootstrap versions after it."""
    return estimate(values[0], values[1:])


def grid(cells: Sequence[Sequence[Estimate]]) -> tuple[Array, NDArray[np.bool_]]:
    """Values of a table of estimates, and where the interval excludes zero."""
    clear = [[e.low > 0 or e.high < 0 for e in row] for row in cells]
    return np.array([[e.value for e in row] for row in cells]), np.array(clear)


def best_of(estimates: Mapping[str, Estimate], level: float = 0.95) -> tuple[str, Estimate]:
    """Name of the largest of m estimates, and an interval of the largest true value.

    Picking the best of several arms favours luck. Each of the m intervals is therefore made at
    level 1 - (1 - level) / m (Bonferroni): all hold at once with `level`, and then so does the
    interval from the highest of their lower ends to the highest of their upper ends.
    """
    best = max(estimates, key=lambda name: estimates[name].value)
    within = 1 - (1 - level) / len(estimates)
    wide = [estimate(e.value, e.draws, within) for e in estimates.values()]
    low, high = max(e.low for e in wide), max(e.high for e in wide)
    return best, Estimate(
        estimates[best].value, low, high, estimates[best].draws, _reasons(estimates.values())
    )


def over_examples(
    values: Array,
    *,
    resamples: int,
    seed: int,
    sizes: ArrayLike | None = None,
    rows: NDArray[np.intp] | None = None,
) -> Array:
    """Bootstrap versions (B, m) of the means of `values` (m, N) over N examples.

    Examples are sampled with replacement; draw b takes the same ones for equal N and `seed`,
    whatever the values. `sizes` (N,): the sum of the values over the sum of the sizes instead of a
    mean. `rows`: positions of the examples to average over (those of one class); they are
    resampled as they are within the whole set, and a draw that holds none of them is NaN.
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


@lru_cache(maxsize=2)
def example_counts(examples: int, resamples: int, seed: int) -> NDArray[np.uint8]:
    """How often each draw takes each example, (B, N)."""
    rng = np.random.default_rng([seed, 5])
    even = np.full(examples, 1 / examples)
    counts = [rng.multinomial(examples, even).astype(np.uint8) for _ in range(resamples)]
    return np.stack(counts)


# ---- Correlations -------------------------------------------------------------------------------


def correlation(x: ArrayLike, y: ArrayLike, *, rank: bool = False) -> Array:
    """Pearson's correlation along the last axis, or Spearman's (`rank`; ties share their mean
    rank); x and y broadcast. NaN where one of them does not vary."""
    a, b = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
    if rank:
        from scipy.stats import rankdata  # two seconds to import

        a, b = rankdata(a, axis=-1), rankdata(b, axis=-1)
    a = a - a.mean(-1, keepdims=True)
    b = b - b.mean(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((a * b).sum(-1) / np.sqrt((a**2).sum(-1) * (b**2).sum(-1)))


def rank_correlation(x: ArrayLike, y: ArrayLike, level: float = 0.95) -> Estimate:
    """Spearman's correlation of n classes and the interval of Bonett and Wright (2000).

    tanh(atanh(r) +- z sqrt((1 + r^2 / 2) / (n - 3))): the classes are taken as a sample of
    concepts, so ten of them say little. NaN if all values are equal or n < 4.
    """
    from scipy import stats

    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    known = np.isfinite(x) & np.isfinite(y)
    n, empty = int(known.sum()), np.empty(0)
    if n < 4 or np.ptp(x[known]) == 0 or np.ptp(y[known]) == 0:
        return Estimate(np.nan, np.nan, np.nan, empty)
    r = float(stats.spearmanr(x[known], y[known]).statistic)
    centre = np.arctanh(np.clip(r, -0.999, 0.999))
    half = stats.norm.ppf((1 + level) / 2) * np.sqrt((1 + r * r / 2) / (n - 3))
    low, high = np.tanh([centre - half, centre + half])
    return Estimate(r, float(low), float(high), empty)


def partial_spearman(x: ArrayLike, y: ArrayLike, controls: ArrayLike = ()) -> Array:
    """Spearman's rank correlation of x and y (..., n) with the ranks of `controls` (..., c, n) held
    fixed, (...).

    The correlation of what is left of the ranks of x and of y after linear regression on the ranks
    of the controls (average ranks for ties). Without controls it is Spearman's. NaN where nothing
    is left, or where n is too small for the number of controls (n < c + 3).
    """
    from scipy.stats import rankdata

    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    n = x.shape[-1]
    held = np.asarray(controls, dtype=float)
    held = held if held.size else np.empty((*x.shape[:-1], 0, n))
    if n < held.shape[-2] + 3:
        return np.full(x.shape[:-1], np.nan)
    ranks = rankdata(np.stack([x, y], axis=-2), axis=-1)  # (..., 2, n)
    design = np.concatenate([np.ones((*held.shape[:-2], 1, n)), rankdata(held, axis=-1)], axis=-2)
    # A basis of what the controls span, also where two of them are alike.
    _, size, basis = np.linalg.svd(design, full_matrices=False)
    basis = basis * (size > size[..., :1] * n * np.finfo(float).eps)[..., None]
    left = ranks - (ranks @ basis.swapaxes(-1, -2)) @ basis
    norms = np.linalg.norm(left, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.clip((left[..., 0, :] * left[..., 1, :]).sum(-1) / norms.prod(-1), -1, 1)
    return np.where(norms.min(-1) < 1e-9 * n, np.nan, found)


def weighted_median(values: ArrayLike, weights: ArrayLike) -> Array:
    """(B,) lower medians of values (N,) that count as often as weights (B, N) say."""
    values = np.asarray(values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    total = np.cumsum(np.atleast_2d(np.asarray(weights, dtype=np.float64))[:, order], axis=1)
    return values[order[(total >= total[:, -1:] / 2).argmax(axis=1)]]


def weighted_spearman(x: ArrayLike, y: ArrayLike, weights: ArrayLike) -> Array:
    """(B,) rank correlations of x and y (N,) whose elements count as often as weights (B, N) say;
    NaN where one does not vary. Equal to Spearman's coefficient of the repeated elements."""
    weights = np.atleast_2d(np.asarray(weights, dtype=np.float64))
    step = max(1, RANK_CHUNK // weights.shape[1])
    return np.concatenate(
        [_spearman(x, y, weights[i : i + step]) for i in range(0, len(weights), step)]
    )


def _spearman(x: ArrayLike, y: ArrayLike, weights: Array) -> Array:
    share = weights / weights.sum(axis=1, keepdims=True)
    a, b = (_ranks(np.asarray(values), share) for values in (x, y))
    a -= (share * a).sum(axis=1, keepdims=True)
    b -= (share * b).sum(axis=1, keepdims=True)
    spread = (share * a * a).sum(axis=1) * (share * b * b).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (share * a * b).sum(axis=1) / np.sqrt(spread)
    return np.where(spread > 1e-18, found, np.nan)


def _ranks(values: NDArray[np.generic], share: Array) -> Array:
    """(B, N) middle ranks, as shares of the whole."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(group.max() + 1))
    held = np.add.reduceat(share[:, order], starts, axis=1)
    return (np.cumsum(held, axis=1) - held / 2)[:, group]
