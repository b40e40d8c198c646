"""Crops, RandAugment, mixup and CutMix, beside torchvision's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from dataworth.images.augmentation import RATIO, RECIPES, ImageOptimisation, resized_crops

ALL = ImageOptimisation().with_recipe("crops-and-mixing")


def ramps(count: int, side: int = 32) -> torch.Tensor:
    """Images (N, 2, H, W) whose pixels are where they lie: across, and down, -1 to 1."""
    at = (torch.arange(side) + 0.5) / side * 2 - 1
    return torch.stack([at.expand(side, side), at[:, None].expand(side, side)]).repeat(
        count, 1, 1, 1
    )


def test_crops_are_rectangles_of_torchvisions_sizes() -> None:
    torch.manual_seed(0)
    crops, side = resized_crops(ramps(2000), 0.08), 32
    across, down = crops[:, 0], crops[:, 1]
    # Straight, and within the image: no row or column depends on the other coordinate.
    assert float((across - across[:, :1]).abs().max()) < 1e-5
    assert float((down - down[:, :, :1]).abs().max()) < 1e-5
    middle = slice(4, -4)  # pixels at the edge of a whole image are mirrored
    inner = [across[:, 0, middle], down[:, middle, 0]]
    spans = [(x[:, -1] - x[:, 0]) / 2 * side / (side - 9) for x in inner]
    assert all(float(span.max()) < 1 + 1e-3 for span in spans)
    area, ratio = (spans[0] * spans[1]).numpy(), (spans[0] / spans[1]).numpy()
    assert area.min() > 0.079 and np.abs(np.log(ratio)).max() < RATIO + 1e-3
    image = torch.zeros(1, 200, 200)
    params = [v2.RandomResizedCrop(1).make_params([image]) for _ in range(1000)]
    theirs = np.array([p["height"] * p["width"] for p in params]) / 200**2
    for part in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert np.quantile(area, part) == pytest.approx(np.quantile(theirs, part), abs=0.06)


def test_mixing_keeps_shares_and_follows_the_step() -> None:
    x, y = torch.randn(12, 3, 16, 16), torch.arange(12) % 5
    images, shares = ALL.mixed(x, y, 5, seed=3, step=7)
    assert shares.shape == (12, 5) and images.shape == x.shape
    torch.testing.assert_close(shares.sum(1), torch.ones(12))
    assert int((shares > 0).sum(1).max()) == 2
    again, other = ALL.mixed(x, y, 5, seed=3, step=7), ALL.mixed(x, y, 5, seed=3, step=8)
    assert torch.equal(again[0], images) and not torch.equal(other[0], images)
    assert not torch.equal(ALL.mixed(x, y, 5, seed=4, step=7)[0], images)


def test_images_stay_images_and_torchs_random_numbers_stay() -> None:
    x = torch.rand(40, 3, 16, 16) * 2 - 1
    before = torch.random.get_rng_state()
    made = ALL.augmented(x, seed=1, step=2)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert made.shape == x.shape and float(made.abs().max()) <= 1 + 1e-5
    assert torch.equal(made, ALL.augmented(x, seed=1, step=2))
    plain = ImageOptimisation().with_recipe("none")
    assert plain.augmented(x, 1, 2) is x and plain == ImageOptimisation()
    labels = torch.arange(40)
    assert plain.mixed(x, labels, 40, 1, 2) == (x, labels)
    assert set(RECIPES) == {"none", "crops", "crops-and-mixing"}
