"""The house stands as CONTRIBUTING.md says: its table of rooms is read here and held against every
import of the code, those inside functions and those for the type checker included."""

from __future__ import annotations

import ast
import re
import runpy
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from dataworth.paths import project_root

ROOT = project_root()
if ROOT is None or not (ROOT / "CONTRIBUTING.md").is_file():
    pytest.skip("a clone has these files, an installed wheel does not", allow_module_level=True)
LIB = ROOT / "lib" / "dataworth"
MOST_LINES = 500
MACHINERY = ("images/", "text/")  # rooms that serve every chapter and therefore name none
GROUND = "ground floor"


@cache
def rooms() -> dict[str, tuple[str, frozenset[str]]]:
    """Room (`fit/`) or single module (`claims.py`) -> name of its row, what the row may import.

    A row of the table: | names | what lives there | what it may import |. Names stand in
    backticks; the words "ground floor" mean all modules of the row that begins with them.
    """
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    _, _, table = text.partition("| room | ")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.partition("\n\n")[0].splitlines()[2:]
    ]
    named = {row[0].partition(":")[0]: re.findall(r"`([\w./]+)`", row[0]) for row in rows}
    found = {}
    for row, (names, _, allowed) in zip(named, rows, strict=True):
        may = set(re.findall(r"`([\w./]+)`", allowed)) | set(named[row])
        if GROUND in allowed:
            may |= set(named[GROUND])
        if allowed == "everything":
            may |= {name for inner in named.values() for name in inner}
        for name in re.findall(r"`([\w./]+)`", names):
            assert name not in found, f"{name} stands in two rows"
            found[name] = (row, frozenset(may))
    return found


@cache
def modules() -> dict[str, Path]:
    """Path below lib/dataworth (`fit/laws.py`) -> file; the package's own `__init__` is left out,
    which holds the version and, where log lines are asked for, starts `logs`."""
    files = sorted(LIB.rglob("*.py"))
    return {p.relative_to(LIB).as_posix(): p for p in files if p != LIB / "__init__.py"}


def room_of(module: str) -> str:
    """`fit/` of `fit/laws.py`; a module of the ground floor is its own room."""
    return module.partition("/")[0] + "/" if "/" in module else module


def _file(dotted: str) -> str | None:
    """The module that a dotted name below the package stands for, or the one that defines it."""
    parts = dotted.split(".")
    while parts:
        base = "/".join(parts)
        for name in (f"{base}.py", f"{base}/__init__.py"):
            if name in modules():
                return name
        parts.pop()
    return None


@cache
def imports(module: str) -> frozenset[str]:
    """Modules of ours that a module names: in import statements wherever they stand, and as
    whole texts ("dataworth.fit.cli"), which `import_module` may be given."""
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    package = ["dataworth", *module.split("/")[:-1]]
    named: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                named |= {alias.name for alias in node.names}
            case ast.ImportFrom():
                above = package[: len(package) - node.level + 1] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                named |= {f"{base}.{alias.name}" for alias in node.names}
            case ast.Constant(value=str() as text) if re.fullmatch(r"dataworth(\.\w+)+", text):
                named.add(text)
    inner = {name.removeprefix("dataworth.") for name in named if name.startswith("dataworth.")}
    return frozenset(file for name in inner if (file := _file(name)) and file != module)


def test_every_module_has_a_room_and_every_room_of_the_table_exists():
    homeless = [m for m in modules() if room_of(m) not in rooms()]
    assert not homeless, f"not in the table of rooms of CONTRIBUTING.md: {homeless}"
    exist = {*modules(), *(f"{p.name}/" for p in LIB.iterdir() if p.is_dir())}
    named = set(rooms()).union(*(may for _, may in rooms().values()))
    assert named <= exist, f"in the table and not in lib/dataworth: {sorted(named - exist)}"


def test_imports_are_those_of_the_table():
    wrong = [
        f"{module} imports {target}"
        for module in modules()
        for target in sorted(imports(module))
        if (room := room_of(module)) != room_of(target)
        and not {room_of(target), target} & rooms()[room][1]
    ]
    assert not wrong, "the table of rooms does not allow:\n" + "\n".join(wrong)


def circles(graph: dict[str, frozenset[str]]) -> Iterator[str]:
    """The shortest circle through each node that is on one, each circle once."""
    for start in sorted(graph):
        paths = {start: [start]}
        for node in (todo := [start]):
            for target in sorted(graph[node] - paths.keys()):
                paths[target] = [*paths[node], target]
                todo.append(target)
        back = [path for node, path in paths.items() if start in graph[node]]
        if back and min(shortest := min(back, key=len)) == start:
            yield " -> ".join([*shortest, start])


