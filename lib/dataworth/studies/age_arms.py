"""The training sets of the chapter *data age*: documents of one time, of all times up to one, of a
few years up to one, and of any time, on any corpus whose documents have a year.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from dataworth.arrays import Array
from dataworth.data.catalog import card as find_card
from dataworth.errors import UserError
from dataworth.parameters import field
from dataworth.studies.party_task import HELD_OUT, SPEECHES, PartyTask, corpus
from dataworth.studies.text import TextStudy, authors_in, awaited, check_model, check_texts, fit
from dataworth.text.count_models import ORDERS, CountsSpec
from dataworth.text.downstream import FineTuneSpec
from dataworth.text.evaluation import Evaluation
from dataworth.text.pools import DOMAINS, Domain, whole_card
from dataworth.text.tokens import TextPart
from dataworth.text.training import LanguageModelSpec

if TYPE_CHECKING:
    from dataworth.studies.text_cost import Training

CLOSE = 0.85  # an arm must hold this fraction of its bytes
BOOK = ("rfc", SPEECHES)
"""The cards of the book."""
RECENT, UP_TO = "recent years", "all years up to one"
"""The arms of which it is asked when old text begins to hurt, by their cut-offs."""
MAIN = ("slices", "snapshots", "random dates")

Year = Annotated[int, Field(ge=1, le=9999)]
Starts = Annotated[tuple[Year, ...], Field(min_length=3)]


@dataclass(frozen=True)
class Timeline:
    """A dated corpus in eras: the first year of each and the last year of the last. every: years
    between two cut-offs of `RECENT` and `UP_TO`; 0 for the ends of the eras."""

    card: str
    starts: tuple[int, ...]
    last: int
    every: int = 0

    @property
    def eras(self) -> tuple[tuple[int, int], ...]:
        """First and last year of every era."""
        ends = [*(start - 1 for start in self.starts[1:]), self.last]
        return tuple(zip(self.starts, ends, strict=True))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{first}-{last}" for first, last in self.eras)

    @property
    def middles(self) -> Array:
        """The middle of every era (E,), in years: its place in time for the slopes."""
        return np.array(self.eras, dtype=float).mean(1)

    def era_of(self, years: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of the era of every year."""
        return np.searchsorted(self.starts, years, side="right") - 1

    @property
    def recent(self) -> tuple[tuple[int, int], ...]:
        """First and last year of the text of `RECENT`: as many years as the last era has."""
        if not self.every:
            return self.eras
        span = self.last - self.starts[-1] + 1
        ends = range(self.starts[0] + span - 1, self.last + 1, self.every)
        return tuple((end - span + 1, end) for end in ends)

    @property
    def cutoffs(self) -> tuple[int, ...]:
        """Last year of the text of every arm of `RECENT` and `UP_TO`."""
        return tuple(last for _, last in self.recent)

    def spans(self) -> dict[str, list[tuple[int, int, int]]]:
        """First year, last year and number of the draw of every training set, by arm.

        slices: documents of an era; snapshots: of all years up to its end; random dates: of any
        year, as many draws as there are eras (the first is also the last snapshot).
        """
        start, stop = self.starts[0], self.last
        return {
            "slices": [(first, last, 0) for first, last in self.eras],
            "snapshots": [(start, last, 0) for _, last in self.eras],
            "random dates": [(start, stop, draw) for draw in range(len(self.eras))],
            RECENT: [(first, last, 0) for first, last in self.recent],
            UP_TO: [(start, last, 0) for last in self.cutoffs],
        }


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out documents (N,), those of `HELD_OUT` one after the other."""

    ids: NDArray[np.int64]
    years: NDArray[np.int64]
    authors: NDArray[np.str_]
    evaluations: tuple[Evaluation, ...]


class DataAge(TextStudy):
    """Parameters of the chapter."""

    card: str = field(f"corpus: {BOOK[0]}, {BOOK[1]}, or a card of your own with dates")
    era_starts: Starts = field("first year of every era", "year")
    last_year: Year = field("last year of the last era", "year")
    cut_every: int = field(
        "years between cut-offs of old text (0: the ends of the eras)", "years", ge=0, le=1000
    )
    second_card: str = field("second dated corpus, by card")
    second_starts: Starts = field("first year of every era of the second corpus", "year")
    second_last: Year = field("last year of its last era", "year")
    age_bytes: int = field("different training text of every arm", "bytes", ge=20_000, le=10**15)
    draws: int = field("pools that every arm of counts is sampled from", "pools", ge=2, le=1000)
    document_tokens: int = field(
        "tokens of every held-out document, from its beginning", "tokens", ge=50, le=10**9
    )
    held_out_documents: int = field(
        "held-out documents of every era, at most", "documents", ge=5, le=10**9
    )
    decoder_eras: int = field(
        "eras of the corpus that decoders are trained on, evenly spread", "eras", ge=2, le=1000
    )
    age_tokens: int = field("training budget of every decoder", "tokens", ge=4096, le=10**15)
    second_model: str = field("the other size of decoder, by name")
    label: str = field(
        "column of the speeches, or of your own card, that fine-tuning learns to tell"
    )
    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=2)] = field("its two values")
    party_starts: Annotated[tuple[Year, ...], Field(min_length=2)] = field(
        "first year of every era of fine-tuning on speeches (your own card: its eras)", "year"
    )
    party_last: Year = field("last year of its last era", "year")
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

    @property
    def own(self) -> bool:
        """Whether the corpus is a card of one's own."""
        return self.card not in BOOK and check_texts(self.card) and not awaited(self.card)

    @model_validator(mode="after")
    def _fits_the_card(self) -> Self:
        """Eras in which one's own card has no text give way to as many of its own time; text and
        labels to what it has."""
        if self.own:
            eras = eras_of(self.card, self.era_starts, self.last_year)
            fit(
                self,
                era_starts=tuple(first for first, _ in eras),
                last_year=eras[-1][1],
                cut_every=0,
                decoder_eras=min(self.decoder_eras, len(eras)),
                age_bytes=min(self.age_bytes, *bytes_in(self.card, eras)),
            )
            if self.has_labels:
                fit(self, classes=self._classes())
        return self

    @model_validator(mode="after")
    def _eras_follow(self) -> Self:
        for starts, last in (
            ("era_starts", "last_year"),
            ("second_starts", "second_last"),
            ("party_starts", "party_last"),
        ):
            years = getattr(self, starts)
            if list(years) != sorted(set(years)):
                raise ValueError(f"{starts} must rise")
            if getattr(self, last) <= years[-1]:
                raise ValueError(f"{last} must come after the last of {starts}")
        if self.decoder_eras > len(self.era_starts):
            raise ValueError(
                f"decoder_eras is {self.decoder_eras}; era_starts has {len(self.era_starts)}"
            )
        if self.card == self.second_card:
            raise ValueError(f"card and second_card are both {self.card!r}; they must differ")
        return self

    @property
    def lines(self) -> tuple[Timeline, Timeline]:
        """The corpus in eras, and the second one."""
        return (
            Timeline(self.card, self.era_starts, self.last_year, self.cut_every),
            Timeline(self.second_card, self.second_starts, self.second_last),
        )

    @property
    def party_line(self) -> Timeline:
        """What models are fine-tuned on: the speeches, or a card of one's own, in eras."""
        if self.own:
            return self.lines[0]
        return Timeline(SPEECHES, self.party_starts, self.party_last)

    @property
    def has_labels(self) -> bool:
        """Whether that corpus has the column that fine-tuning needs."""
        return self.label in find_card(self.card if self.own else SPEECHES).labels

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
        return {self.card: whole_card(self.card)} if self.own else DOMAINS

    @property
    def decoded(self) -> tuple[int, ...]:
        """Numbers of the eras that decoders are trained on."""
        spread = np.linspace(0, len(self.era_starts) - 1, self.decoder_eras)
        return tuple(np.rint(spread).astype(int).tolist())

    def documents(self, card: str, first: int, last: int, draw: int, run: int) -> tuple[int, ...]:
        """Ids of random training documents of the years `first` to `last`, about `age_bytes` in
        all: in random order, each taken that still fits. Arms of one `draw` and `run` go by one
        order, so that they share what they can.

        Raises UserError if the years hold too little text.
        """
        years, ids, sizes = training_documents(card)
        ranks = np.random.default_rng([self.seed + run, 0xA6E, draw]).random(len(ids))
        inside = np.flatnonzero((years >= first) & (years <= last))
        chosen, total = [], 0
        for row in inside[np.argsort(ranks[inside])].tolist():
            if total + sizes[row] <= self.age_bytes:
                chosen.append(int(ids[row]))
                total += int(sizes[row])
        if total < CLOSE * self.age_bytes:
            held = int(sizes[inside].sum())
            raise UserError(
                f"age_bytes: the documents of {card} of {first} to {last} fill {total:,} of the "
                f"{self.age_bytes:,} bytes asked for (they hold {held:,}); choose fewer bytes, or "
                "enough for one whole document."
            )
        return tuple(sorted(chosen))

    def part(self, card: str, span: tuple[int, int, int], run: int) -> TextPart:
        """The training set of a span (`Timeline.spans`) and a run."""
        return TextPart(card=card, split="train", ids=self.documents(card, *span, run))

    def counts(self, line: Timeline) -> dict[str, list[list[CountsSpec]]]:
        """Counts of three tokens by arm, [training set][draw]; and of one and two, the slices'."""
        spans = line.spans()
        rows = {arm: (spans[arm], "trigram") for arm in spans}
        rows |= {name: (spans["slices"], name) for name in ORDERS if name != "trigram"}
        evaluations = self.documents_of(line).evaluations
        return {
            arm: [
                [
                    CountsSpec(
                        parts=(self.part(line.card, span, run),),
                        tokenizer=self.tokenizer(),
                        order=ORDERS[model],
                        evaluations=evaluations,
                    )
                    for run in range(self.draws)
                ]
                for span in of
            ]
            for arm, (of, model) in rows.items()
        }

    def decoders(self) -> dict[str, list[list[LanguageModelSpec]]]:
        """Decoders of both sizes by name, [one of `decoded`][seed], on slices of the corpus."""
        line = self.lines[0]
        spans = [line.spans()["slices"][era] for era in self.decoded]
        found = self.documents_of(line).evaluations
        return {
            model: [
                [
                    self._decoder(self.part(line.card, span, seed), seed, model, found)
                    for seed in range(self.seeds)
                ]
                for span in spans
            ]
            for model in (self.model, self.second_model)
        }

    def _decoder(
        self, part: TextPart, seed: int, model: str, evaluations: Sequence[Evaluation], **more: bool
    ) -> LanguageModelSpec:
        return self.language_model([part], seed, evaluations, self.age_tokens, model=model, **more)

    def documents_of(self, line: Timeline) -> HeldOut:
        """Held-out documents of a corpus, at most `held_out_documents` of every era. Nothing is
        chosen by the validation split here, so that both splits serve as evaluation sets."""
        return _held_out(line, self.held_out_documents, self.document_tokens, self.seed)

    @property
    def task(self) -> PartyTask:
        """Classification by the label in the eras of `party_line`."""
        line = self.party_line
        return PartyTask(line.eras, self.windows, line.card, self.label, self.classes)

    def starts(self) -> dict[str, list[LanguageModelSpec]]:
        """Decoders that fine-tuning starts from, by era of their speeches (or "random dates"): one
        a seed; none without labels."""
        line = self.party_line
        if not self.has_labels:
            return {}
        spans = dict(zip(line.names, line.spans()["slices"], strict=True))
        spans["random dates"] = line.spans()["random dates"][0]
        return {
            name: [
                self._decoder(
                    self.part(line.card, span, seed), seed, self.model, (), keep_weights=True
                )
                for seed in range(self.seeds)
            ]
            for name, span in spans.items()
        }

    def fine_tuning(self) -> dict[tuple[int, str], list[list[FineTuneSpec]]]:
        """Fine-tuning for the task, by steps and era of pretraining (or "random dates"), [era of
        fine-tuning][seed and half]."""
        return {
            (steps, name): self.task.specs(models, steps)
            for steps in self.steps
            for name, models in self.starts().items()
        }

    def trainings(self) -> list[Training]:
        """Decoders to train."""
        from dataworth.studies.text_cost import Training

        runs = self.seeds * self.decoder_eras
        party = self.seeds * (len(self.party_line.eras) + 1) * self.has_labels
        return [
            *(
                Training("slices", m, runs, self.age_tokens)
                for m in (self.model, self.second_model)
            ),
            Training("speeches", self.model, party, self.age_tokens),
        ]

    def preflight(self) -> None:
        """Validate before running; raises UserError for undated documents, eras with too little
        text, too little disk."""
        runs = self.seeds * (2 * self.decoder_eras + len(self.party_line.eras) + 1)
        self.check(runs=runs, budget="age_tokens")
        for line in (*self.lines, self.party_line):
            for arm in ("slices", RECENT):
                for span in line.spans()[arm]:
                    self.documents(line.card, *span, 0)
        for line in self.lines:
            held = line.era_of(self.documents_of(line).years)
            for era, (first, last) in enumerate(line.eras):
                if era not in held:
                    raise UserError(
                        f"era_starts: no held-out document of {line.card} is of {first} to {last}."
                    )


