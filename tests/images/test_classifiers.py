"""Classifiers: budgets, schedules, augmentation, determinism, and that they learn."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.special import logsumexp
from tiny_images import garments

from dataworth.images.classifiers import (
    MODELS,
    Budget,
    ClassifierSpec,
    ImageOptimisation,
    Vit,
    cross_entropy,
    load_model,
    predict,
    train,
    uniform_batches,
    weighted_batches,
)
from dataworth.images.feeding import Augment, as_input
from dataworth.images.parts import RealPart
from dataworth.runs import run_tasks

TINY = Vit(patch=14, width=16, depth=1, heads=2)
SHORT = Budget(amount=4, batch=8)


# --- How long and how fast --------------------------------------------------------------------


@given(st.integers(1, 10**5), st.integers(1, 10**6), st.integers(1, 512))
def test_budget(amount, examples, batch):
    assert Budget(amount=amount, batch=batch).steps(examples) == amount
    steps = Budget(rule="fixed_epochs", amount=amount, batch=batch).steps(examples)
    assert (steps - 1) * batch < amount * examples <= steps * batch  # the last may be partial


def test_a_tuned_budget_is_a_power_of_the_size_between_its_rows():
    tuned = Budget(rule="tuned", longest=((100, 50), (1600, 200)), batch=8)  # 50 (n / 100)^1/2
    assert [tuned.steps(n) for n in (10, 100, 400, 1600, 10**6)] == [50, 50, 100, 200, 200]
    assert tuned.checkpoints(400) == (40, 60, 80, 100)
    assert SHORT.checkpoints(400) == (4,)
    for wrong in ((), ((100, 50), (100, 60)), ((100, 50), (10, 60)), ((100, 4),)):
        with pytest.raises(ValidationError):
            Budget(rule="tuned", longest=wrong)
    with pytest.raises(ValidationError, match="longest is of the rule tuned"):
        Budget(longest=((100, 50),))


@pytest.mark.parametrize(
    "field",
    [{"learning_rate": 0}, {"warmup": 1.5}, {"label_smoothing": 1}, {"ema": 1}, {"shift": -1}],
)
def test_settings_out_of_range(field):
    with pytest.raises(ValidationError, match=next(iter(field))):
        ImageOptimisation(**field)
    with pytest.raises(ValidationError):
        Budget(amount=0)


# --- Loss and augmentation --------------------------------------------------------------------


@given(st.integers(0, 2**32), st.floats(-200, 200), st.floats(0.1, 100))
def test_cross_entropy(seed, level, scale):
    rng = np.random.default_rng(seed)
    logits = (level + scale * rng.normal(size=(7, 10))).astype(np.float32)
    labels = rng.integers(0, 10, 7)
    wide = logits.astype(np.float64)
    expected = logsumexp(wide, axis=1) - wide[np.arange(7), labels]
    np.testing.assert_allclose(cross_entropy(logits, labels), expected, rtol=1e-9, atol=1e-9)


def test_cross_entropy_of_ignorance_is_log_of_the_classes():
    zero = np.zeros((3, 10), np.float32)
    np.testing.assert_allclose(cross_entropy(zero, np.array([0, 5, 9])), math.log(10))


def test_as_input():
    grey = np.array([[[0, 255], [51, 204]]], np.uint8)
    np.testing.assert_allclose(as_input(grey)[0, 0], [[-1, 1], [-0.6, 0.6]], atol=1e-6)
    colour = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    x = as_input(colour)
    assert x.shape == (2, 3, 4, 5)
    np.testing.assert_allclose(x[1, 2, 3, 4], colour[1, 3, 4, 2] / 127.5 - 1, atol=1e-6)


def sample_images(channels=1, height=6, width=5):
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.random((4, channels, height, width)).astype(np.float32)) - 0.5


@pytest.mark.parametrize("channels", [1, 3])
def test_augment_nothing_is_the_identity(channels):
    x = sample_images(channels)
    rows = torch.tensor([2, 0, 2, 3])
    assert torch.equal(Augment(x, 0, False)(rows, torch.Generator().manual_seed(0)), x[rows])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("shift", [0, 1, 2])
def test_augment_crops_and_mirrors(shift, flip, channels):
    """Every result is one of the crops of the padded image, mirrored or not, and all occur."""
    x = sample_images(channels)
    count = 600
    rows = torch.arange(count) % len(x)
    out = Augment(x, shift, flip)(rows, torch.Generator().manual_seed(1)).numpy()
    around = ((0, 0), (0, 0), (shift, shift), (shift, shift))
    padded = np.pad(x.numpy(), around, constant_values=x.min())
    seen = {}
    for row in range(len(x)):
        for top in range(2 * shift + 1):
            for left in range(2 * shift + 1):
                crop = padded[row, :, top : top + 6, left : left + 5]
                seen[row, crop.tobytes()] = [top, left, 0, 0]
                if flip:
                    seen[row, np.ascontiguousarray(crop[..., ::-1]).tobytes()] = [top, left, 1, 0]
    for row, image in zip(rows.tolist(), out, strict=True):
        seen[row, image.tobytes()][-1] += 1  # a KeyError: no such crop
    places = {}
    for top, left, mirrored, times in seen.values():
        key = (top, left, mirrored)
        places[key] = places.get(key, 0) + times
    assert len(places) == (2 * shift + 1) ** 2 * (2 if flip else 1)
    mean = count / len(places)
    assert all(abs(n - mean) < 5 * math.sqrt(mean) for n in places.values())


def test_augment_is_decided_by_its_generator():
    x, rows = sample_images(), torch.arange(4)
    a, b, c = (Augment(x, 2, True)(rows, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)


# --- Training ---------------------------------------------------------------------------------


def weights_of(*args):
    return train(*args)[0].state_dict()


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_training_depends_on_its_seed_and_on_nothing_before(optimizer):
    images, labels = garments(30)
    recipe = ImageOptimisation(optimizer=optimizer, shift=1, flip=True)
    first = weights_of(images, labels, TINY, SHORT, recipe, 3)
    other = weights_of(images[:20], labels[:20], TINY, SHORT, recipe, 4)
    torch.manual_seed(99)
    torch.rand(10)
    again = weights_of(images, labels, TINY, SHORT, recipe, 3)
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


def test_training_does_not_change_its_input():
    images, labels = garments(20)
    before = images.copy()
    images.flags.writeable = False  # as the data room's maps
    train(images, labels, TINY, SHORT, ImageOptimisation(shift=2), 0)
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_separable_set_is_learned(optimizer):
    images, labels = garments(100)
    unseen, truth = garments(50, seed=9)
    model, losses = train(
        images,
        labels,
        Vit(patch=7, width=32, depth=1, heads=2),
        Budget(amount=250, batch=16),
        ImageOptimisation(optimizer=optimizer),
        0,
    )
    logits = predict(model, unseen)
    assert logits.shape == (50, 10) and logits.dtype == np.float32
    assert (logits.argmax(1) == truth).mean() > 0.9
    assert losses.shape == (5,) and losses[-1] < losses[0] / 2
    np.testing.assert_allclose(predict(model, unseen, batch=7), logits, atol=1e-4)


def test_averaging_is_an_exponential_mean_of_the_weights():
    """Two steps at decay d: the average starts at the first weights, then d w1 + (1 - d) w2."""
    images, labels = garments(16)
    o = ImageOptimisation(optimizer="adamw", schedule="wsd", warmup=0, decay=0, ema=0.0)
    one, two = (weights_of(images, labels, TINY, Budget(amount=n, batch=8), o, 0) for n in (1, 2))
    averaged = weights_of(
        images, labels, TINY, Budget(amount=2, batch=8), o.model_copy(update={"ema": 0.75}), 0
    )
    for name, value in averaged.items():
        torch.testing.assert_close(value, 0.75 * one[name] + 0.25 * two[name])


def test_muon_steps_the_matrices_of_the_blocks_only():
    model = TINY.build(28, 1, 10)
    names = {id(p): name for name, p in model.named_parameters()}
    adamw, muon = ImageOptimisation(weight_decay=0.1).optimizers(model)
    stepped = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    kinds = {"attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"}
    assert stepped == {f"blocks.0.{kind}.weight" for kind in kinds}
    rest = [p for group in adamw.param_groups for p in group["params"]]
    assert {names[id(p)] for p in rest} | stepped == set(names.values())
    assert len(rest) + len(stepped) == len(names)
    for group in adamw.param_groups:
        assert all((p.ndim > 1) == (group["weight_decay"] == 0.1) for p in group["params"])
    (alone,) = ImageOptimisation(optimizer="adamw").optimizers(model)
    assert sum(len(group["params"]) for group in alone.param_groups) == len(names)


@given(st.integers(1, 40), st.integers(1, 16), st.integers(0, 99))
def test_an_epoch_shows_every_example_equally_often(examples, batch, seed):
    from dataworth.images.classifiers import _epoch

    order = _epoch(examples, batch, torch.Generator().manual_seed(seed))
    passes = max(1, math.ceil(batch / examples))
    assert len(order) >= min(batch, passes * examples)
    assert torch.bincount(order, minlength=examples).tolist() == [passes] * examples


@pytest.mark.parametrize("best", range(4))
def test_a_tuned_training_gives_the_checkpoint_of_the_lowest_validation_loss(best):
    """At a constant rate it is a training of as many steps."""
    images, labels = garments(16)
    o = ImageOptimisation(schedule="wsd", warmup=0, decay=0, ema=0.5)
    seen = []

    def validate(model):
        seen.append(model)
        return float(len(seen) != best + 1)

    tuned = Budget(rule="tuned", longest=((10, 10),), batch=8)
    chosen, _ = train(images, labels, TINY, tuned, o, 0, validate=validate)
    shorter, _ = train(images, labels, TINY, Budget(amount=4 + 2 * best, batch=8), o, 0)
    assert len(seen) == 4 and not chosen.training
    for name, value in chosen.state_dict().items():
        torch.testing.assert_close(value, shorter.state_dict()[name], rtol=0, atol=0)


# --- Runs -------------------------------------------------------------------------------------


def spec(ids, **changes):
    fields = {"parts": (RealPart(ids=tuple(ids)),), "model": TINY, "budget": SHORT}
    return ClassifierSpec(**(fields | changes))


POOL = range(1000, 1060)  # ids of the classifier pool of the `splits` fixture


def test_a_run_keeps_predictions_and_scores(splits, store):
    (result,) = run_tasks([spec(POOL, keep_weights=True)], store=store)
    assert set(splits.calls) == {
        ("fashion-mnist", split) for split in ("classifier_pool", "validation", "test")
    }
    for split in ("validation", "test"):
        held_out = splits("fashion-mnist", split)
        logits = result.arrays[f"logits_{split}"]
        np.testing.assert_array_equal(result.arrays[f"labels_{split}"], held_out.labels)
        assert logits.dtype == np.float32 and logits.shape == (len(held_out), 10)
        right = logits.argmax(1) == held_out.labels
        assert result.metrics[f"top1_{split}"] == pytest.approx(right.mean())
        wide = logits.astype(float)
        loss = logsumexp(wide, axis=1) - wide[np.arange(len(wide)), held_out.labels]
        assert result.metrics[f"loss_{split}"] == pytest.approx(loss.mean())
        reloaded = predict(load_model(result), held_out.images)
        np.testing.assert_array_equal(reloaded, logits)
    assert (result.arrays["logits_test"].std(0) > 0).all()


def test_weights_are_stored_on_request_only(splits, store):
    (result,) = run_tasks([spec(POOL)], store=store)
    assert not any(name.startswith("weight:") for name in result.arrays)


def test_equal_samples_whatever_the_size(splits, store):
    runs = run_tasks([spec(POOL[:n]) for n in (1, 5, 20, 60)], store=store)
    assert [r.metrics["examples"] for r in runs] == [1, 5, 20, 60]
    assert {r.metrics["samples_seen"] for r in runs} == {4 * 8}
    epochs = Budget(rule="fixed_epochs", amount=2, batch=8)
    runs = run_tasks([spec(POOL[:n], budget=epochs) for n in (5, 20)], store=store)
    assert [r.metrics["samples_seen"] for r in runs] == [2 * 8, 5 * 8]


def test_a_tuned_run_says_where_it_ended(splits, store):
    tuned = Budget(rule="tuned", longest=((10, 20),), batch=8)
    (run,) = run_tasks([spec(POOL, budget=tuned)], store=store)
    validated = run.arrays["validated"]
    assert validated.shape == (4,)
    assert run.metrics["loss_validation"] == pytest.approx(validated.min())
    assert run.metrics["steps"] == 8 + 4 * validated.argmin()
    assert run.metrics["samples_seen"] == 20 * 8


def test_order_of_ids_is_part_of_a_run_and_seeds_differ(splits, store):
    a, b = run_tasks([spec(POOL, seed=0), spec(POOL, seed=1)], store=store)
    assert (a.arrays["logits_test"] != b.arrays["logits_test"]).any()


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_named_model_exists(name):
    import timm

    assert timm.is_model(MODELS[name].name)
    with torch.device("meta"):  # shapes only
        side = 224 if getattr(MODELS[name], "patch", 7) == 16 else 28
        model = MODELS[name].build(side, 3, 10)
        assert model(torch.empty(2, 3, side, side)).shape == (2, 10)


def test_parameters_of_the_smallest_model():
    """patch 7, width 64, 2 layers, 16 tokens: written out from Dosovitskiy et al. 2021."""
    w, tokens = 64, 16
    block = 2 * 2 * w + (w * 3 * w + 3 * w) + (w * w + w) + (w * 4 * w + 4 * w) + (4 * w * w + w)
    expected = (49 * w + w) + w + (tokens + 1) * w + 2 * block + 2 * w + (w * 10 + 10)
    model = MODELS["vit-2x64"].build(28, 1, 10)
    assert sum(p.numel() for p in model.parameters()) == expected


# --- Parts that weigh more or less than they hold ---------------------------------------------


@given(
    st.lists(st.tuples(st.integers(1, 40), st.floats(0.01, 10)), min_size=1, max_size=4),
    st.integers(1, 64),
    st.integers(0, 2**31),
)
def test_shares_of_the_samples_are_the_weights(groups, batch, seed):
    rng = torch.Generator().manual_seed(seed)
    stream = weighted_batches(groups, batch, rng)
    rows = torch.cat([next(stream) for _ in range(30)]).numpy()
    starts = np.cumsum([0, *(size for size, _ in groups)])
    total = sum(weight for _, weight in groups)
    for (size, weight), start in zip(groups, starts, strict=False):
        mine = rows[(rows >= start) & (rows < start + size)]
        assert abs(len(mine) - len(rows) * weight / total) < 2 + 2 * math.log(len(rows))
        times = np.bincount(mine - start, minlength=size)
        assert times.max() - times.min() <= 1  # passes: nobody waits for two rounds


def test_uniform_batches_pass_over_the_examples():
    stream = uniform_batches(10, 4, torch.Generator().manual_seed(0))
    rows = [next(stream) for _ in range(4)]
    for one, two in (rows[:2], rows[2:]):  # two batches a pass, two examples left out
        assert len(set(torch.cat([one, two]).tolist())) == 8
    small = next(uniform_batches(3, 8, torch.Generator().manual_seed(0)))
    assert sorted(np.bincount(small.numpy(), minlength=3)) in ([2, 3, 3],)


def test_no_weights_and_sizes_as_weights_are_the_same_objective(splits, store):
    """Two parts at their natural weight see every example as often as without weights."""
    two = (RealPart(ids=tuple(POOL[:20])), RealPart(ids=tuple(POOL[20:])))
    stream = weighted_batches([(20, 20), (40, 40)], 30, torch.Generator().manual_seed(0))
    times = np.bincount(torch.cat([next(stream) for _ in range(40)]).numpy(), minlength=60)
    assert set(times) <= {19, 20, 21}
    plain, weighted, heavy = run_tasks(
        [
            spec(POOL, parts=two),
            spec(POOL, parts=two, part_weights=(1, 2)),
            spec(POOL, parts=two, part_weights=(9, 1)),
        ],
        store=store,
    )
    keys = {run.spec.key for run in (plain, weighted, heavy)}
    assert len(keys) == 3
    assert {run.metrics["samples_seen"] for run in (plain, weighted, heavy)} == {4 * 8}


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 0.0), (1.0, -1.0), (1.0, float("nan"))])
def test_bad_weights_are_refused(weights):
    two = (RealPart(ids=(1, 2)), RealPart(ids=(3, 4)))
    with pytest.raises(ValidationError, match="part_weights"):
        ClassifierSpec(parts=two, part_weights=weights)


def test_a_part_that_weighs_more_is_learned_better():
    """Labels of the two parts contradict each other: the heavy one decides."""
    images, labels = garments(60)
    both, wrong = np.concatenate([images, images]), (labels + 1) % 10
    truth = np.concatenate([labels, wrong])
    recipe = ImageOptimisation(learning_rate=5e-3, ema=0)
    model_of = lambda groups: train(  # noqa: E731
        both, truth, Vit(width=32, depth=1), Budget(amount=100, batch=32), recipe, 0, groups=groups
    )[0]
    for weights, winner in (((9, 1), labels), ((1, 9), wrong)):
        answer = predict(model_of([(60, weights[0]), (60, weights[1])]), images).argmax(1)
        assert (answer == winner).mean() > 0.8
