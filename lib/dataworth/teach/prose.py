"""Markdown of the book as HTML that stands alone: roles and links become plain words."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

LEAD = re.compile(r"\*\*(.+?)\*\*", re.DOTALL)
ROLE = re.compile(r"\{(\w+)\}`([^`]+)`")
FENCE = re.compile(r"^(`{3,}|:{3,}).*?^\1[ \t]*$\n?", re.MULTILINE | re.DOTALL)


@cache
def _bibliography(path: Path) -> dict[str, str]:
    """Key -> "Fan et al., 2024" of a BibTeX file."""
    found = {}
    for entry in path.read_text(encoding="utf-8").split("\n@")[0:]:
        key = re.search(r"\{([\w-]+),", entry)
        author = re.search(r"author\s*=\s*\{(.*?)\},?\n", entry, re.DOTALL)
        year = re.search(r"year\s*=\s*\{?(\d{4})", entry)
        if not key or not author or not year:
            continue
        names = [
            " ".join(n.split()).replace("{", "").replace("}", "") for n in author[1].split(" and ")
        ]
        last = [n.partition(",")[0] if "," in n else n.rpartition(" ")[2] for n in names]
        who = last[0] if len(last) == 1 else f"{last[0]} and {last[1]}"
        found[key[1]] = f"{who if len(last) < 3 else f'{last[0]} et al.'}, {year[1]}"
    return found


def plainly(text: str, book: Path) -> str:
    """Markdown without roles, fences and links within the book; the words stay."""

    def said(role: re.Match[str]) -> str:
        kind, of = role[1], role[2]
        if kind == "cite":
            known = _bibliography(book / "references.bib")
            return "(" + "; ".join(known.get(k.strip(), k.strip()) for k in of.split(",")) + ")"
        if kind == "numref":
            return "the figure"
        return of.partition(" <")[0]

    text = ROLE.sub(said, FENCE.sub("", text))
    # "Fan et al. (Fan et al., 2024)" was a name with its citation.
    text = re.sub(
        r"((\w+)(?: et al\.| and \w+)?)\s\(\2(?: et al\.| and \w+)?, (\d+)\)", r"\1 (\3)", text
    )
    text = re.sub(r"\[\]\(([\w/.#-]+)\)", lambda m: m[1].rpartition("/")[2].replace("_", " "), text)
    return re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]+\)", r"\1", text)


@cache
def _markdown() -> Any:
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    def formula(content: str, options: dict[str, Any]) -> str:
        left, right = ("\\[", "\\]") if options.get("display_mode") else ("\\(", "\\)")
        return f"{left}{escape(content)}{right}"

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    return parser.use(dollarmath_plugin, renderer=formula)


def html(text: str, book: Path) -> str:
    """Markdown as HTML; formulas stand between \\( and \\) for MathJax."""
    return str(_markdown().render(plainly(text, book)))


def paragraphs(text: str) -> list[str]:
    """Paragraphs of Markdown, headings, fences and tables left out; bullets stay together."""
    parts = [part.strip() for part in FENCE.sub("", text).split("\n\n")]
    return [part for part in parts if part and not part.startswith(("#", "|", "$$"))]


def first_sentence(text: str) -> str:
    """The first sentence of a paragraph: one that ends before a capital letter."""
    flat = " ".join(text.split())
    end = re.search(r"(?<![A-Z])(?<!\.[a-z])(?<!\bal)[.?!]\*{0,2}(?= [A-Z*({\"])", flat)
    return flat[: end.end()] if end else flat
