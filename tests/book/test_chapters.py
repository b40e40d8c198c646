import pytest

from dataworth.book import chapters
from dataworth.book.layout import Layout, open_layout, write_changed
from dataworth.errors import UserError


def edit(layout: Layout, old: str, new: str) -> None:
    path = layout.book / "part" / "line_fit.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_chapters_come_from_the_toc_and_pages_do_not_count(example):
    assert [c.id for c in chapters.find(example.root)] == ["line-fit"]
    assert chapters.documents(example.root) == [
        "index", "part/line_fit", "run_times", "glossary", "references",
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
    assert header.title == "A line goes through the points"
    assert header.params == "example_params:Example"
    assert header.expected_minutes == {"smoke": 0.1}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# # A line goes through", "# ## A line goes through"),
        ("# ## Method", "# # Method"),
        ("# # A line goes through the points\n", "# Prose first\n#\n# # A line\n"),
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
    with pytest.raises(UserError, match=r"Unknown profile 'quack'; params/ has smoke, paper"):
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
