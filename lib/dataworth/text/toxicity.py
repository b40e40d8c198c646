"""Toxicity, three ways: a linear model inside a package, Detoxify's transformers, a word list.

The paper's scorer, Perspective API, cannot be rerun: it was never versioned and it closes. Here 1
is toxic, as there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from dataworth.errors import UserError
from dataworth.text.scores import CHUNK_WORDS, Pooling, ScoreCard, Scores, pooled


def _rule(pooling: Pooling, words: int | None) -> str:
    return "whole document" if words is None else f"{pooling} over pieces of at most {words} words"


@dataclass(frozen=True)
class LinearToxicity:
    """alt-profanity-check's probability of profanity: tf-idf and a calibrated linear SVM.

    The same numbers as `profanity_check.predict_prob` for each piece, without its call per text.
    `pooling` and `words`: see `scores.pooled`; `words` None scores documents whole, as the package.
    """

    pooling: Pooling = "max"
    words: int | None = CHUNK_WORDS
    name: str = "toxicity"
    low: float = 0.0
    high: float = 1.0
    good: Literal["low", "high"] = "low"

    def score(self, texts: Sequence[str]) -> Scores:
        return pooled(texts, self._probabilities, pooling=self.pooling, words=self.words)

    def _probabilities(self, texts: list[str]) -> Scores:
        vectorizer, model = _profanity_check()
        return np.asarray(model.predict_proba(vectorizer.transform(texts))[:, 1], dtype=np.float64)

    def card(self) -> ScoreCard:
        return ScoreCard(
            name=self.name,
            what="linear support-vector machine on tf-idf of words, calibrated to a probability",
            high_means="toxic",
            trained_on="200,000 human-labelled comments and tweets (as its authors say)",
            licence="MIT (package alt-profanity-check, weights included)",
            long_documents=_rule(self.pooling, self.words),
            known_failures=(
                "sees single words: harmless uses of rude words are flagged, insults in polite "
                "words are not; English of the internet only"
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


DETOXIFY = ("original", "unbiased", "multilingual", "original-small", "unbiased-small")


@dataclass(frozen=True)
class DetoxifyToxicity:
    """Detoxify's probability of one label, by default `toxicity`.

    model: a name in `DETOXIFY`, fetched once from its release by Detoxify itself, or a file already
    in TORCH_HOME; `checkpoint`: a local file in its format instead; `config`: a folder with the
    base model's configuration and tokenizer. Pieces are sorted by length and cut into batches of at
    most `budget` tokens with padding, so that little of it is computed; the default is 131,072
    by the model's width on a CPU, whose caches larger batches overflow (170 for a BERT-base), and
    16,384 elsewhere. Scores equal its own `predict` to rounding.
    """

    model: str = "original"
    checkpoint: Path | None = None
    config: Path | None = None
    label: str = "toxicity"
    device: str = "cpu"
    budget: int | None = None
    pooling: Pooling = "max"
    words: int | None = CHUNK_WORDS
    name: str = "detoxify"
    low: float = 0.0
    high: float = 1.0
    good: Literal["low", "high"] = "low"

    def score(self, texts: Sequence[str]) -> Scores:
        loaded = _detoxify(self.model, self.checkpoint, self.config, self.device)
        if self.label not in loaded.class_names:
            known = ", ".join(loaded.class_names)
            raise UserError(f"label: this Detoxify has no label '{self.label}'; it has {known}.")
        return pooled(texts, self._probabilities, pooling=self.pooling, words=self.words)

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
            long_documents=_rule(self.pooling, self.words) + "; a piece above 512 tokens is cut",
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

    from dataworth.runs.products import with_fast_products

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
    with_fast_products(loaded.model)  # the same sums by the faster library on a CPU
    return loaded


@dataclass(frozen=True)
class BadWords:
    """1 where a text holds a phrase of the list, flanked by other than word characters, else 0.

    C4's page filter (Raffel et al. 2020, section 2.2) keeps the zeros. A longer document has more
    chances to hold one; there are no pieces.
    """

    name: str = "bad-words"
    low: float = 0.0
    high: float = 1.0
    good: Literal["low", "high"] = "low"

    def score(self, texts: Sequence[str]) -> Scores:
        pattern, first, other = _list()
        result = np.zeros(len(texts))
        for row, text in enumerate(texts):
            low = text.lower()
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
    pattern = re.compile(rf"(?:\W|^)(?:{'|'.join(map(re.escape, phrases))})(?:\W|$)")
    first = frozenset(found[0] for found in words.values() if found)
    return pattern, first, tuple(phrase for phrase, found in words.items() if not found)
