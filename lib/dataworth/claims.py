"""Claims and verdicts: what a paper says, what our runs say, and whether the two agree.

A claim names the region of values that would bear it out. The verdict follows from the interval of
our estimate alone: inside the region, outside it, or neither.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from html import escape
from pathlib import Path
from typing import Any

from dataworth.paths import project_root, recorded_runs


class Verdict(StrEnum):
    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Claim:
    """One line of the ledger.

    published: the paper's number in words. estimate, interval: ours, in `unit`; interval ends may
    be infinite. region: the values that agree with the claim. effect: what the estimate means, in
    plain words. reason: why the verdict is what it is.
    """

    id: str
    statement: str
    source: str
    published: str
    estimate: float
    interval: tuple[float, float]
    region: tuple[float, float]
    unit: str
    effect: str
    verdict: Verdict
    reason: str


def judge(interval: tuple[float, float], region: tuple[float, float]) -> Verdict:
    """Supported if the interval lies in the region, contradicted if they do not meet.

    Raises ValueError if an interval is upside down. NaN ends (unidentified) are inconclusive.
    """
    low, high = interval
    if math.isnan(low) or math.isnan(high):
        return Verdict.INCONCLUSIVE
    if low > high or region[0] > region[1]:
        raise ValueError(f"interval {interval} or region {region} has its ends the wrong way round")
    if region[0] <= low and high <= region[1]:
        return Verdict.SUPPORTED
    if high < region[0] or low > region[1]:
        return Verdict.CONTRADICTED
    return Verdict.INCONCLUSIVE


def claim(
    id: str,
    statement: str,
    *,
    source: str,
    published: str,
    estimate: float,
    interval: tuple[float, float],
    region: tuple[float, float],
    unit: str,
    effect: str,
) -> Claim:
    """A claim with its verdict computed (`judge`)."""
    verdict = judge(interval, region)
    where = {
        Verdict.SUPPORTED: "lies inside",
        Verdict.CONTRADICTED: "lies outside",
        Verdict.INCONCLUSIVE: "reaches beyond",
    }[verdict]
    if any(map(math.isnan, interval)):
        reason = "The runs do not identify this quantity."
    else:
        reason = f"The interval {span(interval)} {where} the claimed range {span(region)}."
    return Claim(
        id, statement, source, published, float(estimate), (float(interval[0]), float(interval[1])),
        region, unit, effect, verdict, reason,
    )  # fmt: skip


def write(
    chapter: str,
    title: str,
    claims: Sequence[Claim],
    *,
    evidence: dict[str, Any],
    provenance: dict[str, Any],
) -> Path:
    """Write the chapter's ledger to `<results>/<chapter>.json` and give its path.

    evidence: the numbers behind the figures (curves, fits), so that a larger run can be recorded
    and drawn beside this one (`recorded`).

    The folder is `DATAWORTH_RESULTS` (set by the book's runner), else `build/results`. Infinite and
    missing numbers become "inf", "-inf" and null, so that the file is plain JSON.
    """
    folder = Path(os.environ.get("DATAWORTH_RESULTS", "build/results"))
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "chapter": chapter,
        "title": title,
        "profile": os.environ.get("DATAWORTH_PROFILE", "custom"),
        "claims": [asdict(c) for c in claims],
        "evidence": evidence,
        "provenance": provenance,
    }
    path = folder / f"{chapter}.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(_plain(content), indent=1, allow_nan=False) + "\n")
    temporary.replace(path)
    return path


def recordings(chapter: str) -> list[dict[str, Any]]:
    """The ledgers of the chapter's recorded runs, by profile (`paths.recorded_runs`)."""
    root = project_root()
    return [json.loads(path.read_text()) for path in recorded_runs(root, chapter)] if root else []


def recorded(chapter: str) -> dict[str, Any] | None:
    """The last of `recordings`, the largest run, to draw beside this one; what `write` made of
    infinite and missing numbers in its evidence is undone. None if there is none."""
    if not (found := recordings(chapter)):
        return None
    last = found[-1]
    return last | {"evidence": _numbers(last["evidence"])} if "evidence" in last else last


def table(claims: Sequence[Claim], chapter: str | None = None) -> Any:
    """The verdicts as a table for a page: each claim with what its estimate means, the published
    number, this run, and a column for each of the chapter's recorded runs."""
    from IPython.display import HTML

    kept = recordings(chapter) if chapter else []
    head = ["claim", "published", "this run [95 % interval]"]
    head += [f"recorded run, {record['profile']}" for record in kept]
    past = [{c["id"]: c for c in record["claims"]} for record in kept]
    rows = [
        [
            f'{escape(c.statement)}<div class="effect">{escape(c.effect)}</div>',
            escape(c.published),
            judged(asdict(c)),
            *(judged(found[c.id]) if c.id in found else "" for found in past),
        ]
        for c in claims
    ]
    return HTML(
        '<table class="table dataworth-verdicts"><thead><tr>'
        + "".join(f"<th>{escape(name)}</th>" for name in head)
        + "</tr></thead><tbody>"
        + "".join(f"<tr>{''.join(f'<td>{x}</td>' for x in row)}</tr>" for row in rows)
        + "</tbody></table>"
    )


def judged(claim: dict[str, Any]) -> str:
    """Verdict (in words; colour only repeats it), estimate, interval and unit of a line of a
    ledger, as HTML."""
    verdict = escape(claim["verdict"])
    badge = f'<span class="verdict verdict-{verdict}">{verdict}</span>'
    return f"{badge} {escape(estimated(claim))}"


def estimated(claim: dict[str, Any]) -> str:
    """Estimate, interval and unit of a line of a ledger."""
    text = number(claim.get("estimate"))
    if interval := claim.get("interval"):
        text += f" {span(interval)}"
    return f"{text} {claim.get('unit') or ''}".strip()


def counts(claims: Sequence[dict[str, Any]]) -> str:
    """How many lines of a ledger have which verdict: "2 supported, 0 contradicted, ..."."""
    verdicts = [claim["verdict"] for claim in claims]
    return ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in Verdict)


def number(value: float | str | None) -> str:
    """Three significant digits for a reader; "inf" and null as in a results file, text as it is."""
    if value in ("inf", "-inf"):
        value = float(value)
    if isinstance(value, str):
        return value
    if value is None or math.isnan(value):
        return "not identified"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if 1e3 <= abs(value) < 1e7:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"


def span(interval: Sequence[float | str | None]) -> str:
    """An interval for a reader, such as "[0.4, ∞]"."""
    return f"[{number(interval[0])}, {number(interval[1])}]"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value


def _numbers(value: Any) -> Any:
    """The inverse of `_plain`."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return {None: math.nan, "inf": math.inf, "-inf": -math.inf}.get(value, value)
