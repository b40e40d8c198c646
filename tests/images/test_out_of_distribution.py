"""The out-of-distribution study: effects against a regression, prompts by style, a whole run."""

from collections import Counter

import numpy as np
import pytest
from pydantic import ValidationError
from tiny_images import CONFIG, random_generator

from cells import cell
from dataworth.images import parts, shifts
from dataworth.images.captions import TEMPLATES
from dataworth.images.generators import named
from dataworth.images.prompts import prompt
from dataworth.stats import best_of
from dataworth.studies import images as study
from dataworth.studies.out_of_distribution import (
    CELL_SETS,
    EFFECTS,
    NEGATIVES,
    SETS,
    STEPS,
    OutOfDistribution,
    factorial_effects,
    run,
)


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
    texts = [prompt("styles", "coat", seed) for seed in range(3000)]
    kind = {t.format("coat"): style for style, ts in TEMPLATES.items() for t in ts}
    count = Counter(kind[text] for text in texts)
    assert set(count) == {"photo", "sketch", "rendition", "inverted"}
    assert count["photo"] / 3000 == pytest.approx(1 / 2, abs=0.04)
    for style in ("sketch", "rendition", "inverted"):
        assert count[style] / 3000 == pytest.approx(1 / 6, abs=0.04)
    photos = {text for text in texts if kind[text] == "photo"}
    assert photos == {prompt("photo", "coat", 0)}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"other_generators": ("dall-e",)}, "must be of pixel-diffusion"),
        ({"without_drawings": "dall-e"}, "must be of pixel-diffusion"),
        ({"style_prompt_set": "haiku"}, "must be one of classnames, "),
        ({"style_prompt_set": "photo"}, "style_prompt_set and prompt_set are both 'photo'"),
        ({"other_sizes": (80, 320, 1000)}, "other_sizes holds 1000, which real_sizes or"),
        ({"cause_size": 5}, "greater than or equal to 10"),
    ],
)
def test_a_bad_parameter_is_one_sentence(fields, words):
    with pytest.raises(ValidationError) as caught:
        cell(OutOfDistribution, **fields)
    (error,) = caught.value.errors()
    assert words in error["msg"] and "\n" not in error["msg"]


@pytest.fixture
def done(splits, generator, home, store, monkeypatch):
    """The chapter's runs on tiny data; the 2x2 between two tiny generators."""
    weights = home / "generators"
    generator.save(weights / "pixel-diffusion")
    random_generator(CONFIG, seed=1).save(weights / "two")
    for name in ("pixel-diffusion", "two"):
        (weights / name / "card.json").write_text('{"data": "fashion-mnist/generator_pool"}')
    monkeypatch.setitem(named.GENERATORS, "two", named.NamedGenerator("pixel-diffusion"))
    monkeypatch.setattr(study, "WEIGHTS", weights)
    params = cell(
        OutOfDistribution,
        real_sizes=(10, 20, 30, 40),
        synthetic_sizes=(10, 20, 30, 40),
        other_sizes=(10, 20, 30),
        other_generators=("two",),
        other_prompt_sets=(),
        without_drawings="pixel-diffusion",
        with_drawings="two",
        cause_size=20,
        cause_budget=3,
        seeds=2,
        budget=((10, 5),),
        batch=16,
        solver_steps=1,
        resamples=100,
    )
    yield run(params, store)
    parts.generator_of.cache_clear()


