"""Commands that go on from a fit: laws, compare-laws, forecast, more-runs and others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from dataworth.arrays import Array
from dataworth.errors import UserError, quoted

from . import forms
from .about import about, all_laws, brief
from .chain import Chain
from .command import (
    FIT,
    AsJson,
    Fitted,
    Level,
    Runs,
    at_points,
    called,
    fits,
    fitted,
    law_names,
    pairs,
    predictions,
    show,
    show_rows,
    spelled,
    table_of,
)
from .designs import half_width_after, more_runs
from .extrapolate import Forecast, Score, compare, forecast, rolling_origin
from .frontier import allocation_exponent, frontier
from .isoflop import Valley, isoflop
from .model import fit
from .result import Fit
from .values import Interval

MOST_DESIGNS = 12  # rows of a table of designs


def laws_command(
    name: Annotated[
        str | None,
        typer.Argument(help="One law; all if not given.", autocompletion=law_names),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The laws: formula, variables with their units, parameters."""
    if name is None:
        found = all_laws()
        body = [[one["law"], ",".join(v["name"] for v in one["variables"]), one["formula"]]
                for one in found]  # fmt: skip
        show_rows({"laws": found}, "laws", ["law", "--x", "formula"], body, as_json)
        return
    one = about(forms.get(name))
    body = [[v["name"], v["means"]] for v in one["variables"]]
    body += [[p["name"], f"{p['means']}, {p['low']:g} to {p['high']:g}"] for p in one["parameters"]]
    words = {"use": one["use"], "different sizes needed, at least": one["least_sizes"]}
    show_rows(one, one["formula"], ["", "what it is"], body, as_json, words)


@fits("law", "device", "bootstrap", "resample", "seed", "fixed", "tied")
def compare_laws_command(
    runs: Runs,
    options: dict[str, Any],
    laws: Annotated[
        str, typer.Option(help="Laws of the same variables, parted by commas.")
    ] = "power,shifted,m3",
    as_json: AsJson = False,
) -> None:
    """Which law the runs speak for: AICc, and errors beyond the data fitted."""
    names = [name.strip() for name in laws.split(",")]
    if len(names) < 2:
        raise UserError(
            f"--laws is {quoted(laws)}; two laws or more are needed, such as power,shifted."
        )
    found = fitted(runs, options | {"law": names[0]})
    scores = compare([found.fit], names[1:])
    records = [
        {name: value for name, value in vars(one).items() if name not in ("fit", "objective")}
        | {"parameters": one.fit.params, "flags": list(one.fit.flags)}
        for one in scores
    ]
    told = {one.law for one in scores}
    words = [f"{name}: left out, it has as many parameters as there are sizes, or more."
             for name in names if name not in told]  # fmt: skip
    words += _verdict(scores, found.fit.n)
    body = [
        [one.law, str(one.free), *(["-", "-"] if np.isinf(one.delta) else
         [f"{one.delta:.2f}", f"{one.weight:.2f}"]),
         "-" if np.isnan(one.rmsle) else f"{one.rmsle:.4f}"]
        for one in scores
    ]  # fmt: skip
    record = {"laws": records, **found.record()}
    record["warnings"] = [*words, *found.chosen.far_off()]
    del record["flags"]  # each law has its own
    head = ["law", "free", "AICc above best", "weight", "error beyond"]
    show_rows(record, f"laws on {found.fit.n} rows", head, body, as_json)


def _verdict(scores: Sequence[Score], rows: int) -> list[str]:
    """What a comparison says, in sentences."""
    judged = [one for one in scores if np.isfinite(one.delta)]
    close = [one.law for one in judged if one.delta < 4]
    words = []
    if len(judged) < len(scores):
        others = ", ".join(one.law for one in scores if one not in judged)
        words.append(f"{rows} rows are too few for the AICc of {others}: 3 more than a law's free "
                     "parameters are needed.")  # fmt: skip
    if len(close) > 1:
        words.append(f"The runs do not tell {' and '.join(close)} apart (AICc within 4).")
    elif len(judged) > 1:
        words.append(f"The runs speak for {close[0]} (AICc 4 or more below the others).")
    errors = {one.law: one.rmsle for one in scores if np.isfinite(one.rmsle)}
    if len(errors) > 1:
        best = min(errors, key=lambda name: errors[name])
        words.append(f"Fitted to the smaller sizes, {best} missed the larger ones least.")
    return words


