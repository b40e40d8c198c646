"""What the chapters on laws compute: simulated curves and answers from published points."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from dataworth.fit import fit
from dataworth.studies import laws


def chinchilla(c, n, d):
    return c["E"] + c["A"] / n ** c["alpha"] + c["B"] / d ** c["beta"]


def test_simulated_runs_scatter_about_hoffmanns_law():
    runs = laws.simulated_runs(500, 0.006, np.random.default_rng(0))
    off = np.log(runs.loss / chinchilla(laws.HOFFMANN, runs.N, runs.D))
    assert np.median(off) == pytest.approx(0, abs=0.002)
    # Student's t with three degrees of freedom: quartiles at 0.765
    assert np.quantile(abs(off), 0.5) == pytest.approx(0.006 * 0.765, rel=0.2)
    budgets = np.unique((6 * runs.N * runs.D).round(-15))
    assert len(budgets) == 9 and budgets[-1] == pytest.approx(10**21.5, rel=1e-3)


@pytest.mark.parametrize("constants", [laws.HOFFMANN, laws.ROUNDED])
@pytest.mark.parametrize("budget", [1e19, 5.76e23])
def test_compute_optimal_is_the_minimum_along_the_budget(constants, budget):
    n, d = laws.compute_optimal(constants, budget)
    assert 6 * n * d == pytest.approx(budget)
    found = minimize_scalar(
        lambda u: chinchilla(constants, np.exp(u), budget / 6 / np.exp(u)), bounds=(15, 35)
    )
    assert np.log(n) == pytest.approx(found.x, abs=1e-3)


def test_exponents_by_range_and_by_loss():
    sizes = np.geomspace(100, 1e5, 8)
    k = laws.exponent_by_range(sizes, 3 * sizes**-0.3, "power", range(4, 9))
    assert [i.value for i in k] == pytest.approx([0.3] * 5)
    by_loss = laws.exponents_by_loss(3, ["l2", "huber"], np.random.default_rng(0))
    assert {name: v.shape for name, v in by_loss.items()} == {"l2": (3,), "huber": (3,)}
    assert all(abs(v - 0.45).max() < 0.1 for v in by_loss.values())


def test_no_search_ends_below_the_fit_and_the_mean_stops_early():
    runs = laws.simulated_runs(100, 0.006, np.random.default_rng(0))
    model = fit(runs, law="chinchilla", x=["N", "D"], y="loss", loss="chinchilla")
    found = laws.searches(model, 20)
    assert set(found) == {"sum", "mean"}
    assert (found["sum"].excess >= 1e-9).all() and (found["mean"].excess >= 1e-9).all()
    assert found["sum"].excess.min() < 0.01 < found["mean"].excess.min()
    best = found["sum"].loc[found["sum"].excess.idxmin()]
    assert best.alpha == pytest.approx(model.params["alpha"], abs=0.02)


def test_break_even_by_hand():
    totals = np.array([2.0, 4.0, 8.0])
    accuracy = np.array([[3, 1, 0], [1, 1, 1], [5, 4, 3], [3, 2, 0]], dtype=float)
    base = np.array([2.0, 2, 2, 1])
    # half way in log total; below from the first on; never below; half way
    expected = [np.sqrt(8), 2.0, np.inf, np.sqrt(32)]
    np.testing.assert_allclose(laws.break_even(totals, accuracy, base), expected)


def test_slope_is_that_of_ordinary_least_squares():
    rng = np.random.default_rng(0)
    x = np.arange(6.0)
    y = 2 - 0.5 * x + 0.1 * rng.normal(size=6)
    design = np.column_stack([np.ones(6), x])
    beta, rss, *_ = np.linalg.lstsq(design, y, rcond=None)
    half = 2.776445 * np.sqrt(rss[0] / 4 * np.linalg.inv(design.T @ design)[1, 1])  # t(4), 97.5 %
    found = laws.slope(x, y)
    assert found.value == pytest.approx(beta[1])
    assert found.interval == pytest.approx((beta[1] - half, beta[1] + half), rel=1e-6)
