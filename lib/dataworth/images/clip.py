"""Contrastive training on captioned images: open_clip towers, zero-shot, retrieval, linear probe.

A real image's text is a caption written from its label and its pixels (`captions`), which stands
for web alt text; a synthetic image's text is the caption it was drawn from. Towers, the CLIP loss
and the zero-shot classifier are open_clip's. The text is cut into tokens by the generators'
byte-level BPE: 512 entries instead of the 49,408 of open_clip's tokenizer, whose embedding alone
would be ten times larger than both towers here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dataworth import compute
from dataworth.data.rows import Images, Rows
from dataworth.errors import UserError
from dataworth.images.augmentation import ImageOptimisation
from dataworth.images.captions import TEMPLATES, captions_of
from dataworth.images.classifiers import (
    REPORT,
    Budget,
    ClassifierSpec,
    best_of_training,
    cross_entropy,
    load_model,
)
from dataworth.images.feeding import as_input, feed
from dataworth.images.fidelity import embed
from dataworth.images.generators import WEIGHTS
from dataworth.images.parts import (
    Captioned,
    RealPart,
    SyntheticPart,
    balanced_subset,
    file_digest,
    image_seed,
    load_parts,
)
from dataworth.images.prompts import prompt
from dataworth.images.prompts.templates import templates
from dataworth.kernels import use_fast_matmul
from dataworth.optimisation import Descent, mean_losses
from dataworth.parameters import Value
from dataworth.runs import Outcome, Spec, Store

if TYPE_CHECKING:
    import torch

Encode = Callable[[Sequence[str]], "torch.Tensor"]
TOKENIZER = WEIGHTS / "pixel-diffusion" / "tokenizer.json"
LARGEST_SCALE = 100.0  # open_clip clamps the learned logit scale here, as Radford et al. 2021 do
TEMPERATURE = 0.1  # of the multi-positive loss, in place of a learned scale


class Towers(Value):
    """An image and a text transformer of open_clip; patch in pixels, widths in channels. A model
    that open_clip knows by name has `name` instead."""

    name: str = ""
    patch: int = Field(7, ge=1)
    width: int = Field(64, ge=8)
    depth: int = Field(2, ge=1)
    text_width: int = Field(64, ge=8)
    text_depth: int = Field(1, ge=1)
    head_width: int = Field(32, ge=4)
    embedding: int = Field(64, ge=2)
    context: int = Field(16, ge=4, description="tokens per text; longer texts are cut")

    def build(self, image_size: int, vocabulary: int, end: int) -> Any:
        """Untrained towers (`open_clip.model.CLIP`) for square images; `end` is the id of the
        token at which a text is read off."""
        from open_clip.factory import get_model_config
        from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

        from dataworth.images.pooling import clip_class

        if self.name:
            return CLIP(**get_model_config(self.name))
        made = clip_class()(
            self.embedding,
            CLIPVisionCfg(
                layers=self.depth,
                width=self.width,
                head_width=self.head_width,
                patch_size=self.patch,
                image_size=image_size,
            ),
            CLIPTextCfg(
                context_length=self.context,
                vocab_size=vocabulary,
                width=self.text_width,
                heads=max(1, self.text_width // self.head_width),
                layers=self.text_depth,
                pool_type="eos",
                eos_id=end,
            ),
        )
        return use_fast_matmul(made)


TOWERS: dict[str, Towers] = {
    "clip-2x64": Towers(),
    "clip-4x128": Towers(width=128, depth=4, text_width=128, text_depth=2, embedding=128),
    # The paper's: 224-pixel images, quick-GELU. LAION-400M weights of this architecture (with GELU)
    # are `ViT-B-16` / `laion400m_e32` in open_clip, `timm/vit_base_patch16_clip_224.laion400m_e32`
    # on the hub.
    "clip-b16": Towers(
        name="ViT-B-16-quickgelu", patch=16, width=768, depth=12, text_width=512, text_depth=12,
        head_width=64, embedding=512, context=77,
    ),
}  # fmt: skip

TEMPLATE_SETS = ("photo", "clip-7", "clip-80")


def zero_shot_templates(name: str) -> Sequence[str]:
    """`photo`, the ten CLIP templates that captions are written in, or all of CLIP's 7 or 80.

    Raises UserError for another name.
    """
    if name not in TEMPLATE_SETS:
        raise UserError(f"templates is {name!r}; it must be one of {', '.join(TEMPLATE_SETS)}.")
    return TEMPLATES["photo"] if name == "photo" else templates(name)


@cache
def _vocabulary() -> tuple[int, int]:
    """Number of tokens and id of the end token."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    return tokenizer.get_vocab_size(), tokenizer.encode("").ids[0]


