"""The training sets of the chapters *domains* and *proxy validity*: the small Pile, what is left of
it without one domain, and random drops of the same sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from dataworth.arrays import Array
from dataworth.runs import Result
from dataworth.studies.text import TextStudy
from dataworth.text.losses import bits_per_byte, document_losses, resample
from dataworth.text.pools import Pool
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
    arms: Mapping[str, Sequence[Result]],
    evaluations: Sequence[str],
    *,
    resamples: int,
    seed: int,
    pick: int = 0,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Bits per byte (E,) and bootstrap versions (B, E) of it, by arm.

    Draw b has the same documents in every arm, and the same runs in arms of one `pick`, so that
    differences of draws are draws of the paired difference. Raises UserError where the runs of
    two arms differ in their documents.
    """
    values = {arm: np.empty(len(evaluations)) for arm in arms}
    draws = {arm: np.empty((resamples, len(evaluations))) for arm in arms}
    for e, name in enumerate(evaluations):
        document_losses([run for runs in arms.values() for run in runs], name)  # the same ones?
        for arm, runs in arms.items():
            nats, n_bytes, _ = document_losses(runs, name)
            values[arm][e] = bits_per_byte(nats, n_bytes).mean()
            draws[arm][:, e] = resample(nats, n_bytes, resamples=resamples, seed=seed, arm=pick)
    return values, draws
