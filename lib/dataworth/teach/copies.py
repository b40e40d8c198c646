"""Copies of chapters without their solutions, and the check that none is left."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from html import unescape
from pathlib import Path
from typing import Any

from dataworth.errors import UserError

Notebook = dict[str, Any]

# A fence of a solution: in a notebook's cell as it stands, in a .py behind "# ".
SOLUTION = re.compile(
    r"^(?P<in>#? ?)```\{admonition\} Solution\n(?P<text>.*?)^(?P=in)```[ \t]*\n?",
    re.MULTILINE | re.DOTALL,
)
WINDOW = 8
"""So many words in a row of a solution are one: fewer stand in the chapter's own prose, too."""


def without(text: str) -> str:
    """Text of a chapter, its source or a Markdown cell, without solutions."""
    cut = SOLUTION.sub("", text)
    return re.sub(r"((?:^#?[ \t]*\n){2})(?:^#?[ \t]*\n)+", r"\1", cut, flags=re.MULTILINE)


def student(notebook: Mapping[str, Any]) -> Notebook:
    """A notebook without solutions: those of Markdown, and cells tagged `solution` as a whole."""
    cells = []
    for cell in notebook["cells"]:
        if "solution" in cell["metadata"].get("tags", []):
            continue
        cell = deepcopy(dict(cell))
        if cell["cell_type"] == "markdown":
            cell["source"] = without("".join(cell["source"]))
        cells.append(cell)
    return {**notebook, "cells": cells}


def solutions(text: str) -> list[str]:
    """The solutions of a chapter's source, in its order."""
    return [re.sub(r"^# ?", "", m["text"], flags=re.MULTILINE) for m in SOLUTION.finditer(text)]


def words(text: str) -> list[str]:
    """The words of a text, whatever mark-up stands between them."""
    text = re.sub(r"<[^<>]*>", " ", unescape(text.replace("\\n", " ").replace('\\"', '"')))
    return re.findall(r"[a-z]{2,}|\d+", text.lower())


def _windows(text: str) -> set[str]:
    found = words(text)
    return {" ".join(found[i : i + WINDOW]) for i in range(len(found) - WINDOW + 1)}


def leaks(files: Iterable[Path], sources: Iterable[str]) -> list[str]:
    """A sentence for each file that holds words of a solution of the chapters' `sources`.

    Compared are runs of eight words (a shorter solution: as a whole), whatever the mark-up, that do
    not stand in the sources outside solutions.
    """
    own: set[str] = set()
    secret: set[str] = set()
    for source in sources:
        own |= _windows(without(source))
        for solution in solutions(source):
            secret |= _windows(solution.partition("\n")[2]) or {" ".join(words(solution))}
    secret -= own
    found = []
    for path in files:
        text = path.read_text(encoding="utf-8", errors="ignore")
        if said := sorted(_windows(text) & secret):
            found.append(f"{path.name} says '{said[0]}'")
    return found


def check(folder: Path, sources: Iterable[str], aside: Path | None = None) -> None:
    """Raises UserError where a text below `folder`, but not below `aside`, holds words of a
    solution."""
    kinds = {".html", ".ipynb", ".py", ".md", ".js", ".txt", ".json", ".csv"}
    files = [
        p
        for p in sorted(folder.rglob("*"))
        if p.suffix in kinds
        and p.is_file()
        and p.name != "tex-svg.js"
        and not (aside and p.is_relative_to(aside))
    ]
    if found := leaks(files, sources):
        raise UserError(f"Solutions stand in {len(found)} student files: {'; '.join(found[:5])}.")


SETUP = """\
# Set-up, for Colab or a hub: does nothing where dataworth is installed.
import importlib.util, os, subprocess, sys
if importlib.util.find_spec("dataworth") is None:
    where = os.environ.get("DATAWORTH_SOURCE", "dataworth")  # or a folder, a wheel
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", where], check=True)
"""


def with_setup(notebook: Notebook) -> Notebook:
    """A notebook with one hidden cell in front that installs the library where it is missing."""
    cell: dict[str, Any] = {
        "cell_type": "code", "id": "set-up", "execution_count": None, "outputs": [],
        "metadata": {"tags": ["hide-cell"], "jupyter": {"source_hidden": True}},
        "source": SETUP,
    }  # fmt: skip
    return {**notebook, "cells": [notebook["cells"][0], cell, *notebook["cells"][1:]]}
