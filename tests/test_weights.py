"""Models that a parameter names enter a key by their content."""

from __future__ import annotations

import os

import pytest

from dataworth import weights
from dataworth.images.parts import ShardSpec
from spec_samples import POOL

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """An empty local copy of the hub, which is not reached."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    weights._commit.cache_clear()
    yield tmp_path / "hub"
    weights._commit.cache_clear()


def shard(model: str) -> ShardSpec:
    return ShardSpec(**POOL.model_copy(update={"weights": f"hub:{model}"}).model_dump(), start=0)


def test_a_folder_is_known_by_its_files(tmp_path):
    folder = tmp_path / "model"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "a.safetensors").write_bytes(b"1")
    one = weights.digest(str(folder))
    key = shard(str(folder)).key
    assert one and weights.digest(str(folder)) == one
    (folder / "unet" / "a.safetensors").write_bytes(b"2")
    os.utime(folder / "unet" / "a.safetensors", ns=(1, 1))
    assert weights.digest(str(folder)) != one
    assert shard(str(folder)).key != key
    (folder / "unet" / "a.safetensors").write_bytes(b"1")
    assert weights.digest(str(folder)) == one  # content alone, not dates
    (folder / "unet" / "a.safetensors").rename(folder / "unet" / "b.safetensors")
    assert weights.digest(str(folder)) != one


def test_a_hub_id_is_known_by_its_commit(hub):
    assert weights.digest(f"org/model@{COMMIT}") == COMMIT
    assert weights.digest("org/model") == "not known"
    weights._commit.cache_clear()
    refs = hub / "models--org--model" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text(COMMIT)
    assert weights.digest("org/model") == COMMIT
    before = shard("org/model").key
    (refs / "main").write_text(COMMIT[::-1])
    weights._commit.cache_clear()
    assert shard("org/model").key != before


def test_only_parameters_of_the_known_forms_name_a_model():
    prose = ["photo", "note:and/or", "hub: org/x", "x:", "see hub:org/y", "hub:"]
    found = weights.digests([*prose, f"hub:org/model@{COMMIT}", "word2sen:org/t5"])
    assert found == {f"org/model@{COMMIT}": COMMIT, "org/t5": "not known"}
