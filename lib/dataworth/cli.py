"""The command line: a thin face over the library. `dataworth --help` lists the commands."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from dataworth.display import console, plain, say, table
from dataworth.errors import UserError

INTERRUPTED = 130
UsageError: Any = typer.BadParameter.__base__  # typer carries a click of its own

# Commands of other rooms, which load scipy or pydantic: listed by these lines, imported when one
# is asked for.
BROUGHT = {
    "fit": (
        "dataworth.fit.cli",
        "Fit a scaling law to a table of runs; parameters with intervals.",
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
    "compare-laws": ("dataworth.fit.cli", "Which law the runs speak for."),
    "forecast": ("dataworth.fit.cli", "Extrapolate a learning curve, with intervals."),
    "more-runs": ("dataworth.fit.cli", "How many further runs would narrow an interval so far."),
    "isoflop": ("dataworth.fit.cli", "Best size of each budget: parabolas beside a direct fit."),
    "store": ("dataworth.runs.cli", "The store of finished runs: what it holds, and making room."),
}

# Modules that a wheel alone does not bring, by the extras that do.
EXTRAS = {
    "book": (
        "IPython", "ipykernel", "jupyter_book", "jupyterlab", "jupytext", "nbclient",
        "nbformat", "papermill", "psutil",
    ),
    "images": (
        "diffusers", "open_clip", "PIL", "resvg_py", "safetensors", "timm", "torchvision",
    ),
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
        return [*super().list_commands(ctx), *BROUGHT]

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
            say(f"Error: {error}", stderr=True)
            sys.exit(2)
        except ModuleNotFoundError as error:
            if not (sentence := missing_extra(error)):
                raise
            say(f"Error: {sentence}", stderr=True)
            sys.exit(2)
        except KeyboardInterrupt:
            say(
                "Interrupted: finished runs and executed chapters are kept; "
                "the same command goes on from there.",
                stderr=True,
            )
            sys.exit(INTERRUPTED)


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
)
data_app = typer.Typer(no_args_is_help=True, help="The data sets: what is here, and fetching it.")
app.add_typer(data_app, name="data")


def _completed(what: Callable[[typer.Context], Iterable[str]]) -> Callable[..., list[str]]:
    """A shell completion that offers nothing where there is no book, or it does not read well."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            return [word for word in what(ctx) if word.startswith(incomplete)]
        except UserError:
            return []

    return complete


def _book(ctx: typer.Context) -> Path:
    from dataworth.book import layout

    root = ctx.params.get("root")  # not converted yet
    return layout.open_layout(layout.QUICK, root and Path(root)).root


def _chapters(ctx: typer.Context) -> Iterator[str]:
    from dataworth.book import chapters

    return (c.id for c in chapters.find(_book(ctx)))


def _profiles(ctx: typer.Context) -> list[str]:
    from dataworth.book import layout

    return layout.profiles(_book(ctx))


def _names(ctx: typer.Context) -> Iterator[str]:
    from dataworth.book import chapters, parameters

    # "-p" still without its value ends the parsing, so the chapter is looked up in the line itself.
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
    words = [word.replace("_", "-") for word in line.split()]
    for c in chapters.find(_book(ctx)):
        if c.id in words:
            return (f"{name}=" for name in parameters.cell_defaults(c, chapters.read(c)))
    return iter(())


def _cards(ctx: typer.Context) -> Iterator[str]:
    from dataworth import data

    return (card.id for card in data.cards())


ChapterId = Annotated[
    str,
    typer.Argument(help="Chapter id; see `dataworth list`.", autocompletion=_completed(_chapters)),
]
Profile = Annotated[
    str,
    typer.Option(
        "--profile",
        help="Scale: quick, or a folder of params/.",
        autocompletion=_completed(_profiles),
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(
        "--root", help="Folder with book/ and params/ (default: this clone).", hidden=True
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Override = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        "-p",
        metavar="KEY=VALUE",
        help="Change one parameter (YAML value).",
        autocompletion=_completed(_names),
    ),
]


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
) -> None:
    if verbose:
        from dataworth import logs

        os.environ[logs.LEVEL] = "INFO" if verbose == 1 else "DEBUG"
        logs.start()


