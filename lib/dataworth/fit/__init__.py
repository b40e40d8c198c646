"""Fit scaling laws to tables of runs: estimates, intervals, equivalence ratios, frontiers."""

from .equivalence import Equivalence, equivalence
from .forms import LAWS
from .laws import Law, Param, PowerSum, Term
from .model import Fit, Interval, Prediction, fit

__all__ = [
    "LAWS",
    "Equivalence",
    "Fit",
    "Interval",
    "Law",
    "Param",
    "PowerSum",
    "Prediction",
    "Term",
    "equivalence",
    "fit",
]
