"""Assignments: full marks for solutions, none for blanks; the grader against what can go wrong."""

import json
from copy import deepcopy
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dataworth.book import chapters
from dataworth.book.layout import open_layout
from dataworth.cli import app
from dataworth.errors import UserError
from dataworth.teach import assign, worker

LAYOUT = open_layout("quick")
MASTERS = sorted((LAYOUT.root / "teach" / "assignments").glob("*.py"))


def here(cells, seconds):
    found = {}
    worker.work(cells, found.__setitem__)
    return found


def total(scores):
    return sum(s.points for s in scores), sum(s.most for s in scores)


def test_there_are_enough_and_each_belongs_to_a_chapter():
    stems = {c.stem for c in chapters.find(LAYOUT.root)}
    assert len(MASTERS) >= 6 and {path.stem for path in MASTERS} <= stems


@pytest.mark.parametrize("path", MASTERS, ids=lambda p: p.stem)
def test_solutions_get_all_points_and_blanks_none(path):
    master = assign.of_text(path.read_text())
    full = assign.grade(master, master, run=here)
    assert not [s for s in full if s.told]
    blank = assign.released(master)
    assert total(assign.grade(master, blank, run=here)) == (0, total(full)[1])
    # Whatever is hidden is not in what students get, in no cell.
    text = json.dumps(blank)
    assert "BEGIN" not in text and "HIDDEN" not in text
    answers = [c["source"] for c in master["cells"] if "BEGIN SOLUTION" in c["source"]]
    for found in (m.group() for a in answers for m in assign.ANSWER.finditer(a)):
        lines = [x.strip() for x in found.splitlines() if "###" not in x and len(x.strip()) >= 10]
        assert lines and not [x for x in lines if json.dumps(x)[1:-1] in text]


SOURCE = """\
# %%
def double(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION

# %% tags=["points-1"]
assert double(1) == 2

# %% tags=["points-3"]
assert double(0) == 0
### BEGIN HIDDEN TESTS
assert double(5) == 10
### END HIDDEN TESTS
"""
MASTER = assign.of_text(SOURCE)


def submission(answer, **changes):
    given = assign.released(MASTER)
    given["cells"][0]["source"] = answer
    for number, source in changes.items():
        given["cells"][int(number[1:])]["source"] = source
    return given


@pytest.mark.parametrize(
    ("given", "points"),
    [
        (submission("def double(x):\n    return x + x"), 4),
        (submission("def double(x):\n    return x + 1"), 1),  # only right where it is tested openly
        (submission("def double(x): return 0", c1="pass", c2="pass"), 0),  # tests overwritten
        (submission("double = lambda x: 2 * x\nraise SystemExit"), 4),
        (submission("def double(x:"), 0),
        (submission('print(\'["cell-01", ""]\')'), 0),
        (submission("import os; os._exit(0)"), 0),
        (submission("%matplotlib inline\ndef double(x):\n    return 2 * x"), 4),
    ],
)
def test_points_by_what_was_answered(given, points):
    # In a process of its own where it would end this one.
    apart = any("_exit" in c["source"] or "print" in c["source"] for c in given["cells"])
    scores = assign.grade(MASTER, given, run=None if apart else here)
    assert total(scores) == (points, 4)


def test_a_deleted_test_counts_and_a_loop_without_end_is_ended():
    given = submission("def double(x):\n    return 2 * x")
    del given["cells"][2]
    assert total(assign.grade(MASTER, given, run=here)) == (4, 4)
    slow = submission("def double(x):\n    return 2 * x", c2="pass")
    slow["cells"].insert(2, {"cell_type": "code", "metadata": {}, "source": "while True: pass"})
    scores = assign.grade(MASTER, slow, seconds=3)
    assert total(scores) == (1, 4) and "3 s" in scores[1].told


def test_the_notebook_is_what_nbgrader_reads():
    kinds = [c["metadata"]["nbgrader"] for c in MASTER["cells"]]
    fields = {"grade", "grade_id", "locked", "schema_version", "solution", "task"}
    assert all(fields <= k.keys() and k["schema_version"] == 3 for k in kinds)
    assert [(k["solution"], k["grade"], k["locked"]) for k in kinds] == [
        (True, False, False), (False, True, True), (False, True, True),
    ]  # fmt: skip
    assert len({k["grade_id"] for k in kinds}) == 3


def test_an_assignment_that_asks_or_tests_nothing_is_refused():
    for text in ("# %%\nx = 1", SOURCE.replace("points-", "marks-")):
        with pytest.raises(UserError, match="points-N"):
            assign.of_text(text)


def test_the_command(tmp_path: Path):
    master = assign.of_text(MASTERS[0].read_text())
    name = tmp_path / "ada.ipynb"
    name.write_text(json.dumps(deepcopy(master)))
    done = CliRunner().invoke(app, ["grade", MASTERS[0].stem, str(name), "--json"])
    (row,) = json.loads(done.stdout)
    assert done.exit_code == 0 and row["points"] == row["of"] > 0 and not row["failed"]
    name.write_text("no notebook")
    done = CliRunner().invoke(app, ["grade", MASTERS[0].stem, str(name)])
    assert done.exit_code == 2 and "is not a notebook" in done.stderr
