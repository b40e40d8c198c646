"""What the parameters of every chapter have in common."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dataworth import display
from dataworth.errors import UserError, did_you_mean, quoted, short
from dataworth.paths import VARIANT, project_root
from dataworth.threads import one_thread

M = TypeVar("M", bound=BaseModel)
# No study reaches them: 5 * 10^12 bytes of text is the largest number of the profile `paper`.
MOST_COUNT, MOST_AMOUNT, MOST_ITEMS = 10**15, 1e9, 1000
MOST_FAULTS = 5  # in one sentence
CELL = re.compile(r'^# %%.* tags=\["parameters"\].*\n((?:(?!# %%).*\n?)*)', re.MULTILINE)


def field(meaning: str, unit: str = "", **limits: Any) -> Any:
    """A parameter of a chapter: meaning, unit, limits. The chapter's cell holds its value."""
    return Field(description=meaning, json_schema_extra={"unit": unit}, **limits)


def described(model: type[BaseModel], name: str) -> tuple[str, str]:
    """Meaning and unit of a parameter, "" where `field` was not told."""
    found = model.model_fields[name]
    extra = found.json_schema_extra if isinstance(found.json_schema_extra, dict) else {}
    return found.description or "", str(extra.get("unit", ""))


def strictly(model: type[M], values: Mapping[str, Any]) -> M:
    """The model of plain values, by the rules of JSON: a list may become a tuple and a whole number
    a fraction, but true is not 1, 1.0 is not 1 and "1" is not 1. Raises ValidationError."""
    return model.model_validate_json(json.dumps(dict(values)), strict=True)


class NotLiteral(ValueError):
    """A statement of a parameters cell that is no line `name = literal`."""

    def __init__(self, statement: ast.stmt) -> None:
        super().__init__(ast.unparse(statement))


def literals(source: str) -> Iterator[tuple[str, Any]]:
    """Names and values, as JSON has them, that a parameters cell sets, line by line.

    Raises NotLiteral, and SyntaxError where it is not Python.
    """
    for node in ast.parse(source).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                raise NotLiteral(node)
        try:
            yield name, json.loads(json.dumps(ast.literal_eval(value), allow_nan=False))
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            raise NotLiteral(node) from None


def faults(error: ValidationError, places: Mapping[str, str] | None = None) -> str:
    """What is wrong with parameters, in words. places: where the value of a name was given."""
    parts = []
    for one in error.errors():
        name = ".".join(map(str, one["loc"]))
        message = str(one["msg"]).removeprefix("Value error, ")
        if not name:  # a check over several fields
            parts.append(message)
            continue
        message = message[:1].lower() + message[1:]
        message = re.sub(r"^tuple should", "the list should", message)
        if one["type"] in ("tuple_type", "list_type"):
            message = f"it must be a list, such as {_listed(one['input'])}"
        place = (places or {}).get(str(one["loc"][0]))
        where = f" ({place})" if place else ""
        parts.append(
            f"parameter '{short(name)}' is {quoted(one['input'])}{where}: {short(message, 400)}"
        )
    more = f"; and {len(parts) - MOST_FAULTS} more" if len(parts) > MOST_FAULTS else ""
    return "; ".join(part.rstrip(".") for part in parts[:MOST_FAULTS]) + more


def _listed(value: object) -> str:
    """The list that was probably meant by a single value."""
    inner = value.strip("[]() ") if isinstance(value, str) else quoted(value)
    return f"[{short(inner)}]"


