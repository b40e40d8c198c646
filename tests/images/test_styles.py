"""Stylised copies against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dataworth.images.styles import STYLES, inverted, pixelated, rendition, sketch

images = arrays(np.uint8, (2, 28, 28), elements=st.integers(0, 255))


@given(images, st.sampled_from(sorted(STYLES)))
def test_a_style_keeps_shape_and_type_and_the_original(x, style):
    before = x.copy()
    y = STYLES[style](x)
    assert y.shape == x.shape and y.dtype == np.uint8
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(y, STYLES[style](x))
    np.testing.assert_array_equal(y[1], STYLES[style](x[1:])[0])  # each image on its own


@given(images)
def test_inverted_is_an_involution(x):
    np.testing.assert_array_equal(inverted(inverted(x)), x)
    np.testing.assert_array_equal(inverted(x).astype(int) + x, 255)


@given(images, st.sampled_from([2, 4, 7, 14]))
def test_pixelated_holds_the_mean_of_each_block(x, block):
    y = pixelated(x, block)
    for i in range(0, 28, block):
        for j in range(0, 28, block):
            cell = y[:, i : i + block, j : j + block].reshape(2, -1)
            assert (cell == cell[:, :1]).all()
            mean = x[:, i : i + block, j : j + block].reshape(2, -1).mean(1)
            assert np.abs(cell[:, 0] - mean).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("grey", [0, 100, 255])
def test_a_sketch_of_a_flat_image_is_white(grey):
    assert (sketch(np.full((1, 28, 28), grey, np.uint8)) == 255).all()


def test_a_sketch_has_dark_strokes_at_edges_only():
    x = np.zeros((1, 28, 28), np.uint8)
    x[0, 10:20, 10:20] = 200
    y = sketch(x)[0]
    assert (y[14, [9, 10, 19, 20]] == 0).all()  # 4 * 200 * 0.45 > 255
    assert (y[14, 11:19] == 255).all() and (y[:9] == 255).all()


def test_a_sketch_is_the_gradient_of_each_image():
    """Against Sobel's two kernels written out, by a full correlation of each image."""
    from scipy.signal import correlate2d

    x = np.random.default_rng(0).integers(0, 120, (3, 28, 28)).astype(np.uint8)
    across = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    for image, drawn in zip(x, sketch(x), strict=True):
        gx, gy = (correlate2d(image, k, mode="valid") for k in (across, across.T))
        strength = 0.45 * np.sqrt(gx.astype(float) ** 2 + gy.astype(float) ** 2)
        expected = 255 - np.minimum(strength, 255)
        assert np.abs(expected - drawn[1:-1, 1:-1]).max() <= 1  # rounded down


@given(images)
def test_a_rendition_has_four_greys_and_no_specks(x):
    y = rendition(x)
    assert set(np.unique(y)) <= {0, 85, 170, 255}
    speck = np.zeros((1, 28, 28), np.uint8)
    speck[0, 14, 14] = 255
    assert (rendition(speck) == 0).all()


@pytest.mark.parametrize(("grey", "level"), [(0, 0), (42, 0), (43, 85), (128, 170), (213, 255)])
def test_a_rendition_rounds_to_the_nearest_level(grey, level):
    assert (rendition(np.full((1, 28, 28), grey, np.uint8)) == level).all()
