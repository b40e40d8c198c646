"""Pictures of a fit from its numbers: one curve with its band, or observed against fitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dataworth.arrays import Array
from dataworth.display import plain

from .about import filled
from .values import Prediction

if TYPE_CHECKING:
    from matplotlib.axes import Axes


BAND = 9  # sizes at which a band is computed; it is smooth between them


def words(text: str) -> str:
    """A name of the data as matplotlib shows it as it stands."""
    return plain(text if len(text) <= 60 else text[:59] + "…").replace("$", r"\$")


def observed_against_fitted(
    ax: Axes, fitted: Array, y: Array, x: Array, name: str, y_name: str
) -> None:
    """A law of several variables: fitted and observed losses (n,), coloured by the first."""
    ends = [y.min() / 1.03, y.max() * 1.03]
    ax.plot(ends, ends, color="0.6", linewidth=1)
    dots = ax.scatter(fitted, y, c=np.log10(np.maximum(x, 1)), s=18)
    ax.figure.colorbar(dots, ax=ax, label=f"log10 {words(name)}")
    ax.set(xscale="log", yscale="log")
    ax.set_xlabel(f"fitted {words(y_name)}")
    ax.set_ylabel(f"observed {words(y_name)}")


def band_points(grid: Array) -> Array:
    """Sizes at which the band over a grid is computed."""
    return np.geomspace(grid[0], grid[-1], BAND)


def band_ends(grid: Array, along: Prediction, drawn: Array) -> tuple[Array, Array]:
    """Both ends over the grid, from those at `band_points`, cut at ten times the range of what is
    drawn where they are open."""
    at = band_points(grid)
    low, high = (
        np.interp(
            np.log(grid),
            np.log(at),
            np.clip(end, drawn.min() / 10, drawn.max() * 10),
        )
        for end in (along.low, along.high)
    )
    return low, high


def band(ax: Axes, grid: Array, along: Prediction, drawn: Array, color: Any) -> None:
    """The interval along a curve."""
    low, high = band_ends(grid, along, drawn)
    ax.fill_between(grid, low, high, color=color, alpha=0.2, linewidth=0)


def draw(one: Any, ax: Axes | None, level: float, label: str | None) -> Axes:
    """A `Fit` on axes, as `Fit.plot` says."""
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(layout="constrained")
    if one.labels:
        for name in one.labels:
            draw(one[name], ax, level, name)
        ax.legend()
        flags(ax, one.flags)
        return ax
    c, name = one.curve, (one.curve.names or one.law.variables)[0]
    if len(one.law.variables) != 1:
        observed_against_fitted(ax, one.mean(c.x), c.y, c.x[:, 0], name, c.y_name)
    else:
        grid = np.geomspace(c.x.min() / 1.3, c.x.max() * 3, 40)
        mean = one.mean(grid)
        shown = label or filled(one.law, one.params, [name], c.y_name) or one.law.name
        color = ax.plot(grid, mean, label=words(shown))[0].get_color()
        ax.scatter(c.x[:, 0], c.y, s=18, color=color, zorder=3)
        if one.part_of is None or one.draws_phi is not None:
            along = one.predict(band_points(grid), level)
            band(ax, grid, along, np.concatenate([c.y, mean]), color)
        ax.set(xscale="log", yscale="log")
        ax.set_xlabel(words(name))
        ax.set_ylabel(words(c.y_name))
        if label is None:
            ax.legend(frameon=False)
    if label is None:
        flags(ax, one.flags)
    return ax


def flags(ax: Axes, codes: Sequence[str]) -> None:
    """What to know before trusting the curve, in the picture's corner."""
    if codes:
        text = "\n".join(codes)
        ax.text(0.02, 0.02, text, transform=ax.transAxes, fontsize="x-small", va="bottom")