@app.command()
def book(profile: Profile = "quick", root: Root = None) -> None:
    """Execute what changed, render the book, check the pages, print the path of its first page."""
    from dataworth.book.layout import open_layout

    layout = open_layout(profile, root)
    _refuse_paper(profile)
    from dataworth.book import tasks

    tasks.build(layout, console())
    first = layout.html / "index.html"
    say(f"The book: {first}")
    say(f"To open it: python3 -m webbrowser {first.as_uri()}")


@app.command()
def run(
    chapter: ChapterId,
    profile: Profile = "quick",
    param: Override = None,
    page: Annotated[bool, typer.Option("--page", help="Render the chapter's page too.")] = False,
    root: Root = None,
) -> None:
    """Execute one chapter, also with changed parameters, without rendering the book."""
    from dataworth.book.layout import open_layout

    layout = open_layout(profile, root)
    _refuse_paper(profile)
    from dataworth.book import execute, parameters, tasks

    overrides = dict(parameters.parse_override(p) for p in param or [])
    executed = tasks.run(layout, chapter, overrides, console())
    made = execute.products(executed, layout)
    say(f"notebook: {layout.show(made.notebook)}")
    if made.results.is_file():
        say(f"claims: {layout.show(made.results)}")
    if page:
        say(f"page: {tasks.page(layout, executed, overrides)}")


@app.command()
def record(
    chapter: ChapterId,
    profile: Profile = "full",
    root: Root = None,
) -> None:
    """Keep a finished run of a chapter in book/recorded/; every build shows it beside its own."""
    from dataworth.book.layout import open_layout

    layout = open_layout(profile, root)
    from dataworth.book import chapters, execute

    say(f"recorded: {layout.show(execute.keep(chapters.get(layout.root, chapter), layout))}")


@app.command("list")
def list_chapters(profile: Profile = "quick", as_json: AsJson = False, root: Root = None) -> None:
    """List the chapters, what they need, and whether their stored execution is current."""
    from dataworth.book.layout import open_layout

    layout = open_layout(profile, root)
    from dataworth.book import tasks

    plan = tasks.make_plan(layout, checked=False)
    rows: list[dict[str, Any]] = []
    for c in plan.chapters:
        header = plan.headers[c.id]
        minutes = header.expected_minutes.get(profile)
        rows.append(
            {
                "chapter": c.id,
                "title": header.title,
                "device": header.device,
                "expected_minutes": minutes,
                "state": plan.stale.get(c.id, "current"),
                "parameters": plan.parameters[c.id].values,
            }
        )
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        minutes = row["expected_minutes"]
        expected = "not stated" if minutes is None else f"about {minutes:g} min"
        say(f"{row['chapter']}: {row['title']}")
        say(f"    {row['device']}, {expected} with profile {profile}; {row['state']}")


@app.command()
def why(
    name: Annotated[
        str,
        typer.Argument(
            help="Chapter id, or the first digits of a run's key.",
            autocompletion=_completed(_chapters),
        ),
    ],
    profile: Profile = "quick",
    param: Override = None,
    root: Root = None,
) -> None:
    """Say what changed since the stored result of a chapter, or of a run."""
    from dataworth.book.layout import open_layout
    from dataworth.paths import store_dir
    from dataworth.why import differences

    if len(name) >= 6 and set(name) <= set("0123456789abcdef"):
        from dataworth.runs.report import of_run

        for line in of_run(name, store_dir()):
            say(line)
        return
    layout = open_layout(profile, root)
    from dataworth.book import execute, parameters, tasks

    overrides = dict(parameters.parse_override(p) for p in param or [])
    plan = tasks.make_plan(layout, name, overrides, checked=False)
    chapter = plan.chapters[0]
    record = execute.read_record(chapter, plan.layout)
    changed = differences(record["key"], plan.keys[chapter.id]) if record else []
    if record and changed:
        say(f"{chapter.id}: changed since its execution of {record['finished']}:")
        for phrase in changed:
            say(f"  {phrase}")
    else:
        say(f"{chapter.id}: {plan.stale.get(chapter.id, 'nothing changed')}")


