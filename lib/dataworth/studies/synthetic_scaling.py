"""The study behind the chapter *synthetic scaling*: parameters, arms, runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator, model_validator

from dataworth.images.classifiers import MODELS, Budget, ClassifierSpec
from dataworth.images.fidelity import FidelitySpec
from dataworth.images.generators.named import GENERATORS
from dataworth.images.parts import RealPart, SyntheticPart
from dataworth.parameters import field
from dataworth.runs import Result, Store
from dataworth.runs.kept import keep
from dataworth.stats import Estimate, not_measured
from dataworth.studies import base
from dataworth.studies.curves import (
    Curve,
    accuracies,
    curves,
    exponent,
    exponent_ratio,
    lack_of_fit,
    misfits,
    widened,
)
from dataworth.studies.images import (
    GENERATOR_POOL,
    POOL,
    ImageStudy,
    Names,
    Runs,
    check_names,
    check_prompt_sets,
    check_sizes,
    run_classifiers,
)
from dataworth.studies.worth import Worth

if TYPE_CHECKING:
    import pandas as pd

    from dataworth.fit import Fit
    from dataworth.studies.image_cost import Drawing, Training

PURE = ("real", "synthetic")
"""The main arms: images of one kind alone, at every size."""
RETRIEVED = "retrieved"
"""The control of the synthetic arm: what the generator learned from, instead of what it makes."""

Sizes = Annotated[tuple[int, ...], Field(min_length=4)]
OtherSizes = Annotated[tuple[int, ...], Field(min_length=2)]


@dataclass(frozen=True)
class Arm:
    """One scaling curve: which images, how many, and who learns from them, all by name. No
    `generator` means real images, of `split`."""

    sizes: tuple[int, ...]
    generator: str | None
    prompt_set: str
    model: str
    budget: Budget
    split: str = POOL


class SyntheticScaling(ImageStudy):
    """Parameters of the chapter."""

    real_sizes: Sizes = field("training-set sizes of the real arm", "images")
    synthetic_sizes: Sizes = field("training-set sizes of the synthetic arm", "images")
    fitted_from: int = field("smallest training set that laws are fitted to", "images", ge=10)
    other_sizes: OtherSizes = field(
        "training-set sizes of the arms below, and of the two controls of the budget", "images"
    )
    other_generators: tuple[str, ...] = field("further text-to-image models, by name")
    other_prompt_sets: tuple[str, ...] = field("further prompt sets, by name")
    other_model: str = field("a classifier of another size, by name")
    retrieved_sizes: tuple[int, ...] = field(
        "training-set sizes of real images retrieved from what the generator learned from", "images"
    )
    fixed_steps: int = field("training of the fixed-steps control", "steps", ge=1, le=10**8)
    epochs: int = field("training of the fixed-epochs control", "epochs", ge=1, le=10**6)
    curve_steps: tuple[Annotated[int, Field(ge=1, le=10_000)], ...] = field(
        "step counts of the quality curve", "steps", min_length=1
    )
    curve_images: int = field("images per point of the quality curve", "images", ge=32, le=10**9)

    _distinct = field_validator("real_sizes", "synthetic_sizes", "other_sizes", "retrieved_sizes")(
        check_sizes
    )
    _known_prompt_sets = field_validator("other_prompt_sets")(check_prompt_sets)

    @field_validator("other_generators", "other_model")
    @classmethod
    def _all_known(cls, names: Names, info: ValidationInfo) -> Names:
        return check_names(names, MODELS if info.field_name == "other_model" else GENERATORS)

    @model_validator(mode="after")
    def _comparable(self) -> SyntheticScaling:
        for sizes in (self.real_sizes, self.synthetic_sizes):
            if sum(size >= self.fitted_from for size in sizes) < 3:
                raise ValueError(
                    f"fitted_from is {self.fitted_from}; it must leave three sizes to each main arm"
                )
        for part in ("other_sizes", "retrieved_sizes"):
            for arm in ("real_sizes", "synthetic_sizes"):
                if lacking := set(getattr(self, part)) - set(getattr(self, arm)):
                    raise ValueError(
                        f"{part} holds {min(lacking)}, which {arm} lacks; every arm is compared "
                        "with the main ones at the same sizes"
                    )
        return self

    def arms(self) -> dict[str, Arm]:
        """The scaling curves of the chapter by name; `real` and `synthetic` are its main ones."""
        tuned = self.own_budget
        steps = Budget(rule="fixed_steps", amount=self.fixed_steps, batch=self.batch)
        epochs = Budget(rule="fixed_epochs", amount=self.epochs, batch=self.batch)
        few, drawn, words = self.other_sizes, self.generator, self.prompt_set
        arms = {
            "real": Arm(self.real_sizes, None, words, self.model, tuned),
            "synthetic": Arm(self.synthetic_sizes, drawn, words, self.model, tuned),
        }
        if self.retrieved_sizes:
            found = (self.retrieved_sizes, None, words, self.model, tuned)
            arms[RETRIEVED] = Arm(*found, split=GENERATOR_POOL)
        for name in self.other_generators:
            arms[name] = Arm(few, name, words, self.model, tuned)
        for name in self.other_prompt_sets:
            arms[name] = Arm(few, drawn, name, self.model, tuned)
        for kind, images in (("real", None), ("synthetic", drawn)):
            arms[f"{kind}, {self.other_model}"] = Arm(few, images, words, self.other_model, tuned)
            arms[f"{kind}, fixed steps"] = Arm(few, images, words, self.model, steps)
            arms[f"{kind}, fixed epochs"] = Arm(few, images, words, self.model, epochs)
        return arms

    def specs(self, arm: Arm) -> list[list[ClassifierSpec]]:
        """The arm's training runs, as [size][seed]. Those that another chapter reads are evaluated
        on every evaluation set, those with another model or budget rule on the test split."""
        shared = arm.model == self.model and arm.budget == self.own_budget and arm.split == POOL
        return self.line(
            arm.sizes,
            partial(self.images, arm),
            model=arm.model,
            budget=arm.budget,
            evaluations=self.evaluations() if shared else ("validation", "test"),
        )

    def images(self, arm: Arm, size: int, seed: int) -> RealPart | SyntheticPart:
        """The training set of one run."""
        if arm.generator is None:
            return self.real(size, seed, split=arm.split)
        pool = self.pool(generator=arm.generator, prompt_set=arm.prompt_set)
        return self.synthetic(pool, size, seed)

    def preflight(self) -> None:
        """Raises UserError before anything runs: no data, a small pool, no generator."""
        self.check(
            real=max(*self.real_sizes, *self.other_sizes),
            generators=self.other_generators,
            runs=self.seeds * sum(len(arm.sizes) for arm in self.arms().values()),
        )
        self.check_retrieved("retrieved_sizes", max(self.retrieved_sizes, default=0), ", or []")

    def drawings(self, arms: Iterable[Arm] | None = None) -> list[Drawing]:
        """Images of every pool, as many as the largest of the arms (default: all) takes; arms of
        one pool share them."""
        from dataworth.studies.image_cost import Drawing

        pools: dict[tuple[str, str], int] = {}
        for arm in self.arms().values() if arms is None else arms:
            if arm.generator:
                pool = (arm.generator, arm.prompt_set)
                pools[pool] = max(pools.get(pool, 0), *arm.sizes)
        return [
            Drawing(name, words, self.seeds * size, self.sampling_steps(name))
            for (name, words), size in pools.items()
        ]

    def trainings(self, arms: Iterable[Arm] | None = None) -> list[Training]:
        """Classifiers of the arms (default: all) by kind of images and model."""
        from dataworth.studies.image_cost import Training

        found: dict[tuple[str, str], list[int]] = {}
        for arm in self.arms().values() if arms is None else arms:
            kind = "synthetic" if arm.generator else "real"
            steps = [arm.budget.steps(n) for n in arm.sizes for _ in range(self.seeds)]
            found.setdefault((kind, arm.model), []).extend(n * arm.budget.batch for n in steps)
        return [Training(*key, len(samples), sum(samples)) for key, samples in found.items()]


@dataclass(frozen=True, eq=False)
class Study(base.Study):
    """Finished runs: classifiers as `runs[arm][size][seed]`, fidelity and shards by step count."""

    params: SyntheticScaling
    arms: Mapping[str, Arm]
    runs: Runs
    fidelity: dict[int, Result]
    shards: dict[int, list[Result]]
    store: Store

    def curve(self, arm: str, *, split: str = "test", metric: str = "loss") -> Curve:
        """The scaling curve of an arm (see `curves.curves`); arms of one model and budget rule
        have one model of noise."""
        of = self.arms[arm]
        return self._curves(of.model, of.budget, split, metric)[arm]

    @cache  # noqa: B019 - a study lives as long as its page
    def _curves(self, model: str, budget: Budget, split: str, metric: str) -> dict[str, Curve]:
        p = self.params
        alike = (model, budget)
        names = [a for a in self.runs if (self.arms[a].model, self.arms[a].budget) == alike]
        return curves(
            {arm: self.runs[arm] for arm in names},
            {arm: self.arms[arm].sizes for arm in names},
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

    @keep
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
        """Columns steps, recognizability with recognizability_low and recognizability_high (95 %,
        binomial), frechet."""
        import pandas as pd

        rows = []
        for steps, result in self.fidelity.items():
            p = result.metrics["recognizability"]
            half = 1.96 * np.sqrt(p * (1 - p) / self.params.curve_images)
            rows.append((steps, p, p - half, p + half, result.metrics["frechet"]))
        names = [f"recognizability{end}" for end in ("", "_low", "_high")]
        return pd.DataFrame(rows, columns=["steps", *names, "frechet"])

    def accuracy(self, split: str = "test") -> pd.DataFrame:
        """Top-1 in percent by arm and size (`curves.accuracies`)."""
        return accuracies({arm: self.curve(arm, split=split, metric="error") for arm in self.runs})

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """The loss of every arm on its own sizes."""
        return {arm: self.curve(arm) for arm in self.runs}

    @cached_property
    def fitted(self) -> dict[str, Curve]:
        """The main arms from `fitted_from` on: below, a curve starts flat, near chance."""
        least = self.params.fitted_from
        found = {arm: self.curves[arm] for arm in PURE}
        return {arm: c.at([n for n in c.sizes.tolist() if n >= least]) for arm, c in found.items()}

    @cached_property
    def laws(self) -> dict[str, Fit]:
        """E + a D^-k of the main arms, on their `fitted` sizes."""
        return {arm: c.fit("shifted") for arm, c in self.fitted.items()}

    @cached_property
    def powers(self) -> dict[str, Fit]:
        """a D^-k of the main arms, on their `fitted` sizes."""
        return {arm: c.fit("power") for arm, c in self.fitted.items()}

    @cached_property
    def misfits(self) -> pd.DataFrame:
        """Lack of fit (`curves.misfits`) of both laws of both main arms."""
        return misfits(
            {f"{arm}, power law": (self.fitted[arm], law) for arm, law in self.powers.items()}
            | {f"{arm}, with a floor": (self.fitted[arm], law) for arm, law in self.laws.items()}
        )

    @cached_property
    def abilities(self) -> dict[str, Estimate]:
        """k of the main arms' `powers`, widened where the law fails."""
        factors = self.misfits.factor
        return {
            arm: widened(exponent(law), factors[f"{arm}, power law"])
            for arm, law in self.powers.items()
        }

    @property
    def shared(self) -> list[int]:
        """`fitted` sizes that both main arms have."""
        real, synthetic = (set(c.sizes.tolist()) for c in self.fitted.values())
        return sorted(real & synthetic)

    def ability_ratio(self) -> Estimate:
        """k of real over k of synthetic images, power laws on `shared`; each k is widened where
        its law fails."""
        ks = []
        for arm in PURE:
            c = self.curves[arm].at(self.shared)
            law = c.fit("power")
            ks.append(widened(exponent(law), lack_of_fit(c, law).factor))
        return ks[0].over(ks[1])

    def tuning(self) -> pd.DataFrame:
        """One row an arm and size of the main arms: training `steps` of the weights that were taken
        (mean over runs) of the `longest`; test `loss`, the `calibrated` one (one temperature a run,
        from validation), and the local `slope` of the loss up to the next size (None at the last),
        as estimates."""
        import pandas as pd

        rows = {}
        for arm in PURE:
            c, scaled = self.curves[arm], self.curve(arm, metric="calibrated")
            slopes: list[Estimate | None] = [*c.slopes(), None]
            for i, n in enumerate(c.sizes.tolist()):
                rows[arm, n] = {
                    "steps": np.mean([r.metrics["steps"] for r in self.runs[arm][i]]),
                    "longest": self.params.own_budget.steps(n),
                    "loss": c.one(i),
                    "calibrated": scaled.one(i),
                    "slope": slopes[i],
                }
        index = pd.MultiIndex.from_tuples(rows, names=["arm", "images"])
        return pd.DataFrame(rows.values(), index=index)

    @cached_property
    def common_powers(self) -> dict[str, Fit]:
        """a D^-k of every arm, on `other_sizes`, which all have."""
        sizes = self.params.other_sizes
        arms = (arm for arm in self.curves if arm != RETRIEVED)
        return {arm: self.curves[arm].at(sizes).fit("power") for arm in arms}

    def compared(self) -> pd.DataFrame:
        """The arms on `other_sizes`: which `images` (real or synthetic); and as estimates `k`, the
        `loss` at the largest size, the `ratio` of k of its real counterpart (same classifier and
        budget rule) to its own, none for a real arm, and the `slope` (`local_slope`)."""
        import pandas as pd

        rows, fits = {}, self.common_powers
        for arm, law in fits.items():
            kind = "synthetic" if self.arms[arm].generator else "real"
            same = arm.replace("synthetic", "real") if arm.startswith("synthetic") else "real"
            c = self.curves[arm].at(self.params.other_sizes)
            rows[arm] = {
                "images": kind,
                "k": exponent(law),
                "loss": c.one(-1),
                "ratio": None if kind == "real" else exponent_ratio(fits[same], law),
                "slope": self.local_slope(arm),
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("arm")

    @cached_property
    def worth(self) -> Worth:
        """What a real image is worth in synthetic ones, as a curve."""
        rows = [f"{arm}, with a floor" for arm in PURE]
        laws, factor = (self.laws["synthetic"], self.laws["real"]), self.misfits.factor[rows].max()
        synthetic, real = (self.fitted[arm].sizes.tolist() for arm in ("synthetic", "real"))
        return Worth(*laws, synthetic, real, float(factor))

    def against(self, one: str, other: str) -> Estimate:
        """Loss of one arm over that of another, at the largest size of both."""
        a, b = self.curves[one], self.curves[other]
        size = max(set(a.sizes.tolist()) & set(b.sizes.tolist()))
        return a.at([size]).one(0).over(b.at([size]).one(0))

    def over_retrieval(self, other: str = "synthetic") -> Estimate:
        """Loss on retrieved over loss on as many images of another arm."""
        if RETRIEVED in self.curves:
            return self.against(RETRIEVED, other)
        sentence = "What the generator learned from is not at hand: nothing can be retrieved."
        return not_measured(sentence)

    def local_slope(self, arm: str) -> Estimate:
        """-d log loss / d log D between the two largest of `other_sizes`."""
        return self.curves[arm].at(self.params.other_sizes[-2:]).slopes()[0]

    def saturation(self) -> tuple[Estimate, Estimate]:
        """By how much a larger classifier's local slope exceeds a smaller one's: on synthetic less
        the same on real images, and on real images. Not measurable unless the smaller classifier's
        slope on synthetic images is below half of that on real ones, which is above zero: nothing
        flattens before."""
        p = self.params
        small, large = sorted((p.model, p.other_model), key=lambda name: MODELS[name].width)

        def slope(kind: str, model: str) -> Estimate:
            return self.local_slope(kind if model == p.model else f"{kind}, {model}")

        real, synthetic = (slope(kind, large).minus(slope(kind, small)) for kind in PURE)
        found, flat, steep = synthetic.minus(real), slope("synthetic", small), slope("real", small)
        if not (steep.low > 0 and flat.value < steep.value / 2):
            sentence = (
                f"Nothing flattens yet: between {p.other_sizes[-2]:,} and {p.other_sizes[-1]:,} "
                f"images the smaller classifier's local slope is {flat.value:.2f} on synthetic and "
                f"{steep.value:.2f} on real images."
            )
            found = replace(found, unmeasurable=sentence)
        return found, real


@keep
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
