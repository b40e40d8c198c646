"""What a study would need, resolved and counted offline: nothing is fetched or started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dataworth.runs.report import gpu_hours
from dataworth.studies.base import missing_rows
from dataworth.text.models import MODELS

TOKEN_BYTES = 2


@dataclass(frozen=True)
class Training:
    """Language models to train: how many over all seeds, on what (in words), `tokens` each."""

    kind: str
    model: str
    runs: int
    tokens: int


def dry_run(
    trainings: Sequence[Training], *, vocabulary: int, context: int, corpora: Sequence[str]
) -> list[dict[str, object]]:
    """Every corpus, shape and parameter count of a study, what it would take, and the total.

    Rows have `step`, and as far as they apply `resolved`, `parameters`, `PFLOP`, `GPU hours` (one
    A100 at a usual share of its peak) and `disk GB` (tokens of the longest budget, and weights in
    float32). `corpora` are cards; those of a hub (`data/large_texts.yaml`) get a row.
    """
    from dataworth.data.large_texts import large_texts

    rows: list[dict[str, object]] = []
    entries = [large_texts()[name] for name in corpora if name in large_texts()]
    for entry in entries:
        config = f" ({entry.config})" if entry.config else ""
        where = f"{entry.repo}{config} at {entry.revision}"
        read = f"the first {entry.documents:,} documents, which is what pools are made of"
        rows.append({"step": f"corpus {entry.id}", "resolved": f"{where}; {entry.licence}; {read}"})
    for name in dict.fromkeys(t.model for t in trainings):
        shape = MODELS[name]
        count = shape.parameters(vocabulary)
        rows.append(
            {
                "step": f"language model {name}",
                "resolved": f"{shape.layers} layers, width {shape.width}, {shape.heads} heads of "
                f"{shape.head_width}, hidden {shape.hidden}, {vocabulary:,} tokens, context "
                f"{context}",
                "parameters": f"{count:,}",
            }
        )
    spent: list[dict[str, object]] = []
    for t in trainings:
        flops = t.runs * MODELS[t.model].training_flops(vocabulary, t.tokens, context)
        weights = t.runs * 4 * MODELS[t.model].parameters(vocabulary)
        spent.append(
            {
                "step": f"train {t.runs:,} language models on {t.kind} ({t.model}, {t.tokens:,} "
                "tokens each)",
                "PFLOP": float(f"{flops / 1e15:.3g}"),
                "GPU hours": gpu_hours(flops),
                "disk GB": float(f"{weights / 1e9:.3g}"),
            }
        )
    longest = max((t.tokens for t in trainings), default=0)
    if longest:
        size = float(f"{longest * TOKEN_BYTES / 1e9:.3g}")
        spent.append({"step": f"encoded text, {longest:,} tokens", "disk GB": size})
    total = {
        n: float(f"{sum(float(str(row.get(n, 0))) for row in spent):.3g}")
        for n in ("PFLOP", "GPU hours", "disk GB")
    }
    lacking = missing_rows([entry.repo for entry in entries], total["disk GB"])
    return [*rows, *spent, *lacking, {"step": "total", **total}]
