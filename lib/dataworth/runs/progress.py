"""How far a batch of runs is, shown to people wherever they are.

In a notebook one line of text that is replaced in place and is gone at the end (no widget is
needed), in a terminal a bar, elsewhere a plain line now and then; and where the builder of the
book follows, JSON lines in the file that `DATAWORTH_PROGRESS` names.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from html import escape
from pathlib import Path
from typing import Any
from uuid import uuid4

from dataworth.display import PLAIN_EVERY_S, last_aside, plain, say, shell, time_left
from dataworth.runs.leases import Holder

KERNEL_EVERY_S = 0.2  # a page cannot show more


class Progress:
    """What is done of a batch. The base shows nothing.

    outset: what is said until the first is done; "": as at any other time.
    """

    def __init__(self, label: str, total: int, outset: str = "") -> None:
        self.label, self.total, self.outset, self.done = label, total, outset, 0
        self.started = self.last = time.monotonic()
        self.held: list[Holder] = []

    def __call__(self, count: int = 1) -> None:
        """So many more are done."""
        self.done += count
        self.last = time.monotonic()
        self.show()

    def elsewhere(self, held: Sequence[Holder]) -> None:
        """Only these are left, and other processes compute them."""
        if held or self.held:
            self.held = list(held)
            self.show()

    def show(self) -> None:
        """Say how things stand; also called when time has passed and nothing else has."""

    def eta_s(self, passed: float = 0.0) -> float | None:
        """Seconds left, `passed` seconds after one was done last; None before the first is done."""
        if not self.done:
            return None
        each = (self.last - self.started) / self.done
        return max(0.0, each * (self.total - self.done) - passed)

    def note(self) -> str:
        """ "2 min 5 s left", or for whom we wait."""
        if self.held:
            return _waiting(self.held)
        return time_left(self.done, self.total, self.eta_s(time.monotonic() - self.last))

    def words(self) -> str:
        """ "classifiers 3 of 12, 2 min 5 s left"."""
        if not self.done and not self.held and self.outset:
            return plain(f"{self.label}: {self.outset}")
        return plain(f"{self.label} {self.done} of {self.total}, {self.note()}")


@contextmanager
def progress(
    label: str, total: int, outset: Callable[[], object] = lambda: ""
) -> Iterator[Progress]:
    """Progress of `total` things to do: to the file `DATAWORTH_PROGRESS` if set, else as one line
    of a notebook, a bar of a terminal or plain lines, on stderr.

    outset: gives what a line says until the first is done.
    """
    if file := os.environ.get("DATAWORTH_PROGRESS"):
        yield _Events(Path(file), label, total)
    elif (kernel := shell()) is not None:
        line = _Replaced(kernel, label, total, str(outset()))
        try:
            yield line
        finally:
            line.remove()
    elif _terminal():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bars

        head = TextColumn("{task.description}", markup=False)
        note = TextColumn("{task.fields[note]}", markup=False)
        columns = (head, BarColumn(), MofNCompleteColumn(), note)
        with Bars(*columns, console=Console(file=sys.stderr), transient=True) as bars:
            yield _Bar(bars, label, total)
    else:
        yield _Lines(label, total, str(outset()))


class _Events(Progress):
    """JSON lines in a file that the book's builder reads."""

    def __init__(self, file: Path, label: str, total: int) -> None:
        super().__init__(label, total)
        self.file = file
        self.waited: tuple[str, int, int] | None = None  # label, most, left
        self._write(label, 0, total, None)

    def __call__(self, count: int = 1) -> None:
        super().__call__(count)
        self._write(self.label, self.done, self.total, self.eta_s())

    def elsewhere(self, held: Sequence[Holder]) -> None:
        before = self.waited
        if held:
            text = _waiting(held)
            most = max(len(held), before[1] if before and before[0] == text else 0)
            self.waited = (text, most, len(held))
        elif before:
            self.waited = (*before[:2], 0)
        if self.waited != before and self.waited:
            text, most, left = self.waited
            self._write(text, most - left, most, None)

    def _write(self, label: str, done: int, total: int, eta: float | None) -> None:
        event = {"label": label, "done": done, "total": total, "eta_s": eta, "t": time.time()}
        with suppress(OSError), self.file.open("a") as lines:  # what informs must not end a run
            lines.write(json.dumps(event) + "\n")


