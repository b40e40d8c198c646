"""`fit`: a table of runs in, a law with parameters, draws and intervals out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dataworth.errors import UserError

from . import forms
from .laws import ZERO, Array, Law, constraint_map
from .objective import HUBER_TUNING, Objective, make, robust_scale
from .resample import multiplier_matrix, wild_targets
from .solver import Problem, Status, minimise


@dataclass(frozen=True)
class Interval:
    """A value with its interval; an end may be infinite when the data do not close it."""

    value: float
    low: float
    high: float
    level: float
    method: str

    @property
    def open(self) -> bool:
        return not (np.isfinite(self.low) and np.isfinite(self.high))

    def __iter__(self) -> Any:
        return iter((self.low, self.high))


@dataclass(frozen=True)
class Prediction:
    """Predictions (m,) with interval ends (m,) and, per point, whether x lies outside the data."""

    mean: Array
    low: Array
    high: Array
    level: float
    extrapolated: Any


@dataclass(frozen=True)
class Curve:
    """The rows that one law is fitted to: x (n,d), y (n,), weights (n,)."""

    x: Array
    y: Array
    weights: Array


@dataclass(frozen=True)
class Settings:
    """What defines the estimator beside the rows; kept so that draws use the same one."""

    law: Law
    objective: Objective
    fixed: Mapping[str, float] = field(default_factory=dict)
    tied: Sequence[tuple[str, str]] = ()


def _constraints(
    law: Law, log_x0: Array, fixed: Mapping[str, float], tied: Sequence[tuple[str, str]]
) -> tuple[Array, Array, list[int]]:
    """phi = T z + t for parameters fixed or tied in natural coordinates."""
    size = len(law.params)
    unscale, shift = law.unscale(log_x0)
    rows, values = [], []
    for name, number in fixed.items():
        j = law.index(name)
        if number == 0 and law.params[j].log:
            row = np.zeros(size)  # an amplitude of zero is zero in every unit
            row[j] = 1.0
            rows.append(row)
            values.append(ZERO)
            continue
        rows.append(unscale[j])
        values.append(law.params[j].to_internal(number) - shift[j])
    for first, second in tied:
        i, j = law.index(first), law.index(second)
        rows.append(unscale[i] - unscale[j])
        values.append(shift[j] - shift[i])
    if not rows:
        return np.eye(size), np.zeros(size), list(range(size))
    amplitudes = [j for j, p in enumerate(law.params) if p.log]
    return constraint_map(np.array(rows), np.array(values), amplitudes)


def _problem(settings: Settings, x: Array, y: Array, log_x0: Array) -> tuple[Problem, list[int]]:
    law = settings.law
    matrix, offset, free = _constraints(law, log_x0, settings.fixed, settings.tied)
    scaled = x / np.exp(log_x0)
    lower, upper = law.bounds(scaled, y)
    problem = Problem(
        law, scaled, settings.objective, matrix, offset, lower[free], upper[free]
    )
    return problem, free


def _solve(
    settings: Settings,
    x: Array,
    log_x0: Array,
    y: Array,
    weights: Array,
    warm: Array | None = None,
    starts: int = 8,
) -> tuple[Array, Array, Array]:
    """Best minimum over all starts, for each of B resamples.

    y, weights (B,n); warm (p,) a known good start -> phi (B,p), objective (B,), status (B,).
    Starts are the best variable-projection seeds of each resample itself, and `warm`. A floor of
    zero is solved as its own problem wherever the free floor came out small, and it is taken when
    the free floor brings nothing.
    """
    law = settings.law
    target = settings.objective.transform(y)
    seeds = law.seeds(x / np.exp(log_x0), y, weights, 400 if warm is None else 60)[:, :starts]
    if warm is None:
        phi, value, status = _best_start(settings, x, log_x0, y, target, weights, seeds)
    else:
        again = np.broadcast_to(warm, (len(y), 1, len(warm)))
        phi, value, status = _best_start(settings, x, log_x0, y, target, weights, again)
        other = _other_basin(settings, x, log_x0, target, weights, phi, seeds[:, 0])
        if len(other):
            second = _best_start(
                settings, x, log_x0, y, target[other], weights[other], seeds[other]
            )
            better = second[1] < value[other]
            phi[other[better]], value[other[better]] = second[0][better], second[1][better]
            status[other[better]] = second[2][better]
        seeds = np.concatenate([again, seeds], 1)
    for j, p in enumerate(law.params):
        if not p.zero or p.name in settings.fixed:
            continue
        rows = np.flatnonzero(phi[:, j] < law.zero_reference(j, x / np.exp(log_x0), y) - 2.3)
        if not len(rows):
            continue
        form = replace(settings, fixed={**settings.fixed, p.name: 0.0})
        simpler = _best_start(
            form, x, log_x0, y[rows], target[rows], weights[rows], seeds[rows]
        )
        better = simpler[1] <= value[rows] * (1 + 1e-9) + 1e-300
        phi[rows[better]] = simpler[0][better]
        value[rows[better]], status[rows[better]] = simpler[1][better], simpler[2][better]
    # a resample with fewer levels than free parameters does not determine a curve
    code = np.unique(x, axis=0, return_inverse=True)[1].reshape(-1)
    order = np.argsort(code, kind="stable")
    first = np.flatnonzero(np.diff(code[order], prepend=-1))
    present = np.add.reduceat((weights > 0)[:, order].astype(int), first, axis=1) > 0
    lacking = present.sum(1) < _problem(settings, x, y, log_x0)[0].matrix.shape[1]
    phi[lacking] = np.nan
    status[lacking] = int(Status.UNIDENTIFIED)
    return phi, value, status


def _other_basin(
    settings: Settings,
    x: Array,
    log_x0: Array,
    target: Array,
    weights: Array,
    phi: Array,
    seed: Array,
) -> Array:
    """Resamples whose seed is a curve apart from the solution, by more than 3 times its residuals.

    Only there can the seed lead to another minimum; phi, seed (B,p) -> indices.
    """
    problem, free = _problem(settings, x, settings.objective.inverse(target), log_x0)
    ours, theirs = problem.predict(phi[:, free]), problem.predict(seed[:, free])
    share = weights / weights.sum(1, keepdims=True)
    apart = (share * np.minimum(np.abs(ours - theirs), 1e6)).sum(1)
    residual = (share * np.abs(ours - target)).sum(1)
    return np.flatnonzero(apart > 3 * residual)


def _best_start(
    settings: Settings,
    x: Array,
    log_x0: Array,
    y: Array,
    target: Array,
    weights: Array,
    seeds: Array,
) -> tuple[Array, Array, Array]:
    """Minimise from seeds (B,S,p) and keep each resample's best end."""
    size, each = seeds.shape[:2]
    problem, free = _problem(settings, x, y, log_x0)
    start = seeds[:, :, free].reshape(size * each, -1)
    targets, each_weights = np.repeat(target, each, axis=0), np.repeat(weights, each, axis=0)
    if settings.objective.loss == "lad":  # follow the minimum while the kink sharpens
        for wider in (1000.0, 100.0, 10.0):
            soft = replace(settings.objective, delta=wider * settings.objective.delta)
            start = minimise(replace(problem, objective=soft), start, targets, each_weights).z
    found = minimise(problem, start, targets, each_weights)
    value = found.objective.reshape(size, each)
    row = np.arange(size) * each + value.argmin(1)
    return problem.phi(found.z[row]), value.min(1), found.status[row]


