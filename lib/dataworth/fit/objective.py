"""What is minimised: sum_i m_i w_i rho(g(f_i) - g(y_i)); one object for estimate and interval.

`residual` names g (identity, log or logit); `loss` names rho. Always a sum, never a mean: a mean
makes optimisers stop early and changes what a tolerance means.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dataworth.arrays import Array
from dataworth.errors import UserError

from .backend import namespace

LOSSES = ("l2", "huber", "lad", "student", "chinchilla")
RESIDUALS = ("log", "identity", "logit")
HUBER_TUNING = 1.345  # 95 % efficiency under Gaussian noise (Huber 1964)
STUDENT_DOF = 4.0


@dataclass(frozen=True)
class Objective:
    """`loss` in l2, huber, lad, student; `delta` is the width of its quadratic zone.

    For `student`, delta is the scale of a t density with 4 degrees of freedom. `asymmetry`
    multiplies the loss of rows that the law over-predicts (above 1 fits the lower envelope).
    """

    loss: str = "l2"
    residual: str = "log"
    delta: float = np.inf
    asymmetry: float = 1.0

    def transform(self, y: Array) -> Array:
        """g(y) for observations."""
        xp = namespace(y)
        if self.residual == "log":
            return xp.log(y)
        if self.residual == "logit":
            return xp.log(y) - xp.log1p(-y)
        return y

    def inverse(self, t: Array) -> Array:
        xp = namespace(t)
        if self.residual == "log":
            return xp.exp(t)
        if self.residual == "logit":
            return 1.0 / (1.0 + xp.exp(-t))
        return t

    def of_log(self, log_f: Array) -> tuple[Array, Array | float, Array | float]:
        """g(f) and its first two derivatives by log f."""
        if self.residual == "log":
            return log_f, 1.0, 0.0
        xp = namespace(log_f)
        f = xp.exp(xp.minimum(log_f, 700.0))
        if self.residual == "identity":
            return f, f, f
        # logit f is defined below 1; a prediction of 1 or more is rejected by an infinite value
        inside = f < 1
        safe = xp.where(inside, f, 0.5)
        value = xp.where(inside, xp.log(safe) - xp.log1p(-safe), np.inf)
        return value, 1 / (1 - safe), safe / (1 - safe) ** 2

    def _side(self, r: Array) -> Array:
        xp = namespace(r)
        return xp.where(r > 0, self.asymmetry * xp.ones_like(r), 1.0)

    def rho(self, r: Array) -> Array:
        d, xp = self.delta, namespace(r)
        if self.loss == "l2" or not np.isfinite(d):
            value = 0.5 * r * r
        elif self.loss == "student":
            value = (STUDENT_DOF + 1) / 2 * d * d * xp.log1p(r * r / (STUDENT_DOF * d * d))
        else:
            inner = xp.minimum(xp.abs(r), d)
            value = inner * (xp.abs(r) - 0.5 * inner)
        return value if self.asymmetry == 1.0 else value * self._side(r)

    def psi(self, r: Array) -> tuple[Array, Array, Array]:
        """rho'(r), the reweighting rho'(r)/r, and rho''(r)."""
        d, xp = self.delta, namespace(r)
        if self.loss == "l2" or not np.isfinite(d):
            one = xp.ones_like(r)
            first, weight, second = r, one, one
        elif self.loss == "student":
            q = 1 + r * r / (STUDENT_DOF * d * d)
            weight = (STUDENT_DOF + 1) / STUDENT_DOF / q
            first = weight * r
            second = weight * (2 / q - 1)
        else:
            size = xp.abs(r)
            weight = d / xp.maximum(size, d)
            first = r * weight
            second = xp.asarray(size <= d, dtype=xp.float64)
        if self.asymmetry == 1.0:
            return first, weight, second
        side = self._side(r)
        return first * side, weight * side, second * side


def make(loss: str, residual: str, delta: float | None, asymmetry: float = 1.0) -> Objective:
    """Check the names; `chinchilla` is Huber with delta = 1e-3 on log residuals (Hoffmann 2022).

    Raises:
        UserError: unknown loss or residual, or a delta that is not positive.
    """
    if loss not in LOSSES:
        raise UserError(f"loss is {loss!r}; allowed are {', '.join(LOSSES)}.")
    if residual not in RESIDUALS:
        raise UserError(f"residual is {residual!r}; allowed are {', '.join(RESIDUALS)}.")
    if delta is not None and not delta > 0:
        raise UserError(f"delta is {delta!r}; it must be a positive number.")
    if asymmetry <= 0:
        raise UserError(f"asymmetry is {asymmetry!r}; it must be a positive number.")
    if loss == "chinchilla":
        return Objective("huber", residual, 1e-3 if delta is None else delta, asymmetry)
    if loss == "l2":
        return Objective("l2", residual, np.inf, asymmetry)
    return Objective(loss, residual, np.nan if delta is None else delta, asymmetry)


def robust_scale(r: Array, parameters: int) -> float:
    """Residual scale from the median absolute residual, corrected for the fitted parameters."""
    n = len(r)
    spread = np.sqrt(n / max(n - parameters, 1))
    return float(1.4826 * np.median(np.abs(r)) * spread)
