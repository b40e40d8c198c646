"""What chapters share that look again at the runs of the chapter *synthetic scaling*."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import field_validator

from dataworth.images.classifiers import Budget, ClassifierSpec
from dataworth.images.study import ImageStudy, check_sizes, field
from dataworth.images.synthetic_scaling import Sizes, SyntheticScaling

if TYPE_CHECKING:
    from dataworth.images.cost import Drawing, Training

Array = NDArray[np.float64]


class Reanalysis(ImageStudy):
    """Parameters that decide the runs of *synthetic scaling*: equal values find stored runs."""

    real_sizes: Sizes = field(
        (80, 320, 1280, 5120, 10240), "training-set sizes of the real arm", "images"
    )
    synthetic_sizes: Sizes = field(
        (80, 320, 1280, 5120), "training-set sizes of the synthetic arm", "images"
    )

    _distinct = field_validator("real_sizes", "synthetic_sizes")(check_sizes)

    def scaling(self) -> SyntheticScaling:
        """The parameters of *synthetic scaling* with the values given here."""
        shared = set(SyntheticScaling.model_fields) & set(type(self).model_fields)
        # They were validated here; those of arms that nobody asked for need not fit them.
        return SyntheticScaling.model_construct(**{name: getattr(self, name) for name in shared})

    def stored(
        self, arms: Sequence[str]
    ) -> tuple[dict[str, tuple[int, ...]], dict[str, list[list[ClassifierSpec]]]]:
        """Sizes and training runs `[size][seed]` of the named arms of *synthetic scaling*."""
        scaling = self.scaling()
        known = scaling.arms()
        return {a: known[a].sizes for a in arms}, {a: scaling.specs(known[a]) for a in arms}

    def drawings(self) -> list[Drawing]:
        """The synthetic arm, shared with *synthetic scaling*; chapters add what they draw."""
        from dataworth.images.cost import Drawing

        images = self.seeds * self.synthetic_sizes[-1]
        return [Drawing(self.generator, self.prompt_set, images, self.solver_steps)]

    def trainings(self) -> list[Training]:
        """The two main arms, shared with *synthetic scaling*; chapters add what they train."""
        from dataworth.images.cost import Training

        sizes = {"real": self.real_sizes, "synthetic": self.synthetic_sizes}
        budget = Budget(rule=self.budget_rule, amount=self.budget, batch=self.batch)
        return [
            Training(
                kind,
                self.model,
                self.seeds * len(counts),
                self.seeds * sum(budget.steps(n) * budget.batch for n in counts),
            )
            for kind, counts in sizes.items()
        ]


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
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def estimate(value: float, draws: ArrayLike, level: float = 0.95) -> Estimate:
    """Percentile interval of the finite draws; NaN ends where fewer than half are finite."""
    draws = np.asarray(draws, dtype=float)
    finite = draws[np.isfinite(draws)]
    tail = (1 - level) / 2
    low, high = (np.nan, np.nan)
    if 2 * len(finite) >= len(draws) > 0:
        low, high = np.quantile(finite, [tail, 1 - tail])
    return Estimate(float(value), float(low), float(high), draws)


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
