"""What a chapter says about its runs: how many, how long, on what, and what they would cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from dataworth.runs.store import Result

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
        kind: {r.spec.key: r.provenance["wall_seconds"] for r in found}
        for kind, found in kinds.items()
    }
    return pd.DataFrame(
        {
            "runs": {kind: len(seconds) for kind, seconds in rows.items()},
            "core minutes": {kind: round(sum(s.values()) / 60, 2) for kind, s in rows.items()},
        }
    )


def provenance(results: Iterable[Result], seeds: Iterable[int]) -> dict[str, object]:
    """What the ledger records about a chapter's runs."""
    found = {r.spec.key: r for r in results}
    kinds: dict[str, int] = {}
    for r in found.values():
        kinds[r.spec.kind] = kinds.get(r.spec.kind, 0) + 1
    with_torch = [r.provenance for r in found.values() if "torch" in r.provenance]
    sample = with_torch[0] if with_torch else {"torch": "not used", "inference_dtype": "none"}
    minutes = sum(r.provenance["wall_seconds"] for r in found.values()) / 60
    devices = sorted({r.provenance["device"] for r in found.values()})
    unit = "core" if all(name.startswith("cpu") for name in devices) else "worker"
    keys = sorted(found)
    return {
        "runs": ", ".join(f"{count} {kind}" for kind, count in kinds.items()),
        "compute": f"{minutes:.1f} {unit} minutes",
        "device": ", ".join(devices),
        "torch": sample["torch"],
        "sampling precision": sample["inference_dtype"],
        "seeds": ", ".join(map(str, seeds)),
        "run keys": f"{keys[0][:12]} … {keys[-1][:12]}",
    }
