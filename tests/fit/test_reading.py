"""Tables as people have them are read as they mean, or refused in one sentence with the way out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dataworth.errors import UserError
from dataworth.fit.choose import Chosen, choose
from dataworth.fit.forms import LAWS
from dataworth.fit.numerals import cell, number
from dataworth.fit.read import read

N, LOSS = [100.0, 200, 400, 800], [2.1, 1.7, 1.42, 1.24]


def chosen(folder: Path, text: str | bytes, x: str = "n", y: str = "loss", **how) -> Chosen:
    path = folder / "runs"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    reading = {name: how.pop(name) for name in ("separator", "decimal") if name in how}
    return choose(read(path, **reading), LAWS[how.pop("law", "power")], x, y, **how)


FORMS = {
    "comma": "n,loss\n100,2.1\n200,1.7\n400,1.42\n800,1.24",
    "semicolon and comma": "n;loss\n100;2,1\n200;1,7\n400;1,42\n800;1,24\n",
    "tab": "n\tloss\n100\t2.1\n200\t1.7\n400\t1.42\n800\t1.24\n",
    "bar": "n | loss\n100 | 2.1\n200 | 1.7\n400 | 1.42\n800 | 1.24\n",
    "blanks": "  n   loss\n100   2.1\n200   1.7\n400  1.42\n800  1.24 \n",
    "comments": "# by hand\n\nn, loss\n100, 2.1\n200, 1.7\n# 300, 9\n400, 1.42\n800, 1.24\n",
    "numpy.savetxt": "# n loss\n1.0e2 2.1\n2e2 1.7\n4e2 1.42\n800 1.24\n",
    "quotes": '"n","loss"\n"100","2.1"\n"200","1.7"\n"400","1.42"\n"800","1.24"\n',
    "sep=": "sep=;\nn;loss\n100;2.1\n200;1.7\n400;1.42\n800;1.24\n",
    "records": json.dumps([{"n": n, "loss": y} for n, y in zip(N, LOSS, strict=True)]),
    "columns": json.dumps({"n": N, "loss": LOSS}),
    "lines": "\n".join(json.dumps({"n": n, "loss": y}) for n, y in zip(N, LOSS, strict=True)),
    "pandas": pd.DataFrame({"n": N, "loss": LOSS}).to_json(),
    "by run": pd.DataFrame({"n": N, "loss": LOSS}, index=list("abcd")).to_json(orient="index"),
    "split": pd.DataFrame({"n": N, "loss": LOSS}).to_json(orient="split"),
    "log": json.dumps({"epoch": 3, "log_history": [
        {"n": n, "loss": y} for n, y in zip(N, LOSS, strict=True)]}),
    "UTF-16": "n\tloss\r\n100\t2.1\r\n200\t1.7\r\n400\t1.42\r\n800\t1.24\r\n".encode("utf-16"),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_the_same_numbers(form: str, tmp_path: Path) -> None:
    found = chosen(tmp_path, FORMS[form])
    np.testing.assert_allclose(found.data["n"], N)
    np.testing.assert_allclose(found.data["loss"], LOSS)
    told = {"semicolon and comma": "'2,1' is read as 2.1", "log": "log_history",
            "comments": "1 line below the names begins with # and is left out"}  # fmt: skip
    assert [told[form] in note for note in found.notes] == ([True] if form in told else [])


def test_parquet_and_records_inside_records(tmp_path: Path) -> None:
    path = tmp_path / "runs.parquet"
    frame = pd.DataFrame({"n": np.array(N, "int32"), "loss": LOSS, "state": ["a", None, "b", "b"]})
    frame.to_parquet(path)
    found = choose(read(path), LAWS["power"], "n", "loss", where=["state == b"])
    assert found.data["n"].tolist() == [400, 800]
    nested = '{"config": {"n": "70M", "lr": {"max": 3}}, "loss": 2}\n{"config": {"n": "1.3B"}}'
    found = chosen(tmp_path, nested, "`config.n`", drop_missing=True)
    assert found.data["config.n"].tolist() == [7e7] and found.dropped == 1


def test_excel_is_read_where_openpyxl_is_and_named_where_it_is_not(tmp_path: Path) -> None:
    path = tmp_path / "runs.xlsx"
    try:
        import openpyxl  # noqa: F401
    except ImportError:
        path.write_bytes(b"PK\x03\x04" + bytes(100))
        with pytest.raises(UserError, match="pip install openpyxl, or save the sheet as CSV"):
            read(path)
        return
    pd.DataFrame({"n": N, "loss": LOSS}).to_excel(path, index=False)
    found = choose(read(path), LAWS["power"], "n", "loss")
    np.testing.assert_allclose(found.data["loss"], LOSS)


@pytest.mark.parametrize(
    ("text", "decimal", "value"),
    [
        ("1.3B", ".", 1.3e9), ("70M", ".", 7e7), ("70m", ".", 7e7), ("250k", ".", 2.5e5),
        ("1.4T", ".", 1.4e12), ("2 bn", ".", 2e9), ("1e9", ".", 1e9), ("-1.5E-3", ".", -1.5e-3),
        ("1,000,000", ".", 1e6), ("1.000.000", ",", 1e6), ("1 000 000,5", ",", 1000000.5),
        ("1'234.5", ".", 1234.5), ("1.234,5", ",", 1234.5), ("41 %", ".", 0.41),
        ("41,5%", ",", 0.415), ("0,5", ",", 0.5), ("1,234", ".", 1234), ("1,234", ",", 1.234),
        ("−3", ".", -3), ("1.", ".", 1), (".5", ".", 0.5), ("1_000", ".", 1000),
    ],
)  # fmt: skip
def test_numerals(text: str, decimal: str, value: float) -> None:
    one = cell(text)
    assert one is not None and one.value(decimal) == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    ["", "x", "1e", "1,5,3", "12,34,567", "1.2.3", "0x10", "--1", "1 2", "1_0", "1e3M", "M", "1,",
     "१२", "1.234,567,8", "%", "1e5%", ","],
)  # fmt: skip
def test_what_is_no_numeral(text: str) -> None:
    one = cell(text)
    assert one is None or (one.value(".") is None and one.value(",") is None)


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        ("n;loss\n1.000;2,1\n2.000;1,7", None),  # a thousand, or one: the other column says comma
        ("n;loss\n1,000;2,100\n2,000;1,750", [1, 2]),  # the semicolon settles it
        ('n,loss\n"1,000",2.1\n"2,000",1.7', [1000, 2000]),
        ('n,loss\n"1,000,000",2\n"2,000",1', [1e6, 2000]),
        ('n,loss\n"1,000","2,1"\n"2,000","1,7"', [1, 2]),
        ('n,loss\n"1,000",2\n"2,000",1', None),
        ("n;loss\n1,000;2.100\n2,000;1.750", None),
        ("n,loss\n1.000,2\n2.500,1", [1, 2.5]),
    ],
)
def test_a_mark_that_may_be_either_is_settled_by_the_table_or_refused(
    columns: str, values: list[float] | None, tmp_path: Path
) -> None:
    if values is None:
        with pytest.raises(UserError, match="say which mark parts the decimals with --decimal"):
            chosen(tmp_path, columns)
    else:
        assert chosen(tmp_path, columns).data["n"].tolist() == values


def test_the_stated_mark_and_separator_decide(tmp_path: Path) -> None:
    table = "n;loss\n1.000;2,1\n2.000;1,7"
    assert chosen(tmp_path, table, decimal=",").data["n"].tolist() == [1000, 2000]
    with pytest.raises(UserError, match=r"'2,1' in row 1 \(line 2\) with '.' as its decimal mark"):
        chosen(tmp_path, table, decimal=".")
    assert chosen(tmp_path, "n~loss\n1~2", separator="~").data["n"].tolist() == [1]


RUNS = """Name,State,params,tokens,C,eval/loss,acc,ok
a,finished,1M,20M,1.2e14,3.9,41 %,true
b,crashed,4M,,1e15,,38 %,false
c,finished,16M,320M,3.1e16,3.0,52 %,True
d,failed,64M,1.3B,5e17,NaN,61 %,false
"""


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("State == finished", "ac"), ("state == 'finished'", "ac"), ("State != finished", "bd"),
        ("params > 1M", "bcd"), ("1e6 < params <= 16M", "bc"), ("not params > 1M", "a"),
        ("State == finished and params > 1e6", "c"), ("`eval/loss` < 3.5", "c"),
        ("State in (failed, crashed) or `eval/loss` == 3.9", "abd"),
        ("State not in (failed, crashed)", "ac"), ("ok == true", "ac"),
        ("tokens/params == 20", "ac"),
        ("finished == State", "ac"), ("Name == b or Name == d", "bd"),
    ],
)  # fmt: skip
def test_where(where: str, kept: str, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text(RUNS)
    found = choose(
        read(tmp_path / "runs"), LAWS["power"], "C", "acc", where=[where], labels=["Name"]
    )
    assert "".join(found.data["Name"]) == kept
    assert [f"keeps {len(kept)} of 4 rows" in n for n in found.notes].count(True) == 1


def test_variables_and_losses_by_expression(tmp_path: Path) -> None:
    by_name = "D=C/(6*params),N=params"
    found = chosen(tmp_path, RUNS, by_name, "1-acc", law="chinchilla")
    assert found.x == ["params", "C/(6*params)"]
    np.testing.assert_allclose(found.data["C/(6*params)"][0], 1.2e14 / 6e6)
    np.testing.assert_allclose(found.data["1-acc"], [0.59, 0.62, 0.48, 0.39])
    found = chosen(tmp_path, RUNS, "log10(C)", "`eval/loss`", drop_missing=True)
    assert len(found.places) == 2 and found.dropped == 2
    assert "leaves out 2 of 4 rows" in found.notes[-1] and "row 2 (line 3)" in found.notes[-1]
    assert chosen(tmp_path, RUNS, "C", "acc").dropped == 0  # no gap where nothing is asked


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        ({"y": "eval/loss"}, "'eval/loss' has no value in row 2 .line 3. and 1 more; --drop-mi"),
        ({"y": "1-eval/loss"}, "'eval'; the data have .*; put a name such as `eval/loss` between"),
        ({"y": "`evalloss`"}, "--y names the column 'evalloss'"),
        ({"x": "size"}, "--x names the column 'size'; the data have Name, State, params"),
        ({"x": "N=params"}, "'power' needs each of its variables once: x"),
        ({"x": "params,C"}, "has the variables x; --x names 2 column"),
        ({"x": "N=params,N=C", "law": "chinchilla"}, "each of its variables once: N, D"),
        ({"x": "params^2"}, r"a power is written \*\*"),
        ({"x": "__import__('os')"}, "only \\+ - \\* / \\*\\* and log"),
        ({"x": "params.real"}, "only \\+ -"),
        ({"x": "(params"}, "it cannot be read"),
        ({"x": "1+2"}, "it names no column"),
        ({"x": "0/(params-params)"}, "it has no value in row 1"),
        ({"x": "1/(params-1M)"}, "has inf in row 1 .line 2.; allowed is a finite number above 0"),
        ({"y": "acc-0.5"}, "'acc-0.5' has -0.09 in row 1 .line 2."),
        ({"y": "State"}, "'State' is not numeric: it has 'finished' in row 1"),
        ({"where": ["State = finished"]}, "it cannot be read; write it like state == finished"),
        ({"where": ["State == done"]}, "keeps no row of 4; 'State' has 'finished', 'crashed'"),
        ({"where": ["stat == finished"]}, "--where names the column 'stat'"),
        ({"where": ["State > b"]}, "text is compared with == or !="),
        ({"where": ["params"]}, "it compares nothing"),
        ({"where": ["1 < 2"]}, "it names no column"),
        ({"where": ["x" * 600]}, "has 600 characters; 500 are allowed"),
        ({"where": ["-" * 400 + "params > 1"]}, "rows|cannot be read"),
        ({"labels": ["arm"]}, "no column 'arm'"),
    ],
)  # fmt: skip
def test_wrong_questions_are_one_sentence(ask: dict, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        chosen(tmp_path, RUNS, **({"x": "params", "y": "acc"} | ask))
        raise UserError("rows")  # depth is Python's own limit
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "it is empty"), (b"# only\n", "it is empty"), (b"\x1f\x8b\x08", "unpack it first"),
        (b"<!DOCTYPE html>", "web page"), (b"%PDF-1.4", "PDF"), (b"[1, 2]", "one object"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"n,loss\n1,2,3\n", "line 2 has 3 cells, its first line 2, with the comma as"),
        (b"n;loss\n1,0;2,0\n2\n", "line 3 has 1 cells, its first line 2, with the semicolon"),
        (b"n,n\n1,2\n", "2 columns with the name 'n'"), (b'n,loss\n"1,2\n', "line 2: unexpected"),
        (b"100,2.1\n200,1.7\n", "line 1, its first, has numbers .100, 2.1. where the names"),
        (b"n,loss\n1,\x80\n", "not UTF-8"), (b"n,loss\n1,\x00\n", "zero byte"),
        (b'{"n": 1, "n": 2}', "the name 'n' twice"), (b'{"n": [1], "loss": [1, 2]}', "lengths"),
        (b'{"n": 1}\n{"n": }', "line 2 of its JSON lines"), (b'{"n": 1}\n[2]', "no object"),
        (b"{" * 100_000, "not JSON|too deep"),
        (b'{"a": [1, {"b": 2}]}', "have a, a.b"),
        (b"PAR1" + bytes(50), "its Parquet cannot be read"), (b"n,loss\n", "and no rows"),
        (b"n,loss\n41 %,2\n52,1\n", "percentage in row 1 .line 2. and a number without % in row 2"),
        (b"n,loss\n,2\n,1\n", "No row has a value in 'n'"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_one_sentence(data: bytes, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        chosen(tmp_path, data)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_numbers_of_the_command_line() -> None:
    assert number("1.3B", "--at") == 1.3e9
    with pytest.raises(UserError, match="--at is 'many'; numbers such"):
        number("many", "--at")
