"""Train one of the small text-to-image models on the generator pool.

    python -m dataworth.images.train_generator --family latent-diffusion --steps 3000 --out FOLDER

The pool stands for web data: real photographs with captions, and stylised copies of some of them
(`styles`) captioned as such. Of a card whose images have texts of their own (`icons`) those are the
captions, and no copies are made: its pool holds drawings of many styles. No classifier-pool,
validation or test image is read. A run that is killed resumes from its last checkpoint; every step
draws its batch from (seed, step), so a resumed run sees the batches an uninterrupted one would.

Latent and masked-token models are trained in two stages: the autoencoder, then the transformer on
its latents or tokens, which are computed once.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dataworth import compute
from dataworth.closure import run_closure
from dataworth.images.captions import GARMENTS, Captions, captions_of, named
from dataworth.images.generators import (
    FAMILIES,
    NetworkConfig,
    TextToImage,
    class_of,
    encode,
    family_of,
)
from dataworth.images.generators.base import build, describe_config
from dataworth.images.stages import (
    ADAMW,
    AUTOENCODER,
    OBJECTIVES,
    Stage,
    encoded,
    optimise,
    train_autoencoder,
)
from dataworth.images.styles import STYLES

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

VARIANTS = 6  # captions written per image
MOST_STYLISED = 0.05  # copies in each style, as a fraction of the photos; 1,500 of 30,000 garments


class Photos(NamedTuple):
    """Images (N, H, W) or (N, H, W, 3), labels (N,) and, if they have some, texts (N,)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    texts: NDArray[np.str_] | None = None


class Recipe(Stage):
    """How the transformer and its text encoder are trained, on which pool, after which first stage
    (of families that have one)."""

    condition_dropout: float = Field(0.1, ge=0, le=1)
    stylised_per_style: int = Field(1500, ge=0)
    gap: float = Field(
        1.0, ge=0, le=1, description="share of the images of the card's classes left in the pool"
    )
    recurring: int = Field(
        1, ge=1, description="images whose name fewer of the pool have are left out of it"
    )
    seed: int = Field(0, ge=0)
    autoencoder: Stage = AUTOENCODER


_OPEN_WORLD = {"layers": 6, "width": 128, "heads": 4, "text_width": 128, "vocabulary": 4096}
OPEN_WORLD: dict[str, dict[str, Any]] = {
    "pixel-diffusion": _OPEN_WORLD,
    # An eighth of the side: a quarter of the tokens, each of four times the numbers.
    "latent-diffusion": _OPEN_WORLD | {"channels": (16, 32, 64, 64), "latent_channels": 16},
    "masked-token": _OPEN_WORLD,
}
"""Networks for a pool of thousands of names instead of ten."""

TWO_STAGES = Recipe(steps=3000, optimisation=ADAMW.model_copy(update={"warmup": 200 / 3000}))
RECIPES = {
    "pixel-diffusion": Recipe(),
    "latent-diffusion": TWO_STAGES,
    "masked-token": TWO_STAGES,
}


def captioned_pool(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    recipe: Recipe,
    writer: Captions = GARMENTS,
    texts: NDArray[np.str_] | None = None,
) -> tuple[NDArray[np.uint8], list[list[str]]]:
    """Photos and stylised copies (M, H, W) or (M, H, W, 3), with `VARIANTS` captions for each; or
    the images alone, if they have texts (N,), with captions made of these."""
    rng = np.random.default_rng([recipe.seed, 1])
    if texts is not None:
        return images, [[named(text, rng) for _ in range(VARIANTS)] for text in texts.tolist()]
    words = writer.attributes(images, labels)
    pool = [images]
    members = [(i, "photo") for i in range(len(images))]
    for style, make in STYLES.items() if recipe.stylised_per_style else ():
        chosen = rng.choice(len(images), min(recipe.stylised_per_style, len(images)), replace=False)
        pool.append(_by_channel(make, images[chosen]))
        members += [(int(i), style) for i in chosen]
    written = [
        [writer.caption(int(labels[i]), words[i], rng, style) for _ in range(VARIANTS)]
        for i, style in members
    ]
    return np.concatenate(pool), written


def _by_channel(
    make: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], images: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """A style of grey images, of colour images too."""
    if images.ndim == 3:
        return make(images)
    return np.stack([make(images[..., c]) for c in range(images.shape[-1])], axis=-1)