@fits(*FIT)
def forecast_command(
    runs: Runs,
    options: dict[str, Any],
    at: Annotated[list[str], typer.Option(help="Sizes, 1e6,1e7; may be repeated.")],
    laws: Annotated[str, typer.Option(help="Laws to choose from, parted by commas.")] = "m4",
    recency: Annotated[str, typer.Option(help="Weights rank^r to choose from.")] = "0",
    loss: Annotated[str, typer.Option(help="l2 or huber.")] = "l2",
    level: Level = 0.95,
    as_json: AsJson = False,
) -> None:
    """Extrapolate a learning curve, with intervals."""
    chosen = table_of(runs, options)
    names = [name.strip() for name in laws.split(",")]
    try:
        powers = [float(r) for r in recency.split(",")]
    except ValueError as error:
        raise UserError(
            f"--recency is {quoted(recency)}; numbers such as 0,0.5 are needed."
        ) from error
    if any(len(forms.get(name).variables) != 1 for name in names):
        raise UserError(f"--laws is {quoted(laws)}; laws of one variable are needed.")
    points = at_points(at, forms.get("power"), chosen.x, "--at")
    found = forecast(chosen.data, x=chosen.x[0], y=chosen.y, laws=names, recency=powers, loss=loss)
    told, rows = predictions(found.fit, points, chosen.x, chosen.y, level)
    words = chosen.far_off()
    beyond = points[:, 0] > found.fit.curve.x.max()
    if beyond.any():
        try:
            allowed = _allowing(found, points, level)
        except UserError as refused:
            words.append(str(refused))
        else:
            blocks = list(rows.items())  # two rows a point
            rows = {}
            for i, (record, one) in enumerate(zip(told, allowed, strict=True)):
                rows |= dict(blocks[2 * i : 2 * i + 2])
                if beyond[i]:
                    record["allowing_for_a_wrong_law"] = asdict(one)
                    rows["  if the law may be wrong" + " " * i] = one
    try:
        back = [asdict(one) for one in rolling_origin(found.fit)]
        missed = float(np.sqrt(np.mean([one["rmsle"] ** 2 for one in back])))
        words.append(
            f"Fitted to the smaller sizes and scored on the larger ones, the law missed by "
            f"{100 * np.expm1(missed):.2g} % (root mean square)."
        )
    except UserError as refused:
        back = []
        words.append(str(refused))
    least, most = chosen.data[chosen.x[0]].min(), chosen.data[chosen.x[0]].max()
    if points.max() > 10 * most:
        words.append(
            f"{points.max():.3g} is {points.max() / most:.3g} times the largest size "
            f"({most:.3g}): intervals of the law and of a run know noise, not a bend of the curve "
            "beyond the data."
        )
    record = {
        "law": found.law, "recency": found.recency, "parameters": found.fit.params,
        "sizes": [float(least), float(most)], "predictions": told,
        "choices": [{"law": n, "recency": r, "error": e} for (n, r), e in found.scores.items()],
        "rolling_origin": back, "warnings": words, "notes": chosen.notes,
        "left_out": chosen.dropped,
    }  # fmt: skip
    show(record, f"forecast by the {found.law} law, n = {found.fit.n}", rows, as_json)


def _allowing(found: Forecast, points: Array, level: float) -> list[Interval]:
    """`Forecast.predict` at points (m,1), in intervals."""
    p = found.predict(points, level)
    ends = zip(p.mean.tolist(), p.low.tolist(), p.high.tolist(), strict=True)
    return [Interval(*one, level, "public curves") for one in ends]


