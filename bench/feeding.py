"""Training images per second on their way to a model, beside timm's loader with its augmentation.

    OMP_NUM_THREADS=1 .venv/bin/python bench/feeding.py [--count 2048] [--sides 64 224] [--passes 5]

Both sides are given the same JPEG files, 1.15 times as large as the side, and two cores. timm reads
and decodes a file whenever it is sampled (two worker processes, RandomResizedCrop and flip, its
training defaults). Ours decodes every file once, when the set is fetched; training then reads rows
of stored bytes in two threads, shifts and mirrors them and makes floats of them (`images.feeding`).
So the ratio is what storing decoded images buys, and `decoding` is what they cost once; the crops
differ, as said. No model is trained. The sides take turns; the rates are medians of the passes.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

BATCH = 128


def write_jpegs(folder: Path, count: int, side: int) -> None:
    """Files in two classes; smooth random images, since noise would decode slower than photos."""
    from PIL import Image

    rng = np.random.default_rng(0)
    larger = round(1.15 * side)
    for i in range(count):
        place = folder / str(i % 2)
        place.mkdir(exist_ok=True)
        coarse = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((larger, larger), Image.Resampling.BICUBIC)
        picture.save(place / f"{i:06}.jpg", quality=90)


def decode(folder: Path, side: int) -> np.ndarray:
    """All files as `dataworth data fetch` decodes them, by two threads."""
    from dataworth.data import pictures

    def one(path: Path) -> np.ndarray:
        with pictures.opened(path) as picture:
            return np.asarray(pictures.fitted(pictures.upright(picture)[0], side))

    with ThreadPoolExecutor(2) as pool:
        return np.stack(list(pool.map(one, sorted(folder.glob("*/*.jpg")))))


def timms(folder: Path, side: int) -> Callable[[], int]:
    """One pass of timm's loader, which gives the number of images."""
    from timm.data import ImageDataset, create_loader

    loader = create_loader(
        ImageDataset(str(folder)),
        input_size=(3, side, side),
        batch_size=BATCH,
        is_training=True,
        num_workers=2,
        use_prefetcher=False,
        persistent_workers=True,
    )
    return lambda: sum(len(images) for images, _ in loader)


def ours(stored: Path, side: int) -> Callable[[], int]:
    """One pass over the stored rows."""
    import torch

    from dataworth.data.rows import Rows, in_npy
    from dataworth.images.classifiers import uniform_batches
    from dataworth.images.feeding import feed

    images = Rows([in_npy(stored)])

    def once() -> int:
        rng = torch.Generator().manual_seed(0)
        fed = feed(images, uniform_batches(len(images), BATCH, rng), side // 16, True, rng)
        given = sum(len(x) for x, _ in islice(fed, len(images) // BATCH))
        fed.close()
        return given

    return once


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--count", type=int, default=2048, help="files")
    arguments.add_argument("--sides", type=int, nargs="+", default=[64, 224])
    arguments.add_argument("--passes", type=int, default=5)
    given = arguments.parse_args()
    print("side  timm images/s  ours images/s  ratio  decoding images/s")
    for side in given.sides:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "jpeg"
            folder.mkdir()
            write_jpegs(folder, given.count, side)
            began = time.perf_counter()
            np.save(stored := Path(name) / "images.npy", decode(folder, side))
            decoding = given.count / (time.perf_counter() - began)
            passes = [timms(folder, side), ours(stored, side)]
            rates: list[list[float]] = [[], []]
            for once in passes:
                once()  # imports, workers, the page cache
            for _ in range(given.passes):
                for rate, once in zip(rates, passes, strict=True):
                    began = time.perf_counter()
                    count = once()
                    rate.append(count / (time.perf_counter() - began))
            timm, here = (float(np.median(rate)) for rate in rates)
            print(f"{side:4}  {timm:13,.0f}  {here:13,.0f}  {here / timm:5.1f}  {decoding:17,.0f}")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
