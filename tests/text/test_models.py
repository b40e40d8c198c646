"""Decoders: the same logits and gradients as transformers' Llama, causality, parameter counts."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dataworth.text.models import MODELS, Decoder, next_token_nats

TINY = Decoder(width=16, layers=2, heads=2, head_width=6, hidden=24)
VOCABULARY = 300


def model(shape: Decoder = TINY, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return shape.build(VOCABULARY)


def tokens(*size: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(VOCABULARY, size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=TINY.width,
            intermediate_size=TINY.hidden,
            num_hidden_layers=TINY.layers,
            num_attention_heads=TINY.heads,
            num_key_value_heads=TINY.heads,
            head_dim=TINY.head_width,
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
            initializer_range=0.2,
            attn_implementation="eager",
        )
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.uniform_(0.5, 1.5)
    return model


def from_llama(weights: dict[str, torch.Tensor], shape: Decoder) -> torch.nn.Module:
    """The module with the weights of a `LlamaForCausalLM` of the same shape (tied embeddings,
    as many key heads as heads), given as its `state_dict()`."""
    model = shape.build(len(weights["model.embed_tokens.weight"]))

    def interleave(matrix: torch.Tensor) -> torch.Tensor:
        halves = matrix.view(shape.heads, 2, shape.head_width // 2, shape.width)
        return halves.transpose(1, 2).reshape(matrix.shape)

    state = {
        "embedding": weights["model.embed_tokens.weight"],
        "norm": weights["model.norm.weight"],
    }
    for i in range(shape.layers):
        old, new = f"model.layers.{i}.", f"blocks.{i}."
        q, k, v, out = (weights[f"{old}self_attn.{p}_proj.weight"] for p in "qkvo")
        gate, up, down = (weights[f"{old}mlp.{p}_proj.weight"] for p in ("gate", "up", "down"))
        before = weights[f"{old}input_layernorm.weight"]
        after = weights[f"{old}post_attention_layernorm.weight"]
        state |= {
            f"{new}qkv.weight": torch.cat([interleave(q), interleave(k), v]) * before,
            f"{new}out.weight": out,
            f"{new}gate.weight": gate * after,
            f"{new}up.weight": up * after,
            f"{new}down.weight": down,
        }
    model.load_state_dict(state)
    return model


def test_logits_and_gradients_are_those_of_llama(llama):
    ours = from_llama(llama.state_dict(), TINY)
    x = tokens(3, 20)
    expected = llama(x, labels=x)
    torch.testing.assert_close(ours(x), expected.logits, rtol=1e-4, atol=1e-4)
    loss, nats = next_token_nats(ours, x[:, :-1], x[:, 1:])
    torch.testing.assert_close(loss, expected.loss, rtol=1e-5, atol=1e-5)
    expected.loss.backward()
    loss.backward()
    torch.testing.assert_close(
        ours.embedding.grad, llama.model.embed_tokens.weight.grad, rtol=1e-3, atol=1e-6
    )
    first, gain = llama.model.layers[0], llama.model.layers[0].post_attention_layernorm.weight
    torch.testing.assert_close(  # of a matrix that has the gains in it
        ours.blocks[0].gate.weight.grad * gain,
        first.mlp.gate_proj.weight.grad,
        rtol=1e-3,
        atol=1e-6,
    )
    # The mean is that of the positions.
    torch.testing.assert_close(nats.mean(), loss.detach(), rtol=1e-5, atol=1e-6)


def test_head_loss_in_chunks_is_cross_entropy(monkeypatch):
    monkeypatch.setattr("dataworth.text.models._rows", lambda vocabulary, device: 7)
    net, x = model(), tokens(4, 11)
    loss, nats = next_token_nats(net, x[:, :-1], x[:, 1:])
    loss.backward()
    ours = {name: p.grad.clone() for name, p in net.named_parameters()}
    net.zero_grad()
    logits = net(x[:, :-1])
    F.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten()).backward()
    for name, p in net.named_parameters():
        torch.testing.assert_close(ours[name], p.grad, rtol=1e-4, atol=1e-7)
    each = F.cross_entropy(logits.transpose(1, 2), x[:, 1:], reduction="none")
    torch.testing.assert_close(nats, each.detach(), rtol=1e-5, atol=1e-6)


def test_later_tokens_never_change_earlier_logits():
    net, x = model(), tokens(1, 16)
    with torch.no_grad():
        before = net(x)
        for at in range(1, 16):
            changed = x.clone()
            changed[0, at] = (changed[0, at] + 1) % VOCABULARY
            after = net(changed)
            torch.testing.assert_close(after[:, :at], before[:, :at], rtol=0, atol=1e-6)
            assert not torch.allclose(after[:, at:], before[:, at:])


def test_one_token_at_a_time_with_a_cache_gives_the_same_states():
    net, x = model(), tokens(2, 12)
    caches = [torch.zeros(2, 2, TINY.heads, 12, TINY.head_width) for _ in range(TINY.layers)]
    with torch.no_grad():
        pieces = [net.hidden(x[:, :5], caches)]
        pieces += [net.hidden(x[:, i : i + 1], caches, i) for i in range(5, 12)]
        torch.testing.assert_close(torch.cat(pieces, 1), net.hidden(x), rtol=1e-4, atol=1e-5)


def test_an_untrained_model_knows_nothing():
    x = tokens(8, 64)
    loss, _ = next_token_nats(model(Decoder()), x[:, :-1], x[:, 1:])
    assert loss.item() == pytest.approx(math.log(VOCABULARY), rel=0.02)


@pytest.mark.parametrize("name", MODELS)
def test_parameter_counts(name):
    shape = MODELS[name]
    vocabulary = {"lm-20m": 4096, "lm-1.5b": 32_000}.get(name, 2048)
    with torch.device("meta"):
        built = shape.build(vocabulary)
    count = sum(p.numel() for p in built.parameters())
    assert shape.parameters(vocabulary) == count
    number, unit = float(name[3:-1]), {"m": 1e6, "b": 1e9}[name[-1]]
    assert count == pytest.approx(number * unit, rel=0.3)
    # Matrix products of one forward, counted by torch, are a third of 6 N and attention.
    flops = shape.training_flops(vocabulary, tokens=10, context=128)
    attention = 120 * shape.layers * shape.heads * shape.head_width * 128
    np.testing.assert_allclose(flops, 60 * count + attention)


def test_training_flops_against_the_counter():
    from torch.utils.flop_counter import FlopCounterMode

    shape = Decoder(width=64, layers=2, heads=2, hidden=176)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model(shape)(torch.zeros(2, 128, dtype=torch.int64)).sum().backward()
    expected = shape.training_flops(VOCABULARY, tokens=256, context=128)
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.1)


def test_shapes_out_of_range():
    with pytest.raises(ValueError, match="head_width"):
        Decoder(head_width=5)
    with pytest.raises(ValueError, match="layers"):
        Decoder(layers=0)