def _adapt(settings: Settings, x: Array, log_x0: Array, y: Array, weights: Array) -> Settings:
    """Set a loss width that follows the residuals' robust scale, then keep it fixed.

    delta = 1.345 x scale for Huber, the scale itself for Student-t, a thousandth of it for LAD.
    """
    objective = settings.objective
    if objective.loss == "l2" or not np.isnan(objective.delta):
        return settings
    factor = {"huber": HUBER_TUNING, "student": 1.0, "lad": 1e-3}[objective.loss]
    current = replace(settings, objective=replace(objective, loss="l2", delta=np.inf))
    for _ in range(3):
        phi, _, _ = _solve(current, x, log_x0, y[None], weights[None])
        problem, free = _problem(current, x, y, log_x0)
        r = problem.predict(phi[:, free])[0] - objective.transform(y)
        scale = robust_scale(r, problem.matrix.shape[1])
        if scale < 1e-12:  # the law passes through the data: every loss has the same minimum
            return replace(settings, objective=replace(objective, loss="l2", delta=np.inf))
        kind = "student" if objective.loss == "student" else "huber"
        width = scale if kind == "student" else HUBER_TUNING * scale
        current = replace(settings, objective=replace(objective, loss=kind, delta=width))
    return replace(settings, objective=replace(objective, delta=factor * scale))


