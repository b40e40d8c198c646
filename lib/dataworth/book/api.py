"""A Sphinx extension: docstrings, which are plain text, as pages (`book/api`).

They are no reStructuredText, so none of them may break the book, whose warnings are errors: a
paragraph is flowing text with `names` as code; one with indented lines is shown as it stands.
"""

from __future__ import annotations

import re
from typing import Any


def readable(lines: list[str]) -> list[str]:
    """The lines of a docstring as reStructuredText that cannot be read otherwise."""
    found: list[str] = []
    for paragraph in re.split(r"\n\s*\n", "\n".join(lines).strip("\n")):
        rows = paragraph.split("\n")
        if any(row.startswith(" ") for row in rows):
            found += ["::", "", *(f"    {row}" for row in rows), ""]
            continue
        parts = re.split(r"`([^`]+)`", " ".join(rows))
        parts[::2] = [re.sub(r"([^A-Za-z0-9\s])", r"\\\1", text) for text in parts[::2]]
        parts[1::2] = [f"\\ ``{code.strip()}``\\ " for code in parts[1::2]]
        found += ["".join(parts), ""]
    return found


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""

    def convert(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
        lines[:] = readable(lines)

    app.connect("autodoc-process-docstring", convert)
    return {"parallel_read_safe": True}
