"""Scaling laws as small declarative objects.

A law gives g = log f(x; phi) and its derivatives for a whole batch of parameter vectors at once.
Internal coordinates `phi` are the logarithm of positive parameters (amplitudes, floors, scales) and
the plain value of exponents, with x divided by its geometric mean: that brings the condition number
of a Chinchilla-type problem from about 1e13 down to about 1e3. Every change between internal and
natural coordinates is affine, so fixing, tying and sharing parameters are linear constraints.

`log_value`, `derivatives` and `seeds` compute on numpy arrays or torch tensors alike (`backend`).

Shapes: B problems, n rows, p parameters, d variables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataworth.arrays import Array
from dataworth.errors import UserError

from .backend import namespace

Curvature = Callable[[Array], Array]
Sums = Callable[[Array, Array, bool], tuple[Array, Array]]
Slopes = list[dict[int, Array]]
REACH = 600.0  # log of the farthest scaled x that an inverse searches
ZERO = -600.0  # log of a parameter that is exactly zero; exp(-600) vanishes beside any loss


@dataclass(frozen=True)
class Param:
    """One parameter: `log` scale means positive and handled as its logarithm.

    `lower`, `upper`: sensible range in natural units; a fit that ends there says so.
    `zero`: the value 0 is a model of its own (no floor) and is compared explicitly.
    `closed`: `upper` is the parameter's natural top, such as 1 for an accuracy.
    """

    name: str
    log: bool = True
    lower: float = 0.0
    upper: float = np.inf
    zero: bool = False
    closed: bool = False

    def to_internal(self, value: float) -> float:
        if not self.log:
            return value
        return float(np.log(value)) if value > 0 else ZERO

    def to_natural(self, value: Array) -> Array:
        if not self.log:
            return value
        with np.errstate(over="ignore"):  # a resample's value beyond floats is infinite
            return np.where(value <= ZERO / 2, 0.0, np.exp(value))

    def bounds(self) -> tuple[float, float]:
        """Range in internal coordinates."""
        if not self.log:
            return self.lower, self.upper
        return (
            float(np.log(self.lower)) if self.lower > 0 else -np.inf,
            float(np.log(self.upper)) if np.isfinite(self.upper) else np.inf,
        )


def _solve_small(gram: Array, rhs: Array) -> Array:
    """Solve many K x K positive systems elementwise by Cramer's rule, K <= 3; (..., K)."""
    size, xp = rhs.shape[-1], namespace(rhs)
    if size == 1:
        return rhs / gram[..., 0]
    if size > 3:
        ridge = 1e-13 * xp.amax(xp.einsum("...kk->...k", gram), -1)[..., None, None]
        return xp.linalg.solve(gram + ridge * xp.eye(size), rhs[..., None])[..., 0]
    a, b, d = gram[..., 0, 0], gram[..., 0, 1], gram[..., 1, 1]
    p, q = rhs[..., 0], rhs[..., 1]
    if size == 2:
        return xp.stack([p * d - q * b, a * q - b * p], -1) / (a * d - b * b)[..., None]
    c, e, f = gram[..., 0, 2], gram[..., 1, 2], gram[..., 2, 2]
    r = rhs[..., 2]
    aa, bb, cc = d * f - e * e, c * e - b * f, b * e - c * d
    dd, ee, ff = a * f - c * c, b * c - a * e, a * d - b * b
    top = xp.stack(
        [aa * p + bb * q + cc * r, bb * p + dd * q + ee * r, cc * p + ee * q + ff * r], -1
    )
    return top / (a * aa + b * bb + c * cc)[..., None]


def nonnegative_lstsq(gram: Array, rhs: Array) -> Array:
    """Smallest |Phi c - y| with c >= 0, from normal equations, by trying every active set.

    gram: (..., K, K), rhs: (..., K) -> (..., K). Exact for the few amplitudes of a law (K <= 4).
    """
    size, xp = rhs.shape[-1], namespace(rhs)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        best = _solve_small(gram, rhs)
        # a solution without a negative part is the best of all; others try their active sets
        inside = (best >= 0).all(-1) & xp.isfinite(best).all(-1)
        gram, rhs = gram[~inside], rhs[~inside]
        part, part_gain = xp.zeros_like(rhs), xp.zeros(rhs.shape[:-1])
        for code in range(1, 2**size - 1):
            active = [k for k in range(size) if code >> k & 1]
            solution = _solve_small(gram[:, active, :][..., active], rhs[:, active])
            gain = (solution * rhs[:, active]).sum(-1)  # decrease of the sum of squares
            better = (solution >= 0).all(-1) & (gain > part_gain) & xp.isfinite(gain)
            part_gain = xp.where(better, gain, part_gain)
            full = xp.zeros_like(rhs)
            full[:, active] = solution
            part = xp.where(better[:, None], full, part)
    best[~inside] = part
    return best


