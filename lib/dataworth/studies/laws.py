"""Parameters of the chapters on laws."""

from __future__ import annotations

from dataworth.parameters import Parameters, field


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
