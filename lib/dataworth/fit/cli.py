"""Commands `fit`, `ratio` and `frontier` of the `dataworth` program."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from dataworth.design import three_sizes
from dataworth.display import say, table
from dataworth.errors import UserError

from .diagnostics import FLAGS
from .equivalence import equivalence
from .frontier import Cost, frontier
from .model import fit
from .result import Fit
from .table import far_off, finite, read_csv
from .values import Interval

# options of a fit, for every command that makes one: type, default, help
OPTIONS: dict[str, tuple[Any, Any, str]] = {
    "law": (str, "power", "Law, such as power, shifted, chinchilla."),
    "x": (str, "x", "Column(s) of the law's variables, comma separated."),
    "y": (str, "y", "Column of the loss."),
    "loss": (str, "l2", "l2, huber, lad, student or chinchilla."),
    "delta": (float | None, None, "Width of the loss; adaptive if not given."),
    "residual": (str, "log", "log, identity or logit."),
    "weights": (str | None, None, "Column of the weights."),
    "cluster": (str | None, None, "Column of the clusters."),
    "bootstrap": (int, 0, "Resamples; 0 takes profile intervals."),
    "resample": (str | None, None, "case, cluster or wild."),
    "seed": (int, 0, "Seed of the resamples."),
    "device": (str | None, None, "torch device of the refits, such as cuda; numpy if not given."),
}
Level = Annotated[float, typer.Option(help="Level of the intervals.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON also in a terminal.")]


def fits(*without: str, **defaults: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command that also takes `OPTIONS`, but for those in `without`, and finds them in its
    argument `options`. defaults: its own, where they differ."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        names = [name for name in OPTIONS if name not in without]

        def run(**given: Any) -> None:
            command(options={name: given.pop(name) for name in names}, **given)

        signature = inspect.signature(command, eval_str=True).parameters.values()
        own = [p.replace(kind=p.KEYWORD_ONLY) for p in signature if p.name != "options"]
        added = []
        for name in names:
            kind, default, text = OPTIONS[name]
            added.append(inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(name, default),
                annotation=Annotated[kind, typer.Option(help=text)],
            ))  # fmt: skip
        first = [p for p in own if p.default is p.empty]
        rest = [p for p in own if p.default is not p.empty]
        run.__signature__ = inspect.Signature([*first, *added, *rest])  # type: ignore[attr-defined]
        run.__doc__ = command.__doc__
        return run

    return decorate


def _fit(path: Path, **options: Any) -> tuple[Fit, list[str], list[str]]:
    """The fit of a table, its flags, and what they say in words."""
    options["x"] = [name.strip() for name in options["x"].split(",")]
    result = fit(read_csv(path), **options)
    c = result.curve
    axes = dict(zip(options["x"], c.x[:, : len(options["x"])].T, strict=True))
    found = {"far_off": [far_off(v[v > 0], n) for n, v in [*axes.items(), (options["y"], c.y)]]}
    found["three_sizes"] = [three_sizes(v) for v in axes.values()]
    flags, words = list(result.flags), []
    for flag, sentences in found.items():
        if given := [sentence for sentence in sentences if sentence]:
            flags.append(flag)
            words += given
    for flag in result.flags:
        told = FLAGS.get(flag.partition("[")[0], "this parameter is estimated at zero")
        words.append(f"{flag}: {told}.")
    return result, flags, words


def _show(record: dict[str, Any], title: str, rows: dict[str, Interval], as_json: bool) -> None:
    """A table in a terminal, JSON in a pipe or on request."""
    if as_json or not sys.stdout.isatty():
        typer.echo(json.dumps(finite(record), indent=1, allow_nan=False))
        return
    level = next(iter(rows.values())).level
    body = [
        [name, *(f"{v:.6g}" for v in (one.value, one.low, one.high)), one.method]
        for name, one in rows.items()
    ]
    table(["", "estimate", f"{level:.0%} low", "high", "method"], body, title)
    for name, value in record.items():
        if name == "warnings":
            for sentence in value:
                say(sentence)
        elif isinstance(value, list) and all(isinstance(v, str) for v in value):
            value = ", ".join(value) or "none"
        if isinstance(value, str | int | float):
            say(f"{name}: {value}")


@fits()
def fit_command(
    runs: Annotated[Path, typer.Argument(help="CSV file with one row a run.")],
    options: dict[str, Any],
    group: Annotated[str | None, typer.Option(help="Column that separates curves.")] = None,
    shared: Annotated[str, typer.Option(help="Parameters common to all curves.")] = "",
    level: Level = 0.95,
    as_json: AsJson = False,
    plot: Annotated[Path | None, typer.Option(help="Write a picture (.svg, .png, .pdf).")] = None,
    save: Annotated[Path | None, typer.Option(help="Write the whole fit as JSON.")] = None,
) -> None:
    """Fit a scaling law to a table of runs; parameters with intervals."""
    common = [name for name in shared.split(",") if name]
    result, flags, words = _fit(runs, group=group, shared=common, **options)
    try:
        if save is not None:
            result.to_json(save)
        if plot is not None:
            import matplotlib

            matplotlib.use("Agg")
            result.plot().figure.savefig(plot)  # type: ignore[union-attr]
    except (OSError, ValueError) as error:  # no such folder, no such picture format
        raise UserError(f"{str(plot or save)!r} cannot be written: {error}.") from error
    rows = {name: result.interval(name, level) for name in result.law.names}
    record = result.summary(level) | {"flags": flags, "warnings": words}
    _show(record, f"{result.law.name} law, n = {result.n}", rows, as_json)


@fits("weights", "device", law="shifted")
def ratio_command(
    real: Annotated[Path, typer.Argument(help="CSV file of the runs on real data.")],
    synthetic: Annotated[Path, typer.Argument(help="CSV file of the runs on synthetic data.")],
    options: dict[str, Any],
    at: Annotated[float | None, typer.Option(help="Number of synthetic examples.")] = None,
    at_real: Annotated[float | None, typer.Option(help="Number of real examples.")] = None,
    at_loss: Annotated[float | None, typer.Option(help="Loss.")] = None,
    level: Level = 0.95,
    as_json: AsJson = False,
) -> None:
    """Synthetic examples that equal one real example at equal loss, with an interval."""
    # the two tables are independent, so their resamples must be too
    first, first_flags, first_words = _fit(synthetic, **options)
    second, second_flags, second_words = _fit(real, **options | {"seed": options["seed"] + 1})
    found = equivalence(first, second, at, at_real=at_real, at_loss=at_loss, level=level)
    record = asdict(found)
    for name in ("share_zero", "share_undefined", "ratio_draws"):
        del record[name]
    record["flags"] = [f"synthetic:{f}" for f in first_flags] + [f"real:{f}" for f in second_flags]
    record["warnings"] = [f"synthetic: {w}" for w in first_words]
    record["warnings"] += [f"real: {w}" for w in second_words]
    rows = {"average": found.ratio, "marginal": found.marginal}
    _show(record, "synthetic examples per real example", rows, as_json)


@fits("residual", "weights", "device", law="chinchilla", x="N,D", y="loss", loss="huber")
def frontier_command(
    runs: Annotated[Path, typer.Argument(help="CSV file with one row a run.")],
    budget: Annotated[list[float], typer.Option(help="Compute budget; may be repeated.")],
    options: dict[str, Any],
    cost: Annotated[str, typer.Option(help="factor,a,b of C = factor N^a D^b.")] = "6,1,1",
    level: Level = 0.95,
    as_json: AsJson = False,
) -> None:
    """Compute-optimal sizes N and D for each budget, with intervals."""
    try:
        price = Cost(*(float(v) for v in cost.split(",")))
    except (ValueError, TypeError) as error:
        raise UserError(
            f"--cost is {cost!r}; three positive numbers factor,a,b are needed."
        ) from error
    result, flags, words = _fit(runs, **options)
    optima = frontier(result, budget, cost=price, level=level)
    rows: dict[str, Interval] = {}
    records = []
    for one in optima:
        parts = {"N": one.n, "D": one.d, "loss": one.loss}
        rows |= {f"{name} at {one.budget:g}": interval for name, interval in parts.items()}
        records.append({
            "budget": one.budget, **{name: asdict(interval) for name, interval in parts.items()},
            "interior": one.interior, "extrapolated": one.extrapolated,
        })  # fmt: skip
    record = {"law": options["law"], "flags": flags, "warnings": words, "optima": records}
    _show(record, "compute-optimal sizes", rows, as_json)


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    quiet = np.errstate(all="ignore")  # what is not finite is flagged, rejected or null
    app.command("fit")(quiet(fit_command))
    app.command("ratio")(quiet(ratio_command))
    app.command("frontier")(quiet(frontier_command))
