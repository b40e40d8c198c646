"""An entry of the store is whole or absent."""

import dataclasses
import errno
import hashlib
import json
import shutil
import threading
import warnings

import numpy as np
import pytest
from run_specs import BuildsOn, Tiny

from dataworth.errors import UserError
from dataworth.runs import Outcome, Store, execute, run_tasks
from dataworth.runs.store import DAMAGED, FILES, MARK


def entries(store: Store) -> list[str]:
    """Everything in the store, hidden folders included."""
    return sorted(str(path.relative_to(store.root)) for path in store.root.glob("*/*"))


def test_round_trip(store):
    spec = Tiny(a=4)
    arrays = {
        "float": np.array([1.5, np.nan, -np.inf]),
        "bytes": np.arange(6, dtype=np.uint8).reshape(2, 3),
        "weight:blocks.0.w": np.ones((2, 2), np.float32),
        "empty": np.empty((0, 3), np.int64),
        "scalar": np.float32(2.5),
    }
    metrics = {"loss": 0.25, "names": ["a", "b"]}
    put = store.put(spec, Outcome(arrays, metrics), {"wall_seconds": 1.0})
    for found in (put, store.get(spec), Store(store.root).load(spec)):
        assert found.metrics == metrics and found.provenance == {"wall_seconds": 1.0}
        assert set(found.arrays) == set(arrays)
        for name, value in arrays.items():
            assert found.arrays[name].dtype == value.dtype
            np.testing.assert_array_equal(found.arrays[name], value)
    path = store.path(spec)
    assert path == store.root / "tiny" / spec.key
    content = json.loads((path / "spec.json").read_text())
    assert content == spec.content and Tiny.model_validate(content["spec"]) == spec
    assert {file.name for file in path.iterdir()} == {*FILES, MARK}
    assert entries(store) == [f"tiny/{spec.key}"]


def test_what_was_never_run_is_absent(store):
    assert store.get(Tiny()) is None
    with pytest.raises(KeyError, match=Tiny().key):
        store.load(Tiny())
    with pytest.raises(KeyError):
        execute(BuildsOn(first=Tiny()), store)


def flip_a_byte(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)


def truncate(file):
    file.write_bytes(file.read_bytes()[:-7])


def edit_a_number(file):
    text = file.read_text()
    assert '"a": 7' in text
    file.write_text(text.replace('"a": 7', '"a": 8'))


