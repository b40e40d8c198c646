"""What a pretrained model can do: classification after fine-tuning, and choosing a continuation
(`text.generation`: its free text).

Every run stores its finest record (logits, likelihoods, tokens), so that scores and intervals are
made from stored runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from dataworth import compute
from dataworth.errors import UserError
from dataworth.optimisation import Descent, Optimisation
from dataworth.parameters import Value
from dataworth.runs import Outcome, Spec, Store
from dataworth.text.count_models import CountsSpec
from dataworth.text.evaluation import Evaluation
from dataworth.text.tokens import (
    TextPart,
    TokenizerSpec,
    TokensSpec,
    load_parts,
    rows_of,
    tokens_of,
)
from dataworth.text.training import (
    PRETRAINING,
    LanguageModelSpec,
    load_model,
    token_nats,
)

if TYPE_CHECKING:
    import torch

CHOICES = 4
FINE_TUNING = PRETRAINING.model_copy(
    update={"optimizer": "adamw", "learning_rate": 1e-3, "schedule": "cosine"}
)
LENGTHS = 32  # batches of windows are as long as a multiple of this


def with_weights(pretrained: LanguageModelSpec) -> LanguageModelSpec:
    """A model that others build on. Raises ValueError where its run does not keep its weights."""
    if not pretrained.keep_weights:
        raise ValueError("the run must keep its weights (keep_weights=True)")
    return pretrained


Pretrained = Annotated[LanguageModelSpec, AfterValidator(with_weights)]


class OfModel(Spec):
    """A run that builds on a stored, pretrained model (which kept its weights)."""

    pretrained: Pretrained

    @property
    def tokenizer(self) -> TokenizerSpec:
        return self.pretrained.tokenizer


# --- Fine-tuning for classification ------------------------------------------------------------


class FineTuneSpec(OfModel):
    """A linear head on the model's states, trained to tell `classes` apart.

    The class of a document is what the corpus's column `label` says; or `labels` gives it, for each
    document of `train` and then of every evaluation set.

    A document is read in `windows` windows of the model's context, spread evenly over it (one: its
    beginning); each is an example in training, and their logits are averaged in evaluation. Every
    run takes `steps` steps of `batch` windows in shuffled passes. `frozen`: the head alone learns.
    """

    kind: ClassVar[str] = "fine-tune"
    train: TextPart
    evaluations: tuple[Evaluation, ...] = Field(min_length=1)
    label: str | None = None
    labels: tuple[tuple[str, ...], ...] = ()
    classes: tuple[str, ...] = Field(min_length=2)
    pooling: Literal["mean", "last"] = "mean"
    frozen: bool = False
    windows: int = Field(1, ge=1)
    steps: int = Field(100, ge=1)
    batch: int = Field(16, ge=1)
    optimisation: Optimisation = FINE_TUNING
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _labelled(self) -> Self:
        if (self.label is None) == (not self.labels):
            raise ValueError("give either label, a column of the corpus, or labels")
        sizes = [len(part.ids) for part in self._parts]
        if self.labels and [len(values) for values in self.labels] != sizes:
            raise ValueError("labels must name a class for each document of train and evaluations")
        if unknown := sorted({name for values in self.labels for name in values} - {*self.classes}):
            raise ValueError(f"labels hold {unknown[0]!r}, which is not in classes")
        return self

    @property
    def _parts(self) -> list[TextPart]:
        return [self.train, *(e.part for e in self.evaluations)]

    def corpora(self) -> tuple[TokensSpec, ...]:
        """Encoded corpora that must be stored before the run (`run_text_tasks`)."""
        return tokens_of(self.tokenizer, self._parts)

    def run(self, store: Store) -> Outcome:
        """Arrays, for every evaluation set: `logits_<name>` float32 (N, classes), `labels_<name>`
        and `ids_<name>` int64 (N,). Metrics: `accuracy_<name>`."""
        import torch

        model = load_model(store.load(self.pretrained))
        context, end = self.pretrained.context, self.tokenizer.end
        encoded = load_parts(self.tokenizer, self._parts, store)
        if self.label is not None:
            labels = [labels_of(part, self.label, self.classes) for part in self._parts]
        else:
            labels = [np.array([self.classes.index(x) for x in values]) for values in self.labels]
        inputs = [document_windows(d, self.windows, context, end) for d in encoded[0]]
        lines = np.concatenate([tokens for tokens, _ in inputs])
        lengths = np.concatenate([sizes for _, sizes in inputs])
        truth = np.repeat(labels[0], [len(tokens) for tokens, _ in inputs])
        torch.manual_seed(self.seed)
        head = torch.nn.Linear(self.pretrained.model.width, len(self.classes))
        head = head.to(compute.device())
        model, trained = self._learn(model, head, lines, lengths, truth)
        arrays: dict[str, NDArray] = {}
        metrics: dict[str, object] = {"examples": len(truth)}
        for e, documents, right in zip(self.evaluations, encoded[1:], labels[1:], strict=True):
            inputs = [document_windows(d, self.windows, context, end) for d in documents]
            counts = np.array([len(tokens) for tokens, _ in inputs])
            pooled = pool(
                model,
                np.concatenate([tokens for tokens, _ in inputs]),
                np.concatenate([sizes for _, sizes in inputs]),
                self.pooling,
            )
            with torch.inference_mode():
                each = trained(pooled).cpu().numpy()
            starts = np.cumsum(counts) - counts
            logits = np.add.reduceat(each, starts, axis=0) / counts[:, None]
            arrays |= {
                f"logits_{e.name}": logits.astype(np.float32),
                f"labels_{e.name}": right,
                f"ids_{e.name}": np.array(e.part.ids, dtype=np.int64),
            }
            metrics[f"accuracy_{e.name}"] = float((logits.argmax(1) == right).mean())
        return Outcome(arrays, metrics)

    def _learn(
        self,
        model: torch.nn.Module,
        head: torch.nn.Module,
        lines: NDArray[np.int64],
        lengths: NDArray[np.int64],
        truth: NDArray[np.int64],
    ) -> tuple[torch.nn.Module, torch.nn.Module]:
        """The model and the head, trained on windows (W, T) of the given lengths and labels."""
        import torch

        device = compute.device()
        model.requires_grad_(not self.frozen)
        features = pool(model, lines, lengths, self.pooling).clone() if self.frozen else None
        both = torch.nn.ModuleDict({"head": head} if self.frozen else {"head": head, "lm": model})
        rng = np.random.default_rng([self.seed, 34])
        passes = math.ceil(self.steps * self.batch / len(truth))
        order = np.concatenate([rng.permutation(len(truth)) for _ in range(passes)])
        y = torch.from_numpy(truth).to(device)

        def loss(step: int) -> torch.Tensor:
            rows = order[step * self.batch : (step + 1) * self.batch]
            if features is not None:
                pooled = features[torch.from_numpy(rows).to(device)]
            else:
                pooled = _pool(model, lines[rows], lengths[rows], self.pooling)
            return torch.nn.functional.cross_entropy(head(pooled), y[rows])

        trained: Any = Descent(both, self.optimisation, self.steps).run(loss)
        return model if self.frozen else trained["lm"], trained["head"]


def labels_of(part: TextPart, label: str, classes: Sequence[str]) -> NDArray[np.int64]:
    """Class numbers (N,) of the documents of a part.

    Raises UserError if the corpus has no such column, or a document another class.
    """
    from dataworth.data import load_corpus

    corpus = load_corpus(part.card, part.split)
    if label not in corpus.labels:
        known = ", ".join(corpus.labels) or "none"
        raise UserError(f"label: {part.name} has no column {label!r}; it has {known}.")
    values = np.asarray(corpus.labels[label])[rows_of(part.ids, corpus.ids, part.name)]
    number = {name: i for i, name in enumerate(classes)}
    if unknown := sorted(set(values.tolist()) - set(number)):
        raise UserError(f"label: {part.name} has class {unknown[0]!r}, not in classes.")
    return np.array([number[value] for value in values.tolist()], dtype=np.int64)


def document_windows(
    document: NDArray[np.uint16], count: int, context: int, end: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """At most `count` windows (W, context) of end-of-text and then context - 1 tokens, spread
    evenly from the document's first token to its last, and their lengths (W,). Padded with `end`;
    a document that fits in one window has one."""
    inside = context - 1
    spare = max(len(document) - inside, 0)
    starts = np.unique(np.linspace(0, spare, count).round().astype(int)) if count > 1 else [0]
    tokens = np.full((len(starts), context), end, dtype=np.int64)
    lengths = np.empty(len(starts), dtype=np.int64)
    for row, start in enumerate(starts):
        piece = document[start : start + inside]
        tokens[row, 1 : 1 + len(piece)] = piece
        lengths[row] = 1 + len(piece)
    return tokens, lengths


def pool(
    model: torch.nn.Module,
    tokens: NDArray[np.int64],
    lengths: NDArray[np.int64],
    pooling: str,
    batch: int = 64,
) -> torch.Tensor:
    """States (W, width) of windows (W, T), without gradients: their mean, or the last one's."""
    import torch

    with torch.inference_mode():
        return torch.cat(
            [
                _pool(model, tokens[i : i + batch], lengths[i : i + batch], pooling)
                for i in range(0, len(tokens), batch)
            ]
        )


