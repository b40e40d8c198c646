"""Profile intervals of any scalar of the parameters, and sandwich covariances.

The profile at psi = c is traced by adding K/2 gap(z, c)^2 to the objective. The minimum of that
sum is the exact constrained optimum at the psi it reaches, whatever K is, so each solve yields
one exact point of the profile. All values of one side are one batch.

An interval is {psi : 2 (O(psi) - O_min) / s <= t^2}, with t Student's quantile and s the
dispersion sum(rho'^2) / (n - p) / mean(rho'') of the objective at its minimum: the residual
variance for L2, and the tau-test scale for a robust loss (Ronchetti 1982; Huber 1973 factor).
p leaves out floors that are estimated as zero. The root of a floor itself is corrected for its
bound (`near_zero`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from .laws import REACH, Array
from .objective import robust_scale
from .solver import Problem, lifted, minimise


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
        shifts = np.cumsum([0, *(len(p.lower) for p in self.parts)])
        pairs = zip(shifts, self.parts, strict=False)
        floors = tuple((int(s) + i, r) for s, p in pairs for i, r in p.floors)
        object.__setattr__(self, "floors", floors)

    lower: Any = None
    upper: Any = None
    floors: tuple[tuple[int, float], ...] = ()

    @property
    def work(self) -> int:
        return sum(p.work for p in self.parts)

    @property
    def quadratic(self) -> bool:
        return all(p.quadratic for p in self.parts)

    @property
    def reweighted_steps(self) -> int:
        return max(p.reweighted_steps for p in self.parts)

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


ScalarFunction = Callable[[Array], Array]


class Gap:
    """A constraint gap(z, c) = 0 that says "the scalar has the value c" in a smooth way.

    For a parameter the gap is psi(z) - c. For a ratio of sizes it is the difference of two losses,
    which stays finite where the ratio itself is infinite.
    """

    def value(self, z: Array, c: Array) -> Array:
        """(B,) from z (B,f), c (B,)."""
        raise NotImplementedError

    def derivatives(self, z: Array, c: Array, second: bool) -> tuple[Array, Array, Array]:
        """Value (B,), gradient (B,f), Hessian (B,f,f) by z; here by central differences."""
        value = self.value(z, c)
        gradient, hessian = scalar_derivatives(lambda at: self.value(at, c), z, second)
        return value, gradient, hessian

    def reached(self, z: Array, c: Array) -> Array:
        """The scalar at z, near c, (B,); c itself where the gap is as good as closed."""
        h = 1e-4
        slope = (self.value(z, c + h) - self.value(z, c - h)) / (2 * h)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where(slope != 0, self.value(z, c) / slope, 0.0)
        return c - np.clip(step, -h, h)


@dataclass(frozen=True)
class Affine(Gap):
    """psi = row . z + offset, or its exponential."""

    row: Array
    offset: float
    exponential: bool = False

    def psi(self, z: Array) -> Array:
        value = z @ self.row + self.offset
        return np.exp(value) if self.exponential else value

    def value(self, z: Array, c: Array) -> Array:
        return self.psi(z) - c

    def derivatives(self, z: Array, c: Array, second: bool) -> tuple[Array, Array, Array]:
        psi = self.psi(z)
        size = len(self.row)
        if not self.exponential:
            return psi - c, np.broadcast_to(self.row, z.shape), np.zeros((len(z), size, size))
        outer = np.outer(self.row, self.row)
        return psi - c, psi[:, None] * self.row, psi[:, None, None] * outer

    def reached(self, z: Array, c: Array) -> Array:
        return self.psi(z)


@dataclass(frozen=True)
class Scalar(Gap):
    """Any scalar psi(z); derivatives are numeric."""

    psi: Callable[[Array], Array]

    def value(self, z: Array, c: Array) -> Array:
        return self.psi(z) - c

    def reached(self, z: Array, c: Array) -> Array:
        return self.psi(z)


@dataclass(frozen=True)
class Implicit(Gap):
    """A gap given as a function of (z, c)."""

    gap: Callable[[Array, Array], Array]

    def value(self, z: Array, c: Array) -> Array:
        return self.gap(z, c)


def log_f_derivatives(
    problem: Problem, z: Array, log_x: Array, second: bool
) -> tuple[Array, Array, Array]:
    """log f at one scaled point for each problem, with gradient and Hessian by z; log_x (B,d)."""
    value, jac, curvature = problem.law.derivatives(problem.phi(z), np.exp(log_x)[:, None])
    bend = curvature(np.ones((len(z), 1))) if second else np.zeros((len(z), *([jac.shape[1]] * 2)))
    gradient = jac[:, :, 0]
    if not problem.plain:
        gradient = gradient @ problem.matrix
        bend = problem.matrix.T @ bend @ problem.matrix
    return value[:, 0], gradient, bend


@dataclass(frozen=True)
class LogMean(Gap):
    """psi = log f at one scaled point x (d,)."""

    problem: Problem
    x: Array

    def value(self, z: Array, c: Array) -> Array:
        return self.problem.law.log_value(self.problem.phi(z), self.x[None])[:, 0] - c

    def derivatives(self, z: Array, c: Array, second: bool) -> tuple[Array, Array, Array]:
        log_x = np.broadcast_to(np.log(self.x), (len(z), len(self.x)))
        value, gradient, bend = log_f_derivatives(self.problem, z, log_x, second)
        return value - c, gradient, bend

    def reached(self, z: Array, c: Array) -> Array:
        return self.value(z, np.zeros(len(z)))


@dataclass(frozen=True)
class LossGap(Gap):
    """log f_1(x_1) - log f_2(x_2) of two joined problems of one variable, where log x_i (scaled)
    is `constants[i] + slopes[i] * c`: the ratio c of two sizes at equal loss, or a crossing at c.
    """

    problems: tuple[Problem, Problem]
    constants: tuple[float, float]
    slopes: tuple[float, float]

    def _parts(self, z: Array, c: Array) -> Any:
        cut = len(self.problems[0].lower)
        for i, own in enumerate((slice(0, cut), slice(cut, None))):
            u = np.clip(self.constants[i] + self.slopes[i] * c, -REACH, REACH)
            yield 1.0 - 2 * i, self.problems[i], own, z[:, own], u

    def value(self, z: Array, c: Array) -> Array:
        total = np.zeros(len(z))
        for sign, problem, _, inner, u in self._parts(z, c):
            x = np.exp(u)[:, None, None]
            total = total + sign * problem.law.log_value(problem.phi(inner), x)[:, 0]
        return total

    def derivatives(self, z: Array, c: Array, second: bool) -> tuple[Array, Array, Array]:
        value = np.zeros(len(z))
        gradient = np.zeros_like(z)
        hessian = np.zeros((*z.shape, z.shape[1]))
        for sign, problem, own, inner, u in self._parts(z, c):
            v, g, h = log_f_derivatives(problem, inner, u[:, None], second)
            value += sign * v
            gradient[:, own] = sign * g
            hessian[:, own, own] = sign * h
        return value, gradient, hessian


@dataclass(frozen=True)
class Constrained:
    """A problem plus stiffness/2 gap(z, c)^2; c rides as the last column of the target."""

    base: Problem | Joint
    gap: Gap
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

    @property
    def reweighted_steps(self) -> int:
        return self.base.reweighted_steps

    def value(self, z: Array, target: Array, weights: Array) -> Array:
        with np.errstate(all="ignore"):
            data = self.base.value(z, target[:, :-1], weights[:, :-1])
            total = data + self.stiffness / 2 * self.gap.value(z, target[:, -1]) ** 2
        return np.where(np.isfinite(total), total, np.inf)

    def derivatives(
        self, z: Array, target: Array, weights: Array, newton: bool
    ) -> tuple[Array, Array]:
        gradient, hessian = self.base.derivatives(z, target[:, :-1], weights[:, :-1], newton)
        gap, slope, bend = self.gap.derivatives(z, target[:, -1], newton)
        gradient = gradient + self.stiffness * gap[:, None] * slope
        hessian = hessian + self.stiffness * slope[:, :, None] * slope[:, None, :]
        if newton:
            hessian = hessian + self.stiffness * gap[:, None, None] * bend
        return gradient, hessian


def scalar_derivatives(
    psi: Callable[[Array], Array], z: Array, second: bool = False
) -> tuple[Array, Array]:
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
    n, free = int(used.sum()), problem.free_at(z)
    psi, _, second = problem.objective.psi(problem.predict(z[None])[0] - target)
    mean_second = float((weights * second)[used].sum() / weights[used].sum())
    if problem.objective.loss == "huber" and n > free:
        # A zone narrower than the noise holds too few residuals to count (and the fit draws
        # `free` of them into it): count in a wider window and scale down.
        r = np.abs(problem.predict(z[None])[0] - target)[used]
        window = 1.06 * robust_scale(r, free) * n**-0.2
        if problem.objective.delta < window:
            inside = max(float((r <= window).sum()) - free, 1.0) / (n - free)
            mean_second = inside * problem.objective.delta / window
    mean_second = max(mean_second, 1e-9)
    spread = float((weights * psi**2).sum() / max(n - free, 1))
    # Huber's factor is the start of a series in free / n: it is left out under three rows a
    # parameter (six runs cover 94 to 97 % without it; `bench/fit_coverage.py`)
    share = free / n if n >= 3 * free else 0.0
    huber = 1 + share * max(1 - mean_second, 0.0) / max(mean_second, 0.5)
    return max(spread / mean_second * huber**2, 1e-300)


def inverse_hessian(problem: Problem | Joint, z: Array, target: Array, weights: Array) -> Array:
    """Pseudo-inverse of the Hessian at z (f,), (f,f): the exact Hessian where it is positive."""
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
    """Covariance of z, (f,f): HC3 for independent rows, CR3 (the jackknife's) for clusters."""
    bread = inverse_hessian(problem, z, target, weights)
    row_scores, parts = scores(problem, z, target, weights)
    n, free = row_scores.shape
    codes = np.arange(n) if cluster is None else cluster
    groups = int(np.max(codes)) + 1
    sums: Array = np.zeros((groups, free))
    curvatures: Array = np.zeros((groups, free, free))
    np.add.at(sums, codes, row_scores)
    np.add.at(curvatures, codes, parts)
    # leaving a cluster out enlarges its score by (I - A_g H^-1)^-1; a tiny ridge keeps a cluster
    # that alone decides a parameter finite
    keep = np.eye(free) * (1 + 1e-9) - curvatures @ bread
    sums = np.asarray(np.linalg.solve(keep, sums[..., None])[..., 0], dtype=float)
    factor = 1.0 if cluster is None else (groups - 1) / groups
    return factor * bread @ (sums.T @ sums) @ bread


class Profile:
    """Deviance of an objective as a function of a constrained scalar, traced where it is asked.

    z (f,) the estimate; target, weights (n,); `scale` divides the deviance. `centre` is the scalar
    at the estimate, which may be infinite; `error` a first guess of its standard error.
    `directions(z, c)` (optional) proposes starts (B,f) for values c (B,). `bounded_dof`: degrees of
    freedom of a scalar that cannot fall below zero; its roots are then those of `near_zero`.
    """

    def __init__(
        self,
        problem: Problem | Joint,
        z: Array,
        target: Array,
        weights: Array,
        gap: Gap,
        *,
        centre: float,
        scale: float,
        directions: Callable[[Array, Array], Array] | None = None,
        error: float | None = None,
        bounded_dof: float | None = None,
    ) -> None:
        self.problem, self.target, self.weights, self.gap = problem, target, weights, gap
        self.centre, self.scale, self.directions = centre, scale, directions
        self.bounded_dof = bounded_dof
        self.base = float(problem.value(z[None], target[None], weights[None])[0])
        self.inverse = inverse_hessian(problem, z, target, weights)
        self.origin = centre if np.isfinite(centre) else np.sign(centre) * 14.0
        at = np.array([self.origin])
        _, slope, _ = gap.derivatives(z[None], at, False)
        h = 1e-4
        change = float((gap.value(z[None], at + h) - gap.value(z[None], at - h))[0]) / (2 * h)
        gap_error = float(np.sqrt(max(slope[0] @ self.inverse @ slope[0] * scale, 0.0)))
        if error is None:
            error = gap_error / abs(change) if change else 0.0
            error = error if np.isfinite(error) and error > 0 else 0.1 * max(abs(self.origin), 1e-3)
        self.error = min(error, 1e3)
        unit = gap_error if error is None or change == 0 else abs(change) * self.error
        self.constrained = Constrained(problem, gap, 1e4 * scale / max(unit, 1e-12) ** 2)
        self.z, self.psi = z[None], np.array([self.origin])
        self.root = np.array([0.0])
        if not np.isfinite(centre):
            self.psi = np.array([centre])
        if bounded_dof is not None:
            self.trace(np.zeros(1))

    def roots(self) -> Array:
        """Signed roots (m,) of the points traced so far: Student-t distributed under the truth."""
        if self.bounded_dof is None:
            return self.root
        return near_zero(self.psi, self.root, self.centre, self.bounded_dof)

    def trace(self, c: Array) -> None:
        """Solve for the values c and keep the exact profile points that they lead to."""
        if self.bounded_dof is not None and self.centre == 0:  # `near_zero` asks for the halves
            c = np.concatenate([c, c / 2])
        known = np.clip(self.psi, -1e6, 1e6)
        start = self.z[np.abs(known[:, None] - c).argmin(0)]
        count = len(c)
        if self.directions is None:
            start = lifted(start, self.problem.floors)
            variants = len(start)
            start, c = start.reshape(-1, start.shape[-1]), np.tile(c, variants)
        t, w = _rows(self.target, self.weights, len(c))
        if self.directions is not None:
            start = self.directions(start, c)
        else:  # close the gap along the direction that costs least
            gap, slope, _ = self.gap.derivatives(start, c, False)
            along = slope @ self.inverse
            size = np.maximum((slope * along).sum(1), 1e-300)
            trial = start - (gap / size)[:, None] * along
            trial = np.clip(trial, self.problem.lower, self.problem.upper)
            with np.errstate(all="ignore"):
                good = np.isfinite(self.problem.value(trial, t, w))
            start = np.where(good[:, None], trial, start)
        both = np.concatenate([t, c[:, None]], 1), np.concatenate([w, np.ones((len(c), 1))], 1)
        found = minimise(self.constrained, start, *both, tolerance=1e-9, max_iterations=100)
        best = found.objective.reshape(-1, count).argmin(0) * count + np.arange(count)
        end, c, t, w = found.z[best], c[:count], t[:count], w[:count]
        reached = self.gap.reached(end, c)
        deviance = 2 * (self.problem.value(end, t, w) - self.base) / self.scale
        # a constraint that could not be met (a box edge) says nothing about this value
        ok = np.isfinite(reached) & np.isfinite(deviance)
        ok &= np.abs(reached - c) <= 0.3 * self.error + 0.05 * np.abs(c - self.origin)
        side = np.sign(reached - self.centre) if np.isfinite(self.centre) else -np.sign(self.centre)
        self.z = np.concatenate([self.z, end[ok]])
        self.psi = np.concatenate([self.psi, reached[ok]])
        root = side * np.sqrt(np.maximum(deviance, 0))
        self.root = np.concatenate([self.root, root[ok]])

    def deviance(self, c: float) -> float:
        """Signed root deviance at one value: Student-t distributed when c is true."""
        if c == self.centre:
            return 0.0
        self.trace(np.array([c]))
        at = np.abs(np.clip(self.psi, -1e9, 1e9) - c).argmin()
        if not np.isfinite(self.psi[at]) or abs(self.psi[at] - c) > 0.3 * self.error:
            return float(np.copysign(np.inf, c - self.centre))
        root = float(self.roots()[at])
        if not np.isfinite(self.centre):
            return root
        if self.psi[at] == self.centre:  # c is beside the estimate
            return (c - self.centre) / self.error
        # the point reached lies beside c; the root is close to linear in between
        return float(root * (c - self.centre) / (self.psi[at] - self.centre))

    def end(self, side: int, quantile: float, limit: float) -> float:
        """End on one side: the farthest value not refused; `limit` if none is refused."""
        if not np.isfinite(self.centre) and side == np.sign(self.centre):
            return float(self.centre)
        outward = side if np.isfinite(self.centre) else int(-np.sign(self.centre))
        steps = np.array([0.6, 1.0, 1.6, 2.5, 4.0]) * quantile * self.error
        if not np.isfinite(self.centre):
            self.trace(self.origin - outward * np.array([0.0, 10.0, 40.0, 160.0]))
            steps = np.array([1.0, 2.0, 4.0, 8.0, 14.0])
        for _ in range(6):
            c = self.origin + outward * steps
            beyond = (c - limit) * outward >= 0
            c = np.unique(np.where(beyond, limit, c))
            self.trace(c[np.isfinite(c)])
            if (outward * self.roots() >= quantile).any() or beyond.all():
                break
            steps = steps * 8 + 1e-12
            if steps[0] > 1e4 * max(1.0, abs(self.origin)):
                break
        if not (outward * self.roots() >= quantile).any():
            return limit
        guess = np.inf
        for _ in range(8):
            p, r = outward * self.psi, outward * self.roots()
            refused = r >= quantile
            outer = p[refused].min()
            inside = ~refused & (p < outer)
            if not inside.any():
                return float(outward * outer)
            inner = p[inside].max()
            if not np.isfinite(inner):  # only the infinite estimate itself lies inside so far
                return float(self.centre)
            ra, rb = r[inside][p[inside].argmax()], r[refused][p[refused].argmin()]
            width = outer - inner
            last = guess
            guess = inner + width * float(np.clip((quantile - ra) / max(rb - ra, 1e-12), 0, 1))
            if width < 1e-3 * self.error or abs(guess - last) < 1e-3 * self.error:
                return float(outward * guess)
            before = len(self.psi)
            self.trace(outward * np.array([guess, (inner + guess) / 2, (guess + outer) / 2]))
            if len(self.psi) == before:  # nothing between can be reached
                return float(outward * outer)
        return float(outward * guess)

    def points(self) -> Trace:
        order = np.argsort(self.psi)
        return Trace(self.psi[order], self.root[order])


def near_zero(psi: Array, root: Array, centre: float, dof: float) -> Array:
    """Signed roots (m,) of a scalar that cannot be negative, corrected for that bound.

    Where the bound cuts off part of the estimates, the restricted deviance of the truth is smaller
    than Student's t promises, and intervals are too wide. This is the ordering of Feldman and
    Cousins (1998, section IV B) for a mean near a bound, with Student's t for the normal: with the
    value d standard errors above zero, a root r > d has the probability P(T > (d^2 + r^2) / 2d) on
    the side of the bound, not P(T > r). psi, root: traced points, zero among them. d is the root's
    way from zero or, for an estimate of zero, follows from the deviance at psi and at psi / 2,
    d^2 + 2 d s and d^2 / 4 + d s, where s is the part cut off.
    """
    order = np.argsort(psi)
    size = np.abs(root)
    if centre > 0:
        d = root - np.interp(0.0, psi[order], root[order])
    else:
        half = np.interp(psi / 2, psi[order], root[order] ** 2)
        d = np.sqrt(np.maximum(2 * root**2 - 4 * half, 0))
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        beyond = np.where(size > 0, (d * d + root**2) / (2 * d), 0.0)
    other = np.where((size <= d) | ((root > 0) & (centre > 0)), size, beyond)
    tail = special.stdtr(dof, -size) + special.stdtr(dof, -other)
    return -np.sign(root) * special.stdtrit(dof, tail / 2)


def _rows(target: Array, weights: Array, size: int) -> tuple[Array, Array]:
    shape = (size, len(target))
    return np.broadcast_to(target, shape), np.broadcast_to(weights, shape)


def two_sided(root: float, dof: float) -> float:
    """p-value of a signed root deviance under Student's t."""
    return float(2 * special.stdtr(max(dof, 1), -abs(root)))


def student_quantile(level: float, dof: float) -> float:
    return float(special.stdtrit(max(dof, 1), (1 + level) / 2))
