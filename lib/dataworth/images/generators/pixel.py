"""Diffusion in pixel space, text encoder beside it: the Imagen row of Fan et al. 2023."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from dataworth.images.generators.base import NetworkConfig, TextToImage, random_numbers

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class PixelDiffusionConfig(NetworkConfig):
    """Architecture of `PixelDiffusion`: tokens are patches of pixels.

    prediction: the flow's `velocity`, or the clean `image`, from which the velocity follows. Images
    lie on few dimensions and noise on all, so that a narrow network can give the one for patches of
    more numbers than it is wide (Li and He 2025, *Back to Basics*). time_shift a: times t, of
    training and of sampling, become a t / (1 + (a - 1) t) (Esser et al. 2024, section 5.3.2): the
    more pixels an image has, the more noise it takes to hide what it shows, and only there does its
    text matter.
    """

    patch_size: int = 4
    prediction: str = "velocity"  # type: ignore[misc]
    time_shift: float = 1.0  # type: ignore[misc]

    @property
    def grid(self) -> tuple[int, int, int, int]:
        return self.image_channels, self.image_channels, self.image_size, self.patch_size


class PixelDiffusion(TextToImage):
    """Flow-matching diffusion transformer in pixel space with classifier-free guidance.

    Training: x_t = (1 - t) x + t e, the model predicts v = e - x (Lipman et al. 2023). Sampling:
    DPM-Solver++ 2M of diffusers on the flow's sigmas, guidance by one forward of a doubled batch.
    """

    family = "pixel-diffusion"
    config_class: ClassVar[type[NetworkConfig]] = PixelDiffusionConfig

    def _noise(self, seed: int) -> torch.Tensor:
        import torch

        channels, _, side, _ = self.config.grid
        generator = random_numbers(seed)
        return torch.randn(channels, side, side, generator=generator)

    def _sample(
        self, noise: torch.Tensor, predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        scheduler = flow_scheduler(self.config.time_shift)
        scheduler.set_timesteps(self.steps)
        x = noise
        for t in scheduler.timesteps:
            v = velocity(predict(x, t), x, t / 1000, self.config)
            x = scheduler.step(v, t, x, return_dict=False)[0]
        return x


EARLIEST = 0.05
"""Below this time the velocity is that of this time: it is a difference over the time."""


def velocity(y: torch.Tensor, x: torch.Tensor, t: torch.Tensor, config: Any) -> torch.Tensor:
    """The flow's velocity at x (B, C, H, W) and time t (B,) or (), 0 to 1, of what a network gives
    there: it, or by the image x_0 that it gives, (x - x_0) / t."""
    if config.prediction == "velocity":
        return y
    return (x - y) / t.clamp(min=EARLIEST).reshape(-1, 1, 1, 1)


def flow_scheduler(shift: float = 1.0) -> Any:
    """DPM-Solver++ 2M (Lu et al. 2022) for a model that predicts the flow-matching velocity."""
    from diffusers import DPMSolverMultistepScheduler

    return DPMSolverMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=shift,
        algorithm_type="dpmsolver++",
        solver_order=2,
        final_sigmas_type="zero",
    )
