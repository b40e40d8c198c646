"""Commands `fit`, `ratio` and `frontier` of the `dataworth` program."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from dataworth.display import say, table
from dataworth.errors import UserError

from .equivalence import equivalence
from .frontier import Cost, frontier
from .model import Fit, Interval, fit

Table = Annotated[Path, typer.Argument(help="CSV file with one row a run.")]
LawName = Annotated[str, typer.Option(help="Law, such as power, shifted, chinchilla.")]
X = Annotated[str, typer.Option(help="Column(s) of the law's variables, comma separated.")]
Y = Annotated[str, typer.Option(help="Column of the loss.")]
Loss = Annotated[str, typer.Option(help="l2, huber, lad, student or chinchilla.")]
Delta = Annotated[float | None, typer.Option(help="Width of the loss; adaptive if not given.")]
Residual = Annotated[str, typer.Option(help="log, identity or logit.")]
Bootstrap = Annotated[int, typer.Option(help="Resamples; 0 takes profile intervals.")]
Resample = Annotated[str | None, typer.Option(help="case, cluster or wild.")]
Cluster = Annotated[str | None, typer.Option(help="Column of the clusters.")]
Weights = Annotated[str | None, typer.Option(help="Column of the weights.")]
Seed = Annotated[int, typer.Option(help="Seed of the resamples.")]
Device = Annotated[
    str | None, typer.Option(help="torch device of the refits, such as cuda; numpy if not given.")
]
Level = Annotated[float, typer.Option(help="Level of the intervals.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON also in a terminal.")]


def _read(path: Path) -> Any:
    import pandas as pd

    if not path.is_file():
        raise UserError(f"There is no file {str(path)!r}; give a CSV file with one row a run.")
    try:
        return pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{str(path)!r} is not a readable CSV file: {reason}.") from error


def _fit(path: Path, **options: Any) -> Fit:
    options["x"] = [name.strip() for name in options["x"].split(",")]
    return fit(_read(path), **options)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _record(interval: Interval) -> dict[str, Any]:
    """JSON form; null is an open (infinite) end or value."""
    return {
        "value": _number(interval.value),
        "low": _number(interval.low),
        "high": _number(interval.high),
        "level": interval.level,
        "method": interval.method,
    }


def _show(record: dict[str, Any], title: str, rows: dict[str, Interval], as_json: bool) -> None:
    """A table in a terminal, JSON in a pipe or on request."""
    if as_json or not sys.stdout.isatty():
        typer.echo(json.dumps(record, indent=1))
        return
    level = next(iter(rows.values())).level
    body = [
        [name, *(f"{v:.6g}" for v in (one.value, one.low, one.high)), one.method]
        for name, one in rows.items()
    ]
    table(["", "estimate", f"{level:.0%} low", "high", "method"], body, title)
    for name, value in record.items():
        if isinstance(value, list) and all(isinstance(v, str) for v in value):
            value = ", ".join(value) or "none"
        if isinstance(value, str | int | float):
            say(f"{name}: {value}")


def fit_command(
    runs: Table,
    law: LawName = "power",
    x: X = "x",
    y: Y = "y",
    group: Annotated[str | None, typer.Option(help="Column that separates curves.")] = None,
    shared: Annotated[str, typer.Option(help="Parameters common to all curves.")] = "",
    loss: Loss = "l2",
    delta: Delta = None,
    residual: Residual = "log",
    weights: Weights = None,
    cluster: Cluster = None,
    bootstrap: Bootstrap = 0,
    resample: Resample = None,
    seed: Seed = 0,
    device: Device = None,
    level: Level = 0.95,
    as_json: AsJson = False,
    plot: Annotated[Path | None, typer.Option(help="Write a picture (.svg, .png, .pdf).")] = None,
    save: Annotated[Path | None, typer.Option(help="Write the whole fit as JSON.")] = None,
) -> None:
    """Fit a scaling law to a table of runs; parameters with intervals."""
    result = _fit(
        runs, law=law, x=x, y=y, group=group, shared=[s for s in shared.split(",") if s],
        loss=loss, delta=delta, residual=residual, weights=weights, cluster=cluster,
        bootstrap=bootstrap, resample=resample, seed=seed, device=device,
    )  # fmt: skip
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
    _show(result.summary(level), f"{law} law, n = {result.n}", rows, as_json)


def ratio_command(
    real: Annotated[Path, typer.Argument(help="CSV file of the runs on real data.")],
    synthetic: Annotated[Path, typer.Argument(help="CSV file of the runs on synthetic data.")],
    at: Annotated[float | None, typer.Option(help="Number of synthetic examples.")] = None,
    at_real: Annotated[float | None, typer.Option(help="Number of real examples.")] = None,
    at_loss: Annotated[float | None, typer.Option(help="Loss.")] = None,
    law: LawName = "shifted",
    x: X = "x",
    y: Y = "y",
    loss: Loss = "l2",
    delta: Delta = None,
    residual: Residual = "log",
    cluster: Cluster = None,
    bootstrap: Bootstrap = 0,
    resample: Resample = None,
    seed: Seed = 0,
    level: Level = 0.95,
    as_json: AsJson = False,
) -> None:
    """Synthetic examples that equal one real example at equal loss, with an interval."""
    options = {
        "law": law, "x": x, "y": y, "loss": loss, "delta": delta, "residual": residual,
        "cluster": cluster, "bootstrap": bootstrap, "resample": resample,
    }  # fmt: skip
    # the two tables are independent, so their resamples must be too
    first, second = _fit(synthetic, seed=seed, **options), _fit(real, seed=seed + 1, **options)
    found = equivalence(first, second, at, at_real=at_real, at_loss=at_loss, level=level)
    record = {
        "ratio": _record(found.ratio),
        "marginal": _record(found.marginal),
        "case": found.case,
        "n_synthetic": _number(found.n_synthetic),
        "n_real": _number(found.n_real),
        "loss": found.loss,
        "extrapolated": found.extrapolated,
        "share_infinite": _number(found.share_infinite),
        "flags": [*(f"synthetic:{f}" for f in first.flags), *(f"real:{f}" for f in second.flags)],
    }
    rows = {"average": found.ratio, "marginal": found.marginal}
    _show(record, "synthetic examples per real example", rows, as_json)


def frontier_command(
    runs: Table,
    budget: Annotated[list[float], typer.Option(help="Compute budget; may be repeated.")],
    law: LawName = "chinchilla",
    x: X = "N,D",
    y: Y = "loss",
    cost: Annotated[str, typer.Option(help="factor,a,b of C = factor N^a D^b.")] = "6,1,1",
    loss: Loss = "huber",
    delta: Delta = None,
    cluster: Cluster = None,
    bootstrap: Bootstrap = 0,
    resample: Resample = None,
    seed: Seed = 0,
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
    result = _fit(
        runs, law=law, x=x, y=y, loss=loss, delta=delta, cluster=cluster, bootstrap=bootstrap,
        resample=resample, seed=seed,
    )  # fmt: skip
    optima = frontier(result, budget, cost=price, level=level)
    rows: dict[str, Interval] = {}
    for one in optima:
        for name, interval in (("N", one.n), ("D", one.d), ("loss", one.loss)):
            rows[f"{name} at {one.budget:g}"] = interval
    record = {
        "law": law,
        "flags": list(result.flags),
        "optima": [
            {
                "budget": o.budget, "N": _record(o.n), "D": _record(o.d), "loss": _record(o.loss),
                "interior": o.interior, "extrapolated": o.extrapolated,
            }
            for o in optima
        ],
    }  # fmt: skip
    _show(record, "compute-optimal sizes", rows, as_json)


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("fit")(fit_command)
    app.command("ratio")(ratio_command)
    app.command("frontier")(frontier_command)
