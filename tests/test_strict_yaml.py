"""Reference: PyYAML where both readings must agree, and the core schema of YAML 1.2 elsewhere."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dataworth import strict_yaml
from dataworth.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = [*ROOT.glob("params/*/*.yaml"), ROOT / "_toc.yml", ROOT / "_config.yml"]

text = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner),
    max_leaves=8,
)  # fmt: skip


@given(values)
def test_what_json_says_is_read_as_it_is(value):
    """YAML 1.2 holds JSON: an independent writer, every type."""
    assert strict_yaml.parse(json.dumps(value, ensure_ascii=False), "x").value == value


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_shipped_files_mean_the_same_to_pyyaml(path):
    """`papermill -f` and Jupyter Book read them with PyYAML."""
    assert strict_yaml.read(path, path.name).value == yaml.safe_load(path.read_text())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12:30:45", "12:30:45"), ("2024-01-01", "2024-01-01"), ("2024-13-45", "2024-13-45"),
        ("yes", "yes"), ("off", "off"), ("1_000", "1_000"), ("0x1F", 31), ("0o17", 15),
        ("1e5", 1e5), (".5", 0.5), ("5.", 5.0), ("+3", 3), ("-0", 0), ("0", 0), ("'017'", "017"),
        ("TRUE", True), ("~", None), ("", None), ("٣", "٣"), ("=", "="), ("0.0", 0.0),
    ],
)  # fmt: skip
def test_the_core_schema(text, value):
    found = strict_yaml.parse(f"a: {text}", "x").value["a"]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("b: 1\na: 1\na: 2", "x, line 3: 'a' stands here and in line 2."),
        ("a:\n  b: 1\n  b: 2\nc: 3", "x, line 3: field 'a': 'b' stands here and in line 2."),
        ("a: 017\nb: 1", "x, line 1: field 'a': 017 begins with a zero; write 17 or 0o17."),
        ("a: .nan", "x, line 1: field 'a': .nan is not a finite number."),
        ("a: -.INF", "x, line 1: field 'a': -.INF is not a finite number."),
        ("a: 1e999", "x, line 1: field 'a': 1e999 is not a finite number."),
        ("a: &b [1]\nc: *b", "x, line 1: field 'a': anchors and aliases (& and *) are not"),
        ("a: !!int 3", "x, line 1: field 'a': the tag 'tag:yaml.org,2002:int' is not allowed."),
        ("a: !x 3", "x, line 1: field 'a': the tag '!x' is not allowed."),
        ("1: 2", "x, line 1: a key is not text."),
        ("a: 1\n? [1]\n: 2", "x, line 2: a key is not text."),
        ("a: {1: 2}", "x, line 1: field 'a': a key is not text."),
        ("a: " + "[" * 5000, "x, line 1: field 'a': it is nested more than 20 deep."),
        ("[" * 5000, "x, line 1: it is nested more than 20 deep."),
        ("a: 1\nb: [", "x, line 2 is not YAML: "),
        ("--- 1\n--- 2", "x, line 2 is not YAML: expected a single document"),
        ("a: \x07", "x is not YAML: unacceptable character #x0007"),
        (r'a: "\x1b[31m"', r"x, line 1: field 'a': '\x1b[31m' holds a control character."),
        (r'a: ["\ud800"]', r"x, line 1: field 'a': '\ud800' holds a control character."),
        ("a: \u202e1", r"x, line 1: field 'a': '\u202e1' holds a control character."),
        ("a: " + "9" * 5000, "x, line 1: field 'a': the number 9999"),
    ],
)
def test_refusals_name_the_line_and_the_field(text, said):
    with pytest.raises(UserError) as caught:
        strict_yaml.parse(text, "x")
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "x.yaml"
    for data, said in (
        (None, "x cannot be read: No such file or directory."),
        (b"a: 1\nb: \xff", "x, line 2: byte 0xff is not UTF-8 (field 'b')."),
        (b"a: 1\n" * 300_000, "x is larger than 1 MiB."),
        ("a: 1".encode("utf-16"), "x, line 1: byte 0xff is not UTF-8."),
    ):
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(UserError) as caught:
            strict_yaml.read(path, "x")
        assert str(caught.value) == said


def test_lines_are_those_of_the_outermost_keys():
    assert strict_yaml.parse("# c\na: 1\nb:\n  c: 2\n", "x", first_line=5).lines == {"a": 6, "b": 7}
