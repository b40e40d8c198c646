"""What every text chapter shares: its common parameters, and training runs made of them.

Chapters that ask for the same run share it: equal parameters give equal specs, and the store
answers. A chapter's own module adds parameters and says which runs it needs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator, model_validator

from dataworth.arrays import Array
from dataworth.data.catalog import card as find_card
from dataworth.data.catalog import cards, own
from dataworth.data.large_texts import large_texts
from dataworth.data.store import fetch, fetched
from dataworth.errors import UserError
from dataworth.parameters import Parameters, field
from dataworth.runs import Result
from dataworth.runs.kept import keep
from dataworth.studies import base
from dataworth.text.count_models import ORDERS, CountsSpec
from dataworth.text.downstream import CHOICES, ChoiceSpec, Questions
from dataworth.text.evaluation import Evaluation
from dataworth.text.losses import by_part, document_losses
from dataworth.text.models import MODELS
from dataworth.text.pools import (
    DOMAINS,
    LEAST,
    SMALL_PILE,
    Domain,
    Pool,
    draw,
    whole_domain,
)
from dataworth.text.tokens import TextPart, TokenizerSpec
from dataworth.text.training import PRETRAINING, LanguageModelSpec

if TYPE_CHECKING:
    from dataworth.data import Corpus
    from dataworth.stats import Estimate
    from dataworth.studies.text_cost import Training

TOKENIZER_BYTES, TOKENIZER_SECTION = 250_000, 2_000  # of each domain, for the tokenizer
TEST = "test"
BYTES_PER_TOKEN = 3.0  # about, with 2,048 tokens
LONG = 4  # bytes per token that a document of a question has at least


def check_texts(card: str, shipped: str = "") -> bool:
    """Whether a card is one's own and not what the chapter is made for. Raises UserError where
    there is none of this name, or it holds no texts."""
    if card == shipped:
        return False
    if awaited(card):
        return True
    try:
        found = find_card(card)
    except UserError:
        mine = [c.id for c in cards() if c.modality == "text" and c.id in own()]
        mine += [name for name in large_texts() if name not in mine]
        known = ", ".join([*([shipped] if shipped else []), *mine])
        raise UserError(
            f"card: there is no corpus {card!r}; there are {known}. Your own becomes one by "
            "dataworth data add --text FILE."
        ) from None
    if found.modality != "text":
        raise UserError(f"card: {card!r} holds images, and this chapter is on texts.")
    return True


def awaited(card: str) -> bool:
    """Whether a card is a corpus of a hub that was not fetched yet: nothing is known of it."""
    return card in large_texts() and fetched(card) is None


class HubTexts(Parameters):
    """Parameters that may name corpora of a hub."""

    @property
    def corpora(self) -> tuple[str, ...]:
        """The cards of texts that parameters name."""
        fields = ("card", "second_card", "positives", "negatives")
        said = (getattr(self, name, ()) for name in fields)
        return tuple(c for value in said for c in ([value] if isinstance(value, str) else value))

    def fetch(self) -> bool:
        """Bring the corpora of a hub; whether one was not here, so that the parameters are to be
        validated again. UserError where one cannot be had."""
        new = any(map(awaited, self.corpora))
        for name in self.corpora:
            if name in large_texts():
                fetch(name)
        return new


def check_model(name: str) -> str:
    """Raises ValueError for a language model that does not exist."""
    if name not in MODELS:
        raise ValueError(f"must be one of {', '.join(MODELS)}")
    return name


def check_loss_model(name: str) -> str:
    """Raises ValueError for what is neither a language model nor counts."""
    if name not in (*ORDERS, *MODELS):
        raise ValueError(f"must be one of {', '.join((*ORDERS, *MODELS))}")
    return name


class TextStudy(HubTexts):
    """Parameters of every text chapter that trains models."""

    shipped: ClassVar[str] = SMALL_PILE
    """The texts of the book, in the place of a card."""

    card: str = field("texts: those of the book, as here, or a card of your own")
    seeds: int = field("training runs per arm", "runs", ge=1, le=1000)
    model: str = field("language model, by name")
    vocabulary: int = field("tokens that the tokenizer knows", "tokens", ge=300, le=65_536)
    batch: int = field("rows of a training step", "rows", ge=1, le=10**6)
    context: int = field("tokens of a row", "tokens", ge=16, le=10**6)
    learning_rate: float = field("peak learning rate", gt=0, le=10)
    resamples: int = field("bootstrap draws", "draws", ge=100, le=10**6)
    seed: int = field("base seed of pools, training and bootstrap", ge=0, le=2**32 - 1)

    _known = field_validator("model")(check_model)

    @property
    def own(self) -> bool:
        """Whether the texts are another card than the book's: what was recorded is of others."""
        return self.card != self.shipped and not awaited(self.card)

    @property
    def domains(self) -> Mapping[str, Domain]:
        """The domains by name, in order, that models are evaluated on and the tokenizer learns
        from."""
        return DOMAINS

    def tokenizer(self) -> TokenizerSpec:
        """One tokenizer for all arms (for all chapters on the book's own texts), learned from equal
        amounts of every domain."""
        return tokenizer_of(self.seed, self.domains, self.vocabulary)

    def language_model(
        self,
        documents: Pool | Sequence[TextPart],
        seed: int,
        evaluations: Sequence[Evaluation],
        tokens: int,
        **changes: Any,
    ) -> LanguageModelSpec:
        """Training run `seed` (0, 1, ...) on a pool or parts; `changes` name `model` (by name) or
        other fields of the spec."""
        parts = documents.parts() if isinstance(documents, Pool) else tuple(documents)
        return LanguageModelSpec(
            parts=parts,
            tokenizer=self.tokenizer(),
            model=MODELS[changes.pop("model", self.model)],
            tokens=tokens,
            batch=self.batch,
            context=self.context,
            optimisation=PRETRAINING.model_copy(update={"learning_rate": self.learning_rate}),
            evaluations=tuple(evaluations),
            seed=self.seed + seed,
            **changes,
        )

    def trainings(self) -> list[Training]:
        """Language models that the chapter trains; chapters that train some say so here."""
        return []

    def cost(self) -> list[dict[str, object]]:
        """Every name, shape and parameter count, and what a run would take (`cost.dry_run`)."""
        from dataworth.studies.text_cost import dry_run

        return dry_run(
            self.trainings(),
            vocabulary=self.vocabulary,
            context=self.context,
            corpora=self.corpora,
        )

    def check(self, *, runs: int = 0, budget: str = "tokens") -> None:
        """Raises UserError before anything runs: less disk than `runs` results need, a `budget`
        (name of the parameter) below one step."""
        if (tokens := getattr(self, budget)) < self.batch * self.context:
            raise UserError(
                f"{budget} is {tokens:,}; it must be at least one step of {self.batch} rows of "
                f"{self.context} tokens."
            )
        weights = MODELS[self.model].parameters(self.vocabulary) if self.model in MODELS else 0
        base.check_disk(200 + (4 * weights // 2**20 + 1) * runs)


Trained = LanguageModelSpec | CountsSpec


class PoolStudy(TextStudy):
    """Parameters of the chapters whose training sets are made of pools."""

    pool_bytes: int = field("size of the whole pool of documents", "bytes", ge=20_000, le=10**15)
    tokens: int = field("training budget of every arm", "tokens", ge=4096, le=10**15)
    held_out_tokens: int = field("held-out text of every domain", "tokens", ge=500, le=10**12)

    def most_bytes(self) -> int:
        """The largest `pool_bytes` that a card of one's own has text for."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _fits_the_card(self) -> Self:
        """A pool of one's own card is as large as asked for, or as the card can fill."""
        if awaited(self.card):
            return self
        if check_texts(self.card, self.shipped) and (most := self.most_bytes()) < (self.pool_bytes):
            if most < 20_000:
                raise UserError(
                    f"card: {self.card} has text for a pool of {most:,} bytes, and this chapter "
                    "needs 20,000."
                )
            fit(self, pool_bytes=most)
        return self

    def draw(self, shares: Mapping[str, float], run: int, size: float, **how: Any) -> Pool:
        """A pool of training run `run` (0, 1, ...), `size` times as large as the whole one."""
        n_bytes, seed = round(size * self.pool_bytes), self.seed + run
        return draw(shares, n_bytes, seed=seed, least=LEAST, domains=self.domains, **how)

    def language_model(
        self,
        documents: Pool | Sequence[TextPart],
        seed: int,
        evaluations: Sequence[Evaluation] | None = None,
        tokens: int | None = None,
        **changes: Any,
    ) -> LanguageModelSpec:
        """As without pools; by default evaluated on `held_out`, with the chapter's budget."""
        chosen = self.held_out() if evaluations is None else evaluations
        return super().language_model(documents, seed, chosen, tokens or self.tokens, **changes)

    def language_models(self, pools: Sequence[Pool], model: str) -> list[LanguageModelSpec]:
        """A run of a language model, by name, on each of the pools of an arm, with its weights."""
        return [
            self.language_model(pool, run, keep_weights=True, model=model)
            for run, pool in enumerate(pools)
        ]

    def trained(self, pools: Sequence[Pool], model: str) -> list[Trained]:
        """A run of a model, by name, on each of the pools of an arm, evaluated on `held_out`: run
        `seed` of a language model, or counts, whose only chance is the pool."""
        if model in MODELS:
            return list(self.language_models(pools, model))
        how = {"tokenizer": self.tokenizer(), "order": ORDERS[model]}
        asked = self.held_out()
        return [CountsSpec(parts=pool.parts(), evaluations=asked, **how) for pool in pools]

    def held_out(self) -> tuple[Evaluation, ...]:
        """Test documents of every domain, about `held_out_tokens` tokens of each: long documents
        count with their beginning only, so that a domain has as many documents as it can."""
        return tuple(
            _held_out(name, domain, number, self.held_out_tokens, self.seed)
            for number, (name, domain) in enumerate(self.domains.items())
        )


def fit(params: Parameters, **values: Any) -> None:
    """Set parameters while they are validated: those that a card of one's own cannot fill as given.
    The page says what changed, as of any parameter."""
    params.__dict__.update(values)  # the class is frozen for everybody else


def columns(found: Mapping[str, Estimate]) -> dict[str, float]:
    """Columns of a table: estimates by name, their ends as `<name>_low` and `<name>_high`."""
    return {
        f"{name}{end}": value
        for name, e in found.items()
        for end, value in (("", e.value), ("_low", e.low), ("_high", e.high))
    }


@cache
def held_out_of(card: str, most: int, tokens: int, seed: int) -> tuple[Evaluation, ...]:
    """At most so many random test documents of a card, each up to `tokens` tokens of its
    beginning, as the evaluation set `TEST`."""
    from dataworth.data import load_corpus

    ids = load_corpus(card, TEST).ids
    order = np.random.default_rng([seed, 0x5E7]).permutation(len(ids))[:most]
    part = TextPart(card=card, split=TEST, ids=tuple(ids[order].tolist()))
    return (Evaluation(name=TEST, part=part, max_tokens=tokens),)


def nats_per_token(
    cells: Sequence[Sequence[Result]], card: str, resamples: int, seed: int
) -> tuple[Array, Array]:
    """Losses on `held_out_of` of the runs of n cells, (n, S), and draws (B, n) of their means:
    all cells have one model of noise, authors are resampled whole."""
    values = np.stack([document_losses(runs, TEST)[0] for runs in cells])
    first = cells[0][0].arrays
    sizes, ids = first[f"tokens_{TEST}"], first[f"ids_{TEST}"]
    by = authors(card, TEST)
    found = by_part(
        values,
        sizes,
        np.zeros(len(sizes), dtype=np.int64),
        clusters=np.array([by[i] for i in ids.tolist()]),
        resamples=resamples,
        seed=seed,
    )
    return values.sum(-1) / sizes.sum(), found[1][..., 0]


Named = tuple[tuple[str, Domain], ...]


def tokenizer_of(seed: int, domains: Mapping[str, Domain], vocabulary: int) -> TokenizerSpec:
    """A tokenizer learned from equal amounts of every domain."""
    parts = _tokenizer_parts(seed, tuple(domains.items()))
    return TokenizerSpec(parts=parts, vocabulary=vocabulary)


@cache
def _tokenizer_parts(seed: int, named: Named) -> tuple[TextPart, ...]:
    domains = dict(named)
    own = TOKENIZER_BYTES * max(len(DOMAINS) / len(domains), 1)
    held = {n: whole_domain(n, "train", d).bytes for n, d in named if n not in DOMAINS}
    sizes = {name: min(own, held[name]) if name in held else TOKENIZER_BYTES for name in domains}
    whole, section = round(sum(sizes.values())), TOKENIZER_SECTION
    return draw(sizes, whole, seed=seed, section=section, domains=domains).parts()


@cache
def _held_out(name: str, domain: Domain, number: int, tokens: int, seed: int) -> Evaluation:
    """About `tokens` tokens of the test documents of a domain."""
    whole = whole_domain(name, "test", domain)
    most = max(128, round(tokens / len(whole)))
    counted = np.minimum(whole.sizes / BYTES_PER_TOKEN, most)
    order = np.random.default_rng([seed, 0x4E1D, number]).permutation(len(whole))
    count = int(np.searchsorted(np.cumsum(counted[order]), tokens)) + 1
    ids = np.sort(whole.ids[order[:count]])
    part = TextPart(card=domain.card, split="test", ids=tuple(ids.tolist()))
    return Evaluation(name=name, part=part, max_tokens=most)


def questions_of(
    domains: Named,
    pretrained: Trained,
    count: int,
    prompt: int,
    continuation: int,
    seed: int,
) -> ChoiceSpec:
    """About `count` questions for a model from the test documents of every domain."""
    return ChoiceSpec(
        pretrained=pretrained,
        questions=_questions(domains, count, prompt + continuation, seed),
        prompt=prompt,
        continuation=continuation,
    )


@cache
def _questions(domains: Named, count: int, length: int, seed: int) -> tuple[Questions, ...]:
    """By domain: test documents long enough for `length` tokens, in random order, at most `count`.
    Raises UserError for a domain that has no four of them."""
    found = []
    for number, (name, domain) in enumerate(domains):
        whole = whole_domain(name, "test", domain)
        ids = whole.ids[whole.sizes >= LONG * length]
        if len(ids) < CHOICES:
            raise UserError(
                f"prompt and continuation are {length} tokens; {name} has {len(ids)} test "
                f"documents as long as that and needs {CHOICES}."
            )
        chosen = np.random.default_rng([seed, 0xC401, number]).permutation(ids)[:count]
        part = TextPart(card=domain.card, split="test", ids=tuple(chosen.tolist()))
        places = math.ceil(count / len(chosen))
        found.append(Questions(part=part, groups=(name,) * len(chosen), places=places))
    return tuple(found)


WHO = ("president", "author", "speaker")
"""Columns that say who wrote a document: what one person wrote is alike."""


def authors_in(corpus: Corpus) -> NDArray[np.str_]:
    """Who wrote each document (N,); one without a name stands for itself."""
    ids = corpus.ids.astype(str)
    names = next((corpus.labels[name] for name in WHO if name in corpus.labels), ids)
    return np.where(names == "", ids, names)


@keep
def authors(card: str, split: str | None = None) -> dict[int, str]:
    """Who wrote each document of a card, by its id (`authors_in`)."""
    from dataworth.data import load_corpus

    corpus = load_corpus(card, split)
    return dict(zip(corpus.ids.tolist(), authors_in(corpus).tolist(), strict=True))
