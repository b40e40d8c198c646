"""Parameters of the chapters on laws."""

from __future__ import annotations

from dataworth.parameters import Parameters, field


class Fitting(Parameters):
    """Parameters of the chapter *fitting*."""

    runs: int = field(240, "simulated runs of the L(N, D) study", "runs", ge=20, le=10**6)
    noise: float = field(0.006, "scale of the heavy-tailed relative noise", gt=0, le=1)
    resamples: int = field(1000, "bootstrap resamples", "draws", ge=50, le=10**6)
    starts: int = field(
        150, "starts of the published grid that are tried", "starts", ge=10, le=10**6
    )
    curves: int = field(200, "simulated curves behind each distribution", "curves", ge=20, le=10**6)
    seed: int = field(0, "seed of the simulations", ge=0, le=2**32 - 1)


class PublishedCurves(Parameters):
    """Parameters of the chapter *published curves*."""

    resamples: int = field(
        4000, "draws from published standard deviations", "draws", ge=50, le=10**6
    )
    level: float = field(0.95, "level of the intervals", gt=0.5, lt=1)
    seed: int = field(0, "seed of the draws", ge=0, le=2**32 - 1)
