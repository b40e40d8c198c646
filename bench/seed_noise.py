"""Real noise of training seeds: small cells of every kind of run, each trained with 24 seeds.

    .venv/bin/python bench/seed_noise.py [--seeds 24] [--out FILE]

Writes lib/dataworth/published_data/measured_seeds.csv, a row for every run: the mean loss of its
test set (nats; bits per byte for texts, by domain) and the top-1 error where there is one. The
cells are those of the profile `quick` with smaller models and fewer steps: what
`bench/coverage.py` draws two, three and five seeds from. Finished runs are taken from the store:
ten minutes of one core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dataworth import __version__
from dataworth.book.parameters import of_chapter
from dataworth.runs import Result, Spec, Store, report
from dataworth.studies import base
from dataworth.studies.clip_scaling import ClipScaling
from dataworth.studies.curves import scores
from dataworth.studies.domain_arms import FULL, without
from dataworth.studies.domains import Domains
from dataworth.studies.images import sample
from dataworth.studies.synthetic_scaling import SyntheticScaling
from dataworth.text.losses import bits_per_byte, document_losses
from dataworth.text.pools import DOMAINS
from dataworth.text.tokens import run_text_tasks

TARGET = Path(__file__).parents[1] / "lib/dataworth/published_data/measured_seeds.csv"
SIZES = (80, 320)
BUDGET = ((80, 60), (320, 80))  # the longest training of each size
CLIP_SIZE = 80

Cells = dict[tuple[str, int], list[Spec]]
Row = tuple[str, str, int, int, str, float, float]


def chapter(name: str, cls: type, seeds: int, **changes: Any) -> Any:
    """Parameters of the profile `quick` with other seeds and models."""
    params = of_chapter(name, "quick").model
    assert isinstance(params, cls)
    return params.model_copy(update={"seeds": seeds} | changes)


def classifiers(seeds: int) -> Cells:
    p = chapter("synthetic-scaling", SyntheticScaling, seeds, model="vit-2x32", budget=BUDGET)
    parts = {"real": p.real, "synthetic": partial(p.synthetic, p.pool())}
    return {
        (arm, n): [
            p.classifier(parts[arm](n, s), seed=s, evaluations=("test",)) for s in range(seeds)
        ]
        for n in SIZES
        for arm in parts
    }


def towers(seeds: int) -> Cells:
    p = chapter("clip-scaling", ClipScaling, seeds, clip_budget=((CLIP_SIZE, 20),))
    parts = {"real": p.real, "synthetic": partial(p.synthetic, p.pool())}
    return {
        (arm, CLIP_SIZE): [p.clip(part(CLIP_SIZE, s), seed=s) for s in range(seeds)]
        for arm, part in parts.items()
    }


def language_models(seeds: int) -> Cells:
    # of 24 pools of the profile's size one would hold 29 documents of mail, and it takes 30
    p = chapter("domains", Domains, seeds, model="lm-0.1m", pool_bytes=450_000)
    pools = p.drops() | p.random_drops()
    arms = (FULL, without("scraps"), next(iter(p.controls)))
    return {
        (arm, p.pool_bytes): [p.language_model(pools[arm][s], s) for s in range(seeds)]
        for arm in arms
    }


def image_rows(kind: str, results: dict[tuple[str, int], list[Result]]) -> Iterable[Row]:
    for (arm, n), runs in results.items():
        loss, error = (scores([runs], metric=m).mean(-1)[0] for m in ("loss", "error"))
        for s, (x, wrong) in enumerate(zip(loss, error, strict=True)):
            yield kind, arm, n, s, "test", float(x), float(wrong)


def text_rows(results: dict[tuple[str, int], list[Result]]) -> Iterable[Row]:
    for (arm, n), runs in results.items():
        for name in DOMAINS:
            nats, n_bytes, _ = document_losses(runs, name)
            for s, x in enumerate(bits_per_byte(nats, n_bytes)):
                yield "language model", arm, n, s, name, float(x), np.nan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=24)
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args()
    store, start, rows, made = Store(), time.perf_counter(), list[Row](), list[Result]()
    for kind, cells in (
        ("classifier", classifiers),
        ("CLIP", towers),
        ("language model", language_models),
    ):
        grid = cells(options.seeds)
        if kind == "language model":
            found = base.run_grid(grid, store, kind, run=run_text_tasks)
            rows += text_rows(found)
            made += base.leaves(found)
            write(rows, made, options.seeds, options.out)
        for cell, specs in grid.items() if kind != "language model" else ():
            sample(specs, store)
            found = base.run_grid({cell: specs}, store, f"{kind}, {cell}")
            rows += image_rows(kind, found)
            made += base.leaves(found)
            write(rows, made, options.seeds, options.out)  # what is there so far
        print(kind, f"{time.perf_counter() - start:.0f} s", flush=True)


def write(rows: list[Row], made: list[Result], seeds: int, out: Path) -> None:
    columns = ["kind", "arm", "size", "seed", "evaluation", "loss", "error"]
    table = pd.DataFrame(rows, columns=columns).round(6)
    about = report.provenance(made, range(seeds))
    for name in ("device", "torch"):
        table[name] = about[name]
    table["dataworth"] = __version__
    table.to_csv(out, index=False)
    print(about)


if __name__ == "__main__":
    main()
