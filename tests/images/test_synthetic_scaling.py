"""The study of the first chapter: bad parameters, subsets, and a run from end to end."""

import numpy as np
import pytest
from pydantic import ValidationError
from tiny_images import use_tiny

from cells import cell
from dataworth.errors import UserError
from dataworth.images import parts
from dataworth.images.captions import CLASS_WORDS
from dataworth.images.classifiers import cross_entropy
from dataworth.images.parts import SHARD, SyntheticPool
from dataworth.studies.curves import Curve
from dataworth.studies.images import class_names
from dataworth.studies.synthetic_scaling import PURE, Study, SyntheticScaling, run
from dataworth.studies.worth import Worth

SIZES = (10, 20, 30, 40)
SMALL = {
    "fitted_from": 10,
    "real_sizes": SIZES,
    "synthetic_sizes": SIZES,
    "other_sizes": SIZES,
    "retrieved_sizes": SIZES,
}


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("model", "resnet-50", "must be one of vit-2x32, vit-2x64"),
        ("generator", "dall-e", "must be one of pixel-diffusion"),
        ("prompt_set", "haiku", "must be one of classnames, photo"),
        ("guidance", -1.0, "greater than or equal to 0"),
        ("guidance", float("nan"), "finite number"),
        ("guidance", float("inf"), "finite number"),
        ("learning_rate", 0.0, "greater than 0"),
        ("learning_rate", float("inf"), "finite number"),
        ("real_sizes", (100, 200, 300), "at least 4 items"),
        ("synthetic_sizes", (100, 200, 300), "at least 4 items"),
        ("real_sizes", (5, 80, 320, 1280), "distinct sizes of at least 10 images"),
        ("real_sizes", (80, 80, 320, 1280), "distinct sizes of at least 10 images"),
        ("real_sizes", (100, 200, 300, 400, 500.5), "valid integer"),
        ("seeds", 0, "greater than or equal to 1"),
        ("budget", ((80, 4),), "greater than or equal to 5"),
        ("budget", (), "pairs (images, steps), images in ascending order"),
        ("budget", ((80, 10), (20, 10)), "pairs (images, steps), images in ascending order"),
        ("fixed_steps", 0, "greater than or equal to 1"),
        ("shift", 9, "less than or equal to 8"),
        ("solver_steps", 0, "greater than or equal to 1"),
        ("curve_steps", (0, 4), "greater than or equal to 1"),
        ("curve_steps", (), "at least 1 item"),
        ("resamples", 10, "greater than or equal to 100"),
        ("seed", -1, "greater than or equal to 0"),
        ("colour", "red", "not permitted"),
    ],
)
def test_a_bad_parameter_is_one_sentence_that_names_it(field, value, words):
    with pytest.raises(ValidationError) as caught:
        cell(SyntheticScaling, **{field: value})
    (error,) = caught.value.errors()
    assert error["loc"][0] == field and words in error["msg"] and "\n" not in error["msg"]


def test_sizes_are_sorted():
    params = cell(
        SyntheticScaling,
        real_sizes=(40, 10, 30, 20),
        synthetic_sizes=(30, 10, 55, 20),
        other_sizes=(20, 30, 10),
        retrieved_sizes=(),
        fitted_from=20,
    )
    assert params.real_sizes == SIZES and params.synthetic_sizes == (10, 20, 30, 55)


def test_a_law_needs_three_sizes():
    with pytest.raises(ValidationError, match="fitted_from is 1280; it must leave three sizes"):
        cell(SyntheticScaling, fitted_from=1280)


def test_from_names():
    names = dict(cell(SyntheticScaling).model_dump(), guidance=3.0, unrelated=object())
    names["other_sizes"] = list(names["other_sizes"])  # as a notebook's parameters cell may have it
    made = SyntheticScaling.from_names(names)
    assert made == cell(SyntheticScaling, guidance=3.0)
    with pytest.raises(UserError, match="'guidance' is -1: input should be greater"):
        SyntheticScaling.from_names(names | {"guidance": -1})
    del names["shift"]
    with pytest.raises(UserError, match="The parameters cell does not set shift"):
        SyntheticScaling.from_names(names)


