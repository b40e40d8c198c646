"""Points in the plane: two numbers of each thing, with intervals, names, line of equality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import COLOURS, GUIDE, Panel, Roles, looks
from .drawn import note
from .marks import recorded_name
from .series import Series, bare, number, series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Pair = tuple[Any, Any]


def scatter(
    groups: Mapping[str, Pair] | Pair,
    x: str,
    y: str,
    *,
    title: str = "",
    names: str | Sequence[str] | bool = False,
    recorded: Pair | None = None,
    size: str = "",
    published: Pair | None = None,
    equal: bool = False,
    cross: tuple[float | None, float | None] = (None, None),
    hollow: Sequence[str] = (),
    join: Sequence[str] = (),
    values: Mapping[str, Sequence[float]] | None = None,
    bar: str = "",
    log: str = "",
    form: str = ".3g",
    roles: Roles = None,
    height: float = 3.6,
) -> Panel:
    """Points (x, y), each of them anything that `series` takes, of one length.

    groups: one pair, or several by name, a colour and marker each. names: which group's points
    carry the names of their rows, or the names themselves; True: all. recorded: the same pair of
    the recorded run, drawn first; size: of that run. equal: draw the line of equality. cross: where
    dotted lines stand, upright and lying. hollow: groups with open marks. join: groups whose
    points are joined in order. values: numbers of some groups' points, shown as colours (dark: low)
    with a colour bar named `bar`. log, form, roles: as for `curves`.
    """
    pairs = groups if isinstance(groups, Mapping) else {"this run": groups}
    own = {name: (series(a), series(b)) for name, (a, b) in pairs.items()}
    styles = looks(list(own), roles)
    extra = {}
    if recorded is not None:
        extra[recorded_name(size=size)] = (recorded, "recorded")
    if published is not None:
        extra["published"] = (published, "published")
    beside = {n: (series(pair[0]), series(pair[1]), role) for n, (pair, role) in extra.items()}

    def paint(ax: Axes, span: Any) -> Any:
        from matplotlib.colors import PowerNorm

        every = [float(v) for part in (values or {}).values() for v in part]
        # The root spreads the low end, where most points lie beside one or two far off.
        norm, image = PowerNorm(0.5, min(every, default=0.0), max(every, default=1.0)), None
        ax.set_xscale("log" if "x" in log else "linear")
        ax.set_yscale("log" if "y" in log else "linear")
        for at, line in zip(cross, (ax.axvline, ax.axhline), strict=True):
            if at is not None:
                line(at, color=GUIDE, lw=1, ls=":")
        if equal:
            places = np.concatenate([v.value for pair in own.values() for v in pair])
            ends = [np.nanmin(places), np.nanmax(places)]
            ax.plot(ends, ends, ":", color=GUIDE, label="equal")
        for name, (a, b, role) in beside.items():
            marker = "P" if role == "recorded" else "x"
            drawn = _points(ax, a, b, COLOURS[role], marker, name, False, 6.5)
            _note(ax, name, a, b, drawn, form)
        for name, (a, b) in own.items():
            colour, marker = styles[name]
            joined: list[Any] = []
            if name in join:
                joined = ax.plot(a.value, b.value, "-", color=colour, lw=1, alpha=0.6, zorder=2)
            label = name if len(own) + len(beside) > 1 else None
            if values and name in values:
                image = ax.scatter(
                    a.value, b.value, s=34, c=values[name], marker=marker, cmap="viridis",
                    norm=norm, edgecolors="#333333", linewidths=0.6, label=label, zorder=3,
                )  # fmt: skip
                drawn = [image]
            else:
                drawn = _points(ax, a, b, colour, marker, label, name in hollow, 5)
            _note(ax, name, a, b, [*joined, *drawn], form, (values or {}).get(name))
        ax.margins(0.12)
        return image

    named = _named(own, names)
    told = []
    for name, (a, b) in own.items():
        points = [f"{row} ({a.told(i, form)}, {b.told(i, form)})" for i, row in enumerate(a.at)]
        if len(points) > 12 or not all(isinstance(row, str) for row in a.at):
            points = [f"{len(points)} points, x from {_range(a, form)}, y from {_range(b, form)}"]
        told.append((f"{name}: " if len(own) > 1 else "") + ", ".join(points))
    return Panel(
        paint, "; ".join(told) + ".", head=f"{y} against {x}", x=x, y=y, title=title, log=log,
        names=named, height=height, bar=bar,
    )  # fmt: skip


def _points(
    ax: Axes, a: Series, b: Series, colour: str, marker: str, label: str | None, hollow: bool,
    size: float,
) -> list[Any]:  # fmt: skip
    wide = [np.stack([v.value - v.low, v.high - v.value]) for v in (a, b)]
    bars = [np.clip(w, 0, None) if np.isfinite(w).any() else None for w in wide]
    line, caps, drawn = ax.errorbar(
        a.value, b.value, xerr=bars[0], yerr=bars[1], fmt=marker, color=colour, label=label, lw=0.9,
        ms=size, mfc="white" if hollow else colour, capsize=0, zorder=3,
    )  # fmt: skip
    return [line, *caps, *drawn]


def _note(
    ax: Axes, name: str, a: Series, b: Series, drawn: Sequence[Any], form: str, value: Any = None
) -> None:
    names = [str(row) if isinstance(row, str) else "" for row in a.at]
    told = {side: [s.told(i, form) for i in range(len(s.at))] for side, s in (("x", a), ("y", b))}
    note(
        ax, name, drawn, names=names, x=a, y=b, value=None if value is None else bare(value),
        place=(a.value, b.value), told=told,
    )  # fmt: skip


def _named(
    own: Mapping[str, tuple[Series, Series]], names: str | Sequence[str] | bool
) -> tuple[tuple[float, float, str], ...]:
    found = []
    for name, (a, b) in own.items():
        if not names or (isinstance(names, str) and names != name):
            continue
        texts = a.at if isinstance(names, (str, bool)) else names
        found += [(x, y, str(t)) for x, y, t in zip(a.value, b.value, texts, strict=True)]
    return tuple((float(x), float(y), t) for x, y, t in found if np.isfinite(x) and np.isfinite(y))


def _range(found: Series, form: str) -> str:
    return f"{number(np.nanmin(found.value), form)} to {number(np.nanmax(found.value), form)}"
