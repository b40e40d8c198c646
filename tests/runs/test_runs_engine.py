"""The engine computes what is missing, once, with the same bits however it is run."""

import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
from run_specs import BuildsOn, Deadly, Recording, Rewriting, Slow, Tiny, slow
from torch_specs import Torch

from dataworth import compute
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

    provenance = execute(Torch(seed=0), store).provenance
    assert provenance["torch"] == torch.__version__
    always = {"started", "dataworth", "device", "python", "wall_seconds"}
    assert set(provenance) == always | {"inference_dtype", "torch"}
    provenance = execute(Slow(), store).provenance  # reaches no torch
    assert set(provenance) == always
    assert 0.2 <= provenance["wall_seconds"] < 30


def test_a_run_that_reaches_no_torch_imports_none(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from run_specs import Tiny;"
        "from dataworth.runs import Store, run_tasks;"
        "run_tasks([Tiny()], store=Store(sys.argv[2]), workers=1);"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "store")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    "value", ["0", "-1", "two", "1.5", "", " 2", " 3 ", "²", "٣", "1e2", "017", "+2", "9" * 5000]
)
def test_a_bad_number_of_workers_is_refused_before_any_compute(store, monkeypatch, value):
    monkeypatch.setenv("DATAWORTH_WORKERS", value)
    with pytest.raises(UserError, match="DATAWORTH_WORKERS") as caught:
        run_tasks([Tiny()], store=store)
    assert repr(value[:40]) in str(caught.value) and "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200 and store.get(Tiny()) is None


def test_number_of_workers(monkeypatch):
    monkeypatch.setenv("DATAWORTH_WORKERS", "3")
    assert default_workers() == 3
    monkeypatch.delenv("DATAWORTH_WORKERS")
    monkeypatch.setattr("dataworth.compute.has_gpu", lambda: False)
    assert default_workers() == joblib.cpu_count()
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # as the quota of a container
    assert default_workers() == 1
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT")
    monkeypatch.setattr("dataworth.compute.has_gpu", lambda: True)
    assert default_workers() == 1


def test_a_system_without_affinity_runs(store, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # macOS
    assert default_workers() >= 1
    monkeypatch.setattr("dataworth.runs.engines.default_workers", lambda: 2)
    assert [r.metrics["a"] for r in run_tasks([Tiny(a=i) for i in range(3)], store=store)] == [
        0, 1, 2,
    ]  # fmt: skip


def test_processes_that_are_spawned_run(tmp_path):
    code = (
        "import multiprocessing, sys; multiprocessing.set_start_method('spawn', force=True);"
        "sys.path.insert(0, sys.argv[1]); from run_specs import Tiny;"
        "from dataworth.runs import Store, run_tasks;"
        "print([r.metrics['a'] for r in run_tasks([Tiny(a=i) for i in range(3)],"
        " store=Store(sys.argv[2]), workers=2)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "store")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "[0, 1, 2]", done.stderr


# --- Workers that die, and what changes meanwhile -----------------------------------------------


def test_a_worker_that_dies_once_costs_nothing(store, tmp_path):
    specs = [Deadly(a=1, log=str(tmp_path / "deadly")), *(Slow(a=i) for i in range(5))]
    results = run_tasks(specs, store=store, workers=2)
    assert [r.metrics["a"] for r in results] == [1, 0, 1, 2, 3, 4]
    assert (tmp_path / "deadly").read_text() == "xx"
    assert not list(store.root.glob("*/.*"))


def test_a_run_that_ends_its_worker_twice_is_named(store, tmp_path):
    deadly = Deadly(a=1, log=str(tmp_path / "deadly"), times=9)
    specs = [*(Tiny(a=i) for i in range(3)), deadly, *(Slow(a=i) for i in range(2))]
    with pytest.raises(UserError, match=f"deadly/{deadly.key}.*memory") as caught:
        run_tasks(specs, store=store, workers=2)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "deadly").read_text() == "xx"  # retried once
    assert all(store.get(spec) is not None for spec in specs[:3])  # what was finished is kept
    assert not list(store.root.glob("*/.*"))


def test_a_worker_that_has_other_code_stores_nothing(store, monkeypatch):
    """The parent names what it asks for by the code it loaded; a worker loads its own."""
    monkeypatch.setitem(compute.machine(), "device", "as the parent sees it")
    with pytest.raises(UserError, match="changed meanwhile") as caught:
        run_tasks([Tiny(a=i) for i in range(2)], store=store, workers=2)
    assert Tiny(a=0).key in str(caught.value) or Tiny(a=1).key in str(caught.value)
    assert not [path for path in store.root.glob("*/*") if not path.name.startswith(".")]


def test_what_changes_while_a_run_computes_stores_nothing(store, monkeypatch):
    machine = dict(compute.machine())
    monkeypatch.setattr(compute, "machine", lambda: machine)
    with pytest.raises(UserError, match="is not stored") as caught:
        run_tasks([Rewriting()], store=store, workers=1)
    assert "\n" not in str(caught.value)
    assert not list(store.root.glob("*/*"))


# --- Other processes ---------------------------------------------------------------------------


def another(path: Path) -> subprocess.Popen:
    """A process that holds the lease of the run with this folder until its input ends."""
    code = (
        "import sys; from pathlib import Path; from dataworth.runs import leases;"
        "lease = leases.claim(Path(sys.argv[1])); print(lease.id, flush=True);"
        "sys.stdin.read(); lease.release()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline().strip()
    return process


@pytest.mark.parametrize("end", ["result", "none", "killed"])
@pytest.mark.parametrize("workers", [1, 2])
def test_what_another_process_computes_is_left_to_it(store, tmp_path, monkeypatch, end, workers):
    progress = tmp_path / "progress"
    monkeypatch.setenv("DATAWORTH_PROGRESS", str(progress))
    log = tmp_path / "computed"
    specs = [Recording(a=i, log=str(log)) for i in range(4)]
    other = another(store.path(specs[0]))
    results: list = []
    thread = threading.Thread(
        target=lambda: results.extend(run_tasks(specs, store=store, workers=workers))
    )
    thread.start()
    told = f"waiting for runs of process {other.pid} on {platform.node()}"
    wait_for(lambda: progress.exists() and told in progress.read_text())
    assert sorted(log.read_text().split()) == ["1", "2", "3"]  # all others first
    assert thread.is_alive()
    if end == "result":
        store.put(specs[0], Tiny(a=0).run(store), {"by": "other"})
    other.kill() if end == "killed" else other.stdin.close()
    thread.join(60)
    other.wait()
    assert [r.metrics["a"] for r in results] == [0, 1, 2, 3]
    assert ("0" in log.read_text().split()) is (end != "result")
    lines = map(json.loads, progress.read_text().splitlines())
    assert [line["done"] for line in lines if line["label"] == told] == [0, 1]
    assert not list(store.root.glob("*/.*"))


def test_the_error_of_a_run_is_shown_by_whoever_waited_for_it(store):
    """Two processes ask for a run that fails: both say why, neither waits for ever."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from run_specs import Failing;"
        "from dataworth.runs import Store, run_tasks;"
        "run_tasks([Failing(a=7)], store=Store(sys.argv[2]), workers=1)"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(Path(__file__).parent), str(store.root)],
            stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    for process in both:
        assert "RuntimeError: no result for 7" in process.communicate(timeout=60)[1]
    assert not list(store.root.glob("*/*"))


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
    assert not list(root.glob("*/.*"))  # no lease, no half result
    check_completed(root, kept, undisturbed)
