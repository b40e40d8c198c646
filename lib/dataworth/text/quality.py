"""Text quality as GPT-3, GLaM and PaLM measured it: does a text look like the curated ones?

A logistic regression on hashed word 1- and 2-grams tells curated texts from scraps (Brown et al.
2020, appendix A; Du et al. 2021, section 3; hyper-parameters of the open replica of Gururangan et
al. 2022). The score is the probability of "curated", so 1 is good; the score of Longpre et al. 2023
runs the other way, 1 - score. It measures resemblance, not truth or usefulness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import UserError
from dataworth.text.clean import overlaps
from dataworth.text.scores import (
    CHUNK_WORDS,
    End,
    ScoreCard,
    Scores,
    chunks,
    pooled,
    require_texts,
    scored,
)

FEATURES = 1 << 18
_SETTINGS = {"penalty_c": 0.977778, "tol": 8.16e-4}  # Gururangan et al. 2022
PASSAGE_WORDS = 16
POSITIVES, NEGATIVES = ("brown", "wordnet"), ("nlp-corpus",)
"""Cards of the study's own scorer."""


@dataclass(frozen=True)
class Quality:
    """Probability, from 0 to 1, that a text is curated rather than of the web.

    weights: (FEATURES,) float64 of the hashed n-grams; bias: float. Documents of more than
    CHUNK_WORDS words get the mean over their pieces: quality is a property of the whole, and the
    mean does not change with length as a maximum does. NaN, "not scored": a text without a word of
    two signs, or not in English.
    """

    weights: NDArray[np.float64] = field(repr=False)
    bias: float
    trained_on: str
    name: str = "quality"
    low: float = 0.0
    high: float = 1.0
    good: End = "high"
    language: str | None = "en"

    def score(self, texts: Sequence[str]) -> Scores:
        return scored(
            texts, lambda some: pooled(some, self._probabilities, chunks, "mean"), self.language
        )

    def _probabilities(self, texts: list[str]) -> Scores:
        from scipy.special import expit

        rows = _hashed(texts)
        found = expit(rows @ self.weights + self.bias)
        return np.where(rows.getnnz(axis=1) > 0, found, np.nan)

    def card(self) -> ScoreCard:
        return ScoreCard(
            name=self.name,
            what="logistic regression on hashed word 1- and 2-grams, curated against web texts",
            high_means="good: like the curated texts (Longpre et al. 2023 use 1 - score)",
            trained_on=self.trained_on,
            licence="fitted here, on this machine; the texts' licences are on their cards",
            long_documents=f"mean over pieces of at most {CHUNK_WORDS} words",
            known_failures=(
                "prefers the topics and the style of its positives: technical text, dialogue and "
                "other dialects of English score low whatever their worth"
            ),
            source="Brown et al. 2020 (arXiv 2005.14165), appendix A",
        )


@cache
def _vectorizer():  # type: ignore[no-untyped-def]
    from sklearn.feature_extraction.text import HashingVectorizer

    return HashingVectorizer(n_features=FEATURES, ngram_range=(1, 2), alternate_sign=False)


def _hashed(texts: Sequence[str]):  # type: ignore[no-untyped-def]
    """(N, FEATURES) sparse counts of hashed 1- and 2-grams, rows of unit length."""
    return _vectorizer().transform(texts)


def passages(texts: Sequence[str], words: int = PASSAGE_WORDS) -> list[str]:
    """Consecutive pieces of at most `words` words: positives are made as short as negatives, or the
    classifier learns length."""
    return [piece for text in texts for piece in chunks(text, words)]


def fit_quality(
    positives: Sequence[str],
    negatives: Sequence[str],
    *,
    seed: int,
    most: int = 20_000,
    trained_on: str = "texts given by the caller",
) -> Quality:
    """Fit on as many positives as negatives, at most `most` of each, drawn at random.

    Give texts of similar length (`passages`). UserError for an empty side.
    """
    from sklearn.linear_model import LogisticRegression

    require_texts(positives, "positives")
    require_texts(negatives, "negatives")
    if most < 1:
        raise UserError(f"most: {most} texts cannot be fitted; it must be 1 or more.")
    rng = np.random.default_rng([seed, 0x9041])
    n = min(len(positives), len(negatives), most)
    sides = [[side[i] for i in rng.permutation(len(side))[:n]] for side in (positives, negatives)]
    model = LogisticRegression(
        l1_ratio=1.0,
        C=_SETTINGS["penalty_c"],
        tol=_SETTINGS["tol"],
        solver="liblinear",
        random_state=seed,
    )
    model.fit(_hashed([*sides[0], *sides[1]]), np.repeat([1, 0], n))
    return Quality(model.coef_[0].astype(np.float64), float(model.intercept_[0]), trained_on)


@cache
def reference_scorer(
    card: str = "",
    domains: tuple[str, ...] = (),
    positives: tuple[str, ...] = POSITIVES,
    negatives: tuple[str, ...] = NEGATIVES,
) -> Quality:
    """The study's scorer: edited prose and glosses (brown, wordnet) against scraps of
    English (nlp-corpus) that stand in no other card; training splits only, 10,000 passages of each
    of the positives at most. Or one with the texts of other cards.

    For control it can be fitted with a `card`, or some `domains` of it, left out of the positives.
    """
    from dataworth.data import load_corpus

    rng = np.random.default_rng([0, 0xB0])
    curated: list[str] = []
    for name in positives:
        corpus = load_corpus(name, "train")
        if name == card:
            kept = ~np.isin(corpus.domains, domains) if domains else np.zeros(len(corpus), bool)
            if not kept.any():
                continue
            corpus = corpus.take(kept)
        found = passages(corpus.texts)
        curated += [found[i] for i in rng.permutation(len(found))[:10_000]]
    scraps: list[str] = []
    for name in negatives:
        corpus = load_corpus(name, "train")
        scraps += passages(corpus.take(~np.isin(corpus.ids, overlaps(name))).texts)
    left_out = f" without {', '.join(domains) or card}" if card else ""
    return fit_quality(
        curated,
        scraps,
        seed=0,
        trained_on=f"positives: {', '.join(positives)}{left_out}; negatives: "
        f"{', '.join(negatives)} (train)",
    )
