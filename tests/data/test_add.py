"""From a user's own data to a card that every command knows, and nothing where that fails."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from dataworth.cli import app
from dataworth.data import add as adding
from dataworth.data import card, cards, fetch, load_corpus, load_images, own_sources
from dataworth.data import store as data_store
from dataworth.data.catalog import keys_of, own_folder
from dataworth.errors import UserError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DATAWORTH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def signs(tmp_path: Path) -> Path:
    """Two classes of ten 8 x 8 images of noise."""
    rng = np.random.default_rng(0)
    for label in ("arrow", "n02979186"):
        (tmp_path / "signs" / label).mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "signs" / label / f"{i}.png")
    return tmp_path / "signs"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    rows = [
        {"text": " ".join(f"w{n}" for n in rng.integers(0, 999, 40)), "year": 1990 + i}
        for i in range(20)
    ]
    path = tmp_path / "letters.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def listing(folder: Path) -> list[tuple[str, int]]:
    return [(str(p), p.stat().st_mtime_ns) for p in sorted(folder.rglob("*"))]


def test_images_become_a_card_beside_the_shipped_ones(signs: Path) -> None:
    before = listing(signs)
    added = adding.add(adding.request({"images": str(signs), "words": {"arrow": "arrow sign"}}))
    assert listing(signs) == before  # nothing of the user's is changed
    assert card("signs") == added.card and "signs" in [c.id for c in cards()]
    assert added.card.class_words == (("arrow sign",), ("cassette player",))
    assert added.card.split_names == ("test", "generator_pool", "validation", "classifier_pool")
    parts = [load_images("signs", split) for split in added.card.split_names]
    assert sum(map(len, parts)) == 20 and parts[0].images.shape[1:] == (8, 8, 3)
    ids = np.concatenate([part.ids for part in parts])
    assert len(np.unique(ids)) == 20  # no image stands in two splits


def test_a_card_is_made_again_from_its_source_and_checked(signs: Path, home: Path) -> None:
    added = adding.add(adding.request({"images": str(signs)}))
    first = load_images("signs", "test").images.copy()
    added.folder.rename(home / "lost")
    np.testing.assert_array_equal(load_images("signs", "test").images, first)
    fetch("signs").rename(home / "lost-again")
    (signs / "arrow" / "0.png").unlink()
    with pytest.raises(UserError, match="no longer the data that were added: add them again"):
        fetch("signs")
    assert adding.add(adding.request({"images": str(signs)})).replaced
    assert len(card("signs").classes) == 2


def test_documents_become_a_card(corpus: Path) -> None:
    added = adding.add(adding.request({"text": str(corpus), "id": "old-letters"}))
    assert added.card.years == (1990, 2009) and added.card.domains == ("old-letters",)
    splits = [load_corpus("old-letters", s) for s in ("train", "validation", "test")]
    assert sum(map(len, splits)) == len(load_corpus("old-letters")) == 20
    assert min(map(len, splits)) >= 1


def test_a_yaml_file_says_the_same_as_options(signs: Path, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("images: signs\nid: mine\ngrey: true\nimage_size: 12\n")
    made = adding.add(adding.request({}, tmp_path / "my.yaml")).card
    assert made.id == "mine" and made.shape == (12, 12)
    other = adding.add(adding.request({"images": str(signs), "grey": True, "image_size": 12}))
    assert other.card.content_sha256 == made.content_sha256


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("imagess: x\n", "imagess is no field of a card; .* Did you mean 'images'?"),
        ("images: x\ntext: y\n", "name either images or text"),
        ("images: signs\nimage_size: 13\n", "'image_size' is 13: .* multiple of 4"),
        ("images: signs\nid: A B\n", "id: 'A B' must be small letters, digits and hyphens"),
        ("images: signs\nid: fashion-mnist\n", "id: 'fashion-mnist' is a card of the package"),
        ("text: signs.txt\nundated: maybe\n", "'undated' is 'maybe': .*'keep' or 'drop'"),
        ("- images\n", "must be fields with values"),
    ],
)
def test_what_a_yaml_file_may_not_say(signs: Path, tmp_path: Path, said: str, words: str) -> None:
    (tmp_path / "my.yaml").write_text(said)
    with pytest.raises(UserError, match=words):
        adding.add(adding.request({}, tmp_path / "my.yaml"))
    assert not own_folder().exists()


def test_only_a_card_that_is_named_as_a_value_is_in_a_key(signs: Path) -> None:
    """A card called as some word of the package's code (`test`) moves no key of other runs."""
    before = keys_of({"fashion-mnist", "test"}, {"sotu"})
    adding.add(adding.request({"images": str(signs), "id": "test"}))
    assert keys_of({"fashion-mnist", "test"}, {"sotu"}) == before
    key = keys_of({"fashion-mnist"}, {"test"})["test"]
    adding.add(adding.request({"images": str(signs), "id": "test", "grey": True}))
    assert keys_of((), {"test"})["test"] != key


def test_a_damaged_card_hinders_its_own_users_alone(signs: Path) -> None:
    path = adding.add(adding.request({"images": str(signs)})).path
    path.write_text("modality: image\nclasses: [a")
    assert "fashion-mnist" in [c.id for c in cards()] and "signs" not in [c.id for c in cards()]
    with pytest.raises(UserError, match=r"signs.yaml does not read .*add the data again"):
        card("signs")


def test_a_full_disk_leaves_nothing_behind(
    signs: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> list[Path]:
        raise OSError(errno.ENOSPC, "No space left on device")

    kept = adding.add(adding.request({"images": str(signs), "id": "kept"}))
    monkeypatch.setattr(data_store, "write_parquet", full)
    with pytest.raises(UserError, match="the disk is full"):
        adding.add(adding.request({"images": str(signs), "id": "lost", "grey": True}))
    assert list(own_folder().iterdir()) == [kept.path]
    assert [p.name for p in (home / "data").iterdir() if not p.name.startswith(".")] == [
        kept.folder.name
    ]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("GatedRepoError", "is gated: ask for access on its page, log in"),
        ("DatasetNotFoundError", "does not exist, or is private"),
        ("ConnectionError", "could not be read .*: check the connection"),
    ],
)
def test_repositories_that_do_not_answer(
    monkeypatch: pytest.MonkeyPatch, error: str, words: str
) -> None:
    import datasets

    def refuse(*args: object, **kwargs: object) -> None:
        raise type(error, (Exception,), {})("no\nsuch thing")

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(UserError, match=f"^The hub repository someone/cats {words}"):
        adding.add(adding.request({"images": "someone/cats@abc123"}))
    assert own_sources.place(adding.request({"text": "someone/cats@abc123"})).commit == "abc123"


def test_the_command(signs: Path, corpus: Path) -> None:
    run = CliRunner().invoke
    told = run(app, ["data", "add", "--images", str(signs), "--json"])
    assert told.exit_code == 0, told.output
    said = json.loads(told.output)
    assert said["card"] == "signs" and said["left_out"] == []
    assert said["found"]["classes"] == {"arrow": 10, "n02979186": 10}
    told = run(app, ["data", "add", "--text", str(corpus)])
    assert told.exit_code == 0 and "years: 1990 to 2009" in told.output
    told = run(app, ["data", "status", "letters"])
    assert "letters: present" in told.output
    assert run(app, ["data", "add"]).exit_code == 2
