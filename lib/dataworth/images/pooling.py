"""Transformers of which one token is read: their last block computes that token alone.

A vision transformer's classes are read off its class token, a text tower's embedding off the end of
the text. In the last block every other token serves as key and value only: its query, its output
projection and its feed-forward network, ten of twelve parts of the block's products, reach nothing.
Leaving them out changes no result beyond rounding, and no gradient: of two blocks it saves two
fifths.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from dataworth.kernels import linear

if TYPE_CHECKING:
    import torch


def attend(
    y: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    heads: int,
    at: torch.Tensor | None = None,
) -> torch.Tensor:
    """What the token of each row hears: normalised tokens (B, T, C) -> (B, C), before the output
    projection. weight (3C, C), bias (3C,): of queries, keys and values. at: positions (B,) of the
    tokens, which hear what stands before them and themselves; the first, which hears all, if
    None."""
    import torch

    count, length, width = y.shape
    first = None if bias is None else bias[:width]
    others = None if bias is None else bias[width:]
    read = y[:, 0] if at is None else y[torch.arange(count, device=y.device), at]
    q = linear(read, weight[:width], first).view(count, 1, heads, -1)
    k, v = linear(y, weight[width:], others).view(count, length, 2, heads, -1).unbind(2)
    scores = (q * k).sum(-1) * q.shape[-1] ** -0.5  # (B, T, heads): too small for a product
    if at is not None:
        later = torch.arange(length, device=y.device) > at[:, None]
        scores = scores.masked_fill(later[..., None], -torch.inf)
    return (scores.softmax(1)[..., None] * v).sum(1).flatten(1)


def read_class_token(model: torch.nn.Module) -> torch.nn.Module:
    """The timm model itself, its last block computing the class token alone if it is of the plain
    kind and nothing but that token is read; weights stay."""
    from timm.models.vision_transformer import Attention, Block, VisionTransformer

    made: Any = model
    if isinstance(made, VisionTransformer) and made.global_pool == "token":
        block: Any = made.blocks[-1]
        inner = block.attn
        plain = type(block) is Block and type(inner) is Attention and inner.gate is None
        if plain and inner.q_norm.__class__.__name__ == "Identity":
            block.__class__ = _class_token_block()
    return model


@cache
def _class_token_block() -> Any:
    from timm.models.vision_transformer import Block

    class ClassTokenBlock(Block):
        """(B, T, C) -> (B, 1, C)."""

        def forward(
            self, x: torch.Tensor, attn_mask: object = None, is_causal: bool = False
        ) -> torch.Tensor:
            a: Any = self.attn
            heard = attend(self.norm1(x), a.qkv.weight, a.qkv.bias, a.num_heads)
            heard = a.proj_drop(a.proj(a.norm(heard)))
            x = x[:, 0] + self.drop_path1(self.ls1(heard))
            x = x + self.drop_path2(self.ls2(self.mlp(self.norm2(x))))
            return x[:, None]

    return ClassTokenBlock


@cache
def clip_class() -> Any:
    """`open_clip.model.CLIP` whose towers compute in their last blocks only what is read: the class
    token of an image, the end of a text. Its weights are open_clip's by name."""
    import torch
    from open_clip.model import CLIP
    from torch.nn import functional as F

    def last(block: Any, x: torch.Tensor, at: torch.Tensor | None) -> torch.Tensor:
        """(B, T, C) -> (B, C)."""
        a = block.attn
        heard = attend(block.ln_1(x), a.in_proj_weight, a.in_proj_bias, a.num_heads, at)
        heard = linear(heard, a.out_proj.weight, a.out_proj.bias)
        x = x[:, 0] if at is None else x[torch.arange(len(x), device=x.device), at]
        x = x + block.ls_1(heard)
        found: torch.Tensor = x + block.ls_2(block.mlp(block.ln_2(x)))
        return found

    class ReadAtOne(CLIP):
        def encode_image(self, image: torch.Tensor, normalize: bool = False) -> torch.Tensor:
            tower: Any = self.visual
            x = tower._embeds(image)
            for block in tower.transformer.resblocks[:-1]:
                x = block(x)
            x = tower.ln_post(last(tower.transformer.resblocks[-1], x, None))
            if tower.proj is not None:
                x = x @ tower.proj
            return F.normalize(x, dim=-1) if normalize else x

        def encode_text(self, text: torch.Tensor, normalize: bool = False) -> torch.Tensor:
            x = self.token_embedding(text) + self.positional_embedding
            at = (text == self.text_eos_id).int().argmax(-1)
            blocks: Any = self.transformer.resblocks
            for block in blocks[:-1]:
                x = block(x, attn_mask=self.attn_mask)
            x = self.ln_final(last(blocks[-1], x, at)) @ self.text_projection
            return F.normalize(x, dim=-1) if normalize else x

    return ReadAtOne