def planes(images: NDArray[np.uint8]) -> torch.Tensor:
    """uint8 images (N, H, W) or (N, H, W, 3) as pixels (N, C, H, W)."""
    import torch

    x = torch.from_numpy(np.ascontiguousarray(images))
    return x[:, None] if x.ndim == 3 else x.movedim(-1, 1).contiguous()


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
    photos: Photos | tuple[NDArray[np.uint8], NDArray[np.int64]],
    config: Any,
    recipe: Recipe,
    folder: Path,
    *,
    writer: Captions = GARMENTS,
    compiled: bool = False,
    report: int = 50,
) -> TextToImage:
    """Train the family of `config` on photographs and stylised copies of them.

    Checkpoints, logs and weights go to `folder`.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    device = compute.device()
    made_by = class_of(config)
    photos = Photos(*photos)
    pool, texts = captioned_pool(photos.images, photos.labels, recipe, writer, photos.texts)
    tokenizer = train_tokenizer(texts, config)
    flat_ids, flat_mask = encode(tokenizer, [t for row in texts for t in row])
    ids = torch.from_numpy(flat_ids).view(len(texts), VARIANTS, -1).to(device)
    masks = torch.from_numpy(flat_mask).view(len(texts), VARIANTS, -1).to(device)
    empty_ids, empty_mask = (torch.from_numpy(a[0]).to(device) for a in encode(tokenizer, [""]))
    pixels = planes(pool).to(device)
    coder = train_autoencoder(
        pixels, config, recipe.autoencoder, recipe.seed, folder, report=report
    )
    examples = pixels if coder is None else encoded(coder, pixels)

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


def generator_pool(card: str, gap: float = 1.0, recurring: int = 1) -> Photos:
    """What a generator may learn from, by class, then by content id.

    gap: the share of the images of each class that is left in, those of the smallest ids, so that
    the pool of a smaller share is part of that of a larger one. Images of no class stay, of a card
    whose images have texts those that share with so many (`recurring`) what the text names.
    """
    from dataworth.data import load_images

    pool = load_images(card, "generator_pool")
    order = np.lexsort((pool.ids, pool.labels))
    rows = order[left_in(pool.labels[order], gap)]
    if pool.texts is None:
        return Photos(pool.images[rows], pool.labels[rows])
    names = np.array([text.partition(", ")[0] for text in pool.texts[rows].tolist()])
    _, of, counts = np.unique(names, return_inverse=True, return_counts=True)
    rows = rows[(pool.labels[rows] >= 0) | (counts[of] >= recurring)]
    return Photos(pool.images[rows], pool.labels[rows], pool.texts[rows])


def left_in(labels: NDArray[np.int64], gap: float) -> NDArray[np.bool_]:
    """(N,): the first `gap` of every class, rounded up, and all that is of none (-1)."""
    left = labels < 0
    for label in np.unique(labels[~left]):
        rows = np.flatnonzero(labels == label)
        left[rows[: math.ceil(gap * len(rows))]] = True
    return left


def retrained(
    card: str,
    config: Any = None,
    recipe: Recipe | None = None,
    *,
    family: str = "pixel-diffusion",
) -> Path:
    """Folder of a generator trained on this machine, trained now if it is not there yet.

    `config` is one of `family`; None means its default.
    """
    config = config or default_config(family, card)
    recipe = recipe or recipe_for(family, card)
    folder = place_of(card, config, recipe)
    if not (folder / "card.json").is_file():
        make(card, config, recipe, folder)
    return folder


def place_of(card: str, config: Any, recipe: Recipe) -> Path:
    """Where `retrained` puts a generator; it is finished there once it has a `card.json`."""
    from dataworth.data import card as find_card
    from dataworth.paths import home

    code = run_closure([__name__])
    facts = {
        "card": find_card(card).key,
        "modules": code.modules,
        "libraries": code.libraries,
        "machine": compute.machine(),
    } | _facts(config, recipe)
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    return home() / "generators" / f"{card}-{digest}"


def make(
    card: str,
    config: Any,
    recipe: Recipe,
    folder: Path,
    *,
    compiled: bool = False,
    **facts: str,
) -> None:
    """Train on a card's generator pool; write weights, logs and, last, the model card `card.json`
    with `facts` before its own: a folder without it is not finished."""
    compute.set_deterministic()
    photos = generator_pool(card, recipe.gap, recipe.recurring)
    train(photos, config, recipe, folder, writer=captions_of(card), compiled=compiled)
    text = json.dumps(facts | provenance(card, config, recipe, folder), indent=1)
    (folder / "card.json").write_text(text + "\n")


def default_config(family: str, card: str | None = None) -> Any:
    """The configuration of the shipped weights, for the images of a card (None: garments)."""
    made = family_of(family).made_by.config_class
    if card is None:
        return made()
    from dataworth.data import card as find_card

    found = find_card(card)
    side, _, *colours = found.shape
    return made(
        image_size=side,
        image_channels=3 if colours else 1,
        **(OPEN_WORLD[family] if found.described else {}),
    )


S = TypeVar("S", bound=Stage)


def shortened(stage: S, steps: int) -> S:
    """A stage of other steps, whose weights are averaged over the same fraction of them: the
    average of a full training would, after a few hundred, be that of the first, untrained ones."""
    ema = max(0.0, 1 - (1 - stage.ema) * stage.steps / steps)
    return stage.model_copy(update={"steps": steps, "ema": ema})


def recipe_for(
    family: str, card: str, steps: int | None = None, *, drawings: bool = True
) -> Recipe:
    """The recipe of a family for a card's generator pool, or one of so many steps (its first stage
    two thirds of them); drawings: whether the pool holds stylised copies."""
    from dataworth.data import card as find_card

    recipe, found = RECIPES[family], find_card(card)
    drawings = drawings and not found.described
    if photos := found.given_to("generator_pool"):
        copies = min(recipe.stylised_per_style, max(1, int(MOST_STYLISED * photos)))
        recipe = recipe.model_copy(update={"stylised_per_style": copies})
    if steps is not None:
        first = shortened(recipe.autoencoder, max(1, 2 * steps // 3))
        recipe = shortened(recipe, steps).model_copy(update={"autoencoder": first})
    return recipe if drawings else recipe.model_copy(update={"stylised_per_style": 0})


def _facts(config: Any, recipe: Recipe) -> dict[str, Any]:
    """Architecture and recipes; the autoencoder's only where there is one."""
    made_by = class_of(config)
    stages = recipe.model_dump(mode="json")
    autoencoder = {"autoencoder": stages.pop("autoencoder")}
    return {
        "architecture": describe_config(made_by.family, config),
        "recipe": stages,
        **({} if made_by.autoencoder_of is TextToImage.autoencoder_of else autoencoder),
    }


