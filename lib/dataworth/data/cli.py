"""Commands `dataworth data status`, `fetch` and `add`: what is here, and one's own data."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataworth.display import say
from dataworth.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from dataworth.data.catalog import Card

app = typer.Typer(
    no_args_is_help=True, help="The data sets: what is here, fetching it, and adding your own."
)


def _ids(incomplete: str) -> list[str]:
    from dataworth import data

    return [card.id for card in data.cards() if card.id.startswith(incomplete)]


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CardId = Annotated[
    str | None, typer.Argument(help="Data set id (default: all).", autocompletion=_ids)
]


@app.command()
def status(card: CardId = None, as_json: AsJson = False) -> None:
    """Say which data sets are on this machine."""
    from dataworth import data

    found = [data.status(id) for id in _chosen(card)]
    if as_json:
        _print_json([asdict(status) | {"folder": str(status.folder)} for status in found])
        return
    for status in found:
        say(f"{status.card_id}: {status}", hang=4)


@app.command()
def fetch(
    card: CardId = None,
    hub: Annotated[
        Path | None,
        typer.Option("--hub", metavar="FOLDER", help="Copies of hub repositories, by owner/name."),
    ] = None,
) -> None:
    """Fetch data sets that are not here yet."""
    from dataworth import data
    from dataworth.data.large import large_cards
    from dataworth.data.large_texts import large_texts

    if hub is not None:
        os.environ["DATAWORTH_HUB"] = str(hub.resolve())
    for id in [card] if card in {*large_cards(), *large_texts()} else _chosen(card):
        say(f"{id}: {data.fetch(id)}")


def _text(help: str, name: str, metavar: str = "TEXT") -> Any:
    return typer.Option(name, metavar=metavar, help=help)


@app.command()
def add(
    file: Annotated[
        Path | None, typer.Argument(help="A YAML file with the fields below (- as _).")
    ] = None,
    images: Annotated[
        str | None, _text("Folder of images, table or hub id.", "--images", "SOURCE")
    ] = None,
    text: Annotated[
        str | None, _text("File, folder or hub id of documents.", "--text", "SOURCE")
    ] = None,
    id: Annotated[str | None, _text("Name of the card (default: of the source).", "--id")] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Side in pixels, a multiple of 4.", show_default=False)
    ] = None,
    grey: Annotated[bool | None, typer.Option("--grey", help="Grey pixels.")] = None,
    test: Annotated[str | None, _text("The split that serves as test set.", "--test")] = None,
    label_column: Annotated[
        str | None, _text("Column of the images' classes.", "--label-column")
    ] = None,
    text_column: Annotated[str | None, _text("Column of the texts.", "--text-column")] = None,
    date_column: Annotated[str | None, _text("Column of the dates.", "--date-column")] = None,
    domain_column: Annotated[str | None, _text("Column of the domains.", "--domain-column")] = None,
    date_format: Annotated[
        str | None, _text("How dates read, such as %d/%m/%y.", "--date-format")
    ] = None,
    undated: Annotated[
        str | None, _text("Documents without a date: keep or drop.", "--undated")
    ] = None,
    html: Annotated[str | None, _text("Tags in texts: keep or strip.", "--html")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a card of your own data, and say what was found in them and what was left out; nothing
    of yours is changed. Then card=ID runs a chapter on them.

    SOURCE of images: a folder of folders named by class (train/ and test/ above them if you have a
    split), Parquet, Arrow, webdataset, or a hub id (owner/name@commit). Of texts: JSONL, CSV, TSV,
    Parquet, a folder of them or of text files, or a hub id.
    """
    from dataworth.data import add as adding

    given = {name: value for name, value in locals().items() if name in adding.Request.model_fields}
    if file is None and images is None and text is None:
        raise UserError(
            "What is to be added? Name a YAML file, --images FOLDER, or --text FILE (or hub ids)."
        )
    added = adding.add(adding.request(given, file))
    card = added.card
    if as_json:
        facts = {"card": card.id, "key": card.key, "file": str(added.path)}
        _print_json(
            facts | {"folder": str(added.folder), "replaced": added.replaced} | added.report.plain()
        )
        return
    for line in added.report.lines():
        say(line, hang=4)
    if added.replaced:
        say(f"card: {card.id} (another of this name, with other data, was replaced)")
    else:
        say(f"card: {card.id}")
    chapters = _chapters(card)
    if not chapters:
        python = f'dataworth.data.load_corpus("{card.id}", "train") in Python'
        say(f"next: {python}; it is too little text for a chapter", informs=True)
    for chapter, more in chapters:
        run = f"dataworth run {chapter} --profile smoke -p card={card.id}{more} --page"
        say(f"next: {run}", informs=True)


LEAST_AGE, LEAST_CRAWL = 90_000, 65_000  # characters: of which the smallest study can be made


def _chapters(card: Card) -> list[tuple[str, str]]:
    """The chapters that a card has what is needed for, with the parameters they need beside it."""
    if card.modality == "image":
        return [("synthetic-scaling", " -p retrain=300")]
    dated = card.years is not None and card.years[1] - card.years[0] > 1
    fits = {
        "data-age": dated and card.characters >= LEAST_AGE,
        "domains": len(card.domains) > 2 and card.characters >= LEAST_CRAWL,
        "quality": card.characters >= LEAST_CRAWL,
        "toxicity": card.characters >= LEAST_CRAWL,
    }
    return [(chapter, "") for chapter, has in fits.items() if has]


def _chosen(card: str | None) -> list[str]:
    """The data set that was asked for, or all; UserError for one that no card describes."""
    from dataworth import data

    known = [c.id for c in data.cards()]
    if card is None:
        return known
    try:
        return [data.card(card).id]
    except UserError as error:
        raise UserError(f"{error}{did_you_mean(card, known)}") from None


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1))


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    program.add_typer(app, name="data")
