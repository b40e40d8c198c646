"""Prompt sets: from a class to the text a generator is given."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dataworth.errors import UserError
from dataworth.images.captions import CLASS_WORDS


def classnames(label: int, rng: np.random.Generator) -> str:
    """The class name alone: no real image is consulted (Fan et al. 2023, *Classnames*)."""
    return CLASS_WORDS[label][0]


def photo(label: int, rng: np.random.Generator) -> str:
    """`a photo of a <class name>`, the first CLIP template."""
    return f"a photo of a {CLASS_WORDS[label][0]}"


PROMPT_SETS: dict[str, Callable[[int, np.random.Generator], str]] = {
    "classnames": classnames,
    "photo": photo,
}


def prompt(prompt_set: str, label: int, seed: int) -> str:
    """The prompt of one image. Raises UserError for an unknown prompt set."""
    if prompt_set not in PROMPT_SETS:
        raise UserError(
            f"prompt_set is {prompt_set!r}; it must be one of {', '.join(PROMPT_SETS)}."
        )
    return PROMPT_SETS[prompt_set](label, np.random.default_rng([seed, 3]))
