"""The studies behind the chapters *quality* and *toxicity*: what filters of web text do to a model.

A filter ranks the documents of the small crawl by a score and keeps the best of them, as many as
hold a stated share of the bytes; an inverse filter keeps the worst. Shares and not thresholds are
set, because equal thresholds keep different shares under different scores. Beside every filter
stands a random drop of its size, one draw for each run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from dataworth.errors import UserError
from dataworth.parameters import field
from dataworth.runs import Result, Store
from dataworth.stats import Estimate, estimate, grid, over_examples
from dataworth.studies import base
from dataworth.studies.filter_tasks import TASKS, Tasks, score_task
from dataworth.studies.text import TextStudy
from dataworth.text import filters
from dataworth.text.excerpts import excerpt
from dataworth.text.losses import bits_per_byte, document_losses, resample
from dataworth.text.pools import CRAWL, DOMAINS, Pool, draw
from dataworth.text.score_runs import crawl_scores
from dataworth.text.scores import FLAGS, why_unscored
from dataworth.text.tokens import run_text_tasks

if TYPE_CHECKING:
    import pandas as pd

    from dataworth.studies.text_cost import Training

from dataworth.arrays import Array

Percent = Annotated[float, Field(gt=0, lt=100)]
Percents = Annotated[tuple[Percent, ...], Field(min_length=1)]
Kind = Literal["whole", "filter", "inverse", "random", "equal", "matched", "other"]

WHOLE = "whole"
NEAR = 3.0  # percent: how far below the smallest random drop an arm may lie


@dataclass(frozen=True)
class Arm:
    """What a filter leaves: one pool a seed (the same one, unless chance has a part in it).

    filter: the score that chose, "quality" or "toxicity", or "" where none did. cut: the score at
    which it cut, NaN where none did.
    """

    name: str
    kind: Kind
    filter: str
    pools: Sequence[Pool]
    cut: float = float("nan")


class Filtering(TextStudy):
    """Parameters of both chapters."""

    hub_corpora: ClassVar[tuple[str, ...]] = ("c4",)
    score: ClassVar[str]

    kept: Percents
    inverse: Percent
    controls: Percents
    equal: float = field(
        73.0,
        "share of the bytes kept by the filter that chooses from a larger crawl (as many unique "
        "bytes as unfiltered), and by the random drop with the filtered set's domain mix",
        "% of bytes",
        ge=67,
        lt=100,
    )
    tasks: Percents
    task_control: Percent
    examples: int = field(400, "fine-tuning documents of each class", "documents", ge=8, le=10**9)
    steps: int = field(60, "fine-tuning steps", "steps", ge=1, le=10**8)
    questions: int = field(
        96, "multiple-choice questions of a domain, about", "questions", ge=4, le=10**7
    )
    prompts: int = field(20, "toxic prompts, and as many others", "prompts", ge=1, le=10**7)
    samples: int = field(25, "continuations of a prompt", "texts", ge=1, le=10**7)

    @field_validator("kept", "controls", "tasks", check_fields=False)
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

    def arms(self, store: Store) -> dict[str, Arm]:
        """All training sets, by name."""
        scores = crawl_scores((self.score,), store)[self.score]
        found = [Arm(WHOLE, "whole", "", [self.whole] * self.seeds)]
        found += self.filtered(scores, self.score, self.kept, self.inverse)
        for share in self.controls:
            masks = [self.whole.random_drop(share / 100, self.seed + s) for s in range(self.seeds)]
            pools = [self.whole.take(mask) for mask in masks]
            found.append(Arm(f"random {share:g} %", "random", "", pools))
        n_bytes = round(100 * self.pool_bytes / self.equal)
        larger = scorable(draw(CRAWL, n_bytes, seed=self.seed))
        found.append(self._ranked(larger, scores, self.score, self.equal, "equal"))
        chosen = self._ranked(self.whole, scores, self.score, self.equal).pools[0]
        matched = [self.whole.take(mix_matched(self.whole, chosen, s)) for s in range(self.seeds)]
        name = f"mix of {self.score} {self.equal:g} %"
        found.append(Arm(name, "matched", "", matched))
        return {arm.name: arm for arm in [*found, *self.others(store)]}

    def filtered(
        self, scores: Mapping[int, float], by: str, kept: Sequence[float], inverse: float
    ) -> list[Arm]:
        """A filter of the whole crawl at all its shares, and its inverse."""
        arms = [self._ranked(self.whole, scores, by, share) for share in kept]
        return [*arms, self._ranked(self.whole, scores, by, inverse, "inverse")]

    def others(self, store: Store) -> list[Arm]:
        """Arms that one chapter alone has."""
        return []

    def _ranked(
        self,
        pool: Pool,
        scores: Mapping[int, float],
        by: str,
        share: float,
        kind: Kind = "filter",
    ) -> Arm:
        values = np.array([scores[i] for i in pool.ids.tolist()])
        order = filters.ranked(values, high_first=HIGH_IS_GOOD[by] != (kind == "inverse"))
        mask = pool.keep_bytes(order, share / 100)
        name = {"inverse": "inverse ", "equal": "larger crawl, "}.get(kind, "")
        cut = float(values[order[int(mask.sum()) - 1]])
        pools = [pool.take(mask)] * self.seeds
        return Arm(f"{name}{by} {share:g} %", kind, by, pools, cut)

    def tested(self, arms: Mapping[str, Arm]) -> list[str]:
        """Names of the arms whose models do the downstream tasks."""
        shares = [f"{self.score} {share:g} %" for share in self.tasks]
        inverse = f"inverse {self.score} {self.inverse:g} %"
        return [WHOLE, *shares, inverse, f"random {self.task_control:g} %"]

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
        """Raises UserError before anything runs: pools too small, no disk."""
        self.check(runs=sum(training.runs for training in self.trainings()))


HIGH_IS_GOOD = {"quality": True, "toxicity": False}
"""Which end of a score its filter keeps. (Quality in Longpre et al. 2023 is high for bad texts.)"""


class QualityFilter(Filtering):
    """Parameters of the chapter *quality*."""

    score: ClassVar[str] = "quality"

    kept: Percents = field(
        (91.0, 84.0, 73.0, 46.0), "shares that the quality filter keeps", "% of bytes"
    )
    inverse: Percent = field(73.0, "share that the inverse filter keeps", "% of bytes")
    controls: Percents = field(
        (91.0, 73.0, 46.0),
        "shares that random drops keep; between them: interpolated",
        "% of bytes",
    )
    tasks: Percents = field((91.0, 73.0, 46.0), "shares whose models do the downstream tasks", "%")
    task_control: Percent = field(73.0, "random drop whose models do the tasks", "%")
    pareto_bytes: int = field(
        9_600_000,
        "size of the crawl that Pareto sampling and the rules for pages choose from",
        "bytes",
        ge=20_000,
        le=10**15,
    )
    alpha: float = field(9.0, "shape of Pareto sampling", gt=0, le=1000)

    def n_others(self) -> int:
        return 2

    def others(self, store: Store) -> list[Arm]:
        """Pareto sampling and rules of thumb, both on a larger crawl, as they keep little. What
        they keep is cut at random to the size of the unfiltered crawl where it exceeds it."""
        from dataworth.text.heuristics import refusals

        crawl = scorable(draw(CRAWL, self.pareto_bytes, seed=self.seed))
        by_id = crawl_scores((self.score,), store)[self.score]
        scores = np.array([by_id[i] for i in crawl.ids.tolist()])
        sampled = [
            self._cut(crawl.take(filters.pareto(scores, self.seed + s, self.alpha)), s)
            for s in range(self.seeds)
        ]
        kept = refusals(crawl.texts).kept
        if not kept.any():
            raise UserError(
                f"pareto_bytes: rules for pages refuse all {len(crawl):,} documents of a crawl of "
                f"{self.pareto_bytes:,} bytes; choose a larger one."
            )
        passed = [self._cut(crawl.take(kept), s) for s in range(self.seeds)]
        return [
            Arm("Pareto sampling", "other", self.score, sampled),
            Arm("rules for pages", "other", "rules", passed),
        ]

    def _cut(self, pool: Pool, seed: int) -> Pool:
        share = min(1.0, self.whole.bytes / pool.bytes)
        return pool if share == 1 else pool.take(pool.random_drop(share, self.seed + seed))


class ToxicityFilter(Filtering):
    """Parameters of the chapter *toxicity*."""

    score: ClassVar[str] = "toxicity"

    kept: Percents = field(
        (98.0, 95.0, 86.0, 76.0, 61.0), "shares that the toxicity filter keeps", "% of bytes"
    )
    inverse: Percent = field(92.0, "share that the inverse filter keeps", "% of bytes")
    controls: Percents = field(
        (92.0, 76.0, 61.0),
        "shares that random drops keep; between them: interpolated",
        "% of bytes",
    )
    equal: float = field(
        76.0,
        "share of the bytes kept by the filter that chooses from a larger crawl (as many unique "
        "bytes as unfiltered), and by the random drop with the filtered set's domain mix",
        "% of bytes",
        ge=67,
        lt=100,
    )
    tasks: Percents = field((86.0, 61.0), "shares whose models do the downstream tasks", "%")
    task_control: Percent = field(61.0, "random drop whose models do the tasks", "%")
    quality_kept: Percents = field(
        (91.0, 73.0, 46.0), "quality filters to compare with: those of that chapter", "% of bytes"
    )
    quality_inverse: Percent = field(73.0, "inverse quality filter to compare with", "% of bytes")

    def n_others(self) -> int:
        return 2 + len(self.quality_kept)

    def others(self, store: Store) -> list[Arm]:
        """C4's word-list filter, and the quality filters of the other chapter."""
        scores = crawl_scores(("quality", "bad-words"), store)
        clean = np.array(
            [scores["bad-words"][i] < FLAGS["bad-words"] for i in self.whole.ids.tolist()]
        )
        words = Arm("word list", "other", "words", [self.whole.take(clean)] * self.seeds)
        by_quality = scores["quality"]
        return [
            words,
            *self.filtered(by_quality, "quality", self.quality_kept, self.quality_inverse),
        ]

    def tested(self, arms: Mapping[str, Arm]) -> list[str]:
        quality = [n for n, arm in arms.items() if arm.filter == "quality"]
        return [*super().tested(arms), *quality]


