"""Characteristics of texts: measures against closed forms and references, a study end to end."""

import ipaddress
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import spearmanr

from cells import cell
from dataworth import stats
from dataworth.data.text import Corpus
from dataworth.runs import execute
from dataworth.stats import weighted_median, weighted_spearman
from dataworth.studies.characteristics import MEASURES, Characteristics, DataCharacteristics, run
from dataworth.text import measures, pools, scores
from dataworth.text import scorers as registry
from dataworth.text.measures import (
    PII,
    CharacteristicsSpec,
    non_ascii,
    pii_counts,
    signs_of,
    type_token_ratio,
    windows,
)
from dataworth.text.tokens import TextPart

# ---- Measures of one text ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("mail a.b+c@foo-bar.co.uk, not x@y or a@b@", [1, 0, 0, 0]),
        ("(212) 555-1234, 212-555-1234, +44 20 7946 0958 and 1 800 555 1234.", [0, 4, 0, 0]),
        ("2001-09-11 at 10:00, 1914-1918, no. 5551234567, 12 345 678", [0, 0, 0, 0]),
        ("http://a.b/c, HTTPS://x.org. and www.y.com; awww.no", [0, 0, 3, 0]),
        ("10.0.0.1, 127.0.0.1. but 256.1.1.1, 1.2.3.4.5, v1.2.3.4", [0, 0, 0, 2]),
        ("", [0, 0, 0, 0]),
    ],
)
def test_personal_data_by_pattern(text, counts):
    assert pii_counts(text) == counts


@given(st.ip_addresses(v=4), st.sampled_from(["at {}.", "{}", "({}):80", "{}, {}"]))
def test_every_ip_address_is_found(address, frame):
    text = frame.replace("{}", str(address))
    found = [m.group() for m in PII["IP address"].finditer(text)]
    assert [ipaddress.ip_address(f) for f in found] == [address] * frame.count("{}")


def test_type_token_ratio_and_signs():
    assert type_token_ratio(["The", "cat", "saw", "the", "other", "cat"]) == 4 / 6
    assert non_ascii("naïve “東京”") == (5, 3) and non_ascii("plain") == (0, 0)
    assert signs_of(["a–b–c", "é", "plain"]) == [
        ("en dash", 2),
        ("latin small letter e with acute", 1),
    ]


def test_readability_is_the_index_as_published():
    """4.71 characters per word + 0.5 words per sentence - 21.43 (Senter and Smith 1967)."""
    text = "The cat sat on the mat today. It was warm."
    expected = 4.71 * (31 / 10) + 0.5 * (10 / 2) - 21.43
    got = measures.readability([text, "...", ""])
    # Signs of a sentence's end count as characters in some implementations.
    assert abs(got[0] - expected) <= 4.71 * 2 / 10 + 1e-9 and np.isnan(got[1:]).all()


def test_sentiment_has_the_right_sign():
    good, bad, none = measures.sentiment(["I love this!", "A horrible, sad failure.", "a table"])
    assert good > 0.5 and bad < -0.5 and none == 0


@given(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.integers(2, 9), st.integers(1, 40))
@settings(max_examples=150)
def test_windows_are_disjoint_and_fair(counts, size, total):
    rows = windows(counts, size, total, seed=3)
    possible = [n // size for n in counts]
    assert len(rows) == min(total, sum(possible))
    taken = np.bincount(rows[:, 0], minlength=len(counts))
    for document, first in rows.tolist():
        assert 0 <= first <= counts[document] - size
    same = rows[1:, 0] == rows[:-1, 0]
    assert (np.diff(rows[:, 1])[same] >= size).all()
    # No document gives a further window before all that can have given as many.
    most = taken.max(initial=0)
    assert all(t >= min(most - 1, p) for t, p in zip(taken, possible, strict=True))


# ---- Statistics -------------------------------------------------------------------------------


def test_weighted_statistics_are_those_of_repeated_elements():
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 6, 40), rng.normal(size=40).round(1)
    weights = rng.multinomial(40, np.full(40, 1 / 40), size=30)
    found, medians = weighted_spearman(x, y, weights), weighted_median(y, weights)
    for w, rho, median in zip(weights, found, medians, strict=True):
        again = np.repeat(np.arange(40), w)
        assert rho == pytest.approx(spearmanr(x[again], y[again])[0], abs=1e-12)
        assert median == np.sort(y[again])[(len(again) - 1) // 2]
    assert np.isnan(weighted_spearman(np.ones(5), np.arange(5), np.ones((1, 5)))).all()


def test_blocks_of_draws_change_nothing(monkeypatch):
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 20))
    weights = rng.integers(0, 3, size=(11, 20)) + 1
    whole = weighted_spearman(x, y, weights)
    monkeypatch.setattr(stats, "RANK_CHUNK", 45)
    np.testing.assert_array_equal(weighted_spearman(x, y, weights), whole)


