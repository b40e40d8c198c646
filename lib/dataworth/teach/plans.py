"""What teach/<chapter>.yaml adds to a chapter: goals, prerequisites, a run for the class, quiz."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dataworth import strict_yaml
from dataworth.book.chapters import Chapter
from dataworth.errors import UserError
from dataworth.parameters import faults

Line = Annotated[str, Field(min_length=1)]
MINUTES = Annotated[int, Field(ge=1, le=240)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Run(_Part):
    """A run for the class: parameters that differ from the chapter's, and what to look at."""

    parameters: dict[str, Any] = Field(min_length=1)
    look_at: Line


class Question(_Part):
    """Multiple choice; `answer` is the number of the right choice, from 1."""

    question: Line
    choices: list[Line] = Field(min_length=2, max_length=5)
    answer: int = Field(ge=1)
    why: Line

    @model_validator(mode="after")
    def _is_a_choice(self) -> Question:
        if self.answer > len(self.choices):
            raise ValueError(f"answer must be the number of a choice, 1 to {len(self.choices)}")
        return self


class Plan(_Part):
    """One lesson. minutes: what is done for how long, in order; handout: sentences to keep."""

    goals: list[Line] = Field(min_length=2, max_length=5)
    prerequisites: list[Line] = Field(min_length=1)
    minutes: dict[str, MINUTES] = Field(min_length=2)
    run: Run
    quiz: list[Question] = Field(min_length=3)
    handout: list[Line] = Field(min_length=2, max_length=5)


def folder(root: Path) -> Path:
    return root / "teach"


def read(chapter: Chapter, root: Path) -> Plan | None:
    """The lesson on a chapter; None where it has none.

    Raises UserError naming file, field, value and what is allowed.
    """
    path = folder(root) / f"{chapter.stem}.yaml"
    if not path.is_file():
        return None
    shown = path.relative_to(root).as_posix()
    found = strict_yaml.read(path, shown)
    try:
        return Plan.model_validate(found.value)
    except ValidationError as error:
        places = {name: f"{shown}, line {line}" for name, line in found.lines.items()}
        raise UserError(f"{shown}: {faults(error, places)}.") from None
