"""What the commands of `fit` have in common: options of a table and of a fit, and how an answer is
shown, as a table in a terminal and as JSON in a pipe."""

from __future__ import annotations

import inspect
import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from dataworth.arrays import Array
from dataworth.design import three_sizes
from dataworth.display import say, table
from dataworth.errors import UserError, quoted

from . import forms
from .about import brief
from .choose import Chosen, choose
from .expressions import split
from .laws import Law
from .model import fit
from .numerals import number
from .read import read
from .result import Fit
from .table import finite
from .values import Interval

# options of reading a table, and of a fit, for every command that does it: type, default, help
TABLE: dict[str, tuple[Any, Any, str]] = {
    "x": (str, "x", "Columns of the law's variables: N,D or N=params,D=C/(6*params)."),
    "y": (str, "y", "Column of the loss, or an expression such as 1-acc."),
    "where": (list[str], None, 'Rows to take, such as "state == finished"; may be repeated.'),
    "drop_missing": (bool, False, "Leave out, and count, rows without a value."),
    "sep": (str | None, None, "Separator of the cells; found if not given."),
    "decimal": (str | None, None, "Decimal mark, . or the comma; found if not given."),
}
FIT: dict[str, tuple[Any, Any, str]] = {
    "law": (str, "power", "Law, such as power or E+A*N^-alpha+B*D^-beta; see dataworth laws."),
    "loss": (str, "l2", "l2, huber, lad, student or chinchilla."),
    "delta": (float | None, None, "Width of the loss; adaptive if not given."),
    "residual": (str, "log", "log, identity or logit."),
    "asymmetry": (float, 1.0, "Weight of rows below the law; above 1 follows the best runs."),
    "weights": (str | None, None, "Column of the weights."),
    "noise": (str, "even", "even, or size: weights from a noise that varies with the variables."),
    "cluster": (str | None, None, "Column of the clusters."),
    "fixed": (list[str], None, "Parameters held at a value: E=1.6; may be repeated."),
    "tied": (list[str], None, "Parameters held equal: alpha=beta; may be repeated."),
    "bootstrap": (int, 0, "Resamples; 0 takes profile intervals."),
    "resample": (str | None, None, "case, cluster or wild."),
    "seed": (int, 0, "Seed of the resamples."),
    "device": (str | None, None, "torch device of the refits, such as cuda; numpy if not given."),
}
OPTIONS = FIT | TABLE
Level = Annotated[float, typer.Option(help="Level of the intervals.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON also in a terminal.")]
Runs = Annotated[
    Path,
    typer.Argument(help="Table with one row a run: CSV, TSV, JSON, JSON lines, Parquet, Excel."),
]


def law_names(incomplete: str) -> list[str]:
    """The laws whose name begins so, for the shell."""
    return [name for name in forms.LAWS if name.startswith(incomplete)]


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
            flag = ["--drop-missing"] if name == "drop_missing" else []
            complete = law_names if name == "law" else None
            added.append(inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(name, default),
                annotation=Annotated[kind, typer.Option(*flag, help=text, autocompletion=complete)],
            ))  # fmt: skip
        first = [p for p in own if p.default is p.empty]
        rest = [p for p in own if p.default is not p.empty]
        run.__signature__ = inspect.Signature([*first, *added, *rest])  # type: ignore[attr-defined]
        run.__doc__ = command.__doc__
        return run

    return decorate


@dataclass(frozen=True)
class Fitted:
    """A fit from the command line, the rows it stands on, and what its columns' flags say."""

    fit: Fit
    chosen: Chosen
    columns: dict[str, list[str]]

    def record(self) -> dict[str, Any]:
        """What every answer says about its table; ask last, since intervals may move a fit."""
        flags = [*self.fit.flags, *self.columns]
        words = [sentence for told in self.columns.values() for sentence in told]
        words += map(str, self.fit.advice)
        notes, dropped = self.chosen.notes, self.chosen.dropped
        return {"flags": flags, "warnings": words, "notes": notes, "left_out": dropped}


def at_points(texts: Sequence[str], law: Law, names: Sequence[str], what: str) -> Array:
    """Points (m,d) of an option that may be repeated: 1e9,2e9 for a law of one variable, else
    N=1e9,D=2e10; names: what the columns are called, which serve too.

    Raises:
        UserError: a variable is missing, occurs twice or is none of the law's.
    """
    called = dict(zip(names, law.variables, strict=True)) | {v: v for v in law.variables}
    example = ",".join(f"{v}=1e9" for v in law.variables)
    found = []
    for text in texts:
        parts = [part.rpartition("=") for part in split(text)]
        if len(law.variables) == 1:
            wrong = any(sign and called.get(name.strip()) is None for name, sign, _ in parts)
            rows = [[value] for _, _, value in parts]
        else:
            given = {called.get(name.strip()): value for name, _, value in parts}
            wrong = set(given) != set(law.variables) or len(parts) > len(given)
            rows = [[given.get(v, "") for v in law.variables]]
        if wrong:
            raise UserError(f"{what} is {quoted(text)}; write it like {what} {example}.")
        found += [[number(value, what) for value in row] for row in rows]
    if any(not value > 0 for row in found for value in row):
        raise UserError(f"{what} is {quoted(', '.join(texts))}; sizes above 0 are needed.")
    return np.array(found, float).reshape(-1, len(law.variables))


