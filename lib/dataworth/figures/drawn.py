"""What a figure has drawn, number by number: for its data file, and for the readers of a page, who
point at a mark, hide an arm or want a linear axis (`book/_static/figures.js`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from .series import Series

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = (
    "panel", "series", "name",
    "x", "x_low", "x_high", "y", "y_low", "y_high", "value", "value_low", "value_high",
)  # fmt: skip
"""Of a figure's data file: a row a number. `name`: of a row or a condition, where an axis has
words; `value`: what a colour shows."""

KEY = 24.0
"""Points left of the words of a legend's entry that its handle takes."""


@dataclass(frozen=True)
class Drawn:
    """n numbers that were drawn: `x` and `y` with their intervals, or `value` as a colour. key: the
    entry of the legend that stands for them. place: where their marks are, (n, 2) in data
    coordinates; None for a line without marks. told: their numbers in words, by the label of a
    panel that says what they are ("x", "y", "bar")."""

    name: str
    key: str
    artists: tuple[Artist, ...]
    names: tuple[str, ...]
    x: Series | None
    y: Series | None
    value: Series | None
    place: np.ndarray | None
    told: Mapping[str, Sequence[str]]


_noted: WeakKeyDictionary[Axes, list[Drawn]] = WeakKeyDictionary()


def note(
    ax: Axes,
    name: str,
    artists: Iterable[Artist],
    *,
    key: str = "",
    names: Sequence[Any] = (),
    x: Series | None = None,
    y: Series | None = None,
    value: Series | None = None,
    place: tuple[Any, Any] | None = None,
    told: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Say what was just drawn (`Drawn`); motifs do, wherever they draw numbers."""
    at = None if place is None else np.stack(np.broadcast_arrays(*place), 1).astype(float)
    _noted.setdefault(ax, []).append(
        Drawn(
            name, key or name, tuple(artists), tuple(map(str, names)), x, y, value, at, told or {},
        )
    )  # fmt: skip


def tag(fig: Figure) -> None:
    """Name what is drawn by its entry in the legend, for the SVG: `dw-<entry>-<number>`."""
    entries = _entries(fig)
    count = 0
    for ax in fig.axes:
        for drawn in _noted.get(ax, []):
            if drawn.key in entries:
                for artist in drawn.artists:
                    artist.set_gid(f"dw-{entries.index(drawn.key)}-{count}")
                    count += 1


def _entries(fig: Figure) -> list[str]:
    return [text.get_text() for legend in fig.legends for text in legend.get_texts()]


def described(fig: Figure, axes: Sequence[Axes], panels: Sequence[Any]) -> dict[str, Any]:
    """What was drawn in the panels of a figure that has been saved, as plain JSON.

    panels: `title`, `x`, `y`, whether its axes may be switched between a logarithmic and a linear
    one (`log`), `box` (left, top, right, bottom) and `limits` (left, right, bottom, top). legend:
    `name` and `box` (left, top, width, height) of each entry that stands for something. rows: as
    `COLUMNS`, not rounded. marks: row, x and y, panel, entry of the legend, lines of words. All
    places are in points from the upper left corner, as in the SVG.
    """
    height = 72 * fig.get_figheight()
    fig.set_dpi(72)  # that of the SVG, for which the layout was made last

    def points(at: Any) -> Any:
        return np.asarray(at, float) * [1, -1] + [0, height]

    about, rows, marks = [], list[list[Any]](), list[list[Any]]()
    for number, (ax, panel) in enumerate(zip(axes, panels, strict=True)):
        left, bottom, right, top = ax.get_window_extent().extents
        corners = points([[left, top], [right, bottom]]).ravel()
        log = [side for side in "xy" if getattr(ax, f"get_{side}scale")() == "log"]
        about.append(
            {
                "title": panel.title, "x": panel.x, "y": panel.y, "bar": panel.bar,
                "log": "" if panel.names else "".join(log), "box": _short(corners),
                "limits": [float(v) for v in (*ax.get_xlim(), *ax.get_ylim())],
            }
        )  # fmt: skip
        for drawn in _noted.get(ax, []):
            first = len(rows)
            rows += _rows(panel.title or str(number + 1), drawn)
            if drawn.place is not None:
                spots = points(ax.transData.transform(drawn.place))
                marks += [
                    [first + i, *_short(spot), number, drawn.key, _words(drawn, i, panel)]
                    for i, spot in enumerate(spots)
                    if np.isfinite(spot).all()
                ]
    keys = {drawn.key for ax in axes for drawn in _noted.get(ax, [])}
    legend = []
    for found in fig.legends:
        for text in found.get_texts():
            left, bottom, right, top = text.get_window_extent().extents
            corners = points([[left, top], [right, bottom]])
            box = [corners[0, 0] - KEY, corners[0, 1] - 2, *(corners[1] - corners[0] + [KEY, 4])]
            name = text.get_text()
            legend.append({"name": name, "box": _short(box)} if name in keys else None)
    return {
        "panels": about, "legend": legend, "columns": list(COLUMNS), "rows": rows, "marks": marks,
    }  # fmt: skip


def _words(drawn: Drawn, i: int, panel: Any) -> list[str]:
    """Name of a number, then what it is, a line each."""
    named = [drawn.names[i]] if drawn.names and drawn.names[i] else []
    return named + [f"{getattr(panel, side)}: {told[i]}" for side, told in drawn.told.items()]


def _rows(panel: str, drawn: Drawn) -> list[list[Any]]:
    found = (drawn.x, drawn.y, drawn.value)
    count = max((len(one.value) for one in found if one is not None), default=0)
    none = np.full(count, np.nan)
    columns = [
        column
        for one in found
        for column in ([none] * 3 if one is None else [one.value, one.low, one.high])
    ]
    names = drawn.names or ("",) * count
    return [
        [panel, drawn.name, names[i], *(_plain(column[i]) for column in columns)]
        for i in range(count)
    ]


def _plain(value: float) -> float | str | None:
    """A number as JSON has it: nothing for NaN, a word for infinity."""
    if np.isnan(value):
        return None
    return float(value) if np.isfinite(value) else str(float(value))


def _short(values: Any) -> list[float]:
    return [round(float(v), 2) for v in values]
