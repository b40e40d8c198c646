"""Proxy validity: agreement against scipy, ceilings on known losses, a run end to end."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from cells import cell
from dataworth.studies.domain_arms import without
from dataworth.studies.domains import Domains
from dataworth.studies.proxy_validity import (
    ProxyStudy,
    ProxyValidity,
    both_ways,
    pair_accuracy,
    run,
)
from dataworth.text.pools import DOMAINS

NAMES = tuple(DOMAINS)


@pytest.mark.parametrize(
    ("proxies", "words"),
    [
        (("gpt-9",), "proxies holds 'gpt-9'; it must be among unigram, "),
        (("lm-0.4m",), "distinct models other than model"),
        (("lm-0.1m", "lm-0.1m"), "distinct models other than model"),
        ((), "at least 1 item"),
    ],
)
def test_a_bad_proxy_is_one_sentence(proxies, words):
    with pytest.raises(ValidationError) as caught:
        cell(ProxyValidity, model="lm-0.4m", proxies=proxies)
    message = caught.value.errors()[0]["msg"]
    assert words in message and "\n" not in message


def test_the_larger_models_runs_are_those_of_the_domains_chapter(tiny_pile):
    params = cell(ProxyValidity, **tiny_pile, proxies=("tiny-wide",))
    shared = cell(Domains, **tiny_pile)
    theirs, ours = shared.specs(shared.pools()), params.specs(params.pools())
    assert len(ours) == 10
    for arm, each in ours.items():
        assert [spec.key for spec in each] == [spec.key for spec in theirs[arm]]
    assert [t.runs for t in params.trainings()] == [30, 30]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 10), st.booleans())
def test_pair_accuracy_is_kendalls_tau_from_zero_to_one(seed, size, ties):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 3, size))
    if ties:
        a = np.round(a)
    for x, y, found in zip(a, b, pair_accuracy(a, b), strict=True):
        signs = [np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]) for i in range(size) for j in range(i)]
        assert found == pytest.approx((1 + np.mean(signs)) / 2)
        if not ties:
            assert found == pytest.approx((1 + stats.kendalltau(x, y).statistic) / 2)


# --- Known losses -------------------------------------------------------------------------------

N_BYTES = np.array([400, 100])
ARMS = ("full", *map(without, NAMES), "random 9.9 %")


def result(levels):
    arrays = {}
    for name, level in zip(NAMES, levels, strict=True):
        arrays[f"nats_{name}"] = level * math.log(2) * N_BYTES
        arrays[f"bytes_{name}"], arrays[f"ids_{name}"] = N_BYTES, np.arange(2)
    return SimpleNamespace(arrays=arrays, provenance={"wall_seconds": 2.0})


def known(noise, seeds=2, scale=0.5):
    """Losses (arm, domain) that both sizes share, the proxy's scaled, with noise for every run."""
    rng = np.random.default_rng(3)
    truth = rng.normal(size=(len(ARMS), 8))
    for i, name in enumerate(NAMES):
        truth[ARMS.index(without(name)), i] += 5

    def runs(factor):
        return {
            arm: [result(2 + factor * row + rng.normal(size=8) * noise) for _ in range(seeds)]
            for arm, row in zip(ARMS, truth, strict=True)
        }

    params = cell(ProxyValidity, model="lm-0.4m", proxies=("lm-0.1m",), seeds=seeds, resamples=100)
    return ProxyStudy(params, {"lm-0.4m": runs(1.0), "lm-0.1m": runs(scale)}), truth


def test_without_noise_agreement_is_perfect():
    study, truth = known(0.0)
    for measure in ("pairs", "spearman"):
        found = study.agreement("lm-0.1m", measure=measure)
        assert found.value == pytest.approx(1) and found.interval == pytest.approx((1, 1))
    assert study.one_run("lm-0.4m").value == study.one_run("lm-0.1m").value == 1
    assert study.shortfall("lm-0.1m").value == 0
    assert study.decided("lm-0.1m") == (1.0, 1.0)
    np.testing.assert_allclose(study.losses("lm-0.4m")[:, :8], 2 + truth)
    np.testing.assert_allclose(study.losses("lm-0.4m")[:, 8], 2 + truth.mean(1))


def test_a_proxy_that_ranks_the_other_way_round():
    study, _ = known(0.0, scale=-1.0)
    assert study.agreement("lm-0.1m").value == 0
    assert study.agreement("lm-0.1m", "average", measure="spearman").value == pytest.approx(-1)
    assert study.shortfall("lm-0.1m").value == 1
    assert (study.by_gap("lm-0.1m").agree == 0).all()


