"""Is a key complete? Every function of this package that a run calls must stand in its key.

An independent look at `dataworth.closure`, which only reads imports: the interpreter says what was
really called.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import dataworth
from dataworth import closure
from dataworth.runs import Outcome, Spec, Store

PACKAGE = Path(dataworth.__file__).parent
KINDS_SEEN: set[str] = set()
PROGRESS = "dataworth.display"


def called_modules(spec: Spec, store: Store, run: Any) -> tuple[Outcome, set[str]]:
    """The outcome of a run, and the modules of this package whose functions it called."""
    files: set[str] = set()

    def look(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        # Bodies of modules and classes, which an import executes, are not functions.
        if event == "call" and code.co_flags & inspect.CO_OPTIMIZED:
            files.add(code.co_filename)

    sys.setprofile(look)
    try:
        outcome = run(spec, store)
    finally:
        sys.setprofile(None)
    inside = [Path(name).relative_to(PACKAGE) for name in files if name.startswith(str(PACKAGE))]
    names = {".".join(("dataworth", *path.with_suffix("").parts)) for path in inside}
    return outcome, {name.removesuffix(".__init__") for name in names}


def watch(patch: pytest.MonkeyPatch, kinds: list[Spec]) -> None:
    """Look at the first run of each of these kinds in a session."""
    for cls in {type(spec) for spec in kinds}:
        patch.setattr(cls, "run", _watched(cls.run))


def _watched(run: Any) -> Any:
    def watched(spec: Spec, store: Store) -> Outcome:
        if spec.kind in KINDS_SEEN or sys.getprofile() is not None:
            return run(spec, store)
        KINDS_SEEN.add(spec.kind)
        outcome, called = called_modules(spec, store, run)
        carried = {
            name for name in called
            if closure._skipped(name, (*closure.PRESENTATION, *closure.CARRIERS))
        }  # fmt: skip
        # A long training says how far it is, by `runs.progress` (a carrier), which words it there.
        shows = {n for n in carried if closure._skipped(n, closure.PRESENTATION)} - {PROGRESS}
        assert not shows, f"{spec.kind} calls what only shows results: {shows}"
        missing = called - carried - set(spec.content["modules"])
        assert not missing, f"the key of {spec.kind} does not hold {missing}, which its run calls"
        return outcome

    return watched
