"""Generators by the names that parameters use: shipped weights, open checkpoints of a hub."""

from __future__ import annotations

from dataclasses import dataclass

from dataworth.images.generators import FAMILIES


@dataclass(frozen=True)
class NamedGenerator:
    """A generator by name: weights shipped under that name, or a hub's pipeline."""

    family: str
    hub: str | None = None
    drawings: bool = True
    """Whether stylised copies were among what it learnt from."""

    @property
    def steps(self) -> int:
        """Sampling steps where nothing else is said."""
        found = FAMILIES[self.family]
        return found.hub_steps if self.hub else found.steps


GENERATORS: dict[str, NamedGenerator] = {
    "pixel-diffusion": NamedGenerator("pixel-diffusion"),
    "latent-diffusion": NamedGenerator("latent-diffusion"),
    "latent-diffusion-no-drawings": NamedGenerator("latent-diffusion", drawings=False),
    "masked-token": NamedGenerator("masked-token"),
    "stable-diffusion-v1-5": NamedGenerator("latent-diffusion", FAMILIES["latent-diffusion"].hub),
    "deepfloyd-if": NamedGenerator("pixel-diffusion", FAMILIES["pixel-diffusion"].hub),
    "amused-256": NamedGenerator("masked-token", FAMILIES["masked-token"].hub),
}
