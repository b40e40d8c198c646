"""Generated parts of the pages that orient a reader: answers of the front page, the picture of all
claims, what moved since the recorded runs, decisions, and the index of figures."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dataworth.book.chapters import Chapter, Header
from dataworth.book.page import anchor, escape, table
from dataworth.claims import Ledger, Line, again, badge, estimated, told
from dataworth.display import count, safe
from dataworth.errors import UserError
from dataworth.markdown import literal

WIDTH, HEIGHT, EDGE = 210, 13, 6
"""Of a claim's strip in the picture: points, with the room for arrows at both ends."""


def last(id: str, kept: Sequence[Ledger]) -> Line | None:
    """What the largest recorded run of a chapter says on a claim."""
    return next((x for k in reversed(kept) for x in k["claims"] if x["id"] == id), None)


def answers(
    ids: Sequence[str],
    headers: Mapping[str, Header],
    chapters: Sequence[Chapter],
    results: Mapping[str, Ledger],
    recorded: Mapping[str, list[Ledger]],
) -> str:
    """What became of the claims that answer the titles of some chapters, as a table.

    Raises UserError for an unknown chapter and one whose header names no answer.
    """
    known, body = {c.id: c for c in chapters}, []
    for id in ids:
        if id not in known or not headers[id].answer:
            raise UserError(f"A page asks for the answer of '{id}', which is no chapter with one.")
        lines = results[id]["claims"] if id in results else []
        if (line := next((x for x in lines if x["id"] == headers[id].answer), None)) is None:
            continue
        to = anchor(id, line["id"])
        past = last(line["id"], recorded.get(id, []))
        today = again(line, past) if past else None
        body.append(
            [
                f"[{literal(headers[id].title)}](/{known[id].docname})",
                f"{badge(line)} [{literal(estimated(line))}](#{to}): {literal(line['statement'])}",
                f"{badge(today)} {literal(estimated(today))}" if today else "not recorded",
            ]
        )
    return table(["question", "this run [interval]", "recorded larger run"], body, "dataworth-six")


# ---- One picture of all claims -----------------------------------------------------------------


def picture(
    chapters: Sequence[Chapter],
    results: Mapping[str, Ledger],
    recorded: Mapping[str, list[Ledger]],
) -> str:
    """Every claim as a strip on a scale of its own: the range that agrees with it, the published
    number where it is in the claim's unit, this run and the largest recorded one with their
    intervals. HTML, in one line: nothing in it is Markdown."""
    blocks = []
    for chapter in chapters:
        if not (kept := results.get(chapter.id)) or not kept["claims"]:
            continue
        strips = "".join(_row(chapter, x, recorded.get(chapter.id, [])) for x in kept["claims"])
        name = safe(chapter.id.replace("-", " "))
        blocks.append(
            f'<div class="block"><a class="name" href="{chapter.docname}.html" '
            f'title="{safe(kept["title"])}">{name}</a>{strips}</div>'
        )
    if not blocks:
        return "No chapter of this build has evaluated a claim."
    keys = "".join(
        f'<span><svg viewBox="0 0 16 {HEIGHT}" width="16" height="{HEIGHT}" aria-hidden="true">'
        f"{drawn}</svg> {safe(words)}</span>"
        for drawn, words in _keys()
    )
    return (
        f'<div class="dataworth-map"><div class="keys">{keys}</div>'
        f'<div class="blocks">{"".join(blocks)}</div></div>'
    )


def _keys() -> Iterator[tuple[str, str]]:
    yield '<rect class="region" x="0" y="0" width="16" height="13"/>', "agrees with the claim"
    yield '<path class="published" d="M8 0V13"/>', "published number"
    for kind in ("supported", "contradicted", "no-effect", "inconclusive", "not-measurable-here"):
        yield f'<g class="{kind}">{_mark(kind, 8, 6.5)}</g>', kind.replace("-", " ")
    yield (
        '<g class="recorded"><path d="M2 6.5H14"/><circle cx="8" cy="6.5" r="2.4"/></g>',
        ("recorded larger run"),
    )


