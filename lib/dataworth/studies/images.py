"""What every image chapter shares: its common parameters, and training sets and runs made of them.

Chapters that ask for the same run share it: equal parameters give equal specs, and the store
answers. A chapter's own module adds parameters and says which runs it needs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from dataworth.data.catalog import card as find_card
from dataworth.data.catalog import cards
from dataworth.data.large import large_cards
from dataworth.errors import UserError
from dataworth.images import shifts
from dataworth.images.augmentation import RECIPES, ImageOptimisation
from dataworth.images.classifiers import (
    MODELS,
    Budget,
    ClassifierSpec,
    Longest,
    ascending,
)
from dataworth.images.generators import WEIGHTS
from dataworth.images.generators.named import GENERATORS
from dataworth.images.parts import (
    Draw,
    Part,
    Range,
    RealPart,
    ShardSpec,
    SyntheticPart,
    SyntheticPool,
    weights_digest,
)
from dataworth.images.prompts import NEEDS_WORDNET, PROMPT_SETS, split_name
from dataworth.images.prompts.vocabulary import names_of, vocabulary
from dataworth.images.stages import AUTOENCODER
from dataworth.parameters import Parameters, field
from dataworth.runs import Result, Store, run_tasks
from dataworth.stats import Estimate, estimate
from dataworth.studies import base

if TYPE_CHECKING:
    from dataworth.images.train_generator import GeneratorSpec
    from dataworth.studies.image_cost import Drawing, Training

POOL, GENERATOR_POOL = "classifier_pool", "generator_pool"
NO_SHIFT = (POOL, GENERATOR_POOL, "validation", "test")
"""Splits of a card that are no shifted sets."""
Names = TypeVar("Names", str, tuple[str, ...])


def check_sizes(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Training-set sizes, sorted. Raises ValueError if two are equal or one is below 10 or above
    10^10."""
    if any(not 10 <= size <= 10**10 for size in sizes) or len(set(sizes)) < len(sizes):
        raise ValueError("must be distinct sizes of at least 10 images and at most 10^10")
    return tuple(sorted(sizes))


def check_names(names: Names, allowed: Collection[str]) -> Names:
    """Raises ValueError for a name that is not allowed."""
    if any(name not in allowed for name in ((names,) if isinstance(names, str) else names)):
        raise ValueError(f"must be of {', '.join(allowed)}")
    return names


def check_prompt_sets(names: Names) -> Names:
    """Raises ValueError for a prompt set that does not exist."""
    for name in (names,) if isinstance(names, str) else names:
        try:
            split_name(name)
        except UserError as error:
            raise ValueError(str(error).partition("; it ")[2] or str(error)) from None
    return names


