"""The downstream task of *data age*: classification of speeches by the party of their president.

Presidents are in two halves. Fine-tuning sees the speeches of one half, in every seed once either
half, so that models can be evaluated on presidents of whom fine-tuning saw nothing: what a speaker
always says would give the party away.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataworth.arrays import Array
from dataworth.errors import UserError
from dataworth.runs import Result
from dataworth.text.downstream import FineTuneSpec
from dataworth.text.tokens import TextPart
from dataworth.text.training import Evaluation, LanguageModelSpec

if TYPE_CHECKING:
    from dataworth.data import Corpus

CARD = "sotu"
HELD_OUT = ("validation", "test")
PARTIES = ("Republican", "Democratic")
BATCH = 8


@cache
def corpus(split: str) -> Corpus:
    """The dated speeches of a split."""
    from dataworth.data import load_corpus

    return load_corpus(CARD, split).dated()


@dataclass(frozen=True)
class PartyTask:
    """eras: first and last years of the eras with party classification, one after the other;
    windows: how many are read of every speech."""

    eras: tuple[tuple[int, int], ...]
    windows: int

    def specs(self, models: Sequence[LanguageModelSpec], steps: int) -> list[list[FineTuneSpec]]:
        """Fine-tuning of the models (one a seed), [era of fine-tuning][seed and half]. All are
        evaluated on all held-out speeches of a known party."""
        held_out = tuple(
            Evaluation(name=split, part=TextPart(card=CARD, split=split, ids=self.speeches(split)))
            for split in HELD_OUT
        )
        return [
            [
                FineTuneSpec(
                    pretrained=model,
                    train=TextPart(card=CARD, split="train", ids=self.speeches("train", era, half)),
                    evaluations=held_out,
                    label="party",
                    classes=PARTIES,
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
        """Ids of the speeches of a known party: of all eras or one, of all presidents or one half.
        Raises UserError if one party is missing."""
        ids, parties, speakers = self._known(split, era)
        if half is not None:
            halves = self.halves()
            inside = np.array([halves.get(name) == half for name in speakers.tolist()], dtype=bool)
            ids, parties = ids[inside], parties[inside]
        if missing := set(PARTIES) - set(parties.tolist()):
            first, last = self._span(era)
            raise UserError(
                f"era_starts: {first} to {last} has no speech of the {sorted(missing)[0]} party in "
                f"the {split} split (of half of the presidents); choose longer eras."
            )
        return tuple(ids.tolist())

    def halves(self) -> dict[str, int]:
        """The half, 0 or 1, of every president of a known party.

        Of each era and party, presidents go, most training speeches first, to the half that has
        fewer such speeches so far; who served in two eras stays in the first one's half.
        """
        held = {name for split in HELD_OUT for name in self._known(split)[2].tolist()}
        found: dict[str, int] = {}
        for era, party in itertools.product(range(len(self.eras)), PARTIES):
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
        return (self.eras[0][0], self.eras[-1][1]) if era is None else self.eras[era]

    def _known(
        self, split: str, era: int | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.str_], NDArray[np.str_]]:
        """Ids, parties and presidents of the speeches of a known party: of all eras or one."""
        found = corpus(split)
        first, last = self._span(era)
        inside = (found.years >= first) & (found.years <= last)
        inside &= np.isin(found.labels["party"], PARTIES)
        return found.ids[inside], found.labels["party"][inside], found.labels["president"][inside]


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
