"""The one post-process step: current prose + executed cells + run record -> a page for the book.

Works on notebooks as plain dictionaries (nbformat 4). What Jupyter Book would show badly or
drop is put right here: parameter cells, figure alt text, stderr, widgets, run stamps.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from dataworth.book.chapters import KERNEL, Chapter, Header
from dataworth.book.keys import digest
from dataworth.book.parameters import Row
from dataworth.book.record import Record
from dataworth.book.take import IMAGES
from dataworth.claims import OTHER, Ledger, badge, comparable, counts, estimated
from dataworth.display import count, plain, spell
from dataworth.errors import UserError
from dataworth.markdown import code, literal
from dataworth.paths import VARIANT
from dataworth.tables import signed
from dataworth.verdicts import Verdict

Notebook = dict[str, Any]
Cell = dict[str, Any]

# Best first; myst-nb warns on kinds it does not know, and offline pages need no widgets.
SHOWN = (*IMAGES, "text/html", "text/markdown", "text/latex", "text/plain")


COVERAGE = (  # as the front page and the glossary say it
    "A 95 % {term}`interval` over seeds covers the truth in 93 to 99 of 100 repetitions that we "
    "simulated."
)


def merge(chapter: Chapter, source: Notebook, executed: Notebook) -> Notebook:
    """`executed` with the Markdown of `source`: prose may change without a new execution.

    Code cells must be equal, cell by cell, else ValueError: the build executes before it merges.
    """
    ran = [c for c in executed["cells"] if c["cell_type"] == "code"]
    injected = [c for c in ran if "injected-parameters" in _tags(c)]
    ran = [c for c in ran if c not in injected]
    wanted = [c for c in source["cells"] if c["cell_type"] == "code"]
    if [_text(c["source"]) for c in wanted] != [_text(c["source"]) for c in ran]:
        raise ValueError(f"'{chapter.id}' was executed with other code cells than its source has.")
    outputs = iter(ran)
    cells: list[Cell] = []
    for cell in source["cells"]:
        if cell["cell_type"] != "code":
            cells.append(deepcopy(dict(cell)))
            continue
        cells.append({**deepcopy(next(outputs)), "metadata": deepcopy(dict(cell["metadata"]))})
        if "parameters" in _tags(cell):
            cells += deepcopy(injected)
    return {**executed, "cells": cells}


def build_page(
    chapter: Chapter,
    header: Header,
    merged: Notebook,
    rows: list[Row],
    record: Record,
    claims: Ledger | None,
    recorded: Sequence[Ledger] = (),
    left_out: Sequence[str] = (),
    beside: Mapping[str, str] | None = None,
    origin: str = "",
) -> Notebook:
    """The notebook that Jupyter Book renders, from what `merge` returned.

    left_out: a sentence for each recorded run that is damaged. beside: what stands under the
    outputs of a cell (`take.along`), by its id. origin: of the runs, where they were kept. Nothing
    on the page steers a terminal or turns the reading direction, whatever a cell printed.

    Raises UserError for a figure without alt text, two figures in one cell, or an error output.
    """
    cells: list[Cell] = []
    own = [c for c in merged["cells"] if "injected-parameters" not in _tags(c)]
    for index, cell in enumerate(own):
        if "parameters" in _tags(cell):
            cells.append(markdown(f"{cell['id']}-table", scale_block(header, rows, record, origin)))
        elif cell["cell_type"] == "code":
            cells.append(_code_cell(chapter, index, cell))
            if lines := (beside or {}).get(cell["id"]):
                cells.append(markdown(f"{cell['id']}-take", lines))
        elif cell["cell_type"] == "markdown":
            text = _text(cell["source"])
            if index == 0:
                said = [
                    _standing(claims, recorded),
                    _answer(header, record, claims, recorded),
                ]
                text = _with_links(chapter, text, *said)
            cells.append(markdown(cell["id"], text, cell["metadata"]))
    footer = provenance_block(header, rows, record, claims, recorded, left_out)
    cells.append(markdown("provenance", footer))
    return {
        "cells": _plain(cells),
        "metadata": {"kernelspec": dict(KERNEL), "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _plain(value: Any) -> Any:
    """`plain` for all text in a JSON value."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def markdown(cell_id: str, text: str, metadata: dict[str, Any] | None = None) -> Cell:
    return {"cell_type": "markdown", "id": cell_id, "metadata": metadata or {}, "source": text}


def _text(source: str | list[str]) -> str:
    return source if isinstance(source, str) else "".join(source)


def _tags(cell: Cell) -> list[str]:
    return list(cell["metadata"].get("tags", []))


