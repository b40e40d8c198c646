"""Synthetic text: what arms hold, pools that share nothing, estimates by hand."""

import itertools

import numpy as np
import pytest
from pydantic import ValidationError
from tiny_corpus import VOCABULARY

from cells import cell
from dataworth.data import Corpus
from dataworth.errors import UserError
from dataworth.studies import synthetic_text, text
from dataworth.studies.synthetic_text import REAL, RETRIEVED, SYNTHETIC, SyntheticText, mixed, run
from dataworth.text.count_models import sources


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"factors": (4, 2, 8, 64)}, "factors must rise"),
        ({"other_factors": (2, 5)}, "other_factors holds 5, which factors lacks"),
        ({"generator_tokens": 100_000}, "it must be one of the sizes of the main arms, 16,000"),
        ({"generator": "gpt-5"}, "must be one of unigram, bigram, trigram"),
        ({"other_generators": ("lm-2m",)}, "must be one of unigram, bigram, trigram"),
    ],
)
def test_a_bad_parameter_is_one_sentence(change, words):
    with pytest.raises(ValidationError) as caught:
        cell(SyntheticText, **change)
    message = caught.value.errors()[0]["msg"]
    assert words in message and "\n" not in message


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
    part = synthetic_text.TextPart(card="rfc", split="train", ids=ids)
    monkeypatch.setattr(text, "_tokenizer_parts", lambda *_: (part,))
    return whole


def small(**changes):
    settings = {
        "base_tokens": 200,
        "factors": (1, 2, 4, 8),
        "other_factors": (2, 4),
        "generator_tokens": 400,
        "generations": 2,
        "held_out_documents": 20,
        "document_tokens": 50,
        "vocabulary": VOCABULARY,
        "seeds": 2,
        "resamples": 100,
    }
    return SyntheticText.model_construct(**(cell(SyntheticText).model_dump() | settings | changes))


def test_pools_share_no_document_and_hold_enough(memos):
    params = small()
    size = dict(zip(memos.ids.tolist(), [len(t.encode()) for t in memos.texts], strict=True))
    (held,) = params.held_out()
    for number in range(2):
        a, b = params.pools(number)
        assert not set(a.ids) & set(b.ids)
        assert not set(held.part.ids) & {*a.ids, *b.ids}
        assert sum(size[i] for i in a.ids) >= 5 * 400
        assert sum(size[i] for i in b.ids) >= 5 * 1600
    assert params.pools(0) != params.pools(1)
    with pytest.raises(UserError, match="Choose smaller factors or base_tokens"):
        small(factors=(1, 2, 4, 80)).pools(0)


def test_arms_hold_as_many_tokens_as_they_say(memos):
    params = small()
    arms = params.arms()
    a, b = params.pools(1)
    for arm, rows in arms.items():
        for n, (_, spec) in rows.items():
            made = sum(e.tokens for e in spec.sampled)
            assert made + (spec.tokens or 0) == n
            assert spec.parts == ({RETRIEVED: (a,)}.get(arm, (b,)) if spec.tokens else ())
    assert list(arms[RETRIEVED]) == [200, 400]
    assert [e.tokens for e in arms[mixed(0.33)][800][0].sampled] == [264]
    lines = params.lineages()
    last = lines["accumulate"][2][0]
    assert last.tokens == 400 and [e.tokens for e in last.sampled] == [400, 400]
    assert lines["replace"][2][0].parts == () and len(lines["replace"][2][0].sampled) == 1
    assert max(depth for depth, _ in sources(last)) == 1
    assert lines["replace"][0] == lines["accumulate"][0]
    texts = [spec for depth, spec in sources(last)]
    assert len({t.seed for t in texts}) == 2  # no generation writes with another's random numbers


def test_a_study_from_end_to_end(memos, store):
    study = run(small(), store)
    p = study.params
    nats = [
        r.arrays["nats_test"].sum() / r.arrays["tokens_test"].sum() for r in study.arms[REAL][800]
    ]
    assert study.at(REAL, 800).value == pytest.approx(np.mean(nats))
    assert study.over_retrieval().value == pytest.approx(
        study.at(SYNTHETIC, 1600).value - study.at(RETRIEVED, 400).value
    )
    kept = study.cell_means()["counts"]  # what a ledger keeps says the same
    rows = [i for i, at in enumerate(kept["at"]) if at[:2] == [REAL, 800]]
    assert np.mean([kept["loss_test"][i] for i in rows]) == pytest.approx(np.mean(nats), rel=1e-6)
    losses = {0.0: study.at(REAL, 1600), **{100 * s: study.at(mixed(s), 1600) for s in p.shares},
              100.0: study.at(SYNTHETIC, 1600)}  # fmt: skip
    best = min(losses, key=lambda share: losses[share].value)
    assert study.best_share().value == best
    first, last = (
        np.mean([r.metrics["loss_test"] for r in study.lineages["replace"][g]]) for g in (0, 2)
    )
    assert study.rise("replace").value == pytest.approx(last - first, rel=1e-6)
    assert study.generations["replace"].sizes.tolist() == [1, 2, 3]
    worth = study.worth().at(400)
    assert worth.value > 0 and worth.low <= worth.high
    for a, b in itertools.pairwise(study.curves[REAL].means):
        assert b < a  # more real text of one kind is better
    assert study.table().shape == (len(study.arms), 4)
