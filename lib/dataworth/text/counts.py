"""What a table of counts predicts: a calibrated zero for language models.

A model of a few million parameters and few steps has learned how often words and pairs of words
occur before it learns anything else. What counts of one, two and three tokens reach on the same
text says how much of its loss is that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dataworth.arrays import Array

Tokens = Sequence[NDArray[np.integer]]


def count_nats(train: Tokens, held_out: Tokens, *, vocabulary: int, end: int) -> Array:
    """Nats (3, N) of held-out documents under counts of one, two and three tokens of the training
    documents; a document begins after end-of-text tokens, as in training.

    Interpolated absolute discounting (Ney, Essen and Kneser 1994; Chen and Goodman 1999, section
    2.7): P(w | h) = (max(c(hw) - D, 0) + D n(h) P(w | h')) / c(h), with n(h) the kinds of tokens
    that follow h, h' without its first token, D = n1 / (n1 + 2 n2) of the counts that are 1 and 2
    (one half where none is 1), and 1 / vocabulary below single tokens. An h that training lacks
    leaves P(w | h').
    """
    keys = [_keys(documents, vocabulary, end) for documents in (train, held_out)]
    owner = np.repeat(np.arange(len(held_out)), [len(document) for document in held_out])
    p, found = np.full(len(owner), 1 / vocabulary), []
    for seen, asked in zip(*keys, strict=True):
        p = _discounted(seen, asked, p, vocabulary)
        found.append(np.bincount(owner, -np.log(p), len(held_out)))
    return np.stack(found)


def _keys(documents: Tokens, vocabulary: int, end: int) -> list[NDArray[np.int64]]:
    """One number for each token with the none, one and two before it, (3, T)."""
    closing = np.array([end])
    padded = [np.concatenate([closing, closing, document]) for document in documents]
    inside = np.concatenate([np.arange(len(p)) > 1 for p in padded])
    whole = np.concatenate(padded).astype(np.int64)
    back = [np.roll(whole, shift) for shift in range(3)]
    pairs = back[1] * vocabulary + back[0]
    return [key[inside] for key in (whole, pairs, back[2] * vocabulary**2 + pairs)]


def _discounted(
    seen: NDArray[np.int64], asked: NDArray[np.int64], lower: Array, vocabulary: int
) -> Array:
    """Probabilities of `asked`, of which `lower` are those with one token of history less."""
    kinds, counts = np.unique(seen, return_counts=True)
    ones, twos = int((counts == 1).sum()), int((counts == 2).sum())
    discount = ones / (ones + 2 * twos) if ones else 0.5
    histories, first = np.unique(kinds // vocabulary, return_index=True)
    totals = np.add.reduceat(counts, first)
    follow = np.diff(np.append(first, len(kinds)))

    def look(values: NDArray[np.int64], table: NDArray[np.int64], what: NDArray[np.int64]) -> Array:
        at = np.minimum(np.searchsorted(table, what), len(table) - 1)
        return np.where(table[at] == what, values[at], 0).astype(np.float64)

    history = asked // vocabulary
    c, total = look(counts, kinds, asked), look(totals, histories, history)
    left = discount * look(follow, histories, history)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (np.maximum(c - discount, 0) + left * lower) / total
    return np.where(total > 0, found, lower)