@dataclass(frozen=True)
class Fit:
    """A fitted law. `draws_phi` (B,p) holds the refits of the resamples, in internal units."""

    settings: Settings
    curve: Curve
    log_x0: Array
    phi: Array
    objective: float
    status: Status
    flags: tuple[str, ...]
    draws_phi: Array | None = None
    draws_status: Array | None = None

    @property
    def law(self) -> Law:
        return self.settings.law

    def _natural(self, phi: Array) -> Array:
        """Internal (..., p) to natural units (..., p)."""
        unscale, shift = self.law.unscale(self.log_x0)
        value = phi @ unscale.T + shift
        columns = [p.to_natural(value[..., j]) for j, p in enumerate(self.law.params)]
        zero = phi <= ZERO / 2
        logs = np.array([p.log for p in self.law.params])
        return np.where(zero & logs, 0.0, np.stack(columns, -1))

    @property
    def params(self) -> dict[str, float]:
        return dict(zip(self.law.names, self._natural(self.phi).tolist(), strict=True))

    @property
    def draws(self) -> dict[str, Array]:
        """Parameter values of every refit, (B,) each; nan where a resample identifies no curve."""
        if self.draws_phi is None:
            raise UserError("This fit has no draws; pass bootstrap=, draws= or multipliers=.")
        values = self._natural(self.draws_phi)
        return {name: values[:, j] for j, name in enumerate(self.law.names)}

    def _log_f(self, phi: Array, x: Array) -> Array:
        safe = np.nan_to_num(phi, nan=0.0)
        value = self.law.log_value(safe, x / np.exp(self.log_x0))
        return np.where(np.isnan(phi).any(1)[:, None], np.nan, value)

    def points(self, x: Any) -> Array:
        """x as (m,d): a number, a sequence, a mapping of variables or an (m,d) array."""
        names = self.law.variables
        if isinstance(x, Mapping) or hasattr(x, "columns"):
            columns = [np.atleast_1d(np.asarray(x[v], float)) for v in names]
            return np.stack(np.broadcast_arrays(*columns), -1)
        array = np.asarray(x, float)
        if len(names) == 1:
            return array.reshape(-1, 1)
        if array.shape[-1] != len(names):
            raise UserError(
                f"x has shape {array.shape}; the last axis must be ({', '.join(names)})."
            )
        return array.reshape(-1, len(names))

    def mean(self, x: Any) -> Array:
        """f(x), (m,)."""
        return np.exp(self._log_f(self.phi[None], self.points(x))[0])

    def mean_draws(self, x: Any) -> Array:
        """f(x) in every refit, (B,m)."""
        if self.draws_phi is None:
            raise UserError("This fit has no draws; pass bootstrap=, draws= or multipliers=.")
        return np.exp(self._log_f(self.draws_phi, self.points(x)))

    def interval(self, name: str, level: float = 0.95) -> Interval:
        """Interval of one parameter from the refits (percentiles)."""
        value = self.params[self.law.names[self.law.index(name)]]
        low, high = percentile(self.draws[name], level)
        return Interval(value, float(low), float(high), level, "percentile")

    def predict(self, x: Any, level: float = 0.95) -> Prediction:
        """Mean of the law at x with its interval, (m,) each."""
        points = self.points(x)
        mean = self.mean(points)
        low, high = percentile(self.mean_draws(points), level)
        inside = (points >= self.curve.x.min(0)) & (points <= self.curve.x.max(0))
        return Prediction(mean, low, high, level, ~inside.all(1))

    def residuals(self) -> Array:
        """g(f) - g(y) on the residual's scale, (n,)."""
        log_f = self._log_f(self.phi[None], self.curve.x)[0]
        objective = self.settings.objective
        return objective.of_log(log_f)[0] - objective.transform(self.curve.y)


