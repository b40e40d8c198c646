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
    from dataworth.teach import pack

    layout = open_layout(profile, root)
    made = pack.build(layout, chapter, say, slides_only=slides, book=book and chapter is None)
    if pdf:
        for path in pack.printed(made, chapter):
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


Folder = Annotated[Path, typer.Argument(help="Folder of the lab, shared by the class.")]
Student = Annotated[str, typer.Argument(help="Name, as the lab was opened for.")]
budget = typer.Typer(no_args_is_help=True)


@budget.command("open")
def open_(
    folder: Folder,
    students: Annotated[Path, typer.Argument(help="A text file, one name a line.")],
    rules: Annotated[
        Path | None, typer.Option(help="The rules (default: teach/budget.yaml of the clone).")
    ] = None,
    root: Root = None,
) -> None:
    """Open a lab for a class."""
    from dataworth.book.layout import open_layout
    from dataworth.errors import UserError
    from dataworth.teach import budget as lab

    path = rules or open_layout("quick", root).root / "teach" / lab.RULES
    try:
        names = [line.strip() for line in students.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"'{students}' cannot be read as text: {error}.") from None
    opened = lab.open_lab(folder, path, [name for name in names if name])
    say(f"open: {folder}; {opened.budget:g} units each, {opened.level:.0%} intervals of:")
    for target in opened.held_back:
        say(f"    {target}")


@budget.command()
def ask(
    folder: Folder,
    student: Student,
    arm: Annotated[str, typer.Argument(help="real or synthetic.")],
    size: Annotated[int, typer.Argument(help="Training images.")],
    seed: Annotated[int, typer.Option(help="Which repetition, from 0.")] = 0,
    root: Root = None,
) -> None:
    """Have a training run made and paid from a student's budget."""
    from dataworth.teach import budget as lab

    of = lab.of_book(folder, root)
    answer = of.ask(student, lab.Ask(arm, size, seed))
    say(f"loss {answer.loss:.4f}, {answer.spent:.4g} units; {of.left(student):.4g} left")


@budget.command()
def predict(
    folder: Folder,
    student: Student,
    arm: Annotated[str, typer.Argument(help="Of the held-back run.")],
    size: Annotated[int, typer.Argument(help="Of the held-back run.")],
    low: Annotated[float, typer.Argument(help="Lower end of the interval of its loss.")],
    high: Annotated[float, typer.Argument(help="Upper end.")],
    root: Root = None,
) -> None:
    """Hand in an interval for a held-back run; the last one counts."""
    from dataworth.teach import budget as lab

    of = lab.of_book(folder, root)
    of.predict(student, lab.Target(arm=arm, size=size), low, high)
    say(f"kept: {student}, {arm}:{size}, [{low:g}, {high:g}]")


@budget.command()
def grades(folder: Folder, as_json: AsJson = False, root: Root = None) -> None:
    """Make the held-back runs and rank the class by its interval scores; lower is better."""
    from dataworth.teach import budget as lab

    rows = lab.of_book(folder, root).grades()
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        say(
            f"{row['student']}: {row['score']:.3f}, {row['held']} of {row['of']} held, "
            f"{row['spent']:.4g} units in {row['runs']} runs"
        )


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    program.command("class")(class_)
    program.command()(grade)
    program.add_typer(
        budget, name="budget", help="A lab with budgets: ask for runs, predict larger ones."
    )
