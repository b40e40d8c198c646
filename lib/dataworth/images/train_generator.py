"""Train one of the small text-to-image models on the generator pool.

    python -m dataworth.images.train_generator --family latent-diffusion --steps 3000 --out FOLDER

The pool stands for web data: real photographs with captions, and stylised copies of some of them
(`styles`) captioned as such. No classifier-pool, validation or test image is read. A run that is
killed resumes from its last checkpoint; every step draws its batch from (seed, step), so a resumed
run sees the batches an uninterrupted one would.

Latent and masked-token models are trained in two stages: the autoencoder, then the transformer on
its latents or tokens, which are computed once.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dataworth import compute
from dataworth.closure import run_closure
from dataworth.images.captions import attributes, caption
from dataworth.images.generators import (
    FAMILIES,
    NetworkConfig,
    TextToImage,
    class_of,
    encode,
    family_of,
)
from dataworth.images.generators.base import build, describe_config
from dataworth.images.optimisation import averaged
from dataworth.images.styles import STYLES
from dataworth.runs import progress

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

    # (transformer, noisy or masked input, time in 0-1000) -> prediction, text given
    Predict = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

VARIANTS = 6  # captions written per image


@dataclass(frozen=True)
class Optimisation:
    """AdamW and its schedule. Batch in images, EMA decay per step."""

    steps: int = 6000
    batch: int = 128
    learning_rate: float = 1.2e-3
    warmup: int = 200
    decay_share: float = 0.3
    ema: float = 0.999
    weight_decay: float = 0.01

    def rate(self, step: int) -> float:
        """Warm-up, stable, then square-root-shaped decay (WSD; Haegele et al. 2024)."""
        tail = max(1, round(self.steps * self.decay_share))
        left = (self.steps - step) / tail
        return (
            self.learning_rate
            * min(1.0, (step + 1) / self.warmup)
            * (1.0 if left >= 1 else 1 - math.sqrt(1 - left))
        )


@dataclass(frozen=True)
class Recipe(Optimisation):
    """How the transformer and its text encoder are trained, and on which pool."""

    condition_dropout: float = 0.1
    stylised_per_style: int = 1500
    seed: int = 0


RECIPES = {
    "pixel-diffusion": Recipe(),
    "latent-diffusion": Recipe(steps=3000),
    "masked-token": Recipe(steps=3000),
}
AUTOENCODER = Optimisation(steps=2000, batch=64, learning_rate=2e-3, warmup=100, ema=0.99)


def captioned_pool(
    images: NDArray[np.uint8], labels: NDArray[np.int64], recipe: Recipe
) -> tuple[NDArray[np.uint8], list[list[str]]]:
    """Photos and stylised copies (M, H, W), with `VARIANTS` captions for each."""
    rng = np.random.default_rng([recipe.seed, 1])
    words = attributes(images, labels)
    pool = [images]
    members = [(i, "photo") for i in range(len(images))]
    for style, make in STYLES.items() if recipe.stylised_per_style else ():
        chosen = rng.choice(len(images), min(recipe.stylised_per_style, len(images)), replace=False)
        pool.append(make(images[chosen]))
        members += [(int(i), style) for i in chosen]
    texts = [
        [caption(int(labels[i]), words[i], rng, style) for _ in range(VARIANTS)]
        for i, style in members
    ]
    return np.concatenate(pool), texts


def train_tokenizer(texts: list[list[str]], config: NetworkConfig) -> Tokenizer:
    """Byte-level BPE on the pool's captions: any prompt can be encoded, none is unknown."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary,
        special_tokens=["<pad>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((t for row in texts for t in row), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", tokenizer.token_to_id("</s>"))]
    )
    tokenizer.enable_truncation(config.text_tokens)
    tokenizer.enable_padding(
        pad_id=tokenizer.token_to_id("<pad>"), pad_token="<pad>", length=config.text_tokens
    )
    return tokenizer


