"""Specs, the result store and the engines: a run is a value, computed once."""

from dataworth.runs.engine import execute, run_tasks
from dataworth.runs.engines import default_workers
from dataworth.runs.spec import Outcome, Spec
from dataworth.runs.store import Result, Store

__all__ = [
    "Outcome",
    "Result",
    "Spec",
    "Store",
    "default_workers",
    "execute",
    "run_tasks",
]
