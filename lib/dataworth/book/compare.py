"""Two runs of a chapter beside one another: parameters, verdicts, figures; as plain data and as one
HTML page that needs no other file.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dataworth.book.chapters import Chapter
from dataworth.book.layout import QUICK, variants_of, write_atomic
from dataworth.book.take import Figure, figures
from dataworth.book.variants import RECORDED, Run, differing, named
from dataworth.claims import Line, alike, estimated, told
from dataworth.display import folded, moment, safe
from dataworth.errors import UserError
from dataworth.why import differences, summary

STYLE = """
:root { color-scheme: light dark; --line: #bbb; --moved: #fff3c4; --text: #1b1b1b; --page: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --line: #666; --moved: #4a3d00; --text: #e8e8e8; --page: #16181c; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; text-align: left;
  vertical-align: top; overflow-wrap: break-word; }
td { overflow-wrap: anywhere; }
tr.moved td { background: var(--moved); }
figure { margin: 1rem 0; }
img { max-width: 100%; background: #fff; }
figcaption { font-size: .9rem; }
"""


def other(found: Sequence[Run], a: Run, chapter: Chapter) -> Run:
    """What a run is compared with where nothing is named: its profile's own result; for that, the
    recorded run of the profile, or quick. Raises UserError where there is none of them."""
    names = [a.profile] if a.kind != "profile" else [f"{RECORDED}{a.profile}", QUICK]
    for name in names:
        if name != a.name and any(run.name == name for run in found):
            return named(found, name, chapter)
    raise UserError(
        f"Say what to compare '{a.name}' with; there is no result of "
        f"{' or '.join(name for name in names if name != a.name) or 'another run'} yet."
    )


def compare(chapter: Chapter, a: Run, b: Run) -> dict[str, Any]:
    """What two runs say, as plain JSON: `runs` (name, finished), `parameters` that differ (None:
    they were not kept), `changed` besides (code, libraries, data sets ... in words), and `claims`:
    the line of each run, `moved` where the verdicts differ, and `comparable` where the claim is the
    same one (`claims.alike`)."""
    known = a.parameters is not None and b.parameters is not None
    pairs = differing(a.parameters or {}, b.parameters or {}) if known else {}
    lines = [{x["id"]: x for x in run.ledger["claims"]} if run.ledger else {} for run in (a, b)]
    claims = []
    for id in dict.fromkeys([*lines[0], *lines[1]]):
        one, two = lines[0].get(id), lines[1].get(id)
        claims.append(
            {
                "id": id,
                "statement": next(line["statement"] for line in (one, two) if line),
                "comparable": bool(one and two and alike(one, two)),
                "moved": bool(one and two and told(one) != told(two)),
                "lines": [one, two],
            }
        )
    return {
        "chapter": chapter.id,
        "runs": [{"name": run.name, "finished": run.finished} for run in (a, b)],
        "parameters": [{"name": name, "values": list(both)} for name, both in pairs.items()]
        if known
        else None,
        "changed": _besides(a, b),
        "claims": claims,
    }


def _besides(a: Run, b: Run) -> list[str] | None:
    """What differs between the keys but the parameters and what only a page shows; None where a
    key was not kept."""
    if a.key is None or b.key is None:
        return None
    left_out = ("parameters", "recorded")
    return differences(*({k: v for k, v in run.key.items() if k not in left_out}
                         for run in (b, a) if run.key))  # fmt: skip


def moved(compared: Mapping[str, Any]) -> str:
    """How many verdicts differ, in words."""
    claims = [claim for claim in compared["claims"] if None not in claim["lines"]]
    count = sum(claim["moved"] for claim in claims)
    text = f"{count or 'None'} of {len(claims)} verdicts moved"
    if odd := sum(not claim["comparable"] for claim in claims):
        text += f"; {odd} {'is' if odd == 1 else 'are'} on another definition, unit or region"
    return f"{text}." if claims else "The two runs have no claim in common."


def _said(line: Line | None) -> str:
    """Estimate and verdict of a line, in words."""
    return "not made" if line is None else f"{estimated(line)}; {told(line)}"


def text(compared: Mapping[str, Any], width: int) -> Iterator[str]:
    """The comparison in lines of at most `width` characters, where no word is longer."""
    names = [run["name"] for run in compared["runs"]]
    wide = max(map(len, names))

    def both(values: Iterable[str]) -> Iterator[str]:
        for name, value in zip(names, values, strict=True):
            yield folded(f"    {name:{wide}}  {value}", width, wide + 6)

    yield f"{compared['chapter']}:"
    yield from both(f"finished {moment(run['finished'])}" for run in compared["runs"])
    if compared["parameters"] is None:
        yield "parameters: one of the two runs was kept without them"
    elif not compared["parameters"]:
        yield "parameters: all the same"
    for differs in compared["parameters"] or []:
        yield f"{differs['name']}:"
        yield from both(map(json.dumps, differs["values"]))
    if compared["changed"]:
        yield folded(f"not the same either: {summary(compared['changed'])}", width, 4)
    for claim in compared["claims"]:
        yield ""
        yield folded(_statement(claim), width, 2)
        yield from both(map(_said, claim["lines"]))
    yield ""
    yield moved(compared)


def _statement(claim: Mapping[str, Any]) -> str:
    return f"{claim['statement']}{' (the verdict moved)' if claim['moved'] else ''}"


def page(chapter: Chapter, root: Path, a: Run, b: Run, compared: Mapping[str, Any]) -> Path:
    """Write the comparison as one HTML page and give its path."""
    names = "_beside_".join(run.name.replace(":", "-") for run in (a, b))
    path = variants_of(root, chapter.id) / f"{names}.html"
    write_atomic(path, _html(a, b, compared))
    return path


def _html(a: Run, b: Run, compared: Mapping[str, Any]) -> str:
    title = f"{compared['chapter']}: {a.name} beside {b.name}"
    head = [f"{run.name} ({moment(run.finished)})" for run in (a, b)]
    body = [f"<h1>{safe(title)}</h1>", f"<p>{safe(moved(compared))}</p>", "<h2>Parameters</h2>"]
    if compared["parameters"] is None:
        body.append("<p>One of the two runs was kept without its parameters.</p>")
    elif compared["parameters"]:
        rows = [[p["name"], *map(json.dumps, p["values"])] for p in compared["parameters"]]
        body.append(_table(["parameter", *head], rows))
    else:
        body.append("<p>All parameters are the same.</p>")
    if compared["changed"]:
        said = "".join(f"<li>{safe(phrase)}</li>" for phrase in compared["changed"])
        body.append(f"<p>What else is not the same:</p><ul>{said}</ul>")
    if compared["claims"]:
        rows = [[_statement(claim), *map(_said, claim["lines"])] for claim in compared["claims"]]
        marked = [claim["moved"] for claim in compared["claims"]]
        body += ["<h2>Claims</h2>", _table(["claim", *head], rows, marked)]
    content = "\n".join([*body, *_figures(a, b)])
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{safe(title)}'
        '</title><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head>\n<body><main>\n{content}\n</main></body></html>\n"
    )


def _figures(a: Run, b: Run) -> list[str]:
    """The figures of both, one over the other."""
    drawn = [
        {f.name: f for f in figures(json.loads(run.notebook.read_bytes()))} if run.notebook else {}
        for run in (a, b)
    ]
    names = list(dict.fromkeys([*drawn[0], *drawn[1]]))
    body = ["<h2>Figures</h2>"] if names else []
    for name in names:
        one, two = (found.get(name) for found in drawn)
        body.append(f"<h3>{safe(name)}</h3>")
        if one and two and one.data == two.data:
            body.append(_figure(one, f"{a.name} and {b.name}, the same"))
        else:
            body += [_figure(f, run.name) for f, run in ((one, a), (two, b)) if f]
    return body


def _figure(figure: Figure, whose: str) -> str:
    # As an image of its own: names inside one figure do not reach into another, and nothing runs.
    data = base64.b64encode(figure.data).decode()
    return (
        f'<figure><img src="data:{figure.kind};base64,{data}" alt="{safe(figure.alt)}">'
        f"<figcaption><strong>{safe(whose)}</strong> {safe(figure.caption)}</figcaption></figure>"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], marked: Sequence[bool] = ()) -> str:
    made = ["<table><thead><tr>", *(f"<th>{safe(x)}</th>" for x in head), "</tr></thead><tbody>"]
    for number, row in enumerate(rows):
        mark = ' class="moved"' if marked and marked[number] else ""
        made.append(f"<tr{mark}>{''.join(f'<td>{safe(x)}</td>' for x in row)}</tr>")
    return "".join([*made, "</tbody></table>"])
