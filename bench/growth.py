"""How time, memory and disk grow from a size to 4, 16 and 64 times as much, by kind of work.

    OMP_NUM_THREADS=1 .venv/bin/python bench/growth.py [--largest 64] [--kinds ...] [-o FILE]
    .venv/bin/python bench/growth.py --page

Each size runs in a process of its own on one thread, after a first small piece that takes imports
and caches. Measured: processor seconds (the least of the repetitions), how far the peak of resident
memory rises above what the process held before (MB), and bytes of what the store keeps. Operations
are those that `dataworth check` counts for the same work, where it counts some. Writes
`lib/dataworth/published_data/measured_growth.csv`, a row for every kind and size; `--page` measures
nothing and writes tables and figure of book/scale.md from it.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing as mp
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from provenance import provenance

from dataworth.runs import Outcome, Spec, Store

if TYPE_CHECKING:
    import pandas as pd

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "lib" / "dataworth" / "published_data" / "measured_growth.csv"
PAGE, FIGURE = ROOT / "book" / "scale.md", ROOT / "book" / "_static" / "growth.svg"
Arrays = dict[str, NDArray]


class Work(NamedTuple):
    """One kind of work: the unit of its size, the smallest, and what makes its arrays and counts
    its operations for a size."""

    unit: str
    least: int
    made: Callable[[int], Arrays]
    operations: Callable[[int], float] = lambda size: float("nan")


class Grown(Spec):
    """What a size leaves in a store."""

    kind: ClassVar[str] = "grown"
    size: int

    def run(self, store: Store) -> Outcome:
        raise NotImplementedError


def sampled(size: int) -> Arrays:
    from dataworth.images.generators import WEIGHTS, load

    generator = load(WEIGHTS / "pixel-diffusion", steps=6)
    return {"images": generator.generate(["a photo of a coat"] * size, 2.0, list(range(size)))}


def classified(size: int) -> Arrays:
    """Two epochs over `size` images."""
    from dataworth.images.classifiers import MODELS, Budget, ImageOptimisation, predict, train

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (size, 28, 28), dtype=np.uint8)
    budget = Budget(rule="fixed_epochs", amount=2, batch=128)
    model, _ = train(
        images, np.arange(size) % 10, MODELS["vit-2x64"], budget, ImageOptimisation(), 0
    )
    return {"logits": predict(model, images[:1000])}


def modelled(size: int) -> Arrays:
    import torch

    from dataworth.text.models import MODELS
    from dataworth.text.training import PRETRAINING, token_nats, train

    rows = np.random.default_rng(0).integers(0, 2048, (size // 128, 129)).astype(np.uint16)
    torch.manual_seed(0)
    model, _ = train(MODELS["lm-0.4m"].build(2048), rows, 16, PRETRAINING)
    return {"nats": np.concatenate(token_nats(model, list(rows[:20]), 0, 128))}


def texts(size: int) -> list[str]:
    """Pseudo-random prose: words by Zipf's law, 80 a document."""
    rng = np.random.default_rng(size)
    words = np.array([f"w{i:x}" for i in range(20_000)])
    drawn = words[np.minimum(rng.zipf(1.3, (size, 80)), 20_000) - 1]
    return [" ".join(row) for row in drawn]


def scored(size: int) -> Arrays:
    from dataworth.text.quality import reference_scorer

    return {"scores": reference_scorer().score(texts(size))}


def deduplicated(size: int) -> Arrays:
    from dataworth.data.duplicates import near_duplicates

    return {"kept": np.array(near_duplicates(texts(size)))}


def fitted(size: int) -> Arrays:
    from dataworth.fit import fit

    rng = np.random.default_rng(0)
    x = np.geomspace(1e3, 1e9, size)
    y = (2 + 30 * x**-0.3) * np.exp(rng.normal(0, 0.02, size))
    found = fit({"x": x, "y": y}, law="shifted").interval("k")
    return {"k": np.array([found.low, found.high])}


def sampling_flops(size: int) -> float:
    from dataworth.studies.image_cost import generation_flops

    return size * generation_flops("pixel-diffusion", 6)[2]


def classifier_flops(size: int) -> float:
    from dataworth.studies.image_cost import training_flops

    return 2 * size * training_flops("vit-2x64")


def model_flops(size: int) -> float:
    from dataworth.text.models import MODELS

    return MODELS["lm-0.4m"].training_flops(2048, size, 128)


WORK = {
    "sampling": Work("images", 64, sampled, sampling_flops),
    "classifier": Work("images", 640, classified, classifier_flops),
    "language model": Work("tokens", 8192, modelled, model_flops),
    "scoring": Work("documents", 500, scored),
    "near-duplicates": Work("documents", 500, deduplicated),
    "fitting": Work("runs", 100, fitted),
}