@fits("device", "bootstrap", "resample", "seed")
def more_runs_command(
    runs: Runs,
    options: dict[str, Any],
    parameter: Annotated[str, typer.Option(help="The parameter to settle, such as k.")],
    half_width: Annotated[float, typer.Option(help="Half width wanted, in its unit.")],
    sizes: Annotated[
        list[str] | None,
        typer.Option(help="Sizes that can be run, 1e6,1e7 or N=1e9,D=2e10; may be repeated."),
    ] = None,
    together: Annotated[int, typer.Option(help="Most sizes of one design.", min=1, max=4)] = 2,
    most: Annotated[int, typer.Option(help="Most runs of a design.", min=1)] = 10_000,
    level: Level = 0.95,
    as_json: AsJson = False,
) -> None:
    """How many further runs, of which sizes, would narrow an interval so far."""
    found = fitted(runs, options)
    result, names = found.fit, found.chosen.x
    points = (
        at_points(sizes, result.law, names, "--sizes") if sizes else _sizes(result)
    )  # fmt: skip
    designs = [points[i : i + 1] for i in range(len(points))]
    advice = more_runs(result, parameter, half_width, designs, level=level, most=most,
                       together=together)  # fmt: skip
    now = half_width_after(result, parameter, designs, 0, level=level)
    record: dict[str, Any] = {
        "parameter": parameter, "now": result.params[parameter], "half_width_now": now,
        "half_width_wanted": half_width, "designs": [asdict(one) for one in advice],
        **found.record(),
    }  # fmt: skip
    words = []
    if not advice:
        best = min(half_width_after(result, parameter, [one], most, level=level) for one in designs)
        words.append(
            f"No design of these sizes brings the half width of {parameter} from {now:.3g} to "
            f"{half_width:.3g}: {most} runs at the best one of them leave {best:.3g}. Sizes "
            "farther from those fitted, or more of them in one design (--together), may."
        )
    elif advice[0].runs == 0:
        words.append(f"Nothing is needed: the half width of {parameter} is {now:.3g} now.")
    record["warnings"] = [*words, *record["warnings"]]
    body = [
        [str(one.runs), "; ".join(called(np.array(size), names) for size in one.sizes),
         f"{one.half_width:.3g}"]
        for one in advice[:MOST_DESIGNS]
    ]  # fmt: skip
    title = f"half width of {parameter}: {now:.3g} now"
    show_rows(record, title, ["runs", "split equally over", "half width"], body, as_json)


def _sizes(result: Fit) -> Array:
    """Corners of the table, its middle, and four times its largest size, (m,d)."""
    x = result.curve.x
    if x.shape[1] == 1:
        low, high = x.min(), x.max()
        return np.array([[low], [np.sqrt(low * high)], [high], [4 * high]])
    axes = [[column.min(), column.max(), 4 * column.max()] for column in x.T]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, x.shape[1])


