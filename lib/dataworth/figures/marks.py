"""Marks that motifs share: a value with its interval, cut off at the ends of the panel with an
arrow; where values end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .drawn import note
from .series import Array, Series, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Span = tuple[float, float]
RECORDED = "recorded larger run"


def recorded_name(group: str = "", size: str = "") -> str:
    """Name of the recorded run in legends and alt texts; of one group, with the run's size."""
    return RECORDED + (f", {group}" if group else "") + (f" ({size})" if size else "")


def cut(found: Iterable[Series], limits: Span | None, log: bool) -> Span | None:
    """Where a panel ends if some number must be cut off there (infinite, or beyond `limits`): the
    limits, else a little beyond the finite numbers. None if all numbers are finite."""
    if limits:
        return limits
    every = list(found)
    numbers = np.concatenate([[], *(np.concatenate([s.value, s.low, s.high]) for s in every)])
    hidden = np.isinf(numbers) | (numbers <= 0 if log else False)
    if not hidden.any():
        return None
    seen = numbers[np.isfinite(numbers) & (numbers > 0 if log else True)]
    if not len(seen):
        return (0.1, 10.0) if log else (-1.0, 1.0)
    low, high = float(seen.min()), float(seen.max())
    if log:
        return low / 1.6, high * 1.6
    pad = 0.15 * (high - low or abs(high) or 1)
    return low - pad, high + pad


def marks(
    ax: Axes,
    place: Array,
    found: Series,
    *,
    colour: str,
    marker: str,
    label: str | None = None,
    flat: bool = False,
    bold: bool = False,
    hollow: bool = False,
    line: str = "none",
    span: Span | None = None,
    name: str = "this run",
    names: Sequence[str] = (),
    form: str = ".3g",
    whole: Series | None = None,
) -> None:
    """Draw values with their intervals at `place` (n,), upright or, if `flat`, lying. What lies
    beyond `span` ends there in an arrow. A range without a value is a bar between two ticks.

    name: of what has no label. names: of the places, where they are words. form: of numbers in
    words. whole: the numbers with the intervals that are drawn otherwise.
    """
    before = len(ax.lines)
    low_edge, high_edge = span or (-np.inf, np.inf)
    value, low, high = found.value, found.low, found.high
    inside = (value >= low_edge) & (value <= high_edge)
    size, width = (6.0, 2.4) if bold else (4.6, 1.2)
    style: dict[str, Any] = {
        "color": colour, "marker": marker, "ms": size, "mfc": "white" if hollow else colour,
        "lw": width if line != "none" else 0, "ls": line if line != "none" else "none",
        "zorder": 4 if bold else 3,
    }  # fmt: skip
    shown = np.where(inside, value, np.nan)
    joined = np.clip(value, low_edge, high_edge) if line != "none" else shown
    if line != "none":
        ax.plot(*_xy(place, joined, flat), color=colour, lw=width, ls=line, zorder=style["zorder"])
        style |= {"lw": 0, "ls": "none"}
    ax.plot(*_xy(place, shown, flat), **style)
    if label:
        ax.plot(
            [], [], **{**style, "lw": width, "ls": line if line != "none" else "-"}, label=label
        )
    known = ~np.isnan(low) & ~np.isnan(high)
    for at, a, b, middle in zip(place[known], low[known], high[known], value[known], strict=True):
        ends = np.clip([a, b], low_edge, high_edge)
        ax.plot(
            *_xy(np.full(2, at), ends, flat), "-", color=colour, lw=width, solid_capstyle="butt",
            marker="|" if np.isnan(middle) and flat else "_" if np.isnan(middle) else None,
            zorder=style["zorder"],
        )  # fmt: skip
    arrows = ((low < low_edge, low_edge, "<", "v"), (high > high_edge, high_edge, ">", "^"))
    for beyond, edge, lying, upright in arrows:
        at = place[beyond | ((value < edge) if lying == "<" else (value > edge))]
        if len(at):
            ax.plot(
                *_xy(at, np.full(len(at), edge), flat), lying if flat else upright, color=colour,
                ms=6, clip_on=False, zorder=5,
            )  # fmt: skip
    said, none = whole or found, np.full(len(value), np.nan)
    with np.errstate(invalid="ignore"):  # from -inf to inf
        middle = np.where(np.isnan(value), (low + high) / 2, value)
    at = None if flat or names else Series(found.at, np.asarray(found.at, float), none, none)
    told = {"x" if flat else "y": [said.told(i, form) for i in range(len(value))]}
    if at is not None:
        told = {"x": [number(v, "n") for v in found.at], **told}
    note(
        ax, label or name, ax.lines[before:], names=names, x=said if flat else at,
        y=None if flat else said, place=_xy(place, np.clip(middle, low_edge, high_edge), flat),
        told=told,
    )  # fmt: skip


def _xy(place: Array, values: Array, flat: bool) -> tuple[Array, Array]:
    return (values, place) if flat else (place, values)