def _code_cell(chapter: Chapter, index: int, cell: Cell) -> Cell:
    outputs, figures = [], []
    for output in cell["outputs"]:
        if output["output_type"] == "error":
            raise UserError(f"Cell {index} of chapter '{chapter.id}' holds an error output.")
        if output["output_type"] == "stream":
            if output["name"] == "stdout":
                outputs.append(deepcopy(output))
            continue
        if output.get("metadata", {}).get("dataworth", {}).get("aside"):
            continue  # what the page says in its own form (`display.aside`)
        data = {kind: output["data"][kind] for kind in SHOWN if kind in output["data"]}
        if "application/vnd.jupyter.widget-view+json" in output["data"] or not data:
            continue
        if image := next((kind for kind in IMAGES if kind in data), None):
            figures.append(output["metadata"].get("dataworth", {}))
            data = {image: data[image]}
        if "text/html" in data:
            data = data | {"text/html": _with_rows(chapter, _text(data["text/html"]))}
        outputs.append({**deepcopy(output), "data": data, "metadata": {}})
    metadata: dict[str, Any] = {"tags": _tags(cell)} if _tags(cell) else {}
    if len(figures) > 1:
        raise UserError(
            f"Cell {index} of chapter '{chapter.id}' shows {len(figures)} figures; "
            "one cell may show one, because alt text belongs to a cell."
        )
    if figures:
        figure = figures[0]
        if not str(figure.get("alt", "")).strip():
            raise UserError(
                f"The figure of cell {index} of chapter '{chapter.id}' has no alt text; "
                "show it with dataworth.figures.show(fig, alt=..., caption=...)."
            )
        shown = {k: figure[k] for k in ("caption", "name") if figure.get(k)}
        metadata["mystnb"] = {"image": {"alt": " ".join(figure["alt"].split())}}
        if shown:
            metadata["mystnb"]["figure"] = shown
    return {
        "cell_type": "code",
        "id": cell["id"],
        "metadata": metadata,
        "source": _text(cell["source"]),
        "execution_count": cell["execution_count"],
        "outputs": outputs,
    }


def _with_rows(chapter: Chapter, html: str) -> str:
    """A table of verdicts whose estimates link to their rows on the page of the ledger."""
    ledger = f"{'../' * chapter.docname.count('/')}ledger.html"
    return re.sub(
        r'<span class="estimate" data-claim="([a-z0-9-]+)">(.*?)</span>',
        lambda found: f'<a href="{ledger}#{anchor(chapter.id, found[1])}">{found[2]}</a>',
        html,
    )


def anchor(chapter_id: str, claim: str) -> str:
    """The address of a claim's row on the page of the ledger."""
    return f"claim-{chapter_id}-{claim}"


def _standing(claims: Ledger | None, recorded: Sequence[Ledger]) -> str:
    """What became of the page's claims, and how far to trust it; empty where it has none."""
    if not claims or not claims["claims"]:
        return ""
    said = [f"this run: {counts(claims['claims'])}"]
    for kept in recorded:
        same, other = comparable(claims["claims"], kept)
        note = f", {other} {OTHER}" if other else ""
        said.append(f"recorded run ({kept['profile']}): {counts(same)}{note}")
    return f"Of the claims on this page, {'; '.join(said)}. {COVERAGE}"


def _answer(
    header: Header, record: Record, claims: Ledger | None, recorded: Sequence[Ledger]
) -> str:
    """What was found on the claim that answers the title, how sure that is and what it means in
    practice: three lines of the ledger's own numbers; empty where the header names no claim."""
    lines = claims["claims"] if claims else []
    line = next((x for x in lines if x["id"] == header.answer), None)
    if claims is None or line is None:
        return ""
    sure = literal(signed(line["reason"]))
    for kept in recorded:
        if past := comparable([line], kept)[0]:
            sure += (
                f" Recorded run ({literal(kept['profile'])}): {badge(past[0])} "
                f"{literal(estimated(past[0]))}."
            )
    if record["profile"] == "smoke":
        sure += " This run is of the profile smoke: its numbers mean nothing."
    practice = line.get("practice") or IN_PRACTICE.get(line["verdict"], "")
    said = {
        "Answer (this run)": f"{badge(line)} {literal(line['statement'])} "
        f"[{literal(estimated(line))}](#{anchor(claims['chapter'], line['id'])}); "
        f"{literal(signed(line['effect']))}",
        "How sure": sure,
        "In practice": literal(signed(practice)),
    }
    text = "\n\n".join(f"**{name}:** {words}" for name, words in said.items() if words)
    return f":::{{container}} dataworth-answer\n{text}\n:::\n"


IN_PRACTICE: dict[str, str] = {
    Verdict.NO_EFFECT: "What is asked about makes no difference that matters here: other reasons, "
    "such as the price, may decide.",
    Verdict.INCONCLUSIVE: "This run decides nothing: do as you would without it.",
    Verdict.NOT_MEASURABLE: "This design cannot tell, whatever came out: it takes a larger one.",
}


def _with_links(chapter: Chapter, text: str, standing: str, answer: str) -> str:
    """Put the download line, the standing of the claims and the answer under the H1."""
    title, _, rest = text.partition("\n")
    offered = {
        "chapter source (.py)": f"{chapter.stem}.py",
        "executed notebook (.ipynb)": f"{chapter.stem}.ipynb",
    }
    if chapter.claims.is_file():
        offered["its claims (.yaml)"] = chapter.claims.name
    links = (
        ":::{container} dataworth-links\n"
        + " · ".join(f"{{download}}`{name} </downloads/{f}>`" for name, f in offered.items())
        + "\n"
        + (f"\n{standing}\n" if standing else "")
        + ":::"
    )
    return f"{title}\n\n{links}\n\n{answer}\n{rest}"