def percentile(draws: Array, level: float) -> tuple[Array, Array]:
    """Equal-tailed ends over axis 0; infinite draws stay infinite, nan draws are left out."""
    tail = (1 - level) / 2
    values = np.sort(np.where(np.isnan(draws), np.inf, draws), axis=0)
    count = (~np.isnan(draws)).sum(0)
    low = np.clip(np.ceil(tail * count).astype(int) - 1, 0, None)
    high = np.clip(np.ceil((1 - tail) * count).astype(int) - 1, 0, None)
    take = np.stack([low, high])
    ends = np.take_along_axis(values, np.expand_dims(take, -1) if values.ndim == 1 else take, 0) \
        if values.ndim > 1 else values[take]
    empty = count == 0
    return np.where(empty, np.nan, ends[0]), np.where(empty, np.nan, ends[1])


def _column(data: Any, name: str, what: str) -> Any:
    try:
        values = data[name]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UserError(f"{what} names the column {name!r}, which the data do not have.") from error
    except Exception as error:  # polars raises its own ColumnNotFoundError
        raise UserError(f"{what} names the column {name!r}, which the data do not have.") from error
    return np.asarray(values)


def _numbers(values: Any, name: str, low: float | None) -> Array:
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise UserError(f"Column {name!r} is not numeric; numbers are needed.") from error
    bad = ~np.isfinite(array)
    if low is not None:
        bad |= ~(array > low)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        allowed = "a finite number" + ("" if low is None else f" above {low:g}")
        raise UserError(f"Column {name!r} has {array[row]} in row {row}; allowed is {allowed}.")
    return array


def fit(
    data: Any,
    *,
    law: str | Law = "power",
    x: str | Sequence[str] = "x",
    y: str = "y",
    loss: str = "l2",
    delta: float | None = None,
    residual: str = "log",
    weights: str | Any = None,
    cluster: str | None = None,
    fixed: Mapping[str, float] | None = None,
    tied: Sequence[tuple[str, str]] = (),
    draws: Any = None,
    multipliers: Any = None,
    bootstrap: int = 0,
    resample: str = "case",
    seed: int = 0,
) -> Fit:
    """Fit a law to the rows of a table.

    Args:
        data: pandas or polars frame, or a mapping of equally long arrays.
        law: name or object; `x` names its variables in order (one name, or for L(N, D) two).
        loss, delta: l2, huber (delta 1.345 x robust scale unless given), lad, student, or
            chinchilla (Huber, 1e-3). residual: log, identity or logit of y.
        weights: column or (n,) array; the objective is their weighted sum.
        fixed, tied: parameters held at a value, and pairs held equal (natural units).
        draws: (B, n) resampled y for the same rows; multipliers: (B, n) non-negative resampling
            weights. Either makes the B refits under the same objective as the estimate.
        bootstrap, resample, seed: number and kind (case, cluster, wild) of own resamples, used
            when neither draws nor multipliers are given.

    Raises:
        UserError: a column is missing, not numeric, not positive or not finite, or there are
            fewer rows or levels than the law has free parameters.
    """
    chosen = forms.get(law)
    variables = [x] if isinstance(x, str) else list(x)
    if len(variables) != len(chosen.variables):
        raise UserError(
            f"Law {chosen.name!r} has the variables {', '.join(chosen.variables)}; "
            f"x names {len(variables)} column(s): {', '.join(variables)}."
        )
    columns = [
        _numbers(_column(data, column, "x"), column, -1e-300 if v in chosen.may_be_zero else 0.0)
        for column, v in zip(variables, chosen.variables, strict=True)
    ]
    target = _numbers(_column(data, y, "y"), y, 0.0 if residual != "identity" else None)
    points = np.stack(columns, -1)
    n = len(target)
    if residual == "logit" and (target >= 1).any():
        raise UserError(f"Column {y!r} reaches 1 or more; residual='logit' allows 0 < y < 1.")
    if weights is None:
        weight = np.ones(n)
    else:
        source = _column(data, weights, "weights") if isinstance(weights, str) else weights
        weight = _numbers(source, "weights", None)
        if weight.shape != (n,) or (weight < 0).any():
            raise UserError(f"weights must be {n} non-negative numbers, one for each row.")
    settings = Settings(chosen, make(loss, residual, delta), dict(fixed or {}), tuple(tied))
    log_x0 = chosen.log_scale(points)
    free = len(_constraints(chosen, log_x0, settings.fixed, settings.tied)[2])
    levels = len(np.unique(points, axis=0))
    if levels < free:
        raise UserError(
            f"Law {chosen.name!r} has {free} free parameters; the data have {n} rows at {levels} "
            f"different {', '.join(variables)}, and at least {free} are needed."
        )
    settings = _adapt(settings, points, log_x0, target, weight)
    phi, value, status = _solve(settings, points, log_x0, target[None], weight[None])
    result = Fit(
        settings, Curve(points, target, weight), log_x0, phi[0], float(value[0]),
        Status(int(status[0])), (),
    )  # fmt: skip
    result = replace(result, flags=_flags(result, levels, free))
    y_draws, m_draws = _resamples(result, data, cluster, draws, multipliers, bootstrap, resample, seed)
    if y_draws is None or m_draws is None:
        return result
    phi_draws, _, draws_status = _solve(
        settings, points, log_x0, y_draws, m_draws * weight, warm=phi[0], starts=1
    )
    return replace(result, draws_phi=phi_draws, draws_status=draws_status)


