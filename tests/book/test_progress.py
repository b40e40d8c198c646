import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from dataworth.book.progress import Display, Event, Tail, left, spell

EVENTS = [Event("runs", i, 5, None if i == 0 else 2.0 * (5 - i)) for i in range(6)]
LINES = b"".join(
    json.dumps(
        {"label": e.label, "done": e.done, "total": e.total, "eta_s": e.eta_s, "t": 0.5}
    ).encode()
    + b"\n"
    for e in EVENTS
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.integers(0, len(LINES)), max_size=6))
def test_events_do_not_depend_on_where_a_write_was_caught(tmp_path, cuts):
    path = tmp_path / "p.jsonl"
    path.write_bytes(b"")
    tail, seen = Tail(path), []
    for cut in [*sorted(cuts), len(LINES)]:
        path.write_bytes(LINES[:cut])
        seen += tail.events()
    assert seen == EVENTS


@given(st.binary(max_size=40).filter(lambda junk: b'"label"' not in junk))
def test_anything_else_in_the_file_is_passed_over(tmp_path_factory, junk):
    path = tmp_path_factory.mktemp("progress") / "p.jsonl"
    path.write_bytes(LINES + junk + b"\n" + LINES)
    assert Tail(path).events() == [*EVENTS, *EVENTS]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (59.4, "59 s"), (185, "3 min 5 s"), (7800, "2 h 10 min"), (300, "5 min")],
)
def test_spell(seconds, text):
    assert spell(seconds) == text


def test_time_left_is_said_only_when_known():
    assert left(EVENTS[0]) == "time left not known yet"
    assert left(EVENTS[3]) == "4 s left"
    assert left(EVENTS[5]) == "done"


def test_plain_lines_without_a_terminal(tmp_path):
    path, out = tmp_path / "p.jsonl", io.StringIO()
    path.write_bytes(LINES)
    display = Display(Console(file=out, width=80))
    with display.chapter("some-chapter", path):
        display.update()
    assert out.getvalue() == "  some-chapter: runs 5/5, done\n"


def test_bars_with_time_left_in_a_terminal(tmp_path):
    path, out = tmp_path / "p.jsonl", io.StringIO()
    path.write_bytes(b"".join(LINES.splitlines(keepends=True)[:4]))
    display = Display(Console(file=out, force_terminal=True, width=100))
    with display.chapter("some-chapter", path):
        display.update()
    shown = out.getvalue()
    assert "some-chapter" in shown and "3/5" in shown and "4 s left" in shown
