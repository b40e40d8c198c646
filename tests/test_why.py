"""Twenty planted perturbations, each of which `why` must name, and nothing else."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dataworth import closure, compute, paths
from dataworth.book import chapters, keys
from dataworth.book.layout import open_layout
from dataworth.cli import app
from dataworth.data import catalog
from dataworth.errors import UserError
from dataworth.runs.report import of_run
from dataworth.runs.spec import Spec, spec_of
from dataworth.why import differences, summary
from spec_samples import CLASSIFIER, EVERY, MODEL

Change = Callable[[pytest.MonkeyPatch], Spec | None]


def forget() -> None:
    for cached in (closure._source, closure._closure, closure._library, compute.machine):
        getattr(cached, "cache_clear", lambda: None)()


def library(name: str) -> Change:
    def plant(patch: pytest.MonkeyPatch) -> None:
        real = closure.metadata.version
        patch.setattr(closure.metadata, "version", lambda n: "0.0.1" if n == name else real(n))

    return plant


def module(name: str) -> Change:
    def plant(patch: pytest.MonkeyPatch) -> None:
        real = closure._parse

        def parse(asked: str, text: str, package: bool) -> closure.Source:
            return real(asked, text + ("\n_X = 1\n" if asked == name else ""), package)

        patch.setattr(closure, "_parse", parse)

    return plant


def card(name: str) -> Change:
    def plant(patch: pytest.MonkeyPatch) -> None:
        changed = tuple(
            c.model_copy(update={"content_sha256": "1" * 64}) if c.id == name else c
            for c in catalog.cards()
        )
        patch.setattr(catalog, "cards", lambda: changed)

    return plant


def machine(**values: str) -> Change:
    def plant(patch: pytest.MonkeyPatch) -> None:
        changed = {**compute.machine(), **values}
        patch.setattr(compute, "machine", lambda: changed)

    return plant


def fields(**values: Any) -> Change:
    return lambda patch: CLASSIFIER.model_copy(update=values)


def data_file(patch: pytest.MonkeyPatch) -> None:
    found = dict(closure._data_files(closure.ROOT))
    found["images/prompts/templates.json"] = ("0" * 16, frozenset(["templates.json"]))
    patch.setattr(closure, "_data_files", lambda root: found)


NOW = compute.machine()
RUN: dict[str, tuple[Change, str]] = {
    "seed": (fields(seed=7), "parameter seed 0 -> 7"),
    "model": (
        fields(model=CLASSIFIER.model.model_copy(update={"width": 96})),
        "parameter model.width 64 -> 96",
    ),
    "a nested setting": (
        fields(optimisation=CLASSIFIER.optimisation.model_copy(update={"learning_rate": 0.5})),
        f"parameter optimisation.learning_rate {CLASSIFIER.optimisation.learning_rate} -> 0.5",
    ),
    "a training set": (
        fields(parts=(CLASSIFIER.parts[0].model_copy(update={"ids": (1, 3)}), CLASSIFIER.parts[1])),
        "parameter parts[0].ids [1, 2] -> [1, 3]",
    ),
    "its own module": (
        module("dataworth.images.classifiers"),
        "code of dataworth.images.classifiers",
    ),
    "a module below": (module("dataworth.optimisation"), "code of dataworth.optimisation"),
    "precision's module": (module("dataworth.compute"), "code of dataworth.compute"),
    "torch": (library("torch"), "library torch"),
    "timm": (library("timm"), "library timm"),
    "numpy": (library("numpy"), "library numpy"),
    "labels of its data": (card("fashion-mnist"), "data set fashion-mnist"),
    "drawings it is evaluated on": (card("fashion-icons"), "data set fashion-icons"),
    "a table of words": (data_file, "data file images/prompts/templates.json"),
    "device": (machine(device="cuda sm_90"), f"device {NOW['device']} -> cuda sm_90"),
    "precision": (machine(precision="float8"), f"precision {NOW['precision']} -> float8"),
}  # fmt: skip


@pytest.mark.parametrize("planted", RUN)
def test_what_changed_since_a_run_was_stored_is_named(planted, monkeypatch, tmp_path):
    forget()
    key = CLASSIFIER.key
    entry = tmp_path / CLASSIFIER.kind / key
    entry.mkdir(parents=True)
    before = CLASSIFIER.content
    (entry / "spec.json").write_text(json.dumps(before))
    assert of_run(key[:8], tmp_path) == [
        f"classifier {key}: nothing changed; the store answers with it"
    ]
    change, phrase = RUN[planted]
    other = change(monkeypatch)
    forget()
    if other is not None:
        named = differences(before, other.content)
    else:
        named = [line.strip() for line in of_run(key[:8], tmp_path)[1:]]
    monkeypatch.undo()
    forget()
    assert len(named) == 1 and named[0].startswith(phrase)


def chapter_key(values: dict[str, Any], cells: str = "", python: str = "") -> dict[str, Any]:
    layout = open_layout("quick")
    chapter = chapters.get(layout.root, "mixing")
    notebook = copy.deepcopy(chapters.read(chapter))
    if cells:
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        code[2].source += cells
    params = chapters.header(chapter, notebook).params
    return keys.chapter_key(chapter.id, notebook, values, layout, params)


CHAPTER: dict[str, tuple[Change, dict[str, Any], str, str]] = {
    "a parameter": (lambda patch: None, {"seeds": 3}, "", "parameter seeds 2 -> 3"),
    "a cell": (lambda patch: None, {}, "\n1 + 1", "code cell 3"),
    "a figure's module": (
        module("dataworth.figures.base"), {}, "", "code of dataworth.figures.base",
    ),
    "matplotlib": (library("matplotlib"), {}, "", "library matplotlib"),
    "the study's module": (
        module("dataworth.studies.mixing"), {}, "", "code of dataworth.studies.mixing",
    ),
    "Python": (
        lambda patch: patch.setattr(keys.platform, "python_version", lambda: "3.99"),
        {}, "", "python ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("planted", CHAPTER)
def test_what_changed_since_a_chapter_was_executed_is_named(planted, monkeypatch):
    forget()
    before = chapter_key({"seeds": 2})
    change, values, cells, phrase = CHAPTER[planted]
    change(monkeypatch)
    forget()
    named = differences(before, chapter_key({"seeds": 2, **values}, cells))
    monkeypatch.undo()
    forget()
    assert len(named) == 1 and named[0].startswith(phrase)


@pytest.mark.parametrize("spec", EVERY, ids=lambda spec: spec.kind)
def test_a_stored_content_gives_back_its_spec(spec):
    content = json.loads(json.dumps(spec.content))
    assert spec_of(content) == spec and differences(content, spec.content) == []


def test_a_class_or_field_that_is_gone_is_said():
    with pytest.raises(UserError, match="nowhere:Spec of this run is no longer there"):
        spec_of({"class": "nowhere:Spec", "spec": {}})
    content = MODEL.content
    with pytest.raises(UserError, match=r"no longer takes the fields of this run \(width\)"):
        spec_of({**content, "spec": {**content["spec"], "width": 3}})


def test_keys_of_an_older_form_differ():
    assert differences({"library": "ab"}, {"modules": {}}) == [
        "library (stored in an older form)",
        "modules (stored in an older form)",
    ]
    assert summary([f"code of m{i}" for i in range(5)]) == (
        "code of m0, code of m1, code of m2 and 2 more"
    )


def test_the_command_says_what_it_cannot_find(tmp_path, monkeypatch):
    monkeypatch.setenv("DATAWORTH_HOME", str(tmp_path))
    result = CliRunner().invoke(app, ["why", "abcdef012"])
    assert result.exit_code == 2
    assert "has no run whose key begins with 'abcdef012'" in result.output
    entry: Path = paths.store_dir() / "classifier" / "abcdef0123"
    entry.mkdir(parents=True)
    (entry / "spec.json").write_text("[]")
    result = CliRunner().invoke(app, ["why", "abcdef012"])
    assert result.exit_code == 2 and "does not hold what a run depends on" in result.output
