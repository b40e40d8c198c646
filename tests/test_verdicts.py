"""A verdict follows from an interval, a region and the smallest effect that matters, alone."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from dataworth.stats import estimate
from dataworth.verdicts import (
    DEFINITE,
    QUANTILES,
    Rule,
    Spread,
    Verdict,
    at_chance,
    detectable,
    p_value,
    q_values,
    reason,
    summary,
    wrong,
)

INF = math.inf
numbers = st.floats(allow_nan=False)
spans = st.tuples(numbers, numbers).map(lambda ends: (min(ends), max(ends)))
tame = st.floats(-1e6, 1e6)
EFFECT = Rule((0.0, INF), no_effect=0.0, matters=0.5)


@given(spans, spans)
def test_a_verdict_is_where_the_interval_lies(interval, region):
    verdict = Rule(region).verdict(interval)
    overlap = max(interval[0], region[0]) <= min(interval[1], region[1])
    inside = region[0] <= interval[0] and interval[1] <= region[1]
    assert (verdict is Verdict.SUPPORTED) == inside
    assert (verdict is Verdict.CONTRADICTED) == (not overlap)
    assert (verdict is Verdict.INCONCLUSIVE) == (overlap and not inside)


@given(spans, tame, st.floats(1e-3, 1e3), st.booleans())
def test_no_effect_is_an_interval_within_what_does_not_matter(interval, none, matters, up):
    region = (none, INF) if up else (-INF, none)
    rule = Rule(region, none, matters)
    inside = none - matters <= interval[0] and interval[1] <= none + matters
    assert (rule.verdict(interval) is Verdict.NO_EFFECT) == inside
    if not inside:
        assert rule.verdict(interval) is Rule(region).verdict(interval)


@given(spans, spans, spans)
def test_a_narrower_interval_never_turns_a_verdict_around(interval, narrower, region):
    low, high = max(interval[0], narrower[0]), min(interval[1], narrower[1])
    if low <= high and Rule(region).verdict(interval) is not Verdict.INCONCLUSIVE:
        assert Rule(region).verdict((low, high)) is Rule(region).verdict(interval)


@given(spans, spans)
def test_a_narrower_interval_may_only_find_an_effect_too_small(interval, narrower):
    low, high = max(interval[0], narrower[0]), min(interval[1], narrower[1])
    assume(low <= high and EFFECT.verdict(interval) in DEFINITE)
    assert EFFECT.verdict((low, high)) in {EFFECT.verdict(interval), Verdict.NO_EFFECT}


@given(spans, spans)
def test_a_verdict_does_not_depend_on_the_direction_of_the_scale(interval, region):
    flipped, mirror = [(-high, -low) for low, high in (interval, region)]
    one, other = Rule(region), Rule(mirror)
    assert other.verdict(flipped) is one.verdict(interval)
    turned = {"": "", "below": "above", "above": "below"}
    assert other.side(flipped) == turned[one.side(interval)]


@given(numbers, spans)
def test_an_unidentified_interval_is_inconclusive(end, region):
    for interval in ((math.nan, end), (end, math.nan), (math.nan, math.nan)):
        assert Rule(region).verdict(interval) is Verdict.INCONCLUSIVE


def test_edges_belong_to_the_region():
    assert Rule((1, 2)).verdict((1, 2)) is Verdict.SUPPORTED
    assert Rule((1, 2)).verdict((2, 3)) is Verdict.INCONCLUSIVE
    assert Rule((1, 2)).verdict((2, 2)) is Verdict.SUPPORTED
    assert Rule((1, 2)).verdict((2.1, 3)) is Verdict.CONTRADICTED
    assert Rule((0, INF)).verdict((-INF, INF)) is Verdict.INCONCLUSIVE
    assert Rule((0, INF)).verdict((5, INF)) is Verdict.SUPPORTED
    assert EFFECT.verdict((-0.5, 0.5)) is Verdict.NO_EFFECT
    assert EFFECT.verdict((-0.5, 0.51)) is Verdict.INCONCLUSIVE
    assert EFFECT.verdict((0.1, 0.4)) is Verdict.NO_EFFECT  # surely there, surely too small
    assert EFFECT.verdict((0.1, 0.6)) is Verdict.SUPPORTED
    assert EFFECT.verdict((-0.6, -0.1)) is Verdict.CONTRADICTED


def test_one_claim_is_refuted_from_either_side():
    rule = Rule((3, 8))
    assert rule.side((2.0, 2.4)) == "below" and rule.side((9.0, INF)) == "above"
    assert rule.side((2.0, 3.0)) == rule.side((4.0, 5.0)) == ""


def test_what_cannot_be_measured_has_no_other_verdict():
    assert EFFECT.verdict((1, 2), "Ten classes are few.") is Verdict.NOT_MEASURABLE
    assert reason(EFFECT, 1.5, (1, 2), Verdict.NOT_MEASURABLE, "Few.") == "Few."


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"region": (3, 0)}, "wrong way round"),
        ({"region": (math.nan, 0)}, "wrong way round"),
        ({"region": (0, 1), "no_effect": 0.5, "matters": 0.1}, "lies inside region"),
        ({"region": (0, 1), "no_effect": 0}, "needs the smallest effect"),
        ({"region": (0, 1), "no_effect": 0, "matters": 0}, "needs the smallest effect"),
    ],
)
def test_what_does_not_go_together(rule, said):
    with pytest.raises(ValueError, match=said):
        Rule(**rule)
    with pytest.raises(ValueError, match="wrong way round"):
        Rule((0, 3)).verdict((2, 1))


# ---- How often a definite verdict is wrong ------------------------------------------------------


def t_intervals(truth, runs, repetitions, seed=0):
    """Student's t intervals of `runs` normal values a repetition, (repetitions,) low and high."""
    drawn = np.random.default_rng(seed).normal(truth, 1.0, (repetitions, runs))
    half = scipy_stats.t.ppf(0.975, runs - 1) * drawn.std(1, ddof=1) / math.sqrt(runs)
    return drawn.mean(1) - half, drawn.mean(1) + half


