"""One adapter from what studies give (estimates, curves, tables, recorded evidence) to numbers with
intervals, and one way of writing them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SIZES = ("sizes", "ratio", "real", "years", "guidance", "share", "kept", "steps", "removed")
"""Columns of recorded evidence that say where its values lie."""
MIDDLES = ("value", "means", "loss", "excess", "gain")


@dataclass(frozen=True)
class Series:
    """n numbers with intervals. at: sizes, or names of rows. low, high: NaN where there is no
    interval; value: NaN where only a range is known."""

    at: tuple[Any, ...]
    value: Array
    low: Array
    high: Array

    def map(self, change: Callable[[Array], Array]) -> Series:
        """The series of `change` (monotone, such as error to accuracy) of every number."""
        value, *ends = (np.asarray(change(x), float) for x in (self.value, self.low, self.high))
        return Series(self.at, value, np.minimum(*ends), np.maximum(*ends))

    def ends(self) -> tuple[float, float]:
        """Smallest and largest finite number, intervals included."""
        numbers = np.concatenate([self.value, self.low, self.high])
        finite = numbers[np.isfinite(numbers)]
        return (float(finite.min()), float(finite.max())) if len(finite) else (np.nan, np.nan)

    def told(self, i: int, form: str = ".3g") -> str:
        """Number `i` with its interval, for an alt text."""
        middle, low, high = self.value[i], self.low[i], self.high[i]
        if np.isnan(middle) and not np.isnan(low):
            return (
                number(low, form) if low == high else f"{number(low, form)} to {number(high, form)}"
            )
        if np.isnan(low) or np.isnan(high):
            return number(middle, form)
        return f"{number(middle, form)} [{number(low, form)}, {number(high, form)}]"


def number(value: float, form: str = ".3g") -> str:
    """A number for a reader: a true minus sign, ∞ for infinity, words for NaN. form: as for
    `format`; "n" for sizes, in full."""
    value = round(float(value), 9) + 0.0  # no -5e-16
    if np.isnan(value):
        return "not identified"
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    if form == "n":
        form = f",.{10 if value % 1 == 0 else 3}g"
    elif form == ".3g" and abs(value) >= 1000:
        form = ",.0f"
    shown = f"{value:{form}}".replace("-", "−")
    return shown if re.search("[1-9]", shown) else shown.lstrip("−+")  # no −0.00


def bare(values: Any, at: Any = ()) -> Series:
    """Numbers without an interval, at their own places unless these are given."""
    return _series(at if len(at) else values, values)


def is_estimate(source: Any) -> bool:
    """Whether it is one number: alone, with an interval, or a range of two."""
    if isinstance(source, (int, float, np.number)) or source is None:
        return True
    if isinstance(source, Mapping):
        return np.ndim(source.get("value", [])) == 0
    if isinstance(source, (tuple, list)):
        return 2 <= len(source) <= 6 and all(isinstance(x, (int, float, np.number)) for x in source)
    return np.ndim(getattr(source, "value", [])) == 0 and hasattr(source, "low")


def series(source: Any, column: str = "", at: str = "") -> Series:
    """What any of these says, as numbers with intervals.

    - a curve (`sizes`, `means`, `interval()`), or a `Series`;
    - an estimate (`value`, `low`, `high`), a number, `(value, low, high)`, a range `(low, high)`;
    - a mapping of names or sizes to those;
    - a table (a DataFrame, or a mapping of lists as in recorded evidence): the numbers of `column`
      (default: the first of value, means, ...) with `<column>_low` and `<column>_high`, or `low`
      and `high`; positions from the column `at` (default: the index, or the first of sizes, ...);
    - `(x, y)` or `(x, y, low, high)`, sequences of one length.

    Raises ValueError for anything else.
    """
    if isinstance(source, Series):
        return source
    # Of pandas by their class: a row may be called "columns", "sizes" or "value".
    if hasattr(type(source), "columns"):
        table = {name: source[name].to_numpy() for name in source.columns}
        return _table(table, column, at, tuple(source.index))
    if hasattr(type(source), "index") and hasattr(type(source), "to_numpy"):
        return _series(source.index, source.to_numpy())
    if hasattr(source, "sizes") and hasattr(source, "interval"):
        low, high = source.interval()
        return _series(source.sizes, source.means, low, high)
    if is_estimate(source):
        return _estimates([column], [source])
    if isinstance(source, Mapping):
        if any(name in source for name in (at, *SIZES)) and all(map(_flat, source.values())):
            return _table(source, column, at, ())
        return _estimates([_key(key) for key in source], list(source.values()))
    if isinstance(source, (tuple, list)) and len(source) in (2, 4):
        return _series(*source)
    raise ValueError(f"cannot draw a {type(source).__name__}: give estimates, a curve or a table")


def split(
    table: Any, by: str = "", *, at: str = "", column: str = "", name: str = "{}"
) -> dict[str, Series]:
    """Several series of a long table, one for each value of the column `by`, in order; or of a
    mapping of tables (recorded evidence), one for each. name: how its value is written, such as
    "{:,} real". Empty for None."""
    if table is None:
        return {}
    parts = table.items() if isinstance(table, Mapping) else table.groupby(by, sort=False)
    return {name.format(_key(key)): series(part, column, at) for key, part in parts}


def _key(key: Any) -> Any:
    """A JSON key as the number that it was."""
    return int(key) if isinstance(key, str) and key.isdigit() else key


def grouped(source: Any, name: str) -> dict[str, Series]:
    """Several series by name; a single one is called `name`; none if `source` is None or empty."""
    if source is None or (isinstance(source, (Mapping, tuple, list)) and not source):
        return {}
    if isinstance(source, Mapping) and not is_estimate(source):
        parts = list(source.values())
        nested = [not is_estimate(part) and not _flat(part) for part in parts]
        if all(nested):
            return {str(key): series(part) for key, part in source.items()}
    return {name: series(source)}


def _flat(part: Any) -> bool:
    """Whether it is a plain column of a table (a list of numbers) and no series."""
    if isinstance(part, np.ndarray):
        return part.ndim == 1
    return isinstance(part, (list, tuple)) and all(np.ndim(x) == 0 for x in part)


def _series(at: Any, value: Any, low: Any = None, high: Any = None) -> Series:
    middle = np.asarray(value, dtype=float).ravel()
    none = np.full(middle.shape, np.nan)
    ends = [none if x is None else np.asarray(x, dtype=float).ravel() for x in (low, high)]
    places = tuple(x.item() if isinstance(x, np.generic) else x for x in at)
    return Series(places, middle, *ends)


def _estimates(names: Sequence[Any], sources: Sequence[Any]) -> Series:
    rows = []
    for e in sources:
        if e is None:
            rows.append((np.nan,) * 3)
        elif isinstance(e, Mapping):
            rows.append((e["value"], e.get("low", np.nan), e.get("high", np.nan)))
        elif isinstance(e, (tuple, list)):
            rows.append((np.nan, *e) if len(e) == 2 else tuple(e[:3]))
        elif hasattr(e, "low"):
            rows.append((e.value, e.low, e.high))
        else:
            rows.append((e, np.nan, np.nan))
    return _series(names, *(np.array(rows, dtype=float).reshape(-1, 3).T))


def _table(table: Mapping[str, Any], column: str, at: str, index: tuple[Any, ...]) -> Series:
    column = column or next(name for name in MIDDLES if name in table)
    if column not in table:
        raise ValueError(f"no column {column!r}; there are {', '.join(map(str, table))}")
    place = at or ("" if index else next((name for name in SIZES if name in table), ""))
    middle = table[column]
    ends = [table.get(f"{column}_{end}", table.get(end)) for end in ("low", "high")]
    return _series(table[place] if place else index or range(len(middle)), middle, *ends)
