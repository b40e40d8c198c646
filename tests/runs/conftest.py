"""A store below tmp_path; nothing here touches the clone's own data or runs."""

from pathlib import Path

import pytest

from dataworth.runs import Store


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DATAWORTH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DATAWORTH_WORKERS", raising=False)
    monkeypatch.delenv("DATAWORTH_PROGRESS", raising=False)
    return tmp_path / "home"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")
