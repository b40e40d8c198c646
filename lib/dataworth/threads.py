"""One thread a process: sums and matrix products are formed in one order and have equal bits."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

ONE_THREAD = {
    f"{library}_NUM_THREADS": "1"
    for library in ("BLIS", "MKL", "NUMBA", "NUMEXPR", "OMP", "OPENBLAS")
} | {"VECLIB_MAXIMUM_THREADS": "1"}
"""What libraries read when they load."""


def one_thread() -> None:
    """Let this process compute as the book's builder and all workers do, so that a notebook gives
    the page's numbers to the last digit: what has been loaded is told, what will be reads it."""
    from threadpoolctl import threadpool_limits

    os.environ |= ONE_THREAD
    with suppress(FileNotFoundError):  # a Linux without /proc: no library can be found there
        threadpool_limits(1)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)
