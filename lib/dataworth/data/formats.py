"""Decode what a provider delivered; write and read the parquet folder.

Everything ends in the same place: a folder that `datasets.load_dataset(folder)` reads, with the
same columns (`image`, `label`) and splits as a hub repository of the same data.
"""

from __future__ import annotations

import gzip
import io
import re
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from dataworth.data import pictures
from dataworth.data.catalog import Card
from dataworth.data.splits import Decoded, Described, Labelled
from dataworth.errors import UserError

_IDX_NAMES = {"train": "train", "test": "t10k"}


class FormatError(Exception):
    """What was delivered is not the data set of the card; the text is the end of a sentence."""


def read_idx(folder: Path, card: Card) -> Decoded:
    """The gzipped IDX files of MNIST and its relatives (http://yann.lecun.com/exdb/mnist)."""
    return {
        split: Labelled(
            _idx_array(folder / f"{_IDX_NAMES[split]}-images-idx3-ubyte.gz"),
            _idx_array(folder / f"{_IDX_NAMES[split]}-labels-idx1-ubyte.gz").astype(np.int64),
        )
        for split in card.source_splits
    }


def _idx_array(path: Path) -> NDArray[np.uint8]:
    # IDX: two zero bytes, a type byte (8 = uint8), the number of axes, one big-endian int32 per
    # axis, then the data in C order.
    try:
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise FormatError(f"{path.name} cannot be read ({error})") from error
    axes = raw[3] if raw[:3] == b"\0\0\x08" and len(raw) > 4 else 0
    start = 4 + 4 * axes
    shape = np.frombuffer(raw[4:start], ">i4")
    if axes == 0 or len(shape) != axes or len(raw) - start != np.prod(shape):
        raise FormatError(f"{path.name} is not an IDX file of bytes")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def read_datasets(
    source: str | Path, card: Card, scratch: Path, *, revision: str | None = None
) -> Decoded:
    """Whole-set arrays through `datasets.load_dataset`; `source` is a hub id or a local folder.

    Temporary files go into the folder `scratch`.
    """
    datasets = import_datasets()
    with tempfile.TemporaryDirectory(suffix=".tmp", dir=scratch) as arrow, quiet(datasets):
        # A local folder is converted once and for all: no copy in the user's Arrow cache. A hub id
        # keeps that cache, because an offline load is answered from it.
        cache = arrow if Path(source).is_dir() else None
        loaded = datasets.load_dataset(str(source), revision=revision, cache_dir=cache)
        missing = set(card.source_splits) - set(loaded)
        if missing:
            raise FormatError(f"it has the splits {sorted(loaded)} and lacks {sorted(missing)}")
        return {split: _labelled(loaded[split], card, datasets) for split in card.source_splits}


def _labelled(rows, card: Card, datasets) -> Labelled:  # type: ignore[no-untyped-def]
    image, label = None, None
    for name, feature in rows.features.items():
        if isinstance(feature, datasets.Image):
            image = image or name
        elif isinstance(feature, datasets.ClassLabel):
            label = label or name
    if image is None or label is None:
        raise FormatError(f"its columns {rows.column_names} hold no image with a class label")
    images = np.empty((len(rows), *card.shape), np.uint8)
    # Their files, all at once: rows that `datasets` decodes one by one take five times as long.
    files = rows.cast_column(image, datasets.Image(decode=False))[image][:]
    for index, file in enumerate(files):
        try:
            with pictures.opened(file["bytes"] or Path(file["path"])) as picture:
                made = pictures.pixels(picture, grey=len(card.shape) == 2)
        except pictures.OddPicture as error:
            raise FormatError(f"image {index} is odd: {error}") from error
        if made.shape != card.shape:
            raise FormatError(f"an image has the shape {made.shape}, not {card.shape}")
        images[index] = made
    theirs = np.asarray(rows[label], dtype=np.int64)
    ours = np.where(theirs < 0, -1, _places(rows.features[label].names, card.classes)[theirs])
    if not card.described:
        return Labelled(images, ours)
    if missing := {"text", "origin"} - set(rows.column_names):
        raise FormatError(f"its columns {rows.column_names} lack {min(missing)}")
    return Described(images, ours, np.array(rows["text"][:]), np.array(rows["origin"][:]))


def _places(theirs: Sequence[str], ours: Sequence[str]) -> NDArray[np.int64]:
    """Where each of their classes stands in ours. Class words are spelled differently by different
    providers and, as folder names, sorted; spellings are levelled where that merges no two."""
    for level in (str, _plain):
        ranked = {level(name): index for index, name in enumerate(ours)}
        known = [level(name) for name in theirs]
        if len(ranked) == len(ours) == len(set(known)) == len(known) and set(known) == set(ranked):
            return np.array([ranked[name] for name in known], dtype=np.int64)
    raise FormatError(f"its classes are {theirs}, not {ours}")


def _plain(class_word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", class_word.lower())


def write_parquet(folder: Path, card: Card, decoded: Decoded) -> list[Path]:
    """Write `<split>-00000-of-00001.parquet` and the dataset card README.md into `folder`.

    Images are PNG (lossless). Returns the parquet files.
    """
    datasets = import_datasets()
    from PIL import Image

    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(card.classes))}
        | (
            {name: datasets.Value("string") for name in ("text", "origin")}
            if card.described
            else {}
        )
    )
    files = []
    with quiet(datasets):
        for split, found in decoded.items():
            images, labels = found
            encoded = []
            for pixels in images:
                with io.BytesIO() as png:
                    Image.fromarray(pixels).save(png, "PNG", compress_level=1)  # half the time
                    encoded.append({"bytes": png.getvalue(), "path": None})
            columns = {"image": encoded, "label": labels.tolist()}
            if isinstance(found, Described):
                columns |= {"text": found.texts.tolist(), "origin": found.origins.tolist()}
            path = folder / f"{split}-00000-of-00001.parquet"
            datasets.Dataset.from_dict(columns, features=features).to_parquet(path)
            files.append(path)
    (folder / "README.md").write_text(readme(card), encoding="utf-8")
    return files


def readme(card: Card) -> str:
    """The dataset card README.md, with which `load_dataset(folder)` finds the splits."""
    header = {
        "license": card.licence.spdx.lower(),
        "pretty_name": card.title,
        "task_categories": [
            "image-classification" if card.modality == "image" else "text-generation"
        ],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": split, "path": f"{split}-*.parquet"} for split in card.source_splits
                ],
            }
        ],
    }
    return (
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n# {card.title}\n\n"
        f"Licence: {card.licence.spdx}. {card.licence.attribution}.\n"
        f"May be redistributed: {card.licence.redistribution}.\n\n"
        f"```bibtex\n{card.citation.bibtex}```\n"
    )


def import_datasets():  # type: ignore[no-untyped-def]
    """The `datasets` package, imported only where data are converted; UserError without it."""
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            "Data sets are read with the Python package `datasets`, which is not installed: "
            "install dataworth[images]."
        ) from error
    return datasets


@contextmanager
def quiet(datasets) -> Iterator[None]:  # type: ignore[no-untyped-def]
    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
