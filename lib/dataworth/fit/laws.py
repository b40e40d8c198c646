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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import UserError

from .backend import namespace

Array = NDArray[np.float64]
Curvature = Callable[[Array], Array]
REACH = 600.0  # log of the farthest scaled x that an inverse searches
ZERO = -600.0  # log of a parameter that is exactly zero; exp(-600) vanishes beside any loss


@dataclass(frozen=True)
class Param:
    """One parameter: `log` scale means positive and handled as its logarithm.

    `lower`, `upper`: sensible range in natural units; a fit that ends there says so.
    `zero`: the value 0 is a model of its own (no floor) and is compared explicitly.
    """

    name: str
    log: bool = True
    lower: float = 0.0
    upper: float = np.inf
    zero: bool = False

    def to_internal(self, value: float) -> float:
        if not self.log:
            return value
        return float(np.log(value)) if value > 0 else ZERO

    def to_natural(self, value: Array) -> Array:
        return np.where(value <= ZERO / 2, 0.0, np.exp(value)) if self.log else value

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
    best = xp.zeros_like(rhs)
    best_gain = xp.zeros(rhs.shape[:-1])
    for code in range(1, 2**size):
        active = [k for k in range(size) if code >> k & 1]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            solution = _solve_small(gram[..., active, :][..., :, active], rhs[..., active])
            gain = (solution * rhs[..., active]).sum(-1)  # decrease of the sum of squares
            better = (solution >= 0).all(-1) & (gain > best_gain) & xp.isfinite(gain)
        best_gain = xp.where(better, gain, best_gain)
        full = xp.zeros_like(rhs)
        full[..., active] = solution
        best = xp.where(better[..., None], full, best)
    return best


class Law:
    """Base of all laws; subclasses give `log_value` and, where they can, seeds and curvature."""

    name: str
    variables: tuple[str, ...]
    params: tuple[Param, ...]
    latex: str
    units: tuple[str, ...] = ()  # one label a variable; the same label means the same unit
    may_be_zero: tuple[str, ...] = ()  # variables that allow x = 0
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

    def _numeric_curvature(self, phi: Array, x: Array) -> Curvature:
        """Curvature by central differences of the analytic Jacobian."""

        def curvature(c: Array) -> Array:
            size, xp = phi.shape[1], namespace(phi)
            out = xp.empty((len(phi), size, size))
            for j in range(size):
                step = xp.zeros(size)
                step[j] = 1e-5
                change = self.derivatives(phi + step, x)[1] - self.derivatives(phi - step, x)[1]
                out[:, :, j] = xp.matmul(change, c[..., None])[..., 0] / 2e-5
            return (out + out.mT) / 2

        return curvature

    def unscale(self, log_x0: Array) -> tuple[Array, Array]:
        """(U, u) with phi_natural = U phi + u, for x divided by exp(log_x0)."""
        raise NotImplementedError

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


