"""Text that comes from data, made safe to show."""

from __future__ import annotations

import re

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