def train(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    config: Any,
    recipe: Recipe,
    folder: Path,
    *,
    autoencoder: Optimisation = AUTOENCODER,
    compiled: bool = False,
    report: int = 50,
) -> TextToImage:
    """Train the family of `config` on uint8 (N, H, W) images with labels (N,).

    Checkpoints, logs and weights go to `folder`.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    device = compute.device()
    made_by = class_of(config)
    pool, texts = captioned_pool(images, labels, recipe)
    tokenizer = train_tokenizer(texts, config)
    flat_ids, flat_mask = encode(tokenizer, [t for row in texts for t in row])
    ids = torch.from_numpy(flat_ids).view(len(texts), VARIANTS, -1).to(device)
    masks = torch.from_numpy(flat_mask).view(len(texts), VARIANTS, -1).to(device)
    empty_ids, empty_mask = (torch.from_numpy(a[0]).to(device) for a in encode(tokenizer, [""]))
    pixels = torch.from_numpy(pool).to(device)
    coder = train_autoencoder(pixels, config, autoencoder, recipe.seed, folder, report=report)
    examples = pixels[:, None] if coder is None else encoded(coder, pixels)

    torch.manual_seed(recipe.seed)
    transformer, encoder = build(config)
    model = torch.nn.ModuleDict({"transformer": transformer, "encoder": encoder}).to(device)
    forward = torch.compile(transformer) if compiled else transformer
    objective = OBJECTIVES[made_by.family]

    def loss(step: int) -> torch.Tensor:
        rng = np.random.default_rng([recipe.seed, 2, step])
        torch.manual_seed(int(rng.integers(2**31)))
        chosen = torch.from_numpy(rng.integers(len(pool), size=recipe.batch)).to(device)
        variant = torch.from_numpy(rng.integers(VARIANTS, size=recipe.batch)).to(device)
        dropped = torch.from_numpy(rng.random(recipe.batch) < recipe.condition_dropout).to(device)
        text = torch.where(dropped[:, None], empty_ids, ids[chosen, variant])
        mask = torch.where(dropped[:, None], empty_mask, masks[chosen, variant])
        hidden = encoder(input_ids=text, attention_mask=mask).last_hidden_state

        def predict(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = forward(
                x,
                encoder_hidden_states=hidden,
                encoder_attention_mask=mask,
                timestep=t,
                return_dict=False,
            )[0]
            return y

        return objective(predict, examples[chosen], config)

    def save(average: torch.nn.Module) -> None:
        # A copy: the sampler casts its networks to the sampling precision in place.
        copy: Any = deepcopy({"network": average, "autoencoder": coder})
        network = copy["network"]
        made_by(
            network["transformer"],
            network["encoder"],
            tokenizer,
            config,
            autoencoder=copy["autoencoder"],
        ).save(folder)

    optimise(model, loss, recipe, folder, report=report, save=save)
    return made_by.load(folder)


# --- Objectives: (predict, examples (B, ...), config) -> loss ----------------------------------


def flow_matching(predict: Predict, x: torch.Tensor, config: Any) -> torch.Tensor:
    """Squared error of the velocity e - x at x_t = (1 - t) x + t e (Lipman et al. 2023).

    x: uint8 pixels or float latents (B, C, H, W).
    """
    import torch

    if x.dtype == torch.uint8:
        x = x.float() / 127.5 - 1
    t = torch.sigmoid(torch.randn(len(x))).to(x.device)  # logit-normal (Esser et al. 2024)
    noise = torch.randn(x.shape).to(x.device)
    noisy = torch.lerp(x, noise, t[:, None, None, None])
    return torch.nn.functional.mse_loss(predict(noisy, t * 1000), noise - x)


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
    recipe: Optimisation,
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
    start = recipe.steps // 3
    # bfloat16 products: a third faster here on a CPU that has them (not so for the transformer).
    mixed = torch.autocast(
        device.type, torch.bfloat16, enabled=compute.inference_dtype() == torch.bfloat16
    )

    def loss(step: int) -> torch.Tensor:
        if quantised and step == start:
            centre_codebook(model, pixels, seed)
        rng = np.random.default_rng([seed, 3, step])
        torch.manual_seed(int(rng.integers(2**31)))
        chosen = torch.from_numpy(rng.integers(len(pixels), size=recipe.batch)).to(device)
        x = pixels[chosen, None].float() / 127.5 - 1
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

    average = optimise(model, loss, recipe, folder, name="autoencoder", report=report)
    made = deepcopy(average).eval()
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
            x = pixels[start : start + 256, None].float() / 127.5 - 1
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
        x = pixels[chosen, None].float() / 127.5 - 1
        z = model.encode(x, return_dict=False)[0].permute(0, 2, 3, 1).flatten(0, 2)
        centres, _ = kmeans2(z.float().cpu().numpy(), model.quantize.n_e, minit="points", rng=rng)
        model.quantize.embedding.weight.copy_(torch.from_numpy(centres))


# --- One loop for both stages ------------------------------------------------------------------


def optimise(
    model: torch.nn.Module,
    loss: Callable[[int], torch.Tensor],
    recipe: Optimisation,
    folder: Path,
    *,
    name: str = "",
    report: int = 50,
    save: Callable[[torch.nn.Module], None] | None = None,
) -> torch.nn.Module:
    """Minimise `loss(step)` over the parameters of `model`; returns the average of its weights.

    Writes `checkpoint.pt` and `log.jsonl` (with `name-` before them, if given) to `folder` and
    goes on from them; `save` gets the average at each checkpoint.
    """
    import torch

    average = averaged(model, recipe.ema)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        betas=(0.9, 0.99),
    )
    prefix = f"{name}-" if name else ""
    checkpoint, log = folder / f"{prefix}checkpoint.pt", folder / f"{prefix}log.jsonl"
    first, seconds = 0, 0.0
    if checkpoint.is_file():
        saved = torch.load(checkpoint, map_location=compute.device())
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        first, seconds = saved["step"], saved["seconds"]
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    # What was logged after the checkpoint is done again.
    log.write_text("".join(json.dumps(row) + "\n" for row in rows if row["step"] <= first))
    started, losses = time.perf_counter(), []
    with progress(f"training the {name or 'generator'}", recipe.steps - first) as advance:
        for step in range(first, recipe.steps):
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate(step)
            value = loss(step)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()
            average.update_parameters(model)
            losses.append(value.item())
            if (step + 1) % 10 == 0:
                advance(10)
            if (step + 1) % report == 0 or step + 1 == recipe.steps:
                spent = seconds + time.perf_counter() - started
                row = {
                    "step": step + 1,
                    "loss": round(float(np.mean(losses)), 5),
                    "seconds": round(spent, 1),
                }
                with log.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                losses = []
                if (step + 1) % (5 * report) == 0 or step + 1 == recipe.steps:
                    state = {
                        "model": model.state_dict(),
                        "average": average.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "step": step + 1,
                        "seconds": spent,
                    }
                    temporary = checkpoint.with_suffix(".tmp")
                    torch.save(state, temporary)
                    temporary.replace(checkpoint)
                    if save:
                        save(average.module)
    return average.module


def generator_pool(card: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, H, W) and labels (N,) a generator may learn from, by class, then by content id."""
    from dataworth.data import load_images

    pool = load_images(card, "generator_pool")
    order = np.lexsort((pool.ids, pool.labels))
    return pool.images[order], pool.labels[order]