@dataclass(frozen=True)
class Term:
    """amplitude * prod_v v**(sign * exponent): `powers` maps a variable to an exponent's name.

    A name with a leading "+" is a rising power, otherwise the power falls (x**-k).
    """

    amplitude: str
    powers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PowerSum(Law):
    """f = sum over terms of amplitude * prod of powers; log f is a log-sum-exp of affine forms.

    Amplitudes enter linearly, so a grid over the exponents alone with a closed-form non-negative
    least squares (variable projection) seeds the search. The Hessian is analytic.
    """

    name: str
    terms: tuple[Term, ...]
    latex: str
    variables: tuple[str, ...] = ("x",)
    floor: str | None = None
    exponent_range: tuple[float, float] = (0.0, 5.0)
    cheap_curvature = True

    def __post_init__(self) -> None:
        amplitudes = [Param(t.amplitude, zero=t.amplitude == self.floor) for t in self.terms]
        low, high = self.exponent_range
        names = dict.fromkeys(s.lstrip("+") for t in self.terms for s in t.powers.values())
        exponents = [Param(n, log=False, lower=low, upper=high) for n in names]
        object.__setattr__(self, "params", (*amplitudes, *exponents))
        index = {p.name: i for i, p in enumerate(self.params)}
        # per term: amplitude index, and (exponent index, variable index, sign) of its powers
        layout = [
            (
                index[t.amplitude],
                [
                    (index[s.lstrip("+")], self.variables.index(v), 1.0 if s[0] == "+" else -1.0)
                    for v, s in t.powers.items()
                ],
            )
            for t in self.terms
        ]
        object.__setattr__(self, "_layout", layout)

    _layout: Any = field(init=False, repr=False, compare=False, default=None)
    params: tuple[Param, ...] = field(init=False, repr=False, compare=False, default=())

    def _shares(self, phi: Array, x: Array) -> tuple[Array, list[Array]]:
        """log f (B,n) and the share of each term in f, one (B,n) per term."""
        xp = namespace(phi)
        u = xp.moveaxis(xp.log(x), -1, 0)
        logs = []
        for amplitude, powers in self._layout:
            value = phi[:, amplitude, None]
            for j, v, sign in powers:
                value = value + (sign * phi[:, j, None]) * u[v]
            logs.append(value)
        if len(logs) == 1:
            return xp.broadcast_to(logs[0], (len(phi), x.shape[-2])), [
                xp.ones((len(phi), x.shape[-2]))
            ]
        top: Array | float = 0.0
        if not self._moderate(phi, u):
            top = logs[0]
            for value in logs[1:]:
                top = xp.maximum(top, value)
            logs = [value - top for value in logs]
        # a floor is one number a problem, (B,1), until it meets the other terms
        shares = [xp.exp(value) for value in logs]
        total = sum(shares[1:], shares[0])
        inverse = 1.0 / total
        return top + xp.log(total), [s * inverse for s in shares]

    def _moderate(self, phi: Array, u: Array) -> bool:
        """Whether every sum of terms is surely within the range of exp."""
        xp = namespace(phi)
        reach = xp.amax(xp.abs(u).reshape(len(u), -1), 1)
        low = xp.full(len(phi), -np.inf)
        for amplitude, powers in self._layout:
            spread = sum((xp.abs(phi[:, j]) * reach[v] for j, v, _ in powers), xp.zeros(len(phi)))
            if not (phi[:, amplitude] + spread).max() < 600:
                return False
            low = xp.maximum(low, phi[:, amplitude] - spread)
        return bool(low.min() > -600)

    def log_value(self, phi: Array, x: Array) -> Array:
        return self._shares(phi, x)[0]

    def derivatives(self, phi: Array, x: Array) -> tuple[Array, Array, Curvature]:
        g, shares = self._shares(phi, x)
        xp = namespace(phi)
        u = xp.moveaxis(xp.log(x), -1, 0)
        jac = xp.zeros((len(phi), len(self.params), x.shape[-2]))
        for share, (amplitude, powers) in zip(shares, self._layout, strict=True):
            jac[:, amplitude] += share
            for j, v, sign in powers:
                jac[:, j] += share * (sign * u[v])

        def curvature(c: Array) -> Array:
            out = -xp.matmul(jac * c[:, None], jac.mT)
            for share, (amplitude, powers) in zip(shares, self._layout, strict=True):
                columns = [(amplitude, xp.ones(x.shape[:-1]))]
                columns += [(j, sign * u[v]) for j, v, sign in powers]
                pairs = [(i, j) for i in range(len(columns)) for j in range(i + 1)]
                products = xp.stack([columns[i][1] * columns[j][1] for i, j in pairs], -1)
                if products.ndim == 2:
                    moments = (c * share) @ products
                else:  # rows of its own for each problem
                    moments = xp.einsum("bn,bnk->bk", c * share, products)
                for column, (i, j) in enumerate(pairs):
                    row, col = columns[i][0], columns[j][0]
                    out[:, row, col] += moments[:, column]
                    if row != col:
                        out[:, col, row] += moments[:, column]
            return out

        return g, jac, curvature

    def log_inverse(self, phi: Array, log_loss: Array) -> Array:
        floors = [a for a, powers in self._layout if not powers]
        falling = [(a, powers[0]) for a, powers in self._layout if powers]
        if len(falling) != 1 or len(floors) > 1 or falling[0][1][2] > 0:
            return super().log_inverse(phi, log_loss)
        amplitude, (exponent, _, _) = falling[0]
        floor = np.exp(phi[:, floors[0]]) if floors else np.zeros(len(phi))
        k = phi[:, exponent]
        excess = np.exp(log_loss) - floor
        with np.errstate(invalid="ignore", divide="ignore"):
            out = (phi[:, amplitude] - np.log(excess)) / k
        out = np.where(excess <= 0, np.inf, out)
        return np.where((k > 0) & ~np.isnan(log_loss), out, np.nan)

    def unscale(self, log_x0: Array) -> tuple[Array, Array]:
        size = len(self.params)
        matrix = np.eye(size)
        for amplitude, powers in self._layout:
            for j, v, sign in powers:
                matrix[amplitude, j] -= sign * log_x0[v]
        return matrix, np.zeros(size)

    def seeds(self, x: Array, y: Array, weights: Array, size: int) -> Array:
        k = len(self.terms)
        q = len(self.params) - k
        low, high = self.exponent_range
        top = min(high, 3.0)
        per_axis = max(4, round(size ** (1 / max(q, 1)))) if q else 1
        # dense near zero, where language-model exponents lie
        axis = 0.02 * (top / 0.02) ** np.linspace(0, 1, per_axis)
        if low < 0:
            axis = np.concatenate([-axis[::-2], axis])
        axis = axis[(axis >= low) & (axis <= high)]
        eta = np.stack(np.meshgrid(*[axis] * q, indexing="ij"), -1).reshape(-1, q)
        phi = np.concatenate([np.zeros((len(eta), k)), eta], 1)
        u = np.log(x).T
        basis = np.empty((len(eta), k, x.shape[0]))
        for t, (_, powers) in enumerate(self._layout):
            exponent = np.zeros((len(eta), x.shape[0]))
            for j, v, sign in powers:
                exponent += sign * phi[:, j, None] * u[v]
            basis[:, t] = np.exp(exponent)
        amplitudes, error = project(basis, y, weights)
        amplitude_index = [a for a, _ in self._layout]
        xp = namespace(y)
        out = xp.copy(xp.broadcast_to(xp.asarray(phi), (len(y), *phi.shape)))
        floor = xp.log(xp.amin(y, 1) * 1e-4)[:, None, None]
        with np.errstate(divide="ignore"):
            out[:, :, amplitude_index] = xp.maximum(xp.log(amplitudes), floor)
        return best_seeds(out, error)


