"""What a command fits, out of the table that was read: rows, variables and losses, in words where
something was left out or converted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataworth.arrays import Array
from dataworth.errors import UserError, quoted

from .expressions import Expression, Truth, split
from .laws import Law
from .source import Source
from .table import numbers

FAR = 5.0  # orders of magnitude between a value and all others that are worth a word


@dataclass(frozen=True)
class Chosen:
    """Rows to fit. data: columns by name, x and y among them by what their
    expressions are called; places:
    what each row is called; notes: sentences on what was settled or left out; dropped: rows left
    out for a missing value."""

    data: dict[str, Any]
    x: list[str]
    y: str
    places: list[str]
    notes: list[str]
    dropped: int

    def far_off(self) -> list[str]:
        """A sentence for each of x and y that has a value far from all others."""
        told = []
        for name in dict.fromkeys([*self.x, self.y]):
            values = self.data[name]
            rows = np.flatnonzero(values > 0)
            if sentence := far_off(values[rows], name, [self.places[i] for i in rows]):
                told.append(sentence)
        return told


def choose(
    source: Source,
    law: Law,
    x: str,
    y: str,
    *,
    where: Sequence[str] = (),
    drop_missing: bool = False,
    positive: bool = True,
    weights: str | None = None,
    labels: Sequence[str | None] = (),
) -> Chosen:
    """The rows that hold under `where`, with the law's variables and the loss as numbers.

    x: columns or expressions in the law's order, "N,D", or by its names, "N=params,D=C/(6*params)".
    y, weights: a column or an expression. labels: columns that are kept as words. positive: whether
    y must be above zero. A row without one of these values is left out under drop_missing.

    Raises:
        UserError: an expression, a missing value, or a number that the law does not allow.
    """
    if not len(source):
        raise UserError("The table has names of columns and no rows.")
    notes: list[str] = []
    for condition in where:
        held = Expression(condition, "--where", source).truth()
        kept = source.take(np.flatnonzero(held).tolist())
        notes.append(f"--where {quoted(condition)} keeps {len(kept)} of {len(source)} rows.")
        if not len(kept):
            held_by = _values(source, condition)
            raise UserError(f"--where {quoted(condition)} keeps no row of {len(source)}{held_by}.")
        source = kept
    variables = [Expression(text, "--x", source) for text in by_name(x, law)]
    loss = Expression(y, "--y", source)
    weight = [] if weights is None else [Expression(weights, "--weights", source)]
    used = [*variables, loss, *weight]
    found = {e.label: e.number() for e in used}
    gone: Truth = np.logical_or.reduce([np.isnan(values) for values in found.values()])
    which = list(dict.fromkeys(
        name for e in used for name in e.columns if np.isnan(source.numbers(name)).any()
    ))  # fmt: skip
    words: dict[str, Array] = {}
    for name in labels:
        if name is not None:
            if (column := source.find(name)) is None:
                raise UserError(
                    f"There is no column {quoted(name)}; the data have {source.known()}."
                )
            words[name] = source.labels(column)
            if (none := np.array([label is None for label in words[name].tolist()])).any():
                which.append(column)
                gone = gone | none
    if gone.any():
        _missing(source, which, gone, drop_missing, notes)
    keep = np.flatnonzero(~gone)
    places = [source.places[i] for i in keep]
    data: dict[str, Any] = {name: values[keep] for name, values in found.items()}

    def valid(e: Expression, minimum: float | None, strict: bool = True) -> None:
        numbers(data[e.label], e.label, minimum, strict, places.__getitem__)

    for e, variable in zip(variables, law.variables, strict=True):
        valid(e, 0.0, variable not in law.may_be_zero)
    valid(loss, 0.0 if positive else None)
    for e in weight:
        valid(e, 0.0, strict=False)
    for name, values in words.items():
        data.setdefault(name, values[keep])  # a variable may be the clusters too
    told = dict.fromkeys([*source.notes, *notes])
    return Chosen(
        data, [e.label for e in variables], loss.label, places, list(told), int(gone.sum())
    )


def by_name(x: str, law: Law) -> list[str]:
    """The expressions of --x in the order of the law's variables.

    Raises:
        UserError: a number of parts or names that are not the law's.
    """
    parts = [re.fullmatch(r"(?:(\w+)\s*=(?!=))?\s*(.*)", part, re.DOTALL) for part in split(x)]
    pairs = [(found[1], found[2].strip()) for found in parts if found is not None]
    variables = ", ".join(law.variables)
    names = [name for name, _ in pairs if name]
    if len(pairs) != len(law.variables):
        raise UserError(
            f"Law {law.name!r} has the variables {variables}; --x names {len(pairs)} column(s): "
            f"{quoted(x)}."
        )
    if not names:
        return [text for _, text in pairs]
    if len(names) < len(pairs) or sorted(names) != sorted(law.variables):
        raise UserError(
            f"--x is {quoted(x)}; law {law.name!r} needs each of its variables once: {variables}."
        )
    given = dict(pairs)
    return [given[name] for name in law.variables]


def _missing(
    source: Source, which: Sequence[str], gone: Truth, drop: bool, notes: list[str]
) -> None:
    rows = np.flatnonzero(gone).tolist()
    some = ", ".join(source.places[i] for i in rows[:5]) + (", ..." if len(rows) > 5 else "")
    names = " or ".join(map(quoted, which))
    if len(rows) == len(source):
        raise UserError(f"No row has a value in {names}, which are needed.")
    if not drop:
        more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
        raise UserError(
            f"Column {names} has no value in {source.places[rows[0]]}{more}; --drop-missing leaves "
            "such rows out, --where chooses rows."
        )
    notes.append(
        f"--drop-missing leaves out {len(rows)} of {len(source)} rows, without a value in "
        f"{names}: {some}."
    )


def _values(source: Source, condition: str) -> str:
    """What the column that a condition begins with holds, for a sentence."""
    first = re.match(r"\s*`?([^`=!<>]+?)`?\s*[=!<>]", condition)
    column = source.find(first[1]) if first else None
    if column is None:
        return ""
    held = list(dict.fromkeys("" if c is None else str(c) for c in source.columns[column]))
    some = ", ".join(map(quoted, held[:5])) + (", ..." if len(held) > 5 else "")
    return f"; {quoted(column)} has {some}"


def far_off(values: Array, name: str, places: Sequence[str]) -> str | None:
    """A sentence about positive values that lie `FAR` orders of magnitude or more from all others,
    most likely a slip; None if there are none."""
    order = np.argsort(values, kind="stable")
    steps = np.diff(np.log10(values[order]))
    if not len(steps) or steps.max() < FAR:
        return None
    cut = int(steps.argmax()) + 1
    rows = order[:cut] if cut <= len(order) / 2 else order[cut:]
    row = int(rows[0])
    more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    return (
        f"Column {quoted(name)} has {values[row]:g} in {places[row]}{more}, {steps.max():.0f} "
        "orders of magnitude from the other rows: is that a slip?"
    )
