"""Mutated tables through `fit`, `ratio` and `frontier`: one sentence or a sound answer, never a
traceback, a raw warning or a number that is none."""

from __future__ import annotations

import json
import math
import random
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dataworth.cli import app

ODD = [
    "1e308", "-1e308", "1e17", "1e-300", "1e-17", "nan", "NaN", "inf", "-inf", "1e400", "0", "-1",
    "", " ", "NA", "null", "True", "1_000", "0x10", "1,5", '"1', '"', '""', "1\x00", "\x1b[31m",
    "१२", "1e", "--", "[bold]", "\u202e5", "9" * 400, "5" * 200_000, "x" * 140_000, "=1+1",
]  # fmt: skip

COMMANDS: dict[str, list[str]] = {
    "fit": ["--x", "N", "--law", "power"],
    "fit shifted": ["--x", "N", "--law", "shifted", "--loss", "huber"],
    "fit linear": ["--x", "N", "--residual", "identity"],
    "fit group": ["--x", "N", "--group", "arm"],
    "fit chinchilla": ["--x", "N,D", "--law", "chinchilla"],
    "fit draws": ["--x", "N", "--bootstrap", "8", "--cluster", "arm"],
    "ratio": ["--x", "N", "--law", "power", "--at-real", "500"],
    "frontier": ["--budget", "1e9"],
}


OFTEN = [1 if name in ("fit chinchilla", "frontier") else 8 for name in COMMANDS]  # two are slow


def sound_table(rng: random.Random) -> list[list[str]]:
    rows = [["N", "D", "loss", "arm"]]
    for n in (100, 300, 1000, 3000, 10000):
        for d in (1000, 10000):
            for arm in ("real", "synthetic"):
                noise = math.exp(0.01 * rng.gauss(0, 1))
                loss = (0.2 + n**-0.3 + d**-0.3) * noise
                rows.append([str(n), str(d), f"{loss:.5f}", arm])
    return rows


def mutated(rng: random.Random) -> bytes:
    """A sound table with one to three faults, as bytes of a file."""
    rows = sound_table(rng)
    encoding, ends = "utf-8", "\n"
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        row = rng.randrange(1, len(rows)) if len(rows) > 1 else 0
        cell = rng.randrange(len(rows[row])) if rows[row] else 0
        match rng.randrange(18):
            case 0 | 1 | 2 | 3 | 4:
                if rows[row]:
                    rows[row][cell] = rng.choice(ODD)
            case 14 | 15 | 16 | 17:  # a number, of any size
                if rows[row]:
                    size = rng.choice([-1, 1, 1, 1]) * 10.0 ** rng.uniform(-320, 308)
                    rows[row][cell] = f"{size:g}"
            case 5:
                rows[row] = rows[row][:cell] if rng.random() < 0.5 else [*rows[row], "7"]
            case 6:
                rows = [rows[0], *([r, ["9", *r]][1] for r in rows[1:])]  # all rows one longer
            case 7:
                rows = rows[: rng.randrange(5)]
            case 8:
                rows[0] = [rng.choice(["N", "loss", "", "\x1b[2J", " D "]) for _ in rows[0]]
            case 9:
                rows[row] = [cell.replace(".", ",") for cell in rows[row]]
            case 10:
                at = rng.randrange(4)
                for r in rows[1:]:
                    if len(r) > at:
                        r[at] = rows[-1][at] if len(rows[-1]) > at else "1"
            case 11:
                encoding = rng.choice(["utf-16", "utf-8-sig", "latin-1", "utf-32"])
                rows[row][:1] = ["é1"] if encoding == "latin-1" else rows[row][:1]
            case 12:
                ends = rng.choice(["\r\n", "\r", "\n\n", "\x0b"])
            case 13:
                rows.append(list(rows[row]))
        rows = rows or [[]]
    data = ends.join(",".join(r) for r in rows).encode(encoding, "replace")
    if rng.random() < 0.1:
        at = rng.randrange(len(data) + 1)
        data = data[:at] + rng.randbytes(rng.randrange(4)) + data[at + rng.randrange(3) :]
    return data


