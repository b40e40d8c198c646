"""Scores of whole corpora, as runs: made once, read by every chapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from dataworth.errors import UserError
from dataworth.runs import Outcome, Result, Spec, Store, run_tasks
from dataworth.text.own_scorers import OwnScorer, digest, is_own, own_scorer
from dataworth.text.pools import Pool
from dataworth.text.quality import reference_scorer
from dataworth.text.scorers import scorer
from dataworth.text.scores import Scorer, unscored, why_unscored


class ScoresSpec(Spec):
    """The scores that a scorer gives to every document of the cards' split.

    scorer: a name, or one by value (`text.own_scorers`), whose content is the `digest`. positives,
    negatives: cards of another quality classifier than the shipped one.
    """

    kind: ClassVar[str] = "scores"
    scorer: str
    cards: tuple[str, ...] = Field(min_length=1)
    split: str = "train"
    digest: str = ""
    positives: tuple[str, ...] = ()
    negatives: tuple[str, ...] = ()

    def run(self, store: Store) -> Outcome:
        """Arrays: `ids` int64 and `scores` float64 of all documents, (N,), NaN where not scored.
        Metrics: `documents`, and `unscored`: how many of them, by reason."""
        from dataworth.data import load_corpus

        corpora = [load_corpus(card, self.split) for card in self.cards]
        texts = [text for corpus in corpora for text in corpus.texts]
        scores = self.made().score(texts)
        ids = np.concatenate([corpus.ids for corpus in corpora])
        return Outcome(
            {"ids": ids, "scores": scores},
            {"documents": len(ids), "unscored": unscored(texts, scores)},
        )

    def made(self) -> Scorer | OwnScorer:
        """The scorer itself. Raises UserError where one by value has changed meanwhile."""
        if self.positives:
            return reference_scorer(positives=self.positives, negatives=self.negatives)
        if not is_own(self.scorer):
            return scorer(self.scorer)
        if digest(self.scorer) != self.digest:
            raise UserError(f"scorer: {self.scorer} was changed while it was being used.")
        return own_scorer(self.scorer)


def scores_spec(
    name: str,
    cards: tuple[str, ...],
    positives: tuple[str, ...] = (),
    negatives: tuple[str, ...] = (),
) -> ScoresSpec:
    """The run that scores the training split of cards."""
    return ScoresSpec(
        scorer=name,
        cards=cards,
        digest=digest(name) if is_own(name) else "",
        positives=positives,
        negatives=negatives,
    )


def run_scores(specs: Sequence[ScoresSpec], store: Store) -> list[dict[int, float]]:
    """Scores of all documents by id, for every run."""
    found: list[Result] = run_tasks(list(specs), store=store, label="scores")
    return [
        dict(zip(r.arrays["ids"].tolist(), r.arrays["scores"].tolist(), strict=True)) for r in found
    ]


def scorable(pool: Pool) -> Pool:
    """A pool without the documents that have no word or are evidently not in English, as C4 has
    none: a filter would drop them unread, and its price would be that of their language."""
    kept = np.array([why_unscored(text) is None for text in pool.texts])
    if not kept.any():
        raise UserError(
            f"card: none of the {len(pool):,} documents that were drawn is in English, and the "
            "chapter's scorers of quality and toxicity read no other language."
        )
    return pool.take(kept)
