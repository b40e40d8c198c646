"""What a study would need, resolved and counted offline: no weights, no data, nothing started.

Operations are counted on shapes alone (torch's meta device). Guided sampling takes two forward
passes a step, training three a sample; encoding the prompt is left out (one pass for each image).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from dataworth.errors import UserError
from dataworth.images.classifiers import MODELS
from dataworth.images.generators import FAMILIES, WEIGHTS, build, read_config
from dataworth.runs.report import gpu_hours
from dataworth.studies.base import missing_rows

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
SIDE = 224  # of a large data set's images once they are arrays


@dataclass(frozen=True)
class Drawing:
    """Images to draw, over all seeds."""

    generator: str
    prompt_set: str
    images: int
    steps: int


@dataclass(frozen=True)
class Training:
    """Classifiers to train: how many, on what (in words), and on how many samples in all."""

    kind: str
    model: str
    runs: int
    samples: int


@dataclass(frozen=True)
class Network:
    """A model on shapes alone: parameters by part; pixels a side and channels of its images;
    operations of one forward pass, and of decoding a finished image."""

    parts: Mapping[str, int]
    side: int
    channels: int
    forward: float
    decode: float = 0.0
    source: str = ""
    uncounted: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        return sum(self.parts.values())


def dry_run(
    card: str,
    drawings: Sequence[Drawing] = (),
    trainings: Sequence[Training] = (),
    *,
    evaluations: Iterable[str] = (),
    generators: Iterable[str] = (),
    prompt_sets: Iterable[str] = (),
    models: Iterable[str] = (),
    real: int = 0,
) -> list[dict[str, object]]:
    """Every name, shape and parameter count of a study, then what it would take, and the total.

    Rows have `step`, and as far as they apply `resolved`, `parameters`, `PFLOP`, `GPU hours` (one
    A100, `runs.report.gpu_hours`) and `disk GB` (images as arrays). `generators`, `prompt_sets`
    and `models` are resolved beside those of `drawings` and `trainings`; `real` is the largest real
    training set.

    Raises UserError, one sentence, for a name that does not exist or more images than there are.
    """
    from dataworth.data.large import large_cards

    rows = _data_rows(card, evaluations, real)
    words = dict.fromkeys((*prompt_sets, *(d.prompt_set for d in drawings)))
    rows += [_prompt_row(name, card) for name in words]
    for name in dict.fromkeys((*generators, *(d.generator for d in drawings))):
        network = generator_network(name)
        parts = ", ".join(f"{part} {count:,}" for part, count in network.parts.items())
        note = "".join(f"; {part} not counted" for part in network.uncounted)
        shape = f"{network.side} x {network.side} x {network.channels}"
        rows.append(
            {
                "step": f"generator {name}",
                "resolved": f"{network.source}; {parts}; images {shape}{note}",
                "parameters": f"{network.parameters:,}",
            }
        )
    side = large_cards()[card].side if card in large_cards() else None
    for name in dict.fromkeys((*models, *(t.model for t in trainings))):
        network = classifier_network(name, side)
        shape = f"{network.side} x {network.side} x {network.channels}"
        rows.append(
            {
                "step": f"classifier {name}",
                "resolved": f"{network.source}, images {shape}",
                "parameters": f"{network.parameters:,}",
            }
        )
    spent = [_drawing_row(d, side) for d in drawings] + [_training_row(t, side) for t in trainings]
    numbers = ("PFLOP", "GPU hours", "disk GB")
    whole = [row for row in (*rows, *spent) if any(name in row for name in numbers)]
    total = {n: float(f"{sum(float(str(r.get(n, 0))) for r in whole):.3g}") for n in numbers}
    named = [d.generator for d in drawings]
    missing = _missing_rows(card, [*generators, *named], words, total["disk GB"])
    return [*rows, *spent, *missing, {"step": "total", **total}]


def _missing_rows(
    card: str, generators: Sequence[str], words: Iterable[str], disk: float
) -> list[dict[str, object]]:
    """What is not here of what a run would take: repositories, disk (GB), a GPU."""
    from dataworth.data.large import large_card, large_cards
    from dataworth.images.generators.named import GENERATORS
    from dataworth.images.prompts import split_name

    sources = large_card(card).sources.values() if card in large_cards() else ()
    repos = [large_card(place.card).repo for place in sources]
    repos += [hub for name in generators if (hub := GENERATORS[name].hub)]
    repos += [model for name in words if (model := split_name(name)[1])]
    return missing_rows(repos, disk, gpu=any(GENERATORS[name].hub for name in generators))


def _drawing_row(drawing: Drawing, stored: int | None) -> dict[str, object]:
    """stored: side of the colour images that are kept; None: as the generator draws them."""
    side, channels, draw = generation_flops(drawing.generator, drawing.steps)
    if stored:
        side, channels = stored, 3
    return {
        "step": f"draw {drawing.images:,} images ({drawing.generator}, {drawing.prompt_set}, "
        f"{drawing.steps} steps)",
        "PFLOP": float(f"{drawing.images * draw / 1e15:.3g}"),
        "GPU hours": gpu_hours(drawing.images * draw),
        "disk GB": float(f"{drawing.images * side * side * channels / 1e9:.3g}"),
    }


def _training_row(training: Training, side: int | None) -> dict[str, object]:
    flops = training.samples * training_flops(training.model, side)
    return {
        "step": f"train {training.runs:,} classifiers on {training.kind} images "
        f"({training.model}, {training.samples:,} samples)",
        "PFLOP": float(f"{flops / 1e15:.3g}"),
        "GPU hours": gpu_hours(flops),
        "disk GB": 0.0,
    }


def _data_rows(card: str, evaluations: Iterable[str], real: int) -> list[dict[str, object]]:
    """The training set and every evaluation set, with their sources and sizes."""
    from dataworth.data import card as find
    from dataworth.data import cards
    from dataworth.data.large import large_card, large_cards

    if card not in large_cards():
        if card not in {c.id for c in cards()}:
            known = ", ".join((*(c.id for c in cards()), *large_cards()))
            raise UserError(f"card is {card!r}; it must be one of {known}.")
        small = find(card)
        sizes = ", ".join(f"{name} {count:,}" for name, count in small.source_splits.items())
        row = {
            "step": f"data {card}",
            "resolved": f"{len(small.classes)} classes; {sizes}; evaluated on "
            f"{', '.join(evaluations) or 'test'}",
            "disk GB": float(f"{small.decoded_size / 1e9:.3g}"),
        }
        return [row]
    large = large_card(card)
    if real > large.splits["train"]:
        raise UserError(
            f"a real training set of {real:,} images was asked for, but {card} has "
            f"{large.splits['train']:,}."
        )
    rows = []
    for name, place in {"training": None, **large.evaluations}.items():
        found = large_card(place.card) if place else large
        split = place.split if place else "train"
        own = found is large and name not in ("training", "test")
        doubt = "".join(f"; {item} not verified" for item in found.unverified)
        size = found.splits[split]
        rows.append(
            {
                "step": f"data {found.id}, {name}",
                "resolved": f"hub {found.repo}@{found.revision[:12]}, split {split}: "
                + ("held out of it" if own else f"{size:,} images")
                + f", {found.class_count:,} classes{doubt} ({found.note})",
                "disk GB": 0.0 if own else float(f"{size * large.side**2 * 3 / 1e9:.3g}"),
            }
        )
    return rows


def _prompt_row(prompt_set: str, card: str) -> dict[str, object]:
    """How many classes a prompt set serves, and its first prompt if no model or image is needed."""
    from dataworth.data.large import large_cards
    from dataworth.images.prompts import LEAKS_REAL_DATA, prompt, split_name
    from dataworth.images.prompts.vocabulary import names_of

    base, model = split_name(prompt_set)
    try:
        names = names_of(card)
    except UserError:  # of a large set that is not here
        count = large_cards()[card].class_count
        return {"step": f"prompts {prompt_set}", "resolved": f"{count:,} class names, of the data"}
    if model or base in LEAKS_REAL_DATA:
        example = f"written by {model}" if model else "written from real images"
    else:
        example = f"first: {prompt(prompt_set, names[0], 0, card)!r}"
    return {"step": f"prompts {prompt_set}", "resolved": f"{len(names):,} class names; {example}"}


def training_flops(model: str, side: int | None = None) -> float:
    """Operations to train a named classifier on one sample: three forward passes."""
    return 3.0 * classifier_network(model, side).forward


def generation_flops(generator: str, steps: int) -> tuple[int, int, float]:
    """(side in pixels, channels, operations for one image, guided unless it is distilled)."""
    from dataworth.images.generators.named import GENERATORS

    network = generator_network(generator)
    passes = 1 if GENERATORS[generator].distilled else 2
    return network.side, network.channels, passes * steps * network.forward + network.decode


def _named(field: str, name: str, known: Mapping[str, T]) -> T:
    if name not in known:
        raise UserError(f"{field} is {name!r}; it must be one of {', '.join(known)}.")
    return known[name]


@cache
def classifier_network(model: str, side: int | None = None) -> Network:
    """A named classifier on colour images of a side in pixels; without one, on ImageNet's if it
    takes patches of 16 pixels, else on garments.

    Raises UserError for an unknown name.
    """
    import torch

    vit = _named("model", model, MODELS)
    of = (SIDE, 3, 1000) if getattr(vit, "patch", 0) == 16 else (28, 1, 10)
    side, channels, classes = (side, 3, 1000) if side else of
    vit = vit.on(side)
    with torch.device("meta"):
        # Evaluated: batch normalization refuses to train on one image.
        network = vit.build(side, channels, classes).eval()
        forward = _count(network, torch.empty(1, channels, side, side))
    source = f"timm {vit.name}, {classes:,} classes"
    return Network({"classifier": _parameters(network)}, side, channels, forward, source=source)


@cache
def generator_network(generator: str) -> Network:
    """A named generator: ours, or a hub's pipeline built from its published configuration.

    Raises UserError for an unknown name.
    """
    import torch

    from dataworth.images.generators.named import GENERATORS

    named = _named("generator", generator, GENERATORS)
    with torch.device("meta"):
        if named.hub is None:
            return _ours(generator, named.family)
        if named.hub not in PIPELINES:
            raise UserError(f"the shapes of {named.hub} are not known; add them to {__name__}.")
        return PIPELINES[named.hub](f"hub {named.hub}")


def _ours(generator: str, family: str) -> Network:
    import torch

    made_by = FAMILIES[family].made_by
    folder = WEIGHTS / generator
    shipped = (folder / "model.safetensors").is_file()
    written = read_config(folder) if shipped else {}
    written.pop("family", None)
    config = made_by.config_class(**written)
    transformer, encoder = build(config)
    autoencoder = made_by.autoencoder_of(config)
    channels, _, side, _ = config.grid
    forward = _count(
        transformer,
        torch.empty(1, channels, side, side),
        encoder_hidden_states=torch.empty(1, config.text_tokens, config.text_width),
        timestep=torch.empty(1),
    )
    parts = {"transformer": _parameters(transformer), "text encoder": _parameters(encoder)}
    if autoencoder is not None:
        parts["autoencoder"] = _parameters(autoencoder)
    source = "shipped weights" if shipped else "ours, not trained yet"
    return Network(parts, config.image_size, config.image_channels, forward, source=source)


def _clip_text(projected: bool) -> torch.nn.Module:
    """The text encoder of CLIP ViT-L/14, with or without its projection."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        projection_dim=768,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def stable_diffusion_unet() -> torch.nn.Module:
    """The U-Net of Stable Diffusion 1.5, untrained: diffusers' default but for two settings."""
    from diffusers import UNet2DConditionModel

    unet: Any = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
    return cast("torch.nn.Module", unet)


