"""Text that comes from data, made safe to show; times in words; lines and tables of a terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

# Controls (line feed and tab lay text out, so they stay), marks and overrides of the writing
# direction, separators that break a line, and the halves that a path of undecodable bytes has.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def plain(text: str) -> str:
    r"""The text with every control and direction character as a visible escape, such as \x1b.

    A terminal or a page obeys such characters (colours, titles, reversed text); data have no
    business to command it. Everything else, markup included, stays as it is: escape that where
    it would be read.
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


PLAIN_EVERY_S = 15.0
"""Seconds between two plain lines about the progress of one thing."""


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


def about(seconds: float) -> str:
    """A time that is only expected, for people: whole minutes."""
    return f"about {spell(60 * max(1, round(seconds / 60)))}"


def time_left(done: int, total: int, eta_s: float | None) -> str:
    """Time left of a batch of which `done` of `total` are done, in words (None: not known)."""
    if done >= total:
        return "done"
    return "time left not known yet" if eta_s is None else f"{spell(eta_s)} left"


def count(number: int, noun: str) -> str:
    """1 core, 2 cores."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def shell() -> Any | None:
    """The IPython shell of the notebook's kernel that this process is; None anywhere else, a
    terminal's IPython included."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    found: Any = get_ipython()
    return found if hasattr(found, "kernel") else None


def console(stderr: bool = False) -> Console:
    """A rich console that takes text as it is: no markup, no emoji names, no colours of numbers."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def say(text: str, stderr: bool = False) -> None:
    """Print text, of any origin, without breaking its lines."""
    console(stderr).print(plain(text), soft_wrap=True)


def table(head: Sequence[str], body: Iterable[Sequence[str]], title: str | None = None) -> None:
    """Print rows of cells, of any origin; a long cell is folded, never cut."""
    from rich import box
    from rich.table import Table

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=None if title is None else plain(title))
    for name in head:
        grid.add_column(plain(name), overflow="fold")
    for row in body:
        grid.add_row(*map(plain, row))
    console().print(grid)
