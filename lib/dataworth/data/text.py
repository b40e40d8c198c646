"""Whole corpora of documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataworth.data.catalog import Card
from dataworth.data.catalog import card as find_card
from dataworth.data.documents import UNDATED, Document, content_sha256, divide, text_ids
from dataworth.data.large_texts import large_texts
from dataworth.data.store import MARK, fetch, fetched, is_full, status
from dataworth.data.text_formats import read_documents
from dataworth.errors import UserError


@dataclass(frozen=True)
class Corpus:
    """N documents.

    texts: N strings; ids: (N,) int64 content ids (`documents.text_ids`); domains: (N,) str;
    years: (N,) int64, -1 where a document has no date; labels: further columns, each (N,) str;
    card: the id of the card they came from (several, joined by `+`).
    """

    texts: tuple[str, ...] = field(repr=False)
    ids: NDArray[np.int64] = field(repr=False)
    domains: NDArray[np.str_] = field(repr=False)
    years: NDArray[np.int64] = field(repr=False)
    labels: dict[str, NDArray[np.str_]] = field(repr=False)
    card: str

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def characters(self) -> NDArray[np.int64]:
        """(N,) the length of each document."""
        return np.array([len(text) for text in self.texts], dtype=np.int64)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_] | Sequence[int]) -> Corpus:
        """These rows (indices, or a mask of N booleans), in this order; UserError for none."""
        chosen = np.arange(len(self))[np.asarray(rows)] if len(rows) else np.zeros(0, np.intp)
        if not len(chosen):
            raise UserError(f"The choice of documents of {self.card} is empty; it must keep one.")
        return replace(
            self,
            texts=tuple(self.texts[row] for row in chosen.tolist()),
            ids=self.ids[chosen],
            domains=self.domains[chosen],
            years=self.years[chosen],
            labels={name: values[chosen] for name, values in self.labels.items()},
        )

    def of_domains(self, *names: str) -> Corpus:
        """The documents of these domains; UserError for a domain that is not there."""
        known = np.unique(self.domains).tolist()
        if unknown := [name for name in names if name not in known]:
            raise UserError(
                f"domain: {self.card} has no domain '{unknown[0]}'; it has {', '.join(known)}."
            )
        return self.take(np.isin(self.domains, names))

    def dated(self) -> Corpus:
        """Itself; UserError when a document has no year. For every study of age."""
        if missing := int((self.years == UNDATED).sum()):
            raise UserError(
                f"years: {missing} of the {len(self)} documents of {self.card} have no date, so "
                "their age cannot be studied; choose dated documents (sotu has a year for each)."
            )
        return self

    def between(self, first: int, last: int) -> Corpus:
        """The documents of the years `first` to `last`, both included; all must be dated."""
        years = self.dated().years
        inside = (years >= first) & (years <= last)
        if not inside.any():
            raise UserError(
                f"years: {self.card} has no document from {first} to {last}; its documents are of "
                f"{years.min()} to {years.max()}."
            )
        return self.take(inside)


def load_corpus(card_id: str, split: str | None = None, *, root: Path | None = None) -> Corpus:
    """The documents of a split named in `card(card_id).split_names`, or all of them.

    Documents come in the order of their content ids. The first call fetches the set if need be
    (`store.fetch`). UserError for an unknown id or split, a set of images, or data that cannot be
    had.
    """
    if card_id in large_texts() and fetched(card_id, root=root) is None:
        fetch(card_id, root=root)
    card = find_card(card_id)
    if card.modality != "text":
        raise UserError(f"card: {card_id} holds images, not texts; use load_images.")
    if split is not None and split not in card.split_names:
        raise UserError(
            f"split: {card_id} has no split '{split}'; it has {', '.join(card.split_names)}."
        )
    files = _folder(card, root).iterdir()
    found = _whole(card.id, root, max(file.stat().st_mtime_ns for file in files))
    if split is None or card.held_out is None:
        return found
    parts = divide(found.ids, found.domains, found.years, card.held_out, found.labels)
    return found.take(parts[split])


def corpus_of(documents: Sequence[Document], name: str) -> Corpus:
    """A corpus of documents that all have the same labels, in the order of content ids."""
    ids = text_ids(document.text for document in documents)
    order = np.argsort(ids, kind="stable")
    ranked = [documents[row] for row in order.tolist()]
    columns = [name for name, _ in ranked[0].labels] if ranked else []
    return Corpus(
        texts=tuple(document.text for document in ranked),
        ids=ids[order],
        domains=np.array([document.domain for document in ranked], dtype=np.str_),
        years=np.array([document.year for document in ranked], dtype=np.int64),
        labels={
            column: np.array([dict(document.labels)[column] for document in ranked], dtype=np.str_)
            for column in columns
        },
        card=name,
    )


def join(*corpora: Corpus) -> Corpus:
    """One corpus of all documents, without exact copies (the first stays); shared labels only."""
    if not any(len(corpus) for corpus in corpora):
        raise UserError("The corpora to join hold no document.")
    shared = set.intersection(*(set(corpus.labels) for corpus in corpora))
    whole = Corpus(
        texts=tuple(text for corpus in corpora for text in corpus.texts),
        ids=np.concatenate([corpus.ids for corpus in corpora]),
        domains=np.concatenate([corpus.domains for corpus in corpora]),
        years=np.concatenate([corpus.years for corpus in corpora]),
        labels={
            name: np.concatenate([corpus.labels[name] for corpus in corpora])
            for name in sorted(shared)
        },
        card="+".join(corpus.card for corpus in corpora),
    )
    _, first = np.unique(whole.ids, return_index=True)
    return whole.take(np.sort(first))


def _folder(card: Card, root: Path | None) -> Path:
    """Where the files of a set are, which is fetched if need be; of a large one those that are
    here, wherever they came from."""
    found = status(card, root=root)
    return found.folder if found.present else fetch(card.id, root=root)


@lru_cache(maxsize=16)
def _whole(card_id: str, root: Path | None, changed_at: int) -> Corpus:
    """A whole corpus, parsed once in a process: a study asks for the same few again and again."""
    return corpus_of(_read_or_fetch_again(find_card(card_id), root), card_id)


def _read_or_fetch_again(card: Card, root: Path | None) -> list[Document]:
    folder = _folder(card, root)
    try:
        documents = read_documents(folder, card)
        if content_sha256(documents) == card.content_sha256:
            return documents
    except (UserError, MemoryError):
        raise
    except Exception as error:
        if is_full(error):
            raise
    # Whatever was wrong, these are not the files that were fetched (`fetch` looks at sizes only).
    (folder / MARK).unlink(missing_ok=True)
    return read_documents(fetch(card.id, root=root), card)
