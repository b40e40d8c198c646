"""Training speed of our classifiers beside a plain timm loop: milliseconds a step of one core.

    .venv/bin/python bench/classifiers.py [--model vit-2x64] [--batch 128] [--rounds 9]

The peer is timm's model of the same shape as it comes, `torch.optim.AdamW`, batches indexed from
one tensor, no averaging. Ours is a chapter's step: Muon and AdamW, averaged weights. Rounds of four
steps alternate; times are this thread's processor time. On a processor with more, AVX2 is had by
ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 before the command.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np
import timm
import torch
from torch.nn.functional import cross_entropy

from dataworth import compute
from dataworth.images.classifiers import MODELS, ImageOptimisation, Vit
from dataworth.optimisation import Descent

STEPS = 4


def batches(size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    x, y = torch.randn(2048, 1, 28, 28), torch.randint(0, 10, (2048,))
    while True:
        rows = torch.randint(0, 2048, (size,))
        yield x[rows], y[rows]


def plain(vit: Vit, size: int) -> Iterator[None]:
    model = timm.create_model(
        vit.name, img_size=28, patch_size=vit.patch, in_chans=1, embed_dim=vit.width,
        depth=vit.depth, num_heads=vit.heads, num_classes=10,
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    for x, y in batches(size):
        optimizer.zero_grad()
        cross_entropy(model(x), y, label_smoothing=0.05).backward()
        optimizer.step()
        yield


def ours(vit: Vit, size: int, optimizer: str) -> Iterator[None]:
    model = vit.build(28, 1, 10)
    descent = Descent(model, ImageOptimisation(optimizer=optimizer), 10**6, ema=0.97)
    for x, y in batches(size):
        descent.step(cross_entropy(model(x), y, label_smoothing=0.05))
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", default="vit-2x64", choices=list(MODELS))
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    vit, size = MODELS[arguments.model], arguments.batch
    loops = {
        "timm, AdamW": plain(vit, size),
        "ours, AdamW, averaged": ours(vit, size, "adamw"),
        "ours, Muon, averaged": ours(vit, size, "muon"),
    }
    spent: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(arguments.rounds):
        for name, loop in loops.items():
            next(loop)
            began = time.thread_time()
            for _ in range(STEPS):
                next(loop)
            spent[name].append(1000 * (time.thread_time() - began) / STEPS)
    peer = np.array(spent["timm, AdamW"])
    print(f"{arguments.model}, batches of {size}, {compute.instructions()}")
    for name, values in spent.items():
        ratio = np.median(peer / np.array(values))
        print(f"{name:24}{np.median(values):8.1f} ms a step   {ratio:.2f} times timm's speed")


if __name__ == "__main__":
    main()
