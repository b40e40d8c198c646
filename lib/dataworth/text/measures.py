"""What can be measured of a document: length, readability, variety of words, signs, tone, personal
data, offensive words, toxicity and quality; by document, and on pieces of equal length.

Most scores drift with length: a maximum over pieces rises, a share of different words falls, and a
classifier is surer of a long text. Documents of different domains are therefore also compared on
pieces of the same number of words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, ClassVar
from unicodedata import name

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dataworth.arrays import Array
from dataworth.runs import Outcome, Spec, Store
from dataworth.text.quality import reference_scorer
from dataworth.text.scorers import scorer
from dataworth.text.scores import require_texts, unscored
from dataworth.text.tokens import TextPart

PII: dict[str, re.Pattern[str]] = {
    "mail address": re.compile(r"(?<![\w.+-])[\w.+-]+@(?:[a-z0-9-]+\.)+[a-z]{2,}(?![\w-])", re.I),
    "phone number": re.compile(
        r"(?<![\w.+-])(?:(?:\+?1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}"
        r"|\+\d{1,3}(?:[ .-]\(?\d{1,4}\)?){2,5})(?![\w-]|\.\w)"
    ),
    "URL": re.compile(r"\b(?:https?://|ftp://|www\.)[^\s<>\"']+", re.I),
    "IP address": re.compile(
        r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w-]|\.\w)"
    ),
}
"""Personal data, or what looks like it: mail addresses; phone numbers of North America (with
separators) or with a leading + and country code; web and ftp addresses; IPv4 addresses (a version
number of four parts looks the same). Names and postal addresses are not counted."""


def pii_counts(text: str) -> list[int]:
    """How often each of `PII` occurs."""
    return [sum(1 for _ in pattern.finditer(text)) for pattern in PII.values()]


def type_token_ratio(words: Sequence[str]) -> float:
    """Different words over words, case ignored. It falls with length: compare equal lengths."""
    return len({word.lower() for word in words}) / len(words)


def non_ascii(text: str) -> tuple[int, int]:
    """Characters outside ASCII, and letters among them."""
    signs = [] if text.isascii() else [sign for sign in text if not sign.isascii()]
    return len(signs), sum(map(str.isalpha, signs))


def signs_of(texts: Sequence[str], most: int = 4) -> list[tuple[str, int]]:
    """The most frequent characters outside ASCII, by their Unicode names, and their counts."""
    found = Counter(sign for text in texts if not text.isascii() for sign in text)
    wide = Counter({sign: count for sign, count in found.items() if not sign.isascii()})
    return [(name(s, f"U+{ord(s):04X}").lower(), count) for s, count in wide.most_common(most)]


def windows(n_words: Sequence[int], size: int, total: int, seed: int) -> NDArray[np.int64]:
    """At most `total` disjoint windows of `size` words from documents of `n_words` words: rows
    (M, 2) of document and first word, in document order.

    Each document gives one, in random order, then each a second, and so on, so that as many as
    possible take part. Documents shorter than a window give none.
    """
    rng = np.random.default_rng([seed, 0xC4A2])
    places: list[tuple[int, int, int, int]] = []
    for document in rng.permutation(len(n_words)).tolist():
        count = n_words[document] // size
        spare = n_words[document] - count * size
        offset = int(rng.integers(spare + 1)) if count else 0
        for turn, window in enumerate(rng.permutation(count).tolist()):
            places.append((turn, len(places), document, offset + window * size))
    chosen = sorted(places)[:total]
    rows = np.array([place[2:] for place in chosen], dtype=np.int64).reshape(-1, 2)
    return rows[np.lexsort((rows[:, 1], rows[:, 0]))]


class CharacteristicsSpec(Spec):
    """Measurements of the N documents of `parts` and of M pieces of them.

    pieces: at most so many pieces of `piece_words` words each; stretch_words: length of the random
    stretch of a document on which readability and sentiment are measured; scorers: of toxicity, by
    name; left_out: a card and domains of it that a second quality scorer is fitted without, and
    whose whole card a third is fitted without.
    """

    kind: ClassVar[str] = "characteristics"
    parts: tuple[TextPart, ...] = Field(min_length=1)
    pieces: int = Field(2000, ge=1)
    piece_words: int = Field(16, ge=2)
    stretch_words: int = Field(200, ge=2)
    scorers: tuple[str, ...] = ("toxicity", "bad-words")
    left_out: tuple[str, tuple[str, ...]] | None = None
    seed: int = 0

    def run(self, store: Store) -> Outcome:
        """Arrays of documents (N,): `ids`, `characters`, `words`, `non_ascii`,
        `non_ascii_letters`, `readability` (U.S. school grade by the automated readability index),
        `sentiment` (VADER's compound score, -1 to 1), `pii` (N, 4) in the order of `PII`, and
        `quality` and each of `scorers` by that scorer's rule for long documents. Of pieces (M,):
        `piece_document` (row), `piece_ttr`, `piece_quality`, `piece_quality_without_domain`,
        `piece_quality_without_card`, and `piece_<scorer>`. Scores are NaN where a text is not
        scored. Metrics: `documents`, `pieces`, `signs` (`signs_of`), the scorers' `cards`, and
        `unscored`: how many documents and pieces, by scorer and reason."""
        texts = list(require_texts([text for part in self.parts for text in part.texts()]))
        words = [text.split() for text in texts]
        counts = [len(document) for document in words]
        signs = np.array([non_ascii(text) for text in texts], dtype=np.int64)
        arrays: dict[str, NDArray[Any]] = {
            "ids": np.array([i for part in self.parts for i in part.ids], dtype=np.int64),
            "characters": np.array([len(text) for text in texts], dtype=np.int64),
            "words": np.array(counts, dtype=np.int64),
            "non_ascii": signs[:, 0],
            "non_ascii_letters": signs[:, 1],
            "pii": np.array([pii_counts(text) for text in texts], dtype=np.int64),
        }
        rng = np.random.default_rng([self.seed, 0xC4A3])
        starts = [int(rng.integers(max(n - self.stretch_words, 0) + 1)) for n in counts]
        stretches = [
            " ".join(document[first : first + self.stretch_words])
            for document, first in zip(words, starts, strict=True)
        ]
        arrays["readability"], arrays["sentiment"] = readability(stretches), sentiment(stretches)
        rows = windows(counts, self.piece_words, self.pieces, self.seed)
        cut = [words[row][first : first + self.piece_words] for row, first in rows.tolist()]
        pieces = [" ".join(piece) for piece in cut]
        arrays["piece_document"] = rows[:, 0]
        arrays["piece_ttr"] = np.array([type_token_ratio(piece) for piece in cut])
        arrays["quality"] = reference_scorer().score(texts)
        arrays["piece_quality"] = reference_scorer().score(pieces)
        for what, kept in (("domain", True), ("card", False)):
            scores = arrays["piece_quality"]
            if self.left_out:
                card, domains = self.left_out
                scores = reference_scorer(card, domains if kept else ()).score(pieces)
            arrays[f"piece_quality_without_{what}"] = scores
        for one in self.scorers:
            arrays[one] = scorer(one).score(texts)
            arrays[f"piece_{one}"] = scorer(one).score(pieces)
        names = ("quality", *self.scorers)
        return Outcome(
            arrays,
            {
                "documents": len(texts),
                "pieces": len(pieces),
                "signs": signs_of(texts),
                "cards": [asdict(scorer(name).card()) for name in names],
                "unscored": {
                    name: {
                        "documents": unscored(texts, arrays[name]),
                        "pieces": unscored(pieces, arrays[f"piece_{name}"]),
                    }
                    for name in names
                },
            },
        )


def readability(texts: Sequence[str]) -> Array:
    """(N,) automated readability index, by textstat: the school grade in the United States at which
    a text of such word and sentence lengths is read. NaN for a text without a word."""
    import textstat

    return np.array(
        [
            textstat.automated_readability_index(text) if re.search(r"\w", text) else np.nan
            for text in texts
        ],
        dtype=np.float64,
    )


def sentiment(texts: Sequence[str]) -> Array:
    """(N,) compound score of VADER (Hutto and Gilbert 2014): -1 negative, 0 neutral, 1 positive."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    judge = SentimentIntensityAnalyzer()
    return np.array([judge.polarity_scores(text)["compound"] for text in texts], dtype=np.float64)
