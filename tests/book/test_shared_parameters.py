"""Chapters of one profile share runs, so what they have in common must be equal."""

from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from dataworth.book import chapters, parameters
from dataworth.book.layout import profiles
from dataworth.studies.synthetic_scaling import SyntheticScaling
from dataworth.studies.text import TextStudy
from dataworth.text.count_models import ORDERS

ROOT = Path(__file__).resolve().parents[2]
BUDGET = {"tokens", "pool_bytes"}
IMAGES = [
    "synthetic-scaling", "prompts-and-guidance", "out-of-distribution", "per-class",
    "clip-scaling", "mixing",
]  # fmt: skip
TEXT = ["data-age", "domains", "proxy-validity", "quality", "toxicity"]
SHARED = [
    (IMAGES, set(SyntheticScaling.model_fields)),
    (TEXT, set(TextStudy.model_fields) - BUDGET - {"card", "seeds"}),
    (TEXT[1:], {"seeds"}),
    (["domains", "proxy-validity"], BUDGET),
    (["quality", "toxicity"], BUDGET),
]


@pytest.mark.parametrize(("ids", "fields"), SHARED)
@pytest.mark.parametrize("profile", profiles(ROOT))
def test_chapters_that_share_runs_share_their_parameters(profile, ids, fields):
    resolved = {name: parameters.of_chapter(name, profile, ROOT).values for name in ids}
    for one, other in combinations(resolved, 2):
        if any(resolved[name].get("model") in ORDERS for name in (one, other)):
            continue  # counts share no run with language models
        models = {resolved[name].get("model") for name in (one, other)}
        if "proxy-validity" in (one, other) and len(models) > 1:
            continue  # where it ranks by models of its own, it shares no run
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


def test_a_value_has_one_home():
    """Every file is a chapter's or a part's and says only what would not hold without it; what a
    part shares decides the values of several chapters; the profile `quick` has no files."""
    found = chapters.find(ROOT)
    cells = {c: parameters.cell_defaults(c, chapters.read(c)) for c in found}
    parts = {f"_{c.source.parent.name}" for c in found}
    for folder in (ROOT / "params").iterdir():
        given = {p.stem: yaml.safe_load(p.read_text()) or {} for p in folder.glob("*.yaml")}
        assert folder.name != "quick" and set(given) - parts == {c.stem for c in found}
        deciding: Counter[tuple[str, str]] = Counter()
        for chapter, cell in cells.items():
            part = f"_{chapter.source.parent.name}"
            shared, own = given.get(part, {}), given[chapter.stem]
            without = cell | {k: v for k, v in shared.items() if k in cell}
            assert not [name for name in own if own[name] == without[name]], (folder, chapter)
            deciding.update((part, k) for k in set(shared) & set(cell) - set(own))
        of_parts = {(part, name) for part in parts for name in given.get(part, {})}
        assert of_parts == {place for place, count in deciding.items() if count > 1}, folder