class _Bar(Progress):
    """A bar in a terminal."""

    def __init__(self, bars: Any, label: str, total: int) -> None:
        super().__init__(label, total)
        self.bars = bars
        self.task = bars.add_task(plain(label), total=total, note=plain(self.note()))

    def show(self) -> None:
        self.bars.update(self.task, completed=self.done, note=plain(self.note()))


class _Lines(Progress):
    """Plain lines on stderr, for a script or a pipe."""

    def __init__(self, label: str, total: int, outset: str) -> None:
        super().__init__(label, total, outset)
        self.said = float("-inf")
        self.show()

    def show(self) -> None:
        if (now := time.monotonic()) - self.said >= PLAIN_EVERY_S:
            self.said = now
            with suppress(OSError, ValueError):  # a pipe that is closed or full
                say(self.words(), stderr=True)


class _Replaced(Progress):
    """One line of text in the notebook's cell, replaced in place.

    Where the cell shows something of ours that stays (`display.aside`), the line stands below it
    for a while. Else it is an output of its own: a cell that has shown nothing else is cleared at
    the end, and in any other that output is emptied, since the protocol of notebooks knows no way
    to take one output of several away.
    """

    def __init__(self, kernel: Any, label: str, total: int, outset: str) -> None:
        super().__init__(label, total, outset)
        self.kernel, self.said = kernel, time.monotonic()
        self.beside = last_aside(kernel)
        self._say(self.words())

    def show(self) -> None:
        if (now := time.monotonic()) - self.said >= KERNEL_EVERY_S:
            self.said = now
            self._say(self.words())

    def remove(self) -> None:
        """Take the line away."""
        if self.beside is None and _cell.alone(self.kernel):
            self.kernel.display_pub.clear_output()
            _cell.begin(self.kernel)
        else:
            self._say("")

    def _say(self, line: str) -> None:
        if self.beside is not None:
            data = {mime: _below(text, mime, line) for mime, text in self.beside.data.items()}
            self._publish(data, self.beside.metadata, self.beside.display_id, update=True)
            return
        alone, known = _cell.alone(self.kernel), _cell.display_id is not None
        _cell.display_id = _cell.display_id or f"dataworth-{uuid4()}"
        self._publish({"text/plain": line} if line else {}, {}, _cell.display_id, update=known)
        if alone:
            _cell.sent = _sent(self.kernel)

    def _publish(
        self, data: dict[str, str], metadata: dict[str, Any], display_id: str, update: bool
    ) -> None:
        self.kernel.display_pub.publish(
            data, metadata, transient={"display_id": display_id}, update=update
        )


def _below(text: str, mime: str, line: str) -> str:
    """A text with a line below it."""
    if not line:
        return text
    return f"{text}<pre>{escape(line)}</pre>" if mime == "text/html" else f"{text}\n\n{line}"


class _Cell:
    """What is known of the cell that is running.

    sent: messages that the kernel has sent, the last of ours included; None where something else
    than us has shown something in this cell (that is a message too). display_id: of our line, if
    the cell has it.
    """

    sent: int | None = None
    display_id: str | None = None

    def begin(self, kernel: Any) -> None:
        """The cell has shown nothing yet."""
        self.sent, self.display_id = _sent(kernel), None

    def alone(self, kernel: Any) -> bool:
        """Whether it has shown nothing but our line."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # text that waits becomes a message
        if self.sent != _sent(kernel):
            self.sent = None
        return self.sent is not None


def _sent(kernel: Any) -> int | None:
    """None for a kernel that does not count."""
    return getattr(getattr(kernel.display_pub, "session", None), "message_count", None)


_cell = _Cell()


def _watch() -> None:
    """Know from now on what cells show, the one that imports this included."""
    if (kernel := shell()) is None:
        return
    kernel.events.register("pre_run_cell", lambda info: _cell.begin(kernel))
    before = str(kernel.history_manager.input_hist_raw[-1]).partition("dataworth")[0]
    texts = kernel.history_manager.outputs.get(kernel.execution_count)
    if not texts and "display" not in before and "show" not in before:
        _cell.begin(kernel)


def _terminal() -> bool:
    with suppress(ValueError, AttributeError):  # closed, or none at all
        return sys.stderr.isatty()
    return False


def _waiting(held: Sequence[Holder]) -> str:
    """Whom we wait for, in words."""
    who = dict.fromkeys(f"process {one.pid} on {one.host}" for one in held)
    return f"waiting for runs of {' and '.join(who)}"


with suppress(Exception):  # whatever a kernel lacks: what only informs must not end a run
    _watch()
