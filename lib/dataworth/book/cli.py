"""Commands that run chapters and hold their runs against each other."""

# What other rooms and extras bring is imported by the command: `--help` and the sentence for a
# missing book need none of it.

from __future__ import annotations

import json
from typing import Annotated, Literal

import typer

from dataworth.book.layout import Variant, open_layout
from dataworth.book.options import (
    Address,
    AsJson,
    ChapterId,
    Engine,
    Files,
    Hub,
    Override,
    Profile,
    Quiet,
    Root,
    chapter_ids,
    completed,
    run_names,
)
from dataworth.display import console, say
from dataworth.errors import UserError


def book(
    profile: Profile = "quick",
    engine: Engine = None,
    address: Address = None,
    quiet: Quiet = False,
    root: Root = None,
) -> None:
    """Execute what changed, render the book, check the pages, print the path of its first page."""
    layout = open_layout(profile, root)
    _refuse_paper(profile)
    from dataworth.book import tasks
    from dataworth.runs import engines

    engines.choose(engine, address)
    tasks.build(layout, console(informs=True))
    first = layout.html / "index.html"
    say(f"The book: {first}")
    say(f"To open it: python3 -m webbrowser {first.as_uri()}", informs=True)


def run(
    chapter: ChapterId,
    profile: Profile = "quick",
    param: Override = None,
    file: Files = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Keep the result as a variant of this name.")
    ] = None,
    page: Annotated[bool, typer.Option("--page", help="Render the chapter's page too.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be computed, how long, and stop.")
    ] = False,
    hub: Hub = None,
    engine: Engine = None,
    address: Address = None,
    quiet: Quiet = False,
    root: Root = None,
) -> None:
    """Execute one chapter without rendering the book; with other parameters, as a variant."""
    layout = open_layout(profile, root)
    from dataworth.book import chapters, execute, parameters, tasks
    from dataworth.runs import engines

    engines.choose(engine, address)
    overrides = dict(parameters.parse_override(p) for p in param or [])
    shown = console(informs=not dry_run)
    if overrides or file or name is not None:
        from dataworth.book import variants

        layout = variants.run(layout, chapter, overrides, file or [], name, shown, dry_run)
    else:
        tasks.run(layout, chapter, shown, dry_run)
    if dry_run:
        return
    executed = chapters.get(layout.root, chapter)
    made = execute.products(executed, layout)
    say(f"notebook: {layout.show(made.notebook)}")
    if made.results.is_file():
        say(f"claims: {layout.show(made.results)}")
    if isinstance(layout, Variant):
        say(f"beside {profile}: dataworth compare {executed.id} {layout.name}", informs=True)
    if page:
        say(f"page: {tasks.page(layout, executed, overrides, file or [])}")


def work(
    chapter: ChapterId,
    profile: Profile = "quick",
    param: Override = None,
    file: Files = None,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="i/n",
            help="This is process i of n on one store (from 1): where in the work it begins.",
        ),
    ] = None,
    hub: Hub = None,
    engine: Engine = None,
    address: Address = None,
    quiet: Quiet = False,
    root: Root = None,
) -> None:
    """Compute a chapter's runs and no page, beside any number of processes that do the same.

    They share the store and claim its runs one by one; each ends when all runs are stored, those
    of processes that were killed included.
    """
    layout = open_layout(profile, root)
    from dataworth.book import parameters, tasks
    from dataworth.runs import engines
    from dataworth.runs.engine import own_shard

    engines.choose(engine, address)
    if shard is not None:
        own_shard(shard)
    overrides = dict(parameters.parse_override(p) for p in param or [])
    plan = tasks.make_plan(layout, chapter, overrides, checked=False, files=file or [])
    done = tasks.work(plan)
    say(f"{plan.chapters[0].id}: all its {done.asked} runs are stored")


def runs(chapter: ChapterId, as_json: AsJson = False, root: Root = None) -> None:
    """List the finished runs of a chapter: of the profiles, recorded ones, variants."""
    layout = open_layout("quick", root)
    from dataworth.book import chapters, listings

    of = chapters.get(layout.root, chapter)
    rows = listings.runs(of, layout)
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for line in listings.run_lines(rows):
        say(line, hang=8)
    if not rows:
        say(f"{of.id}: no finished run yet; run: dataworth run {of.id}")


