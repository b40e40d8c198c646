"""A store below tmp_path and a tiny corpus in the place of the data room."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny_corpus import corpus

from dataworth.runs import Store


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing here touches the clone's own data or runs."""
    monkeypatch.setenv("DATAWORTH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATAWORTH_WORKERS", "1")
    monkeypatch.delenv("DATAWORTH_PROGRESS", raising=False)
    return tmp_path / "home"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The tiny corpus, as every card; `tiny.calls` counts how often it was read."""
    made = corpus()
    made.calls = 0

    def load_corpus(card: str, split: str | None = None) -> SimpleNamespace:
        made.calls += 1
        return made

    monkeypatch.setattr("dataworth.data.load_corpus", load_corpus, raising=False)
    return made
