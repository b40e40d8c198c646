"""No test leaves a figure or the book's style behind."""

import matplotlib
import pytest
from matplotlib import pyplot as plt


@pytest.fixture(autouse=True)
def restore_style():
    with matplotlib.rc_context():
        yield
    plt.close("all")