def tokenizer(context: int) -> Encode:
    """Texts to int64 token ids (N, context), each ended by the end token and padded."""
    import torch
    from tokenizers import Tokenizer

    found = Tokenizer.from_file(str(TOKENIZER))
    found.enable_truncation(context)
    found.enable_padding(length=context, pad_id=0, pad_token="<pad>")

    def encode(texts: Sequence[str]) -> torch.Tensor:
        return torch.tensor([row.ids for row in found.encode_batch(list(texts))])

    return encode


def real_captions(
    card: str, images: Images | Rows, labels: NDArray[np.int64], ids: Iterable[int]
) -> list[str]:
    """One caption per image of a card, by its content id: the same in every run."""
    writer = captions_of(card)
    words = writer.attributes(np.asarray(images), labels)
    return [
        writer.caption(int(label), row, np.random.default_rng([21, int(i)]))
        for label, row, i in zip(labels, words, ids, strict=True)
    ]


def texts(part: Captioned, store: Store) -> list[str]:
    """The caption of each image of a part: the real image's, or the one a synthetic image was
    drawn from. The class name that `in-captions` puts before it is left out, so that real and
    synthetic captions come from one distribution."""
    if isinstance(part, RealPart):
        images, labels = part.load(store)
        return real_captions(part.card, images, labels, part.ids)
    pool = part.pool
    names = [pool.names[i % len(pool.names)] for i in part.ids]
    return [
        prompt(pool.prompt_set, name, image_seed(pool.seed, i), pool.card).removeprefix(f"{name}, ")
        for name, i in zip(names, part.ids, strict=True)
    ]


