"""Pictures that the chapters on quality and on toxicity have in common; they take tables and
estimates by arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .base import Panel
from .curves import curves
from .forest import forest, stack
from .series import Series, series

if TYPE_CHECKING:
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


def gains(
    table: DataFrame, *, equal: float, recorded: DataFrame | None = None, size: str = ""
) -> Panel:
    """Mean gain over the unfiltered crawl by what was removed. table: by arm, with the columns
    `kind`, `kept`, `gain`, `gain_low`, `gain_high`; equal: percent of the bytes that filters of the
    larger crawl stand for. recorded: the filter's arms of the recorded run, same columns."""
    at = 100 - table.kept.where(table.kind != "equal", equal)
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
