"""The recipes of book/own_data.md, run as they are written on data of the names they use."""

from __future__ import annotations

import json
import re
import shlex
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from dataworth.book import parameters
from dataworth.cli import app
from dataworth.data import card, load_corpus
from dataworth.images.prompts import NEEDS_WORDNET
from dataworth.text.own_scorers import own_scorer

PAGE = (Path(__file__).parents[1] / "book" / "own_data.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
LINES = [
    line.removeprefix(".venv/bin/")
    for kind, text in BLOCKS
    if kind == "bash"
    for line in text.splitlines()
]
ADDS = [line for line in LINES if " data add " in line]
RUNS = [x for x in LINES if x.startswith("dataworth run ") and "--hub" not in x]
VERDICTS = [line for line in LINES if line.startswith("dataworth verdict ")]
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
    letters = [
        {"text": "dear friend " + " ".join(f"w{n}" for n in rng.integers(0, 999, 200)),
         "date": f"{1990 + i // 12}-05-01", "domain": "abc"[i % 3], "author": f"author {i // 4}"}
        for i in range(240)
    ]  # fmt: skip
    (here / "letters.jsonl").write_text("\n".join(map(json.dumps, letters)))
    for i, text in enumerate(texts):
        path = here / "archive" / ("sea" if i % 2 else "land") / str(1990 + i) / f"{i}.txt"
        path.parent.mkdir(parents=True)
        path.write_text(f"<p>{text}</p>")
    posts = [f"{text};03/04/{90 + i % 10}" for i, text in enumerate(texts)]
    (here / "posts.csv").write_text("\n".join(["post;when", *posts]))
    for kind, text in BLOCKS:
        if name := re.match(r"# ([\w.]+)\n", text):
            assert kind in ("yaml", "python")
            (here / name[1]).write_text(text)
    (here / "unwanted.txt").write_text("w1\\d\n")
    rows = [
        (source, n, seed, floor + 6 * n**-slope * (1 + 0.01 * rng.standard_normal()))
        for source, floor, slope in (("real", 0.2, 0.4), ("synthetic", 0.5, 0.25))
        for n in (100, 300, 1000, 3000, 10_000)
        for seed in range(2)
    ]
    table = ["source,n,seed,loss", *(f"{s},{n},{seed},{loss:.5f}" for s, n, seed, loss in rows)]
    (here / "runs.csv").write_text("\n".join(table))
    (here / "logits").mkdir()
    for source, n, seed, loss in rows:  # two classes, all alike: the loss is that of the margin
        logits = np.zeros((50, 2))
        logits[:, 1] = np.log(np.expm1(loss))
        where = here / "logits" / f"{source}-{n}-{seed}.npz"
        np.savez(where, logits=logits, labels=np.zeros(50, int))
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
    assert card("letters").years == (1990, 2009) and len(load_corpus("letters", "train")) >= 150
    assert card("letters").domains == ("a", "b", "c") and card("letters").labels == ("author",)
    archive = load_corpus("archive")
    assert card("archive").domains == ("land", "sea") and not any("<p>" in t for t in archive.texts)
    assert card("posts").years == (1990, 1999)
    told = next(text for line, text in added.items() if "letters.jsonl" in line)
    for chapter in ("data-age", "domains", "quality", "toxicity"):
        assert f"next: dataworth run {chapter} --profile smoke -p card=letters --page" in told
    assert "cropped to the middle square and resized to 32 x 32" in next(iter(added.values()))


def test_every_run_of_the_page_finds_what_it_needs(
    added: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything but the computing itself (`tests/text/test_own_card.py` has that), and the
    classifier's folder, which takes long to make (`tests/text/test_own_scorers.py`)."""
    assert len(RUNS) == 9
    for line in RUNS:
        words = shlex.split(line)
        given = [b for a, b in pairwise(words) if a == "-p"]
        overrides = dict(parameters.parse_override(text) for text in given)
        if "hf:judge" in line:
            overrides["scorer"] = "bad-words"
        found = parameters.of_chapter(words[2], "smoke", None, overrides).model
        assert found.card in ("signs", "letters")
        if found.card == "letters":
            found.preflight()
        if "my_scorer" in line:
            assert found.scorer == f"python:{folder}/my_scorer.py:Plain"
            assert own_scorer(found.scorer).score(["ab abcd", "a"]).tolist() == [-3, -1]


@pytest.mark.parametrize("line", VERDICTS)
def test_the_verdicts_of_the_page(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(app, [*shlex.split(line)[1:], "--bootstrap", "200"])
    assert done.exit_code == 0, done.output
    assert "falls-more-slowly: supported" in done.output and "2 claims: 2 supported" in done.output
    if "--plot" in line:
        assert (folder / "curves.svg").stat().st_size > 10_000


def test_the_table_names_the_prompt_sets_that_need_wordnet() -> None:
    words = ("no", "one", "two", "three", "four", "five", "six", "seven")
    assert f"WordNet's words for {words[len(NEEDS_WORDNET)]} of its prompt sets" in PAGE
