"""Measures of generated images against the formulas written out, and a pool that is judged."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, stats
from scipy.spatial.distance import pdist

from dataworth.images.fidelity import (
    FidelitySpec,
    by_class,
    cosine_distance,
    density_and_coverage,
    embed,
    feature_deviation,
    frechet_distance,
    inception_score,
    recall_and_f1,
)

# --- Recognizability ----------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(2, 6))
def test_recall_and_f1_are_counted_one_by_one(seed, count, classes):
    labels, predicted = np.random.default_rng(seed).integers(classes, size=(2, count))
    recall, f1 = recall_and_f1(predicted, labels, classes)
    for c in range(classes):
        hits = sum(a == b == c for a, b in zip(labels, predicted, strict=True))
        asked, answered = (labels == c).sum(), (predicted == c).sum()
        if not asked + answered:
            assert np.isnan(f1[c])
            continue
        if asked:
            assert recall[c] == pytest.approx(hits / asked)
        if hits:
            precision = hits / answered
            assert f1[c] == pytest.approx(stats.hmean([precision, hits / asked]))
        else:
            assert f1[c] == 0
    assert np.isnan(recall).sum() == classes - len(np.unique(labels))


def test_perfect_answers_have_an_f1_of_one():
    labels = np.arange(30) % 10
    recall, f1 = recall_and_f1(labels, labels, 10)
    np.testing.assert_array_equal([recall, f1], 1)


# --- Diversity ------------------------------------------------------------------------------------


def test_cosine_distance_is_the_mean_over_pairs():
    features = np.random.default_rng(0).normal(size=(40, 7)) + 1
    assert cosine_distance(features) == pytest.approx(pdist(features, "cosine").mean())
    assert cosine_distance(features * 5) == pytest.approx(cosine_distance(features))
    assert cosine_distance(np.ones((9, 3))) == pytest.approx(0)


def test_deviation_grows_with_the_features_and_not_with_their_place():
    features = np.random.default_rng(0).normal(size=(4000, 6)) * 2
    assert feature_deviation(features) == pytest.approx(2, rel=0.02)
    assert feature_deviation(3 * features + 5) == pytest.approx(3 * feature_deviation(features))


def test_by_class():
    features = np.random.default_rng(0).normal(size=(7, 3))
    labels = np.array([0, 0, 0, 2, 2, 1, 0])
    found = by_class(feature_deviation, features, labels, 4)
    assert found[0] == pytest.approx(features[[0, 1, 2, 6]].std(0, ddof=1).mean())
    assert found[2] == pytest.approx(features[3:5].std(0, ddof=1).mean())
    assert np.isnan(found[[1, 3]]).all()  # one image has no spread, no image either


# --- Density and coverage -------------------------------------------------------------------------


def prdc(real, fake, k):
    """Density and coverage as the authors' own code computes them, example by example."""

    def distances(a, b):
        return np.array([[np.sqrt(np.square(x - y).sum()) for y in b] for x in a])

    radius = np.sort(distances(real, real), axis=1)[:, k]
    between = distances(real, fake)
    density = (1 / k) * (between < radius[:, None]).sum(axis=0).mean()
    coverage = (between.min(axis=1) < radius).mean()
    return density, coverage


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("width", [2, 16])
def test_density_and_coverage_are_the_published_formulas(width, k):
    rng = np.random.default_rng(width)
    real, fake = rng.normal(size=(60, width)), 0.7 * rng.normal(size=(40, width)) + 0.3
    assert density_and_coverage(real, fake, k) == pytest.approx(prdc(real, fake, k))


def test_density_and_coverage_of_equal_distributions():
    """Expected (Naeem et al. 2020, M = N): density 1, coverage 1 - prod (n - i) / (2n - i)."""
    rng = np.random.default_rng(0)
    n, k = 400, 5
    found = [density_and_coverage(*rng.normal(size=(2, n, 4)), k) for _ in range(6)]
    expected = 1 - np.prod([(n - i) / (2 * n - i) for i in range(1, k + 1)])
    np.testing.assert_allclose(np.mean(found, axis=0), [1, expected], rtol=0.02)


def test_one_mode_is_dense_and_covers_little():
    real = np.random.default_rng(0).normal(size=(200, 4))
    density, coverage = density_and_coverage(real, 0.01 * real)
    assert density > 1.3 and coverage < 0.2
    far = density_and_coverage(real, real + 100)
    assert far == (0, 0)


# --- Inception score ------------------------------------------------------------------------------


