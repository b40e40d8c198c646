"""Training sets as values: subsets, pools, and what their keys depend on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dataworth.errors import UserError
from dataworth.images import parts
from dataworth.images.classifiers import ClassifierSpec
from dataworth.images.fidelity import FidelitySpec
from dataworth.images.parts import (
    SHARD,
    Draw,
    Range,
    RealPart,
    SyntheticPart,
    SyntheticPool,
    balanced_subset,
    image_seed,
    load_parts,
    weights_digest,
)
from dataworth.runs import run_tasks

labels_of = st.lists(st.integers(0, 3), min_size=4, max_size=60).map(
    lambda rest: np.array([0, 1, 2, 3, *rest])
)


@given(labels_of, st.integers(0, 2**31), st.data())
def test_balanced_subsets_are_nested_balanced_and_distinct(labels, seed, data):
    most = 4 * np.bincount(labels).min()
    whole = balanced_subset(labels, most, seed)
    assert len(whole) == most
    size = data.draw(st.integers(1, most))
    rows = balanced_subset(labels, size, seed)
    assert len(np.unique(rows)) == len(rows) == size
    np.testing.assert_array_equal(rows, whole[:size])
    counts = np.bincount(labels[rows], minlength=4)
    assert counts.max() - counts.min() <= 1
    with pytest.raises(UserError, match=f"size {most + 1} is larger than the {most}"):
        balanced_subset(labels, most + 1, seed)


def test_balanced_subsets_differ_between_seeds_and_are_uniform():
    labels = np.arange(40) % 4
    drawn = np.concatenate([balanced_subset(labels, 8, seed) for seed in range(400)])
    counts = np.bincount(drawn, minlength=40)
    assert counts.mean() == 80  # 400 draws of 8 out of 40; binomial(400, 0.2)
    assert np.abs(counts - 80).max() < 5 * np.sqrt(400 * 0.2 * 0.8)


def test_real_parts(splits, store):
    whole = splits("fashion-mnist", "classifier_pool")
    rows = [5, 0, 59, 5]
    images, labels = RealPart(ids=tuple(whole.ids[rows].tolist())).load(store)
    np.testing.assert_array_equal(images, whole.images[rows])
    np.testing.assert_array_equal(labels, whole.labels[rows])


@pytest.mark.parametrize("wrong", [0, 999, 1060, 2**62])
def test_ids_that_do_not_exist(splits, store, wrong):
    with pytest.raises(UserError, match="fashion-mnist/classifier_pool does not have"):
        RealPart(ids=(1000, wrong)).load(store)


def test_a_part_holds_something():
    with pytest.raises(ValidationError, match="ids"):
        RealPart(ids=())


@pytest.fixture
def pool(generator, home):
    """A pool of a generator that was trained on this machine."""
    generator.save(home / "generators" / "tiny")
    weights = weights_digest(home / "generators" / "tiny")
    return SyntheticPool(weights=weights, steps=2, names=("dress", "bag", "coat"))


def test_synthetic_images_do_not_depend_on_the_size_of_the_pool(pool, tmp_path, generator):
    from dataworth.runs import Store

    small, large = Store(tmp_path / "small"), Store(tmp_path / "large")
    assert [s.start for s in pool.shards(range(SHARD))] == [0]
    assert [s.start for s in pool.shards(range(SHARD + 1))] == [0, SHARD]
    run_tasks(pool.shards(range(10)), store=small)
    run_tasks(pool.shards(range(SHARD + 10)), store=large)
    ids = np.array([3, 0, 100, SHARD - 1])
    images, labels = pool.load(ids, small)
    again, _ = pool.load(ids, large)
    np.testing.assert_array_equal(images, again)
    np.testing.assert_array_equal(labels, [0, 0, 1, 0])
    beyond, labels = pool.load(np.array([3, SHARD + 5]), large)
    np.testing.assert_array_equal(beyond[0], images[0])
    assert labels.tolist() == [0, (SHARD + 5) % 3]
    # the image of an index is the generator's for its class and its seed
    made = parts.generator_of(pool.weights, 2).generate(
        ["dress", pool.names[(SHARD + 5) % 3]], 1.5, [image_seed(0, 3), image_seed(0, SHARD + 5)]
    )
    np.testing.assert_array_equal(made, beyond)
    with pytest.raises(KeyError):
        pool.load(np.array([SHARD]), small)


def test_parts_are_joined_in_order(pool, splits, store):
    run_tasks(pool.shards(range(5)), store=store)
    synthetic = SyntheticPart(pool=pool, ids=(4, 2))
    images, labels = load_parts((RealPart(ids=(1003,)), synthetic), store)
    assert images.shape == (3, 28, 28) and labels.tolist() == [3, 4 % 3, 2]
    np.testing.assert_array_equal(images[1:], pool.load(np.array([4, 2]), store)[0])


@given(
    st.tuples(st.integers(0, 2**20), st.integers(0, 2**40 - 1)),
    st.tuples(st.integers(0, 2**20), st.integers(0, 2**40 - 1)),
)
def test_seeds_of_images_are_distinct(one, other):
    assert (image_seed(*one) == image_seed(*other)) == (one == other)
    assert 0 <= image_seed(*one) < 2**63  # what torch takes


def test_a_generator_that_is_not_here(store, home):
    lost = SyntheticPool(weights="f" * 64, names=("dress",))
    with pytest.raises(UserError, match="no generator with weights ffffffffffff is stored"):
        run_tasks(lost.shards([0]), store=store)


# --- Keys -------------------------------------------------------------------------------------

POOL = SyntheticPool(weights="0" * 64, names=("dress", "bag"))
REAL, DRAWN = RealPart(ids=(1, 2)), SyntheticPart(pool=POOL, ids=(1, 2))
RUNS = {
    "shard": POOL.shards([0])[0],
    "real": ClassifierSpec(parts=(REAL,)),
    "synthetic": ClassifierSpec(parts=(DRAWN,)),
    "mixed": ClassifierSpec(parts=(REAL, DRAWN)),
    "shifted": ClassifierSpec(parts=(REAL,), evaluations=("test", "sketch")),
    "fidelity": FidelitySpec(pool=POOL, size=4, reference=ClassifierSpec(parts=(REAL,))),
}


def test_keys_follow_the_generator_and_its_settings():
    keys = {POOL.shards([0])[0].key}
    for change in (
        {"weights": "1" * 64},
        {"prompt_set": "photo"},
        {"guidance": 2.0},
        {"steps": 9},
        {"family": "latent-diffusion"},
        {"card": "imagenet-1k"},
        {"seed": 1},
        {"names": ("bag", "dress")},
    ):
        other = POOL.model_copy(update=change)
        keys.add(other.shards([0])[0].key)
        assert (
            ClassifierSpec(parts=(SyntheticPart(pool=other, ids=(1, 2)),)).key
            != RUNS["synthetic"].key
        )
    assert len(keys) == 9


@pytest.mark.parametrize(
    "field", [{"guidance": -0.1}, {"guidance": float("nan")}, {"steps": 0}, {"seed": -1}]
)
def test_pools_out_of_range(field):
    with pytest.raises(ValidationError, match=next(iter(field))):
        SyntheticPool(weights="0", names=("dress",), **field)


SIXTY_FOUR_MILLION = 64_000_000


def test_a_subset_is_a_rule_or_ids_whichever_is_shorter(splits):
    pool = SyntheticPool(weights="0", names=tuple("abc"))
    part = SyntheticPart(pool=pool, ids=tuple(range(7, 60)))
    assert part.ids == Range(7, 53) and list(part.ids) == list(range(7, 60))
    assert part == SyntheticPart(pool=pool, ids=Range(7, 53))  # one subset, one key
    assert SyntheticPart(pool=pool, ids=Range(7, 3)).ids == (7, 8, 9)
    for written in ((3, 5, 6, 7, 8), (9, 8, 7, 6, 5), (5, 5, 6, 7, 8, 9)):
        assert SyntheticPart(pool=pool, ids=written).ids == written
    again = SyntheticPart.model_validate_json(part.model_dump_json())
    assert again == part and hash(again) == hash(part) and np.asarray(again.ids).sum() == 1749
    drawn = RealPart(ids=Draw("fashion-mnist", "classifier_pool", 20, 3))
    by_ids = RealPart(ids=tuple(drawn.ids))
    assert RealPart.model_validate_json(drawn.model_dump_json()) == drawn
    for one, other in zip(drawn.load(None), by_ids.load(None), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_spec_of_64_million_images_is_a_line():
    pool = SyntheticPool(weights="0", names=tuple("abc"))
    parts_ = (
        SyntheticPart(pool=pool, ids=Range(0, SIXTY_FOUR_MILLION)),
        RealPart(ids=Draw("fashion-mnist", "classifier_pool", SIXTY_FOUR_MILLION, 0)),
    )
    spec = ClassifierSpec(parts=parts_)
    assert [len(part.ids) for part in spec.parts] == [SIXTY_FOUR_MILLION] * 2
    assert len(spec.model_dump_json()) < 2000 and len(spec.key) == 32


def test_what_is_of_no_class_is_in_no_subset():
    labels = np.array([-1, 0, 1, -1, 1, 0, -1, -1])
    assert set(labels[balanced_subset(labels, 4, 0)]) == {0, 1}
    with pytest.raises(UserError, match="larger than the 4 class-balanced"):
        balanced_subset(labels, 5, 0)
