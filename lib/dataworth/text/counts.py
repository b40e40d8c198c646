"""Counts of tokens as a language model: modified Kneser-Ney smoothing of one, two and three tokens.

A model of a few million parameters and few steps has learned how often words and pairs of words
occur before it learns anything else. What counts reach on the same text says how much of its loss
is that: a calibrated zero. They are trained in a fraction of a second and have no random start, so
that whatever differs between two of them is the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataworth.arrays import Array
from dataworth.text.tokens import TOKEN

Tokens = Sequence[NDArray[np.integer]]
Keys = NDArray[np.int64]

FALLBACK = (0.5, 1.0, 1.5)
"""Discounts where counts of counts give none (too little text), as in KenLM."""
STREAM = 4096  # tokens of one stream of samples


@dataclass(frozen=True)
class Level:
    """What is known of n tokens in a row, as numbers to the base of the vocabulary.

    kinds: (K,) ascending, the n tokens; shares: (K,) what their discounted count is of all counts
    of their history (the first n - 1 of them); histories: (H,) ascending; starts: (H + 1,) the
    first of the kinds of each; rest: (H,) what discounting leaves to shorter histories.
    """

    kinds: Keys
    shares: Array
    histories: Keys
    starts: NDArray[np.intp]
    rest: Array

    def of_kind(self, keys: Keys) -> Array:
        """Shares (T,), 0 of what was not seen."""
        return _look(self.kinds, self.shares, keys, 0.0)

    def of_history(self, keys: Keys) -> Array:
        """What is left (T,) to shorter histories: everything where the history was not seen."""
        return _look(self.histories, self.rest, keys, 1.0)


def _look(table: Keys, values: Array, keys: Keys, otherwise: float) -> Array:
    at = np.minimum(np.searchsorted(table, keys), len(table) - 1)
    return np.where(table[at] == keys, values[at], otherwise)


@dataclass(frozen=True)
class Counts:
    """A language model of counts of up to `order` tokens: `levels[n - 1]` knows n of them.

    Interpolated modified Kneser-Ney smoothing (Chen and Goodman 1999, *An empirical study of
    smoothing techniques for language modeling*, section 3): P(w | h) = shares(hw) + rest(h) P(w |
    h'), h' without its first token, and 1 / vocabulary below single tokens. The longest kind is
    counted by its occurrences, a shorter one by the different tokens before it; discounts are by
    count 1, 2 and 3 or more (`discounts`).
    """

    vocabulary: int
    end: int
    levels: tuple[Level, ...]

    @property
    def order(self) -> int:
        return len(self.levels)

    def probabilities(self, keys: Keys) -> Array:
        """P (T,) of the last token after the `order` - 1 before it, of keys (T,) of all these."""
        asked, places = keys, []
        for n in range(self.order, 0, -1):  # each is looked up once, and in ascending order
            unique, inverse = np.unique(asked, return_inverse=True)
            places.append((unique, inverse))
            asked = unique % self.vocabulary ** (n - 1)
        p = np.full(len(asked), 1 / self.vocabulary)
        for level, (unique, inverse) in zip(self.levels, reversed(places), strict=True):
            p = (level.of_kind(unique) + level.of_history(unique // self.vocabulary) * p)[inverse]
        return p

    def nats(self, documents: Tokens) -> list[Array]:
        """-log P of every token of every document, the first after ends of text."""
        keys = joined(documents, self.order, self.vocabulary, self.end)
        nats = -np.log(self.probabilities(keys))
        return np.split(nats, np.cumsum([len(d) for d in documents])[:-1])

    def sample(
        self, tokens: int, *, temperature: float = 1.0, seed: int = 0
    ) -> list[NDArray[np.uint16]]:
        """Documents of at least `tokens` tokens in all: exact samples of P ** (1 / temperature).

        Streams of documents of about `STREAM` tokens are sampled at once; each one's last is cut.
        A token is proposed by one of the terms of P, each raised to the power g = 1 / temperature,
        and accepted with probability (sum of terms) ** g over sum of (terms ** g), times the
        number of terms ** (1 - g) where g > 1: never above 1, since x ** g is subadditive for
        g <= 1, and by the power mean inequality for g > 1.
        """
        rng = np.random.default_rng([seed, 0x5A3F])
        raised = [
            np.append(0.0, np.cumsum(level.shares ** (1 / temperature))) for level in self.levels
        ]
        found: list[NDArray[np.uint16]] = []
        while (left := tokens - sum(map(len, found))) > 0:
            streams = self._streams(-(-left // STREAM), raised, 1 / temperature, rng)
            found += [d for stream in streams for d in documents_of(stream, self.end)]
        return found

    def _streams(
        self, count: int, raised: Sequence[Array], g: float, rng: np.random.Generator
    ) -> NDArray[np.uint16]:
        """Streams (count, 1.05 `STREAM`) of tokens, ends included: `sample`. raised: by level, the
        cumulative sums of shares ** g from 0."""
        v, order = self.vocabulary, self.order
        scale = min(1.0, float(order + 1) ** (1 - g))
        start = self.end * sum(v**i for i in range(order - 1))
        found = np.empty((count, round(1.05 * STREAM)), dtype=TOKEN)
        history = np.full(count, start, dtype=np.int64)
        filled = np.zeros(count, dtype=np.intp)
        rows = np.arange(count)
        while len(rows):
            h = history[rows]
            weight = np.ones(len(rows))  # of the terms of a level: what longer ones have left
            weights, firsts, totals = [weight], [], []
            for n in range(order, 0, -1):
                level, key = self.levels[n - 1], h % v ** (n - 1)
                at = np.minimum(np.searchsorted(level.histories, key), len(level.histories) - 1)
                known = level.histories[at] == key
                firsts.append(raised[n - 1][level.starts[at]])
                totals.append(np.where(known, raised[n - 1][level.starts[at + 1]] - firsts[-1], 0))
                weight = weight * np.where(known, level.rest[at], 1.0)
                weights.append(weight)
            masses = [w**g * total for w, total in zip(weights, totals, strict=False)]
            heap = np.cumsum([*masses, (weight / v) ** g * v], axis=0)
            term = (heap <= rng.random(len(rows)) * heap[-1]).sum(0).clip(max=order)
            within, word = rng.random(len(rows)), np.empty(len(rows), dtype=np.int64)
            for t in range(order):
                here = np.flatnonzero(term == t)
                kinds, sums = self.levels[order - 1 - t].kinds, raised[order - 1 - t]
                aimed = firsts[t][here] + within[here] * totals[t][here]
                at = np.searchsorted(sums, aimed, side="right") - 1
                word[here] = kinds[at.clip(max=len(kinds) - 1)] % v
            here = np.flatnonzero(term == order)
            word[here] = (within[here] * v).astype(np.int64)
            terms = np.array(
                [
                    weights[t] * self.levels[n - 1].of_kind(h % v ** (n - 1) * v + word)
                    for t, n in enumerate(range(order, 0, -1))
                ]
                + [weight / v]
            )
            chance = scale * terms.sum(0) ** g / (terms**g).sum(0)
            taken = np.flatnonzero(rng.random(len(rows)) < chance)
            at, word = rows[taken], word[taken]
            found[at, filled[at]] = word
            filled[at] += 1
            history[at] = np.where(
                word == self.end, start, (h[taken] * v + word) % v ** (order - 1)
            )
            rows = rows[filled[rows] < found.shape[1]]
        return found


def documents_of(stream: NDArray[np.uint16], end: int) -> list[NDArray[np.uint16]]:
    """The documents of a stream of tokens, without the ends that part them; empty ones left out."""
    pieces = np.split(stream, np.flatnonzero(stream == end) + 1)
    trimmed = [piece[:-1] if len(piece) and piece[-1] == end else piece for piece in pieces]
    return [piece for piece in trimmed if len(piece)]


def joined(documents: Tokens, order: int, vocabulary: int, end: int, *, ends: bool = False) -> Keys:
    """Numbers (T,) of every token with the `order` - 1 before it; a document begins after ends of
    text, and with `ends` its own is one of its tokens."""
    closing = np.full(order - 1, end)
    last = np.full(int(ends), end)
    whole = np.concatenate(
        [np.empty(0, np.int64), *(x for d in documents for x in (closing, d, last))]
    ).astype(np.int64)
    lengths = np.array([order - 1 + len(d) + len(last) for d in documents], dtype=np.int64)
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)
    inside = np.arange(len(whole)) - first >= order - 1
    keys = whole.copy()
    for back in range(1, order):
        keys[back:] += whole[:-back] * vocabulary**back
    return keys[inside]


def counted(documents: Tokens, order: int, vocabulary: int, end: int) -> Counts:
    """Counts of up to `order` tokens of documents, each read once with its end."""
    if vocabulary**order >= 2**63:
        raise ValueError(f"{order} tokens of {vocabulary} kinds have no number of 63 bits")
    keys = joined(documents, order, vocabulary, end, ends=True)
    kinds, times = np.unique(keys, return_counts=True)
    levels = []
    for n in range(order, 0, -1):
        levels.append(_level(kinds, times, vocabulary))
        kinds, times = np.unique(kinds % vocabulary ** (n - 1), return_counts=True)
    return Counts(vocabulary, end, tuple(reversed(levels)))


def _level(kinds: Keys, times: NDArray[np.intp], vocabulary: int) -> Level:
    off = np.array([0.0, *discounts(times)])[np.minimum(times, 3)]
    histories, first = np.unique(kinds // vocabulary, return_index=True)
    totals = np.add.reduceat(times, first).astype(float)
    starts = np.append(first, len(kinds))
    shares = (times - off) / np.repeat(totals, np.diff(starts))
    return Level(kinds, shares, histories, starts, np.add.reduceat(off, first) / totals)


def discounts(times: NDArray[np.integer]) -> tuple[float, float, float]:
    """What is taken off counts of 1, of 2, and of 3 and more (Chen and Goodman 1999, equation 17):
    with n_i kinds of count i and Y = n1 / (n1 + 2 n2), i - (i + 1) Y n_(i + 1) / n_i. `FALLBACK`
    where one is not defined or not between 0 and i."""
    n = np.bincount(np.minimum(times, 5), minlength=6)[1:5].astype(float)
    if (n > 0).all():
        y = n[0] / (n[0] + 2 * n[1])
        found = [i - (i + 1) * y * n[i] / n[i - 1] for i in (1, 2, 3)]
        if all(0 <= d <= i for i, d in enumerate(found, 1)):
            return found[0], found[1], found[2]
    return FALLBACK
