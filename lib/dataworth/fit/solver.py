"""Batched minimisation: every start, resample and curve advances in one array program.

Iteratively reweighted Levenberg-Marquardt steps first, then Newton steps with the exact Hessian
(its eigenvalues made positive), under box constraints. A problem leaves the batch when the
decrease that Newton's model still promises is negligible.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from dataworth.arrays import Array

from .backend import namespace
from .laws import Law
from .objective import Objective

Expansion = tuple[Array, Array, Array]  # objective, gradient, Hessian


class Status(IntEnum):
    """How one minimisation ended."""

    CONVERGED = 0
    AT_BOUND = 1
    MAX_ITERATIONS = 2
    UNIDENTIFIED = 3


@dataclass(frozen=True)
class Problem:
    """A law on fixed rows, seen through phi = T z + t; z are the free parameters.

    x (n,d) scaled variables; lower, upper (f,) the box of z.
    """

    law: Law
    x: Array
    objective: Objective
    matrix: Array
    offset: Array
    lower: Array
    upper: Array
    floors: tuple[tuple[int, float], ...] = ()  # z that may be zero, and where they start to count

    @property
    def plain(self) -> bool:
        return self.matrix.shape[0] == self.matrix.shape[1]

    @cached_property
    def rows(self) -> Any:
        """What the law needs of x alone."""
        return self.law.of_rows(self.x)

    @property
    def work(self) -> int:
        """Values that one evaluation holds for each problem of a batch."""
        size = max(1, len(self.law.params))
        numeric = 1 if self.law.cheap_curvature else size
        return self.x.shape[0] * size * numeric // 4 + 1

    @property
    def quadratic(self) -> bool:
        return self.objective.loss == "l2"

    @property
    def reweighted_steps(self) -> int:
        """Steps before the exact Hessian is used: more where that Hessian is dear."""
        return 3 if self.law.cheap_curvature else 15

    def free_at(self, z: Array) -> int:
        """Number of parameters that the rows determine at z (f,): a floor at zero is none of them,
        so the residuals keep its degree of freedom (Meyer and Woodroofe 2000: the dimension of the
        face on which a fit under inequality constraints lies).
        """
        return len(z) - sum(bool(z[i] <= self.lower[i]) for i, _ in self.floors)

    def phi(self, z: Array) -> Array:
        return z if self.plain else z @ self.matrix.T + self.offset

    def predict(self, z: Array) -> Array:
        """g(f), the prediction on the residual's scale, (B,n)."""
        return self.objective.of_log(self.law.log_value(self.phi(z), self.x))[0]

    @np.errstate(over="ignore", invalid="ignore")  # what is not finite becomes infinite
    def value(self, z: Array, target: Array, weights: Array) -> Array:
        """Objective (B,); rows of no weight do not count even where the law is not finite."""
        r = self.predict(z) - target
        total = (weights * self.objective.rho(r)).sum(1)
        xp = namespace(total)
        return xp.where(xp.isfinite(total), total, np.inf)

    def jacobian(self, z: Array) -> tuple[Array, Array]:
        """g(f) (B,n) and its derivative by z (B,f,n)."""
        log_f, jac, _ = self.law.derivatives(self.phi(z), self.x)
        value, first, _ = self.objective.of_log(log_f)
        if not self.plain:
            jac = namespace(jac).einsum("bpn,pf->bfn", jac, self.matrix)
        if not isinstance(first, float):
            jac = jac * first[:, None]
        return value, jac

    def slopes(self, z: Array, x: Array) -> Array:
        """d log f / dz at scaled points x (m,d), (m,f), for one z (f,)."""
        return self.law.derivatives(self.phi(z[None]), x)[1][0].T @ self.matrix

    @np.errstate(over="ignore", invalid="ignore")
    def derivatives(self, z: Array, target: Array, weights: Array, newton: bool) -> Expansion:
        """Objective (B,), gradient (B,f), Hessian (B,f,f): reweighted Gauss-Newton, or exact when
        `newton`."""
        xp = namespace(z)
        log_f, sums = self.law.sums(self.phi(z), self.x, self.rows)
        g, first, second = self.objective.of_log(log_f)
        r = g - target
        total = (weights * self.objective.rho(r)).sum(1)
        psi, reweight, curve = self.objective.psi(r)
        c = weights * psi
        diagonal = weights * (curve if newton else reweight)
        if not isinstance(first, float):
            diagonal = diagonal * first * first
            if newton:
                diagonal = diagonal + c * second
            c = c * first
        gradient, hessian = sums(c, diagonal, newton)
        if not self.plain:
            gradient = gradient @ self.matrix
            hessian = self.matrix.T @ hessian @ self.matrix
        return xp.where(xp.isfinite(total), total, np.inf), gradient, hessian


