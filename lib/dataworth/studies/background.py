"""Parameters of the pages on what both papers take for granted; their toys train nothing."""

from __future__ import annotations

from dataworth.parameters import Parameters, field


class ImageBackground(Parameters):
    """The toys beside the paper on synthetic images."""

    decay: float = field("repetitions after which a set is worth nothing more", "sets", gt=0)
    seed: int = field("random seed of the toys", ge=0)


class TextBackground(Parameters):
    """The toys beside the paper on pretraining text."""

    hashes: int = field("hashes of a signature", "hashes", ge=8, le=4096)
    seed: int = field("random seed of the toys", ge=0)
