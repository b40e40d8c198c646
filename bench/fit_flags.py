"""Recall and false alarms of the flags of a fit, on simulated runs.

Writes lib/dataworth/published_data/measured_flags.csv. Under laws that are true, a flag is a false
alarm if it says that the law, the rows or the columns are wrong (`ALARMS`); where something is
planted, the fit must carry one of the flags that name it.

    OMP_NUM_THREADS=1 python bench/fit_flags.py --simulations 200
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from provenance import provenance

from dataworth.fit import fit

ALARMS = {
    "below_floor", "checkpoints", "heteroscedastic", "influential_rows", "lack_of_fit",
    "looks_like_flops", "loss_matters", "not_monotone", "outliers", "rises",
    "structured_residuals",
}  # fmt: skip
MISFIT = {"structured_residuals", "lack_of_fit", "not_monotone", "rises", "checkpoints", "outliers",
          "influential_rows"}  # fmt: skip
ROWS = {"outliers", "influential_rows"}
OUT = Path(__file__).parents[1] / "lib/dataworth/published_data/measured_flags.csv"
Table = dict[str, np.ndarray]


def curve(n: int, noise: float, rng: np.random.Generator, sd: np.ndarray | float = 1.0) -> Table:
    """n runs of E + a x^-k, sizes 250 to 64,000, half of the time in pairs."""
    distinct = n if n < 12 or rng.random() < 0.5 else n // 2
    x = np.sort(np.resize(np.geomspace(250, 64000, distinct), n))
    y = (0.3 + 20 * x ** -rng.uniform(0.35, 0.6)) * np.exp(noise * sd * rng.normal(size=n))
    return {"x": x, "y": y}


def surface(n: int, noise: float, rng: np.random.Generator, tails: bool = False) -> Table:
    """n runs of Hoffmann's law on lines of equal compute, D = C / 6N."""
    budget = np.repeat(10 ** np.linspace(18.8, 21.5, 6), -(-n // 6))[:n]
    params = np.clip(0.1 * budget**0.5 * 10 ** rng.uniform(-1, 1, n), 4e7, 1.6e10)
    tokens = budget / 6 / params
    y = np.exp(0.5267) + np.exp(6.0073) * params**-0.3392 + np.exp(6.0179) * tokens**-0.2849
    error = rng.standard_t(5, size=n) if tails else rng.normal(size=n)
    return {"N": params, "D": tokens, "y": y * np.exp(noise * error)}


def bent(n: int, noise: float, rng: np.random.Generator) -> Table:
    """A power law whose exponent changes from .1 to .6 in the middle."""
    x = np.geomspace(250, 64000, n)
    y = 5 * x**-0.1 * (1 + (x / 4000) ** 2) ** -0.25
    return {"x": x, "y": y * np.exp(noise * rng.normal(size=n))}


def descent(n: int, noise: float, rng: np.random.Generator) -> Table:
    """A fall with a peak in the middle, half as high again as the curve."""
    x = np.geomspace(250, 64000, n)
    peak = 1 + 0.5 * np.exp(-(np.log(x / 6000) ** 2))
    return {"x": x, "y": (1 + 20 * x**-0.5) * peak * np.exp(noise * rng.normal(size=n))}


def valley(n: int, noise: float, rng: np.random.Generator) -> Table:
    """A loss that rises again over the last third of the sizes."""
    x = np.geomspace(250, 64000, n)
    y = 20 * x**-0.5 + 0.002 * x**0.5
    return {"x": x, "y": y * np.exp(noise * rng.normal(size=n))}


def with_outliers(count: int) -> Callable[..., Table]:
    def make(n: int, noise: float, rng: np.random.Generator) -> Table:
        runs = curve(n, noise, rng)
        rows = rng.choice(n, count, replace=False)
        runs["y"][rows] *= np.exp(12 * noise * rng.choice([-1, 1], count))
        return runs

    return make


def with_slip(column: str, factor: float) -> Callable[..., Table]:
    """One row of a column in another unit."""

    def make(n: int, noise: float, rng: np.random.Generator) -> Table:
        runs = surface(n, noise, rng) if column in "ND" else curve(n, noise, rng)
        runs[column][rng.integers(n)] *= factor
        return runs

    return make


def accuracy(n: int, noise: float, rng: np.random.Generator) -> Table:
    x = np.geomspace(250, 64000, n)
    return {"x": x, "y": 100 - 300 * x**-0.4 * np.exp(noise * rng.normal(size=n))}


def flops(n: int, noise: float, rng: np.random.Generator) -> Table:
    runs = surface(n, noise, rng)
    return runs | {"D": 6 * runs["N"] * runs["D"]}


def falling_noise(n: int, noise: float, rng: np.random.Generator) -> Table:
    """Noise ten times as large at the smallest size as at the largest."""
    return curve(n, noise, rng, np.geomspace(3, 0.3, n))


def shared_noise(n: int, noise: float, rng: np.random.Generator) -> Table:
    """Checkpoints of n / 10 runs: each run's own shift is three times the noise of a row."""
    run = np.repeat(np.arange(n // 10), 10)
    params = np.geomspace(1e7, 1e9, n // 10)[run]
    tokens = np.tile(np.geomspace(1e9, 1e11, 10), n // 10)
    y = 1.7 + 400 * params**-0.34 + 410 * tokens**-0.28
    shift = 3 * rng.normal(size=n // 10)[run] + rng.normal(size=n)
    return {"N": params, "D": tokens, "y": y * np.exp(noise * shift)}


# what is planted, rows, relative noise, law, loss, table, flags that name it (none: it is true)
CELLS: list[tuple[str, int, float, str, str, Callable[..., Table], set[str]]] = [
    ("nothing", 6, 0.02, "shifted", "l2", curve, set()),
    ("nothing", 12, 0.02, "shifted", "l2", curve, set()),
    ("nothing", 24, 0.005, "shifted", "l2", curve, set()),
    ("nothing", 24, 0.02, "shifted", "huber", curve, set()),
    ("nothing", 60, 0.02, "shifted", "l2", curve, set()),
    ("nothing", 36, 0.01, "chinchilla", "l2", surface, set()),
    ("nothing", 120, 0.01, "chinchilla", "huber", surface, set()),
    ("nothing, t5 noise", 120, 0.01, "chinchilla", "huber",
     lambda n, s, rng: surface(n, s, rng, tails=True), set()),
    ("a bend", 16, 0.01, "shifted", "l2", bent, MISFIT),
    ("a bend", 40, 0.02, "shifted", "huber", bent, MISFIT),
    ("double descent", 15, 0.01, "shifted", "l2", descent, MISFIT),
    ("a rise at the end", 12, 0.02, "shifted", "l2", valley, MISFIT),
    ("1 outlier of 12 sd", 12, 0.01, "shifted", "l2", with_outliers(1), ROWS),
    ("2 outliers of 12 sd", 24, 0.01, "shifted", "l2", with_outliers(2), ROWS),
    ("2 outliers of 12 sd", 40, 0.01, "shifted", "huber", with_outliers(2), ROWS),
    ("one loss in percent", 12, 0.02, "shifted", "l2", with_slip("y", 100.0), ROWS),
    ("one loss in bits", 24, 0.02, "shifted", "l2", with_slip("y", 1.4427), ROWS),
    ("one N in thousands", 36, 0.01, "chinchilla", "l2", with_slip("N", 1e-3), ROWS),
    ("compute for tokens", 36, 0.01, "chinchilla", "l2", flops, {"looks_like_flops"}),
    ("accuracy for loss", 10, 0.02, "power", "l2", accuracy, {"rises"}),
    ("noise falls tenfold", 40, 0.02, "shifted", "l2", falling_noise, {"heteroscedastic"}),
    ("checkpoints of one run", 80, 0.005, "chinchilla", "l2", shared_noise, {"checkpoints"}),
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="what is planted starts so")
    options = parser.parse_args()
    rows = []
    for cell, (planted, n, noise, law, loss, table, wanted) in enumerate(CELLS):
        if not planted.startswith(options.only):
            continue
        rng = np.random.default_rng([options.seed, cell])
        start = time.process_time()
        variables = ["N", "D"] if law == "chinchilla" else ["x"]
        hits, seen = 0, dict.fromkeys(sorted(ALARMS), 0)
        for _ in range(options.simulations):
            flags = set(fit(table(n, noise, rng), law=law, x=variables, y="y", loss=loss).flags)
            hits += bool(flags & (wanted or ALARMS))
            for flag in flags & ALARMS:
                seen[flag] += 1
        fraction = hits / options.simulations
        error = float(np.sqrt(fraction * (1 - fraction) / options.simulations))
        rows.append({
            "planted": planted, "n": n, "noise": noise, "law": law, "loss": loss,
            "quantity": "recall" if wanted else "false alarms", "fraction": fraction,
            "standard_error": round(error, 4), "simulations": options.simulations,
            "seed": options.seed, **provenance(time.process_time() - start),
        })  # fmt: skip
        told = {flag: count for flag, count in seen.items() if count}
        print(planted, n, law, loss, rows[-1]["quantity"], round(fraction, 3), told, flush=True)
    if not options.only:
        with options.out.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
