"""Corpora of a hub at the paper's scale: named here, and read once, like a user's own documents.

The table is `large_texts.yaml`. `store.fetch` reads the first documents of a repository, or of the
copy of it in the folder that the user named, and writes a card of the user's own, with the checksum
of what was read.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml
from pydantic import Field, PositiveInt

from dataworth.data.own import OwnData
from dataworth.parameters import Value
from dataworth.paths import hub_copy


class LargeTexts(Value):
    """One corpus of a hub.

    `text`, `date`, `domain` and `labels` are columns, nested ones with dots; `config` is the
    repository's configuration, whose files lie in `folder`. `documents`: how many are read, the
    first ones, since a corpus is held in memory. `unverified` names fields for which no primary
    page was read.
    """

    id: str
    title: str
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    config: str | None = None
    folder: str = "."
    revision: str = Field(pattern=r"^(main|[0-9a-f]{40})$")
    text: str
    date: str | None = None
    domain: str | None = None
    labels: tuple[str, ...] = ()
    documents: PositiveInt = 1_000_000
    licence: str
    note: str
    unverified: tuple[str, ...] = ()

    def data(self) -> OwnData:
        """Where the corpus is read and how. UserError where the folder of copies lacks it."""
        copy = hub_copy(self.repo)
        return OwnData(
            text=f"{self.repo}@{self.revision}" if copy is None else str(copy / self.folder),
            config=self.config if copy is None else None,
            text_column=self.text,
            date_column=self.date,
            domain_column=self.domain,
            label_columns=self.labels,
            documents=self.documents,
        )


@cache
def large_texts() -> dict[str, LargeTexts]:
    """All large corpora, by id."""
    table = yaml.safe_load(Path(__file__).with_name("large_texts.yaml").read_text(encoding="utf-8"))
    return {entry["id"]: LargeTexts.model_validate(entry) for entry in table}