class Joint:
    """Independent problems minimised as one, each divided by its dispersion."""

    def __init__(self, parts: Sequence[Problem], scales: Sequence[float]) -> None:
        self.parts, self.scales = parts, scales
        self.lower = np.concatenate([p.lower for p in parts])
        self.upper = np.concatenate([p.upper for p in parts])
        self.work = sum(p.work for p in parts)
        self.quadratic = all(p.quadratic for p in parts)
        self.reweighted_steps = max(p.reweighted_steps for p in parts)
        self._rows = np.cumsum([0, *(p.x.shape[0] for p in parts)])
        self._columns = np.cumsum([0, *(len(p.lower) for p in parts)])
        shifts = self._columns.tolist()
        pairs = zip(shifts, parts, strict=False)
        self.floors = tuple((s + i, r) for s, p in pairs for i, r in p.floors)

    def _split(self, z: Array, *arrays: Array) -> Iterator[tuple[Any, ...]]:
        """Part, dispersion, its columns of z, and its share of every array."""
        for i, part in enumerate(self.parts):
            cut = slice(self._rows[i], self._rows[i + 1])
            own = slice(self._columns[i], self._columns[i + 1])
            yield part, self.scales[i], own, z[:, own], *(a[:, cut] for a in arrays)

    def value(self, z: Array, target: Array, weights: Array) -> Array:
        total = np.zeros(len(z))
        for part, scale, _, own, t, w in self._split(z, target, weights):
            total = total + part.value(own, t, w) / scale
        return total

    def derivatives(self, z: Array, target: Array, weights: Array, newton: bool) -> Expansion:
        total, gradient = np.zeros(len(z)), np.zeros_like(z)
        hessian = np.zeros((*z.shape, z.shape[1]))
        for part, scale, own, inner, t, w in self._split(z, target, weights):
            v, g, h = part.derivatives(inner, t, w, newton)
            total = total + v / scale
            gradient[:, own] = g / scale
            hessian[:, own, own] = h / scale
        return total, gradient, hessian


class Objectives(Protocol):
    """What `minimise` needs: a `Problem`, several at once, or one with a constraint."""

    @property
    def lower(self) -> Array: ...

    @property
    def upper(self) -> Array: ...

    @property
    def work(self) -> int: ...

    @property
    def quadratic(self) -> bool: ...

    @property
    def reweighted_steps(self) -> int: ...

    def value(self, z: Array, target: Array, weights: Array) -> Array: ...

    def derivatives(self, z: Array, target: Array, weights: Array, newton: bool) -> Expansion: ...


def lifted(start: Array, floors: tuple[tuple[int, float], ...]) -> Array:
    """Starts (B,f) and copies of them with each negligible floor raised, (V,B,f).

    In log coordinates a floor near zero has almost no gradient, so a descent that begins there
    never finds out that a floor would help.
    """
    xp = namespace(start)
    variants = [start]
    for index, reference in floors:
        low = start[:, index] < reference - 2.3
        if not low.any():
            continue
        for variant in list(variants):
            raised = xp.copy(variant)
            raised[low, index] = reference - 0.7
            variants.append(raised)
    return xp.stack(variants)


@dataclass(frozen=True)
class Solution:
    """z (B,f), objective (B,), status (B,) of `Status`."""

    z: Array
    objective: Array
    status: Array


