"""Scalars of the parameters, and constraints gap(z, c) = 0 that hold them at a value.

Shapes: B problems, f free parameters z, d variables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataworth.arrays import Array

from .laws import REACH
from .solver import Problem


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

        def psi(at: Array) -> Array:
            return self.value(at, np.tile(c, len(at) // len(c)))

        gradient, hessian = scalar_derivatives(psi, z, second)
        return value, gradient, hessian

    def slope(self, z: Array, c: float) -> Array:
        """Gradient (f,) at one z (f,)."""
        gradient: Array = self.derivatives(z[None], np.array([c]), False)[1]
        return gradient[0]

    def reached(self, z: Array, c: Array) -> Array:
        """The scalar at z, near c, (B,); c itself where the gap is as good as closed."""
        h = 1e-4
        slope = (self.value(z, c + h) - self.value(z, c - h)) / (2 * h)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where(slope != 0, self.value(z, c) / slope, 0.0)
        return c - np.clip(step, -h, h)


class Explicit(Gap):
    """gap = psi(z) - c, so the scalar that a z reaches is known without a search."""

    def psi(self, z: Array) -> Array:
        """(B,f) -> (B,)."""
        raise NotImplementedError

    def value(self, z: Array, c: Array) -> Array:
        return self.psi(z) - c

    def reached(self, z: Array, c: Array) -> Array:
        return self.psi(z)


@dataclass(frozen=True)
class Affine(Explicit):
    """psi = row . z + offset, or its exponential."""

    row: Array
    offset: float
    exponential: bool = False

    def psi(self, z: Array) -> Array:
        value = z @ self.row + self.offset
        return np.exp(value) if self.exponential else value

    def derivatives(self, z: Array, c: Array, second: bool) -> tuple[Array, Array, Array]:
        psi = self.psi(z)
        outer = np.outer(self.row, self.row)
        if not self.exponential:
            return psi - c, np.broadcast_to(self.row, z.shape), np.zeros((len(z), *outer.shape))
        return psi - c, psi[:, None] * self.row, psi[:, None, None] * outer


@dataclass(frozen=True)
class Scalar(Explicit):
    """Any scalar (B,f) -> (B,); derivatives are numeric."""

    scalar: Callable[[Array], Array]

    def psi(self, z: Array) -> Array:
        return self.scalar(z)


@dataclass(frozen=True)
class Implicit(Gap):
    """A gap given as a function of (z, c)."""

    gap: Callable[[Array, Array], Array]

    def value(self, z: Array, c: Array) -> Array:
        return self.gap(z, c)


@dataclass(frozen=True)
class LogMean(Explicit):
    """psi = log f at one scaled point x (d,)."""

    problem: Problem
    x: Array

    def psi(self, z: Array) -> Array:
        return self.problem.law.log_value(self.problem.phi(z), self.x[None])[:, 0]

    def derivatives(self, z: Array, c: Array, second: bool) -> tuple[Array, Array, Array]:
        log_x = np.broadcast_to(np.log(self.x), (len(z), len(self.x)))
        value, gradient, bend = _log_f_derivatives(self.problem, z, log_x, second)
        return value - c, gradient, bend


@dataclass(frozen=True)
class LossGap(Gap):
    """log f_1(x_1) - log f_2(x_2) of two joined problems of one variable, where log x_i (scaled)
    is `constants[i] + slopes[i] * c`: the ratio c of two sizes at equal loss, or a crossing at c.
    """

    problems: tuple[Problem, Problem]
    constants: tuple[float, float]
    slopes: tuple[float, float]

    def _parts(self, z: Array, c: Array) -> Iterator[tuple[float, Problem, slice, Array]]:
        cut = len(self.problems[0].lower)
        for i, own in enumerate((slice(0, cut), slice(cut, None))):
            u = np.clip(self.constants[i] + self.slopes[i] * c, -REACH, REACH)
            yield 1.0 - 2 * i, self.problems[i], own, u

    def value(self, z: Array, c: Array) -> Array:
        total = np.zeros(len(z))
        for sign, problem, own, u in self._parts(z, c):
            x = np.exp(u)[:, None, None]
            total = total + sign * problem.law.log_value(problem.phi(z[:, own]), x)[:, 0]
        return total

    def derivatives(self, z: Array, c: Array, second: bool) -> tuple[Array, Array, Array]:
        value = np.zeros(len(z))
        gradient = np.zeros_like(z)
        hessian = np.zeros((*z.shape, z.shape[1]))
        for sign, problem, own, u in self._parts(z, c):
            v, g, h = _log_f_derivatives(problem, z[:, own], u[:, None], second)
            value += sign * v
            gradient[:, own] = sign * g
            hessian[:, own, own] = sign * h
        return value, gradient, hessian


@dataclass(frozen=True)
class Floor:
    """A parameter that may be zero: its place in z, and in natural units exp(z + shift) beside
    `unit`, far below which it has no effect."""

    at: int
    shift: float
    unit: float


@dataclass(frozen=True)
class Quantity:
    """A scalar of the parameters: its value, psi(phi) (B,p) -> (B,), psi as a gap, the way back
    from psi to the value's unit, the range of psi; closed: its top is one by nature, not by choice.
    """

    value: float
    psi: Callable[[Array], Array]
    gap: Callable[[Problem], Gap]
    back: Callable[..., Any]
    limits: tuple[float, float] = (-np.inf, np.inf)
    floor: Floor | None = None
    closed: bool = False

    @property
    def logarithmic(self) -> bool:
        """Whether psi is the log of the value."""
        return self.back is np.exp


def _log_f_derivatives(
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


def scalar_derivatives(
    psi: Callable[[Array], Array], z: Array, second: bool = False
) -> tuple[Array, Array]:
    """Gradient (B,f) and, if asked, Hessian (B,f,f) of a cheap scalar by central differences, all
    points in one call: psi of (k B, f), k blocks one after the other."""
    size = z.shape[1]
    h = 1e-4  # far above rounding (second differences lose eps / h^2), far below any curvature
    steps = h * np.eye(size)
    pairs = [(i, j) for i in range(size) for j in range(i)] if second else []
    both = np.array([steps[i] + steps[j] for i, j in pairs]).reshape(-1, size)
    moves = np.concatenate([steps, -steps, both, -both, np.zeros((1, size))])
    values = psi((moves[:, None] + z).reshape(-1, size)).reshape(len(moves), len(z))
    up, down = values[:size].T, values[size : 2 * size].T
    gradient = (up - down) / (2 * h)
    hessian = np.zeros((*z.shape, size))
    if second:
        middle = values[-1]
        together = values[2 * size : 2 * size + len(pairs)] + values[2 * size + len(pairs) : -1]
        for i in range(size):
            hessian[:, i, i] = (up[:, i] + down[:, i] - 2 * middle) / h**2
        for (i, j), sums in zip(pairs, together, strict=True):
            mixed = sums - up[:, i] - up[:, j] - down[:, i] - down[:, j] + 2 * middle
            hessian[:, i, j] = hessian[:, j, i] = mixed / (2 * h**2)
    return np.nan_to_num(gradient), np.nan_to_num(hessian, posinf=0.0, neginf=0.0)
