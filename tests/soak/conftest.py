"""Fault suites: a short form in every test run, all of it with DATAWORTH_SOAK=full (make soak)."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def cases() -> Callable[[int, int], int]:
    """cases(short, full): how many cases this run tries."""
    return lambda short, full: full if os.environ.get("DATAWORTH_SOAK") == "full" else short
