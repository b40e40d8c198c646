"""The study behind the chapter *per class*: groups of classes, causes, an intervention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import field_validator, model_validator

from dataworth.images import parts
from dataworth.images.classifiers import Budget, ClassifierSpec
from dataworth.images.fidelity import FidelitySpec, recall_and_f1
from dataworth.images.parts import RealPart, SyntheticPart, SyntheticPool
from dataworth.parameters import field
from dataworth.runs import Result, Store, run_tasks
from dataworth.runs.kept import keep
from dataworth.stats import Estimate, estimate
from dataworth.studies import base
from dataworth.studies.curves import Curve, answers, curves, hash_of, resample, scores
from dataworth.studies.images import POOL, Runs, check_prompt_sets, run_classifiers
from dataworth.studies.reanalysis import Reanalysis
from dataworth.studies.synthetic_scaling import PURE

if TYPE_CHECKING:
    import pandas as pd

    from dataworth.studies.image_cost import Drawing, Training

from dataworth.arrays import Array

Rows = NDArray[np.intp]
Who = Literal["weak", "other", "all"]

GROUPS = ("easy", "scaling", "poor")
SLACK = (0.1, 0.1, 0.05)  # how far the thresholds of the groups are moved to either side


class PerClass(Reanalysis):
    """Parameters of the chapter."""

    easy_accuracy: float = field(
        "easy: a class whose top-1 reaches this at the smallest size", gt=0, le=1
    )
    poor_accuracy: float = field(
        "poor: a class whose top-1 stays below this at the largest size", gt=0, le=1
    )
    poor_exponent: float = field(
        "poor: and whose error falls with the training set by an exponent below this", gt=0, le=1
    )
    judged_images: int = field(
        "synthetic images evaluated by the reference classifier", "images", ge=20, le=10**9
    )
    weakest: int = field("classes treated by the intervention", "classes", ge=1, le=10**6)
    fix_prompt_set: str = field("intervention: other prompts for the weakest classes")
    fix_guidance: float = field(
        "intervention: other guidance for the weakest classes", "1 = none", ge=0, le=1000
    )
    fix_size: int = field("intervention: training images per run", "images", ge=10, le=10**9)
    fix_budget: int = field("intervention: length of training", "steps", ge=1, le=10**8)

    _prompts = field_validator("fix_prompt_set")(check_prompt_sets)

    @model_validator(mode="after")
    def _in_common(self) -> Self:
        if len(self.common_sizes) < 2:
            raise ValueError("real_sizes and synthetic_sizes must have two sizes in common")
        return self

    @property
    def common_sizes(self) -> list[int]:
        """The sizes of both arms: classes are compared over these."""
        return [n for n in self.real_sizes if n in self.synthetic_sizes]

    def fidelity(self, reference: ClassifierSpec) -> FidelitySpec:
        """The pool of the synthetic arm, evaluated by a classifier trained on real images."""
        size = min(self.judged_images, max(self.synthetic_sizes))
        return FidelitySpec(pool=self.pool(), size=size, reference=reference)

    def fix_pools(self) -> dict[str, SyntheticPool]:
        """The synthetic pools that replace the weakest classes' images, by intervention."""
        return {
            f"prompts: {self.fix_prompt_set}": self.pool(prompt_set=self.fix_prompt_set),
            f"guidance: {self.fix_guidance:g}": self.pool(guidance=self.fix_guidance),
        }

    def fixes(self, weak: Sequence[int]) -> dict[str, list[ClassifierSpec]]:
        """Runs by intervention, `[seed]`: synthetic images as before; the images of the classes
        `weak` from another pool; and those images real, which no generator can improve on."""
        pool, budget = self.pool(), Budget(amount=self.fix_budget, batch=self.batch)
        classes = len(pool.names)
        found: dict[str, list[ClassifierSpec]] = {}
        for s in range(self.seeds):
            ids = self.synthetic(pool, self.fix_size, s).ids
            rest = tuple(i for i in ids if i % classes not in weak)
            taken = tuple(i for i in ids if i % classes in weak)
            kept = SyntheticPart(pool=pool, ids=rest)
            replaced: dict[str, tuple[RealPart | SyntheticPart, ...]] = {
                "as before": (SyntheticPart(pool=pool, ids=ids),)
            }
            for name, other in self.fix_pools().items():
                replaced[name] = (kept, SyntheticPart(pool=other, ids=taken))
            replaced["real images"] = (kept, self.real_of(weak, s))
            for name, of in replaced.items():
                spec = self.classifier(*of, seed=s, budget=budget)
                found.setdefault(name, []).append(spec)
        return found

    def real_of(self, classes: Sequence[int], seed: int) -> RealPart:
        """The real images of some classes within a balanced set of `fix_size`."""
        from dataworth.data import load_images

        whole = load_images(self.card, POOL)
        label = dict(zip(whole.ids.tolist(), whole.labels.tolist(), strict=True))
        part = self.real(self.fix_size, seed)
        return part.model_copy(update={"ids": tuple(i for i in part.ids if label[i] in classes)})

    def drawings(self) -> list[Drawing]:
        """The synthetic arm and the pools of the intervention."""
        fixes = [(self.generator, prompts) for prompts in (self.fix_prompt_set, self.prompt_set)]
        return [*super().drawings(), *self.sampled(fixes, self.fix_size)]

    def trainings(self) -> list[Training]:
        """The main arms and the four sets of the intervention."""
        return [*super().trainings(), self.further("intervention", 4, self.fix_budget)]

    def preflight(self) -> None:
        """Raises UserError before anything runs: no data, a small pool, no generator."""
        self.check(
            real=max(*self.real_sizes, self.fix_size),
            runs=self.seeds * (4 + len(self.real_sizes) + len(self.synthetic_sizes)),
        )


