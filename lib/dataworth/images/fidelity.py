"""How good are generated images? Recognizability, diversity and distances under one classifier.

All are taken with a fixed classifier that was trained on real images, the *reference*: its answers
for recognizability, its penultimate features for the rest. Fan et al. 2023 compare generated
training sets by recognizability and diversity; the formulas are ours, as we understand the paper.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dataworth import compute
from dataworth.data.rows import Images, Rows
from dataworth.images.classifiers import ClassifierSpec, load_model
from dataworth.images.feeding import as_input
from dataworth.images.parts import SyntheticPool, balanced_subset
from dataworth.runs import Outcome, Spec, Store

Features = NDArray[np.float64]
Labels = NDArray[np.int64]
NEIGHBOURS = 5  # of density and coverage, as in Naeem et al. 2020


class FidelitySpec(Spec):
    """Judge the first `size` images of a pool by a classifier that was trained on real images."""

    kind: ClassVar[str] = "fidelity"

    pool: SyntheticPool
    size: int = Field(ge=2)
    reference: ClassifierSpec
    split: str = "validation"

    def run(self, store: Store) -> Outcome:
        """Arrays: `correct` and `predicted` (size,); by class (C,) `recall_by_class`,
        `f1_by_class`, `deviation_by_class`, `cosine_by_class`.

        Metrics: `recognizability` (top-1 of the reference, against the class that the prompt asked
        for), `macro_f1`, `deviation`, `cosine`, `density`, `coverage`, `frechet`,
        `inception_score`; and, for as many real images of the split (balanced; all of them if it
        has fewer), `real_recognizability`,
        `real_macro_f1`, `real_deviation`, `real_cosine`, `real_inception_score`.

        Density and coverage compare with those real images, the Fréchet distance with the whole
        split.
        """
        from dataworth.data import load_images

        model = load_model(store.load(self.reference))
        images, labels = self.pool.load(np.arange(self.size), store)
        real = load_images(self.reference.card, self.split)
        features, logits = embed(model, images)
        real_features, real_logits = embed(model, real.images)
        real_labels, classes = np.asarray(real.labels), logits.shape[1]
        balanced = len(np.unique(real_labels)) * np.unique(real_labels, return_counts=True)[1].min()
        few = balanced_subset(real_labels, min(self.size, int(balanced)), 0)
        arrays, metrics = _judge(features, logits, labels, classes)
        _, anchor = _judge(real_features[few], real_logits[few], real_labels[few], classes)
        density, coverage = density_and_coverage(real_features[few], features)
        metrics |= {
            "density": density,
            "coverage": coverage,
            "frechet": frechet_distance(features, real_features),
        }
        return Outcome(arrays, metrics | {f"real_{name}": value for name, value in anchor.items()})


def _judge(
    features: Features, logits: NDArray[np.float32], labels: Labels, classes: int
) -> tuple[dict[str, NDArray], dict[str, float]]:
    """Arrays and metrics of one set of images that need no other set."""
    predicted = logits.argmax(1)
    correct = predicted == labels
    recall, f1 = recall_and_f1(predicted, labels, classes)
    deviation = by_class(feature_deviation, features, labels, classes)
    cosine = by_class(cosine_distance, features, labels, classes)
    arrays: dict[str, NDArray] = {
        "correct": correct,
        "predicted": predicted,
        "recall_by_class": recall,
        "f1_by_class": f1,
        "deviation_by_class": deviation,
        "cosine_by_class": cosine,
    }
    metrics = {
        "recognizability": float(correct.mean()),
        "macro_f1": _mean(f1),
        "deviation": _mean(deviation),
        "cosine": _mean(cosine),
        "inception_score": inception_score(logits),
    }
    return arrays, metrics


def _mean(values: NDArray[np.float64]) -> float:
    """Mean of what is not NaN; NaN if nothing is left."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def embed(
    model: object, images: Images | Rows, batch: int = 500
) -> tuple[Features, NDArray[np.float32]]:
    """Penultimate features (N, width) and logits (N, classes) of a timm model."""
    import torch

    features, logits = [], []
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            x = as_input(images[start : start + batch]).to(compute.device())
            hidden = model.forward_head(model.forward_features(x), pre_logits=True)  # type: ignore[attr-defined]
            features.append(hidden.double().cpu().numpy())
            logits.append(model.get_classifier()(hidden).float().cpu().numpy())  # type: ignore[attr-defined]
    return np.concatenate(features), np.concatenate(logits)


