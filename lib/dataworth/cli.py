"""The command line: a thin face over the library. `dataworth --help` lists the commands."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from dataworth.book.options import (
    AsJson,
    Hub,
    Override,
    Profile,
    Quiet,
    Root,
    chapter_ids,
    completed,
)
from dataworth.display import console, folded, hush, plain, say, table
from dataworth.errors import NOT_WRITABLE, UserError

REFUSED, INTERRUPTED = 2, 130
STATUS = (
    "Exit status: 0 done; 2 refused or failed, with one sentence on stderr that says what to do; "
    "130 interrupted (Ctrl-C)."
)
UsageError: Any = typer.BadParameter.__base__  # typer carries a click of its own

# Commands of other rooms, which load scipy or pydantic: listed by these lines, imported when one
# is asked for.
CHAPTERS = "dataworth.book.cli"  # listed first
BROUGHT = {
    "book": (
        CHAPTERS,
        "Execute what changed, render the book, check the pages, print the path of its first page.",
    ),
    "read": (
        CHAPTERS,
        "Execute the analysis of every chapter on the kept runs and render the book.",
    ),
    "run": (
        CHAPTERS,
        "Execute one chapter without rendering the book; with other parameters, as a variant.",
    ),
    "work": (
        CHAPTERS,
        "Compute a chapter's runs and no page, beside any number of processes that do the same.",
    ),
    "runs": (
        CHAPTERS,
        "List the finished runs of a chapter: of the profiles, recorded ones, variants.",
    ),
    "compare": (
        CHAPTERS,
        "Hold two runs of a chapter against each other, here and as a page with their figures.",
    ),
    "diff": (
        CHAPTERS,
        "Hold two whole books against each other: parameters that differ, verdicts that moved.",
    ),
    "export": (
        CHAPTERS,
        "Write a built book, or a chapter of it, as one file; a PDF needs a browser (Chromium).",
    ),
    "record": (
        CHAPTERS,
        "Keep a finished run of a chapter in book/recorded/; every build shows it beside its own.",
    ),
    "fit": (
        "dataworth.fit.cli",
        "Fit a scaling law to a table of runs; parameters with intervals.",
    ),
    "verdict": (
        "dataworth.own_runs",
        "Verdicts on claims about runs of your own; nothing is trained.",
    ),
    "ratio": (
        "dataworth.fit.cli",
        "Examples (or tokens) of B that equal one of A at equal loss, with an interval.",
    ),
    "frontier": (
        "dataworth.fit.cli",
        "Compute-optimal sizes N and D for each budget, with intervals.",
    ),
    "laws": ("dataworth.fit.cli", "The laws: formula, variables with their units, parameters."),
    "compare-laws": (
        "dataworth.fit.cli",
        "Which law the runs speak for: AICc, and errors beyond the data fitted.",
    ),
    "forecast": ("dataworth.fit.cli", "Extrapolate a learning curve, with intervals."),
    "more-runs": (
        "dataworth.fit.cli",
        "How many further runs, of which sizes, would narrow an interval so far.",
    ),
    "report": (
        "dataworth.fit.cli",
        "Write one HTML page: law, intervals, pictures, flags in words.",
    ),
    "isoflop": (
        "dataworth.fit.cli",
        "Best size of each budget: parabolas, with their bias, beside a direct fit.",
    ),
    "chain": (
        "dataworth.fit.cli",
        "Accuracy from sizes in two stages, sizes to loss to accuracy, with one interval.",
    ),
    "data": (
        "dataworth.data.cli",
        "The data sets: what is here, fetching it, and adding your own.",
    ),
    "class": (
        "dataworth.teach.cli",
        "Make what a class needs of executed chapters: student copies, slides, lessons, quizzes.",
    ),
    "budget": ("dataworth.teach.cli", "A lab with budgets: ask for runs, predict larger ones."),
    "grade": (
        "dataworth.teach.cli",
        "Grade notebooks of an assignment with its hidden tests; they run with your rights.",
    ),
    "store": ("dataworth.runs.cli", "The store of finished runs: what it holds, and making room."),
}

# Modules that a wheel alone does not bring, by the extras that do.
EXTRAS = {
    "book": (
        "bs4", "IPython", "ipykernel", "jupyter_book", "jupyterlab", "jupyterlab_myst", "jupytext",
        "latex2mathml", "nbclient", "nbformat", "papermill", "psutil",
    ),
    "images": ("diffusers", "open_clip", "PIL", "safetensors", "timm", "torchvision"),
    "book,images": ("resvg_py",),
    "text": ("detoxify", "profanity_check", "sklearn", "textstat", "vaderSentiment"),
    "book,images,text": ("filelock",),
    "images,text": (
        "datasets", "huggingface_hub", "pyarrow", "tokenizers", "torch",
        "transformers",
    ),
}  # fmt: skip


@cache
def _brought_by(room: str) -> dict[str, Any]:
    extra = typer.Typer()
    import_module(room).register(extra)
    return dict(typer.main.get_group(extra).commands)


class Commands(TyperGroup):
    """Turns the errors meant for people into one sentence and an exit status."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in BROUGHT:
            return TyperCommand(cmd_name, help=BROUGHT[cmd_name][1])
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: Any) -> list[str]:
        first = [name for name, (room, _) in BROUGHT.items() if room == CHAPTERS]
        return [*first, *super().list_commands(ctx), *(n for n in BROUGHT if n not in first)]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if name in BROUGHT:
            command = _brought_by(BROUGHT[name][0])[name]
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except UsageError as error:  # typer shows it; what was typed may hold anything
            error.message = plain(error.message)
            raise
        except UserError as error:
            _end(f"Error: {error}", REFUSED)
        except ModuleNotFoundError as error:
            if not (sentence := missing_extra(error)):
                raise
            _end(f"Error: {sentence}", REFUSED)
        except KeyboardInterrupt:
            _end(
                "Interrupted: finished runs and executed chapters are kept; "
                "the same command goes on from there.",
                INTERRUPTED,
            )

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """As typer's, but every letter can be shown in every locale, a reader who has left
        (`dataworth list | head -1`) is no failure, and a full disk is one sentence."""
        streams = [stream for stream in (sys.stdout, sys.stderr) if stream is not None]
        for stream in streams:
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        try:
            try:
                return super().main(*args, **kwargs)
            finally:
                for stream in streams:
                    stream.flush()
        except SystemExit as end:
            # Only a closed pipe ends with 1, in rich and in typer: nothing else asks for it.
            sys.exit(0 if end.code == 1 else end.code)
        except BrokenPipeError:
            _deafen()
            sys.exit(0)
        except OSError as error:
            if error.errno not in NOT_WRITABLE:
                raise
            _deafen()
            what, advice = "What was to be printed cannot be written", ""
            if error.filename:
                what = f"'{plain(str(error.filename))}' cannot be read or written"
                advice = (
                    "; DATAWORTH_BUILD names another folder for what is built, DATAWORTH_HOME for "
                    "data and runs"
                )
            _end(f"Error: {what}: {error.strerror}{advice}.", REFUSED)


