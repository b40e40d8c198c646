"""Every bad table ends in one clear sentence or an explicit flag, never in a silent number."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from dataworth.errors import UserError
from dataworth.fit import fit

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
        ({"y": [2, 1.7, 0, 1.3, 1.2, 1]}, {}, "'y' has 0 in row 2; allowed is a finite"),
        ({"y": [2, 1.7, -1, 1.3, 1.2, 1.1]}, {}, "'y' has -1 in row 2"),
        ({"y": [2, 1.7, np.nan, 1.3, 1.2, 1.1]}, {}, "'y' has nan in row 2"),
        ({"x": [0, 200, 400, 800, 1600, 3200]}, {}, "'x' has 0 in row 0"),
        ({"x": [np.inf, 200, 400, 800, 1600, 3200]}, {}, "'x' has inf in row 0"),
        ({"y": ["high", "low", "a", "b", "c", "d"]}, {}, "'y' is not numeric"),
        ({"y": [2, 1.7, 1.4, 1.3, 1.2, 0.9]}, {"residual": "logit"}, "reaches 1 or more"),
        ({"x": [100] * 3 + [200] * 3}, {"law": "shifted"}, "3 free parameters; the data have 6"),
        ({"x": [], "y": []}, {}, "no rows"),
    ],
)  # fmt: skip
def test_one_sentence_names_field_value_and_what_is_allowed(
    change: dict[str, Any], options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        fit({"x": X, "y": Y, **change}, **options)
    assert "\n" not in str(caught.value)


def test_contradicting_constraints_are_refused() -> None:
    with pytest.raises(UserError, match="contradict"):
        fit({"x": X, "y": Y}, law="shifted", fixed={"E": 0.5, "a": 0.3}, tied=[("E", "a")])


def test_flags_for_what_can_be_fitted_but_not_trusted() -> None:
    constant = fit({"x": X, "y": [1.0] * 6}, law="power")
    assert "constant_y" in constant.flags and constant.params["k"] == pytest.approx(0, abs=1e-9)
    duplicated = fit({"x": X * 2, "y": Y * 2}, law="shifted")
    assert "duplicated_rows" in duplicated.flags
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
