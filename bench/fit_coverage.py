"""Simulated coverage of the default (profile) intervals.

Writes lib/dataworth/published_data/measured_coverage.csv after each setting; `--runs 6 12` measures
only the settings with so many runs and keeps the other rows of the file.

One simulation draws a real and a synthetic curve E + a x^-k, fits both and asks whether the 95 %
interval of k, of E, of the loss at 10 times the largest size, and of the equivalence ratio holds
the truth. (An interval holds the truth exactly when the test of the truth has p > 0.05.)

    python bench/fit_coverage.py --simulations 400
    python bench/fit_coverage.py --simulations 1000 --runs 6

`--surface` prints, instead, the coverage for Hoffmann's law on lines of equal compute, D = C / 6N:
alpha, beta, E and the loss far beyond the data, under even, heavy-tailed and uneven noise.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path
from typing import Any

import numpy as np
from provenance import provenance

from dataworth.fit import Fit, equivalence_test, fit

REAL, SYNTHETIC = (0.10, 20.0, 0.45), (0.30, 20.0, 0.40)
LOWER = 0.09  # what the setting `low floor` takes from both floors: the real one is then 0.01
LEVELS = {5: 5, 6: 6, 12: 6, 24: 8, 60: 12, 200: 20}  # sizes, from 250 to 64,000, by number of runs
NOISE = 0.02
# noise model, loss that is fitted, number of runs
CELLS = [
    *((noise, loss, n)
      for noise, loss in (("gaussian", "l2"), ("gaussian", "huber"), ("t3", "huber"),
                          ("outliers", "huber"))
      for n in LEVELS),
    *(("clusters", "l2", n) for n in (24, 60, 200)),
    *(("low floor", "l2", n) for n in (6, 24)),
    *(("falling", "l2", n) for n in LEVELS),
    ("falling", "huber", 24),
    *(("leverage", "l2", n) for n in (12, 24)),
    ("t3", "l2", 24),
]  # fmt: skip
HOFFMANN = np.array([0.5267228, 6.0073404, 6.0179186, 0.33917084, 0.2849083])  # E, A, B in logs
SURFACES = [
    ("gaussian", "l2", 24), ("t3", "l2", 240), ("falling", "l2", 60), ("falling", "huber", 60),
    ("t3", "chinchilla", 240),
]  # fmt: skip
OUT = Path(__file__).parents[1] / "lib/dataworth/published_data/measured_coverage.csv"
QUANTITIES = ("k", "E", "loss at 10x", "ratio")


def noise_of(kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """Relative noise, Gaussian unless named: `clusters`, pairs of rows share most of theirs."""
    if kind == "t3":
        return NOISE * rng.standard_t(3, size=n)
    if kind == "outliers":  # every twentieth run is off by ten times the noise
        return NOISE * rng.normal(size=n) * np.where(rng.random(n) < 0.05, 10, 1)
    if kind == "falling":  # noise 4.5 times as large at the smallest size as at the largest
        return NOISE * rng.normal(size=n) * np.geomspace(np.exp(0.75), np.exp(-0.75), n)
    if kind == "clusters":
        common = np.repeat(rng.normal(size=n // 2), 2)
        return NOISE * (0.9 * common + np.sqrt(1 - 0.81) * rng.normal(size=n))
    return NOISE * rng.normal(size=n)


def loss_at(truth: tuple[float, float, float], x: float) -> float:
    floor, a, k = truth
    return floor + a * x**-k


def simulate(truth: tuple[float, float, float], kind: str, loss: str, n: int, rng) -> Fit:
    floor, a, k = truth
    x = np.repeat(np.geomspace(250, 64000, LEVELS[n]), n // LEVELS[n])
    if kind == "leverage":  # all but two sizes lie below a sixteenth of the largest
        x = np.append(np.geomspace(250, 4000, n - 2), [16000, 64000])
    y = (floor + a * x**-k) * np.exp(noise_of(kind, n, rng))
    runs = {"x": x, "y": y, "cluster": np.arange(n) // 2}
    return fit(runs, law="shifted", loss=loss, cluster="cluster" if kind == "clusters" else None)


def surface(n: int, kind: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """n runs of Hoffmann's law (digits of the TeX source) with 1 % noise."""
    budget = np.repeat(10 ** np.linspace(18.8, 21.5, 9), -(-n // 9))[:n]
    params = np.clip(0.1 * budget**0.5 * 10 ** rng.uniform(-1, 1, n), 4e7, 1.6e10)
    tokens = budget / 6 / params
    scale = (params / 4e7) ** -0.25 if kind == "falling" else 1.0
    error = 0.5 * scale * noise_of("t3" if kind == "t3" else "gaussian", n, rng)
    return {"N": params, "D": tokens, "y": hoffmann(params, tokens) * np.exp(error)}


def hoffmann(params: Any, tokens: Any) -> Any:
    e, a, b = np.exp(HOFFMANN[:3])
    return e + a * params ** -HOFFMANN[3] + b * tokens ** -HOFFMANN[4]


def surfaces(simulations: int, seed: int) -> None:
    """One line a setting; the last number is of the loss at N = 1e11, D = 1e12."""
    for kind, loss, n in SURFACES:
        rng = np.random.default_rng([seed, n, len(kind + loss)])
        hits = np.zeros(4)
        for _ in range(simulations):
            one = fit(surface(n, kind, rng), law="chinchilla", x=["N", "D"], loss=loss)
            truth = {"alpha": HOFFMANN[3], "beta": HOFFMANN[4], "E": np.exp(HOFFMANN[0])}
            p = [one.test(name, value) for name, value in truth.items()]
            p.append(one.test_mean([[1e11, 1e12]], hoffmann(1e11, 1e12)))
            hits += np.array(p) > 0.05
        print("surface", kind, loss, n, (hits / simulations).round(3).tolist(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, nargs="*", default=sorted(LEVELS))
    parser.add_argument("--kinds", nargs="*", help="noise models; all if not given")
    parser.add_argument("--surface", action="store_true")
    options = parser.parse_args()
    if options.surface:
        surfaces(options.simulations, options.seed)
        return
    n_real = 8000.0
    n_synthetic = (SYNTHETIC[1] / (loss_at(REAL, n_real) - SYNTHETIC[0])) ** (1 / SYNTHETIC[2])
    measured = {}  # rows of each setting, in the order of CELLS
    if options.out.is_file():
        with options.out.open(encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                measured.setdefault((row["noise"], row["loss"], int(row["n"])), []).append(row)
    for kind, loss, n in CELLS:
        if n not in options.runs or kind not in (options.kinds or [kind]):
            continue
        rng = np.random.default_rng([options.seed, n, sum(map(ord, kind + loss))])
        start = time.process_time()
        lower = LOWER if kind == "low floor" else 0.0
        truth, other = ((t[0] - lower, *t[1:]) for t in (REAL, SYNTHETIC))
        p = np.empty((options.simulations, 4))
        open_ends = 0
        for s in range(options.simulations):
            real = simulate(truth, kind, loss, n, rng)
            synthetic = simulate(other, kind, loss, n, rng)
            p[s] = (
                real.test("k", truth[2]), real.test("E", truth[0]),
                real.test_mean(640_000, loss_at(truth, 640_000)),
                equivalence_test(synthetic, real, n_synthetic / n_real, at_real=n_real),
            )  # fmt: skip
            if s < 50:
                open_ends += real.interval("k").open
        seconds = time.process_time() - start
        rows = measured[kind, loss, n] = []
        for j, quantity in enumerate(QUANTITIES):
            covered = float((p[:, j] > 0.05).mean())
            error = float(np.sqrt(covered * (1 - covered) / options.simulations))
            rows.append({
                "noise": kind, "loss": loss, "n": n, "quantity": quantity, "coverage": covered,
                "standard_error": round(error, 4), "simulations": options.simulations,
                "open_share_k": open_ends / min(50, options.simulations),
                "seed": options.seed, **provenance(seconds),
            })  # fmt: skip
        print(kind, loss, n, [round(float((p[:, j] > 0.05).mean()), 3) for j in range(4)],
              f"nan {np.isnan(p).sum()}", f"{seconds:.0f} s", flush=True)  # fmt: skip
        with options.out.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
            writer.writeheader()
            for cell in CELLS:
                writer.writerows(measured.get(cell, []))


if __name__ == "__main__":
    main()
