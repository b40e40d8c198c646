"""Speed and quality of the solver beside scipy, on one core; prints one JSON record.

Bootstrap: the five-parameter Chinchilla law on 240 simulated runs, Huber with delta = 1e-3 on log
loss, against one BFGS run with analytic gradient for each resample (the published replication's
method, Besiroglu et al. 2024) and, where it is installed, `simple-scaling-laws`.
Times are of the processor, so other work on the machine counts little; ours and the peer's are
medians of three.

Search: our point fit against the 4500-start grid of Hoffmann et al. 2022 with L-BFGS-B and finite
differences, of which every `--stride`-th start is run and the time scaled up.

    OMP_NUM_THREADS=1 python bench/fit_speed.py

`simple-scaling-laws` needs Python 3.12, in an environment of its own:

    python3.12 -m venv /tmp/peer
    /tmp/peer/bin/pip install numpy scipy pandas pydantic simple-scaling-laws==0.2.0
    OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 PYTHONPATH=lib /tmp/peer/bin/python bench/fit_speed.py
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import time
from collections.abc import Callable
from importlib.util import find_spec

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import scipy
from scipy.optimize import minimize
from scipy.special import huber

from dataworth.fit import fit
from dataworth.fit.resample import multiplier_matrix

DELTA = 1e-3
REPEATS = 3


def runs(n: int = 240, seed: int = 0) -> dict[str, np.ndarray]:
    """Simulated runs of Hoffmann's law (digits of the TeX source) with heavy-tailed noise."""
    rng = np.random.default_rng(seed)
    budget = np.repeat(10 ** np.linspace(18.8, 21.5, 9), 27)[:n]
    params = np.clip(0.1 * budget**0.5 * 10 ** rng.uniform(-1, 1, n), 4e7, 1.6e10)
    tokens = budget / 6 / params
    loss = np.exp(0.5267228) + np.exp(6.0073404) * params**-0.33917084
    loss = loss + np.exp(6.0179186) * tokens**-0.2849083
    return {"N": params, "D": tokens, "loss": loss * np.exp(0.006 * rng.standard_t(3, size=n))}


