"""The decoded splits of an image set: files that are mapped, beside their checksums."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.data.catalog import Card
from dataworth.data.splits import Decoded, Described, content_ids, divide

_FIELDS = ("images", "labels", "ids")
_DESCRIBED = ("texts", "origins")


def arrays_folder(folder: Path, card: Card) -> Path:
    """Where the arrays of a card are, within the folder of its data."""
    return folder / f"arrays-{card.key[:8]}"


def mapped(folder: Path, card: Card, split: str) -> dict[str, Any] | None:
    """The decoded arrays of a split by name, or None when they are absent or damaged."""
    arrays = arrays_folder(folder, card)
    names = (*_FIELDS, *(_DESCRIBED if card.described else ()))
    try:
        sums = json.loads((arrays / "sha256.json").read_text(encoding="utf-8"))
        paths = {name: arrays / f"{split}-{name}.npy" for name in names}
        if any(_sha256(path) != sums[path.name] for path in paths.values()):
            return None
    except (OSError, ValueError, KeyError):
        return None
    return {name: np.load(path, mmap_mode="r") for name, path in paths.items()}


def write_arrays(folder: Path, card: Card, decoded: Decoded) -> None:
    """Apply the split rule and store the arrays and their checksums; atomic."""
    if card.content_split:
        decoded = divide(decoded, card.content_split, len(card.classes))
    with tempfile.TemporaryDirectory(suffix=".tmp", dir=folder) as temporary:
        scratch = Path(temporary) / "arrays"
        scratch.mkdir()
        sums = {}
        for split, found in decoded.items():
            images, labels = found
            ids = content_ids(images)
            order = np.lexsort((labels, ids))
            columns: dict[str, NDArray] = {"images": images, "labels": labels, "ids": ids}
            if isinstance(found, Described):
                columns |= {"texts": found.texts, "origins": found.origins}
            for name, values in columns.items():
                path = scratch / f"{split}-{name}.npy"
                np.save(path, values[order])
                sums[path.name] = _sha256(path)
        (scratch / "sha256.json").write_text(json.dumps(sums, indent=1) + "\n", encoding="utf-8")
        target = arrays_folder(folder, card)
        shutil.rmtree(target, ignore_errors=True)  # damaged, or it would have been mapped
        scratch.rename(target)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
