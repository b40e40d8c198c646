"""Every command that README and the book quote is one that the program takes; none is run."""

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import click
import jupytext.cli
import papermill.cli
import pytest
import typer

from dataworth.book import chapters, parameters
from dataworth.book.layout import open_layout
from dataworth.cli import UsageError, app
from dataworth.errors import UserError

ROOT = Path(__file__).parents[1]
TOOLS = {"dataworth", "make", "papermill", "jupytext"}
# A fence: its indent, the directive where it is one (its content is Markdown), the content.
FENCE = re.compile(r"^( *)```(\{\w+\})?.*?\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)")
# What the texts write for "one of yours".
STANDS_FOR = {
    "CHAPTER": "mixing",
    "FILE": "params/full/mixing.yaml",
    "FOLDER": "tests",
    "name=value": "seeds=3",
    "PROFILE=<name>": "PROFILE=smoke",
    "C=<id>": "C=mixing",
}


@dataclass(frozen=True)
class Quoted:
    words: tuple[str, ...]
    where: str
    chapter: str | None  # of the page that quotes it

    def __str__(self):
        return f"{self.where}: {shlex.join(self.words)}"


def commands_of(text, where, chapter=None):
    """Lines of code blocks and code spans of Markdown that begin with a tool's name; in a chapter
    also `-p name=value`, which is said of the chapter's own run."""
    fences = FENCE.findall(text)
    lines = [line for _, directive, block in fences if not directive for line in block.splitlines()]
    rest = "\n".join([FENCE.sub("", text), *(block for _, directive, block in fences if directive)])
    lines += [line for line in rest.splitlines() if line.startswith("    ")]
    lines += [span for span in SPAN.findall(rest) if " " in span.strip()]
    for line in lines:
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # an apostrophe of prose or of Python
            continue
        if not words:
            continue
        words[0] = words[0].removeprefix(".venv/bin/")
        if chapter and words[0] == "-p":
            words = ["dataworth", "run", chapter, *words]
        if words[0] in TOOLS:
            yield Quoted(tuple(STANDS_FOR.get(word, word) for word in words), where, chapter)


def found():
    pages = [*ROOT.glob("*.md"), *(ROOT / "book").rglob("*.md")]
    for path in sorted(pages):
        yield from commands_of(path.read_text(), path.relative_to(ROOT).as_posix())
    for chapter in chapters.find(ROOT):
        for cell in chapters.read(chapter).cells:
            if cell.cell_type == "markdown":
                yield from commands_of(cell.source, f"book/{chapter.docname}.py", chapter.id)


# On a card that the page makes first: tests/test_own_data.py makes it, and takes these.
ON_A_CARD = re.compile(r"card=letters")
QUOTED = [quoted for quoted in dict.fromkeys(found()) if not ON_A_CARD.search(str(quoted))]


