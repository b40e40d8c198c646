"""*IN-Captions*: the class name and the caption of a real image (`tench, a man holding a fish`).

**It leaks real data.** The captions describe images of the classifier pool, so that pools made
from these prompts know something of the real training distribution, which class names alone do
not tell. Comparisons that call a pool free of real data must leave it out (`LEAKS_REAL_DATA`).

Captions are those of `captions`: class word, measured attributes, template; or, of a card whose
images have texts, those.
`in-captions:<hub id or folder>` asks an image captioning model instead, for example
`in-captions:Salesforce/blip2-opt-2.7b` (BLIP-2, as in Fan et al. 2023).
"""

from __future__ import annotations

import zlib
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataworth.images.captions import captions_of, named
from dataworth.images.prompts.hub import loaded
from dataworth.images.prompts.vocabulary import label_of

if TYPE_CHECKING:
    from dataworth.data import ImageSet

SPLIT = "classifier_pool"
PER_CLASS = 100  # images of a class that a captioning model is asked about
BATCH = 16
_TAG = 34


def in_captions(name: str, seed: int, card: str, model: str = "") -> str:
    """`c, caption`: the caption of one classifier-pool image of the class, drawn by the seed.

    UserError for a name that is not a class of the card.
    """
    label = label_of(name, card)
    rng = np.random.default_rng([seed, _TAG])
    if model:
        texts = model_captions(card, label, model)
        return f"{name}, {texts[rng.integers(len(texts))]}".removesuffix(", ")
    pool, rows = _pool(card)
    row = rows[label][rng.integers(len(rows[label]))]
    if pool.texts is not None:
        return f"{name}, {named(str(pool.texts[row]), rng)}"
    writer = captions_of(card)
    (words,) = writer.attributes(pool.images[row : row + 1], [label])
    return f"{name}, {writer.caption(label, words, rng)}"


@cache
def _pool(card: str) -> tuple[ImageSet, dict[int, NDArray[np.intp]]]:
    """The classifier pool, and the rows of each label in it."""
    from dataworth.data import load_images

    pool = load_images(card, SPLIT)
    return pool, {int(c): np.flatnonzero(pool.labels == c) for c in np.unique(pool.labels)}


@cache
def model_captions(card: str, label: int, model: str) -> tuple[str, ...]:
    """Captions by a model of 100 classifier-pool images of a class (all, if there are fewer)."""
    pool, rows = _pool(card)
    rng = np.random.default_rng([zlib.crc32(card.encode()), label, _TAG])
    chosen = np.sort(rng.permutation(rows[label])[:PER_CLASS])
    return tuple(described(pool.images[chosen], model))


def described(images: NDArray[np.uint8], model: str) -> list[str]:
    """Greedy captions of uint8 images (N, H, W) or (N, H, W, 3) by an image captioning model.

    `model` is a hub id or a folder for `from_pretrained` (BLIP, BLIP-2). UserError when it cannot
    be loaded.
    """
    import torch
    from PIL import Image

    kind = "model that captions images"
    processor, captioner = loaded(model, "AutoProcessor", "AutoModelForImageTextToText", kind)
    texts: list[str] = []
    for start in range(0, len(images), BATCH):
        pictures = [Image.fromarray(x).convert("RGB") for x in images[start : start + BATCH]]
        inputs = processor(images=pictures, return_tensors="pt").to(captioner.device)
        with torch.inference_mode():
            drawn = captioner.generate(**inputs, do_sample=False, max_new_tokens=24)
        texts += processor.batch_decode(drawn, skip_special_tokens=True)
    return [text.strip() for text in texts]


SETS = {"in-captions": in_captions}
