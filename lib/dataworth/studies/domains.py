"""The study behind the chapter *domains*: what each source of a pretraining mixture is good for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from dataworth.arrays import Array
from dataworth.display import Sentence
from dataworth.runs import Result, Store
from dataworth.runs.kept import keep
from dataworth.stats import (
    Estimate,
    best_of,
    correlation,
    estimate,
    grid,
    mean,
)
from dataworth.studies import base
from dataworth.studies.domain_arms import FULL, Domains, Mixed, loss_draws, without
from dataworth.studies.text import columns
from dataworth.text.downstream import choice_scores
from dataworth.text.losses import by_part
from dataworth.text.pools import Pool
from dataworth.text.tokens import run_text_tasks

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DomainStudy", "Domains", "MixtureRegression", "fit_mixtures", "run"]

Average = Literal["macro", "bytes"]
Score = Literal["margin", "right"]
Drawn = tuple[dict[str, Array], dict[str, Array]]
"""By arm values (domains,) and draws (B, domains) of them."""

FLOOR = 0.01  # added to shares before their logarithm is taken


@dataclass(frozen=True)
class DomainStudy(base.Study):
    """Finished runs, all [arm][seed]."""

    params: Domains
    pools: Mapping[str, Sequence[Pool]]
    runs: Mapping[str, Sequence[Result]]
    answers: Mapping[str, Sequence[Result]]

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains that are left out one at a time."""
        return tuple(self.params.domains)

    def counterparts(self, *groups: str) -> list[str]:
        """The domains that stand for groups of sources of Longpre et al. 2023 (all: that stand for
        any); none of one's own card do."""
        return [
            name
            for name, domain in self.params.domains.items()
            if domain.group and (not groups or domain.group in groups)
        ]

    @property
    def shares(self) -> dict[str, float]:
        """Share of the whole pool's bytes by domain."""
        return self.params.shares

    def fewest(self) -> int:
        """Documents of the domain that has fewest in a whole pool, distinct ones."""
        return min(n for pool in self.pools[FULL] for n in pool.documents().values())

    def change(
        self,
        arm: Mixed,
        evaluation: str | Sequence[str] | None = None,
        *,
        average: Average = "macro",
        baseline: Mixed = FULL,
    ) -> Estimate:
        """Loss of an arm minus that of the baseline, in bits per byte (positive: worse): on one
        domain's held-out documents, or on several domains' (default: all) averaged, each
        alike (`macro`) or by its share of the whole pool's bytes (`bytes`)."""
        names = [evaluation] if isinstance(evaluation, str) else list(evaluation or self.domains)
        weights = np.array([self.shares[name] if average == "bytes" else 1.0 for name in names])
        at = [self.domains.index(name) for name in names]
        (value, draws), (other, others) = (mixed(self._losses, each) for each in (arm, baseline))
        weights = weights / weights.sum()
        return estimate(float((value - other)[at] @ weights), (draws - others)[:, at] @ weights)

    def others(self, domain: str) -> list[str]:
        """All domains but one."""
        return [name for name in self.domains if name != domain]

    def harm(
        self, domain: str, *, own: bool = False, average: Average = "macro", beyond: bool = False
    ) -> Estimate:
        """What leaving a domain out costs, in bits per byte averaged over the other domains, or
        over all with the left-out one (`own`). `beyond`: beyond what the random drop of its size
        costs on the same documents."""
        baseline = self.params.control(domain) if beyond else FULL
        over = self.domains if own else self.others(domain)
        return self.change(without(domain), over, average=average, baseline=baseline)

    def mean_harm(self, domains: Sequence[str], *, beyond: bool = False) -> Estimate:
        """Mean of the `harm` of several domains, each alike; of none it is not measurable."""
        return self.mean_of([self.harm(name, beyond=beyond) for name in domains])

    def at_random(self, domains: Sequence[str], *, per_percent: bool = False) -> Estimate:
        """Mean cost of random drops of the domains' sizes, each on the text of all others; divided
        by the percent removed if asked."""
        found = {
            n: self.change(self.params.control(n), self.others(n))
            for n in domains
            if n in self.domains
        }
        return self.mean_of(
            [e.times(0.01 / self.shares[n] if per_percent else 1.0) for n, e in found.items()]
        )

    def averages(self) -> pd.DataFrame:
        """The harm of every domain (rows, estimates) by four averages: over the domains left in or
        all, each alike or by its share of the pool."""
        import pandas as pd

        words: dict[str, Average] = {"each domain alike": "macro", "by share of the pool": "bytes"}
        return pd.DataFrame(
            {
                f"{scope}, {how}": [
                    self.harm(name, own=scope == "all domains", average=average)
                    for name in self.domains
                ]
                for scope in ("domains left in", "all domains")
                for how, average in words.items()
            },
            index=pd.Index(self.domains, name="domain left out"),
        )

    def mean_of(self, estimates: Sequence[Estimate]) -> Estimate:
        """Their mean; not measurable where there are none."""
        return mean(estimates) if estimates else self.nothing

    @property
    def nothing(self) -> Estimate:
        """What stands for a number about counterparts of the paper's sources that are not there."""
        draws = np.full(self.params.resamples, np.nan)
        return Estimate(np.nan, np.nan, np.nan, draws, self.lacking)

    @property
    def lacking(self) -> str:
        """Why nothing can be compared with the paper's sources, "" where it can."""
        if self.counterparts():
            return ""
        return Sentence(
            f"The domains of {self.params.card} are no counterparts of the sources of the Pile."
        )

    def heat(self, arms: Sequence[str]) -> tuple[Array, NDArray[np.bool_]]:
        """Change in bits per byte, (arms, domains), and where its interval excludes zero."""
        return grid([[self.change(arm, name) for name in self.domains] for arm in arms])

    def table(self, average: Average = "macro") -> pd.DataFrame:
        """One row per left-out domain: `group` (its counterpart in the Pile), `removed` (percent
        of the bytes), `own` (change on its own documents), `others` (average change on the other
        domains), `random` (the same for the random drop), each with `_low` and `_high`, and
        `per_percent` (`others` divided by `removed`)."""
        import pandas as pd

        rows = []
        for name in self.domains:
            removed = 100 * self.shares[name]
            found = {
                "own": self.change(without(name), name),
                "others": self.harm(name, average=average),
                "all": self.harm(name, own=True, average=average),
                "random": self.change(
                    self.params.control(name), self.others(name), average=average
                ),
            }
            found["per_percent"] = found["others"].times(1 / removed)
            about = {"group": self.params.domains[name].group or "none", "removed": removed}
            rows.append(about | columns(found))
        return pd.DataFrame(rows, index=pd.Index(self.domains, name="domain"))

    def size_correlation(self, *, rank: bool = False, whole: bool = True) -> Estimate:
        """Correlation, over these left-out domains, of percent removed and average harm; over the
        `whole` of them or without the largest. Pearson, or Spearman (`rank`). The domains are
        fixed: the interval is over documents and runs."""
        by_size = sorted(self.domains, key=self.shares.__getitem__, reverse=True)
        kept = by_size[0 if whole else 1 :]
        harms = [self.harm(name) for name in kept]
        size = np.array([self.shares[name] for name in kept])
        value = correlation(size, np.array([e.value for e in harms]), rank=rank)
        draws = correlation(size, np.stack([e.draws for e in harms], axis=1), rank=rank)
        return estimate(float(value), draws)

    def agreement(self, other: Mapping[str, float]) -> Estimate:
        """Spearman correlation of the average harm with other numbers by domain (larger: more
        harm). Domains are a sample here: they are resampled too."""
        names = [name for name in self.domains if name in other]
        if not names:
            return self.nothing
        harms = [self.harm(name) for name in names]
        ours = np.stack([e.draws for e in harms], axis=1)
        theirs = np.array([other[name] for name in names])
        value = correlation(theirs, np.array([e.value for e in harms]), rank=True)
        rng = np.random.default_rng([self.params.seed, 0xA6])
        pick = rng.integers(len(names), size=ours.shape)
        drawn = np.take_along_axis(ours, pick, axis=1)
        return estimate(float(value), correlation(theirs[pick], drawn, rank=True))

    def largest_margin(self, domain: str, *, per_percent: bool = False) -> Estimate:
        """Harm of leaving out a domain minus the largest harm among the others, on the domains
        that each leaves in; divided by the percent removed if asked. As the largest of several
        favours luck, the interval is that of `best_of`. Not measurable without the domain."""
        if domain not in self.domains:
            return self.nothing
        harms = {
            name: self.harm(name).times(0.01 / self.shares[name] if per_percent else 1.0)
            for name in self.domains
        }
        ahead = {name: harms[name].minus(harms[domain]) for name in self.others(domain)}
        _, most = best_of(ahead)
        return Estimate(-most.value, -most.high, -most.low, -most.draws)

    def heterogeneity(self, evaluation: str | None = None) -> dict[int, Estimate]:
        """Loss by the number of domains in pools of equal bytes, minus that of all domains at
        random: the pools of few domains, and the one without its largest. On all domains averaged,
        or on one (then without the pool that lacks it)."""
        (most,), total = self.params.largest(1), len(self.domains)
        baseline = self.params.control(most)
        arms: dict[int, Mixed] = {count: self.params.few_of(count) for count in self.params.few}
        arms |= {total - 1: without(most), total: baseline}
        return {
            count: self.change(arm, evaluation, baseline=baseline)
            for count, arm in arms.items()
            if evaluation is None or arm != without(evaluation)
        }

    def variety(self, count: int) -> Estimate:
        """What a pool of few domains costs on text of kinds that it has not seen, in bits per byte:
        its loss on each domain that it lacks minus that of the pool of the seven others, which has
        not seen it either; their mean, less what the bytes that it lacks cost (`fewer_bytes`)."""
        unseen = [name for name in self.domains if name not in self.params.largest(count)]
        few = self.params.few_of(count)
        found = [self.change(few, name, baseline=without(name)) for name in unseen]
        return mean(found).minus(self.fewer_bytes(count))

    def fewer_bytes(self, count: int) -> Estimate:
        """Cost of a random drop to the size of the pool of few domains, on the text of the domains
        that this one lacks."""
        unseen = [name for name in self.domains if name not in self.params.largest(count)]
        return self.change(self.params.control(self.params.largest(1)[0]), unseen)

    # --- Multiple choice ---------------------------------------------------------------------

    def margin(
        self,
        arm: Mixed,
        domains: Sequence[str] | None = None,
        *,
        baseline: Mixed | None = FULL,
        score: Score = "margin",
    ) -> Estimate:
        """Margin of the true continuation over the best false one, in bits per byte (larger is
        better), or percent of right answers (`right`), minus that of the baseline arm; averaged
        over the questions' domains (default: all), each alike; not measurable for none of them."""
        if domains is not None and not set(domains) <= set(self.domains):
            return self.nothing
        at = [self.domains.index(name) for name in domains or self.domains]
        value, drawn = mixed(self._answers[score], arm)
        if baseline is not None:
            other, others = mixed(self._answers[score], baseline)
            value, drawn = value - other, drawn - others
        return estimate(float(value[at].mean()), drawn[:, at].mean(1))

    def right(self, domain: str, arm: Mixed = FULL, baseline: Mixed | None = None) -> Estimate:
        """Percent of right answers on a domain's own questions; not measurable without it."""
        return self.margin(arm, [domain], baseline=baseline, score="right")

    def answers_without(self, domain: str) -> Estimate:
        """Right answers on its own questions without a domain less those of a random drop of its
        size."""
        return self.right(domain, without(domain), self._control(domain))

    def answers_at_random(self, domain: str) -> Estimate:
        """Right answers on its questions of a random drop of its size less the whole pool's."""
        return self.right(domain, self._control(domain), FULL)

    def _control(self, domain: str) -> Mixed:
        return self.params.control(domain) if domain in self.domains else FULL

    def downstream(self) -> pd.DataFrame:
        """One row per left-out domain: change of the margin on questions of the other domains
        (`others`), on its own (`own`), and on the others for the random drop (`random`), each with
        `_low` and `_high`."""
        import pandas as pd

        rows = []
        for name in self.domains:
            found = {
                "own": self.margin(without(name), [name]),
                "others": self.margin(without(name), self.others(name)),
                "random": self.margin(self.params.control(name), self.others(name)),
            }
            rows.append(columns(found))
        return pd.DataFrame(rows, index=pd.Index(self.domains, name="domain"))

    def accuracy(self, arm: str = FULL) -> pd.DataFrame:
        """Multiple choice by domain for one arm: `questions`, and estimates `right` (percent) and
        `margin`; the mean over runs."""
        import pandas as pd

        rows = [
            {
                "questions": self._answered(arm, name)[0][0].size,
                "right": self.margin(arm, [name], baseline=None, score="right"),
                "margin": self.margin(arm, [name], baseline=None),
            }
            for name in self.domains
        ]
        return pd.DataFrame(rows, index=pd.Index(self.domains, name="domain"))

    def _answered(self, arm: str, domain: str) -> tuple[Array, Array]:
        """Right and margin (S, Q, 4) of a domain's questions in their fours."""
        scores = []
        for answered in self.answers[arm]:
            rows = answered.arrays["groups"] == domain
            scores.append(
                choice_scores(answered.arrays["nats"][rows], answered.arrays["bytes"][rows])
            )
        return np.stack([right for right, _ in scores]), np.stack([margin for _, margin in scores])

    # --- Regression on the mixture -----------------------------------------------------------

    @cached_property
    def regression(self) -> MixtureRegression:
        """Each domain's loss as a function of the shares of all domains, over all arms."""
        values, _ = self._losses
        losses = np.stack([values[arm] for arm in self.pools])
        return fit_mixtures(self._mixtures, losses)

    def predictions(self, *, held: bool) -> pd.DataFrame:
        """Loss `predicted` by the regression from the other arms, and `measured`, both less the
        arms' mean on the domain: a row for every pair of an arm and a domain that it holds, or
        lacks."""
        import pandas as pd

        found, pairs = self.regression, (self._mixtures > 0) == held
        middle = found.measured.mean(0)
        return pd.DataFrame(
            {
                "predicted": (found.predicted - middle)[pairs],
                "measured": (found.measured - middle)[pairs],
            }
        )

    @cached_property
    def _mixtures(self) -> Array:
        """Share of every domain in the bytes of every arm, (A, domains), mean over runs."""
        return np.array(
            [
                np.mean([[pool.shares().get(d, 0.0) for d in self.domains] for pool in pools], 0)
                for pools in self.pools.values()
            ]
        )

    # --- What was run ------------------------------------------------------------------------

    def arms(self) -> pd.DataFrame:
        """Every arm's documents, `fewest` (of one domain), domains, bytes (thousands) and epochs,
        averaged over runs."""
        import pandas as pd

        rows = []
        for arm, pools in self.pools.items():
            epochs = [run.metrics["epochs"][0] for run in self.runs[arm]]
            held = [list(pool.documents().values()) for pool in pools]
            rows.append(
                {
                    "arm": arm,
                    "documents": round(np.mean([sum(counts) for counts in held])),
                    "fewest": min(map(min, held)),
                    "domains": len(held[0]),
                    "kB": round(np.mean([pool.bytes for pool in pools]) / 1e3),
                    "epochs": round(float(np.mean(epochs)), 2),
                }
            )
        return pd.DataFrame(rows).set_index("arm")

    def kinds(self) -> dict[str, Any]:
        """All results, by kind."""
        return {"language models": self.runs, "multiple choice": self.answers}

    @cached_property
    def _losses(self) -> Drawn:
        p = self.params
        return loss_draws(self.runs, p.domains, resamples=p.resamples, seed=p.seed)

    @cached_property
    def _answers(self) -> dict[Score, Drawn]:
        """Scores of multiple choice; fours of questions are resampled."""
        scores: tuple[Score, ...] = ("right", "margin")
        return {score: self._fours(place) for place, score in enumerate(scores)}

    def _fours(self, place: int) -> Drawn:
        fours = [
            np.stack([self._answered(arm, name)[place].mean(2) for arm in self.answers])
            for name in self.domains
        ]  # of each domain (A, S, Q)
        parts = np.repeat(np.arange(len(fours)), [each.shape[-1] for each in fours])
        values, draws = by_part(
            np.concatenate(fours, -1) * (100.0 if place == 0 else 1.0),
            np.ones(len(parts)),
            parts,
            resamples=self.params.resamples,
            seed=self.params.seed,
        )
        return (
            dict(zip(self.answers, values, strict=True)),
            dict(zip(self.answers, np.moveaxis(draws, 1, 0), strict=True)),
        )


