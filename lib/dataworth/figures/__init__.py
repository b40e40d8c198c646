"""Figures: one style, the motifs that chapters repeat, alt text and caption with each."""

from .base import (
    COLOURS,
    MARKERS,
    Panel,
    Picture,
    draw,
    image_grid,
    shades,
    show,
    style,
    subplots,
)
from .curves import curves
from .forest import forest, stack
from .heatmap import heatmap
from .labels import label_points
from .scatter import scatter
from .series import Series, series, split
from .ticks import plain_ticks

__all__ = [
    "COLOURS",
    "MARKERS",
    "Panel",
    "Picture",
    "Series",
    "curves",
    "draw",
    "forest",
    "heatmap",
    "image_grid",
    "label_points",
    "plain_ticks",
    "scatter",
    "series",
    "shades",
    "show",
    "split",
    "stack",
    "style",
    "subplots",
]
