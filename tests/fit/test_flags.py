"""The fit says when the law, a row or a column is wrong, and what to do next."""

import json
from typing import Any

import numpy as np
import pytest

from dataworth.errors import UserError
from dataworth.fit import Fit, fit, frontier

DESCENT = {  # falls, rises between 80 and 200, falls again
    "x": [8, 16, 32, 48, 64, 80, 104, 128, 160, 200, 240, 300, 360, 420, 512],
    "y": [7.27, 6.13, 4.82, 4.16, 3.83, 3.77, 3.90, 4.36, 5.04, 5.31, 5.18, 4.83, 4.53, 4.33, 4.12],
}  # fmt: skip


def told(result: Fit, code: str) -> str:
    """The note of a flag in words."""
    return next(str(note) for note in result.advice if note.code == code)


def grid_with_two_odd_rows() -> dict[str, np.ndarray]:
    """Sixteen runs of a Chinchilla law, to four digits, and two that follow none."""
    n, d = (a.ravel() for a in np.meshgrid([1e8, 4e8, 1.6e9, 6e9], [1e9, 5e9, 2.5e10, 1e11]))
    loss = np.round(1.82 + 480 * n**-0.347 + 2080 * d**-0.367, 4)
    return {
        "N": np.append(n, [6.8e9, 3e9]),
        "D": np.append(d, [2.4e8, 5.2e8]),
        "loss": np.append(loss, [5.006, 4.665]),
    }


@pytest.mark.parametrize("loss", ["l2", "huber"])
def test_double_descent_is_told_from_a_law(loss: str) -> None:
    result = fit(DESCENT, law="shifted", loss=loss)
    assert {"structured_residuals", "not_monotone"} <= set(result.flags)
    assert "7 of 15 losses lie below the fitted floor" in told(result, "structured_residuals")
    assert "between x = 80 and 200" in told(result, "not_monotone")


@pytest.mark.parametrize("loss", ["l2", "huber"])
def test_two_rows_that_decide_an_exponent_are_named(loss: str) -> None:
    result = fit(grid_with_two_odd_rows(), law="chinchilla", x=["N", "D"], y="loss", loss=loss)
    without = {name: v[:16] for name, v in grid_with_two_odd_rows().items()}
    beta = fit(without, law="chinchilla", x=["N", "D"], y="loss", loss=loss).params["beta"]
    assert beta == pytest.approx(0.367, abs=0.002)
    moved = result.params["beta"] - beta
    want = f"2 rows move beta by {moved:.2g} (rows 17, 18)"
    assert want in told(result, "influential_rows")


def test_a_variable_with_one_level_leaves_parameters_without_a_value() -> None:
    n = np.array([5e7, 6e7, 1.6e8, 2e8, 3.2e8, 4.8e8])
    runs = {"N": n, "D": np.full(6, 4e9), "loss": [2.05, 2.01, 1.83, 1.78, 1.72, 1.66]}
    result = fit(runs, law="chinchilla", x=["N", "D"], y="loss")
    assert result.unidentified == ("E", "B", "beta")
    assert "D has one value (4e+09): E, B, beta cannot be found" in told(result, "unidentified")
    record = result.summary()
    values = {name: one["value"] for name, one in record["parameters"].items()}
    assert [name for name, value in values.items() if value is None] == ["E", "B", "beta"]
    assert json.loads(json.dumps(record))["advice"][-1]["step"]


def test_an_accuracy_is_not_taken_for_a_loss() -> None:
    accuracy = np.array([41.2, 52.6, 62.0, 69.1, 74.8, 79.0, 82.3])
    x = 100.0 * 2 ** np.arange(7)
    for law in ("power", "shifted"):
        result = fit({"x": x, "y": accuracy}, law=law)
        assert "fit 100 minus it" in told(result, "rises")
    assert "rises" not in fit({"x": x, "y": 100 - accuracy}, law="shifted").flags
    rising = {"D_F": x, "N": x[::-1], "y": x**0.3}
    assert "rises" not in fit(rising, law="transfer", x=["D_F", "N"]).flags


