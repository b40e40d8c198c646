"""What is said about runs: how many, how long, on what, what they would cost, what changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dataworth.errors import UserError
from dataworth.runs.spec import spec_of
from dataworth.runs.store import Result
from dataworth.why import differences

if TYPE_CHECKING:
    import pandas as pd


PEAK, UTILISATION = 312e12, 0.4  # A100, bfloat16, FLOP/s; share reached in practice


def gpu_hours(flops: float) -> float:
    """Hours of one A100 at `UTILISATION` of its peak, three digits."""
    return float(f"{flops / (PEAK * UTILISATION) / 3600:.3g}")


def summary(kinds: Mapping[str, Iterable[Result]]) -> pd.DataFrame:
    """What was run: number of tasks and core minutes, by kind."""
    import pandas as pd

    rows = {
        kind: {r.key: r.provenance["wall_seconds"] for r in found} for kind, found in kinds.items()
    }
    return pd.DataFrame(
        {
            "runs": {kind: len(seconds) for kind, seconds in rows.items()},
            "core minutes": {kind: round(sum(s.values()) / 60, 2) for kind, s in rows.items()},
        }
    )


def provenance(results: Iterable[Result], seeds: Iterable[int]) -> dict[str, object]:
    """What the ledger records about a chapter's runs."""
    found = {r.key: r for r in results}
    kinds: dict[str, int] = {}
    for r in found.values():
        kinds[r.spec.kind] = kinds.get(r.spec.kind, 0) + 1
    with_torch = [r.provenance for r in found.values() if "torch" in r.provenance]
    sample = with_torch[0] if with_torch else {"torch": "not used", "inference_dtype": "none"}
    minutes = sum(r.provenance["wall_seconds"] for r in found.values()) / 60
    devices = sorted({r.provenance["device"] for r in found.values()})
    unit = "core" if all(name.startswith("cpu") for name in devices) else "worker"
    keys = sorted(found)
    makers = sorted({m for r in found.values() for m in _makers(r.metrics.get("made_by"))})
    return {
        "runs": ", ".join(f"{count} {kind}" for kind, count in kinds.items()),
        "compute": f"{minutes:.1f} {unit} minutes",
        "device": ", ".join(devices),
        "torch": sample["torch"],
        "sampling precision": sample["inference_dtype"],
        "seeds": ", ".join(map(str, seeds)),
        "run keys": f"{keys[0][:12]} … {keys[-1][:12]}",
        **({"images of others' models": "; ".join(makers)} if makers else {}),
    }


def _makers(said: object) -> list[str]:
    """Pipelines of a hub whose images a run trained on, or that made them."""
    return [said] if isinstance(said, str) else said if isinstance(said, list) else []


def of_run(key: str, root: Path) -> list[str]:
    """Lines on the stored run whose key begins with `key` in the store at `root`: what changed
    since, so that today's code would not ask for it. Raises UserError for none or several."""
    found = sorted(path for path in root.glob(f"*/{key}*") if (path / "spec.json").is_file())
    if len(found) != 1:
        several = ", ".join(f"{path.parent.name}/{path.name}" for path in found[:3])
        count = f"{len(found)} runs: {several}" if found else "no run"
        raise UserError(f"The store {root} has {count} whose key begins with '{key}'.")
    name = f"{found[0].parent.name} {found[0].name}"
    try:
        content = json.loads((found[0] / "spec.json").read_text(encoding="utf-8"))
        current = spec_of(content).content
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, UserError):
            return [f"{name}: cannot be asked for any more:", f"  {error}"]
        raise UserError(f"{found[0] / 'spec.json'} does not hold what a run depends on.") from error
    changed = differences(content, current)
    if not changed:
        return [f"{name}: nothing changed; the store answers with it"]
    return [f"{name}: changed since it was stored:", *(f"  {phrase}" for phrase in changed)]
