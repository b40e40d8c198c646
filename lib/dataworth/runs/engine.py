"""Run what is missing, in this process or on a pool of single-threaded workers."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from dataworth import __version__
from dataworth.display import plain
from dataworth.errors import UserError
from dataworth.runs import compute
from dataworth.runs.spec import Spec
from dataworth.runs.store import Result, Store


def default_workers() -> int:
    """`DATAWORTH_WORKERS`, else the processors this process may use (1 where a GPU is shared)."""
    value = os.environ.get("DATAWORTH_WORKERS")
    if value is None:
        return 1 if compute.has_gpu() else len(os.sched_getaffinity(0))
    if not value.isdigit() or int(value) < 1:
        raise UserError(f"DATAWORTH_WORKERS is {value!r}; it must be a whole number from 1.")
    return int(value)


def run_tasks(
    specs: Sequence[Spec],
    *,
    store: Store | None = None,
    workers: int | None = None,
    label: str = "runs",
) -> list[Result]:
    """Results of `specs`, in order; only those missing from the store are computed.

    One worker runs in this process; more run in a pool of processes. Every task uses one torch
    thread, so the bits of a result do not depend on the engine. Each result is stored the moment
    it is finished: an interrupt loses the tasks in flight and nothing else.
    """
    store = store or Store()
    found = {spec.key: store.get(spec) for spec in specs}
    todo = list({spec.key: spec for spec in specs if found[spec.key] is None}.values())
    if todo:
        workers = min(workers or default_workers(), len(todo))
        with progress(label, len(todo)) as advance:
            if workers == 1:
                for spec in todo:
                    found[spec.key] = execute(spec, store)
                    advance()
            else:
                import joblib

                with joblib.parallel_config(
                    "loky",
                    n_jobs=workers,
                    inner_max_num_threads=1,
                    idle_worker_timeout=10,  # workers of a killed parent end soon
                ):
                    finished = joblib.Parallel(return_as="generator_unordered")(
                        joblib.delayed(_execute_in_worker)(spec, store.root) for spec in todo
                    )
                    for key in finished:
                        found[key] = None
                        advance()
    return [found[spec.key] or store.load(spec) for spec in specs]


def execute(spec: Spec, store: Store) -> Result:
    """Run one spec here and store its result."""
    compute.settle()
    began, started = datetime.now(UTC), time.perf_counter()
    outcome = spec.run(store)
    provenance = {
        "started": began.isoformat(timespec="seconds"),
        "wall_seconds": round(time.perf_counter() - started, 2),
        "dataworth": __version__,
        **compute.describe(),
    }
    return store.put(spec, outcome, provenance)


def _execute_in_worker(spec: Spec, root: Path) -> str:
    execute(spec, Store(root))
    return spec.key


class _Advance(Protocol):
    def __call__(self, count: int = 1) -> None: ...


@contextmanager
def progress(label: str, total: int) -> Iterator[_Advance]:
    """Progress with time left: to the file `DATAWORTH_PROGRESS` if set, else a bar on stderr."""
    done, started = 0, time.monotonic()
    file = os.environ.get("DATAWORTH_PROGRESS")
    if file:

        def write() -> None:
            spent = time.monotonic() - started
            eta = spent / done * (total - done) if done else None
            event = {"label": label, "done": done, "total": total, "eta_s": eta, "t": time.time()}
            # What only informs must not end a run: the disk may be full, the build dead.
            with suppress(OSError), Path(file).open("a") as lines:
                lines.write(json.dumps(event) + "\n")

        def advance(count: int = 1) -> None:
            nonlocal done
            done += count
            write()

        write()
        yield advance
    else:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
            task = bar.add_task(plain(label), total=total)
            yield lambda count=1: bar.advance(task, count)
