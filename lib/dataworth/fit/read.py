"""Tables of runs as people have them: text with any separator, JSON, JSON lines, Parquet, Excel.

The content says what a file is, not its name. What could be read in two ways is refused, or settled
by a rule that the table's `notes` tell. In text a line of names comes first and one line is a run;
lines that begin with # are comments.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dataworth.errors import UserError, quoted, short

from . import numerals
from .source import Refusal, Source, table
from .table import nth

SEPARATORS = ("\t", ";", "|", ",")
CALLED = {"\t": "tab", ";": "semicolon", "|": "bar", ",": "comma", " ": "blank"}
# How files begin that are no tables for us, and the way out.
FOREIGN = {
    b"\x1f\x8b": "it is compressed with gzip: unpack it first",
    b"\x28\xb5\x2f\xfd": "it is compressed with zstd: unpack it first",
    b"\xd0\xcf\x11\xe0": "it is an old Excel workbook (.xls): save it as .xlsx or CSV",
    b"%PDF": "it is a PDF document: save the table as CSV",
    b"SQLite format 3": "it is an SQLite database: export the table as CSV",
    b"ARROW1": "it is an Arrow (Feather) file: save it as Parquet or CSV",
    b"\x89HDF": "it is an HDF5 file: save the table as Parquet or CSV",
    b"version https://git-lfs": "it is a Git LFS pointer, not the file itself: run git lfs pull",
    b"<": "it is a web page (HTML or XML), not the file itself: fetch its raw form",
}


def read(path: Path, separator: str | None = None, decimal: str | None = None) -> Source:
    """The table in a file; "-" is standard input.

    Raises UserError for what is no table or could be read in two ways: another encoding than UTF-8
    (or UTF-16 with its mark), zero bytes, open quotes, a name that occurs twice, a row with more or
    fewer cells than the first line, a format that needs a package that is not here.
    """
    if separator is not None:
        separator = {"tab": "\t", "\\t": "\t", "blank": " "}.get(separator, separator)
        if len(separator) != 1 or separator in '"\r\n' or separator.isalnum():
            raise UserError(
                f"--sep is {quoted(separator)}; one character is needed, or the word tab."
            )
    if decimal not in (None, ".", ","):
        raise UserError(f"--decimal is {quoted(decimal)}; allowed are . and the comma.")
    if str(path) != "-" and not path.is_file():
        kind = "; this is a folder" if path.is_dir() else ""
        raise UserError(
            f"There is no file {str(path)!r}{kind}; give a table with one row a run: CSV, TSV, "
            "JSON, JSON lines, Parquet or Excel."
        )
    refuse = Refusal(str(path))
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        refuse(error.strerror or error)
    for start, reason in FOREIGN.items():
        if data.startswith(start):
            refuse(reason)
    if data.startswith(b"PAR1"):
        found = from_parquet(data, refuse)
    elif data.startswith(b"PK\x03\x04"):
        found = from_excel(data, refuse)
    else:
        text = _text(data, refuse)
        begin = text.lstrip()[:1]
        if begin and begin in "{[":
            found = from_json(text, refuse)
        else:
            found = from_text(text, separator, refuse)
    return replace(found, decimal=decimal)


def _text(data: bytes, refuse: Refusal) -> str:
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff") and data[2:4] != b"\0\0"
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        refuse(
            f"byte {error.start} is not {'UTF-16' if wide else 'UTF-8'}, the encoding that is "
            "needed: save the table as UTF-8"
        )
    if "\0" in text:
        refuse(f"character {text.index(chr(0))} is a zero byte")
    return text


# ---- Text ----------------------------------------------------------------------------------------


def from_text(text: str, separator: str | None, refuse: Refusal) -> Source:
    lines, skipped = _without_comments(text)
    if not lines:
        refuse("it is empty")
    if separator is None and (stated := _stated(lines[0][1])) is not None:
        separator, lines = stated, lines[1:]
    if not lines:
        refuse("it has no line of names")
    separator = separator or _separator(lines)
    rows = list(_rows(lines, separator, refuse))
    if not rows:
        refuse("it is empty")
    if all(numerals.cell(name) for name in rows[0][1] if name):
        named = [n for n, line in skipped if n < rows[0][0]]
        above = dict(skipped)[named[-1]].lstrip("# ") if named else ""
        names = next(_rows([(0, above)], separator, refuse), (0, [""]))[1]
        if len(names) != len(rows[0][1]) or all(numerals.cell(name) for name in names):
            refuse(
                f"line {rows[0][0]}, its first, has numbers ({', '.join(rows[0][1])}) where the "
                "names of the columns are needed"
            )
        rows.insert(0, (named[-1], names))  # as numpy.savetxt writes them
    first = rows[0][0]
    notes = []
    if later := [n for n, _ in skipped if n > first]:
        some = ", ".join(map(str, later[:5])) + (", ..." if len(later) > 5 else "")
        one = len(later) == 1
        notes.append(
            f"{len(later)} line{'' if one else 's'} below the names begin{'s' if one else ''} with "
            f"# and {'is' if one else 'are'} left out (line{'' if one else 's'} {some})."
        )
    found = table(rows[0][1], [row for _, row in rows[1:]], refuse)
    places = [f"row {i} (line {line})" for i, (line, _) in enumerate(rows[1:], 1)]
    return Source(found, places, separator, notes=notes)


def _without_comments(text: str) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """Numbered lines with their ends, and those that begin with # outside quotes."""
    kept: list[tuple[int, str]] = []
    skipped: list[tuple[int, str]] = []
    within = False
    for number, line in enumerate(io.StringIO(text, newline=""), 1):
        if not within and line.lstrip().startswith("#"):
            skipped.append((number, line.strip()))
            continue
        within ^= line.count('"') % 2 == 1
        if within or line.strip():
            kept.append((number, line))
    return kept, skipped


