"""Pictures of a fit from its numbers: one curve with its band, or observed against fitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dataworth.arrays import Array

from .values import Prediction

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def observed_against_fitted(ax: Axes, fitted: Array, y: Array, x: Array, name: str) -> None:
    """A law of several variables: fitted and observed losses (n,), coloured by the first."""
    ends = [y.min() / 1.03, y.max() * 1.03]
    ax.plot(ends, ends, color="0.6", linewidth=1)
    dots = ax.scatter(fitted, y, c=np.log10(np.maximum(x, 1)), s=18)
    ax.figure.colorbar(dots, ax=ax, label=f"log10 {name}")
    ax.set(xscale="log", yscale="log", xlabel="fitted loss", ylabel="observed loss")


def band(ax: Axes, grid: Array, along: Prediction, y: Array, color: Any) -> None:
    """The interval along a curve, cut at ten times the range of the losses where it is open."""
    drawn = np.concatenate([y, along.mean])
    least, most = drawn.min() / 10, drawn.max() * 10
    low, high = (np.clip(end, least, most) for end in (along.low, along.high))
    ax.fill_between(grid, low, high, color=color, alpha=0.2, linewidth=0)


def flags(ax: Axes, codes: Sequence[str]) -> None:
    """What to know before trusting the curve, in the picture's corner."""
    if codes:
        text = "\n".join(codes)
        ax.text(0.02, 0.02, text, transform=ax.transAxes, fontsize="x-small", va="bottom")
