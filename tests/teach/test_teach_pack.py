"""What a class gets of a small book that was executed: files, no solution, the pages' sources."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from dataworth.book import chapters
from dataworth.book.layout import open_layout
from dataworth.errors import UserError
from dataworth.teach import pack, plans

SOLUTION = "Exactly forty-two points of the line would have to be moved for that."


def test_the_student_book_is_the_whole_book_elsewhere():
    layout = open_layout("quick")
    student = pack.StudentBook(layout.root, layout.profile, layout)
    assert student.executed == layout.executed and student.results == layout.results
    assert student.build != layout.build and student.build.is_relative_to(pack.folder(layout))
    # As a page alone it would lose what is no chapter (`site.write_site`).
    from dataworth.book.layout import OnePage

    assert not isinstance(student, OnePage)


def test_the_pages_of_students_are_written_from_sources_without_solutions(tmp_path, monkeypatch):
    source = tmp_path / "part" / "one.py"
    source.parent.mkdir()
    block = f"# ```{{admonition}} Solution\n# :class: dropdown\n# {SOLUTION}\n# ```\n"
    source.write_text("# %% [markdown]\n# # Why?\n#\n# **1.** How many?\n#\n" + block)
    chapter = chapters.Chapter(source, "part/one")
    notebook = chapters.read(chapter)
    assert SOLUTION in notebook.cells[0].source
    got = {}

    def write_site(layout, found, notebooks, headers, parameters):
        got.update(chapters=found, notebooks=notebooks)

    monkeypatch.setattr(pack.site, "write_site", write_site)
    monkeypatch.setattr(pack.site, "html_is_current", lambda layout: True)
    plan = SimpleNamespace(
        chapters=[chapter], notebooks={"one": notebook}, headers={}, parameters={}
    )
    pack._book(open_layout("quick"), plan, tmp_path / "sources")
    (given,) = got["chapters"]
    assert given.docname == "part/one" and SOLUTION not in given.source.read_text()
    assert SOLUTION not in json.dumps(got["notebooks"]["one"])
    assert SOLUTION in source.read_text() and SOLUTION in notebook.cells[0].source


def test_the_run_of_a_class_is_a_line_to_type():
    layout = open_layout("quick")
    chapter = chapters.get(layout.root, "mixing")
    plan = plans.read(chapter, layout.root)
    line = pack.command_of(chapter, plan, "quick")
    assert line == "dataworth run mixing --profile quick -p 'ratios=[1, 2, 4, 16]' --name class"


def test_a_chapter_that_was_not_executed_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("DATAWORTH_BUILD", str(tmp_path))
    layout = replace(open_layout("smoke"))
    with pytest.raises(UserError, match="dataworth book --profile smoke"):
        pack.build(layout, "fitting", print)
