"""Generators by the names that parameters use: shipped weights, open checkpoints of a hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from dataworth.images.generators import FAMILIES, is_pipeline, read_config

HUB = re.compile(r"hub:([\w.-]+/[\w.-]+(?:@[\w.-]+)?)")
STEPS = 50  # of a pipeline that no family names


@dataclass(frozen=True)
class NamedGenerator:
    """A generator by name: weights shipped under that name, or a hub's pipeline."""

    family: str
    hub: str | None = None
    drawings: bool = True
    """Whether stylised copies were among what it learnt from."""
    distilled: int = 0
    """Sampling steps of a model that was distilled to them, without guidance; 0: it was not."""

    @property
    def steps(self) -> int:
        """Sampling steps where nothing else is said."""
        if self.family not in FAMILIES:
            return STEPS
        found = FAMILIES[self.family]
        return self.distilled or (found.hub_steps if self.hub else found.steps)


class Generators(dict[str, NamedGenerator]):
    """Generators by name; and by value: `hub:owner/name@commit` is a pipeline of a hub, a folder
    one that was saved there, or weights that `train_generator` wrote."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and bool(_valued(name)))

    def __missing__(self, name: str) -> NamedGenerator:
        if (found := _valued(name)) is None:
            raise KeyError(name)
        return found


def _valued(name: str) -> NamedGenerator | None:
    if match := HUB.fullmatch(name):
        return NamedGenerator("hub", match[1])
    folder = Path(name).expanduser()
    if "/" not in name or not folder.is_dir():
        return None
    place = str(folder.resolve())
    if is_pipeline(folder):
        return NamedGenerator("hub", place)
    ours = (folder / "model.safetensors").is_file() and (folder / "tokenizer.json").is_file()
    return NamedGenerator(str(read_config(folder)["family"]), place) if ours else None


GENERATORS = Generators(
    {
        "pixel-diffusion": NamedGenerator("pixel-diffusion"),
        "latent-diffusion": NamedGenerator("latent-diffusion"),
        "latent-diffusion-no-drawings": NamedGenerator("latent-diffusion", drawings=False),
        "masked-token": NamedGenerator("masked-token"),
        "pixel-diffusion-icons": NamedGenerator("pixel-diffusion"),
        "stable-diffusion-v1-5": NamedGenerator(
            "latent-diffusion", FAMILIES["latent-diffusion"].hub
        ),
        "deepfloyd-if": NamedGenerator("pixel-diffusion", FAMILIES["pixel-diffusion"].hub),
        "amused-256": NamedGenerator("masked-token", FAMILIES["masked-token"].hub),
        "sd-turbo": NamedGenerator("latent-diffusion", "stabilityai/sd-turbo", distilled=1),
        "sdxl-turbo": NamedGenerator("latent-diffusion", "stabilityai/sdxl-turbo", distilled=1),
        # Learnt from 70 million images of Flickr: photographs, but for few (Gokaslan et al. 2024).
        "common-canvas": NamedGenerator(
            "latent-diffusion", "common-canvas/CommonCanvas-S-C", drawings=False
        ),
        "pixart-512": NamedGenerator("latent-diffusion", "PixArt-alpha/PixArt-XL-2-512x512"),
    }
)
