"""The downstream task of *data age*: classification of documents by a label of two classes, such as
speeches by the party of their president, and what the time of pretraining and of fine-tuning does
to its loss.

Authors are in two halves. Fine-tuning sees the documents of one half, in every seed once either
half, so that models can be evaluated on authors of whom fine-tuning saw nothing: what a speaker
always says would give the party away.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataworth.arrays import Array
from dataworth.data.catalog import card as find_card
from dataworth.data.documents import UNDATED
from dataworth.display import Sentence
from dataworth.errors import UserError
from dataworth.runs import Result
from dataworth.runs.kept import keep
from dataworth.stats import Estimate, estimate
from dataworth.studies.text import authors_in
from dataworth.text.downstream import FineTuneSpec
from dataworth.text.evaluation import Evaluation
from dataworth.text.temporal import Losses, Slope, degradation, losses_by_era
from dataworth.text.tokens import TextPart
from dataworth.text.training import LanguageModelSpec

if TYPE_CHECKING:
    import pandas as pd

    from dataworth.data import Corpus

SPEECHES = "sotu"
"""The card of the book."""
HELD_OUT = ("validation", "test")
BATCH = 8
DECADE = 10
LABELS = {"random dates": "dates permuted (placebo)"}
"""What an arm of *data age* is called on the page, where its name says too little."""


def corpus(card: str, split: str) -> Corpus:
    """The documents of a split, which all have a date; UserError where one has none."""
    from dataworth.data import load_corpus

    found = load_corpus(card, split)
    if card != SPEECHES and (missing := int((found.years == UNDATED).sum())):
        raise UserError(
            f"card: {missing:,} of the {len(found):,} documents of {card} ({split}) have no date, "
            "and this chapter is about dates; add the data again without them "
            f"(dataworth data add --id {card} --undated drop)."
        )
    return found.dated()


@keep
def held_out(
    card: str, span: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.str_], NDArray[np.int64]]:
    """Years, authors and ids (N,) of the held-out documents of a first to a last year."""
    parts = [corpus(card, split).between(*span) for split in HELD_OUT]
    return (
        np.concatenate([c.years for c in parts]),
        np.concatenate([authors_in(c) for c in parts]),
        np.concatenate([c.ids for c in parts]),
    )


@dataclass(frozen=True)
class PartyTask:
    """eras: first and last years of the eras with classification, one after the other; windows: how
    many are read of every document; card, label, classes: whose column, and its two values."""

    eras: tuple[tuple[int, int], ...]
    windows: int
    card: str = SPEECHES
    label: str = "party"
    classes: tuple[str, ...] = ("Republican", "Democratic")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the eras."""
        return tuple(f"{first}-{last}" for first, last in self.eras)

    @property
    def span(self) -> tuple[int, int]:
        """First and last year of all eras."""
        return self.eras[0][0], self.eras[-1][1]

    def specs(self, models: Sequence[LanguageModelSpec], steps: int) -> list[list[FineTuneSpec]]:
        """Fine-tuning of the models (one a seed), [era of fine-tuning][seed and half]. All are
        evaluated on all held-out speeches of a known party."""
        held_out = tuple(
            Evaluation(
                name=split, part=TextPart(card=self.card, split=split, ids=self.speeches(split))
            )
            for split in HELD_OUT
        )
        return [
            [
                FineTuneSpec(
                    pretrained=model,
                    train=TextPart(
                        card=self.card, split="train", ids=self.speeches("train", era, half)
                    ),
                    evaluations=held_out,
                    label=self.label,
                    classes=self.classes,
                    windows=self.windows,
                    batch=BATCH,
                    steps=steps,
                    seed=model.seed,
                )
                for model in models
                for half in range(2)
            ]
            for era in range(len(self.eras))
        ]

    def speeches(
        self, split: str, era: int | None = None, half: int | None = None
    ) -> tuple[int, ...]:
        """Ids of the documents of a known class: of all eras or one, of all authors or one half.
        Raises UserError if one class is missing."""
        ids, parties, speakers = self._known(split, era)
        if half is not None:
            halves = self.halves()
            inside = np.array([halves.get(name) == half for name in speakers.tolist()], dtype=bool)
            ids, parties = ids[inside], parties[inside]
        if missing := set(self.classes) - set(parties.tolist()):
            first, last = self._span(era)
            raise UserError(
                f"era_starts: {first} to {last} has no document whose {self.label} is "
                f"{sorted(missing)[0]!r} in the {split} split (of half of the authors); choose "
                "longer eras."
            )
        return tuple(ids.tolist())

    def halves(self) -> dict[str, int]:
        """The half, 0 or 1, of every author of documents of a known class.

        Of each era and class, authors go, most training documents first, to the half that has fewer
        such documents so far; who wrote in two eras stays in the first one's half.
        """
        held = {name for split in HELD_OUT for name in self._known(split)[2].tolist()}
        found: dict[str, int] = {}
        for era, party in itertools.product(range(len(self.eras)), self.classes):
            _, parties, speakers = self._known("train", era)
            counts = Counter(speakers[parties == party].tolist())
            for name in sorted(counts, key=lambda name: (-counts[name], name)):
                totals = [
                    sum(n for other, n in counts.items() if found.get(other) == half)
                    for half in range(2)
                ]
                found.setdefault(name, int(totals[1] < totals[0]))
        return found | dict.fromkeys(sorted(held - set(found)), 0)

    def _span(self, era: int | None) -> tuple[int, int]:
        return self.span if era is None else self.eras[era]

    @keep
    def _known(
        self, split: str, era: int | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.str_], NDArray[np.str_]]:
        """Ids, classes and authors of the documents of a known class: of all eras or one."""
        found, who = corpus(self.card, split), authors_in(corpus(self.card, split))
        first, last = self._span(era)
        inside = (found.years >= first) & (found.years <= last)
        inside &= np.isin(found.labels[self.label], self.classes)
        return found.ids[inside], found.labels[self.label][inside], who[inside]


