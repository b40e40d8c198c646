"""Estimates that chapters judge claims by, on curves and scores of which the answer is known."""

from types import SimpleNamespace

import numpy as np
import pytest

from dataworth.stats import Estimate
from dataworth.studies import (
    characteristics,
    mixing,
    prompts_and_guidance,
    synthetic_scaling,
)
from dataworth.studies.curves import Curve, exponent_ratio

SIZES = np.array([10, 40, 160, 640])


def power(k: float, noise: float = 0.0) -> Curve:
    """3 D^-k exactly; its draws differ by a factor only, so that they have the same k."""
    means = 3.0 * SIZES**-k
    factors = np.exp(noise * np.random.default_rng(0).normal(size=(200, 1)))
    return Curve(SIZES, means[:, None], means * factors)


def test_one_point_of_a_curve_and_what_a_ledger_keeps():
    c = power(0.3, noise=0.1)
    low, high = c.interval()
    for i in (0, 2, -1):
        e = c.one(i)
        assert (e.value, e.low, e.high) == (c.means[i], low[i], high[i])
    assert c.evidence() == {
        "sizes": [10, 40, 160, 640], "means": c.means.tolist(), "low": low.tolist(),
        "high": high.tolist(),
    }  # fmt: skip


def test_exponent_ratio():
    one, other = (
        SimpleNamespace(params={"k": k}, draws={"k": k * np.linspace(0.9, 1.1, 21)})
        for k in (0.5, 0.2)
    )
    e = exponent_ratio(one, other)
    assert (e.value, *e.interval) == pytest.approx((2.5, 2.5, 2.5))


@pytest.mark.parametrize("k", [0.1, 0.5])
def test_a_power_law_has_one_slope(k):
    study = SimpleNamespace(
        curves={"real": power(k, noise=0.05)}, params=SimpleNamespace(other_sizes=(10, 40, 640))
    )
    slope = synthetic_scaling.Study.local_slope(study, "real")
    assert slope.value == pytest.approx(k) and slope.interval == pytest.approx((k, k))


def test_a_floor_is_seen_by_the_slope():
    c = power(0.5)
    bent = Curve(SIZES, c.values + 1, c.draws + 1)
    study = SimpleNamespace(
        curves={"real": bent}, params=SimpleNamespace(other_sizes=(10, 160, 640))
    )
    assert synthetic_scaling.Study.local_slope(study, "real").high < 0.1


def test_a_change_along_a_line_of_mixed_sets():
    c = power(0.5, noise=0.2)
    study = SimpleNamespace(mixed=lambda real, metric: {(7, "error"): c}[real, metric])
    e = mixing.Mixed.change(study, 7, -1, 0)
    assert e.value == pytest.approx(64**-0.5) and e.interval == pytest.approx((1 / 8, 1 / 8))


def test_two_configurations_are_compared_in_points_and_in_k():
    errors = {"good": power(0.5), "bad": power(0.4)}
    study = SimpleNamespace(
        errors=errors, exponents={},
        losses={c: np.log(np.r_[2.0, np.full(9, x)]) for c, x in (("good", 1.0), ("bad", 1.5))},
    )  # fmt: skip
    e = prompts_and_guidance.Study.points(study, "bad", "good")
    assert e.value == pytest.approx(300 * (640**-0.4 - 640**-0.5)) and e.low > 0
    lower = prompts_and_guidance.Study.contrast(study, "bad", "good")
    assert lower.value == 1 and lower.interval == pytest.approx((1.5, 1.5))


def test_places_of_domains():
    values = {"books": 0.2, "code": 0.7, "web": 0.2, "chat": 0.1}
    study = SimpleNamespace(
        by_domain=lambda measure: {d: Estimate(v, v, v, np.empty(0)) for d, v in values.items()}
    )
    places = characteristics.Characteristics.ranks(study, "toxicity")
    assert places == {"code": 1, "books": 2, "web": 2, "chat": 4}
