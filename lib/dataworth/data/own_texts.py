"""A user's own documents: read from files of any layout or a hub, cleaned and counted."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import re
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from dataworth.data.dates import years
from dataworth.data.documents import UNDATED, Document, clean, content_sha256, decode, text_ids
from dataworth.data.own import OwnData
from dataworth.data.own_sources import BUILDERS, Place, column, files_below, place, tables
from dataworth.data.report import Report
from dataworth.data.text_formats import MIN_CHARACTERS, visible_text, without_duplicates
from dataworth.errors import UserError, short

Row = dict[str, Any]


def _zstandard(path: Path) -> Any:
    import pyarrow

    return pyarrow.input_stream(str(path), compression="zstd")


PACKED: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zst": _zstandard,
}  # fmt: skip
AT_ONCE = 32  # parts of a hub repository's files that are read in turn
STREAMED = 2**26  # bytes of a file of JSON lines from which it is read line by line
LINES, TABLES = {".jsonl", ".ndjson", ".json"}, {".csv", ".tsv"}
PAGES = {".html", ".htm"}
TEXTS = {".txt", ".md", *PAGES}
TEXT_COLUMNS = ("text", "content", "body", "document", "raw_content", "article", "message")
DATE_COLUMNS = (
    "date", "timestamp", "created", "created_at", "created_utc", "published", "published_at",
    "publish_date", "datetime", "time", "year", "metadata.timestamp", "metadata.date", "posted",
    "posted_at", "issued", "sent", "day",
)  # fmt: skip
DOMAIN_COLUMNS = (
    "domain", "source", "category", "subset", "section", "meta.pile_set_name", "metadata.source",
    "genre", "topic", "kind",
)  # fmt: skip
LABEL_COLUMNS = ("label", "labels", "class", "author", "party", "spam", "quality", "language")
MOST_DOMAINS = 500
MARKUP = re.compile(
    r"</?(?:p|div|br|html|body|script|style|table|span|a|li|td)\b[^>]*>", re.IGNORECASE
)
_DAY = re.compile(r"(?:1[4-9]|20)\d\d(?:-\d\d(?:-\d\d)?)?(?![\d])")
_WHERE = "\0where"


@dataclass(frozen=True)
class OwnTexts:
    """What a card of texts is made of."""

    documents: list[Document] = field(repr=False)
    labels: tuple[str, ...]
    report: Report

    @property
    def described(self) -> dict[str, Any]:
        """The fields of their card that follow from the documents."""
        years = [d.year for d in self.documents]
        return {
            "modality": "text",
            "domains": tuple(sorted({d.domain for d in self.documents})),
            "years": (min(years), max(years)) if UNDATED not in years else None,
            "labels": self.labels,
            "characters": sum(len(d.text) for d in self.documents),
            "source_splits": {"documents": len(self.documents)},
            "content_sha256": content_sha256(self.documents),
            "held_out": {"validation": 0.1, "test": 0.2},
        }


def read(data: OwnData, name: str = "text") -> OwnTexts:
    """Read, clean and count; UserError, one sentence, where that makes no corpus. `name`: the
    domain of documents where nothing says another."""
    report = Report()
    where = place(data)
    report.found["texts from"] = str(where)
    with tempfile.TemporaryDirectory(suffix=".tmp", ignore_cleanup_errors=True) as scratch:
        rows = list(islice(_rows(data, where, Path(scratch), report), data.documents + 1))
    if len(rows) > data.documents:
        rows.pop()
        report.notes.append(f"only the first {data.documents:,} documents were read (documents)")
    if not rows:
        raise UserError(
            f"text: {where} holds no document; it may be JSONL, CSV, TSV, Parquet (also packed by "
            "gzip, bzip2 or xz), a folder of them or of .txt files, or a hub id."
        )
    report.found["documents read"] = len(rows)
    documents, labels = _documents(rows, data, name, report)
    unique = without_duplicates(documents)
    exact = len(documents) - len(set(text_ids(d.text for d in documents).tolist()))
    report.leave_out("exact copies of another document", count=exact)
    report.leave_out("near copies of another document", count=len(documents) - exact - len(unique))
    if not unique:
        raise UserError(
            f"text: of the {len(rows):,} documents of {where} none is left: "
            + ", ".join(f"{count:,} {reason}" for reason, count in report.left_out.items())
            + "."
        )
    domains = Counter(d.domain for d in unique)
    report.found["documents"] = len(unique)
    report.found["characters"] = sum(len(d.text) for d in unique)
    report.found["domains"] = dict(domains.most_common())
    dated = [d.year for d in unique if d.year != UNDATED]
    if dated:
        report.found["years"] = f"{min(dated)} to {max(dated)}"
    if 0 < len(dated) < len(unique):
        report.notes.append(
            f"{len(unique) - len(dated):,} of {len(unique):,} documents have no date: chapters on "
            "age refuse such a corpus; undated: drop (--undated drop) leaves them out"
        )
    if len(unique) < 3:
        raise UserError(f"text: {len(unique)} documents are left; three or more make a corpus.")
    return OwnTexts(unique, labels, report)


# ---- Rows --------------------------------------------------------------------------------------


def _rows(data: OwnData, where: Place, scratch: Path, report: Report) -> Iterator[Row]:
    if where.path is None:
        found = tables(data, where, scratch, streaming=True)
        split = next((name for name in ("train", "validation", "test") if name in found), "")
        split = split or next(iter(found))
        if len(found) > 1:
            report.notes.append(f"of the splits {', '.join(found)}, '{split}' was read")
        whole = found[split]
        parts = min(whole.num_shards, AT_ONCE)
        files = [whole.shard(parts, part) for part in range(parts)] if parts > 1 else [whole]
        for index, row in enumerate(_in_turn(files)):
            yield flat(row) | {_WHERE: f"row {index + 1}"}
        return
    files = list(files_below(where.path)) if where.path.is_dir() else [where.path]
    kinds = Counter(_kind(path) for path in files)
    tabular = [path for path in files if _kind(path) in LINES | TABLES | {".parquet", ".arrow"}]
    chosen = tabular or [path for path in files if _kind(path) in TEXTS]
    if where.path.is_file() and not chosen:
        chosen = files  # a file without a known ending: text
    for path in files:
        if path not in chosen:
            report.leave_out("files of another kind", path.name)
    if len(kinds) > 1 and tabular:
        report.notes.append("tables were read, the other files of the folder were not")
    folders: dict[Path, list[Path]] = {}
    for path in chosen:
        folders.setdefault(path.parent, []).append(path)

    def of(paths: list[Path], root: Path) -> Iterator[Row]:
        for path in paths:
            yield from _file_rows(path, root, data, scratch, report)

    yield from _in_turn([of(paths, where.path) for paths in folders.values()])


def _in_turn(tables: Sequence[Iterable[Row]]) -> Iterator[Row]:
    """A row of each in turn: the first rows of all are then of every folder, or part of a hub's
    files, and not of the first source alone."""
    left = [iter(table) for table in tables]
    while left:
        for rows in list(left):
            if (row := next(rows, None)) is None:
                left.remove(rows)
            else:
                yield row


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _file_rows(
    path: Path, root: Path, data: OwnData, scratch: Path, report: Report
) -> Iterator[Row]:
    kind = _kind(path)
    if kind in BUILDERS:
        for rows in tables(data, Place(path), scratch, streaming=True).values():
            for index, row in enumerate(rows):
                yield flat(row) | {_WHERE: f"{path.name}, row {index + 1}"}
        return
    if kind in LINES and path.stat().st_size > STREAMED:
        yield from _json_lines(_lines(path), path, report)
        return
    raw = _bytes(path)
    if kind in LINES:
        yield from _json_rows(raw, path, report)
    elif kind in TABLES:
        text = _decoded(raw, path, report)
        csv.field_size_limit(sys.maxsize)
        comma = "\t" if kind == ".tsv" else _separator(text)
        for index, row in enumerate(csv.DictReader(io.StringIO(text, newline=""), delimiter=comma)):
            named = {name: cell for name, cell in row.items() if name is not None}
            yield named | {_WHERE: f"{path.name}, row {index + 1}"}
    else:
        parts = path.relative_to(root).parts if root.is_dir() else ()
        day = next((m[0] for p in reversed(parts) if (m := _DAY.match(p))), None)
        domain = next((p for p in parts[:-1] if not _DAY.fullmatch(p)), None)
        text = _decoded(raw, path, report)
        text = visible_text(text) if kind in PAGES else text
        yield {"text": text, "date": day, "domain": domain, _WHERE: "/".join(parts) or path.name}


def _opened(path: Path) -> Any:
    return PACKED.get(path.suffix.lower(), lambda p: p.open("rb"))(path)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise UserError(f"text: {path} cannot be unpacked or read ({error}).") from error


def _bytes(path: Path) -> bytes:
    with _readable(path), _opened(path) as file:
        found: bytes = file.read()
        return found


def _lines(path: Path) -> Iterator[str]:
    """Lines of a large file, each decoded by itself."""
    with _readable(path), io.BufferedReader(_opened(path)) as file:
        for raw in file:
            yield decode(raw)


def _decoded(raw: bytes, path: Path, report: Report) -> str:
    """Text of bytes in UTF-8, UTF-16 by its mark, or Windows-1252: line by line, as files that
    were put together of several may change their encoding."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        report.changed["files in UTF-16"] += 1
        return raw.decode("utf-16", "replace")
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        report.changed["files not in UTF-8 throughout: such lines read as Windows-1252"] += 1
        return "\n".join(map(decode, raw.split(b"\n")))