@fits(*(name for name in FIT if name not in ("loss", "delta")), "x", loss="huber", y="loss")
def isoflop_command(
    runs: Runs,
    options: dict[str, Any],
    budget: Annotated[str, typer.Option(help="Column of the compute, C = 6 N D.")] = "budget",
    tokens: Annotated[str | None, typer.Option(help="Column of the training tokens.")] = None,
    params: Annotated[str | None, typer.Option(help="Column of the model's parameters.")] = None,
    level: Level = 0.95,
    as_json: AsJson = False,
) -> None:
    """Best size of each budget: parabolas, with their bias, beside a direct fit."""
    if (tokens is None) == (params is None):
        raise UserError(f"--tokens is {tokens!r} and --params is {params!r}; give one of the two.")
    size = tokens or params or ""
    kind = "tokens" if tokens else "parameters"
    size, budget = _quoted(size), _quoted(budget)
    sides = f"N={budget}/(6*{size}),D={size}" if tokens else f"N={size},D={budget}/(6*{size})"
    direct: Fitted = fitted(runs, options | {"law": "chinchilla", "x": sides, "residual": "log"})
    result = direct.fit
    n, d = result.curve.x.T
    own, compute = (d if tokens else n), 6 * n * d
    valleys = isoflop(compute, own, result.curve.y, level=level)
    budgets = [one.budget for one in valleys]
    best = frontier(result, budgets, level=level)
    truth = [one.d if tokens else one.n for one in best]
    # the same parabolas through the fitted surface itself, at the same runs and without noise
    surface = isoflop(compute, own, result.mean(result.curve.x), level=level)
    wrong = [
        there.size.value / one.value - 1 for there, one in zip(surface, truth, strict=True)
    ]  # fmt: skip
    exponents = {
        "parabolas": _exponent(valleys, level),
        "direct fit": _direct(result, tokens, level),
    }
    words = [
        f"At {one.budget:.3g} the parabola has no minimum between its runs."
        for one in valleys if not one.inside
    ]  # fmt: skip
    words.append(
        "bias: how far parabolas through the fitted law, at these runs and without noise, miss "
        "its own optimum; parabolas inherit it, the direct fit does not."
    )
    names = ("budget", "runs", f"best {kind}", f"{level:.0%} interval", "bias", "direct fit")
    body = [
        [brief(one.budget), str(one.runs), brief(one.size.value),
         f"{brief(one.size.low)}–{brief(one.size.high)}", f"{100 * b:+.1f} %",
         f"{brief(t.value)} ({brief(t.low)}–{brief(t.high)})"]
        for one, b, t in zip(valleys, wrong, truth, strict=True)
    ]  # fmt: skip
    record = {
        "of": kind,
        "budgets": [
            {**asdict(one), "bias": b, "direct": asdict(t)}
            for one, b, t in zip(valleys, wrong, truth, strict=True)
        ],
        "exponents": {name: asdict(one) if one else None for name, one in exponents.items()},
        **direct.record(),
    }
    record["warnings"] = [*words, *record["warnings"]]
    for name, one in exponents.items():
        if one is not None:
            ends = f"{one.low:.3f} to {one.high:.3f}" if not one.open else "no interval: too few"
            record["warnings"].append(f"{kind} ~ C^{one.value:.3f} by the {name} ({ends}).")
    show_rows(record, f"isoFLOP: least loss of each budget, in {kind}", names, body, as_json)


def _quoted(column: str) -> str:
    """A name or an expression as a part of another expression."""
    if column.isidentifier():
        return column
    return f"({column})" if set("`+-*/()") & set(column) else f"`{column}`"


def _exponent(valleys: Sequence[Valley], level: float) -> Interval | None:
    """a of size ~ C^a through the minima; None with fewer than two of them."""
    good = [one for one in valleys if one.inside]
    if len(good) < 2:
        return None
    table = {"C": [one.budget for one in good], "s": [one.size.value for one in good]}
    k = fit(table, law="power", x="C", y="s").interval("k", level)
    return Interval(-k.value, -k.high, -k.low, level, k.method)


def _direct(result: Fit, tokens: str | None, level: float) -> Interval:
    """a of N ~ C^a, or of D ~ C^a, which is one less it."""
    a = allocation_exponent(result, level)
    if not tokens:
        return a
    return Interval(1 - a.value, 1 - a.high, 1 - a.low, level, a.method)