def test_noise_lowers_agreement_and_its_ceiling():
    study, _ = known(0.8)
    small, large = study.losses("lm-0.1m"), study.losses("lm-0.4m")
    scraps = study.agreement("lm-0.1m", "scraps", measure="spearman")
    assert scraps.value == pytest.approx(stats.spearmanr(small[:, 0], large[:, 0]).statistic)
    kept = [i for i, arm in enumerate(ARMS) if arm != "without scraps"]
    fewer = study.agreement("lm-0.1m", "scraps", measure="spearman", own=False)
    expected = stats.spearmanr(small[kept, 0], large[kept, 0]).statistic
    assert fewer.value == pytest.approx(expected)
    ceiling, proxy = study.one_run("lm-0.4m"), study.one_run("lm-0.1m")
    assert 0.5 < proxy.value < ceiling.value < 1  # the proxy's signal is half as strong
    table = study.by_gap("lm-0.1m")
    assert table.pairs.sum() == 8 * 45 and table.gap.is_monotonic_increasing
    assert table.agree.iloc[-1] > table.agree.iloc[0]
    agree, share = study.decided("lm-0.1m")
    assert share < 1 and agree > study.agreement("lm-0.1m").value
    overall = np.average(table.agree, weights=table.pairs)
    assert overall == pytest.approx(study.agreement("lm-0.1m").value)


def test_more_runs_decide():
    study, _ = known(0.8)
    found = study.agreement("lm-0.1m", "scraps")
    finer = study.agreement("lm-0.1m", "scraps", fold=64)
    assert finer.value == found.value
    assert found.low <= finer.low <= finer.value <= finer.high <= found.high
    assert finer.high - finer.low < found.high - found.low
    fold = study.needed("lm-0.1m", "scraps", edge=0.5)
    at = study.agreement("lm-0.1m", "scraps", fold=fold)
    assert at.low > 0.5 or at.high < 0.5
    if fold > 1:
        before = study.agreement("lm-0.1m", "scraps", fold=fold / 2)
        assert before.low <= 0.5 <= before.high
    assert study.needed("lm-0.1m", "scraps", edge=found.value) == math.inf
    table = study.decisions("lm-0.1m", (0.5,))
    assert list(table.index) == [*NAMES, "average"] and table[0.5]["scraps"] == fold


def test_arms_beside_each_other():
    study, truth = known(0.0)
    pairs = study.compared("lm-0.1m", "scraps")
    large, small = pairs["a domain left out"]
    assert set(large) == set(small) == {without(name) for name in NAMES if name != "scraps"}
    for arm in large:
        expected = truth[ARMS.index(arm), 0] - truth[0, 0]
        assert large[arm] == pytest.approx(expected) and small[arm] == pytest.approx(expected / 2)
    assert list(pairs["random drop"][0]) == ["random 9.9 %"]
    table = study.by_measure()
    assert table.columns.tolist() == ["lm-0.1m"] and table.iloc[-1, 0] == 1.0
    assert table.iloc[0, 0].value == study.agreement("lm-0.1m").value


def test_an_interval_of_agreement_holds_both_kinds():
    draws = np.linspace(0.4, 0.8, 401)
    found = both_ways(0.75, draws)
    assert found.low == pytest.approx(0.41) and found.high == 1.0
    assert both_ways(0.9, np.full(50, 0.85)).interval == pytest.approx((0.85, 0.95))
    assert both_ways(-0.9, np.linspace(-0.9, 0, 50), -1.0).low == -1.0


def test_one_seed_has_no_ceiling():
    study, _ = known(0.1, seeds=1)
    assert np.isnan(study.one_run("lm-0.4m").value)
    assert np.isnan(study.shortfall("lm-0.1m").low)


def test_cost_counts_operations():
    study, _ = known(0.1)
    cost = study.cost()
    assert cost["share of the cost"]["lm-0.4m"] == 1
    assert 0.1 < cost["share of the cost"]["lm-0.1m"] < 0.5
    assert cost["seconds per run"].tolist() == [2.0, 2.0]


def test_a_study_from_end_to_end(tiny_pile, store, monkeypatch):
    params = cell(ProxyValidity, **tiny_pile, proxies=("tiny-wide",))
    study = run(params, store)
    assert study.arms[0] == "full" and len(study.arms) == 10
    found = study.agreement("tiny-wide")
    assert 0 <= found.low <= found.high <= 1
    assert study.summary().runs.tolist() == [30, 30]
    assert study.provenance()["runs"] == "60 language-model"

    monkeypatch.setattr("dataworth.runs.engine.execute", None)
    again = run(params, store)
    np.testing.assert_array_equal(again.agreement("tiny-wide").draws, found.draws)
