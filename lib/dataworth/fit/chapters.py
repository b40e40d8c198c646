"""Parameters of the chapters on laws."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def _field(default: Any, meaning: str, unit: str = "", **limits: Any) -> Any:
    return Field(default, description=meaning, json_schema_extra={"unit": unit}, **limits)


class Fitting(BaseModel):
    """Parameters of the chapter *fitting*."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    runs: int = _field(240, "simulated runs of the L(N, D) study", "runs", ge=20)
    noise: float = _field(0.006, "scale of the heavy-tailed relative noise", gt=0)
    resamples: int = _field(1000, "bootstrap resamples", "draws", ge=50)
    starts: int = _field(150, "starts of the published grid that are tried", "starts", ge=10)
    curves: int = _field(200, "simulated curves behind each distribution", "curves", ge=20)
    seed: int = _field(0, "seed of the simulations")


class PublishedCurves(BaseModel):
    """Parameters of the chapter *published curves*."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    resamples: int = _field(4000, "draws from published standard deviations", "draws", ge=50)
    level: float = _field(0.95, "level of the intervals", gt=0.5, lt=1)
    seed: int = _field(0, "seed of the draws")
