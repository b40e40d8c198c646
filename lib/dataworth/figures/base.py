"""The book's style, and pictures of one or several panels: laid out, checked, shown with words."""

from __future__ import annotations

import base64
import io
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dataworth import paths
from dataworth.display import aside, say, shell
from dataworth.errors import UserError

from .drawn import described, tag
from .ticks import set_ticks, thin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart with any colour vision. A colour has one meaning in the whole
# book.
COLOURS = {
    "real": "#0072B2",
    "synthetic": "#D55E00",
    "mixed": "#009E73",
    "published": "#666666",
    "recorded": "#000000",
    "this run": "#AA4499",
    "control": "#8C8C8C",
    "filter": "#332288",
    "inverse filter": "#882255",
}
MARKERS = {
    "real": "o",
    "synthetic": "s",
    "mixed": "D",
    "published": "x",
    "recorded": "P",
    "this run": "v",
    "control": "h",
    "filter": "p",
    "inverse filter": "d",
}
SPARE = ("#56B4E9", "#E69F00", "#44AA99", "#999933", "#661100", "#B8A200", "#6699CC", "#117733")
SPARE_MARKERS = "^<>*8HX4"
GUIDE = "#999999"
"""Colour of reference lines: zero, one, chance."""

WIDTH = 6.9
"""Widest figure, in inches: 662 of the 674 px that a page gives a picture, frame taken off."""

SMALLEST = 9.0
"""Smallest text of a figure as displayed, in CSS pixels (a 96th of an inch)."""


def style() -> None:
    """Set the book's plotting style (white ground, so figures read in dark mode too)."""
    import matplotlib as mpl
    import seaborn as sns

    sns.set_theme(context="paper", style="ticks", palette=list(COLOURS.values()))
    mpl.rcParams.update(
        {
            "figure.figsize": (WIDTH, 4.0),
            "figure.dpi": 100,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "font.size": 9,
            "axes.titlesize": 9.5,
            "axes.labelsize": 9,
            "xtick.labelsize": 8,
            "ytick.labelsize": 8,
            "legend.fontsize": 8,
            "legend.title_fontsize": 8,
            "axes.unicode_minus": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#E6E6E6",
            "legend.frameon": False,
            "svg.fonttype": "path",
            "svg.hashsalt": "dataworth",
        }
    )


def subplots(*args: Any, **kwargs: Any) -> tuple[Figure, Any]:
    """`matplotlib.pyplot.subplots` in the book's style, for a special figure. A figure wider than
    the page is made as wide as the page, so that its text is not scaled down."""
    import matplotlib.pyplot as plt

    style()
    if "figsize" in kwargs:
        width, height = kwargs["figsize"]
        kwargs["figsize"] = (min(width, WIDTH), height)
    return plt.subplots(*args, **kwargs)


Roles = Mapping[str, str] | str | None
"""What series mean whose names are no roles: role or colour by name; or one role for all of them,
which differ in size and get shades of its colour."""


def looks(names: Sequence[str], roles: Roles = None) -> dict[str, tuple[str, str]]:
    """Colour and marker of every series: those of its role (its own name, or what `roles` says),
    else a spare pair, which means nothing elsewhere."""
    if isinstance(roles, str):
        order = sorted(names, key=_size)
        tints = dict(zip(order, shades(roles, len(order)), strict=True))
        return {name: (tints[name], MARKERS[roles]) for name in names}
    found, spare = {}, 0
    for name in names:
        role = (roles or {}).get(name, name)
        marker = MARKERS.get(role, SPARE_MARKERS[spare % len(SPARE_MARKERS)])
        colour = role if role.startswith("#") else COLOURS.get(role, SPARE[spare % len(SPARE)])
        found[name] = (colour, marker)
        spare += role not in COLOURS
    return found


def _size(name: str) -> float:
    """The first number in a name, to put arms in order."""
    number = re.search(r"\d[\d,]*(\.\d+)?", name)
    return float(number[0].replace(",", "")) if number else 0.0


