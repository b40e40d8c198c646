"""What starts tasks: a backend of joblib, used as `joblib.Parallel` uses it, one task at a time.

`joblib.parallel_config(backend=...)` chooses it, or `DATAWORTH_ENGINE` (`--engine`): loky, the
default, is a pool of processes on this machine; dask a cluster of dask.distributed; ray one of Ray.
`joblib.Parallel` itself is not used. It cannot say whose task a loky worker died of, waits for ever
for a Dask task whose workers died (joblib 1.6 tells its callbacks of results only), and is silent
until a task ends. `runs.engine` has the loop that can.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
import uuid
import warnings
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Future
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dataworth import __version__, compute
from dataworth.errors import UserError

ENGINE, ADDRESS = "DATAWORTH_ENGINE", "DATAWORTH_ADDRESS"
ENGINES = ("loky", "dask", "ray")
IDLE_S = 10  # loky's workers without a task end after this time
WAIT_S = 60.0  # for the first worker of a cluster
ID = ".store-id"  # by which workers elsewhere know the store
KEPT = "finished runs are kept; start again"


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


def choose(name: str | None, address: str | None) -> None:
    """Let this process and those it starts compute on an engine; None: as the environment says.
    Raises UserError."""
    given = {ENGINE: name, ADDRESS: address}
    os.environ |= {variable: value for variable, value in given.items() if value is not None}
    chosen()


def chosen() -> tuple[str | None, str | None]:
    """Name and address of the engine that the environment names. Raises UserError, also where its
    library is not installed."""
    name, address = (os.environ.get(variable) or None for variable in (ENGINE, ADDRESS))
    if name is not None and name not in ENGINES:
        raise UserError(f"{ENGINE} is {name[:40]!r}; it must be one of {', '.join(ENGINES)}.")
    if address is not None:
        if name not in ("dask", "ray"):
            raise UserError(f"{ADDRESS} is set, but only the engines dask and ray have an address.")
        if not re.fullmatch(r"([a-z]+://)?[^\s/]+", address):
            raise UserError(
                f"{ADDRESS} is {address[:80]!r}; it must be that of the cluster's head, such as "
                "tcp://10.0.0.5:8786."
            )
    for engine, library, install in (
        ("dask", "distributed", "'dataworth[cluster]'"),
        ("ray", "ray", "ray"),
    ):
        if name == engine and find_spec(library) is None:
            raise UserError(
                f"the engine {name} needs {library}, which is not installed here; install it with "
                f"pip install {install}."
            )
    return name, address


def engine(workers: int | None, tasks: int, root: Path) -> Engine | None:
    """What starts `tasks` tasks on the store at `root`; None where this process computes them: for
    one worker, or one task and no cluster. Raises UserError where it cannot be had, or does not
    fit: a thread pool, a worker of another kind of machine or without this store."""
    if workers == 1:
        return None
    backend, jobs = _backend()
    if getattr(backend, "uses_threads", False) or getattr(backend, "supports_sharedmem", False):
        if type(backend).__name__ == "SequentialBackend":
            return None
        raise UserError(
            f"joblib's backend {type(backend).__name__} computes in threads; runs need processes "
            f"(they seed their process): use one of {', '.join(ENGINES)}."
        )
    if jobs is not None and workers is None:
        workers = int(backend.effective_n_jobs(jobs))
    if hasattr(backend, "client"):
        return Dask(backend, workers, root)
    if isinstance(backend, _loky()):
        workers = min(workers or default_workers(), tasks)
        # What it means is handled (`runs.engine`), and no warning may reach a page.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        options = {"initializer": _end_with, "initargs": (os.getpid(),)}
        fixed = options | {"idle_worker_timeout": IDLE_S}
        return None if workers == 1 else Engine(backend, workers, **fixed)
    return Engine(backend, min(workers or int(backend.effective_n_jobs(-1)), tasks))


def _backend() -> tuple[Any, int | None]:
    """The backend that the environment or else joblib's context names, and how many jobs the
    latter wants."""
    import joblib
    from joblib.parallel import get_active_backend

    name, address = chosen()
    options: dict[str, Any] = {}
    if name == "dask":
        # A GPU serves one run at a time: workers declare theirs, and the scheduler counts.
        options = {"resources": {"GPU": 1}} if compute.has_gpu() else {}
        options["client"] = _client(address)
    elif name == "ray":
        options = {"ray_remote_args": {"num_gpus": 1}} if compute.has_gpu() else {}
        _start_ray(address)
    if name is None:
        backend, jobs = get_active_backend()
        if not isinstance(backend, _loky()):
            return backend, jobs
    else:
        jobs = None
    if name in (None, "loky"):
        name, options = "loky", {"inner_max_num_threads": 1}
    with joblib.parallel_config(backend=name, **options):
        return get_active_backend()[0], jobs


def _loky() -> Any:
    from joblib.parallel import BACKENDS

    return BACKENDS["loky"]


class Engine:
    """A joblib backend with processes of its own; as it is it serves all but Dask's.

    together: whether the whole pool is gone when one of its processes dies.
    """

    together = True
    ended = "its worker process twice, the second time alone"

    def __init__(self, backend: Any, workers: int, **options: Any) -> None:
        """workers: how many tasks run at a time; options: what the backend is configured with."""
        self.backend, self.workers, self.options = backend, workers, options
        self.start()

    def start(self) -> None:
        import joblib

        most = max(2, self.workers)  # for one joblib would run tasks in this process
        self.backend.configure(n_jobs=most, parallel=joblib.Parallel(n_jobs=most), **self.options)
        self.backend.start_call()

    def slots(self) -> int:
        """How many tasks may be under way now."""
        return self.workers

    def submit(self, function: Callable[..., bool], *args: str | bytes) -> Future[bool]:
        """Call a function in another process. Arguments are plain: to objects, Dask's backend
        makes references, and what they refer to dies with one worker."""
        from joblib.parallel import BatchedCalls

        future: Future[bool] = Future()

        def end(out: Any) -> None:
            try:
                found = self.backend.retrieve_result_callback(out)
                if isinstance(found, BaseException):
                    raise found
                future.set_result(found[0])
            except BaseException as error:
                future.set_exception(error)

        def fail(handle: Future[Any]) -> None:
            error = None if handle.cancelled() else handle.exception()
            if error is not None and not future.done():
                future.set_exception(error)

        try:
            call = BatchedCalls([(function, args, {})], ("sequential", None))
            handle = self.backend.submit(call, end)
        except BrokenExecutor as error:  # a worker died a moment ago
            future.set_exception(error)
        else:
            if isinstance(handle, Future):  # Dask's backend tells `end` of results only
                handle.add_done_callback(fail)
        return future

    def lost(self, error: BaseException) -> bool:
        """Whether a task has no result because a process died: its own, or another."""
        if isinstance(error, BrokenExecutor):
            from joblib.externals.loky.process_executor import TerminatedWorkerError

            return isinstance(error, TerminatedWorkerError)  # else it could not be sent
        named = {f"{cls.__module__}.{cls.__name__}" for cls in type(error).__mro__}
        return bool(named & {"ray.exceptions.RayActorError", "ray.exceptions.WorkerCrashedError"})

    def told(self, error: BaseException, run: str) -> str | None:
        """One sentence for an error of the engine, not of the run; None for any other."""
        return None

    def restart(self) -> None:
        """A new pool after `lost`, half as large: most often memory was short."""
        self.workers = max(1, self.workers // 2)
        if not isinstance(self.backend, _loky()):  # which replaces a broken pool by itself
            self.abort()
        self.start()

    def abort(self) -> None:
        """End what runs, as far as the backend can."""
        with suppress(Exception):
            self.backend.abort_everything(ensure_ready=False)

    def close(self) -> None:
        """What is left of the pool serves the next batch."""
        with suppress(Exception):
            self.backend.stop_call()
            self.backend.terminate()


def _end_with(parent: int) -> None:
    """Let a worker end soon after its parent has been killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


