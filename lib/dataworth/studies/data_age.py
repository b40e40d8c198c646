"""The study behind the chapter *data_age*: training text of one time, evaluation text of another.

Everything is about addresses on the State of the Union, 1790 to 2021, which have a year each.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, field_validator, model_validator

from dataworth.errors import UserError
from dataworth.parameters import field
from dataworth.runs import Result, Store
from dataworth.stats import Estimate, estimate
from dataworth.studies import base
from dataworth.studies.text import TextStudy
from dataworth.text.downstream import FineTuneSpec
from dataworth.text.losses import document_losses
from dataworth.text.models import MODELS
from dataworth.text.tokens import TextPart, run_text_tasks
from dataworth.text.training import Evaluation, LanguageModelSpec

if TYPE_CHECKING:
    import pandas as pd

    from dataworth.data import Corpus
    from dataworth.studies.text_cost import Training

from dataworth.arrays import Array

Runs = dict[str, list[list[Result]]]
CARD = "sotu"
HELD_OUT = ("validation", "test")
PARTIES = ("Republican", "Democratic")
CLOSE = 0.85  # an arm that misses its bytes by more is refused
DECADE = 10
TUNING_BATCH = 8


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
    labelled_from: Year = field("first era in which parties are told apart", "year")
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

    @property
    def labelled(self) -> tuple[int, ...]:
        """Numbers of the eras in which parties are told apart."""
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
        split here, so that both splits judge."""
        return tuple(
            Evaluation(
                name=split,
                part=TextPart(card=CARD, split=split, ids=_ids(split)),
                max_tokens=self.speech_tokens,
            )
            for split in HELD_OUT
        )

    def fine_tuning(
        self, pretrained: Mapping[str, Sequence[Sequence[LanguageModelSpec]]]
    ) -> dict[str, list[list[FineTuneSpec]]]:
        """Fine-tuning to tell the party of a speech, by "steps, era of pretraining" (or "random
        dates"), [era of fine-tuning][seed and fold].

        Presidents are in two halves. Fine-tuning sees the speeches of one half, in every seed once
        either half; all held-out speeches of a known party are judged, those of the other half by
        a model that was never told anything about their speakers.
        """
        starts: dict[str, Sequence[LanguageModelSpec]] = {
            self.names[era]: pretrained["slices"][era] for era in self.labelled
        }
        starts["random dates"] = pretrained["random dates"][0]
        held_out = tuple(
            Evaluation(
                name=split,
                part=TextPart(card=CARD, split=split, ids=self.party_speeches(split)),
            )
            for split in HELD_OUT
        )
        return {
            f"{steps}, {name}": [
                [
                    FineTuneSpec(
                        pretrained=models[seed],
                        train=TextPart(
                            card=CARD, split="train", ids=self.party_speeches("train", era, fold)
                        ),
                        evaluations=held_out,
                        label="party",
                        classes=PARTIES,
                        windows=self.windows,
                        batch=TUNING_BATCH,
                        steps=steps,
                        seed=self.seed + seed,
                    )
                    for seed in range(self.seeds)
                    for fold in range(2)
                ]
                for era in self.labelled
            ]
            for steps in self.steps
            for name, models in starts.items()
        }

    def party_speeches(
        self, split: str, era: int | None = None, fold: int | None = None
    ) -> tuple[int, ...]:
        """Ids of the speeches of a known party since `labelled_from`: of all eras or one, of all
        presidents or one half. Raises UserError if one party is missing."""
        corpus = _corpus(split)
        first, last = self.eras[era] if era is not None else (self.labelled_from, self.last_year)
        inside = (corpus.years >= first) & (corpus.years <= last)
        inside &= np.isin(corpus.labels["party"], PARTIES)
        if fold is not None:
            halves = self.halves()
            speaker = corpus.labels["president"].tolist()
            inside &= np.array([halves.get(name) == fold for name in speaker])
        if missing := set(PARTIES) - set(corpus.labels["party"][inside].tolist()):
            raise UserError(
                f"era_starts: {first} to {last} has no speech of the {sorted(missing)[0]} party in "
                f"the {split} split (of half of the presidents); choose longer eras."
            )
        return tuple(corpus.ids[inside].tolist())

    def halves(self) -> dict[str, int]:
        """The half, 0 or 1, of every president of a known party since `labelled_from`.

        Of each era and party, presidents go, most training speeches first, to the half that has
        fewer such speeches so far; who served in two eras stays in the first one's half.
        """
        held = {name for split in HELD_OUT for name in self._speakers(split)}
        found: dict[str, int] = {}
        for era, party in itertools.product(self.labelled, PARTIES):
            counts = Counter(self._speakers("train", era, party))
            for name in sorted(counts, key=lambda name: (-counts[name], name)):
                totals = [
                    sum(n for other, n in counts.items() if found.get(other) == half)
                    for half in range(2)
                ]
                found.setdefault(name, int(totals[1] < totals[0]))
        return found | dict.fromkeys(sorted(held - set(found)), 0)

    def _speakers(self, split: str, era: int | None = None, party: str = "") -> list[str]:
        """The president of every speech of a known party since `labelled_from`: of all eras and
        parties, or of one."""
        corpus = _corpus(split)
        first, last = self.eras[era] if era is not None else (self.labelled_from, self.last_year)
        inside = (corpus.years >= first) & (corpus.years <= last)
        inside &= np.isin(corpus.labels["party"], [party] if party else PARTIES)
        return corpus.labels["president"][inside].tolist()

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
        """Raises UserError before anything runs: undated speeches, short eras, no disk."""
        runs = self.seeds * 4 * len(self.eras)
        self.check(runs=runs, budgets=("tokens", "age_tokens"))
        for first, last in self.eras:
            self.documents(first, last, 0, 0)
        held = np.concatenate([_corpus(split).years for split in HELD_OUT])
        for first, last in self.eras:
            if not ((held >= first) & (held <= last)).any():
                raise UserError(f"era_starts: no held-out speech is of {first} to {last}.")