def retrained(
    card: str,
    config: Any = None,
    recipe: Recipe | None = None,
    *,
    family: str = "pixel-diffusion",
    autoencoder: Optimisation = AUTOENCODER,
) -> Path:
    """Folder of a generator trained on this machine, trained now if it is not there yet.

    `config` is one of `family`; None means its default.
    """
    from dataworth.data import card as find_card
    from dataworth.paths import home

    config, recipe = config or default_config(family), recipe or RECIPES[family]
    code = run_closure([__name__])
    facts = {
        "card": find_card(card).key,
        "modules": code.modules,
        "libraries": code.libraries,
        "machine": compute.machine(),
    } | _facts(config, recipe, autoencoder)
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    folder = home() / "generators" / f"{card}-{digest}"
    if not (folder / "card.json").is_file():
        compute.settle()
        train(*generator_pool(card), config, recipe, folder, autoencoder=autoencoder)
        write_card(folder, provenance(card, config, recipe, folder, autoencoder))
    return folder


def default_config(family: str) -> Any:
    """The configuration of the shipped weights."""
    return family_of(family).made_by.config_class()


def _facts(config: Any, recipe: Recipe, autoencoder: Optimisation) -> dict[str, Any]:
    """Architecture and recipes; the autoencoder's only where there is one."""
    made_by = class_of(config)
    two_stages = made_by.autoencoder_of is not TextToImage.autoencoder_of
    facts = {
        "architecture": describe_config(made_by.family, config),
        "recipe": asdict(recipe),
    }
    return facts | ({"autoencoder": asdict(autoencoder)} if two_stages else {})