def shades(role: str, count: int) -> list[str]:
    """`count` shades of a role's colour, from light to dark, for arms that differ in size."""
    import seaborn as sns

    colour = COLOURS[role]
    tints = sns.blend_palette(["#FFFFFF", colour, "#000000"], 101).as_hex()
    return [tints[int(i)] for i in np.linspace(35, 75, count)] if count > 1 else [colour]


@dataclass(frozen=True)
class Panel:
    """One panel to be drawn: `paint` fills the axes; `head` (what is drawn) and `words` (its
    numbers) are its sentence of the alt text; panels with one head are told together.

    x, y: labels of its axes; panels of one picture share an axis if these are the same. rows: names
    of the rows of a panel that has rows instead of a y axis. span: ends of its values, if infinite
    ones must be cut off there. height: inches it needs. ticks: where x is labelled on a logarithmic
    axis. bar: label of its colour bar, if it has one. log: which axes are logarithmic ("x", "y",
    "xy"). names: x, y and text of points that are named.
    """

    paint: Callable[[Axes, tuple[float, float] | None], Any]
    words: str
    head: str = ""
    x: str = ""
    y: str = ""
    title: str = ""
    rows: tuple[str, ...] = ()
    span: tuple[float, float] | None = None
    height: float = 3.2
    ticks: tuple[float, ...] = ()
    bar: str = ""
    log: str = ""
    names: tuple[tuple[float, float, str], ...] = ()


@dataclass(frozen=True)
class Picture:
    """A figure with its panels, and the first sentences of its alt text, made of the numbers that
    are drawn."""

    fig: Figure
    axes: tuple[Axes, ...]
    alt: str
    panels: tuple[Panel, ...] = ()


