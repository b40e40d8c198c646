"""The year of a date, in whatever shape a column holds dates."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.data.documents import UNDATED
from dataworth.errors import UserError, quoted

FIRST = 1400
"""No dated document is older: an earlier year is a number that was misread."""
ODD = 0.05  # largest fraction of dates that may have no reading
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNITS = {1: "seconds", 1_000: "milliseconds", 1_000_000: "microseconds", 10**9: "nanoseconds"}
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
EMPTY = frozenset({"", "none", "null", "nan", "nat", "n/a", "na", "unknown", "n.d.", "undated"})

_NUMBER = re.compile(r"-?\d+(\.\d*)?(e\+?\d+)?", re.IGNORECASE)
_YEAR_FIRST = re.compile(r"(\d{4})(?:[-/.](\d{1,2})(?:[-/.](\d{1,2}))?)?(?![\d/.-])")
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T?\d{4,6}Z?)?")
_YEAR_LAST = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})(?!\d)")
_MONTH = rf"(?:{'|'.join(MONTHS)})[a-z]*\.?"
_NAMED = re.compile(  # 3 April 2012; April 3rd, 2012; Tue, 03 Apr 2012
    rf"\b{_MONTH}[ -](?:\d{{1,2}}(?:st|nd|rd|th)?,? )?(\d{{4}})\b", re.IGNORECASE
)
_TIMED = re.compile(  # Tue Apr 3 15:30:00 +0000 2012, as of ctime and its relatives
    rf"\b{_MONTH} +\d{{1,2}} \d\d:\d\d(?::\d\d)?(?: [A-Z+-][\w:]*)? (\d{{4}})\b", re.IGNORECASE
)
_TWO_DIGITS = re.compile(r"\d{1,2}[-/. ](?:\d{1,2}|[A-Za-z]{3,9})[-/. ]\d\d(?!\d)")


@dataclass(frozen=True)
class Years:
    """years: (N,) int64, `UNDATED` where there is no date. shape: how dates were read, in words.
    unread: dates that have no reading, as (row, value)."""

    years: NDArray[np.int64]
    shape: str
    unread: tuple[tuple[int, str], ...]


def years(values: Sequence[Any], column: str, form: str | None = None) -> Years:
    """The year of every value of a column of dates; `form` as of strptime, for strings.

    UserError, one sentence with the row, for two-digit years, for a year before `FIRST` or after
    the next, and where more than a twentieth of the dates have no reading.
    """
    last = datetime.now(UTC).year + 1
    given = [(row, value) for row, value in enumerate(values) if not _empty(value)]
    numbers = {row: number for row, value in given if (number := _number(value)) is not None}
    read, shape = _reader(numbers, len(given), column, form, last)
    found = np.full(len(values), UNDATED, dtype=np.int64)
    unread = []
    for row, value in given:
        year = read(row, value)
        if year is None:
            if form is None and isinstance(value, str) and _TWO_DIGITS.match(value.strip()):
                raise UserError(
                    f"{column}: {quoted(value)} in row {row + 1} has a year of two digits; say how "
                    "to read it with date_format (--date-format), such as %d/%m/%y."
                )
            unread.append((row, str(value)))
            continue
        if not FIRST <= year <= last:
            raise UserError(
                f"{column}: {quoted(value)} in row {row + 1} would be the year {year}; years must "
                f"lie in {FIRST} to {last}: name another date_column, or say how to read it with "
                "date_format (--date-format)."
            )
        found[row] = year
    if len(unread) > max(1, ODD * len(given)):
        row, text = unread[0]
        raise UserError(
            f"{column}: {len(unread):,} of {len(given):,} values are no date, the first is "
            f"{quoted(text)} in row {row + 1}; say how to read them with date_format "
            "(--date-format), or name another date_column."
        )
    return Years(found, shape, tuple(unread))


def _empty(value: Any) -> bool:
    if value is None or value != value:  # NaN and NaT differ from themselves
        return True
    return isinstance(value, str) and value.strip().lower() in EMPTY


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float | np.number):
        return float(value)
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value)
    return None


def _reader(
    numbers: dict[int, float], count: int, column: str, form: str | None, last: int
) -> tuple[Callable[[int, Any], int | None], str]:
    """How one value of the column is read, and that in words. Numbers are years, or days written
    as 20120403, or time since 1970 in the unit that the largest of them tells."""
    if form is not None:
        return lambda row, value: _formatted(str(value), form), f"by the format {form}"
    if not count or len(numbers) < count / 2:
        return lambda row, value: _written(value), "dates in writing"
    most = max(map(abs, numbers.values()))
    if all(FIRST <= n < last + 1 for n in numbers.values()):
        return lambda row, value: int(numbers[row]) if row in numbers else _written(value), "years"
    if all(
        FIRST * 10_000 < n < (last + 1) * 10_000 and 1 <= n // 100 % 100 <= 12
        for n in numbers.values()
    ):
        return lambda row, value: _digits(numbers.get(row), value), "days as 20120403"
    if most < 1e8:  # 1973 in seconds: what is smaller throughout is no time since 1970
        row, odd = next((r, n) for r, n in numbers.items() if not FIRST <= n < last + 1)
        raise UserError(
            f"{column}: {odd:.10g} in row {row + 1} is neither a year in {FIRST} to {last} nor a "
            "time since 1970; name another date_column."
        )
    unit = next((unit for unit in UNITS if most / unit < 1e11), 10**9)
    return (
        lambda row, value: _since(numbers.get(row), unit, value),
        f"{UNITS[unit]} since 1970",
    )


def _digits(number: float | None, value: Any) -> int | None:
    return int(number) // 10_000 if number is not None else _written(value)


def _since(number: float | None, unit: int, value: Any) -> int | None:
    if number is None:
        return _written(value)
    try:
        return (EPOCH + timedelta(seconds=number / unit)).year
    except OverflowError:
        return -1  # far outside any calendar: refused with the others


def _formatted(text: str, form: str) -> int | None:
    try:
        return datetime.strptime(text.strip(), form).year
    except ValueError:
        return None


def _written(value: Any) -> int | None:
    """The year of a date object or of a date in writing; None without one."""
    if isinstance(value, date):
        return value.year
    if isinstance(value, np.datetime64):
        return int(value.astype("datetime64[Y]").astype(int)) + 1970
    text = str(value).strip()
    if (found := _YEAR_FIRST.match(text)) and int(found[2] or 1) <= 12 and int(found[3] or 1) <= 31:
        return int(found[1])
    if found := _COMPACT.fullmatch(text):
        return int(found[1])
    if found := _YEAR_LAST.match(text):
        return int(found[3])
    if found := _NAMED.search(text) or _TIMED.search(text):
        return int(found[1])
    return None
