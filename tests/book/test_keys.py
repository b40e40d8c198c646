"""The key of a chapter: what it holds of prose, cells, parameters and recorded runs. What code,
libraries and data do to it stands in tests/test_closure.py."""

import ast
from pathlib import Path

import pytest

import dataworth
from dataworth.book import chapters, keys
from dataworth.book.layout import open_layout, write_atomic
from dataworth.errors import UserError
from dataworth.why import differences

VALUES = {"slope": 3.0}


def key(layout, values=VALUES):
    chapter = chapters.get(layout.root, "line-fit")
    notebook = chapters.read(chapter)
    return keys.chapter_key(chapter.id, notebook, values, layout, None)


def edit(layout, old, new):
    path = layout.book / "part" / "line_fit.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def edit_claims(layout, old, new):
    path = layout.book / "part" / "line_fit.claims.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_comments_of_claims_do_not_count(example):
    before = key(example)
    edit_claims(example, "rises:\n", "# Why so.\nrises:\n")
    edit_claims(example, "matters: null", "matters: null  # no smallest slope")
    assert key(example) == before


def test_claims_that_do_not_fit_the_chapter_are_told_before_it_runs(example):
    edit_claims(example, "rises:\n", "falls:\n")
    with pytest.raises(UserError, match="claim 'rises' is not stated there"):
        key(example)
    (example.book / "part" / "line_fit.claims.yaml").unlink()
    with pytest.raises(UserError, match="'line-fit' has no claims"):
        key(example)


def test_prose_does_not_count(example):
    before = key(example)
    edit(example, "First prose", "Better prose")
    edit(example, "We draw points", "# %% [markdown]\n# A new cell.\n\n# %% [markdown]\n# We draw")
    assert key(example) == before


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        (lambda e: edit(e, "np.arange(points)", "np.arange(points) + 1"), "code cell 3"),
        (lambda e: write_atomic(e.book / "recorded" / "full" / "line-fit.json", "{}"),
         "recorded run full (new)"),
        (lambda e: edit_claims(e, "The line rises", "The line goes up"), "claim rises"),
        (lambda e: edit_claims(e, "[0, 10]", "[0, 11]"), "claim rises"),
        (lambda e: edit(e, "# # Does a line go", "# # Does one line go"), "claim of the title"),
    ],
)  # fmt: skip
def test_each_part_is_named_when_it_changes(example, change, phrase):
    before = key(example)
    change(example)
    assert differences(before, key(example)) == [phrase]


def test_parameters_and_profile_count(example):
    before = key(example)
    assert differences(before, key(example, {"slope": 4.0})) == ["parameter slope 3.0 -> 4.0"]
    paper = open_layout("paper", example.root)
    assert differences(before, key(paper)) == [f"parameter profile {example.profile} -> paper"]


FACE = ("dataworth.book", "dataworth.cli", "dataworth.own_runs")


def test_what_chapters_import_never_imports_the_book():
    """The key leaves out book/ and the face; that is right only while this holds."""
    package = Path(dataworth.__file__).parent
    for path in package.rglob("*.py"):
        name = path.relative_to(package).as_posix()
        face = ("book/", "cli.py", "fit/cli.py", "own_runs.py", "runs/cli.py", "teach/")
        if name.startswith(face):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in getattr(node, "names", []) if isinstance(a, ast.alias)]
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{n}" for n in names]
            for imported in names:
                assert not imported.startswith(FACE), name
