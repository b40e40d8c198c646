"""The study behind the chapter *open world*: a generator that meets the task from a distance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from dataworth.arrays import Array
from dataworth.images.classifiers import ClassifierSpec
from dataworth.images.fidelity import FidelitySpec, recall_and_f1
from dataworth.parameters import field
from dataworth.runs import Result, Store
from dataworth.runs.kept import keep
from dataworth.stats import Estimate, estimate, not_measured, rank_correlation
from dataworth.studies import base
from dataworth.studies.curves import Curve, accuracies, answers, curves
from dataworth.studies.images import (
    GENERATOR_POOL,
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

Sizes = Annotated[tuple[int, ...], Field(min_length=2)]

IN_DOMAIN = "test"
MEASURES = ("recognizability", "accuracy")
"""Of a generator's images of a class, and of classifiers that are trained on them."""
HALVES = ("even", "odd")
"""Which classes are rare in a generator's pool: one of two halves, drawn by the pair's number."""


class OpenWorld(ImageStudy):
    """Parameters of the chapter."""

    needs_pool = True

    real_sizes: Sizes = field("training-set sizes of the real arm", "images")
    synthetic_sizes: Sizes = field("training-set sizes of the synthetic arm", "images")
    retrieved_size: int = field(
        "images of the classes that are retrieved from what the generator learned from", "images",
        ge=10, le=10**9,
    )  # fmt: skip
    familiar_sets: tuple[str, ...] = field(
        "evaluation sets of the styles that classifiers are trained on", min_length=1
    )
    other_sets: tuple[str, ...] = field(
        "evaluation sets of styles that no classifier is trained on", min_length=1
    )
    judged_images: int = field(
        "synthetic images evaluated by the reference classifier", "images", ge=20, le=10**9
    )
    pairs: int = field(
        "pairs of generators: in each, one half of the classes is rare in one generator's pool and "
        "the other half in the other's",
        "pairs", ge=0, le=100,
    )  # fmt: skip
    rare_share: float = field("share of a rare class's images that is left in", ge=0, lt=1)
    recurring: int = field(
        "images of a generator's pool whose name fewer share are left out of it", "images", ge=1,
        le=10**6,
    )  # fmt: skip
    generator_steps: int = field("training of each generator", "steps", ge=1, le=10**8)
    pool_images: int = field(
        "images that a pair's generators learn from, at most all of the pool", "images", ge=1,
        le=10**9,
    )  # fmt: skip
    pair_size: int = field("training images of the pairs' classifiers", "images", ge=10, le=10**9)

    _distinct = field_validator("real_sizes", "synthetic_sizes")(check_sizes)

    @model_validator(mode="after")
    def _in_common(self) -> Self:
        if not (common := set(self.real_sizes) & set(self.synthetic_sizes)):
            raise ValueError("real_sizes and synthetic_sizes must have a size in common")
        if self.retrieved_size not in common:
            raise ValueError(
                "retrieved_size must be one of real_sizes and of synthetic_sizes: arms are "
                "compared at equal numbers"
            )
        return self

    def grid(self) -> dict[str, list[list[ClassifierSpec]]]:
        """Training runs `[size][seed]` by arm: `real`, `synthetic`, `retrieved`."""
        pool = self.pool()
        return {
            "real": self.line(self.real_sizes, self.real),
            "synthetic": self.line(
                self.synthetic_sizes, lambda size, seed: self.synthetic(pool, size, seed)
            ),
            "retrieved": self.line(
                [self.retrieved_size],
                lambda size, seed: self.real(size, seed, split=GENERATOR_POOL),
            ),
        }

    def rare(self, pair: int, half: str) -> tuple[int, ...]:
        """Labels of the classes that are rare in one generator of a pair, ascending."""
        classes = len(class_names(self.card))
        order = np.random.default_rng([self.seed, 11, pair]).permutation(classes)
        chosen = order[: classes // 2] if half == HALVES[0] else order[classes // 2 :]
        return tuple(sorted(chosen.tolist()))

    def twin(self, pair: int, half: str) -> GeneratorSpec:
        """The generator of a pair in whose pool the classes of a half are rare."""
        of = {"gap": self.rare_share, "rare": self.rare(pair, half), "seed": self.seed + pair}
        of["images"] = self.pool_images
        return self.trained_here(self.generator_steps, recurring=self.recurring, **of)

    def twins(self) -> dict[tuple[int, str], GeneratorSpec]:
        """All generators of the pairs."""
        return {(p, half): self.twin(p, half) for p in range(self.pairs) for half in HALVES}

    def drawings(self) -> list[Drawing]:
        """The synthetic arm and the pairs' pools."""
        from dataworth.studies.image_cost import Drawing

        images = self.seeds * max(self.synthetic_sizes)
        images += 2 * self.pairs * self.seeds * self.pair_size
        return [Drawing(self.generator, self.prompt_set, images, self.solver_steps)]

    def trainings(self) -> list[Training]:
        """Classifiers by kind of images."""
        from dataworth.studies.image_cost import Training

        budget, found = self.own_budget, []
        kinds = {
            "real": (*self.real_sizes, self.retrieved_size),
            "synthetic": (*self.synthetic_sizes, *[self.pair_size] * (2 * self.pairs)),
        }
        for kind, sizes in kinds.items():
            samples = self.seeds * sum(budget.steps(n) * budget.batch for n in sizes)
            found.append(Training(kind, self.model, self.seeds * len(sizes), samples))
        return found

    def preflight(self) -> None:
        """Raises UserError before anything runs: no data, a small pool, no generator."""
        self.check(
            real=max(self.real_sizes),
            runs=self.seeds * (2 * self.pairs + len(self.real_sizes) + len(self.synthetic_sizes)),
        )
        self.check_retrieved("retrieved_size", self.retrieved_size)

    def _lacking(self) -> str:
        missing = {*self.familiar_sets, *self.other_sets} - {*self.evaluations()}
        return super()._lacking() or (
            f"has no set {min(missing)}, which this chapter is about" if missing else ""
        )


@dataclass(frozen=True, eq=False)
class Study(base.Study):
    """Finished runs: classifiers as `runs[arm][size][seed]`, `fidelity` of the main generator's
    images, and of each generator of a pair its own `fidelity` and classifiers `[seed]`."""

    params: OpenWorld
    runs: Runs
    fidelity: Result
    generators: dict[tuple[int, str], Result]
    twin_fidelity: dict[tuple[int, str], Result]
    twin_runs: dict[tuple[int, str], list[Result]]
    counts: dict[str, int]
    store: Store

    def kinds(self) -> Mapping[str, Any]:
        """All results, by kind."""
        pairs = {"generators": self.generators, "fidelity, pairs": self.twin_fidelity}
        return {
            **{f"classifiers, {arm}": rows for arm, rows in self.runs.items()},
            "fidelity": [self.fidelity],
            **(pairs | {"classifiers, pairs": self.twin_runs} if self.generators else {}),
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The classes, in the order of their labels."""
        return self.params.pool().names

    def sizes(self, arm: str) -> Sequence[int]:
        """Training-set sizes of an arm."""
        p = self.params
        known = {"real": p.real_sizes, "synthetic": p.synthetic_sizes}
        return known.get(arm, (p.retrieved_size,))

    @cache  # noqa: B019 - a study lives as long as its page
    def curves(self, split: str = IN_DOMAIN, metric: str = "loss") -> dict[str, Curve]:
        """The curve of each arm on an evaluation set."""
        p = self.params
        sizes = {arm: self.sizes(arm) for arm in self.runs}
        return curves(
            self.runs, sizes, split=split, metric=metric, resamples=p.resamples, seed=p.seed
        )

    def accuracy(self, split: str = IN_DOMAIN) -> pd.DataFrame:
        """Top-1 in percent by arm and size (`curves.accuracies`)."""
        return accuracies(self.curves(split, "error"))

    def against(self, one: str, other: str, sizes: tuple[int, int] | None = None) -> Estimate:
        """Loss of one arm over that of another, at their largest common size, or at `sizes`."""
        found = self.curves()
        a, b = found[one], found[other]
        n = max(set(a.sizes.tolist()) & set(b.sizes.tolist())) if sizes is None else 0
        first, second = sizes or (n, n)
        return a.at([first]).one(0).over(b.at([second]).one(0))

    def worth(self) -> Estimate:
        """Synthetic images per real one: the largest synthetic set over the number of real images
        of equal loss, on straight lines in logs between the sizes of the real arm; infinite where
        it is worse than the smallest of them, 0 where it is better than the largest."""
        found = self.curves()
        real, most = found["real"], found["synthetic"]

        def ratio(curve: Array, loss: float) -> float:
            falling = np.minimum.accumulate(np.log(curve))
            ends = {"left": -np.inf, "right": np.inf}
            n = np.interp(-np.log(loss), -falling, np.log(real.sizes), **ends)
            with np.errstate(divide="ignore"):
                return float(most.sizes[-1] / np.exp(n))

        drawn = [ratio(c, loss) for c, loss in zip(real.draws, most.draws[:, -1], strict=True)]
        return estimate(ratio(real.means, float(most.means[-1])), drawn)

    @cached_property
    def by_style(self) -> pd.DataFrame:
        """Top-1 in points, synthetic less real, at the largest common size, by evaluation set:
        `images`, `real`, `synthetic` and their difference `synthetic less real`, as estimates."""
        import pandas as pd

        p, rows = self.params, {}
        n = max(set(self.sizes("real")) & set(self.sizes("synthetic")))
        for split in (IN_DOMAIN, *p.familiar_sets, *p.other_sets):
            found = self.curves(split, "error")
            real, made = (found[arm].top1().at([n]).one(0) for arm in ("real", "synthetic"))
            images = len(self.runs["real"][0][0].arrays[f"labels_{split}"])
            rows[split] = {
                "images": images, "real": real, "synthetic": made,
                "synthetic less real": made.minus(real),
            }  # fmt: skip
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("evaluation set")

    def ratio_on(self, sets: Sequence[str]) -> Estimate:
        """Top-1 of the largest common synthetic set over that of as many real images, geometric
        mean over evaluation sets."""
        found = self.by_style
        ratios = [found["synthetic"][name].over(found["real"][name]) for name in sets]
        with np.errstate(divide="ignore"):  # a draw in which nothing was right
            value = np.exp(np.mean([np.log(r.value) for r in ratios]))
            return estimate(float(value), np.exp(np.mean([np.log(r.draws) for r in ratios], 0)))

    def other_styles(self) -> Estimate:
        """The ratio of accuracies on styles of which no classifier has seen any, over that in
        domain."""
        return self.ratio_on(self.params.other_sets).over(self.ratio_on([IN_DOMAIN]))

    # ---- Concepts -------------------------------------------------------------------------------

    def concepts(self) -> pd.DataFrame:
        """Per class: its `images` in the generator's pool, `recognizability` (of the reference on
        the main generator's images), `real`, the same reference's recall on real test images, and
        the `accuracy` of the largest synthetic set."""
        import pandas as pd

        classes = len(self.names)
        reference, largest = self.runs["real"][-1][0], self.runs["synthetic"][-1]
        return pd.DataFrame(
            {
                "images": [self.counts[name] for name in self.names],
                "recognizability": self.fidelity.arrays["recall_by_class"],
                "real": recall_of(reference, classes),
                "accuracy": np.mean([recall_of(r, classes) for r in largest], axis=0),
            },
            index=pd.Index(self.names, name="class"),
        )

    def by_frequency(self) -> dict[str, Estimate]:
        """Rank correlation over classes of the number of images in the generator's pool with how
        well its images are recognised, and with how well real ones are."""
        found = self.concepts()
        return {
            column: rank_correlation(found["images"], found[column])
            for column in ("recognizability", "real", "accuracy")
        }

    def twin_table(self) -> pd.DataFrame:
        """One row a pair and class: recognizability and classifier `accuracy` of the class where it
        is `common` and where it is `rare`."""
        import pandas as pd

        rows: dict[tuple[int, str], dict[str, float]] = {}
        for pair, half in self.twin_fidelity:
            rare = self.params.rare(pair, half)
            seen = self.twin_fidelity[pair, half].arrays["recall_by_class"]
            right = self._recall(pair, half)
            for label, name in enumerate(self.names):
                way = "rare" if label in rare else "common"
                row = rows.setdefault((pair, name), {})
                row |= {f"recognizability, {way}": seen[label], f"accuracy, {way}": right[label]}
        table = pd.DataFrame.from_dict(rows, orient="index")
        return table.rename_axis(["pair", "class"]).reset_index()

    def _recall(self, pair: int, half: str) -> NDArray[np.float64]:
        """Recall of each class on the test set, mean over a generator's classifiers."""
        found = [recall_of(r, len(self.names)) for r in self.twin_runs[pair, half]]
        return np.asarray(np.mean(found, axis=0))

    def made_rare(self, measure: str) -> Estimate:
        """By how many points a measure (`recognizability`, `accuracy`) of a class falls when the
        class is made rare in the generator's pool: mean over pairs and classes, which are resampled
        (each with all its pairs)."""
        if not self.params.pairs:
            return not_measured("No pair of generators is trained in this profile.")
        found = self.twin_table()
        fall = 100 * (found[f"{measure}, common"] - found[f"{measure}, rare"])
        by_class = fall.groupby(found["class"]).mean().to_numpy()
        rng = np.random.default_rng([self.params.seed, 12])
        rows = rng.integers(len(by_class), size=(self.params.resamples, len(by_class)))
        return estimate(float(by_class.mean()), by_class[rows].mean(1))

    def falls(self) -> pd.DataFrame:
        """`points lost` by a class that is made rare (`made_rare`), by measure."""
        import pandas as pd

        rows = {measure: {"points lost": self.made_rare(measure)} for measure in MEASURES}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("measure")

    @cached_property
    def recognizable(self) -> Estimate:
        """Recognizability of the main generator in percent, with its interval over images."""
        return recognizability(self.fidelity, self.params.resamples, [self.params.seed, 13])

    @keep
    def gallery(self, count: int, each: int) -> dict[str, NDArray[np.uint8]]:
        """For `count` classes, evenly by recognizability, the first `each` real images and the
        first `each` of the generator's."""
        from dataworth.data import load_images

        p = self.params
        real = load_images(p.card, "classifier_pool")
        order = np.argsort(self.fidelity.arrays["recall_by_class"], kind="stable")
        chosen = order[np.linspace(0, len(order) - 1, count).round().astype(int)]
        drawn, _ = p.pool().load(np.arange(each * len(self.names)), self.store)
        return {
            self.names[c]: np.concatenate(
                [
                    real.images[np.flatnonzero(real.labels == c)[:each]],
                    np.asarray(drawn)[c :: len(self.names)],
                ]
            )
            for c in chosen
        }


def recall_of(result: Result, classes: int) -> NDArray[np.float64]:
    """Recall of each class on the test set, (classes,), of a classifier."""
    truth = np.asarray(result.arrays[f"labels_{IN_DOMAIN}"])
    return recall_and_f1(answers(result, IN_DOMAIN).astype(np.int64), truth, classes)[0]


@keep
def pool_counts(card: str, recurring: int) -> dict[str, int]:
    """Images of each class in the generator's pool, by the class's name in prompts."""
    from dataworth.images.generator_pool import Recipe, generator_pool
    from dataworth.images.prompts.vocabulary import names_of

    labels = generator_pool(card, Recipe(recurring=recurring)).labels
    names = names_of(card)
    counts = np.bincount(labels[labels >= 0], minlength=len(names)).tolist()
    return dict(zip(names, counts, strict=True))


@keep
def run(params: OpenWorld, store: Store | None = None) -> Study:
    """Run what is missing and collect the study."""
    from dataworth.images.train_generator import trained

    params.preflight()
    store = store or Store()
    grid = params.grid()
    twins = params.twins()
    results: list[Result] = trained(list(twins.values()), store)
    made: dict[tuple[int, str], Result] = dict(zip(twins, results, strict=True))
    pools = {key: params.pool(weights=weights_of(spec)) for key, spec in twins.items()}
    pairs = {
        key: [
            params.classifier(params.synthetic(pool, params.pair_size, s), seed=s)
            for s in range(params.seeds)
        ]
        for key, pool in pools.items()
    }
    runs = run_classifiers({**grid, **{str(key): [row] for key, row in pairs.items()}}, store)
    reference = grid["real"][-1][0]
    judged = {
        key: FidelitySpec(
            pool=pool, size=params.judged_images, reference=reference, split=IN_DOMAIN
        )
        for key, pool in (("main", params.pool()), *pools.items())
    }
    shards = {str(key): spec.pool.shards(range(spec.size)) for key, spec in judged.items()}
    base.run_grid(shards, store, "images")
    fidelity = base.run_grid(judged, store, "fidelity", workers=1)
    return Study(
        params,
        {arm: runs[arm] for arm in grid},
        fidelity["main"],
        made,
        {key: fidelity[key] for key in twins},
        {key: runs[str(key)][0] for key in twins},
        pool_counts(params.card, params.recurring),
        store,
    )
