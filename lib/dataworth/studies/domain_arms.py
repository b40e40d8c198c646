"""The training sets of the chapters *domains* and *proxy validity*: the small Pile, what is left of
it without one domain, and random drops of the same sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from dataworth.arrays import Array
from dataworth.data.catalog import card as find_card
from dataworth.errors import UserError
from dataworth.parameters import field
from dataworth.runs import Result
from dataworth.studies.text import (
    WHO,
    PoolStudy,
    Trained,
    authors,
    check_loss_model,
    fit,
    questions_of,
)
from dataworth.text.downstream import ChoiceSpec
from dataworth.text.losses import by_part, document_losses
from dataworth.text.models import MODELS
from dataworth.text.pools import CLOSE, DOMAINS, PILE, Domain, Pool, own_domains, whole_domain

if TYPE_CHECKING:
    from dataworth.studies.text_cost import Training

FULL = "full"
SECTION = 6  # bytes for each token of a row: about two rows
Counts = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]
SMALLEST = 5.0  # percent: no domain of one's own has a smaller share
DROPS = (0, 2)  # ranks by size of the domains whose share a random drop leaves out
Mixed = str | Mapping[str, float]  # an arm, or arms by their weights in interpolation


def without(domain: str) -> str:
    """Name of the arm that lacks a domain."""
    return f"without {domain}"


class DomainArms(PoolStudy):
    """Parameters of the chapters that leave domains out of the small Pile, or of one's own card."""

    @cached_property
    def domains(self) -> Mapping[str, Domain]:
        """The small Pile's, or the card's own."""
        return DOMAINS if not self.own else own_domains(self.card)

    @cached_property
    def weights(self) -> dict[str, float]:
        """Shares of the domains, up to a common factor."""
        if not self.own:
            return PILE
        return {name: max(d.share, SMALLEST) for name, d in self.domains.items()}

    @cached_property
    def wholes(self) -> list[Pool]:
        """The small Pile, of every run its own."""
        return [self.pile(run) for run in range(self.seeds)]

    @cached_property
    def shares(self) -> dict[str, float]:
        """Share of the small Pile's bytes by domain."""
        total = sum(self.weights.values())
        return {name: share / total for name, share in self.weights.items()}

    def most_bytes(self) -> int:
        return int(self.fills(self.weights))

    def fills(self, weights: Mapping[str, float]) -> float:
        """Bytes of the largest pool with these shares of a card's domains."""
        total = sum(weights.values())
        held = {n: whole_domain(n, "train", self.domains[n]).bytes for n in weights}
        return min(held[name] * total / weight for name, weight in weights.items())

    def pile(self, run: int, weights: Mapping[str, float] | None = None, size: float = 1.0) -> Pool:
        """The small Pile of training run `run` (0, 1, ...), or `size` times as many bytes of other
        shares: sections of documents, as long as a model can use, so that each domain holds many
        documents. Every run has a pool of its own, which all arms are made from: which documents
        it holds is part of what differs between runs."""
        return self.draw(weights or self.weights, run, size, section=SECTION * self.context)

    def largest(self, count: int) -> list[str]:
        """The largest domains."""
        return sorted(self.weights, key=self.weights.__getitem__, reverse=True)[:count]

    def drops(self) -> dict[str, list[Pool]]:
        """The whole pool and those that lack a domain, by arm and run."""
        arms = {
            without(name): [pool.without(name) for pool in self.wholes] for name in self.domains
        }
        return {FULL: self.wholes, **arms}

    @cached_property
    def controls(self) -> dict[str, float]:
        """The random drops, by name, and the share of the bytes that they leave out, the largest
        first."""
        rising = sorted(self.shares.values(), reverse=True)
        return {f"random {100 * rising[rank]:.1f} %": rising[rank] for rank in DROPS}

    def random_drops(self) -> dict[str, list[Pool]]:
        """Random sections left out, by arm and run."""
        return {
            name: [pool.random_drop(1 - share, self.seed + s) for s, pool in enumerate(self.wholes)]
            for name, share in self.controls.items()
        }

    def control(self, domain: str) -> dict[str, float]:
        """The random drop of a domain's size: weights of the arms between which it is interpolated
        linearly, no drop at all among them."""
        sizes = {FULL: 0.0, **dict(reversed(self.controls.items()))}
        names, at = list(sizes), list(sizes.values())
        weights = np.interp(self.shares[domain], at, np.arange(len(at)))
        low = min(int(weights), len(at) - 2)
        part = float(weights - low)
        return {n: w for n, w in ((names[low], 1 - part), (names[low + 1], part)) if w > 0}

    def specs(
        self, pools: Mapping[str, Sequence[Pool]], model: str | None = None
    ) -> dict[str, list[Trained]]:
        """Runs of the arms, one a seed; `model`, by name, in the place of the own one."""
        return {arm: self.trained(each, model or self.model) for arm, each in pools.items()}


