"""Ticks: plain numbers on logarithmic axes, and no label that touches another."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plain_ticks(axis: Any, at: ArrayLike | None = None) -> None:
    """Label a log axis (`ax.xaxis`, `ax.yaxis`) with plain numbers: `at`, or 1, 2, 5, 10, ..."""
    from matplotlib import ticker

    if at is None:
        axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    else:
        axis.set_major_locator(ticker.FixedLocator(np.asarray(at, dtype=float).tolist()))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_locator(ticker.NullLocator())


def set_ticks(ax: Axes, log: str, at: Sequence[float]) -> None:
    """Plain numbers on logarithmic axes: on x `at` the data's sizes, at round ones else."""
    if "x" in log:
        plain_ticks(ax.xaxis, at or _round(ax.get_xlim()))
    if "y" in log:
        plain_ticks(ax.yaxis, _round(ax.get_ylim()))


def _round(limits: tuple[float, float]) -> Sequence[float]:
    """Round numbers between the limits of a log axis: few, but at least three if possible."""
    from matplotlib.ticker import MaxNLocator

    low, high = sorted(limits)
    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        at = np.outer(decades, steps).ravel()
        at = at[(at >= low * 0.999) & (at <= high * 1.001)]
        if len(at) >= 3:
            return list(at)
    return [float(v) for v in MaxNLocator(4).tick_values(low, high) if low <= v <= high and v > 0]


def thin(ax: Axes) -> None:
    """Drop tick labels that would touch the one before, first those that have neighbours."""
    for axis, side in ((ax.xaxis, 0), (ax.yaxis, 1)):
        labels = [t for t in axis.get_ticklabels() if t.get_text() and t.get_visible()]
        boxes = [(t, t.get_window_extent()) for t in labels]
        boxes = [(t, b) for t, b in boxes if b.width > 0 and not t.get_rotation()]
        if len(boxes) < 2 or not _crowded(boxes, side):
            continue
        kept: list[Any] = []
        for text, box in sorted(boxes, key=lambda pair: pair[1].min[side]):
            if not kept or box.min[side] >= kept[-1][1].max[side] + 3:
                kept.append((text, box))
        ends = axis.get_ticklocs()
        names = {t.get_text() for t, _ in kept}
        texts = [t.get_text() for t in axis.get_ticklabels()]
        axis.set_ticks(list(ends), labels=[name if name in names else "" for name in texts])


def _crowded(boxes: Sequence[Any], side: int) -> bool:
    order = sorted((box for _, box in boxes), key=lambda box: box.min[side])
    return any(b.min[side] < a.max[side] + 3 for a, b in itertools.pairwise(order))
