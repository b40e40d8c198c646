"""What is done to a batch of training images on the device beyond shift and flip (`feeding`).

Random numbers follow from the run's seed and the step, so that images in memory and in files are
treated alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import Field

from dataworth.optimisation import Optimisation

if TYPE_CHECKING:
    import torch

ALIKE = 16  # images of a batch that share the operations that RandAugment draws
TRIES = 10  # draws of a crop's size, of which the first that fits is taken
RATIO = math.log(4 / 3)  # of a crop's sides, at most, as a logarithm


class ImageOptimisation(Optimisation):
    """Optimisation of a model of images, with what is done to its images and labels.

    Label smoothing, mixup and CutMix are of classifiers; CLIP's loss has none.
    """

    label_smoothing: float = Field(0.05, ge=0, lt=1)
    ema: float = Field(0.97, ge=0, lt=1, description="decay of averaged weights per step; 0: none")
    shift: int = Field(0, ge=0, description="largest random shift, pixels")
    flip: bool = False
    crop: float = Field(0.0, ge=0, le=1, description="smallest area of a random crop; 0: none")
    randaugment: int = Field(0, ge=0, le=30, description="magnitude of two operations; 0: none")
    mixup: float = Field(0.0, ge=0, description="alpha of its Beta distribution; 0: none")
    cutmix: float = Field(0.0, ge=0, description="alpha of its Beta distribution; 0: none")

    def with_recipe(self, name: str) -> Self:
        """With the augmentation that a recipe of `RECIPES` names."""
        return self.model_copy(update=RECIPES[name])

    def augmented(self, x: torch.Tensor, seed: int, step: int) -> torch.Tensor:
        """Images (B, C, H, W) in -1 to 1 after random resized crops and RandAugment."""
        if not (self.crop or self.randaugment):
            return x
        with _seeded(seed, step, 1):
            if self.crop:
                x = resized_crops(x, self.crop)
            return changed(x, self.randaugment) if self.randaugment else x

    def mixed(
        self, x: torch.Tensor, y: torch.Tensor, classes: int, seed: int, step: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (B, C, H, W) mixed in pairs with the shares (B, classes) of their classes; as they
        are, with their labels y (B,), without mixup and CutMix. Of both, a step takes one at
        random, as timm does."""
        if not (self.mixup or self.cutmix):
            return x, y
        from torchvision.transforms import v2

        asked = ((v2.MixUp, self.mixup), (v2.CutMix, self.cutmix))
        ways = [way(alpha=alpha, num_classes=classes) for way, alpha in asked if alpha]
        with _seeded(seed, step, 2):
            images, shares = v2.RandomChoice(ways)(x, y)
        return images, shares


RECIPES: dict[str, dict[str, float]] = {
    "none": {},
    "crops": {"crop": 0.08},
    "crops-and-mixing": {"crop": 0.08, "randaugment": 9, "mixup": 0.5, "cutmix": 1.0},
}
"""Augmentation by name. `crops`: torchvision's RandomResizedCrop at its usual smallest area.
`crops-and-mixing`: with the mixup and CutMix of Askari-Hemmat et al. 2025 (C.5.1) and RandAugment
of DeiT's magnitude (Touvron et al. 2021)."""


@contextmanager
def _seeded(seed: int, step: int, kind: int) -> Iterator[None]:
    """torch's random numbers from the run's seed and the step; what they were stays."""
    import torch

    with torch.random.fork_rng(devices=[]):
        # torch reads 32 bits of a seed.
        torch.manual_seed(int(np.random.SeedSequence([seed, step, kind]).generate_state(1)[0]))
        yield


def resized_crops(x: torch.Tensor, smallest: float) -> torch.Tensor:
    """A random part of each image (B, C, H, W), stretched to its size: an area between `smallest`
    and all of it, sides of a ratio within 3/4 and 4/3, as torchvision's RandomResizedCrop, but one
    for each image and as one operation (bilinear)."""
    import torch

    count = len(x)
    area = smallest + (1 - smallest) * torch.rand(TRIES, count)
    ratio = torch.exp((2 * torch.rand(TRIES, count) - 1) * RATIO)  # width over height
    sides = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()])
    first = (sides <= 1).all(0).int().argmax(0)  # of the draws that fit; if none does, the first
    width, height = sides[:, first, torch.arange(count)].clamp(max=1)
    right, down = ((1 - side) * (2 * torch.rand(count) - 1) for side in (width, height))
    zero = torch.zeros(count)
    rows = [torch.stack([width, zero, right], 1), torch.stack([zero, height, down], 1)]
    where = torch.nn.functional.affine_grid(
        torch.stack(rows, 1).to(x.device), list(x.shape), align_corners=False
    )
    return torch.nn.functional.grid_sample(
        x, where, mode="bilinear", padding_mode="reflection", align_corners=False
    )


def changed(x: torch.Tensor, magnitude: int) -> torch.Tensor:
    """Images (B, C, H, W) in -1 to 1 after two random operations of RandAugment (Cubuk et al.
    2020), the same for `ALIKE` images: torchvision draws them for a whole tensor."""
    import torch
    from torchvision.transforms import v2

    change = v2.RandAugment(num_ops=2, magnitude=magnitude, fill=0.5)
    parts = [change(part) for part in (x / 2 + 0.5).clamp(0, 1).split(ALIKE)]
    return torch.cat(parts) * 2 - 1
