"""Optimisers, learning rates and averaged weights: how every model of Part I is trained."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import torch

REPORT = 50  # steps per reported loss


class Optimisation(BaseModel):
    """Learning rates are peak values.

    `muon` (Jordan et al. 2024) steps the matrices inside the transformer blocks and AdamW the rest,
    at one rate (Muon's update scaled to AdamW's RMS); on this task it reaches AdamW's accuracy in
    about half the samples. `adamw` alone is the recipe of the papers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    optimizer: Literal["muon", "adamw"] = "muon"
    learning_rate: float = Field(3e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    schedule: Literal["cosine", "wsd"] = "cosine"
    warmup: float = Field(0.05, ge=0, le=1, description="share of the steps")
    decay: float = Field(0.2, ge=0, le=1, description="wsd only: share of the steps")
    label_smoothing: float = Field(0.05, ge=0, lt=1)
    ema: float = Field(0.97, ge=0, lt=1, description="decay per step; 0 means none")
    shift: int = Field(0, ge=0, description="largest random shift, pixels")
    flip: bool = False

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of a step, 0 <= step < steps."""
        warm = self.warmup * steps
        factor = min(1.0, (step + 1) / warm) if warm else 1.0
        progress = (step + 1 - warm) / max(steps - warm, 1)
        if self.schedule == "cosine":
            factor *= 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
        else:
            factor *= min(1.0, (steps - step) / max(self.decay * steps, 1))
        return self.learning_rate * factor


def optimizers(model: torch.nn.Module, recipe: Optimisation) -> list[torch.optim.Optimizer]:
    """AdamW and, if chosen, Muon for the matrices inside blocks; decay only on matrices."""
    import torch

    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    chosen = recipe.optimizer == "muon"
    matrices = [p for name, p in named if chosen and p.ndim == 2 and "blocks." in name]
    taken = {id(p) for p in matrices}
    rest = [p for _, p in named if id(p) not in taken]
    rate, decay = recipe.learning_rate, recipe.weight_decay
    found: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(
            [
                {"params": [p for p in rest if p.ndim > 1], "weight_decay": decay},
                {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=rate,
            fused=True,
        )
    ]
    if matrices:
        found.append(
            torch.optim.Muon(matrices, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
        )
    return found


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
        self.optimizers = optimizers(model, recipe)
        self.average = averaged(model, recipe.ema) if recipe.ema else None
        self._done, self._sum = 0, 0.0
        self._losses: list[float] = []

    def step(self, loss: torch.Tensor) -> None:
        """One step down a loss (a scalar of the model's parameters)."""
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.recipe.rate(self._done, self.steps)
            optimizer.step()
        if self.after:
            self.after()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self._done += 1
        self._sum += loss.item()
        if self._done % REPORT == 0:
            self._losses.append(self._sum / REPORT)
            self._sum = 0.0

    def losses(self) -> NDArray[np.float32]:
        """Mean losses so far, one per `REPORT` steps."""
        return np.array(self._losses, dtype=np.float32)

    def final(self) -> torch.nn.Module:
        """The model that was trained, averaged if the recipe says so, for evaluation."""
        return (self.model if self.average is None else self.average.module).eval()
