"""Corpora of the paper's scale, read as a stream: the first documents of a hub repository.

The table is `large_texts.yaml`. A folder in the same format as the repository is read by the same
call, so a reader without a connection names one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from dataworth.data.documents import UNDATED, Document, clean
from dataworth.data.formats import import_datasets
from dataworth.data.text import Corpus, corpus_of
from dataworth.data.text_formats import without_duplicates
from dataworth.errors import UserError
from dataworth.parameters import Value


class LargeTexts(Value):
    """One corpus of a hub.

    `text`, `year`, `domain` and the values of `labels` are columns, nested ones with dots; the
    first four-digit number of the year's column counts. `unverified` names fields for which no
    primary page was read.
    """

    id: str
    title: str
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    config: str | None = None
    revision: str = Field(pattern=r"^(main|[0-9a-f]{40})$")
    text: str
    year: str | None = None
    domain: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    licence: str
    note: str
    unverified: tuple[str, ...] = ()


@cache
def large_texts() -> dict[str, LargeTexts]:
    """All large corpora, by id."""
    table = yaml.safe_load(Path(__file__).with_name("large_texts.yaml").read_text(encoding="utf-8"))
    return {entry["id"]: LargeTexts.model_validate(entry) for entry in table}


def stream_corpus(
    name: str, documents: int, *, split: str = "train", folder: Path | None = None
) -> Corpus:
    """The first `documents` documents of a large corpus, without duplicates, as a `Corpus`.

    `folder`: a local copy of the repository, or any folder that `datasets.load_dataset` reads with
    the same columns. UserError for an unknown name, no such column, or a hub that does not answer.
    """
    if name not in large_texts():
        raise UserError(f"There is no large corpus '{name}'; they are: {', '.join(large_texts())}.")
    if documents < 1:
        raise UserError(f"documents: {documents} cannot be read; it must be 1 or more.")
    card = large_texts()[name]
    datasets = import_datasets()
    try:
        rows = (
            datasets.load_dataset(str(folder), split=split, streaming=True)
            if folder
            else datasets.load_dataset(
                card.repo, card.config, split=split, streaming=True, revision=card.revision
            )
        )
        found = [_document(row, card) for row in islice(rows, documents)]
    except UserError:
        raise
    except Exception as error:  # any of several libraries' errors
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"The corpus {name} could not be read from {folder or card.repo} "
            f"({lines[0].rstrip('.')}): check the connection, or name a local folder."
        ) from error
    unique = without_duplicates(found)
    if not unique:
        raise UserError(f"The corpus {name} holds no document in {folder or card.repo}.")
    return corpus_of(unique, name)


def _document(row: Mapping[str, Any], card: LargeTexts) -> Document:
    year = re.search(r"\d{4}", str(_column(row, card.year))) if card.year else None
    return Document(
        clean(str(_column(row, card.text))),
        str(_column(row, card.domain)) if card.domain else card.id,
        int(year.group()) if year else UNDATED,
        tuple((label, str(_column(row, path))) for label, path in card.labels.items()),
    )


def _column(row: Mapping[str, Any], path: str) -> Any:
    value: Any = row
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise UserError(f"The rows have no column '{path}'; they have {', '.join(row)}.")
        value = value[part]
    return value
