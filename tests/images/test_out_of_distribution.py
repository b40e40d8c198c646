"""The out-of-distribution study: effects against a regression, prompts by style, a whole run."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

from dataworth.images import classifiers, parts, shifts, study
from dataworth.images.captions import TEMPLATES
from dataworth.images.out_of_distribution import (
    DRAWN,
    EFFECTS,
    SETS,
    OutOfDistribution,
    factorial_effects,
    run,
)
from dataworth.images.prompts import prompt
from dataworth.images.reanalysis import best_of


def test_effects_are_those_of_a_regression():
    """Coefficients of a linear model with factors coded -1/2 and 1/2."""
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(5, 4))
    drawings = np.array([-0.5, -0.5, 0.5, 0.5])
    words = np.array([-0.5, 0.5, -0.5, 0.5])
    design = np.stack([np.ones(4), drawings, words, drawings * words], axis=1)
    expected = np.linalg.lstsq(design, cells.T, rcond=None)[0][1:].T
    np.testing.assert_allclose(factorial_effects(cells), expected)
    np.testing.assert_allclose(factorial_effects(np.full(4, 7.0)), 0, atol=1e-12)


def test_style_prompts_are_half_photos_and_a_sixth_of_each_style():
    texts = [prompt("styles", "coat", seed) for seed in range(6000)]
    kind = {t.format("coat"): style for style, ts in TEMPLATES.items() for t in ts}
    count = Counter(kind[text] for text in texts)
    assert set(count) == {"photo", "sketch", "rendition", "inverted"}
    assert count["photo"] / 6000 == pytest.approx(1 / 2, abs=0.03)
    for style in ("sketch", "rendition", "inverted"):
        assert count[style] / 6000 == pytest.approx(1 / 6, abs=0.03)
    photos = {text for text in texts if kind[text] == "photo"}
    assert photos == {prompt("photo", "coat", 0)}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"other_generators": ("dall-e",)}, "must be of pixel-diffusion"),
        ({"without_drawings": "dall-e"}, "must be of pixel-diffusion"),
        ({"style_prompt_set": "haiku"}, "must be of classnames, photo"),
        ({"style_prompt_set": "photo"}, "style_prompt_set and prompt_set are both 'photo'"),
        ({"other_sizes": (80, 320, 1000)}, "other_sizes holds 1000, which real_sizes or"),
        ({"cause_size": 5}, "greater than or equal to 10"),
    ],
)
def test_a_bad_parameter_is_one_sentence(fields, words):
    with pytest.raises(ValidationError) as caught:
        OutOfDistribution(**fields)
    (error,) = caught.value.errors()
    assert words in error["msg"] and "\n" not in error["msg"]


@pytest.fixture
def shifted(splits, monkeypatch):
    """Tiny shifted sets in the place of the real ones: class 9 is missing from the drawings."""
    from tiny_images import garments

    def evaluation_set(card, name, *, store=None):
        if name not in shifts.SHIFTS:
            split = splits(card, name)
            return split.images, split.labels
        images, labels = garments(30, seed=50 + shifts.SHIFTS.index(name))
        kept = labels < (9 if name in DRAWN else 10)
        return images[kept], labels[kept]

    def load_images(card, split, *, root=None):
        if split in shifts.SHIFTS:
            images, labels = evaluation_set(card, split)
            return SimpleNamespace(images=images, labels=labels)
        return splits(card, split)

    monkeypatch.setattr("dataworth.data.load_images", load_images)
    monkeypatch.setattr(shifts, "evaluation_set", evaluation_set)
    if hasattr(classifiers, "evaluation_set"):
        monkeypatch.setattr(classifiers, "evaluation_set", evaluation_set)
    return evaluation_set


@pytest.fixture
def done(shifted, generator, home, store, monkeypatch):
    """The chapter's runs on tiny data; the 2x2 between two tiny generators."""
    from tiny_images import CONFIG, random_generator

    for name, made in {"one": generator, "two": random_generator(CONFIG, seed=1)}.items():
        made.save(home / "generators" / name)
        monkeypatch.setitem(study.GENERATORS, name, None)
    where = {"pixel-diffusion": "one"}
    monkeypatch.setattr(
        OutOfDistribution,
        "weights",
        lambda self, name: parts.weights_digest(home / "generators" / where.get(name, name)),
    )
    monkeypatch.setattr(
        "dataworth.images.synthetic_scaling.SyntheticScaling.weights", OutOfDistribution.weights
    )
    monkeypatch.setattr(study, "WEIGHTS", home / "generators")
    (home / "generators" / "pixel-diffusion").mkdir()
    (home / "generators" / "pixel-diffusion" / "model.safetensors").touch()
    params = OutOfDistribution(
        real_sizes=(10, 20, 30, 40),
        synthetic_sizes=(10, 20, 30, 40),
        other_sizes=(10, 20, 30),
        other_generators=("two",),
        without_drawings="one",
        with_drawings="two",
        cause_size=20,
        cause_budget=3,
        seeds=2,
        budget=4,
        batch=16,
        solver_steps=1,
        resamples=100,
    )
    yield run(params, store)
    parts._generator.cache_clear()


