"""Data in Markdown: names of classes, parameters, machines as they are, whatever they hold."""

from __future__ import annotations

import re

from dataworth.display import plain


def code(text: str) -> str:
    """Text as inline code, whatever it holds; empty for none."""
    line = " ".join(plain(text).split())
    if not line:
        return ""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    pad = " " if "`" in (line[0], line[-1]) else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def literal(text: str) -> str:
    """Text that stands in Markdown as it is: no mark-up, HTML, formula or role in it is read. A `|`
    is left to who writes a table."""
    return re.sub(r"[\\`*_{}\[\]<>#~$&]", r"\\\g<0>", " ".join(plain(text).split()))
