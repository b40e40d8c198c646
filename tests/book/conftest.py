from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from example import make_book

from dataworth.book.layout import Layout, open_layout


def _forget() -> None:
    sys.modules.pop("example_params", None)


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Layout]:
    """A fresh example book that nothing has executed."""
    monkeypatch.syspath_prepend(str(make_book(tmp_path)))
    yield open_layout("smoke", tmp_path)
    _forget()