class Law:
    """Base of all laws; subclasses give `log_value` and, where they can, seeds and curvature."""

    name: str
    variables: tuple[str, ...]
    params: tuple[Param, ...]
    latex: str
    units: tuple[str, ...] = ()  # one label a variable; the same label means the same unit
    may_be_zero: tuple[str, ...] = ()  # variables that allow x = 0
    most: float = np.inf  # what y cannot exceed
    cheap_curvature: bool = False  # analytic; a numeric one costs 2 p Jacobians

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.params)

    def index(self, name: str) -> int:
        if name not in self.names:
            raise UserError(
                f"Law {self.name!r} has no parameter {name!r}; it has {', '.join(self.names)}."
            )
        return self.names.index(name)

    def log_value(self, phi: Array, x: Array) -> Array:
        """log f, (B,n). phi (B,p); x scaled variables, (n,d), or (B,n,d) with rows of their own."""
        raise NotImplementedError

    def derivatives(self, phi: Array, x: Array) -> tuple[Array, Array, Curvature]:
        """log f (B,n), its Jacobian (B,p,n), and a function of c (B,n) that gives
        sum_i c_i d2 log f_i / dphi dphi', (B,p,p).
        """
        raise NotImplementedError

    def of_rows(self, x: Array) -> Any:
        """What `sums` needs of the rows x (n,d) alone, to be made once; None for nothing."""
        return None

    def sums(self, phi: Array, x: Array, rows: Any = None) -> tuple[Array, Sums]:
        """log f (B,n), and a function of c and d (B,n) that gives sum_i c_i dlog f_i / dphi (B,p)
        and sum_i d_i dlog f_i / dphi dlog f_i / dphi' (B,p,p), with c's curvature if asked.
        rows: what `of_rows` made of x, if it did.
        """
        log_f, jac, curvature = self.derivatives(phi, x)

        def sums(c: Array, d: Array, second: bool) -> tuple[Array, Array]:
            xp = namespace(phi)
            gradient = xp.matmul(jac, c[..., None])[..., 0]
            hessian = xp.matmul(jac * d[:, None], jac.mT)
            return gradient, hessian + curvature(c) if second else hessian

        return log_f, sums

    def _numeric_curvature(self, phi: Array, x: Array) -> Curvature:
        """Curvature by central differences of the analytic Jacobian, all in one batch."""

        def curvature(c: Array) -> Array:
            (count, size), xp = phi.shape, namespace(phi)
            steps = 1e-5 * xp.eye(size)
            at = xp.concatenate([phi + steps[:, None], phi - steps[:, None]]).reshape(-1, size)
            rows = x if x.ndim == 2 else xp.concatenate([x] * (2 * size))
            slopes = self.derivatives(at, rows)[1].reshape(2, size, count, size, -1)
            out = xp.einsum("jbin,bn->bij", slopes[0] - slopes[1], c) / 2e-5
            return (out + out.mT) / 2

        return curvature

    def unscale(self, log_x0: Array) -> tuple[Array, Array]:
        """(U, u) with phi_natural = U phi + u, for x divided by exp(log_x0)."""
        raise NotImplementedError

    def _affine(self, entries: Sequence[tuple[str, str, float]]) -> Array:
        """Identity plus entries (row parameter, column parameter, coefficient)."""
        matrix = np.eye(len(self.params))
        for row, column, value in entries:
            matrix[self.index(row), self.index(column)] += value
        return matrix

    def log_inverse(self, phi: Array, log_loss: Array) -> Array:
        """log x (scaled) at which each curve has fallen to a loss, (B,), for one variable.

        inf where the curve stays above it, -inf where it starts below, nan where it does not fall.
        Bisection, which serves every monotone law.
        """

        def log_f(u: Array) -> Array:
            return self.log_value(phi, np.exp(u)[:, None, None])[:, 0]

        low, high = np.full(len(phi), -REACH), np.full(len(phi), REACH)
        at_low, at_high = log_f(low), log_f(high)
        for _ in range(64):
            middle = (low + high) / 2
            above = log_f(middle) > log_loss
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        out = np.where(at_high >= log_loss, np.inf, (low + high) / 2)
        out = np.where(at_low <= log_loss, -np.inf, out)
        return np.where((at_low > at_high) & ~np.isnan(log_loss), out, np.nan)

    def seeds(self, x: Array, y: Array, weights: Array, size: int) -> Array:
        """Starting points, (B,S,p). x (n,d) numpy; y (B,n) and weights (B,n) on relative residuals
        are numpy or tensors, and so is the answer.
        """
        raise NotImplementedError

    def bounds(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Box of phi for data x (n,d) scaled, y: far below `zero_reference` is as good as zero."""
        low, high = (
            np.array(side) for side in zip(*(p.bounds() for p in self.params), strict=True)
        )
        for j, p in enumerate(self.params):
            if p.zero:
                low[j] = self.zero_reference(j, x, y) - 16.0
        return low, high

    def zero_reference(self, j: int, x: Array, y: Array) -> float:
        """Internal value far below which parameter j, which may be zero, has no effect."""
        return float(np.log(float(y.min())))

    def log_scale(self, x: Array) -> Array:
        """log of what each variable is divided by, (d,): its geometric mean over positive rows.

        Variables that share a unit are divided by one number, so their ratios survive.
        """
        units = self.units or self.variables
        out = np.zeros(x.shape[1])
        for unit in set(units):
            members = [v for v, u in enumerate(units) if u == unit]
            values = x[:, members]
            out[members] = np.log(values[values > 0]).mean()
        return out


class BasisLaw(Law):
    """f = sum_k amplitude_k basis_k(x; eta): amplitudes first in phi, then the shape eta.

    Subclasses give `log_basis` and its derivatives by eta; seeds come by variable projection.
    """

    amplitudes: int

    def log_basis(self, eta: Array, x: Array) -> tuple[list[Array], Slopes]:
        """log basis_k, (B,n) each, and for each k its non-zero derivatives by eta_j, (B,n)."""
        raise NotImplementedError

    def grid(self, x: Array, size: int) -> Array:
        """Values of eta worth trying, (Q,q)."""
        raise NotImplementedError

    def _fractions(self, phi: Array, x: Array) -> tuple[Array, list[Array], Slopes]:
        logs, slopes = self.log_basis(phi[:, self.amplitudes :], x)
        xp = namespace(phi)
        values = xp.stack([phi[:, k, None] + log for k, log in enumerate(logs)])
        top = xp.amax(values, 0)
        fractions = xp.exp(values - top)
        total = fractions.sum(0)
        return top + xp.log(total), list(fractions / total), slopes

    def log_value(self, phi: Array, x: Array) -> Array:
        return self._fractions(phi, x)[0]

    def derivatives(self, phi: Array, x: Array) -> tuple[Array, Array, Curvature]:
        g, fractions, slopes = self._fractions(phi, x)
        jac = namespace(phi).zeros((len(phi), len(self.params), x.shape[-2]))
        for k, (fraction, slope) in enumerate(zip(fractions, slopes, strict=True)):
            jac[:, k] = fraction
            for j, d in slope.items():
                jac[:, self.amplitudes + j] += fraction * d
        return g, jac, self._curvature(phi, x, jac, fractions, slopes)

    def _curvature(
        self, phi: Array, x: Array, jac: Array, fractions: list[Array], slopes: Slopes
    ) -> Curvature:
        return self._numeric_curvature(phi, x)

    def seeds(self, x: Array, y: Array, weights: Array, size: int) -> Array:
        eta = self.grid(x, size)
        logs, _ = self.log_basis(eta, x)
        basis = np.exp(np.stack(logs, 1))
        amplitudes, error = project(basis, y, weights)
        xp = namespace(y)
        floor = xp.log(xp.amin(y, 1) * 1e-4)[:, None, None]
        with np.errstate(divide="ignore"):
            logs_c = xp.maximum(xp.log(amplitudes), floor)
        shape = xp.broadcast_to(xp.asarray(eta), (len(y), *eta.shape))
        return best_seeds(xp.concatenate([logs_c, shape], -1), error)


def combinations(*axes: Sequence[float] | Array) -> Array:
    """All combinations, (Q, number of axes)."""
    mesh = np.meshgrid(*[np.asarray(a, float) for a in axes], indexing="ij")
    return np.stack(mesh, -1).reshape(-1, len(axes))


def project(basis: Array, y: Array, weights: Array) -> tuple[Array, Array]:
    """Variable projection: best amplitudes c >= 0 of sum_k c_k basis_k for each grid point.

    basis (Q,K,n) numpy, y (B,n), weights (B,n) on relative residuals -> c (B,Q,K), error (B,Q).
    """
    (q, k, n), xp = basis.shape, namespace(y)
    w = weights / y**2
    size = np.sqrt((basis**2).mean(-1, keepdims=True))
    scale, scaled = xp.asarray(size), xp.asarray(basis / size)
    rows, columns = np.tril_indices(k)
    products = (scaled[:, rows] * scaled[:, columns]).reshape(-1, n)
    place = np.zeros((k, k), int)
    place[rows, columns] = place[columns, rows] = np.arange(len(rows))
    gram = (w @ products.T).reshape(len(y), q, -1)[..., place]
    rhs = ((w * y) @ scaled.reshape(-1, n).T).reshape(len(y), q, k)
    c = nonnegative_lstsq(gram, rhs)
    fitted = xp.einsum("bqk,bqk->bq", c, rhs)
    error = weights.sum(1)[:, None] - fitted  # sum w y^2 minus the explained part
    return c / scale[..., 0], error


def best_seeds(phi: Array, error: Array) -> Array:
    """Grid points ordered from the best, phi (B,Q,p), error (B,Q)."""
    xp = namespace(phi)
    order = xp.argsort(error, 1)
    return phi[xp.arange(len(phi))[:, None], order]
