"""Efficiency of each engine from one worker to two, on runs that sleep: T(1) / (2 T(2)).

    .venv/bin/python bench/engines.py [--seconds 5] [--tasks 8] [--engines loky,dask,shards,joblib]

The peer is `joblib.Parallel` alone, without a store: `joblib`. Workers are started before the clock
(a batch of short runs warms them up); `shards` are plain processes, as `dataworth work` is, that
begin together when both have imported what they need. Ray is measured where it is installed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar

from dataworth.runs import Outcome, Spec, Store, engines, run_tasks

ENGINES = ("loky", "dask", "ray", "shards", "joblib")


class Nap(Spec):
    """A run that sleeps."""

    kind: ClassVar[str] = "nap"
    number: int
    seconds: float

    def run(self, store: Store) -> Outcome:
        time.sleep(self.seconds)
        return Outcome({}, {"number": self.number})


def naps(count: int, seconds: float) -> list[Spec]:
    from engines import Nap as Importable  # the name by which workers find the class

    return [Importable(number=i, seconds=seconds) for i in range(count)]


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def on_engine(name: str, workers: int, count: int, seconds: float, root: Path) -> float:
    os.environ[engines.ENGINE] = name
    os.environ["DATAWORTH_WORKERS"] = str(workers)
    engines._client.cache_clear()  # a cluster of so many workers
    run = partial(run_tasks, workers=None if name == "dask" else workers)
    run(naps(2 * workers, 0.5), store=Store(root / "warm"))
    return timed(lambda: run(naps(count, seconds), store=Store(root / "store")))


def on_shards(workers: int, count: int, seconds: float, root: Path) -> float:
    os.environ[engines.ENGINE] = ""
    code = (
        "import os, sys; from pathlib import Path; from dataworth.runs import Store, run_tasks;"
        "import engines; _, root, count, seconds = sys.argv;"
        "run_tasks(engines.naps(2, .5), store=Store(Path(root) / str(os.getpid())), workers=1);"
        "specs = engines.naps(int(count), float(seconds));"
        "print('ready', flush=True); sys.stdin.readline();"
        "run_tasks(specs, store=Store(Path(root)), workers=1)"
    )
    words = [sys.executable, "-c", code, str(root / "store"), str(count), str(seconds)]
    shards = [
        subprocess.Popen(
            words, env=os.environ | {"DATAWORTH_SHARD": f"{i + 1}/{workers}"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for i in range(workers)
    ]  # fmt: skip
    for shard in shards:
        shard.stdout.readline()

    def work() -> None:
        for shard in shards:
            shard.stdin.write("go\n")
            shard.stdin.flush()
        for shard in shards:
            assert shard.wait() == 0

    return timed(work)


def on_joblib(workers: int, count: int, seconds: float, root: Path) -> float:
    import joblib

    run = joblib.Parallel(n_jobs=workers, batch_size=1)
    run(joblib.delayed(time.sleep)(0.01) for _ in range(2 * workers))
    return timed(lambda: run(joblib.delayed(time.sleep)(seconds) for _ in range(count)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=5, help="of each run")
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--engines", default="loky,dask,shards,joblib")
    asked = parser.parse_args()
    os.environ["DATAWORTH_PROGRESS"] = os.devnull
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    print(f"{'':8} {'T(1), s':>9} {'T(2), s':>9} {'efficiency':>10}", flush=True)
    for name in asked.engines.split(","):
        if name not in ENGINES:
            parser.error(f"--engines has {name!r}; it may hold {', '.join(ENGINES)}")
        run = {"shards": on_shards, "joblib": on_joblib}.get(name, partial(on_engine, name))
        took = []
        for workers in (1, 2):
            with tempfile.TemporaryDirectory() as root:
                took.append(run(workers, asked.tasks, asked.seconds, Path(root)))
        one, two = took
        print(f"{name:8} {one:9.2f} {two:9.2f} {one / 2 / two:10.1%}", flush=True)


if __name__ == "__main__":
    main()
