"""Fetching a large set (`large`): decoded once into shards, from which a killed fetch goes on.

<root>/imagenet-1k-1a2b3c4d/
    source.json                      place, checksums, what was left out
    shards/train-00000.npy           decoded images as they came, uint8
    shards/train-00000.npz           their labels and digests: the mark of a whole shard
    arrays-5e6f7a8b/<split>-*.npy    labels and ids of the splits of `load_images`, and where
                                     their images lie in the shards
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataworth import errors
from dataworth.data import pictures
from dataworth.data.catalog import Card, ContentSplit, HubSource, own_folder, write_own
from dataworth.data.formats import import_datasets
from dataworth.data.large import LargeCard, Place, large_card, lemmas
from dataworth.data.own import OwnData
from dataworth.data.own_sources import Place as Where
from dataworth.data.own_sources import tables
from dataworth.data.rows import LARGE, Rows, in_npy
from dataworth.data.splits import ids_of, rows_of, sha256_of
from dataworth.errors import UserError, short
from dataworth.paths import data_dir, hub_copy

log = logging.getLogger(__name__)

SHARDS = "shards"
CHUNK = 256  # images decoded at a time, by all threads
IMAGES = re.compile(r"\.(jpe?g|png|webp)$", re.IGNORECASE)
_SYNSET = re.compile(r"n\d{8}")

Example = tuple[bytes, Any]
"""A picture file, and its label as it is written."""


class Source(NamedTuple):
    """The rows of a split as they come, and the class that a label names (None: of none)."""

    rows: Callable[[int], Iterator[Example]]
    class_of: Callable[[Any], str | None]
    classes: tuple[str, ...]


def fetch(card_id: str, *, root: Path | None = None) -> Path:
    """The folder of a large set, fetched where it is not here yet or came from another place.

    UserError, one sentence, for a repository that is gated, missing or not what its card says, and
    for a disk without room; shards that were finished are kept.
    """
    large, root = large_card(card_id), root or data_dir()
    places = [_place(large_card(place.card)) for place in large.sources.values()]
    origin = "; ".join(dict.fromkeys(places))
    if (found := _present(large, origin, root)) is not None:
        return found
    import_datasets()
    from filelock import FileLock

    part = root / f".{card_id}-{hashlib.sha256(origin.encode()).hexdigest()[:8]}.partial"
    try:
        (part / SHARDS).mkdir(parents=True, exist_ok=True)
        _require_space(large, part)
        with FileLock(root / f".{card_id}.lock"):
            if (found := _present(large, origin, root)) is not None:
                return found
            log.info("%s: reading %s", card_id, origin)
            return _build(large, origin, part, root)
    except OSError as error:
        raise errors.cannot_write(root, error, "DATAWORTH_HOME") from error


def _present(large: LargeCard, origin: str, root: Path) -> Path | None:
    """The folder of a set that was fetched from this place and is whole."""
    for mark in root.glob(f"{large.id}-*/source.json"):
        try:
            said = json.loads(mark.read_text(encoding="utf-8"))
            sizes = {name: (mark.parent / name).stat().st_size for name in said["files"]}
            card = (own_folder() / f"{large.id}.yaml").read_text(encoding="utf-8")
        except (OSError, ValueError, LookupError):
            continue
        if said["from"] == origin and sizes == said["files"] and said["content_sha256"] in card:
            return mark.parent
    return None


def _place(found: LargeCard) -> str:
    """Where a card's images are read, in words."""
    return str(hub_copy(found.repo) or f"hub repository {found.repo}@{found.revision}")


def _where(found: LargeCard) -> Where:
    """The hub repository of a card, or the copy of it in the folder that the user named."""
    if (copy := hub_copy(found.repo)) is not None:
        return Where(copy)
    commit = None if found.revision == "main" else found.revision
    return Where(None, found.repo, commit)


def _require_space(large: LargeCard, part: Path) -> None:
    there = sum(path.stat().st_size for path in (part / SHARDS).iterdir())
    needed, free = large.size - there, shutil.disk_usage(part).free
    if needed > free and hub_copy(large.repo) is None:  # a copy may be a small part of it
        raise UserError(
            f"The data set {large.id} needs {needed / 1e9:.0f} GB of disk space and {part.parent} "
            f"has {free / 1e9:.0f} GB: free some, or set DATAWORTH_HOME to a folder on another "
            "disk."
        )