@app.command()
def check(profile: Profile = "paper", root: Root = None) -> None:
    """Validate the parameters of a profile and show what it would cost; runs nothing."""
    from dataworth.book.layout import open_layout

    layout = open_layout(profile, root)
    from dataworth.book import parameters, tasks

    plan = tasks.make_plan(layout, checked=False)
    for c in plan.chapters:
        resolved = plan.parameters[c.id]
        say(f"{c.id}: {len(resolved.values)} parameters are valid for profile '{profile}'")
        for doubt in parameters.doubts(resolved):
            say(f"    {doubt}")
        cost = parameters.cost(resolved)
        if cost is None:
            continue
        rows = [cost] if isinstance(cost, dict) else list(cost)
        head = list(dict.fromkeys(k for r in rows for k in r))
        table(head, [[_cell(r.get(k, "")) for k in head] for r in rows])


def _cell(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


@app.command()
def claims(
    profile: Profile = "quick",
    as_json: AsJson = False,
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
    if history:
        _claims_history(root)
        return
    from dataworth import paths
    from dataworth.book import ledger
    from dataworth.claims import estimated, read_ledger, results_dir

    if folder is None and root is None and paths.project_root() is None:
        folder = results_dir()
    if folder is not None:
        results = {path.stem: read_ledger(path) for path in sorted(folder.glob("*.json"))}
        missing = (
            f"There are no results files (*.json) in {folder.resolve()}; "
            "name a folder that has some with --results, or build the book in a clone."
        )
    else:
        from dataworth.book import chapters
        from dataworth.book.layout import open_layout

        layout = open_layout(profile, root)
        results = ledger.read_results(chapters.find(layout.root), layout)
        missing = (
            f"There are no claims for profile '{profile}' yet; "
            f"run: dataworth book --profile {profile}"
        )
    if not results:
        raise UserError(missing)
    if as_json:
        print(json.dumps(list(results.values()), indent=1))
        return
    body = [
        [chapter, c["statement"], estimated(c), c["verdict"], c.get("reason") or ""]
        for chapter, result in results.items()
        for c in result["claims"]
    ]
    table(["chapter", "claim", "this run [interval]", "verdict", "why"], body)


def _claims_history(root: Path | None) -> None:
    from dataworth import claims_file
    from dataworth.book import chapters
    from dataworth.book.layout import open_layout
    from dataworth.claims import recorded_ledgers, span

    layout, body = open_layout("quick", root), []
    for chapter in chapters.find(layout.root):
        if not chapter.claims.is_file():
            continue
        stated = claims_file.read(chapter.claims, layout.show(chapter.claims))
        kept = recorded_ledgers(layout.root, chapter.id)[0]
        runs = ", ".join(f"{ledger['profile']} {ledger['run']['started'][:10]}" for ledger in kept)
        for id, since in stated.since().items():
            body.append([chapter.id, id, span(stated.claims[id].region), since, runs])
    table(["chapter", "claim", "claimed range", "stands since", "recorded runs"], body)


CardId = Annotated[
    str | None,
    typer.Argument(help="Data set id (default: all).", autocompletion=_completed(_cards)),
]


@data_app.command("status")
def data_status(card: CardId = None) -> None:
    """Say which data sets are on this machine."""
    from dataworth import data

    chosen = data.cards() if card is None else [data.card(card)]
    for c in chosen:
        say(f"{c.id}: {data.status(c)}")


@data_app.command("fetch")
def data_fetch(card: CardId = None) -> None:
    """Fetch data sets that are not here yet."""
    from dataworth import data

    for name in [c.id for c in data.cards()] if card is None else [card]:
        say(f"{name}: {data.fetch(name)}")


def _refuse_paper(profile: str) -> None:
    if profile == "paper":
        raise UserError(
            "The profile 'paper' is checked and costed, not run; "
            "use: dataworth check --profile paper"
        )


if __name__ == "__main__":
    app()
