"""How every model is trained here: one specification of the optimiser, one loop over its steps.

torch is imported late: parameters and specs are read where nothing is trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dataworth import compute
from dataworth.parameters import Value

if TYPE_CHECKING:
    import torch


class Optimisation(Value):
    """Optimiser and learning rates. Learning rates are peak values.

    `muon` (Jordan et al. 2024) steps the matrices inside the transformer blocks and AdamW the rest,
    at one rate (Muon's update scaled to AdamW's RMS); on Fashion-MNIST it reaches AdamW's accuracy
    in about half the samples. `adamw` alone is the recipe of the papers.

    `wsd` (warm-up, stable, decay) decays linearly, `wsd-sqrt` as 1 - sqrt (Haegele et al. 2024,
    equation 1), which the text-to-image models use.
    """

    optimizer: Literal["muon", "adamw"] = "muon"
    learning_rate: float = Field(3e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Literal["cosine", "wsd", "wsd-sqrt"] = "cosine"
    warmup: float = Field(0.05, ge=0, le=1, description="fraction of the steps")
    decay: float = Field(0.2, ge=0, le=1, description="wsd only: fraction of the steps")

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of a step, 0 <= step < steps."""
        warm = self.warmup * steps
        factor = min(1.0, (step + 1) / warm) if warm else 1.0
        if self.schedule == "cosine":
            progress = (step + 1 - warm) / max(steps - warm, 1)
            factor *= 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
        else:
            left = min(1.0, (steps - step) / max(self.decay * steps, 1))
            factor *= left if self.schedule == "wsd" else 1 - math.sqrt(1 - left)
        return self.learning_rate * factor

    def optimizers(self, model: torch.nn.Module) -> list[torch.optim.Optimizer]:
        """Optimizers of the parameters that need gradients; decay only on matrices."""
        import torch

        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        chosen = self.optimizer == "muon"
        # Muon's update is meant for hidden layers; embeddings and heads stay with AdamW.
        matrices = [p for name, p in named if chosen and p.ndim == 2 and "blocks." in name]
        taken = {id(p) for p in matrices}
        rest = [p for _, p in named if id(p) not in taken]
        rate, decay = self.learning_rate, self.weight_decay
        found: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                [
                    {"params": [p for p in rest if p.ndim > 1], "weight_decay": decay},
                    {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
                ],
                lr=rate,
                betas=self.betas,
                fused=True,
            )
        ]
        if matrices:
            found.append(muon_class()(matrices, lr=rate, weight_decay=decay))
        return found


MOMENTUM = 0.95
# Of the odd polynomial that five iterations of Newton and Schulz apply (Jordan et al. 2024).
QUINTIC, ITERATIONS = (3.4445, -4.7750, 2.0315), 5


def orthogonalised(stack: torch.Tensor) -> torch.Tensor:
    """Matrices (n, r, c), r <= c, with singular values made nearly one: `torch.optim.Muon`'s
    iteration, of all at once. In bfloat16 on a GPU; a CPU without it would emulate it, at several
    times the cost of float32."""
    import torch

    a, b, c = QUINTIC
    x = stack.bfloat16() if stack.device.type == "cuda" else stack
    x = x / x.flatten(1).norm(dim=1).clamp(min=1e-7)[:, None, None]
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.to(stack.dtype)


@cache
def muon_class() -> Any:
    """Muon as `torch.optim.Muon` with `match_rms_adamw`, one stack of matrices of equal shape (the
    taller ones turned) after the other: small models have many matrices of few shapes. Made on
    first use: torch is not imported before."""
    import torch

    class Muon(torch.optim.Optimizer):
        def __init__(self, params: Any, lr: float, weight_decay: float) -> None:
            super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

        @torch.no_grad()
        def step(self, closure: None = None) -> None:  # type: ignore[override]
            for group in self.param_groups:
                alike: dict[tuple[int, ...], list[torch.Tensor]] = {}
                for p in group["params"]:
                    if p.grad is not None:
                        alike.setdefault(tuple(sorted(p.shape)), []).append(p)
                for (_, longer), params in alike.items():
                    slope = torch.stack([_wide(p.grad) for p in params])
                    state = self.state[params[0]]
                    if "momentum" not in state:
                        state["momentum"] = torch.zeros_like(slope)
                    momentum = state["momentum"].lerp_(slope, 1 - MOMENTUM)
                    ahead = orthogonalised(slope.lerp_(momentum, MOMENTUM))  # Nesterov's
                    rate = group["lr"]
                    torch._foreach_mul_(params, 1 - rate * group["weight_decay"])
                    for p, one in zip(params, ahead.unbind(), strict=True):
                        _wide(p).add_(one, alpha=-0.2 * rate * math.sqrt(longer))

    return Muon


