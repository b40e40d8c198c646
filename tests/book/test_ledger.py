import math
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from scipy.stats import norm

from dataworth import claims, claims_file
from dataworth.book import ledger as pages
from dataworth.book.chapters import Chapter, Header
from dataworth.errors import UserError
from dataworth.verdicts import number

ROOT = Path(__file__).resolve().parents[2]
CLAIM = {
    "id": "a", "statement": "x | y is larger", "source": "Paper 2020, Table 1", "published": "2.35",
    "estimate": 1.23456, "interval": [1.0, "inf"], "region": [2.0, "inf"], "unit": "ratio",
    "effect": "", "verdict": "inconclusive", "reason": "", "definition": "",
}  # fmt: skip


def last_row(*of):
    return pages.ledger(*of, {}).strip().splitlines()[-1]


def ledger(*lines):
    return {"title": "Does it hold?", "claims": list(lines)}


def test_ledger_row(tmp_path):
    chapter = Chapter(tmp_path / "a_b.py", "part/a_b")
    text = pages.ledger([chapter], {"a-b": ledger(CLAIM)}, {}, {"part/a_b": "Part I"})
    assert "## Part I\n\n### [Does it hold?](/part/a_b)" in text
    assert r"[x \| y is larger [#](#claim-a-b-a)]{#claim-a-b-a}" in text
    assert "2.35 (Paper 2020, Table 1)" in text
    assert r"1.23 \[1, ∞\] ratio" in text
    assert ">inconclusive</span> 1.23" in text  # the verdict is text, not only a colour


INTERVALS = {"supported": [2.5, "inf"], "contradicted": [0.1, 1.9], "inconclusive": [1.0, "inf"]}


def decided(verdict, **fields):
    return {**CLAIM, "verdict": verdict, "interval": INTERVALS[verdict], **fields}


def recording(profile, verdict, id="a"):
    return {"profile": profile, "claims": [decided(verdict, id=id, estimate=9.0)]}


def test_ledger_shows_every_recorded_run_of_a_claim(tmp_path):
    chapter = Chapter(tmp_path / "a_b.py", "part/a_b")
    kept = [recording("full", "supported"), recording("gpu", "contradicted"),
            recording("gpu", "supported", "gone")]  # fmt: skip
    row = last_row([chapter], {"a-b": ledger(CLAIM)}, {"a-b": kept})
    assert row.count("verdict-supported") == 1 and row.count("verdict-contradicted") == 1
    assert row.index("(full)") < row.index("(gpu)")


def test_a_recorded_verdict_on_another_definition_is_not_shown(tmp_path):
    chapter = Chapter(tmp_path / "a_b.py", "part/a_b")
    kept = recording("full", "supported")
    kept["claims"][0]["unit"] = "× loss"
    row = (
        pages.ledger([chapter], {"a-b": ledger(CLAIM)}, {"a-b": [kept]}, {})
        .strip()
        .splitlines()[-1]
    )
    assert f">{claims.OTHER}</span> 9" in row and "verdict-supported" not in row
    text = pages.tally({"a-b": ledger(CLAIM)}, {"a-b": [kept]})
    assert "The largest recorded run" not in text
    assert f"Of 1 claim the recorded verdict is not counted: it was {claims.OTHER}" in text


def test_todays_recorded_verdicts_on_other_definitions():
    """Recorded on loss, claimed on error."""
    chapter, claim = "mixing", "adding-helps"
    found, _ = claims.recorded_ledgers(ROOT, chapter)
    (past,) = [line for line in found[0]["claims"] if line["id"] == claim]
    stated = claims_file.of(chapter, ROOT / "book").claims[claim]
    now = past | {"unit": stated.unit, "region": stated.region, "definition": stated.definition}
    assert not past.get("definition"), "recorded again: take another example"
    assert claims.OTHER in claims.standing(now, past)
    assert claims.comparable([now], found[0]) == ([], 1)


def test_what_a_claim_says_is_text(tmp_path):
    """Statement, source, published number, unit: no mark-up of theirs is read on the front page."""
    chapter = Chapter(tmp_path / "a_b.py", "part/a_b")
    bad = "<script>alert(1)</script> [x](http://a.b) `c` *d* $e$ {term}`f` \x1b]0;g\x07 \u202e"
    words = dict.fromkeys(("statement", "source", "published", "unit"), bad)
    row = (
        pages.ledger([chapter], {"a-b": ledger({**CLAIM, **words})}, {}, {})
        .strip()
        .splitlines()[-1]
    )
    assert not re.search(r"(?<!\\)<(?!/?span)|(?<!\\)[`*$]|[\x1b\x07\u202e]", row), row


