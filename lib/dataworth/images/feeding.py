"""Training images on their way to the device: augmented, from memory or from files."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataworth import compute
from dataworth.data.rows import Images, Rows

if TYPE_CHECKING:
    import torch

AHEAD = 3  # batches that are being read while one is trained on


def feed(
    images: Images | Rows,
    batches: Iterator[torch.Tensor],
    shift: int,
    flip: bool,
    rng: torch.Generator,
) -> Generator[tuple[torch.Tensor, torch.Tensor]]:
    """Augmented images (B, C, H, W) and rows (B,) of the batches of rows, both on the device.

    Images in memory become one tensor of floats there. Those in files are read batch by batch, in
    time, and become floats on the device: the same numbers, bit for bit.
    """
    import torch

    device = compute.device()
    if not isinstance(images, Rows):
        augment = Augment(as_input(images).to(device), shift, flip)
        for rows in batches:
            there = rows.to(device)
            yield augment(there, rng), there
        return
    fill = lowest(images) if shift else 0
    waiting: deque[tuple[torch.Tensor, Future[Images]]] = deque()

    def read(rows: torch.Tensor, offset: torch.Tensor, mirrored: torch.Tensor) -> Images:
        found = images[rows.numpy()]
        return placed(found, offset.numpy(), mirrored.numpy(), shift, fill)

    with ThreadPoolExecutor(2) as readers:
        for rows in batches:  # all random numbers are drawn here, in the order of the batches
            drawn = draw(len(rows), shift, flip, rng)
            waiting.append((rows, readers.submit(read, rows, *drawn)))
            if len(waiting) > AHEAD:
                due, done = waiting.popleft()
                yield as_input(torch.from_numpy(done.result()).to(device)), due.to(device)


def lowest(images: Rows) -> int:
    """The smallest pixel; looks no further than the first 0."""
    found = 255
    for start in range(0, len(images), 1024):
        if (found := min(found, int(images[start : start + 1024].min()))) == 0:
            break
    return found


def draw(
    count: int, shift: int, flip: bool, rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """For each of `count` images its shift, below (2 shift + 1)^2, and whether it is mirrored."""
    import torch

    offset = torch.randint((2 * shift + 1) ** 2, (count,), generator=rng)
    return offset, torch.randint(2 if flip else 1, (count,), generator=rng)


def placed(
    images: Images,
    offset: NDArray[np.int64],
    mirrored: NDArray[np.int64],
    shift: int,
    fill: int,
) -> Images:
    """Images (B, H, W[, 3]) shifted and mirrored as `draw` says, with `fill` at the edges; as
    `Augment`."""
    if shift:
        height, width = images.shape[1:3]
        moved = np.full_like(images, fill)
        places = zip(*(part.tolist() for part in np.divmod(offset, 2 * shift + 1)), strict=True)
        for i, (down, right) in enumerate(places):
            y, x = down - shift, right - shift
            here = moved[i, max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)]
            here[...] = images[i, max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)]
        images = moved
    turned = np.flatnonzero(mirrored)
    images[turned] = images[turned][:, :, ::-1]
    return images


class Augment:
    """Random shift and horizontal flip per image (`draw`) of images (N, C, H, W) on the device, as
    one gather a batch; beyond the edge lies the darkest pixel of all."""

    def __init__(self, x: torch.Tensor, shift: int, flip: bool) -> None:
        import torch

        self.shift, self.flip, self.shape = shift, flip, x.shape[1:]
        self.padded = torch.nn.functional.pad(x, (shift,) * 4, value=float(x.min())).flatten(2)
        height, width = x.shape[2:]
        wide = width + 2 * shift
        grid = torch.arange(height)[:, None] * wide + torch.arange(width)  # (H, W)
        self.base = torch.stack([grid, grid.flip(1)]).flatten(1).to(x.device)  # (2, H*W)
        self.wide = wide

    def __call__(self, rows: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Augmented images (B, C, H, W) of the rows (B,)."""
        count, span = len(rows), 2 * self.shift + 1
        offset, mirrored = draw(count, self.shift, self.flip, rng)
        offset = (offset // span) * self.wide + offset % span
        where = self.base[mirrored.to(rows.device)] + offset.to(rows.device)[:, None]  # (B, H*W)
        picked = self.padded[rows].gather(2, where[:, None].expand(-1, self.shape[0], -1))
        return picked.view(count, *self.shape)


def as_input(images: Images | Rows | torch.Tensor) -> torch.Tensor:
    """uint8 (N, H, W[, 3]) -> float32 (N, C, H, W), mean and deviation 0.5 as the paper's."""
    import torch

    x = images if isinstance(images, torch.Tensor) else torch.from_numpy(np.array(images))
    x = x[:, None] if x.ndim == 3 else x.movedim(-1, 1).contiguous()
    # By a tensor: of a plain number a GPU takes the reciprocal, which rounds otherwise.
    return (x.float() / torch.tensor(255.0, device=x.device) - 0.5) / 0.5
