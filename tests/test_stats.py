"""Intervals over seeds: what they cover, as the glossary says."""

import re
from pathlib import Path

import numpy as np
import pytest

from dataworth.stats import over_seeds

GLOSSARY = Path(__file__).parents[1] / "book" / "glossary.md"


def coverage(seeds: int, cells: int, repetitions: int = 1500, draws: int = 600) -> float:
    """Share of 95 % intervals of a mean over `cells` that hold the truth, seeds the only noise."""
    rng = np.random.default_rng([seeds, cells])
    hits = 0
    for repetition in range(repetitions):
        values = np.broadcast_to(rng.normal(size=(cells, seeds)), (draws, cells, seeds))
        means = over_seeds(values, seed=repetition).mean(1)
        low, high = np.quantile(means, [0.025, 0.975])
        hits += low <= 0 <= high
    return hits / repetitions


@pytest.fixture(scope="module")
def stated():
    """The percentages of the glossary's sentence, in its order."""
    text = " ".join(GLOSSARY.read_text().split())
    return [
        float(n)
        for n in re.findall(r"(\d+)(?= (?:of 100 repetitions )?with (?:two|three|five))", text)
    ]


@pytest.mark.parametrize(("place", "seeds", "cells"), [(0, 2, 1), (1, 3, 1), (3, 2, 6), (4, 3, 6)])
def test_the_glossary_states_the_coverage_of_few_seeds(stated, place, seeds, cells):
    assert 100 * coverage(seeds, cells) == pytest.approx(stated[place], abs=2.5)


def test_two_seeds_in_closed_form():
    """Half-width sqrt(2) |a - b| / 2 about the mean of two normals: Student's t with one degree of
    freedom below sqrt(2)."""
    assert coverage(2, 1) == pytest.approx(2 / np.pi * np.arctan(np.sqrt(2)), abs=0.03)
