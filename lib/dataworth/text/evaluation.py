"""Held-out documents, and what a run keeps of a language model's losses on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dataworth.parameters import Value
from dataworth.runs import Store
from dataworth.text.tokens import TextPart, TokenizerSpec, load_parts, token_bytes


class Evaluation(Value):
    """Documents whose loss is kept; `max_tokens`: only the first so many tokens of each count."""

    name: str
    part: TextPart
    max_tokens: int | None = Field(None, ge=1)


def check_names(evaluations: Sequence[Evaluation]) -> None:
    """Raises ValueError where two have one name."""
    names = [evaluation.name for evaluation in evaluations]
    if len(set(names)) < len(names):
        raise ValueError("evaluations have names in common")


def evaluated(
    evaluations: Sequence[Evaluation],
    tokenizer: TokenizerSpec,
    store: Store,
    nats_of: Callable[[list[NDArray[np.uint16]]], Sequence[NDArray[np.floating]]],
) -> tuple[dict[str, NDArray], dict[str, object]]:
    """Arrays and metrics of a model whose `nats_of` gives those of every token of documents.

    Arrays, for every evaluation set: `ids_<name>`, `tokens_<name>`, `bytes_<name>` int64 (N,) and
    `nats_<name>` float64 (N,), summed over a document's tokens (the end of the text is not one of
    them). Metrics: `bits_per_byte_<name>` and `loss_<name>`, nats per token.
    """
    arrays: dict[str, NDArray] = {}
    metrics: dict[str, object] = {}
    sizes = token_bytes(tokenizer.load(store), tokenizer.vocabulary)
    for e in evaluations:
        (held_out,) = load_parts(tokenizer, [e.part], store)
        held_out = [document[: e.max_tokens] for document in held_out]
        nats = np.array([x.sum(dtype=np.float64) for x in nats_of(held_out)])
        n_bytes = np.array([sizes[document].sum() for document in held_out])
        tokens = np.array([len(document) for document in held_out])
        arrays |= {
            f"ids_{e.name}": np.array(e.part.ids, dtype=np.int64),
            f"tokens_{e.name}": tokens,
            f"bytes_{e.name}": n_bytes,
            f"nats_{e.name}": nats,
        }
        bits = nats.sum() / math.log(2)
        metrics[f"bits_per_byte_{e.name}"] = float(bits / max(n_bytes.sum(), 1))
        metrics[f"loss_{e.name}"] = float(nats.sum() / max(tokens.sum(), 1))
    return arrays, metrics
