"""How often 95 % intervals over seeds, examples and documents hold the truth: `dataworth.noise`.

    .venv/bin/python bench/coverage.py [--repetitions 1000]

Writes lib/dataworth/published_data/measured_seed_coverage.csv, which the chapter on fitting shows;
`tests/test_coverage.py` is the short form. In a repetition runs are made up by a known law (or
drawn, without replacement, from the 24 seeds of `bench/seed_noise.py`), the library makes the draws
of its chapters from them, and every quantity is asked whether its interval holds the truth. `width`
is the mean interval over that of a normal distribution with the quantity's true standard deviation.
Ten minutes of one core.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dataworth import __version__
from dataworth.noise import seed_noise
from dataworth.stats import interval, rank_correlation
from dataworth.text.losses import by_part

HERE = Path(__file__).parents[1] / "lib/dataworth/published_data"
TARGET, SEEDS = HERE / "measured_seed_coverage.csv", HERE / "measured_seeds.csv"
DRAWS = 600
Found = dict[str, tuple[float, float, np.ndarray]]  # quantity -> truth, estimate, draws


def heavy(rng: np.random.Generator, tail: float, *shape: int) -> np.ndarray:
    """Student's t with so many degrees of freedom and unit variance."""
    if tail == np.inf:
        return rng.normal(size=shape)
    return rng.standard_t(tail, shape) * np.sqrt((tail - 2) / tail)


# ---- Images: five arms of one model; the sizes and exponents of the profile quick ---------------

SIZES = np.array([80, 320, 1280, 5120, 10240, 80, 320, 1280, 5120, *[80, 320, 1280] * 3], float)
EXPONENTS = np.repeat([0.35, 0.25, 0.3, 0.28, 0.2], [5, 4, 3, 3, 3])
LOSSES = np.repeat([1.9, 2.0, 2.1, 2.0, 2.2], [5, 4, 3, 3, 3]) * (SIZES / 80) ** -EXPONENTS
IMAGES: dict[str, dict[str, Any]] = {
    "images": {},
    "images, arms differ": {"apart": 0.4},
    "images, variance falls with size": {"fall": 0.5},
    "images, heavy tails": {"tail": 4},
    "images, seeds alone": {"examples": 1e-4},
}
PAIRED = "images, seeds shared by arms"


def images(
    seeds: int,
    rng: np.random.Generator,
    *,
    apart: float = 0.0,
    fall: float = 0.25,
    tail: float = np.inf,
    examples: float = 0.01,
) -> Found:
    """Log-normal noise of seeds (2 % at 1,280 images), and of test examples: correlated by .8
    between arms, with a part in which the runs of a cell differ."""
    cells, rho, differ = len(SIZES), 0.8, 0.3
    sd = 0.02 * (SIZES / 1280) ** -fall * np.exp(apart * rng.normal(size=cells))
    luck = (
        rng.standard_t(tail, (cells, seeds)) if tail < np.inf else rng.normal(size=(cells, seeds))
    )
    luck *= np.sqrt((tail - 2) / tail) if tail < np.inf else 1

    def test_noise(*shape: int) -> np.ndarray:
        common, own = rng.normal(size=(*shape, 1, 1)), rng.normal(size=(*shape, cells, 1))
        each = rng.normal(size=(*shape, cells, seeds))
        return examples * (np.sqrt(rho) * common + np.sqrt(1 - rho) * own + differ * each)

    values = LOSSES[:, None] * np.exp(sd[:, None] * luck + test_noise())
    drawn = values * np.exp(test_noise(DRAWS))
    level = values.mean(1, keepdims=True)
    noise = seed_noise(values / level, drawn / level, seed=int(rng.integers(2**31)), sizes=SIZES)
    return curve_quantities(LOSSES, values.mean(1), drawn.mean(2) * np.exp(noise))


