"""No test leaves a figure or the book's style behind."""

from types import SimpleNamespace

import matplotlib
import pytest
from matplotlib import pyplot as plt


@pytest.fixture
def shown(monkeypatch):
    """What reaches the notebook, as if one ran this: (data, metadata) of each display."""
    out = []

    def display(data, *, metadata, raw, display_id=None):
        assert raw
        out.append((data, metadata))

    monkeypatch.setattr("IPython.display.display", display)
    kernel = SimpleNamespace(execution_count=1)
    for place in ("figures.base", "display", "tables"):
        monkeypatch.setattr(f"dataworth.{place}.shell", lambda: kernel)
    return out


@pytest.fixture(autouse=True)
def restore_style():
    with matplotlib.rc_context():
        yield
    plt.close("all")
