"""How many synthetic examples equal one real example, and where two curves cross."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dataworth.errors import UserError

from .laws import Array
from .model import Fit, Interval, percentile

CASES = ("finite", "infinite", "extrapolated", "unidentified")
_REACH = 600.0  # log of the farthest x, in geometric means of the data, that is searched


def inverse_log(fit: Fit, phi: Array, log_loss: Array) -> Array:
    """log n at which each curve has fallen to a loss, (B,); inf where it never does.

    phi (B,p), log_loss (B,). nan where the curve does not fall. Bisection in log n, which serves
    every monotone law.
    """
    low = np.full(len(phi), -_REACH)
    high = np.full(len(phi), _REACH)

    def log_f(u: Array) -> Array:
        return _log_f_each(fit, phi, u)

    at_low, at_high = log_f(low), log_f(high)
    for _ in range(64):
        middle = (low + high) / 2
        above = log_f(middle) > log_loss
        low = np.where(above, middle, low)
        high = np.where(above, high, middle)
    out = (low + high) / 2 + fit.log_x0[0]
    out = np.where(at_high >= log_loss, np.inf, out)
    out = np.where(at_low <= log_loss, -np.inf, out)
    falls = at_low > at_high
    return np.where(falls & np.isfinite(log_loss), out, np.nan)


def _log_f_each(fit: Fit, phi: Array, u: Array) -> Array:
    """log f of problem b at its own scaled log x, (B,)."""
    x = np.exp(u)[:, None, None]
    out = fit.law.log_value(np.nan_to_num(phi), x)[:, 0]
    return np.where(np.isnan(phi).any(1), np.nan, out)


def _log_slope(fit: Fit, phi: Array, log_n: Array) -> Array:
    """d log f / d log n at each problem's own n, (B,)."""
    u = np.clip(log_n - fit.log_x0[0], -_REACH, _REACH)
    return (_log_f_each(fit, phi, u + 1e-4) - _log_f_each(fit, phi, u - 1e-4)) / 2e-4


@dataclass(frozen=True)
class Equivalence:
    """Synthetic examples per real example at equal loss.

    `ratio` = n_synthetic / n_real (average over all examples), `marginal` = further synthetic
    examples that match one further real example there. Ends may be infinite.

    `case`: finite; infinite (the synthetic curve's floor lies above that loss); extrapolated
    (finite, but one of the two sizes lies outside its data); unidentified (the draws leave the
    ratio anywhere, or neither curve reaches the loss).
    `share_infinite`, `share_zero`, `share_undefined`: shares of the draws in which the synthetic
    curve never reaches the loss, the real curve never does, and neither does.
    """

    ratio: Interval
    marginal: Interval
    case: str
    n_synthetic: float
    n_real: float
    loss: float
    extrapolated: bool
    share_infinite: float
    share_zero: float
    share_undefined: float
    ratio_draws: Array

    @property
    def summary(self) -> str:
        """One sentence for a page."""
        low, high = self.ratio
        share = "" if not self.share_infinite else f"; infinite in {self.share_infinite:.1%}"
        return (
            f"{self.ratio.value:.3g} synthetic per real example at loss {self.loss:.3g} "
            f"({self.ratio.level:.0%} interval {low:.3g} to {high:.3g}{share}; {self.case})"
        )


def _sizes(
    synthetic: Fit,
    real: Fit,
    phi_s: Array,
    phi_r: Array,
    at: float | None,
    at_real: float | None,
    at_loss: float | None,
) -> tuple[Array, Array, Array]:
    """log n_synthetic, log n_real, log loss, (B,) each."""
    size = len(phi_s)
    if at is not None:
        log_s = np.full(size, np.log(at))
        loss = _log_f_each(synthetic, phi_s, log_s - synthetic.log_x0[0])
        return log_s, inverse_log(real, phi_r, loss), loss
    if at_real is not None:
        log_r = np.full(size, np.log(at_real))
        loss = _log_f_each(real, phi_r, log_r - real.log_x0[0])
        return inverse_log(synthetic, phi_s, loss), log_r, loss
    assert at_loss is not None
    loss = np.full(size, np.log(at_loss))
    return inverse_log(synthetic, phi_s, loss), inverse_log(real, phi_r, loss), loss


