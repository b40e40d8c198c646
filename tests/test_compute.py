"""What of a machine decides the bits, against torch's own probes and described processors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataworth import compute

FLAGS = "fpu avx fma avx2 avx512f avx512bw avx512dq avx512vl avx512_bf16 amx_tile amx_bf16 amx_int8"
SETTINGS = {
    "as it is": {},
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
    "default": {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
}
ASK = """
import json, sys
from dataworth import compute
told = compute.machine()
light = "torch" not in sys.modules
import torch
can = torch.cpu.get_capabilities()
json.dump({
    "told": told, "light": light, "again": compute.machine(),
    "dtype": str(compute.inference_dtype()), "gpu": torch.cuda.is_available(),
    "aten": torch.backends.cpu.get_cpu_capability(),
    "bf16": bool(can.get("avx512_bf16")),
}, sys.stdout)
"""


def ask(setting: dict[str, str]) -> dict:
    """What a process of its own says of this machine under the setting."""
    kept = {name: value for name, value in os.environ.items() if name not in compute.VARIABLES}
    told = subprocess.run(
        [sys.executable, "-c", ASK], env=kept | setting, capture_output=True, text=True, check=True
    )
    return json.loads(told.stdout)


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_the_machine_says_what_torch_finds(setting):
    found = ask(setting)
    told = found["told"]
    assert told == found["again"]
    assert found["dtype"] == f"torch.{told['precision']}"
    assert setting.items() <= told.items()
    assert {"device", "instructions", "products", "precision"} == set(told) - set(setting)
    if found["gpu"]:
        assert told["device"].startswith("cuda sm_")
        return
    assert found["light"] and told["device"] == "cpu"
    # torch's probe of the processor knows nothing of the variables that hold a library back.
    assert (told["precision"] == "bfloat16") == (found["bf16"] and not setting)
    if "ATEN_CPU_CAPABILITY" in setting:
        assert found["aten"].lower() == told["instructions"].split("_")[0]


@pytest.fixture
def described(monkeypatch, tmp_path):
    """described(text, machine, system, **environment): `machine()` of such a machine, no GPU."""

    def answer(text: str | None, kind="x86_64", system="linux", **environment):
        listing = tmp_path / "cpuinfo"
        listing.unlink(missing_ok=True)
        if text is not None:
            listing.write_text(text)
        monkeypatch.setattr(compute, "CPUINFO", listing)
        monkeypatch.setattr(compute, "has_gpu", lambda: False)
        monkeypatch.setattr(compute.platform, "machine", lambda: kind)
        monkeypatch.setattr(compute.sys, "platform", system)
        for name in compute.VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        clear()
        return compute.machine()

    def clear():
        for function in (compute.machine, compute._cpuinfo, compute._sysctl):
            function.cache_clear()

    yield answer
    monkeypatch.undo()
    clear()


def listing(name: str, flags: str, field: str = "flags") -> str:
    block = f"processor\t: 0\nmodel name\t: {name}\n{field}\t\t: {flags}\n\n"
    return block + block.replace(flags, "of another kind")


@pytest.mark.parametrize(
    ("count", "level"),
    [
        (0, "default"),
        (1, "default"),
        (2, "avx"),
        (3, "avx"),
        (4, "avx2"),
        (7, "avx2"),
        (8, "avx512"),
        (9, "avx512_core_bf16"),
        (10, "avx512_core_bf16"),
        (11, "avx512_core_amx"),
    ],
)
def test_a_processor_s_level_is_what_all_its_flags_reach(described, count, level):
    told = described(listing("AMD EPYC", " ".join(FLAGS.split()[:count])))
    precision = "bfloat16" if "core" in level else "float32"
    assert told == {
        "device": "cpu", "instructions": level, "products": "onednn", "precision": precision,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("variable", "value", "level"),
    [
        ("ONEDNN_MAX_CPU_ISA", "AVX2", "avx2"),
        ("ONEDNN_MAX_CPU_ISA", "avx512_core_bf16", "avx512_core_bf16"),
        ("ONEDNN_MAX_CPU_ISA", "DEFAULT", "avx512_core_amx"),  # oneDNN's word for no limit
        ("DNNL_MAX_CPU_ISA", "SSE41", "default"),
        ("ATEN_CPU_CAPABILITY", "default", "default"),
        ("ATEN_CPU_CAPABILITY", "avx512", "avx512_core_amx"),
        ("MKL_ENABLE_INSTRUCTIONS", "AVX512_E3", "avx512_core_bf16"),
        ("MKL_ENABLE_INSTRUCTIONS", "nonsense", "avx512_core_amx"),
    ],
)
def test_a_variable_holds_the_level_down_and_is_named(described, variable, value, level):
    told = described(listing("Intel(R) Xeon(R)", FLAGS), **{variable: value})
    assert (told["instructions"], told[variable], told["products"]) == (level, value, "mkl")
    lower = described(listing("Intel(R) Xeon(R)", "avx"), **{variable: value})["instructions"]
    assert lower in ("default", "avx")  # never raised


def test_systems_without_cpuinfo_have_an_answer(described, monkeypatch):
    assert described(None)["instructions"] == "default"
    assert described(None, kind="riscv64")["instructions"] == "riscv64"
    assert described(None, kind="")["instructions"] == "unknown"
    arm = described(listing("", "fp asimd asimddp bf16 sve", "Features"), kind="aarch64")
    assert arm["instructions"] == "arm64 asimddp bf16 sve" and arm["precision"] == "float32"
    # No sysctl either: as in a container that calls itself macOS.
    monkeypatch.setattr(compute.subprocess, "run", lambda *_, **__: (_ for _ in ()).throw(OSError))
    assert described(None, kind="arm64", system="darwin")["instructions"] == "arm64 arm64"


def test_macos_is_asked_by_sysctl(described, monkeypatch):
    kernel = {
        "machdep.cpu.brand_string": "Intel(R) Core(TM) i7-8850H",
        "machdep.cpu.features": "FPU SSE4.2 AVX1.0 FMA",
        "machdep.cpu.leaf7_features": "AVX2 BMI2",
    }

    def sysctl(command, **_):
        return subprocess.CompletedProcess(command, 0, kernel.get(command[-1], "") + "\n", "")

    monkeypatch.setattr(compute.subprocess, "run", sysctl)
    told = described(None, system="darwin")
    assert (told["instructions"], told["products"]) == ("avx2", "mkl")
    kernel["machdep.cpu.brand_string"] = "Apple M2 Pro"
    told = described(None, kind="arm64", system="darwin")
    assert (told["instructions"], told["products"]) == ("arm64 Apple M2 Pro", "onednn")


def test_a_core_without_torch_has_no_gpu(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it raises ImportError
    monkeypatch.setattr(compute, "DRIVERS", (Path(__file__),))
    assert compute.has_gpu() is False
