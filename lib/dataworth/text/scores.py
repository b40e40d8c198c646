"""What a scorer of texts is, how long documents are scored, and whether two scorers agree.

A new scorer is a class with a `name`, the ends of its scale and which of them is good, the
`language` that it reads, a `card()` and one method, `score(texts) -> float64 (N,)`; registering it
in `scorers.SCORERS` makes it known by name.

NaN says "not scored": a text without a word, in another language, or of unknown words only. No
filter keeps such a document while it has a scored one to keep, in whichever direction it filters,
and no mean, fraction or correlation counts it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import UserError
from dataworth.text.language import is_foreign

if TYPE_CHECKING:
    import pandas as pd

Scores = NDArray[np.float64]
Pooling = Literal["max", "mean"]
End = Literal["low", "high"]

CHUNK_WORDS = 200
"""Longer documents get their quality in pieces of so many words."""

FLAGS = {"toxicity": 0.9, "detoxify": 0.5, "bad-words": 0.5}
"""From which score on a text is called toxic. 0.9 for the linear model: in one of ten
scraps some word or other scores 0.5, and at 0.9 it agrees best with the list of bad words."""


@dataclass(frozen=True)
class ScoreCard:
    """What a score is, for the reader of a study."""

    name: str
    what: str
    high_means: str
    trained_on: str
    licence: str
    long_documents: str
    known_failures: str
    source: str


class Scorer(Protocol):
    """Gives each text a number from `low` to `high`; `good` is the end a filter keeps."""

    @property
    def name(self) -> str: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def good(self) -> End: ...
    @property
    def language(self) -> str | None:
        """ "en", or None for a scorer of every language."""
        ...

    def score(self, texts: Sequence[str]) -> Scores:
        """(N,) float64, independent of the other texts in the batch; NaN where not scored; (0,) for
        no text."""
        ...

    def card(self) -> ScoreCard: ...


def require_texts(texts: Sequence[str], what: str = "texts") -> Sequence[str]:
    """The texts; UserError when there are none or one is not a string (bytes, missing)."""
    if isinstance(texts, str | bytes):
        raise UserError(f"{what}: a list of documents is wanted, not one {type(texts).__name__}.")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise UserError(
                f"{what}: document {row} is {type(text).__name__}, not text; decode bytes first "
                "(dataworth.data.documents.decode)."
            )
    if not len(texts):
        raise UserError(f"{what}: the corpus is empty; it must hold at least one document.")
    return texts


_WORD = re.compile(r"\S+")


def chunks(text: str, words: int = CHUNK_WORDS) -> list[str]:
    """The text in consecutive pieces of `words` words; a text that is not longer, unchanged.

    Every word is in one piece, and pieces are equal to within one word, so that no short last
    piece is scored on little evidence.
    """
    if len(text) < 2 * words:  # a word and its blank are two characters at least
        return [text]
    spans = [match.span() for match in _WORD.finditer(text)]
    if len(spans) <= words:
        return [text]
    count = -(-len(spans) // words)
    edges = [round(i * len(spans) / count) for i in range(count + 1)]
    return [text[spans[a][0] : spans[b - 1][1]] for a, b in pairwise(edges)]


def overlapping(text: str, words: int) -> list[str]:
    """Pieces of `words` words (2 or more), each beginning in the first half of the one before, so
    that every run of `words` // 2 + 1 words is whole in one. A shorter text, unchanged."""
    spans = [match.span() for match in _WORD.finditer(text)]
    if len(spans) <= words:
        return [text]
    count = 1 + -(-(len(spans) - words) // (words // 2))
    first = [round(i * (len(spans) - words) / (count - 1)) for i in range(count)]
    return [text[spans[a][0] : spans[a + words - 1][1]] for a in first]


def pooled(
    texts: Sequence[str],
    score: Callable[[list[str]], Scores],
    pieces: Callable[[str], list[str]],
    pooling: Pooling,
) -> Scores:
    """Score all pieces of all texts in one call of `score`, then take max or mean over each text's
    scored pieces; NaN where none is.

    `max` rises with length by itself, so it is to be compared at equal length. `mean` does not
    rise, and lets a short passage drown.
    """
    if not len(texts):
        return np.zeros(0)
    cut = [pieces(text) for text in texts]
    flat = np.asarray(score([piece for of_one in cut for piece in of_one]), dtype=np.float64)
    starts = np.cumsum([0, *map(len, cut)])[:-1]
    if pooling == "max":
        return np.asarray(np.fmax.reduceat(flat, starts))
    known = np.add.reduceat(np.isfinite(flat).astype(np.float64), starts)
    sums = np.add.reduceat(np.nan_to_num(flat), starts)
    return np.divide(sums, known, out=np.full(len(texts), np.nan), where=known > 0)


# ---- What is not scored -------------------------------------------------------------------------


def why_unscored(text: str, language: str | None = "en") -> str | None:
    """Why no scorer of this language scores a text: "no word", "not English", or None."""
    if not _LETTER.search(text):
        return "no word"
    return "not English" if language is not None and is_foreign(text) else None


_LETTER = re.compile(r"[^\W_]")


def scored(
    texts: Sequence[str], score: Callable[[list[str]], Scores], language: str | None
) -> Scores:
    """(N,) scores of the texts that a scorer of this language can score, NaN for the others."""
    result = np.full(len(texts), np.nan)
    rows = [row for row, text in enumerate(texts) if why_unscored(text, language) is None]
    if rows:
        result[rows] = score([texts[row] for row in rows])
    return result


def unscored(texts: Sequence[str], scores: Scores) -> dict[str, int]:
    """How many texts have no score, by reason: "no word", "not English", "no known word"."""
    rows = np.flatnonzero(np.isnan(scores)).tolist()
    return dict(Counter(why_unscored(texts[row]) or "no known word" for row in rows))


def agreement(scores: Mapping[str, Scores], thresholds: Mapping[str, float]) -> pd.DataFrame:
    """How far scorers agree on the same N documents, one row for each pair.

    Columns: first, second, n (documents that both score: the others are left out), spearman (rank
    correlation of the scores), kappa (Cohen's, of the decisions score >= threshold), both (share of
    documents that both flag), either. NaN where a scorer gives one value, or flags all or none, or
    no document is scored. UserError for a missing threshold or unequal N.
    """
    import pandas as pd
    from scipy.stats import spearmanr

    if missing := [name for name in scores if name not in thresholds]:
        raise UserError(f"thresholds: '{missing[0]}' has none; give one for every scorer.")
    if len({len(values) for values in scores.values()}) > 1:
        raise UserError("scores: the scorers were given different numbers of documents.")
    rows = []
    for first, second in combinations(scores, 2):
        known = ~(np.isnan(scores[first]) | np.isnan(scores[second]))
        x, y = scores[first][known], scores[second][known]
        a, b = x >= thresholds[first], y >= thresholds[second]
        constant = any(len(np.unique(values)) < 2 for values in (x, y))
        rows.append(
            {
                "first": first,
                "second": second,
                "n": len(x),
                "spearman": np.nan if constant else float(spearmanr(x, y)[0]),
                "kappa": cohen_kappa(a, b) if len(x) else np.nan,
                "both": float((a & b).mean()) if len(x) else np.nan,
                "either": float((a | b).mean()) if len(x) else np.nan,
            }
        )
    return pd.DataFrame(rows)


def cohen_kappa(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """(p_o - p_e) / (1 - p_e) of two yes/no judgements (Cohen 1960); NaN where p_e is 1."""
    observed = float((a == b).mean())
    expected = float(a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean()))
    return (observed - expected) / (1 - expected) if expected < 1 else float("nan")
