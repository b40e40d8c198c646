"""The page of recipes runs as it is printed, and its numbers are those that come out."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from dataworth.paths import project_root

ROOT = project_root()
if ROOT is None or not (ROOT / "book").is_dir():
    pytest.skip("a clone has the book, an installed wheel does not", allow_module_level=True)
PAGE = (ROOT / "book" / "laws" / "recipes.md").read_text(encoding="utf-8")
PROGRAM = "from dataworth.cli import app; app()"


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """By heading: the JSON of each command, or the sentence with which it refuses."""
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "dataworth").write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{PROGRAM}" "$@"\n')
    (folder / "dataworth").chmod(0o755)
    env = os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    found: dict[str, list[Any]] = {}
    for section in PAGE.split("\n## ")[1:]:
        title = section.partition("\n")[0]
        blocks = re.findall(r"^```bash\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
        assert blocks, title
        (block,) = blocks
        for piece in re.split(r"^(?=dataworth )", block, flags=re.MULTILINE):
            done = subprocess.run(
                ["bash", "-ec", piece], cwd=folder, env=env, capture_output=True, text=True
            )
            if piece.startswith("dataworth "):
                assert done.returncode in (0, 2), done.stderr
                out = done.stderr if done.returncode else json.loads(done.stdout)
                found.setdefault(title, []).append(out)
            else:
                assert done.returncode == 0, done.stderr
    return found


def shown(*values: float, digits: str = ".3f") -> None:
    """The page says these numbers."""
    for value in values:
        assert format(abs(value), digits) in PAGE, value


def span(answer: dict[str, Any], name: str) -> tuple[float, float]:
    return answer["parameters"][name]["low"], answer["parameters"][name]["high"]


def test_a_table_is_read(answers: dict[str, list[Any]]) -> None:
    by_state, by_value = answers["My table is not read"]
    assert by_state["n"] == by_value["n"] == 5
    assert by_value["left_out"] == 1 and by_state["left_out"] == 0
    assert any("the decimal mark is a comma" in note for note in by_state["notes"])


def test_a_negative_exponent(answers: dict[str, list[Any]]) -> None:
    rising, falling = answers["My exponent is negative"]
    shown(rising["parameters"]["k"]["value"], falling["parameters"]["k"]["value"])
    assert rising["parameters"]["k"]["value"] < 0
    low, high = span(falling, "k")
    assert low < 0.37 < high


def test_the_accuracy_of_a_larger_model(answers: dict[str, list[Any]]) -> None:
    free, held, plain, served = answers["What accuracy will the larger model have?"]
    loss = 1.7 + 400 * 7e9**-0.34 + 410 * 1.4e11**-0.28
    truth = 0.25 + 0.6 / (1 + math.exp(2.5 * (loss - 2.6)))
    shown(truth)
    for answer in (free, held):
        one = answer["predictions"][0]["accuracy"]
        assert one["low"] < truth < one["high"]
    (less,), (more,) = (answer["optima"] for answer in (served, plain))
    assert less["N"]["value"] < more["N"]["value"]
    assert less["D"]["value"] / less["N"]["value"] > more["D"]["value"] / more["N"]["value"]


def test_a_learning_rate(answers: dict[str, list[Any]]) -> None:
    product, written = answers["Which learning rate, which batch size?"]
    values = {name: one["value"] for name, one in product["parameters"].items()}
    shown(values["a"], values["b"])
    assert written["parameters"]["b"]["value"] == pytest.approx(values["b"])
    assert written["law"] == "c*N^-a*D^b"


def test_noise_by_size(answers: dict[str, list[Any]]) -> None:
    even, weighted = answers["Small runs are noisier than large ones"]
    assert "heteroscedastic" in even["flags"] and "heteroscedastic" not in weighted["flags"]
    (low, high), (least, most) = span(weighted, "k"), span(even, "k")
    assert low < 0.3 < high and most - least > 3 * (high - low)


def test_another_beta(answers: dict[str, list[Any]]) -> None:
    whole, without, held, refused = answers["Beta differs from the paper"]
    shown(whole["parameters"]["beta"]["value"], without["parameters"]["beta"]["value"])
    (low, high), (wrong, _) = span(without, "beta"), span(whole, "beta")
    assert low < 0.366 < high and wrong > 0.366
    assert held["objective"] > 5 * without["objective"]
    assert "No budget has runs at three sizes" in refused


def test_three_sizes(answers: dict[str, list[Any]]) -> None:
    free, *held = answers["Only three sizes"]
    assert {"saturated", "three_sizes"} <= set(free["flags"])
    for answer in held:
        shown(answer["predictions"][0]["law"]["value"], digits=".2f")


def test_small_intervals(answers: dict[str, list[Any]]) -> None:
    rows, clusters, laws, ahead = answers["Intervals look too small"]
    (low, high), (least, most) = span(rows, "k"), span(clusters, "k")
    assert most - least > 3 * (high - low) and least < 0.33 < most
    assert "lack_of_fit" in rows["flags"]
    assert len(laws["laws"]) == 3 and ahead["rolling_origin"]


def test_more_runs(answers: dict[str, list[Any]]) -> None:
    some, none = answers["How many runs do I still need?"]
    best, *others = some["designs"]
    assert len(best["sizes"]) == 2 and all(one["runs"] >= best["runs"] for one in others)
    assert none["designs"] == [] and "No design" in none["warnings"][0]


def test_two_data_sets(answers: dict[str, list[Any]]) -> None:
    (found,) = answers["What is a token of one data set worth in tokens of another?"]
    assert (found["a"], found["b"], found["unit"]) == ("books", "web", "token")
    assert found["ratio"]["value"] > 1
