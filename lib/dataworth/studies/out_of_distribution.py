"""The study behind the chapter *out of distribution*: stored runs on shifted sets, and a 2x2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator, model_validator

from dataworth.images.classifiers import Budget, ClassifierSpec
from dataworth.images.generators.named import GENERATORS
from dataworth.images.parts import NegativePart, Part, SyntheticPool
from dataworth.images.shifts import DARK, SHIFTS, WHITE
from dataworth.parameters import field
from dataworth.runs import Result, Store
from dataworth.runs.kept import keep
from dataworth.stats import Estimate, best_of, estimate
from dataworth.studies import base
from dataworth.studies.curves import Curve, curves, exponent, hash_of, resample, scores
from dataworth.studies.images import (
    Names,
    Runs,
    check_names,
    check_prompt_sets,
    check_sizes,
    run_classifiers,
)
from dataworth.studies.reanalysis import Reanalysis, above_guess
from dataworth.studies.synthetic_scaling import OtherSizes

if TYPE_CHECKING:
    import pandas as pd

    from dataworth.studies.image_cost import Drawing, Training

from dataworth.arrays import Array

SETS = ("test", *SHIFTS)
CELL_SETS = ("test", "v2", "a", WHITE, DARK, "r")  # on which the 2x2 is evaluated
NEGATIVES = "real, 1 % negatives"  # control: real images, a hundredth of them inverted
EFFECTS = ("drawings in the pool", "style words", "interaction")
# Per cell: (without, plain), (without, styles), (with, plain), (with, styles).
CONTRASTS = np.array([[-0.5, -0.5, 0.5, 0.5], [-0.5, 0.5, -0.5, 0.5], [1.0, -1.0, -1.0, 1.0]])
# Single steps between rows of `factorial`, of which the last holds real images.
STEPS = {
    "drawings in the pool, plain prompts": (2, 0),
    "style words, no drawings in the pool": (1, 0),
    "style words, drawings in the pool": (3, 2),
    "no drawings, plain prompts, less real images": (0, 4),
}


class OutOfDistribution(Reanalysis):
    """Parameters of the chapter."""

    needs_shifts: ClassVar[bool] = True
    other_sizes: OtherSizes = field("training-set sizes of the arms below", "images")
    other_generators: tuple[str, ...] = field("further text-to-image models, by name")
    other_prompt_sets: tuple[str, ...] = field("further prompt sets, by name")
    with_drawings: str = field("2x2: generator that learned from photos and drawings, by name")
    without_drawings: str = field("2x2: the same without drawings, by name")
    style_prompt_set: str = field("2x2: prompt set that asks for styles in half")
    cause_size: int = field("2x2: training images per run", "images", ge=10, le=10**9)
    cause_budget: int = field("2x2: length of training", "steps", ge=1, le=10**8)

    _sorted = field_validator("other_sizes")(check_sizes)

    @field_validator("other_generators", "with_drawings", "without_drawings")
    @classmethod
    def _all_known(cls, names: Names) -> Names:
        return check_names(names, GENERATORS)

    _prompts = field_validator("other_prompt_sets", "style_prompt_set")(check_prompt_sets)

    @model_validator(mode="after")
    def _two_by_two(self) -> Self:
        for a, b in (("with_drawings", "without_drawings"), ("style_prompt_set", "prompt_set")):
            if getattr(self, a) == getattr(self, b):
                raise ValueError(f"{a} and {b} are both {getattr(self, a)!r}; they must differ")
        return self

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        if strangers := set(self.other_sizes) - (set(self.real_sizes) & set(self.synthetic_sizes)):
            raise ValueError(
                f"other_sizes holds {min(strangers)}, which real_sizes or synthetic_sizes lacks; "
                "arms are compared at the same sizes"
            )
        return self

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of the scaling curves, real images first."""
        return ("real", "synthetic", *self.other_generators, *self.other_prompt_sets)

    def cells(self) -> dict[tuple[str, str], SyntheticPool]:
        """The 2x2 by (generator, prompt set), in the order of `CONTRASTS`."""
        return {
            (generator, prompts): self.pool(generator=generator, prompt_set=prompts)
            for generator, prompts in self.cell_names()
        }

    def cell_names(self) -> list[tuple[str, str]]:
        """(generator, prompt set) of the four cells, in the order of `CONTRASTS`."""
        return list(
            product(
                (self.without_drawings, self.with_drawings),
                (self.prompt_set, self.style_prompt_set),
            )
        )

    def factorial(self) -> list[list[ClassifierSpec]]:
        """Runs `[cell][seed]` of the 2x2, and real images of the same number in a fifth row."""
        evaluations = ("validation", *CELL_SETS)
        budget = Budget(amount=self.cause_budget, batch=self.batch)
        size, seeds = self.cause_size, range(self.seeds)
        parts: list[Sequence[Part]] = []
        parts += [[self.synthetic(pool, size, s) for s in seeds] for pool in self.cells().values()]
        parts += [[self.real(size, s) for s in seeds]]
        return [
            [self.classifier(row[s], seed=s, budget=budget, evaluations=evaluations) for s in seeds]
            for row in parts
        ]

    def negatives(self) -> list[list[ClassifierSpec]]:
        """The control as `[size][seed]`: the real arm at the largest of `other_sizes` with one
        image in a hundred, and one at least, in negative."""
        size = self.other_sizes[-1]
        rows = []
        for s in range(self.seeds):
            real = self.real(size, s)
            rng = np.random.default_rng([self.seed + s, 44])
            chosen = set(rng.choice(real.ids, max(1, size // 100), replace=False).tolist())
            parts = [
                real.model_copy(update={"ids": tuple(i for i in real.ids if (i in chosen) is own)})
                for own in (False, True)
            ]
            rows.append(self.classifier(parts[0], NegativePart(of=parts[1]), seed=s))
        return [rows]

    def drawings(self) -> list[Drawing]:
        """The synthetic arm and the four cells of the 2x2; *synthetic scaling* counts the other
        arms."""
        return [*super().drawings(), *self.sampled(self.cell_names(), self.cause_size)]

    def trainings(self) -> list[Training]:
        """The main arms, the control, and the 2x2 with its row of real images."""
        steps = self.own_budget.steps(self.other_sizes[-1])
        control = self.further("real, in part in negative", 1, steps)
        return [*super().trainings(), control, self.further("2x2", 5, self.cause_budget)]

    def preflight(self) -> None:
        """Raises UserError before anything runs: no data, a small pool, no generator."""
        self.check(
            real=max(*self.real_sizes, self.cause_size),
            generators=(*self.other_generators, self.with_drawings, self.without_drawings),
            runs=self.seeds * (6 + len(self.arms) * len(self.real_sizes)),
        )


@dataclass(frozen=True, eq=False)
class Study(base.Study):
    """Finished runs: `runs[arm][size][seed]`; `negatives[size][seed]`, the control of `real` at one
    size; `factorial[cell][seed]`, real images in row 4."""

    params: OutOfDistribution
    sizes: Mapping[str, Sequence[int]]
    runs: Runs
    negatives: list[list[Result]]
    factorial: list[list[Result]]
    store: Store

    def curve(self, arm: str, *, split: str, metric: str = "loss") -> Curve:
        """The scaling curve of an arm, or of `NEGATIVES`, on a set (`curves.curves`)."""
        return self._curves(split, metric)[arm]

    @cache  # noqa: B019 - a study lives as long as its page
    def _curves(self, split: str, metric: str) -> dict[str, Curve]:
        p = self.params
        return curves(
            {**self.runs, NEGATIVES: self.negatives},
            {**self.sizes, NEGATIVES: self.params.other_sizes[-1:]},
            split=split,
            metric=metric,
            resamples=p.resamples,
            seed=p.seed,
        )

    def top1(self, split: str) -> dict[str, Curve]:
        """Top-1 in percent of every arm on an evaluation set."""
        arms = self.runs
        return {arm: self.curve(arm, split=split, metric="error").top1() for arm in arms}

    def exponent(self, arm: str, split: str) -> Estimate:
        """k of loss = a D^-k over `other_sizes`; negative where loss grows with D. It depends on
        the range of sizes, so all arms get the same one. Not measurable where a loss is not surely
        below that of a guess: what falls there is overconfidence."""
        c = self.curve(arm, split=split).at(self.params.other_sizes)
        why = above_guess(c, len(self.params.pool().names), f"the source {arm}")
        return replace(exponent(c.fit("power")), unmeasurable=why)

    def faster(self, split: str) -> tuple[str, Estimate]:
        """The synthetic source whose k exceeds that of real images most, and by how much
        (`stats.best_of`); among those that are measurable, if there are any."""
        real, found = self.exponent("real", split), {}
        for arm in self.runs:
            if arm != "real":
                k = self.exponent(arm, split)
                why = k.unmeasurable or real.unmeasurable
                found[arm] = replace(k.minus(real), unmeasurable=why)
        arm, best = best_of({a: e for a, e in found.items() if not e.unmeasurable} or found)
        return arm, replace(best, unmeasurable=found[arm].unmeasurable)

    def advantage(self, arm: str, split: str) -> Estimate:
        """Top-1 of an arm minus that of real images, in points, at the largest of `other_sizes`."""
        return self.level(arm, split).minus(self.level("real", split))

    def level(self, arm: str, split: str) -> Estimate:
        """Top-1 of an arm in percent, at the largest of `other_sizes`."""
        error = self.curve(arm, split=split, metric="error").at(self.params.other_sizes[-1:])
        return error.top1().one(0)

    def count(self, split: str) -> int:
        """Number of images of an evaluation set."""
        return len(self.runs["real"][0][0].arrays[f"labels_{split}"])

    def highest(self, split: str) -> Estimate:
        """The highest `level` on a set: where all are near chance, no difference is measured."""
        return max((self.level(arm, split) for arm in self.runs), key=lambda e: e.value)

    @cached_property
    def _cells(self) -> tuple[Array, Array]:
        """Top-1 in percent of the rows of `factorial` on `CELL_SETS`, (5, sets), and bootstrap
        versions (B, 5, sets): of all sets at once, as a run that is lucky on one may be on
        another."""
        p = self.params
        errors = [(scores(self.factorial, split=s, metric="error"), None) for s in CELL_SETS]
        stream = hash_of(self.factorial)
        drawn = resample(errors, resamples=p.resamples, seed=p.seed, stream=stream)
        means = np.stack([each.mean((1, 2)) for each, _ in errors], -1)
        return 100 * (1 - means), 100 * (1 - drawn)

    def cell_accuracy(self, split: str) -> tuple[Array, Array]:
        """Top-1 in percent of the rows of `factorial` on one of `CELL_SETS`, (5,), and bootstrap
        versions (B, 5)."""
        at = CELL_SETS.index(split)
        return self._cells[0][:, at], self._cells[1][..., at]

    def effects(self, split: str) -> dict[str, Estimate]:
        """Main effects and interaction of the 2x2 on top-1, in points."""
        means, draws = self.cell_accuracy(split)
        value, resampled = factorial_effects(means[:4]), factorial_effects(draws[:, :4])
        return {e: estimate(value[i], resampled[:, i]) for i, e in enumerate(EFFECTS)}

    def best_cell(self, split: str) -> Estimate:
        """The highest top-1 of the four cells, in percent."""
        means, draws = self.cell_accuracy(split)
        best = int(means[:4].argmax())
        return estimate(means[best], draws[:, best])

    def steps(self, split: str) -> dict[str, Estimate]:
        """Each of `STEPS` on top-1, in points."""
        means, draws = self.cell_accuracy(split)
        return {
            step: estimate(means[a] - means[b], draws[:, a] - draws[:, b])
            for step, (a, b) in STEPS.items()
        }

    def interaction(self, split: str) -> dict[str, dict[str, Estimate]]:
        """Top-1 in percent of the 2x2 on an evaluation set, by generator and prompt set, and of as
        many real images, which have no prompts (twice the same)."""
        p, (means, draws) = self.params, self.cell_accuracy(split)
        cells = [estimate(mean, draws[:, i]) for i, mean in enumerate(means)]
        lines = {"without drawings": (0, 1), "with drawings": (2, 3), "real": (4, 4)}
        prompts = (p.prompt_set, p.style_prompt_set)
        return {
            line: {name: cells[i] for name, i in zip(prompts, rows, strict=True)}
            for line, rows in lines.items()
        }

    @keep
    def shifted_examples(self) -> dict[str, NDArray[np.uint8]]:
        """Of each evaluation set, one image of every class that it has: (classes, H, W)."""
        from dataworth.images.shifts import evaluation_set

        p, rows = self.params, {}
        for split in SETS:
            images, labels = evaluation_set(p.card, split, store=self.store)
            rng = np.random.default_rng([p.seed, 41])
            rows[split] = np.stack(
                [images[rng.choice(np.flatnonzero(labels == c))] for c in np.unique(labels)]
            )
        return rows

    @keep
    def cell_examples(self, count: int) -> dict[tuple[str, str], NDArray[np.uint8]]:
        """The first `count` images of each cell of the 2x2, by generator and prompt set."""
        cells = self.params.cells().items()
        ids = np.arange(count)
        return {cell: np.asarray(pool.load(ids, self.store)[0]) for cell, pool in cells}

    def accuracy(self) -> pd.DataFrame:
        """Estimates of top-1 in percent, by evaluation set and arm, at the arm's largest size."""
        import pandas as pd

        found = {s: {arm: c.one(-1) for arm, c in self.top1(s).items()} for s in SETS}
        return pd.DataFrame.from_dict(found, orient="index").rename_axis("evaluation set")

    def kinds(self) -> dict[str, Any]:
        """All results, by kind."""
        return {f"classifiers, {arm}": rows for arm, rows in self.runs.items()} | {
            "classifiers, in part in negative": self.negatives,
            "classifiers, 2x2": self.factorial,
        }


def factorial_effects(cells: Array) -> Array:
    """(..., 4) cell means in the order of `CONTRASTS` -> (..., 3): main effect of drawings, main
    effect of style words, and their interaction (the difference of the differences)."""
    return np.asarray(cells @ CONTRASTS.T)


@keep
def run(params: OutOfDistribution, store: Store | None = None) -> Study:
    """Run what is missing and collect the study."""
    params.preflight()
    store = store or Store()
    sizes, grid = params.stored(params.arms)
    others = {NEGATIVES: params.negatives(), "2x2": params.factorial()}
    done = run_classifiers({**grid, **others}, store)
    runs = {arm: done[arm] for arm in grid}
    return Study(params, sizes, runs, done[NEGATIVES], done["2x2"], store)
