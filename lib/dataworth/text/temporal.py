"""What time does to losses: temporal degradation in the form of two papers, and the age at which
old text begins to hurt. Arrays of losses in, estimates out; nothing is run.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.arrays import Array
from dataworth.errors import UserError
from dataworth.noise import seed_noise
from dataworth.stats import Estimate, estimate
from dataworth.text.losses import by_part

EXACT, RANDOM = 7, 2000  # times of which all orders are tried, and orders that are tried of more

# --- Losses by era -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Losses:
    """Mean losses (..., E) by era of evaluation, and bootstrap versions of them (B, ..., E)."""

    value: Array
    draws: Array

    def centred(self, axis: int = 0) -> Losses:
        """Less the mean over an axis of `value` (the training times): eras of easy and of hard
        speeches become comparable."""
        return Losses(
            self.value - self.value.mean(axis, keepdims=True),
            self.draws - self.draws.mean(axis + 1, keepdims=True),
        )


def losses_by_era(
    nats: Array,
    sizes: ArrayLike,
    eras: NDArray[np.int64],
    *,
    authors: NDArray[np.str_] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    stream: int = 0,
) -> Losses:
    """Loss per unit of size of every arm and era (`losses.by_part`): nats (..., S, N) of S seeds,
    sizes (N,), eras (N,) numbers from 0, authors (N,) of the documents. Raises UserError for an era
    without documents."""
    if lacking := set(range(int(eras.max()) + 1)) - set(eras.tolist()):
        raise UserError(f"eras: no document is of era {min(lacking)}.")
    how = {"resamples": resamples, "seed": seed, "stream": stream}
    return Losses(*by_part(nats, sizes, eras, clusters=authors, **how))


# --- Temporal degradation ----------------------------------------------------------------------


@dataclass(frozen=True)
class Slope:
    """Rise of the centred loss with the distance in years, per year; Pearson's r; one-sided p of
    Wald's test of slope > 0, which takes the cells as independent (the interval does not)."""

    per_year: Estimate
    r: float
    p: float


def slopes(x: Array, y: Array) -> Array:
    """Least-squares slopes of y (..., n) on x (n,), with a constant."""
    centred = x - x.mean()
    return np.asarray(y @ centred / (centred @ centred))


def degradation(
    losses: Losses,
    trained: ArrayLike,
    evaluated: ArrayLike,
    *,
    side: str = "both",
    own: bool = True,
    within: float = np.inf,
) -> Slope:
    """Temporal degradation in the form of Longpre et al. 2023: the slope of the centred loss on the
    distance in years between training and evaluation.

    losses: (P, ..., E), of P training times `trained` and E evaluation times `evaluated`; centred
    over training times. side: `newer` keeps evaluation text at least as new as the training text,
    `older` the other side. own: whether training and evaluation in one time count. within: the
    largest distance in years that counts. Where cells are left out, loss and distance are both
    centred over the cells that an evaluation time has left (fixed effects): means over other cells
    would mix the two sides.
    """
    from scipy.stats import linregress

    gap = np.asarray(evaluated, dtype=float) - np.asarray(trained, dtype=float)[:, None]  # (P, E)
    keep = {"both": np.full(gap.shape, True), "newer": gap >= 0, "older": gap <= 0}[side]
    keep &= (own | (gap != 0)) & (np.abs(gap) <= within)
    keep &= keep.sum(0) > 1  # one cell alone says nothing of a slope
    distance = np.abs(gap)
    if not keep.all():
        distance = _centre(distance, keep, 0)
    value = _centre(np.moveaxis(losses.value, -1, 1), keep, 0)[keep]  # (K, ...)
    drawn = _centre(np.moveaxis(losses.draws, -1, 2), keep, 1)[:, keep]  # (B, K, ...)
    x = np.repeat(distance[keep], int(np.prod(value.shape[1:], dtype=int)))
    found = linregress(x, value.ravel(), alternative="greater")
    per_year = estimate(found.slope, slopes(x, drawn.reshape(len(drawn), -1)))
    return Slope(per_year, float(found.rvalue), float(found.pvalue))


def _centre(table: Array, keep: NDArray[np.bool_], axis: int) -> Array:
    """A table (..., P, E, ...), P at `axis`, less its means over the kept cells of P."""
    shape = [1] * axis + list(keep.shape) + [1] * (table.ndim - axis - 2)
    weights = keep.reshape(shape) / np.maximum(keep.sum(0), 1).reshape(shape[axis + 1 :])
    return np.asarray(table - (table * weights).sum(axis, keepdims=True))


def per_evaluation(matrix: Array, years: ArrayLike) -> Array:
    """Temporal degradation in the manner of Luu et al. 2022, per evaluation time (..., E).

    matrix: losses (..., E, E) of training times (rows) and evaluation times at the same `years`.
    D(t', t) = (L(t', t) - L(t, t)) sign(t' - t), and the result is the absolute value of the slope
    of D on t'. As it cannot be negative, no effect gives a value above zero: see the control.
    """
    when = np.asarray(years, dtype=float)
    own = np.diagonal(matrix, axis1=-2, axis2=-1)[..., None, :]
    signed = (matrix - own) * np.sign(when[:, None] - when)
    return np.abs(slopes(when, np.swapaxes(signed, -1, -2)))


