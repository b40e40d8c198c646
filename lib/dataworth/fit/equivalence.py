"""How many synthetic examples equal one real example, and where two curves cross."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from dataworth import stats
from dataworth.arrays import Array
from dataworth.errors import UserError

from .extrapolate import spread
from .gaps import Gap, Implicit, LossGap, scalar_derivatives
from .laws import REACH
from .minimum import State, student_quantile
from .profile import Better, Profile, origin
from .result import Fit
from .solver import Joint, Problem
from .values import Interval

OPEN = (-np.inf, np.inf)
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Equivalence:
    """Synthetic examples per real example at equal loss.

    `ratio` = n_synthetic / n_real (average over all examples), `marginal` = further synthetic
    examples that match one further real example there. Ends may be infinite. Their intervals'
    `method` says how they were made: with draws both are percentiles; without, the ratio's is a
    profile and the marginal's is "delta" (first order in the log of the ratio: symmetric there, and
    less exact than a profile far from the data).

    `case`: finite; infinite (the synthetic curve's floor lies above that loss); extrapolated
    (finite, but one of the two sizes lies outside its data); unidentified (the draws leave the
    ratio anywhere, or neither curve reaches the loss).
    `share_infinite`, `share_zero`, `share_undefined`: fractions of the draws in which the synthetic
    curve never reaches the loss, the real curve never does, and neither does; nan without draws.
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
        fraction = f"; infinite in {self.share_infinite:.1%}" if self.share_infinite > 0 else ""
        return (
            f"{self.ratio.value:.3g} synthetic per real example at loss {self.loss:.3g} "
            f"({self.ratio.level:.0%} interval {low:.3g} to {high:.3g}{fraction}; {self.case})"
        )


def equivalence(
    synthetic: Fit,
    real: Fit,
    at: float | None = None,
    *,
    at_real: float | None = None,
    at_loss: float | None = None,
    level: float = 0.95,
) -> Equivalence:
    """Synthetic examples per real example at equal loss, with its interval.

    Give one of `at` (a synthetic size; its loss is sought on the real curve), `at_real` (a real
    size; its loss is sought on the synthetic curve) and `at_loss`. With draws, draw b of one fit
    is paired with draw b of the other, so shared seeds and shared test examples cancel; without,
    the interval profiles both objectives together.

    Raises:
        UserError: not exactly one place is given, a law has several variables, or only one fit
            has draws, or they have unequal numbers.
    """
    stats.check_level(level)
    pair = _exchange(synthetic, real, at, at_real, at_loss)
    return pair.settled(lambda: _equivalence(pair, level))


def _equivalence(pair: _Exchange, level: float) -> Equivalence:
    n_s, n_r, loss = (float(np.exp(v[0])) for v in pair.sizes(*pair.phi))
    centres = [float(v[0]) for v in pair.log_ratios(*pair.phi)]
    infinite = zero = undefined = np.nan
    ratios = np.empty(0)
    if pair.draws is not None:
        logs = pair.log_ratios(*pair.draws)
        with np.errstate(over="ignore"):  # no finite size is enough: infinite
            ratios = np.exp(logs[0])
            ratio, marginal = (
                _interval(np.exp(c), stats.interval(np.exp(v), level), level, "percentile")
                for c, v in zip(centres, logs, strict=True)
            )
        infinite, zero, undefined = (
            float(v.mean()) for v in (np.isposinf(ratios), ratios == 0, np.isnan(ratios))
        )
    else:
        ratio = pair.profiled_ratio(centres[0], level)
        marginal = pair.delta_marginal(centres[1], level)
    x_s, x_r = (one.curve.x[:, 0] for one in pair.fits)
    outside = not (x_s.min() <= n_s <= x_s.max() and x_r.min() <= n_r <= x_r.max())
    anywhere = ratio.low == 0 and np.isinf(ratio.high)
    # draws in which neither curve reaches the loss are in no interval: a few are let pass
    if np.isnan(ratio.value) or undefined > 0.05 or anywhere:
        case = "unidentified"
    elif np.isinf(ratio.value):
        case = "infinite"
    else:
        case = "extrapolated" if outside else "finite"
    return Equivalence(
        ratio, marginal, case, n_s, n_r, loss, outside, infinite, zero, undefined, ratios
    )


def equivalence_test(
    synthetic: Fit,
    real: Fit,
    ratio: float,
    at: float | None = None,
    *,
    at_real: float | None = None,
    at_loss: float | None = None,
) -> float:
    """Two-sided p-value of "so many synthetic examples equal one real example" at a place.

    From the joint profile of both fits; nan when a fit has no rows to spare.
    """
    pair = _exchange(synthetic, real, at, at_real, at_loss)

    def p_value() -> float:
        centre = float(pair.log_ratios(*pair.phi)[0][0])
        traced = None if np.isnan(centre) else pair.profile(pair.gap(), centre)
        return float("nan") if traced is None else traced.p_value(float(np.log(ratio)))

    return pair.settled(p_value)


@dataclass(frozen=True)
class Crossing:
    """Where two curves cross: sizes with intervals, within the common range first.

    `x`: interval of the crossing size; nan value when the estimated curves do not cross.
    `share`: fraction of the draws with a crossing in the searched range (nan without draws).
    `first_wins_below`: whether the first curve has the lower loss below the crossing.
    """

    x: Interval
    share: float
    inside: bool
    first_wins_below: bool


def crossing(first: Fit, second: Fit, *, reach: float = 10.0, level: float = 0.95) -> Crossing:
    """Size at which two curves have equal loss, in log n between the data's range times `reach`.

    With draws, the interval is of the draws that cross (their fraction is reported beside it); the
    interval is open when fewer than `level` of the draws cross.
    """
    pair = Pair(first, second)
    return pair.settled(lambda: _crossing(pair, reach, level))


def _crossing(pair: Pair, reach: float, level: float) -> Crossing:
    first, second = pair.fits
    x = np.concatenate([one.curve.x[:, 0] for one in pair.fits])
    low, high = np.log(x.min() / reach), np.log(x.max() * reach)
    inner = (np.log(x.min()) + np.log(x.max())) / 2

    def gap(phi_a: Array, phi_b: Array, u: Array) -> Array:
        return _log_f_each(first, phi_a, u) - _log_f_each(second, phi_b, u)

    def roots(phi_a: Array, phi_b: Array) -> Array:
        """Crossing nearest the middle of the data, (B,); nan where there is none."""
        grid = np.linspace(low, high, 65)
        values = np.stack([gap(phi_a, phi_b, np.full(len(phi_a), u)) for u in grid], 1)
        change = np.sign(values[:, 1:]) * np.sign(values[:, :-1]) < 0
        middle = (grid[1:] + grid[:-1]) / 2
        pick = np.where(change, np.abs(middle - inner), np.inf).argmin(1)
        a, b = grid[pick], grid[pick + 1]
        sign = np.sign(np.take_along_axis(values, pick[:, None], 1)[:, 0])
        for _ in range(50):
            m = (a + b) / 2
            same = np.sign(gap(phi_a, phi_b, m)) == sign
            a, b = np.where(same, m, a), np.where(same, b, m)
        return np.where(change.any(1), (a + b) / 2, np.nan)

    centre = float(roots(*pair.phi)[0])
    fraction, ends, method = np.nan, OPEN, "profile"
    if pair.draws is not None:
        found = roots(*pair.draws)
        fraction, method = float((~np.isnan(found)).mean()), "percentile"
        if fraction >= level:
            ends = stats.interval(found, level)
    elif not np.isnan(centre):
        shifts = (-first.log_x0[0], -second.log_x0[0])
        ends = pair.ends(LossGap(pair.problems, shifts, (1.0, 1.0)), centre, level)
    at = _from_logs(centre, ends, level, method)
    below = np.array([(centre if np.isfinite(centre) else inner) - 0.1])
    inside = bool(x.min() <= at.value <= x.max())
    return Crossing(at, fraction, inside, bool(gap(*pair.phi, below)[0] < 0))


@dataclass(frozen=True)
class Worth:
    """What an observed loss says about the real examples that some help was worth.

    `extra`: further real examples that would have given the same loss; `ratio`: `added` / extra,
    for example synthetic images per real image. `case` is unidentified when the interval of
    `extra` includes zero or is open: run noise hides the gain.
    """

    extra: Interval
    ratio: Interval
    case: str


def worth(real: Fit, n_real: float, loss: float, added: float, *, level: float = 0.95) -> Worth:
    """Real examples that `added` other examples replaced, from one run beside a real-only curve.

    A run on n_real real examples and `added` others reached `loss`; the real-only curve reaches it
    at f^-1(loss). The interval carries the run's own noise (the curve's residual scale) and the
    curve's uncertainty at that point, both to first order in log loss (method "delta").
    """
    _check_single(real)
    if real.settings.objective.residual != "log":
        raise UserError("worth reads noise in log loss; fit with residual='log'.")
    log_loss = np.array([np.log(loss)])

    def size(shift: float) -> float:
        return float(np.exp(_log_inverse(real, real.phi[None], log_loss + shift)[0]))

    centre, half = size(0.0), np.nan
    if np.isfinite(centre) and centre > 0:
        noise, dof = spread(real, np.array([[centre]]))
        half = student_quantile(level, dof) * float(noise[0])
    # a higher loss is that of fewer examples
    value, low, high = (at - n_real for at in (centre, size(half), size(-half)))
    extra = Interval(value, low, high, level, "delta")
    identified = low > 0 and np.isfinite(high)
    ratio = Interval(
        added / value if value > 0 else np.inf,
        added / high if high > 0 else 0.0,
        added / low if low > 0 else np.inf,
        level,
        "delta",
    )
    return Worth(extra, ratio, "identified" if identified else "unidentified")


@dataclass(frozen=True)
class Pair:
    """Two independent fits, with draws on both sides or on neither."""

    first: Fit
    second: Fit

    def __post_init__(self) -> None:
        for one in self.fits:
            self.check(one)
        a, b = (one.draws_phi for one in self.fits)
        if (a is None) != (b is None):
            raise UserError("Only one of the fits has draws; fit both with draws or both without.")
        if a is not None and b is not None and len(a) != len(b):
            raise UserError(
                f"The fits have {len(a)} and {len(b)} draws; paired draws need equal numbers."
            )

    def check(self, one: Fit) -> None:
        """UserError where the pair has no use for a fit."""
        _check_single(one)

    @property
    def fits(self) -> tuple[Fit, Fit]:
        return self.first, self.second

    @property
    def phi(self) -> tuple[Array, Array]:
        """Both estimates, (1,p) each."""
        return self.first.phi[None], self.second.phi[None]

    @property
    def draws(self) -> tuple[Array, Array] | None:
        a, b = self.first.draws_phi, self.second.draws_phi
        return None if a is None or b is None else (a, b)

    @property
    def problems(self) -> tuple[Problem, Problem]:
        return self.first.problem, self.second.problem

    def halves(self, z: Array) -> tuple[Array, Array]:
        """The parts (..., f1) and (..., f2) of joined parameters or of a gradient by them."""
        cut = len(self.first.problem.lower)
        return z[..., :cut], z[..., cut:]

    def settled(self, ask: Callable[[], Answer]) -> Answer:
        """ask(), and again from better minima of the fits as long as a profile meets one."""
        while True:
            try:
                return ask()
            except Better as met:
                for one, part in zip(self.fits, self.halves(met.z), strict=True):
                    one.move(part)

    def noises(self, slope: Array) -> tuple[list[float], float, float]:
        """Dispersions of both for a scalar with this gradient (f1+f2,), its variance, and the
        degrees of freedom of that sum of two (Welch 1947); under 1 where a fit has no rows to
        spare."""
        minima, parts = [one.minimum for one in self.fits], self.halves(slope)
        scales, dofs = zip(*(m.noise(p) for m, p in zip(minima, parts, strict=True)), strict=True)
        naive = [float(p @ m.inverse @ p) for m, p in zip(minima, parts, strict=True)]
        each = np.maximum(np.multiply(scales, naive), 0.0)
        variance, least = float(each.sum()), float(min(dofs))
        if least >= 1 and variance > 0:
            least = 1 / float(((each / variance) ** 2 / np.array(dofs)).sum())
        return list(scales), variance, least

    def profile(self, gap: Gap, centre: float) -> Profile | None:
        """Profile of a scalar of both fits' parameters, whose rows are independent; none when one
        of the fits has no rows to spare."""
        minima = [one.minimum for one in self.fits]
        arrays = zip(*((m.z, m.target, m.weights) for m in minima), strict=True)
        z, target, weights = (np.concatenate(parts) for parts in arrays)
        scales, _, dof = self.noises(gap.slope(z, origin(centre)))
        if dof < 1:
            return None
        joint = Joint([m.problem for m in minima], scales)
        return Profile(State(joint, z, target, weights), gap, centre, 1.0, dof)

    def ends(self, gap: Gap, centre: float, level: float) -> tuple[float, float]:
        """Ends of that profile, both open where there is none."""
        traced = self.profile(gap, centre)
        return OPEN if traced is None else traced.ends(level)


@dataclass(frozen=True)
class _Exchange(Pair):
    """A synthetic curve (first) and a real one (second), compared at one place: a synthetic size
    `at`, a real size `at_real`, or a loss `at_loss`."""

    place: tuple[str, float]

    def sizes(self, phi_s: Array, phi_r: Array) -> tuple[Array, Array, Array]:
        """log n_synthetic, log n_real, log loss, (B,) each."""
        (synthetic, real), (name, value) = self.fits, self.place
        given = np.full(len(phi_s), np.log(value))
        if name == "at":
            loss = _log_f_each(synthetic, phi_s, given)
            return given, _log_inverse(real, phi_r, loss), loss
        if name == "at_real":
            loss = _log_f_each(real, phi_r, given)
            return _log_inverse(synthetic, phi_s, loss), given, loss
        return _log_inverse(synthetic, phi_s, given), _log_inverse(real, phi_r, given), given

    def log_ratios(self, phi_s: Array, phi_r: Array) -> tuple[Array, Array]:
        """log of the average and of the marginal ratio; inf, -inf and nan as in `Equivalence`."""
        log_s, log_r, _ = self.sizes(phi_s, phi_r)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            average = log_s - log_r  # inf - inf is nan: neither curve reaches the loss
            # f'(n) = f / n * d log f / d log n, and f is the same loss on both curves
            slope_s, slope_r = (
                _log_slope(one, phi, n)
                for one, phi, n in zip(self.fits, (phi_s, phi_r), (log_s, log_r), strict=True)
            )
            marginal = np.log(slope_r / slope_s) + average
        return average, np.where(np.isfinite(average), marginal, average)

    def gap(self) -> Gap:
        """log f_s(n_s) - log f_r(n_r) as a function of c = log(n_s / n_r)."""
        (synthetic, real), (name, value) = self.fits, self.place
        log_value = float(np.log(value))
        if name != "at_loss":
            shifts = (log_value - synthetic.log_x0[0], log_value - real.log_x0[0])
            return LossGap(self.problems, shifts, (1.0, 0.0) if name == "at_real" else (0.0, -1.0))

        def gap(z: Array, c: Array) -> Array:
            goal = np.full(len(z), log_value)
            z_s, z_r = self.halves(z)
            log_r = _log_inverse(real, self.problems[1].phi(z_r), goal)
            log_r = np.clip(log_r, -REACH, REACH)
            return _log_f_each(synthetic, self.problems[0].phi(z_s), c + log_r) - goal

        return Implicit(gap)

    def profiled_ratio(self, centre: float, level: float) -> Interval:
        """The average ratio, exp(centre)."""
        if np.isnan(centre):
            return Interval(np.nan, np.nan, np.nan, level, "profile")
        return _from_logs(centre, self.ends(self.gap(), centre, level), level, "profile")

    def delta_marginal(self, centre: float, level: float) -> Interval:
        """The marginal ratio, exp(centre), to first order in its logarithm."""
        if np.isnan(centre):
            return Interval(np.nan, np.nan, np.nan, level, "profile")
        if not np.isfinite(centre):
            return _from_logs(centre, OPEN, level, "delta")
        minima = [one.minimum for one in self.fits]

        def psi(z: Array) -> Array:
            z_s, z_r = self.halves(z)
            return self.log_ratios(minima[0].problem.phi(z_s), minima[1].problem.phi(z_r))[1]

        slope = scalar_derivatives(psi, np.concatenate([m.z for m in minima])[None])[0][0]
        _, variance, dof = self.noises(slope)
        half = student_quantile(level, dof) * float(np.sqrt(variance))
        ends = (centre - half, centre + half) if dof >= 1 else OPEN
        return _from_logs(centre, ends, level, "delta")


def _exchange(
    synthetic: Fit, real: Fit, at: float | None, at_real: float | None, at_loss: float | None
) -> _Exchange:
    """Both fits at the one place that was given."""
    places = {"at": at, "at_real": at_real, "at_loss": at_loss}
    given = {name: value for name, value in places.items() if value is not None}
    if len(given) != 1 or not all(np.isfinite(v) and v > 0 for v in given.values()):
        raise UserError(f"Give exactly one positive at, at_real or at_loss; got {given or 'none'}.")
    return _Exchange(synthetic, real, next(iter(given.items())))


def _check_single(one: Fit) -> None:
    if one.labels:
        raise UserError(f"Choose a curve first: fit[label], label in {', '.join(one.labels)}.")
    if len(one.law.variables) != 1:
        raise UserError(f"Law {one.law.name!r} has several variables; one is needed here.")


def _from_logs(centre: float, ends: tuple[float, float], level: float, method: str) -> Interval:
    low, high = ends
    return _interval(np.exp(centre), (np.exp(low), np.exp(high)), level, method)


def _interval(value: float, ends: tuple[Any, Any], level: float, method: str) -> Interval:
    return Interval(float(value), float(ends[0]), float(ends[1]), level, method)


def _log_f_each(fit: Fit, phi: Array, log_n: Array) -> Array:
    """log f of problem b at its own log n, (B,)."""
    u = np.clip(log_n - fit.log_x0[0], -REACH, REACH)
    out = fit.law.log_value(np.nan_to_num(phi), np.exp(u)[:, None, None])[:, 0]
    return np.where(np.isnan(phi).any(1), np.nan, out)


def _log_inverse(fit: Fit, phi: Array, log_loss: Array) -> Array:
    """log n at which curve b has fallen to its loss, (B,); inf where it never does."""
    out = fit.law.log_inverse(np.nan_to_num(phi), log_loss) + fit.log_x0[0]
    return np.where(np.isnan(phi).any(1), np.nan, out)


def _log_slope(fit: Fit, phi: Array, log_n: Array) -> Array:
    """d log f / d log n at each problem's own n, (B,)."""
    return (_log_f_each(fit, phi, log_n + 1e-4) - _log_f_each(fit, phi, log_n - 1e-4)) / 2e-4
