import copy
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dataworth.book import page
from dataworth.book.chapters import Chapter, Header
from dataworth.book.parameters import Row
from dataworth.display import plain
from dataworth.errors import UserError
from dataworth.markdown import code as inline_code
from dataworth.markdown import literal

HEADER = Header("Title", None, "", "cpu", {"quick": 5.0})
ROWS = [
    Row("sizes", [1, 2], [1], "images", "how many"),
    Row("seed", 3, 0, "", ""),
    Row("batch", 64, 64, "images", "per step"),
]
RECORD = {
    "profile": "quick", "started": "2026-01-01T00:00", "finished": "2026-01-01T00:01",
    "wall_s": 60.0, "peak_memory_mb": 900, "commit": "abc", "key": {"code cells": "k1"},
    "versions": {"python": "3.11.7"},
    "device": {"processor": "CPU", "cores": 2, "memory_gb": 8.0, "gpu": None, "system": "Linux"},
}  # fmt: skip
SVG = "<svg></svg>"


def code(cell_id, source, outputs=(), tags=()):
    return {
        "cell_type": "code", "id": cell_id, "source": source, "outputs": list(outputs),
        "metadata": {"tags": list(tags)} if tags else {}, "execution_count": 1,
    }  # fmt: skip


def prose(cell_id, source):
    return {"cell_type": "markdown", "id": cell_id, "source": source, "metadata": {}}


def figure(**dataworth):
    return {
        "output_type": "display_data",
        "data": {"image/svg+xml": SVG, "text/plain": "<Figure>"},
        "metadata": {"dataworth": dataworth} if dataworth else {},
    }


def stream(name, text):
    return {"output_type": "stream", "name": name, "text": text}


def build(tmp_path, outputs, *, source_cells=None, executed_cells=None):
    chapter = Chapter(tmp_path / "some_chapter.py", "part/some_chapter")
    cells = [
        prose("a", "# Title\n\nText."),
        code("b", "sizes = [1]", tags=["parameters"]),
        code("c", "show()", tags=["hide-input"]),
    ]
    executed = [
        prose("a", "# Old title"),
        code("b", "sizes = [1]", tags=["parameters"]),
        code("x", "sizes = [1, 2]", tags=["injected-parameters"]),
        code("c", ["sho", "w()"], outputs, tags=["hide-input"]),
    ]
    merged = page.merge(
        chapter, {"cells": source_cells or cells}, {"cells": executed_cells or executed}
    )
    ledger = {"claims": [], "provenance": {"runs": 12}}
    left_out = ["a/b.json is not a ledger: it holds a list."]
    return page.build_page(chapter, HEADER, merged, ROWS, RECORD, ledger, (), left_out)


def test_the_download_is_the_executed_notebook_with_todays_prose(tmp_path):
    chapter = Chapter(tmp_path / "some_chapter.py", "part/some_chapter")
    source = {"cells": [prose("new", "# New"), code("b", "a = 1", tags=["parameters"])]}
    injected = code("i", "a = 2", tags=["injected-parameters"])
    ran = code("b", ["a = ", "1"], [stream("stdout", "x")], tags=["parameters"])
    executed = {"cells": [prose("old", "# Old"), ran, injected], "nbformat": 4}
    merged = page.merge(chapter, source, executed)
    assert merged["cells"] == [source["cells"][0], ran, injected]
    assert merged["nbformat"] == 4


def test_prose_is_the_sources_and_outputs_are_the_runs(tmp_path):
    built = build(tmp_path, [stream("stdout", "hello")])
    kinds = [c["cell_type"] for c in built["cells"]]
    assert kinds == ["markdown", "markdown", "code", "markdown"]
    assert built["cells"][0]["source"].startswith("# Title\n")
    assert built["cells"][2]["outputs"] == [stream("stdout", "hello")]
    assert built["cells"][2]["metadata"]["tags"] == ["hide-input"]


def test_both_parameter_cells_become_one_table(tmp_path):
    table = build(tmp_path, [])["cells"][1]["source"]
    assert "| `sizes` | 1, 2 | 1 | how many (images) |" in table
    assert "| `batch` | 64 |  | per step (images) |" in table  # the default is not repeated
    assert "about 5 min expected" in table
    assert "sizes = [1]" not in str(build(tmp_path, [])["cells"])


