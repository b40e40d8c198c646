"""Several curves under one law, with parameters shared between them or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dataworth.arrays import Array

from .backend import namespace
from .laws import Curvature, Law


class Grouped(Law):
    """One copy of `base` for each label; the last column of x is the label's number.

    Parameter `k` of curve "real" is named `k[real]`; names in `shared` are equal in all curves.
    """

    def __init__(self, base: Law, labels: Sequence[str], shared: Sequence[str] = ()) -> None:
        for name in shared:
            base.index(name)
        self.base, self.labels, self.shared = base, tuple(labels), tuple(shared)
        self.name, self.latex = base.name, base.latex
        self.cheap_curvature, self.most = base.cheap_curvature, base.most
        self.variables = (*base.variables, "curve")
        self.may_be_zero = (*base.may_be_zero, "curve")
        self.params = tuple(
            replace(p, name=f"{p.name}[{label}]") for label in self.labels for p in base.params
        )

    @property
    def ties(self) -> list[tuple[str, str]]:
        first, *others = self.labels
        return [(f"{n}[{o}]", f"{n}[{first}]") for n in self.shared for o in others]

    def split(self, x: Array) -> Iterator[tuple[slice, Any, str]]:
        """For each curve: its block of phi, its rows, its label."""
        size = len(self.base.params)
        for g, label in enumerate(self.labels):
            rows = namespace(x).flatnonzero(x[..., -1].reshape(-1, x.shape[-2])[0] == g)
            yield slice(g * size, (g + 1) * size), rows, label

    def log_value(self, phi: Array, x: Array) -> Array:
        out = namespace(phi).empty((len(phi), x.shape[-2]))
        for block, rows, _ in self.split(x):
            out[:, rows] = self.base.log_value(phi[:, block], x[..., rows, :-1])
        return out

    def derivatives(self, phi: Array, x: Array) -> tuple[Array, Array, Curvature]:
        xp = namespace(phi)
        g = xp.empty((len(phi), x.shape[-2]))
        jac = xp.zeros((len(phi), len(self.params), x.shape[-2]))
        parts = []
        for block, rows, _ in self.split(x):
            value, slope, bend = self.base.derivatives(phi[:, block], x[..., rows, :-1])
            g[:, rows] = value
            jac[:, block, rows] = slope
            parts.append((block, rows, bend))

        def curvature(c: Array) -> Array:
            out = xp.zeros((len(phi), len(self.params), len(self.params)))
            for block, rows, bend in parts:
                out[:, block, block] = bend(c[:, rows])
            return out

        return g, jac, curvature

    def unscale(self, log_x0: Array) -> tuple[Array, Array]:
        matrix, shift = self.base.unscale(log_x0[:-1])
        blocks = np.kron(np.eye(len(self.labels)), matrix).astype(float)
        return blocks, np.tile(shift, len(self.labels))

    def bounds(self, x: Array, y: Array) -> tuple[Array, Array]:
        parts = [self.base.bounds(x[rows, :-1], y) for _, rows, _ in self.split(x)]
        low, high = zip(*parts, strict=True)
        return np.concatenate(low), np.concatenate(high)

    def zero_reference(self, j: int, x: Array, y: Array) -> float:
        return self.base.zero_reference(j % len(self.base.params), x[:, :-1], y)

    def log_scale(self, x: Array) -> Array:
        return np.append(self.base.log_scale(x[:, :-1]), 0.0)
