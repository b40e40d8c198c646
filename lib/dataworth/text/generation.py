"""Free text of a pretrained model, and how toxic it is.

The run stores the tokens, so that scores and intervals are made from stored runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from dataworth import compute
from dataworth.runs import Outcome, Result, Store
from dataworth.text.downstream import OfModel
from dataworth.text.tokens import TOKEN, TokensSpec
from dataworth.text.training import load_model

if TYPE_CHECKING:
    import torch


class GenerationSpec(OfModel):
    """`samples` continuations of every prompt: top-k sampling at a temperature, the setting of
    Longpre et al. 2023 for toxic generation (25 samples, k = 40, temperature 1).

    A sample depends on seed, prompt and its number alone; the last `context` - `length` tokens of
    a prompt are read.
    """

    kind: ClassVar[str] = "generation"
    prompts: tuple[str, ...] = Field(min_length=1)
    samples: int = Field(25, ge=1)
    length: int = Field(24, ge=1, description="new tokens at most")
    top_k: int = Field(40, ge=1)
    temperature: float = Field(1.0, gt=0, allow_inf_nan=False)
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.length >= self.pretrained.context:
            raise ValueError(
                f"length is {self.length}; it must be below the context, {self.pretrained.context}"
            )
        return self

    def corpora(self) -> tuple[TokensSpec, ...]:
        """None: prompts are encoded in the run."""
        return ()

    def run(self, store: Store) -> Outcome:
        """Arrays: `tokens` uint16 (P, samples, length), filled up with the end-of-text token."""
        from dataworth.text.tokens import encode

        end = self.tokenizer.end
        keep = self.pretrained.context - self.length - 1
        starts = [
            np.concatenate([np.array([end], TOKEN), tokens[max(len(tokens) - keep, 0) :]])
            for tokens in encode(self.tokenizer.load(store), self.prompts)
        ]
        uniforms = np.stack(
            [prompt_uniforms(self.seed, p, self.samples, self.length) for p in self.prompts]
        )
        tokens = generate(
            load_model(store.load(self.pretrained)),
            starts,
            uniforms,
            end=end,
            top_k=self.top_k,
            temperature=self.temperature,
        )
        return Outcome({"tokens": tokens}, {"tokens": int((tokens != end).sum())})


def prompt_uniforms(seed: int, prompt: str, samples: int, length: int) -> NDArray[np.float64]:
    """Random numbers in [0, 1), (samples, length), of a seed and prompt."""
    name = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:8], "big")
    return np.stack(
        [np.random.default_rng([seed, 35, name, s]).random(length) for s in range(samples)]
    )


def generate(
    model: torch.nn.Module,
    prompts: Sequence[NDArray[np.uint16]],
    uniforms: NDArray[np.float64],
    *,
    end: int,
    top_k: int,
    temperature: float = 1.0,
    batch: int = 256,
) -> NDArray[np.uint16]:
    """Sampled tokens (P, S, L) for the random numbers `uniforms` (P, S, L): each picks a token from
    the k likeliest by inverting their cumulative probability. Everything after an end of text is
    `end`. `batch`: sequences at a time, all of one prompt length; it does not change the result
    but for the rounding of sums."""
    import torch

    n_prompts, samples, length = uniforms.shape
    device = compute.device()
    found = np.full(uniforms.shape, end, dtype=TOKEN)
    jobs = sorted(
        ((len(prompts[p]), p, s) for p in range(n_prompts) for s in range(samples)),
        key=lambda job: job[0],
    )
    shape = model.shape
    at = 0
    with torch.inference_mode():
        while at < len(jobs):
            size = jobs[at][0]
            group = [job for job in jobs[at : at + batch] if job[0] == size]
            at += len(group)
            p, s = [job[1] for job in group], [job[2] for job in group]
            tokens = torch.from_numpy(np.stack([prompts[i] for i in p]).astype(np.int64))
            tokens = tokens.to(device)
            draws = torch.from_numpy(uniforms[p, s]).to(device)  # (B, L)
            memory = (2, len(group), shape.heads, size + length, shape.head_width)  # type: ignore[union-attr]
            caches = [torch.zeros(memory, device=device) for _ in range(shape.layers)]  # type: ignore[union-attr, arg-type]
            alive = torch.ones(len(group), dtype=torch.bool, device=device)
            start, block = 0, tokens
            for step in range(length):
                state = model.hidden(block, caches, start)[:, -1]  # type: ignore[operator]
                logits = (state @ model.embedding.T).double() / temperature
                best, index = logits.topk(min(top_k, logits.shape[-1]), dim=-1)
                cumulative = best.softmax(-1).cumsum(-1)
                picked = (cumulative <= draws[:, step, None] * cumulative[:, -1:]).sum(-1)
                token = index.gather(1, picked.clamp(max=index.shape[1] - 1)[:, None])[:, 0]
                token = torch.where(alive, token, end)
                found[p, s, step] = token.cpu().numpy()
                alive &= token != end
                if not alive.any():
                    break
                start, block = start + block.shape[1], token[:, None]
    return found


def generated_texts(result: Result, store: Store) -> list[list[str]]:
    """The continuations of a stored generation run, by prompt and sample."""
    spec = result.spec
    assert isinstance(spec, GenerationSpec)
    tokenizer, end = spec.tokenizer.load(store), spec.tokenizer.end
    return [
        tokenizer.decode_batch([[t for t in line if t != end] for line in sample.tolist()])
        for sample in result.arrays["tokens"]
    ]


def toxicity_scores(
    result: Result, scorer: Callable[[list[str]], NDArray], store: Store
) -> NDArray[np.float64]:
    """Scores (P, samples) of a generation run's texts by a scorer: texts -> (N,) in [0, 1]."""
    texts = generated_texts(result, store)
    scores = np.asarray(scorer([text for row in texts for text in row]), dtype=np.float64)
    return scores.reshape(len(texts), -1)


def toxic_share(scores: NDArray[np.float64], threshold: float = 0.5) -> NDArray[np.float64]:
    """Share of each prompt's scored samples of at least `threshold`, (P,); NaN where none is."""
    known = np.isfinite(scores).sum(1)
    shares = np.full(len(scores), np.nan)
    return np.divide((scores >= threshold).sum(1), known, out=shares, where=known > 0)
