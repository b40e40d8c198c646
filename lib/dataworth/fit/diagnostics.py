"""What a reader must know before trusting a fit: flags, each a code, a sentence and a next step.

The tests of `misfit` share a false-alarm rate of about 4 % on laws that are true
(`bench/fit_flags.py` measures it); the levels below are each test's part of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from dataworth.arrays import Array

from . import misfit
from .estimate import Settings
from .grouped import Grouped
from .laws import Law
from .minimum import Minimum
from .powers import PowerSum
from .solver import Status
from .table import duplicated
from .values import Curve

FLAGS = {
    "at_bound": ("a parameter ended at the edge of what the law allows", "try a law without it"),
    "better_minimum": (
        "an interval met a better minimum than the first search, and the fit moved there",
        "read parameters after intervals",
    ),
    "constant_y": ("all losses are equal: there is no curve", "check the column"),
    "duplicated_rows": (
        "rows occur twice: they are counted twice",
        "leave the copies out, unless they are runs that were rounded to one value",
    ),
    "few_rows": (
        "under three rows a parameter: a misfit of the law does not show",
        "add runs, or fix a parameter that is known",
    ),
    "lack_of_fit": (
        "the law misses the means of repeated sizes by more than their noise",
        "compare laws; leave the smallest sizes out",
    ),
    "no_interval": ("this loss has no interval without --bootstrap", "give bootstrap=1000"),
    "not_converged": (
        "the search did not converge: do not use these numbers",
        "fix a parameter or take a simpler law",
    ),
    "saturated": (
        "as many parameters as sizes: the law passes through all means, nothing tests it",
        "add a size, or fix a parameter that is known",
    ),
    "unconverged_draws": ("more than 1 % of the resamples did not converge", "use the profile"),
    "unidentified": (
        "the data do not identify all parameters: some of them may take any value",
        "fix one of them, or vary what is constant",
    ),
    "unidentified_draws": (
        "more than 1 % of the resamples do not identify all parameters", "use the profile"
    ),
}  # fmt: skip
"""Sentence and next step of flags that need no numbers; X_at_zero is any parameter's."""

STRUCTURE, RISE, UNEVEN, OUTLIER, FLOOR, SHARED = 0.004, 1e-4, 0.014, 0.002, 0.002, 0.05
TAILS = 4.0  # degrees of freedom of noise under which a far row is none of it, for a robust loss


@dataclass(frozen=True)
class Note:
    """A flag: its code, what was found, and what to do about it."""

    code: str
    sentence: str
    step: str

    def __str__(self) -> str:
        return f"{self.code}: {self.sentence}. Next: {self.step}."


@dataclass(frozen=True)
class Case:
    """A fit as the checks read it; `rows` (p,f) are the gradients of its parameters by z."""

    settings: Settings
    curve: Curve
    at: Minimum
    params: Mapping[str, float]
    status: Status
    rows: Array

    @property
    def law(self) -> Law:
        return self.settings.law

    @property
    def variables(self) -> tuple[str, ...]:
        law = self.law
        return law.base.variables if isinstance(law, Grouped) else law.variables

    @property
    def called(self) -> tuple[str, ...]:
        """What the columns of the variables are called."""
        return self.curve.names or self.variables

    @property
    def x(self) -> Array:
        """(n,d) without the curve's number."""
        return self.curve.x[:, : len(self.variables)]

    @property
    def curves(self) -> Array:
        """Number of each row's curve, (n,)."""
        return self.curve.x[:, -1] if isinstance(self.law, Grouped) else np.zeros(len(self.curve.y))


def notes(case: Case) -> tuple[Note, ...]:
    """Everything that is to be said about an estimate without its draws."""
    found = [plain(code) for code in _basic(case)]
    found += _columns(case)
    free = [name for name, is_free in zip(case.params, unidentified(case), strict=True) if is_free]
    if free:
        found.append(_not_identified(case, free))
    if case.at.problem.objective.loss != "lad" and case.status != Status.MAX_ITERATIONS:
        found += _residual_notes(case)
    return tuple({note.code: note for note in found}.values())


