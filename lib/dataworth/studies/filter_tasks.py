"""Downstream tasks of the filter studies: multiple choice by domain, identification of toxic
sentences, and toxic generation.

The paper's sets of toxic sentences need a network. Here the scraps that hold a phrase of the word
list naughty-words are the toxic ones: silver labels, which the filter under study (the linear
scorer) did not make. Documents for fine-tuning lie outside the run's crawl, so that no filter has
removed some that others have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataworth.arrays import Array
from dataworth.errors import UserError
from dataworth.noise import seed_noise
from dataworth.runs import Result, Spec, Store
from dataworth.runs.kept import keep
from dataworth.studies.text import Named, questions_of
from dataworth.text.downstream import FINE_TUNING, FineTuneSpec, choice_scores
from dataworth.text.evaluation import Evaluation
from dataworth.text.generation import GenerationSpec, toxic_share, toxicity_scores
from dataworth.text.losses import by_part
from dataworth.text.pools import CRAWL, DOMAINS, Pool, draw, whole_domain
from dataworth.text.scorers import scorer
from dataworth.text.scores import FLAGS
from dataworth.text.tokens import TextPart
from dataworth.text.training import LanguageModelSpec

Labelled = tuple[TextPart, tuple[str, ...]]  # documents and the class of each

SENTENCES = "scraps"  # the domain of single sentences
CLASSES = ("other", "toxic")  # the second is the one to find

LARGER = 2.2  # times the crawl: the largest from which a filter chooses
QUESTION, ANSWER = 16, 8  # tokens
NEGATIVES = 3  # sentences without a listed phrase for each one with, in the evaluation sets
PROMPT_WORDS = 6
TUNING = FINE_TUNING.model_copy(update={"learning_rate": 3e-3})


class Task(NamedTuple):
    """spec: the runs that it is scored from; what: what the number is; chance: what guessing
    reaches, where a guess has a score of its own."""

    spec: str
    what: str
    unit: str
    better: str
    chance: float | None = None


TASKS = {
    "margin": Task("choice", "multiple choice, margin of the true answer", "bits per byte", "up"),
    "accuracy": Task("choice", "multiple choice, right answers", "%", "up", 25),
    "toxic": Task("toxic", "identification of toxic sentences, AUROC", "%", "up", 50),
    "generation": Task("generation", "toxic continuations", "%", "down", 0),
    "listed": Task("generation", "continuations with a listed word", "%", "down", 0),
}
"""Scores by name."""

JUDGES = {"generation": "toxicity", "listed": "bad-words"}
"""Scorers of what models write: the filter's own, and one that it does not know."""


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
    small_crawl: bool = True
    domains: Named = tuple(DOMAINS.items())

    names = ("choice", "toxic", "generation")

    def specs(self, task: str, pretrained: LanguageModelSpec) -> list[Spec]:
        """The runs of a task for one model."""
        if task == "choice":
            return [
                questions_of(self.domains, pretrained, self.questions, QUESTION, ANSWER, self.seed)
            ]
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
        train, truth = self._outside(pretrained.seed)
        evaluations, labels = self._evaluations
        return [
            FineTuneSpec(
                pretrained=pretrained,
                train=train,
                evaluations=evaluations,
                labels=(truth, *labels),
                classes=CLASSES,
                steps=self.steps,
                optimisation=TUNING,
                seed=pretrained.seed,
            )
        ]

    @cache  # noqa: B019 - lives as long as a study
    def _outside(self, seed: int) -> Labelled:
        """Documents for fine-tuning, which the crawl of the run with this seed does not hold."""
        pool = whole_domain(SENTENCES, "train")
        if self.small_crawl:  # one's own holds none of them
            seen = draw(CRAWL, round(LARGER * self.pool_bytes), seed=seed)
            pool = pool.take(~np.isin(pool.ids, seen.ids))
        return self._classes(pool, 1, seed)

    @cached_property
    def _evaluations(self) -> tuple[tuple[Evaluation, ...], tuple[tuple[str, ...], ...]]:
        """Evaluation sets and their labels, the same for all runs."""
        sets = {
            split: self._classes(whole_domain(SENTENCES, split), NEGATIVES, self.seed)
            for split in ("validation", "test")
        }
        return (
            tuple(Evaluation(name=split, part=part) for split, (part, _) in sets.items()),
            tuple(truth for _, truth in sets.values()),
        )

    def _classes(self, pool: Pool, ratio: int, seed: int) -> Labelled:
        """At most `examples` toxic documents and `ratio` times as many others."""
        hits = scorer("bad-words").score(pool.texts)  # NaN, not scored: in neither class
        rng = _rng(seed, f"toxic {pool.split}")
        yes = rng.permutation(np.flatnonzero(hits > 0))[: self.examples]
        no = rng.permutation(np.flatnonzero(hits == 0))[: ratio * len(yes)]
        if not len(yes) or not len(no):
            raise UserError(
                f"examples: {pool.split} documents for identification of toxic sentences are all "
                "of one class; choose a smaller pool_bytes."
            )
        ids = tuple(pool.ids[np.concatenate([yes, no])].tolist())
        other, toxic = CLASSES
        part = TextPart(card=DOMAINS[SENTENCES].card, split=pool.split, ids=ids)
        return part, (toxic,) * len(yes) + (other,) * len(no)

    @cached_property
    def prompt_texts(self) -> dict[str, tuple[str, ...]]:
        """The first six words of held-out sentences, toxic ones (by the linear scorer) and others,
        of no fewer than ten words."""
        pool = whole_domain(SENTENCES, "test")
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
    arms: Sequence[Sequence[Sequence[Result]]],
    task: str,
    group: str | None,
    *,
    store: Store,
    resamples: int,
    seed: int,
) -> tuple[Array, Array]:
    """A task's score (A,) of every arm, and draws (B, A) of it over test items and seeds
    (`losses.by_part`).

    arms: of each arm the runs of each seed. What is resampled: fours of questions in multiple
    choice, documents of each class in identification, prompts in generation (those of which every
    seed of the arm has a continuation that the scorer can score; NaN if there is none).
    """
    if task == "toxic":
        scores = np.stack([[_logits(runs) for runs in results] for results in arms])  # (A, S, N)
        truth = np.concatenate(
            [v for k, v in sorted(arms[0][0][0].arrays.items()) if k.startswith("labels_")]
        )
        value, draws = auroc_draws(scores, truth == 1, resamples=resamples, seed=seed)
        return 100 * value, 100 * draws
    if TASKS[task].spec == "generation":
        judge = JUDGES[task]
        values = np.stack(
            [[_toxic_shares(store.root, r.spec, judge) for (r,) in results] for results in arms]
        )
        half = values.shape[-1] // 2
        groups = np.repeat(["toxic", "other"], [half, values.shape[-1] - half])
    else:
        place = {"accuracy": 0, "margin": 1}[task]
        values = np.stack(
            [
                [
                    np.concatenate(
                        [choice_scores(r.arrays["nats"], r.arrays["bytes"])[place] for r in of_seed]
                    ).mean(1)
                    for of_seed in results
                ]
                for results in arms
            ]
        )
        groups = np.concatenate([r.arrays["groups"] for r in arms[0][0]])
    if group is not None:
        values = values[..., groups == group]
        if not values.shape[-1]:
            raise UserError(f"group: task {task} has no {group!r}.")
    factor = 1.0 if task == "margin" else 100.0
    known = np.asarray(np.isfinite(values).all(axis=1))  # (A, N)
    found = np.asarray(known.any(axis=1))
    score, draws = np.full(len(arms), np.nan), np.full((resamples, len(arms)), np.nan)
    if found.any():
        # An item that an arm lacks counts as the mean of those that it has.
        held = np.where(known[:, None], values, np.nan)[found]
        held = np.where(np.isnan(held), np.nanmean(held, -1, keepdims=True), held)
        ones, whole = np.ones(held.shape[-1]), np.zeros(held.shape[-1], np.int64)
        value, drawn = by_part(held, ones, whole, resamples=resamples, seed=seed)
        score[found], draws[:, found] = value[:, 0], drawn[..., 0]
    return factor * score, factor * draws


