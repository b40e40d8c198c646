"""Training sets as values: examples of a real split or of a synthetic pool, by a rule or by ids."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ConfigDict, Field, field_validator
from pydantic.dataclasses import dataclass

from dataworth.data import rows as stored
from dataworth.data.rows import Images, Rows, negative, some
from dataworth.errors import UserError
from dataworth.images.generators import WEIGHTS, Generator, PipelineGenerator
from dataworth.images.generators import load as load_generator
from dataworth.images.prompts import prompt
from dataworth.parameters import Value
from dataworth.paths import home
from dataworth.runs import Outcome, Spec, Store

SHARD = 256  # images per generation task
FILES = ("model.safetensors", "config.json", "tokenizer.json")  # of a generator of ours


FEW = 4
"""Ids up to this many are written out: a rule would be longer."""

_RULE = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_RULE)
class Range(Sequence[int]):
    """The ids `first` to `first + size - 1`, as a rule: however many they are, the spec that holds
    them stays a line."""

    first: int = Field(ge=0)
    size: int = Field(ge=1)

    @property
    def _whole(self) -> range:
        return range(self.first, self.first + self.size)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, at: Any) -> Any:
        return self._whole[at]

    def __iter__(self) -> Iterator[int]:
        return iter(self._whole)

    def __array__(self, dtype: type | None = None, copy: bool | None = None) -> NDArray[np.int64]:
        return np.arange(self.first, self.first + self.size, dtype=dtype or np.int64)


@dataclass(frozen=True, config=_RULE)
class Draw(Sequence[int]):
    """The content ids of a class-balanced draw from a card's split (`balanced_subset`), as a rule:
    they are drawn when they are asked for."""

    card: str
    split: str
    size: int = Field(ge=1)
    seed: int = Field(ge=0)

    def rows(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row numbers (size,) in the split, whose labels are given."""
        return balanced_subset(np.asarray(labels), self.size, self.seed)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, at: Any) -> Any:
        return np.asarray(self).tolist()[at]

    def __iter__(self) -> Iterator[int]:
        return iter(np.asarray(self).tolist())

    def __array__(self, dtype: type | None = None, copy: bool | None = None) -> NDArray[np.int64]:
        from dataworth.data import load_images

        whole = load_images(self.card, self.split)
        ids: NDArray[np.int64] = np.asarray(whole.ids[self.rows(whole.labels)], dtype=dtype)
        return ids


def shortest(ids: tuple[int, ...] | Range | Draw) -> tuple[int, ...] | Range | Draw:
    """The one spelling of a subset, so that equal subsets have one key: consecutive ids are a
    `Range` where they are more than `FEW`, a shorter `Range` is written out."""
    if isinstance(ids, Range) and ids.size <= FEW:
        return tuple(ids)
    if isinstance(ids, tuple) and len(ids) > FEW and ids[-1] - ids[0] == len(ids) - 1:
        given = np.array(ids, dtype=np.int64)
        if ids[0] >= 0 and bool((np.diff(given) == 1).all()):
            return Range(ids[0], len(ids))
    return ids


# In this order: a rule is also a sequence, of which a tuple of 64 million ids would be made.
Ids = Annotated[
    Range | Draw | Annotated[tuple[int, ...], Field(min_length=1)],
    Field(union_mode="left_to_right"),
]


class Subset(Value):
    """Examples of something, by a rule or by ids, whichever is shorter."""

    ids: Ids

    _shortest = field_validator("ids")(shortest)


class RealPart(Subset):
    """Examples of a data set's split, by content id."""

    source: Literal["real"] = "real"
    card: str = "fashion-mnist"
    split: str = "classifier_pool"

    def load(self, store: Store) -> tuple[Images | Rows, NDArray[np.int64]]:
        from dataworth.data import load_images

        whole = load_images(self.card, self.split)
        here = self.card, self.split
        if isinstance(self.ids, Draw) and (self.ids.card, self.ids.split) == here:
            rows = self.ids.rows(whole.labels)
            return some(whole.images, rows), whole.labels[rows]
        wanted = np.asarray(self.ids, dtype=np.int64)
        order = np.argsort(whole.ids)
        at = np.searchsorted(whole.ids, wanted, sorter=order).clip(max=len(whole) - 1)
        rows = order[at]
        if not np.array_equal(whole.ids[rows], wanted):
            raise UserError(f"ids hold examples that {self.card}/{self.split} does not have.")
        return some(whole.images, rows), whole.labels[rows]