def _build(large: LargeCard, origin: str, part: Path, root: Path) -> Path:
    shards = part / SHARDS
    left_out: Counter[str] = Counter()
    classes: tuple[str, ...] = ()
    side = large.side
    with tempfile.TemporaryDirectory(suffix=".tmp", ignore_cleanup_errors=True) as scratch:
        for name, place in large.sources.items():
            found_in = large_card(place.card)
            source = _source(found_in, place, _where(found_in), Path(scratch))
            if name == "train":  # it is first
                classes, side = source.classes, _side(source, large.side)
            _decode(source, classes, side, shards, name, left_out)
    found = {name: _labelled(shards, name) for name in large.sources}
    found = {name: split for name, split in found.items() if len(split.labels)}
    if missing := {"train", "test"} - set(found):
        raise UserError(f"The data set {large.id} has no image in {missing.pop()} ({origin}).")
    rule = _rule(large, found["train"].labels, classes)
    shape = (side, side, 3)
    total = sha256_of({n: (shape, s.digests, s.labels.tolist()) for n, s in found.items()})
    card = Card.model_validate(
        {
            "id": large.id,
            "title": large.title,
            "modality": "image",
            "image_shape": shape,
            "classes": classes,
            "words": {s: text.split(", ") for s, text in lemmas(classes).items()}
            if large.classes
            else {},
            "source_splits": {name: len(split.labels) for name, split in found.items()},
            "content_sha256": total,
            "licence": {
                "spdx": large.licence,
                "attribution": large.title,
                "redistribution": "nothing is said of it",
            },
            "citation": {"key": large.id, "bibtex": f"@misc{{{large.id},\n}}\n"},
            "content_split": rule,
            "providers": [HubSource(kind="hub", repo=large.repo, version=large.revision)],
        }
    )
    _write_splits(part, card, found)
    for reason, count in left_out.items():
        log.warning("%s: %d images left out: %s", large.id, count, reason)
    files = {str(p.relative_to(part)): p.stat().st_size for p in part.rglob("*") if p.is_file()}
    mark = {
        "card": large.id,
        "content_sha256": total,
        "provider": "hub",
        "from": origin,
        "version": large.revision,
        "note": "; ".join(f"{count} left out: {reason}" for reason, count in left_out.items()),
        "left_out": left_out,
        "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": files,
    }
    (part / "source.json").write_text(json.dumps(mark, indent=1) + "\n", encoding="utf-8")
    target = root / f"{large.id}-{total[:8]}"
    shutil.rmtree(target, ignore_errors=True)  # not whole, or it would have been found
    part.rename(target)
    write_own(card, f"dataworth data fetch {card.id}")
    return target


# ---- Where the rows come from ------------------------------------------------------------------


def _source(found: LargeCard, place: Place, where: Where, scratch: Path) -> Source:
    if found.file is not None:
        path = _file(found, where)
        return Source(lambda skip: islice(_archived(path), skip, None), _classes_of(found), ())
    data = OwnData(images=found.repo)
    splits = tables(data, where, scratch, streaming=True)
    if place.split not in splits:
        raise UserError(f"{where} has the splits {', '.join(splits)}, not {place.split}.")
    rows = splits[place.split]
    if rows.features is None:
        rows = rows._resolve_features()
    datasets = import_datasets()
    kinds = rows.features.items()
    image = next((n for n, kind in kinds if isinstance(kind, datasets.Image)), None)
    named = [n for n, kind in kinds if isinstance(kind, datasets.ClassLabel)]
    label = next((n for n in (*named, "wnid", "label", "labels") if n in rows.features), None)
    if image is None or label is None:
        raise UserError(
            f"{where} has no column of images or none of labels (it has "
            f"{short(', '.join(rows.features), 300)})."
        )
    encoded = rows.cast_column(image, datasets.Image(decode=False))
    names = list(rows.features[label].names) if named else []
    class_of = _classes_of(found, names)

    def read(skip: int) -> Iterator[Example]:
        for row in encoded.skip(skip):
            picture = row[image] or {}
            yield picture.get("bytes") or b"", row[label]

    known = {name for i in range(len(names)) if (name := class_of(i)) is not None}
    ranked = found.synsets or tuple(names)
    return Source(read, class_of, tuple(s for s in ranked if s in known or not names))


