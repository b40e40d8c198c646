"""The commands read a file, print JSON into a pipe, and refuse bad input with a sentence."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from dataworth.errors import UserError
from dataworth.fit import Fit, equivalence, fit
from dataworth.fit.cli import register

runner = CliRunner()
app = typer.Typer()
register(app)


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    x = np.repeat(np.geomspace(250, 16000, 6), 3)
    paths = tmp_path / "real.csv", tmp_path / "synthetic.csv"
    for path, floor in zip(paths, (0.1, 0.3), strict=True):
        y = (floor + 20 * x**-0.4) * np.exp(0.01 * rng.normal(size=18))
        pd.DataFrame({"n": x, "loss": y}).to_csv(path, index=False)
    return paths


def test_fit_prints_the_same_numbers_as_the_library(
    tables: tuple[Path, Path], tmp_path: Path
) -> None:
    picture, saved = tmp_path / "fit.svg", tmp_path / "fit.json"
    done = runner.invoke(app, [
        "fit", str(tables[0]), "--law", "shifted", "--x", "n", "--y", "loss", "--loss", "huber",
        "--delta", "1e-3", "--bootstrap", "50", "--seed", "42", "--json",
        "--plot", str(picture), "--save", str(saved),
    ])  # fmt: skip
    assert done.exit_code == 0, done.output
    record = json.loads(done.output)
    want = fit(pd.read_csv(tables[0]), law="shifted", x="n", y="loss", loss="huber", delta=1e-3,
               bootstrap=50, seed=42)  # fmt: skip
    assert record["parameters"]["k"]["value"] == pytest.approx(want.params["k"])
    assert record["parameters"]["k"]["high"] == pytest.approx(want.interval("k").high)
    assert picture.read_text(encoding="utf-8").lstrip().startswith("<?xml")
    assert Fit.from_json(saved).params == want.params


def test_ratio_and_frontier(
    tables: tuple[Path, Path], tmp_path: Path, chinchilla_runs: dict[str, np.ndarray]
) -> None:
    names = [str(t) for t in tables]
    done = runner.invoke(app, ["ratio", *names, "--x", "n", "--y", "loss", "--at-real", "2000"])
    assert done.exit_code == 0, done.output
    real, synthetic = (fit(pd.read_csv(t), law="shifted", x="n", y="loss") for t in tables)
    want = equivalence(synthetic, real, at_real=2000)
    assert json.loads(done.output)["ratio"]["value"] == pytest.approx(want.ratio.value)
    runs, picture = tmp_path / "runs.csv", tmp_path / "fit.svg"
    pd.DataFrame(chinchilla_runs).to_csv(runs, index=False)
    done = runner.invoke(app, ["fit", str(runs), "--law", "chinchilla", "--x", "N,D", "--y", "loss",
                               "--bootstrap", "20", "--plot", str(picture)])  # fmt: skip
    assert done.exit_code == 0, done.output
    drawn = picture.read_text(encoding="utf-8")
    assert "<!-- N = 4e7 -->" in drawn and "<!-- above law, % -->" in drawn
    done = runner.invoke(app, ["frontier", str(runs), "--budget", "1e21", "--budget", "1e22"])
    assert done.exit_code == 0, done.output
    optima = json.loads(done.output)["optima"]
    assert optima[0]["N"]["value"] < optima[1]["N"]["value"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fit", "missing.csv"], "no file 'missing.csv'"),
        (["fit", "{real}", "--x", "size"], "'size'; the data have n, loss"),
        (
            ["fit", "{real}", "--x", "n", "--y", "loss", "--plot", "no/a.svg"],
            "cannot be written",
        ),
        (["fit", "{real}", "--x", "n", "--y", "loss", "--plot", "x.doc"], "cannot be written"),
        (["fit", "{real}", "--x", "n", "--y", "loss", "--level", "95"], "level=95.0 must lie"),
        (["fit", "{real}", "--x", "n", "--y", "loss", "--device", "abacus"], "no such device"),
        (["ratio", "{real}", "{real}", "--x", "n", "--y", "loss"], "exactly one positive at"),
        (["frontier", "{real}", "--budget", "1e21", "--cost", "6,1"], None),
        (["frontier", "{real}", "--budget", "1e21", "--cost", "six"], "--cost is 'six'"),
        (["frontier", "{real}", "--budget", "1e21", "--cost", "6,0,1"], "three positive numbers"),
    ],
)
def test_bad_arguments(
    arguments: list[str], sentence: str | None, tables: tuple[Path, Path]
) -> None:
    done = runner.invoke(app, [a.format(real=tables[0]) for a in arguments])
    assert isinstance(done.exception, UserError)
    if sentence:
        assert sentence in str(done.exception)