class ShardSpec(Spec):
    """Images `start` to `start + SHARD - 1` of a synthetic pool."""

    kind: ClassVar[str] = "synthetic-images"
    family: str
    weights: str
    card: str
    prompt_set: str
    guidance: float
    steps: int
    seed: int
    names: tuple[str, ...]
    start: int

    def run(self, store: Store) -> Outcome:
        """Arrays: `images` uint8 (SHARD, H, W[, 3]), as the card's. Metrics: `redrawn`, images
        drawn again, and of a hub's pipeline `made_by`, its name, commit and licence."""
        index = range(self.start, self.start + SHARD)
        seeds = [image_seed(self.seed, i) for i in index]
        prompts = [
            prompt(self.prompt_set, self.names[i % len(self.names)], seed, self.card)
            for i, seed in zip(index, seeds, strict=True)
        ]
        generator = generator_of(self.weights, self.steps)
        images = generator.generate(prompts, self.guidance, seeds)
        metrics: dict[str, Any] = {"redrawn": generator.redrawn}
        if about := getattr(generator, "about", ""):
            metrics["made_by"] = about
        return Outcome({"images": fitted(images, self.card)}, metrics)


class SyntheticPool(Value):
    """An endless list of synthetic images: image i shows class i mod (number of `names`), from its
    own seed.

    `guidance` in diffusers' convention (1 = none), `steps` of the sampler. `weights` is the sha256
    of our generator's weights, or `hub:<id>` of a diffusers pipeline: another generator is another
    pool. `family` is that of our generator, or `hub`; `card` lists the classes and, for the prompt
    set `in-captions`, holds the images that captions are written from.
    """

    family: str = "pixel-diffusion"
    weights: str
    card: str = "fashion-mnist"
    prompt_set: str = "classnames"
    guidance: float = Field(1.5, ge=0)
    steps: int = Field(8, ge=1)
    seed: int = Field(0, ge=0)
    names: tuple[str, ...] = Field(min_length=1, description="class names, for prompts")

    @property
    def block(self) -> int:
        """Images set apart for one training run; runs take theirs from blocks of their own."""
        return len(self.names) * SHARD * 2**14

    def shards(self, ids: ArrayLike) -> list[ShardSpec]:
        """The generation tasks that cover the images `ids`."""
        starts = (np.unique(np.asarray(ids, dtype=np.int64) // SHARD) * SHARD).tolist()
        return [ShardSpec(**self.model_dump(), start=start) for start in starts]

    def made_by(self, first: int, store: Store) -> str | None:
        """What the stored shard of an image says of a hub's pipeline that made it."""
        found: str | None = store.load(self.shards([first])[0]).metrics.get("made_by")
        return found

    def load(self, ids: NDArray[np.int64], store: Store) -> tuple[Images | Rows, NDArray[np.int64]]:
        """Images (N, H, W[, 3]) and labels (N,) of the pool's images `ids`; shards must be stored.
        Many images are left in the store, see `data.rows.some`."""
        number = ids // SHARD
        used = np.unique(number)
        specs = self.shards(ids)
        where = np.searchsorted(used, number) * SHARD + ids % SHARD
        first = store.load(specs[0]).arrays["images"]
        if len(ids) * first[0].nbytes < stored.LARGE:
            shards = [first, *(store.load(spec).arrays["images"] for spec in specs[1:])]
            return np.concatenate(shards)[where], ids % len(self.names)
        blocks = [stored.in_npz(store.path(spec) / "arrays.npz", "images") for spec in specs]
        return Rows(blocks, where), ids % len(self.names)


class SyntheticPart(Subset):
    """Images of a synthetic pool, by index."""

    source: Literal["synthetic"] = "synthetic"
    pool: SyntheticPool

    def load(self, store: Store) -> tuple[Images | Rows, NDArray[np.int64]]:
        return self.pool.load(np.asarray(self.ids, dtype=np.int64), store)


class NegativePart(Value):
    """Real images with black and white exchanged: a control."""

    source: Literal["negative"] = "negative"
    of: RealPart

    @property
    def ids(self) -> tuple[int, ...] | Range | Draw:
        return self.of.ids

    def load(self, store: Store) -> tuple[Images | Rows, NDArray[np.int64]]:
        images, labels = self.of.load(store)
        return negative(images), labels


Captioned = Annotated[RealPart | SyntheticPart, Field(discriminator="source")]
Part = Annotated[RealPart | SyntheticPart | NegativePart, Field(discriminator="source")]


def load_parts(parts: tuple[Part, ...], store: Store) -> tuple[Images | Rows, NDArray[np.int64]]:
    """Images and labels of all parts, one after the other; `Rows` of `LARGE` bytes or more."""
    loaded = [part.load(store) for part in parts]
    images, labels = [x for x, _ in loaded], np.concatenate([y for _, y in loaded])
    if sum(x.nbytes for x in images) >= stored.LARGE:
        return Rows.joined(images), labels
    return np.concatenate([np.asarray(x) for x in images]), labels


def balanced_subset(labels: NDArray[np.int64], size: int, seed: int) -> NDArray[np.int64]:
    """Row numbers (size,) of a random class-balanced subset; a smaller one is its prefix. Examples
    of no class (-1) are in none.

    Rows are drawn class by class in turn from a seeded permutation, so subsets of one seed are
    nested and every prefix is balanced to within one example per class.

    Raises UserError if a class has too few examples.
    """
    rng = np.random.default_rng([seed, 4])
    classes = np.unique(labels[labels >= 0])
    smallest = min(np.count_nonzero(labels == c) for c in classes)
    if size > smallest * len(classes):
        raise UserError(
            f"size {size} is larger than the {smallest * len(classes)} class-balanced examples "
            "of the pool."
        )
    columns = [rng.permutation(np.flatnonzero(labels == c))[:smallest] for c in classes]
    return np.stack(columns, axis=1).ravel()[:size]


def fitted(images: NDArray[np.uint8], card_id: str) -> NDArray[np.uint8]:
    """Images (N, H, W[, 3]) in the shape of a card's: the middle square, resized, grey or in
    colour, as the images of a user's own card are; as they are where they have it already."""
    from dataworth.data import card, pictures

    shape = card(card_id).shape
    if images.shape[1:] == shape:
        return images
    from PIL import Image

    made = [pictures.fitted(Image.fromarray(image), shape[0]) for image in images]
    return np.stack([pictures.pixels(image, grey=len(shape) == 2) for image in made])


def image_seed(seed: int, index: int) -> int:
    """The seed of image `index`: distinct for distinct (seed, index)."""
    return (seed << 40) + index


@cache
def file_digest(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def weights_digest(folder: Path) -> str:
    """sha256 of what decides a generator of ours: weights, architecture and tokenizer."""
    digests = [file_digest(folder / name) for name in FILES]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


@cache
def generator_of(weights: str, steps: int) -> Generator:
    """The generator of a pool: shipped, trained on this machine, or a pipeline from a hub."""
    if weights.startswith("hub:"):
        source = weights.removeprefix("hub:")
        if all((Path(source) / name).is_file() for name in FILES):  # weights of ours, by folder
            return load_generator(source, steps=steps)
        return PipelineGenerator(source, steps=steps)
    folders = [*WEIGHTS.glob("*/"), *home().glob("generators/*/")]
    for folder in folders:
        if all((folder / name).is_file() for name in FILES) and weights_digest(folder) == weights:
            return load_generator(folder, steps=steps)
    raise UserError(f"no generator with weights {weights[:12]} is stored; train it again.")
