"""The study behind the chapter *prompts and guidance*: which generated images train best, and why.

A configuration is a generator, a prompt set and a guidance scale. The scales are swept for one
prompt set, prompt sets and generators compared at one scale: not the full product.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator

from dataworth.images.classifiers import MODELS, ClassifierSpec
from dataworth.images.fidelity import FidelitySpec
from dataworth.images.generators.named import GENERATORS
from dataworth.images.parts import SyntheticPool
from dataworth.images.preview import PreviewSpec
from dataworth.images.prompts import LEAKS_REAL_DATA, PROMPT_SETS
from dataworth.parameters import field
from dataworth.runs import Result, Store, run_tasks
from dataworth.runs.kept import keep
from dataworth.stats import Estimate, estimate, first_and_rest, partial_spearman
from dataworth.studies import base
from dataworth.studies.curves import Curve, Misfit, beyond_noise, curves, widened
from dataworth.studies.images import (
    ImageStudy,
    Names,
    Runs,
    check_names,
    check_sizes,
    run_classifiers,
)

if TYPE_CHECKING:
    import pandas as pd

    from dataworth.studies.image_cost import Drawing, Training

from dataworth.arrays import Array

METRICS = {
    "recognizability": "recognizability",
    "macro_f1": "macro-F1",
    "deviation": "feature deviation",
    "cosine": "cosine distance",
    "density": "density",
    "coverage": "coverage",
    "frechet": "Fréchet distance",
    "inception_score": "Inception Score",
}
"""Scores of generated images, by what they are called on a page; of the Fréchet distance less is
better, of the others more."""
NEAR = 4.0
"""The largest guidance scale of the parabola: far beyond the best one the log loss is none."""
HELD = {
    **dict.fromkeys(("deviation", "cosine", "coverage"), ("recognizability",)),
    **dict.fromkeys(("recognizability", "macro_f1", "density", "inception_score"), ("deviation",)),
    "frechet": ("recognizability", "deviation"),
}
"""What the partial rank correlation of a score holds fixed: the other side of the trade-off."""


@dataclass(frozen=True)
class Configuration:
    """A way to sample training images: a prompt set, a guidance scale (1 = no guidance), and a
    generator where it is not that of the study."""

    prompt_set: str
    guidance: float
    generator: str = ""

    @property
    def name(self) -> str:
        by = f"{self.generator}, " if self.generator else ""
        return f"{by}{self.prompt_set}, w = {self.guidance:g}"


class PromptsAndGuidance(ImageStudy):
    """Parameters of the chapter."""

    guidances: tuple[Annotated[float, Field(ge=0, le=1000)], ...] = field(
        "guidance scales of the sweep", "1 = none", min_length=3
    )
    prompt_sets: tuple[str, ...] = field(
        "prompt sets compared at the guidance scale of the study, by name", min_length=2
    )
    compared_generators: tuple[str, ...] = field(
        "text-to-image models compared at the guidance scale of the study, by name"
    )
    sizes: tuple[int, ...] = field(
        "training-set sizes; two or more also give exponents", "images", min_length=1
    )
    learner: str = field("classifier that is trained on every configuration, by name")
    judged: int = field(
        "images of a configuration that the reference evaluates", "images", ge=20, le=10**9
    )
    reference_size: int = field(
        "real images the reference is trained on", "images", ge=10, le=10**9
    )

    @field_validator("guidances")
    @classmethod
    def _sorted(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(values)) < len(values):
            raise ValueError("must be distinct")
        return tuple(sorted(values))

    _distinct = field_validator("sizes")(check_sizes)

    @field_validator("prompt_sets", "compared_generators", "learner")
    @classmethod
    def _all_known(cls, names: Names, info: ValidationInfo) -> Names:
        known: dict[str, Collection[str]]
        known = {"prompt_sets": PROMPT_SETS, "compared_generators": GENERATORS, "learner": MODELS}
        return check_names(names, known[str(info.field_name)])

    def sweep(self) -> list[Configuration]:
        """The guidance scales, for the prompt set of the study."""
        return [Configuration(self.prompt_set, w) for w in self.guidances]

    def wordings(self) -> list[Configuration]:
        """The prompt sets, at the guidance scale of the study."""
        names = dict.fromkeys((self.prompt_set, *self.prompt_sets))
        return [Configuration(name, self.guidance) for name in names]

    def own(self) -> Configuration:
        """What the other chapters' synthetic arms are made by."""
        return Configuration(self.prompt_set, self.guidance)

    def others(self) -> list[Configuration]:
        """The other generators, with prompts and guidance scale of the study."""
        names = (name for name in self.compared_generators if name != self.generator)
        return [Configuration(self.prompt_set, self.guidance, name) for name in names]

    def configurations(self) -> list[Configuration]:
        """All of them, each once."""
        return list(dict.fromkeys([*self.sweep(), *self.wordings(), *self.others()]))

    def pool_of(self, configuration: Configuration) -> SyntheticPool:
        return self.pool(
            generator=configuration.generator or self.generator,
            prompt_set=configuration.prompt_set,
            guidance=configuration.guidance,
        )

    def specs(self, configuration: Configuration) -> list[list[ClassifierSpec]]:
        """Training runs as [size][seed]. Image i of every configuration starts from the same
        noise, and run s of every configuration from the same weights (common random numbers):
        configurations are compared in pairs."""
        return self.line(
            self.sizes,
            partial(self.synthetic, self.pool_of(configuration)),
            model=self.learner,
            evaluations=("validation", "test"),
        )

    def reference(self) -> ClassifierSpec:
        """What evaluates images: run 0 on real images, a run of the first chapter."""
        return self.classifier(self.real(self.reference_size, 0), seed=0)

    def previews(self) -> list[PreviewSpec]:
        """The picture of guidance against prompts: one task for each scale."""
        sets = tuple(c.prompt_set for c in self.wordings())
        return [
            PreviewSpec(pool=self.pool(guidance=w), prompt_sets=sets, count=4)
            for w in self.guidances
        ]

    def preflight(self) -> None:
        """Raises UserError before anything runs: no data, a small pool, no generator."""
        runs = len(self.configurations()) * len(self.sizes) * self.seeds
        self.check(real=self.reference_size, generators=self.compared_generators, runs=runs)

    def drawings(self) -> list[Drawing]:
        """One pool for each configuration."""
        from dataworth.studies.image_cost import Drawing

        images = self.seeds * max(*self.sizes, self.judged)
        return [
            Drawing(name, c.prompt_set, images, self.sampling_steps(name))
            for c in self.configurations()
            for name in (c.generator or self.generator,)
        ]

    def trainings(self) -> list[Training]:
        """The learners of all configurations, and the reference."""
        from dataworth.studies.image_cost import Training

        runs = len(self.configurations()) * self.seeds
        samples = self.own_budget.steps(self.reference_size) * self.batch
        steps = sum(self.own_budget.steps(n) for n in self.sizes)
        return [
            Training("synthetic", self.learner, runs * len(self.sizes), runs * steps * self.batch),
            Training("real", self.model, 1, samples),
        ]


