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
MEASURED = (
    "coverage", "exchange", "extrapolation", "flags", "growth", "lcdb", "seed_coverage", "seeds",
)  # fmt: skip
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


def azizi_totals() -> pd.DataFrame:
    """ResNet-50 on ImageNet's 1.2 million images and growing numbers of synthetic ones.

    Azizi et al. 2023 (arXiv 2304.08466), Table 4. Columns: `pixels` (256 or 1024; 0 for the real
    images alone), `total` (real and synthetic images), `top1` (percent) and its standard deviation
    over runs, `sd`; ordered by them.
    """
    rows = table(paper="Azizi et al. 2023", setting="ResNet-50, ")
    rows = rows[rows["table_or_figure"] == "Table 4"]
    found = pd.DataFrame(
        {
            "pixels": rows["setting"]
            .str.extract(r"at (\d+)px")[0]
            .astype(float)
            .fillna(0)
            .astype(int),
            "total": rows["x"],
            "top1": rows["y"],
            "sd": rows["setting"].str.extract(r"\(\+-([\d.]+)\)")[0].astype(float),
        }
    )
    return found.sort_values(["pixels", "total"], ignore_index=True)


def azizi_mixing() -> pd.DataFrame:
    """ImageNet's training set with growing numbers of synthetic images beside it, ResNet-50.

    Azizi et al. 2023 (arXiv 2304.08466), Table 4 (256 and 1024 pixels) and Figure 6 (64 pixels, a
    gain over a baseline of about 68.6 %). Columns: `pixels`, `ratio` (synthetic images per real
    image), `top1` (percent) and `relative_error` (error divided by that of real images alone).
    """
    sums = azizi_totals()
    real = sums[sums["pixels"] == 0].iloc[0]
    added = sums[sums["pixels"] > 0]
    large = pd.DataFrame(
        {
            "pixels": added["pixels"],
            "ratio": added["total"] / real["total"] - 1,
            "top1": added["top1"],
            "relative_error": (100 - added["top1"]) / (100 - real["top1"]),
        }
    )
    gains = table(paper="Azizi et al. 2023", setting="ResNet-50, real + synthetic at 64px")
    baseline = gains["setting"].str.extract(r"about ([\d.]+)")[0].astype(float)
    small = pd.DataFrame(
        {
            "pixels": 64,
            "ratio": gains["x"] / real["total"],
            "top1": baseline + gains["y"],
            "relative_error": 1 - gains["y"] / (100 - baseline),
        }
    )
    return pd.concat([small, large]).sort_values(["pixels", "ratio"], ignore_index=True)


def shifted_accuracy() -> pd.DataFrame:
    """Top-1 of ImageNet-1k classifiers on ImageNet and its shifted sets, from Table 1 of
    Askari-Hemmat et al. 2025 (arXiv 2502.15588; two of its rows quote Fan et al. 2024).

    Columns: `training_source` ("real, 1.3M", "Fan et al., 2M", "Fan et al., 64M",
    "deliberate practice, 9.1M"), `evaluation_set` (such as "ImageNet-V2") and `top1` in percent.
    """
    rows = table(metric="top-1 %, ImageNet")
    rows = rows[rows["table_or_figure"] == "Table 1 of arXiv 2502.15588"]
    names = {
        ("real ImageNet-1k", 1.3e6): "real, 1.3M",
        ("supervised, SD class names", 2e6): "Fan et al., 2M",
        ("supervised, SD class names", 64e6): "Fan et al., 64M",
        ("deliberate practice", 9.1e6): "deliberate practice, 9.1M",
    }
    found = []
    for (setting, images), name in names.items():
        keep = rows["setting"].str.startswith(setting) & (rows["x"] == images)
        keep &= ~rows["metric"].str.contains("ImageNet-100")
        found.append(rows[keep].assign(training_source=name))
    chosen = pd.concat(found, ignore_index=True)
    return pd.DataFrame(
        {
            "training_source": chosen["training_source"],
            "evaluation_set": chosen["metric"].str.replace("top-1 %, ", "", regex=False),
            "top1": chosen["y"],
        }
    )


def practice_curves() -> pd.DataFrame:
    """Error of classifiers trained on synthetic images that were sampled in advance ("static") or
    for the current classifier ("deliberate practice").

    Askari-Hemmat et al. 2025 (arXiv 2502.15588), Tables 5 (ImageNet-1k) and 4 (ImageNet-100).
    Columns: `data_set`, `sampling`, `images` and the top-1 `error` (0 to 1), ordered by them.
    """
    rows = table(paper="2502.15588", metric="val")
    rows = rows[rows["table_or_figure"].isin(("Table 4", "Table 5"))]
    static = rows["setting"].str.startswith("static")
    found = pd.DataFrame(
        {
            "data_set": rows["table_or_figure"].map(
                {"Table 5": "ImageNet-1k", "Table 4": "ImageNet-100"}
            ),
            "sampling": static.map({True: "static", False: "deliberate practice"}),
            "images": rows["x"].astype(int),
            "error": 1 - rows["y"] / 100,
        }
    )
    return found.sort_values(["data_set", "sampling", "images"], ascending=[False, False, True])


MODEL_DOMAINS = ("wiki", "web", "books", "dialog", "code", "academic")
"""Domains of Table 1 of Longpre et al. 2023, as columns of `model_domains`."""


