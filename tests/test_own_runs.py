"""Verdicts on runs that were made elsewhere, of every kind of table."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dataworth.cli import app
from dataworth.own_runs import table_of_logits

CLAIM = {
    "statement": "The loss falls more slowly with synthetic images.",
    "source": "my own runs",
    "published": "no published number",
    "region": ["-inf", 0],
    "unit": "exponent",
    "matters": 0.05,
    "no_effect": 0,
    "definition": "exponent, synthetic less real",
    "effect": "{runs[real]} and {runs[synthetic]} runs",
    "control": "real alone, {k[real]}",
    "estimate": {"of": "k", "group": "synthetic", "less": "real"},
}
FLOOR = {"real": 0.2, "synthetic": 0.5}
SLOPE = {"real": 0.4, "synthetic": 0.25}


def loss(source: str, n: float) -> float:
    return FLOOR[source] + 6 * n ** -SLOPE[source]


@pytest.fixture(scope="module")
def rows() -> list[dict[str, object]]:
    rng = np.random.default_rng(3)
    return [
        {"source": source, "n": n, "seed": seed,
         "loss": round(loss(source, n) * (1 + 0.01 * rng.standard_normal()), 6)}
        for source in FLOOR for n in (100, 300, 1000, 3000, 10_000) for seed in range(3)
    ]  # fmt: skip


def written(rows: list[dict[str, object]], kind: str, folder: Path) -> Path:
    path = folder / f"runs.{kind.partition('-')[0]}"
    if kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    elif kind == "parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        comma = {"csv": ",", "tsv": "\t", "csv-semicolon": ";"}[kind]
        with path.open("w", newline="", encoding="utf-8") as file:
            sheet = csv.DictWriter(file, list(rows[0]), delimiter=comma)
            sheet.writeheader()
            for row in rows:
                text = str(row["loss"])
                said = text.replace(".", ",") if comma == ";" else text
                sheet.writerow(row | {"loss": said})
    return path


def verdict(path: Path | str, claims: dict[str, object], folder: Path, *more: str):
    stated = folder / "claims.yaml"
    stated.write_text(json.dumps(claims))  # JSON is YAML
    return CliRunner().invoke(app, ["verdict", str(path), str(stated), *more])


def lines(path: Path | str, claims: dict[str, object], folder: Path) -> list[dict]:
    done = verdict(path, claims, folder, "--json", "--bootstrap", "200")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["claims"]


@pytest.mark.parametrize("kind", ["csv", "csv-semicolon", "tsv", "jsonl", "parquet"])
def test_every_kind_of_table_gives_the_same_verdict(rows: list, kind: str, tmp_path: Path) -> None:
    (line,) = lines(written(rows, kind, tmp_path), {"slower": CLAIM}, tmp_path)
    assert line["verdict"] == "supported" and line["effect"] == "15 and 15 runs"
    assert line["interval"][0] < SLOPE["synthetic"] - SLOPE["real"] < line["interval"][1]
    assert line["estimate"] == pytest.approx(-0.15, abs=0.1)
    assert line["controls"][0]["estimate"] == pytest.approx(SLOPE["real"], abs=0.1)


def test_numbers_of_the_table(rows: list, tmp_path: Path) -> None:
    path = written(rows, "csv", tmp_path)
    plain = {k: v for k, v in CLAIM.items() if k != "control"} | {"effect": "as asked"}
    at = {"group": "synthetic", "at": 3000}
    asked = {
        "gap": {"of": "measured", "less": "real", **at},
        "loss": {"of": "loss", **at},
        "quotient": {"of": "loss", "over": "real", **at},
        "worth": {"of": "ratio", "over": "real", **at},
    }
    found = {
        line["id"]: line
        for line in lines(path, {id: plain | {"estimate": e} for id, e in asked.items()}, tmp_path)
    }
    mean = {
        s: np.mean([r["loss"] for r in rows if (r["source"], r["n"]) == (s, 3000)]) for s in FLOOR
    }
    assert found["gap"]["estimate"] == pytest.approx(mean["synthetic"] - mean["real"])
    low, high = found["gap"]["interval"]
    assert low < loss("synthetic", 3000) - loss("real", 3000) < high
    assert found["loss"]["estimate"] == pytest.approx(loss("synthetic", 3000), rel=0.03)
    expected = loss("synthetic", 3000) / loss("real", 3000)
    assert found["quotient"]["estimate"] == pytest.approx(expected, rel=0.03)
    real = (6 / (loss("synthetic", 3000) - FLOOR["real"])) ** (1 / SLOPE["real"])
    assert found["worth"]["estimate"] == pytest.approx(3000 / real, rel=0.2)


def test_files_of_logits(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    told = {}
    for source in FLOOR:
        for n in (100, 1000, 10_000, 100_000):
            for seed in range(2):
                labels = rng.integers(0, 4, 300)
                logits = rng.standard_normal((300, 4)).astype(np.float32)
                logits[np.arange(300), labels] += SLOPE[source] * np.log10(n)
                np.savez(tmp_path / f"{source}-{n}-{seed}.npz", logits=logits, labels=labels)
                p = np.exp(logits.astype(float))
                right = p[np.arange(300), labels] / p.sum(1)
                told[source, str(n), str(seed)] = (
                    -np.log(right).mean(),
                    (p.argmax(1) != labels).mean(),
                )
    pattern = str(tmp_path / "{source}-{n}-{seed}.npz")
    with table_of_logits(pattern, tmp_path).open() as file:
        table = {(r["source"], r["n"], r["seed"]): r for r in csv.DictReader(file)}
    assert set(table) == set(told)
    for at, (loss_, error) in told.items():
        assert float(table[at]["loss"]) == pytest.approx(loss_, rel=1e-5)
        assert float(table[at]["error"]) == pytest.approx(error)
    (line,) = lines(pattern, {"slower": CLAIM}, tmp_path)
    assert line["effect"] == "8 and 8 runs"


def test_a_table_in_the_terminal_and_a_picture(rows: list, tmp_path: Path) -> None:
    picture = tmp_path / "curves.svg"
    path = written(rows, "csv", tmp_path)
    done = verdict(path, {"slower": CLAIM}, tmp_path, "--plot", str(picture), "--bootstrap", "200")
    assert "slower: supported" in done.output and "1 supported, 0 contradicted" in done.output
    assert picture.read_text().lstrip().startswith("<?xml")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"estimate": {"of": "k", "group": "drawn"}}, "no group 'drawn' in the column 'source'"),
        ({"estimate": {"of": "slope", "group": "real"}}, "of is 'slope'; it must be ratio, loss"),
        ({"estimate": {"of": "loss", "group": "real"}}, "loss needs at, a size"),
        ({"estimate": {"of": "ratio", "group": "real"}}, "a ratio needs over"),
        ({"estimate": {"of": "measured", "group": "real", "at": 77}}, "has 0 runs at 77, and two"),
        ({"estimate": {"of": "k", "group": "real", "less": "a", "over": "b"}}, "less or over"),
        ({"estimate": {"group": "real"}}, "it must be a mapping of of"),
        ({"estimate": None}, "it must be a mapping of of"),
        ({"region": [1, 0]}, "two ends in order"),
        ({"effect": "{weight[real]}"}, "asks for 'weight'"),
    ],
)  # fmt: skip
def test_claims_that_cannot_be_judged(rows: list, tmp_path: Path, change: dict, words: str) -> None:
    done = verdict(written(rows, "csv", tmp_path), {"slower": CLAIM | change}, tmp_path)
    assert done.exit_code == 2 and words in " ".join(done.output.split()), done.output
    assert "claims.yaml" in done.output


def test_runs_that_are_not_there(tmp_path: Path) -> None:
    done = verdict(tmp_path / "{source}-{n}.npz", {"slower": CLAIM}, tmp_path)
    assert done.exit_code == 2 and "no file is called like" in " ".join(done.output.split())
    (tmp_path / "real-1.npz").write_bytes(b"no arrays")
    done = verdict(tmp_path / "{source}-{n}.npz", {"slower": CLAIM}, tmp_path)
    assert done.exit_code == 2 and "holds no arrays logits" in " ".join(done.output.split())
