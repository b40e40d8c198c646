"""Claims and verdicts: what a paper says, what our runs say, and whether the two agree.

A claim names the region of values that agree with it, in a file of its own (`claims_file`). The
verdict follows from the interval of our estimate alone, by one rule (`verdicts`).
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, Protocol

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict  # pydantic reads typing's only from 3.12 on

from dataworth import claims_file, display
from dataworth.claims_file import Statements
from dataworth.display import plain
from dataworth.errors import UserError, cannot_write
from dataworth.paths import build_dir, project_root, recorded_runs, shown
from dataworth.sealed import Damaged, read_sealed, seal
from dataworth.tables import signed
from dataworth.verdicts import (
    QUANTILES,
    Rule,
    Spread,
    Verdict,
    estimated,
    reason,
    summary,
)

OTHER = "recorded under an older definition"


@dataclass(frozen=True)
class Claim:
    """One line of the ledger.

    published: the paper's number in words; published_number: where it is in `unit`, it or the ends
    of a range. estimate, interval: ours, in `unit`; interval ends may be infinite. region: what
    agrees with the claim. effect: what the estimate means, in plain words. reason: why the verdict
    is what it is, and what would settle an open one. definition: which estimate of which runs.
    matters: the smallest effect that matters, in `unit`, or None. no_effect: the value that means
    none, or None. control: what stands beside the estimate; controls: its numbers, each an
    `estimate` with its `interval` or None. unmeasurable: why nothing is measured here. practice:
    what the verdict means to who has to decide. draws: `summary` of the estimate's, or None.
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
    definition: str
    matters: float | None = None
    no_effect: float | None = None
    control: str = ""
    controls: Sequence[dict[str, Any]] = ()
    unmeasurable: str = ""
    practice: str = ""
    draws: dict[str, Any] | None = None
    published_number: Sequence[float] | None = None


class Bounded(Protocol):
    """A number with its interval: `stats.Estimate`, `fit.Interval`. It may have `draws` (B,), which
    the ledger summarises, and `unmeasurable`, a sentence why nothing is measured."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


@dataclass(frozen=True)
class Judged:
    """The claims of a chapter with their verdicts; a notebook shows them as their `table`."""

    chapter: str
    title: str
    claims: list[Claim]

    def _repr_html_(self) -> str:
        return table(self.claims, self.chapter)

    def __repr__(self) -> str:
        return f"{self.chapter}: {counts(lines(self.claims))}"


Number = float | Literal["inf", "-inf"] | None  # as in a file: null is a number nobody knows
Interval = Annotated[list[Number], Field(min_length=2, max_length=2)]


@with_config(ConfigDict(extra="forbid", strict=True))
class Draws(TypedDict):
    """What a ledger keeps of an estimate's draws: how many are known, and their quantiles at the
    levels 0, 1/400 ... 1, the ends of the 95 % interval among them."""

    count: Annotated[int, Field(gt=0)]
    quantiles: Annotated[list[Number], Field(min_length=QUANTILES, max_length=QUANTILES)]


@with_config(ConfigDict(extra="forbid", strict=True))
class Control(TypedDict):
    """A number that a claim's control quotes; interval: None of a plain number."""

    estimate: Number
    interval: Interval | None


@with_config(ConfigDict(extra="forbid", strict=True))
class Line(TypedDict):
    """A `Claim` as it stands in a file."""

    id: Annotated[str, Field(min_length=1)]
    statement: str
    source: str
    published: str
    estimate: Number
    interval: Interval
    region: Interval
    unit: str
    effect: str
    verdict: Literal[
        "supported", "contradicted", "no effect", "inconclusive", "not measurable here"
    ]
    reason: str
    definition: NotRequired[str]
    matters: NotRequired[float | None]
    no_effect: NotRequired[float | None]
    control: NotRequired[str]
    controls: NotRequired[list[Control]]
    unmeasurable: NotRequired[str]
    practice: NotRequired[str]
    draws: NotRequired[Draws | None]
    published_number: NotRequired[list[Number] | None]


@with_config(ConfigDict(extra="allow", strict=True))
class Machine(TypedDict):
    """What a chapter ran on."""

    processor: str
    cores: int
    memory_gb: float
    gpu: str | None
    system: str


