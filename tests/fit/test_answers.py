"""Equivalence ratios, crossings, frontiers, forecasts and advice against closed forms."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize_scalar

from dataworth.errors import UserError
from dataworth.fit import (
    Chain,
    Cost,
    Fit,
    allocation_exponent,
    compare,
    crossing,
    equivalence,
    fit,
    forecast,
    frontier,
    more_runs,
    rolling_origin,
)
from dataworth.fit.extrapolate import FACTORS, spread

X = np.repeat(np.geomspace(250, 16000, 6), 3)


def curve(
    floor: float, a: float, k: float, law: str = "shifted", noise: float = 0.0, **kw: Any
) -> Fit:
    rng = np.random.default_rng(kw.pop("rows", 0))
    y = (floor + a * X**-k) * np.exp(noise * rng.normal(size=len(X)))
    return fit({"x": X, "y": y}, law=law, **kw)


def test_ratio_of_two_power_laws_is_the_closed_form() -> None:
    real, synthetic = curve(0, 20, 0.5, "power"), curve(0, 12, 0.3, "power")
    result = equivalence(synthetic, real, at_real=4000)
    loss = 20 * 4000**-0.5
    n = (12 / loss) ** (1 / 0.3)
    assert result.n_synthetic == pytest.approx(n, rel=1e-9)
    assert result.ratio.value == pytest.approx(n / 4000, rel=1e-9)
    # dn_s/dn_r at equal loss: n_s ~ n_r^(k_r/k_s)
    assert result.marginal.value == pytest.approx(0.5 / 0.3 * n / 4000, rel=1e-6)
    for other in (
        equivalence(synthetic, real, at=n),
        equivalence(synthetic, real, at_loss=loss),
    ):
        assert other.ratio.value == pytest.approx(result.ratio.value, rel=1e-9)


def test_ratio_interval_of_power_laws_agrees_with_the_delta_method() -> None:
    real = curve(0, 20, 0.5, "power", 0.01, rows=1)
    synthetic = curve(0, 12, 0.5, "power", 0.01, rows=2)
    result = equivalence(synthetic, real, at_real=2000)
    assert result.case == "finite"
    variance = []
    for one, n in ((real, 2000.0), (synthetic, result.n_synthetic)):
        u = np.log(X)
        s2 = 2 * one.objective / (len(X) - 2)
        at = (np.log(n) - u.mean()) ** 2 / ((u - u.mean()) ** 2).sum()
        variance.append(s2 * (1 / len(X) + at))
    assert result.ratio.method == "profile" and result.marginal.method == "delta"
    half = stats.t.ppf(0.975, 32) * np.sqrt(sum(variance)) / synthetic.params["k"]
    centre = np.log(result.ratio.value)
    assert np.log(result.ratio.low) == pytest.approx(centre - half, rel=0.03)
    assert np.log(result.ratio.high) == pytest.approx(centre + half, rel=0.03)


def test_floor_above_the_real_loss_gives_an_infinite_ratio() -> None:
    for extra in ({}, {"bootstrap": 200}):
        real = curve(0.1, 20, 0.4, noise=0.01, rows=1, **extra)
        synthetic = curve(0.8, 20, 0.4, noise=0.01, rows=2, **extra)
        result = equivalence(synthetic, real, at_real=16000)
        assert result.case == "infinite"
        assert np.isposinf(result.ratio.value) and np.isposinf(result.ratio.high)
        assert "infinite" in result.summary
        if extra:
            assert result.share_infinite > 0.95
        mirrored = equivalence(real, synthetic, at=16000)
        assert mirrored.ratio.value == 0 and mirrored.ratio.low == 0


def test_ratio_far_beyond_the_data_is_called_extrapolated_or_unidentified() -> None:
    real = curve(0.1, 20, 0.4, noise=0.02, rows=1, bootstrap=300)
    synthetic = curve(0.4, 30, 0.4, noise=0.02, rows=2, bootstrap=300)
    assert equivalence(synthetic, real, at=8000).case == "finite"
    far = equivalence(synthetic, real, at_real=16000)
    assert far.case == "extrapolated" and far.extrapolated
    assert far.ratio.high > 3 * far.ratio.low
    neither = equivalence(synthetic, real, at_loss=0.01)
    assert neither.case == "unidentified" and np.isnan(neither.ratio.value)


def test_paired_draws_cancel_common_noise() -> None:
    rng = np.random.default_rng(0)
    common = np.exp(0.05 * rng.normal(size=(400, len(X))))
    losses = {name: (0.1 + a * X**-0.4) for name, a in (("real", 20), ("synthetic", 30))}
    fits = {n: fit({"x": X, "y": y}, law="shifted", draws=y * common) for n, y in losses.items()}
    paired = equivalence(fits["synthetic"], fits["real"], at=8000)
    other = fits["real"].draws_phi
    assert other is not None
    shuffled = replace(fits["real"], draws_phi=rng.permutation(other))
    unpaired = equivalence(fits["synthetic"], shuffled, at=8000)
    assert np.ptp(list(paired.ratio)) < 0.6 * np.ptp(list(unpaired.ratio))


def test_draws_must_pair() -> None:
    with pytest.raises(UserError, match="20 and 30 draws"):
        equivalence(curve(0.1, 20, 0.4, noise=0.01, bootstrap=20),
                    curve(0.1, 20, 0.4, noise=0.01, bootstrap=30), at=1000)  # fmt: skip
    with pytest.raises(UserError, match="exactly one"):
        equivalence(curve(0.1, 20, 0.4), curve(0.1, 20, 0.4))


def test_crossing_of_two_power_laws() -> None:
    steep, flat = curve(0, 20, 0.5, "power", 0.01, rows=1), curve(0, 2, 0.2, "power", 0.01, rows=2)
    truth = (20 / 2) ** (1 / 0.3)
    result = crossing(steep, flat)
    assert truth in result.x and result.inside and not result.first_wins_below
    assert result.x.value == pytest.approx(truth, rel=0.1)
    apart = crossing(curve(0, 20, 0.4, "power"), curve(0, 30, 0.4, "power"))
    assert np.isnan(apart.x.value) and apart.x.open


# Compute-optimal sizes of the Hoffmann law: rounded constants, and the digits of the TeX source
ROUNDED = (406.4, 410.7, 1.69, 0.34, 0.28)
DIGITS = (np.exp(6.0073404), np.exp(6.0179186), np.exp(0.5267228), 0.33917084, 0.2849083)
OPTIMA = [
    (ROUNDED, 1e21, 1.8242e9, 9.1363e10, 50.084, 2.32888),
    (ROUNDED, 5.76e23, 3.2190e10, 2.9823e12, 92.647, 1.93075),
    (ROUNDED, 1e25, 1.1682e11, 1.4267e13, 122.12, 1.84532),
    (DIGITS, 1e21, 2.2170e9, 7.5178e10, 33.911, 2.29549),
    (DIGITS, 5.76e23, 4.0361e10, 2.3785e12, 58.932, 1.91841),
    (DIGITS, 1e25, 1.4855e11, 1.1220e13, 75.531, 1.83802),
]


@pytest.fixture(scope="module")
def chinchilla_fit(chinchilla_runs: dict[str, np.ndarray]) -> Fit:
    return fit(chinchilla_runs, law="chinchilla", x=["N", "D"], y="loss", loss="chinchilla")


@pytest.mark.parametrize(("constants", "budget", "n", "d", "ratio", "loss"), OPTIMA)
def test_frontier_of_published_constants(
    chinchilla_fit: Fit,
    constants: Any,
    budget: float,
    n: float,
    d: float,
    ratio: float,
    loss: float,
) -> None:
    a, b, e, alpha, beta = constants
    unscale, shift = chinchilla_fit.law.unscale(chinchilla_fit.log_x0)
    natural = np.array([np.log(e), np.log(a), np.log(b), alpha, beta])
    published = replace(chinchilla_fit, phi=np.linalg.solve(unscale, natural - shift))
    best = frontier(published, budget, method="wald")[0]
    assert best.interior
    np.testing.assert_allclose([best.n.value, best.d.value], [n, d], rtol=5e-5)
    assert best.ratio == pytest.approx(ratio, rel=5e-5)
    assert best.loss.value == pytest.approx(loss, abs=1e-5)


def test_frontier_search_agrees_with_the_closed_form_and_with_scipy(chinchilla_fit: Fit) -> None:
    from dataworth.fit.frontier import _log_n_closed, _log_n_search

    cost, log_c = Cost(4.0, 1.2, 0.9), np.log(1e22)
    phi = chinchilla_fit.phi[None]
    closed = _log_n_closed(chinchilla_fit, phi, log_c, cost)[0]
    assert _log_n_search(chinchilla_fit, phi, log_c, cost, 4.0)[0] == pytest.approx(
        closed, abs=1e-5
    )
    best = minimize_scalar(
        lambda u: chinchilla_fit.mean([[np.exp(u), np.exp(cost.log_d(log_c, u))]])[0],
        bounds=(closed - 3, closed + 3), method="bounded", options={"xatol": 1e-9},
    )  # fmt: skip
    assert best.x == pytest.approx(closed, abs=1e-5)


def test_frontier_intervals_cover_the_truth(
    chinchilla_runs: dict[str, np.ndarray], chinchilla_fit: Fit
) -> None:
    drawn = fit(chinchilla_runs, law="chinchilla", x=["N", "D"], y="loss", loss="chinchilla",
                bootstrap=300)  # fmt: skip
    for one in (drawn, chinchilla_fit):
        best = frontier(one, 1e21)[0]
        assert 2.2170e9 in best.n and 7.5178e10 in best.d and 2.29549 in best.loss
        assert 0.2849083 / (0.33917084 + 0.2849083) in allocation_exponent(one)


def test_tokens_to_serve_are_paid_out_of_the_same_budget(chinchilla_fit: Fit) -> None:
    """Against scipy along the budget 6 N D + 2 N served, for the closed slope and for the search;
    the same loss costs less in all than a model that was best for training alone."""
    from dataworth.fit.frontier import _log_n_search

    budget, served = 1e22, 5e12
    (plain,) = frontier(chinchilla_fit, budget, method="wald")
    price = Cost(served=served)
    (best,) = frontier(chinchilla_fit, budget, cost=price, method="wald")
    assert 6 * best.n.value * best.d.value + 2 * best.n.value * served == pytest.approx(budget)
    found = minimize_scalar(
        lambda u: chinchilla_fit.mean([[np.exp(u), (budget / np.exp(u) - 2 * served) / 6]])[0],
        bounds=(np.log(1e8), np.log(budget / 2.001 / served)), method="bounded",
        options={"xatol": 1e-9},
    )  # fmt: skip
    assert np.log(best.n.value) == pytest.approx(found.x, abs=1e-5)
    searched = _log_n_search(chinchilla_fit, chinchilla_fit.phi[None], np.log(budget), price, 4.0)
    assert searched[0] == pytest.approx(found.x, abs=1e-5)
    assert best.n.value < plain.n.value and best.ratio > plain.ratio
    (few,) = frontier(chinchilla_fit, budget, cost=Cost(served=1.0), method="wald")
    assert few.n.value == pytest.approx(plain.n.value, rel=1e-6)
    with pytest.raises(UserError, match="served of the cost is -1"):
        Cost(served=-1.0)


def two_stages(seed: int, **options: Any) -> Chain:
    rng = np.random.default_rng(seed)
    n, d = (a.ravel() for a in np.meshgrid(np.geomspace(3e7, 3e9, 5), np.geomspace(1e9, 1e11, 4)))
    loss = (1.7 + 400 * n**-0.34 + 410 * d**-0.28) * np.exp(0.005 * rng.normal(size=20))
    acc = 0.25 + 0.6 / (1 + np.exp(2.5 * (loss - 2.6))) + 0.008 * rng.normal(size=20)
    runs = {"N": n, "D": d, "loss": loss, "acc": acc}
    scale = fit(runs, law="chinchilla", x=["N", "D"], y="loss", **options)
    return Chain(scale, fit(runs, law="sigmoid", x="loss", y="acc", residual="identity", **options))


def test_a_chain_of_two_stages_has_one_interval() -> None:
    at = [[2e10, 1e12]]
    loss = 1.7 + 400 * 2e10**-0.34 + 410 * 1e12**-0.28
    truth = 0.25 + 0.6 / (1 + np.exp(2.5 * (loss - 2.6)))
    chain = two_stages(0)
    found = chain.predict(at)
    stage = chain.second.mean(chain.first.mean(at))
    assert found.mean[0] == pytest.approx(stage[0], rel=1e-9)
    assert found.low[0] <= truth <= found.high[0] and found.extrapolated[0]
    # wider than either stage's own: the accuracy at a known loss, and the loss sent through
    known = chain.second.predict(chain.first.mean(at))
    sent = chain.second.mean(chain.first.predict(at).high)[0]
    assert found.low[0] < min(known.low[0], sent)
    run = chain.predict(at, kind="new-run")
    assert run.low[0] < found.low[0] and run.high[0] > found.high[0]
    # to first order: both stages' variances, each through its own gradient
    variances, step, dofs = [], 1e-5, []
    for place, one in enumerate(chain.fits):
        minimum = one.minimum
        slopes = []
        for row in step * minimum.problem.matrix.T:
            phi = [p.copy() for p in chain.phi]
            phi[place] += row
            slopes.append((chain._log_y(*phi, np.array(at))[0] - np.log(stage[0])) / step)
        noise, dof = minimum.noise(np.array(slopes))
        variances.append(noise * float(np.array(slopes) @ minimum.inverse @ np.array(slopes)))
        dofs.append(dof)
    welch = sum(variances) ** 2 / sum(v * v / d for v, d in zip(variances, dofs, strict=True))
    half = stats.t.ppf(0.975, welch) * np.sqrt(sum(variances))
    width = np.log(found.high[0] / found.low[0])
    assert width == pytest.approx(2 * half, rel=0.1)
    drawn = two_stages(0, bootstrap=50)
    assert drawn.draws is not None
    each = drawn._log_y(*drawn.draws, np.array(at))
    ends = drawn.predict(at)
    assert np.log([ends.low[0], ends.high[0]]) == pytest.approx(np.quantile(each, [0.025, 0.975]))


def test_frontier_needs_two_variables() -> None:
    with pytest.raises(UserError, match="law of two variables"):
        frontier(curve(0.1, 20, 0.4), 1e6)


def test_rolling_origin_of_the_true_law_is_calibrated() -> None:
    covered, rmsle = [], []
    for seed in range(40):
        origins = rolling_origin(curve(0, 20, 0.4, "power", 0.02, rows=seed))
        covered += [o.coverage for o in origins]
        rmsle += [o.rmsle for o in origins]
    assert np.mean(covered) == pytest.approx(0.9, abs=0.05)
    assert 0.02 < np.mean(rmsle) < 0.04  # the noise of a new run, and a little for the curve
    wrong = rolling_origin(curve(0.8, 20, 0.4, "power", 0.02))
    assert max(o.rmsle for o in wrong) > 0.1


def test_crps_agrees_with_its_integral() -> None:
    result = curve(0, 20, 0.4, "power", 0.05)
    origin = rolling_origin(result, fractions=[0.8])[0]
    from dataworth.fit.extrapolate import refit
    from dataworth.fit.extrapolate import spread as spread_of

    inside = origin.until >= X
    part = refit(result, inside)
    x, log_y = result.curve.x[~inside], np.log(result.curve.y[~inside])
    spread, _ = spread_of(part, x)
    grid = np.linspace(-3, 3, 60001)
    scores = [
        np.trapezoid((stats.norm.cdf(grid, m, s) - (grid >= v)) ** 2, grid)
        for m, s, v in zip(np.log(part.mean(x)), spread, log_y, strict=True)
    ]
    assert origin.crps == pytest.approx(np.mean(scores), rel=1e-3)


def test_comparison_prefers_the_law_that_made_the_data() -> None:
    scores = compare([curve(0.3, 20, 0.5, "power", 0.02)], ["shifted", "m3", "m4"])
    delta = {s.law: s.delta for s in scores}
    assert delta["power"] > 10 and delta["shifted"] < 4
    assert sum(s.weight for s in scores) == pytest.approx(1)
    straight = compare([curve(0, 20, 0.4, "power", 0.02)], ["shifted"])
    n, k = len(X), 3
    power = next(s for s in straight if s.law == "power")
    want = n * np.log(2 * power.objective / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1)
    assert power.aicc == pytest.approx(want)
    with pytest.raises(UserError, match="same rows"):
        compare([curve(0, 20, 0.4, noise=0.01), curve(0, 30, 0.4, noise=0.01)])


def test_forecast_picks_the_law_and_beats_the_wrong_one() -> None:
    x = np.geomspace(1e2, 1e5, 20)
    rng = np.random.default_rng(0)
    y = (0.5 + 8 * x**-0.5) * np.exp(0.003 * rng.normal(size=20))
    chosen = forecast({"x": x, "y": y}, laws=["power", "shifted", "m3"], recency=[0, 1])
    assert chosen.law != "power" and len(chosen.scores) == 6
    truth = 0.5 + 8 * (3e5) ** -0.5
    assert chosen.fit.mean([3e5])[0] == pytest.approx(truth, rel=0.01)
    default = forecast({"x": x, "y": y})
    assert default.law == "m4" and default.fit.mean([3e5])[0] == pytest.approx(truth, rel=0.01)
    assert forecast({"x": x[:4], "y": y[:4]}).law == "shifted"
    wrong = fit({"x": x, "y": y}, law="power").mean([3e5])[0]
    assert abs(np.log(wrong / truth)) > 10 * abs(np.log(chosen.fit.mean([3e5])[0] / truth))


def test_an_interval_for_a_wrong_law_is_the_miss_of_refits_times_distance() -> None:
    """By hand: refits to the sizes up to 1/2^(j/2) of the largest, each scored beyond."""
    x = 16 * np.sqrt(2) ** np.arange(12)
    y = (0.1 + 2 * x**-0.5) * np.exp(0.02 * np.random.default_rng(0).normal(size=12))
    chosen = forecast({"x": x, "y": y}, laws=["shifted"])
    squares = []
    for held in (1, 2, 3, 4):
        part = fit({"x": x[:-held], "y": y[:-held]}, law="shifted")
        squares.append(np.mean(np.log(part.mean(x[-held:]) / y[-held:]) ** 2))
    far = np.array([1.0, 2.0, 8.0]) * x[-1]
    own = spread(chosen.fit, far[:, None])[0]
    got = chosen.predict(far, level=0.9)
    half = FACTORS["shifted"][0.9] * far / x[-1] * np.sqrt(own**2 + np.mean(squares))
    np.testing.assert_allclose(np.log(got.high / got.mean), half, rtol=1e-5)
    np.testing.assert_allclose(np.log(got.mean / got.low), half, rtol=1e-5)
    assert got.extrapolated.tolist() == [False, True, True]
    with pytest.raises(UserError, match=r"'shifted' at level 0.99: .* at levels 0\.5, 0\.8"):
        chosen.predict(far, level=0.99)
    with pytest.raises(UserError, match=r"needs 4 sizes up to 2\.828"):
        forecast({"x": [1.0, 2, 3, 4], "y": [4.0, 3, 2.5, 2.2]}).predict([8.0])


def test_advised_runs_reach_the_wanted_width() -> None:
    noise = 0.03
    now = curve(0, 20, 0.4, "power", noise, rows=3)
    width = 0.5 * np.ptp(list(now.interval("k", method="profile"))) / 2
    advice = more_runs(now, "k", width, [250, 2000, 16000, 256000])
    assert advice[0].x == (256000.0,)  # the farthest size tells most about a slope
    assert 2000.0 not in [a.x[0] for a in advice]  # the middle tells nothing about it
    best = next(a for a in advice if a.x == (256000.0,))
    rng, widths = np.random.default_rng(0), []
    for _ in range(40):
        x = np.r_[X, np.full(best.runs, 256000.0)]
        y = 20 * x**-0.4 * np.exp(noise * rng.normal(size=len(x)))
        widths.append(np.ptp(list(fit({"x": x, "y": y}, law="power").interval("k"))) / 2)
    assert np.mean(widths) == pytest.approx(best.half_width, rel=0.35)
