"""What decides a result besides its parameters: the code that is reached, the libraries, the data.

One function (`closure`) follows the imports of a module, those inside functions included, and gives
every module of this package that can take part. Keys of runs and keys of chapters are both made of
it, so nobody keeps a list of sources by hand. Nothing is imported: files are parsed.

A digest is of the syntax tree without comments, docstrings and layout, and is the same under every
supported Python.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import sys
import time
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path
from types import UnionType
from typing import Any

from dataworth.errors import UserError
from dataworth.remembered import remembered

PACKAGE = "dataworth"
ROOT = Path(__file__).parent
_STARTED = time.time()

PRESENTATION = (
    "book", "claims", "claims_file", "cli", "display", "figures", "logs", "published", "tables",
    "verdicts", "why",
)  # fmt: skip
"""Rooms that show results: an edit there re-executes chapters and no run."""

CARRIERS = (
    "", "closure", "errors", "paths", "parameters", "threads",
    "data.large", "data.providers", "data.sharded", "data.store", "remembered",
    "runs.cli", "runs.engine", "runs.engines", "runs.forecast", "runs.kept", "runs.leases",
    "runs.progress", "runs.report", "runs.spec", "runs.store", "weights",
)  # fmt: skip
"""Modules that bring inputs, words and results from one place to another and make none of them
(data are checked by content wherever they come from), or serve dry runs only. "" is the package's
own `__init__`."""

PINNED = ("cards.yaml", "icons.yaml", "large.yaml", "large_texts.yaml", "published_data", "weights")
"""Files of the package that a run's key names by their content elsewhere (a card's key, the digest
of weights) or that no run reads."""

LIBRARIES = {
    "PIL": "pillow",
    "open_clip": "open-clip-torch",
    "profanity_check": "alt-profanity-check",
    "resvg_py": "resvg-py",
    "sklearn": "scikit-learn",
    "vaderSentiment": "vaderSentiment",
    "yaml": "pyyaml",
}
"""Distributions whose name is not that of the module they bring."""

WITHOUT_EFFECT = {
    "IPython", "filelock", "huggingface-hub", "joblib", "psutil", "pydantic", "pyyaml", "rich",
    "tqdm", "typer",
}  # fmt: skip
"""Libraries that carry, check or show values: their version decides no result."""

UNDER = {
    "alt-profanity-check": ("scikit-learn", "scipy", "numpy"),
    "datasets": ("pyarrow", "pillow"),
    "detoxify": ("transformers", "tokenizers", "torch"),
    "diffusers": ("torch", "transformers", "tokenizers", "pillow"),
    "open-clip-torch": ("torch", "torchvision", "timm"),
    "pandas": ("numpy",),
    "scikit-learn": ("scipy", "numpy"),
    "textstat": ("pyphen", "nltk"),
    "timm": ("torch", "torchvision"),
    "transformers": ("torch", "tokenizers"),
}
"""What computes below a library without being imported by us."""


@dataclass(frozen=True)
class Source:
    """One parsed module. `digest`: of its code; `imports`: pairs (module, name or None)."""

    name: str
    digest: str
    imports: tuple[tuple[str, str | None], ...]
    strings: frozenset[str]
    facade: Mapping[str, tuple[str, str | None]] | None = None
    """Where each name comes from, for an `__init__` that only passes names on."""


@dataclass(frozen=True)
class Closure:
    """What a set of modules reaches: digests of modules and data files, versions of libraries, and
    the text constants of all modules but those of the data room, which loads what it is asked for
    (names of data sets are found among them), with `foreign` those of modules outside this
    package."""

    modules: dict[str, str]
    files: dict[str, str]
    libraries: dict[str, str]
    strings: frozenset[str] = field(repr=False)
    foreign: frozenset[str] = field(repr=False)


def closure(start: Iterable[str], *, skip: Collection[str] = (), root: Path = ROOT) -> Closure:
    """What the modules `start` reach, themselves included.

    skip: rooms of this package (dotted, without its name) that are not followed. root: the
    package's folder, for tests on a changed copy.
    """
    return _closure(tuple(sorted(set(start))), tuple(sorted(skip)), root)


def run_closure(start: Iterable[str], *, root: Path = ROOT) -> Closure:
    """`closure` for the key of a run: presentation and carriers left out."""
    return closure(start, skip=(*PRESENTATION, *CARRIERS), root=root)


@lru_cache(maxsize=256)
def _closure(start: tuple[str, ...], skip: tuple[str, ...], root: Path) -> Closure:
    found: dict[str, Source] = {}
    libraries: set[str] = set()
    todo: list[tuple[str, str | None]] = [(name, None) for name in start]
    done: set[tuple[str, str | None]] = set()
    while todo:
        module, attribute = pair = todo.pop()
        if pair in done:
            continue
        done.add(pair)
        for name in _needed(module, attribute, root):
            if name in found or _skipped(name, skip):
                continue
            if (source := _source(name, root)) is None:
                if library := _library(name.partition(".")[0]):
                    libraries.add(library)
                continue
            found[name] = source
            todo += source.imports
    remembered(__file__).save()
    inside, outside, foreign = frozenset[str](), frozenset[str](), frozenset[str]()
    for name, source in found.items():
        if name.startswith(f"{PACKAGE}.data."):
            inside |= source.strings
        else:
            outside |= source.strings
            foreign |= frozenset() if name.startswith(PACKAGE) else source.strings
    return Closure(
        {name: found[name].digest for name in sorted(found)},
        _files(inside | outside, skip, root),
        versions(libraries),
        outside,
        foreign,
    )


def _skipped(name: str, skip: Collection[str]) -> bool:
    if name != PACKAGE and not name.startswith(f"{PACKAGE}."):
        return False
    inner = name.removeprefix(PACKAGE).removeprefix(".")
    return inner in skip or any(room and inner.startswith(f"{room}.") for room in skip)


def _needed(module: str, attribute: str | None, root: Path) -> Iterator[str]:
    """The modules that `from module import attribute` (or `import module`) takes code from.

    A name that an `__init__` only passes on is looked up where it is defined: an edit of a module
    beside it changes nothing.
    """
    if attribute is not None:
        if _path(f"{module}.{attribute}", root) is not None:
            yield from _needed(f"{module}.{attribute}", None, root)
            return
        source = _source(module, root)
        if source is not None and source.facade is not None and attribute in source.facade:
            yield from _needed(*source.facade[attribute], root)
            return
    yield module
    parent = module.rpartition(".")[0]
    while parent:  # importing a module runs the `__init__` of every package around it
        source = _source(parent, root)
        if source is not None and source.facade is None:
            yield parent
        parent = parent.rpartition(".")[0]


def _path(name: str, root: Path) -> Path | None:
    """The source file of a module of this package, or of a script or notebook beside it."""
    top, _, inner = name.partition(".")
    if top == PACKAGE:
        base = root.joinpath(*inner.split(".")) if inner else root
        for path in (base.with_suffix(".py") if inner else None, base / "__init__.py"):
            if path is not None and path.is_file():
                return path
        return None
    if top == "__main__":
        script = Path(str(getattr(sys.modules[top], "__file__", "")))
        return script if script.suffix == ".py" and script.is_file() else None
    if top in sys.stdlib_module_names or _library(top):
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    found = Path(spec.origin) if spec and spec.origin else None
    return found if found is not None and found.suffix == ".py" and found.is_file() else None


@cache
def _library(top: str) -> str | None:
    """The distribution that brings a top-level module; None for the standard library and ours."""
    if top == "unicodedata":
        return "unicode"
    if top == PACKAGE or top in sys.stdlib_module_names:
        return None
    name = LIBRARIES.get(top, top.replace("_", "-"))
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        try:
            return None if importlib.util.find_spec(top) else name
        except (ImportError, ValueError):
            return name
    return name


def versions(names: Iterable[str]) -> dict[str, str]:
    """Installed versions of the libraries that compute, with those `UNDER` them; "unicode" is the
    version of Python's character tables."""
    wanted, todo = set(), list(names)
    while todo:
        if (name := todo.pop()) not in wanted and name not in WITHOUT_EFFECT:
            wanted.add(name)
            todo += UNDER.get(name, ())
    return {name: version(name) for name in sorted(wanted)}


