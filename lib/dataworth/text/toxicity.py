"""Toxicity, three ways: a linear model inside a package, Detoxify's transformers, a word list.

The paper's scorer, Perspective API, cannot be rerun: it was never versioned and it closes. Here 1
is toxic, as there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import UserError
from dataworth.text.language import plain
from dataworth.text.scores import End, Pooling, ScoreCard, Scores, overlapping, pooled, scored

PASSAGE = 20
"""Known words of a passage; in running text about 45 words, as half of them are known."""
ALONE = 0.5
"""A passage of at least this score counts by itself, a milder one within the document."""


@dataclass(frozen=True)
class LinearToxicity:
    """alt-profanity-check's probability of profanity, of a document or of its worst passage.

    The model knows 15,442 words (small words such as "you" are not among them); nothing else moves
    its score. A passage is a run of at most `passage` known words, wherever it begins or ends, with
    all that stands between them. The score of a document is `profanity_check.predict_prob` of the
    whole, or of its worst passage where that is higher and 0.5 or more.

    Hence no passage of 0.5 or more scores higher than the document that holds it: a filter at any
    threshold from 0.5 removes every document with a passage that it would remove alone. What
    scores less by itself may drown, and so may a diatribe whose score needs more than `passage`
    known words. The price is that long documents have more passages to be flagged for:
    bench/text_scoring.py --calm shows how many calm ones are. At 0.9 the model agrees best with a
    list of bad words.

    `passage` None scores documents whole, as the package does. NaN, "not scored", is the score of a
    text without a known word or evidently not in English.
    """

    passage: int | None = PASSAGE
    name: str = "toxicity"
    low: float = 0.0
    high: float = 1.0
    good: End = "low"
    language: str | None = "en"

    def __post_init__(self) -> None:
        if self.passage is not None and self.passage < 1:
            raise UserError(f"passage: {self.passage} words are none; give 1 or more, or None.")

    def score(self, texts: Sequence[str]) -> Scores:
        return scored(texts, self.probabilities, self.language)

    def probabilities(self, texts: Sequence[str]) -> Scores:
        """(N,) scores whatever the language; NaN without a known word."""
        known, words = _linear().vocabulary, _linear().words
        documents = [[known[w] for w in words(text.lower()) if w in known] for text in texts]
        whole = _whole(documents)
        if self.passage is None:
            return whole
        worst = _worst_passages(documents, self.passage)
        return np.where(worst >= ALONE, np.fmax(whole, worst), whole)

    def card(self) -> ScoreCard:
        return ScoreCard(
            name=self.name,
            what="linear support-vector machine on tf-idf of words, calibrated to a probability",
            high_means="toxic",
            trained_on="200,000 human-labelled comments and tweets (as its authors say)",
            licence="MIT (package alt-profanity-check, weights included)",
            long_documents="whole document"
            if self.passage is None
            else f"whole document, or its worst passage of at most {self.passage} known words",
            known_failures=(
                "sees single words: harmless uses of rude words are flagged, insults in polite "
                "words are not; English of the internet only; a long document has many passages"
            ),
            source="the Python package alt-profanity-check",
        )


@cache
def _profanity_check():  # type: ignore[no-untyped-def]
    try:
        from profanity_check import profanity_check
    except ImportError as error:
        raise UserError(
            "The toxicity scorer needs the Python package alt-profanity-check, which is not "
            "installed: install dataworth[text]."
        ) from error
    return profanity_check.vectorizer, profanity_check.model


class _Linear(NamedTuple):
    """The package's model as numbers: V words, K folds of its calibration.

    A text of counts c has x = c * idf, and its probability is the mean over the folds of
    calibrate[k](slopes[k] @ c / |x| + intercepts[k]).
    """

    words: Callable[[str], list[str]]
    vocabulary: Mapping[str, int]
    idf: NDArray[np.float64]  # (V,)
    slopes: NDArray[np.float64]  # (K, V)
    intercepts: NDArray[np.float64]  # (K, 1)
    calibrate: Sequence[Callable[[NDArray[np.float64]], NDArray[np.float64]]]


@cache
def _linear() -> _Linear:
    vectorizer, model = _profanity_check()
    folds = model.calibrated_classifiers_
    return _Linear(
        words=vectorizer.build_tokenizer(),
        vocabulary=vectorizer.vocabulary_,  # without the small words, which the package skips
        idf=vectorizer.idf_,
        slopes=np.stack([fold.estimator.coef_[0] * vectorizer.idf_ for fold in folds]),
        intercepts=np.stack([fold.estimator.intercept_ for fold in folds]),
        calibrate=[fold.calibrators[0].predict for fold in folds],
    )


def _whole(documents: Sequence[Sequence[int]]) -> Scores:
    """(N,) the package's probabilities of documents given as their known words; NaN where there is
    none."""
    from scipy.sparse import csr_array
    from sklearn.preprocessing import normalize

    vectorizer, model = _profanity_check()
    if not len(documents):
        return np.zeros(0)
    sizes = np.array([len(words) for words in documents])
    words = np.concatenate([np.asarray(found, np.int64) for found in documents])
    ends = np.concatenate([[0], np.cumsum(sizes)])
    rows = csr_array((np.ones(len(words)), words, ends), (len(documents), len(vectorizer.idf_)))
    rows.sum_duplicates()
    rows.data *= vectorizer.idf_[rows.indices]
    return np.where(sizes > 0, model.predict_proba(normalize(rows))[:, 1], np.nan)


BLOCK = 8192  # known words that are scored at a time: what a processor's cache holds


def _worst_passages(documents: Sequence[Sequence[int]], passage: int) -> Scores:
    """(N,) scores of the worst passages of documents given as their known words; NaN where there is
    none. Documents of similar length, longest first, are joined to blocks."""
    result = np.full(len(documents), np.nan)
    sizes = np.array([len(words) for words in documents], dtype=np.int64)
    rows = np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)]
    ends = np.cumsum(sizes[rows])
    for block in np.split(rows, np.flatnonzero(np.diff(ends // BLOCK)) + 1):
        if len(block):
            words = np.concatenate([np.asarray(documents[row], np.int64) for row in block])
            result[block] = _worst_of_block(words, sizes[block], passage)
    return result


def _worst_of_block(words: NDArray[np.int64], sizes: NDArray[np.int64], passage: int) -> Scores:
    """Worst scores (D,) of D documents that lie end to end in `words` (W,), the longest first.

    Passages of all starts grow by one word a turn: their sums of slopes and their squared norms
    follow from those of the turn before. The c-th copy of a word adds idf^2 (2c - 1) to the norm.
    """
    model = _linear()
    ends = np.cumsum(sizes)
    left = np.repeat(ends, sizes) - np.arange(len(words))  # words until the document ends
    slopes, squares = model.slopes[:, words], model.idf[words] ** 2
    sums, norms = np.zeros_like(slopes), np.zeros(len(words))
    copies = np.ones(len(words))  # 2c - 1, c counted within the passage that ends here
    worst = np.zeros(len(words))  # of each start
    for grown in range(min(passage, int(sizes[0]))):
        last = ends[np.count_nonzero(sizes > grown) - 1]  # documents beyond are too short
        starts, added = slice(0, last - grown), slice(grown, last)
        if grown:
            copies[added] += 2 * (words[added] == words[starts])
        norms[starts] += squares[added] * copies[added]
        sums[:, starts] += slopes[:, added]
        margins = sums[:, starts] / np.sqrt(norms[starts]) + model.intercepts
        found = np.mean([f(m) for f, m in zip(model.calibrate, margins, strict=True)], axis=0)
        found[left[starts] <= grown] = 0.0  # reaches into the next document
        np.maximum(worst[starts], found, out=worst[starts])
    return np.asarray(np.maximum.reduceat(worst, ends - sizes))


DETOXIFY = ("original", "unbiased", "multilingual", "original-small", "unbiased-small")
DETOXIFY_WORDS = 60


@dataclass(frozen=True)
class DetoxifyToxicity:
    """Detoxify's probability of one label, by default `toxicity`.

    model: a name in `DETOXIFY`, fetched once from its release by Detoxify itself, or a file already
    in TORCH_HOME; `checkpoint`: a local file in its format instead; `config`: a folder with the
    base model's configuration and tokenizer. Pieces are sorted by length and cut into batches of at
    most `budget` tokens with padding, so that little of it is computed; the default is 131,072
    by the model's width on a CPU, whose caches larger batches overflow (170 for a BERT-base), and
    16,384 elsewhere. Scores equal its own `predict` to rounding.

    Pieces have at most `words` words and overlap by half, so that a passage of half a piece is
    whole in one of them; they cost twice the words, which shorter pieces pay back in part. Unlike
    those of the linear model, a passage's score can be lower within its piece than alone. `words`
    None scores documents whole. NaN, "not scored": a text without a word, or not in English
    (`language` None reads every language).
    """

    model: str = "original"
    checkpoint: Path | None = None
    config: Path | None = None
    label: str = "toxicity"
    device: str = "cpu"
    budget: int | None = None
    pooling: Pooling = "max"
    words: int | None = DETOXIFY_WORDS
    name: str = "detoxify"
    low: float = 0.0
    high: float = 1.0
    good: End = "low"
    language: str | None = "en"

    def score(self, texts: Sequence[str]) -> Scores:
        loaded = _detoxify(self.model, self.checkpoint, self.config, self.device)
        if self.label not in loaded.class_names:
            known = ", ".join(loaded.class_names)
            raise UserError(f"label: this Detoxify has no label '{self.label}'; it has {known}.")

        def pieces(text: str) -> list[str]:
            return [text] if self.words is None else overlapping(text, self.words)

        return scored(
            texts,
            lambda some: pooled(some, self._probabilities, pieces, self.pooling),
            self.language,
        )

    def _probabilities(self, texts: list[str]) -> Scores:
        import torch

        loaded = _detoxify(self.model, self.checkpoint, self.config, self.device)
        column = loaded.class_names.index(self.label)
        tokens = loaded.tokenizer(texts, truncation=True)
        lengths = np.array([len(ids) for ids in tokens["input_ids"]])
        scores = np.empty(len(texts))
        fits = 2**17 // loaded.model.config.hidden_size if self.device == "cpu" else 16_384
        loaded.model.eval()
        with torch.inference_mode():
            for rows in batches(lengths, self.budget or fits):
                picked = {name: [values[row] for row in rows] for name, values in tokens.items()}
                padded = loaded.tokenizer.pad(picked, return_tensors="pt").to(self.device)
                logits = loaded.model(**padded)[0][:, column]
                scores[rows] = torch.sigmoid(logits).double().cpu().numpy()
        return scores

    def card(self) -> ScoreCard:
        return ScoreCard(
            name=self.name,
            what=f"Detoxify '{self.model}', label '{self.label}': a fine-tuned transformer",
            high_means="toxic",
            trained_on="Jigsaw's toxic-comment challenges (comments of Wikipedia, Civil Comments)",
            licence="Apache-2.0 (code and weights)",
            long_documents=(
                "whole document"
                if self.words is None
                else f"{self.pooling} over pieces of {self.words} words that overlap by half"
            )
            + "; a piece above 512 tokens is cut",
            known_failures=(
                "words that name groups or swear raise it whatever is meant; English comments only "
                "(but for 'multilingual')"
            ),
            source="https://github.com/unitaryai/detoxify",
        )


def batches(lengths: np.ndarray, budget: int) -> list[list[int]]:
    """Rows of similar length, longest first, in batches of at most `budget` tokens with padding.

    A row that alone exceeds the budget is a batch of its own.
    """
    found: list[list[int]] = []
    for row in np.argsort(-lengths, kind="stable").tolist():
        if found and (len(found[-1]) + 1) * int(lengths[found[-1][0]]) <= budget:
            found[-1].append(row)
        else:
            found.append([row])
    return found


@cache
def _detoxify(model: str, checkpoint: Path | None, config: Path | None, device: str):  # type: ignore[no-untyped-def]
    if checkpoint is None and model not in DETOXIFY:
        raise UserError(f"model: there is no Detoxify '{model}'; they are {', '.join(DETOXIFY)}.")
    for field, path in (("checkpoint", checkpoint), ("config", config)):
        if path is not None and not path.exists():
            raise UserError(f"{field}: there is no {path}; name a file or folder that exists.")
    try:
        from detoxify import Detoxify
    except ImportError as error:
        raise UserError(
            "This scorer needs the Python package detoxify, which is not installed: install "
            "dataworth[text]."
        ) from error
    from transformers.utils import logging

    from dataworth.kernels import use_fast_matmul

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        loaded = Detoxify(
            model,
            checkpoint=str(checkpoint) if checkpoint else None,
            device=device,
            huggingface_config_path=str(config) if config else None,
        )
    except (OSError, ValueError, KeyError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"Detoxify '{checkpoint or model}' could not be loaded ({lines[0].rstrip('.')}): its "
            "weights come from its release or a local file, its base model's configuration and "
            "tokenizer from the hub's cache or a local folder."
        ) from error
    finally:
        if shown:
            logging.enable_progress_bar()
    use_fast_matmul(loaded.model)  # the same sums by the faster library on a CPU
    return loaded


@dataclass(frozen=True)
class BadWords:
    """1 where a text holds a phrase of the list, flanked by other than word characters, else 0.

    C4's page filter (Raffel et al. 2020, section 2.2) keeps the zeros. A longer document has more
    chances to hold one; there are no pieces. Unlike there, any blanks may part the words of a
    phrase, line breaks among them; wide letters, ligatures and soft hyphens count as plain ones.
    NaN, "not scored": a text without a word, or not in English.
    """

    name: str = "bad-words"
    low: float = 0.0
    high: float = 1.0
    good: End = "low"
    language: str | None = "en"

    def score(self, texts: Sequence[str]) -> Scores:
        return scored(texts, self._hits, self.language)

    def _hits(self, texts: Sequence[str]) -> Scores:
        pattern, first, other = _list()
        result = np.zeros(len(texts))
        for row, text in enumerate(texts):
            low = plain(text).lower()
            # The pattern is slow, and few texts hold the first word of a phrase.
            if not first.isdisjoint(re.findall(r"\w+", low)) or any(sign in low for sign in other):
                result[row] = pattern.search(low) is not None
        return result

    def card(self) -> ScoreCard:
        return ScoreCard(
            name=self.name,
            what="whether a phrase of the list naughty-words (English) occurs",
            high_means="toxic",
            trained_on="nothing: a list kept by hand",
            licence="CC-BY-4.0 (LDNOOBW contributors)",
            long_documents="whole document: one hit anywhere counts",
            known_failures=(
                "removes medical, legal and minority-dialect text that uses a listed word, and "
                "passes every insult without one"
            ),
            source="Raffel et al. 2020 (arXiv 1910.10683), section 2.2; npm naughty-words 1.2.0",
        )


@cache
def _list() -> tuple[re.Pattern[str], frozenset[str], tuple[str, ...]]:
    """C4's pattern, the first words of the phrases, and the phrases without a word."""
    from dataworth.data import load_corpus

    phrases = sorted(phrase.lower() for phrase in load_corpus("naughty-words").texts)
    words = {phrase: re.findall(r"\w+", phrase) for phrase in phrases}
    parts = [r"\s+".join(map(re.escape, phrase.split())) for phrase in phrases]
    pattern = re.compile(rf"(?:\W|^)(?:{'|'.join(parts)})(?:\W|$)")
    first = frozenset(found[0] for found in words.values() if found)
    return pattern, first, tuple(phrase for phrase, found in words.items() if not found)
