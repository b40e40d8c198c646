"""The build as a doit graph: chapters -> site -> html.

Freshness is judged by our own records (see `keys` and `execute.why_stale`), which are written
last and atomically; doit gives the order, goes on after a failed chapter, and stops what needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from dataworth.book import chapters as chapter_files
from dataworth.book import execute as execution
from dataworth.book import parameters as params
from dataworth.book import site
from dataworth.book.chapters import Chapter, Header
from dataworth.book.keys import chapter_key
from dataworth.book.layout import Layout
from dataworth.book.parameters import Parameters
from dataworth.book.progress import Display, spell
from dataworth.errors import UserError


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
) -> Plan:
    """Read and validate every chapter (or `only` one) of the book.

    With `checked`, the stale chapters' own preflight checks run too. Raises UserError.
    """
    found = [chapter_files.get(layout.root, only)] if only else chapter_files.find(layout.root)
    plan = Plan(layout, found, {}, {}, {}, {}, {})
    for c in found:
        notebook = plan.notebooks[c.id] = chapter_files.read(c)
        header = plan.headers[c.id] = chapter_files.header(c, notebook)
        resolved = params.resolve(c, notebook, header, layout, overrides)
        plan.parameters[c.id] = resolved
        plan.keys[c.id] = chapter_key(c.id, notebook, resolved.values, layout, header.params)
        if why := execution.why_stale(c, layout, plan.keys[c.id]):
            plan.stale[c.id] = why
    if checked:
        for chapter_id in plan.stale:
            params.preflight(plan.parameters[chapter_id])
    return plan


def run_chapter(plan: Plan, chapter: Chapter, display: Display) -> dict[str, Any]:
    """Execute one chapter of the plan and say so."""
    display.say(f"{chapter.id}: executing ({plan.stale.get(chapter.id, 'asked for')})")
    record = execution.execute(
        chapter,
        plan.notebooks[chapter.id],
        plan.parameters[chapter.id],
        plan.layout,
        plan.keys[chapter.id],
        display,
    )
    display.say(f"{chapter.id}: executed in {spell(record['wall_s'])}")
    return record


def build(plan: Plan, console: Console) -> None:
    """Bring the whole book up to date. Raises UserError when something failed."""
    from doit.cmd_base import ModuleTaskLoader
    from doit.doit_cmd import DoitMain
    from doit.reporter import ZeroReporter

    display = Display(console)
    failures: list[Exception] = []

    def guarded(action: Any, *args: Any) -> bool:
        """doit wants False for a failure and would hide the traceback of a bug."""
        try:
            action(*args)
        except Exception as error:
            failures.append(error)
            if isinstance(error, UserError):
                display.say(str(error))
            return False
        return True

    def write_site() -> None:
        site.write_site(plan.layout, plan.chapters, plan.notebooks, plan.headers, plan.parameters)

    def render() -> None:
        display.say("building the pages")
        site.build_html(plan.layout)
        check(plan.layout)
        site.mark_checked(plan.layout)

    def task_chapter() -> Any:
        for c in plan.chapters:
            yield {
                "name": c.id,
                "uptodate": [c.id not in plan.stale],
                "actions": [(guarded, [run_chapter, plan, c, display])],
                "io": {"capture": False},
            }

    def task_site() -> Any:
        return {
            "task_dep": ["chapter"],
            "actions": [(guarded, [write_site])],
            "io": {"capture": False},
        }

    def task_html() -> Any:
        return {
            "task_dep": ["site"],
            "uptodate": [lambda: site.html_is_current(plan.layout)],
            "actions": [(guarded, [render])],
            "io": {"capture": False},
        }

    graph = {"task_chapter": task_chapter, "task_site": task_site, "task_html": task_html}
    plan.layout.build.mkdir(parents=True, exist_ok=True)
    settings = {
        "dep_file": str(plan.layout.build / "doit.sqlite3"),
        "backend": "sqlite3",
        "continue": True,
        "reporter": ZeroReporter,
        "verbosity": 0,
    }
    main = DoitMain(ModuleTaskLoader(graph), config_filenames=(), extra_config={"GLOBAL": settings})
    status = main.run(["run", "html"])
    for error in failures:
        if not isinstance(error, UserError):
            raise error
    if failures:
        count = f"{len(failures)} steps" if len(failures) > 1 else "one step"
        raise UserError(f"The book was not finished: {count} failed (see above).")
    if status != 0:
        raise RuntimeError(f"doit ended with status {status}")


def check(layout: Layout) -> None:
    """Raise UserError with all faults of the built HTML."""
    from dataworth.book.checks import check_html

    if faults := check_html(layout.html):
        shown = "\n  ".join(faults[:20])
        raise UserError(f"The built pages have {len(faults)} faults:\n  {shown}")
