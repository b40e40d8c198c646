"""The study of the chapter on CLIP: bad parameters, parts, and a run from end to end."""

import numpy as np
import pytest
from pydantic import ValidationError
from tiny_images import use_tiny

from cells import cell
from dataworth import data
from dataworth.errors import UserError
from dataworth.images import clip, parts
from dataworth.images.captions import attributes
from dataworth.images.classifiers import cross_entropy
from dataworth.images.clip import linear_probe
from dataworth.studies.clip_labels import ATTRIBUTES
from dataworth.studies.clip_scaling import ARMS, DOUBLED, ClipScaling, pixels, run, tower_flops

SIZES = (10, 20, 30, 40)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"sizes": (10,)}, "at least 2 items"),
        ({"sizes": (10, 10, 20)}, "distinct sizes of at least 10 images"),
        ({"towers": "clip-9x9"}, "must be one of clip-2x64"),
        ({"captions": "haiku"}, "must be one of"),
        ({"templates": "clip-8"}, "'photo', 'clip-7' or 'clip-80'"),
        ({"clip_budget": ((80, 1),)}, "greater than or equal to 5"),
        ({"clip_budget": ((320, 10), (80, 10))}, "images in ascending order"),
        ({"images_per_caption": 1}, "greater than or equal to 2"),
        ({"group_sizes": (320, 400)}, "group_sizes holds 400, which sizes lacks"),
        ({"images_per_caption": 3}, "group_sizes holds 320, which is no multiple"),
        ({"colour": "red"}, "not permitted"),
    ],
)
def test_a_bad_parameter_is_one_sentence(fields, words):
    with pytest.raises(ValidationError) as caught:
        cell(ClipScaling, **fields)
    (error,) = caught.value.errors()
    assert words in error["msg"] and "\n" not in error["msg"]


PARAMS = cell(
    ClipScaling,
    real_sizes=SIZES,
    synthetic_sizes=SIZES,
    sizes=(10, 20, 30),
    group_sizes=(20, 30),
    images_per_caption=2,
    clip_budget=((10, 5),),
    clip_batch=8,
    probe_images=40,
    retrieval_images=20,
    seeds=2,
    budget=((10, 5),),
    batch=8,
    solver_steps=2,
    resamples=100,
    retrain=True,
)


def test_preflight(splits):
    with pytest.raises(UserError, match="sizes holds 15, which real_sizes lacks"):
        ClipScaling.preflight(PARAMS.model_copy(update={"sizes": (10, 15, 20)}))
    with pytest.raises(UserError, match="of 70 images was asked for"):
        ClipScaling.preflight(PARAMS.model_copy(update={"probe_images": 70}))


@pytest.fixture
def weights(generator, home, monkeypatch):
    generator.save(home / "generators" / "tiny")
    use_tiny(monkeypatch, home)
    yield
    parts.generator_of.cache_clear()


def test_parts_of_the_arms(splits, store, weights):
    (real,), (drawn,) = PARAMS.parts("real", 20, 1), PARAMS.parts("synthetic", 20, 1)
    assert PARAMS.parts("real + synthetic", 20, 1) == (real, drawn)
    assert drawn.pool.prompt_set == "in-captions" and len(drawn.ids) == len(real.ids) == 20
    small, large = PARAMS.groups(20, 1), PARAMS.groups(30, 1)
    assert set(small.ids) < set(large.ids) and small.pool == large.pool
    for part, size in ((small, 20), (large, 30)):
        words = clip.texts(part, store)
        assert len(words) == size
        captions = np.unique([i % len(part.pool.names) for i in part.ids], return_counts=True)[1]
        assert (captions == 2).all() and len(captions) == size // 2
    source = PARAMS.real(15, 1)
    assert large.pool.names == tuple(clip.texts(source, store))


