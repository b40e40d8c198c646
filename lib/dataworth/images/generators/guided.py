"""One guided prediction of a PixArt transformer, as diffusers computes it, in half of the time.

What diffusers computes for every row or step and need not: the time is one for all rows, so that
its modulation belongs to the norms' gains and to the weights after them; the text's keys and values
are the same at all steps; both halves of a guided batch are equal until the first text is read; and
the empty text is one token, to which every position attends with weight one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dataworth.kernels import matmul

if TYPE_CHECKING:
    import torch


class Guided:
    """Predictions for B images under texts (B, L, text_width) with masks (B, L), guided by the
    text `null` (1, text_width), or by none if that is None.

    transformer: a `PixArtTransformer2DModel` of one time for all rows, without gradients.
    """

    def __init__(
        self, transformer: Any, text: torch.Tensor, mask: torch.Tensor, null: torch.Tensor | None
    ) -> None:
        if null is not None and len(null) != 1:
            raise ValueError(f"the text that guides must be one token; it has {len(null)}")
        self.net = transformer
        self.heads = transformer.config.num_attention_heads
        length = int(mask.sum(1).max())  # what is padding for all is left out
        self.hidden_from = ((1 - mask[:, :length].to(text.dtype)) * -10000.0)[:, None, None]
        count = len(text)
        rows = text[:, :length].flatten(0, 1)
        heard = self._caption(rows)
        blind = None if null is None else self._caption(null)
        self.layers = []
        for block in transformer.transformer_blocks:
            own, other = block.attn1, block.attn2
            joint = _joined(own.to_q, own.to_k, own.to_v)
            keys, values = (
                _by_linear(heard, layer).view(count, length, self.heads, -1).transpose(1, 2)
                for layer in (other.to_k, other.to_v)
            )
            fixed = blind
            if blind is not None:
                fixed = _by_linear(_by_linear(blind, other.to_v), other.to_out[0])
            self.layers.append((block, joint, keys, values, fixed))

    def __call__(self, x: torch.Tensor, t: torch.Tensor, guidance: float) -> torch.Tensor:
        """Grids (B, C, h, w) at time t in 0-1000 -> (B, C', h, w), in float32."""
        import torch
        from torch.nn import functional as F

        net, dtype = self.net, self.layers[0][2].dtype
        grid = x.shape[-1] // net.config.patch_size
        h = net.pos_embed(x.to(dtype)).contiguous()  # (B, T, D)
        each, embedded = net.adaln_single(t.reshape(1), batch_size=1, hidden_dtype=dtype)
        each = each.view(6, -1)
        count, shape = len(h), h.shape[-1:]
        for block, joint, keys, values, fixed in self.layers:
            by = (block.scale_shift_table + each).to(dtype)
            shift, scale, gate, shift2, scale2, gate2 = by.unbind()
            y = F.layer_norm(h, shape, 1 + scale, shift, block.norm1.eps)
            h = h + self._attend_self(y, joint, block.attn1.to_out[0], gate)
            heard = self._attend_text(h[:count], block.attn2, keys, values)
            if fixed is None:
                h = h + heard
            elif len(h) == count:  # the first block: until here the halves are the same
                h = torch.cat([h + heard, h + fixed])
            else:
                h[:count] += heard
                h[count:] += fixed
            y = F.layer_norm(h, shape, 1 + scale2, shift2, block.norm2.eps)
            first, second = block.ff.net[0].proj, block.ff.net[2]
            y = matmul(y.flatten(0, 1), first.weight, first.bias, gelu="tanh")
            h = h + _gated(y, second, gate2).view_as(h)
        shift, scale = (net.scale_shift_table + embedded).to(dtype).unbind()
        h = F.layer_norm(h, shape, 1 + scale, shift, net.norm_out.eps)
        found = _by_linear(h.flatten(0, 1), net.proj_out).float().view(len(h), *h.shape[1:2], -1)
        if len(found) > count:
            conditional, unconditional = found.chunk(2)
            found = unconditional + guidance * (conditional - unconditional)
        patch = net.config.patch_size
        found = found.view(count, grid, grid, patch, patch, -1)
        return torch.einsum("nhwpqc->nchpwq", found).reshape(count, -1, *x.shape[2:])

    def _caption(self, rows: torch.Tensor) -> torch.Tensor:
        projection = self.net.caption_projection
        first = projection.linear_1
        return _by_linear(matmul(rows, first.weight, first.bias, gelu="tanh"), projection.linear_2)

    def _attend_self(
        self, y: torch.Tensor, joint: tuple[torch.Tensor, torch.Tensor], out: Any, gate: Any
    ) -> torch.Tensor:
        n, length, width = y.shape
        qkv = matmul(y.flatten(0, 1), *joint).view(n, length, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind()  # (B, heads, T, D / heads)
        return _gated(_attention(q, k, v, None), out, gate).view(n, length, width)

    def _attend_text(
        self, h: torch.Tensor, layer: Any, keys: torch.Tensor, values: torch.Tensor
    ) -> torch.Tensor:
        n, length, width = h.shape
        q = _by_linear(h.flatten(0, 1), layer.to_q).view(n, length, self.heads, -1)
        heard = _attention(q.transpose(1, 2), keys, values, self.hidden_from)
        return _by_linear(heard, layer.to_out[0]).view(n, length, width)


def _attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """(B, heads, T, d) -> (B * T, heads * d). By plain products: so few tokens fill no block of a
    flash kernel."""
    scores = (q * q.shape[-1] ** -0.5) @ k.mT
    if bias is not None:
        scores += bias
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2).flatten(0, 1)


def _joined(*layers: Any) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    return torch.cat([x.weight for x in layers]), torch.cat([x.bias for x in layers])


def _by_linear(rows: torch.Tensor, layer: Any) -> torch.Tensor:
    return matmul(rows, layer.weight, layer.bias)


def _gated(rows: torch.Tensor, layer: Any, gate: torch.Tensor) -> torch.Tensor:
    """A layer whose output is multiplied by a gate (D,)."""
    return matmul(rows, layer.weight * gate[:, None], layer.bias * gate)
