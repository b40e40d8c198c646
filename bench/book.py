"""Times and peak memory of `make book`: cold store (also by part and chapter), nothing changed,
after a prose edit.

    .venv/bin/python bench/book.py [--profile quick]

The book is built in a copy of the working tree below a temporary folder, with an empty run store
and the data already fetched (cold means no stored run, not no data). Memory is the largest sum of
resident sizes over all processes of a build, sampled every three seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROSE = "# Real images are expensive; a text-to-image model draws as many as one likes."


def tree(pid: int) -> list[int]:
    """The process and all below it."""
    found, waiting = [], [pid]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                waiting += [int(child) for child in task.read_text().split()]
            except OSError:
                continue
    return found


def resident(pid: int) -> int:
    """Proportional set size in bytes: shared pages are counted once."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Wall seconds and peak memory in GiB of a command that must succeed."""
    env = {k: v for k, v in os.environ.items() if k not in ("DATAWORTH_HOME", "VIRTUAL_ENV")}
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL)
    peak, over = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(3):
            peak = max(peak, sum(map(resident, tree(process.pid))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    seconds = time.perf_counter() - started
    over.set()
    watcher.join()
    if code:
        sys.exit(f"{' '.join(command)} failed with status {code}")
    return seconds, peak / 2**30


def chapters(clone: Path, profile: str) -> dict[str, dict[str, float]]:
    """Wall seconds of every executed chapter, by part of the book (a folder of book/)."""
    found: dict[str, dict[str, float]] = {}
    for source in sorted((clone / "book").glob("*/*.py")):
        path = clone / "build" / profile / "executed" / f"{source.stem}.run.json"
        record = json.loads(path.read_text())
        found.setdefault(source.parent.name, {})[record["chapter"]] = record["wall_s"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--profile", default="quick")
    profile = parser.parse_args().profile
    command = ["make", "book", f"PROFILE={profile}"]
    with tempfile.TemporaryDirectory(prefix="dataworth-bench-") as name:
        clone = Path(name) / "clone"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        timed(["make", ".venv/.ready"], clone)
        data = ROOT / ".dataworth" / "data"
        if data.is_dir():
            shutil.copytree(data, clone / ".dataworth" / "data")
        rows = [("cold store", *timed(command, clone))]
        for part, seconds in chapters(clone, profile).items():
            each = ", ".join(f"{name} {wall:.0f}" for name, wall in seconds.items())
            print(f"book/{part}: {sum(seconds.values()):.0f} s ({each})", flush=True)
        rows.append(("nothing changed", *timed(command, clone)))
        chapter = clone / "book" / "images" / "synthetic_scaling.py"
        text = chapter.read_text()
        assert PROSE in text
        chapter.write_text(text.replace(PROSE, PROSE + " That is the hope."))
        rows.append(("after a prose edit", *timed(command, clone)))
    for label, wall, peak in rows:
        print(f"{label:20} {wall:7.1f} s   peak {peak:.2f} GiB")


if __name__ == "__main__":
    main()