@cache
def _corpus(split: str | None) -> Corpus:
    from dataworth.data import load_corpus

    return load_corpus(CARD, split).dated()


def _ids(split: str) -> tuple[int, ...]:
    return tuple(_corpus(split).ids.tolist())


@cache
def _training_speeches(
    seed: int, draw: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Array]:
    """Years, ids, bytes and a random place in line of every training speech, each (N,)."""
    corpus = _corpus("train")
    sizes = np.array([len(text.encode()) for text in corpus.texts], dtype=np.int64)
    return (
        corpus.years,
        corpus.ids,
        sizes,
        np.random.default_rng([seed, 0xA6E, draw]).random(len(corpus)),
    )


# --- Losses by era -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Losses:
    """Mean losses (..., E) by era of evaluation, and bootstrap versions of them (B, ..., E)."""

    value: Array
    draws: Array

    def centred(self, axis: int = 0) -> Losses:
        """Less the mean over an axis of `value` (the training times): eras of easy and of hard
        speeches become comparable."""
        return Losses(
            self.value - self.value.mean(axis, keepdims=True),
            self.draws - self.draws.mean(axis + 1, keepdims=True),
        )


def losses_by_era(
    nats: Array,
    sizes: ArrayLike,
    eras: NDArray[np.int64],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Losses:
    """Loss per unit of size of every arm and era: nats (..., S, N) of S seeds, sizes (N,), eras
    (N,) numbers from 0.

    Documents are drawn with replacement within their era, seeds with replacement, the same ones in
    draw b of every arm. As in `losses.resample`, deviations of seeds are widened by
    sqrt(S / (S - 1)).
    """
    sizes = np.asarray(sizes, dtype=float)
    count = nats.shape[-2]
    rng = np.random.default_rng([seed, 0xA6E, 1])
    pick = rng.multinomial(count, np.full(count, 1 / count), size=resamples) / count  # (B, S)
    widen = math.sqrt(count / (count - 1)) if count > 1 else 1.0
    values, draws = [], []
    for era in range(int(eras.max()) + 1):
        rows = np.flatnonzero(eras == era)
        if not len(rows):
            raise UserError(f"eras: no document is of era {era}.")
        kept, size = nats[..., rows], sizes[rows]
        values.append((kept.sum(-1) / size.sum()).mean(-1))
        weights = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=resamples)
        totals = np.moveaxis(np.tensordot(kept, weights.T.astype(float), axes=1), -1, 0)
        each = totals / (weights @ size).reshape(-1, *[1] * (totals.ndim - 1))  # (B, ..., S)
        middle = each.mean(-1)
        drawn = np.einsum("b...s,bs->b...", each, pick)
        draws.append(middle + widen * (drawn - middle))
    return Losses(np.stack(values, -1), np.stack(draws, -1))


