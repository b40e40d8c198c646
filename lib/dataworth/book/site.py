"""Write the Sphinx source of the book and build it with Jupyter Book."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import dataworth
from dataworth.book import chapters as chapter_files
from dataworth.book import evidence, ledger, llms, orient, page, take
from dataworth.book.chapters import Chapter, Header
from dataworth.book.execute import house, read_notebook, read_record
from dataworth.book.keys import digest, file_key
from dataworth.book.layout import Layout, OnePage, write_atomic, write_changed
from dataworth.book.parameters import Parameters
from dataworth.book.record import Record
from dataworth.claims import recorded_ledgers
from dataworth.errors import UserError

PACKAGE = Path(dataworth.__file__).parent
# Of the environment of Jupyter Book: the pages are those of every locale and hash seed.
PINNED = {
    "PYTHONHASHSEED": "0",
    "PYTHONIOENCODING": "utf-8",
    "PYTHONUTF8": "1",
    "PYTHONWARNINGS": "ignore",
}
EXTRA = "_extra"  # below the sources: what the pages' folder gets as it is
COPIED = (".md", ".html", ".bib", ".css", ".svg", ".png", ".jpg", ".ico", ".js", ".txt", "")


def write_site(
    layout: Layout,
    chapters: list[Chapter],
    notebooks: dict[str, Any],
    headers: dict[str, Header],
    parameters: dict[str, Parameters],
) -> None:
    """Bring build/<profile>/site up to date; unchanged files keep their time stamps."""
    records = {c.id: _record(c, layout) for c in chapters}
    results = ledger.read_results(chapters, layout)
    kept = {c.id: recorded_ledgers(layout.root, c.id) for c in chapters}
    recorded = {id_: found for id_, (found, _) in kept.items()}
    wanted: dict[str, str | bytes] = {
        "_toc.yml": (layout.root / "_toc.yml").read_text("utf-8"),
        "_config.yml": (layout.root / "_config.yml").read_text("utf-8"),
        "run_times.md": ledger.run_times(layout, chapters, headers, records),
    }
    for path in sorted(layout.book.rglob("*")):
        name = path.relative_to(layout.book).as_posix()
        if path.is_file() and path.suffix in COPIED and ".ipynb_checkpoints" not in name:
            wanted[name] = path.read_bytes()
    listed = []
    for chapter in chapters:
        executed = read_notebook(chapter, layout, records[chapter.id])
        merged = page.merge(chapter, notebooks[chapter.id], executed)
        of = chapter, headers[chapter.id], merged, parameters[chapter.id].rows, records[chapter.id]
        beside: dict[str, str] = {}
        drawn = [(f.name, f.caption, f.drawn is not None) for f in take.figures(merged)]
        listed.append((chapter, headers[chapter.id].title, drawn))
        for taken in take.along(*of, pixels=_pixels(layout)):
            beside[taken.cell] = beside.get(taken.cell, "") + taken.lines
            for name, content in taken.files.items():
                wanted[f"{EXTRA}/{take.FOLDER}/{name}"] = content
        built = page.build_page(
            *of,
            results.get(chapter.id),
            *kept[chapter.id],
            beside=beside,
            origin=layout.origin(chapter.id),
        )
        wanted[f"{chapter.docname}.ipynb"] = _ipynb(built)
        wanted[f"downloads/{chapter.stem}.py"] = chapter.source.read_bytes()
        wanted[f"downloads/{chapter.stem}.ipynb"] = _ipynb(merged)
        if (stated := chapter.claims).is_file():
            wanted[f"downloads/{stated.name}"] = stated.read_bytes()
    of_claims = chapters, results, recorded
    parts: dict[str, Callable[..., str]] = {
        "scale": lambda: ledger.scale_line(layout, records),
        "tally": lambda: ledger.tally(results, recorded),
        "ledger": lambda: ledger.ledger(*of_claims, chapter_files.parts(layout.root)),
        "picture": lambda: orient.picture(*of_claims),
        "moved": lambda: orient.moved(*of_claims),
        "figures": lambda: orient.figure_index(listed),
        "changelog": lambda: orient.changelog(_text(layout.root / "CHANGELOG.md")),
        "decision": lambda chapter: orient.decision(chapter, chapters, results),
        "answers": lambda *ids: orient.answers(ids, headers, *of_claims),
        "evidence": lambda chapter, claim: evidence.evidence(chapter, claim, *of_claims),
    }
    wanted[f"{EXTRA}/llms.txt"] = llms.text(chapters, headers)
    # A chapter alone comes without them, for they need the others' results.
    for document in [] if isinstance(layout, OnePage) else chapter_files.documents(layout.root):
        name = f"{document}.md"
        if (source := layout.book / name).is_file():
            shown = f"book/{name}"
            wanted[name] = ledger.filled(shown, source.read_text("utf-8"), parts)
    for name, content in wanted.items():
        write_changed(layout.site / name, content)
    # A page must not outlive its source.
    for path in layout.site.rglob("*"):
        if path.is_file() and path.relative_to(layout.site).as_posix() not in wanted:
            path.unlink()


def _pixels(layout: Layout) -> Callable[[bytes], bytes]:
    """`take.pixels`, but for pictures that this site has already."""
    folder = layout.site / EXTRA / take.FOLDER
    known = {svg.read_bytes(): svg.with_suffix(".png") for svg in folder.glob("*.svg")}

    def pixels(svg: bytes) -> bytes:
        made = known.get(svg)
        return made.read_bytes() if made and made.is_file() else take.pixels(svg)

    return pixels


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.is_file() else ""


def _record(chapter: Chapter, layout: Layout) -> Record:
    if (record := read_record(chapter, layout)) is None:
        raise UserError(f"The record of '{chapter.id}' was lost while the book was built; again.")
    return record


def _ipynb(notebook: Any) -> str:
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def site_key(layout: Layout) -> str:
    """Hash of everything the HTML depends on."""
    files = {
        p.relative_to(layout.site).as_posix(): sha256(p.read_bytes()).hexdigest()
        for p in sorted(layout.site.rglob("*"))
        if p.is_file()
    }
    library = {  # the pages of book/api show its docstrings, and checks.py decides what passes
        p.relative_to(PACKAGE).as_posix(): file_key(p) for p in sorted(PACKAGE.rglob("*.py"))
    }
    return digest([files, library, file_key(layout.root / "requirements.lock")])


def html_mark(layout: Layout) -> Path:
    """Written after the HTML was built and checked; holds its site_key."""
    return layout.build / "html.key"


def html_is_current(layout: Layout) -> bool:
    mark = html_mark(layout)
    index = layout.html / "index.html"
    return mark.is_file() and index.is_file() and mark.read_text() == site_key(layout)


def build_html(layout: Layout, strict: bool = True) -> None:
    """Run Jupyter Book on the site, warnings as errors where it is `strict`.

    Sphinx shows the warnings of a page only when it reads the page, so after a failed or killed
    build everything is read again. Raises UserError with the warnings.
    """
    output = layout.build / "_build"
    unfinished = layout.build / "html.unfinished"
    if unfinished.exists():
        shutil.rmtree(output, ignore_errors=True)
    html_mark(layout).unlink(missing_ok=True)
    unfinished.touch()
    how = ["-W", "-n", "--keep-going"] if strict else []
    run_sphinx(layout, layout.site, layout.build, how, layout.logs / "jupyter-book.log")
    unfinished.unlink()


def run_sphinx(layout: Layout, source: Path, output: Path, how: Sequence[str], log: Path) -> None:
    """Jupyter Book on a source, its pages below `output`/_build. Raises UserError with the
    warnings."""
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "dataworth.book.pages", "build", str(source)]
    with log.open("wb") as stream:
        status = subprocess.run(
            [*command, "--path-output", str(output), *how],
            cwd=layout.build,
            env={**os.environ, **house(layout), **PINNED},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    if status != 0:
        lines = [x for x in log.read_text(errors="replace").splitlines() if _is_complaint(x)]
        shown = "\n  ".join(lines[:20]) or "no warning was printed"
        raise UserError(f"Jupyter Book failed; its log is {layout.show(log)}:\n  {shown}")


def _is_complaint(line: str) -> bool:
    return any(word in line for word in ("WARNING", "ERROR", "Error:", "Exception"))


def mark_checked(layout: Layout) -> None:
    write_atomic(html_mark(layout), site_key(layout))
