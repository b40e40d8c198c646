import io
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from dataworth import display
from dataworth.book.progress import Display, Event, Outlook, Tail
from dataworth.display import about, spell, time_left
from dataworth.runs.progress import progress

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
    assert time_left(0, 5, None) == "time left not known yet"
    assert time_left(3, 5, 4.0) == "4 s left"
    assert time_left(5, 5, None) == "done"


def test_the_whole_time_left_is_weighted_by_cost():
    outlook = Outlook({"a": 60.0, "b": 600.0, "c": 120.0})
    assert outlook.place("b") == "chapter 2 of 3"
    assert outlook.left() == outlook.left({"a": 0}) == 780
    assert outlook.left({"a": 40}) == 740
    assert outlook.left({"a": 100}) == 720  # late: no time of the others is used up
    outlook.spent["a"] = 60.0
    assert outlook.left({"b": 100}) == 620
    outlook.spent["a"] = 30.0  # part of it was stored: the rest is expected to be quicker too
    assert 360 < outlook.left({"b": 0}) < 720
    outlook.spent |= {"b": 600.0, "c": 300.0}
    assert outlook.left() == 0


def test_chapters_that_execute_two_at_a_time():
    outlook = Outlook({"a": 60.0, "b": 60.0, "c": 60.0, "d": 60.0}, at_once=2)
    assert outlook.left() == 240  # nothing is gained yet
    outlook.spent |= {"a": 60.0, "b": 60.0}  # as quick as alone: neither was in the other's way
    assert 60 < outlook.left({"c": 0, "d": 0}) < 120
    outlook.spent["c"] = 60.0
    assert outlook.left({"d": 0}) >= 60  # half of the workers have nothing left to do
    assert outlook.left({"d": 1000}) == 0


def test_two_chapters_share_the_bars_of_a_terminal(tmp_path):
    path, out = tmp_path / "p.jsonl", io.StringIO()
    path.write_bytes(b"".join(LINES.splitlines(keepends=True)[:4]))
    display = Display(Console(file=out, force_terminal=True, width=100))
    with display.chapter("first", path) as first:
        with display.chapter("second", path) as second:
            first.update()
            second.update()
            assert len(display.progress.tasks) == 4
        assert [task.description for task in display.progress.tasks] == ["first", "  first: runs"]
    assert display.progress is None and not display.running


def test_a_chapter_of_unknown_cost_counts_as_the_mean_of_the_others():
    assert Outlook({"a": 60.0, "b": None, "c": 120.0}).left() == 270
    assert Outlook({"a": None, "b": None}).left({"a": 5}) is None
    assert Outlook({"a": 0.0}).left() is None


@given(
    st.lists(st.floats(1, 1e4), min_size=1, max_size=9),
    st.integers(0, 8),
    st.floats(0.1, 10),
)
def test_a_steady_pace_is_found(costs, ended, pace):
    """After some chapters at one pace, what is left lies between the plan and that pace."""
    outlook = Outlook({str(i): cost for i, cost in enumerate(costs)})
    outlook.spent = {str(i): pace * cost for i, cost in enumerate(costs[:ended])}
    rest = sum(costs[ended:])
    low, high = sorted((rest, pace * rest))
    assert low * (1 - 1e-9) <= outlook.left() <= high * (1 + 1e-9)


def test_expected_times_are_said_in_minutes():
    assert about(5) == "about 1 min" and about(170) == "about 3 min"
    assert about(7800) == "about 2 h 10 min"


@pytest.mark.parametrize("terminal", [False, True])
def test_a_build_of_several_chapters_says_what_the_whole_still_takes(tmp_path, terminal):
    path, out = tmp_path / "p.jsonl", io.StringIO()
    path.write_bytes(LINES)
    console = Console(file=out, force_terminal=terminal, width=200)
    display = Display(console, Outlook({"a": 60.0, "b": 600.0}))
    with display.chapter("a", path) as shown:
        shown.update()
    assert "whole book: about 11 min left" in out.getvalue()


def test_plain_lines_without_a_terminal(tmp_path):
    path, out = tmp_path / "p.jsonl", io.StringIO()
    path.write_bytes(LINES)
    display = Display(Console(file=out, width=80))
    with display.chapter("some-chapter", path) as shown:
        shown.update()
    assert out.getvalue() == "  some-chapter: runs 5/5, done\n"