# --- Temporal degradation ----------------------------------------------------------------------


@dataclass(frozen=True)
class Slope:
    """Rise of the centred loss with the distance in years, per year; Pearson's r; one-sided p of
    Wald's test of slope > 0, which takes the cells as independent (the interval does not)."""

    per_year: Estimate
    r: float
    p: float


def slopes(x: Array, y: Array) -> Array:
    """Least-squares slopes of y (..., n) on x (n,), with a constant."""
    centred = x - x.mean()
    return np.asarray(y @ centred / (centred @ centred))


def degradation(
    losses: Losses,
    trained: ArrayLike,
    evaluated: ArrayLike,
    *,
    side: str = "both",
    own: bool = True,
) -> Slope:
    """Temporal degradation in the form of Longpre et al. 2023: the slope of the centred loss on the
    distance in years between training and evaluation.

    losses: (P, ..., E), of P training times `trained` and E evaluation times `evaluated`; centred
    over training times. side: `newer` keeps evaluation text at least as new as the training text,
    `older` the other side. own: whether training and evaluation in one time count. Where cells are
    left out, loss and distance are both centred over the cells that an evaluation time has left
    (fixed effects): means over other cells would mix the two sides.
    """
    from scipy.stats import linregress

    gap = np.asarray(evaluated, dtype=float) - np.asarray(trained, dtype=float)[:, None]  # (P, E)
    keep = {"both": np.full(gap.shape, True), "newer": gap >= 0, "older": gap <= 0}[side]
    keep &= own | (gap != 0)
    keep &= keep.sum(0) > 1  # one cell alone says nothing of a slope
    distance = np.abs(gap)
    if not keep.all():
        distance = _centre(distance, keep, 0)
    value = _centre(np.moveaxis(losses.value, -1, 1), keep, 0)[keep]  # (K, ...)
    drawn = _centre(np.moveaxis(losses.draws, -1, 2), keep, 1)[:, keep]  # (B, K, ...)
    x = np.repeat(distance[keep], int(np.prod(value.shape[1:], dtype=int)))
    found = linregress(x, value.ravel(), alternative="greater")
    per_year = estimate(found.slope, slopes(x, drawn.reshape(len(drawn), -1)))
    return Slope(per_year, float(found.rvalue), float(found.pvalue))


def _centre(table: Array, keep: NDArray[np.bool_], axis: int) -> Array:
    """A table (..., P, E, ...), P at `axis`, less its means over the kept cells of P."""
    shape = [1] * axis + list(keep.shape) + [1] * (table.ndim - axis - 2)
    weights = keep.reshape(shape) / np.maximum(keep.sum(0), 1).reshape(shape[axis + 1 :])
    return np.asarray(table - (table * weights).sum(axis, keepdims=True))


def per_evaluation(matrix: Array, years: ArrayLike) -> Array:
    """Temporal degradation in the manner of Luu et al. 2022, per evaluation time (..., E).

    matrix: losses (..., E, E) of training times (rows) and evaluation times at the same `years`.
    D(t', t) = (L(t', t) - L(t, t)) sign(t' - t), and the result is the absolute value of the slope
    of D on t'. As it cannot be negative, no effect gives a value above zero: see the control.
    """
    when = np.asarray(years, dtype=float)
    own = np.diagonal(matrix, axis1=-2, axis2=-1)[..., None, :]
    signed = (matrix - own) * np.sign(when[:, None] - when)
    return np.abs(slopes(when, np.swapaxes(signed, -1, -2)))


def rearranged(losses: Losses, years: ArrayLike) -> tuple[Array, float]:
    """Slopes (per year) with the training times exchanged in every possible way, and the share of
    these that is at least as large as the true one: an exact test of no effect of time."""
    when = np.asarray(years, dtype=float)
    centred = losses.centred().value
    found = np.array(
        [
            slopes(np.abs(when[list(order), None] - when).ravel(), centred.ravel())
            for order in itertools.permutations(range(len(when)))
        ]
    )
    return found, float((found >= found[0] - 1e-12).mean())


