"""Everything that a class needs, below build/<profile>/class/.

student/      notebooks (.ipynb, .py) without solutions, assignments, quizzes, handouts
student/book/ the built pages without solutions (`make class`)
instructor/   notebooks with solutions, lesson plans, answers, solved assignments
slides/       a deck a chapter
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dataworth.book import execute, page, parameters, site, tasks
from dataworth.book.chapters import Chapter
from dataworth.book.layout import Layout, OtherPages, write_changed
from dataworth.book.ledger import read_results
from dataworth.book.printing import pdf
from dataworth.book.take import figures
from dataworth.display import about, count
from dataworth.errors import UserError
from dataworth.runs.forecast import Forecast
from dataworth.teach import assign, copies, plans, prose, sheets, slides

Say = Callable[[str], None]


@dataclass(frozen=True)
class StudentBook(OtherPages):
    """All chapters, without solutions."""

    @property
    def build(self) -> Path:
        return folder(self.whole) / "student" / "book"


def folder(layout: Layout) -> Path:
    return layout.build / "class"


def command_of(chapter: Chapter, plan: plans.Plan, profile: str) -> str:
    """The run for the class, as a line to type; it is kept as the variant `class`."""
    words = ["dataworth", "run", chapter.id, "--profile", profile]
    for name, value in plan.run.parameters.items():
        words += ["-p", f"{name}={json.dumps(value)}"]
    return shlex.join([*words, "--name", "class"])


def build(
    layout: Layout, only: str | None, say: Say, *, slides_only: bool = False, book: bool = False
) -> Path:
    """Write what a class needs for all chapters, or for one; give the folder.

    slides_only: decks alone. book: the pages of the whole book without solutions too.

    Raises UserError for a chapter that was not executed as it stands, and where a solution stands
    in a student's file.
    """
    plan = tasks.make_plan(layout, only, checked=False)
    results = read_results(plan.chapters, layout)
    out = folder(layout)
    sources = [c.source.read_text(encoding="utf-8") for c in plan.chapters]
    _shared(layout, out)
    for chapter in plan.chapters:
        one = _Chapter(layout, plan, chapter, results.get(chapter.id), out)
        one.slides()
        if not slides_only:
            one.student()
            one.instructor()
        say(f"{chapter.id}: {layout.show(out / 'slides' / f'{chapter.stem}.html')}")
    pages = StudentBook(layout.root, layout.profile, layout)
    if book:
        _book(pages, plan, out / "sources")
    if book or not slides_only:
        # Pages of an earlier book are not looked at: they are those of the texts of then.
        copies.check(out / "student", sources, aside=None if book else pages.build)
    return out


def _shared(layout: Layout, out: Path) -> None:
    """The scripts of decks and sheets."""
    for path in sorted((plans.folder(layout.root) / "reveal").iterdir()):
        write_changed(out / "slides" / "reveal" / path.name, path.read_bytes())
    mathjax = layout.book / "_extra" / "_static" / "mathjax" / "tex-svg.js"
    if mathjax.is_file():
        for place in ("slides", "student", "instructor"):
            write_changed(out / place / "math" / mathjax.name, mathjax.read_bytes())


class _Chapter:
    """One chapter on its way into the folder of a class."""

    def __init__(
        self, layout: Layout, plan: tasks.Plan, chapter: Chapter, ledger: Any, out: Path
    ) -> None:
        self.layout, self.chapter, self.ledger, self.out = layout, chapter, ledger, out
        self.header, self.rows = plan.headers[chapter.id], plan.parameters[chapter.id].rows
        record = execute.read_record(chapter, layout)
        if record is None or chapter.id in plan.stale:
            why = plan.stale.get(chapter.id, "its record is damaged")
            raise UserError(
                f"Chapter '{chapter.id}' has no run of profile '{layout.profile}' as it stands "
                f"({why}); run: dataworth book --profile {layout.profile}"
            )
        self.record = record
        executed = execute.read_notebook(chapter, layout, record)
        self.notebook = page.merge(chapter, plan.notebooks[chapter.id], executed)
        self.lesson = plans.read(chapter, layout.root)
        profile = layout.profile if layout.profile != "smoke" else "quick"
        self.command = command_of(chapter, self.lesson, profile) if self.lesson else ""

    def slides(self) -> None:
        made = (
            f"profile {self.record['profile']}, executed {self.record['finished'][:10]} on "
            f"{count(self.record['device']['cores'], 'core')}"
        )
        deck = slides.make(
            self.chapter, self.header, self.notebook, self.ledger, self.lesson, self.command, made,
            self.layout.book,
        )  # fmt: skip
        for name, content in slides.figure_files(self.notebook).items():
            write_changed(self.out / "slides" / "figures" / name, content)
        text = slides.page(self.header.title, deck)
        write_changed(self.out / "slides" / f"{self.chapter.stem}.html", text)

    def student(self) -> None:
        place = self.out / "student"
        source = copies.without(self.chapter.source.read_text(encoding="utf-8"))
        write_changed(place / f"{self.chapter.stem}.py", source)
        self._notebook(place / f"{self.chapter.stem}.ipynb", copies.student(self.notebook))
        if master := assign.read(self.chapter, self.layout.root):
            name = f"{self.chapter.stem}_assignment.ipynb"
            self._notebook(place / name, assign.released(master))
            self._notebook(self.out / "instructor" / name, master)
        if lesson := self.lesson:
            of = self.layout.book
            name = self.chapter.stem
            write_changed(place / f"{name}_quiz.html", sheets.quiz(self.header, lesson, False, of))
            shown = figures(self.notebook)[:1]
            for figure in shown:
                write_changed(place / "figures" / figure.file, figure.data)
            text = sheets.handout(self.header, lesson, shown, self._asked(), self.command, of)
            write_changed(place / f"{name}_handout.html", text)

    def instructor(self) -> None:
        place = self.out / "instructor"
        write_changed(place / f"{self.chapter.stem}.py", self.chapter.source.read_bytes())
        self._notebook(place / f"{self.chapter.stem}.ipynb", self.notebook)
        if lesson := self.lesson:
            of, name = self.layout.book, self.chapter.stem
            text = sheets.lesson(
                self.header, lesson, self.record, self.ledger, self.command, self._ahead(), of
            )
            write_changed(place / f"{name}_lesson.html", text)
            write_changed(
                place / f"{name}_quiz_answers.html", sheets.quiz(self.header, lesson, True, of)
            )

    def _notebook(self, path: Path, notebook: Any) -> None:
        whole = copies.with_setup(notebook)
        write_changed(path, json.dumps(whole, indent=1, ensure_ascii=False) + "\n")

    def _asked(self) -> str:
        """The question of the chapter's discussion."""
        for part in slides.sections(self.notebook):
            if part.title == "Discussion" and (found := prose.LEAD.search(part.text)):
                return " ".join(found[1].split())
        return ""

    def _ahead(self) -> str:
        """What the run in class would compute now, in a sentence."""
        assert self.lesson is not None
        profile = self.layout.profile if self.layout.profile != "smoke" else "quick"
        resolved = parameters.of_chapter(
            self.chapter.id, profile, self.layout.root, self.lesson.run.parameters
        )
        found = parameters.missing(resolved, self.header.params)
        return told_ahead(found)


