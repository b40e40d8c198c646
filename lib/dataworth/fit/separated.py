"""Tables as text: a line of names, one line a run, any separator; lines that begin with # are
comments."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from dataworth.errors import quoted

from . import numerals
from .source import Refusal, Source, table

SEPARATORS = ("\t", ";", "|", ",")
CALLED = {"\t": "tab", ";": "semicolon", "|": "bar", ",": "comma", " ": "blank"}


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
