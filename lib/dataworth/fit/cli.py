"""Commands `fit`, `ratio` and `frontier` of the `dataworth` program."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from dataworth.design import three_sizes
from dataworth.display import say, table
from dataworth.errors import UserError

from .equivalence import equivalence
from .frontier import Cost, frontier
from .model import Fit, Interval, fit
from .table import far_off, read_csv

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


FLAGS = {
    "at_bound": "a parameter ended at the edge of what the law allows",
    "constant_y": "all losses are equal: there is no curve",
    "duplicated_rows": "rows occur twice: they are counted twice",
    "few_rows": "under three rows a parameter: a misfit of the law does not show",
    "lack_of_fit": "the law misses the means of repeated sizes by more than their noise",
    "no_interval": "this loss has no interval without --bootstrap",
    "not_converged": "the search did not converge: do not use these numbers",
    "saturated": "as many parameters as sizes: the law passes through all means, nothing tests it",
    "unconverged_draws": "more than 1 % of the resamples did not converge",
    "unidentified": "the data do not identify all parameters: some of them may take any value",
    "unidentified_draws": "more than 1 % of the resamples do not identify all parameters",
}
"""What a flag of a fit says; any other is X_at_zero."""


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


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN; null stands for both."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


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
        typer.echo(json.dumps(_finite(record), indent=1, allow_nan=False))
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
    result, flags, words = _fit(
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
    record = result.summary(level) | {"flags": flags, "warnings": words}
    _show(record, f"{law} law, n = {result.n}", rows, as_json)


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
    first, first_flags, first_words = _fit(synthetic, seed=seed, **options)
    second, second_flags, second_words = _fit(real, seed=seed + 1, **options)
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
        "flags": [*(f"synthetic:{f}" for f in first_flags), *(f"real:{f}" for f in second_flags)],
        "warnings": [
            *(f"synthetic: {w}" for w in first_words),
            *(f"real: {w}" for w in second_words),
        ],
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
    result, flags, words = _fit(
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
        "flags": flags,
        "warnings": words,
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
    quiet = np.errstate(all="ignore")  # what is not finite is flagged, refused or null
    app.command("fit")(quiet(fit_command))
    app.command("ratio")(quiet(ratio_command))
    app.command("frontier")(quiet(frontier_command))
