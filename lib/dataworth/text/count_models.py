"""Runs of counts of tokens (`text.counts`) where others train a decoder, and text sampled of them.

A run keeps what one of a decoder keeps, its losses on every held-out document, so that whatever
reads the one reads the other. Counts take each document once, whatever it is repeated for: they
have neither a budget nor a seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from dataworth.errors import UserError
from dataworth.parameters import Value
from dataworth.runs import Outcome, Result, Spec, Store
from dataworth.text.counts import Counts, counted
from dataworth.text.evaluation import Evaluation, check_names, evaluated
from dataworth.text.tokens import (
    TOKEN,
    TextPart,
    TokenizerSpec,
    TokensSpec,
    load_parts,
    run_text_tasks,
    tokens_of,
)

ORDERS = {"unigram": 1, "bigram": 2, "trigram": 3}
"""Names of count models, as `models.MODELS` has those of decoders."""


class Excerpt(Value):
    """The first `tokens` tokens of a sampled text."""

    source: SampledSpec
    tokens: int = Field(ge=1)

    def documents(self, store: Store) -> list[NDArray[np.uint16]]:
        """Its documents, the last one cut; the text must be stored."""
        arrays = store.load(self.source).arrays
        found = np.split(arrays["tokens"], arrays["offsets"][1:-1])
        return first_tokens(found, self.tokens, "sampled")


class CountsSpec(Spec):
    """Count up to `order` tokens of the parts' documents and of sampled texts; keep the losses on
    every evaluation set. With `tokens` only the first so many tokens of the parts count."""

    kind: ClassVar[str] = "counts"
    parts: tuple[TextPart, ...] = ()
    sampled: tuple[Excerpt, ...] = ()
    tokenizer: TokenizerSpec
    order: int = Field(3, ge=1, le=3, description="tokens in a row that are counted")
    tokens: int | None = Field(None, ge=1)
    evaluations: tuple[Evaluation, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.parts and not self.sampled:
            raise ValueError("parts and sampled are both empty; counts need some text")
        if any(part.weight is not None for part in self.parts):
            raise ValueError("parts: counts take each document once, and no weight")
        check_names(self.evaluations)
        return self

    def corpora(self) -> tuple[TokensSpec, ...]:
        """Encoded corpora that must be stored before the run (`run_text_tasks`)."""
        return tokens_of(self.tokenizer, [*self.parts, *(e.part for e in self.evaluations)])

    def model(self, store: Store) -> Counts:
        """The counts: made anew, which takes less than to store them."""
        documents = [d for part in load_parts(self.tokenizer, self.parts, store) for d in part]
        if self.tokens is not None:
            documents = first_tokens(documents, self.tokens, "parts")
        documents += [d for excerpt in self.sampled for d in excerpt.documents(store)]
        return counted(documents, self.order, self.tokenizer.vocabulary, self.tokenizer.end)

    def run(self, store: Store) -> Outcome:
        """Arrays and metrics of `evaluation.evaluated`; as metrics also `parameters` (the kinds
        that are counted) and `epochs` (one) over every part."""
        model = self.model(store)
        arrays, metrics = evaluated(self.evaluations, self.tokenizer, store, model.nats)
        kinds = sum(len(level.kinds) for level in model.levels)
        about = {"parameters": kinds, "epochs": [1.0] * len(self.parts)}
        return Outcome(arrays, {**about, **metrics})


class SampledSpec(Spec):
    """Text sampled from counts: documents of at least `tokens` tokens in all. A temperature below
    1 makes likely tokens likelier, one above 1 evens them out."""

    kind: ClassVar[str] = "sampled-text"
    counts: CountsSpec
    tokens: int = Field(ge=1)
    temperature: float = Field(1.0, gt=0, allow_inf_nan=False)
    seed: int = Field(0, ge=0)

    def corpora(self) -> tuple[TokensSpec, ...]:
        """Those of the counts."""
        return self.counts.corpora()

    def run(self, store: Store) -> Outcome:
        """Arrays: `tokens` uint16 (T,) and `offsets` int64 (N + 1,), as in `tokens.Documents`."""
        model = self.counts.model(store)
        found = model.sample(self.tokens, temperature=self.temperature, seed=self.seed)
        offsets = np.cumsum([0, *map(len, found)], dtype=np.int64)
        tokens = np.concatenate([*found, np.empty(0, TOKEN)])
        return Outcome({"tokens": tokens, "offsets": offsets}, {"documents": len(found)})


Excerpt.model_rebuild()
CountsSpec.model_rebuild()


def first_tokens(
    documents: Iterable[NDArray[np.uint16]], count: int, name: str
) -> list[NDArray[np.uint16]]:
    """The first `count` tokens of documents in a row, the last document cut. Raises UserError
    where there are fewer."""
    found, left = [], count
    for document in documents:
        if left:
            found.append(document[:left])
            left -= len(found[-1])
    if left:
        raise UserError(f"{name}: {count - left:,} tokens are there, and {count:,} were asked for.")
    return found


def sources(spec: Spec) -> Iterator[tuple[int, SampledSpec]]:
    """The sampled texts below a run, each with its depth: how many lie below it."""
    counts = spec.counts if isinstance(spec, SampledSpec) else spec
    for excerpt in counts.sampled if isinstance(counts, CountsSpec) else ():
        below = list(sources(excerpt.source))
        yield from below
        yield 1 + max((depth for depth, _ in below), default=-1), excerpt.source


def run_count_tasks(
    specs: Sequence[Spec],
    *,
    store: Store | None = None,
    workers: int | None = None,
    label: str = "runs",
) -> list[Result]:
    """`run_text_tasks`, after the sampled texts that the runs read, those below others first."""
    store = store or Store()
    missing = [spec for spec in specs if store.get(spec) is None]
    found = {source: depth for spec in missing for depth, source in sources(spec)}
    for level in sorted(set(found.values())):
        texts = [source for source, depth in found.items() if depth == level]
        run_text_tasks(texts, store=store, workers=workers, label="sampled text")
    return run_text_tasks(specs, store=store, workers=workers, label=label)