def model_domains() -> pd.DataFrame:
    """What 17 known language models were pretrained on: Table 1 of Longpre et al. 2023 (arXiv
    2305.13169), as lecture slides print it (third-party), in the order of the table.

    Columns: `model`; the `MODEL_DOMAINS`, in percent (`<1` where printed so); `pile` and `c4`,
    whether the corpus is part of it (yes, part, no); `multilingual` in percent; `tox_filter` and
    `quality_filter`, H heuristic, C classifier; `public`, whether the data are; `year`. All are
    strings as printed, empty where the table is blank. The slides show the table three
    times: marks of a toxicity filter stand in one copy only, and the quality mark of Chinchilla and
    BLOOM is C in that copy and H in the other two (`H/C` here).
    """
    path = files("dataworth").joinpath("published_data", "model_domains.csv")
    with path.open(encoding="utf-8") as stream:
        return pd.read_csv(stream, dtype=str, keep_default_na=False)


def model_shares() -> pd.DataFrame:
    """The domains of `model_domains` as percentages, (17, 6) float, index `model`; 0 where blank,
    0.5 where printed as below 1. Rows add to 99-101, but Chinchilla's to 80 as printed."""
    table = model_domains().set_index("model")[list(MODEL_DOMAINS)]
    return table.replace({"": "0", "<1": "0.5"}).astype(float)


def temporal_degradation() -> pd.DataFrame:
    """Loss of score for one year between training and evaluation: Table 2 of Longpre et al. 2023
    (arXiv 2305.13169), means over five tasks, as course notes quote it (third-party).

    Columns: `model` ("LM-Small", "LM-XL"), `parameters`, `of` ("pretraining", "fine-tuning"),
    `value` (points of score per year), and `r`, Pearson's, for pretraining (NaN for fine-tuning).
    """
    rows = table(paper="Longpre et al. 2023")
    rows = rows[rows["table_or_figure"] == "Table 2"]
    r = rows[rows["metric"].str.startswith("Pearson r")].set_index("setting")["y"]
    found = rows[rows["metric"].str.contains("-to-evaluation TD, mean")].reset_index(drop=True)
    of = found["metric"].str.extract(r"^(pretraining|finetuning)")[0]
    of = of.replace({"finetuning": "fine-tuning"})
    return pd.DataFrame(
        {
            "model": found["setting"],
            "parameters": found["x"],
            "of": of,
            "value": found["y"],
            "r": found["setting"].map(r).where(of == "pretraining"),
        }
    )


def domain_drops() -> pd.DataFrame:
    """The Pile without one of its nine groups of sources, LM-XL (1.5B) against the full Pile:
    Figure 8 and Table 3 of Longpre et al. 2023 (arXiv 2305.13169; third-party transcription).

    Index `group` (such as "CC"). Columns: `removed`, percent of the data; the change of the score
    in seven categories of question answering ("Wiki" ... "Contrast Sets") and their printed
    `average`; `toxicity identification` and `toxic generation` (higher is worse).
    """
    rows = table(paper="Longpre", setting="the Pile without")
    group = rows["setting"].str.extract(r"without (.+), LM-XL")[0]
    metric = rows["metric"].str.replace("QA score change vs full Pile, ", "", regex=False)
    metric = metric.str.replace(" change vs full Pile", "", regex=False)
    found = rows.assign(group=group, metric=metric).pivot(
        index="group", columns="metric", values="y"
    )
    found = found[list(dict.fromkeys(metric))].rename_axis(columns=None)
    removed = (100 - rows.groupby(group)["x"].first()).round(1)
    found.insert(0, "removed", removed)
    return found.sort_values("removed")


def proxy_agreement() -> pd.DataFrame:
    """How often small models put two data sets in the order in which larger ones put them.

    Columns: `study`, `setting`, `agreement` (share of pairs in the same order) and `measure`
    (what the models were evaluated on).
    """
    rows = table(metric="pairs of data sets in the same order")
    return pd.DataFrame(
        {
            "study": rows["paper"].str.replace(r" \(arXiv.*", "", regex=True),
            "setting": rows["setting"],
            "agreement": rows["y"],
            "measure": rows["metric"].str.extract(r"by (.+)$")[0],
        }
    )


def longpre_filters(score: str) -> pd.DataFrame:
    """Question answering after filtering C4 by "quality" or "toxicity", 1.5 billion parameters.

    Longpre et al. 2023 (arXiv 2305.13169), Figure 6 (quality; few of its cells are known) and
    Figure 7 (toxicity, complete), as transcribed by others. Columns: `filter` (such as "T=0.9",
    "inverse T=0.5", "full data set"), `inverse` (bool), `kept` (percent of the documents' text),
    `category` (such as "Books", "average") and `change` of the score from the unfiltered set.
    """
    rows = table(paper="Longpre et al. 2023", setting=f"C4 {score} filter, ")
    name = rows["setting"].str.extract(r"filter, (.*), LM-XL$")[0]
    return pd.DataFrame(
        {
            "filter": name,
            "inverse": name.str.startswith("inverse"),
            "kept": rows["x"],
            "category": rows["metric"].str.extract(r", ([^,]+)$")[0],
            "change": rows["y"],
        }
    )


def measured(name: str) -> pd.DataFrame:
    """A table that one of this project's benches measured, by a name of `MEASURED`.

    Each row names the version it was measured with; `bench/` has the scripts.

    Raises:
        UserError: no such table.
    """
    path = files("dataworth").joinpath("published_data", f"measured_{name}.csv")
    if name not in MEASURED:
        raise UserError(f"There is no measured table {name!r}; {', '.join(MEASURED)}.")
    with path.open(encoding="utf-8") as stream:
        return pd.read_csv(stream)