def measured(kind: str, size: int, connection) -> None:
    work = WORK[kind]
    work.made(work.least)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    arrays = work.made(size)
    took = time.process_time() - started
    # Linux counts in KiB, macOS in bytes.
    unit = 1024 if sys.platform != "darwin" else 1
    rise = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit
    with tempfile.TemporaryDirectory() as root:
        from growth import Grown as Importable  # the name by which a key finds its code

        kept = Store(root).put(Importable(size=size), Outcome(arrays), {}).path
        disk = sum(file.stat().st_size for file in kept.iterdir())
    connection.send((took, rise, disk))


def alone(kind: str, size: int) -> tuple[float, int, int]:
    ours, theirs = mp.Pipe(duplex=False)
    process = mp.get_context("spawn").Process(target=measured, args=(kind, size, theirs))
    process.start()
    theirs.close()  # else a process that died would be waited for
    found: tuple[float, int, int] = ours.recv()
    process.join()
    return found


SCALE = {"images": 1e9, "tokens": 1e13, "documents": 1e13 / 400}
"""Units of the internet's scale: a billion images, ten trillion tokens, documents of 400."""
YEAR = 365.25 * 86_400  # seconds


def tables(rows: pd.DataFrame) -> dict[str, str]:
    """The tables of book/scale.md, in Markdown, by the name of their place there."""
    grown, scaled = [], []
    for kind, part in rows.groupby("kind", sort=False):
        slope = {
            column: float(np.polyfit(np.log(part["size"]), np.log(part[column]), 1)[0])
            for column in ("processor_seconds", "disk_bytes")
        }
        last = part.iloc[-1]
        grown.append(
            f"| {kind} | {last['size']:,} {last.unit} | {last.processor_seconds:.3g} s "
            f"| {slope['processor_seconds']:.2f} | {last.memory_mb:.3g} MB "
            f"| {last.disk_bytes / 1e6:.2g} MB | {slope['disk_bytes']:.2f} |"
        )
        if last.unit in SCALE:
            times = SCALE[last.unit] / last["size"]
            kept = f"{times * last.disk_bytes / 1e12:.2g}"
            if slope["disk_bytes"] < 0.5:  # a run keeps predictions, however many it learns from
                kept = "no more than here"
            scaled.append(
                f"| {kind} | {SCALE[last.unit]:,.0f} {last.unit} "
                f"| {times * last.processor_seconds / YEAR:.2g} "
                f"| {kept} |"
            )
    head = "| kind of work | largest size | time | exponent of time | memory | kept "
    head += "| exponent of bytes |"
    more = "| kind of work | size | core years | TB kept |"
    line = "| --- " * 7 + "|", "| --- " * 4 + "|"
    return {
        "growth": "\n".join([head, line[0], *grown]),
        "scale": "\n".join([more, line[1], *scaled]),
    }


def write_page() -> None:
    """Tables and figure of book/scale.md, from the measured table."""
    import pandas as pd

    from dataworth.figures import curves, draw

    rows = pd.read_csv(TARGET)
    text = PAGE.read_text(encoding="utf-8")
    for name, table in tables(rows).items():
        first, last = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(first)
        text = f"{before}{first}{table}\n{last}{rest.partition(last)[2]}"
    PAGE.write_text(text, encoding="utf-8")
    kinds = dict(list(rows.groupby("kind", sort=False)))
    picture = draw(
        curves(
            {k: (p["size"], p.processor_seconds) for k, p in kinds.items()},
            "size (units of each kind)", "processor seconds",
        ),
        curves(
            {k: (p["size"], p.disk_bytes / 1e6) for k, p in kinds.items()},
            "size (units of each kind)", "kept (MB)",
        ),
        height=4,
    )  # fmt: skip
    picture.fig.savefig(
        FIGURE, metadata={"Date": None, "Creator": None}, facecolor="white", transparent=False
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--largest", type=int, default=64, help="times the smallest size")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--kinds", default=",".join(WORK))
    parser.add_argument("-o", "--output", type=Path, default=TARGET)
    parser.add_argument("--page", action="store_true", help="write book/scale.md's numbers")
    asked = parser.parse_args()
    if asked.page:
        write_page()
        return
    rows = []
    for kind in asked.kinds.split(","):
        if kind not in WORK:
            parser.error(f"--kinds has {kind!r}; it may hold {', '.join(WORK)}")
        work, factor = WORK[kind], 1
        while factor <= asked.largest:
            size = factor * work.least
            found = [alone(kind, size) for _ in range(asked.repeat)]
            took, rise, disk = (min(column) for column in zip(*found, strict=True))
            rows.append({
                "kind": kind, "unit": work.unit, "size": size, "processor_seconds": round(took, 4),
                "memory_mb": round(rise / 1e6, 1), "disk_bytes": disk,
                "operations": work.operations(size), **provenance(sum(f[0] for f in found)),
            })  # fmt: skip
            print(
                f"{kind:16} {size:>9,} {took:9.3f} s {rise / 1e6:8.1f} MB {disk:>11,} B", flush=True
            )
            factor *= 4
    with asked.output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