def provenance(card: str, config: Any, recipe: Recipe, folder: Path) -> dict[str, Any]:
    """What a model card must say: data, architecture, recipe, time, final loss, machine."""
    logs = [folder / "log.jsonl", folder / "autoencoder-log.jsonl"]
    last, *first = [json.loads(f.read_text().splitlines()[-1]) for f in logs if f.is_file()]
    return {
        "data": f"{card}/generator_pool",
        **_facts(config, recipe),
        "training_seconds": last["seconds"],
        "final_training_loss": last["loss"],
        **{f"autoencoder_{k}": row[k] for row in first for k in ("seconds", "loss")},
        "weights_sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "machine": compute.describe(),
    }


def main() -> None:
    """Command line: train on a card's generator pool and write weights, log and provenance."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--family", choices=FAMILIES, default="pixel-diffusion")
    parser.add_argument("--card", default="fashion-mnist", help="data set (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and log")
    parser.add_argument("--steps", type=_steps, help="of the transformer")
    parser.add_argument("--autoencoder-steps", type=_steps)
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--compile", action="store_true", help="torch.compile the networks")
    parser.add_argument(
        "--no-drawings", action="store_true", help="no stylised copies in the pool: photos alone"
    )
    parser.add_argument(
        "--gap",
        type=_share,
        default=1.0,
        help="share of the images of the card's classes left in the pool (default: all)",
    )
    parser.add_argument(
        "--recurring",
        type=_steps,
        default=1,
        help="leave out images whose name fewer of the pool have (default: none)",
    )
    given = parser.parse_args()
    from dataworth.data import card as find_card

    recipe = RECIPES[given.family].model_copy(
        update={"seed": given.seed, "gap": given.gap, "recurring": given.recurring}
    )
    if given.steps:
        recipe = recipe.model_copy(update={"steps": given.steps})
    if given.autoencoder_steps:
        first = AUTOENCODER.model_copy(update={"steps": given.autoencoder_steps})
        recipe = recipe.model_copy(update={"autoencoder": first})
    if given.no_drawings or find_card(given.card).described:
        recipe = recipe.model_copy(update={"stylised_per_style": 0})
    command = "python -m dataworth.images.train_generator " + " ".join(sys.argv[1:])
    config = default_config(given.family, given.card)
    make(given.card, config, recipe, given.out, compiled=given.compile, command=command)


def _steps(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number; it must be 1 or more")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share; it must be 0 to 1")
    return share


if __name__ == "__main__":
    main()