def _ratios(
    synthetic: Fit, real: Fit, phi_s: Array, phi_r: Array, log_s: Array, log_r: Array
) -> tuple[Array, Array]:
    """Average and marginal ratio per problem; inf, 0 and nan as in the class's text."""
    undefined = np.isnan(log_s) | np.isnan(log_r) | (np.isinf(log_s) & np.isinf(log_r))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        average = np.exp(log_s - log_r)
        slope_s = _log_slope(synthetic, phi_s, log_s)
        slope_r = _log_slope(real, phi_r, log_r)
        # f'(n) = f / n * d log f / d log n, and f is the same loss on both curves
        marginal = slope_r / slope_s * average
    marginal = np.where(np.isfinite(average), marginal, average)
    return np.where(undefined, np.nan, average), np.where(undefined, np.nan, marginal)


def equivalence(
    synthetic: Fit,
    real: Fit,
    at: float | None = None,
    *,
    at_real: float | None = None,
    at_loss: float | None = None,
    level: float = 0.95,
) -> Equivalence:
    """Synthetic examples per real example at equal loss, with an interval from paired draws.

    Give one of `at` (a synthetic size; its loss is sought on the real curve), `at_real` (a real
    size; its loss is sought on the synthetic curve) and `at_loss`. Draw b of one fit is paired
    with draw b of the other, so shared seeds and shared test examples cancel.

    Raises:
        UserError: not exactly one place is given, or the fits have no draws or unequal numbers.
    """
    places = {"at": at, "at_real": at_real, "at_loss": at_loss}
    given = {name: value for name, value in places.items() if value is not None}
    if len(given) != 1 or not all(np.isfinite(v) and v > 0 for v in given.values()):
        raise UserError(f"Give exactly one positive at, at_real or at_loss; got {given or 'none'}.")
    for name, one in (("synthetic", synthetic), ("real", real)):
        if len(one.law.variables) != 1:
            raise UserError(f"The {name} law is {one.law.name!r}; a law of one variable is needed.")
        if one.draws_phi is None:
            raise UserError(f"The {name} fit has no draws; fit it with bootstrap= or draws=.")
    phi_s, phi_r = synthetic.draws_phi, real.draws_phi
    assert phi_s is not None and phi_r is not None
    if len(phi_s) != len(phi_r):
        raise UserError(
            f"The fits have {len(phi_s)} and {len(phi_r)} draws; paired draws need equal numbers."
        )
    points = _sizes(synthetic, real, synthetic.phi[None], real.phi[None], at, at_real, at_loss)
    log_s, log_r, log_loss = points
    ratio, marginal = _ratios(synthetic, real, synthetic.phi[None], real.phi[None], log_s, log_r)
    draws_s, draws_r, _ = _sizes(synthetic, real, phi_s, phi_r, at, at_real, at_loss)
    ratios, marginals = _ratios(synthetic, real, phi_s, phi_r, draws_s, draws_r)
    n_s, n_r = float(np.exp(log_s[0])), float(np.exp(log_r[0]))
    x_s, x_r = synthetic.curve.x[:, 0], real.curve.x[:, 0]
    outside = not (x_s.min() <= n_s <= x_s.max() and x_r.min() <= n_r <= x_r.max())
    interval = _interval(ratio[0], ratios, level)
    undefined = float(np.isnan(ratios).mean())
    if np.isnan(ratio[0]) or undefined > 0.05 or (interval.low == 0 and np.isinf(interval.high)):
        case = "unidentified"
    elif np.isinf(ratio[0]):
        case = "infinite"
    else:
        case = "extrapolated" if outside else "finite"
    return Equivalence(
        interval,
        _interval(marginal[0], marginals, level),
        case,
        n_s,
        n_r,
        float(np.exp(log_loss[0])),
        outside,
        float(np.isposinf(ratios).mean()),
        float((ratios == 0).mean()),
        undefined,
        ratios,
    )


def _interval(value: float, draws: Array, level: float) -> Interval:
    low, high = percentile(draws, level)
    return Interval(float(value), float(low), float(high), level, "percentile")