DAMAGE = {
    "arrays: a byte": ("arrays.npz", flip_a_byte),
    "arrays: truncated": ("arrays.npz", truncate),
    "arrays: absent": ("arrays.npz", lambda file: file.unlink()),
    "result: a byte": ("result.json", flip_a_byte),
    "result: another number": ("result.json", edit_a_number),
    "result: truncated": ("result.json", truncate),
    "spec: truncated": ("spec.json", truncate),
    "mark: absent": (MARK, lambda file: file.unlink()),
    "mark: empty": (MARK, lambda file: file.write_text("")),
    "mark: null": (MARK, lambda file: file.write_text("null")),
    "mark: a list": (MARK, lambda file: file.write_text("[]")),
    "mark: truncated": (MARK, truncate),
    "mark: not text": (MARK, lambda file: file.write_bytes(b"\xff\xfe")),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_entry_is_absent_and_computed_again(store, kind):
    name, damage = DAMAGE[kind]
    spec, other = Tiny(a=7), Tiny(a=6)
    first, _ = run_tasks([spec, other], store=store, workers=1)
    expected = dict(first.arrays)
    damage(store.path(spec) / name)
    with pytest.warns(UserWarning, match="is damaged; computing it again"):
        assert Store(store.root).get(spec) is None
    (again,) = run_tasks([spec], store=store, workers=1)
    np.testing.assert_array_equal(again.arrays["values"], expected["values"])
    assert again.metrics == {"a": 7}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert store.get(spec) is not None
        assert store.get(other) is not None  # its neighbour was left alone


def test_a_copied_folder_never_answers_as_another_run(store):
    spec, other = Tiny(a=1), Tiny(a=2)
    run_tasks([spec], store=store, workers=1)
    shutil.copytree(store.path(spec), store.path(other))
    with pytest.warns(UserWarning, match="result of another run"):
        assert store.get(other) is None
    (aside,) = (store.root / DAMAGED).iterdir()
    assert aside.name.startswith(f"tiny-{other.key}-")
    assert (aside / MARK).read_bytes() == (store.path(spec) / MARK).read_bytes()  # kept
    assert store.get(spec) is not None and not store.path(other).exists()


def test_a_good_entry_that_replaced_a_damaged_one_is_left(store):
    """Another process moved it aside and stored a new one after we had found the damage."""
    spec = Tiny(a=1)
    run_tasks([spec], store=store, workers=1)
    inode = store.path(spec).stat().st_ino
    store._set_aside(store.path(spec), inode + 1, "as seen")
    assert store.get(spec) is not None and not list((store.root / DAMAGED).iterdir())


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("place", ["root", "kind"])
def test_a_file_where_a_folder_should_be_is_told(store, place, workers):
    file = store.root if place == "root" else store.root / "tiny"
    file.parent.mkdir(exist_ok=True)
    file.write_text("mine")
    for attempt in (
        lambda: store.get(Tiny()),
        lambda: store.put(Tiny(), Outcome(), {}),
        lambda: run_tasks([Tiny(a=1), Tiny(a=2)], store=store, workers=workers),
    ):
        with pytest.raises(UserError, match=r"Not a directory|File exists") as caught:
            attempt()
        assert str(file) in str(caught.value) and "\n" not in str(caught.value)
    assert file.read_text() == "mine"


def test_an_entry_that_is_a_file_is_moved_aside(store):
    spec = Tiny(a=1)
    store.path(spec).parent.mkdir(parents=True)
    store.path(spec).write_text("mine")
    with pytest.warns(UserWarning, match="it is no folder"):
        run_tasks([spec], store=store, workers=1)
    (aside,) = (store.root / DAMAGED).iterdir()
    assert aside.read_text() == "mine" and store.get(spec) is not None


def test_what_stands_damaged_in_the_way_of_a_finished_run_gives_way(store):
    spec = Tiny(a=1)
    store.path(spec).mkdir(parents=True)
    (store.path(spec) / MARK).write_text("{}")
    with pytest.warns(UserWarning, match="is damaged"):
        store.put(spec, spec.run(store), {})
    assert store.load(spec).metrics == {"a": 1}


def test_a_result_is_the_same_before_and_after_the_disk(store):
    spec = Tiny(a=1)
    put = store.put(spec, Outcome({}, {1: (2, 3), "x": float("inf")}), {})
    assert put.metrics == store.load(spec).metrics == {"1": [2, 3], "x": float("inf")}


def test_no_pickle_is_written_and_none_is_read(store):
    with pytest.raises(TypeError, match="'bad' holds Python objects"):
        store.put(Tiny(), Outcome({"bad": np.array([{}], dtype=object)}), {})
    assert not store.root.exists()
    put = store.put(Tiny(), Outcome({"x": np.arange(3)}), {})
    np.savez(put.path / "arrays.npz", x=np.array([{}], dtype=object))
    forged = dataclasses.replace(
        put, sha256=hashlib.sha256((put.path / "arrays.npz").read_bytes()).hexdigest()
    )
    with pytest.raises(UserError, match="damaged"):
        _ = forged.arrays


def test_a_left_over_temporary_folder_never_counts(store):
    spec = Tiny(a=1)
    (result,) = run_tasks([spec], store=store, workers=1)
    left = result.path.parent / f".{spec.key}-deadbeef"
    shutil.copytree(result.path, left)  # a writer that was killed just before its rename
    shutil.rmtree(result.path)
    assert store.get(spec) is None
    run_tasks([spec], store=store, workers=1)
    assert store.get(spec) is not None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_in_one_sentence_and_finished_runs_stay(store, monkeypatch, number):
    (done,) = run_tasks([Tiny(a=0)], store=store, workers=1)
    real = np.savez

    def full(file, **arrays):
        if arrays["d"][0] == 9:
            raise OSError(number, "No space left on device")
        real(file, **arrays)

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(UserError, match="no space left") as caught:
        run_tasks([Tiny(a=1), Tiny(a=2, d=(9,)), Tiny(a=3)], store=store, workers=1)
    assert str(store.root) in str(caught.value) and "\n" not in str(caught.value)
    assert store.get(Tiny(a=0)) is not None and store.get(Tiny(a=1)) is not None
    assert store.get(Tiny(a=2, d=(9,))) is None and store.get(Tiny(a=3)) is None
    assert len(entries(store)) == 2  # no temporary folder is left
    monkeypatch.setattr(np, "savez", real)
    assert len(run_tasks([Tiny(a=2, d=(9,)), Tiny(a=3)], store=store, workers=1)) == 2
    np.testing.assert_array_equal(store.load(Tiny(a=0)).arrays["values"], done.arrays["values"])


def test_other_errors_of_the_disk_are_told_with_their_cause(store, monkeypatch):
    def broken(file, **arrays):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(np, "savez", broken)
    with pytest.raises(UserError, match="Input/output") as caught:
        store.put(Tiny(), Outcome(), {})
    assert isinstance(caught.value.__cause__, OSError) and "\n" not in str(caught.value)
    assert entries(store) == []


def test_metrics_that_are_no_json_leave_nothing(store):
    with pytest.raises(TypeError):
        store.put(Tiny(), Outcome(metrics={"x": np.arange(2)}), {})
    assert entries(store) == []


def test_the_second_writer_of_a_key_keeps_the_first_entry(store):
    spec = Tiny(a=5)
    first = store.put(spec, Outcome({"v": np.arange(3)}), {"by": "first"})
    mark = (first.path / MARK).read_text()
    store.put(spec, Outcome({"v": np.arange(3)}), {"by": "second"})
    assert (first.path / MARK).read_text() == mark
    assert store.load(spec).provenance == {"by": "first"}
    assert len(entries(store)) == 1


def test_writers_of_one_key_at_once_leave_one_whole_entry(store):
    spec, barrier, errors = Tiny(a=5), threading.Barrier(8), []

    def write(i: int) -> None:
        barrier.wait()
        try:
            store.put(spec, Outcome({"v": np.full(1000, 1.5)}, {"a": 5}), {"by": i})
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    np.testing.assert_array_equal(store.load(spec).arrays["v"], np.full(1000, 1.5))
    assert len(entries(store)) == 1


def test_the_default_store_lies_in_the_home(home):
    assert Store().root == home / "runs"
    run_tasks([Tiny()], workers=1)
    assert json.loads((home / "runs" / "tiny" / Tiny().key / MARK).read_text())
