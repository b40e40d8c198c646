"""What is told before a chapter runs; and that a changed parameter computes only what depends on
it, counted for the real chapters by the keys of their runs."""

from collections import Counter
from pathlib import Path

import pytest
from test_build import call, edit

from dataworth.book import chapters, parameters
from dataworth.runs import Outcome, Store
from dataworth.runs.forecast import Ahead

ROOT = Path(__file__).resolve().parents[2]
# The smoke profile has 2 seeds. Numbers follow from the chapters' parameters: see the remarks.
CHANGES = [
    ("mixing", {"resamples": 300}, {}),  # analysis alone
    ("mixing", {"shares": [0.25]}, {"classifier": 2}),  # one share, by seeds
    ("mixing", {"shares": [0.3, 0.25]}, {"classifier": 2}),  # the other one is stored
    ("mixing", {"seeds": 3}, {"synthetic-images": 1, "classifier": 13}),  # one more of each
    ("mixing", {"budget": [[20, 20]]}, {"classifier": 26}),  # all that is trained, no image
    # Real arm of 4 sizes apart, all are trained on synthetic images.
    ("mixing", {"guidance": 3.0}, {"synthetic-images": 2, "classifier": 26 - 2 * 4}),
    ("mixing", {"real_sizes": [20, 60, 200, 400, 600]}, {"classifier": 2}),  # one size, by seeds
    ("prompts-and-guidance", {"judged": 50}, {"fidelity": 5}),  # of 5 configurations
    (
        "prompts-and-guidance",
        {"guidances": [1.0, 2.0, 6.0]},  # one of three is new: 2 sizes by seeds
        {"synthetic-images": 2, "classifier": 4, "fidelity": 1, "preview": 1},
    ),
    ("prompts-and-guidance", {"learner": "vit-2x64"}, {"classifier": 20}),  # not the reference
    ("synthetic-scaling", {"curve_images": 80}, {"fidelity": 2}),  # by curve_steps
    ("synthetic-scaling", {"epochs": 3}, {"classifier": 8}),  # arm of fixed epochs
    ("domains", {"resamples": 300}, {}),
    ("domains", {"questions": 16}, {"multiple-choice": 26}),  # the models are stored
    ("domains", {"seeds": 3}, {"counts": 13, "multiple-choice": 13}),
]


def asked(chapter: str, root: Path, overrides: dict[str, object]) -> list[object]:
    """The missing runs of a chapter's study at the profile smoke, for a store."""
    resolved = parameters.of_chapter(chapter, "smoke", overrides=overrides)
    source = chapters.get(ROOT, chapter)
    study = parameters.study(resolved, chapters.header(source, chapters.read(source)).params)
    ahead = Ahead(root)
    study(ahead)
    return [spec for specs, _ in ahead.missing for spec in specs]


@pytest.fixture(scope="module")
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For a chapter, a store with a (hollow) result of every run of its smoke profile, of which
    none is missing then."""
    root = tmp_path_factory.mktemp(request.param)
    for spec in asked(request.param, root, {}):
        Store(root).put(spec, Outcome(), {"wall_seconds": 1.0})
    assert asked(request.param, root, {}) == []
    return root


@pytest.mark.parametrize(
    ("filled", "changed", "missing"), CHANGES, indirect=["filled"], scope="module"
)
def test_a_changed_parameter_computes_only_what_depends_on_it(filled, request, changed, missing):
    chapter = request.node.callspec.params["filled"]
    assert Counter(spec.kind for spec in asked(chapter, filled, changed)) == missing


# ---- The command ------------------------------------------------------------------------------

RUNNING = """

from typing import ClassVar
from dataworth.runs import Outcome, Spec, run_tasks


class Point(Spec):
    kind: ClassVar[str] = "point"
    at: int

    def run(self, store):
        raise AssertionError("nothing is computed")


def run(params, store=None):
    done = run_tasks([Point(at=i) for i in range(params.points)], store=store)
    return [result.metrics for result in done[:{needed}]]
"""
TARGET = "; the result goes to build/smoke/executed/line_fit.ipynb"


@pytest.mark.parametrize("needed", [0, 1])
def test_a_dry_run_tells_and_does_nothing(example, monkeypatch, tmp_path, needed):
    module = example.root / "example_params.py"
    module.write_text(module.read_text() + RUNNING.replace("{needed}", str(needed)))
    monkeypatch.setenv("DATAWORTH_HOME", str(tmp_path / "home"))
    before = sorted(example.root.rglob("*"))
    done = call(example, "run", "line-fit", "--dry-run")
    assert done.exit_code == 0, done.output
    first, second = done.stdout.splitlines()
    assert first == (
        "line-fit: would be executed (not executed yet), about 1 min with nothing stored"
    )
    unknown = "time not known (no run of their kind is stored)"
    assert second == (
        f"line-fit: at least 10 runs missing, {unknown}; what follows from their results is not "
        f"known yet{TARGET}"
        if needed
        else f"line-fit: 10 runs missing, 0 reused, {unknown}{TARGET}"
    )
    assert [p for p in sorted(example.root.rglob("*")) if "__pycache__" not in p.parts] == [
        p for p in before if "__pycache__" not in p.parts
    ]
    more = call(example, "run", "line-fit", "--dry-run", "-p", "points=7")
    assert "7 runs missing" in more.stdout
    wrong = call(example, "run", "line-fit", "--dry-run", "-p", "points=2")
    assert wrong.exit_code == 2 and "points" in wrong.stderr


def test_a_dry_run_of_a_variant_makes_none(example):
    for words, name in [((), "DATE-"), (("--name", "mine"), "mine/")]:
        done = call(example, "run", "line-fit", "--dry-run", "-p", "points=7", *words)
        assert done.exit_code == 0, done.output
        assert f"no runs; the result goes to build/variants/line-fit/{name}" in done.stdout
        assert "_making" not in done.stdout
    same = call(example, "run", "line-fit", "--dry-run", "-p", "points=10")
    assert same.stdout.splitlines()[-1] == f"line-fit: no runs{TARGET}"
    assert not (example.root / "build").exists()


def test_a_chapter_without_runs_says_so(example):
    done = call(example, "run", "line-fit", "--dry-run")
    assert done.stdout.splitlines()[1] == f"line-fit: no runs{TARGET}"


def test_a_study_that_cannot_be_foretold_is_executed_all_the_same(example, monkeypatch):
    module = example.root / "example_params.py"
    module.write_text(module.read_text() + "\ndef run(params, store=None):\n    1 / 0\n")
    done = call(example, "run", "line-fit")
    assert done.exit_code == 0, done.output
    assert "missing" not in done.stdout and "no runs" not in done.stdout
    assert "line-fit: executed in " in done.stdout
    again = call(example, "run", "line-fit", "--dry-run")
    assert again.stdout == "line-fit: nothing changed since the last execution\n"
    edit(example, "slope * x", "2 * x")
    assert call(example, "run", "line-fit", "--dry-run").exit_code != 0
