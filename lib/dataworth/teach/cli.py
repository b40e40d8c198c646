"""Commands for a class: what it needs, grading, and the lab with budgets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from dataworth.book.options import AsJson, Profile, Quiet, Root, chapter_ids, completed
from dataworth.display import say

Chapter = Annotated[
    str | None,
    typer.Argument(help="A chapter (default: all).", autocompletion=completed(chapter_ids)),
]


def class_(
    chapter: Chapter = None,
    profile: Profile = "quick",
    slides: Annotated[bool, typer.Option("--slides", help="Only the slides.")] = False,
    book: Annotated[
        bool, typer.Option("--book", help="The built book without solutions, too.")
    ] = False,
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Slides and sheets as PDF, too (needs Chromium).")
    ] = False,
    quiet: Quiet = False,
    root: Root = None,
) -> None:
    """Make what a class needs of executed chapters: student copies, slides, lessons, quizzes."""
    from dataworth.book.layout import open_layout
    from dataworth.teach import pack, printed

    layout = open_layout(profile, root)
    made = pack.build(layout, chapter, say, slides_only=slides, book=book and chapter is None)
    if pdf:
        for path in printed.sheets(made, chapter):
            say(f"pdf: {layout.show(path)}")
    say(f"class: {layout.show(made)}")


def grade(
    chapter: Annotated[
        str, typer.Argument(help="Its chapter.", autocompletion=completed(chapter_ids))
    ],
    submissions: Annotated[list[Path], typer.Argument(help="Notebooks (.ipynb) of students.")],
    seconds: Annotated[float, typer.Option(help="Each may run so long.", min=1, max=3600)] = 60.0,
    as_json: AsJson = False,
    root: Root = None,
) -> None:
    """Grade notebooks of an assignment with its hidden tests; they run with your rights."""
    from dataworth.book import chapters
    from dataworth.book.layout import open_layout
    from dataworth.errors import UserError
    from dataworth.teach import assign

    layout = open_layout("quick", root)
    of = chapters.get(layout.root, chapter)
    if (master := assign.read(of, layout.root)) is None:
        raise UserError(f"Chapter '{of.id}' has no assignment in teach/assignments/.")
    given = {path: assign.read_submission(path) for path in submissions}
    rows = []
    for path, submission in given.items():
        scores = assign.grade(master, submission, seconds)
        got, most = sum(s.points for s in scores), sum(s.most for s in scores)
        failed = {s.test: s.told for s in scores if s.told}
        rows.append({"file": str(path), "points": got, "of": most, "failed": failed})
        if not as_json:
            say(f"{path}: {got} of {most}", hang=4)
            for test, told in failed.items():
                say(f"    {test}: {told}", hang=8)
    if as_json:
        print(json.dumps(rows, indent=1))


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    program.command("class")(class_)
    program.command()(grade)
