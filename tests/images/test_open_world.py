"""The studies of the open world: pairs, worth and causes against closed forms, and whole runs."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError
from tiny_images import CONFIG, use_tiny

from cells import cell
from dataworth.images import parts, train_generator
from dataworth.studies import generator_quality, open_world
from dataworth.studies.curves import Curve
from dataworth.studies.generator_quality import GeneratorQuality, Made
from dataworth.studies.open_world import HALVES, OpenWorld, Study

GARMENTS = {"card": "fashion-mnist", "generator": "pixel-diffusion"}
SMALL = {
    **GARMENTS,
    "seeds": 2,
    "budget": ((10, 10),),
    "batch": 16,
    "solver_steps": 1,
    "resamples": 100,
    "model": "vit-1x32",
    "judged_images": 40,
}


def test_each_class_is_rare_once_in_a_pair_and_pairs_differ():
    params = cell(OpenWorld, pairs=2)
    halves = {(p, half): params.rare(p, half) for p in range(2) for half in HALVES}
    for pair in range(2):
        one, other = (set(halves[pair, half]) for half in HALVES)
        assert not one & other and one | other == set(range(100)) and len(one) == 50
    assert halves[0, "even"] != halves[1, "even"]
    twins = params.twins()
    assert len({spec.key for spec in twins.values()}) == 4
    assert len({spec.first for spec in twins.values()}) == 1  # one autoencoder
    for (pair, half), spec in twins.items():
        assert spec.recipe.rare == halves[pair, half] and spec.recipe.seed == pair
        assert spec.recipe.gap == params.rare_share


def curve(sizes, values):
    values = np.array(values, dtype=float)
    return Curve(np.array(sizes), values[:, None], np.stack([values] * 3))


def bare(real, synthetic):
    """A study of which only the curves are known."""

    class Known(Study):
        def curves(self, split="test", metric="loss"):
            return {"real": real, "synthetic": synthetic}

    return Known(None, {}, None, {}, {}, {}, {}, None)


def test_worth_reads_a_power_law_backwards():
    sizes = np.array([100, 1000, 10000])
    real = curve(sizes, 3 * sizes**-0.3)
    made = curve([500, 5000], [9.0, 3 * 250**-0.3])  # 5,000 as good as 250
    found = bare(real, made).worth()
    assert found.value == pytest.approx(20) and found.low == pytest.approx(20)
    better, worse = (bare(real, curve([5000], [loss])).worth() for loss in (0.01, 9.0))
    assert better.value == 0 and worse.value == worse.high == np.inf  # beyond the real arm


def test_the_effect_of_making_a_class_rare_is_the_mean_of_its_falls():
    params = cell(OpenWorld, pairs=1, **GARMENTS)
    rng = np.random.default_rng(0)
    common, rare = rng.uniform(0.5, 1, 10), rng.uniform(0, 0.5, 10)
    recall = {}
    for half in HALVES:
        is_rare = np.isin(np.arange(10), params.rare(0, half))
        recall[0, half] = SimpleNamespace(
            arrays={"recall_by_class": np.where(is_rare, rare, common)}
        )

    class Known(Study):
        def _recall(self, pair, half):
            return recall[pair, half].arrays["recall_by_class"]

    study = Known(params, {}, None, {}, recall, {}, {}, None)
    for measure in open_world.MEASURES:
        found = study.made_rare(measure)
        assert found.value == pytest.approx(100 * (common - rare).mean())
        assert found.low < found.value < found.high
    none = Known(cell(OpenWorld, pairs=0), {}, None, {}, {}, {}, {}, None).made_rare("accuracy")
    assert np.isnan(none.value) and "No pair" in none.unmeasurable


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("retrieved_size", 1000, "must be one of real_sizes and of synthetic_sizes"),
        ("rare_share", 1.0, "less than 1"),
        ("pairs", -1, "greater than or equal to 0"),
        ("real_sizes", (5, 100), "distinct sizes of at least 10 images"),
    ],
)
def test_a_bad_parameter_is_one_sentence(field, value, words):
    with pytest.raises(ValidationError, match=words):
        cell(OpenWorld, **{field: value})


def test_guidances_of_generator_quality_hold_the_one_in_use():
    with pytest.raises(ValidationError, match="must hold guidance, which is 2"):
        cell(GeneratorQuality, guidances=(1.0, 3.0))
    with pytest.raises(ValidationError, match="two at least"):
        cell(GeneratorQuality, pool_sizes=(1000,))
    with pytest.raises(ValidationError, match=r"shorter holds 5,000; it must be less than"):
        cell(GeneratorQuality, shorter=(5000,))
    with pytest.raises(ValidationError, match="ascending"):
        cell(GeneratorQuality, guidances=(2.0, 1.0))


@pytest.fixture
def tiny(splits, generator, home, monkeypatch):
    """Generators are trained for a step or two; what is shipped is the tiny one."""
    generator.save(home / "generators" / "tiny")
    monkeypatch.setattr(train_generator, "default_config", lambda family, card: CONFIG)
    trained_here = open_world.weights_of
    use_tiny(monkeypatch, home)
    yield trained_here
    parts.generator_of.cache_clear()


def test_open_world_from_end_to_end(tiny, splits, store):
    params = cell(
        OpenWorld,
        **SMALL,
        real_sizes=(10, 20),
        synthetic_sizes=(10, 20, 40),
        retrieved_size=20,
        familiar_sets=("v2",),
        other_sets=("sketch", "r"),
        pairs=1,
        pool_images=50,
        generator_steps=1,
        pair_size=20,
        retrain=True,
    )
    study = open_world.run(params, store)
    assert {arm: len(rows) for arm, rows in study.runs.items()} == {
        "real": 2, "synthetic": 3, "retrieved": 1,
    }  # fmt: skip
    weights = {
        spec.pool.weights
        for rows in study.twin_runs.values()
        for run in rows
        for spec in run.spec.parts
    }
    assert len(weights) == 2  # two generators, neither of them the shipped one
    kept = [r.metrics["pool"] for r in study.generators.values()]
    assert kept == [30, 30]  # of 50 images of ten classes each half keeps one of five
    labels = splits("fashion-mnist", "test").labels
    concepts = study.concepts()
    answers = study.runs["real"][-1][0].arrays["logits_test"].argmax(1)
    assert concepts["real"].tolist() == [np.mean(answers[labels == c] == c) for c in range(10)]
    assert concepts["images"].tolist() == [5] * 10
    table = study.twin_table()
    assert len(table) == 10
    fall = table["accuracy, common"] - table["accuracy, rare"]
    assert study.made_rare("accuracy").value == pytest.approx(100 * fall.mean())
    styles = study.by_style
    assert list(styles.index) == ["test", "v2", "sketch", "r"]
    kept = {s: styles["synthetic"][s].value / styles["real"][s].value for s in styles.index}
    expected = np.sqrt(kept["sketch"] * kept["r"]) / kept["test"]
    assert study.other_styles().value == pytest.approx(expected, nan_ok=True)
    assert study.recognizable.value == pytest.approx(
        100 * study.fidelity.metrics["recognizability"]
    )
    rows = study.gallery(3, 2)
    assert len(rows) == 3 and {len(images) for images in rows.values()} == {4}
    assert "classifiers, pairs" in study.kinds()


def test_generator_quality_from_end_to_end(tiny, splits, store, monkeypatch):
    monkeypatch.setattr(generator_quality, "weights_of", tiny)
    monkeypatch.setattr(
        generator_quality, "closed_pool", lambda params, name: params.pool(prompt_set="photo")
    )
    params = cell(
        GeneratorQuality,
        **{**SMALL, "model": "resnet"},
        pool_sizes=(20, 100),
        generator_steps=2,
        shorter=(1,),
        size=20,
        reference_size=20,
        retrain=True,
    )
    study = generator_quality.run(params, store)
    assert list(study.trained) == [Made(20, 2), Made(100, 2), Made(100, 1)]
    assert study.whole == 50 and study.losses.sizes.tolist() == [20, 50]
    losses = [[r.metrics["loss_test"] for r in study.trained[Made(n, 2)]] for n in (20, 100)]
    np.testing.assert_allclose(study.losses.values, losses)
    slope = -np.log(np.mean(losses[1]) / np.mean(losses[0])) / np.log(50 / 20)
    assert study.exponent().value == pytest.approx(slope, abs=1e-7)
    short = np.mean([r.metrics["loss_test"] for r in study.trained[Made(100, 1)]])
    assert study.shorter().value == pytest.approx(short / np.mean(losses[1]))
    assert study.audited == [20] and len(study.copies) == 2  # the larger leaves none unseen
    told = study.told()
    assert told["pools"] == "20 to 50 icons, 2 steps each" and told["lengths"] == "1 over 2 steps"
    assert told["small"] == "20 icons seen, as many unseen ones"
    assert told["many_share"].value == pytest.approx(study.smallest_share().value)
    loss, more = study.pretty()
    means = study.by_guidance().means
    assert loss.value == pytest.approx(means[-1] / means[0])
    recognised = [study.fidelity[w].metrics["recognizability"] for w in (6.0, 2.0)]
    assert more.value == pytest.approx(100 * (recognised[0] - recognised[1]))
    assert set(study.copied().index) == {
        "20 icons, seed 0", "20 icons, seed 1", *generator_quality.CLOSED_GENERATORS,
    }  # fmt: skip
    assert len(study.table()) == 3 and json.dumps(study.cell_means())


def test_without_generators_of_its_own_a_page_says_so(tiny, splits, store, monkeypatch):
    monkeypatch.setattr(
        generator_quality, "closed_pool", lambda params, name: params.pool(prompt_set="photo")
    )
    params = cell(GeneratorQuality, **SMALL, size=20, reference_size=20, retrain=True)
    study = generator_quality.run(params, store)
    for estimate in (study.exponent(), study.shorter(), study.smallest_share()):
        assert np.isnan(estimate.value) and "No generator" in estimate.unmeasurable
    assert study.told()["pools"] == "no generator was trained here" and not study.copies


def test_images_that_are_like_one_image_are_one_chance():
    """A thousand images that are all most like the same seen one say no more than one."""
    study = generator_quality.Study(cell(GeneratorQuality), *[None] * 8)
    rng = np.random.default_rng(0)
    seen = rng.random(1000)
    apart = SimpleNamespace(
        arrays={"seen": seen, "unseen": np.full(1000, 0.5), "most_like": np.arange(1000)}
    )
    found = study.share(apart)
    half = 1.96 * np.sqrt(0.25 / 1000)
    assert found.value == (seen > 0.5).mean()
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)
    hubs = np.where(seen > 0.5, np.arange(1000) % 5, 5 + np.arange(1000) % 5)
    few = study.share(SimpleNamespace(arrays={**apart.arrays, "most_like": hubs}))
    assert few.value == found.value and few.high - few.low > 5 * (found.high - found.low)
