"""What is kept of a chapter comes back as it was, reads no more than was asked for, and holds no
code; a process that reads neither computes nor opens a store."""

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from dataworth.errors import UserError
from dataworth.runs import Outcome, Spec, Store, kept
from dataworth.runs.store import Result
from dataworth.stats import Estimate


class Doubled(Spec):
    kind: ClassVar[str] = "doubled"
    number: int

    def run(self, store):
        arrays = {"twice": np.full(4, 2.0 * self.number), "large": np.zeros(1000)}
        return Outcome(arrays, {"twice": 2 * self.number})


@pytest.fixture
def results(tmp_path):
    from dataworth.runs.engine import execute

    return [execute(Doubled(number=n), Store(tmp_path / "runs")) for n in (1, 2)]


VALUES = {
    "plain": [None, True, 3, 1.5, float("inf"), "text", (1, 2), {"a": [1], 2: "b", (1, "x"): 0}],
    "numpy": [np.float32(0.1), np.int64(7), np.arange(6.0).reshape(2, 3), np.array(["é", "b"])],
    "objects": [np.array(["a", None, 1.5], dtype=object)],
    "estimate": [Estimate(1.0, 0.5, np.inf, np.arange(3.0))],
    "long": [[*range(60)], [[*range(60)] for _ in range(60)], tuple(range(60)), {1: [*range(60)]}],
    "numbers": [{n * 10**16: n / 7 for n in range(80, 0, -1)}, {n: n for n in range(60)}],
}


def same(a, b):
    if isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    elif isinstance(a, Estimate):
        assert (a.value, a.low, a.high) == (b.value, b.low, b.high)
        same(a.draws, b.draws)
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    else:
        assert type(a) is type(b) and a == b


def through(tmp_path, monkeypatch, function, *args):
    """What a marked function gives, and what a reader of what it kept is given."""
    target = tmp_path / "kept.zip"
    kept._keeper.cache_clear()
    monkeypatch.setenv(kept.KEEP, str(target))
    given = function(*args)
    kept._keeper(str(target)).write()
    monkeypatch.delenv(kept.KEEP)
    monkeypatch.setenv(kept.READ, str(target))
    kept._reader.cache_clear()
    return given, target


@pytest.mark.parametrize("name", VALUES)
def test_values_come_back_as_they_were(tmp_path, monkeypatch, name):
    @kept.keep
    def ask(number):
        assert number == 1
        return VALUES[name]

    given, _ = through(tmp_path, monkeypatch, ask, 1)
    same(given, VALUES[name])
    same(ask(1), VALUES[name])
    with pytest.raises(UserError, match=r"ask of these parameters is not among .* make book"):
        ask(2)


def test_what_stands_twice_is_kept_once(tmp_path, monkeypatch):
    ids, array = [*range(10**6, 10**6 + 500)], np.random.default_rng(0).random(500)
    sizes = []
    for times in (1, 40):
        ask = kept.keep(lambda times=times: [(list(ids), array.copy()) for _ in range(times)])
        _, target = through(tmp_path, monkeypatch, ask)
        monkeypatch.delenv(kept.READ)
        sizes.append(target.stat().st_size)
    assert sizes[1] < 1.2 * sizes[0]


def test_tables_come_back_as_they_were(tmp_path, monkeypatch):
    frame = pd.DataFrame({"n": [1, 2], "who": ["a", "b"]}, index=pd.Index([5, 6], name="at"))
    many = frame.set_index("who", append=True)
    both = {"frame": frame, "levels": many, "column": frame["n"]}
    ask = kept.keep(lambda: both)
    through(tmp_path, monkeypatch, ask)
    found = ask()
    pd.testing.assert_frame_equal(found["frame"], frame)
    pd.testing.assert_frame_equal(found["levels"], many)
    pd.testing.assert_series_equal(found["column"], frame["n"])


