"""Two runs beside one another, made by hand: no kernel is needed to hold them together."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from dataworth.book import compare, diff
from dataworth.book.chapters import Chapter
from dataworth.book.take import figures
from dataworth.book.variants import Run
from dataworth.claims import sealed_ledger
from dataworth.errors import UserError

CHAPTER = Chapter(Path("book/part/some_fit.py"), "part/some_fit")
HOSTILE = "<script>alert(1)</script> \x1b[2J\u202e &amp;"
SVG = '<svg xmlns="http://www.w3.org/2000/svg"><text>é</text></svg>'


def line(id="a", value=1.0, interval=(0.5, 1.5), verdict="supported", **other):
    return {
        "id": id, "statement": f"Statement {id}", "source": "", "published": "", "region": [0, 2],
        "estimate": value, "interval": list(interval), "unit": "points", "effect": "",
        "verdict": verdict, "reason": "", "definition": "d", **other,
    }  # fmt: skip


def make(name, lines=(), kind="variant", profile="quick", parameters=None, key=None, notebook=None):
    ledger = {"chapter": "some-fit", "title": "", "profile": profile, "claims": list(lines),
              "evidence": {}, "provenance": {}}  # fmt: skip
    stamp = "2026-01-02T03:04:05+00:00"
    return Run(name, kind, profile, stamp, parameters, key, ledger, notebook)


def shown(*outputs):
    cells = [{"cell_type": "code", "outputs": [o]} for o in outputs]
    return {"cells": [{"cell_type": "markdown"}, *cells]}


def output(data, **about):
    return {"output_type": "display_data", "data": data, "metadata": {"dataworth": about}}


def test_what_moved_and_what_cannot_be_compared():
    a = make("a", [line(), line("b", verdict="contradicted"), line("c", definition="other")])
    b = make("b", [line("b"), line(verdict="supported"), line("c"), line("d")])
    told = compare.compare(CHAPTER, a, b)
    assert [c["id"] for c in told["claims"]] == ["a", "b", "c", "d"]
    assert [c["moved"] for c in told["claims"]] == [False, True, False, False]
    assert [c["comparable"] for c in told["claims"]] == [True, True, False, False]
    assert told["claims"][3]["lines"] == [None, line("d")]
    assert compare.moved(told) == (
        "1 of 3 verdicts moved; 1 is on another definition, unit or region."
    )
    assert compare.moved(compare.compare(CHAPTER, a, make("none"))) == (
        "The two runs have no claim in common."
    )


def test_parameters_and_what_else_differs():
    parts = {"modules": {"m": "1"}, "recorded": {"full": "1"}}
    a = make("a", parameters={"x": [1], "y": 2}, key={"parameters": {"x": [1]}, **parts})
    b = make(
        "b", parameters={"x": [3], "y": 2},
        key={"parameters": {"x": [3]}, "modules": {"m": "2"}, "recorded": {}},
    )  # fmt: skip
    told = compare.compare(CHAPTER, a, b)
    assert told["parameters"] == [{"name": "x", "values": [[1], [3]]}]
    assert told["changed"] == ["code of m"]
    old = make("recorded:full", kind="recorded")
    told = compare.compare(CHAPTER, a, old)
    assert told["parameters"] is None and told["changed"] is None


def test_a_run_is_compared_with_its_profiles_own():
    own, variant = make("quick", kind="profile"), make("x")
    kept = make("recorded:full", kind="recorded", profile="full")
    assert compare.other([own, variant], variant, CHAPTER) is own
    smoke = make("smoke", kind="profile", profile="smoke")
    assert compare.other([smoke, own], smoke, CHAPTER) is own
    full = make("full", kind="profile", profile="full")
    assert compare.other([own, full, kept], full, CHAPTER) is kept
    assert compare.other([own, full, kept], kept, CHAPTER) is full
    with pytest.raises(UserError, match="what to compare 'x' with; there is no result of quick"):
        compare.other([variant], variant, CHAPTER)


def test_the_lines_fit_a_narrow_terminal():
    long = line(statement="word " * 40, unit="points of accuracy per doubling of the real set " * 3)
    told = compare.compare(CHAPTER, make("a" * 20, [long]), make("b", [long]))
    lines = [part for text in compare.text(told, 60) for part in text.splitlines()]
    assert max(map(len, lines)) <= 60
    assert sum("supported" in text for text in lines) == 2


def test_nothing_in_a_page_is_taken_for_markup(tmp_path):
    notebook = tmp_path / "a.ipynb"
    drawn = output({"image/svg+xml": SVG}, name=HOSTILE, alt=f'"{HOSTILE}', caption=HOSTILE)
    notebook.write_text(json.dumps(shown(drawn)))
    bad = line(statement=HOSTILE, unit=HOSTILE)
    runs = [
        make(name, [bad], parameters={HOSTILE: value, "s": HOSTILE}, notebook=notebook)
        for name, value in (("a", 1), ("b", 2))
    ]
    told = compare.compare(CHAPTER, *runs)
    path = compare.page(CHAPTER, tmp_path, *runs, told)
    assert path == tmp_path / "build" / "variants" / "some-fit" / "a_beside_b.html"
    text = path.read_text()
    assert "<script" not in text and "\x1b" not in text and "\u202e" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt; \\x1b[2J\\u202e &amp;amp;") >= 4
    assert base64.b64encode(SVG.encode()).decode() in text
    assert text.count("<img") == 1 and "a and b, the same" in text


def test_figures_keep_their_words_and_have_names_that_are_file_names():
    png = base64.b64encode(b"\x89PNG").decode()
    found = figures(
        shown(
            output({"text/plain": "no figure"}),
            output(
                {"image/svg+xml": [SVG[:5], SVG[5:]]}, name="fig-a", alt=" An\nalt ", caption="C"
            ),
            output({"image/png": png}, name="../b c", alt="b"),
            {"output_type": "stream", "name": "stdout", "text": "x"},
            {"output_type": "display_data", "data": {"image/png": png}, "metadata": {}},
        )
    )
    assert [f.file for f in found] == ["fig-a.svg", "___b_c.png", "figure-5.png"]
    assert [f.data for f in found] == [SVG.encode(), b"\x89PNG", b"\x89PNG"]
    assert (found[0].alt, found[0].caption, found[2].alt) == ("An alt", "C", "")


def test_a_verdict_moves_with_its_direction_too():
    sides = [line(interval=ends, verdict="contradicted") for ends in ((3, 4), (-4, -3))]
    above, below = (make(name, [side]) for name, side in zip("ab", sides, strict=True))
    assert compare.moved(compare.compare(CHAPTER, above, below)) == "1 of 1 verdicts moved."
    assert compare.moved(compare.compare(CHAPTER, above, above)) == "None of 1 verdicts moved."


def test_two_books_are_held_against_each_other(tmp_path):
    """Folders of results, such as another machine's: what moved, chapter by chapter and in all."""
    other = Chapter(Path("book/part/b.py"), "part/b")
    (tmp_path / "params").mkdir()
    for name, verdict in (("one", "supported"), ("two", "contradicted")):
        (tmp_path / name).mkdir()
        far = {"value": 3.0, "interval": (2.5, 3.5)} if verdict == "contradicted" else {}
        ledger = make(name, [line(verdict=verdict, **far), line("b")]).ledger
        (tmp_path / name / "some-fit.json").write_text(sealed_ledger(ledger))
    (tmp_path / "two" / "b.json").write_text(sealed_ledger({**ledger, "chapter": "b"}))
    sides = [diff.side(tmp_path, [CHAPTER, other], str(tmp_path / n)) for n in ("one", "two")]
    found = diff.diff([CHAPTER, other], *sides)
    assert found["only one"] == ["b"] and len(found["chapters"]) == 1
    said = list(diff.text(found, ("one", "two"), 100))
    assert (
        said[0] == "some-fit: 1 of 2 verdicts moved."
        and said[-1] == "all chapters: " + said[0][10:]
    )
    assert said[1] == "  Statement a"
    assert said[2:4] == [
        "    one  supported: 1 [0.5, 1.5] points",
        "    two  contradicted: above the claimed range: 3 [2.5, 3.5] points",
    ]
    with pytest.raises(UserError, match="has no result of a chapter"):
        diff.side(tmp_path, [other], str(tmp_path / "one"))