# ---- A study of known values ------------------------------------------------------------------


def measured(quality, toxicity, document, n):
    """A stored run whose pieces have these scores; documents are alike."""
    ones = np.ones(n)
    pieces = {f"piece_{k}": quality for k in ("quality", "quality_without_domain")}
    return SimpleNamespace(
        arrays={
            "words": 100 * np.arange(1, n + 1),
            "characters": 500 * np.arange(1, n + 1),
            "non_ascii": np.arange(n),
            "non_ascii_letters": 0 * ones,
            "pii": np.ones((n, 4)),
            "readability": np.where(np.arange(n) == 0, np.nan, 8.0),
            "sentiment": 0.5 * ones,
            "quality": np.linspace(0, 1, n),
            "toxicity": np.linspace(1, 0, n),
            "bad-words": 0 * ones,
            "piece_document": document,
            "piece_ttr": quality,
            "piece_toxicity": toxicity,
            "piece_bad-words": (toxicity > 0.9).astype(float),
            "piece_quality_without_card": 0 * quality,
            **pieces,
        },
        metrics={"documents": n, "pieces": len(quality), "signs": [("en dash", 2)], "cards": []},
    )


@pytest.fixture
def known():
    rng = np.random.default_rng(0)
    runs = {}
    for i, name in enumerate(pools.DOMAINS):
        document = np.repeat(np.arange(12), 5)
        q = rng.uniform(size=60) * 0.5 + 0.05 * i
        sign = -1 if name == "mail" else 1
        runs[name] = measured(q, sign * q + (name == "books") + 1, document, 12)
    years = np.arange(1800, 1812)
    return Characteristics(
        cell(DataCharacteristics, resamples=200), runs, runs["government"], years
    )


def test_values_by_domain(known):
    words = known.by_domain("words")["scraps"]
    assert words.value == 600 and words.low < 600 < words.high
    assert known.by_domain("readability")["scraps"].value == 8.0  # NaN is left out
    per = known.by_domain("pii")["scraps"].value
    assert per == pytest.approx(12 * 4 / 7800 * 10_000)
    assert known.by_domain("non_ascii")["scraps"].value == pytest.approx(66 / 39_000 * 1000)
    mean = known.domains["scraps"].arrays["piece_ttr"].mean()
    assert known.by_domain("ttr")["scraps"].value == pytest.approx(mean)
    assert known.table().shape == (8, len(MEASURES))
    assert known.pii().loc["scraps"].tolist() == pytest.approx([12 / 7800 * 10_000] * 4)


def test_a_contrast_is_against_the_mean_of_the_others(known):
    found = {d: e.value for d, e in known.by_domain("toxicity").items()}
    others = np.mean([v for d, v in found.items() if d != "books"])
    e = known.contrast("books", "toxicity")
    assert e.value == pytest.approx(found["books"] - others) and e.low > 0


def test_a_contrast_over_positives_holds_both_scorers(known):
    own, card = (known.contrast("books", f"quality_without_{left}") for left in ("domain", "card"))
    e = known.over_positives("books")
    assert e.value == own.value and card.value == 0 < own.low
    assert e.interval == (card.low, own.high)


