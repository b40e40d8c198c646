"""The study behind the chapter *synthetic text*: what text of a model is worth to another model.

The training documents of a card are parted anew for every run: generators learn from pool A, pool B
is the real text that synthetic text is held against, and both are evaluated on held-out documents.
Generators and what learns from them are counts of tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from dataworth.arrays import Array
from dataworth.errors import UserError
from dataworth.parameters import field
from dataworth.runs import Result, Store
from dataworth.runs.kept import keep
from dataworth.stats import Estimate, estimate
from dataworth.studies import base
from dataworth.studies.curves import Curve, misfits
from dataworth.studies.text import (
    HubTexts,
    awaited,
    check_texts,
    held_out_of,
    nats_per_token,
    tokenizer_of,
)
from dataworth.studies.worth import Worth
from dataworth.text.count_models import (
    ORDERS,
    CountsSpec,
    Excerpt,
    SampledSpec,
    run_count_tasks,
)
from dataworth.text.evaluation import Evaluation
from dataworth.text.lineages import LineageSpec
from dataworth.text.pools import DOMAINS, whole_card
from dataworth.text.tokens import TextPart, TokenizerSpec, run_text_tasks

if TYPE_CHECKING:
    import pandas as pd

    from dataworth.fit import Fit

SHIPPED = "rfc"
BYTES = 5  # of a pool for each token that is read of it: more than a token has
REAL, SYNTHETIC, RETRIEVED = "real", "synthetic", "retrieved"
GROWTH = ("replace", "accumulate")

Factors = Annotated[tuple[Annotated[int, Field(ge=1, le=10**6)], ...], Field(min_length=4)]
Rows = Sequence[Sequence[Result]]


class SyntheticText(HubTexts):
    """Parameters of the chapter."""

    card: str = field(f"corpus: {SHIPPED}, or a card of your own")
    base_tokens: int = field("smallest training set", "tokens", ge=100, le=10**12)
    factors: Factors = field("training-set sizes of the main arms", "times the smallest")
    other_factors: Annotated[tuple[int, ...], Field(min_length=2)] = field(
        "training-set sizes of the other generators", "times the smallest"
    )
    generator_tokens: int = field("text that generators learn from", "tokens", ge=100, le=10**12)
    generator: str = field("generator, by name")
    other_generators: tuple[str, ...] = field("further generators, by name")
    temperature: float = field("temperature of sampling", gt=0, le=10)
    other_temperatures: tuple[Annotated[float, Field(gt=0, le=10)], ...] = field(
        "further temperatures"
    )
    shares: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=1)] = field(
        "synthetic fractions of the mixed arms"
    )
    generations: int = field("generations of models that learn from each other", ge=2, le=100)
    held_out_documents: int = field("held-out documents, at most", "documents", ge=10, le=10**9)
    document_tokens: int = field(
        "tokens of every held-out document, from its beginning", "tokens", ge=50, le=10**9
    )
    vocabulary: int = field("tokens that the tokenizer knows", "tokens", ge=300, le=65_536)
    seeds: int = field("runs of every arm, each with pools of its own", "runs", ge=2, le=1000)
    resamples: int = field("bootstrap draws", "draws", ge=100, le=10**6)
    seed: int = field("base seed of pools, samples and bootstrap", ge=0, le=2**32 - 1)

    @field_validator("generator", "other_generators")
    @classmethod
    def _known(cls, names: Any) -> Any:
        for name in [names] if isinstance(names, str) else names:
            if name not in ORDERS:
                raise ValueError(f"must be one of {', '.join(ORDERS)}")
        return names

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        if list(self.factors) != sorted(set(self.factors)):
            raise ValueError("factors must rise")
        if lacking := set(self.other_factors) - set(self.factors):
            raise ValueError(f"other_factors holds {min(lacking)}, which factors lacks")
        if self.generator_tokens not in self.sizes:
            raise ValueError(
                f"generator_tokens is {self.generator_tokens:,}; it must be one of the sizes of "
                f"the main arms, {', '.join(f'{n:,}' for n in self.sizes)}"
            )
        return self

    @property
    def own(self) -> bool:
        """Whether the corpus is a card of one's own: what was recorded is of another."""
        return check_texts(self.card, SHIPPED) and not awaited(self.card)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Training-set sizes of the main arms, in tokens."""
        return tuple(self.base_tokens * factor for factor in self.factors)

    def tokenizer(self) -> TokenizerSpec:
        """That of all text chapters; of one's own card alone where there is one."""
        domains = {self.card: whole_card(self.card)} if self.own else DOMAINS
        return tokenizer_of(self.seed, domains, self.vocabulary)

    def pools(self, run: int) -> tuple[TextPart, TextPart]:
        """Pools A and B of a run: the training documents in random order, to A until it holds what
        generators read, then to B until it holds what the largest arm reads. Raises UserError
        where there are too few."""
        first, rest = BYTES * self.generator_tokens, BYTES * self.largest_real
        return _pools(self.card, first, rest, self.seed + run)

    @property
    def largest_real(self) -> int:
        """Tokens of real text that an arm reads at most."""
        return max(self.sizes[-1], (self.generations + 1) * self.generator_tokens)

    def held_out(self) -> tuple[Evaluation, ...]:
        """Random test documents."""
        return held_out_of(self.card, self.held_out_documents, self.document_tokens, self.seed)

    def learner(self, parts: Sequence[TextPart] = (), **more: Any) -> CountsSpec:
        """What learns from a training set and is evaluated."""
        how = {"tokenizer": self.tokenizer(), "evaluations": self.held_out(), **more}
        return CountsSpec(parts=tuple(parts), **how)

    def sampled(self, run: int, generator: str, temperature: float, tokens: int) -> SampledSpec:
        """Text of a generator, which learned from pool A."""
        counts = self.learner(
            [self.pools(run)[0]],
            tokens=self.generator_tokens,
            order=ORDERS[generator],
            evaluations=(),
        )
        return SampledSpec(
            counts=counts, tokens=tokens, temperature=temperature, seed=self.seed + run
        )

    def arms(self) -> dict[str, dict[int, list[CountsSpec]]]:
        """Scaling curves by name, [tokens][run]: real text of pool B, synthetic text alone and
        mixed with it, text of other temperatures and generators, and pool A itself."""
        few = [self.base_tokens * factor for factor in self.other_factors]
        main = (self.generator, self.temperature)
        others = {f"temperature {t:g}": (self.generator, t) for t in self.other_temperatures}
        others |= {f"of a {name}": (name, self.temperature) for name in self.other_generators}
        found: dict[str, dict[int, list[CountsSpec]]] = {}
        for run in range(self.seeds):
            a, b = self.pools(run)
            whole = self.sampled(run, *main, self.sizes[-1])

            def add(arm: str, size: int, spec: CountsSpec) -> None:
                found.setdefault(arm, {}).setdefault(size, []).append(spec)

            for n in self.sizes:
                add(REAL, n, self.learner([b], tokens=n))
                excerpt = Excerpt(source=whole, tokens=n)
                add(SYNTHETIC, n, self.learner(sampled=(excerpt,)))
                for share in self.shares:
                    made = round(share * n)
                    some = Excerpt(source=whole, tokens=made)
                    spec = self.learner([b], tokens=n - made, sampled=(some,))
                    add(mixed(share), n, spec)
                if n <= self.generator_tokens:
                    add(RETRIEVED, n, self.learner([a], tokens=n))
            for arm, how in others.items():
                text = self.sampled(run, *how, max(few))
                for n in few:
                    excerpt = Excerpt(source=text, tokens=n)
                    add(arm, n, self.learner(sampled=(excerpt,)))
        return found

    def lineages(self) -> dict[str, dict[int, list[CountsSpec | LineageSpec]]]:
        """Models by generation, [generation][run], each of which learns from text of the one
        before: instead of what there was (replace), in addition to it (accumulate); and from as
        much real text as the latter (real)."""
        found: dict[str, dict[int, list[CountsSpec | LineageSpec]]] = {}
        n = self.generator_tokens
        for run in range(self.seeds):
            a, b = self.pools(run)
            first = self.learner([a], tokens=n)
            for generation in range(self.generations + 1):
                specs = {
                    arm: LineageSpec(
                        counts=first,
                        generation=generation,
                        accumulate=arm == "accumulate",
                        temperature=self.temperature,
                        seed=self.seed + run,
                    )
                    if generation
                    else first
                    for arm in GROWTH
                } | {REAL: self.learner([b], tokens=(generation + 1) * n)}
                for arm, spec in specs.items():
                    found.setdefault(arm, {}).setdefault(generation, []).append(spec)
        return found

    def preflight(self) -> None:
        """Validate before running; raises UserError for too little text or disk."""
        self.pools(0)
        base.check_disk(200 + 4 * self.seeds * self.sizes[-1] // 2**20)

    def cost(self) -> list[dict[str, object]]:
        """Nothing that a larger machine would be needed for."""
        read = sum(n * len(runs) for arm in self.arms().values() for n, runs in arm.items())
        return [{"step": f"count {read:,} tokens"}]


@cache
def _pools(card: str, first: int, rest: int, seed: int) -> tuple[TextPart, TextPart]:
    from dataworth.data import load_corpus

    corpus = load_corpus(card, "train")
    order = np.random.default_rng([seed, 0x5E7]).permutation(len(corpus))
    ends = np.cumsum([len(corpus.texts[row].encode()) for row in order.tolist()])
    split = int(np.searchsorted(ends, first)) + 1
    wanted = int(ends[min(split, len(ends)) - 1]) + rest
    if wanted > ends[-1]:
        raise UserError(
            f"factors: the largest training sets and the generator's take {wanted:,} bytes; {card} "
            f"has {ends[-1]:,} to train on. Choose smaller factors or base_tokens."
        )
    ids = corpus.ids[order].tolist()
    a, b = ids[:split], ids[split : int(np.searchsorted(ends, wanted)) + 1]
    return TextPart(card=card, split="train", ids=a), TextPart(card=card, split="train", ids=b)


def mixed(share: float) -> str:
    """The name of a mixed arm."""
    return f"{100 * share:.0f} % synthetic"


@dataclass(frozen=True, eq=False)
class Study(base.Study):
    """Finished runs: `arms` and `lineages` as [tokens or generation][run]."""

    params: SyntheticText
    arms: Mapping[str, Mapping[int, Sequence[Result]]]
    lineages: Mapping[str, Mapping[int, Sequence[Result]]]

    def kinds(self) -> dict[str, Any]:
        """All results, by kind."""
        return {"counts": self.arms, "generations": self.lineages}

    @cached_property
    def _losses(self) -> dict[tuple[str, int], tuple[Array, Array]]:
        """Nats per token of every cell: of each run (S,), and draws (B,) of their mean. All have
        one model of noise."""
        p = self.params
        cells = {
            (f"{kind}{arm}", at): runs
            for kind, group in (("", self.arms), (GENERATIONS, self.lineages))
            for arm, row in group.items()
            for at, runs in row.items()
        }
        means, draws = nats_per_token(list(cells.values()), p.card, p.resamples, p.seed)
        return {cell: (means[i], draws[:, i]) for i, cell in enumerate(cells)}

    def _curve(self, arm: str, at: Sequence[int]) -> Curve:
        cells = [self._losses[arm, n] for n in at]
        values, draws = np.stack([v for v, _ in cells]), np.stack([d for _, d in cells], 1)
        return Curve(np.array(at, dtype=np.int64), values, draws)

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """Loss against tokens of every arm."""
        return {arm: self._curve(arm, list(row)) for arm, row in self.arms.items()}

    @cached_property
    def generations(self) -> dict[str, Curve]:
        """Loss by generation, the first of which is 1."""
        found = {arm: self._curve(GENERATIONS + arm, list(r)) for arm, r in self.lineages.items()}
        return {arm: Curve(c.sizes + 1, c.values, c.draws) for arm, c in found.items()}

    @cached_property
    def laws(self) -> dict[str, Fit]:
        """E + a n^-k of the main and the mixed arms."""
        names = (REAL, SYNTHETIC, *map(mixed, self.params.shares))
        return {arm: self.curves[arm].fit("shifted") for arm in names}

    @cached_property
    def misfits(self) -> pd.DataFrame:
        """Lack of fit of the laws (`curves.misfits`)."""
        return misfits({arm: (self.curves[arm], law) for arm, law in self.laws.items()})

    def worth(self, arm: str = SYNTHETIC) -> Worth:
        """What a real token is worth in tokens of an arm, as a curve."""
        factor = float(self.misfits.factor[[arm, REAL]].max())
        sizes = self.params.sizes
        return Worth(self.laws[arm], self.laws[REAL], sizes, sizes, factor)

    def speed_up(self, share: float) -> Estimate:
        """Real tokens with the loss of the largest mixed set, over its tokens: above 1 the mixture
        does the work of more real text than it holds."""
        return self.worth(mixed(share)).crossing.times(1 / self.params.sizes[-1])

    def at(self, arm: str, tokens: int) -> Estimate:
        """Loss of an arm at one size."""
        return self.curves[arm].at([tokens]).one(0)

    def over_retrieval(self) -> Estimate:
        """Loss on the most synthetic text less that on what its generator learned from."""
        p = self.params
        return self.at(SYNTHETIC, p.sizes[-1]).minus(self.at(RETRIEVED, p.generator_tokens))

    def best_share(self) -> Estimate:
        """Percent of synthetic text in the best mixture that was run, at the largest size."""
        last = self.params.sizes[-1]
        shares = {REAL: 0.0, **{mixed(s): 100 * s for s in self.params.shares}, SYNTHETIC: 100.0}
        cells = [self.curves[arm].at([last]) for arm in shares]
        percent = np.array(list(shares.values()))
        draws = percent[np.stack([c.draws[:, 0] for c in cells]).argmin(0)]
        return estimate(percent[np.argmin([c.means[0] for c in cells])], draws)

    def rise(self, arm: str) -> Estimate:
        """Loss of the last generation less that of the first."""
        c = self.generations[arm]
        return c.one(-1).minus(c.one(0))

    def table(self) -> pd.DataFrame:
        """Nats per token by arm and size, as estimates; none where an arm lacks the size."""
        import pandas as pd

        rows = {
            arm: {n: c.one(i) for i, n in enumerate(c.sizes.tolist())}
            for arm, c in self.curves.items()
        }
        found = pd.DataFrame.from_dict(rows, orient="index").rename_axis("nats per token")
        return found[list(self.params.sizes)]


GENERATIONS = "generations, "
"""What cells of `lineages` are named with."""


@keep
def run(params: SyntheticText, store: Store | None = None) -> Study:
    """Run what is missing and collect the study."""
    params.preflight()
    store = store or Store()
    arms = base.run_grid(params.arms(), store, "counts", run=run_count_tasks)
    lineages = base.run_grid(params.lineages(), store, "generations", run=run_text_tasks)
    return Study(params, arms, lineages)
