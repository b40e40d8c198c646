"""Train one of the small text-to-image models on the generator pool.

    python -m dataworth.images.train_generator --family latent-diffusion --steps 3000 --out FOLDER

A run that is killed resumes from its last checkpoint; every step draws its batch from (seed, step),
so a resumed run sees the batches an uninterrupted one would.

Latent and masked-token models are trained in two stages: the autoencoder, then the transformer on
its latents or tokens, which are computed once. Of a card whose images have texts the first stage
learns from all images of the pool, whatever their names, so that generators of other pools of the
card have it in common (`AutoencoderSpec`), as one autoencoder serves many text-to-image models.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from dataworth import compute
from dataworth.images.captions import GARMENTS, Captions, captions_of
from dataworth.images.generator_pool import (
    VARIANTS,
    Photos,
    Recipe,
    captioned_pool,
    generator_pool,
)
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
from dataworth.optimisation import kept_weights, restored
from dataworth.runs import Outcome, Result, Spec, Store, run_tasks

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

MOST_STYLISED = 0.05  # copies in each style, as a fraction of the photos; 1,500 of 30,000 garments


_OPEN_WORLD = {"layers": 6, "width": 128, "heads": 4, "text_width": 128, "vocabulary": 4096}
OPEN_WORLD: dict[str, dict[str, Any]] = {
    # The patch of the latent one's side: as few tokens.
    "pixel-diffusion": _OPEN_WORLD
    | {"layers": 4, "patch_size": 8, "prediction": "image", "time_shift": 4.5, "text_layers": 0},
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
    coder: Any = None,
    compiled: bool = False,
    report: int = 50,
) -> TextToImage:
    """Train the family of `config` on photographs and stylised copies of them; its first stage too,
    unless it is given (`coder`).

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
    if coder is None:
        first = recipe.autoencoder
        coder = train_autoencoder(pixels, config, first, recipe.seed, folder, report=report)
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
        longest = int(mask.sum(1).max())  # what is padded in all of the batch says nothing
        text, mask = text[:, :longest], mask[:, :longest]
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


class AutoencoderSpec(Spec):
    """Train a family's first stage on all images of a card's generator pool."""

    kind: ClassVar[str] = "autoencoder"
    card: str
    family: Literal["latent-diffusion", "masked-token"]
    stage: Stage = AUTOENCODER
    seed: int = 0

    def run(self, store: Store) -> Outcome:
        """Arrays: `weight:<name>`. Metrics: `seconds`, `loss`."""
        from dataworth.data import load_images

        compute.set_deterministic()
        pool = load_images(self.card, "generator_pool")
        folder = _home() / f"{self.card}-autoencoder-{self.key[:12]}"
        folder.mkdir(parents=True, exist_ok=True)
        config = default_config(self.family, self.card)
        pixels = planes(np.array(pool.images)).to(compute.device())
        model = train_autoencoder(pixels, config, self.stage, self.seed, folder)
        last = json.loads((folder / "autoencoder-log.jsonl").read_text().splitlines()[-1])
        return Outcome(kept_weights(model), {name: last[name] for name in ("seconds", "loss")})


class GeneratorSpec(Spec):
    """Train a generator of a family on a card's generator pool by a recipe; `first`: whose weights
    are its first stage, of a card whose images have texts and a family that has one."""

    kind: ClassVar[str] = "generator"
    card: str
    family: Literal["pixel-diffusion", "latent-diffusion", "masked-token"]
    recipe: Recipe
    first: AutoencoderSpec | None = None

    def run(self, store: Store) -> Outcome:
        """The weights lie in `folder`. Metrics: their digest, `pool` (the number of images that
        were learnt from), `training_seconds`, `final_training_loss`."""
        if not (self.folder / "card.json").is_file():
            coder = self.first and coder_of(store.load(self.first))
            config = default_config(self.family, self.card)
            make(self.card, config, self.recipe, self.folder, coder=coder)
        said = json.loads((self.folder / "card.json").read_text(encoding="utf-8"))
        names = ("weights_sha256", "pool", "training_seconds", "final_training_loss")
        return Outcome({}, {name: said[name] for name in names})

    @property
    def folder(self) -> Path:
        """Where its weights are put; it is finished once it has a `card.json`."""
        return _home() / f"{self.card}-{self.key[:12]}"


def _home() -> Path:
    from dataworth.paths import home

    return home() / "generators"


def coder_of(result: Result) -> Any:
    """The autoencoder of a stored run."""
    spec = result.spec
    assert isinstance(spec, AutoencoderSpec)
    config = default_config(spec.family, spec.card)
    made = family_of(spec.family).made_by.autoencoder_of(config)
    assert made is not None
    return restored(made, result.arrays).to(compute.device())


def generator_spec(card: str, family: str, recipe: Recipe) -> GeneratorSpec:
    """The run that trains a generator, with the first stage that its card and family ask for."""
    from dataworth.data import card as find_card

    two = family in ("latent-diffusion", "masked-token") and find_card(card).described
    first = {"card": card, "family": family, "stage": recipe.autoencoder}
    made = AutoencoderSpec.model_validate(first) if two else None
    return GeneratorSpec.model_validate(
        {"card": card, "family": family, "recipe": recipe, "first": made}
    )


def trained(specs: Sequence[GeneratorSpec], store: Store) -> list[Result]:
    """Results of specs: trains what is missing, their first stages before."""
    firsts = list(dict.fromkeys(spec.first for spec in specs if spec.first))
    run_tasks(firsts, store=store, label="autoencoders")
    return run_tasks(list(specs), store=store, label="generators")


def make(
    card: str,
    config: Any,
    recipe: Recipe,
    folder: Path,
    *,
    coder: Any = None,
    compiled: bool = False,
    **facts: Any,
) -> None:
    """Train on a card's generator pool; write weights, logs and, last, the model card `card.json`
    with `facts` before its own: a folder without it is not finished."""
    compute.set_deterministic()
    photos = generator_pool(card, recipe)
    how = {"writer": captions_of(card), "coder": coder, "compiled": compiled}
    train(photos, config, recipe, folder, **how)
    facts |= {"pool": len(photos.images)} | provenance(card, config, recipe, folder)
    (folder / "card.json").write_text(json.dumps(facts, indent=1) + "\n")


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
        **({} if made_by.autoencoder_of(config) is None else autoencoder),
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
    parser.add_argument("--images", type=_steps, help="so many images of the pool (default: all)")
    parser.add_argument(
        "--wrong", type=_share, default=0.0, help="share of images with another's name (default: 0)"
    )
    given = parser.parse_args()
    from dataworth.data import card as find_card

    recipe = RECIPES[given.family].model_copy(
        update={
            name: getattr(given, name) for name in ("seed", "gap", "recurring", "images", "wrong")
        }
    )
    if given.steps:
        recipe = shortened(recipe, given.steps)
    if given.autoencoder_steps:
        stage = AUTOENCODER.model_copy(update={"steps": given.autoencoder_steps})
        recipe = recipe.model_copy(update={"autoencoder": stage})
    if given.no_drawings or find_card(given.card).described:
        recipe = recipe.model_copy(update={"stylised_per_style": 0})
    command = "python -m dataworth.images.train_generator " + " ".join(sys.argv[1:])
    config = default_config(given.family, given.card)
    first = generator_spec(given.card, given.family, recipe).first
    coder = first and coder_of(run_tasks([first], store=Store(), label="autoencoder")[0])
    how: dict[str, Any] = {"coder": coder, "compiled": given.compile, "command": command}
    make(given.card, config, recipe, given.out, **how)


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