@pytest.mark.parametrize("runs", [2, 3, 5, 24])
@pytest.mark.parametrize(
    ("rule", "truth", "false"),
    [
        (Rule((0, INF)), 0.0, {Verdict.CONTRADICTED}),
        (Rule((0, INF)), -1e-9, {Verdict.SUPPORTED}),
        (Rule((0, INF), 0, 0.2), 0.0, {Verdict.CONTRADICTED}),
        (Rule((0, INF), 0, 2.0), 2.0 + 1e-9, {Verdict.NO_EFFECT, Verdict.CONTRADICTED}),
        (Rule((-INF, 0), 0, 2.0), -2.0 - 1e-9, {Verdict.NO_EFFECT, Verdict.CONTRADICTED}),
        (Rule((3, 8)), 3.0, {Verdict.CONTRADICTED}),
        (Rule((3, 8)), 3 - 1e-9, {Verdict.SUPPORTED}),
        (Rule((3, 8)), 8 + 1e-9, {Verdict.SUPPORTED}),
    ],
)
def test_false_definite_verdicts_on_the_edge_of_a_region(rule, truth, false, runs):
    """At most 3 %, whatever the number of seeds: 2.5 % by the intervals, a tenth of a point more by
    20,000 repetitions."""
    repetitions = 20_000
    low, high = t_intervals(truth, runs, repetitions)
    found = [rule.verdict((a, b)) for a, b in zip(low, high, strict=True)]
    assert sum(verdict in false for verdict in found) <= 0.03 * repetitions


def test_the_chance_of_a_wrong_verdict_is_what_it_says():
    """Truths drawn at random, estimates around them: of the definite verdicts as many are wrong as
    the sum of `wrong` (a flat prior, known noise)."""
    random = np.random.default_rng(1)
    truths = random.uniform(-6, 6, 20_000)
    seen = truths + random.normal(size=truths.size)
    expected, found, count = 0.0, 0, 0
    for truth, value in zip(truths, seen, strict=True):
        if abs(value) > 3:  # far from the ends of the prior
            continue
        interval = (value - 1.959964, value + 1.959964)
        verdict = EFFECT.verdict(interval)
        if verdict in DEFINITE:
            count += 1
            expected += wrong(EFFECT, Spread(value, interval), verdict)
            found += (truth >= 0) != (verdict is Verdict.SUPPORTED)
    assert count > 1000 and expected == pytest.approx(found, rel=0.2)


# ---- p and q ------------------------------------------------------------------------------------


def spread_of(draws, value=None):
    e = estimate(float(np.mean(draws)) if value is None else value, draws)
    kept = summary(draws, e.interval)
    return Spread(e.value, e.interval, kept["quantiles"], kept["count"])


