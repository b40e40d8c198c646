"""What the sizes of an experiment decide before any run: how much each says about an exponent."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

WORTHLESS = 0.1  # of the largest weight on the slope: below this a size hardly moves it


def slope_weights(sizes: Iterable[float]) -> NDArray[np.float64]:
    """How far the slope of the least-squares line through log y against log size moves per unit of
    each log y, (n,)."""
    x = np.log(np.asarray(list(sizes), float))
    x = x - x.mean()
    return x / (x @ x)


def three_sizes(sizes: Iterable[float]) -> str | None:
    """A sentence where there are exactly three different sizes, which cannot test a power law;
    None otherwise.

    Through three sizes a law of three parameters passes without a residual; where they are equally
    spaced on the logarithmic axis, the middle one has no say in the exponent either.
    """
    different = sorted({float(size) for size in sizes})
    if len(different) != 3 or different[0] <= 0:
        return None
    shown = ", ".join(f"{size:g}" for size in different)
    weights = np.abs(slope_weights(different))
    middle = "" if weights[1] > WORTHLESS * weights.max() else (
        "the middle one says nothing about the exponent of a power law, and "
    )  # fmt: skip
    return (
        f"Three sizes ({shown}): {middle}a law of three parameters has no degree of freedom left; "
        "choose four."
    )