def plain(code: str) -> Note:
    """The note of a flag that needs no numbers."""
    name, _, label = code.partition("[")
    if name not in FLAGS:  # X_at_zero, of one curve or of the only one
        parameter = name.removesuffix("_at_zero") + (f"[{label}" if label else "")
        return Note(
            code,
            f"{parameter} is estimated at zero",
            "compare the law without it; add larger sizes",
        )
    return Note(code, *FLAGS[name])


def draw_flags(draws_status: np.ndarray) -> tuple[str, ...]:
    """Flags of refits with these statuses (B,)."""
    return tuple(
        name
        for name, status in (
            ("unidentified_draws", Status.UNIDENTIFIED),
            ("unconverged_draws", Status.MAX_ITERATIONS),
        )
        if (draws_status == status).mean() > 0.01
    )


def unidentified(case: Case) -> Array:
    """Which parameters the data leave free, (p,) of bool."""
    return misfit.free_directions(case.at, case.rows)


def _basic(case: Case) -> Iterator[str]:
    settings, curve = case.settings, case.curve
    free = len(case.at.z)
    if len(np.unique(curve.x[curve.weights > 0], axis=0)) == free:
        yield "saturated"
    elif int((curve.weights > 0).sum()) < 3 * free:
        yield "few_rows"
    if np.ptp(curve.y) == 0:
        yield "constant_y"
    if duplicated(curve.x, curve.y):
        yield "duplicated_rows"
    for p in case.law.params:
        if p.zero and p.name not in settings.fixed and case.params[p.name] == 0:
            base, _, label = p.name.partition("[")
            yield f"{base}_at_zero" + (f"[{label}" if label else "")
    if case.status == Status.AT_BOUND and _bounded(case):
        yield "at_bound"
    if case.status == Status.MAX_ITERATIONS:
        yield "not_converged"
    if lack_of_fit(case) < 0.01:
        yield "lack_of_fit"


def _bounded(case: Case) -> bool:
    """Whether a parameter is at the edge of its range that is no natural one: neither a floor of
    zero nor an accuracy of one."""
    at, matrix = case.at, case.at.problem.matrix
    floors = {i for i, _ in at.problem.floors}
    closed = np.array([p.closed for p in case.law.params])
    for i in np.flatnonzero((at.z <= at.problem.lower) | (at.z >= at.problem.upper)):
        top = at.z[i] >= at.problem.upper[i] and closed[matrix[:, i] != 0].any()
        if not top and i not in floors:
            return True
    return False


def _not_identified(case: Case, free: Sequence[str]) -> Note:
    names = ", ".join(free)
    constant = [j for j in range(case.x.shape[1]) if np.ptp(case.x[:, j]) == 0]
    if not constant:
        return Note("unidentified", f"the data do not identify {names}", FLAGS["unidentified"][1])
    j = constant[0]
    rest = [v for i, v in enumerate(case.variables) if i not in constant]
    step = f"vary {case.variables[j]}"
    if len(rest) == 1:
        step += f", or fit the law shifted to {rest[0]} alone"
    return Note(
        "unidentified",
        f"{case.variables[j]} has one value ({case.x[0, j]:g}): {names} cannot be found",
        step,
    )


def _columns(case: Case) -> Iterator[Note]:
    """What columns look like that were taken for something else."""
    if case.variables[:2] == ("N", "D"):
        ratio = float(np.median(case.x[:, 1] / case.x[:, 0]))
        if ratio > 1e6 and np.median(case.x[:, 0]) >= 1e3:
            yield Note(
                "looks_like_flops",
                f"D is {ratio:.1g} times N, which looks like compute and not like tokens",
                "if it is C = 6 N D, give D = C / (6 N)",
            )


