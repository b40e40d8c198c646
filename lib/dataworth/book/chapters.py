"""Chapters as py:percent files, in the order of the table of contents."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from dataworth import claims_file, strict_yaml
from dataworth.errors import UserError, did_you_mean, quoted, short

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
DOCUMENT = re.compile(r"[\w-]+(?:/[\w-]+)*")
MOST_MINUTES = 10_000_000
KINDS = {str: "text", dict: "mapping", list: "list of names"}
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

    @property
    def claims(self) -> Path:
        """Its claims file (`claims_file`); not every chapter has one."""
        return self.source.with_suffix(".claims.yaml")


@dataclass(frozen=True)
class Header:
    """The `dataworth` part of a chapter's YAML header; `main` names its chief parameters, `answer`
    the claim whose verdict answers the title."""

    title: str
    params: str | None
    description: str
    device: str
    expected_minutes: dict[str, float]
    main: tuple[str, ...] = ()
    answer: str | None = None


def documents(root: Path) -> list[str]:
    """Every `root:` and `file:` of _toc.yml, in reading order, relative to book/.

    Raises UserError where it is not YAML or one of them is not a name below book/.
    """
    toc = strict_yaml.read(root / "_toc.yml", "_toc.yml").value

    def walk(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            for key in ("root", "file"):
                if key in node:
                    if not isinstance(node[key], str) or not DOCUMENT.fullmatch(node[key]):
                        raise UserError(
                            f"_toc.yml: '{key}' is {quoted(node[key])}; it must be a name below "
                            "book/ without its ending, such as images/mixing."
                        )
                    yield node[key]
            for value in node.values():
                yield from walk(value)
        elif isinstance(node, list):
            for item in node:
                yield from walk(item)

    return list(walk(toc))


def parts(root: Path) -> dict[str, str]:
    """The caption of the part that each document of the contents stands in, by its name."""
    toc = strict_yaml.read(root / "_toc.yml", "_toc.yml").value
    found = toc.get("parts", []) if isinstance(toc, dict) else []
    return {
        chapter["file"]: str(part.get("caption", ""))
        for part in found
        for chapter in part.get("chapters", [])
    }


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
        raise UserError(
            f"Unknown chapter '{short(chapter_id)}'; the book has {', '.join(chapters)}."
            f"{did_you_mean(wanted, chapters)}"
        )
    return chapters[wanted]


def read(chapter: Chapter) -> Any:
    """The chapter as a notebook (nbformat node) with a fixed kernel and fixed cell ids.

    jupytext draws random ids; ours follow from position and text, so that two readings are equal.
    Raises UserError where the file is not UTF-8, its header not YAML, a code cell not Python.
    """
    shown = f"book/{chapter.docname}.py"
    try:
        text = chapter.source.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{shown} is not UTF-8 (byte {error.start}).") from None
    return deepcopy(_notebook(text, shown))


@lru_cache(maxsize=64)
def _notebook(text: str, shown: str) -> Any:
    declared = _front_matter(text, shown)
    notebook = _jupytext().reads(text, fmt="py:percent")
    notebook.metadata["dataworth"] = declared
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            _check_python(cell.source, f"Cell {index} of {shown}")
        cell.id = f"{index:03d}-{sha256(cell.source.encode()).hexdigest()[:8]}"
    notebook.metadata.pop("jupytext", None)
    notebook.metadata["kernelspec"] = dict(KERNEL)
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def python_of(cell: str) -> str:
    """A cell without IPython's own lines (`%magic`, `!command`)."""
    return "\n".join("" if line.startswith(("%", "!")) else line for line in cell.splitlines())


def _check_python(source: str, shown: str) -> None:
    """Raises UserError where a cell, IPython's own lines aside, is not Python."""
    try:
        ast.parse(python_of(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f" (its line {error.lineno})" if isinstance(error, SyntaxError) else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise UserError(f"{shown} is not Python{line}: {short(reason)}.") from None


@cache
def _jupytext() -> Any:
    """jupytext, without what its import would load for a second and a half: what jsonschema checks
    internationalised addresses and durations with, which no notebook's schema has, and the servers
    of notebooks. Both do without."""
    hidden = {
        "isoduration", "jupytext.async_contentsmanager", "jupytext.sync_contentsmanager",
        "rfc3987_syntax",
    } - set(sys.modules)  # fmt: skip
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        import jupytext
    finally:
        for name in hidden:
            del sys.modules[name]
    return jupytext


def header(chapter: Chapter, notebook: Any) -> Header:
    """Title (the first line of the first cell) and the declared metadata of a chapter.

    Raises UserError where the chapter does not begin with an H1 or has another one, or where it
    has claims and its title is no question: a title must not say what a verdict may deny.
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
    title = headings[0][2:].strip()
    if chapter.claims.is_file() and not title.endswith("?"):
        raise UserError(
            f"The title of book/{chapter.docname}.py is {quoted(title)}; that of a chapter with "
            "claims must be a question, which its verdicts answer."
        )
    return _declared(chapter, title, notebook.metadata["dataworth"])


def _front_matter(text: str, shown: str) -> dict[str, Any]:
    """What `jupyter: dataworth:` of the YAML header holds; the header stands in comments between
    two lines `# ---`. Raises UserError where that is not YAML or no mapping."""
    lines = text.splitlines()
    rule = [number for number, line in enumerate(lines) if line.rstrip() == "# ---"]
    if len(rule) < 2 or rule[0] != 0:
        return {}
    yaml = "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[1 : rule[1]])
    found = strict_yaml.parse(yaml, shown, first_line=2).value
    for name in ("jupyter", "dataworth"):
        if found is not None and not isinstance(found, dict):
            break
        found = (found or {}).get(name)
    if found is not None and not isinstance(found, dict):
        raise UserError(
            f"The header of {shown} must be a mapping with 'jupyter: dataworth:' in it."
        )
    return found or {}


def _declared(chapter: Chapter, title: str, declared: dict[str, Any]) -> Header:
    """Raises UserError for a name that is none of a header's, or a value of another type."""
    kinds = {
        "params": str, "description": str, "device": str, "expected_minutes": dict, "main": list,
        "answer": str,
    }  # fmt: skip
    where = f"The header of book/{chapter.docname}.py"
    for name, value in declared.items():
        if name not in kinds:
            raise UserError(f"{where} has '{short(name)}'; known are {', '.join(kinds)}.")
        names = value if name == "main" and isinstance(value, list) else ()
        if not isinstance(value, kinds[name]) or not all(isinstance(n, str) for n in names):
            raise UserError(
                f"{where}: '{name}' is {quoted(value)}; it must be a {KINDS[kinds[name]]}."
            )
    if answer := declared.get("answer"):
        ids = claims_file.read(chapter.claims).claims if chapter.claims.is_file() else {}
        if answer not in ids:
            raise UserError(
                f"{where}: 'answer' is {quoted(answer)}; it must be the id of a claim of the "
                f"chapter: {', '.join(ids) or 'it has none'}."
            )
    minutes = declared.get("expected_minutes", {})
    for profile, value in minutes.items():
        if type(value) not in (int, float) or not 0 <= value <= MOST_MINUTES:
            raise UserError(
                f"{where}: 'expected_minutes' of '{short(profile)}' is {quoted(value)}; it must be "
                f"a number from 0 to {MOST_MINUTES:,}."
            )
    return Header(
        title=title,
        params=declared.get("params"),
        description=declared.get("description", ""),
        device=declared.get("device", "cpu"),
        expected_minutes={profile: float(value) for profile, value in minutes.items()},
        main=tuple(declared.get("main", ())),
        answer=answer,
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