def test_compute_is_not_taken_for_tokens(chinchilla_runs: dict[str, Any]) -> None:
    few = {name: values[::8] for name, values in chinchilla_runs.items()}
    compute = few | {"D": 6 * few["N"] * few["D"]}
    flags = [fit(t, law="chinchilla", x=["N", "D"], y="loss").flags for t in (few, compute)]
    assert ["looks_like_flops" in f for f in flags] == [False, True]


def test_uneven_noise_is_seen_and_widens_the_interval() -> None:
    rng = np.random.default_rng(0)
    x = np.geomspace(100, 1e6, 60)
    error = 0.05 * rng.normal(size=60)
    uneven = error * np.geomspace(3, 0.03, 60)
    even, falling = (fit({"x": x, "y": 5 * x**-0.3 * np.exp(e)}) for e in (error, uneven))
    assert "heteroscedastic" in falling.flags and "heteroscedastic" not in even.flags
    slope = np.array([0.0, 1.0])
    at = falling.minimum
    factor, dof = at.unevenness(slope)
    model = float(slope @ at.covariance @ slope)
    assert factor * model == pytest.approx(at.sandwich()[1, 1], rel=1e-3)  # HC3
    assert 2 < dof < 58
    assert even.minimum.unevenness(slope) == (1.0, 58)


