"""What a reader must know before trusting a fit: flags, each with a sentence, and lack of fit."""

from __future__ import annotations

import numpy as np
from scipy import special

from .result import Fit
from .solver import Status
from .table import duplicated

FLAGS = {
    "at_bound": "a parameter ended at the edge of what the law allows",
    "constant_y": "all losses are equal: there is no curve",
    "duplicated_rows": "rows occur twice: they are counted twice",
    "few_rows": "under three rows a parameter: a misfit of the law does not show",
    "lack_of_fit": "the law misses the means of repeated sizes by more than their noise",
    "no_interval": "this loss has no interval without --bootstrap",
    "not_converged": "the search did not converge: do not use these numbers",
    "saturated": "as many parameters as sizes: the law passes through all means, nothing tests it",
    "unconverged_draws": "more than 1 % of the resamples did not converge",
    "unidentified": "the data do not identify all parameters: some of them may take any value",
    "unidentified_draws": "more than 1 % of the resamples do not identify all parameters",
}
"""What a flag of a fit says; any other is X_at_zero."""


def flags(result: Fit, levels: int) -> tuple[str, ...]:
    """Flags of an estimate without its draws; `levels`: number of different x."""
    curve, settings, at = result.curve, result.settings, result.minimum
    found = []
    if levels == result.free:
        found.append("saturated")
    elif int((curve.weights > 0).sum()) < 3 * result.free:
        found.append("few_rows")
    if np.ptp(curve.y) == 0:
        found.append("constant_y")
    if duplicated(curve.x, curve.y):
        found.append("duplicated_rows")
    for p in result.law.params:
        if p.zero and p.name not in settings.fixed and result.params[p.name] == 0:
            base, _, label = p.name.partition("[")
            found.append(f"{base}_at_zero" + (f"[{label}" if label else ""))
    if result.status == Status.AT_BOUND:
        found.append("at_bound")
    if result.status == Status.MAX_ITERATIONS:
        found.append("not_converged")
    if lack_of_fit(result) < 0.01:
        found.append("lack_of_fit")
    problem = at.problem
    _, hessian = problem.derivatives(at.z[None], at.target[None], at.weights[None], False)
    scale = 1 / np.sqrt(np.maximum(np.diag(hessian[0]), 1e-280))
    # a parameter at the edge of its box is held there, so its own flatness says nothing
    inside = (at.z > problem.lower) & (at.z < problem.upper)
    scaled = (hessian[0] * scale[:, None] * scale)[np.ix_(inside, inside)]
    if inside.any() and np.linalg.eigvalsh(scaled).min() < 1e-10:
        found.append("unidentified")
    return tuple(found)


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
