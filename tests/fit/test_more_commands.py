"""The commands that go on from a fit say what the library says, and give a reason where they have
no answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from dataworth.cli import BROUGHT
from dataworth.errors import UserError
from dataworth.fit import LAWS, compare, fit, forecast, half_width_after, isoflop, more_runs
from dataworth.fit.about import VARIABLES, all_laws
from dataworth.fit.cli import register

app = typer.Typer()
register(app)


def call(*words: Any) -> dict[str, Any]:
    done = CliRunner().invoke(app, list(map(str, words)))
    if isinstance(done.exception, Exception):
        raise done.exception
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


@pytest.fixture
def curve(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    x = np.repeat(np.geomspace(250, 16000, 6), 3)
    y = (0.1 + 20 * x**-0.4) * np.exp(0.01 * rng.normal(size=18))
    path = tmp_path / "runs.csv"
    pd.DataFrame({"n": x, "loss": y}).to_csv(path, index=False)
    return path


ON = ("--x", "n", "--y", "loss")


def test_every_command_is_listed() -> None:
    names = {command.name for command in app.registered_commands}
    assert names == {name for name, (room, _) in BROUGHT.items() if room == "dataworth.fit.cli"}


def test_laws_are_told_in_words() -> None:
    told = {one["law"]: one for one in call("laws")["laws"]}
    assert list(told) == list(LAWS) and all_laws() is not None
    for name, law in LAWS.items():
        assert [v["name"] for v in told[name]["variables"]] == list(law.variables)
        assert [p["name"] for p in told[name]["parameters"]] == list(law.names)
        assert not set("\\{}") & set(told[name]["formula"]), name
    assert set(VARIABLES) == {v for law in LAWS.values() for v in law.variables}
    assert call("laws", "chinchilla")["formula"] == "L(N, D) = E + A N^(-alpha) + B D^(-beta)"
    with pytest.raises(UserError, match="Unknown law 'cubic'; known are"):
        call("laws", "cubic")


def test_what_is_held_and_what_is_predicted(curve: Path) -> None:
    runs = pd.read_csv(curve)
    want = fit(runs, law="shifted", x="n", y="loss", fixed={"E": 0.1}, asymmetry=2.0)
    got = call("fit", curve, *ON, "--law", "shifted", "--fixed", "E=0.1", "--asymmetry", "2",
               "--predict", "1e5", "--predict", "n=2k")  # fmt: skip
    assert got["parameters"]["E"] == {
        "value": 0.1, "low": 0.1, "high": 0.1, "level": 0.95, "method": "fixed"
    }  # fmt: skip
    assert got["parameters"]["k"]["value"] == pytest.approx(want.params["k"])
    far, near = got["predictions"]
    assert far["at"] == {"x": 1e5} and far["extrapolated"] and not near["extrapolated"]
    assert far["law"]["value"] == pytest.approx(want.mean([1e5])[0])
    run = want.predict([1e5], kind="new-run")
    assert far["one_run"]["high"] == pytest.approx(run.high[0])
    for wrong in ("E", "E=", "=3"):
        with pytest.raises(UserError, match=r"--fixed is .*; write it like --fixed E=1.6"):
            call("fit", curve, *ON, "--law", "shifted", "--fixed", wrong)
    with pytest.raises(UserError, match="--predict is 'm=3'; write it like --predict x=1e9"):
        call("fit", curve, *ON, "--predict", "m=3")
    with pytest.raises(UserError, match="sizes above 0"):
        call("fit", curve, *ON, "--predict", "0")


def test_tied_exponents_and_points_of_two_variables(
    tmp_path: Path, chinchilla_runs: dict[str, np.ndarray]
) -> None:
    path = tmp_path / "runs.json"
    frame = pd.DataFrame(chinchilla_runs)
    frame["C"] = 6 * frame.N * frame.D
    frame.to_json(path, orient="records", double_precision=15)
    got = call("fit", path, "--law", "chinchilla", "--x", "N=N,D=C/(6*N)", "--y", "loss",
               "--tied", "alpha=beta", "--predict", "D=20B,N=1B")  # fmt: skip
    want = fit(frame, law="chinchilla", x=["N", "D"], y="loss", tied=[("alpha", "beta")])
    assert got["parameters"]["alpha"]["value"] == pytest.approx(want.params["alpha"])
    assert got["parameters"]["beta"]["value"] == got["parameters"]["alpha"]["value"]
    assert got["predictions"][0]["law"]["value"] == pytest.approx(want.mean([[1e9, 2e10]])[0])
    with pytest.raises(UserError, match="--predict is 'N=1B'; write it like --predict N=1e9,D=1e9"):
        call("fit", path, "--law", "chinchilla", "--x", "N,D", "--y", "loss", "--predict", "N=1B")


def test_compare_laws(curve: Path, tmp_path: Path) -> None:
    got = call("compare-laws", curve, *ON, "--laws", "power,shifted")
    first = fit(pd.read_csv(curve), law="power", x="n", y="loss")
    want = compare([first], ["shifted"])
    assert [one["law"] for one in got["laws"]] == [one.law for one in want]
    assert got["laws"][1]["delta"] == pytest.approx(want[1].delta)
    assert "The runs speak for shifted" in got["warnings"][0]
    few = tmp_path / "few.csv"
    few.write_text("n,loss\n100,2.1\n200,1.7\n400,1.42\n800,1.24\n1600,1.12\n")
    told = call("compare-laws", few, *ON)["warnings"]
    assert "5 rows are too few for the AICc of shifted, m3" in told[0]
    assert not any("speak for" in sentence for sentence in told)
    with pytest.raises(UserError, match="two laws or more"):
        call("compare-laws", curve, *ON, "--laws", "power")


def test_forecast(curve: Path) -> None:
    got = call("forecast", curve, *ON, "--laws", "shifted,power", "--at", "32k,1e6")
    runs = pd.read_csv(curve)
    want = forecast(runs, x="n", y="loss", laws=("shifted", "power"))
    assert got["law"] == want.law == "shifted"
    values = [one["law"]["value"] for one in got["predictions"]]
    np.testing.assert_allclose(values, want.fit.mean([32e3, 1e6]))
    assert "62.5 times the largest size" in got["warnings"][-1]
    allowed, far = want.predict([32e3, 1e6]), [one["allowing_for_a_wrong_law"] for one in
                                               got["predictions"]]  # fmt: skip
    np.testing.assert_allclose([one["high"] for one in far], allowed.high)
    within = call("forecast", curve, *ON, "--laws", "shifted", "--at", "1e3")["predictions"][0]
    assert "allowing_for_a_wrong_law" not in within
    with pytest.raises(UserError, match="laws of one variable"):
        call("forecast", curve, *ON, "--laws", "kaplan", "--at", "1e5")


def test_more_runs_of_one_size_of_several_or_a_reason(curve: Path) -> None:
    ask = ("more-runs", curve, *ON, "--law", "shifted", "--parameter", "k")
    got = call(*ask, "--half-width", "0.02", "--sizes", "250,16k,64k")
    now = fit(pd.read_csv(curve), law="shifted", x="n", y="loss")
    want = more_runs(now, "k", 0.02, [250, 16e3, 64e3], together=2)
    assert [one["runs"] for one in got["designs"]] == [one.runs for one in want]
    assert any(len(one.sizes) == 2 for one in want) and any(len(one.sizes) == 1 for one in want)
    got = call(*ask, "--half-width", "1e-5")
    assert got["designs"] == [] and "No design of these sizes brings" in got["warnings"][0]
    assert got["half_width_now"] == pytest.approx(half_width_after(now, "k", [250], 0))
    assert "Nothing is needed" in call(*ask, "--half-width", "9")["warnings"][0]


def test_a_design_of_several_sizes_is_that_of_its_rows(curve: Path) -> None:
    """The width promised by m runs at each of two sizes is that of a table with those rows."""
    runs = pd.read_csv(curve)
    now = fit(runs, law="shifted", x="n", y="loss")
    promised = half_width_after(now, "k", [250, 64e3], 4)
    at, noise = now.minimum, now.minimum.noise(now.minimum.tangent(now.parameter("k"))[2])[0]
    slope = at.tangent(now.parameter("k"))[2]
    rows = at.problem.slopes(at.z, np.array([[250.0], [64e3]]) / np.exp(now.log_x0))
    information = np.linalg.inv(noise * at.inverse) + 4 * rows.T @ rows / noise
    ratio = np.sqrt((slope @ np.linalg.inv(information) @ slope)
                    / (slope @ (noise * at.inverse) @ slope))  # fmt: skip
    assert promised == pytest.approx(half_width_after(now, "k", [250], 0) * ratio)


def test_parabolas_of_budgets() -> None:
    """Parabolas in log size have their exact minimum; Fieller's interval covers it."""
    budgets, steps = np.repeat([1e18, 1e19], 5), np.tile([-2.0, -1, 0, 1, 2], 2)
    best = 1e8 * (budgets / 1e18) ** 0.5
    size = best * np.exp(0.4 * steps + 0.1)
    exact = 3 + 0.05 * np.log(size / best) ** 2
    for one, want in zip(isoflop(budgets * 1.01, size, exact), (1e8, 1e8 * 10**0.5), strict=True):
        assert one.size.value == pytest.approx(want) and one.loss == pytest.approx(3)
        assert one.inside and one.runs == 5
    rng, held = np.random.default_rng(0), 0
    for _ in range(400):
        found = isoflop(budgets, size, exact + 0.01 * rng.normal(size=10))
        held += 1e8 in found[0].size
    assert 0.92 < held / 400 < 0.98
    three = isoflop(budgets[:3], size[:3], exact[:3])[0]
    assert three.size.open and three.size.method == "none" and three.inside
    turned = isoflop(budgets, size, 6 - exact)[0]
    assert np.isnan(turned.size.value) and turned.size.open and not turned.inside