def test_a_study_from_end_to_end(done, shifted, monkeypatch):
    params = done.params
    assert set(done.runs) == {"real", "synthetic", "two"}
    for arm in done.runs:
        for split in SETS:
            images, labels = shifted("fashion-mnist", split)
            for row in done.runs[arm]:
                for r in row:
                    np.testing.assert_array_equal(r.arrays[f"labels_{split}"], labels)
                    assert r.arrays[f"logits_{split}"].shape == (len(images), 10)

    # Both at the largest common size; the sign is the arm's advantage.
    for split in SETS:
        top1 = {
            arm: np.mean(
                [
                    (r.arrays[f"logits_{split}"].argmax(1) == r.arrays[f"labels_{split}"]).mean()
                    for r in done.runs[arm][2]
                ]
            )
            for arm in ("real", "synthetic")
        }
        found = done.advantage("synthetic", split)
        assert found.value == pytest.approx(100 * (top1["synthetic"] - top1["real"]))
        assert found.low <= found.high

    real = done.curve("real", split="r").means[:3]
    slope = -np.polyfit(np.log([10, 20, 30]), np.log(real), 1)[0]
    assert done.exponent("real", "r").value == pytest.approx(slope, abs=1e-6)
    name, best = best_of({arm: done.advantage(arm, "r") for arm in ("synthetic", "two")})
    assert name in ("synthetic", "two") and best.low <= best.value <= best.high

    # The 2x2: pools differ in the generator or in the prompts, and in nothing else.
    pools = list(params.cells().values())
    assert [row[0].spec.parts[0].pool for row in done.factorial[:4]] == pools
    assert len(set(pools)) == 4 and len(done.factorial) == 5
    assert {row[0].metrics["samples_seen"] for row in done.factorial} == {3 * 16}
    assert done.factorial[4][0].spec.parts[0].source == "real"
    means, draws = done.cell_accuracy(DRAWN)
    assert means.shape == (5,) and draws.shape == (100, 5)
    effects = done.effects(DRAWN)
    assert list(effects) == list(EFFECTS)
    by_set = [done.effects((split,)) for split in DRAWN]
    for effect in EFFECTS:
        assert effects[effect].value == pytest.approx(np.mean([e[effect].value for e in by_set]))

    examples = done.shifted_examples()
    assert {s: len(x) for s, x in examples.items()} == {
        "test": 10, "v2": 10, "a": 10, "sketch": 9, "r": 9,
    }  # fmt: skip
    assert [x.shape for x in done.cell_examples(3).values()] == [(3, 28, 28)] * 4
    assert list(done.accuracy().index) == list(SETS)
    assert "classifiers, 2x2" in done.summary().index
    assert done.provenance()["runs"].startswith("32 classifier")

    monkeypatch.setattr("dataworth.runs.engine.execute", None)
    again = run(params, done.store)
    np.testing.assert_array_equal(again.cell_accuracy(DRAWN)[1], draws)