def test_links_stand_under_the_title_and_provenance_at_the_end(tmp_path):
    cells = build(tmp_path, [])["cells"]
    assert "/downloads/some_chapter.py" in cells[0]["source"]
    assert "/downloads/some_chapter.ipynb" in cells[0]["source"]
    assert ".claims.yaml" not in cells[0]["source"]
    (tmp_path / "some_chapter.claims.yaml").touch()
    cells = build(tmp_path, [])["cells"]
    assert "</downloads/some_chapter.claims.yaml>`\n" in cells[0]["source"]
    footer = cells[-1]["source"]
    for expected in ("seed = 3", "key | `", "python 3.11.7", "| runs | 12 |", "`abc`"):
        assert expected in footer
    assert "| recorded run left out | a/b.json is not a ledger: it holds a list. |" in footer


def test_alt_text_and_caption_go_where_myst_nb_reads_them(tmp_path):
    cell = build(tmp_path, [figure(alt="Line\nrises", caption="C", name="fig-a")])["cells"][2]
    assert cell["metadata"]["mystnb"] == {
        "image": {"alt": "Line rises"},
        "figure": {"caption": "C", "name": "fig-a"},
    }
    assert cell["outputs"][0]["data"] == {"image/svg+xml": SVG}
    assert cell["outputs"][0]["metadata"] == {}


def test_what_is_for_notebooks_alone_is_left_out(tmp_path):
    aside = figure(aside=True)
    (kept,) = build(tmp_path, [aside, figure(alt="a", caption="C"), aside])["cells"][2]["outputs"]
    assert kept["data"] == {"image/svg+xml": SVG}


@pytest.mark.parametrize("figures", [[figure()], [figure(alt="  ", caption="C")]])
def test_a_figure_without_alt_text_is_refused(tmp_path, figures):
    with pytest.raises(UserError, match="cell 2 of chapter 'some-chapter' has no alt text"):
        build(tmp_path, figures)


def test_two_figures_in_a_cell_are_refused(tmp_path):
    with pytest.raises(UserError, match="shows 2 figures"):
        build(tmp_path, [figure(alt="a"), figure(alt="b")])


def test_stderr_and_widgets_are_dropped(tmp_path):
    widget = {
        "output_type": "display_data", "metadata": {},
        "data": {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "bar"},
    }  # fmt: skip
    assert build(tmp_path, [stream("stderr", "100%"), widget])["cells"][2]["outputs"] == []


def test_an_error_output_is_refused(tmp_path):
    error = {"output_type": "error", "ename": "E", "evalue": "", "traceback": []}
    with pytest.raises(UserError, match="error output"):
        build(tmp_path, [error])


def test_other_code_than_was_executed_is_a_bug(tmp_path):
    cells = [prose("a", "# Title"), code("b", "sizes = [1]", tags=["parameters"])]
    with pytest.raises(ValueError, match="other code cells"):
        build(tmp_path, [], source_cells=cells)


def test_page_front_page_and_glossary_say_one_thing_about_coverage():
    said = page._standing({"claims": [{"verdict": "supported"}]}, [])
    assert "1 supported, 0 contradicted, 0 no effect, 0 inconclusive, 0 not measurable" in said
    book = Path(__file__).parents[2] / "book"
    texts = [said, *((book / name).read_text() for name in ("glossary.md", "index.md"))]
    ranges = [
        re.findall(
            r"truth in (\d+ to \d+) of 100 repetitions that we simulated", " ".join(t.split())
        )
        for t in texts
    ]
    assert ranges[0] == ranges[1] == ranges[2] and len(ranges[0]) == 1
    assert page._standing(None, []) == page._standing({"claims": []}, []) == ""


LINE = {
    "id": "rises", "statement": "The *line* rises", "source": "S", "published": "",
    "unit": "points", "estimate": 2.0, "interval": [1.0, 3.0], "region": [0.0, "inf"],
    "definition": "the slope", "effect": "over {10} points", "verdict": "supported",
    "reason": "It lies inside.",
    "practice": "Go up.",
}  # fmt: skip


