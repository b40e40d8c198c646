"""The one model of noise: what training seeds and test examples add to a number, as draws of it.

Two or three seeds say little of their own variance: a bootstrap of two values has three points of
support, and its 95 % interval holds the mean of two normals in 61 of 100 cases. Seeds of many cells
(arms, sizes) say much of it together. The variance of every cell is therefore moderated (Smyth
2004, *Linear models and empirical Bayes methods*): drawn towards the variance that a generalised
linear model of all cells predicts at its size, and drawn from Student's t with the degrees of
freedom that both have. `bench/coverage.py` measures what the intervals cover.

Where seeds are shared on purpose (the same training set, starting weights or captions in several
arms), cells form a block: seeds then have an effect common to its arms, which a difference of two
arms lacks, and one of every arm's own. How much is common is estimated: two or three seeds say
little of a common effect, and where there is none an arm's level need not wait for it. Where
several generators were trained, give the means over each one's runs in the place of seeds: the
generator is then the unit, and its variance included.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.arrays import Array

SLOPE_FROM = 6  # degrees of freedom of all cells from which the variance may depend on size
TINY = 1e-5  # of the median variance: what a cell without any is taken for in logarithms


@dataclass(frozen=True)
class Variances:
    """Variances of cells (C,) and their degrees of freedom (C,)."""

    value: Array
    df: Array


def moderated(variances: ArrayLike, df: ArrayLike, sizes: ArrayLike | None = None) -> Variances:
    """Variances (C,) of cells with so many degrees of freedom each, drawn towards their common
    function of `sizes` (C,).

    With the fitted variance v (`variance_function`) and prior degrees of freedom d0
    (`prior_df`): (d0 v + d s^2) / (d0 + d), with d0 + d degrees of freedom, but no more than all
    cells together have at this size (Smyth 2004, equations 6 and 7; limma's `squeezeVar`). v is
    the mean of variances, where Smyth has d0 / (d0 - 2) less: with few cells d0 is uncertain, and
    this is the side on which an interval is not too short.
    """
    s2 = np.asarray(variances, dtype=float)
    own = np.broadcast_to(np.asarray(df, dtype=float), s2.shape)
    if not s2.any():
        return Variances(s2, own)
    fitted, together = variance_function(s2, own, sizes)
    prior = prior_df(s2 / fitted, own)
    if np.isinf(prior):
        return Variances(fitted, together)
    value = (prior * fitted + own * s2) / (prior + own)
    return Variances(value, np.minimum(prior + own, together))


def variance_function(s2: Array, df: Array, sizes: ArrayLike | None = None) -> tuple[Array, Array]:
    """The variances (C,) that a gamma GLM with log link gives to cells of these `sizes`, and the
    degrees of freedom (C,) of each: log variance = a + b log n. No b for fewer than three sizes or
    `SLOPE_FROM` degrees of freedom.

    Iteratively reweighted least squares (McCullagh and Nelder 1989, section 2.5); a sample variance
    is a gamma variable of shape df / 2, so that weights are df.
    """
    design = np.ones((len(s2), 1))
    if sizes is not None and df.sum() >= SLOPE_FROM and len(np.unique(sizes)) > 2:
        x = np.log(np.asarray(sizes, dtype=float))
        design = np.column_stack([design, x - np.average(x, weights=df)])
    inverse = np.linalg.inv(design.T @ (df[:, None] * design))
    eta = np.full(len(s2), np.log(np.average(s2, weights=df)))
    for _ in range(50):
        mu = np.exp(eta)
        step = design @ (inverse @ (design.T @ (df * (eta + s2 / mu - 1)))) - eta
        eta += np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-9:
            break
    return np.exp(eta), 1 / np.einsum("ci,ij,cj->c", design, inverse, design)


def prior_df(ratios: Array, df: Array) -> float:
    """Prior degrees of freedom d0 of cells whose sample variances are `ratios` (C,) times their
    fitted ones: 2 psi'^-1(variance of the log ratios less its share from sampling), infinite where
    nothing is left (limma's `fitFDist`; Smyth 2004, section 6.2)."""
    from scipy.special import digamma, polygamma

    if len(ratios) < 3:
        return np.inf
    logs = np.log(np.maximum(ratios, TINY * max(float(np.median(ratios)), TINY)))
    centred = logs - digamma(df / 2) + np.log(df / 2)
    left = centred.var(ddof=1) - polygamma(1, df / 2).mean()
    return 2 * trigamma_inverse(float(left)) if left > 0 else np.inf


def trigamma_inverse(x: float) -> float:
    """y with psi'(y) = x > 0, by Newton's method on 1 / psi' (Smyth 2004, appendix)."""
    from scipy.special import polygamma

    y = 0.5 + 1 / x
    for _ in range(50):
        value = float(polygamma(1, y))
        step = value * (1 - value / x) / float(polygamma(2, y))
        y += step
        if -step / y < 1e-10:
            break
    return y


def seed_noise(
    values: Array,
    drawn: Array,
    *,
    seed: int,
    stream: int = 0,
    sizes: ArrayLike | None = None,
    blocks: ArrayLike | None = None,
) -> Array:
    """What S training seeds add to the means over them, as draws (B, C[, E]) around zero.

    values: (C, S[, E]), of C cells, S seeds, E outcomes (sets that one run is evaluated on), on a
    scale on which the variance of cells is comparable (relative losses where levels differ).
    drawn: (B, C, S[, E]), their bootstrap versions over test examples. sizes: (C,), see
    `variance_function`. blocks: (C,), cells of one number share their seeds; by default each is
    alone. Draws of one `seed` and `stream` are the same; two groups of cells need two streams.

    The variance of seeds' means also holds that of test examples by which seeds differ, which the
    mean of `drawn` over seeds has too: it is taken from `drawn` and left out here. One seed adds
    nothing: the interval is then over examples alone.
    """
    if single := values.ndim == 2:
        values, drawn = values[..., None], drawn[..., None]
    cells, count, outcomes = values.shape
    found = np.zeros((len(drawn), cells, outcomes))
    if count > 1:
        n = np.ones(cells) if sizes is None else np.asarray(sizes, dtype=float)
        block = np.arange(cells) if blocks is None else np.unique(blocks, return_inverse=True)[1]
        width = np.bincount(block)[block]
        rng = np.random.default_rng([seed, 6, stream])
        if (alone := width == 1).any():
            df = np.full(alone.sum(), count - 1.0)
            found[:, alone] = _stratum(values[alone], drawn[:, alone], df, n[alone], rng)
        if (shared := ~alone).any():
            _, of = np.unique(block[shared], return_inverse=True)
            mean = (np.arange(of.max() + 1)[:, None] == of) / width[shared]  # (K, C)
            x, d = values[shared], drawn[:, shared]
            common, versions = (np.einsum("kc,...cse->...kse", mean, a) for a in (x, d))
            df = np.full(len(mean), count - 1.0)
            middle = np.exp(mean @ np.log(n[shared]))
            together = _stratum(common, versions, df, middle, rng)
            df = (count - 1) * (1 - 1 / width[shared])
            own = _stratum(x - common[of], d - versions[:, of], df, n[shared], rng)
            together -= np.einsum("kc,bce->bke", mean, own)
            together[rng.random(len(drawn)) < chance_of_none(common, x - common[of], of)] = 0.0
            found[:, shared] = own + together[:, of]
    return found[..., 0] if single else found


def chance_of_none(common: Array, apart: Array, of: NDArray[np.intp]) -> float:
    """The probability that seeds, though shared, do to each arm something of its own, as the same
    starting weights do to language models of other texts (correlations of -.3 to .4).

    common (K, S, E): means over the arms of K blocks; apart (C, S, E): what arms differ by from
    the mean of their block `of` (C,). By the ratio F of mean squares of common and own effects
    and even prior odds: F has Fisher's distribution where nothing is common, else F B has it, with
    the shrinkage factor B uniform on (0, 1) (Daniels 1999, *A prior for the variance in
    hierarchical models*).
    """
    from scipy.stats import f

    seeds, width = common.shape[1], np.bincount(of)
    left, own = (a - a.mean(1, keepdims=True) for a in (common, apart))
    df = (seeds - 1.0) * np.array([len(width), len(of) - len(width)])
    between = np.einsum("k,kse->e", width, left**2) / df[0]
    within = (own**2).sum((0, 1)) / df[1]
    used = np.isfinite(between + within) & (within > 0)
    if not used.any():
        return 0.0
    # (above 0, where the density may be infinite)
    ratio = max(1e-9, float((between[used] / within[used]).mean()))
    shrunk = (np.arange(200) + 0.5) / 200
    none, some = f.pdf(ratio, *df), (shrunk * f.pdf(ratio * shrunk, *df)).mean()
    # A ratio beyond all densities leaves none of both: then seeds have something in common.
    return float(none / (none + some)) if none + some > 0 else 0.0


def _stratum(x: Array, drawn: Array, df: Array, sizes: Array, rng: np.random.Generator) -> Array:
    """Draws (B, Q, E) of the noise of means over seeds of x (Q, S, E), units whose variance has df
    (Q,) degrees of freedom; drawn (B, Q, S, E).

    Outcomes of a run go together: their covariance is that of all units together, and a unit has
    a moderated multiple of it. Draws are multivariate t.
    """
    found = np.full((len(drawn), len(x), x.shape[2]), np.nan)
    known = np.isfinite(x).all((1, 2))
    x, drawn, df, sizes = x[known], drawn[:, known], df[known], sizes[known]
    left, versions = (a - a.mean(-2, keepdims=True) for a in (x, drawn))
    whole = np.einsum("qse,qsf->ef", left, left) / max(df.sum(), 1.0)
    scale = np.sqrt(np.diag(whole))
    used = scale > 0
    if not used.any():
        found[:, known] = 0.0
        return found
    alike = whole[np.ix_(used, used)] / np.outer(scale[used], scale[used])
    distinct = used.sum() ** 2 / (alike**2).sum()  # outcomes that say something of their own
    spread = (left**2).sum(1)[:, used] / df[:, None] / scale[used] ** 2
    multiple = moderated(spread.mean(1), df * distinct, sizes)
    degrees = np.minimum(multiple.df, df.sum())
    inside = np.nan_to_num(versions).var(0).sum(1) / df[:, None]  # of examples, (Q, E)
    apart = multiple.value[:, None, None] * whole - inside[:, :, None] * np.eye(x.shape[2])
    level, axes = np.linalg.eigh(apart)
    root = axes * np.sqrt(np.maximum(level, 0) / x.shape[1])[:, None]
    normal = rng.normal(size=(len(drawn), len(x), x.shape[2]))
    tail = np.sqrt(degrees / rng.chisquare(degrees, size=normal.shape[:2]))
    found[:, known] = np.einsum("qef,bqf->bqe", root, normal) * tail[..., None]
    return found


def over_clusters(
    values: Array,
    *,
    resamples: int,
    seed: int,
    stream: int = 0,
    sizes: ArrayLike | None = None,
    clusters: NDArray[np.str_] | NDArray[np.int64] | None = None,
) -> tuple[Array, Array]:
    """Draws (B, m) of the means of `values` (m, N) over N documents that come in clusters, and the
    factors (B,) by which to stretch their distance from the means: normal draws become Student's t.

    sizes (N,): the sum of values over the sum of sizes in the place of a mean. clusters (N,): what
    documents have in common (an author, a source); without, or with one cluster, each document is
    one. The variance is that of the cluster jackknife, (G - 1) / G sum (r_-g - mean)^2, and the
    degrees of freedom are those of clusters of these sizes, (sum w^2)^2 / sum w^4 - 1, which is
    G - 1 for equal ones (MacKinnon, Nielsen and Webb 2023, *Cluster-robust inference: A guide to
    empirical practice*, sections 3 and 4). Draws of one `seed` and `stream` have the same clusters
    for any values. NaN for one document.
    """
    below = np.ones(values.shape[1]) if sizes is None else np.asarray(sizes, dtype=float)
    group = (
        np.arange(len(below)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    )
    if len(below) == 1:
        return np.full((resamples, len(values)), np.nan), np.ones(resamples)
    if not group.any():
        group = np.arange(len(below))
    count = int(group.max()) + 1
    weight = np.bincount(group, below)
    total = np.zeros((len(values), count))
    np.add.at(total.T, group, values.T)
    means = total.sum(1) / weight.sum()
    without = (total.sum(1, keepdims=True) - total) / (weight.sum() - weight)
    apart = (without - without.mean(1, keepdims=True)) * np.sqrt((count - 1) / count)
    rng = np.random.default_rng([seed, 5, stream])
    drawn = means + rng.normal(size=(resamples, count)) @ apart.T
    df = max((weight**2).sum() ** 2 / (weight**4).sum() - 1, 1.0)
    return drawn, np.sqrt(df / rng.chisquare(df, size=resamples))