def test_sizes_beyond_the_pool(splits, monkeypatch):
    small = cell(SyntheticScaling, **SMALL)
    SyntheticScaling.preflight(small)
    with pytest.raises(
        UserError, match="of 70 images was asked for, but the classifier_pool"
    ) as caught:
        SyntheticScaling.preflight(small.model_copy(update={"real_sizes": (10, 20, 30, 70)}))
    assert "use sizes up to 60." in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"retrieved_sizes asks for 60 images, .* has 50 class"):
        SyntheticScaling.preflight(small.model_copy(update={"retrieved_sizes": (60,)}))
    whole = splits("fashion-mnist", "classifier_pool")
    for name in ("images", "labels", "ids"):  # 59 images, of one class only 5
        setattr(whole, name, getattr(whole, name)[:59])
    monkeypatch.setattr("dataworth.data.load_images", lambda *_: whole)
    with pytest.raises(UserError, match=r"has 50 class-balanced images; use sizes up to 50\."):
        SyntheticScaling.preflight(small.model_copy(update={"real_sizes": (10, 20, 30, 55)}))


def test_no_weights_and_no_disk(splits, monkeypatch, tmp_path):
    params = cell(SyntheticScaling, **SMALL)
    with monkeypatch.context() as patch:
        patch.setattr("dataworth.studies.images.WEIGHTS", tmp_path)
        with pytest.raises(UserError, match="'pixel-diffusion' has no shipped weights"):
            SyntheticScaling.preflight(params)
        SyntheticScaling.preflight(params.model_copy(update={"retrain": True}))
    from types import SimpleNamespace

    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=5 * 2**20))
    with pytest.raises(UserError, match="has 5 MiB free, but the chapter stores up to"):
        SyntheticScaling.preflight(params)


POOL = SyntheticPool(weights="0" * 64, names=class_names("fashion-mnist"))


def test_class_names_are_the_words_of_the_captions():
    assert POOL.names == tuple(row[0] for row in CLASS_WORDS)


def test_real_subsets_are_balanced_and_nested(splits):
    params = cell(SyntheticScaling)
    whole = splits("fashion-mnist", "classifier_pool")
    labels = dict(zip(whole.ids.tolist(), whole.labels.tolist(), strict=True))
    sets = [tuple(params.real(n, 0).ids) for n in (10, 15, 40)]
    for ids in sets:
        assert len(set(ids)) == len(ids) and ids == sets[-1][: len(ids)]
        counts = np.bincount([labels[i] for i in ids], minlength=10)
        assert counts.max() - counts.min() <= 1
    assert tuple(params.real(40, 1).ids) != sets[2]


def test_synthetic_subsets_are_balanced_and_nested_and_apart():
    params = cell(SyntheticScaling)
    sets = [tuple(params.synthetic(POOL, n, 1).ids) for n in (10, 15, 5120)]
    for ids in sets:
        assert ids == sets[-1][: len(ids)]
        counts = np.bincount([i % 10 for i in ids], minlength=10)
        assert counts.max() - counts.min() <= 1
    assert not set(sets[-1]) & set(params.synthetic(POOL, 5120, 0).ids)
    assert min(sets[-1]) % SHARD == 0  # no generation task serves two runs


@pytest.fixture
def study(splits, generator, home, store, monkeypatch):
    """The whole chapter on tiny data, its generator trained on this machine."""
    generator.save(home / "generators" / "tiny")
    use_tiny(monkeypatch, home)
    params = cell(
        SyntheticScaling,
        real_sizes=SIZES,
        synthetic_sizes=(10, 20, 30, 45),
        other_sizes=(10, 30),
        other_generators=(),
        other_prompt_sets=("classnames",),
        retrieved_sizes=(20,),
        fitted_from=10,
        fixed_steps=2,
        epochs=1,
        seeds=2,
        budget=((10, 5),),
        batch=8,
        solver_steps=2,
        curve_steps=(1, 2),
        curve_images=32,
        resamples=100,
        retrain=True,
    )
    return run(params, store)


