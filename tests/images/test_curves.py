"""Bootstrap curves against closed forms of the variances."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import ncx2, t

from dataworth.images.classifiers import cross_entropy
from dataworth.stats import estimate
from dataworth.studies.curves import Curve, curve, lack_of_fit, misfits, temperature, widened

EXAMPLES, RESAMPLES = 400, 2500


def run(scores, key):
    """A stored run whose cross-entropy of test example i is exactly scores[i]: two classes with
    logits (0, b), label 0, loss log(1 + exp(b))."""
    b = np.log(np.expm1(scores))
    logits = np.stack([np.zeros_like(b), b], axis=1).astype(np.float64)
    arrays = {"logits_test": logits, "labels_test": np.zeros(len(b), np.int64)}
    return SimpleNamespace(arrays=arrays, spec=SimpleNamespace(identity=f"{key:08x}" + "0" * 24))


def arm(seeds, sizes=2, key=0, spread=0.3, between=0.1, shared=True):
    """runs[size][seed], with example scores around 2; `shared`: the same examples are hard."""
    rng = np.random.default_rng(key)
    hard = rng.normal(0, spread, EXAMPLES)
    rows = []
    for n in range(sizes):
        row = []
        for s in range(seeds):
            own = hard if shared else rng.normal(0, spread, EXAMPLES)
            row.append(
                run(np.maximum(2 + own + rng.normal(0, between), 0.05), key * 1000 + 10 * n + s)
            )
        rows.append(row)
    return rows


def scores_of(rows):
    return np.stack([[loss_of(r) for r in row] for row in rows])


def loss_of(result):
    z = result.arrays["logits_test"]
    return logsumexp(z, axis=1) - z[:, 0]


def test_values_and_means():
    rows = arm(seeds=3)
    c = curve(rows, [10, 100], resamples=5)
    expected = scores_of(rows).mean(2)
    np.testing.assert_allclose(c.values, expected, rtol=1e-7)  # losses have single precision
    np.testing.assert_allclose(c.means, expected.mean(1), rtol=1e-7)
    assert c.sizes.tolist() == [10, 100] and c.draws.shape == (5, 2)
    table = c.table()
    assert set(table) == {"n", "loss"}
    np.testing.assert_array_equal(table["n"], [10.0, 100.0])


def test_error_is_one_minus_accuracy():
    result = run(np.array([0.1, 0.2, 5.0, 6.0, 7.0]), 1)  # wrong where the loss exceeds log 2
    assert curve([[result]], [10], metric="error", resamples=2).means[0] == pytest.approx(0.6)


def test_one_seed_gives_the_standard_error_of_a_mean():
    rows = arm(seeds=1)
    c = curve(rows, [10, 100], resamples=RESAMPLES)
    expected = scores_of(rows)[:, 0].std(1) / np.sqrt(EXAMPLES)
    np.testing.assert_allclose(c.draws.std(0), expected, rtol=0.1)
    np.testing.assert_allclose(c.draws.mean(0), c.means, atol=4 * expected.max() / RESAMPLES**0.5)


@pytest.mark.parametrize("seeds", [2, 3, 8])
def test_seeds_add_the_noise_of_all_cells_together(seeds):
    """Examples alike: two cells' relative variances are pooled, and Student's t has the degrees of
    freedom of both."""
    c = curve(arm(seeds=seeds, spread=1e-4), [10, 100], resamples=20_000)
    relative = c.values / c.means[:, None]
    pooled = relative.var(1, ddof=1).mean() / seeds
    half = np.sqrt(pooled) * t.ppf(0.9, 2 * (seeds - 1))
    expected = np.log(c.means) + np.array([[-half], [half]])
    found = np.log(np.quantile(c.draws, [0.1, 0.9], axis=0))
    np.testing.assert_allclose(found, expected, atol=0.06 * half)


@pytest.mark.parametrize("seeds", [3, 8])
def test_examples_by_which_seeds_differ_count_once(seeds):
    """Every seed finds other examples hard, and that is all its noise: the variance of the mean
    over seeds and examples, not twice that."""
    rows = arm(seeds=seeds, sizes=40, shared=False, between=0.0)
    drawn = curve(rows, list(range(10, 50)), resamples=500).draws.var(0).mean()
    assert drawn == pytest.approx(0.3**2 / seeds / EXAMPLES, rel=0.25)


def test_seeds_are_resampled_at_each_size_on_their_own():
    """Seeds far apart, examples alike: draws of two sizes are then uncorrelated, and so are two
    arms of one group."""
    rows = arm(seeds=3, spread=1e-4, between=0.2)
    draws = curve(rows, [10, 100], resamples=RESAMPLES).draws
    assert abs(np.corrcoef(draws.T)[0, 1]) < 4 / np.sqrt(RESAMPLES)


def test_examples_are_resampled_for_all_sizes_together():
    rows = arm(seeds=1, between=0.0)
    draws = curve(rows, [10, 100], resamples=500).draws
    assert np.corrcoef(draws.T)[0, 1] > 0.999


def test_arms_share_their_test_examples():
    """Two arms with the same scores: every draw of the difference is zero (one seed each)."""
    one, other = arm(seeds=1, key=0), arm(seeds=1, key=0)
    other[0][0].spec.identity = "f" * 32
    a, b = (curve(rows, [10, 100], resamples=200) for rows in (one, other))
    np.testing.assert_array_equal(a.draws - b.draws, 0)
    assert a.draws.std(0).min() > 0
    c = curve(one, [10, 100], resamples=200, seed=1)
    assert (c.draws != a.draws).any()


def test_arms_draw_their_seeds_independently():
    """Seeds far apart, examples alike, other keys: draws of two arms are uncorrelated."""
    a, b = (
        curve(arm(seeds=3, key=k, spread=1e-4, between=0.2), [10, 100], resamples=RESAMPLES).draws
        for k in (1, 2)
    )
    assert abs(np.corrcoef(a[:, 0], b[:, 0])[0, 1]) < 4 / np.sqrt(RESAMPLES)
    assert abs(np.corrcoef(a[:, 1], b[:, 1])[0, 1]) < 4 / np.sqrt(RESAMPLES)


def test_interval():
    c = curve(arm(seeds=2), [10, 100], resamples=RESAMPLES)
    low, high = c.interval(0.9)
    inside = (c.draws >= low) & (c.draws <= high)
    np.testing.assert_allclose(inside.mean(0), 0.9, atol=0.002)
    wider = c.interval()
    assert (wider[0] < low).all() and (high < wider[1]).all()


def test_a_power_law_is_refitted_to_every_draw():
    """Through two sizes it is exact: k is the slope of the log means."""
    found = curve(arm(3), (10, 100), resamples=20)
    law = found.fit("power")
    slope = -np.diff(np.log(found.means)) / np.log(10)
    assert law.params["k"] == pytest.approx(slope[0], abs=1e-6)
    slopes = -np.diff(np.log(found.draws), axis=1)[:, 0] / np.log(10)
    np.testing.assert_allclose(law.draws["k"], slopes, atol=1e-6)


# --- Lack of fit ------------------------------------------------------------------------------


def noisy(loss, seed=0):
    """A curve of these losses (n,) whose points have unequal and correlated noise."""
    rng = np.random.default_rng(seed)
    root = 0.03 * np.tril(0.3 * np.ones((len(loss), len(loss))) + np.eye(len(loss)))
    draws = loss * np.exp(rng.normal(size=(4000, len(loss))) @ root.T)
    off = np.exp(root @ rng.normal(size=len(loss)))
    return Curve(10 * 4 ** np.arange(len(loss)), (loss * off)[:, None], draws * off)


@pytest.mark.parametrize("bend", [0.0, 0.02])
def test_chi_squared_is_that_of_generalised_least_squares(bend):
    x = np.log(10.0 * 4 ** np.arange(6))
    c = noisy(np.exp(1 - 0.3 * x + bend * (x - x.mean()) ** 2))
    found = lack_of_fit(c, c.fit("power"))
    root = np.linalg.inv(np.linalg.cholesky(np.cov(np.log(c.draws), rowvar=False)))
    design = np.column_stack([np.ones(6), x])
    left = np.linalg.lstsq(root @ design, root @ np.log(c.means), rcond=None)[1].item()
    assert (found.chi2, found.df) == (pytest.approx(left, rel=1e-6), 4)
    assert found.p == pytest.approx(ncx2.sf(left, 4, 1e-12), rel=1e-3)
    assert (found.factor > 1) == (found.p < 0.05) == (bend > 0)
    if bend:  # the ends of the law's own error are those of the noncentrality
        ratios = (np.array([found.off.value, *found.off.interval]) / found.off.value) ** 2
        assert ncx2.cdf(left, 4, ratios[1] * (left - 4)) == pytest.approx(0.975, abs=0.002)
        assert ncx2.cdf(left, 4, ratios[2] * (left - 4)) == pytest.approx(0.025, abs=0.002)
    else:
        assert found.off.low == 0


def test_p_values_of_a_true_law_are_uniform():
    """With a floor: first order only, at five sizes."""
    x = 10.0 * 4 ** np.arange(5)
    p = []
    for seed in range(40):
        c = noisy(0.3 + 5 * x**-0.5, seed)
        p.append(lack_of_fit(c, Curve(c.sizes, c.values, c.draws[:20]).fit("shifted")).p)
    assert 0.3 < np.mean(p) < 0.7 and np.mean(np.array(p) < 0.05) < 0.15


def test_nothing_to_test_on_two_sizes():
    c = noisy(np.array([2.0, 1.0]))
    table = misfits({"line": (c, c.fit("power"))})
    assert table.df.item() == 0 and np.isnan(table.p.item()) and table.factor.item() == 1


def test_widened_draws_are_as_many_times_as_far():
    e = estimate(2.0, np.linspace(1, 3, 101))
    wide = widened(e, 2.0)
    assert wide.interval == pytest.approx((2 - 2 * 0.95, 2 + 2 * 0.95))
    logs = widened(e, 2.0, log=True)
    assert logs.low == pytest.approx(2 * (e.low / 2) ** 2, rel=1e-3)
    assert widened(e, 1.0) is e


def test_temperature_is_the_factor_of_overconfidence():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 5))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(1)  # as the softmax says
    assert temperature(logits.astype(np.float32), labels) == pytest.approx(1, abs=0.1)
    assert temperature((3 * logits).astype(np.float32), labels) == pytest.approx(3, abs=0.3)
    hot = (3 * logits).astype(np.float32)
    arrays = {
        f"{name}_{split}": value
        for split in ("validation", "test")
        for name, value in (("logits", hot), ("labels", labels))
    }
    run_ = SimpleNamespace(arrays=arrays, spec=SimpleNamespace(identity="0" * 32))
    one, other = (
        curve([[run_]], [10], metric=m, resamples=2).means[0] for m in ("loss", "calibrated")
    )
    assert other == pytest.approx(cross_entropy(logits, labels).mean(), abs=0.01) and other < one
