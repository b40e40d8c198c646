"""Commands about chapters: `dataworth book`, `run` and `record`."""

# What other rooms and extras bring is imported by the command: `--help` and the sentence for a
# missing book need none of it.

from __future__ import annotations

from typing import Annotated

import typer

from dataworth.book.layout import open_layout
from dataworth.book.options import ChapterId, Override, Profile, Quiet, Root
from dataworth.display import console, say
from dataworth.errors import UserError


def book(profile: Profile = "quick", quiet: Quiet = False, root: Root = None) -> None:
    """Execute what changed, render the book, check the pages, print the path of its first page."""
    layout = open_layout(profile, root)
    _refuse_paper(profile)
    from dataworth.book import tasks

    tasks.build(layout, console(informs=True))
    first = layout.html / "index.html"
    say(f"The book: {first}")
    say(f"To open it: python3 -m webbrowser {first.as_uri()}", informs=True)


def run(
    chapter: ChapterId,
    profile: Profile = "quick",
    param: Override = None,
    page: Annotated[bool, typer.Option("--page", help="Render the chapter's page too.")] = False,
    quiet: Quiet = False,
    root: Root = None,
) -> None:
    """Execute one chapter, also with changed parameters, without rendering the book."""
    layout = open_layout(profile, root)
    _refuse_paper(profile)
    from dataworth.book import execute, parameters, tasks

    overrides = dict(parameters.parse_override(p) for p in param or [])
    executed = tasks.run(layout, chapter, overrides, console(informs=True))
    made = execute.products(executed, layout)
    say(f"notebook: {layout.show(made.notebook)}")
    if made.results.is_file():
        say(f"claims: {layout.show(made.results)}")
    if page:
        say(f"page: {tasks.page(layout, executed, overrides)}")


def record(
    chapter: ChapterId,
    profile: Profile = "full",
    root: Root = None,
) -> None:
    """Keep a finished run of a chapter in book/recorded/; every build shows it beside its own."""
    layout = open_layout(profile, root)
    from dataworth.book import chapters, execute

    say(f"recorded: {layout.show(execute.keep(chapters.get(layout.root, chapter), layout))}")


def _refuse_paper(profile: str) -> None:
    if profile == "paper":
        raise UserError(
            "The profile 'paper' is checked and costed, not run; "
            "use: dataworth check --profile paper"
        )


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    for command in (book, run, record):
        program.command()(command)