def mixed(found: Drawn, arm: Mixed) -> tuple[Array, Array]:
    """Values (domains,) and draws (B, domains) of an arm, or interpolated between arms."""
    values, draws = found
    parts = {arm: 1.0} if isinstance(arm, str) else arm
    value = np.sum([weight * values[name] for name, weight in parts.items()], axis=0)
    return value, np.sum([weight * draws[name] for name, weight in parts.items()], axis=0)


@dataclass(frozen=True)
class MixtureRegression:
    """Ridge regression of losses on log shares, arms by evaluation domains.

    measured, predicted, mean: (A, E); `predicted` and `mean` (the mean of the other arms) leave out
    the arm that they predict. slopes: (domains, E), bits per byte for a unit of the log share.
    """

    measured: Array
    predicted: Array
    mean: Array
    slopes: Array

    def explained(self) -> Array:
        """Fraction of the squared error of `mean` that `predicted` saves, by evaluation domain
        (E,); below zero where it does worse."""
        error = ((self.predicted - self.measured) ** 2).sum(0)
        return 1 - error / ((self.mean - self.measured) ** 2).sum(0)


def fit_mixtures(shares: Array, losses: Array) -> MixtureRegression:
    """Losses (A, E) of arms from the domains' shares (A, D) of their training bytes, in the manner
    of RegMix (Liu et al. 2024): linear in log(share + 0.01). The ridge penalty is chosen by
    leave-one-out error within the arms that are fitted, anew for every arm left out."""
    from sklearn.linear_model import RidgeCV

    x = np.log(shares + FLOOR)
    model = RidgeCV(alphas=np.logspace(-4, 2, 13), alpha_per_target=True)
    predicted, mean = np.empty_like(losses), np.empty_like(losses)
    for left_out in range(len(x)):
        kept = np.arange(len(x)) != left_out
        mean[left_out] = losses[kept].mean(0)
        predicted[left_out] = model.fit(x[kept], losses[kept]).predict(x[[left_out]])[0]
    slopes = model.fit(x, losses).coef_.T
    return MixtureRegression(losses, predicted, mean, slopes)


@keep
def run(params: Domains, store: Store | None = None) -> DomainStudy:
    """Train and question what is missing, and collect the study."""
    params.preflight()
    store = store or Store()
    pools = params.pools()
    specs = params.specs(pools)
    # Raises before anything is trained where a document is too short.
    asked = {arm: [params.asked(spec) for spec in each] for arm, each in specs.items()}
    runs = base.run_grid(specs, store, "language models", run=run_text_tasks)
    answers = base.run_grid(asked, store, "questions", run=run_text_tasks)
    return DomainStudy(params, pools, runs, answers)