def show_value(value: Any) -> str:
    """A parameter value: names as code, numbers with their thousands apart (a comma separates the
    values of a list)."""
    if isinstance(value, list):
        return ", ".join(map(show_value, value)) or "none"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return code(value if isinstance(value, str) else json.dumps(value))
    text = f"{value:,}" if abs(value) >= 10_000 else f"{value:.15g}"
    return text.replace(",", "\u202f").replace("-", "\u2212")


def escape(text: object) -> str:
    """Text that cannot end a table cell or a line."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(head: list[str], body: list[list[str]], css: str = "") -> str:
    """A MyST table from plain strings (Markdown inside cells is kept)."""
    lines = [
        "| " + " | ".join(head) + " |",
        "|" + "|".join(" --- " for _ in head) + "|",
        *("| " + " | ".join(escape(x) for x in row) + " |" for row in body),
    ]
    return "\n".join(([f"{{.{css}}}"] if css else []) + lines)


def scale_block(header: Header, rows: list[Row], record: Record, origin: str = "") -> str:
    """What this run was: profile, device, time, the runs' origin, and the parameter table."""
    profile = record["profile"]
    scale = profile if profile.startswith(VARIANT) else f"profile {profile}"
    expected = header.expected_minutes.get(profile)
    machine = record["device"]
    time_line = f"Executed in {spell(record['wall_s'])}"
    if expected is not None:
        time_line += f" (with nothing stored: about {spell(60 * expected)} expected)"
    return "\n".join(
        [
            f":::{{admonition}} This page: {scale}",
            ":class: dataworth-scale",
            f"{time_line} on {count(machine['cores'], 'core')} of {literal(machine['processor'])}"
            f"{', GPU ' + literal(machine['gpu']) if machine['gpu'] else ', no GPU'}. "
            f"The chapter needs: {header.device}. {literal(origin)}".rstrip(),
            "",
            *parameter_tables(header.main or tuple(r.name for r in rows[:3]), rows),
            ":::",
        ]
    )


def parameter_tables(main: Sequence[str], rows: list[Row]) -> list[str]:
    """The table of what matters most (`main`) and what differs from the chapter's cell, and the
    whole one folded. The column of the cell's values stands only where one differs."""
    changed = any(r.value != r.default for r in rows)
    head = ["parameter", "value", *(["quick"] if changed else []), "meaning"]

    def shown(some: list[Row]) -> str:
        body = []
        for r in some:
            default = show_value(r.default) if r.value != r.default else ""
            meaning = r.meaning if r.unit in r.meaning else f"{r.meaning} ({r.unit})"
            body.append(
                [code(r.name), show_value(r.value), *([default] if changed else []), meaning]
            )
        return table(head, body, "dataworth-parameters")

    short = [r for r in rows if r.name in main or r.value != r.default]
    if len(short) == len(rows):
        return [shown(rows)]
    summary = f"<summary>All {len(rows)} parameters</summary>"
    return [shown(short), "", f"<details>{summary}", "", shown(rows), "", "</details>"]


def provenance_block(
    header: Header,
    rows: list[Row],
    record: Record,
    claims: Ledger | None,
    recorded: Sequence[Ledger] = (),
    left_out: Sequence[str] = (),
) -> str:
    """The footer: what made this page and the recorded runs on it, as a folded table."""
    machine = record["device"]
    seeds = ", ".join(f"{r.name} = {json.dumps(r.value)}" for r in rows if "seed" in r.name)
    entries = {
        "executed": f"{record['started']} to {record['finished']} ({spell(record['wall_s'])})",
        "commit": code(record["commit"]) if record["commit"] else "not in a git clone",
        "key": code(digest(record["key"])),
        "seeds": literal(seeds) or "none among the parameters",
        "device": literal(
            f"{machine['processor']}, {count(machine['cores'], 'core')}, "
            f"{machine['memory_gb']} GB memory, GPU: {machine['gpu'] or 'none'}, "
            f"{machine['system']}"
        ),
        "peak memory": f"{record['peak_memory_mb']} MB over all processes of the chapter",
        "versions": literal(", ".join(f"{n} {v}" for n, v in record["versions"].items())),
    }
    for name, value in (claims["provenance"] if claims else {}).items():
        entries.setdefault(
            literal(name), literal(value if isinstance(value, str) else json.dumps(value))
        )
    for kept in recorded:
        made, runs = kept["run"], kept["provenance"]
        entries[f"recorded run, {literal(kept['profile'])}"] = literal(
            f"{runs.get('runs', 'no stored runs')}, {runs.get('compute', 'no compute')} on "
            f"{runs.get('device') or made['device']['processor']}; finished {made['finished']}, "
            f"commit {made['commit']}"
        )
    if left_out:
        entries["recorded run left out"] = literal(" ".join(left_out))
    return "\n".join(
        [
            ":::{admonition} Provenance of this page",
            ":class: dropdown dataworth-provenance",
            table(["what", "value"], [[k, v] for k, v in entries.items()]),
            ":::",
        ]
    )
