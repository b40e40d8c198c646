"""Scores of whole corpora, as runs: made once, read by every chapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from dataworth.runs import Outcome, Result, Spec, Store, run_tasks
from dataworth.text.pools import CRAWL, DOMAINS, Pool
from dataworth.text.scorers import scorer
from dataworth.text.scores import unscored, why_unscored


class ScoresSpec(Spec):
    """The scores that a scorer gives to every document of the cards' split."""

    kind: ClassVar[str] = "scores"
    scorer: str
    cards: tuple[str, ...] = Field(min_length=1)
    split: str = "train"

    def run(self, store: Store) -> Outcome:
        """Arrays: `ids` int64 and `scores` float64 of all documents, (N,), NaN where not scored.
        Metrics: `documents`, and `unscored`: how many of them, by reason."""
        from dataworth.data import load_corpus

        corpora = [load_corpus(card, self.split) for card in self.cards]
        texts = [text for corpus in corpora for text in corpus.texts]
        scores = scorer(self.scorer).score(texts)
        ids = np.concatenate([corpus.ids for corpus in corpora])
        return Outcome(
            {"ids": ids, "scores": scores},
            {"documents": len(ids), "unscored": unscored(texts, scores)},
        )


def run_scores(names: Sequence[str], store: Store) -> list[Result]:
    """The runs that score the crawl's training split, for every scorer named."""
    cards = tuple(DOMAINS[name].card for name in CRAWL)
    specs = [ScoresSpec(scorer=name, cards=cards) for name in names]
    return run_tasks(specs, store=store, label="scores")


def crawl_scores(names: Sequence[str], store: Store) -> dict[str, dict[int, float]]:
    """Scores of all documents of the crawl's training split by id, for every scorer named."""
    return {
        name: dict(zip(r.arrays["ids"].tolist(), r.arrays["scores"].tolist(), strict=True))
        for name, r in zip(names, run_scores(names, store), strict=True)
    }


def scorable(pool: Pool) -> Pool:
    """A pool without the documents that have no word or are evidently not in English, as C4 has
    none: a filter would drop them unread, and its price would be that of their language."""
    return pool.take(np.array([why_unscored(text) is None for text in pool.texts]))
