"""The study behind the chapter *data_age*: training text of one time, evaluation text of another.

Everything is about addresses on the State of the Union, 1790 to 2021, which have a year each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from dataworth.arrays import Array
from dataworth.errors import UserError
from dataworth.parameters import field
from dataworth.runs import Result, Store
from dataworth.stats import Estimate, estimate, interval
from dataworth.studies import base
from dataworth.studies.party_task import (
    CARD,
    DECADE,
    HELD_OUT,
    LABELS,
    Cube,
    PartyTask,
    corpus,
    held_out,
    slope_table,
)
from dataworth.studies.text import TextStudy, check_model
from dataworth.text.downstream import FineTuneSpec
from dataworth.text.losses import document_losses
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
from dataworth.text.tokens import TextPart, run_text_tasks
from dataworth.text.training import Evaluation, LanguageModelSpec

if TYPE_CHECKING:
    import pandas as pd

    from dataworth.studies.text_cost import Training

CLOSE = 0.85  # an arm must hold this fraction of its bytes
DEFINITIONS = {
    "both sides": ("both", True),
    "newer evaluation": ("newer", True),
    "older evaluation": ("older", True),
    "without own era": ("both", False),
}
"""Definitions of temporal degradation as a slope: `side` and `own` of `temporal.degradation`."""
SECOND = "second size"
"""The arm of the slices with the other model."""

Year = Annotated[int, Field(ge=1, le=9999)]


class DataAge(TextStudy):
    """Parameters of the chapter."""

    hub_corpora: ClassVar[tuple[str, ...]] = ("c4",)

    era_starts: Annotated[tuple[Year, ...], Field(min_length=3)] = field(
        "first year of every era", "year"
    )
    last_year: Year = field("last year of the last era", "year")
    age_bytes: int = field("different training text of every arm", "bytes", ge=20_000, le=10**15)
    age_tokens: int = field("training budget of every arm here", "tokens", ge=4096, le=10**15)
    speech_tokens: int = field(
        "tokens of every held-out speech, from its beginning", "tokens", ge=50, le=10**9
    )
    second_model: str = field("the other model size, by name")
    labelled_from: Year = field("first era with party classification", "year")
    steps: Annotated[tuple[Annotated[int, Field(le=10**8)], ...], Field(min_length=1)] = field(
        "fine-tuning budgets", "steps"
    )
    windows: int = field("windows read of every speech in fine-tuning", "windows", ge=1, le=10**6)
    margins: Annotated[tuple[Annotated[float, Field(le=10)], ...], Field(min_length=1)] = field(
        "excess loss at which old data are said to hurt", "fraction of loss"
    )

    _exists = field_validator("second_model")(check_model)

    @field_validator("steps", "margins")
    @classmethod
    def _rising(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if list(values) != sorted(set(values)) or values[0] <= 0:
            raise ValueError("must be above 0 and rising")
        return values

    @model_validator(mode="after")
    def _eras_follow(self) -> Self:
        if list(self.era_starts) != sorted(set(self.era_starts)):
            raise ValueError("era_starts must rise")
        if self.last_year <= self.era_starts[-1]:
            raise ValueError("last_year must come after the last of era_starts")
        if self.labelled_from not in self.era_starts[:-1]:
            raise ValueError("labelled_from must be one of era_starts, and not the last")
        return self

    @property
    def eras(self) -> tuple[tuple[int, int], ...]:
        """First and last year of every era."""
        ends = [*(start - 1 for start in self.era_starts[1:]), self.last_year]
        return tuple(zip(self.era_starts, ends, strict=True))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{first}-{last}" for first, last in self.eras)

    @property
    def middles(self) -> Array:
        """The middle of every era (E,), in years: its place in time for the slopes."""
        return np.array(self.eras, dtype=float).mean(1)

    def era_of(self, years: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of the era of every year."""
        return np.searchsorted(self.era_starts, years, side="right") - 1

    @property
    def labelled(self) -> tuple[int, ...]:
        """Numbers of the eras with party classification."""
        return tuple(range(self.era_starts.index(self.labelled_from), len(self.eras)))

    def documents(self, first: int, last: int, draw: int, seed: int) -> tuple[int, ...]:
        """Ids of random training speeches of the years `first` to `last`, about `age_bytes` in
        all: in random order, each taken that still fits. Arms of one `draw` and `seed` go by one
        order, so that they share what they can.

        Raises UserError if the years hold too little text.
        """
        years, ids, sizes, ranks = _training_speeches(self.seed + seed, draw)
        inside = np.flatnonzero((years >= first) & (years <= last))
        chosen, total = [], 0
        for row in inside[np.argsort(ranks[inside])].tolist():
            if total + sizes[row] <= self.age_bytes:
                chosen.append(int(ids[row]))
                total += int(sizes[row])
        if total < CLOSE * self.age_bytes:
            held = int(sizes[inside].sum())
            raise UserError(
                f"age_bytes: the speeches of {first} to {last} fill {total:,} of the "
                f"{self.age_bytes:,} bytes asked for (they hold {held:,}); choose fewer bytes, or "
                "enough for one whole speech."
            )
        return tuple(sorted(chosen))

    def pretraining(self) -> dict[str, list[list[LanguageModelSpec]]]:
        """Runs by arm, [era][seed].

        slices: speeches of the era; snapshots: of all years up to its end; random dates: of any
        year, as many draws as there are eras (the first is also the last snapshot); second size:
        the slices with the other model.
        """
        start, stop = self.eras[0][0], self.eras[-1][1]
        rows: dict[str, list[tuple[int, int, int]]] = {
            "slices": [(first, last, 0) for first, last in self.eras],
            "snapshots": [(start, last, 0) for _, last in self.eras],
            "random dates": [(start, stop, draw) for draw in range(len(self.eras))],
            SECOND: [(first, last, 0) for first, last in self.eras],
        }
        return {
            arm: [
                [
                    self._model(self.documents(*row, seed), seed, arm == SECOND)
                    for seed in range(self.seeds)
                ]
                for row in spans
            ]
            for arm, spans in rows.items()
        }

    def _model(self, ids: tuple[int, ...], seed: int, second: bool) -> LanguageModelSpec:
        return self.language_model(
            [TextPart(card=CARD, split="train", ids=ids)],
            seed,
            self.speeches(),
            tokens=self.age_tokens,
            model=self.second_model if second else self.model,
            keep_weights=not second,
        )

    def speeches(self) -> tuple[Evaluation, ...]:
        """All held-out speeches, `speech_tokens` of each. Nothing is chosen by the validation
        split here, so that both splits serve as evaluation sets."""
        return tuple(
            Evaluation(
                name=split,
                part=TextPart(card=CARD, split=split, ids=tuple(corpus(split).ids.tolist())),
                max_tokens=self.speech_tokens,
            )
            for split in HELD_OUT
        )

    @property
    def task(self) -> PartyTask:
        """Classification by party in the eras from `labelled_from` on."""
        return PartyTask(tuple(self.eras[era] for era in self.labelled), self.windows)

    def fine_tuning(
        self, pretrained: Mapping[str, Sequence[Sequence[LanguageModelSpec]]]
    ) -> dict[tuple[int, str], list[list[FineTuneSpec]]]:
        """Fine-tuning for the task, by steps and era of pretraining (or "random dates"), [era of
        fine-tuning][seed and half]."""
        starts: dict[str, Sequence[LanguageModelSpec]] = {
            self.names[era]: pretrained["slices"][era] for era in self.labelled
        }
        starts["random dates"] = pretrained["random dates"][0]
        return {
            (steps, name): self.task.specs(models, steps)
            for steps in self.steps
            for name, models in starts.items()
        }

    def trainings(self) -> list[Training]:
        """Language models to train; runs that two arms share count once."""
        from dataworth.studies.text_cost import Training

        count = len(self.eras)
        base = self.seeds * (count + count - 2 + count)
        return [
            Training("snapshots, slices and random dates", self.model, base, self.age_tokens),
            Training("slices", self.second_model, self.seeds * count, self.age_tokens),
        ]

    def preflight(self) -> None:
        """Validate before running; raises UserError for undated speeches, eras with too little
        text, too little disk."""
        runs = self.seeds * 4 * len(self.eras)
        self.check(runs=runs, budgets=("tokens", "age_tokens"))
        for first, last in self.eras:
            self.documents(first, last, 0, 0)
        held = np.concatenate([corpus(split).years for split in HELD_OUT])
        for first, last in self.eras:
            if not ((held >= first) & (held <= last)).any():
                raise UserError(f"era_starts: no held-out speech is of {first} to {last}.")


