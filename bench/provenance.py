"""Where a measured table comes from, in columns of every row."""

from __future__ import annotations

import platform
import shlex
import sys

import numpy as np

from dataworth import __version__
from dataworth.compute import instructions


def provenance(seconds: float) -> dict[str, str | float]:
    """The command, processor seconds of what a row belongs to, instruction set, versions."""
    return {
        "command": shlex.join(["python", *sys.argv]), "seconds": round(seconds, 1),
        "capability": instructions(), "dataworth": __version__, "numpy": np.__version__,
        "python": platform.python_version(),
    }  # fmt: skip
