"""The book as one file: an EPUB for readers of books, a PDF for paper.

Both come from the source that `site` wrote for the pages, through Sphinx's builders `epub` and
`singlehtml`; a browser of the machine prints the PDF. Figures are the pages' SVG, without scripts.
"""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import dataworth
from dataworth.book.layout import Layout
from dataworth.book.printing import pdf
from dataworth.book.site import run_sphinx
from dataworth.errors import UserError

NAME = "what-is-training-data-worth"
LEFT_OUT = "div.dataworth-links > p:first-child, details.dataworth-take, script, .headerlink"
"""What leads to files that only the site has, and what only a browser runs."""
HELD = {"mathml": "math", "svg": "svg"}
"""What a manifest must say that a page holds, and by which element it is found."""
PRINTED_S = 900


def epub(layout: Layout) -> Path:
    """The book of a built layout as EPUB 3, formulas in MathML.

    Raises UserError where the book was not built, or Sphinx fails.
    """
    config = {
        "project": (title := _title(layout)),
        "version": dataworth.__version__,
        "epub_title": title,
        "epub_basename": NAME,
        "epub_identifier": f"urn:dataworth:{NAME}",
        "epub_uid": "book",
        "epub_scheme": "URN",
        "epub_description": "Published findings about training data, run again: with intervals.",
        "epub_contributor": "",
        "epub_show_urls": "no",
        "epub_use_index": False,
        "html_extra_path": [],
        "suppress_warnings": ["myst.domains", "epub.unknown_project_files"],
    }
    made = _built(layout, "epub", config) / f"{NAME}.epub"
    target = layout.build / made.name
    _tidy(made, target)
    return target


def book_pdf(layout: Layout) -> Path:
    """The book of a built layout as one PDF. Raises UserError as `epub`, and without a browser."""
    folder = _built(layout, "singlehtml", {})
    return pdf(folder / "index.html", layout.build / f"{NAME}.pdf", seconds=PRINTED_S)


def chapter_pdf(layout: Layout, docname: str) -> Path:
    """A page of a built layout as PDF. Raises UserError where it was not built."""
    page = layout.html / f"{docname}.html"
    if not page.is_file():
        raise UserError(f"{layout.show(page)} is not there: build the book first (make book).")
    return pdf(page, layout.build / f"{Path(docname).name}.pdf")


def _title(layout: Layout) -> str:
    return str(yaml.safe_load((layout.root / "_config.yml").read_text("utf-8"))["title"])


def _built(layout: Layout, builder: str, config: dict[str, Any]) -> Path:
    """The folder that a builder of Sphinx writes, its configuration the book's with changes."""
    if not (layout.html / "index.html").is_file():
        raise UserError(f"The book of {layout.called} was not built yet: run make book first.")
    work = layout.build / "formats" / builder
    shutil.rmtree(work, ignore_errors=True)
    source = work / "source"
    shutil.copytree(layout.site, source)
    for script in (source / "_static").glob("*.js"):  # made for one page at a time
        script.unlink()
    path = source / "_config.yml"
    settings = yaml.safe_load(path.read_text("utf-8"))
    settings["sphinx"]["config"] |= config
    path.write_text(yaml.safe_dump(settings), "utf-8")
    how = ["--builder", "custom", "--custom-builder", builder]
    run_sphinx(layout, source, work, how, layout.logs / f"{builder}.log")
    return work / "_build" / builder


# ---- EPUB -------------------------------------------------------------------------------------


def _tidy(made: Path, target: Path) -> None:
    """Sphinx's EPUB with well-formed pages, MathML in the place of TeX, and no dead link."""
    with zipfile.ZipFile(made) as source:
        names = set(source.namelist())
        pages = {n: source.read(n).decode() for n in names if n.endswith(".xhtml")}
        tidy = {name: _page(name, text, names) for name, text in pages.items()}
        held = {n: [k for k in HELD if f"<{HELD[k]}" in text] for n, text in tidy.items()}
        temporary = target.with_suffix(".tmp")
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as out:
            for name in source.namelist():  # `mimetype` stays first, and is not compressed
                data: str | bytes = tidy.get(name) or source.read(name)
                if isinstance(data, bytes) and name == "content.opf":
                    data = _manifest(data.decode(), held)
                stored = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
                out.writestr(name, data, stored)
    temporary.replace(target)


def _page(name: str, text: str, names: set[str]) -> str:
    from bs4 import BeautifulSoup
    from latex2mathml.converter import convert

    soup = BeautifulSoup(text.partition("<html")[1] + text.partition("<html")[2], "html.parser")
    for gone in soup.select(LEFT_OUT):
        gone.decompose()
    for link in soup.select("a[href]"):
        if not _leads(name, str(link["href"]), names):
            link.unwrap()
    for maths in soup.select(".math"):
        how = "block" if maths.name == "div" else "inline"
        made = convert(_tex(maths.get_text()), display=how)
        maths.replace_with(BeautifulSoup(made, "html.parser"))
    # The parser of HTML has lowered the one name of SVG that has capitals.
    body = str(soup).replace(" viewbox=", " viewBox=")
    return f'<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html>\n{body}'


def _tex(text: str) -> str:
    r"""The formula of an element of class `math`: without \( \) or \[ \] around it, and without
    its number and name, which the page has beside it."""
    inner = re.sub(r"^\\[(\[]|\\[)\]]$", "", text.strip()).strip()
    return re.sub(r"\\(tag|label)\{.*?\}", "", inner)


def _leads(page: str, href: str, names: set[str]) -> bool:
    """Whether a link leads somewhere from a page of the file."""
    if re.match(r"(https?|mailto):|#", href):
        return True
    parts = [*page.split("/")[:-1]]
    for part in href.partition("#")[0].split("/"):
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts) in names


def _manifest(opf: str, held: Mapping[str, list[str]]) -> str:
    """Says of each page whether it holds MathML or SVG, as EPUB 3 asks."""

    def said(item: re.Match[str]) -> str:
        if "properties=" in item[0] or not (kinds := held.get(item["href"])):
            return item[0]
        return item[0].replace("<item ", f'<item properties="{" ".join(kinds)}" ')

    return re.sub(r'<item [^>]*href="(?P<href>[^"]+)"[^>]*>', said, opf)