def version(name: str) -> str:
    """The installed version of a distribution, or "not installed"."""
    if name == "unicode":
        return unicodedata.unidata_version
    return _installed(metadata.version, name)


@cache
def _installed(ask: Callable[[str], str], name: str) -> str:
    try:
        return ask(name)
    except metadata.PackageNotFoundError:
        return "not installed"


@cache
def _source(name: str, root: Path) -> Source | None:
    """A module of ours, parsed once in a process; None for anything else."""
    path = _path(name, root)
    if path is None:
        return None
    if path.stat().st_mtime > _STARTED and name in sys.modules and path.is_relative_to(ROOT):
        raise UserError(
            f"{path} was changed while this program was running: what is loaded and what is on "
            "disk differ, so no result can be stored under its key; start again."
        )
    return _parse(name, path.read_text(encoding="utf-8"), path.name == "__init__.py")


@lru_cache(maxsize=1024)
def _parse(name: str, text: str, package: bool) -> Source:
    known = remembered(__file__)
    key = known.key(name, text, str(package))
    if (value := known.get(key)) is None:
        tree = ast.parse(text)
        _drop_docstrings(tree)
        above = name if package else name.rpartition(".")[0]
        value = {
            "digest": hashlib.sha256(canonical(tree).encode()).hexdigest()[:16],
            "imports": list(dict.fromkeys(_imports(tree, above))),
            "strings": sorted(strings_of(tree)),
            "facade": _facade(tree, name) if package else None,
        }
        known.put(key, value)
    return Source(
        name,
        value["digest"],
        tuple((module, of) for module, of in value["imports"]),
        frozenset(value["strings"]),
        value["facade"]
        and {shown: (module, of) for shown, (module, of) in value["facade"].items()},
    )


