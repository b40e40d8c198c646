"""Bits per byte by arm and group of documents, with intervals over documents and seeds.

Works on the stored arrays of language-model runs; imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.errors import UserError
from dataworth.runs import Result
from dataworth.stats import over_examples, over_seeds

if TYPE_CHECKING:
    import pandas as pd

from dataworth.arrays import Array


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


def loss_table(
    arms: Mapping[str, Sequence[Result]],
    evaluations: Sequence[str],
    *,
    groups: Mapping[int, str] | None = None,
    baseline: str | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Bits per byte of every arm, evaluation set and group of documents.

    arms: runs by arm, one per training seed. groups: the group of each document by its id (its
    domain, its year); without it a set is one group, named "all". Columns: arm, evaluation, group,
    documents, seeds, bits_per_byte, low, high; with a `baseline` arm also change, change_low,
    change_high: the difference from it, documents and seeds paired (run i of both arms started
    alike and has the same place).

    Raises UserError for an unknown baseline, or arms that do not share documents and seeds.
    """
    import pandas as pd

    if baseline is not None and baseline not in arms:
        raise UserError(f"baseline is {baseline!r}; the arms are {', '.join(arms)}.")
    tails = [(1 - level) / 2, (1 + level) / 2]
    records = []
    for evaluation in evaluations:
        loaded = {arm: document_losses(runs, evaluation) for arm, runs in arms.items()}
        for arm, (nats, n_bytes, ids) in loaded.items():
            reference = loaded[baseline][0] if baseline is not None else None
            if baseline is not None and (
                not np.array_equal(ids, loaded[baseline][2])
                or len(nats) != len(loaded[baseline][0])
            ):
                raise UserError(f"arm {arm!r} has other documents or seeds than {baseline!r}.")
            names = np.array(["all" if groups is None else groups[int(i)] for i in ids])
            for group in sorted(set(names.tolist())):
                rows = np.flatnonzero(names == group)
                kept, size = nats[:, rows], n_bytes[rows]
                low, high = np.nanquantile(
                    resample(kept, size, resamples=resamples, seed=seed), tails
                )
                record: dict[str, object] = {
                    "arm": arm,
                    "evaluation": evaluation,
                    "group": group,
                    "documents": len(rows),
                    "seeds": len(nats),
                    "bits_per_byte": float(bits_per_byte(kept, size).mean()),
                    "low": float(low),
                    "high": float(high),
                }
                if reference is not None:
                    difference = kept - reference[:, rows]
                    draws = resample(difference, size, resamples=resamples, seed=seed)
                    low, high = np.nanquantile(draws, tails)
                    record |= {
                        "change": float(bits_per_byte(difference, size).mean()),
                        "change_low": float(low),
                        "change_high": float(high),
                    }
                records.append(record)
    return pd.DataFrame(records)


def auroc(scores: ArrayLike, positive: ArrayLike) -> float:
    """Area under the ROC curve (Mann-Whitney U / (positives x negatives)), ties counted as half.

    scores: (N,); positive: (N,) bool. Raises UserError unless both classes are present.
    """
    from scipy.stats import rankdata

    truth = np.asarray(positive, dtype=bool)
    n, m = int(truth.sum()), int((~truth).sum())
    if not n or not m:
        raise UserError("positive must hold both classes for an area under the ROC curve.")
    return float((rankdata(scores)[truth].sum() - n * (n + 1) / 2) / (n * m))
