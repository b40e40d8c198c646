"""Tables in formats that know types: JSON, JSON lines, Parquet, Excel."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from dataworth.errors import quoted, short

from .source import Refusal, Source, table
from .table import nth


def from_json(text: str, refuse: Refusal) -> Source:
    def one_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"an object has the name {quoted(twice)} twice")
        return found

    def loads(part: str) -> Any:
        return json.loads(part, object_pairs_hook=one_each)

    notes: list[str] = []
    try:
        records = _records(loads(text), notes)
        places = [nth(i) for i in range(len(records))]
    except RecursionError:
        refuse("its JSON is nested too deep")
    except json.JSONDecodeError as whole:
        lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
        try:
            loads(lines[0][1])
        except (ValueError, RecursionError):
            refuse(f"it is not JSON: {whole}")
        records, places = [], []
        for number, line in lines:
            try:
                record = loads(line)
            except (ValueError, RecursionError) as error:
                refuse(f"line {number} of its JSON lines: {error}")
            if not isinstance(record, dict):
                refuse(f"line {number} of its JSON lines is no object {{...}}")
            records.append(record)
            places.append(f"row {len(records)} (line {number})")
    except ValueError as error:
        refuse(error)
    if not records:
        refuse("it has no rows")
    flat = [dict(_flat(record)) for record in records]
    names = dict.fromkeys(name for record in flat for name in record)
    rows = [[record.get(name) for name in names] for record in flat]
    return Source(table(list(names), rows, refuse), places, notes=notes)


def _records(found: Any, notes: list[str]) -> list[dict[str, Any]]:
    """The rows in any of the forms in which tables are written as JSON.

    Raises:
        ValueError: it is none of them.
    """
    if isinstance(found, list):
        if not all(isinstance(row, dict) for row in found):
            raise ValueError("a list in JSON must hold one object {...} a run")
        return found
    values = list(found.values())
    if isinstance(found.get("columns"), list) and isinstance(found.get("data"), list):
        return [dict(zip(map(str, found["columns"]), row, strict=True)) for row in found["data"]]
    of_rows = [
        name
        for name, value in found.items()
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value)
    ]
    if len(of_rows) == 1:
        if len(found) > 1:
            notes.append(f"The rows are those of {quoted(of_rows[0])}.")
        rows: list[dict[str, Any]] = found[of_rows[0]]
        return rows
    if values and all(isinstance(value, list) for value in values):
        if len({len(value) for value in values}) > 1:
            raise ValueError("its lists, one a column, have different lengths")
        return [dict(zip(found, row, strict=True)) for row in zip(*values, strict=True)]
    if values and all(isinstance(value, dict) for value in values):
        keys = list(values[0])
        if all(key.isdigit() for key in keys):  # columns, as pandas writes them
            if any(list(value) != keys for value in values):
                raise ValueError("its columns have different rows")
            return [{name: found[name][key] for name in found} for key in keys]
        return values
    if values and not any(isinstance(value, dict | list) for value in values):
        return [found]
    raise ValueError(
        "its JSON is no table: a list of objects, one a run, or an object of lists, one a column"
    )


def _flat(record: dict[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Names and cells of a record; a record inside gives names such as config.lr."""
    for name, value in record.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{within}{name}.")
        else:
            yield within + name, _typed(value)


def _typed(value: Any) -> Any:
    """A cell of a format that has types."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        try:
            return float(value)
        except OverflowError:
            return float("inf")
    return " ".join(value.split()) if isinstance(value, str) else short(str(value))


# ---- formats that packages read


def from_parquet(data: bytes, refuse: Refusal) -> Source:
    import pandas as pd

    try:
        frame = pd.read_parquet(io.BytesIO(data))
        if any(name is not None for name in frame.index.names):
            frame = frame.reset_index()
    except ImportError:
        refuse("Parquet needs the package pyarrow: pip install pyarrow, or save the table as CSV")
    except Exception as error:  # what a foreign reader raises at damaged bytes can be anything
        refuse(
            f"its Parquet cannot be read ({str(error).splitlines()[0] if str(error) else error!r})"
        )
    flat = [dict(_flat({str(k): _scalar(v) for k, v in row.items()})) for row in _dicts(frame)]
    names = dict.fromkeys(name for record in flat for name in record)
    rows = [[record.get(name) for name in names] for record in flat]
    return Source(table(list(names), rows, refuse), [nth(i) for i in range(len(rows))])


def from_excel(data: bytes, refuse: Refusal) -> Source:
    import pandas as pd

    if find_spec("openpyxl") is None:
        refuse(
            "Excel needs the package openpyxl, which is not installed here: pip install openpyxl, "
            "or save the sheet as CSV"
        )
    try:
        frame = pd.read_excel(io.BytesIO(data), header=None, dtype=object)
    except Exception as error:  # as above
        refuse(
            f"its workbook cannot be read ({str(error).splitlines()[0] if str(error) else error!r})"
        )
    rows = []
    for place, cells in enumerate(frame.itertuples(index=False), 1):
        row = [_typed(_scalar(value)) for value in cells]
        if any(cell is not None for cell in row) and not str(row[0]).startswith("#"):
            rows.append((place, row))
    if not rows:
        refuse("its first sheet is empty")
    names = ["" if cell is None else str(cell) for cell in rows[0][1]]
    places = [f"row {i} (row {place} of the sheet)" for i, (place, _) in enumerate(rows[1:], 1)]
    return Source(table(names, [row for _, row in rows[1:]], refuse), places)


def _dicts(frame: Any) -> list[dict[Any, Any]]:
    found: list[dict[Any, Any]] = frame.to_dict("records")
    return found


def _scalar(value: Any) -> Any:
    """A cell of a frame as Python's own."""
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, bool | int | float | str | dict):
        return None if value != value else value
    if type(value).__name__ == "Decimal":
        return float(value)
    return str(value)
