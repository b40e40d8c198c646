"""Prompts from the class name and a fixed template: *Classnames* and *CLIP templates*.

`templates.json` holds open_clip's OPENAI_IMAGENET_TEMPLATES (80; Radford et al. 2021) and
SIMPLE_IMAGENET_TEMPLATES (7), word for word; it is written by `make_tables`.
"""

from __future__ import annotations

import json
from functools import cache

import numpy as np

from dataworth.images.prompts.vocabulary import label_of, read_table

TEMPLATES_SHA256 = "f99a5e381a908cbcbe1e4d65abaee40dead6523821c3bb5e5568bc5e7ae6012c"
_TAG = 31
STYLE_WORDS = ("outline", "filled")  # of the images that classifiers of `icons` are trained on


def classnames(name: str, seed: int, card: str) -> str:
    """The class name alone: no real image is consulted (Fan et al. 2023, *Classnames*)."""
    return name


def photo(name: str, seed: int, card: str) -> str:
    """`a photo of a <class name>`, the best known CLIP template."""
    return f"a photo of a {name}"


@cache
def templates(prompt_set: str) -> tuple[str, ...]:
    """The 7 or 80 templates of `clip-7` or `clip-80`, with `{}` for the class name."""
    return tuple(json.loads(read_table("templates.json", TEMPLATES_SHA256))[prompt_set])


def clip_7(name: str, seed: int, card: str) -> str:
    """One of CLIP's 7 templates, drawn by the seed (Fan et al. 2023, *CLIP templates*)."""
    return _drawn(templates("clip-7"), seed).format(name)


def clip_80(name: str, seed: int, card: str) -> str:
    """One of CLIP's 80 templates, drawn by the seed (Fan et al. 2023, *CLIP templates*)."""
    return _drawn(templates("clip-80"), seed).format(name)


def own_names(name: str, seed: int, card: str) -> str:
    """What the images of the class are called: one of the class's words on the card, drawn by the
    seed; where images have texts of their own, half of the time a word of style behind it."""
    from dataworth.data.catalog import cards

    found = next((c for c in cards() if c.id == card and c.described), None)
    if found is None:
        return name
    rng = np.random.default_rng([seed, _TAG + 1])
    words = found.class_words[label_of(name, card)]
    word = words[rng.integers(len(words))]
    styled = rng.random() < 0.5
    return f"{word} {STYLE_WORDS[rng.integers(len(STYLE_WORDS))]}" if styled else word


def _drawn(choices: tuple[str, ...], seed: int) -> str:
    return choices[np.random.default_rng([seed, _TAG]).integers(len(choices))]


SETS = {
    "classnames": classnames,
    "photo": photo,
    "clip-7": clip_7,
    "clip-80": clip_80,
    "own-names": own_names,
}
