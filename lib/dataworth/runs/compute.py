"""Device and precision, decided in one place."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def device() -> torch.device:
    """The GPU if torch sees one, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_gpu() -> bool:
    """Whether torch sees a GPU; does not import torch where no NVIDIA driver is present."""
    import sys
    from pathlib import Path

    if "torch" not in sys.modules and not Path("/dev/nvidiactl").exists():
        return False
    import torch

    return torch.cuda.is_available()


@cache
def inference_dtype() -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively (GPU, AVX512-BF16, AMX), else float32.

    bf16 matrix products without hardware support are several times slower than float32.
    """
    import torch

    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # private: absent means no
    native = any(getattr(torch.cpu, probe, bool)() for probe in probes)
    return torch.bfloat16 if native else torch.float32


def precision() -> AbstractContextManager:
    """For training: float32 on a CPU; on a GPU that has it, matrix products in bfloat16 with
    float32 weights."""
    import torch

    if device().type == "cuda" and inference_dtype() is torch.bfloat16:
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()


def settle() -> None:
    """Make equal inputs give equal bits, whatever engine runs the task: one torch thread, so that
    sums are formed in one order; on a GPU the deterministic kernels, where torch has them."""
    import os

    import torch

    torch.set_num_threads(1)
    if device().type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
        torch.use_deterministic_algorithms(True, warn_only=True)
        deterministic: Any = torch.utils.deterministic
        deterministic.fill_uninitialized_memory = False


def describe() -> dict[str, str]:
    """Device, precision and versions for a run's provenance."""
    import platform

    import torch

    dev = device()
    name = torch.cuda.get_device_name(dev) if dev.type == "cuda" else cpu_name()
    return {
        "device": f"{dev.type}: {name}",
        "inference_dtype": str(inference_dtype()).removeprefix("torch."),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def machine() -> dict[str, str]:
    """What of this machine decides the bits of a result, for the keys of runs."""
    return {"device": "cuda" if has_gpu() else "cpu"}


def cpu_name() -> str:
    """The processor's name as the system gives it; its architecture where there is none."""
    import platform
    from pathlib import Path

    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
