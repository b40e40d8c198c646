"""The key of a spec: stable, complete, and blind to what does not decide a result."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError
from run_specs import Tiny

from dataworth import closure
from dataworth.runs.spec import key_of

FIELDS = st.fixed_dictionaries(
    {
        "a": st.integers(-(2**53), 2**53),
        "b": st.floats(allow_nan=False, allow_infinity=False),
        "c": st.text(max_size=8),
        "d": st.lists(st.integers(0, 9), max_size=5).map(tuple),
    }
)


def test_key_is_the_same_in_another_process():
    spec = Tiny(a=3, c="ü\u2028", d=(4, 5))
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from run_specs import Tiny; "
        r"print(Tiny(a=3, c='ü\u2028', d=(4, 5)).key)"
    )
    keys = {
        subprocess.run(
            [sys.executable, "-c", code, str(Path(__file__).parent)],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert keys == {spec.key}
    assert len(spec.key) == 32 and set(spec.key) <= set("0123456789abcdef")


@given(FIELDS, st.randoms())
def test_key_does_not_depend_on_the_order_of_fields(fields, random):
    names = list(fields)
    random.shuffle(names)
    shuffled = Tiny(**{name: fields[name] for name in names})
    assert Tiny(**fields).key == shuffled.key


@given(FIELDS, FIELDS)
def test_key_differs_when_any_field_differs(one, other):
    assume(one != other)
    assert Tiny(**one).key != Tiny(**other).key
    for name in one:
        if one[name] != other[name]:
            assert Tiny(**one).key != Tiny(**(one | {name: other[name]})).key


def test_key_differs_between_kinds():
    class Other(Tiny):
        kind = "other"

    assert Tiny().key != Other().key


def test_a_spec_is_frozen_and_knows_its_fields():
    with pytest.raises(ValidationError):
        Tiny(a=1).a = 2
    with pytest.raises(ValidationError):
        Tiny(e=1)


CODE = '''"""A module."""

def twice(x: int) -> int:
    """Two times x."""
    return 2 * x  # exactly


class Box:
    """Holds."""

    size = 3
'''
SAME = {
    "module docstring": ('"""A module."""', '"""Another text."""'),
    "no module docstring": ('"""A module."""\n', ""),
    "function docstring": ("Two times x.", "Double."),
    "no function docstring": ('    """Two times x."""\n', ""),
    "class docstring": ('"""Holds."""', '"""Holds things."""'),
    "comment": ("# exactly", "# about"),
    "layout": ("return 2 * x", "return (\n        2 * x\n    )"),
    "empty lines": ("\n\n\nclass", "\n\n\n\n\nclass"),
}
OTHER = {
    "constant": ("2 * x", "3 * x"),
    "operator": ("2 * x", "2 + x"),
    "name": ("twice", "double"),
    "annotation": ("x: int", "x: float"),
    "class attribute": ("size = 3", "size = 4"),
    "a string that is no docstring": ("    size = 3", '    size = 3\n    "note"'),
}


@pytest.mark.parametrize("change", SAME)
def test_text_that_does_not_run_leaves_the_digest(change):
    old, new = SAME[change]
    assert old in CODE
    assert closure.code_of(CODE) == closure.code_of(CODE.replace(old, new))


@pytest.mark.parametrize("change", OTHER)
def test_code_that_runs_changes_the_digest(change):
    old, new = OTHER[change]
    assert old in CODE
    assert closure.code_of(CODE) != closure.code_of(CODE.replace(old, new))


def test_the_key_of_a_class_of_ones_own_follows_its_module_and_what_that_imports(
    tmp_path, monkeypatch
):
    """A module outside this package, with a helper beside it that a function imports."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_helper.py").write_text(CODE)
    (tmp_path / "own_spec.py").write_text(
        "from dataworth.runs import Outcome, Spec\n"
        "class Own(Spec):\n"
        "    kind = 'own'\n"
        "    def run(self, store):\n"
        "        from own_helper import twice\n"
        "        return Outcome({}, {'two': twice(1)})\n"
    )
    own = importlib.import_module("own_spec").Own

    def key() -> str:
        closure._source.cache_clear()
        closure._closure.cache_clear()
        return own().key

    before = key()
    assert set(own().content["modules"]) == {"own_helper", "own_spec"}
    (tmp_path / "own_helper.py").write_text(CODE.replace("# exactly", ""))
    assert key() == before
    (tmp_path / "own_helper.py").write_text(CODE.replace("2 * x", "3 * x"))
    assert key() != before


def test_a_changed_copy_of_a_spec_has_a_key_of_its_own():
    spec = Tiny(a=1)
    assert spec.key != spec.model_copy(update={"a": 2}).key == Tiny(a=2).key


def test_the_key_is_the_hash_of_the_content_also_when_read_back():
    content = Tiny(a=3, b=1e-300, c="ü\u2028", d=(4, 5)).content
    assert key_of(json.loads(json.dumps(content))) == Tiny(a=3, b=1e-300, c="ü\u2028", d=(4, 5)).key


def test_the_identity_follows_the_fields_and_neither_code_nor_machine(monkeypatch):
    spec = Tiny(a=3)
    before = spec.identity, spec.key
    monkeypatch.setattr("dataworth.compute.machine", lambda: {"device": "another"})
    assert (spec.identity, spec.key == before[1]) == (before[0], False)
    assert Tiny(a=4).identity != spec.identity != Tiny(a=3, c="y").identity
