"""What every text chapter shares: its common parameters, and training runs made of them.

Chapters that ask for the same run share it: equal parameters give equal specs, and the store
answers. A chapter's own module adds parameters and says which runs it needs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import field_validator

from dataworth.errors import UserError
from dataworth.parameters import Parameters, field
from dataworth.studies import base
from dataworth.text.downstream import CHOICES, ChoiceSpec, Questions
from dataworth.text.evaluation import Evaluation
from dataworth.text.models import MODELS
from dataworth.text.pools import (
    CRAWL,
    DOMAINS,
    LEAST,
    PILE,
    Pool,
    check_domains,
    draw,
    whole_domain,
)
from dataworth.text.tokens import TextPart, TokenizerSpec
from dataworth.text.training import PRETRAINING, LanguageModelSpec

if TYPE_CHECKING:
    from dataworth.stats import Estimate
    from dataworth.studies.text_cost import Training

TOKENIZER_BYTES, TOKENIZER_SECTION = 250_000, 2_000  # of each domain, for the tokenizer
SECTION = 6  # bytes for each token of a row: about two rows
BYTES_PER_TOKEN = 3.0  # about, with 2,048 tokens
LONG = 4  # bytes per token that a document of a question has at least


def check_model(name: str) -> str:
    """Raises ValueError for a language model that does not exist."""
    if name not in MODELS:
        raise ValueError(f"must be one of {', '.join(MODELS)}")
    return name


class TextStudy(Parameters):
    """Parameters of every text chapter that trains models."""

    hub_corpora: ClassVar[tuple[str, ...]] = ("pile",)
    """The corpora of the paper's scale that take the place of the pools (`cost`)."""

    seeds: int = field("training runs per arm", "runs", ge=1, le=1000)
    model: str = field("language model, by name")
    vocabulary: int = field("tokens that the tokenizer knows", "tokens", ge=300, le=65_536)
    pool_bytes: int = field("size of the whole pool of documents", "bytes", ge=20_000, le=10**15)
    tokens: int = field("training budget of every arm", "tokens", ge=4096, le=10**15)
    batch: int = field("rows of a training step", "rows", ge=1, le=10**6)
    context: int = field("tokens of a row", "tokens", ge=16, le=10**6)
    learning_rate: float = field("peak learning rate", gt=0, le=10)
    held_out_tokens: int = field("held-out text of every domain", "tokens", ge=500, le=10**12)
    resamples: int = field("bootstrap draws", "draws", ge=100, le=10**6)
    seed: int = field("base seed of pools, training and bootstrap", ge=0, le=2**32 - 1)

    _known = field_validator("model")(check_model)

    def pile(self, run: int, shares: Mapping[str, float] = PILE, size: float = 1.0) -> Pool:
        """The small Pile of training run `run` (0, 1, ...), or `size` times as many bytes of other
        shares: sections of documents, as long as a model can use, so that each domain holds many
        documents. Every run has a pool of its own, which all arms are made from: which documents
        it holds is part of what differs between runs."""
        n_bytes, section = round(size * self.pool_bytes), SECTION * self.context
        seed = self.seed + run
        return draw(shares, n_bytes, seed=seed, section=section, least=LEAST)

    def crawl(self, run: int, size: float = 1.0) -> Pool:
        """The small crawl of a training run, which filters work on, or `size` times as much; whole
        documents, of which a smaller crawl holds a part."""
        n_bytes = round(size * self.pool_bytes)
        return draw(CRAWL, n_bytes, seed=self.seed + run, least=LEAST)

    def tokenizer(self) -> TokenizerSpec:
        """One tokenizer for all chapters, learned from equal amounts of every domain."""
        return TokenizerSpec(parts=_tokenizer_parts(self.seed), vocabulary=self.vocabulary)

    def language_model(
        self,
        documents: Pool | Sequence[TextPart],
        seed: int,
        evaluations: Sequence[Evaluation] | None = None,
        **changes: Any,
    ) -> LanguageModelSpec:
        """Training run `seed` (0, 1, ...) on a pool or parts; `changes` name `model` (by name),
        `tokens` or other fields of the spec. Without `evaluations`: `held_out`."""
        parts = documents.parts() if isinstance(documents, Pool) else tuple(documents)
        return LanguageModelSpec(
            parts=parts,
            tokenizer=self.tokenizer(),
            model=MODELS[changes.pop("model", self.model)],
            tokens=changes.pop("tokens", self.tokens),
            batch=self.batch,
            context=self.context,
            optimisation=PRETRAINING.model_copy(update={"learning_rate": self.learning_rate}),
            evaluations=tuple(self.held_out() if evaluations is None else evaluations),
            seed=self.seed + seed,
            **changes,
        )

    def held_out(self, domains: Sequence[str] = tuple(DOMAINS)) -> tuple[Evaluation, ...]:
        """Test documents of every domain, about `held_out_tokens` tokens of each: long documents
        count with their beginning only, so that a domain has as many documents as it can."""
        check_domains(domains)
        return tuple(_held_out(name, self.held_out_tokens, self.seed) for name in domains)

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
            corpora=self.hub_corpora,
        )

    def check(self, *, runs: int = 0, budgets: Sequence[str] = ("tokens",)) -> None:
        """Raises UserError before anything runs: less disk than `runs` results need, one of
        `budgets` (names of parameters) below one step."""
        for name in budgets:
            if (tokens := getattr(self, name)) < self.batch * self.context:
                raise UserError(
                    f"{name} is {tokens:,}; it must be at least one step of {self.batch} rows of "
                    f"{self.context} tokens."
                )
        size = 4 * MODELS[self.model].parameters(self.vocabulary) // 2**20 + 1
        base.check_disk(200 + size * runs)


