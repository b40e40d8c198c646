"""From stored runs to a scaling curve with resampled versions of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.arrays import Array
from dataworth.images.classifiers import cross_entropy
from dataworth.noise import seed_noise
from dataworth.runs import Result
from dataworth.stats import Estimate, estimate, interval, over_examples

if TYPE_CHECKING:
    from dataworth.fit import Fit

Rows = Sequence[Sequence[Result]]

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

    metric: "loss" (cross-entropy, nats) or "error" (1 - top-1). rows: positions of the test
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
    logits, labels = result.arrays[f"logits_{split}"], result.arrays[f"labels_{split}"]
    if metric == "loss":
        return cross_entropy(logits, labels)
    return (logits.argmax(1) != labels).astype(np.float64)