def _mark(kind: str, x: float, y: float) -> str:
    """The verdict as a shape, so that no colour is needed."""
    shapes = {
        "supported": '<circle class="dot" cx="{x}" cy="{y}" r="3"/>',
        "contradicted": '<path class="dot" d="M{x} {up}l3.6 3.6-3.6 3.6-3.6-3.6z"/>',
        "no-effect": '<path class="dot" d="M{left} {top}h5.4v5.4h-5.4z"/>',
        "not-measurable-here": '<path class="line" d="M{left} {top}l5.4 5.4m0-5.4l-5.4 5.4"/>',
    }
    form = shapes.get(kind, '<circle class="open" cx="{x}" cy="{y}" r="2.6"/>')
    at = {"x": x, "y": y, "up": y - 3.6, "left": x - 2.7, "top": y - 2.7}
    return form.format(**{k: f"{v:.4g}" for k, v in at.items()})


def _row(chapter: Chapter, line: Line, kept: Sequence[Ledger]) -> str:
    past = last(line["id"], kept)
    past = again(line, past) if past else None
    said = f"{line['statement']} This run: {told(line)}, {estimated(line)}."
    if past:
        said += f" Recorded run: {told(past)}, {estimated(past)}."
    if line["published"]:
        said += f" Published: {line['published']}."
    shown = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="xMinYMid" role="img" '
        f'aria-label="{safe(said)}">'
    )
    # Not on the way of the Tab key: the ledger has the same rows, with links.
    return (
        f'<a class="strip" tabindex="-1" title="{safe(said)}" '
        f'href="ledger.html#{anchor(chapter.id, line["id"])}">'
        f"{shown}{_strip(line, past)}</svg></a>"
    )


def _value(number: Any) -> float:
    return math.nan if number is None else float(number)


def _strip(line: Line, past: Line | None) -> str:
    region = [_value(v) for v in line["region"]]
    published = [_value(v) for v in line.get("published_number") or []]
    both = [
        [_value(x["estimate"]), *map(_value, x["interval"])] for x in (line, past) if x is not None
    ]
    at = _scale([*region, *published, *(x[0] for x in both)], [x[1:] for x in both])
    left, right = at(region[0]), at(region[1])
    out = f'<rect class="region" x="{left:.1f}" y="0" width="{max(right - left, 1):.1f}" '
    out += f'height="{HEIGHT}"/>'
    if published:
        ends = [at(v) for v in published]
        out += f'<path class="published" d="M{ends[0]:.1f} 0V{HEIGHT}"/>'
        if len(ends) > 1:
            out += f'<path class="published" d="M{ends[-1]:.1f} 0V{HEIGHT}"/>'
    kind = line["verdict"].replace(" ", "-")
    for numbers, css, y in ((both[0], kind, 4.0), *((x, "recorded", 10.0) for x in both[1:])):
        value, low, high = (at(v) if not math.isnan(v) else math.nan for v in numbers)
        if math.isnan(value):
            continue
        out += f'<g class="{css}">'
        if not (math.isnan(low) or math.isnan(high)):
            out += f'<path class="line" d="M{low:.1f} {y:g}H{high:.1f}"/>'
        dot = f'<circle cx="{value:.1f}" cy="{y:g}" r="2.1"/>'
        out += (dot if css == "recorded" else _mark(kind, round(value, 1), y)) + "</g>"
    return out


