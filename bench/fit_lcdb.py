"""Extrapolation as it is in life: rolling-origin coverage on the learning curves of LCDB.

Needs the package `lcdb` (Mohr et al. 2022, MIT; `pip download --no-deps --no-binary :all:
lcdb==0.1.0` and unpack): DATAWORTH_LCDB names its folder with database-accuracy.csv. A curve is
the mean test error of one learner on one data set by number of training examples, from 16 on in
steps of 2^(1/2); curves of fewer than ten sizes, with gaps, or that reach an error of zero are left
out. From each data set `--curves` learners are taken by lot.

Each curve is fitted up to about .5, .6, .7 and .8 of its sizes (seven or more), and every size
beyond is predicted, with the 95 % interval of one further run, which is right if the law is
(`fit`), and with that of `Forecast.predict`, which allows for a wrong law (`curves`). Its factor
comes from four fifths of the data sets, and its coverage from the other fifth. Writes
lib/dataworth/published_data/measured_lcdb.csv and prints the factors of all data sets, which stand
in dataworth.fit.extrapolate.

    OMP_NUM_THREADS=1 DATAWORTH_LCDB=lcdb-0.1.0/lcdb python bench/fit_lcdb.py
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from provenance import provenance

from dataworth.fit import Fit
from dataworth.fit.estimate import Settings, solve
from dataworth.fit.extrapolate import missed, spread
from dataworth.fit.forms import get
from dataworth.fit.minimum import student_quantile
from dataworth.fit.objective import make
from dataworth.fit.solver import Status
from dataworth.fit.values import Curve

OUT = Path(__file__).parents[1] / "lib/dataworth/published_data/measured_lcdb.csv"
LAWS = ("power", "shifted", "m4")
LEVELS = (0.5, 0.8, 0.9, 0.95)
BINS = {"the next size": 1.5, "1.5 to 2.1": 2.1, "2.1 to 4.2": 4.2, "4.2 to 8.5": 8.5,
        "8.5 or more": np.inf}  # fmt: skip


def curves_of(folder: Path, each: int, seed: int) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Number of the data set, sizes and mean errors of `each` curves a data set."""
    names = ["openmlid", "learner", "size_train", "score_test"]
    rows = pd.read_csv(folder / "database-accuracy.csv", usecols=names)
    found = (1 - rows.set_index(names[:3]).score_test).groupby(level=[0, 1, 2]).mean()
    grid = np.round(2 ** np.arange(4, 24, 0.5))
    usable: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    for (data_set, _), curve in found.groupby(level=[0, 1]):
        size, error = curve.index.get_level_values(2).to_numpy(float), curve.to_numpy()
        steps = np.abs(size[:-1] - grid[: len(size) - 1]).max() <= 1  # the last one is what is left
        if len(size) >= 10 and steps and (error > 0).all():
            usable.setdefault(int(data_set), []).append((size, error))
    rng = np.random.default_rng(seed)
    return [
        (data_set, *curves[i])
        for data_set, curves in sorted(usable.items())
        for i in rng.permutation(len(curves))[:each]
    ]


