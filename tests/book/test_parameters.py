import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataworth.book import chapters, parameters
from dataworth.book.layout import open_layout
from dataworth.errors import UserError
from dataworth.parameters import Parameters, field

ROOT = Path(__file__).resolve().parents[2]


def resolve(layout, overrides=None):
    return parameters.of_chapter("line-fit", layout.profile, layout.root, overrides)


def write(layout, text):
    (layout.params / "line_fit.yaml").write_text(text)


def edit(layout, old, new):
    path = layout.book / "part" / "line_fit.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_cell_then_profile_then_command_line(example):
    assert resolve(example).values == {"slope": 3.0, "points": 10, "seed": 0}
    assert resolve(example, {"points": 7}).values == {"slope": 3.0, "points": 7, "seed": 0}


def test_rows_tell_value_default_unit_and_meaning(example):
    row = resolve(example).rows[1]
    assert (row.name, row.value, row.default, row.unit) == ("points", 10, 5, "points")
    assert row.meaning == "points | drawn"


def test_a_notebook_shows_its_parameters(monkeypatch):
    class Few(Parameters):
        words: str = field("what is <said>", "words")
        sizes: tuple[int, ...] = field("numbers of images", "images")

    shown = []
    names = {"words": "<b>", "sizes": [1, 2], "other": 3}
    monkeypatch.setattr("dataworth.display.aside", shown.append)
    made = Few.from_names(names)
    page = shown[0]["text/html"]
    cells = re.findall("<td.*?>(.*?)</td>", page)
    words = ["<code>words</code>", "&#x27;&lt;b&gt;&#x27;", "what is &lt;said&gt; (words)"]
    assert cells == [*words, "<code>sizes</code>", "[1, 2]", "numbers of images"]
    assert page.startswith("<details>") and "2 parameters" in page
    assert made._repr_html_() == page


def test_injected_values_are_those_of_the_file(example):
    """`papermill -f params/smoke/line_fit.yaml` and we give the kernel the same values."""
    stored = yaml.safe_load((example.params / "line_fit.yaml").read_text())
    values = resolve(example).values
    assert {k: values[k] for k in stored} == stored


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("slope: -1", r"'slope' is -1 \(params/smoke/line_fit.yaml, line 1\): input should be g"),
        ("\npoints: many", r"'points' is 'many' \(.*line 2\): input should be a valid integer"),
        ("points: 1000", r"'points' is 1000 \(.*: input should be less than or equal to 100"),
        ("points: true", r"'points' is True \(.*line 1\): input should be a valid integer"),
        ("points: 5.0", r"'points' is 5.0 \(.*: input should be a valid integer"),
        ("points: '5'", r"'points' is '5' \(.*: input should be a valid integer"),
        ("points: 12:30:45", r"'points' is '12:30:45' \(.*: input should be a valid integer"),
        ("slope: " + "x" * 100_000, r"'slope' is 'x{50,78}… \(.*: input should be a valid number"),
        ("slope: 1\npoints: 017", r"line 2: field 'points': 017 begins with a zero"),
        ("slope: 1\nslope: 2", r"line_fit.yaml, line 2: 'slope' stands here and in line 1"),
        ("slope: .inf", r"line 1: field 'slope': .inf is not a finite number"),
        (
            "poinst: 5",
            r"Unknown parameter 'poinst'.*params/smoke/line_fit.yaml.*slope, points, seed",
        ),
        ("- 5", r"must hold a flat mapping"),
        ("a: [", r"is not YAML"),
    ],
)
def test_bad_files_are_refused_in_one_sentence(example, text, complaint):
    write(example, text)
    with pytest.raises(UserError, match=complaint) as caught:
        resolve(example)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_every_bad_value_is_named_at_once(example):
    write(example, "slope: -1\npoints: 1")
    with pytest.raises(UserError, match=r"'slope' is -1 .*; parameter 'points' is 1 "):
        resolve(example)


def test_a_missing_file_is_named(example):
    (example.params / "line_fit.yaml").unlink()
    with pytest.raises(UserError, match=r"params/smoke/line_fit.yaml is missing"):
        resolve(example)


def test_an_empty_file_means_the_defaults(example):
    write(example, "")
    assert resolve(example).values == {"slope": 2.0, "points": 5, "seed": 0}


def test_quick_is_the_cell_itself(example):
    quick = open_layout("quick", example.root)
    assert resolve(quick).values == {"slope": 2.0, "points": 5, "seed": 0}
    assert resolve(quick, {"points": 7}).values == {"slope": 2.0, "points": 7, "seed": 0}


def test_what_a_part_shares_holds_where_a_chapters_own_file_is_silent(example):
    """A name of another chapter of the part is left alone, one of no chapter refused."""
    shared = example.params / "_part.yaml"
    shared.write_text("points: 20\nseed: 4\n")
    write(example, "points: 10")
    assert resolve(example).values == {"slope": 2.0, "points": 10, "seed": 4}
    shared.write_text("seed: 4\nwidth: 7\n")
    with pytest.raises(
        UserError, match=r"'width' \(params/smoke/_part.yaml, line 2\): no chapter of book/part/"
    ):
        resolve(example)
    other = '# %% tags=["parameters"]\nwidth = 3\n'
    (example.book / "part" / "other.py").write_text(other)
    assert resolve(example).values == {"slope": 2.0, "points": 10, "seed": 4}
    shared.write_text("seed: -4")
    with pytest.raises(UserError, match=r"'seed' is -4 \(params/smoke/_part.yaml, line 1\): input"):
        resolve(example)
    shared.write_text("- 4")
    with pytest.raises(UserError, match=r"params/smoke/_part.yaml must hold a flat mapping"):
        resolve(example)


