"""Run what is missing, in this process or on a pool of single-threaded workers."""

from __future__ import annotations

import logging
import os
import platform
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from dataworth import __version__, compute
from dataworth.errors import UserError
from dataworth.runs.forecast import Ahead, outlook
from dataworth.runs.leases import Holder
from dataworth.runs.progress import Progress, progress
from dataworth.runs.spec import Spec, key_of
from dataworth.runs.store import Result, Store
from dataworth.threads import ONE_THREAD

log = logging.getLogger(__name__)

POLL_S = 0.25  # between two looks at runs that another process computes
TICK_S = 1.0  # between two words on the time left
IDLE_S = 10  # workers without a task end after this time


def default_workers() -> int:
    """`DATAWORTH_WORKERS`, else the processors this process may use (1 where a GPU is shared)."""
    value = os.environ.get("DATAWORTH_WORKERS")
    if value is None:
        if compute.has_gpu():
            return 1
        import joblib

        return int(joblib.cpu_count())  # knows affinity and the quota of a container
    if not re.fullmatch("[1-9][0-9]{0,3}", value):
        raise UserError(
            f"DATAWORTH_WORKERS is {value[:40]!r}; it must be a whole number from 1 to 9999."
        )
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
    it is finished: an interrupt loses the tasks in flight and nothing else. Tasks that another
    process computes are left to it and waited for; where it ends without a result, they are
    computed here.

    Raises UserError where the store cannot be used, the code or a data card changed meanwhile, or
    a task has ended its worker process twice.
    """
    store = store or Store()
    if isinstance(store, Ahead):
        return store.foresee(specs, workers or default_workers())
    keys = [spec.key for spec in specs]
    by_key = dict(zip(keys, specs, strict=True))
    found = {key: store.get(spec) for key, spec in by_key.items()}
    todo = {key: by_key[key] for key, result in found.items() if result is None}
    log.info("%s: %d asked for, %d of them stored", label, len(by_key), len(by_key) - len(todo))
    if todo:
        workers = min(workers or default_workers(), len(todo))
        batch = [(list(todo.values()), workers)]
        told = partial(outlook, batch, len(by_key), store.root)
        with progress(label, len(todo), told) as shown, _engine(workers, store) as submit:
            _compute(todo, store, workers, submit, shown)
    return [found[key] or store.load(spec) for key, spec in zip(keys, specs, strict=True)]


_Submit = Callable[[int, Spec, Store, str], "Future[bool]"]


def _compute(
    todo: dict[str, Spec], store: Store, workers: int, submit: _Submit, shown: Progress
) -> None:
    """Have every task of `todo` done, here or by the process that has claimed it."""
    waiting, running = dict(todo), dict[Future[bool], str]()
    suspects: list[str] = []  # were running when a worker died: each is tried again, alone
    tried: set[str] = set()
    while waiting or running:
        most, candidates = (1, suspects) if suspects else (workers, list(waiting))
        held: list[Holder] = []
        for key in candidates:
            if len(running) >= most:
                break
            if holder := store.holder(store.root / todo[key].kind / key):
                log.debug("process %s on %s computes %s", holder.pid, holder.host, key)
                held.append(holder)
            else:
                running[submit(most, todo[key], store, key)] = key
                del waiting[key]
        shown.elsewhere(held if not running else [])
        if not running:
            time.sleep(POLL_S)
            continue
        done, _ = wait(running, TICK_S, return_when=FIRST_COMPLETED)
        if not done:
            shown.show()
        broken = False
        for future in done:
            key = running.pop(future)
            try:
                if not future.result():  # claimed by another process a moment ago
                    waiting[key] = todo[key]
                    continue
                shown()
                if key in suspects:
                    suspects.remove(key)
            except BrokenExecutor as error:
                if not _was_killed(error):
                    raise
                if key in tried:
                    raise UserError(
                        f"run {todo[key].kind}/{key} has ended its worker process twice, the "
                        "second time alone (most often the system ends what takes too much "
                        "memory); finished runs are kept; use a machine with more memory, or "
                        "smaller parameters."
                    ) from error
                log.info("a worker process ended while it computed %s/%s", todo[key].kind, key)
                broken = True
                waiting[key] = todo[key]
                suspects.append(key)
        if broken:  # the pool is gone, with all that ran in it
            suspects += [key for key in running.values() if key not in suspects]
            waiting |= {key: todo[key] for key in running.values()}
            running.clear()
            tried.update(suspects)
            workers = max(1, workers // 2)
            store.clear(again=True)
    shown.elsewhere([])


@contextmanager
def _engine(workers: int, store: Store) -> Iterator[_Submit]:
    """Something that starts tasks: in this process for one worker, else on a pool of processes."""
    if workers == 1:
        yield _submit_here
        return
    from joblib.externals import loky

    # What it means is handled (`_compute`), and no warning may reach a page.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
    pool: Any = None

    def submit(most: int, spec: Spec, store: Store, key: str) -> Future[bool]:
        nonlocal pool
        pool = loky.get_reusable_executor(
            max_workers=most,
            timeout=IDLE_S,
            initializer=_end_with,
            initargs=(os.getpid(),),
            env=ONE_THREAD | {"ENABLE_IPC": "1"},
        )
        future: Future[bool]
        try:
            future = pool.submit(_attempt, spec, store.root, key)
        except BrokenExecutor as error:  # a worker died a moment ago
            future = Future()
            future.set_exception(error)
        return future

    try:
        yield submit
    except BaseException:
        with suppress(Exception):
            if pool is not None:
                pool.shutdown(wait=True, kill_workers=True)
            store.clear(again=True)
        raise


def _submit_here(most: int, spec: Spec, store: Store, key: str) -> Future[bool]:
    future: Future[bool] = Future()
    future.set_result(_attempt(spec, store.root, key))
    return future


def _was_killed(error: BrokenExecutor) -> bool:
    """Whether a pool broke because a worker died (another reason: a task that cannot be sent)."""
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    return isinstance(error, TerminatedWorkerError)


def _end_with(parent: int) -> None:
    """Let a worker end soon after its parent has been killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _attempt(spec: Spec, root: Path, key: str) -> bool:
    """Have one task in the store. False: another process has claimed it."""
    if spec.key != key:
        raise UserError(
            f"run {spec.kind}/{key} was asked for, and the process that would compute it names it "
            f"{spec.key}: the code, a library or a data card was changed meanwhile; start again "
            "(nothing was stored under a wrong key)."
        )
    store = Store(root)
    lease = store.claim(store.root / spec.kind / key)
    if lease is None:
        return False
    try:
        if store.get(spec) is None:  # nobody finished it between our looking and our claiming
            execute(spec, store)
        return True
    finally:
        lease.release()


def execute(spec: Spec, store: Store) -> Result:
    """Run one spec here and store its result, whatever other processes do.

    Raises UserError, and stores nothing, where code or data card changed while it ran.
    """
    content = spec.content
    key = key_of(content)
    torch = "torch" in content["libraries"]  # else no line of the run can reach it
    if torch:
        compute.set_deterministic()
    log.debug("%s/%s begins: %s", spec.kind, key, content["spec"])
    began, started = datetime.now(UTC), time.perf_counter()
    outcome = spec.run(store)
    seconds = time.perf_counter() - started
    log.info("%s/%s computed in %.1f s", spec.kind, key, seconds)
    if spec.key != key:
        raise UserError(
            f"run {spec.kind}/{key} is not stored: the code or a data card was changed "
            "while it ran; start again."
        )
    about = compute.describe() if torch else {
        "device": f"cpu: {compute.cpu_name()}", "python": platform.python_version(),
    }  # fmt: skip
    provenance = {
        "started": began.isoformat(timespec="seconds"),
        "wall_seconds": round(seconds, 2),
        "dataworth": __version__,
        **about,
    }
    return store.put(spec, outcome, provenance)
