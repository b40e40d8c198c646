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
from dataworth.studies.domain_arms import FULL, without
from dataworth.studies.domains import Domains, DomainStudy, fit_mixtures, run
from dataworth.text.downstream import choice_scores
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
    pools, shares = params.pools(), params.shares
    assert params.few == (1, 4) and sum(shares.values()) == pytest.approx(1)
    for whole, *left in zip(pools[FULL], *(pools[without(name)] for name in NAMES), strict=True):
        cell_of = {(i, start) for i, start in zip(whole.ids, whole.starts, strict=True)}
        for name, pool in zip(NAMES, left, strict=True):
            assert set(pool.shares()) == set(NAMES) - {name}
            assert pool.bytes == whole.bytes - whole.sizes[whole.domains == name].sum()
            assert {(i, start) for i, start in zip(pool.ids, pool.starts, strict=True)} < cell_of
        assert whole.sizes.max() < 2 * 6 * params.context
    assert len({tuple(pool.ids.tolist()) for pool in pools[FULL]}) == params.seeds  # drawn anew
    for arm, share in params.controls.items():
        for pool, whole in zip(pools[arm], pools[FULL], strict=True):
            assert abs(1 - pool.bytes / whole.bytes - share) <= whole.sizes.max() / whole.bytes
            assert set(pool.ids.tolist()) <= set(whole.ids.tolist())
    target = (1 - max(shares.values())) * params.pool_bytes
    for count in params.few:
        for pool in pools[params.few_of(count)]:
            assert set(pool.shares()) == set(params.largest(count))
            assert pool.bytes == pytest.approx(target, rel=0.06)
    expected = {FULL, *map(without, NAMES), *params.controls, params.few_of(1), params.few_of(4)}
    assert set(pools) == expected


def test_controls_are_interpolated_to_the_domains_size(tiny_pile):
    params = cell(Domains, **tiny_pile)
    sizes = {FULL: 0.0, **params.controls}
    for name, share in params.shares.items():
        weights = params.control(name)
        assert sum(weights.values()) == pytest.approx(1) and min(weights.values()) > 0
        assert sum(w * sizes[arm] for arm, w in weights.items()) == pytest.approx(share)
    assert params.control(params.largest(1)[0]) == {next(iter(params.controls)): 1.0}


def test_questions_are_of_every_domain_and_need_long_documents(tiny_pile):
    params = cell(Domains, **tiny_pile, questions=8, prompt=8, continuation=4)
    specs = params.specs(params.drops())
    assert {len(each) for each in specs.values()} == {3} and len(specs) == 9
    asked = params.asked(specs[FULL][0]).questions
    assert {group for q in asked for group in q.groups} == set(NAMES)
    assert {q.part.split for q in asked} == {"test"}
    with pytest.raises(UserError, match="scraps has 0 test documents as long as that and needs 4"):
        params = cell(Domains, **tiny_pile | {"context": 2048}, prompt=2000)
        params.asked(specs[FULL][0])


def test_what_would_be_trained(tiny_pile):
    params = cell(Domains, **tiny_pile)
    counts = [t.runs for t in params.trainings()]
    assert sum(counts) == 3 * (9 + 2 + 2) == sum(map(len, params.pools().values()))
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
    share_of = params.controls
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
    runs = {arm: [result(level, s) for s in (0.0, 0.3, 0.1)] for arm, level in levels.items()}
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
        extra = HARM[name] - 0.01 * shares[name]
        assert study.harm(name, beyond=True).value == pytest.approx(extra)
    table = study.table()
    assert table.loc["books", "group"] == "Books"
    np.testing.assert_allclose(table.own, 0.5)
    np.testing.assert_allclose(table.per_percent, table.others / table.removed)
    np.testing.assert_allclose(table.removed.sum(), 100)
    by = study.averages().loc["books"]
    mean = (0.5 + 7 * HARM["books"]) / 8
    assert by["all domains, each domain alike"].value == pytest.approx(mean)
    assert by["domains left in, by share of the pool"].value == pytest.approx(HARM["books"])
    assert study.mean_harm(["scraps", "books"]).value == pytest.approx(
        (HARM["scraps"] + HARM["books"]) / 2
    )
    assert study.at_random(["scraps", "code"]).value == pytest.approx(
        0.01 * (shares["scraps"] + shares["code"]) / 2
    )
    values, clear = study.heat([without("scraps"), *study.params.controls][:2])
    assert values.shape == (2, 8) and values[0, 0] == pytest.approx(0.5) and clear.all()