def fitted_to_first(curves: list[tuple[int, np.ndarray, np.ndarray]], law: str) -> list[dict]:
    """For each curve, the fits to its first sizes by their number. Curves share their sizes but
    for the last, so that the fits to equally many sizes are one batch of the solver."""
    chosen = get(law)
    settings = Settings(chosen, make("l2", "log", None))
    found: list[dict] = [{} for _ in curves]
    for count in range(len(chosen.params) + 1, max(len(c[1]) for c in curves)):
        here = [i for i, (_, size, _) in enumerate(curves) if count < len(size)]
        x = curves[here[0]][1][:count, None]
        log_x0, y = chosen.log_scale(x), np.stack([curves[i][2][:count] for i in here])
        for part in np.array_split(np.arange(len(here)), len(here) // 100 + 1):
            solved = solve(settings, x, log_x0, y[part], np.ones((len(part), count)))
            for j, phi, value, status in zip(part, *solved, strict=True):
                rows = Curve(x, y[j], np.ones(count))
                ended = Status(int(status))
                found[here[j]][count] = Fit(settings, rows, log_x0, phi, float(value), ended, ())
    return found


def predicted(data_set: int, size: np.ndarray, error: np.ndarray, fits: dict) -> list[dict]:
    """Every prediction of a curve by one law."""
    rows = []
    for count in sorted({round(f * len(size)) for f in (0.5, 0.6, 0.7, 0.8)}):
        if not 7 <= count < len(size):
            continue
        one, beyond = fits[count], size[count:]
        sigma, dof = spread(one, beyond[:, None])
        miss = missed(one, lambda inside: fits[int(inside.sum())])
        off = np.abs(np.log(one.mean(beyond) / error[count:]))
        rows += [
            {"data_set": data_set, "distance": d, "step": step, "off": e,
             "own": s * student_quantile(0.95, dof), "scale": d * np.hypot(s, miss)}
            for step, (d, e, s) in enumerate(zip(beyond / size[count - 1], off, sigma, strict=True))
        ]  # fmt: skip
    return rows


def quantile(values: np.ndarray, level: float) -> float:
    """The conformal quantile: the ceil((n + 1) level)-th smallest value."""
    return float(np.sort(values)[min(int(np.ceil((len(values) + 1) * level)), len(values)) - 1])


def clustered(inside: pd.Series, data_set: pd.Series) -> float:
    """Standard error of a share whose rows come in data sets."""
    excess = (inside - inside.mean()).groupby(data_set).sum()
    return float(np.sqrt((excess**2).sum()) / len(inside))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--curves", type=int, default=2, help="curves a data set")
    parser.add_argument("--laws", nargs="*", default=list(LAWS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    folder = Path(os.environ.get("DATAWORTH_LCDB", ""))
    if not (folder / "database-accuracy.csv").is_file():
        print("no learning curves: set DATAWORTH_LCDB to their folder", file=sys.stderr)
        return 2
    curves = curves_of(folder, options.curves, options.seed)
    data_sets = sorted({c[0] for c in curves})
    order = np.random.default_rng(options.seed).permutation(len(data_sets))
    fold = dict(zip(data_sets, (order % 5).tolist(), strict=True))
    written = []
    for law in options.laws:
        start = time.process_time()
        fits = fitted_to_first(curves, law)
        each = zip(curves, fits, strict=True)
        rows = pd.DataFrame([row for curve, own in each for row in predicted(*curve, own)])
        score = rows.off / rows.scale
        part = rows.data_set.map(fold)
        factor = part.map({
            f: quantile(score[part != f].to_numpy(), 0.95) for f in range(5)
        })  # fmt: skip
        print(law, len(curves), "curves", {v: round(quantile(score.to_numpy(), v), 3)
                                           for v in LEVELS}, flush=True)  # fmt: skip
        widths = {"fit": rows.own, "curves": factor * rows.scale}
        low = 0.0
        for name, high in BINS.items():
            here = (rows.step == 0) if low == 0 else (rows.step > 0) & (rows.distance > low)
            here &= rows.distance <= high
            low = high
            for kind, half in widths.items():
                inside = (rows.off <= half)[here].astype(float)
                written.append({
                    "law": law, "interval": kind, "distance": name, "level": 0.95,
                    "coverage": round(inside.mean(), 4),
                    "standard_error": round(clustered(inside, rows.data_set[here]), 4),
                    "half_width": round(float(np.median(half[here])), 4),
                    "rmsle": round(float(np.sqrt((rows.off[here] ** 2).mean())), 4),
                    "factor": round(quantile(score.to_numpy(), 0.95), 3),
                    "points": int(here.sum()), "curves": len(curves),
                    "data_sets": int(rows.data_set[here].nunique()), "seed": options.seed,
                    **provenance(time.process_time() - start),
                })  # fmt: skip
    table = pd.DataFrame(written)
    table.to_csv(options.out, index=False)
    print(table[["law", "interval", "distance", "coverage", "standard_error", "half_width", "rmsle",
                 "points"]].to_string(index=False))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
