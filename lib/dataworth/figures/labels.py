"""Names beside points: never on each other, on a point, or nearer to another point than to their
own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

Array = NDArray[np.float64]
SIDES = [(1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1), (0, -1)]


def label_points(
    ax: Axes, x: ArrayLike, y: ArrayLike, names: Sequence[str], *, size: float = 8
) -> list[Annotation]:
    """Write each name beside its point (data coordinates, n of each) and give the texts.

    The nearest free place is taken: inside the axes, off every point drawn in them and off other
    names. A name that finds none beside its point stands further off, joined by a thin line. Call
    it last: the layout of the figure is fixed by it, since places hold for this layout only.
    """
    fig: Any = ax.figure
    fig.draw_without_rendering()
    fig.set_layout_engine("none")
    own = ax.transData.transform(np.column_stack([np.asarray(x, float), np.asarray(y, float)]))
    points, bars = np.concatenate([own, _drawn(ax)]), _bars(ax)
    taken: list[Array] = [_box(text) for text in ax.texts if text.get_text()]
    frame = ax.get_window_extent()
    unit = fig.dpi / 72
    written = []
    for i in np.argsort(-own[:, 1], kind="stable"):
        text = ax.annotate(
            str(names[i]), (np.asarray(x, float)[i], np.asarray(y, float)[i]), xytext=(0, 0),
            textcoords="offset points", fontsize=size, ha="center", va="center", zorder=6,
            annotation_clip=False,
        )  # fmt: skip
        half = np.diff(_box(text).reshape(2, 2), axis=0)[0] / 2
        centre, far = _place(own[i], half, points, bars, taken, frame, unit)
        text.xyann = tuple((centre - own[i]) / unit)
        if far:
            line = {"arrowstyle": "-", "lw": 0.6, "color": "#888888", "shrinkA": 0, "shrinkB": 3}
            text.remove()
            text = ax.annotate(
                str(names[i]), text.xy, xytext=text.xyann, textcoords="offset points", zorder=6,
                fontsize=size, ha="center", va="center", arrowprops=line, annotation_clip=False,
            )  # fmt: skip
        taken.append(np.concatenate([centre - half, centre + half]))
        written.append(text)
    return written


def _drawn(ax: Axes) -> Array:
    """Where marks stand in the axes, in pixels, (m, 2)."""
    found = [np.empty((0, 2))]
    for line in ax.lines:
        if (
            line.get_marker() not in (None, "", "None", " ")
            and line.get_transform() == ax.transData
        ):
            found.append(ax.transData.transform(line.get_xydata()))
    for points in ax.collections:
        offsets: Array = np.ma.filled(np.ma.asarray(points.get_offsets(), dtype=float), np.nan)
        if len(offsets) > 1 or np.any(offsets):
            found.append(ax.transData.transform(offsets))
    every = np.concatenate(found)
    return every[np.isfinite(every).all(1)]


def _bars(ax: Axes) -> Array:
    """Points along the error bars in the axes, in pixels, (m, 2)."""
    from matplotlib.collections import LineCollection

    found = [np.empty((0, 2))]
    for bars in ax.collections:
        if isinstance(bars, LineCollection):
            for part in filter(len, bars.get_segments()):
                ends = ax.transData.transform(np.asarray(part)[[0, -1]])
                found.append(ends[0] + np.linspace(0, 1, 12)[:, None] * (ends[1] - ends[0]))
    every = np.concatenate(found)
    return every[np.isfinite(every).all(1)]


def _place(
    own: Array, half: Array, points: Array, bars: Array, taken: Sequence[Array], frame: Any,
    unit: float,
) -> tuple[Array, bool]:  # fmt: skip
    """Centre of the text, and whether it needs a line to its point: the nearest free place off
    error bars, if there is one."""
    best, far, least = own, True, np.inf
    for gap in (5, 8, 12, 18, 26, 36, 48, 62, 80, 100):
        for side in SIDES:
            centre = own + np.array(side) * (half + gap * unit * (0.6 if all(side) else 1.0))
            box = np.concatenate([centre - half, centre + half])
            over = sum(_overlap(box, other, unit) for other in taken)
            over += 100 * float((_distance(box, points) < 3 * unit).sum())
            over += float(np.maximum([frame.x0 - box[0], frame.y0 - box[1]], 0).sum())
            over += float(np.maximum([box[2] - frame.x1, box[3] - frame.y1], 0).sum())
            nearest = _distance(box, points).min() >= _distance(box, own[None])[0] - 1e-6
            joined = gap >= 12 or not nearest
            cost = gap + 1000 * over + 3 * min(4, (_distance(box, bars) < unit).sum()) + 12 * joined
            if cost < least:
                best, far, least = centre, joined, cost
    return best, far


def _box(text: Any) -> Array:
    from matplotlib.text import Text

    box = Text.get_window_extent(text)  # without the line to its point
    return np.array([box.x0, box.y0, box.x1, box.y1])


def _overlap(a: Array, b: Array, unit: float) -> float:
    """Common area of two boxes (px²), with a point of air between them."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]) + unit
    return float(np.prod(np.maximum(sides, 0)))


def _distance(box: Array, points: Array) -> Array:
    """From a box to points, in pixels."""
    outside = np.maximum(np.maximum(box[:2] - points, points - box[2:]), 0)
    return np.hypot(outside[:, 0], outside[:, 1])
