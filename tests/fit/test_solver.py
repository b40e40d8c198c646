"""The minimum against scipy's, and properties that any estimator must have."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares, minimize
from scipy.special import huber

from dataworth.fit import PowerSum, Term, fit
from dataworth.fit.estimate import problem_of
from dataworth.fit.resample import multiplier_matrix
from dataworth.fit.solver import minimise


def test_least_squares_agrees_with_scipy(shifted_runs: Callable[..., Any]) -> None:
    runs = shifted_runs()
    x, log_y = runs["x"], np.log(runs["y"])
    reference = least_squares(
        lambda t: np.log(np.exp(t[0]) + np.exp(t[1]) * x ** -t[2]) - log_y,
        [-1, 1, 0.5], xtol=1e-14, ftol=1e-14, gtol=1e-14,
    )  # fmt: skip
    result = fit(runs, law="shifted")
    assert result.objective == pytest.approx(reference.cost, rel=1e-10)
    want = [*np.exp(reference.x[:2]), reference.x[2]]
    np.testing.assert_allclose(list(result.params.values()), want, rtol=1e-5)


@pytest.mark.parametrize("residual", ["identity", "logit"])
def test_other_residuals_agree_with_scipy(residual: str, shifted_runs: Callable[..., Any]) -> None:
    runs = shifted_runs(0.2, 2.0, 0.3)

    def g(f: np.ndarray) -> np.ndarray:
        return np.log(f / (1 - f)) if residual == "logit" else f

    reference = least_squares(
        lambda t: g(np.exp(t[0]) + np.exp(t[1]) * runs["x"] ** -t[2]) - g(runs["y"]),
        [np.log(0.2), np.log(2.0), 0.3], xtol=1e-14, ftol=1e-14, gtol=1e-14,
    )  # fmt: skip
    assert fit(runs, law="shifted", residual=residual).objective <= reference.cost * (1 + 1e-9)


def chinchilla_objective(runs: dict[str, np.ndarray], delta: float) -> Callable[..., float]:
    log_n, log_d, log_y = (np.log(runs[c]) for c in ("N", "D", "loss"))

    def value(t: np.ndarray) -> float:
        terms = [t[0] - t[3] * log_n, t[1] - t[4] * log_d, np.full_like(log_n, t[2])]
        return float(huber(delta, np.logaddexp.reduce(terms) - log_y).sum())

    return value


def test_robust_chinchilla_fit_is_never_worse_than_scipy(
    chinchilla_runs: dict[str, np.ndarray],
) -> None:
    value = chinchilla_objective(chinchilla_runs, 1e-3)
    options = {"xatol": 1e-10, "fatol": 1e-14, "maxiter": 8000, "maxfev": 8000}
    start = [6.0, 6.0, 0.5, 0.34, 0.28]
    reference = minimize(value, start, method="Nelder-Mead", options=options)
    result = fit(chinchilla_runs, law="chinchilla", x=["N", "D"], y="loss", loss="chinchilla")
    assert result.objective <= reference.fun * (1 + 1e-9)
    p = result.params
    ours = [np.log(p["A"]), np.log(p["B"]), np.log(p["E"]), p["alpha"], p["beta"]]
    assert value(np.array(ours)) == pytest.approx(result.objective, rel=1e-9)


def test_least_absolute_deviations_agree_with_a_linear_program() -> None:
    from scipy.optimize import linprog

    rng = np.random.default_rng(0)
    u = np.log(np.geomspace(10, 1e4, 25))
    log_y = 1 - 0.3 * u + 0.1 * rng.standard_t(2, size=25)
    n = len(u)
    a = np.column_stack([np.ones(n), u, np.eye(n), -np.eye(n)])
    best = linprog(np.r_[0, 0, np.ones(2 * n)], A_eq=a, b_eq=log_y,
                   bounds=[(None, None)] * 2 + [(0, None)] * (2 * n))  # fmt: skip
    result = fit({"x": np.exp(u), "y": np.exp(log_y)}, law="power", loss="lad")
    assert np.abs(result.residuals()).sum() <= best.fun * (1 + 1e-3)
    assert result.params["k"] == pytest.approx(-best.x[1], abs=2e-3)


def test_student_loss_agrees_with_scipy(shifted_runs: Callable[..., Any]) -> None:
    runs = shifted_runs()
    x, log_y, s = runs["x"], np.log(runs["y"]), 0.01

    def value(t: np.ndarray) -> float:
        r = np.log(np.exp(t[0]) + np.exp(t[1]) * x ** -t[2]) - log_y
        return float((2.5 * s * s * np.log1p(r * r / (4 * s * s))).sum())

    options = {"xatol": 1e-10, "fatol": 1e-16, "maxiter": 5000, "maxfev": 5000}
    reference = minimize(value, [-1, 1.5, 0.4], method="Nelder-Mead", options=options)
    result = fit(runs, law="shifted", loss="student", delta=s)
    assert result.objective == pytest.approx(reference.fun, rel=1e-8)


def test_refits_are_never_worse_than_bfgs_from_the_same_start(
    chinchilla_runs: dict[str, np.ndarray],
) -> None:
    result = fit(chinchilla_runs, law="chinchilla", x=["N", "D"], y="loss", loss="chinchilla")
    problem, _ = problem_of(result.settings, result.curve.x, result.curve.y, result.log_x0)
    counts = multiplier_matrix(np.arange(240), 5, seed=1)
    target = np.log(chinchilla_runs["loss"])[None]
    ours = minimise(problem, np.repeat(result.phi[None], 5, 0), target, counts)
    for b in range(5):
        row = counts[b : b + 1]

        def value(z: np.ndarray, row: np.ndarray = row) -> float:
            return float(problem.value(z[None], target, row)[0])

        def gradient(z: np.ndarray, row: np.ndarray = row) -> np.ndarray:
            return problem.derivatives(z[None], target, row, False)[1][0]

        reference = minimize(value, result.phi, jac=gradient, method="BFGS")
        assert ours.objective[b] <= reference.fun * (1 + 1e-9)


@settings(max_examples=25, deadline=None)
@given(
    unit=st.floats(1e-6, 1e6),
    scale=st.floats(1e-3, 1e3),
    seed=st.integers(0, 1000),
    law=st.sampled_from(["power", "shifted"]),
)
def test_units_and_row_order_do_not_matter(unit: float, scale: float, seed: int, law: str) -> None:
    rng = np.random.default_rng(seed)
    x = np.geomspace(1e2, 1e5, 9)
    y = (0.3 + 5 * x**-0.4) * np.exp(0.03 * rng.normal(size=9))
    order = rng.permutation(9)
    one = fit({"x": x, "y": y}, law=law)
    other = fit({"x": x[order] * unit, "y": y[order] * scale}, law=law)
    assert other.objective == pytest.approx(one.objective, rel=1e-6, abs=1e-14)
    assert other.params["k"] == pytest.approx(one.params["k"], rel=1e-4)
    k = one.params["k"]
    assert other.params["a"] == pytest.approx(one.params["a"] * scale * unit**k, rel=1e-2)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), noise=st.floats(0.001, 0.3))
def test_a_larger_law_never_fits_worse(seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    x = np.geomspace(1e2, 1e5, 8)
    y = (0.2 * rng.random() + 5 * x ** -rng.uniform(0.1, 0.8)) * np.exp(noise * rng.normal(size=8))
    runs = {"x": x, "y": y}
    power, shifted = fit(runs, law="power"), fit(runs, law="shifted")
    if power.params["k"] >= 0:  # the shifted law has only falling curves
        assert shifted.objective <= power.objective * (1 + 1e-9)
    fixed = fit(runs, law="shifted", fixed={"k": 0.5})
    assert shifted.objective <= fixed.objective * (1 + 1e-9)


def test_a_floor_of_zero_is_named_and_equals_the_power_law() -> None:
    x = np.geomspace(1, 1e4, 8)
    y = 3 * x**-0.3 * np.exp([0.01, 0, -0.01, 0, 0, 0.02, 0, -0.02])  # bends down: no floor
    shifted, power = fit({"x": x, "y": y}, law="shifted"), fit({"x": x, "y": y}, law="power")
    assert shifted.params["E"] == 0
    assert "E_at_zero" in shifted.flags
    assert shifted.objective == pytest.approx(power.objective, rel=1e-9)
    assert shifted.params["k"] == pytest.approx(power.params["k"], rel=1e-6)


def test_fixed_and_tied_parameters_hold_in_natural_units(
    chinchilla_runs: dict[str, np.ndarray],
) -> None:
    options: dict[str, Any] = {"law": "chinchilla", "x": ["N", "D"], "y": "loss"}
    tied = fit(chinchilla_runs, tied=[("alpha", "beta")], **options)
    assert tied.params["alpha"] == pytest.approx(tied.params["beta"], rel=1e-12)
    fixed = fit(chinchilla_runs, fixed={"A": 406.4, "E": 1.69}, **options)
    assert fixed.params["A"] == pytest.approx(406.4, rel=1e-9)
    assert fixed.params["E"] == pytest.approx(1.69, rel=1e-9)
    both = PowerSum(
        "tied", (Term("E"), Term("A", {"N": "s"}), Term("B", {"D": "s"})), "", ("N", "D"), "E"
    )
    direct = fit(chinchilla_runs, law=both, x=["N", "D"], y="loss")
    assert tied.objective == pytest.approx(direct.objective, rel=1e-9)
    free = fit(chinchilla_runs, **options)
    assert free.objective <= min(tied.objective, fixed.objective)


def test_weights_count_rows(shifted_runs: Callable[..., Any]) -> None:
    runs = shifted_runs(repeats=1, levels=8)
    twice = {c: np.r_[v, v[-2:]] for c, v in runs.items()}
    weighted = fit(runs, law="shifted", weights=np.array([1.0] * 6 + [2.0] * 2))
    assert weighted.params["k"] == pytest.approx(fit(twice, law="shifted").params["k"], rel=1e-6)


def test_curves_with_a_shared_exponent() -> None:
    rng = np.random.default_rng(0)
    x = np.tile(np.geomspace(1e2, 1e5, 8), 2)
    source = np.repeat(["real", "synthetic"], 8)
    y = np.where(source == "real", 0.1, 0.4) + np.where(source == "real", 5, 9) * x**-0.4
    runs = {"x": x, "y": y * np.exp(0.005 * rng.normal(size=16)), "source": source}
    joint = fit(runs, law="shifted", group="source", shared=["k"])
    apart = fit(runs, law="shifted", group="source")
    assert joint.params["k[real]"] == pytest.approx(joint.params["k[synthetic]"], rel=1e-12)
    assert joint.params["k[real]"] == pytest.approx(0.4, abs=0.02)
    assert apart.objective <= joint.objective
    alone = fit({c: v[:8] for c, v in runs.items()}, law="shifted")
    assert apart["real"].params["k"] == pytest.approx(alone.params["k"], rel=1e-5)
    log_x = np.log(x)

    def residuals(t: np.ndarray) -> np.ndarray:
        real = source == "real"
        floor, a = np.exp(np.where(real, t[0], t[2])), np.where(real, t[1], t[3])
        return np.log(floor + np.exp(a - t[4] * log_x)) - np.log(runs["y"])

    start = [np.log(0.1), np.log(5), np.log(0.4), np.log(9), 0.4]
    reference = least_squares(residuals, start, xtol=1e-14, ftol=1e-14)
    assert joint.objective <= reference.cost * (1 + 1e-8)


def test_held_exponents_do_not_hide_the_better_basin() -> None:
    """Repeated data with A, B, E and both exponents held: the estimate is the least objective that
    any start of a fine grid over the two decays leads to."""
    rng = np.random.default_rng(1)
    n, unique = 10 ** rng.uniform(7, 9.5, 120), 10 ** rng.uniform(8, 9.5, 120)
    tokens = unique * rng.choice([1, 2, 4, 10, 30, 60], 120)
    known = {"A": 521.0, "B": 1488.0, "E": 1.87, "alpha": 0.353, "beta": 0.353}
    worth = unique * (1 + 40 * (1 - np.exp(-(tokens / unique - 1) / 40)))
    small = np.minimum(n, unique / 20)
    loss = 1.87 + 521 * n**-0.353 + 1488 * worth**-0.353
    runs = {"N": n, "D": tokens, "U_N": small, "U_D": unique,
            "y": loss * np.exp(0.02 * rng.standard_t(2, size=120))}  # fmt: skip
    result = fit(runs, law="repetition", x=["N", "D", "U_N", "U_D"], loss="chinchilla", fixed=known)
    log_r = np.log(np.geomspace(0.5, 500, 12))
    starts = np.stack(np.meshgrid(log_r, log_r), -1).reshape(-1, 2)
    target = np.log(runs["y"])[None]
    found = minimise(result.problem, starts, target, np.ones_like(target))
    assert result.objective <= found.objective.min() * (1 + 1e-7)
