"""Near-duplicate documents: MinHash finds candidates, their exact Jaccard index decides.

Two documents are near-duplicates when the sets of their word 3-grams have a Jaccard index of at
least `THRESHOLD`. Candidates are pairs that agree in one band of their MinHash signatures (Broder
1997; banding: Leskovec, Rajaraman & Ullman, Mining of Massive Datasets, section 3.4); since every
candidate is verified, a pair can be missed but never invented. With 32 bands of 4 rows a pair of
Jaccard index s is missed with probability (1 - s^4)^32: 2e-4 at 0.7, 5e-8 at 0.8.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SHINGLE = 3
THRESHOLD = 0.7
BANDS, ROWS = 32, 4

_WORD = re.compile(r"\w+")


def shingles(texts: Sequence[str], words: int = SHINGLE) -> list[NDArray[np.uint64]]:
    """The hashes of the distinct word n-grams (lower case, punctuation ignored) of each text.

    A text of fewer words has one shingle, the whole text, and a text without a word has none.
    """
    known: dict[str, int] = {}
    result = []
    for text in texts:
        hashes = []
        for word in _WORD.findall(text.lower()):
            value = known.get(word)
            if value is None:
                digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
                value = known[word] = int.from_bytes(digest, "big")
            hashes.append(value)
        tokens = np.array(hashes, dtype=np.uint64)
        n = min(words, len(tokens))
        grams = np.zeros(max(len(tokens) - n + 1, 0) if n else 0, dtype=np.uint64)
        for offset in range(n):
            grams = _mix(grams) + tokens[offset : offset + len(grams)]
        result.append(np.unique(_mix(grams)))
    return result


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64, so that sums of word hashes depend on the order of the words."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def signatures(
    sets: Sequence[NDArray[np.uint64]], permutations: int = BANDS * ROWS, seed: int = 0
) -> NDArray[np.uint32]:
    """(N, permutations) MinHash signatures; the rows of empty sets hold the largest value.

    The share of equal columns of two rows estimates the Jaccard index of their sets. Hash family:
    multiply-shift (Dietzfelbinger et al. 1997), the upper 32 bits of (a x + b) mod 2^64, a odd.
    """
    rng = np.random.default_rng([seed, 0x4D48])
    a = rng.integers(0, 1 << 63, permutations, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    b = rng.integers(0, 1 << 63, permutations, dtype=np.uint64)
    found = np.full((len(sets), permutations), np.iinfo(np.uint32).max, dtype=np.uint32)
    sizes = np.array([len(s) for s in sets], dtype=np.int64)
    filled = np.flatnonzero(sizes)
    if not len(filled):
        return found
    flat = np.concatenate([sets[int(row)] for row in filled])
    starts = np.cumsum(sizes[filled]) - sizes[filled]
    for column in range(permutations):
        hashed = ((flat * a[column] + b[column]) >> np.uint64(32)).astype(np.uint32)
        found[filled, column] = np.minimum.reduceat(hashed, starts)
    return found


def jaccard(left: NDArray[np.uint64], right: NDArray[np.uint64]) -> float:
    """|A n B| / |A u B| of two sets given as sorted distinct values; 0 for two empty sets."""
    shared = len(np.intersect1d(left, right, assume_unique=True))
    union = len(left) + len(right) - shared
    return shared / union if union else 0.0


def near_duplicates(
    texts: Sequence[str], *, threshold: float = THRESHOLD, words: int = SHINGLE
) -> NDArray[np.intp]:
    """(N,) the group of each text, named by the smallest row in it.

    Texts are joined when their Jaccard index is at least `threshold`, directly or through others.
    """
    sets = shingles(texts, words)
    signed = signatures(sets)
    group = np.arange(len(texts))
    filled = np.array([len(s) > 0 for s in sets], dtype=bool)

    def root(row: int) -> int:
        while group[row] != row:
            group[row] = group[group[row]]
            row = int(group[row])
        return row

    for band in range(BANDS):
        part = np.ascontiguousarray(signed[:, band * ROWS : (band + 1) * ROWS])
        keys = part.view([("", part.dtype)] * ROWS).ravel()
        order = np.argsort(keys, kind="stable")
        order = order[filled[order]]
        same = keys[order[1:]] == keys[order[:-1]]
        for bucket in np.split(order, np.flatnonzero(~same) + 1):
            # Each member is held against every group the bucket has so far, not every member.
            heads: list[int] = []
            for row in bucket.tolist() if len(bucket) > 1 else ():
                for head in heads:
                    low, high = sorted((root(row), root(head)))
                    if low == high or jaccard(sets[row], sets[head]) >= threshold:
                        group[high] = low
                        break
                else:
                    heads.append(row)
    return np.array([root(row) for row in range(len(texts))], dtype=np.intp)


def overlap(texts: Sequence[str], reference: Sequence[str], *, words: int = 8) -> NDArray:
    """(N,) the share of each text's distinct word n-grams that occur in `reference`.

    Finds passages of one corpus inside another (contamination), which whole-document indices miss.
    """
    known = np.unique(np.concatenate([np.zeros(0, np.uint64), *shingles(reference, words)]))
    return np.array(
        [np.isin(s, known).mean() if len(s) else 0.0 for s in shingles(texts, words)], dtype=float
    )
