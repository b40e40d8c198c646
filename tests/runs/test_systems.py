"""Systems other than Linux, simulated: no affinity, no /proc, no fork. Runs give the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from run_specs import Tiny

from dataworth.runs import Store, run_tasks

# Read by every Python process of the test when it starts, workers too.
WITHOUT = """
import multiprocessing, os, sys

for name in ("sched_getaffinity", "sched_setaffinity", "process_cpu_count", "fork", "forkpty"):
    if hasattr(os, name):
        delattr(os, name)
multiprocessing.set_start_method("spawn")


def no_proc(event, args):
    if event != "open" or not str(args[0]).startswith("/proc/"):
        return
    frame = sys._getframe()
    while frame is not None:  # psutil has ways of its own on every system
        if "psutil" in frame.f_code.co_filename:
            return
        frame = frame.f_back
    raise FileNotFoundError(2, "No such file or directory", args[0])


sys.addaudithook(no_proc)
"""
SCRIPT = """
import os, sys
from pathlib import Path
from run_specs import Tiny
from dataworth import compute
from dataworth.runs import Store, run_tasks
from dataworth.runs.engine import default_workers

assert not hasattr(os, "fork") and not hasattr(os, "sched_getaffinity")
try:
    open("/proc/self/stat")
except FileNotFoundError:
    pass
else:
    raise AssertionError("the simulation shows /proc")
assert default_workers() >= 1
assert compute.machine()["device"] == "cpu" and compute.cpu_name()
specs = [Tiny(a=i) for i in range(4)]
for result in run_tasks(specs, store=Store(Path(sys.argv[1])), workers=2):
    print(result.arrays["values"].tobytes().hex())
"""
BOOK = """
from dataworth.book.execute import device
told = device()
assert told["cores"] >= 1 and told["memory_gb"] > 0 and told["processor"], told
"""


@pytest.fixture
def elsewhere(tmp_path):
    """Runs a script on such a system; returns what it prints."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT)
    places = [str(tmp_path), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}

    def run(script: str, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", script, *words],
            env={**environment, "CUDA_VISIBLE_DEVICES": ""},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


def test_a_pool_gives_the_same_bits(elsewhere, tmp_path):
    expected = run_tasks([Tiny(a=i) for i in range(4)], store=Store(tmp_path / "here"), workers=1)
    found = elsewhere(SCRIPT, str(tmp_path / "there")).split()
    assert [np.frombuffer(bytes.fromhex(line)).tolist() for line in found] == [
        result.arrays["values"].tolist() for result in expected
    ]


def test_the_machine_of_a_build_is_described(elsewhere):
    pytest.importorskip("psutil", reason="psutil comes with the book extra")
    elsewhere(BOOK)
