"""Do synthetic images keep what their captions say? Of the chapter *CLIP scaling*."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataworth.images.captions import captions_of
from dataworth.images.clip import texts
from dataworth.runs import Result, Store
from dataworth.stats import Estimate, estimate

if TYPE_CHECKING:
    import pandas as pd

ATTRIBUTES = frozenset(
    ("dark", "bright", "plain", "patterned", "slim", "wide", "heeled", "flat", "high")
) | {"long-sleeved", "short-sleeved"}  # those that `captions.attributes` gives


def agreement(judged: Sequence[Result], store: Store, *, resamples: int, seed: int) -> pd.DataFrame:
    """Do images keep what their caption says apart from the class? By recognised or not: the
    share of the captions' attribute words that hold in the image (95 % interval over images),
    and the share that would hold by chance, with captions permuted within class.

    judged: which images of a synthetic part are recognised (`RecognisedSpec`), one a seed. Columns
    images, words, share, low, high, chance.
    """
    import pandas as pd

    said, kept, chance, shown = [], [], [], []
    for s, result in enumerate(judged):
        part = result.spec.part  # type: ignore[attr-defined]
        images, labels = part.load(store)
        holds = [set(words) for words in captions_of(part.pool.card).attributes(images, labels)]
        stated = [ATTRIBUTES & set(text.split()) for text in texts(part, store)]
        dealt = _deal(labels, np.random.default_rng([seed, 23, s]))
        said += [len(words) for words in stated]
        kept += [len(words & h) for words, h in zip(stated, holds, strict=True)]
        # The same words held against another image of the class.
        chance += [len(words & holds[j]) for words, j in zip(stated, dealt, strict=True)]
        shown += result.arrays["recognised"].tolist()
    count, true, luck = (np.array(x, dtype=float) for x in (said, kept, chance))
    recognised = np.array(shown, dtype=bool)
    rows = {}
    for name, rows_of in {"recognised": recognised, "not recognised": ~recognised}.items():
        found = share(true[rows_of], count[rows_of], resamples=resamples, seed=seed)
        rows[name] = {
            "images": int(rows_of.sum()),
            "words": int(count[rows_of].sum()),
            "share": found.value,
            "low": found.low,
            "high": found.high,
            "chance": _ratio(luck[rows_of].sum(), count[rows_of].sum()),
        }
    table = pd.DataFrame(rows).T.astype({"images": int, "words": int})
    return table.rename_axis("by the reference")


def share(
    part: NDArray[np.float64], whole: NDArray[np.float64], *, resamples: int, seed: int
) -> Estimate:
    """sum(part) / sum(whole) of images (N,), with an interval from resampling them."""
    if not len(part):
        return estimate(np.nan, np.full(resamples, np.nan))
    rng = np.random.default_rng([seed, 24])
    rows = rng.integers(len(part), size=(resamples, len(part)))
    with np.errstate(invalid="ignore"):
        draws = part[rows].sum(1) / whole[rows].sum(1)
    return estimate(_ratio(part.sum(), whole.sum()), draws)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _deal(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """For each row another row of the same label, a permutation within the label."""
    dealt = np.arange(len(labels))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        shuffled = rng.permutation(rows)
        dealt[shuffled] = np.roll(shuffled, 1)
    return dealt
