"""Prompt sets: from a class name to the text a generator is given."""

from __future__ import annotations

from collections.abc import Callable

from dataworth.errors import UserError


def classnames(name: str, seed: int) -> str:
    """The class name alone: no real image is consulted (Fan et al. 2023, *Classnames*)."""
    return name


def photo(name: str, seed: int) -> str:
    """`a photo of a <class name>`, the first CLIP template."""
    return f"a photo of a {name}"


# A prompt set takes the class name and the image's seed, from which it may draw words.
PROMPT_SETS: dict[str, Callable[[str, int], str]] = {
    "classnames": classnames,
    "photo": photo,
}


def prompt(prompt_set: str, name: str, seed: int) -> str:
    """The prompt of one image. Raises UserError for an unknown prompt set."""
    if prompt_set not in PROMPT_SETS:
        raise UserError(
            f"prompt_set is {prompt_set!r}; it must be one of {', '.join(PROMPT_SETS)}."
        )
    return PROMPT_SETS[prompt_set](name, seed)