def test_speeches_of_one_author_go_together(known):
    """Two speeches a president that are alike: the interval is that of half as many speeches, and
    wider than with each alone."""
    rng = np.random.default_rng(4)
    each = np.repeat(rng.normal(size=6), 2)
    known.speeches.arrays["quality"] = each
    alone = known.trend("quality_documents")
    authors = {"sotu": np.repeat(list("abcdef"), 2)}
    together = replace(known, authors=authors).trend("quality_documents")
    assert together.value == alone.value
    assert together.high - together.low > 1.1 * (alone.high - alone.low)
    weights = replace(known, authors=authors)._speech_weights
    np.testing.assert_array_equal(weights[:, ::2], weights[:, 1::2])
    one = replace(known, authors={"sotu": np.full(12, "a")})
    assert one.trend("quality_documents").interval == alone.interval


def test_speeches_are_no_evidence_on_crawls(known):
    e = known.of_crawls("quality_documents")
    assert "no outcome of them could decide" in e.unmeasurable and e.value == pytest.approx(1)


def test_correlations_within_and_between(known):
    pieces = known.correlations["pieces"]
    assert pieces["scraps"].value == pytest.approx(1) and pieces["mail"].value == pytest.approx(-1)
    assert pieces["within"].value == pytest.approx(6 / 8)
    runs = known.domains.values()
    x = np.concatenate([r.arrays["piece_quality"] for r in runs])
    y = np.concatenate([r.arrays["piece_toxicity"] for r in runs])
    assert pieces["pooled"].value == pytest.approx(spearmanr(x, y)[0])
    means = [[r.arrays[f"piece_{k}"].mean() for r in runs] for k in ("quality", "toxicity")]
    assert pieces["between"].value == pytest.approx(spearmanr(*means)[0])
    assert known.correlations["documents"]["scraps"].value == pytest.approx(-1)


def test_what_is_not_scored_counts_nowhere(known):
    run = known.domains["scraps"].arrays
    full = {m: known.by_domain(m)["scraps"] for m in ("toxicity", "toxic_documents", "quality")}
    kept = np.arange(60) % 5 != 0
    run["piece_toxicity"] = np.where(kept, run["piece_toxicity"], np.nan)
    run["toxicity"] = np.where(np.arange(12) == 0, np.nan, run["toxicity"])  # one of two toxic ones
    found = {m: known.by_domain(m)["scraps"] for m in full}
    assert found["toxicity"].value == pytest.approx(run["piece_toxicity"][kept].mean())
    assert full["toxic_documents"].value == pytest.approx(2 / 12)
    assert found["toxic_documents"].value == pytest.approx(1 / 11)
    assert found["quality"].value == full["quality"].value
    assert known.correlations["pieces"]["scraps"].value == pytest.approx(1)
    for table in known.correlations.values():
        assert all(np.isfinite([e.value, e.low, e.high]).all() for e in table.values())
    table = known.agreement().set_index(["on", "first", "second"])
    assert table.n["pieces", "toxicity", "bad-words"] == 8 * 60 - 12
    assert table.n["documents", "toxicity", "low quality"] == 8 * 12 - 1
    assert table.kappa.notna().any()


def test_trends_and_decades(known):
    assert known.trend("quality_documents").value == pytest.approx(1)
    assert known.trend("toxic_documents").value < 0
    rows = known.speeches.arrays["readability"]  # its first is NaN
    rows[1:] = np.arange(11, 0, -1)
    assert known.trend("readability").value == pytest.approx(-1)
    table = known.by_decade("quality_documents")
    assert table.decade.tolist() == [1800, 1810] and table.speeches.tolist() == [10, 2]
    assert table.value[1] == pytest.approx((10 / 11 + 1) / 2)
    assert (table.low <= table.value).all() and (table.value <= table.high).all()


# ---- From end to end --------------------------------------------------------------------------


class Fixed:
    """A scorer that counts a letter; 1 for texts full of it."""

    def __init__(self, name, letter):
        self.name, self.letter = name, letter

    def score(self, texts):
        return np.array([text.count(self.letter) / max(len(text), 1) for text in texts])

    def card(self):
        return scores.ScoreCard(self.name, *["words"] * 7)


