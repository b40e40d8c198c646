"""Published numbers, once: every row with its source, its place in the source and a confidence.

Confidence labels: `primary` (text, code, table or figure of the paper itself), `digitised` (read
off a published figure) and `third-party` (quoted or transcribed by someone else). Numbers that are
only remembered are not in the table.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

import pandas as pd

from dataworth.errors import UserError

CONFIDENCE = ("primary", "digitised", "third-party")
COLUMNS = (
    "paper", "table_or_figure", "setting", "x", "x_unit", "metric", "y", "source", "confidence",
)  # fmt: skip


@cache
def _points() -> pd.DataFrame:
    path = files("dataworth").joinpath("published_data", "points.csv")
    with path.open(encoding="utf-8") as stream:
        return pd.read_csv(stream)


def table(
    paper: str | None = None, metric: str | None = None, setting: str | None = None
) -> pd.DataFrame:
    """Rows of the published table whose columns contain the given texts (case ignored).

    Columns: `paper, table_or_figure, setting, x, x_unit, metric, y, source, confidence`; `x` is in
    `x_unit` and `y` in the unit that `metric` names.

    Raises:
        UserError: no row matches; the sentence lists the values that exist.
    """
    rows = _points()
    for column, text in (("paper", paper), ("metric", metric), ("setting", setting)):
        if text is None:
            continue
        keep = rows[column].str.contains(text, case=False, regex=False, na=False)
        if not keep.any():
            known = "; ".join(sorted(rows[column].dropna().unique())[:20])
            raise UserError(f"No published row has a {column} with {text!r}; known are: {known}.")
        rows = rows[keep]
    return rows.reset_index(drop=True)


def fan_exponents() -> pd.DataFrame:
    """Scaling exponents k of Fan et al. 2024 (arXiv 2312.04567), loss proportional to D**-k.

    Digitised (+-0.002) from the headline figure "Scaling Ability". Columns: `training_source`
    (such as "real" or "SD, CLIP templates"), `evaluation_set` (such as "ImageNet val"), `k`, and
    `model` ("supervised ViT-B", fitted on 0.125M to 4M images, or "CLIP ViT-B/16").
    """
    rows = table(paper="Fan et al. 2024", metric="k (loss exponent)")
    parts = rows["setting"].str.extract(r"^(?P<model>supervised ViT-B|CLIP ViT-B/16), (?P<s>.*)$")
    source = parts["s"].map(lambda text: re.sub(r", (loss fit range|CFG).*$", "", text))
    return pd.DataFrame(
        {
            "training_source": source,
            "evaluation_set": rows["metric"].str.replace("k (loss exponent), ", "", regex=False),
            "k": rows["y"],
            "model": parts["model"],
        }
    )


def measured(name: str) -> pd.DataFrame:
    """A table that one of this project's benches measured: coverage, extrapolation or exchange.

    Each row names the version and the seed it was measured with; `bench/` has the scripts.

    Raises:
        UserError: no such table.
    """
    path = files("dataworth").joinpath("published_data", f"measured_{name}.csv")
    if not path.is_file():
        raise UserError(f"There is no measured table {name!r}; coverage, extrapolation, exchange.")
    with path.open(encoding="utf-8") as stream:
        return pd.read_csv(stream)
