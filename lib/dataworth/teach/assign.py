"""Assignments with hidden tests, in nbgrader's format, and a small grader that needs no nbgrader.

teach/assignments/<chapter>.py is a notebook as text. A cell with `### BEGIN SOLUTION` ... `### END
SOLUTION` is an answer; a cell tagged `points-2` is a test worth two points, of which what stands
between `### BEGIN HIDDEN TESTS` and `### END HIDDEN TESTS` no student sees. The notebook made of it
carries nbgrader's metadata (schema 3), so that nbgrader can take it as the source of an assignment.
"""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataworth.book.chapters import KERNEL, Chapter, python_of
from dataworth.errors import UserError, short
from dataworth.teach.worker import Cells

Notebook = dict[str, Any]
Cell = dict[str, Any]

ANSWER = re.compile(
    r"^(?P<in>[ \t]*)### BEGIN SOLUTION\n.*?^[ \t]*### END SOLUTION[ \t]*$", re.M | re.S
)
HIDDEN = re.compile(
    r"^[ \t]*### BEGIN HIDDEN TESTS\n.*?^[ \t]*### END HIDDEN TESTS[ \t]*$\n?", re.M | re.S
)
BLANK = "# YOUR CODE HERE\nraise NotImplementedError()"
SECONDS = 60.0  # that a submission may run


def path_of(chapter: Chapter, root: Path) -> Path:
    return root / "teach" / "assignments" / f"{chapter.stem}.py"


def read(chapter: Chapter, root: Path) -> Notebook | None:
    """The assignment on a chapter with its solutions; None where it has none."""
    path = path_of(chapter, root)
    return of_text(path.read_text(encoding="utf-8")) if path.is_file() else None


def of_text(text: str) -> Notebook:
    """The notebook of an assignment's source. Raises UserError where it tests or asks nothing."""
    import jupytext

    cells: list[Cell] = []
    for number, cell in enumerate(jupytext.reads(text, fmt="py:percent").cells):
        tags = cell.metadata.get("tags", [])
        points = next((int(t.removeprefix("points-")) for t in tags if t.startswith("points-")), 0)
        solution = bool(ANSWER.search(cell.source))
        made: Cell = {"cell_type": cell.cell_type, "id": f"cell-{number:02d}", "metadata": {}}
        if cell.cell_type == "code":
            about: dict[str, Any] = {
                "grade": points > 0, "grade_id": f"cell-{number:02d}", "locked": not solution,
                "schema_version": 3, "solution": solution, "task": False,
            }  # fmt: skip
            if points:
                about["points"] = points
            made |= {"execution_count": None, "outputs": [], "metadata": {"nbgrader": about}}
        cells.append({**made, "source": cell.source})
    kinds = [cell["metadata"].get("nbgrader", {}) for cell in cells]
    if not any(k.get("grade") for k in kinds) or not any(k.get("solution") for k in kinds):
        raise UserError(
            "An assignment needs a cell with '### BEGIN SOLUTION' and one tagged 'points-N'."
        )
    about = {"kernelspec": dict(KERNEL), "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": 5}


def released(master: Notebook) -> Notebook:
    """What students get: answers blank, hidden tests gone."""
    given = deepcopy(master)
    for cell in given["cells"]:
        cell["source"] = HIDDEN.sub("", ANSWER.sub(_blank, cell["source"])).rstrip("\n")
    return given


def _blank(found: re.Match[str]) -> str:
    return "\n".join(found["in"] + line for line in BLANK.splitlines())


@dataclass(frozen=True)
class Score:
    """Points of one test; `told`: why it failed, empty where it passed."""

    test: str
    points: int
    most: int
    told: str


def grade(
    master: Notebook,
    submission: Mapping[str, Any],
    seconds: float = SECONDS,
    run: Callable[[Cells, float], dict[str, str]] | None = None,
) -> list[Score]:
    """Run a submission with the master's tests in place of its own; the score of each test.

    The submission runs in a process of its own, with the rights of who grades: in a container,
    where it is not trusted. A test that was deleted is run at the end; what has not run after
    `seconds` has failed. run: executes cells and gives what became of them (default: `apart`).
    """
    tests = {_id(cell): cell for cell in master["cells"] if _about(cell).get("grade")}
    cells = []
    for cell in submission["cells"]:
        if cell["cell_type"] != "code":
            continue
        name = _id(cell)
        source = tests[name]["source"] if name in tests else "".join(cell["source"])
        cells.append((name, source))
    given = {name for name, _ in cells}
    cells += [(name, cell["source"]) for name, cell in tests.items() if name not in given]
    failed = (run or apart)([(name, python_of(source)) for name, source in cells], seconds)
    scores = []
    for name, cell in tests.items():
        most = int(_about(cell)["points"])
        told = failed.get(
            name, f"not reached (the submission ended before, or after {seconds:g} s)"
        )
        scores.append(Score(name, 0 if told else most, most, told))
    return scores


def read_submission(path: Path) -> Notebook:
    """Raises UserError where the file is no notebook."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        cells = [(c["cell_type"], c["metadata"], "".join(c["source"])) for c in found["cells"]]
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"'{path}' is not a notebook (.ipynb).") from None
    if not cells:
        raise UserError(f"'{path}' has no cells.")
    return dict(found)


def _about(cell: Mapping[str, Any]) -> dict[str, Any]:
    return dict(cell["metadata"].get("nbgrader", {}))


def _id(cell: Mapping[str, Any]) -> str:
    return str(_about(cell).get("grade_id", ""))


def apart(cells: Cells, seconds: float) -> dict[str, str]:
    """Execute cells in a process of their own. What became of each named one: "" where it ran, else
    the error; those that were not reached are left out."""
    mark = secrets.token_hex(16)
    text = json.dumps({"mark": mark, "cells": cells})
    try:
        said = subprocess.run(
            [sys.executable, "-m", "dataworth.teach.worker"], input=text, capture_output=True,
            text=True, timeout=seconds, check=False,
        ).stdout  # fmt: skip
    except subprocess.TimeoutExpired as error:
        said = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
    found = {}
    for line in said.splitlines():
        head, _, rest = line.partition(" ")
        if head == mark:
            name, told = json.loads(rest)
            found[name] = short(told, 300)
    return found
