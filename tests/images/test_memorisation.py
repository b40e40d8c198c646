"""Copies of training images: likeness against numpy, chance and certainty, a run of the spec."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_images import garments

from dataworth.images.generator_pool import Recipe, generator_pool
from dataworth.images.memorisation import MemorisationSpec, nearest, share, standardised
from dataworth.images.parts import SyntheticPool


@given(st.integers(0, 2**32 - 1))
def test_likeness_is_the_size_of_pearsons_correlation_whatever_the_polarity(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 256, (2, 5, 6, 6), dtype=np.uint8)
    found, at = nearest(a, b)
    rows = [np.abs(np.corrcoef(x.ravel(), b.reshape(5, -1))[0, 1:]).max() for x in a]
    np.testing.assert_allclose(found, rows, atol=1e-5)
    np.testing.assert_allclose(nearest(255 - a, b)[0], found, atol=1e-5)
    assert nearest(b[at], b)[1].tolist() == at.tolist()


def test_colours_count_by_their_luma_and_a_flat_image_is_like_nothing():
    grey = garments(3)[0]
    coloured = np.stack([grey] * 3, axis=-1)
    np.testing.assert_allclose(standardised(coloured), standardised(grey), atol=1e-4)
    flat = np.full((1, 28, 28), 7, np.uint8)
    assert nearest(flat, grey)[0] == 0


def test_share():
    copies, other = np.float32([0.99, 1.0]), np.float32([0.3, 0.2])
    assert share(copies, other) == 1 and share(other, copies) == 0 and share(other, other) == 0.5


class Given(SyntheticPool):
    """A pool of given images."""

    def load(self, ids, store):
        return IMAGES[self.weights], ids % 10


IMAGES = {}


@pytest.mark.parametrize(("copied", "expected"), [(True, 1.0), (False, 0.0)])
def test_a_generator_that_copies_is_told(splits, store, copied, expected):
    """Its images are those of the drawn part of the pool, or of the rest."""
    recipe = Recipe(images=20, seed=4)
    learnt = generator_pool("fashion-mnist", recipe).images
    held = {image.tobytes() for image in learnt}
    whole = generator_pool("fashion-mnist", Recipe()).images
    rest = np.stack([image for image in whole if image.tobytes() not in held])
    assert len(learnt) == 20 and len(rest) == 30
    IMAGES[str(copied)] = learnt if copied else rest[:20]
    pool = Given(weights=str(copied), names=("a",))
    outcome = MemorisationSpec(pool=pool, size=20, recipe=recipe).run(store)
    assert outcome.metrics["compared"] == 20  # of 30 unseen ones a few are the control
    if copied:
        assert outcome.metrics["share"] == expected
    else:  # the control's own images are among the queries, and like neither set
        assert outcome.metrics["share"] < 0.5
    assert {len(a) for a in outcome.arrays.values()} == {20, 7}
    chosen = outcome.arrays["most_like"]
    assert ((chosen < 20) == (outcome.arrays["seen"] >= outcome.arrays["unseen"])).all()


def test_another_split_may_be_the_unseen_one(splits, store):
    IMAGES["same"] = generator_pool("fashion-mnist", Recipe()).images[:10]
    pool = Given(weights="same", names=("a",))
    spec = MemorisationSpec(pool=pool, size=10, recipe=Recipe(), unseen="classifier_pool")
    outcome = spec.run(store)
    assert outcome.metrics["compared"] == 50 and outcome.metrics["share"] == 1
