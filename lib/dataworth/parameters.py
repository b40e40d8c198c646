"""What the parameters of every chapter have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field


def field(default: Any, meaning: str, unit: str = "", **limits: Any) -> Any:
    """A parameter of a chapter: its default, meaning and unit, as the page's table shows them."""
    return Field(default, description=meaning, json_schema_extra={"unit": unit}, **limits)


class Parameters(BaseModel):
    """Parameters of a chapter: frozen, and no others than its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def from_names(cls, names: Mapping[str, Any]) -> Self:
        """Read the parameters from a notebook's names (`globals()`)."""
        return cls(**{name: names[name] for name in cls.model_fields})