class Domains(DomainArms):
    """Parameters of the chapter."""

    model: str = field("model of every arm: a language model, or counts of tokens, by name")
    few: Counts = field("domains in the pools of few domains, the largest first")
    questions: int = field("questions of every domain, about", "questions", ge=8, le=10**7)
    prompt: int = field("beginning of a document that is given", "tokens", ge=1, le=10**6)
    continuation: int = field("what follows and is to be recognised", "tokens", ge=1, le=10**6)

    _known = field_validator("model")(check_loss_model)

    @field_validator("few")
    @classmethod
    def _rising(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(values)) < len(values):
            raise ValueError("must be distinct")
        return tuple(sorted(values))

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (length := self.prompt + self.continuation) > self.context:
            raise ValueError(
                f"prompt and continuation are {length} tokens; they must fit in the context of "
                f"{self.context}"
            )
        return self

    @model_validator(mode="after")
    def _fewer_than_all(self) -> Self:
        """Of one's own card those numbers of domains stay that it has text for."""
        most = len(self.domains) - 1
        if self.own:
            fits = [k for k in range(1, most + 1) if self._few_fit(k)]
            if not fits:
                name = self.largest(1)[0]
                raise UserError(
                    f"pool_bytes: {self.pool_bytes:,} bytes without {name!r} cannot be filled by "
                    f"fewer domains of {self.card}; choose less."
                )
            fit(self, few=tuple(k for k in self.few if k in fits) or (fits[-1],))
        if max(self.few) > most:
            raise ValueError(f"few holds {max(self.few)}; it must be less than {most + 1}")
        return self

    def _few_fit(self, count: int) -> bool:
        room = self.fills(self._of_largest(count)) / (1 - max(self.shares.values()))
        return room * (1 + 1e-9) >= CLOSE * self.pool_bytes

    def _of_largest(self, count: int) -> dict[str, float]:
        return {name: self.weights[name] for name in self.largest(count)}

    def few_of(self, count: int) -> str:
        """Name of the arm that holds the `count` largest domains alone."""
        return f"{count} of {len(self.domains)} domains"

    def few_domains(self) -> dict[str, list[Pool]]:
        """Pools of the k largest domains, in their proportions, with as many bytes as the pool
        without its largest domain has, and its control; by arm and run."""
        size = 1 - max(self.shares.values())
        return {
            self.few_of(count): [
                self.pile(run, self._of_largest(count), size) for run in range(self.seeds)
            ]
            for count in self.few
        }

    def pools(self) -> dict[str, list[Pool]]:
        """What every arm trains on, [arm][seed]."""
        return self.drops() | self.random_drops() | self.few_domains()

    def asked(self, pretrained: Trained) -> ChoiceSpec:
        """The multiple-choice questions for one model."""
        domains, length = tuple(self.domains.items()), (self.prompt, self.continuation)
        return questions_of(domains, pretrained, self.questions, *length, self.seed)

    def trainings(self) -> list[Training]:
        """The whole pool, a drop of every domain, random drops, pools of few domains."""
        from dataworth.studies.text_cost import Training

        runs = {
            "the Pile and, one at a time, without each of its domains": len(self.domains) + 1,
            "random drops": len(self.controls),
            "few domains": len(self.few),
        }
        return [
            Training(kind, self.model, self.seeds * arms, self.tokens)
            for kind, arms in runs.items()
            if self.model in MODELS
        ]

    def preflight(self) -> None:
        """Validate before running; raises UserError if the disk or the budget is too small."""
        self.check(runs=sum(training.runs for training in self.trainings()))


def loss_draws(
    arms: Mapping[Any, Sequence[Result]],
    domains: Mapping[str, Domain],
    *,
    resamples: int,
    seed: int,
    stream: int = 0,
) -> tuple[dict[Any, Array], dict[Any, Array]]:
    """Bits per byte (E,) of domains and draws (B, E) of it, by arm (`losses.by_part`).

    Draw b has the same documents in every arm; arms of one seed start from the same weights.
    Groups of arms whose seeds are others' (another model) have a `stream` of their own. Raises
    UserError where the runs of two arms differ in their documents.
    """
    nats, sizes, parts, clusters = [], [], [], []
    for e, (name, domain) in enumerate(domains.items()):
        found, n_bytes, ids = document_losses([r for runs in arms.values() for r in runs], name)
        nats.append(found.reshape(len(arms), -1, len(ids)))
        sizes.append(n_bytes)
        parts.append(np.full(len(ids), e))
        clusters.append(authors_of(domain.card, ids))
    values, draws = by_part(
        np.concatenate(nats, -1) / math.log(2),
        np.concatenate(sizes),
        np.concatenate(parts),
        clusters=np.concatenate(clusters),
        resamples=resamples,
        seed=seed,
        stream=stream,
    )
    return (
        dict(zip(arms, values, strict=True)),
        dict(zip(arms, np.moveaxis(draws, 1, 0), strict=True)),
    )


def authors_of(card: str, ids: NDArray[np.int64]) -> NDArray[np.str_]:
    """What held-out documents of a card have in common, (N,): who wrote them, such as the president
    of an address."""
    found = authors(card, "test") if set(WHO) & set(find_card(card).labels) else {}
    return np.array([found.get(i, str(i)) for i in ids.tolist()])
