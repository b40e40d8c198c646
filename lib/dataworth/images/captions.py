"""Captions for garment images: a class word, attributes measured on the image, a style word.

Web images come with alt text; Fashion-MNIST does not. These captions stand for it. Nothing in
them is typed in by hand per image: the class word comes from the label, the attribute words from
pixel statistics (`measure`), the style word from how the copy was made. Template wording follows
the CLIP zero-shot templates (Radford et al. 2021), so that those prompts are in distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]

# In the order of Fashion-MNIST's labels; the first word of a row is the class name in prompts.
CLASS_WORDS: tuple[tuple[str, ...], ...] = (
    ("t-shirt", "tee shirt", "top"),
    ("trouser", "trousers", "pants"),
    ("pullover", "sweater", "jumper"),
    ("dress", "gown", "frock"),
    ("coat", "jacket", "overcoat"),
    ("sandal", "sandals", "open shoe"),
    ("shirt", "blouse", "button-up shirt"),
    ("sneaker", "running shoe", "trainer"),
    ("bag", "handbag", "purse"),
    ("ankle boot", "boot", "bootie"),
)
_TOPS, _SHOES = (0, 2, 3, 4, 6), (5, 7, 9)

TEMPLATES: dict[str, tuple[str, ...]] = {
    "photo": (
        "{}",
        "a {}",
        "a photo of a {}",
        "a photo of the {}",
        "a good photo of a {}",
        "a close-up photo of the {}",
        "a cropped photo of a {}",
        "a photo of one {}",
        "a photo of my {}",
        "itap of a {}",
    ),
    "sketch": (
        "a sketch of a {}",
        "a sketch of the {}",
        "a drawing of a {}",
        "a doodle of a {}",
        "a line drawing of a {}",
    ),
    "rendition": (
        "a rendition of a {}",
        "a rendition of the {}",
        "a painting of a {}",
        "art of the {}",
        "a cartoon {}",
        "a rendering of a {}",
    ),
    "inverted": (
        "a negative of a {}",
        "an inverted photo of a {}",
        "a {} on a white background",
    ),
    "pixelated": (
        "a pixelated photo of a {}",
        "a pixelated photo of the {}",
        "a low resolution photo of a {}",
        "a blurry photo of a {}",
    ),
}


def measure(images: Images) -> dict[str, NDArray[np.float64]]:
    """Shape and tone statistics of uint8 (N, 28, 28) images on a dark background, each (N,).

    brightness
        mean grey value of the foreground, 0-1.
    texture
        mean absolute difference of neighbouring foreground pixels, 0-1.
    width, height
        extent of the foreground, pixels.
    sides
        share of foreground in the columns where hanging sleeves lie (rows 10-23), 0-1.
    arch
        mean height of the foreground's lower edge above its lowest row in the middle columns,
        pixels: large under a heel's arch.
    """
    x = images.astype(np.float64) / 255
    fg = x > 0.08
    area = np.maximum(fg.sum((1, 2)), 1)
    across = np.abs(np.diff(x, axis=2)) * (fg[:, :, 1:] & fg[:, :, :-1])
    down = np.abs(np.diff(x, axis=1)) * (fg[:, 1:] & fg[:, :-1])
    height = x.shape[1]
    lowest = np.where(fg.any(1), height - 1 - fg[:, ::-1].argmax(1), -1)  # (N, W)
    middle = lowest[:, 8:20]
    gap = np.where(middle >= 0, lowest.max(1, keepdims=True) - middle, 0)
    return {
        "brightness": (x * fg).sum((1, 2)) / area,
        "texture": (across.sum((1, 2)) + down.sum((1, 2))) / area,
        "width": fg.any(1).sum(1).astype(np.float64),
        "height": fg.any(2).sum(1).astype(np.float64),
        "sides": fg[:, 10:24][:, :, np.r_[2:7, 21:26]].mean((1, 2)),
        "arch": gap.mean(1).astype(np.float64),
    }


def attributes(images: Images, labels: Sequence[int] | NDArray[np.int64]) -> list[list[str]]:
    """The attribute words that hold for each image; thresholds are near the terciles of the set."""
    m = measure(images)
    rows: list[list[str]] = []
    for i, label in enumerate(labels):
        words: list[str] = []
        if m["brightness"][i] < 0.5:
            words.append("dark")
        elif m["brightness"][i] > 0.74:
            words.append("bright")
        if m["texture"][i] < 0.15:
            words.append("plain")
        elif m["texture"][i] > 0.24:
            words.append("patterned")
        if m["width"][i] / max(m["height"][i], 1) < 0.5:
            words.append("slim")
        elif m["height"][i] > 24 and m["width"][i] > 23:
            words.append("wide")
        if label in _TOPS:
            words.append("long-sleeved" if m["sides"][i] > 0.4 else "short-sleeved")
        if label in _SHOES:
            words.append("heeled" if m["arch"][i] > 2 else "flat")
            if m["height"][i] > 20:
                words.append("high")
        rows.append(words)
    return rows


def shades(images: Images, labels: Sequence[int] | NDArray[np.int64]) -> list[list[str]]:
    """Attribute words that any picture may have: dark or bright, by its mean."""
    means = images.reshape(len(images), -1).mean(1) / 255
    return [["dark"] if m < 0.35 else ["bright"] if m > 0.65 else [] for m in means.tolist()]


def caption(
    label: int,
    words: Sequence[str],
    rng: np.random.Generator,
    style: str = "photo",
    class_words: Sequence[Sequence[str]] = CLASS_WORDS,
) -> str:
    """One random caption: template of the style, class word, a random subset of the attributes."""
    names = class_words[label]
    plain = rng.random() < 0.7 or len(names) == 1
    name = names[0] if plain else names[int(rng.integers(1, len(names)))]
    if rng.random() < 0.6:
        kept = [w for w in words if rng.random() < 0.7]
        name = " ".join([*kept, name])
    template = TEMPLATES[style][rng.integers(len(TEMPLATES[style]))]
    return template.format(name)


def named(text: str, rng: np.random.Generator) -> str:
    """One random caption of an image that has a text of its own, `what it shows, words of style`:
    the first part, and half of the time the second behind it."""
    shown, _, style = text.partition(", ")
    return f"{shown} {style}".strip() if rng.random() < 0.5 else shown


@dataclass(frozen=True)
class Captions:
    """Writes the captions of one card's images: its words for each class, and whether its images
    are garments, whose attributes `measure` knows."""

    class_words: tuple[tuple[str, ...], ...]
    garments: bool = False

    def attributes(
        self, images: Images, labels: Sequence[int] | NDArray[np.int64]
    ) -> list[list[str]]:
        """The attribute words that hold for each image."""
        return attributes(images, labels) if self.garments else shades(images, labels)

    def caption(
        self, label: int, words: Sequence[str], rng: np.random.Generator, style: str = "photo"
    ) -> str:
        """One random caption (`caption`)."""
        return caption(label, words, rng, style, self.class_words)


GARMENTS = Captions(CLASS_WORDS, garments=True)


def captions_of(card: str) -> Captions:
    """The captions of a card: of Fashion-MNIST's garments, or of the words on the card."""
    from dataworth.data import card as find_card

    return GARMENTS if card == "fashion-mnist" else Captions(find_card(card).class_words)
