"""Pages that orient a reader say what the ledgers say, and nothing else."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataworth.book import orient, page
from dataworth.book.chapters import Chapter, Header
from dataworth.errors import UserError

LINE = {
    "id": "rises", "statement": "x < y", "source": "S", "published": "2", "unit": "points",
    "estimate": 2.0, "interval": [1.5, 3.0], "region": [0.0, 4.0], "definition": "the slope",
    "effect": "", "verdict": "supported", "reason": "", "published_number": [1.0],
}  # fmt: skip
FALLS = {"estimate": -2.0, "interval": [-3.0, -1.0], "verdict": "contradicted"}


def book(tmp_path, line=LINE):
    chapter = Chapter(tmp_path / "a_b.py", "part/a_b")
    ledger = {"chapter": "a-b", "title": "Does it rise?", "claims": [line], "evidence": {}}
    return [chapter], {"a-b": ledger}


def recorded(**changes):
    return {"a-b": [{"profile": "full", "claims": [{**LINE, **changes}]}]}


def test_a_strip_holds_the_lines_numbers_in_order(tmp_path):
    chapters, results = book(tmp_path)
    html = orient.picture(chapters, results, recorded(**FALLS))
    assert "\n" not in html and 'href="ledger.html#claim-a-b-rises"' in html
    assert "x &lt; y This run: supported, 2 [1.5, 3] points." in html
    assert "Recorded run: contradicted: below the claimed range, −2 [−3, −1] points." in html
    strip = html.rpartition('<svg viewBox="0 0 210')[2]
    left, width = map(float, re.search(r'"region" x="([\d.]+)" y="0" width="([\d.]+)"', strip)
                      .groups())  # fmt: skip
    here, there = (
        (float(low), float(middle), float(high))
        for low, high, middle in re.findall(
            r'class="line" d="M([\d.]+) \S+H([\d.]+)"/><circle [^>]*?cx="([\d.]+)"', strip
        )
    )
    published = float(re.search(r'class="published" d="M([\d.]+) ', strip)[1])
    # One linear scale: from -2 to 2 is as far as from 0 to 4.
    assert here[1] - there[1] == pytest.approx(width, abs=0.2)
    assert left == pytest.approx((here[1] + there[1]) / 2, abs=0.2)
    assert published - left == pytest.approx(width / 4, abs=0.2)
    assert there[0] < there[1] < there[2] < left < here[0] < here[1] < here[2] < left + width


NUMBERS = st.floats(-1e6, 1e6) | st.sampled_from([math.inf, -math.inf, math.nan])


@given(st.lists(NUMBERS, max_size=5), st.lists(st.tuples(NUMBERS, NUMBERS), max_size=2))
def test_every_number_has_a_place_and_keeps_its_order(core, intervals):
    at = orient._scale(core, intervals)
    known = sorted(v for v in [*core, *(v for p in intervals for v in p)] if not math.isnan(v))
    places = [at(v) for v in known]
    assert places == sorted(places)
    assert all(0 <= place <= orient.WIDTH for place in places)


def test_answers_link_to_their_rows_and_refuse_what_is_no_chapter(tmp_path):
    chapters, results = book(tmp_path)
    header = Header("Does it rise?", None, "", "cpu", {}, answer="rises")
    text = orient.answers(["a-b"], {"a-b": header}, chapters, results, recorded(**FALLS))
    row = text.splitlines()[-1]
    assert "[Does it rise?](/part/a_b)" in row and r"[2 \[1.5, 3\] points](#claim-a-b-rises)" in row
    assert "contradicted" in row
    with pytest.raises(UserError, match="the answer of 'b'"):
        orient.answers(["b"], {"a-b": header}, chapters, results, {})


def test_what_moved_is_told(tmp_path):
    chapters, results = book(tmp_path)
    assert orient.moved(chapters, results, recorded()).startswith("No verdict differs; 1 claim")
    assert "1 of 1 claim that can be" in orient.moved(chapters, results, recorded(**FALLS))


def test_a_decision_is_the_chapters_own_table(tmp_path):
    chapters, results = book(tmp_path)
    with pytest.raises(UserError, match=r"'a-c'.* is no chapter"):
        orient.decision("a-c", chapters, results)
    assert "dataworth run a-b" in orient.decision("a-b", chapters, results)
    rows = {"head": ["n", "x|y"], "rows": [["1", "2 [1, 3]"]], "dials": 1}
    results["a-b"]["evidence"] = {"decision": rows}
    text = orient.decision("a-b", chapters, results)
    assert text.startswith("{.dataworth-dials .dials-1}\n| n | x\\|y |")
    assert text.endswith(r"| 1 | 2 \[1, 3\] |")


def test_figures_are_listed_with_their_numbers(tmp_path):
    chapters, _ = book(tmp_path)
    shown = [("fig-a", "The *a*", True), ("figure-2", "Alone", False)]
    text = orient.figure_index([(chapters[0], "Does it rise?", shown)])
    assert text.splitlines() == [
        "2 figures, 1 of which can be explored.", "", "## [Does it rise?](/part/a_b)", "",
        r"- {numref}`fig-a`: The \*a\*", "- Alone",
    ]  # fmt: skip


def test_a_change_log_lies_one_level_deeper():
    text = "# Changelog\n\nForm.\n\n## [Unreleased]\n\n## [0.5.0]\n\n### Added\n\n- a # b\n"
    below = "### [0.5.0]\n\n#### Added\n\n- a # b"
    assert orient.changelog(text) == below
    new = text.replace("[Unreleased]\n", "[Unreleased]\n\n### Changed\n\n- c\n")
    assert orient.changelog(new) == f"### [Unreleased]\n\n#### Changed\n\n- c\n\n{below}"


def test_an_estimate_of_a_verdict_table_links_to_its_row(tmp_path):
    (chapter,), _ = book(tmp_path)
    html = '<td><span class="estimate" data-claim="rises">2 [1, 3]</span></td>'
    link = '<td><a href="../ledger.html#claim-a-b-rises">2 [1, 3]</a></td>'
    assert page._with_rows(chapter, html) == link
