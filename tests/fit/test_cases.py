"""Small tables that people brought, each with the answer that is right: what other files of this
folder do not hold already."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from dataworth.errors import UserError
from dataworth.fit.cli import register
from dataworth.fit.command import law_names

app = typer.Typer()
register(app)


def call(folder: Path, table: str, command: str, *words: str) -> dict[str, Any]:
    path = folder / "runs.csv"
    path.write_text(table, encoding="utf-8")
    done = CliRunner().invoke(app, [command, str(path), *words])
    if isinstance(done.exception, Exception):
        raise done.exception
    return json.loads(done.output)


@pytest.mark.parametrize("first", ["a", "b"])
def test_one_shared_floor_has_one_interval_whatever_the_labels(first: str, tmp_path: Path) -> None:
    rows = {
        "b": "2.19e17,3.8104,{0}\n1.70e18,3.4339,{0}\n9.00e18,3.1605,{0}\n2.83e19,3.0065,{0}\n",
        "a": "2.19e17,3.7542,{0}\n1.70e18,3.3988,{0}\n9.00e18,3.1357,{0}\n2.83e19,2.9888,{0}\n",
    }
    names = {first: "p", ({"a", "b"} - {first}).pop(): "q"}  # which curve comes first in the fit
    table = "C,loss,opt\n" + "".join(text.format(names[name]) for name, text in rows.items())
    got = call(tmp_path, table, "fit", "--law", "shifted", "--x", "C", "--y", "loss",
               "--group", "opt", "--shared", "E,k")["parameters"]  # fmt: skip
    assert got["E[p]"] == pytest.approx(got["E[q]"]) and got["k[p]"] == pytest.approx(got["k[q]"])
    assert 0.4 < got["E[p]"]["low"] < got["E[p]"]["value"] < got["E[p]"]["high"] < 2.2


def test_an_accuracy_in_per_cent_is_never_predicted_above_a_hundred(tmp_path: Path) -> None:
    table = "images,acc\n100,41.2\n200,52.6\n400,62.0\n800,69.1\n1600,74.8\n3200,79.0\n6400,82.3\n"
    ask = ("--x", "images", "--law", "power")
    assert "rises" in call(tmp_path, table, "fit", *ask, "--y", "acc")["flags"]
    with pytest.raises(UserError, match=r"above 100, the most that it can be: fit 100-acc"):
        call(tmp_path, table, "fit", *ask, "--y", "acc", "--predict", "1M")
    error = call(tmp_path, table, "fit", "--x", "images", "--y", "100-acc", "--predict", "1M")
    assert 0 < error["predictions"][0]["law"]["low"] < error["predictions"][0]["law"]["high"] < 41


def test_sizes_with_units(tmp_path: Path) -> None:
    table = ("params,tokens,loss\n0.2M,5M,8.156\n0.2M,80M,4.211\n0.79M,5M,7.294\n"
             "0.79M,80M,3.818\n25.18M,5M,6.061\n25.18M,80M,2.790\n")  # fmt: skip
    plain = table.replace("M", "e6")
    ask = ("fit", "--law", "chinchilla", "--x", "params,tokens", "--y", "loss")
    one, other = (call(tmp_path, text, *ask) for text in (table, plain))
    assert one["parameters"] == other["parameters"] and any("0.2M" in n for n in one["notes"])


def test_rows_without_a_loss_are_left_out_and_counted(tmp_path: Path) -> None:
    table = ('"Name","State","eval/loss","n_params"\n"a","finished","3.9","1000000"\n'
             '"b","crashed","","4000000"\n"c","finished","3.0","16000000"\n'
             '"d","failed","NaN","64000000"\n"e","finished","2.5","256000000"\n')  # fmt: skip
    ask = ("fit", "--x", "n_params", "--y", "eval/loss")
    with pytest.raises(UserError, match="--drop-missing leaves such rows out"):
        call(tmp_path, table, *ask)
    got = call(tmp_path, table, *ask, "--drop-missing")
    assert (got["n"], got["left_out"]) == (3, 2)


def test_the_best_learning_rate_against_two_sizes(tmp_path: Path) -> None:
    """Least squares of the logs: lr = c N^-.70 D^.21, signs free."""
    table = ("N,D,lr\n6e7,1e9,0.0039\n6e7,1e10,0.0055\n2.7e8,1e9,0.00138\n2.7e8,1e10,0.00276\n"
             "1.1e9,1e10,0.00069\n1.1e9,1e11,0.00138\n")  # fmt: skip
    rows = np.array([line.split(",") for line in table.splitlines()[1:]], float)
    logs = np.column_stack([np.ones(len(rows)), np.log(rows[:, :2])])
    (_, a, b), *_ = np.linalg.lstsq(logs, np.log(rows[:, 2]), rcond=None)
    for law in ("product", "c*N^a*D^b"):
        got = call(tmp_path, table, "fit", "--law", law, "--x", "N,D", "--y", "lr")
        values = {name: one["value"] for name, one in got["parameters"].items()}
        assert (values["a"], values["b"]) == pytest.approx((a, b), rel=1e-6)
        assert "at_bound" not in got["flags"] and got["law"] in ("product", "c*N^a*D^b")


def test_two_stages_from_the_command_line(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n, d = (a.ravel() for a in np.meshgrid(np.geomspace(3e7, 3e9, 5), np.geomspace(1e9, 1e11, 4)))
    loss = (1.7 + 400 * n**-0.34 + 410 * d**-0.28) * np.exp(0.005 * rng.normal(size=20))
    acc = 0.25 + 0.6 / (1 + np.exp(2.5 * (loss - 2.6))) + 0.008 * rng.normal(size=20)
    lines = [f"{a:g},{b:g},{y:.4f},{100 * s:.2f} %"
             for a, b, y, s in zip(n, d, loss, acc, strict=True)]  # fmt: skip
    table = "N,D,val/loss,top-1 acc\n" + "\n".join(lines)
    ask = ("chain", "--via", "val/loss", "--y", "top-1 acc", "--predict", "N=20B,D=1T")
    got = call(tmp_path, table, *ask)
    (one,) = got["predictions"]
    truth = 0.25 + 0.6 / (1 + np.exp(2.5 * (1.7 + 400 * 2e10**-0.34 + 410 * 1e12**-0.28 - 2.6)))
    assert one["accuracy"]["low"] < truth < one["accuracy"]["high"] < 1 and one["extrapolated"]
    assert one["one_run"]["low"] < one["accuracy"]["low"] and got["laws"][1] == "sigmoid"
    held = call(tmp_path, table, *ask, "--fixed", "low=0.25", "--fixed", "E=1.7")
    assert held["parameters"][1]["low"] == pytest.approx(0.25)
    assert held["parameters"][0]["E"] == pytest.approx(1.7)
    with pytest.raises(UserError, match="a law of one variable is needed"):
        call(tmp_path, table, *ask, "--link", "chinchilla")


def test_the_shell_completes_laws() -> None:
    assert law_names("sh") == ["shifted"] and "sigmoid" in law_names("")
