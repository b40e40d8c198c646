"""Labelled estimates with their intervals as rows; parts of a whole as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import COLOURS, GUIDE, Panel, Roles, looks
from .drawn import note
from .marks import Span, cut, marks, recorded_name
from .series import Series, bare, grouped, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame


def forest(
    groups: Any,
    label: str,
    *,
    title: str = "",
    rows: Sequence[Any] | Mapping[Any, str] | None = None,
    reference: float | None = None,
    recorded: Any = None,
    size: str = "",
    published: Any = None,
    limits: Span | None = None,
    log: bool = False,
    form: str = ".3g",
    roles: Roles = None,
) -> Panel:
    """Estimates as rows, a mark with its interval each.

    groups: estimates by row (anything that `series` takes), or several such by group: one colour
    and marker a group, side by side in each row. label: of the values' axis. rows: which rows, in
    which order, or names for them; default: all. reference: a dotted line (no difference).
    recorded: the same of the recorded run, by row or by group and row; drawn first and bold; size:
    of that run ("20,480 images"). published: numbers or (low, high) by row, or several by source.
    limits: where longer intervals are cut off; infinite ends always are. form: of numbers in the
    alt text. roles: of the groups, where their names are none (`figures.COLOURS`).
    """
    own = grouped(groups, "this run")
    past = grouped(recorded, next(iter(own)) if len(own) == 1 else "")
    known = grouped(published, "published")
    every = dict.fromkeys(row for s in (*own.values(), *known.values()) for row in s.at)
    names = {row: str(row) for row in every}
    if rows is not None:
        names = dict(rows) if isinstance(rows, Mapping) else {row: str(row) for row in rows}
    styles = looks(list(own), roles)
    bars: list[tuple[Series, dict[str, Any]]] = []
    for group, found in own.items():
        colour, marker = styles[group]
        if group in past:
            kept = COLOURS["recorded"] if group == "this run" else colour
            text = recorded_name(group if len(own) > 1 else "", size)
            bars.append(
                (past[group], {"colour": kept, "marker": marker, "bold": True, "label": text})
            )
        bars.append(
            (found, {"colour": colour, "marker": marker, "label": group, "hollow": bool(past)})
        )
    for place, (source, found) in enumerate(known.items()):
        bars.append(
            (found, {"colour": COLOURS["published"], "marker": "x+12"[place % 4], "label": source})
        )
    if len(bars) == 1:
        bars[0][1].update(label=None, name=bars[0][1]["label"])  # one needs no legend
    most = _most(names, bars)

    def paint(ax: Axes, span: Span | None) -> None:
        if log:
            ax.set_xscale("log")
        if reference is not None:
            ax.axvline(reference, color=GUIDE, lw=1, ls=":")
        used = dict.fromkeys(names, 0)
        for found, how in bars:
            at = [i for i, row in enumerate(found.at) if row in names]
            place = np.zeros(len(at))
            for j, row in enumerate(found.at[i] for i in at):
                beside = sum(row in other.at for other, _ in bars)
                step = (used[row] - (beside - 1) / 2) * 0.72 / max(most, 2)
                place[j] = list(names).index(row) + step
                used[row] += 1
            part = Series(
                tuple(found.at[i] for i in at), found.value[at], found.low[at], found.high[at]
            )
            row_names = [names[row] for row in part.at]
            marks(ax, place, part, flat=True, span=span, names=row_names, form=form, **how)
        if span:
            ax.set_xlim(span)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_yticks(range(len(names)), list(names.values()))
        ax.grid(axis="y", visible=False)
        for border in range(1, len(names)):
            ax.axhline(border - 0.5, color="#EEEEEE", lw=0.8, zorder=0)

    few = len(bars) * len(names) <= 24
    told = [
        (f"{how['label']}: " if how["label"] else "")
        + ", ".join(
            f"{names[row]} "
            + (found.told(i, form) if few or np.isnan(value) else number(value, form))
            for i, (row, value) in enumerate(zip(found.at, found.value, strict=True))
            if row in names
        )
        for found, how in bars
    ]
    return Panel(
        paint, "; ".join(told) + ".", head=label, x=label, title=title, rows=tuple(names.values()),
        span=cut((found for found, _ in bars), limits, log), log="x" if log else "",
        height=0.7 + len(names) * max(0.24, 0.1 + 0.13 * most),
    )  # fmt: skip


def _most(names: Mapping[Any, str], bars: Sequence[tuple[Series, Any]]) -> int:
    """How many marks stand in the fullest row."""
    return max((sum(row in found.at for found, _ in bars) for row in names), default=1)


def stack(
    table: DataFrame, label: str, *, title: str = "", roles: Roles = None,
    rest: str = "",
) -> Panel:  # fmt: skip
    """Parts of a whole as stacked bars: one row for each row of `table`, one colour a column. rest:
    name of what lacks to 100, hatched."""
    styles = looks(list(table.columns), roles)
    names = tuple(str(row) for row in table.index)

    def paint(ax: Axes, span: Span | None) -> None:
        place, left = np.arange(len(table)), np.zeros(len(table))
        for column, (colour, _) in styles.items():
            size = table[column].to_numpy(dtype=float)
            drawn = ax.barh(
                place, size, left=left, color=colour, alpha=0.8, label=column, height=0.72
            )
            note(
                ax, str(column), drawn.patches, names=names, x=bare(size),
                place=(left + np.nan_to_num(size) / 2, place),
                told={"x": [number(v) for v in size]},
            )  # fmt: skip
            left += np.nan_to_num(size)
        if rest:
            lack = np.where(left < 98, 100 - left, 0)
            ax.barh(
                place,
                lack,
                left=left,
                color="white",
                edgecolor=GUIDE,
                hatch="///",
                height=0.72,
                label=rest,
            )
        ax.set_yticks(place, names)
        ax.set_ylim(len(table) - 0.5, -0.5)
        ax.grid(axis="y", visible=False)

    most = table.idxmax(axis=1)
    largest = "; ".join(
        f"{column} is the largest part of {', '.join(map(str, table.index[most == column]))}"
        for column in table.columns
        if (most == column).any()
    )
    return Panel(
        paint, largest + ".", head=f"Stacked bars, {label}", x=label, title=title, rows=names,
        height=0.8 + 0.24 * len(table),
    )  # fmt: skip
