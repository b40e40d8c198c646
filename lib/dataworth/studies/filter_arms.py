"""The training sets of the chapters *quality* and *toxicity*: what filters of a crawl leave.

A filter ranks the documents of the small crawl by a score and keeps the best of them, as many as
hold a stated fraction of the bytes; an inverse filter keeps the worst. Fractions and not thresholds
are set, because equal thresholds keep different fractions under different scores. Beside every
filter stands a random drop of its size. Each run has a crawl of its own, which all arms filter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from dataworth.errors import UserError
from dataworth.parameters import field
from dataworth.studies.filter_tasks import LARGER, Tasks
from dataworth.studies.text import PoolStudy, check_loss_model, check_texts, fit
from dataworth.text import filters
from dataworth.text.clean import holding
from dataworth.text.heuristics import refusals
from dataworth.text.models import MODELS
from dataworth.text.own_scorers import FORMS, absolute, is_own, own_scorer
from dataworth.text.pools import (
    CRAWL,
    DOMAINS,
    LONGEST,
    SMALL_CRAWL,
    Domain,
    Pool,
    own_bytes,
    own_crawl,
    whole_domain,
)
from dataworth.text.quality import NEGATIVES, POSITIVES
from dataworth.text.score_runs import ScoresSpec, run_scores, scorable, scores_spec
from dataworth.text.scorers import SCORERS
from dataworth.text.scores import FLAGS

if TYPE_CHECKING:
    from dataworth.runs import Store
    from dataworth.studies.text_cost import Training

Percent = Annotated[float, Field(gt=0, lt=100)]
Cards = Annotated[tuple[str, ...], Field(min_length=1)]
Percents = Annotated[tuple[Percent, ...], Field(min_length=1)]
Kind = Literal["whole", "filter", "inverse", "random", "equal", "matched", "other"]

NEAR = 3.0  # percent: how far below the smallest random drop an arm may lie


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
    """The pools of an arm, one a seed; cut: the score at which a filter cut the first seed's crawl,
    NaN where none did."""

    pools: Sequence[Pool]
    cut: float = float("nan")


class Filtering(PoolStudy):
    """Parameters of both chapters."""

    shipped: ClassVar[str] = SMALL_CRAWL
    score: ClassVar[str]
    judges: ClassVar[tuple[str, ...]] = ("quality", "toxicity")
    """Whose scores the chapter reads beside those of its filter."""

    scorer: str = field(f"what the filter ranks by: {', '.join(SCORERS)}, or your own {FORMS}")
    loss_model: str = field(
        "model whose losses compare the arms: a language model, or counts of tokens, by name"
    )
    kept: Percents = field("shares that the filter keeps", "% of bytes")
    inverse: Percent = field("share that the inverse filter keeps", "% of bytes")
    controls: Percents = field(
        "shares that random drops keep; between them: interpolated", "% of bytes"
    )
    equal: Percents = field(
        "shares of the bytes kept by the filters that choose from a larger crawl, so that as many "
        "unique bytes are left as the unfiltered one has",
        "% of bytes",
    )
    matched: Percent = field(
        "share kept by the filter whose domain mix a random drop of its size has", "% of bytes"
    )
    tasks: Percents = field("shares whose models do the downstream tasks", "%")
    task_controls: Percents = field("random drops whose models do the tasks", "%")
    examples: int = field("fine-tuning documents of each class", "documents", ge=8, le=10**9)
    steps: int = field("fine-tuning steps", "steps", ge=1, le=10**8)
    questions: int = field(
        "multiple-choice questions of a domain, about", "questions", ge=4, le=10**7
    )
    prompts: int = field("toxic prompts, and as many others", "prompts", ge=1, le=10**7)
    samples: int = field("continuations of a prompt", "texts", ge=1, le=10**7)

    _counts = field_validator("loss_model")(check_loss_model)

    @field_validator("kept", "controls", "equal", "tasks", "task_controls")
    @classmethod
    def _falling(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(values)) < len(values):
            raise ValueError("must be distinct")
        return tuple(sorted(values, reverse=True))

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if strangers := {*self.tasks} - {*self.kept}:
            raise ValueError(f"tasks holds {min(strangers):g}, which is not in kept")
        for name, among in (("matched", self.kept), ("task_controls", self.controls)):
            given = getattr(self, name)
            if strangers := {*(given if isinstance(given, tuple) else [given])} - {*among}:
                where = "kept" if among is self.kept else "controls"
                raise ValueError(f"{name} holds {min(strangers):g}, which is not in {where}")
        if min(self.equal) * LARGER < 100:
            raise ValueError(f"equal must be {math.ceil(100 / LARGER)} or more")
        if min(self.controls) - min(*self.kept, self.inverse) > NEAR:
            raise ValueError(
                f"controls must reach as low as kept and inverse, {min(*self.kept, self.inverse):g}"
            )
        return self

    @field_validator("scorer")
    @classmethod
    def _scorer_exists(cls, name: str) -> str:
        if name in SCORERS:
            return name
        if not is_own(name):
            raise ValueError(f"must be of {', '.join(SCORERS)}, or {FORMS}")
        own_scorer(name)
        return absolute(name)

    @cached_property
    def crawl_domains(self) -> Mapping[str, Domain]:
        """The domains of the crawl."""
        if not self.own:
            return {name: DOMAINS[name] for name in CRAWL}
        return own_crawl(self.card, self.pool_bytes)

    @cached_property
    def domains(self) -> Mapping[str, Domain]:
        """What models are evaluated on: the small Pile's domains, those of the small crawl
        exchanged for those of one's own."""
        if not self.own:
            return DOMAINS
        return {**self.crawl_domains, **{n: d for n, d in DOMAINS.items() if n not in CRAWL}}

    def larger(self) -> float:
        """How many times as large as the crawl the largest is from which the chapter chooses."""
        return 100 / min(self.equal)

    def most_bytes(self) -> int:
        return int(0.99 * own_bytes(self.card, LONGEST) / self.larger())

    def crawl(self, run: int, size: float = 1.0) -> Pool:
        """The crawl of a training run, which filters work on, or `size` times as much; whole
        documents, of which a smaller crawl holds a part."""
        own = self.own
        shares = {n: d.share for n, d in self.crawl_domains.items()} if own else CRAWL
        return self.draw(shares, run, size)

    @cached_property
    def wholes(self) -> list[Pool]:
        """The crawl of each run, unfiltered, but for texts that no scorer can score (`scorable`),
        and of one's own for passages of held-out documents."""
        return self.crawls()

    def crawls(self, size: float = 1.0) -> list[Pool]:
        """The same, or `size` times as much."""
        found = [scorable(self.crawl(run, size)) for run in range(self.seeds)]
        if not self.own:  # no domain of the small Pile holds another's passages
            return found
        tests = [
            text
            for name, domain in self.domains.items()
            if domain.card != self.card
            for text in whole_domain(name, "test", domain).texts
        ]
        return [pool.take(~holding(pool.texts, tests)) for pool in found]

    def scores_of(self, name: str) -> ScoresSpec:
        """The run that scores the crawl."""
        cards = tuple(dict.fromkeys(d.card for d in self.crawl_domains.values()))
        return scores_spec(name, cards)

    def scores(self, names: Sequence[str], store: Store) -> dict[str, dict[int, float]]:
        """Scores of all documents of the crawl's training split by id, for every scorer named."""
        found = run_scores([self.scores_of(name) for name in names], store)
        return dict(zip(names, found, strict=True))

    def keeps_high(self, rule: str) -> bool:
        """Whether the filter of a score keeps its high end: as the chapter does, or one's own
        scorer says."""
        name = self.scorer if rule == self.score else rule
        said = own_scorer(name).good if is_own(name) else SCORERS[name].good
        return (said or SCORERS[rule].good) == "high"

    def arms(self, store: Store) -> dict[Arm, Chosen]:
        """All training sets."""
        by = self.scores((self.scorer,), store)[self.scorer]
        found = {WHOLE: Chosen(self.wholes)}
        found |= self.filtered(self.score, by, self.kept, self.inverse)
        for kept in self.controls:
            drops = [w.random_drop(kept / 100, self.seed + s) for s, w in enumerate(self.wholes)]
            found[Arm("random", kept, "random")] = Chosen(drops)
        for kept in self.equal:
            arm = Arm(self.score, kept, "equal")
            found[arm] = self._filter(arm, self.crawls(100 / kept), by)
        like = found[Arm(self.score, self.matched)].pools
        found[Arm(self.score, self.matched, "matched")] = Chosen(
            [w.matched(p, s) for s, (w, p) in enumerate(zip(self.wholes, like, strict=True))]
        )
        return found | self.others(store)

    def filtered(
        self, score: str, by: Mapping[int, float], kept: Sequence[float], inverse: float
    ) -> dict[Arm, Chosen]:
        """A filter of the whole crawl at all its sizes, and its inverse."""
        arms = [*(Arm(score, one) for one in kept), Arm(score, inverse, "inverse")]
        return {arm: self._filter(arm, self.wholes, by) for arm in arms}

    def _filter(self, arm: Arm, crawls: Sequence[Pool], by: Mapping[int, float]) -> Chosen:
        high_first = self.keeps_high(arm.rule) != (arm.kind == "inverse")
        kept = [crawl.select(arm.kept / 100, by=by, high_first=high_first) for crawl in crawls]
        values = kept[0].values(by)
        return Chosen(kept, float(values.min() if high_first else values.max()))

    def others(self, store: Store) -> dict[Arm, Chosen]:
        """Arms that one chapter alone has."""
        return {}

    def tested(self, arms: Mapping[Arm, Chosen]) -> list[Arm]:
        """The arms whose models do the downstream tasks."""
        filters_ = [Arm(self.score, kept) for kept in self.tasks]
        drops = [Arm("random", kept, "random") for kept in self.task_controls]
        return [WHOLE, *filters_, Arm(self.score, self.inverse, "inverse"), *drops]

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
            small_crawl=not self.own,
            domains=tuple(self.domains.items()),
        )

    def trainings(self) -> list[Training]:
        """Language models by arm."""
        from dataworth.studies.text_cost import Training

        runs = {
            "the small crawl": 1,
            f"what a filter of {self.score} keeps, inverse and larger crawls included": 1
            + len(self.kept)
            + len(self.equal),
            "random drops": 1 + len(self.controls),
            "other filters": self.n_others(),
        }
        trained = [(kind, self.loss_model, n) for kind, n in runs.items()]
        if self.loss_model != self.model:
            trained.append(("what the tasks are done with", self.model, self.n_tested()))
        return [
            Training(kind, model, self.seeds * n, self.tokens)
            for kind, model, n in trained
            if model in MODELS
        ]

    def n_tested(self) -> int:
        """How many arms `tested` has."""
        return 2 + len(self.tasks) + len(self.task_controls)

    def n_others(self) -> int:
        """How many arms `others` has."""
        return 0

    def preflight(self) -> None:
        """Validate before running; raises UserError where the disk is too small, or a card of one's
        own holds too few documents."""
        for size in (1.0, self.larger()) if self.own else ():
            self.crawl(0, size)
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
    positives: Cards = field("cards of texts that the quality classifier takes for good")
    negatives: Cards = field("cards of texts that it takes for bad")

    @field_validator("positives", "negatives")
    @classmethod
    def _cards_exist(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            check_texts(name)
        return names

    @model_validator(mode="after")
    def _larger_crawl_fits(self) -> Self:
        if self.own:
            fit(self, pareto_bytes=min(self.pareto_bytes, int(self.most_bytes() * self.larger())))
        return self

    def scores_of(self, name: str) -> ScoresSpec:
        asked = (self.positives, self.negatives)
        if name != "quality" or asked == (POSITIVES, NEGATIVES):
            return super().scores_of(name)
        return scores_spec(name, super().scores_of(name).cards, *asked)

    def n_others(self) -> int:
        return 2

    def others(self, store: Store) -> dict[Arm, Chosen]:
        """Pareto sampling and heuristic filters, both on a larger crawl, as they keep little. What
        they keep is cut at random to the size of the unfiltered crawl where it exceeds it."""
        crawls = self.crawls(self.pareto_bytes / self.pool_bytes)
        by = self.scores(("quality",), store)["quality"]
        sampled, pages = [], []
        for run, crawl in enumerate(crawls):
            kept = refusals(crawl.texts).kept
            if not kept.any():
                raise UserError(
                    f"pareto_bytes: rules for pages refuse all {len(crawl):,} documents of a crawl "
                    f"of {self.pareto_bytes:,} bytes; choose a larger one."
                )
            passed = filters.pareto(crawl.values(by), self.seed + run, self.alpha)
            sampled.append(self._cut(crawl.take(passed), run))
            pages.append(self._cut(crawl.take(kept), run))
        return {
            Arm("Pareto sampling", kind="other"): Chosen(sampled),
            Arm("rules for pages", kind="other"): Chosen(pages),
        }

    def _cut(self, pool: Pool, run: int) -> Pool:
        fraction = min(1.0, self.wholes[run].bytes / pool.bytes)
        return pool if fraction == 1 else pool.random_drop(fraction, self.seed + run)


class ToxicityFilter(Filtering):
    """Parameters of the chapter *toxicity*."""

    score: ClassVar[str] = "toxicity"
    judges: ClassVar[tuple[str, ...]] = ("quality", "toxicity", "bad-words")
    quality_kept: Percents = field(
        "quality filters to compare with: those of that chapter", "% of bytes"
    )
    quality_inverse: Percent = field("inverse quality filter to compare with", "% of bytes")

    def n_others(self) -> int:
        return 2 + len(self.quality_kept)

    def n_tested(self) -> int:
        return super().n_tested() + len(self.equal) + len(self.quality_kept) + 1

    def others(self, store: Store) -> dict[Arm, Chosen]:
        """C4's word-list filter, and the quality filters of the other chapter."""
        by = self.scores(("quality", "bad-words"), store)
        words = Chosen(
            [
                whole.take(filters.below(whole.values(by["bad-words"]), FLAGS["bad-words"]))
                for whole in self.wholes
            ]
        )
        quality = self.filtered("quality", by["quality"], self.quality_kept, self.quality_inverse)
        return {Arm("word list", kind="other"): words, **quality}

    def tested(self, arms: Mapping[Arm, Chosen]) -> list[Arm]:
        """Those of both chapters, and the larger crawls: what its models write can be compared
        with what those of the whole crawl do, at equal unique text."""
        larger = [Arm(self.score, kept, "equal") for kept in self.equal]
        quality = [arm for arm in arms if arm.rule == "quality"]
        return [*super().tested(arms), *larger, *quality]
