"""`dataworth report`: a fit as one page of HTML that opens from disk, in either theme, complete."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import numpy as np

from dataworth import __version__
from dataworth.display import safe
from dataworth.errors import UserError
from dataworth.tables import signed
from dataworth.tables import text as cell

from . import pictures
from .about import brief, filled, formula, use
from .command import Fitted, predictions
from .diagnostics import Note
from .equivalence import equivalence
from .frontier import Optimum, frontier
from .grouped import Grouped
from .isoflop import budgets_of
from .laws import Law
from .powers import PowerSum
from .result import Fit, Interval

MEANS = {
    "l2": "least squares", "huber": "Huber's loss", "lad": "least absolute deviations",
    "student": "Student's likelihood", "chinchilla": "Huber's loss (width 0.001)",
}  # fmt: skip
MOST_ROWS = 300  # of the table of runs
STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --ground: #ffffff; --soft: #f2f2f2;
  --line: #c8c8c8; --warn: #8a3b00; --link: #0b5fa5; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --ground: #161616;
  --soft: #242424; --line: #4a4a4a; --warn: #ffb27a; --link: #7cc0ff; } }
body { color: var(--ink); background: var(--ground); margin: 0 auto; max-width: 46rem;
  padding: 1.5rem 1rem 4rem; font: 16px/1.5 system-ui, sans-serif; }
h1, p, figcaption { overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .93rem; }
th, td { padding: .2rem .7rem .2rem 0; text-align: left; border-bottom: 1px solid var(--line); }
td.number, th.number { text-align: right; }
caption { text-align: left; padding-bottom: .3rem; }
.scroll { overflow: auto; max-height: 40rem; } th[scope=row] { white-space: nowrap; }
@media print { .scroll { max-height: none; } }
.formula { font: 1.1rem/1.6 ui-monospace, monospace; background: var(--soft); padding: .6rem .8rem;
  overflow-x: auto; }
.flag { border-left: 4px solid var(--warn); padding: .1rem 0 .1rem .8rem; margin: .5rem 0; }
.flag b { color: var(--warn); }
pre { background: var(--soft); padding: .6rem .8rem; overflow-x: auto; white-space: pre-wrap; }
svg { width: 100%; height: auto; } figure { margin: 1rem 0; }
figcaption, .small { font-size: .9rem; }
@media (max-width: 32rem) { th[scope=row] { white-space: normal; } } a { color: var(--link); }
"""


@dataclass(frozen=True)
class Report:
    """What a page is made of. words: flags in sentences; at: points to predict, (m,d)."""

    path: Path
    found: Fitted
    y: str
    level: float
    command: str
    at: np.ndarray

    @property
    def fit(self) -> Fit:
        return self.found.fit

    @property
    def names(self) -> list[str]:
        return self.found.chosen.x

    @property
    def law(self) -> Law:
        law = self.fit.law
        return law.base if isinstance(law, Grouped) else law

    @cached_property
    def shown(self) -> dict[str, Interval]:
        """Parameters with intervals; without a value where the data leave them free."""
        return self.fit.shown(self.level)

    @property
    def known(self) -> bool:
        """Whether the data identify every parameter."""
        return not any(np.isnan(one.value) for one in self.shown.values())

    @cached_property
    def advice(self) -> list[Note]:
        """The fit's flags; after the intervals, which may move it."""
        return self.fit.advice if self.shown else []

    @property
    def rows(self) -> list[str]:
        """What the fitted rows are called: counted from 1, as flags do, with their line."""
        places = enumerate(self.found.chosen.places, 1)
        return [f"{i}{place[place.find(' (') :] if '(' in place else ''}" for i, place in places]

    def parts(self) -> dict[str, Fit]:
        """A fit for each curve; one without a name if there are no groups."""
        return {label: self.fit[label] for label in self.fit.labels} or {"": self.fit}

    @cached_property
    def optima(self) -> list[Optimum] | None:
        """The frontier over the budgets of the runs and ten times beyond; None without one."""
        rising = isinstance(self.law, PowerSum) and self.law.rising
        if self.fit.labels or self.law.variables != ("N", "D") or not self.known or rising:
            return None
        n, d = self.fit.curve.x.T
        compute = 6 * n * d
        stated = [float(np.median(compute[rows])) for rows in budgets_of(compute) if len(rows) >= 3]
        if len(stated) < 2:  # no design by budgets: some over the range of the runs
            low, high = np.log10(compute.min()), np.log10(compute.max())
            stated = (10 ** np.linspace(low, high, 4)).tolist()
        some = np.unique(np.linspace(0, len(stated) - 1, min(len(stated), 4)).round().astype(int))
        budgets = [*(stated[i] for i in some), 10 * stated[-1]]
        return frontier(self.fit, budgets, level=self.level)


def page(report: Report) -> str:
    """The whole page as text."""
    title = f"{report.law.name} law on {report.path.name}"
    blocks = [
        f"<h1>{safe(title)}</h1>",
        _lead(report),
        *_flags(report),
        "<h2>The law</h2>",
        _formula(report),
        _parameters(report),
        "<h2>The fit</h2>",
        *_pictures(report),
        "<h2>What the law leaves over</h2>",
        _residuals(report),
        *_answers(report),
        "<h2>The runs</h2>",
        *_runs(report),
        "<h2>How this page was made</h2>",
        *_made(report),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{safe(title)}</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(blocks)
        + "\n</main></body></html>\n"
    )


