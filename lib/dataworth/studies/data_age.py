"""The study behind the chapter *data_age*: training text of one time, evaluation text of another.

The arms are in `age_arms`. Counts of tokens carry them; decoders are trained on a few of the
slices, and on the addresses on the State of the Union, where they are fine-tuned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dataworth.arrays import Array
from dataworth.errors import UserError
from dataworth.runs import Result, Store
from dataworth.runs.kept import keep
from dataworth.stats import Estimate, estimate, interval
from dataworth.studies import base
from dataworth.studies.age_arms import MAIN, RECENT, UP_TO, DataAge, HeldOut, Timeline
from dataworth.studies.party_task import DECADE, LABELS, Cube, slope_table
from dataworth.text.count_models import ORDERS, CountsSpec, run_count_tasks
from dataworth.text.losses import bits_per_byte, document_losses
from dataworth.text.models import MODELS
from dataworth.text.temporal import (
    Ageing,
    Losses,
    Slope,
    ageing,
    degradation,
    losses_by_era,
    per_evaluation,
    rearranged,
)
from dataworth.text.tokens import run_text_tasks
from dataworth.text.training import LanguageModelSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Aged", "Ages", "DataAge", "run"]

NEAR = 12
"""Years within which the paper's question is asked: its versions of C4 lie nine years apart."""
DEFINITIONS: dict[str, dict[str, Any]] = {
    "both sides": {},
    f"both sides, within {NEAR} years": {"within": NEAR},
    "newer evaluation": {"side": "newer"},
    "older evaluation": {"side": "older"},
    "without own era": {"own": False},
}
"""Definitions of temporal degradation as a slope, by settings of `temporal.degradation`."""

LOSSES = (CountsSpec, LanguageModelSpec)
"""Runs that keep a loss for every document."""

Rows = Sequence[Sequence[Result]]


