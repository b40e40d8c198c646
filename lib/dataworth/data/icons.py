"""Icons and emoji as images of a data set: SVG sets of npm packages, rendered in one way.

A card of the format `iconify` has one published split for each icon set; `icons.yaml` says which
icons of a set show which class. A drawing becomes an image by the steps that Fashion-MNIST's
photographs went through (Xiao et al. 2017, arXiv 1708.07747, section 2): white ground, trimmed,
longest side 28 pixels, centred, grey; a colour drawing is then negated as the photographs were, so
that it is bright on black, and a line drawing is left as it is, black strokes on white. The
darkest tone is stretched to black: nearly every photograph of Fashion-MNIST uses all greys.
"""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray

from dataworth.data.catalog import Card
from dataworth.data.formats import FormatError
from dataworth.data.splits import Decoded, Labelled
from dataworth.errors import UserError
from dataworth.parameters import Value

FINE = 224  # width in pixels of the rendering that is reduced: 8 for each of 28
GROUND = 12  # darker than the ground by 5 % of 255: ink


class IconChoice(Value):
    """Which icons of one set show which class; `ink` says how they are drawn."""

    ink: Literal["line", "colour"]
    icons: dict[str, tuple[str, ...]]


@cache
def icon_choices(card_id: str) -> dict[str, IconChoice]:
    """The table `icons.yaml` of one card: set (published split) to choice."""
    table = yaml.safe_load(Path(__file__).with_name("icons.yaml").read_text(encoding="utf-8"))
    return {name: IconChoice.model_validate(entry) for name, entry in table[card_id].items()}


def read_iconify(folder: Path, card: Card) -> Decoded:
    """The chosen icons of every `icons.json` below `folder`, one split for each set.

    UserError without the renderer; FormatError when a set or an icon is missing.
    """
    sets: dict[str, dict[str, Any]] = {}
    for file in folder.glob("**/icons.json"):
        content = json.loads(file.read_text(encoding="utf-8"))
        sets[content["prefix"].replace("-", "_")] = content
    side = card.shape[0]
    decoded = {}
    for name in card.source_splits:
        if name not in sets:
            raise FormatError(f"it lacks the icon set {name}")
        choice = icon_choices(card.id)[name]
        images, labels = [], []
        for word, icons in choice.icons.items():
            for icon in icons:
                ink = rasterised(svg(sets[name], icon), side)
                images.append(ink if choice.ink == "colour" else 255 - ink)
                labels.append(card.classes.index(word))
        decoded[name] = Labelled(np.stack(images), np.array(labels, dtype=np.int64))
    return decoded


def svg(icon_set: dict[str, Any], name: str) -> str:
    """The SVG text of one icon of a set in Iconify's JSON; FormatError when there is none."""
    icon = icon_set["icons"].get(name)
    if icon is None:
        raise FormatError(f"the icon set {icon_set['prefix']} has no icon '{name}'")
    left, top, width, height = (
        icon.get(key, icon_set.get(key, default))
        for key, default in (("left", 0), ("top", 0), ("width", 16), ("height", 16))
    )
    body = icon["body"].replace("currentColor", "#000")
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{left} {top} {width} {height}">{body}</svg>'
    )


def rendered(
    drawing: str, width: int, mode: Literal["L", "RGBA"], background: str | None = None
) -> NDArray[np.uint8]:
    """An SVG as pixels of a mode of Pillow's, `width` wide. UserError without the renderer."""
    try:
        import resvg_py
    except ImportError as error:
        raise UserError(
            "Icons are rendered with the Python package `resvg-py`, which is not installed: "
            "install dataworth[images]."
        ) from error
    from PIL import Image

    png = resvg_py.svg_to_bytes(
        svg_string=drawing, background=background, width=width, skip_system_fonts=True
    )
    with Image.open(io.BytesIO(bytes(png))) as picture:
        return np.asarray(picture.convert(mode))


def rasterised(drawing: str, side: int) -> NDArray[np.uint8]:
    """The ink (255 - grey) of an SVG on white, (side, side): trimmed, as large as fits, centred.

    Grey is ITU-R 601 luma; the reduction averages areas (anti-aliasing); the most ink becomes 255.
    """
    from PIL import Image

    ink = 255 - rendered(drawing, FINE, "L", background="white")
    rows, columns = (np.flatnonzero((ink > GROUND).any(axis)) for axis in (1, 0))
    if len(rows) == 0:
        raise FormatError("a drawing is empty")
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = side / max(ink.shape)
    height, width = (max(1, round(length * scale)) for length in ink.shape)
    small = Image.fromarray(ink).resize((width, height), Image.Resampling.BOX)
    image = np.zeros((side, side), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    image[top : top + height, left : left + width] = np.asarray(small)
    if not image.any():  # the division below would make it NaN, and the cast black
        raise FormatError("a drawing is too faint to be seen at this size")
    return (image * (255.0 / image.max())).round().astype(np.uint8)
