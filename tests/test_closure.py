"""Keys cannot lie: what is reached changes them, what is not leaves them alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import dataworth
from dataworth import closure
from dataworth.book import chapters, keys
from dataworth.book.layout import open_layout
from dataworth.data import catalog
from dataworth.runs import Spec
from spec_samples import EVERY, IMAGES, TEXTS

PACKAGE = Path(dataworth.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
)
CHAPTERS = chapters.find(PACKAGE.parents[1])


def forget() -> None:
    for cached in (closure._source, closure._closure, closure._data_files):
        cached.cache_clear()


@pytest.fixture(autouse=True)
def _fresh() -> None:
    """No closure is left over from the test before, in whichever order a worker takes them."""
    forget()


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the package, whose files may be changed; closures are taken of it."""
    root = tmp_path_factory.mktemp("package") / "dataworth"
    shutil.copytree(PACKAGE, root, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    with pytest.MonkeyPatch.context() as patch:
        whole = closure._closure
        patch.setattr(closure, "_closure", lambda start, skip, _: whole(start, skip, root))
        patch.setattr(closure._closure, "cache_clear", whole.cache_clear, raising=False)
        yield root
    forget()


def file_of(root: Path, module: str) -> Path:
    path = root.parent.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def mutated(text: str) -> str:
    """One line of code changed. An `__init__` that only passes names on stays one."""
    if closure._parse("dataworth.any", text, True).facade is not None:
        return text + "\nfrom dataworth.data.splits import divide as _divide\n"
    numbers = re.sub(r"(?<![\w.\"'])(\d+)(?![\w.\"'])", lambda n: str(int(n[1]) + 1), text, count=1)
    try:
        changed = closure.code_of(numbers) != closure.code_of(text)
    except SyntaxError:
        changed = False
    return numbers if changed else text + "\n_CHANGED = 1\n"


def contents(specs: list[Spec]) -> dict[str, str]:
    return {spec.kind: spec.key for spec in specs}


def chapter_keys() -> dict[str, str]:
    layout, found = open_layout("quick"), {}
    for name, (notebook, params) in notebooks().items():
        found[name] = keys.digest(keys.chapter_key(name, notebook, {}, layout, params))
    return found


@cache
def notebooks() -> dict[str, tuple[Any, str | None]]:
    read = {chapter: chapters.read(chapter) for chapter in CHAPTERS}
    return {c.id: (n, chapters.header(c, n).params) for c, n in read.items()}


@pytest.mark.parametrize("room", sorted({name.split(".")[1] for name in MODULES if "." in name}))
def test_one_changed_line_changes_the_keys_that_reach_it_and_no_other(copy: Path, room: str):
    before = contents(EVERY)
    reached = {spec.kind: set(spec.content["modules"]) for spec in EVERY}
    for module in (name for name in MODULES if f"{name}.".startswith(f"dataworth.{room}.")):
        path = file_of(copy, module)
        original = path.read_text()
        path.write_text(mutated(original))
        forget()
        after = contents(EVERY)
        path.write_text(original)
        changed = {kind for kind in before if before[kind] != after[kind]}
        assert changed == {kind for kind in before if module in reached[kind]}, module
    forget()
    assert contents(EVERY) == before


def test_comments_and_docstrings_change_no_key(copy: Path):
    before = contents(EVERY)
    originals = {name: file_of(copy, name).read_text() for name in MODULES}
    for name, text in originals.items():
        file_of(copy, name).write_text(f"# A comment.\n{text}\n\n# Another.\n")
    forget()
    assert contents(EVERY) == before
    for name, text in originals.items():
        file_of(copy, name).write_text(text)


def test_a_data_file_that_code_reads_changes_the_keys(copy: Path):
    before = contents(EVERY)
    path = copy / "images" / "prompts" / "templates.json"
    original = path.read_bytes()
    path.write_bytes(original + b" ")
    forget()
    changed = {kind for kind, key in contents(EVERY).items() if key != before[kind]}
    path.write_bytes(original)
    assert {"synthetic-images", "preview"} <= changed
    assert not changed & {spec.kind for spec in TEXTS}


def changes_in_chapters(copy: Path, *modules: str) -> set[str]:
    forget()
    before = chapter_keys()
    originals = {name: file_of(copy, name).read_text() for name in modules}
    for name, text in originals.items():
        file_of(copy, name).write_text(mutated(text))
    forget()
    after = chapter_keys()
    for name, text in originals.items():
        file_of(copy, name).write_text(text)
    forget()
    return {chapter for chapter in before if before[chapter] != after[chapter]}


def test_the_rooms_of_images_and_texts_leave_each_others_chapters_alone(copy: Path):
    part = {chapter.id: chapter.docname.partition("/")[0] for chapter in CHAPTERS}
    both = {"synthetic-text"}  # reads its curves as those of images are read
    for room in ("images", "text"):
        inside = [name for name in MODULES if f"{name}.".startswith(f"dataworth.{room}.")]
        changed = changes_in_chapters(copy, *inside)
        assert changed == {name for name in part if part[name] == room} | both


def test_a_figures_code_changes_chapters_and_no_run(copy: Path):
    before = contents(EVERY)
    assert len(changes_in_chapters(copy, "dataworth.figures.base")) > 10
    path = file_of(copy, "dataworth.figures.base")
    original = path.read_text()
    path.write_text(mutated(original))
    forget()
    assert contents(EVERY) == before
    path.write_text(original)
    forget()


def test_the_builder_and_the_command_line_change_no_chapter(copy: Path):
    inside = [
        name for name in MODULES if f"{name}.".startswith(("dataworth.book.", "dataworth.cli"))
    ]
    assert changes_in_chapters(copy, *inside) == set()


# ---- Libraries, machine, data -------------------------------------------------------------------


def of_library(name: str) -> Callable[[str], str]:
    real = metadata.version
    return lambda asked: "0.0.1" if asked == name else real(asked)


WITHOUT_TORCH = {"counts", "sampled-text", "shift-pool", "tokenizer", "tokens"}


@pytest.mark.parametrize(
    ("library", "kinds"),
    [
        ("torch", {s.kind for s in EVERY} - WITHOUT_TORCH),
        ("numpy", {s.kind for s in EVERY}),
        ("timm", {"classifier", "fidelity", "recognised", "clip"}),
        ("tokenizers", {s.kind for s in EVERY} - {"shift-pool"}),
        ("scikit-learn", {"scores", "characteristics"}),
        ("alt-profanity-check", {"scores", "characteristics"}),
        ("resvg-py", {"shift-pool", "classifier", "clip", "fidelity", "recognised"}),
        ("rich", set()),
        ("matplotlib", set()),
    ],
)
def test_a_librarys_version_changes_the_keys_that_reach_it(library, kinds, monkeypatch):
    forget()
    before = contents(EVERY)
    monkeypatch.setattr(closure.metadata, "version", of_library(library))
    forget()
    changed = {kind for kind, key in contents(EVERY).items() if key != before[kind]}
    assert changed == kinds
    monkeypatch.undo()
    forget()


def test_every_library_that_is_imported_has_a_version():
    """The names that keys give to libraries are those of installed distributions."""
    known = {
        name.lower().replace("_", "-")
        for names in metadata.packages_distributions().values()
        for name in names
    }
    for spec in EVERY:
        for name, version in spec.content["libraries"].items():
            assert name == "unicode" or name.lower().replace("_", "-") in known, name
            assert version != "not installed", name


@pytest.mark.parametrize(
    "change",
    [
        {"device": "cuda sm_90"},
        {"precision": "float32 instead"},
        {"instructions": "avx2 instead"},
        {"products": "another library"},
    ],
)
def test_the_machine_changes_every_key(change, monkeypatch):
    from dataworth import compute

    before = contents(EVERY)
    machine = {**compute.machine(), **change}
    monkeypatch.setattr(compute, "machine", lambda: machine)
    after = contents(EVERY)
    assert all(after[kind] != before[kind] for kind in before)


# Runs on images that are not evaluated on shifted sets.
UNEVALUATED = {"synthetic-images", "preview", "autoencoder", "generator", "memorisation"}


@pytest.mark.parametrize(
    ("card", "kinds"),
    [
        ("sotu", {s.kind for s in TEXTS}),
        ("fashion-mnist", {s.kind for s in IMAGES}),
        ("fashion-icons", {s.kind for s in IMAGES} - UNEVALUATED),
        ("naughty-words", {"scores", "characteristics"}),
    ],
)
def test_content_of_a_data_set_labels_included_changes_the_keys(card, kinds, monkeypatch):
    """`content_sha256` covers labels, dates and columns (`test_data_text`, `test_data_splits`)."""
    before = contents(EVERY)
    corrected = tuple(
        c.model_copy(update={"content_sha256": "1" * 64}) if c.id == card else c
        for c in catalog.cards()
    )
    monkeypatch.setattr(catalog, "cards", lambda: corrected)
    changed = {kind for kind, key in contents(EVERY).items() if key != before[kind]}
    assert changed == kinds


def test_a_class_without_a_file_has_no_key():
    namespace: dict = {"__name__": "nowhere"}
    exec(
        "from dataworth.runs import Spec\n"
        "class Lost(Spec):\n    kind = 'lost'\n    def run(self, store): ...\n",
        namespace,
    )
    with pytest.raises(dataworth.errors.UserError, match="Lost is defined in nowhere"):
        namespace["Lost"]().key  # noqa: B018


def test_code_that_changes_while_a_program_runs_is_refused(tmp_path):
    """What is loaded is not what is on disk: no result may be stored under the new code's key."""
    shutil.copytree(PACKAGE, tmp_path / "dataworth", ignore=shutil.ignore_patterns("weights"))
    script = (
        "import os, time, dataworth.stats as e; from dataworth import closure; "
        "now = time.time() + 5; os.utime(e.__file__, (now, now)); "
        "closure.run_closure(['dataworth.stats'])"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "was changed while this program was running" in run.stderr


# ---- How imports are followed -------------------------------------------------------------------


def test_only_the_asked_names_of_a_module_that_passes_them_on_are_followed():
    one = closure.closure(closure.imported_by("from dataworth.data import load_images"))
    other = closure.closure(closure.imported_by("import dataworth.data"))
    assert "dataworth.data.text" not in one.modules and "dataworth.data.text" in other.modules


def test_imports_of_every_form_are_found_and_those_for_types_are_not():
    code = """
from typing import TYPE_CHECKING
import dataworth.stats
from dataworth import paths
if TYPE_CHECKING:
    from dataworth.images import clip
else:
    from dataworth.images import styles
def f():
    from dataworth.text.losses import bits_per_byte as b
    import dataworth.fit.laws as laws
"""
    assert set(closure.imported_by(code)) == {
        "dataworth", "dataworth.stats", "dataworth.paths", "dataworth.images.styles",
        "dataworth.text.losses", "dataworth.fit.laws",
    }  # fmt: skip


def test_relative_imports_are_followed():
    assert "dataworth.fit.solver" in closure.closure(["dataworth.fit.model"]).modules


# ---- One digest under every Python --------------------------------------------------------------

SAMPLE = r'''
"""Doc."""
from __future__ import annotations
import a.b as c, d
from . import e
from ..f import (g as h, i)
@c(1, *d, k=2, **e)
class A[B](g, metaclass=h):
    """Doc."""
    x: int = 1_000
    y = 1e10, 0x1f, 1j, b"\xff", "ü\u2028\U0001f642", ..., None, True
def f(a, b=1, /, c: "int" = 2, *d, e, f=3, **g) -> None:
    """Doc."""
    global z
    try:
        x = f"{a!r:>{b}} {{}} {c=} " "tail" f"{d}" f""
        y = f"{x:}" rf"\d{x}" "a" "b"
    except* (ValueError, TypeError) as error:
        raise X from error
    else:
        pass
    finally:
        del x, y
    with open(a) as b, c: ...
    while (n := n - 1) > 0: continue
    for i, (j, *k) in d: break
    else: assert i, "no"
    return lambda *a, b=1: (yield), [x for x in y if x async for z in w]
async def g():
    await x
    async with a as b: pass
    match x:
        case {"a": 1, **rest} | [1, *_] | A(b=2) as q if q: pass
        case None | -1 | "s" | (a.b): pass
    return {**a, 1: 2}, {1, 2}, a[1:2, ::3], a if b else c, not a, -b, a @ b, a <= b < c
'''.replace("class A[B](", "class A(")  # the form with type parameters needs Python 3.12
DIGEST = "8979df5c89529127"


def test_the_digest_is_the_same_under_every_python():
    assert closure.code_of(SAMPLE) == DIGEST


def pythons() -> list[str]:
    found = [shutil.which(f"python3.{minor}") for minor in range(11, 16)]
    works = [
        p for p in found if p and not subprocess.run([p, "-c", ""], capture_output=True).returncode
    ]
    return [p for p in works if f"3.{sys.version_info.minor}" not in Path(p).name]


@pytest.mark.parametrize("python", pythons() or [pytest.param("", marks=pytest.mark.skip("one"))])
def test_every_module_has_the_same_digest_under_the_other_pythons_here(python):
    script = (
        "import json, pathlib, dataworth.closure as c; "
        "print(json.dumps({str(p): c.code_of(p.read_text()) "
        "for p in sorted(c.ROOT.rglob('*.py'))}))"
    )
    run = subprocess.run(
        [python, "-c", script],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    here = {str(p): closure.code_of(p.read_text()) for p in sorted(PACKAGE.rglob("*.py"))}
    assert json.loads(run.stdout) == here