def _residual_notes(case: Case) -> Iterator[Note]:
    at, curve = case.at, case.curve
    used = curve.weights > 0
    with np.errstate(divide="ignore"):
        logs = np.log(case.x)
    lowest = logs[np.isfinite(logs)].min(initial=0.0) - 1.0
    logs = np.where(np.isfinite(logs), logs, lowest)  # a size of zero lies below all others
    rows = misfit.rows_of(at, logs, case.curves)
    noise = float(np.sqrt((rows.e**2).sum() / max(rows.spare, 1)))
    if rows.spare < 1 or not noise > 1e-12 * (1 + float(np.abs(at.target).max())):
        yield from _shape(case, logs)
        return
    rising = list(_shape(case, logs))
    yield from rising
    removed = None
    if at.problem.law.cheap_curvature or len(rows.e) <= 60:
        many = len(rows.e) > 5000
        most = min(5, max(2, len(rows.e) // 10))
        removed = misfit.removal(at, 2 if many else most, 2 if many else 8)
    odd = list(_outliers(case, removed))
    yield from odd
    if len(rows.e) >= 10:
        # a row or two may pull the fit; several far rows are what uneven noise looks like
        few = removed is not None and odd and len(removed.rows) <= 2
        clean = removed.rest(at) if removed is not None and few else at
        kept = clean.weights > 0
        log_f = at.problem.predict(clean.z[None])[0][kept]
        p, ratio = misfit.uneven(misfit.rows_of(clean, logs, case.curves), log_f)
        if clean is not at:  # far rows at one end are what uneven noise looks like, too
            whole, wide = misfit.uneven(rows, at.problem.predict(at.z[None])[0][used])
            if 4 * whole < p:
                p, ratio = 4 * whole, wide
        if p < UNEVEN:
            size = f"{max(ratio, 1 / ratio):.2g} times as large at the "
            size += f"{'smallest' if ratio > 1 else 'largest'} {case.called[0]}"
            yield Note(
                "heteroscedastic",
                f"the noise varies with size ({size}); intervals allow for it",
                "for a sharper estimate weigh the rows: noise='size', or weights of 1 / noise^2",
            )
    if not odd:
        if not any(note.code == "rises" for note in rising):
            yield from _structure(case, rows)
        yield from _choice_of_loss(case)
    yield from _below_floor(case, used)


def _shape(case: Case, logs: Array) -> Iterator[Note]:
    """Curves of one variable that rise."""
    law = case.law.base if isinstance(case.law, Grouped) else case.law
    if len(case.variables) != 1 or (isinstance(law, PowerSum) and law.rising):
        return
    for curve in np.unique(case.curves):
        mine = (case.curves == curve) & (case.curve.weights > 0)
        u, code = np.unique(logs[mine, 0], return_inverse=True)
        y = np.bincount(code.reshape(-1), case.curve.y[mine]) / np.bincount(code.reshape(-1))
        if len(u) < 4 or not (y > 0).all():
            continue
        ends = y[0], y[-1]
        r = float(np.corrcoef(u, np.log(y))[0, 1]) if np.ptp(y) > 0 else 0.0
        t = r * np.sqrt((len(u) - 2) / max(1 - r * r, 1e-12))
        if special.stdtr(len(u) - 2, -t) < 0.001 and ends[1] > ends[0]:
            top = 1 if y.max() <= 1 else 100
            y_name, x_name = case.curve.y_name, case.called[0]
            step = f"if it is an accuracy, fit {top} minus it: {top}-{y_name}"
            if np.isfinite(law.most):
                step = "an accuracy falls with the loss: are the columns in the wrong order?"
            elif y.max() > 100:
                step = "check y"
            yield Note(
                "rises", f"{y_name} rises with {x_name}, from {ends[0]:g} to {ends[1]:g}", step
            )
            return
        climb, start, end = misfit.rise(u, np.log(y))
        n = len(u)
        if n >= 6 and special.stdtr(n - 3, -climb) * n * (n - 1) < RISE * n:
            x = np.exp(u)
            yield Note(
                "not_monotone",
                f"the loss rises from {y[start]:.4g} to {y[end]:.4g} between {case.called[0]} = "
                f"{x[start]:g} and {x[end]:g}, which no law here does",
                f"fit {case.called[0]} below {x[start]:g} or above {x[end]:g} alone",
            )
            return


def _outliers(case: Case, removed: misfit.Removal | None) -> Iterator[Note]:
    at = case.at
    robust = at.problem.objective.loss != "l2"
    size = np.abs(at.residuals)
    half = max(float(np.median(size)), 1e-300)
    # the median of |t| stands for that of the residuals
    beyond = 2 * len(size) * special.stdtr(TAILS, -size / half * special.stdtrit(TAILS, 0.75))
    gross = beyond < 20 * OUTLIER
    rows: tuple[int, ...] = ()
    moved = np.zeros(len(case.params))
    if removed is not None and removed.p < OUTLIER:
        rows, moved = removed.rows, misfit.moves(at, removed.z, case.rows)
    elif robust and 0 < gross.sum() <= len(gross) // 4 and len(gross) >= 3 * at.free:
        rows = tuple(np.flatnonzero(gross).tolist())
    if not rows:
        return
    told = ", ".join(str(row + 1) for row in rows)
    subject = f"row {told} does" if len(rows) == 1 else f"rows {told} do"
    moved = np.nan_to_num(moved)
    if removed is not None and moved.max(initial=0.0) > 1:
        name = _exponent(case, moved)
        change = removed_change(case, removed, name)
        yield Note(
            "influential_rows",
            f"{len(rows)} row{'s' * (len(rows) > 1)} move{'s' * (len(rows) == 1)} {name} by "
            f"{change:.2g} (row{'s' * (len(rows) > 1)} {told}), more than its interval",
            "check them; fit with and without them, and say which",
        )
    elif not robust or gross.any():
        yield Note(
            "outliers",
            f"{subject} not follow the law as the others do",
            "check them for slips of unit" + ("" if robust else "; loss='huber' bounds their pull"),
        )


def _exponent(case: Case, moved: Array) -> str:
    """The exponent that moves most or, where none moves by its half width, any parameter."""
    names = list(case.params)
    plain_scale = [j for j, p in enumerate(case.law.params) if not p.log and moved[j] > 1]
    return names[max(plain_scale or range(len(names)), key=lambda j: moved[j])]


def removed_change(case: Case, removed: misfit.Removal, name: str) -> float:
    """How far a parameter moves when rows are removed, in its own unit."""
    j = list(case.params).index(name)
    shift = float(case.rows[j] @ (removed.z - case.at.z))
    now = case.params[name]
    return abs(now * float(np.expm1(min(shift, 50.0)))) if case.law.params[j].log else abs(shift)


def _structure(case: Case, rows: misfit.Rows) -> Iterator[Note]:
    variables = range(rows.u.shape[1])
    cluster = case.curve.cluster
    if cluster is not None:  # one row a run: what its rows share is the cluster's affair
        keep = np.unique(cluster[case.curve.weights > 0], return_inverse=True)[1]
        if keep.max() + 1 < len(keep):
            return
    orders = [[j, *(i for i in variables if i != j)] for j in variables]
    steps = [misfit.neighbours(misfit.levels(rows, order)) for order in orders]
    alike = min(1.0, min(steps) * len(steps))
    bent = misfit.bends(rows)
    structured = min(alike, bent) < STRUCTURE
    if len(orders) > 1:
        codes = np.unique(np.column_stack([rows.curve, rows.u[:, 0]]), axis=0, return_inverse=True)
        runs = codes[1].reshape(-1)
        if 4 <= runs.max() + 1 <= len(runs) / 3:
            together = misfit.together(rows, runs)
            # a law that bends wrongly makes neighbouring runs alike too
            own = steps[0] < STRUCTURE and min(steps[1:]) > SHARED
            if together < SHARED / 50 or (structured and (together < SHARED or own)):
                yield Note(
                    "checkpoints",
                    f"rows of one {case.called[0]} share their noise, as checkpoints of one run do",
                    "give the column of the runs as cluster",
                )
                return
    if not structured:
        return
    if bent > 0.02 and rows.spare >= 20:
        yield Note(
            "checkpoints",
            "neighbouring rows share their noise, as checkpoints of one run do",
            "give the column of the runs as cluster, or keep one row a run",
        )
        return
    below = _count_below(case)
    more = f", and {below} of {len(rows.e)} losses lie below the fitted floor" if below else ""
    where = case.variables[int(np.argmin(steps))]
    yield Note(
        "structured_residuals",
        f"residuals are of one sign over stretches of {where}: the law does not bend as the data "
        f"do{more}",
        "compare laws; leave the smallest sizes out; if the rows are checkpoints of one run, which "
        "share their noise, keep the last of each run",
    )


def _count_below(case: Case) -> int:
    floors = [case.params[p.name] for p in case.law.params if p.zero and p.name.startswith("E")]
    return int((case.curve.y < min(floors)).sum()) if floors else 0


def _below_floor(case: Case, used: Any) -> Iterator[Note]:
    """More losses below the floor than noise about the curve puts there."""
    law = case.law
    if (
        isinstance(law, Grouped)
        or "E" not in case.params
        or case.settings.objective.residual != "log"
    ):
        return
    floor, y = case.params["E"], case.curve.y[used]
    if floor <= 0 or len(y) < 8:
        return
    fitted = case.at.problem.predict(case.at.z[None])[0][used]
    sigma = np.sqrt((case.at.residuals[used] ** 2).sum() / max(len(y) - case.at.free, 1))
    likely = special.ndtr((np.log(floor) - fitted) / sigma)
    below = int((y < floor).sum())
    z = (below - likely.sum()) / max(float(np.sqrt((likely * (1 - likely)).sum())), 0.5)
    if special.ndtr(-z) < FLOOR:
        yield Note(
            "below_floor",
            f"{below} of {len(y)} losses lie below the fitted floor {floor:.4g}",
            "the floor is too high: compare laws",
        )


def _choice_of_loss(case: Case) -> Iterator[Note]:
    at = case.at
    n = int((at.weights > 0).sum())
    if n < 3 * len(at.z) or at.problem.objective.loss == "student":
        return
    scale = 1.4826 * float(np.median(np.abs(at.residuals))) * np.sqrt(n / max(n - at.free, 1))
    if scale <= 0:
        return
    moved = np.nan_to_num(misfit.moves(at, misfit.other_loss(at, scale), case.rows))
    if moved.max() > 1:
        name = _exponent(case, moved)
        other = "huber" if at.problem.objective.loss == "l2" else "l2"
        yield Note(
            "loss_matters",
            f"with loss='{other}' {name} moves by more than half its interval",
            "look at the rows that are far off; report both",
        )


def lack_of_fit(case: Case) -> float:
    """p-value of the F test of the law against the means of replicated x; nan without replicates.

    Needs rows with equal x; the noise of one level is compared with the law's misfit.
    """
    code = np.unique(case.curve.x, axis=0, return_inverse=True)[1].reshape(-1)
    levels, n, free = int(code.max()) + 1, len(code), len(case.at.z)
    if n - levels < 3 or levels <= free or case.settings.objective.loss != "l2":
        return np.nan
    r, w = case.at.residuals, case.curve.weights
    means = np.bincount(code, w * r) / np.maximum(np.bincount(code, w), 1e-300)
    pure = float((w * (r - means[code]) ** 2).sum())
    misfit_ = float((w * r**2).sum()) - pure
    if pure <= 0:
        return np.nan
    ratio = (misfit_ / (levels - free)) / (pure / (n - levels))
    return float(special.fdtrc(levels - free, n - levels, ratio))