@cache
def _training_speeches(
    seed: int, draw: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Array]:
    """Years, ids, bytes and a random place in line of every training speech, each (N,)."""
    found = corpus("train")
    sizes = np.array([len(text.encode()) for text in found.texts], dtype=np.int64)
    return (
        found.years,
        found.ids,
        sizes,
        np.random.default_rng([seed, 0xA6E, draw]).random(len(found)),
    )


# --- The study ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Aged(base.Study):
    """Finished runs by arm: of pretraining as [era][seed], of fine-tuning as in
    `DataAge.fine_tuning`."""

    params: DataAge
    runs: Mapping[str, Sequence[Sequence[Result]]]
    tuned: Mapping[tuple[int, str], Sequence[Sequence[Result]]]

    @cached_property
    def eras(self) -> NDArray[np.int64]:
        """Number of the era (N,) of every held-out speech."""
        return self.params.era_of(held_out()[0])

    def nats(self, arm: str) -> tuple[Array, NDArray[np.int64]]:
        """Nats (P, S, N) of every speech, and bytes (N,)."""
        values, sizes, ids = [], [], []
        for split in HELD_OUT:
            loaded = [document_losses(row, split) for row in self.runs[arm]]
            values.append(np.stack([nats for nats, _, _ in loaded]))
            sizes.append(loaded[0][1])
            ids.append(loaded[0][2])
        if not np.array_equal(np.concatenate(ids), held_out()[2]):
            raise UserError(
                f"The runs of {arm!r} were evaluated on other speeches than the corpus holds."
            )
        return np.concatenate(values, -1), np.concatenate(sizes)

    def losses(self, arm: str) -> Losses:
        """Bits per byte (P, E) of arm's training times and evaluation eras."""
        return self._losses(arm == SECOND)[arm]

    @cache  # noqa: B019 - a study lives as long as its notebook
    def _losses(self, second: bool) -> dict[str, Losses]:
        """The losses of all arms of one model: they have one model of noise."""
        p, names = self.params, [arm for arm in self.runs if (arm == SECOND) == second]
        loaded = [self.nats(arm) for arm in names]
        found = losses_by_era(
            np.concatenate([nats for nats, _ in loaded]) / math.log(2),
            loaded[0][1],
            self.eras,
            authors=held_out()[1],
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
        """`ageing` of `snapshots` or `slices`: how much worse each is on speeches newer than its
        last year than the arm that ends with the speech's own era."""
        p = self.params
        nats, _ = self.nats(arm)
        ends = [last for _, last in p.eras]
        years, presidents, _ = held_out()
        return ageing(nats, years, ends, self.eras, presidents, p.resamples, p.seed)

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
        """Excess loss of random dates over slices of the speeches' own era: mean over the eras
        that have an older one, and over draws."""
        own, mixed = self.losses("slices"), self.losses("random dates")
        fresh = np.diagonal(own.value)[1:]
        drawn = np.diagonal(own.draws, axis1=1, axis2=2)[:, 1:]
        return estimate(
            float((mixed.value.mean(0)[1:] / fresh - 1).mean()),
            (mixed.draws.mean(1)[:, 1:] / drawn - 1).mean(1),
        )

    @cached_property
    def cube(self) -> Cube:
        """The runs of fine-tuning."""
        p = self.params
        return Cube(p.task, self.tuned, p.resamples, p.seed)

    def kinds(self) -> dict[str, Any]:
        """All results, by kind."""
        return {**self.runs, "fine-tuning": self.tuned}


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
    )
