"""How long the program takes to start: processor seconds, and their ratio to the least that any
program with typer and rich takes.

    .venv/bin/python bench/startup.py [--repeats 7]

Every command runs in a process of its own, in turn, so that a slow phase of the machine hits all
of them; the figure is the smallest of its repeats. Bytecode is kept, as after the first start.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = {
    "import typer, rich": ["-c", "import typer, rich.console"],
    "import dataworth": ["-c", "import dataworth"],
    "dataworth --version": ["-m", "dataworth.cli", "--version"],
    "dataworth --help": ["-m", "dataworth.cli", "--help"],
    "dataworth fit --help": ["-m", "dataworth.cli", "fit", "--help"],
    "dataworth list": ["-m", "dataworth.cli", "list"],
    "dataworth run --dry-run": ["-m", "dataworth.cli", "run", "fitting", "--dry-run"],
}


def processor_seconds(arguments: list[str]) -> float:
    """User and system seconds of one process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=env, check=True, stdout=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    found: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(repeats + 1):  # the first writes the bytecode
        for name, arguments in COMMANDS.items():
            found[name].append(processor_seconds(arguments))
    least = min(found["import typer, rich"][1:])
    print(f"{'':22} {'processor s':>11} {'ratio':>6}")
    for name, seconds in found.items():
        best = min(seconds[1:])
        print(f"{name:22} {best:11.3f} {best / least:6.1f}")


if __name__ == "__main__":
    main()