def _logits(runs: Sequence[Result]) -> Array:
    """Logit of the class to find less that of the other, (N,), of all evaluation sets."""
    (result,) = runs
    logits = np.concatenate(
        [v for k, v in sorted(result.arrays.items()) if k.startswith("logits_")]
    ).astype(np.float64)
    return np.asarray(logits[:, 1] - logits[:, 0])


@lru_cache(maxsize=256)
@keep
def _toxic_shares(root: Path, spec: Spec, judge: str) -> Array:
    """Share of toxic ones among each prompt's continuations, (P,), by a scorer."""
    store = Store(root)
    scores = toxicity_scores(store.load(spec), scorer(judge).score, store)
    return toxic_share(scores, FLAGS[judge])


def run_score(run: Result, store: Store) -> dict[str, float]:
    """What the record keeps of one run of a task that its own metrics lack: the share of toxic
    continuations of a generation run by every judge, in percent, NaN where none can be scored."""
    if not isinstance(run.spec, GenerationSpec):
        return {}
    found = {}
    for task, judge in JUDGES.items():
        shares = _toxic_shares(store.root, run.spec, judge)
        known = shares[np.isfinite(shares)]
        found[task] = 100 * float(known.mean()) if len(known) else np.nan
    return found


def auroc_draws(
    scores: Array, positive: NDArray[np.bool_], *, resamples: int, seed: int
) -> tuple[Array, Array]:
    """Areas under the ROC curve (A,) of arms, the means over seeds, and draws (B, A) of them:
    positives and negatives are resampled, seeds have the noise of `noise.seed_noise`. scores
    (A, S, N), positive (N,)."""
    rng = np.random.default_rng([seed, 0xA0C])
    n, m = int(positive.sum()), int((~positive).sum())
    yes = rng.multinomial(n, np.full(n, 1 / n), size=resamples) / n
    no = rng.multinomial(m, np.full(m, 1 / m), size=resamples) / m
    values, draws = [], []
    for row in scores.reshape(-1, scores.shape[-1]):
        a, b = row[positive][:, None], row[~positive][None, :]
        wins = (a > b) + 0.5 * (a == b)
        values.append(float(wins.mean()))
        draws.append(((yes @ wins) * no).sum(1))
    x, d = (np.stack(each, -1).reshape(-1, *scores.shape[:2]) for each in (values, draws))
    noise = seed_noise(x[0], d, seed=seed, blocks=np.zeros(len(scores)))
    return x[0].mean(1), d.mean(2) + noise


def _rng(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, 0x7A5B, *name.encode()])
