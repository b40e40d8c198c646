"""Read what a provider of texts delivered as documents; write and read their parquet folder.

Every reader yields whole documents, cleaned (`documents.clean`); `without_duplicates` then leaves
one of each group of exact or near copies: the oldest where years are known, else the one with the
smallest content hash, so that the order of the files does not matter.
"""

from __future__ import annotations

import email
import email.message
import email.utils
import html
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from dataworth.data.catalog import Card
from dataworth.data.documents import UNDATED, Document, clean, decode, text_ids
from dataworth.data.duplicates import near_duplicates
from dataworth.data.formats import FormatError
from dataworth.data.rfcs import rfcs

FILE = "documents-00000-of-00001.parquet"

MIN_CHARACTERS = 20
"""Shorter texts are not documents (the phrases of a word list excepted)."""


def without_duplicates(found: Iterable[Document]) -> list[Document]:
    """One document of each group of exact or near copies, in the order of content ids."""
    kept = [document for document in found if len(document.text) >= MIN_CHARACTERS]
    ids = text_ids(document.text for document in kept)
    years = np.array([d.year if d.year != UNDATED else 1 << 30 for d in kept], dtype=np.int64)
    names = np.array([repr(document[1:]) for document in kept])
    # Content decides the order, and with it which copy stands for its group.
    order = np.lexsort((names, ids, years))
    ranked = [kept[row] for row in order]
    groups = near_duplicates([document.text for document in ranked])
    unique = [ranked[row] for row in np.unique(groups)]
    return [unique[row] for row in np.argsort(text_ids(d.text for d in unique), kind="stable")]


# ---- State of the Union addresses ----------------------------------------------------------


def _sotu(folder: Path, card: Card) -> Iterator[Document]:
    for path in sorted(folder.glob("*.json")):
        entry = json.loads(path.read_text(encoding="utf-8"))
        labels = (("party", str(entry["party"])), ("president", str(entry["name"])))
        yield Document(clean(entry["text"]), "speeches", int(entry["year"]), labels)


# ---- Brown corpus ---------------------------------------------------------------------------

BROWN_YEAR = 1961  # all its samples were first printed in that year (manual, Francis & Kucera)

_CLOSES = frozenset(",.;:?!)]%") | {"''"}
_DOUBLED = frozenset("?!;")


def _brown(folder: Path, card: Card) -> Iterator[Document]:
    categories = (folder / "cats.txt").read_text(encoding="utf-8").split()
    for name, category in zip(categories[::2], categories[1::2], strict=True):
        tagged = decode((folder / name).read_bytes())
        # A sentence is a line, a paragraph begins after empty lines.
        paragraphs = re.split(r"\n\s*\n", tagged)
        plain = [detokenize(p.split()) for p in paragraphs]
        yield Document(clean("\n\n".join(filter(None, plain))), category, BROWN_YEAR)


def detokenize(tagged: Sequence[str]) -> str:
    """Running text of `word/tag` tokens: tags off, punctuation and quotation marks set.

    The corpus repeats some marks (`?/. ?/.`), which is undone.
    """
    words: list[str] = []
    text, opens, inside = "", True, False
    for token in tagged:
        word = token.rpartition("/")[0] or token
        if word.startswith("**"):  # codes of figures and symbols that the corpus left out
            continue
        if words and words[-1] == word and word in _DOUBLED:
            continue
        words.append(word)
        quote = word in ("``", "''")
        closes = word in _CLOSES or (word == "'" and inside)
        if word == "'":
            inside = not inside
        text += ("" if opens or closes else " ") + ('"' if quote else word)
        opens = word in ("``", "(", "[") or (word == "'" and inside)
    return text.strip()


# ---- Mails ----------------------------------------------------------------------------------


# The standard library's HTML parser changes with its version, and with it the content's checksum.
_UNSEEN = re.compile(r"<!--.*?-->|<(script|style|title)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_BREAK = re.compile(
    r"</?(?:br|p|div|tr|li|ul|ol|table|hr|blockquote|h[1-6])\b[^>]*>", re.IGNORECASE
)
_TAG = re.compile(r"<[!/?a-zA-Z][^>]*>")


def visible_text(page: str) -> str:
    """The text of an HTML page without tags, comments, scripts and styles; blocks break lines."""
    flat = re.sub(r"\s+", " ", _UNSEEN.sub(" ", page))
    text = html.unescape(_TAG.sub("", _BREAK.sub("\n", flat)))
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def _mails(folder: Path, card: Card) -> Iterator[Document]:
    for path in sorted(folder.glob("*/*.json")):
        entry = json.loads(path.read_text(encoding="utf-8"))
        mail = email.message_from_string(entry["text"])
        group = str(entry["group"])
        labels = (("group", group), ("spam", "spam" if group.startswith("spam") else "ham"))
        yield Document(clean(mail_body(mail)), "mail", _mail_year(mail), labels)