def _flags(result: Fit, levels: int, free: int) -> tuple[str, ...]:
    flags = []
    if levels == free:
        flags.append("saturated")
    if np.ptp(result.curve.y) == 0:
        flags.append("constant_y")
    for p in result.law.params:
        if p.zero and p.name not in result.settings.fixed and result.params[p.name] == 0:
            flags.append(f"{p.name}_at_zero")
    if result.status == Status.AT_BOUND:
        flags.append("at_bound")
    if result.status == Status.MAX_ITERATIONS:
        flags.append("not_converged")
    return tuple(flags)


def _resamples(
    result: Fit,
    data: Any,
    cluster: str | None,
    draws: Any,
    multipliers: Any,
    bootstrap: int,
    resample: str,
    seed: int,
) -> tuple[Array | None, Array | None]:
    """(B,n) targets and multipliers, from outside or from the fit's own scheme."""
    y = result.curve.y
    n = len(y)
    if draws is not None or multipliers is not None:
        y_draws = None if draws is None else np.asarray(draws, float)
        m_draws = None if multipliers is None else np.asarray(multipliers, float)
        for name, array in (("draws", y_draws), ("multipliers", m_draws)):
            if array is not None and (array.ndim != 2 or array.shape[1] != n):
                raise UserError(f"{name} has shape {array.shape}; (B, {n}) is needed.")
        if y_draws is None:
            y_draws = np.broadcast_to(y, m_draws.shape)  # type: ignore[union-attr]
        if m_draws is None:
            m_draws = np.ones_like(y_draws)
        if y_draws.shape != m_draws.shape:
            raise UserError(
                f"draws {y_draws.shape} and multipliers {m_draws.shape} must have one shape."
            )
        if not np.isfinite(y_draws).all() or (y_draws <= 0).any():
            raise UserError("draws must be finite and positive, as y is.")
        if not np.isfinite(m_draws).all() or (m_draws < 0).any():
            raise UserError("multipliers must be finite and not negative.")
        return y_draws, m_draws
    if not bootstrap:
        return None, None
    codes = np.arange(n)
    if cluster is not None:
        codes = np.unique(_column(data, cluster, "cluster"), return_inverse=True)[1]
    if resample == "wild":
        y_draws = wild_targets(result, codes, bootstrap, seed)
        return y_draws, np.ones((bootstrap, n))
    if resample not in ("case", "cluster"):
        raise UserError(f"resample is {resample!r}; allowed are case, cluster, wild.")
    return np.broadcast_to(y, (bootstrap, n)), multiplier_matrix(codes, bootstrap, seed)
