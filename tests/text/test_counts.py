"""Counts of words, pairs and triples: against the formula by dictionaries."""

from collections import Counter

import numpy as np
import pytest

from dataworth.text.counts import count_nats

V, END = 12, 0


def documents(seed, count):
    """Markov chains, so that histories matter."""
    rng = np.random.default_rng(seed)
    found = []
    for size in rng.integers(3, 40, count).tolist():
        tokens = [1]
        for _ in range(size):
            tokens.append(int((3 * tokens[-1] + rng.integers(0, 3)) % (V - 1)) + 1)
        found.append(np.array(tokens, dtype=np.uint16))
    return found


def by_hand(train, word, before):
    """P(word | before) of counts of 1 + len(before) tokens."""
    p = 1 / V
    for length in range(len(before) + 1):
        seen = Counter()
        for document in train:
            padded = [END, END, *document.tolist()]
            for i in range(2, len(padded)):
                seen[tuple(padded[i - length : i + 1])] += 1
        times = Counter(seen.values())
        discount = times[1] / (times[1] + 2 * times[2]) if times[1] else 0.5
        history = tuple(before[len(before) - length :])
        after = {key[-1]: n for key, n in seen.items() if key[:-1] == history}
        if after:
            total = sum(after.values())
            own = max(after.get(word, 0) - discount, 0)
            p = (own + discount * len(after) * p) / total
    return p


def test_counts_are_those_of_the_formula():
    train, asked = documents(0, 8), documents(1, 3)
    found = count_nats(train, asked, vocabulary=V, end=END)
    for order in range(3):
        for document, nats in zip(asked, found[order], strict=True):
            padded = [END, END, *document.tolist()]
            p = [by_hand(train, padded[i], padded[i - order : i]) for i in range(2, len(padded))]
            assert nats == pytest.approx(-np.log(p).sum())


def test_probabilities_of_all_words_sum_to_one():
    train = documents(2, 5)
    for before in ([], [4], [4, 2], [5, 5]):
        assert sum(by_hand(train, word, before) for word in range(V)) == pytest.approx(1)
        whole = [np.array([*before, word], dtype=np.uint16) for word in range(V)]
        start = [np.array(before, dtype=np.uint16)] * V
        with_word, without = (
            count_nats(train, each, vocabulary=V, end=END) for each in (whole, start)
        )
        assert np.exp(without - with_word).sum(1) == pytest.approx(np.ones(3))


def test_more_history_predicts_more():
    train, asked = documents(3, 200), documents(4, 20)
    one, two, three = count_nats(train, asked, vocabulary=V, end=END).sum(1)
    assert two < 0.6 * one and three < 1.05 * two  # a chain of first order
