"""Profile intervals of any scalar of the parameters, and sandwich covariances.

The profile at psi = c is traced by adding K/2 (psi - c)^2 to the objective. The minimum of that
sum is the exact constrained optimum at the psi it reaches, whatever K is, so each solve yields
one exact point of the profile. All targets on both sides are one batch.

An interval is {psi : 2 (O(psi) - O_min) / s <= t^2}, with t Student's quantile and s the
dispersion sum(rho'^2) / (n - p) / mean(rho'') of the objective at its minimum: the residual
variance for L2, and the tau-test scale for a robust loss (Ronchetti 1982; Huber 1973 factor).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from .laws import Array
from .solver import Problem, minimise

Scalar = Callable[[Array], Array]  # z (B,f) -> psi (B,)


@dataclass(frozen=True)
class Trace:
    """Points of a profile: psi and the signed root of the scaled deviance, (m,) ascending."""

    psi: Array
    root: Array


@dataclass(frozen=True)
class Joint:
    """Independent problems minimised as one, each divided by its dispersion."""

    parts: Sequence[Problem]
    scales: Sequence[float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "lower", np.concatenate([p.lower for p in self.parts]))
        object.__setattr__(self, "upper", np.concatenate([p.upper for p in self.parts]))

    lower: Any = None
    upper: Any = None

    @property
    def work(self) -> int:
        return sum(p.work for p in self.parts)

    @property
    def quadratic(self) -> bool:
        return all(p.quadratic for p in self.parts)

    def _split(self, *arrays: Array) -> Any:
        rows = np.cumsum([0, *(p.x.shape[0] for p in self.parts)])
        columns = np.cumsum([0, *(len(p.lower) for p in self.parts)])
        z, *others = arrays
        for i, part in enumerate(self.parts):
            cut = slice(rows[i], rows[i + 1])
            own = slice(columns[i], columns[i + 1])
            yield part, self.scales[i], own, z[:, own], *(a[:, cut] for a in others)

    def value(self, z: Array, target: Array, weights: Array) -> Array:
        total = np.zeros(len(z))
        for part, scale, _, own, t, w in self._split(z, target, weights):
            total = total + part.value(own, t, w) / scale
        return total

    def derivatives(
        self, z: Array, target: Array, weights: Array, newton: bool
    ) -> tuple[Array, Array]:
        gradient = np.zeros_like(z)
        hessian = np.zeros((*z.shape, z.shape[1]))
        for part, scale, own, inner, t, w in self._split(z, target, weights):
            g, h = part.derivatives(inner, t, w, newton)
            gradient[:, own] = g / scale
            hessian[:, own, own] = h / scale
        return gradient, hessian


@dataclass(frozen=True)
class Constrained:
    """A problem plus stiffness/2 (psi(z) - c)^2; c rides as the last column of the target."""

    base: Problem | Joint
    psi: Scalar
    stiffness: float

    @property
    def lower(self) -> Array:
        return self.base.lower

    @property
    def upper(self) -> Array:
        return self.base.upper

    @property
    def work(self) -> int:
        return self.base.work

    @property
    def quadratic(self) -> bool:
        return False

    def value(self, z: Array, target: Array, weights: Array) -> Array:
        data = self.base.value(z, target[:, :-1], weights[:, :-1])
        with np.errstate(invalid="ignore"):
            total = data + self.stiffness / 2 * (self.psi(z) - target[:, -1]) ** 2
        return np.where(np.isfinite(total), total, np.inf)

    def derivatives(
        self, z: Array, target: Array, weights: Array, newton: bool
    ) -> tuple[Array, Array]:
        gradient, hessian = self.base.derivatives(z, target[:, :-1], weights[:, :-1], newton)
        slope, bend = scalar_derivatives(self.psi, z, second=newton)
        gap = self.psi(z) - target[:, -1]
        gradient = gradient + self.stiffness * gap[:, None] * slope
        hessian = hessian + self.stiffness * slope[:, :, None] * slope[:, None, :]
        if newton:
            hessian = hessian + self.stiffness * gap[:, None, None] * bend
        return gradient, hessian


def scalar_derivatives(psi: Scalar, z: Array, second: bool = False) -> tuple[Array, Array]:
    """Gradient (B,f) and, if asked, Hessian (B,f,f) of a cheap scalar by central differences."""
    size = z.shape[1]
    h = 1e-4
    steps = h * np.eye(size)
    up = np.stack([psi(z + s) for s in steps], -1)
    down = np.stack([psi(z - s) for s in steps], -1)
    gradient = (up - down) / (2 * h)
    hessian = np.zeros((*z.shape, size))
    if second:
        middle = psi(z)
        for i in range(size):
            hessian[:, i, i] = (up[:, i] + down[:, i] - 2 * middle) / h**2
            for j in range(i):
                both = psi(z + steps[i] + steps[j]) + psi(z - steps[i] - steps[j])
                mixed = both - up[:, i] - up[:, j] - down[:, i] - down[:, j] + 2 * middle
                hessian[:, i, j] = hessian[:, j, i] = mixed / (2 * h**2)
    return np.nan_to_num(gradient), np.nan_to_num(hessian, posinf=0.0, neginf=0.0)


def dispersion(problem: Problem, z: Array, target: Array, weights: Array) -> float:
    """Scale s of the deviance; the weighted residual variance when the loss is L2."""
    used = weights > 0
    n, free = int(used.sum()), len(problem.lower)
    psi, _, second = problem.objective.psi(problem.predict(z[None])[0] - target)
    mean_second = float((weights * second)[used].sum() / weights[used].sum())
    mean_second = max(mean_second, 1.0 / n)
    spread = float((weights * psi**2).sum() / max(n - free, 1))
    huber = 1 + free / n * max(1 - mean_second, 0.0) / mean_second
    return max(spread / mean_second * huber**2, 1e-300)


def inverse_hessian(problem: Problem | Joint, z: Array, target: Array, weights: Array) -> Array:
    """Pseudo-inverse of the Hessian of the objective at z (f,), (f,f); exact Hessian if positive."""
    for newton in (True, False):
        _, hessian = problem.derivatives(z[None], target[None], weights[None], newton)
        scale = 1 / np.sqrt(np.maximum(np.abs(np.diag(hessian[0])), 1e-280))
        scaled = hessian[0] * scale[:, None] * scale
        values, vectors = np.linalg.eigh(scaled)
        if values.min() > 1e-10 * values.max():
            break
    values = np.where(values > 1e-10 * values.max(), values, np.inf)
    return (vectors / values) @ vectors.T * scale[:, None] * scale


def scores(problem: Problem, z: Array, target: Array, weights: Array) -> tuple[Array, Array]:
    """Row gradients w rho'(r) dr/dz (n,f) at z (f,), and the rows' w rho'' |J|^2 parts (n,f,f)."""
    value, jac = problem.jacobian(z[None])
    psi, reweight, _ = problem.objective.psi(value[0] - target)
    rows = jac[0].T
    return rows * (weights * psi)[:, None], np.einsum(
        "n,ni,nj->nij", weights * reweight, rows, rows
    )


def sandwich(
    problem: Problem, z: Array, target: Array, weights: Array, cluster: Any = None
) -> Array:
    """Covariance of z, (f,f): HC3 for independent rows, CR1 for clusters."""
    bread = inverse_hessian(problem, z, target, weights)
    row_scores, parts = scores(problem, z, target, weights)
    n, free = row_scores.shape
    if cluster is None:
        leverage = np.clip(np.einsum("nij,ji->n", parts, bread), 0, 0.999)
        row_scores = row_scores / (1 - leverage)[:, None]
        factor = 1.0
    else:
        groups = int(np.max(cluster)) + 1
        sums = np.zeros((groups, free))
        np.add.at(sums, cluster, row_scores)
        row_scores = sums
        factor = groups / max(groups - 1, 1) * (n - 1) / max(n - free, 1)
    return factor * bread @ (row_scores.T @ row_scores) @ bread


def profile_roots(
    problem: Problem | Joint,
    z: Array,
    target: Array,
    weights: Array,
    psi: Scalar,
    *,
    scale: float,
    quantile: float,
    limits: tuple[float, float] = (-np.inf, np.inf),
    directions: Callable[[Array, Array], Array] | None = None,
    error: float | None = None,
) -> tuple[float, float, Trace]:
    """Ends of {psi: deviance / scale <= quantile^2} and the traced profile.

    An end that the traced profile does not reach is infinite (or the limit given).
    `directions(z, c)` (optional) proposes starts (B,f) for targets c (B,).
    """
    base = float(problem.value(z[None], target[None], weights[None])[0])
    centre = float(psi(z[None])[0])
    slope = scalar_derivatives(psi, z[None])[0][0]
    inverse = inverse_hessian(problem, z, target, weights)
    along = inverse @ slope
    variance = float(slope @ along) * scale
    if error is None:  # a first guess of the standard error, to choose targets
        error = np.sqrt(variance) if variance > 0 and np.isfinite(variance) else 0.0
        error = float(error) or 0.1 * max(abs(centre), 1e-3)
    constrained = Constrained(problem, psi, 200.0 * scale / error**2)
    found_z, found_psi, found_root = [z[None]], [np.array([centre])], [np.array([0.0])]

    def solve(c: Array) -> None:
        # start from the traced point nearest to each target, moved along the Wald direction
        known_z, known = np.concatenate(found_z), np.concatenate(found_psi)
        near = np.abs(known[:, None] - c).argmin(0)
        start = known_z[near]
        if directions is not None:
            start = directions(start, c)
        elif slope @ along > 0:
            move = np.clip((c - known[near]) / (slope @ along), -1e6, 1e6)
            trial = np.clip(start + move[:, None] * along, problem.lower, problem.upper)
            good = np.isfinite(problem.value(trial, *_rows(target, weights, len(c))))
            start = np.where(good[:, None], trial, start)
        t, w = _rows(target, weights, len(c))
        t, w = np.concatenate([t, c[:, None]], 1), np.concatenate([w, np.ones((len(c), 1))], 1)
        end = minimise(constrained, start, t, w, tolerance=1e-9, max_iterations=100).z
        reached = psi(end)
        t, w = _rows(target, weights, len(c))
        deviance = 2 * (problem.value(end, t, w) - base) / scale
        ok = np.isfinite(reached) & np.isfinite(deviance)
        found_z.append(end[ok])
        found_psi.append(reached[ok])
        found_root.append((np.sign(reached - centre) * np.sqrt(np.maximum(deviance, 0)))[ok])

    low, high = limits

    def end_of(side: int) -> float:
        """Walk outwards until the root passes the quantile, then close in."""
        limit = high if side > 0 else low
        steps = np.array([0.6, 1.0, 1.6, 2.5, 4.0]) * quantile * error
        for _ in range(6):
            c = centre + side * steps
            beyond = (c - limit) * side >= 0
            c = np.where(beyond, limit, c)
            solve(np.unique(c[np.isfinite(c)]))
            p, r = np.concatenate(found_psi), side * np.concatenate(found_root)
            if (r >= quantile).any() or beyond.all():
                break
            steps = steps * 8
        for _ in range(4):
            p, r = np.concatenate(found_psi), side * np.concatenate(found_root)
            outside = r >= quantile
            if not outside.any():
                return limit
            outer = (side * p)[outside].min()  # the nearest point that is too far
            inside = ~outside & (side * p < outer)
            best = (side * p)[inside].argmax()
            a, ra = (side * p)[inside][best], r[inside][best]
            rb = r[outside][(side * p)[outside].argmin()]
            guess = a + (outer - a) * (quantile - ra) / max(rb - ra, 1e-12)
            if abs(guess - a) < 1e-3 * error or abs(outer - guess) < 1e-3 * error:
                return float(side * guess)
            solve(side * np.array([guess, a + 0.5 * (guess - a), outer - 0.5 * (outer - guess)]))
        return float(side * guess)

    ends = end_of(-1), end_of(1)
    order = np.argsort(np.concatenate(found_psi))
    trace = Trace(np.concatenate(found_psi)[order], np.concatenate(found_root)[order])
    return ends[0], ends[1], trace


def _rows(target: Array, weights: Array, size: int) -> tuple[Array, Array]:
    shape = (size, len(target))
    return np.broadcast_to(target, shape), np.broadcast_to(weights, shape)


def student_quantile(level: float, dof: float) -> float:
    return float(stats.t.ppf((1 + level) / 2, max(dof, 1)))
