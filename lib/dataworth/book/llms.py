"""llms.txt of the site (llmstxt.org): what the book is and where what stands, for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dataworth.book.chapters import Chapter, Header

HEAD = """\
# What Is Training Data Worth?

> A re-runnable study of two questions: how many synthetic images is a real one worth, and which
> text should a language model be trained on. Every chapter tests published claims by runs of its
> own and ends in verdicts with intervals; numbers of the profile smoke mean nothing.

Each chapter is a page (.html), an executed notebook (.ipynb) and its source (.py); the numbers
behind figures and tables are CSV files in figures/.

## Chapters
"""


def text(chapters: Sequence[Chapter], headers: Mapping[str, Header]) -> str:
    """The file: a line a chapter, with its page's address below the site and what it is about."""
    lines = [
        f"- [{headers[c.id].title}]({c.docname}.html): {headers[c.id].description}"
        for c in chapters
    ]
    return HEAD + "\n" + "\n".join(lines) + "\n"
