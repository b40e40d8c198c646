"""Language-model training runs: a token budget on a set of documents, losses kept per document.

Every arm of a study gets the same number of training tokens, whatever its documents; what a smaller
set lacks is made up by repetition, and the number of epochs is recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from dataworth import compute
from dataworth.optimisation import Descent, Optimisation, kept_weights, mean_losses, restored
from dataworth.runs import Outcome, Result, Spec, Store
from dataworth.text.evaluation import Evaluation, check_names, evaluated
from dataworth.text.models import Decoder, next_token_nats
from dataworth.text.tokens import (
    TextPart,
    TokenizerSpec,
    TokensSpec,
    load_parts,
    pack,
    tokens_of,
)

if TYPE_CHECKING:
    import torch

CURVE = 20  # training steps per point of the stored curve


PRETRAINING = Optimisation(
    learning_rate=8e-3, weight_decay=0.1, betas=(0.9, 0.95), schedule="wsd", decay=0.5
)


class LanguageModelSpec(Spec):
    """Train a decoder on `tokens` tokens of the parts' documents (whole steps: at most one batch
    fewer); keep its losses on every evaluation set."""

    kind: ClassVar[str] = "language-model"
    parts: tuple[TextPart, ...] = Field(min_length=1)
    tokenizer: TokenizerSpec
    model: Decoder = Decoder()
    tokens: int = Field(1_000_000, ge=1, description="training budget, tokens predicted")
    batch: int = Field(32, ge=1, description="rows of a step")
    context: int = Field(128, ge=2, description="tokens of a row")
    optimisation: Optimisation = PRETRAINING
    evaluations: tuple[Evaluation, ...] = ()
    seed: int = Field(0, ge=0)
    keep_weights: bool = Field(False, description="store the model, for downstream tasks")
    devices: int = Field(1, ge=1, description="that share each batch (`spread`)")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.batch % self.devices:
            raise ValueError(f"batch is {self.batch}, which {self.devices} devices cannot share")
        if self.tokens < self.batch * self.context:
            raise ValueError(
                f"tokens is {self.tokens}, less than one step of {self.batch} x {self.context}"
            )
        if 0 < sum(part.weight is None for part in self.parts) < len(self.parts):
            raise ValueError("parts: give every part a weight, or none")
        check_names(self.evaluations)
        return self

    @property
    def steps(self) -> int:
        return self.tokens // (self.batch * self.context)

    def corpora(self) -> tuple[TokensSpec, ...]:
        """Encoded corpora that must be stored before the run (`run_text_tasks`)."""
        return tokens_of(self.tokenizer, [*self.parts, *(e.part for e in self.evaluations)])

    def run(self, store: Store) -> Outcome:
        """Arrays: `curve` float32 (steps / CURVE,), training loss in nats per token; those of
        `evaluation.evaluated`; and `weight:<name>` if kept. Metrics: bits per byte and nats per
        token of every set, tokens seen, unique tokens, and epochs over the documents."""
        import torch

        documents = load_parts(self.tokenizer, self.parts, store)
        weights = [p.weight for p in self.parts if p.weight is not None] or None
        packed = pack(
            documents,
            weights,
            end=self.tokenizer.end,
            count=self.steps * self.batch,
            context=self.context,
            seed=self.seed,
        )
        torch.manual_seed(self.seed)  # one start for all arms of a seed: they can be compared
        model = self.model.build(self.tokenizer.vocabulary).to(compute.device())
        if self.devices > 1:
            model, curve = self._spread(model, packed.rows, store)
        else:
            model, curve = train(model, packed.rows, self.batch, self.optimisation)
        arrays: dict[str, NDArray] = {"curve": curve}
        metrics: dict[str, object] = {
            "parameters": self.model.parameters(self.tokenizer.vocabulary),
            "tokens_seen": packed.rows[:, 1:].size,
            "unique_tokens": sum(len(d) for part in documents for d in part),
            "epochs": list(packed.epochs),
        }
        end, context = self.tokenizer.end, self.context
        losses, means = evaluated(
            self.evaluations,
            self.tokenizer,
            store,
            lambda documents: token_nats(model, documents, end, context),
        )
        arrays |= losses
        metrics |= means
        if self.keep_weights:
            arrays |= kept_weights(model)
        return Outcome(arrays, metrics)

    def _spread(
        self, model: torch.nn.Module, rows: NDArray[np.uint16], store: Store
    ) -> tuple[torch.nn.Module, NDArray[np.float32]]:
        """`train` on several devices."""
        from dataworth.text.spread import train_on

        place = store.path(self)
        model, losses = train_on(
            self.devices,
            model,
            self.model,
            rows,
            self.batch,
            self.optimisation,
            place.with_name(f".{place.name}.checkpoint"),
        )
        return model, mean_losses(losses.float(), CURVE)


def load_model(result: Result) -> torch.nn.Module:
    """The trained model of a run that kept its weights."""
    spec = result.spec
    assert isinstance(spec, LanguageModelSpec) and spec.keep_weights
    return restored(spec.model.build(spec.tokenizer.vocabulary), result.arrays)


def train(
    model: torch.nn.Module, rows: NDArray[np.uint16], batch: int, optimisation: Optimisation
) -> tuple[torch.nn.Module, NDArray[np.float32]]:
    """Train on rows (R, T + 1), `batch` at a time in their order; gives the (averaged) model and
    mean losses in nats per token, one for every CURVE steps."""
    import torch

    device = compute.device()

    def loss(step: int) -> torch.Tensor:
        block = torch.from_numpy(rows[step * batch : (step + 1) * batch].astype(np.int64))
        block = block.to(device, non_blocking=True)
        with compute.precision():
            return next_token_nats(model, block[:, :-1], block[:, 1:])[0]

    descent = Descent(model, optimisation, len(rows) // batch)
    return descent.run(loss), mean_losses(descent.losses.float(), CURVE)


def windows(length: int, context: int) -> list[tuple[int, int, int]]:
    """Sliding windows over `length` tokens: (start, first, stop), which predicts tokens first to
    stop - 1 from those that follow `start`.

    Each token is predicted once. The first window predicts up to `context` tokens; every further
    one moves on by half the context and predicts what is new, so that no token but those near the
    document's start has less than half the context before it.
    """
    stride = max(context // 2, 1)
    found, first, start = [], 0, 0
    while first < length:
        stop = min(start + context, length)
        found.append((start, first, stop))
        first, start = stop, start + stride
    return found


def token_nats(
    model: torch.nn.Module,
    documents: Sequence[NDArray[np.uint16]],
    end: int,
    context: int,
    batch_tokens: int | None = None,
) -> list[NDArray[np.float32]]:
    """Cross-entropy in nats of every token of every document, by `windows`; a document's first
    token is predicted from the end-of-text token alone. batch_tokens: positions per forward."""
    import torch

    device = compute.device()
    batch_tokens = batch_tokens or (2**13 if device.type == "cpu" else 2**18)
    found = [np.empty(len(document), dtype=np.float32) for document in documents]
    jobs = [(i, *w) for i, d in enumerate(documents) for w in windows(len(d), context)]
    jobs.sort(key=lambda job: job[3] - job[1], reverse=True)  # equal lengths together: few padding
    at = 0
    with torch.inference_mode(), compute.precision():
        while at < len(jobs):
            longest = jobs[at][3] - jobs[at][1]
            batch = jobs[at : at + max(1, batch_tokens // longest)]
            at += len(batch)
            # What is right of a window's end is padding: it changes nothing to its left.
            block = np.full((len(batch), longest + 1), end, dtype=np.int64)
            for row, (i, start, _, stop) in zip(block, batch, strict=True):
                row[1 : stop - start + 1] = documents[i][start:stop]
                if start:
                    row[0] = documents[i][start - 1]
            tokens = torch.from_numpy(block).to(device)
            _, nats = next_token_nats(model, tokens[:, :-1], tokens[:, 1:])
            values = nats.cpu().numpy()
            for row, (i, start, first, stop) in zip(values, batch, strict=True):
                found[i][first:stop] = row[first - start : stop - start]
    return found
