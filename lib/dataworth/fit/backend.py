"""Which array library the solver runs on: numpy, or torch where the arrays are torch tensors.

`namespace(a)` is numpy itself for a numpy array, so the core loses nothing there. For a tensor it
is torch, with the few functions that differ put under numpy's names. All reals are float64.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from dataworth.errors import UserError


def namespace(array: Any) -> Any:
    """The functions that fit this array: numpy, or torch on the tensor's device."""
    return np if isinstance(array, np.ndarray) else _on_device(array.device)


def on_device(array: Any, device: str | None) -> Any:
    """A numpy array as it is (no device), or as a tensor on a torch device such as "cuda".

    Raises:
        UserError: torch is not installed, or it has no such device.
    """
    if device is None:
        return array
    try:
        import torch
    except ImportError as error:
        raise UserError(f"device is {device!r}; it needs torch, which is not installed.") from error
    try:
        return _on_device(torch.zeros(0, device=device).device).asarray(array)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(
            f"device is {device!r}; torch has no such device here. Allowed are None (numpy), 'cpu' "
            "and the devices that torch finds, such as 'cuda'."
        ) from error


def to_numpy(array: Any) -> Any:
    """Any array as numpy."""
    return array if isinstance(array, np.ndarray) else array.cpu().numpy()


@cache
def _on_device(device: Any) -> Any:
    return _Torch(device)


class _Torch:
    """torch for one device; a function not defined here means the same in torch and in numpy."""

    def __init__(self, device: Any) -> None:
        import torch

        self.torch, self.device = torch, device

    def __getattr__(self, name: str) -> Any:
        return getattr(self.torch, name)

    def asarray(self, values: Any, dtype: Any = None) -> Any:
        if isinstance(values, self.torch.Tensor):
            return values.to(self.device, dtype)
        return self.torch.tensor(np.asarray(values), dtype=dtype, device=self.device)

    def full(self, shape: Any, value: float) -> Any:
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        kind = self.torch.int64 if isinstance(value, int) else self.torch.float64
        return self.torch.full(shape, value, dtype=kind, device=self.device)

    def zeros(self, shape: Any) -> Any:
        return self.full(shape, 0.0)

    empty = zeros

    def ones(self, shape: Any) -> Any:
        return self.full(shape, 1.0)

    def arange(self, stop: int) -> Any:
        return self.torch.arange(stop, device=self.device)

    def eye(self, size: int) -> Any:
        return self.torch.eye(size, dtype=self.torch.float64, device=self.device)

    def copy(self, a: Any) -> Any:
        return a.clone()

    def broadcast_arrays(self, *arrays: Any) -> Any:
        return self.torch.broadcast_tensors(*arrays)

    def repeat(self, a: Any, times: int, axis: int) -> Any:
        return self.torch.repeat_interleave(a, times, dim=axis)

    def flatnonzero(self, a: Any) -> Any:
        return a.nonzero()[:, 0]

    def maximum(self, a: Any, b: Any) -> Any:
        tensor = isinstance(b, self.torch.Tensor)
        return self.torch.maximum(a, b) if tensor else self.torch.clamp(a, min=b)

    def minimum(self, a: Any, b: Any) -> Any:
        tensor = isinstance(b, self.torch.Tensor)
        return self.torch.minimum(a, b) if tensor else self.torch.clamp(a, max=b)

    def logaddexp(self, a: Any, b: Any) -> Any:
        tensor = isinstance(a, self.torch.Tensor)
        return self.torch.logaddexp(a if tensor else self.torch.full_like(b, a), b)