def call(words: list[str]) -> dict | None:
    """The JSON of a command; None where it refused in one sentence."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = CliRunner().invoke(app, words)
    if done.exit_code == 2:
        assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1, done.stderr
        assert len(done.stderr) < 700, done.stderr[:900]
        assert done.stdout == ""
        return None
    assert done.exit_code == 0, (words, repr(done.exception))
    assert done.stderr == ""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(done.stdout, parse_constant=refuse)


def test_mutated_tables(cases: Callable[[int, int], int], tmp_path: Path) -> None:
    rng = random.Random(12)
    sound = tmp_path / "sound.csv"
    sound.write_text("\n".join(",".join(r) for r in sound_table(rng)))
    runs = tmp_path / "runs.csv"
    answered = 0
    for case in range(cases(100, 10_000)):
        runs.write_bytes(mutated(rng))
        name, options = rng.choices(list(COMMANDS.items()), OFTEN)[0]
        command = name.partition(" ")[0]
        tables = [str(runs), str(sound)] if command == "ratio" else [str(runs)]
        try:
            found = call([command, *tables, "--y", "loss", *options])
        except AssertionError as error:
            kept = tmp_path / f"{case}.csv"
            kept.write_bytes(runs.read_bytes())
            raise AssertionError(f"case {case} ({name}, {kept}): {error}") from error
        answered += found is not None
    assert 0 < answered < cases(100, 10_000)


@pytest.mark.parametrize("value", ["1e17", "1e308", "1e-300"])
@pytest.mark.parametrize("column", [0, 2])
def test_a_value_far_from_all_others_is_flagged_in_words(tmp_path, value, column):
    rows = sound_table(random.Random(1))
    rows[7][column] = value
    runs = tmp_path / "runs.csv"
    runs.write_text("\n".join(",".join(r) for r in rows))
    found = call(["fit", str(runs), "--x", "N", "--y", "loss"])
    assert found is not None and "far_off" in found["flags"]
    told = next(w for w in found["warnings"] if w.startswith("Column"))
    assert f"{float(value):g} in row 6" in told and "slip" in told
    sound = [*sound_table(random.Random(1))]
    runs.write_text("\n".join(",".join(r) for r in sound))
    found = call(["fit", str(runs), "--x", "N", "--y", "loss"])
    assert found is not None and "far_off" not in found["flags"]


def test_a_table_is_read_as_it_stands(tmp_path):
    """A byte-order mark, spaces and quotes are no fault; the numbers are those of a plain file."""
    plain, dressed = tmp_path / "plain.csv", tmp_path / "dressed.csv"
    rows = sound_table(random.Random(2))
    plain.write_text("\n".join(",".join(r) for r in rows))
    dressed.write_bytes(
        "\r\n".join(", ".join(f'"{cell}"' for cell in r) for r in rows).encode("utf-8-sig")
    )
    first, second = (
        call(["fit", str(p), "--x", "N", "--y", "loss", "--group", "arm"]) for p in (plain, dressed)
    )
    assert first is not None and first == second
    for row in rows[1:]:
        row[3] = {"real": "NA", "synthetic": "01"}[row[3]]
    plain.write_text("\n".join(",".join(r) for r in rows))
    named = call(["fit", str(plain), "--x", "N", "--y", "loss", "--group", "arm"])
    assert named is not None
    assert set(named["parameters"]) == {"a[NA]", "k[NA]", "a[01]", "k[01]"}
    values = [first["parameters"][f"k[{arm}]"]["value"] for arm in ("real", "synthetic")]
    assert np.allclose(values, [named["parameters"][f"k[{arm}]"]["value"] for arm in ("NA", "01")])
