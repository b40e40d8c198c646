"""How the networks of a text-to-image model are trained: one loop that can be killed and goes on,
what each family minimises, and the autoencoders of those in two stages."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from dataworth import compute
from dataworth.images.generators import class_of
from dataworth.images.generators.pixel import velocity
from dataworth.optimisation import Descent, Optimisation
from dataworth.parameters import Value
from dataworth.runs.progress import progress

if TYPE_CHECKING:
    import torch

    # (transformer, noisy or masked input, time in 0-1000) -> prediction, text given
    Predict = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

# `warmup` and `decay` are fractions of the steps: 200 of 6000, 200 of 3000, 100 of 2000.
ADAMW = Optimisation(
    optimizer="adamw",
    learning_rate=1.2e-3,
    weight_decay=0.01,
    betas=(0.9, 0.99),
    schedule="wsd-sqrt",
    warmup=200 / 6000,
    decay=0.3,
)


class Stage(Value):
    """How long and by which steps a network is trained. Batch in images."""

    steps: int = Field(6000, ge=1)
    batch: int = Field(128, ge=1)
    optimisation: Optimisation = ADAMW
    ema: float = Field(0.999, ge=0, lt=1, description="decay of averaged weights per step")


AUTOENCODER = Stage(
    steps=2000,
    batch=64,
    optimisation=ADAMW.model_copy(update={"learning_rate": 2e-3, "warmup": 0.05}),
    ema=0.99,
)


def optimise(
    model: torch.nn.Module,
    loss: Callable[[int], torch.Tensor],
    stage: Stage,
    folder: Path,
    *,
    name: str = "",
    report: int = 50,
    save: Callable[[torch.nn.Module], object] | None = None,
) -> torch.nn.Module:
    """Minimise `loss(step)` over the parameters of `model`; returns the average of its weights.

    Writes `checkpoint.pt` and `log.jsonl` (with `name-` before them, if given) to `folder` and
    goes on from them; `save` gets the average at each checkpoint.
    """
    import torch

    given = stage.optimisation
    # Decay on every weight, norms and biases too: as the shipped weights were trained.
    adamw = torch.optim.AdamW(
        model.parameters(),
        lr=given.learning_rate,
        weight_decay=given.weight_decay,
        betas=given.betas,
    )
    prefix = f"{name}-" if name else ""
    checkpoint, log = folder / f"{prefix}checkpoint.pt", folder / f"{prefix}log.jsonl"
    descent = Descent(
        model, given, stage.steps, ema=stage.ema, optimizers=[adamw], after=lambda: advance(1)
    )
    descent.resume(checkpoint)
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    # What was logged after the checkpoint is done again.
    rows = [row for row in rows if row["step"] <= descent.done]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    before = rows[-1]["seconds"] if rows else 0.0
    started = time.perf_counter()

    def note(step: int, average: torch.nn.Module) -> None:
        recent = descent.losses[(step - 1) // report * report : step]
        row = {
            "step": step,
            "loss": round(float(recent.mean()), 5),
            "seconds": round(before + time.perf_counter() - started, 1),
        }
        with log.open("a") as file:
            file.write(json.dumps(row) + "\n")
        if step % (5 * report) == 0 or step == stage.steps:
            descent.save(checkpoint)
            if save:
                save(average)

    left = stage.steps - descent.done
    with progress(f"training the {name or 'generator'}", left) as advance:
        return descent.run(loss, every=report, checkpoint=note)


# --- Objectives: (predict, examples (B, ...), config) -> loss ----------------------------------


def flow_matching(predict: Predict, x: torch.Tensor, config: Any) -> torch.Tensor:
    """Squared error of the velocity e - x at x_t = (1 - t) x + t e (Lipman et al. 2023).

    x: uint8 pixels or float latents (B, C, H, W).
    """
    import torch

    if x.dtype == torch.uint8:
        x = x.float() / 127.5 - 1
    # Logit-normal times (Esser et al. 2024); a shift of times adds to their logit.
    t = torch.sigmoid(torch.randn(len(x)) + math.log(config.time_shift)).to(x.device)
    noise = torch.randn(x.shape).to(x.device)
    noisy = torch.lerp(x, noise, t[:, None, None, None])
    v = velocity(predict(noisy, t * 1000), noisy, t, config)
    return torch.nn.functional.mse_loss(v, noise - x)


def masked_tokens(predict: Predict, tokens: torch.Tensor, config: Any) -> torch.Tensor:
    """Cross-entropy on masked tokens, cosine-distributed masked share (Chang et al. 2022).

    tokens: int64 (B, h, w).
    """
    import torch

    from dataworth.images.generators.masked import one_hot

    count, side = tokens[0].numel(), tokens.shape[-1]
    flat = tokens.flatten(1)
    wanted = torch.cos(torch.pi / 2 * torch.rand(len(flat)))
    number = (wanted * count).ceil().clamp(min=1)  # masked tokens of each image
    rank = torch.rand(len(flat), count).argsort(1).argsort(1)
    hidden = (rank < number[:, None]).to(flat.device)
    shown = torch.where(hidden, config.codes, flat)
    logits = predict(
        one_hot(shown, config.codes, side, torch.float32),
        (1000 * number / count).to(flat.device),
    )
    each = torch.nn.functional.cross_entropy(logits.flatten(2), flat, reduction="none")
    # Summed over masked tokens: a mean within each image would weigh nearly complete ones most.
    return (each * hidden).sum() / hidden.sum()


OBJECTIVES: dict[str, Callable[[Predict, torch.Tensor, Any], torch.Tensor]] = {
    "pixel-diffusion": flow_matching,
    "latent-diffusion": flow_matching,
    "masked-token": masked_tokens,
}


# --- First stage -------------------------------------------------------------------------------


def train_autoencoder(
    pixels: torch.Tensor,
    config: Any,
    stage: Stage,
    seed: int,
    folder: Path,
    *,
    report: int = 50,
) -> Any:
    """The family's autoencoder, trained on uint8 pixels (N, H, W); None if it has none.

    Loss: squared error plus absolute error of the pixels, plus a Kullback-Leibler term of weight
    1e-3 a latent (latent diffusion) or the codebook's own loss (masked token). The codebook starts
    after a third of the steps at k-means centres of what the encoder then gives, so that every
    entry is used.
    """
    import torch

    torch.manual_seed(seed)
    model: Any = class_of(config).autoencoder_of(config)
    if model is None:
        return None
    device = compute.device()
    model = model.to(device)
    quantised = hasattr(model, "quantize")
    start = stage.steps // 3
    # bfloat16: a third faster here on a CPU that multiplies it (not so for the transformer).
    mixed = torch.autocast(
        device.type, torch.bfloat16, enabled=compute.inference_dtype() == torch.bfloat16
    )

    def loss(step: int) -> torch.Tensor:
        if quantised and step == start:
            centre_codebook(model, pixels, seed)
        rng = np.random.default_rng([seed, 3, step])
        torch.manual_seed(int(rng.integers(2**31)))
        chosen = torch.from_numpy(rng.integers(len(pixels), size=stage.batch)).to(device)
        x = pixels[chosen].float() / 127.5 - 1
        with mixed:
            moments = model.quant_conv(model.encoder(x)).float()
        if quantised:
            z, extra = moments, moments.new_zeros(())
            if step >= start:
                z, extra, _ = model.quantize(z)
        else:
            mean, logvar = moments.chunk(2, 1)
            logvar = logvar.clamp(-30, 20)
            z = mean + torch.randn(mean.shape).to(device) * (0.5 * logvar).exp()
            extra = 1e-3 * 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
        with mixed:
            y = model.decoder(model.post_quant_conv(z)).float()
        return (y - x).square().mean() + (y - x).abs().mean() + extra

    made: Any = optimise(model, loss, stage, folder, name="autoencoder", report=report)
    if not quantised:
        standardise(made, encoded(made, pixels))
    # What is saved is bfloat16: the second stage sees the latents that a sampler will decode.
    return made.to(torch.bfloat16).float()


def encoded(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Latents float32 (N, C, h, w), the posterior's mean, or tokens int64 (N, h, w)."""
    import torch

    parts = []
    with torch.inference_mode():
        for start in range(0, len(pixels), 256):
            x = pixels[start : start + 256].float() / 127.5 - 1
            if hasattr(model, "quantize"):
                z = model.encode(x, return_dict=False)[0]
                index = model.quantize(z)[2][2]
                parts.append(index.view(len(x), *z.shape[2:]))
            else:
                parts.append(model.encode(x, return_dict=False)[0].mode())
    return torch.cat(parts).clone()


