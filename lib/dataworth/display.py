"""Text that comes from data, made safe to show; times in words; lines and tables of a terminal."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any
from uuid import uuid4

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


def safe(text: str) -> str:
    """Text of any origin (`plain`) as HTML shows it."""
    return escape(plain(text))


class Sentence(str):
    """What a cell of a chapter says in the place of a figure or a table."""

    def _repr_html_(self) -> str:
        return f"<p>{safe(self)}</p>"


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


def moment(stamp: str) -> str:
    """A time of ISO 8601 as the clock on the wall shows it, to the minute."""
    return f"{datetime.fromisoformat(stamp).astimezone():%Y-%m-%d %H:%M}"


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


@dataclass(frozen=True)
class Aside:
    """What `aside` has shown, for those who add to it for a while (`runs.progress`)."""

    cell: int  # as the kernel counts
    display_id: str
    data: dict[str, str]
    metadata: dict[str, Any]


_last_aside: Aside | None = None


def aside(data: dict[str, str]) -> None:
    """Show something (text by MIME type) to the reader of a notebook alone: the book's pages, which
    say it in their own form, leave it out (`book.page`)."""
    global _last_aside
    if (kernel := shell()) is None:
        return
    from IPython.display import display

    name, metadata = f"dataworth-{uuid4()}", {"dataworth": {"aside": True}}
    display(data, metadata=metadata, raw=True, display_id=name)
    _last_aside = Aside(kernel.execution_count, name, data, metadata)


def last_aside(kernel: Any) -> Aside | None:
    """What `aside` has shown last in the cell that is running, if it has."""
    found = _last_aside
    return found if found and found.cell == kernel.execution_count else None


_hushed = False


def hush(wanted: bool) -> None:
    """From now on nothing that only informs is shown (`dataworth --quiet`), or it is again."""
    global _hushed
    _hushed = wanted


def console(stderr: bool = False, informs: bool = False) -> Console:
    """A rich console that takes text as it is: no markup, no emoji names, no colours of numbers.

    informs: for progress and other lines that nobody asked for, which `hush` silences.
    """
    from rich.console import Console

    quiet = informs and _hushed
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, quiet=quiet)


def say(text: str, stderr: bool = False, hang: int | None = None, informs: bool = False) -> None:
    """Print text, of any origin, without breaking its lines; with `hang` a terminal gets them
    folded between words, and what is folded indented by so many columns."""
    out = console(stderr, informs)
    shown = plain(text)
    if hang is not None and out.is_terminal:
        shown = folded(shown, out.width, hang)
    out.print(shown, soft_wrap=True)


def folded(text: str, width: int, hang: int = 0) -> str:
    """Text with lines of at most `width` columns, folded between words alone, so that a name or a
    path stays whole; `hang`: columns by which the rest of a line is indented."""
    fold = textwrap.TextWrapper(
        max(width, 20), subsequent_indent=" " * hang,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return "\n".join(fold.fill(line) for line in text.split("\n"))


def table(head: Sequence[str], body: Iterable[Sequence[str]], title: str | None = None) -> None:
    """Print rows of cells, of any origin: as a table where it fits, else each row as a block of
    lines `name: cell`. No cell is cut."""
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table

    out = console()
    head, rows = [plain(name) for name in head], [[plain(cell) for cell in row] for row in body]
    if title is not None:
        title = plain(title)
    columns = zip(head, *rows, strict=True)
    if sum(3 + max(map(cell_len, column)) for column in columns) > out.width:
        lines = [] if title is None else [title]
        for first, *rest in rows:
            lines.append(folded(first, out.width, 4))
            lines += [
                folded(f"    {name}: {cell}", out.width, 8)
                for name, cell in zip(head[1:], rest, strict=True)
                if cell
            ]
        out.print("\n".join(lines), soft_wrap=True)
        return
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title)
    for name in head:
        grid.add_column(name, no_wrap=True)
    for row in rows:
        grid.add_row(*row)
    out.print(grid)