def write(report: Report, out: Path) -> None:
    """The page in a file.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        out.write_text(page(report), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{str(out)!r} cannot be written: {error.strerror or error}.") from error


def _table(head: Sequence[str], body: Sequence[Sequence[str]], caption: str, numbers: int) -> str:
    """Rows of cells; all columns from `numbers` on are numbers. Scrolls where it is too large."""
    mark = [' class="number"' if j >= numbers else "" for j in range(len(head))]
    tops = "".join(f'<th scope="col"{m}>{safe(h)}</th>' for h, m in zip(head, mark, strict=True))
    rows = "\n".join(
        "<tr>"
        + "".join(
            f'<th scope="row"{m}>{safe(c)}</th>' if not j else f"<td{m}>{safe(c)}</td>"
            for j, (c, m) in enumerate(zip(row, mark, strict=True))
        )
        + "</tr>"
        for row in body
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{safe(caption)}"><table>'
        f"<caption>{safe(caption)}</caption><thead><tr>{tops}</tr></thead>"
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def _loss(value: float) -> str:
    return cell(value, "#.4g" if abs(value) < 1000 else ".4g")


def _size(value: object) -> str:
    """A cell of a table of runs: words, whole numbers, others."""
    if not isinstance(value, int | float):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e7:
        return f"{value:,.0f}"
    return brief(value) if abs(value) >= 1e7 else _loss(value)


def _span(one: Interval) -> str:
    return f"{cell(one.low)} to {cell(one.high)}"


def _paragraph(text: str, kind: str = "") -> str:
    return f"<p{f' class={kind!r}' if kind else ''}>{safe(text)}</p>"


def _lead(report: Report) -> str:
    """What the fit says, in words."""
    words = [f"{report.fit.n:,} runs of {report.y} against {' and '.join(report.names)}."]
    if report.law.name in ("power", "shifted") and report.known:
        what = report.y if report.law.name == "power" else f"what {report.y} has above its floor"
        shared = isinstance(report.fit.law, Grouped) and "k" in report.fit.law.shared
        for label in list(report.parts())[: 1 if shared else None]:
            k = report.shown[f"k[{label}]" if label else "k"]
            if np.isnan(k.value):
                continue
            factor, low, high = (cell(10**-v) for v in (k.value, k.high, k.low))
            words.append(
                f"{f'{label}: ' if label and not shared else ''}Ten times {report.names[0]} "
                f"multiplies {what} by {factor} ({low} to {high})."
            )
    return _paragraph(" ".join(words))


def _flags(report: Report) -> list[str]:
    """The flags of the columns in sentences; those of the fit with their codes and next steps."""
    blocks = [_paragraph(s, "flag") for told in report.found.columns.values() for s in told]
    for note in report.advice:
        blocks.append(
            f'<p class="flag"><b>{safe(note.code)}</b>: {safe(note.sentence)}. '
            f"<em>Next: {safe(note.step)}.</em></p>"
        )
    if not blocks:
        return [
            _paragraph("No flag was raised. The residuals below are worth a look all the same.")
        ]
    return ["<h2>Before you use these numbers</h2>", *blocks]


def _formula(report: Report) -> str:
    blocks = [f'<p class="formula">{safe(formula(report.law))}</p>']
    for label, one in report.parts().items() if report.known else ():
        shown = filled(report.law, one.params, report.names, report.y)
        if shown is not None:
            text = f"{label}: {shown}" if label else shown
            blocks.append(f'<p class="formula">{safe(text)}</p>')
    blocks.append(_paragraph(f"The law {report.law.name}: {use(report.law)}.", "small"))
    meant = [
        f"{v} is {name}" for v, name in zip(report.law.variables, report.names, strict=True)
        if v != name
    ]  # fmt: skip
    if meant:
        blocks.append(_paragraph(f"Here {', '.join(meant)}.", "small"))
    return "\n".join(blocks)


def _parameters(report: Report) -> str:
    fit, held = report.fit, report.fit.settings.fixed
    body = []
    for name in fit.law.names:
        one = report.shown[name]
        span = ["held", "fixed"] if name in held else [_span(one), one.method]
        known = name in held or not np.isnan(one.value)
        value = cell(held.get(name, one.value)) if known else "not identified"
        body.append([name, value, *span])
    objective = fit.settings.objective
    on = f"the {objective.residual} of " if objective.residual != "identity" else ""
    caption = f"Parameters by {MEANS[objective.loss]} on {on}{report.y}"
    head = ["parameter", "estimate", f"{report.level:.0%} interval", "method"]
    return _table(head, body, caption, 1)


def _pictures(report: Report) -> list[str]:
    if len(report.law.variables) == 1:
        drawn = [pictures.curves(report.parts(), report.names[0], report.y, report.level)]
    elif report.fit.labels:
        drawn = []
    elif len(report.law.variables) == 2 and report.known and not report.law.may_be_zero:
        drawn = [pictures.surface(report.fit, report.names, report.y)]
    else:
        drawn = [pictures.against(report.fit, report.y)]
    if (optima := report.optima) is not None:
        drawn.append(pictures.valleys(report.fit, report.names, report.y, optima))
    return [_figure(one) for one in drawn]


def _figure(one: pictures.Drawing) -> str:
    return f"<figure>{one.svg}<figcaption>{safe(one.alt)}</figcaption></figure>"


def _residuals(report: Report) -> str:
    parts = report.parts()
    places, fit = [], report.fit
    if isinstance(fit.law, Grouped):
        for _, rows, _ in fit.law.split(fit.curve.x):
            places.append([report.rows[i] for i in np.arange(fit.n)[rows]])
    else:
        places.append(report.rows)
    return _figure(pictures.residuals(parts, report.names, places))


def _answers(report: Report) -> list[str]:
    blocks = []
    for label, curve in report.parts().items() if len(report.at) else ():
        _, rows = predictions(curve, report.at, report.names, report.y, report.level)
        body = [
            [name, _loss(at.value), f"{_loss(at.low)} to {_loss(at.high)}"]
            for name, at in rows.items()
        ]
        head = ["what", report.y, f"{report.level:.0%} interval"]
        blocks.append(_table(head, body, f"Predictions{f' of {label}' if label else ''}", 1))
    if (optima := report.optima) is not None:
        body = []
        for one in optima:
            inside = "beyond the runs" if one.extrapolated else "yes"
            body.append([
                brief(one.budget), brief(one.n.value),
                f"{brief(one.n.low)}–{brief(one.n.high)}", brief(one.d.value),
                f"{one.ratio:.3g}", _loss(one.loss.value), inside if one.interior else "no",
            ])  # fmt: skip
        short = [name if name.isidentifier() else v
                 for v, name in zip(report.law.variables, report.names, strict=True)]  # fmt: skip
        n, d = short
        head = ["C = 6ND", n, f"{report.level:.0%} interval", d, f"{d} per {n}", report.y, "inside"]
        blocks.append(_table(head, body, "Compute-optimal sizes by the law", 1))
    blocks += _ratios(report)
    return ["<h2>What it predicts</h2>", *blocks] if blocks else []


def _ratios(report: Report) -> list[str]:
    """Of two curves of one variable: how much of the second equals one of the first."""
    curves = report.parts()
    joint = any(one.part_of is not None and one.draws_phi is None for one in curves.values())
    if len(curves) != 2 or len(report.law.variables) != 1 or joint:
        return []
    (a, first), (b, second) = curves.items()
    size, body = report.names[0], []
    for at in np.geomspace(second.curve.x.min(), second.curve.x.max(), 3):
        found = equivalence(second, first, float(at), level=report.level)
        known = found.case != "unidentified"
        body.append([
            brief(at), _loss(found.loss), brief(found.n_real) if known else "not identified",
            cell(found.ratio.value) if known else "not identified", _span(found.ratio), found.case,
        ])  # fmt: skip
    head = [f"{size} of {b}", report.y, f"{size} of {a}", "ratio", f"{report.level:.0%} interval",
            "case"]  # fmt: skip
    return [_table(head, body, f"How much of {b} equals one of {a} at equal {report.y}", 0)]


def _runs(report: Report) -> list[str]:
    fit, chosen = report.fit, report.found.chosen
    n = len(chosen.places)
    fitted = np.full(n, np.nan)
    if isinstance(fit.law, Grouped):
        for _, rows, label in fit.law.split(fit.curve.x):
            fitted[rows] = fit[label].mean(fit[label].curve.x)
    else:
        fitted = fit.mean(fit.curve.x)
    extra = [name for name in chosen.data if name not in (*report.names, report.y)]
    columns = [chosen.data[name] for name in (*extra, *report.names, report.y)]
    body = []
    for i in range(min(n, MOST_ROWS)):
        above = signed(f"{100 * (columns[-1][i] / fitted[i] - 1):+.2f} %")
        cells = [_size(c[i] if isinstance(c[i], str) else float(c[i])) for c in columns]
        body.append([report.rows[i], *cells, _loss(float(fitted[i])), above])
    head = ["run", *extra, *report.names, report.y, "by the law", "above it"]
    caption = f"{n} runs" if n <= MOST_ROWS else f"The first {MOST_ROWS} of {n:,} runs"
    return [
        *(_paragraph(note) for note in chosen.notes),
        _table(head, body, caption, 1 + len(extra)),
    ]


def _made(report: Report) -> list[str]:
    parts = [f"dataworth {__version__}", f"Python {platform.python_version()}"]
    parts += [f"{name} {version(name)}" for name in ("numpy", "scipy", "matplotlib")]
    blocks = [
        f"<pre><code>{safe(report.command)}</code></pre>",
        _paragraph(", ".join(parts) + "."),
    ]
    if report.path.is_file():
        digest = sha256(report.path.read_bytes()).hexdigest()
        blocks.append(_paragraph(f"SHA-256 of {report.path.name}: {digest}.", "small"))
    return blocks
