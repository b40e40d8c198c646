"""Remembered values: what stands there is what would be computed, or it is computed."""

import sys

import pytest

from dataworth import closure
from dataworth.remembered import MOST_ENTRIES, Remembered, remembered


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "package" / "functions.py"
    path.parent.mkdir()
    path.write_text("def f(): ...\n")
    return path


def kept(module, **values):
    """A memory with values by one text each, written."""
    first = Remembered(str(module))
    for text, value in values.items():
        first.put(first.key(text), value)
    first.save()
    return first


def test_another_process_finds_it(module):
    first = kept(module, a={"digest": "x", "imports": [["m", None]]}, b=None)
    assert first.path.parent == module.parent / "__pycache__"
    again = Remembered(str(module))
    assert again.get(again.key("a")) == {"digest": "x", "imports": [["m", None]]}
    assert again.get(again.key("c")) is None
    assert list(first.path.parent.iterdir()) == [first.path]


def test_keys_tell_texts_and_code_apart(module):
    texts = [("a", "b"), ("ab",), ("ab", ""), ("", "ab"), ('a", "b',)]
    first = Remembered(str(module))
    assert len({first.key(*each) for each in texts}) == len(texts)
    module.write_text("def f(): return 1\n")
    assert Remembered(str(module)).key("ab") != first.key("ab")


@pytest.mark.parametrize("place", [0, 70, -5])
def test_a_damaged_file_is_none(module, place):
    first = kept(module, a={"digest": "right"})
    whole = bytearray(first.path.read_bytes())
    whole[place] ^= 1
    first.path.write_bytes(whole)
    again = Remembered(str(module))
    assert again.get(again.key("a")) is None
    for broken in (b"", b"\n", b"\xff", whole[:40]):
        first.path.write_bytes(broken)
        assert Remembered(str(module)).get(first.key("a")) is None


def test_a_folder_that_cannot_be_written_is_no_error(module):
    (module.parent / "__pycache__").write_text("no folder")
    kept(module, a=1)
    assert (module.parent / "__pycache__").read_text() == "no folder"


def test_nothing_is_written_where_no_bytecode_is(module, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert not kept(module, a=1).path.exists()


def test_it_does_not_grow_for_ever(module):
    first = kept(module, **{f"n{i}": i for i in range(MOST_ENTRIES + 7)})
    again = Remembered(str(module))
    assert again.get(again.key("n6")) is None and again.get(again.key("n7")) == 7
    assert first.get(first.key("n6")) == 6


def test_a_closure_is_the_same_with_and_without_it(module, monkeypatch):
    """Every module of the package, parsed and remembered."""
    names = [
        f"dataworth.{path.relative_to(closure.ROOT).with_suffix('').as_posix().replace('/', '.')}"
        for path in sorted(closure.ROOT.rglob("*.py"))
    ]
    files = [path.read_text(encoding="utf-8") for path in sorted(closure.ROOT.rglob("*.py"))]
    memory = Remembered(str(module))
    monkeypatch.setattr(closure, "remembered", lambda file: memory)

    def parsed():
        closure._parse.cache_clear()
        return [
            closure._parse(name, text, name.endswith("__init__"))
            for name, text in zip(names, files, strict=True)
        ]

    first = parsed()
    memory.save()
    assert memory.path.stat().st_size > 10_000
    memory = Remembered(str(module))
    assert parsed() == first and not memory.new
    closure._parse.cache_clear()


def test_one_for_a_module_in_a_process():
    assert remembered("x.py") is remembered("x.py")