@cache
def _held_out(line: Timeline, most: int, tokens: int, seed: int) -> HeldOut:
    parts = [corpus(line.card, split) for split in HELD_OUT]
    years = np.concatenate([c.years for c in parts])
    rank = np.random.default_rng([seed, 0xA6E]).permutation(len(years))
    chosen = np.zeros(len(years), dtype=bool)
    for first, last in line.eras:
        inside = np.flatnonzero((years >= first) & (years <= last))
        chosen[inside[np.argsort(rank[inside])][:most]] = True
    ids, who = (
        np.concatenate(x) for x in zip(*((c.ids, authors_in(c)) for c in parts), strict=True)
    )
    of = np.repeat(np.arange(len(parts)), [len(c) for c in parts])
    evaluations = tuple(
        Evaluation(
            name=split,
            part=TextPart(card=line.card, split=split, ids=tuple(ids[here].tolist())),
            max_tokens=tokens,
        )
        for i, split in enumerate(HELD_OUT)
        if (here := chosen & (of == i)).any()
    )
    return HeldOut(ids[chosen], years[chosen], who[chosen], evaluations)


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
    """The eras with these starts, if all of them hold text of the card, and else as many of its own
    time, or as many as can be: of equal text, 20,000 bytes or more, each with held-out documents.
    Raises UserError where three are too many."""
    years, _, sizes = training_documents(card)
    held = np.concatenate([corpus(card, split).years for split in HELD_OUT])
    given = tuple(zip(starts, [*(s - 1 for s in starts[1:]), last_year], strict=True))
    if all(bytes_in(card, given)):
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
