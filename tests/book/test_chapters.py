import re
from pathlib import Path

import pytest

from dataworth import claims_file
from dataworth.book import chapters
from dataworth.book.layout import Layout, open_layout, write_changed
from dataworth.claims import recorded_ledgers
from dataworth.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def edit(layout: Layout, old: str, new: str) -> None:
    path = layout.book / "part" / "line_fit.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_chapters_come_from_the_toc_and_pages_do_not_count(example):
    assert [c.id for c in chapters.find(example.root)] == ["line-fit"]
    assert chapters.documents(example.root) == [
        "index", "part/line_fit", "ledger", "run_times", "glossary", "references",
    ]  # fmt: skip


def test_a_toc_entry_without_a_file_is_refused(example):
    toc = example.root / "_toc.yml"
    toc.write_text(toc.read_text().replace("part/line_fit", "part/lost"))
    with pytest.raises(UserError, match=r"part/lost"):
        chapters.find(example.root)


def test_two_chapters_of_one_id_are_refused(example):
    (example.book / "line_fit.py").write_text("# %%\n")
    toc = example.root / "_toc.yml"
    toc.write_text(toc.read_text().replace("      - file: run_times", "      - file: line_fit"))
    with pytest.raises(UserError, match="two chapters with the id 'line-fit'"):
        chapters.find(example.root)


def test_an_unknown_chapter_is_told_what_there_is(example):
    with pytest.raises(UserError, match=r"Unknown chapter 'lin-fit'; the book has line-fit"):
        chapters.get(example.root, "lin-fit")


def test_two_readings_are_equal_and_name_a_kernel(example):
    chapter = chapters.get(example.root, "line_fit")
    one, two = chapters.read(chapter), chapters.read(chapter)
    assert one == two
    assert one.metadata["kernelspec"]["name"] == "python3"
    assert one.metadata["kernelspec"]["language"] == "python"
    assert len({c.id for c in one.cells}) == len(one.cells)


def test_header(example):
    chapter = chapters.get(example.root, "line-fit")
    header = chapters.header(chapter, chapters.read(chapter))
    assert header.title == "Does a line go through the points?"
    assert header.answer == "rises"
    assert header.params == "example_params:Example"
    assert header.expected_minutes == {"smoke": 0.1}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# # Does a line go through", "# ## Does a line go through"),
        ("# ## Method", "# # Method"),
        ("# # Does a line go through the points?\n", "# Prose first\n#\n# # A line\n"),
    ],
)
def test_exactly_one_h1_that_comes_first(example, old, new):
    edit(example, old, new)
    chapter = chapters.get(example.root, "line-fit")
    with pytest.raises(UserError, match="one '# title' line"):
        chapters.header(chapter, chapters.read(chapter))


def test_a_comment_in_a_code_fence_is_no_heading(example):
    edit(example, "# We draw points", "# ```\n# # a shell comment\n# ```\n# We draw points")
    chapter = chapters.get(example.root, "line-fit")
    chapters.header(chapter, chapters.read(chapter))


def test_layout_refuses_unknown_profiles_and_folders_without_a_book(example, tmp_path_factory):
    with pytest.raises(UserError, match="Unknown profile 'quack'; the book has smoke, quick, pap"):
        open_layout("quack", example.root)
    with pytest.raises(UserError, match="is not a book"):
        open_layout("smoke", tmp_path_factory.mktemp("empty"))


def test_unchanged_files_keep_their_time_stamp(tmp_path):
    path = tmp_path / "a" / "page.md"
    assert write_changed(path, "text")
    before = path.stat().st_mtime_ns
    assert not write_changed(path, "text")
    assert path.stat().st_mtime_ns == before
    assert write_changed(path, "other") and path.read_text() == "other"
    assert [p.name for p in path.parent.iterdir()] == ["page.md"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "_toc.yml, line 1 is not YAML"),
        ("root: index\nroot: other", "_toc.yml, line 2: 'root' stands here and in line 1"),
        ("root: 5", "_toc.yml: 'root' is 5; it must be a name below book/"),
        ("root: ../../etc/passwd", "_toc.yml: 'root' is '../../etc/passwd'; it must be a name"),
        ("root: [a]", "_toc.yml: 'root' is"),
    ],
)
def test_a_toc_that_means_nothing_is_a_sentence(example, text, said):
    (example.root / "_toc.yml").write_text(text)
    with pytest.raises(UserError) as caught:
        chapters.find(example.root)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("device: cpu", "device: [", r"line_fit.py, line \d+ is not YAML"),
        (
            "device: cpu",
            "device: cpu\n#     device: gpu",
            "line 8: field 'jupyter': 'device'",
        ),
        ("device: cpu", "device: 5", "'device' is 5; it must be a text"),
        ("device: cpu", "devise: cpu", "has 'devise'; known are params, description, device"),
        (
            "{smoke: 0.1}",
            "{smoke: soon}",
            "'expected_minutes' of 'smoke' is 'soon'; it must be",
        ),
        ("{smoke: 0.1}", "{smoke: true}", "'expected_minutes' of 'smoke' is True"),
        ("{smoke: 0.1}", "{smoke: -1}", "'expected_minutes' of 'smoke' is -1"),
        ("{smoke: 0.1}", "3", "'expected_minutes' is 3; it must be a mapping"),
        ("device: cpu", "main: seed", "'main' is 'seed'; it must be a list of names"),
        ("answer: rises", "answer: [rises]", "'answer' is .*rises.*; it must be a text"),
        (
            "answer: rises",
            "answer: falls",
            "'answer' is 'falls'; it must be the id of a claim of the chapter: rises.",
        ),
        ("the points?", "the points", "that of a chapter with claims must be a question"),
        ("device: cpu", "main: [seed, 3]", "'main' is .*3.*; it must be a list of names"),
    ],
)
def test_a_header_that_means_nothing_is_a_sentence(example, old, new, said):
    edit(example, old, new)
    chapter = chapters.get(example.root, "line-fit")
    with pytest.raises(UserError, match=said):
        chapters.header(chapter, chapters.read(chapter))


