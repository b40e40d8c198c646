"""Pools: sizes, shares and drops hold; held-out sets share no document with training; what is no
text, or another domain's, is in none."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cells import cell
from dataworth.errors import UserError
from dataworth.studies import text as study
from dataworth.studies.proxy_validity import ProxyValidity
from dataworth.studies.text_cost import Training, dry_run
from dataworth.text import clean, pools
from dataworth.text.models import MODELS
from dataworth.text.pools import CRAWL, DOMAINS, PILE, Pool, draw


class Made(SimpleNamespace):
    def of_domains(self, *names):
        rows = np.flatnonzero(np.isin(self.domains, names))
        return Made(
            texts=tuple(self.texts[r] for r in rows),
            ids=self.ids[rows],
            domains=self.domains[rows],
        )

    def __len__(self):
        return len(self.ids)


def corpus(card, split=None):
    """240 documents of 20 to 400 bytes; ids differ between cards and splits."""
    rng = np.random.default_rng(sorted(DOMAINS[d].card for d in DOMAINS).index(card))
    names = sorted({c for d in DOMAINS.values() if d.card == card for c in d.only} or {card})
    offset = {"train": 0, "validation": 10_000, "test": 20_000}[split]
    base = 100_000 * len(card) + ord(card[0]) * 1_000_000
    return Made(
        texts=tuple("né " * int(n) for n in rng.integers(5, 100, 240)),
        ids=np.arange(240) + base + offset,
        domains=np.array(names)[np.arange(240) % len(names)],
    )


@pytest.fixture
def cards(monkeypatch):
    monkeypatch.setattr("dataworth.data.load_corpus", corpus)
    monkeypatch.setattr("dataworth.studies.text.LEAST", 1)


def test_the_small_pile_has_the_piles_shares_and_no_document_twice(cards):
    pool = draw(PILE, 20_000)
    total = sum(PILE.values())
    assert pool.bytes == pytest.approx(20_000, rel=0.06)
    assert pool.bytes == sum(len(text.encode()) for text in pool.texts)
    for name, share in pool.shares().items():
        assert abs(share - PILE[name] / total) < 400 / 20_000
    assert len(set(pool.ids.tolist())) == len(pool)
    parts = pool.parts()
    assert sum(len(part.ids) for part in parts) == len(pool)
    assert {part.card for part in parts} == {d.card for d in DOMAINS.values()}


def test_a_smaller_pool_is_part_of_a_larger(cards):
    small, large = draw(CRAWL, 8_000), draw(CRAWL, 24_000)
    assert set(small.ids.tolist()) < set(large.ids.tolist())


def test_every_run_has_a_pool_of_sections_of_many_documents(cards):
    params = cell(ProxyValidity, pool_bytes=20_000, context=16)
    pools_ = [params.pile(run) for run in range(2)]
    whole = {i: text for name in DOMAINS for i, text in by_id(pools.whole_domain(name, "train"))}
    for pool in pools_:
        assert pool.bytes == pytest.approx(20_000, rel=0.06)
        for text, size, start, i in zip(pool.texts, pool.sizes, pool.starts, pool.ids, strict=True):
            assert len(text.encode()) == size < 3 * 6 * 16
            assert whole[i].encode()[start : start + size].decode() == text
        for name, share in pool.shares().items():
            # A section of each document before a second one of any.
            count = (pool.domains == name).sum()
            assert pool.documents()[name] == min(count, len(pools.whole_domain(name, "train")))
            assert abs(share - PILE[name] / sum(PILE.values())) < 0.01
        assert [text for part in pool.parts() for text in part.texts()] == [
            text
            for card in dict.fromkeys(pool.cards.tolist())
            for text, of in zip(pool.texts, pool.cards, strict=True)
            if of == card
        ]
    assert set(pools_[0].ids.tolist()) != set(pools_[1].ids.tolist())


def by_id(pool):
    return zip(pool.ids.tolist(), pool.texts, strict=True)


def test_too_few_documents_of_a_domain_are_refused(cards):
    with pytest.raises(UserError, match=r"8,000 bytes hold \d+ documents of (scraps|mail), and "):
        draw(CRAWL, 8_000, least=100)


def test_sections_are_disjoint_and_cover_every_document(cards):
    whole = pools.whole_domain("mail", "train")
    pool = whole.sections(60, 1.0, np.random.default_rng(0))
    assert pool.bytes == whole.bytes
    for i, text in by_id(whole):
        rows = np.flatnonzero(pool.ids == i)
        pieces = sorted((int(pool.starts[r]), pool.texts[r]) for r in rows)
        assert "".join(piece for _, piece in pieces) == text


def test_what_is_no_text_or_another_domains_is_in_no_pool(cards, monkeypatch):
    passage = "the quick brown fox jumps over the lazy dog while nobody looks on"
    words = {
        "first": [f"{passage} and more", "nothing in common with any other document of this set"],
        "second": [f"so it said {passage}", "a text of its own, with nothing from elsewhere in it"],
    }
    found = clean.overlapping(words)
    assert found["first"].tolist() == [False, False] and found["second"].tolist() == [True, False]
    assert clean.is_text(passage) and clean.is_text("It's 9 a.m., well-known to all: 'call me'!")
    base64 = "yNW12squ0ru97NbQufq5+rzKtefX08nosbihorXn19PUqsb3vP6horHtw+bM"
    assert not clean.is_text(f"Subject: x\n{base64}\n{base64}")
    assert not clean.is_text("http://a.example/1.html http://b.example/2.html see")
    before = pools.whole_domain("scraps", "train")
    lost = before.ids[:3]
    monkeypatch.setattr(pools, "overlaps", lambda card: lost if card == "nlp-corpus" else lost[:0])
    pools.whole_domain.cache_clear()
    assert set(pools.whole_domain("scraps", "train").ids) == set(before.ids) - set(lost)


def test_the_list_of_overlaps_is_of_the_cards_as_they_are():
    """Nearly all are sentences of speeches among the scraps; `bench/overlaps.py --check` makes the
    list again."""
    counts = {card: len(np.unique(clean.overlaps(card))) for card in clean.CARDS}
    assert counts["sotu"] == counts["python-code"] == 0 and 3000 < counts["nlp-corpus"] < 3500
    assert set(clean.CARDS) == {domain.card for domain in DOMAINS.values()}


def test_leaving_a_domain_out_keeps_all_others(cards):
    pool = draw(PILE, 20_000)
    left = pool.without("code")
    assert "code" not in left.shares()
    assert left.bytes == pool.bytes - pool.sizes[pool.domains == "code"].sum()
    with pytest.raises(UserError, match="no 'poems'; it has academic"):
        pool.without("poems")


sizes = st.lists(st.integers(1, 1000), min_size=2, max_size=40)


@given(sizes=sizes, share=st.floats(0.01, 1), seed=st.integers(0, 9))
def test_kept_bytes_are_as_near_as_whole_documents_allow(sizes, share, seed):
    pool = Pool(
        "train",
        np.full(len(sizes), "c"),
        np.full(len(sizes), "d"),
        np.arange(len(sizes)),
        np.array(sizes),
        tuple("x" * n for n in sizes),
        np.full(len(sizes), -1),
    )
    order = np.random.default_rng(seed).permutation(len(sizes))
    kept = pool.first(order, share)
    count = len(kept)
    assert count and set(kept.ids.tolist()) == set(order[:count].tolist())
    totals = np.cumsum(np.array(sizes)[order])
    nearest = np.abs(totals - share * sum(sizes)).min()
    assert abs(kept.bytes - share * sum(sizes)) == nearest
    assert abs(pool.random_drop(share, seed).bytes - share * sum(sizes)) <= max(sizes)
    scores = dict(enumerate(np.random.default_rng(seed).random(len(sizes)).tolist()))
    for high_first, sign in ((True, -1), (False, 1)):
        best = sorted(scores, key=lambda i: sign * scores[i])
        expected = pool.first(np.array(best), share).ids
        found = pool.select(share, by=scores, high_first=high_first)
        np.testing.assert_array_equal(found.ids, expected)


@pytest.mark.parametrize("share", [0, -0.1, 1.5, float("nan")])
def test_shares_beyond_the_pool_are_refused(cards, share):
    with pytest.raises(UserError, match=r"above 0, at most 1"):
        draw(CRAWL, 8_000).random_drop(share, 0)


def test_a_choice_of_nothing_is_refused(cards):
    pool = draw(CRAWL, 8_000)
    with pytest.raises(UserError, match="keeps no document"):
        pool.take(np.zeros(len(pool), dtype=bool))


def test_more_bytes_than_there_are_and_unknown_domains_are_refused(cards):
    with pytest.raises(UserError, match=r"pool_bytes: 90,000,000 bytes .* choose at most"):
        draw(PILE, 90_000_000)
    with pytest.raises(UserError, match="no domain 'poems'; they are scraps, code"):
        draw({"poems": 1.0}, 100)


def test_held_out_sets_hold_test_documents_up_to_the_asked_tokens(cards):
    params = cell(ProxyValidity, held_out_tokens=2_000)
    train = set(draw(PILE, 40_000).ids.tolist())
    for e in params.held_out():
        assert e.part.split == "test" and not train & set(e.part.ids)
        whole = pools.whole_domain(e.name, "test")
        chosen = np.isin(whole.ids, e.part.ids)
        tokens = np.minimum(whole.sizes[chosen] / study.BYTES_PER_TOKEN, e.max_tokens).sum()
        assert chosen.all() or 2_000 <= tokens < 2_000 + e.max_tokens


def test_equal_parameters_ask_for_equal_runs(cards, monkeypatch):
    monkeypatch.setattr(study, "TOKENIZER_BYTES", 4_000)
    one, other = cell(ProxyValidity, pool_bytes=20_000), cell(ProxyValidity, pool_bytes=20_000)
    assert one.language_model(one.pile(1), 1).key == other.language_model(other.pile(1), 1).key
    assert one.language_model(one.pile(1), 1).key != one.language_model(one.pile(1), 0).key
    assert one.language_model(one.pile(0), 0, model="lm-0.1m").model == MODELS["lm-0.1m"]


def test_parameters_that_cannot_run_are_refused(cards):
    with pytest.raises(ValueError, match=r"must be one of lm-0\.1m"):
        cell(ProxyValidity, model="lm-9b")
    with pytest.raises(UserError, match=r"at least one step of 4096 rows of 128"):
        cell(ProxyValidity, batch=4096).check()


def test_a_dry_run_adds_up_and_names_corpora():
    rows = dry_run(
        [Training("the Pile", "lm-1.5b", 2, 10**9), Training("C4", "lm-20m", 1, 10**8)],
        vocabulary=32_000,
        context=512,
        corpora=("pile", "c4"),
    )
    by_step = {str(row["step"]): row for row in rows}
    assert "monology/pile-uncopyrighted" in str(by_step["corpus pile"]["resolved"])
    # 6 operations per parameter and token, and attention: Chowdhery et al. 2022, appendix B.
    shape = MODELS["lm-1.5b"]
    flops = 2e9 * (6 * shape.parameters(32_000) + 12 * 30 * 32 * 64 * 512)
    (big,) = [row for step, row in by_step.items() if "2 language models on the Pile" in step]
    assert big["PFLOP"] == pytest.approx(flops / 1e15, rel=5e-3)
    parts = [float(str(row["PFLOP"])) for step, row in by_step.items() if step.startswith("train")]
    assert by_step["total"]["PFLOP"] == pytest.approx(sum(parts), rel=1e-2)