@pytest.fixture
def scorers(monkeypatch):
    """Scorers without data; `asked` holds what the quality scorer was fitted without."""
    asked = []

    def reference(card="", domains=()):
        asked.append((card, domains))
        return Fixed("quality", "a" if not card else "w")

    monkeypatch.setattr(measures, "reference_scorer", reference)
    made = {
        "quality": registry.Known(reference, "high"),
        "toxicity": registry.Known(lambda: Fixed("toxicity", "o"), "low"),
        "bad-words": registry.Known(lambda: Fixed("bad-words", "i"), "low"),
    }
    monkeypatch.setattr(registry, "SCORERS", made)
    return asked


def test_a_spec_measures_documents_and_pieces(tiny, scorers, store):
    part = TextPart(card="tiny", ids=tuple(tiny.ids[:10].tolist()))
    spec = CharacteristicsSpec(parts=(part,), pieces=12, piece_words=5, left_out=("brown", ("x",)))
    result = execute(spec, store)
    a, texts = result.arrays, tiny.texts[:10]
    assert a["words"].tolist() == [len(t.split()) for t in texts]
    np.testing.assert_array_equal(a["toxicity"], Fixed("", "o").score(texts))
    assert result.metrics["documents"] == 10
    assert len(a["piece_ttr"]) == result.metrics["pieces"] <= 12
    assert {("brown", ("x",)), ("brown", ())} < set(scorers)
    np.testing.assert_array_equal(
        a["piece_quality_without_card"], a["piece_quality_without_domain"]
    )
    assert (a["piece_quality_without_card"] != a["piece_quality"]).any()
    assert spec.key != spec.model_copy(update={"left_out": None}).key
    assert [card["name"] for card in result.metrics["cards"]] == [
        "quality",
        "toxicity",
        "bad-words",
    ]


class Everything(Corpus):
    """A corpus whose documents are of every domain."""

    def of_domains(self, *names):
        return self


def test_a_study_from_end_to_end(tiny, scorers, store, monkeypatch):
    n = len(tiny.texts)
    years = np.arange(1790, 1790 + n)
    corpus = Everything(tiny.texts, tiny.ids, tiny.domains, years, {}, "tiny")
    monkeypatch.setattr("dataworth.data.load_corpus", lambda card, split=None: corpus)
    small = cell(DataCharacteristics, documents=20, pieces=20, piece_words=5, resamples=100)
    study = run(small, store)
    monkeypatch.setattr("dataworth.runs.engine.execute", None)
    again = run(small, store)
    assert list(study.domains) == list(pools.DOMAINS)
    assert study.sizes()["among the positives"].tolist().count("yes") == 4
    assert study.table().notna().all().all()
    assert len(study.agreement()) == 6 and len(study.cards()) == 3
    assert "speeches" in study.signs().index
    assert study.summary().runs.tolist()[1] == 1
    assert {name: len(who) for name, who in study.authors.items()} == {
        "sotu": n, **{name: len(run.arrays["words"]) for name, run in study.domains.items()}
    }  # fmt: skip
    kept, label = study.cell_means()["domains"], MEASURES["toxicity"].label
    assert kept["toxicity"] == pytest.approx(study.table()[label].tolist(), rel=1e-6)
    assert study.trend("quality").draws.tolist() == again.trend("quality").draws.tolist()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"toxicity_scorers": ("nobody",)}, "holds 'nobody'; known are toxicity, detoxify"),
        ({"toxicity_scorers": ("toxicity",)}, "must hold 'bad-words'"),
        ({"toxicity_scorers": ("quality",)}, "holds 'quality'"),
        ({"documents": 1}, "greater than or equal to 2"),
        ({"piece_words": 0}, "greater than or equal to 5"),
    ],
)
def test_a_bad_parameter_is_one_sentence(change, words):
    with pytest.raises(ValidationError) as caught:
        cell(DataCharacteristics, **change)
    assert words in caught.value.errors()[0]["msg"]
