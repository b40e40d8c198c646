"""The engine computes what is missing, once, with the same bits however it is run."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from run_specs import BuildsOn, Recording, Slow, Tiny, Torch, slow

from dataworth.errors import UserError
from dataworth.runs import Store, default_workers, execute, run_tasks
from dataworth.runs.store import MARK


def test_a_pool_gives_the_bits_of_one_process(tmp_path):
    import torch

    specs = [Torch(seed=s) for s in range(4)]
    torch.set_num_threads(2)
    alone = run_tasks(specs, store=Store(tmp_path / "alone"), workers=1)
    pool = run_tasks(specs, store=Store(tmp_path / "pool"), workers=2)
    for a, b in zip(alone, pool, strict=True):
        assert a.spec == b.spec
        assert a.metrics == b.metrics == {"threads": 1}
        for name in a.arrays:
            assert a.arrays[name].tobytes() == b.arrays[name].tobytes()
    assert len({a.arrays["y"].tobytes() for a in alone}) == 4


@pytest.mark.parametrize("workers", [1, 2])
def test_only_what_is_missing_is_computed_and_once(store, tmp_path, workers):
    log = tmp_path / "computed"
    specs = [Recording(a=i, log=str(log)) for i in range(5)]
    run_tasks([specs[3], specs[1]], store=store, workers=1)
    assert log.read_text().split() == ["3", "1"]
    log.unlink()
    asked = [specs[i] for i in (4, 1, 0, 4, 3, 2, 0)]
    results = run_tasks(asked, store=store, workers=workers)
    assert sorted(log.read_text().split()) == ["0", "2", "4"]
    assert [r.spec for r in results] == asked
    assert [r.metrics["a"] for r in results] == [4, 1, 0, 4, 3, 2, 0]
    for result in results:
        expected = np.random.default_rng(result.metrics["a"]).normal(size=5) * 0.5
        np.testing.assert_array_equal(result.arrays["values"], expected)
    log.unlink()
    run_tasks(asked, store=store, workers=workers)
    assert not log.exists()


def test_nothing_asked_is_nothing_done(store):
    assert run_tasks([], store=store) == []
    assert not store.root.exists()


def test_a_run_may_build_on_another(store):
    first = Tiny(a=2)
    run_tasks([first], store=store, workers=1)
    (result,) = run_tasks([BuildsOn(first=first)], store=store, workers=1)
    expected = 2 * store.load(first).arrays["values"]
    np.testing.assert_array_equal(result.arrays["double"], expected)


def test_provenance_says_when_where_and_with_what(store):
    import torch

    provenance = execute(Slow(), store).provenance
    assert 0.2 <= provenance["wall_seconds"] < 30
    assert provenance["torch"] == torch.__version__
    assert {"started", "dataworth", "device", "inference_dtype", "python"} <= set(provenance)


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "", " 2"])
def test_a_bad_number_of_workers_is_refused_before_any_compute(store, monkeypatch, value):
    monkeypatch.setenv("DATAWORTH_WORKERS", value)
    with pytest.raises(UserError, match="DATAWORTH_WORKERS") as caught:
        run_tasks([Tiny()], store=store)
    assert repr(value) in str(caught.value) and "\n" not in str(caught.value)
    assert store.get(Tiny()) is None


def test_number_of_workers(monkeypatch):
    monkeypatch.setenv("DATAWORTH_WORKERS", "3")
    assert default_workers() == 3
    monkeypatch.delenv("DATAWORTH_WORKERS")
    monkeypatch.setattr("dataworth.runs.compute.has_gpu", lambda: False)
    assert default_workers() == len(os.sched_getaffinity(0))
    monkeypatch.setattr("dataworth.runs.compute.has_gpu", lambda: True)
    assert default_workers() == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_progress_file(store, tmp_path, monkeypatch, workers):
    path = tmp_path / "progress.jsonl"
    monkeypatch.setenv("DATAWORTH_PROGRESS", str(path))
    run_tasks([Tiny(a=0)], store=store, workers=1, label="first")
    before = time.time()
    run_tasks([Tiny(a=i) for i in range(4)], store=store, workers=workers, label="second")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(set(line) == {"label", "done", "total", "eta_s", "t"} for line in lines)
    shown = [(line["label"], line["done"], line["total"]) for line in lines]
    assert shown == [("first", 0, 1), ("first", 1, 1), *(("second", i, 3) for i in range(4))]
    second = lines[2:]
    assert second[0]["eta_s"] is None and second[-1]["eta_s"] == 0
    assert all(line["eta_s"] > 0 for line in second[1:-1])
    times = [line["t"] for line in second]
    assert times == sorted(times) and before <= times[0] <= times[-1] <= time.time()
    run_tasks([Tiny(a=1)], store=store, workers=1)  # stored: nothing to report
    assert len(path.read_text().splitlines()) == len(lines)


def test_time_left_is_mean_time_times_what_is_left(store, tmp_path, monkeypatch):
    clock = iter([100.0, 103.0, 104.0, 110.0])  # start; then one reading a finished run
    monkeypatch.setattr("dataworth.runs.engine.time.monotonic", lambda: next(clock))
    path = tmp_path / "progress.jsonl"
    monkeypatch.setenv("DATAWORTH_PROGRESS", str(path))
    run_tasks([Tiny(a=i) for i in range(3)], store=store, workers=1)
    assert [json.loads(x)["eta_s"] for x in path.read_text().splitlines()] == [None, 6.0, 2.0, 0.0]


def test_an_error_in_a_worker_arrives_and_finished_runs_stay(store):
    specs = [Tiny(a=1), BuildsOn(first=Tiny(a=99))]
    with pytest.raises(KeyError, match="no stored run"):
        run_tasks(specs, store=store, workers=2)
    (kept,) = run_tasks([Tiny(a=1)], store=store, workers=1)
    assert kept.metrics == {"a": 1}


# --- Killed and interrupted -------------------------------------------------------------------

COUNT = 6


def restore_interrupt() -> None:
    """A shell that runs the tests in the background ignores SIGINT, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(root: Path, workers: int) -> subprocess.Popen:
    """A process of its own session that runs COUNT slow tasks."""
    script = Path(__file__).with_name("run_specs.py")
    return subprocess.Popen(
        [sys.executable, str(script), str(root), str(COUNT), str(workers)],
        start_new_session=True,
        preexec_fn=restore_interrupt,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(root: Path) -> dict[str, int]:
    """Complete entries and the time of their marks."""
    marks = root.glob(f"slow/[!.]*/{MARK}")
    return {mark.parent.name: mark.stat().st_mtime_ns for mark in marks}


def wait_for(condition, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.01)


def session(pid: int) -> list[int]:
    """Processes of a session that are alive (field 6 of proc(5) stat; Z is dead)."""
    alive = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, sid = stat.read_text().rsplit(")", 1)[1].split()[:4]
        except OSError:
            continue
        if int(sid) == pid and state != "Z":
            alive.append(int(stat.parent.name))
    return alive


def check_completed(root: Path, kept: dict[str, int], undisturbed: Path) -> None:
    """Run again: what was finished is untouched, and the whole equals an undisturbed store."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing that was kept is damaged
        run_tasks(slow(COUNT), store=Store(root), workers=2)
    after = finished(root)
    assert len(after) == COUNT and kept.items() <= after.items()
    for spec in slow(COUNT):
        a, b = (Store(folder).path(spec) for folder in (root, undisturbed))
        for name in ("spec.json", "arrays.npz"):
            assert (a / name).read_bytes() == (b / name).read_bytes()
        assert Store(root).load(spec).metrics == Store(undisturbed).load(spec).metrics


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("undisturbed")
    run_tasks(slow(COUNT), store=Store(root), workers=1)
    return root


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_batch_goes_on_where_it_was(tmp_path, workers, undisturbed):
    root = tmp_path / "store"
    process = start(root, workers)
    try:
        wait_for(lambda: len(finished(root)) >= 2)
        process.kill()
        process.wait(timeout=30)
        process.stderr.close()
        kept = finished(root)
        assert 2 <= len(kept) < COUNT
        check_completed(root, kept, undisturbed)  # its orphaned workers may still be storing
    finally:
        for pid in session(process.pid):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")
@pytest.mark.parametrize("whole_group", [True, False], ids=["terminal", "process"])
def test_an_interrupted_batch_leaves_no_worker(tmp_path, whole_group, undisturbed):
    root = tmp_path / "store"
    process = start(root, 2)
    wait_for(lambda: len(finished(root)) >= 2)
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0 and "KeyboardInterrupt" in errors
    wait_for(lambda: not session(process.pid), 10)
    kept = finished(root)
    assert 2 <= len(kept) < COUNT
    check_completed(root, kept, undisturbed)
