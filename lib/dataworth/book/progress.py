"""One progress display for a whole build, fed by JSON lines that chapters append to a file."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from dataworth.display import plain
from dataworth.errors import short

PLAIN_EVERY_S = 15.0
# What a terminal raises that is gone or full; of a closed pipe rich makes an exit.
GONE = (OSError, ValueError, SystemExit)
MOST = 10**12  # a count or a number of seconds beyond it is none


@dataclass(frozen=True)
class Event:
    """State of one batch of runs: `done` of `total`, `eta_s` seconds left (None: not known)."""

    label: str
    done: int
    total: int
    eta_s: float | None


class Tail:
    """Reads the complete new lines of a growing file; a half-written line waits for its end."""

    def __init__(self, path: Path) -> None:
        self.path, self.offset = path, 0

    def events(self) -> list[Event]:
        try:
            with self.path.open("rb") as stream:
                stream.seek(self.offset)
                data = stream.read()
        except OSError:  # what only informs must not end a build
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self.offset += len(whole)
        return [event for line in whole.splitlines() if (event := parse(line)) is not None]


def parse(line: bytes) -> Event | None:
    """The event of a line; None for anything else: what only informs must not end a build."""
    try:
        raw = json.loads(line)
        label, done, total, eta = raw["label"], raw["done"], raw["total"], raw.get("eta_s")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    counts = type(done) is int and type(total) is int and 0 <= done <= MOST and 0 <= total <= MOST
    known = eta is None or (type(eta) in (int, float) and abs(eta) <= MOST)  # NaN is not
    if not (isinstance(label, str) and counts and known):
        return None
    return Event(short(label), done, total, eta)


def spell(seconds: float) -> str:
    """12 s, 3 min 5 s, 2 h 10 min: a duration for people."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        big, small, units = whole // 60, whole % 60, ("min", "s")
    else:
        big, small, units = whole // 3600, whole % 3600 // 60, ("h", "min")
    return f"{big} {units[0]}" + (f" {small} {units[1]}" if small else "")


def left(event: Event) -> str:
    """Time left of a batch, in words."""
    if event.done >= event.total:
        return "done"
    return "time left not known yet" if event.eta_s is None else f"{spell(event.eta_s)} left"


def count(number: int, noun: str) -> str:
    """1 core, 2 cores."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class Display:
    """Bars with time left in a terminal, plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.tail: Tail | None = None
        self.progress: Progress | None = None
        self.bars: dict[str, TaskID] = {}
        self.header: TaskID | None = None
        self.started = 0.0
        self.name = ""
        self.said: dict[str, float] = {}

    def say(self, text: str) -> None:
        """One line. A terminal that is gone, full or knows fewer letters ends no build."""
        encoding = self.console.encoding
        line = plain(text).encode(encoding, "backslashreplace").decode(encoding)
        with suppress(*GONE):
            self.console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)

    @contextmanager
    def chapter(self, name: str, path: Path) -> Iterator[None]:
        """Follow `path` while a chapter runs; `update` reads it."""
        self.tail, self.started, self.name = Tail(path), time.monotonic(), name
        self.bars, self.said = {}, {}
        if not self.console.is_terminal:
            yield
            return
        with Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[count]}"),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            transient=True,
        ) as self.progress:
            self.header = self.progress.add_task(name, total=None, count="", note="starting")
            try:
                yield
            finally:
                self.progress = self.header = None

    def update(self) -> None:
        """Show what happened since the last call."""
        assert self.tail is not None
        latest = {event.label: event for event in self.tail.events()}
        with suppress(*GONE):
            for event in latest.values():
                if self.progress is not None:
                    self._bar(self.progress, event)
                else:
                    self._line(event)
            if self.progress is not None and self.header is not None:
                note = f"running for {spell(time.monotonic() - self.started)}"
                self.progress.update(self.header, note=note)

    def _bar(self, progress: Progress, event: Event) -> None:
        if event.label not in self.bars:
            self.bars[event.label] = progress.add_task(
                f"  {event.label}", total=1, count="", note=""
            )
        note = left(event)
        bar = self.bars[event.label]
        done = f"{event.done}/{event.total}"
        progress.update(bar, completed=event.done, total=event.total, count=done, note=note)

    def _line(self, event: Event) -> None:
        now = time.monotonic()
        finished = event.done >= event.total
        if finished or now - self.said.get(event.label, -PLAIN_EVERY_S) >= PLAIN_EVERY_S:
            self.said[event.label] = now
            self.say(f"  {self.name}: {event.label} {event.done}/{event.total}, {left(event)}")
