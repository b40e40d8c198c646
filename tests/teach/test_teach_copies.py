"""No solution reaches a student: of the real chapters, and of copies damaged by hand."""

import json

import pytest

from dataworth.book import chapters
from dataworth.book.layout import open_layout
from dataworth.errors import UserError
from dataworth.teach import copies

LAYOUT = open_layout("quick")
CHAPTERS = [c for c in chapters.find(LAYOUT.root) if c.claims.is_file()]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda c: c.id)
def test_a_student_copy_has_all_of_the_chapter_but_its_solutions(chapter, tmp_path):
    source = chapter.source.read_text()
    kept = copies.solutions(source)
    assert len(kept) == source.count("{admonition} Solution") >= 1
    notebook = copies.student(chapters.read(chapter))
    (tmp_path / "a.ipynb").write_text(json.dumps(copies.with_setup(notebook)))
    (tmp_path / "a.py").write_text(copies.without(source))
    copies.check(tmp_path, [source])
    assert "Solution" not in (tmp_path / "a.ipynb").read_text()
    # The same cells, and every line of the source that stands in no solution.
    assert len(notebook["cells"]) == len(chapters.read(chapter).cells)
    secret = {line.strip() for text in kept for line in text.splitlines()}
    left = {line.removeprefix("#").strip() for line in copies.without(source).splitlines()}
    lines = [line.removeprefix("#").strip() for line in source.splitlines()]
    fences = {"```", "```{admonition} Solution"}
    assert not [x for x in lines if x not in left and x not in secret and x not in fences]


SOURCE = """\
# %% [markdown]
# **1.** How many?
#
# ```{admonition} Solution
# :class: dropdown
# Exactly *forty-two* of the `synthetic` images would be needed to reach it.
# ```
#
# **2.** Why?
"""


@pytest.mark.parametrize(
    "text",
    [
        "Exactly <em>forty-two</em> of the <code>synthetic</code> images would be needed to reach",
        '"source": ["Exactly forty-two of\\n", "the synthetic images would be needed"]',
        "exactly forty two\nof the synthetic images would be needed",
    ],
)
def test_a_solution_is_found_whatever_its_mark_up(text, tmp_path):
    (tmp_path / "page.html").write_text(f"<p>before {text} after</p>")
    with pytest.raises(UserError, match="says"):
        copies.check(tmp_path, [SOURCE])


def test_words_that_the_chapter_says_elsewhere_are_no_solution(tmp_path):
    said = "# Exactly forty-two of the synthetic images would be needed to reach it.\n"
    (tmp_path / "page.html").write_text(said)
    copies.check(tmp_path, [SOURCE + said])


def test_what_is_left_reads_on():
    assert copies.without(SOURCE).splitlines() == [
        "# %% [markdown]", "# **1.** How many?", "#", "#", "# **2.** Why?",
    ]  # fmt: skip


def test_no_page_and_no_docstring_has_words_of_a_solution():
    """`make class` refuses a book whose pages, those of docstrings too, tell what a student is to
    find out: found here without building one."""
    sources = [chapter.source.read_text() for chapter in chapters.find(LAYOUT.root)]
    library = LAYOUT.root / "lib" / "dataworth"
    documented = ("*.py", "fit/*.py", "figures/*.py", "data/*.py", "runs/*.py", "studies/*.py")
    pages = [*LAYOUT.book.rglob("*.md"), *(p for kind in documented for p in library.glob(kind))]
    assert copies.leaks(pages, sources) == []


def test_what_is_not_looked_at_may_say_it(tmp_path):
    """Pages of an earlier book: those of this one take their place."""
    source = CHAPTERS[0].source.read_text()
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "old.html").write_text(copies.solutions(source)[0])
    copies.check(tmp_path, [source], aside=tmp_path / "book")
    with pytest.raises(UserError, match=r"1 student files: old\.html"):
        copies.check(tmp_path, [source])
