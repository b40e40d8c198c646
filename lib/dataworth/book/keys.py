"""The key of an executed chapter: everything its outputs depend on, and nothing of its prose."""

from __future__ import annotations

import json
import platform
from hashlib import sha256
from pathlib import Path
from typing import Any

from dataworth import claims_file, closure, compute, weights
from dataworth.book.chapters import python_of
from dataworth.book.layout import Layout
from dataworth.data.catalog import keys_of

# A chapter's kernel never imports these (a test holds them to it), so they cannot change a result;
# `logs` only where log lines were asked for, which go to a file. What looks ahead at runs, where
# runs are computed and what shows how far they are (there, in a file) leave nothing in a notebook.
NOT_IN_KEY = ("book", "cli", "logs", "runs.engines", "runs.forecast", "runs.progress", "teach")
TOOLS = ("ipykernel", "ipython", "jupytext", "nbformat", "papermill")  # they shape the notebook


def chapter_key(
    chapter_id: str, notebook: Any, values: dict[str, Any], layout: Layout, params: str | None
) -> dict[str, Any]:
    """All that decides the outputs, as plain JSON, so that a build can say what changed
    (`why.differences`).

    `cells` (digests of the code cells), `parameters` (the profile's name too), and as for runs
    (`Spec.content`) `modules`, `files`, `libraries`, `cards`, `weights` and `machine`, of what the
    cells and the module of the parameters' class (params, "module:Class") import; `claims` (what
    its claims file states, and the title that goes into the ledger), `recorded` (the kept larger
    runs, by profile) and `python`. Raises UserError where claims file and cells do not agree.
    """
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    code = "\n".join(map(python_of, cells))
    start = {*closure.imported_by(code), *([params.partition(":")[0]] if params else [])}
    reached = closure.closure(start, skip=NOT_IN_KEY)
    libraries = {*closure.libraries_of(code), *TOOLS}
    texts = frozenset(closure.texts_in(values))
    stated = claims_file.of_cells(chapter_id, code, layout.book)
    claims = {id: one.model_dump() for id, one in stated.claims.items()} if stated else {}
    named = texts | reached.foreign | closure.strings_of(closure.parsed(code))
    return {
        "cells": [digest(cell) for cell in cells],
        "parameters": {"profile": layout.profile, **values},
        "modules": reached.modules,
        "files": reached.files,
        "libraries": reached.libraries | closure.versions(libraries),
        "claims": {id: digest(one) for id, one in claims.items()}
        | ({"of the title": digest(stated.title)} if stated else {}),
        "cards": keys_of(reached.strings, named),
        "weights": weights.digests(texts),
        "machine": compute.machine(),
        "recorded": {path.parent.name: file_key(path) for path in layout.recorded(chapter_id)},
        "python": platform.python_version(),
    }


def digest(value: object) -> str:
    """Short hash of a JSON value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return sha256(text.encode()).hexdigest()[:16]


def file_key(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else "none"