def test_a_study_from_end_to_end(study, store, splits, monkeypatch):
    params = study.params
    for arm in ("real", "synthetic"):
        rows = study.runs[arm]
        assert [len(r.spec.parts[0].ids) for row in rows for r in row] == [
            n for n in study.arms[arm].sizes for _ in range(2)
        ]
        assert {r.spec.parts[0].source for row in rows for r in row} == {arm}
        assert {r.metrics["samples_seen"] for row in rows for r in row} == {5 * 8}
        c = study.curve(arm)
        for i, row in enumerate(rows):
            for s, r in enumerate(row):
                loss = cross_entropy(r.arrays["logits_test"], r.arrays["labels_test"]).mean()
                assert c.values[i, s] == pytest.approx(loss)
                assert r.metrics["loss_test"] == pytest.approx(loss)
        assert c.draws.shape == (100, 4)
    read = {"classifier_pool", "validation", "test", "generator_pool"}
    assert {split for _, split in splits.calls} == read
    assert {r.spec.parts[0].split for r in study.runs["retrieved"][0]} == {"generator_pool"}
    assert set(study.runs) == set(params.arms())
    assert {r.spec.model.width for row in study.runs["real, vit-2x32"] for r in row} == {32}
    epochs = study.runs["synthetic, fixed epochs"]
    assert [row[0].metrics["samples_seen"] for row in epochs] == [16, 32]
    steps = study.runs["synthetic, fixed steps"]
    assert [row[0].metrics["samples_seen"] for row in steps] == [16, 16]
    for arm, rows in study.runs.items():
        kept = {s for row in rows for s, r in enumerate(row) if r.spec.keep_weights}
        assert kept == ({0} if arm.startswith(("real", "retrieved")) else set())

    quality = study.quality()
    assert list(quality.steps) == [1, 2]
    assert quality.recognizability.between(0, 1).all() and (quality.frechet > 0).all()
    summary = study.summary()
    assert list(summary["runs"]) == [2, 2, 8, 8, 2, 4, 4, 4, 4, 4, 4, 4]
    gallery = study.gallery(2)
    assert len(gallery) == 10 and all(images.shape == (4, 28, 28) for images in gallery.values())
    bag, _ = params.pool().load(np.array([8, 18]), store)
    np.testing.assert_array_equal(list(gallery.values())[8][2:], bag)
    accuracy = study.accuracy()
    assert list(accuracy.columns) == [10, 20, 30, 40, 45]
    error = study.curve("real", metric="error").means
    assert accuracy.iloc[0, 0].value == pytest.approx(100 * (1 - error[0]))
    low, high = study.curve("real", metric="error").interval()
    assert accuracy.iloc[0, 0].interval == pytest.approx((100 * (1 - high[0]), 100 * (1 - low[0])))
    assert np.isnan(accuracy.loc["classnames", 40])
    tuning = study.tuning()
    assert list(tuning.index) == [(arm, n) for arm in PURE for n in study.arms[arm].sizes]
    assert tuning.steps.between(2, 5).all() and (tuning.longest == 5).all()
    lower = [row.calibrated.value <= row.loss.value + 0.05 for row in tuning.itertuples()]
    assert all(lower) and tuning.slope.isna().sum() == 2
    assert study.over_retrieval("real").value == pytest.approx(
        study.curve("retrieved").means[0] / study.curve("real").means[1]
    )
    provenance = study.provenance()
    assert provenance["runs"] == "2 synthetic-images, 2 fidelity, 46 classifier"

    # A second time, nothing is computed and the numbers are the same.
    monkeypatch.setattr("dataworth.runs.engine.execute", None)
    again = run(params, store)
    np.testing.assert_array_equal(again.curve("synthetic").draws, study.curve("synthetic").draws)
    parts.generator_of.cache_clear()


@pytest.fixture
def planted():
    """A study whose arms fall as 5 D^-k without a floor, k by arm, in every draw."""
    slow = {"real": 0.5, "synthetic": 0.25, "real, vit-2x32": 0.6, "synthetic, vit-2x32": 0.4}
    params = cell(SyntheticScaling, other_sizes=(80, 320, 1280), other_prompt_sets=("clip-80",))
    arms = params.arms()
    made = Study(params, arms, dict.fromkeys(arms), {}, {}, None)
    rng = np.random.default_rng(0)
    made.__dict__["curves"] = {}
    for name, one in arms.items():
        loss = 5 * np.array(one.sizes, dtype=float) ** -slow.get(name, 0.3)
        draws = loss * np.exp(rng.normal(0, 1e-4, (100, 1)))
        made.curves[name] = Curve(np.array(one.sizes), loss[:, None], draws)
    return made


