"""Run what is missing, in this process or on an engine: single-threaded workers, here or anywhere.

Which process computes which run is decided by the leases of the store alone. So any number of
processes, of one engine, of several or of none, share the work of one store.
"""

from __future__ import annotations

import logging
import os
import pickle
import platform
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from dataworth import __version__, compute
from dataworth.errors import UserError
from dataworth.runs import engines
from dataworth.runs.engines import Engine, default_workers
from dataworth.runs.forecast import Ahead, outlook
from dataworth.runs.leases import Holder
from dataworth.runs.progress import Progress, progress
from dataworth.runs.spec import Spec, key_of
from dataworth.runs.store import Result, Store
from dataworth.threads import one_thread

log = logging.getLogger(__name__)

POLL_S = 0.25  # between two looks at runs that another process computes
TICK_S = 1.0  # between two words on the time left
SHARD = "DATAWORTH_SHARD"


def run_tasks(
    specs: Sequence[Spec],
    *,
    store: Store | None = None,
    workers: int | None = None,
    label: str = "runs",
) -> list[Result]:
    """Results of `specs`, in order; only those missing from the store are computed.

    One worker runs in this process; more run on an engine, a backend of joblib: a pool of processes
    (loky) unless `joblib.parallel_config` or DATAWORTH_ENGINE names another. workers: how many runs
    at a time; None: `engines.default_workers`, or all of a cluster's. Every task uses one torch
    thread, so the bits of a result do not depend on the engine. Each result is stored the moment
    it is finished: an interrupt loses the tasks in flight and nothing else. Tasks that another
    process computes are left to it and waited for; where it ends without a result, they are
    computed here.

    Raises UserError where the store or the engine cannot be used, the code or a data card changed
    meanwhile, or a task has ended its worker process twice.
    """
    store = store or Store()
    if isinstance(store, Ahead):
        return store.foresee(specs, workers or default_workers())
    keys = [spec.key for spec in specs]
    by_key = dict(zip(keys, specs, strict=True))
    found = {key: store.get(spec) for key, spec in by_key.items()}
    todo = {key: by_key[key] for key in _own_first([k for k, r in found.items() if r is None])}
    log.info("%s: %d asked for, %d of them stored", label, len(by_key), len(by_key) - len(todo))
    if todo:
        with _ended(engines.engine(workers, len(todo), store.root), store) as engine:
            batch = [(list(todo.values()), engine.slots() if engine else 1)]
            told = partial(outlook, batch, len(by_key), store.root)
            with progress(label, len(todo), told) as shown:
                _compute(todo, store, engine, shown)
    return [found[key] or store.load(spec) for key, spec in zip(keys, specs, strict=True)]


def _own_first(keys: list[str]) -> list[str]:
    """Keys in the order in which the process of a shard begins them: those of the shards after its
    own come after its own. Nothing is left out: a shard whose process died has no other."""
    if not (value := os.environ.get(SHARD)):
        return keys
    number, count = _shard(value)
    at = len(keys) * (number - 1) // count
    return keys[at:] + keys[:at]


def own_shard(text: str) -> None:
    """Let this process be a shard, "i/n" with i from 1 to n. Raises UserError."""
    _shard(text)
    os.environ[SHARD] = text


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch("([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", text)
    if match is None or int(match[1]) > int(match[2]):
        raise UserError(
            f"the shard is {text[:40]!r}; it must be i/n with i from 1 to n, such as 3/8."
        )
    return int(match[1]), int(match[2])


def _compute(todo: dict[str, Spec], store: Store, engine: Engine | None, shown: Progress) -> None:
    """Have every task of `todo` done, here or by the process that has claimed it."""
    waiting, running = dict(todo), dict[Future[bool], str]()
    suspects: list[str] = []  # were running when a worker died: each is tried again, alone
    tried: set[str] = set()
    while waiting or running:
        most, candidates = engine.slots() if engine else 1, list(waiting)
        if suspects:
            most, candidates = 1, suspects
        held: list[Holder] = []
        for key in candidates:
            if len(running) >= most:
                break
            if holder := store.holder(store.root / todo[key].kind / key):
                log.debug("process %s on %s computes %s", holder.pid, holder.host, key)
                held.append(holder)
            else:
                running[_submit(engine, todo[key], store, key)] = key
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
            error = future.exception()
            if error is None:
                if not future.result():  # claimed by another process a moment ago
                    waiting[key] = todo[key]
                    continue
                shown()
                if key in suspects:
                    suspects.remove(key)
                continue
            name = f"{todo[key].kind}/{key}"
            if engine is None or not engine.lost(error):
                if engine and (told := engine.told(error, name)):
                    raise UserError(told) from error
                raise error
            if key in tried:
                raise UserError(
                    f"run {name} has ended {engine.ended} (most often the system ends what takes "
                    "too much memory); finished runs are kept; use a machine with more memory, or "
                    "smaller parameters."
                ) from error
            log.info("a worker process ended while it computed %s", name)
            broken = True
            waiting[key] = todo[key]
            suspects.append(key)
        if broken and engine:
            if engine.together:  # the pool is gone, with all that ran in it
                suspects += [key for key in running.values() if key not in suspects]
                waiting |= {key: todo[key] for key in running.values()}
                running.clear()
                engine.restart()
            tried.update(suspects)
            store.clear(again=True)
    shown.elsewhere([])


def _submit(engine: Engine | None, spec: Spec, store: Store, key: str) -> Future[bool]:
    if engine is not None:
        return engine.submit(_attempt_there, pickle.dumps(spec), str(store.root), key)
    future: Future[bool] = Future()
    future.set_result(_attempt(spec, store.root, key))
    return future


@contextmanager
def _ended(engine: Engine | None, store: Store) -> Iterator[Engine | None]:
    """An engine that leaves nothing running where the block is interrupted or fails."""
    try:
        yield engine
    except BaseException:
        if engine:
            engine.abort()
            with suppress(Exception):
                store.clear(again=True)
        raise
    if engine:
        engine.close()


def _attempt_there(spec: bytes, root: str, key: str) -> bool:
    return _attempt(pickle.loads(spec), Path(root), key)


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
    """Run one spec here and store its result, whatever other processes do. This process computes
    with one thread from now on.

    Raises UserError, and stores nothing, where code or data card changed while it ran.
    """
    content = spec.content
    key = key_of(content)
    one_thread()  # or a matrix product has other last digits here than in a worker
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
