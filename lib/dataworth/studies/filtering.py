"""The studies behind *quality* and *toxicity*: what filters of a crawl do to a language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from dataworth.arrays import Array
from dataworth.errors import UserError
from dataworth.runs import Result, Store
from dataworth.runs.kept import keep
from dataworth.stats import Estimate, estimate, grid, mean, over_examples
from dataworth.studies import base
from dataworth.studies.domain_arms import loss_draws
from dataworth.studies.filter_arms import (
    NEAR,
    WHOLE,
    Arm,
    Chosen,
    Filtering,
    Kind,
    QualityFilter,
    ToxicityFilter,
)
from dataworth.studies.filter_tasks import TASKS, run_score, score_task
from dataworth.studies.text import columns
from dataworth.tables import text as told
from dataworth.text.excerpts import excerpt
from dataworth.text.heuristics import refusals
from dataworth.text.pools import Pool
from dataworth.text.scorers import SCORERS
from dataworth.text.scores import FLAGS
from dataworth.text.tokens import run_text_tasks

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["WHOLE", "Arm", "Chosen", "Filtered", "QualityFilter", "ToxicityFilter", "run"]


@dataclass(frozen=True, eq=False)
class Filtered(base.Study):
    """Finished runs: `runs[arm]`, one a seed, whose losses compare the arms; `answers[arm][task]`,
    results of each seed, of the language models `models[arm]`."""

    params: Filtering
    arms: Mapping[Arm, Chosen]
    runs: Mapping[Arm, Sequence[Result]]
    answers: Mapping[Arm, Mapping[str, Sequence[Sequence[Result]]]]
    store: Store
    models: Mapping[Arm, Sequence[Result]] = field(default_factory=dict)

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains of held-out text."""
        return tuple(self.params.domains)

    @property
    def crawl(self) -> tuple[str, ...]:
        """The domains of the crawl."""
        return tuple(self.params.crawl_domains)

    def arm(self, rule: str, kept: float = 100.0, kind: Kind | None = None) -> Arm:
        """The arm of a rule that keeps so many percent: `arm("quality", 46)`, `arm("random", 73)`,
        `arm("quality", 73, "inverse")`, `arm("whole")`. Raises UserError where there is none."""
        plain = ("whole", "filter", "random", "other")
        for arm in self.arms:
            if (arm.rule, arm.kept) == (rule, kept) and arm.kind in ([kind] if kind else plain):
                return arm
        known = ", ".join(map(str, self.arms))
        raise UserError(f"arm: no {kind or 'arm'} {rule!r} keeps {kept:g} %; there are {known}.")

    @property
    def own_arms(self) -> list[Arm]:
        """The arms of the chapter itself: without the whole crawl and the other filter."""
        others = {*SCORERS} - {self.params.score}
        return [arm for arm in self.arms if arm != WHOLE and arm.rule not in others]

    @property
    def filters(self) -> list[Arm]:
        """The chapter's filter at all its sizes, the mildest first."""
        return [Arm(self.params.score, kept) for kept in self.params.kept]

    @property
    def drops(self) -> list[Arm]:
        """The random drops."""
        return [arm for arm in self.arms if arm.kind == "random"]

    def kept(self, arm: Arm) -> float:
        """Unique bytes of an arm in percent of those of the unfiltered crawl, mean of the runs."""
        pairs = zip(self.arms[arm].pools, self.arms[WHOLE].pools, strict=True)
        return float(np.mean([100 * pool.bytes / whole.bytes for pool, whole in pairs]))

    # --- Loss -----------------------------------------------------------------------------------

    def loss(self, arm: Arm, domain: str) -> Estimate:
        """Bits per byte on a domain's held-out documents; the draws of all arms are of the same
        documents and seeds."""
        return self._loss(((arm, 1.0),), domain)

    def control(self, arm: Arm, domain: str) -> Estimate:
        """Bits per byte after a random drop of an arm's size: between the sizes that were run (no
        drop among them) each document's loss is interpolated linearly."""
        return self._loss(tuple(self.neighbours(self.kept(arm))), domain)

    def has_control(self, arm: Arm) -> bool:
        """Whether a random drop of an arm's size was run, or larger and smaller ones."""
        return self.kept(arm) >= self._sizes[0][0] - NEAR

    @cached_property
    def _sizes(self) -> list[tuple[float, Arm]]:
        """Kept percentages and arms of the random drops and of no drop, rising."""
        drops = [(self.kept(arm), arm) for arm in self.drops]
        return [*sorted(drops, key=lambda drop: drop[0]), (100.0, WHOLE)]

    def neighbours(self, kept: float) -> list[tuple[Arm, float]]:
        """The random drops on both sides of a kept percentage, and their weights in interpolation.
        Raises UserError below the smallest by more than 3 points."""
        known = self._sizes
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

    def _loss(self, parts: tuple[tuple[Arm, float], ...], domain: str) -> Estimate:
        (values, draws), at = self._losses, self.domains.index(domain)
        return estimate(
            sum(weight * float(values[arm][at]) for arm, weight in parts),
            np.sum([weight * draws[arm][:, at] for arm, weight in parts], axis=0),
        )

    @cached_property
    def _losses(self) -> tuple[dict[Arm, Array], dict[Arm, Array]]:
        p = self.params
        return loss_draws(self.runs, p.domains, resamples=p.resamples, seed=p.seed)

    def gain(
        self,
        arm: Arm,
        domains: str | Sequence[str] | None = None,
        *,
        over: Arm | Literal["control"] = WHOLE,
    ) -> Estimate:
        """By how many percent the bits per byte of an arm are lower than those of another arm, or
        of the random drop of its size (`over` = "control"): positive is better. Averaged over
        `domains`, each alike; all eight by default."""
        names = [domains] if isinstance(domains, str) else domains or self.domains
        return mean([self._gain(arm, name, over) for name in names])

    def _gain(self, arm: Arm, domain: str, over: Arm | Literal["control"]) -> Estimate:
        other = self.control(arm, domain) if over == "control" else self.loss(over, domain)
        own = self.loss(arm, domain)
        return estimate(100 * (1 - own.value / other.value), 100 * (1 - own.draws / other.draws))

    def gains(self) -> pd.DataFrame:
        """One row per arm, by name: `kind`, `filter`, `kept` (percent of bytes), `share` (percent
        that its rule keeps of what it chooses from), `gain` over the unfiltered crawl (percent,
        mean of the domains) and `net` over the random drop of its size (missing where none so small
        was run), each with `_low` and `_high`."""
        rows = {}
        for arm in self.arms:
            found = {"gain": self.gain(arm)}
            if self.has_control(arm):
                found["net"] = self.gain(arm, over="control")
            sizes = {"kept": self.kept(arm), "share": arm.kept}
            rows[arm] = {"kind": arm.kind, "filter": arm.filter, **sizes, **columns(found)}
        return _by_arm(rows)

    def by_domain(
        self, arms: Sequence[Arm], over: Arm | Literal["control"] = WHOLE
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Gains in percent, (arms, domains), and where the interval excludes zero."""
        return grid([[self.gain(arm, name, over=over) for name in self.domains] for arm in arms])

    def slope(self, values: Mapping[Arm, Estimate]) -> Estimate:
        """Least-squares slope of numbers by arm against the percent of bytes removed."""
        removed = np.array([100 - self.kept(arm) for arm in values])
        x = (removed - removed.mean()) / ((removed - removed.mean()) ** 2).sum()
        value = float(x @ np.array([e.value for e in values.values()]))
        return estimate(value, x @ np.stack([e.draws for e in values.values()]))

    # --- Downstream -----------------------------------------------------------------------------

    @property
    def tested(self) -> list[Arm]:
        """Arms whose models did the downstream tasks."""
        return list(self.answers)

    @property
    def own_tested(self) -> list[Arm]:
        """Those of `own_arms`."""
        return [arm for arm in self.tested if arm in self.own_arms]

    def task(self, arm: Arm, task: str, group: str | None = None) -> Estimate:
        """The score of an arm's models in a task of `filter_tasks.TASKS`; `group`: on the questions
        of one domain, or the prompts of one kind."""
        values, draws = self._tasks(task, group)
        at = self.tested.index(arm)
        return estimate(float(values[at]), draws[:, at])

    @cache  # noqa: B019 - a study lives as long as its page
    def _tasks(self, task: str, group: str | None) -> tuple[Array, Array]:
        """`score_task` of all tested arms."""
        p = self.params
        results = [of_arm[TASKS[task].spec] for of_arm in self.answers.values()]
        return score_task(
            results, task, group, store=self.store, resamples=p.resamples, seed=p.seed
        )

    def task_change(
        self, arm: Arm, task: str, group: str | None = None, *, over: Arm = WHOLE
    ) -> Estimate:
        """An arm's score minus that of the models of another arm."""
        return self.task(arm, task, group).minus(self.task(over, task, group))

    def changes(
        self, arms: Sequence[Arm], tasks: Sequence[str] = tuple(TASKS)
    ) -> dict[str, dict[str, Estimate]]:
        """Change of every task's score from the unfiltered crawl, by task and name of the arm."""
        return {task: {str(arm): self.task_change(arm, task) for arm in arms} for task in tasks}

    def mean_change(self, arms: Sequence[Arm], task: str) -> Estimate:
        """Mean of the `task_change` of several arms."""
        return mean([self.task_change(arm, task) for arm in arms])

    def tasks_by_domain(
        self, arms: Sequence[Arm], task: str = "margin"
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Changes of a multiple-choice score from the unfiltered crawl, (arms, domains of the
        questions), and where the interval excludes zero."""
        return grid([[self.task_change(arm, task, name) for name in self.domains] for arm in arms])

    # --- What the filters keep ------------------------------------------------------------------

    def sets(self) -> pd.DataFrame:
        """What every arm's documents are, by its name; of the first seed, but for `kept` (percent
        of bytes): `documents`, `bytes` of a document on average, `cut` (score), percent of the
        bytes of each domain, `quality` (mean over scored bytes), `toxic` (percent of scored bytes
        in documents called toxic), `unscored` (percent of bytes that lack either score) and
        `epochs` (over the subset)."""
        rows = {}
        for arm, chosen in self.arms.items():
            pool = chosen.pools[0]
            weights = pool.sizes / pool.bytes
            mine = {name: pool.values(by) for name, by in self._scores.items()}
            shares = pool.shares()
            known = {k: np.isfinite(values) * weights for k, values in mine.items()}
            flagged = mine["toxicity"] >= FLAGS["toxicity"]
            rows[arm] = {
                "kept": self.kept(arm),
                "documents": len(pool),
                "bytes": pool.bytes / len(pool),
                "cut": chosen.cut,
                **{domain: 100 * shares.get(domain, 0.0) for domain in self.crawl},
                "quality": _mean(np.nan_to_num(mine["quality"]), known["quality"]),
                "toxic": 100 * _mean(flagged.astype(np.float64), known["toxicity"]),
                "unscored": 100 * float(weights[np.isnan(sum(mine.values()))].sum()),
                "epochs": float(self.runs[arm][0].metrics["epochs"][0]),
            }
        return _by_arm(rows)

    def removed_quality(self, arm: Arm) -> Estimate:
        """Mean quality score of what an arm lacks of the unfiltered crawls minus that of what it
        keeps, over bytes; documents are resampled, those without a score left out."""
        p, by = self.params, self._scores["quality"]
        pairs = zip(self.arms[WHOLE].pools, self.arms[arm].pools, strict=True)
        ids, quality, sizes, kept = map(
            np.concatenate,
            zip(
                *((w.ids, w.values(by), w.sizes, np.isin(w.ids, held.ids)) for w, held in pairs),
                strict=True,
            ),
        )
        known = np.isfinite(quality)
        _, document = np.unique(ids[known], return_inverse=True)  # some are in several crawls
        sizes, quality, kept = sizes[known], quality[known], kept[known]
        columns_ = (quality * sizes * kept, sizes * kept, quality * sizes, sizes)
        sums: Array = np.stack([np.bincount(document, x.astype(np.float64)) for x in columns_])
        drawn = over_examples(sums, resamples=p.resamples, seed=p.seed)

        def difference(x: Array) -> Array:
            return (x[..., 2] - x[..., 0]) / (x[..., 3] - x[..., 1]) - x[..., 0] / x[..., 1]

        return estimate(float(difference(sums.mean(1))), difference(drawn))

    def _holds(self, arm: Arm) -> NDArray[np.bool_]:
        """Which documents (N,) of the first seed's unfiltered crawl an arm of that seed holds."""
        return np.isin(self._whole.ids, self.arms[arm].pools[0].ids)

    @property
    def _whole(self) -> Pool:
        """The unfiltered crawl of the first seed."""
        return self.arms[WHOLE].pools[0]

    def fewest(self) -> int:
        """Documents of the domain that has fewest in an unfiltered crawl."""
        return min(n for pool in self.arms[WHOLE].pools for n in pool.documents().values())

    @cached_property
    @keep
    def _scores(self) -> dict[str, dict[int, float]]:
        return self.params.scores(("quality", "toxicity"), self.store)

    @keep
    def removed(self, count: int = 4, characters: int = 90) -> pd.DataFrame:
        """Random documents that the mildest filter removes, that only the strictest removes, and
        that no filter removes: columns `fate`, `domain`, `score`, `text` (masked)."""
        from html import unescape  # a page escapes every text itself

        import pandas as pd

        p, pool = self.params, self._whole
        scores = pool.values(p.scores((p.scorer,), self.store)[p.scorer])
        mild, strict = (self._holds(Arm(p.score, kept)) for kept in (max(p.kept), min(p.kept)))
        fates = {
            f"removed at {max(p.kept):g} % kept": ~mild,
            f"removed at {min(p.kept):g} % kept only": mild & ~strict,
            "never removed": strict,
        }
        rng = np.random.default_rng([p.seed, 0xE8])
        long = pool.sizes >= 40
        rows = [
            (fate, pool.domains[row], scores[row], unescape(excerpt(pool.texts[row], characters)))
            for fate, mask in fates.items()
            for row in rng.permutation(np.flatnonzero(mask & long))[:count].tolist()
        ]
        return pd.DataFrame(rows, columns=["fate", "domain", "score", "text"])

    @keep
    def unscored(self) -> pd.DataFrame:
        """What is not scored of the first seed's crawl: `documents` and `percent of bytes`. First
        row: without a word or not in English, left out of every arm; then by scorer: without a word
        that it knows, dropped first by each of its filters, inverse ones too."""
        import pandas as pd

        pool = self.params.crawl(0)
        lacks = {"every arm": ~np.isin(pool.ids, self._whole.ids)}
        for name, by in self._scores.items():
            lacks[f"{name} filters"] = np.isnan(pool.values(by)) & ~lacks["every arm"]
        rows = [
            (int(mask.sum()), 100 * float(pool.sizes[mask].sum() / pool.bytes))
            for mask in lacks.values()
        ]
        index = pd.Index(list(lacks), name="not scored, and left out of")
        return pd.DataFrame(rows, index, ["documents", "percent of bytes"])

    @keep
    def reasons(self, rows: int = 8) -> pd.DataFrame:
        """How many documents of the first seed's crawl the heuristic filters reject, by reason,
        most frequent first: column `documents`."""
        import pandas as pd

        counts = refusals(self._whole.texts).counts()
        return pd.Series(counts, name="documents").head(rows).rename_axis("reason").to_frame()

    # --- What is recorded -----------------------------------------------------------------------

    def evidence(self, arms: Sequence[Arm], tasks: Sequence[str]) -> dict[str, object]:
        """Numbers for the ledger, to be drawn beside later runs: gains of the chapter's arms, cuts
        of its filters, gains of some `arms` by domain, changes in `tasks` of all tested arms; and
        of every task the level without a filter, beside chance."""
        gains = self.gains().loc[list(map(str, self.own_arms))]
        changes = self.changes(self.tested, tasks)
        return {
            "gains": {"arm": list(gains.index)}
            | {c: gains[c].tolist() for c in ("kept", "gain", "gain_low", "gain_high", "net")},
            "cuts": {str(arm): self.arms[arm].cut for arm in self.filters},
            "domains": {
                "arms": list(map(str, arms)),
                "columns": list(self.domains),
                "gain": self.by_domain(arms)[0].tolist(),
            },
            "tasks": {"arm": list(map(str, self.tested)), "kept": [*map(self.kept, self.tested)]}
            | {task: [e.value for e in found.values()] for task, found in changes.items()},
            "levels": {
                task: {**self.task(WHOLE, task).evidence(), "chance": TASKS[task].chance}
                for task in TASKS
            },
            "decision": self.decision(),
        }

    def decision(self) -> dict[str, Any]:
        """Which filter, if any: of the chapter's arms, the strictest last, what is left, the gain
        over no filter and over a random drop of the same size, and what follows, as a table of
        text."""
        rows = []
        for arm in sorted(self.own_arms, key=lambda arm: -self.kept(arm)):
            if arm.kind == "random":
                continue
            whole, net = self.gain(arm), None
            if self.has_control(arm):
                net = self.gain(arm, over="control")
            beside = "not compared" if net is None else told(net)
            rows.append([str(arm), f"{self.kept(arm):.0f}", told(whole), beside, _advice(net)])
        head = ["what is left", "% of the bytes", "gain over no filter, %",
                "gain over a random drop of the same size, %", "so"]  # fmt: skip
        return {"head": head, "rows": rows, "dials": 0}

    def kinds(self) -> dict[str, Any]:
        """All results, by kind."""
        compared = {} if self.params.loss_model == self.params.model else {"losses": self.runs}
        models = self.models if compared else self.runs
        return {**compared, "language models": models, "downstream tasks": self.answers}

    def run_means(self, leaf: Result) -> Mapping[str, Any]:
        return run_score(leaf, self.store)


def _advice(net: Estimate | None) -> str:
    if net is None or net.low <= 0 <= net.high:
        return "cannot be told from dropping as much at random"
    return "better than dropping at random" if net.low > 0 else "worse than dropping at random"


def _by_arm(rows: Mapping[Arm, Mapping[str, object]]) -> pd.DataFrame:
    """A table with one row per arm, by its name."""
    import pandas as pd

    return pd.DataFrame(list(rows.values()), index=pd.Index(list(map(str, rows)), name="arm"))


def _mean(values: Array, weights: Array) -> float:
    return float(values @ weights / weights.sum()) if weights.any() else float("nan")


@keep
def run(params: Filtering, store: Store | None = None) -> Filtered:
    """Score, train and question what is missing, and collect the study."""
    params.preflight()
    store = store or Store()
    params.scores(list(dict.fromkeys((params.scorer, *params.judges))), store)
    arms = params.arms(store)
    compared = {a: params.trained(chosen.pools, params.loss_model) for a, chosen in arms.items()}
    runs = base.run_grid(compared, store, params.loss_model, run=run_text_tasks)
    specs = {
        arm: params.language_models(arms[arm].pools, params.model) for arm in params.tested(arms)
    }
    models = base.run_grid(specs, store, "language models", run=run_text_tasks)
    tasks = params.downstream()
    asked = {
        arm: {task: [tasks.specs(task, spec) for spec in each] for task in tasks.names}
        for arm, each in specs.items()
    }
    answers = base.run_grid(asked, store, "tasks", run=run_text_tasks)
    return Filtered(params, arms, runs, answers, store, models)
