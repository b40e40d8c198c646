"""`dataworth work`: processes without any engine share a chapter's runs by the store's leases."""

import os
import signal
import time
from pathlib import Path

import pytest
from test_build import call, start

from dataworth.runs import engine, engines

# The second stage asks for what follows from the results of the first.
STAGES = """

import os, time
from pathlib import Path
from typing import ClassVar
from dataworth.runs import Outcome, Spec, Store, run_tasks


class Point(Spec):
    kind: ClassVar[str] = "point"
    at: int

    def run(self, store):
        time.sleep(0.15)
        with Path(os.environ["DONE"]).open("a") as file:
            file.write(f"{self.at} {os.getpid()}\\n")
        return Outcome({}, {"next": 100 + self.at})


def run(params, store=None):
    first = run_tasks([Point(at=i) for i in range(params.points)], store=store, workers=1)
    return run_tasks([Point(at=r.metrics["next"]) for r in first], store=store, workers=1)
"""


@pytest.fixture
def done(example, monkeypatch, tmp_path) -> Path:
    """Where the runs of the example write who computed them."""
    module = example.root / "example_params.py"
    module.write_text(module.read_text() + STAGES)
    monkeypatch.setenv("DATAWORTH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DONE", str(tmp_path / "done"))
    for name in (engine.SHARD, engines.ENGINE, engines.ADDRESS):
        monkeypatch.setenv(name, "")
    return tmp_path / "done"


def test_shards_share_both_stages_and_finish_for_a_killed_one(example, done):
    shards = [start(example, "work", "line-fit", "--shard", f"{i}/3") for i in (1, 2, 3)]
    until = time.monotonic() + 60
    while not done.exists() or len(done.read_text().splitlines()) < 4:
        assert time.monotonic() < until
        time.sleep(0.01)
    os.killpg(shards[0].pid, signal.SIGKILL)
    shards[0].communicate()
    for shard in shards[1:]:
        out, errors = shard.communicate(timeout=60)
        assert shard.returncode == 0, errors
        assert out == "line-fit: all its 20 runs are stored\n"
    rows = [line.split() for line in done.read_text().splitlines()]
    numbers = sorted(int(at) for at, _ in rows)
    assert sorted(set(numbers)) == [*range(10), *range(100, 110)]
    assert len(numbers) - len(set(numbers)) <= 1  # that of the killed one, ended and not stored
    assert len({pid for _, pid in rows}) >= 2  # they shared the work


def test_a_shard_begins_with_its_own(example, done):
    shown = call(example, "work", "line-fit", "--shard", "2/2")
    assert shown.exit_code == 0, shown.output
    order = [int(line.split()[0]) for line in done.read_text().splitlines()]
    assert order == [*range(5, 10), *range(5), *range(105, 110), *range(100, 105)]
    again = call(example, "work", "line-fit")
    assert again.stdout == "line-fit: all its 20 runs are stored\n"
    assert len(done.read_text().splitlines()) == 20


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--shard", "0/3"], "the shard is '0/3'; it must be i/n with i from 1 to n"),
        (["--shard", "4/3"], "the shard is '4/3'"),
        (["--shard", "two"], "the shard is 'two'"),
        (["--engine", "slurm"], "DATAWORTH_ENGINE is 'slurm'; it must be one of loky, dask, ray"),
        (["--address", "tcp://127.0.0.1:1"], "only the engines dask and ray have an address"),
        (["-p", "points=2"], "points"),
    ],
)
def test_what_cannot_be_worked_on_is_refused(example, done, words, told):
    shown = call(example, "work", "line-fit", *words)
    assert shown.exit_code == 2 and told in " ".join(shown.stderr.split()), shown.stderr
    assert not done.exists()


def test_a_chapter_without_runs_says_so(example):
    shown = call(example, "work", "line-fit")
    assert shown.exit_code == 2 and "has no runs" in shown.stderr