def _json_rows(raw: bytes, path: Path, report: Report) -> Iterator[Row]:
    text = _decoded(raw, path, report).strip()
    if text.startswith("["):
        try:
            whole = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"text: {path} is no JSON ({error}).") from None
        for index, entry in enumerate(whole):
            yield _row(entry) | {_WHERE: f"{path.name}, entry {index + 1}"}
        return
    yield from _json_lines(text.split("\n"), path, report)


def _json_lines(lines: Iterable[str], path: Path, report: Report) -> Iterator[Row]:
    good = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            if not good and number > 100:
                break
            report.leave_out("lines that are no JSON", f"{path.name}, line {number}")
            continue
        good += 1
        yield _row(entry) | {_WHERE: f"{path.name}, line {number}"}
    if not good:
        raise UserError(f"text: {path} holds no line of JSON; each line must be one object.")


def _row(entry: Any) -> Row:
    return flat(entry) if isinstance(entry, Mapping) else {"text": entry}


def flat(row: Mapping[str, Any], before: str = "") -> Row:
    """Nested columns by names with dots."""
    found: Row = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{name}.")
        else:
            found[f"{before}{name}"] = value
    return found


def _separator(text: str) -> str:
    head = text.split("\n", 1)[0]
    return max(",;\t|", key=head.count)


