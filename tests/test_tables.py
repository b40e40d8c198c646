"""Tables a reader can sort: escaped, headed, and sorted in a browser's way."""

import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from dataworth.tables import sortable

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


def test_cells_are_escaped_and_headed():
    page = sortable(ROWS, name="my-table", caption="a <caption>", headings={"n": "n %"}).data
    reader = Cells()
    reader.feed(page)
    texts = [text for _, _, text in reader.found]
    assert texts == ["who", "n %", "word", "<b>x</b>", "<1", "part", "y", "", "&"]
    assert "b" not in reader.tags and reader.tags.count("button") == 3
    scopes = [attrs.get("scope") for tag, attrs, _ in reader.found if tag == "th"]
    assert scopes == ["col"] * 3 + ["row"] * 2
    assert [t for _, a, t in reader.found if a.get("class") == "number"] == ["<1"]
    assert "a &lt;caption&gt;" in page and 'id="my-table"' in page
    assert not re.search(r"https?:|src=", page)


def test_a_name_must_be_fit_for_an_id():
    with pytest.raises(ValueError, match="letters, digits and hyphens"):
        sortable(ROWS, name='x"><script>', caption="c")
