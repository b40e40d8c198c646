"""Diffusion in the latents of an autoencoder: the Stable Diffusion row of Fan et al. 2023."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from dataworth.images.generators.base import NetworkConfig
from dataworth.images.generators.pixel import PixelDiffusion

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class LatentDiffusionConfig(NetworkConfig):
    """Architecture of `LatentDiffusion`: tokens are the positions of the latent image.

    `channels` of the autoencoder at full, half, quarter, ... resolution.
    """

    layers: int = 3
    width: int = 96
    heads: int = 3
    channels: tuple[int, ...] = (16, 32, 64)
    latent_channels: int = 4

    @property
    def grid(self) -> tuple[int, int, int, int]:
        side = self.image_size // 2 ** (len(self.channels) - 1)
        return self.latent_channels, self.latent_channels, side, 1


class LatentDiffusion(PixelDiffusion):
    """Flow-matching diffusion transformer on latents of zero mean and unit variance.

    An `AutoencoderKL` of diffusers maps (C, H, W) to (latent_channels, H/4, W/4) and back
    (Rombach et al. 2022). Its latents are standardised by its own 1 x 1 convolutions, so no scale
    has to be kept beside the weights. Objective and solver are those of `PixelDiffusion`.
    """

    family = "latent-diffusion"
    config_class = LatentDiffusionConfig

    @classmethod
    def autoencoder_of(cls, config: LatentDiffusionConfig) -> torch.nn.Module:
        from diffusers import AutoencoderKL

        made: Any = AutoencoderKL(latent_channels=config.latent_channels, **blocks(config))
        return cast("torch.nn.Module", made)

    def _sample(
        self, noise: torch.Tensor, predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        autoencoder: Any = self.autoencoder
        latents = super()._sample(noise, predict)
        pixels: torch.Tensor = autoencoder.decode(latents.to(self.dtype), return_dict=False)[0]
        return pixels


def blocks(config: Any) -> dict[str, Any]:
    """Arguments that diffusers' two autoencoders share: one block per resolution."""
    channels = config.channels
    return {
        "in_channels": config.image_channels,
        "out_channels": config.image_channels,
        "block_out_channels": channels,
        "down_block_types": ("DownEncoderBlock2D",) * len(channels),
        "up_block_types": ("UpDecoderBlock2D",) * len(channels),
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "mid_block_add_attention": False,
    }