def test_a_cell_that_is_not_python_is_a_sentence(example):
    edit(example, "y = slope * x", "%matplotlib inline\n!ls\ny = slope * x (")
    chapter = chapters.get(example.root, "line-fit")
    said = r"Cell 4 of book/part/line_fit.py is not Python \(its line 5\): .*never closed"
    with pytest.raises(UserError, match=said):
        chapters.read(chapter)


def test_a_chapter_that_is_not_utf8_is_a_sentence(example):
    chapter = chapters.get(example.root, "line-fit")
    chapter.source.write_bytes(chapter.source.read_bytes() + b"\xff")
    with pytest.raises(UserError, match=r"line_fit.py is not UTF-8"):
        chapters.read(chapter)


@pytest.mark.parametrize("chapter", chapters.find(ROOT), ids=lambda c: c.id)
def test_a_styled_table_escapes_what_it_holds(chapter):
    """pandas escapes a plain table, but a styled one only where it is asked to."""
    for cell in chapters.read(chapter).cells:
        if cell.cell_type == "code" and ".style." in cell.source:
            assert 'escape="html"' in cell.source, cell.source


CLAIMING = [c for c in chapters.find(ROOT) if c.docname.partition("/")[0] != "background"]


def test_only_pages_of_background_claim_nothing():
    assert {c.id for c in chapters.find(ROOT) if not c.claims.is_file()} == {
        c.id for c in chapters.find(ROOT) if c not in CLAIMING
    }


@pytest.mark.parametrize("chapter", CLAIMING, ids=lambda chapter: chapter.id)
def test_every_chapter_judges_what_its_claims_file_states(chapter):
    """One estimate for every claim, one value for every name, all written out; no claim is built
    by hand. A region that a run's numbers could move would be no claim: its ends are numbers but
    for one that is a parameter."""
    code = "\n".join(
        chapters.python_of(cell.source)
        for cell in chapters.read(chapter).cells
        if cell.cell_type == "code"
    )
    assert claims_file.judged(code) is not None, "ids are not written out in claims.judge"
    assert f'claims.judge(\n    "{chapter.id}",' in code
    stated = claims_file.of_cells(chapter.id, code, ROOT / "book")
    assert stated.path == chapter.claims and stated.title in chapter.source.read_text()
    for id, claim in stated.claims.items():
        assert all((claim.statement, claim.source, claim.region, claim.unit, claim.definition)), id
        named = {end for end in claim.region if isinstance(end, str) and end[0] == "{"}
        assert named <= {"{least[real]}"}, id
    text = chapter.claims.read_text()
    assert (
        text.count("  matters: ")
        == len(stated.claims)
        == len(re.findall("  matters: .*  # ", text))
    )


def test_ids_of_claims_are_those_of_the_recorded_runs():
    """Else what was recorded is compared with nothing. One that is stated no more is named at the
    head of the claims file, with the reason."""
    for chapter in CLAIMING:
        stated = set(claims_file.read(chapter.claims).claims)
        text = chapter.claims.read_text(encoding="utf-8")
        dropped = set(re.findall(r"^# Dropped: ([a-z0-9-]+): \S.+$", text, re.M))
        assert not dropped & stated, chapter.id
        for record in recorded_ledgers(ROOT, chapter.id)[0]:
            recorded = {line["id"] for line in record["claims"]}
            assert recorded <= stated | dropped, chapter.id


# A heading that is no question asserts nothing either: it names a thing, or begins as an indirect
# question does. These are the verbs with which a heading asserts something.
ASSERTS = re.compile(
    r"\b(?:is|are|was|were|has|have|does|do|can|cannot|not|helps|hurts|costs|pays|fails|beats|"
    r"wins|loses|gains|works|keeps|bends|saturates|depends|explains|predicts|repairs|"
    r"improves|matters|raises|lowers|rises|falls|grows|makes|replaces|reverses)\b"
)
INDIRECT = ("What ", "How ", "Why ", "Which ", "Where ", "When ")


@pytest.mark.parametrize("chapter", CLAIMING, ids=lambda c: c.id)
def test_no_title_or_heading_asserts_what_a_verdict_may_deny(chapter):
    """Whatever the profile: titles are questions answered by the verdict of one claim, which the
    page prints under them; a heading asks, or names what stands below it."""
    notebook = chapters.read(chapter)
    header = chapters.header(chapter, notebook)  # refuses a title that is no question
    stated = claims_file.read(chapter.claims).claims
    assert header.title.endswith("?") and header.answer in stated
    # What it means in practice stands ready for either outcome.
    practice = set(stated[header.answer].practice or ())
    assert "supported" in practice and practice & {"below", "above"}
    headings = [
        line.lstrip("# ")
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for line in chapters.outside_fences(cell.source)
        if line.startswith(("## ", "### "))
    ]
    for heading in headings:
        part = heading.rpartition(": ")[2].capitalize()
        asks = part.endswith("?") or part.startswith(INDIRECT)
        assert asks or not ASSERTS.search(heading.lower()), heading


def test_headings_that_assert_are_found():
    told = ["A straight line fails", "An optimum, not a law", "Filtering for quality helps"]
    assert all(ASSERTS.search(heading.lower()) for heading in told)
