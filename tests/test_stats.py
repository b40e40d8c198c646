"""Percentile intervals, and the arithmetic of estimates."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from dataworth.errors import UserError
from dataworth.stats import best_of, estimate, interval, mean

# ---- The one percentile interval ----------------------------------------------------------------


@given(
    arrays(float, array_shapes(min_dims=1, max_dims=2, max_side=30), elements=st.floats(-9, 9)),
    st.floats(0.01, 0.99),
)
def test_finite_draws_give_numpys_quantiles(draws, level):
    wanted = np.quantile(draws, [(1 - level) / 2, 1 - (1 - level) / 2], axis=0)
    np.testing.assert_array_equal(interval(draws, level), wanted)


def test_infinite_draws_are_kept_and_unidentified_ones_left_out():
    draws = np.arange(101.0)
    assert interval(draws) == pytest.approx((2.5, 97.5))
    draws[-3:] = np.inf  # 97.5 falls between 97 and infinity
    assert interval(draws) == pytest.approx((2.5, np.inf))
    draws[0] = -np.inf  # beyond the end
    assert interval(draws) == pytest.approx((2.5, np.inf))
    draws[:3] = -np.inf
    assert interval(draws)[0] == -np.inf
    some = np.where(np.arange(101) % 4, np.arange(101.0), np.nan)
    assert interval(some) == pytest.approx(tuple(np.nanquantile(some, [0.025, 0.975])))
    assert np.isnan(interval([np.nan, np.nan, 1.0])).all()
    assert np.isnan(interval([])).all()
    assert str(estimate(0.5, [])) == "0.5 [nan, nan]"


@pytest.mark.parametrize("level", [0, 1, 95, -0.5, np.nan])
def test_a_level_is_a_fraction(level):
    with pytest.raises(UserError, match=r"level=.* must lie between 0 and 1, such as 0\.95"):
        interval([1.0, 2.0], level)


@given(arrays(float, (2, 20), elements=st.floats(0.5, 9)), st.floats(0.1, 100))
def test_arithmetic_of_estimates_is_that_of_their_draws(draws, factor):
    a, b = (estimate(row[0], row) for row in draws)
    for found, value, wanted in (
        (a.minus(b), a.value - b.value, draws[0] - draws[1]),
        (a.over(b), a.value / b.value, draws[0] / draws[1]),
        (a.times(factor), a.value * factor, draws[0] * factor),
        (mean([a, b]), (a.value + b.value) / 2, draws.mean(0)),
    ):
        assert found.value == pytest.approx(value)
        np.testing.assert_allclose(found.draws, wanted)
        np.testing.assert_allclose(
            found.interval, np.quantile(wanted, [0.025, 0.975]), rtol=1e-9, atol=1e-9
        )


def test_the_side_of_a_value_on_which_an_interval_lies():
    low, wide, high = (estimate(v, np.array([v - 0.1, v, v + 0.1])) for v in (0.5, 1.05, 2))
    assert [e.side(1) for e in (low, wide, high)] == [-1, 0, 1]
    assert low.side() == 1 and low.minus(high).side() == -1
    assert estimate(np.nan, np.full(3, np.nan)).side(1) == 0
    assert low.evidence() == {"value": 0.5, "low": low.low, "high": low.high}


def test_what_is_made_of_an_unmeasurable_number_is_unmeasurable():
    draws = np.linspace(1, 2, 50)
    one, two, fine = (
        replace(estimate(1.5, draws), unmeasurable=said) for said in ("Few.", "Near.", "")
    )
    made = (one.minus(fine), fine.over(one), one.times(2), mean([fine, one]),
            best_of({"a": one, "b": fine})[1])  # fmt: skip
    assert {e.unmeasurable for e in made} == {"Few."}
    assert one.minus(two).unmeasurable == "Few. Near." and one.over(one).unmeasurable == "Few."
    assert not fine.minus(fine).unmeasurable
