"""One thread a process, whatever has been loaded and whatever loads later."""

import subprocess
import sys

import pytest

CODE = """
import os
for name in list(os.environ):
    if name.endswith("_NUM_THREADS"):
        del os.environ[name]
{first}
from dataworth.threads import one_thread
one_thread()
import numpy, scipy.linalg, torch
from threadpoolctl import threadpool_info
assert threadpool_info() and torch.get_num_threads() == 1
assert {{one["num_threads"] for one in threadpool_info()}} == {{1}}, threadpool_info()
"""


@pytest.mark.parametrize("first", ["", "import numpy, scipy.linalg", "import torch"])
def test_one_thread_whatever_was_loaded_before(first):
    subprocess.run([sys.executable, "-c", CODE.format(first=first)], check=True)
