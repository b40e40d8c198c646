"""`Parameters.from_names`, as a notebook calls it: sentences, and the line about what differs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from dataworth import parameters, paths
from dataworth.book import chapters
from dataworth.book.parameters import load_model, of_chapter
from dataworth.errors import UserError, did_you_mean
from dataworth.parameters import Parameters, field

ROOT = paths.project_root()


class Sample(Parameters):
    """Two parameters of no chapter of the clone."""

    seeds: int = field("seeds", ge=1)
    shares: tuple[float, ...] = field("shares", min_length=1)


CELL = "seeds = 2\nshares = [0.5]\n"
FIRST = {"seeds": 2, "shares": [0.5]}


@pytest.fixture(autouse=True)
def notebook(monkeypatch):
    """As in a kernel that no builder started."""
    monkeypatch.delenv("DATAWORTH_PROFILE", raising=False)


def ran(injected="", **names):
    """The names of a notebook whose parameters cell papermill followed by its own."""
    given = f"# Parameters\n{injected}" if injected else ""
    return {"In": ["", CELL, *([given] if given else [])], **FIRST, **names}


def test_nothing_is_said_of_the_cells_own_values(capsys):
    assert Sample.from_names(ran()) == Sample(seeds=2, shares=(0.5,))
    assert Sample.from_names(FIRST) == Sample(seeds=2, shares=(0.5,))  # no notebook at all
    assert capsys.readouterr().out == ""


def test_the_first_line_says_what_differs(capsys, monkeypatch):
    Sample.from_names(ran("shares = [0.4]", shares=[0.4]))
    said = "changed from quick: shares [0.4] (was [0.5])\n"
    assert capsys.readouterr().out == said
    monkeypatch.setenv("DATAWORTH_PROFILE", "smoke")  # the builder's page has a table
    Sample.from_names(ran("shares = [0.4]", shares=[0.4]))
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("DATAWORTH_PROFILE", "variant of smoke")
    Sample.from_names(ran("shares = [0.4]", shares=[0.4]))
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (
            ran("shares = '[0.4]'", shares="[0.4]"),
            "parameter 'shares' is '[0.4]': it must be a list, such as [0.4]; papermill takes a "
            'list as -y "shares: [0.4]".',
        ),
        (
            ran("shares = 0.4", shares=0.4),
            "parameter 'shares' is 0.4: it must be a list, such as [0.4]; papermill takes a list "
            'as -y "shares: [0.4]".',
        ),
        (
            ran("sedes = 3", sedes=3),
            "Unknown parameter 'sedes'; known are seeds, shares. Did you mean 'seeds'?",
        ),
        (ran(seeds=0), "parameter 'seeds' is 0: input should be greater than or equal to 1."),
        (ran(shares=[]), "parameter 'shares' is []: the list should have at least 1 item"),
        (ran(seeds="3"), "parameter 'seeds' is '3': input should be a valid integer."),
        ({"seeds": 2}, "The parameters cell does not set shares."),
        (ran(seeds={1}), "A parameter is not a plain value: "),
    ],
)
def test_what_is_wrong_is_one_sentence(names, told):
    with pytest.raises(UserError) as caught:
        Sample.from_names(names)
    assert str(caught.value).startswith(told) and "\n" not in str(caught.value)
    assert caught.value._render_traceback_() == [f"UserError: {caught.value}"]


def test_only_papermills_own_cell_is_held_to_the_parameters():
    names = ran()
    names["In"] += ["other = 1", "# Parameters\nprint(3)", "# Parameters of mine\nz = 1"]
    Sample.from_names(names)


@pytest.mark.skipif(ROOT is None, reason="an installed wheel has no chapters")
def test_every_chapter_is_found_by_its_class_and_its_cell_is_quick(capsys):
    """So a notebook knows what the clone's chapter says, whatever its own cell was made to say."""
    for chapter in chapters.find(ROOT):
        header = chapters.header(chapter, chapters.read(chapter))
        model = load_model(chapter, header.params)
        assert parameters._chapter(model) == chapter.source
        quick = of_chapter(chapter.id, "quick", ROOT)
        assert parameters._quick(model, chapter.source, []) == quick.model
        model.from_names(quick.values)
        assert capsys.readouterr().out == ""
        name, value = next((k, v) for k, v in quick.values.items() if "seed" in k)
        model.from_names({**quick.values, name: value + 1})
        assert capsys.readouterr().out == f"changed from quick: {name} {value + 1} (was {value})\n"


@pytest.mark.skipif(ROOT is None, reason="an installed wheel has no chapters")
def test_files_that_a_part_shares_are_taken_by_each_of_its_chapters():
    """`papermill -f params/full/_images.yaml` injects names that only other chapters have."""
    for chapter in chapters.find(ROOT):
        shared = ROOT / "params" / "full" / f"_{chapter.source.parent.name}.yaml"
        if not shared.is_file():
            continue
        header = chapters.header(chapter, chapters.read(chapter))
        model = load_model(chapter, header.params)
        given = yaml.safe_load(shared.read_text())
        values = of_chapter(chapter.id, "full", ROOT).values
        cell = "\n".join(["# Parameters", *(f"{k} = {v!r}" for k, v in given.items())])
        model.from_names({"In": [cell], **values})
        with pytest.raises(UserError, match="Unknown parameter 'pool_byte'"):
            model.from_names({"In": [f"{cell}\npool_byte = 3"], **values})


def test_did_you_mean():
    known = ["seeds", "shares", "budget"]
    assert did_you_mean("sedes", known) == " Did you mean 'seeds'?"
    assert did_you_mean("SEEDS", known) == " Did you mean 'seeds'?"
    assert did_you_mean("zzz", known) == did_you_mean("seeds", []) == ""
    assert did_you_mean("s" * 10**6, known) == ""


@pytest.mark.parametrize("folder", ["here", "an other place"])
def test_results_of_a_notebook_lie_in_the_clone_wherever_it_runs(tmp_path, monkeypatch, folder):
    from dataworth import claims

    monkeypatch.delenv("DATAWORTH_RESULTS", raising=False)
    (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / folder)
    monkeypatch.setattr(claims, "project_root", lambda: tmp_path)
    assert claims.results_dir() == tmp_path / "build" / "notebooks" / "results"
    claims.write(claims.Judged("c", "T", []), evidence={}, provenance={})
    (path,) = claims.results_dir().iterdir()
    assert list((tmp_path / folder).iterdir()) == []
    assert json.loads(path.read_text())["profile"] == "custom"
    monkeypatch.setattr(claims, "project_root", lambda: None)
    assert claims.results_dir() == Path("build/results")
    monkeypatch.setenv("DATAWORTH_RESULTS", str(path))  # a file: nothing can be written below it
    with pytest.raises(UserError, match=r"cannot be written .*: set DATAWORTH_RESULTS to"):
        claims.write(claims.Judged("c", "T", []), evidence={}, provenance={})