@pytest.mark.parametrize("rule", [EFFECT, Rule((3, 8)), Rule((-INF, 1)), Rule((0, 1), 1, 0.02)])
def test_p_is_the_level_at_which_the_interval_just_decides(rule):
    """Against intervals of many levels of the same draws."""
    random = np.random.default_rng(2)
    for middle in (-2.0, 0.05, 0.3, 2.0, 3.4, 9.0):
        draws = random.normal(middle, random.uniform(0.1, 1.5), 4001)
        p = p_value(rule, spread_of(draws))
        levels = np.linspace(0.002, 0.998, 250)
        plain = Rule(rule.region)
        decided = []
        for alpha in levels:
            interval = estimate(middle, draws, 1 - alpha).interval
            verdicts = rule.verdict(interval), plain.verdict(interval)
            decided.append(any(verdict in DEFINITE for verdict in verdicts))
        first = levels[np.argmax(decided)] if any(decided) else 1.0
        assert p == pytest.approx(first, abs=0.009), (rule, middle)


@given(tame, st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), tame, st.floats(1e-3, 1e3))
def test_p_below_5_percent_is_a_definite_verdict(value, down, up, edge, matters):
    interval = (value - down, value + up)
    for rule in (
        Rule((edge, INF), edge, matters),
        Rule((edge, edge + matters)),
        Rule((-INF, edge)),
    ):
        p = p_value(rule, Spread(value, interval))
        assume(abs(p - 0.05) > 1e-6)
        assert (p < 0.05) == (rule.verdict(interval) in DEFINITE)


def test_the_normal_approximation_is_scipys():
    """On both sides, each with its own half width."""
    spread = Spread(1.0, (0.0, 4.0))
    z = scipy_stats.norm.ppf(0.975)
    for x in (-2.0, 0.0, 0.7):
        assert spread.below(x) == pytest.approx(scipy_stats.norm.cdf((x - 1) * z / 1.0))
    for x in (1.0, 3.0, 9.0):
        assert spread.above(x) == pytest.approx(scipy_stats.norm.sf((x - 1) * z / 3.0))
    assert spread.below(-INF) == spread.above(INF) == 0.0


@pytest.mark.parametrize("x", [-5.0, -1.0, -0.2, 0.0, 0.1, 1.9, 7.0])
def test_shares_of_draws_are_counted(x):
    draws = np.random.default_rng(3).standard_t(3, 5000)
    spread = spread_of(draws)
    assert spread.below(x) == pytest.approx((draws < x).mean(), abs=1 / (QUANTILES - 1))
    assert spread.above(x) == pytest.approx((draws > x).mean(), abs=1 / (QUANTILES - 1))


def test_infinite_ends_and_estimates():
    draws = np.concatenate([np.linspace(2, 9, 900), np.full(100, INF)])
    spread = spread_of(draws, value=5.0)
    assert spread.interval[1] == INF and spread.above(1e300) == pytest.approx(0.1, abs=0.01)
    assert spread.below(2.0) == 0 and p_value(Rule((1, INF)), spread) == pytest.approx(2 / 1001)
    open_end = Spread(INF, (3.0, INF))
    assert p_value(Rule((2, INF)), open_end) == pytest.approx(0.05)
    assert math.isnan(p_value(Rule((2, INF)), Spread(math.nan, (math.nan, 3.0))))


def test_q_values_are_those_of_benjamini_and_yekutieli():
    p = {"a": 0.001, "b": 0.3, "c": 0.012, "d": math.nan, "e": 0.04, "f": 0.9, "g": 0.04}
    known = [key for key in p if key != "d"]
    assert list(q_values(p)) == known
    many = dict(enumerate(np.random.default_rng(3).uniform(0, 0.2, 60) ** 2))
    for one in (p, many, {"a": 0.0, "b": 1.0}, {"a": 0.5}):
        asked = {key: value for key, value in one.items() if not math.isnan(value)}
        expected = scipy_stats.false_discovery_control(list(asked.values()), method="by")
        assert list(q_values(one).values()) == pytest.approx(expected)
    assert q_values({}) == q_values({"d": math.nan}) == {}


def test_false_discoveries_stay_below_the_rate():
    """200 books of 40 claims, 30 without an effect: at q <= 5 %, at most 5 % are false."""
    random, shares = np.random.default_rng(4), []
    for _ in range(200):
        z = random.normal(size=40) + np.where(np.arange(40) < 30, 0.0, 4.0)
        q = q_values(dict(enumerate(2 * scipy_stats.norm.sf(np.abs(z)))))
        found = [i for i, value in q.items() if value <= 0.05]
        shares.append(sum(i < 30 for i in found) / max(1, len(found)))
    assert np.mean(shares) <= 0.05


# ---- What is kept, and what would settle it -----------------------------------------------------


