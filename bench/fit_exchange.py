"""Synthetic images per extra real image from Mikami et al. 2021 (arXiv 2108.11018).

Needs grid_r50_imagenet_mulclass.csv in `mikami_syn2real/` of the folder that
DATAWORTH_SCALING_DATA names (derived from pfnet-research/cg-transfer). ResNet-50, pre-trained on s
rendered images, fine-tuned on n real ImageNet images: the error is mapped back through the
real-only curve (s = 0), once by interpolating error linearly in log n and once by a fitted M4
with its interval. Writes lib/dataworth/published_data/measured_exchange.csv.

    python bench/fit_exchange.py
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from dataworth import __version__
from dataworth.fit import fit, worth
from dataworth.paths import project_root

OUT = Path(__file__).parents[1] / "lib/dataworth/published_data/measured_exchange.csv"


def main() -> int:
    root = project_root()
    default = root.parent / "shared" / "data" / "scaling" if root else Path()
    path = Path(os.environ.get("DATAWORTH_SCALING_DATA", default)) / "mikami_syn2real"
    path = path / "grid_r50_imagenet_mulclass.csv"
    if not path.is_file():
        print("no public curves: set DATAWORTH_SCALING_DATA to their folder", file=sys.stderr)
        return 2
    grid = pd.read_csv(path).pivot(index="n_real", columns="pretrain.data", values="err")
    n = grid.index.to_numpy(float)
    real = fit({"n": n, "err": grid[0].to_numpy()}, law="m4", x="n", y="err")
    rows = []
    for synthetic in (16000, 64000):
        for i, size in enumerate(n):
            error = float(grid[synthetic].iloc[i])
            extra = np.exp(np.interp(-error, -grid[0], np.log(n))) - size
            beyond = error < grid[0].min()  # below every real-only error: nothing to interpolate
            ours = worth(real, size, error, synthetic)
            rows.append({
                "synthetic": synthetic, "real": int(size),
                "interpolated": np.nan if beyond or extra <= 0 else synthetic / extra,
                "fitted": ours.ratio.value, "low": ours.ratio.low, "high": ours.ratio.high,
                "case": ours.case, "dataworth": __version__, "numpy": np.__version__,
            })  # fmt: skip
    table = pd.DataFrame(rows)
    table.to_csv(OUT, index=False, float_format="%.5g")
    print(table.to_string())
    return 0


if __name__ == "__main__":
    sys.exit(main())
