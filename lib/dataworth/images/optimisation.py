"""Regularisation and averaged weights: how every model of Part I is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dataworth.optimisation import Recipe

if TYPE_CHECKING:
    import torch

REPORT = 50  # steps per reported loss


class Optimisation(Recipe):
    """A recipe for images."""

    label_smoothing: float = Field(0.05, ge=0, lt=1)
    ema: float = Field(0.97, ge=0, lt=1, description="decay per step; 0 means none")
    shift: int = Field(0, ge=0, description="largest random shift, pixels")
    flip: bool = False


def averaged(model: torch.nn.Module, decay: float) -> torch.optim.swa_utils.AveragedModel:
    """A copy of a model that follows it as the exponential moving average of its weights."""
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))


class Descent:
    """Minimises the losses of `steps` batches over a model's parameters, by a recipe.

    after: called after every step, before the weights are averaged.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        recipe: Optimisation,
        steps: int,
        *,
        after: Callable[[], object] | None = None,
    ) -> None:
        self.model, self.recipe, self.steps, self.after = model.train(), recipe, steps, after
        self.optimizers = recipe.optimizers(model)
        self.average = averaged(model, recipe.ema) if recipe.ema else None
        self._done = 0
        self._recent: list[torch.Tensor] = []  # read once a report: a GPU need not wait every step
        self._losses: list[float] = []

    def step(self, loss: torch.Tensor) -> None:
        """One step down a loss (a scalar of the model's parameters)."""
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        self.recipe.step(self.optimizers, self._done, self.steps)
        if self.after:
            self.after()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self._done += 1
        self._recent.append(loss.detach())
        if self._done % REPORT == 0:
            self._losses.append(sum(x.item() for x in self._recent) / REPORT)
            self._recent = []

    def losses(self) -> NDArray[np.float32]:
        """Mean losses so far, one per `REPORT` steps."""
        return np.array(self._losses, dtype=np.float32)

    def final(self) -> torch.nn.Module:
        """The model that was trained, averaged if the recipe says so, for evaluation."""
        return (self.model if self.average is None else self.average.module).eval()
