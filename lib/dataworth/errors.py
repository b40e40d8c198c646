"""Errors that are meant to be read by the person at the keyboard."""

import errno
from collections.abc import Iterable
from pathlib import Path

from dataworth.display import plain


class UserError(ValueError):
    """A mistake in the input or the surroundings, told in one sentence.

    The sentence names the field, the value and what is allowed. The command line prints it
    without a traceback and exits with status 2. What it quotes cannot steer a terminal.
    """

    def __str__(self) -> str:
        return plain(super().__str__())

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback: the sentence."""
        return [f"{type(self).__name__}: {self}"]


def short(text: str, limit: int = 80) -> str:
    """At most `limit` characters of `text`, on one line, for a sentence that quotes it."""
    line = plain(" ".join(text[: 4 * limit].split()))
    return line if len(line) <= limit and len(text) <= 4 * limit else f"{line[: limit - 1]}…"


def quoted(value: object, limit: int = 80) -> str:
    """`repr(value)` in at most `limit` characters, whatever the value is."""
    if isinstance(value, str | bytes):
        return short(repr(value[: 4 * limit]), limit)
    if isinstance(value, int) and value.bit_length() > 4 * limit:
        digits = int(value.bit_length() * 0.30103)
        return f"a whole number of about {digits:,} digits"
    try:
        return short(repr(value), limit)
    except (RecursionError, ValueError):  # nested too deep; a number of too many digits inside
        return f"a {type(value).__name__}"


NOT_WRITABLE = (
    errno.EACCES, errno.EDQUOT, errno.EIO, errno.ENOSPC, errno.EPERM, errno.EROFS,
)  # fmt: skip
"""What a file system may answer that no input of ours is to blame for."""


def is_full(error: BaseException) -> bool:
    """Whether this is the operating system's word for a full disk or quota."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def cannot_write(folder: Path, error: OSError, variable: str) -> UserError:
    """The sentence for a full disk or a folder without write access; `variable` of the environment
    names another one."""
    why = "the disk is full" if is_full(error) else error.strerror or error
    return UserError(
        f"The folder {folder} cannot be written ({why}): "
        f"set {variable} to a folder with room and write access."
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """ " Did you mean 'seeds'?", to follow a sentence about the unknown `name`; empty where none of
    `known` is near."""
    from difflib import get_close_matches  # rarely needed

    near = get_close_matches(name[:80].lower(), list(known), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""
