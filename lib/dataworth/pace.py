"""How fast this machine trains now, against the one on which the chapters' times were measured.

    python -m dataworth.pace     # training steps in a second of one process

A chapter's header states minutes of the reference; what they are here follows from two seconds of
the steps that chapters consist of: products, norms and activations of a small transformer's shapes,
their gradients, and the optimiser.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

from dataworth import compute

REFERENCE = 43.0
"""Steps a second of processor time on the reference, an Intel Xeon with AVX-512 and AMX."""
REFERENCE_LEVEL = "avx512_core_amx"
NAMES = {
    "avx2": "AVX2",
    "avx512": "AVX-512",
    "avx512_core_bf16": "AVX-512 with bfloat16",
    "avx512_core_amx": "AVX-512 with AMX",
}
SECONDS = 2.0
ROWS, WIDTH, BLOCKS = 2176, 64, 2  # 128 images of 17 tokens


def capability(level: str | None = None) -> str:
    """What of a processor decides its speed, in words: one of `compute.LEVELS`, or this one's."""
    level = level or compute.instructions()
    return NAMES.get(level, level)


def steps_a_second(seconds: float = SECONDS) -> float:
    """Training steps in a second, after a few that warm up."""
    import torch

    from dataworth.kernels import use_fast_matmul
    from dataworth.optimisation import Descent, Optimisation

    compute.set_deterministic()
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for _ in range(BLOCKS):
        layers += [torch.nn.LayerNorm(WIDTH), torch.nn.Linear(WIDTH, 4 * WIDTH), torch.nn.GELU()]
        layers += [torch.nn.Linear(4 * WIDTH, WIDTH)]
    model = use_fast_matmul(torch.nn.ModuleDict({"blocks": torch.nn.Sequential(*layers)}))
    descent = Descent(model, Optimisation(), 10**6, ema=0.97)
    x = torch.randn(ROWS, WIDTH)

    def step() -> None:
        descent.step(descent.model.get_submodule("blocks")(x).square().mean())

    for _ in range(3):
        step()
    done, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        step()
        done += 1
    return done / passed


def probe(processes: int) -> float | None:
    """Mean steps a second of so many processes at a time; None where one of them fails."""
    command = [sys.executable, "-m", "dataworth.pace"]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(processes)
    ]
    told = [one.communicate()[0] for one in running]
    try:
        return sum(float(text) for text in told) / processes
    except ValueError:
        return None


def slower(
    processes: int, measure: Callable[[int], float | None] = probe
) -> tuple[float, str] | None:
    """How many times as long as on the reference a chapter takes on this machine as it is now, and
    that in words; None where it could not be measured."""
    found = measure(processes)
    if not found:
        return None
    factor = REFERENCE / found
    return factor, (
        f"by a probe of {SECONDS:.0f} s: {capability()}, {1 / factor:.2g} times as fast as the "
        f"reference with {capability(REFERENCE_LEVEL)}"
    )


if __name__ == "__main__":
    print(steps_a_second())
