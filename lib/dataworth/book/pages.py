"""Generated parts of the book: the claims ledger of the front page and the run-time page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dataworth.book.chapters import Chapter, Header
from dataworth.book.layout import Layout
from dataworth.book.page import table
from dataworth.book.progress import count, spell
from dataworth.claims import counts, judged, number
from dataworth.errors import UserError

VERDICTS = ("supported", "contradicted", "inconclusive")
SLOWEST = 8


def read_results(chapters: list[Chapter], layout: Layout) -> dict[str, dict[str, Any]]:
    """results/<chapter>.json of the chapters that wrote one, by chapter id."""
    found = {}
    for chapter in chapters:
        path = layout.results / f"{chapter.id}.json"
        if path.is_file():
            found[chapter.id] = read_result(path)
    return found


def read_result(path: Path) -> dict[str, Any]:
    """One results file. Raises UserError where it is damaged or a verdict is unknown."""
    try:
        result: dict[str, Any] = json.loads(path.read_text())
    except json.JSONDecodeError:
        raise UserError(f"{path} is not JSON; delete it and build again.") from None
    for claim in result.get("claims", []):
        if claim.get("verdict") not in VERDICTS:
            raise UserError(
                f"{path}: claim '{claim.get('id')}' has the verdict {claim.get('verdict')!r}; "
                f"allowed are {', '.join(VERDICTS)}."
            )
    return result


def ledger(
    chapters: list[Chapter],
    results: dict[str, dict[str, Any]],
    recorded: dict[str, list[dict[str, Any]]],
) -> str:
    """The table of all claims, in reading order; `recorded`: a chapter's kept larger runs."""
    body = []
    for chapter in chapters:
        past = _past(recorded.get(chapter.id, []))
        for claim in results.get(chapter.id, {}).get("claims", []):
            published = claim.get("published")
            source = claim.get("source") or ""
            said = "" if published in (None, "") else number(published)
            body.append(
                [
                    f"{claim['statement']} ([chapter](/{chapter.docname}))",
                    f"{said} ({source})" if said and source else said or source,
                    judged(claim),
                    " ".join(
                        f"{judged(c)} ({profile})" for profile, c in past.get(claim["id"], [])
                    ),
                ]
            )
    if not body:
        return "No chapter of this build has judged a claim."
    head = ["claim", "published", "this run [interval]", "recorded larger run [interval]"]
    return table(head, body)


def _past(recorded: list[dict[str, Any]]) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """By claim: what each recorded run (profile, claim) says of it."""
    found: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for record in recorded:
        for claim in record["claims"]:
            found.setdefault(claim["id"], []).append((record["profile"], claim))
    return found


def tally(results: dict[str, dict[str, Any]], recorded: dict[str, list[dict[str, Any]]]) -> str:
    """How many claims have which verdict in this build and in the largest recorded runs, and where
    the two contradict each other."""
    here = {(id_, c["id"]): c for id_, r in results.items() for c in r["claims"]}
    there = {
        (id_, claim): said[-1][1]
        for id_, kept in recorded.items()
        for claim, said in _past(kept).items()
    }
    both = [(here[key], there[key]) for key in here if key in there]
    text = f"This build judges {count(len(here), 'claim')}: {counts(list(here.values()))}. "
    if not both:
        return text
    pairs = [(a["verdict"], b["verdict"]) for a, b in both]
    against = sum({*pair} == {"supported", "contradicted"} for pair in pairs)
    return (
        f"{text}The largest recorded run of a chapter judges {len(both)} of them: "
        f"{counts([past for _, past in both])}. {sum(a == b for a, b in pairs)} have one verdict "
        f"in both runs; {against or 'none'} {'is' if against == 1 else 'are'} supported by one and "
        "contradicted by the other."
    )


def front_page(template: str, parts: dict[str, str]) -> str:
    """Fill the lines `% dataworth: <name>` of the hand-written front page.

    Raises UserError for a name that nothing fills.
    """
    lines = []
    for line in template.splitlines():
        if line.startswith("% dataworth:"):
            name = line.removeprefix("% dataworth:").strip()
            if name not in parts:
                raise UserError(f"The front page asks for '{name}'; known are {', '.join(parts)}.")
            lines.append(parts[name])
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def scale_line(layout: Layout, records: dict[str, dict[str, Any]]) -> str:
    """Which profile this build is, when it was executed and on what."""
    total = sum(r["wall_s"] for r in records.values())
    newest = max((r["finished"] for r in records.values()), default="never")[:10]
    machine = next(iter(records.values()))["device"] if records else None
    text = f"This build uses the profile **{layout.profile}**. "
    if machine:
        text += (
            f"Executing {count(len(records), 'chapter')} took "
            f"{spell(total)} on {count(machine['cores'], 'core')} "
            f"({machine['processor']}, GPU: {machine['gpu'] or 'none'}), last on {newest}. "
        )
    if layout.profile == "smoke":
        text += "It only shows that everything runs: its numbers and verdicts mean nothing. "
    return text + "[Run times](run_times) lists every part."


def run_times(
    layout: Layout,
    chapters: list[Chapter],
    headers: dict[str, Header],
    records: dict[str, dict[str, Any]],
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
                f"`{record['commit']}`" if record["commit"] else "",
            ]
        )
        cells = sorted(enumerate(record["cells"]), key=lambda c: -c[1]["seconds"])[:SLOWEST]
        slow = [
            [str(i + 1), f"`` {c['line'][:70]} ``", f"{c['seconds']:.2f}"]
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
            f"- {m['processor']}, {count(m['cores'], 'core')}, {m['memory_gb']} GB memory, "
            f"GPU: {m['gpu'] or 'none'}, {m['system']}"
            for m in machines.values()
        ),
        "\n## Versions\n",
        table(["package", "version"], [[n, v] for n, v in versions.items()]),
        "\n## Where the time goes\n",
        *details,
    ]
    return "\n".join(parts) + "\n"
