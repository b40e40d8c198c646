"""Train the small text-to-image model on the generator pool.

    python -m dataworth.images.train_generator --steps 6000 --out FOLDER

The pool stands for web data: real photographs with captions, and stylised copies of some of them
(`styles`) captioned as such. No classifier-pool, validation or test image is read. A run that is
killed resumes from its last checkpoint; every step draws its batch from (seed, step), so a resumed
run sees the batches an uninterrupted one would.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dataworth.images.captions import attributes, caption
from dataworth.images.generators import (
    PixelDiffusion,
    PixelDiffusionConfig,
    build,
    encode,
)
from dataworth.images.styles import STYLES
from dataworth.runs import compute, progress

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

VARIANTS = 6  # captions written per image


@dataclass(frozen=True)
class Recipe:
    """Optimisation settings. Batch in images, learning rate for AdamW, EMA decay per step."""

    steps: int = 6000
    batch: int = 128
    learning_rate: float = 1.2e-3
    warmup: int = 200
    decay_share: float = 0.3
    ema: float = 0.999
    condition_dropout: float = 0.1
    weight_decay: float = 0.01
    stylised_per_style: int = 1500
    seed: int = 0

    def rate(self, step: int) -> float:
        """Warm-up, stable, then square-root-shaped decay (WSD; Haegele et al. 2024)."""
        tail = max(1, round(self.steps * self.decay_share))
        left = (self.steps - step) / tail
        return (
            self.learning_rate
            * min(1.0, (step + 1) / self.warmup)
            * (1.0 if left >= 1 else 1 - math.sqrt(1 - left))
        )


def captioned_pool(
    images: NDArray[np.uint8], labels: NDArray[np.int64], recipe: Recipe
) -> tuple[NDArray[np.uint8], list[list[str]]]:
    """Photos and stylised copies (M, H, W), with `VARIANTS` captions for each."""
    rng = np.random.default_rng([recipe.seed, 1])
    words = attributes(images, labels)
    pool = [images]
    members = [(i, "photo") for i in range(len(images))]
    for style, make in STYLES.items():
        chosen = rng.choice(len(images), min(recipe.stylised_per_style, len(images)), replace=False)
        pool.append(make(images[chosen]))
        members += [(int(i), style) for i in chosen]
    texts = [
        [caption(int(labels[i]), words[i], rng, style) for _ in range(VARIANTS)]
        for i, style in members
    ]
    return np.concatenate(pool), texts


def train_tokenizer(texts: list[list[str]], config: PixelDiffusionConfig) -> Tokenizer:
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
    config: PixelDiffusionConfig,
    recipe: Recipe,
    folder: Path,
    *,
    compiled: bool = False,
    report: int = 50,
) -> PixelDiffusion:
    """Train on uint8 (N, H, W) images with labels (N,); checkpoints and log go to `folder`."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    device = compute.device()
    pool, texts = captioned_pool(images, labels, recipe)
    tokenizer = train_tokenizer(texts, config)
    flat_ids, flat_mask = encode(tokenizer, [t for row in texts for t in row])
    ids = torch.from_numpy(flat_ids).view(len(texts), VARIANTS, -1).to(device)
    masks = torch.from_numpy(flat_mask).view(len(texts), VARIANTS, -1).to(device)
    empty_ids, empty_mask = (torch.from_numpy(a[0]).to(device) for a in encode(tokenizer, [""]))
    pixels = torch.from_numpy(pool).to(device)

    torch.manual_seed(recipe.seed)
    transformer, encoder = build(config)
    model = torch.nn.ModuleDict({"transformer": transformer, "encoder": encoder}).to(device)
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.ema)
    )
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        betas=(0.9, 0.99),
    )
    checkpoint = folder / "checkpoint.pt"
    first, seconds = 0, 0.0
    if checkpoint.is_file():
        saved = torch.load(checkpoint, map_location=device)
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        first, seconds = saved["step"], saved["seconds"]
    forward = torch.compile(transformer) if compiled else transformer

    def average_model() -> PixelDiffusion:
        averaged = average.module
        assert isinstance(averaged, torch.nn.ModuleDict)
        # A copy: the sampler casts its network to the sampling precision in place.
        copy = deepcopy(averaged)
        return PixelDiffusion(copy["transformer"], copy["encoder"], tokenizer, config)

    started, losses = time.perf_counter(), []
    with progress("training the generator", recipe.steps - first) as advance:
        for step in range(first, recipe.steps):
            rng = np.random.default_rng([recipe.seed, 2, step])
            torch.manual_seed(int(rng.integers(2**31)))
            chosen = torch.from_numpy(rng.integers(len(pool), size=recipe.batch)).to(device)
            variant = torch.from_numpy(rng.integers(VARIANTS, size=recipe.batch)).to(device)
            dropped = torch.from_numpy(rng.random(recipe.batch) < recipe.condition_dropout).to(
                device
            )
            text = torch.where(dropped[:, None], empty_ids, ids[chosen, variant])
            mask = torch.where(dropped[:, None], empty_mask, masks[chosen, variant])
            x = pixels[chosen, None].float() / 127.5 - 1  # (B, 1, H, W)
            t = torch.sigmoid(torch.randn(recipe.batch)).to(
                device
            )  # logit-normal (Esser et al. 2024)
            noise = torch.randn(x.shape).to(device)
            noisy = torch.lerp(x, noise, t[:, None, None, None])
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate(step)
            hidden = encoder(input_ids=text, attention_mask=mask).last_hidden_state
            v = forward(
                noisy,
                encoder_hidden_states=hidden,
                encoder_attention_mask=mask,
                timestep=t * 1000,
                return_dict=False,
            )[0]
            loss = torch.nn.functional.mse_loss(v, noise - x)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            average.update_parameters(model)
            losses.append(loss.item())
            if (step + 1) % 10 == 0:
                advance(10)
            if (step + 1) % report == 0 or step + 1 == recipe.steps:
                spent = seconds + time.perf_counter() - started
                row = {
                    "step": step + 1,
                    "loss": round(float(np.mean(losses)), 5),
                    "seconds": round(spent, 1),
                }
                with (folder / "log.jsonl").open("a") as log:
                    log.write(json.dumps(row) + "\n")
                losses = []
                if (step + 1) % (5 * report) == 0 or step + 1 == recipe.steps:
                    _save_checkpoint(checkpoint, model, average, optimizer, step + 1, spent)
                    average_model().save(folder)
    return average_model()


