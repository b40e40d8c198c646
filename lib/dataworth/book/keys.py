"""The key of an executed chapter: everything its outputs depend on, and nothing of its prose."""

from __future__ import annotations

import ast
import json
import platform
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import dataworth
from dataworth.book.layout import Layout

# A chapter's kernel never imports these (a test holds them to it), so they cannot change a result.
NOT_IN_KEY = ("book/", "cli.py")


def chapter_key(
    chapter_id: str, notebook: Any, values: dict[str, Any], layout: Layout
) -> dict[str, str]:
    """Named parts of the key (hex digests), so that a build can say what changed."""
    return {
        "code cells": digest([c.source for c in notebook.cells if c.cell_type == "code"]),
        "parameters": digest({"profile": layout.profile, **values}),
        "library": package_key(Path(dataworth.__file__).parent),
        "data": data_key(),
        "recorded run": digest([file_key(path) for path in layout.recorded(chapter_id)]),
        "requirements.lock": file_key(layout.root / "requirements.lock"),
        "python": platform.python_version(),
    }


def changed_parts(stored: dict[str, str], current: dict[str, str]) -> list[str]:
    """Names of the parts in which two keys differ; empty when they are equal."""
    return [n for n in {**stored, **current} if stored.get(n) != current.get(n)]


def digest(value: object) -> str:
    """Short hash of a JSON value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return sha256(text.encode()).hexdigest()[:16]


def file_key(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else "none"


@cache
def package_key(package: Path) -> str:
    """Hash of the package's code and data files; comments, docstrings and layout do not count."""
    entries = {}
    for path in sorted(package.rglob("*")):
        name = path.relative_to(package).as_posix()
        if path.is_dir() or "__pycache__" in name or name.startswith(NOT_IN_KEY):
            continue
        if path.suffix == ".py":
            entries[name] = sha256(normalised(path.read_text()).encode()).hexdigest()
        else:
            entries[name] = sha256(path.read_bytes()).hexdigest()
    return digest(entries)


def normalised(source: str) -> str:
    """`source` without comments, docstrings and spacing."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        match node:
            case (
                ast.Module(body=[ast.Expr(value=ast.Constant(value=str())), *_])
                | ast.ClassDef(body=[ast.Expr(value=ast.Constant(value=str())), *_])
                | ast.FunctionDef(body=[ast.Expr(value=ast.Constant(value=str())), *_])
                | ast.AsyncFunctionDef(body=[ast.Expr(value=ast.Constant(value=str())), *_])
            ):
                node.body = node.body[1:]
    return ast.dump(tree)


def data_key() -> str:
    """Checksums of the declared data sets."""
    from dataworth.data import fingerprint

    return fingerprint()
