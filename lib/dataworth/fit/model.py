"""`fit`: a table of runs in, a law with parameters, draws and intervals out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dataworth.arrays import Array
from dataworth.errors import UserError

from . import diagnostics, forms, misfit
from . import resample as resampling
from .backend import on_device, to_numpy
from .estimate import Settings, adapt, constraints, solve
from .grouped import Grouped
from .laws import Law
from .objective import make
from .result import Fit
from .solver import Status
from .table import column, labels_of, numbers
from .values import Curve


@np.errstate(all="ignore")  # what is not finite is flagged, rejected or open
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
    noise: str = "even",
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
        noise: even, or size: rows are weighted by 1 / variance of a noise whose log is linear in
            the logs of the variables, from repeated sizes where there are enough, else from
            residuals (`misfit.noise_by_size`).
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
    on_device(np.empty(0), device)  # a wrong device raises before anything is computed
    variables = [x] if isinstance(x, str) else list(x)
    if len(variables) != len(chosen.variables):
        raise UserError(
            f"Law {chosen.name!r} has the variables {', '.join(chosen.variables)}; "
            f"x names {len(variables)} column(s): {', '.join(variables)}."
        )
    columns = [
        numbers(column(data, name, "x"), name, 0.0, v not in chosen.may_be_zero)
        for name, v in zip(variables, chosen.variables, strict=True)
    ]
    positive = None if residual == "identity" else 0.0
    target = numbers(column(data, y, "y"), y, positive)
    for name, values in zip(variables, columns, strict=True):
        if values.shape != target.shape or target.ndim != 1:
            raise UserError(
                f"Column {name!r} has shape {values.shape} and {y!r} {target.shape}; one number a "
                "row is needed in each."
            )
    points, n = np.stack(columns, -1), len(target)
    if n and target.max() > chosen.most:
        raise UserError(
            f"Column {y!r} reaches {target.max():g}; law {chosen.name!r} describes a fraction, at "
            f"most {chosen.most:g}: give per cent as {y}/100."
        )
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
        is_log = chosen.params[chosen.index(name)].log
        if not np.isfinite(number) or (is_log and number < 0):
            allowed = "a number of 0 or more" if is_log else "a finite number"
            raise UserError(f"fixed holds {name} at {number!r}; allowed is {allowed}.")
    settings = Settings(chosen, make(loss, residual, delta, asymmetry), dict(fixed or {}), ties)
    _check_levels(settings, points[weight > 0], variables)
    resampled = resampling.given(target, draws, multipliers, positive)
    kind = None
    if resampled is None:
        kind = resampling.kind_of(bootstrap, resample, seed, clustered=codes is not None)
    curve = Curve(points, target, weight, codes, tuple(variables), y)
    result = fit_rows(settings, curve)
    if noise != "even":
        result = _weighted(result, noise)
    if not (np.isfinite(result.phi).all() and np.isfinite(result.objective)):
        raise UserError(
            f"Law {chosen.name!r} finds no finite parameters for column {y!r}, which reaches from "
            f"{target.min():g} to {target.max():g}; losses above 0 and of like size are needed."
        )
    flags = tuple(note.code for note in diagnostics.notes(result.case))
    if kind is not None:
        resampled = resampling.own(result, curve_codes, bootstrap, kind, seed)
    if resampled is None:
        missing = ("no_interval",) if loss == "lad" else ()
        return replace(result, flags=(*flags, *missing))
    y_draws, m_draws = (on_device(a, device) for a in (resampled[0], resampled[1] * weight))
    refits = solve(
        result.settings, points, result.log_x0, y_draws, m_draws, warm=result.phi, starts=1
    )
    phi, _, status = (to_numpy(a) for a in refits)
    flags = (*flags, *diagnostics.draw_flags(status))
    return replace(result, flags=flags, draws_phi=phi, draws_status=status)


def _weighted(result: Fit, noise: str) -> Fit:
    """The fit with weights from the noise by size that its residuals show, in two rounds.

    Raises:
        UserError: an unknown noise, or too few rows to estimate it.
    """
    if noise != "size":
        raise UserError(f"noise is {noise!r}; allowed are even and size.")
    given, need = result.curve.weights, result.free + 2 * result.curve.x.shape[1] + 4
    if result.n < need:
        raise UserError(
            f"noise is 'size'; with {result.free} parameters it takes {need} rows to estimate how "
            f"noise varies, and the data have {result.n}."
        )
    objective = result.settings.objective
    if objective.loss != "l2":  # the width of the loss follows the weighted residuals
        objective = replace(objective, delta=np.nan)
    for _ in range(2):
        weights = given * misfit.noise_by_size(result.minimum, result.case.x)
        settings = replace(result.settings, objective=objective)
        result = fit_rows(settings, replace(result.curve, weights=weights))
    return result


def fit_rows(settings: Settings, curve: Curve) -> Fit:
    """The estimate alone: no flags, no draws. A loss without a width gets one that follows the
    residuals."""
    log_x0 = settings.law.log_scale(curve.x)
    settings = adapt(settings, curve.x, log_x0, curve.y, curve.weights)
    phi, value, status = solve(settings, curve.x, log_x0, curve.y[None], curve.weights[None])
    return Fit(settings, curve, log_x0, phi[0], float(value[0]), Status(int(status[0])), ())


def _check_levels(settings: Settings, points: Array, names: Sequence[str]) -> None:
    """UserError when the law has more free parameters than there are different points."""
    law = settings.law
    free = len(constraints(law, law.log_scale(points), settings.fixed, settings.tied)[2])
    levels = len(np.unique(points, axis=0))
    if levels < free:
        raise UserError(
            f"Law {law.name!r} has {free} free parameters; the data have {len(points)} rows at "
            f"{levels} different {', '.join(names)}, and at least {free} are needed."
        )
    if isinstance(law, Grouped):
        for _, rows, label in law.split(points):
            own = len(np.unique(points[rows], axis=0))
            need = len(law.base.params) - len(law.shared) - len(settings.of_curve(label).fixed)
            if own < need:
                raise UserError(
                    f"Curve {label!r} has {own} different {', '.join(names)}; law {law.name!r} "
                    f"needs at least {need}."
                )
