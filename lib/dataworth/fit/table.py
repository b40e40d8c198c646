"""Columns from pandas, polars or mappings of arrays, with one-sentence complaints; and records of
numbers as JSON knows them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from dataworth.arrays import Array
from dataworth.errors import UserError, quoted

LABEL = 200  # characters of a label, at most


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
        have = ", ".join(known)
        have = have if len(have) <= 300 else f"{len(known)} others"
        raise UserError(f"{what} names the column {quoted(name)}; the data have {have}.")
    return np.asarray(data[name])


def nth(row: int) -> str:
    """What the row at an index is called: people count from 1."""
    return f"row {row + 1}"


def labels_of(data: Any, name: str, what: str) -> Any:
    """data[name], one label a row: numbers as they are, everything else as text.

    Raises:
        UserError: there is no such column, or a label is missing.
    """
    values = column(data, name, what)
    found = values.tolist()
    missing = [v is None or v != v or (isinstance(v, str) and not v.strip()) for v in found]
    if any(missing):
        raise UserError(
            f"Column {name!r} has no value in {nth(missing.index(True))}; {what} needs a label a "
            "row."
        )
    if values.dtype != object:
        return values
    labels = list(map(str, found))
    long = [len(label) > LABEL for label in labels]
    if any(long):
        raise UserError(
            f"Column {name!r} has a label of {len(labels[long.index(True)])} characters in "
            f"{nth(long.index(True))}; {what} allows {LABEL}."
        )
    return np.array(labels)


def numbers(
    values: Any,
    name: str,
    minimum: float | None = None,
    strict: bool = True,
    place: Callable[[int], str] = nth,
) -> Array:
    """Finite floats, above (or, not strict, at least) a minimum. place: what a row is called.

    Raises:
        UserError: text, nan, infinity or too small a value; the sentence names the row.
    """
    given = np.asarray(values)
    if given.dtype.kind not in "biuf":  # text, objects; dates and complex numbers would be cast
        flat = given.ravel().tolist() if given.dtype.kind in "OUS" else [given.dtype.name]
        row = next((i for i, value in enumerate(flat) if not _is_number(value)), None)
        if row is not None:
            raise UserError(
                f"Column {name!r} is not numeric: it has {quoted(flat[row])} in {place(row)}; "
                "numbers are needed."
            )
    array = np.asarray(given, dtype=float)
    bad = ~np.isfinite(array)
    allowed = "a finite number"
    if minimum is not None:
        bad |= ~(array > minimum if strict else array >= minimum)
        allowed += f" {'above' if strict else 'of at least'} {minimum:g}"
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise UserError(
            f"Column {name!r} has {array[row]:g} in {place(row)}; allowed is {allowed}."
        )
    return array


def _is_number(value: Any) -> bool:
    if isinstance(value, str) and "_" in value:  # Python's own: 1_000
        return False
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def points(x: Any, names: Sequence[str], may_be_zero: Collection[str] = ()) -> Array:
    """x as (m,d): a number, a sequence, a mapping of variables, a frame or an (m,d) array.

    Raises:
        UserError: a wrong shape, no such column, or a value that is not finite and positive.
    """
    if isinstance(x, Mapping) or hasattr(x, "columns"):
        given = [np.atleast_1d(column(x, v, "x")) for v in names]
        array = np.stack(np.broadcast_arrays(*given), -1)
    else:
        array = np.asarray(x)
        if len(names) == 1:
            array = array.reshape(-1, 1)
        if array.shape[-1:] != (len(names),):
            raise UserError(
                f"x has shape {array.shape}; the last axis must be ({', '.join(names)})."
            )
        array = array.reshape(-1, len(names))
    columns = [numbers(array[:, j], v, 0.0, v not in may_be_zero) for j, v in enumerate(names)]
    return np.stack(columns, -1)


def duplicated(points: Array, y: Array) -> int:
    """Number of rows that repeat another row in every variable and in y."""
    rows = np.column_stack([points, y])
    return len(rows) - len(np.unique(rows, axis=0))


def finite(value: Any) -> Any:
    """Any record as JSON knows it: arrays and tuples as lists, null for infinity and NaN."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
