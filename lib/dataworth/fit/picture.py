"""Pictures of a fit from its numbers: the law with its runs and, below, what it leaves over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dataworth.arrays import Array
from dataworth.display import plain

from .about import brief, filled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


BAND = 6  # sizes at which a band is computed; its width in logs is smooth between them
MOST_CURVES = 6  # of a law of two variables
FULL = 4_000  # points of a curve that a picture shows, at most


@dataclass(frozen=True)
class Line:
    """A curve of a picture: its runs (n,), what the law leaves of them (`left_over`), and the law
    along a grid with the ends of its band, where it has one."""

    name: str
    x: Array
    y: Array
    left: Array
    grid: Array
    mean: Array
    band: tuple[Array, Array] | None = None


def words(text: str) -> str:
    """A name of the data as matplotlib shows it as it stands."""
    return plain(text if len(text) <= 60 else text[:59] + "…").replace("$", r"\$")


def some(count: int) -> slice:
    """Rows to draw: all of few, a spread of many."""
    return slice(None, None, -(-count // FULL))


def left_over(one: Any) -> Array:
    """How far runs lie above the law, (n,): per cent where residuals are of the log, else on the
    residual's own scale."""
    r: Array = -one.residuals()
    return 100 * np.expm1(r) if one.settings.objective.residual == "log" else r


def by_level(one: Any) -> bool:
    """Whether a picture shows a law at levels of its first variable, against its second."""
    return len(one.law.variables) == 2 and not one.labels and not one.law.may_be_zero


def lines(parts: Mapping[str, Any], level: float) -> list[Line]:
    """The curves of a picture: of each fit, or of the only one at levels of its first variable; of
    a law of more variables the observed losses against the fitted ones."""
    one = next(iter(parts.values()))
    if by_level(one):
        return at_levels(one)
    found = []
    for name, one in parts.items():
        c, left = one.curve, left_over(one)
        if len(one.law.variables) > 1:
            x = one.mean(c.x)
            grid = np.array([min(x.min(), c.y.min()), max(x.max(), c.y.max())])
            found.append(Line(name, x, c.y, left, grid, grid))
            continue
        x = c.x[:, 0]
        grid = np.geomspace(x.min() / 1.2, x.max() * 2.5, 40)
        mean, band = one.mean(grid), None
        if one.part_of is None or one.draws_phi is not None:
            at = np.geomspace(grid[0], grid[-1], BAND)
            along, drawn = one.predict(at, level), np.concatenate([c.y, mean])
            least, most = drawn.min() / 10, drawn.max() * 10  # cut where it is open
            low, high = (
                mean * np.exp(np.interp(np.log(grid), np.log(at), np.log(end / along.mean)))
                for end in (np.clip(e, least, most) for e in (along.low, along.high))
            )
            band = low, high
        found.append(Line(name, x, c.y, left, grid, mean, band))
    return found


def at_levels(one: Any) -> list[Line]:
    """Lines of a law of two variables, with the runs that lie nearest to each level."""
    (first, second), y, left = one.curve.x.T, one.curve.y, left_over(one)
    levels = np.unique(first)
    if len(levels) > MOST_CURVES:
        levels = np.unique(np.quantile(levels, np.linspace(0, 1, MOST_CURVES), method="nearest"))
    nearest = np.abs(np.log(first)[:, None] - np.log(levels)).argmin(1)
    grid = np.geomspace(second.min() / 1.2, second.max() * 1.2, 40)
    found = []
    for place, at in enumerate(levels):
        mean = one.mean(np.stack([np.full_like(grid, at), grid], -1))
        rows = nearest == place
        called = f"{axes(one)[0]} = {brief(at)}"
        found.append(Line(called, second[rows], y[rows], left[rows], grid, mean))
    return found


def axes(one: Any) -> Sequence[str]:
    """What the variables are called."""
    return one.curve.names or one.law.variables


def below(one: Any) -> str:
    """What a picture has on its x axis."""
    if len(one.law.variables) == 1 or by_level(one):
        return axes(one)[-1]
    return f"fitted {one.curve.y_name}"


def draw(one: Any, ax: Axes | None, level: float, label: str | None) -> Axes:
    """A `Fit` on axes, as `Fit.plot` says."""
    if ax is None:
        import matplotlib.pyplot as plt

        return panels(one, plt.figure(layout="constrained"), level, label)
    _law(one, _curves(one, level), ax, label)
    ax.set_xlabel(words(below(one)))
    return ax


def panels(one: Any, figure: Figure, level: float, label: str | None = None) -> Axes:
    """The law and its residuals on an empty figure; the upper axes."""
    top, low = figure.subplots(2, sharex=True, height_ratios=[3, 1])
    found = _curves(one, level)
    _law(one, found, top, label)
    low.axhline(0, color="0.6", linewidth=1)
    for place, line in enumerate(found):
        rows = some(len(line.x))
        low.scatter(line.x[rows], line.left[rows], s=12, color=f"C{place}")
    unit = ", %" if one.settings.objective.residual == "log" else ""
    low.set(xlabel=words(below(one)), ylabel=f"above law{unit}")
    return top


def _curves(one: Any, level: float) -> list[Line]:
    return lines({name: one[name] for name in one.labels} or {"": one}, level)


def _law(one: Any, found: Sequence[Line], ax: Axes, label: str | None) -> None:
    """Runs, law and band; the formula, or the curves' names, in a legend; flags in a corner."""
    c, alone = one.curve, len(found) == 1
    shown = label
    if alone and shown is None:
        shown = filled(one.law, one.params, axes(one), c.y_name) or one.law.name
    for place, line in enumerate(found):
        color, rows = f"C{place}", some(len(line.x))
        ax.plot(line.grid, line.mean, color=color, label=words(shown or line.name))
        ax.scatter(line.x[rows], line.y[rows], s=18, color=color, zorder=3)
        if line.band is not None:
            ax.fill_between(line.grid, *line.band, color=color, alpha=0.2, linewidth=0)
    observed = "" if len(one.law.variables) == 1 or by_level(one) else "observed "
    ax.set(xscale="log", yscale="log", ylabel=words(observed + c.y_name))
    for axis in (ax.xaxis, ax.yaxis):
        _ticks(axis)
    if label is None:
        ax.legend(frameon=False)
        if one.flags:  # what to know before trusting the curve
            ax.text(
                0.02, 0.02, "\n".join(one.flags), transform=ax.transAxes, fontsize="x-small",
                va="bottom",
            )  # fmt: skip


def _ticks(axis: Any) -> None:
    """Plain numbers along a logarithmic axis; powers of ten would be typeset as formulas, which
    takes longer than all else that is drawn."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
    axis.set_major_formatter(lambda value, _: brief(value))
    axis.set_minor_formatter(NullFormatter())
