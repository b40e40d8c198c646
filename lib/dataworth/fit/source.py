"""A table that was read: cells as they stand, and columns of it as numbers or words."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import numpy as np

from dataworth.arrays import Array
from dataworth.errors import UserError, quoted, short

from . import numerals


@dataclass(frozen=True)
class Source:
    """A table of n rows. columns: cells of each, text, number or None; places: what each row is
    called in a sentence; decimal: the mark that --decimal states; notes: what was settled."""

    columns: dict[str, list[Any]]
    places: list[str]
    separator: str = ","
    decimal: str | None = None
    notes: list[str] = field(default_factory=list)
    _numbers: dict[str, Array] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.places)

    def find(self, name: str) -> str | None:
        """The column of this name; else the only one that differs in case or blanks alone."""
        if name in self.columns:
            return name
        alike = [known for known in self.columns if _folded(known) == _folded(name)]
        return alike[0] if len(alike) == 1 else None

    def known(self) -> str:
        """The names of the columns, for a sentence."""
        names = ", ".join(self.columns) or "no columns"
        return names if len(names) <= 300 else f"{len(self.columns)} others"

    @property
    def odd(self) -> str | None:
        """A name that an expression must quote."""
        return next((name for name in self.columns if not name.isidentifier()), None)

    def numbers(self, name: str) -> Array:
        """A column as floats (n,), NaN where a cell has no value.

        Raises:
            UserError: a cell is no number, or could be two.
        """
        if name not in self._numbers:
            cells = self.columns[name]
            decimal = self.decimal or self.decimal_of(name)
            found = numerals.values(cells, name, decimal, self.places)
            self._numbers[name] = found
            self._tell(name, decimal, found)
        return self._numbers[name]

    def decimal_of(self, name: str) -> str:
        """The decimal mark of a column.

        A cell that can be read in one way alone decides (2,1 or 1,234,567 or 1.234,5). A column of
        commas that could be either (1,234) follows what the other columns show, then, where none
        has a point, the semicolon as the file's separator, which is there because commas part
        decimals; a column of such points has points for decimals where no other column shows a
        decimal comma.

        Raises:
            UserError: these rules do not settle it.
        """
        own = numerals.marks(self.columns[name])
        if own.comma is not None and own.point is not None:
            self._two_ways(name, own.comma, own.point)
        if own.comma is not None:
            return ","
        if own.point is not None:
            return "."
        if own.either_comma is None and own.either_point is None:
            return "."
        if own.either_comma is not None and own.either_point is not None:
            self._two_ways(name, own.either_comma, own.either_point)
        others = [numerals.marks(c) for other, c in self.columns.items() if other != name]
        comma = any(m.comma is not None and m.point is None for m in others)
        point = any(m.point is not None and m.comma is None for m in others)
        row = own.either_comma if own.either_point is None else own.either_point
        assert row is not None
        if own.either_point is not None:
            if not comma:
                return "."
        elif comma != point:
            return "," if comma else "."
        elif self.separator == ";" and not any(
            (m.point, m.either_point) != (None, None) for m in others
        ):
            return ","
        cell = str(self.columns[name][row])
        one = numerals.cell(cell)
        readings = [] if one is None else [one.value(mark) for mark in ",."]
        shown = " or ".join(f"{value:.10g}" for value in readings if value is not None)
        raise UserError(
            f"Column {quoted(name)} has {quoted(cell)} in {self.places[row]}, which is {shown}: "
            "say which mark parts the decimals with --decimal , or --decimal ."
        )

    def _two_ways(self, name: str, first: int, second: int) -> NoReturn:
        cells = self.columns[name]
        raise UserError(
            f"Column {quoted(name)} has {quoted(cells[first])} in {self.places[first]} and "
            f"{quoted(cells[second])} in {self.places[second]}: one mark must part the decimals."
        )

    def _tell(self, name: str, decimal: str, found: Array) -> None:
        """Note one cell that was not read as it stands."""
        comma = f"the decimal mark is {'a comma' if decimal == ',' else 'a point'}: "
        for cell, value in zip(self.columns[name], found.tolist(), strict=True):
            if (
                name not in self._told
                and isinstance(cell, str)
                and value == value
                and not numerals.reads_plainly(cell)
            ):
                self._told.add(name)
                marked = "," in cell or (decimal == "," and "." in cell)
                self.notes.append(
                    f"Column {quoted(name)}: {comma if marked else ''}{quoted(cell, 40)} is read "
                    f"as {value:.10g}."
                )
                return

    def says(self, name: str, word: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Rows whose cell is this text, (n,); true and false in any case of letters."""
        told = word.casefold() in ("true", "false")
        cells = ["" if cell is None else str(cell) for cell in self.columns[name]]
        return np.array([c == word or (told and c.casefold() == word.casefold()) for c in cells])

    def labels(self, name: str) -> Array:
        """A column as labels (n,): text as it stands, None where there is none."""
        cells = self.columns[name]
        typed = any(isinstance(cell, int | float) for cell in cells)
        if typed and all(isinstance(cell, int | float) for cell in cells):
            return np.array(cells, float)
        missing = [cell is None or not str(cell).strip() for cell in cells]
        return np.array(
            [None if m else str(c) for m, c in zip(missing, cells, strict=True)], object
        )

    def take(self, rows: Iterable[int]) -> Source:
        """These rows alone."""
        at = list(rows)
        columns = {name: [cells[i] for i in at] for name, cells in self.columns.items()}
        return replace(self, columns=columns, places=[self.places[i] for i in at], _numbers={})


@dataclass(frozen=True)
class Refusal:
    path: str

    def __call__(self, reason: object) -> NoReturn:
        raise UserError(f"{self.path!r} is not a readable table: {short(str(reason), 300)}.")


def table(names: Sequence[str], rows: Sequence[Sequence[Any]], refuse: Refusal) -> dict[str, Any]:
    """Columns by name; those without a name are left out."""
    names = [" ".join(name.split()) for name in names]
    for name in names:
        if name and names.count(name) > 1:
            refuse(f"it has {names.count(name)} columns with the name {quoted(name)}")
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return {name: list(cells) for name, cells in zip(names, columns, strict=True) if name}


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