class ImageStudy(Parameters):
    """Parameters of every image chapter. needs_shifts: whether it is about shifted sets;
    needs_pool: about what generators learn from."""

    needs_shifts: ClassVar[bool] = False
    needs_pool: ClassVar[bool] = False
    card: str = field("data set, by the id of its card")
    seeds: int = field("training runs per size and arm", "runs", ge=1, le=1000)
    model: str = field("classifier, by name")
    budget: Longest = field(
        "longest training by training-set size; the best of four points of it counts",
        "[images, steps] each",
    )
    batch: int = field("images per training step", "images", ge=1, le=10**6)
    learning_rate: float = field("peak learning rate", gt=0, le=10)
    shift: int = field("largest random shift of a training image", "pixels", ge=0, le=8)
    flip: bool = field("mirror half of the training images")
    augmentation: str = field(f"further augmentation of training images: {', '.join(RECIPES)}")
    generator: str = field("text-to-image model, by name")
    retrain: bool | Annotated[int, Field(ge=1, le=10**7)] = field(
        "train the generator on the card here instead of loading shipped weights; a number: for so "
        "many steps",
        "steps",
    )
    prompt_set: str = field("how a class becomes a prompt")
    guidance: float = field(
        "classifier-free guidance scale, diffusers' convention", "1 = none", ge=0, le=1000
    )
    solver_steps: int = field("sampling steps per image", "steps", ge=1, le=10_000)
    resamples: int = field("bootstrap draws", "draws", ge=100, le=10**6)
    seed: int = field("base seed of pools, subsets, training and bootstrap", ge=0, le=2**32 - 1)

    @field_validator("model", "generator", "augmentation")
    @classmethod
    def _known(cls, name: str, info: ValidationInfo) -> str:
        tables: dict[str, Mapping[str, object]] = {
            "model": MODELS,
            "generator": GENERATORS,
            "augmentation": RECIPES,
        }
        allowed = tables[str(info.field_name)]
        if name not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return name

    _ascending = field_validator("budget")(ascending)

    @field_validator("prompt_set")
    @classmethod
    def _known_prompts(cls, name: str) -> str:
        return check_prompt_sets(name)

    def pool(self, **changes: Any) -> SyntheticPool:
        """The synthetic pool of the parameters; `changes` name `generator`, `prompt_set`,
        `guidance` or `steps` otherwise."""
        generator = changes.pop("generator", self.generator)
        named = GENERATORS[generator]
        if named.distilled:  # without guidance, whatever the others have
            changes = {"guidance": 1.0, **changes}
        pool = SyntheticPool(
            family="hub" if named.hub else named.family,
            weights=self.weights(generator),
            card=self.card,
            prompt_set=self.prompt_set,
            guidance=self.guidance,
            steps=self.sampling_steps(generator),
            seed=self.seed,
            names=class_names(self.card),
        )
        return pool.model_copy(update=changes)

    def sampling_steps(self, generator: str) -> int:
        """Sampling steps: those of the parameters, or another generator's own."""
        return self.solver_steps if generator == self.generator else GENERATORS[generator].steps

    def weights(self, generator: str) -> str:
        """What a pool calls its generator: a hub id, or the digest of weights shipped or trained
        here."""
        if hub := GENERATORS[generator].hub:
            return f"hub:{hub}"
        if not self.retrain:
            return weights_digest(WEIGHTS / generator)
        from dataworth.images.train_generator import generator_spec, recipe_for

        named = GENERATORS[generator]
        steps = None if self.retrain is True else int(self.retrain)
        recipe = recipe_for(named.family, self.card, steps, drawings=named.drawings)
        return weights_of(generator_spec(self.card, named.family, recipe))

    def trained_here(self, steps: int, **recipe: Any) -> GeneratorSpec:
        """The run that trains a generator of the family of `generator` on the card for so many
        steps, its first stage, if it has one, as long as ever; `recipe` says what else differs from
        the family's recipe."""
        from dataworth.images.train_generator import generator_spec, recipe_for

        family = GENERATORS[self.generator].family
        given = recipe_for(family, self.card, steps)
        made = given.model_copy(update={"autoencoder": AUTOENCODER, **recipe})
        return generator_spec(self.card, family, made)

    def real(self, size: int, seed: int, *, split: str = POOL) -> RealPart:
        """`size` real images for training run `seed` (0, 1, ...): balanced, nested in size."""
        draw = Draw(self.card, split, size, self.seed + seed)
        return RealPart(card=self.card, split=split, ids=draw)

    def synthetic(self, pool: SyntheticPool, size: int, seed: int) -> SyntheticPart:
        """`size` images of the pool for training run `seed`: balanced, nested in size, and none in
        common with another run, so that the spread over runs includes that of the generator."""
        first = seed * pool.block
        return SyntheticPart(pool=pool, ids=Range(first, size))

    def optimisation(self, learning_rate: float) -> ImageOptimisation:
        """How a model of images is trained at a learning rate."""
        plain = ImageOptimisation(learning_rate=learning_rate, shift=self.shift, flip=self.flip)
        return plain.with_recipe(self.augmentation)

    @property
    def own_budget(self) -> Budget:
        """The training of every classifier that is not given another."""
        return Budget(rule="tuned", longest=self.budget, batch=self.batch)

    def classifier(self, *parts: Part, seed: int, **changes: Any) -> ClassifierSpec:
        """Training run `seed` on the union of `parts`; `changes` name `model` (by name), `budget`
        or other fields of the spec. Run 0 on real images keeps its weights: it can judge images."""
        evaluations = changes.pop("evaluations", self.evaluations())
        return ClassifierSpec(
            parts=parts,
            model=MODELS[changes.pop("model", self.model)].on(find_card(self.card).shape[0]),
            budget=changes.pop("budget", self.own_budget),
            optimisation=self.optimisation(self.learning_rate),
            card=self.card,
            evaluations=evaluations,
            seed=self.seed + seed,
            keep_weights=seed == 0 and all(part.source == "real" for part in parts),
            **changes,
        )

    def line(
        self,
        sizes: Sequence[int],
        part: Callable[[int, int], RealPart | SyntheticPart],
        **changes: Any,
    ) -> list[list[ClassifierSpec]]:
        """Training runs as [size][seed] on `part(size, seed)`; `changes`: see `classifier`."""
        seeds = range(self.seeds)
        return [[self.classifier(part(n, s), seed=s, **changes) for s in seeds] for n in sizes]

    def evaluations(self) -> tuple[str, ...]:
        """Names of the evaluation sets: validation, test, and shifted sets if there are any; of a
        card whose images have texts, all that is no pool."""
        described = [c for c in cards() if c.id == self.card and c.described]
        others = [name for c in described for name in c.split_names if name not in NO_SHIFT]
        return ("validation", "test", *(shifts.offered(self.card) or others))

    def drawings(self) -> list[Drawing]:
        """Images that the chapter draws; chapters that draw some say so here."""
        return []

    def trainings(self) -> list[Training]:
        """Classifiers that the chapter trains; chapters that train some say so here."""
        return []

    def cost(self) -> list[dict[str, object]]:
        """Every name, shape and parameter count, and what a run would take (`cost.dry_run`)."""
        from dataworth.studies.image_cost import dry_run

        return dry_run(
            self.card,
            self.drawings(),
            self.trainings(),
            evaluations=self.evaluations(),
            generators=(self.generator,),
            prompt_sets=(self.prompt_set,),
            models=(self.model,),
            real=max(getattr(self, "real_sizes", (0,))),
        )

    def check(self, *, real: int = 0, generators: Iterable[str] = (), runs: int = 0) -> None:
        """Fetches a large set that is not here yet. Raises UserError before anything runs: a card
        that lacks what the chapter needs, a real
        pool smaller than `real` images, a generator without weights or of other data, a prompt set
        that does not know the card's classes, less disk than `runs` results need."""
        if self.card in large_cards():
            from dataworth.data import fetch

            fetch(self.card)
        lacking = self._lacking()
        if lacking:
            raise UserError(f"card: '{self.card}' {lacking}.")
        if real > (available := self.balanced(POOL)):
            raise UserError(
                f"a real training set of {real} images was asked for, but the {POOL} of "
                f"{self.card} has {available} class-balanced images; use sizes up to {available}."
            )
        for generator in (self.generator, *generators):
            shipped = GENERATORS[generator].hub is None and not self.retrain
            if shipped and not (WEIGHTS / generator / "model.safetensors").is_file():
                raise UserError(
                    f"generator {generator!r} has no shipped weights; set retrain to true."
                )
            folder = WEIGHTS / generator if shipped else Path(GENERATORS[generator].hub or "/")
            learnt = learnt_from(folder) if (folder / "card.json").is_file() else self.card
            if learnt != self.card:
                raise UserError(
                    f"generator: '{generator}' learnt from {learnt}, and card is '{self.card}', "
                    "whose classes it has never seen; set retrain to true, or to a number of "
                    "training steps such as 300 (-p retrain=300), or name a generator of a hub."
                )
        for prompt_set in dict.fromkeys(
            (self.prompt_set, *(d.prompt_set for d in self.drawings()))
        ):
            check_words(prompt_set, self.card)
        base.check_disk(200 + 3 * runs)

    def check_retrieved(self, field: str, wanted: int, otherwise: str = "") -> None:
        """Raises UserError before anything runs where a parameter asks for more images than can be
        retrieved from what generators learn from; otherwise: what else it may be."""
        if wanted and wanted > (available := self.balanced(GENERATOR_POOL)):
            raise UserError(
                f"{field} asks for {wanted} images, but the {GENERATOR_POOL} of {self.card} has "
                f"{available} class-balanced ones; use up to {available}{otherwise}."
            )

    def balanced(self, split: str) -> int:
        """The number of class-balanced images in a split of the card, 0 without such a split."""
        from dataworth.data import load_images

        if split not in find_card(self.card).split_names:
            return 0
        labels = np.asarray(load_images(self.card, split).labels)
        counts = np.unique(labels[labels >= 0], return_counts=True)[1]
        return int(counts.min() * len(counts))

    def _lacking(self) -> str:
        """What the card lacks of what every image chapter needs, as the end of a sentence."""
        card = find_card(self.card)
        if card.modality != "image":
            return "holds texts, and this chapter is on images"
        pool = (GENERATOR_POOL,) if self.retrain or self.needs_pool else ()
        needed = (POOL, "validation", "test", *pool)
        if missing := [split for split in needed if split not in card.split_names]:
            return f"has no split {missing[0]}; it has {', '.join(card.split_names)}"
        if self.needs_shifts and set(shifts.offered(self.card)) != set(shifts.SHIFTS):
            return (
                "has no shifted sets (drawings of its classes), which this chapter is about; "
                f"{', '.join(shifts.ICONS)} has"
            )
        return ""


