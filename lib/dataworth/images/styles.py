"""Stylised copies of photographs: the drawings that web data holds beside photos.

Every function maps uint8 (N, H, W) to uint8 (N, H, W), dark background in, style out, and is
deterministic. The generator pool holds some of these, captioned with the style's words, so that
a text-to-image model can learn them; classifiers never train on them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]


def sketch(images: Images) -> Images:
    """Dark strokes on white: inverted Sobel gradient magnitude."""
    from scipy import ndimage

    x = images.astype(np.float32)
    smooth, slope = [1.0, 2.0, 1.0], [-1.0, 0.0, 1.0]
    # Not `ndimage.sobel`: on a stack it smooths along N too and mixes neighbouring images.
    down = ndimage.correlate1d(ndimage.correlate1d(x, smooth, axis=2), slope, axis=1)
    across = ndimage.correlate1d(ndimage.correlate1d(x, smooth, axis=1), slope, axis=2)
    edges = np.hypot(down, across)
    return (255 - np.clip(edges * 0.45, 0, 255)).astype(np.uint8)


def rendition(images: Images) -> Images:
    """A flat painting: smoothed by a median filter, then four grey levels."""
    from scipy import ndimage

    smooth = ndimage.median_filter(images, size=(1, 3, 3)).astype(np.float32)
    return (np.round(smooth / 85.0) * 85.0).astype(np.uint8)


def inverted(images: Images) -> Images:
    """A photographic negative."""
    return 255 - images


def pixelated(images: Images, block: int = 4) -> Images:
    """Block means of `block` x `block` pixels, blown up again. H and W divisible by `block`."""
    n, h, w = images.shape
    small = images.reshape(n, h // block, block, w // block, block).mean((2, 4))
    return small.repeat(block, axis=1).repeat(block, axis=2).round().astype(np.uint8)


STYLES: dict[str, Callable[[Images], Images]] = {
    "sketch": sketch,
    "rendition": rendition,
    "inverted": inverted,
    "pixelated": pixelated,
}