def losses(cell: Sequence[Result], metric: str, half: NDArray[np.int64]) -> Array:
    """Loss in nats, or error, (S, N): of every speech by the model of its `half` (N,); cell: runs
    by seed and, within it, half."""
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
    each = np.array(values).reshape(-1, 2, len(half))  # (S, half, N)
    return np.asarray(each[:, half, np.arange(len(half))])


@dataclass(frozen=True, eq=False)
class Cube:
    """Finished fine-tuning by steps and era of pretraining, or "random dates", as
    [era of fine-tuning][seed and half]; every run is evaluated on the speeches of all eras. Without
    any, `lacking` says why, and no number is measurable."""

    task: PartyTask
    tuned: Mapping[tuple[int, str], Sequence[Sequence[Result]]]
    resamples: int
    seed: int

    @property
    def lacking(self) -> str:
        """Why there is no fine-tuning, "" where there is."""
        if self.tuned:
            return ""
        known = ", ".join(find_card(self.task.card).labels) or "none"
        return Sentence(
            f"{self.task.card} has no column '{self.task.label}' for fine-tuning to tell (label); "
            f"it has {known}."
        )

    def _nothing(self) -> Estimate:
        draws = np.full(self.resamples, np.nan)
        return Estimate(np.nan, np.nan, np.nan, draws, self.lacking)

    def _values(
        self, steps: int, unseen: bool, metric: str
    ) -> tuple[Array, NDArray[np.int64], NDArray[np.str_], NDArray[np.int64]]:
        """Losses or errors (P + 1, F, S, N) of every speech; its era, president and party (N,)."""
        years, presidents, ids = held_out(self.task.card, self.task.span)
        rows = [self.tuned[steps, name] for name in (*self.task.names, "random dates")]
        first = rows[0][0][0].arrays
        place = {i: row for row, i in enumerate(ids.tolist())}
        at = np.array([place[i] for s in HELD_OUT for i in first[f"ids_{s}"].tolist()])
        halves = self.task.halves()
        half = np.array([halves[name] for name in presidents[at].tolist()])
        seen = 1 - half if unseen else half
        values = np.array([[losses(cell, metric, seen) for cell in row] for row in rows])
        starts = [first for first, _ in self.task.eras]
        era = np.searchsorted(starts, years[at], side="right") - 1
        parties = np.concatenate([first[f"labels_{s}"] for s in HELD_OUT]).astype(np.int64)
        return values, era, presidents[at], parties

    @cache  # noqa: B019 - a study lives as long as its notebook
    def losses(self, steps: int, unseen: bool = True, metric: str = "loss") -> Losses:
        """Loss in nats (or error) of party classification, (P + 1, F, E): eras of pretraining and,
        last, random dates; eras of fine-tuning; eras of evaluation. unseen: evaluated on presidents
        of whom fine-tuning saw nothing, else on those of whom it did."""
        values, era, presidents, _ = self._values(steps, unseen, metric)
        return losses_by_era(
            values,
            np.ones(len(era)),
            era,
            authors=presidents,
            resamples=self.resamples,
            seed=self.seed,
        )

    def level(self, steps: int) -> Estimate:
        """Percent of speeches of unseen presidents whose party is right, after fine-tuning in the
        era of evaluation: mean over starts, both parties of an era with equal weight, so that
        guessing gives 50."""
        if self.lacking:
            return self._nothing()
        values, era, presidents, parties = self._values(steps, True, "error")
        wrong = values[:, era, :, np.arange(len(era))]  # (N, P + 1, S)
        cell = len(self.task.classes) * era + parties
        weight = 1 / np.bincount(cell)[cell]
        found = losses_by_era(
            np.moveaxis(wrong, 0, -1) * weight,
            weight,
            np.zeros_like(era),
            authors=presidents,
            resamples=self.resamples,
            seed=self.seed,
        )
        right = 100 * (1 - found.draws.mean((1, 2)))
        return estimate(100 * (1 - float(found.value.mean())), right)

    def degradation(self, steps: int, which: str, unseen: bool = True) -> Slope:
        """Temporal degradation of the fine-tuned loss, per year. which: `pretraining` (at the same
        fine-tuning era), `matched` (the same, fine-tuned in the era of evaluation),
        `fine-tuning` (at the same pretraining era), or `control`: random dates in the place of all
        pretraining eras against the era of fine-tuning."""
        when = np.array(self.task.eras, dtype=float).mean(1)
        found = self.losses(steps, unseen)
        eras = Losses(found.value[:-1], found.draws[:, :-1])  # (P, F, E)
        if which == "matched":
            at = np.arange(len(when))
            eras = Losses(eras.value[:, at, at], eras.draws[:, :, at, at])
        elif which == "fine-tuning":
            eras = Losses(np.swapaxes(eras.value, 0, 1), np.swapaxes(eras.draws, 1, 2))
        elif which == "control":
            eras = Losses(found.value[-1], found.draws[:, -1])
        return degradation(eras, when, when)

    def per_decade(self, steps: int, which: str, unseen: bool = True) -> Estimate:
        """The slope of `degradation`, per decade."""
        if self.lacking:
            return self._nothing()
        return self.degradation(steps, which, unseen).per_year.times(DECADE)

    def degradations(self) -> pd.DataFrame:
        """Temporal degradation of the fine-tuned loss, in nats per decade: columns `steps`,
        `presidents`, `of`, `value`, `low`, `high`, `r`, `p`."""
        cells = itertools.product(
            dict.fromkeys(steps for steps, _ in self.tuned),
            (("unseen", True), ("seen", False)),
            ("pretraining", "matched", "fine-tuning", "control"),
        )
        rows = [
            ((steps, who, which), self.degradation(steps, which, unseen))
            for steps, (who, unseen), which in cells
        ]
        return slope_table(("steps", "presidents", "of"), rows)

    def accuracy(self, steps: int, unseen: bool = True) -> pd.DataFrame:
        """Fraction of speeches whose party is right, by start (rows) and era of evaluation, after
        fine-tuning in that era."""
        import pandas as pd

        names = list(self.task.names)
        right = 1 - self.losses(steps, unseen, "error").value
        own = np.stack([right[:, e, e] for e in range(len(names))], 1)
        rows = pd.Index([*names, LABELS["random dates"]], name="pretrained on")
        return pd.DataFrame(own, index=rows, columns=names)


def slope_table(
    names: tuple[str, ...], rows: Iterable[tuple[tuple[object, ...], Slope]]
) -> pd.DataFrame:
    """Slopes by what they are of: `names`, then `value`, `low`, `high` per decade, `r`, `p`."""
    import pandas as pd

    found = [
        (*what, *(DECADE * x for x in (s.per_year.value, *s.per_year.interval)), s.r, s.p)
        for what, s in rows
    ]
    return pd.DataFrame(found, columns=[*names, "value", "low", "high", "r", "p"])
