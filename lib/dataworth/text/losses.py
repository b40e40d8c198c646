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
from dataworth.runs import Result
from dataworth.stats import over_examples, over_seeds


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


def resample(
    nats: Array,
    n_bytes: NDArray[np.int64],
    *,
    resamples: int = 1000,
    seed: int = 0,
    arm: int = 0,
) -> Array:
    """Bootstrap versions (B,) of the mean over seeds of bits per byte; nats (S, N), n_bytes (N,).

    Documents are drawn with replacement, the same ones in draw b of every arm; seeds too, by `arm`
    (`dataworth.stats.over_seeds`).
    """
    drawn = over_examples(nats, resamples=resamples, seed=seed, sizes=n_bytes) / math.log(2)
    return over_seeds(drawn, seed=seed, arm=arm)
