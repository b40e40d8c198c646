"""The build: chapters -> site -> pages.

Freshness is decided by our own records (see `keys` and `execute.why_stale`), which are written
last and atomically.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from dataworth import pace
from dataworth.book import chapters as chapter_files
from dataworth.book import execute as execution
from dataworth.book import ledger, site
from dataworth.book import parameters as params
from dataworth.book.chapters import Chapter, Header
from dataworth.book.execute import Execution
from dataworth.book.keys import chapter_key, file_key
from dataworth.book.layout import Layout, OnePage, Variant, write_changed
from dataworth.book.lock import locked
from dataworth.book.parameters import Parameters
from dataworth.book.progress import Display, Outlook
from dataworth.claims import counts, recorded_ledgers
from dataworth.display import about, count, spell
from dataworth.errors import UserError

if TYPE_CHECKING:
    from dataworth.runs.forecast import Forecast

log = logging.getLogger(__name__)

AT_ONCE = 2  # chapters; each is a kernel with a gigabyte of memory
POLL_S = 0.2
PROBED_S = 600.0  # a shorter build does not wait for a probe of the machine


@dataclass(frozen=True)
class Plan:
    """Everything that is known before anything runs; making it validates all input."""

    layout: Layout
    chapters: list[Chapter]
    notebooks: dict[str, Any]
    headers: dict[str, Header]
    parameters: dict[str, Parameters]
    keys: dict[str, dict[str, Any]]
    stale: dict[str, str]  # chapter id -> why it must be executed


def make_plan(
    layout: Layout,
    only: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    checked: bool = True,
    files: Sequence[Path] = (),
) -> Plan:
    """Read and validate every chapter (or `only` one) of the book, with the parameters of the
    profile but for those in `files` (later ones win) and `overrides`, which win over all.

    With `checked`, the stale chapters' own preflight checks run too. Raises UserError.
    """
    found = [chapter_files.get(layout.root, only)] if only else chapter_files.find(layout.root)
    plan = Plan(layout, found, {}, {}, {}, {}, {})
    for c in found:
        notebook = plan.notebooks[c.id] = chapter_files.read(c)
        header = plan.headers[c.id] = chapter_files.header(c, notebook)
        resolved = params.resolve(c, notebook, header, layout, overrides, files)
        plan.parameters[c.id] = resolved
        plan.keys[c.id] = chapter_key(c.id, notebook, resolved.values, layout, header.params)
        if given := layout.given(c.id):
            plan.keys[c.id]["kept runs"] = file_key(given)
        if why := execution.why_stale(c, layout, plan.keys[c.id]):
            plan.stale[c.id] = why
    if checked:
        for chapter_id in plan.stale:
            header = plan.headers[chapter_id]
            resolved = plan.parameters[chapter_id] = params.preflight(plan.parameters[chapter_id])
            # What it fetched is part of the key by its content.
            notebook = plan.notebooks[chapter_id]
            plan.keys[chapter_id] = chapter_key(
                chapter_id, notebook, resolved.values, layout, header.params
            )
    return plan


def run(layout: Layout, chapter_id: str, console: Console, dry: bool = False) -> Chapter:
    """Execute one chapter if it must be, and give it; `dry`: only say so (`foretell`). Raises
    UserError."""
    wanted = chapter_files.get(layout.root, chapter_id)
    display = Display(console)
    if dry:
        foretell(make_plan(layout, only=wanted.id), wanted, display)
        return wanted
    with locked(layout, [wanted.id]):
        execution.clear(wanted, layout)
        plan = make_plan(layout, only=wanted.id)
        warn(plan, display)
        if wanted.id in plan.stale:
            run_chapter(plan, wanted, display)
        else:
            display.say(f"{wanted.id}: nothing changed since the last execution")
    return wanted


def work(plan: Plan) -> Forecast:
    """Compute what the study of a plan's one chapter lacks, in this process and on its engine, and
    give what the store holds of it then. Raises UserError."""
    (chapter,) = plan.chapters
    reference = plan.headers[chapter.id].params
    resolved = params.preflight(plan.parameters[chapter.id])
    if (study := params.study(resolved, reference)) is None:
        raise UserError(f"Chapter '{chapter.id}' has no runs; run: dataworth run {chapter.id}")
    study(None)
    return params.missing(resolved, reference)


def foretell(plan: Plan, chapter: Chapter, display: Display) -> None:
    """Say what executing a chapter would compute; runs and writes nothing. Raises UserError."""
    if (why := plan.stale.get(chapter.id)) is None:
        display.say(f"{chapter.id}: nothing changed since the last execution")
        return
    found = params.missing(plan.parameters[chapter.id], plan.headers[chapter.id].params)
    for line in _ahead(plan, chapter, f"would be executed ({why})", found):
        display.say(line)


def _ahead(plan: Plan, chapter: Chapter, what: str, found: Forecast | None) -> list[str]:
    """Lines on a chapter before it is executed; found: None where the study could not say. The
    time of its header is told where that of its runs is not known."""
    known = found and found.asked and found.whole and not (found.missing and found.seconds is None)
    seconds = None if known else expected(plan, chapter.id)
    lines = [f"{what}, {about(seconds)} with nothing stored" if seconds else what]
    if found:
        done = plan.layout
        if isinstance(done, Variant):
            done = replace(done, finished=True)
        target = done.show(execution.products(chapter, done).notebook)
        lines.append(f"{found}; the result goes to {target}")
    return [f"{chapter.id}: {line}" for line in lines]


def page(
    layout: Layout, chapter: Chapter, overrides: Mapping[str, Any], files: Sequence[Path] = ()
) -> Path:
    """Render one executed chapter without the others and give its page. Links to other chapters
    lead nowhere there, so warnings are no errors; the check of the whole book is `build`."""
    plan = make_plan(layout, chapter.id, overrides, checked=False, files=files)
    alone = OnePage(layout.root, layout.profile, layout)
    with locked(layout, ["page"]):
        site.write_site(alone, plan.chapters, plan.notebooks, plan.headers, plan.parameters)
        beside = "".join(f"  - file: {name}\n" for name in ("glossary", "references"))
        toc = f"format: jb-book\nroot: {chapter.docname}\nchapters:\n{beside}"
        write_changed(alone.site / "_toc.yml", toc)
        site.build_html(alone, strict=False)
    return alone.html / f"{chapter.docname}.html"


def build(layout: Layout, console: Console) -> None:
    """Bring the whole book up to date: chapters, then, if none failed, the site, then the pages.

    Raises UserError when something failed; a chapter that failed does not stop the others.
    """
    from dataworth.runs.engine import default_workers

    display = Display(console)
    found = chapter_files.find(layout.root)
    with locked(layout, ["pages", *(c.id for c in found)]):
        for chapter in found:
            execution.clear(chapter, layout)
        plan = make_plan(layout, checked=not layout.reads)
        warn(plan, display)
        order = [chapter for chapter in plan.chapters if chapter.id in plan.stale]
        # Two at a time, each with half of the workers: where one imports, fits or draws, which one
        # process does alone, the other keeps the processors busy. The longest first, so that no
        # long one is left over.
        workers = default_workers()
        at_once = min(AT_ONCE, workers, max(1, len(order)))
        if at_once > 1:
            order.sort(key=lambda chapter: -(expected(plan, chapter.id) or 0))
        costs = {chapter.id: expected(plan, chapter.id) for chapter in order}
        outlook, note = Outlook(costs, at_once), ""
        if plan.stale and not layout.reads and (outlook.left() or 0) >= PROBED_S:
            outlook, note = on_this_machine(outlook)
        display.outlook = outlook
        if plan.stale and not layout.reads and (seconds := outlook.left()):
            ahead = f"{count(len(plan.stale), 'chapter')} to execute: {about(seconds)} at most"
            display.say(f"{ahead}{note}")
        failures: list[UserError] = []

        def failed(error: UserError) -> None:
            display.complain(str(error))
            failures.append(error)

        run_chapters(plan, order, display, failed, at_once, -(-workers // at_once))
        if failures:
            several = count(len(failures), "chapter") if len(failures) > 1 else "one chapter"
            raise UserError(f"The book was not finished: {several} failed (see above).")
        site.write_site(layout, plan.chapters, plan.notebooks, plan.headers, plan.parameters)
        if not site.html_is_current(layout):
            display.say("building the pages")
            site.build_html(layout)
            check(layout)
            site.mark_checked(layout)
    lines = [x for made in ledger.read_results(found, layout).values() for x in made["claims"]]
    if lines:
        display.say(f"{count(len(lines), 'claim')}: {counts(lines)}")


def on_this_machine(
    outlook: Outlook, measure: Callable[[int], float | None] = pace.probe
) -> tuple[Outlook, str]:
    """An outlook by the headers' times, made one for this machine as it is now, and what is said of
    that; itself where `measure` fails (`pace.slower`)."""
    if (found := pace.slower(outlook.at_once, measure)) is None:
        return outlook, ""
    factor, words = found
    costs = {id_: s and factor * s for id_, s in outlook.expected.items()}
    return replace(outlook, expected=costs), f" ({words})"


def expected(plan: Plan, chapter_id: str) -> float | None:
    """Seconds that a chapter takes with nothing stored, as its header says, else as long as its
    last execution; None where neither is known."""
    minutes = plan.headers[chapter_id].expected_minutes.get(plan.layout.profile)
    if minutes is not None:
        return 60 * minutes
    (chapter,) = [c for c in plan.chapters if c.id == chapter_id]
    record = execution.read_record(chapter, plan.layout)
    return record["wall_s"] if record else None


def warn(plan: Plan, display: Display) -> None:
    """Say which recorded runs the pages will miss."""
    for chapter in plan.chapters:
        for fault in recorded_ledgers(plan.layout.root, chapter.id)[1]:
            display.say(f"Warning: a recorded run is left out: {fault}")


def run_chapter(plan: Plan, chapter: Chapter, display: Display) -> None:
    """Execute one chapter of the plan, whose lock is held, and say so."""

    def failed(error: UserError) -> None:
        raise error

    run_chapters(plan, [chapter], display, failed)


def run_chapters(
    plan: Plan,
    order: Sequence[Chapter],
    display: Display,
    failed: Callable[[UserError], None],
    at_once: int = 1,
    workers: int | None = None,
) -> None:
    """Execute chapters of the plan, whose locks are held, `at_once` at a time, each with `workers`
    of its own, and say so; `failed` is called with what failed, and the others go on."""
    waiting, running = list(order), list[Execution]()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                chapter = waiting.pop(0)
                _announce(plan, chapter, display)
                with _failing(chapter, failed):
                    running.append(
                        Execution(
                            chapter, plan.notebooks[chapter.id], plan.parameters[chapter.id],
                            plan.layout, plan.keys[chapter.id], display, workers,
                        )
                    )  # fmt: skip
            for one in running[:]:
                if one.look():
                    with _failing(one.chapter, failed):
                        running.remove(one)
                        record = one.end()
                        display.say(f"{one.chapter.id}: executed in {spell(record['wall_s'])}")
                    if display.outlook:
                        display.outlook.spent[one.chapter.id] = time.monotonic() - one.clock
            if running:
                time.sleep(POLL_S)
    except BaseException:
        for one in running:
            one.kill()
        raise


@contextmanager
def _failing(chapter: Chapter, failed: Callable[[UserError], None]) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # a full disk, a folder that nobody may write
        failed(UserError(f"Chapter '{chapter.id}' could not be executed: {error}."))
    except UserError as error:
        failed(error)


def _announce(plan: Plan, chapter: Chapter, display: Display) -> None:
    """Say that a chapter is executed, why, and what it will compute."""
    place = f"{display.outlook.place(chapter.id)}, " if display.outlook else ""
    if plan.layout.reads:
        display.say(f"{place}{chapter.id}: executing its analysis")
        return
    found = None
    try:
        found = params.missing(plan.parameters[chapter.id], plan.headers[chapter.id].params)
    except Exception as error:  # what only informs must not end a run
        log.info("%s: its missing runs are not known: %r", chapter.id, error)
    lines = _ahead(plan, chapter, f"executing ({plan.stale[chapter.id]})", found)
    display.say(f"{place}{lines[0]}")
    for line in lines[1:]:
        display.say(line)
    for doubt in params.doubts(plan.parameters[chapter.id]):
        display.say(f"{chapter.id}: {doubt}")


def check(layout: Layout) -> None:
    """Raise UserError with all faults of the built HTML."""
    from dataworth.book.checks import check_html

    if faults := check_html(layout.html):
        shown = "\n  ".join(faults[:20])
        raise UserError(f"The built pages have {len(faults)} faults:\n  {shown}")
