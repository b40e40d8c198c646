"""A user's own documents: every layout, every shape of date, every odd text right or counted."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dataworth.data import own_texts
from dataworth.data.dates import years
from dataworth.data.documents import UNDATED
from dataworth.data.own import OwnData
from dataworth.errors import UserError

WORDS = (
    *("keel", "berth", "mast", "cargo", "hull", "rope", "port", "sail"),
    *("tide", "crew", "yeast", "oven", "knead", "salt", "dough", "bell"),
)


def text(number: int) -> str:
    """A document of 30 words that shares few of its runs of three with another."""
    return " ".join(
        WORDS[(number * 7 + i * (number % 5 + 1) + i * i) % 16] + str(number) for i in range(30)
    )


def entries(count: int = 12) -> list[dict[str, Any]]:
    return [
        {"text": text(i), "date": f"{1990 + i}-04-03", "domain": ("ships", "bread")[i % 2]}
        for i in range(count)
    ]


def jsonl(folder: Path, rows: list[Any], name: str = "corpus.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return path


def read(source: Path, **said: Any) -> own_texts.OwnTexts:
    return own_texts.read(OwnData(text=str(source), **said))


def refusal(source: Path, **said: Any) -> str:
    with pytest.raises(UserError) as caught:
        read(source, **said)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def as_expected(found: own_texts.OwnTexts, count: int = 12) -> None:
    got = {d.text: (d.domain, d.year) for d in found.documents}
    assert got == {e["text"]: (e["domain"], int(e["date"][:4])) for e in entries(count)}


def test_jsonl_packed_and_nested(tmp_path: Path) -> None:
    as_expected(read(jsonl(tmp_path, entries())))
    packed = tmp_path / "c.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "corpus.jsonl").read_bytes()))
    as_expected(read(packed))
    packed.write_bytes(packed.read_bytes()[:100])
    assert "cannot be unpacked" in refusal(packed)
    nested = [
        {"raw_content": e["text"], "meta": {"when": e["date"], "pile_set_name": e["domain"]}}
        for e in entries()
    ]
    as_expected(read(jsonl(tmp_path, nested, "n.jsonl"), date_column="meta.when"))
    (tmp_path / "list.json").write_text(json.dumps(entries()))
    as_expected(read(tmp_path / "list.json"))


@pytest.mark.parametrize("comma", [",", ";", "\t", "|"])
def test_tables_of_any_separator_with_a_mark_and_crlf(tmp_path: Path, comma: str) -> None:
    lines = [comma.join(("text", "date", "domain"))]
    lines += [comma.join((f'"{e["text"]}"', e["date"], e["domain"])) for e in entries()]
    path = tmp_path / ("corpus.tsv" if comma == "\t" else "corpus.csv")
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    as_expected(read(path))


def test_parquet_and_a_folder_of_tables(tmp_path: Path) -> None:
    import datasets

    datasets.Dataset.from_list(entries()[:6]).to_parquet(str(tmp_path / "a.parquet"))
    jsonl(tmp_path, entries()[6:])
    (tmp_path / "README.md").write_text("words about it")
    found = read(tmp_path)
    as_expected(found)
    assert found.report.left_out == {"files of another kind": 1}


def test_a_folder_of_texts(tmp_path: Path) -> None:
    for e in entries():
        path = tmp_path / e["domain"] / e["date"][:4] / f"{e['text'][:5].strip()}-dev.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(e["text"])
    as_expected(read(tmp_path))
    (tmp_path / "bread" / "1990").mkdir()
    latin = "Schiffe fahren über die Förde, täglich und immer wieder"
    (tmp_path / "bread" / "1990" / "latin.txt").write_bytes(latin.encode("latin-1"))
    found = read(tmp_path)
    assert latin in {d.text for d in found.documents}
    assert sum(found.report.changed.values()) == 1  # read as Windows-1252, and said


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ({"text": None}, "without a text"),
        ({"text": 7}, "whose text is a number or a list"),
        ({"text": " \n\t"}, "with an empty text"),
        ({"text": "too short"}, "shorter than 20 characters"),
        ({"text": "word " * 30_000}, "longer than 100,000 characters (longest)"),
        ({"text": text(3)}, "exact copies of another document"),
        ({"text": text(3) + "."}, "near copies of another document"),
    ],
)
def test_odd_documents_are_counted(tmp_path: Path, odd: dict, reason: str) -> None:
    rows = [*entries(), {"date": "1999-01-01", "domain": "ships"} | odd]
    found = read(jsonl(tmp_path, rows), longest=100_000)
    assert found.report.left_out == {reason: 1}
    assert len(found.documents) == 12


def test_broken_lines_and_half_pairs(tmp_path: Path) -> None:
    rows = entries()
    path = jsonl(tmp_path, rows)
    half = (
        '{"text": "\\ud83d '
        + text(50)
        + '", "date": "2001-01-01", "domain": "ships"}\n{"text": "cut of'
    )
    path.write_text(path.read_text() + half)
    found = read(path)
    assert found.report.left_out == {"lines that are no JSON": 1}
    assert found.report.first["lines that are no JSON"] == "corpus.jsonl, line 14"
    assert sum("\ufffd" in d.text or "?" in d.text for d in found.documents) == 1
    path.write_text("neither this\nnor that\n")
    assert "holds no line of JSON" in refusal(path)


def test_markup_is_said_or_stripped(tmp_path: Path) -> None:
    rows = [e | {"text": f"<p>{e['text']}</p><script>x()</script>"} for e in entries()]
    path = jsonl(tmp_path, rows)
    assert any("12 documents hold HTML" in note for note in read(path).report.notes)
    as_expected(read(path, html="strip"))


def test_missing_dates_and_domains(tmp_path: Path) -> None:
    rows = entries()
    del rows[0]["date"]
    rows[1]["date"], rows[2]["domain"] = None, None
    path = jsonl(tmp_path, rows)
    found = read(path)
    assert sorted(d.year for d in found.documents)[:3] == [UNDATED, UNDATED, 1992]
    assert {d.domain for d in found.documents} == {"ships", "bread", "unknown"}
    assert any("2 of 12 documents have no date" in note for note in found.report.notes)
    dropped = read(path, undated="drop")
    assert dropped.report.left_out == {"without a date": 2} and len(dropped.documents) == 10


def test_columns(tmp_path: Path) -> None:
    rows = [{"a": e["text"], "b": e["date"], "label": i % 2} for i, e in enumerate(entries())]
    path = jsonl(tmp_path, rows)
    assert "text_column: no column looks like the text; name one of a, b, label" in refusal(path)
    assert "date_column: there is no column 'c'" in refusal(path, text_column="a", date_column="c")
    found = read(path, text_column="a", date_column="b")
    assert found.labels == ("label",) and {d.domain for d in found.documents} == {"text"}
    assert {d.labels for d in found.documents} == {(("label", "0"),), (("label", "1"),)}


DAYS = [datetime(1990 + i, 4, 3, tzinfo=UTC) for i in range(30)]
SHAPES = {
    "iso": [d.date().isoformat() for d in DAYS],
    "iso with time": [d.isoformat() for d in DAYS],
    "slashes": [d.strftime("%d/%m/%Y") for d in DAYS],
    "dots": [d.strftime("%d.%m.%Y") for d in DAYS],
    "year first": [d.strftime("%Y/%m/%d") for d in DAYS],
    "month": [d.strftime("%Y-%m") for d in DAYS],
    "seconds": [int(d.timestamp()) for d in DAYS],
    "seconds as text": [str(d.timestamp()) for d in DAYS],
    "milliseconds": [int(d.timestamp() * 1e3) for d in DAYS],
    "microseconds": [int(d.timestamp() * 1e6) for d in DAYS],
    "nanoseconds": [int(d.timestamp() * 1e9) for d in DAYS],
    "years": [d.year for d in DAYS],
    "years as text": [str(d.year) for d in DAYS],
    "fractions": [float(d.year) for d in DAYS],
    "digits": [d.strftime("%Y%m%d") for d in DAYS],
    "mail": [d.strftime("%a, %d %b %Y 15:30:00 +0000") for d in DAYS],
    "ctime": [d.strftime("%a %b %d 15:30:00 +0000 %Y") for d in DAYS],
    "words": [d.strftime("at 1530 on %-d %B %Y") for d in DAYS],
    "american": [d.strftime("%B %-d, %Y") for d in DAYS],
    "objects": DAYS,
    "days": [d.date() for d in DAYS],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_dates_of_every_shape(shape: str) -> None:
    found = years([*SHAPES[shape], None, "", float("nan")], "date")
    assert found.years.tolist() == [*range(1990, 2020), UNDATED, UNDATED, UNDATED]
    assert not found.unread


def test_a_format_reads_what_nothing_else_can() -> None:
    short = [d.strftime("%d/%m/%y") for d in DAYS]
    assert years(short, "date", "%d/%m/%y").years.tolist() == list(range(1990, 2020))
    with pytest.raises(UserError, match="'03/04/90' in row 1 has a year of two digits"):
        years(short, "date")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            ["1017-05-01"] * 3,
            "'1017-05-01' in row 1 would be the year 1017; years must lie in 1400",
        ),
        (["2990-05-01"], "would be the year 2990"),
        ([17, 1990, 2000], "17 in row 1 is neither a year in 1400 to"),
        (
            ["spring", "1990-01-01", "autumn", "winter"],
            "3 of 4 values are no date, the first is 'spring'",
        ),
        ([4e30], "would be the year -1"),
    ],
)
def test_dates_that_are_none_are_refused_with_their_row(values: list, words: str) -> None:
    with pytest.raises(UserError, match=r"^day: ") as caught:
        years(values, "day")
    assert words in str(caught.value)


def test_a_few_odd_dates_are_named() -> None:
    found = years([*SHAPES["iso"], "circa 1850?"], "date")
    assert found.unread == ((30, "circa 1850?"),) and found.years[30] == UNDATED
