"""Decoder language models of the Llama kind, small enough to train on one core.

RMSNorm, rotary positions, SwiGLU, no biases, input and output embeddings tied: the architecture of
`transformers.LlamaForCausalLM`, whose logits it reproduces on the same weights (tests). As in
nanochat the norms inside the blocks have no gains; a Llama's are part of the matrices after them.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import Field

from dataworth.kernels import linear_class, matmul
from dataworth.parameters import Value

if TYPE_CHECKING:
    import torch


class Decoder(Value):
    """Shape of a decoder: widths in channels, `head_width` even. `build` makes the module."""

    width: int = Field(96, ge=2)
    layers: int = Field(2, ge=1)
    heads: int = Field(3, ge=1)
    head_width: int = Field(32, ge=2, multiple_of=2)
    hidden: int = Field(256, ge=1, description="channels inside the SwiGLU block")

    def build(self, vocabulary: int) -> torch.nn.Module:
        """The module `LanguageModel`, its weights drawn from torch's global generator."""
        return _module_class()(self, vocabulary)

    def parameters(self, vocabulary: int) -> int:
        """Number of parameters, the tied embedding counted once."""
        inner = self.heads * self.head_width
        layer = 4 * self.width * inner + 3 * self.width * self.hidden
        return vocabulary * self.width + self.layers * layer + self.width

    def training_flops(self, vocabulary: int, tokens: int, context: int) -> float:
        """Floating-point operations of training on `tokens`: 6 per parameter and token (the output
        embedding is one of them), and 12 x layers x heads x head_width x context per token for
        attention (Chowdhery et al. 2022, appendix B)."""
        attention = 12 * self.layers * self.heads * self.head_width * context
        return float(tokens) * (6 * self.parameters(vocabulary) + attention)


# Named by their parameters with the vocabulary that each is used with: 2,048 tokens up to lm-2m,
# 4,096 for lm-20m, 32,000 for lm-1.5b.
MODELS: dict[str, Decoder] = {
    "lm-0.1m": Decoder(width=32, layers=2, heads=1, hidden=88),
    "lm-0.4m": Decoder(width=96, layers=2, heads=3, hidden=256),
    "lm-0.9m": Decoder(width=128, layers=3, heads=4, hidden=344),
    "lm-2m": Decoder(width=192, layers=4, heads=6, hidden=512),
    # The two scales of Longpre et al. 2023; the paper does not print their shapes.
    "lm-20m": Decoder(width=512, layers=8, heads=6, head_width=64, hidden=1024),
    "lm-1.5b": Decoder(width=2048, layers=30, heads=32, head_width=64, hidden=5120),
}


