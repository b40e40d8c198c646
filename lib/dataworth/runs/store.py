"""The result store: one folder per run, named by the spec's hash, complete or absent.

    <root>/<kind>/<key>/spec.json       the spec
                        arrays.npz      named arrays
                        result.json     metrics and provenance
                        complete.json   sha256 of the files above: the completion mark

A result is written under a temporary name and renamed when its mark is in place, so a killed run
leaves nothing that counts. A damaged entry (mark or checksum wrong) is deleted and recomputed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import uuid
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import UserError
from dataworth.paths import store_dir
from dataworth.runs.spec import Outcome, Spec

FILES = ("spec.json", "arrays.npz", "result.json")
MARK = "complete.json"


@dataclass(frozen=True)
class Result:
    """A finished run, read from its folder; arrays load on first use."""

    spec: Spec
    path: Path
    metrics: dict[str, Any]
    provenance: dict[str, Any]

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        with np.load(self.path / "arrays.npz") as loaded:
            return dict(loaded)


class Store:
    """Results by spec below a folder (default: `runs/` of `dataworth.paths.home()`)."""

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = Path(root) if root is not None else store_dir()

    def path(self, spec: Spec) -> Path:
        return self.root / spec.kind / spec.key

    def get(self, spec: Spec) -> Result | None:
        """The stored result, or None if it is absent or damaged (then it is deleted)."""
        path = self.path(spec)
        if not path.exists():
            return None
        try:
            mark = json.loads((path / MARK).read_text())
            if any(_sha256(path / name) != mark[name] for name in FILES):
                raise ValueError("checksum")
            stored = json.loads((path / "result.json").read_text())
        except (OSError, ValueError, KeyError, TypeError):
            warnings.warn(f"stored run {path} is damaged; computing it again", stacklevel=2)
            shutil.rmtree(path, ignore_errors=True)
            return None
        return Result(spec, path, stored["metrics"], stored["provenance"])

    def put(self, spec: Spec, outcome: Outcome, provenance: dict[str, Any]) -> Result:
        """Store a result whole or not at all.

        Raises UserError when the disk is full; nothing that was finished is lost by it.
        """
        path = self.path(spec)
        temporary = path.parent / f".{path.name}-{uuid.uuid4().hex[:8]}"
        try:
            temporary.mkdir(parents=True)
            (temporary / "spec.json").write_text(json.dumps(spec.content, indent=1))
            np.savez(temporary / "arrays.npz", **outcome.arrays)  # type: ignore[arg-type]
            (temporary / "result.json").write_text(
                json.dumps({"metrics": outcome.metrics, "provenance": provenance}, indent=1)
            )
            mark = {name: _sha256(temporary / name) for name in FILES}
            (temporary / MARK).write_text(json.dumps(mark, indent=1))
            try:
                temporary.rename(path)
            except OSError as error:  # another process finished the same run first
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise UserError(
                    f"run store {self.root} has no space left; free some and start again "
                    "(finished runs are kept)."
                ) from error
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return Result(spec, path, outcome.metrics, provenance)

    def load(self, spec: Spec) -> Result:
        """The stored result. Raises KeyError if there is none: run it first (`run_tasks`)."""
        result = self.get(spec)
        if result is None:
            raise KeyError(f"no stored run {spec.kind}/{spec.key}")
        return result


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
