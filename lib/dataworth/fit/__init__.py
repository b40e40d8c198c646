"""Fit scaling laws to tables of runs: estimates, intervals, equivalence ratios, frontiers.

>>> from dataworth.fit import fit
>>> runs = {"n": [100, 200, 400, 800, 1600], "loss": [2.1, 1.7, 1.42, 1.24, 1.12]}
>>> result = fit(runs, law="shifted", x="n", y="loss")
>>> sorted(result.params)
['E', 'a', 'k']
>>> 0.4 < result.params["k"] < 0.7
True
>>> result.params["k"] in result.interval("k")
True
>>> poorer = {"n": runs["n"], "loss": [2.4, 2.0, 1.72, 1.54, 1.42]}
>>> other = fit(poorer, law="shifted", x="n", y="loss")
>>> answer = equivalence(other, result, at_real=300)
>>> 1 < answer.ratio.value < 5, answer.case
(True, 'finite')
"""

from dataworth.stats import interval as percentile_interval

from .chain import Chain
from .designs import Advice, half_width_after, more_runs
from .equivalence import (
    Crossing,
    Equivalence,
    Worth,
    crossing,
    equivalence,
    equivalence_test,
    worth,
)
from .extrapolate import (
    Forecast,
    Origin,
    Score,
    compare,
    forecast,
    rolling_origin,
)
from .forms import LAWS, BrokenPower
from .frontier import Cost, Optimum, allocation_exponent, frontier
from .isoflop import Valley, isoflop
from .laws import Law, Param
from .model import fit
from .powers import PowerSum, Term
from .result import Fit
from .solver import Status
from .values import Curve, Interval, Prediction

__all__ = [
    "LAWS", "Advice", "BrokenPower", "Chain", "Cost", "Crossing", "Curve", "Equivalence", "Fit",
    "Forecast", "Interval", "Law", "Optimum", "Origin", "Param", "PowerSum", "Prediction",
    "Score", "Status", "Term", "Valley", "Worth", "allocation_exponent", "compare", "crossing",
    "equivalence", "equivalence_test", "fit", "forecast", "frontier", "half_width_after", "isoflop",
    "more_runs", "percentile_interval", "rolling_origin", "worth",
]  # fmt: skip