def weights_of(spec: GeneratorSpec) -> str:
    """What a pool calls a generator that is trained here; it is trained now if it is missing."""
    from dataworth.images.train_generator import trained
    from dataworth.runs.forecast import looking

    if not (spec.folder / "card.json").is_file():
        if looking():
            return f"to be trained: {spec.folder.name}"
        trained([spec], Store())
        if not (spec.folder / "card.json").is_file():  # stored, and its weights are gone
            spec.run(Store())
    return weights_digest(spec.folder)


def learnt_from(folder: Path) -> str:
    """The card that a generator's weights were trained on, by their `card.json`."""
    data: str = json.loads((folder / "card.json").read_text(encoding="utf-8"))["data"]
    return data.partition("/")[0]


def check_words(prompt_set: str, card: str) -> None:
    """Raises UserError where a prompt set lacks the words for a card's classes."""
    if split_name(prompt_set)[0] in NEEDS_WORDNET:
        try:
            vocabulary(card)
        except UserError as error:
            raise UserError(
                f"prompt_set: '{prompt_set}' writes from WordNet's words. {error} Others serve any "
                f"card: {', '.join(n for n in PROMPT_SETS if n not in NEEDS_WORDNET)}."
            ) from None


Grid = Mapping[str, Sequence[Sequence[ClassifierSpec]]]
Runs = dict[str, list[list[Result]]]