def provenance(
    card: str,
    config: Any,
    recipe: Recipe,
    folder: Path,
    autoencoder: Optimisation = AUTOENCODER,
) -> dict[str, Any]:
    """What a model card must say: data, architecture, recipe, time, final loss, machine."""
    logs = [folder / "log.jsonl", folder / "autoencoder-log.jsonl"]
    last, *first = [json.loads(f.read_text().splitlines()[-1]) for f in logs if f.is_file()]
    return {
        "data": f"{card}/generator_pool",
        **_facts(config, recipe, autoencoder),
        "training_seconds": last["seconds"],
        "final_training_loss": last["loss"],
        **{f"autoencoder_{k}": row[k] for row in first for k in ("seconds", "loss")},
        "weights_sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "machine": compute.describe(),
    }


def write_card(folder: Path, facts: dict[str, Any]) -> None:
    """Write a weights folder's `card.json`, last: a folder without it is not finished."""
    (folder / "card.json").write_text(json.dumps(facts, indent=1) + "\n")


def main() -> None:
    """Command line: train on a card's generator pool and write weights, log and provenance."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--family", choices=FAMILIES, default="pixel-diffusion")
    parser.add_argument("--card", default="fashion-mnist", help="data set (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and log")
    parser.add_argument("--steps", type=int, help="of the transformer")
    parser.add_argument("--autoencoder-steps", type=int, default=AUTOENCODER.steps)
    parser.add_argument("--seed", type=int, default=Recipe.seed, help="default: %(default)s")
    parser.add_argument("--compile", action="store_true", help="torch.compile the networks")
    parser.add_argument(
        "--no-drawings", action="store_true", help="no stylised copies in the pool: photos alone"
    )
    arguments = parser.parse_args()
    compute.settle()
    config = default_config(arguments.family)
    recipe = replace(RECIPES[arguments.family], seed=arguments.seed)
    if arguments.steps:
        recipe = replace(recipe, steps=arguments.steps)
    if arguments.no_drawings:
        recipe = replace(recipe, stylised_per_style=0)
    autoencoder = replace(AUTOENCODER, steps=arguments.autoencoder_steps)
    train(
        *generator_pool(arguments.card),
        config,
        recipe,
        arguments.out,
        autoencoder=autoencoder,
        compiled=arguments.compile,
    )
    facts = provenance(arguments.card, config, recipe, arguments.out, autoencoder)
    command = "python -m dataworth.images.train_generator " + " ".join(sys.argv[1:])
    write_card(arguments.out, {"command": command} | facts)


if __name__ == "__main__":
    main()
