"""The result store: one folder per run, named by the spec's hash, complete or absent.

    <root>/<kind>/<key>/spec.json       all that decides the result (`Spec.content`)
                        arrays.npz      named arrays
                        result.json     metrics and provenance
                        complete.json   sha256 of the files above: the completion mark
    <root>/damaged/<kind>-<key>-<time>  entries that were found damaged

A result is written under a temporary name and renamed when its mark is in place, so a killed run
leaves nothing that counts. Damage is a mismatch: of a checksum, or of the stored content and the
content asked for. What is damaged is moved aside and computed again. Everything else that a file
system may answer is an error in one sentence, and nothing is touched. Files are not flushed to the
disk one by one: after a power cut the checksums tell what did not reach it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import stat
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import UserError
from dataworth.paths import store_dir
from dataworth.runs import leases

log = logging.getLogger(__name__)

FILES = ("spec.json", "arrays.npz", "result.json")
MARK = "complete.json"
DAMAGED = "damaged"


class Run(Protocol):
    """What the store asks of a run (a `Spec`): its kind, and all that decides its result."""

    kind: ClassVar[str]

    @property
    def content(self) -> dict[str, Any]: ...

    @property
    def key(self) -> str: ...

    @property
    def identity(self) -> str: ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class Outcome:
    """What a run hands to the store: named arrays, and metrics that fit in JSON."""

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)


def key_of(content: dict[str, Any]) -> str:
    """The key of a run's content (`Spec.content`), also of one read back from the store."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Result:
    """A finished run, read from its folder; arrays load on first use.

    sha256: of the arrays' file when the result was read or stored. Raises UserError where the file
    is another one when the arrays load.
    """

    spec: Run
    path: Path
    metrics: dict[str, Any]
    provenance: dict[str, Any]
    sha256: str = field(repr=False)

    @property
    def key(self) -> str:
        """Under which it was stored; `spec.key` is what today's code on this machine would ask
        for, and takes milliseconds to find."""
        return self.path.name

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        with told(self.path.parent.parent), (self.path / "arrays.npz").open("rb") as file:
            with suppress(ValueError, EOFError, zipfile.BadZipFile):
                if _sha256(file) == self.sha256:
                    file.seek(0)
                    with np.load(file, allow_pickle=False) as loaded:
                        return dict(loaded)
            raise UserError(
                f"stored run {self.path} was damaged after it had been found whole; start again: "
                "it is then computed anew."
            )


