"""The study behind the chapter *out of distribution*: stored runs on shifted sets, and a 2x2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator, model_validator

from dataworth.images.classifiers import Budget, ClassifierSpec
from dataworth.images.generators.named import GENERATORS
from dataworth.images.parts import RealPart, SyntheticPart, SyntheticPool
from dataworth.images.shifts import DARK, SHIFTS
from dataworth.parameters import field
from dataworth.runs import Result, Store
from dataworth.stats import Estimate, estimate
from dataworth.studies import base
from dataworth.studies.curves import Curve, curves, hash_of, resample, scores
from dataworth.studies.images import (
    Runs,
    check_prompt_sets,
    check_sizes,
    run_classifiers,
)
from dataworth.studies.reanalysis import Reanalysis
from dataworth.studies.synthetic_scaling import OtherSizes

if TYPE_CHECKING:
    import pandas as pd

    from dataworth.studies.image_cost import Drawing, Training

from dataworth.arrays import Array

SETS = ("test", *SHIFTS)
DRAWN = ("sketch", "r")  # the shifted sets that hold drawings
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
    def _all_known(cls, names: tuple[str, ...] | str) -> object:
        for name in (names,) if isinstance(names, str) else names:
            if name not in GENERATORS:
                raise ValueError(f"must be of {', '.join(GENERATORS)}")
        return names

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
        """Runs `[cell][seed]` of the 2x2, and real images of the same number in a fifth row; they
        are evaluated on the dark sketches too."""
        evaluations = (*self.evaluations(), DARK)
        budget = Budget(amount=self.cause_budget, batch=self.batch)
        size, seeds = self.cause_size, range(self.seeds)
        parts: list[Sequence[RealPart | SyntheticPart]] = []
        parts += [[self.synthetic(pool, size, s) for s in seeds] for pool in self.cells().values()]
        parts += [[self.real(size, s) for s in seeds]]
        return [
            [self.classifier(row[s], seed=s, budget=budget, evaluations=evaluations) for s in seeds]
            for row in parts
        ]

    def drawings(self) -> list[Drawing]:
        """The synthetic arm and the four cells of the 2x2; *synthetic scaling* counts the other
        arms."""
        return [*super().drawings(), *self.sampled(self.cell_names(), self.cause_size)]

    def trainings(self) -> list[Training]:
        """The main arms and the 2x2 with its row of real images."""
        return [*super().trainings(), self.further("2x2", 5, self.cause_budget)]

    def preflight(self) -> None:
        """Raises UserError before anything runs: no data, a small pool, no generator."""
        self.check(
            real=max(*self.real_sizes, self.cause_size),
            generators=(*self.other_generators, self.with_drawings, self.without_drawings),
            runs=self.seeds * (5 + len(self.arms) * len(self.real_sizes)),
        )


@dataclass(frozen=True, eq=False)
class Study(base.Study):
    """Finished runs: `runs[arm][size][seed]`; `factorial[cell][seed]`, real images in row 4."""

    params: OutOfDistribution
    sizes: Mapping[str, Sequence[int]]
    runs: Runs
    factorial: list[list[Result]]
    store: Store

    def curve(self, arm: str, *, split: str, metric: str = "loss") -> Curve:
        """The scaling curve of an arm on an evaluation set (see `curves.curves`)."""
        return self._curves(split, metric)[arm]

    @cache  # noqa: B019 - a study lives as long as its page
    def _curves(self, split: str, metric: str) -> dict[str, Curve]:
        p = self.params
        return curves(
            self.runs,
            self.sizes,
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
        the range of sizes, so all arms get the same one."""
        from dataworth.fit import fit

        c = self.curve(arm, split=split).at(self.params.other_sizes)
        law = fit(c.table(), law="power", x="n", y="loss", draws=c.draws)
        return estimate(law.params["k"], law.draws["k"])

    def advantage(self, arm: str, split: str) -> Estimate:
        """Top-1 of an arm minus that of real images, in points, at the largest of `other_sizes`."""
        size = self.params.other_sizes[-1:]
        ours, real = (self.curve(a, split=split, metric="error").at(size) for a in (arm, "real"))
        return estimate(
            100 * (real.means - ours.means).item(), 100 * (real.draws - ours.draws)[:, 0]
        )

    def cell_accuracy(self, splits: Sequence[str]) -> tuple[Array, Array]:
        """Top-1 in percent of the rows of `factorial`, (5,), mean over seeds and then over the
        sets `splits`, and bootstrap versions (B, 5)."""
        p = self.params
        errors = [(scores(self.factorial, split=split, metric="error"), None) for split in splits]
        stream = hash_of(self.factorial)
        drawn = resample(errors, resamples=p.resamples, seed=p.seed, stream=stream)  # (B, 5, E)
        means = np.mean([each.mean((1, 2)) for each, _ in errors], axis=0)
        return 100 * (1 - means), 100 * (1 - drawn.mean(-1))

    def effects(self, splits: Sequence[str]) -> dict[str, Estimate]:
        """Main effects and interaction of the 2x2 on top-1, in points, mean over `splits`."""
        means, draws = self.cell_accuracy(splits)
        value, resampled = factorial_effects(means[:4]), factorial_effects(draws[:, :4])
        return {e: estimate(value[i], resampled[:, i]) for i, e in enumerate(EFFECTS)}

    def steps(self, splits: Sequence[str]) -> dict[str, Estimate]:
        """Each of `STEPS` on top-1, in points, mean over `splits`."""
        means, draws = self.cell_accuracy(splits)
        return {
            step: estimate(means[a] - means[b], draws[:, a] - draws[:, b])
            for step, (a, b) in STEPS.items()
        }

    def interaction(self, split: str) -> dict[str, dict[str, Estimate]]:
        """Top-1 in percent of the 2x2 on an evaluation set, by generator and prompt set, and of as
        many real images, which have no prompts (twice the same)."""
        p, (means, draws) = self.params, self.cell_accuracy((split,))
        cells = [estimate(mean, draws[:, i]) for i, mean in enumerate(means)]
        lines = {"without drawings": (0, 1), "with drawings": (2, 3), "real": (4, 4)}
        prompts = (p.prompt_set, p.style_prompt_set)
        return {
            line: {name: cells[i] for name, i in zip(prompts, rows, strict=True)}
            for line, rows in lines.items()
        }

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

    def cell_examples(self, count: int) -> dict[tuple[str, str], NDArray[np.uint8]]:
        """The first `count` images of each cell of the 2x2, by generator and prompt set."""
        cells = self.params.cells().items()
        return {cell: pool.load(np.arange(count), self.store)[0] for cell, pool in cells}

    def accuracy(self) -> pd.DataFrame:
        """Estimates of top-1 in percent, by evaluation set and arm, at the arm's largest size."""
        import pandas as pd

        found = {s: {arm: c.one(-1) for arm, c in self.top1(s).items()} for s in SETS}
        return pd.DataFrame.from_dict(found, orient="index").rename_axis("evaluation set")

    def kinds(self) -> dict[str, Any]:
        """All results, by kind."""
        return {f"classifiers, {arm}": rows for arm, rows in self.runs.items()} | {
            "classifiers, 2x2": self.factorial
        }


def factorial_effects(cells: Array) -> Array:
    """(..., 4) cell means in the order of `CONTRASTS` -> (..., 3): main effect of drawings, main
    effect of style words, and their interaction (the difference of the differences)."""
    return np.asarray(cells @ CONTRASTS.T)


def run(params: OutOfDistribution, store: Store | None = None) -> Study:
    """Run what is missing and collect the study."""
    params.preflight()
    store = store or Store()
    sizes, grid = params.stored(params.arms)
    done = run_classifiers({**grid, "2x2": params.factorial()}, store)
    return Study(params, sizes, {arm: done[arm] for arm in grid}, done["2x2"], store)
