"""From stored runs to a scaling curve with resampled versions of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataworth.images.classifiers import cross_entropy
from dataworth.runs import Result

Array = NDArray[np.float64]


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
        tail = (1 - level) / 2
        low, high = np.quantile(self.draws, [tail, 1 - tail], axis=0)
        return low, high

    def table(self) -> dict[str, Array]:
        """Columns `n` and `loss`, for `dataworth.fit.fit(..., draws=self.draws)`."""
        return {"n": self.sizes.astype(float), "loss": self.means}


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
    scores = np.stack(
        [np.stack([_scores(result, split, metric) for result in row]) for row in runs]
    )  # (n, S, N)
    n, count, examples = scores.shape
    rng = np.random.default_rng([seed, 5])
    widen = np.sqrt(count / (count - 1)) if count > 1 else 1.0
    draws = np.empty((resamples, n))
    for b in range(resamples):
        weights = rng.multinomial(examples, np.full(examples, 1 / examples)) / examples
        resampled = scores @ weights  # (n, S)
        centre = resampled.mean(1)
        pick = np.random.default_rng([seed, 6, b, hash_of(runs)]).integers(count, size=(n, count))
        again = np.take_along_axis(resampled, pick, axis=1).mean(1)
        draws[b] = centre + widen * (again - centre)
    return Curve(np.asarray(sizes, dtype=np.int64), scores.mean(2), draws)


def hash_of(runs: Sequence[Sequence[Result]]) -> int:
    """A number of the runs' keys: curves of different arms draw their seeds independently."""
    return int(runs[0][0].spec.key[:8], 16)


def _scores(result: Result, split: str, metric: str) -> Array:
    """Per-example scores (N,)."""
    logits, labels = result.arrays[f"logits_{split}"], result.arrays[f"labels_{split}"]
    if metric == "loss":
        return cross_entropy(logits, labels)
    return (logits.argmax(1) != labels).astype(np.float64)
