"""Products by oneDNN against torch's own layers: values and gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from dataworth.kernels import linear_class, matmul, use_fast_matmul

TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module", autouse=True, params=[False, True], ids=["oneDNN", "MKL"])
def library(request):
    """Both libraries, whatever this machine would choose."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dataworth.kernels._mkl_is_fast", lambda: request.param)
        yield


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.integers(1, 40),
    st.integers(1, 40),
    st.booleans(),
    st.integers(0, 99),
)
def test_a_layer_gives_the_values_and_gradients_of_torch_s(shape, inner, outer, bias, seed):
    torch.manual_seed(seed)
    theirs = torch.nn.Linear(inner, outer, bias=bias)
    ours = linear_class()(inner, outer, bias=bias)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(*shape, inner)
    slope = torch.randn(*shape, outer)
    found = []
    for layer in (theirs, ours):
        mine = x.clone().requires_grad_()
        y = layer(mine)
        y.backward(slope)
        found.append([y, mine.grad, *(p.grad for p in layer.parameters())])
    for expected, value in zip(*found, strict=True):
        assert value.shape == expected.shape
        torch.testing.assert_close(value, expected, **TOLERANCE)


def test_other_types_and_transposed_inputs_are_multiplied_too():
    torch.manual_seed(0)
    layer = linear_class()(6, 3)
    x = torch.randn(6, 4, 5).permute(1, 2, 0)  # not contiguous
    torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias), **TOLERANCE)
    half = layer.bfloat16()
    torch.testing.assert_close(
        half(x.bfloat16()), F.linear(x.bfloat16(), half.weight, half.bias), rtol=2e-2, atol=2e-2
    )


def test_only_what_needs_a_gradient_gets_one():
    layer = linear_class()(4, 3)
    layer.weight.requires_grad_(False)
    layer(torch.randn(2, 4)).sum().backward()
    assert layer.weight.grad is None and layer.bias.grad is not None


@pytest.mark.parametrize("form", ["none", "tanh"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gelu_after_a_matmul(form, dtype):
    torch.manual_seed(1)
    a, b, bias = (torch.randn(*s) for s in ((7, 5), (9, 5), (9,)))
    expected = F.gelu(F.linear(a, b, bias), approximate=form)
    value = matmul(a.to(dtype), b.to(dtype), bias.to(dtype), gelu=form)
    close = 1e-5 if dtype == torch.float32 else 3e-2
    torch.testing.assert_close(value.float(), expected, rtol=close, atol=close)


def test_a_model_keeps_its_weights_and_names():
    torch.manual_seed(2)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.GELU(), torch.nn.Linear(8, 2))
    x = torch.randn(3, 4)
    expected, names = model(x), list(model.state_dict())
    assert use_fast_matmul(model) is model
    assert all(isinstance(model[i], linear_class()) for i in (0, 2))
    assert list(model.state_dict()) == names
    torch.testing.assert_close(model(x), expected, **TOLERANCE)