def run_classifiers(grid: Grid, store: Store) -> Runs:
    """Results of `grid[arm][size][seed]`, in the same shape: draws the synthetic images that are
    missing, then trains what is missing."""
    specs = list(base.leaves(grid))
    shifted = {s.card for s in specs if shifts.needs_shift_pool(s.evaluations, s.card)}
    run_tasks([shifts.shift_pool_spec(card) for card in sorted(shifted)], store=store)
    sample(specs, store)
    return base.run_grid(grid, store, "classifiers")


def sample(specs: Iterable[Any], store: Store) -> list[Result]:
    """Sample the synthetic images that `specs` train on; results of all their generation tasks."""
    parts = [p for spec in specs for p in spec.parts if isinstance(p, SyntheticPart)]
    shards: dict[ShardSpec, None] = {}
    for pool in dict.fromkeys(part.pool for part in parts):
        ids = np.concatenate([np.asarray(part.ids) for part in parts if part.pool == pool])
        shards |= dict.fromkeys(pool.shards(ids))
    # Most steps first: the longest tasks do not end alone.
    ordered = sorted(shards, key=lambda shard: -shard.steps)
    return run_tasks(ordered, store=store, label="synthetic images")


def recognizability(fidelity: Result, resamples: int, stream: Sequence[int]) -> Estimate:
    """Recognizability of the images of a `FidelitySpec` in percent, binomial over images."""
    right = np.asarray(fidelity.arrays["correct"], dtype=float)
    rng = np.random.default_rng(stream)
    drawn = rng.binomial(len(right), right.mean(), size=resamples) / len(right)
    return estimate(100 * right.mean(), 100 * drawn)


class_names = names_of
"""The words that stand for the classes in prompts."""
