"""From rows to a minimum: coordinates, constraints, starts, and the floor-free special case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .backend import namespace
from .grouped import Grouped
from .laws import ZERO, Array, Law, constraint_map
from .objective import HUBER_TUNING, Objective, robust_scale
from .solver import Problem, Status, lifted, minimise


@dataclass(frozen=True)
class Settings:
    """What defines the estimator beside the rows; kept so that draws use the same one."""

    law: Law
    objective: Objective
    fixed: Mapping[str, float] = field(default_factory=dict)
    tied: Sequence[tuple[str, str]] = ()


def constraints(
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


def problem_of(settings: Settings, x: Array, y: Array, log_x0: Array) -> tuple[Problem, list[int]]:
    """The problem on rows x (n,d), its arrays where y is, and the index of each free parameter."""
    law, xp = settings.law, namespace(y)
    matrix, offset, free = constraints(law, log_x0, settings.fixed, settings.tied)
    scaled = x / np.exp(log_x0)
    lower, upper = law.bounds(scaled, y)
    floors = tuple(
        (i, law.zero_reference(j, scaled, y)) for i, j in enumerate(free) if law.params[j].zero
    )
    arrays = (xp.asarray(a) for a in (scaled, matrix, offset, lower[free], upper[free]))
    scaled, matrix, offset, low, high = arrays
    return Problem(law, scaled, settings.objective, matrix, offset, low, high, floors), free


def solve(
    settings: Settings,
    x: Array,
    log_x0: Array,
    y: Array,
    weights: Array,
    warm: Array | None = None,
    starts: int = 8,
) -> tuple[Array, Array, Array]:
    """Best minimum over all starts, for each of B resamples.

    y, weights (B,n), both numpy or both tensors of one device, where everything then happens;
    warm (p,) a known good start -> phi (B,p), objective (B,), status (B,).
    Starts are the best variable-projection seeds of each resample itself, and `warm`. A floor of
    zero is solved as its own problem wherever the free floor came out small, and it is taken when
    the free floor brings nothing.
    """
    law, xp = settings.law, namespace(y)
    target = settings.objective.transform(y)
    if isinstance(law, Grouped):
        return _solve_groups(settings, law, x, log_x0, y, weights, warm, starts)
    seeds = law.seeds(x / np.exp(log_x0), y, weights, 400 if warm is None else 36)
    seeds = seeds[:, : starts if len(law.params) <= 5 else 3 * starts]
    if warm is None:
        phi, value, status = _best_start(settings, x, log_x0, y, target, weights, seeds)
    else:
        floors = [
            (j, law.zero_reference(j, x / np.exp(log_x0), y))
            for j, p in enumerate(law.params)
            if p.zero and p.name not in settings.fixed
        ]
        again = lifted(xp.asarray(warm[None]), tuple(floors))[:, 0]
        again = xp.broadcast_to(again, (len(y), *again.shape))
        phi, value, status = _best_start(settings, x, log_x0, y, target, weights, again)
        other = _other_basin(settings, x, log_x0, target, weights, phi, seeds[:, 0])
        if len(other):
            second = _best_start(
                settings, x, log_x0, y, target[other], weights[other], seeds[other]
            )
            better = second[1] < value[other]
            phi[other[better]], value[other[better]] = second[0][better], second[1][better]
            status[other[better]] = second[2][better]
        seeds = xp.concatenate([again, seeds], 1)
    for j, p in enumerate(law.params):
        if not p.zero or p.name in settings.fixed:
            continue
        rows = xp.flatnonzero(phi[:, j] < law.zero_reference(j, x / np.exp(log_x0), y) - 2.3)
        if not len(rows):
            continue
        form = replace(settings, fixed={**settings.fixed, p.name: 0.0})
        simpler = _best_start(form, x, log_x0, y[rows], target[rows], weights[rows], seeds[rows])
        better = simpler[1] <= value[rows] * (1 + 1e-9) + 1e-300
        phi[rows[better]] = simpler[0][better]
        value[rows[better]], status[rows[better]] = simpler[1][better], simpler[2][better]
    # a resample with fewer levels than free parameters does not determine a curve
    code = np.unique(x, axis=0, return_inverse=True)[1].reshape(-1)
    order = np.argsort(code, kind="stable")
    last = np.flatnonzero(np.diff(code[order], append=code.max() + 1))
    rows = xp.cumsum((weights > 0)[:, order], 1)[:, last]  # rows in the resample up to each level
    present = (rows[:, 0] > 0) + (rows[:, 1:] > rows[:, :-1]).sum(1)
    lacking = present < problem_of(settings, x, y, log_x0)[0].matrix.shape[1]
    phi[lacking] = np.nan
    status[lacking] = int(Status.UNIDENTIFIED)
    return phi, value, status


def _solve_groups(
    settings: Settings,
    law: Grouped,
    x: Array,
    log_x0: Array,
    y: Array,
    weights: Array,
    warm: Array | None,
    starts: int,
) -> tuple[Array, Array, Array]:
    """Each curve alone; then, where parameters are shared, all together from those minima."""
    xp = namespace(y)
    parts = []
    for block, rows, one in law.split(x):
        own = {
            name: settings.fixed[f"{name}[{one}]"]
            for name in law.base.names
            if f"{name}[{one}]" in settings.fixed
        }
        alone = Settings(law.base, settings.objective, own)
        levels = len(np.unique(x[rows], axis=0))
        if law.shared and levels < len(law.base.params):  # too few rows to stand alone
            simple = {p.name: 0.0 for p in law.base.params if p.zero}
            alone = replace(alone, fixed={**simple, **own})
        start = None if warm is None else warm[block]
        parts.append(
            solve(alone, x[rows, :-1], log_x0[:-1], y[:, rows], weights[:, rows], start, starts)
        )
    phi = xp.concatenate([p[0] for p in parts], 1)
    value = sum(p[1] for p in parts[1:]) + parts[0][1]
    status = xp.amax(xp.stack([p[2] for p in parts]), 0)
    if not law.shared:
        return phi, value, status
    size, base = len(y), len(law.base.params)
    stacked = xp.nan_to_num(phi, nan=0.0).reshape(size, len(law.labels), base)
    candidates = [stacked] if warm is None else [xp.broadcast_to(xp.asarray(warm), phi.shape)]
    for source in (stacked.mean(1), *xp.moveaxis(stacked, 1, 0)):
        start = xp.copy(stacked)
        for name in law.shared:
            j = law.base.index(name)
            start[:, :, j] = source[:, None, j]
        candidates.append(start)
    seeds = xp.stack([c.reshape(size, -1) for c in candidates], 1)
    seeds = xp.where(seeds <= ZERO / 2, float(np.log(float(y.min()))) - 8.0, seeds)
    target = settings.objective.transform(y)
    phi, value, status = _best_start(settings, x, log_x0, y, target, weights, seeds)
    floors = [p.name for p in law.base.params if p.zero and p.name in law.shared]
    for name in floors:
        zero = {f"{name}[{label}]": 0.0 for label in law.labels}
        form = replace(settings, fixed={**settings.fixed, **zero})
        simpler = _best_start(form, x, log_x0, y, target, weights, seeds)
        better = simpler[1] <= value * (1 + 1e-9) + 1e-300
        phi[better], value[better], status[better] = (part[better] for part in simpler)
    return phi, value, status


def _other_basin(
    settings: Settings,
    x: Array,
    log_x0: Array,
    target: Array,
    weights: Array,
    phi: Array,
    seed: Array,
) -> Any:
    """Resamples whose seed is a curve apart from the solution, by more than 3 times its residuals.

    Only there can the seed lead to another minimum; phi, seed (B,p) -> indices.
    """
    problem, free = problem_of(settings, x, settings.objective.inverse(target), log_x0)
    xp = namespace(target)
    ours, theirs = problem.predict(phi[:, free]), problem.predict(seed[:, free])
    share = weights / weights.sum(1)[:, None]
    apart = (share * xp.minimum(xp.abs(ours - theirs), 1e6)).sum(1)
    residual = (share * xp.abs(ours - target)).sum(1)
    return xp.flatnonzero(apart > 3 * residual)


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
    (size, each), xp = seeds.shape[:2], namespace(y)
    problem, free = problem_of(settings, x, y, log_x0)
    start = seeds[:, :, free].reshape(size * each, -1)
    targets, each_weights = xp.repeat(target, each, axis=0), xp.repeat(weights, each, axis=0)
    if settings.objective.loss == "lad":  # follow the minimum while the kink sharpens
        for wider in (1000.0, 100.0, 10.0):
            soft = replace(settings.objective, delta=wider * settings.objective.delta)
            start = minimise(replace(problem, objective=soft), start, targets, each_weights).z
    keep, steps = (2, 25) if len(free) <= 5 else (6, 50)
    if each > keep:  # a short race, and only the best starts of each resample go on
        race = minimise(problem, start, targets, each_weights, max_iterations=steps)
        best = xp.argsort(race.objective.reshape(size, each), 1)[:, :keep]
        rows = (xp.arange(size)[:, None] * each + best).ravel()
        start, targets, each_weights = race.z[rows], targets[rows], each_weights[rows]
        each = keep
    found = minimise(problem, start, targets, each_weights)
    value = found.objective.reshape(size, each)
    row = xp.arange(size) * each + value.argmin(1)
    return problem.phi(found.z[row]), xp.amin(value, 1), found.status[row]


def adapt(settings: Settings, x: Array, log_x0: Array, y: Array, weights: Array) -> Settings:
    """Set a loss width that follows the residuals' robust scale, then keep it fixed.

    delta = 1.345 x scale for Huber, the scale itself for Student-t, a thousandth of it for LAD.
    """
    objective = settings.objective
    if objective.loss == "l2" or not np.isnan(objective.delta):
        return settings
    factor = {"huber": HUBER_TUNING, "student": 1.0, "lad": 1e-3}[objective.loss]
    current = replace(settings, objective=replace(objective, loss="l2", delta=np.inf))
    warm, starts = None, 8
    for _ in range(3):
        phi, _, _ = solve(current, x, log_x0, y[None], weights[None], warm, starts)
        warm, starts = phi[0], 1
        problem, free = problem_of(current, x, y, log_x0)
        r = problem.predict(phi[:, free])[0] - objective.transform(y)
        scale = robust_scale(r, problem.matrix.shape[1])
        if scale < 1e-12:  # the law passes through the data: every loss has the same minimum
            return replace(settings, objective=replace(objective, loss="l2", delta=np.inf))
        kind = "student" if objective.loss == "student" else "huber"
        width = scale if kind == "student" else HUBER_TUNING * scale
        current = replace(settings, objective=replace(objective, loss=kind, delta=width))
    return replace(settings, objective=replace(objective, delta=factor * scale))
