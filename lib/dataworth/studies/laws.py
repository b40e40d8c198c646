"""Parameters of the chapters on laws, and what they compute: simulated curves whose truth is known,
and answers from published points."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from dataworth.arrays import Array
from dataworth.parameters import Parameters, field
from dataworth.stats import Estimate

if TYPE_CHECKING:
    import pandas as pd

    from dataworth.fit import Fit, Interval

HOFFMANN = {
    "E": float(np.exp(0.5267228)),
    "A": float(np.exp(6.0073404)),
    "B": float(np.exp(6.0179186)),
    "alpha": 0.33917084,
    "beta": 0.2849083,
}
"""Constants of Hoffmann et al. 2022, approach 3, with the digits of the paper's source."""
ROUNDED = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}
"""The same as the paper prints them."""


class Fitting(Parameters):
    """Parameters of the chapter *fitting*."""

    runs: int = field("simulated runs of the L(N, D) study", "runs", ge=20, le=10**6)
    noise: float = field("scale of the heavy-tailed relative noise", gt=0, le=1)
    resamples: int = field("bootstrap resamples", "draws", ge=50, le=10**6)
    starts: int = field("starts of the published grid that are tried", "starts", ge=10, le=10**6)
    curves: int = field("simulated curves behind each distribution", "curves", ge=20, le=10**6)
    seed: int = field("seed of the simulations", ge=0, le=2**32 - 1)


class PublishedCurves(Parameters):
    """Parameters of the chapter *published curves*."""

    resamples: int = field("draws from published standard deviations", "draws", ge=50, le=10**6)
    level: float = field("level of the intervals", gt=0.5, lt=1)
    seed: int = field("seed of the draws", ge=0, le=2**32 - 1)


# ---- Simulated curves ---------------------------------------------------------------------------


def simulated_runs(runs: int, noise: float, rng: np.random.Generator) -> pd.DataFrame:
    """Runs of Hoffmann's law on nine budgets of 6e18 to 3e21 FLOP: columns N, D and loss.

    Each has a random size within a decade of its budget's typical one, and a loss that is off by
    `noise` times Student's t with three degrees of freedom, relative.
    """
    import pandas as pd

    budget = np.resize(np.repeat(10 ** np.linspace(18.8, 21.5, 9), 27), runs)
    n = np.clip(0.1 * budget**0.5 * 10 ** rng.uniform(-1, 1, runs), 4e7, 1.6e10)
    d = budget / 6 / n
    c = HOFFMANN
    clean = c["E"] + c["A"] * n ** -c["alpha"] + c["B"] * d ** -c["beta"]
    return pd.DataFrame({"N": n, "D": d, "loss": clean * np.exp(noise * rng.standard_t(3, runs))})


def compute_optimal(constants: Mapping[str, float], budget: ArrayLike) -> tuple[Array, Array]:
    """Parameters N* and tokens D* with the lowest loss at a budget C = 6 N D, in closed form
    (Hoffmann et al. 2022, equation 4)."""
    a, b = constants["alpha"], constants["beta"]
    g = (a * constants["A"] / (b * constants["B"])) ** (1 / (a + b))
    each = np.asarray(budget, dtype=float) / 6
    return g * each ** (b / (a + b)), each ** (a / (a + b)) / g


def exponent_by_range(
    sizes: Array, losses: Array, law: str, counts: Iterable[int]
) -> list[Interval]:
    """k of a law fitted to the first m of n sizes, for each m."""
    from dataworth.fit import fit  # slow to import

    return [fit({"x": sizes[:m], "y": losses[:m]}, law=law).interval("k") for m in counts]


def exponents_by_loss(
    curves: int, losses: Sequence[str], rng: np.random.Generator
) -> dict[str, Array]:
    """Fitted k of simulated curves 0.1 + 20 x^-0.45 by loss function, (curves,) each.

    A curve has three runs at each of eight sizes, with a relative noise of 2 %; one run in twenty
    is off by ten times that.
    """
    from dataworth.fit import fit

    x = np.repeat(np.geomspace(250, 64000, 8), 3)
    found: dict[str, list[float]] = {name: [] for name in losses}
    for _ in range(curves):
        off = np.where(rng.random(24) < 0.05, 10, 1)
        y = (0.1 + 20 * x**-0.45) * np.exp(0.02 * off * rng.normal(size=24))
        for name, values in found.items():
            values.append(fit({"x": x, "y": y}, law="shifted", loss=name).params["k"])
    return {name: np.array(values) for name, values in found.items()}


def searches(model: Fit, starts: int) -> dict[str, pd.DataFrame]:
    """Where a general optimiser ends on the objective of a fit of Hoffmann's law: on its "sum" over
    the runs, as published, and on its "mean", which meets the stopping rule sooner.

    starts: about so many of the published grid of 4,500. Columns, by start: `excess`, the objective
    above that of `model`, relative (1e-9 at least, for a logarithmic axis); `alpha`.
    """
    import pandas as pd
    from scipy.optimize import minimize
    from scipy.special import huber

    (log_n, log_d), log_y = np.log(model.curve.x).T, np.log(model.curve.y)

    def total(t: Array, divide_by: float) -> float:
        terms = [t[0] - t[3] * log_n, t[1] - t[4] * log_d, np.full(len(log_y), t[2])]
        return float(huber(1e-3, np.logaddexp.reduce(terms) - log_y).sum() / divide_by)

    scales, exponents = np.arange(0, 30, 5), np.arange(0, 2.5, 0.5)
    grid = list(itertools.product(scales, scales, np.arange(-1, 1.5, 0.5), exponents, exponents))
    tried = [np.array(start) for start in grid[:: max(1, len(grid) // starts)]]
    found = {}
    for name, divide_by in {"sum": 1.0, "mean": float(len(log_y))}.items():
        ends: list[Any] = [minimize(total, s, args=(divide_by,), method="L-BFGS-B") for s in tried]
        excess = np.array([end.fun * divide_by for end in ends]) / model.objective - 1
        found[name] = pd.DataFrame(
            {"excess": np.maximum(excess, 1e-9), "alpha": [end.x[3] for end in ends]}
        )
    return found


# ---- Published points ---------------------------------------------------------------------------


def break_even(totals: Array, accuracy: Array, base: Array) -> Array:
    """Total of images at which accuracy falls below that of real images alone, in each draw, (B,).

    totals: (m,), growing. accuracy: (B, m), drawn at the totals. base: (B,), drawn for real images
    alone. Between totals accuracy is interpolated in log total; infinite where it never falls
    below, the first total where it starts there.
    """
    below = accuracy < base[:, None]
    at = below.argmax(1)
    before, rows = np.maximum(at - 1, 0), np.arange(len(base))
    y0, y1 = accuracy[rows, before] - base, accuracy[rows, at] - base
    fraction = np.clip(y0 / np.where(y0 == y1, 1, y0 - y1), 0, 1)
    logs = np.log(totals)
    end = np.exp(logs[before] + fraction * (logs[at] - logs[before]))
    return np.where(below.any(1), end, np.inf)


def slope(x: Array, y: Array, level: float = 0.95) -> Estimate:
    """Slope of the least-squares line through n >= 3 points, with Student's interval; no draws."""
    from scipy import stats

    line = stats.linregress(x, y)
    half = stats.t.ppf((1 + level) / 2, len(x) - 2) * line.stderr
    return Estimate(line.slope, line.slope - half, line.slope + half, np.empty(0))
