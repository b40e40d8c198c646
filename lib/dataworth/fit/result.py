"""What `fit` returns: parameters, values, intervals and draws of a fitted law, its picture and its
JSON form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from dataworth import stats
from dataworth.arrays import Array
from dataworth.errors import UserError

from . import diagnostics, gaps, picture, profile, record
from .diagnostics import Case, Note
from .estimate import Settings, problem_of
from .gaps import Floor, Quantity
from .grouped import Grouped
from .laws import ZERO, Law
from .minimum import Minimum
from .solver import Problem, Status, minimise
from .table import finite, points
from .values import Curve, Interval, Prediction

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Psi = Callable[[Mapping[str, Array]], Array]  # a scalar of parameters by name
Answer = TypeVar("Answer")
METHODS = ("percentile", "basic", "bca", "profile", "wald")


@dataclass(frozen=True)
class Fit:
    """A fitted law.

    objective: the minimised sum. status: how the search ended. flags: what to know before trusting
    the numbers, in words in `advice`. draws_phi (B,p): refits of the resamples, in
    internal coordinates; draws_status (B,) their `Status`.
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
        return len(self.problem.lower)

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
        c = self.curve
        cluster = None if c.cluster is None else np.unique(c.cluster[rows], return_inverse=True)[1]
        part = replace(
            self,
            settings=self.settings.of_curve(label),
            curve=replace(
                c, x=c.x[rows, :-1], y=c.y[rows], weights=c.weights[rows], cluster=cluster
            ),
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

    @cached_property
    def _posed(self) -> tuple[Problem, list[int]]:
        return problem_of(self.settings, self.curve.x, self.curve.y, self.log_x0)

    @property
    def problem(self) -> Problem:
        """What was minimised, as a function of the free parameters z."""
        return self._posed[0]

    @cached_property
    def minimum(self) -> Minimum:
        """The problem at the estimate, which covariances and profiles start from.

        Raises:
            UserError: this is one curve of a fit with shared parameters.
        """
        if self.part_of is not None:
            raise UserError(
                f"Curve {self.part_of!r} shares parameters; ask the joint fit, or fit with draws."
            )
        problem, free = self._posed
        z = np.clip(self.phi[free], problem.lower, problem.upper)
        target = self.settings.objective.transform(self.curve.y)
        return Minimum(problem, z, target, self.curve.weights, self.curve.cluster)

    @cached_property
    def case(self) -> Case:
        """The fit as `diagnostics` reads it."""
        unscale, _ = self.law.unscale(self.log_x0)
        at = self.minimum
        rows = unscale @ at.problem.matrix
        return Case(self.settings, self.curve, at, self.params, self.status, rows)

    @property
    def advice(self) -> list[Note]:
        """For each flag what was found, in a sentence, and what to do next."""
        told = self._told if self.part_of is None else {}
        return [told.get(flag) or diagnostics.plain(flag) for flag in self.flags]

    @cached_property
    def _told(self) -> dict[str, Note]:
        return {note.code: note for note in diagnostics.notes(self.case)}

    @property
    def unidentified(self) -> tuple[str, ...]:
        """Names of the parameters that the data leave free: their estimates are no values."""
        free = diagnostics.unidentified(self.case)
        return tuple(name for name, is_free in zip(self.law.names, free, strict=True) if is_free)

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
        return points(x, self.law.variables, self.law.may_be_zero)

    def mean(self, x: Any) -> Array:
        """f(x), (m,)."""
        return np.exp(self._log_f(self.phi[None], self.points(x))[0])

    def mean_draws(self, x: Any) -> Array:
        """f(x) in every refit, (B,m)."""
        return np.exp(self._log_f(self._draws(), self.points(x)))

    # ---- scalars of the parameters, and their intervals

    def parameter(self, name: str) -> Quantity:
        """One parameter: its logarithm where it is positive, itself where it may be zero."""
        j = self.law.index(name)
        p = self.law.params[j]
        unscale, shift = self.law.unscale(self.log_x0)

        def scalar(phi: Array) -> Array:
            value = phi @ unscale[j] + shift[j]
            return np.where(phi[:, j] <= ZERO / 2, 0.0, np.exp(value)) if p.zero else value

        def gap(problem: Problem) -> gaps.Gap:
            row = problem.matrix.T @ unscale[j]
            return gaps.Affine(row, float(problem.offset @ unscale[j] + shift[j]), p.zero)

        value = self.params[name]
        if not p.zero:
            back = np.exp if p.log else _same
            return Quantity(value, scalar, gap, back, p.bounds(), closed=p.closed)
        problem, _ = self._posed
        floor = None
        own = np.flatnonzero(problem.matrix[j])
        if len(own) == 1 and problem.matrix[j, own[0]] == 1:  # free, or shared with one that is
            reference = self.law.zero_reference(j, problem.x, self.curve.y)
            unit, shift_z = float(np.exp(reference + shift[j])), float(shift[j] + problem.offset[j])
            floor = Floor(int(own[0]), shift_z, unit)
        return Quantity(value, scalar, gap, _same, (0.0, np.inf), floor)

    def scalar(self, psi: Callable[[Array], Array], back: Callable[..., Any] = np.exp) -> Quantity:
        """psi of the internal parameters (B,p) -> (B,), smooth; `back` leads from psi to the
        value, so that psi is by default the logarithm of a positive one."""
        return Quantity(
            float(back(psi(self.phi[None])[0])),
            psi,
            lambda problem: gaps.Scalar(lambda z: psi(problem.phi(z))),
            back,
        )

    def _mean(self, x: Any) -> Quantity:
        point = self.points(x)
        if len(point) != 1:
            raise UserError(f"One point is needed; x has {len(point)}. Use predict for several.")
        scaled = point / np.exp(self.log_x0)
        return Quantity(
            float(self.mean(point)[0]),
            lambda phi: self.law.log_value(phi, scaled)[:, 0],
            lambda problem: gaps.LogMean(problem, scaled[0]),
            np.exp,
        )

    def interval(self, name: str, level: float = 0.95, method: str | None = None) -> Interval:
        """Interval of one parameter.

        method: percentile, basic or bca from the draws; profile (of the objective that was
        minimised, open ends reported as infinite); wald (sandwich). Default: percentile when the
        fit has draws, else profile. LAD has no profile: without draws both ends are open, the
        method is "none" and the fit carries the flag no_interval.
        """
        return self.of(self.parameter(name), level, method)

    def interval_of(self, scalar: Psi, level: float = 0.95, method: str | None = None) -> Interval:
        """Interval of any scalar of the parameters, by the same methods.

        scalar: a smooth function of {name: values (B,)} in natural units, to (B,), such as
        `lambda p: p["alpha"] / p["beta"]`.
        """

        def psi(phi: Array) -> Array:
            return scalar(dict(zip(self.law.names, self._natural(phi).T, strict=True)))

        return self.of(self.scalar(psi, _same), level, method)

    def interval_mean(self, x: Any, level: float = 0.95, method: str | None = None) -> Interval:
        """Interval of f at one point x, by the same methods."""
        return self.of(self._mean(x), level, method)

    def of(self, quantity: Quantity, level: float = 0.95, method: str | None = None) -> Interval:
        """Interval of a `parameter` or a `scalar`, by the same methods."""
        stats.check_level(level)
        drawn = self.draws_phi is not None
        if method is None and not drawn and self.settings.objective.loss == "lad":
            low, high = (float(quantity.back(end)) for end in (-np.inf, np.inf))
            return Interval(quantity.value, low, high, level, "none")
        method = method or ("percentile" if drawn else "profile")
        if method not in METHODS:
            raise UserError(f"method is {method!r}; allowed are {', '.join(METHODS)}.")
        before = self.phi
        ends = self.settled(lambda: self._ends(quantity, level, method))
        value = quantity.value
        with np.errstate(over="ignore"):
            if self.phi is not before:
                value = float(quantity.back(quantity.psi(self.phi[None])[0]))
            low, high = (float(quantity.back(end)) for end in ends)
        # draws may all lie on one side of the estimate; an interval holds it all the same
        return Interval(value, min(low, value), max(high, value), level, method)

    def intervals(self, level: float = 0.95, method: str | None = None) -> dict[str, Interval]:
        """Intervals of all parameters, of one and the same estimate."""
        while True:
            before = self.phi
            found = {name: self.interval(name, level, method) for name in self.law.names}
            if self.phi is before:
                return found

    def shown(self, level: float = 0.95, method: str | None = None) -> dict[str, Interval]:
        """`intervals` as they are printed: a parameter that is not identified has no value."""
        found = self.intervals(level, method)
        for name in self.unidentified if self.part_of is None else ():
            found[name] = replace(found[name], value=np.nan, low=-np.inf, high=np.inf)
        return found

    @np.errstate(all="ignore")
    def settled(self, ask: Callable[[], Answer]) -> Answer:
        """ask(), and again from the better minimum each time that a profile meets one: the fit
        moves there (as MINOS does) and carries the flag better_minimum."""
        while True:
            try:
                return ask()
            except profile.Better as met:
                self.move(met.z)

    def move(self, z: Array) -> None:
        """Take the minimum that is reached from free parameters z (f,), where it is lower."""
        problem, at = self.problem, self.minimum
        found = minimise(problem, z[None], at.target[None], at.weights[None])
        value = float(found.objective[0])
        if not value < float(problem.value(at.z[None], at.target[None], at.weights[None])[0]):
            return
        phi = problem.phi(found.z)[0]
        for i, _ in problem.floors:  # a floor at the bottom of its box is none
            if found.z[0, i] <= problem.lower[i]:
                phi = np.where(problem.matrix[:, i] == 1, ZERO, phi)
        flags = tuple(dict.fromkeys((*self.flags, "better_minimum")))
        for name, new in (
            ("phi", phi), ("objective", value), ("flags", flags),
            ("status", Status(int(found.status[0]))),
        ):  # fmt: skip
            object.__setattr__(self, name, new)
        for name in ("minimum", "case", "_told"):
            self.__dict__.pop(name, None)

    def _ends(self, quantity: Quantity, level: float, method: str) -> tuple[float, float]:
        if method == "profile":
            return profile.profile_ends(self.minimum, quantity, level)
        if method == "wald":
            return self.minimum.wald_ends(quantity, level)
        phi = self._draws()
        draws = np.where(np.isnan(phi).any(1), np.nan, quantity.psi(np.nan_to_num(phi)))
        # a draw at the edge of the law's box, a natural zero apart, would have gone on
        least, most = quantity.limits
        if np.isfinite(most) and not quantity.closed:
            draws = np.where(draws >= most - 1e-9 * abs(most), np.inf, draws)
        if np.isfinite(least) and least != 0:
            draws = np.where(draws <= least + 1e-9 * abs(least), -np.inf, draws)
        centre = float(quantity.psi(self.phi[None])[0])
        if method == "bca":
            low, high = self.minimum.bca_ends(quantity, draws, centre, level)
        else:
            low, high = (float(end) for end in stats.interval(draws, level))
        if method == "basic":
            low, high = max(2 * centre - high, least), min(2 * centre - low, most)
        # draws that identify nothing close no end
        return (-np.inf if np.isnan(low) else low), (np.inf if np.isnan(high) else high)

    def test(self, name: str, value: float) -> float:
        """Two-sided p-value of "this parameter has this value", from the profile."""
        p = self.law.params[self.law.index(name)]
        psi = value if p.zero else p.to_internal(value)
        return self.settled(lambda: profile.p_value(self.minimum, self.parameter(name), psi))

    def test_mean(self, x: Any, value: float) -> float:
        """Two-sided p-value of "f at the point x has this value", from the profile."""
        psi = float(np.log(value))
        return self.settled(lambda: profile.p_value(self.minimum, self._mean(x), psi))

    def profile(self, name: str, level: float = 0.999) -> profile.Trace:
        """Traced profile: values (log of positive parameters) and signed root deviances."""
        stats.check_level(level)

        def ask() -> profile.Trace:
            quantity = self.parameter(name)
            if (traced := profile.traced(self.minimum, quantity)) is None:
                raise UserError(
                    "The law has as many parameters as rows; a profile says nothing here."
                )
            traced.ends(level, *quantity.limits)
            return traced.points()

        return self.settled(ask)

    def covariance(self, kind: str = "hc3") -> Array:
        """Covariance of the free internal parameters, (f,f): hc3, cluster or model."""
        cluster = self.curve.cluster if kind == "cluster" else None
        if kind not in ("hc3", "model") and cluster is None:
            raise UserError(
                f"kind is {kind!r}; allowed are hc3, model, and cluster with a cluster."
            )
        return self.minimum.covariance if kind == "model" else self.minimum.sandwich(cluster)

    def predict(
        self, x: Any, level: float = 0.95, kind: str = "mean", method: str | None = None
    ) -> Prediction:
        """The law at x with its interval, (m,) each.

        kind "mean": interval of f(x). kind "new-run": interval of one further run at x, which adds
        the residual noise (resampled residuals with draws, a t interval without).

        Raises:
            UserError: the law is above what an accuracy can be at one of the points.
        """
        stats.check_level(level)
        at = self.points(x)
        mean = self.mean(at)
        most = self.curve.most(self.law.most, "rises" in self.flags)
        if (over := mean > most).any():
            self.curve.refuse_above(most, self.law, at[over][0], float(mean[over][0]))
        if kind not in ("mean", "new-run"):
            raise UserError(f"kind is {kind!r}; allowed are mean and new-run.")
        if self.draws_phi is not None and method in (None, "percentile"):
            values = self.mean_draws(at)
            if kind == "new-run":
                objective = self.settings.objective
                rng = np.random.default_rng(0)
                r = self.residuals() * np.sqrt(self.n / max(self.n - self.free, 1))
                noise = rng.choice(r, size=values.shape)
                values = objective.inverse(objective.transform(values) - noise)
            low, high = stats.interval(values, level)
        else:
            before = self.phi
            ends = [self.interval_mean(p[None], level, method) for p in at]
            if self.phi is not before:
                return self.predict(x, level, kind, method)
            low, high = np.array([e.low for e in ends]), np.array([e.high for e in ends])
            if kind == "new-run":
                low, high = self.minimum.widened(mean, low, high, level)
        low, high = (np.minimum(end, most) for end in (low, high))
        inside = (at >= self.curve.x.min(0)) & (at <= self.curve.x.max(0))
        return Prediction(mean, low, high, level, ~inside.all(1))

    # ---- pictures and files

    def plot(self, ax: Axes | None = None, level: float = 0.95, label: str | None = None) -> Axes:
        """Runs, law and band on logarithmic axes, and below them a panel of residuals (runs above
        the law, in per cent of it where residuals are of log y); on `ax` the law alone. Returns the
        axes of the law. A law of two variables is drawn against the second, at up to six levels of
        the first; of more variables, the observed against the fitted loss. An open band is cut at
        ten times the range of the losses.
        """
        return picture.draw(self, ax, level, label)

    def summary(
        self, level: float = 0.95, shown: Mapping[str, Interval] | None = None
    ) -> dict[str, Any]:
        """Parameters with intervals, status and flags, ready for JSON (`finite`).

        shown: the intervals, where they are known already (`Fit.shown`).
        """
        objective = self.settings.objective
        shown = self.shown(level) if shown is None else shown
        parameters = {name: asdict(one) for name, one in shown.items()}
        return finite({
            "law": self.law.name,
            "loss": objective.loss,
            "delta": objective.delta,
            "residual": objective.residual,
            "n": self.n,
            "free_parameters": self.free,
            "objective": self.objective,
            "status": self.status.name.lower(),
            "flags": list(self.flags),
            "advice": [asdict(note) for note in self.advice],
            "parameters": parameters,
        })  # fmt: skip

    def to_json(self, path: str | Path | None = None) -> str:
        """The whole fit (rows, parameters, draws) as JSON text; also written to `path`."""
        text = record.dump(self.settings, self.curve, {
            "log_x0": self.log_x0, "phi": self.phi, "value": self.objective,
            "status": int(self.status), "flags": self.flags,
            "draws": self.draws_phi, "draws_status": self.draws_status,
        })  # fmt: skip
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    @classmethod
    def from_json(cls, source: str | Path) -> Fit:
        """Inverse of `to_json`; takes the text or a path."""
        return cls(**record.load(source))


def _same(value: Any) -> Any:
    return value
