"""Chapters of one profile share runs, so what they have in common must be equal."""

from itertools import combinations
from pathlib import Path

import pytest
import yaml

from dataworth.book import chapters, parameters
from dataworth.book.layout import open_layout, profiles
from dataworth.studies.synthetic_scaling import SyntheticScaling
from dataworth.studies.text import TextStudy

ROOT = Path(__file__).resolve().parents[2]
BUDGET = {"tokens", "pool_bytes"}
IMAGES = [
    "synthetic-scaling", "prompts-and-guidance", "out-of-distribution", "per-class",
    "clip-scaling", "mixing",
]  # fmt: skip
TEXT = ["data-age", "domains", "proxy-validity", "quality", "toxicity"]
SHARED = [
    (IMAGES, set(SyntheticScaling.model_fields)),
    (TEXT, set(TextStudy.model_fields) - BUDGET),
    (["domains", "proxy-validity"], BUDGET),
    (["quality", "toxicity"], BUDGET),
]


@pytest.mark.parametrize(("ids", "fields"), SHARED)
@pytest.mark.parametrize("profile", profiles(ROOT))
def test_chapters_that_share_runs_share_their_parameters(profile, ids, fields):
    layout = open_layout(profile, ROOT)
    resolved = {}
    for chapter in chapters.find(ROOT):
        notebook = chapters.read(chapter)
        header = chapters.header(chapter, notebook)
        if chapter.id in ids:
            resolved[chapter.id] = parameters.resolve(chapter, notebook, header, layout).values
    assert set(resolved) == set(ids)
    for one, other in combinations(resolved, 2):
        shared = set(resolved[one]) & set(resolved[other]) & fields
        differ = {k for k in shared if resolved[one][k] != resolved[other][k]}
        assert not differ, (one, other)


@pytest.mark.parametrize("profile", profiles(ROOT))
def test_parameter_files_name_no_field_twice(profile):
    for path in (ROOT / "params" / profile).glob("*.yaml"):
        names = [line.partition(":")[0] for line in path.read_text().splitlines() if ":" in line]
        names = [name for name in names if name and not name.startswith(("#", " ", "-"))]
        assert len(set(names)) == len(names), path
        assert isinstance(yaml.safe_load(path.read_text() or "{}"), dict | None), path