def standardise(model: Any, latents: torch.Tensor) -> None:
    """Give an `AutoencoderKL` latents of zero mean and unit variance in each channel.

    Exact: its 1 x 1 convolutions after the encoder and before the decoder take the change up.
    latents: (N, C, h, w), what it gives now.
    """
    import torch

    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    into, out = model.quant_conv, model.post_quant_conv
    with torch.no_grad():
        into.weight[: len(mean)] /= deviation[:, None, None, None]
        into.bias[: len(mean)] = (into.bias[: len(mean)] - mean) / deviation
        into.bias[len(mean) :] -= 2 * deviation.log()
        out.bias += out.weight[:, :, 0, 0] @ mean
        out.weight *= deviation[:, None, None]


def centre_codebook(model: Any, pixels: torch.Tensor, seed: int) -> None:
    """Put a `VQModel`'s codebook at k-means centres of its encoder's output."""
    import torch
    from scipy.cluster.vq import kmeans2

    rng = np.random.default_rng([seed, 4])
    chosen = torch.from_numpy(rng.integers(len(pixels), size=512)).to(pixels.device)
    with torch.no_grad():
        x = pixels[chosen].float() / 127.5 - 1
        z = model.encode(x, return_dict=False)[0].permute(0, 2, 3, 1).flatten(0, 2)
        centres, _ = kmeans2(z.float().cpu().numpy(), model.quantize.n_e, minit="points", rng=rng)
        model.quantize.embedding.weight.copy_(torch.from_numpy(centres))
