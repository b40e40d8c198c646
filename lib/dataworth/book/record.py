"""run.json: what one finished execution of a chapter was."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict  # pydantic reads typing's only from 3.12 on

from dataworth.claims import Run


@with_config(ConfigDict(extra="forbid", strict=True))
class CellTime(TypedDict):
    """First line and duration of a code cell."""

    line: str
    seconds: Annotated[float, Field(ge=0)]


class Record(Run):
    """`key`: what the execution depended on. `files`: SHA-256 of what it made, None where it made
    no such file."""

    chapter: str
    profile: str
    peak_memory_mb: Annotated[int, Field(ge=0)]
    cells: list[CellTime]
    parameters: dict[str, Any]
    key: dict[str, Any]
    files: dict[str, str | None]


RECORD = TypeAdapter(Record)
