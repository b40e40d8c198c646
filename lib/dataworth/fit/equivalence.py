"""How many synthetic examples equal one real example, and where two curves cross."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dataworth.errors import UserError

from . import profile
from .laws import REACH, Array
from .model import Fit, Interval, check_level, percentile_interval

CASES = ("finite", "infinite", "extrapolated", "unidentified")


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
    `share_infinite`, `share_zero`, `share_undefined`: shares of the draws in which the synthetic
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
        share = "" if not self.share_infinite > 0 else f"; infinite in {self.share_infinite:.1%}"
        return (
            f"{self.ratio.value:.3g} synthetic per real example at loss {self.loss:.3g} "
            f"({self.ratio.level:.0%} interval {low:.3g} to {high:.3g}{share}; {self.case})"
        )


Place = tuple[str, float]


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
    place = _place(at, at_real, at_loss)
    _paired(synthetic, real)
    centre = float(_log_ratios(synthetic, real, synthetic.phi[None], real.phi[None], place)[0][0])
    if np.isnan(centre):
        return float("nan")
    traced, dof = _joint_profile(synthetic, real, _ratio_gap(synthetic, real, place), centre)
    if traced is None:
        return float("nan")
    return profile.two_sided(traced.deviance(float(np.log(ratio))), dof)


def _place(at: float | None, at_real: float | None, at_loss: float | None) -> Place:
    """The one place that was given."""
    places = {"at": at, "at_real": at_real, "at_loss": at_loss}
    given = {name: value for name, value in places.items() if value is not None}
    if len(given) != 1 or not all(np.isfinite(v) and v > 0 for v in given.values()):
        raise UserError(f"Give exactly one positive at, at_real or at_loss; got {given or 'none'}.")
    return next(iter(given.items()))


def _sizes(
    synthetic: Fit, real: Fit, phi_s: Array, phi_r: Array, place: Place
) -> tuple[Array, Array, Array]:
    """log n_synthetic, log n_real, log loss, (B,) each."""
    name, value = place
    log_value = np.full(len(phi_s), np.log(value))
    if name == "at":
        loss = _log_f_each(synthetic, phi_s, log_value)
        return log_value, _log_inverse(real, phi_r, loss), loss
    if name == "at_real":
        loss = _log_f_each(real, phi_r, log_value)
        return _log_inverse(synthetic, phi_s, loss), log_value, loss
    return (
        _log_inverse(synthetic, phi_s, log_value), _log_inverse(real, phi_r, log_value), log_value
    )  # fmt: skip


def _log_ratios(
    synthetic: Fit, real: Fit, phi_s: Array, phi_r: Array, place: Place
) -> tuple[Array, Array]:
    """log of the average and of the marginal ratio; inf, -inf and nan as in the class's text."""
    log_s, log_r, _ = _sizes(synthetic, real, phi_s, phi_r, place)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        average = log_s - log_r  # inf - inf is nan: neither curve reaches the loss
        # f'(n) = f / n * d log f / d log n, and f is the same loss on both curves
        slope_s, slope_r = _log_slope(synthetic, phi_s, log_s), _log_slope(real, phi_r, log_r)
        marginal = np.log(slope_r / slope_s) + average
    return average, np.where(np.isfinite(average), marginal, average)


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
    check_level(level)
    place = _place(at, at_real, at_loss)
    draws_s, draws_r = _paired(synthetic, real)
    one_s, one_r = synthetic.phi[None], real.phi[None]
    log_s, log_r, log_loss = (v[0] for v in _sizes(synthetic, real, one_s, one_r, place))
    centre = [float(v[0]) for v in _log_ratios(synthetic, real, one_s, one_r, place)]
    shares = np.full(3, np.nan)
    ratios = np.empty(0)
    if draws_s is not None and draws_r is not None:
        logs = _log_ratios(synthetic, real, draws_s, draws_r, place)
        ratios = np.exp(logs[0])
        shares = np.array(
            [np.isposinf(ratios).mean(), (ratios == 0).mean(), np.isnan(ratios).mean()]
        )
        intervals = [_from_draws(c, v, level) for c, v in zip(centre, logs, strict=True)]
    else:
        intervals = [_from_profile(synthetic, real, place, i, level) for i in (0, 1)]
    ratio, marginal = intervals
    n_s, n_r = float(np.exp(log_s)), float(np.exp(log_r))
    x_s, x_r = synthetic.curve.x[:, 0], real.curve.x[:, 0]
    outside = not (x_s.min() <= n_s <= x_s.max() and x_r.min() <= n_r <= x_r.max())
    anywhere = ratio.low == 0 and np.isinf(ratio.high)
    if np.isnan(ratio.value) or shares[2] > 0.05 or anywhere:
        case = "unidentified"
    elif np.isinf(ratio.value):
        case = "infinite"
    else:
        case = "extrapolated" if outside else "finite"
    return Equivalence(
        ratio,
        marginal,
        case,
        n_s,
        n_r,
        float(np.exp(log_loss)),
        outside,
        float(shares[0]),
        float(shares[1]),
        float(shares[2]),
        ratios,
    )


