"""One progress display for a whole build, fed by JSON lines that chapters append to a file."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from dataworth.display import PLAIN_EVERY_S, about, plain, say, spell, time_left
from dataworth.errors import short

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


@dataclass
class Outlook:
    """How long a build still takes: its chapters by what each is expected to take.

    expected: seconds for each chapter to execute alone, in order, None where nobody knows: then the
    mean of the others. at_once: chapters that execute at a time. spent: seconds that those which
    have ended took; their ratio to the expected ones corrects the rest, the more chapters have
    ended the more. At first nothing is expected to be gained by executing several at a time.
    """

    expected: Mapping[str, float | None]
    at_once: int = 1
    spent: dict[str, float] = field(default_factory=dict)

    def place(self, chapter_id: str) -> str:
        """ "chapter 3 of 14"."""
        return f"chapter {list(self.expected).index(chapter_id) + 1} of {len(self.expected)}"

    def left(self, running: Mapping[str, float] | None = None) -> float | None:
        """Seconds until the last chapter has ended; `running`: the chapters that execute now, with
        the seconds since they began. None where no chapter has an expected time."""
        known = [seconds for seconds in self.expected.values() if seconds is not None]
        if not known or not (mean := sum(known) / len(known)):
            return None
        cost = {id_: mean if s is None else s for id_, s in self.expected.items()}
        planned = sum(cost[id_] for id_ in self.spent)
        pace = (sum(self.spent.values()) + self.at_once * mean) / (planned + mean)
        begun = running or {}
        rest = [pace * s for id_, s in cost.items() if id_ not in self.spent and id_ not in begun]
        now = [max(0.0, pace * cost[id_] - since) for id_, since in begun.items()]
        return max(sum(rest + now) / self.at_once, max(now, default=0.0))


class Display:
    """Bars with time left in a terminal, plain lines elsewhere.

    outlook: of the build whose chapters are shown; none where one chapter alone is executed.
    """

    def __init__(self, console: Console, outlook: Outlook | None = None) -> None:
        self.console, self.outlook = console, outlook
        self.progress: Progress | None = None
        self.running: dict[str, Following] = {}

    def say(self, text: str) -> None:
        """One line. A terminal that is gone, full or knows fewer letters ends no build."""
        encoding = self.console.encoding
        line = plain(text).encode(encoding, "backslashreplace").decode(encoding)
        with suppress(*GONE):
            self.console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def complain(self, text: str) -> None:
        """What went wrong: also where `--quiet` silences what only informs."""
        self.say(text)
        if self.console.quiet:
            with suppress(*GONE):
                say(text, stderr=True)

    @contextmanager
    def chapter(self, name: str, path: Path) -> Iterator[Following]:
        """Follow `path` while a chapter runs; `Following.update` reads it. Several may be open at
        a time: they share one group of bars."""
        if self.console.is_terminal and self.progress is None:
            self.progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=30),
                TextColumn("{task.fields[count]}"),
                TextColumn("{task.fields[note]}"),
                console=self.console,
                transient=True,
            )
            self.progress.start()
        self.running[name] = shown = Following(self, name, path)
        try:
            yield shown
        finally:
            del self.running[name]
            if self.progress is not None and self.running:
                for bar in shown.bars.values():
                    self.progress.remove_task(bar)
            elif self.progress is not None:
                self.progress.stop()
                self.progress = None

    def whole(self) -> str:
        """ ", whole book: about 12 min left", where that is known."""
        if self.outlook is None:
            return ""
        now = time.monotonic()
        seconds = self.outlook.left({name: now - f.started for name, f in self.running.items()})
        return "" if seconds is None else f", whole book: {about(seconds)} left"


class Following:
    """What is shown of one chapter that executes."""

    def __init__(self, display: Display, name: str, path: Path) -> None:
        self.display, self.name = display, name
        self.tail, self.started = Tail(path), time.monotonic()
        self.bars: dict[str, TaskID] = {}
        self.said: dict[str, float] = {}
        if display.progress is not None:
            self.bars[name] = display.progress.add_task(name, total=None, count="", note="starting")

    def update(self) -> None:
        """Show what happened since the last call."""
        latest = {event.label: event for event in self.tail.events()}
        progress = self.display.progress
        with suppress(*GONE):
            for event in latest.values():
                if progress is not None:
                    self._bar(progress, event)
                else:
                    self._line(event)
            if progress is not None:
                note = f"running for {spell(time.monotonic() - self.started)}{self.display.whole()}"
                progress.update(self.bars[self.name], note=note)

    def _bar(self, progress: Progress, event: Event) -> None:
        label = f"  {self.name}: {event.label}"  # bars of several chapters stand mixed
        if label not in self.bars:
            self.bars[label] = progress.add_task(label, total=1, count="", note="")
        note = time_left(event.done, event.total, event.eta_s)
        done = f"{event.done}/{event.total}"
        progress.update(
            self.bars[label], completed=event.done, total=event.total, count=done, note=note
        )

    def _line(self, event: Event) -> None:
        now = time.monotonic()
        finished = event.done >= event.total
        if finished or now - self.said.get(event.label, -PLAIN_EVERY_S) >= PLAIN_EVERY_S:
            self.said[event.label] = now
            note = time_left(event.done, event.total, event.eta_s)
            said = f"{event.label} {event.done}/{event.total}, {note}{self.display.whole()}"
            self.display.say(f"  {self.name}: {said}")