def scorable(pool: Pool) -> Pool:
    """A pool without the documents that have no word or are evidently not in English, as C4 has
    none: a filter would drop them unread, and its price would be that of their language."""
    return pool.take(np.array([why_unscored(text) is None for text in pool.texts]))


def mix_matched(pool: Pool, like: Pool, seed: int) -> NDArray[np.bool_]:
    """The mask of random documents of `pool` with as many bytes of every domain as `like` has."""
    mask = np.zeros(len(pool), dtype=bool)
    for number, name in enumerate(DOMAINS):
        rows = np.flatnonzero(pool.domains == name)
        wanted = int(like.sizes[like.domains == name].sum())
        if not len(rows) or not wanted:
            continue
        part = pool.take(pool.domains == name)
        rng = np.random.default_rng([seed, 0x317, number])
        share = min(1.0, wanted / part.bytes)
        mask[rows[part.keep_bytes(rng.permutation(len(part)), share)]] = True
    return mask


@dataclass(frozen=True)
class Filtered(base.Study):
    """Finished runs: `runs[arm]`, one a seed; `answers[arm][task]`, results of each seed."""

    params: Filtering
    arms: Mapping[str, Arm]
    runs: Mapping[str, Sequence[Result]]
    answers: Mapping[str, Mapping[str, Sequence[Sequence[Result]]]]
    store: Store
    _memory: dict[object, object] = dataclass_field(default_factory=dict, repr=False)

    domains = tuple(DOMAINS)

    def kept(self, arm: str) -> float:
        """Unique bytes of an arm in percent of those of the unfiltered crawl."""
        sizes = [pool.bytes for pool in self.arms[arm].pools]
        return float(100 * np.mean(sizes) / self.params.whole.bytes)

    # --- Loss -----------------------------------------------------------------------------------

    def loss(self, arm: str, domain: str) -> Estimate:
        """Bits per byte on a domain's held-out documents; the draws of all arms are of the same
        documents and seeds."""
        return self._once(("loss", arm, domain), lambda: self._loss([(arm, 1.0)], domain))

    def control(self, arm: str, domain: str) -> Estimate:
        """Bits per byte after a random drop of an arm's size: between the sizes that were run (no
        drop among them) each document's loss is interpolated linearly."""
        parts = self.neighbours(self.kept(arm))
        return self._once(("control", *parts, domain), lambda: self._loss(parts, domain))

    def has_control(self, arm: str) -> bool:
        """Whether a random drop of an arm's size was run, or larger and smaller ones."""
        return self.kept(arm) >= min(self._drops)[0] - NEAR

    @property
    def _drops(self) -> list[tuple[float, str]]:
        """Kept shares and names of the random drops and of no drop, rising."""
        drops = [(self.kept(n), n) for n, arm in self.arms.items() if arm.kind == "random"]
        return [*sorted(drops), (100.0, WHOLE)]

    def neighbours(self, kept: float) -> list[tuple[str, float]]:
        """The random drops on both sides of a kept share, and their weights in interpolation.
        Raises UserError below the smallest by more than 3 points."""
        known = self._drops
        sizes = np.array([size for size, _ in known])
        if kept < sizes[0] - NEAR:
            raise UserError(
                f"controls: an arm keeps {kept:.0f} % of the bytes, and the smallest random drop "
                f"{sizes[0]:.0f} %; add one of that size."
            )
        nearest = int(np.abs(sizes - kept).argmin())
        if abs(sizes[nearest] - kept) < 1 or not sizes[0] < kept < sizes[-1]:
            return [(known[nearest][1], 1.0)]
        above = int(np.searchsorted(sizes, kept))
        weight = float((kept - sizes[above - 1]) / (sizes[above] - sizes[above - 1]))
        return [(known[above - 1][1], 1 - weight), (known[above][1], weight)]

    def _loss(self, parts: Sequence[tuple[str, float]], domain: str) -> Estimate:
        loaded = [(document_losses(self.runs[name], domain), weight) for name, weight in parts]
        nats = sum(weight * of_one[0] for of_one, weight in loaded)
        n_bytes = loaded[0][0][1]
        p = self.params
        draws = resample(np.asarray(nats), n_bytes, resamples=p.resamples, seed=p.seed)
        return estimate(float(bits_per_byte(nats, n_bytes).mean()), draws)

    def gain(
        self, arm: str, domains: str | Sequence[str] | None = None, *, over: str = WHOLE
    ) -> Estimate:
        """By how many percent the bits per byte of an arm are lower than those of another arm, or
        of the random drop of its size (`over` = "control"): positive is better. Averaged over
        `domains`, each alike; all eight by default."""
        names = [domains] if isinstance(domains, str) else list(domains or self.domains)
        found = [self._gain(arm, name, over) for name in names]
        return estimate(
            float(np.mean([value for value, _ in found])), np.mean([d for _, d in found], axis=0)
        )

    def _gain(self, arm: str, domain: str, over: str) -> tuple[float, Array]:
        other = self.control(arm, domain) if over == "control" else self.loss(over, domain)
        own = self.loss(arm, domain)
        return 100 * (1 - own.value / other.value), 100 * (1 - own.draws / other.draws)

    def gains(self) -> pd.DataFrame:
        """One row per arm: `kind`, `filter`, `kept` (percent of bytes), `gain` over the unfiltered
        crawl (percent, mean of the domains) and `net` over the random drop of its size (missing
        where none so small was run), each with `_low` and `_high`."""
        import pandas as pd

        rows = []
        for name, arm in self.arms.items():
            row: dict[str, object] = {"kind": arm.kind, "filter": arm.filter}
            row["kept"] = self.kept(name)
            for column, over in (("gain", WHOLE), ("net", "control")):
                if over == "control" and not self.has_control(name):
                    continue
                e = self.gain(name, over=over)
                row |= {column: e.value, f"{column}_low": e.low, f"{column}_high": e.high}
            rows.append(row)
        return pd.DataFrame(rows, index=pd.Index(list(self.arms), name="arm"))

    def by_domain(self, arms: Sequence[str], over: str = WHOLE) -> tuple[Array, NDArray[np.bool_]]:
        """Gains in percent, (arms, domains), and where the interval leaves out zero."""
        return grid([[self.gain(arm, name, over=over) for name in self.domains] for arm in arms])

    def slope(self, values: Mapping[str, Estimate]) -> Estimate:
        """Least-squares slope of numbers by arm against the percent of bytes removed."""
        removed = np.array([100 - self.kept(arm) for arm in values])
        x = (removed - removed.mean()) / ((removed - removed.mean()) ** 2).sum()
        value = float(x @ np.array([e.value for e in values.values()]))
        return estimate(value, x @ np.stack([e.draws for e in values.values()]))

    # --- Downstream -----------------------------------------------------------------------------

    @property
    def tested(self) -> list[str]:
        """Arms whose models did the downstream tasks."""
        return list(self.answers)

    def task(self, arm: str, task: str, group: str | None = None) -> Estimate:
        """The score of an arm's models in a task of `filter_tasks.TASKS`; `group`: on the questions
        of one domain, or the prompts of one kind."""
        p = self.params

        def score() -> Estimate:
            value, draws = score_task(
                self.answers[arm][TASKS[task].spec],
                task,
                group,
                store=self.store,
                resamples=p.resamples,
                seed=p.seed,
            )
            return estimate(value, draws)

        return self._once(("task", arm, task, group), score)

    def task_change(
        self, arm: str, task: str, group: str | None = None, *, over: str = WHOLE
    ) -> Estimate:
        """An arm's score minus that of the models of another arm."""
        return self.task(arm, task, group).minus(self.task(over, task, group))

    def task_table(self) -> pd.DataFrame:
        """Change of every task's score from the unfiltered crawl, by arm: columns `<task>`,
        `<task>_low`, `<task>_high`."""
        import pandas as pd

        rows = []
        for arm in self.tested:
            row: dict[str, float] = {"kept": self.kept(arm)}
            for task in TASKS:
                e = self.task_change(arm, task)
                row |= {task: e.value, f"{task}_low": e.low, f"{task}_high": e.high}
            rows.append(row)
        return pd.DataFrame(rows, index=pd.Index(self.tested, name="arm"))

    def task_words(self) -> pd.DataFrame:
        """`task_table` for a reader: "change [95 % interval]" by arm and task."""
        import pandas as pd

        rows = {
            arm: {task: str(self.task_change(arm, task)) for task in TASKS}
            for arm in self.tested
            if arm != WHOLE
        }
        return pd.DataFrame(rows).T.rename_axis("change from the unfiltered crawl")

    def tasks_by_domain(
        self, arms: Sequence[str], task: str = "margin"
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Changes of a multiple-choice score from the unfiltered crawl, (arms, domains of the
        questions), and where the interval leaves out zero."""
        return grid([[self.task_change(arm, task, name) for name in self.domains] for arm in arms])

    # --- What the filters keep ------------------------------------------------------------------

    def sets(self) -> pd.DataFrame:
        """What every arm's documents are: `kept` (percent of bytes), `documents` (of the first
        seed), `bytes` of a document on average, `cut` (score), share of the bytes of each domain in
        percent, `quality` (mean over scored bytes), `toxic` (percent of scored bytes in documents
        called toxic) and `unscored` (percent of bytes that lack either score); and how often the
        first seed's run passes over them."""
        import pandas as pd

        scores = self._scores
        rows = []
        for name, arm in self.arms.items():
            pool = arm.pools[0]
            weights = pool.sizes / pool.bytes
            mine = {
                k: np.array([by_id[i] for i in pool.ids.tolist()]) for k, by_id in scores.items()
            }
            shares = pool.shares()
            known = {k: np.isfinite(values) * weights for k, values in mine.items()}
            flagged = mine["toxicity"] >= FLAGS["toxicity"]
            rows.append(
                {
                    "kept": self.kept(name),
                    "documents": len(pool),
                    "bytes": pool.bytes / len(pool),
                    "cut": arm.cut,
                    **{domain: 100 * shares.get(domain, 0.0) for domain in CRAWL},
                    "quality": _mean(np.nan_to_num(mine["quality"]), known["quality"]),
                    "toxic": 100 * _mean(flagged.astype(np.float64), known["toxicity"]),
                    "unscored": 100 * float(weights[np.isnan(sum(mine.values()))].sum()),
                    "passes": float(self.runs[name][0].metrics["epochs"][0]),
                }
            )
        return pd.DataFrame(rows, index=pd.Index(list(self.arms), name="arm"))

    def removed_quality(self, arm: str) -> Estimate:
        """Mean quality score of what an arm lacks of the unfiltered crawl minus that of what it
        keeps, over bytes; documents are resampled, those without a score left out."""
        pool, p = self.params.whole, self.params
        quality = np.array([self._scores["quality"][i] for i in pool.ids.tolist()])
        known = np.isfinite(quality)
        pool, quality = pool.take(known), quality[known]
        kept = np.isin(pool.ids, self.arms[arm].pools[0].ids)
        sums = np.stack([quality * pool.sizes * kept, pool.sizes * kept])
        total = np.stack([quality * pool.sizes, pool.sizes.astype(float)])
        drawn = over_examples(np.concatenate([sums, total]), resamples=p.resamples, seed=p.seed)
        values = np.concatenate([sums, total]).mean(1)

        def difference(x: Array) -> Array:
            return (x[..., 2] - x[..., 0]) / (x[..., 3] - x[..., 1]) - x[..., 0] / x[..., 1]

        return estimate(float(difference(values)), difference(drawn))

    @property
    def _scores(self) -> dict[str, dict[int, float]]:
        found: dict[str, dict[int, float]] = self._once(
            "scores", lambda: crawl_scores(("quality", "toxicity"), self.store)
        )
        return found

    def removed(self, count: int = 4, characters: int = 90) -> pd.DataFrame:
        """Random documents that the mildest filter removes, that only the strictest removes, and
        that no filter removes: columns `fate`, `domain`, `score`, `text` (HTML, masked)."""
        import pandas as pd

        p, pool = self.params, self.params.whole
        scores = np.array([self._scores[p.score][i] for i in pool.ids.tolist()])
        kept = {
            share: np.isin(pool.ids, self.arms[f"{p.score} {share:g} %"].pools[0].ids)
            for share in (max(p.kept), min(p.kept))
        }
        mild, strict = kept[max(p.kept)], kept[min(p.kept)]
        fates = {
            f"removed at {max(p.kept):g} % kept": ~mild,
            f"removed at {min(p.kept):g} % kept only": mild & ~strict,
            "never removed": strict,
        }
        rng = np.random.default_rng([p.seed, 0xE8])
        long = pool.sizes >= 40
        rows = [
            (fate, pool.domains[row], scores[row], excerpt(pool.texts[row], characters))
            for fate, mask in fates.items()
            for row in rng.permutation(np.flatnonzero(mask & long))[:count].tolist()
        ]
        return pd.DataFrame(rows, columns=["fate", "domain", "score", "text"])

    def unscored(self) -> pd.DataFrame:
        """What is not scored of the crawl as drawn: `documents` and `percent of bytes`. First row:
        without a word or not in English, left out of every arm; then by scorer: without a word that
        it knows, dropped first by each of its filters, inverse ones too."""
        import pandas as pd

        pool = self.params.crawl()
        lacks = {"every arm": ~np.isin(pool.ids, self.params.whole.ids)}
        for name, by_id in self._scores.items():
            values = np.array([by_id[i] for i in pool.ids.tolist()])
            lacks[f"{name} filters"] = np.isnan(values) & ~lacks["every arm"]
        rows = [
            (int(mask.sum()), 100 * float(pool.sizes[mask].sum() / pool.bytes))
            for mask in lacks.values()
        ]
        index = pd.Index(list(lacks), name="not scored, and left out of")
        return pd.DataFrame(rows, index, ["documents", "percent of bytes"])

    def reasons(self, rows: int = 8) -> dict[str, int]:
        """How many documents of the unfiltered crawl the rules for pages refuse, by reason, most
        frequent first."""
        from dataworth.text.heuristics import refusals

        counts = refusals(self.params.whole.texts).counts()
        return dict(list(counts.items())[:rows])

    def kinds(self) -> dict[str, Any]:
        """All results, by kind."""
        return {"language models": self.runs, "downstream tasks": self.answers}

    def _once(self, name: object, make: Callable[[], object]):  # type: ignore[no-untyped-def]
        if name not in self._memory:
            self._memory[name] = make()
        return self._memory[name]


def _mean(values: Array, weights: Array) -> float:
    return float(values @ weights / weights.sum()) if weights.any() else float("nan")


def run(params: Filtering, store: Store | None = None) -> Filtered:
    """Score, train and question what is missing, and collect the study."""
    params.preflight()
    store = store or Store()
    arms = params.arms(store)
    specs = {
        name: [
            params.language_model(pool, s, keep_weights=True) for s, pool in enumerate(arm.pools)
        ]
        for name, arm in arms.items()
    }
    runs = base.run_grid(specs, store, "language models", run=run_text_tasks)
    tasks = params.downstream()
    asked = {
        name: {task: [tasks.specs(task, spec) for spec in specs[name]] for task in tasks.names}
        for name in params.tested(arms)
    }
    answers = base.run_grid(asked, store, "tasks", run=run_text_tasks)
    return Filtered(params, arms, runs, answers, store)
