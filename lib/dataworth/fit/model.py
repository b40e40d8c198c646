"""`fit`: a table of runs in, a law with parameters, draws and intervals out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from dataworth.errors import UserError

from . import forms, profile
from .backend import on_device, to_numpy
from .estimate import Settings, adapt, constraints, problem_of, solve
from .grouped import Grouped
from .laws import ZERO, Array, Law
from .objective import Objective, make
from .resample import multiplier_matrix, wild_targets
from .solver import Problem, Status
from .table import column, duplicated, labels_of, numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .extrapolate import Score

METHODS = ("percentile", "basic", "bca", "profile", "wald")


@dataclass(frozen=True)
class Interval:
    """A value with its interval; an end is infinite when the data do not close it.

    method: percentile, basic or bca (draws), profile, wald (sandwich covariance), delta (first
    order, covariance of the model), or none (there is no interval: both ends are open).
    """

    value: float
    low: float
    high: float
    level: float
    method: str

    @property
    def open(self) -> bool:
        return not (np.isfinite(self.low) and np.isfinite(self.high))

    def __iter__(self) -> Iterator[float]:
        return iter((self.low, self.high))

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


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
    """The rows that a law is fitted to: x (n,d), y (n,), weights (n,), cluster codes (n,)."""

    x: Array
    y: Array
    weights: Array
    cluster: Any = None


@dataclass(frozen=True)
class _Quantity:
    """A scalar of the parameters: its value, psi(phi), psi as a gap, and the way back to units."""

    value: float
    scalar: Callable[[Array], Array]
    gap: Callable[[Problem], profile.Gap]
    back: Callable[..., Any]
    limits: tuple[float, float]
    zero: int | None = None  # index of the parameter, when it is one that may be zero


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Fit:
    """A fitted law.

    objective: the minimised sum. status: how the search ended. flags: what to know before trusting
    the numbers: saturated (as many parameters as levels), few_rows (under three rows a parameter:
    the noise is known from a few residuals, and a misfit of the law does not show), no_interval
    (LAD without draws: every interval is open), constant_y, duplicated_rows, E_at_zero, at_bound,
    not_converged, lack_of_fit (F test against replicates, L2 only), unidentified (flat directions),
    unidentified_draws and unconverged_draws (more than 1 % of the refits). draws_phi (B,p): refits
    of the resamples, in internal coordinates; draws_status (B,) their `Status`.
    """

    settings: Settings
    curve: Curve
    log_x0: Array
    phi: Array
    objective: float
    status: Status
    flags: tuple[str, ...]
    draws_phi: Array | None = None
    draws_status: Any = None
    part_of: str | None = None  # label, when this is one curve of a fit with shared parameters

    # ---- what was fitted

    @property
    def law(self) -> Law:
        return self.settings.law

    @property
    def n(self) -> int:
        return len(self.curve.y)

    @property
    def free(self) -> int:
        """Number of free parameters."""
        return len(self._problem.lower)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the curves; empty for a single curve."""
        return self.law.labels if isinstance(self.law, Grouped) else ()

    def __getitem__(self, label: str) -> Fit:
        """One curve of a fit with `group`, its draws paired with those of the other curves."""
        law = self.law
        if not isinstance(law, Grouped) or label not in law.labels:
            known = ", ".join(self.labels) or "none (the fit has no group)"
            raise UserError(f"The fit has no curve {label!r}; its curves are: {known}.")
        block, rows, _ = next(part for part in law.split(self.curve.x) if part[2] == label)
        fixed = {
            name: self.settings.fixed[f"{name}[{label}]"]
            for name in law.base.names
            if f"{name}[{label}]" in self.settings.fixed
        }
        c = self.curve
        cluster = None if c.cluster is None else np.unique(c.cluster[rows], return_inverse=True)[1]
        part = replace(
            self,
            settings=Settings(law.base, self.settings.objective, fixed),
            curve=Curve(c.x[rows, :-1], c.y[rows], c.weights[rows], cluster),
            log_x0=self.log_x0[:-1],
            phi=self.phi[block],
            draws_phi=None if self.draws_phi is None else self.draws_phi[:, block],
            part_of=label if law.shared else None,
        )
        r = part.residuals()
        loss = float((part.curve.weights * self.settings.objective.rho(r)).sum())
        own = tuple(f.split("[")[0] for f in self.flags if f.endswith(f"[{label}]"))
        return replace(part, objective=loss, flags=own)

    def _natural(self, phi: Array) -> Array:
        """Internal (..., p) to natural units (..., p)."""
        unscale, shift = self.law.unscale(self.log_x0)
        value = phi @ unscale.T + shift
        columns = [p.to_natural(value[..., j]) for j, p in enumerate(self.law.params)]
        zero = (phi <= ZERO / 2) & np.array([p.log for p in self.law.params])
        return np.where(zero, 0.0, np.stack(columns, -1))

    @property
    def params(self) -> dict[str, float]:
        """Estimates in natural units."""
        return dict(zip(self.law.names, self._natural(self.phi).tolist(), strict=True))

    @property
    def draws(self) -> dict[str, Array]:
        """Parameter values of every refit, (B,) each; nan where a resample identifies no curve."""
        values = self._natural(self._draws())
        return {name: values[:, j] for j, name in enumerate(self.law.names)}

    def _draws(self) -> Array:
        if self.draws_phi is None:
            raise UserError(
                "This fit has no draws; pass bootstrap=, draws= or multipliers= to fit."
            )
        return self.draws_phi

    @property
    def _problem(self) -> Problem:
        return problem_of(self.settings, self.curve.x, self.curve.y, self.log_x0)[0]

    def _state(self) -> tuple[Problem, Array, Array, Array]:
        """The problem, the free parameters z (f,), the target (n,) and the weights (n,)."""
        if self.part_of is not None:
            raise UserError(
                f"Curve {self.part_of!r} shares parameters; ask the joint fit, or fit with draws."
            )
        problem, free = problem_of(self.settings, self.curve.x, self.curve.y, self.log_x0)
        z = np.clip(self.phi[free], problem.lower, problem.upper)
        return problem, z, self.settings.objective.transform(self.curve.y), self.curve.weights

    def residuals(self) -> Array:
        """g(f) - g(y) on the residual's scale, (n,)."""
        log_f = self._log_f(self.phi[None], self.curve.x)[0]
        objective = self.settings.objective
        return objective.of_log(log_f)[0] - objective.transform(self.curve.y)

    # ---- values of the law

    def _log_f(self, phi: Array, x: Array) -> Array:
        safe = np.nan_to_num(phi, nan=0.0)
        value = self.law.log_value(safe, x / np.exp(self.log_x0))
        return np.where(np.isnan(phi).any(axis=1, keepdims=True), np.nan, value)

    def points(self, x: Any) -> Array:
        """x as (m,d): a number, a sequence, a mapping of variables, a frame or an (m,d) array."""
        if isinstance(self.law, Grouped):
            raise UserError(f"Choose a curve first: fit[label], label in {', '.join(self.labels)}.")
        names = self.law.variables
        if isinstance(x, Mapping) or hasattr(x, "columns"):
            given = [np.atleast_1d(column(x, v, "x")) for v in names]
            array = np.stack(np.broadcast_arrays(*given), -1)
        else:
            array = np.asarray(x)
            if len(names) == 1:
                array = array.reshape(-1, 1)
            if array.shape[-1:] != (len(names),):
                raise UserError(
                    f"x has shape {array.shape}; the last axis must be ({', '.join(names)})."
                )
            array = array.reshape(-1, len(names))
        columns = [
            numbers(array[:, j], v, 0.0, strict=v not in self.law.may_be_zero)
            for j, v in enumerate(names)
        ]
        return np.stack(columns, -1)

    def mean(self, x: Any) -> Array:
        """f(x), (m,)."""
        return np.exp(self._log_f(self.phi[None], self.points(x))[0])

    def mean_draws(self, x: Any) -> Array:
        """f(x) in every refit, (B,m)."""
        return np.exp(self._log_f(self._draws(), self.points(x)))

    # ---- intervals

    def interval(self, name: str, level: float = 0.95, method: str | None = None) -> Interval:
        """Interval of one parameter.

        method: percentile, basic or bca from the draws; profile (of the objective that was
        minimised, open ends reported as infinite); wald (sandwich). Default: percentile when the
        fit has draws, else profile. LAD has no profile: without draws both ends are open, the
        method is "none" and the fit carries the flag no_interval.
        """
        return self._interval_of(self._parameter(name), level, method)

    def interval_of(
        self,
        scalar: Callable[[Mapping[str, Array]], Array],
        level: float = 0.95,
        method: str | None = None,
    ) -> Interval:
        """Interval of any scalar of the parameters, by the same methods.

        scalar: a smooth function of {name: values (B,)} in natural units, to (B,), such as
        `lambda p: p["alpha"] / p["beta"]`.
        """

        def psi(phi: Array) -> Array:
            natural = self._natural(phi)
            return scalar({name: natural[:, j] for j, name in enumerate(self.law.names)})

        quantity = _Quantity(
            float(psi(self.phi[None])[0]),
            psi,
            lambda problem: profile.Scalar(lambda z: psi(problem.phi(z))),
            _same,
            (-np.inf, np.inf),
        )
        return self._interval_of(quantity, level, method)

    def interval_mean(self, x: Any, level: float = 0.95, method: str | None = None) -> Interval:
        """Interval of f at one point x, by the same methods."""
        return self._interval_of(self._mean(x), level, method)

    def test(self, name: str, value: float) -> float:
        """Two-sided p-value of "this parameter has this value", from the profile."""
        quantity = self._parameter(name)
        p = self.law.params[self.law.index(name)]
        return self._p_value(quantity, value if p.zero else p.to_internal(value))

    def test_mean(self, x: Any, value: float) -> float:
        """Two-sided p-value of "f at the point x has this value", from the profile."""
        return self._p_value(self._mean(x), float(np.log(value)))

    def _parameter(self, name: str) -> _Quantity:
        j = self.law.index(name)
        p = self.law.params[j]
        unscale, shift = self.law.unscale(self.log_x0)

        def scalar(phi: Array) -> Array:
            value = phi @ unscale[j] + shift[j]
            return np.where(phi[:, j] <= ZERO / 2, 0.0, np.exp(value)) if p.zero else value

        back: Callable[..., Any] = np.exp if p.log and not p.zero else _same
        limits = (0.0, np.inf) if p.zero else p.bounds()

        def gap(problem: Problem) -> profile.Gap:
            row = problem.matrix.T @ unscale[j]
            return profile.Affine(row, float(problem.offset @ unscale[j] + shift[j]), p.zero)

        return _Quantity(self.params[name], scalar, gap, back, limits, j if p.zero else None)

    def _mean(self, x: Any) -> _Quantity:
        points = self.points(x)
        if len(points) != 1:
            raise UserError(f"One point is needed; x has {len(points)}. Use predict for several.")
        scaled = points / np.exp(self.log_x0)
        return _Quantity(
            float(self.mean(points)[0]),
            lambda phi: self.law.log_value(phi, scaled)[:, 0],
            lambda problem: profile.LogMean(problem, scaled[0]),
            np.exp,
            (-np.inf, np.inf),
        )

    def _interval_of(self, quantity: _Quantity, level: float, method: str | None) -> Interval:
        check_level(level)
        if method is None and self.draws_phi is None and self.settings.objective.loss == "lad":
            low, high = (float(quantity.back(end)) for end in (-np.inf, np.inf))
            return Interval(quantity.value, low, high, level, "none")
        method = method or ("percentile" if self.draws_phi is not None else "profile")
        if method not in METHODS:
            raise UserError(f"method is {method!r}; allowed are {', '.join(METHODS)}.")
        if method in ("profile", "wald"):
            ends = self._likelihood_ends(quantity, level, method)
        else:
            safe = np.nan_to_num(self._draws())
            draws = np.where(np.isnan(self._draws()).any(1), np.nan, quantity.scalar(safe))
            centre = float(quantity.scalar(self.phi[None])[0])
            if method == "bca":
                ends = self._bca(quantity, draws, centre, level)
            else:
                low, high = (float(end) for end in percentile_interval(draws, level))
                basic = method == "basic"
                ends = (2 * centre - high, 2 * centre - low) if basic else (low, high)
        low, high = (float(quantity.back(end)) for end in ends)
        return Interval(quantity.value, low, high, level, method)

    def _noise(self, slope: Array) -> tuple[float, float]:
        """Dispersion that scales the deviance of a scalar with this gradient, and its degrees of
        freedom. Clusters inflate it by the scalar's clustered over its naive variance.
        """
        if self.settings.objective.loss == "lad":
            raise UserError(
                "loss='lad' has a kink where a profile needs a curvature; fit with bootstrap=."
            )
        problem, z, target, weights = self._state()
        scale = profile.dispersion(problem, z, target, weights)
        dof = float((weights > 0).sum() - problem.free_at(z))
        codes = self.curve.cluster
        if codes is not None:
            inverse = profile.inverse_hessian(problem, z, target, weights)
            robust = profile.sandwich(problem, z, target, weights, codes)
            naive = max(float(slope @ inverse @ slope) * scale, 1e-300)
            scale *= max(float(slope @ robust @ slope), 1e-300) / naive
            dof = min(dof, float(codes.max()))
        return scale, dof

    def _profile(self, quantity: _Quantity) -> tuple[profile.Profile | None, float]:
        """The profile of a quantity and its degrees of freedom; none when no rows are to spare."""
        problem, z, target, weights = self._state()
        gap = quantity.gap(problem)
        centre = float(quantity.scalar(problem.phi(z[None]))[0])
        slope = gap.derivatives(z[None], np.array([centre]), False)[1][0]
        scale, dof = self._noise(slope)
        if dof < 1:
            return None, dof
        directions, error, bounded = None, None, None
        if quantity.zero is not None:
            j = quantity.zero
            _, free = problem_of(self.settings, self.curve.x, self.curve.y, self.log_x0)
            shift = self.law.unscale(self.log_x0)[1][j]
            unit = float(np.exp(self.law.zero_reference(j, problem.x, self.curve.y) + shift))
            if j in free:
                at, bounded = free.index(j), dof
                if np.exp(z[at] + shift) < 0.01 * unit:
                    error = 0.05 * unit

                def directions(start: Array, c: Array) -> Array:
                    moved = start.copy()
                    moved[:, at] = np.log(np.maximum(c, 1e-12 * unit)) - shift
                    return np.clip(moved, problem.lower, problem.upper)

        return profile.Profile(
            problem, z, target, weights, gap,
            centre=centre, scale=scale, directions=directions, error=error, bounded_dof=bounded,
        ), dof  # fmt: skip

    def _likelihood_ends(
        self, quantity: _Quantity, level: float, method: str
    ) -> tuple[float, float]:
        """Ends on the scale of psi; an end is infinite where the data do not close it."""
        problem, z, target, weights = self._state()
        if method == "wald":
            gap = quantity.gap(problem)
            centre = float(quantity.scalar(problem.phi(z[None]))[0])
            slope = gap.derivatives(z[None], np.array([centre]), False)[1][0]
            dof = self._noise(slope)[1]
            robust = profile.sandwich(problem, z, target, weights, self.curve.cluster)
            half = float(np.sqrt(max(slope @ robust @ slope, 0.0)))
            half *= profile.student_quantile(level, dof) if dof >= 1 else np.inf
            return centre - half, centre + half
        traced, dof = self._profile(quantity)
        low, high = quantity.limits
        if traced is not None:
            quantile = profile.student_quantile(level, dof)
            low, high = traced.end(-1, quantile, low), traced.end(1, quantile, high)
        # the edge of the law's range is no end that the data gave, except a natural zero
        if low <= quantity.limits[0] and quantity.limits[0] != 0:
            low = -np.inf
        return low, (np.inf if high >= quantity.limits[1] else high)

    def _p_value(self, quantity: _Quantity, value: float) -> float:
        traced, dof = self._profile(quantity)
        if traced is None:
            return float("nan")
        return profile.two_sided(traced.deviance(value), dof)

    def _bca(
        self, quantity: _Quantity, draws: Array, centre: float, level: float
    ) -> tuple[float, float]:
        """Bias-corrected accelerated ends (Efron 1987); acceleration from influence values."""
        problem, z, target, weights = self._state()
        slope = quantity.gap(problem).derivatives(z[None], np.array([centre]), False)[1][0]
        rows, _ = profile.scores(problem, z, target, weights)
        influence = -rows @ profile.inverse_hessian(problem, z, target, weights) @ slope
        if self.curve.cluster is not None:
            influence = np.bincount(self.curve.cluster, influence)
        spread = float((influence**2).sum())
        acceleration = float((influence**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
        valid = draws[~np.isnan(draws)]
        share = ((valid < centre).sum() + 0.5 * (valid == centre).sum()) / max(len(valid), 1)
        shift = float(special.ndtri(np.clip(share, 1e-4, 1 - 1e-4)))
        ends = []
        for tail in ((1 - level) / 2, (1 + level) / 2):
            q = shift + special.ndtri(tail)
            adjusted = special.ndtr(shift + q / (1 - acceleration * q))
            ends.append(float(np.quantile(valid, adjusted, method="inverted_cdf")))
        return ends[0], ends[1]

    def profile(self, name: str, level: float = 0.999) -> profile.Trace:
        """Traced profile: values (log of positive parameters) and signed root deviances."""
        traced, dof = self._profile(quantity := self._parameter(name))
        if traced is None:
            raise UserError("The law has as many parameters as rows; a profile says nothing here.")
        check_level(level)
        quantile = profile.student_quantile(level, dof)
        for side, limit in zip((-1, 1), quantity.limits, strict=True):
            traced.end(side, quantile, limit)
        return traced.points()

    def covariance(self, kind: str = "hc3") -> Array:
        """Covariance of the free internal parameters, (f,f): hc3, cluster or model."""
        problem, z, target, weights = self._state()
        if kind == "model":
            scale = profile.dispersion(problem, z, target, weights)
            return scale * profile.inverse_hessian(problem, z, target, weights)
        if kind not in ("hc3", "cluster") or (kind == "cluster" and self.curve.cluster is None):
            raise UserError(
                f"kind is {kind!r}; allowed are hc3, model, and cluster with a cluster."
            )
        codes = self.curve.cluster if kind == "cluster" else None
        return profile.sandwich(problem, z, target, weights, codes)

    def predict(
        self, x: Any, level: float = 0.95, kind: str = "mean", method: str | None = None
    ) -> Prediction:
        """The law at x with its interval, (m,) each.

        kind "mean": interval of f(x). kind "new-run": interval of one further run at x, which adds
        the residual noise (resampled residuals with draws, a t interval without).
        """
        check_level(level)
        points = self.points(x)
        mean = self.mean(points)
        if kind not in ("mean", "new-run"):
            raise UserError(f"kind is {kind!r}; allowed are mean and new-run.")
        if self.draws_phi is not None and method in (None, "percentile"):
            values = self.mean_draws(points)
            if kind == "new-run":
                objective = self.settings.objective
                rng = np.random.default_rng(0)
                r = self.residuals() * np.sqrt(self.n / max(self.n - self.free, 1))
                noise = rng.choice(r, size=values.shape)
                values = objective.inverse(objective.transform(values) - noise)
            low, high = percentile_interval(values, level)
        else:
            ends = [self.interval_mean(p[None], level, method) for p in points]
            low, high = np.array([e.low for e in ends]), np.array([e.high for e in ends])
            if kind == "new-run":
                low, high = self._widen(mean, low, high, level)
        inside = (points >= self.curve.x.min(0)) & (points <= self.curve.x.max(0))
        return Prediction(mean, low, high, level, ~inside.all(1))

    def _widen(self, mean: Array, low: Array, high: Array, level: float) -> tuple[Array, Array]:
        """Add one run's noise to each side of an interval of the mean, in quadrature."""
        problem, z, target, _ = self._state()
        r = problem.predict(z[None])[0] - target
        dof = max(self.n - problem.free_at(z), 1)
        noise = profile.student_quantile(level, dof) * float(np.sqrt((r**2).sum() / dof))
        objective = self.settings.objective
        centre = objective.transform(mean)
        down = np.hypot(centre - objective.transform(low), noise)
        up = np.hypot(objective.transform(high) - centre, noise)
        return objective.inverse(centre - down), objective.inverse(centre + up)

    def compare(self, *laws: str | Law) -> list[Score]:
        """The same rows under this and other laws, best first; see `compare`."""
        from .extrapolate import compare_laws

        return compare_laws(self, laws)

    # ---- pictures and files

    def plot(self, ax: Axes | None = None, level: float = 0.95, label: str | None = None) -> Axes:
        """Points, law and band on logarithmic axes; for a law of several variables, the observed
        against the fitted loss, coloured by the first variable. An open band is cut at ten times
        the range of the losses.
        """
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots()
        if self.labels:
            for one in self.labels:
                self[one].plot(ax, level, one)
            ax.legend()
            return ax
        x, y = self.curve.x[:, 0], self.curve.y
        if len(self.law.variables) != 1:
            ends = [y.min() / 1.03, y.max() * 1.03]
            ax.plot(ends, ends, color="0.6", linewidth=1)
            dots = ax.scatter(self.mean(self.curve.x), y, c=np.log10(np.maximum(x, 1)), s=18)
            ax.figure.colorbar(dots, ax=ax, label=f"log10 {self.law.variables[0]}")
            ax.set(xscale="log", yscale="log", xlabel="fitted loss", ylabel="observed loss")
            return ax
        grid = np.geomspace(x.min() / 1.3, x.max() * 3, 40)
        color = ax.plot(grid, self.mean(grid), label=label)[0].get_color()
        ax.scatter(x, y, s=18, color=color, zorder=3)
        if self.part_of is None or self.draws_phi is not None:
            band = self.predict(grid, level)
            drawn = np.concatenate([y, band.mean])
            least, most = drawn.min() / 10, drawn.max() * 10
            low, high = (np.clip(end, least, most) for end in (band.low, band.high))
            ax.fill_between(grid, low, high, color=color, alpha=0.2, linewidth=0)
        ax.set(xscale="log", yscale="log", xlabel=self.law.variables[0], ylabel="loss")
        return ax

    def summary(self, level: float = 0.95) -> dict[str, Any]:
        """Parameters with intervals, status and flags, ready for JSON."""
        intervals = {name: self.interval(name, level) for name in self.law.names}
        return {
            "law": self.law.name,
            "loss": self.settings.objective.loss,
            "delta": _finite(self.settings.objective.delta),
            "residual": self.settings.objective.residual,
            "n": self.n,
            "free_parameters": self.free,
            "objective": self.objective,
            "status": self.status.name.lower(),
            "flags": list(self.flags),
            "parameters": {
                name: {
                    "value": i.value,
                    "low": _finite(i.low),
                    "high": _finite(i.high),
                    "level": level,
                    "method": i.method,
                }
                for name, i in intervals.items()
            },
        }

    def to_json(self, path: str | Path | None = None) -> str:
        """The whole fit (rows, parameters, draws) as JSON text; also written to `path`."""
        law, s, c = self.law, self.settings, self.curve
        grouped = isinstance(law, Grouped)
        base = law.base if isinstance(law, Grouped) else law
        if forms.LAWS.get(base.name) != base:
            raise UserError(f"Law {base.name!r} is not one of the library's; it has no JSON form.")
        record = {
            "format": 1,
            "law": base.name,
            "labels": list(self.labels),
            "shared": list(law.shared) if isinstance(law, Grouped) and grouped else [],
            "fixed": dict(s.fixed),
            "tied": [list(t) for t in s.tied],
            "objective": [
                s.objective.loss, s.objective.residual, _finite(s.objective.delta),
                s.objective.asymmetry,
            ],
            "x": c.x.tolist(),
            "y": c.y.tolist(),
            "weights": c.weights.tolist(),
            "cluster": None if c.cluster is None else c.cluster.tolist(),
            "log_x0": self.log_x0.tolist(),
            "phi": self.phi.tolist(),
            "value": self.objective,
            "status": int(self.status),
            "flags": list(self.flags),
            "draws": None if self.draws_phi is None else
            [[_finite(v) for v in row] for row in self.draws_phi.tolist()],
            "draws_status": None if self.draws_status is None else self.draws_status.tolist(),
        }  # fmt: skip
        text = json.dumps(record)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    @classmethod
    def from_json(cls, source: str | Path) -> Fit:
        """Inverse of `to_json`; takes the text or a path."""
        text = str(source)
        if not text.lstrip().startswith("{"):
            text = Path(source).read_text(encoding="utf-8")
        r = json.loads(text)
        law = forms.get(r["law"])
        if r["labels"]:
            law = Grouped(law, r["labels"], r["shared"])
        loss, residual, delta, asymmetry = r["objective"]
        objective = Objective(loss, residual, np.inf if delta is None else delta, asymmetry)
        settings = Settings(law, objective, r["fixed"], [tuple(t) for t in r["tied"]])
        cluster = None if r["cluster"] is None else np.array(r["cluster"])
        curve = Curve(np.array(r["x"]), np.array(r["y"]), np.array(r["weights"]), cluster)
        draws = None if r["draws"] is None else np.array(r["draws"], dtype=float)
        return cls(
            settings, curve, np.array(r["log_x0"]), np.array(r["phi"]), r["value"],
            Status(r["status"]), tuple(r["flags"]), draws,
            None if r["draws_status"] is None else np.array(r["draws_status"]),
        )  # fmt: skip


def check_level(level: float) -> None:
    """UserError unless the level of an interval lies between 0 and 1."""
    if not 0 < level < 1:
        raise UserError(f"level is {level!r}; a number between 0 and 1 is needed, such as 0.95.")


def _finite(value: float) -> float | None:
    """JSON has no infinity; null stands for an open end."""
    return float(value) if np.isfinite(value) else None


def percentile_interval(draws: Array, level: float = 0.95) -> tuple[Any, Any]:
    """Equal-tailed ends of draws over axis 0: numbers for draws (B,), arrays (m,) for (B,m).

    Infinite draws stay infinite, so an end may be; nan draws (nothing identified) are left out.
    """
    check_level(level)
    draws = np.asarray(draws, float)
    tail = (1 - level) / 2
    missing = np.isnan(draws)
    count = (~missing).sum(0)
    ordered = np.sort(np.where(missing, np.inf, draws), axis=0)

    def at(q: float) -> Any:
        row = np.clip(np.ceil(q * count - 1e-9).astype(int) - 1, 0, None)
        value = np.take_along_axis(ordered, np.expand_dims(row, 0), 0)[0]
        return np.where(count == 0, np.nan, value)[()]

    return at(tail), at(1 - tail)


def fit(
    data: Any,
    *,
    law: str | Law = "power",
    x: str | Sequence[str] = "x",
    y: str = "y",
    group: str | None = None,
    shared: Sequence[str] = (),
    loss: str = "l2",
    delta: float | None = None,
    residual: str = "log",
    asymmetry: float = 1.0,
    weights: str | Any = None,
    cluster: str | None = None,
    fixed: Mapping[str, float] | None = None,
    tied: Sequence[tuple[str, str]] = (),
    draws: Any = None,
    multipliers: Any = None,
    bootstrap: int = 0,
    resample: str | None = None,
    seed: int = 0,
    device: str | None = None,
) -> Fit:
    """Fit a law to the rows of a table.

    Args:
        data: pandas or polars frame, or a mapping of equally long arrays.
        law: name or object; `x` names its variables in order (one name, or for L(N, D) two).
        group, shared: column that separates several curves, and the parameters that all curves
            have in common. `fit[label]` is one curve; its parameters are named `k[label]`.
        loss, delta: l2, huber (delta 1.345 x robust scale unless given), lad, student, or
            chinchilla (Huber, 1e-3). residual: log, identity or logit of y. asymmetry: weight of
            rows that the law over-predicts (above 1 follows the lower envelope).
        weights: column or (n,) array; the objective is the weighted sum.
        cluster: column of runs or configurations whose rows are not independent.
        fixed, tied: parameters held at a value, and pairs held equal (natural units).
        draws: (B, n) resampled y for the same rows; multipliers: (B, n) non-negative resampling
            weights. Either makes the B refits, under the same objective as the estimate.
        bootstrap, resample, seed: number and kind (case, cluster, wild) of own resamples, used
            when neither draws nor multipliers are given; default kind: cluster if there is a
            cluster column, else case (within each curve).
        device: where the refits run: None is numpy; "cuda" or "cpu" are torch tensors there, the
            same code in the same double precision (worth it from about 1e5 refits on a graphics
            card). The estimate itself is one small problem and always numpy's.

    Raises:
        UserError: a column is missing, not numeric, not positive or not finite, or there are
            fewer levels of x than the law has free parameters.
    """
    chosen = forms.get(law)
    on_device(np.empty(0), device)  # a wrong device is refused before anything is computed
    variables = [x] if isinstance(x, str) else list(x)
    if len(variables) != len(chosen.variables):
        raise UserError(
            f"Law {chosen.name!r} has the variables {', '.join(chosen.variables)}; "
            f"x names {len(variables)} column(s): {', '.join(variables)}."
        )
    columns = [
        numbers(column(data, name, "x"), name, 0.0, strict=v not in chosen.may_be_zero)
        for name, v in zip(variables, chosen.variables, strict=True)
    ]
    target = numbers(column(data, y, "y"), y, 0.0 if residual != "identity" else None)
    for name, values in zip(variables, columns, strict=True):
        if values.shape != target.shape or target.ndim != 1:
            raise UserError(
                f"Column {name!r} has shape {values.shape} and {y!r} {target.shape}; one number a "
                "row is needed in each."
            )
    points, n = np.stack(columns, -1), len(target)
    if n == 0:
        raise UserError("The data have no rows.")
    if residual == "logit" and (target >= 1).any():
        raise UserError(f"Column {y!r} reaches 1 or more; residual='logit' allows 0 < y < 1.")
    if residual == "identity" and (largest := float(np.abs(target).max())) > 1e100:
        raise UserError(
            f"Column {y!r} reaches {largest:g}; residual='identity', whose squares would overflow, "
            "allows sizes up to 1e100."
        )
    weight = np.ones(n)
    if weights is not None:
        source = column(data, weights, "weights") if isinstance(weights, str) else weights
        weight = numbers(source, "weights", 0.0, strict=False)
        if weight.shape != (n,) or not weight.any():
            raise UserError(
                f"weights has shape {weight.shape}; {n} numbers, not all 0, are needed."
            )
    codes = None
    if cluster is not None:
        codes = np.unique(labels_of(data, cluster, "cluster"), return_inverse=True)[1].reshape(-1)
        if codes.max() == 0:
            raise UserError(f"Column {cluster!r} has one cluster; an interval needs at least two.")
    curve_codes = np.zeros(n, int)
    ties = list(tied)
    if group is not None:
        labels, curve_codes = np.unique(
            labels_of(data, group, "group").astype(str), return_inverse=True
        )
        points = np.column_stack([points, curve_codes])
        grouped = Grouped(chosen, labels.tolist(), shared)
        chosen, ties = grouped, ties + grouped.ties
    elif shared:
        raise UserError(f"shared is {list(shared)!r}; it needs group, the column of the curves.")
    for name, number in (fixed or {}).items():
        positive = chosen.params[chosen.index(name)].log
        if not np.isfinite(number) or (positive and number < 0):
            allowed = "a number of 0 or more" if positive else "a finite number"
            raise UserError(f"fixed holds {name} at {number!r}; allowed is {allowed}.")
    settings = Settings(chosen, make(loss, residual, delta, asymmetry), dict(fixed or {}), ties)
    log_x0 = chosen.log_scale(points)
    levels = _check_levels(settings, points[weight > 0], log_x0, variables)
    settings = adapt(settings, points, log_x0, target, weight)
    phi, value, status = solve(settings, points, log_x0, target[None], weight[None])
    if not (np.isfinite(phi).all() and np.isfinite(value).all()):
        raise UserError(
            f"Law {chosen.name!r} finds no finite parameters for column {y!r}, which reaches from "
            f"{target.min():g} to {target.max():g}; losses above 0 and of like size are needed."
        )
    result = Fit(
        settings, Curve(points, target, weight, codes), log_x0, phi[0], float(value[0]),
        Status(int(status[0])), (),
    )  # fmt: skip
    result = replace(result, flags=_flags(result, levels))
    resampled = _resamples(result, curve_codes, draws, multipliers, bootstrap, resample, seed)
    if resampled is None:
        missing = ("no_interval",) if settings.objective.loss == "lad" else ()
        return replace(result, flags=(*result.flags, *missing))
    y_draws, m_draws = resampled
    y_draws, m_draws = (on_device(a, device) for a in (y_draws, m_draws * weight))
    refits = solve(settings, points, log_x0, y_draws, m_draws, warm=phi[0], starts=1)
    phi_draws, _, draws_status = (to_numpy(a) for a in refits)
    flags = [
        name
        for name, status in (
            ("unidentified_draws", Status.UNIDENTIFIED),
            ("unconverged_draws", Status.MAX_ITERATIONS),
        )
        if (draws_status == status).mean() > 0.01
    ]
    return replace(
        result,
        flags=(*result.flags, *flags),
        draws_phi=phi_draws,
        draws_status=draws_status,
    )


def _check_levels(settings: Settings, points: Array, log_x0: Array, names: Sequence[str]) -> int:
    """Number of different points; UserError when the law has more free parameters than that."""
    law = settings.law
    free = len(constraints(law, log_x0, settings.fixed, settings.tied)[2])
    levels = len(np.unique(points, axis=0))
    if levels < free:
        raise UserError(
            f"Law {law.name!r} has {free} free parameters; the data have {len(points)} rows at "
            f"{levels} different {', '.join(names)}, and at least {free} are needed."
        )
    if isinstance(law, Grouped):
        for _, rows, label in law.split(points):
            own = len(np.unique(points[rows], axis=0))
            need = len(law.base.params) - len(law.shared)
            need -= sum(f"{name}[{label}]" in settings.fixed for name in law.base.names)
            if own < need:
                raise UserError(
                    f"Curve {label!r} has {own} different {', '.join(names)}; law {law.name!r} "
                    f"needs at least {need}."
                )
    return levels


def _flags(result: Fit, levels: int) -> tuple[str, ...]:
    """What a reader must know before trusting the numbers."""
    flags = []
    curve, law = result.curve, result.law
    if levels == result.free:
        flags.append("saturated")
    elif int((curve.weights > 0).sum()) < 3 * result.free:
        flags.append("few_rows")
    if np.ptp(curve.y) == 0:
        flags.append("constant_y")
    if duplicated(curve.x, curve.y):
        flags.append("duplicated_rows")
    for p in law.params:
        if p.zero and p.name not in result.settings.fixed and result.params[p.name] == 0:
            base, _, label = p.name.partition("[")
            flags.append(f"{base}_at_zero" + (f"[{label}" if label else ""))
    if result.status == Status.AT_BOUND:
        flags.append("at_bound")
    if result.status == Status.MAX_ITERATIONS:
        flags.append("not_converged")
    if lack_of_fit(result) < 0.01:
        flags.append("lack_of_fit")
    problem, z, target, weights = result._state()
    _, hessian = problem.derivatives(z[None], target[None], weights[None], False)
    scale = 1 / np.sqrt(np.maximum(np.diag(hessian[0]), 1e-280))
    inside = (z > problem.lower) & (z < problem.upper)
    scaled = (hessian[0] * scale[:, None] * scale)[np.ix_(inside, inside)]
    if inside.any() and np.linalg.eigvalsh(scaled).min() < 1e-10:
        flags.append("unidentified")
    return tuple(flags)


def lack_of_fit(result: Fit) -> float:
    """p-value of the F test of the law against the means of replicated x; nan without replicates.

    Needs rows with equal x; the noise of one level is compared with the law's misfit.
    """
    code = np.unique(result.curve.x, axis=0, return_inverse=True)[1].reshape(-1)
    levels, n = int(code.max()) + 1, len(code)
    if n - levels < 3 or levels <= result.free or result.settings.objective.loss != "l2":
        return np.nan
    r, w = result.residuals(), result.curve.weights
    means = np.bincount(code, w * r) / np.maximum(np.bincount(code, w), 1e-300)
    pure = float((w * (r - means[code]) ** 2).sum())
    misfit = float((w * r**2).sum()) - pure
    if pure <= 0:
        return np.nan
    ratio = (misfit / (levels - result.free)) / (pure / (n - levels))
    return float(special.fdtrc(levels - result.free, n - levels, ratio))


def _resamples(
    result: Fit,
    curves: Any,
    draws: Any,
    multipliers: Any,
    bootstrap: int,
    resample: str | None,
    seed: int,
) -> tuple[Array, Array] | None:
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
            assert m_draws is not None
            y_draws = np.broadcast_to(y, m_draws.shape)
        if m_draws is None:
            m_draws = np.ones_like(y_draws)
        if y_draws.shape != m_draws.shape:
            raise UserError(
                f"draws {y_draws.shape} and multipliers {m_draws.shape} must have one shape."
            )
        numbers(y_draws.ravel(), "draws", 0.0 if result.settings.objective.residual != "identity"
                else None)  # fmt: skip
        numbers(m_draws.ravel(), "multipliers", 0.0, strict=False)
        return y_draws, m_draws
    for name, value in (("bootstrap", bootstrap), ("seed", seed)):
        if not isinstance(value, int | np.integer) or value < 0:
            raise UserError(f"{name} is {value!r}; a whole number of 0 or more is needed.")
    if not bootstrap:
        return None
    cluster = result.curve.cluster
    resample = resample or ("case" if cluster is None else "cluster")
    if resample not in ("case", "cluster", "wild"):
        raise UserError(f"resample is {resample!r}; allowed are case, cluster, wild.")
    if resample == "cluster" and cluster is None:
        raise UserError("resample is 'cluster'; it needs cluster, the column of the clusters.")
    codes = np.arange(n) if cluster is None or resample == "case" else cluster
    if resample == "wild":
        return wild_targets(result, codes, bootstrap, seed), np.ones((bootstrap, n))
    strata = curves if resample == "case" else np.zeros(n, int)
    return np.broadcast_to(y, (bootstrap, n)), multiplier_matrix(codes, bootstrap, seed, strata)
