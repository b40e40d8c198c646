"""The study behind the chapter *data_age*: training text of one time, evaluation text of another.

The arms are in `age_arms`; the addresses on the State of the Union have a year each, as has every
document of a card of one's own that can be studied.
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
from dataworth.studies.age_arms import SECOND, DataAge
from dataworth.studies.party_task import DECADE, HELD_OUT, LABELS, Cube, held_out, slope_table
from dataworth.text.counts import counted
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
from dataworth.text.tokens import load_parts, run_text_tasks

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Aged", "DataAge", "run"]

DEFINITIONS = {
    "both sides": ("both", True),
    "newer evaluation": ("newer", True),
    "older evaluation": ("older", True),
    "without own era": ("both", False),
}
"""Definitions of temporal degradation as a slope: `side` and `own` of `temporal.degradation`."""
COUNTS = ("counts of tokens", "counts of pairs", "counts of triples")
"""The reference lines, of `counts.counted`."""


# --- The study ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Aged(base.Study):
    """Finished runs by arm: of pretraining as [era][seed], of fine-tuning as in
    `DataAge.fine_tuning`; the store holds the encoded speeches."""

    params: DataAge
    runs: Mapping[str, Sequence[Sequence[Result]]]
    tuned: Mapping[tuple[int, str], Sequence[Sequence[Result]]]
    store: Store

    @cached_property
    def eras(self) -> NDArray[np.int64]:
        """Number of the era (N,) of every held-out document."""
        return self.params.era_of(self._held_out[0])

    @cached_property
    def _held_out(self) -> tuple[NDArray[np.int64], NDArray[np.str_], NDArray[np.int64]]:
        return held_out(self.params.card, self.params.span)

    def nats(self, arm: str) -> tuple[Array, NDArray[np.int64]]:
        """Nats (P, S, N) of every speech, and bytes (N,)."""
        values, sizes, ids = [], [], []
        for split in HELD_OUT:
            loaded = [document_losses(row, split) for row in self.runs[arm]]
            values.append(np.stack([nats for nats, _, _ in loaded]))
            sizes.append(loaded[0][1])
            ids.append(loaded[0][2])
        if not np.array_equal(np.concatenate(ids), self._held_out[2]):
            raise UserError(
                f"The runs of {arm!r} were evaluated on other documents than the corpus holds."
            )
        return np.concatenate(values, -1), np.concatenate(sizes)

    def losses(self, arm: str) -> Losses:
        """Bits per byte (P, E) of arm's training times and evaluation eras; of COUNTS, those of
        the texts of the slices."""
        return self._counted[arm] if arm in COUNTS else self._losses(arm == SECOND)[arm]

    @cached_property
    @keep
    def _counted(self) -> dict[str, Losses]:
        """The losses of counts on the very texts of the slices, each of which is read once."""
        p, presidents = self.params, self._held_out[1]
        parts, tokenizer = p.speeches(), p.tokenizer()
        asked = [
            document[: e.max_tokens]
            for e, found in zip(
                parts, load_parts(tokenizer, [e.part for e in parts], self.store), strict=True
            )
            for document in found
        ]
        how = (tokenizer.vocabulary, tokenizer.end)
        nats = np.array(
            [
                [
                    [
                        [each.sum() for each in counted(text, order, *how).nats(asked)]
                        for order in (1, 2, 3)
                    ]
                    for spec in row
                    for text in load_parts(tokenizer, spec.parts, self.store)
                ]
                for row in p.pretraining()["slices"]
            ]
        )  # (P, S, 3, N)
        sizes = self.nats("slices")[1]
        found = losses_by_era(
            np.moveaxis(nats, 2, 0) / math.log(2),
            sizes,
            self.eras,
            authors=presidents,
            resamples=p.resamples,
            seed=p.seed,
        )
        return {name: Losses(found.value[i], found.draws[:, i]) for i, name in enumerate(COUNTS)}

    def references(self) -> pd.DataFrame:
        """What the texts of the slices say of speeches of their own era, by model and COUNTS: bits
        per byte (`own`) and temporal degradation (`degradation`, thousandths of a bit per byte per
        decade), estimates."""
        import pandas as pd

        rows = {}
        for arm, name in {**dict(zip(COUNTS, COUNTS, strict=True)), **self.models}.items():
            rows[name] = (self.own(arm), self.per_decade(arm).times(1000))
        columns = ["own", "degradation"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("model")

    def own(self, arm: str) -> Estimate:
        """Bits per byte on speeches of the training text's own era, mean over eras."""
        found = self.losses(arm)
        drawn = np.diagonal(found.draws, axis1=1, axis2=2).mean(1)
        return estimate(float(np.diagonal(found.value).mean()), drawn)

    def beyond_counts(self) -> Estimate:
        """Bits per byte that the smaller model saves against counts of three tokens of the same
        text, on speeches of its own era: below 0 where it has learned less than the counts."""
        return self.own(COUNTS[2]).minus(self.own(next(iter(self.models))))

    @cache  # noqa: B019 - a study lives as long as its notebook
    def _losses(self, second: bool) -> dict[str, Losses]:
        """The losses of all arms of one model: they have one model of noise."""
        p, names = self.params, [arm for arm in self.runs if (arm == SECOND) == second]
        loaded = [self.nats(arm) for arm in names]
        found = losses_by_era(
            np.concatenate([nats for nats, _ in loaded]) / math.log(2),
            loaded[0][1],
            self.eras,
            authors=self._held_out[1],
            resamples=p.resamples,
            seed=p.seed,
            stream=int(second),
        )
        ends = np.cumsum([len(nats) for nats, _ in loaded])[:-1]
        values, draws = np.split(found.value, ends), np.split(found.draws, ends, axis=1)
        return dict(zip(names, map(Losses, values, draws), strict=True))

    def matrix(self, arm: str, centred: bool = True) -> pd.DataFrame:
        """Bits per byte: training text (rows) by era of evaluation (columns)."""
        import pandas as pd

        p = self.params
        found = self.losses(arm)
        names = {
            "snapshots": [f"up to {last}" for _, last in p.eras],
            "random dates": [f"sample {i + 1}" for i in range(len(p.eras))],
        }.get(arm, list(p.names))
        value = found.centred().value if centred else found.value
        rows = pd.Index(names, name="training text")
        return pd.DataFrame(value, index=rows, columns=list(p.names))

    def cells(self, arm: str) -> pd.DataFrame:
        """Every cell of `matrix`: `years` from training to evaluation text, below 0 where the
        evaluation is older, and `loss`, centred, in bits per byte."""
        import pandas as pd

        when = self.params.middles
        years = (when - when[:, None]).ravel()
        return pd.DataFrame({"years": years, "loss": self.losses(arm).centred().value.ravel()})

    def line(self, arm: str, side: str) -> tuple[Array, Array]:
        """Both ends of the line of `degradation` through the `cells` of one side: years, loss."""
        table, sign = self.cells(arm), 1 if side == "newer" else -1
        table = table[sign * table.years >= 0]
        ends = np.array([0.0, table.years.abs().max()])
        slope = self.degradation(arm, side).per_year.value
        return sign * ends, table.loss.mean() + slope * (ends - table.years.abs().mean())

    def degradation(self, arm: str, side: str = "both", own: bool = True) -> Slope:
        """`degradation` of an arm by the middles of the eras."""
        when = self.params.middles
        return degradation(self.losses(arm), when, when, side=side, own=own)

    def per_decade(self, arm: str, side: str = "both") -> Estimate:
        """The slope of `degradation`, per decade."""
        return self.degradation(arm, side).per_year.times(DECADE)

    def asymmetry(self, arm: str) -> Estimate:
        """Slope on the newer side less that on the older side, per decade."""
        newer, older = (self.degradation(arm, side).per_year for side in ("newer", "older"))
        return newer.minus(older).times(DECADE)

    def per_evaluation(self, arm: str) -> Estimate:
        """Mean over evaluation eras of `per_evaluation`, per year."""
        found, when = self.losses(arm), self.params.middles
        return estimate(
            float(per_evaluation(found.value, when).mean()),
            per_evaluation(found.draws, when).mean(-1),
        )

    def rearranged(self, arm: str) -> tuple[Array, float]:
        """`rearranged` of an arm by the middles of the eras."""
        return rearranged(self.losses(arm), self.params.middles)

    def exchanged(self) -> pd.DataFrame:
        """Exact permutation test over training times, of slices and of random dates, per decade:
        `slope`, `spread` (95 % of the slopes of all orders), `p`."""
        import pandas as pd

        found = {}
        for arm in ("slices", "random dates"):
            slopes, p = self.rearranged(arm)
            low, high = interval(slopes)
            found[arm] = (DECADE * slopes[0], (DECADE * low, DECADE * high), p)
        columns = ["slope", "spread", "p"]
        return pd.DataFrame.from_dict(found, orient="index", columns=columns).rename_axis("arm")

    @cached_property
    def _slopes(self) -> dict[tuple[str, str], Slope]:
        """Temporal degradation by arm and definition, per year."""
        found = {}
        for arm in self.runs:
            for name, (side, own) in DEFINITIONS.items():
                found[arm, name] = self.degradation(arm, side, own)
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

    def by_model(self) -> pd.DataFrame:
        """`degradations` with the columns `model` and `parameters` in front; `slices` are those of
        either model."""
        table, p = self.degradations(), self.params
        second = table.arm == SECOND
        table.insert(0, "model", np.where(second, p.second_model, p.model))
        sizes = [MODELS[name].parameters(p.vocabulary) for name in table.model]
        table.insert(1, "parameters", sizes)
        return table.assign(arm=table.arm.where(~second, "slices"))

    @property
    def models(self) -> dict[str, str]:
        """Names of the two models, by the arm of their slices, the smaller one first."""
        p = self.params
        found = {"slices": p.model, SECOND: p.second_model}
        size = {arm: MODELS[name].parameters(p.vocabulary) for arm, name in found.items()}
        return dict(sorted(found.items(), key=lambda item: size[item[0]]))

    @cache  # noqa: B019
    def ageing(self, arm: str) -> Ageing:
        """`ageing` of `snapshots` or `slices`: how much worse each is on later speeches than the
        newest arm all of whose text is from before the speech."""
        p = self.params
        ends = [last for _, last in p.eras]
        nats = self.nats(arm)[0]
        return ageing(nats, ends, self.eras, self._held_out[1], p.resamples, p.seed)

    def excess(self, arm: str) -> pd.DataFrame:
        """The rising fit of `ageing` at 40 ages: `years`, `excess`, `low`, `high`, as fractions of
        the loss."""
        import pandas as pd

        found = self.ageing(arm)
        low, high = interval(found.draws)
        columns = {"years": found.grid, "excess": found.curve, "low": low, "high": high}
        return pd.DataFrame({name: values[::10] for name, values in columns.items()})

    def reaches(self) -> pd.DataFrame:
        """Age in years at which the excess loss reaches every margin (columns), by training text:
        estimates, infinite where it is not reached within the data."""
        import pandas as pd

        found = {arm: self.ageing(arm) for arm in ("slices", "snapshots")}
        return pd.DataFrame(
            {m: {arm: e.reaches(m) for arm, e in found.items()} for m in self.params.margins}
        ).rename_axis("training text")

    def random_excess(self) -> Estimate:
        """Excess loss of random dates over the same reference as in `ageing`: mean over the eras
        that have it and over draws. Below 0, as they hold text of the speech's own time."""
        ahead, mixed = self.losses("slices"), self.losses("random dates")
        newest = np.diagonal(ahead.value, 1)[1:]
        drawn = np.diagonal(ahead.draws, 1, axis1=1, axis2=2)[:, 1:]
        return estimate(
            float((mixed.value.mean(0)[2:] / newest - 1).mean()),
            (mixed.draws.mean(1)[:, 2:] / drawn - 1).mean(1),
        )

    @cached_property
    def cube(self) -> Cube:
        """The runs of fine-tuning."""
        p = self.params
        return Cube(p.task, self.tuned, p.resamples, p.seed)

    def kinds(self) -> dict[str, Any]:
        """All results, by kind."""
        return {**self.runs, "fine-tuning": self.tuned}

    def run_means(self, leaf: Result) -> dict[str, float]:
        """Of a language model, bits per byte by era of evaluation."""
        if f"nats_{HELD_OUT[0]}" not in leaf.arrays:
            return {}
        loaded = [document_losses([leaf], split)[:2] for split in HELD_OUT]
        nats, sizes = (np.concatenate(each, -1) for each in zip(*loaded, strict=True))
        return {
            f"bits per byte, {name}": float(bits_per_byte(nats[0, here], sizes[here]))
            for era, name in enumerate(self.params.names)
            for here in [self.eras == era]
        }


@keep
def run(params: DataAge, store: Store | None = None, *, tune: bool = True) -> Aged:
    """Run what is missing and collect the study; tune: with the fine-tuning."""
    params.preflight()
    store = store or Store()
    pretrained = params.pretraining()
    tuned = params.fine_tuning(pretrained) if tune else {}
    return Aged(
        params,
        base.run_grid(pretrained, store, "language models", run=run_text_tasks),
        base.run_grid(tuned, store, "fine-tuning", run=run_text_tasks),
        store,
    )
