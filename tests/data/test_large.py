"""Sets that do not fit in memory: fetched from a hub's copy into shards, once, and read by rows."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest

import tiny_hub
from dataworth.data import card, content_ids, fetch, load_images, pictures, sharded
from dataworth.data.catalog import own_folder
from dataworth.data.rows import Rows
from dataworth.data.splits import Labelled, content_sha256, divide
from dataworth.errors import UserError


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    tiny_hub.imagenet(folder, train=9, test=2, shifted=1)
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch, hub):
    monkeypatch.setenv("DATAWORTH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATAWORTH_HUB", str(hub))
    return tmp_path / "home"


def decoded(raw: bytes) -> np.ndarray:
    with pictures.opened(raw) as picture:
        return np.asarray(pictures.fitted(pictures.upright(picture)[0], tiny_hub.SIDE))


def published() -> dict[str, Labelled]:
    """What the tiny hub holds, decoded here, in one piece."""
    made = {"train": (9, 0, "photo"), "test": (2, 1000, "photo"), "v2": (1, 2000, "photo")}
    made |= {"sketch": (1, 3000, "sketch"), "a": (1, 4000, "photo"), "r": (1, 5000, "photo")}
    found = {}
    for split, asked in made.items():
        labels, files = zip(*tiny_hub.labelled(*asked), strict=True)
        found[split] = Labelled(np.stack([decoded(raw) for raw in files]), np.array(labels))
    return found


def test_the_splits_are_those_of_the_set_in_memory(home):
    whole = published()
    folder = fetch("imagenet-1k")
    found = card("imagenet-1k")
    assert found.classes == tuple(tiny_hub.synsets())
    assert found.content_sha256 == content_sha256(whole)
    assert found.split_names == ("validation", "classifier_pool", "test", "v2", "a", "sketch", "r")
    divided = divide(whole, found.content_split, 12) | whole
    for split in found.split_names:
        loaded, (images, labels) = load_images("imagenet-1k", split), divided[split]
        assert isinstance(loaded.images, Rows) and loaded.images.shape == images.shape
        order = np.argsort(content_ids(images))
        np.testing.assert_array_equal(loaded.images, images[order])
        np.testing.assert_array_equal(loaded.labels, labels[order])
        np.testing.assert_array_equal(loaded.ids, content_ids(images)[order])
    assert len(load_images("imagenet-1k", "validation")) == 12  # one a class, of nine
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    assert fetch("imagenet-1k") == folder
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


def test_a_fetch_that_was_killed_goes_on(home, monkeypatch):
    whole = content_sha256(published())
    monkeypatch.setattr(sharded, "CHUNK", 16)
    monkeypatch.setattr(sharded, "LARGE", 32 * tiny_hub.SIDE**2 * 3)  # 108 images: four shards
    write, written = sharded._write_shard, []

    def killed(path, images, **facts):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path.name)
        write(path, images, **facts)

    monkeypatch.setattr(sharded, "_write_shard", killed)
    with pytest.raises(KeyboardInterrupt):
        fetch("imagenet-1k")
    assert not own_folder().exists()
    monkeypatch.setattr(
        sharded,
        "_write_shard",
        lambda path, *a, **k: (written.append(path.name), write(path, *a, **k)),
    )
    folder = fetch("imagenet-1k")
    assert written[:4] == [f"train-0000{i}" for i in range(4)]  # none twice
    assert card("imagenet-1k").content_sha256 == whole
    assert [p.name for p in folder.parent.iterdir() if p.name.endswith(".partial")] == []


def test_what_cannot_be_used_is_left_out_and_counted(tmp_path, monkeypatch):
    import datasets

    hub = tmp_path / "hub"
    tiny_hub.imagenet(hub, train=5, test=1, shifted=1)
    found = [(c, raw) for c, raw in tiny_hub.labelled(5, 0)]
    found[7] = (found[7][0], found[7][1][:200])  # truncated
    found[20] = (-1, found[20][1])  # without a label
    words = tiny_hub.lemmas(tuple(tiny_hub.synsets()))
    label = datasets.ClassLabel(names=list(words.values()))
    columns = {"image": [raw for _, raw in found], "label": [c for c, _ in found]}
    path = hub / "ILSVRC/imagenet-1k/data/train-00000-of-00001.parquet"
    tiny_hub.write_parquet(path, columns, {"label": label})
    monkeypatch.setenv("DATAWORTH_HUB", str(hub))
    mark = json.loads((fetch("imagenet-1k") / "source.json").read_text())
    assert mark["left_out"] == {
        "in train, truncated or damaged": 1,
        "in train, of other classes": 1,
    }
    assert card("imagenet-1k").source_splits["train"] == 58


def test_another_hub_is_another_set(hub, tmp_path, monkeypatch):
    first = fetch("imagenet-1k")
    other = tmp_path / "other"
    tiny_hub.imagenet(other, train=4, test=1, shifted=1)
    monkeypatch.setenv("DATAWORTH_HUB", str(other))
    assert fetch("imagenet-1k") != first
    assert card("imagenet-1k").source_splits["train"] == 48


def test_a_copy_that_is_missing_is_named(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("DATAWORTH_HUB", str(tmp_path / "empty"))
    with pytest.raises(UserError, match="empty has no ILSVRC/imagenet-1k"):
        load_images("imagenet-1k", "test")


def test_a_full_disk_keeps_finished_shards(monkeypatch, home):
    write = sharded._write_shard

    def full(path, images, **facts):
        if path.name.startswith("test"):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, images, **facts)

    monkeypatch.setattr(sharded, "_write_shard", full)
    with pytest.raises(UserError, match=r"the disk is full\)"):
        fetch("imagenet-1k")
    kept = sorted(p.name for p in (home / "data").glob("*.partial/shards/*"))
    assert kept == ["train-00000.npy", "train-00000.npz"]
