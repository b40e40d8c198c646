"""Does a GPU reach what `dataworth check --profile paper` assumes? Random weights, real shapes.

    .venv/bin/python bench/cost.py [--seconds 8]

The dry run counts operations and divides by 40 % of an A100's peak (`runs.report`). Here the same
networks run on the GPU that torch sees: guided sampling of Stable Diffusion 1.5's U-Net (diffusers,
512 pixels, bfloat16), training of the paper's ViT-B/16 by our loop, and of its 1.5B language model
by ours. Printed for each: measured rate, operations per second, and their share of the 125 TFLOP/s
that the dry run assumes (above 1: the dry run is cautious for this GPU).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from dataworth import compute
from dataworth.images import classifiers
from dataworth.optimisation import Descent
from dataworth.runs.report import PEAK, UTILISATION
from dataworth.studies import image_cost as cost
from dataworth.studies import networks
from dataworth.text.models import MODELS, next_token_nats
from dataworth.text.training import PRETRAINING

Step = Callable[[], object]


def stable_diffusion(batch: int = 16) -> tuple[Step, float, float]:
    """One guided U-Net step: a call, images done by it (1/50 of a batch), operations."""
    with torch.device(compute.device()):
        unet: Any = networks.stable_diffusion_unet().to(compute.inference_dtype()).eval()
        latents = torch.randn(2 * batch, 4, 64, 64, dtype=unet.dtype)
        text = torch.randn(2 * batch, 77, 768, dtype=unet.dtype)

    def step() -> None:
        with torch.inference_mode():
            unet(latents, 500, text)

    forward = networks.generator_network("stable-diffusion-v1-5").forward
    return step, batch / 50, 2 * batch * forward


def vit(batch: int = 256) -> tuple[Step, float, float]:
    """One training step of ViT-B/16 as `classifiers.train` takes it."""
    device = compute.device()
    images = np.random.default_rng(0).integers(0, 256, (2 * batch, 224, 224, 3), dtype=np.uint8)
    x = classifiers.as_input(images).to(device)
    y = torch.arange(len(x), device=device) % 1000
    optimisation = classifiers.ImageOptimisation(optimizer="adamw", learning_rate=1e-3, flip=True)
    model = classifiers.MODELS["vit-b16"].build(224, 3, 1000).to(device)
    augment = classifiers.Augment(x, 0, True)
    descent = Descent(model, optimisation, 10_000)
    rng = torch.Generator("cpu").manual_seed(0)

    def step() -> None:
        rows = torch.randperm(len(x), generator=rng)[:batch].to(device)
        with compute.precision():
            loss = torch.nn.functional.cross_entropy(model(augment(rows, rng)), y[rows])
        descent.step(loss)

    return step, batch, batch * cost.training_flops("vit-b16")


def language_model(rows: int = 16, context: int = 512) -> tuple[Step, float, float]:
    """One training step of lm-1.5b as `text.training.train` takes it."""
    device, shape, vocabulary = compute.device(), MODELS["lm-1.5b"], 32_000
    with torch.device(device):
        model = shape.build(vocabulary)
    changes = {"optimizer": "adamw", "learning_rate": 3e-4}
    descent = Descent(model, PRETRAINING.model_copy(update=changes), 10_000)
    tokens = torch.randint(vocabulary, (rows, context + 1), device=device)

    def step() -> None:
        with compute.precision():
            loss, _ = next_token_nats(model, tokens[:, :-1], tokens[:, 1:])
        descent.step(loss)

    count = rows * context
    return step, count, shape.training_flops(vocabulary, count, context)


def measure(step: Step, seconds: float) -> float:
    """Seconds of one step, after three of warm-up."""
    for _ in range(3):
        step()
    torch.cuda.synchronize()
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        step()
        torch.cuda.synchronize()
        count += 1
    return (time.perf_counter() - began) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=8)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("torch sees no GPU; the costs of the paper's scale are those of one.")
    print(compute.describe())
    for name, made, unit in (
        ("Stable Diffusion 1.5, guided, 50 steps", stable_diffusion, "images/s"),
        ("ViT-B/16, training", vit, "images/s"),
        ("lm-1.5b, training", language_model, "tokens/s"),
    ):
        step, done, flops = made()
        spent = measure(step, arguments.seconds)
        share = flops / spent / (PEAK * UTILISATION)
        print(
            f"{name:40} {done / spent:10,.1f} {unit:9} {flops / spent / 1e12:6.0f} TFLOP/s   "
            f"{share:.2f} of what is assumed",
            flush=True,
        )
        del step, made
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