def test_isoflop_shows_the_bias_of_parabolas(tmp_path: Path) -> None:
    """Noise-free runs off the optimum: the direct fit is right, the parabola's miss is what it
    says."""
    budgets = np.repeat([1e18, 1e19, 1e20], 5)
    a, b = 400.0, 2000.0
    best = (0.34 * a / (0.28 * b)) ** (1 / 0.62) * (budgets / 6) ** (0.28 / 0.62)
    n = 3 * best * np.tile([0.25, 0.5, 1, 2, 4], 3)
    d = budgets / 6 / n
    loss = 1.7 + a * n**-0.34 + b * d**-0.28
    path = tmp_path / "runs.csv"
    pd.DataFrame({"C": budgets, "size": n, "loss": loss}).to_csv(path, index=False)
    got = call("isoflop", path, "--budget", "C", "--params", "size")
    for one, want in zip(got["budgets"], best[::5], strict=True):
        assert one["direct"]["value"] == pytest.approx(want, rel=1e-3)
        assert abs(one["bias"]) > 0.005
        assert one["size"]["value"] / want - 1 == pytest.approx(one["bias"], abs=2e-3)
    assert got["exponents"]["direct fit"]["value"] == pytest.approx(0.28 / 0.62, abs=1e-3)
    with pytest.raises(UserError, match="give one of the two"):
        call("isoflop", path, "--budget", "C")
    with pytest.raises(UserError, match="No budget has runs at three sizes"):
        isoflop(np.array([1.0, 2, 3]), np.ones(3), np.ones(3))


