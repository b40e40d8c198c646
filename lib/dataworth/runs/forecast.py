"""What a study would compute, before it computes anything: runs that are missing, and how long.

The study's own `run` is asked, with a store that is only looked at (`Ahead`): `run_tasks` computes
nothing there and gives a placeholder for what is missing. Where the study needs the numbers of a
placeholder to know what to ask for next, the forecast ends: the rest is known only then.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, NoReturn

from dataworth.display import about, count
from dataworth.runs.store import Outcome, Result, Run, Store, read, told

MOST_BYTES = 20_000_000  # of specs of a kind that are read for times, those last used first
TIMELESS = ("seed", "start")  # fields that say which random numbers, or where a part begins
NEAR = 1.5  # a number that differs by a larger factor is told


_LOOKING: ContextVar[bool] = ContextVar("looking", default=False)


def looking() -> bool:
    """Whether a study is only asked what it would compute: what it needs besides runs (a generator
    that is trained first) is not made then either."""
    return _LOOKING.get()


class _NotYet(Exception):
    """A result was needed that is not stored."""


class _Awaited(Result):
    """Stands for a run that is missing; its numbers end a forecast."""

    def __init__(self, spec: Run, path: Path) -> None:
        object.__setattr__(self, "spec", spec)
        object.__setattr__(self, "path", path)

    def _not_yet(self) -> NoReturn:
        raise _NotYet(f"{self.spec.kind}/{self.path.name}")

    metrics = property(_not_yet)
    provenance = property(_not_yet)
    arrays = property(_not_yet)
    sha256 = property(_not_yet)


class Ahead(Store):
    """A store that is looked at and never written: what is asked of it is noted."""

    def __init__(self, root: str | Path | None = None) -> None:
        super().__init__(root)
        self.asked: set[str] = set()
        self.missing: list[tuple[list[Run], int]] = []  # of each batch, with its workers
        self._found: dict[str, Result | None] = {}

    def get(self, spec: Run) -> Result | None:
        """The stored result if it is whole; what is damaged stays where it is."""
        if (key := spec.key) not in self._found:
            with told(self.root):
                self._found[key] = read(self.root / spec.kind / key, spec)
        return self._found[key]

    def load(self, spec: Run) -> Result:
        return self.get(spec) or _Awaited(spec, self.path(spec))

    def put(self, spec: Run, outcome: Outcome, provenance: dict[str, Any]) -> NoReturn:
        raise _NotYet(f"{spec.kind} is computed outside `run_tasks`")

    def foresee(self, specs: Sequence[Run], workers: int) -> list[Result]:
        """What `run_tasks` would give, with placeholders for what is missing."""
        new = {spec.key: spec for spec in specs}.items()
        missing = [s for key, s in new if key not in self.asked and self.get(s) is None]
        self.asked |= {key for key, _ in new}
        if missing:
            self.missing.append((missing, min(workers, len(missing))))
        return [self.load(spec) for spec in specs]


@dataclass(frozen=True)
class Forecast:
    """What a study would do.

    asked, missing: runs. whole: whether these are all; else more follow from the results of the
    missing ones. seconds: of computing what is missing, by the most similar stored runs; None
    where there are none. untimed: missing runs of whose kind none is stored. apart: numbers of the
    specs in which those similar runs differ much.
    """

    asked: int
    missing: int
    whole: bool = True
    seconds: float | None = None
    untimed: int = 0
    apart: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.whole:
            more = "; what follows from their results is not known yet"
            return f"at least {count(self.missing, 'run')} missing, {self._time()}{more}"
        if not self.missing:
            return f"no run missing, {self.asked} reused" if self.asked else "no runs"
        reused = f"{self.asked - self.missing} reused"
        return f"{count(self.missing, 'run')} missing, {reused}, {self._time()}"

    def _time(self) -> str:
        if self.seconds is None:
            return "time not known (no run of their kind is stored)"
        told = about(self.seconds) if self.seconds >= 60 else "less than a minute"
        if self.untimed:
            told += f" and {count(self.untimed, 'run')} of a kind that was never timed"
        if self.apart:
            told += f" (by stored runs that differ in {', '.join(self.apart)})"
        return told


def forecast(study: Callable[[Store], object], root: str | Path | None = None) -> Forecast:
    """What `study`, called with a store, would compute with the store at `root` as it is.

    Nothing is computed or written. Raises whatever the study raises by itself.
    """
    ahead, whole = Ahead(root), True
    token = _LOOKING.set(True)
    try:
        study(ahead)
    except _NotYet:
        whole = False
    finally:
        _LOOKING.reset(token)
    return outlook(ahead.missing, len(ahead.asked), ahead.root, whole)


def outlook(
    batches: Sequence[tuple[Sequence[Any], int]], asked: int, root: Path, whole: bool = True
) -> Forecast:
    """The forecast for batches of missing specs, one after the other, each with its workers."""
    timed = cache(_timed)
    missing, untimed, seconds, apart = 0, 0, 0.0, dict[str, None]()
    for specs, workers in batches:
        near = [found for s in specs if (found := _nearest(s, timed(root / s.kind)))]
        apart |= dict.fromkeys(name for _, names in near for name in names)
        times = [took for took, _ in near]
        seconds += max([sum(times) / workers, *times])
        missing, untimed = missing + len(specs), untimed + len(specs) - len(near)
    known = seconds if missing > untimed else None
    return Forecast(asked, missing, whole, known, untimed, tuple(apart)[:3])


# ---- How long ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Timed:
    """A stored run: its fields (`_fields`) and how long it took."""

    fields: dict[str, float | str]
    seconds: float


def _nearest(spec: Any, known: Sequence[_Timed]) -> tuple[float, list[str]] | None:
    """Seconds (a median) of the stored runs whose fields are most like those of `spec`, and the
    numbers in which even they differ by more than `NEAR`. None where no run of the kind is
    stored."""
    if not known:
        return None
    own = dict(_fields(spec.model_dump(mode="json")))
    far = [_distance(own, run.fields) for run in known]
    alike = [run for run, distance in zip(known, far, strict=True) if distance == min(far)]
    apart = [
        " ".join([part for part in name.split(".") if not part.isdigit()][-2:])
        for name, value in own.items()
        if isinstance(value, float)
        and not name.endswith("#")
        and abs(_octaves(value, alike[0].fields.get(name, value))) > math.log2(NEAR)
    ]
    return median(run.seconds for run in alike), apart


def _last_used(entry: os.DirEntry[str]) -> int:
    """When an entry was last used; 0 of one that another process has renamed since."""
    try:
        return entry.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _timed(folder: Path) -> list[_Timed]:
    """Stored runs of one kind; damaged ones are for those who use them."""
    found = []
    with told(folder.parent):
        entries = list(os.scandir(folder)) if folder.is_dir() else []
        size = 0
        for entry in sorted(entries, key=_last_used, reverse=True):
            with suppress(FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
                raw = (Path(entry.path) / "spec.json").read_bytes()
                result = json.loads((Path(entry.path) / "result.json").read_bytes())
                fields = dict(_fields(json.loads(raw)["spec"]))
                found.append(_Timed(fields, float(result["provenance"]["wall_seconds"])))
                if (size := size + len(raw)) > MOST_BYTES:
                    break
    return found


def _fields(value: Any, name: str = "") -> Iterator[tuple[str, float | str]]:
    """Numbers and words of a spec by their dotted names, those `TIMELESS` left out; of a list of
    plain values its length alone (`#`)."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _fields(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        yield f"{name}#", float(len(value))
        if value and isinstance(value[0], dict):
            for i, inner in enumerate(value):
                yield from _fields(inner, f"{name}.{i}")
    elif name.rpartition(".")[2] in TIMELESS:
        return
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, float(value)
    else:
        yield name, str(value)


def _octaves(a: float | str, b: float | str) -> float:
    """How far two numbers are apart, in factors of two; 1 for a number and a word."""
    if isinstance(a, str) or isinstance(b, str):
        return float(a != b)
    if a * b <= 0:
        return float(a != b)
    return math.log2(abs(a / b))


def _distance(a: dict[str, float | str], b: dict[str, float | str]) -> float:
    names = a.keys() | b.keys()
    return sum(min(3.0, abs(_octaves(a.get(n, ""), b.get(n, "")))) for n in names)
