"""Text that comes from data, made safe to show; tables and lines of the terminal."""

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


def shell() -> Any | None:
    """The IPython shell of the notebook's kernel that this process is; None anywhere else, a
    terminal's IPython included."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    found: Any = get_ipython()
    return found if hasattr(found, "kernel") else None


def aside(data: dict[str, str]) -> None:
    """Show something (text by MIME type) to the reader of a notebook alone: the book's pages, which
    say it in their own form, leave it out (`book.page`)."""
    if shell() is not None:
        from IPython.display import display

        display(data, metadata={"dataworth": {"aside": True}}, raw=True)


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
