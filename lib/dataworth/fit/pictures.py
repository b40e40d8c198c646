"""Pictures of a fit for a page of either theme: SVG as text, with its alt text.

Lines and words take the page's own colour (`currentColor`); series have colours that stand out on
white and on black alike.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dataworth.arrays import Array
from dataworth.display import plain
from dataworth.tables import signed

from .about import brief
from .frontier import Cost, Optimum
from .picture import at_levels, left_over, lines, some, words
from .result import Fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#010203"  # stands for the page's own colour
COLOURS = ("#2b8cbe", "#d95f02", "#1b9e77", "#9a6fb0", "#b8860b", "#e7298a", "#66a61e", "#7f7f7f")
MARKERS = "osD^vPX*"
NAMED = 5  # rows that a panel of residuals names, at most
ODD = 3.0  # standard deviations beyond which a residual is named


@dataclass(frozen=True)
class Drawing:
    """An SVG element, and what it shows in words."""

    svg: str
    alt: str


def _figure(columns: int = 1, height: float = 3.4) -> tuple[Figure, Sequence[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, height), layout="constrained")
    figure.patch.set_alpha(0)
    grid = figure.subplots(1, columns, squeeze=False)[0]
    for ax in grid:
        ax.patch.set_alpha(0)
        ax.grid(color="#808080", alpha=0.25, linewidth=0.6)
        for name, spine in ax.spines.items():
            spine.set_color(INK)
            spine.set_visible(name in ("left", "bottom"))
        ax.tick_params(colors=INK, which="both", labelsize=9)
    return figure, grid


def _label(ax: Axes, x: str, y: str) -> None:
    ax.set_xlabel(words(x), color=INK, fontsize=10)
    ax.set_ylabel(words(y), color=INK, fontsize=10)


def _legend(ax: Axes) -> None:
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False, fontsize=9, labelcolor=INK)


def _svg(figure: Figure, name: str, alt: str) -> Drawing:
    """name: begins the ids of this element, so that a page can hold several."""
    import matplotlib as mpl

    text = io.StringIO()
    with mpl.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif"}
    ):
        figure.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
    body = text.getvalue()
    body = body[body.index("<svg") :].replace(INK, "currentColor")
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    said = html.escape(plain(alt))
    return Drawing(body.replace("<svg", f'<svg role="img" aria-label="{said}"', 1), alt)


def _runs(ax: Axes, x: Array, y: Array, place: int, count: int) -> None:
    """The runs of the curve at a place, of `count` in all, above its band and below other marks."""
    ax.scatter(x, y, s=_dot(count), color=COLOURS[place % len(COLOURS)], zorder=1.5,
               marker=MARKERS[place % len(MARKERS)])  # fmt: skip


def _dot(count: int) -> float:
    """Area of a point among so many."""
    return 20.0 if count < 500 else 5.0


def curves(parts: dict[str, Fit], x: str, y: str, level: float) -> Drawing:
    """Points, law and band against one variable; parts: a fit for each curve ("" for one alone)."""
    figure, (ax,) = _figure()
    found, said = lines(parts, level), []
    for place, line in enumerate(found):
        colour, sizes, losses = COLOURS[place % len(COLOURS)], line.x, line.y
        ax.plot(line.grid, line.mean, color=colour if len(losses) < 500 else INK,
                label=line.name or "law")  # fmt: skip
        if line.band is not None:
            ax.fill_between(line.grid, *line.band, color=colour, alpha=0.2, linewidth=0)
        rows = some(len(losses))
        _runs(ax, sizes[rows], losses[rows], place, len(losses))
        said.append(
            f"{line.name + ': ' if line.name else ''}{len(losses)} runs from {x} = "
            f"{brief(sizes.min())} to {brief(sizes.max())}, {y} from {brief(losses.max())} to "
            f"{brief(losses.min())}; the law gives {brief(float(line.mean[-1]))} at "
            f"{brief(line.grid[-1])}."
        )
    ax.set_xscale("log")
    every = np.concatenate([line.y for line in found])
    _scale(ax, every)
    # a band that is open beyond the runs must not squeeze them
    seen = np.concatenate([every, *(line.mean for line in found)])
    if ax.get_yscale() == "log":
        ax.set_ylim(seen.min() / 1.2, seen.max() * 1.2)
    else:
        room = 0.15 * float(np.ptp(seen)) or 0.1 * float(np.abs(seen).max())
        ax.set_ylim(seen.min() - room, seen.max() + room)
    _label(ax, x, y)
    if len(parts) > 1:
        _legend(ax)
    alt = f"Runs, fitted law and its {level:.0%} band, {y} against {x}. {' '.join(said[:8])}"
    return _svg(figure, "curves", alt)


def _scale(ax: Axes, losses: Array, both: bool = False) -> None:
    """A logarithmic axis where losses differ by more than three times, with plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    if losses.min() > 0 and losses.max() > 3 * losses.min():
        ax.set_yscale("log")
        if both:
            ax.set_xscale("log")
        for axis in (ax.yaxis, ax.xaxis)[: 1 + both]:
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.set_minor_formatter(NullFormatter())