def test_the_chief_parameters_are_parameters(example):
    edit(example, "device: cpu", "device: cpu\n#     main: [points, pints]")
    with pytest.raises(UserError, match=r"names 'pints' in 'main'; its parameters are slope, poi"):
        resolve(example)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None
)
@given(st.from_regex(r"[a-z_]{1,12}", fullmatch=True))
def test_any_other_name_is_refused(example, name):
    if name in ("slope", "points", "seed"):
        return
    with pytest.raises(UserError, match=f"Unknown parameter '{name}'"):
        resolve(example, {name: 1})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("yaml-5000-digits.yaml", r"line 1: field 'seed': the number 9{39}… has 5000 characters"),
        ("yaml-impossible-date.yaml", r"'seed' is '2024-13-45' \(.*, line 1\): input should be a "),
        ("yaml-not-utf8.yaml", r"line 1: byte 0xff is not UTF-8 \(field 'seed'\)"),
    ],
)
def test_files_that_once_ended_in_a_traceback(example, name, said):
    data = {
        "yaml-5000-digits.yaml": b"seed: " + b"9" * 5000,
        "yaml-impossible-date.yaml": b"seed: 2024-13-45\n",
        "yaml-not-utf8.yaml": b"seed: \xff\n",
    }[name]
    (example.params / "line_fit.yaml").write_bytes(data)
    with pytest.raises(UserError, match=rf"params/smoke/line_fit.yaml.*{said}|{said}") as caught:
        resolve(example)
    assert "params/smoke/line_fit.yaml" in str(caught.value)


@pytest.mark.parametrize(
    "line",
    ["points = (", "points = 1\n  x = 2", "points = 0b" + "1" * 20_000 + "2", "points = '\0'"],
)
def test_a_parameters_cell_that_is_not_python_is_a_sentence(example, line):
    edit(example, "points = 5", line)
    with pytest.raises(UserError, match=r"Cell 2 of book/part/line_fit.py is not Python"):
        resolve(example)


def test_the_parameters_cell_sets_nothing_twice(example):
    edit(example, "points = 5", "points = 5\npoints = 6")
    with pytest.raises(UserError, match="sets 'points' more than once"):
        resolve(example)


@pytest.mark.parametrize(
    "line",
    [
        "points = len([1])", "import os", "a = b = 1", "points = {1}", "points = {[]: 1}",
        "points = 1e999", "points = b'x'", "points = 1j", "points = ...",
    ],
)  # fmt: skip
def test_the_parameters_cell_holds_literals_only(example, line):
    edit(example, "points = 5", line)
    with pytest.raises(UserError, match="may only hold lines 'name = literal'"):
        resolve(example)


def test_cell_and_model_must_name_the_same_parameters(example):
    edit(example, "seed = 0", "seed = 0\nextra = 1")
    with pytest.raises(UserError, match="differ in: extra"):
        resolve(example)


def test_a_model_that_cannot_be_imported_is_named(example):
    edit(example, "example_params:Example", "example_params:Sample")
    with pytest.raises(UserError, match=r"'example_params:Sample'.*cannot be imported"):
        resolve(example)


def test_without_a_model_the_types_of_the_defaults_hold(example):
    edit(example, '#     params: "example_params:Example"\n', "")
    assert resolve(example, {"slope": 2}).values["slope"] == 2
    with pytest.raises(
        UserError, match=r"Parameter 'points' .* is 1.5 \(-p\); it must be of type int, as 5 is"
    ):
        resolve(example, {"points": 1.5})


@pytest.mark.parametrize(
    ("text", "value"),
    [("a=1", 1), ("a=[1, 2]", [1, 2]), ("a=x=y", "x=y"), ("a=true", True), ("a=1.5", 1.5)],
)
def test_overrides_are_yaml(text, value):
    assert parameters.parse_override(text) == ("a", value)


@pytest.mark.parametrize("text", ["a", "=1", "a b=1", "a=[1", "a=017", "a=" + "9" * 5000, "a=\x00"])
def test_bad_overrides_are_refused(text):
    with pytest.raises(UserError, match="-p "):
        parameters.parse_override(text)


def test_every_limit_is_generous_and_there():
    """No chapter takes a number beyond all proportion, in the profile's file or by -p."""
    for chapter in chapters.find(ROOT):
        notebook = chapters.read(chapter)
        header = chapters.header(chapter, notebook)
        for name, default in parameters.cell_defaults(chapter, notebook).items():
            first = next(iter(default), None) if isinstance(default, list) else default
            if type(first) not in (int, float):
                continue
            for most in (10**26, 1e308):
                value = [*default, most] if isinstance(default, list) else most
                with pytest.raises(UserError, match=name):
                    parameters.resolve(
                        chapter, notebook, header, open_layout("quick", ROOT), {name: value}
                    )


def test_preflight_and_cost_are_the_models(example):
    with pytest.raises(UserError, match="the pool holds 50"):
        parameters.preflight(resolve(example, {"points": 60}))
    parameters.preflight(resolve(example))
    assert parameters.cost(resolve(example)) == [{"part": "fits", "hours": 15.0}]


def test_three_sizes_are_a_line_of_doubt_not_a_refusal():
    values = {"real_sizes": [80, 320, 1280], "sizes": [80, 320], "steps": [1, 2, 4], "seed": 3}
    (told,) = parameters.doubts(parameters.Parameters(values, [], None))
    assert told.startswith("real_sizes: Three sizes (80, 320, 1280): the middle one says nothing")
    four = {"real_sizes": [80, 320, 1280, 5120]}
    assert parameters.doubts(parameters.Parameters(four, [], None)) == []
