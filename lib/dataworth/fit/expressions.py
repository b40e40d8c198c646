"""Arithmetic and conditions over the columns of a table, read by Python's grammar and computed here
node by node: nothing is evaluated as code."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from dataworth.arrays import Array
from dataworth.errors import UserError, quoted

from .numerals import SUFFIXES
from .source import Source

Truth = np.ndarray[Any, np.dtype[np.bool_]]
LONGEST = 500  # characters of an expression

OPERATIONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide,
    ast.Pow: np.power,
}  # fmt: skip
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "log": np.log, "log2": np.log2, "log10": np.log10, "exp": np.exp, "sqrt": np.sqrt,
    "abs": np.abs,
}  # fmt: skip
COMPARISONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: np.equal, ast.NotEq: np.not_equal, ast.Lt: np.less, ast.LtE: np.less_equal,
    ast.Gt: np.greater, ast.GtE: np.greater_equal,
}  # fmt: skip
_PIECES = re.compile(
    r"`([^`]*)`|'[^']*'|\"[^\"]*\"|(?<![\w.])([0-9][0-9.]*)(bn|[kKmMbBgGtT])(?!\w)"
)


@dataclass
class Expression:
    """One expression of an option over a table; `columns`: those it has used, in order."""

    text: str
    what: str
    source: Source
    columns: list[str] = field(default_factory=list)
    _quoted: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What its values are called: the expression as one reads it, without backquotes."""
        return self.text.strip().replace("`", "")

    def number(self) -> Array:
        """Its value in each row, (n,); NaN where a column that it uses has no value.

        Raises:
            UserError: it cannot be read, names no column, or has no value in a row that has all
                of its columns.
        """
        whole = self.source.find(self.text.strip())
        if whole is not None:
            return self._column(whole)
        with np.errstate(all="ignore"):
            found = np.asarray(self._arithmetic(self._parsed()), float)
        if not self.columns:
            self._refuse("it names no column")
        gone = self.missing()
        odd = np.flatnonzero(np.isnan(found) & ~gone)
        if len(odd):
            self._refuse(f"it has no value in {self.source.places[int(odd[0])]}")
        return np.where(gone, np.nan, found)

    def missing(self) -> Truth:
        """Rows in which a column that was used has no value, (n,)."""
        gone: Truth = np.zeros(len(self.source), bool)
        for name in self.columns:
            gone |= np.isnan(self.source.numbers(name))
        return gone

    def truth(self) -> Truth:
        """Whether it holds, for each row, (n,); never where a number that it compares is missing.

        Raises:
            UserError: it cannot be read or names no column.
        """
        return np.broadcast_to(self._truth(self._parsed()), len(self.source))

    def _parsed(self) -> ast.expr:
        if len(self.text) > LONGEST:
            raise UserError(f"{self.what} has {len(self.text)} characters; {LONGEST} are allowed.")

        def piece(found: re.Match[str]) -> str:
            if found[1] is not None:
                stand_in = f"_column_{len(self._quoted)}_"
                self._quoted[stand_in] = found[1]
                return stand_in
            if found[2] is None:
                return found[0]
            return f"({found[2]}*{SUFFIXES[found[3].lower()]!r})"

        text = _PIECES.sub(piece, self.text).strip()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python's opinion of what stands there
                return ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            self._refuse("it cannot be read")

    def _refuse(self, reason: str) -> NoReturn:
        example = "state == finished and params > 1e8" if self.what == "--where" else "C/(6*params)"
        raise UserError(
            f"{self.what} is {quoted(self.text)}: {reason}; write it like {example}, with a column "
            "such as eval/loss between backquotes."
        )

    def _column(self, name: str) -> Array:
        if name not in self.columns:
            self.columns.append(name)
        return self.source.numbers(name)

    def _named(self, node: ast.expr) -> str | None:
        """The column that a node names; None for anything else.

        Raises:
            UserError: backquotes name no column.
        """
        if not isinstance(node, ast.Name):
            return None
        stated = self._quoted.get(node.id)
        found = self.source.find(node.id if stated is None else stated)
        if found is None and stated is not None:
            self._unknown(stated)
        return found

    def _unknown(self, name: str) -> NoReturn:
        raise UserError(
            f"{self.what} names the column {quoted(name)}; the data have {self.source.known()}"
            + ("." if name == self.text.strip() or not self.source.odd else
               "; put a name such as `" + self.source.odd + "` between backquotes.")
        )  # fmt: skip

    def _arithmetic(self, node: ast.expr) -> Any:
        refused = f"only + - * / ** and {', '.join(FUNCTIONS)} are known"
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                try:
                    return np.float64(value)
                except OverflowError:
                    return np.float64(np.inf)
            case ast.Name(id=name):
                column = self._named(node)
                if column is None:
                    self._unknown(name)
                return self._column(column)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=inner):
                value = self._arithmetic(inner)
                return -value if isinstance(sign, ast.USub) else value
            case ast.BinOp(left=left, op=operation, right=right) if type(operation) in OPERATIONS:
                first, second = self._arithmetic(left), self._arithmetic(right)
                return OPERATIONS[type(operation)](first, second)
            case ast.Call(func=ast.Name(id=name), args=[inner], keywords=[]) if name in FUNCTIONS:
                return FUNCTIONS[name](self._arithmetic(inner))
            case ast.BinOp(op=ast.BitXor()):
                refused = "a power is written **, not ^"
        return self._refuse(refused)

    def _truth(self, node: ast.expr) -> Any:
        match node:
            case ast.BoolOp(op=operation, values=parts):
                joined = np.logical_and if isinstance(operation, ast.And) else np.logical_or
                return joined.reduce([self._truth(part) for part in parts])
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                return ~self._truth(inner)
            case ast.Compare(left=left, ops=signs, comparators=rights):
                chain = zip([left, *rights], signs, rights, strict=False)
                return np.logical_and.reduce([self._compared(*link) for link in chain])
        return self._refuse("it compares nothing")

    def _compared(self, left: ast.expr, operation: ast.cmpop, right: ast.expr) -> Any:
        if isinstance(operation, ast.In | ast.NotIn) and isinstance(right, ast.Tuple | ast.List):
            each = [self._compared(left, ast.Eq(), one) for one in right.elts]
            found: Truth = np.logical_or.reduce([np.zeros(len(self.source), bool), *each])
            return found if isinstance(operation, ast.In) else ~found
        if type(operation) not in COMPARISONS:
            self._refuse("only == != < <= > >=, in (...), and, or, not are known")
        words = [self._word(node) for node in (left, right)]
        for word, column in ((words[1], self._named(left)), (words[0], self._named(right))):
            if word is not None and column is not None:
                if not isinstance(operation, ast.Eq | ast.NotEq):
                    self._refuse("text is compared with == or !=")
                held = self.source.says(column, word)
                return held if isinstance(operation, ast.Eq) else ~held
        if any(word is not None for word in words):
            names = [n.id for n in (left, right) if isinstance(n, ast.Name)]
            self._unknown(names[0] if names else str(next(w for w in words if w)))
        first, second = self._arithmetic(left), self._arithmetic(right)
        if not self.columns:
            self._refuse("it names no column")
        held = COMPARISONS[type(operation)](first, second)
        return held & ~np.isnan(first) & ~np.isnan(second)

    def _word(self, node: ast.expr) -> str | None:
        """The text that a node stands for: in quotes, or a word that is no column."""
        match node:
            case ast.Constant(value=str() | bool() | None as value):
                return str(value)
            case ast.Name(id=name) if self._named(node) is None:
                return name
        return None


def split(text: str) -> list[str]:
    """Parts of a list at its commas, but for those in brackets or backquotes."""
    parts, depth, inside = [""], 0, False
    for sign in text:
        inside ^= sign == "`"
        depth += 0 if inside else (sign in "([") - (sign in ")]")
        if sign == "," and not inside and depth <= 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]
