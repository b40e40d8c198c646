"""Counts of words, pairs and triples: against the formulas by dictionaries, and runs of them."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from scipy import stats
from tiny_corpus import IDS, TEST, TOKENIZER, TRAIN, VOCABULARY, part

from dataworth.errors import UserError
from dataworth.text.count_models import (
    CountsSpec,
    Excerpt,
    SampledSpec,
    run_count_tasks,
    sources,
)
from dataworth.text.counts import FALLBACK, counted, discounts
from dataworth.text.evaluation import Evaluation

V, END = 12, 0


def documents(seed, count):
    """Markov chains, so that histories matter."""
    rng = np.random.default_rng(seed)
    found = []
    for size in rng.integers(3, 40, count).tolist():
        tokens = [1]
        for _ in range(size):
            tokens.append(int((3 * tokens[-1] + rng.geometric(0.6)) % (V - 1)) + 1)
        found.append(np.array(tokens, dtype=np.uint16))
    return found


class ByHand:
    """Chen and Goodman 1999, equations 24 to 27, with dictionaries."""

    def __init__(self, train, order):
        grams = Counter()
        for document in train:
            padded = [END] * (order - 1) + document.tolist() + [END]
            for i in range(order - 1, len(padded)):
                grams[tuple(padded[i - order + 1 : i + 1])] += 1
        self.counts = [grams]
        for _ in range(order - 1):
            before = defaultdict(set)
            for gram in self.counts[0]:
                before[gram[1:]].add(gram[0])
            self.counts.insert(0, {gram: len(found) for gram, found in before.items()})

    def p(self, word, history):
        if history is None:
            return 1 / V
        counts = self.counts[len(history)]
        after = {gram[-1]: c for gram, c in counts.items() if gram[:-1] == history}
        shorter = self.p(word, history[1:] if history else None)
        if not after:
            return shorter
        of = Counter(counts.values())
        if all(of[i] for i in (1, 2, 3, 4)):
            y = of[1] / (of[1] + 2 * of[2])
            d = {i: i - (i + 1) * y * of[i + 1] / of[i] for i in (1, 2, 3)}
        if not all(of[i] for i in (1, 2, 3, 4)) or not all(0 <= d[i] <= i for i in d):
            d = dict(zip((1, 2, 3), FALLBACK, strict=True))
        own = after.get(word, 0)
        off = d[min(own, 3)] if own else 0
        n = Counter(min(c, 3) for c in after.values())
        left = sum(d[i] * n[i] for i in d) / sum(after.values())
        return (own - off) / sum(after.values()) + left * shorter


@pytest.mark.parametrize("count", [3, 300])  # with discounts of the fallback, and of the text
@pytest.mark.parametrize("order", [1, 2, 3])
def test_counts_are_those_of_the_formulas(order, count):
    train, asked = documents(0, count), documents(1, 3)
    found = counted(train, order, V, END).nats(asked)
    hand = ByHand(train, order)
    for document, nats in zip(asked, found, strict=True):
        padded = [END] * (order - 1) + document.tolist()
        p = [
            hand.p(padded[i], tuple(padded[i - order + 1 : i]))
            for i in range(order - 1, len(padded))
        ]
        np.testing.assert_allclose(nats, -np.log(p), rtol=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_probabilities_of_all_words_sum_to_one(order):
    model = counted(documents(2, 20), order, V, END)
    histories = np.arange(V ** (order - 1))  # all that there can be, most never seen
    keys = (histories[:, None] * V + np.arange(V)).ravel()
    sums = model.probabilities(keys).reshape(-1, V).sum(1)
    np.testing.assert_allclose(sums, 1, rtol=1e-12)


def test_more_history_predicts_more():
    train, asked = documents(3, 200), documents(4, 20)
    one, two, three = (
        sum(x.sum() for x in counted(train, n, V, END).nats(asked)) for n in (1, 2, 3)
    )
    assert two < 0.8 * one and three < 1.05 * two  # a chain of first order


def test_discounts_by_hand():
    times = np.repeat([1, 2, 3, 4, 9], [40, 10, 5, 3, 2])
    y = 40 / 60
    expected = (1 - 2 * y * 10 / 40, 2 - 3 * y * 5 / 10, 3 - 4 * y * 3 / 5)
    assert discounts(times) == pytest.approx(expected)
    assert discounts(np.array([1, 1, 2])) == FALLBACK
    assert discounts(np.repeat([1, 2, 3, 4], [1, 1, 9, 9])) == FALLBACK  # below 0


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.7])
def test_samples_are_of_the_probabilities_to_a_power(temperature):
    model = counted(documents(5, 60), 3, V, END)
    found = model.sample(60_000, temperature=temperature, seed=1)
    assert sum(map(len, found)) >= 60_000
    seen = Counter()
    for document in found:
        padded = [END, END, *document.tolist()]
        for i in range(2, len(padded)):
            seen[tuple(padded[i - 2 : i + 1])] += 1
    after = defaultdict(Counter)
    for (a, b, word), n in seen.items():
        after[a, b][word] += n
    tested = [h for h, words in after.items() if sum(words.values()) > 500]
    assert len(tested) > 10
    chances = []
    for a, b in tested:
        p = model.probabilities((a * V + b) * V + np.arange(V)) ** (1 / temperature)
        p[END] = 0  # an end that was sampled is in no document
        n = np.array([after[a, b][word] for word in range(V)])
        rare = p / p.sum() * n.sum() < 5
        if rare.all():
            continue
        observed = np.append(n[~rare], n[rare].sum())
        expected = np.append(p[~rare], p[rare].sum()) / p.sum() * n.sum()
        keep = expected > 0
        chances.append(stats.chisquare(observed[keep], expected[keep]).pvalue)
    assert min(chances) > 0.01 / len(chances)  # none, at a level of one in a hundred together
    assert 0.2 < np.mean(chances) < 0.8


def test_the_same_seed_samples_the_same():
    model = counted(documents(6, 10), 2, V, END)
    one, again, other = (model.sample(500, seed=s) for s in (3, 3, 4))
    assert all(map(np.array_equal, one, again))
    assert not np.array_equal(np.concatenate(one)[:50], np.concatenate(other)[:50])


# --- Runs --------------------------------------------------------------------------------------


def counts(**changes):
    settings = {
        "parts": (part(),),
        "tokenizer": TOKENIZER,
        "evaluations": (Evaluation(name="test", part=part(*TEST), max_tokens=9),),
    }
    return CountsSpec(**(settings | changes))


def test_a_run_keeps_what_a_decoder_keeps(tiny, store):
    (result,) = run_count_tasks([counts()], store=store)
    a = result.arrays
    assert a["ids_test"].tolist() == list(TEST)
    assert (a["tokens_test"] <= 9).all()
    corpora = {c.card: c.load(store) for c in counts().corpora()}["tiny"]
    model = counted(corpora.take(TRAIN), 3, VOCABULARY, TOKENIZER.end)
    expected = [x.sum() for x in model.nats([d[:9] for d in corpora.take(TEST)])]
    np.testing.assert_allclose(a["nats_test"], expected)
    bits = a["nats_test"].sum() / np.log(2) / a["bytes_test"].sum()
    assert result.metrics["bits_per_byte_test"] == pytest.approx(bits)
    (few,) = run_count_tasks([counts(tokens=20)], store=store)
    assert few.metrics["parameters"] < result.metrics["parameters"]
    with pytest.raises(UserError, match="tokens are there, and 1,000,000 were asked for"):
        counts(tokens=10**6).model(store)


def test_sampled_text_is_read_where_it_stands(tiny, store):
    """Three generations, each counted from samples of the one before it."""
    first = counts(evaluations=())
    texts = [SampledSpec(counts=first, tokens=300)]
    for seed in (1, 2):
        excerpt = Excerpt(source=texts[-1], tokens=250)
        below = first.model_copy(update={"parts": (), "sampled": (excerpt,)})
        texts.append(SampledSpec(counts=below, tokens=300, seed=seed))
    last = counts(sampled=(Excerpt(source=texts[-1], tokens=200),))
    assert [depth for depth, _ in sources(last)] == [0, 1, 2]
    (result,) = run_count_tasks([last], store=store)
    both = texts[-1].counts.sampled[0].documents(store)
    assert sum(map(len, both)) == 250
    documents = [d for e in last.sampled for d in e.documents(store)]
    corpora = last.corpora()[0].load(store)
    model = counted([*corpora.take(TRAIN), *documents], 3, VOCABULARY, TOKENIZER.end)
    expected = [x.sum() for x in model.nats([d[:9] for d in corpora.take(TEST)])]
    np.testing.assert_allclose(result.arrays["nats_test"], expected)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"parts": ()}, "parts and sampled are both empty"),
        ({"parts": (part(weight=1.0),)}, "counts take each document once"),
        ({"evaluations": (Evaluation(name="a", part=part(*IDS)),) * 2}, "names in common"),
    ],
)
def test_a_run_that_says_nothing_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        counts(**change)
