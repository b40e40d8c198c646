"""The engines: the same bits from each, and nothing lost when a worker of a cluster dies."""

import os
import signal
import threading
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
import threadpoolctl
from run_specs import BuildsOn, Deadly, Failing, Products, Slow, Tiny, slow

from dataworth.errors import UserError
from dataworth.runs import Store, engines, run_tasks

pytestmark = pytest.mark.cluster
HERE = str(Path(__file__).parent)


def bits(root: Path) -> dict[str, bytes]:
    return {f.parent.name: f.read_bytes() for f in root.glob("*/[!.]*/arrays.npz")}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two workers of Dask on this machine, which find the specs of the tests."""
    distributed = pytest.importorskip("distributed")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [HERE, before]))
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50,
        local_directory=str(tmp_path_factory.mktemp("dask")),
    ) as cluster:  # fmt: skip
        yield cluster
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture
def dask(cluster, monkeypatch):
    """The cluster as `--engine dask --address ...` names it."""
    monkeypatch.setenv(engines.ENGINE, "dask")
    monkeypatch.setenv(engines.ADDRESS, cluster.scheduler_address)
    return cluster


def test_a_killed_worker_of_a_cluster_loses_nothing(dask, tmp_path, store):
    """And the bits are those of one process."""
    specs = [*slow(12), *(Products(a=i) for i in range(2))]
    killed = []

    def kill() -> None:
        while len(list(store.root.glob("slow/[!.]*/complete.json"))) < 2:
            time.sleep(0.02)
        killed.append(dask.workers[0].process.process.pid)  # of the nanny's child
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    results = run_tasks(specs, store=store)
    thread.join()
    assert killed and [r.spec for r in results] == specs
    assert [r.metrics for r in results[12:]] == [{"threads": 1}] * 2
    with threadpoolctl.threadpool_limits(2):  # as a process that has computed nothing yet
        run_tasks(specs, store=Store(tmp_path / "here"), workers=1)
    assert bits(tmp_path / "here") == bits(store.root)
    assert not list(store.root.glob("*/.*"))


def test_a_run_that_ends_every_worker_is_named(dask, store, tmp_path, monkeypatch):
    monkeypatch.setattr(dask.scheduler, "allowed_failures", 0)
    deadly = Deadly(a=1, log=str(tmp_path / "deadly"), times=99)
    with pytest.raises(UserError, match=f"deadly/{deadly.key} has ended every Dask") as caught:
        run_tasks([deadly, *(Tiny(a=i) for i in range(3))], store=store)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "deadly").read_text() == "xx"
    assert len(run_tasks([Tiny(a=i) for i in range(3)], store=store)) == 3  # the cluster lives on


def test_errors_of_runs_arrive_from_a_cluster(dask, store):
    with pytest.raises(KeyError, match="no stored run"):
        run_tasks([Tiny(a=1), BuildsOn(first=Tiny(a=99))], store=store)
    with pytest.raises(RuntimeError, match="no result for 7"):
        run_tasks([Failing(a=7)], store=store)


def test_a_worker_elsewhere_must_see_the_store(dask, store, monkeypatch):
    monkeypatch.setattr(engines, "_id", lambda root: "another")
    with pytest.raises(UserError, match="does not see the store") as caught:
        run_tasks([Tiny()], store=store)
    assert "\n" not in str(caught.value) and store.get(Tiny()) is None


def test_a_worker_of_another_kind_is_refused(dask, store, monkeypatch):
    monkeypatch.setattr(engines, "__version__", "0.0.1")
    with pytest.raises(UserError, match=r"another kind \(version: .*, here 0\.0\.1"):
        run_tasks([Tiny()], store=store)
    assert store.get(Tiny()) is None


def test_a_gpu_must_be_offered(dask, store, monkeypatch):
    monkeypatch.setattr("dataworth.compute.has_gpu", lambda: True)
    with pytest.raises(UserError, match=r"offers no GPU.*--resources GPU=1"):
        run_tasks([Tiny()], store=store)


def test_workers_with_threads_are_refused(store, monkeypatch):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0",
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
        joblib.parallel_config(backend="dask", client=client),
        pytest.raises(UserError, match=r"2 threads.*--nthreads 1"),
    ):  # fmt: skip
        run_tasks([Tiny()], store=store)


def test_a_context_of_joblib_chooses_too(cluster, store):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.Client(cluster, set_as_default=False) as client,
        joblib.parallel_config(backend="dask", client=client),
    ):
        found = run_tasks([Tiny(a=i) for i in range(3)], store=store)
    assert [r.metrics["a"] for r in found] == [0, 1, 2] and (store.root / engines.ID).is_file()


def test_a_context_says_how_many_and_threads_are_refused(store):
    with joblib.parallel_config(n_jobs=2):
        made = engines.engine(None, 9, store.root)
        assert made.slots() == 2
        made.close()
        assert engines.engine(None, 1, store.root) is None
    with joblib.parallel_config(backend="sequential"):
        assert engines.engine(None, 9, store.root) is None
    with (
        joblib.parallel_config(backend="threading"),
        pytest.raises(UserError, match="ThreadingBackend computes in threads"),
    ):
        run_tasks([Tiny(), Tiny(a=1)], store=store)


@pytest.mark.parametrize(
    ("engine", "address", "told"),
    [
        ("spark", None, "DATAWORTH_ENGINE is 'spark'; it must be one of loky, dask, ray"),
        ("loky", "tcp://127.0.0.1:1", "only the engines dask and ray have an address"),
        (None, "tcp://127.0.0.1:1", "only the engines dask and ray have an address"),
        ("dask", "tcp://a b", "DATAWORTH_ADDRESS is 'tcp://a b'"),
    ],
)
def test_what_names_no_engine_is_refused(store, monkeypatch, engine, address, told):
    for name, value in ((engines.ENGINE, engine), (engines.ADDRESS, address)):
        monkeypatch.setenv(name, value or "")
    with pytest.raises(UserError, match=told) as caught:
        run_tasks([Tiny(), Tiny(a=1)], store=store)
    assert "\n" not in str(caught.value) and not store.root.exists()


def test_a_cluster_of_ray(tmp_path, store, monkeypatch):
    pytest.importorskip("ray", reason="Ray is no dependency: pip install ray")
    monkeypatch.setenv(engines.ENGINE, "ray")
    monkeypatch.setenv("PYTHONPATH", HERE)
    specs = [Deadly(a=1, log=str(tmp_path / "deadly")), *(Slow(a=i) for i in range(4))]
    found = run_tasks(specs, store=store, workers=2)
    assert [r.metrics["a"] for r in found] == [1, 0, 1, 2, 3]
    assert (tmp_path / "deadly").read_text() == "xx"
    expected = np.random.default_rng(2).normal(size=5) * 0.5
    np.testing.assert_array_equal(found[3].arrays["values"], expected)