def told_ahead(found: Forecast) -> str:
    """Runs that are missing, and how long they take where that is known."""
    if not found.asked:
        return "It trains nothing: seconds."
    if not found.missing:
        return f"All its {found.asked} runs are stored here: it takes seconds."
    time = f", {about(found.seconds)} on this machine" if found.seconds else ""
    return (
        f"Here {found.missing} of its {found.asked} runs are still to be computed{time}: run it "
        "once before class and it is read from the store."
    )


def _book(whole: StudentBook, plan: tasks.Plan, sources: Path) -> None:
    """The built pages without solutions."""
    shutil.rmtree(sources, ignore_errors=True)
    chapters: list[Chapter] = []
    for c in plan.chapters:
        source = sources / f"{c.docname}.py"
        write_changed(source, copies.without(c.source.read_text(encoding="utf-8")))
        chapters.append(replace(c, source=source))
        if c.claims.is_file():
            write_changed(chapters[-1].claims, c.claims.read_bytes())
    notebooks = {id_: copies.student(of) for id_, of in plan.notebooks.items()}
    site.write_site(whole, chapters, notebooks, plan.headers, plan.parameters)
    if not site.html_is_current(whole):
        site.build_html(whole)
        tasks.check(whole)
        site.mark_checked(whole)


def printed(folder: Path, stem: str | None) -> Iterator[Path]:
    """Print the decks and sheets of a class, of all chapters or of one."""
    own = (stem or "").replace("-", "_")
    for place in ("slides", "student", "instructor"):
        for html in sorted((folder / place).glob(f"{own}*.html")):
            yield pdf(html, html.with_suffix(".pdf"), deck=place == "slides")