def _scale(core: Sequence[float], intervals: Sequence[Sequence[float]]) -> Callable[[float], float]:
    """The place of a value in a strip: linear, or logarithmic where all is positive and far apart.

    core: what is always inside, where finite (ends of the region, published number, estimates). An
    end of an interval that is much farther out than core and the narrowest interval are wide lies
    on the edge, as does what is infinite.
    """
    ends = [v for pair in intervals for v in pair if math.isfinite(v)]
    inside = [v for v in core if math.isfinite(v)] or ends or [0.0, 1.0]
    least = min(*inside, *ends, math.inf)
    log = least > 0 and max(*inside, *ends, 0.0) > 8 * least

    def form(v: float) -> float:
        return math.log(v) if log else v

    low, high = form(min(inside)), form(max(inside))
    widths = [form(b) - form(a) for a, b in intervals if math.isfinite(a) and math.isfinite(b)]
    far = 3 * max(high - low, min((w for w in widths if w > 0), default=0))
    first = max(min([low, *map(form, ends)]), low - far)
    final = min(max([high, *map(form, ends)]), high + far)
    room = 0.05 * (final - first) or 1.0
    first, final = first - room, final + room

    def at(v: float) -> float:
        if math.isinf(v) or (log and v <= 0):
            return float(WIDTH) if v > 0 else 0.0
        place = EDGE + (form(v) - first) / (final - first) * (WIDTH - 2 * EDGE)
        return min(max(place, 0.0), float(WIDTH))

    return at


# ---- Since the recorded runs; decisions; figures -------------------------------------------------


def moved(
    chapters: Sequence[Chapter],
    results: Mapping[str, Ledger],
    recorded: Mapping[str, list[Ledger]],
) -> str:
    """The claims whose verdict is another one in this build than in the largest recorded run."""
    body, same = [], 0
    for chapter in chapters:
        for line in results[chapter.id]["claims"] if chapter.id in results else []:
            past = last(line["id"], recorded.get(chapter.id, []))
            if not past or not (today := again(line, past)):
                continue
            if told(today) == told(line):
                same += 1
                continue
            statement = f"[{literal(line['statement'])}](#{anchor(chapter.id, line['id'])})"
            then, now = (f"{badge(x)} {literal(estimated(x))}" for x in (today, line))
            body.append([statement, then, now])
    if not body:
        return f"No verdict differs; {count(same, 'claim')} can be compared."
    head = ["claim", "recorded larger run", "this run"]
    told_ = f"{len(body)} of {count(len(body) + same, 'claim')} that can be compared differ.\n\n"
    return told_ + table(head, body, "dataworth-moved")


def decision(id: str, chapters: Sequence[Chapter], results: Mapping[str, Ledger]) -> str:
    """The table that a chapter gives to the page of decisions: `decision` of its evidence, with
    `head`, `rows` of text, and how many of the first columns are `dials`, which a reader sets.

    Raises UserError for an unknown chapter.
    """
    if id not in [chapter.id for chapter in chapters]:
        raise UserError(f"'{id}', of which a decision is asked for, is no chapter.")
    evidence = results[id]["evidence"] if id in results else {}
    if not (found := evidence.get("decision")):
        return f"This build holds no answer; run: `dataworth run {id}`."
    rows = [[literal(cell) for cell in row] for row in found["rows"]]
    css = f"dataworth-dials .dials-{found['dials']}" if found["dials"] else "dataworth-choice"
    return table([escape(literal(cell)) for cell in found["head"]], rows, css)


def figure_index(shown: Sequence[tuple[Chapter, str, Sequence[tuple[str, str, bool]]]]) -> str:
    """All figures by chapter: (chapter, title, its figures as name, caption, whether its numbers
    can be explored)."""
    every = [figure for _, _, figures in shown for figure in figures]
    live = sum(explored for *_, explored in every)
    found = [f"{count(len(every), 'figure')}, {live} of which can be explored.", ""]
    for chapter, title, figures in shown:
        if figures:
            found += [f"## [{literal(title)}](/{chapter.docname})", ""]
            # One without a name of its own (`take.figures`) has no number to refer to.
            found += [
                f"- {literal(told)}" if re.fullmatch(r"figure-\d+", name)
                else f"- {{numref}}`{name}`: {literal(told)}"
                for name, told, _ in figures
            ]  # fmt: skip
            found.append("")
    return "\n".join(found)


def changelog(text: str) -> str:
    """CHANGELOG.md below a heading of the first level: without its own and that of what is not
    released where nothing stands under it, the others one deeper."""
    _, _, rest = text.partition("\n## ")
    shown = re.sub(r"^## \[Unreleased\]\n+(?=## |\Z)", "", f"## {rest}")
    return "\n".join(f"#{line}" if line.startswith("#") else line for line in shown.splitlines())