class Value(BaseModel):
    """Fields that are read and never set, and no others than its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Parameters(BaseModel):
    """Parameters of a chapter: frozen, no others than its own, and none out of all proportion."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def from_names(cls, names: Mapping[str, Any]) -> Self:
        """Read the parameters from a notebook's names (`globals()`), show them there as a table,
        and print one line about those that are not what the chapter's own cell says (the builder's
        page has a table of its own). From here on the process computes with one thread, as the
        builder does, so that its numbers are the page's to the last digit.

        Raises UserError also for a name that papermill was given and the chapter does not have.
        """
        one_thread()
        chapter, cells = _chapter(cls), [str(cell) for cell in names.get("In", ())]
        _refuse_unknown(cls, chapter, cells)
        if missing := [name for name in cls.model_fields if name not in names]:
            raise UserError(f"The parameters cell does not set {', '.join(missing)}.")
        try:
            made = strictly(cls, {name: names[name] for name in cls.model_fields})
        except ValidationError as error:
            lists = [
                f' -y "{one["loc"][0]}: {_listed(one["input"])}"'
                for one in error.errors()
                if one["type"] in ("tuple_type", "list_type") and len(one["loc"]) == 1
            ]
            hint = f"; papermill takes a list as{''.join(lists)}" if lists else ""
            raise UserError(f"{faults(error)}{hint}.") from None
        except TypeError as error:  # what JSON does not have
            raise UserError(f"A parameter is not a plain value: {error}.") from None
        if os.environ.get("DATAWORTH_PROFILE", VARIANT).startswith(VARIANT):
            given = [name for name in names if name in cls.model_fields]  # in the cell's order
            _tell_changed(given, made, _quick(cls, chapter, cells))
        display.aside({"text/html": made._repr_html_(), "text/plain": repr(made)})
        return made

    def _repr_html_(self) -> str:
        """Names, values, meanings and units as a table, folded."""
        rows = []
        for name, value in self.model_dump(mode="json").items():
            meaning, unit = described(type(self), name)
            if unit not in meaning:
                meaning += f" ({unit})"
            cells = (f"<code>{escape(name)}</code>", escape(repr(value)), escape(meaning))
            rows.append("".join(f'<td style="text-align: left">{cell}</td>' for cell in cells))
        return (
            f"<details><summary>{len(rows)} parameters, with meaning and unit</summary><table><tr>"
            + "</tr><tr>".join(rows)
            + "</tr></table></details>"
        )

    @model_validator(mode="after")
    def _in_proportion(self) -> Self:
        for name in type(self).model_fields:
            value = getattr(self, name)
            items = value if isinstance(value, tuple | list) else [value]
            if len(items) > MOST_ITEMS:
                raise ValueError(
                    f"parameter '{name}' has {len(items)} values; {MOST_ITEMS} are the most"
                )
            for item in items:
                most = MOST_COUNT if isinstance(item, int) else MOST_AMOUNT
                if isinstance(item, int | float) and abs(item) > most:
                    raise ValueError(
                        f"parameter '{name}' is {quoted(item)}; {most:.0e} is the most"
                    )
        return self


def _chapter(cls: type[BaseModel]) -> Path | None:
    """The source of the chapter of these parameters in the clone: its header names the class (and
    a module of ours that has it, which need not be the one that defines it)."""
    root = project_root() if cls.__module__.startswith("dataworth.") else None
    named = re.compile(rf"\bdataworth\.[\w.]+:{cls.__name__}\b")
    for path in sorted((root / "book").glob("*/*.py")) if root else ():
        if named.search(path.read_text(encoding="utf-8").partition("# %%")[0]):
            return path
    return None


def _quick(cls: type[M], chapter: Path | None, cells: Sequence[str]) -> M | None:
    """The parameters of the chapter's own cell: in the clone; without one as the notebook ran it
    first. None where that is not to be found, as while the cell is being written."""
    own = CELL.search(chapter.read_text(encoding="utf-8")) if chapter else None
    for source in [own[1]] if own else cells:
        try:
            found = dict(literals(source))
            if found.keys() == cls.model_fields.keys():
                return strictly(cls, found)
        except (NotLiteral, SyntaxError, ValidationError):
            continue
    return None


def _refuse_unknown(cls: type[BaseModel], chapter: Path | None, cells: Sequence[str]) -> None:
    """Raise UserError for a name of the cell that papermill put in, unless a file that the
    chapter's part shares holds it for others."""
    for cell in cells:
        if not cell.startswith("# Parameters\n"):  # papermill's own first line
            continue
        try:
            unknown = [name for name, _ in literals(cell) if name not in cls.model_fields]
        except (NotLiteral, SyntaxError):
            continue
        shared = _shared(chapter) if unknown and chapter else frozenset()
        for name in unknown:
            if name not in shared:
                raise UserError(
                    f"Unknown parameter '{short(name)}'; known are {', '.join(cls.model_fields)}."
                    f"{did_you_mean(name, cls.model_fields)}"
                )


def _shared(chapter: Path) -> frozenset[str]:
    """Names in the parameter files that the chapters of a part share."""
    files = chapter.parents[2].glob(f"params/*/_{chapter.parent.name}.yaml")
    texts = [path.read_text(encoding="utf-8") for path in files]
    return frozenset(name for text in texts for name in re.findall(r"^(\w+):", text, re.MULTILINE))


def _tell_changed(names: Sequence[str], made: BaseModel, quick: BaseModel | None) -> None:
    """One line about what differs, if anything does and it is known from what."""
    if quick is None:
        return
    value, own = made.model_dump(mode="json"), quick.model_dump(mode="json")
    if changed := [
        f"{name} {quoted(value[name])} (was {quoted(own[name])})"
        for name in names
        if value[name] != own[name]
    ]:
        print(f"changed from quick: {', '.join(changed)}")
