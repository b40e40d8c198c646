"""A user's own images: read from a folder of folders, tables or a hub, cleaned and counted."""

from __future__ import annotations

import re
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.data import pictures
from dataworth.data.catalog import ContentSplit
from dataworth.data.formats import import_datasets, quiet
from dataworth.data.own import OwnData
from dataworth.data.own_sources import (
    BUILDERS,
    Place,
    column,
    files_below,
    place,
    split_of,
    tables,
)
from dataworth.data.report import Report
from dataworth.data.splits import Decoded, Labelled, content_ids, without_copies
from dataworth.errors import UserError, short

SUFFIXES = frozenset(
    (
        ".png", ".jpg", ".jpeg", ".jfif", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm",
        ".pbm", ".jp2", ".avif",
    )
)  # fmt: skip
IMAGE_COLUMNS = ("image", "img", "jpg", "jpeg", "png", "webp", "picture", "pixel_values")
LABEL_COLUMNS = (
    "label", "labels", "class", "category", "cls", "target", "fine_label", "class_name",
)  # fmt: skip
LARGEST_KEPT = 64  # pixels a side: squares up to this size are taken as they are
SIDE = 32
LEAST = 4
"""Images of a class that are needed to make splits of them."""
FRACTIONS = {"test": 0.2, "generator_pool": 0.3, "validation": 0.1}
"""Of a class's images: what goes to each split that is made; the rest is the classifier pool."""
_SYNSET = re.compile(r"n\d{8}")


@dataclass
class Example:
    """One image before it is decoded."""

    split: str
    label: str | None
    file: Callable[[], Path | bytes]
    name: str