def surface(one: Fit, names: Sequence[str], y: str) -> Drawing:
    """Runs against the second variable and the law at levels of the first."""
    figure, (ax,) = _figure()
    found = at_levels(one)
    for place, line in enumerate(found):
        ax.plot(line.grid, line.mean, color=COLOURS[place % len(COLOURS)], label=words(line.name))
        rows = some(len(line.x))
        _runs(ax, line.x[rows], line.y[rows], place, one.n)
    ax.set_xscale("log")
    _scale(ax, one.curve.y)
    _label(ax, names[1], y)
    _legend(ax)
    alt = (
        f"{y} against {names[1]}: {one.n} runs, each in the colour of the nearest curve, and the "
        f"law at {', '.join(line.name for line in found)}."
    )
    return _svg(figure, "surface", alt)


def valleys(one: Fit, names: Sequence[str], y: str, optima: Sequence[Optimum]) -> Drawing:
    """Loss along each budget C = 6 N D with its optimum, and the runs of that budget."""
    figure, (ax,) = _figure()
    n, d = one.curve.x.T
    compute, cost, said = 6 * n * d, Cost(), []
    for place, best in enumerate(optima):
        colour = COLOURS[place % len(COLOURS)]
        near = np.flatnonzero(np.abs(np.log(compute / best.budget)) < 0.15)
        reach = np.r_[n[near], best.n.value]
        grid = np.geomspace(reach.min() / 6, reach.max() * 6, 60)
        tokens = np.exp(cost.log_d(float(np.log(best.budget)), np.log(grid)))
        ax.plot(grid, one.mean(np.stack([grid, tokens], -1)), color=colour,
                label=f"C = {brief(best.budget)}")  # fmt: skip
        _runs(ax, n[near], one.curve.y[near], place, one.n)
        ax.plot([best.n.value], [best.loss.value], marker="*", markersize=11, color=INK, zorder=4)
        said.append(f"{brief(best.n.value)} at {brief(best.budget)}")
    ax.set_xscale("log")
    _scale(ax, one.curve.y)
    low = min(best.loss.value for best in optima)
    ax.set_ylim(low * 0.985, low + 1.6 * max(float(np.ptp(one.curve.y)), 0.05 * low))
    _label(ax, names[0], y)
    _legend(ax)
    alt = (
        f"{y} along compute budgets C = 6 {names[0]} {names[1]}, their runs as points, each "
        f"optimum as a star: {names[0]} = {'; '.join(said)}."
    )
    return _svg(figure, "valleys", alt)


def residuals(
    parts: dict[str, Fit], names: Sequence[str], places: Sequence[Sequence[str]]
) -> Drawing:
    """What the law leaves over, per cent of the loss where residuals are of its log, against each
    variable (two at most). places: what the rows of each part are called."""
    shown = names[:2]
    figure, axes = _figure(len(shown), 2.8)
    first = next(iter(parts.values()))
    relative = first.settings.objective.residual == "log"
    left = {label: left_over(one) for label, one in parts.items()}
    every = np.concatenate(list(left.values()))
    centre = np.median(every)
    spread = 1.4826 * float(np.median(np.abs(every - centre))) or float(every.std())
    odd: list[str] = []
    for j, (ax, name) in enumerate(zip(axes, shown, strict=True)):
        ax.axhline(0, color=INK, linewidth=0.8)
        for place, (label, one) in enumerate(parts.items()):
            r, x = left[label], one.curve.x[:, j]
            ends = np.argsort(-np.abs(r - centre), kind="stable")[:NAMED]
            rows = np.union1d(np.arange(len(r))[some(len(r))], ends)
            ax.scatter(x[rows], r[rows], s=_dot(len(r)), color=COLOURS[place % len(COLOURS)],
                       marker=MARKERS[place % len(MARKERS)], label=label or None)  # fmt: skip
            for row in ends[np.abs(r[ends] - centre) > ODD * spread] if spread else ():
                called = "row " + places[place][row].partition(" (")[0]
                ax.annotate(called, (x[row], r[row]), color=INK, fontsize=8,
                            xytext=(4, 3), textcoords="offset points")  # fmt: skip
                odd += [f"{called} {r[row]:+.3g}"] if j == 0 else []
        if min(one.curve.x[:, j].min() for one in parts.values()) > 0:
            ax.set_xscale("log")
        _label(ax, name, ("run above law, %" if relative else "run above law") if not j else "")
    unit = " %" if relative else ""
    far = f" Beyond {ODD:g} of these: {'; '.join(odd)}." if odd else ""
    alt = (
        f"Residuals against {' and '.join(shown)}, runs above the law upwards: from "
        f"{signed(f'{every.min():.3g}')}{unit} to {every.max():.3g}{unit}, robust standard "
        f"deviation {spread:.3g}{unit}.{far}"
    )
    return _svg(figure, "residuals", alt)


def against(one: Fit, y: str) -> Drawing:
    """Observed against fitted losses, for a law of any variables."""
    figure, (ax,) = _figure()
    fitted, rows = one.mean(one.curve.x), some(one.n)
    ends = [min(fitted.min(), one.curve.y.min()), max(fitted.max(), one.curve.y.max())]
    ax.plot(ends, ends, color=INK, linewidth=0.8)
    ax.scatter(fitted[rows], one.curve.y[rows], s=_dot(one.n), color=COLOURS[0])
    _scale(ax, one.curve.y, both=True)
    _label(ax, f"{y}, fitted", f"{y}, observed")
    miss = float(np.abs(np.log(fitted / one.curve.y)).max()) if one.curve.y.min() > 0 else np.nan
    alt = f"{one.n} runs, observed against fitted {y}; the farthest is {100 * miss:.2g} % off."
    return _svg(figure, "against", alt)
