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
from dataworth.studies.text import TextStudy
from dataworth.text.losses import by_part, document_losses
from dataworth.text.pools import DOMAINS, Pool
from dataworth.text.training import LanguageModelSpec

FULL = "full"
MATCHED = 0.01  # shares of the pool that lie within one point have one random drop


def without(domain: str) -> str:
    """Name of the arm that lacks a domain."""
    return f"without {domain}"


class DomainArms(TextStudy):
    """Parameters of the chapters that leave domains out of the small Pile."""

    @cached_property
    def whole(self) -> Pool:
        """The small Pile."""
        return self.pile()

    def drops(self) -> dict[str, list[Pool]]:
        """The whole pool and the eight that lack a domain, by arm; the same in every run."""
        pool = self.whole
        arms = {without(name): pool.without(name) for name in pool.shares()}
        return {name: [arm] * self.seeds for name, arm in {FULL: pool, **arms}.items()}

    def random_drops(self) -> dict[str, list[Pool]]:
        """Random documents left out, as many bytes as a domain has: one pool for every run, so
        that an interval over runs knows the luck of the draw. Domains whose shares lie within one
        point have one control between them."""
        pool, arms = self.whole, {}
        for name, share in self.matched().values():
            if name not in arms:
                arms[name] = [pool.random_drop(1 - share, self.seed + s) for s in range(self.seeds)]
        return arms

    def matched(self) -> dict[str, tuple[str, float]]:
        """Of every domain, its control: name of the arm and share of the bytes left out."""
        shares = self.whole.shares()
        groups: list[list[str]] = []
        for name in sorted(shares, key=shares.__getitem__, reverse=True):
            if groups and shares[groups[-1][0]] - shares[name] <= MATCHED:
                groups[-1].append(name)
            else:
                groups.append([name])
        found: dict[str, tuple[str, float]] = {}
        for group in groups:
            share = float(np.mean([shares[name] for name in group]))
            found |= dict.fromkeys(group, (f"random {100 * share:.1f} %", share))
        return {name: found[name] for name in shares}

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
    from dataworth.data import load_corpus

    found: dict[int, str] = {}
    if "president" in find_card(DOMAINS[domain].card).labels:
        corpus = load_corpus(DOMAINS[domain].card, "test")
        names = corpus.labels.get("president", corpus.ids.astype(str))
        found = dict(zip(corpus.ids.tolist(), names.tolist(), strict=True))
    return np.array([found.get(i, str(i)) for i in ids.tolist()])