def test_size_and_order(tiny_pile):
    study = known(tiny_pile, HARM)
    size, harm = [study.shares[n] for n in NAMES], [HARM[n] for n in NAMES]
    assert study.size_correlation().value == pytest.approx(stats.pearsonr(size, harm).statistic)
    rest = [i for i, n in enumerate(NAMES) if n != study.params.largest(1)[0]]
    expected = stats.spearmanr(np.array(size)[rest], np.array(harm)[rest]).statistic
    found = study.size_correlation(rank=True, whole=False)
    assert found.value == pytest.approx(expected)
    other = {n: float(h) ** 3 for n, h in HARM.items()}
    agreement = study.agreement(other)
    assert agreement.value == pytest.approx(1) and agreement.high == pytest.approx(1)
    opposite = study.agreement({n: -h for n, h in HARM.items()})
    assert opposite.value == pytest.approx(-1) and opposite.low == pytest.approx(-1)
    assert study.largest_margin("books").value == pytest.approx(0.05 - 0.04)
    assert study.largest_margin("scraps").value == pytest.approx(0.04 - 0.05)
    per = {n: HARM[n] / study.shares[n] / 100 for n in NAMES}
    best = max(per, key=per.get)
    expected = per[best] - max(v for n, v in per.items() if n != best)
    assert study.largest_margin(best, per_percent=True).value == pytest.approx(expected)


def test_variety_at_equal_bytes(tiny_pile):
    study = known(tiny_pile, HARM, at_random=0.0)
    found = study.heterogeneity()
    assert list(found) == [1, 4, 7, 8]
    for count in (1, 4):
        assert found[count].value == pytest.approx(0.1 * (8 - count))
    assert found[7].value == pytest.approx((0.5 + 7 * HARM["scraps"]) / 8) and found[8].value == 0
    assert study.heterogeneity("scraps")[4].value == pytest.approx(0.4)
    assert list(study.heterogeneity("scraps")) == [1, 4, 8]  # the pool of seven lacks it
    assert list(study.heterogeneity("mail")) == [1, 4, 7, 8]


def test_variety_is_measured_on_what_neither_pool_has_seen(tiny_pile):
    study = known(tiny_pile, HARM, alone=0.3, at_random=0.1)
    fewer = 0.1 * study.shares["scraps"]  # the cost of the bytes that pools of few domains lack
    assert study.fewer_bytes(4).value == pytest.approx(fewer)
    assert study.variety(4).value == pytest.approx(0.1 * 4 - 0.3 - fewer)
    assert study.variety(1).value == pytest.approx(0.1 * 7 - 0.3 - fewer)


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
    params = cell(
        Domains, **tiny_pile | {"seeds": 1}, few=(2,), questions=8, prompt=8, continuation=4
    )
    study = run(params, store)
    arms = study.arms()
    assert list(arms.index) == list(study.pools) and (arms.epochs > 0).all()
    assert arms.loc["without scraps", "epochs"] > arms.loc[FULL, "epochs"]
    table, task = study.table(), study.downstream()
    assert table.notna().all().all() and task.notna().all().all()
    assert (table.others_low <= table.others).all() and (table.others <= table.others_high).all()
    answered = study.accuracy()
    assert list(answered.index) == list(NAMES) and (answered.questions >= 8).all()
    right, margin = choice_scores(
        *(study.answers[FULL][0].arrays[name] for name in ("nats", "bytes"))
    )
    of_code = study.answers[FULL][0].arrays["groups"] == "code"
    assert answered.margin["code"].value == pytest.approx(margin[of_code].mean())
    assert answered.right["code"].value == pytest.approx(100 * right[of_code].mean())
    change = study.margin("without scraps").value
    margins = [e.value for e in study.accuracy("without scraps").margin]
    assert change == pytest.approx(np.mean(margins) - np.mean([e.value for e in answered.margin]))
    assert study.fewest() == min(study.pools[FULL][0].documents().values())
    assert study.regression.explained().shape == (8,)
    lacking, holding = study.predictions(held=False), study.predictions(held=True)
    assert len(lacking) == 8 + 6 and len(lacking) + len(holding) == 8 * len(study.pools)
    both = np.concatenate([lacking.measured, holding.measured])
    assert both.sum() == pytest.approx(0, abs=1e-9) and np.ptp(both) > 0
    assert study.summary().runs.tolist() == [len(arms), len(arms)]
    assert study.provenance()["seeds"] == "0"

    monkeypatch.setattr("dataworth.runs.engine.execute", None)
    again = run(params, store)
    np.testing.assert_array_equal(again.harm("scraps").draws, study.harm("scraps").draws)