def recall_and_f1(
    predicted: Labels, labels: Labels, classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recall and F1 of every class, each (classes,); NaN for a class that is neither asked for
    nor predicted (F1) or not asked for (recall).

    F1 of class c is 2 TP / (asked for c + predicted as c).
    """
    hits = np.bincount(labels[predicted == labels], minlength=classes).astype(np.float64)
    asked = np.bincount(labels, minlength=classes)
    answered = np.bincount(predicted, minlength=classes)
    with np.errstate(invalid="ignore"):
        return hits / asked, 2 * hits / (asked + answered)


def by_class(
    measure: Callable[[Features], float], features: Features, labels: Labels, classes: int
) -> NDArray[np.float64]:
    """`measure(features of one class)` for every class, (classes,); NaN below two images."""
    values = np.full(classes, np.nan)
    for c in range(classes):
        mine = features[labels == c]
        if len(mine) > 1:
            values[c] = measure(mine)
    return values


def feature_deviation(features: Features) -> float:
    """Standard deviation of each feature of (N, d), averaged over the features."""
    return float(features.std(0, ddof=1).mean())


def cosine_distance(features: Features) -> float:
    """Mean of 1 - cos over all pairs of distinct rows of (N, d), without forming the pairs.

    For unit rows u the cosines of all ordered pairs sum to |sum u|^2 - N.
    """
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    count = len(unit)
    return float(1 - (np.square(unit.sum(0)).sum() - count) / (count * (count - 1)))


def density_and_coverage(
    real: Features, generated: Features, neighbours: int = NEIGHBOURS
) -> tuple[float, float]:
    """Density and coverage (Naeem et al. 2020, Section 3) of features (M, d) and (N, d).

    Each real example has a ball that reaches to its `neighbours`-th nearest other real example.
    Density is the mean number of balls around a generated example over `neighbours`: it can
    exceed 1. Coverage is the share of balls that hold a generated example.
    """
    from scipy.spatial.distance import cdist

    k = min(neighbours, len(real) - 1)
    radius = np.partition(cdist(real, real), k, axis=1)[:, k]  # position 0 is the example itself
    inside = cdist(real, generated) < radius[:, None]  # (M, N)
    return float(inside.sum() / (k * len(generated))), float(inside.any(1).mean())


def frechet_distance(a: Features, b: Features) -> float:
    """Fréchet distance of two Gaussians fitted to features (N, d) and (M, d) (Heusel et al. 2017).

    |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)); the trace of the root is the sum of the
    roots of the eigenvalues of S_a S_b, which are real and not negative.
    """
    s_a, s_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    eigenvalues = np.linalg.eigvals(s_a @ s_b).real.clip(min=0)
    mean = np.square(a.mean(0) - b.mean(0)).sum()
    return float(mean + np.trace(s_a) + np.trace(s_b) - 2 * np.sqrt(eigenvalues).sum())


def inception_score(logits: NDArray[np.float32]) -> float:
    """exp of the mean KL divergence from the mean answer to each answer (Salimans et al. 2016),
    with the reference in the place of the Inception network: 1 to the number of classes."""
    from scipy.special import log_softmax, softmax

    p, log_p = softmax(logits.astype(np.float64), axis=1), log_softmax(logits.astype(float), axis=1)
    return float(np.exp((p * (log_p - np.log(p.mean(0)))).sum(1).mean()))
