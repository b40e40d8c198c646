"""Extrapolation on the 92 public curves of Alabdulmohsin et al. 2022 (arXiv 2209.06640).

Needs their benchmark.vision.csv and benchmark.lang.csv in `alabdulmohsin/` of the folder that
DATAWORTH_SCALING_DATA names. Each curve: `dataworth.fit.forecast` on the training rows, RMSLE on
the test rows; means over the curves of each domain, beside the authors' M1 and M3. Writes
lib/dataworth/published_data/measured_extrapolation.csv.

    OMP_NUM_THREADS=1 python bench/fit_extrapolation.py
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from dataworth import __version__
from dataworth.fit import forecast
from dataworth.paths import project_root

OUT = Path(__file__).parents[1] / "lib/dataworth/published_data/measured_extrapolation.csv"

REFERENCE = {  # the authors' code, mean over curves
    "M1": {"IC": 0.10459, "NMT": 0.22173, "LM": 0.01397, "BB": 0.01481},
    "M3": {"IC": 0.06151, "NMT": 0.04709, "LM": 0.00227, "BB": 0.00870},
}


def main() -> int:
    root = project_root()
    default = root.parent / "shared" / "data" / "scaling" if root else Path()
    folder = Path(os.environ.get("DATAWORTH_SCALING_DATA", default)) / "alabdulmohsin"
    if not folder.is_dir():
        print("no public curves: set DATAWORTH_SCALING_DATA to their folder", file=sys.stderr)
        return 2
    tables = [pd.read_csv(folder / f"benchmark.{part}.csv") for part in ("vision", "lang")]
    rows = pd.concat(tables).drop_duplicates()  # every LM row is there four times
    start = time.perf_counter()
    found = []
    for (domain, _, _), one in rows.groupby(["Domain", "Task", "Model"], sort=False):
        train, test = one[one["Training"] == 1], one[one["Training"] == 0]
        chosen = forecast(train, x="Seen Examples", y="Loss")
        error = np.log(chosen.fit.mean(test["Seen Examples"])) - np.log(test["Loss"].to_numpy())
        found.append((domain, float(np.sqrt(np.mean(error**2)))))
    table = pd.DataFrame(found, columns=["domain", "rmsle"]).groupby("domain")["rmsle"]
    means = table.mean()
    record = {
        "curves": len(found),
        "seconds": time.perf_counter() - start,
        "rmsle": means.round(5).to_dict(),
        "reference": REFERENCE,
        "below_m3": {d: bool(means[d] < REFERENCE["M3"][d]) for d in means.index},
    }
    print(json.dumps(record, indent=1))
    rows_out = [
        {"domain": d, "curves": int(table.size()[d]), "ours": means[d], "M1": REFERENCE["M1"][d],
         "M3": REFERENCE["M3"][d], "dataworth": __version__, "numpy": np.__version__}
        for d in REFERENCE["M3"]
    ]  # fmt: skip
    pd.DataFrame(rows_out).to_csv(OUT, index=False, float_format="%.5f")
    return 0


if __name__ == "__main__":
    sys.exit(main())
