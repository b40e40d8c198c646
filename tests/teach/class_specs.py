"""A run for the class: a noisy law that takes no time. In a module of its own, so that a key of it
can be made in any process."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from dataworth.runs import Outcome, Spec, Store


class Law(Spec):
    kind: ClassVar[str] = "law"
    arm: str
    size: int
    seed: int
    log: str

    def run(self, store: Store) -> Outcome:
        with Path(self.log).open("a") as stream:
            stream.write(f"{self.arm}:{self.size}:{self.seed}\n")
        k = {"real": 0.4, "synthetic": 0.25}[self.arm]
        noise = np.random.default_rng([self.size, self.seed, len(self.arm)]).normal(0, 0.02)
        return Outcome({}, {"loss": float(3 * self.size**-k * np.exp(noise))})