@dataclass(frozen=True)
class OwnImages:
    """What a card of images is made of."""

    decoded: Decoded = field(repr=False)
    classes: tuple[str, ...]
    words: dict[str, tuple[str, ...]]
    rule: ContentSplit
    report: Report

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W) or (H, W, 3)."""
        return next(iter(self.decoded.values())).images.shape[1:]


def read(data: OwnData) -> OwnImages:
    """Read, decode, clean and divide; UserError, one sentence, where that makes no data set."""
    report = Report()
    where = place(data)
    report.found["images from"] = str(where)
    with tempfile.TemporaryDirectory(suffix=".tmp", ignore_cleanup_errors=True) as scratch:
        examples = list(_examples(data, where, Path(scratch), report))
        if not examples:
            raise UserError(
                f"images: {where} holds no image of a known kind ({' '.join(sorted(SUFFIXES))}, "
                "or a table with a column of images)."
            )
        labelled = [e for e in examples if e.label]
        for e in examples:
            if not e.label:
                report.leave_out("without a label", e.name)
        if not labelled:
            raise UserError(
                f"images: none of the {len(examples):,} images of {where} has a label; put the "
                "images of each class into a folder of its name, or name label_column."
            )
        splits = _splits(labelled, data, report)
        classes = _classes(labelled, report)
        decoded = _decoded(labelled, classes, data, report)
    decoded, rule = _divided(decoded, classes, splits, report)
    words = _words(classes, data, report)
    return OwnImages(decoded, classes, words, rule, report)


# ---- Where the images are ----------------------------------------------------------------------


def _examples(data: OwnData, where: Place, scratch: Path, report: Report) -> Iterator[Example]:
    if where.path is not None and where.path.is_dir():
        files = list(files_below(where.path))
        kinds = Counter(path.suffix.lower() for path in files)
        pictured = sum(kinds[suffix] for suffix in SUFFIXES)
        if pictured and not any(
            (where.path / n).is_file() for n in ("state.json", "dataset_dict.json")
        ):
            listed = [p for p in files if p.name in ("metadata.csv", "metadata.jsonl")]
            if listed:
                yield from _listed(listed, data, where.path, report)
            else:
                yield from _foldered(files, where.path, report)
            return
        if not any(kinds[suffix] for suffix in BUILDERS):
            return
    elif where.path is not None and where.path.suffix.lower() not in BUILDERS:
        raise UserError(
            f"images: {where.path.name} is no table of images; a file must end in "
            f"{', '.join(BUILDERS)}, and a folder may hold images in folders of their classes."
        )
    yield from _tabled(tables(data, where, scratch), data, report)


def _foldered(files: Sequence[Path], root: Path, report: Report) -> Iterator[Example]:
    """A folder of folders: the class is the first folder, or the first below that of a split.

    Splits are folders of the top alone, and only where all of them are: a class may be called
    `train`."""
    images = []
    for path in files:
        if path.suffix.lower() in SUFFIXES:
            images.append(path)
        else:
            report.leave_out("files that are not images by their names", path.name)
    while True:  # a folder that holds nothing but one folder is an envelope
        tops = {path.relative_to(root).parts[0] for path in images}
        (top,) = tops if len(tops) == 1 else ("",)
        inner = {len(path.relative_to(root).parts) for path in images}
        if not top or min(inner) < 3:
            break
        if split_of(top):
            break
        root = root / top
    folders = {p.relative_to(root).parts[0] for p in images if len(p.relative_to(root).parts) > 1}
    has_splits = bool(folders) and all(split_of(name) for name in folders)
    for path in images:
        parts = path.relative_to(root).parts
        split, parts = (split_of(parts[0]) or "", parts[1:]) if has_splits else ("all", parts)
        label = _name(parts[0]) if len(parts) > 1 else None
        yield Example(split, label, partial(Path, path), str(path.relative_to(root)))


def _listed(lists: Sequence[Path], data: OwnData, root: Path, report: Report) -> Iterator[Example]:
    """Images that metadata.csv or metadata.jsonl beside them list, as `imagefolder` has it."""
    datasets = import_datasets()
    for path in lists:
        kind = "csv" if path.suffix == ".csv" else "json"
        with tempfile.TemporaryDirectory(suffix=".tmp") as cache, quiet(datasets):
            try:
                rows = datasets.load_dataset(kind, data_files=str(path), cache_dir=cache)["train"]
                rows = rows.to_list()
            except Exception as error:
                raise UserError(f"images: {path} cannot be read; is it {kind.upper()}?") from error
        columns = list(rows[0]) if rows else []
        files = column(columns, None, ("file_name", "image", "path"), "file_name")
        label = column(columns, data.label_column, LABEL_COLUMNS, "label_column")
        if files is None or label is None:
            raise UserError(
                f"images: {path} must have a column file_name and one of labels "
                f"(label_column); it has {', '.join(columns)}."
            )
        report.notes.append(f"labels are the column '{label}' of {path.name}")
        folder = path.parent.relative_to(root).parts
        split = (split_of(folder[0]) if folder else None) or "all"
        for row in rows:
            picture = path.parent / str(row[files])
            if not picture.is_file():
                report.leave_out("listed and not there", str(row[files]))
                continue
            yield Example(split, _text(row[label]), partial(Path, picture), str(row[files]))


def _tabled(found: dict[str, Any], data: OwnData, report: Report) -> Iterator[Example]:
    datasets = import_datasets()
    for name, rows in found.items():
        columns = rows.column_names
        typed = [c for c, f in rows.features.items() if isinstance(f, datasets.Image)]
        image = column(
            columns, data.image_column, (*map(str.lower, typed), *IMAGE_COLUMNS), "image_column"
        )
        classed = [c for c, f in rows.features.items() if isinstance(f, datasets.ClassLabel)]
        known = (*map(str.lower, classed), *LABEL_COLUMNS)
        label = column(columns, data.label_column, known, "label_column")
        if image is None or label is None:
            missing = "image_column" if image is None else "label_column"
            raise UserError(
                f"{missing}: no column of split {name} looks like it; name one of "
                f"{short(', '.join(columns), 300)}."
            )
        if (note := f"images are the column '{image}', labels '{label}'") not in report.notes:
            report.notes.append(note)
        feature = rows.features[label]
        split = split_of(name) or ("all" if len(found) == 1 else name)
        encoded = rows.cast_column(image, datasets.Image(decode=False)).select_columns([image])
        for index, value in enumerate(rows[label]):
            if isinstance(feature, datasets.ClassLabel) and value is not None:
                value = feature.int2str(value) if value >= 0 else None
            file = partial(_cell, encoded, index, image)
            yield Example(split, _text(value), file, f"row {index} of {name}")


def _of_kind(rows: Any, kind: type) -> list[str]:
    """The columns of a kind of feature, in small letters."""
    return [name.lower() for name, feature in rows.features.items() if isinstance(feature, kind)]


def _cell(rows: Any, index: int, image: str) -> Path | bytes:
    """The file in a row of a table, or its path."""
    picture = rows[index][image] or {}
    found: bytes | None = picture.get("bytes")
    return found or (Path(picture["path"]) if picture.get("path") else b"")


def _text(value: Any) -> str | None:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _name(str(value))


def _name(text: str) -> str:
    """A class's name as one string whatever the file system wrote (macOS takes letters apart)."""
    return unicodedata.normalize("NFC", text).strip()