class ClipSpec(Spec):
    """Train towers on the pairs of `parts`; evaluate on the test split and on `retrieval` images
    of the validation split. `probe` are the labelled real images of the linear probe.

    objective `clip`: image against text (Radford et al. 2021). `multi-positive`: images alone,
    those of one text are each other's positives (StableRep, Tian et al. 2023; SynCLR); it has no
    text encoder, hence no zero-shot and no retrieval.
    """

    kind: ClassVar[str] = "clip"
    parts: tuple[Captioned, ...] = Field(min_length=1)
    objective: Literal["clip", "multi-positive"] = "clip"
    towers: Towers = Towers()
    budget: Budget = Budget()
    optimisation: ImageOptimisation = ImageOptimisation()
    card: str = "fashion-mnist"
    templates: Literal["photo", "clip-7", "clip-80"] = "photo"
    probe: RealPart
    retrieval: int = Field(1000, ge=2, description="captioned validation images, balanced")
    seed: int = Field(0, ge=0)
    tokenizer: str = Field(default_factory=lambda: file_digest(TOKENIZER), description="sha256")

    def run(self, store: Store) -> Outcome:
        """Arrays: `logits_probe` float32 (N, classes), `labels_probe` int64 (N,) on the test split,
        `losses` float32 (steps / 50,), `validated` float64 as a classifier's; for `clip` also
        `logits_test`, `labels_test` (zero-shot) and `rank_image_to_text`, `rank_text_to_image`
        int64 (retrieval,), 0 = first. Metrics: top-1 and recall at 1 and 5, logit scale, the
        `steps` whose weights were taken, milliseconds per step.

        What a tuned budget lowers on the validation images of `retrieval`: the zero-shot loss, or
        the error of the linear probe where there is no text."""
        from dataworth.data import load_images

        images, _ = load_parts(self.parts, store)
        captions = [text for part in self.parts for text in texts(part, store)]
        test, held_out = (load_images(self.card, split) for split in ("test", "validation"))
        labels = np.array(test.labels)
        some = balanced_subset(np.asarray(held_out.labels), self.retrieval, 0)
        queries, truth = held_out.images[some], np.asarray(held_out.labels)[some]
        known, classes = self.probe.load(store)
        validated: list[float] = []

        def probed(model: Any, others: Images | Rows) -> NDArray[np.float32]:
            features = [embed_images(model, x, projected=False) for x in (known, others)]
            return linear_probe(features[0], classes, features[1])

        def validate(model: Any) -> float:
            if self.objective == "clip":
                found = cross_entropy(
                    zero_shot(model, queries, self.templates, self.card), truth
                ).mean()
            else:
                found = (probed(model, queries).argmax(1) != truth).mean()
            validated.append(float(found))
            return validated[-1]

        model, losses, milliseconds = train(
            images,
            captions,
            self.towers,
            self.objective,
            self.budget,
            self.optimisation,
            self.seed,
            validate=validate,
        )
        arrays: dict[str, NDArray[Any]] = {"losses": losses}
        if validated:
            arrays["validated"] = np.array(validated)
        best = int(np.argmin(validated)) if validated else -1
        metrics: dict[str, float] = {
            "examples": len(captions),
            "steps": self.budget.checkpoints(len(captions))[best],
            "ms_per_step": milliseconds,
        }
        if self.objective == "clip":
            logits = zero_shot(model, test.images, self.templates, self.card)
            arrays |= {"logits_test": logits, "labels_test": labels}
            metrics |= {
                "logit_scale": float(model.logit_scale.detach().exp()),
                "top1_test": float((logits.argmax(1) == labels).mean()),
                "loss_test": float(cross_entropy(logits, labels).mean()),
            }
            words = real_captions(self.card, queries, truth, held_out.ids[some].tolist())
            embedded = embed_texts(model, tokenizer(self.towers.context), words)
            ranks = retrieval_ranks(embed_images(model, queries), embedded, words)
            for direction, rank in ranks.items():
                arrays[f"rank_{direction}"] = rank
                for k in (1, 5):
                    metrics[f"recall{k}_{direction}"] = float((rank < k).mean())
        scores = probed(model, test.images)
        arrays |= {"logits_probe": scores, "labels_probe": labels}
        metrics["top1_probe"] = float((scores.argmax(1) == labels).mean())
        return Outcome(arrays, metrics)


