"""The training sets of the chapters *quality* and *toxicity*: what filters of web text leave.

A filter ranks the documents of the small crawl by a score and keeps the best of them, as many as
hold a stated fraction of the bytes; an inverse filter keeps the worst. Fractions and not thresholds
are set, because equal thresholds keep different fractions under different scores. Beside every
filter stands a random drop of its size, sampled anew for each run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from dataworth.errors import UserError
from dataworth.parameters import field
from dataworth.studies.filter_tasks import Tasks
from dataworth.studies.text import TextStudy
from dataworth.text import filters
from dataworth.text.heuristics import refusals
from dataworth.text.pools import CRAWL, Pool, draw
from dataworth.text.score_runs import crawl_scores, scorable
from dataworth.text.scores import FLAGS

if TYPE_CHECKING:
    from dataworth.runs import Store
    from dataworth.studies.text_cost import Training

Percent = Annotated[float, Field(gt=0, lt=100)]
Percents = Annotated[tuple[Percent, ...], Field(min_length=1)]
Kind = Literal["whole", "filter", "inverse", "random", "equal", "matched", "other"]

NEAR = 3.0  # percent: how far below the smallest random drop an arm may lie

HIGH_IS_GOOD = {"quality": True, "toxicity": False}
"""Which end of a score its filter keeps. (Quality in Longpre et al. 2023 is high for bad texts.)"""


@dataclass(frozen=True)
class Arm:
    """How a training set is chosen: the key of its pools, runs and answers.

    rule: the score of a filter ("quality", "toxicity"), "random", "whole" (nothing is left out), or
    another rule. kept: percent of the bytes to keep, 100 where the rule alone decides. kind:
    "equal" filters a larger crawl down to as many bytes as unfiltered, "matched" has the domain mix
    of the rule's filter and is otherwise random.
    """

    rule: str
    kept: float = 100.0
    kind: Kind = "filter"

    def __str__(self) -> str:
        """Its name in tables, figures and result files."""
        before = {"inverse": "inverse ", "equal": "larger crawl, ", "matched": "mix of "}
        size = f" {self.kept:g} %" if self.kept < 100 else ""
        return f"{before.get(self.kind, '')}{self.rule}{size}"

    @property
    def filter(self) -> str:
        """The rule that chose single documents, "" where none did."""
        return "" if self.kind in ("whole", "random", "matched") else self.rule


WHOLE = Arm("whole", kind="whole")


@dataclass(frozen=True)
class Chosen:
    """The pools of an arm, one a seed (the same one, unless chance has a part in it); cut: the
    score at which a filter cut, NaN where none did."""

    pools: Sequence[Pool]
    cut: float = float("nan")


class Filtering(TextStudy):
    """Parameters of both chapters."""

    hub_corpora: ClassVar[tuple[str, ...]] = ("c4",)
    score: ClassVar[str]
    scorers: ClassVar[tuple[str, ...]] = ("quality", "toxicity")
    """Whose scores the chapter reads."""

    kept: Percents = field("shares that the filter keeps", "% of bytes")
    inverse: Percent = field("share that the inverse filter keeps", "% of bytes")
    controls: Percents = field(
        "shares that random drops keep; between them: interpolated", "% of bytes"
    )
    equal: float = field(
        "share of the bytes kept by the filter that chooses from a larger crawl (as many unique "
        "bytes as unfiltered), and by the random drop with the filtered set's domain mix",
        "% of bytes",
        ge=67,
        lt=100,
    )
    tasks: Percents = field("shares whose models do the downstream tasks", "%")
    task_control: Percent = field("random drop whose models do the tasks", "%")
    examples: int = field("fine-tuning documents of each class", "documents", ge=8, le=10**9)
    steps: int = field("fine-tuning steps", "steps", ge=1, le=10**8)
    questions: int = field(
        "multiple-choice questions of a domain, about", "questions", ge=4, le=10**7
    )
    prompts: int = field("toxic prompts, and as many others", "prompts", ge=1, le=10**7)
    samples: int = field("continuations of a prompt", "texts", ge=1, le=10**7)

    @field_validator("kept", "controls", "tasks")
    @classmethod
    def _falling(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(values)) < len(values):
            raise ValueError("must be distinct")
        return tuple(sorted(values, reverse=True))

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if strangers := {*self.tasks} - {*self.kept}:
            raise ValueError(f"tasks holds {min(strangers):g}, which is not in kept")
        if self.task_control not in self.controls:
            raise ValueError("task_control must be one of controls")
        if min(self.controls) - min(*self.kept, self.inverse) > NEAR:
            raise ValueError(
                f"controls must reach as low as kept and inverse, {min(*self.kept, self.inverse):g}"
            )
        return self

    @cached_property
    def whole(self) -> Pool:
        """The small crawl, unfiltered, but for texts that no scorer can score (`scorable`)."""
        return scorable(self.crawl())

    def arms(self, store: Store) -> dict[Arm, Chosen]:
        """All training sets."""
        by = crawl_scores((self.score,), store)[self.score]
        whole, seeds = self.whole, range(self.seeds)
        found = {WHOLE: Chosen([whole] * self.seeds)}
        found |= self.filtered(self.score, by, self.kept, self.inverse)
        for kept in self.controls:
            drops = [whole.random_drop(kept / 100, self.seed + s) for s in seeds]
            found[Arm("random", kept, "random")] = Chosen(drops)
        larger = scorable(draw(CRAWL, round(100 * self.pool_bytes / self.equal), seed=self.seed))
        arm = Arm(self.score, self.equal, "equal")
        found[arm] = self._filter(arm, larger, by)
        like = self._filter(arm, whole, by).pools[0]
        found[Arm(self.score, self.equal, "matched")] = Chosen(
            [whole.matched(like, s) for s in seeds]
        )
        return found | self.others(store)

    def filtered(
        self, score: str, by: Mapping[int, float], kept: Sequence[float], inverse: float
    ) -> dict[Arm, Chosen]:
        """A filter of the whole crawl at all its sizes, and its inverse."""
        arms = [*(Arm(score, one) for one in kept), Arm(score, inverse, "inverse")]
        return {arm: self._filter(arm, self.whole, by) for arm in arms}

    def _filter(self, arm: Arm, pool: Pool, by: Mapping[int, float]) -> Chosen:
        high_first = HIGH_IS_GOOD[arm.rule] != (arm.kind == "inverse")
        kept = pool.select(arm.kept / 100, by=by, high_first=high_first)
        values = kept.values(by)
        return Chosen([kept] * self.seeds, float(values.min() if high_first else values.max()))

    def others(self, store: Store) -> dict[Arm, Chosen]:
        """Arms that one chapter alone has."""
        return {}

    def tested(self, arms: Mapping[Arm, Chosen]) -> list[Arm]:
        """The arms whose models do the downstream tasks."""
        filters_ = [Arm(self.score, kept) for kept in self.tasks]
        inverse, control = Arm(self.score, self.inverse, "inverse"), self.task_control
        return [WHOLE, *filters_, inverse, Arm("random", control, "random")]

    def downstream(self) -> Tasks:
        """The downstream tasks, which are the same in both chapters."""
        return Tasks(
            pool_bytes=self.pool_bytes,
            examples=self.examples,
            steps=self.steps,
            questions=self.questions,
            prompts=self.prompts,
            samples=self.samples,
            seed=self.seed,
        )

    def trainings(self) -> list[Training]:
        """Language models by arm."""
        from dataworth.studies.text_cost import Training

        runs = {
            "the small crawl": 1,
            f"what a filter of {self.score} keeps, inverse and larger crawl included": 2
            + len(self.kept),
            "random drops": 1 + len(self.controls),
            "other filters": self.n_others(),
        }
        return [Training(kind, self.model, self.seeds * n, self.tokens) for kind, n in runs.items()]

    def n_others(self) -> int:
        """How many arms `others` has."""
        return 0

    def preflight(self) -> None:
        """Validate before running; raises UserError where the disk is too small."""
        self.check(runs=sum(training.runs for training in self.trainings()))


class QualityFilter(Filtering):
    """Parameters of the chapter *quality*."""

    score: ClassVar[str] = "quality"
    pareto_bytes: int = field(
        "size of the crawl that Pareto sampling and the rules for pages choose from",
        "bytes",
        ge=20_000,
        le=10**15,
    )
    alpha: float = field("shape of Pareto sampling", gt=0, le=1000)

    def n_others(self) -> int:
        return 2

    def others(self, store: Store) -> dict[Arm, Chosen]:
        """Pareto sampling and heuristic filters, both on a larger crawl, as they keep little. What
        they keep is cut at random to the size of the unfiltered crawl where it exceeds it."""
        crawl = scorable(draw(CRAWL, self.pareto_bytes, seed=self.seed))
        scores = crawl.values(crawl_scores((self.score,), store)[self.score])
        kept = refusals(crawl.texts).kept
        if not kept.any():
            raise UserError(
                f"pareto_bytes: rules for pages refuse all {len(crawl):,} documents of a crawl of "
                f"{self.pareto_bytes:,} bytes; choose a larger one."
            )
        seeds = range(self.seed, self.seed + self.seeds)
        sampled = [self._cut(crawl.take(filters.pareto(scores, s, self.alpha)), s) for s in seeds]
        return {
            Arm("Pareto sampling", kind="other"): Chosen(sampled),
            Arm("rules for pages", kind="other"): Chosen(
                [self._cut(crawl.take(kept), s) for s in seeds]
            ),
        }

    def _cut(self, pool: Pool, seed: int) -> Pool:
        fraction = min(1.0, self.whole.bytes / pool.bytes)
        return pool if fraction == 1 else pool.random_drop(fraction, seed)


class ToxicityFilter(Filtering):
    """Parameters of the chapter *toxicity*."""

    score: ClassVar[str] = "toxicity"
    scorers: ClassVar[tuple[str, ...]] = ("quality", "toxicity", "bad-words")
    quality_kept: Percents = field(
        "quality filters to compare with: those of that chapter", "% of bytes"
    )
    quality_inverse: Percent = field("inverse quality filter to compare with", "% of bytes")

    def n_others(self) -> int:
        return 2 + len(self.quality_kept)

    def others(self, store: Store) -> dict[Arm, Chosen]:
        """C4's word-list filter, and the quality filters of the other chapter."""
        by = crawl_scores(("quality", "bad-words"), store)
        clean = filters.below(self.whole.values(by["bad-words"]), FLAGS["bad-words"])
        words = Chosen([self.whole.take(clean)] * self.seeds)
        quality = self.filtered("quality", by["quality"], self.quality_kept, self.quality_inverse)
        return {Arm("word list", kind="other"): words, **quality}

    def tested(self, arms: Mapping[Arm, Chosen]) -> list[Arm]:
        return [*super().tested(arms), *(arm for arm in arms if arm.rule == "quality")]
