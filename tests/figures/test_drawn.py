"""What a figure tells of its numbers: its data file holds them, its marks say them where they
stand. (What the page's script does with them: `tests/book/test_browser.py`.)"""

import csv
import io
import json
import math
import re

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import pytest

from dataworth import tables
from dataworth.book import take
from dataworth.book.chapters import Chapter, Header
from dataworth.book.parameters import Row
from dataworth.figures import curves, draw, forest, heatmap, scatter, series, show, stack
from dataworth.figures.series import number

SIZES = [100, 320, 1000, 3200]
LOSS = series((SIZES, [1.0, 0.8, 0.65, 0.5], [0.95, 0.7, 0.6, 0.45], [1.05, 0.9, 0.7, np.inf]))
OTHER = series((SIZES, [1.2, 1.1, 1.05, 1.0], [1.1, 1.0, 1.0, 0.9], [1.3, 1.2, 1.1, 1.1]))
HEADER = Header("A title?", None, "", "cpu", {})
ROWS = [Row("seed", 0, 0, "", ""), Row("sizes", [1, 2], [1], "", "")]
RECORD = {
    "profile": "quick", "finished": "2026-01-01T00:01", "commit": "abc",
    "key": {"cards": {"a": "k"}}, "versions": {}, "device": {},
}  # fmt: skip


def panels():
    return {
        "curves": curves({"real": LOSS, "synthetic": OTHER}, "images", "loss (nats)"),
        "forest": forest({"real": {"a": (1, 0.5, 2), "b": (0, -1, 1)}}, "change (%)"),
        "scatter": scatter({"one": (LOSS, OTHER), "two": (OTHER, LOSS)}, "first", "second"),
        "heatmap": heatmap([[1.0, -2.0], [0.5, np.nan]], "effect", rows=["r", "s"]),
        "stack": stack(pd.DataFrame({"u": [60.0, 30], "v": [40.0, 70]}, index=["p", "q"]), "%"),
    }  # fmt: skip


def notebook(shown):
    """The executed notebook of what was shown."""
    cells = [
        {"id": str(i), "outputs": [{"data": data, "metadata": about}]}
        for i, (data, about) in enumerate(shown)
    ]
    return {"cells": cells}


def taken(tmp_path, notebook):
    chapter = Chapter(tmp_path / "a_chapter.py", "part/a_chapter")
    return take.along(chapter, HEADER, notebook, ROWS, RECORD, pixels=take.pixels)


@pytest.mark.parametrize("motif", panels())
def test_marks_stand_where_the_svg_has_them_and_say_the_rows(shown, motif):
    picture = draw(panels()[motif])
    (ax,) = picture.axes
    show(picture, caption="c", name="fig-a")
    drawn = shown[0][1]["dataworth"]["drawn"]
    columns = drawn["columns"]
    rows = [dict(zip(columns, row, strict=True)) for row in drawn["rows"]]
    assert rows and drawn["marks"]
    height = 72 * picture.fig.get_figheight()
    for row, x, y, panel, _, lines in drawn["marks"]:
        found = rows[row]
        assert panel == 0
        told = lines[-1].rpartition(": ")[2]
        side = next(s for s in ("value", "y", "x") if found[s] is not None)
        assert told.startswith(number(found[side], "+.2f" if motif == "heatmap" else ".3g"))
        if (high := found[f"{side}_high"]) is not None:
            assert told.endswith(f", {number(float(high), '.3g')}]")
        if motif in ("scatter", "curves"):
            at = ax.transData.transform((found["x"], found["y"])) * [1, -1] + [0, height]
            # The marks of one arm stand a little beside those of another.
            np.testing.assert_allclose((x, y), at, atol=0.01 if motif == "scatter" else 8)
    left, top, right, bottom = drawn["panels"][0]["box"]
    assert 0 <= left < right <= 72 * picture.fig.get_figwidth() and 0 <= top < bottom <= height


def test_the_data_file_redraws_the_figure(shown, tmp_path):
    show(draw(panels()["curves"], panels()["heatmap"]), caption="c", name="fig-a")
    first = taken(tmp_path, notebook(shown))[0]
    rows = list(csv.DictReader(io.StringIO(first.files["fig-a.csv"])))
    for name, given in (("real", LOSS), ("synthetic", OTHER)):
        own = [row for row in rows if row["series"] == name and row["panel"] == "1"]
        for column, values in (("x", SIZES), ("y", given.value), ("y_high", given.high)):
            assert [float(row[column]) for row in own] == list(values)
    assert math.isinf(float(rows[3]["y_high"]))
    assert [row["value"] for row in rows if row["panel"] == "2"] == ["1.0", "-2.0", "0.5", ""]


def test_every_figure_and_table_is_taken_along_with_what_made_it(shown, tmp_path):
    show(panels()["forest"], caption="A caption.", name="fig-a")
    frame = pd.DataFrame(
        {"n": [1, 2], "value": [0.12345, np.nan], "range": [(1.25, 2.5), (3.0, 4)]}
    )
    table = tables.show(frame, ".2f", caption="T")
    html, about = table._repr_html_()
    book = notebook([*shown, ({"text/html": html}, {"text/html": about})])
    figure, of_table = taken(tmp_path, book)
    assert set(figure.files) == {f"fig-a.{e}" for e in ("svg", "png", "csv", "js", "json")}
    assert figure.files["fig-a.png"].startswith(b"\x89PNG")
    about = json.loads(figure.files["fig-a.json"])
    assert about["command"] == "make chapter C=a-chapter PROFILE=quick"
    assert about["caption"] == "A caption." and about["data sets"] == ["a"]
    assert about["parameters"] == {"seed": 0, "sizes": [1, 2]} and "fig-a" in about["cite"]
    csv_ = of_table.files["tab-a-chapter-1.csv"]
    assert csv_ == 'n,value,"range, low","range, high"\n1,0.12345,1.25,2.5\n2,,3.0,4\n'
    for one in (figure, of_table):
        assert one.lines.count("\n") == 0 and about["command"] in one.lines
        links = re.findall(r'href="../figures/([^"]+)"', one.lines)
        assert set(links) == {name for name in one.files if not name.endswith(".js")}


def test_a_variant_is_made_again_with_its_parameters(shown, tmp_path):
    show(panels()["forest"], caption="c", name="fig-a")
    chapter = Chapter(tmp_path / "a_chapter.py", "part/a_chapter")
    record = RECORD | {"profile": "variant of quick"}
    (one,) = take.along(chapter, HEADER, notebook(shown[:1]), ROWS, record, pixels=take.pixels)
    command = json.loads(one.files["fig-a.json"])["command"]
    assert command == "dataworth run a-chapter --profile quick -p 'sizes=[1, 2]' --page"
