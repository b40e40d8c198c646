"""Data sets that are too large for memory: named, sized and costed offline, fetched once from a hub
or its local copy, and stored as uint8 arrays in shards that training reads row by row (`rows`).

The table is `large.yaml`. Class ids (WordNet synsets) are those of timm's tables, read as files.
What was fetched gets a card in the folder of the user's own (`catalog.own_folder`), with the
checksum of its content, and is then loaded as every data set is.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import yaml
from pydantic import Field, PositiveInt

from dataworth.errors import UserError
from dataworth.parameters import Value


class Place(Value):
    """A split of a large data set."""

    card: str
    split: str


class LargeCard(Value):
    """One data set of a hub.

    `revision`: commit, or `main` for the reason in `note`. `splits`: numbers of images. `classes`:
    timm's table of synset ids that labels are places in or names of; None: the labels' own names;
    `number` of classes, where they are fewer than the table's. `file`: the archive in the
    repository whose folders are the classes, where there are no tables. `side`: of the square that
    images are cropped and resized to, in pixels (less where most are smaller). `held_out`: by split
    of the card, the fraction of the smallest class (`ContentSplit`) that is taken from `train`.
    `evaluations`: by evaluation name, the split that serves. `unverified`: fields for which no
    primary page was read.
    """

    id: str
    title: str
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field(pattern=r"^(main|[0-9a-f]{40})$")
    note: str
    splits: dict[str, PositiveInt]
    classes: str | None = None
    number: PositiveInt | None = None
    file: str | None = None
    side: int = Field(224, ge=8)
    held_out: dict[str, float] = Field(default_factory=lambda: {"validation": 0.015})
    licence: str
    evaluations: dict[str, Place] = Field(default_factory=dict)
    unverified: tuple[str, ...] = ()

    @property
    def synsets(self) -> tuple[str, ...]:
        """WordNet ids of the table's classes, in label order."""
        return tuple(_table(self.classes).split()) if self.classes else ()

    @property
    def class_count(self) -> int:
        """Number of classes."""
        return self.number or len(self.synsets)

    @property
    def sources(self) -> dict[str, Place]:
        """Where each split of the card comes from: `train`, which is divided, and those that are
        kept whole."""
        whole = {"train": Place(card=self.id, split="train")}
        kept = {n: p for n, p in self.evaluations.items() if n not in self.held_out}
        return whole | kept

    @property
    def size(self) -> int:
        """Bytes of all images as arrays."""
        images = sum(large_card(p.card).splits[p.split] for p in self.sources.values())
        return images * self.side**2 * 3


def lemmas(synsets: tuple[str, ...]) -> dict[str, str]:
    """The words of synsets, as ImageNet's labels are spelled ("tench, Tinca tinca")."""
    rows = (line.split("\t") for line in _table("imagenet_synset_to_lemma.txt").splitlines())
    known = {row[0]: row[1] for row in rows}
    return {synset: known[synset] for synset in synsets}


@cache
def _table(name: str) -> str:
    """A file of timm's tables of ImageNet."""
    found = find_spec("timm")
    if found is None or found.origin is None:
        raise UserError("timm is not installed; its tables name ImageNet's classes.")
    return (Path(found.origin).parent / "data" / "_info" / name).read_text(encoding="utf-8")


@cache
def large_cards() -> dict[str, LargeCard]:
    """All large data sets, by id."""
    table = yaml.safe_load(Path(__file__).with_name("large.yaml").read_text(encoding="utf-8"))
    return {card.id: card for card in map(LargeCard.model_validate, table)}


def large_card(card_id: str) -> LargeCard:
    """The large data set of this id; UserError when there is none."""
    if card_id not in large_cards():
        raise UserError(
            f"There is no large data set '{card_id}'; they are: {', '.join(large_cards())}."
        )
    return large_cards()[card_id]
