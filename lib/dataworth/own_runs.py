"""Verdicts on runs that were made elsewhere: a table of them, and claims that say which number each
is about. Nothing is trained.

A claims file is that of a chapter (`claims_file`), and every claim has one field more:

    estimate: {of: k, group: synthetic, less: real}

`of` is a parameter of the law that is fitted to each group's curve, `loss` (the law's, at the size
`at`), `measured` (the mean of the runs of this very size) or `ratio` (examples of the group for one
of `over`, at equal loss, at the group's size `at`). `less` takes the other group's number away,
`over` divides by it.
"""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from pydantic import BaseModel, ConfigDict, Field

from dataworth import claims, claims_file, stats
from dataworth.display import say
from dataworth.errors import UserError, short
from dataworth.fit.command import AsJson, Fitted, fits, fitted, put_json
from dataworth.fit.equivalence import equivalence
from dataworth.fit.result import Fit
from dataworth.images.classifiers import cross_entropy

PLACE = re.compile(r"\{(\w+)\}")
DRAWS = 1000


class Wanted(BaseModel):
    """Which number of the runs a claim is about."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    of: str
    group: str
    less: str | None = None
    over: str | None = None
    at: Annotated[float, Field(gt=0)] | None = None


class OwnStated(claims_file.Stated):
    """A claim on runs of one's own."""

    estimate: Wanted


@dataclass(frozen=True)
class OwnRuns:
    """A table of runs and the law fitted to each group of them; `by` is the column of groups."""

    found: Fitted
    by: str
    seed: int

    @property
    def fit(self) -> Fit:
        return self.found.fit

    def estimate(self, wanted: Wanted) -> stats.Estimate:
        """The number that a claim is about. Raises UserError where the runs cannot give it."""
        other = wanted.less or wanted.over
        if wanted.less and wanted.over:
            raise UserError("estimate: give less or over, not both.")
        if wanted.of == "ratio":
            if wanted.over is None or wanted.at is None:
                raise UserError("estimate: a ratio needs over, the other group, and at, a size.")
            pair = self._curve(wanted.group), self._curve(wanted.over)
            ratio = equivalence(*pair, wanted.at)
            return stats.estimate(ratio.ratio.value, ratio.ratio_draws)
        own = self._one(wanted.of, wanted.group, wanted.at)
        if other is None:
            return own
        theirs = self._one(wanted.of, other, wanted.at)
        return own.minus(theirs) if wanted.less else own.over(theirs)

    def _one(self, of: str, group: str, at: float | None) -> stats.Estimate:
        curve = self._curve(group)
        if of in ("loss", "measured") and at is None:
            raise UserError(f"estimate: {of} needs at, a size.")
        if of == "loss":
            x = np.array([[at]])
            return stats.estimate(float(curve.mean(x)[0]), curve.mean_draws(x)[:, 0])
        if of == "measured":
            return self._measured(curve, group, float(at or 0))
        if of not in curve.params:
            raise UserError(
                f"estimate: of is '{short(of)}'; it must be ratio, loss, measured or a parameter "
                f"of the law: {', '.join(curve.params)}."
            )
        return stats.estimate(curve.params[of], curve.draws[of])

    def _measured(self, curve: Fit, group: str, at: float) -> stats.Estimate:
        """Mean of the runs of a size; their spread over runs is that of Student's t."""
        values = curve.curve.y[np.isclose(curve.curve.x[:, 0], at)]
        if len(values) < 2:
            sizes = ", ".join(f"{x:g}" for x in np.unique(curve.curve.x[:, 0]))
            raise UserError(
                f"estimate: {group} has {len(values)} runs at {at:g}, and two are needed; it has "
                f"runs at {sizes}."
            )
        rng = np.random.default_rng([self.seed, *group.encode()])
        spread = values.std(ddof=1) / len(values) ** 0.5
        drawn = values.mean() + spread * rng.standard_t(len(values) - 1, DRAWS)
        return stats.estimate(float(values.mean()), drawn)

    def _curve(self, group: str) -> Fit:
        if group not in self.fit.labels:
            raise UserError(
                f"estimate: there is no group '{short(group)}' in the column '{self.by}'; it has "
                f"{', '.join(self.fit.labels)}."
            )
        return self.fit[group]

    def values(self, asked: set[str]) -> dict[str, Mapping[str, Any]]:
        """What templates may quote, by group: `{k[real]}`, a parameter of the law, and
        `{runs[real]}`."""
        curves = {group: self.fit[group] for group in self.fit.labels}
        known: dict[str, Mapping[str, Any]] = {
            name: {g: stats.estimate(c.params[name], c.draws[name]) for g, c in curves.items()}
            for name in next(iter(curves.values())).params
        }
        known["runs"] = {group: curve.n for group, curve in curves.items()}
        return {name: value for name, value in known.items() if name in asked}


