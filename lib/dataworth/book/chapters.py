"""Chapters as py:percent files, in the order of the table of contents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from dataworth.errors import UserError

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
GENERATED = {"run_times"}  # pages that have no source of their own


@dataclass(frozen=True)
class Chapter:
    """One executable page: `source` is book/<docname>.py."""

    source: Path
    docname: str

    @property
    def stem(self) -> str:
        return self.source.stem

    @property
    def id(self) -> str:
        return self.stem.replace("_", "-")


@dataclass(frozen=True)
class Header:
    """The `dataworth` part of a chapter's YAML header."""

    title: str
    params: str | None
    description: str
    device: str
    expected_minutes: dict[str, float]


def documents(root: Path) -> list[str]:
    """Every `root:` and `file:` of _toc.yml, in reading order, relative to book/."""
    toc = yaml.safe_load((root / "_toc.yml").read_text())

    def walk(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            for key in ("root", "file"):
                if key in node:
                    yield str(node[key])
            for value in node.values():
                yield from walk(value)
        elif isinstance(node, list):
            for item in node:
                yield from walk(item)

    return list(walk(toc))


def find(root: Path) -> list[Chapter]:
    """The chapters of the table of contents.

    Raises UserError for an entry without a file and for two chapters of one id.
    """
    chapters: dict[str, Chapter] = {}
    for name in documents(root):
        source = root / "book" / f"{name}.py"
        if source.is_file():
            chapter = Chapter(source, name)
            if chapter.id in chapters:
                raise UserError(f"_toc.yml lists two chapters with the id '{chapter.id}'.")
            chapters[chapter.id] = chapter
        elif name not in GENERATED and not source.with_suffix(".md").is_file():
            raise UserError(
                f"_toc.yml lists '{name}', but book/ has neither {name}.py nor {name}.md."
            )
    return list(chapters.values())


def get(root: Path, chapter_id: str) -> Chapter:
    """The chapter called `chapter_id` (dashes or underscores)."""
    chapters = {c.id: c for c in find(root)}
    wanted = chapter_id.replace("_", "-")
    if wanted not in chapters:
        raise UserError(f"Unknown chapter '{chapter_id}'; the book has {', '.join(chapters)}.")
    return chapters[wanted]


def read(chapter: Chapter) -> Any:
    """The chapter as a notebook (nbformat node) with a fixed kernel and fixed cell ids.

    jupytext draws random ids; ours follow from position and text, so that two readings are equal.
    """
    import jupytext

    notebook = jupytext.reads(chapter.source.read_text(), fmt="py:percent")
    for index, cell in enumerate(notebook.cells):
        cell.id = f"{index:03d}-{sha256(cell.source.encode()).hexdigest()[:8]}"
    notebook.metadata.pop("jupytext", None)
    notebook.metadata["kernelspec"] = dict(KERNEL)
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def header(chapter: Chapter, notebook: Any) -> Header:
    """Title (the first line of the first cell) and the declared metadata of a chapter.

    Raises UserError where the chapter does not begin with an H1 or has another one.
    """
    headings = [
        line
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for line in outside_fences(cell.source)
        if line.startswith("# ")
    ]
    first = notebook.cells[0].source.splitlines() if notebook.cells else []
    if len(headings) != 1 or not first or first[0] != headings[0]:
        raise UserError(
            f"book/{chapter.docname}.py must begin with one '# title' line and have no other; "
            f"it has {len(headings)}."
        )
    declared = dict(notebook.metadata.get("dataworth", {}))
    return Header(
        title=headings[0][2:].strip(),
        params=declared.get("params"),
        description=str(declared.get("description", "")),
        device=str(declared.get("device", "cpu")),
        expected_minutes={k: float(v) for k, v in declared.get("expected_minutes", {}).items()},
    )


def outside_fences(markdown: str) -> Iterator[str]:
    """Lines of `markdown` that are not inside a ``` or ::: code fence."""
    fence = ""
    for line in markdown.splitlines():
        mark = line.strip()[:3]
        if mark == "```":
            fence = "" if fence else mark
        elif not fence:
            yield line
