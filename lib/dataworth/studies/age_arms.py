"""The training sets of the chapter *data age*: documents of one time, of all times up to one, and
of any time: addresses on the State of the Union, 1790 to 2021, or a card of one's own with dates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from dataworth.arrays import Array
from dataworth.data.catalog import card as find_card
from dataworth.errors import UserError
from dataworth.parameters import field
from dataworth.studies.party_task import HELD_OUT, SPEECHES, PartyTask, corpus
from dataworth.studies.text import TextStudy, check_model, fit, own_texts
from dataworth.text.downstream import FineTuneSpec
from dataworth.text.evaluation import Evaluation
from dataworth.text.pools import DOMAINS, Domain, whole_card
from dataworth.text.tokens import TextPart
from dataworth.text.training import LanguageModelSpec

if TYPE_CHECKING:
    from dataworth.studies.text_cost import Training

CLOSE = 0.85  # an arm must hold this fraction of its bytes
SECOND = "second size"
"""The arm of the slices with the other model."""

Year = Annotated[int, Field(ge=1, le=9999)]


class DataAge(TextStudy):
    """Parameters of the chapter."""

    hub_corpora: ClassVar[tuple[str, ...]] = ("c4",)

    card: str = field(f"corpus: {SPEECHES}, or a card of your own with dates")
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
    label: str = field("column of the corpus that fine-tuning learns to tell")
    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=2)] = field("its two values")
    labelled_from: Year = field("first era with fine-tuning", "year")
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
    def _fits_the_card(self) -> Self:
        """Eras in which one's own card has no text give way to as many of its own time; text and
        labels to what it has."""
        if own_texts(self.card, SPEECHES):
            eras = eras_of(self.card, self.era_starts, self.last_year)
            starts, most = tuple(first for first, _ in eras), min(bytes_in(self.card, eras))
            fit(
                self,
                era_starts=starts,
                last_year=eras[-1][1],
                age_bytes=min(self.age_bytes, most),
                labelled_from=self.labelled_from if self.labelled_from in starts else starts[0],
            )
            if self.has_labels:
                fit(self, classes=self._classes())
        return self

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
    def has_labels(self) -> bool:
        """Whether the corpus has the column that fine-tuning needs."""
        return self.label in find_card(self.card).labels

    def _classes(self) -> tuple[str, ...]:
        """The two values of the label, or its two most frequent ones."""
        counts = Counter(corpus(self.card, "train").labels[self.label].tolist())
        if set(self.classes) <= set(counts):
            return self.classes
        if len(counts := Counter({k: n for k, n in counts.items() if k})) < 2:
            raise UserError(f"label: {self.label} of {self.card} has one value; it takes two.")
        return tuple(sorted(name for name, _ in counts.most_common(2)))

    @property
    def domains(self) -> Mapping[str, Domain]:
        """What the tokenizer learns from: the small Pile's domains, or one's own card."""
        if self.card == SPEECHES:
            return DOMAINS
        return {self.card: whole_card(self.card)}

    @property
    def eras(self) -> tuple[tuple[int, int], ...]:
        """First and last year of every era."""
        ends = [*(start - 1 for start in self.era_starts[1:]), self.last_year]
        return tuple(zip(self.era_starts, ends, strict=True))

    @property
    def span(self) -> tuple[int, int]:
        """First and last year of all eras."""
        return self.eras[0][0], self.eras[-1][1]

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
        """Ids of random training documents of the years `first` to `last`, about `age_bytes` in
        all: in random order, each taken that still fits. Arms of one `draw` and `seed` go by one
        order, so that they share what they can.

        Raises UserError if the years hold too little text.
        """
        years, ids, sizes = training_documents(self.card)
        ranks = np.random.default_rng([self.seed + seed, 0xA6E, draw]).random(len(ids))
        inside = np.flatnonzero((years >= first) & (years <= last))
        chosen, total = [], 0
        for row in inside[np.argsort(ranks[inside])].tolist():
            if total + sizes[row] <= self.age_bytes:
                chosen.append(int(ids[row]))
                total += int(sizes[row])
        if total < CLOSE * self.age_bytes:
            held = int(sizes[inside].sum())
            raise UserError(
                f"age_bytes: the documents of {first} to {last} fill {total:,} of the "
                f"{self.age_bytes:,} bytes asked for (they hold {held:,}); choose fewer bytes, or "
                "enough for one whole document."
            )
        return tuple(sorted(chosen))

    def pretraining(self) -> dict[str, list[list[LanguageModelSpec]]]:
        """Runs by arm, [era][seed].

        slices: speeches of the era; snapshots: of all years up to its end; random dates: of any
        year, as many draws as there are eras (the first is also the last snapshot); second size:
        the slices with the other model.
        """
        start, stop = self.span
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
            [TextPart(card=self.card, split="train", ids=ids)],
            seed,
            self.speeches(),
            self.age_tokens,
            model=self.second_model if second else self.model,
            keep_weights=not second,
        )

    def speeches(self) -> tuple[Evaluation, ...]:
        """All held-out documents, `speech_tokens` of each. Nothing is chosen by the validation
        split here, so that both splits serve as evaluation sets."""
        return tuple(
            Evaluation(
                name=split,
                part=TextPart(
                    card=self.card,
                    split=split,
                    ids=tuple(corpus(self.card, split).between(*self.span).ids.tolist()),
                ),
                max_tokens=self.speech_tokens,
            )
            for split in HELD_OUT
        )

    @property
    def task(self) -> PartyTask:
        """Classification by the label in the eras from `labelled_from` on."""
        eras = tuple(self.eras[era] for era in self.labelled)
        return PartyTask(eras, self.windows, self.card, self.label, self.classes)

    def fine_tuning(
        self, pretrained: Mapping[str, Sequence[Sequence[LanguageModelSpec]]]
    ) -> dict[tuple[int, str], list[list[FineTuneSpec]]]:
        """Fine-tuning for the task, by steps and era of pretraining (or "random dates"), [era of
        fine-tuning][seed and half]; none without labels."""
        if not self.has_labels:
            return {}
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
        """Validate before running; raises UserError for undated documents, eras with too little
        text, too little disk."""
        runs = self.seeds * 4 * len(self.eras)
        self.check(runs=runs, budget="age_tokens")
        for first, last in self.eras:
            self.documents(first, last, 0, 0)
        held = np.concatenate([corpus(self.card, split).years for split in HELD_OUT])
        for first, last in self.eras:
            if not ((held >= first) & (held <= last)).any():
                raise UserError(f"era_starts: no held-out document is of {first} to {last}.")


Eras = tuple[tuple[int, int], ...]


def training_documents(
    card: str,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Years, ids and bytes (N,) of the documents of a card's training split."""
    found = corpus(card, "train")
    return found.years, found.ids, _sizes(found.texts)


