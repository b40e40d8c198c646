"""Which documents a score keeps: in rank order, below a threshold, by Pareto sampling.

`Pool.select` keeps a fraction of the bytes in the order of `ranked`. The other rules return an (N,)
mask of the documents that stay; UserError where none does. A document without a score (NaN) passes
no rule and is last in every order: not scored is neither harmless nor good.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import UserError
from dataworth.text.scores import Scores

Mask = NDArray[np.bool_]


def ranked(scores: Scores, *, high_first: bool) -> NDArray[np.intp]:
    """(N,) rows in the order in which a filter keeps them; those without a score come last."""
    scores = _checked(scores)
    return np.argsort(-scores if high_first else scores, kind="stable")  # NaN sorts last


def below(scores: Scores, threshold: float) -> Mask:
    """Keep scores < threshold: the filter of Longpre et al. 2023 (section 2.2), whose scores are
    high for bad documents."""
    return _some(_checked(scores) < threshold, scores, f"below {threshold:g}")


def pareto(scores: Scores, seed: int, alpha: float = 9.0) -> Mask:
    """Keep where pareto(alpha) > 1 - score (GPT-3, Brown et al. 2020, appendix A).

    For scores that are high for good documents. numpy's Pareto is Lomax, so a document of score s
    stays with probability (2 - s)^-alpha: 0.2 % of the worst, all of the best.
    """
    scores = _checked(scores)
    if not alpha > 0:
        raise UserError(f"alpha: {alpha:g} is not a Pareto shape; it must be above 0 (GPT-3: 9).")
    if (scores < 0).any() or (scores > 1).any():
        raise UserError("scores: Pareto sampling wants scores from 0 to 1.")
    draws = np.random.default_rng([seed, 0x9A7]).pareto(alpha, len(scores))
    return _some(draws > 1 - scores, scores, f"that pass Pareto sampling with alpha {alpha:g}")


def _checked(scores: Scores) -> Scores:
    scores = np.asarray(scores, dtype=np.float64)
    if not len(scores):
        raise UserError("scores: the corpus is empty; there is nothing to filter.")
    if np.isinf(scores).any():
        raise UserError("scores: some are infinite; a score is a number, or NaN for not scored.")
    if np.isnan(scores).all():
        raise UserError("scores: no document has a score; there is nothing to filter by.")
    return scores


def _some(mask: Mask, scores: Scores, what: str) -> Mask:
    if not mask.any():
        raise UserError(
            f"threshold: no document has a score {what}; scores are from "
            f"{np.nanmin(scores):.3g} to {np.nanmax(scores):.3g}."
        )
    return mask