def test_arms_are_compared_with_their_real_counterparts(planted):
    compared = planted.compared()
    assert list(compared.index) == [arm for arm in planted.arms if arm != "retrieved"]
    assert compared.k["synthetic"].value == pytest.approx(0.25)
    assert compared.slope["real, vit-2x32"].value == pytest.approx(0.6)
    assert compared.loss["real"].value == pytest.approx(5 * 1280**-0.5)
    assert compared.ratio["synthetic"].value == pytest.approx(2)
    assert compared.ratio["synthetic, vit-2x32"].value == pytest.approx(1.5)
    assert compared.ratio["clip-80"].value == pytest.approx(0.5 / 0.3)
    assert compared.ratio["synthetic, fixed epochs"].value == pytest.approx(1)
    real = compared.images == "real"
    assert set(compared.index[real]) == {n for n in compared.index if n.startswith("real")}
    assert compared.ratio[real].isna().all() and compared.ratio[~real].notna().all()
    assert planted.ability_ratio().value == pytest.approx(2)
    assert (planted.misfits.off.map(lambda off: off.value) < 0.1).all()


def test_saturation_is_measured_only_where_something_flattens(planted):
    """Slopes of the larger less the smaller classifier: -0.15 on synthetic, -0.1 on real images."""
    found, real = planted.saturation()
    assert (found.value, real.value) == pytest.approx((-0.05, -0.1))
    assert "0.40 on synthetic and 0.60 on real" in found.unmeasurable
    flat = Curve(np.array([320, 1280]), np.ones((2, 1)), np.ones((100, 2)))
    planted.curves["synthetic, vit-2x32"] = flat
    found, _ = planted.saturation()
    assert found.value == pytest.approx(0.35) and not found.unmeasurable


def test_worth_where_the_answer_is_known():
    """3 m^-1/4 = 10 n^-1/2 where m = 0.0081 n^2: 0.0081 n synthetic images per real one."""
    sizes, rng = np.array([80, 320, 1280, 5120]), np.random.default_rng(0)
    laws = []
    for a, k in ((3, 0.25), (10, 0.5)):
        loss = a * sizes.astype(float) ** -k
        draws = loss * np.exp(rng.normal(0, 1e-3, (100, 4)))
        laws.append(Curve(sizes, loss[:, None], draws).fit("shifted"))
    worth = Worth(*laws, sizes.tolist(), sizes.tolist())
    low, high = worth.measured
    assert (low, high) == pytest.approx(((80 / 0.0081) ** 0.5, (5120 / 0.0081) ** 0.5), rel=0.02)
    assert worth.crossing.value == pytest.approx(high, rel=0.01)
    assert [r.value for r in worth.table.ratio] == pytest.approx(
        0.0081 * worth.table.index, rel=0.05
    )
    assert worth.table.measured.sum() == 7 and worth.table.index[-1] == 5120
    assert worth.growth().value == pytest.approx(1, rel=0.05)
    assert worth.reached(10, 20).value == pytest.approx(0.0081 * high, rel=0.05)
    assert worth.reached(0.1, 0.2).value == pytest.approx(0.0081 * low, rel=0.05)
    assert worth.reached(3, 8).value == pytest.approx((3 * 0.0081 * high) ** 0.5, rel=0.05)
    wide = Worth(*laws, sizes.tolist(), sizes.tolist(), factor=3.0).at(400)
    inner, outer = worth.at(400), np.log([wide.low, wide.value, wide.high])
    assert np.diff(outer) == pytest.approx(
        3 * np.diff(np.log([inner.low, inner.value, inner.high])), rel=0.02
    )


def test_no_range_of_losses_in_common_is_not_measurable(planted):
    """5 m^-1/4 = 5 n^-1/2 where m = n^2: 80 real images are worth more than all that were drawn."""
    worth = planted.worth
    assert worth.measured is None and not worth.table.measured.any()
    assert worth.growth().unmeasurable and worth.reached(3, 8).unmeasurable


def test_cost_counts_training_samples():
    """A step costs three forward passes: doubling the budget doubles what training costs."""
    rows, twice = (cell(SyntheticScaling, budget=((80, steps),)).cost() for steps in (1000, 2000))
    for a, b in zip(rows, twice, strict=True):
        if a["step"].startswith("train") and "vit-2x64" in a["step"]:
            assert a["PFLOP"] < b["PFLOP"]
        elif a["step"].startswith("train"):
            assert b["PFLOP"] == pytest.approx(2 * a["PFLOP"], rel=0.01)
        elif a["step"] != "total":
            assert a == b