@dataclass(frozen=True)
class Study(base.Study):
    """Finished runs: classifiers as `runs[configuration's name][size][seed]`, fidelity by
    configuration, previews by guidance scale."""

    params: PromptsAndGuidance
    runs: Runs
    fidelity: Mapping[Configuration, Result]
    shown: Sequence[Result]
    reference: Result

    def kinds(self) -> dict[str, Any]:
        """All results, by kind."""
        return {
            "reference classifier": self.reference,
            "train on synthetic images": self.runs,
            "evaluate images": self.fidelity,
            "grid of examples": self.shown,
        }

    @cached_property
    def curves(self) -> dict[Configuration, Curve]:
        """Loss against training-set size."""
        return self._curves("loss")

    @cached_property
    def errors(self) -> dict[Configuration, Curve]:
        """Top-1 error against training-set size."""
        return self._curves("error")

    @cached_property
    def chosen(self) -> Configuration:
        """The best case: the lowest validation loss at the largest size, among the configurations
        that read no real image of the classifiers' pool. Chosen without the test images."""
        fair = [c for c in self.fidelity if c.prompt_set not in LEAKS_REAL_DATA]
        found = self._curves("loss", "validation")
        return min(fair, key=lambda c: found[c].means[-1])

    def _curves(self, metric: str, split: str = "test") -> dict[Configuration, Curve]:
        p = self.params
        how: dict[str, Any] = {"metric": metric, "resamples": p.resamples, "seed": p.seed}
        how["split"] = split
        runs = {c.name: self.runs[c.name] for c in self.fidelity}
        found = curves(runs, dict.fromkeys(runs, p.sizes), **how)
        return {c: found[c.name] for c in self.fidelity}

    @cached_property
    def losses(self) -> dict[Configuration, Array]:
        """Log loss at the largest size: the estimate, then its bootstrap draws, (1 + B,)."""
        return {
            c: np.log(np.concatenate([line.means[None, -1], line.draws[:, -1]]))
            for c, line in self.curves.items()
        }

    @cached_property
    def exponents(self) -> dict[Configuration, Array]:
        """Scaling ability k: the estimate, then its bootstrap draws, (1 + B,). Empty for one
        size. It is minus the slope of the least-squares line through log loss against log size."""
        if len(self.params.sizes) < 2:
            return {}
        x = np.log(np.asarray(self.params.sizes, dtype=float))
        x = (x - x.mean()) / np.square(x - x.mean()).sum()
        return {
            c: -np.log(np.concatenate([line.means[None], line.draws])) @ x
            for c, line in self.curves.items()
        }

    @property
    def target(self) -> str:
        """What scores are to predict: k where there are two sizes, else the loss."""
        return "k" if self.exponents else "loss"

    def table(self) -> pd.DataFrame:
        """One row per configuration: `prompt_set`, `guidance`, the metrics of `METRICS`, `loss`
        at the largest size with `low` and `high`, `top1` in percent, and `k` with `k_low` and
        `k_high` where there are two sizes."""
        import pandas as pd

        rows = {}
        for c, evaluated in self.fidelity.items():
            loss = first_and_rest(np.exp(self.losses[c]))
            row: dict[str, Any] = {"prompt_set": c.prompt_set, "guidance": c.guidance}
            row["generator"] = c.generator or self.params.generator
            row |= {name: evaluated.metrics[name] for name in METRICS}
            row |= {"loss": loss.value, "low": loss.low, "high": loss.high}
            row["top1"] = 100 * (1 - self.errors[c].means[-1])
            if self.exponents:
                k = first_and_rest(self.exponents[c])
                row |= {"k": k.value, "k_low": k.low, "k_high": k.high}
            rows[c.name] = row
        return pd.DataFrame(rows.values(), index=pd.Index(rows, name="configuration"))

    def groups(self) -> dict[str, pd.DataFrame]:
        """Rows of `table` by what they compare, named for a figure: the guidance sweep, the other
        prompt sets, and real images (recognizability, deviation and cosine only)."""
        import pandas as pd

        table, p = self.table(), self.params
        sweep = table.loc[[c.name for c in p.sweep()]].set_index("guidance")
        sets = table.loc[[c.name for c in p.wordings()]].set_index("prompt_set")
        found = next(iter(self.fidelity.values())).metrics
        real = {
            name: [found[f"real_{name}"]] for name in ("recognizability", "deviation", "cosine")
        }
        others = table.loc[[c.name for c in p.others()]].set_index("generator")
        return {
            "guidance sweep": sweep.rename(lambda w: f"w = {w:g}"),
            "other prompt sets": sets.drop(p.prompt_set),
            **({"other generators": others} if len(others) else {}),
            "real images": pd.DataFrame(real, index=["real"]),
        }

    def lowest(self) -> float:
        """The guidance scale of the sweep with the lowest loss."""
        return min(self.params.sweep(), key=lambda c: self.losses[c][0]).guidance

    def best(self) -> tuple[Estimate, Misfit]:
        """The guidance scale at which a parabola of the log loss in log w has its minimum, and how
        well the parabola fits. Scales up to `NEAR` count. A draw whose minimum lies beyond them, or
        that has none, has the end of the sweep with the lower loss; where the parabola fails, draws
        are as much wider as its lack of fit says (on the log scale)."""
        scales = [c for c in self.params.sweep() if 0 < c.guidance <= NEAR]
        x = np.log([c.guidance for c in scales])
        y = np.stack([self.losses[c] for c in scales])  # (n, 1 + B)
        design = np.stack([x * x, x, np.ones_like(x)], 1)
        (c, b, _), *_ = np.linalg.lstsq(design, y, rcond=None)
        at = np.where(c > 0, -b / np.where(c > 0, 2 * c, 1.0), np.inf)
        end = x[np.where(y[0] < y[-1], 0, -1)]
        at = np.where((at >= x[0]) & (at <= x[-1]), at, end)
        misfit = beyond_noise(y[:, 0], y[:, 1:].T, design)
        found = widened(first_and_rest(np.exp(at)), misfit.factor, log=True)
        return found, misfit

    def heterogeneity(self, *, readable: float = 0.0) -> Misfit:
        """How far the prompt sets differ, at the guidance scale of the study: chi-squared of their
        log losses at the largest size against the mean of all; `off` is the standard deviation
        between sets beyond noise, in percent of the loss. readable: only sets of at least so much
        recognizability."""
        sets = [
            c
            for c in self.params.wordings()
            if self.fidelity[c].metrics["recognizability"] >= readable
        ]
        if len(sets) < 2:
            return Misfit(np.nan, 0, np.nan, estimate(np.nan, []))
        y = np.stack([self.losses[c] for c in sets])
        return beyond_noise(y[:, 0], y[:, 1:].T, np.ones((len(sets), 1)))

    def preferred(self) -> dict[str, float]:
        """The guidance scale of the sweep that each score calls best."""
        found = {}
        for name in METRICS:
            values = [self.fidelity[c].metrics[name] for c in self.params.sweep()]
            at = np.argmin(values) if name == "frechet" else np.argmax(values)
            found[name] = self.params.guidances[at]
        return found

    def below_best(self) -> dict[float, Estimate]:
        """Top-1 of every scale of the sweep less that of the best one, in points."""
        sweep = self.params.sweep()
        best = min(sweep, key=lambda c: self.errors[c].means[-1])
        return {c.guidance: self.points(best, c) for c in sweep}

    def contrast(self, worse: Configuration, better: Configuration) -> Estimate:
        """Loss of one configuration over that of another, at the largest size."""
        return first_and_rest(np.exp(self.losses[worse] - self.losses[better]))

    def points(self, worse: Configuration, better: Configuration) -> Estimate:
        """Top-1 of one configuration less that of another, in points, at the largest size."""
        first, last = (self.errors[c].one(-1) for c in (worse, better))
        return first.minus(last).times(100)

    def misled(self, score: str) -> Estimate:
        """Loss at the scale that a score prefers over that at the scale with the lowest validation
        loss, both of the sweep."""
        sweep = {c.guidance: c for c in self.params.sweep()}
        found = self._curves("loss", "validation")
        best = min(sweep.values(), key=lambda c: found[c].means[-1])
        return self.contrast(sweep[self.preferred()[score]], best)

    def rank(
        self,
        metric: str,
        *,
        given: Sequence[str] = (),
        target: str = "loss",
        among: Sequence[Configuration] | None = None,
    ) -> Estimate:
        """Partial rank correlation over configurations between a metric and how well its images
        train: minus the log loss at the largest size, or k (`target="k"`).

        Each bootstrap draw takes the configurations with replacement, and one draw of the losses.
        """
        chosen = list(among or self.fidelity)
        values = {"loss": self.losses, "k": self.exponents}[target]
        y = np.stack([values[c] for c in chosen]) * (-1 if target == "loss" else 1)  # (n, 1 + B)
        metrics = {m: np.array([self.fidelity[c].metrics[m] for c in chosen]) for m in METRICS}
        controls = np.array([metrics[name] for name in given]).reshape(len(given), len(chosen))
        rng = np.random.default_rng([self.params.seed, 9])
        n, draws = y.shape
        rows = np.vstack([np.arange(n), rng.integers(n, size=(draws - 1, n))])  # (1 + B, n)
        drawn = np.take_along_axis(y.T, rows, axis=1)
        held = controls[:, rows].swapaxes(0, 1)  # (1 + B, c, n)
        return first_and_rest(partial_spearman(metrics[metric][rows], drawn, held))

    def ranks(self) -> pd.DataFrame:
        """Rank correlation with `target` of every score, `alone` and `partial` (with `HELD`
        fixed), as estimates."""
        import pandas as pd

        rows = {
            name: {"alone": self.rank(name, target=self.target),
                   "partial": self.rank(name, given=given, target=self.target)}
            for name, given in HELD.items()
        }  # fmt: skip
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("score")

    def grid(self) -> dict[str, NDArray[np.uint8]]:
        """For each guidance scale, one tile per prompt set: images 0 to 3 of the pool, two by
        two. Every tile starts from the same noise."""
        rows = {}
        for w, shown in zip(self.params.guidances, self.shown, strict=True):
            a = shown.arrays["images"]  # (P, 4, H, W[, 3])
            top, bottom = (np.concatenate([a[:, i], a[:, i + 1]], 2) for i in (0, 2))
            rows[f"w = {w:g}"] = np.concatenate([top, bottom], 1)
        return rows


@keep
def run(params: PromptsAndGuidance, store: Store | None = None) -> Study:
    """Run what is missing and collect the study."""
    params.preflight()
    store = store or Store()
    configurations = params.configurations()
    grid = {c.name: params.specs(c) for c in configurations}
    reference_spec = params.reference()  # goes first: it is the longest task
    found = run_classifiers({"reference": [[reference_spec]]} | grid, store)
    reference = found.pop("reference")[0][0]
    pools = {c: params.pool_of(c) for c in configurations}
    wanted = range(params.judged)
    shards = [shard for pool in pools.values() for shard in pool.shards(wanted)]
    run_tasks(shards, store=store, label="images to evaluate")
    evaluated = {
        c: FidelitySpec(pool=pool, size=params.judged, reference=reference_spec)
        for c, pool in pools.items()
    }
    done = base.run_grid({"fidelity": evaluated, "shown": params.previews()}, store, "fidelity")
    return Study(params, found, done["fidelity"], done["shown"], reference)
