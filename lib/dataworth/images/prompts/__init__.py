"""Prompt sets: from a class name to the text a generator is given.

The nine sets of Fan et al. 2023, and `photo`, `styles` and `own-names`. Each is a function of the
class name, the image's seed (from which it may draw words) and the card that lists the class; one
module for each kind.
"""

from __future__ import annotations

from collections.abc import Callable

from dataworth.errors import UserError
from dataworth.images.prompts import descriptions, in_captions, places, styles, templates, word2sen

_MODULES = (templates, descriptions, places, word2sen, in_captions, styles)
PROMPT_SETS: dict[str, Callable[..., str]] = {
    name: function for module in _MODULES for name, function in module.SETS.items()
}

TAKES_MODEL = frozenset({*word2sen.SETS, *in_captions.SETS})
"""Sets that may name a model of a hub: `word2sen:<hub id>`."""

NEEDS_WORDNET = frozenset({*descriptions.SETS, *places.SETS, *word2sen.SETS})
"""Sets that write from WordNet's words for the classes."""

LEAKS_REAL_DATA = frozenset(in_captions.SETS)
"""Sets whose prompts tell something of the real training images."""


def split_name(prompt_set: str) -> tuple[str, str]:
    """`set:model` -> (set, hub id or folder of a model, or nothing).

    Raises UserError for an unknown set, or a model where the set takes none.
    """
    base, colon, model = prompt_set.partition(":")
    if base not in PROMPT_SETS:
        raise UserError(
            f"prompt_set is {prompt_set!r}; it must be one of {', '.join(PROMPT_SETS)}."
        )
    if colon and (base not in TAKES_MODEL or not model):
        raise UserError(
            f"prompt_set is {prompt_set!r}; a model's hub id may follow the colon of "
            f"{', '.join(sorted(TAKES_MODEL))} only."
        )
    return base, model


def prompt(prompt_set: str, name: str, seed: int, card: str = "fashion-mnist") -> str:
    """The prompt of one image of the class `name`; the same arguments give the same text.

    Raises UserError for an unknown prompt set, and for a class or card without the words it needs.
    """
    base, model = split_name(prompt_set)
    if not name.strip():
        raise UserError("name is empty; it must be a class name.")
    if model:
        return PROMPT_SETS[base](name, seed, card, model)
    return PROMPT_SETS[base](name, seed, card)
