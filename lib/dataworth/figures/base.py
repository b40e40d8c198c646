"""Pictures: one style, and no figure without alt text and a caption."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dataworth.fit import Fit

# Okabe and Ito's palette: told apart with any colour vision; every arm keeps its colour and marker.
COLOURS = {
    "real": "#0072B2",
    "synthetic": "#D55E00",
    "mixed": "#009E73",
    "published": "#666666",
    "accent": "#CC79A7",
}
MARKERS = {"real": "o", "synthetic": "s", "mixed": "D", "published": "x", "accent": "^"}


def style() -> None:
    """Set the book's plotting style (white ground, so figures read in dark mode too)."""
    import matplotlib as mpl
    import seaborn as sns

    sns.set_theme(context="notebook", style="ticks", palette=list(COLOURS.values()))
    mpl.rcParams.update(
        {
            "figure.figsize": (7.0, 4.2),
            "figure.dpi": 100,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#E6E6E6",
            "legend.frameon": False,
            "svg.fonttype": "path",
            "svg.hashsalt": "dataworth",
        }
    )


def subplots(*args: Any, **kwargs: Any) -> tuple[Figure, Any]:
    """`matplotlib.pyplot.subplots` in the book's style."""
    import matplotlib.pyplot as plt

    style()
    return plt.subplots(*args, **kwargs)


def show(fig: Figure, *, alt: str, caption: str, name: str, raster: bool = False) -> None:
    """Display a figure in a notebook, as SVG (or PNG if `raster`), with alt text and caption.

    alt: what the picture shows, for a reader who does not see it. name: reference target.
    Raises ValueError for an empty alt text or caption.
    """
    import matplotlib.pyplot as plt
    from IPython.display import display

    if not alt.strip() or not caption.strip():
        raise ValueError(f"figure {name!r} needs alt text and a caption")
    buffer = io.BytesIO()
    metadata = {"dataworth": {"alt": " ".join(alt.split()), "caption": caption, "name": name}}
    if raster:
        fig.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
        data: dict[str, Any] = {"image/png": buffer.getvalue()}
    else:
        fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        data = {"image/svg+xml": buffer.getvalue().decode()}
    plt.close(fig)
    if raster:
        import base64

        data = {"image/png": base64.b64encode(data["image/png"]).decode()}
    display(data, metadata=metadata, raw=True)


def plain_ticks(axis: Any, at: ArrayLike | None = None) -> None:
    """Label a log axis (`ax.xaxis`, `ax.yaxis`) with plain numbers: `at`, or 1, 2, 5, 10, ..."""
    from matplotlib import ticker

    if at is None:
        axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    else:
        axis.set_major_locator(ticker.FixedLocator(np.asarray(at, dtype=float).tolist()))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_locator(ticker.NullLocator())


def scaling_curve(
    ax: Axes,
    arm: str,
    sizes: ArrayLike,
    losses: ArrayLike,
    fit: Fit | None = None,
    *,
    label: str | None = None,
    filled: bool = True,
    to: float | None = None,
) -> None:
    """Draw runs as points (one per run) and a fitted law with its 95 % band, on log-log axes.

    sizes, losses: (n,). The band covers the sizes that were run; beyond them, up to `to`, the law
    is drawn dashed.
    """
    x, y = np.asarray(sizes, dtype=float), np.asarray(losses, dtype=float)
    colour = COLOURS[arm]
    ax.loglog(
        x, y, MARKERS[arm], color=colour, mfc=colour if filled else "white", ms=5, alpha=0.85,
        label=label or arm,
    )  # fmt: skip
    if fit is None:
        return
    inside = np.geomspace(x.min(), x.max(), 80)
    predicted = fit.predict(inside)
    ax.plot(inside, predicted.mean, color=colour, lw=1.6)
    ax.fill_between(inside, predicted.low, predicted.high, color=colour, alpha=0.16, lw=0)
    if to and to > x.max():
        beyond = np.geomspace(x.max(), to, 30)
        ax.plot(beyond, fit.mean(beyond), color=colour, lw=1.2, ls="--")


def image_grid(
    rows: Mapping[str, NDArray[np.uint8]],
    *,
    columns: Sequence[str] | None = None,
    size: float = 0.55,
) -> Figure:
    """A grid of images: each row a label and uint8 (n, H, W[, 3]) images; columns may be named."""
    count = max(len(images) for images in rows.values())
    fig, axes = subplots(
        len(rows), count, figsize=(size * count + 1.6, size * len(rows) + 0.5), squeeze=False
    )
    fig.set_layout_engine("constrained", w_pad=0.01, h_pad=0.01, wspace=0.02, hspace=0.02)
    for axis_row, (label, images) in zip(axes, rows.items(), strict=True):
        for axis in axis_row:
            axis.set_axis_off()
        for axis, image in zip(axis_row, images, strict=False):
            axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis_row[0].text(
            -0.15, 0.5, label, transform=axis_row[0].transAxes, ha="right", va="center", fontsize=9
        )
    for axis, name in zip(axes[0], columns or (), strict=False):
        axis.set_title(name, fontsize=8, pad=3)
    return fig
