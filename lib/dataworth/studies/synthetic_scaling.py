"""The study behind the chapter *synthetic scaling*: parameters, arms, runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator, model_validator

from dataworth.images.classifiers import MODELS, Budget, ClassifierSpec
from dataworth.images.fidelity import FidelitySpec
from dataworth.images.generators.named import GENERATORS
from dataworth.images.parts import SHARD, RealPart, SyntheticPart
from dataworth.parameters import field
from dataworth.runs import Result, Store
from dataworth.stats import Estimate, estimate
from dataworth.studies import base
from dataworth.studies.curves import Curve, curve
from dataworth.studies.images import (
    POOL,
    ImageStudy,
    Runs,
    check_prompt_sets,
    check_sizes,
    run_classifiers,
)

if TYPE_CHECKING:
    import pandas as pd

    from dataworth.studies.image_cost import Drawing, Training

Sizes = Annotated[tuple[int, ...], Field(min_length=4)]
OtherSizes = Annotated[tuple[int, ...], Field(min_length=3)]


@dataclass(frozen=True)
class Arm:
    """One scaling curve: which images, how many, and who learns from them, all by name. No
    `generator` means real images."""

    sizes: tuple[int, ...]
    generator: str | None
    prompt_set: str
    model: str
    budget: Budget


class SyntheticScaling(ImageStudy):
    """Parameters of the chapter."""

    real_sizes: Sizes = field("training-set sizes of the real arm", "images")
    synthetic_sizes: Sizes = field("training-set sizes of the synthetic arm", "images")
    other_sizes: OtherSizes = field("training-set sizes of the arms below", "images")
    other_generators: tuple[str, ...] = field("further text-to-image models, by name")
    other_prompt_sets: tuple[str, ...] = field("further prompt sets, by name")
    other_model: str = field("a classifier of another size, by name")
    epochs: int = field("length of training of the fixed-epochs arms", "epochs", ge=1, le=10**6)
    curve_steps: tuple[Annotated[int, Field(ge=1, le=10_000)], ...] = field(
        "step counts of the quality curve", "steps", min_length=1
    )
    curve_images: int = field("images per point of the quality curve", "images", ge=32, le=10**9)

    @field_validator("real_sizes", "synthetic_sizes", "other_sizes")
    @classmethod
    def _distinct(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        return check_sizes(sizes)

    @field_validator("other_generators", "other_model")
    @classmethod
    def _all_known(cls, names: tuple[str, ...] | str, info: ValidationInfo) -> object:
        allowed: Mapping[str, object] = MODELS if info.field_name == "other_model" else GENERATORS
        for name in (names,) if isinstance(names, str) else names:
            if name not in allowed:
                raise ValueError(f"must be of {', '.join(allowed)}")
        return names

    @field_validator("other_prompt_sets")
    @classmethod
    def _known_prompt_sets(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return check_prompt_sets(names)

    @model_validator(mode="after")
    def _comparable(self) -> SyntheticScaling:
        for arm in ("real_sizes", "synthetic_sizes"):
            if lacking := set(self.other_sizes) - set(getattr(self, arm)):
                raise ValueError(
                    f"other_sizes holds {min(lacking)}, which {arm} lacks; every arm is compared "
                    "with the main ones at the same sizes"
                )
        return self

    def arms(self) -> dict[str, Arm]:
        """The scaling curves of the chapter by name; `real` and `synthetic` are its main ones."""
        steps = self.own_budget
        epochs = Budget(rule="fixed_epochs", amount=self.epochs, batch=self.batch)
        few, drawn, words = self.other_sizes, self.generator, self.prompt_set
        arms = {
            "real": Arm(self.real_sizes, None, words, self.model, steps),
            "synthetic": Arm(self.synthetic_sizes, drawn, words, self.model, steps),
        }
        for name in self.other_generators:
            arms[name] = Arm(few, name, words, self.model, steps)
        for name in self.other_prompt_sets:
            arms[name] = Arm(few, drawn, name, self.model, steps)
        for kind, images in (("real", None), ("synthetic", drawn)):
            arms[f"{kind}, {self.other_model}"] = Arm(few, images, words, self.other_model, steps)
            arms[f"{kind}, fixed epochs"] = Arm(few, images, words, self.model, epochs)
        return arms

    def specs(self, arm: Arm) -> list[list[ClassifierSpec]]:
        """The arm's training runs, as [size][seed]. Those that another chapter reads are judged on
        every evaluation set, those with another model or budget rule on the test split."""
        shared = arm.model == self.model and arm.budget == self.own_budget
        return [
            [
                self.classifier(
                    self.images(arm, n, s),
                    seed=s,
                    model=arm.model,
                    budget=arm.budget,
                    evaluations=self.evaluations() if shared else ("test",),
                )
                for s in range(self.seeds)
            ]
            for n in arm.sizes
        ]

    def images(self, arm: Arm, size: int, seed: int) -> RealPart | SyntheticPart:
        """The training set of one run."""
        if arm.generator is None:
            return self.real(size, seed)
        pool = self.pool(generator=arm.generator, prompt_set=arm.prompt_set)
        return self.synthetic(pool, size, seed)

    def preflight(self) -> None:
        """Raises UserError before anything runs: no data, a small pool, no generator."""
        self.check(
            real=max(*self.real_sizes, *self.other_sizes),
            generators=self.other_generators,
            runs=self.seeds * (len(self.real_sizes) + 7 * len(self.other_sizes)),
        )

    def drawings(self) -> list[Drawing]:
        """Images of every pool, as many as its largest arm takes; arms of one pool share them."""
        from dataworth.studies.image_cost import Drawing

        pools: dict[tuple[str, str], int] = {}
        for arm in self.arms().values():
            if arm.generator:
                pool = (arm.generator, arm.prompt_set)
                pools[pool] = max(pools.get(pool, 0), *arm.sizes)
        return [
            Drawing(name, words, self.seeds * size, self.sampling_steps(name))
            for (name, words), size in pools.items()
        ]

    def trainings(self) -> list[Training]:
        """Classifiers by kind of images and model."""
        from dataworth.studies.image_cost import Training

        found: dict[tuple[str, str], list[int]] = {}
        for arm in self.arms().values():
            kind = "synthetic" if arm.generator else "real"
            steps = [arm.budget.steps(n) for n in arm.sizes for _ in range(self.seeds)]
            found.setdefault((kind, arm.model), []).extend(n * arm.budget.batch for n in steps)
        return [Training(*key, len(samples), sum(samples)) for key, samples in found.items()]


@dataclass(frozen=True)
class Study(base.Study):
    """Finished runs: classifiers as `runs[arm][size][seed]`, fidelity and shards by step count."""

    params: SyntheticScaling
    arms: Mapping[str, Arm]
    runs: Runs
    fidelity: dict[int, Result]
    shards: dict[int, list[Result]]
    store: Store

    def curve(self, arm: str, *, split: str = "test", metric: str = "loss") -> Curve:
        """The scaling curve of an arm (see `curves.curve`)."""
        p = self.params
        return curve(
            self.runs[arm],
            self.arms[arm].sizes,
            split=split,
            metric=metric,
            resamples=p.resamples,
            seed=p.seed,
        )

    def kinds(self) -> dict[str, Any]:
        """All results, by kind."""
        return {
            "synthetic images, quality curve": self.shards,
            "fidelity": self.fidelity,
            **{f"classifiers, {arm}": rows for arm, rows in self.runs.items()},
        }

    def gallery(self, count: int) -> dict[str, NDArray[np.uint8]]:
        """For each class name: its first `count` real images, then its first `count` of every
        generator's."""
        from dataworth.data import load_images

        real = load_images(self.params.card, POOL)
        classes = len(real.classes)
        others = self.params.other_generators
        pools = [self.params.pool(), *(self.params.pool(generator=g) for g in others)]
        drawn = [pool.load(np.arange(count * classes), self.store)[0] for pool in pools]
        return {
            name: np.concatenate(
                [real.images[np.flatnonzero(real.labels == c)[:count]]]
                + [images[c::classes] for images in drawn]
            )
            for c, name in enumerate(real.classes)
        }

    def quality(self) -> pd.DataFrame:
        """Columns steps, recognizability, half_width (95 %, binomial), frechet, images_per_second
        (one core or device, with guidance; median over tasks)."""
        import pandas as pd

        rows = []
        for steps, result in self.fidelity.items():
            p = result.metrics["recognizability"]
            seconds = [r.provenance["wall_seconds"] for r in self.shards[steps]]
            rows.append(
                {
                    "steps": steps,
                    "recognizability": p,
                    "half_width": 1.96 * np.sqrt(p * (1 - p) / self.params.curve_images),
                    "frechet": result.metrics["frechet"],
                    "images_per_second": SHARD / np.median(seconds),
                }
            )
        return pd.DataFrame(rows)

    def accuracy(self, split: str = "test") -> pd.DataFrame:
        """Top-1 in percent by arm and size: mean over seeds and 95 % interval."""
        import pandas as pd

        rows = {}
        for arm in self.runs:
            c = self.curve(arm, split=split, metric="error")
            low, high = c.interval()
            rows[arm] = {
                int(n): f"{100 * (1 - e):.1f} [{100 * (1 - h):.1f}, {100 * (1 - lo):.1f}]"
                for n, e, lo, h in zip(c.sizes, c.means, low, high, strict=True)
            }
        table = pd.DataFrame.from_dict(rows, orient="index").fillna("")
        sizes = sorted({int(n) for arm in self.arms.values() for n in arm.sizes})
        return table[sizes].rename_axis("top-1 %, by training images", axis=1)

    def predicted(self, arm: str) -> Estimate:
        """Loss at the arm's largest size over what a power law of its other sizes predicts."""
        from dataworth.fit import fit

        c = self.curve(arm)
        rest, last = c.at(c.sizes[:-1].tolist()), [float(c.sizes[-1])]
        law = fit(rest.table(), law="power", x="n", y="loss", draws=rest.draws)
        return estimate(
            c.means[-1] / law.mean(last)[0], c.draws[:, -1] / law.mean_draws(last)[:, 0]
        )

    def local_slope(self, arm: str) -> Estimate:
        """-d log loss / d log D between the two largest of `other_sizes`."""
        c = self.curve(arm).at(self.params.other_sizes[-2:])
        far = np.log(c.sizes[1] / c.sizes[0])
        return estimate(
            -np.log(c.means[1] / c.means[0]) / far, -np.diff(np.log(c.draws))[:, 0] / far
        )


def run(params: SyntheticScaling, store: Store | None = None) -> Study:
    """Run what is missing and collect the study."""
    params.preflight()
    store = store or Store()
    arms = params.arms()
    grid = {name: params.specs(arm) for name, arm in arms.items()}
    runs = run_classifiers(grid, store)
    pools = {n: params.pool(steps=n) for n in sorted(params.curve_steps)}
    wanted = range(params.curve_images)
    tasks = {n: pools[n].shards(wanted) for n in sorted(pools, reverse=True)}
    shards = base.run_grid(tasks, store, "quality curve")
    evaluated = {
        n: FidelitySpec(pool=pool, size=params.curve_images, reference=grid["real"][-1][0])
        for n, pool in pools.items()
    }
    fidelity = base.run_grid(evaluated, store, "fidelity", workers=1)
    return Study(params, arms, runs, fidelity, shards, store)
