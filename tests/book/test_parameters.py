import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataworth.book import chapters, parameters
from dataworth.errors import UserError


def resolve(layout, overrides=None):
    chapter = chapters.get(layout.root, "line-fit")
    notebook = chapters.read(chapter)
    header = chapters.header(chapter, notebook)
    return parameters.resolve(chapter, notebook, header, layout, overrides)


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


def test_injected_values_are_those_of_the_file(example):
    """`papermill -f params/smoke/line_fit.yaml` and we give the kernel the same values."""
    stored = yaml.safe_load((example.params / "line_fit.yaml").read_text())
    values = resolve(example).values
    assert {k: values[k] for k in stored} == stored


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("slope: -1", r"'slope' is -1: input should be greater than 0"),
        ("points: many", r"'points' is 'many': input should be a valid integer"),
        ("points: 1000", r"'points' is 1000: input should be less than or equal to 100"),
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
    assert "\n" not in str(caught.value)


def test_every_bad_value_is_named_at_once(example):
    write(example, "slope: -1\npoints: 1")
    with pytest.raises(UserError, match=r"'slope' is -1.*; parameter 'points' is 1:"):
        resolve(example)


def test_a_missing_file_is_named(example):
    (example.params / "line_fit.yaml").unlink()
    with pytest.raises(UserError, match=r"params/smoke/line_fit.yaml is missing"):
        resolve(example)


def test_an_empty_file_means_the_defaults(example):
    write(example, "")
    assert resolve(example).values == {"slope": 2.0, "points": 5, "seed": 0}


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None
)
@given(st.from_regex(r"[a-z_]{1,12}", fullmatch=True))
def test_any_other_name_is_refused(example, name):
    if name in ("slope", "points", "seed"):
        return
    with pytest.raises(UserError, match=f"Unknown parameter '{name}'"):
        resolve(example, {name: 1})


@pytest.mark.parametrize("line", ["points = len([1])", "import os", "a = b = 1"])
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
        UserError, match=r"Parameter 'points' .* is 1.5; it must be of type int, as 5 is"
    ):
        resolve(example, {"points": 1.5})


@pytest.mark.parametrize(
    ("text", "value"),
    [("a=1", 1), ("a=[1, 2]", [1, 2]), ("a=x=y", "x=y"), ("a=true", True), ("a=1.5", 1.5)],
)
def test_overrides_are_yaml(text, value):
    assert parameters.parse_override(text) == ("a", value)


@pytest.mark.parametrize("text", ["a", "=1", "a b=1", "a=[1"])
def test_bad_overrides_are_refused(text):
    with pytest.raises(UserError, match="-p "):
        parameters.parse_override(text)


def test_preflight_and_cost_are_the_models(example):
    with pytest.raises(UserError, match="the pool holds 50"):
        parameters.preflight(resolve(example, {"points": 60}))
    parameters.preflight(resolve(example))
    assert parameters.cost(resolve(example)) == [{"part": "fits", "hours": 15.0}]
