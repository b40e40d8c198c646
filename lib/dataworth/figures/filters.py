"""Pictures and tables that the chapters on quality and on toxicity have in common, and how they are
shown; they take tables and estimates by arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dataworth import tables

from .base import Panel, draw, show
from .curves import curves
from .forest import forest, stack
from .heatmap import heatmap
from .scatter import scatter
from .series import Series, series

if TYPE_CHECKING:
    from IPython.display import HTML
    from pandas import DataFrame

KINDS: Mapping[str, str] = {
    "filter": "filter",
    "inverse": "inverse filter",
    "random": "random drop",
    "equal": "filter of a larger crawl",
    "matched": "random, with the filter's domain mix",
    "other": "other rules",
}
"""Name of every kind of arm in a legend."""

ROLES = {
    "random drop": "control",
    "filter of a larger crawl": "#6699CC",
    "random, with the filter's domain mix": "#999933",
    "other rules": "#E69F00",
}
REMOVED = "bytes removed (%)"
FILTERS = {
    "quality": ("quality filters", "#E69F00"),
    "toxicity": ("toxicity filters", "filter"),
    "word list": ("word list", "#44AA99"),
    "": ("random drops and none", "control"),
}
"""Name and colour of every filter where several are compared."""


def gains(table: DataFrame, *, recorded: DataFrame | None = None, size: str = "") -> Panel:
    """Mean gain over the unfiltered crawl by what was removed. table: by arm, with the columns
    `kind`, `kept`, `share` (that the rule keeps, of a larger crawl too), `gain`, `gain_low`,
    `gain_high`. recorded: the filter's arms of the recorded run, same columns."""
    at = 100 - table.kept.where(table.kind != "equal", table.share)
    at = at + table.kind.map({"random": 0.6, "matched": -0.6, "equal": -1.2}).fillna(0.0)
    table = table.assign(at=at).sort_values("at")
    past = None
    if recorded is not None and len(recorded):
        past = {"filter": series(recorded.assign(at=100 - recorded.kept), "gain", "at")}
    others = list(table.index[table.kind == "other"])
    return curves(
        {
            name: series(table[table.kind == kind], "gain", "at")
            for kind, name in KINDS.items()
            if (table.kind == kind).any()
        },
        REMOVED, "gain in bits per byte (%)", title="this run", recorded=past, size=size,
        reference=0, log="",
        join=("filter", "random drop"), roles=ROLES, form="+.2f",
        names={"other rules": others} if others else None,
    )  # fmt: skip


def published_gains(table: DataFrame, title: str) -> Panel:
    """Published change of the question-answering score by what was removed: columns `kept`,
    `change` and `inverse`, one row a run."""
    table = table.assign(removed=100 - table.kept).sort_values("removed")
    return curves(
        {},
        REMOVED, "QA score, change in points", title=title, reference=0, log="", form="+.1f",
        published={
            name: series(rows, "change", "removed")
            for name, rows in (
                ("filter, published", table[~table.inverse]),
                ("inverse filter, published", table[table.inverse]),
            )
        },
    )  # fmt: skip


def by_kind(estimates: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, Series]:
    """Estimates by arm as groups by kind of arm, for `forest`."""
    return {
        name: series({arm: e for arm, e in estimates.items() if kinds[arm] == kind})
        for kind, name in KINDS.items()
        if any(kinds[arm] == kind for arm in estimates)
    }


def tasks(
    changes: Mapping[str, Mapping[str, Any]], kinds: Mapping[str, str], about: Mapping[str, Any]
) -> list[Panel]:
    """Change of every task's score from the unfiltered crawl, by arm: one panel a task. about: of
    each task `what`, `unit` and `better` ("up" or "down")."""
    panels = []
    for task, found in changes.items():
        info = about[task]
        unit = "points" if info.unit == "%" else info.unit
        arrow = "better →" if info.better == "up" else "← better"
        panels.append(
            forest(
                by_kind(found, kinds), f"change, {unit} ({arrow})", title=info.what, reference=0,
                rows=list(found), roles=ROLES, form="+.2f",
            )
        )  # fmt: skip
    return panels


def kept_text(table: DataFrame, domains: Sequence[str]) -> list[Panel]:
    """What every arm keeps: domain mix, mean document, quality score and toxic part. table: by arm,
    in percent of the bytes for each of `domains`, with `bytes`, `quality`, `toxic`; the first row
    is the unfiltered crawl, a dotted line."""
    wide = table.bytes.max() > 10 * table.bytes.min()
    panels = [stack(table[list(domains)], "% of the bytes")]
    labels = {"bytes": "bytes per document", "quality": "quality score", "toxic": "toxic bytes (%)"}
    for column, label in labels.items():
        panels.append(
            forest(
                {"this run": table[column]}, label, reference=table[column].iloc[0],
                log=column == "bytes" and bool(wide), roles={"this run": "#333333"},
            )
        )  # fmt: skip
    return panels