# ---- Splits and classes ------------------------------------------------------------------------


def _splits(examples: list[Example], data: OwnData, report: Report) -> tuple[str, ...]:
    """The splits that are left, `train` (or `all`) and perhaps `test`; examples are renamed."""
    there = Counter(e.split for e in examples)
    report.found["images"] = len(examples)
    report.found["splits"] = dict(there) if set(there) != {"all"} else "none given"
    test = data.test and (split_of(data.test) if data.test not in there else data.test)
    if data.test and test not in there:
        raise UserError(f"test: there is no split '{data.test}'; there are {', '.join(there)}.")
    if test is None:
        test = next((name for name in ("test", "validation") if name in there), None)
    if test and len(there) == 1:
        if not data.test and test == "test":
            test = None  # one split alone is divided, whatever its name
        else:
            raise UserError(f"test: '{test}' is the only split; leave test out to have it divided.")
    if test == "validation" and not data.test:
        report.notes.append("the split 'validation' serves as test set, since there is no other")
    joined = [name for name in there if name not in (test, "train", "all")]
    if joined and test:
        report.notes.append(
            f"the split {' and '.join(map(repr, joined))} was joined to train: the chapters take "
            "their validation images from there, by content"
        )
    for e in examples:
        e.split = "test" if test and e.split == test else "train"
    return ("train", "test") if test else ("train",)


def _classes(examples: Sequence[Example], report: Report) -> tuple[str, ...]:
    labels: dict[str, Counter[str]] = {}
    for e in examples:
        labels.setdefault(e.split, Counter())[str(e.label)] += 1
    whole = set().union(*labels.values())
    for name in sorted(whole):
        for split, counts in labels.items():
            if name not in counts:
                other = next(s for s in labels if name in labels[s])
                raise UserError(
                    f"images: the class '{short(name)}' has {labels[other][name]} images in "
                    f"{other} and none in {split}; both must hold the same classes, so add some "
                    "or take the class out."
                )
    if len(whole) < 2:
        raise UserError(
            f"images: there is one class, '{short(min(whole))}'; a classifier needs two or more: "
            "put the images of each class into a folder of its name."
        )
    numbered = all(re.fullmatch(r"\d+", name) for name in whole)
    ordered = tuple(sorted(whole, key=lambda n: (int(n), n) if numbered else (0, n)))
    total = sum(labels.values(), Counter())
    report.found["classes"] = {name: total[name] for name in ordered}
    return ordered


def _words(classes: Sequence[str], data: OwnData, report: Report) -> dict[str, tuple[str, ...]]:
    """The words given for classes; for names that are WordNet ids, timm's table of their lemmas."""
    if unknown := [name for name in data.words if name not in classes]:
        raise UserError(
            f"words: there is no class '{short(unknown[0])}'; the classes are "
            f"{short(', '.join(classes), 300)}."
        )
    words = dict(data.words)
    if any(_SYNSET.fullmatch(name) for name in classes):
        table = _lemmas()
        for name in classes:
            if name in table:
                words.setdefault(name, table[name])
        named = sum(name in words for name in classes)
        report.notes.append(f"{named} classes have WordNet ids: prompts use their words")
    return words


def _lemmas() -> dict[str, tuple[str, ...]]:
    from importlib.util import find_spec

    found = find_spec("timm")
    if found is None or found.origin is None:
        return {}
    path = Path(found.origin).parent / "data" / "_info" / "imagenet_synset_to_lemma.txt"
    rows = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    return {row[0]: tuple(row[1].split(", ")) for row in rows}


# ---- Pixels ------------------------------------------------------------------------------------