# Systems that are not positive definite overflow in `_cholesky` and are solved again below.
@np.errstate(over="ignore", invalid="ignore")
def _step(gradient: Array, hessian: Array, free: Any, damping: Array) -> tuple[Array, Array]:
    """Damped step on the free coordinates in the scaled metric, and the promised decrease.

    Eigenvalues of the scaled Hessian are replaced by their absolute values, so the step goes
    downhill also where the exact Hessian is indefinite.
    """
    xp = namespace(hessian)
    diagonal = xp.abs(xp.einsum("bii->bi", hessian))
    least = 1e-12 * xp.amax(diagonal, 1)[:, None] + 1e-280
    scale = 1.0 / xp.sqrt(xp.maximum(diagonal, least))
    scale = scale * free
    scaled = hessian * scale[:, :, None] * scale[:, None, :]
    g = gradient * scale
    index = xp.arange(scaled.shape[1])
    scaled[:, index, index] += ~free
    solution, positive = _cholesky(scaled, -g, damping)
    promised = -0.5 * (g * solution).sum(1)
    rest = xp.flatnonzero(~positive | (damping > 1e-2))
    if len(rest):
        values, vectors = xp.linalg.eigh(scaled[rest])
        values = xp.maximum(xp.abs(values), 1e-9)
        projected = xp.einsum("bij,bi->bj", vectors, g[rest])
        coefficient = -projected / (values + damping[rest, None])
        solution[rest] = xp.einsum("bij,bj->bi", vectors, coefficient)
        promised[rest] = 0.5 * (projected**2 / values).sum(1)
    return solution * scale, promised


def _cholesky(matrix: Array, right: Array, damping: Array) -> tuple[Array, Any]:
    """Solve (matrix + damping I) x = right for a batch of small systems, and say which are safely
    positive definite. Elementwise over the batch: faster than LAPACK for a handful of parameters.
    """
    size, xp = right.shape[1], namespace(right)
    lower = [[matrix[:, i, j] for j in range(i + 1)] for i in range(size)]
    positive = damping >= 0
    x = [right[:, i] for i in range(size)]
    for i in range(size):
        for j in range(i):
            value = lower[i][j]
            for k in range(j):
                value = value - lower[i][k] * lower[j][k]
            lower[i][j] = value * lower[j][j]  # the diagonal holds 1 / L_jj
        pivot = lower[i][i] + damping
        for k in range(i):
            pivot = pivot - lower[i][k] ** 2
            x[i] = x[i] - lower[i][k] * x[k]
        good = pivot > 1e-8
        positive = positive & good
        lower[i][i] = 1.0 / xp.sqrt(xp.where(good, pivot, 1.0))
        x[i] = x[i] * lower[i][i]
    for i in reversed(range(size)):
        for k in range(i + 1, size):
            x[i] = x[i] - lower[k][i] * x[k]
        x[i] = x[i] * lower[i][i]
    return xp.stack(x, 1), positive