def test_tally_compares_with_the_largest_recorded_run():
    results = {"c": ledger(decided("supported"), {**CLAIM, "id": "b"})}
    alone = pages.tally(results, {"c": []})
    assert "2 claims: 1 supported, 0 contradicted, 0 no effect, 1 inconclusive, 0 not mea" in alone
    assert "recorded" not in alone
    kept = [recording("full", "supported"), recording("gpu", "contradicted")]
    text = pages.tally(results, {"c": kept})
    assert "evaluates 1 of them: 0 supported, 1 contradicted, 0 no effect, 0 inconcl" in text
    assert "0 have one verdict in both runs; 1 is supported by one and contradicted" in text


def test_tally_says_what_is_expected_to_be_wrong_by_chance():
    """Twelve claims that lie on the wrong side with a share of 2.5 % each: 0.3 of one."""
    edge = [decided("supported", id=str(i), estimate=4.0, interval=[2.0, 6.0]) for i in range(12)]
    text = pages.tally({"c": ledger(*edge, CLAIM)}, {})
    assert "Of 12 definite verdicts (supported, contradicted, no effect) about 0.3 is" in text
    assert "definite" not in pages.tally({"c": ledger(CLAIM)}, {})


def test_tally_tells_verdicts_from_opposite_sides_apart():
    """The same claim refuted from below here and from above in the recorded run."""
    sides = {"region": [3.0, 8.0], "verdict": "contradicted"}
    here = ledger({**CLAIM, **sides, "estimate": 2.2, "interval": [2.0, 2.4]})
    there = {"profile": "full", "claims": [{**CLAIM, **sides, "interval": [9.0, "inf"]}]}
    text = pages.tally({"c": here}, {"c": [there]})
    assert "1 have one verdict in both runs" in text and "1 contradicted from opposite" in text


def test_every_tested_claim_has_a_q_value(tmp_path):
    """Of all chapters together; none for what is not measurable or not identified."""
    made = {
        "a-b": ledger(decided("supported", estimate=4.0, interval=[2.5, 5.5])),
        "c": ledger(
            {**CLAIM, "verdict": "not measurable here", "unmeasurable": "Few."},
            {**CLAIM, "id": "b", "estimate": None, "interval": [None, None]},
        ),
    }
    q = pages.of_all(made)
    p = 2 * norm.sf(2 * norm.ppf(0.975) / 1.5)
    assert q == {("a-b", "a"): pytest.approx(p)}  # alone, and therefore its p-value
    text = pages.ledger([Chapter(tmp_path / "a_b.py", "part/a_b")], made, {}, {})
    assert "q = 0.009" in text


def test_ledger_without_claims_says_so(tmp_path):
    assert "No chapter" in pages.ledger([], {}, {}, {})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "not identified"),
        (math.nan, "not identified"),
        (math.inf, "∞"),
        ("inf", "∞"),
        ("-inf", "−∞"),
        (0.000123456, "0.000123"),
        (3, "3"),
        (2441.1, "2,440"),
        (-12345, "-12,300"),
        (3e9, "3e+09"),
        ("about 5", "about 5"),
    ],
)
def test_numbers(value, text):
    assert number(value) == text


def test_a_page_fills_marks_and_refuses_unknown_ones():
    assert pages.filled("p.md", "a\n% dataworth: ledger\nb", {"ledger": lambda: "T"}) == "a\nT\nb\n"
    with pytest.raises(UserError, match=r"p\.md asks for 'legder'; known are ledger"):
        pages.filled("p.md", "% dataworth: legder", {"ledger": lambda: "T"})


def test_run_times_name_the_slow_cells(tmp_path):
    class Here:
        profile = "quick"

    chapter = Chapter(tmp_path / "a_b.py", "part/a_b")
    record = {
        "wall_s": 75.0, "peak_memory_mb": 900, "finished": "2026-01-01", "commit": "abc",
        "cells": [{"line": "import x", "seconds": 0.001}, {"line": "train()", "seconds": 70.25}],
        "device": {"processor": "C", "cores": 2, "memory_gb": 8.0, "gpu": None, "system": "Linux"},
        "versions": {"numpy": "2.4"},
    }  # fmt: skip
    header = Header("Title", None, "", "cpu", {"quick": 2})
    text = pages.run_times(Here(), [chapter], {"a-b": header}, {"a-b": record})
    assert "| [Title](/part/a_b) | 1 min 15 s | 2 min | 900 MB | 2026-01-01 | `abc` |" in text
    assert "| 2 | `train()` | 70.25 |" in text
    assert "import x" not in text


def test_chapters_executed_side_by_side_count_once():
    device = {"cores": 2, "processor": "a processor", "gpu": ""}
    records = {
        name: {"started": f"2026-01-01T10:{a}:00+00:00", "finished": f"2026-01-01T10:{b}:00+00:00",
               "device": device}
        for name, a, b in (("one", "00", "10"), ("two", "05", "15"), ("three", "40", "41"))
    }  # fmt: skip
    layout = SimpleNamespace(profile="quick", reads=False)
    assert "Executing 3 chapters took 16 min on 2 cores" in pages.scale_line(layout, records)
