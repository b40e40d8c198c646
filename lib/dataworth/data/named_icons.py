"""The card `icons`: named pictograms of many design sets, as web images with their alt text.

One npm package (Iconify's collection) holds all sets. `icon_sets.tsv` says of each set its family
(one design: its outline and its solid form, its versions), its licence, how it draws, and what it
is used for; a family is used for one thing alone, so that no classifier is evaluated on a design
that it or its generator has seen. Icons of the generator's families are taken whatever they show;
of the others those that a class of the card names. An icon's class is that whose words (on the
card) its name is, once words of style and size are taken off; `NO_CLASS` where there is none.
Nobody has looked at the single icon: names are the designers' own, with their noise.

An icon of one colour gets an ink and a paper, either of them the dark one, drawn by its id; a
coloured one gets a paper. Of drawings that are nearly the same (`copies`) one is kept, and none
where they have different classes.
"""

from __future__ import annotations

import colorsys
import csv
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dataworth.data.catalog import Card
from dataworth.data.formats import FormatError
from dataworth.data.icons import rendered, svg
from dataworth.data.splits import Decoded, Described, content_ids
from dataworth.parameters import Value

Pictures = NDArray[np.uint8]

NO_CLASS = -1
FINE = 64  # pixels a side of the rendering, of which 2 x 2 become one
CHUNK = 1000  # icons that a process renders at a time
FAINT = 5 * 255  # less ink than of five black pixels: nothing to see
NEAR = 0.05
"""Drawings whose grey values differ by less than this, root mean square over pixels of 0 to 1."""
BLOCK = 4  # pixels a side of the squares among whose sums copies are sought
ROWS = 512  # pictures that are compared with others at a time
SLACK = 100.0  # of squared distances of up to 10^5 grey values, for the rounding of float32
CONTRAST = 0.35  # least difference in luma of ink and paper, 0 to 1

STYLE_WORDS = {
    "outline": "outline outlined line linear stroke regular light thin broken hairline border",
    "filled": "fill filled solid bold glyph black",
    "duotone": "duotone twotone duo dual",
}
"""What names say of how an icon is drawn, by style."""
_STYLE_OF = {word: style for style, words in STYLE_WORDS.items() for word in words.split()}
_FIRST = ("outline", "outlined", "fill", "filled", "solid", "duotone", "twotone")
"""Words of style that may also stand before the name; the first of `light bulb` is none."""
_FIRST_EMPTY = ("baseline", "round", "sharp")
_EMPTY = (
    "rounded", "round", "sharp", "alt", "variant", "simple", "flat", "color", "o", "f", "icon",
    "icons", "free", "remix", "pop", "print", "baseline", "block", "a", "b", "1x", "2x", "small",
    "large", "lg", "sm", "xl", "big", "mini", "micro", "medium", "dynamic", "gradient",
)  # fmt: skip
"""Words of a name that tell variants of a drawing apart and say nothing of what it shows."""
_SIZE = re.compile(r"\d+(px)?")
_SIZED = re.compile(r"-(10|12|16|20|24|28|32|48)(px)?\b")
_SKIN = re.compile(r"skin-tone")

Use = Literal["generator", "classifier", "validation", "test", "shift", "none"]
POOLS = {"generator": "generator_pool", "classifier": "classifier_pool"}
IN_DOMAIN = ("outline", "filled")
"""The styles of the classifiers' images; others serve as shifted sets."""


class IconSet(Value):
    """One line of `icon_sets.tsv`. `style`: how it draws where a name does not say it."""

    set: str
    family: str
    use: Use
    style: Literal["outline", "filled", "duotone", "colour", "emoji"]
    licence: str
    author: str


