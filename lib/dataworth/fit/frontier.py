"""Compute-optimal sizes: argmin L(N, D) under a budget k N^a D^b = C, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dataworth.arrays import Array
from dataworth.errors import UserError

from . import profile
from .result import Fit
from .values import Interval


@dataclass(frozen=True)
class Optimum:
    """Best split of one budget. `interior`: the loss has its minimum inside the searched range;
    `extrapolated`: N or D lies outside the fitted data. What the data do not identify has the value
    nan and an open interval.
    """

    budget: float
    n: Interval
    d: Interval
    loss: Interval
    interior: bool
    extrapolated: bool

    @property
    def ratio(self) -> float:
        """D*/N*, for language models the tokens per parameter."""
        return self.d.value / self.n.value


@dataclass(frozen=True)
class Cost:
    """Compute C = factor * N^n_power * D^d_power; 6 N D for dense transformers.

    served: tokens that the model will serve once it is trained, at 2 N each, are paid out of the
    same budget: C = 6 N D + 2 N served (Sardana et al. 2024, arXiv 2401.00448).

    Raises:
        UserError: one of the first three is not a positive number, or served is negative.
    """

    factor: float = 6.0
    n_power: float = 1.0
    d_power: float = 1.0
    served: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            zero = name == "served" and value == 0
            if not (np.isfinite(value) and (value > 0 or zero)):
                raise UserError(f"{name} of the cost is {value!r}; a positive number is needed.")

    def log_d(self, log_c: float, log_n: Array) -> Array:
        """log of the examples that are left to train N on."""
        left = np.maximum(1 - self.serving(log_c, log_n), 1e-200)
        return (log_c + np.log(left) - np.log(self.factor) - self.n_power * log_n) / self.d_power

    def serving(self, log_c: float, log_n: Array) -> Array:
        """Fraction of the budget that serving takes."""
        return 2 * self.served * np.exp(np.minimum(log_n - log_c, 300.0))


def _log_loss(fit: Fit, phi: Array, log_n: Array, log_d: Array) -> Array:
    """log f of parameters b at their own log N, log D, (B,)."""
    u = np.clip(np.stack([log_n, log_d], -1) - fit.log_x0, -300, 300)
    return fit.law.log_value(np.nan_to_num(phi), np.exp(u)[:, None])[:, 0]


def _log_n_closed(fit: Fit, phi: Array, log_c: float, cost: Cost) -> Array:
    """log N* of the separable law, (B,) (Hoffmann et al. 2022, equation 4, for any cost)."""
    unscale, shift = fit.law.unscale(fit.log_x0)
    natural = phi @ unscale.T + shift
    log_a, log_b, alpha, beta = (natural[:, fit.law.index(n)] for n in ("A", "B", "alpha", "beta"))
    a, b = cost.n_power, cost.d_power
    with np.errstate(invalid="ignore", divide="ignore"):
        log_g = np.log(alpha * b) - np.log(beta * a) + log_a - log_b
        below = b * alpha + a * beta
        return b / below * log_g + beta / below * (log_c - np.log(cost.factor))


def _log_n_served(fit: Fit, phi: Array, log_c: float, cost: Cost) -> Array:
    """log N* of the separable law where serving takes its part, (B,): bisection of the slope along
    the budget, which has one root, below the optimum for training alone."""
    unscale, shift = fit.law.unscale(fit.log_x0)
    natural = phi @ unscale.T + shift
    log_a, log_b, alpha, beta = (natural[:, fit.law.index(n)] for n in ("A", "B", "alpha", "beta"))
    high = np.minimum(_log_n_closed(fit, phi, log_c, cost), log_c - np.log(2 * cost.served))
    low = high - 80.0
    for _ in range(64):
        middle = (low + high) / 2
        part = np.minimum(cost.serving(log_c, middle), 1 - 1e-15)
        with np.errstate(invalid="ignore", divide="ignore"):
            gained = np.log(alpha) + log_a - alpha * middle
            lost = np.log(beta) + log_b - beta * cost.log_d(log_c, middle)
            lost = lost + np.log((cost.n_power + part / (1 - part)) / cost.d_power)
        larger = gained > lost
        low, high = np.where(larger, middle, low), np.where(larger, high, middle)
    return (low + high) / 2


def _log_n_search(fit: Fit, phi: Array, log_c: float, cost: Cost, reach: float) -> Array:
    """log N* by grid and golden section on log N, (B,); ends of the range where it is monotone."""
    n, d = np.log(fit.curve.x).T
    at = [
        (log_c - np.log(cost.factor) - cost.d_power * v) / cost.n_power for v in (d.min(), d.max())
    ]
    grid = np.linspace(min(n.min(), *at) - reach, max(n.max(), *at) + reach, 129)

    def loss(log_n: Array) -> Array:
        return _log_loss(fit, phi, log_n, cost.log_d(log_c, log_n))

    values = np.stack([loss(np.full(len(phi), u)) for u in grid], 1)
    best = values.argmin(1)
    low, high = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, len(grid) - 1)]
    golden = (np.sqrt(5) - 1) / 2
    for _ in range(60):
        left, right = high - golden * (high - low), low + golden * (high - low)
        keep_left = loss(left) < loss(right)
        low, high = np.where(keep_left, low, left), np.where(keep_left, right, high)
    return (low + high) / 2


def log_optimum(fit: Fit, phi: Array, log_c: float, cost: Cost) -> Array:
    """log N* for parameters phi (B,p): closed form for the separable law, else a search."""
    if fit.law.name == "chinchilla":
        out = (_log_n_served if cost.served else _log_n_closed)(fit, phi, log_c, cost)
    else:
        out = _log_n_search(fit, phi, log_c, cost, reach=4.0)
    return np.where(np.isnan(phi).any(1), np.nan, out)


def frontier(
    fit: Fit,
    budgets: float | Sequence[float],
    *,
    cost: Cost | None = None,
    level: float = 0.95,
    method: str | None = None,
) -> list[Optimum]:
    """Compute-optimal N, D and loss for each budget C = factor N^a D^b (default 6 N D), which may
    have to pay for the tokens that the model serves too (`Cost.served`).

    Intervals come from the fit's draws when it has any, else from the profile; the fit's law must
    have the variables (N, D).

    Raises:
        UserError: the law has other variables, or a budget is not positive.
    """
    cost = cost or Cost()
    if fit.labels or len(fit.law.variables) != 2:
        raise UserError(
            f"Law {fit.law.name!r} has the variables {', '.join(fit.law.variables)}; "
            "a frontier needs a law of two variables, such as chinchilla."
        )
    out = []
    for budget in np.atleast_1d(np.asarray(budgets, float)):
        if not (np.isfinite(budget) and budget > 0):
            raise UserError(f"budget is {budget:g}; a positive number is needed.")
        out.append(_optimum(fit, float(budget), cost, level, method))
    return out


def _optimum(fit: Fit, budget: float, cost: Cost, level: float, method: str | None) -> Optimum:
    log_c = float(np.log(budget))

    def log_n(phi: Array) -> Array:
        return log_optimum(fit, phi, log_c, cost)

    def log_d(phi: Array) -> Array:
        return cost.log_d(log_c, log_n(phi))

    def log_loss(phi: Array) -> Array:
        return _log_loss(fit, phi, n := log_n(phi), cost.log_d(log_c, n))

    parts = [fit.scalar(psi) for psi in (log_n, log_d, log_loss)]
    n, d, loss = (fit.of(part, level, method) for part in parts)
    x = fit.curve.x
    inside = x[:, 0].min() <= n.value <= x[:, 0].max() and x[:, 1].min() <= d.value <= x[:, 1].max()
    # at an interior optimum a step of N either way, along the budget, costs loss
    steps = np.log(n.value) + np.array([-0.05, 0.0, 0.05])
    near = fit.mean(np.exp(np.stack([steps, cost.log_d(log_c, steps)], -1)))
    interior = bool(near[1] < near[0] and near[1] < near[2])
    # what the data leave free is no value
    n, d, loss = (
        one if profile.identified(fit.minimum, part) else replace(one, value=np.nan)
        for one, part in zip((n, d, loss), parts, strict=True)
    )
    interior &= not np.isnan([n.value, d.value]).any()
    return Optimum(budget, n, d, loss, interior, not inside)


def allocation_exponent(fit: Fit, level: float = 0.95, method: str | None = None) -> Interval:
    """a in N* ~ C^a of the separable law with C = 6 N D: beta / (alpha + beta)."""
    i, j = fit.law.index("alpha"), fit.law.index("beta")

    def log_a(phi: Array) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log(phi[:, j] / (phi[:, i] + phi[:, j]))

    return fit.of(fit.scalar(log_a), level, method)
