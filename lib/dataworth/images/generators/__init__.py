"""Text-to-image generators behind one protocol: `generate(prompts, guidance, seeds) -> images`.

Three small families of our own, each the stand-in for a row of Fan et al. 2023, and any diffusers
text-to-image pipeline (`PipelineGenerator`), from a hub id or a local folder.

Guidance follows diffusers: y = y_uncond + w (y_cond - y_uncond), so w = 1 means none. The logit
form of the slides, l_g = (1 + t) l_c - t l_u, is the same with w = 1 + t.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataworth.errors import UserError
from dataworth.images.generators.base import (
    WEIGHTS,
    Generator,
    NetworkConfig,
    TextToImage,
    build,
    check_request,
    encode,
    read_config,
)
from dataworth.images.generators.latent import LatentDiffusion, LatentDiffusionConfig
from dataworth.images.generators.masked import MaskedToken, MaskedTokenConfig
from dataworth.images.generators.pipeline import PipelineGenerator, is_pipeline
from dataworth.images.generators.pixel import PixelDiffusion, PixelDiffusionConfig, flow_scheduler

__all__ = [
    "FAMILIES",
    "WEIGHTS",
    "Family",
    "Generator",
    "LatentDiffusion",
    "LatentDiffusionConfig",
    "MaskedToken",
    "MaskedTokenConfig",
    "NetworkConfig",
    "PipelineGenerator",
    "PixelDiffusion",
    "PixelDiffusionConfig",
    "TextToImage",
    "build",
    "check_request",
    "class_of",
    "encode",
    "family_of",
    "flow_scheduler",
    "is_pipeline",
    "load",
    "read_config",
]


@dataclass(frozen=True)
class Family:
    """A kind of generator: our class for it, and what stands behind it on a GPU.

    `row` of Fan et al. 2023; `hub` an open checkpoint of the same kind for `PipelineGenerator`, at
    a commit (`id@commit`) where one was seen; `hub_steps` the number of steps its pipeline takes by
    default.
    """

    made_by: type[TextToImage]
    row: str
    hub: str
    hub_steps: int

    @property
    def steps(self) -> int:
        """Sampling steps of our own model."""
        return self.made_by.default_steps


FAMILIES: dict[str, Family] = {
    "pixel-diffusion": Family(
        PixelDiffusion,
        "Imagen",
        "DeepFloyd/IF-I-XL-v1.0@c03d510e9b75bce9f9db5bb85148c1402ad7e694",
        100,
    ),
    "latent-diffusion": Family(
        LatentDiffusion,
        "Stable Diffusion",
        "stable-diffusion-v1-5/stable-diffusion-v1-5@451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
        50,
    ),
    "masked-token": Family(MaskedToken, "Muse", "amused/amused-256", 12),
}


def family_of(name: str) -> Family:
    """The family of a name. Raises UserError for an unknown one."""
    if name not in FAMILIES:
        raise UserError(f"family is {name!r}; it must be one of {', '.join(FAMILIES)}.")
    return FAMILIES[name]


def class_of(config: Any) -> type[TextToImage]:
    """The family a configuration belongs to."""
    return next(f.made_by for f in FAMILIES.values() if f.made_by.config_class is type(config))


def load(folder: str | Path, *, steps: int | None = None) -> TextToImage:
    """The generator whose weights a folder holds; its `config.json` names the family."""
    name = read_config(Path(folder)).get("family", "pixel-diffusion")
    return family_of(name).made_by.load(folder, steps=steps)
