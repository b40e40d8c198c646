"""The key of a spec: stable, complete, and blind to what does not decide a result."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError
from run_specs import Reordered, Tiny

from dataworth.runs import Outcome, Spec, Store
from dataworth.runs.spec import code_digest

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
    assert Tiny(**fields).key == shuffled.key == Reordered(**fields).key


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


@pytest.fixture
def digest(tmp_path, monkeypatch):
    """Digest of a module with this text, always freshly read."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def of(text: str, name: str = "written_for_digest") -> str:
        (tmp_path / f"{name}.py").write_text(text)
        code_digest.cache_clear()
        return code_digest((name,))

    yield of
    code_digest.cache_clear()


@pytest.mark.parametrize("change", SAME)
def test_text_that_does_not_run_leaves_the_digest(digest, change):
    old, new = SAME[change]
    assert old in CODE
    assert digest(CODE) == digest(CODE.replace(old, new))


@pytest.mark.parametrize("change", OTHER)
def test_code_that_runs_changes_the_digest(digest, change):
    old, new = OTHER[change]
    assert old in CODE
    assert digest(CODE) != digest(CODE.replace(old, new))


def test_digest_names_its_modules(digest):
    assert digest(CODE, "one_module") != digest(CODE, "other_module")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        code_digest(("no_such_module",))


def test_key_follows_the_code_of_the_sources(digest):
    class Coded(Spec):
        kind = "coded"

        def sources(self) -> tuple[str, ...]:
            return ("written_for_digest",)

        def run(self, store: Store) -> Outcome:
            raise NotImplementedError

    digest(CODE)
    before = Coded().key
    digest(CODE.replace("# exactly", ""))
    assert Coded().key == before
    digest(CODE.replace("2 * x", "3 * x"))
    assert Coded().key != before