def minimise(
    problem: Objectives,
    start: Array,
    target: Array,
    weights: Array,
    *,
    max_iterations: int = 200,
    tolerance: float = 1e-11,
    enough: float = 0.0,
) -> Solution:
    """Minimise from each start. start (B,f); target (B,n) or (1,n); weights likewise.

    A search ends where the decrease still promised is below `tolerance` of the objective, or
    below `enough`.

    All arrays are numpy, or all are tensors on one device.
    """
    size, n, xp = len(start), target.shape[1], namespace(start)
    # values that a chunk holds: the processor's cache, or about a gigabyte of a graphics card
    values = 100_000 if xp is np or xp.device.type == "cpu" else 6_000_000
    chunk = max(1, values // problem.work)
    start = xp.clip(start, problem.lower, problem.upper)
    target, weights = (xp.broadcast_to(a, (size, n)) for a in (target, weights))
    parts = []
    for i in range(0, size, chunk):
        z, t, w = (a[i : i + chunk] for a in (start, target, weights))
        parts.append(_minimise_chunk(problem, z, t, w, max_iterations, tolerance, enough))
    fields = zip(*((s.z, s.objective, s.status) for s in parts), strict=True)
    return Solution(*(xp.concatenate(f) for f in fields))


def _minimise_chunk(
    problem: Objectives,
    z: Array,
    target: Array,
    weights: Array,
    max_iterations: int,
    tolerance: float,
    enough: float,
) -> Solution:
    size, xp = len(z), namespace(z)
    out_z = xp.copy(z)
    newton = problem.reweighted_steps == 0
    out_value, gradient, hessian = problem.derivatives(z, target, weights, newton)
    status = xp.full(size, int(Status.MAX_ITERATIONS))
    dead = ~xp.isfinite(out_value)
    status[dead] = int(Status.UNIDENTIFIED)
    index = xp.flatnonzero(~dead)
    lower, upper = problem.lower, problem.upper
    if dead.any():
        z, target, weights = z[index], target[index], weights[index]
        gradient, hessian = gradient[index], hessian[index]
    value = out_value[index]
    damping = xp.full(len(index), 1e-3)
    stalled = xp.full(len(index), 0)
    quadratic = problem.quadratic
    # decreases below rounding of the residuals cannot be seen
    rounding = (weights * (1e-15 * (1 + xp.abs(target))) ** 2).sum(1) + enough
    for iteration in range(max_iterations):
        if not len(index):
            break
        use_newton = iteration >= problem.reweighted_steps
        if iteration == problem.reweighted_steps:
            damping = xp.minimum(damping, 1e-3)
            stalled = xp.full(len(index), 0)  # what stalls reweighted steps need not stall Newton's
        broken = ~(xp.isfinite(gradient).all(1) & xp.isfinite(hessian).all((1, 2)))
        gradient[broken], hessian[broken] = 0.0, 0.0  # a law at the edge of its range: stop there
        at_low = (z <= lower) & (gradient > 0)
        at_high = (z >= upper) & (gradient < 0)
        free = ~(at_low | at_high)
        step, promised = _step(gradient, hessian, free, damping)
        trial = xp.clip(z + step, lower, upper)
        # a Newton step that promises and brings next to nothing: converged
        small = promised <= tolerance * value + rounding
        settled = small & (use_newton | (quadratic & (promised <= 1e-3 * tolerance * value)))
        # one pass through the law serves the trial's value and the step after it
        newton = iteration + 1 >= problem.reweighted_steps
        trial_value, gradient_there, hessian_there = _there(
            problem, trial, target, weights, newton, settled
        )
        good = trial_value <= value
        gain = value - trial_value
        z = xp.where(good[:, None], trial, z)
        value = xp.where(good, trial_value, value)
        gradient = xp.where(good[:, None], gradient_there, gradient)
        hessian = xp.where(good[:, None, None], hessian_there, hessian)
        damping = xp.where(good, xp.maximum(damping * 0.1, 1e-12), damping * 8)
        if use_newton:
            tiny = ~good | (gain <= 1e-13 * xp.abs(value) + 1e-2 * enough)
            stalled = xp.where(tiny, stalled + 1, 0)
            damping = xp.where(good, damping, xp.maximum(damping, 1e-12))
            damping = xp.where(good & (damping < 1e-9), 0.0, damping)
        elif newton:  # the exact Hessian where a reweighted step failed
            bad = xp.flatnonzero(~good)
            if len(bad):
                again = problem.derivatives(z[bad], target[bad], weights[bad], newton)
                gradient[bad], hessian[bad] = again[1], again[2]
        done = settled | (stalled >= 14)
        if done.any() or iteration == max_iterations - 1:
            out_z[index], out_value[index] = z, value
            bounded = ((z <= lower) | (z >= upper)).any(1)
            finished = xp.where(bounded, int(Status.AT_BOUND), int(Status.CONVERGED))
            finished[broken] = int(Status.MAX_ITERATIONS)
            status[index[done]] = finished[done]
            keep = ~done
            index, z, value, damping = index[keep], z[keep], value[keep], damping[keep]
            stalled, rounding = stalled[keep], rounding[keep]
            target, weights = target[keep], weights[keep]
            gradient, hessian = gradient[keep], hessian[keep]
    return Solution(out_z, out_value, status)


def _there(
    problem: Objectives, z: Array, target: Array, weights: Array, newton: bool, settled: Any
) -> Expansion:
    """Objective, gradient and Hessian at z; of settled problems the objective alone."""
    if not settled.any():
        return problem.derivatives(z, target, weights, newton)
    size, xp = z.shape[1], namespace(z)
    value, gradient = xp.empty(len(z)), xp.zeros(z.shape)
    hessian = xp.zeros((*z.shape, size))
    value[settled] = problem.value(z[settled], target[settled], weights[settled])
    if not settled.all():
        on = ~settled
        found = problem.derivatives(z[on], target[on], weights[on], newton)
        value[on], gradient[on], hessian[on] = found
    return value, gradient, hessian
