"""book/scale.md and the cost model against what `bench/growth.py` measured."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from dataworth import published

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(ROOT / "bench"))
    try:
        spec = importlib.util.spec_from_file_location("growth", ROOT / "bench" / "growth.py")
        made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
    finally:
        sys.path.pop(0)
    return made


def test_the_page_has_the_measured_numbers(bench):
    rows, page = published.measured("growth"), (ROOT / "book" / "scale.md").read_text()
    for table in bench.tables(rows).values():
        assert table in page
    assert (rows.groupby("kind")["size"].max() == 64 * rows.groupby("kind")["size"].min()).all()
    assert set(rows.kind) == set(bench.WORK)


def test_operations_tell_the_time(bench):
    """Where a process's beginning no longer counts, an operation takes the same time."""
    rows = published.measured("growth").dropna(subset="operations")
    assert set(rows.kind) == {"sampling", "classifier", "language model"}
    for kind, part in rows.groupby("kind"):
        for size, counted in zip(part["size"], part.operations, strict=True):
            assert bench.WORK[kind].operations(size) == pytest.approx(counted)
        upper = part[part["size"] >= part["size"].max() / 4]
        each = upper.processor_seconds / upper.operations
        assert each.max() / each.min() < 1.5, kind


def test_what_failures_cost():
    """Young's formula against a simulation of failures: work lost and time of checkpoints."""
    rng = np.random.default_rng(0)
    write, machines, days = 2.0, 1000, 1000.0
    between = days * 24 * 60 / machines  # minutes between two failures of the whole
    best = np.sqrt(2 * write * between)
    spans = rng.exponential(between, 20_000)
    spent = write * np.floor(spans / (best + write)) + spans % (best + write)
    assert spent.sum() / spans.sum() == pytest.approx(np.sqrt(2 * write / between), rel=0.05)
    page = (ROOT / "book" / "scale.md").read_text()
    for count in (1, 1000, 10_000):
        said = f"{100 * np.sqrt(2 * write * count / (days * 24 * 60)):.2g} %"
        assert said in page, said
    assert f"{100 * 5 / (days * 24 * 60):.1g} %" in page
