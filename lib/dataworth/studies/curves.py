"""From stored runs to a scaling curve with resampled versions of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.arrays import Array
from dataworth.images.classifiers import cross_entropy
from dataworth.noise import seed_noise
from dataworth.runs import Result
from dataworth.runs.kept import keep
from dataworth.stats import Estimate, estimate, interval, over_examples

if TYPE_CHECKING:
    import pandas as pd

    from dataworth.fit import Fit

Rows = Sequence[Sequence[Result]]

FAILS = 0.05
"""p-value below which a law does not describe a curve within its noise."""

FARTHEST = 3.0
"""Log of the factor by which seeds may move a draw: a law can still be fitted to it."""


@dataclass(frozen=True)
class Curve:
    """Loss or error against training-set size, for one arm.

    sizes: (n,). values: (n, seeds), one per run. draws: (B, n), versions of the means over seeds;
    draw b of one curve and draw b of another used the same test examples.
    """

    sizes: NDArray[np.int64]
    values: Array
    draws: Array

    @property
    def means(self) -> Array:
        """Mean over seeds, (n,)."""
        return self.values.mean(1)

    def interval(self, level: float = 0.95) -> tuple[Array, Array]:
        """Percentile interval of the means, (n,) low and (n,) high."""
        return interval(self.draws, level)

    def at(self, sizes: Sequence[int]) -> Curve:
        """The curve on some of its sizes. Raises ValueError if it lacks one."""
        rows = [self.sizes.tolist().index(n) for n in sizes]
        return Curve(self.sizes[rows], self.values[rows], self.draws[:, rows])

    def top1(self) -> Curve:
        """A curve of errors as one of top-1 accuracies, in percent."""
        return Curve(self.sizes, 100 * (1 - self.values), 100 * (1 - self.draws))

    def one(self, at: int) -> Estimate:
        """The mean at one position."""
        return estimate(self.means[at], self.draws[:, at])

    def evidence(self) -> dict[str, list[float]]:
        """What a ledger keeps of the curve: `sizes`, `means`, and their interval `low`, `high`."""
        low, high = self.interval()
        columns = {"sizes": self.sizes, "means": self.means, "low": low, "high": high}
        return {name: column.tolist() for name, column in columns.items()}

    def table(self) -> dict[str, Array]:
        """Columns `n` and `loss`, for `dataworth.fit.fit(..., draws=self.draws)`."""
        return {"n": self.sizes.astype(float), "loss": self.means}

    def fit(self, law: str) -> Fit:
        """A law of size (`fit.LAWS`) on the means, and on every draw of them."""
        from dataworth.fit import fit

        return fit(self.table(), law=law, x="n", y="loss", draws=self.draws)

    def slopes(self) -> list[Estimate]:
        """-d log loss / d log size between neighbouring sizes, n - 1 of them."""
        far = np.diff(np.log(self.sizes.astype(float)))
        value, drawn = -np.diff(np.log(self.means)) / far, -np.diff(np.log(self.draws)) / far
        return [estimate(v, d) for v, d in zip(value, drawn.T, strict=True)]


@dataclass(frozen=True)
class Misfit:
    """How far a curve lies from a law, against its own noise.

    chi2: of the residuals, with `df` degrees of freedom and p-value `p`. off: the law's own error,
    root mean square over the sizes and in percent of the loss, with the confidence distribution
    of the noncentral chi^2 as draws: what the noise explains is not in it.
    """

    chi2: float
    df: int
    p: float
    off: Estimate

    @property
    def factor(self) -> float:
        """By how much quantities of the law are less certain than its draws say: sqrt(chi2 / df)
        where the law fails (`FAILS`), else 1 (Particle Data Group, Review, section 5.2.2)."""
        return float(np.sqrt(self.chi2 / self.df)) if self.p < FAILS else 1.0


def lack_of_fit(curve: Curve, law: Fit) -> Misfit:
    """Whether E + a n^-k (power: E = 0) describes a curve within the noise of its points.

    Residuals of the log loss, projected on what no parameter can absorb (the contrasts that are
    orthogonal to the law's derivatives), against their covariance over the curve's draws: that of
    seeds and of test examples, which sizes share. To first order the value at the generalised
    least-squares fit. Two sizes (three, with a floor) leave nothing to test: df 0, p NaN.
    """
    n = curve.sizes.astype(float)
    left = np.log(curve.means) - np.log(law.mean(n))
    power = np.exp(np.log(law.params["a"]) - law.params["k"] * np.log(n))
    columns = [power, power * np.log(n)] + ([np.ones_like(n)] if law.params.get("E") else [])
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.log(curve.draws)
    return beyond_noise(left, drawn, np.stack(columns, 1) / law.mean(n)[:, None])


def beyond_noise(left: Array, drawn: Array, design: Array) -> Misfit:
    """Whether a linear model describes log losses within their noise.

    left (n,): log losses, or residuals of them; drawn (B, n): their bootstrap versions; design
    (n, p): what the model can absorb (a column of ones: that all are equal).
    """
    from scipy.special import chdtrc, chdtri, chndtr, chndtrinc

    n = len(left)
    basis, _ = np.linalg.qr(design, mode="complete")
    beyond = basis[:, design.shape[1] :]  # (n, df)
    if not (df := beyond.shape[1]):
        return Misfit(np.nan, 0, np.nan, estimate(np.nan, []))
    known = np.isfinite(drawn).all(1)
    noise = np.atleast_2d(np.cov(drawn[known] @ beyond, rowvar=False))
    precision = np.linalg.inv(noise)
    chi2 = float((left @ beyond) @ precision @ (left @ beyond))
    # The confidence distribution of the noncentrality x: P(x or less) = 1 - F(chi2; df, x).
    # Residuals that happen to be very small bound it no more closely than their median does
    # (power-constrained limits, Cowan et al. 2011).
    seen = max(chi2, float(chdtri(df, 0.5)))
    levels = (np.arange(1000) + 0.5) / 1000
    beside = levels < chndtr(seen, df, 0.0)
    more = np.where(beside, chndtrinc(seen, df, np.where(beside, levels, 0.25)), 0.0)
    scale = 100 * np.sqrt(df / (n * np.trace(precision)))
    off = estimate(scale * np.sqrt(max(chi2 - df, 0.0)), scale * np.sqrt(np.maximum(more, 0)))
    return Misfit(chi2, df, float(chdtrc(df, chi2)), off)


def accuracies(errors: Mapping[str, Curve]) -> pd.DataFrame:
    """Top-1 in percent by arm and size, as estimates, of curves of errors; NaN where an arm lacks
    the size."""
    import pandas as pd

    rows = {
        arm: {n: right.one(i) for i, n in enumerate(c.sizes.tolist())}
        for arm, c in errors.items()
        for right in [c.top1()]
    }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("top-1 %")
    return table.sort_index(axis=1)


def misfits(pairs: Mapping[str, tuple[Curve, Fit]]) -> pd.DataFrame:
    """`lack_of_fit` of laws by name, a row each: `chi2`, `df`, `p`, `off`, `factor`."""
    import pandas as pd

    found = {name: lack_of_fit(*pair) for name, pair in pairs.items()}
    names = ("chi2", "df", "p", "off", "factor")
    rows = {name: {key: getattr(one, key) for key in names} for name, one in found.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(names)).rename_axis("law")


def widened(e: Estimate, factor: float, *, log: bool = False) -> Estimate:
    """The estimate with draws `factor` times as far from its value (log: of a positive one, on the
    log scale), for the error of a law that fails (`Misfit.factor`)."""
    if not factor > 1 or not np.isfinite(e.value):
        return e
    if log:
        with np.errstate(divide="ignore"):
            drawn = np.exp(np.log(e.value) + factor * (np.log(e.draws) - np.log(e.value)))
    else:
        drawn = e.value + factor * (e.draws - e.value)
    return replace(estimate(e.value, drawn), unmeasurable=e.unmeasurable)


def curve(runs: Rows, sizes: Sequence[int], **how: Any) -> Curve:
    """The curve of one arm alone (`curves`): its own cells are then all that is known of the noise
    of its seeds."""
    return curves({"": runs}, {"": sizes}, **how)[""]


def curves(
    runs: Mapping[str, Rows],
    sizes: Mapping[str, Sequence[int]],
    *,
    split: str = "test",
    metric: str = "loss",
    rows: NDArray[np.intp] | None = None,
    trained: Mapping[str, Sequence[int]] | None = None,
    blocks: Mapping[str, Sequence[int]] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Curve]:
    """The curves of arms with one model and budget rule, whose runs are `runs[arm][size][seed]`.

    metric: "loss" (cross-entropy, nats), "calibrated" (the same with one temperature a run, fitted
    on its validation logits) or "error" (1 - top-1). rows: positions of the test
    examples that count (those of one class). Test examples are resampled with replacement, the
    same ones in every curve made with the same `seed` and split; the noise of training seeds is
    that of all arms together (`noise.seed_noise`). trained: training-set sizes, where `sizes` are
    something else. blocks: a number for every size of every arm; runs of a block share their seeds.
    """
    used = {arm: scores(rows_, split=split, metric=metric) for arm, rows_ in runs.items()}
    ends = np.cumsum([len(values) for values in used.values()])
    flat = np.concatenate(list(used.values()))
    drawn = resample(
        [(flat, rows)],
        sizes=np.concatenate([(trained or sizes)[arm] for arm in runs]),
        blocks=None if blocks is None else np.concatenate([blocks[arm] for arm in runs]),
        resamples=resamples,
        seed=seed,
        stream=hash_of(next(iter(runs.values()))),
    )[..., 0]
    if metric == "error":  # seeds multiply: a draw may err on more than all examples
        drawn = np.minimum(drawn, 1.0)
    means = (flat if rows is None else flat[..., rows]).mean(-1)
    return {
        arm: Curve(np.asarray(sizes[arm], dtype=np.int64), values, draws)
        for arm, values, draws in zip(
            runs, np.split(means, ends[:-1]), np.split(drawn, ends[:-1], axis=1), strict=True
        )
    }


def exponent(law: Fit) -> Estimate:
    """k of a power law."""
    return estimate(law.params["k"], law.draws["k"])


def exponent_ratio(one: Fit, other: Fit) -> Estimate:
    """k of one power law over k of another."""
    return exponent(one).over(exponent(other))


def scores(runs: Rows, *, split: str = "test", metric: str = "loss") -> Array:
    """Per-example scores (n, seeds, N) of `runs[size][seed]` on an evaluation set."""
    return np.stack([np.stack([_scores(result, split, metric) for result in row]) for row in runs])


def resample(
    outcomes: Sequence[tuple[Array, NDArray[np.intp] | None]],
    *,
    resamples: int,
    seed: int,
    stream: int,
    sizes: ArrayLike | None = None,
    blocks: ArrayLike | None = None,
) -> Array:
    """Bootstrap versions (B, n, E) of the means over seeds and examples of E outcomes of n cells:
    each its values (n, seeds, N) and the positions of those that count (None: all of them).

    Draw b takes the same examples for every arm of one `seed`. Seeds: `noise.seed_noise` of the
    relative values, so that they multiply. `stream`: a number of the group's own (`hash_of`): the
    seeds of two groups are drawn independently.
    """
    means, drawn = [], []
    for values, rows in outcomes:
        flat = values.reshape(-1, values.shape[-1])
        versions = over_examples(flat, resamples=resamples, seed=seed, rows=rows)
        drawn.append(versions.reshape(-1, *values.shape[:2]))
        means.append((values if rows is None else values[..., rows]).mean(-1))
    x, d = np.stack(means, -1), np.stack(drawn, -1)
    level = x.mean(1, keepdims=True)
    level[level == 0] = 1.0  # no error with any seed, and none in any draw
    noise = seed_noise(x / level, d / level, seed=seed, stream=stream, sizes=sizes, blocks=blocks)
    return np.asarray(d.mean(2) * np.exp(np.clip(noise, -FARTHEST, FARTHEST)))


def hash_of(runs: Rows) -> int:
    """Number derived from the fields of an arm's first run (`Spec.identity`, which no edit moves,
    not its key): the stream of the group of cells that it begins."""
    return int(runs[0][0].spec.identity[:8], 16)


def _scores(result: Result, split: str, metric: str) -> Array:
    """Per-example scores (N,)."""
    return kept_scores(result, split, metric).astype(np.float64)


@keep
def kept_scores(result: Result, split: str, metric: str) -> NDArray[np.float32] | NDArray[np.bool_]:
    """The same as they are kept: a loss in single precision, as its logits are; whether it erred.
    A tenth of the logits."""
    logits, labels = result.arrays[f"logits_{split}"], result.arrays[f"labels_{split}"]
    if metric == "loss":
        return cross_entropy(logits, labels).astype(np.float32)
    if metric == "calibrated":
        held_out = result.arrays["logits_validation"], result.arrays["labels_validation"]
        return cross_entropy(scaled(logits, temperature(*held_out)), labels).astype(np.float32)
    return np.asarray(logits.argmax(1) != labels)


@keep
def answers(result: Result, split: str) -> NDArray[np.int32]:
    """The class that a run gives to each image of an evaluation set, (N,)."""
    return result.arrays[f"logits_{split}"].argmax(1).astype(np.int32)


def temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The T of lowest mean cross-entropy of logits / T, between 1/20 and 20 (Guo et al. 2017)."""
    from scipy.optimize import minimize_scalar

    def loss(log_t: float) -> float:
        return float(cross_entropy(scaled(logits, np.exp(log_t)), labels).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def scaled(logits: NDArray[np.float32], by: float) -> NDArray[np.float32]:
    """Logits of a softmax at another temperature."""
    return (logits / by).astype(np.float32)
