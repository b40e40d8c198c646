"""What residuals say about the law: exact or nearly exact tests of a fit at its minimum.

Every test takes a `Rows`: residuals as the objective scores them, in units in which the noise of
all rows is equal, and an orthonormal basis Q of what the parameters can absorb, so that residuals
are (I - QQ') noise to first order. The null distributions follow from that projection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import lgamma
from typing import Any

import numpy as np
from scipy import special

from dataworth import stats
from dataworth.arrays import Array

from .minimum import Minimum, student_quantile
from .solver import minimise


@dataclass(frozen=True)
class Rows:
    """Scores e (n,), basis Q (n,r), logs of the variables u (n,d), number of each row's curve; the
    residuals themselves, of which a robust loss scores no more than a width."""

    e: Array
    basis: Array
    u: Array
    curve: Array
    residuals: Array | None = None

    @property
    def spare(self) -> int:
        return len(self.e) - self.basis.shape[1]


def rows_of(at: Minimum, u: Array, curve: Array) -> Rows:
    """The rows of positive weight."""
    used = at.weights > 0
    root = np.sqrt(at.weights)
    score = root * at.problem.objective.psi(at.residuals)[0]
    basis = at.geometry[1]
    return Rows(score[used], basis[used], u[used], curve[used], (root * at.residuals)[used])


def levels(rows: Rows, by: Sequence[int]) -> Rows:
    """Rows in the order of the curve and of the variables `by`, those at one point taken together:
    their sum over the root of their number has the noise of one row."""
    keys = np.column_stack([rows.curve, *(rows.u[:, j] for j in by)])
    points, code = np.unique(keys, axis=0, return_inverse=True)
    code = code.reshape(-1)
    root = np.sqrt(np.bincount(code))

    def gather(a: Array) -> Array:
        return np.bincount(code, a) / root

    basis = np.column_stack([gather(c) for c in rows.basis.T])
    order = [by.index(j) + 1 for j in sorted(by)]
    return Rows(gather(rows.e), basis, points[:, order], points[:, 0])


def neighbours(rows: Rows) -> float:
    """p-value of "the noise of neighbours is independent" against likeness: the ratio of Durbin and
    Watson (1950, 1971) by the beta distribution of its exact mean and variance. Rows in order;
    neighbours of different curves are not compared."""
    n, spare = len(rows.e), rows.spare
    linked = np.diff(rows.curve) == 0
    if spare < 3 or linked.sum() < 3:
        return 1.0

    def differences(a: Array) -> Array:
        return np.diff(a, axis=0) * (linked if a.ndim == 1 else linked[:, None])

    step = differences(rows.basis)
    applied = np.zeros_like(rows.basis)  # A Q for A = D'D
    applied[1:] += step
    applied[:-1] -= step
    degree = np.zeros(n)
    degree[1:] += linked
    degree[:-1] += linked
    inner = step.T @ step
    trace = float(degree.sum() - np.trace(inner))
    square = float((degree**2).sum() + 2 * linked.sum() - 2 * (applied**2).sum())
    square += float((inner**2).sum())
    mean = trace / spare / 4
    variance = 2 * (spare * square - trace**2) / (spare**2 * (spare + 2)) / 16
    total = float((rows.e**2).sum())
    if not (total > 0 and variance > 0):
        return 1.0
    ratio = float((differences(rows.e) ** 2).sum()) / total / 4
    size = mean * (1 - mean) / variance - 1
    return float(special.betainc(mean * size, (1 - mean) * size, min(ratio, 1.0)))


def smooth(rows: Rows) -> Array:
    """Further smooth terms (n,k): Legendre polynomials of the log of each variable up to degree
    four, and products of two variables."""
    span = np.ptp(rows.u, axis=0)
    moving = [j for j in range(rows.u.shape[1]) if span[j] > 0]
    scaled = [2 * (rows.u[:, j] - rows.u[:, j].min()) / span[j] - 1 for j in moving]
    terms = [special.eval_legendre(k, s) for k in (2, 3, 4) for s in scaled]
    terms += [a * b for i, a in enumerate(scaled) for b in scaled[:i]]
    # at least two rows a term are left to measure the noise with
    terms = terms[: max(0, rows.spare // 3)]
    return np.column_stack(terms) if terms else np.zeros((len(rows.e), 0))


def bends(rows: Rows) -> float:
    """p-value of the F test of the `smooth` terms (Ramsey's 1969 idea, in the regressors)."""
    return f_test(rows, smooth(rows))


def f_test(rows: Rows, terms: Array) -> float:
    """p-value of the F test of further regressors (n,k)."""
    if not terms.shape[1]:
        return 1.0
    vectors = _beyond(rows.basis, terms)
    count, rest = vectors.shape[1], rows.spare - vectors.shape[1]
    if not count or rest < 2:
        return 1.0
    explained = float(((vectors.T @ rows.e) ** 2).sum())
    noise = max(float((rows.e**2).sum()) - explained, 1e-300)
    return float(special.fdtrc(count, rest, explained / count / (noise / rest)))


def _beyond(basis: Array, terms: Array) -> Array:
    """Orthonormal basis of what `terms` (n,k) span beyond `basis`."""
    left = terms - basis @ (basis.T @ terms)
    vectors, values, _ = np.linalg.svd(left, full_matrices=False)
    return vectors[:, values > 1e-6 * max(float(np.linalg.norm(terms, axis=0).max()), 1e-300)]


def uneven(rows: Rows, log_f: Array) -> tuple[float, float]:
    """p-value of "the noise is as large everywhere" against a trend of |e| with the size of the
    loss or of a variable, and a ratio. The trend is of ranks, which single outliers do not move,
    |e| by the squared normal scores of Klotz (1962): for Gaussian noise they miss half as often.

    The ratio is of the third of the rows with the smallest first variable to the largest third.
    """
    n = len(rows.e)
    leverage = np.clip((rows.basis**2).sum(1), 0, 0.999)
    # scores at the width of a robust loss are equal: leverage alone would order them
    e = rows.e if rows.residuals is None else rows.residuals
    size, scored = (np.abs(a) / np.sqrt(1 - leverage) for a in (e, rows.e))
    alone = rows.u.shape[1] == 1 and np.ptp(rows.curve) == 0  # then log f has the order of u
    terms = [v for v in (*rows.u.T, *([] if alone else [log_f])) if np.ptp(v) > 0]
    p, scores = 1.0, special.ndtri(0.5 + _ranks(size) / (n + 1) / 2) ** 2
    for term in terms if np.ptp(size) > 0 else ():
        r = float(stats.correlation(_ranks(term), scores))
        t = r * np.sqrt((n - 2) / max(1 - r * r, 1e-12))
        p = min(p, float(2 * special.stdtr(n - 2, -abs(t))))
    order = np.argsort(rows.u[:, 0], kind="stable")
    third = max(n // 3, 1)
    first, last = (np.sqrt((scored[o] ** 2).mean()) for o in (order[:third], order[-third:]))
    return min(1.0, p * len(terms)), float(first / max(last, 1e-300))


def noise_by_size(at: Minimum, x: Array) -> Array:
    """1 / variance of the rows' noise (n,), of mean 1, where the log of the variance is linear in
    the logs of the variables x (n,d) (Harvey 1976): gamma likelihood of squared deviations, from
    the means of repeated sizes where these have half of the spare rows, else from the law.
    """
    rows, residuals = at.geometry[2], at.residuals
    used = at.weights > 0
    logs = np.log(np.maximum(x, 0.1 * x[x > 0].min()))
    u = logs - logs.mean(0)
    u = np.column_stack([np.ones(len(u)), u[:, np.ptp(u, axis=0) > 0]])
    code = np.unique(x, axis=0, return_inverse=True)[1].reshape(-1)
    count = np.bincount(code[used], minlength=code.max() + 1)
    repeats = count[code] > 1
    if (count - 1).clip(0).sum() >= max(6, (used.sum() - at.free) / 2):
        mean = np.bincount(code[used], residuals[used], minlength=len(count)) / count.clip(1)
        square = (residuals - mean[code]) ** 2 / (1 - 1 / count.clip(2))[code]
        kept = used & repeats
    else:
        square, kept = residuals**2 / (1 - rows), used
    design, square = u[kept], np.maximum(square[kept], 1e-4 * float(square[kept].mean()))
    slope = np.zeros(u.shape[1])
    slope[0] = np.log(square.mean())
    for _ in range(60):
        expected = np.exp(np.clip(design @ slope, -200, 200))
        step = np.linalg.lstsq(design, square / expected - 1, rcond=None)[0]
        slope = slope + step * min(1.0, 1.0 / max(float(np.abs(design @ step).max()), 1e-300))
        if np.abs(step).max() < 1e-9:
            break
    weights = np.exp(-np.clip(u @ slope - slope[0], -20, 20))
    return np.asarray(weights / weights.mean())


def _ranks(values: Array) -> Array:
    """Ranks (n,), ties sharing their mean; scipy.stats would be slow to import."""
    _, code, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[code.reshape(-1)]


def together(rows: Rows, codes: Any) -> float:
    """p-value of "rows with one code have independent noise": F test of the codes' means beyond
    what the law and `smooth` terms say about them."""
    kinds = np.unique(codes)
    more = _beyond(rows.basis, smooth(rows))
    wider = replace(rows, basis=np.column_stack([rows.basis, more]))
    return f_test(wider, (codes[:, None] == kinds[None, 1:]).astype(float))


def rise(u: Array, log_y: Array) -> tuple[float, int, int]:
    """The largest climb of a curve, and the rows where it starts and ends, in ascending order of u.

    In standard errors of the difference of two rows, the noise from second differences, which
    know no law (a bend makes them larger, so the answer is cautious).
    """
    lowest = np.minimum.accumulate(log_y)
    end = int((log_y - lowest).argmax())
    start = int(log_y[: end + 1].argmin())
    if len(u) < 5:
        return 0.0, start, end
    left, right = np.diff(u)[:-1], np.diff(u)[1:]
    a, b = right / (left + right), left / (left + right)
    bend = log_y[1:-1] - a * log_y[:-2] - b * log_y[2:]
    noise = np.sqrt((bend**2 / (1 + a**2 + b**2)).mean())
    return float((log_y[end] - log_y[start]) / max(np.sqrt(2) * noise, 1e-300)), start, end


@dataclass(frozen=True)
class Removal:
    """Rows whose removal changes the fit: numbers of the rows, the p-value of "they follow the law
    as the others do" (F test times the number of such sets), and z (f,) without them."""

    rows: tuple[int, ...]
    p: float
    z: Array

    def rest(self, at: Minimum) -> Minimum:
        """The fit without these rows."""
        weights = at.weights.copy()
        weights[list(self.rows)] = 0.0
        return Minimum(at.problem, self.z, at.target, weights)


def removal(at: Minimum, most: int, candidates: int = 12) -> Removal | None:
    """The set of at most `most` rows that the law fits worst, taken out one at a time; one Newton
    step a row proposes, and a search without it decides. None if no row is to spare.
    """
    n = int((at.weights > 0).sum())
    weights, z, gone = at.weights.copy(), at.z, []
    best = None
    first = value = _value(at, z, weights)
    for k in range(1, min(most, n - at.free - 2) + 1):
        if not np.isfinite(at.problem.jacobian(z[None])[1]).all():
            break  # a law that overflows there: no row's influence can be told
        here = Minimum(at.problem, z, at.target, weights)
        leverage = here.geometry[2]
        gain = weights * at.problem.objective.psi(here.residuals)[0] ** 2 / (1 - leverage)
        rows = np.argsort(-gain)[: min(candidates, n - k)]
        tried = np.repeat(weights[None], len(rows), axis=0)
        tried[np.arange(len(rows)), rows] = 0.0
        start = np.repeat(z[None], len(rows), axis=0)
        found = minimise(at.problem, start, at.target[None], tried, max_iterations=30)
        pick = int(found.objective.argmin())
        gone.append(int(rows[pick]))
        weights, z, value = tried[pick], found.z[pick], float(found.objective[pick])
        rest = n - at.free - k
        ratio = (first - value) / k / max(value / rest, 1e-300)
        p = float(special.fdtrc(k, rest, max(ratio, 0.0)))
        sets = np.exp(min(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1), 500.0))
        p = min(1.0, p * sets)
        if best is None or p < best.p:
            best = Removal(tuple(sorted(gone)), p, z)
    return best


def _value(at: Minimum, z: Array, weights: Array) -> float:
    return float(at.problem.value(z[None], at.target[None], weights[None])[0])


def other_loss(at: Minimum, scale: float) -> Array:
    """Free parameters (f,) that a Huber loss (least squares, where it is robust) would find."""
    objective = at.problem.objective
    kind, width = ("huber", 1.345 * scale) if objective.loss == "l2" else ("l2", np.inf)
    problem = replace(at.problem, objective=replace(objective, loss=kind, delta=width))
    return minimise(problem, at.z[None], at.target[None], at.weights[None]).z[0]


def moves(at: Minimum, z: Array, rows: Array, level: float = 0.95) -> Array:
    """How far scalars of z (gradients `rows` (k,f)) move from the estimate to z, in half widths of
    their intervals, (k,); nan where a scalar has no width."""
    covariance = at.covariance
    quantile = student_quantile(level, float((at.weights > 0).sum() - at.free))
    half = quantile * np.sqrt(np.einsum("kf,fg,kg->k", rows, covariance, rows))
    change = np.abs(rows @ (z - at.z))
    return np.where(half > 0, change / np.where(half > 0, half, 1.0), np.nan)


def free_directions(at: Minimum, rows: Array) -> Array:
    """Which scalars of z (gradients `rows` (k,f)) the data do not identify, (k,) of bool.

    A direction is free where the rows' slopes vanish along it. Floors at zero count by their first
    order; a parameter at the edge of its box is held there.
    """
    slopes = at.geometry[0] * np.sqrt(at.weights)[:, None]
    floors = [i for i, _ in at.problem.floors]
    held = (at.z <= at.problem.lower) | (at.z >= at.problem.upper)
    held[floors] = False
    size = np.sqrt((slopes**2).sum(0))
    # far below a floor at the bottom of its box, which still has a first order
    size = np.maximum(size, 1e-10 * max(float(size.max(initial=0.0)), 1e-280))
    inside = np.flatnonzero(~held)
    if not len(inside):
        return np.zeros(len(rows), bool)
    scaled = slopes[:, inside] / size[inside]
    gram = scaled.T @ scaled
    values, vectors = np.linalg.eigh(gram)
    null = vectors[:, values < 1e-10 * max(float(values.max()), 1e-300)]
    along = rows[:, inside] / size[inside]
    along = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-300)
    return np.asarray((np.abs(along @ null) > 1e-3).any(1))
