"""Training sets that stay in files: what memory gives, bit for bit, in little memory."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from tiny_images import garments

from dataworth.data import rows
from dataworth.data.rows import Rows
from dataworth.images.classifiers import Budget, ClassifierSpec, ImageOptimisation, Vit, train
from dataworth.images.feeding import as_input, lowest
from dataworth.images.parts import Range, RealPart, SyntheticPart, SyntheticPool
from dataworth.runs import Outcome

TINY = Vit(width=16, depth=1)
AUGMENTED = ImageOptimisation(shift=2, flip=True, crop=0.3, randaugment=5, mixup=0.5, cutmix=1.0)


def colour(count):
    """Colour images, none of whose pixels is black, with seven classes."""
    images, labels = garments(count)
    return np.stack([images, 255 - images, images // 2], -1) // 2 + 3, labels % 7


@pytest.mark.parametrize("make", [garments, colour], ids=["grey", "colour"])
@pytest.mark.parametrize("weighted", [False, True])
def test_files_and_memory_give_one_model(tmp_path, make, weighted):
    images, labels = make(70)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    groups = [(40, 1.0), (30, 3.0)] if weighted else None
    made = [
        train(given, labels, TINY, Budget(amount=60, batch=16), AUGMENTED, 3, groups=groups)
        for given in (images, Rows.of(mapped))
    ]
    (model, losses), (other, again) = made
    np.testing.assert_array_equal(losses, again)
    for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert lowest(Rows.of(mapped)) == images.min()


def test_pixels_are_scaled_alike_wherever_it_is_done():
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    expected = (every.astype(np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
    for given in (every, torch.from_numpy(every)):
        np.testing.assert_array_equal(as_input(given)[0].numpy(), expected)


def test_a_run_is_the_same_with_its_images_left_in_the_store(store, splits, monkeypatch):
    pool = SyntheticPool(weights="0" * 64, names=("bag", "boot", "coat"))
    part = SyntheticPart(pool=pool, ids=Range(250, 20))
    for i, shard in enumerate(pool.shards(part.ids)):
        store.put(shard, Outcome({"images": garments(256, seed=i)[0]}), {})
    spec = ClassifierSpec(
        parts=(RealPart(ids=(1000, 1003, 1007)), part),
        model=TINY,
        budget=Budget(amount=20, batch=8),
    )
    whole = spec.run(store).arrays
    monkeypatch.setattr(rows, "LARGE", 1)
    left = part.load(store)[0]
    assert isinstance(left, Rows) and len(left.blocks) == 2
    for name, found in spec.run(store).arrays.items():
        np.testing.assert_array_equal(found, whole[name])


PEAK = """
import resource, sys
from pathlib import Path
import numpy as np
from dataworth.data.rows import FileBlock, Rows
from dataworth.images.classifiers import Budget, ImageOptimisation, Vit, train

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10

def learn(path, count):
    images = Rows([FileBlock(Path(path), 0, count, (64, 64, 3))])
    train(images, np.arange(count) % 10, Vit(patch=32, width=16, depth=1),
          Budget(amount=count // 512, batch=512), ImageOptimisation(flip=True), 0)

learn(sys.argv[1], 1024)
before = peak()
learn(sys.argv[1], int(sys.argv[2]))
print(before, peak())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak in Linux' unit")
def test_memory_does_not_grow_with_the_set(tmp_path):
    count = 32 * 1024  # 400 MB
    with (tmp_path / "images").open("wb") as file:
        file.truncate(count * 64 * 64 * 3)  # sparse: takes no disk
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / "images"), str(count)],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    before, after = map(int, done.stdout.split())
    assert after - before < 120  # MiB, for 384 in the file
