"""Float32 matrix products on a CPU, by the faster of the two libraries that torch carries.

torch multiplies float32 matrices by MKL, which on processors that are not Intel's runs at less than
half of their speed; oneDNN, which torch uses for other types, does not. On Intel's own MKL is an
eighth faster, so there it stays. Results are as exact.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from dataworth.compute import machine

if TYPE_CHECKING:
    import torch


@cache
def _one_dnn(dtype: torch.dtype) -> Any:
    """oneDNN's `a b^T + bias` in torch; None where it does not multiply this type.

    The operator is private, so it may be missing or changed, and a processor may lack the type
    (bfloat16 below AVX-512): one small product, asked once, answers both.
    """
    import torch

    operator = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if operator is None or not torch.backends.mkldnn.is_available():
        return None
    a = torch.ones(2, 2, dtype=dtype)
    try:
        operator(a, a, a[0], "gelu", [], "tanh")
    except (RuntimeError, TypeError):
        return None
    return operator


@cache
def _mkl_is_fast() -> bool:
    """Whether the processor is Intel's: by name, so the choice is deterministic per machine."""
    return machine()["products"] == "mkl"


def matmul(
    a: torch.Tensor, b: torch.Tensor, bias: torch.Tensor | None = None, *, gelu: str = ""
) -> torch.Tensor:
    """a (N, K), b (M, K), bias (M,) -> a b^T + bias, (N, M); no gradient.

    gelu: `none` (exact) or `tanh` applies that GELU to the result, in one pass on a CPU.
    """
    import torch

    here = a.device.type == "cpu" and (gelu or (a.dtype == torch.float32 and not _mkl_is_fast()))
    if here and (fast := _one_dnn(a.dtype)) is not None:
        return fast(a, b, bias, "gelu" if gelu else "none", [], gelu)
    y = torch.nn.functional.linear(a, b, bias)
    return torch.nn.functional.gelu(y, approximate=gelu) if gelu else y


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """`torch.nn.functional.linear`, in float32 on a CPU by `matmul`, gradients too."""
    from torch.nn import functional as F

    if x.device.type != "cpu" or x.dtype != weight.dtype or x.element_size() != 4:
        return F.linear(x, weight, bias)
    y: torch.Tensor = _multiply_class().apply(x.flatten(0, -2), weight, bias)
    return y.unflatten(0, x.shape[:-1])


@cache
def _multiply_class() -> Any:
    """The product with its gradients; made on first use: torch is not imported before."""
    import torch

    class Multiply(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, weight, bias):  # type: ignore[no-untyped-def]
            ctx.save_for_backward(x, weight)
            return matmul(x, weight, bias)

        @staticmethod
        def backward(ctx, slope):  # type: ignore[no-untyped-def]
            x, weight = ctx.saved_tensors
            for_x, for_weight, for_bias = ctx.needs_input_grad
            to_weight = None
            if for_weight:  # the smaller side first is faster
                wide = len(weight) > weight.shape[1]
                to_weight = matmul(x.T, slope.T).T if wide else matmul(slope.T, x.T)
            return (
                matmul(slope, weight.T) if for_x else None,
                to_weight,
                slope.sum(0) if for_bias else None,
            )

    return Multiply


@cache
def linear_class() -> type[torch.nn.Linear]:
    """A subclass of `torch.nn.Linear` that multiplies by `linear`; made on first use."""
    from torch import nn

    class Linear(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return linear(x, self.weight, self.bias)

    return Linear


@cache
def patches_class() -> type[torch.nn.Conv2d]:
    """A subclass of `torch.nn.Conv2d` that cuts images into patches and multiplies by `linear` on
    a CPU, where a convolution's gradient takes several times as long; made on first use."""
    from torch import nn

    class Patches(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            down, right = (int(side) for side in self.kernel_size)
            height, width = x.shape[2] // down, x.shape[3] // right
            if x.device.type != "cpu" or x.shape[2:] != (height * down, width * right):
                return super().forward(x)
            cut = x.unflatten(3, (width, right)).unflatten(2, (height, down))
            cut = cut.permute(0, 2, 4, 1, 3, 5).flatten(3)  # (B, h, w, C * patch)
            return linear(cut, self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)

    return Patches


def _cuts_patches(module: Any) -> bool:
    """Whether a convolution's windows lie side by side."""
    apart = (module.padding, module.dilation, module.groups) == ((0, 0), (1, 1), 1)
    return bool(module.kernel_size == module.stride and apart)


def use_fast_matmul(model: torch.nn.Module) -> torch.nn.Module:
    """The model itself, its `torch.nn.Linear` layers made `linear_class()` and convolutions that
    cut patches `patches_class()`; weights stay."""
    from torch import nn

    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = linear_class()
        elif type(module) is nn.Conv2d and _cuts_patches(module):
            module.__class__ = patches_class()
    return model
