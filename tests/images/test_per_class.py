"""The per-class study: groups, correlations and confusion against references, and a whole run."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats
from tiny_images import use_tiny

from cells import cell
from dataworth.images import parts
from dataworth.stats import best_of, estimate, rank_correlation
from dataworth.studies import per_class
from dataworth.studies.per_class import PerClass, confusion, exponent, groups, run, weakest


@pytest.mark.parametrize(
    ("first", "last", "k", "group"),
    [
        (0.85, 0.90, 0.15, "easy"),
        (0.80, 0.50, 0.05, "easy"),  # the threshold is reached; easy comes first
        (0.40, 0.55, 0.05, "poor"),
        (0.40, 0.55, -0.2, "poor"),  # gets worse
        (0.40, 0.55, 0.10, "scaling"),  # low, but it improves
        (0.40, 0.60, 0.05, "scaling"),  # flat, but not low
        (0.40, 0.55, np.nan, "scaling"),  # nothing is known about its k
    ],
)
def test_groups(first, last, k, group):
    assert groups(first, last, k, easy=0.8, poor=0.6, flat=0.1) == group


def test_groups_of_draws():
    rules = {"easy": 0.8, "poor": 0.6, "flat": 0.1}
    found = groups([0.7, 0.9, 0.5, 0.5], [0.5, 0.5, 0.7, 0.5], [0, 0, 0, 0.2], **rules)
    assert found.tolist() == ["poor", "easy", "scaling", "scaling"]


def test_exponent_is_scipys_slope_and_the_fitted_power_law():
    from dataworth.fit import fit

    rng = np.random.default_rng(0)
    sizes = np.array([100, 320, 1000, 2560])
    losses = 2 * sizes ** -rng.normal(0.1, 0.2, (6, 1)) * np.exp(rng.normal(0, 0.1, (6, 4)))
    slopes = [stats.linregress(np.log(sizes), np.log(row)).slope for row in losses]
    np.testing.assert_allclose(exponent(sizes, losses), -np.array(slopes))
    assert min(slopes) < 0 < max(slopes)
    law = fit({"n": sizes, "loss": losses[0]}, law="power", x="n", y="loss")
    assert law.params["k"] == pytest.approx(exponent(sizes, losses[0]).item(), rel=1e-6)
    losses[1, 2], losses[2, 0], losses[3, 3] = np.nan, 0.0, -1.0
    assert np.isnan(exponent(sizes, losses)).tolist() == [False, True, True, True, False, False]


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 10))
    found = rank_correlation(x, y)
    assert found.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found.low < found.value < found.high and found.low >= -1 and found.high <= 1
    both = rank_correlation([*x, np.nan], [*y, 1.0])
    assert (both.value, both.interval) == (found.value, found.interval)
    assert np.isnan(rank_correlation(x, np.ones(10)).interval).all()
    assert np.isnan(rank_correlation(x[:3], y[:3]).interval).all()
    perfect = rank_correlation(x, x)
    assert perfect.value == pytest.approx(1) and 0.9 < perfect.low < perfect.high <= 1


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_rank_correlation_covers(rho):
    """95 % intervals hold the truth (6 / pi asin(rho / 2) for normal x, y) in 92 % at least."""
    rng = np.random.default_rng(2)
    truth = 6 / np.pi * np.arcsin(rho / 2)
    hits = 0
    for _ in range(400):
        x, z = rng.normal(size=(2, 10))
        found = rank_correlation(x, rho * x + np.sqrt(1 - rho**2) * z)
        hits += found.low <= truth <= found.high
    assert hits / 400 > 0.92


def test_confusion_is_a_cross_tabulation():
    import pandas as pd

    rng = np.random.default_rng(3)
    labels, answers = rng.integers(0, 4, (2, 50))
    expected = pd.crosstab(labels, answers, normalize="index").reindex(
        index=range(5), columns=range(5), fill_value=0
    )
    np.testing.assert_allclose(confusion(labels, answers, 5), expected)


def test_best_of_one_is_its_own_interval_and_more_arms_widen_it():
    rng = np.random.default_rng(4)
    a = estimate(0.2, 0.2 + rng.normal(0, 0.1, 2000))
    name, best = best_of({"a": a})
    assert name == "a" and best.interval == a.interval
    b = estimate(0.1, 0.1 + rng.normal(0, 0.1, 2000))
    name, best = best_of({"a": a, "b": b})
    assert name == "a" and best.value == 0.2
    assert best.low < a.low and best.high > a.high


def test_estimate_without_draws_is_unknown():
    assert np.isnan(estimate(1.0, []).low)
    assert np.isnan(estimate(1.0, [np.nan, np.nan, 1.0]).low)
    assert estimate(1.0, [np.nan, 1.0, 1.0]).interval == (1.0, 1.0)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("easy_accuracy", 0.0, "greater than 0"),
        ("poor_accuracy", 1.5, "less than or equal to 1"),
        ("weakest", 0, "greater than or equal to 1"),
        ("poor_exponent", 0.0, "greater than 0"),
        ("fix_prompt_set", "haiku", "must be one of classnames, "),
        ("fix_guidance", -1.0, "greater than or equal to 0"),
        ("fix_size", 5, "greater than or equal to 10"),
        ("real_sizes", (5, 100, 200, 300), "distinct sizes of at least 10 images"),
    ],
)
def test_a_bad_parameter_is_one_sentence_that_names_it(field, value, words):
    with pytest.raises(ValidationError) as caught:
        cell(PerClass, **{field: value})
    (error,) = caught.value.errors()
    assert error["loc"][0] == field and words in error["msg"]


@pytest.fixture
def study(splits, generator, home, store, monkeypatch):
    generator.save(home / "generators" / "tiny")
    use_tiny(monkeypatch, home)
    params = cell(
        PerClass,
        real_sizes=(10, 20, 30, 40),
        synthetic_sizes=(10, 20, 30, 40),
        judged_images=40,
        fix_prompt_set="classnames",
        fix_size=30,
        fix_budget=2,
        seeds=2,
        budget=((10, 10),),
        batch=16,
        solver_steps=1,
        resamples=100,
        retrain=True,
    )
    yield run(params, store)
    parts.generator_of.cache_clear()


def test_a_study_from_end_to_end(study, splits, monkeypatch):
    labels = splits("fashion-mnist", "test").labels
    assert len(study.names) == 10

    # The classes' curves average to the curve of the whole (the tiny test set is balanced).
    from dataworth.studies.curves import curve

    whole = curve(study.runs["synthetic"], study.sizes["synthetic"], resamples=100)
    by_class = [study.curve("synthetic", c).means for c in range(10)]
    np.testing.assert_allclose(np.mean(by_class, axis=0), whole.means)

    scaling = study.classes("synthetic")
    assert list(scaling) == list(study.names)
    for c in scaling.values():
        assert c.group in per_class.GROUPS and c.groups.shape == (100,)
        assert 0 <= c.last.value <= 1 and c.last.low <= c.last.high
    table = study.table("real")
    assert list(table.index) == list(study.names)
    assert table.agreed.between(0, 1).all() and set(table.group) <= set(per_class.GROUPS)
    kept = study.evidence("synthetic")
    for name, c in scaling.items():
        ends = [kept[name + end][-1] for end in ("", "_low", "_high")]
        assert ends == pytest.approx([c.last.value, c.last.low, c.last.high])
    assert kept["sizes"] == [10, 20, 30, 40] and len(kept) == 1 + 3 * 10

    # Other thresholds than these can fill another number of groups: the interval says so.
    count = study.filled_groups("synthetic")
    assert count.value == len({c.group for c in scaling.values()}) and len(count.draws) == 2700
    assert 1 <= count.low <= count.value <= count.high <= 3
    monkeypatch.setattr(per_class, "SLACK", (0.0, 0.0, 0.0))
    narrow = study.filled_groups("synthetic")
    own = [len({c.groups[b] for c in scaling.values()}) for b in range(100)]
    np.testing.assert_array_equal(narrow.draws[:100], own)

    # The weak classes are the worst of the validation set.
    rows = study.runs["synthetic"][-1]
    assert study.weak == weakest(rows, 2) and len(study.weak) == 2
    held = splits("fashion-mnist", "validation").labels
    top1 = [
        np.mean([(r.arrays["logits_validation"].argmax(1) == held)[held == c] for r in rows])
        for c in range(10)
    ]
    assert max(top1[c] for c in study.weak) <= sorted(top1)[1]

    # Interventions exchange the images of the weak classes and nothing else.
    pool = study.params.pool()
    for seed in range(2):
        before, words, guided, real = (study.fixes[n][seed].spec.parts for n in study.fixes)
        (all_ids,) = (set(part.ids) for part in before)
        for other in (words, guided):
            assert set(other[0].ids) | set(other[1].ids) == all_ids
            assert {i % 10 for i in other[1].ids} == set(study.weak)
            assert other[1].pool != pool == other[0].pool
        label = dict(
            zip(
                *(splits("c", "classifier_pool").__dict__[k] for k in ("ids", "labels")),
                strict=True,
            )
        )
        assert {label[i] for i in real[1].ids} == set(study.weak)
        assert len(real[1].ids) == len(all_ids) - len(real[0].ids)

    # Effects add up: the mean over all is the mean over weak and other, by their numbers.
    for name in list(study.fixes)[1:]:
        weak, other, both = (study.fix_effect(name, who) for who in ("weak", "other", "all"))
        assert 0.2 * weak.value + 0.8 * other.value == pytest.approx(both.value)
        assert len(study.rows("weak")) == 8
    assert study.fix_effect("as before", "all").value == 0

    gap = study.excess_gap()
    right = {
        arm: np.mean([r.arrays["logits_test"].argmax(1) == labels for r in study.runs[arm][-1]], 0)
        for arm in ("real", "synthetic")
    }
    lost = right["real"] - right["synthetic"]
    weak = np.isin(labels, study.weak)
    assert gap.value == pytest.approx(100 * (lost[weak].mean() - lost[~weak].mean()))

    # By hand: the weak classes' top-1 along the real arm, where all classes reach the synthetic's.
    top1 = {
        arm: np.array(
            [
                [np.mean([r.arrays["logits_test"].argmax(1)[m] == labels[m] for r in row])
                 for m in (slice(None), weak)]
                for row in study.runs[arm]
            ]
        )
        for arm in ("real", "synthetic")
    }  # fmt: skip
    (reached, own), along = top1["synthetic"][-1], top1["real"]
    excess = study.excess_at_equal_accuracy()
    if along[:, 0].min() <= reached <= along[:, 0].max():
        expected = np.interp(reached, np.maximum.accumulate(along[:, 0]), along[:, 1]) - own
        assert excess.value == pytest.approx(100 * expected) and not excess.unmeasurable
    else:
        assert "lies outside that of the real sets" in excess.unmeasurable

    np.testing.assert_allclose(study.confusion("real").sum(1), 1)
    assert np.diag(study.confusion("real")).mean() == pytest.approx(right["real"].mean())
    assert study.rival(3) != 3
    causes = study.causes()
    assert len(causes) == 10 and causes.recognizability.dropna().between(0, 1).all()
    worst = study.weak_classes()
    assert list(worst.index) == [study.names[c] for c in study.weak]
    assert list(worst.taken_for) == [study.names[study.rival(c)] for c in study.weak]
    for c, taken in zip(study.weak, worst.taken, strict=True):
        others = np.delete(study.confusion("synthetic")[c], c)
        assert taken == others.max()
    gallery = study.gallery(2)
    assert all(images.shape == (2, 28, 28) for images in gallery.values())
    assert study.provenance()["runs"].startswith("24 classifier")
    assert "classifiers, intervention" in study.summary().index

    monkeypatch.setattr("dataworth.runs.engine.execute", None)
    again = run(study.params, study.store)
    assert again.weak == study.weak
