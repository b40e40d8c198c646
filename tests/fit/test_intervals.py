"""Intervals against closed forms, brute force and simulation."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

from dataworth.errors import UserError
from dataworth.fit import Fit, fit, percentile_interval, profile


def test_power_law_profile_is_the_t_interval_of_a_regression(
    shifted_runs: Callable[..., Any],
) -> None:
    runs = shifted_runs(floor=0.0, noise=0.05)
    line = stats.linregress(np.log(runs["x"]), np.log(runs["y"]))
    half = stats.t.ppf(0.975, len(runs["x"]) - 2) * line.stderr
    interval = fit(runs, law="power").interval("k", method="profile")
    assert interval.low == pytest.approx(-line.slope - half, abs=1e-6)
    assert interval.high == pytest.approx(-line.slope + half, abs=1e-6)


def test_mean_and_new_run_agree_with_regression_theory(
    shifted_runs: Callable[..., Any],
) -> None:
    runs = shifted_runs(floor=0.0, noise=0.05)
    u, v = np.log(runs["x"]), np.log(runs["y"])
    line = stats.linregress(u, v)
    n, at = len(u), np.log(1e6)
    s2 = ((v - line.intercept - line.slope * u) ** 2).sum() / (n - 2)
    lever = 1 / n + (at - u.mean()) ** 2 / ((u - u.mean()) ** 2).sum()
    t = stats.t.ppf(0.975, n - 2)
    result = fit(runs, law="power")
    for kind, extra in (("mean", 0), ("new-run", 1)):
        got = result.predict([1e6], kind=kind)
        half = t * np.sqrt(s2 * (lever + extra))
        centre = line.intercept + line.slope * at
        assert got.low[0] == pytest.approx(np.exp(centre - half), rel=1e-5)
        assert got.high[0] == pytest.approx(np.exp(centre + half), rel=1e-5)
        assert got.extrapolated[0]


def brute_force_end(result: Fit, name: str, far: float, quantile: float) -> float:
    """Where the deviance with this parameter held fixed reaches quantile^2."""
    runs = {"x": result.curve.x[:, 0], "y": result.curve.y}
    scale = 2 * result.objective / (result.n - 3)

    def excess(value: float) -> float:
        held = fit(runs, law="shifted", fixed={name: value}).objective
        return 2 * (held - result.objective) / scale - quantile**2

    return float(brentq(excess, result.params[name], far, xtol=1e-9))


def test_shifted_law_profile_agrees_with_brute_force(shifted_runs: Callable[..., Any]) -> None:
    result = fit(shifted_runs(), law="shifted")
    quantile = float(stats.t.ppf(0.975, result.n - 3))
    for name, low, high in (("k", 0.2, 0.7), ("E", 0.05, 0.4), ("a", 2.0, 20.0)):
        interval = result.interval(name)
        assert interval.method == "profile"
        assert interval.low == pytest.approx(brute_force_end(result, name, low, quantile), rel=1e-4)
        assert interval.high == pytest.approx(
            brute_force_end(result, name, high, quantile), rel=1e-4
        )
        assert result.test(name, interval.high) == pytest.approx(0.05, abs=2e-4)


def test_profile_agrees_with_lmfit(shifted_runs: Callable[..., Any]) -> None:
    lmfit = pytest.importorskip("lmfit", reason="lmfit is an optional oracle")
    runs = shifted_runs()

    def residual(p: Any) -> np.ndarray:
        f = p["E"] + p["a"] * runs["x"] ** -p["k"]
        return np.log(f) - np.log(runs["y"])

    params = lmfit.create_params(E=0.3, a=5.0, k=0.4)
    minimizer = lmfit.Minimizer(residual, params)
    found = minimizer.minimize()
    (sigma_low, low), _, (sigma_high, high) = lmfit.conf_interval(
        minimizer, found, p_names=["k"], sigmas=[0.95]
    )["k"]
    assert sigma_low == sigma_high == 0.95
    interval = fit(runs, law="shifted").interval("k")
    assert interval.low == pytest.approx(low, abs=1e-4)
    assert interval.high == pytest.approx(high, abs=1e-4)


def test_a_profile_that_does_not_close_is_reported_as_open() -> None:
    # one step and then flat: any steep exponent fits, so k has no upper end
    runs = {"x": np.array([1.0, 10, 100, 1000, 1e4]), "y": np.array([2.0, 1.01, 0.99, 1.0, 1.005])}
    interval = fit(runs, law="shifted").interval("k")
    assert interval.open and np.isinf(interval.high) and interval.low > 0


def test_a_floor_that_may_be_zero_ends_at_zero(shifted_runs: Callable[..., Any]) -> None:
    interval = fit(shifted_runs(floor=0.0), law="shifted").interval("E")
    assert interval.low == 0 and 0 < interval.high < 0.05


def test_a_floor_at_zero_is_no_fitted_parameter() -> None:
    # concave in log-log: the best floor is zero, and the fit is a power law with its n - 2
    x = np.geomspace(1e2, 1e5, 6)
    runs = {"x": x, "y": 5 * x**-0.4 * np.exp([-0.02, 0.01, 0.02, 0.0, 0.01, -0.02])}
    shifted, power = fit(runs, law="shifted"), fit(runs, law="power")
    assert shifted.params["E"] == 0 and "E_at_zero" in shifted.flags
    want = list(power.interval("k", method="wald"))
    np.testing.assert_allclose(list(shifted.interval("k", method="wald")), want, rtol=1e-6)
    new = [one.predict([1e6], kind="new-run", method="wald") for one in (shifted, power)]
    assert new[0].high == pytest.approx(new[1].high, rel=1e-6)


@pytest.mark.parametrize("estimate", [-1.0, -0.3, 0.0, 0.4, 1.2, 3.0])
def test_bound_at_zero_follows_the_ordering_of_feldman_and_cousins(estimate: float) -> None:
    value = np.linspace(0, 5, 201)

    def deviance(x: Any, mu: Any) -> Any:
        """2 log likelihood ratio of a normal mean mu >= 0 with unit variance, restricted."""
        return np.where(x >= 0, (x - mu) ** 2, mu**2 - 2 * mu * x)

    root = np.sign(value - max(estimate, 0.0)) * np.sqrt(deviance(estimate, value))
    got = profile.near_zero(value, root, max(estimate, 0.0), 1e9)
    drawn = np.linspace(-12, 17, 200_001)
    for at in range(4, 201, 16):
        mu = value[at]
        as_far = deviance(drawn, mu) >= deviance(estimate, mu) - 1e-12
        want = np.trapezoid(stats.norm.pdf(drawn - mu) * as_far, drawn)
        assert 2 * stats.norm.sf(abs(got[at])) == pytest.approx(want, abs=1e-3)
    assert 2 * stats.norm.sf(abs(got[0])) == pytest.approx(
        stats.norm.sf(estimate) if estimate > 0 else 1.0, abs=1e-6
    )


def test_interval_of_a_floor_is_where_its_test_refuses() -> None:
    rng = np.random.default_rng(3)
    x = np.geomspace(250, 64000, 6)
    at_zero = above = 0
    for _ in range(16):
        y = (0.01 + 20 * x**-0.45) * np.exp(0.02 * rng.normal(size=6))
        result = fit({"x": x, "y": y}, law="shifted")
        low, high = result.interval("E")
        assert result.test("E", high) == pytest.approx(0.05, abs=2e-3)
        if low > 0:
            assert result.test("E", low) == pytest.approx(0.05, abs=2e-3)
        else:
            assert result.test("E", 0.0) >= 0.05
        at_zero += result.params["E"] == 0
        above += result.params["E"] > 0
    assert at_zero and above


def test_saturated_fit_has_no_interval() -> None:
    runs = {"x": [1.0, 10, 100], "y": [2.0, 1.2, 1.0]}
    result = fit(runs, law="shifted")
    assert "saturated" in result.flags
    assert result.interval("k").open


def test_bootstrap_of_a_power_law_agrees_with_resampled_regressions(
    shifted_runs: Callable[..., Any],
) -> None:
    runs = shifted_runs(floor=0.0, noise=0.05)
    u, v, n = np.log(runs["x"]), np.log(runs["y"]), len(runs["x"])
    rng = np.random.default_rng(0)
    counts = rng.multinomial(n, np.ones(n) / n, size=200).astype(float)
    result = fit(runs, law="power", multipliers=counts)
    slopes = [-np.polyfit(u, v, 1, w=np.sqrt(w))[0] for w in counts]
    np.testing.assert_allclose(result.draws["k"], slopes, atol=1e-8)
    ends = np.quantile(slopes, [0.025, 0.975])
    np.testing.assert_allclose(list(result.interval("k")), ends, atol=1e-8)


def test_external_draws_are_refits_of_the_drawn_losses(shifted_runs: Callable[..., Any]) -> None:
    runs = shifted_runs(repeats=1, levels=8)
    rng = np.random.default_rng(1)
    draws = runs["y"] * np.exp(0.02 * rng.normal(size=(20, 8)))
    result = fit(runs, law="shifted", draws=draws)
    for b in (0, 7, 19):
        alone = fit({"x": runs["x"], "y": draws[b]}, law="shifted")
        assert result.draws["k"][b] == pytest.approx(alone.params["k"], rel=1e-4)
        assert result.draws["E"][b] == pytest.approx(alone.params["E"], rel=1e-3, abs=1e-9)


def test_a_resample_without_enough_levels_is_unidentified(
    shifted_runs: Callable[..., Any],
) -> None:
    runs = shifted_runs(repeats=1, levels=6)
    counts = np.ones((3, 6))
    counts[1, 2:] = 0
    result = fit(runs, law="shifted", multipliers=counts)
    assert np.isnan(result.draws["k"]).tolist() == [False, True, False]
    assert np.isnan(result.mean_draws([1e3])[:, 0]).tolist() == [False, True, False]
    assert "unidentified_draws" in result.flags


def test_sandwich_of_a_power_law_is_hc3_of_the_regression(
    shifted_runs: Callable[..., Any],
) -> None:
    runs = shifted_runs(floor=0.0, noise=0.05)
    u = -(np.log(runs["x"]) - np.log(runs["x"]).mean())
    design = np.column_stack([np.ones_like(u), u])
    bread = np.linalg.inv(design.T @ design)
    residual = np.log(runs["y"]) - design @ (bread @ design.T @ np.log(runs["y"]))
    leverage = np.einsum("ij,jk,ik->i", design, bread, design)
    meat = design.T @ (design * (residual / (1 - leverage))[:, None] ** 2)
    got = fit(runs, law="power").covariance("hc3")
    np.testing.assert_allclose(got, bread @ meat @ bread, rtol=1e-6)


def test_clusters_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    x = np.repeat(np.geomspace(1e2, 1e5, 12), 5)
    run = np.repeat(np.arange(12), 5)
    shift = 0.05 * rng.normal(size=12)[run]
    runs = {"x": x, "y": 5 * x**-0.3 * np.exp(shift + 0.005 * rng.normal(size=60)), "run": run}
    naive, clustered = fit(runs, law="power"), fit(runs, law="power", cluster="run")
    ratio = np.ptp(list(clustered.interval("k"))) / np.ptp(list(naive.interval("k")))
    assert ratio > 1.7


def test_cluster_covariance_is_the_jackknife_over_clusters() -> None:
    rng = np.random.default_rng(0)
    x = np.repeat(np.geomspace(1e2, 1e5, 12), 5)
    run = np.repeat(np.arange(12), 5)
    y = 5 * x**-0.3 * np.exp(0.05 * rng.normal(size=12)[run] + 0.01 * rng.normal(size=60))
    result = fit({"x": x, "y": y, "run": run}, law="power", cluster="run")
    u, v = np.log(x), np.log(y)
    slopes = np.array([np.polyfit(u[run != g], v[run != g], 1)[0] for g in range(12)])
    want = 11 / 12 * ((slopes - np.polyfit(u, v, 1)[0]) ** 2).sum()
    assert result.covariance("cluster")[1, 1] == pytest.approx(want, rel=1e-4)


def test_robust_loss_resists_outliers_and_has_its_own_interval(
    shifted_runs: Callable[..., Any],
) -> None:
    runs = shifted_runs(noise=0.01, repeats=5)
    runs["y"][[3, 17]] *= 1.8
    robust, plain = (fit(runs, law="shifted", loss=loss) for loss in ("huber", "l2"))
    assert abs(robust.params["k"] - 0.4) < abs(plain.params["k"] - 0.4)
    assert 0.4 in robust.interval("k")
    assert np.ptp(list(robust.interval("k"))) < 0.5 * np.ptp(list(plain.interval("k")))


def test_wild_and_case_bootstrap_agree_with_the_profile_on_many_rows(
    shifted_runs: Callable[..., Any],
) -> None:
    runs = shifted_runs(repeats=20)
    width = np.ptp(list(fit(runs, law="shifted").interval("k")))
    for kind in ("case", "wild"):
        result = fit(runs, law="shifted", bootstrap=500, resample=kind)
        for method in ("percentile", "basic", "bca"):
            got = np.ptp(list(result.interval("k", method=method)))
            assert got == pytest.approx(width, rel=0.2)


def test_coverage_of_the_profile_on_six_runs() -> None:
    # 300 curves of 6 runs: 95 % intervals of k and E cover within binomial error
    rng = np.random.default_rng(0)
    x = np.geomspace(1e2, 1e5, 6)
    hits = np.zeros(2)
    for _ in range(300):
        y = (0.3 + 5 * x**-0.4) * np.exp(0.01 * rng.normal(size=6))
        result = fit({"x": x, "y": y}, law="shifted")
        hits += [result.test("k", 0.4) > 0.05, result.test("E", 0.3) > 0.05]
    assert (np.abs(hits / 300 - 0.95) < 3.3 * np.sqrt(0.95 * 0.05 / 300)).all()


def test_json_round_trip_keeps_everything(shifted_runs: Callable[..., Any], tmp_path: Any) -> None:
    result = fit(shifted_runs(), law="shifted", loss="huber", bootstrap=50)
    text = result.to_json(tmp_path / "fit.json")
    for again in (Fit.from_json(text), Fit.from_json(tmp_path / "fit.json")):
        assert again.params == result.params
        assert again.interval("k") == result.interval("k")
        assert again.interval("k", method="profile") == result.interval("k", method="profile")


def test_wrong_requests_are_refused_in_one_sentence(shifted_runs: Callable[..., Any]) -> None:
    result = fit(shifted_runs(), law="shifted")
    with pytest.raises(UserError, match="no parameter 'alpha'; it has E, a, k"):
        result.interval("alpha")
    with pytest.raises(UserError, match="method is 'magic'"):
        result.interval("k", method="magic")
    with pytest.raises(UserError, match="no draws"):
        result.interval("k", method="bca")


def test_a_narrow_huber_zone_keeps_its_interval_honest() -> None:
    # delta = 1e-3 under 2 % noise is nearly least absolute deviations: count how often k is held
    rng = np.random.default_rng(1)
    x = np.repeat(np.geomspace(250, 64000, 8), 3)
    hits = 0
    for _ in range(100):
        y = (0.1 + 20 * x**-0.45) * np.exp(0.02 * rng.standard_t(3, size=24))
        hits += fit({"x": x, "y": y}, law="shifted", loss="chinchilla").test("k", 0.45) > 0.05
    assert hits >= 90


def test_least_absolute_deviations_want_a_bootstrap(shifted_runs: Callable[..., Any]) -> None:
    runs = shifted_runs()
    alone = fit(runs, law="shifted", loss="lad")
    interval = alone.interval("k")
    assert "no_interval" in alone.flags and interval.open and interval.method == "none"
    assert alone.summary()["parameters"]["k"]["high"] is None
    for ask in (lambda: alone.interval("k", method="profile"), lambda: alone.test("k", 0.4)):
        with pytest.raises(UserError, match="fit with bootstrap="):
            ask()
    drawn = fit(runs, law="shifted", loss="lad", bootstrap=100)
    assert 0.4 in drawn.interval("k", level=0.99)


def test_any_scalar_of_the_parameters_has_an_interval(shifted_runs: Callable[..., Any]) -> None:
    result = fit(shifted_runs(), law="shifted", bootstrap=60)
    for method in ("profile", "wald", "percentile"):
        want = result.interval("k", method=method)
        got = result.interval_of(lambda p: 2 * p["k"], method=method)
        np.testing.assert_allclose([2 * v for v in want], list(got), rtol=2e-3)
    size = result.interval_of(lambda p: (p["a"] / (0.5 - p["E"])) ** (1 / p["k"]))
    assert size.value == pytest.approx((5 / 0.2) ** 2.5, rel=0.5) and size.low < size.value


def test_percentile_interval_of_draws() -> None:
    draws = np.random.default_rng(0).normal(size=(2000, 3))
    want = np.quantile(draws, [0.05, 0.95], axis=0)
    np.testing.assert_allclose(percentile_interval(draws, 0.9), want)
    alone = percentile_interval(draws[:, 0], 0.9)
    assert alone == pytest.approx(tuple(want[:, 0]), rel=1e-12)
    assert percentile_interval([np.nan, 1.0, 2.0, np.inf]) == (pytest.approx(1.05), np.inf)
    assert np.isnan(percentile_interval([np.nan, np.nan])).all()


def test_m4_on_seven_rows_has_one_interval_whatever_the_path() -> None:
    """Rows in another order and other units of both axes: the same ends, and those at which the
    deviance of a fit with the parameter held there reaches the quantile."""
    x = 100.0 * 2 ** np.arange(7)
    y = 100 - np.array([41.2, 52.6, 62.0, 69.1, 74.8, 79.0, 82.3])
    result = fit({"x": x, "y": y}, law="m4")
    found = result.intervals()
    order = np.random.default_rng(0).permutation(7)
    other = fit({"x": 1000 * x[order], "y": 7 * y[order]}, law="m4").intervals()
    for name, unit in (("E", 7.0), ("E0", 7.0), ("c", 1.0), ("k", 1.0)):
        want = [unit * found[name].value, *(unit * end for end in found[name])]
        got = [other[name].value, *other[name]]
        np.testing.assert_allclose(got, want, rtol=1e-3)
    _, dof = result.minimum.noise(np.eye(5)[4])
    for end in found["k"]:
        held = fit({"x": x, "y": y}, law="m4", fixed={"k": end})
        deviance = 2 * (held.objective - result.objective) / result.minimum.dispersion
        assert np.sqrt(deviance) == pytest.approx(stats.t.ppf(0.975, dof), rel=1e-3)
