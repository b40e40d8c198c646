"""The command line: a thin face over the library. `dataworth --help` lists the commands."""

from __future__ import annotations

import json
import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from dataworth.errors import UserError

INTERRUPTED = 130


@cache
def _brought_along() -> dict[str, Any]:
    """Commands of other rooms, imported only when one is asked for: they load scipy."""
    if find_spec("dataworth.fit.cli") is None:
        return {}

    extra = typer.Typer()
    import_module("dataworth.fit.cli").register(extra)
    return dict(typer.main.get_group(extra).commands)


class Commands(TyperGroup):
    """Turns the errors meant for people into one sentence and an exit status."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return super().get_command(ctx, cmd_name) or _brought_along().get(cmd_name)

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *_brought_along()]

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            Console(stderr=True, soft_wrap=True).print(
                f"Error: {error}", markup=False, highlight=False
            )
            sys.exit(2)
        except KeyboardInterrupt:
            Console(stderr=True, soft_wrap=True).print(
                "Interrupted: finished runs and executed chapters are kept; "
                "the same command goes on from there.",
                markup=False, highlight=False,
            )  # fmt: skip
            sys.exit(INTERRUPTED)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="What is training data worth? Run chapters, build the book, read its claims.",
)
data_app = typer.Typer(no_args_is_help=True, help="The data sets: what is here, and fetching it.")
app.add_typer(data_app, name="data")

Profile = Annotated[str, typer.Option("--profile", help="Scale: a folder of params/.")]
Root = Annotated[
    Path | None,
    typer.Option(
        "--root", help="Folder with book/ and params/ (default: this clone).", hidden=True
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Override = Annotated[
    list[str] | None,
    typer.Option("--param", "-p", metavar="KEY=VALUE", help="Change one parameter (YAML value)."),
]


def _print(text: str) -> None:
    Console(soft_wrap=True).print(text, markup=False, highlight=False)


def _table(head: list[str], body: list[list[str]]) -> None:
    from rich import box
    from rich.table import Table

    grid = Table(*head, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in body:
        grid.add_row(*row)
    Console().print(grid, markup=False)


@app.command()
def book(profile: Profile = "quick", root: Root = None) -> None:
    """Execute what changed, render the book, check the pages, print the path of its first page."""
    from dataworth.book import tasks
    from dataworth.book.layout import open_layout

    layout = open_layout(profile, root)
    _refuse_paper(profile)
    tasks.build(layout, Console())
    _print(f"The book: {layout.html / 'index.html'}")


@app.command()
def run(
    chapter: Annotated[str, typer.Argument(help="Chapter id; see `dataworth list`.")],
    profile: Profile = "quick",
    param: Override = None,
    root: Root = None,
) -> None:
    """Execute one chapter, also with changed parameters, without rendering the book."""
    from dataworth.book import execute, parameters, tasks
    from dataworth.book.layout import open_layout

    layout = open_layout(profile, root)
    _refuse_paper(profile)
    overrides = dict(parameters.parse_override(p) for p in param or [])
    made = execute.products(tasks.run(layout, chapter, overrides, Console()), layout)
    _print(f"notebook: {layout.show(made.notebook)}")
    if made.results.is_file():
        _print(f"claims: {layout.show(made.results)}")


@app.command()
def record(
    chapter: Annotated[str, typer.Argument(help="Chapter id; see `dataworth list`.")],
    profile: Profile = "full",
    root: Root = None,
) -> None:
    """Keep a finished run of a chapter in book/recorded/; every build shows it beside its own."""
    from dataworth.book import chapters, execute
    from dataworth.book.layout import open_layout

    layout = open_layout(profile, root)
    _print(f"recorded: {layout.show(execute.keep(chapters.get(layout.root, chapter), layout))}")


@app.command("list")
def list_chapters(profile: Profile = "quick", as_json: AsJson = False, root: Root = None) -> None:
    """List the chapters, what they need, and whether their stored execution is current."""
    from dataworth.book import tasks
    from dataworth.book.layout import open_layout

    plan = tasks.make_plan(open_layout(profile, root), checked=False)
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
        _print(f"{row['chapter']}: {row['title']}")
        _print(f"    {row['device']}, {expected} with profile {profile}; {row['state']}")


@app.command()
def why(
    name: Annotated[str, typer.Argument(help="Chapter id, or the first digits of a run's key.")],
    profile: Profile = "quick",
    param: Override = None,
    root: Root = None,
) -> None:
    """Say what changed since the stored result of a chapter, or of a run."""
    from dataworth.book import execute, parameters, tasks
    from dataworth.book.layout import open_layout
    from dataworth.paths import store_dir
    from dataworth.why import differences, of_run

    if len(name) >= 6 and set(name) <= set("0123456789abcdef"):
        for line in of_run(name, store_dir()):
            _print(line)
        return
    overrides = dict(parameters.parse_override(p) for p in param or [])
    plan = tasks.make_plan(open_layout(profile, root), name, overrides, checked=False)
    chapter = plan.chapters[0]
    record = execute.read_record(chapter, plan.layout)
    changed = differences(record["key"], plan.keys[chapter.id]) if record else []
    if record and changed:
        _print(f"{chapter.id}: changed since its execution of {record['finished']}:")
        for phrase in changed:
            _print(f"  {phrase}")
    else:
        _print(f"{chapter.id}: {plan.stale.get(chapter.id, 'nothing changed')}")


@app.command()
def check(profile: Profile = "paper", root: Root = None) -> None:
    """Validate the parameters of a profile and show what it would cost; runs nothing."""
    from dataworth.book import parameters, tasks
    from dataworth.book.layout import open_layout

    plan = tasks.make_plan(open_layout(profile, root), checked=False)
    for c in plan.chapters:
        resolved = plan.parameters[c.id]
        _print(f"{c.id}: {len(resolved.values)} parameters are valid for profile '{profile}'")
        cost = parameters.cost(resolved)
        if cost is None:
            continue
        rows = [cost] if isinstance(cost, dict) else list(cost)
        head = list(dict.fromkeys(k for r in rows for k in r))
        _table(head, [[_cell(r.get(k, "")) for k in head] for r in rows])


def _cell(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


@app.command()
def claims(profile: Profile = "quick", as_json: AsJson = False, root: Root = None) -> None:
    """Print the verdicts of the last build of a profile."""
    from dataworth.book import chapters, pages
    from dataworth.book.layout import open_layout
    from dataworth.claims import estimated

    layout = open_layout(profile, root)
    results = pages.read_results(chapters.find(layout.root), layout)
    if not results:
        raise UserError(
            f"There are no claims for profile '{profile}' yet; "
            f"run: dataworth book --profile {profile}"
        )
    if as_json:
        print(json.dumps(list(results.values()), indent=1))
        return
    body = [
        [chapter, c["statement"], estimated(c), c["verdict"], c.get("reason") or ""]
        for chapter, result in results.items()
        for c in result["claims"]
    ]
    _table(["chapter", "claim", "this run [interval]", "verdict", "why"], body)


CardId = Annotated[str | None, typer.Argument(help="Data set id (default: all).")]


@data_app.command("status")
def data_status(card: CardId = None) -> None:
    """Say which data sets are on this machine."""
    from dataworth import data

    chosen = data.cards() if card is None else [data.card(card)]
    for c in chosen:
        _print(f"{c.id}: {data.status(c)}")


@data_app.command("fetch")
def data_fetch(card: CardId = None) -> None:
    """Fetch data sets that are not here yet."""
    from dataworth import data

    for name in [c.id for c in data.cards()] if card is None else [card]:
        _print(f"{name}: {data.fetch(name)}")


def _refuse_paper(profile: str) -> None:
    if profile == "paper":
        raise UserError(
            "The profile 'paper' is checked and costed, not run; "
            "use: dataworth check --profile paper"
        )


if __name__ == "__main__":
    app()
