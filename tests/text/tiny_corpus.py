"""A tiny corpus of two domains that a model can tell apart, and specs on it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from dataworth.data import Corpus
from dataworth.text.evaluation import Evaluation
from dataworth.text.models import Decoder
from dataworth.text.pools import DOMAINS
from dataworth.text.tokens import TextPart, TokenizerSpec
from dataworth.text.training import LanguageModelSpec

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


def pile_corpus(card: str, split: str | None = None) -> Corpus:
    """Documents of made-up words for a card of the small Pile: every domain has words of its own
    and some that all share; 40 documents of about 500 bytes to train on, 8 in any other split."""
    names = [name for name, domain in DOMAINS.items() if domain.card == card]
    texts, domains = [], []
    for name in names:
        rng = np.random.default_rng([*name.encode(), len(split or "")])
        only = DOMAINS[name].only or (card,)
        own = ["".join(rng.choice(list("aeioulnrst"), 6)) for _ in range(12)]
        for i in range(40 if split == "train" else 8):
            words = rng.choice([*own, *WORDS["sea"]], 80)
            texts.append(" ".join([name, str(i), *words]))
            domains.append(only[i % len(only)])
    base = 1000 * sum((split or "").encode()) + 100_000 * sum(card.encode())  # unlike any other's
    return Corpus(
        texts=tuple(texts),
        ids=np.arange(len(texts)) + base,
        domains=np.array(domains),
        years=np.full(len(texts), -1),
        labels={},
        card=card,
    )
