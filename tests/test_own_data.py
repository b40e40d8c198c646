"""The recipes of book/own_data.md, run as they are written on data of the names they use."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from dataworth.cli import app
from dataworth.data import card, load_corpus
from dataworth.images.prompts import NEEDS_WORDNET

PAGE = (Path(__file__).parents[1] / "book" / "own_data.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
ADDS = [
    line.removeprefix(".venv/bin/")
    for kind, text in BLOCKS
    if kind == "bash"
    for line in text.splitlines()
    if " data add " in line
]
HUB = "someone/cats@0123abc"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with everything that the page names."""
    import datasets

    here = tmp_path_factory.mktemp("recipes")
    rng = np.random.default_rng(0)
    for name in ("arrow", "stop"):
        (here / "signs" / name).mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(here / "signs" / name / f"{i}.jpg")
    files = sorted((here / "signs").rglob("*.jpg"))
    rows = {
        "image": [{"bytes": path.read_bytes(), "path": None} for path in files],
        "label": [path.parent.name for path in files],
    }
    datasets.Dataset.from_dict(rows).to_parquet(str(here / "table.parquet"))
    texts = [" ".join(f"w{n}" for n in rng.integers(0, 999, 30)) for _ in range(12)]
    letters = [{"text": text, "date": f"{1990 + i}-05-01"} for i, text in enumerate(texts)]
    (here / "letters.jsonl").write_text("\n".join(map(json.dumps, letters)))
    for i, text in enumerate(texts):
        path = here / "archive" / ("sea" if i % 2 else "land") / str(1990 + i) / f"{i}.txt"
        path.parent.mkdir(parents=True)
        path.write_text(f"<p>{text}</p>")
    posts = [f"{text};03/04/{90 + i % 10}" for i, text in enumerate(texts)]
    (here / "posts.csv").write_text("\n".join(["post;when", *posts]))
    (said,) = (text for kind, text in BLOCKS if kind == "yaml")
    (here / "my.yaml").write_text(said)
    return here


@pytest.fixture
def added(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What every `data add` of the page prints, by its line; the hub is not asked."""
    monkeypatch.setenv("DATAWORTH_HOME", str(tmp_path))
    monkeypatch.chdir(folder)
    told = {}
    for line in ADDS:
        if HUB not in line:
            done = CliRunner().invoke(app, shlex.split(line)[1:])
            assert done.exit_code == 0, f"{line}: {done.output}"
            told[line] = done.output
    return told


def test_every_recipe_makes_its_card(added: dict[str, str]) -> None:
    assert len(ADDS) == len(added) + 1 == 7  # and the one of the hub
    assert card("signs").classes == ("arrow", "stop") and card("signs").shape == (32, 32, 3)
    assert card("tables").shape == (32, 32, 3)
    assert card("road-signs").class_words == (("arrow sign", "arrow"), ("stop sign",))
    assert card("road-signs").shape == (48, 48, 3)
    assert card("letters").years == (1990, 2001) and len(load_corpus("letters", "train")) >= 6
    archive = load_corpus("archive")
    assert card("archive").domains == ("land", "sea") and not any("<p>" in t for t in archive.texts)
    assert card("posts").years == (1990, 1999)
    assert "cropped to the middle square and resized to 32 x 32" in next(iter(added.values()))


def test_the_table_names_the_prompt_sets_that_need_wordnet() -> None:
    words = ("no", "one", "two", "three", "four", "five", "six", "seven")
    assert f"WordNet's words for {words[len(NEEDS_WORDNET)]} of its prompt sets" in PAGE
