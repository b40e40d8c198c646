"""From stored runs to a scaling curve with resampled versions of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataworth.arrays import Array
from dataworth.images.classifiers import cross_entropy
from dataworth.runs import Result
from dataworth.stats import Estimate, estimate, interval, over_examples, over_seeds

if TYPE_CHECKING:
    from dataworth.fit import Fit


@dataclass(frozen=True)
class Curve:
    """Loss or error against training-set size, for one arm.

    sizes: (n,). values: (n, seeds), one per run. draws: (B, n), bootstrap versions of the means
    over seeds; draw b of one curve and draw b of another used the same test examples.
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


def curve(
    runs: Sequence[Sequence[Result]],
    sizes: Sequence[int],
    *,
    split: str = "test",
    metric: str = "loss",
    resamples: int = 1000,
    seed: int = 0,
) -> Curve:
    """The curve of an arm whose runs are given as `runs[size][seed]`.

    metric: "loss" (cross-entropy, nats) or "error" (1 - top-1). Test examples are resampled with
    replacement, the same ones in every curve made with the same `seed` and split. Training seeds
    are resampled at every size on their own; deviations from their mean are widened by
    sqrt(S / (S - 1)), without which S resampled seeds understate their variance.
    """
    values = scores(runs, split=split, metric=metric)
    draws = resample(values, resamples=resamples, seed=seed, arm=hash_of(runs))
    return Curve(np.asarray(sizes, dtype=np.int64), values.mean(2), draws)


def exponent(law: Fit) -> Estimate:
    """k of a power law."""
    return estimate(law.params["k"], law.draws["k"])


def exponent_ratio(one: Fit, other: Fit) -> Estimate:
    """k of one power law over k of another."""
    return exponent(one).over(exponent(other))


def scores(runs: Sequence[Sequence[Result]], *, split: str = "test", metric: str = "loss") -> Array:
    """Per-example scores (n, seeds, N) of `runs[size][seed]` on an evaluation set."""
    return np.stack([np.stack([_scores(result, split, metric) for result in row]) for row in runs])


def resample(
    values: Array,
    *,
    resamples: int,
    seed: int,
    arm: int,
    rows: NDArray[np.intp] | None = None,
) -> Array:
    """Bootstrap versions (B, n) of the means over seeds and examples of `values` (n, seeds, N).

    Draw b takes the same examples for every arm of one `seed`. `arm` is a number of the arm's own:
    its training seeds are resampled independently of another's. `rows`: see `over_examples`.
    """
    n, count, examples = values.shape
    flat = values.reshape(n * count, examples)
    drawn = over_examples(flat, resamples=resamples, seed=seed, rows=rows)
    return over_seeds(drawn.reshape(-1, n, count), seed=seed, arm=arm)


def hash_of(runs: Sequence[Sequence[Result]]) -> int:
    """Seed derived from the fields of an arm's first run (`Spec.identity`, which no edit moves, not
    its key), so that arms are resampled independently."""
    return int(runs[0][0].spec.identity[:8], 16)


def _scores(result: Result, split: str, metric: str) -> Array:
    """Per-example scores (N,)."""
    logits, labels = result.arrays[f"logits_{split}"], result.arrays[f"labels_{split}"]
    if metric == "loss":
        return cross_entropy(logits, labels)
    return (logits.argmax(1) != labels).astype(np.float64)