@dataclass(frozen=True, eq=False)
class Study(base.Study):
    """Finished runs: `runs[arm][size][seed]`, `fixes[intervention][seed]`; `weak`, the treated
    classes by label, chosen on the validation set."""

    params: PerClass
    sizes: Mapping[str, Sequence[int]]
    runs: Runs
    fidelity: Result
    weak: tuple[int, ...]
    fixes: dict[str, list[Result]]
    store: Store

    @property
    def names(self) -> tuple[str, ...]:
        """The classes, in the order of their labels."""
        return self.params.pool().names

    def labels(self, split: str = "test") -> NDArray[np.int64]:
        """The labels (N,) of an evaluation set."""
        return np.asarray(self.runs["real"][0][0].arrays[f"labels_{split}"])

    def curve(self, arm: str, label: int, *, metric: str = "loss") -> Curve:
        """The scaling curve of an arm on the test images of one class."""
        return self._curves(label, metric)[arm]

    @cache  # noqa: B019 - a study lives as long as its page
    def _curves(self, label: int, metric: str) -> dict[str, Curve]:
        p, rows = self.params, np.flatnonzero(self.labels() == label)
        return curves(
            self.runs, self.sizes, metric=metric, rows=rows, resamples=p.resamples, seed=p.seed
        )

    def classes(self, arm: str) -> dict[str, ClassScaling]:
        """Every class of an arm, by name, over the sizes that both arms have."""
        p, found = self.params, {}
        for label, name in enumerate(self.names):
            error = self.curve(arm, label, metric="error").at(p.common_sizes)
            least = 0.5 / np.count_nonzero(self.labels() == label)
            k = estimate(
                exponent(error.sizes, np.maximum(error.means, least)).item(),
                exponent(error.sizes, np.maximum(error.draws, least)),
            )
            first, last = (estimate(1 - error.means[i], 1 - error.draws[:, i]) for i in (0, -1))
            rules = {"easy": p.easy_accuracy, "poor": p.poor_accuracy, "flat": p.poor_exponent}
            group = groups(first.value, last.value, k.value, **rules).item()
            draws = groups(first.draws, last.draws, k.draws, **rules)
            found[name] = ClassScaling(first, last, k, group, draws)
        return found

    def table(self, arm: str) -> pd.DataFrame:
        """Groups of an arm by class: top-1 at the smallest (`first`) and largest size (`last`),
        `k` of the error, `group`, and `agreed`, the fraction of bootstrap draws in that group."""
        import pandas as pd

        columns = ("first", "last", "k", "group")
        return pd.DataFrame(
            {
                name: {column: getattr(c, column) for column in columns}
                | {"agreed": (c.groups == c.group).mean()}
                for name, c in self.classes(arm).items()
            }
        ).T.rename_axis("class")

    def filled_groups(self, arm: str) -> Estimate:
        """How many of the groups hold a class. The paper gives no thresholds, so the interval
        covers those up to `SLACK` beside the parameters', as well as the bootstrap draws."""
        p, found = self.params, list(self.classes(arm).values())
        counts = []
        for easy, poor, flat in product(*((-slack, 0, slack) for slack in SLACK)):
            chosen = {
                "easy": min(p.easy_accuracy + easy, 1),
                "poor": max(p.poor_accuracy + poor, 0),
                "flat": max(p.poor_exponent + flat, 0),
            }
            of = [groups(c.first.draws, c.last.draws, c.k.draws, **chosen) for c in found]
            counts.append(np.sum([(np.stack(of) == name).any(0) for name in GROUPS], axis=0))
        return estimate(len({c.group for c in found}), np.concatenate(counts))

    def causes(self) -> pd.DataFrame:
        """Per class: `k` of the error and `accuracy` of the synthetic arm, `recognizability` (F1)
        and `diversity` (feature deviation) of its images, and `real_f1`, the same reference on real
        validation images: a class that the reference cannot tell either is no fault of the
        generator."""
        import pandas as pd

        arrays = self.fidelity.arrays
        reference = self.runs["real"][-1][0].arrays
        labels = np.asarray(reference["labels_validation"])
        answers = reference["logits_validation"].argmax(1)
        _, real_f1 = recall_and_f1(answers, labels, len(self.names))
        synthetic, real = self.classes("synthetic"), self.classes("real")
        return pd.DataFrame(
            {
                "k": [c.k.value for c in synthetic.values()],
                "accuracy": [c.last.value for c in synthetic.values()],
                "accuracy_real": [c.last.value for c in real.values()],
                "recognizability": arrays["f1_by_class"],
                "diversity": arrays["deviation_by_class"],
                "real_f1": real_f1,
            },
            index=pd.Index(self.names, name="class"),
        )

    def excess_gap(self) -> Estimate:
        """Real minus synthetic top-1 at the largest common size, of the `weak` classes less that
        of the others, in points. Points near 50 % move more easily than points near 95 %: weak
        classes lose more of them whatever the cause (see `excess_at_equal_accuracy`)."""
        at = self.params.common_sizes[-1]
        real, synthetic = (self._places(arm)[self.sizes[arm].index(at)] for arm in PURE)

        def excess(error: Array) -> Array:
            _, weak, other = np.moveaxis(error[..., synthetic, :] - error[..., real, :], -1, 0)
            return np.asarray(100 * (weak - other))

        means, drawn = self._by_group
        return estimate(float(excess(means)), excess(drawn))

    def excess_at_equal_accuracy(self) -> Estimate:
        """Top-1 of the `weak` classes, in points, that the real arm has more than the largest
        synthetic set where its top-1 over *all* classes is that of the synthetic set, by straight
        lines between the sizes of the real arm. Not measurable where no real set is as good, or
        none as bad."""
        real, last = self._places("real"), self._places("synthetic")[-1]

        def excess(error: Array) -> float:
            everything, weak = 1 - error[:, 0], 1 - error[:, 1]
            rising = np.maximum.accumulate(everything[real])
            return float(100 * (np.interp(everything[last], rising, weak[real]) - weak[last]))

        means, drawn = self._by_group
        found = estimate(excess(means), [excess(draw) for draw in drawn])
        everything = 1 - means[:, 0]
        if everything[real].min() <= everything[last] <= everything[real].max():
            return found
        why = (
            f"The top-1 of the largest synthetic set, {100 * everything[last]:.1f} %, lies outside "
            "that of the real sets."
        )
        return replace(found, unmeasurable=why)

    def _places(self, arm: str) -> list[int]:
        """Positions of an arm's cells in `_by_group`."""
        first = 0 if arm == PURE[0] else len(self.sizes[PURE[0]])
        return list(range(first, first + len(self.sizes[arm])))

    @cached_property
    def _by_group(self) -> tuple[Array, Array]:
        """Errors of all cells of both arms over all classes, the weak and the others, (cells, 3),
        and draws of them: at once, as a run that does well on one group may do so on another."""
        errors = np.concatenate([scores(self.runs[arm], metric="error") for arm in PURE])
        rows = [self.rows(who) for who in ("all", "weak", "other")]
        drawn = resample(
            [(errors, each) for each in rows],
            sizes=np.concatenate([self.sizes[arm] for arm in PURE]),
            resamples=self.params.resamples,
            seed=self.params.seed,
            stream=hash_of(self.runs["real"]),
        )
        return np.stack([errors[..., each].mean((1, 2)) for each in rows], -1), drawn

    def rows(self, who: Who, split: str = "test") -> Rows:
        """Positions of the test images of the treated classes, of the others, or of all."""
        treated = np.isin(self.labels(split), self.weak)
        chosen = {"weak": treated, "other": ~treated, "all": np.ones_like(treated)}[who]
        return np.flatnonzero(chosen)

    def fix_effect(self, name: str, who: Who) -> Estimate:
        """Change of top-1 against `as before`, in points."""
        means, draws = self._fixed(who)
        before, after = (list(self.fixes).index(each) for each in ("as before", name))
        return estimate(means[before] - means[after], draws[:, before] - draws[:, after])

    @cache  # noqa: B019
    def _fixed(self, who: Who) -> tuple[Array, Array]:
        """Errors in percent of the interventions, and draws of them: their runs share the images
        of all other classes, and are a block."""
        p, rows, runs = self.params, self.rows(who), list(self.fixes.values())
        error = scores(runs, metric="error")
        drawn = resample(
            [(error, rows)],
            blocks=np.zeros(len(runs)),
            resamples=p.resamples,
            seed=p.seed,
            stream=hash_of(runs),
        )
        return 100 * error[:, :, rows].mean((1, 2)), 100 * drawn[..., 0]

    def confusion(self, arm: str) -> Array:
        """(classes, classes): fraction of a class's test images (row) given each answer (column),
        at the largest size, mean over seeds."""
        given = [answers(r, "test").astype(np.int64) for r in self.runs[arm][-1]]
        return np.mean([confusion(self.labels(), a, len(self.names)) for a in given], axis=0)

    def weak_classes(self) -> pd.DataFrame:
        """`causes` of the weak classes; before them the class that each is most often `taken_for`
        and the fraction `taken`."""
        shares, rivals = self.confusion("synthetic"), [self.rival(c) for c in self.weak]
        table = self.causes().iloc[list(self.weak)]
        table.insert(0, "taken_for", [self.names[r] for r in rivals])
        table.insert(1, "taken", shares[list(self.weak), rivals])
        return table

    def rival(self, label: int, arm: str = "synthetic") -> int:
        """The class that a class is taken for most often."""
        row = self.confusion(arm)[label].copy()
        row[label] = -1
        return int(row.argmax())

    @keep
    def gallery(self, count: int) -> dict[tuple[str, str], NDArray[np.uint8]]:
        """Of each weak class and its rival: `count` real images, `count` synthetic ones, and, for
        the weak class, `count` of every intervention (fewer where fewer were drawn); by class and
        kind."""
        from dataworth.data import load_images

        drawn = -(-self.params.fix_size // parts.SHARD) * parts.SHARD  # whole shards are
        count = max(1, min(count, drawn // len(self.names)))
        real = load_images(self.params.card, POOL)
        pools = {"synthetic": self.params.pool(), **self.params.fix_pools()}
        classes, rows = len(self.names), {}
        for label in self.weak:
            for c in (label, self.rival(label)):
                name = self.names[c]
                rows[name, "real"] = real.images[np.flatnonzero(real.labels == c)[:count]]
                for kind, pool in pools.items():
                    if c == label or kind == "synthetic":
                        ids = c + classes * np.arange(count)
                        rows[name, kind] = np.asarray(pool.load(ids, self.store)[0])
        return rows

    def evidence(self, arm: str) -> dict[str, list[float]]:
        """What a ledger keeps of an arm: `sizes`, and top-1 of every class with its interval."""
        kept: dict[str, list[float]] = {"sizes": list(self.sizes[arm])}
        for label, name in enumerate(self.names):
            error = self.curve(arm, label, metric="error")
            high, low = error.interval()
            columns = {name: error.means, f"{name}_low": low, f"{name}_high": high}
            kept |= {column: (1 - values).tolist() for column, values in columns.items()}
        return kept

    def kinds(self) -> dict[str, Any]:
        """All results, by kind."""
        return {f"classifiers, {arm}": rows for arm, rows in self.runs.items()} | {
            "classifiers, intervention": self.fixes,
            "fidelity": self.fidelity,
        }


@dataclass(frozen=True)
class ClassScaling:
    """One class of one arm: top-1 at the smallest and largest size, k of its error, its group, and
    the group in every bootstrap draw (B,)."""

    first: Estimate
    last: Estimate
    k: Estimate
    group: str
    groups: NDArray[np.str_]


def exponent(sizes: ArrayLike, errors: ArrayLike) -> Array:
    """k of error = a D^-k by least squares on logs: errors (..., n) at sizes (n,) give (...).

    Negative where the error grows. NaN where one is missing or not above 0, as a bootstrap draw
    that holds no example of a class has it.
    """
    x = np.log(np.asarray(sizes, dtype=float))
    x = x - x.mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        y = np.log(np.asarray(errors, dtype=float))
        slope = -(y @ x) / (x @ x)
    return np.where(np.isfinite(slope), slope, np.nan)


def groups(
    first: ArrayLike, last: ArrayLike, k: ArrayLike, *, easy: float, poor: float, flat: float
) -> NDArray[np.str_]:
    """The group of a class, for top-1 `first` and `last` at the smallest and largest size and the
    exponent `k` of its error (...).

    Easy: `first` reaches `easy`. Poor: not easy, `last` is below `poor`, and `k` is below `flat`.
    Scaling: the rest. (Fan et al. 2023 name the groups and give no thresholds.) By the error and
    not by the loss, whose exponent also measures overconfidence: with it no class was ever poor.
    """
    is_poor = (np.asarray(last) < poor) & (np.asarray(k) < flat)
    return np.where(np.asarray(first) >= easy, "easy", np.where(is_poor, "poor", "scaling"))


def confusion(labels: NDArray[np.int64], answers: NDArray[np.int64], classes: int) -> Array:
    """(classes, classes): fraction of the examples of a class (row) that get each answer (column);
    a row without examples is 0."""
    counts = np.zeros((classes, classes))
    np.add.at(counts, (labels, answers), 1)
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


def weakest(rows: Sequence[Result], count: int, split: str = "validation") -> tuple[int, ...]:
    """Labels of the `count` classes with the lowest top-1 of some runs, lowest first.

    On the validation set: classes that were chosen on the test set for having done badly there
    would look better in any second measurement.
    """
    labels = np.asarray(rows[0].arrays[f"labels_{split}"])
    right = np.mean([answers(r, split) == labels for r in rows], axis=0)
    accuracy = {int(c): right[labels == c].mean() for c in np.unique(labels)}
    return tuple(sorted(accuracy, key=lambda c: accuracy[c])[:count])


@keep
def run(params: PerClass, store: Store | None = None) -> Study:
    """Run what is missing and collect the study."""
    params.preflight()
    store = store or Store()
    sizes, grid = params.stored(("real", "synthetic"))
    runs = run_classifiers(grid, store)
    (fidelity,) = run_tasks(
        [params.fidelity(grid["real"][-1][0])], store=store, workers=1, label="fidelity"
    )
    weak = weakest(runs["synthetic"][-1], params.weakest)
    fixes = run_classifiers({"fixes": list(params.fixes(weak).values())}, store)["fixes"]
    named = dict(zip(params.fixes(weak), fixes, strict=True))
    return Study(params, sizes, runs, fidelity, weak, named, store)
