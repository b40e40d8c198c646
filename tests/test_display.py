from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataworth.display import folded, moment, plain, table

# the direction characters by their Unicode names, not by the ranges of the code
DIRECTION = [
    unicodedata.lookup(name)
    for name in (
        "LEFT-TO-RIGHT MARK", "RIGHT-TO-LEFT MARK", "ARABIC LETTER MARK",
        "LEFT-TO-RIGHT EMBEDDING", "RIGHT-TO-LEFT EMBEDDING", "POP DIRECTIONAL FORMATTING",
        "LEFT-TO-RIGHT OVERRIDE", "RIGHT-TO-LEFT OVERRIDE", "LEFT-TO-RIGHT ISOLATE",
        "RIGHT-TO-LEFT ISOLATE", "FIRST STRONG ISOLATE", "POP DIRECTIONAL ISOLATE",
    )
]  # fmt: skip


def test_commands_to_a_terminal_become_visible():
    assert plain("\x1b[31mred\x07 \x00 \x9b \x7f\r") == r"\x1b[31mred\x07 \x00 \x9b \x7f\r"
    assert plain("user\u202etxt.exe\u2066") == r"user\u202etxt.exe\u2066"
    assert plain("a\udcff") == r"a\udcff"  # an undecodable byte of a path


def test_text_and_markup_stay():
    for text in ("a[real]", "/x", "[bold]", "two\nlines\tand a tab", "Ça va, ñandú, 数据, 👍🏽"):
        assert plain(text) == text


@given(st.text(st.one_of(st.characters(), st.sampled_from([*DIRECTION, "\x1b", "\x00"]))))
def test_nothing_that_steers_passes(text):
    shown = plain(text)
    left = [c for c in shown if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    assert set(left) <= {"\n", "\t"}
    assert not set(shown) & set(DIRECTION)
    shown.encode()  # any stream takes it
    assert plain(shown) == shown


@pytest.mark.parametrize(
    ("zone", "shown"), [("UTC", "2026-01-02 23:04"), ("XXX-2", "2026-01-03 01:04")]
)
def test_a_time_is_that_of_the_wall(monkeypatch, zone, shown):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert moment("2026-01-02T23:04:05+00:00") == shown
    finally:
        monkeypatch.undo()
        time.tzset()


WORDS = st.lists(st.text("abcde-–é", min_size=1, max_size=12), min_size=1, max_size=30)


@given(WORDS, st.integers(20, 100), st.integers(0, 8))
def test_folding_breaks_between_words_alone(words, width, hang):
    lines = folded(" ".join(words), width, hang).split("\n")
    assert [word for line in lines for word in line.split()] == words
    assert all(len(line) <= width for line in lines)
    assert all(line.startswith(" " * hang) for line in lines[1:])


def test_a_name_longer_than_the_line_stays_whole_and_an_indent_stays():
    path = "/" + "x" * 60
    assert path in folded(f"    it is {path} here", 40, 8).splitlines()[1]
    assert folded("    a\n  b", 40, 8) == "    a\n  b"


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_a_table_is_whole_at_every_width(width, monkeypatch, capsys):
    """As lines of cells where it fits, as blocks of `name: cell` where it does not."""
    monkeypatch.setenv("COLUMNS", str(width))
    body = [["imagenet, training", "1,281,167 images", "a"], ["captions", "", "0.5"]]
    table(["step", "size", "GPU hours"], body)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width
    flat = " ".join(shown.split())
    for row in body:
        assert all(cell in flat for cell in row)
    assert ("GPU hours: 0.5" in flat) == (width < 60)
    assert "size: captions" not in flat and "size: GPU" not in flat