def test_a_study_from_end_to_end(splits, store, weights, monkeypatch):
    study = run(PARAMS, store)
    assert set(study.runs) == {*ARMS, DOUBLED, "multi-positive"}
    for arm in ARMS:
        c = study.curve(arm)
        assert c.sizes.tolist() == [10, 20, 30] and c.draws.shape == (100, 3)
        for i, row in enumerate(study.runs[arm]):
            for s, r in enumerate(row):
                logits = r.arrays["logits_test"]
                assert c.values[i, s] == pytest.approx(
                    cross_entropy(logits, r.arrays["labels_test"]).mean()
                )
                assert r.metrics["examples"] == (2 if "+" in arm else 1) * c.sizes[i]
                lengths = r.spec.budget.checkpoints(int(r.metrics["examples"]))
                assert r.metrics["steps"] == lengths[r.arrays["validated"].argmin()]
                for way in ("image_to_text", "text_to_image"):
                    rank = r.arrays[f"rank_{way}"]
                    assert len(rank) == 20 and r.metrics[f"recall5_{way}"] == (rank < 5).mean()
        assert study.classifier("real").sizes.tolist() == [10, 20, 30]
    grouped = study.curve("multi-positive", split="probe", metric="error")
    assert grouped.sizes.tolist() == [20, 30]
    scores = study.scores()
    assert (
        scores.loc[("multi-positive", 30), "zero-shot top-1"]
        != scores.loc[("multi-positive", 30), "zero-shot top-1"]
    )
    assert scores.loc[("multi-positive", 30), "linear probe top-1"] == pytest.approx(
        100 * (1 - grouped.means[-1]), abs=0.06
    )

    known, classes = PARAMS.real(PARAMS.probe_images, 0).load(store)
    test = data.load_images(PARAMS.card, "test")
    flat = [x.reshape(len(x), -1).astype(np.float32) for x in (known, test.images)]
    answers = linear_probe(flat[0], classes, flat[1]).argmax(1)
    assert study.pixel_probe() == (answers == test.labels).mean()
    share = np.mean([r.arrays["recognised"].mean() for r in study.judged])
    assert study.recognised().value == pytest.approx(share)
    for s, judged in enumerate(study.judged):
        kept = study.diagnosis["clip, filtered"][0][s].spec.parts[0].ids
        shown = np.array(judged.spec.part.ids)[judged.arrays["recognised"]]
        assert kept == (tuple(shown.tolist()) or judged.spec.part.ids)
        assert study.diagnosis["classifier, filtered"][0][s].spec.parts[0].ids == kept
    filtering = study.filtering()
    assert filtering["ratio"].value == pytest.approx(
        filtering["classifier"].value / filtering["clip"].value
    )
    both, real = study.curve("real + synthetic"), study.curve("real")
    slopes = [np.polyfit(np.log(c.sizes), np.log(c.means), 1)[0]
              for c in (real, study.curve("synthetic"))]  # fmt: skip
    gap = study.gap()
    assert gap.value == pytest.approx(slopes[0] / slopes[1])
    highest = [c.interval()[1][c.means.argmax()] for c in (real, study.curve("synthetic"))]
    assert bool(gap.unmeasurable) is bool(max(highest) > np.log(10))
    gains = study.mixing()
    assert list(gains) == [10, 20, 30]
    assert [e.value for e in gains.values()] == pytest.approx(both.means / real.means)
    np.testing.assert_allclose(gains[20].draws, both.draws[:, 1] / real.draws[:, 1])
    surely = [high < np.log(10) for high in real.interval()[1]]
    assert [not e.unmeasurable for e in gains.values()] == surely
    twice, doubled = study.curve(DOUBLED), study.doubled()
    assert list(doubled) == [10, 30] == twice.sizes.tolist()
    assert [e.value for e in doubled.values()] == pytest.approx(twice.means / real.means[[0, 2]])
    assert [row[0].metrics["examples"] for row in study.runs[DOUBLED]] == [20, 60]
    k = [np.polyfit(np.log(c.sizes), np.log(c.means), 1)[0]
         for c in (study.classifier("synthetic"), study.curve("synthetic"))]  # fmt: skip
    assert study.random_drop().value == pytest.approx(study.recognised().value ** (k[0] - k[1]))
    plain = study.curve("synthetic", split="probe", metric="error").means[2]
    features = study.features()
    assert features.value == pytest.approx(grouped.means[-1] / plain)
    beaten = bool(min(grouped.means[-1], plain) < 1 - study.pixel_probe())
    assert beaten is not bool(features.unmeasurable)
    agreement = study.agreement()
    assert agreement.images.sum() == 2 * 30
    assert agreement[["share", "chance"]].stack().dropna().between(0, 1).all()
    summary = study.summary()
    assert summary.runs.tolist() == [6, 6, 6, 4, 4, 2, 16, 4, 2]
    assert all(len(x) == 2 for x in study.gallery(3).values())
    assert "clip" in study.provenance()["runs"]

    monkeypatch.setattr("dataworth.runs.engine.execute", None)  # nothing is computed twice
    again = run(PARAMS, store)
    np.testing.assert_array_equal(again.curve("real").draws, study.curve("real").draws)


def test_pixels_of_the_probe_are_raw_or_means_of_squares():
    rng = np.random.default_rng(0)
    for shape in ((3, 28, 28), (3, 32, 32, 3)):
        small = rng.integers(0, 256, shape, dtype=np.uint8)
        np.testing.assert_array_equal(pixels(small), small.reshape(3, -1))
    large = np.repeat(np.repeat(small, 7, 1), 7, 2)
    np.testing.assert_allclose(pixels(large), pixels(small), rtol=1e-6)


def test_real_captions_hold_in_their_images(splits):
    """The attribute words of a caption are among those measured on its image."""
    whole = splits("fashion-mnist", "validation")
    holds = attributes(whole.images, whole.labels)
    words = clip.real_captions("fashion-mnist", whole.images, whole.labels, whole.ids.tolist())
    assert set().union(*holds) <= ATTRIBUTES
    for text, found in zip(words, holds, strict=True):
        assert ATTRIBUTES & set(text.split()) <= set(found)


def test_cost_of_the_paper_s_towers():
    *_, towers, trained, total = cell(
        ClipScaling, towers="clip-b16", clip_budget=((80, 120),)
    ).cost()
    assert towers["parameters"] == "149,620,737" and "ViT-B-16-quickgelu" in towers["resolved"]
    assert "laion/laion400m" in trained["step"] and total["GPU hours"] >= trained["GPU hours"]
    flops, _ = tower_flops("clip-b16")
    assert flops == pytest.approx(41e9, rel=0.1)  # open_clip's profile: 41.09 GFLOPs
    pairs = 3 * (3 * 2 + 2 + 1) * 120 * 128  # seeds x (arms x sizes + sizes) x steps x batch
    assert trained["PFLOP"] == pytest.approx(3 * pairs * flops / 1e15, rel=0.01)