def _classes_of(found: LargeCard, names: list[str] | None = None) -> Callable[[Any], str | None]:
    """From a label as it is written to a class: a synset, its words or its place in the table; or
    the name that the label has in the repository."""
    if not found.synsets:
        given = names or []
        return lambda label: given[label] if 0 <= label < len(given) else None
    table, words = found.synsets, lemmas(found.synsets)
    spelled: dict[str, list[str]] = {}
    for synset in table:
        spelled.setdefault(words[synset], []).append(synset)

    def of_text(text: str) -> str | None:
        if _SYNSET.fullmatch(text):
            return text
        if text.isdecimal():
            return table[int(text)] if int(text) < len(table) else None
        # Two classes may be spelled alike (crane): names come in the order of the table.
        several = spelled.get(text, [])
        return (several.pop(0) if len(several) > 1 else several[0]) if several else None

    if names:
        each = [of_text(name) for name in names]
        if None in each:
            name = names[each.index(None)]
            raise UserError(f"{found.repo} has the class '{short(name)}', which ImageNet has not.")
        return lambda label: each[label] if 0 <= label < len(each) else None
    return lambda label: of_text(str(label))


def _file(found: LargeCard, where: Where) -> Path:
    """The archive of a repository on this machine."""
    assert found.file is not None
    if where.path is not None:
        path = where.path / found.file
        if not path.is_file():
            raise UserError(f"{where.path} lacks the file {found.file}.")
        return path
    from huggingface_hub import hf_hub_download

    try:
        return Path(
            hf_hub_download(found.repo, found.file, repo_type="dataset", revision=where.commit)
        )
    except Exception as error:  # any of several libraries' errors
        raise UserError(
            f"The file {found.file} of {where} could not be had "
            f"({short(str(error).splitlines()[0], 200)}): check the connection and the access, or "
            "name a folder of copies with --hub."
        ) from error


