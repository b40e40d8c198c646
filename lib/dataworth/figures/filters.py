"""Pictures that the chapters on quality and on toxicity have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dataworth.figures import COLOURS
from dataworth.studies.filter_tasks import TASKS
from dataworth.text.pools import CRAWL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dataworth.studies.filtering import Arm, Filtered

STYLES: Mapping[str, tuple[str, str, str]] = {
    "filter": ("o-", COLOURS["real"], "filter"),
    "inverse": ("s", COLOURS["synthetic"], "inverse filter"),
    "random": ("x--", COLOURS["published"], "random drop"),
    "equal": ("^", COLOURS["accent"], "filter of a larger crawl"),
    "matched": ("D", COLOURS["mixed"], "random, with the filter's domain mix"),
}
"""Marker, colour and name of every kind of arm."""


def draw_gains(
    ax: Axes, study: Filtered, recorded: Mapping[str, Sequence[Any]] | None = None
) -> None:
    """Mean gain over the unfiltered crawl against the share of the bytes that is kept; of the
    `recorded` gains of a larger run (columns `arm`, `kept`, `gain`), the filter's own curve."""
    if recorded:
        columns = zip(recorded["arm"], recorded["kept"], recorded["gain"], strict=True)
        past = [(kept, gain) for arm, kept, gain in columns if arm.startswith(study.params.score)]
        ax.plot(*zip(*past, strict=True), ".:", color="#333333", lw=1, label="filter, recorded")
    table = study.gains().loc[list(map(str, study.own))]
    table["at"] = table.kept.where(table.kind != "equal", study.params.equal)
    table["at"] += table.kind.map({"random": -0.6, "matched": 0.6, "equal": 1.2}).fillna(0.0)
    ax.axhline(0, color="#999999", lw=1, ls=":")
    for kind, (form, colour, name) in STYLES.items():
        rows = table[table.kind == kind].sort_values("at")
        bars = np.clip([rows.gain - rows.gain_low, rows.gain_high - rows.gain], 0, None)
        ax.errorbar(
            rows["at"], rows.gain, yerr=bars, fmt=form, color=colour, label=name, capsize=2, ms=5,
            mfc="white" if kind in ("equal", "matched") else colour,
        )  # fmt: skip
    for label, row in table[table.kind == "other"].iterrows():
        bars = np.clip([[row.gain - row.gain_low], [row.gain_high - row.gain]], 0, None)
        ax.errorbar(row["at"], row.gain, yerr=bars, fmt="*", color="#333333", capsize=2, ms=8)
        ax.annotate(
            str(label),
            (row["at"], row.gain),
            fontsize=7.5,
            xytext=(5, -9),
            textcoords="offset points",
        )
    ax.invert_xaxis()
    ax.set(xlabel="% of the bytes kept", ylabel="gain in bits per byte (%)")
    ax.legend(fontsize=7.5)


def draw_cells(
    ax: Axes,
    values: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    top: float,
    clear: NDArray[np.bool_] | None = None,
    form: str = "{:+.1f}",
) -> Any:
    """A heat map with its numbers, blue for better; pale where `clear` says that the interval holds
    zero, empty where NaN. Gives the image, for a colour bar."""
    from matplotlib.colors import SymLogNorm

    sure = np.ones(values.shape, dtype=bool) if clear is None else clear
    norm = SymLogNorm(linthresh=top / 10, vmin=-top, vmax=top, base=10)
    alpha = np.where(sure, 1.0, 0.35)
    image = ax.imshow(values, cmap="RdBu", norm=norm, aspect="auto", alpha=alpha)
    for (i, j), value in np.ndenumerate(values):
        if not np.isnan(value):
            dark = sure[i, j] and abs(value) > top / 4
            ax.text(
                j, i, form.format(value), ha="center", va="center", fontsize=7.5,
                color="white" if dark else "black",
            )  # fmt: skip
    ax.set_xticks(range(len(columns)), list(columns), fontsize=8, rotation=30, ha="right")
    ax.set_yticks(range(len(rows)), list(rows), fontsize=8)
    ax.grid(False)
    return image


def draw_tasks(axes: Sequence[Axes], study: Filtered, tasks: Sequence[str]) -> None:
    """Change of every task's score from the unfiltered crawl, by arm; one task an axis."""
    from matplotlib.ticker import MaxNLocator

    arms = [arm for arm in study.tested if arm in study.own]
    table = study.task_table()
    place = np.arange(len(arms))[::-1]
    for ax, task in zip(axes, tasks, strict=True):
        ax.axvline(0, color="#999999", lw=1, ls=":")
        for y, arm in zip(place, arms, strict=True):
            form, colour, _ = STYLES[arm.kind]
            row = table.loc[str(arm)]
            bars = [[row[task] - row[f"{task}_low"]], [row[f"{task}_high"] - row[task]]]
            ax.errorbar(
                row[task], y, xerr=np.clip(bars, 0, None), fmt=form[0], color=colour, capsize=2
            )
        info = TASKS[task]
        unit = "points" if info.unit == "%" else info.unit
        ax.set_title(info.what.replace(", ", ",\n"), fontsize=8.5)
        arrow = "better →" if info.better == "up" else "← better"
        ax.set_xlabel(f"change, {unit}  ({arrow})", fontsize=8)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.tick_params(labelsize=8)
    axes[0].set_yticks(place, list(map(str, arms)), fontsize=8)


def choice_by_domain(study: Filtered, arms: Sequence[Arm]) -> tuple[Figure, str]:
    """A heat map of the change of the multiple-choice margin from the unfiltered crawl, arms by
    domains of the questions, and its alt text."""
    from dataworth.figures import subplots

    values, clear = study.tasks_by_domain(arms)
    top = float(np.abs(values).max())
    fig, ax = subplots(figsize=(7.6, 0.42 * len(arms) + 1.5))
    draw_cells(
        ax, values, list(map(str, arms)), study.domains, top=top, clear=clear, form="{:+.3f}"
    )
    return fig, (
        "Heat map of the change of the multiple-choice margin from the unfiltered crawl, arms by "
        f"domains of the questions: {int(clear.sum())} of {clear.size} cells are clear of zero; "
        f"the largest change is {values.flat[np.abs(values).argmax()]:+.3f} bits per byte."
    )


def draw_mix(axes: Sequence[Axes], study: Filtered) -> None:
    """Domain mix of what every arm keeps, its mean document, quality score and toxic share; four
    axes with a common y axis."""
    table = study.sets().loc[["whole", *map(str, study.own)]]
    place = np.arange(len(table))[::-1]
    left = np.zeros(len(table))
    for domain, colour in zip(CRAWL, (COLOURS["real"], COLOURS["synthetic"]), strict=True):
        axes[0].barh(place, table[domain], left=left, color=colour, alpha=0.75, label=domain)
        left += table[domain].to_numpy()
    axes[0].set_xlabel("% of the bytes", fontsize=8)
    axes[0].legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    for ax, column, name in zip(
        axes[1:],
        ("bytes", "quality", "toxic"),
        ("bytes per document", "quality score", "% of bytes toxic"),
        strict=True,
    ):
        ax.plot(table[column], place, "o", color="#333333", ms=5)
        ax.axvline(table[column].iloc[0], color="#999999", lw=1, ls=":")
        ax.set_xlabel(name, fontsize=8)
    if table.bytes.max() > 10 * table.bytes.min():
        axes[1].set_xscale("log")
    axes[0].set_yticks(place, list(table.index), fontsize=8)
    for ax in axes:
        ax.tick_params(axis="x", labelsize=8)
        ax.grid(axis="y", visible=False)
