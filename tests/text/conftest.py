"""A store below tmp_path and a tiny corpus in the place of the data room."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_corpus import TINY, corpus, pile_corpus

from dataworth.data import Corpus
from dataworth.runs import Store
from dataworth.text.tokens import TextPart
from spec_samples import TEXTS
from traced import watch


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing here touches the clone's own data or runs."""
    monkeypatch.setenv("DATAWORTH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATAWORTH_WORKERS", "1")
    monkeypatch.delenv("DATAWORTH_PROGRESS", raising=False)
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def complete_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that a run calls is missing in its key."""
    watch(monkeypatch, TEXTS)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The tiny corpus, as every card; `tiny.calls` counts how often it was read."""
    made = corpus()
    made.calls = 0

    def load_corpus(card: str, split: str | None = None) -> SimpleNamespace:
        made.calls += 1
        return made

    monkeypatch.setattr("dataworth.data.load_corpus", load_corpus, raising=False)
    return made


@pytest.fixture
def memos(monkeypatch):
    """Documents of a chain of words, 20 authors."""
    rng = np.random.default_rng(0)
    words = np.array(["".join(rng.choice(list("aeioulnrst"), 5)) for _ in range(60)])
    texts = []
    for i in range(160):
        at, line = int(rng.integers(60)), []
        for _ in range(60):
            line.append(words[at])
            at = int((7 * at + rng.integers(4)) % 60)
        texts.append(f"{i} " + " ".join(line))
    whole = Corpus(
        tuple(texts), np.arange(160) * 3 + 5, np.full(160, "memo"), np.full(160, 2000),
        {"author": np.array([f"author {i % 20}" for i in range(160)])}, "rfc",
    )  # fmt: skip
    rows = np.arange(160) % 20
    splits = {"train": rows < 15, "validation": rows == 15, "test": rows > 15}

    def load_corpus(card, split=None, **_):
        return whole if split is None else whole.take(splits[split])

    monkeypatch.setattr("dataworth.data.load_corpus", load_corpus)
    ids = tuple(load_corpus("rfc", "train").ids.tolist())
    part = TextPart(card="rfc", split="train", ids=ids)
    monkeypatch.setattr("dataworth.studies.text._tokenizer_parts", lambda *_: (part,))
    return whole


CACHED = {
    "dataworth.studies.age_arms": ("_held_out",),
    "dataworth.studies.synthetic_text": ("_pools",),
    "dataworth.studies.text": ("_held_out", "_questions", "_tokenizer_parts", "held_out_of"),
    "dataworth.text.pools": ("whole_domain",),
}


def forget() -> None:
    for name, functions in CACHED.items():
        for function in functions if name in sys.modules else ():
            cached = getattr(sys.modules[name], function)
            if hasattr(cached, "cache_clear"):  # else a test has put its own in the place
                cached.cache_clear()


@pytest.fixture(autouse=True)
def no_texts_of_other_tests() -> Iterator[None]:
    """Tests put corpora of their own in the place of the cards: none keeps what another has read,
    whichever ran before it in this process."""
    forget()
    yield
    forget()


@pytest.fixture
def tiny_pile(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """A small Pile of made-up words in the place of all cards, a model "tiny", and parameters with
    which a run takes one step."""
    from dataworth.text import models

    monkeypatch.setattr("dataworth.data.load_corpus", pile_corpus)
    monkeypatch.setattr("dataworth.studies.text.TOKENIZER_BYTES", 2_000)
    monkeypatch.setitem(models.MODELS, "tiny", TINY)
    wider = TINY.model_copy(update={"width": 24})
    monkeypatch.setitem(models.MODELS, "tiny-wide", wider)
    monkeypatch.setattr("dataworth.studies.text.LEAST", 1)
    return {
        "seeds": 3,
        "model": "tiny",
        "vocabulary": 300,
        "pool_bytes": 20_000,
        "tokens": 4096,
        "batch": 64,
        "context": 64,
        "held_out_tokens": 500,
        "resamples": 100,
    }
