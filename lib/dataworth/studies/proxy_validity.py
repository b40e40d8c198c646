"""The study behind the chapter *proxy validity*: do small models rank mixtures as larger ones?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from dataworth.arrays import Array
from dataworth.parameters import field
from dataworth.runs import Result, Store
from dataworth.runs.kept import keep
from dataworth.stats import Estimate, correlation, estimate, interval
from dataworth.studies import base
from dataworth.studies.domain_arms import FULL, DomainArms, loss_draws, without
from dataworth.text.count_models import ORDERS
from dataworth.text.models import MODELS
from dataworth.text.pools import Pool
from dataworth.text.tokens import run_text_tasks

if TYPE_CHECKING:
    import pandas as pd

    from dataworth.studies.text_cost import Training

Names = Annotated[tuple[str, ...], Field(min_length=1)]
Measure = Literal["pairs", "spearman"]
AVERAGE = "average"
"""The evaluation that is the mean over all domains, each alike."""
MOST = 64
"""How many times the runs and documents `ProxyStudy.needed` looks at."""


class ProxyValidity(DomainArms):
    """Parameters of the chapter; the proxies should predict the ranking of `model`, the larger."""

    proxies: Names = field("models that stand in for it, or counts of tokens, by name")

    @model_validator(mode="after")
    def _others(self) -> Self:
        known = (*ORDERS, *MODELS)
        if unknown := [name for name in self.proxies if name not in known]:
            raise ValueError(f"proxies holds {unknown[0]!r}; it must be among {', '.join(known)}")
        if self.model in self.proxies or len(set(self.proxies)) < len(self.proxies):
            raise ValueError("proxies must be distinct models other than model")
        return self

    def pools(self) -> dict[str, list[Pool]]:
        """The arms to rank: the small Pile, the drops of its domains, and the random drop of as
        many bytes as its largest domain has."""
        control = next(iter(self.controls))
        return self.drops() | {control: self.random_drops()[control]}

    def trainings(self) -> list[Training]:
        """The arms at every size; those of the larger model are the runs of *domains*."""
        from dataworth.studies.text_cost import Training

        arms = len(self.domains) + 2
        return [
            Training("mixtures to rank", model, self.seeds * arms, self.tokens)
            for model in (self.model, *self.proxies)
            if model in MODELS
        ]

    def preflight(self) -> None:
        """Validate before running; raises UserError if the disk or the budget is too small."""
        self.check(runs=self.seeds * (len(self.domains) + 2) * (1 + len(self.proxies)))


@dataclass(frozen=True, eq=False)
class ProxyStudy(base.Study):
    """Finished runs by model, arm and seed."""

    params: ProxyValidity
    runs: Mapping[str, Mapping[str, Sequence[Result]]]

    @property
    def evaluations(self) -> tuple[str, ...]:
        """The domains, and all of them averaged."""
        return (*self.params.domains, AVERAGE)

    @property
    def arms(self) -> tuple[str, ...]:
        return tuple(self.runs[self.params.model])

    def losses(self, model: str) -> Array:
        """Bits per byte of the arms (A,) on every domain and on average, (A, E), over seeds."""
        return self._draws(model)[0]

    def changes(self, model: str, evaluation: str) -> dict[str, float]:
        """Bits per byte of every arm on one evaluation less those of the whole pool."""
        level = self.losses(model)[:, self.evaluations.index(evaluation)]
        return dict(zip(self.arms, level - level[self.arms.index(FULL)], strict=True))

    def compared(
        self, proxy: str, evaluation: str
    ) -> dict[str, tuple[dict[str, float], dict[str, float]]]:
        """`changes` of the larger model and of a proxy by arm, for two kinds of arm; without the
        whole pool, and without the arm that lacks the very domain of the evaluation."""
        arms = [arm for arm in self.arms if arm not in (FULL, without(evaluation))]
        drops = [arm for arm in arms if arm.startswith("random")]
        parts = {"a domain left out": [a for a in arms if a not in drops], "random drop": drops}
        large, small = (self.changes(m, evaluation) for m in (self.params.model, proxy))
        return {
            kind: ({a: large[a] for a in part}, {a: small[a] for a in part})
            for kind, part in parts.items()
        }

    def agreement(
        self,
        proxy: str,
        evaluation: str | None = None,
        *,
        measure: Measure = "pairs",
        own: bool = True,
        fold: float = 1.0,
    ) -> Estimate:
        """How far a proxy ranks the arms as the larger model does, both averaged over seeds: the
        fraction of pairs of arms in the same order (`pairs`), or Spearman's correlation.

        On one evaluation, or the mean over the domains (default). Without `own`, the arm that
        lacks the very domain of the evaluation is left out: it is last with any model. The
        interval is `both_ways`; `fold`: that of so many times the runs and documents, if the losses
        stayed as they are (their errors fall with the square root).
        """
        names = [evaluation] if evaluation else list(self.params.domains)
        (small, drawn_small), (large, drawn_large) = (
            (level, drawn if fold == 1 else level + (drawn - level) / np.sqrt(fold))
            for level, drawn in map(self._draws, (proxy, self.params.model))
        )
        values, draws = [], []
        for name in names:
            e, rows = self.evaluations.index(name), self._rows(name, own)
            score = _SCORES[measure]
            values.append(score(small[rows, e], large[rows, e]))
            draws.append(score(drawn_small[:, rows, e], drawn_large[:, rows, e]))
        lowest = 0.0 if measure == "pairs" else -1.0
        return both_ways(float(np.mean(values)), np.mean(draws, axis=0), lowest)

    def needed(self, proxy: str, evaluation: str | None = None, *, edge: float) -> float:
        """How many times the runs and held-out documents would be needed for the interval of
        `agreement` to lie on one side of `edge`, at the agreement found: 1, 2, 4, ... `MOST`, or
        infinite where even that leaves it open."""
        folds = 2 ** np.arange(int(np.log2(MOST)) + 1)
        for fold in folds.tolist():
            found = self.agreement(proxy, evaluation, fold=fold)
            if found.low > edge or found.high < edge:
                return float(fold)
        return np.inf

    def decisions(self, proxy: str, edges: Sequence[float]) -> pd.DataFrame:
        """One row per evaluation: `pairs` (estimate) and, for each edge, what is `needed`."""
        import pandas as pd

        rows = [
            {"pairs": self.agreement(proxy, name)}
            | {edge: self.needed(proxy, name, edge=edge) for edge in edges}
            for name in self.evaluations
        ]
        return pd.DataFrame(rows, index=pd.Index(self.evaluations, name="evaluated on"))

    def by_measure(self) -> pd.DataFrame:
        """One row per way of comparing, one column per proxy, estimates."""
        import pandas as pd

        ceiling = self.one_run(self.params.model)
        _, clear = self.decided(self.params.proxies[0])
        rows: dict[str, Callable[[str], object]] = {
            "pairs, all arms": self.agreement,
            "pairs, without the own domain's arm": lambda m: self.agreement(m, own=False),
            "pairs, average loss": lambda m: self.agreement(m, AVERAGE),
            "Spearman, all arms": lambda m: self.agreement(m, measure="spearman"),
            "Spearman, without the own domain's arm": lambda m: self.agreement(
                m, measure="spearman", own=False
            ),
            "pairs, one run": self.one_run,
            "pairs, noise ceiling": lambda _: ceiling,
            f"pairs whose order the larger model decides ({clear:.0%} of all)": (
                lambda m: self.decided(m)[0]
            ),
        }
        return pd.DataFrame(
            {m: [row(m) for row in rows.values()] for m in self.params.proxies},
            index=pd.Index(list(rows), name="mean over domains"),
        )

    def one_run(self, model: str, evaluation: str | None = None, *, own: bool = True) -> Estimate:
        """Pairs of arms in the same order when one run of `model` predicts another run, of another
        seed, of the larger model; averaged over ordered pairs of seeds. With the larger model
        itself this is the noise ceiling: how well it predicts its own repetition. The interval is
        over documents, `both_ways`. NaN with one seed."""
        names = [evaluation] if evaluation else list(self.params.domains)
        pair = (model, self.params.model)
        (small, drawn_small), (large, drawn_large) = map(self._each_seed, pair)
        values, draws = [], []
        for name in names:
            e, rows = self.evaluations.index(name), self._rows(name, own)
            for s, t in permutations(range(self.params.seeds), 2):
                values.append(pair_accuracy(small[s][rows, e], large[t][rows, e]))
                draws.append(pair_accuracy(drawn_small[s][:, rows, e], drawn_large[t][:, rows, e]))
        if not values:
            return estimate(np.nan, np.full(self.params.resamples, np.nan))
        return both_ways(float(np.mean(values)), np.mean(draws, axis=0))

    def shortfall(self, proxy: str) -> Estimate:
        """The noise ceiling minus a proxy's agreement, both by single runs, draw by draw."""
        e = self.one_run(self.params.model).minus(self.one_run(proxy))
        return estimate(round(e.value, 12), np.round(e.draws, 12))  # no zeros such as 1e-18

    def by_gap(self, proxy: str, bins: int = 4) -> pd.DataFrame:
        """Agreement by how far the larger model tells two arms apart, over all domains' pairs in
        bins of equal number: `gap` (median difference, bits per byte), `pairs`, `agree`."""
        import pandas as pd

        small, large = self.losses(proxy), self.losses(self.params.model)
        gaps, same = [], []
        for e in range(len(self.params.domains)):
            first, second = np.triu_indices(len(self.arms), 1)
            gap = large[first, e] - large[second, e]
            gaps.append(np.abs(gap))
            same.append(np.sign(small[first, e] - small[second, e]) == np.sign(gap))
        gap, agree = np.concatenate(gaps), np.concatenate(same)
        parts = np.array_split(np.argsort(gap), bins)
        return pd.DataFrame(
            {
                "gap": [float(np.median(gap[part])) for part in parts],
                "pairs": [len(part) for part in parts],
                "agree": [float(agree[part].mean()) for part in parts],
            }
        )

    def decided(self, proxy: str) -> tuple[float, float]:
        """Of the pairs of arms whose order the larger model decides (the interval of the difference
        excludes zero), over all domains: the fraction on which the proxy agrees; and their fraction
        of all pairs."""
        each = slice(len(self.params.domains))
        first, second = np.triu_indices(len(self.arms), 1)
        small, large = (
            losses[first, each] - losses[second, each]
            for losses in map(self.losses, (proxy, self.params.model))
        )
        _, draws = self._draws(self.params.model)
        low, high = interval(draws[:, first, each] - draws[:, second, each])
        clear = (low > 0) | (high < 0)
        same = np.sign(small) == np.sign(large)
        return (float(same[clear].mean()) if clear.any() else np.nan), float(clear.mean())

    def cost(self) -> pd.DataFrame:
        """By model: parameters (of counts, the kinds that are counted), TFLOP a run (counting takes
        none), their fraction of the larger model's, core seconds."""
        import pandas as pd

        p, rows = self.params, {}
        flops = {
            m: MODELS[m].training_flops(p.vocabulary, p.tokens, p.context) if m in MODELS else 0.0
            for m in self.runs
        }
        for model, arms in self.runs.items():
            seconds = [r.provenance["wall_seconds"] for runs in arms.values() for r in runs]
            kinds = MODELS[model].parameters(p.vocabulary) if model in MODELS else None
            rows[model] = {
                "parameters": kinds or arms[FULL][0].metrics["parameters"],
                "TFLOP per run": flops[model] / 1e12,
                "share of the cost": flops[model] / flops[p.model],
                "seconds per run": float(np.mean(seconds)),
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")

    def kinds(self) -> Mapping[str, Any]:
        """All results, by kind."""
        return self.runs

    def _rows(self, evaluation: str, own: bool) -> NDArray[np.intp]:
        left_out = None if own else without(evaluation)
        return np.array([i for i, arm in enumerate(self.arms) if arm != left_out])

    @cache  # noqa: B019  (a study lives as long as its page)
    def _draws(self, model: str) -> tuple[Array, Array]:
        """Losses (A, E) and draws (B, A, E). Documents are the same for all models; the noise
        of runs is drawn for each model by itself."""
        return self._levels(self.runs[model], stream=tuple(self.runs).index(model))

    @cache  # noqa: B019
    def _each_seed(self, model: str) -> tuple[list[Array], list[Array]]:
        """`_draws` of every seed's runs alone."""
        found = [
            self._levels({arm: [runs[s]] for arm, runs in self.runs[model].items()})
            for s in range(self.params.seeds)
        ]
        return [values for values, _ in found], [draws for _, draws in found]

    def _levels(self, arms: Mapping[str, Sequence[Result]], stream: int = 0) -> tuple[Array, Array]:
        p = self.params
        values, draws = loss_draws(
            arms, p.domains, resamples=p.resamples, seed=p.seed, stream=stream
        )
        level = np.stack([values[arm] for arm in self.arms])
        drawn = np.stack([draws[arm] for arm in self.arms], axis=1)
        return (
            np.concatenate([level, level.mean(-1, keepdims=True)], -1),
            np.concatenate([drawn, drawn.mean(-1, keepdims=True)], -1),
        )


def pair_accuracy(a: ArrayLike, b: ArrayLike) -> Array:
    """Fraction of pairs of items that a and b put in the same order, along the last axis (N > 1).

    A pair that is tied in one of them counts half: (1 + Kendall's tau-a) / 2.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    first, second = np.triu_indices(a.shape[-1], 1)
    agree = np.sign(a[..., first] - a[..., second]) * np.sign(b[..., first] - b[..., second])
    return np.asarray((1 + agree.mean(-1)) / 2)


def both_ways(value: float, draws: Array, lowest: float = 0.0) -> Estimate:
    """An estimate of an agreement between two noisy rankings, `lowest` to 1.

    Resampling adds noise to rankings that are noisy already, which lowers their agreement: the
    percentile interval lies low. Reflected at the estimate (the basic bootstrap interval), it lies
    high. The interval given holds both.
    """
    e = estimate(value, draws)
    low, high = min(e.low, 2 * value - e.high), max(e.high, 2 * value - e.low)
    return Estimate(value, max(low, lowest), min(high, 1.0), draws)


_SCORES = {
    "pairs": pair_accuracy,
    "spearman": lambda a, b: correlation(a, b, rank=True),
}


@keep
def run(params: ProxyValidity, store: Store | None = None) -> ProxyStudy:
    """Train what is missing at every size, and collect the study."""
    params.preflight()
    pools = params.pools()
    specs = {model: params.specs(pools, model) for model in (params.model, *params.proxies)}
    runs = base.run_grid(specs, store or Store(), "language models", run=run_text_tasks)
    return ProxyStudy(params, runs)