def train(
    images: Images | Rows,
    captions: Sequence[str],
    towers: Towers,
    objective: str,
    budget: Budget,
    optimisation: ImageOptimisation,
    seed: int,
    *,
    validate: Callable[[Any], float] | None = None,
) -> tuple[Any, NDArray[np.float32], float]:
    """Train on pairs of uint8 (N, H, W[, 3]) images and texts; gives the (averaged) towers, mean
    losses per 50 steps, and milliseconds of processor time per step (with those of `validate`, as
    in `classifiers.train`).

    A batch holds no image twice: sets smaller than a batch are one batch.
    """
    import time

    import torch
    from open_clip import ClipLoss

    device = compute.device()
    torch.manual_seed(seed)
    rng = torch.Generator("cpu").manual_seed(seed)
    model = towers.build(images.shape[1], *_vocabulary()).to(device)
    tokens = tokenizer(towers.context)(captions).to(device)
    same = torch.from_numpy(np.unique(np.array(captions), return_inverse=True)[1])
    contrast = ClipLoss()
    batch, steps = min(budget.batch, len(images)), budget.steps(len(images))

    def clamp() -> None:
        with torch.no_grad():
            model.logit_scale.clamp_(0, np.log(LARGEST_SCALE))

    def batches() -> Iterator[torch.Tensor]:
        while True:
            order = torch.randperm(len(images), generator=rng)
            if objective == "multi-positive":  # the images of one text stand side by side
                place = torch.randperm(int(same.max()) + 1, generator=rng)[same[order]]
                order = order[place.argsort(stable=True)]
            for at in range(0, len(order) - batch + 1, batch):
                yield order[at : at + batch]

    fed = feed(images, batches(), optimisation.shift, optimisation.flip, rng)
    same_there = same.to(device)

    def loss(step: int) -> torch.Tensor:
        x, rows = next(fed)
        pixels = three_channels(optimisation.augmented(x, seed, step))
        with compute.precision():
            if objective == "clip":
                found: torch.Tensor = contrast(*model(pixels, tokens[rows]))
                return found
            features = model.encode_image(pixels, normalize=True)
            return multi_positive_loss(features, same_there[rows], TEMPERATURE)

    descent = Descent(model, optimisation, steps, ema=optimisation.ema, after=clamp)
    began = time.process_time()
    with closing(fed):
        trained = best_of_training(descent, loss, budget, len(images), validate)
    spent = 1000 * (time.process_time() - began) / steps
    return trained, mean_losses(descent.losses, REPORT), spent


def match_cross_entropy(logits: torch.Tensor, matches: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the rows' softmax against their match distribution, a scalar.

    logits: (N, M); -inf excludes a candidate. matches: bool (N, M), the positives of each row; a
    row's distribution is uniform over them, and rows without any do not count (StableRep, Tian et
    al. 2023, the loss of its multi-positive contrastive learning).
    """
    import torch

    target = matches.float()
    counts = target.sum(1)
    logs = torch.log_softmax(logits, 1).masked_fill(~matches, 0.0)
    per_row = -logs.sum(1)[counts > 0] / counts[counts > 0]
    return per_row.mean() if len(per_row) else logs.sum()  # no positive at all: zero


def multi_positive_loss(
    features: torch.Tensor, groups: torch.Tensor, temperature: float
) -> torch.Tensor:
    """The multi-positive contrastive loss of normalised features (N, d): each image against all
    others; those of its group (N,) are its positives."""
    import torch

    itself = torch.eye(len(features), dtype=torch.bool, device=features.device)
    logits = (features @ features.T / temperature).masked_fill(itself, -torch.inf)
    return match_cross_entropy(logits, (groups[:, None] == groups) & ~itself)


def three_channels(x: torch.Tensor) -> torch.Tensor:
    """(N, 1 or 3, H, W) as (N, 3, H, W): open_clip's image tower reads three channels."""
    return x.expand(-1, 3, -1, -1)


def zero_shot(
    model: Any, images: Images | Rows, names: str, card: str = "fashion-mnist"
) -> NDArray[np.float32]:
    """Logits (N, classes) of images (N, H, W[, 3]) by the texts of a card's classes."""
    weights = class_weights(model, tokenizer(model.context_length), names, card)
    logits: NDArray[np.float32] = embed_images(model, images) @ weights
    return float(model.logit_scale.detach().exp()) * logits


def class_weights(
    model: Any, encode: Encode, names: str, card: str = "fashion-mnist"
) -> NDArray[np.float32]:
    """Zero-shot classifier (embedding, classes): text embeddings averaged over templates."""
    from open_clip import build_zero_shot_classifier

    words = [row[0] for row in captions_of(card).class_words]
    found = build_zero_shot_classifier(
        model, encode, words, zero_shot_templates(names), device=str(compute.device())
    )
    return found.float().cpu().numpy()


