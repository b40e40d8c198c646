"""Extrapolation on the 92 public curves of Alabdulmohsin et al. 2022 (arXiv 2209.06640).

Needs their benchmark.vision.csv and benchmark.lang.csv in `alabdulmohsin/` of the folder that
DATAWORTH_SCALING_DATA names. Each curve: `dataworth.fit.forecast` on the training rows, RMSLE on
the test rows; means over the curves of each domain, beside the authors' M1, M3 and M4. Beside
them, how many of the test rows lie in the 95 % interval of a new run that is right if the law is
(`covered_fit`), and in that of `Forecast.predict`, whose factors come from other curves. Writes
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
from provenance import provenance

from dataworth.fit import forecast
from dataworth.fit.extrapolate import spread
from dataworth.fit.minimum import student_quantile
from dataworth.paths import project_root

OUT = Path(__file__).parents[1] / "lib/dataworth/published_data/measured_extrapolation.csv"

# The authors' code, mean over curves. M4: their algorithm and settings, its inner loops in C, all
# of its 10,000 iterations (on 88 of 92 curves it meets its stopping rule before).
REFERENCE = {
    "M1": {"IC": 0.10459, "NMT": 0.22173, "LM": 0.01397, "BB": 0.01481},
    "M3": {"IC": 0.06151, "NMT": 0.04709, "LM": 0.00227, "BB": 0.00870},
    "M4": {"IC": 0.04152, "NMT": 0.02082, "LM": 0.00094, "BB": 0.01226},
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
    start = time.process_time()
    found = []
    for (domain, _, _), one in rows.groupby(["Domain", "Task", "Model"], sort=False):
        train, test = one[one["Training"] == 1], one[one["Training"] == 0]
        chosen = forecast(train, x="Seen Examples", y="Loss")
        x, y = test["Seen Examples"].to_numpy(float), test["Loss"].to_numpy()
        error = np.log(chosen.fit.mean(x)) - np.log(y)
        sigma, dof = spread(chosen.fit, x[:, None])
        allowed = chosen.predict(x)
        found.append({
            "domain": domain, "ours": np.sqrt(np.mean(error**2)),
            "covered_fit": (np.abs(error) <= student_quantile(0.95, dof) * sigma).mean(),
            "covered": ((allowed.low <= y) & (y <= allowed.high)).mean(),
            "half_width": np.median(np.log(allowed.high / allowed.mean)),
        })  # fmt: skip
    table = pd.DataFrame(found).groupby("domain")
    means = table.mean()
    record = {
        "curves": len(found),
        "seconds": time.process_time() - start,
        "means": means.round(5).to_dict(),
        "reference": REFERENCE,
        "below_m4": {d: bool(means.ours[d] < REFERENCE["M4"][d]) for d in means.index},
    }
    print(json.dumps(record, indent=1))
    rows_out = [
        {"domain": d, "curves": int(table.size()[d]), **means.loc[d].to_dict(),
         **{name: of[d] for name, of in REFERENCE.items()},
         **provenance(time.process_time() - start)}
        for d in REFERENCE["M3"]
    ]  # fmt: skip
    pd.DataFrame(rows_out).to_csv(OUT, index=False, float_format="%.5f")
    return 0


if __name__ == "__main__":
    sys.exit(main())