@pytest.mark.parametrize("repeats", [1, 3])
def test_weights_by_size_find_how_the_noise_falls(repeats: int) -> None:
    """Noise that falls as x^-.4: the weights rise as x^.8, by residuals or by repeated sizes; the
    flag goes, the interval narrows and holds the truth."""
    rng = np.random.default_rng(0)
    x = np.repeat(np.geomspace(100, 1e6, 90 // repeats), repeats)
    y = 5 * x**-0.3 * np.exp(0.1 * (x / 100) ** -0.4 * rng.normal(size=90))
    even = fit({"x": x, "y": y})
    weighted = fit({"x": x, "y": y}, noise="size")
    w = weighted.curve.weights
    slope = np.polyfit(np.log(x), np.log(w), 1)[0]
    assert slope == pytest.approx(0.8, abs=0.15) and w.mean() == pytest.approx(1)
    assert "heteroscedastic" in even.flags and "heteroscedastic" not in weighted.flags
    narrow, wide = weighted.interval("k"), even.interval("k")
    assert narrow.low < 0.3 < narrow.high
    assert narrow.high - narrow.low < 0.5 * (wide.high - wide.low)
    with pytest.raises(UserError, match="noise is 'some'; allowed are even and size"):
        fit({"x": x, "y": y}, noise="some")
    with pytest.raises(UserError, match="it takes 8 rows to estimate how noise varies"):
        fit({"x": [1.0, 2, 3], "y": [3.0, 2, 1.5]}, noise="size")


def test_bell_and_mccaffrey_degrees_of_freedom_are_those_of_the_matrices() -> None:
    rng = np.random.default_rng(1)
    u = rng.normal(size=12)
    design = np.column_stack([np.ones(12), u])
    bread = np.linalg.inv(design.T @ design)
    hat = design @ bread @ design.T
    weight = (design @ bread[:, 1]) ** 2 / (1 - np.diag(hat))
    quadratic = (np.eye(12) - hat) @ np.diag(weight) @ (np.eye(12) - hat)
    want = np.trace(quadratic) ** 2 / (quadratic**2).sum()
    error = np.where(np.abs(u) > 1, 3.0, 0.1) * rng.normal(size=12)  # noisy where it matters
    result = fit({"x": np.exp(-u), "y": np.exp(1 + 0.5 * u + 0.01 * error)})
    factor, dof = result.minimum.unevenness(np.array([0.0, 1.0]))
    assert factor > 1 and dof == pytest.approx(want, rel=1e-6)


def test_runs_of_shared_noise_ask_for_their_column() -> None:
    rng = np.random.default_rng(0)
    run = np.repeat(np.arange(8), 10)
    n, d = np.geomspace(1e7, 1e9, 8)[run], np.tile(np.geomspace(1e9, 1e11, 10), 8)
    noise = 0.02 * rng.normal(size=8)[run] + 0.004 * rng.normal(size=80)
    runs = {
        "N": n,
        "D": d,
        "y": (1.7 + 400 * n**-0.34 + 410 * d**-0.28) * np.exp(noise),
        "run": run,
    }
    alone = fit(runs, law="chinchilla", x=["N", "D"])
    assert "give the column of the runs as cluster" in told(alone, "checkpoints")
    clustered = fit(runs, law="chinchilla", x=["N", "D"], cluster="run")
    assert not {"checkpoints", "structured_residuals"} & set(clustered.flags)


def test_neighbours_follow_the_exact_null_of_durbin_and_watson() -> None:
    # simulated null: p-values of independent noise are uniform, whatever the law absorbs
    from dataworth.fit import misfit

    rng = np.random.default_rng(0)
    u = np.linspace(0, 1, 12)
    basis = np.linalg.qr(np.vander(u, 3))[0]
    p = []
    for _ in range(2000):
        noise = rng.normal(size=12)
        rows = misfit.Rows(noise - basis @ (basis.T @ noise), basis, u[:, None], np.zeros(12))
        p.append(misfit.neighbours(rows))
    for level in (0.01, 0.05, 0.5):
        error = np.sqrt(level * (1 - level) / 2000)
        assert np.mean(np.array(p) < level) == pytest.approx(level, abs=4 * error)


def test_true_laws_are_left_alone(shifted_runs: Any) -> None:
    alarms = 0
    for seed in range(60):
        runs = shifted_runs(seed=seed, levels=12, repeats=1 + seed % 2)
        alarms += bool(set(fit(runs, law="shifted").flags) - {"few_rows"})
    assert alarms <= 7  # P(more | 5 %) is under 1 %


def test_even_noise_of_many_rows_is_even_for_a_robust_loss() -> None:
    alarms = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        x = np.exp(rng.uniform(5, 11, 6000))
        y = (0.1 + 20 * x**-0.45) * np.exp(0.02 * rng.normal(size=6000))
        alarms += "heteroscedastic" in fit({"x": x, "y": y}, law="shifted", loss="huber").flags
    assert alarms <= 1  # P(more | 1.4 %) is 0.3 %


def test_a_frontier_that_the_data_leave_free_has_no_value() -> None:
    n = np.array([5e7, 6e7, 1.6e8, 2e8, 3.2e8, 4.8e8])
    runs = {"N": n, "D": np.full(6, 4e9), "loss": [2.05, 2.01, 1.83, 1.78, 1.72, 1.66]}
    (best,) = frontier(fit(runs, law="chinchilla", x=["N", "D"], y="loss"), 1e21)
    assert np.isnan(best.n.value) and np.isnan(best.d.value) and not best.interior
    assert list(best.n) == [0.0, np.inf] == list(best.d)


def test_the_picture_names_the_flags() -> None:
    ax = fit(DESCENT, law="shifted").plot()
    assert "structured_residuals" in "".join(text.get_text() for text in ax.texts)


def test_a_picture_has_residuals_below_and_a_curve_for_each_model_size(
    shifted_runs: Any, chinchilla_runs: dict[str, np.ndarray]
) -> None:
    one = fit(shifted_runs(seed=1), law="shifted")
    below = one.plot().figure.axes[1]
    shown = np.asarray(below.collections[0].get_offsets())[:, 1]
    assert shown == pytest.approx(100 * (one.curve.y / one.mean(one.curve.x) - 1))
    both = fit(chinchilla_runs, law="chinchilla", x=["N", "D"], y="loss")
    ax = both.plot()
    named = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(named) == 6 and all(name.startswith("N = ") for name in named)
    assert sum(len(marks.get_offsets()) for marks in ax.collections) == both.n
    for name, line in zip(named, ax.lines, strict=True):
        size = chinchilla_runs["N"][np.abs(chinchilla_runs["N"] / float(name[4:]) - 1).argmin()]
        at = {"N": np.full(len(line.get_xdata()), size), "D": line.get_xdata()}
        assert line.get_ydata() == pytest.approx(both.mean(at))