def code_of(source: str) -> str:
    """Digest of a piece of Python: comments, docstrings and layout do not count. Raises
    SyntaxError."""
    tree = ast.parse(source)
    _drop_docstrings(tree)
    return hashlib.sha256(canonical(tree).encode()).hexdigest()[:16]


@lru_cache(maxsize=8)
def parsed(source: str) -> ast.Module:
    """The syntax tree of a script or of a notebook's cells; not to be changed."""
    return ast.parse(source)


def imported_by(source: str) -> list[str]:
    """Modules of this package that a script or a notebook's cells import, as `closure` takes them:
    by dotted name, a name of a module that passes it on being looked up."""
    tree = parsed(source)
    pairs = [pair for pair in _imports(tree, "") if pair[0].partition(".")[0] == PACKAGE]
    return sorted({name for module, of in pairs for name in _needed(module, of, ROOT)})


def libraries_of(source: str) -> set[str]:
    """Distributions that a script or a notebook's cells import."""
    tops = {module.partition(".")[0] for module, _ in _imports(parsed(source), "")}
    return {library for top in tops if (library := _library(top))}


def _drop_docstrings(tree: ast.AST) -> None:
    todo = [tree]
    while todo:
        node = todo.pop()
        todo += _bodies(node)
        match node:
            case (
                ast.Module(body=[ast.Expr(value=ast.Constant(value=str())), *_])
                | ast.ClassDef(body=[ast.Expr(value=ast.Constant(value=str())), *_])
                | ast.FunctionDef(body=[ast.Expr(value=ast.Constant(value=str())), *_])
                | ast.AsyncFunctionDef(body=[ast.Expr(value=ast.Constant(value=str())), *_])
            ):
                node.body = node.body[1:]


