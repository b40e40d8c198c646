"""Generated parts of the book: the ledger of all claims, its counts, and the run-time page."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from inspect import signature

from dataworth.book.chapters import Chapter, Header
from dataworth.book.layout import Layout
from dataworth.book.page import anchor, table
from dataworth.book.record import Record
from dataworth.claims import (
    OTHER,
    Ledger,
    Line,
    again,
    badge,
    counts,
    estimated,
    read_ledger,
    rule,
    spread,
    standing,
    told,
)
from dataworth.display import count, spell
from dataworth.errors import UserError
from dataworth.markdown import code, literal
from dataworth.verdicts import DEFINITE, Verdict, number, p_value, q_values, wrong

SLOWEST = 8
MARK = "% dataworth:"


def read_results(chapters: list[Chapter], layout: Layout) -> dict[str, Ledger]:
    """results/<chapter>.json of the chapters that wrote one, by chapter id.

    Raises UserError where one is damaged.
    """
    found = {}
    for chapter in chapters:
        path = layout.results / f"{chapter.id}.json"
        if path.is_file():
            found[chapter.id] = read_ledger(path, layout.show(path))
    return found


def ledger(
    chapters: list[Chapter],
    results: dict[str, Ledger],
    recorded: dict[str, list[Ledger]],
    parts: Mapping[str, str],
) -> str:
    """The tables of all claims in reading order, one a chapter, under headings by part and chapter.

    recorded: a chapter's kept larger runs. parts: caption of the part by document name. A row has
    an `anchor`.
    """
    q, found = of_all(results), list[str]()
    part = ""
    for chapter in chapters:
        if not (kept := results.get(chapter.id)) or not kept["claims"]:
            continue
        if (own := parts.get(chapter.docname, "")) != part:
            part = own
            found += [f"## {literal(part)}", ""]
        found += [f"### [{literal(kept['title'])}](/{chapter.docname})", ""]
        body = []
        for line in kept["claims"]:
            said, source = literal(line["published"]), literal(line["source"])
            past = [
                f"{standing(line, old)} {literal(estimated(old))} ({literal(larger['profile'])})"
                for larger in recorded.get(chapter.id, [])
                for old in larger["claims"]
                if old["id"] == line["id"]
            ]
            here = [f"{badge(line)} {literal(estimated(line))}"]
            if (chapter.id, line["id"]) in q:
                here.append(_told_q(q[chapter.id, line["id"]]))
            if control := line.get("control"):
                here.append(f"control: {literal(control)}")
            to = anchor(chapter.id, line["id"])
            body.append(
                [
                    f"[{literal(line['statement'])} [#](#{to})]{{#{to}}}",
                    f"{said} ({source})" if said and source else said or source,
                    "; ".join(here),
                    " ".join(past),
                ]
            )
        head = ["claim", "published", "this run [interval]", "recorded larger run [interval]"]
        found += [table(head, body, "dataworth-ledger"), ""]
    return "\n".join(found) if found else "No chapter of this build has evaluated a claim."


def of_all(results: dict[str, Ledger]) -> dict[tuple[str, str], float]:
    """The q-values of the claims of all chapters among each other, by chapter and id; those that
    are not measurable or not identified have none."""
    tested = {
        (id_, line["id"]): p_value(rule(line), spread(line))
        for id_, kept in results.items()
        for line in kept["claims"]
        if line["verdict"] != Verdict.NOT_MEASURABLE
    }
    return q_values(tested)


def _told_q(q: float) -> str:
    return "q < 0.001" if q < 0.001 else f"q = {q:.2g}"


def by_chance(lines: Sequence[Line]) -> str:
    """How many of the definite verdicts are expected to be wrong by chance: the sum of the shares
    of the estimates' distributions on the other side (`verdicts.wrong`)."""
    definite = [line for line in lines if line["verdict"] in DEFINITE]
    if not definite:
        return ""
    expected = sum(wrong(rule(x), spread(x), Verdict(x["verdict"])) for x in definite)
    return (
        f"Of {count(len(definite), 'definite verdict')} (supported, contradicted, no effect) about "
        f"{number(round(expected, 1))} {'is' if expected < 1.05 else 'are'} expected to be wrong "
        "by chance. "
    )


def tally(results: dict[str, Ledger], recorded: dict[str, list[Ledger]]) -> str:
    """How many claims have which verdict in this build and in the largest recorded runs, and where
    the two contradict each other. A recorded verdict on another definition does not count."""
    here = {(id_, line["id"]): line for id_, kept in results.items() for line in kept["claims"]}
    there: dict[tuple[str, str], Line] = {}
    other = 0
    for id_, kept in recorded.items():
        for record in kept:
            there |= {(id_, line["id"]): line for line in record["claims"]}
    both = []
    for key in here.keys() & there.keys():
        if past := again(here[key], there[key]):
            both.append((here[key], past))
        else:
            other += 1
    text = f"This build evaluates {count(len(here), 'claim')}: {counts(list(here.values()))}. "
    text += by_chance(list(here.values()))
    if both:
        pairs = [(a["verdict"], b["verdict"]) for a, b in both]
        against = sum({*pair} == {"supported", "contradicted"} for pair in pairs)
        apart = sum(a["verdict"] == b["verdict"] and told(a) != told(b) for a, b in both)
        text += (
            f"The largest recorded run of a chapter evaluates {len(both)} of them: "
            f"{counts([past for _, past in both])}. {sum(a == b for a, b in pairs)} have one "
            f"verdict in both runs; {against or 'none'} {'is' if against == 1 else 'are'} "
            "supported by one and contradicted by the other"
            f"{f', {apart} contradicted from opposite sides' if apart else ''}. "
            f"{by_chance([past for _, past in both])}"
        )
    if other:
        text += (
            f"Of {count(other, 'claim')} the recorded verdict is not counted: it was "
            f"{OTHER} or unit."
        )
    return text.rstrip() + " "