def rearranged(losses: Losses, years: ArrayLike) -> tuple[Array, float]:
    """Slopes (per year) with the training times exchanged, the true one first, and the share of
    these that is at least as large as the true one: a permutation test of no effect of time, exact
    up to seven times and of `RANDOM` orders of more."""
    when = np.asarray(years, dtype=float)
    centred = losses.centred().value
    orders: Iterable[Sequence[int]] = itertools.permutations(range(len(when)))
    if len(when) > EXACT:
        rng = np.random.default_rng(0)
        orders = [
            range(len(when)),
            *(rng.permutation(len(when)).tolist() for _ in range(RANDOM - 1)),
        ]
    found = np.array(
        [
            slopes(np.abs(when[list(order), None] - when).ravel(), centred.ravel())
            for order in orders
        ]
    )
    return found, float((found >= found[0] - 1e-12).mean())


# --- When old data begin to hurt ---------------------------------------------------------------


@dataclass(frozen=True)
class Ageing:
    """Excess loss against the age of the training text.

    ages, excess: (K,) of speeches and cut-offs; grid: (G,) years; curve: (G,) the rising fit;
    draws: (B, G)."""

    ages: Array
    excess: Array
    grid: Array
    curve: Array
    draws: Array

    def reaches(self, margin: float) -> Estimate:
        """The age at which the fit reaches `margin`; infinite where it does not within the data."""
        value = crossing(self.grid, self.curve[None], margin)[0]
        draws = crossing(self.grid, self.draws, margin)
        return estimate(value, draws)


def crossing(grid: Array, curves: Array, margin: float) -> Array:
    """First point of `grid` (G,) at which each of the rising curves (B, G) is at least `margin`."""
    above = curves >= margin
    return np.where(above.any(1), grid[above.argmax(1)], np.inf)


def rising(ages: Array, excess: Array, weights: Array, grid: Array) -> Array:
    """Isotonic regression of excess loss on age, at `grid`: it may only rise, starts from no excess
    at age 0 and is interpolated in between; no further form is assumed."""
    from scipy.optimize import isotonic_regression

    order = np.argsort(ages, kind="stable")
    kept = order[weights[order] > 0]
    fitted = isotonic_regression(excess[kept], weights=weights[kept]).x
    # The middle of every step: the fit's steps have no place of their own within a block.
    starts = np.flatnonzero(np.diff(fitted, prepend=-np.inf) > 1e-12)
    groups = np.split(np.arange(len(kept)), starts[1:])
    places = [np.average(ages[kept[g]], weights=weights[kept[g]]) for g in groups]
    heights = [max(float(fitted[g[0]]), 0.0) for g in groups]
    return np.interp(grid, [0.0, *places], [0.0, *heights])


def ageing(
    nats: Array,
    cutoffs: Sequence[int],
    years: NDArray[np.int64],
    authors: NDArray[np.str_],
    resamples: int,
    seed: int,
) -> Ageing:
    """Excess loss against the age of training text: nats (P, S, N) of P arms, whose text ends with
    `cutoffs` (rising), on N documents of `years` and `authors`.

    A document is held against the newest arm all of whose text is from before its year: later text
    knows its future. A pair is a document and an arm that ends before that reference; its age is
    the years between their ends, its excess the relative difference of their losses. Authors (with
    all their documents and pairs) are resampled; an arm's seeds move all its losses together, by
    the noise of `noise.seed_noise`. Raises UserError where no document has two arms before it.
    """
    ends = np.asarray(cutoffs, dtype=float)
    newest = np.searchsorted(ends, years, side="left") - 1
    late = np.flatnonzero(newest > 0)
    if not len(late):
        raise UserError("cutoffs: no document has two training sets from before its year.")
    nats, authors, newest = nats[..., late], authors[late], newest[late]
    arms = np.repeat(np.arange(len(ends)), len(late))
    speech = np.tile(np.arange(len(late)), len(ends))
    keep = arms < newest[speech]
    arms, speech = arms[keep], speech[keep]
    ages = ends[newest[speech]] - ends[arms]
    grid = np.linspace(0, float(ages.max()), 400)

    def pairs(mean: Array) -> tuple[Array, Array]:
        """Excess (K,) and weight (K,) of every pair, for losses (P, N)."""
        own = mean[newest[speech], speech]
        return mean[arms, speech] / own - 1, own

    level = nats.mean(1)
    excess, weights = pairs(level)
    total = nats.sum(-1) / level.sum(-1)[:, None]
    _, who = np.unique(authors, return_inverse=True)
    count = int(who.max()) + 1
    rng = np.random.default_rng([seed, 0xA6E, 2])
    times = rng.multinomial(count, np.full(count, 1 / count), size=resamples)[:, who]  # (B, N)
    versions = (
        np.einsum("psn,bn->bps", nats, times) / np.einsum("pn,bn->bp", level, times)[..., None]
    )
    moved = np.exp(seed_noise(total, versions, seed=seed, blocks=np.zeros(len(level))))  # (B, P)
    draws = np.empty((resamples, len(grid)))
    for b in range(resamples):
        drawn, weight = pairs(level * moved[b][:, None])
        draws[b] = rising(ages, drawn, weight * times[b][speech], grid)
    return Ageing(ages, excess, grid, rising(ages, excess, weights, grid), draws)
