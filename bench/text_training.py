"""Training speed of our decoder and of nanoGPT's model and loop, in tokens per second of one core,
or of the GPU where torch sees one.

    .venv/bin/python bench/text_training.py [--model lm-0.4m] [--steps 20] [--rounds 5]

Both get the same layers, heads, width, vocabulary, rows and context, and random tokens; on a CPU
float32 on one thread, on a GPU matrix products in bfloat16 (autocast). The peer restates
github.com/karpathy/nanoGPT (MIT): GPT-2's block (LayerNorm without bias, learned positions, fused
query-key-value projection, `scaled_dot_product_attention`, GELU of four times the width), tied
embeddings, full logits and `F.cross_entropy`, rows drawn from a uint16 memory map, AdamW with two
decay groups (the fused form only on a GPU, as there), gradients clipped at 1, the loss read every
10 steps; no compilation on a CPU (its README's setting), on a GPU both without and with
`torch.compile` (its default there; ours is never compiled). Its hidden width is 4 x width with two
matrices, ours 8/3 x width with three: equally many parameters.

Rounds alternate between the two; each round's time is of `steps` steps after two of warm-up.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from dataworth import compute
from dataworth.optimisation import Descent
from dataworth.text.models import MODELS, Decoder, next_token_nats
from dataworth.text.training import PRETRAINING


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.c_attn = nn.Linear(width, 3 * width, bias=False)
        self.c_proj = nn.Linear(width, width, bias=False)
        self.heads = heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, c = x.size()
        q, k, v = (
            z.view(b, t, self.heads, c // self.heads).transpose(1, 2)
            for z in self.c_attn(x).split(c, dim=2)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).contiguous().view(b, t, c))


class NanoBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, bias=False)
        self.attn = Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width, bias=False)
        self.c_fc = nn.Linear(width, 4 * width, bias=False)
        self.c_proj = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.c_proj(F.gelu(self.c_fc(self.ln_2(x))))


class NanoGPT(nn.Module):
    def __init__(self, width: int, heads: int, layers: int, vocabulary: int, context: int) -> None:
        super().__init__()
        self.wte = nn.Embedding(vocabulary, width)
        self.wpe = nn.Embedding(context, width)
        self.h = nn.ModuleList(NanoBlock(width, heads) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width, bias=False)
        self.lm_head = nn.Linear(width, vocabulary, bias=False)
        self.wte.weight = self.lm_head.weight
        for p in self.parameters():
            if p.ndim > 1:
                nn.init.normal_(p, std=0.02)

    def forward(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.h:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)


def nano(
    shape: Decoder, vocabulary: int, rows: int, context: int, file: Path, compiled: bool = False
) -> Iterator[None]:
    """One training step of the peer at a time."""
    device = compute.device()
    # Its heads share the width among them; a shape whose heads do not gets heads as wide as ours.
    heads = shape.heads if shape.width % shape.heads == 0 else shape.width // shape.head_width
    model = NanoGPT(shape.width, heads, shape.layers, vocabulary, context).to(device)
    decay = [p for p in model.parameters() if p.dim() >= 2]
    rest = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}],
        lr=1e-3,
        betas=(0.9, 0.95),
        fused=device.type == "cuda",
    )
    forward = torch.compile(model) if compiled else model

    def batch() -> tuple[torch.Tensor, torch.Tensor]:
        data = np.memmap(file, dtype=np.uint16, mode="r")
        ix = torch.randint(len(data) - context, (rows,))
        x = [torch.from_numpy(data[i : i + context].astype(np.int64)) for i in ix]
        y = [torch.from_numpy(data[i + 1 : i + 1 + context].astype(np.int64)) for i in ix]
        xy = torch.stack([torch.stack(x), torch.stack(y)])
        xy = xy.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else xy
        return xy[0], xy[1]

    x, y = batch()
    step = 0
    while True:
        for group in optimizer.param_groups:
            group["lr"] = 1e-3
        with compute.precision():
            loss = forward(x, y)
        x, y = batch()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 10 == 0:
            loss.item()
        step += 1
        yield


def ours(
    shape: Decoder, vocabulary: int, rows: int, context: int, file: Path, optimizer: str
) -> Iterator[None]:
    """One step of `dataworth.text.training.train` at a time."""
    optimisation = PRETRAINING.model_copy(update={"optimizer": optimizer})
    device = compute.device()
    model = shape.build(vocabulary).to(device)
    descent = Descent(model, optimisation, 1_000_000)
    stream = np.fromfile(file, dtype=np.uint16)
    packed = np.lib.stride_tricks.sliding_window_view(stream, context + 1)[::context]
    while True:
        at = descent.done * rows % (len(packed) - rows)
        block = torch.from_numpy(packed[at : at + rows].astype(np.int64))
        block = block.to(device, non_blocking=True)
        with compute.precision():
            loss, _ = next_token_nats(model, block[:, :-1], block[:, 1:])
        descent.step(loss)
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", default="lm-0.4m", choices=list(MODELS))
    parser.add_argument("--vocabulary", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=32, help="rows")
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20, help="per round")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    shape = MODELS[arguments.model]
    size = (arguments.vocabulary, arguments.batch, arguments.context)
    on_gpu = compute.device().type == "cuda"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tokens.bin"
        rng = np.random.default_rng(0)
        rng.integers(0, arguments.vocabulary, 1_000_000).astype(np.uint16).tofile(file)
        loops: dict[str, Iterator[None]] = {
            "nanoGPT": nano(shape, *size, file),
            **({"nanoGPT, compiled": nano(shape, *size, file, True)} if on_gpu else {}),
            "ours, AdamW": ours(shape, *size, file, "adamw"),
            "ours, Muon and AdamW": ours(shape, *size, file, "muon"),
        }
        rates = measure(loops, arguments.steps, arguments.rounds, size[1] * size[2])
    print(f"{arguments.model}: {shape}; {size[0]} tokens, {size[1]} rows of {size[2]}")
    print(compute.describe())
    print(f"{'':24}{'tokens/s (median)':>20}{'/ nanoGPT':>12}   of the CPU's time")
    for name, (wall, busy) in rates.items():
        share = np.median(wall / rates["nanoGPT"][0])
        print(
            f"{name:24}{np.median(wall):20,.0f}{share:12.2f}   "
            f"{np.median(busy):,.0f} ({np.median(busy / rates['nanoGPT'][1]):.2f})"
        )


def measure(
    loops: dict[str, Iterator[None]], steps: int, rounds: int, tokens: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Tokens per second of every round, by the clock and by this thread's processor time."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in loops}
    clocks: tuple[Callable[[], float], ...] = (time.perf_counter, time.thread_time)
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    for _ in range(rounds):
        for name, loop in loops.items():
            for _ in range(2):
                next(loop)
            wait()
            began = [clock() for clock in clocks]
            for _ in range(steps):
                next(loop)
            wait()
            spent = [clock() - start for clock, start in zip(clocks, began, strict=True)]
            found[name].append((steps * tokens / spent[0], steps * tokens / spent[1]))
    return {name: tuple(np.array(values).T) for name, values in found.items()}  # type: ignore[misc]


if __name__ == "__main__":
    main()