def filled(shown: str, template: str, parts: Mapping[str, Callable[..., str]]) -> str:
    """Fill the lines `% dataworth: <name> <words>` of a hand-written page (`shown` is what to call
    it): each becomes what the part of that name makes of the words.

    Raises UserError for a name that nothing fills, and what a part raises.
    """
    lines = []
    for line in template.splitlines():
        if line.startswith(MARK):
            name, *words = line.removeprefix(MARK).split() or [""]
            if name not in parts:
                raise UserError(f"{shown} asks for '{name}'; known are {', '.join(parts)}.")
            try:
                signature(parts[name]).bind(*words)
            except TypeError as error:
                raise UserError(f"{shown}: '{name}' does not take '{' '.join(words)}'.") from error
            try:
                lines.append(parts[name](*words))
            except UserError as error:
                raise UserError(f"{shown}: {error}") from error
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def scale_line(layout: Layout, records: dict[str, Record]) -> str:
    """Which profile this build is, when it was executed and on what."""
    busy, until = 0.0, 0.0  # two chapters at a time count once
    for begun, ended in sorted(
        (_clock(r["started"]), _clock(r["finished"])) for r in records.values()
    ):
        busy += max(0.0, ended - max(begun, until))
        until = max(until, ended)
    newest = max((r["finished"] for r in records.values()), default="never")[:10]
    machine = next(iter(records.values()))["device"] if records else None
    text = f"This build uses the profile **{layout.profile}**. "
    if machine:
        text += (
            f"Executing {count(len(records), 'chapter')} took "
            f"{spell(busy)} on {count(machine['cores'], 'core')} "
            f"({literal(machine['processor'])}, GPU: {literal(machine['gpu'] or 'none')}), "
            f"last on {newest}. "
        )
    if layout.reads:
        text += "The analysis was executed on kept runs; no model was trained for it. "
    if layout.profile == "smoke":
        text += "It only shows that everything runs: its numbers and verdicts mean nothing. "
    return text + "[Run times](run_times) lists every part."


def _clock(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def run_times(
    layout: Layout,
    chapters: list[Chapter],
    headers: dict[str, Header],
    records: dict[str, Record],
) -> str:
    """The page of durations, devices and versions."""
    overview, details = [], []
    for chapter in chapters:
        record, header = records[chapter.id], headers[chapter.id]
        expected = header.expected_minutes.get(layout.profile)
        overview.append(
            [
                f"[{header.title}](/{chapter.docname})",
                spell(record["wall_s"]),
                "not stated" if expected is None else spell(60 * expected),
                f"{record['peak_memory_mb']} MB",
                record["finished"],
                code(record["commit"] or ""),
            ]
        )
        cells = sorted(enumerate(record["cells"]), key=lambda c: -c[1]["seconds"])[:SLOWEST]
        slow = [
            [str(i + 1), code(c["line"][:70]), f"{c['seconds']:.2f}"]
            for i, c in sorted(cells)
            if c["seconds"] >= 0.01
        ]
        details.append(f"### {header.title}\n")
        if slow:
            details.append(table(["code cell", "first line", "seconds"], slow) + "\n")
        else:
            details.append("No code cell took a hundredth of a second.\n")
    machines = {json.dumps(r["device"], sort_keys=True): r["device"] for r in records.values()}
    versions = {n: v for r in records.values() for n, v in r["versions"].items()}
    parts = [
        "# Run times and environment\n",
        f"Profile **{layout.profile}**. A chapter whose runs are stored executes in seconds: "
        "the time below is that of the last execution, the expected time holds for an empty "
        "store.\n",
        table(["chapter", "executed in", "expected", "peak memory", "finished", "commit"], overview)
        if overview
        else "This book has no executed chapter.",
        "\n## Devices\n",
        *(
            "- "
            + literal(
                f"{m['processor']}, {count(m['cores'], 'core')}, {m['memory_gb']} GB memory, "
                f"GPU: {m['gpu'] or 'none'}, {m['system']}"
            )
            for m in machines.values()
        ),
        "\n## Versions\n",
        table(["package", "version"], [[n, v] for n, v in versions.items()]),
        "\n## Where the time goes\n",
        *details,
    ]
    return "\n".join(parts) + "\n"
