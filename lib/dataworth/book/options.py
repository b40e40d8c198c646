"""Options that several commands take, and what the shell offers for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from dataworth.display import hush
from dataworth.errors import UserError


def completed(what: Callable[[typer.Context], Iterable[str]]) -> Callable[..., list[str]]:
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


def chapter_ids(ctx: typer.Context) -> Iterator[str]:
    """Every chapter of the book that the command is about."""
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


def run_names(ctx: typer.Context) -> Iterator[str]:
    """Every finished run of the chapter that stands before it in the line (`dataworth compare`)."""
    from dataworth.book import chapters, variants

    root = _book(ctx)
    chapter = chapters.get(root, ctx.params.get("chapter") or "")
    return (run.name for run in variants.runs(root, chapter))


ChapterId = Annotated[
    str,
    typer.Argument(help="Chapter id; see `dataworth list`.", autocompletion=completed(chapter_ids)),
]
Profile = Annotated[
    str,
    typer.Option(
        "--profile",
        help="Scale: quick, or a folder of params/.",
        autocompletion=completed(_profiles),
    ),
]
Root = Annotated[
    Path | None,
    typer.Option("--root", help="Folder with book/ and params/ (default: this clone)."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _hush(wanted: bool) -> bool:
    if wanted:  # the command's own; the program's has been obeyed before
        hush(True)
    return wanted


Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        callback=_hush,
        help="Print only errors and what was asked for: no progress.",
    ),
]
Override = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        "-p",
        metavar="KEY=VALUE",
        help="Change one parameter (YAML value).",
        autocompletion=completed(_names),
    ),
]
Files = Annotated[
    list[Path] | None,
    typer.Option(
        "--file",
        "-f",
        metavar="FILE",
        help="A parameter file (YAML, as papermill's -f); the last one wins, -p over all.",
    ),
]


def _hub(folder: Path | None) -> Path | None:
    if folder is not None:  # chapters' kernels have the environment of the command
        if not folder.is_dir():
            raise UserError(f"--hub names {folder}, which is no folder.")
        os.environ["DATAWORTH_HUB"] = str(folder.resolve())
    return folder


Hub = Annotated[
    Path | None,
    typer.Option(
        "--hub",
        callback=_hub,
        metavar="FOLDER",
        help="Copies of hub repositories, FOLDER/owner/name each: nothing is fetched then.",
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine",
        help="What computes runs: loky (processes here, the default), dask, ray.",
        autocompletion=lambda: ["loky", "dask", "ray"],
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="Of the cluster's head, such as tcp://10.0.0.5:8786 (default: one of its own here).",
    ),
]