def _stable_diffusion(source: str) -> Network:
    """Stable Diffusion 1.5."""
    return _latent(source, stable_diffusion_unet(), _clip_text(projected=False), 768)


def _turbo(source: str) -> Network:
    """SD-Turbo, CommonCanvas-S: Stable Diffusion 2.1's networks, OpenCLIP ViT-H's text encoder."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    unet: Any = UNet2DConditionModel(
        cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20), use_linear_projection=True
    )
    words = CLIPTextConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=23,
        num_attention_heads=16,
        hidden_act="gelu",
        projection_dim=512,
    )
    return _latent(source, unet, CLIPTextModel(words), 1024)


def _latent(source: str, unet: Any, text: torch.nn.Module, width: int) -> Network:
    """A latent diffusion model at 512 pixels, with the autoencoder of Stable Diffusion. width: of
    the text's features."""
    import torch
    from diffusers import AutoencoderKL

    vae: Any = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
    )
    latent = torch.empty(1, 4, 64, 64)
    parts = {"U-Net": unet, "autoencoder": vae, "text encoder": text}
    return Network(
        {name: _parameters(part) for name, part in parts.items()},
        side=512,
        channels=3,
        forward=_count(unet, latent, torch.empty(1), torch.empty(1, 77, width)),
        decode=_count(vae.decode, latent),
        source=source,
        uncounted=("safety checker",),
    )


