"""Runs of a chapter beside one another: the profiles' own, the recorded ones, and variants, which
have other parameters and never touch the book.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from dataworth.book import chapters as chapter_files
from dataworth.book import execute as execution
from dataworth.book import parameters as params
from dataworth.book import tasks
from dataworth.book.chapters import Chapter
from dataworth.book.keys import chapter_key, digest
from dataworth.book.layout import Layout, Variant, profiles, variants_of, write_atomic
from dataworth.book.lock import locked
from dataworth.book.parameters import Parameters
from dataworth.book.progress import Display
from dataworth.book.record import RECORD, Record
from dataworth.book.take import figures
from dataworth.claims import Ledger, read_ledger, recorded_ledgers
from dataworth.errors import UserError, did_you_mean, quoted, short
from dataworth.sealed import Damaged, read_sealed
from dataworth.why import differences

RECORDED = "recorded:"
NAME = re.compile(r"\w[\w.,=+-]{0,59}")
SAME = "nothing changed since the last execution"

# ---- Making one -------------------------------------------------------------------------------


def run(
    layout: Layout,
    chapter_id: str,
    overrides: Mapping[str, Any],
    files: Sequence[Path],
    name: str | None,
    console: Console,
    dry: bool = False,
) -> Layout:
    """Execute a chapter with other parameters than those of its profile, as a variant called
    `name` (None: by its date), if it must be; give the layout that holds its products.

    Without a name, parameters that are the profile's own make its own run, and those of a finished
    variant that variant. A name that is taken by other parameters is refused; where the code has
    changed since, the older result is kept under its date. `dry`: only say what would be computed.
    Raises UserError.
    """
    chapter, display = chapter_files.get(layout.root, chapter_id), Display(console)
    if name is not None:
        _check_name(layout, name)
    plan = tasks.make_plan(layout, chapter.id, overrides, checked=False, files=files)
    key, asked = plan.keys[chapter.id], plan.parameters[chapter.id]
    own = params.resolve(chapter, plan.notebooks[chapter.id], plan.headers[chapter.id], layout)
    if name is None:
        if asked.values == own.values:
            display.say(f"{chapter.id}: these parameters are those of {layout.called}: its own run")
            tasks.run(layout, chapter.id, console, dry)
            return layout
        for variant, _ in finished(layout.root, chapter):
            if execution.why_stale(chapter, variant, key) is None:
                display.say(f"{chapter.id}, variant '{variant.name}': {SAME}")
                return variant
        now = "DATE" if dry else f"{datetime.now():%Y-%m-%d-%H%M%S}"
        name = f"{now}-{digest(key)[:4]}"
    variant = Variant(layout.root, layout.profile, chapter.id, name)
    making = replace(variant, finished=False)
    if dry:
        stale = execution.why_stale(chapter, variant, key)
        _refuse_taken(chapter, variant, asked)
        asked = params.preflight(asked)
        waiting = {chapter.id: stale} if stale else {}
        tasks.foretell(replace(plan, layout=variant, stale=waiting), chapter, display)
        return variant
    with locked(making, [chapter.id]):
        if (stale := execution.why_stale(chapter, variant, key)) is None:
            display.say(f"{chapter.id}, variant '{name}': {SAME}")
            return variant
        _refuse_taken(chapter, variant, asked)
        asked = params.preflight(asked)
        # What it fetched is part of the key by its content, and may bound the profile's sizes too.
        own = params.resolve(chapter, plan.notebooks[chapter.id], plan.headers[chapter.id], layout)
        plan = tasks.make_plan(layout, chapter.id, overrides, checked=False, files=files)
        execution.clear(chapter, making)
        shutil.rmtree(making.executed, ignore_errors=True)
        tasks.warn(plan, display)
        other = told(differing(asked.values, own.values)) or "nothing"
        display.say(f"{chapter.id}, variant '{name}': differs from {layout.called} in {other}")
        tasks.run_chapter(replace(plan, layout=making, stale={chapter.id: stale}), chapter, display)
        try:
            _publish(chapter, making, asked, own, display)
        except OSError as error:  # a full disk
            raise UserError(f"{variant.show(variant.folder)} cannot be made: {error}.") from None
    return variant


def _check_name(layout: Layout, name: str) -> None:
    if not NAME.fullmatch(name) or name in profiles(layout.root):
        raise UserError(
            f"--name is {quoted(name)}; it must be up to 60 letters, digits and . , = + - _, "
            "begin with a letter or digit, and not be the name of a profile."
        )


def _refuse_taken(chapter: Chapter, variant: Variant, asked: Parameters) -> None:
    """Raise UserError where the name stands for other parameters or another profile."""
    try:
        record = read_sealed(execution.products(chapter, variant).record, RECORD)
    except (OSError, Damaged):
        return
    there = differing(record["parameters"], asked.values)
    if profile_of(record["key"]) != variant.profile:
        there["profile"] = (profile_of(record["key"]), variant.profile)
    if there:
        raise UserError(
            f"There is a {variant.called} already, with {told(there, 'now')}; give another --name, "
            f"or move {variant.show(variant.folder)} away."
        )


def _publish(
    chapter: Chapter, making: Variant, asked: Parameters, own: Parameters, display: Display
) -> None:
    """Make a finished execution the variant of its name; what has the name is kept."""
    made = execution.products(chapter, making)
    for figure in figures(json.loads(made.notebook.read_bytes())):
        write_atomic(making.executed / "figures" / figure.file, figure.data)
    write_atomic(making.executed / "parameters.yaml", _parameter_file(chapter, making, asked, own))
    target = making.folder
    if target.exists():
        stamp = datetime.fromtimestamp(target.stat().st_mtime)
        names = (
            f"{target.name}-{stamp:%Y-%m-%d-%H%M%S}{more}" for more in ("", *range(-2, -99, -1))
        )
        aside = next(path for name in names if not (path := target.with_name(name)).exists())
        target.rename(aside)
        display.say(f"the earlier {making.called} is kept as {aside.name}")
    target.parent.mkdir(parents=True, exist_ok=True)
    making.executed.rename(target)


def _parameter_file(chapter: Chapter, variant: Variant, asked: Parameters, own: Parameters) -> str:
    """All parameters as a parameter file, and which differ from the profile's."""
    lines = [f"# All parameters of {variant.called}; 'was' is what profile {variant.profile} has."]
    for name, value in asked.values.items():
        was = own.values[name]
        note = f"  # was {_yaml(was)}" if was != value else ""
        lines.append(f"{name}: {_yaml(value)}{note}")
    return "\n".join(lines) + "\n"