def _stated(line: str) -> str | None:
    """The separator of a first line such as sep=; (Excel's)."""
    line = line.rstrip("\r\n").strip('"')
    return line[4] if len(line) == 5 and line[:4].lower() == "sep=" else None


def _separator(lines: Sequence[tuple[int, str]]) -> str:
    """The separator that gives every line the cells of the first, and most of them; else the one
    that gives the first line most cells."""
    scores = []
    for place, one in enumerate(SEPARATORS):
        if one not in lines[0][1]:
            continue
        try:
            counts = [len(row) for _, row in _split(lines, one)]
        except csv.Error:
            counts = []
        even = len(set(counts)) == 1 and counts[0] > 1
        scores.append((even, counts[0] if counts else lines[0][1].count(one) + 1, -place, one))
    if scores:
        return max(scores)[3]
    counts = [len(line.split()) for _, line in lines]
    return " " if len(set(counts)) == 1 and counts[0] > 1 and len(lines) > 1 else ","


def _split(lines: Iterable[tuple[int, str]], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Number of the last line and stripped cells of each row that is not empty.

    Raises:
        csv.Error: open quotes, text after a quote, too long a cell; its argument begins with the
            number of the line.
    """
    at = 0

    def count() -> Iterator[str]:
        nonlocal at
        for at, line in lines:  # noqa: B007
            yield line.strip() + "\n" if separator == " " else line

    reader = csv.reader(count(), delimiter=separator, strict=True, skipinitialspace=True)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise csv.Error(f"line {at}: {error}") from error
        if row:
            yield at, [cell.strip() for cell in row]


def _rows(
    lines: Iterable[tuple[int, str]], separator: str, refuse: Refusal
) -> Iterator[tuple[int, list[str]]]:
    """As `_split`, with a sentence for a row of another length than the first."""
    width, first = 0, 0
    try:
        for number, row in _split(lines, separator):
            width = width or len(row)
            first = first or number
            if len(row) != width:
                more = ""
                if len(row) > width and separator == ",":
                    more = "; a number with commas needs quotes around it"
                refuse(
                    f"line {number} has {len(row)} cells, its first line {width}, with the "
                    f"{CALLED.get(separator, quoted(separator))} as separator{more}"
                )
            yield number, row
    except csv.Error as error:
        refuse(error)


# ---- JSON ----------------------------------------------------------------------------------------


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


# ---- Formats that packages read ------------------------------------------------------------------


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
