import ast
from pathlib import Path

import pytest

import dataworth
from dataworth.book import chapters, keys
from dataworth.book.layout import open_layout, write_atomic

VALUES = {"slope": 3.0}


def key(layout, values=VALUES):
    chapter = chapters.get(layout.root, "line-fit")
    return keys.chapter_key(chapter.id, chapters.read(chapter), values, layout)


def edit(layout, old, new):
    path = layout.book / "part" / "line_fit.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_prose_does_not_count(example):
    before = key(example)
    edit(example, "First prose", "Better prose")
    edit(example, "We draw points", "# %% [markdown]\n# A new cell.\n\n# %% [markdown]\n# We draw")
    assert key(example) == before


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda e: edit(e, "np.arange(points)", "np.arange(points) + 1"), "code cells"),
        (
            lambda e: write_atomic(e.book / "recorded" / "full" / "line-fit.json", "{}"),
            "recorded run",
        ),
        (lambda e: (e.root / "requirements.lock").write_text("numpy==9\n"), "requirements.lock"),
    ],
)
def test_each_part_is_named_when_it_changes(example, change, part):
    before = key(example)
    change(example)
    assert keys.changed_parts(before, key(example)) == [part]


def test_parameters_and_profile_count(example):
    before = key(example)
    assert keys.changed_parts(before, key(example, {"slope": 4.0})) == ["parameters"]
    paper = open_layout("paper", example.root)
    assert keys.changed_parts(before, key(paper)) == ["parameters"]


def test_comments_docstrings_and_spacing_do_not_count():
    one = 'def f(x):\n    """Text."""\n    return x  # why\n'
    two = "# head\n\ndef f( x ):\n    return x\n"
    assert keys.normalised(one) == keys.normalised(two)
    assert keys.normalised(one) != keys.normalised(two.replace("return x", "return -x"))


def test_library_key_covers_data_files_but_not_the_book(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "page.py").write_text("a = 1")
    (tmp_path / "weights.bin").write_bytes(b"1")
    (tmp_path / "core.py").write_text("a = 1")

    def now():
        keys.package_key.cache_clear()
        return keys.package_key(tmp_path)

    before = now()
    (tmp_path / "book" / "page.py").write_text("a = 2")
    assert now() == before
    (tmp_path / "weights.bin").write_bytes(b"2")
    after = now()
    assert after != before
    (tmp_path / "core.py").write_text("a = 2")
    assert now() != after


def test_what_chapters_import_never_imports_the_book():
    """The key leaves out book/ and cli.py; that is right only while this holds."""
    package = Path(dataworth.__file__).parent
    for path in package.rglob("*.py"):
        name = path.relative_to(package).as_posix()
        if name.startswith(keys.NOT_IN_KEY):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in getattr(node, "names", []) if isinstance(a, ast.alias)]
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{n}" for n in names]
            for imported in names:
                assert not imported.startswith(("dataworth.book", "dataworth.cli")), name
