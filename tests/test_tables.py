"""Tables of the pages: escaped, headed, formatted for a reader, no script in them."""

import math
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataworth.tables import show, text

ROWS = pd.DataFrame({"who": ["<b>x</b>", "y"], "n": ["<1", ""], "word": ["part", "&"]})


class Cells(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.tags, self.inside = [], [], None

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag in ("th", "td"):
            self.inside = tag
            self.found.append([tag, dict(attrs), ""])

    def handle_data(self, data):
        if self.inside:
            self.found[-1][2] += data

    def handle_endtag(self, tag):
        if tag in ("th", "td"):
            self.inside = None


def read(shown):
    reader = Cells()
    reader.feed(shown.data)
    return reader


def texts(shown):
    return [text for _, _, text in read(shown).found]


def test_cells_are_escaped_and_headed():
    shown = show(ROWS, sort="my-table", caption="a <caption>", names={"n": "n %"})
    page, reader = shown.data, read(shown)
    assert texts(shown) == ["who", "n %", "word", "<b>x</b>", "<1", "part", "y", "", "&"]
    assert not {"b", "script", "style"} & {*reader.tags}
    scopes = [attrs.get("scope") for tag, attrs, _ in reader.found if tag == "th"]
    assert scopes == ["col"] * 3 + ["row"] * 2
    assert [t for _, a, t in reader.found if a.get("class") == "number"] == ["<1"]
    assert "a &lt;caption&gt;" in page and 'id="my-table" data-sortable' in page
    assert not re.search(r"https?:|src=|style=", page)


def test_without_a_notebook_a_table_is_printed_too(capsys, monkeypatch):
    show(ROWS, caption="a caption", names={"n": "n %"})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].strip() == "a caption"
    assert [line.split() for line in printed if "x" in line] == [["<b>x</b>", "<1", "part"]]
    monkeypatch.setattr("dataworth.tables.shell", object)
    show(ROWS)
    assert capsys.readouterr().out == ""


def test_heads_of_numbers_stand_over_them():
    heads = read(
        show(pd.DataFrame({"arm": ["a", "b"], "k": [1.5, None], "case": ["x", "1"]}))
    ).found
    assert [a.get("class") for _, a, _ in heads[:3]] == [None, "number", None]


def test_a_name_must_be_fit_for_an_id():
    with pytest.raises(ValueError, match="letters, digits and hyphens"):
        show(ROWS, sort='x"><script>')


def test_a_named_index_heads_the_rows_and_a_counted_one_is_not_shown():
    named = pd.DataFrame({"added_low": [1.0]}, index=pd.Index(["real"], name="arm"))
    assert texts(show(named)) == ["arm", "added low", "real", "1.00"]
    assert texts(show(named, names={"arm": "trained on", "added_low": "low"}))[:2] == [
        "trained on", "low",
    ]  # fmt: skip
    both = pd.DataFrame({"k": [2]}, index=pd.MultiIndex.from_tuples([("a", 1)], names=["x", "y"]))
    assert texts(show(both)) == ["x", "y", "k", "a", "1", "2"]
    of_columns = named.rename_axis(index=None, columns="in points")
    assert texts(show(of_columns))[0] == "in points"
    assert texts(show(pd.DataFrame({"k": [7]}, index=[40]))) == ["k", "7"]
    two = pd.DataFrame({("this run", "low"): [1], ("all", ""): [2]})
    assert texts(show(two))[:2] == ["this run, low", "all"]
    with pytest.raises(ValueError, match="has no name"):
        show(named.rename_axis(None))


def test_formats_and_names_must_be_of_the_table():
    for wrong in ({"formats": {"odd": ".2f"}}, {"names": {"odd": "x"}}):
        with pytest.raises(ValueError, match="no column 'odd'"):
            show(ROWS, **wrong)


@pytest.mark.parametrize(
    ("value", "form", "want"),
    [
        (0.012345, None, "0.0123"), (12.345, None, "12.3"), (1234.5, None, "1,234"),
        (0.99951, None, "1.00"), (0.0, None, "0"), (np.float32(2.5), None, "2.50"),
        (3.21e-5, None, "3.21 × 10⁻⁵"), (-4e9, None, "−4.00 × 10⁹"), (1900, None, "1900"),
        (np.int64(5), None, "5"), (math.nan, ".2f", "–"), (None, None, "–"), (pd.NA, None, "–"),
        (pd.NaT, None, "–"), (math.inf, ".2f", "∞"), (-math.inf, None, "−∞"),
        (-0.001, ".2f", "0.00"), (-0.5, "+.1f", "−0.5"), (0.5, "+.1f", "+0.5"),
        (0.463, ".0%", "46\u00a0%"), (-0.001, ".0%", "0\u00a0%"), (0.0004, "p", "<0.001"),
        (0.04, "p", "0.040"), (0.5, "p", "0.50"), (True, None, "yes"),
        (np.bool_(False), None, "no"),
        ((-1.0, math.inf), ".1f", "[−1.0, ∞]"), ("[-0.2, 0.3]", None, "[−0.2, 0.3]"),
        ("1900-1939", None, "1900-1939"), ("-Sketch, e-mail", None, "-Sketch, e-mail"),
        (SimpleNamespace(value=1.0, low=-0.5, high=2.0), ".1f", "1.0 [−0.5, 2.0]"),
        (-3, lambda v: f"{v} of 9", "−3 of 9"), (12345, ",", "12,345"),
    ],
)  # fmt: skip
def test_a_cell_reads_as_people_write_it(value, form, want):
    assert text(value, form) == want


@given(st.floats(-1e300, 1e300))
def test_three_significant_digits_are_those_of_the_number(value):
    shown = text(value).replace(",", "").replace("−", "-")
    mantissa, _, power = shown.partition(" × 10")
    plain = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    assert float(f"{mantissa}e{power.translate(plain) or 0}") == pytest.approx(value, rel=5.1e-3)


def test_whole_numbers_of_a_column_are_grouped_alike():
    assert texts(show(pd.DataFrame({"n": [80, 1280, 10240]})))[1:] == ["80", "1,280", "10,240"]
    assert texts(show(pd.DataFrame({"year": [1790, 2021]})))[1:] == ["1790", "2021"]


@pytest.mark.parametrize(
    ("value", "form", "shown"),
    [
        (0.00003, "+.4f", "+3 × 10⁻⁵"),
        (-0.00004, ".4f", "−4 × 10⁻⁵"),
        (0.0, ".4f", "0"),
        (0.00006, ".4f", "0.0001"),
        (0.003, ".2f", "0.00"),
    ],
)
def test_a_cell_of_four_digits_shows_one_of_its_number(value, form, shown):
    assert text(value, form) == shown
