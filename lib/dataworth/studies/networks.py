"""Named classifiers and generators on shapes alone: parameters, and operations of a forward pass.

Built on torch's meta device, a hub's pipeline from its published configuration: no weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from dataworth.errors import UserError
from dataworth.images.classifiers import MODELS
from dataworth.images.generators import FAMILIES, WEIGHTS, build, read_config

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
SIDE = 224  # of a large data set's images once they are arrays


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


def _clip_text(
    width: int = 768,
    layers: int = 12,
    heads: int = 12,
    *,
    projection: int = 768,
    activation: str = "quick_gelu",
    projected: bool = False,
) -> torch.nn.Module:
    """The text encoder of a CLIP, by default of ViT-L/14, with or without its projection."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        hidden_act=activation,
        projection_dim=projection,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def stable_diffusion_unet() -> torch.nn.Module:
    """The U-Net of Stable Diffusion 1.5, untrained: diffusers' default but for two settings."""
    from diffusers import UNet2DConditionModel

    unet: Any = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
    return cast("torch.nn.Module", unet)


def _stable_diffusion(source: str) -> Network:
    """Stable Diffusion 1.5."""
    return _latent(source, stable_diffusion_unet(), _clip_text(), 768)


def _turbo(source: str) -> Network:
    """SD-Turbo, CommonCanvas-S: Stable Diffusion 2.1's networks, OpenCLIP ViT-H's text encoder."""
    from diffusers import UNet2DConditionModel

    unet: Any = UNet2DConditionModel(
        cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20), use_linear_projection=True
    )
    words = _clip_text(1024, 23, 16, projection=512, activation="gelu")
    return _latent(source, unet, words, 1024)


def _sdxl(source: str) -> Network:
    """SDXL-Turbo: the networks of SDXL, two text encoders (Podell et al. 2023, Table 1)."""
    import torch
    from diffusers import UNet2DConditionModel

    unet: Any = UNet2DConditionModel(
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )
    large = _clip_text(1280, 32, 20, projection=1280, activation="gelu", projected=True)
    pooled = {"text_embeds": torch.empty(1, 1280), "time_ids": torch.empty(1, 6)}
    text = torch.nn.ModuleList([_clip_text(), large])
    return _latent(source, unet, text, 2048, added_cond_kwargs=pooled)


def _pixart(source: str) -> Network:
    """PixArt-alpha at 512 pixels: a transformer with the encoder of T5 v1.1 XXL."""
    from diffusers import PixArtTransformer2DModel

    transformer: Any = PixArtTransformer2DModel(
        sample_size=64, out_channels=8, caption_channels=4096
    )
    return _latent(source, transformer, _t5_xxl(), 4096, tokens=120)


def _t5_xxl() -> torch.nn.Module:
    """The encoder of T5 v1.1 XXL."""
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(
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


def _latent(
    source: str,
    network: Any,
    text: torch.nn.Module,
    width: int,
    tokens: int = 77,
    **more: Mapping[str, torch.Tensor],
) -> Network:
    """A latent diffusion model at 512 pixels, with the autoencoder of Stable Diffusion. width,
    tokens: of the text's features; more: further inputs by name."""
    import torch
    from diffusers import AutoencoderKL

    vae: Any = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
    )
    latent = torch.empty(1, 4, 64, 64)
    named = "U-Net" if hasattr(network, "down_blocks") else "transformer"
    parts = {named: network, "autoencoder": vae, "text encoder": text}
    words = torch.empty(1, tokens, width)
    return Network(
        {name: _parameters(part) for name, part in parts.items()},
        side=512,
        channels=3,
        forward=_count(
            network, latent, timestep=torch.empty(1), encoder_hidden_states=words, **more
        ),
        decode=_count(vae.decode, latent),
        source=source,
        uncounted=("safety checker",),
    )


def _deepfloyd(source: str) -> Network:
    """DeepFloyd IF, the first stage (64 pixels), with the encoder of T5 v1.1 XXL."""
    import torch
    from diffusers import UNet2DConditionModel

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
    image = torch.empty(1, 3, 64, 64)
    return Network(
        {"U-Net": _parameters(unet), "text encoder": _parameters(_t5_xxl())},
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
    "stabilityai/sdxl-turbo": _sdxl,
    "PixArt-alpha/PixArt-XL-2-512x512": _pixart,
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
