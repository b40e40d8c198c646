"""Every bad table ends in one clear sentence or an explicit flag, never in a silent number."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from dataworth.errors import UserError
from dataworth.fit import LAWS, compare, fit

X = [100.0, 200, 400, 800, 1600, 3200]
Y = [2.0, 1.7, 1.45, 1.3, 1.2, 1.12]


@pytest.mark.parametrize(
    ("change", "options", "sentence"),
    [
        ({}, {"x": "size"}, "x names the column 'size'; the data have x, y"),
        ({}, {"y": "loss"}, "y names the column 'loss'"),
        ({}, {"law": "cubic"}, "Unknown law 'cubic'; known are: power, shifted"),
        ({}, {"law": "chinchilla"}, "has the variables N, D; x names 1 column"),
        ({}, {"loss": "l1"}, "loss is 'l1'; allowed are l2, huber"),
        ({}, {"residual": "sqrt"}, "residual is 'sqrt'; allowed are log"),
        ({}, {"loss": "huber", "delta": 0.0}, "delta is 0.0; it must be a positive number"),
        ({}, {"resample": "jack", "bootstrap": 5}, "resample is 'jack'; allowed are case"),
        ({}, {"resample": "cluster", "bootstrap": 5}, "it needs cluster"),
        ({}, {"bootstrap": -1}, "bootstrap is -1"),
        ({}, {"shared": ["k"]}, "it needs group"),
        ({}, {"fixed": {"gamma": 1.0}}, "no parameter 'gamma'; it has a, k"),
        ({}, {"draws": np.ones((3, 5))}, r"draws has shape \(3, 5\); \(B, 6\) is needed"),
        ({}, {"multipliers": -np.ones((3, 6))}, "multipliers.*at least 0"),
        ({}, {"weights": [1.0, 1, 1]}, r"weights has shape \(3,\); 6 numbers"),
        ({"y": [2, 1.7, 0, 1.3, 1.2, 1]}, {}, "'y' has 0 in row 3; allowed is a finite"),
        ({"y": [2, 1.7, -1, 1.3, 1.2, 1.1]}, {}, "'y' has -1 in row 3"),
        ({"y": [2, 1.7, np.nan, 1.3, 1.2, 1.1]}, {}, "'y' has nan in row 3"),
        ({"x": [0, 200, 400, 800, 1600, 3200]}, {}, "'x' has 0 in row 1"),
        ({"x": [np.inf, 200, 400, 800, 1600, 3200]}, {}, "'x' has inf in row 1"),
        ({"y": ["high", "low", "a", "b", "c", "d"]}, {}, "not numeric: it has 'high' in row 1"),
        ({"y": ["2", "1.7", "n/a", "1", "1", "1"]}, {}, "not numeric: it has 'n/a' in row 3"),
        ({"c": [1] * 6}, {"cluster": "c"}, "'c' has one cluster; an interval needs at least two"),
        ({}, {"law": "shifted", "weights": [0, 0, 0, 0, 1, 1]}, "2 rows at 2 different x, and at"),
        ({"y": [2, 1.7, 1.4, 1.3, 1.2, 0.9]}, {"residual": "logit"}, "reaches 1 or more"),
        ({"x": [100] * 3 + [200] * 3}, {"law": "shifted"}, "3 free parameters; the data have 6"),
        ({"x": [], "y": []}, {}, "no rows"),
        ({"x": X[:5]}, {}, r"'x' has shape \(5,\) and 'y' \(6,\); one number a row"),
        ({"x": 100.0, "y": 2.0}, {}, "one number a row is needed"),
        ({"x": X[:1], "y": Y[:1]}, {}, "2 free parameters; the data have 1 rows at 1 different x"),
        ({"x": [5.0] * 6}, {}, "2 free parameters; the data have 6 rows at 1 different x"),
        ({"c": [1, 1, 2, 2, 3, np.nan]}, {"cluster": "c"}, "'c' has no value in row 6; cluster"),
        ({"c": ["a", None, "b"] * 2}, {"group": "c"}, "'c' has no value in row 2; group"),
        ({}, {"fixed": {"k": np.nan}}, "fixed holds k at nan; allowed is a finite number"),
        ({}, {"fixed": {"a": -1.0}}, "fixed holds a at -1.0; allowed is a number of 0 or more"),
        ({}, {"bootstrap": 2.5}, "bootstrap is 2.5; a whole number of 0 or more"),
        ({}, {"bootstrap": 5, "seed": "a"}, "seed is 'a'; a whole number of 0 or more"),
    ],
)  # fmt: skip
def test_one_sentence_names_field_value_and_what_is_allowed(
    change: dict[str, Any], options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        fit({"x": X, "y": Y, **change}, **options)
    assert "\n" not in str(caught.value)


def test_what_is_not_a_table_is_refused() -> None:
    for data, kind in (([1, 2, 3], "list"), (None, "NoneType"), (np.ones((3, 2)), "ndarray")):
        with pytest.raises(UserError, match=f"The data are a {kind}; a pandas or polars frame"):
            fit(data)


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda r: r.interval("k", level=95), "level=95 must lie between 0 and 1"),
        (lambda r: r.predict([100.0], level=0), "level=0 must lie between 0 and 1"),
        (lambda r: r.predict(["a"]), "'x' is not numeric"),
        (lambda r: r.predict([-5.0]), "'x' has -5 in row 1; allowed is a finite number above 0"),
        (lambda r: r.mean([np.nan]), "'x' has nan in row 1"),
        (lambda r: r.mean({"size": [1.0]}), "x names the column 'x'; the data have size"),
        (lambda r: r["real"], "no curve 'real'; its curves are: none"),
        (
            lambda r: compare([fit({"x": X[:3], "y": Y[:3]})], ["shifted"]),
            "comparison needs 3 more",
        ),
    ],
)
def test_wrong_questions_to_a_fit_are_refused(ask: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        ask(fit({"x": X, "y": Y}))


@pytest.mark.parametrize("name", LAWS)
def test_constant_losses_are_flagged_under_every_law(name: str) -> None:
    rows = np.arange(20)
    variables = LAWS[name].variables
    runs = {v: np.geomspace(10, 1e4, 20) * (1 + i + rows % 3) for i, v in enumerate(variables)}
    result = fit({**runs, "y": np.ones(20)}, law=name, x=list(variables))
    assert "constant_y" in result.flags
    np.testing.assert_allclose(result.mean(result.curve.x), 1, rtol=1e-2)


def test_contradicting_constraints_are_refused() -> None:
    with pytest.raises(UserError, match="contradict"):
        fit({"x": X, "y": Y}, law="shifted", fixed={"E": 0.5, "a": 0.3}, tied=[("E", "a")])


def test_flags_for_what_can_be_fitted_but_not_trusted() -> None:
    constant = fit({"x": X, "y": [1.0] * 6}, law="power")
    assert "constant_y" in constant.flags and constant.params["k"] == pytest.approx(0, abs=1e-9)
    duplicated = fit({"x": X * 2, "y": Y * 2}, law="shifted")
    assert "duplicated_rows" in duplicated.flags
    few = {"x": X, "y": Y}
    assert "few_rows" in fit(few, law="shifted").flags
    assert fit(few, law="power").flags == ("structured_residuals",)  # it has no floor
    assert fit(few, law="power", loss="lad").flags == ("no_interval",)
    assert fit(few, law="power", loss="lad", bootstrap=20).flags == ()
    weighted = fit(few, law="shifted", weights=[1, 0, 0, 1, 0, 1])
    assert "saturated" in weighted.flags and weighted.interval("k").open
    saturated = fit({"x": X[:3], "y": Y[:3]}, law="shifted")
    assert "saturated" in saturated.flags
    step = fit({"x": X, "y": [2.0, 1, 1, 1, 1, 1]}, law="shifted")
    assert "at_bound" in step.flags  # any steep exponent fits: the largest allowed is named
    rng = np.random.default_rng(0)
    x = np.repeat(X, 4)
    bent = fit({"x": x, "y": (1 + 10 / x) * np.exp(0.001 * rng.normal(size=24))}, law="power")
    assert "lack_of_fit" in bent.flags


def test_one_model_size_does_not_identify_two_exponents() -> None:
    rng = np.random.default_rng(0)
    n, d = np.full(8, 1e8), np.geomspace(1e9, 1e11, 8)
    runs = {"N": n, "D": d, "y": (2 + 400 * d**-0.28) * np.exp(0.01 * rng.normal(size=8))}
    assert "unidentified" in fit(runs, law="chinchilla", x=["N", "D"]).flags


def test_frames_mappings_and_row_order_give_one_answer() -> None:
    frame = pd.DataFrame({"x": X, "y": Y})
    want = fit({"x": X, "y": Y}, law="shifted").params
    for table in (frame, frame.iloc[::-1], frame.astype({"x": int})):
        assert fit(table, law="shifted").params == pytest.approx(want, rel=1e-6)


def test_polars_frames_are_read() -> None:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    frame = polars.DataFrame({"x": X, "y": Y})
    assert fit(frame, law="shifted").params == fit({"x": X, "y": Y}, law="shifted").params
    with pytest.raises(UserError, match="the data have x, y"):
        fit(frame, x="size")
