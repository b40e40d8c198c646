"""What every study has in common."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataworth.errors import UserError
from dataworth.runs import Outcome, Result, Spec, Store
from dataworth.studies import base


class Square(Spec):
    kind = "square"

    of: int

    def run(self, store: Store) -> Outcome:
        return Outcome(metrics={"square": self.of**2})


SPECS = st.builds(Square, of=st.integers(0, 5))
GRIDS = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        SPECS,
        lambda g: st.lists(g, max_size=3) | st.dictionaries(st.integers(0, 3), g),
        max_leaves=9,
    ),
)


def stand_in(asked):
    """A runner that notes what it is asked for."""

    def run(specs, *, store, workers, label):
        asked.append(list(specs))
        return [SimpleNamespace(spec=spec, of=spec.of) for spec in specs]

    return run


@given(GRIDS)
def test_results_have_the_shape_of_the_grid(grid):
    asked = []
    found = base.run_grid(grid, None, "squares", run=stand_in(asked))

    def same(specs, results):
        if isinstance(specs, Spec):
            return results.spec is specs or results.spec == specs
        if isinstance(specs, dict):
            return list(specs) == list(results) and all(same(specs[k], results[k]) for k in specs)
        return len(specs) == len(results) and all(map(same, specs, results))

    assert same(grid, found)
    assert asked == [list(dict.fromkeys(base.leaves(grid)))]  # each once, in order


def test_a_study_sums_up_its_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("DATAWORTH_WORKERS", "1")
    grid = {"small": [[Square(of=1), Square(of=2)]], "large": [[Square(of=2), Square(of=3)]]}
    runs = base.run_grid(grid, Store(tmp_path), "squares")

    class Squares(base.Study):
        params = SimpleNamespace(seed=4, seeds=2)

        def kinds(self):
            return runs

    assert [r.metrics["square"] for r in base.leaves(runs)] == [1, 4, 4, 9]
    study = Squares()
    assert study.summary()["runs"].to_dict() == {"small": 2, "large": 2}
    told = study.provenance()
    assert told["runs"] == "3 square" and told["seeds"] == "4, 5"


def test_a_full_disk_is_named_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("DATAWORTH_HOME", str(tmp_path))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=7 << 20))
    base.check_disk(7)
    with pytest.raises(UserError, match="has 7 MiB free, but the chapter stores up to 8 MiB; free"):
        base.check_disk(8)


def test_a_ledger_keeps_the_means_of_every_run():
    """By kind, with each run's place in the grid; what is no number is left out."""

    def run(of, **other):
        spec = Square(of=of)
        metrics = {"square": of**2 / 3, "passed": True, "by": [1.0], **other}
        return Result(spec, Path(), metrics, {}, "")

    class Study(base.Study):
        def kinds(self):
            return {
                "curve": {"real": [[run(1), run(2)], [run(3, extra=7)]]},
                "arms": {("quality", 73): [run(4)]},
            }

        def run_means(self, leaf):
            return {"toxic": 0.5} if leaf.spec.of == 4 else {}

    kept = Study().cell_means()
    assert kept == {
        "curve": {
            "at": [["real", 0, 0], ["real", 0, 1], ["real", 1, 0]],
            "square": [0.3333333, 1.333333, 3.0],
            "extra": [None, None, 7.0],
        },
        "arms": {"at": [["('quality', 73)", 0]], "square": [5.333333], "toxic": [0.5]},
    }
    assert json.loads(json.dumps(kept)) == kept