def test_a_summary_holds_the_interval_and_the_spread():
    draws = np.append(np.random.default_rng(5).gamma(2.0, 1.0, 1500), np.nan)
    e = estimate(2.0, draws)
    kept = summary(draws, e.interval)
    assert kept["count"] == 1500 and len(kept["quantiles"]) == QUANTILES
    levels = np.linspace(0, 1, QUANTILES)
    np.testing.assert_allclose(kept["quantiles"], np.nanquantile(draws, levels), rtol=2e-3)
    ends = kept["quantiles"][10], kept["quantiles"][-11]
    np.testing.assert_allclose(ends, e.interval, rtol=1e-5)


def test_no_summary_where_the_interval_is_not_of_the_draws():
    draws = np.arange(100.0)
    assert summary(draws, (0.0, 99.0)) is None
    assert summary([], (0.0, 1.0)) is None and summary([np.nan] * 3, (math.nan, math.nan)) is None


@given(st.floats(-3, 3), st.floats(0.01, 5), st.floats(0.01, 5))
def test_so_many_more_runs_settle_it_and_fewer_do_not(value, down, up):
    for rule in (EFFECT, Rule((-0.3, 1.2)), Rule((-INF, 0.4))):
        times = rule.more(value, (value - down, value + up))
        if not math.isfinite(times):
            continue

        def after(more, down=down, up=up):
            half = 1 / math.sqrt(more)
            return (value - half * down, value + half * up)

        assert rule.verdict(after(times * 1.0001)) in DEFINITE
        if times > 1:
            assert rule.verdict(after(times * 0.999)) is Verdict.INCONCLUSIVE


def test_where_no_number_of_runs_settles_it():
    assert Rule((0, INF)).more(0.0, (-1, 1)) == INF  # on the edge
    assert Rule((0, INF), 0, 0.5).more(0.0, (-1, 1)) == pytest.approx(4.0)
    assert Rule((0, 3)).more(2.0, (1, INF)) == INF
    assert math.isnan(Rule((0, 3)).more(5.0, (-1, 2)))


def test_words_of_an_open_verdict():
    said = reason(EFFECT, 1.0, (-1.0, 3.0), Verdict.INCONCLUSIVE)
    assert "About 4 times as many runs of this size would settle it" in said
    assert "an effect of 2.86 would be seen in 80 of 100 repetitions; 0.5 would matter" in said
    said = reason(Rule((0, INF)), 0.01, (-1.0, 3.0), Verdict.INCONCLUSIVE)
    assert "it would take more than 100 times as many" in said and "matter" not in said
    assert "on an edge" in reason(Rule((0, 3)), 0.0, (-1.0, 3.0), Verdict.INCONCLUSIVE)


def test_the_detectable_effect_is_seen_in_80_of_100():
    half = 1.0
    effect = detectable((-half, half))
    estimates = np.random.default_rng(6).normal(effect, half / 1.959964, 50_000)
    assert (estimates - half > 0).mean() == pytest.approx(0.8, abs=0.01)


def test_the_detectable_correlation_is_that_of_power_tables():
    """29 pairs see a correlation of .5 in 80 of 100 repetitions (Cohen 1988, table 3.4.1)."""
    edge = math.tanh(1.959964 / math.sqrt(29 - 3))
    assert detectable((-edge, edge), correlation=True) == pytest.approx(0.5, abs=0.001)
    by = Rule((0, 1), 0, 0.3)
    said = reason(by, 0.1, (-0.5, 0.6), Verdict.INCONCLUSIVE, correlation=True)
    assert "a correlation of 0.71 would be seen" in said
    said = reason(by, 0.1, (-1.0, 1.0), Verdict.INCONCLUSIVE, correlation=True)
    assert "no correlation, however strong, would be seen" in said


def test_a_range_over_choices_is_not_settled_by_more_runs():
    said = reason(EFFECT, 1.0, (-1.0, 3.0), Verdict.INCONCLUSIVE, settles="Better scores would.")
    assert said.endswith(" Better scores would.") and "runs" not in said


def test_a_level_at_chance():
    assert at_chance(27.0, (25.0, 29.0), 25.0, "answers") == (
        "The level of answers, 27 [25, 29], is not three standard errors above chance (25); it "
        "takes 28.1 to be."
    )
    assert not at_chance(29.0, (27.0, 31.0), 25.0, "answers")
    assert at_chance(20.0, (19.9, 20.1), 25.0, "answers")
    assert at_chance(math.nan, (0, 1), 0.0, "answers") and at_chance(9.0, (0, INF), 0.0, "answers")
    se = 1.0
    edge = 25 + 3 * se
    for off, near in ((-0.01, True), (0.01, False)):
        interval = (edge + off - 1.959964 * se, edge + off + 1.959964 * se)
        assert bool(at_chance(edge + off, interval, 25.0, "answers")) is near
