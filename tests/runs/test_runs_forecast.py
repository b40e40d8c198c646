"""The forecast of a study: what it would compute, told without computing or writing anything."""

import os
from pathlib import Path

import pytest
from run_specs import Recording, Tiny

from dataworth.runs import Outcome, Store, run_tasks
from dataworth.runs.forecast import Ahead, Forecast, _last_used, forecast


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """All that lies below a folder, with the times of its folders and files."""
    return {
        str(path.relative_to(root)): (
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in [root, *sorted(root.rglob("*"))]
        if path.exists()
    }


def study(log: Path, first: int = 4, after: int = 3, need: bool = False):
    """Two batches that share a run; `need`: the second asks for what the first has found."""

    def run(store: Store) -> int:
        done = run_tasks([Recording(a=i, log=str(log)) for i in range(first)], store=store)
        begin = done[-1].metrics["a"] if need else first - 1
        more = [Recording(a=begin + i, log=str(log)) for i in range(after)]
        run_tasks(more, store=store, workers=1)
        return len(done) + len(more)

    return run


@pytest.mark.parametrize("stored", [0, 1, 3, 4, 5, 6])
def test_what_is_foretold_is_what_is_computed(store, tmp_path, monkeypatch, stored):
    monkeypatch.setenv("DATAWORTH_WORKERS", "1")
    log = tmp_path / "log"
    run_tasks([Recording(a=i, log=str(log)) for i in range(stored)], store=store, workers=1)
    log.unlink(missing_ok=True)
    told = forecast(study(log), store.root)
    assert (told.asked, told.missing, told.whole) == (6, 6 - stored, True)
    assert not log.exists()
    study(log)(store)
    computed = log.read_text().split() if log.exists() else []
    assert len(computed) == told.missing
    assert str(forecast(study(log), store.root)) == "no run missing, 6 reused"


def test_what_depends_on_a_missing_result_is_told_as_at_least(store, tmp_path, monkeypatch):
    monkeypatch.setenv("DATAWORTH_WORKERS", "1")
    log = tmp_path / "log"
    told = forecast(study(log, need=True), store.root)
    assert (told.asked, told.missing, told.whole) == (4, 4, False)
    assert str(told).startswith("at least 4 runs missing, ")
    run_tasks([Recording(a=i, log=str(log)) for i in range(4)], store=store, workers=1)
    told = forecast(study(log, need=True), store.root)
    assert (told.asked, told.missing, told.whole) == (6, 2, True)


@pytest.mark.parametrize("touch", ["metrics", "provenance", "arrays", "sha256"])
def test_every_number_of_a_missing_run_ends_the_forecast(store, touch):
    def run(ahead: Store) -> None:
        (result,) = run_tasks([Tiny()], store=ahead, workers=1)
        assert result.spec == Tiny() and result.path == store.path(Tiny())
        getattr(result, touch)
        raise AssertionError("was answered")

    assert not forecast(run, store.root).whole


def test_nothing_is_written_and_what_is_damaged_stays_and_counts_as_missing(store, tmp_path):
    specs = [Tiny(a=i) for i in range(3)]
    run_tasks(specs, store=store, workers=1)
    (store.path(specs[1]) / "arrays.npz").write_bytes(b"torn")
    (store.path(specs[2]) / "complete.json").unlink()
    before = tree(store.root)
    told = forecast(lambda ahead: run_tasks(specs, store=ahead, workers=1), store.root)
    assert (told.asked, told.missing) == (3, 2)
    assert tree(store.root) == before
    assert forecast(lambda ahead: run_tasks(specs, store=ahead), tmp_path / "none").missing == 3
    assert not (tmp_path / "none").exists()


def test_a_study_cannot_store_behind_its_back(store):
    told = forecast(lambda ahead: ahead.put(Tiny(), Outcome(), {}), store.root)
    assert not told.whole and not store.root.exists()


def test_errors_of_the_study_are_its_own(store):
    with pytest.raises(ZeroDivisionError):
        forecast(lambda ahead: 1 // 0, store.root)


def put(store: Store, seconds: float, **fields: object) -> None:
    store.put(Tiny(**fields), Outcome(), {"wall_seconds": seconds})


def test_time_is_that_of_the_most_similar_stored_runs(store):
    put(store, 10.0, a=1, b=1.0)
    put(store, 500.0, a=1000, b=1.0)
    put(store, 70.0, a=1, b=1.0, c="y")

    def asked(*specs: Tiny, workers: int = 1) -> Forecast:
        return forecast(lambda ahead: run_tasks(specs, store=ahead, workers=workers), store.root)

    near = [Tiny(a=1, b=1.0, d=(3, i)) for i in range(4)]  # other items: no difference in time
    assert asked(near[0]) == Forecast(1, 1, True, 10.0, 0, ())
    assert asked(*near).seconds == 40.0
    assert asked(*near, workers=2).seconds == 20.0
    assert asked(*near, workers=9).seconds == 10.0
    far = Tiny(a=900, b=1.0)
    assert asked(far).seconds == 500.0
    assert asked(far, *near, workers=4).seconds == 500.0  # the longest ends last
    assert asked(near[0], Tiny(a=1, b=1.0, c="y", d=(7,))).seconds == 80.0
    further = asked(Tiny(a=5, b=1.0))
    assert further.seconds == 10.0 and further.apart == ("a",)
    assert str(further).endswith("less than a minute (by stored runs that differ in a)")
    put(store, 30.0, a=1, b=1.0, d=(0, 0))
    assert asked(near[0]).seconds == 20.0  # a median of those that are equally near


def test_what_is_not_known_is_not_told(store):
    specs = [Tiny(a=1), Recording(a=1, log="x")]
    told = forecast(lambda ahead: run_tasks(specs, store=ahead, workers=1), store.root)
    assert (told.seconds, told.untimed) == (None, 2)
    assert str(told) == "2 runs missing, 0 reused, time not known (no run of their kind is stored)"
    put(store, 600.0, a=1, d=(5,))
    told = forecast(lambda ahead: run_tasks(specs, store=ahead, workers=1), store.root)
    assert (told.seconds, told.untimed) == (600.0, 1)
    assert "about 10 min and 1 run of a kind that was never timed" in str(told)
    assert str(forecast(lambda ahead: None, store.root)) == "no runs"


def test_a_run_without_a_time_is_passed_over(store):
    put(store, 9.0, a=1)
    store.put(Tiny(a=2), Outcome(), {})
    (store.root / "tiny" / "a file").write_text("")
    (store.root / "tiny" / "empty").mkdir()
    told = forecast(lambda ahead: run_tasks([Tiny(a=3)], store=ahead, workers=1), store.root)
    assert told.seconds == 9.0


def test_a_store_that_is_looked_at_answers_like_the_store(store):
    run_tasks([Tiny(a=1)], store=store, workers=1)
    ahead = Ahead(store.root)
    assert ahead.get(Tiny(a=2)) is None
    found, known = ahead.load(Tiny(a=1)), store.load(Tiny(a=1))
    assert found.metrics == known.metrics and found.sha256 == known.sha256
    assert (found.arrays["values"] == known.arrays["values"]).all()


def test_entries_that_vanish_are_the_last_ones(tmp_path):
    """A run that is being stored is renamed while others look."""
    (tmp_path / "kept").mkdir()
    (tmp_path / ".temporary").mkdir()
    entries = list(os.scandir(tmp_path))
    (tmp_path / ".temporary").rmdir()
    assert [e.name for e in sorted(entries, key=_last_used)] == [".temporary", "kept"]