def judge(runs: OwnRuns, stated: claims_file.Statements) -> claims.Judged:
    """The verdicts on all claims of a file. Raises UserError where one cannot be judged."""
    found = {}
    for id, one in stated.claims.items():
        assert isinstance(one, OwnStated)
        try:
            found[id] = runs.estimate(one.estimate)
        except UserError as error:
            line = stated.lines[id]
            raise UserError(f"{stated.shown}, line {line}: claim '{id}': {error}") from None
    asked = {
        name
        for one in stated.claims.values()
        for field in claims_file.TEMPLATES
        for name in one.asks(field) - set(claims_file.OWN)
    }
    return claims.judge(stated, found, **runs.values(asked))


def table_of_logits(pattern: str, folder: Path) -> Path:
    """A table in `folder` of the runs whose files a pattern such as `{source}-{n}-{seed}.npz`
    names: what stands in the braces, and the `loss` (cross-entropy in nats) and `error` (fraction)
    of the arrays `logits` (N, classes) and `labels` (N,). Raises UserError."""
    place, name = Path(pattern).parent, Path(pattern).name
    columns = PLACE.findall(name)
    parts = PLACE.split(name)  # text and names in turn
    form = "".join(re.escape(p) if i % 2 == 0 else f"(?P<{p}>.+?)" for i, p in enumerate(parts))
    named = [(file, found) for file in sorted(place.iterdir() if place.is_dir() else [])
             if (found := re.fullmatch(form, file.name))]  # fmt: skip
    if not named:
        raise UserError(f"RUNS: no file is called like {pattern}.")
    rows = []
    for file, found in named:
        try:
            with np.load(file) as arrays:
                logits, labels = arrays["logits"].astype(float), arrays["labels"].astype(int)
            loss = float(cross_entropy(logits, labels).mean())
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise UserError(
                f"RUNS: {file} holds no arrays logits (N, classes) and labels (N,) ({error})."
            ) from None
        rows.append([*found.groups(), loss, float((logits.argmax(1) != labels).mean())])
    path = folder / "runs.csv"
    with path.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([[*columns, "loss", "error"], *rows])
    return path


@fits("weights", "device", law="shifted", x="n", y="loss", bootstrap=DRAWS)
def verdict_command(
    runs: Annotated[
        Path,
        typer.Argument(
            help="Table with one row a run (as for fit), or a pattern of files of logits: "
            "'{source}-{n}-{seed}.npz'."
        ),
    ],
    stated: Annotated[Path, typer.Argument(metavar="CLAIMS", help="Claims on them, in YAML.")],
    options: dict[str, Any],
    by: Annotated[str, typer.Option(help="Column of the groups that are compared.")] = "source",
    as_json: AsJson = False,
    plot: Annotated[Path | None, typer.Option(help="Write a picture (.svg, .png, .pdf).")] = None,
) -> None:
    """Verdicts on claims about runs of your own; nothing is trained."""
    from dataworth.book.listings import verdict_lines

    wanted = claims_file.read(stated, str(stated), OwnStated)
    with tempfile.TemporaryDirectory() as folder:
        path = table_of_logits(str(runs), Path(folder)) if PLACE.search(runs.name) else runs
        found = OwnRuns(fitted(path, options | {"group": by, "shared": []}), by, options["seed"])
    judged = judge(found, wanted)
    told = claims.lines(judged.claims)
    if plot is not None:
        import matplotlib

        matplotlib.use("Agg")
        try:
            found.fit.plot().figure.savefig(plot)  # type: ignore[union-attr]
        except (OSError, ValueError) as error:
            raise UserError(f"--plot {str(plot)!r} cannot be written: {error}.") from error
    record = {"claims": told} | found.found.record()
    if as_json:
        put_json(record)
        return
    for line in verdict_lines({wanted.title: {"title": "", "claims": told}}, True):  # type: ignore[typeddict-item]
        say(line)
    for word in (*record["warnings"], *record["notes"]):
        say(f"note: {word}")


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    quiet = np.errstate(all="ignore")  # as for the commands of fit
    app.command("verdict")(quiet(verdict_command))
