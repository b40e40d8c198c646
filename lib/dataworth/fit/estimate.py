"""From rows to a minimum: coordinates, constraints, starts, and the floor-free special case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dataworth.arrays import Array
from dataworth.errors import UserError

from .backend import namespace, to_numpy
from .grouped import Grouped
from .laws import ZERO, Law
from .objective import HUBER_TUNING, Objective, robust_scale
from .solver import Problem, Status, lifted, minimise

Found = tuple[Array, Array, Array]  # phi (B,p), objective (B,), status (B,)


MOST_SEEDED = 4000  # rows on which the minimum is sought first, and every start


@dataclass(frozen=True)
class Settings:
    """What defines the estimator beside the rows; kept so that draws use the same one."""

    law: Law
    objective: Objective
    fixed: Mapping[str, float] = field(default_factory=dict)
    tied: Sequence[tuple[str, str]] = ()

    def of_curve(self, label: str) -> Settings:
        """The estimator of one curve of a grouped law, alone."""
        assert isinstance(self.law, Grouped)
        base = self.law.base
        own = {n: self.fixed[f"{n}[{label}]"] for n in base.names if f"{n}[{label}]" in self.fixed}
        return Settings(base, self.objective, own)


def constraints(
    law: Law, log_x0: Array, fixed: Mapping[str, float], tied: Sequence[tuple[str, str]]
) -> tuple[Array, Array, list[int]]:
    """phi = T z + t for parameters fixed or tied in natural coordinates: T (p,f), t (p,), and the
    index of the parameter that each z is."""
    size = len(law.params)
    unscale, shift = law.unscale(log_x0)
    rows, values = [], []
    for name, number in fixed.items():
        j = law.index(name)
        if number == 0 and law.params[j].log:  # an amplitude of zero is zero in every unit
            rows.append(np.eye(size)[j])
            values.append(ZERO)
        else:
            rows.append(unscale[j])
            values.append(law.params[j].to_internal(number) - shift[j])
    for first, second in tied:
        i, j = law.index(first), law.index(second)
        rows.append(unscale[i] - unscale[j])
        values.append(shift[j] - shift[i])
    if not rows:
        return np.eye(size), np.zeros(size), list(range(size))
    # amplitudes become dependent before exponents do, so that box constraints on exponents stay
    # box constraints on z
    order = sorted(range(size), key=lambda j: not law.params[j].log)
    return _eliminate(np.column_stack([rows, values]).astype(float), order)


def _eliminate(system: Array, order: Sequence[int]) -> tuple[Array, Array, list[int]]:
    """Solve system[:, :-1] @ phi = system[:, -1] by Gauss-Jordan elimination of parameters in this
    order; the answer of `constraints`."""
    size = len(order)
    pivots: dict[int, int] = {}  # eliminated parameter -> row of the reduced system
    for i in range(len(system)):
        usable = [j for j in order if abs(system[i, j]) > 1e-12 and j not in pivots]
        if not usable:
            if abs(system[i, -1]) > 1e-9:
                raise UserError("The fixed and tied parameters contradict each other.")
            continue
        pivots[usable[0]] = i
        system[i] /= system[i, usable[0]]
        for other in range(len(system)):
            if other != i:
                system[other] -= system[other, usable[0]] * system[i]
    free = [j for j in range(size) if j not in pivots]
    matrix = np.zeros((size, len(free)))
    offset = np.zeros(size)
    matrix[free, range(len(free))] = 1.0
    for j, i in pivots.items():
        matrix[j] = -system[i, free]
        offset[j] = system[i, -1]
    return matrix, offset, free


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
) -> Found:
    """Best minimum over all starts, for each of B resamples.

    y, weights (B,n), both numpy or both tensors of one device, where everything then happens;
    warm (p,) a known good start -> phi (B,p), objective (B,), status (B,).
    Starts are the best variable-projection seeds of each resample itself, and `warm`. A floor of
    zero is solved as its own problem wherever the free floor came out small, and it is taken when
    the free floor brings nothing.
    """
    search = _Search(settings, x, log_x0, y, weights)
    law, xp = settings.law, search.xp
    if isinstance(law, Grouped):
        return _solve_groups(search, law, warm, starts)
    some: Any = slice(None)
    few: Any = some
    if len(x) > MOST_SEEDED:  # a start need not know all rows
        some = np.sort(np.random.default_rng(0).permutation(len(x))[:MOST_SEEDED])
        few = some[::4]
        if warm is None and len(y) == 1:
            part = solve(settings, x[some], log_x0, y[:, some], weights[:, some], None, starts)[0]
            if bool(xp.isfinite(part).all()):
                warm = part[0]
    size = 400 if warm is None else 36
    seeds = law.seeds(search.scaled[few], y[:, few], weights[:, few], size)
    most = starts if len(law.params) <= 5 else 3 * starts
    if warm is None and len(y) == 1 and (settings.fixed or settings.tied):
        seeds = _ranked(settings, x[some], log_x0, y[:, some], weights[:, some], seeds)
        most = max(most, 64)  # the few places that are left are worth it
    first = seeds[:, :most]
    if warm is None and len(y) == 1:  # the best may all lie in one basin of several
        first = xp.concatenate([first, seeds[:, _apart(law, to_numpy(seeds[0]), most)]], 1)
    seeds = first
    floors = [
        (j, law.zero_reference(j, search.scaled, y))
        for j, p in enumerate(law.params)
        if p.zero and p.name not in settings.fixed
    ]
    if warm is None:
        found = search.best(seeds)
    else:
        again = lifted(xp.asarray(warm[None]), tuple(floors))[:, 0]
        again = xp.broadcast_to(again, (len(y), *again.shape))
        found = search.best(again)
        rows = search.other_basin(found[0], seeds[:, 0])
        if len(rows):
            other = search.best(seeds[rows], rows)
            _take(found, rows, other, other[1] < found[1][rows])
        seeds = xp.concatenate([again, seeds], 1)
    for j, reference in floors:
        rows = xp.flatnonzero(found[0][:, j] < reference - 2.3)
        if len(rows):
            _take_simpler(found, rows, search.best(seeds[rows], rows, [law.params[j].name]))
    # a resample with fewer levels than free parameters does not determine a curve
    code = np.unique(x, axis=0, return_inverse=True)[1].reshape(-1)
    order = np.argsort(code, kind="stable")
    last = np.flatnonzero(np.diff(code[order], append=code.max() + 1))
    counts = xp.cumsum((weights > 0)[:, order], 1)[:, last]  # rows of the resample up to each level
    present = (counts[:, 0] > 0) + (counts[:, 1:] > counts[:, :-1]).sum(1)
    lacking = present < problem_of(settings, x, y, log_x0)[0].matrix.shape[1]
    found[0][lacking] = np.nan
    found[2][lacking] = int(Status.UNIDENTIFIED)
    return found


def _apart(law: Law, seeds: Array, most: int) -> list[int]:
    """Places of up to four of the seeds (S,p), the best first, beyond the first `most`, whose
    exponents differ from those and from each other by more than half."""
    exponents = seeds[:, [j for j, p in enumerate(law.params) if not p.log]]
    size, known, found = np.abs(exponents), exponents[:most], list[int]()
    for at in range(most, len(seeds)):
        away = np.abs(known - exponents[at]) > np.maximum(np.abs(known), size[at]) / 2
        if exponents.shape[1] and away.any(1).all():
            found.append(at)
            known = np.concatenate([known, exponents[at : at + 1]])
            if len(found) == 4:
                break
    return found


def _ranked(
    settings: Settings, x: Array, log_x0: Array, y: Array, weights: Array, seeds: Array
) -> Array:
    """Seeds (1,S,p) of the law without constraints in the order of the objective under them, one
    for each place that they lead to: fixed exponents may leave a basin that ranked low before."""
    problem, free = problem_of(settings, x, y, log_x0)
    xp = namespace(y)
    z = xp.clip(seeds[0][:, free], problem.lower, problem.upper)
    value = problem.value(z, settings.objective.transform(y), weights)
    first = np.unique(np.round(to_numpy(z), 9), axis=0, return_index=True)[1]
    order = first[np.argsort(to_numpy(value)[first], kind="stable")]
    return seeds[:, order]


def _solve_groups(search: _Search, law: Grouped, warm: Array | None, starts: int) -> Found:
    """Each curve alone; then, where parameters are shared, all together from those minima."""
    xp, x, y = search.xp, search.x, search.y
    parts = []
    for block, rows, label in law.split(x):
        alone = search.settings.of_curve(label)
        levels = len(np.unique(x[rows], axis=0))
        if law.shared and levels < len(law.base.params):  # too few rows to stand alone
            simple = {p.name: 0.0 for p in law.base.params if p.zero}
            alone = replace(alone, fixed={**simple, **alone.fixed})
        parts.append(solve(
            alone, x[rows, :-1], search.log_x0[:-1], y[:, rows], search.weights[:, rows],
            None if warm is None else warm[block], starts,
        ))  # fmt: skip
    phi = xp.concatenate([p[0] for p in parts], 1)
    if not law.shared:
        value = sum(p[1] for p in parts[1:]) + parts[0][1]
        return phi, value, xp.amax(xp.stack([p[2] for p in parts]), 0)
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
    # a floor of zero has no gradient: start it where it is small but still felt
    seeds = xp.where(seeds <= ZERO / 2, float(np.log(float(y.min()))) - 8.0, seeds)
    found = search.best(seeds)
    for p in law.base.params:
        if p.zero and p.name in law.shared:
            zero = [f"{p.name}[{label}]" for label in law.labels]
            _take_simpler(found, xp.arange(size), search.best(seeds, zero=zero))
    return found


def _take(found: Found, rows: Any, other: Found, better: Any) -> None:
    """Replace the answers at `rows` by those of `other` that are better, in place."""
    for mine, theirs in zip(found, other, strict=True):
        mine[rows[better]] = theirs[better]


def _take_simpler(found: Found, rows: Any, other: Found) -> None:
    """Take an answer without the floor wherever the floor brings nothing beyond rounding."""
    _take(found, rows, other, other[1] <= found[1][rows] * (1 + 1e-9) + 1e-300)


class _Search:
    """The rows of B resamples: x (n,d), y and weights (B,n), and minima from given starts."""

    def __init__(
        self, settings: Settings, x: Array, log_x0: Array, y: Array, weights: Array
    ) -> None:
        self.settings, self.x, self.log_x0, self.y = settings, x, log_x0, y
        self.scaled = x / np.exp(log_x0)
        self.weights, self.target, self.xp = weights, settings.objective.transform(y), namespace(y)

    def other_basin(self, phi: Array, seed: Array) -> Any:
        """Resamples whose seed is a curve apart from the solution, by more than 3 times its
        residuals. Only there can the seed lead to another minimum; phi, seed (B,p) -> indices.
        """
        problem, free = problem_of(self.settings, self.x, self.y, self.log_x0)
        xp = self.xp
        ours, theirs = problem.predict(phi[:, free]), problem.predict(seed[:, free])
        fraction = self.weights / self.weights.sum(1)[:, None]
        apart = (fraction * xp.minimum(xp.abs(ours - theirs), 1e6)).sum(1)
        residual = (fraction * xp.abs(ours - self.target)).sum(1)
        return xp.flatnonzero(apart > 3 * residual)

    def best(self, seeds: Array, rows: Any = slice(None), zero: Sequence[str] = ()) -> Found:
        """Minimise from seeds (B,S,p) of the resamples `rows`, with the parameters `zero` held at
        zero, and keep each resample's best end.
        """
        settings, target, weights = self.settings, self.target[rows], self.weights[rows]
        if zero:
            settings = replace(settings, fixed={**settings.fixed, **dict.fromkeys(zero, 0.0)})
        (size, each), xp = seeds.shape[:2], self.xp
        problem, free = problem_of(settings, self.x, self.y, self.log_x0)
        start = seeds[:, :, free].reshape(size * each, -1)
        targets, each_weights = xp.repeat(target, each, axis=0), xp.repeat(weights, each, axis=0)
        if settings.objective.loss == "lad":  # follow the minimum while the kink sharpens
            for wider in (1000.0, 100.0, 10.0):
                soft = replace(settings.objective, delta=wider * settings.objective.delta)
                start = minimise(replace(problem, objective=soft), start, targets, each_weights).z
        keep, steps = (2, 25) if len(settings.law.params) <= 5 else (6, 50)
        if each > keep:  # a short race, and only the best starts of each resample go on
            race = minimise(problem, start, targets, each_weights, max_iterations=steps)
            best = xp.argsort(race.objective.reshape(size, each), 1)[:, :keep]
            picked = (xp.arange(size)[:, None] * each + best).ravel()
            start, targets = race.z[picked], targets[picked]
            each_weights, each = each_weights[picked], keep
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
