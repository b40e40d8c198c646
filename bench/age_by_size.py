"""Temporal degradation of the loss by model size: the language models of the chapter *data_age* at
a scale of its own, without fine-tuning.

    .venv/bin/python bench/age_by_size.py [--profile gpu] [--out FILE]

Writes a row for every arm and definition to the table `measured_age_by_size.csv`,
which the chapter draws beside its own two sizes. The scale is the profile's;
with `gpu`, 54 models of 2.6 and 21 million parameters: five minutes of one H100.
Finished runs are taken from the store.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dataworth import __version__
from dataworth.book.parameters import of_chapter
from dataworth.studies.data_age import DataAge, run

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "lib" / "dataworth" / "published_data" / "measured_age_by_size.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--profile", default="gpu")
    parser.add_argument("--out", type=Path, default=TARGET)
    arguments = parser.parse_args()
    params = of_chapter("data-age", arguments.profile).model
    assert isinstance(params, DataAge)
    study = run(params, tune=False)
    table = study.by_model()
    small, large = (study.per_decade(arm) for arm in study.models)
    apart = large.minus(small)
    ends = [apart.value, apart.low, apart.high]
    table.loc[len(table)] = ["larger less smaller", None, "slices", "both sides", *ends, None, None]
    made = study.provenance()
    for name, value in (
        ("tokens", params.age_tokens),
        ("seeds", params.seeds),
        ("device", made["device"]),
        ("torch", made["torch"]),
        ("dataworth", __version__),
    ):
        table[name] = value
    table.round(6).to_csv(arguments.out, index=False)
    print(made)
    print(table[["model", "arm", "definition", "value", "low", "high", "r"]].round(4).to_string())


if __name__ == "__main__":
    main()