def _end(sentence: str, status: int) -> NoReturn:
    with suppress(OSError, SystemExit):  # nobody there to be told
        say(sentence, stderr=True, hang=4)
    sys.exit(status)


def _deafen() -> None:
    """What is still buffered for stdout goes nowhere: Python would fail on it once more."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """What to install where an optional module is missing; None for any other module."""
    module = (error.name or "").partition(".")[0]
    extra = next((name for name, modules in EXTRAS.items() if module in modules), None)
    return extra and (
        f"This command needs {module}, which is not installed here; install it with "
        f"pip install 'dataworth[{extra}]', or work in a clone, where make installs everything."
    )


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="What is training data worth? Run chapters, build the book, read its claims.",
    epilog=STATUS,
)


def _version(wanted: bool) -> None:
    if wanted:
        from dataworth import __version__

        say(f"dataworth {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
    verbose: Annotated[
        int,
        typer.Option("--verbose", "-v", count=True, help="Log to stderr; -vv says more."),
    ] = 0,
    quiet: Quiet = False,
) -> None:
    hush(quiet)
    if verbose:
        from dataworth import logs

        os.environ[logs.LEVEL] = "INFO" if verbose == 1 else "DEBUG"
        logs.start()


@app.command("list")
def list_chapters(profile: Profile = "quick", as_json: AsJson = False, root: Root = None) -> None:
    """List the chapters, what they need, and whether their stored execution is current."""
    from dataworth.book.layout import open_layout

    layout = open_layout(profile, root)
    from dataworth.book import listings, tasks

    plan = tasks.make_plan(layout, checked=False)
    if as_json:
        _print_json(listings.chapters(plan))
        return
    for c in plan.chapters:
        header = plan.headers[c.id]
        minutes = header.expected_minutes.get(profile)
        expected = "not stated" if minutes is None else f"about {minutes:g} min"
        state = plan.stale.get(c.id, "current")
        say(f"{c.id}: {header.title}", hang=4)
        say(f"    {header.device}, {expected} with profile {profile}; {state}", hang=8)


@app.command()
def why(
    name: Annotated[
        str,
        typer.Argument(
            help="Chapter id, or the first digits of a run's key.",
            autocompletion=completed(chapter_ids),
        ),
    ],
    profile: Profile = "quick",
    param: Override = None,
    as_json: AsJson = False,
    root: Root = None,
) -> None:
    """Say what changed since the stored result of a chapter, or of a run."""
    from dataworth.book.layout import open_layout
    from dataworth.paths import store_dir

    if len(name) >= 6 and set(name) <= set("0123456789abcdef"):
        from dataworth.runs.report import of_run

        first, *changed = of_run(name, store_dir())
        if as_json:
            run, _, state = first.partition(": ")
            _print_json({"run": run, "state": state.rstrip(":"), "changed": changed})
            return
    else:
        layout = open_layout(profile, root)
        from dataworth.book import listings, parameters, tasks

        overrides = dict(parameters.parse_override(p) for p in param or [])
        plan = tasks.make_plan(layout, name, overrides, checked=False)
        (row,) = listings.chapters(plan)
        if as_json:
            _print_json({key: row[key] for key in ("chapter", "state", "executed", "changed")})
            return
        first, changed = f"{row['chapter']}: {row['state']}", row["changed"]
        if row["state"] == "current":
            first = f"{row['chapter']}: nothing changed"
        elif changed:
            first = f"{row['chapter']}: changed since its execution of {row['executed']}:"
    say(first, hang=4)
    for phrase in changed:
        say(f"  {phrase.strip()}", hang=4)


@app.command()
def check(
    profile: Profile = "paper", hub: Hub = None, as_json: AsJson = False, root: Root = None
) -> None:
    """Validate the parameters of a profile and show what it would cost; runs nothing."""
    from dataworth.book.layout import open_layout

    layout = open_layout(profile, root)
    from dataworth.book import listings, tasks

    rows = listings.costs(tasks.make_plan(layout, checked=False))
    if as_json:
        _print_json(list(rows))
        return
    for row in rows:
        valid = f"{len(row['parameters'])} parameters are valid for profile '{profile}'"
        say(f"{row['chapter']}: {valid}", hang=4)
        for doubt in row["doubts"]:
            say(f"    {doubt}", hang=8)
        if parts := row["cost"]:
            head = list(dict.fromkeys(name for part in parts for name in part))
            table(head, [[_cell(part.get(name, "")) for name in head] for part in parts])


def _cell(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1))


@app.command()
def claims(
    context: typer.Context,
    profile: Profile = "quick",
    as_json: AsJson = False,
    reasons: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say also why each verdict is what it is.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option("--results", help="Folder of results files (default: of the last build)."),
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="Since when the claimed ranges stand, from git.")
    ] = False,
    root: Root = None,
) -> None:
    """Print the verdicts of the last build of a profile, or of a folder of results files."""
    from dataworth import paths
    from dataworth.book import chapters, ledger, listings
    from dataworth.book.layout import open_layout
    from dataworth.claims import read_ledger, results_dir

    if history:
        layout = open_layout("quick", root)
        rows = listings.history(chapters.find(layout.root), layout)
        if as_json:
            _print_json(list(rows))
            return
        _print_folded(listings.history_lines(rows))
        return
    if folder is None and root is None and paths.project_root() is None:
        folder = results_dir()
    if folder is not None:
        results = {path.stem: read_ledger(path) for path in sorted(folder.glob("*.json"))}
        missing = (
            f"There are no results files (*.json) in {folder.resolve()}; "
            "name a folder that has some with --results, or build the book in a clone."
        )
    else:
        layout = open_layout(profile, root)
        results = ledger.read_results(chapters.find(layout.root), layout)
        missing = (
            f"There are no claims for profile '{profile}' yet; "
            f"run: dataworth book --profile {profile}"
        )
    if not results:
        raise UserError(missing)
    if as_json:
        _print_json(list(results.values()))
        return
    reasons = reasons or bool(context.find_root().params["verbose"])
    _print_folded(listings.verdict_lines(results, reasons))


def _print_folded(lines: Iterator[str]) -> None:
    """Print lines of a listing in blocks, folded to the width of the terminal."""
    width = console().width
    for line in lines:
        say(folded(line, width, 6 if line.startswith(" ") else 4))


if __name__ == "__main__":
    app()
