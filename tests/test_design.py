"""What three sizes can and cannot say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataworth.design import slope_weights, three_sizes


@given(
    st.lists(st.floats(1, 1e9), min_size=3, max_size=8, unique=True).filter(
        lambda sizes: np.ptp(np.log(sizes)) > 0.1
    )
)
def test_weights_are_those_of_the_least_squares_slope(sizes):
    """Row "slope" of the pseudo-inverse of the design matrix, by numpy."""
    x = np.log(sizes)
    slope = np.linalg.pinv(np.column_stack([np.ones(len(x)), x]))[1]
    np.testing.assert_allclose(slope_weights(sizes), slope, rtol=1e-6, atol=1e-9)
    # and the leverage of a row is what its weight adds to that of the mean
    design = np.column_stack([np.ones(len(x)), x])
    leverage = np.diag(design @ np.linalg.pinv(design))
    spread = float(((x - x.mean()) ** 2).sum())
    np.testing.assert_allclose(
        leverage, 1 / len(x) + slope_weights(sizes) ** 2 * spread, rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("ratio", [2, 4, 10])
def test_the_middle_of_three_in_geometric_progression_is_worthless(ratio):
    sizes = [80, 80 * ratio, 80 * ratio**2]
    assert slope_weights(sizes)[1] == pytest.approx(0, abs=1e-12)
    told = three_sizes(sizes[::-1] + sizes)  # order and repeats do not matter
    assert told is not None and "the middle one says nothing" in told and "choose four" in told


def test_other_numbers_of_sizes_pass():
    uneven = three_sizes([20, 40, 600])
    assert uneven is not None and "middle" not in uneven and "no degree of freedom" in uneven
    for sizes in ([], [80], [80, 160], [80, 160, 320, 640], [0, 1, 2]):
        assert three_sizes(sizes) is None
