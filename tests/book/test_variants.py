"""Runs beside the book: variants, what lists and compares them, and what may be recorded."""

from __future__ import annotations

import json
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from test_build import call, edit, running, start, wait_for

from dataworth.book import chapters
from dataworth.book.execute import products
from dataworth.book.layout import Variant, open_layout, variants_of
from dataworth.book.lock import locked


def everything(folder):
    """Every file below a folder but the locks, by its path: its bytes."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "locks"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def run(layout, *words):
    done = call(layout, "run", "line-fit", *words)
    assert done.exit_code == 0, done.output
    return done.stdout


def ask(layout, *words):
    """What a command without a profile prints as JSON."""
    from typer.testing import CliRunner

    from dataworth.cli import app

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(layout.root))
        done = CliRunner().invoke(app, [*words, "--json", "--root", str(layout.root)])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A book whose chapter has run by itself, and with another slope as the variant "steep"."""
    from example import make_book

    layout = open_layout("smoke", make_book(tmp_path_factory.mktemp("book")))
    run(layout)
    own, claims = everything(layout.build), call(layout, "claims", "--json").stdout
    (layout.root / "more.yaml").write_text("slope: 9\nseed: 4\n")
    said = run(layout, "-f", str(layout.root / "more.yaml"), "-p", "slope=4.0", "--name", "steep")
    assert "differs from profile smoke in slope 4.0 (was 3.0), seed 4 (was 0)" in said
    assert "notebook: build/variants/line-fit/steep/line_fit.ipynb" in said
    assert "dataworth compare line-fit steep" in said
    assert everything(layout.build) == own
    assert call(layout, "claims", "--json").stdout == claims
    return layout


def steep(layout):
    return variants_of(layout.root, "line-fit") / "steep"


def test_a_variant_is_one_folder_with_all_of_it(built):
    assert set(everything(steep(built))) == {
        "line_fit.ipynb", "line-fit.json", "line_fit.run.json", "parameters.yaml",
        "figures/fig-points.svg",
    }  # fmt: skip
    text = (steep(built) / "parameters.yaml").read_text()
    values = {"slope": 4.0, "points": 10, "seed": 4}
    assert yaml.safe_load(text) == values
    assert "slope: 4.0  # was 3.0\npoints: 10\nseed: 4  # was 0\n" in text
    record = json.loads((steep(built) / "line_fit.run.json").read_text())
    assert record["parameters"] == values
    assert record["key"]["parameters"] == {"profile": "smoke", **values}
    assert json.loads((steep(built) / "line-fit.json").read_text())["profile"] == "variant of smoke"
    notebook = json.loads((steep(built) / "line_fit.ipynb").read_text())
    svg = (steep(built) / "figures" / "fig-points.svg").read_text()
    assert svg in [
        "".join(output["data"]["image/svg+xml"])
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if "image/svg+xml" in output.get("data", {})
    ]


def test_what_is_there_is_not_made_again(built):
    """By its name; without one, where any variant has the same key: also by its own file."""
    before = everything(built.root / "build")
    same = "line-fit, variant 'steep': nothing changed"
    assert same in run(built, "-p", "slope=4", "-p", "seed=4", "--name", "steep")
    assert same in run(built, "-f", str(steep(built) / "parameters.yaml"))
    said = run(built, "-p", "slope=3.0")
    assert "these parameters are those of profile smoke: its own run" in said
    assert "line-fit: nothing changed" in said and "build/smoke/executed" in said
    assert everything(built.root / "build") == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-p", "slope=5", "--name", "steep"], "with slope 4.0 (now 5.0), seed 4 (now 0); give"),
        (["--name", "a/b"], "--name is 'a/b'; it must be up to 60 letters"),
        (["--name", ".."], "--name is '..'; it must"),
        (["--name", "smoke"], "not be the name of a profile"),
        (["-p", "slop=5"], "Unknown parameter 'slop' for chapter 'line-fit' (-p); it has slope, "),
        (["-f", "none.yaml"], "none.yaml cannot be read: No such file"),
        (["-f", "bad.yaml"], "'points' is 1000 (bad.yaml, line 2): input should be less than or"),
        (["-p", "points=60", "--name", "large"], "points is 60, but the pool holds 50"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_nothing_is_touched(built, monkeypatch, words, told):
    monkeypatch.chdir(built.root)
    (built.root / "bad.yaml").write_text("slope: 2\npoints: 1000\n")
    before = everything(built.root / "build")
    done = call(built, "run", "line-fit", *words)
    assert done.exit_code == 2 and told in done.stderr and done.stderr.count("\n") == 1
    assert everything(built.root / "build") == before


def test_two_at_once_of_one_name_are_refused(built):
    with locked(Variant(built.root, "smoke", "line-fit", "twice", finished=False), ["line-fit"]):
        done = call(built, "run", "line-fit", "-p", "slope=5", "--name", "twice")
    assert done.exit_code == 2
    assert "another build of variant 'twice' of line-fit is running, pid " in done.stderr


def test_runs_and_compare_tell_what_differs(built):
    own, other = ask(built, "runs", "line-fit")
    assert (own["name"], own["kind"], own["differs"], own["changed"]) == (
        "smoke",
        "profile",
        {},
        [],
    )
    assert (other["name"], other["kind"], other["profile"]) == ("steep", "variant", "smoke")
    assert other["differs"] == {"slope": [4.0, 3.0], "seed": [4, 0]} and other["changed"] == []
    assert other["folder"] == "build/variants/line-fit/steep"
    told = ask(built, "compare", "line-fit", "steep")
    assert [r["name"] for r in told["runs"]] == ["steep", "smoke"] and told["changed"] == []
    assert {p["name"]: p["values"] for p in told["parameters"]} == {
        "slope": [4.0, 3.0],
        "seed": [4, 0],
    }
    (claim,) = told["claims"]
    assert claim["comparable"] and not claim["moved"]
    kept = json.loads((built.results / "line-fit.json").read_text())["claims"]
    assert claim["lines"][1] == kept[0] and claim["lines"][0]["estimate"] > kept[0]["estimate"]
    backwards = ask(built, "compare", "line-fit", "smoke", "steep")
    assert backwards["claims"][0]["lines"] == claim["lines"][::-1]


def test_the_shell_completes_the_runs_of_the_chapter(built):
    from types import SimpleNamespace

    from dataworth.book.options import completed, run_names

    complete = completed(run_names)
    given = {"root": str(built.root), "chapter": "line-fit"}
    assert complete(SimpleNamespace(params=given), "s") == ["smoke", "steep"]
    assert complete(SimpleNamespace(params=given), "st") == ["steep"]
    assert complete(SimpleNamespace(params={**given, "chapter": "no-fit"}), "") == []


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_the_page_of_a_comparison_stands_alone(built):
    told = ask(built, "compare", "line-fit", "steep", "smoke")
    page = Page(Path(told["page"]).read_text())
    images = [attrs for tag, attrs in page.tags if tag == "img"]
    assert [image["alt"] for image in images] == ["Points that rise"] * 2
    assert images[0]["src"] != images[1]["src"]
    assert all(image["src"].startswith("data:image/svg+xml;base64,") for image in images)
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "iframe")]


