"""What no pool may hold: passages of another domain's card, and bodies that are not text.

A card of scraps holds sentences of the very speeches and novels that are other domains. What is
trained on for one domain would then be evaluated for another, held-out documents included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from string import punctuation

import numpy as np
from numpy.typing import NDArray

from dataworth.data.duplicates import shingles

CARDS = ("sotu", "brown", "wordnet", "python-code", "spam-assassin", "nlp-corpus")
"""The cards of all domains, the best documented first: of two that share a passage the later one
loses the document."""

PASSAGE = 8  # words
SHARED = 0.05  # of a document's passages: from here on it is left out

WORD = 24  # letters of the longest word
WORDS = 0.3  # of a text's characters at least, blanks aside, stand in words


def overlapping(texts: Mapping[str, Sequence[str]]) -> dict[str, NDArray[np.bool_]]:
    """By card, in the order given, which documents hold passages of an earlier card: at least
    `SHARED` of their distinct word 8-grams stand there. `bench/overlaps.py` writes down those of
    `CARDS`: it takes a minute."""
    found, known = {}, np.zeros(0, np.uint64)
    for card, documents in texts.items():
        grams = shingles(documents, PASSAGE)
        counts = np.array([len(each) for each in grams])
        flat = np.concatenate([known[:0], *grams])
        of = np.repeat(np.arange(len(grams)), counts)
        held = np.bincount(of, np.isin(flat, known), len(grams))
        found[card] = held >= np.maximum(SHARED * counts, 1)
        known = np.unique(np.concatenate([known, flat]))
    return found


def holding(texts: Sequence[str], others: Sequence[str]) -> NDArray[np.bool_]:
    """Which documents (N,) hold passages of others, which must not be trained on."""
    return overlapping({"others": others, "own": texts})["own"]


@cache
def overlaps(card: str) -> NDArray[np.int64]:
    """Ids of the documents of one of `CARDS` that hold passages of an earlier one."""
    lines = Path(__file__).with_name("overlaps.csv").read_text(encoding="ascii").splitlines()
    pairs = (line.split(",") for line in lines[1:])
    return np.array([int(id_) for name, id_ in pairs if name == card], dtype=np.int64)


def is_text(text: str) -> bool:
    """Whether three tenths of its characters, blanks aside, stand in words: not so in an undecoded
    attachment or a list of addresses."""
    parts = text.split()
    needed, inside = WORDS * sum(map(len, parts)), 0
    for part in parts:
        if inside >= needed:  # nearly every text is one: a third of it has shown that
            break
        word = part.strip(punctuation).replace("'", "").replace("-", "")
        inside += len(word) if len(word) <= WORD and word.isalpha() else 0
    return inside >= needed