def called(point: Array, names: Sequence[str]) -> str:
    """A point in words: N = 1e9, D = 2e10."""
    return ", ".join(f"{name} = {brief(value)}" for name, value in zip(names, point, strict=True))


def table_of(path: Path, options: Mapping[str, Any], law: str = "power") -> Chosen:
    """Rows, variables and losses of the table that the options choose."""
    source = read(path, options.get("sep"), options.get("decimal"))
    return choose(
        source, forms.get(law), options["x"], options["y"],
        where=options.get("where") or (), drop_missing=options.get("drop_missing", False),
        positive=options.get("residual") != "identity", weights=options.get("weights"),
        labels=(options.get("group"), options.get("cluster")),
    )  # fmt: skip


def fitted(path: Path, options: Mapping[str, Any]) -> Fitted:
    """The fit of a table; `options` are those of `OPTIONS`, group and shared."""
    given = {name: value for name, value in options.items() if name not in TABLE}
    fixed = pairs(given.pop("fixed", None), "--fixed")
    tied = pairs(given.pop("tied", None), "--tied")
    held = {name: number(value, f"--fixed {name}") for name, value in fixed}
    chosen = table_of(path, options, options["law"])
    result = fit(chosen.data, x=chosen.x, y=chosen.y, fixed=held, tied=tied, **given)
    # in a grid of two variables three sizes of one leave degrees of freedom
    sizes = [three_sizes(chosen.data[name]) for name in chosen.x if len(chosen.x) == 1]
    found = {"far_off": chosen.far_off(), "three_sizes": [told for told in sizes if told]}
    return Fitted(result, chosen, {flag: told for flag, told in found.items() if told})


def pairs(texts: Sequence[str] | None, what: str) -> list[tuple[str, str]]:
    """Names with what stands behind their =, of an option that may be repeated.

    Raises:
        UserError: a part without = or with nothing beside it.
    """
    found = []
    for text in texts or ():
        for part in split(text):
            name, sign, value = (piece.strip() for piece in part.partition("="))
            if not (name and sign and value):
                example = "alpha=beta" if what == "--tied" else "E=1.6"
                raise UserError(f"{what} is {quoted(text)}; write it like {what} {example}.")
            found.append((name, value))
    return found


def predictions(
    one: Fit, points: Array, names: Sequence[str], y: str, level: float
) -> tuple[list[dict[str, Any]], dict[str, Interval]]:
    """Losses at points (m,d), of the law and of one further run, as records and as rows."""
    mean = one.predict(points, level)
    run = one.predict(points, level, kind="new-run")
    method = "percentile" if one.draws_phi is not None else "profile"
    records: list[dict[str, Any]] = []
    rows: dict[str, Interval] = {}
    for i, point in enumerate(points):
        value = float(mean.mean[i])
        law = Interval(value, float(mean.low[i]), float(mean.high[i]), level, method)
        new = Interval(value, float(run.low[i]), float(run.high[i]), level, method)
        outside = bool(mean.extrapolated[i])
        records.append({
            "at": dict(zip(one.law.variables, point.tolist(), strict=True)),
            "law": asdict(law), "one_run": asdict(new), "extrapolated": outside,
        })  # fmt: skip
        where = called(point, names) + (" (extrapolated)" if outside else "")
        rows |= {f"{y} at {where}": law, "  one more run there" + " " * i: new}
    return records, rows


def spelled(name: str, path: Path, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """The command line that asks for this again: options that differ from their defaults."""
    words = ["dataworth", name, str(path)]
    for option, value in given.items():
        usual = defaults.get(option, OPTIONS[option][1] if option in OPTIONS else None)
        if value == usual or value in (None, []):
            continue
        flag = "--" + option.replace("_", "-")
        for one in value if isinstance(value, list) else [value]:
            words += [flag] if one is True else [flag, str(one)]
    return shlex.join(words)


def show(
    record: dict[str, Any], title: str, rows: dict[str, Interval], as_json: bool,
    words: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """As `show_rows`, of intervals."""
    level = next(iter(rows.values())).level
    body = [
        [name, *("not identified" if v != v else f"{v:.6g}" for v in (one.value, *one)), one.method]
        for name, one in rows.items()
    ]
    head = ["", "estimate", f"{level:.0%} low", "high", "method"]
    show_rows(record, title, head, body, as_json, words)


def show_rows(
    record: dict[str, Any], title: str, head: Sequence[str], body: Sequence[Sequence[str]],
    as_json: bool, words: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Any table in a terminal, JSON in a pipe or on request. words: what to tell of the record in
    a terminal; all its words and plain values if not given."""
    if as_json or not sys.stdout.isatty():
        put_json(record)
        return
    if body:
        table(head, body, title)
    tell(record if words is None else words)


def put_json(record: Any) -> None:
    typer.echo(json.dumps(finite(record), indent=1, allow_nan=False))


def tell(record: Mapping[str, Any]) -> None:
    """The words and plain values of a record, line by line."""
    for name, value in record.items():
        if name in ("warnings", "notes"):
            for sentence in value:
                say(sentence)
        elif name == "flags":
            say(f"{name}: {', '.join(value) or 'none'}")
        elif isinstance(value, str | int | float) and not (name == "left_out" and not value):
            say(f"{name}: {value}")
