"""Downstream tasks of the filter studies: multiple choice by domain, identification of toxic
sentences and of spam, and toxic generation.

The paper's sets of toxic sentences need a network. Here the sentences of the web card that hold a
phrase of the word list naughty-words are the toxic ones: silver labels, which the filter under
study (the linear scorer) did not make. Documents for fine-tuning lie outside the crawl, so that no
filter has removed some that others have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataworth.arrays import Array
from dataworth.errors import UserError
from dataworth.runs import Result, Spec, Store
from dataworth.stats import over_examples, over_seeds
from dataworth.studies.text import multiple_choice
from dataworth.text.downstream import FINE_TUNING, FineTuneSpec, choice_scores
from dataworth.text.generation import GenerationSpec, toxic_share, toxicity_scores
from dataworth.text.pools import CRAWL, DOMAINS, Pool, draw, whole_domain
from dataworth.text.scorers import scorer
from dataworth.text.scores import FLAGS
from dataworth.text.tokens import TextPart
from dataworth.text.training import Evaluation, LanguageModelSpec

Labelled = tuple[TextPart, tuple[Evaluation, ...], tuple[tuple[str, ...], ...], tuple[str, ...]]

LARGER = 1.5  # times the crawl: the largest from which a filter under test chooses
QUESTION, ANSWER = 16, 8  # tokens
NEGATIVES = 3  # sentences without a listed phrase for each one with, in the evaluation sets
PROMPT_WORDS = 6
TUNING = FINE_TUNING.model_copy(update={"learning_rate": 3e-3})


class Task(NamedTuple):
    """spec: the runs that it is scored from; what: what the number is."""

    spec: str
    what: str
    unit: str
    better: str


TASKS = {
    "margin": Task("choice", "multiple choice, margin of the true answer", "bits per byte", "up"),
    "accuracy": Task("choice", "multiple choice, right answers", "%", "up"),
    "toxic": Task("toxic", "identification of toxic sentences, AUROC", "%", "up"),
    "spam": Task("spam", "identification of spam, AUROC", "%", "up"),
    "generation": Task("generation", "toxic continuations", "%", "down"),
}
"""Scores by name."""


@dataclass(frozen=True)
class Tasks:
    """The tasks for one size of study; the fields are those of `Filtering`."""

    pool_bytes: int
    examples: int
    steps: int
    questions: int
    prompts: int
    samples: int
    seed: int

    names = ("choice", "toxic", "spam", "generation")

    def specs(self, task: str, pretrained: LanguageModelSpec) -> list[Spec]:
        """The runs of a task for one model."""
        if task == "choice":
            return [multiple_choice(pretrained, self.questions, QUESTION, ANSWER, self.seed)]
        if task == "generation":
            prompts = self.prompt_texts
            return [
                GenerationSpec(
                    pretrained=pretrained,
                    prompts=(*prompts["toxic"], *prompts["other"]),
                    samples=self.samples,
                    seed=pretrained.seed,
                )
            ]
        train, evaluations, labels, classes = self._labelled[task]
        return [
            FineTuneSpec(
                pretrained=pretrained,
                train=train,
                evaluations=evaluations,
                labels=labels,
                classes=classes,
                steps=self.steps,
                optimisation=TUNING,
                seed=pretrained.seed,
            )
        ]

    @cached_property
    def _labelled(self) -> dict[str, Labelled]:
        """Training documents, evaluation sets, labels of both, and classes (the second is the one
        to find) of both identification tasks."""
        seen = draw(CRAWL, round(LARGER * self.pool_bytes), seed=self.seed)
        found: dict[str, Labelled] = {}
        for task, domain, splits, ratio in (
            ("toxic", "web", ("validation", "test"), NEGATIVES),
            ("spam", "mail", ("test",), 1),
        ):
            other = {"toxic": "other", "spam": "ham"}[task]
            train = whole_domain(domain, "train")
            train = train.take(~np.isin(train.ids, seen.ids))
            sets = [self._classes(train, task, self.examples, 1)]
            for split in splits:
                sets.append(self._classes(whole_domain(domain, split), task, self.examples, ratio))
            card = DOMAINS[domain].card
            parts = [
                TextPart(card=card, split=split, ids=tuple(ids.tolist()))
                for split, (ids, _) in zip(("train", *splits), sets, strict=True)
            ]
            evaluations = tuple(
                Evaluation(name=split, part=part)
                for split, part in zip(splits, parts[1:], strict=True)
            )
            labels = tuple(
                tuple(task if positive else other for positive in truth.tolist())
                for _, truth in sets
            )
            found[task] = (parts[0], evaluations, labels, (other, task))
        return found

    def _classes(
        self, pool: Pool, task: str, most: int, ratio: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Ids and truth of at most `most` positives and `ratio` times as many negatives."""
        if task == "toxic":
            hits = scorer("bad-words").score(pool.texts)  # NaN, not scored: in neither class
            positive, negative = hits > 0, hits == 0
        else:
            positive = _spam(pool)
            negative = ~positive
        rng = _rng(self.seed, f"{task} {pool.split}")
        yes = rng.permutation(np.flatnonzero(positive))[:most]
        no = rng.permutation(np.flatnonzero(negative))[: ratio * len(yes)]
        if not len(yes) or not len(no):
            raise UserError(
                f"examples: {pool.split} documents for identification of {task} are all of one "
                "class; choose a smaller pool_bytes."
            )
        return pool.ids[np.concatenate([yes, no])], np.repeat([True, False], [len(yes), len(no)])

    @cached_property
    def prompt_texts(self) -> dict[str, tuple[str, ...]]:
        """The first six words of held-out sentences, toxic ones (by the linear scorer) and others,
        of no fewer than ten words."""
        pool = whole_domain("web", "test")
        long = np.array([len(text.split()) >= PROMPT_WORDS + 4 for text in pool.texts])
        scores = scorer("toxicity").score(pool.texts)  # NaN, not scored: of neither kind
        found = {}
        for kind, mask in (
            ("toxic", (scores >= FLAGS["toxicity"]) & long),
            ("other", (scores < FLAGS["toxicity"]) & long),
        ):
            rows = _rng(self.seed, f"prompt {kind}").permutation(np.flatnonzero(mask))
            starts = (" ".join(pool.texts[row].split()[:PROMPT_WORDS]) for row in rows.tolist())
            found[kind] = tuple(dict.fromkeys(starts))[: self.prompts]
        count = min(map(len, found.values()))
        if not count:
            raise UserError("prompts: the held-out sentences hold no toxic one to begin with.")
        return {kind: texts[:count] for kind, texts in found.items()}