def test_a_variant_can_be_looked_at_as_a_page(built):
    said = run(built, "-p", "slope=4", "-p", "seed=4", "--name", "steep", "--page")
    page = steep(built) / "page" / "_build" / "html" / "part" / "line_fit.html"
    assert f"page: {page}" in said
    assert "This page: variant of smoke" in page.read_text()


def test_only_the_profiles_own_result_is_recorded(built):
    """With its parameters and its key; a second time too, though a page would show the first."""
    for _ in range(2):
        done = call(built, "record", "line-fit")
        assert done.exit_code == 0, done.output
    kept = json.loads(built.recorded("line-fit")[0].read_text())
    record = json.loads(products(chapters.find(built.root)[0], built).record.read_text())
    assert (
        kept["run"]["parameters"] == record["parameters"] == {"slope": 3, "points": 10, "seed": 0}
    )
    assert kept["run"]["key"] == record["key"]
    assert [r["name"] for r in ask(built, "runs", "line-fit")] == [
        "smoke", "recorded:smoke", "steep",
    ]  # fmt: skip
    told = ask(built, "compare", "line-fit", "steep", "recorded:smoke")
    assert [p["name"] for p in told["parameters"]] == ["slope", "seed"]
    before = built.recorded("line-fit")[0].read_bytes()
    own = built.params / "line_fit.yaml"
    text = own.read_text()
    own.write_text(text.replace("slope: 3.0", "slope: 3.5"))
    done = call(built, "record", "line-fit")
    assert done.exit_code == 2 and done.stderr.count("\n") == 1
    assert "is not the one of profile 'smoke' today (changed: parameter slope 3.0" in done.stderr
    own.write_text(text)
    assert built.recorded("line-fit")[0].read_bytes() == before


def test_a_recorded_run_of_before_has_no_parameters(built):
    path = built.recorded("line-fit")[0]
    from dataworth import claims

    ledger = claims.read_ledger(path)
    del ledger["run"]["parameters"], ledger["run"]["key"]
    path.write_text(claims.sealed_ledger(ledger))
    assert ask(built, "compare", "line-fit", "steep", "recorded:smoke")["parameters"] is None
    path.unlink()


def test_an_earlier_result_is_kept_where_the_code_has_changed(built):
    before = everything(steep(built))
    edit(built, "y = slope", "y = 1 + slope")
    (row,) = [r for r in ask(built, "runs", "line-fit") if r["name"] == "steep"]
    assert row["changed"]
    said = run(built, "-p", "slope=4", "-p", "seed=4", "--name", "steep")
    assert "the earlier variant 'steep' of line-fit is kept as steep-2" in said
    (old,) = variants_of(built.root, "line-fit").glob("steep-2*")
    assert everything(old) == before and everything(steep(built)) != before
    assert sum(r["kind"] == "variant" for r in ask(built, "runs", "line-fit")) == 2
    done = call(built, "record", "line-fit")
    assert done.exit_code == 2 and "today (changed: code cell" in done.stderr


@pytest.mark.parametrize("delay", [0.2, 3.0])
def test_a_kill_leaves_nothing_half(example, delay):
    words = ["run", "line-fit", "-p", "slope=4", "--name", "killed"]
    process = start(example, *words)
    try:
        assert wait_for(lambda: bool(running(example)))
        time.sleep(delay)
    finally:
        process.kill()
        process.communicate()
    assert wait_for(lambda: not running(example), 10)
    folder = variants_of(example.root, "line-fit") / "killed"
    assert not folder.exists() and ask(example, "runs", "line-fit") == []
    assert call(example, *words).exit_code == 0
    assert "line_fit.run.json" in everything(folder)
    assert not list((example.root / "build").rglob("*.tmp"))