def tradeoff(table: DataFrame, x: Mapping[str, Any], label: str, *, names: bool = False) -> Panel:
    """Gain against another number of the same arms, by kind of filter, inverse ones hollow. table:
    as for `gains`, with the column `filter`; x: numbers or estimates of the arms to be drawn."""
    pairs, roles, x = {}, {}, dict(x)
    for inverse in (False, True):
        for rule, (words, colour) in FILTERS.items():
            arms = [
                arm for arm in x
                if table["filter"][arm] == rule and (table.kind[arm] == "inverse") == inverse
            ]  # fmt: skip
            if arms:
                group = words + (", inverse" if inverse else "")
                pairs[group] = ({arm: x[arm] for arm in arms}, series(table.loc[arms], "gain"))
                roles[group] = colour
    return scatter(
        pairs, label, "gain in bits per byte (%), mean of 8 domains", names=names, roles=roles,
        cross=(None, 0.0), hollow=[group for group in pairs if group.endswith("inverse")],
    )  # fmt: skip


# --- On the page --------------------------------------------------------------------------------


def table_of_sets(table: DataFrame) -> HTML:
    """What every arm's set is, beside `show_kept`: `kept`, `documents`, `cut`, `unscored`,
    `epochs`."""
    return tables.show(
        table[["kept", "documents", "cut", "unscored", "epochs"]],
        {"kept": ".1f", "documents": ",", "cut": ".3f", "unscored": ".2f", "epochs": ".2f"},
        names={
            "kept": "% of the bytes kept", "cut": "score at the cut",
            "unscored": "% of the bytes without a score", "epochs": "epochs of a run",
        },
    )  # fmt: skip


def table_of_tasks(
    changes: Mapping[str, Mapping[str, Any]], about: Mapping[str, Any], whole: Mapping[str, Any]
) -> HTML:
    """Every task's level: chance and the score of the unfiltered crawl (`whole`); and below, by
    arm, the change from the latter, with intervals."""
    from pandas import DataFrame

    names = {task: f"{about[task].what} ({about[task].unit})" for task in changes}
    cells = {}
    for task, found in changes.items():
        chance = about[task].chance
        cells[task] = {
            "chance": "" if chance is None else f"{chance:g}",
            "unfiltered crawl": tables.text(whole[task], ".2f"),
        } | {f"change, {arm}": tables.text(e, "+.2f") for arm, e in found.items()}
    return tables.show(DataFrame(cells).rename_axis("level, and changes from it"), names=names)


def show_kept(table: DataFrame, domains: Sequence[str], name: str) -> None:
    """`kept_text` as the figure of this name."""
    show(
        draw(*kept_text(table, domains), columns=2), name=name,
        caption="What every arm is trained on: domains, mean length of a document, mean quality "
        "score (1 is good) and fraction of toxic bytes, of the first seed. Dotted: the unfiltered "
        "crawl.",
    )  # fmt: skip


def show_gains(
    table: DataFrame,
    paper: DataFrame,
    source: str,
    name: str,
    *,
    rule: str,
    recorded: Mapping[str, Any] | None,
) -> None:
    """`gains` beside `published_gains` as the figure of this name. recorded: the gains of the
    recorded run's evidence, of which the filters by `rule` are drawn."""
    from pandas import DataFrame

    past = DataFrame(recorded or {"arm": []})
    show(
        draw(
            gains(table, recorded=past[past.arm.astype(str).str.startswith(rule)]),
            published_gains(paper[paper.category == "average"], source),
            widths=(1.7, 1), height=4.6,
        ),
        caption="Left: gain in bits per byte, mean of eight domains, with 95 % intervals. Right: "
        "the published change in question answering after fine-tuning (one run each).",
        name=name,
    )  # fmt: skip


def show_tasks(
    changes: Mapping[str, Mapping[str, Any]],
    kinds: Mapping[str, str],
    about: Mapping[str, Any],
    whole: Mapping[str, Any],
    name: str,
) -> None:
    """`tasks` as the figure of this name. whole: estimates of the unfiltered crawl's scores."""
    levels = ", ".join(f"{task} {e.value:.3g}" for task, e in whole.items())
    show(
        draw(*tasks(changes, kinds, about), columns=2),
        alt=f"Scores of the unfiltered crawl: {levels} (chance of the accuracy: 25).",
        caption="Downstream scores against those of the unfiltered crawl, with 95 % intervals over "
        "test items and seeds. Multiple choice: bits per byte by which the best wrong answer is "
        "less likely than the true one.",
        name=name,
    )


def show_choice(cells: Any, rows: Sequence[str], domains: Sequence[str], name: str) -> None:
    """Multiple choice by arm and domain of the question as the figure of this name."""
    show(
        heatmap(
            cells, "change of the margin (bits per byte)", rows=rows, columns=domains, form="+.3f"
        ),
        caption="Change of the margin of the true answer (bits per byte) from the unfiltered "
        "crawl, by domain of the question; blue: better. Pale: the 95 % interval holds zero. All "
        "rows share the runs of the unfiltered crawl: a column of one colour, random drop "
        "included, is the luck of that baseline and not an effect of a filter.",
        name=name,
    )