def _paired(first: Fit, second: Fit) -> tuple[Array | None, Array | None]:
    """Draws of both fits, or none of either; checks that they can be paired."""
    for one in (first, second):
        if one.labels:
            raise UserError(f"Choose a curve first: fit[label], label in {', '.join(one.labels)}.")
        if len(one.law.variables) != 1:
            raise UserError(f"Law {one.law.name!r} has several variables; one is needed here.")
    a, b = first.draws_phi, second.draws_phi
    if (a is None) != (b is None):
        raise UserError("Only one of the fits has draws; fit both with draws or both without.")
    if a is not None and b is not None and len(a) != len(b):
        raise UserError(
            f"The fits have {len(a)} and {len(b)} draws; paired draws need equal numbers."
        )
    return a, b


def _from_draws(log_value: float, logs: Array, level: float) -> Interval:
    low, high = percentile_interval(np.exp(logs), level)
    return Interval(float(np.exp(log_value)), float(low), float(high), level, "percentile")


def _joint_profile(
    first: Fit, second: Fit, gap: profile.Gap, centre: float
) -> tuple[profile.Profile | None, float]:
    """Profile of a scalar of two independent fits' parameters, and its degrees of freedom; none
    when one of the fits has no rows to spare.
    """
    states = [one._state() for one in (first, second)]
    problems = [s[0] for s in states]
    at = np.array([centre if np.isfinite(centre) else np.sign(centre) * 14.0])
    z = np.concatenate([s[1] for s in states])
    slope = gap.derivatives(z[None], at, False)[1][0]
    cut = len(problems[0].lower)
    parts = [slope[:cut], slope[cut:]]
    noises = [one._noise(part) for one, part in zip((first, second), parts, strict=True)]
    if min(dof for _, dof in noises) < 1:
        return None, 0.0
    # the smaller of the two degrees of freedom: safe whichever curve the uncertainty comes from
    dof = min(dof for _, dof in noises)
    joint = profile.Joint(problems, [scale for scale, _ in noises])
    target, weights = (np.concatenate([s[i] for s in states]) for i in (2, 3))
    traced = profile.Profile(joint, z, target, weights, gap, centre=centre, scale=1.0)
    return traced, float(dof)


def _joint_ends(
    first: Fit, second: Fit, gap: profile.Gap, centre: float, level: float
) -> tuple[float, float]:
    traced, dof = _joint_profile(first, second, gap, centre)
    if traced is None:
        return -np.inf, np.inf
    quantile = profile.student_quantile(level, dof)
    return traced.end(-1, quantile, -np.inf), traced.end(1, quantile, np.inf)


def _ratio_gap(synthetic: Fit, real: Fit, place: Place) -> profile.Gap:
    """log f_s(n_s) - log f_r(n_r) as a function of c = log(n_s / n_r)."""
    problems = (synthetic._problem, real._problem)
    shift_s, shift_r = -synthetic.log_x0[0], -real.log_x0[0]
    name, value = place
    log_value = float(np.log(value))
    if name == "at_real":
        constants, slopes = (log_value + shift_s, log_value + shift_r), (1.0, 0.0)
        return profile.LossGap(problems, constants, slopes)
    if name == "at":
        constants, slopes = (log_value + shift_s, log_value + shift_r), (0.0, -1.0)
        return profile.LossGap(problems, constants, slopes)
    cut = len(problems[0].lower)

    def gap(z: Array, c: Array) -> Array:
        goal = np.full(len(z), log_value)
        log_r = _log_inverse(real, problems[1].phi(z[:, cut:]), goal)
        log_r = np.clip(log_r, -REACH, REACH)
        return _log_f_each(synthetic, problems[0].phi(z[:, :cut]), c + log_r) - goal

    return profile.Implicit(gap)


