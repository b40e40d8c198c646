"""Fake runs, and a nursery that forks processes which run them: milliseconds each, no torch.

As a script: every line of standard input is a job, `{"root": ..., "specs": [fields, ...]}`. A child
is forked for it, its pid printed; what it raises is appended to `<root>.errors`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import ClassVar

import numpy as np

from dataworth.runs import Outcome, Spec, Store, run_tasks


class Fake(Spec):
    """A run that sleeps, tells in a log that it has come to its end, and gives seeded numbers."""

    kind: ClassVar[str] = "fake"
    a: int
    log: str
    pause_ms: float = 3
    size: int = 20

    def run(self, store: Store) -> Outcome:
        time.sleep(self.pause_ms / 1000)
        with Path(self.log).open("a") as file:
            file.write(f"{self.a} {os.getpid()}\n")
        return self.expected()

    def expected(self) -> Outcome:
        values = np.random.default_rng(self.a).normal(size=self.size)
        return Outcome({"values": values, "a": np.array([self.a])}, {"sum": float(values.sum())})


def fakes(count: int, log: Path, **fields: float) -> list[Fake]:
    return [Fake(a=a, log=str(log), **fields) for a in range(count)]


def main() -> None:
    from store_specs import Fake as Importable  # the keys that the tests know

    _ = Importable(a=0, log="").key  # parsed once, before the forks
    os.environ["DATAWORTH_PROGRESS"] = os.devnull
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid:
            print(pid, flush=True)
            continue
        try:
            specs = [Importable(**fields) for fields in job["specs"]]
            if shard := job.get("shard"):
                os.environ["DATAWORTH_SHARD"] = shard
            if job.get("shuffle"):
                random.Random(os.getpid()).shuffle(specs)
            run_tasks(specs, store=Store(job["root"]), workers=1)
        except BaseException:
            with Path(job["root"] + ".errors").open("a") as file:
                file.write(traceback.format_exc())
        finally:
            os._exit(0)


if __name__ == "__main__":
    main()
