"""What must hold of the built HTML: it opens offline, reads aloud, links to itself only, and its
tables are for people."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

REMOTE = re.compile(r"^(?:https?:)?//", re.IGNORECASE)
CSS_REMOTE = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])((?:https?:)?//[^'\")\s]+)", re.I)
# <link> kinds that make a browser load something; `canonical`, `next`, `author`... do not.
LOADING_RELS = {"stylesheet", "icon", "preload", "prefetch", "modulepreload", "preconnect"}
LOADING = {
    "script": "src", "img": "src", "source": "src", "iframe": "src", "video": "src",
    "audio": "src", "embed": "src", "object": "data",
}  # fmt: skip
GENERIC_ALT = re.compile(r"^(?:image|figure|plot|_?images?/.*|.*\.(?:png|svg|jpe?g))$", re.I)
SKIPPED = {"genindex.html", "search.html"}  # made by Sphinx, not by us
# Of a script's outermost level; a second declaration on a page is an error.
CONSTANT = re.compile(r"^(?:const|let)\s+(\w+)", re.MULTILINE)
# Cells that no reader should meet, and what is wrong with them; `tables.show` prints none.
RAW_CELLS = {
    re.compile(r"-?(?:NaN|nan|inf|None|NaT|<NA>)"): "is not for readers",
    re.compile(r"[-−]?0\.0000+"): "shows no digit of its number",
    re.compile(r"-[\d.,]+"): "has a hyphen for a minus sign",
}


@dataclass
class Page:
    """What the checks need to know of one HTML file."""

    h1: int = 0
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    images: list[tuple[str, str | None]] = field(default_factory=list)
    styles: list[str] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    redirect: bool = False
    classes: set[str] = field(default_factory=set)
    heads: list[str] = field(default_factory=list)  # of tables; code in them left out
    cells: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page, self.in_style, self.in_code, self.in_script = Page(), False, False, False
        self.cell: list[str] | None = None  # where the text goes while in a cell of a table

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        a, page = dict(attrs), self.page
        if a.get("id"):
            page.ids.add(str(a["id"]))
        page.classes.update((a.get("class") or "").split())
        if a.get("style"):
            page.styles.append(str(a["style"]))
        if tag == "h1":
            page.h1 += 1
        elif tag == "a" and a.get("href"):
            page.links.append(str(a["href"]))
        elif tag == "style":
            self.in_style = True
        elif tag == "script":
            self.in_script = True
        elif tag == "code":
            self.in_code = True
        elif tag in ("th", "td"):
            self.cell = page.heads if tag == "th" else page.cells
            self.cell.append("")
        elif tag == "meta" and (a.get("http-equiv") or "").lower() == "refresh":
            page.redirect = True
        elif tag == "link" and LOADING_RELS & set((a.get("rel") or "").lower().split()):
            page.loads.append(a.get("href") or "")
        if tag in LOADING and a.get(LOADING[tag]):
            page.loads.append(str(a[LOADING[tag]]))
        if tag == "img":
            page.images.append((a.get("src") or "", a.get("alt")))
            page.loads += [
                part.split()[0] for part in (a.get("srcset") or "").split(",") if part.split()
            ]

    def handle_endtag(self, tag: str) -> None:
        if tag == "style":
            self.in_style = False
        elif tag == "script":
            self.in_script = False
        elif tag == "code":
            self.in_code = False
        elif tag in ("th", "td"):
            self.cell = None

    def handle_data(self, data: str) -> None:
        if self.in_style:
            self.page.styles.append(data)
        elif self.in_script:
            self.page.scripts.append(data)
        elif self.cell is not None:
            self.cell[-1] += "code" if self.in_code else data


def read_page(path: Path) -> Page:
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    return reader.page


def check_html(html: Path) -> list[str]:
    """One sentence for each fault of the book in folder `html`; empty when it is in order."""
    pages = {p.resolve(): read_page(p) for p in sorted(html.rglob("*.html"))}
    # _static holds templates of the theme, not pages of the book.
    pages = {
        p: page for p, page in pages.items() if "_static" not in p.relative_to(html.resolve()).parts
    }
    faults = []
    if not pages:
        faults.append(f"{html} holds no page.")
    for path, page in pages.items():
        name = path.relative_to(html.resolve()).as_posix()
        faults += [
            f"{name} loads {url} from the network." for url in page.loads if REMOTE.match(url)
        ]
        for style in page.styles:
            faults += [f"{name} loads {u} from the network." for u in CSS_REMOTE.findall(style)]
        if page.redirect or name in SKIPPED:
            continue
        if page.h1 != 1:
            faults.append(f"{name} has {page.h1} first-level headings instead of one.")
        for source, alt in page.images:
            if not alt or not alt.strip() or GENERIC_ALT.match(alt.strip()):
                faults.append(f"{name} shows {source[:80]} without alt text.")
        if page.classes & {"traceback", "stderr"}:
            faults.append(f"{name} shows an error or stderr output.")
        named = Counter(x for script in page.scripts for x in CONSTANT.findall(script))
        faults += [
            f"{name} fails in a browser: its scripts declare {x} more than once."
            for x, times in named.items()
            if times > 1
        ]
        faults += [f"{name} shows a table {fault}." for fault in _raw_tables(page)]
        faults += _broken_links(html, path, name, page, pages)
    for sheet in sorted(html.rglob("*.css")):
        text = sheet.read_text(encoding="utf-8", errors="replace")
        name = sheet.relative_to(html).as_posix()
        faults += [f"{name} loads {url} from the network." for url in CSS_REMOTE.findall(text)]
    return faults


def _raw_tables(page: Page) -> Iterator[str]:
    """What shows that a table was printed as it came; the first of each kind."""
    heads = [head.strip() for head in page.heads]
    if "" in heads:
        yield "whose column has no head: an index, or rows without a name"
    if named := next((head for head in heads if "_" in head), None):
        yield f"with the raw name '{named}'"
    for pattern, wrong in RAW_CELLS.items():
        if cell := next(
            (c for c in [*heads, *map(str.strip, page.cells)] if pattern.fullmatch(c)), ""
        ):
            yield f"with '{cell}', which {wrong}"


def _broken_links(
    html: Path, path: Path, name: str, page: Page, pages: dict[Path, Page]
) -> list[str]:
    faults = []
    for link in [*page.links, *page.loads]:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc or link in ("#", "#!"):
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if not target.exists():
            faults.append(f"{name} links to {link}, which does not exist.")
            continue
        known = pages[target].ids if target in pages else set()
        if parts.fragment and target in pages and unquote(parts.fragment) not in known:
            faults.append(f"{name} links to {link}, which has no such anchor.")
    return faults