# ---- Dask -------------------------------------------------------------------------------------


class Dask(Engine):
    """A cluster of dask.distributed. Its scheduler gives the task of a dead worker to another, and
    gives it up after some deaths, which may have been those of a neighbour in a worker's queue."""

    together = False
    ended = "every Dask worker that had it, at last alone"

    def __init__(self, backend: Any, workers: int | None, root: Path) -> None:
        self.root, self.most = root, workers or 10**6
        self.client, self.fit = backend.client, set[str]()
        self.seen = time.monotonic()  # when there was a worker last
        self.id = _id(root)
        self.backend = backend
        while not self._fitting():
            time.sleep(0.2)
        super().__init__(backend, self.most)

    def start(self) -> None:
        self.backend.start_call()

    def slots(self) -> int:
        """Twice the workers: none waits for its next task, and a cluster that grows with what is
        asked of it grows."""
        return min(self.most, 2 * max(1, self._fitting()))

    def _fitting(self) -> int:
        """How many workers there are, all looked at when they come. Raises UserError."""
        try:
            workers = self.client.scheduler_info(n_workers=-1)["workers"]
        except (OSError, TimeoutError, CancelledError) as error:
            raise UserError(f"the Dask scheduler cannot be reached; {KEPT}.") from error
        if not workers and time.monotonic() - self.seen > WAIT_S:
            raise UserError(
                f"the Dask cluster has had no worker for {WAIT_S:.0f} s; start some: dask worker "
                f"{self.client.scheduler.address} --nthreads 1 ({KEPT})."
            )
        if workers:
            self.seen = time.monotonic()
        if new := workers.keys() - self.fit:
            for address in sorted(new):
                self._check(address, workers[address])
            about = self.client.run(_about, str(self.root), workers=sorted(new), on_error="return")
            for address, found in about.items():
                if isinstance(found, dict):
                    self._compare(address, found)
                    self.fit.add(address)
                elif not isinstance(found, OSError):  # that one has left
                    raise UserError(
                        f"Dask worker {address} cannot import this dataworth ({found}); install "
                        "the same version there."
                    )
        return len(workers.keys() & self.fit)

    def _check(self, address: str, worker: dict[str, Any]) -> None:
        if worker["nthreads"] != 1:
            raise UserError(
                f"Dask worker {address} has {worker['nthreads']} threads; a run seeds its process, "
                "so start workers with --nthreads 1 (and more of them: --nworkers)."
            )
        wanted = self.backend.submit_kwargs.get("resources", {})
        for name, count in wanted.items():
            if worker["resources"].get(name, 0) < count:
                raise UserError(
                    f"Dask worker {address} offers no {name}; start one worker for each with "
                    f"--resources {name}={count}, each seeing its own (CUDA_VISIBLE_DEVICES)."
                )

    def _compare(self, address: str, found: dict[str, Any]) -> None:
        if found["store"] != self.id:
            raise UserError(
                f"Dask worker {address} does not see the store {self.root}; runs need one folder "
                "that all machines share: set DATAWORTH_HOME to it here and there."
            )
        here = _about(str(self.root))
        for part in ("machine", "version"):
            if found[part] != here[part]:
                raise UserError(
                    f"Dask worker {address} is of another kind ({part}: {found[part]}, here "
                    f"{here[part]}): its results would have other keys; use machines and "
                    "installations of one kind, this process included."
                )

    def lost(self, error: BaseException) -> bool:
        return type(error).__name__ == "KilledWorker"

    def told(self, error: BaseException, run: str) -> str | None:
        if isinstance(error, CancelledError):
            return f"the Dask scheduler dropped run {run}; {KEPT}."
        return None

    def close(self) -> None:
        with suppress(Exception):
            self.backend.stop_call()


