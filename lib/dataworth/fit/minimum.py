"""A fit at its minimum: noise, covariances and first-order errors of whatever depends on it.

The deviance 2 (O(psi) - O_min) / s of a scalar psi is compared with Student's t. s is the
dispersion sum(rho'^2) / (n - p) / mean(rho'') of the objective at its minimum: the residual
variance for L2, and the tau-test scale for a robust loss (Ronchetti 1982; Huber 1973 factor).
p leaves out floors that are estimated as zero.

That is right for noise of one size. Where the rows that decide a scalar are noisier than the rest,
or less noisy, s follows what their squared residuals say (`Minimum.unevenness`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import special

from dataworth.arrays import Array
from dataworth.errors import UserError

from .gaps import Gap, Quantity
from .objective import robust_scale
from .solver import Joint, Problem

GATE, SURE = 1.0, 2.0  # standard errors above and below one at which a ratio of variances counts


@dataclass(frozen=True)
class State:
    """Where a search ended: z (f,), on target and weights (n,)."""

    problem: Problem | Joint
    z: Array
    target: Array
    weights: Array

    @cached_property
    def inverse(self) -> Array:
        """Pseudo-inverse of the Hessian, (f,f): of the exact one where it is positive."""
        z, target, weights = self.z[None], self.target[None], self.weights[None]
        for newton in (True, False):
            hessian = self.problem.derivatives(z, target, weights, newton)[2][0]
            scale = 1 / np.sqrt(np.maximum(np.abs(np.diag(hessian)), 1e-280))
            values, vectors = np.linalg.eigh(hessian * scale[:, None] * scale)
            if values.min() > 1e-10 * values.max():
                break
        # a flat direction gets no variance here: its interval is the profile's, which is open
        values = np.where(values > 1e-10 * values.max(), values, np.inf)
        return (vectors / values) @ vectors.T * scale[:, None] * scale


@dataclass(frozen=True)
class Minimum(State):
    """A fit at its minimum; codes of clusters (n,) or None."""

    problem: Problem
    cluster: Any = None

    @property
    def free(self) -> int:
        """Number of parameters that the rows determine."""
        return self.problem.free_at(self.z)

    @cached_property
    def residuals(self) -> Array:
        """(n,) on the residual's scale."""
        return self.problem.predict(self.z[None])[0] - self.target

    @property
    def covariance(self) -> Array:
        """Covariance of z (f,f) if the law and the loss are right."""
        return self.dispersion * self.inverse

    @cached_property
    def dispersion(self) -> float:
        """Scale s of the deviance; the weighted residual variance when the loss is L2."""
        weights, objective, free = self.weights, self.problem.objective, self.free
        used = weights > 0
        n = int(used.sum())
        psi, _, second = objective.psi(self.residuals)
        mean_second = float((weights * second)[used].sum() / weights[used].sum())
        if objective.loss == "huber" and n > free:
            # A zone narrower than the noise holds too few residuals to count (and the fit pulls
            # `free` of them into it): count in a wider window and scale down.
            r = np.abs(self.residuals)[used]
            window = 1.06 * robust_scale(r, free) * n**-0.2
            if objective.delta < window:
                inside = max(float((r <= window).sum()) - free, 1.0) / (n - free)
                mean_second = inside * objective.delta / window
        mean_second = max(mean_second, 1e-9)
        spread = float((weights * psi**2).sum() / max(n - free, 1))
        # Huber's factor is the start of a series in free / n: it is left out under three rows a
        # parameter (six runs cover 94 to 97 % without it; `bench/fit_coverage.py`)
        fraction = free / n if n >= 3 * free else 0.0
        huber = 1 + fraction * max(1 - mean_second, 0.0) / max(mean_second, 0.5)
        return max(spread / mean_second * huber**2, 1e-300)

    def noise(self, slope: Array) -> tuple[float, float]:
        """Dispersion that scales the deviance of a scalar with this gradient, and its degrees of
        freedom. Clusters inflate it by the scalar's clustered over its naive variance, uneven
        noise by `unevenness`.
        """
        if self.problem.objective.loss == "lad":
            raise UserError(
                "loss='lad' has a kink where a profile needs a curvature; fit with bootstrap=."
            )
        scale = self.dispersion
        dof = float((self.weights > 0).sum() - self.free)
        if self.cluster is None:
            factor, own = self.unevenness(slope)
            return scale * factor, own
        naive = max(float(slope @ self.inverse @ slope) * scale, 1e-300)
        scale *= max(float(slope @ self.sandwich(self.cluster) @ slope), 1e-300) / naive
        return scale, min(dof, float(self.cluster.max()))

    @cached_property
    def geometry(self) -> tuple[Array, Array, Array]:
        """Slopes of the rows dr/dz (n,f), an orthonormal basis of their weighted span (n,r), and
        the rows' leverages (n,)."""
        rows = self.problem.jacobian(self.z[None])[1][0].T
        inside = np.ones(rows.shape[1], bool)
        for i, _ in self.problem.floors:  # a floor at zero absorbs no noise
            inside[i] = self.z[i] > self.problem.lower[i]
        span = rows[:, inside] * np.sqrt(self.weights)[:, None]
        size = np.sqrt((span**2).sum(0))
        basis, values, _ = np.linalg.svd(span / np.where(size > 0, size, 1.0), full_matrices=False)
        basis = basis[:, values > 1e-10 * values.max(initial=0.0)]
        return rows, basis, np.minimum((basis**2).sum(1), 1 - 1e-9)

    def unevenness(self, slope: Array) -> tuple[float, float]:
        """How much larger or smaller the variance of a scalar with this gradient is than under
        noise of one size, and the degrees of freedom of that variance.

        The squared residuals are weighed by the rows' influence on the scalar (HC2: MacKinnon and
        White 1985), with the degrees of freedom of that sum (Bell and McCaffrey 2002; Imbens and
        Kolesar 2016). Where the ratio is no more than its own noise, a factor of 1 stands.
        """
        w, objective = self.weights, self.problem.objective
        used = float((w > 0).sum())
        dof = used - self.free
        if dof < 2:
            return 1.0, dof
        rows, basis, leverage = self.geometry
        score = w * objective.psi(self.residuals)[0]
        influence = (rows @ self.inverse @ slope) ** 2
        even = float((influence * w).sum()) * float((score[w > 0] ** 2 / w[w > 0]).sum()) / dof
        if not even > 0:
            return 1.0, dof
        weight = influence * w / (1 - leverage)
        # mean and variance of the weighted sum of squares of even, Gaussian noise
        mean = float((weight * (1 - leverage)).sum())
        cross = basis.T @ (basis * weight[:, None])
        variance = float((weight**2 * (1 - 2 * leverage)).sum() + (cross**2).sum())
        own = min(max(mean * mean / max(variance, 1e-300), 1.0), dof)  # ** would raise
        ratio = float((influence * score**2 / (1 - leverage)).sum()) / even
        noise = np.sqrt(max(2 / own - 2 / dof, 0.0))
        if 1 - SURE * noise < ratio < 1 + GATE * noise:
            return 1.0, dof
        # HC3 from here on: the ratio was seen, and HC2 is short where the noisy rows have leverage
        ratio = float((influence * score**2 / (1 - leverage) ** 2).sum()) / even
        wide = ratio * (student_quantile(0.95, own) / student_quantile(0.95, dof)) ** 2
        return (ratio, own) if (wide > 1) == (ratio > 1) else (1.0, dof)

    def scores(self) -> tuple[Array, Array]:
        """Row gradients w rho'(r) dr/dz (n,f), and the rows' w rho'' |J|^2 parts (n,f,f)."""
        value, jac = self.problem.jacobian(self.z[None])
        psi, reweight, _ = self.problem.objective.psi(value[0] - self.target)
        rows = jac[0].T
        return rows * (self.weights * psi)[:, None], np.einsum(
            "n,ni,nj->nij", self.weights * reweight, rows, rows
        )

    def sandwich(self, cluster: Any = None) -> Array:
        """Covariance of z, (f,f): HC3 for independent rows, CR3 (the jackknife's) for clusters."""
        bread = self.inverse
        row_scores, parts = self.scores()
        n, free = row_scores.shape
        codes = np.arange(n) if cluster is None else cluster
        groups = int(np.max(codes)) + 1
        sums: Array = np.zeros((groups, free))
        curvatures: Array = np.zeros((groups, free, free))
        np.add.at(sums, codes, row_scores)
        np.add.at(curvatures, codes, parts)
        # leaving a cluster out enlarges its score by (I - A_g H^-1)^-1; a tiny ridge keeps a
        # cluster that alone decides a parameter finite
        keep = np.eye(free) * (1 + 1e-9) - curvatures @ bread
        sums = np.asarray(np.linalg.solve(keep, sums[..., None])[..., 0], dtype=float)
        factor = 1.0 if cluster is None else (groups - 1) / groups
        return factor * bread @ (sums.T @ sums) @ bread

    def tangent(self, quantity: Quantity) -> tuple[Gap, float, Array]:
        """A quantity's gap, psi and gradient (f,) here."""
        gap = quantity.gap(self.problem)
        centre = float(quantity.psi(self.problem.phi(self.z[None]))[0])
        return gap, centre, gap.slope(self.z, centre)

    def wald_ends(self, quantity: Quantity, level: float) -> tuple[float, float]:
        """Ends of psi about the estimate, by the sandwich covariance."""
        _, centre, slope = self.tangent(quantity)
        dof = float((self.weights > 0).sum() - self.free)
        if self.cluster is not None:
            dof = min(dof, float(self.cluster.max()))
        half = np.sqrt(max(float(slope @ self.sandwich(self.cluster) @ slope), 0.0))
        half *= student_quantile(level, dof) if dof >= 1 else np.inf
        floor = quantity.floor
        at_zero = floor is not None and self.z[floor.at] <= self.problem.lower[floor.at]
        if at_zero or np.isnan(half):
            half = np.inf  # a floor of zero has no first order
        low = 0.0 if quantity.limits[0] == 0 > centre - half else centre - half
        return low, centre + half

    def widened(self, mean: Array, low: Array, high: Array, level: float) -> tuple[Array, Array]:
        """Add one run's noise to each side of an interval of the mean, in quadrature."""
        dof = max(len(self.target) - self.free, 1)
        spread = float(np.sqrt((self.residuals**2).sum() / dof))
        noise = student_quantile(level, dof) * spread
        objective = self.problem.objective
        centre = objective.transform(mean)
        down = np.hypot(centre - objective.transform(low), noise)
        up = np.hypot(objective.transform(high) - centre, noise)
        return objective.inverse(centre - down), objective.inverse(centre + up)

    def bca_ends(
        self, quantity: Quantity, draws: Array, centre: float, level: float
    ) -> tuple[float, float]:
        """Bias-corrected accelerated ends (Efron 1987) of draws (B,) of psi about its estimate;
        acceleration from influence values."""
        valid = draws[~np.isnan(draws)]
        if not len(valid) or 2 * len(valid) < len(draws):  # they identify nothing
            return -np.inf, np.inf
        slope = quantity.gap(self.problem).slope(self.z, centre)
        influence = -self.scores()[0] @ self.inverse @ slope
        if self.cluster is not None:
            influence = np.bincount(self.cluster, influence).astype(float)
        spread = float((influence**2).sum())
        acceleration = float((influence**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
        below = ((valid < centre).sum() + 0.5 * (valid == centre).sum()) / len(valid)
        shift = float(special.ndtri(np.clip(below, 1e-4, 1 - 1e-4)))
        q = shift + special.ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
        adjusted = special.ndtr(shift + q / (1 - acceleration * q))
        # not interpolated: an infinite draw stays one
        low, high = np.quantile(valid, adjusted, method="inverted_cdf")
        return float(low), float(high)


def student_quantile(level: float, dof: float) -> float:
    """Half width of a central interval of Student's t."""
    return float(special.stdtrit(max(dof, 1), (1 + level) / 2))
