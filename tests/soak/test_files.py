"""Damaged files of a build: none ends in a traceback, none passes with another meaning."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from dataworth import claims
from dataworth.book import chapters, execute
from dataworth.book.layout import Layout
from dataworth.book.record import RECORD
from dataworth.claims import read_ledger, recorded_ledgers
from dataworth.errors import UserError
from dataworth.sealed import Damaged, seal, unseal

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "book" / "recorded" / "full"
KEY = {"code cells": "c" * 16, "parameters": "p" * 16, "data": "d" * 16}


def flip(data: bytes, rng: random.Random) -> bytes:
    """One bit turned over."""
    at = rng.randrange(8 * len(data))
    return data[: at // 8] + bytes([data[at // 8] ^ 1 << at % 8]) + data[at // 8 + 1 :]


def mangle(data: bytes, rng: random.Random) -> bytes:
    """A bit turned over, or more: an end lost, a piece moved, doubled, zeroed or from elsewhere."""
    if rng.random() < 0.5:
        return flip(data, rng)
    a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    other = rng.choice([b"", b"[]", b"{}", b"null", b"1e999", b"NaN", b"\xff\xfe", b"[" * 9999])
    return rng.choice(
        [
            data[:a],
            data[a:],
            data[:a] + data[b:],
            data[:b] + data[a:],
            data[:a] + bytes(b - a) + data[b:],
            data[:a] + other + data[b:],
            other,
        ]
    )


@pytest.fixture
def layout(tmp_path):
    """A book with one chapter that has been executed (a notebook as large as a real one)."""
    layout = Layout(tmp_path, "full")
    chapter = chapters.Chapter(layout.book / "mixing.py", "mixing")
    made = execute.products(chapter, layout)
    made.notebook.parent.mkdir(parents=True)
    made.results.parent.mkdir(parents=True)
    cell = {"cell_type": "code", "source": "1", "outputs": [], "metadata": {}}
    made.notebook.write_text(json.dumps({"cells": [cell] * 30, "metadata": {}}))
    shutil.copy(KEPT / "mixing.json", made.results)
    run = read_ledger(made.results)["run"]
    record = {
        **run, "chapter": "mixing", "profile": "full", "peak_memory_mb": 900,
        "cells": [{"line": "import numpy as np", "seconds": 0.25}], "parameters": {"seeds": 3},
        "key": KEY, "files": execute._fingerprints(chapter, layout),
    }  # fmt: skip
    made.record.write_text(seal(record, RECORD))
    return layout, chapter, made


def test_a_damaged_record_executes_the_chapter_again(layout, cases):
    layout, chapter, made = layout
    rng = random.Random(0)
    good, whole = made.record.read_bytes(), execute.read_record(chapter, layout)
    assert execute.why_stale(chapter, layout, KEY) is None
    for _ in range(cases(400, 10_000)):
        made.record.write_bytes(bad := mangle(good, rng))
        why = execute.why_stale(chapter, layout, KEY)
        if execute.read_record(chapter, layout) is None:
            assert why is not None and why.startswith("not executed yet"), bad
            assert "\n" not in why and len(why) < 300 and why.isprintable()
        else:  # the spacing, or the writing of a number or letter, and nothing else
            assert execute.read_record(chapter, layout) == whole and why is None


@pytest.mark.parametrize("name", ["notebook", "results"])
def test_a_damaged_product_executes_the_chapter_again(layout, cases, name):
    layout, chapter, made = layout
    rng = random.Random(1)
    path = getattr(made, name)
    good = path.read_bytes()
    record = execute.read_record(chapter, layout)
    for _ in range(cases(100, 2500)):
        path.write_bytes(bad := mangle(good, rng))
        if bad == good:
            continue
        assert "damaged" in (execute.why_stale(chapter, layout, KEY) or "")
        if name == "notebook":
            with pytest.raises(UserError, match="changed while the book was built"):
                execute.read_notebook(chapter, layout, record)


@pytest.mark.parametrize("recorded", [False, True])
def test_a_damaged_ledger_is_a_sentence(layout, cases, recorded):
    """A results file, and a recorded run, which the others do not wait for."""
    layout, _, made = layout
    rng = random.Random(2)
    path = made.results
    if recorded:
        path = layout.book / "recorded" / "full" / "mixing.json"
        path.parent.mkdir(parents=True)
        other = path.parent.parent / "gpu" / "mixing.json"
        other.parent.mkdir()
        ledger = {**read_ledger(KEPT / "mixing.json"), "profile": "gpu"}
        other.write_text(claims.sealed_ledger(ledger))
    good, whole = (KEPT / "mixing.json").read_bytes(), read_ledger(KEPT / "mixing.json")
    for _ in range(cases(400, 5000)):
        path.write_bytes(bad := mangle(good, rng))
        try:
            assert read_ledger(path) == whole, bad
        except UserError as error:
            said = str(error)
            assert str(path) in said and "is not a ledger: " in said and "\n" not in said
            assert len(said) < 400 and said.isprintable()
            if recorded:
                found, (fault,) = recorded_ledgers(layout.root, "mixing")
                assert [one["profile"] for one in found] == ["gpu"]
                assert fault.startswith("book/recorded/full/mixing.json is not a ledger: ")


def test_every_shipped_ledger_notices_every_kind_of_flip(cases):
    """One bit, anywhere in any of them: noticed, or the same content."""
    rng = random.Random(3)
    files = {path: path.read_bytes() for path in sorted(ROOT.glob("book/recorded/*/*.json"))}
    known = {path: read_ledger(path) for path in files}
    for _ in range(cases(200, 5000)):
        path = rng.choice(list(files))
        try:
            assert unseal(flip(files[path], rng), claims.LEDGER) == known[path]
        except Damaged as error:
            assert str(error)


def test_the_record_of_another_chapter_or_profile_is_none(layout):
    layout, _, made = layout
    other = chapters.Chapter(layout.book / "other.py", "other")
    shutil.copy(made.record, execute.products(other, layout).record)
    assert execute.read_record(other, layout) is None
    assert "of chapter 'mixing'" in execute.why_stale(other, layout, KEY)


def test_a_record_that_cannot_be_read_is_not_damaged(layout):
    """A folder in its place, a medium that fails: a sentence, and nothing is executed for it."""
    layout, chapter, made = layout
    made.record.unlink()
    made.record.mkdir()
    with pytest.raises(UserError, match=r"mixing.run.json cannot be read: Is a directory"):
        execute.why_stale(chapter, layout, KEY)