def test_a_study_from_end_to_end(done, monkeypatch):
    params = done.params
    assert set(done.runs) == {"real", "synthetic", "two"}
    for arm in done.runs:
        for split in SETS:
            images, labels = shifts.evaluation_set("fashion-mnist", split)
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

    # k is given below the loss of a guess alone; four steps leave it on one of its sides.
    for split in SETS:
        for arm in done.runs:
            c, k = done.curve(arm, split=split), done.exponent(arm, split)
            high = c.interval()[1][:3][c.means[:3].argmax()]
            assert bool(k.unmeasurable) is not bool(high < np.log(10))
        arm, gap = done.faster(split)
        assert arm != "real" and gap.low <= gap.value <= gap.high
        told = [e.unmeasurable for e in (done.exponent("real", split), done.exponent(arm, split))]
        assert bool(gap.unmeasurable) is any(told)

    # The 2x2: pools differ in the generator or in the prompts, and in nothing else.
    pools = list(params.cells().values())
    assert [row[0].spec.parts[0].pool for row in done.factorial[:4]] == pools
    assert len(set(pools)) == 4 and len(done.factorial) == 5
    assert {row[0].metrics["samples_seen"] for row in done.factorial} == {3 * 16}
    assert done.factorial[4][0].spec.parts[0].source == "real"
    for split in CELL_SETS:
        means, draws = done.cell_accuracy(split)
        assert draws.shape == (100, 5)
        for row, found in zip(done.factorial, means, strict=True):
            answers = [r.arrays[f"logits_{split}"].argmax(1) for r in row]
            right = [a == r.arrays[f"labels_{split}"] for a, r in zip(answers, row, strict=True)]
            assert found == pytest.approx(100 * np.mean(right))
        best = done.best_cell(split)
        assert best.value == means[:4].max() and best.low <= best.value <= best.high
    assert list(done.effects("r")) == list(EFFECTS)

    drawn = done.steps("r")
    for step, (a, b) in STEPS.items():
        assert drawn[step].value == pytest.approx(means[a] - means[b])
        np.testing.assert_allclose(drawn[step].draws, draws[:, a] - draws[:, b])
    lines = done.interaction("r")
    names = (params.prompt_set, params.style_prompt_set)
    assert all(tuple(line) == names for line in lines.values())
    (bare, words), (both, styled), (real, same) = (line.values() for line in lines.values())
    of_r = done.cell_accuracy("r")[0]
    assert [e.value for e in (bare, words, both, styled, real)] == of_r.tolist() and real == same
    interaction = (styled.value - both.value) - (words.value - bare.value)
    assert done.effects("r")["interaction"].value == pytest.approx(interaction)
    curves = done.top1("v2")
    for arm, c in curves.items():
        error = done.curve(arm, split="v2", metric="error")
        low, high = error.interval()
        np.testing.assert_allclose(c.means, 100 * (1 - error.means))
        np.testing.assert_allclose(c.interval(), (100 * (1 - high), 100 * (1 - low)))

    examples = done.shifted_examples()
    assert {s: x.shape for s, x in examples.items()} == dict.fromkeys(SETS, (10, 28, 28))
    assert [x.shape for x in done.cell_examples(3).values()] == [(3, 28, 28)] * 4
    table = done.accuracy()
    assert list(table.index) == list(SETS) and list(table) == list(done.runs)
    assert table.loc["v2", "two"].value == curves["two"].means[-1]
    assert "classifiers, 2x2" in done.summary().index
    assert done.provenance()["runs"].startswith("34 classifier")

    # The control: the real images of the largest common size, one in negative.
    ((control, _),) = done.negatives
    kept, negative = control.spec.parts
    (whole,) = done.runs["real"][2][0].spec.parts
    assert {*kept.ids, *negative.ids} == set(whole.ids) and len(negative.ids) == 1
    images, labels = negative.load(done.store)
    plain, same = negative.of.load(done.store)
    np.testing.assert_array_equal(images, 255 - plain)
    np.testing.assert_array_equal(labels, same)
    right = [
        (r.arrays["logits_test"].argmax(1) == r.arrays["labels_test"]) for r in done.negatives[0]
    ]
    assert done.level(NEGATIVES, "test").value == pytest.approx(100 * np.mean(right))
    assert done.count("v2") == len(shifts.evaluation_set("fashion-mnist", "v2")[1])
    for split in SETS:
        assert done.highest(split).value == max(done.level(a, split).value for a in done.runs)

    monkeypatch.setattr("dataworth.runs.engine.execute", None)
    again = run(params, done.store)
    np.testing.assert_array_equal(again.cell_accuracy("r")[1], done.cell_accuracy("r")[1])
