import json
import math

import pytest

from dataworth.book import pages
from dataworth.book.chapters import Chapter, Header
from dataworth.claims import number
from dataworth.errors import UserError

CLAIM = {
    "id": "a", "statement": "x | y is larger", "source": "Paper 2020, Table 1", "published": 2.35,
    "estimate": 1.23456, "interval": [1.0, math.inf], "unit": "ratio", "effect": None,
    "verdict": "inconclusive", "reason": "wide",
}  # fmt: skip


def test_ledger_row(tmp_path):
    chapter = Chapter(tmp_path / "a_b.py", "part/a_b")
    text = pages.ledger([chapter], {"a-b": {"claims": [CLAIM]}})
    assert r"x \| y is larger ([chapter](/part/a_b))" in text
    assert "2.35 (Paper 2020, Table 1)" in text
    assert "1.23 [1, ∞] ratio" in text
    assert ">inconclusive</span> wide" in text  # the verdict is text, not only a colour


def test_ledger_without_claims_says_so(tmp_path):
    assert "No chapter" in pages.ledger([], {})


@pytest.mark.parametrize("verdict", ["Supported", "", None, "true"])
def test_a_verdict_of_another_kind_is_refused(tmp_path, verdict):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"claims": [{**CLAIM, "interval": None, "verdict": verdict}]}))
    with pytest.raises(UserError, match="allowed are supported, contradicted, inconclusive"):
        pages.read_result(path)


def test_damaged_results_are_refused(tmp_path):
    (tmp_path / "a.json").write_text('{"claims": [')
    with pytest.raises(UserError, match="is not JSON"):
        pages.read_result(tmp_path / "a.json")


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


def test_front_page_fills_marks_and_refuses_unknown_ones():
    assert pages.front_page("a\n% dataworth: ledger\nb", {"ledger": "T"}) == "a\nT\nb\n"
    with pytest.raises(UserError, match="asks for 'legder'; known are ledger"):
        pages.front_page("% dataworth: legder", {"ledger": "T"})


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
    assert "| 2 | `` train() `` | 70.25 |" in text
    assert "import x" not in text
