"""What the commands list about chapters and their claims: rows for `--json`, lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dataworth import claims_file
from dataworth.book import parameters
from dataworth.book.chapters import Chapter
from dataworth.book.layout import Layout
from dataworth.claims import Ledger, as_json, counts, estimated, recorded_ledgers, told
from dataworth.display import count, moment
from dataworth.verdicts import span
from dataworth.why import differences, summary

if TYPE_CHECKING:
    from dataworth.book.tasks import Plan


def chapters(plan: Plan) -> list[dict[str, Any]]:
    """One row a chapter. state: "current", or why it must be executed; changed: every difference
    from the stored execution; executed: when that ended (ISO 8601), None where there is none;
    expected_minutes: with nothing stored, as the header says; measured_minutes: of the stored
    execution."""
    from dataworth.book import execute

    rows = []
    for c in plan.chapters:
        header, record = plan.headers[c.id], execute.read_record(c, plan.layout)
        rows.append(
            {
                "chapter": c.id,
                "title": header.title,
                "device": header.device,
                "expected_minutes": header.expected_minutes.get(plan.layout.profile),
                "measured_minutes": record and round(record["wall_s"] / 60, 3),
                "state": plan.stale.get(c.id, "current"),
                "changed": differences(record["key"], plan.keys[c.id]) if record else [],
                "executed": record and record["finished"],
                "parameters": plan.parameters[c.id].values,
            }
        )
    return rows


def costs(plan: Plan) -> Iterator[dict[str, Any]]:
    """One row a chapter: its validated parameters, doubts about them, and what it would cost: one
    mapping a part, None where the chapter cannot tell."""
    for c in plan.chapters:
        resolved = plan.parameters[c.id]
        cost = parameters.cost(resolved)
        yield {
            "chapter": c.id,
            "profile": plan.layout.profile,
            "parameters": resolved.values,
            "doubts": parameters.doubts(resolved),
            "cost": [cost] if isinstance(cost, dict) else cost and list(cost),
        }


def verdict_lines(results: Mapping[str, Ledger], reasons: bool) -> Iterator[str]:
    """A block a claim under the heading of its chapter, then how many have which verdict."""
    claims = []
    for chapter, result in results.items():
        yield f"{chapter}: {result['title']}" if result["title"] else chapter
        for line in result["claims"]:
            claims.append(line)
            yield f"  {line['id']}: {told(line)}"
            yield f"      {line['statement']}"
            yield f"      {estimated(line)}"
            if control := line.get("control"):
                yield f"      control: {control}"
            if reasons and line["reason"]:
                yield f"      {line['reason']}"
        yield ""
    yield f"{count(len(claims), 'claim')}: {counts(claims)}"


def history(found: Iterable[Chapter], layout: Layout) -> Iterator[dict[str, Any]]:
    """One row a claim: the range that agrees with it, since when it stands, the recorded runs."""
    for chapter in found:
        if not chapter.claims.is_file():
            continue
        stated = claims_file.read(chapter.claims, layout.show(chapter.claims))
        kept = recorded_ledgers(layout.root, chapter.id)[0]
        runs = [{"profile": k["profile"], "started": k["run"]["started"]} for k in kept]
        for id, since in stated.since().items():
            yield {
                "chapter": chapter.id,
                "claim": id,
                "region": as_json(list(stated.claims[id].region)),
                "since": since,
                "recorded": runs,
            }


def history_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A block a claim, under the name of its chapter."""
    last = None
    for row in rows:
        if row["chapter"] != last:
            last = row["chapter"]
            yield last
        yield f"  {row['claim']}: {span(row['region'])} since {row['since']}"
        if runs := ", ".join(f"{run['profile']} {run['started'][:10]}" for run in row["recorded"]):
            yield f"      recorded: {runs}"


def runs(chapter: Chapter, layout: Layout) -> list[dict[str, Any]]:
    """One row a finished run of a chapter. differs: name -> its value and that of its profile, None
    where they were not kept; changed: what is not as it was, None where it cannot be told."""
    from dataworth.book import variants

    found = variants.runs(layout.root, chapter)
    rows = []
    for one, today in zip(found, variants.standings(layout.root, chapter, found), strict=True):
        known = one.parameters is not None and today.own is not None
        other = variants.differing(one.parameters or {}, today.own or {}) if known else None
        rows.append(
            {
                "name": one.name,
                "kind": one.kind,
                "profile": one.profile,
                "finished": one.finished,
                "differs": other,
                "changed": today.changed,
                "verdicts": counts(one.ledger["claims"]) if one.ledger else None,
                "folder": layout.show(one.folder) if one.folder else None,
            }
        )
    return rows


def run_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A block a run."""
    from dataworth.book import variants

    for row in rows:
        base = f", profile {row['profile']}" if row["kind"] == "variant" else ""
        yield f"{row['name']}{base}, finished {moment(row['finished'])}"
        yield f"    {row['verdicts'] or 'no claims'}"
        if row["differs"] is None:
            yield "    its parameters were not kept"
        elif row["differs"]:
            yield f"    {variants.told(row['differs'])}"
        if row["changed"]:
            yield f"    changed since: {summary(row['changed'])}"