@fits("weights", "device", "tied", "delta", "asymmetry", law="chinchilla", x="N,D", y="acc")
def chain_command(
    runs: Runs,
    options: dict[str, Any],
    predict: Annotated[
        list[str], typer.Option(help="Sizes, 1e9, or N=1e9,D=2e10; may be repeated.")
    ],
    via: Annotated[
        str, typer.Option(help="Column of the loss that sizes give and --y follows from.")
    ] = "loss",
    link: Annotated[
        str, typer.Option(help="Law of --y in the loss.", autocompletion=law_names)
    ] = "sigmoid",
    level: Level = 0.95,
    as_json: AsJson = False,
) -> None:
    """Accuracy from sizes in two stages, sizes to loss to accuracy, with one interval."""
    if len(forms.get(link).variables) != 1:
        raise UserError(f"--link is {link!r}; a law of one variable is needed, such as sigmoid.")
    held = pairs(options["fixed"], "--fixed")
    own = [name in forms.get(link).names for name, _ in held]
    scale_held, score_held = (
        [f"{name}={value}" for (name, value), mine in zip(held, own, strict=True) if mine is side]
        for side in (False, True)
    )
    scale = fitted(runs, options | {"y": via, "fixed": scale_held})
    second = {"law": link, "x": via, "loss": "l2", "residual": "identity", "fixed": score_held}
    score = fitted(runs, options | second)
    chain = Chain(scale.fit, score.fit)
    names, y = scale.chosen.x, score.chosen.y
    points = at_points(predict, scale.fit.law, names, "--predict")
    mean = chain.predict(points, level)
    run = chain.predict(points, level, kind="new-run")
    losses = scale.fit.predict(points, level)
    method = "percentile" if chain.draws is not None else "profile"
    rows: dict[str, Interval] = {}
    records = []
    for i, point in enumerate(points):
        told = {
            "loss": Interval(losses.mean[i], losses.low[i], losses.high[i], level, method),
            "accuracy": Interval(mean.mean[i], mean.low[i], mean.high[i], level, method),
            "one_run": Interval(mean.mean[i], run.low[i], run.high[i], level, method),
        }
        where = called(point, names) + (" (extrapolated)" if mean.extrapolated[i] else "")
        titles = (
            f"{scale.chosen.y} at {where}",
            f"{y} at {where}",
            "  one more run there" + " " * i,
        )
        rows |= dict(zip(titles, told.values(), strict=True))
        records.append({
            "at": dict(zip(scale.fit.law.variables, point.tolist(), strict=True)),
            **{name: asdict(one) for name, one in told.items()},
            "extrapolated": bool(mean.extrapolated[i]),
        })  # fmt: skip
    stages = {via: scale, y: score}
    record: dict[str, Any] = {
        "laws": [scale.fit.law.name, score.fit.law.name],
        "parameters": [one.fit.params for one in stages.values()],
        "predictions": records,
        "left_out": [one.chosen.dropped for one in stages.values()],
    }
    told_by = {stage: one.record() for stage, one in stages.items()}
    record["flags"] = [f"{stage}:{flag}" for stage, one in told_by.items() for flag in one["flags"]]
    for name in ("warnings", "notes"):
        record[name] = list(dict.fromkeys(
            f"{stage}: {told}" for stage, one in told_by.items() for told in one[name]
        ))  # fmt: skip
    words = {name: record[name] for name in ("flags", "warnings", "notes")}
    title = f"{y} by the {link} law of {via}, n = {score.fit.n}"
    show(record, title, rows, as_json, words)


@fits(law="shifted")
def report_command(
    runs: Runs,
    options: dict[str, Any],
    group: Annotated[str | None, typer.Option(help="Column that separates curves.")] = None,
    shared: Annotated[str, typer.Option(help="Parameters common to all curves.")] = "",
    predict: Annotated[
        list[str] | None, typer.Option(help="Losses there: 1e9, or N=1e9,D=2e10.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The page; RUNS-report.html if not given.")
    ] = None,
    level: Level = 0.95,
    as_json: AsJson = False,
) -> None:
    """Write one HTML page: law, intervals, pictures, flags in words."""
    from . import report

    common = [name for name in shared.split(",") if name]
    found = fitted(runs, options | {"group": group, "shared": common})
    law = found.fit.law
    points = at_points(predict or (), forms.get(options["law"]), found.chosen.x, "--predict")
    own = {"group": group, "shared": shared or None, "predict": predict, "level": level}
    page = out or Path(f"{runs.stem if str(runs) != '-' else 'runs'}-report.html")
    command = spelled("report", runs, options | own, {"law": "shifted", "level": 0.95})
    report.write(report.Report(runs, found, found.chosen.y, level, command, points), page)
    record = {"page": str(page), "law": law.name, "rows": found.fit.n, **found.record()}
    show_rows(record, "", (), (), as_json)


COMMANDS: dict[str, Callable[..., None]] = {
    "laws": laws_command,
    "compare-laws": compare_laws_command,
    "forecast": forecast_command,
    "more-runs": more_runs_command,
    "isoflop": isoflop_command,
    "chain": chain_command,
    "report": report_command,
}
"""Names of these commands in the program."""