# --- When old data begin to hurt ---------------------------------------------------------------


@dataclass(frozen=True)
class Ageing:
    """Excess loss against the age of the training text.

    ages, excess: (K,) of speeches and cut-offs; grid: (G,) years; curve: (G,) the rising fit;
    draws: (B, G)."""

    ages: Array
    excess: Array
    grid: Array
    curve: Array
    draws: Array

    def reaches(self, margin: float) -> Estimate:
        """The age at which the fit reaches `margin`; infinite where it does not within the data."""
        value = crossing(self.grid, self.curve[None], margin)[0]
        draws = crossing(self.grid, self.draws, margin)
        return estimate(value, draws)


def crossing(grid: Array, curves: Array, margin: float) -> Array:
    """First point of `grid` (G,) at which each of the rising curves (B, G) is at least `margin`."""
    above = curves >= margin
    return np.where(above.any(1), grid[above.argmax(1)], np.inf)


def rising(ages: Array, excess: Array, weights: Array, grid: Array) -> Array:
    """Isotonic regression of excess loss on age, at `grid`: it may only rise, starts from no excess
    at age 0 and is interpolated in between; no further form is assumed."""
    from scipy.optimize import isotonic_regression

    order = np.argsort(ages, kind="stable")
    kept = order[weights[order] > 0]
    fitted = isotonic_regression(excess[kept], weights=weights[kept]).x
    # The middle of every step: the fit's steps have no place of their own within a block.
    starts = np.flatnonzero(np.diff(fitted, prepend=-np.inf) > 1e-12)
    groups = np.split(np.arange(len(kept)), starts[1:])
    places = [np.average(ages[kept[g]], weights=weights[kept[g]]) for g in groups]
    heights = [max(float(fitted[g[0]]), 0.0) for g in groups]
    return np.interp(grid, [0.0, *places], [0.0, *heights])


# --- The study ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Aged(base.Study):
    """Finished runs by arm: of pretraining as [era][seed], of fine-tuning as in
    `DataAge.fine_tuning`."""

    params: DataAge
    runs: Runs
    tuned: Runs

    @cached_property
    def years(self) -> NDArray[np.int64]:
        """Years (N,) of the held-out speeches."""
        return self._labels[0]

    @cached_property
    def eras(self) -> NDArray[np.int64]:
        """Number of the era (N,) of every held-out speech."""
        return np.searchsorted(self.params.era_starts, self.years, side="right") - 1

    @cached_property
    def _labels(self) -> tuple[NDArray[np.int64], NDArray[np.str_], NDArray[np.int64]]:
        """Years, presidents and ids (N,) of the held-out speeches."""
        parts = [_corpus(split) for split in HELD_OUT]
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
            raise UserError(f"The runs of {arm!r} judge other speeches than the corpus holds.")
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
        import pandas as pd

        rows = []
        for arm in self.runs:
            kinds = {
                "both sides": self.degradation(arm),
                "newer evaluation": self.degradation(arm, "newer"),
                "older evaluation": self.degradation(arm, "older"),
                "without own era": self.degradation(arm, own=False),
            }
            for name, found in kinds.items():
                e = found.per_year
                rows.append((arm, name, e.value, e.low, e.high, found.r, found.p))
            e = self.per_evaluation(arm)
            rows.append((arm, "per evaluation era", e.value, e.low, e.high, np.nan, np.nan))
        columns = ["arm", "definition", "value", "low", "high", "r", "p"]
        table = pd.DataFrame(rows, columns=columns)
        table[["value", "low", "high"]] *= DECADE
        return table

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
        return ageing(nats, self.years, ends, self.eras, p.resamples, p.seed)

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
        """Loss in nats (or error) of telling the party, (P + 1, F, E): eras of pretraining and,
        last, random dates; eras of fine-tuning; eras of evaluation. unseen: judged on presidents
        of whom fine-tuning saw nothing, else on those of whom it did."""
        p = self.params
        years, presidents, ids = self._labels
        names = [p.names[era] for era in p.labelled] + ["random dates"]
        rows = [self.tuned[f"{steps}, {name}"] for name in names]
        first = rows[0][0][0].arrays
        judged = np.concatenate([first[f"ids_{s}"] for s in HELD_OUT])
        place = {int(i): row for row, i in enumerate(ids)}
        at = np.array([place[int(i)] for i in judged])
        halves = p.halves()
        half = np.array([halves[name] for name in presidents[at].tolist()])
        fold = 1 - half if unseen else half
        values = np.array(
            [[_tuned(cell, metric, fold) for cell in row] for row in rows]
        )  # (P + 1, F, S, N)
        era = np.searchsorted(p.era_starts, years[at], side="right") - 1 - p.labelled[0]
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
        import pandas as pd

        rows = []
        for steps, unseen in itertools.product(self.params.steps, (True, False)):
            for which in ("pretraining", "matched", "fine-tuning", "control"):
                found = self.tuned_degradation(steps, which, unseen)
                e = found.per_year
                who = "unseen" if unseen else "seen"
                rows.append((steps, who, which, e.value, e.low, e.high, found.r, found.p))
        columns = ["steps", "presidents", "of", "value", "low", "high", "r", "p"]
        table = pd.DataFrame(rows, columns=columns)
        table[["value", "low", "high"]] *= DECADE
        return table

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
        return self.runs | {"fine-tuning": self.tuned}