def _imports(tree: ast.AST, package: str) -> Iterator[tuple[str, str | None]]:
    """(module, name) of every import that can run; those for the type checker cannot."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                todo += node.orelse
                continue
            case ast.Import():
                for alias in node.names:
                    yield alias.name, None
            case ast.ImportFrom():
                base = node.module or ""
                if node.level:
                    above = package.split(".")[: len(package.split(".")) - node.level + 1]
                    base = ".".join([*above, *([base] if base else [])])
                for alias in node.names:
                    yield base, None if alias.name == "*" else alias.name
        todo += _bodies(node)


def _bodies(node: ast.AST) -> list[ast.AST]:
    """The parts of a node that may hold statements: expressions, most of a tree, hold none."""
    inner = (ast.stmt, ast.excepthandler, ast.match_case)
    return [child for child in ast.iter_child_nodes(node) if isinstance(child, inner)]


def _facade(tree: ast.Module, package: str) -> dict[str, tuple[str, str | None]] | None:
    """Origin of each name of an `__init__` of nothing but imports and `__all__`, else None."""
    origins: dict[str, tuple[str, str | None]] = {}
    for node in tree.body:
        match node:
            case ast.ImportFrom(module="__future__"):
                continue
            case ast.ImportFrom():
                pairs = list(_imports(node, package))
                for alias, pair in zip(node.names, pairs, strict=True):
                    origins[alias.asname or alias.name] = pair
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                continue
            case _:
                return None
    return origins


def strings_of(tree: ast.AST) -> frozenset[str]:
    """All text constants of a syntax tree, short ones: names, not prose."""
    return frozenset(
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 80
    )


def texts_in(value: Any) -> Iterator[str]:
    """All texts in plain JSON (tables of numbers are not looked through)."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts_in(item)
    elif isinstance(value, list) and not plain(value, int | float):
        for item in value:
            yield from texts_in(item)


def plain(values: Sequence[Any], kinds: type | UnionType) -> bool:
    """Whether a list is empty, or holds values of these kinds or rows of them: told by what comes
    first, for lists of ids and spans have as many items as a run has documents."""
    if not values:
        return True
    first = values[0] if isinstance(values[0], tuple | list) else values[:1]
    return len(first) > 0 and all(isinstance(item, kinds) for item in first)


def _files(strings: Collection[str], skip: Collection[str], root: Path) -> dict[str, str]:
    """Digests of the package's data files that the code names, or whose folder it names."""
    wanted = frozenset(strings)
    left_out = frozenset(PINNED if set(CARRIERS) <= set(skip) else ())
    found = {}
    for path, (digest, names) in _data_files(root).items():
        if names & wanted and not names & left_out:
            found[path] = digest
    return found


@cache
def _data_files(root: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Every file of the package that is not code, by its path below it: its digest, and the names
    it goes by (its own, and those of the folders around it that hold no code)."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            inner = path.relative_to(root)
            folders = [
                f for f in inner.parents if f.name and not (root / f / "__init__.py").exists()
            ]
            names = frozenset([path.name, *(folder.name for folder in folders)])
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
            found[inner.as_posix()] = (digest, names)
    return found


# ---- A syntax tree as text --------------------------------------------------------------------

_SILENT = frozenset({"ctx", "type_comment", "type_ignores", "kind"})


def canonical(tree: ast.AST) -> str:
    """The tree as text that is equal under Python 3.11 and later (`ast.dump` is not: versions
    differ in the fields they know and in which empty ones they show)."""
    return json.dumps(_plain(tree), separators=(",", ":"))


def _plain(node: Any) -> Any:
    match node:
        case ast.Constant():
            return ["Constant", _constant(node.value)]
        case ast.JoinedStr():
            return ["JoinedStr", _joined(node.values)]
        case ast.AST():
            fields = [
                [name, _plain(value)]
                for name, value in ast.iter_fields(node)
                if name not in _SILENT and value is not None and value != []
            ]
            return [type(node).__name__, *fields]
        case list():
            return [_plain(item) for item in node]
        case str() | None | bool():
            return node
        case _:
            return repr(node)


def _constant(value: object) -> list[Any]:
    # Not repr for text: which characters it escapes depends on Python's Unicode tables.
    shown = value if isinstance(value, str) else repr(value)
    return [type(value).__name__, shown]


def _joined(values: list[ast.expr]) -> list[Any]:
    """The parts of an f-string, neighbouring texts as one: versions cut them differently."""
    parts: list[Any] = []
    for value in values:
        match value:
            case ast.Constant(value=str() as text):
                if parts and isinstance(parts[-1], str):
                    parts[-1] += text
                elif text:
                    parts.append(text)
            case _:
                parts.append(_plain(value))
    return parts
