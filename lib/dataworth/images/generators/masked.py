"""Masked image tokens: the Muse row of Fan et al. 2023.

An image is a grid of codebook entries (a VQ autoencoder); a bidirectional transformer fills in
masked ones, most of the grid in a few parallel steps (MaskGIT, Chang et al. 2022; Muse, Chang et
al. 2023).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from dataworth.images.generators.base import NetworkConfig, TextToImage, random_numbers
from dataworth.images.generators.latent import blocks

if TYPE_CHECKING:
    import torch

TEMPERATURE = 8.0  # of the noise on confidences at the first step; it falls to 0 at the last


@dataclass(frozen=True)
class MaskedTokenConfig(NetworkConfig):
    """Architecture of `MaskedToken`: a token is one of `codes`, or masked.

    `channels` of the autoencoder at full, half, quarter, ... resolution; `code_width` of a
    codebook entry.
    """

    layers: int = 3
    width: int = 96
    heads: int = 3
    channels: tuple[int, ...] = (16, 32, 64)
    codes: int = 256
    code_width: int = 8

    @property
    def grid(self) -> tuple[int, int, int, int]:
        side = self.image_size // 2 ** (len(self.channels) - 1)
        return self.codes + 1, self.codes, side, 1  # one-hot in, logits out


class MaskedToken(TextToImage):
    """Masked-token transformer with parallel decoding and guidance on logits.

    Training: a share cos(pi u / 2) of the tokens, u uniform, is masked; cross-entropy on those.
    The transformer's time input is the masked share. Sampling: start all masked; at step s of S
    draw every masked token, keep the most confident ones so that floor(cos(pi s / 2S) * tokens)
    stay masked. Confidence is the token's log-probability plus Gumbel noise.
    """

    family = "masked-token"
    config_class = MaskedTokenConfig

    @classmethod
    def autoencoder_of(cls, config: MaskedTokenConfig) -> torch.nn.Module:
        from diffusers import VQModel

        made: Any = VQModel(
            latent_channels=config.channels[-1],
            num_vq_embeddings=config.codes,
            vq_embed_dim=config.code_width,
            **blocks(config),
        )
        return cast("torch.nn.Module", made)

    def _noise(self, seed: int) -> torch.Tensor:
        """Uniform numbers (2, steps, tokens): for the codes and for the confidences."""
        import torch

        side = self.config.grid[2]
        generator = random_numbers(seed)
        return torch.rand(2, self.steps, side * side, generator=generator)

    def _sample(
        self, noise: torch.Tensor, predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        import torch

        codes, side = self.config.codes, self.config.grid[2]
        tokens = torch.full(noise[:, 0, 0].shape, codes, device=noise.device)  # (B, side^2)
        for step in range(self.steps):
            masked = tokens == codes
            share = masked_share(step, self.steps)
            logits = predict(
                one_hot(tokens, codes, side, self.dtype), torch.tensor(1000.0 * share)
            ).flatten(2)  # (B, codes, side^2)
            logits = logits.transpose(1, 2).contiguous()
            drawn, confidence = draw(logits, noise[:, 0, step])
            tokens = torch.where(masked, drawn, tokens)
            left = math.floor(masked_share(step + 1, self.steps) * side * side)
            if left:
                gumbel = -torch.log(-torch.log(noise[:, 1, step].clamp(1e-20, 1 - 1e-7)))
                cooled = TEMPERATURE * (1 - (step + 1) / self.steps)
                confidence = torch.where(masked, confidence + cooled * gumbel, torch.inf)
                worst = confidence.argsort(dim=1, stable=True)[:, :left]
                tokens = tokens.scatter(1, worst, codes)
        return decode(self.autoencoder, tokens.view(-1, side, side))


def masked_share(step: int, steps: int) -> float:
    """Share of tokens still masked after `step` of `steps` steps: cosine schedule of MaskGIT."""
    return max(0.0, math.cos(math.pi / 2 * step / steps)) if step < steps else 0.0


def one_hot(tokens: torch.Tensor, codes: int, side: int, dtype: torch.dtype) -> torch.Tensor:
    """Tokens (B, side^2) in 0..codes, where `codes` is the mask, as (B, codes + 1, side, side)."""
    import torch

    hot = torch.zeros(len(tokens), codes + 1, side * side, dtype=dtype, device=tokens.device)
    return hot.scatter_(1, tokens[:, None], 1).view(len(tokens), codes + 1, side, side)


def draw(logits: torch.Tensor, uniform: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes (...) drawn from softmax(logits (..., K)) by inverting the distribution function at
    `uniform` (...), and their log-probabilities."""
    import torch

    log_p = logits.log_softmax(-1)
    total = log_p.exp().cumsum(-1)
    # Times the last entry: rounding may leave it a hair beside 1.
    drawn = torch.searchsorted(total, uniform[..., None] * total[..., -1:], right=True)
    drawn = drawn.clamp(max=logits.shape[-1] - 1)
    return drawn[..., 0], log_p.gather(-1, drawn)[..., 0]


def decode(autoencoder: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Pixels (B, 1, H, W) of token grids (B, h, w)."""
    entries = autoencoder.quantize.embedding(tokens).permute(0, 3, 1, 2)
    pixels: torch.Tensor = autoencoder.decode(
        entries.contiguous(), force_not_quantize=True, return_dict=False
    )[0]
    return pixels
