"""What a reader takes along: every figure and table of a page as files, with all that made it."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import dataworth
from dataworth.book.chapters import Chapter, Header
from dataworth.book.keys import digest
from dataworth.book.parameters import Row
from dataworth.book.record import Record
from dataworth.paths import VARIANT

Notebook = Mapping[str, Any]

IMAGES = ("image/svg+xml", "image/png", "image/jpeg")
FOLDER = "figures"
"""Of the built pages, where the files lie."""

MEANING = {
    "panel": "title or number of the panel",
    "series": "what was drawn, as in the legend",
    "name": "of a row, a condition or a point",
    "x": "place along the x axis, with the ends of its 95 % interval",
    "y": "place along the y axis, with the ends of its 95 % interval",
    "value": "what a colour shows, with the ends of its 95 % interval",
}


@dataclass(frozen=True)
class Figure:
    """A figure of an executed notebook: the cell it stands in, its file name, bytes, kind, alt text
    and caption; `drawn`: its numbers (`figures.drawn.described`), if it shows any."""

    cell: str
    name: str
    file: str
    kind: str
    data: bytes
    alt: str
    caption: str
    drawn: Mapping[str, Any] | None


@dataclass(frozen=True)
class Table:
    """A table of an executed notebook: its cell, its numbers as CSV, and what it is called."""

    cell: str
    name: str
    csv: str
    caption: str


@dataclass(frozen=True)
class Taken:
    """Of a figure or a table: files by name, and the lines that stand under it on the page."""

    cell: str
    files: dict[str, str | bytes]
    lines: str


def figures(notebook: Notebook) -> list[Figure]:
    """The figures of an executed notebook, in its order."""
    found = []
    for number, (cell, output) in enumerate(_outputs(notebook), 1):
        data = output.get("data", {})
        if (kind := next((kind for kind in IMAGES if kind in data), None)) is None:
            continue
        about = output["metadata"].get("dataworth", {})
        name = str(about.get("name") or f"figure-{number}")
        text = data[kind] if isinstance(data[kind], str) else "".join(data[kind])
        content = text.encode() if kind == "image/svg+xml" else base64.b64decode(text)
        ending = kind.removeprefix("image/").removesuffix("+xml")
        file = f"{re.sub(r'[^A-Za-z0-9_-]', '_', name)[:60]}.{ending}"
        alt, caption = (" ".join(str(about.get(k, "")).split()) for k in ("alt", "caption"))
        found.append(Figure(cell, name, file, kind, content, alt, caption, about.get("drawn")))
    return found


def tables(chapter: Chapter, notebook: Notebook) -> list[Table]:
    """The tables of an executed notebook (`tables.show`), in its order."""
    found: list[Table] = []
    for cell, output in _outputs(notebook):
        about = output.get("metadata", {}).get("text/html", {}).get("dataworth")
        if about:
            name = f"tab-{chapter.id}-{len(found) + 1}"
            found.append(Table(cell, name, about["csv"], about["caption"]))
    return found


def _outputs(notebook: Notebook) -> Iterator[tuple[str, Any]]:
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            yield cell.get("id", ""), output


def along(
    chapter: Chapter,
    header: Header,
    notebook: Notebook,
    rows: Sequence[Row],
    record: Record,
    pixels: Callable[[bytes], bytes],
) -> list[Taken]:
    """Files and lines of every figure and table of a page.

    Each has metadata as JSON; a figure its picture as SVG, unless it is of pixels, and as PNG
    (`pixels` makes it of the SVG), and where it shows numbers these as CSV and, for readers who
    point at them, as a script.
    """
    made = []
    root = "../" * chapter.docname.count("/")
    for figure in figures(notebook):
        stem, _, ending = figure.file.rpartition(".")
        files: dict[str, str | bytes] = {figure.file: figure.data}
        if ending == "svg":
            files[f"{stem}.png"] = pixels(figure.data)
        about: dict[str, Any] = {"name": figure.name, "caption": figure.caption, "alt": figure.alt}
        if drawn := figure.drawn:
            files[f"{stem}.csv"] = _csv([drawn["columns"], *drawn["rows"]])
            files[f"{stem}.js"] = script(figure, stem)
            units = [{k: p[k] for k in ("title", "x", "y", "bar") if p[k]} for p in drawn["panels"]]
            about |= {"columns": MEANING, "units": units}
        about |= _made(chapter, header, rows, record)
        about["cite"] = _cite(header, record, f"figure {figure.name}")
        files[f"{stem}.json"] = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
        shown = [f"{stem}.{ending}" for ending in NAMES if f"{stem}.{ending}" in files]
        live = f' data-figure="{figure.name}"' if drawn else ""
        lines = _lines("figure", root, shown, about, live)
        made.append(Taken(figure.cell, files, lines))
    for table in tables(chapter, notebook):
        about = {"name": table.name, "caption": table.caption}
        about |= _made(chapter, header, rows, record)
        about["cite"] = _cite(header, record, f"table {table.name}")
        files = {
            f"{table.name}.csv": table.csv,
            f"{table.name}.json": json.dumps(about, indent=1, ensure_ascii=False) + "\n",
        }
        made.append(Taken(table.cell, files, _lines("table", root, list(files), about)))
    return made


def pixels(svg: bytes) -> bytes:
    """A picture of paths alone (no fonts are looked for) as PNG, two pixels a point."""
    import resvg_py

    return bytes(resvg_py.svg_to_bytes(svg_string=svg.decode(), dpi=144, skip_system_fonts=True))


def _made(chapter: Chapter, header: Header, rows: Sequence[Row], record: Record) -> dict[str, Any]:
    """What made a figure or a table, and how it is made again."""
    profile = record["profile"]
    if profile.startswith(VARIANT):
        words = ["dataworth", "run", chapter.id, "--profile", profile.removeprefix(VARIANT)]
        for row in rows:
            if row.value != row.default:
                words += ["-p", f"{row.name}={json.dumps(row.value)}"]
        command = shlex.join([*words, "--page"])
    else:
        command = f"make chapter C={chapter.id} PROFILE={profile}"
    return {
        "command": command,
        "chapter": {
            "id": chapter.id,
            "title": header.title,
            "source": f"book/{chapter.docname}.py",
        },
        "profile": profile,
        "parameters": {row.name: row.value for row in rows},
        "data sets": sorted(record["key"].get("cards", {})),
        "executed": record["finished"],
        "commit": record["commit"],
        "key": digest(record["key"]),
        "versions": record["versions"],
        "device": record["device"],
        "licence": "MIT",
    }


def _cite(header: Header, record: Record, what: str) -> str:
    return (
        "The dataworth authors: What Is Training Data Worth? A re-runnable study book, version "
        f'{dataworth.__version__}, "{header.title}", {what}, profile {record["profile"]}, '
        f"executed {record['finished'][:10]}"
        + (f", commit {record['commit']}" if record["commit"] else "")
        + "."
    )


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def script(figure: Figure, stem: str) -> str:
    """The figure for `book/_static/figures.js`, as a script: a page that is read from disk may load
    nothing else."""
    assert figure.drawn is not None
    svg = figure.data.decode()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'( id="| xlink:href="#|url\(#)', rf"\g<1>{stem}-", svg)
    svg = re.sub(r"\s*\n\s*", " ", re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL))
    shown = {"name": figure.name, "prefix": f"{stem}-", "alt": figure.alt, "svg": svg}
    kept = {k: figure.drawn[k] for k in ("panels", "legend", "marks")}
    text = json.dumps(shown | kept, ensure_ascii=False, separators=(",", ":"))
    return f"dataworthFigure({text});\n"


NAMES = {"csv": "data (CSV)", "json": "metadata (JSON)", "svg": "SVG", "png": "PNG"}


def _lines(
    what: str, root: str, files: Sequence[str], about: Mapping[str, Any], live: str = ""
) -> str:
    """HTML, in one line, so that nothing in it is Markdown."""
    links = [
        f'<a href="{root}{FOLDER}/{file}" download>{NAMES[file.rpartition(".")[2]]}</a>'
        for file in files
    ]
    return (
        f'<details class="dataworth-take"{live}><summary>Take this {what} along</summary>'
        f"<p>{' · '.join(links)}</p><p>Made again by <code>{escape(about['command'])}</code></p>"
        f"<p>Cite: {escape(about['cite'])}</p></details>"
    )