def _wide(matrix: Any) -> torch.Tensor:
    """A matrix, turned if it is taller than wide."""
    turned: torch.Tensor = matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix
    return turned


class Descent:
    """Minimises losses over a model's parameters in `steps` steps, of which `done` are taken.

    ema: decay per step of averaged weights; 0: none. after: called after every step, before the
    weights are averaged. optimizers: in the place of those of the optimisation.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        optimisation: Optimisation,
        steps: int,
        *,
        ema: float = 0.0,
        after: Callable[[], object] | None = None,
        optimizers: list[torch.optim.Optimizer] | None = None,
    ) -> None:
        import torch
        from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

        self.model, self.optimisation, self.steps = model.train(), optimisation, steps
        self.after, self.done = after, 0
        self.optimizers = optimizers or optimisation.optimizers(model)
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema)) if ema else None
        # On the model's device, and read at reports only: a GPU need not wait for every step.
        device = next(model.parameters()).device
        self.losses = torch.zeros(steps, dtype=torch.float64, device=device)

    def step(self, loss: torch.Tensor) -> None:
        """One step down a loss (a scalar of the model's parameters)."""
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        rate = self.optimisation.rate(self.done, self.steps)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        if self.after:
            self.after()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.losses[self.done] = loss.detach()
        self.done += 1

    def run(
        self,
        loss: Callable[[int], torch.Tensor],
        *,
        every: int = 0,
        checkpoint: Callable[[int, torch.nn.Module], object] | None = None,
    ) -> torch.nn.Module:
        """Take the steps that are left, each down `loss(step)`; gives the model to evaluate.

        checkpoint: called after every `every` steps (0: never before the last) and after the last,
        with the number of steps done and the model as it would be evaluated then. It may evaluate
        or `save`; it must not change the model, nor torch's random numbers if the loss uses them.
        """
        while self.done < self.steps:
            with compute.reproducible_attention(self.losses.device):
                self.step(loss(self.done))
            if checkpoint and (self.done == self.steps or (every and self.done % every == 0)):
                checkpoint(self.done, self.evaluated())
                self.model.train()
        return self.evaluated()

    def evaluated(self) -> torch.nn.Module:
        """The model as trained so far, averaged if it is to be, for evaluation."""
        return (self.model if self.average is None else self.average.module).eval()

    def save(self, path: Path) -> None:
        """Write what `resume` needs, whole or not at all: a kill leaves the last checkpoint."""
        import torch

        temporary = path.with_suffix(".tmp")
        torch.save(
            {
                "step": self.done,
                "losses": self.losses,
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                **{name: module.state_dict() for name, module in self._modules().items()},
            },
            temporary,
        )
        temporary.replace(path)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint, if there is one. A run whose `loss(step)` depends on nothing but
        the step and the weights then ends as an undisturbed one, bit for bit."""
        import torch

        if not path.is_file():
            return
        saved = torch.load(path, map_location=self.losses.device)
        self.done, self.losses = saved["step"], saved["losses"]
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        for name, module in self._modules().items():
            module.load_state_dict(saved[name])

    def _modules(self) -> dict[str, torch.nn.Module]:
        return {"model": self.model} | ({"average": self.average} if self.average else {})


def mean_losses(losses: torch.Tensor, every: int) -> NDArray[np.float32]:
    """Means (N // every,) of every so many consecutive losses (N,), in their own precision."""
    whole = losses[: len(losses) // every * every].view(-1, every).mean(1)
    return whole.float().cpu().numpy()


KEPT = "weight:"  # before the names of the arrays that hold a run's trained model


def kept_weights(model: torch.nn.Module) -> dict[str, NDArray[Any]]:
    """A model's weights as arrays of a result, `weight:<name>` each."""
    return {f"{KEPT}{name}": value.cpu().numpy() for name, value in model.state_dict().items()}


def restored(model: torch.nn.Module, arrays: Mapping[str, NDArray[Any]]) -> torch.nn.Module:
    """An untrained model with the weights that a result's arrays hold, for evaluation."""
    model.load_state_dict(weights_of(arrays))
    return model.to(compute.device()).eval()


def weights_of(arrays: Mapping[str, NDArray[Any]]) -> dict[str, torch.Tensor]:
    """The state of the model that a result's arrays hold; see `kept_weights`."""
    import torch

    return {
        name.removeprefix(KEPT): torch.from_numpy(value)
        for name, value in arrays.items()
        if name.startswith(KEPT)
    }