def _save_checkpoint(
    path: Path,
    model: torch.nn.Module,
    average: torch.nn.Module,
    optimizer: Any,
    step: int,
    seconds: float,
) -> None:
    import torch

    temporary = path.with_suffix(".tmp")
    torch.save(
        {
            "model": model.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "step": step,
            "seconds": seconds,
        },
        temporary,
    )
    temporary.replace(path)


def generator_pool(card: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, H, W) and labels (N,) a generator may learn from, by class, then by content id."""
    from dataworth.data import load_images

    pool = load_images(card, "generator_pool")
    order = np.lexsort((pool.ids, pool.labels))
    return pool.images[order], pool.labels[order]


def retrained(
    card: str, config: PixelDiffusionConfig | None = None, recipe: Recipe | None = None
) -> Path:
    """Folder of a generator trained on this machine, trained now if it is not there yet."""
    from dataworth.paths import home

    config, recipe = config or PixelDiffusionConfig(), recipe or Recipe()
    identity = json.dumps([card, asdict(config), asdict(recipe)], sort_keys=True)
    folder = home() / "generators" / f"{card}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    if not (folder / "card.json").is_file():
        compute.single_thread()
        train(*generator_pool(card), config, recipe, folder)
        (folder / "card.json").write_text(
            json.dumps(provenance(card, config, recipe, folder), indent=1)
        )
    return folder


def provenance(
    card: str, config: PixelDiffusionConfig, recipe: Recipe, folder: Path
) -> dict[str, Any]:
    """What a model card must say: data, architecture, recipe, time, final loss, machine."""
    last = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
    return {
        "data": f"{card}/generator_pool",
        "architecture": asdict(config),
        "recipe": asdict(recipe),
        "training_seconds": last["seconds"],
        "final_training_loss": last["loss"],
        "weights_sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "machine": compute.describe(),
    }


def main() -> None:
    """Command line: train on a card's generator pool and write weights, log and provenance."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--card", default="fashion-mnist", help="data set (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and log")
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=Recipe.seed, help="default: %(default)s")
    parser.add_argument("--compile", action="store_true", help="torch.compile the transformer")
    arguments = parser.parse_args()
    compute.single_thread()
    config = PixelDiffusionConfig()
    recipe = Recipe(steps=arguments.steps, seed=arguments.seed)
    pool = generator_pool(arguments.card)
    train(*pool, config, recipe, arguments.out, compiled=arguments.compile)
    text = json.dumps(provenance(arguments.card, config, recipe, arguments.out), indent=1)
    (arguments.out / "card.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
