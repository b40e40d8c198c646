"""Images that stay in their files: what is asked for is read, however many there are.

Rows are read by their place in a file, not through a memory map: pages of a map count as the
process's own memory, and one pass over a set of 20 GB would map all of it.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import UserError

LARGE = 2**28
"""Bytes of pixels from which on a training set is not held in memory (`images.parts`), and of a
shard of a set that is stored in several files (`data.large`)."""

Images = NDArray[np.uint8]


class Block(Protocol):
    """`count` images of one shape, one after the other."""

    @property
    def count(self) -> int: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    def read(self, rows: NDArray[np.int64], out: memoryview, into: NDArray[np.int64]) -> None:
        """Copy images `rows` to the places `into` of `out`, bytes of as many images."""


@dataclass(frozen=True)
class FileBlock:
    """Images in a file, uint8 in C order from byte `offset` on."""

    path: Path
    offset: int
    count: int
    shape: tuple[int, ...]

    def read(self, rows: NDArray[np.int64], out: memoryview, into: NDArray[np.int64]) -> None:
        size = int(np.prod(self.shape))
        try:
            with self.path.open("rb", buffering=0) as file:
                for row, to in zip(rows.tolist(), into.tolist(), strict=True):
                    file.seek(self.offset + row * size)
                    if file.readinto(out[to * size : (to + 1) * size]) != size:
                        raise UserError(
                            f"{self.path} is shorter than it was: fetch the data set again."
                        )
        except OSError as error:
            raise UserError(f"{self.path} cannot be read: {error.strerror}.") from error


@dataclass(frozen=True, eq=False)
class ArrayBlock:
    """Images in memory."""

    images: Images

    @property
    def count(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.images.shape[1:]

    def read(self, rows: NDArray[np.int64], out: memoryview, into: NDArray[np.int64]) -> None:
        np.frombuffer(out, np.uint8).reshape(-1, *self.shape)[into] = self.images[rows]


@dataclass(frozen=True, eq=False)
class NegativeBlock:
    """Images of another block with black and white exchanged."""

    of: Block

    @property
    def count(self) -> int:
        return self.of.count

    @property
    def shape(self) -> tuple[int, ...]:
        return self.of.shape

    def read(self, rows: NDArray[np.int64], out: memoryview, into: NDArray[np.int64]) -> None:
        self.of.read(rows, out, into)
        found = np.frombuffer(out, np.uint8).reshape(-1, *self.shape)
        found[into] = 255 - found[into]


class Rows:
    """Images (N, H, W) or (N, H, W, 3) uint8, in blocks one after the other; or those of them at
    the places `where`. Indexed along the first axis as an array is, and then read; `pick` reads
    nothing."""

    dtype = np.dtype(np.uint8)

    def __init__(self, blocks: Sequence[Block], where: NDArray[np.int64] | None = None) -> None:
        if len({block.shape for block in blocks}) != 1:
            raise ValueError(f"blocks of one shape are needed: {[b.shape for b in blocks][:4]}")
        self.blocks, self.where = tuple(blocks), where
        self._ends = np.cumsum([block.count for block in blocks])

    @classmethod
    def of(cls, images: Images | Rows) -> Rows:
        """The images of an array; those of a mapped file are read from it."""
        if isinstance(images, Rows):
            return images
        # A slice of a map keeps the map's offset, which is not its own.
        if isinstance(images, np.memmap) and not isinstance(images.base, np.memmap):
            at, shape = int(images.offset), images.shape[1:]
            if images.filename and images.flags.c_contiguous:
                return cls([FileBlock(Path(images.filename), at, len(images), shape)])
        return cls([ArrayBlock(images)])

    @classmethod
    def joined(cls, parts: Sequence[Images | Rows]) -> Rows:
        """All images of the parts, one part after the other."""
        found = [cls.of(part) for part in parts]
        starts = np.cumsum([0, *(int(part._ends[-1]) for part in found)])
        places = [
            start + (np.arange(len(part)) if part.where is None else part.where)
            for start, part in zip(starts[:-1], found, strict=True)
        ]
        return cls([block for part in found for block in part.blocks], np.concatenate(places))

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.blocks[0].shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return int(self._ends[-1]) if self.where is None else len(self.where)

    def _places(self, at: Any) -> NDArray[np.int64]:
        """Where in the blocks the rows lie that an index names."""
        if isinstance(at, slice):
            at = np.arange(*at.indices(len(self)))
        at = np.asarray(at)
        if at.dtype == bool:
            if at.shape != (len(self),):
                raise IndexError(f"a mask of {at.shape} for {len(self)} images")
            at = np.flatnonzero(at)
        at = np.where(at < 0, at + len(self), at).astype(np.int64)
        if at.ndim != 1 or (len(at) and not 0 <= at.min() <= at.max() < len(self)):
            raise IndexError(f"rows must be a list of 0 to {len(self) - 1}")
        return at if self.where is None else self.where[at]

    def pick(self, at: Any) -> Rows:
        """The rows that an index names, unread."""
        return Rows(self.blocks, self._places(at))

    def __getitem__(self, at: Any) -> Images:
        if isinstance(at, SupportsIndex) and not isinstance(at, np.ndarray):
            image: Images = self[[int(at)]][0]
            return image
        places = self._places(at)
        found = np.empty((len(places), *self.shape[1:]), dtype=np.uint8)
        out = found.reshape(-1).data
        order = np.argsort(places, kind="stable")  # each file from its beginning to its end
        block = np.searchsorted(self._ends, places[order], side="right")
        for each in np.unique(block).tolist():
            into = order[np.searchsorted(block, each) : np.searchsorted(block, each, side="right")]
            start = int(self._ends[each]) - self.blocks[each].count
            self.blocks[each].read(places[into] - start, out, into)
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:].astype(dtype or np.uint8, copy=False)


def some(images: Images | Rows, rows: NDArray[np.int64]) -> Images | Rows:
    """The images in these rows: read, or left in their files where they are `LARGE`."""
    if len(rows) * int(np.prod(images.shape[1:])) < LARGE:
        return images[rows]
    return Rows.of(images).pick(rows)


def negative(images: Images | Rows) -> Images | Rows:
    """The images with black and white exchanged."""
    if isinstance(images, Rows):
        return Rows([NegativeBlock(block) for block in images.blocks], images.where)
    return 255 - images


def in_npy(path: Path) -> FileBlock:
    """The images of a .npy file."""
    with path.open("rb") as file:
        return _block(path, file)


def in_npz(path: Path, name: str) -> FileBlock:
    """The images of an array in an .npz file that is not compressed (`numpy.savez`)."""
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"{name}.npy")
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{path} is compressed")
    with path.open("rb") as file:
        # After 26 bytes of its own header: the lengths of the name and of the extra field.
        file.seek(member.header_offset + 26)
        file.seek(sum(struct.unpack("<HH", file.read(4))), 1)
        return _block(path, file)


def _block(path: Path, file: Any) -> FileBlock:
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
        version, np.lib.format.read_array_header_2_0
    )
    shape, by_columns, dtype = read(file)
    if dtype != np.uint8 or by_columns or len(shape) < 3:
        raise ValueError(f"{path} holds {dtype} {shape}, no images")
    return FileBlock(path, file.tell(), shape[0], tuple(shape[1:]))
