"""Figures: no picture without words, plain ticks, and the curve that was given is drawn."""

import base64
import io
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from dataworth import figures
from dataworth.errors import UserError
from dataworth.figures import (
    COLOURS,
    MARKERS,
    image_grid,
    plain_ticks,
    show,
    subplots,
)


@pytest.mark.parametrize(("alt", "caption"), [("", "c"), ("  \n", "c"), ("a", ""), ("a", " ")])
def test_no_figure_without_words(shown, alt, caption):
    fig, _ = subplots()
    with pytest.raises(ValueError, match="figure 'curve' needs alt text and a caption"):
        show(fig, alt=alt, caption=caption, name="curve")
    assert shown == []


def test_show_svg(shown):
    fig, ax = subplots()
    ax.plot([1, 2], [3, 4])
    show(fig, alt="A line\n  that rises", caption="Loss *falls*.", name="curve")
    (data, metadata), (caption, mark) = shown
    assert set(data) == {"image/svg+xml"}
    assert ET.fromstring(data["image/svg+xml"]).tag.endswith("svg")
    words = {"alt": "A line that rises", "caption": "Loss *falls*.", "name": "curve"}
    assert metadata == {"dataworth": words}
    assert caption["text/markdown"] == "Loss *falls*." and mark == {"dataworth": {"aside": True}}
    assert not plt.fignum_exists(fig.number)  # a notebook must not show it twice


def test_show_png(shown):
    fig, _ = subplots(figsize=(2, 1))
    show(fig, alt="a", caption="c", name="n", raster=True)
    data = shown[0][0]
    assert set(data) == {"image/png"}
    image = plt.imread(io.BytesIO(base64.b64decode(data["image/png"])))
    assert image.shape[:2] == (150, 300)


@pytest.mark.parametrize("raster", [False, True])
def test_a_figure_has_the_same_bytes_each_time(shown, raster):
    for _ in range(2):
        fig, ax = subplots()
        ax.plot([1, 2], [3, 4], label="x")
        ax.legend()
        show(fig, alt="a", caption="c", name="n", raster=raster)
    assert shown[:2] == shown[2:]


@pytest.mark.parametrize("raster", [False, True])
def test_without_a_notebook_a_figure_is_a_file_and_a_line(
    shown, tmp_path, monkeypatch, capsys, raster
):
    def drawn(**words):
        fig, ax = subplots()
        ax.plot([1, 2], [3, 4])
        show(fig, alt="a", name="n", raster=raster, **words)

    drawn(caption="c")
    (image,) = shown[0][0].values()
    monkeypatch.undo()
    monkeypatch.setenv("DATAWORTH_RESULTS", str(tmp_path))
    monkeypatch.setattr("__main__.__file__", "/a/book/images/a_chapter.py", raising=False)
    monkeypatch.chdir(tmp_path)
    drawn(caption="Loss in nats,\n95 % intervals. Bold: more.")
    path = Path("figures/a_chapter/n." + ("png" if raster else "svg"))
    assert capsys.readouterr().out == f"figure: {path} (Loss in nats, 95 % intervals.)\n"
    written = path.read_bytes()
    assert (base64.b64encode(written).decode() if raster else written.decode()) == image
    monkeypatch.setenv("DATAWORTH_RESULTS", str(path))
    with pytest.raises(UserError, match="cannot be written: Not a directory; DATAWORTH_RES"):
        drawn(caption="c")


def labels(axis):
    axis.axes.figure.canvas.draw()
    low, high = sorted(axis.get_view_interval())
    ticks = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
    return [label.get_text() for at, label in ticks if low <= at <= high]


def test_ticks_where_they_were_asked():
    _, ax = subplots()
    ax.loglog([100, 10_000], [0.5, 2])
    plain_ticks(ax.xaxis, [100, 320, 1000, 3200, 10_000])
    assert labels(ax.xaxis) == ["100", "320", "1,000", "3,200", "10,000"]
    assert len(ax.xaxis.get_minorticklocs()) == 0


def test_ticks_at_one_two_five():
    _, ax = subplots()
    ax.loglog([1, 2], [0.3, 3.5])
    plain_ticks(ax.yaxis)
    ax.set_ylim(0.19, 5.1)
    assert labels(ax.yaxis) == ["0.2", "0.5", "1", "2", "5"]
    assert len(ax.yaxis.get_minorticklocs()) == 0


def test_ticks_of_large_sets_are_plain_too():
    """ImageNet's 1,281,167 images and their multiples."""
    _, ax = subplots()
    ax.loglog([1e5, 1e7], [1, 2])
    plain_ticks(ax.xaxis, [125_000, 1_281_167, 4_000_000])
    assert labels(ax.xaxis) == ["125,000", "1,281,167", "4,000,000"]


def test_image_grid():
    rng = np.random.default_rng(0)
    rows = {
        "real": rng.integers(0, 256, (3, 28, 28), dtype=np.uint8),
        "synthetic": rng.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8),
    }
    fig = image_grid(rows, columns=["a", "b", "c"])
    axes = np.array(fig.axes).reshape(2, 3)
    for i, images in enumerate(rows.values()):
        for j in range(3):
            drawn = axes[i, j].get_images()
            assert len(drawn) == (j < len(images))
            if drawn:
                np.testing.assert_array_equal(drawn[0].get_array(), images[j])
                assert drawn[0].get_clim() == (0, 255)  # greys are not stretched
            assert not axes[i, j].axison
    assert [row[0].texts[0].get_text() for row in axes] == ["real", "synthetic"]
    assert [ax.get_title() for ax in axes[0]] == ["a", "b", "c"]
    assert image_grid({"one": rows["real"][:1]}).axes[0].get_images()


def test_every_arm_has_a_colour_and_a_marker_of_its_own():
    assert COLOURS.keys() == MARKERS.keys()
    assert len(set(COLOURS.values())) == len(set(MARKERS.values())) == len(COLOURS)
    figures.style()
    assert matplotlib.rcParams["figure.facecolor"] == "white"
