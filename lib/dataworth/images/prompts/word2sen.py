"""*Word2Sen*: sentences written around the class name, 100 for each class.

He et al. 2023 (*Is synthetic data from generative models ready for image recognition?*) sample
them from a T5 model fitted to CommonGen. `word2sen:<hub id or folder>` does that, for example
`word2sen:mrm8488/t5-base-finetuned-common_gen`, the model of their released code. Without a model
id the sentences come from a small model of ours: a trigram model that starts at the class name
and grows to the left, then to the right. It is fitted to WordNet's example sentences that name
the class or its relatives (`sentences.tsv.gz`, written by `make_tables`).
"""

from __future__ import annotations

import gzip
import zlib
from collections import defaultdict
from collections.abc import Sequence
from functools import cache

import numpy as np

from dataworth.errors import UserError
from dataworth.images.prompts.hub import loaded
from dataworth.images.prompts.vocabulary import class_words, read_table

SENTENCES_SHA256 = "f7089e71e6a020eb0a0c8b637d60703879b820e14a0abeb7189e96ba4c2bdf39"
PER_CLASS = 100  # sentences, as in Fan et al. 2023
RELATIVES = 200  # sentences that the model of one class is fitted to, at least
LONGEST = 12  # words
BACKOFF = 0.3  # share of words drawn given one neighbour instead of two
SLOT, END = "{}", ""
_TAG = 33


def word2sen(name: str, seed: int, card: str, model: str = "") -> str:
    """One of the 100 sentences of the class, drawn by the seed."""
    known = t5_sentences(class_words(name, card).name, model) if model else sentences(name, card)
    return known[np.random.default_rng([seed, _TAG]).integers(len(known))]


@cache
def sentences(name: str, card: str) -> tuple[str, ...]:
    """100 distinct sentences with the class name, from our small model."""
    model = _model(nearest(class_words(name, card).ancestry))
    rng = np.random.default_rng([zlib.crc32(name.encode()), _TAG])
    found: dict[str, None] = {}
    while len(found) < PER_CLASS:
        if words := model.sample(rng):
            found[_filled(" ".join(words), name)] = None
    return tuple(found)


def nearest(ancestry: Sequence[str]) -> str:
    """The deepest ancestor that enough sentences are about."""
    known = _by_ancestor()
    enough = [offset for offset in ancestry if len(known.get(offset, ())) >= RELATIVES]
    return enough[-1]


@cache
def _model(ancestor: str) -> Trigrams:
    return Trigrams([text.split() for text in _by_ancestor()[ancestor]])


@cache
def _by_ancestor() -> dict[str, list[str]]:
    """WordNet offset -> sentences with a `{}` in the place of something that it is a kind of."""
    found: dict[str, list[str]] = defaultdict(list)
    table = gzip.decompress(read_table("sentences.tsv.gz", SENTENCES_SHA256))
    for line in table.decode().splitlines():
        ancestry, text = line.split("\t")
        for offset in ancestry.split():
            found[offset].append(text)
    return dict(found)


class Trigrams:
    """Words given the two nearer to the slot, leftwards and rightwards of it."""

    def __init__(self, corpus: Sequence[Sequence[str]]) -> None:
        self.left: dict[tuple[str, ...], list[str]] = defaultdict(list)
        self.right: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for words in corpus:
            slot = words.index(SLOT)
            backwards = [END, *words[: slot + 1]][::-1]
            _count(self.left, [END, *backwards], start=2)
            _count(self.right, [END, *words, END], start=slot + 2)

    def sample(self, rng: np.random.Generator) -> list[str]:
        """A sentence with one slot; empty when it became too long or says nothing else."""
        words = _grown(self.left, [END, SLOT], rng)
        if words:
            words = _grown(self.right, words[:0:-1], rng)  # from the sentence's start to the slot
        words = [word for word in words if word != END]
        return words if 3 <= len(words) <= LONGEST else []


def _count(table: dict[tuple[str, ...], list[str]], words: Sequence[str], start: int) -> None:
    for i in range(start, len(words)):
        table[tuple(words[i - 2 : i])].append(words[i])
        table[(words[i - 1],)].append(words[i])


def _grown(
    table: dict[tuple[str, ...], list[str]], words: list[str], rng: np.random.Generator
) -> list[str]:
    words = list(words)
    for _ in range(LONGEST):
        # Both neighbours were seen together on this side, or one of them was.
        choices = table.get(tuple(words[-2:])) if rng.random() >= BACKOFF else None
        choices = choices or table[(words[-1],)]
        words.append(choices[rng.integers(len(choices))])
        if words[-1] == END:
            return words
    return []


def _filled(text: str, name: str) -> str:
    if name[0].lower() in "aeiou":
        text = f" {text}".replace(" a {}", " an {}").strip()
    return text.format(name)


@cache
def t5_sentences(name: str, model: str) -> tuple[str, ...]:
    """Up to 100 distinct sentences for a class name, sampled from a text-to-text model.

    `model` is a hub id or a folder for `from_pretrained`. The name is the input, as in the released
    code of He et al. 2023 (`src/LE.py`). UserError when the model cannot be loaded.
    """
    import torch

    tokenizer, t5 = loaded(model, "AutoTokenizer", "AutoModelForSeq2SeqLM", "text-to-text model")
    found: dict[str, None] = {}
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(zlib.crc32(name.encode()))
        inputs = tokenizer([name], return_tensors="pt").to(t5.device)
        for _ in range(5):  # a model that repeats itself is asked five times
            drawn = t5.generate(
                **inputs, do_sample=True, num_return_sequences=PER_CLASS, max_new_tokens=32
            )
            texts = tokenizer.batch_decode(drawn, skip_special_tokens=True)
            found |= dict.fromkeys(text.strip() for text in texts if text.strip())
            if len(found) >= PER_CLASS:
                break
    if not found:
        raise UserError(f"prompt_set: the model {model} wrote nothing for {name!r}.")
    return tuple(found)[:PER_CLASS]


SETS = {"word2sen": word2sen}
