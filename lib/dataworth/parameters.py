"""What the parameters of every chapter have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dataworth import display
from dataworth.errors import quoted

M = TypeVar("M", bound=BaseModel)
# No study reaches them: 5 * 10^12 bytes of text is the largest number of the profile `paper`.
MOST_COUNT, MOST_AMOUNT, MOST_ITEMS = 10**15, 1e9, 1000


def field(meaning: str, unit: str = "", **limits: Any) -> Any:
    """A parameter of a chapter: meaning, unit, limits. The chapter's cell holds its value."""
    return Field(description=meaning, json_schema_extra={"unit": unit}, **limits)


def strictly(model: type[M], values: Mapping[str, Any]) -> M:
    """The model of plain values, by the rules of JSON: a list may become a tuple and a whole number
    a fraction, but true is not 1, 1.0 is not 1 and "1" is not 1. Raises ValidationError."""
    return model.model_validate_json(json.dumps(dict(values)), strict=True)


class Value(BaseModel):
    """Fields that are read and never set, and no others than its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Parameters(BaseModel):
    """Parameters of a chapter: frozen, no others than its own, and none out of all proportion."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def from_names(cls, names: Mapping[str, Any]) -> Self:
        """Read the parameters from a notebook's names (`globals()`), and show them there."""
        made = strictly(cls, {name: names[name] for name in cls.model_fields})
        display.aside({"text/html": made._repr_html_(), "text/plain": repr(made)})
        return made

    def _repr_html_(self) -> str:
        """Names, values, meanings and units as a table, folded."""
        rows = []
        for name, value in self.model_dump(mode="json").items():
            field = type(self).model_fields[name]
            extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
            meaning, unit = field.description or "", str(extra.get("unit", ""))
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
