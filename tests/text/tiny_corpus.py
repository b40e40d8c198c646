"""A tiny corpus of two domains that a model can tell apart, and specs on it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from dataworth.text.models import Decoder
from dataworth.text.tokens import TextPart, TokenizerSpec
from dataworth.text.training import Evaluation, LanguageModelSpec

TINY = Decoder(width=16, layers=1, heads=2, head_width=8, hidden=24)
VOCABULARY = 300
CONTEXT = 16
WORDS = {
    "sea": ["wave", "boat", "salt", "tide", "fish", "sail", "wind", "gull", "rope", "shore"],
    "field": ["corn", "plough", "hay", "barn", "cow", "fence", "soil", "seed", "mill", "grain"],
}


def texts(count: int = 24, seed: int = 0) -> list[tuple[str, str]]:
    """(domain, text) of documents of 3 to 40 words; one holds signs of several bytes."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(count):
        domain = list(WORDS)[i % 2]
        words = rng.choice(WORDS[domain], rng.integers(3, 40))
        found.append((domain, " ".join([f"{i}.", *words])))
    found[0] = ("sea", "naïve 東京 🙂 <|endoftext|>\x00")
    return found


def corpus() -> SimpleNamespace:
    made = texts()
    return SimpleNamespace(
        texts=tuple(text for _, text in made),
        ids=np.arange(len(made)) * 7 + 1000,
        domains=np.array([domain for domain, _ in made]),
        years=np.full(len(made), -1),
        labels={"place": np.array([domain for domain, _ in made])},
        card="tiny",
    )


IDS = tuple(corpus().ids.tolist())
TRAIN, TEST = IDS[:16], IDS[16:]


def part(*ids: int, **more: object) -> TextPart:
    return TextPart(card="tiny", ids=ids or TRAIN, **more)


TOKENIZER = TokenizerSpec(parts=(part(),), vocabulary=VOCABULARY)


def language_model(**changes: object) -> LanguageModelSpec:
    settings: dict = {
        "parts": (part(),),
        "tokenizer": TOKENIZER,
        "model": TINY,
        "tokens": 40 * 4 * CONTEXT,
        "batch": 4,
        "context": CONTEXT,
        "evaluations": (Evaluation(name="test", part=part(*TEST)),),
        "keep_weights": True,
    }
    return LanguageModelSpec(**(settings | changes))
