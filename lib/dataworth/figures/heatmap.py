"""Heat maps that know intervals: pale where the interval holds zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dataworth.stats import grid

from .base import Panel
from .drawn import note
from .series import bare, number, series

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def heatmap(
    cells: Any,
    label: str,
    *,
    rows: Sequence[Any] | None = None,
    columns: Sequence[Any] | None = None,
    x: str = "",
    y: str = "",
    title: str = "",
    better: str = "up",
    top: float | None = None,
    form: str = "",
    least: float = 0.0,
    pale: bool = False,
) -> Panel:
    """Numbers as colours and text, rows by columns.

    cells: a table of estimates (a list of rows), a DataFrame, an array, or `(values, clear)` as
    `stats.grid` gives, `clear` where the interval excludes zero; other cells are pale. NaN: empty.
    label: what the colour means, with its unit; panels of one picture with the same label have one
    colour bar. better: "up" (blue above zero), "down" (red above zero), or "" for amounts from zero
    on. top: end of the colours, logarithmic from its tenth on (default: the largest number).
    least: smaller amounts are not written. pale: all cells are, for numbers without an interval
    beside such that have one.
    """
    form = form or ("+.2f" if better else ".2f")
    values, clear, row_names, column_names = _cells(cells, rows, columns)
    end = top or float(np.nanmax(np.abs(values)))
    least_value = float(np.nanmin(values))
    low = (
        least_value if least_value > end / 2 else 0.0
    )  # amounts that differ little: from the least
    sure = np.full(values.shape, not pale) if clear is None else clear
    whole = bare(values.ravel())
    if not (hasattr(cells, "columns") or isinstance(cells, tuple)) and hasattr(cells[0][0], "low"):
        whole = series(dict(enumerate(e for row in cells for e in row)))

    def paint(ax: Axes, span: Any) -> Any:
        import seaborn as sns
        from matplotlib.colors import Normalize, SymLogNorm

        norm = (
            SymLogNorm(linthresh=end / 10, vmin=-end, vmax=end, base=10)
            if better
            else Normalize(low, end)
        )
        text = np.vectorize(lambda v: "" if np.isnan(v) or abs(v) < least else number(v, form))(
            values
        )
        sns.heatmap(
            values, annot=text, fmt="", cmap={"up": "RdBu", "down": "RdBu_r"}.get(better, "Blues"),
            norm=norm, cbar=False, ax=ax, linewidths=0.6, xticklabels=False, yticklabels=False,
            annot_kws={"fontsize": 7.5},
        )  # fmt: skip
        image: Any = ax.collections[0]
        image.set_alpha(np.where(sure, 1.0, 0.3))
        for written, certain in zip(ax.texts, sure[~np.isnan(values)], strict=True):
            if not certain:
                written.set_color("#333333")
        long = max(map(len, column_names), default=0) > 3
        ax.set_xticks(np.arange(values.shape[1]) + 0.5, column_names, rotation=35 if long else 0,
                      ha="right" if long else "center", rotation_mode="anchor")  # fmt: skip
        ax.set_yticks(np.arange(values.shape[0]) + 0.5, row_names, rotation=0)
        down, across = np.indices(values.shape) + 0.5
        across[np.isnan(values)] = np.nan
        named = [f"{row}, {column}" for row in row_names for column in column_names]
        note(
            ax, label, [], names=named, value=whole,
            place=(across.ravel(), down.ravel()),
            told={"bar": [whole.told(i, form) for i in range(values.size)]},
        )  # fmt: skip
        ax.tick_params(length=0)
        ax.grid(False)
        for side in ax.spines.values():
            side.set_visible(False)
        return image

    at = np.unravel_index(np.nanargmax(np.abs(values)), values.shape)
    words = f"the {'largest change' if better else 'largest'} is "
    words += f"{number(values[at], form)} ({row_names[at[0]]}, {column_names[at[1]]})"
    if clear is not None:
        words += f"; {int(clear.sum())} of {int((~np.isnan(values)).sum())} intervals exclude zero"
    return Panel(
        paint, words + ".", head=f"Heat map of {label}", x=x, y=y, title=title, bar=label,
        rows=(*row_names, *column_names),
        height=1.2 + 0.27 * len(row_names), ticks=tuple(hash(c) for c in column_names),
    )  # fmt: skip


def _cells(
    cells: Any, rows: Sequence[Any] | None, columns: Sequence[Any] | None
) -> tuple[Any, Any, list[str], list[str]]:
    """Values, where the interval excludes zero (None if unknown), and names."""
    clear = None
    if hasattr(cells, "columns"):
        rows, columns = rows or list(cells.index), columns or list(cells.columns)
        values = cells.to_numpy(dtype=float)
    elif isinstance(cells, tuple):
        values, clear = np.asarray(cells[0], dtype=float), np.asarray(cells[1], dtype=bool)
    elif hasattr(cells[0][0], "low"):
        values, clear = grid(cells)
    else:
        values = np.asarray(cells, dtype=float)
    names = [
        [str(name) for name in (given if given is not None else range(count))]
        for given, count in zip((rows, columns), values.shape, strict=True)
    ]
    return values, clear, *names