def ageing(
    nats: Array,
    years: NDArray[np.int64],
    cutoffs: Sequence[int],
    eras: NDArray[np.int64],
    resamples: int,
    seed: int,
) -> Ageing:
    """Excess loss against years since the cut-off: nats (P, S, N) of P arms, whose `cutoffs` are
    the ends of the eras, on N speeches of `years` and `eras`.

    A pair is an arm and a speech that is newer than its cut-off; its excess is the relative
    difference from the loss of the arm that ends with the speech's own era. Speeches (with all
    their pairs) and seeds are resampled.
    """
    arms = np.repeat(np.arange(len(cutoffs)), len(years))
    speech = np.tile(np.arange(len(years)), len(cutoffs))
    ages = (years[speech] - np.asarray(cutoffs)[arms]).astype(float)
    keep = ages > 0
    arms, speech, ages = arms[keep], speech[keep], ages[keep]
    grid = np.linspace(0, float(ages.max()), 400)
    count = nats.shape[1]

    def pairs(of_seeds: Array) -> tuple[Array, Array]:
        """Excess (K,) and weight (K,) of every pair, for a weighted mean of the seeds."""
        mean = np.einsum("psn,s->pn", nats, of_seeds)
        own = mean[eras[speech], speech]
        return mean[arms, speech] / own - 1, own

    even = np.full(count, 1 / count)
    excess, weights = pairs(even)
    rng = np.random.default_rng([seed, 0xA6E, 2])
    widen = math.sqrt(count / (count - 1)) if count > 1 else 1.0
    draws = np.empty((resamples, len(grid)))
    for b in range(resamples):
        picked = rng.multinomial(count, even) / count
        drawn, weight = pairs(even + widen * (picked - even))
        times = rng.multinomial(len(years), np.full(len(years), 1 / len(years)))
        draws[b] = rising(ages, drawn, weight * times[speech], grid)
    return Ageing(ages, excess, grid, rising(ages, excess, weights, grid), draws)


def _tuned(cell: Sequence[Result], metric: str, fold: NDArray[np.int64]) -> Array:
    """Loss in nats, or error, (S, N): of every speech by the model of its `fold` (N,); cell: runs
    by seed and, within it, fold."""
    values = []
    for result in cell:
        logits = np.concatenate([result.arrays[f"logits_{s}"] for s in HELD_OUT]).astype(float)
        truth = np.concatenate([result.arrays[f"labels_{s}"] for s in HELD_OUT])
        rows = np.arange(len(truth))
        if metric == "error":
            values.append((logits.argmax(1) != truth).astype(float))
        else:
            top = logits.max(1, keepdims=True)
            log_sum = top[:, 0] + np.log(np.exp(logits - top).sum(1))
            values.append(log_sum - logits[rows, truth])
    each = np.array(values).reshape(-1, 2, len(fold))  # (S, fold, N)
    return np.asarray(each[:, fold, np.arange(len(fold))])


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
