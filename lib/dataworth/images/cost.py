"""What a run would cost, counted on shapes alone: no weights, no data, nothing started."""

from __future__ import annotations

from typing import Any

from dataworth.images.classifiers import MODELS
from dataworth.images.generators import PixelDiffusionConfig, build

PEAK, UTILISATION = 312e12, 0.4  # A100, bfloat16, FLOP/s; share reached in practice


def gpu_hours(flops: float) -> float:
    """Hours of one A100 at `UTILISATION` of its peak."""
    return float(f"{flops / (PEAK * UTILISATION) / 3600:.3g}")


def training_flops(model: str) -> float:
    """Operations to train a named classifier on one sample: three forward passes."""
    import torch

    vit = MODELS[model]
    side, channels, classes = (224, 3, 1000) if vit.patch == 16 else (28, 1, 10)
    with torch.device("meta"):
        network = vit.build(side, channels, classes)
        return 3.0 * _count(network, torch.empty(1, channels, side, side))


def generation_flops(generator: str, steps: int) -> tuple[int, int, float]:
    """(side in pixels, channels, operations for one guided image: two forward passes a step)."""
    import torch

    with torch.device("meta"):
        if generator == "pixel-diffusion":
            config = PixelDiffusionConfig()
            network, _ = build(config)
            side = config.image_size
            per_step = _count(
                network,
                torch.empty(1, 1, side, side),
                encoder_hidden_states=torch.empty(1, config.text_tokens, config.text_width),
                timestep=torch.empty(1),
            )
            return side, 1, 2.0 * steps * per_step
        from diffusers import UNet2DConditionModel

        # Stable Diffusion 1.5's U-Net is diffusers' default but for these two (860 M parameters).
        unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
        per_step = _count(unet, torch.empty(1, 4, 64, 64), torch.empty(1), torch.empty(1, 77, 768))
        return 512, 3, 2.0 * steps * per_step


def _count(network: Any, *inputs: Any, **named: Any) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        network(*inputs, **named)
    return float(counter.get_total_flops())
