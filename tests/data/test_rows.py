"""Images in files, by rows: what an array gives, without the array in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dataworth.data import rows
from dataworth.data.rows import Rows, in_npy, in_npz, negative, some
from dataworth.errors import UserError

COLOUR = np.random.default_rng(3).integers(0, 256, (23, 6, 5, 3), dtype=np.uint8)


@pytest.fixture
def files(tmp_path: Path) -> Rows:
    """`COLOUR` in a .npy file, an .npz and memory."""
    np.save(tmp_path / "a.npy", COLOUR[:9])
    np.savez(tmp_path / "b.npz", labels=np.arange(4), images=COLOUR[9:20])
    blocks = in_npy(tmp_path / "a.npy"), in_npz(tmp_path / "b.npz", "images")
    return Rows.joined([Rows(blocks), COLOUR[20:]])


INDEXES = [
    slice(None), slice(3, 12), slice(None, None, -2), [4, 22, 4, 0], [-1, -23], 7, -2,
    np.arange(23) % 3 == 0, np.array([], dtype=np.int64),
]  # fmt: skip


@pytest.mark.parametrize("at", INDEXES, ids=str)
def test_indexed_as_an_array_is(files, at):
    np.testing.assert_array_equal(files[at], COLOUR[at])
    if not isinstance(at, int):
        picked = files.pick(at)
        assert isinstance(picked, Rows) and picked.shape == COLOUR[at].shape
        np.testing.assert_array_equal(picked, COLOUR[at])
        np.testing.assert_array_equal(picked.pick(slice(1, None)), COLOUR[at][1:])


def test_shape_negative_and_what_is_not_there(files, tmp_path):
    assert (files.shape, files.ndim, len(files), files.nbytes) == (
        COLOUR.shape, 4, 23, COLOUR.nbytes,
    )  # fmt: skip
    np.testing.assert_array_equal(negative(files)[5:], 255 - COLOUR[5:])
    np.testing.assert_array_equal(files, COLOUR)  # unchanged
    for at in ([23], [-24], [[0, 1]], np.ones(22, dtype=bool)):
        with pytest.raises(IndexError):
            files[at]
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole[:-1])
    np.testing.assert_array_equal(files[:8], COLOUR[:8])
    with pytest.raises(UserError, match=r"a\.npy is shorter than it was"):
        files[8]


def test_few_images_are_read_and_many_are_left(files, tmp_path, monkeypatch):
    chosen = np.array([2, 21, 3])
    assert isinstance(some(files, chosen), np.ndarray)
    monkeypatch.setattr(rows, "LARGE", 3 * 6 * 5 * 3)
    np.save(tmp_path / "c.npy", COLOUR)
    mapped = np.load(tmp_path / "c.npy", mmap_mode="r")
    for images in (files, COLOUR, mapped, mapped[1:]):
        found = some(images, chosen[:2])
        assert isinstance(found, np.ndarray)
        left = some(images, chosen)
        assert isinstance(left, Rows)
        np.testing.assert_array_equal(left, images[chosen])
    assert type(some(mapped, chosen).blocks[0]) is rows.FileBlock