@with_config(ConfigDict(extra="forbid", strict=True))
class Run(TypedDict):
    """When, with what and on what a chapter ran. Times are ISO 8601; commit: None outside git."""

    started: str
    finished: str
    wall_s: float
    versions: dict[str, str]
    device: Machine
    commit: str | None


@with_config(ConfigDict(extra="forbid", strict=True))
class RecordedRun(Run):
    """A `Run` that is kept: with all parameters and the chapter's key, which older ones lack."""

    parameters: NotRequired[dict[str, Any]]
    key: NotRequired[dict[str, Any]]


@with_config(ConfigDict(extra="forbid", strict=True))
class Ledger(TypedDict):
    """A results file: what one run of a chapter says. `run` only in a recorded one."""

    chapter: str
    title: str
    profile: str
    claims: list[Annotated[Line, AfterValidator(lambda line: _follows(line))]]
    evidence: dict[str, Any]
    provenance: dict[str, Any]
    run: NotRequired[RecordedRun]


LEDGER = TypeAdapter(Ledger)


def _follows(line: Line) -> Line:
    """Raises ValueError where the verdict is not that of interval, region and what matters. Lines
    from before there were five verdicts name no value of no effect: theirs are the old three."""
    if (right := _verdict(line)) != line["verdict"]:
        raise ValueError(f"the verdict of '{line['id']}' must be {right} by its interval")
    return line


def _verdict(line: Line) -> Verdict:
    return rule(line).verdict(_pair(line["interval"]), line.get("unmeasurable", ""))


def rule(line: Line) -> Rule:
    """What decides the verdict of a line. Raises ValueError where its fields do not fit."""
    return Rule(_pair(line["region"]), line.get("no_effect"), line.get("matters"))


def spread(line: Line) -> Spread:
    """Where the truth may lie by a line: by the quantiles of its draws, else by its interval."""
    value, interval = _numbers(line["estimate"]), _pair(line["interval"])
    if not (kept := line.get("draws")):
        return Spread(value, interval)
    return Spread(value, interval, _numbers(kept["quantiles"]), kept["count"])


def judge(chapter: str | Statements, estimates: Mapping[str, Bounded], **values: Any) -> Judged:
    """The verdicts on all claims of the chapter (or of a file that was read), in their order.

    estimates: ours, by the claim's id. values: what the file's templates ask for. Raises UserError
    where an id or a value is missing, unknown or does not fit its place.
    """
    stated = claims_file.of(chapter) if isinstance(chapter, str) else chapter
    stated.check(estimates, values)
    name, made = chapter if isinstance(chapter, str) else stated.title, []
    for id in stated.claims:
        e = estimates[id]
        value, low, high = own = (float(e.value), float(e.low), float(e.high))
        fields = stated.filled(id, {**values, **dict(zip(claims_file.OWN, own, strict=True))})
        more = fields.pop("settles"), stated.claims[id].correlation
        fields["unmeasurable"] = getattr(e, "unmeasurable", "") or fields["unmeasurable"]
        by = Rule(fields["region"], fields["no_effect"], fields["matters"])
        verdict = by.verdict((low, high), fields["unmeasurable"])
        if math.isnan(value) and fields["unmeasurable"]:
            fields |= {"control": "", "controls": ()}  # nothing was measured that it could be of
        outcome = by.side((low, high)) if verdict is Verdict.CONTRADICTED else verdict.value
        made.append(
            Claim(
                id=id, estimate=value, interval=(low, high), verdict=verdict,
                reason=reason(by, value, (low, high), verdict, fields["unmeasurable"], *more),
                practice=(fields.pop("practice") or {}).get(outcome, ""),
                draws=summary(getattr(e, "draws", ()), (low, high)), **fields,
            )
        )  # fmt: skip
    return Judged(name, stated.title, made)


def results_dir() -> Path:
    """Where `write` puts ledgers: `DATAWORTH_RESULTS` (set by the book's runner); else
    notebooks/results of the clone's build, whatever the working folder; else its build/results."""
    if folder := os.environ.get("DATAWORTH_RESULTS"):
        return Path(folder)
    root = project_root()
    return build_dir(root) / "notebooks" / "results" if root else Path("build/results")


