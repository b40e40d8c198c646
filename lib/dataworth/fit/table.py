"""Reading columns from pandas, polars or mappings of arrays, with one-sentence complaints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dataworth.errors import UserError

from .laws import Array


def column(data: Any, name: str, what: str) -> Any:
    """data[name] as an array.

    Raises:
        UserError: there is no such column; the sentence lists the columns that exist.
    """
    if not (hasattr(data, "columns") or isinstance(data, Mapping)):
        raise UserError(
            f"The data are a {type(data).__name__}; a pandas or polars frame or a mapping of "
            "arrays is needed."
        )
    known = [str(c) for c in (data.columns if hasattr(data, "columns") else data)]
    if name not in known:
        raise UserError(f"{what} names the column {name!r}; the data have {', '.join(known)}.")
    return np.asarray(data[name])


def labels_of(data: Any, name: str, what: str) -> Any:
    """data[name], one label a row: numbers as they are, everything else as text.

    Raises:
        UserError: there is no such column, or a label is missing.
    """
    values = column(data, name, what)
    missing = np.array([v is None or v != v for v in values.tolist()], bool)
    if missing.any():
        row = int(np.flatnonzero(missing)[0])
        raise UserError(f"Column {name!r} has no value in row {row}; {what} needs a label a row.")
    return values.astype(str) if values.dtype == object else values


def numbers(values: Any, name: str, minimum: float | None = None, strict: bool = True) -> Array:
    """Finite floats, above (or, not strict, at least) a minimum.

    Raises:
        UserError: text, nan, infinity or too small a value; the sentence names the row.
    """
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        flat = np.asarray(values, dtype=object).ravel()
        row = next((i for i, value in enumerate(flat) if not _is_number(value)), 0)
        raise UserError(
            f"Column {name!r} is not numeric: it has {str(flat[row])!r} in row {row}; numbers are "
            "needed."
        ) from error
    bad = ~np.isfinite(array)
    allowed = "a finite number"
    if minimum is not None:
        bad |= ~(array > minimum if strict else array >= minimum)
        allowed += f" {'above' if strict else 'of at least'} {minimum:g}"
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise UserError(f"Column {name!r} has {array[row]:g} in row {row}; allowed is {allowed}.")
    return array


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def duplicated(points: Array, y: Array) -> int:
    """Number of rows that repeat another row in every variable and in y."""
    rows = np.column_stack([points, y])
    return len(rows) - len(np.unique(rows, axis=0))
