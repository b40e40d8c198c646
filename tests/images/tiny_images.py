"""Small images and models that tests share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dataworth.images.captions import CLASS_WORDS, TEMPLATES
from dataworth.images.generators import (
    LatentDiffusionConfig,
    MaskedTokenConfig,
    PixelDiffusionConfig,
    TextToImage,
    build,
    class_of,
)
from dataworth.images.parts import weights_digest
from dataworth.images.train_generator import train_tokenizer

SMALL = {"layers": 1, "width": 32, "heads": 2, "text_layers": 1, "text_width": 16, "text_heads": 2}
CONFIG = PixelDiffusionConfig(**SMALL)
CONFIGS = {
    "pixel-diffusion": CONFIG,
    "latent-diffusion": LatentDiffusionConfig(**SMALL, channels=(8, 8, 8), latent_channels=2),
    "masked-token": MaskedTokenConfig(**SMALL, channels=(8, 8, 8), codes=16, code_width=4),
}


def garments(count: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Separable images (N, 28, 28): class c is a bright column of blocks at place c, plus noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    images = rng.integers(0, 60, (count, 28, 28))
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 5)
        image[2 + 13 * row : 12 + 13 * row, 2 + 5 * column : 6 + 5 * column] += 150
    return images.astype(np.uint8), labels


def random_generator(config: object, seed: int) -> TextToImage:
    """Untrained weights; those that start at zero are drawn too, or text would have no effect."""
    import torch

    made_by = class_of(config)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        transformer, encoder = build(config)
        for parameter in transformer.parameters():
            if parameter.abs().max() == 0:
                torch.nn.init.normal_(parameter, std=0.05)
        autoencoder = made_by.autoencoder_of(config)
        if hasattr(autoencoder, "quantize"):  # its entries start closer together than bfloat16 sees
            torch.nn.init.normal_(autoencoder.quantize.embedding.weight)
    words = [[t.format(n) for t in TEMPLATES["photo"] for n in names] for names in CLASS_WORDS]
    tokenizer = train_tokenizer(words, config)
    return made_by(
        transformer, encoder, tokenizer, config, autoencoder=autoencoder, name="tiny", steps=3
    )


def use_tiny(monkeypatch, home):
    """Studies that would train a generator take the one in the folder `generators/tiny`."""
    folder = home / "generators" / "tiny"
    monkeypatch.setattr("dataworth.studies.images.weights_of", lambda _: weights_digest(folder))
