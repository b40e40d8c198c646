"""Laws of an accuracy in a loss: what the loss of a model says about its score on a task."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dataworth.arrays import Array

from .backend import namespace
from .laws import BasisLaw, Param, Slopes, combinations


class Sigmoid(BasisLaw):
    """f = low + (high - low) / (1 + exp(k (L - L0))): from `high` at small losses to `low`, the
    level of chance, at large ones (Bhagia et al. 2024, arXiv 2412.04403). Its values
    lie between the two, so never above 1.
    """

    name = "sigmoid"
    variables = ("L",)
    latex = r"A(L) = low + \frac{high - low}{1 + e^{k (L - L_0)}}"
    amplitudes = 2
    most = 1.0
    params = (
        Param("low", zero=True),
        Param("high", upper=1.0, closed=True),
        Param("k", lower=1e-3, upper=1e4),
        Param("L0", lower=1e-3, upper=1e3),
    )

    def log_basis(self, eta: Array, x: Array) -> tuple[list[Array], Slopes]:
        xp = namespace(eta)
        k, middle = xp.exp(eta[:, 0, None]), xp.exp(eta[:, 1, None])
        t = k * (x[..., 0] - middle)
        up = xp.exp(t - xp.logaddexp(0, t))  # fraction of the way down to `low`
        slopes = {0: t, 1: -k * middle}
        return [t - xp.logaddexp(0, t), -xp.logaddexp(0, t)], [
            {j: (1 - up) * d for j, d in slopes.items()},
            {j: -up * d for j, d in slopes.items()},
        ]

    def grid(self, x: Array, size: int) -> Array:
        losses = x[:, 0]
        width = max(float(np.ptp(losses)), 1e-3)
        side = max(4, round(size**0.5))
        middles: Sequence[float] = np.linspace(
            max(losses.min() - width, 0.2 * losses.min()), losses.max() + width, side
        ).tolist()
        return combinations(np.log(np.geomspace(0.5, 30, side) / width), np.log(middles))

    def unscale(self, log_x0: Array) -> tuple[Array, Array]:
        return np.eye(4), np.array([0.0, 0.0, -log_x0[0], log_x0[0]])


class Exponential(BasisLaw):
    """f = low + a exp(-g L): the error 1 - f rises to 1 - `low` (Gadre et al. 2024, arXiv
    2403.08540: epsilon = 1 - low, k = a, gamma = g). At small losses it exceeds 1,
    which no accuracy does: `Fit.predict` refuses there.
    """

    name = "exponential"
    variables = ("L",)
    latex = r"A(L) = low + a e^{-g L}"
    amplitudes = 2
    most = 1.0
    params = (Param("low", zero=True), Param("a"), Param("g"))

    def log_basis(self, eta: Array, x: Array) -> tuple[list[Array], Slopes]:
        xp = namespace(eta)
        fall = -xp.exp(eta[:, 0, None]) * x[..., 0]
        return [xp.zeros_like(fall), fall], [{}, {0: fall}]

    def grid(self, x: Array, size: int) -> Array:
        # x is divided by its mean: from a straight line to a fall within a tenth of it
        return np.log(np.geomspace(0.05, 60, max(8, size // 8)))[:, None]

    def unscale(self, log_x0: Array) -> tuple[Array, Array]:
        return np.eye(3), np.array([0.0, 0.0, -log_x0[0]])