def _from_profile(synthetic: Fit, real: Fit, place: Place, which: int, level: float) -> Interval:
    """Profile interval of the average ratio; delta-method interval of the marginal one."""
    one_s, one_r = synthetic.phi[None], real.phi[None]
    centre = float(_log_ratios(synthetic, real, one_s, one_r, place)[which][0])
    value = float(np.exp(centre))
    if np.isnan(centre):
        return Interval(np.nan, np.nan, np.nan, level, "profile")
    if which == 0:
        low, high = _joint_ends(synthetic, real, _ratio_gap(synthetic, real, place), centre, level)
        return Interval(value, float(np.exp(low)), float(np.exp(high)), level, "profile")
    if not np.isfinite(centre):
        return Interval(value, 0.0, np.inf, level, "delta")
    states = [one._state() for one in (synthetic, real)]
    cut = len(states[0][1])

    def psi(z: Array) -> Array:
        phi_s, phi_r = states[0][0].phi(z[:, :cut]), states[1][0].phi(z[:, cut:])
        return _log_ratios(synthetic, real, phi_s, phi_r, place)[1]

    slope = profile.scalar_derivatives(psi, np.concatenate([s[1] for s in states])[None])[0][0]
    variances, dofs = [], []
    for one, part, state in zip((synthetic, real), (slope[:cut], slope[cut:]), states, strict=True):
        scale, dof = one._noise(part)
        variances.append(scale * float(part @ profile.inverse_hessian(*state) @ part))
        dofs.append(dof)
    if min(dofs) < 1:
        return Interval(value, 0.0, np.inf, level, "delta")
    half = profile.student_quantile(level, min(dofs)) * float(np.sqrt(sum(variances)))
    return Interval(
        value, float(np.exp(centre - half)), float(np.exp(centre + half)), level, "delta"
    )


@dataclass(frozen=True)
class Crossing:
    """Where two curves cross: sizes with intervals, within the common range first.

    `x`: interval of the crossing size; nan value when the estimated curves do not cross.
    `share`: share of the draws with a crossing in the searched range (nan without draws).
    `first_wins_below`: whether the first curve has the lower loss below the crossing.
    """

    x: Interval
    share: float
    inside: bool
    first_wins_below: bool


def crossing(first: Fit, second: Fit, *, reach: float = 10.0, level: float = 0.95) -> Crossing:
    """Size at which two curves have equal loss, in log n between the data's range times `reach`.

    With draws, the interval is of the draws that cross (their share is reported beside it); the
    interval is open when fewer than `level` of the draws cross.
    """
    draws_a, draws_b = _paired(first, second)
    x = np.concatenate([first.curve.x[:, 0], second.curve.x[:, 0]])
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

    centre = float(roots(first.phi[None], second.phi[None])[0])
    share = np.nan
    if draws_a is not None and draws_b is not None:
        found = roots(draws_a, draws_b)
        share = float((~np.isnan(found)).mean())
        ends = percentile_interval(found, level)
        bounds = (float(ends[0]), float(ends[1])) if share >= level else (-np.inf, np.inf)
        method = "percentile"
    elif np.isnan(centre):
        bounds, method = (-np.inf, np.inf), "profile"
    else:
        problems = (first._problem, second._problem)
        constants = (-first.log_x0[0], -second.log_x0[0])
        at_c = profile.LossGap(problems, constants, (1.0, 1.0))
        bounds, method = _joint_ends(first, second, at_c, centre, level), "profile"
    value = float(np.exp(centre))
    before = gap(
        first.phi[None],
        second.phi[None],
        np.array([(centre if np.isfinite(centre) else inner) - 0.1]),
    )
    return Crossing(
        Interval(value, float(np.exp(bounds[0])), float(np.exp(bounds[1])), level, method),
        share,
        bool(x.min() <= value <= x.max()),
        bool(before[0] < 0),
    )


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
    from .extrapolate import _spread

    if len(real.law.variables) != 1:
        raise UserError(f"Law {real.law.name!r} has several variables; one is needed here.")
    if real.settings.objective.residual != "log":
        raise UserError("worth reads noise in log loss; fit with residual='log'.")
    log_loss = np.array([np.log(loss)])
    centre = float(np.exp(_log_inverse(real, real.phi[None], log_loss)[0]))
    sizes = [centre, np.nan, np.nan]
    if np.isfinite(centre) and centre > 0:
        spread, dof = _spread(real, np.array([[centre]]))
        half = profile.student_quantile(level, dof) * float(spread[0])
        for i, sign in ((1, 1.0), (2, -1.0)):
            sizes[i] = float(np.exp(_log_inverse(real, real.phi[None], log_loss + sign * half)[0]))
    value, low, high = (size - n_real for size in sizes)
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