@cache
def _module_class() -> Any:
    """The module's class, made on first use: torch is not imported before."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    Linear = linear_class()

    def rotate(x: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
        """Rotary positions: channels (2i, 2i + 1) turn as one complex number.

        One kernel instead of seven; Llama's checkpoints pair channels (i, i + D/2), which is a
        permutation of the query and key weights.
        """
        pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
        return torch.view_as_real(pairs * turns).flatten(-2).type_as(x)

    class Block(nn.Module):
        def __init__(self, shape: Decoder) -> None:
            super().__init__()
            inner = shape.heads * shape.head_width
            self.split = (shape.heads, shape.head_width)
            self.qkv = Linear(shape.width, 3 * inner, bias=False)
            self.out = Linear(inner, shape.width, bias=False)
            # Two matrices: the gradients of a joint one would have to be copied together.
            self.gate = Linear(shape.width, shape.hidden, bias=False)
            self.up = Linear(shape.width, shape.hidden, bias=False)
            self.down = Linear(shape.hidden, shape.width, bias=False)

        def forward(
            self,
            x: torch.Tensor,
            turns: torch.Tensor,
            cache: torch.Tensor | None,
            start: int,
        ) -> torch.Tensor:
            """(B, T, width) -> (B, T, width)."""
            n, t, width = x.shape
            qkv = self.qkv(F.rms_norm(x, (width,), eps=EPS))
            qkv = qkv.view(n, t, 3, *self.split)
            q, k = rotate(qkv[:, :, :2], turns).unbind(2)  # (B, T, heads, head_width)
            q, k, v = (z.transpose(1, 2) for z in (q, k, qkv[:, :, 2]))
            if cache is not None:
                cache[0, :, :, start : start + t], cache[1, :, :, start : start + t] = k, v
                k, v = cache[0, :, :, : start + t], cache[1, :, :, : start + t]
            # One new token attends to everything before it; otherwise start is 0.
            y = F.scaled_dot_product_attention(q, k, v, is_causal=t > 1)
            x = x + self.out(y.transpose(1, 2).reshape(n, t, -1))
            y = F.rms_norm(x, (width,), eps=EPS)
            return x + self.down(F.silu(self.gate(y)) * self.up(y))

    class LanguageModel(nn.Module):
        def __init__(self, shape: Decoder, vocabulary: int) -> None:
            super().__init__()
            self.shape = shape
            self.embedding = nn.Parameter(torch.empty(vocabulary, shape.width))
            self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
            self.norm = nn.Parameter(torch.ones(shape.width))
            self.turns: torch.Tensor | None = None
            for name, weight in self.named_parameters():
                if weight.ndim > 1:  # as GPT-2: residual branches start small
                    branch = name.endswith(("out.weight", "down.weight"))
                    deviation = 0.02 / (2 * shape.layers) ** 0.5 if branch else 0.02
                    nn.init.normal_(weight, std=deviation)

        def hidden(
            self,
            tokens: torch.Tensor,
            caches: list[torch.Tensor] | None = None,
            start: int = 0,
        ) -> torch.Tensor:
            """Tokens int64 (B, T) -> normalised states (B, T, width).

            caches: keys and values so far, (2, B, heads, T_max, head_width) per layer, in which
            those of `tokens`, at positions from `start`, are written; T is 1 unless start is 0.
            """
            turns = self._turns(start + tokens.shape[1], tokens.device)[start:]
            x = F.embedding(tokens, self.embedding)
            for i, block in enumerate(self.blocks):
                x = block(x, turns, caches[i] if caches else None, start)
            return F.rms_norm(x, (self.shape.width,), self.norm, EPS)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            """Tokens int64 (B, T) -> logits (B, T, vocabulary)."""
            return self.hidden(tokens) @ self.embedding.T

        def _turns(self, length: int, device: torch.device) -> torch.Tensor:
            """exp(i * position * frequency), complex (T, 1, 1, head_width / 2)."""
            if self.turns is None or len(self.turns) < length or self.turns.device != device:
                width = self.shape.head_width
                with torch.inference_mode(False):  # training may use what evaluation made
                    frequency = BASE ** -(torch.arange(0, width, 2, device=device).float() / width)
                    angle = torch.outer(torch.arange(length, device=device).float(), frequency)
                    self.turns = torch.polar(torch.ones_like(angle), angle)[:, None, None]
            return self.turns[:length]

    class HeadLoss(torch.autograd.Function):
        """Cross-entropy of the output layer, with its gradients formed in the forward pass.

        A few rows of logits at a time stay in the processor's cache and are never stored, as in
        Hsu et al. 2024 (Liger kernels).
        """

        @staticmethod
        def forward(ctx, hidden, weight, targets):  # type: ignore[no-untyped-def]
            with torch.autocast(hidden.device.type, enabled=False):
                nats = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
                to_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
                to_weight = weight.new_zeros(weight.T.shape) if ctx.needs_input_grad[1] else None
                cast = weight.to(hidden.dtype)
                rows = _rows(len(weight), hidden.device.type)
                for start in range(0, len(hidden), rows):
                    here = slice(start, start + rows)
                    x, at = hidden[here], targets[here, None]
                    log_p = torch.log_softmax(matmul(x, cast), -1, dtype=torch.float32)
                    nats[here] = -log_p.gather(1, at)[:, 0]
                    if to_hidden is not None or to_weight is not None:
                        slope = log_p.exp_()
                        slope.scatter_add_(1, at, torch.full_like(at, -1, dtype=torch.float32))
                        slope = slope.to(hidden.dtype)
                        if to_hidden is not None:
                            to_hidden[here] = matmul(slope, cast.T)
                        if to_weight is not None:
                            to_weight += matmul(x.T, slope.T)
            ctx.save_for_backward(to_hidden, to_weight)
            ctx.rows = len(hidden)
            return nats.mean(), nats

        @staticmethod
        def backward(ctx, of_mean, of_nats):  # type: ignore[no-untyped-def]
            to_hidden, to_weight = ctx.saved_tensors
            scale = of_mean / ctx.rows
            return (
                None if to_hidden is None else to_hidden * scale.to(to_hidden.dtype),
                None if to_weight is None else (to_weight * scale).T,
                None,
            )

    LanguageModel.head_loss = staticmethod(HeadLoss.apply)  # type: ignore[attr-defined]
    return LanguageModel


EPS = 1e-5
BASE = 10_000.0


def _rows(vocabulary: int, device: str) -> int:
    """Rows of logits formed at a time: about 1 MB on a CPU, 512 MB on a GPU."""
    return max(16, (2**18 if device == "cpu" else 2**27) // vocabulary)


def next_token_nats(
    model: torch.nn.Module, tokens: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy in nats: its mean (a scalar that can be differentiated), and that of every
    position (B, T), which cannot. tokens, targets: int64 (B, T)."""
    import torch

    hidden = model.hidden(tokens).flatten(0, 1)  # type: ignore[operator]
    if torch.is_autocast_enabled(hidden.device.type):
        hidden = hidden.to(torch.get_autocast_dtype(hidden.device.type))
    mean, nats = model.head_loss(hidden, model.embedding, targets.flatten())  # type: ignore[operator]
    return mean, nats.detach().view(targets.shape)