@lru_cache(maxsize=4)
def _sizes(texts: tuple[str, ...]) -> NDArray[np.int64]:
    return np.array([len(text.encode()) for text in texts], dtype=np.int64)


def bytes_in(card: str, eras: Eras) -> list[int]:
    """Bytes of training text of every era."""
    years, _, sizes = training_documents(card)
    return [int(sizes[(years >= first) & (years <= last)].sum()) for first, last in eras]


def eras_of(card: str, starts: Sequence[int], last_year: int) -> Eras:
    """The eras with these starts, if three of them or more hold text of the card, and else as many
    of its own time, or as many as can be: of equal text, 20,000 bytes or more, each with held-out
    documents. Raises UserError where three are too many."""
    years, _, sizes = training_documents(card)
    held = np.concatenate([corpus(card, split).years for split in HELD_OUT])
    given = tuple(zip(starts, [*(s - 1 for s in starts[1:]), last_year], strict=True))
    if sum(map(bool, bytes_in(card, given))) >= 3:
        return given
    both = np.concatenate([years, held])
    first, last = int(both.min()), int(both.max())
    parts = np.cumsum(np.bincount(years - first, sizes, last - first + 1)) / sizes.sum()  # by year
    for count in range(len(starts), 2, -1):
        cuts = [np.abs(parts[:-1] - i / count).argmin() for i in range(1, count) if last > first]
        begins = [first, *(first + 1 + int(cut) for cut in cuts)]
        eras = tuple(zip(begins, [*(b - 1 for b in begins[1:]), last], strict=True))
        if len(set(begins)) == count and all(
            size >= 20_000 and ((held >= a) & (held <= b)).any()
            for size, (a, b) in zip(bytes_in(card, eras), eras, strict=True)
        ):
            return eras
    raise UserError(
        f"card: the documents of {card} are of {first} to {last} and hold {int(sizes.sum()):,} "
        "bytes to train on; this chapter compares three eras or more, of 20,000 bytes each and "
        "with held-out documents."
    )