def write(
    judged: Judged,
    *,
    evidence: dict[str, Any],
    provenance: dict[str, Any],
    cells: dict[str, Any] | None = None,
) -> None:
    """Write the chapter's ledger to `<results_dir>/<chapter>.json`; a script prints the verdicts.

    evidence: the numbers behind the figures (curves, fits), so that a larger run can be recorded
    and drawn beside this one (`recorded`). cells: the means of every run (`studies.base`), so that
    claims of other definitions can be evaluated from the record; they stand in the evidence.

    Infinite and missing numbers become "inf", "-inf" and null, so that the file is plain JSON; it
    ends with its checksum. Raises UserError where the content is not a `Ledger` or cannot be
    written.
    """
    folder = results_dir()
    content = {
        "chapter": judged.chapter,
        "title": judged.title,
        "profile": os.environ.get("DATAWORTH_PROFILE", "custom"),
        "claims": [asdict(c) for c in judged.claims],
        "evidence": evidence if cells is None else {**evidence, "cells": cells},
        "provenance": provenance,
    }
    path = folder / f"{judged.chapter}.json"
    temporary = path.with_suffix(".tmp")
    try:
        text = seal(as_json(content), LEDGER)
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except Damaged as error:
        raise UserError(f"What {judged.chapter} found is not a ledger: {error}.") from None
    except OSError as error:
        raise cannot_write(folder, error, "DATAWORTH_RESULTS") from None
    if display.shell() is None:
        for line in lines(judged.claims):
            display.say(f"{told(line)}: {line['statement']} {estimated(line)}")
        display.say(f"results: {shown(path.absolute())}")


def read_ledger(path: Path, shown: str | None = None) -> Ledger:
    """The ledger in a file that `write` made. shown: what to call the path in a sentence.

    Raises UserError where the file is not a ledger or cannot be read.
    """
    try:
        return read_sealed(path, LEDGER)
    except Damaged as error:
        raise UserError(f"{shown or path} is not a ledger: {error}.") from None
    except OSError as error:
        raise UserError(f"{shown or path} cannot be read: {error.strerror}.") from None


def sealed_ledger(ledger: Ledger) -> str:
    """The text of a ledger's file."""
    return seal(ledger, LEDGER)


def recorded_ledgers(root: Path, chapter: str) -> tuple[list[Ledger], list[str]]:
    """The ledgers of the chapter's recorded runs (`paths.recorded_runs`), by profile, and a
    sentence for each that is left out because it is damaged or of another chapter or profile."""
    found, faults = [], []
    for path in recorded_runs(root, chapter):
        shown = path.relative_to(root).as_posix()
        try:
            ledger = read_ledger(path, shown)
        except UserError as error:
            faults.append(str(error))
            continue
        if (ledger["chapter"], ledger["profile"]) != (chapter, path.parent.name):
            faults.append(
                f"{shown} is not a ledger of its place: it holds chapter '{ledger['chapter']}' "
                f"with profile '{ledger['profile']}'."
            )
        elif "run" not in ledger:
            faults.append(f"{shown} is not a ledger: it does not say when and on what it ran.")
        else:
            found.append(ledger)
    return found, faults


def recordings(chapter: str) -> list[Ledger]:
    """The ledgers of the chapter's recorded runs, by profile; damaged ones are left out."""
    return recorded_ledgers(root, chapter)[0] if (root := project_root()) else []


def recorded(chapter: str) -> dict[str, Any] | None:
    """The last of `recordings`, the largest run, to draw beside this one; what `write` made of
    infinite and missing numbers in its evidence is undone. None if there is none."""
    found = recordings(chapter)
    return {**found[-1], "evidence": _numbers(found[-1]["evidence"])} if found else None


def table(claims: Sequence[Claim], chapter: str) -> str:
    """The verdicts as a table for a page (HTML): each claim with what its estimate means, published
    number, this run and control, and a column for each recorded run (of one on another definition
    or unit the estimate alone). Narrow screens stack a row's cells, each under its `data-head`.
    """
    root = project_root()
    kept, faults = recorded_ledgers(root, chapter) if root else ([], [])
    head = ["claim", "published", "this run [95 % interval]"]
    head += [f"recorded run, {record['profile']}" for record in kept]
    rows = []
    for line in lines(claims):
        below = _below(line.get("control") and f"control: {line['control']}")
        if line["verdict"] not in (Verdict.SUPPORTED, Verdict.CONTRADICTED):
            below += _below(line["reason"])
        cells = [
            f"{_safe(line['statement'])}{_below(line['effect'])}",
            _safe(line["published"]),
            f'{badge(line)} <span class="estimate" data-claim="{_safe(line["id"])}">'
            f"{_safe(estimated(line))}</span>{below}",
        ]
        for record in kept:
            past = _find(record, line["id"])
            cells.append(f"{standing(line, past)} {_safe(estimated(past))}" if past else "")
        rows.append(zip(head, cells, strict=True))
    return (
        '<table class="table dataworth-verdicts"><thead><tr>'
        + "".join(f"<th>{_safe(name)}</th>" for name in head)
        + "</tr></thead><tbody>"
        + "".join(
            "<tr>" + "".join(f'<td data-head="{_safe(h)}">{x}</td>' for h, x in row) + "</tr>"
            for row in rows
        )
        + "</tbody></table>"
        + "".join(f"<p>Left out: {_safe(fault)}</p>" for fault in faults)
    )