def _pool(
    model: torch.nn.Module, tokens: NDArray[np.int64], lengths: NDArray[np.int64], pooling: str
) -> torch.Tensor:
    import torch

    device = compute.device()
    # Few different lengths: oneDNN compiles and keeps a kernel for every shape of a product.
    longest = min(-(-int(lengths.max()) // LENGTHS) * LENGTHS, tokens.shape[1])
    with compute.precision():
        states = model.hidden(torch.from_numpy(tokens[:, :longest]).to(device))  # type: ignore[operator]
    states = states.float()
    size = torch.from_numpy(lengths).to(device)[:, None]
    place = torch.arange(longest, device=device)
    mask = place < size if pooling == "mean" else place == size - 1  # (W, T)
    weights = mask.float()
    return (states * (weights / weights.sum(1, keepdim=True))[..., None]).sum(1)


# --- Choosing the true continuation ------------------------------------------------------------


class Questions(Value):
    """Documents that questions are made of. groups: one name for each of the part's ids (its
    domain, say); places: questions from one document at most."""

    part: TextPart
    groups: tuple[str, ...]
    places: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _named(self) -> Self:
        if len(self.groups) != len(self.part.ids):
            raise ValueError("groups must name one group for each of the part's ids")
        return self


class ChoiceSpec(Spec):
    """Which of four continuations belongs to a document's beginning?

    From every document of at least `prompt` + `continuation` tokens, the first `prompt` are the
    question and the following ones the answer; with `places` above 1, so are up to so many further
    stretches, spread evenly over the document without overlap. Those of a group are sorted by the
    answer's bytes and taken by fours: the other three answers of its four are a question's
    distractors, of the same length in tokens and nearly so in bytes. As each answer is right once
    and wrong three times, a model that does not read the questions is right in exactly one of four.
    """

    kind: ClassVar[str] = "multiple-choice"
    pretrained: Pretrained | CountsSpec
    questions: tuple[Questions, ...] = Field(min_length=1)
    prompt: int = Field(32, ge=1)
    continuation: int = Field(16, ge=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        whole, model = self.prompt + self.continuation, self.pretrained
        if isinstance(model, LanguageModelSpec) and whole > model.context:
            raise ValueError(
                f"prompt and continuation are {whole} tokens; the model's context is "
                f"{model.context}"
            )
        return self

    @property
    def tokenizer(self) -> TokenizerSpec:
        return self.pretrained.tokenizer

    def corpora(self) -> tuple[TokensSpec, ...]:
        """Encoded corpora that must be stored before the run (`run_text_tasks`)."""
        return tokens_of(self.tokenizer, [q.part for q in self.questions])

    def _nats(self, lines: Sequence[NDArray[np.uint16]], store: Store) -> Sequence[NDArray]:
        """Losses of every token of lines, in nats."""
        model = self.pretrained
        if isinstance(model, CountsSpec):
            return model.model(store).nats(lines)
        return token_nats(load_model(store.load(model)), lines, self.tokenizer.end, model.context)

    def run(self, store: Store) -> Outcome:
        """Arrays, for Q fours: `nats` float64 (Q, 4, 4), loss of answer j after question i; `bytes`
        int64 (Q, 4) of the answers; `ids` int64 (Q, 4) of the documents; `groups` (Q,) str.
        Metrics: `accuracy`, `margin` (bits per byte), as `choice_scores` defines them."""
        from dataworth.text.tokens import token_bytes

        encoded = load_parts(self.tokenizer, [q.part for q in self.questions], store)
        sizes = token_bytes(self.tokenizer.load(store), self.tokenizer.vocabulary)
        whole = self.prompt + self.continuation
        found = [
            (group, id_, document[start : start + whole])
            for q, documents in zip(self.questions, encoded, strict=True)
            for group, id_, document in zip(q.groups, q.part.ids, documents, strict=True)
            for start in stretches(len(document), whole, q.places)
        ]
        groups = np.array([group for group, _, _ in found], dtype=np.str_)
        ids = np.array([id_ for _, id_, _ in found], dtype=np.int64)
        lines = [line for _, _, line in found]
        n_bytes = np.array([sizes[line[self.prompt :]].sum() for line in lines], dtype=np.int64)
        fours = fours_of(groups, n_bytes)
        if not len(fours):
            raise UserError(
                f"questions: no group has {CHOICES} documents of {whole} tokens; choose a shorter "
                "prompt or continuation."
            )
        pairs = [
            np.concatenate([lines[i][: self.prompt], lines[j][self.prompt :]])
            for four in fours.tolist()
            for i in four
            for j in four
        ]
        nats = np.array([x[self.prompt :].sum(dtype=np.float64) for x in self._nats(pairs, store)])
        nats = nats.reshape(len(fours), CHOICES, CHOICES)
        right, margin = choice_scores(nats, n_bytes[fours])
        return Outcome(
            {
                "nats": nats,
                "bytes": n_bytes[fours],
                "ids": ids[fours],
                "groups": groups[fours[:, 0]],
            },
            {
                "questions": int(right.size),
                "accuracy": float(right.mean()),
                "margin": float(margin.mean()),
            },
        )


def stretches(length: int, whole: int, places: int) -> list[int]:
    """Starts of at most `places` stretches of `whole` tokens in a document of `length` tokens,
    spread evenly from its first token to its last, without overlap; none where it is shorter."""
    count = min(places, length // whole)
    return [round(i * (length - whole) / max(count - 1, 1)) for i in range(count)]


def fours_of(groups: NDArray[np.str_], n_bytes: NDArray[np.int64]) -> NDArray[np.intp]:
    """Rows (Q, 4) of answers, four of one group and of neighbouring lengths; at most three of a
    group are left over."""
    found = []
    for group in sorted(set(groups.tolist())):
        rows = np.flatnonzero(groups == group)
        rows = rows[np.argsort(n_bytes[rows], kind="stable")]
        found.append(rows[: len(rows) // CHOICES * CHOICES].reshape(-1, CHOICES))
    return np.concatenate([*found, np.empty((0, CHOICES), dtype=np.intp)])


def choice_scores(
    nats: NDArray[np.float64], n_bytes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Right (Q, 4), 1 where the true answer is the likeliest per byte (k answers that tie for it
    share the point), and margin (Q, 4): bits per byte by which the best distractor is worse than
    the true answer. nats (Q, 4, 4): question, answer; n_bytes (Q, 4) of the answers."""
    bits = nats / math.log(2) / np.maximum(n_bytes, 1)[:, None, :]
    true = np.diagonal(bits, axis1=1, axis2=2)
    others = np.where(np.eye(CHOICES, dtype=bool), np.inf, bits).min(2)
    ties = (bits == true[:, :, None]).sum(2)
    return np.where(true <= others, 1 / ties, 0.0), others - true