def columns(found: Mapping[str, Estimate]) -> dict[str, float]:
    """Columns of a table: estimates by name, their ends as `<name>_low` and `<name>_high`."""
    return {
        f"{name}{end}": value
        for name, e in found.items()
        for end, value in (("", e.value), ("_low", e.low), ("_high", e.high))
    }


@cache
def _tokenizer_parts(seed: int) -> tuple[TextPart, ...]:
    even = dict.fromkeys(DOMAINS, 1.0)
    size = TOKENIZER_BYTES * len(DOMAINS)
    return draw(even, size, seed=seed, section=TOKENIZER_SECTION).parts()


@cache
def _held_out(name: str, tokens: int, seed: int) -> Evaluation:
    """About `tokens` tokens of the test documents of a domain."""
    whole = whole_domain(name, "test")
    most = max(128, round(tokens / len(whole)))
    counted = np.minimum(whole.sizes / BYTES_PER_TOKEN, most)
    order = np.random.default_rng([seed, 0x4E1D, list(DOMAINS).index(name)]).permutation(len(whole))
    count = int(np.searchsorted(np.cumsum(counted[order]), tokens)) + 1
    ids = np.sort(whole.ids[order[:count]])
    part = TextPart(card=DOMAINS[name].card, split="test", ids=tuple(ids.tolist()))
    return Evaluation(name=name, part=part, max_tokens=most)


def multiple_choice(
    pretrained: LanguageModelSpec, count: int, prompt: int, continuation: int, seed: int
) -> ChoiceSpec:
    """About `count` questions for a model from the test documents of every domain."""
    return ChoiceSpec(
        pretrained=pretrained,
        questions=_questions(count, prompt + continuation, seed),
        prompt=prompt,
        continuation=continuation,
    )


@cache
def _questions(count: int, length: int, seed: int) -> tuple[Questions, ...]:
    """By domain: test documents long enough for `length` tokens, in random order, at most `count`.
    Raises UserError for a domain that has no four of them."""
    found = []
    for number, (name, domain) in enumerate(DOMAINS.items()):
        whole = whole_domain(name, "test")
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


def presidents(card: str, split: str | None = None) -> dict[int, str]:
    """Who gave each address of a card, by its id; where no name is kept, each stands for itself."""
    from dataworth.data import load_corpus

    corpus = load_corpus(card, split)
    names = corpus.labels.get("president", corpus.ids.astype(str))
    return dict(zip(corpus.ids.tolist(), names.tolist(), strict=True))