class Store:
    """Results by spec below a folder (default: `runs/` of `dataworth.paths.home()`).

    Every method raises UserError where the file system refuses or fails.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = Path(root) if root is not None else store_dir()

    def path(self, spec: Run) -> Path:
        return self.root / spec.kind / spec.key

    def get(self, spec: Run) -> Result | None:
        """The stored result, or None if it is absent or damaged (then it is moved aside)."""
        path = self.path(spec)
        with told(self.root):
            try:
                state = path.stat()
            except FileNotFoundError:
                return None
            try:
                found = _read(path, spec)
            except _DamageError as damage:
                log.info("%s is damaged: %s", path, damage)
                self._set_aside(path, state.st_ino, str(damage))
                return None
        log.debug("%s is stored", path)
        with suppress(OSError):  # when it was last used, for `dataworth store prune`
            os.utime(path)
        return found

    def _set_aside(self, path: Path, inode: int, why: str) -> None:
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        aside = self.root / DAMAGED / f"{path.parent.name}-{path.name}-{now}"
        aside.parent.mkdir(exist_ok=True)
        try:
            path.rename(aside)
        except FileNotFoundError:  # another process was faster
            return
        if aside.stat().st_ino != inode:  # and has stored a good one since we looked
            with suppress(OSError):
                aside.rename(path)
            return
        warnings.warn(
            f"stored run {path} is damaged; computing it again ({why}; it is kept as {aside})",
            stacklevel=3,
        )

    def put(self, spec: Run, outcome: Outcome, provenance: dict[str, Any]) -> Result:
        """Store a result whole or not at all; where another process stored it first, its result.

        Raises UserError when the disk is full or cannot be written (nothing that was finished is
        lost by it) and TypeError for values that are no JSON, or arrays of Python objects.
        """
        content = spec.content
        path = self.root / spec.kind / key_of(content)
        result = json.dumps({"metrics": outcome.metrics, "provenance": provenance}, indent=1)
        for name, array in outcome.arrays.items():
            if np.asarray(array).dtype.hasobject:
                raise TypeError(f"array {name!r} holds Python objects; only plain values are kept")
        temporary = leases.temporary(path)
        with told(self.root):
            self.clear()
            try:
                temporary.mkdir(parents=True)
                (temporary / "spec.json").write_text(json.dumps(content, indent=1))
                np.savez(temporary / "arrays.npz", **outcome.arrays)  # type: ignore[arg-type]
                (temporary / "result.json").write_text(result)
                mark = {name: _sha256_of(temporary / name) for name in FILES}
                (temporary / MARK).write_text(json.dumps(mark, indent=1))
                try:
                    temporary.rename(path)
                except OSError as error:
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                        raise
                    if (first := self.get(spec)) is not None:
                        return first
                    temporary.rename(path)  # what stood there was damaged
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        return Result(spec, path, **json.loads(result), sha256=mark["arrays.npz"])

    def load(self, spec: Run) -> Result:
        """The stored result. Raises KeyError if there is none: run it first (`run_tasks`)."""
        result = self.get(spec)
        if result is None:
            raise KeyError(f"no stored run {spec.kind}/{spec.key}")
        return result

    def claim(self, path: Path) -> leases.Lease | None:
        """The right to compute the run with this folder; None while another process has it."""
        with told(self.root):
            self.clear()
            return leases.claim(path)

    def holder(self, path: Path) -> leases.Holder | None:
        """The live process that computes the run with this folder, if there is one."""
        with told(self.root):
            return leases.holder(path)

    def clear(self, again: bool = False) -> None:
        """Remove what dead processes left; once a process, unless `again`."""
        if again or self.root not in _cleared:
            _cleared.add(self.root)
            for path in self.left_over():
                log.debug("%s was left by a process that is gone", path)
                with suppress(OSError):
                    leases.clear(path)

    def left_over(self) -> list[Path]:
        """Temporaries and leases of dead processes."""
        with told(self.root):
            return [path for folder in folders(self.root) for path in leases.left_over(folder)]


_cleared: set[Path] = set()


class _DamageError(Exception):
    """An entry that is not what its name says."""


@contextmanager
def told(root: Path) -> Iterator[None]:
    """Errors of the file system in one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            sentence = (
                f"run store {root} has no space left; free some and start again "
                "(finished runs are kept)."
            )
        else:
            where = f" at {error.filename}" if error.filename else ""
            advice = (
                "make that possible, or name another folder by DATAWORTH_HOME"
                if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
                else "start again when it can be"
            )
            sentence = (
                f"run store {root} cannot be read or written ({error.strerror or error}{where}); "
                f"{advice} (finished runs are kept)."
            )
        raise UserError(sentence) from error


def folders(root: Path) -> list[Path]:
    """The folders of runs in a store, one a kind. Raises OSError."""
    try:
        found = sorted(root.iterdir())
    except FileNotFoundError:
        return []
    return [p for p in found if p.is_dir() and p.name != DAMAGED and not p.name.startswith(".")]


def read(path: Path, spec: Run) -> Result | None:
    """An entry if it is there and whole. Raises OSError."""
    try:
        return _read(path, spec)
    except (FileNotFoundError, _DamageError):
        return None


def _read(path: Path, spec: Run) -> Result:
    """A whole entry, checked. Raises _DamageError, and OSError for all that is no mismatch."""
    if not stat.S_ISDIR(path.stat().st_mode):
        raise _DamageError("it is no folder")
    try:
        mark = json.loads((path / MARK).read_bytes())
        if not isinstance(mark, dict) or set(mark) != set(FILES):
            raise _DamageError(f"{MARK} does not name its files")
        content, stored = (
            _checked(path / name, mark[name]) for name in ("spec.json", "result.json")
        )
        if _sha256_of(path / "arrays.npz") != mark["arrays.npz"]:
            raise _DamageError("the checksum of arrays.npz differs")
        if key_of(content) != path.name:
            raise _DamageError("it is the result of another run")
        return Result(
            spec, path, stored["metrics"], stored["provenance"], sha256=mark["arrays.npz"]
        )
    except (FileNotFoundError, IsADirectoryError) as error:
        raise _DamageError(f"{Path(error.filename or path).name} is missing") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _DamageError(f"{type(error).__name__} on reading it") from error


def _checked(path: Path, sha256: object) -> Any:
    raw = path.read_bytes()
    if hashlib.sha256(raw).hexdigest() != sha256:
        raise _DamageError(f"the checksum of {path.name} differs")
    return json.loads(raw)


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return _sha256(file)


def _sha256(file: BufferedReader) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()