def test_only_arrays_that_were_read_are_kept(tmp_path, monkeypatch, results):
    monkeypatch.setattr(kept, "OURS", ("dataworth.", __name__))

    @kept.keep
    def runs():
        return {"arm": results}

    @kept.keep
    def small(result):
        return result.arrays["large"].sum(dtype=np.float32)

    def analysis():
        found = runs()["arm"]
        return [float(r.arrays["twice"].sum() + small(r)) for r in found]

    given, target = through(tmp_path, monkeypatch, analysis)
    assert given == [8.0, 16.0]
    results.clear()  # a reader has no store
    assert analysis() == given
    back = runs()["arm"][1]
    assert isinstance(back, Result) and back.spec == Doubled(number=2)
    assert back.metrics == {"twice": 4} and list(back.arrays) == ["twice", "large"]
    with pytest.raises(UserError, match="array large of a run is not among"):
        back.arrays["large"]
    with zipfile.ZipFile(target) as file:
        content = json.loads(file.read("content.json"))["content"]
        assert all(len(places) == 1 for places in content["arrays"].values())
        assert all(one["key"] and one["provenance"] for one in content["results"].values())


def test_equal_asking_makes_equal_bytes(tmp_path, monkeypatch, results):
    ask = kept.keep(lambda: results)
    files = []
    for _ in range(2):
        _, target = through(tmp_path, monkeypatch, ask)
        files.append(target.read_bytes())
        monkeypatch.delenv(kept.READ)
    assert files[0] == files[1]


@dataclass
class Stranger:
    number: int


def test_nothing_but_our_own_classes_is_made(tmp_path, monkeypatch):
    with pytest.raises(TypeError, match=r"a .*Stranger cannot be kept"):
        through(tmp_path, monkeypatch, kept.keep(lambda: Stranger(1)))
    (tmp_path / "kept.zip").unlink(missing_ok=True)
    monkeypatch.delenv(kept.KEEP, raising=False)
    ask = kept.keep(lambda: 1)
    _, target = through(tmp_path, monkeypatch, ask)
    with zipfile.ZipFile(target) as file:
        whole = json.loads(file.read("content.json"))
    content = whole["content"]
    (call,) = content["answers"]
    for name in ("os:system", "dataworth.paths:os.system", "dataworth.paths:home"):
        content["answers"][call] = ["object", name, {"command": "true"}]
        with zipfile.ZipFile(target, "w") as file:
            file.writestr("content.json", json.dumps(whole))
        kept._reader.cache_clear()
        with pytest.raises(UserError, match=f"names {name}, which is no class of dataworth"):
            ask()


def test_the_analysis_of_a_study_needs_no_torch():
    """Studies, and all that they import, can be imported where torch is not installed."""
    code = """
import sys, pkgutil, importlib
for name in ("torch", "transformers", "diffusers", "timm", "open_clip", "datasets", "tokenizers"):
    sys.modules[name] = None
import dataworth.studies as studies
for found in pkgutil.iter_modules(studies.__path__):
    importlib.import_module(f"dataworth.studies.{found.name}")
"""
    env = {k: v for k, v in os.environ.items() if not k.startswith("DATAWORTH")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_runs_of_earlier_code_are_kept_where_it_is_wanted(tmp_path, monkeypatch, results):
    """By their fields: the key that they were stored under is kept, and that it is older."""
    monkeypatch.setattr(kept, "OURS", ("dataworth.", __name__))
    root = results[0].path.parents[1]
    monkeypatch.setattr("dataworth.runs.store.store_dir", lambda: root)
    now = Doubled.content.fget
    monkeypatch.setattr(
        Doubled, "content", property(lambda self: {**now(self), "modules": {"later": "1"}})
    )
    spec = Doubled(number=2)
    assert Store().get(spec) is None

    @kept.keep
    def run(number, store=None):
        return (store or Store()).get(Doubled(number=number))

    assert run(2) is None
    monkeypatch.setenv(kept.OLDER, "1")
    given, target = through(tmp_path, monkeypatch, run, 2)
    assert given.metrics == {"twice": 4} and given.path == results[1].path
    assert kept.runs_of(target) == (1, 1)
    assert run(2).metrics == {"twice": 4}
