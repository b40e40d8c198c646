"""From scale to accuracy in two stages, with one interval: the loss by a scaling law, and the
accuracy from the loss (Bhagia et al. 2024, arXiv 2412.04403; Gadre et al. 2024, arXiv 2403.08540).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dataworth import stats
from dataworth.arrays import Array
from dataworth.errors import UserError

from .equivalence import Pair
from .gaps import Scalar
from .minimum import student_quantile
from .result import Fit
from .values import Prediction


@dataclass(frozen=True)
class Chain(Pair):
    """A fit of the loss to sizes (`first`) and one of the accuracy to the loss (`second`).

    Without draws the interval profiles both objectives together: given the loss of a run, the
    noise of its accuracy is taken to be independent of the noise of its loss. With draws, draw b of
    one stage is paired with draw b of the other: fitted to the same rows with the same `bootstrap`
    and `seed` they are resampled together.

    Raises:
        UserError: one is a fit of several curves, the second has more than one variable, or the
            draws do not pair.
    """

    def check(self, one: Fit) -> None:
        if one is self.second or one.labels:
            super().check(one)

    def _log_y(self, phi_1: Array, phi_2: Array, at: Array) -> Array:
        """log of the accuracy at one point (1,d), of parameters b of both stages, (B,)."""
        log_loss = self.first._log_f(phi_1, at)[:, 0]
        u = np.clip(log_loss - self.second.log_x0[0], -300, 300)
        y = self.second.law.log_value(np.nan_to_num(phi_2), np.exp(u)[:, None, None])[:, 0]
        return np.where(np.isnan(phi_2).any(1), np.nan, y)

    def mean(self, x: Any) -> Array:
        """Accuracy at x, (m,)."""
        at = self.first.points(x)
        return np.exp([self._log_y(*self.phi, point[None])[0] for point in at])

    def predict(self, x: Any, level: float = 0.95, kind: str = "mean") -> Prediction:
        """The accuracy at x with one interval over both stages, (m,) each.

        x: as of the first stage. kind "new-run": of one further run there, whose loss and whose
        accuracy given the loss have noise (to first order). `extrapolated` also where the loss
        lies outside the losses of the second stage.

        Raises:
            UserError: an unknown kind, or the second law is above 1 at one of the points.
        """
        stats.check_level(level)
        if kind not in ("mean", "new-run"):
            raise UserError(f"kind is {kind!r}; allowed are mean and new-run.")
        at = self.first.points(x)

        def ask() -> tuple[Array, Array, Array]:
            ends = np.array([self._ends(point[None], level) for point in at]).reshape(-1, 2)
            return self.mean(at), np.exp(ends[:, 0]), np.exp(ends[:, 1])

        mean, low, high = self.settled(ask)
        loss = self.first.mean(at)
        law, c = self.second.law, self.second.curve
        most = c.most(law.most, "rises" in self.second.flags)
        if (over := mean > most).any():
            c.refuse_above(most, law, loss[over][:1], float(mean[over][0]))
        if kind == "new-run":
            low, high = self._widened(at, mean, low, high, level)
        x1 = self.first.curve.x
        inside = ((at >= x1.min(0)) & (at <= x1.max(0))).all(1)
        inside &= (loss >= c.x.min()) & (loss <= c.x.max())
        return Prediction(mean, np.maximum(low, 0.0), np.minimum(high, most), level, ~inside)

    def _ends(self, at: Array, level: float) -> tuple[float, float]:
        """Ends of the log of the accuracy at one point (1,d)."""
        centre = float(self._log_y(*self.phi, at)[0])
        if self.draws is not None:
            low, high = stats.interval(self._log_y(*self.draws, at), level)
            return min(float(low), centre), max(float(high), centre)

        def psi(z: Array) -> Array:
            (first, second), (z_1, z_2) = self.problems, self.halves(z)
            return self._log_y(first.phi(z_1), second.phi(z_2), at)

        return self.ends(Scalar(psi), centre, level)

    def _widened(
        self, at: Array, mean: Array, low: Array, high: Array, level: float
    ) -> tuple[Array, Array]:
        """Ends with the noise of one run's loss, through the slope of the second stage, and of its
        accuracy added in quadrature, on the scale of the second stage's residuals."""
        second = self.second.settings.objective
        spread, dofs = [], []
        for one in self.fits:
            dof = max(one.n - one.minimum.free, 1)
            spread.append(float(np.sqrt((one.residuals() ** 2).sum() / dof)))
            dofs.append(dof)
        loss = self.first.mean(at)
        if self.first.settings.objective.residual != "log":
            step = spread[0] / loss
        else:
            step = np.full(len(loss), spread[0])
        up, down = (
            second.transform(self.second.mean(loss * np.exp(s * 1e-3 * step))) for s in (1, -1)
        )
        noise = np.hypot(np.abs(up - down) / 2e-3, spread[1])
        noise = noise * student_quantile(level, min(dofs))
        centre = second.transform(mean)
        below = np.hypot(centre - second.transform(low), noise)
        above = np.hypot(second.transform(high) - centre, noise)
        return second.inverse(centre - below), second.inverse(centre + above)
