"""Learning rates against their closed forms. Which optimiser takes which weights: see the tests of
classifiers and of language models."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataworth.optimisation import Recipe

rates = st.builds(
    Recipe,
    schedule=st.sampled_from(["cosine", "wsd"]),
    warmup=st.floats(0, 0.5),
    decay=st.floats(0, 0.5),
)


@given(rates, st.integers(2, 2000))
def test_rate_is_between_zero_and_its_peak(recipe, steps):
    values = np.array([recipe.rate(step, steps) for step in range(steps)])
    assert (values >= 0).all() and (values <= recipe.learning_rate * (1 + 1e-12)).all()


def test_cosine_rate():
    o = Recipe(schedule="cosine", warmup=0.1, learning_rate=2.0)
    values = np.array([o.rate(step, 1000) for step in range(1000)])
    np.testing.assert_allclose(values[:100], 2 * np.arange(1, 101) / 100)
    done = np.arange(1, 901) / 900
    np.testing.assert_allclose(values[100:], 1 + np.cos(np.pi * done), atol=1e-12)
    assert values[-1] < 1e-5 * o.learning_rate
    flat = Recipe(schedule="cosine", warmup=0, learning_rate=2.0)
    assert flat.rate(0, 1000) == pytest.approx(2, rel=1e-5)


def test_wsd_rate():
    o = Recipe(schedule="wsd", warmup=0.1, decay=0.2, learning_rate=2.0)
    values = np.array([o.rate(step, 1000) for step in range(1000)])
    np.testing.assert_allclose(values[:100], 2 * np.arange(1, 101) / 100)
    np.testing.assert_array_equal(values[100:801], 2)  # the plateau
    np.testing.assert_allclose(values[800:], 2 * np.arange(200, 0, -1) / 200)
    none = Recipe(schedule="wsd", warmup=0, decay=0, learning_rate=2.0)
    assert {none.rate(step, 50) for step in range(50)} == {2.0}
