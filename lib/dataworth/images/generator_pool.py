"""What a generator learns from: images with captions, as a recipe wants them.

The pool stands for web data. Of garments, real photographs with captions written for them, and
stylised copies of some (`styles`) captioned as such. Of a card whose images have texts of their own
(`icons`) those are the captions, and no copies are made: its pool holds drawings of many styles. No
classifier-pool, validation or test image is in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dataworth.images.captions import GARMENTS, Captions, named
from dataworth.images.stages import AUTOENCODER, Stage
from dataworth.images.styles import STYLES

VARIANTS = 6  # captions written per image


class Photos(NamedTuple):
    """Images (N, H, W) or (N, H, W, 3), labels (N,) and, if they have some, texts (N,)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    texts: NDArray[np.str_] | None = None


class Recipe(Stage):
    """How the transformer and its text encoder are trained, on which pool, after which first stage
    (of families that have one)."""

    condition_dropout: float = Field(0.1, ge=0, le=1)
    stylised_per_style: int = Field(1500, ge=0)
    gap: float = Field(
        1.0, ge=0, le=1, description="share of the images of the card's classes left in the pool"
    )
    rare: tuple[int, ...] = Field((), description="labels that `gap` is about; none: all classes")
    recurring: int = Field(
        1, ge=1, description="images whose name fewer of the pool have are left out of it"
    )
    images: int | None = Field(None, ge=1, description="so many of the pool, at random; None: all")
    wrong: float = Field(0.0, ge=0, le=1, description="share of the images with another's name")
    seed: int = Field(0, ge=0)
    autoencoder: Stage = AUTOENCODER


def captioned_pool(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    recipe: Recipe,
    writer: Captions = GARMENTS,
    texts: NDArray[np.str_] | None = None,
) -> tuple[NDArray[np.uint8], list[list[str]]]:
    """Photos and stylised copies (M, H, W) or (M, H, W, 3), with `VARIANTS` captions for each; or
    the images alone, if they have texts (N,), with captions made of these."""
    rng = np.random.default_rng([recipe.seed, 1])
    if texts is not None:
        return images, [[named(text, rng) for _ in range(VARIANTS)] for text in texts.tolist()]
    words = writer.attributes(images, labels)
    pool = [images]
    members = [(i, "photo") for i in range(len(images))]
    for style, make in STYLES.items() if recipe.stylised_per_style else ():
        chosen = rng.choice(len(images), min(recipe.stylised_per_style, len(images)), replace=False)
        pool.append(_by_channel(make, images[chosen]))
        members += [(int(i), style) for i in chosen]
    written = [
        [writer.caption(int(labels[i]), words[i], rng, style) for _ in range(VARIANTS)]
        for i, style in members
    ]
    return np.concatenate(pool), written


def _by_channel(
    make: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], images: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """A style of grey images, of colour images too."""
    if images.ndim == 3:
        return make(images)
    return np.stack([make(images[..., c]) for c in range(images.shape[-1])], axis=-1)


def generator_pool(card: str, recipe: Recipe) -> Photos:
    """What a generator may learn from, by class, then by content id.

    Of each class in question (`rare`) the share `gap` is left in, the images of the smallest ids,
    so that the pool of a smaller share is part of that of a larger one; images of no class stay, of
    a card whose images have texts those that share with so many (`recurring`) what the text names.
    `images` of them are drawn, nested in their number; a share of `wrong` ones exchange their texts
    (or labels) among themselves.
    """
    from dataworth.data import load_images

    pool = load_images(card, "generator_pool")
    order = np.lexsort((pool.ids, pool.labels))
    rows = order[left_in(pool.labels[order], recipe.gap, recipe.rare)]
    if pool.texts is not None:
        names = np.array([text.partition(", ")[0] for text in pool.texts[rows].tolist()])
        _, of, counts = np.unique(names, return_inverse=True, return_counts=True)
        rows = rows[(pool.labels[rows] >= 0) | (counts[of] >= recipe.recurring)]
    if recipe.images is not None and recipe.images < len(rows):
        drawn = np.random.default_rng([recipe.seed, 5]).permutation(len(rows))
        rows = rows[np.sort(drawn[: recipe.images])]
    rng = np.random.default_rng([recipe.seed, 6])
    of_whom = rows.copy()
    wrong = rng.choice(len(rows), round(recipe.wrong * len(rows)), replace=False)
    of_whom[wrong] = rows[rng.permutation(wrong)]
    if pool.texts is None:
        return Photos(pool.images[rows], pool.labels[of_whom])
    return Photos(pool.images[rows], pool.labels[rows], pool.texts[of_whom])


def left_in(labels: NDArray[np.int64], gap: float, rare: Sequence[int] = ()) -> NDArray[np.bool_]:
    """(N,): the first `gap` of every class (of those in `rare`, if any are named), rounded up, and
    all else; -1 is no class."""
    left = np.ones(len(labels), dtype=bool)
    for label in rare or np.unique(labels[labels >= 0]).tolist():
        rows = np.flatnonzero(labels == label)
        left[rows[math.ceil(gap * len(rows)) :]] = False
    return left
