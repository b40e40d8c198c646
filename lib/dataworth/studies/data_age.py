"""The study behind the chapter *data_age*: training text of one time, evaluation text of another.

Everything is about addresses on the State of the Union, 1790 to 2021, which have a year each.
"""

from __future__ import annotations

import itertools
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
from dataworth.stats import Estimate, estimate
from dataworth.studies import base, party_task
from dataworth.studies.party_task import CARD, HELD_OUT, PartyTask, corpus
from dataworth.studies.text import TextStudy
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

CLOSE = 0.85  # an arm that misses its bytes by more is refused
DECADE = 10

Year = Annotated[int, Field(ge=1, le=9999)]
Row = tuple[tuple[object, ...], Slope]


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
        "excess loss at which old data are said to hurt", "share of loss"
    )

    @field_validator("second_model")
    @classmethod
    def _exists(cls, name: str) -> str:
        if name not in MODELS:
            raise ValueError(f"must be one of {', '.join(MODELS)}")
        return name

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
            "second size": [(first, last, 0) for first, last in self.eras],
        }
        return {
            arm: [
                [
                    self._model(self.documents(*row, seed), seed, arm == "second size")
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
        return self.params.era_of(self._labels[0])

    @cached_property
    def _labels(self) -> tuple[NDArray[np.int64], NDArray[np.str_], NDArray[np.int64]]:
        """Years, presidents and ids (N,) of the held-out speeches."""
        parts = [corpus(split) for split in HELD_OUT]
        return (
            np.concatenate([c.years for c in parts]),
            np.concatenate([c.labels["president"] for c in parts]),
            np.concatenate([c.ids for c in parts]),
        )

    def nats(self, arm: str) -> tuple[Array, NDArray[np.int64]]:
        """Nats (P, S, N) of every speech, and bytes (N,)."""
        values, sizes, ids = [], [], []
        for split in HELD_OUT:
            loaded = [document_losses(row, split) for row in self.runs[arm]]
            values.append(np.stack([nats for nats, _, _ in loaded]))
            sizes.append(loaded[0][1])
            ids.append(loaded[0][2])
        if not np.array_equal(np.concatenate(ids), self._labels[2]):
            raise UserError(
                f"The runs of {arm!r} were evaluated on other speeches than the corpus holds."
            )
        return np.concatenate(values, -1), np.concatenate(sizes)

    @cache  # noqa: B019 - a study lives as long as its notebook
    def losses(self, arm: str) -> Losses:
        """Bits per byte (P, E) of arm's training times and evaluation eras."""
        p = self.params
        nats, sizes = self.nats(arm)
        return losses_by_era(
            nats / math.log(2), sizes, self.eras, resamples=p.resamples, seed=p.seed
        )

    def matrix(self, arm: str, centred: bool = True) -> pd.DataFrame:
        """Bits per byte: training time (rows) by era of evaluation (columns)."""
        import pandas as pd

        p = self.params
        found = self.losses(arm)
        names = {
            "snapshots": [f"up to {last}" for _, last in p.eras],
            "random dates": [f"draw {i + 1}" for i in range(len(p.eras))],
        }.get(arm, list(p.names))
        value = found.centred().value if centred else found.value
        return pd.DataFrame(value, index=names, columns=list(p.names))

    def degradation(self, arm: str, side: str = "both", own: bool = True) -> Slope:
        """`degradation` of an arm by the middles of the eras."""
        when = self.params.middles
        return degradation(self.losses(arm), when, when, side=side, own=own)

    def asymmetry(self, arm: str) -> Estimate:
        """Slope on the newer side less that on the older side, per year."""
        newer, older = (self.degradation(arm, side).per_year for side in ("newer", "older"))
        return newer.minus(older)

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

    def degradations(self) -> pd.DataFrame:
        """Every definition on every arm, in bits per byte and decade: columns `arm`, `definition`,
        `value`, `low`, `high`, and for slopes `r` and `p`."""
        rows: list[Row] = []
        for arm in self.runs:
            rows += [
                ((arm, "both sides"), self.degradation(arm)),
                ((arm, "newer evaluation"), self.degradation(arm, "newer")),
                ((arm, "older evaluation"), self.degradation(arm, "older")),
                ((arm, "without own era"), self.degradation(arm, own=False)),
                ((arm, "per evaluation era"), Slope(self.per_evaluation(arm), np.nan, np.nan)),
            ]
        return _table(("arm", "definition"), rows)

    @cached_property
    def larger(self) -> tuple[str, str]:
        """The arms of slices of the smaller and of the larger model."""
        p = self.params
        sizes = {
            "slices": MODELS[p.model].parameters(p.vocabulary),
            "second size": MODELS[p.second_model].parameters(p.vocabulary),
        }
        small, large = sorted(sizes, key=lambda arm: sizes[arm])
        return small, large

    @cache  # noqa: B019
    def ageing(self, arm: str) -> Ageing:
        """`ageing` of `snapshots` or `slices`: how much worse each is on speeches newer than its
        last year than the arm that ends with the speech's own era."""
        p = self.params
        nats, _ = self.nats(arm)
        ends = [last for _, last in p.eras]
        return ageing(nats, self._labels[0], ends, self.eras, p.resamples, p.seed)

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

    @cache  # noqa: B019
    def tuned_losses(self, steps: int, unseen: bool = True, metric: str = "loss") -> Losses:
        """Loss in nats (or error) of party classification, (P + 1, F, E): eras of pretraining and,
        last, random dates; eras of fine-tuning; eras of evaluation. unseen: evaluated on presidents
        of whom fine-tuning saw nothing, else on those of whom it did."""
        p = self.params
        years, presidents, ids = self._labels
        names = [p.names[era] for era in p.labelled] + ["random dates"]
        rows = [self.tuned[steps, name] for name in names]
        first = rows[0][0][0].arrays
        place = {i: row for row, i in enumerate(ids.tolist())}
        at = np.array([place[i] for s in HELD_OUT for i in first[f"ids_{s}"].tolist()])
        halves = p.task.halves()
        half = np.array([halves[name] for name in presidents[at].tolist()])
        told = 1 - half if unseen else half
        values = np.array(
            [[party_task.losses(cell, metric, told) for cell in row] for row in rows]
        )  # (P + 1, F, S, N)
        era = p.era_of(years[at]) - p.labelled[0]
        return losses_by_era(values, np.ones(len(at)), era, resamples=p.resamples, seed=p.seed)

    def tuned_degradation(self, steps: int, which: str, unseen: bool = True) -> Slope:
        """Temporal degradation of the fine-tuned loss, per year. which: `pretraining` (at the same
        fine-tuning era), `matched` (the same, fine-tuned in the era of evaluation),
        `fine-tuning` (at the same pretraining era), or `control`: random dates in the place of all
        pretraining eras against the era of fine-tuning."""
        when = self.params.middles[list(self.params.labelled)]
        found = self.tuned_losses(steps, unseen)
        eras = Losses(found.value[:-1], found.draws[:, :-1])  # (P, F, E)
        if which == "matched":
            at = np.arange(len(when))
            eras = Losses(eras.value[:, at, at], eras.draws[:, :, at, at])
        elif which == "fine-tuning":
            eras = Losses(np.swapaxes(eras.value, 0, 1), np.swapaxes(eras.draws, 1, 2))
        elif which == "control":
            eras = Losses(found.value[-1], found.draws[:, -1])
        return degradation(eras, when, when)

    def tuned_table(self) -> pd.DataFrame:
        """Temporal degradation of the fine-tuned loss, in nats and decade: columns `steps`,
        `presidents`, `of`, `value`, `low`, `high`, `r`, `p`."""
        cells = itertools.product(
            self.params.steps,
            (("unseen", True), ("seen", False)),
            ("pretraining", "matched", "fine-tuning", "control"),
        )
        rows: list[Row] = [
            ((steps, who, which), self.tuned_degradation(steps, which, unseen))
            for steps, (who, unseen), which in cells
        ]
        return _table(("steps", "presidents", "of"), rows)

    def accuracy(self, steps: int, unseen: bool = True) -> pd.DataFrame:
        """Share of speeches whose party is right, by start (rows) and era of evaluation, after
        fine-tuning in that era."""
        import pandas as pd

        p = self.params
        names = [p.names[era] for era in p.labelled]
        right = 1 - self.tuned_losses(steps, unseen, "error").value
        own = np.stack([right[:, e, e] for e in range(len(names))], 1)
        return pd.DataFrame(own, index=[*names, "random dates"], columns=names)

    def kinds(self) -> dict[str, Any]:
        """All results, by kind."""
        return {**self.runs, "fine-tuning": self.tuned}


def _table(names: tuple[str, ...], rows: Sequence[Row]) -> pd.DataFrame:
    """Slopes by what they are of: `names`, then `value`, `low`, `high` per decade, `r`, `p`."""
    import pandas as pd

    found = [
        (*what, *(DECADE * x for x in (s.per_year.value, *s.per_year.interval)), s.r, s.p)
        for what, s in rows
    ]
    return pd.DataFrame(found, columns=[*names, "value", "low", "high", "r", "p"])


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
