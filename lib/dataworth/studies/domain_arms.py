"""The training sets of the chapters *domains* and *proxy validity*: the small Pile, what is left of
it without one domain, and random drops of the same sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.arrays import Array
from dataworth.data.catalog import card as find_card
from dataworth.runs import Result
from dataworth.studies.text import TextStudy, presidents
from dataworth.text.losses import by_part, document_losses
from dataworth.text.pools import DOMAINS, PILE, Pool
from dataworth.text.training import LanguageModelSpec

FULL = "full"
DROPS = (0, 2)  # ranks by size of the domains whose share a random drop leaves out
Mixed = str | Mapping[str, float]  # an arm, or arms by their weights in interpolation


def without(domain: str) -> str:
    """Name of the arm that lacks a domain."""
    return f"without {domain}"


class DomainArms(TextStudy):
    """Parameters of the chapters that leave domains out of the small Pile."""

    @cached_property
    def wholes(self) -> list[Pool]:
        """The small Pile, of every run its own."""
        return [self.pile(run) for run in range(self.seeds)]

    @cached_property
    def shares(self) -> dict[str, float]:
        """Share of the small Pile's bytes by domain."""
        total = sum(PILE.values())
        return {name: share / total for name, share in PILE.items()}

    def drops(self) -> dict[str, list[Pool]]:
        """The whole pool and the eight that lack a domain, by arm and run."""
        arms = {without(name): [pool.without(name) for pool in self.wholes] for name in PILE}
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
    ) -> dict[str, list[LanguageModelSpec]]:
        """Training runs of the arms, one a seed; `model`, by name, in the place of the own one."""
        changes: dict[str, Any] = {} if model is None else {"model": model}
        return {
            arm: [
                self.language_model(pool, s, keep_weights=True, **changes)
                for s, pool in enumerate(each)
            ]
            for arm, each in pools.items()
        }


def loss_draws(
    arms: Mapping[Any, Sequence[Result]],
    evaluations: Sequence[str],
    *,
    resamples: int,
    seed: int,
    stream: int = 0,
) -> tuple[dict[Any, Array], dict[Any, Array]]:
    """Bits per byte (E,) and draws (B, E) of it, by arm (`losses.by_part`).

    Draw b has the same documents in every arm; arms of one seed start from the same weights.
    Groups of arms whose seeds are others' (another model) have a `stream` of their own. Raises
    UserError where the runs of two arms differ in their documents.
    """
    nats, sizes, parts, authors = [], [], [], []
    for e, name in enumerate(evaluations):
        found, n_bytes, ids = document_losses([r for runs in arms.values() for r in runs], name)
        nats.append(found.reshape(len(arms), -1, len(ids)))
        sizes.append(n_bytes)
        parts.append(np.full(len(ids), e))
        authors.append(authors_of(name, ids))
    values, draws = by_part(
        np.concatenate(nats, -1) / math.log(2),
        np.concatenate(sizes),
        np.concatenate(parts),
        clusters=np.concatenate(authors),
        resamples=resamples,
        seed=seed,
        stream=stream,
    )
    return (
        dict(zip(arms, values, strict=True)),
        dict(zip(arms, np.moveaxis(draws, 1, 0), strict=True)),
    )


def authors_of(domain: str, ids: NDArray[np.int64]) -> NDArray[np.str_]:
    """What held-out documents of a domain have in common, (N,): the president of an address. The
    other cards name no author, and each of their documents stands for itself."""
    card = DOMAINS[domain].card
    found = presidents(card, "test") if "president" in find_card(card).labels else {}
    return np.array([found.get(i, str(i)) for i in ids.tolist()])
