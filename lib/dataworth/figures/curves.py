"""Arms against size: this run and the recorded one, fitted laws, published numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import COLOURS, GUIDE, Panel, Roles, looks
from .drawn import note
from .marks import Span, cut, marks, recorded_name
from .series import Series, bare, grouped, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dataworth.fit import Fit


def curves(
    groups: Any,
    x: str,
    y: str,
    *,
    title: str = "",
    laws: Mapping[str, Fit] | None = None,
    rivals: Mapping[str, Fit] | None = None,
    to: float | None = None,
    recorded: Any = None,
    size: str = "",
    published: Any = None,
    slopes: Mapping[str, float] | None = None,
    measured: Span | None = None,
    chance: float | None = None,
    reference: float | None = None,
    at: Mapping[str, float | Sequence[float]] | None = None,
    range_: tuple[float, float, str] | None = None,
    band: bool = False,
    join: bool | Collection[str] = True,
    names: Mapping[str, Sequence[str]] | None = None,
    limits: Span | None = None,
    log: str = "xy",
    ticks: Sequence[float] | None = None,
    form: str = ".3g",
    roles: Roles = None,
    height: float = 3.4,
) -> Panel:
    """Curves of one or several arms, with intervals.

    groups: a curve (anything that `series` takes with sizes), or several by arm; where its places
    are words (conditions, not sizes), they stand in order at equal steps. x, y: labels.
    laws: fitted laws by arm, drawn over the sizes of the runs with their 95 % band instead of
    intervals of points, and dashed beyond, up to `to`. rivals: other laws of the same points,
    dotted up to `to`. recorded: the recorded run, by arm if there
    are several; drawn first, bold, with its interval; size: of that run ("20,480 images").
    published: points by source. slopes: published exponents by arm, dotted from its first point.
    measured: sizes that were run; points outside are hollow and dotted, marked as extrapolated.
    chance: level of guessing. reference: a dotted line (no difference). at: by label, upright
    lines (a number or a list of them) or a band (a pair).
    range_: (low, high, label) of a published range. band: bands, not bars. join: lines between
    points (of which arms). names: texts at the points of an arm. limits: where y is cut off;
    infinite values always are, with an arrow. log: which axes are logarithmic ("xy", "x", "y", "").
    ticks: where x is labelled (default: at the sizes). form: of numbers in the alt text. roles: of
    arms whose names are none (`figures.COLOURS`), or one for all, in shades by their size.
    """
    own = grouped(groups, "this run")
    past = grouped(recorded, next(iter(own)) if len(own) == 1 else "")
    known = grouped(published, "published")
    styles = looks([*own, *(name for name in past if name not in own)], roles)
    told = [_told(name, s, form, bool(join)) for name, s in own.items()]
    told += [_told(recorded_name("" if n == "this run" else n), s, form) for n, s in past.items()]
    told += [_told(name, s, form) for name, s in known.items()]
    told += [f"chance is {number(chance, form)}"] if chance is not None else []
    shown = [*own.values(), *past.values(), *known.values()]
    words = list(dict.fromkeys(at for s in shown for at in s.at if isinstance(at, str)))
    if words:
        log = log.replace("x", "")
        own, past, known = (
            {name: replace(s, at=tuple(map(words.index, s.at))) for name, s in found.items()}
            for found in (own, past, known)
        )
        shown = [*own.values(), *past.values(), *known.values()]

    def told_of(found: Series) -> dict[str, Any]:
        named = [words[int(place)] for place in found.at] if words else []
        return {"whole": found, "names": named, "form": form}

    def paint(ax: Axes, span: Span | None) -> None:
        ax.set_xscale("log" if "x" in log else "linear")
        ax.set_yscale("log" if "y" in log else "linear")
        if range_:
            ax.axhspan(*range_[:2], color=COLOURS["published"], alpha=0.16, lw=0, label=range_[2])
        if reference is not None:
            ax.axhline(reference, color=GUIDE, lw=1, ls=":")
        for name, place in (at or {}).items():
            if isinstance(place, tuple):
                ax.axvspan(*place, color=GUIDE, alpha=0.25, lw=0, label=name)
            else:
                for line in np.atleast_1d(place):
                    ax.axvline(line, color=GUIDE, lw=1, ls=":", label=name)
        for name, found in past.items():
            colour = COLOURS["recorded"] if name == "this run" else styles[name][0]
            text = recorded_name("" if name == "this run" else name, size)
            _band(ax, found, colour, span, 0.22, text)
            marks(ax, _places(found), _bare(found), colour=colour, marker=styles[name][1],
                  label=text, bold=True, line="-", **told_of(found), span=span)  # fmt: skip
        for name, found in own.items():
            colour, marker = styles[name]
            how: dict[str, Any] = {
                "colour": colour,
                "marker": marker,
                "hollow": bool(past),
                "span": span,
            }
            if laws and name in laws:
                _law(ax, name, found, laws[name], colour, to)
                if rivals and name in rivals:
                    _rival(ax, name, found, rivals[name], colour, to)
                marks(ax, _places(found), _bare(found), label=name, **told_of(found), **how)
                continue
            outside = _outside(found, measured)
            joined = join if isinstance(join, bool) else name in join
            stand = _places(found) if join else _aside(found, list(own).index(name), len(own), log)
            if band:
                _band(ax, found, colour, span, 0.16, name)
            whole = _bare(found) if band else found
            if outside.any() and joined:
                note(ax, name, ax.plot(
                    _places(found), np.clip(found.value, *(span or (None, None))), ":",
                    color=colour, lw=1.2))  # fmt: skip
            marks(ax, stand[~outside], _part(whole, ~outside), label=name,
                  line=("--" if past else "-") if joined else "none",
                  **told_of(_part(found, ~outside)), **how)  # fmt: skip
            if outside.any():
                how |= {"hollow": True, "marker": "."}
                marks(ax, stand[outside], _part(whole, outside), line="none",
                      label=f"{name}, extrapolated",
                      **told_of(_part(found, outside)), **how)  # fmt: skip
        for place, (name, found) in enumerate(known.items()):
            marks(ax, _places(found), found, colour=COLOURS["published"], marker="x+12"[place % 4],
                  label=name, line=(":", "--", "-.")[place % 3], span=span,
                  **told_of(found))  # fmt: skip
        for name, k in (slopes or {}).items():
            first, sizes = own[name].value[0], _places(own[name])
            text, slope = f"published slope, {name} (k = {k:.3g})", first * (sizes / sizes[0]) ** -k
            line = ax.plot(sizes, slope, ":", color=styles[name][0], lw=1.4, label=text)
            note(ax, text, line, x=bare(sizes), y=bare(slope, sizes))
        if chance is not None:
            ax.axhline(chance, color="#555555", lw=1, ls=(0, (1, 2)), label="chance", zorder=1)
        if span:
            ax.set_ylim(span)
        if words:
            ax.set_xticks(range(len(words)), words)
            ax.set_xlim(-0.4, len(words) - 0.6)

    named = tuple(
        (float(a), float(v), text)
        for name, texts in (names or {}).items()
        for a, v, text in zip(own[name].at, own[name].value, texts, strict=True)
    )
    places = tuple(sorted({float(v) for s in (*own.values(), *past.values()) for v in s.at}))
    return Panel(
        paint, "; ".join(told) + ".", head=f"{y} against {x}", x=x, y=y, title=title, log=log,
        span=cut(shown, limits, "y" in log), height=height, ticks=tuple(ticks or places),
        names=named,
    )  # fmt: skip


def _told(name: str, found: Series, form: str, joined: bool = True) -> str:
    """First and last number of a curve, the last with its interval; all of up to three points, and
    of those that make no curve."""
    last = len(found.at) - 1
    places = [at if isinstance(at, str) else number(at, "n") for at in found.at]
    parts = [f"{found.told(i, form)} at {place}" for i, place in enumerate(places)]
    if last < 3 or not joined:
        return f"{name} " + ", ".join(parts)
    return f"{name} from {number(found.value[0], form)} at {places[0]} to {parts[-1]}"


def _aside(found: Series, place: int, count: int, log: str) -> np.ndarray:
    """Places a step aside for each arm, so that the bars of several do not hide each other."""
    step, x = place - (count - 1) / 2, _places(found)
    return x * 1.06**step if "x" in log else x + 0.015 * step * np.ptp(x)


def _places(found: Series) -> np.ndarray:
    return np.array(found.at, dtype=float)


def _bare(found: Series) -> Series:
    none = np.full(len(found.at), np.nan)
    return Series(found.at, found.value, none, none)


def _part(found: Series, rows: np.ndarray) -> Series:
    at = tuple(a for a, keep in zip(found.at, rows, strict=True) if keep)
    return Series(at, found.value[rows], found.low[rows], found.high[rows])


def _outside(found: Series, measured: Span | None) -> np.ndarray:
    low, high = measured or (-np.inf, np.inf)
    return (_places(found) < low) | (_places(found) > high)


def _band(ax: Axes, found: Series, colour: str, span: Span | None, alpha: float, key: str) -> None:
    low, high = (np.clip(v, *(span or (-np.inf, np.inf))) for v in (found.low, found.high))
    note(ax, key, [ax.fill_between(_places(found), low, high, color=colour, alpha=alpha, lw=0)])


def _law(ax: Axes, name: str, found: Series, law: Fit, colour: str, to: float | None) -> None:
    """A fitted law over the sizes that were run, with its 95 % band; beyond them dashed."""
    sizes = _places(found)
    inside = np.geomspace(sizes.min(), sizes.max(), 77)
    lines: list[Any] = ax.plot(inside, law.mean(inside), color=colour, lw=1.6)
    some = law.predict(inside[::4])  # each end of the band is a search of its own
    lines.append(ax.fill_between(inside[::4], some.low, some.high, color=colour, alpha=0.16, lw=0))
    beyond = np.array([])
    if to and to > sizes.max():
        beyond = np.geomspace(sizes.max(), to, 30)
        lines += ax.plot(beyond, law.mean(beyond), color=colour, lw=1.2, ls="--")
    at, none = np.concatenate([inside, beyond]), np.full(77 + len(beyond), np.nan)
    low, high = none.copy(), none.copy()
    low[:77:4], high[:77:4] = some.low, some.high
    fitted = Series(tuple(at), law.mean(at), low, high)
    note(ax, f"{name}, fitted law", lines, key=name, x=bare(at), y=fitted)


def _rival(ax: Axes, name: str, found: Series, law: Fit, colour: str, to: float | None) -> None:
    """Another law of the same points, dotted."""
    sizes = _places(found)
    whole = np.geomspace(sizes.min(), max(sizes.max(), to or 0), 80)
    line = ax.plot(whole, law.mean(whole), ":", color=colour, lw=1.3)
    note(ax, f"{name}, rival law", line, key=name, x=bare(whole), y=bare(law.mean(whole)))
