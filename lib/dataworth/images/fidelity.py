"""How good are generated images? Recognizability and feature distance under a fixed classifier."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dataworth.images.classifiers import ClassifierSpec, as_input, load_model
from dataworth.images.parts import POOL_SOURCES, SyntheticPool
from dataworth.runs import Outcome, Spec, Store, compute


class FidelitySpec(Spec):
    """Judge the first `size` images of a pool by a classifier that was trained on real images."""

    kind: ClassVar[str] = "fidelity"

    pool: SyntheticPool
    size: int = Field(ge=2)
    reference: ClassifierSpec
    split: str = "validation"

    def sources(self) -> tuple[str, ...]:
        return (*POOL_SOURCES, "dataworth.images.classifiers", "dataworth.images.fidelity")

    def run(self, store: Store) -> Outcome:
        """Metrics: `recognizability` (top-1 of the reference on the images, against their class;
        as we understand Fan et al. 2023) and `frechet` (distance to the real split)."""
        from dataworth.data import load_images

        model = load_model(store.load(self.reference))
        images, labels = self.pool.load(np.arange(self.size), store)
        real = load_images(self.reference.card, self.split)
        features, logits = embed(model, images)
        real_features, _ = embed(model, real.images)
        return Outcome(
            {"correct": logits.argmax(1) == labels},
            {
                "recognizability": float((logits.argmax(1) == labels).mean()),
                "frechet": frechet_distance(features, real_features),
            },
        )


def embed(
    model: object, images: NDArray[np.uint8], batch: int = 500
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Penultimate features (N, width) and logits (N, classes) of a timm model."""
    import torch

    features, logits = [], []
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            x = as_input(images[start : start + batch]).to(compute.device())
            hidden = model.forward_head(model.forward_features(x), pre_logits=True)  # type: ignore[attr-defined]
            features.append(hidden.double().cpu().numpy())
            logits.append(model.head(hidden).float().cpu().numpy())  # type: ignore[attr-defined]
    return np.concatenate(features), np.concatenate(logits)


def frechet_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Fréchet distance of two Gaussians fitted to features (N, d) and (M, d) (Heusel et al. 2017).

    |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)); the trace of the root is the sum of the
    roots of the eigenvalues of S_a S_b, which are real and not negative.
    """
    s_a, s_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    eigenvalues = np.linalg.eigvals(s_a @ s_b).real.clip(min=0)
    mean = np.square(a.mean(0) - b.mean(0)).sum()
    return float(mean + np.trace(s_a) + np.trace(s_b) - 2 * np.sqrt(eigenvalues).sum())