# --- One corpus --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Aged:
    """Finished runs on one dated corpus: counts by arm (`DataAge.counts`) as [training set][draw],
    decoders by name as [one of `decoded`][seed]."""

    line: Timeline
    held_out: HeldOut
    counts: Mapping[str, Rows]
    decoders: Mapping[str, Rows]
    decoded: tuple[int, ...]
    resamples: int
    seed: int

    @cached_property
    def eras(self) -> NDArray[np.int64]:
        """Number of the era (N,) of every held-out document."""
        return self.line.era_of(self.held_out.years)

    def nats(self, arm: str) -> tuple[Array, NDArray[np.int64]]:
        """Nats (P, S, N) of every document, and bytes (N,)."""
        rows = self.counts.get(arm) or self.decoders[arm]
        values, sizes, ids = [], [], []
        for evaluation in self.held_out.evaluations:
            loaded = [document_losses(row, evaluation.name) for row in rows]
            values.append(np.stack([nats for nats, _, _ in loaded]))
            sizes.append(loaded[0][1])
            ids.append(loaded[0][2])
        if not np.array_equal(np.concatenate(ids), self.held_out.ids):
            raise UserError(
                f"The runs of {arm!r} were evaluated on other documents than those of "
                f"{self.line.card}."
            )
        return np.concatenate(values, -1), np.concatenate(sizes)

    def losses(self, arm: str) -> Losses:
        """Bits per byte (P, E) of an arm's training times and evaluation eras."""
        return self._losses(MAIN if arm in MAIN else (arm,))[arm]

    @cache  # noqa: B019 - a study lives as long as its notebook
    def _losses(self, names: tuple[str, ...]) -> dict[str, Losses]:
        """The losses of arms of one model: they have one model of noise."""
        loaded = [self.nats(arm) for arm in names]
        found = losses_by_era(
            np.concatenate([nats for nats, _ in loaded]) / math.log(2),
            loaded[0][1],
            self.eras,
            authors=self.held_out.authors,
            resamples=self.resamples,
            seed=self.seed,
            stream=[*ORDERS, *self.decoders].index("trigram" if names == MAIN else names[0]),
        )
        ends = np.cumsum([len(nats) for nats, _ in loaded])[:-1]
        values, draws = np.split(found.value, ends), np.split(found.draws, ends, axis=1)
        return dict(zip(names, map(Losses, values, draws), strict=True))

    def when(self, arm: str) -> Array:
        """The middle of the training text of every row of an arm."""
        return self.line.middles[list(self.decoded)] if arm in self.decoders else self.line.middles

    # --- One model beside another, on the slices that decoders have ---

    @property
    def models(self) -> list[str]:
        """Counts of one, two and three tokens, and decoders, the smaller first."""
        return [*ORDERS, *self.decoders]

    def of_model(self, name: str) -> Losses:
        """Losses of a model on the slices that decoders are trained on, all eras without any."""
        found = self.losses("slices" if name == "trigram" else name)
        if name in self.decoders or not self.decoders:
            return found
        rows = list(self.decoded)
        return Losses(found.value[rows], found.draws[:, rows])

    def own(self, name: str) -> Estimate:
        """Bits per byte of a model on documents of the training text's own era, mean over eras."""
        found = self.of_model(name)
        eras = list(self.decoded) if self.decoders else list(range(len(found.value)))
        rows = np.arange(len(eras))
        drawn = found.draws[:, rows, eras].mean(1)
        return estimate(float(found.value[rows, eras].mean()), drawn)

    def sensitivity(self, name: str) -> Estimate:
        """Temporal degradation of a model per decade, on the slices that decoders have."""
        when = self.line.middles
        trained = when[list(self.decoded)] if self.decoders else when
        return degradation(self.of_model(name), trained, when).per_year.times(DECADE)

    def references(self) -> pd.DataFrame:
        """What the texts of the slices say of documents of their own era, by model: bits per byte
        (`own`) and temporal degradation (`degradation`, thousandths of a bit per byte per decade),
        estimates."""
        import pandas as pd

        rows = {name: (self.own(name), self.sensitivity(name).times(1000)) for name in self.models}
        columns = ["own", "degradation"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("model")

    def beyond_counts(self) -> Estimate:
        """Bits per byte that the smaller decoder saves against counts of three tokens of the same
        text, on documents of its own era: below 0 where it has learned less than the counts."""
        return self.own("trigram").minus(self.own(next(iter(self.decoders))))

    # --- Time, by counts of three tokens ---

    def matrix(self, arm: str, centred: bool = True) -> pd.DataFrame:
        """Bits per byte: training text (rows) by era of evaluation (columns)."""
        import pandas as pd

        names = self.line.names
        found = self.losses(arm)
        of = {
            "snapshots": [f"up to {last}" for _, last in self.line.eras],
            "random dates": [f"sample {i + 1}" for i in range(len(names))],
        }.get(arm, list(names))
        value = found.centred().value if centred else found.value
        return pd.DataFrame(value, index=pd.Index(of, name="training text"), columns=list(names))

    def cells(self, arm: str) -> pd.DataFrame:
        """Every cell of `matrix`: `years` from training to evaluation text, below 0 where the
        evaluation is older, and `loss`, centred, in bits per byte."""
        import pandas as pd

        when = self.line.middles
        years = (when - when[:, None]).ravel()
        return pd.DataFrame({"years": years, "loss": self.losses(arm).centred().value.ravel()})

    def ends(self, arm: str, side: str) -> tuple[Array, Array]:
        """Both ends of the line of `degradation` through the `cells` of one side: years, loss."""
        table, sign = self.cells(arm), 1 if side == "newer" else -1
        table = table[sign * table.years >= 0]
        ends = np.array([0.0, table.years.abs().max()])
        slope = self.degradation(arm, side=side).per_year.value
        return sign * ends, table.loss.mean() + slope * (ends - table.years.abs().mean())

    def degradation(self, arm: str, **how: Any) -> Slope:
        """`temporal.degradation` of an arm by the middles of the eras."""
        when = self.line.middles
        return degradation(self.losses(arm), when, when, **how)

    def per_decade(self, arm: str, **how: Any) -> Estimate:
        """The slope of `degradation`, per decade."""
        return self.degradation(arm, **how).per_year.times(DECADE)

    def near(self, arm: str) -> Estimate:
        """The slope per decade within `NEAR` years; not measurable where eras lie farther apart."""
        if np.diff(self.line.middles).min() <= NEAR:
            return self.per_decade(arm, within=NEAR)
        sentence = f"No two eras of {self.line.card} lie within {NEAR} years."
        return Estimate(np.nan, np.nan, np.nan, np.full(self.resamples, np.nan), sentence)

    def asymmetry(self, arm: str) -> Estimate:
        """Slope on the newer side less that on the older side, per decade."""
        newer, older = (self.per_decade(arm, side=side) for side in ("newer", "older"))
        return newer.minus(older)

    def per_evaluation(self, arm: str) -> Estimate:
        """Mean over evaluation eras of `temporal.per_evaluation`, per year."""
        found, when = self.losses(arm), self.line.middles
        return estimate(
            float(per_evaluation(found.value, when).mean()),
            per_evaluation(found.draws, when).mean(-1),
        )

    def exchanged(self) -> pd.DataFrame:
        """Permutation test over training times, of slices and of random dates, per decade: `slope`,
        `spread` (95 % of the slopes of all orders), `p`."""
        import pandas as pd

        found = {}
        for arm in ("slices", "random dates"):
            slopes, p = rearranged(self.losses(arm), self.line.middles)
            low, high = interval(slopes)
            found[arm] = (DECADE * slopes[0], (DECADE * low, DECADE * high), p)
        columns = ["slope", "spread", "p"]
        return pd.DataFrame.from_dict(found, orient="index", columns=columns).rename_axis("arm")

    @cached_property
    def _slopes(self) -> dict[tuple[str, str], Slope]:
        """Temporal degradation by arm and definition, per year."""
        found = {}
        for arm in MAIN:
            for name, how in DEFINITIONS.items():
                if "within" not in how or np.diff(self.line.middles).min() <= how["within"]:
                    found[arm, name] = self.degradation(arm, **how)
            found[arm, "per evaluation era"] = Slope(self.per_evaluation(arm), np.nan, np.nan)
        return found

    def degradations(self) -> pd.DataFrame:
        """Every definition on every arm, in bits per byte per decade: columns `arm`, `definition`,
        `value`, `low`, `high`, and for slopes `r` and `p`."""
        return slope_table(("arm", "definition"), self._slopes.items())

    def by_definition(self) -> pd.DataFrame:
        """Estimates of every definition (rows) on every arm (columns, named for a reader), in
        thousandths of a bit per byte per decade."""
        import pandas as pd

        found: dict[str, dict[str, Estimate]] = {}
        for (arm, name), slope in self._slopes.items():
            column = found.setdefault(LABELS.get(arm, arm), {})
            column[name] = slope.per_year.times(1000 * DECADE)
        return pd.DataFrame(found).rename_axis("definition")

    # --- When old text begins to hurt ---

    @cache  # noqa: B019
    def ageing(self, arm: str) -> Ageing:
        """`temporal.ageing` of `RECENT` or `UP_TO`: how much worse each is on later documents than
        the newest arm all of whose text is from before the document's year."""
        held, nats = self.held_out, self.nats(arm)[0]
        cutoffs = self.line.cutoffs
        return ageing(nats, cutoffs, held.years, held.authors, self.resamples, self.seed)

    def excess(self, arm: str) -> pd.DataFrame:
        """The rising fit of `ageing` at 40 ages: `years`, `excess`, `low`, `high`, as fractions of
        the loss."""
        import pandas as pd

        found = self.ageing(arm)
        low, high = interval(found.draws)
        columns = {"years": found.grid, "excess": found.curve, "low": low, "high": high}
        return pd.DataFrame({name: values[::10] for name, values in columns.items()})

    def reaches(self, margins: Sequence[float]) -> pd.DataFrame:
        """Age in years at which the excess loss reaches every margin (columns), by training text:
        estimates, infinite where it is not reached within the data."""
        import pandas as pd

        found = {arm: self.ageing(arm) for arm in (RECENT, UP_TO)}
        return pd.DataFrame(
            {m: {arm: e.reaches(m) for arm, e in found.items()} for m in margins}
        ).rename_axis("training text")

    def random_excess(self) -> Estimate:
        """Excess loss of random dates over text of the era before: mean over the eras that have two
        before them, and over draws. Below 0 where they hold text of the document's own time."""
        ahead, mixed = self.losses("slices"), self.losses("random dates")
        newest = np.diagonal(ahead.value, 1)[1:]
        drawn = np.diagonal(ahead.draws, 1, axis1=1, axis2=2)[:, 1:]
        return estimate(
            float((mixed.value.mean(0)[2:] / newest - 1).mean()),
            (mixed.draws.mean(1)[:, 2:] / drawn - 1).mean(1),
        )


# --- The study ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Ages(base.Study):
    """Both corpora, and the runs of fine-tuning by steps and start as in `DataAge.fine_tuning`;
    `starts` are the decoders that it starts from."""

    params: DataAge
    main: Aged
    second: Aged
    starts: Mapping[str, Sequence[Result]]
    tuned: Mapping[tuple[int, str], Rows]

    @cached_property
    def cube(self) -> Cube:
        """The runs of fine-tuning."""
        p = self.params
        return Cube(p.task, self.tuned, p.resamples, p.seed)

    def kinds(self) -> dict[str, Any]:
        """All results, by kind."""
        return {
            **{f"counts, {aged.line.card}": aged.counts for aged in (self.main, self.second)},
            "decoders": self.main.decoders,
            "decoders, speeches": self.starts,
            "fine-tuning": self.tuned,
        }

    def run_means(self, leaf: Result) -> dict[str, float]:
        """Of counts and decoders, bits per byte by era of evaluation."""
        of = {e.part: aged for aged in (self.main, self.second) for e in aged.held_out.evaluations}
        asked = leaf.spec.evaluations if isinstance(leaf.spec, LOSSES) else ()
        if not asked or not (aged := of.get(asked[0].part)):
            return {}
        loaded = [document_losses([leaf], e.name)[:2] for e in asked]
        nats, sizes = (np.concatenate(each, -1) for each in zip(*loaded, strict=True))
        return {
            f"bits per byte, {name}": float(bits_per_byte(nats[0, here], sizes[here]))
            for era, name in enumerate(aged.line.names)
            for here in [aged.eras == era]
        }


@keep
def run(params: DataAge, store: Store | None = None) -> Ages:
    """Run what is missing and collect the study."""
    params.preflight()
    store = store or Store()
    counts = {
        line.card: base.run_grid(
            params.counts(line), store, f"counts, {line.card}", run=run_count_tasks
        )
        for line in params.lines
    }
    decoders = base.run_grid(params.decoders(), store, "decoders", run=run_text_tasks)
    size = {name: MODELS[name].parameters(params.vocabulary) for name in decoders}
    decoders = dict(sorted(decoders.items(), key=lambda item: size[item[0]]))
    starts = base.run_grid(params.starts(), store, "decoders, speeches", run=run_text_tasks)
    tuned = base.run_grid(params.fine_tuning(), store, "fine-tuning", run=run_text_tasks)

    def aged(line: Timeline, trained: Mapping[str, Rows]) -> Aged:
        return Aged(
            line,
            params.documents_of(line),
            counts[line.card],
            trained,
            params.decoded if trained else (),
            params.resamples,
            params.seed,
        )

    main, second = params.lines
    return Ages(params, aged(main, decoders), aged(second, {}), starts, tuned)