def test_bars_with_time_left_in_a_terminal(tmp_path):
    path, out = tmp_path / "p.jsonl", io.StringIO()
    path.write_bytes(b"".join(LINES.splitlines(keepends=True)[:4]))
    display = Display(Console(file=out, force_terminal=True, width=100))
    with display.chapter("some-chapter", path) as shown:
        shown.update()
    shown = out.getvalue()
    assert "some-chapter" in shown and "3/5" in shown and "4 s left" in shown


@pytest.mark.parametrize(
    "line",
    [
        b'{"label": "a", "done": NaN, "total": 5}', b'{"label": "a", "done": 1, "total": Infinity}',
        b'{"label": "a", "done": 1, "total": 5, "eta_s": NaN}', b"[" * 100_000,
        b'{"label": "a", "done": 1e999, "total": 5}', b'{"label": 5, "done": 1, "total": 5}',
        b'{"label": "a", "done": true, "total": 5}', b'{"label": "a", "done": -1, "total": 5}',
        b'{"label": "a", "done": 1, "total": ' + b"9" * 5000 + b"}", b"\xff", b"null", b"[]",
        b'{"label": "a", "done": 1, "total": 5, "eta_s": 1e300}',
    ],
)  # fmt: skip
def test_what_is_no_number_of_runs_is_passed_over(tmp_path, line):
    path, out = tmp_path / "p.jsonl", io.StringIO()
    path.write_bytes(line + b"\n" + LINES)
    display = Display(Console(file=out, width=80))
    with display.chapter("c", path) as shown:
        shown.update()
    assert out.getvalue() == "  c: runs 5/5, done\n"


def test_a_label_steers_no_terminal(tmp_path):
    path = tmp_path / "p.jsonl"
    label = "\x1b[31m[bold]a[/bold]\x07\u202e" + "b" * 200
    path.write_text(json.dumps({"label": label, "done": 1, "total": 2}) + "\n")
    for terminal in (False, True):
        out = io.StringIO()
        display = Display(Console(file=out, force_terminal=terminal, width=200))
        with display.chapter("c", path) as chapter:
            chapter.update()
        shown = out.getvalue()
        assert "\\x1b[31m[bold]a[/bold]\\x07\\u202eb" in shown and "b" * 100 not in shown
        assert "\x07" not in shown and "\u202e" not in shown


class Broken(io.StringIO):
    """A stream whose other end is gone, full, or knows ASCII only."""

    encoding = "ascii"

    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, text):
        if self.error is not None:
            raise self.error
        text.encode(self.encoding)
        return super().write(text)


@pytest.mark.parametrize(
    "error", [BrokenPipeError(), OSError(28, "full"), ValueError("closed file"), None]
)
def test_a_terminal_that_fails_ends_no_build(tmp_path, error, monkeypatch):
    monkeypatch.setattr("rich.console.Console.on_broken_pipe", _leave)
    path, out = tmp_path / "p.jsonl", Broken(error)
    path.write_bytes(LINES)
    display = Display(Console(file=out, width=80))
    display.say("ü · done")
    with display.chapter("c", path) as shown:
        shown.update()
    if error is None:
        assert out.getvalue().startswith("\\xfc \\xb7 done\n")


def _leave(console):
    """As rich does, without giving pytest's stdout away."""
    raise SystemExit(1)


def test_what_went_wrong_is_said_where_progress_is_not(capsys):
    """`--quiet`: a chapter that fails in a build is told on stderr, and only there."""
    display.hush(True)
    try:
        Display(display.console(informs=True)).say("executing")
        Display(display.console(informs=True)).complain("it failed")
    finally:
        display.hush(False)
    assert capsys.readouterr() == ("", "it failed\n")
    Display(display.console(informs=True)).complain("it failed")
    assert capsys.readouterr() == ("it failed\n", "")


def test_a_progress_file_that_is_gone_ends_no_build(tmp_path):
    assert Tail(tmp_path / "none").events() == []
    assert Tail(tmp_path).events() == []


def test_a_progress_file_that_cannot_be_written_ends_no_run(tmp_path, monkeypatch):
    """No folder, a folder in its place, a full disk."""
    for path in (tmp_path / "none" / "p.jsonl", tmp_path, Path("/dev/full")):
        if path.exists() or path.parent == tmp_path / "none":
            monkeypatch.setenv("DATAWORTH_PROGRESS", str(path))
            with progress("runs", 2) as advance:
                advance()