def _decoded(
    examples: Sequence[Example], classes: tuple[str, ...], data: OwnData, report: Report
) -> Decoded:
    """Every image as the card's shape; what cannot be read is left out and counted."""
    sizes: Counter[tuple[int, int]] = Counter()
    readable = []
    for e in examples:
        try:
            sizes[pictures.size(e.file())] += 1
            readable.append(e)
        except pictures.OddPicture as error:
            report.leave_out(str(error), e.name)
    side = data.image_size or _side(sizes)
    heights, widths = ([s[axis] for s in sizes] for axis in (0, 1))
    if sizes:
        one = len(sizes) == 1
        smallest, largest = (f"{f(heights)} x {f(widths)}" for f in (min, max))
        report.found["size in pixels"] = smallest if one else f"{smallest} to {largest}"
    place_of = {name: index for index, name in enumerate(classes)}
    images: dict[str, list[NDArray[np.uint8]]] = {}
    labels: dict[str, list[int]] = {}
    coloured = False
    for e in readable:
        try:
            with pictures.opened(e.file()) as picture:
                upright, done = pictures.upright(picture)
        except pictures.OddPicture as error:
            report.leave_out(str(error), e.name)
            continue
        for what in done:
            report.changed[what] += 1
        if upright.size != (side, side):
            report.changed[f"cropped to the middle square and resized to {side} x {side}"] += 1
        made = np.asarray(pictures.fitted(upright, side).convert("L" if data.grey else "RGB"))
        if not data.grey:
            coloured |= bool((made != made[..., :1]).any())
        images.setdefault(e.split, []).append(made)
        labels.setdefault(e.split, []).append(place_of[str(e.label)])
    report.found["a card's image"] = f"{side} x {side}, {'colour' if coloured else 'grey'}"
    decoded = {}
    for split in images:
        stacked = np.stack(images[split])
        if stacked.ndim == 4 and not coloured:
            stacked = stacked[..., 0]
        decoded[split] = Labelled(stacked, np.array(labels[split], dtype=np.int64))
    return decoded


def _side(sizes: Counter[tuple[int, int]]) -> int:
    """The side of the card's images: their own where all are one small square of a side that
    networks can divide, else `SIDE`."""
    if len(sizes) == 1:
        ((height, width),) = sizes
        if height == width and 8 <= height <= LARGEST_KEPT and height % 4 == 0:
            return height
    return SIDE


def _divided(
    decoded: Decoded, classes: tuple[str, ...], splits: tuple[str, ...], report: Report
) -> tuple[Decoded, ContentSplit]:
    """Without copies, and the rule of the chapters' splits, sized to the smallest class."""
    kept: Decoded = {}
    elsewhere = np.zeros(0, dtype=np.int64)
    for split in reversed(splits):  # of an image in both, the one in test stays
        if split not in decoded:
            raise UserError(f"images: no image of the split {split} can be read.")
        images, labels = decoded[split]
        ids = content_ids(images)
        unique = without_copies(labels, ids, elsewhere)
        report.leave_out(f"exact copies within {split}", count=unique.copies)
        report.leave_out(f"in {split} whose copies have other labels", count=unique.disagreeing)
        report.leave_out(f"in {split} that are in test too", count=unique.elsewhere)
        kept[split] = Labelled(images[unique.rows], labels[unique.rows])
        elsewhere = np.concatenate([elsewhere, ids])
    made = {n: f for n, f in FRACTIONS.items() if n != "test" or "test" not in splits}
    for split in splits:
        counts = np.bincount(kept[split].labels, minlength=len(classes))
        least = LEAST if split == "train" else 1
        if (smallest := int(counts.min())) < least:
            label = int(counts.argmin())
            had = int((decoded[split].labels == label).sum())
            purpose = f" to divide them ({', '.join(made)}, classifier_pool)" * (split == "train")
            raise UserError(
                f"images: the class '{short(classes[label])}' has {had} images in {split}, of "
                f"which {smallest} are neither copies nor in test too, and {least} are needed"
                f"{purpose}; add some or take the class out."
            )
    smallest = int(np.bincount(kept["train"].labels).min())
    per_class = {name: max(1, int(fraction * smallest)) for name, fraction in made.items()}
    rule = ContentSplit(
        divide="train",
        keep="test" if "test" in splits else None,
        per_class=per_class,
        rest="classifier_pool",
    )
    pool = (smallest - sum(per_class.values())) * len(classes)
    report.found["splits made, a class"] = {**per_class, "classifier_pool": "the rest"}
    report.found["largest real training set"] = pool
    return {split: kept[split] for split in splits}, rule
