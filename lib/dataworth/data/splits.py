"""Content hashes of images, and splits that depend on nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from dataworth.data.catalog import ContentSplit


class Labelled(NamedTuple):
    """Images (N, H, W) or (N, H, W, 3) uint8 and their class indices (N,) int64."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


class Described(Labelled):
    """Labelled images of which each has a text (N,), what is written beside it, and the name of the
    collection that it comes from (N,)."""

    texts: NDArray[np.str_]
    origins: NDArray[np.str_]

    def __new__(
        cls,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        texts: NDArray[np.str_],
        origins: NDArray[np.str_],
    ) -> Self:
        made = super().__new__(cls, images, labels)
        made.texts, made.origins = texts, origins
        return made

    def __getnewargs__(self) -> tuple[NDArray, ...]:
        return *self, self.texts, self.origins


Decoded = dict[str, Labelled]
"""The published splits of a data set, decoded."""


def digests(images: NDArray[np.uint8]) -> list[bytes]:
    """The sha256 of the pixel bytes of each image (C order)."""
    images = np.ascontiguousarray(images)
    return [hashlib.sha256(image.tobytes()).digest() for image in images]


def content_ids(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(N,) ids: the first 63 bits of each image's sha256, so that id order is hash order."""
    return ids_of(digests(images))


def ids_of(digests: Iterable[bytes]) -> NDArray[np.int64]:
    """The content ids of images with these digests."""
    return np.array([int.from_bytes(d[:8], "big") >> 1 for d in digests], dtype=np.int64)


def content_sha256(decoded: Decoded) -> str:
    """One hash of a decoded data set, independent of the order of the examples in a split."""
    return sha256_of(
        {
            name: (found.images.shape[1:], _digests(found), found.labels.tolist())
            for name, found in decoded.items()
        }
    )


def _digests(found: Labelled) -> list[bytes]:
    """One digest of each example but for its label: of the image, and of what is said of it."""
    images = digests(found.images)
    if not isinstance(found, Described):
        return images
    said = zip(images, found.texts.tolist(), found.origins.tolist(), strict=True)
    return [hashlib.sha256(d + f"{text}\n{origin}".encode()).digest() for d, text, origin in said]


def sha256_of(
    splits: Mapping[str, tuple[tuple[int, ...], Sequence[bytes], Sequence[int]]],
) -> str:
    """`content_sha256` of splits by name: the shape of an image, digests and labels of all."""
    total = hashlib.sha256()
    for name in sorted(splits):
        shape, found, labels = splits[name]
        total.update(f"{name} {(len(labels), *shape)}\n".encode())
        pairs = zip(found, labels, strict=True)
        total.update(
            b"".join(sorted(d + label.to_bytes(8, "big", signed=True) for d, label in pairs))
        )
    return total.hexdigest()


def divide(decoded: Decoded, rule: ContentSplit, n_classes: int) -> dict[str, Labelled]:
    """Apply the rule (see `ContentSplit`); every split comes out in hash order.

    Raises ValueError when a class has fewer unique examples than the rule gives away.
    """
    images, labels = decoded[rule.divide]
    ids = content_ids(images)
    kept_ids = content_ids(decoded[rule.keep].images) if rule.keep else ids[:0]
    result: dict[str, Labelled] = {}
    for name, rows in rows_of(labels, ids, kept_ids, rule, n_classes).items():
        result[name] = Labelled(images[rows], labels[rows])
    if rule.keep:
        kept = decoded[rule.keep]
        order = np.lexsort((kept.labels, kept_ids))
        result[rule.keep] = Labelled(kept.images[order], kept.labels[order])
    return result


def rows_of(
    labels: NDArray[np.int64],
    ids: NDArray[np.int64],
    kept_ids: NDArray[np.int64],
    rule: ContentSplit,
    n_classes: int,
) -> dict[str, NDArray[np.intp]]:
    """The rows of the split `divide` that the rule gives to each of its parts, in hash order.
    kept_ids: of the split `keep`.

    Raises ValueError when a class has fewer unique examples than the rule gives away.
    """
    usable = without_copies(labels, ids, kept_ids).rows
    parts: dict[str, list[NDArray[np.intp]]] = {name: [] for name in (*rule.per_class, rule.rest)}
    for label in range(n_classes):
        ranked = usable[labels[usable] == label]
        given = sum(rule.per_class.values())
        if len(ranked) < given:
            raise ValueError(f"class {label} has {len(ranked)} unique examples, {given} are needed")
        cuts = np.cumsum(list(rule.per_class.values()))
        for name, part in zip(parts, np.split(ranked, cuts), strict=True):
            parts[name].append(part)

    found = {name: np.concatenate(chosen) for name, chosen in parts.items()}
    return {name: rows[np.argsort(ids[rows])] for name, rows in found.items()}


class Unique(NamedTuple):
    """What is left of examples without copies: their rows, in hash order; and how many were left
    out as copies of another, as copies under several labels, as `elsewhere` too."""

    rows: NDArray[np.intp]
    copies: int
    disagreeing: int
    elsewhere: int


def without_copies(
    labels: NDArray[np.int64], ids: NDArray[np.int64], elsewhere: NDArray[np.int64]
) -> Unique:
    """One example of each content; none whose copies disagree on the label, none that is among
    the ids `elsewhere`."""
    unique, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    agrees = np.ones(len(unique), dtype=bool)
    agrees[inverse[labels != labels[first][inverse]]] = False
    shared = np.isin(unique, elsewhere)
    return Unique(
        first[agrees & ~shared],  # ascending id = hash order
        copies=int((agrees & ~shared)[inverse].sum() - (agrees & ~shared).sum()),
        disagreeing=int((~agrees & ~shared)[inverse].sum()),
        elsewhere=int(shared[inverse].sum()),
    )
