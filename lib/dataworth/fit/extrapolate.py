"""Tests of a law beyond its data: rolling origin, choice between laws, forecasts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import special

from dataworth.arrays import Array
from dataworth.errors import UserError

from . import forms
from .estimate import Settings, solve
from .laws import Law
from .minimum import student_quantile
from .model import fit, fit_rows
from .result import Fit
from .values import Curve, Prediction

STEPS = 4
"""How often `missed` holds sizes back: those beyond the largest over 2^(1/2), 2, 2^(3/2) and 4."""
FACTORS: dict[str, dict[float, float]] = {
    "power": {0.5: 0.313, 0.8: 0.635, 0.9: 0.872, 0.95: 1.203},
    "shifted": {0.5: 0.221, 0.8: 0.531, 0.9: 0.783, 0.95: 1.137},
    "m4": {0.5: 0.151, 0.8: 0.431, 0.9: 0.678, 0.95: 1.015},
}
"""By law and level, the quantile of |error of log y| / (distance x spread), as `Forecast.predict`
calls them, over learning curves of LCDB (Mohr et al. 2022; `bench/fit_lcdb.py`)."""


@dataclass(frozen=True)
class Origin:
    """One split of a rolling origin: fitted up to `until`, scored on the rows beyond.

    rmsle: root mean square of log f - log y; crps: mean continuous ranked probability score of
    log y under the predicted normal; coverage: fraction of rows inside the `level` interval
    of a new run; n_train, n_test: rows.
    """

    until: float
    n_train: int
    n_test: int
    rmsle: float
    crps: float
    coverage: float
    level: float


def refit(fitted: Fit, rows: Any, law: Law | None = None, weights: Array | None = None) -> Fit:
    """The same estimator on some of the rows, without draws. rows: index or mask."""
    c, settings = fitted.curve, fitted.settings
    weights = c.weights if weights is None else weights
    if law is not None:
        objective = settings.objective
        if objective.loss != "l2":  # the width of the loss follows the new law's residuals
            objective = replace(objective, delta=np.nan)
        settings = Settings(law, objective)
    return fit_rows(settings, Curve(c.x[rows], c.y[rows], weights[rows]))


def spread(fitted: Fit, x: Array) -> tuple[Array, float]:
    """Standard deviation of log y of one new run at x (m,d), and its degrees of freedom."""
    at = fitted.minimum
    dof = max(fitted.n - at.free, 1)
    jac = at.problem.slopes(at.z, x / np.exp(fitted.log_x0))
    r = fitted.residuals()
    return np.sqrt(np.einsum("ni,ij,nj->n", jac, at.covariance, jac) + (r**2).sum() / dof), dof


def rolling_origin(
    fitted: Fit, fractions: Sequence[float] = (0.5, 0.6, 0.7, 0.8), level: float = 0.9
) -> list[Origin]:
    """Refit on the smallest levels of the first variable, score on the larger ones.

    fractions: of the distinct levels to train on; splits that leave fewer levels than the
    law has parameters, or no level beyond, are left out. Residuals must be of log y.

    Raises:
        UserError: residuals are not of log y, or no split is possible.
    """
    if fitted.settings.objective.residual != "log":
        raise UserError("rolling_origin scores log y; fit with residual='log'.")
    first = fitted.curve.x[:, 0]
    levels = np.unique(first)
    out = []
    for count in sorted({round(f * len(levels)) for f in fractions}):
        if count >= len(levels) or count < 1:
            continue
        inside = first <= levels[count - 1]
        if len(np.unique(fitted.curve.x[inside], axis=0)) < fitted.free + 1:
            continue
        part = refit(fitted, inside)
        x, y = fitted.curve.x[~inside], fitted.curve.y[~inside]
        error = np.log(part.mean(x)) - np.log(y)
        sigma, dof = spread(part, x)
        z = error / sigma
        crps = sigma * (
            z * (2 * special.ndtr(z) - 1) + (np.sqrt(2) * np.exp(-(z**2) / 2) - 1) / np.sqrt(np.pi)
        )
        covered = np.abs(z) <= student_quantile(level, dof)
        out.append(
            Origin(
                float(levels[count - 1]), int(inside.sum()), int((~inside).sum()),
                float(np.sqrt((error**2).mean())), float(crps.mean()), float(covered.mean()), level,
            )
        )  # fmt: skip
    if not out:
        raise UserError(
            f"The data have {len(levels)} levels of {fitted.law.variables[0]}; too few to hold the "
            f"largest back and still fit the {fitted.free} parameters of law {fitted.law.name!r}."
        )
    return out


def missed(fitted: Fit, again: Callable[[Any], Fit] | None = None) -> float:
    """Root mean squared error of log y where the law met sizes that it had not seen: refits to the
    sizes up to the largest over 2^(j/2), j = 1 to `STEPS`, each scored on all rows beyond.

    again: the refit to rows by their mask, if not `refit`'s.

    Raises:
        UserError: residuals are not of log y, or all of these leave too few sizes to fit.
    """
    if fitted.settings.objective.residual != "log":
        raise UserError("What a law misses is an error of log y; fit with residual='log'.")
    first = fitted.curve.x[:, 0]
    errors = []
    for j in range(1, STEPS + 1):
        inside = first <= 1.01 * first.max() / 2 ** (j / 2)  # sizes are often rounded
        if len(np.unique(fitted.curve.x[inside], axis=0)) > len(fitted.law.params):
            part = again(inside) if again else refit(fitted, inside)
            errors.append(np.log(part.mean(fitted.curve.x[~inside]) / fitted.curve.y[~inside]))
    if not errors:
        raise UserError(
            f"An interval that allows for a wrong law needs {len(fitted.law.params) + 1} sizes up "
            f"to {first.max() / np.sqrt(2):.4g}, the largest over 1.41, for law "
            f"{fitted.law.name!r}."
        )
    return float(np.sqrt(np.mean([(e**2).mean() for e in errors])))


@dataclass(frozen=True)
class Score:
    """One law in a comparison on the same rows and loss.

    aicc: small-sample Akaike criterion (Gaussian for L2, quasi-likelihood with the best law's
    dispersion otherwise), delta: above the best, weight: Akaike weight; rmsle: rolling origin.
    """

    law: str
    free: int
    objective: float
    aicc: float
    delta: float
    weight: float
    rmsle: float
    fit: Fit


def compare(fits: Sequence[Fit], laws: Sequence[str | Law] = ()) -> list[Score]:
    """Fits of the same rows, and further laws on the rows of the first one, best first. A delta
    below 4 means: the data do not tell them apart. Laws that need more levels are left out.

    Raises:
        UserError: the fits differ in rows or residuals, a law has other variables, or there are
            too few rows for every law.
    """
    first, fits = fits[0], list(fits)
    levels = len(np.unique(first.curve.x, axis=0))
    for law in map(forms.get, laws):
        if len(law.variables) != len(first.law.variables):
            raise UserError(
                f"Law {law.name!r} has the variables {', '.join(law.variables)}; the fit has "
                f"{', '.join(first.law.variables)}."
            )
        if law.name != first.law.name and levels > len(law.params):
            fits.append(refit(first, slice(None), law))
    for one in fits[1:]:
        a, b = one.settings.objective, first.settings.objective
        if not np.array_equal(one.curve.y, first.curve.y) or (a.loss, a.residual) != (
            b.loss, b.residual
        ):  # fmt: skip
            raise UserError("compare needs fits of the same rows with the same loss and residual.")
    n, best = first.n, min(fits, key=lambda one: one.objective)
    scale = best.minimum.dispersion
    values = []
    for one in fits:
        k = one.free + 1  # and the noise scale
        room = n - k - 1
        penalty = 2 * k + (2 * k * (k + 1) / room if room > 0 else np.inf)
        if first.settings.objective.loss == "l2":
            values.append(n * np.log(max(2 * one.objective / n, 1e-300)) + penalty)
        else:  # one width of the loss for all, so that their objectives are comparable
            shared_delta = replace(one.settings, objective=best.settings.objective)
            c = one.curve
            loss = solve(shared_delta, c.x, one.log_x0, c.y[None], c.weights[None])[1][0]
            values.append(2 * loss / scale + penalty)
    if not np.isfinite(values).any():
        raise UserError(
            f"The data have {n} rows; a comparison needs 3 more than a law's parameters."
        )
    delta = np.array(values) - np.min(values)
    weight = np.exp(-delta / 2) / np.exp(-delta / 2).sum()
    scores = []
    for one, value, d, w in zip(fits, values, delta.tolist(), weight.tolist(), strict=True):
        try:
            rmsle = float(np.mean([o.rmsle for o in rolling_origin(one)]))
        except UserError:
            rmsle = float("nan")
        score = Score(one.law.name, one.free, one.objective, float(value), d, w, rmsle, one)
        scores.append(score)
    return sorted(scores, key=lambda s: s.delta)


@dataclass(frozen=True)
class Forecast:
    """A law chosen for extrapolation, fitted to all rows; `fit.mean(x)` is the forecast.

    `recency` r weights the row of rank i (by x) with i^r. `scores`: inner RMSLE of each (law,
    recency) that was compared; empty when there was nothing to choose.
    """

    fit: Fit
    law: str
    recency: float
    scores: Mapping[tuple[str, float], float]

    def predict(self, x: Any, level: float = 0.95) -> Prediction:
        """The forecast at x, (m,), with an interval of one further run that allows for a wrong law.

        `fit.predict` knows noise alone: beyond the data of real curves, its 95 % intervals hold far
        less. Here log y has a half width of factor x distance x spread: distance is x over the
        largest size (1 within the data), spread the root of the fit's own variance of a new run
        (`spread`) and what the law has `missed`, both squared; the factor is that of public
        curves (`FACTORS`), so the interval is split-conformal (Vovk et al. 2005) if the curve is
        one like them.

        Raises:
            UserError: another law or level than those measured, or too few sizes.
        """
        known = FACTORS.get(self.law)
        if known is None or level not in known:
            levels = ", ".join(f"{one:g}" for one in next(iter(FACTORS.values())))
            raise UserError(
                f"law {self.law!r} at level {level:g}: intervals that allow for a wrong law are "
                f"measured for {', '.join(FACTORS)} at levels {levels}."
            )
        at = self.fit.points(x)
        largest = self.fit.curve.x[:, 0].max()
        distance = np.maximum(at[:, 0] / largest, 1.0)
        half = known[level] * distance * np.hypot(spread(self.fit, at)[0], missed(self.fit))
        mean, half = self.fit.mean(at), np.minimum(half, 700.0)
        inside = (at >= self.fit.curve.x.min(0)) & (at <= self.fit.curve.x.max(0))
        return Prediction(mean, mean * np.exp(-half), mean * np.exp(half), level, ~inside.all(1))


def forecast(
    data: Any,
    *,
    x: str = "x",
    y: str = "y",
    laws: Sequence[str] = ("m4",),
    recency: Sequence[float] = (0.0,),
    fractions: Sequence[float] = (0.5, 0.6, 0.7, 0.8),
    loss: str = "l2",
) -> Forecast:
    """The law to extrapolate a learning curve with, fitted to all rows.

    Given several laws or recency weightings, an inner rolling origin chooses: misspecification, not
    noise, dominates the error beyond the data. The default is M4 alone, which bends at both ends
    and, minimised to its optimum on log y, predicts the public curves of Alabdulmohsin et al.
    best (`bench/fit_extrapolation.py`). With too few levels for a law, the shifted power law and
    the power law stand in.
    """
    from scipy.stats import rankdata  # slow to import

    base = fit(data, law="power", x=x, y=y, loss=loss)
    points, target = base.curve.x, base.curve.y
    rank = rankdata(points[:, 0])
    levels = np.unique(points[:, 0])
    usable = [name for name in laws if len(forms.get(name).params) < len(levels)]
    if not usable:
        usable = ["shifted"] if len(levels) > 3 else ["power"]
    choices = [(name, r) for name in usable for r in recency]
    scores: dict[tuple[str, float], float] = {}
    for name, r in choices if len(choices) > 1 else ():
        law = forms.get(name)
        cuts = sorted({round(f * len(levels)) for f in fractions})
        errors = []
        for cut in cuts:
            if not len(law.params) < cut < len(levels):
                continue
            inside = points[:, 0] <= levels[cut - 1]
            # score the nearest stretch beyond, as long as forecasts of curves usually are
            beyond = ~inside & (points[:, 0] <= 2.2 * levels[cut - 1])
            if beyond.any():
                part = refit(base, inside, law, rank**r)
                error = np.log(part.mean(points[beyond])) - np.log(target[beyond])
                errors.append(np.mean(error**2))
        if errors:
            scores[name, r] = float(np.sqrt(np.mean(errors)))
    best = min(scores, key=lambda choice: scores[choice]) if scores else choices[0]
    final = refit(base, slice(None), forms.get(best[0]), rank ** best[1])
    return Forecast(final, best[0], best[1], scores)