def score_task(
    results: Sequence[Sequence[Result]],
    task: str,
    group: str | None,
    *,
    store: Store,
    resamples: int,
    seed: int,
) -> tuple[float, Array]:
    """A task's score, and bootstrap versions of it over test items and seeds.

    results: the runs of each seed. What is resampled: fours of questions in multiple choice,
    documents of each class in identification, prompts in generation (those of which every seed has
    a continuation that the scorer can score; NaN if there is none).
    """
    if task in ("toxic", "spam"):
        logits = [
            np.concatenate([v for k, v in sorted(r.arrays.items()) if k.startswith("logits_")])
            for (r,) in results
        ]
        first = results[0][0].arrays
        truth = np.concatenate([v for k, v in sorted(first.items()) if k.startswith("labels_")])
        scores = np.stack([each[:, 1] - each[:, 0] for each in logits]).astype(np.float64)
        value, draws = auroc_draws(scores, truth == 1, resamples=resamples, seed=seed)
        return 100 * value, 100 * draws
    if task == "generation":
        values = np.stack([_toxic_shares(store.root, r.spec) for (r,) in results])
        half = values.shape[1] // 2
        groups = np.repeat(["toxic", "other"], [half, values.shape[1] - half])
        known = np.asarray(np.isfinite(values).all(axis=0))
        asked = np.ones(len(groups), bool) if group is None else groups == group
        if asked.any() and not known[asked].any():
            return np.nan, np.full(resamples, np.nan)
        values, groups = values[:, known], groups[known]
    else:
        place = {"accuracy": 0, "margin": 1}[task]
        values = np.stack(
            [
                np.concatenate(
                    [choice_scores(r.arrays["nats"], r.arrays["bytes"])[place] for r in of_seed]
                ).mean(1)
                for of_seed in results
            ]
        )
        groups = np.concatenate([r.arrays["groups"] for r in results[0]])
    if group is not None:
        values = values[:, groups == group]
        if not values.shape[1]:
            raise UserError(f"group: task {task} has no {group!r}.")
    factor = 1.0 if task == "margin" else 100.0
    drawn = over_examples(values, resamples=resamples, seed=seed)
    return factor * float(values.mean()), factor * over_seeds(drawn, seed=seed)


@lru_cache(maxsize=256)
def _toxic_shares(root: Path, spec: Spec) -> Array:
    """Share of toxic ones among each prompt's continuations, (P,), by the linear scorer."""
    store = Store(root)
    scores = toxicity_scores(store.load(spec), scorer("toxicity").score, store)
    return toxic_share(scores, FLAGS["toxicity"])


def auroc_draws(
    scores: Array, positive: NDArray[np.bool_], *, resamples: int, seed: int
) -> tuple[float, Array]:
    """Area under the ROC curve, the mean over seeds, and bootstrap versions (B,) of it in which
    positives, negatives and seeds are resampled. scores (S, N), positive (N,)."""
    rng = np.random.default_rng([seed, 0xA0C])
    n, m = int(positive.sum()), int((~positive).sum())
    yes = rng.multinomial(n, np.full(n, 1 / n), size=resamples) / n
    no = rng.multinomial(m, np.full(m, 1 / m), size=resamples) / m
    values, draws = [], []
    for row in scores:
        a, b = row[positive][:, None], row[~positive][None, :]
        wins = (a > b) + 0.5 * (a == b)
        values.append(float(wins.mean()))
        draws.append(((yes @ wins) * no).sum(1))
    return float(np.mean(values)), over_seeds(np.stack(draws, 1), seed=seed)


def _spam(pool: Pool) -> NDArray[np.bool_]:
    from dataworth.data import load_corpus

    corpus = load_corpus("spam-assassin", pool.split)
    spam = set(corpus.ids[corpus.labels["spam"] == "spam"].tolist())
    return np.array([i in spam for i in pool.ids.tolist()])


def _rng(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, 0x7A5B, *name.encode()])
