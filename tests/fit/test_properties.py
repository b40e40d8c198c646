"""What must hold of every interval, whatever the law, the loss, the method and the table."""

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from dataworth.errors import UserError
from dataworth.fit import LAWS, Fit, fit

LOSSES = ["l2", "huber", "student", "chinchilla", "lad"]
FULL = os.environ.get("DATAWORTH_SOAK") == "full"  # make soak
# a failing table is as good as a smaller one, and shrinking fits takes minutes
PHASES = (Phase.explicit, Phase.generate)
QUICK = ["power", "shifted", "chinchilla", "transfer", "syn2real"]


def table(law: str, n: int, noise: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """n runs of a curve with a floor (two falling powers for two variables) in random order."""
    names = LAWS[law].variables
    size = rng.permutation(np.geomspace(100, 10 ** rng.uniform(3, 6), n))
    floor = rng.choice([0.0, 0.01, 0.3, 1.0])
    y = floor + rng.uniform(2, 20) * size ** -rng.uniform(0.1, 0.8)
    runs = {names[0]: size}
    for name in names[1:]:
        runs[name] = 10 ** rng.uniform(2, 5, n)
    if law == "repetition":  # unique data are part of the data
        runs["U_N"], runs["U_D"] = runs["N"] / rng.choice([1, 2], n), runs["D"] / rng.choice([1, 9])
    if len(names) > 1:
        y = y + 5 * runs[names[1]] ** -0.3
    return {**runs, "y": y * np.exp(noise * rng.normal(size=n))}


def fitted(law: str, runs: dict[str, Any], **options: Any) -> Fit | None:
    """The fit; none where the sentence of a UserError says why there is none."""
    try:
        return fit(runs, law=law, x=LAWS[law].variables, **options)
    except UserError:
        return None


def holds_its_estimates(result: Fit, method: str | None) -> None:
    intervals = result.intervals(method=method)
    for name, one in intervals.items():
        assert one.low <= one.value <= one.high, (name, one)
        assert one.value == pytest.approx(result.params[name], rel=1e-9), name


def methods(loss: str, bootstrap: int) -> list[str | None]:
    smooth = [] if loss == "lad" else ["profile", "wald"]
    return [None, *smooth, *(["percentile", "basic", "bca"] if bootstrap else [])]


@settings(max_examples=12, phases=PHASES)
@given(
    st.sampled_from(QUICK), st.sampled_from(LOSSES), st.integers(5, 60), st.floats(-5, -0.5),
    st.sampled_from([0, 15]), st.integers(0, 2**32),
)  # fmt: skip
def test_an_interval_holds_its_estimate(
    law: str, loss: str, n: int, log_noise: float, bootstrap: int, seed: int
) -> None:
    runs = table(law, n, 10**log_noise, np.random.default_rng(seed))
    result = fitted(law, runs, loss=loss, bootstrap=bootstrap)
    for method in methods(loss, bootstrap) if result else ():
        assert result is not None
        holds_its_estimates(result, method)


@pytest.mark.slow
@settings(max_examples=200 if FULL else 10, phases=PHASES)
@given(
    st.sampled_from(sorted(set(LAWS) - {"broken2"})), st.sampled_from(LOSSES), st.floats(0.7, 3.7),
    st.floats(-5, -0.5), st.integers(0, 2**32),
)  # fmt: skip
def test_an_interval_holds_its_estimate_for_every_law_and_size(
    law: str, loss: str, log_n: float, log_noise: float, seed: int
) -> None:
    largest = 5000 if LAWS[law].cheap_curvature else 300
    n = min(round(10**log_n), largest)
    runs = table(law, n, 10**log_noise, np.random.default_rng(seed))
    result = fitted(law, runs, loss=loss)
    for method in methods(loss, 0) if result else ():
        assert result is not None
        holds_its_estimates(result, method)


@settings(max_examples=4, phases=PHASES)
@given(st.integers(0, 2**32), st.sampled_from(["l2", "huber"]), st.floats(-4, -1.5))
def test_equal_parameters_have_equal_intervals_in_any_order_of_rows_and_labels(
    seed: int, loss: str, log_noise: float
) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 12))
    x = np.tile(np.geomspace(100, 1e5, n), 2)
    amplitude = np.repeat(rng.uniform(3, 9, 2), n)
    y = (rng.choice([0.0, 0.3]) + amplitude * x**-0.4) * np.exp(
        10**log_noise * rng.normal(size=2 * n)
    )
    found = []
    for names in (["a", "b"], ["z", "b"]):
        order = rng.permutation(2 * n)
        runs = {"x": x, "y": y, "curve": np.repeat(names, n)}
        runs = {name: values[order] for name, values in runs.items()}
        result = fit(runs, law="shifted", loss=loss, group="curve", shared=["E", "k"])
        ends = {name: list(one) for name, one in result.intervals().items()}
        for name in ("E", "k"):
            assert ends[f"{name}[{names[0]}]"] == ends[f"{name}[{names[1]}]"]
        found.append([ends[f"{name}[b]"] for name in ("E", "a", "k")])
    np.testing.assert_allclose(found[0], found[1], rtol=5e-3, atol=2e-3)


def test_a_precise_floor_has_its_estimate_inside(shifted_runs: Any) -> None:
    # the root of a value 40 standard errors away underflows Student's tail
    rng = np.random.default_rng(0)
    x = np.geomspace(100, 1e5, 300)
    y = (1 + 20 * x**-0.6) * np.exp(0.003 * rng.normal(size=300))
    result = fit({"x": x, "y": y}, law="shifted")
    np.testing.assert_allclose(
        list(result.interval("E")), list(result.interval("E", method="wald")), atol=1e-4
    )


def test_a_profile_that_meets_a_better_minimum_moves_the_fit_there(shifted_runs: Any) -> None:
    right = fit(shifted_runs(), law="shifted")
    wrong = fit(shifted_runs(), law="shifted")
    # a fit that stopped early: its k is a standard error off, its floor follows
    object.__setattr__(wrong, "phi", right.phi + np.array([0.05, 0.0, 0.05]))
    intervals = wrong.intervals()
    assert "better_minimum" in wrong.flags
    assert wrong.params["k"] == pytest.approx(right.params["k"], rel=1e-5)
    for name, want in right.intervals().items():
        np.testing.assert_allclose(list(intervals[name]), list(want), rtol=1e-3)


def test_a_draw_at_the_edge_of_the_box_leaves_its_end_open() -> None:
    # a step, then flat: in most resamples any steep exponent fits, and the search stops at 5
    runs = {"x": np.array([1.0, 10, 100, 1000, 1e4]), "y": np.array([2.0, 1.01, 0.99, 1.0, 1.005])}
    interval = fit(runs, law="shifted", bootstrap=100).interval("k")
    assert interval.high == np.inf