def test_no_circle_of_imports():
    found = list(circles({module: imports(module) for module in modules()}))
    assert not found, "\n".join(found)


def test_circles_are_found():
    graph = {"a": "b", "b": "cd", "c": "b", "d": "", "e": "fa", "f": "e"}
    assert list(circles({node: frozenset(to) for node, to in graph.items()})) == [
        "b -> c -> b",
        "e -> f -> e",
    ]
    assert not list(circles({"a": frozenset("bc"), "b": frozenset("c"), "c": frozenset()}))


def test_the_table_goes_from_the_bottom_to_the_top():
    """No import upwards: a row may only name what stands in rows above it in the table."""
    order = list(dict.fromkeys(row for row, _ in rooms().values()))
    for row, may in rooms().values():
        for name in may:
            target = rooms()[name if name in rooms() else room_of(name)][0]
            assert order.index(target) <= order.index(row), f"{row} may import {name}"


def chapters() -> dict[str, str]:
    """Stem -> title of every chapter in the table of contents."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    sources = [path for file in files if (path := ROOT / "book" / f"{file}.py").is_file()]
    return {
        path.stem: re.search(r"^# # (.+)$", path.read_text(encoding="utf-8"), re.M)[1]
        for path in sources
    }


def naming(stem: str, title: str) -> re.Pattern[str]:
    """What names a chapter, in code, comments, docstrings and texts alike.

    - its title, whole or up to the colon;
    - a file name of several words as it is written, `data_age` or `data-age`, in lower case as a
      word of its own: "the age of data", `PER_CLASS` and `per_class_error` name no chapter;
    - a file name of one word ("quality", "domains", "mixing") is a word of the field too, and
      counts only where a chapter must be meant: after "chapter", before "chapter", as a path or
      module of book, params, studies or recorded, or as `quality.claims`.
    """
    words = "[-_]".join(stem.split("_"))
    meant = [rf"(?<![-\w]){words}(?![-\w])"] if "_" in stem else [
        rf"(?i:chapters?)\W{{1,3}}(?:on\W|of\W)?\W?{words}\b",
        rf"\b{words}\W{{1,2}}(?i:chapter)\b",
        rf"\b(?:book|params|studies|recorded)(?:[./]\w+)*[./]{words}\b",
        rf"\b{words}\.claims\b",
    ]  # fmt: skip
    whole = [re.escape(part) for part in {title, title.partition(":")[0]}]
    return re.compile("|".join([*meant, *whole]))


@pytest.mark.parametrize("room", MACHINERY)
def test_machinery_names_no_chapter(room):
    patterns = {stem: naming(stem, title) for stem, title in chapters().items()}
    assert len(patterns) >= 14
    named = [
        f"{module}, line {number}: {line.strip()}"
        for module, path in modules().items()
        if module.startswith(room)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if any(pattern.search(line) for pattern in patterns.values())
    ]
    assert not named, "\n".join(named)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("# the filters of the chapter *quality*", True),
        ("# see the quality chapter", True),
        ("from dataworth.studies.quality import run", True),
        ('"""Arms of data_age."""', True),
        ('id = "data-age"', True),
        ("# A source is not worth its bytes, as shown", True),
        ("def quality(texts): return scorer('quality')", False),
        ("# the age of data; chapters read quality scores", False),
        ("PER_CLASS = 100; per_class_error = domains['web']", False),
    ],
)
def test_what_names_a_chapter(line, named):
    titles = {
        "quality": "Filtering helps",
        "data_age": "Text of another time",
        "domains": "A source is not worth its bytes: what leaving it out costs",
        "per_class": "Some classes scale",
    }
    assert any(naming(*chapter).search(line) for chapter in titles.items()) is named


def test_no_module_is_too_long_to_read():
    lines = {m: path.read_text(encoding="utf-8").count("\n") for m, path in modules().items()}
    assert not {m: n for m, n in lines.items() if n > MOST_LINES}


def test_what_make_check_leaves_out_is_there():
    for name in runpy.run_path(str(ROOT / "tests" / "conftest.py"))["SLOW"]:
        path, _, function = name.partition("::")
        text = (ROOT / "tests" / path).read_text(encoding="utf-8")
        assert not function or f"def {function}(" in text, name
