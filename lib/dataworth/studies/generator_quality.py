"""The study behind the chapter *generator quality*: what a better generator is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from dataworth.images.classifiers import ClassifierSpec
from dataworth.images.fidelity import FidelitySpec
from dataworth.images.generator_pool import Recipe
from dataworth.images.generators import WEIGHTS
from dataworth.images.memorisation import MemorisationSpec
from dataworth.images.parts import SyntheticPool, weights_digest
from dataworth.parameters import field
from dataworth.runs import Result, Store
from dataworth.runs.kept import keep
from dataworth.stats import Estimate, estimate, mean, not_measured
from dataworth.studies import base
from dataworth.studies.curves import Curve, curves
from dataworth.studies.images import (
    ImageStudy,
    Runs,
    check_sizes,
    class_names,
    recognizability,
    run_classifiers,
    weights_of,
)

if TYPE_CHECKING:
    import pandas as pd

    from dataworth.images.train_generator import GeneratorSpec
    from dataworth.studies.image_cost import Drawing, Training

Steps = tuple[Annotated[int, Field(ge=1, le=10**8)], ...]
CLOSED = "fashion-mnist"
CLOSED_GENERATORS = ("pixel-diffusion", "latent-diffusion", "masked-token")
"""Shipped generators of the closed world, whose copying is looked for too."""
UNSEEN = "classifier_pool"
"""Images of the closed world that no generator saw."""


@dataclass(frozen=True)
class Made:
    """A generator that is trained here: on so many images (at most all), for so many steps."""

    images: int
    steps: int


class GeneratorQuality(ImageStudy):
    """Parameters of the chapter."""

    needs_pool = True

    pool_sizes: tuple[int, ...] = field(
        "images that a generator learns from, the last as many as its pool has; none: no generator "
        "is trained", "images",
    )  # fmt: skip
    generator_steps: int = field("training of each generator", "steps", ge=1, le=10**8)
    shorter: Steps = field("shorter trainings of a generator of the largest pool", "steps")
    generator_seeds: int = field("generators of each kind, trained independently", ge=1, le=100)
    recurring: int = field(
        "images of a generator's pool whose name fewer share are left out of it", "images", ge=1,
        le=10**6,
    )  # fmt: skip
    size: int = field("training images of each classifier", "images", ge=10, le=10**9)
    guidances: tuple[Annotated[float, Field(ge=0, le=1000)], ...] = field(
        "guidance scales of the shipped generator, the last the strongest", "1 = none",
        min_length=2,
    )  # fmt: skip
    judged_images: int = field(
        "synthetic images evaluated by the reference classifier, and looked up among those that "
        "their generator learned from", "images", ge=20, le=10**9,
    )  # fmt: skip
    reference_size: int = field(
        "real images that the reference classifier is trained on", "images", ge=10, le=10**9
    )

    _distinct = field_validator("pool_sizes")(check_sizes)

    @model_validator(mode="after")
    def _sorted(self) -> Self:
        if sorted(set(self.guidances)) != list(self.guidances):
            raise ValueError("guidances must be distinct and in ascending order")
        if len(self.pool_sizes) == 1:
            raise ValueError("pool_sizes must be none, or two at least: a slope takes two")
        if any(steps >= self.generator_steps for steps in self.shorter):
            raise ValueError(
                f"shorter holds {max(self.shorter):,}; it must be less than generator_steps, "
                f"{self.generator_steps:,}"
            )
        if self.guidance not in self.guidances:
            raise ValueError(f"guidances must hold guidance, which is {self.guidance:g}")
        return self

    def made(self) -> list[Made]:
        """The generators that are trained here, each `generator_seeds` times."""
        if not self.pool_sizes:
            return []
        by_pool = [Made(n, self.generator_steps) for n in self.pool_sizes]
        return [*by_pool, *(Made(self.pool_sizes[-1], steps) for steps in self.shorter)]

    def generators(self) -> dict[tuple[Made, int], GeneratorSpec]:
        """The runs that train them, by kind and seed."""
        return {
            (made, s): self.trained_here(
                made.steps, images=made.images, seed=self.seed + s, recurring=self.recurring
            )
            for made in self.made()
            for s in range(self.generator_seeds)
        }  # fmt: skip

    def reference(self) -> ClassifierSpec:
        """The classifier that evaluates synthetic images, trained on real ones."""
        return self.classifier(self.real(self.reference_size, 0), seed=0)

    def drawings(self) -> list[Drawing]:
        """Images of every generator and guidance scale."""
        from dataworth.studies.image_cost import Drawing

        sets = len(self.made()) * self.generator_seeds + len(self.guidances) * self.seeds
        return [Drawing(self.generator, self.prompt_set, sets * self.size, self.solver_steps)]

    def trainings(self) -> list[Training]:
        """Classifiers on synthetic images, and the reference."""
        from dataworth.studies.image_cost import Training

        runs = len(self.made()) * self.generator_seeds + len(self.guidances) * self.seeds
        budget = self.own_budget
        steps = {
            "synthetic": runs * budget.steps(self.size),
            "real": budget.steps(self.reference_size),
        }
        return [
            Training(kind, self.model, runs if kind == "synthetic" else 1, n * budget.batch)
            for kind, n in steps.items()
        ]

    def preflight(self) -> None:
        """Raises UserError before anything runs: no data, a small pool, no generator."""
        runs = len(self.made()) * self.generator_seeds + len(self.guidances) * self.seeds
        self.check(real=self.reference_size, runs=runs + 1)


@dataclass(frozen=True, eq=False)
class Study(base.Study):
    """Finished runs: `trained[kind][seed]` classifiers on images of generators made here,
    the seed being the generator's; `sampled[guidance]` those on the shipped generator's; fidelity
    and copies of each."""

    params: GeneratorQuality
    reference: Result
    generators: dict[tuple[Made, int], Result]
    trained: dict[Made, list[Result]]
    sampled: dict[float, list[Result]]
    fidelity: dict[Any, Result]
    copies: dict[Any, Result]
    closed: dict[str, Result]
    whole: int

    def kinds(self) -> Mapping[str, Any]:
        """All results, by kind."""
        here = {
            "generators": self.generators,
            "classifiers, generators trained here": self.trained,
        }
        return {
            "reference": [self.reference],
            **(here if self.generators else {}),
            "classifiers, guidance": self.sampled,
            "fidelity": self.fidelity,
            "memorisation": {**self.copies, **self.closed},
        }

    @cached_property
    def losses(self) -> Curve:
        """Test loss of a classifier against the number of images that its generator learned from,
        all trained equally long; generators are the units of its noise."""
        p = self.params
        sizes = {"synthetic": [min(n, self.whole) for n in p.pool_sizes]}
        rows = [self.trained[Made(n, p.generator_steps)] for n in p.pool_sizes]
        found: Runs = {"synthetic": rows}
        return curves(found, sizes, resamples=p.resamples, seed=p.seed)["synthetic"]

    def by_guidance(self, metric: str = "loss") -> Curve:
        """Loss (or error) of classifiers on the shipped generator's images; `sizes` are positions
        among the guidance scales."""
        p = self.params
        rows, places = list(self.sampled.values()), list(range(len(self.sampled)))
        trained = {"": [p.size] * len(rows)}
        return curves(
            {"": rows}, {"": places}, trained=trained, metric=metric, resamples=p.resamples,
            seed=p.seed,
        )[""]  # fmt: skip

    def exponent(self) -> Estimate:
        """-d log loss / d log n_gen, least squares over all pool sizes."""
        if not self.trained:
            return self._untrained()
        c = self.losses
        x = np.log(c.sizes.astype(float))
        weight = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
        return estimate(-float(weight @ np.log(c.means)), -np.log(c.draws) @ weight)

    def shorter(self) -> Estimate:
        """Loss with generators of the shortest training over that with fully trained ones."""
        p = self.params
        if not (self.trained and p.shorter):
            return self._untrained()
        kinds = [Made(p.pool_sizes[-1], n) for n in (min(p.shorter), p.generator_steps)]
        rows = [self.trained[kind] for kind in kinds]
        c = curves(
            {"": rows}, {"": [0, 1]}, trained={"": [p.size] * 2}, resamples=p.resamples, seed=p.seed
        )[""]
        return c.one(0).over(c.one(1))

    def _untrained(self) -> Estimate:
        return not_measured("No generator is trained in this profile.")

    def pretty(self) -> tuple[Estimate, Estimate]:
        """The strongest guidance against the one that is used: loss of classifiers, a ratio, and
        recognizability, a difference in points."""
        p, c = self.params, self.by_guidance()
        used, last = p.guidances.index(p.guidance), len(p.guidances) - 1
        strong, usual = (self.recognized(p.guidances[i]) for i in (last, used))
        return c.one(last).over(c.one(used)), strong.minus(usual)

    def recognized(self, guidance: float) -> Estimate:
        """Recognizability of the shipped generator's images in percent (binomial over images)."""
        return self._recognizability(self.fidelity[guidance], round(1000 * guidance))

    def share(self, result: Result, of: str = "") -> Estimate:
        """Share of images whose most similar image is one that the generator learned from; of:
        `_real`, of real images that it did not. Its interval resamples those most similar images,
        each with all that it is most like: a few typical ones are that of many, and whether they
        were seen is one chance."""
        seen, unseen = (np.asarray(result.arrays[f"{name}{of}"]) for name in ("seen", "unseen"))
        nearer = (seen > unseen) + 0.5 * (seen == unseen)
        _, which = np.unique(result.arrays[f"most_like{of}"], return_inverse=True)
        sums, sizes = np.bincount(which, weights=nearer), np.bincount(which)
        rng = np.random.default_rng([self.params.seed, 15])
        draws = rng.integers(len(sizes), size=(self.params.resamples, len(sizes)))
        return estimate(float(nearer.mean()), sums[draws].sum(1) / sizes[draws].sum(1))

    def copied(self) -> pd.DataFrame:
        """`share` of every generator that was looked at, `share_real` of real images beside it, and
        the number of images `compared`; a row a generator."""
        import pandas as pd

        rows = {
            name: {
                "share": self.share(result),
                "share_real": self.share(result, "_real"),
                "compared": result.metrics["compared"],
            }
            for name, result in {**self.copies, **self.closed}.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("generator")

    @property
    def audited(self) -> list[int]:
        """Pool sizes that leave as many images unseen: their generators are searched for copies."""
        return [n for n in self.params.pool_sizes if 2 * n <= self.whole]

    def of_pool(self, images: int) -> Estimate:
        """`share` of generators that learned from so many images, mean over them."""
        seeds = range(self.params.generator_seeds)
        return mean([self.share(self.copies[audit_name(images, s)]) for s in seeds])

    def smallest_share(self) -> Estimate:
        """`share` of the generators of the smallest pool: the positive control."""
        return self.of_pool(min(self.audited)) if self.audited else self._untrained()

    def told(self) -> dict[str, Any]:
        """What the claims quote of the generators that are trained here: `pools`, `lengths` and
        `small` in words, and as estimates recognizability (of the images of the smallest and the
        largest pool's generators, and after the shortest training) and shares of copies."""
        p, nothing = self.params, self._untrained()
        numbers = ("least_seen", "most_seen", "short_seen", "few_real", "many_share")
        found: dict[str, Any] = dict.fromkeys(numbers, nothing)
        if not self.trained:
            words = ("pools", "lengths", "small")
            return found | dict.fromkeys(words, "no generator was trained here")
        sizes, short = p.pool_sizes, min(p.shorter, default=p.generator_steps)
        found |= {
            "pools": f"{sizes[0]:,} to {min(sizes[-1], self.whole):,} icons, "
            f"{p.generator_steps:,} steps each",
            "lengths": f"{short:,} over {p.generator_steps:,} steps",
            "small": "no pool leaves as many icons unseen",
            "least_seen": self._seen(Made(sizes[0], p.generator_steps)),
            "most_seen": self._seen(Made(sizes[-1], p.generator_steps)),
            "short_seen": self._seen(Made(sizes[-1], short)),
        }
        if self.audited:
            few = min(self.audited)
            found["small"] = f"{few:,} icons seen, as many unseen ones"
            found["few_real"] = self.share(self.copies[audit_name(few, 0)], "_real")
            found["many_share"] = self.of_pool(max(self.audited))
        return found

    def _seen(self, made: Made) -> Estimate:
        """Recognizability of the images of generators of a kind in percent, mean over them."""
        seeds = range(self.params.generator_seeds)
        return mean([self._recognizability(self.fidelity[made, s], s) for s in seeds])

    def _recognizability(self, result: Result, stream: int) -> Estimate:
        p = self.params
        return recognizability(result, p.resamples, [p.seed, 14, stream])

    def table(self) -> pd.DataFrame:
        """A row a kind of generator that was trained here: `images`, `steps`, the test `loss` of
        its classifiers, `recognizability` and Fréchet distance (`frechet`) of its images, means
        over seeds."""
        import pandas as pd

        rows = []
        for made in self.trained:
            seeds = range(self.params.generator_seeds)
            fidelity = [self.fidelity[made, s].metrics for s in seeds]
            rows.append(
                {
                    "images": min(made.images, self.whole),
                    "steps": made.steps,
                    "recognizability": np.mean([f["recognizability"] for f in fidelity]),
                    "frechet": np.mean([f["frechet"] for f in fidelity]),
                    "loss": np.mean([r.metrics["loss_test"] for r in self.trained[made]]),
                }
            )
        return pd.DataFrame(rows)


def audit_name(images: int, seed: int) -> str:
    """What a generator is called among those that were looked at for copies."""
    return f"{images:,} icons, seed {seed}"


@keep
def pool_size(card: str, recurring: int) -> int:
    """Images in the whole of a generator's pool."""
    from dataworth.images.generator_pool import generator_pool

    return len(generator_pool(card, Recipe(recurring=recurring)).images)


def closed_pool(params: GeneratorQuality, generator: str) -> SyntheticPool:
    """Images of a shipped generator of the closed world."""
    return params.pool(
        family=generator,
        weights=weights_digest(WEIGHTS / generator),
        card=CLOSED,
        prompt_set="photo",
        names=class_names(CLOSED),
    )


@keep
def run(params: GeneratorQuality, store: Store | None = None) -> Study:
    """Run what is missing and collect the study."""
    from dataworth.images.train_generator import trained

    params.preflight()
    store = store or Store()
    made = params.generators()
    results: dict[tuple[Made, int], Result] = dict(
        zip(made, trained(list(made.values()), store), strict=True)
    )
    pools = {key: params.pool(weights=weights_of(spec)) for key, spec in made.items()}
    scales = {w: params.pool(guidance=w) for w in params.guidances}
    reference = params.reference()
    # One classifier a generator: what two of one generator have in common is no noise of its own.
    specs = {
        key: params.classifier(params.synthetic(pool, params.size, 0), seed=key[1])
        for key, pool in pools.items()
    }
    by_scale = {
        w: [
            params.classifier(params.synthetic(pool, params.size, s), seed=s)
            for s in range(params.seeds)
        ]
        for w, pool in scales.items()
    }
    grid = {
        "reference": [[reference]],
        "made": [[spec] for spec in specs.values()],
        "scales": list(by_scale.values()),
    }
    runs = run_classifiers(grid, store)
    judged: dict[Any, FidelitySpec] = {
        key: FidelitySpec(pool=pool, size=params.judged_images, reference=reference, split="test")
        for key, pool in (*scales.items(), *pools.items())
    }
    whole = pool_size(params.card, params.recurring)
    audits: dict[str, MemorisationSpec] = {
        audit_name(kind.images, s): MemorisationSpec(
            pool=pools[kind, s], size=params.judged_images, recipe=made[kind, s].recipe
        )
        for kind, s in made
        if 2 * kind.images <= whole and kind.steps == params.generator_steps
    }
    closed: dict[str, MemorisationSpec] = {
        name: MemorisationSpec(
            pool=closed_pool(params, name), size=params.judged_images,
            recipe=Recipe(stylised_per_style=0), unseen=UNSEEN,
        )
        for name in CLOSED_GENERATORS
    }  # fmt: skip
    shown = [(spec.pool, spec.size) for spec in judged.values()]
    shown += [(spec.pool, spec.size) for spec in closed.values()]
    drawn = {str(i): pool.shards(range(size)) for i, (pool, size) in enumerate(shown)}
    base.run_grid(drawn, store, "images")
    fidelity = base.run_grid(judged, store, "fidelity", workers=1)
    copies = base.run_grid({**audits, **closed}, store, "memorisation", workers=1)
    flat = dict(zip(specs, (row[0] for row in runs["made"]), strict=True))
    return Study(
        params,
        runs["reference"][0][0],
        results,
        {m: [flat[m, s] for s in range(params.generator_seeds)] for m in params.made()},
        dict(zip(by_scale, runs["scales"], strict=True)),
        fidelity,
        {name: copies[name] for name in audits},
        {name: copies[name] for name in closed},
        whole,
    )


@keep
def gallery(params: GeneratorQuality, count: int) -> dict[str, NDArray[np.uint8]]:
    """For each guidance scale the first images of as many classes, none chosen."""
    store = Store()
    return {
        f"w = {w:g}": np.asarray(params.pool(guidance=w).load(np.arange(count), store)[0])
        for w in params.guidances
    }