def test_inception_score_is_one_to_the_number_of_classes():
    sure = 100 * np.eye(5, dtype=np.float32)
    assert inception_score(sure) == pytest.approx(5)
    assert inception_score(np.zeros((8, 5), np.float32)) == pytest.approx(1)
    assert inception_score(np.tile(sure[:1], (8, 1))) == pytest.approx(1)
    logits = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    kl = stats.entropy(p, np.tile(p.mean(0), (50, 1)), axis=1).mean()
    assert inception_score(logits) == pytest.approx(np.exp(kl), rel=1e-5)


# --- Frechet distance -------------------------------------------------------------------------


def by_sqrtm(a, b):
    """The formula of Heusel et al. 2017 as written, with a matrix square root."""
    s_a, s_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(s_a @ s_b).real
    return np.square(a.mean(0) - b.mean(0)).sum() + np.trace(s_a + s_b - 2 * root)


@pytest.mark.parametrize("width", [2, 8, 32])
def test_frechet_distance_is_the_formula(width):
    rng = np.random.default_rng(width)
    a = rng.normal(size=(300, width)) @ rng.normal(size=(width, width))
    b = rng.normal(size=(200, width)) @ rng.normal(size=(width, width)) + rng.normal(size=width)
    assert frechet_distance(a, b) == pytest.approx(by_sqrtm(a, b), rel=1e-8)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b), rel=1e-8)


def test_frechet_distance_of_identical_sets_is_zero():
    a = np.random.default_rng(0).normal(size=(100, 16))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    few = a[:5]  # fewer examples than features: a singular covariance
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_of_moved_and_scaled_sets():
    """A shift by m adds |m|^2; scaling by k leaves (k - 1)^2 tr S."""
    a = np.random.default_rng(0).normal(size=(100, 16))
    a -= a.mean(0)
    shift = np.arange(16.0)
    assert frechet_distance(a, a + shift) == pytest.approx(np.square(shift).sum())
    assert frechet_distance(a, 3 * a) == pytest.approx(4 * np.trace(np.cov(a, rowvar=False)))


def test_features_lead_to_the_model_s_own_logits():
    from tiny_images import garments

    from dataworth.images.classifiers import Vit, predict

    model = Vit(patch=14, width=16, depth=1, heads=2).build(28, 1, 10).eval()
    images, _ = garments(7)
    features, logits = embed(model, images, batch=3)
    assert features.shape == (7, 16) and features.dtype == np.float64
    np.testing.assert_allclose(logits, predict(model, images), atol=1e-5)


def test_fidelity_of_a_pool(generator, home, splits, store):
    from dataworth.images.classifiers import Budget, ClassifierSpec, Vit, load_model
    from dataworth.images.parts import RealPart, SyntheticPool, weights_digest
    from dataworth.runs import run_tasks

    generator.save(home / "generators" / "tiny")
    weights = weights_digest(home / "generators" / "tiny")
    pool = SyntheticPool(weights=weights, steps=1, names=("dress", "bag"))
    reference = ClassifierSpec(
        parts=(RealPart(ids=tuple(range(1000, 1060))),),
        model=Vit(patch=14, width=16, depth=1, heads=2),
        budget=Budget(amount=5, batch=8),
        keep_weights=True,
    )
    (trained,) = run_tasks([reference], store=store)
    run_tasks(pool.shards(range(30)), store=store)
    (judged,) = run_tasks([FidelitySpec(pool=pool, size=30, reference=reference)], store=store)
    model = load_model(trained)
    images, labels = pool.load(np.arange(30), store)
    features, logits = embed(model, images)
    real, _ = embed(model, splits("fashion-mnist", "validation").images)
    correct = logits.argmax(1) == labels
    np.testing.assert_array_equal(judged.arrays["correct"], correct)
    assert judged.metrics["recognizability"] == correct.mean()
    assert judged.metrics["frechet"] == pytest.approx(by_sqrtm(features, real), rel=1e-3)
    found = density_and_coverage(real, features)  # 30 real images, 30 generated ones
    assert (judged.metrics["density"], judged.metrics["coverage"]) == pytest.approx(found)
    two = [features[labels == c] for c in (0, 1)]
    cosines = [pdist(mine, "cosine").mean() for mine in two]
    np.testing.assert_allclose(judged.arrays["cosine_by_class"][:2], cosines)
    assert np.isnan(judged.arrays["cosine_by_class"][2:]).all()
    assert judged.metrics["cosine"] == pytest.approx(np.mean(cosines))
    deviations = [mine.std(0, ddof=1).mean() for mine in two]
    assert judged.metrics["deviation"] == pytest.approx(np.mean(deviations))
    assert judged.metrics["macro_f1"] == np.nanmean(judged.arrays["f1_by_class"])
    names = {"recognizability", "macro_f1", "deviation", "cosine", "inception_score"}
    anchor = {name for name in judged.metrics if name.startswith("real_")}
    assert anchor == {f"real_{name}" for name in names}