def objective(
    table: dict[str, np.ndarray], counts: np.ndarray
) -> tuple[Callable[..., float], Callable[..., np.ndarray]]:
    """Sum of counts x Huber of the log residual, and its gradient, in (a, b, e, alpha, beta)."""
    log_n, log_d, log_y = (np.log(table[c]) for c in ("N", "D", "loss"))

    def terms(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = np.stack([t[0] - t[3] * log_n, t[1] - t[4] * log_d, np.full_like(log_n, t[2])])
        top = parts.max(0)
        shares = np.exp(parts - top)
        total = shares.sum(0)
        return shares / total, top + np.log(total) - log_y

    def value(t: np.ndarray) -> float:
        return float((counts * huber(DELTA, terms(t)[1])).sum())

    def gradient(t: np.ndarray) -> np.ndarray:
        shares, r = terms(t)
        g = counts * np.clip(r, -DELTA, DELTA)
        p, q, s = shares @ g, (shares[0] * log_n) @ g, (shares[1] * log_d) @ g
        return np.array([p[0], p[1], p[2], -q, -s])

    return value, gradient


def bootstrap(draws: int, peers: int) -> dict[str, object]:
    table = runs()
    point = fit(table, law="chinchilla", x=["N", "D"], y="loss", loss="chinchilla")
    counts = multiplier_matrix(np.arange(240), draws, seed=42)
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        ours = fit(
            table, law="chinchilla", x=["N", "D"], y="loss", loss="chinchilla", multipliers=counts
        )
        times.append(time.process_time() - start)
    elapsed = float(np.median(times))
    p = point.params
    warm = np.array([np.log(p["A"]), np.log(p["B"]), np.log(p["E"]), p["alpha"], p["beta"]])
    rows = np.linspace(0, draws - 1, peers).astype(int)
    worse = better = 0
    spent = 0.0
    d = ours.draws
    for b in rows:
        value, gradient = objective(table, counts[b])
        start = time.process_time()
        peer = minimize(value, warm, jac=gradient, method="BFGS")
        spent += time.process_time() - start
        mine = value(np.array([np.log(d["A"][b]), np.log(d["B"][b]), np.log(d["E"][b]),
                               d["alpha"][b], d["beta"][b]]))  # fmt: skip
        worse += mine > peer.fun * (1 + 1e-7)
        better += mine < peer.fun * (1 - 1e-4)
    record: dict[str, object] = {
        "draws": draws,
        "ms_per_draw": 1e3 * elapsed / draws,
        "bfgs_ms_per_draw": 1e3 * spent / peers,
        "times_faster_than_bfgs": spent / peers / (elapsed / draws),
        "draws_compared": peers,
        "draws_worse_than_bfgs": int(worse),
        "draws_better_than_bfgs_by_1e-4": int(better),
        "standard_errors": {name: float(v.std()) for name, v in d.items()},
    }
    if find_spec("simple_scaling_laws") is not None:
        peer_ms = float(np.median([simple_scaling_laws(table) for _ in range(REPEATS)]))
        record["simple_scaling_laws_ms_per_draw"] = peer_ms
        record["times_faster_than_simple_scaling_laws"] = peer_ms / (1e3 * elapsed / draws)
    return record


def simple_scaling_laws(table: dict[str, np.ndarray], draws: int = 200) -> float:
    """Milliseconds a draw of the peer's wild bootstrap (L2 on the loss itself; Python 3.12)."""
    import polars
    from simple_scaling_laws import fit as peer_fit

    n = len(table["loss"])
    extra = {"run": [str(i) for i in range(n)], "seed": [0] * n, "train": ["a"] * n}
    frame = polars.DataFrame({**table, **extra, "test": ["b"] * n})
    columns = {
        "model_size": "N", "dataset_size": "D", "test_loss": "loss", "training_run_id": "run",
        "optimizer_seed": "seed", "train_set_id": "train", "test_set_id": "test",
    }  # fmt: skip
    took = []
    for n_draws in (10, draws + 10):
        start = time.process_time()
        peer_fit(frame, law="separable-power", columns=columns, n_draws=n_draws, seed=0)
        took.append(time.process_time() - start)
    return 1e3 * (took[1] - took[0]) / draws


def search(stride: int, repeats: int = 5) -> dict[str, object]:
    table = runs()
    value, _ = objective(table, np.ones(240))
    grid = list(itertools.product(
        np.arange(0, 30, 5), np.arange(0, 30, 5), np.arange(-1, 1.5, 0.5),
        np.arange(0, 2.5, 0.5), np.arange(0, 2.5, 0.5),
    ))  # fmt: skip
    starts = grid[::stride]
    began = time.process_time()
    ends = [minimize(value, np.array(s), method="L-BFGS-B").fun for s in starts]
    peer = (time.process_time() - began) / len(starts) * len(grid)
    times = []
    for _ in range(repeats):
        began = time.process_time()
        ours = fit(table, law="chinchilla", x=["N", "D"], y="loss", loss="chinchilla")
        times.append(time.process_time() - began)
    return {
        "grid_starts": len(grid),
        "grid_starts_run": len(starts),
        "grid_seconds_scaled": peer,
        "ours_seconds_median": float(np.median(times)),
        "times_faster": peer / float(np.median(times)),
        "grid_best_objective": float(min(ends)),
        "our_objective": ours.objective,
        "no_worse": bool(ours.objective <= min(ends) * (1 + 1e-9)),
        "share_of_grid_starts_at_optimum": float(np.mean(np.array(ends) <= min(ends) * (1 + 1e-4))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=4000)
    parser.add_argument("--peers", type=int, default=100, help="resamples given to BFGS")
    parser.add_argument("--stride", type=int, default=45, help="every n-th start of the grid")
    options = parser.parse_args()
    record = {
        "bootstrap": bootstrap(options.draws, options.peers),
        "search": search(options.stride),
        "machine": {"cpu": platform.processor() or platform.machine(),
                    "threads": os.environ["OMP_NUM_THREADS"],
                    "python": platform.python_version(), "numpy": np.__version__,
                    "scipy": scipy.__version__},
    }  # fmt: skip
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