def project(basis: Array, y: Array, weights: Array) -> tuple[Array, Array]:
    """Variable projection: best amplitudes c >= 0 of sum_k c_k basis_k for each grid point.

    basis (Q,K,n) numpy, y (B,n), weights (B,n) on relative residuals -> c (B,Q,K), error (B,Q).
    """
    (q, k, n), xp = basis.shape, namespace(y)
    w = weights / y**2
    size = np.sqrt((basis**2).mean(-1, keepdims=True))
    scale, scaled = xp.asarray(size), xp.asarray(basis / size)
    products = (scaled[:, :, None] * scaled[:, None]).reshape(-1, n)
    gram = (w @ products.T).reshape(len(y), q, k, k)
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


def constraint_map(
    rows: Array, values: Array, eliminate_first: Sequence[int]
) -> tuple[Array, Array, list[int]]:
    """Solve rows @ phi = values: phi = T z + t, where z are the parameters left free.

    Gauss-Jordan elimination; parameters in `eliminate_first` (amplitudes) become dependent before
    exponents do, so that box constraints on exponents stay box constraints on z.

    Returns T (p,f), t (p,), and the index of the parameter that each z is.
    """
    size = rows.shape[1]
    system = np.concatenate([rows, values[:, None]], 1).astype(float)
    order = [*eliminate_first, *(j for j in range(size) if j not in set(eliminate_first))]
    pivots: dict[int, int] = {}  # eliminated parameter -> row of the reduced system
    for i in range(len(system)):
        usable = [j for j in order if abs(system[i, j]) > 1e-12 and j not in pivots]
        if not usable:
            if abs(system[i, -1]) > 1e-9:
                raise UserError("The fixed and tied parameters contradict each other.")
            continue
        pivots[usable[0]] = i
        system[i] /= system[i, usable[0]]
        for other in range(len(system)):
            if other != i:
                system[other] -= system[other, usable[0]] * system[i]
    free = [j for j in range(size) if j not in pivots]
    matrix = np.zeros((size, len(free)))
    offset = np.zeros(size)
    matrix[free, range(len(free))] = 1.0
    for j, i in pivots.items():
        matrix[j] = -system[i, free]
        offset[j] = system[i, -1]
    return matrix, offset, free
