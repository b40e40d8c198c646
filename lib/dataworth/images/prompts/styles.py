"""Prompts that ask for drawings among photographs: *styles*, a set of our own.

Half of the images are asked for as `photo` does; the other half, in equal parts, as a sketch, a
rendition and an inverted picture, in the words with which the generator pool's drawings are
captioned (`captions.TEMPLATES`). Against `photo`, it changes the style and nothing else.
"""

from __future__ import annotations

import numpy as np

from dataworth.images.captions import TEMPLATES
from dataworth.images.prompts.templates import photo

STYLES = ("sketch", "rendition", "inverted")
_TAG = 37


def styles(name: str, seed: int, card: str) -> str:
    """A photo prompt for half of the seeds, one of the style templates for the others."""
    rng = np.random.default_rng([seed, _TAG])
    if rng.random() < 0.5:
        return photo(name, seed, card)
    templates = TEMPLATES[STYLES[rng.integers(len(STYLES))]]
    return templates[rng.integers(len(templates))].format(name)


SETS = {"styles": styles}
