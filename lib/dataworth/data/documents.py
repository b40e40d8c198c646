"""Documents: cleaning, content hashes, and splits that depend on nothing else."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataworth.data.catalog import HeldOut

UNDATED = -1
"""The year of a document that has none."""


class Document(NamedTuple):
    """One text with its domain, year (`UNDATED` if unknown) and further labels."""

    text: str
    domain: str
    year: int = UNDATED
    labels: tuple[tuple[str, str], ...] = ()


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\ufeff]")
_BLANK_LINES = re.compile(r"\n{3,}")


def clean(text: str) -> str:
    """The text in Unicode NFC, with `\\n` line ends and without control characters.

    Blanks at line ends go, as does more than one empty line; indentation stays (code). Unpaired
    surrogates, which no UTF-8 file can hold, become U+FFFD.
    """
    text = text.encode("utf-8", "replace").decode("utf-8")
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = "\n".join(line.rstrip() for line in _CONTROL.sub("", text).split("\n"))
    return _BLANK_LINES.sub("\n\n", text).strip("\n")


def decode(raw: bytes) -> str:
    """Bytes of unknown encoding as text: UTF-8, else Windows-1252 with U+FFFD for its holes."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def text_ids(texts: Iterable[str]) -> NDArray[np.int64]:
    """(N,) ids: the first 63 bits of the sha256 of each text's UTF-8 bytes."""
    first = [
        int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1 for text in texts
    ]
    return np.array(first, dtype=np.int64)


def content_sha256(documents: Iterable[Document]) -> str:
    """One hash of texts, domains, years and labels, independent of the documents' order."""
    parts = []
    for text, domain, year, labels in documents:
        fields = "\0".join((domain, str(year), *(f"{name}={value}" for name, value in labels)))
        parts.append(hashlib.sha256(f"{fields}\0\0{text}".encode()).digest())
    return hashlib.sha256(b"".join(sorted(parts))).hexdigest()


def divide(
    ids: NDArray[np.int64],
    domains: NDArray[np.str_],
    years: NDArray[np.int64],
    rule: HeldOut,
    labels: Mapping[str, NDArray[np.str_]] | None = None,
) -> dict[str, NDArray[np.intp]]:
    """Rows of `train`, `validation` and `test` (see `HeldOut`), each in the order of ids."""
    if rule.apart:
        return _apart(ids, (labels or {})[rule.apart], rule)
    decades = np.where(years == UNDATED, UNDATED, years // 10)
    strata: dict[tuple[str, int], list[int]] = {}
    for row in np.argsort(ids, kind="stable").tolist():
        strata.setdefault((str(domains[row]), int(decades[row])), []).append(row)
    parts: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    for rows in strata.values():
        least = 1 if len(rows) >= 3 else 0
        test = max(least, round(rule.test * len(rows)))
        validation = max(least, round(rule.validation * len(rows)))
        parts["test"] += rows[:test]
        parts["validation"] += rows[test : test + validation]
        parts["train"] += rows[test + validation :]
    return _ordered(ids, parts)


def _apart(
    ids: NDArray[np.int64], values: NDArray[np.str_], rule: HeldOut
) -> dict[str, NDArray[np.intp]]:
    """Values in the order of their hash, each with all its rows to the first split that has not
    its share of the documents yet."""
    names, of, counts = np.unique(values, return_inverse=True, return_counts=True)
    order = np.argsort(text_ids(names.tolist()))
    before = np.cumsum(counts[order]) - counts[order]
    ends = np.array([rule.test, rule.test + rule.validation]) * len(ids)
    part = np.empty(len(names), dtype=np.intp)
    part[order] = np.searchsorted(ends, before, side="right")
    return _ordered(
        ids,
        {name: np.flatnonzero(part[of] == i).tolist() for i, name in enumerate(_SPLITS)},
    )


_SPLITS = ("test", "validation", "train")


def _ordered(ids: NDArray[np.int64], parts: Mapping[str, list[int]]) -> dict[str, NDArray[np.intp]]:
    result = {}
    for name, chosen in parts.items():
        found = np.array(chosen, dtype=np.intp)
        result[name] = found[np.argsort(ids[found], kind="stable")]
    return result
