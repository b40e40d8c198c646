"""Figures: one style, the motifs that chapters repeat, alt text and caption with each."""

from .base import COLOURS, MARKERS, image_grid, plain_ticks, scaling_curve, show, style, subplots

__all__ = [
    "COLOURS",
    "MARKERS",
    "image_grid",
    "plain_ticks",
    "scaling_curve",
    "show",
    "style",
    "subplots",
]
