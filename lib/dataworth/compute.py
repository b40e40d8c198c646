"""Device and precision, decided in one place."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

CPUINFO = Path("/proc/cpuinfo")
# Of NVIDIA, of Windows under WSL, of AMD: without one of them no torch sees a GPU.
DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/dxg"), Path("/dev/kfd"))

# What the matrix libraries distinguish on x86, each level with the processor's flags it adds.
LEVELS = {
    "default": (),
    "avx": ("avx",),
    "avx2": ("avx2", "fma"),
    "avx512": ("avx512f", "avx512bw", "avx512dq", "avx512vl"),
    "avx512_core_bf16": ("avx512_bf16",),
    "avx512_core_amx": ("amx_tile", "amx_bf16"),
}
BFLOAT16 = ("avx512_core_bf16", "avx512_core_amx")  # the levels that multiply it natively

_ONEDNN = {
    "sse41": "default",
    "avx": "avx",
    "avx2": "avx2",
    "avx2_vnni": "avx2",
    "avx2_vnni_2": "avx2",
    "avx512_core": "avx512",
    "avx512_core_vnni": "avx512",
    "avx512_core_bf16": "avx512_core_bf16",
    "avx512_core_fp16": "avx512_core_bf16",
}
# Variables by which a user holds a library below what the processor can, value by value.
LIMITS = {
    "ATEN_CPU_CAPABILITY": {"default": "default", "avx2": "avx2"},  # its avx512 is all it has
    "DNNL_MAX_CPU_ISA": _ONEDNN,  # the older name
    "MKL_ENABLE_INSTRUCTIONS": {
        "sse4_2": "default",
        "avx": "avx",
        "avx2": "avx2",
        "avx2_e1": "avx2",
        "avx512": "avx512",
        "avx512_e1": "avx512",
        "avx512_e2": "avx512",
        "avx512_e3": "avx512_core_bf16",
    },
    "ONEDNN_MAX_CPU_ISA": _ONEDNN,
}
# These, and the others that change the last digits of a sum or product.
VARIABLES = (
    *LIMITS,
    "DNNL_DEFAULT_FPMATH_MODE",
    "MKL_CBWR",
    "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "OPENBLAS_CORETYPE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)


def device() -> torch.device:
    """The GPU if torch sees one, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_gpu() -> bool:
    """Whether torch sees a GPU; does not import torch where no driver of one is present."""
    if "torch" not in sys.modules and not any(driver.exists() for driver in DRIVERS):
        return False
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


@cache
def machine() -> dict[str, str]:
    """What of this machine decides the bits of a result, for the keys of runs.

    device: `cpu`, or `cuda`, capability and name of the GPU. instructions: the highest of `LEVELS`
    that the processor has and the environment leaves to the libraries; `arm64` with what tells
    its kinds apart. products: the library that `kernels` chooses. precision: `inference_dtype`'s.
    Each of `VARIABLES` that is set. Cached, never raises, no torch where there is no GPU.

    Two processors of equal level may still differ in the last digits where a library fits its
    blocks to the size of their caches.
    """
    return {
        "device": _device_kind(),
        "instructions": instructions(),
        "products": "mkl" if "Intel" in cpu_name() else "onednn",
        "precision": _inference_precision(),
        **{name: value for name in VARIABLES if (value := os.environ.get(name))},
    }


def _device_kind() -> str:
    if not has_gpu():
        return "cpu"
    import torch

    try:
        major, minor = torch.cuda.get_device_capability()
        return f"cuda sm_{major}{minor} {torch.cuda.get_device_name()}"
    except RuntimeError:  # a GPU that is seen and cannot be used; training will say why
        return "cuda"


def instructions() -> str:
    """The processor's instruction set as far as the environment allows its use; see `machine`."""
    kind = platform.machine().lower()
    if kind in ("arm64", "aarch64"):
        tells = {"asimddp", "bf16", "i8mm", "sve", "sve2"} & _flags()
        return " ".join(["arm64", *(sorted(tells) or [cpu_name()] * (sys.platform == "darwin"))])
    if kind not in ("x86_64", "amd64", "i386", "i686"):
        return kind or "unknown"
    names, flags = list(LEVELS), _flags()
    level = 0
    while level + 1 < len(names) and flags.issuperset(LEVELS[names[level + 1]]):
        level += 1
    for variable, levels in LIMITS.items():
        limit = levels.get(os.environ.get(variable, "").lower())
        level = level if limit is None else min(level, names.index(limit))
    return names[level]


def _flags() -> set[str]:
    """The processor's feature flags in Linux' words; empty where the system tells none."""
    if sys.platform == "darwin":
        told = _sysctl("machdep.cpu.features") + " " + _sysctl("machdep.cpu.leaf7_features")
        return set(told.lower().replace("avx1.0", "avx").split())
    return set((_cpuinfo("flags") or _cpuinfo("Features")).split())


def _inference_precision() -> str:
    """Name of the type that `inference_dtype` answers."""
    if has_gpu():
        import torch

        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = instructions() in BFLOAT16
    return "bfloat16" if native else "float32"


@cache
def inference_dtype() -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively (GPU, AVX512-BF16, AMX), else float32.

    bf16 matrix products without hardware support are several times slower than float32. A level
    below AVX512-BF16 that the environment sets (see `LIMITS`) counts as the hardware's.
    """
    import torch

    dtype: torch.dtype = getattr(torch, _inference_precision())
    return dtype


def precision() -> AbstractContextManager:
    """For training: float32 on a CPU; on a GPU that has it, matrix products in bfloat16 with
    float32 weights."""
    import torch

    if device().type == "cuda" and inference_dtype() is torch.bfloat16:
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()


def set_deterministic() -> None:
    """Make runs bit-reproducible on one machine, whatever engine runs the task: one torch thread,
    so that sums are formed in one order; on a GPU deterministic kernels, where torch has them."""
    import torch

    torch.set_num_threads(1)
    if device().type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
        torch.use_deterministic_algorithms(True, warn_only=True)
        deterministic: Any = torch.utils.deterministic
        deterministic.fill_uninitialized_memory = False


def reproducible_attention(where: torch.device) -> AbstractContextManager:
    """For training on a GPU: attention by plain matrix products, whose backward pass adds up in one
    order. Under `warn_only` the backward passes of the flash, cuDNN and memory-efficient kernels do
    not (torch warns); without it torch would raise at operations that have no such kernel. where:
    the model's device."""
    import torch

    if where.type != "cuda":
        return nullcontext()
    return torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)


def describe() -> dict[str, str]:
    """Device, precision and versions for a run's provenance."""
    import torch

    dev = device()
    name = torch.cuda.get_device_name(dev) if dev.type == "cuda" else cpu_name()
    return {
        "device": f"{dev.type}: {name}",
        "inference_dtype": str(inference_dtype()).removeprefix("torch."),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def cpu_name() -> str:
    """The processor's name as the system gives it; its architecture where there is none."""
    if sys.platform == "darwin":
        name = _sysctl("machdep.cpu.brand_string")
    else:
        name = _cpuinfo("model name")
    return name or platform.machine()


@cache
def _cpuinfo(field: str) -> str:
    """A field of the first processor in Linux' list; empty where there is no such list or field."""
    try:
        with CPUINFO.open(errors="replace") as lines:  # by lines: with 200 processors it is long
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() == field:
                    return value.strip()
                if not line.strip():
                    break
    except OSError:
        pass
    return ""


@cache
def _sysctl(name: str) -> str:
    """A value of macOS' kernel; empty where it has none of that name."""
    try:
        told = subprocess.run(
            ["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return told.stdout.strip()
