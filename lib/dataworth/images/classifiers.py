"""Image classifiers: timm vision transformers, one run per spec.

A run trains on the union of its parts (real, synthetic, or both), under one of three budget rules,
and keeps its logits on every evaluation split, so that runs are analysed again instead of trained
again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from dataworth import compute
from dataworth.data.catalog import card as find_card
from dataworth.data.rows import Images, Rows
from dataworth.images import shifts
from dataworth.images.augmentation import ImageOptimisation
from dataworth.images.feeding import as_input, feed
from dataworth.images.parts import Part, SyntheticPart, load_parts
from dataworth.images.pooling import read_class_token
from dataworth.kernels import use_fast_matmul
from dataworth.optimisation import (
    Descent,
    kept_weights,
    mean_losses,
    restored,
)
from dataworth.parameters import Value
from dataworth.runs import Outcome, Result, Spec, Store

if TYPE_CHECKING:
    import torch


REPORT = 50  # training steps per point of the stored losses


class Vit(Value):
    """Vision transformer: patch in pixels, width in channels. Any timm model has `name` instead."""

    name: str = "vit_tiny_patch16_224"
    patch: int = Field(7, ge=1)
    width: int = Field(64, ge=8)
    depth: int = Field(2, ge=1)
    heads: int = Field(2, ge=1)

    def on(self, side: int) -> Vit:
        """For images of this side: a patch that does not divide it would leave pixels at the edge
        unseen, and becomes the divisor nearest to it (of two, the smaller)."""
        if side % self.patch == 0:
            return self
        divisors = [p for p in range(1, side + 1) if side % p == 0]
        patch = min(divisors, key=lambda p: (abs(math.log(p / self.patch)), p))
        return self.model_copy(update={"patch": patch})

    def build(self, image_size: int, channels: int, classes: int) -> torch.nn.Module:
        import timm

        made = timm.create_model(
            self.name,
            pretrained=False,
            img_size=image_size,
            patch_size=self.patch,
            in_chans=channels,
            embed_dim=self.width,
            depth=self.depth,
            num_heads=self.heads,
            num_classes=classes,
        )
        return use_fast_matmul(read_class_token(made))


class Residual(Value):
    """timm's smallest residual network, 0.4 million parameters: convolutions learn line drawings
    from a few dozen a class, from which a transformer of a like size hardly learns."""

    name: Literal["test_resnet"] = "test_resnet"

    @property
    def width(self) -> int:
        """Channels of the first stage."""
        return 32

    def on(self, side: int) -> Residual:
        """The same for images of any side."""
        return self

    def build(self, image_size: int, channels: int, classes: int) -> torch.nn.Module:
        import timm

        made: torch.nn.Module = timm.create_model(
            self.name, pretrained=False, in_chans=channels, num_classes=classes
        )
        return made


MODELS: dict[str, Vit | Residual] = {
    "vit-2x32": Vit(width=32),
    "vit-2x64": Vit(),
    "vit-3x96": Vit(width=96, depth=3, heads=3),
    "vit-4x128": Vit(width=128, depth=4, heads=4),
    "vit-6x192": Vit(patch=4, width=192, depth=6, heads=3),
    "vit-1x32": Vit(width=32, depth=1),  # of the profile smoke
    "vit-s16": Vit(name="vit_small_patch16_224", patch=16, width=384, depth=12, heads=6),
    # The paper's two sizes, for 224-pixel images.
    "vit-b16": Vit(name="vit_base_patch16_224", patch=16, width=768, depth=12, heads=12),
    "vit-l16": Vit(name="vit_large_patch16_224", patch=16, width=1024, depth=24, heads=16),
    "resnet": Residual(),  # of small drawings
}


PARTS = 5
"""Equal parts of a tuned training. The averaged weights at the end of each but the first are
candidates."""

Longest = tuple[tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=PARTS, le=10**8)]], ...]


def ascending(longest: Longest) -> Longest:
    """Raises ValueError unless the sizes of a table of (images, steps) ascend."""
    sizes = [size for size, _ in longest]
    if not sizes or sorted(set(sizes)) != sizes:
        raise ValueError("must be a list of pairs (images, steps), images in ascending order")
    return longest


class Budget(Value):
    """How long to train.

    `fixed_steps`: the same number of training samples whatever the subset's size (the rule of
    DataComp, Gadre et al. 2023). `fixed_epochs`: samples grow with the subset. `tuned`: one
    training of as many steps as `longest` says for the size, which is in proportion to a power of
    the size between its rows and constant beyond them; of the averaged weights at four points of it
    (`checkpoints`) those with the lowest validation loss are the run's.
    """

    rule: Literal["fixed_steps", "fixed_epochs", "tuned"] = "fixed_steps"
    amount: int = Field(1000, ge=1, description="steps, or epochs, by the rule; not of `tuned`")
    batch: int = Field(64, ge=1)
    longest: Longest = Field((), description="tuned only: (images, steps) each")

    @model_validator(mode="after")
    def _table_of_the_tuned(self) -> Self:
        if self.rule == "tuned":
            ascending(self.longest)
        elif self.longest:
            raise ValueError(f"longest is of the rule tuned, not of {self.rule}")
        return self

    def steps(self, examples: int) -> int:
        """Training steps for so many examples; of `tuned` a multiple of PARTS."""
        if self.rule == "fixed_steps":
            return self.amount
        if self.rule == "fixed_epochs":
            return max(1, math.ceil(self.amount * examples / self.batch))
        sizes, steps = np.log(np.array(self.longest, dtype=float)).T
        return PARTS * round(float(np.exp(np.interp(np.log(examples), sizes, steps))) / PARTS)

    def checkpoints(self, examples: int) -> tuple[int, ...]:
        """Steps after which a tuned training may end; of the other rules its end alone."""
        last = self.steps(examples)
        if self.rule != "tuned":
            return (last,)
        return tuple(last // PARTS * part for part in range(2, PARTS + 1))


class ClassifierSpec(Spec):
    """Train on `parts`, evaluate on `evaluations`: splits of the card, or shifts (`shifts.SHIFTS`).

    `part_weights`: the share of each part in the training samples, up to a common factor; without
    it every example is seen equally often, so that a part weighs what it holds. It is a sampling
    weight: in expectation the weighted empirical risk of Jain, Montanari and Sasoglu 2024.
    """

    kind: ClassVar[str] = "classifier"
    parts: tuple[Part, ...] = Field(min_length=1)
    part_weights: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] | None = None
    model: Residual | Vit = Vit()
    budget: Budget = Budget()
    optimisation: ImageOptimisation = ImageOptimisation()
    card: str = "fashion-mnist"
    evaluations: tuple[str, ...] = ("validation", "test")
    seed: int = Field(0, ge=0)
    keep_weights: bool = Field(False, description="store the model: it serves as a reference")

    @model_validator(mode="after")
    def _one_weight_a_part(self) -> Self:
        if self.part_weights is not None and len(self.part_weights) != len(self.parts):
            raise ValueError(
                f"part_weights has {len(self.part_weights)} entries for {len(self.parts)} parts"
            )
        return self

    def run(self, store: Store) -> Outcome:
        """Arrays: `logits_<split>` float32 (N, classes), `labels_<split>` int64 (N,), `losses`
        float32 (steps / 50,), `validated` float64 (the validation loss at each checkpoint) if
        tuned, and `weight:<name>` if kept; metrics: top-1 and mean cross-entropy per split, the
        `steps` whose weights were taken and the `samples_seen` in all of the training."""
        images, labels = load_parts(self.parts, store)
        groups = None
        if self.part_weights is not None:
            groups = [(len(p.ids), w) for p, w in zip(self.parts, self.part_weights, strict=True)]
        validated: list[float] = []

        def validate(model: torch.nn.Module) -> float:
            held_out, truth = shifts.evaluation_set(self.card, "validation", store=store)
            validated.append(float(cross_entropy(predict(model, held_out), truth).mean()))
            return validated[-1]

        model, losses = train(
            images,
            labels,
            self.model,
            self.budget,
            self.optimisation,
            self.seed,
            groups=groups,
            validate=validate,
            classes=len(find_card(self.card).classes),
        )
        arrays: dict[str, NDArray] = {"losses": losses}
        if validated:
            arrays["validated"] = np.array(validated)
        best = int(np.argmin(validated)) if validated else -1
        metrics: dict[str, object] = {
            "examples": len(labels),
            "steps": self.budget.checkpoints(len(labels))[best],
            "samples_seen": self.budget.steps(len(labels)) * self.budget.batch,
        }
        synthetic = [part for part in self.parts if isinstance(part, SyntheticPart)]
        if made := {m for p in synthetic if (m := p.pool.made_by(p.ids[0], store))}:
            metrics["made_by"] = sorted(made)
        for name in self.evaluations:
            held_out, truth = shifts.evaluation_set(self.card, name, store=store)
            logits = predict(model, held_out)
            arrays[f"logits_{name}"], arrays[f"labels_{name}"] = logits, np.array(truth)
            metrics[f"top1_{name}"] = float((logits.argmax(1) == truth).mean())
            metrics[f"loss_{name}"] = float(cross_entropy(logits, truth).mean())
        if self.keep_weights:
            arrays |= kept_weights(model)
        return Outcome(arrays, metrics)


def load_model(result: Result) -> torch.nn.Module:
    """The trained model of a run that kept its weights."""
    spec = result.spec
    assert isinstance(spec, ClassifierSpec) and spec.keep_weights
    found = find_card(spec.card)
    side, _, *colours = found.shape
    channels = 3 if colours else 1
    return restored(spec.model.build(side, channels, len(found.classes)), result.arrays)


def train(
    images: Images | Rows,
    labels: NDArray[np.int64],
    architecture: Residual | Vit,
    budget: Budget,
    optimisation: ImageOptimisation,
    seed: int,
    *,
    groups: Sequence[tuple[int, float]] | None = None,
    validate: Callable[[torch.nn.Module], float] | None = None,
    classes: int | None = None,
) -> tuple[torch.nn.Module, NDArray[np.float32]]:
    """Train on uint8 (N, H, W) or (N, H, W, 3); gives the (averaged) model and mean losses. The
    same images in memory and in files (`Rows`) give the same model, bit for bit.

    groups: consecutive blocks of the examples as (number, weight), where the weights are the
    blocks' shares of the samples; without it every example is seen equally often. validate: the
    validation loss of a model; a tuned budget needs it and gives the checkpoint where it is lowest.
    classes: of the data set, where `labels` may lack some.
    """
    import torch

    device = compute.device()
    torch.manual_seed(seed)
    rng = torch.Generator("cpu").manual_seed(seed)
    y = torch.from_numpy(np.array(labels)).to(device)
    classes = classes or (10 if y.max() < 10 else int(y.max()) + 1)
    channels = 1 if images.ndim == 3 else images.shape[3]
    model = architecture.build(images.shape[1], channels, classes).to(device)
    steps = budget.steps(len(labels))
    batches = (
        weighted_batches(groups, budget.batch, rng)
        if groups
        else uniform_batches(len(labels), budget.batch, rng)
    )
    fed = feed(images, batches, optimisation.shift, optimisation.flip, rng)

    def loss(step: int) -> torch.Tensor:
        x, rows = next(fed)
        x = optimisation.augmented(x, seed, step)
        x, target = optimisation.mixed(x, y[rows], classes, seed, step)
        with compute.precision():
            return torch.nn.functional.cross_entropy(
                model(x), target, label_smoothing=optimisation.label_smoothing
            )

    descent = Descent(model, optimisation, steps, ema=optimisation.ema)
    with closing(fed):
        trained = best_of_training(descent, loss, budget, len(labels), validate)
    return trained, mean_losses(descent.losses, REPORT)


def best_of_training(
    descent: Descent,
    loss: Callable[[int], torch.Tensor],
    budget: Budget,
    examples: int,
    validate: Callable[[torch.nn.Module], float] | None,
) -> torch.nn.Module:
    """Run a descent to its end; gives its model, of a tuned budget at the checkpoint at which
    `validate` is lowest."""
    if budget.rule != "tuned":
        return descent.run(loss)
    if validate is None:
        raise ValueError("a tuned budget needs a validation loss")
    candidates, lowest = budget.checkpoints(examples), math.inf
    best: dict[str, torch.Tensor] = {}

    def checkpoint(done: int, average: torch.nn.Module) -> None:
        nonlocal lowest, best
        if done in candidates and (found := validate(average)) < lowest:
            lowest, best = found, {k: v.clone() for k, v in average.state_dict().items()}

    average = descent.run(loss, every=descent.steps // PARTS, checkpoint=checkpoint)
    average.load_state_dict(best)
    return average


def uniform_batches(examples: int, batch: int, rng: torch.Generator) -> Iterator[torch.Tensor]:
    """Endless rows (batch,) in shuffled passes; what does not fill a batch is left out."""
    while True:
        order = _epoch(examples, batch, rng)
        for at in range(0, len(order) - batch + 1, batch):
            yield order[at : at + batch]


GOLDEN = (math.sqrt(5) - 1) / 2


def weighted_batches(
    groups: Sequence[tuple[int, float]], batch: int, rng: torch.Generator
) -> Iterator[torch.Tensor]:
    """Endless rows (batch,) in which blocks of examples, (number, weight) each, have shares
    proportional to their weights; within a block, shuffled passes.

    Sample j belongs to the block that holds the fractional part of j times the golden ratio: after
    any number of samples the shares are exact to a few samples, whatever the weights.
    """
    import torch

    sizes, weights = zip(*groups, strict=True)
    starts, ends = np.cumsum([0, *sizes]), np.cumsum(weights) / sum(weights)
    waiting = [torch.empty(0, dtype=torch.int64) for _ in sizes]
    at = 0
    while True:
        block = np.searchsorted(ends, (np.arange(at, at + batch) + 0.5) * GOLDEN % 1, side="right")
        at += batch
        rows = []
        for b, count in enumerate(np.bincount(block, minlength=len(sizes)).tolist()):
            while len(waiting[b]) < count:
                waiting[b] = torch.cat([waiting[b], torch.randperm(sizes[b], generator=rng)])
            rows.append(waiting[b][:count] + int(starts[b]))
            waiting[b] = waiting[b][count:]
        yield torch.cat(rows)


def _epoch(examples: int, batch: int, rng: torch.Generator) -> torch.Tensor:
    """A shuffled pass over the examples; small sets are repeated to fill at least one batch."""
    import torch

    passes = max(1, math.ceil(batch / examples))
    return torch.cat([torch.randperm(examples, generator=rng) for _ in range(passes)])


def predict(model: torch.nn.Module, images: Images | Rows, batch: int = 500) -> NDArray[np.float32]:
    """Logits (N, classes)."""
    import torch

    device = compute.device()
    with torch.inference_mode():
        chunks = [
            model(as_input(images[i : i + batch]).to(device)).float().cpu().numpy()
            for i in range(0, len(images), batch)
        ]
    return np.concatenate(chunks)


def cross_entropy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Per-example cross-entropy in nats, (N,); no label smoothing, as in Fan et al. 2023."""
    z = logits.astype(np.float64)
    z = z - z.max(1, keepdims=True)
    return np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), labels]