def _archived(path: Path) -> Iterator[Example]:
    """Pictures of a .zip or .tar archive; the label is the name of the folder around each."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if IMAGES.search(name):
                    yield archive.read(name), Path(name).parent.name
        return
    with tarfile.open(path) as tar:
        for member in tar:
            if member.isfile() and IMAGES.search(member.name) and (got := tar.extractfile(member)):
                yield got.read(), Path(member.name).parent.name


# ---- Shards ------------------------------------------------------------------------------------


class Kept(NamedTuple):
    """Labels (N,) of a split in the order of its shards, and the digests of its images."""

    labels: NDArray[np.int64]
    digests: list[bytes]


def _side(source: Source, largest: int) -> int:
    """The side of the card's images: that of the large card, or where the first images are mostly
    smaller, a multiple of 16 that does not enlarge them."""
    shorter = []
    for raw, _ in islice(source.rows(0), 64):
        with suppress(pictures.OddPicture):
            shorter.append(min(pictures.size(raw)))
    return min(largest, max(16, int(np.median(shorter or [largest])) // 16 * 16))


def _decode(
    source: Source,
    classes: tuple[str, ...],
    side: int,
    shards: Path,
    name: str,
    left_out: Counter[str],
) -> None:
    """Decode what is missing of a split into shards of about `LARGE` bytes."""
    each = max(CHUNK, LARGE // (side * side * 3) // CHUNK * CHUNK)
    done = sorted(shards.glob(f"{name}-?????.npz"))
    skip = 0
    for path in done:
        with np.load(path) as kept:
            skip += int(kept["rows"])
            left_out.update(json.loads(str(kept["left_out"])))
    if done:
        log.info("%s: %d shards are here, going on after %d rows", name, len(done), skip)
        with np.load(done[-1]) as kept:
            if bool(kept["last"]):
                return
    place_of = {label: i for i, label in enumerate(classes)}
    number = len(done)

    def decoded(example: Example) -> tuple[NDArray[np.uint8], int] | str:
        label = source.class_of(example[1])
        if label not in place_of:
            return f"in {name}, of other classes"
        try:
            with pictures.opened(example[0]) as picture:
                upright, _ = pictures.upright(picture)
        except pictures.OddPicture as error:
            return f"in {name}, {error}"
        return np.asarray(pictures.fitted(upright, side).convert("RGB")), place_of[str(label)]

    with (
        closing(_iterator(source.rows(skip))) as rows,
        ThreadPoolExecutor(os.cpu_count() or 1) as pool,
    ):
        last = False
        while not last:
            images = np.empty((each, side, side, 3), dtype=np.uint8)
            labels: list[int] = []
            out: Counter[str] = Counter()
            read = 0
            while len(labels) + CHUNK <= each and not last:
                chunk = list(islice(rows, CHUNK))
                read, last = read + len(chunk), len(chunk) < CHUNK
                for found in pool.map(decoded, chunk):
                    if isinstance(found, str):
                        out[found] += 1
                        continue
                    images[len(labels)] = found[0]
                    labels.append(found[1])
            _write_shard(
                shards / f"{name}-{number:05}",
                images[: len(labels)],
                labels=np.array(labels, dtype=np.int64),
                rows=read,
                last=last,
                left_out=json.dumps(out),
            )
            left_out.update(out)
            number += 1


def _iterator(rows: Iterator[Example]) -> Any:
    """A generator, which can be closed, of any iterator."""
    yield from rows


def _write_shard(path: Path, images: NDArray[np.uint8], **facts: Any) -> None:
    """Images, then what marks them whole."""
    digests = b"".join(hashlib.sha256(image.tobytes()).digest() for image in images)
    for suffix, write in (
        (".npy", lambda file: np.save(file, images)),
        (".npz", lambda file: np.savez(file, digests=np.frombuffer(digests, np.uint8), **facts)),
    ):
        aside = path.with_suffix(".tmp")
        with aside.open("wb") as file:
            write(file)
        aside.replace(path.with_suffix(suffix))


def _labelled(shards: Path, name: str) -> Kept:
    labels, digests = [np.zeros(0, np.int64)], []
    for path in sorted(shards.glob(f"{name}-?????.npz")):
        with np.load(path) as kept:
            labels.append(kept["labels"])
            raw = kept["digests"].tobytes()
        digests += [raw[i : i + 32] for i in range(0, len(raw), 32)]
    return Kept(np.concatenate(labels), digests)


# ---- Splits ------------------------------------------------------------------------------------


def _rule(large: LargeCard, labels: NDArray[np.int64], classes: tuple[str, ...]) -> ContentSplit:
    counts = np.bincount(labels, minlength=len(classes))
    if (smallest := int(counts.min())) < 1 + len(large.held_out):
        raise UserError(
            f"The data set {large.id} has {smallest} images of {classes[int(counts.argmin())]} to "
            f"train on; {1 + len(large.held_out)} are needed."
        )
    each = {name: max(1, int(part * smallest)) for name, part in large.held_out.items()}
    return ContentSplit(divide="train", keep="test", per_class=each, rest="classifier_pool")


def _write_splits(part: Path, card: Card, found: dict[str, Kept]) -> None:
    """Labels, ids and places of every split, in the order of ids."""
    assert card.content_split is not None
    folder = part / f"arrays-{card.key[:8]}"
    folder.mkdir(exist_ok=True)
    ids = {name: ids_of(split.digests) for name, split in found.items()}
    train = found["train"]
    divided = rows_of(
        train.labels, ids["train"], ids["test"], card.content_split, len(card.classes)
    )
    parts = {name: ("train", rows) for name, rows in divided.items()}
    for name in (n for n in found if n != "train"):
        parts[name] = (name, np.lexsort((found[name].labels, ids[name])))
    for name, (source, rows) in parts.items():
        np.save(folder / f"{name}-labels.npy", found[source].labels[rows])
        np.save(folder / f"{name}-ids.npy", ids[source][rows])
        np.save(folder / f"{name}-rows.npy", rows.astype(np.int64))
        (folder / f"{name}-source.txt").write_text(source)


def split_of(
    folder: Path, arrays: Path, split: str
) -> tuple[Rows, NDArray[np.int64], NDArray[np.int64]]:
    """Images, labels and ids of a split of a folder that `fetch` gave."""
    source = (arrays / f"{split}-source.txt").read_text()
    files = sorted((folder / SHARDS).glob(f"{source}-?????.npy"))
    blocks = [block for path in files if (block := in_npy(path)).count]
    labels, ids, rows = (np.load(arrays / f"{split}-{n}.npy") for n in ("labels", "ids", "rows"))
    return Rows(blocks, rows), labels, ids