def mail_body(mail: email.message.Message) -> str:
    """The body without headers: the plain parts if there are any, else the text of the HTML."""
    plain: list[str] = []
    pages: list[str] = []
    for part in mail.walk():
        if part.is_multipart() or part.get_content_maintype() != "text":
            continue
        payload = part.get_payload(decode=True)
        if not isinstance(payload, bytes):
            continue
        try:
            text = payload.decode(part.get_content_charset("utf-8"))
        except (LookupError, ValueError):  # a charset that is unknown or a lie
            text = decode(payload)
        (pages if part.get_content_subtype() == "html" else plain).append(text)
    body = "\n\n".join(plain).strip()
    if body and not re.search(r"<(html|body|table|font)\b", body, re.IGNORECASE):
        return body
    return visible_text("\n\n".join(pages) or body)


def _mail_year(mail: email.message.Message) -> int:
    # The sender's clock is often wrong; the receiving relays' lines come first and are honest.
    stamps = [str(line).rpartition(";")[2] for line in mail.get_all("Received", [])]
    for stamp in (*stamps, str(mail.get("Date", ""))):
        try:
            year = email.utils.parsedate_to_datetime(stamp.strip()).year
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
        if 1990 <= year <= 2010:
            return year
    return UNDATED


# ---- Scraps of English, program code, WordNet, word lists -----------------------------------


def _sentences(folder: Path, card: Card) -> Iterator[Document]:
    for path in sorted(folder.glob("*.json")):
        for sentence in json.loads(path.read_text(encoding="utf-8")):
            yield Document(clean(str(sentence)), "web")


def _python(folder: Path, card: Card) -> Iterator[Document]:
    for path in sorted(folder.rglob("*.py")):
        yield Document(clean(decode(path.read_bytes())), "code")


def _wordnet(folder: Path, card: Card) -> Iterator[Document]:
    """One article per noun that has kinds or instances: their names and glosses.

    Every synset stands in one article only, that of its first hypernym, so that no gloss is in two
    documents. Format: wndb(5WN).
    """
    words: dict[str, str] = {}
    below: dict[str, list[str]] = defaultdict(list)
    for line in (folder / "data.noun").read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):  # the licence
            continue
        data, _, gloss = line.partition(" | ")
        fields = data.split()
        count = int(fields[3], 16)
        names = [fields[4 + 2 * i].replace("_", " ") for i in range(count)]
        words[fields[0]] = names[0]
        start = 4 + 2 * count
        pointers = fields[start + 1 : start + 1 + 4 * int(fields[start])]
        above = [pointers[i + 1] for i in range(0, len(pointers), 4) if pointers[i] in ("@", "@i")]
        if above:
            below[above[0]].append(f"{', '.join(names)}: {gloss.strip()}.")
    for synset, entries in below.items():
        yield Document(clean("\n".join((words[synset] + "\n", *entries))), "encyclopedia")


def _phrases(folder: Path, card: Card) -> Iterator[Document]:
    for phrase in json.loads((folder / "en.json").read_text(encoding="utf-8")):
        yield Document(str(phrase), "word list")


READERS = {
    "sotu": _sotu,
    "brown": _brown,
    "mails": _mails,
    "sentences": _sentences,
    "python": _python,
    "wordnet": _wordnet,
    "phrases": _phrases,
    "rfcs": rfcs,
}


def read_delivery(format_name: str, folder: Path, card: Card) -> list[Document]:
    """The documents of a delivery; FormatError when nothing is in it."""
    if format_name == "datasets":
        return read_documents(folder, card)
    found = list(READERS[format_name](folder, card))
    if not found:
        raise FormatError("it holds no document")
    return found if format_name == "phrases" else without_duplicates(found)


def write_documents(folder: Path, card: Card, found: Sequence[Document]) -> list[Path]:
    """Write one parquet file (columns text, domain, year and the labels) and the README.md."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, object] = {
        "text": pa.array([d.text for d in found], pa.string()),
        "domain": pa.array([d.domain for d in found], pa.string()),
        "year": pa.array([d.year for d in found], pa.int64()),
    }
    for name in card.labels:
        columns[name] = pa.array([dict(d.labels)[name] for d in found], pa.string())
    path = folder / FILE
    pq.write_table(pa.table(columns), path, compression="zstd")
    return [path]


def read_documents(folder: Path, card: Card) -> list[Document]:
    """The documents of a parquet folder; FormatError unless it has the card's columns."""
    import pyarrow.parquet as pq

    files = sorted(folder.glob("documents-*.parquet"))
    if not files:
        raise FormatError("it has no documents-*.parquet file")
    found = []
    for path in files:
        table = pq.read_table(path)
        wanted = ("text", "domain", "year", *card.labels)
        if missing := [name for name in wanted if name not in table.column_names]:
            raise FormatError(f"its columns {table.column_names} lack {missing}")
        columns = [table[name].to_pylist() for name in wanted]
        for text, domain, year, *values in zip(*columns, strict=True):
            labels = tuple(zip(card.labels, values, strict=True))
            found.append(Document(text, domain, int(year), labels))
    return found
