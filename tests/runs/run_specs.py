"""Specs that the tests run, importable by worker processes; as a script, a batch of slow ones."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np

from dataworth.runs import Outcome, Spec, Store, run_tasks


class Tiny(Spec):
    kind: ClassVar[str] = "tiny"
    a: int = 0
    b: float = 0.5
    c: str = "x"
    d: tuple[int, ...] = (1, 2)

    def run(self, store: Store) -> Outcome:
        rng = np.random.default_rng(self.a)
        return Outcome(
            {"values": rng.normal(size=5) * self.b, "d": np.array(self.d)}, {"a": self.a}
        )


class Recording(Tiny):
    """Appends its number to a file, so that a test sees what was computed and in what order."""

    kind: ClassVar[str] = "recording"
    log: str

    def run(self, store: Store) -> Outcome:
        with Path(self.log).open("a") as file:
            file.write(f"{self.a}\n")
        return super().run(store)


class Slow(Tiny):
    kind: ClassVar[str] = "slow"

    def run(self, store: Store) -> Outcome:
        time.sleep(0.2)
        return super().run(store)


class Products(Tiny):
    """A matrix product, whose last digits depend on how many threads add it up."""

    kind: ClassVar[str] = "products"

    def run(self, store: Store) -> Outcome:
        from threadpoolctl import threadpool_info

        a = np.random.default_rng(self.a).normal(size=(300, 300))
        return Outcome({"y": a @ a}, {"threads": max(x["num_threads"] for x in threadpool_info())})


class BuildsOn(Spec):
    """Reads another run's result from the store."""

    kind: ClassVar[str] = "builds-on"
    first: Tiny

    def run(self, store: Store) -> Outcome:
        return Outcome({"double": 2 * store.load(self.first).arrays["values"]})


class Deadly(Tiny):
    """Ends its process, as the system does when memory is short, until a file counts enough."""

    kind: ClassVar[str] = "deadly"
    log: str
    times: int = 1

    def run(self, store: Store) -> Outcome:
        file = Path(self.log)
        with file.open("a") as log:
            log.write("x")
        if file.stat().st_size <= self.times:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run(store)


class Failing(Tiny):
    kind: ClassVar[str] = "failing"

    def run(self, store: Store) -> Outcome:
        time.sleep(0.5)
        raise RuntimeError(f"no result for {self.a}")


class Rewriting(Tiny):
    """While it runs, what decides a result changes."""

    kind: ClassVar[str] = "rewriting"

    def run(self, store: Store) -> Outcome:
        # Not imported: the closure of this module would reach torch.
        sys.modules["dataworth.compute"].machine()["device"] = "another"
        return super().run(store)


def slow(count: int) -> list[Slow]:
    return [Slow(a=i) for i in range(count)]


if __name__ == "__main__":
    from run_specs import slow as importable  # so that workers find the classes by this name

    run_tasks(importable(int(sys.argv[2])), store=Store(sys.argv[1]), workers=int(sys.argv[3]))
