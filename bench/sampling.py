"""Guided sampling speed of our families on this machine's cores, and two named peers' in the same
run.

    .venv/bin/python bench/sampling.py [--workers 2] [--images 512]

Ours is what a chapter runs: the shipped weights at the family's step count, one forward of a
doubled batch, bfloat16 where the processor has it, one single-threaded process per core. The peers
get the same processes, images and steps as `pixel-diffusion`: its network sampled as a plain loop
(two forwards in float32, Euler flow matching of diffusers), and diffusers' attention U-Net of about
the same size. Times exclude imports and the first batch.
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import time

GUIDANCE, STEPS = 1.5, 8


def ours(images: int, family: str = "pixel-diffusion") -> float:
    from dataworth.images.generators import FAMILIES, WEIGHTS, build, load

    folder = WEIGHTS / family
    if folder.is_dir():
        model = load(folder)
    else:  # untrained weights take as long
        made_by = FAMILIES[family].made_by
        config, tokenizer = made_by.config_class(), load(WEIGHTS / "pixel-diffusion").tokenizer
        model = made_by(
            *build(config), tokenizer, config, autoencoder=made_by.autoencoder_of(config)
        )
    prompts, seeds = ["coat"] * images, list(range(images))
    model.generate(prompts[:64], GUIDANCE, seeds[:64])
    started = time.perf_counter()
    model.generate(prompts, GUIDANCE, seeds)
    return time.perf_counter() - started


def latent(images: int) -> float:
    return ours(images, "latent-diffusion")


def masked(images: int) -> float:
    return ours(images, "masked-token")


def plain_loop(images: int) -> float:
    import torch

    from dataworth.images.generators import PixelDiffusion, build

    model = PixelDiffusion.load()
    network = build(model.config)[0].float().eval()  # as diffusers makes it
    network.load_state_dict(model.transformer.state_dict())
    hidden, mask = model._encode(["coat", ""])

    def predict(x: torch.Tensor, t: torch.Tensor, row: int) -> torch.Tensor:
        n = len(x)
        return network(
            x,
            encoder_hidden_states=hidden[row].expand(n, -1, -1),
            encoder_attention_mask=mask[row].expand(n, -1),
            timestep=t.expand(n),
            return_dict=False,
        )[0]

    return _euler(lambda x, t: (predict(x, t, 0), predict(x, t, 1)), images)


def unet(images: int) -> float:
    from diffusers import UNet2DModel

    network = UNet2DModel(
        sample_size=28,
        in_channels=1,
        out_channels=1,
        block_out_channels=(32, 64, 64),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
    ).eval()
    return _euler(lambda x, t: (network(x, t).sample, network(x, t).sample), images)


def _euler(predict, images: int) -> float:
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler

    def batch() -> None:
        scheduler = FlowMatchEulerDiscreteScheduler()
        scheduler.set_timesteps(STEPS)
        x = torch.randn(64, 1, 28, 28)
        for t in scheduler.timesteps:
            conditional, unconditional = predict(x, t)
            v = unconditional + GUIDANCE * (conditional - unconditional)
            x = scheduler.step(v, t, x).prev_sample

    with torch.inference_mode():
        batch()
        started = time.perf_counter()
        for _ in range(images // 64):
            batch()
    return time.perf_counter() - started


def _worker(name: str, images: int, queue) -> None:
    import torch

    torch.set_num_threads(1)
    queue.put(globals()[name](images))


def rate(name: str, images: int, workers: int) -> float:
    """Images per second of all workers together."""
    context = mp.get_context("spawn")
    queue = context.Queue()
    jobs = [context.Process(target=_worker, args=(name, images, queue)) for _ in range(workers)]
    for job in jobs:
        job.start()
    seconds = [queue.get() for _ in jobs]
    for job in jobs:
        job.join()
    return sum(images / s for s in seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--images", type=int, default=512, help="per worker, a multiple of 64")
    arguments = parser.parse_args()
    from dataworth.images.generators import FAMILIES

    print(f"{arguments.workers} workers, guidance {GUIDANCE}")
    base = rate("ours", arguments.images, arguments.workers)
    print(f"{'pixel-diffusion, 8 steps':34} {base:7.1f} images/s")
    for name, family in (("latent", "latent-diffusion"), ("masked", "masked-token")):
        found = rate(name, arguments.images, arguments.workers)
        label = f"{family}, {FAMILIES[family].steps} steps"
        print(f"{label:34} {found:7.1f} images/s   {found / base:.2f}x pixel-diffusion")
    for name, label, share in (
        ("plain_loop", "same network, plain float32 loop", 1),
        ("unet", "diffusers UNet2DModel, plain loop", 4),
    ):
        peer = rate(name, max(64, arguments.images // share // 64 * 64), arguments.workers)
        print(f"{label:34} {peer:7.1f} images/s   pixel-diffusion is {base / peer:.1f}x")


if __name__ == "__main__":
    main()
