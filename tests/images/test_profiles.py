"""Chapters of one profile share runs, so what they have in common must be equal."""

from pathlib import Path

import pytest
import yaml

from dataworth.book import chapters, parameters
from dataworth.book.layout import open_layout, profiles

ROOT = Path(__file__).resolve().parents[2]
MAIN = "synthetic-scaling"


@pytest.mark.parametrize("profile", profiles(ROOT))
def test_chapters_of_a_profile_share_their_parameters(profile):
    layout = open_layout(profile, ROOT)
    resolved = {}
    for chapter in chapters.find(ROOT):
        notebook = chapters.read(chapter)
        header = chapters.header(chapter, notebook)
        if chapter.docname.startswith("images/"):
            resolved[chapter.id] = parameters.resolve(chapter, notebook, header, layout).values
    main = resolved.pop(MAIN)
    assert len(resolved) == 5
    for chapter, values in resolved.items():
        shared = set(main) & set(values)
        assert {k: values[k] for k in shared} == {k: main[k] for k in shared}, chapter


@pytest.mark.parametrize("profile", profiles(ROOT))
def test_parameter_files_name_no_field_twice(profile):
    for path in (ROOT / "params" / profile).glob("*.yaml"):
        names = [line.partition(":")[0] for line in path.read_text().splitlines() if ":" in line]
        names = [name for name in names if name and not name.startswith(("#", " ", "-"))]
        assert len(set(names)) == len(names), path
        assert isinstance(yaml.safe_load(path.read_text() or "{}"), dict | None), path
