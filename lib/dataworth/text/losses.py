"""Bits per byte by arm and group of documents, with intervals over documents and seeds.

Works on the stored arrays of language-model runs; imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.arrays import Array
from dataworth.errors import UserError
from dataworth.noise import over_clusters, seed_noise
from dataworth.runs import Result


def bits_per_byte(nats: ArrayLike, n_bytes: ArrayLike) -> Array:
    """Total loss in bits over total bytes of text, along the last axis; comparable between
    tokenizers. NaN where there are no bytes."""
    total = np.sum(nats, axis=-1, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(total / (math.log(2) * np.sum(n_bytes, axis=-1, dtype=np.float64)))


def document_losses(
    runs: Sequence[Result], evaluation: str
) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
    """Nats (S, N) of the runs' (seeds') documents, their bytes (N,) and ids (N,).

    Raises UserError if the runs were not evaluated on the same documents.
    """
    first = runs[0].arrays
    if f"nats_{evaluation}" not in first:
        known = sorted(k.removeprefix("nats_") for k in first if k.startswith("nats_"))
        raise UserError(f"evaluation {evaluation!r} is none of {', '.join(known)}.")
    ids, n_bytes = first[f"ids_{evaluation}"], first[f"bytes_{evaluation}"]
    for run in runs[1:]:
        same = np.array_equal(run.arrays[f"ids_{evaluation}"], ids)
        if not same or not np.array_equal(run.arrays[f"bytes_{evaluation}"], n_bytes):
            raise UserError(f"the runs differ in the documents of evaluation {evaluation!r}.")
    return np.stack([run.arrays[f"nats_{evaluation}"] for run in runs]), n_bytes, ids


def by_part(
    values: Array,
    sizes: ArrayLike,
    parts: NDArray[np.integer],
    *,
    clusters: NDArray[np.str_] | NDArray[np.int64] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    stream: int = 0,
) -> tuple[Array, Array]:
    """Losses (..., E) per unit of size, the mean over seeds, of arms on E parts of the documents,
    and draws (B, ..., E) of them.

    values: (..., S, N), of S seeds; sizes: (N,); parts: (N,) numbers from 0; clusters: (N,), what
    documents have in common (`noise.over_clusters`; each alone by default). Arms are trained with
    the same seeds and evaluated on the same documents: draw b has the same ones in all of them, and
    `noise.seed_noise` knows what they share. stream: a number of each group of arms of its own.
    """
    sizes = np.asarray(sizes, dtype=float)
    count = values.shape[-2]
    flat = values.reshape(-1, values.shape[-1])
    means, drawn, stretch = [], [], []
    for part in range(int(parts.max()) + 1):
        rows = np.flatnonzero(parts == part)
        if not len(rows):
            raise UserError(f"parts: no document is of part {part}.")
        versions, factors = over_clusters(
            flat[:, rows],
            sizes=sizes[rows],
            clusters=None if clusters is None else clusters[rows],
            resamples=resamples,
            seed=seed,
            stream=part,
        )
        means.append((flat[:, rows].sum(1) / sizes[rows].sum()).reshape(-1, count))
        drawn.append(versions.reshape(resamples, -1, count))
        stretch.append(factors)
    x, d = np.stack(means, -1), np.stack(drawn, -1)  # (A, S, E), (B, A, S, E)
    noise = seed_noise(x, d, seed=seed, stream=stream, blocks=np.zeros(len(x)))
    value = x.mean(1)
    draws = value + np.stack(stretch, -1)[:, None] * (d.mean(2) - value) + noise
    shape = *values.shape[:-2], len(means)
    return value.reshape(shape), draws.reshape(resamples, *shape)
