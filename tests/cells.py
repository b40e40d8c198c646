"""Parameter models with the values of the chapters' own cells, which are the profile quick."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from dataworth.book import chapters, parameters
from dataworth.parameters import Parameters
from dataworth.paths import project_root

M = TypeVar("M", bound=Parameters)


@cache
def _cells() -> dict[str, dict[str, Any]]:
    """By model, as the headers name them, the values of every chapter's cell."""
    root = project_root()
    assert root is not None
    read = [(chapter, chapters.read(chapter)) for chapter in chapters.find(root)]
    return {
        str(chapters.header(chapter, notebook).params): parameters.cell_defaults(chapter, notebook)
        for chapter, notebook in read
    }


def cell(model: type[M], /, **changes: Any) -> M:
    """`model` as its chapter's cell has it, but for `changes`; a base class as the first chapter
    that builds on it."""
    values = _cells().get(f"{model.__module__}:{model.__name__}")
    if values is None:
        values = next(v for v in _cells().values() if set(model.model_fields) <= set(v))
    return model(**{name: values[name] for name in model.model_fields} | changes)
