"""Commands `fit`, `ratio` and `frontier` of the `dataworth` program, and those of `cli_more`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from dataworth.errors import UserError

from . import cli_more, picture
from .about import brief
from .command import AsJson, Level, Runs, at_points, fits, fitted, predictions, show
from .equivalence import equivalence
from .frontier import Cost, frontier
from .grouped import Grouped
from .numerals import number
from .values import Interval


@fits()
def fit_command(
    runs: Runs,
    options: dict[str, Any],
    group: Annotated[str | None, typer.Option(help="Column that separates curves.")] = None,
    shared: Annotated[str, typer.Option(help="Parameters common to all curves.")] = "",
    level: Level = 0.95,
    as_json: AsJson = False,
    plot: Annotated[Path | None, typer.Option(help="Write a picture (.svg, .png, .pdf).")] = None,
    save: Annotated[Path | None, typer.Option(help="Write the whole fit as JSON.")] = None,
    predict: Annotated[
        list[str] | None,
        typer.Option(help="Losses there: 1e9, or N=1e9,D=2e10; may be repeated."),
    ] = None,
) -> None:
    """Fit a scaling law to a table of runs; parameters with intervals."""
    common = [name for name in shared.split(",") if name]
    found = fitted(runs, options | {"group": group, "shared": common})
    result = found.fit
    base = result.law.base if isinstance(result.law, Grouped) else result.law
    points = at_points(predict or (), base, found.chosen.x, "--predict")
    try:
        if save is not None:
            result.to_json(save)
        if plot is not None:
            from matplotlib.figure import Figure  # pyplot would cost as much again

            figure = Figure()
            picture.panels(result, figure, level)
            figure.subplots_adjust(0.14, 0.11, 0.97, 0.97, hspace=0.08)
            figure.savefig(plot)
    except (OSError, ValueError) as error:  # no such folder, no such picture format
        raise UserError(f"{str(plot or save)!r} cannot be written: {error}.") from error
    rows = result.shown(level)
    record = result.summary(level, rows) | found.record()
    for name in result.settings.fixed:
        held = result.settings.fixed[name]
        rows[name] = Interval(held, held, held, level, "fixed")
        record["parameters"][name] = asdict(rows[name])
    if len(points):
        curves = {label: result[label] for label in result.labels} or {"": result}
        record["predictions"] = []
        for label, one in curves.items():
            told, shown = predictions(one, points, found.chosen.x, found.chosen.y, level)
            record["predictions"] += [{"curve": label} | p if label else p for p in told]
            rows |= {f"{name} [{label}]" if label else name: at for name, at in shown.items()}
    show(record, f"{result.law.name} law, n = {result.n}", rows, as_json)


@fits("weights", "device", law="shifted")
def ratio_command(
    first: Annotated[Path, typer.Argument(metavar="A", help="Table of the runs on A, real data.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Table of the runs on B.")],
    options: dict[str, Any],
    at: Annotated[float | None, typer.Option("--at-b", "--at", help="Size of B.")] = None,
    at_real: Annotated[float | None, typer.Option("--at-a", "--at-real", help="Size of A.")] = None,
    at_loss: Annotated[float | None, typer.Option(help="Loss.")] = None,
    names: Annotated[str, typer.Option(help="A,B in words; the files' names if not given.")] = "",
    unit: Annotated[str, typer.Option(help="What is counted, such as token.")] = "example",
    level: Level = 0.95,
    as_json: AsJson = False,
) -> None:
    """Examples (or tokens) of B that equal one of A at equal loss, with an interval."""
    called = [name.strip() for name in names.split(",")] if names else [first.stem, second.stem]
    if len(called) != 2 or not all(called) or called[0] == called[1]:
        if names:
            raise UserError(f"--names is {names!r}; two different names A,B are needed.")
        called = ["A", "B"]
    # the two tables are independent, so their resamples must be too
    a = fitted(first, options | {"seed": options["seed"] + 1})
    b = fitted(second, options)
    found = equivalence(b.fit, a.fit, at, at_real=at_real, at_loss=at_loss, level=level)
    record: dict[str, Any] = {"a": called[0], "b": called[1], "unit": unit} | asdict(found)
    for name in ("share_zero", "share_undefined", "ratio_draws"):
        del record[name]
    sides = {called[1]: b.record(), called[0]: a.record()}
    record["flags"] = [f"{side}:{flag}" for side, one in sides.items() for flag in one["flags"]]
    for name in ("warnings", "notes"):
        record[name] = [f"{side}: {told}" for side, one in sides.items() for told in one[name]]
    rows = {"average": found.ratio, "marginal": found.marginal}
    told = {
        "compared at": f"{found.n_synthetic:.5g} of {called[1]} and {found.n_real:.5g} of "
        f"{called[0]}, loss {found.loss:.4g}",
        "case": found.case,
    }
    words = told | {name: record[name] for name in ("flags", "warnings", "notes")}
    show(record, f"{unit}s of {called[1]} per {unit} of {called[0]}", rows, as_json, words)


@fits("residual", "weights", "device", law="chinchilla", x="N,D", y="loss", loss="huber")
def frontier_command(
    runs: Runs,
    budget: Annotated[list[float], typer.Option(help="Compute budget; may be repeated.")],
    options: dict[str, Any],
    cost: Annotated[str, typer.Option(help="factor,a,b of C = factor N^a D^b.")] = "6,1,1",
    served: Annotated[
        str, typer.Option(help="Tokens to serve after training, 2T: the budget pays 2 N for each.")
    ] = "0",
    level: Level = 0.95,
    as_json: AsJson = False,
) -> None:
    """Compute-optimal sizes N and D for each budget, with intervals."""
    tokens = number(served, "--served")
    if tokens < 0:
        raise UserError(f"--served is {served!r}; a number of tokens, 0 or more, is needed.")
    try:
        factor, a, b = (float(v) for v in cost.split(","))
        price = Cost(factor, a, b, served=tokens)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"--cost is {cost!r}; three positive numbers factor,a,b are needed."
        ) from error
    found = fitted(runs, options)
    optima = frontier(found.fit, budget, cost=price, level=level)
    rows: dict[str, Interval] = {}
    records = []
    for one in optima:
        parts = {"N": one.n, "D": one.d, "loss": one.loss}
        rows |= {f"{name} at {one.budget:g}": interval for name, interval in parts.items()}
        records.append({
            "budget": one.budget, **{name: asdict(interval) for name, interval in parts.items()},
            "interior": one.interior, "extrapolated": one.extrapolated,
        })  # fmt: skip
    record = {"law": options["law"], "served": price.served, **found.record(), "optima": records}
    title = "compute-optimal sizes"
    if price.served:
        title += f", with {brief(price.served)} tokens to serve"
    show(record, title, rows, as_json)


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    quiet = np.errstate(all="ignore")  # what is not finite is flagged, rejected or null
    app.command("fit")(quiet(fit_command))
    app.command("ratio")(quiet(ratio_command))
    app.command("frontier")(quiet(frontier_command))
    for name, command in cli_more.COMMANDS.items():
        app.command(name)(quiet(command))
