"""Sums of products of powers: the family that most scaling laws belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dataworth.arrays import Array

from .backend import namespace
from .laws import BasisLaw, Curvature, Param, Slopes, Sums, combinations


@dataclass(frozen=True)
class Term:
    """amplitude * prod_v v**(sign * exponent): `powers` maps a variable to an exponent's name.

    A name with a leading "+" is a rising power, otherwise the power falls (x**-k).
    """

    amplitude: str
    powers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rows:
    """What a sum of powers needs of its rows: logs of the variables (d,n) and slopes by exponents;
    of each term the places of its parameters, pairs of them, and its columns with their products,
    (n,m); products of the columns of two terms, (n,m)."""

    u: Array
    slopes: Slopes
    places: list[list[int]]
    pairs: list[list[tuple[int, int]]]
    moments: list[Array]
    crossed: dict[tuple[int, int], Array]


@dataclass(frozen=True)
class PowerSum(BasisLaw):
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
        names = list(dict.fromkeys(s.lstrip("+") for t in self.terms for s in t.powers.values()))
        exponents = [Param(n, log=False, lower=low, upper=high) for n in names]
        # per term: exponent index, variable index and sign of its powers
        powers = [
            [
                (names.index(s.lstrip("+")), self.variables.index(v), 1.0 if s[0] == "+" else -1.0)
                for v, s in t.powers.items()
            ]
            for t in self.terms
        ]
        object.__setattr__(self, "params", (*amplitudes, *exponents))
        object.__setattr__(self, "amplitudes", len(amplitudes))
        object.__setattr__(self, "_powers", powers)

    @property
    def rising(self) -> bool:
        """Whether a term rises with a variable."""
        return any(sign > 0 for powers in self._powers for _, _, sign in powers)

    params: tuple[Param, ...] = field(init=False, repr=False, compare=False, default=())
    amplitudes: int = field(init=False, repr=False, compare=False, default=0)
    _powers: Any = field(init=False, repr=False, compare=False, default=None)

    def log_basis(self, eta: Array, x: Array) -> tuple[list[Array], Slopes]:
        xp = namespace(eta)
        u = xp.moveaxis(xp.log(x), -1, 0)
        logs = []
        for powers in self._powers:
            log = xp.zeros((len(eta), x.shape[-2]))
            for e, v, sign in powers:
                log = log + (sign * eta[:, e, None]) * u[v]
            logs.append(log)
        return logs, self._slopes(u)

    def _slopes(self, u: Array) -> Slopes:
        slopes: Slopes = []
        for powers in self._powers:
            own: dict[int, Any] = {}
            for e, v, sign in powers:  # one exponent may serve two variables
                own[e] = own.get(e, 0.0) + sign * u[v]
            slopes.append(own)
        return slopes

    def _fractions(
        self, phi: Array, x: Array, rows: Rows | None = None
    ) -> tuple[Array, list[Array], Slopes]:
        """As the base's, without its maximum, a pass over all rows, wherever exp is safe."""
        xp, a = namespace(phi), self.amplitudes
        u = xp.moveaxis(xp.log(x), -1, 0) if rows is None else rows.u
        slopes = self._slopes(u) if rows is None else rows.slopes
        logs = []
        for k, powers in enumerate(self._powers):
            value = phi[:, k, None]
            for e, v, sign in powers:
                value = value + (sign * phi[:, a + e, None]) * u[v]
            logs.append(value)
        if len(logs) == 1:
            shape = (len(phi), x.shape[-2])
            return xp.broadcast_to(logs[0], shape), [xp.ones(shape)], slopes
        top: Array | float = 0.0
        if not self._moderate(phi, u):
            top = logs[0]
            for value in logs[1:]:
                top = xp.maximum(top, value)
            logs = [value - top for value in logs]
        # a floor is one number a problem, (B,1), until it meets the other terms
        fractions = [xp.exp(value) for value in logs]
        total = sum(fractions[1:], fractions[0])
        inverse = 1.0 / total
        return top + xp.log(total), [s * inverse for s in fractions], slopes

    def _moderate(self, phi: Array, u: Array) -> bool:
        """Whether every sum of terms is surely within the range of exp."""
        xp, a = namespace(phi), self.amplitudes
        reach = xp.amax(xp.abs(u).reshape(len(u), -1), 1)
        low = xp.full(len(phi), -np.inf)
        for k, powers in enumerate(self._powers):
            sizes = (xp.abs(phi[:, a + e]) * reach[v] for e, v, _ in powers)
            spread = sum(sizes, xp.zeros(len(phi)))
            if not (phi[:, k] + spread).max() < 600:
                return False
            low = xp.maximum(low, phi[:, k] - spread)
        return bool(low.min() > -600)

    def _curvature(
        self, phi: Array, x: Array, jac: Array, fractions: list[Array], slopes: Slopes
    ) -> Curvature:
        xp, a = namespace(phi), self.amplitudes

        def curvature(c: Array) -> Array:
            out = -xp.matmul(jac * c[:, None], jac.mT)
            for k, (fraction, own) in enumerate(zip(fractions, slopes, strict=True)):
                columns = [(k, xp.ones(x.shape[:-1])), *((a + e, d) for e, d in own.items())]
                pairs = [(i, j) for i in range(len(columns)) for j in range(i + 1)]
                products = xp.stack([columns[i][1] * columns[j][1] for i, j in pairs], -1)
                if products.ndim == 2:
                    moments = (c * fraction) @ products
                else:  # rows of its own for each problem
                    moments = xp.einsum("bn,bnk->bk", c * fraction, products)
                for column, (i, j) in enumerate(pairs):
                    row, col = columns[i][0], columns[j][0]
                    out[:, row, col] += moments[:, column]
                    if row != col:
                        out[:, col, row] += moments[:, column]
            return out

        return curvature

    def of_rows(self, x: Array) -> Rows | None:
        if x.ndim > 2:  # rows of its own for each problem
            return None
        xp, a = namespace(x), self.amplitudes
        u = xp.moveaxis(xp.log(x), -1, 0)
        slopes, one = self._slopes(u), xp.ones(len(x))
        terms = [[(k, one), *((a + e, d) for e, d in s.items())] for k, s in enumerate(slopes)]
        places = [[place for place, _ in own] for own in terms]
        pairs = [[(i, j) for i in range(len(own)) for j in range(i + 1)] for own in terms]
        moments, crossed = [], {}
        for k, own in enumerate(terms):
            squares = [own[i][1] * own[j][1] for i, j in pairs[k]]
            moments.append(xp.stack([*(column for _, column in own), *squares], -1))
            for other in range(k):
                products = [v * w for _, v in own for _, w in terms[other]]
                crossed[k, other] = xp.stack(products, -1)
        return Rows(u, slopes, places, pairs, moments, crossed)

    def sums(self, phi: Array, x: Array, rows: Any = None) -> tuple[Array, Sums]:
        """As the base's, without the Jacobian: every sum is one of weights times fixed columns."""
        rows = self.of_rows(x) if rows is None else rows
        if rows is None:
            return super().sums(phi, x)
        g, fractions, _ = self._fractions(phi, x, rows)
        xp, size = namespace(phi), len(self.params)

        def sums(c: Array, d: Array, second: bool) -> tuple[Array, Array]:
            gradient = xp.zeros((size, len(phi)))
            hessian = xp.zeros((size, size, len(phi)))
            d = d - c if second else d
            for k, (own, fixed) in enumerate(zip(rows.places, rows.moments, strict=True)):
                found = (c * fractions[k]) @ (fixed if second else fixed[:, : len(own)])
                for place, moment in zip(own, found.T, strict=False):
                    gradient[place] += moment
                weighted = d * fractions[k]
                bent = (weighted * fractions[k]) @ fixed[:, len(own) :]
                if second:
                    bent = bent + found[:, len(own) :]
                for (i, j), moment in zip(rows.pairs[k], bent.T, strict=True):
                    hessian[own[i], own[j]] += moment
                    if own[i] != own[j]:
                        hessian[own[j], own[i]] += moment
                for other in range(k):
                    both = [(p, q) for p in own for q in rows.places[other]]
                    block = (weighted * fractions[other]) @ rows.crossed[k, other]
                    for (p, q), moment in zip(both, block.T, strict=True):
                        hessian[p, q] += moment
                        hessian[q, p] += moment
            return gradient.T, xp.moveaxis(hessian, -1, 0)

        return g, sums

    def log_inverse(self, phi: Array, log_loss: Array) -> Array:
        floors = [k for k, powers in enumerate(self._powers) if not powers]
        falling = [(k, *powers[0]) for k, powers in enumerate(self._powers) if powers]
        if len(falling) != 1 or len(floors) > 1 or falling[0][3] > 0:
            return super().log_inverse(phi, log_loss)
        amplitude, exponent, _, _ = falling[0]
        floor = np.exp(phi[:, floors[0]]) if floors else np.zeros(len(phi))
        k = phi[:, self.amplitudes + exponent]
        excess = np.exp(log_loss) - floor
        with np.errstate(invalid="ignore", divide="ignore"):
            out = (phi[:, amplitude] - np.log(excess)) / k
        out = np.where(excess <= 0, np.inf, out)
        return np.where((k > 0) & ~np.isnan(log_loss), out, np.nan)

    def unscale(self, log_x0: Array) -> tuple[Array, Array]:
        names = self.names
        return self._affine([
            (names[k], names[self.amplitudes + e], -sign * log_x0[v])
            for k, powers in enumerate(self._powers)
            for e, v, sign in powers
        ]), np.zeros(len(names))  # fmt: skip

    def grid(self, x: Array, size: int) -> Array:
        low, high = self.exponent_range
        q = len(self.params) - self.amplitudes
        per_axis = max(4, round(size ** (1 / q)))
        # dense near zero, where language-model exponents lie
        axis = 0.02 * (min(high, 3.0) / 0.02) ** np.linspace(0, 1, per_axis)
        if low < 0:
            axis = np.concatenate([-axis[::-2], axis])
        return combinations(*[axis[(axis >= low) & (axis <= high)]] * q)
