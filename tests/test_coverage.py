"""What intervals over seeds, examples and documents cover: a short form of `bench/coverage.py`, and
the table that it wrote."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from dataworth import published
from dataworth.fit.extrapolate import FACTORS

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("bench_coverage", ROOT / "bench" / "coverage.py")
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)

SHORT = {
    ("simulated", "images", 2): 400,
    ("simulated", "images, arms differ", 3): 300,
    ("simulated", bench.PAIRED, 3): 400,
    ("simulated", "texts, clustered documents", 3): 250,
    ("measured", "language model, loss", 3): 300,
}


@pytest.mark.parametrize("design", SHORT, ids=lambda design: " ".join(map(str, design)))
def test_intervals_cover_what_they_promise(design):
    """Of all quantities of a design together 93 to 98 %, of each within chance of that."""
    found = bench.coverage(bench.designs()[design], SHORT[design], seed=1)["coverage"]
    assert 0.93 <= found.mean() <= 0.98
    slack = 3 * np.sqrt(0.05 / SHORT[design])
    assert (found > 0.93 - slack).all() and (found < 0.98 + slack).all()


def test_the_table_holds_what_the_glossary_says():
    """The ranges of the glossary are those of the table, rounded outwards; and the table is of the
    designs that the bench has."""
    table = published.measured("seed_coverage")
    keys = set(table[["noise", "design", "seeds"]].itertuples(index=False, name=None))
    assert keys == set(bench.designs())
    text = " ".join((ROOT / "book" / "glossary.md").read_text(encoding="utf-8").split())
    stated = re.search(
        r"cover the truth in (\d+) to (\d+) of 100 repetitions that we simulated, and in (\d+) to "
        r"(\d+) of those drawn from real runs",
        text,
    )
    for noise, at in (("simulated", 1), ("measured", 3)):
        covered = 100 * table.loc[table["noise"] == noise, "coverage"]
        low, high = (int(stated.group(i)) for i in (at, at + 1))
        assert (low, high) == (np.floor(covered.min()), np.ceil(covered.max()))


def test_seeds_of_every_kind_are_in_the_table():
    table = published.measured("seeds")
    assert set(table["kind"]) == {"classifier", "CLIP", "language model"}
    assert (table.groupby(["kind", "arm", "size", "evaluation"])["seed"].nunique() >= 24).all()


def test_forecasts_use_the_factors_of_the_table_and_the_glossary_its_numbers():
    table = published.measured("lcdb")
    for law, of_law in table.groupby("law"):
        assert set(of_law["factor"]) == {FACTORS[law][0.95]}
    assert set(table["law"]) == set(FACTORS)
    text = " ".join((ROOT / "book" / "glossary.md").read_text(encoding="utf-8").split())
    stated = re.search(
        r"intervals of fitted laws hold (\d+) to (\d+) of 100, those that allow for a wrong law "
        r"(\d+) to (\d+)",
        text,
    )
    nearest = table[table["distance"] == table["distance"].iloc[0]]
    for kind, at in (("fit", 1), ("curves", 3)):
        covered = 100 * nearest.loc[nearest["interval"] == kind, "coverage"]
        low, high = (int(stated.group(i)) for i in (at, at + 1))
        assert (low, high) == (np.floor(covered.min()), np.ceil(covered.max()))


def test_the_table_of_flags_keeps_its_promise():
    """Recall of 95 % at least and false alarms of 5 % at most, up to two standard errors."""
    table = published.measured("flags")
    slack = 2 * table["standard_error"]
    recall = table["quantity"] == "recall"
    assert (table["fraction"] + slack >= 0.95)[recall].all()
    assert (table["fraction"] - slack <= 0.05)[~recall].all()
