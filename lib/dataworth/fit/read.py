"""Tables of runs as people have them: text with any separator, JSON, JSON lines, Parquet, Excel.

The content says what a file is, not its name. What could be read in two ways is refused, or settled
by a rule that the table's `notes` tell.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from dataworth.errors import UserError, quoted

from .separated import from_text
from .source import Refusal, Source
from .typed import from_excel, from_json, from_parquet

# How files begin that are no tables for us, and the way out.
FOREIGN = {
    b"\x1f\x8b": "it is compressed with gzip: unpack it first",
    b"\x28\xb5\x2f\xfd": "it is compressed with zstd: unpack it first",
    b"\xd0\xcf\x11\xe0": "it is an old Excel workbook (.xls): save it as .xlsx or CSV",
    b"%PDF": "it is a PDF document: save the table as CSV",
    b"SQLite format 3": "it is an SQLite database: export the table as CSV",
    b"ARROW1": "it is an Arrow (Feather) file: save it as Parquet or CSV",
    b"\x89HDF": "it is an HDF5 file: save the table as Parquet or CSV",
    b"version https://git-lfs": "it is a Git LFS pointer, not the file itself: run git lfs pull",
    b"<": "it is a web page (HTML or XML), not the file itself: fetch its raw form",
}


def read(path: Path, separator: str | None = None, decimal: str | None = None) -> Source:
    """The table in a file; "-" is standard input.

    Raises UserError for what is no table or could be read in two ways: another encoding than UTF-8
    (or UTF-16 with its mark), zero bytes, open quotes, a name that occurs twice, a row with more or
    fewer cells than the first line, a format that needs a package that is not here.
    """
    if separator is not None:
        separator = {"tab": "\t", "\\t": "\t", "blank": " "}.get(separator, separator)
        if len(separator) != 1 or separator in '"\r\n' or separator.isalnum():
            raise UserError(
                f"--sep is {quoted(separator)}; one character is needed, or the word tab."
            )
    if decimal not in (None, ".", ","):
        raise UserError(f"--decimal is {quoted(decimal)}; allowed are . and the comma.")
    if str(path) != "-" and not path.is_file():
        kind = "; this is a folder" if path.is_dir() else ""
        raise UserError(
            f"There is no file {str(path)!r}{kind}; give a table with one row a run: CSV, TSV, "
            "JSON, JSON lines, Parquet or Excel."
        )
    refuse = Refusal(str(path))
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        refuse(error.strerror or error)
    for start, reason in FOREIGN.items():
        if data.startswith(start):
            refuse(reason)
    if data.startswith(b"PAR1"):
        found = from_parquet(data, refuse)
    elif data.startswith(b"PK\x03\x04"):
        found = from_excel(data, refuse)
    else:
        text = _text(data, refuse)
        begin = text.lstrip()[:1]
        if begin and begin in "{[":
            found = from_json(text, refuse)
        else:
            found = from_text(text, separator, refuse)
    return replace(found, decimal=decimal)


def _text(data: bytes, refuse: Refusal) -> str:
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff") and data[2:4] != b"\0\0"
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        refuse(
            f"byte {error.start} is not {'UTF-16' if wide else 'UTF-8'}, the encoding that is "
            "needed: save the table as UTF-8"
        )
    if "\0" in text:
        refuse(f"character {text.index(chr(0))} is a zero byte")
    return text