def curve_quantities(*of: np.ndarray) -> Found:
    """Of true losses, estimates and draws (..., cells)."""

    def line(loss: np.ndarray, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        x, y = np.log(SIZES[rows]), np.log(loss[..., rows])
        k = -y @ (x - x.mean()) / ((x - x.mean()) @ (x - x.mean()))
        return k, y.mean(-1) + k * x.mean()

    def all_of(loss: np.ndarray) -> list[np.ndarray]:
        (real, high), (synthetic, above) = line(loss, slice(5)), line(loss, slice(5, 9))
        log_n = np.log(SIZES[8])
        return [
            loss[..., 0],
            loss[..., 7] - loss[..., 2],
            loss[..., 8] / loss[..., 3],
            real,
            real / synthetic,
            log_n - (high - above + synthetic * log_n) / real,
            np.log(loss[..., 1] / loss[..., 2]),
        ]

    names = ("mean", "difference", "ratio", "log-log slope", "ratio of slopes",
             "data-equivalence ratio", "local slope")  # fmt: skip
    return {n: (t, v, d) for n, t, v, d in zip(names, *map(all_of, of), strict=True)}


def paired(seeds: int, rng: np.random.Generator, common: float = 0.95) -> Found:
    """Four arms at three sizes; a seed moves all arms of a size alike (CLIP's towers)."""
    arms, sizes = np.divmod(np.arange(12), 3)
    true = 2.0 - 0.1 * arms - 0.3 * sizes
    luck = np.sqrt(common) * rng.normal(size=(3, seeds))[sizes]
    luck = luck + np.sqrt(1 - common) * rng.normal(size=(12, seeds))
    values = true[:, None] * np.exp(0.1 * luck)
    level = values.mean(1, keepdims=True)
    still = np.broadcast_to(values / level, (DRAWS, 12, seeds))
    noise = seed_noise(
        values / level, still, seed=int(rng.integers(2**31)), sizes=4.0**sizes, blocks=sizes
    )
    draws = values.mean(1) * np.exp(noise)
    truth = true * np.exp(0.1**2 / 2)

    def all_of(x: np.ndarray) -> list[np.ndarray]:
        slopes = [np.log(x[..., i] / x[..., i + 2]) for i in (0, 3)]
        return [x[..., 0], x[..., 3] - x[..., 0], x[..., 4] / x[..., 1], slopes[0] - slopes[1]]

    names = ("mean", "difference", "ratio", "difference of slopes")
    return {
        n: (t, v, d)
        for n, t, v, d in zip(names, *map(all_of, (truth, values.mean(1), draws)), strict=True)
    }


# ---- Texts: eight arms on four domains ----------------------------------------------------------

TEXTS: dict[str, dict[str, Any]] = {
    "texts": {},
    "texts, clustered documents": {"cluster": 5},
    "texts, clustered, seeds matter": {"cluster": 5, "seed_sd": 0.08},
    "texts, uneven clusters, heavy tails": {"cluster": 5, "uneven": True, "tail": 4},
    "texts, documents alone": {"seed_sd": 0.0},
}


def texts(
    seeds: int,
    rng: np.random.Generator,
    *,
    cluster: int = 1,
    seed_sd: float = 0.02,
    uneven: bool = False,
    tail: float = np.inf,
) -> Found:
    """Documents (60 a domain) have their own level, and an arm's own effect on each; clusters share
    three tenths of both. A seed moves an arm on all domains, partly with all arms, and on each."""
    arms, domains, n, icc = 8, 4, 60, 0.3
    weights = rng.dirichlet(np.full(n // cluster, 4.0)) if uneven else None
    groups = np.stack(
        [rng.choice(n // cluster, n, p=weights) if uneven else np.arange(n) // cluster] * domains
    )
    true = 2 + np.linspace(0, 0.1, arms)[:, None] + np.zeros(domains)

    def per_document(*shape: int) -> np.ndarray:
        whole = heavy(rng, tail, *shape, domains, n)
        if cluster == 1:
            return whole
        shared = heavy(rng, tail, *shape, domains, n // cluster)
        at = np.broadcast_to(groups, (*shape, domains, n))
        return np.sqrt(icc) * np.take_along_axis(shared, at, -1) + np.sqrt(1 - icc) * whole

    loss = true[:, None, :, None] + 0.3 * per_document() + 0.05 * per_document(arms)[:, None]
    loss = loss + 0.02 * rng.normal(size=(arms, seeds, domains, n))
    luck = rng.normal(size=(seeds, 1)) + rng.normal(size=(arms, seeds, 1))
    loss += (seed_sd * (luck + 0.5 * rng.normal(size=(arms, seeds, domains))))[..., None]
    value, draws = by_part(
        loss.reshape(arms, seeds, -1),
        np.ones(domains * n),
        np.repeat(np.arange(domains), n),
        clusters=groups.ravel(),
        resamples=DRAWS,
        seed=int(rng.integers(2**31)),
    )
    x = np.linspace(-1, 1, arms)

    def all_of(level: np.ndarray) -> list[np.ndarray]:
        gain = 100 * (1 - level[..., 1, :] / level[..., 0, :])
        return [
            level[..., 0, 0],
            level[..., 1, 0] - level[..., 0, 0],
            (level[..., 7, :] - level[..., 0, :]).mean(-1),
            gain.mean(-1),
            level.mean(-1) @ x / (x @ x),
        ]

    names = ("mean", "difference", "mean difference of domains", "gain in percent", "slope of arms")
    return {
        n_: (t, v, d) for n_, t, v, d in zip(names, *map(all_of, (true, value, draws)), strict=True)
    }


# ---- Without seeds ------------------------------------------------------------------------------


def ranks(n: int, rng: np.random.Generator, rho: float = 0.5) -> Found:
    """Spearman's correlation of n classes, a sample of concepts."""
    x = rng.normal(size=n)
    e = rank_correlation(x, rho * x + np.sqrt(1 - rho**2) * rng.normal(size=n))
    return {"rank correlation": (6 / np.pi * np.arcsin(rho / 2), e.value, np.array(e.interval))}


def share(n: int, rng: np.random.Generator, p: float = 0.3) -> Found:
    """A share of n images (`over_clusters` of zeros and ones)."""
    hits = (rng.random(n) < p).astype(float)
    value, draws = by_part(
        hits[None], np.ones(n), np.zeros(n, int), resamples=DRAWS, seed=int(rng.integers(2**31))
    )
    return {"share": (p, value[0], draws[:, 0])}


# ---- Real noise ---------------------------------------------------------------------------------


def real_cells(kind: str, metric: str = "loss") -> tuple[np.ndarray, np.ndarray]:
    """Values (C, seeds, E) of `bench/seed_noise.py` and sizes (C,)."""
    table = pd.read_csv(SEEDS)
    table = table[table["kind"] == kind]
    wide = table.pivot_table(index=["arm", "size"], columns=["seed", "evaluation"], values=metric)
    count = table["seed"].nunique()
    values = wide.to_numpy().reshape(len(wide), count, -1)
    return values, wide.index.get_level_values("size").to_numpy(dtype=float)


def resampled(
    values: np.ndarray, sizes: np.ndarray, seeds: int, rng: np.random.Generator, *, block: bool
) -> Found:
    """Means of `seeds` runs drawn from all (their mean is the truth) of every cell and outcome, and
    the ratios of every two cells, of each outcome and on average. Deviations are stretched as
    sampling without replacement makes them short. Of one quantity 24 seeds say little: Student's t
    on 24 normal values covers 86 to 98 %, by their luck."""
    cells, count, _ = values.shape
    if block:  # seeds go together
        pick = np.broadcast_to(rng.permutation(count)[:seeds], (cells, seeds))
    else:
        pick = np.stack([rng.permutation(count)[:seeds] for _ in range(cells)])
    truth = np.log(values.mean(1))
    taken = np.take_along_axis(values, pick[..., None], 1)
    found = np.log(taken.mean(1))
    found = truth + (found - truth) / np.sqrt(1 - seeds / count)
    level = taken.mean(1, keepdims=True)
    still = np.broadcast_to(taken / level, (DRAWS, *taken.shape))
    noise = seed_noise(
        taken / level,
        still,
        seed=int(rng.integers(2**31)),
        sizes=sizes,
        blocks=np.zeros(cells) if block else None,
    )
    draws = found + noise

    def all_of(x: np.ndarray) -> dict[str, np.ndarray]:
        if cells == 1:
            return {"mean": x[..., 0, 0]}
        first, second = np.triu_indices(cells, 1)
        apart = x[..., first, :] - x[..., second, :]
        return {
            "mean": x.reshape(*x.shape[:-2], -1),
            "ratio": apart.reshape(*apart.shape[:-2], -1),
            "mean ratio": apart.mean(-1),
        }

    true, value, drawn = map(all_of, (truth, found, draws))
    return {name: (true[name], value[name], drawn[name]) for name in true}


# ---- All of them --------------------------------------------------------------------------------


def designs(measured: bool = True) -> dict[tuple[str, str, int], Callable[[Any], Found]]:
    """One repetition of every design, by noise, name and number of seeds (0: none)."""
    found: dict[tuple[str, str, int], Callable[[Any], Found]] = {}
    for seeds in (2, 3, 5):
        for name, how in IMAGES.items():
            found["simulated", name, seeds] = lambda rng, s=seeds, h=how: images(s, rng, **h)
        found["simulated", PAIRED, seeds] = lambda rng, s=seeds: paired(s, rng)
        for name, how in TEXTS.items():
            found["simulated", name, seeds] = lambda rng, s=seeds, h=how: texts(s, rng, **h)
        if measured:
            for kind, metric, block in (
                ("classifier", "loss", False),
                ("classifier", "error", False),
                ("CLIP", "loss", True),
                ("language model", "loss", True),
            ):
                if kind not in set(pd.read_csv(SEEDS)["kind"]):
                    continue
                values, sizes = real_cells(kind, metric)
                found["measured", f"{kind}, {metric}", seeds] = (
                    lambda rng, s=seeds, v=values, n=sizes, b=block: resampled(
                        v, n, s, rng, block=b
                    )
                )
    for n in (10, 14):
        found["simulated", f"{n} classes", 0] = lambda rng, n=n: ranks(n, rng)
    for n in (100, 1000):
        found["simulated", f"{n} images", 0] = lambda rng, n=n: share(n, rng)
    return found


def coverage(one: Callable[[Any], Found], repetitions: int, seed: int = 0) -> pd.DataFrame:
    """Rows by `quantity`: `coverage`, and `width` over that of the true standard deviation; of
    several of a kind the mean."""
    rng = np.random.default_rng(seed)
    inside: dict[str, list[Any]] = {}
    widths: dict[str, list[Any]] = {}
    misses: dict[str, list[Any]] = {}
    for _ in range(repetitions):
        for name, (truth, value, draws) in one(rng).items():
            low, high = draws if len(draws) == 2 else interval(draws)
            inside.setdefault(name, []).append((low <= truth) & (truth <= high))
            widths.setdefault(name, []).append(high - low)
            misses.setdefault(name, []).append(value - truth)
    rows = {
        name: {
            "coverage": float(np.mean(hits)),
            "width": float(
                np.mean(np.median(widths[name], axis=0) / (3.92 * np.std(misses[name], axis=0)))
            ),
        }
        for name, hits in inside.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("quantity").reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--noise", choices=("simulated", "measured"), help="these designs alone")
    parser.add_argument("--design", default="", help="part of the names of designs")
    parser.add_argument("--new", action="store_true", help="those that the table lacks")
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args()
    tables = [pd.read_csv(options.out)] if options.out.is_file() else []
    for (noise, design, units), one in designs(SEEDS.is_file()).items():
        done = [row[["noise", "design", "seeds"]].eq([noise, design, units]).all(axis=1).any()
                for row in tables]  # fmt: skip
        asked = options.noise in (None, noise) and options.design in design
        if not asked or (options.new and any(done)):
            continue
        rows = coverage(one, options.repetitions)
        rows.insert(0, "seeds", units)
        rows.insert(0, "design", design)
        rows.insert(0, "noise", noise)
        print(rows.round(3).to_string(index=False, header=False), flush=True)
        error = np.sqrt(rows["coverage"] * (1 - rows["coverage"]) / options.repetitions)
        about = {
            "standard_error": error,
            "repetitions": options.repetitions,
            "dataworth": __version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        }
        tables.append(rows.assign(**about).round(4))
        keys = ["noise", "design", "seeds", "quantity"]
        table = pd.concat(tables, ignore_index=True).drop_duplicates(keys, keep="last")
        table.to_csv(options.out, index=False)


if __name__ == "__main__":
    main()
