"""Domains: arms of equal size, averages and correlations on known losses, a run end to end."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from cells import cell
from dataworth.errors import UserError
from dataworth.stats import correlation
from dataworth.studies.domain_arms import FULL, MATCHED, without
from dataworth.studies.domains import Domains, DomainStudy, fit_mixtures, run
from dataworth.text.pools import DOMAINS

NAMES = tuple(DOMAINS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"few": (2, 2)}, "must be distinct"),
        ({"few": (8,)}, "less than 8"),
        ({"few": ()}, "at least 1 item"),
        ({"questions": 3}, "greater than or equal to 8"),
        ({"model": "gpt-9"}, "must be one of"),
        ({"prompt": 120}, "prompt and continuation are 136 tokens; they must fit in the context"),
    ],
)
def test_a_bad_parameter_is_one_sentence(change, words):
    with pytest.raises(ValidationError) as caught:
        cell(Domains, **change)
    message = caught.value.errors()[0]["msg"]
    assert words in message and "\n" not in message


def test_arms_leave_out_a_domain_or_as_much_at_random(tiny_pile):
    params = cell(Domains, **tiny_pile, few=(4, 1))
    whole, pools = params.whole, params.pools()
    assert params.few == (1, 4)
    shares, matched = whole.shares(), params.matched()
    longest = whole.sizes.max() / whole.bytes
    for name in NAMES:
        left = pools[without(name)]
        assert set(left[0].shares()) == set(NAMES) - {name}
        assert left[0].bytes == pytest.approx(whole.bytes * (1 - shares[name]))
        arm, share = matched[name]
        assert abs(share - shares[name]) <= MATCHED
        first, second = pools[arm]
        assert set(first.ids.tolist()) != set(second.ids.tolist())
        assert abs(1 - first.bytes / whole.bytes - share) <= longest
    target = pools[without(max(shares, key=shares.get))][0].bytes
    for count in params.few:
        (pool, _) = pools[f"{count} of 8 domains"]
        assert len(pool.shares()) == count
        assert pool.bytes == pytest.approx(target, rel=0.06)
    expected = {FULL, *map(without, NAMES), *(arm for arm, _ in matched.values())}
    assert set(pools) == expected | {"1 of 8 domains", "4 of 8 domains"}


def test_questions_are_of_every_domain_and_need_long_documents(tiny_pile):
    params = cell(Domains, **tiny_pile, questions=8, prompt=8, continuation=4)
    specs = params.specs(params.drops())
    assert {len(each) for each in specs.values()} == {2} and len(specs) == 9
    asked = params.asked(specs[FULL][0]).questions
    assert {group for q in asked for group in q.groups} == set(NAMES)
    assert {q.part.split for q in asked} == {"test"}
    with pytest.raises(UserError, match="web has 0 test documents as long as that and needs 4"):
        params = cell(Domains, **tiny_pile | {"context": 2048}, prompt=2000)
        params.asked(specs[FULL][0])


def test_what_would_be_trained(tiny_pile):
    params = cell(Domains, **tiny_pile)
    counts = [t.runs for t in params.trainings()]
    assert sum(counts) == 2 * (9 + 8 + 3)
    assert params.cost()[-1]["step"] == "total"


# --- Known losses -------------------------------------------------------------------------------

N_BYTES = np.array([300, 500, 200])


def result(level, seed=0.0):
    """A stored run whose bits per byte on each domain are `level[domain]`, plus `seed`."""
    arrays = {}
    for name in NAMES:
        arrays[f"nats_{name}"] = (level[name] + seed) * math.log(2) * N_BYTES
        arrays[f"bytes_{name}"] = N_BYTES
        arrays[f"ids_{name}"] = np.arange(3)
    return SimpleNamespace(arrays=arrays, metrics={"epochs": [1.0]})


def known(tiny_pile, harm, alone=0.5, at_random=0.01):
    """A study in which leaving out domain d costs `harm[d]` on others and `alone` on itself, a
    random drop `at_random` times its share, few domains 0.1 for each that is missing."""
    params = cell(Domains, **tiny_pile)
    pools = params.pools()
    base = {name: 2.0 + 0.1 * i for i, name in enumerate(NAMES)}
    share_of = dict(params.matched().values())
    levels = {}
    for arm in pools:
        if arm in share_of:
            levels[arm] = {n: base[n] + at_random * share_of[arm] for n in NAMES}
        elif arm.endswith("of 8 domains"):
            levels[arm] = {n: base[n] + 0.1 * (8 - int(arm[0])) for n in NAMES}
        else:
            lost = arm.removeprefix("without ")
            levels[arm] = {
                n: base[n] + (alone if n == lost else harm.get(lost, 0.0)) for n in NAMES
            }
    runs = {arm: [result(level, 0.0), result(level, 0.3)] for arm, level in levels.items()}
    return DomainStudy(params, pools, runs, {})


HARM = dict(zip(NAMES, (0.04, 0.01, 0.0, 0.02, 0.05, 0.03, -0.01, 0.002), strict=True))


def test_harm_by_every_average(tiny_pile):
    study = known(tiny_pile, HARM)
    shares = study.shares
    for name in NAMES:
        assert study.harm(name).value == pytest.approx(HARM[name], abs=1e-9)
        assert study.harm(name).interval == pytest.approx((HARM[name],) * 2, abs=1e-9)
        mean = (0.5 + 7 * HARM[name]) / 8
        assert study.harm(name, own=True).value == pytest.approx(mean)
        weighted = 0.5 * shares[name] + HARM[name] * (1 - shares[name])
        assert study.harm(name, own=True, average="bytes").value == pytest.approx(weighted)
        extra = HARM[name] - 0.01 * study.params.matched()[name][1]
        assert study.harm(name, beyond=True).value == pytest.approx(extra)
    table = study.table()
    assert table.loc["books", "group"] == "Books"
    np.testing.assert_allclose(table.own, 0.5)
    np.testing.assert_allclose(table.per_percent, table.others / table.removed)
    np.testing.assert_allclose(table.removed.sum(), 100)
    by = study.averages().loc["books"]
    mean = (0.5 + 7 * HARM["books"]) / 8
    assert by["all eight, each domain alike"].value == pytest.approx(mean)
    assert by["domains left in, by share of the pool"].value == pytest.approx(HARM["books"])
    assert study.mean_harm(["web", "books"]).value == pytest.approx(
        (HARM["web"] + HARM["books"]) / 2
    )
    values, clear = study.heat([without("web"), study.control("web")])
    assert values.shape == (2, 8) and values[0, 0] == pytest.approx(0.5) and clear.all()


def test_size_and_order(tiny_pile):
    study = known(tiny_pile, HARM)
    size, harm = [study.shares[n] for n in NAMES], [HARM[n] for n in NAMES]
    assert study.size_correlation().value == pytest.approx(stats.pearsonr(size, harm).statistic)
    largest = max(NAMES, key=study.shares.get)
    rest = [i for i, n in enumerate(NAMES) if n != largest]
    expected = stats.spearmanr(np.array(size)[rest], np.array(harm)[rest]).statistic
    found = study.size_correlation(rank=True, largest=False)
    assert found.value == pytest.approx(expected)
    other = {n: float(h) ** 3 for n, h in HARM.items()}
    agreement = study.agreement(other)
    assert agreement.value == pytest.approx(1) and agreement.high == pytest.approx(1)
    opposite = study.agreement({n: -h for n, h in HARM.items()})
    assert opposite.value == pytest.approx(-1) and opposite.low == pytest.approx(-1)
    assert study.largest_margin("books").value == pytest.approx(0.05 - 0.04)
    assert study.largest_margin("web").value == pytest.approx(0.04 - 0.05)
    per = {n: HARM[n] / study.shares[n] / 100 for n in NAMES}
    best = max(per, key=per.get)
    expected = per[best] - max(v for n, v in per.items() if n != best)
    assert study.largest_margin(best, per_percent=True).value == pytest.approx(expected)


def test_variety_at_equal_bytes(tiny_pile):
    study = known(tiny_pile, HARM, at_random=0.0)
    found = study.heterogeneity()
    assert list(found) == [1, 2, 4, 7, 8]
    for count in (1, 2, 4):
        assert found[count].value == pytest.approx(0.1 * (8 - count))
    assert found[7].value == pytest.approx((0.5 + 7 * HARM["web"]) / 8) and found[8].value == 0
    assert study.heterogeneity("web")[2].value == pytest.approx(0.6)
    assert list(study.heterogeneity("web")) == [1, 2, 4, 8]  # the pool of seven lacks it
    assert list(study.heterogeneity("mail")) == [1, 2, 4, 7, 8]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 12), st.booleans())
def test_correlation_is_scipys(seed, size, ties):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, 4, size))
    if ties:
        x, y = np.round(x), np.round(y)
    for a, b, pearson, spearman in zip(
        x, y, correlation(x, y), correlation(x, y, rank=True), strict=True
    ):
        if len(set(a)) > 1 and len(set(b)) > 1:
            assert pearson == pytest.approx(stats.pearsonr(a, b).statistic, abs=1e-9)
            assert spearman == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-9)
        else:
            assert np.isnan(pearson)


def test_the_regression_finds_a_log_linear_law():
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(4, 0.7), size=24)
    slopes = np.array([[-0.4, 0.0], [-0.05, -0.3], [0.0, -0.1], [0.0, 0.0]])
    losses = 3.0 + np.log(shares + 0.01) @ slopes
    found = fit_mixtures(shares, losses)
    assert (found.explained() > 0.999).all()
    np.testing.assert_allclose(found.slopes, slopes, atol=0.01)
    np.testing.assert_allclose(found.mean[3], np.delete(losses, 3, 0).mean(0))
    noise = fit_mixtures(shares, rng.normal(size=(24, 2)))
    assert (noise.explained() < 0.5).all()


# --- From end to end --------------------------------------------------------------------------


def test_a_study_from_end_to_end(tiny_pile, store, monkeypatch):
    params = cell(Domains, **tiny_pile, seeds=1, few=(2,), questions=8, prompt=8, continuation=4)
    study = run(params, store)
    arms = study.arms()
    assert list(arms.index) == list(study.pools) and (arms.epochs > 0).all()
    assert arms.loc["without web", "epochs"] > arms.loc[FULL, "epochs"]
    table, task = study.table(), study.downstream()
    assert table.notna().all().all() and task.notna().all().all()
    assert (table.others_low <= table.others).all() and (table.others <= table.others_high).all()
    answered = study.accuracy()
    assert list(answered.index) == list(NAMES) and (answered.questions >= 8).all()
    whole = study.margin(FULL, ["code"], baseline=None).value
    assert whole == pytest.approx(answered.margin["code"])
    change = study.margin("without web").value
    margins = study.accuracy("without web").margin - answered.margin
    assert change == pytest.approx(margins.mean())
    assert study.regression.explained().shape == (8,)
    lacking, holding = study.predictions(held=False), study.predictions(held=True)
    assert len(lacking) == 8 + 6 and len(lacking) + len(holding) == 8 * len(study.pools)
    both = np.concatenate([lacking.measured, holding.measured])
    assert both.sum() == pytest.approx(0, abs=1e-9) and np.ptp(both) > 0
    assert study.summary().runs.tolist() == [len(arms), len(arms)]
    assert study.provenance()["seeds"] == "0"

    monkeypatch.setattr("dataworth.runs.engine.execute", None)
    again = run(params, store)
    np.testing.assert_array_equal(again.harm("web").draws, study.harm("web").draws)
