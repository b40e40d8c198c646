"""A deck of slides from a chapter as it was executed: no number is typed, none is made anew."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from dataworth.book.chapters import Chapter, Header
from dataworth.book.take import Figure, figures
from dataworth.claims import Ledger, Line, estimated, told
from dataworth.tables import signed
from dataworth.teach import prose
from dataworth.teach.plans import Plan

A_SLIDE = 4  # claims on one slide


@dataclass(frozen=True)
class Slide:
    """HTML of a slide and of what the speaker sees beside it."""

    title: str
    body: str
    notes: str = ""


@dataclass(frozen=True)
class Section:
    """A second-level section of a chapter: its prose, and the figures below it."""

    title: str
    text: str
    figures: tuple[Figure, ...]


def sections(notebook: Mapping[str, Any]) -> list[Section]:
    """The sections of an executed notebook; the first, before any heading, has the title ""."""
    shown: dict[str, list[Figure]] = {}
    for figure in figures(notebook):
        shown.setdefault(figure.cell, []).append(figure)
    found: list[tuple[str, list[str], list[Figure]]] = [("", [], [])]
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            found[-1][2].extend(shown.get(cell["id"], []))
            continue
        for part in re.split(r"(?m)^(?=## )", "".join(cell["source"])):
            if part.startswith("## "):
                title, _, part = part[3:].partition("\n")
                found.append((title.strip(), [], []))
            found[-1][1].append(part)
    return [Section(title, "\n\n".join(text), tuple(of)) for title, text, of in found]


def make(
    chapter: Chapter,
    header: Header,
    notebook: Mapping[str, Any],
    ledger: Ledger | None,
    plan: Plan | None,
    command: str,
    made: str,
    book: Path,
) -> list[Slide]:
    """The slides of a chapter.

    command: what the class runs. made: profile, date and machine of the execution, for the first
    slide. Figures are named as files beside the deck (`figure_files`).
    """
    parts = sections(notebook)
    lines = list(ledger["claims"]) if ledger else []
    deck = [
        Slide(
            "",
            f"<h1>{escape(header.title)}</h1><p class='made'>{escape(made)}</p>",
            _list(plan.goals) if plan else "",
        )
    ]
    found = prose.paragraphs(parts[0].text)
    if leads := [p for p in found if p.startswith("**")]:
        deck.append(
            Slide(
                "The question",
                "".join(prose.html(_short(p), book) for p in leads),
                prose.html("\n\n".join(found), book),
            )
        )
    for batch in _batches(lines):
        statements = "".join(f"<li>{escape(x['statement'])}</li>" for x in batch)
        hint = "Everyone writes down which of these will hold here, before the next slide."
        deck.append(Slide("Predict before you look", f"<ol>{statements}</ol>", f"<p>{hint}</p>"))
    for part in parts:
        for figure in part.figures:
            image = f'<img src="figures/{figure.file}" alt="{escape(figure.alt, quote=True)}">'
            notes = prose.html(figure.caption, book) + f"<p>{escape(figure.alt)}</p>"
            title = part.title or header.title
            deck.append(Slide(title, image, notes + prose.html(part.text, book)))
    for batch in _batches(lines):
        deck.append(Slide("Verdicts", _verdicts(batch), _reasons(batch)))
    for part in parts:
        if part.title == "Why it could be wrong":
            bullets = re.findall(r"(?ms)^- (.*?)(?=^- |\Z)", part.text)
            short = "\n".join(f"- {prose.first_sentence(' '.join(b.split()))}" for b in bullets[:6])
            body = prose.html(short, book) if bullets else prose.html(part.text, book)
            deck.append(Slide(part.title, body, prose.html(part.text, book)))
        if part.title == "Discussion" and (asked := prose.LEAD.search(part.text)):
            question = prose.html(" ".join(asked[1].split()), book)
            deck.append(Slide("Discussion", question, prose.html(part.text, book)))
    if plan:
        run = f"<pre>{escape(command)}</pre><p>{escape(plan.run.look_at)}</p>"
        deck += [
            Slide("Run it again", run),
            Slide("To keep", _list(plan.handout)),
        ]
    return deck


def _short(paragraph: str) -> str:
    """The heading in bold of a paragraph and its first sentence."""
    head = prose.LEAD.match(paragraph)
    rest = paragraph[head.end() :].strip() if head else ""
    return f"**{head[1]}** {prose.first_sentence(rest)}" if head and rest else paragraph


def _batches(lines: Sequence[Line]) -> list[Sequence[Line]]:
    """Lines for as few slides as hold them, as evenly as can be."""
    slides = max(1, -(-len(lines) // A_SLIDE))
    size = -(-len(lines) // slides)
    return [lines[i : i + size] for i in range(0, len(lines), size or 1)]


def _list(items: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"


def _verdicts(lines: Sequence[Line]) -> str:
    head = "".join(f"<th scope='col'>{x}</th>" for x in ("claim", "published", "this run"))
    body = "".join(
        f"<tr><td>{escape(x['statement'])}</td><td>{escape(signed(x['published']))}</td>"
        f"<td><b>{escape(told(x))}</b> {escape(estimated(x))}</td></tr>"
        for x in lines
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _reasons(lines: Sequence[Line]) -> str:
    return "".join(
        f"<p>{escape(x['statement'])} {escape(signed(x['effect']))}. "
        f"{escape(signed(x['reason']))}</p>"
        for x in lines
    )


def figure_files(notebook: Mapping[str, Any]) -> dict[str, bytes]:
    """The pictures of a deck, by name below `figures/`."""
    return {figure.file: figure.data for figure in figures(notebook)}


def page(title: str, deck: Sequence[Slide]) -> str:
    """The deck as one HTML file beside `reveal/`, `math/` and `figures/`; nothing is fetched."""
    shown = "\n".join(
        f"<section>{f'<h2>{prose_title(s.title)}</h2>' if s.title else ''}{s.body}"
        f"{f'<aside class=notes>{s.notes}</aside>' if s.notes else ''}</section>"
        for s in deck
    )
    maths = "\\(" in shown or "\\[" in shown
    return PAGE.format(
        title=escape(title), slides=shown, style=STYLE, math=MATH if maths else "", start=START
    )


def prose_title(text: str) -> str:
    return escape(re.sub(r"[*`$]", "", text))


STYLE = """
:root { --text: #1b2430; --quiet: #556070; --line: #cdd3da; --back: #ffffff; }
body { background: var(--back); color: var(--text); }
.reveal { font: 26px/1.35 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  color: var(--text); }
.reveal .slides { text-align: left; }
.reveal h1 { font-size: 1.9em; line-height: 1.15; margin: 0 0 .6em; }
.reveal h2 { font-size: 1.2em; line-height: 1.2; margin: 0 0 .6em; color: #174a7c; }
.reveal p, .reveal li { margin: 0 0 .5em; }
.reveal ul, .reveal ol { padding-left: 1.2em; margin: 0; }
.reveal img { display: block; margin: 0 auto; max-width: 100%; width: 100%; height: 540px;
  object-fit: contain; }
.reveal table { border-collapse: collapse; font-size: .72em; width: 100%; }
.reveal th, .reveal td { border-bottom: 1px solid var(--line); padding: .35em .5em;
  vertical-align: top; text-align: left; }
.reveal pre { font: .72em/1.4 ui-monospace, "DejaVu Sans Mono", monospace; background: #f1f4f7;
  padding: .6em; white-space: pre-wrap; margin: 0 0 .6em; }
.reveal code { font-size: .9em; }
.reveal b, .reveal strong, .reveal th, .reveal h1, .reveal h2 { font-weight: 700; }
.reveal em { font-style: italic; }
.reveal .made { color: var(--quiet); font-size: .8em; }
.reveal aside.notes { display: none; }
@page { size: 1180px 700px; margin: 0; }
html.on-paper, html.on-paper body { height: auto; overflow: visible; }
.on-paper .reveal, .on-paper .slides { position: static; width: auto; height: auto;
  overflow: visible; }
.on-paper .reveal .slides > section { display: block !important; position: static;
  visibility: visible; box-sizing: border-box; width: 1180px; height: 700px; padding: 35px 59px;
  overflow: hidden; break-after: page; }
.on-paper .reveal .slides > section:last-child { break-after: auto; }
"""

MATH = '<script src="math/tex-svg.js"></script>'

# On paper the slides lie one after the other as they stand: reveal's own print view is laid out
# some frames after the page has loaded, and a browser without a window does not wait for it.
START = """
if (location.search === "?print-pdf")
  document.documentElement.classList.add("on-paper");
else Reveal.initialize({width: 1180, height: 700, margin: 0.05, center: false, hash: true,
  transition: "none", slideNumber: "c/t", plugins: [RevealNotes]});
"""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="reveal/reset.css">
<link rel="stylesheet" href="reveal/reveal.css">
<style>{style}</style>
{math}
</head>
<body>
<div class="reveal"><main class="slides">
{slides}
</main></div>
<script src="reveal/reveal.js"></script>
<script src="reveal/notes.js"></script>
<script>{start}</script>
</body>
</html>
"""
