"""Shared simulated curves and the folder of public curves (never part of the project)."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dataworth.paths import project_root

Table = dict[str, np.ndarray]


@pytest.fixture
def shifted_runs() -> Callable[..., Table]:
    """Simulated runs of E + a x^-k with relative noise: `make(E, a, k, noise, repeats, seed)`."""

    def make(
        floor: float = 0.3,
        a: float = 5.0,
        k: float = 0.4,
        noise: float = 0.02,
        repeats: int = 3,
        levels: int = 6,
        seed: int = 0,
    ) -> Table:
        x = np.repeat(np.geomspace(1e2, 1e5, levels), repeats)
        rng = np.random.default_rng(seed)
        return {"x": x, "y": (floor + a * x**-k) * np.exp(noise * rng.normal(size=len(x)))}

    return make


@pytest.fixture(scope="session")
def chinchilla_runs() -> Table:
    """240 simulated runs of Hoffmann's law (digits of the TeX source) with heavy-tailed noise."""
    rng = np.random.default_rng(0)
    budget = np.repeat(10 ** np.linspace(18.8, 21.5, 9), 27)[:240]
    n = np.clip(0.1 * budget**0.5 * 10 ** rng.uniform(-1, 1, 240), 4e7, 1.6e10)
    d = budget / 6 / n
    loss = np.exp(0.5267228)
    loss = loss + np.exp(6.0073404) * n**-0.33917084 + np.exp(6.0179186) * d**-0.2849083
    return {"N": n, "D": d, "loss": loss * np.exp(0.006 * rng.standard_t(3, size=240))}


@pytest.fixture(scope="session")
def public_curves() -> Path:
    """Folder of public curves; tests that need it are skipped where it is absent."""
    root = project_root()
    places = [os.environ.get("DATAWORTH_SCALING_DATA", "")]
    if root is not None:
        places.append(str(root.parent / "shared" / "data" / "scaling"))
    for place in places:
        if place and Path(place).is_dir():
            return Path(place)
    pytest.skip("no public curves: set DATAWORTH_SCALING_DATA to their folder")
