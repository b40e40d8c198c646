"""Documents as tokens: byte-level byte-pair encoding, and packed rows for training.

A training set is a tuple of parts, each an array of document ids of one card; what is filtered,
dated or left out is other ids and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from dataworth.errors import UserError
from dataworth.parameters import Value
from dataworth.runs import Outcome, Result, Spec, Store, run_tasks

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKEN = np.uint16


class TextPart(Value):
    """Documents of a corpus, by content id.

    `weight`: the part's share of the training tokens, up to a common factor; without it (in every
    part) each document is seen equally often, so that a part weighs what it holds. `spans`: of each
    document the bytes from which and up to which it counts; whole documents without.
    """

    card: str
    split: str | None = None
    ids: tuple[int, ...] = Field(min_length=1)
    weight: float | None = Field(None, gt=0, allow_inf_nan=False)
    spans: tuple[tuple[int, int], ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if self.spans and len(self.spans) != len(self.ids):
            raise ValueError("spans must be as many as ids, or none")
        if any(not 0 <= start < stop for start, stop in self.spans):
            raise ValueError("a span must begin at 0 or later and end after its beginning")
        named = list(zip(self.ids, self.spans, strict=True)) if self.spans else list(self.ids)
        if len(set(named)) < len(named):
            raise ValueError("a document is named more than once")
        return self

    def texts(self) -> list[str]:
        """The documents, in the order of `ids`."""
        from dataworth.data import load_corpus

        corpus = load_corpus(self.card, self.split)
        found = [corpus.texts[row] for row in rows_of(self.ids, corpus.ids, self.name)]
        if not self.spans:
            return found
        return [
            text.encode()[start:stop].decode(errors="ignore")
            for text, (start, stop) in zip(found, self.spans, strict=True)
        ]

    @property
    def name(self) -> str:
        return self.card if self.split is None else f"{self.card}/{self.split}"


def rows_of(ids: Sequence[int], all_ids: NDArray[np.int64], name: str) -> NDArray[np.intp]:
    """Rows of the documents `ids` in a corpus. Raises UserError if it lacks one."""
    order = np.argsort(all_ids)
    at = np.searchsorted(all_ids, ids, sorter=order).clip(max=max(len(order) - 1, 0))
    if not len(order) or not np.array_equal(all_ids[order[at]], ids):
        raise UserError(f"ids hold documents that {name} does not have.")
    return order[at]


class TokenizerSpec(Spec):
    """Byte-pair encoding over bytes (Sennrich et al. 2016; Radford et al. 2019), learned from
    documents.

    Every text has an encoding: the 256 bytes are tokens. The last token of the vocabulary ends a
    text; no text can contain it.
    """

    kind: ClassVar[str] = "tokenizer"
    parts: tuple[TextPart, ...] = Field(min_length=1)
    vocabulary: int = Field(2048, ge=257, le=2**16)

    @property
    def end(self) -> int:
        """The token that ends a text."""
        return self.vocabulary - 1

    def run(self, store: Store) -> Outcome:
        """Arrays: `json` uint8 (bytes of the tokenizer's file)."""
        tokenizer = learn((text for part in self.parts for text in part.texts()), self.vocabulary)
        text = tokenizer.to_str().encode()
        return Outcome(
            {"json": np.frombuffer(text, dtype=np.uint8)}, {"tokens": tokenizer.get_vocab_size()}
        )

    def load(self, store: Store) -> Tokenizer:
        """The tokenizer; it must be stored."""
        return _read(store.load(self).arrays["json"].tobytes())


def learn(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """A byte-level tokenizer of at most `vocabulary` - 1 tokens (small corpora give fewer)."""
    # One core per task is the engines' rule; results do not depend on it.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - 1,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


@lru_cache(maxsize=4)
def _read(text: bytes) -> Tokenizer:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from tokenizers import Tokenizer

    return Tokenizer.from_str(text.decode())


def token_bytes(tokenizer: Tokenizer, vocabulary: int) -> NDArray[np.int64]:
    """Bytes of text that each token stands for, (vocabulary,); 0 for the end of a text."""
    sizes = np.zeros(vocabulary, dtype=np.int64)
    for token, index in tokenizer.get_vocab().items():
        sizes[index] = len(token)  # byte-level: one printable character for each byte
    return sizes


@dataclass(frozen=True)
class Documents:
    """Encoded documents, one after the other without separators.

    tokens: uint16 (T,). offsets: int64 (N + 1,), document i is tokens[offsets[i]:offsets[i + 1]].
    ids: int64 (N,).
    """

    tokens: NDArray[np.uint16]
    offsets: NDArray[np.int64]
    ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> NDArray[np.uint16]:
        return self.tokens[self.offsets[row] : self.offsets[row + 1]]

    def take(self, ids: Sequence[int], name: str = "the corpus") -> list[NDArray[np.uint16]]:
        """Documents by id. Raises UserError if one is missing."""
        return [self[row] for row in rows_of(ids, self.ids, name)]


class TokensSpec(Spec):
    """A whole corpus as tokens: encoded once, read by every run on any of its documents."""

    kind: ClassVar[str] = "tokens"
    tokenizer: TokenizerSpec
    card: str
    split: str | None = None

    def run(self, store: Store) -> Outcome:
        """Arrays: `tokens`, `offsets`, `ids` as in `Documents`."""
        from dataworth.data import load_corpus

        corpus = load_corpus(self.card, self.split)
        tokenizer = self.tokenizer.load(store)
        encoded = encode(tokenizer, corpus.texts)
        return Outcome(
            {
                "tokens": np.concatenate([*encoded, np.empty(0, TOKEN)]),
                "offsets": np.cumsum([0, *map(len, encoded)], dtype=np.int64),
                "ids": np.asarray(corpus.ids, dtype=np.int64),
            },
            {"documents": len(encoded), "tokens": sum(map(len, encoded))},
        )

    def load(self, store: Store) -> Documents:
        """The encoded corpus; it must be stored."""
        return _documents(store.root, self)


@lru_cache(maxsize=16)
def _documents(root: Path, spec: TokensSpec) -> Documents:
    arrays = Store(root).load(spec).arrays
    return Documents(arrays["tokens"], arrays["offsets"], arrays["ids"])


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[NDArray[np.uint16]]:
    """One token array per text."""
    found = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return [np.array(e.ids, dtype=TOKEN) for e in found]


class OnTokens(Protocol):
    """A run that reads encoded corpora."""

    def corpora(self) -> tuple[TokensSpec, ...]: ...


def tokens_of(tokenizer: TokenizerSpec, parts: Iterable[TextPart]) -> tuple[TokensSpec, ...]:
    """The encoded corpora that hold the documents of `parts`."""
    names = dict.fromkeys((part.card, part.split) for part in parts)
    return tuple(TokensSpec(tokenizer=tokenizer, card=card, split=split) for card, split in names)


def load_parts(
    tokenizer: TokenizerSpec, parts: Sequence[TextPart], store: Store
) -> list[list[NDArray[np.uint16]]]:
    """The documents of every part as token arrays; their corpora must be encoded. Of a span those
    tokens that lie in it whole."""
    corpora = {(c.card, c.split): c.load(store) for c in tokens_of(tokenizer, parts)}
    found = [corpora[part.card, part.split].take(part.ids, part.name) for part in parts]
    if any(part.spans for part in parts):
        sizes = token_bytes(tokenizer.load(store), tokenizer.vocabulary)
        for place, part in enumerate(parts):
            if part.spans:
                pairs = zip(found[place], part.spans, strict=True)
                found[place] = [within(document, sizes, *span) for document, span in pairs]
    return found


def within(
    document: NDArray[np.uint16], sizes: NDArray[np.int64], start: int, stop: int
) -> NDArray[np.uint16]:
    """The tokens of a document that lie in its bytes `start` to `stop`; sizes: `token_bytes`."""
    ends = np.cumsum(sizes[document])
    first = np.searchsorted(ends - sizes[document], start)
    return document[first : np.searchsorted(ends, stop, side="right")]


def run_text_tasks(
    specs: Sequence[Spec],
    *,
    store: Store | None = None,
    workers: int | None = None,
    label: str = "runs",
) -> list[Result]:
    """`run_tasks`, after the tokenizers and encoded corpora that the runs read."""
    store = store or Store()
    missing: list[OnTokens] = [s for s in specs if store.get(s) is None]  # type: ignore[misc]
    corpora = list(dict.fromkeys(c for spec in missing for c in spec.corpora()))
    tokenizers = list(dict.fromkeys(c.tokenizer for c in corpora))
    run_tasks(tokenizers, store=store, workers=workers, label="tokenizers")
    run_tasks(corpora, store=store, workers=workers, label="encoding")
    return run_tasks(specs, store=store, workers=workers, label=label)


@dataclass(frozen=True)
class Packed:
    """Rows for training: tokens uint16 (R, T + 1), inputs `[:, :-1]`, targets `[:, 1:]`.
    epochs: passes over each group of documents (a part, if parts have weights; else all)."""

    rows: NDArray[np.uint16]
    epochs: tuple[float, ...]


def pack(
    parts: Sequence[Sequence[NDArray[np.uint16]]],
    weights: Sequence[float] | None,
    *,
    end: int,
    count: int,
    context: int,
    seed: int,
) -> Packed:
    """`count` rows of `context` targets each from documents in shuffled passes.

    As in nanoGPT the documents form one stream, each followed by the end-of-text token, which is
    cut without regard to where documents begin: nothing is padded or left out, and attention sees
    earlier documents of its row. A row's last token is the next one's first: every token of the
    stream is a target once. Rows are shuffled within a pass, so that a batch mixes documents.

    weights: shares of the parts in the rows (exact to one row, evenly spread); without them the
    parts are one set of documents.
    """
    groups = [list(part) for part in parts]
    shares = np.ones(1)
    if weights is None:
        groups = [[document for group in groups for document in group]]
    else:
        shares = np.asarray(weights, dtype=float) / sum(weights)
    ends = np.rint(np.cumsum(shares) * count).astype(int)
    counts = np.diff(ends, prepend=0)
    found, epochs = [], []
    for g, (group, wanted) in enumerate(zip(groups, counts.tolist(), strict=True)):
        rows, passes = _stream_rows(
            group, end, wanted, context, np.random.default_rng([seed, 31, g])
        )
        found.append(rows)
        epochs.append(passes)
    place = np.concatenate([(np.arange(n) + 0.5) / max(n, 1) for n in counts])
    return Packed(np.concatenate(found)[np.argsort(place, kind="stable")], tuple(epochs))


def _stream_rows(
    documents: Sequence[NDArray[np.uint16]],
    end: int,
    count: int,
    context: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint16], float]:
    """Rows (count, context + 1) of the documents' stream, and how many passes they are."""
    if not count:
        return np.empty((0, context + 1), dtype=TOKEN), 0.0
    closing = np.array([end], dtype=TOKEN)
    one_pass = sum(map(len, documents)) + len(documents)
    needed = count * context
    pieces, length, starts = [closing], 0, []
    while length < needed:
        starts.append(length)
        for i in rng.permutation(len(documents)):
            pieces += (documents[i], closing)
        length += one_pass
    stream = np.concatenate(pieces)[: needed + 1]
    rows = np.lib.stride_tricks.sliding_window_view(stream, context + 1)[::context]
    first = np.searchsorted(np.arange(count) * context, [*starts, needed])
    order = [a + rng.permutation(b - a) for a, b in pairwise(first)]
    return rows[np.concatenate([*order, np.empty(0, np.int64)]).astype(np.int64)], needed / one_pass
