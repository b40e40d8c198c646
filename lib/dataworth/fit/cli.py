"""Commands `fit`, `ratio` and `frontier` of the `dataworth` program."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from dataworth.errors import UserError

from .command import AsJson, Level, Runs, fits, fitted, show
from .equivalence import equivalence
from .frontier import Cost, frontier
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
) -> None:
    """Fit a scaling law to a table of runs; parameters with intervals."""
    common = [name for name in shared.split(",") if name]
    found = fitted(runs, options | {"group": group, "shared": common})
    result = found.fit
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
    record = result.summary(level) | found.record()
    show(record, f"{result.law.name} law, n = {result.n}", rows, as_json)


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
    first = fitted(synthetic, options)
    second = fitted(real, options | {"seed": options["seed"] + 1})
    found = equivalence(first.fit, second.fit, at, at_real=at_real, at_loss=at_loss, level=level)
    record = asdict(found)
    for name in ("share_zero", "share_undefined", "ratio_draws"):
        del record[name]
    sides = {"synthetic": first.record(), "real": second.record()}
    record["flags"] = [f"{side}:{flag}" for side, one in sides.items() for flag in one["flags"]]
    for name in ("warnings", "notes"):
        record[name] = [f"{side}: {told}" for side, one in sides.items() for told in one[name]]
    rows = {"average": found.ratio, "marginal": found.marginal}
    show(record, "synthetic examples per real example", rows, as_json)


@fits("residual", "weights", "device", law="chinchilla", x="N,D", y="loss", loss="huber")
def frontier_command(
    runs: Runs,
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
    record = {"law": options["law"], **found.record(), "optima": records}
    show(record, "compute-optimal sizes", rows, as_json)


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    quiet = np.errstate(all="ignore")  # what is not finite is flagged, rejected or null
    app.command("fit")(quiet(fit_command))
    app.command("ratio")(quiet(ratio_command))
    app.command("frontier")(quiet(frontier_command))
