"""A report is one page that stands alone: its numbers are the fit's, its text is escaped, every
picture has words, nothing is loaded."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from dataworth.errors import UserError
from dataworth.fit import fit
from dataworth.fit.about import filled
from dataworth.fit.cli import register

app = typer.Typer()
register(app)
EMPTY = {"meta", "br", "use", "path", "image", "line", "rect", "circle", "stop"}


class Page(HTMLParser):
    """Elements, ids and what would be loaded; complains where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY:
            assert self.open.pop() == tag, tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.found if name == tag]


def report(folder: Path, monkeypatch: pytest.MonkeyPatch, *words: Any) -> tuple[str, Page, dict]:
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(app, ["report", *map(str, words)])
    if isinstance(done.exception, Exception):
        raise done.exception
    record = json.loads(done.output)
    text = (folder / record["page"]).read_text(encoding="utf-8")
    return text, Page(text), record


def stands_alone(page: Page) -> None:
    for tag, attrs in page.found:
        assert tag not in ("script", "link", "iframe", "img"), tag
        for name in ("src", "href", "xlink:href"):
            assert (attrs.get(name) or "#").startswith("#"), (tag, attrs)
    ids = [attrs["id"] for _, attrs in page.found if "id" in attrs]
    assert len(ids) == len(set(ids))
    pictures = page.all("svg")
    assert pictures and all(
        p["role"] == "img" and len(p["aria-label"] or "") > 40 for p in pictures
    )
    assert len(page.all("h1")) == 1 and page.all("html")[0]["lang"] == "en"


def test_a_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x = np.repeat(np.geomspace(250, 16000, 6), 3).round()
    y = ((0.1 + 20 * x**-0.4) * np.exp(0.01 * rng.normal(size=18))).round(4)
    y[7] *= 1.3
    pd.DataFrame({"n": x, "top-1 error": y, "seed": [0, 1, 2] * 6}).to_csv(
        tmp_path / "runs.csv", index=False, sep=";", decimal=","
    )
    text, page, record = report(
        tmp_path, monkeypatch, "runs.csv", "--x", "n", "--y", "top-1 error", "--predict", "1M"
    )
    stands_alone(page)
    assert record["page"] == "runs-report.html"
    want = fit({"n": x, "top-1 error": y}, law="shifted", x="n", y="top-1 error")
    shown = filled(want.law, want.params, ["n"], "top-1 error")
    assert shown is not None and shown in text and f"{want.params['k']:.3f}" in text
    assert f"{want.mean([1e6])[0]:.4g}" in text and "extrapolated" in text
    assert "Beyond 3 of these: row 8" in text  # the slip is named under the residuals
    assert "dataworth report runs.csv --x n --y &#x27;top-1 error&#x27; --predict 1M" in text
    assert "the decimal mark is a comma" in text and "numpy " in text and "SHA-256" in text
    assert "currentColor" in text and "prefers-color-scheme: dark" in text
    assert not re.search(r"#010203|<metadata>", text)


def test_what_the_data_hold_commands_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = '<script>alert("1")</script>'
    rows = [
        {"n<b>": n, 'loss & "y" $\\frac$': floor + 20 * n**-0.4, "arm": arm}
        for arm, floor in ((evil, 0.1), ("$x_{", 0.3))
        for n in (250.0, 1000, 4000, 16000)
    ]
    (tmp_path / "runs.json").write_text(json.dumps(rows))
    text, page, _ = report(
        tmp_path, monkeypatch, "runs.json", "--x", "`n<b>`", "--y", '`loss & "y" $\\frac$`',
        "--group", "arm", "-o", "a.html",
    )  # fmt: skip
    stands_alone(page)
    assert evil not in text and "&lt;script&gt;" in text
    assert "E[$x_{]" in text


def test_model_and_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chinchilla_runs: dict[str, np.ndarray]
) -> None:
    frame = pd.DataFrame(chinchilla_runs).iloc[::6]
    frame.to_parquet(tmp_path / "runs.parquet")
    text, page, record = report(
        tmp_path, monkeypatch, "runs.parquet", "--law", "chinchilla", "--x", "N,D", "--y", "loss",
        "--loss", "huber", "--fixed", "E=1.69",
    )  # fmt: skip
    stands_alone(page)
    assert len(page.all("figure")) == 3 and "Compute-optimal sizes by the law" in text
    assert "held" in text and "loss = 1.69 + " in text
    assert record["rows"] == len(frame)


def test_two_data_sets_are_told_apart_by_their_ratio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.geomspace(250, 16000, 6).round()
    losses = {"real": 0.1 + 20 * x**-0.4, "synthetic": 0.1 + 20 * (x / 5) ** -0.4}
    rows = [(n, y, arm) for arm, of in losses.items() for n, y in zip(x, of, strict=True)]
    pd.DataFrame(rows, columns=["n", "loss", "arm"]).to_csv(tmp_path / "runs.csv", index=False)
    text, page, _ = report(
        tmp_path, monkeypatch, "runs.csv", "--x", "n", "--y", "loss", "--group", "arm"
    )
    stands_alone(page)
    _, _, after = text.partition("How much of synthetic equals one of real at equal loss")
    cells = [re.findall(r">([^<]*)</t[hd]>", row) for row in after.split("<tr>")[2:5]]
    assert [float(row[3]) for row in cells] == pytest.approx([5.0] * 3, rel=1e-3)


def test_flags_stand_first_and_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "few.csv").write_text("n,loss\n100,2.1\n200,1.7\n400,1.42\n800,1.24\n")
    ask = ("few.csv", "--law", "power", "--x", "n", "--y", "loss")
    text, page, record = report(tmp_path, monkeypatch, *ask)
    stands_alone(page)
    assert report(tmp_path, monkeypatch, *ask)[0] == text  # nothing of the day or the machine
    assert record["flags"] == ["few_rows"]
    assert text.index("Before you use these numbers") < text.index("<h2>The law")
    assert "<b>few_rows</b>: under three rows a parameter" in text
    with pytest.raises(UserError, match=r"'no/a\.html' cannot be written: No such file"):
        report(tmp_path, monkeypatch, *ask, "-o", "no/a.html")