# ---- Documents ---------------------------------------------------------------------------------


def _documents(
    rows: Sequence[Row], data: OwnData, name: str, report: Report
) -> tuple[list[Document], tuple[str, ...]]:
    """Cleaned documents, and the names of their labels."""
    columns = list(dict.fromkeys(c for row in rows[:1000] for c in row if c != _WHERE))
    text = column(columns, data.text_column, TEXT_COLUMNS, "text_column")
    if text is None:
        raise UserError(
            f"text_column: no column looks like the text; name one of "
            f"{short(', '.join(columns), 300)}."
        )
    day = column(columns, data.date_column, DATE_COLUMNS, "date_column")
    domain = column(columns, data.domain_column, DOMAIN_COLUMNS, "domain_column")
    domains = {str(row[domain]) for row in rows if row.get(domain) is not None} if domain else set()
    if domain and len(domains) > MOST_DOMAINS and not data.domain_column:
        report.notes.append(
            f"the column '{domain}' has {len(domains):,} values and was not taken for domains"
        )
        domain = None
    guessed = [c for c in columns if c.lower() in LABEL_COLUMNS and c not in (text, day, domain)]
    labels = tuple(
        str(column(columns, c, (), "label_columns"))
        for c in (guessed if data.label_columns is None else data.label_columns)
    )
    chosen = {"text": text, "date": day, "domain": domain, "labels": ", ".join(labels) or None}
    report.found["columns"] = {role: found or "none" for role, found in chosen.items()}
    if unused := [c for c in columns if c not in (text, day, domain, *labels)]:
        report.found["columns not used"] = ", ".join(unused)
        if lacking := [role for role, found in (("date", day), ("domain", domain)) if not found]:
            options = " and ".join(f"--{role}-column" for role in lacking)
            report.notes.append(
                f"no column looks like the {' or the '.join(lacking)}: {options} names one"
            )
    dates = years([row.get(day) for row in rows], day, data.date_format) if day else None
    if dates:
        report.found["dates"] = dates.shape
        for at, value in dates.unread[:1]:
            report.notes.append(
                f"{len(dates.unread):,} dates have no reading and count as none, the first is "
                f"{short(value)!r} of {rows[at][_WHERE]}"
            )
    documents, marked = [], 0
    for index, row in enumerate(rows):
        where, content = row[_WHERE], row.get(text)
        if not isinstance(content, str):
            reason = "without a text" if content is None else "whose text is a number or a list"
            report.leave_out(reason, where)
            continue
        if any("\ud800" <= letter <= "\udfff" for letter in content):
            report.changed["with half a surrogate pair: replaced by U+FFFD"] += 1
        if len(content) > data.longest:
            report.leave_out(f"longer than {data.longest:,} characters (longest)", where)
            continue
        if MARKUP.search(content[:20_000]):
            marked += 1
            content = visible_text(content) if data.html == "strip" else content
        content = clean(content)
        if not content.strip():
            report.leave_out("with an empty text", where)
            continue
        if len(content) < MIN_CHARACTERS:
            report.leave_out(f"shorter than {MIN_CHARACTERS} characters", where)
            continue
        year = int(dates.years[index]) if dates else UNDATED
        if year == UNDATED and data.undated == "drop":
            report.leave_out("without a date", where)
            continue
        if domain and row.get(domain) in (None, ""):
            report.changed["without a domain: called 'unknown'"] += 1
        place_of = str(row.get(domain) or "unknown") if domain else name
        values = tuple((label, _label(row.get(label))) for label in labels)
        documents.append(Document(content, place_of, year, values))
    if marked:
        done = "was stripped" if data.html == "strip" else "stays (html: strip takes it out)"
        report.notes.append(f"{marked:,} documents hold HTML, which {done}")
    return documents, labels


def _label(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value)
