"""Mutated tables, in every format that is read: one sentence or a sound answer, never a traceback,
a raw warning or a number that is none; and tables in any dress: the numbers of the plain one."""

from __future__ import annotations

import io
import json
import math
import random
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from dataworth.cli import app
from dataworth.errors import UserError
from dataworth.fit.choose import choose
from dataworth.fit.forms import LAWS
from dataworth.fit.read import read

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
    "fit predict": ["--x", "N", "--law", "shifted", "--fixed", "E=0.1", "--predict", "1e5"],
    "compare-laws": ["--x", "N", "--laws", "power,shifted"],
    "forecast": ["--x", "N", "--laws", "power,shifted", "--at", "1e5"],
    "more-runs": ["--x", "N", "--parameter", "k", "--half-width", "0.01"],
    "forecast m4": ["--x", "N", "--at", "2e4,1e6"],
    "isoflop": ["--budget", "N*D", "--tokens", "D"],
    "report": ["--x", "N", "--law", "shifted"],
}


SLOW = ("fit chinchilla", "frontier", "isoflop", "report", "forecast m4")
OFTEN = [1 if name in SLOW else 8 for name in COMMANDS]


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
    """A sound table with one to three faults, as bytes of a file of any format."""
    rows = sound_table(rng)
    form = rng.choice(["csv", "csv", "csv", "semicolon", "tab", "json", "lines", "parquet"])
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
    match form:
        case "parquet":
            data = parquet(rows)
        case "json" | "lines":
            records = [dict(zip(rows[0], map(typed, r), strict=False)) for r in rows[1:]]
            one_each = "\n".join(map(json.dumps, records))
            data = (json.dumps(records) if form == "json" else one_each).encode(encoding)
        case _:
            mark = {"csv": ",", "semicolon": ";", "tab": "\t"}[form]
            data = ends.join(mark.join(r) for r in rows).encode(encoding, "replace")
    if rng.random() < (0.1 if form == "csv" else 0.3):
        at = rng.randrange(len(data) + 1)
        data = data[:at] + rng.randbytes(rng.randrange(4)) + data[at + rng.randrange(3) :]
    return data


def typed(cell: str) -> object:
    """As a program would write it that knows types."""
    try:
        return float(cell)
    except ValueError:
        return None if cell == "null" else cell


def parquet(rows: list[list[str]]) -> bytes:
    """Columns of numbers where all cells are some, else of text; short rows are filled."""
    width = len(rows[0])
    whole = [[*r, *[""] * width][:width] for r in rows[1:]]
    frame = pd.DataFrame(whole, columns=[name or str(i) for i, name in enumerate(rows[0])])
    frame = frame.loc[:, ~frame.columns.duplicated()]
    for name in frame.columns:
        cells = [typed(cell) for cell in frame[name]]
        numeric = all(isinstance(cell, float) for cell in cells)
        frame[name] = cells if numeric else frame[name].astype(str)
    file = io.BytesIO()
    frame.to_parquet(file)
    return file.getvalue()


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
    runs, page = tmp_path / "runs.csv", tmp_path / "page.html"
    answered = 0
    for case in range(cases(100, 10_000)):
        runs.write_bytes(mutated(rng))
        name, options = rng.choices(list(COMMANDS.items()), OFTEN)[0]
        command = name.partition(" ")[0]
        tables = [str(runs), str(sound)] if command == "ratio" else [str(runs)]
        if command == "report":
            tables += ["--out", str(page)]
        try:
            found = call([command, *tables, "--y", "loss", *options])
        except AssertionError as error:
            kept = tmp_path / f"{case}.csv"
            kept.write_bytes(runs.read_bytes())
            raise AssertionError(f"case {case} ({name}, {kept}): {error}") from error
        answered += found is not None
    assert 0 < answered < cases(100, 10_000)


WAYS: list[dict[str, str]] = [
    {"x": "N", "y": "loss"},
    {"x": "D", "y": "1-loss/100", "where": "arm == real and N > 200"},
    {"x": "D/(6*N)", "y": "loss**2"},
]


def test_mutated_tables_are_read_or_refused(
    cases: Callable[[int, int], int], tmp_path: Path
) -> None:
    """Without the fit, many more of them; what is read is finite and of like length."""
    rng = random.Random(5)
    runs = tmp_path / "runs"
    read_well = 0
    for case in range(cases(400, 10_000)):
        runs.write_bytes(mutated(rng))
        way = rng.choice(WAYS)
        drop = rng.random() < 0.5
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                found = choose(
                    read(runs), LAWS["power"], way["x"], way["y"],
                    where=[way["where"]] if "where" in way else [], drop_missing=drop,
                )  # fmt: skip
            except UserError as error:
                assert str(error) and "\n" not in str(error) and len(str(error)) < 700, case
                continue
            except Exception as error:
                kept = tmp_path / f"{case}.runs"
                kept.write_bytes(runs.read_bytes())
                raise AssertionError(f"case {case} ({way}, {kept})") from error
        read_well += 1
        columns = [found.data[name] for name in (*found.x, found.y)]
        assert all(np.isfinite(c).all() and len(c) == len(found.places) for c in columns), case
    assert 0 < read_well < cases(400, 10_000)


