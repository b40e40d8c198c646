"""Other processors, simulated: the tests of what differs between them pass under their settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataworth.compute import VARIABLES

TESTS = Path(__file__).parent.parent
SOLVER = "test_bootstrap_agrees_with_numpy[log-chinchilla]"
# bfloat16, which neither setting multiplies natively.
SAMPLER = (
    "test_generator_families.py::"
    "test_an_image_depends_on_its_own_request_alone[pixel-diffusion-1.0-bfloat16]"
)
SETTINGS = {
    "AVX2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
    },
    "default": {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_products_samplers_and_solvers_on_another_processor(setting):
    """In a process of its own, because the libraries read the variables once."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    command = [
        *(sys.executable, "-m", "pytest", "-x", "--tb=short", "-p", "no:cacheprovider"),
        *("test_kernels.py", f"fit/test_device.py::{SOLVER}", f"images/{SAMPLER}"),
    ]
    done = subprocess.run(
        command, cwd=TESTS, env=kept | setting, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