def compare(
    chapter: ChapterId,
    a: Annotated[
        str,
        typer.Argument(
            help="A variant, a profile, or recorded:PROFILE.", autocompletion=completed(run_names)
        ),
    ],
    b: Annotated[
        str | None,
        typer.Argument(
            help="What to hold it against (default: its profile's own).",
            autocompletion=completed(run_names),
        ),
    ] = None,
    as_json: AsJson = False,
    root: Root = None,
) -> None:
    """Hold two runs of a chapter against each other, here and as a page with their figures."""
    layout = open_layout("quick", root)
    from dataworth.book import chapters, variants
    from dataworth.book import compare as comparing

    of = chapters.get(layout.root, chapter)
    found = variants.runs(layout.root, of)
    one = variants.named(found, a, of)
    two = comparing.other(found, one, of) if b is None else variants.named(found, b, of)
    told = comparing.compare(of, one, two)
    path = comparing.page(of, layout.root, one, two, told)
    if as_json:
        print(json.dumps({**told, "page": str(path)}, indent=1))
        return
    for line in comparing.text(told, console().width):
        say(line)
    say(f"page: {path}")


def diff(
    a: Annotated[
        str,
        typer.Argument(
            help="A profile, recorded:PROFILE, recorded:PROFILE@COMMIT, or a folder of results."
        ),
    ],
    b: Annotated[str, typer.Argument(help="Likewise.")],
    as_json: AsJson = False,
    root: Root = None,
) -> None:
    """Hold two whole books against each other: parameters that differ, verdicts that moved."""
    layout = open_layout("quick", root)
    from dataworth.book import chapters
    from dataworth.book import diff as differ

    found = chapters.find(layout.root)
    made = differ.diff(found, *(differ.side(layout.root, found, name) for name in (a, b)))
    if as_json:
        print(json.dumps(made, indent=1))
        return
    for line in differ.text(made, (a, b), console().width):
        say(line)


def read(quiet: Quiet = False, root: Root = None) -> None:
    """Execute the analysis of every chapter on the kept runs and render the book.

    Prints the path of its first page. Nothing is trained, no data set is fetched, torch is not
    needed.
    """
    from dataworth.book import reading, tasks

    layout = reading.open_reading(open_layout("quick", root))
    tasks.build(layout, console(informs=True))
    first = layout.html / "index.html"
    say(f"The book: {first}")
    say(f"To open it: python3 -m webbrowser {first.as_uri()}", informs=True)


def export(
    kind: Annotated[Literal["epub", "pdf"], typer.Argument(help="epub or pdf.")],
    chapter: Annotated[
        str | None,
        typer.Argument(
            help="With pdf: a chapter alone (default: the book).",
            autocompletion=completed(chapter_ids),
        ),
    ] = None,
    profile: Profile = "quick",
    read: Annotated[
        bool, typer.Option("--read", help="The book of `dataworth read`, not of a profile.")
    ] = False,
    root: Root = None,
) -> None:
    """Write a built book, or a chapter of it, as one file; a PDF needs a browser (Chromium)."""
    from dataworth.book import chapters, formats, reading

    layout = open_layout(profile, root)
    if read:
        layout = reading.open_reading(layout)
    if kind == "epub":
        if chapter is not None:
            raise UserError("An EPUB holds the whole book; a chapter alone is a PDF.")
        made = formats.epub(layout)
    elif chapter is None:
        made = formats.book_pdf(layout)
    else:
        made = formats.chapter_pdf(layout, chapters.get(layout.root, chapter).docname)
    say(f"{kind}: {layout.show(made)}, {made.stat().st_size / 1e6:.1f} MB")


def record(
    chapter: Annotated[
        str | None,
        typer.Argument(
            help="A chapter; with --read, none: all.", autocompletion=completed(chapter_ids)
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option("--profile", help="Of the run (default: full; with --read: quick)."),
    ] = None,
    read: Annotated[
        bool,
        typer.Option("--read", help="Keep what the analysis needs, for `dataworth read`."),
    ] = False,
    older: Annotated[
        bool,
        typer.Option(
            "--older",
            help="With --read: take runs of the same parameters by earlier code, and say so.",
        ),
    ] = False,
    root: Root = None,
) -> None:
    """Keep a finished run of a chapter in book/recorded/; every build shows it beside its own.

    With --read: keep in book/kept/ what the chapters' analysis asks of their runs.
    """
    layout = open_layout(profile or ("quick" if read else "full"), root)
    from dataworth.book import chapters, execute, reading, tasks

    if read:
        found = [chapters.get(layout.root, chapter)] if chapter else chapters.find(layout.root)
        reading.keep(layout, found, say, older)
        return
    if chapter is None:
        raise UserError("Name the chapter to be recorded: dataworth record mixing --profile full")
    plan = tasks.make_plan(layout, chapter, checked=False)
    of = plan.chapters[0]
    say(f"recorded: {layout.show(execute.keep(of, layout, plan.keys[of.id]))}")


def _refuse_paper(profile: str) -> None:
    if profile in ("lab", "paper"):
        raise UserError(
            f"The profile '{profile}' is run chapter by chapter (dataworth run CHAPTER --profile "
            f"{profile}), never as a book; what each costs: dataworth check --profile {profile}"
        )


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    for command in (book, read, run, work, runs, compare, diff, export, record):
        program.command()(command)
