"""Numbers as people write them in tables: 1.3B, 70M, 1e9, 1,000,000, 1.234,5, 41 %.

A comma or a point can part the thousands or the decimals. `marks` says what a column shows of the
two; what it leaves open is settled by stated rules (`read.Source.decimal_of`) or refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataworth.arrays import Array
from dataworth.errors import UserError, quoted

MISSING = frozenset(
    {"", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "–", "?", "missing", "<na>"}
)
"""Cells without a value, in any case of letters."""

SUFFIXES = {"k": 1e3, "m": 1e6, "b": 1e9, "bn": 1e9, "g": 1e9, "t": 1e12, "%": 0.01}
"""What stands behind a number, in any case of letters: m is a million, not a thousandth."""

ALLOWED = "numbers such as 1e9, 1.3B, 70M, 1,000,000 or 41 %"

_GAPS = " '’_\u00a0\u2009\u202f"
_CELL = re.compile(
    rf"([+-]?)((?:[0-9][0-9.,{_GAPS}]*)?[0-9.]|[.,][0-9]+)(?:[eE]([+-]?[0-9]+)|[{_GAPS}]*(bn|[kmbgt%]))?",
    re.IGNORECASE,
)
_PLAIN = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_GAPPED = re.compile(rf"[0-9]{{1,3}}(?:([{_GAPS}])[0-9]{{3}})(?:\1[0-9]{{3}})*(?![0-9])")
_EITHER = re.compile(r"[1-9][0-9]{0,2}[.,][0-9]{3}")
_INFINITE = re.compile(r"([+-]?)inf(?:inity)?", re.IGNORECASE)


@dataclass(frozen=True)
class Cell:
    """The parts of one numeral: digits with at most one kind of each mark, exponent, factor.

    mark: the decimal mark that it shows, "." or ","; "" where it needs none; "?" where its one
    mark may be either.
    """

    digits: str
    exponent: str
    factor: float
    mark: str

    def value(self, decimal: str) -> float | None:
        """The number under this decimal mark; None where that cannot be."""
        if self.mark not in ("", "?", decimal):
            return None
        thousands = "," if decimal == "." else "."
        digits = self.digits
        if thousands in digits:
            groups = rf"[+-]?[0-9]{{1,3}}(?:\{thousands}[0-9]{{3}})+(?:\{decimal}[0-9]*)?"
            if not re.fullmatch(groups, digits):
                return None
            digits = digits.replace(thousands, "")
        return float(f"{digits.replace(decimal, '.')}{self.exponent}") * self.factor


def cell(text: str) -> Cell | None:
    """The numeral that a stripped cell is; None if it is none."""
    text = text.replace("\u2212", "-")
    if (infinite := _INFINITE.fullmatch(text)) is not None:
        return Cell(infinite[1] + "inf", "", 1.0, "")
    if (found := _CELL.fullmatch(text)) is None:
        return None
    sign, digits, exponent, suffix = found.groups()
    if any(gap in digits for gap in _GAPS):
        if (grouped := _GAPPED.match(digits)) is None:
            return None
        digits = re.sub(rf"[{_GAPS}]", "", grouped[0]) + digits[grouped.end() :]
        if not re.fullmatch(r"[0-9]+(?:[.,][0-9]*)?", digits):
            return None
    mark = _mark(digits, bool(exponent))
    if mark is None:
        return None
    factor = SUFFIXES[suffix.lower()] if suffix else 1.0
    return Cell(sign + digits, f"e{exponent}" if exponent else "", factor, mark)


def _mark(digits: str, exponent: bool) -> str | None:
    commas, points = digits.count(","), digits.count(".")
    if not commas and not points:
        return ""
    if commas and points:
        last = "," if digits.rindex(",") > digits.rindex(".") else "."
        return last if digits.count(last) == 1 else None
    if commas > 1 or points > 1:  # thousands, so the decimal mark is the other
        return "." if commas else ","
    if _EITHER.fullmatch(digits) and not exponent:
        return "?"
    if not re.search("[0-9]", digits) or digits.endswith(","):
        return None
    return "," if commas else "."


@dataclass(frozen=True)
class Marks:
    """First row, if any, that shows a decimal comma, a decimal point, and a comma or a point that
    could be either."""

    comma: int | None = None
    point: int | None = None
    either_comma: int | None = None
    either_point: int | None = None


def marks(cells: Iterable[Any]) -> Marks:
    """What the texts among the cells show."""
    found: dict[str, int] = {}
    for row, text in enumerate(cells):
        if not isinstance(text, str) or ("." not in text and "," not in text):
            continue
        if (one := cell(text)) is None:
            continue
        kind = {",": "comma", ".": "point", "": ""}.get(one.mark)
        if kind is None:
            kind = "either_comma" if "," in one.digits else "either_point"
        if kind:
            found.setdefault(kind, row)
    return Marks(**found)


def is_missing(value: Any) -> bool:
    """Whether a cell has no value."""
    if isinstance(value, str):
        return value.casefold() in MISSING
    return value is None or value != value


def values(cells: Sequence[Any], name: str, decimal: str, places: Sequence[str]) -> Array:
    """Cells as floats (n,), NaN where there is no value. places: what a row is called.

    Raises:
        UserError: a cell is no number, or only some cells of the column are percentages.
    """
    out = np.full(len(cells), np.nan)
    percent: list[int] = []
    whole: list[int] = []
    for row, value in enumerate(cells):
        if isinstance(value, str):
            if _PLAIN.fullmatch(value) and (decimal == "." or "." not in value):
                out[row] = float(value)
                whole.append(row)
                continue
            if is_missing(value):
                continue
            one = cell(value)
            number = None if one is None else one.value(decimal)
            if one is None or number is None:
                under = "" if one is None else f" with {decimal!r} as its decimal mark"
                raise UserError(
                    f"Column {quoted(name)} is not numeric: it has {quoted(value)} in "
                    f"{places[row]}{under}; {ALLOWED} are needed."
                )
            out[row] = number
            (percent if value.endswith("%") else whole).append(row)
        elif isinstance(value, bool) or not isinstance(value, int | float | None):
            raise UserError(
                f"Column {quoted(name)} is not numeric: it has {quoted(value)} in {places[row]}; "
                f"{ALLOWED} are needed."
            )
        elif value is not None:
            out[row] = value
            whole.append(row)
    if percent and whole:
        raise UserError(
            f"Column {quoted(name)} has a percentage in {places[percent[0]]} and a number without "
            f"% in {places[whole[0]]}: write all of them in one way."
        )
    return out


def reads_plainly(text: str) -> bool:
    """Whether a cell is a number as every program writes it."""
    return _PLAIN.fullmatch(text) is not None


def number(text: str, what: str) -> float:
    """One number of the command line, with a decimal point.

    Raises:
        UserError: it is none; `what` names the option.
    """
    one = cell(text.strip())
    value = None if one is None else one.value(".")
    if value is None:
        raise UserError(f"{what} is {quoted(text)}; {ALLOWED} are needed.")
    return value
