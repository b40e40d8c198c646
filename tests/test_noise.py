"""The model of noise: against scipy, closed forms, and simulated coverage in a short form."""

import numpy as np
import pytest
from scipy import optimize, stats
from scipy.special import polygamma

from dataworth.noise import (
    moderated,
    over_clusters,
    prior_df,
    seed_noise,
    trigamma_inverse,
    variance_function,
)

# ---- Moderated variances ------------------------------------------------------------------------


def test_the_variance_function_is_the_maximum_of_the_gamma_likelihood():
    rng = np.random.default_rng(0)
    sizes = np.resize([80, 320, 1280, 5120], 18)
    df = rng.integers(1, 4, 18).astype(float)
    s2 = 0.1 * sizes**-0.7 * rng.chisquare(df) / df

    def minus_likelihood(b):
        mean = np.exp(b[0] + b[1] * np.log(sizes))
        return -stats.gamma.logpdf(s2, df / 2, scale=2 * mean / df).sum()

    best = optimize.minimize(minus_likelihood, [-5, -0.5], method="Nelder-Mead", tol=1e-10).x
    fitted, together = variance_function(s2, df, sizes)
    np.testing.assert_allclose(fitted, np.exp(best[0] + best[1] * np.log(sizes)), rtol=1e-4)
    assert (together <= df.sum()).all() and (together > df).all()


def test_without_a_slope_it_is_the_pooled_variance():
    s2, df = np.array([1.0, 2.0, 6.0]), np.array([1.0, 1.0, 2.0])
    fitted, together = variance_function(s2, df)
    np.testing.assert_allclose(fitted, 15 / 4)
    np.testing.assert_allclose(together, 4)


def test_the_inverse_of_the_trigamma_function():
    x = np.array([1e-6, 0.3, 1.0, 40.0, 1e6])
    found = np.array([trigamma_inverse(each) for each in x])
    np.testing.assert_allclose(polygamma(1, found), x, rtol=1e-8)


@pytest.mark.parametrize("truth", [3.0, 8.0])
def test_prior_degrees_of_freedom_are_found_again(truth):
    """Variances scattered as Smyth's prior says, 1 / sigma^2 ~ chi^2_d0 / d0: the median over
    repetitions with 400 cells."""
    rng = np.random.default_rng(0)
    df = np.full(400, 2.0)
    found = []
    for _ in range(40):
        variance = truth / rng.chisquare(truth, 400)
        found.append(prior_df(variance * rng.chisquare(2, 400) / 2, df))
    assert np.median(found) == pytest.approx(truth, rel=0.2)


def test_equal_variances_are_pooled_and_unequal_ones_are_not():
    rng = np.random.default_rng(1)
    df = np.full(2000, 4.0)
    equal = moderated(rng.chisquare(4, 2000) / 4, df)
    assert equal.value.std() < 0.1 and equal.df.min() > 40
    apart = np.exp(rng.normal(0, 1.5, 2000))
    own = apart * rng.chisquare(4, 2000) / 4
    kept = moderated(own, df)
    assert np.corrcoef(np.log(kept.value), np.log(own))[0, 1] > 0.9 and kept.df.max() < 7
    assert not moderated(np.zeros(3), 1.0).value.any()


# ---- Seeds --------------------------------------------------------------------------------------


def plain(values, draws=20_000):
    """No noise of examples."""
    return np.broadcast_to(values, (draws, *values.shape))


def test_one_cell_has_students_interval():
    values = np.random.default_rng(0).normal(size=(1, 4))
    found = np.quantile(seed_noise(values, plain(values), seed=0)[:, 0], [0.025, 0.975])
    interval = stats.ttest_1samp(values[0], 0).confidence_interval()
    assert found + values.mean() == pytest.approx(list(interval), rel=0.06)


def test_a_block_has_the_interval_of_two_way_analysis_of_variance(monkeypatch):
    """Arms that share their seeds: a contrast has the residual variance of arms by seeds, pooled
    over arms; the mean of all arms has that of the seeds."""
    monkeypatch.setattr("dataworth.noise.prior_df", lambda ratios, df: np.inf)  # equal variances
    rng = np.random.default_rng(2)
    arms, seeds = 6, 3
    values = rng.normal(size=(arms, seeds)) + 10 * rng.normal(size=seeds)
    noise = seed_noise(values, plain(values), seed=0, blocks=np.zeros(arms))
    left = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    df = (arms - 1) * (seeds - 1)
    half = stats.t.ppf(0.9, df) * np.sqrt(2 * (left**2).sum() / df / seeds)
    found = np.mean([np.quantile(noise[:, i] - noise[:, i - 1], 0.9) for i in range(arms)])
    assert found == pytest.approx(half, rel=0.05)
    whole = stats.t.ppf(0.9, seeds - 1) * values.mean(0).std(ddof=1) / np.sqrt(seeds)
    assert np.quantile(noise.mean(1), 0.9) == pytest.approx(whole, rel=0.05)


def test_outcomes_of_a_run_go_together():
    """Two outcomes that move alike: their difference has less noise than either, as measured."""
    rng = np.random.default_rng(3)
    common = rng.normal(size=(200, 3, 1))
    values = np.concatenate([common, common], 2) + 0.1 * rng.normal(size=(200, 3, 2))
    noise = seed_noise(values, plain(values, 2000), seed=0)
    apart = values[..., 0] - values[..., 1]
    expected = apart.var(1, ddof=1).mean() / 3
    assert (noise[..., 0] - noise[..., 1]).var(0).mean() == pytest.approx(expected, rel=0.1)
    assert noise[..., 0].var(0).mean() > 20 * expected


def test_one_seed_and_equal_seeds_add_nothing_and_a_missing_cell_is_nan():
    assert not seed_noise(np.ones((3, 1)), np.ones((5, 3, 1)), seed=0).any()
    assert not seed_noise(np.ones((3, 4)), np.ones((5, 3, 4)), seed=0).any()
    values = np.array([[1.0, 2.0], [np.nan, np.nan], [3.0, 5.0]])
    noise = seed_noise(values, plain(values, 5), seed=0)
    assert np.isnan(noise[:, 1]).all() and np.isfinite(noise[:, [0, 2]]).all()


def test_streams_are_independent_and_draws_of_one_stream_equal():
    values = np.random.default_rng(0).normal(size=(4, 3))
    one, same, other = (
        seed_noise(values, plain(values, 3000), seed=0, stream=i)[:, 0] for i in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert abs(stats.spearmanr(one, other).statistic) < 0.08


# ---- Documents ----------------------------------------------------------------------------------


def test_clusters_have_the_jackknife_variance_and_students_t():
    rng = np.random.default_rng(4)
    clusters, sizes = rng.integers(0, 9, 60), rng.integers(1, 9, 60).astype(float)
    values = rng.normal(5, 1, 60) * sizes
    drawn, stretch = over_clusters(
        values[None], resamples=20_000, seed=0, sizes=sizes, clusters=clusters
    )
    without = np.array([values[clusters != g].sum() / sizes[clusters != g].sum() for g in range(9)])
    assert drawn.mean() == pytest.approx(values.sum() / sizes.sum(), rel=1e-3)
    assert drawn.var() == pytest.approx(8 / 9 * ((without - without.mean()) ** 2).sum(), rel=0.05)
    w = np.bincount(clusters, sizes)
    df = (w**2).sum() ** 2 / (w**4).sum() - 1
    assert df < 8
    assert stretch.mean() == pytest.approx(
        stats.chi.expect(lambda x: np.sqrt(df) / x, (df,)), rel=0.05
    )
