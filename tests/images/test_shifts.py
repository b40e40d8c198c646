"""The shifted evaluation sets: their rules against references, their images against the others."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from tiny_images import garments

from dataworth.data import icons
from dataworth.errors import UserError
from dataworth.images import shifts
from dataworth.images.shifts import (
    SHIFTS,
    ShiftPoolSpec,
    canny,
    evaluation_set,
    fourier_features,
    inverted,
    matched_draw,
    natural_adversarial,
    needs_shift_pool,
    neighbour_votes,
    ridge_scores,
    shift,
)
from dataworth.images.styles import sketch
from dataworth.runs import Store

# -- selection frequency and reference models


def test_votes_are_those_of_the_nearest_images() -> None:
    rng = np.random.default_rng(0)
    known, asked = (rng.integers(0, 256, (n, 8, 8)).astype(np.uint8) for n in (90, 620))
    labels = rng.integers(0, 4, 90)
    votes = neighbour_votes(known, labels, asked, 7, 4)
    flat = [x.reshape(-1, 4, 2, 4, 2).sum((2, 4)).reshape(-1, 16) for x in (asked, known)]
    nearest = labels[np.argsort(cdist(*flat), axis=1, kind="stable")[:, :7]]
    expected = np.stack([np.bincount(row, minlength=4) / 7 for row in nearest])
    np.testing.assert_allclose(votes, expected, atol=1e-12)


def test_ridge_is_least_squares_with_penalty_rows() -> None:
    rng = np.random.default_rng(1)
    x, queries, labels = rng.normal(size=(40, 6)), rng.normal(size=(5, 6)), rng.integers(0, 3, 40)
    rows = np.concatenate([x, np.sqrt(shifts.PENALTY) * np.eye(6)])
    goal = np.concatenate([np.eye(3)[labels], np.zeros((6, 3))])
    expected = queries @ np.linalg.lstsq(rows, goal, rcond=None)[0]
    np.testing.assert_allclose(ridge_scores(x, labels, queries, 3), expected, atol=1e-10)


def test_fourier_features_approximate_the_gaussian_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shifts, "FEATURES", 20_000)
    x = np.random.default_rng(2).integers(0, 256, (6, 5, 5)).astype(np.uint8)
    features = fourier_features(x, seed=0)
    flat = x.reshape(6, -1) / 255
    kernel = np.exp(-shifts.GAMMA * cdist(flat, flat, "sqeuclidean"))
    np.testing.assert_allclose(features @ features.T * 2 / 20_000, kernel, atol=0.03)


shares = st.lists(st.integers(0, 50), min_size=1, max_size=80)


@settings(max_examples=100, deadline=None)
@given(shares, shares, st.integers(1, 40))
def test_a_matched_draw_has_the_histogram_of_its_target(
    target: list[int], candidates: list[int], count: int
) -> None:
    goal, offered = np.array(target) / 50, np.array(candidates) / 50
    rows = matched_draw(goal, offered, count, np.random.default_rng(0))
    assert len(set(rows.tolist())) == len(rows) <= count

    def histogram(values: np.ndarray) -> np.ndarray:
        return np.histogram(values, shifts.BINS)[0]  # its last bin is closed, as ours

    wanted = histogram(goal) / len(goal) * count
    held, there = histogram(offered[rows]), histogram(offered)
    assert np.all(held < wanted + 1)
    assert np.all((held > wanted - 1) | (held == there))
    if np.all(there >= wanted + 1):
        assert len(rows) == count


def test_natural_adversarial_examples_by_the_rule() -> None:
    rng = np.random.default_rng(3)
    scores = [rng.normal(size=(300, 5)) for _ in range(3)]
    labels = rng.integers(0, 5, 300)
    found = natural_adversarial(scores, labels)
    for i, label in enumerate(labels):
        places = [np.argsort(-s[i]).tolist().index(label) + 1 for s in scores]
        assert found[i] == (1 not in places and sum(p <= 3 for p in places) >= 2)
    assert 0 < found.sum() < 300


# -- edges


def test_edges_of_a_disk_are_its_circle() -> None:
    y, x = np.mgrid[:28, :28] - 13.5
    radius = np.hypot(x, y)
    (strokes,) = canny(np.where(radius < 8, 200, 0).astype(np.uint8)[None])
    assert strokes[(radius < 6) | (radius > 10)].min() == 255  # white ground, white inside
    on_circle = strokes[np.abs(radius - 8) < 0.5]
    assert on_circle.max() < 200  # closed: dark everywhere
    ink = (255.0 - strokes).sum() / 255
    assert 1.25 < ink / (2 * np.pi * 8) < 1.25 * 2**0.5  # wider on a diagonal


def test_edges_of_a_step_are_one_straight_stroke() -> None:
    step = np.zeros((1, 28, 28), np.uint8)
    step[:, :, 12:] = 200
    ink = (255.0 - canny(step)[0, 6:-6, 4:-4]) / 255
    np.testing.assert_allclose(ink.sum(1), 1.25, atol=0.01)
    np.testing.assert_allclose(ink[:, 7:9].sum(1), 1.25, atol=0.01)  # columns 11 and 12


def test_edges_follow_the_thresholds() -> None:
    flat = np.full((1, 28, 28), 90, np.uint8)
    inner = np.s_[:, 3:-3, 3:-3]
    assert canny(flat)[inner].min() == 255
    step = flat.copy()
    step[:, :, 14:] = 110  # a step of 16 on the scale of sqrt(255 x): weak, and nothing strong
    assert canny(step)[inner].min() == 255
    assert canny(step, low=5, high=10)[inner].min() < 255


def test_edges_of_an_image_do_not_depend_on_its_neighbours() -> None:
    images, _ = garments(130)
    whole = canny(images)
    for i in (0, 99, 100, 129):
        np.testing.assert_array_equal(canny(images[i : i + 1])[0], whole[i])


# -- the sets, on small stand-ins


SIZES = {"generator_pool": 200, "shift_pool": 300, "test": 100, "validation": 20}
SETS = {
    "outlined": icons.IconChoice(ink="line", icons={"Dress": ("dress",)}),
    "painted": icons.IconChoice(ink="colour", icons={"Dress": ("dress",)}),
}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> dict[str, SimpleNamespace]:
    """Noisy splits, labels wrong for one image in five, and two icon sets."""
    made = {}
    for seed, (split, size) in enumerate((SIZES | dict.fromkeys(SETS, 3)).items()):
        images, labels = garments(size, seed)
        rng = np.random.default_rng([seed, 5])
        labels = np.where(rng.random(size) < 0.2, rng.integers(0, 10, size), labels)
        ids = np.sort(rng.integers(0, 2**62, size))
        fields = {"images": images, "labels": labels, "ids": ids, "split": split}
        made[split] = Whole(**fields, classes=tuple("abcdefghij"))
    monkeypatch.setattr("dataworth.data.load_images", lambda card, split: made[split])
    monkeypatch.setattr(icons, "icon_choices", lambda card: SETS)
    monkeypatch.setattr(shifts, "NEIGHBOURS", 10)
    monkeypatch.setattr(shifts, "FEATURES", 50)
    monkeypatch.setattr(
        shifts, "shift_pool_spec", lambda card: ShiftPoolSpec(references=15, v2=10, edges=5)
    )
    return made


class Whole(SimpleNamespace):
    def __len__(self) -> int:
        return len(self.labels)


def test_the_three_sets_of_photographs_are_disjoint(tiny: dict, store: Store) -> None:
    pool = tiny["shift_pool"]
    spec = ShiftPoolSpec(references=15, v2=10, edges=5)
    outcome = spec.run(store)
    v2, a, edges = (outcome.arrays[name] for name in ("v2", "a", "edges"))
    members = np.concatenate([v2, a, edges])
    assert len(np.unique(members)) == len(members) and np.isin(members, pool.ids).all()
    assert len(v2) > 80 and len(a) and len(edges)
    labels = dict(zip(pool.ids.tolist(), pool.labels.tolist(), strict=True))
    for ids, most in ((v2, 10), (edges, 5)):
        assert np.bincount([labels[i] for i in ids.tolist()]).max() <= most
    again = spec.run(store)
    for name, values in outcome.arrays.items():
        np.testing.assert_array_equal(values, again.arrays[name])
    other = ShiftPoolSpec(references=15, v2=10, edges=5, seed=1).run(store)
    assert not np.array_equal(other.arrays["v2"], v2)


def test_a_set_is_computed_once(tiny: dict, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {name: shift(name, store=store) for name in SHIFTS}
    monkeypatch.setattr(ShiftPoolSpec, "run", None)  # computing again would fail
    pool = tiny["shift_pool"]
    for name, first in found.items():
        again = shift(name, store=store)
        np.testing.assert_array_equal(again.images, first.images)
        assert first.images.dtype == np.uint8 and first.images.shape[1:] == (28, 28)
        assert len(first.images) == len(first.labels) == len(first.ids) == len(first.origin)
    for name in ("v2", "a"):
        rows = np.searchsorted(pool.ids, found[name].ids)
        np.testing.assert_array_equal(found[name].images, pool.images[rows])
        np.testing.assert_array_equal(found[name].labels, pool.labels[rows])
    drawn = found["sketch"].origin == "edges"
    rows = np.searchsorted(pool.ids, found["sketch"].ids[drawn])
    np.testing.assert_array_equal(found["sketch"].images[drawn], canny(pool.images[rows]))
    assert set(found["sketch"].origin[~drawn]) == {"outlined"}
    assert set(found["r"].origin) == {"painted"}


def test_an_evaluation_is_a_split_or_a_shift(tiny: dict, store: Store) -> None:
    images, labels = evaluation_set("fashion-mnist", "validation")
    assert images is tiny["validation"].images and labels is tiny["validation"].labels
    images, labels = evaluation_set("fashion-mnist", "r", store=store)
    np.testing.assert_array_equal(images, tiny["painted"].images)
    np.testing.assert_array_equal(labels, tiny["painted"].labels)
    light, labels = evaluation_set("fashion-mnist", "sketch-white", store=store)
    dark, same = evaluation_set("fashion-mnist", "sketch-dark", store=store)
    np.testing.assert_array_equal(dark, 255 - light)
    np.testing.assert_array_equal(same, labels)
    drawn = shift("sketch", store=store)
    np.testing.assert_array_equal(light, drawn.images)
    either, same = evaluation_set("fashion-mnist", "sketch", store=store)
    np.testing.assert_array_equal(same, labels)
    for image, id in zip(either, drawn.ids, strict=True):
        at = drawn.ids.tolist().index(id)
        assert np.array_equal(image, (dark if inverted(np.array([id]))[0] else light)[at])


def test_polarity_is_a_coin_tossed_by_each_image() -> None:
    ids = np.random.default_rng(4).integers(2**62, size=2000)
    tossed = inverted(ids)
    assert abs(tossed.mean() - 0.5) < 0.05
    np.testing.assert_array_equal(inverted(ids[::-1]), tossed[::-1])


def test_names_that_are_none(store: Store) -> None:
    with pytest.raises(UserError, match="shift is 'c'; the shifted sets are v2, a, sketch, r"):
        shift("c", store=store)
    with pytest.raises(UserError, match="card is 'cifar'; shifted sets exist for fashion-mnist"):
        shift("r", "cifar", store=store)
    with pytest.raises(UserError, match="no split 'v3'"):
        evaluation_set("fashion-mnist", "v3")


def test_which_evaluations_need_the_divided_pool() -> None:
    assert not needs_shift_pool(("validation", "test"))
    assert needs_shift_pool(("test", "a")) and needs_shift_pool(("sketch-dark",))


# -- the real images


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], object]:
    from dataworth.data import load_images, status

    monkeypatch.delenv("DATAWORTH_HOME")
    for card in ("fashion-mnist", "fashion-icons"):
        if not status(card).present:
            pytest.skip(f"{card} is not on this machine: dataworth data fetch {card}")
    return load_images


def test_no_shifted_image_is_anywhere_else(real) -> None:
    """By content: photographs (all that may serve), their edges, and every drawing."""
    from dataworth.data import content_ids

    pool = real("fashion-mnist", "shift_pool")
    drawings = np.concatenate(
        [real("fashion-icons", s).ids for s in icons.icon_choices("fashion-icons")]
    )
    edges = content_ids(canny(pool.images[::10]))
    shifted = np.concatenate([pool.ids, edges, drawings])
    assert len(np.unique(shifted)) == len(shifted)
    for split in ("generator_pool", "classifier_pool", "validation", "test"):
        assert not np.isin(shifted, real("fashion-mnist", split).ids).any()


def test_no_sketch_is_nearly_a_stylised_copy(real) -> None:
    """Correlation of pixels with the sketches that generators learn from."""

    def normed(images: np.ndarray) -> np.ndarray:
        flat = images.reshape(len(images), -1).astype(np.float32)
        flat -= flat.mean(1, keepdims=True)
        return flat / np.linalg.norm(flat, axis=1, keepdims=True)

    copies = normed(sketch(real("fashion-mnist", "generator_pool").images[::10]))
    edges = normed(canny(real("fashion-mnist", "shift_pool").images[::10]))
    lines = [s for s, c in icons.icon_choices("fashion-icons").items() if c.ink == "line"]
    drawn = normed(np.concatenate([real("fashion-icons", s).images for s in lines]))
    assert (edges @ copies.T).max() < 0.95
    assert (drawn @ copies.T).max() < 0.95
