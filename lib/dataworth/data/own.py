"""What a user says of their own data: where they are, and how they are read."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from dataworth.parameters import Value

HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<commit>[\w.-]+))?")
Name = Annotated[str, Field(min_length=1, max_length=200)]


class OwnData(Value):
    """Where the data are, and what cannot be guessed of them: one line of a YAML file, or one
    option of `dataworth data add`, for each field. None: guessed, and said in the report.

    `images` or `text` is a folder, a file or a hub id (`owner/name`, `@` and a commit after it).
    Columns are those of tables (nested ones with dots).
    """

    images: str | None = None
    text: str | None = None
    config: Name | None = Field(None, description="configuration of a hub repository")
    # images
    image_size: int | None = Field(None, ge=8, le=1024, multiple_of=4)
    grey: bool = Field(False, description="grey pixels, whatever the files hold")
    image_column: Name | None = None
    label_column: Name | None = None
    test: Name | None = Field(None, description="the split that serves as test set")
    words: dict[str, tuple[Name, ...]] = Field(
        default_factory=dict, description="words that name a class in prompts and captions"
    )
    # texts
    text_column: Name | None = None
    date_column: Name | None = None
    domain_column: Name | None = None
    label_columns: tuple[Name, ...] | None = None
    date_format: Name | None = Field(None, description="as of strptime: %d/%m/%y")
    undated: Literal["keep", "drop"] = "keep"
    html: Literal["keep", "strip"] = "keep"
    longest: int = Field(10_000_000, ge=100, description="characters of the longest document kept")
    documents: int = Field(1_000_000, ge=1, description="read at most so many")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.images is None) == (self.text is None):
            raise ValueError("name either images or text: a folder, a file or a hub id")
        return self

    @property
    def source(self) -> str:
        """The folder, file or hub id."""
        return self.images or self.text or ""

    def said(self) -> dict[str, Any]:
        """The fields that differ from their defaults, as plain values."""
        return self.model_dump(mode="json", exclude_defaults=True)
