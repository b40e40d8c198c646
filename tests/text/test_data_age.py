"""Data age: which speeches an arm holds, degradation on known laws, a study from end to end."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats
from tiny_corpus import TINY, VOCABULARY

from cells import cell
from dataworth.data import Corpus
from dataworth.errors import UserError
from dataworth.studies import age_arms
from dataworth.studies import text as study
from dataworth.studies.age_arms import RECENT, UP_TO, Timeline
from dataworth.studies.data_age import Aged, DataAge, run
from dataworth.text.models import MODELS
from dataworth.text.temporal import (
    Losses,
    ageing,
    crossing,
    degradation,
    losses_by_era,
    per_evaluation,
    rearranged,
    rising,
    slopes,
)

YEARS = np.array([1825.0, 1880.0, 1920.0, 1960.0, 2000.0])


def law(rate_newer, rate_older, trained=YEARS, evaluated=YEARS):
    """Losses that rise by a rate per year of distance, on eras of unequal difficulty."""
    gap = evaluated - trained[:, None]
    difficulty = np.array([2.0, 2.4, 1.9, 2.2, 2.6])[: len(evaluated)]
    return difficulty + np.where(gap > 0, rate_newer, rate_older) * np.abs(gap)


def exact(value, count=5):
    return Losses(value, np.repeat(value[None], count, 0))


# --- Parameters --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"era_starts": (1790, 1900, 1860)}, "era_starts must rise"),
        ({"era_starts": (1790, 1900)}, "at least 3 items"),
        ({"last_year": 1970}, "last_year must come after"),
        ({"second_starts": (1790, 1900, 1860)}, "second_starts must rise"),
        ({"second_last": 1970}, "second_last must come after the last of second_starts"),
        ({"party_starts": (1970, 1920)}, "party_starts must rise"),
        ({"decoder_eras": 30}, "decoder_eras is 30; era_starts has 8"),
        ({"second_card": "rfc"}, "card and second_card are both 'rfc'"),
        ({"second_model": "gpt-5"}, "must be one of lm-"),
        ({"steps": (40, 20)}, "must be above 0 and rising"),
        ({"margins": (0.0, 0.1)}, "must be above 0 and rising"),
    ],
)
def test_a_bad_parameter_is_one_sentence(change, words):
    with pytest.raises(ValidationError) as caught:
        cell(DataAge, **change)
    message = caught.value.errors()[0]["msg"]
    assert words in message and "\n" not in message


def test_eras_fill_the_years_without_a_gap():
    params = cell(DataAge)
    for line, first, last in zip(params.lines, (1991, 1790), (2022, 2021), strict=True):
        years = [year for a, b in line.eras for year in range(a, b + 1)]
        assert years == list(range(first, last + 1))
    main, second = params.lines
    assert second.names[1] == "1860-1919" and second.middles[1] == 1889.5
    assert second.cutoffs == (1859, 1919, 1969, 2021)  # the ends of its eras
    assert main.cutoffs == tuple(range(1994, 2023, 2))
    assert {last - first for first, last in main.recent} == {3}
    assert params.decoded == (0, 7)


# --- Slopes, against scipy and closed forms ----------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 30))
def test_slopes_are_those_of_scipy(seed, n):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=n), rng.normal(size=(4, n))
    expected = [stats.linregress(x, line).slope for line in y]
    np.testing.assert_allclose(slopes(x, y), expected, rtol=1e-9)


def test_degradation_is_scipys_regression_of_centred_losses():
    rng = np.random.default_rng(3)
    value = law(0.002, 0.001) + rng.normal(size=(5, 5)) * 0.05
    found = degradation(exact(value), YEARS, YEARS)
    x, y = [], []
    for e, p in itertools.product(range(5), range(5)):  # cell by cell, as the definition reads
        x.append(abs(YEARS[e] - YEARS[p]))
        y.append(value[p, e] - value[:, e].mean())
    expected = stats.linregress(x, y, alternative="greater")
    assert found.per_year.value == pytest.approx(expected.slope)
    assert found.r == pytest.approx(expected.rvalue)
    assert found.p == pytest.approx(expected.pvalue)
    np.testing.assert_allclose(found.per_year.draws, expected.slope)


@pytest.mark.parametrize(("side", "own"), [("newer", True), ("older", True), ("both", False)])
def test_parts_of_the_cells_are_regressed_with_a_constant_per_evaluation_era(side, own):
    value = law(0.002, 0.001) + np.random.default_rng(4).normal(size=(5, 5)) * 0.05
    gap = YEARS - YEARS[:, None]
    keep = {"newer": gap >= 0, "older": gap <= 0, "both": gap == gap}[side] & (own | (gap != 0))
    rows, target = [], []
    for p, e in zip(*np.nonzero(keep), strict=True):
        rows.append([abs(gap[p, e]), *(np.arange(5) == e)])
        target.append(value[p, e])
    expected = np.linalg.lstsq(np.array(rows, dtype=float), np.array(target))[0][0]
    found = degradation(exact(value), YEARS, YEARS, side=side, own=own)
    assert found.per_year.value == pytest.approx(expected)
    np.testing.assert_allclose(found.per_year.draws, expected)


@pytest.mark.parametrize("rates", [(0.002, 0.002), (0.002, 0.001), (0.0, 0.003)])
def test_each_side_has_its_own_rate(rates):
    losses = exact(law(*rates))
    for side, rate in zip(("newer", "older"), rates, strict=True):
        found = degradation(losses, YEARS, YEARS, side=side).per_year.value
        assert found == pytest.approx(rate, abs=1e-12)


def test_without_the_own_era_the_diagonal_does_not_count():
    value = law(0.0, 0.0)
    value[np.diag_indices(5)] -= 0.3  # what speeches of one president have in common
    assert degradation(exact(value), YEARS, YEARS).per_year.value > 0.0005
    without = degradation(exact(value), YEARS, YEARS, own=False)
    assert without.per_year.value == pytest.approx(0, abs=1e-12)


def test_further_axes_are_further_cells():
    value = np.stack([law(0.002, 0.001), law(0.001, 0.003)], 1)  # (P, 2, E)
    found = degradation(exact(value), YEARS, YEARS).per_year.value
    each = [degradation(exact(value[:, f]), YEARS, YEARS).per_year.value for f in range(2)]
    assert found == pytest.approx(np.mean(each))


def test_random_dates_have_no_slope():
    """The same text at every training time: no slope by either definition."""
    value = np.repeat(law(0.002, 0.001)[[2]], 5, 0)
    assert degradation(exact(value), YEARS, YEARS).per_year.value == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(per_evaluation(value, YEARS), 0, atol=1e-12)


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.004])
def test_per_evaluation_finds_the_rate_of_a_linear_law(rate):
    """With D = rate * (t' - t) on both sides, D is a line with that slope for every t."""
    value = law(rate, rate)
    np.testing.assert_allclose(per_evaluation(value, YEARS), rate, atol=1e-12)
    both = np.stack([value, value + np.arange(5)])  # difficulty does not matter
    np.testing.assert_allclose(per_evaluation(both, YEARS), rate, atol=1e-12)


def test_per_evaluation_by_hand():
    value = np.array([[1.0, 1.2, 1.5], [1.3, 1.0, 1.1], [1.4, 1.2, 1.0]])
    when = [2000, 2010, 2020]
    expected = []
    for t in range(3):
        signed = [(value[s, t] - value[t, t]) * np.sign(when[s] - when[t]) for s in range(3)]
        expected.append(abs(np.polyfit(when, signed, 1)[0]))
    np.testing.assert_allclose(per_evaluation(value, when), expected)


def test_exchanged_training_times():
    found, p = rearranged(exact(law(0.002, 0.001)), YEARS)
    assert len(found) == 120 and p == pytest.approx(1 / 120)
    assert found[0] == pytest.approx(
        degradation(exact(law(0.002, 0.001)), YEARS, YEARS).per_year.value
    )
    assert found.mean() < 0.2 * found[0]
    assert rearranged(exact(np.repeat(law(0, 0)[[0]], 5, 0)), YEARS)[1] == 1


def test_more_than_seven_times_are_exchanged_at_random():
    years = np.arange(1990.0, 2022.0, 4)
    value = 2 + 0.002 * np.abs(years - years[:, None])
    found, p = rearranged(exact(value), years)
    assert len(found) == 2000 and p == pytest.approx(1 / 2000)
    assert found[0] == pytest.approx(degradation(exact(value), years, years).per_year.value)


def test_only_near_cells_count():
    """A law that rises for twenty years and is flat afterwards has the rise's slope within them."""
    years = np.arange(1960.0, 2020.0, 10)
    gap = np.abs(years - years[:, None])
    value = 2 + 0.003 * np.minimum(gap, 20) + np.arange(6)
    near = degradation(exact(value), years, years, within=20).per_year.value
    assert near == pytest.approx(0.003)
    assert degradation(exact(value), years, years).per_year.value < 0.002


# --- Losses by era -----------------------------------------------------------------------------


def test_losses_are_means_over_documents_weighted_by_size():
    rng = np.random.default_rng(0)
    nats, sizes = rng.gamma(5, size=(3, 2, 12)), rng.integers(50, 200, 12)
    eras = np.repeat([0, 1, 2], 4)
    found = losses_by_era(nats, sizes, eras, resamples=300)
    for p, e in itertools.product(range(3), range(3)):
        rows = eras == e
        expected = np.mean([nats[p, s, rows].sum() / sizes[rows].sum() for s in range(2)])
        assert found.value[p, e] == pytest.approx(expected)
    assert found.draws.shape == (300, 3, 3)
    np.testing.assert_allclose(np.median(found.draws, 0), found.value, rtol=0.15)
    centred = found.centred()
    np.testing.assert_allclose(centred.value.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(centred.draws.mean(1), 0, atol=1e-12)


def test_the_spread_of_draws_is_the_standard_error():
    """Equal sizes, no difference between seeds: the standard error of a mean of N documents."""
    rng = np.random.default_rng(1)
    line = rng.normal(2, 0.3, size=40)
    nats = np.stack([line, line])[None]
    found = losses_by_era(nats, np.ones(40), np.zeros(40, int), resamples=4000)
    half = stats.t.ppf(0.75, 39) * line.std(ddof=1) / np.sqrt(40)
    assert np.quantile(found.draws, 0.75) - found.value == pytest.approx(half, rel=0.1)
    seeds = np.stack([np.full(40, 1.0), np.full(40, 1.2)])[None]  # and seeds alone
    found = losses_by_era(seeds, np.ones(40), np.zeros(40, int), resamples=4000)
    half = stats.t.ppf(0.75, 1) * 0.2 / np.sqrt(2) / np.sqrt(2)
    assert np.quantile(found.draws, 0.75) - found.value == pytest.approx(half, rel=0.1)


def test_paired_arms_share_their_documents():
    rng = np.random.default_rng(2)
    nats = rng.gamma(5, size=(1, 2, 30))
    both = np.concatenate([nats, nats + 0.5])
    found = losses_by_era(both, np.ones(30), np.zeros(30, int), resamples=100)
    np.testing.assert_allclose(found.draws[:, 1] - found.draws[:, 0], 0.5)


def test_an_era_without_documents_is_refused():
    with pytest.raises(UserError, match="no document is of era 1"):
        losses_by_era(np.ones((1, 1, 2)), np.ones(2), np.array([0, 2]))


# --- When old text begins to hurt --------------------------------------------------------------


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_rising_fit_is_isotonic_regression(seed):
    rng = np.random.default_rng(seed)
    ages = np.sort(rng.choice(np.arange(1, 200), 25, replace=False)).astype(float)
    excess = 0.001 * ages + rng.normal(size=25) * 0.05
    weights = rng.integers(0, 4, 25).astype(float)
    weights[0] = 1
    grid = np.linspace(0, 200, 101)
    found = rising(ages, excess, weights, grid)
    assert found[0] == 0 and (np.diff(found) >= -1e-12).all()
    # The fit in closed form: the largest of the smallest means of all stretches around a point.
    used, w = excess[weights > 0], weights[weights > 0]
    cells = range(len(used))
    mean = {
        (i, j): np.average(used[i : j + 1], weights=w[i : j + 1])
        for i in cells
        for j in cells
        if i <= j
    }
    expected = [
        max(min(mean[a, b] for b in cells if b >= i) for a in cells if a <= i) for i in cells
    ]
    assert found[-1] == pytest.approx(max(expected[-1], 0))
    steps = np.maximum(expected, 0)
    assert found.max() == pytest.approx(steps.max())
    dense = rising(ages, excess, weights, ages[weights > 0])
    assert np.average(dense, weights=w) == pytest.approx(np.average(steps, weights=w), abs=0.02)


def test_a_rising_law_is_found_again():
    ages = np.arange(1.0, 151)
    excess = 0.02 * np.sqrt(ages)
    grid = np.linspace(0, 150, 1501)
    curve = rising(ages, excess, np.ones(150), grid)
    np.testing.assert_allclose(curve[10:], 0.02 * np.sqrt(grid[10:]), rtol=2e-2)
    assert crossing(grid, curve[None], 0.1)[0] == pytest.approx(25, abs=0.2)
    assert np.isinf(crossing(grid, curve[None], 0.9)[0])


def test_the_age_at_which_a_margin_is_reached():
    """A year between two cut-offs costs 0.1 %: 6 % after 60 years, 90 % never. What an arm does on
    documents of its own years and of earlier ones, which its text knows, does not matter."""
    cutoffs = np.array([1849, 1899, 1949, 1999])
    years = np.arange(1800, 2000, 5)
    newest = np.searchsorted(cutoffs, years) - 1
    rng = np.random.default_rng(0)
    base = rng.gamma(50, size=len(years))
    age = np.maximum(cutoffs[np.maximum(newest, 0)] - cutoffs[:, None], 0)
    before = np.arange(4)[:, None] <= newest
    loss = np.where(before, 1 + 0.001 * age, rng.gamma(2, size=(4, 40)))
    nats = np.repeat((base * loss)[:, None], 2, 1)
    found = ageing(nats, cutoffs.tolist(), years, years // 20, 100, 0)
    assert set(found.ages) == {50, 100} and len(found.ages) == 10 + 2 * 10
    np.testing.assert_allclose(found.excess, 0.001 * found.ages)
    e = found.reaches(0.06)
    assert e.value == pytest.approx(60, abs=1) and e.low <= 60.5 and e.high >= 59.5
    never = found.reaches(0.9)
    assert np.isinf(never.value) and np.isinf(never.high)
    with pytest.raises(UserError, match="no document has two training sets from before its year"):
        ageing(nats[:2], [1849, 1899], np.minimum(years, 1899), years, 100, 0)


def test_text_of_a_document_s_own_year_is_no_reference():
    """An arm that ends with the year of a document knows its future: it is neither reference nor
    one of the older ones."""
    nats = np.ones((3, 1, 4)) * np.array([1.2, 1.0, 0.1])[:, None, None]
    found = ageing(nats, [2000, 2001, 2002], np.full(4, 2002), np.arange(4), 10, 0)
    assert set(found.ages) == {1}
    np.testing.assert_allclose(found.excess, 0.2)


# --- From end to end ---------------------------------------------------------------------------

WORDS = {
    1: "ship sail whale salt port",
    2: "rail coal iron steam mill",
    3: "chip code data web net",
}


def speeches():
    """Nine years of each of three eras and, in each, presidents of two parties; words change."""
    rng = np.random.default_rng(0)
    texts, years, parties, names = [], [], [], []
    for era, words in WORDS.items():
        for i in range(24):
            party = ("Republican", "Democratic")[i % 2]
            words_of = [*words.split(), party.lower(), "fellow", "citizens"]
            texts.append(f"{era}.{i} " + " ".join(rng.choice(words_of, 60)))
            years.append(1900 + 10 * era + i % 10)
            parties.append(party)
            names.append(f"{party} {era} {i % 4}")
    ids = np.arange(len(texts)) * 3 + 11
    return Corpus(
        tuple(texts), ids, np.full(len(texts), "speech"), np.array(years),
        {"party": np.array(parties), "president": np.array(names)}, "sotu",
    )  # fmt: skip


@pytest.fixture
def sotu(monkeypatch):
    whole = speeches()
    rows = np.arange(len(whole)) // 2 % 6
    rows = np.where(rows < 4, 0, rows - 3)  # of every six: four, one, one
    splits = {name: np.flatnonzero(rows == i) for i, name in enumerate(
        ("train", "validation", "test"))}  # fmt: skip

    def load_corpus(card, split=None, **_):
        return whole if split is None else whole.take(splits[split])

    monkeypatch.setattr("dataworth.data.load_corpus", load_corpus)
    monkeypatch.setitem(MODELS, "lm-0.1m", TINY)
    monkeypatch.setitem(MODELS, "lm-0.4m", TINY)
    part = age_arms.TextPart(card="sotu", split="train", ids=tuple(
        load_corpus("sotu", "train").ids.tolist()))  # fmt: skip
    monkeypatch.setattr(study, "_tokenizer_parts", lambda *_: (part,))
    return SimpleNamespace(load=load_corpus, whole=whole)


def small(**changes):
    settings = {
        "era_starts": (1910, 1920, 1930),
        "last_year": 1939,
        "cut_every": 5,
        "second_starts": (1910, 1920, 1930),
        "second_last": 1939,
        "party_starts": (1920, 1930),
        "party_last": 1939,
        "seeds": 2,
        "draws": 2,
        "decoder_eras": 2,
        "held_out_documents": 6,
        "model": "lm-0.1m",
        "second_model": "lm-0.4m",
        "vocabulary": VOCABULARY,
        "age_bytes": 2600,
        "age_tokens": 4096,
        "batch": 8,
        "context": 16,
        "document_tokens": 60,
        "steps": (2, 4),
        "windows": 1,
        "resamples": 100,
    }
    # The tiny corpus holds less text than any real chapter may ask for.
    return DataAge.model_construct(**(cell(DataAge).model_dump() | settings | changes))


def test_arms_hold_documents_of_their_years_and_equal_text(sotu):
    params = small()
    year = dict(zip(sotu.whole.ids.tolist(), sotu.whole.years.tolist(), strict=True))
    size = dict(
        zip(sotu.whole.ids.tolist(), [len(t.encode()) for t in sotu.whole.texts], strict=True)
    )
    train = set(sotu.load("sotu", "train").ids.tolist())
    line = params.lines[0]
    arms = params.counts(line)
    for arm, spans in line.spans().items():
        for (first, last, _), row in zip(spans, arms[arm], strict=True):
            for spec in row:
                ids = spec.parts[0].ids
                assert all(first <= year[i] <= last for i in ids) and set(ids) <= train
                assert 0.85 * 2600 <= sum(size[i] for i in ids) <= 2600
    assert arms["slices"][0] == arms["snapshots"][0]  # nothing is counted twice
    assert arms["snapshots"][-1] == arms["random dates"][0]
    assert len({arms["random dates"][draw][0].parts for draw in range(3)}) == 3
    assert arms["slices"][0][0].parts != arms["slices"][0][1].parts  # a pool of its own
    assert [arms[name][0][0].order for name in ("unigram", "bigram", "slices")] == [1, 2, 3]
    second = params.lines[1]  # without cut-offs of its own, the arms of old text are the eras'
    counts = params.counts(second)
    assert counts[RECENT] == counts["slices"] and counts[UP_TO] == counts["snapshots"]
    decoders = params.decoders()
    for rows in decoders.values():
        assert [row[0].parts for row in rows] == [arms["slices"][e][0].parts for e in (0, 2)]
    trained = [s for rows in decoders.values() for row in rows for s in row]
    trained += [s for row in params.starts().values() for s in row]
    assert len(trained) == sum(t.runs for t in params.trainings())


def test_held_out_documents_are_as_many_as_asked_for(sotu):
    params = small()
    found = params.documents_of(params.lines[0])
    eras = params.lines[0].era_of(found.years)
    assert np.bincount(eras).tolist() == [6, 6, 6]
    named = [i for e in found.evaluations for i in e.part.ids]
    assert named == found.ids.tolist()
    who = dict(zip(sotu.whole.ids.tolist(), sotu.whole.labels["president"], strict=True))
    assert [who[i] for i in named] == found.authors.tolist()


def test_too_little_text_is_one_sentence(sotu):
    with pytest.raises(UserError, match="documents of rfc of 1910 to 1919 fill") as caught:
        DataAge.preflight(small(age_bytes=100_000))
    assert "\n" not in str(caught.value)
    undated = Corpus(("a",), np.array([1]), np.array(["x"]), np.array([-1]), {}, "mails")
    with pytest.raises(UserError, match="have no date"):
        undated.dated()


def test_halves_part_presidents_and_keep_both_parties(sotu):
    params = small()
    task = params.task
    halves = task.halves()
    assert set(halves.values()) == {0, 1}
    president = dict(
        zip(sotu.whole.ids.tolist(), sotu.whole.labels["president"].tolist(), strict=True)
    )
    for era in range(2):
        told = [{president[i] for i in task.speeches("train", era, half)} for half in range(2)]
        assert told[0] and told[1] and not told[0] & told[1]
    with pytest.raises(UserError, match="no document whose party"):
        small(party_starts=(1910, 1920)).task.speeches("train", 0, 7)


def test_a_study_from_end_to_end(sotu, store, monkeypatch):
    params = small(seeds=1, steps=(2,), age_tokens=1024)
    found = run(params, store)
    aged, second = found.main, found.second
    assert {arm: len(rows) for arm, rows in aged.counts.items()} == {
        "slices": 3, "snapshots": 3, "random dates": 3, RECENT: 5, UP_TO: 5, "unigram": 3,
        "bigram": 3,
    }  # fmt: skip
    assert aged.matrix("slices").shape == (3, 3)
    np.testing.assert_allclose(aged.matrix("slices").mean(), 0, atol=1e-12)
    raw = aged.matrix("slices", centred=False)
    nats, sizes = aged.nats("slices")
    own = aged.eras == 1
    expected = nats[2][:, own].sum(1).mean() / sizes[own].sum() / np.log(2)
    assert raw.iloc[2, 1] == pytest.approx(expected)
    table = aged.degradations()
    assert len(table) == 3 * 6 and (table.low <= table.high).all()
    assert aged.near("slices").value == pytest.approx(aged.per_decade("slices", within=12).value)
    apart = Timeline("rfc", (1900, 1920, 1940), 1959)
    assert (
        "No two eras of rfc lie within 12 years" in replace(aged, line=apart).near("x").unmeasurable
    )
    tests = aged.exchanged()
    assert 0 < tests.p["slices"] <= 1
    for arm, (low, high) in tests.spread.items():
        assert low <= high and tests.slope[arm] == pytest.approx(aged.per_decade(arm).value)
    assert np.isfinite(aged.random_excess().value)
    fit, ages = aged.excess(RECENT), aged.reaches(params.margins)
    assert len(fit) == 40 and (fit.low <= fit.high).all() and (np.diff(fit.excess) >= 0).all()
    assert ages.shape == (2, len(params.margins))
    assert ages[params.margins[0]][RECENT].value <= ages[params.margins[-1]][RECENT].value
    for side, sign in (("newer", 1), ("older", -1)):  # a regression line holds the mean
        gap, loss = aged.cells("slices").to_numpy().T
        line = np.polyfit(*aged.ends("slices", side), 1)
        here = sign * gap >= 0
        assert np.polyval(line, gap[here].mean()) == pytest.approx(loss[here].mean())
        slope = aged.degradation("slices", side=side).per_year.value
        assert sign * line[0] == pytest.approx(slope)
    table = aged.references()
    assert (
        list(table.index) == aged.models == ["unigram", "bigram", "trigram", "lm-0.1m", "lm-0.4m"]
    )
    one, _, three = (e.value for e in table.own[:3])
    assert three < one  # words follow from others in these documents
    by_hand = np.mean([aged.losses("slices").value[e, e] for e in (0, 2)])
    assert three == pytest.approx(by_hand)
    assert aged.beyond_counts().value == pytest.approx(three - table.own["lm-0.1m"].value)
    assert second.models == ["unigram", "bigram", "trigram"]
    assert second.own("trigram").value == pytest.approx(
        np.diagonal(second.losses("slices").value).mean()
    )

    # From what a ledger keeps of the runs alone: the slope, by scipy.
    kept = found.cell_means()["counts, rfc"]
    rows = [i for i, at in enumerate(kept["at"]) if at[0] == "slices"]
    each = np.array([[kept[f"bits per byte, {name}"][i] for name in aged.line.names] for i in rows])
    each = each.reshape(3, 2, 3).mean(1)  # (P, E): two pools
    gap = np.abs(np.subtract.outer(*[aged.line.middles] * 2)).ravel()
    slope = stats.linregress(gap, (each - each.mean(0)).ravel()).slope
    assert 10 * slope == pytest.approx(aged.per_decade("slices").value, rel=1e-4)

    # The cube: by hand, one cell of presidents that fine-tuning did not see.
    losses = found.cube.losses(2)
    assert losses.value.shape == (3, 2, 2)
    cell = found.tuned[2, "random dates"][1]
    halves, total = params.task.halves(), []
    names = dict(zip(sotu.whole.ids.tolist(), sotu.whole.labels["president"], strict=True))
    year = dict(zip(sotu.whole.ids.tolist(), sotu.whole.years.tolist(), strict=True))
    for fold in range(2):
        arrays = cell[fold].arrays
        for split in ("validation", "test"):
            logits = arrays[f"logits_{split}"].astype(float)
            loss = -np.log(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
            for i, line, truth in zip(
                arrays[f"ids_{split}"].tolist(), loss, arrays[f"labels_{split}"], strict=True
            ):
                if halves[str(names[i])] != fold and year[i] < 1930:
                    total.append(line[truth])
    assert losses.value[2, 1, 0] == pytest.approx(np.mean(total), rel=1e-5)
    assert len(found.cube.degradations()) == 2 * 4
    accuracy = found.cube.accuracy(2)
    assert accuracy.shape == (3, 2) and accuracy.stack().between(0, 1).all()
    level, wrong = found.cube.level(2), []  # by hand: each era and party alike
    for start in (*params.task.names, "random dates"):
        for era, (first, last) in enumerate(params.task.eras):
            kept = {0: [], 1: []}
            for fold, result in enumerate(found.tuned[2, start][era]):
                for split in ("validation", "test"):
                    a = result.arrays
                    picked, truth = a[f"logits_{split}"].argmax(1), a[f"labels_{split}"]
                    for i, p, t in zip(a[f"ids_{split}"].tolist(), picked, truth, strict=True):
                        if halves[str(names[i])] != fold and first <= year[i] <= last:
                            kept[int(t)].append(p != t)
            wrong += [np.mean(each) for each in kept.values()]
    assert level.value == pytest.approx(100 * (1 - np.mean(wrong)))
    assert found.summary().runs["fine-tuning"] == 3 * 2 * 2
    assert "fine-tune" in found.provenance()["runs"]

    monkeypatch.setattr("dataworth.runs.engine.execute", None)
    again = run(params, store)
    np.testing.assert_array_equal(again.main.losses("slices").draws, aged.losses("slices").draws)


def test_runs_on_other_documents_are_refused(sotu):
    params = small()
    line = params.lines[0]
    held = params.documents_of(line)
    arrays = {}
    for e in held.evaluations:
        arrays |= {f"nats_{e.name}": np.ones(2), f"bytes_{e.name}": np.ones(2),
                   f"ids_{e.name}": np.arange(2)}  # fmt: skip
    aged = Aged(line, held, {"slices": [[SimpleNamespace(arrays=arrays)]]}, {}, (), 100, 0)
    with pytest.raises(UserError, match="were evaluated on other documents"):
        aged.nats("slices")


def test_the_published_degradation():
    from dataworth import published

    table = published.temporal_degradation().set_index(["model", "of"])
    assert table.value["LM-XL", "pretraining"] == 0.41 and table.r["LM-XL", "pretraining"] == 0.61
    assert table.value["LM-Small", "fine-tuning"] == 2.36
    # As the page says: about seven times as much.
    ratio = table.value["LM-XL", "fine-tuning"] / table.value["LM-XL", "pretraining"]
    assert ratio == pytest.approx(7, abs=0.2)
