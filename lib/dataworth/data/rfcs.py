"""Requests for Comments as dated prose, of Debian's packages `doc-rfc-*`.

A document is what its authors wrote in sentences: page headers and footers, tables of contents,
figures, code, references, addresses and the standing texts of the series are left out, and so is
what names a date without being language: years, numbers of RFCs, citations, drafts and addresses.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

from dataworth.data.catalog import Card
from dataworth.data.documents import Document, clean, decode

LEAST, LONGEST = 1_000, 8_000
"""Characters of a document, from its beginning, to the end of a paragraph."""

_FURNITURE = re.compile(r"\[Page [\divxlc]+\]\s*$|^RFC \d+ {2,}.*\d{4}\s*$|^\f")
_HEADING = re.compile(r"^(?:\d[\d.]*|[A-Z]\.[\d.]*|Appendix [A-Z]\S*)?\s*(\S.*)$")
_STANDING = re.compile(
    r"status of th|copyright|table of contents|contents$|.*references|bibliography|.*acknowledg"
    r"|author|editor|contributor|.*intellectual property|disclaimer|.*requirements language"
    r"|conventions used|.*addresses$|index$|.*requirements notation|expiration|full copyright",
    re.IGNORECASE,
)
_FORMULA = re.compile(
    r"key ?words? \"?(?:must|should|may)|distribution of this memo"
    r"|internet community|internet engineering (?:task force|steering group)|copyright"
    r"|all rights reserved|(?:product|consensus) of the (?:ietf|irtf|iab)|current edition of"
    r"|this document is subject to",
    re.IGNORECASE,
)
_DATING = re.compile(
    r"\[[^\]\n]{1,40}\]|<[^>\s]+>|(?:https?|ftp)://\S+|\S+@\S+|\bdraft-\S+|\b(?:19|20)\d\d\b"
    r"|(?<=RFC)[ -]?\d+|(?<=RFCs)[ -]?\d+"
)
_GAP = re.compile(r"\s+(?=[,.;:)])|(?<=\w-) (?=\w)")
_ENDS = re.compile(r"[.:;!?)\"']$")
WORDS = 12  # of a paragraph, at least
LETTERS = 0.75  # of a paragraph's characters, blanks included


def rfcs(folder: Path, card: Card) -> Iterator[Document]:
    """The documents of a folder of one kind of RFCs: `rfcN.txt.gz` with `rfcN.json` beside each."""
    for path in sorted(folder.glob("rfc*.json")):
        source = path.with_suffix(".txt.gz")
        if not source.is_file():  # some old ones are scans
            continue
        about = json.loads(path.read_text(encoding="utf-8"))
        year = re.search(r"\d{4}", about["pub_date"])
        if year is None:
            continue
        author = re.sub(r",? *\(?Ed(?:itor|s|)\b\.?\)?", "", (about["authors"] or ["unknown"])[0])
        stream = about["source"] or "Legacy"
        known = {"INDEPENDENT", "IRTF", "IAB", "Legacy", "NON WORKING GROUP", "IETF"}
        labels = (
            ("author", author.strip()),
            ("stream", stream if stream in known else "working group"),
        )
        text = prose(decode(gzip.decompress(source.read_bytes())))
        if len(text) >= LEAST:
            yield Document(clean(text), "rfcs", int(year.group()), labels)


def prose(page: str) -> str:
    """The sentences of an RFC: one paragraph a line, empty lines between them, each once, at most
    `LONGEST` characters."""
    kept: dict[str, None] = {}
    length = 0
    for text in _paragraphs(page):
        plain = _GAP.sub("", " ".join(_DATING.sub("", text).split()))
        letters = sum(map(str.isalpha, plain)) + plain.count(" ")
        if len(plain.split()) < WORDS or letters < LETTERS * len(plain) or plain in kept:
            continue
        length += len(plain)
        if length > LONGEST:
            break
        kept[plain] = None
    return "\n\n".join(kept)


def _paragraphs(page: str) -> Iterator[str]:
    """Indented paragraphs that end like sentences, of sections that are the authors' own."""
    skipped, before = True, ""
    for block in _blocks(page):
        if not block[0][0].isspace():  # headings stand at the margin, text is indented
            title = _HEADING.match(block[0])
            skipped = bool(title and _STANDING.match(title.group(1).strip()))
            continue
        text = " ".join(" ".join(block).split())
        if skipped or _FORMULA.search(text):
            continue
        if before and text[0].islower():  # a page ended inside the paragraph
            text, before = f"{before} {text}", ""
        if _ENDS.search(text):
            yield text
            before = ""
        else:
            before = text


def _blocks(page: str) -> Iterator[list[str]]:
    """Lines without furniture, parted where lines are empty."""
    block: list[str] = []
    for line in page.replace("\r", "").split("\n"):
        if (line[:1] in ("R", "\f") or "[Page" in line) and _FURNITURE.search(line):
            continue
        if line.strip():
            block.append(line)
        elif block:
            yield block
            block = []
    if block:
        yield block
