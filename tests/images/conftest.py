"""A tiny generator, tiny image sets and a store below tmp_path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_images import CONFIG, garments, random_generator

from dataworth.images import parts
from dataworth.images.shifts import SHIFTS, ShiftSet
from dataworth.runs import Outcome, Spec, Store
from spec_samples import IMAGES
from traced import watch


class NoShiftPool(Spec):
    """Stands for the division of the shift pool where the shifted sets are given."""

    kind = "no-shift-pool"

    def run(self, store: Store) -> Outcome:
        return Outcome()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing here touches the clone's own data or runs, and no digest outlives its test."""
    monkeypatch.setenv("DATAWORTH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATAWORTH_WORKERS", "1")
    monkeypatch.delenv("DATAWORTH_PROGRESS", raising=False)
    parts.weights_digest.cache_clear()
    parts.generator_of.cache_clear()
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def complete_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that a run calls is missing in its key."""
    watch(monkeypatch, IMAGES)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(scope="session")
def generator():
    """An untrained `PixelDiffusion` whose outputs depend on prompt and guidance."""
    return random_generator(CONFIG, seed=0)


@pytest.fixture
def splits(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], SimpleNamespace]:
    """Synthetic splits in the place of the data room, and four small shifted sets; `splits.calls`
    records what was asked of the data room."""
    sizes = {"classifier_pool": 60, "validation": 30, "test": 40, "generator_pool": 50}
    calls = []

    def load_images(card: str, split: str, *, root: Path | None = None) -> SimpleNamespace:
        calls.append((card, split))
        images, labels = garments(sizes[split], seed=list(sizes).index(split))
        ids = 1000 * (1 + list(sizes).index(split)) + np.arange(len(labels))
        return ImageSet(images=images, labels=labels, ids=ids, classes=tuple("abcdefghij"))

    class ImageSet(SimpleNamespace):
        texts = origins = None

        def __len__(self) -> int:
            return len(self.labels)

    def shift(name: str, card: str = "fashion-mnist", *, store: Store | None = None) -> ShiftSet:
        images, labels = garments(20, seed=10 + SHIFTS.index(name))
        return ShiftSet(name, images, labels, np.arange(20), np.full(20, "shift_pool"))

    monkeypatch.setattr("dataworth.data.load_images", load_images)
    monkeypatch.setattr("dataworth.images.shifts.shift", shift)
    monkeypatch.setattr("dataworth.images.shifts.shift_pool_spec", lambda card: NoShiftPool())
    load_images.calls = calls
    return load_images
