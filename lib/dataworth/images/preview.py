"""A few images of several prompt sets, for a page to show."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from dataworth.images.parts import SyntheticPool, generator_of, image_seed
from dataworth.images.prompts import prompt
from dataworth.runs import Outcome, Spec, Store


class PreviewSpec(Spec):
    """A few images of one guidance scale for several prompt sets: the pool's own images 0 to
    `count` - 1 for each, drawn without their shards. The pool's own prompt set does not matter."""

    kind: ClassVar[str] = "preview"

    pool: SyntheticPool
    prompt_sets: tuple[str, ...] = Field(min_length=1)
    count: int = Field(ge=1)

    def run(self, store: Store) -> Outcome:
        """Arrays: `images` uint8 (prompt sets, count, H, W[, 3]). Metrics: `redrawn`."""
        pool, seeds = self.pool, [image_seed(self.pool.seed, i) for i in range(self.count)]
        names = [pool.names[i % len(pool.names)] for i in range(self.count)]
        prompts = [
            prompt(kind, name, seed, pool.card)
            for kind in self.prompt_sets
            for name, seed in zip(names, seeds, strict=True)
        ]
        generator = generator_of(pool.weights, pool.steps)
        images = generator.generate(prompts, pool.guidance, seeds * len(self.prompt_sets))
        shape = (len(self.prompt_sets), self.count, *images.shape[1:])
        return Outcome({"images": images.reshape(shape)}, {"redrawn": generator.redrawn})