def _deepfloyd(source: str) -> Network:
    """DeepFloyd IF, the first stage (64 pixels), with the encoder of T5 v1.1 XXL."""
    import torch
    from diffusers import UNet2DConditionModel
    from transformers import T5Config, T5EncoderModel

    unet = UNet2DConditionModel(
        sample_size=64,
        in_channels=3,
        out_channels=6,
        block_out_channels=(704, 1408, 2112, 2816),
        layers_per_block=3,
        attention_head_dim=64,
        cross_attention_dim=2816,
        encoder_hid_dim=4096,
        down_block_types=("ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * 3),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=(*["SimpleCrossAttnUpBlock2D"] * 3, "ResnetUpsampleBlock2D"),
        addition_embed_type="text",
        addition_embed_type_num_heads=64,
        act_fn="gelu",
        time_embedding_act_fn="gelu",
        resnet_time_scale_shift="scale_shift",
        resnet_skip_time_act=True,
    )
    encoder = T5EncoderModel(
        T5Config(
            vocab_size=32128,
            d_model=4096,
            d_kv=64,
            d_ff=10240,
            num_heads=64,
            num_layers=24,
            feed_forward_proj="gated-gelu",
        )
    )
    image = torch.empty(1, 3, 64, 64)
    return Network(
        {"U-Net": _parameters(unet), "text encoder": _parameters(encoder)},
        side=64,
        channels=3,
        forward=_count(unet, image, torch.empty(1), torch.empty(1, 77, 4096)),
        source=source,
        uncounted=("later stages", "safety checker"),
    )


def _amused(source: str) -> Network:
    """aMUSEd at 256 pixels: a grid of 16 x 16 tokens."""
    import torch
    from diffusers import UVit2DModel, VQModel

    transformer = UVit2DModel(sample_size=16)
    vqvae: Any = VQModel(
        down_block_types=("DownEncoderBlock2D",) * 5,
        up_block_types=("UpDecoderBlock2D",) * 5,
        block_out_channels=(128, 256, 256, 512, 768),
        layers_per_block=2,
        latent_channels=64,
        num_vq_embeddings=8192,
        mid_block_add_attention=False,
        lookup_from_codebook=True,
    )
    parts = {
        "transformer": transformer,
        "autoencoder": vqvae,
        "text encoder": _clip_text(projected=True),
    }
    tokens = torch.zeros(1, 16, 16, dtype=torch.int64)
    words = torch.empty(1, 77, 768), torch.empty(1, 768), torch.empty(1, 5)
    return Network(
        {name: _parameters(part) for name, part in parts.items()},
        side=256,
        channels=3,
        forward=_count(transformer, tokens, *words),
        decode=_count(vqvae.decode, tokens, force_not_quantize=True, shape=(1, 16, 16, 64)),
        source=source,
    )


PIPELINES: dict[str, Callable[[str], Network]] = {
    FAMILIES["latent-diffusion"].hub: _stable_diffusion,
    "stabilityai/sd-turbo": _turbo,
    "common-canvas/CommonCanvas-S-C": _turbo,
    FAMILIES["pixel-diffusion"].hub: _deepfloyd,
    FAMILIES["masked-token"].hub: _amused,
}
"""By hub id, how a pipeline is built on shapes."""


def _parameters(network: Any) -> int:
    return sum(p.numel() for p in network.parameters())


def _count(call: Any, *inputs: Any, **named: Any) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        call(*inputs, **named)
    return float(counter.get_total_flops())