def draw(
    *panels: Panel,
    columns: int | None = None,
    widths: Sequence[float] | None = None,
    height: float | None = None,
    share: bool = True,
) -> Picture:
    """Draw panels beside each other (`columns` a row; all in one row if there are up to three).

    Panels whose axis has the same label have the same axis, labelled once (`share=False`: not). All
    legends become one above the panels, without repetitions, so that none hides data. widths: of
    the columns, relative. height: of the whole picture in inches, else what the panels need.
    """
    columns = columns or (
        len(panels) if len(panels) <= 3 else -(-len(panels) // -(-len(panels) // 4))
    )
    lines = -(-len(panels) // columns)
    need = [p.height * (0.75 if columns > 2 and not p.rows else 1) for p in panels]
    tall = [max(need[i * columns : (i + 1) * columns]) for i in range(lines)]
    fig, grid = subplots(
        lines, columns, squeeze=False, width_ratios=widths, height_ratios=tall,
        figsize=(WIDTH, height or sum(tall)),
    )  # fmt: skip
    axes = list(grid.ravel())
    for spare in axes[len(panels) :]:
        spare.remove()
    axes = axes[: len(panels)]
    first: dict[object, Axes] = {}
    spans: dict[object, list[tuple[float, float]]] = {}
    keys = [_keys(panel) if share else ((i, "x"), (i, "y")) for i, panel in enumerate(panels)]
    for ax, (x, y), panel in zip(axes, keys, panels, strict=True):
        if x in first:
            ax.sharex(first[x])
        if y in first:
            ax.sharey(first[y])
        first.setdefault(x, ax)
        first.setdefault(y, ax)
        if panel.span:
            spans.setdefault(_valued(panel, (x, y)), []).append(panel.span)
    images: dict[str, tuple[Any, list[Axes]]] = {}
    for ax, key, panel in zip(axes, keys, panels, strict=True):
        found = spans.get(_valued(panel, key), [])
        whole = (min(low for low, _ in found), max(high for _, high in found)) if found else None
        image = panel.paint(ax, whole)
        ax.set(xlabel=panel.x, ylabel=panel.y)
        ax.set_title(textwrap.fill(panel.title, int(12.5 * (WIDTH / columns - 0.6))))
        if panel.bar:
            images.setdefault(panel.bar, (image, []))[1].append(ax)
    if share:
        _label_outer(axes, keys, columns, panels)
    for label, (image, beside) in images.items():
        _colour_bar(fig, image, beside, label)
    _legend(fig, axes)
    fig.draw_without_rendering()
    for ax, panel in zip(axes, panels, strict=True):
        set_ticks(ax, panel.log, panel.ticks)
    fig.draw_without_rendering()
    for ax in axes:
        thin(ax)
    for ax, panel in zip(axes, panels, strict=True):
        if panel.names:
            from .labels import label_points

            x, y, names = zip(*panel.names, strict=True)
            label_points(ax, x, y, names)
    tag(fig)
    return Picture(fig, tuple(axes), _sentences(panels), panels)


def _sentences(panels: Sequence[Panel]) -> str:
    told: dict[str, list[str]] = {}
    for panel in panels:
        name = f"{panel.title}: " if panel.title and len(panels) > 1 else ""
        told.setdefault(panel.head, []).append(name + panel.words)
    return " ".join(f"{head}: {' '.join(words)}" for head, words in told.items())


def _keys(panel: Panel) -> tuple[object, object]:
    """What two panels must have in common to share an x or a y axis."""
    return ("x", panel.x, "x" in panel.log, bool(panel.bar) and panel.ticks), (
        "y", panel.rows or panel.y or id(panel), "y" in panel.log,
    )  # fmt: skip


def _valued(panel: Panel, keys: tuple[object, object]) -> object:
    """The axis that shows values: x where the panel has rows."""
    return keys[0] if panel.rows else keys[1]


def _label_outer(
    axes: Sequence[Axes],
    keys: Sequence[tuple[object, object]],
    columns: int,
    panels: Sequence[Panel],
) -> None:
    """Label a shared axis at the left and at the bottom only."""
    for i, (ax, (x, y)) in enumerate(zip(axes, keys, strict=True)):
        if i % columns and keys[i - 1][1] == y:
            ax.tick_params(labelleft=False)
            ax.set_ylabel("")
        if i + columns < len(axes) and keys[i + columns][0] == x:
            ax.tick_params(labelbottom=False)
            ax.set_xlabel("")


def _colour_bar(fig: Figure, image: Any, axes: Sequence[Axes], label: str) -> None:
    from matplotlib.colors import SymLogNorm

    places: list[Any] = [ax.get_subplotspec() for ax in axes]
    part = len({place.rowspan.start for place in places}) / places[0].get_gridspec().nrows
    label = textwrap.fill(
        label, max(12, int(11 * part * fig.get_figheight()))
    )  # else it is cut off
    bar = fig.colorbar(image, ax=list(axes), label=label, shrink=0.8, pad=0.015, aspect=30)
    bar.outline.set_visible(False)
    solids: Any = bar.solids
    solids.set(rasterized=False, edgecolor="face")  # a page in the dark turns its colours, too
    if isinstance(image.norm, SymLogNorm):
        top, small = float(image.norm.vmax or 1), image.norm.linthresh
        marks = [-top, -small, 0, small, top]
        bar.set_ticks(marks, labels=[f"{m:+.2g}".replace("-", "−") if m else "0" for m in marks])
        bar.minorticks_off()


def _legend(fig: Figure, axes: Sequence[Axes]) -> None:
    """One legend above the panels, as many entries a line as fit."""
    from matplotlib.textpath import TextPath

    found: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    if not found:
        return
    widest = max(TextPath((0, 0), label, size=8).get_extents().width for label in found)
    room = int(72 * fig.get_figwidth() // (widest + 40))
    fig.legend(
        list(found.values()), list(found), loc="outside upper left",
        ncols=max(1, min(room, len(found))),
        handlelength=2.2, columnspacing=1.2, borderaxespad=0.2,
    )  # fmt: skip


def small_text(fig: Figure) -> list[str]:
    """Texts of the figure that would be shown with letters of less than `SMALLEST` pixels."""
    from matplotlib.text import Text

    scale = 96 / 72 * min(1.0, WIDTH / fig.get_figwidth())
    texts = (t for t in fig.findobj(Text) if isinstance(t, Text) and t.get_visible())
    return [
        t.get_text() for t in texts
        if t.get_text().strip() and float(t.get_fontsize()) * scale < SMALLEST - 1e-6
    ]  # fmt: skip


def show(
    picture: Figure | Picture | Panel,
    *,
    caption: str,
    name: str,
    alt: str = "",
    raster: bool = False,
) -> None:
    """Display a figure in a notebook, as SVG (or PNG if `raster`), with alt text and caption; a
    script writes it to a file (`paths.figures_dir`) and prints where.

    picture: a panel, a picture of several (`draw`), or a figure of one's own. alt: what it shows,
    for a reader who does not see it; put behind the sentences that panels bring along. name:
    reference target. Raises ValueError for an empty alt text or caption, and for text too small to
    read, UserError where the file cannot be written.
    """
    import matplotlib.pyplot as plt

    if isinstance(picture, Panel):
        picture = draw(picture)
    if isinstance(picture, Picture):
        fig, alt = picture.fig, f"{picture.alt} {alt}"
    else:
        fig = picture
    if not alt.strip() or not caption.strip():
        raise ValueError(f"figure {name!r} needs alt text and a caption")
    fig.draw_without_rendering()  # labels of ticks exist from here on
    if small := small_text(fig):
        raise ValueError(
            f"figure {name!r}: {small[0]!r} would be shown with letters under {SMALLEST:g} px; "
            f"use fontsize 7 or more in a figure of at most {WIDTH} inches"
        )
    buffer = io.BytesIO()
    if raster:
        fig.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    else:
        fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(fig)
    image = buffer.getvalue()
    if shell() is None:
        _write(image, f"{name}.{'png' if raster else 'svg'}", caption)
        return
    from IPython.display import display

    said: dict[str, Any] = {"alt": " ".join(alt.split()), "caption": caption, "name": name}
    if isinstance(picture, Picture) and not raster:
        said["drawn"] = described(fig, picture.axes, picture.panels)
    data = (
        {"image/png": base64.b64encode(image).decode()}
        if raster
        else {"image/svg+xml": image.decode()}
    )
    display(data, metadata={"dataworth": said}, raw=True)
    aside({"text/markdown": caption, "text/plain": caption})


def _write(image: bytes, file: str, caption: str) -> None:
    """Keep a figure that nobody can be shown, and say where with its caption's first sentence."""
    path = paths.figures_dir() / file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror}; DATAWORTH_RESULTS names another folder."
        ) from None
    first = re.split(r"(?<=[.?!])\s", " ".join(caption.split()), maxsplit=1)[0]
    say(f"figure: {paths.shown(path)} ({first})")


def image_grid(
    rows: Mapping[str, NDArray[np.uint8]],
    *,
    columns: Sequence[str] | None = None,
    size: float = 0.55,
) -> Figure:
    """A grid of images: each row a label and uint8 (n, H, W[, 3]) images; columns may be named."""
    count = max(len(images) for images in rows.values())
    fig, axes = subplots(
        len(rows), count, figsize=(size * count + 1.6, size * len(rows) + 0.5), squeeze=False
    )
    fig.set_layout_engine("constrained", w_pad=0.01, h_pad=0.01, wspace=0.02, hspace=0.02)
    for axis_row, (label, images) in zip(axes, rows.items(), strict=True):
        for axis in axis_row:
            axis.set_axis_off()
        for axis, image in zip(axis_row, images, strict=False):
            axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis_row[0].text(
            -0.15, 0.5, label, transform=axis_row[0].transAxes, ha="right", va="center", fontsize=9
        )
    for axis, name in zip(axes[0], columns or (), strict=False):
        axis.set_title(name, fontsize=8, pad=3)
    return fig