def answer(line, recorded=(), claim="rises", profile="quick"):
    header = replace(HEADER, answer=claim)
    return page._answer(header, {"profile": profile}, {"chapter": "c", "claims": [line]}, recorded)


def test_three_lines_answer_the_title():
    """What was found, how sure that is, and what it means in practice, of one claim's numbers."""
    said = answer(LINE)
    assert said.startswith(":::{container} dataworth-answer\n**Answer (this run):** <span class=")
    assert (
        ">supported</span> The \\*line\\* rises [2 \\[1, 3\\] points](#claim-c-rises); "
        "over \\{10\\} points" in said
    )
    assert "\n\n**How sure:** It lies inside.\n\n**In practice:** Go up.\n:::" in said
    assert answer(LINE, claim=None) == "" and "mean nothing" in answer(LINE, profile="smoke")


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("inconclusive", "This run decides nothing"),
        ("no effect", "makes no difference that matters"),
        ("not measurable here", "This design cannot tell"),
    ],
)
def test_a_verdict_without_a_decision_says_so(verdict, said):
    line = {**LINE, "verdict": verdict, "practice": ""}
    assert f"**In practice:** {said}" in answer(line).replace("What is asked about ", "")


def test_the_answer_tells_what_the_recorded_run_says():
    kept = {"profile": "full", "claims": [{**LINE, "interval": [-4.0, -2.0], "estimate": -3.0}]}
    said = answer(LINE, [kept])
    assert "Recorded run (full): <span" in said
    assert ">contradicted: below the claimed range</span> −3 \\[−4, −2\\] points." in said


def test_inputs_are_not_changed(tmp_path):
    outputs = [figure(alt="a", caption="C")]
    before = copy.deepcopy(outputs)
    build(tmp_path, outputs)
    assert outputs == before


@given(st.lists(st.lists(st.text(max_size=12), min_size=2, max_size=2), min_size=1, max_size=4))
def test_a_table_keeps_its_shape_whatever_stands_in_it(body):
    """Reference: the CommonMark parser under MyST sees as many rows and cells as we wrote."""
    tokens = MarkdownIt("js-default", {"html": False}).parse(page.table(["a", "b"], body))
    assert tokens[0].type == "table_open"
    assert sum(t.type == "tr_open" for t in tokens) == len(body) + 1
    assert sum(t.type == "td_open" for t in tokens) == 2 * len(body)


def read(markdown):
    """What a reader sees of one paragraph (reference: the CommonMark parser under MyST), and the
    kinds of its parts."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    (inline,) = [t for t in parser.parse(f"x {markdown} x") if t.type == "inline"]
    return "".join(t.content for t in inline.children), {t.type for t in inline.children}


@given(st.text(st.characters() | st.sampled_from("`*_[]()<>~$&\\|{}!#:"), max_size=30))
@example("<script>alert(1)</script>")
@example("[a](b) ![a](b) `code` *a* __b__ ~~c~~ &amp; \\* $x$ {term}`x` <http://a.b>")
def test_literal_text_is_read_as_it_is(text):
    seen, kinds = read(literal(text))
    line = " ".join(plain(text).split())
    assert seen == f"x {line} x"
    assert kinds <= {"text", "text_special"}
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    *_, cell = [
        token
        for token in parser.parse(page.table(["a"], [[f"x {literal(text)}"]]))
        if token.type == "inline"
    ]
    assert "".join(t.content for t in cell.children) == f"x {line}".rstrip()


@given(st.text(st.characters() | st.sampled_from("` "), max_size=20))
@example("a`b``c`")
def test_code_holds_any_text(text):
    line = " ".join(plain(text).split())
    seen, kinds = read(inline_code(text))
    assert seen == (f"x {line} x" if line else "x  x")
    assert kinds <= ({"text", "code_inline"} if line else {"text"})


def test_nothing_on_a_page_steers_a_terminal(tmp_path):
    bad = "\x1b[31mred\x07\x00\u202e"
    html = {"output_type": "execute_result", "metadata": {}, "data": {"text/html": [bad]},
            "execution_count": 1}  # fmt: skip
    built = str(build(tmp_path, [stream("stdout", bad), html])["cells"])
    assert "red" in built and plain(built) == built