def _yaml(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    return text.removesuffix("...\n").strip()


# ---- All that there are -----------------------------------------------------------------------


def finished(root: Path, chapter: Chapter) -> Iterator[tuple[Variant, Record]]:
    """The finished variants of a chapter, the oldest first; damaged ones are left out."""
    found = []
    for path in variants_of(root, chapter.id).glob(f"*/{chapter.stem}.run.json"):
        try:
            record = read_sealed(path, RECORD)
        except (OSError, Damaged):
            continue
        variant = Variant(root, profile_of(record["key"]), chapter.id, path.parent.name)
        if record["chapter"] == chapter.id and record["profile"] == variant.label:
            found.append((variant, record))
    yield from sorted(found, key=lambda pair: (pair[1]["finished"], pair[0].name))


def profile_of(key: Mapping[str, Any]) -> str:
    """The profile that a chapter's key names; empty where it is of an older form."""
    parameters = key.get("parameters")
    return str(parameters.get("profile", "")) if isinstance(parameters, Mapping) else ""


@dataclass(frozen=True)
class Run:
    """A finished run of a chapter.

    name: of a variant, of a profile, or "recorded:" and a profile. finished: ISO 8601. parameters,
    key: None for a recorded run of before they were kept. ledger: None where it made no claim.
    notebook: the executed one, None for a recorded run. folder: of a variant.
    """

    name: str
    kind: str
    profile: str
    finished: str
    parameters: dict[str, Any] | None
    key: dict[str, Any] | None
    ledger: Ledger | None
    notebook: Path | None
    folder: Path | None = None


def runs(root: Path, chapter: Chapter) -> list[Run]:
    """Every finished run of a chapter: profiles, recorded runs, variants."""
    found = []
    for profile in profiles(root):
        layout = Layout(root, profile)
        if record := execution.read_record(chapter, layout):
            found.append(_run(profile, "profile", chapter, layout, record))
    for kept in recorded_ledgers(root, chapter.id)[0]:
        run, profile = kept["run"], kept["profile"]
        found.append(
            Run(
                f"{RECORDED}{profile}", "recorded", profile, run["finished"],
                run.get("parameters"), run.get("key"), kept, None,
            )
        )  # fmt: skip
    for variant, record in finished(root, chapter):
        found.append(_run(variant.name, "variant", chapter, variant, record))
    return found


def _run(name: str, kind: str, chapter: Chapter, layout: Layout, record: Record) -> Run:
    made = execution.products(chapter, layout)
    ledger = read_ledger(made.results, layout.show(made.results)) if made.results.exists() else None
    return Run(
        name, kind, layout.profile, record["finished"], record["parameters"], record["key"], ledger,
        made.notebook, layout.folder if isinstance(layout, Variant) else None,
    )  # fmt: skip


def named(found: Sequence[Run], name: str, chapter: Chapter) -> Run:
    """The run called `name`. Raises UserError where there is none."""
    for run in found:
        if run.name == name:
            return run
    names = [run.name for run in found]
    there = f"it has {', '.join(names)}" if names else "it has none"
    raise UserError(
        f"Chapter '{chapter.id}' has no finished run '{short(name)}'; {there}."
        f"{did_you_mean(name, names)}"
    )


@dataclass(frozen=True)
class Standing:
    """How a run stands to the chapter of today. own: the parameters of its profile; None for a
    profile that is gone. changed: what differs between key and today's, in words; None where it
    cannot be told."""

    own: dict[str, Any] | None
    changed: list[str] | None


def standings(root: Path, chapter: Chapter, found: Sequence[Run]) -> list[Standing]:
    """How each run stands to the chapter of today. Raises UserError where that is not valid."""
    notebook = chapter_files.read(chapter)
    header = chapter_files.header(chapter, notebook)
    own: dict[str, dict[str, Any]] = {}
    for profile in {run.profile for run in found} & set(profiles(root)):
        layout = Layout(root, profile)
        own[profile] = params.resolve(chapter, notebook, header, layout).values
    standing = []
    for run in found:
        values, changed = own.get(run.profile), None
        if run.key is not None and run.parameters is not None and values is not None:
            layout = Layout(root, run.profile)
            asked = values if run.kind == "profile" else run.parameters
            today = chapter_key(chapter.id, notebook, asked, layout, header.params)
            changed = differences(run.key, {**today, "recorded": run.key.get("recorded")})
        standing.append(Standing(values, changed))
    return standing


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The names whose values differ, with both; a name that one lacks is None there."""
    return {
        name: (a.get(name), b.get(name))
        for name in dict.fromkeys([*a, *b])
        if a.get(name) != b.get(name)
    }


def told(pairs: Mapping[str, tuple[Any, Any]], past: str = "was") -> str:
    """ "shares [0.4] (was [0.5]), seeds 3 (was 2)"."""
    return ", ".join(f"{name} {quoted(a)} ({past} {quoted(b)})" for name, (a, b) in pairs.items())