def embed_images(
    model: Any, images: Images | Rows, *, projected: bool = True, batch: int = 500
) -> NDArray[np.float32]:
    """Normalised embeddings (N, embedding), or features before the projection (N, width)."""
    import torch

    device, tower = compute.device(), model.visual
    projection = tower.proj
    out = []
    with torch.inference_mode():
        for i in range(0, len(images), batch):
            tower.proj = projection if projected else None
            x = three_channels(as_input(images[i : i + batch]).to(device))
            out.append(model.encode_image(x, normalize=projected).float().cpu().numpy())
    tower.proj = projection
    return np.concatenate(out)


def embed_texts(
    model: Any, encode: Encode, words: Sequence[str], batch: int = 500
) -> NDArray[np.float32]:
    """Normalised embeddings (N, embedding); equal texts have equal ones to the bit."""
    import torch

    unique, inverse = np.unique(np.array(words), return_inverse=True)
    with torch.inference_mode():
        out = [
            model.encode_text(
                encode(unique[i : i + batch].tolist()).to(compute.device()), normalize=True
            )
            for i in range(0, len(unique), batch)
        ]
    found: NDArray[np.float32] = torch.cat(out).float().cpu().numpy()
    return found[inverse]


def retrieval_ranks(
    images: NDArray[np.float32], words: NDArray[np.float32], captions: Sequence[str]
) -> dict[str, NDArray[np.int64]]:
    """`image_to_text` and `text_to_image`: for each query, how many candidates score higher than
    its best hit, (N,). Image i belongs to text i, and to every text with the same words.

    Recall at k is the share of ranks below k.
    """
    _, group = np.unique(np.array(captions), return_inverse=True)
    hit = group[:, None] == group
    scores = images @ words.T
    ranks = {}
    for direction, s in (("image_to_text", scores), ("text_to_image", scores.T)):
        best = np.where(hit, s, -np.inf).max(1, keepdims=True)
        ranks[direction] = (s > best).sum(1)
    return ranks


def linear_probe(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    others: NDArray[np.float32],
    penalty: float = 1e-3,
) -> NDArray[np.float32]:
    """Ridge regression of one-hot labels (N,) on standardised frozen features (N, d); scores of
    `others` (M, classes). `penalty` per example: the closed form of scikit-learn's `Ridge` with
    `alpha = penalty * N`."""
    x = features.astype(np.float64)
    centre, spread = x.mean(0), x.std(0) + 1e-6
    x = (x - centre) / spread
    targets = np.eye(max(10, int(labels.max()) + 1))[labels]
    gram = x.T @ x + penalty * len(x) * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, x.T @ (targets - targets.mean(0)))
    scores = (others.astype(np.float64) - centre) / spread @ weights + targets.mean(0)
    return scores.astype(np.float32)


def tower_flops(name: str) -> tuple[float, int]:
    """(operations of one forward pass of both towers on one pair, parameters), from shapes."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    towers = TOWERS[name]
    side = 224 if towers.name else 28
    with torch.device("meta"):
        model = towers.build(side, 512, 1)
        with FlopCounterMode(display=False) as counter:
            text = torch.zeros(1, model.context_length, dtype=torch.long)
            model(torch.empty(1, 3, side, side), text)
    return float(counter.get_total_flops()), sum(p.numel() for p in model.parameters())


class RecognisedSpec(Spec):
    """Which images of a synthetic part show their class, says a classifier trained on real ones."""

    kind: ClassVar[str] = "recognised"
    part: SyntheticPart
    reference: ClassifierSpec

    def run(self, store: Store) -> Outcome:
        """Arrays: `recognised` bool (N,), in the order of the part's ids."""
        images, labels = self.part.load(store)
        _, logits = embed(load_model(store.load(self.reference)), images)
        recognised = logits.argmax(1) == labels
        return Outcome({"recognised": recognised}, {"share": float(recognised.mean())})
