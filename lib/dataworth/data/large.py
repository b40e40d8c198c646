"""Data sets of the paper's scale: resolved offline to check and cost a study, never loaded.

The table is `large.yaml`. These sets are too large for whole arrays (`load_images`), and some are
gated; what a dry run needs of them is their hub id, sizes and classes. Class ids (WordNet synsets)
are those of timm's tables, read as files.
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
    timm's table of its synset ids. `evaluations`: by evaluation name, the split that serves.
    `unverified`: fields for which no primary page was read.
    """

    id: str
    title: str
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field(pattern=r"^(main|[0-9a-f]{40})$")
    note: str
    splits: dict[str, PositiveInt]
    classes: str
    licence: str
    evaluations: dict[str, Place] = Field(default_factory=dict)
    unverified: tuple[str, ...] = ()

    @property
    def synsets(self) -> tuple[str, ...]:
        """WordNet ids of the classes, in label order."""
        found = find_spec("timm")
        if found is None or found.origin is None:
            raise UserError("timm is not installed; its tables name ImageNet's classes.")
        table = Path(found.origin).parent / "data" / "_info" / self.classes
        return tuple(table.read_text(encoding="utf-8").split())


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