def test_two_tables_in_neutral_words(curve: Path, tmp_path: Path) -> None:
    other = tmp_path / "books.csv"
    other.write_text(curve.read_text())
    got = call("ratio", curve, other, *ON, "--at-a", "2000", "--unit", "token")
    assert (got["a"], got["b"], got["unit"]) == ("runs", "books", "token")
    assert got["ratio"]["value"] == pytest.approx(1)
    old = call("ratio", curve, other, *ON, "--at-real", "2000", "--names", "web,books")
    assert old["a"] == "web" and old["ratio"] == got["ratio"]
    with pytest.raises(UserError, match="two different names"):
        call("ratio", curve, other, *ON, "--at-a", "2000", "--names", "web")


def test_three_runs_above_a_floor_that_is_known(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("C,loss\n2.19e17,3.7404\n1.70e18,3.3834\n9.00e18,3.1230\n")
    ask = ("fit", path, "--law", "shifted", "--x", "C", "--y", "loss", "--fixed", "E=1.6")
    for residual, a, k in (("log", 82.21, 0.0913), ("identity", 81.68, 0.0912)):
        got = call(*ask, "--predict", "2.83e19", "--residual", residual)
        assert got["parameters"]["a"]["value"] == pytest.approx(a, abs=0.01)
        assert got["parameters"]["k"]["value"] == pytest.approx(k, abs=1e-4)
        run = got["predictions"][0]["one_run"]
        assert run["value"] == pytest.approx(2.975, abs=2e-3)
        assert (run["low"], run["high"]) == pytest.approx((2.85, 3.11), abs=0.015)


def test_two_budgets_of_three_and_four_runs(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(
        "budget,tokens,loss\n1e18,5.77e9,3.399\n1e18,2.33e9,3.364\n1e18,9.23e8,3.456\n"
        "3e18,1.73e10,3.298\n3e18,7.00e9,3.204\n3e18,2.77e9,3.224\n3e18,1.57e9,3.289\n"
    )
    got = call("isoflop", path, "--tokens", "tokens")
    sizes = [one["size"]["value"] for one in got["budgets"]]
    np.testing.assert_allclose(sizes, [2.84e9, 5.08e9], rtol=2e-3)
    losses = [one["loss"] for one in got["budgets"]]
    np.testing.assert_allclose(losses, [3.361, 3.198], atol=5e-4)
    assert [one["runs"] for one in got["budgets"]] == [3, 4]