def _below(text: str | None) -> str:
    return f'<div class="effect">{_safe(text)}</div>' if text else ""


def lines(claims: Sequence[Claim]) -> list[Line]:
    """The claims as `write` puts them into a file."""
    return [as_json(asdict(c)) for c in claims]


def digest(line: Line, about: Literal["definition", "statement"] = "definition") -> str:
    """What an estimate is of: its definition and unit, and, where a line is from before claims had
    definitions, statement, unit and region. Estimates of unlike digests are not comparable."""
    region = [float(end) if end is not None else None for end in line["region"]]
    of = [line.get(about), line["unit"], *([region] if about == "statement" else [])]
    return sha256(json.dumps(of).encode()).hexdigest()[:16]


def alike(line: Line, past: Line) -> bool:
    """Whether the estimates of two lines are of one quantity (`digest`)."""
    both = line.get("definition") and past.get("definition")
    about: Literal["definition", "statement"] = "definition" if both else "statement"
    return digest(line, about) == digest(past, about)


def again(line: Line, past: Line) -> Line | None:
    """A recorded line with the verdict that its estimate has today: on the region, the smallest
    effect that matters and the value of no effect of `line`, this run's on the same claim. So a
    changed region asks for no new run. None where the two are not `alike`."""
    if not alike(line, past):
        return None
    today: Line = {**past, "region": line["region"], "matters": line.get("matters"),
                   "no_effect": line.get("no_effect")}  # fmt: skip
    return {**today, "verdict": _verdict(today).value}


def comparable(claims: Sequence[Line], kept: Ledger) -> tuple[list[Line], int]:
    """Of the recorded lines on `claims`: those that are `alike`, with their verdicts of today
    (`again`), and how many are not."""
    pairs = [(line, past) for line in claims if (past := _find(kept, line["id"]))]
    same = [today for line, past in pairs if (today := again(line, past))]
    return same, len(pairs) - len(same)


def standing(line: Line, past: Line) -> str:
    """The badge of a recorded line beside this run's line on the same claim, as HTML."""
    if today := again(line, past):
        return badge(today)
    return f'<span class="verdict verdict-other">{OTHER}</span>'


def _find(ledger: Ledger, id: str) -> Line | None:
    return next((line for line in ledger["claims"] if line["id"] == id), None)


def told(line: Line) -> str:
    """The verdict of a line with its direction: "contradicted: below the claimed range"."""
    if line["verdict"] != Verdict.CONTRADICTED:
        return line["verdict"]
    return f"{line['verdict']}: {rule(line).side(_pair(line['interval']))} the claimed range"


def badge(line: Line) -> str:
    """The verdict of a line in words (`told`; colour only repeats it), as HTML."""
    kind = line["verdict"].replace(" ", "-")
    return f'<span class="verdict verdict-{escape(kind)}">{escape(told(line))}</span>'


def _safe(text: str) -> str:
    return escape(signed(plain(text)))


def counts(claims: Sequence[Line]) -> str:
    """How many lines of a ledger have which verdict: "2 supported, 0 contradicted, ..."."""
    verdicts = Counter(claim["verdict"] for claim in claims)
    return ", ".join(f"{verdicts[verdict.value]} {verdict}" for verdict in Verdict)


def as_json(value: Any) -> Any:
    """A value as results files have it: what is not finite becomes "inf", "-inf" and null."""
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value


def _numbers(value: Any) -> Any:
    """The inverse of `as_json`."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return {None: math.nan, "inf": math.inf, "-inf": -math.inf}.get(value, value)


def _pair(ends: Sequence[Any]) -> tuple[float, float]:
    low, high = map(_numbers, ends)
    return low, high
