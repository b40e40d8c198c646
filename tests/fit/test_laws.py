"""Every law against finite differences, against itself in other units, and on exact data."""

import numpy as np
import pytest

from dataworth.fit import LAWS, fit
from dataworth.fit.forms import Repetition
from dataworth.fit.laws import Law, nonnegative_lstsq

TRUTH = {
    "power": (3, 0.3),
    "shifted": (0.5, 3, 0.4),
    "m3": (2.0, 0.5, 1e-3),
    "m4": (0.2, 50.0, 2.3, 0.5, 0.7),
    "broken": (0.2, 5, 0.1, 0.5, 3e3, 0.3),
    "broken2": (0.1, 5, 0.1, 0.5, 1e3, 0.3, -0.3, 3e4, 0.2),
    "chinchilla": (1.7, 400, 410, 0.34, 0.28),
    "kaplan": (8.8e13, 5.4e13, 0.076, 0.103),
    "repetition": (1.7, 400, 410, 0.34, 0.28, 5.31, 15.39),
    "transfer": (1.9e4, 0.18, 0.38),
    "syn2real": (0.3, 0.5, 0.4, 0.1),
    "mixture": (0.1, 8, 0.35, 0.3, 0.8),
}


def design(law: Law, n: int = 60) -> np.ndarray:
    rng = np.random.default_rng(0)
    if law.variables == ("N", "D"):
        return 10 ** rng.uniform([7, 8], [10, 11], (n, 2))
    if law.name == "repetition":
        params, unique = 10 ** rng.uniform(7, 10, n), 10 ** rng.uniform(8, 10, n)
        tokens = unique * rng.uniform(1, 60, n)
        return np.stack([params, tokens, np.minimum(params, unique / 20), unique], -1)
    if law.name == "mixture":
        real = rng.choice([0, 500, 1000, 4000, 16000], n)
        return np.stack([real, rng.choice([250, 1000, 4000, 16000, 64000], n)], -1).astype(float)
    return 10 ** rng.uniform(2, 5.5, (n, len(law.variables)))


def internal(law: Law, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True parameters in natural and in scaled coordinates, and the scaled rows."""
    values = zip(law.params, TRUTH[law.name], strict=True)
    natural = np.array([p.to_internal(v) for p, v in values])
    unscale, shift = law.unscale(law.log_scale(x))
    return natural, np.linalg.solve(unscale, natural - shift), x / np.exp(law.log_scale(x))


def test_every_law_is_tested() -> None:
    assert set(TRUTH) == set(LAWS)


@pytest.mark.parametrize("name", TRUTH)
def test_change_of_units_leaves_the_law_unchanged(name: str) -> None:
    law = LAWS[name]
    x = design(law)
    natural, phi, scaled = internal(law, x)
    np.testing.assert_allclose(
        law.log_value(phi[None], scaled), law.log_value(natural[None], x), atol=1e-12
    )


@pytest.mark.parametrize("name", TRUTH)
def test_derivatives_agree_with_finite_differences(name: str) -> None:
    law = LAWS[name]
    _, phi, x = internal(law, design(law))
    value, jac, curvature = law.derivatives(phi[None], x)
    steps = 1e-6 * np.eye(len(phi))
    numeric = (law.log_value(phi + steps, x) - law.log_value(phi - steps, x)) / 2e-6
    np.testing.assert_allclose(value, law.log_value(phi[None], x), atol=1e-13)
    np.testing.assert_allclose(jac[0], numeric, atol=1e-7)
    c = np.random.default_rng(1).normal(size=(1, len(x)))
    slopes = [
        (law.derivatives((phi + s)[None], x)[1] - law.derivatives((phi - s)[None], x)[1])[0] @ c[0]
        for s in 10 * steps
    ]
    np.testing.assert_allclose(curvature(c)[0], np.array(slopes) / 2e-5, atol=1e-5)


@pytest.mark.parametrize("name", TRUTH)
def test_exact_data_give_back_the_parameters(name: str) -> None:
    law = LAWS[name]
    x = design(law)
    _, phi, scaled = internal(law, x)
    table = {v: x[:, i] for i, v in enumerate(law.variables)}
    table["y"] = np.exp(law.log_value(phi[None], scaled)[0])
    result = fit(table, law=name, x=list(law.variables), y="y")
    np.testing.assert_allclose(list(result.params.values()), TRUTH[name], rtol=1e-5)


def test_m4_solves_its_implicit_equation() -> None:
    floor, b, ceiling, c, k = TRUTH["m4"]
    x = np.geomspace(1, 1e6, 30)
    natural, _, _ = internal(LAWS["m4"], x[:, None])
    f = np.exp(LAWS["m4"].log_value(natural[None], x[:, None])[0])
    span = ceiling - floor
    left = (f - floor) / span / ((ceiling - f) / span) ** c
    np.testing.assert_allclose(left, b * x**-k, rtol=1e-9)


def test_repetition_without_repeats_is_chinchilla() -> None:
    rng = np.random.default_rng(2)
    nd = 10 ** rng.uniform([7, 8], [10, 11], (20, 2))
    four = np.concatenate([nd, nd], 1)  # every token and parameter unique
    repeated = LAWS["repetition"]
    assert isinstance(repeated, Repetition)
    phi = internal(repeated, four)[0]
    plain = LAWS["chinchilla"].log_value(phi[None, :5], nd)
    np.testing.assert_allclose(repeated.log_value(phi[None], four), plain, atol=1e-12)


def test_nonnegative_least_squares_agrees_with_scipy() -> None:
    from scipy.optimize import nnls

    rng = np.random.default_rng(3)
    for size in (1, 2, 3, 4):
        for _ in range(20):
            a, b = rng.normal(size=(8, size)), rng.normal(size=8)
            np.testing.assert_allclose(
                nonnegative_lstsq(a.T @ a, a.T @ b), nnls(a, b)[0], atol=1e-8
            )


def test_far_points_neither_overflow_nor_vanish() -> None:
    law = LAWS["shifted"]
    phi = np.array([[np.log(0.3), 1.0, 4.0]])
    x = np.exp([[-400.0], [0.0], [400.0]])
    np.testing.assert_allclose(
        law.log_value(phi, x)[0], [1601.0, np.log(0.3 + np.e), np.log(0.3)], rtol=1e-12
    )
    assert np.isfinite(law.derivatives(phi, x)[1]).all()
