"""What lies on the desk: lesson plan, quiz with and without answers, handout; each prints."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from dataworth.book.chapters import Header
from dataworth.book.record import Record
from dataworth.book.take import Figure
from dataworth.claims import Ledger, estimated, told
from dataworth.display import count, spell
from dataworth.teach import prose
from dataworth.teach.plans import Plan


def lesson(
    header: Header,
    plan: Plan,
    record: Record,
    ledger: Ledger | None,
    command: str,
    ahead: str,
    book: Path,
) -> str:
    """The lesson plan. ahead: what the run in class computes, by the forecast of this machine."""
    minutes = "\n".join(f"| {what} | {m} |" for what, m in plan.minutes.items())
    quick = header.expected_minutes.get("quick")
    answers = "\n".join(
        f"- {line['statement']} **{told(line)}**, {estimated(line)}. {line['effect']}"
        for line in (ledger["claims"] if ledger else [])
    )
    machine = record["device"]
    text = f"""
## Goals

{_list(plan.goals)}

## Before class

{_list(plan.prerequisites)}

## {count(sum(plan.minutes.values()), "minute")}

| what | minutes |
| --- | --- |
{minutes}

## What it needs

The chapter was executed in {spell(record["wall_s"])} with up to {record["peak_memory_mb"]:,} MB of
memory (measured, profile {record["profile"]}, {count(machine["cores"], "core")} of
{machine["processor"]}); runs that were stored count as nothing.
{f"With nothing stored, quick takes about {spell(60 * quick)}." if quick else ""}

## The run in class

    {command}

{ahead} {plan.run.look_at}

## What this run found

Keep it back until everyone has written down a prediction.

{answers or "The chapter makes no claim."}
"""
    return page(f"Lesson: {header.title}", prose.html(text, book))


def quiz(header: Header, plan: Plan, answers: bool, book: Path) -> str:
    """The questions, each with its lettered choices; with `answers` the right one and why."""
    parts = []
    for number, one in enumerate(plan.quiz, 1):
        choices = "\n".join(
            f"{'**' if right else ''}({chr(96 + i)}) {choice}{'**' if right else ''}\n"
            for i, choice in enumerate(one.choices, 1)
            for right in [answers and i == one.answer]
        )
        why = f"\nAnswer ({chr(96 + one.answer)}). {one.why}\n" if answers else ""
        parts.append(f"### {number}. {one.question}\n\n{choices}{why}")
    title = f"Quiz{', with answers' if answers else ''}: {header.title}"
    return page(title, prose.html("\n\n".join(parts), book))


def handout(
    header: Header, plan: Plan, figures: Sequence[Figure], asked: str, command: str, book: Path
) -> str:
    """One sheet for the class: the question, the chapter's first figure, what to keep, the run."""
    picture = ""
    if figures:
        of = figures[0]
        picture = (
            f'<figure><img src="figures/{of.file}" alt="{escape(of.alt, quote=True)}">'
            f"<figcaption>{prose.html(of.caption, book)}</figcaption></figure>"
        )
    prediction = "<p class='lines'>My prediction, before I look:</p>"
    keep = prose.html(f"## To keep\n\n{_list(plan.handout)}\n", book)
    rest = f"## Run it again\n\n    {command}\n\n{plan.run.look_at}\n"
    if asked:
        rest += f"\n## To discuss\n\n{asked}\n"
    return page(header.title, prediction + picture + keep + prose.html(rest, book))


def _list(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def page(title: str, body: str) -> str:
    """A page that stands alone and prints on paper."""
    math = '<script src="math/tex-svg.js"></script>' if "\\(" in body else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
{math}
</head>
<body><main>
<h1>{escape(title)}</h1>
{body}
</main></body>
</html>
"""


STYLE = """
body { font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; color: #1b2430;
  background: #fff; margin: 0; }
main { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; }
h2 { font-size: 1.15rem; color: #174a7c; margin: 1.4rem 0 .4rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; }
table { border-collapse: collapse; } th, td { border-bottom: 1px solid #cdd3da; text-align: left;
  padding: .2rem 1rem .2rem 0; vertical-align: top; }
pre { background: #f1f4f7; padding: .6rem; white-space: pre-wrap; }
img { max-width: 100%; } figure { margin: 1rem 0; } figcaption { font-size: .85rem; }
.lines { border: 1px solid #cdd3da; min-height: 5rem; padding: .5rem; }
@media print { main { margin: 0; max-width: none; } h2, h3 { break-after: avoid; }
  figure, pre, table { break-inside: avoid; } }
"""
