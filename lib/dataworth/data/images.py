"""Whole image sets as arrays."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataworth.data import sharded
from dataworth.data.arrays import arrays_folder, mapped, write_arrays
from dataworth.data.catalog import Card
from dataworth.data.catalog import card as find_card
from dataworth.data.formats import read_datasets
from dataworth.data.large import large_cards
from dataworth.data.rows import Rows
from dataworth.data.splits import Decoded
from dataworth.data.store import MARK, cannot_write, check_content, fetch, is_full
from dataworth.errors import UserError


@dataclass(frozen=True)
class ImageSet:
    """One split of an image data set.

    images: (N, H, W) or (N, H, W, 3) uint8; labels: (N,) int64 indices into `classes`, -1 for an
    image of none; ids: (N,) int64 content ids (`splits.content_ids`), ascending; of a card whose
    images are described, texts (N,) and origins (N,): what is written beside each, and the
    collection that it comes from. The arrays are read-only maps of files: copy before writing into
    them. The images of a large set (`large`) stay in their files and are read when they are indexed
    (`Rows`).
    """

    images: NDArray[np.uint8] | Rows = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    ids: NDArray[np.int64] = field(repr=False)
    classes: tuple[str, ...]
    split: str
    card: Card = field(repr=False)
    texts: NDArray[np.str_] | None = field(repr=False, default=None)
    origins: NDArray[np.str_] | None = field(repr=False, default=None)

    def __len__(self) -> int:
        return len(self.labels)


def load_images(card_id: str, split: str, *, root: Path | None = None) -> ImageSet:
    """Load a split named in `card(card_id).split_names`, in the order of content ids.

    The first call fetches the data set if need be (`store.fetch`); later calls map the decoded
    arrays, checked by sha256, and import nothing heavy. `root` is the folder of all
    data sets (default `paths.data_dir()`). UserError for an unknown id or split, or when the data
    cannot be had.
    """
    large = card_id in large_cards()
    folder = fetch(card_id, root=root) if large else Path()
    card = find_card(card_id)
    if card.modality != "image":
        raise UserError(f"card: {card_id} holds texts, not images; use load_corpus.")
    if split not in card.split_names:
        raise UserError(
            f"split: {card_id} has no split '{split}'; it has {', '.join(card.split_names)}."
        )
    if large:
        found = sharded.split_of(folder, arrays_folder(folder, card), split)
        return ImageSet(*found, classes=card.classes, split=split, card=card)
    folder = fetch(card_id, root=root)
    arrays = mapped(folder, card, split)
    if arrays is None:
        from filelock import FileLock

        try:
            with FileLock(folder.parent / f".{card.id}.arrays.lock"):
                arrays = mapped(folder, card, split)  # another process may have been faster
                if arrays is None:
                    for left in folder.glob("*.tmp"):  # by a process that was killed
                        shutil.rmtree(left, ignore_errors=True)
                    decoded = _read_or_fetch_again(folder, card, root)
                    write_arrays(folder, card, decoded)
                    arrays = mapped(folder, card, split)
        except OSError as error:
            raise cannot_write(folder, error) from error
    if arrays is None:
        raise UserError(
            f"The arrays of {card_id} in {folder} are damaged as soon as they are written: "
            "check the disk, or set DATAWORTH_HOME to a folder on another one."
        )
    return ImageSet(**arrays, classes=card.classes, split=split, card=card)


def _read_or_fetch_again(folder: Path, card: Card, root: Path | None) -> Decoded:
    try:
        decoded = read_datasets(folder, card, folder)
        check_content(decoded, card)
    except (UserError, MemoryError):
        raise
    except Exception as error:
        if is_full(error):
            raise
        # Whatever the reader stumbled over, the parquet files are not what was fetched (`fetch`
        # looks at their sizes only).
        (folder / MARK).unlink()
        decoded = read_datasets(fetch(card.id, root=root), card, folder)
    return decoded