@cache
def icon_sets() -> dict[str, IconSet]:
    """Every set of the package, by its prefix."""
    with Path(__file__).with_name("icon_sets.tsv").open(encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return {row["set"]: IconSet.model_validate(row) for row in rows}


def words(name: str, style: str) -> tuple[str, tuple[str, ...]]:
    """What an icon's name says it shows, and the words of style: those of the name, or `style`."""
    parts = name.replace("two-tone", "twotone").replace("duo-tone", "duotone").split("-")
    parts = [part for part in parts if part]
    said: list[str] = []
    while len(parts) > 1:
        if parts[-1] in _STYLE_OF:
            said.insert(0, parts.pop())
        elif parts[-1] in _EMPTY or _SIZE.fullmatch(parts[-1]):
            parts.pop()
        elif parts[0] in _FIRST:
            said.append(parts.pop(0))
        elif parts[0] in _FIRST_EMPTY:
            parts.pop(0)
        else:
            break
    parts[-1] = re.sub(r"(?<=[a-z])\d+$", "", parts[-1])  # home2
    return " ".join(parts), tuple(said) or (style,)


def style_of(said: Sequence[str], style: str) -> str:
    """How an icon is drawn, by the last word of style in its name; a set in colour has one way."""
    return style if style in ("colour", "emoji") else _STYLE_OF.get(said[-1], style)


class Icon(Value):
    """One icon to be drawn. `text`: what its name shows, a comma, its words of style."""

    id: str
    split: str
    label: int
    text: str
    drawing: str
    coloured: bool


def read_named(folder: Path, card: Card) -> Decoded:
    """The icons of the sets in use below `folder` (`json/<set>.json`, `collections.json`).

    FormatError where a set is missing or has another licence than in the table; UserError without
    the renderer.
    """
    chosen = list(_chosen(folder, card))
    return divided(chosen, *render(chosen, card.shape[0]), card)


def divided(chosen: Sequence[Icon], grey: Pictures, shown: Pictures, card: Card) -> Decoded:
    """The splits of the card: icons, rendered (`render`), without those that cannot be seen and
    without copies."""
    rows = np.flatnonzero((255 - grey).sum((1, 2), dtype=np.int64) >= FAINT)
    labels = np.array([icon.label for icon in chosen], dtype=np.int64)
    rows = rows[unlike(grey[rows], labels[rows])]
    found: Decoded = {}
    for split in card.source_splits:
        mine = np.array([row for row in rows.tolist() if chosen[row].split == split], dtype=int)
        if not len(mine):
            raise FormatError(f"it has no icon of the split {split}")
        found[split] = Described(
            shown[mine],
            labels[mine],
            np.array([chosen[row].text for row in mine.tolist()]),
            np.array([chosen[row].id.partition(":")[0] for row in mine.tolist()]),
        )
    return found


# ---- Which icons --------------------------------------------------------------------------------


def _chosen(folder: Path, card: Card) -> Iterator[Icon]:
    """Icons of the sets in use, those of evaluation sets first: of copies the first is kept."""
    order = ("test", "validation", "shift", "classifier", "generator")
    listed = _json(folder / "collections.json")
    label_of = {w: i for i, row in enumerate(card.class_words) for w in row}
    used = sorted((s for s in icon_sets().values() if s.use != "none"), key=lambda s: s.set)
    for one in sorted(used, key=lambda s: order.index(s.use)):
        if one.set not in listed:
            raise FormatError(f"it lacks the icon set {one.set}")
        if (licence := listed[one.set]["license"].get("spdx")) != one.licence:
            raise FormatError(f"the icon set {one.set} is under {licence}, not {one.licence}")
        whole = _json(folder / "json" / f"{one.set}.json")
        seen: set[str] = set()
        for name, entry in whole["icons"].items():
            size_less = _SIZED.sub("", name)
            if entry.get("hidden") or _SKIN.search(name) or size_less in seen:
                continue
            shown, said = words(name, one.style)
            label, style = label_of.get(shown, NO_CLASS), style_of(said, one.style)
            split = _split(one.use, style)
            if split not in card.source_splits or (label == NO_CLASS and one.use != "generator"):
                continue
            seen.add(size_less)  # of one drawing in several sizes the first
            yield Icon(
                id=f"{one.set}:{name}",
                split=split,
                label=label,
                text=f"{shown}, {' '.join(said)}",
                drawing=svg(_squared(whole, name), name),
                coloured=one.style in ("colour", "emoji"),
            )


def _split(use: Use, style: str) -> str:
    """Where an icon goes; nowhere ("") those that classifiers of the other styles would learn."""
    if use == "generator":
        return POOLS[use]
    if use == "shift" or (use == "test" and style not in IN_DOMAIN):
        return style
    return POOLS.get(use, use) if style in IN_DOMAIN else ""


def _squared(whole: dict[str, Any], name: str) -> dict[str, Any]:
    """The set with this icon in a square view, itself in the middle."""
    icon = whole["icons"][name]
    left, top, width, height = (
        icon.get(key, whole.get(key, default))
        for key, default in (("left", 0), ("top", 0), ("width", 16), ("height", 16))
    )
    side = max(width, height)
    view = {"left": left - (side - width) / 2, "top": top - (side - height) / 2}
    return {
        "prefix": whole["prefix"],
        "icons": {name: icon | view | {"width": side, "height": side}},
    }


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(f"{path.name} cannot be read ({error})") from error
    return found


# ---- Pixels -------------------------------------------------------------------------------------


def render(icons: Sequence[Icon], side: int) -> tuple[Pictures, Pictures]:
    """Icons as grey pictures (N, side, side), black on white where they have one colour, and as
    they are shown (N, side, side, 3). On all cores where they are many."""
    from joblib import Parallel, delayed

    grey = np.empty((len(icons), side, side), np.uint8)
    shown = np.empty((len(icons), side, side, 3), np.uint8)
    parts = [slice(at, at + CHUNK) for at in range(0, len(icons), CHUNK)]
    several = Parallel(n_jobs=1 if len(parts) < 4 else -1, return_as="generator")
    rendered = several(delayed(_render)(icons[part], side) for part in parts)
    for part, made in zip(parts, rendered, strict=True):
        grey[part], shown[part] = made
    return grey, shown


def _render(icons: Sequence[Icon], side: int) -> tuple[Pictures, Pictures]:
    grey, shown = [], []
    for icon in icons:
        pixels = rasterised(icon.drawing, side)
        ink, paper = colours(icon.id, coloured=icon.coloured)
        plain = on_paper(pixels, None if icon.coloured else (0, 0, 0), (255, 255, 255))
        grey.append((plain @ np.array([299, 587, 114], np.uint32) + 500) // 1000)
        shown.append(on_paper(pixels, None if icon.coloured else ink, paper))
    return np.stack(grey).astype(np.uint8), np.stack(shown)


def rasterised(drawing: str, side: int) -> Pictures:
    """An SVG as (side, side, 4) colour times alpha, and alpha: rendered at `FINE` pixels, the means
    of blocks."""
    fine = rendered(drawing, FINE, "RGBA").astype(np.uint32)
    block = FINE // side
    fine[..., :3] = (fine[..., :3] * fine[..., 3:] + 127) // 255
    sums = fine.reshape(side, block, side, block, 4).sum((1, 3), dtype=np.uint32)
    return ((sums + block * block // 2) // (block * block)).astype(np.uint8)


def on_paper(
    pixels: Pictures, ink: tuple[int, int, int] | None, paper: tuple[int, int, int]
) -> Pictures:
    """(side, side, 3): what `rasterised` gives, in one ink or (None) its own colours, on paper."""
    alpha = pixels[..., 3:].astype(np.uint32)
    own = pixels[..., :3].astype(np.uint32)
    shown = own if ink is None else (np.array(ink, np.uint32) * alpha + 127) // 255
    ground = (np.array(paper, np.uint32) * (255 - alpha) + 127) // 255
    return np.minimum(shown + ground, 255).astype(np.uint8)


Colour = tuple[int, int, int]


def colours(key: str, *, coloured: bool) -> tuple[Colour, Colour]:
    """Ink and paper for an icon, by its id: one light and one dark, a coin decides which; under a
    coloured drawing a pale or a deep paper, nearly grey."""
    for attempt in range(100):
        digest = hashlib.sha256(f"{key} {attempt}".encode()).digest()
        u = [byte / 255 for byte in digest]
        strength = 0.15 if coloured else 1.0
        light = _colour(u[0], 0.75 + 0.25 * u[1], u[2] * strength)
        dark = _colour(u[3], (0.2 if coloured else 0.4) * u[4], u[5] * strength)
        if luma(light) - luma(dark) >= CONTRAST:
            return (light, dark) if digest[6] % 2 else (dark, light)
    raise AssertionError("no two colours of enough contrast in a hundred draws")


def _colour(hue: float, lightness: float, saturation: float) -> Colour:
    red, green, blue = (round(255 * v) for v in colorsys.hls_to_rgb(hue, lightness, saturation))
    return red, green, blue


def luma(colour: Colour) -> float:
    """ITU-R 601, 0 to 1."""
    red, green, blue = colour
    return (299 * red + 587 * green + 114 * blue) / 255_000


# ---- Copies -------------------------------------------------------------------------------------


def unlike(pictures: Pictures, labels: NDArray[np.int64], near: float = NEAR) -> NDArray[np.intp]:
    """Rows of pictures (N, H, W) of which no two are near copies: of copies the first is kept, and
    none where two of them have different classes."""
    pairs = copies(pictures, near)
    dropped = np.zeros(len(pictures), dtype=bool)
    classed = (labels[pairs] != NO_CLASS).all(1)
    dropped[pairs[classed & (labels[pairs[:, 0]] != labels[pairs[:, 1]])].ravel()] = True
    for first, second in pairs.tolist():  # ascending: `first` has been decided
        dropped[second] |= not dropped[first]
    return np.flatnonzero(~dropped)


def copies(pictures: Pictures, near: float = NEAR) -> NDArray[np.intp]:
    """(P, 2) pairs of rows, the smaller first, ascending: pictures (N, H, W) whose root mean square
    difference is at most `near` (of 1), each equal picture with the first of its kind alone.

    Exact: pairs are sought among the sums of blocks of 4 x 4 pixels over 4, which are no farther
    apart than the pictures, and measured in whole numbers.
    """
    n, height, width = pictures.shape
    _, first, of = np.unique(content_ids(pictures), return_index=True, return_inverse=True)
    flat = pictures.reshape(n, -1)
    different = pictures[first].reshape(-1, height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    coarse = different.sum((2, 4), dtype=np.float32).reshape(len(first), -1) / BLOCK
    squared = (near * 255) ** 2 * height * width
    measured = [
        part[_squares(flat[first[part[:, 0]]], flat[first[part[:, 1]]]) <= squared]
        for part in _candidates(coarse, squared + SLACK)
    ]
    near_pairs = first[np.concatenate(measured)]
    equal = np.column_stack([first[of], np.arange(n)])
    found = np.sort(np.concatenate([near_pairs, equal[equal[:, 0] != equal[:, 1]]]), axis=1)
    return found[np.lexsort((found[:, 1], found[:, 0]))]


def _candidates(points: NDArray[np.float32], squared: float) -> Iterator[NDArray[np.intp]]:
    """Pairs (P, 2) of points (N, d) whose squared distance is at most `squared`.

    Points are compared only where their sums, over the root of d, are no farther apart than that.
    """
    sums = points.sum(1, dtype=np.float64) / np.sqrt(points.shape[1])
    order = np.argsort(sums, kind="stable")
    x, sums = points[order], sums[order]
    lengths = (x * x).sum(1)
    for at in range(0, len(x), ROWS):
        rows = x[at : at + ROWS]
        end = np.searchsorted(sums, sums[min(at + ROWS, len(x)) - 1] + np.sqrt(squared), "right")
        apart = lengths[at : at + ROWS, None] + lengths[None, at:end] - 2 * rows @ x[at:end].T
        left, right = np.nonzero(np.triu(apart <= squared, 1))
        yield order[np.column_stack([left, right]) + at]


def _squares(left: Pictures, right: Pictures) -> NDArray[np.int64]:
    difference = left.astype(np.int64) - right
    return (difference * difference).sum(1)