def _about(root: str) -> dict[str, Any]:
    """What of this process decides whether it can compute for another."""
    file = Path(root) / ID
    store = file.read_text() if file.is_file() else None
    return {"machine": compute.machine(), "version": __version__, "store": store}


def _id(root: Path) -> str:
    """The store's id, by which a worker elsewhere sees that it has the same one."""
    from dataworth.runs.store import told

    file = root / ID
    with told(root):
        root.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError), file.open("x") as stream:
            stream.write(uuid.uuid4().hex)
        return file.read_text()


@cache
def _client(address: str | None) -> Any:
    """A client of the cluster at an address; without one, of a cluster on this machine that ends
    with this process. Raises UserError."""
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.ERROR)  # else it tells of its own end
    if address is None:
        local = LocalCluster(
            n_workers=default_workers(), threads_per_worker=1, dashboard_address="127.0.0.1:0",
            silence_logs=logging.ERROR,
        )  # fmt: skip
        return Client(local, set_as_default=False)
    try:
        return Client(address, set_as_default=False, timeout=30)
    except (OSError, TimeoutError, ValueError) as error:
        raise UserError(
            f"no Dask scheduler answers at {address} ({type(error).__name__}); start one with: "
            "dask scheduler"
        ) from None


# ---- Ray --------------------------------------------------------------------------------------


def _start_ray(address: str | None) -> None:
    """Make joblib's backend `ray` known, connected to a cluster. Raises UserError."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray.util.joblib import register_ray

    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, include_dashboard=None)
        except Exception as error:
            where = f"at {address}" if address else "on this machine"
            raise UserError(f"no Ray cluster {where}: {type(error).__name__}: {error}") from None
    if compute.has_gpu() and not ray.cluster_resources().get("GPU"):
        raise UserError("the Ray cluster offers no GPU, and this machine's runs are a GPU's.")
    register_ray()