def check(words):
    """Raises where the tool would refuse the command before it does anything."""
    tool, *rest = words
    if tool == "dataworth":
        _check_dataworth(rest)
    elif tool == "make":
        made = subprocess.run(
            ["make", "--dry-run", *rest], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert made.returncode == 0, made.stderr
        for word in rest:
            name, _, value = word.partition("=")
            if name == "PROFILE":
                open_layout(value, ROOT)
            elif name == "C":
                chapters.get(ROOT, value)
    elif tool == "papermill":
        given = papermill.cli.papermill.make_context("papermill", rest).params
        for path in given["parameters_file"]:
            assert (ROOT / path).is_file(), path
    else:
        for path in jupytext.cli.parse_jupytext_args(rest).notebooks:
            assert (ROOT / path).is_file(), path


def _check_dataworth(words):
    command, context = typer.main.get_command(app), None
    # An option that acts at once, such as --install-completion, would do so here.
    if words in (["--install-completion"], ["--show-completion"]):
        assert app._add_completion
        return
    context = command.make_context("dataworth", list(words))
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        context = command.make_context(name, rest, parent=context)
    given = context.params
    profile = given.get("profile", "quick") or "full"  # where a command chooses: record's
    open_layout(profile, ROOT)
    if "param" in given or (command.name == "record" and not given["read"]):
        chapter_id = given.get("chapter") or given["name"]
        overrides = dict(parameters.parse_override(text) for text in given.get("param") or [])
        for path in given.get("file") or []:
            assert (ROOT / path).is_file(), path
        parameters.of_chapter(chapter_id, profile, ROOT, overrides)


@pytest.mark.parametrize("quoted", QUOTED, ids=str)
def test_a_quoted_command_is_taken(quoted):
    check(quoted.words)


def test_lines_to_paste_find_their_tools():
    """What stands in a block is pasted: make leaves the tools in .venv/, so the line names that
    place or the page has activated it before."""
    pasted = re.compile(r"^(?: {4})?(dataworth|papermill|jupytext) ", re.MULTILINE)
    found = set()
    for path in [*ROOT.glob("*.md"), *(ROOT / "book").rglob("*.md")]:
        text = path.read_text()
        blocks = [b for _, directive, b in FENCE.findall(text) if not directive]
        blocks += re.findall(r"(?:^ {4}.*\n)+", FENCE.sub("", text), re.MULTILINE)
        for block in blocks:
            if line := pasted.search(block):
                found.add(path.name)
                before = text[: text.index(block) + line.start()]
                assert "source .venv/bin/activate" in before, f"{path.name}: {block}"
    assert {"README.md", "index.md"} <= found


def test_the_commands_are_found():
    """The search itself: it must not come back empty from a place that has some."""
    places = {quoted.where for quoted in QUOTED}
    assert {"README.md", "book/index.md", "book/discussion.md"} <= places
    assert sum(place.endswith(".py") for place in places) >= 5
    assert {quoted.words[0] for quoted in QUOTED} == TOOLS
    text = (
        "`dataworth run mixing\n-p seeds=3`, or\n\n```bash\n.venv/bin/dataworth list # all\n```\n"
    )
    assert [quoted.words[1:] for quoted in commands_of(text, "x")] == [
        ("list",),
        ("run", "mixing", "-p", "seeds=3"),
    ]
    (own,) = commands_of("change `-p seeds=3` or `seeds`", "x", "mixing")
    assert own.words == ("dataworth", "run", "mixing", "-p", "seeds=3")


def test_the_parameters_that_a_class_changes_are_those_of_the_chapters_beside_them():
    by_name = {chapter.docname: chapter for chapter in chapters.find(ROOT)}
    rows = re.findall(r"^\| \d .*\|$", (ROOT / "book" / "discussion.md").read_text(), re.MULTILINE)
    assert len(rows) == 8
    for row in rows:
        known = set()
        for name in re.findall(r"\[\]\(([\w/]+)\)", row):
            chapter = by_name[name]
            known |= parameters.cell_defaults(chapter, chapters.read(chapter)).keys()
        named = set(re.findall(r"`(\w+)`", row))
        assert named and named <= known, row


REFUSED = (UserError, AssertionError, SystemExit, UsageError, click.UsageError)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("dataworth run mixing --profile quick -p 'ratios=[2, 8]'", "at least two mixed sets"),
        ("dataworth run mixing -p seds=3", "Unknown parameter 'seds'"),
        ("dataworth run mixing -f params/full/mixng.yaml", "mixng.yaml"),
        ("dataworth run mixng", "Unknown chapter 'mixng'"),
        ("dataworth bok", "No such command 'bok'"),
        ("dataworth book --profil smoke", "No such option"),
        ("dataworth data fetch a b", "unexpected extra argument"),
        ("make bok", "bok"),
        ("make book PROFILE=quik", "Unknown profile 'quik'"),
        ("papermill --no-such-option", "No such option"),
        ("jupytext --to ipynb book/images/no_chapter.py", "no_chapter.py"),
    ],
)
def test_a_command_that_would_be_refused_is_found(line, told):
    with pytest.raises(REFUSED) as caught:
        check(shlex.split(line))
    assert told in getattr(caught.value, "message", str(caught.value))
