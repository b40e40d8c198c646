"""The JSON form of a fit: everything that defines it, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from dataworth.errors import UserError

from . import forms, written
from .estimate import Settings
from .grouped import Grouped
from .laws import Law
from .objective import Objective
from .powers import PowerSum
from .solver import Status
from .table import finite
from .values import Curve


def dump(settings: Settings, curve: Curve, rest: dict[str, Any]) -> str:
    """JSON text of an estimator, its rows and the `rest` of what `load` gives back."""
    law = settings.law
    base, shared = (law.base, law.shared) if isinstance(law, Grouped) else (law, ())
    record = {
        "format": 2,
        "law": _law(base),
        "labels": law.labels if isinstance(law, Grouped) else (),
        "shared": shared,
        "fixed": dict(settings.fixed),
        "tied": settings.tied,
        "objective": list(vars(settings.objective).values()),
        **vars(curve),
        **rest,
    }
    return json.dumps(finite(record))


def load(source: str | Path) -> dict[str, Any]:
    """Fields of a fit from JSON text or from the path of a file that holds it."""
    text = str(source)
    if not text.lstrip().startswith("{"):
        text = Path(source).read_text(encoding="utf-8")
    r = json.loads(text)
    law = _of(r["law"])
    if r["format"] == 1 and law.name == "m4":  # its b was in other units
        raise UserError("The fit was saved before m4's b was without a unit; fit its rows again.")
    if r["labels"]:
        law = Grouped(law, r["labels"], r["shared"])
    loss, residual, delta, asymmetry = r["objective"]
    objective = Objective(loss, residual, np.inf if delta is None else delta, asymmetry)

    def array(name: str, dtype: type = float) -> Any:
        return None if r[name] is None else np.array(r[name], dtype)

    return {
        "settings": Settings(law, objective, r["fixed"], [tuple(t) for t in r["tied"]]),
        "curve": Curve(
            array("x"),
            array("y"),
            array("weights"),
            array("cluster", int),
            tuple(r.get("names", ())),
            r.get("y_name", "loss"),
        ),
        "log_x0": array("log_x0"),
        "phi": array("phi"),
        "objective": r["value"],
        "status": Status(r["status"]),
        "flags": tuple(r["flags"]),
        "draws_phi": array("draws"),
        "draws_status": array("draws_status", int),
    }


def _law(law: Law) -> Any:
    """A law as JSON knows it: its name, its terms, or the number of its breaks."""
    if forms.LAWS.get(law.name) == law:
        return law.name
    if isinstance(law, PowerSum):
        return written.record(law)
    if isinstance(law, forms.BrokenPower):
        return {"breaks": law.breaks}
    raise UserError(
        f"Law {law.name!r} is a class of your own, which has no JSON form; a law of powers, "
        "as a formula or as a PowerSum, has one."
    )


def _of(found: Any) -> Law:
    if isinstance(found, str):
        return forms.get(found)
    if "breaks" in found:
        return forms.BrokenPower(found["breaks"])
    return written.of_record(found)
