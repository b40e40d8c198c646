"""A Sphinx extension: what glossary terms and references say, as a script for their previews.

A page that is read from disk may load nothing else than scripts (`book/_static/hover.js`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGES = ("glossary", "references")
NAME = "previews.js"


def previews(document: Any) -> Iterator[tuple[str, str]]:
    """The address and the text of every term and reference of a resolved document."""
    from docutils import nodes

    for item in document.findall(nodes.definition_list_item):
        said = " ".join(x.astext() for x in item if isinstance(x, nodes.definition))
        for term in (x for x in item if isinstance(x, nodes.term)):
            yield from ((id, " ".join(said.split())) for id in term["ids"])
    for entry in document.findall(nodes.citation):
        said = " ".join(x.astext() for x in entry if not isinstance(x, nodes.label))
        yield from ((id, " ".join(said.split())) for id in entry["ids"])


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""

    def write(app: Any, error: Exception | None) -> None:
        if error or app.builder.name != "html":
            return
        found: dict[str, str] = {}
        for page in PAGES:
            if page in app.env.found_docs:
                document = app.env.get_and_resolve_doctree(page, app.builder)
                found |= {f"{page}.html#{id}": text for id, text in previews(document)}
        text = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
        path = Path(app.outdir) / "_static" / NAME
        path.write_text(f"dataworthPreviews({text});\n", encoding="utf-8")

    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
