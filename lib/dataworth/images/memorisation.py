"""Does a generator copy what it learned from? Its images against seen and unseen ones.

A copy is nearer to the image that was copied than any unseen image is. So half of the images of a
generator that copies nothing have their nearest neighbour among those it learned from, if these are
as many as the unseen ones of the same kind; a generator that copies has more (the comparison of
Carlini et al. 2023 and of Somepalli et al. 2023, with a chance level of its own).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dataworth.images.generator_pool import Recipe, generator_pool
from dataworth.images.parts import SyntheticPool
from dataworth.runs import Outcome, Spec, Store

Pictures = NDArray[np.uint8]
ROWS = 512  # queries that are compared at a time


class MemorisationSpec(Spec):
    """Compare the first `size` images of a pool with what its generator learned from (`recipe`)
    and as many images that it could have learned from but did not.

    Those are of the rest of the pool (a recipe that takes a part of it, `Recipe.images`), or of
    `unseen`, another split of the same kind.
    """

    kind: ClassVar[str] = "memorisation"

    pool: SyntheticPool
    size: int = Field(ge=2)
    recipe: Recipe
    unseen: str = ""

    def run(self, store: Store) -> Outcome:
        """Arrays `seen`, `unseen` (size,): how alike the most similar image of each is, 0 to 1
        (`nearest`), and `most_like` (size,), a number of the more similar of the two; `seen_real`,
        `unseen_real`, `most_like_real`: the same of unseen images that are in neither.
        Metrics: `share` of images whose nearest is a seen one, `real_share`, and `compared`, how
        many seen and unseen ones there were."""
        images, _ = self.pool.load(np.arange(self.size), store)
        learnt, others = self._learnt_and_others()
        rng = np.random.default_rng([self.recipe.seed, 7])
        others = others[rng.permutation(len(others))]
        held = min(self.size, len(others) // 4)
        real, others = others[:held], others[held:]
        count = min(len(learnt), len(others))
        learnt = learnt[rng.permutation(len(learnt))[:count]]
        arrays: dict[str, NDArray[Any]] = {}
        for name, queries in (("", np.asarray(images)), ("_real", real)):
            seen, at = nearest(queries, learnt)
            unseen, place = nearest(queries, others[:count])
            arrays |= {f"seen{name}": seen, f"unseen{name}": unseen}
            arrays[f"most_like{name}"] = np.where(seen >= unseen, at, count + place)
        shares = {
            f"{name}share": share(arrays[f"seen{of}"], arrays[f"unseen{of}"])
            for name, of in (("", ""), ("real_", "_real"))
        }
        return Outcome(arrays, {**shares, "compared": count})

    def _learnt_and_others(self) -> tuple[Pictures, Pictures]:
        from dataworth.data import content_ids, load_images

        learnt = generator_pool(self.pool.card, self.recipe).images
        if self.unseen:
            return learnt, np.asarray(load_images(self.pool.card, self.unseen).images)
        whole = self.recipe.model_copy(update={"images": None})
        every = generator_pool(self.pool.card, whole).images
        return learnt, every[~np.isin(content_ids(every), content_ids(learnt))]


def share(seen: NDArray[np.float32], unseen: NDArray[np.float32]) -> float:
    """Of queries, those whose nearest image is a seen one; ties count half."""
    return float(((seen > unseen) + 0.5 * (seen == unseen)).mean())


def nearest(queries: Pictures, others: Pictures) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """How alike the most similar of `others` is to each of the queries, (N,), the size of the
    correlation of their grey values (`standardised`), and which one it is, (N,)."""
    theirs, values, places = standardised(others), [], []
    for i in range(0, len(queries), ROWS):
        alike = np.abs(standardised(queries[i : i + ROWS]) @ theirs.T)
        places.append(alike.argmax(1))
        values.append(alike.max(1))
    return np.concatenate(values), np.concatenate(places)


def standardised(images: Pictures) -> NDArray[np.float32]:
    """Grey values of images (N, H, W) or (N, H, W, 3) with mean 0 and length 1, (N, H * W): the
    product of two is their correlation, whose size no colour and no polarity changes."""
    grey = images.astype(np.float32)
    if grey.ndim == 4:
        grey = grey @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    grey = grey.reshape(len(images), -1)
    grey -= grey.mean(1, keepdims=True)
    return grey / np.maximum(np.linalg.norm(grey, axis=1, keepdims=True), 1e-6)
