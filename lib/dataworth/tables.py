"""How a chapter prints a table: stated formats, words as heads, no index, no script in the page."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from dataworth import display
from dataworth.display import safe, shell

if TYPE_CHECKING:
    import pandas as pd
    from IPython.display import HTML

Format = str | Callable[[Any], str]
EMPTY = "–"
_HYPHEN = re.compile(r"(?<![\w.\-−])-(?=[\d.∞])")  # before a number, not between two
_NUMBER = re.compile(r"[<>−+]?[\d.,]+(?: ×.*|\s?%)?|−?∞|" + EMPTY)
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def show(
    frame: pd.DataFrame,
    formats: Format | Mapping[str, Format] | None = None,
    *,
    names: Mapping[str, str] | None = None,
    caption: str = "",
    sort: str | None = None,
) -> HTML:
    """The frame as an HTML table for a page; a script prints it too.

    formats: a format specification (".2f", "+.1f", ",", ".0%", "p" for p-values) or a function of
    the cell, for all columns or by column; without one a column of whole numbers is printed whole
    and other numbers with three significant digits (`text`). names: what a column or an index is
    called on the page; otherwise its own name, underscores as blanks. A named index heads the rows,
    an unnamed one of whole numbers is not shown, then the first column heads them; names of two
    levels are joined by a comma. sort: an id of letters, digits and hyphens; the reader can then
    sort the table by any head (`book/_static/tables.js`).

    A cell may also be a pair (low, high) or have `value`, `low` and `high`: an interval. All text
    is escaped. Raises ValueError for a format or a name of no column, an index of words without a
    name, and a `sort` that is no id.
    """
    from IPython.display import HTML

    if sort is not None and not sort.replace("-", "").isalnum():
        raise ValueError(f"sort {sort!r} must be of letters, digits and hyphens")
    flat, heads = _with_index(frame)
    known = list(flat.columns)
    by_column = formats if isinstance(formats, Mapping) else dict.fromkeys(known, formats)
    if odd := ({*by_column} | {*(names or {})}) - {*known}:
        raise ValueError(f"the table has no column {', '.join(sorted(map(repr, odd)))}: {known}")
    columns = []
    for place, name in enumerate(known):
        cells = list(flat.iloc[:, place])
        grouped = any(isinstance(x, Integral) and abs(int(x)) >= 10_000 for x in cells)
        columns.append(
            [text(x, by_column.get(name) or (_whole if grouped else None)) for x in cells]
        )
    titles = [(names or {}).get(name, str(name).replace("_", " ")) for name in known]
    if shell() is None:
        display.table(titles, zip(*columns, strict=True), caption or None)
    head = "".join(
        f'<th scope="col"{_number(cells) if place >= heads else ""}>{safe(title)}</th>'
        for place, (title, cells) in enumerate(zip(titles, columns, strict=True))
    )
    body = "\n".join(
        "<tr>" + "".join(_cell(x, place < heads) for place, x in enumerate(row)) + "</tr>"
        for row in zip(*columns, strict=True)
    )
    marked = f' id="{sort}" data-sortable' if sort else ""
    return HTML(
        f'<table class="dataframe dataworth-table"{marked}>'
        + (f"<caption>{safe(caption)}</caption>" if caption else "")
        + f"<thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>",
        metadata={"dataworth": {"csv": as_csv(titles, flat), "caption": caption}},
    )


def as_csv(titles: Sequence[str], frame: pd.DataFrame) -> str:
    """The numbers of a table, not rounded: a column of its frame each, under its title; an interval
    takes columns of its own."""
    columns = []
    for place, title in enumerate(titles):
        parts = [_parts(x) for x in frame.iloc[:, place]]
        names = next((list(part) for part in parts if len(part) > 1), [""])
        for name in names:
            columns.append(
                [f"{title}{name}", *(part.get(name, part.get("", "")) for part in parts)]
            )
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(zip(*columns, strict=True))
    return out.getvalue()


def _parts(value: Any) -> dict[str, Any]:
    if hasattr(value, "low") and hasattr(value, "high"):
        return {"": float(value.value), ", low": float(value.low), ", high": float(value.high)}
    if isinstance(value, tuple) and len(value) == 2:
        return {", low": value[0], ", high": value[1]}
    return {"": "" if text(value) == EMPTY else value}


def text(value: Any, form: Format | None = None) -> str:
    """A cell for a reader: a true minus sign, ∞, a dash for what is missing.

    form: as in `show`; it serves both ends of an interval.
    """
    if callable(form):
        return signed(form(value))
    if hasattr(value, "low") and hasattr(value, "high"):
        return f"{text(value.value, form)} {text((value.low, value.high), form)}"
    if isinstance(value, tuple) and len(value) == 2:
        return f"[{text(value[0], form)}, {text(value[1], form)}]"
    if isinstance(value, str):
        return signed(value)
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
        return "yes" if value else "no"
    if not isinstance(value, Real):  # None, NaT, pandas.NA; a path, a date
        return EMPTY if value is None or str(value) in ("NaT", "<NA>") else signed(str(value))
    if math.isnan(value):
        return EMPTY
    if math.isinf(value):
        return "∞" if float(value) > 0 else "−∞"
    if form == "p":
        chance = float(value)
        return "<0.001" if chance < 0.001 else format(chance, "#.2g" if chance < 0.1 else ".2f")
    if form is None:
        form = "d" if isinstance(value, Integral) else _three(float(value))
    shown = format(value, form)
    if "0.0000" in shown and not re.search("[1-9]", shown):  # no digit of it: two, or a plain zero
        shown = format(value, form.partition(".")[0] + (".2g" if value else ".0f"))
    shown = signed(shown).replace("%", "\u00a0%")
    if re.fullmatch(r"−[0.,]+(\s%)?", shown):  # no minus zero
        shown = shown[1:]
    return re.sub(r"e[+]?([-−]?)0*(\d+)$", _power, shown)


def _power(found: re.Match[str]) -> str:
    return " × 10" + (found[1] + found[2]).replace("−", "-").translate(_RAISED)


def _three(value: float) -> str:
    """The format that shows three significant digits."""
    size = abs(float(f"{value:.2e}"))
    if size and not 1e-4 <= size < 1e7:
        return ".2e"
    return f",.{max(0, 2 - math.floor(math.log10(size)))}f" if size else ".0f"


def _whole(value: Any) -> str:
    return text(value, "," if isinstance(value, Integral) else None)


def _with_index(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The frame with its index as columns where that is named, and how many columns are heads."""
    flat, index = frame.copy(deep=False), frame.index
    if flat.columns.nlevels > 1:
        flat.columns = [", ".join(str(part) for part in name if str(part)) for name in flat.columns]
    levels = list(index.names)
    if levels == [None] and flat.columns.name is not None:
        levels = [flat.columns.name]
    flat.columns.name = None
    if levels == [None] and index.inferred_type == "integer":
        return flat.reset_index(drop=True), 1
    if None in levels:
        raise ValueError(f"the index {list(index[:3])} has no name: use rename_axis")
    flat.index = index.set_names(levels)
    return flat.reset_index(), len(levels)


def signed(shown: str) -> str:
    """With a true minus sign before every number that has a hyphen there."""
    return _HYPHEN.sub("−", shown)


def _cell(shown: str, head: bool) -> str:
    if head:
        return f'<th scope="row">{safe(shown)}</th>'
    return f"<td{_number([shown])}>{safe(shown)}</td>"


def _number(cells: Sequence[str]) -> str:
    """The class of what stands over or in cells of numbers."""
    return ' class="number"' if all(map(_NUMBER.fullmatch, cells)) else ""