def dressed(rng: random.Random, columns: dict[str, list[float]]) -> tuple[bytes, str | None]:
    """The table in a form that programs and people write, and what must be said of its decimals."""
    form = rng.choice(["text", "text", "text", "records", "columns", "lines", "pandas", "parquet"])
    rows = list(zip(*columns.values(), strict=True))
    frame = pd.DataFrame(columns)
    match form:
        case "records":
            return frame.to_json(orient="records", double_precision=15).encode(), None
        case "columns":
            return json.dumps(columns).encode(), None
        case "lines":
            return frame.to_json(orient="records", lines=True, double_precision=15).encode(), None
        case "pandas":
            orient = rng.choice(["columns", "index", "split", "table"])
            text = frame.to_json(orient=orient, index=True, double_precision=15)
            return text.encode(), None
        case "parquet":
            file = io.BytesIO()
            frame.to_parquet(file)
            return file.getvalue(), None
    separator = rng.choice([",", ";", "\t", "|"])
    mark = rng.choice(".,")
    thousands = rng.choice(["", "", " ", "," if mark == "." else ".", "'"])
    suffixed, said = rng.random() < 0.3, rng.random() < 0.5

    def quoted(text: str) -> str:
        return f'"{text}"' if separator in text or rng.random() < 0.1 else text

    def cell(value: float) -> str:
        if value >= 1e6 and suffixed:
            size, letter = rng.choice([(1e6, "M"), (1e6, " m"), (1e9, "B"), (1e3, "k")])
            text = repr(value / size)
            text = text.removesuffix(".0") if "e" not in text else f"{value / size:.12f}"
            if float(text) * size == value:
                return quoted(text.replace(".", mark) + letter)
        text = repr(value).removesuffix(".0")
        if "e" not in text and value >= 1000 and thousands:
            whole, point, rest = text.partition(".")
            text = f"{int(whole):,}".replace(",", thousands) + (mark if point else "") + rest
        else:
            text = text.replace(".", mark)
        return quoted(text)

    lines = [separator.join(map(cell, row)) for row in rows]
    pad = rng.choice(["", " "]) if separator != "\t" else ""
    lines.insert(0, separator.join(f"{pad}{name}{pad}" for name in columns))
    if rng.random() < 0.3:
        lines.insert(0, "# exported by hand")
    if rng.random() < 0.3:
        lines.insert(rng.randrange(len(lines)) + 1, rng.choice(["", "# 7, 8", "   "]))
    if rng.random() < 0.2:
        lines = [f"sep={separator}", *lines]
    text = rng.choice(["\n", "\r\n"]).join(lines) + rng.choice(["", "\n"])
    encoding = rng.choice(["utf-8", "utf-8-sig", "utf-16"])
    return text.encode(encoding), mark if said else None


def test_a_table_in_any_dress_has_the_numbers_of_the_plain_one(
    cases: Callable[[int, int], int], tmp_path: Path
) -> None:
    """Or is refused, where a mark may part thousands or decimals and nothing in the table says."""
    rng = random.Random(3)
    runs = tmp_path / "runs"
    refused = 0
    for case in range(cases(400, 10_000)):
        count = rng.randrange(1, 8)
        columns = {
            "n": [float(rng.choice([3, 70, 1e6, 2.5e9, 4_321, rng.randrange(1, 10**7)]))
                  for _ in range(count)],
            "Val Loss": [round(rng.uniform(0.5, 9), rng.randrange(1, 6)) for _ in range(count)],
        }  # fmt: skip
        data, mark = dressed(rng, columns)
        runs.write_bytes(data)
        try:
            found = choose(read(runs, decimal=mark), LAWS["power"], "n", "Val Loss")
        except UserError as error:
            assert mark is None and ("--decimal" in str(error) or "one mark" in str(error)), (
                case, error, data,
            )  # fmt: skip
            refused += 1
            continue
        for name, values in columns.items():
            np.testing.assert_allclose(
                found.data[name], values, rtol=1e-12, err_msg=f"{case} {data!r}"
            )
    assert refused < 0.1 * cases(400, 10_000)


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
    assert f"{float(value):g} in row 7" in told and "slip" in told
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
