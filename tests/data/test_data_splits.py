import hashlib
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dataworth.data.catalog import ContentSplit
from dataworth.data.splits import Decoded, Labelled, content_ids, content_sha256, divide

N_CLASSES = 3


def rule(**per_class: int) -> ContentSplit:
    return ContentSplit(divide="train", keep="test", per_class=per_class, rest="rest")


@st.composite
def data(draw: st.DrawFn) -> Decoded:
    """Images of 2 binary pixels by 2: copies within and across splits and labels are common."""

    def split(least: int) -> Labelled:
        n = draw(st.integers(least, 40))
        images = draw(hnp.arrays(np.uint8, (n, 2, 2), elements=st.integers(0, 2)))
        labels = draw(hnp.arrays(np.int64, n, elements=st.integers(0, N_CLASSES - 1)))
        return Labelled(images, labels)

    return {"train": split(0), "test": split(1)}


def hashes(images: np.ndarray) -> list[str]:
    return [hashlib.sha256(image.tobytes()).hexdigest() for image in images]


def reference(decoded: Decoded, per_class: dict[str, int]) -> dict[str, list[tuple[str, int]]]:
    """The rule of `ContentSplit` in words: dictionaries of hashes, one example at a time."""
    test = set(hashes(decoded["test"].images))
    seen: dict[str, set[int]] = defaultdict(set)
    for digest, label in zip(hashes(decoded["train"].images), decoded["train"].labels, strict=True):
        if digest not in test:
            seen[digest].add(int(label))
    result: dict[str, list[tuple[str, int]]] = {name: [] for name in (*per_class, "rest")}
    for label in range(N_CLASSES):
        ranked = sorted(digest for digest, labels in seen.items() if labels == {label})
        for name, count in per_class.items():
            result[name] += [(digest, label) for digest in ranked[:count]]
            ranked = ranked[count:]
        result["rest"] += [(digest, label) for digest in ranked]
    return {name: sorted(rows) for name, rows in result.items()}


@settings(max_examples=200, deadline=None)
@given(data(), st.integers(1, 3), st.integers(1, 2), st.randoms(use_true_random=False))
def test_rule_against_a_reference(decoded: Decoded, first: int, second: int, random) -> None:
    per_class = {"pool": first, "validation": second}
    wanted = reference(decoded, per_class)
    enough = all(
        sum(label == c for name in per_class for _, label in wanted[name]) == first + second
        for c in range(N_CLASSES)
    )
    if not enough:
        with pytest.raises(ValueError, match="unique examples"):
            divide(decoded, rule(**per_class), N_CLASSES)
        return
    parts = divide(decoded, rule(**per_class), N_CLASSES)
    for name, expected in wanted.items():
        found = list(zip(hashes(parts[name].images), parts[name].labels.tolist(), strict=True))
        assert found == expected  # also the order: by hash

    # No content is in two splits, and the kept split lost nothing.
    contents = [set(hashes(part.images)) for part in parts.values()]
    assert sum(map(len, contents)) == len(set().union(*contents))
    assert sorted(hashes(parts["test"].images)) == sorted(hashes(decoded["test"].images))

    # The order of the files does not matter.
    shuffled = {}
    for name, (images, labels) in decoded.items():
        order = list(range(len(labels)))
        random.shuffle(order)
        shuffled[name] = Labelled(images[order], labels[order])
    assert content_sha256(shuffled) == content_sha256(decoded)
    for name, (images, labels) in divide(shuffled, rule(**per_class), N_CLASSES).items():
        np.testing.assert_array_equal(images, parts[name].images)
        np.testing.assert_array_equal(labels, parts[name].labels)


def test_copies_in_the_tiny_set(decoded: Decoded) -> None:
    # Of 36 training images: one copy, one pair that disagrees on the label, one test image.
    parts = divide(decoded, rule(pool=4, validation=2), N_CLASSES)
    assert {name: len(part.labels) for name, part in parts.items()} == {
        "pool": 12,
        "validation": 6,
        "rest": 36 - 1 - 2 - 1 - 12 - 6,
        "test": 9,
    }
    assert np.bincount(parts["pool"].labels).tolist() == [4, 4, 4]
    everywhere = {digest for part in parts.values() for digest in hashes(part.images)}
    assert hashes(decoded["train"].images[30:31])[0] not in everywhere


def test_ids_are_the_head_of_the_sha256(decoded: Decoded) -> None:
    images = decoded["test"].images
    expected = [int(digest, 16) >> (256 - 63) for digest in hashes(images)]
    assert content_ids(images).tolist() == expected
    assert content_ids(images[::-1]).tolist() == expected[::-1]  # a view that is not contiguous


@pytest.mark.parametrize("change", ["pixel", "label", "split", "shape"])
def test_content_checksum_notices(decoded: Decoded, change: str) -> None:
    images, labels = (values.copy() for values in decoded["train"])
    test = decoded["test"]
    changed: Decoded = {"train": Labelled(images, labels), "test": test}
    if change == "pixel":
        images[3, 2, 1] ^= 1
    elif change == "label":
        labels[3] = (labels[3] + 1) % 3
    elif change == "shape":
        changed["train"] = Labelled(images.reshape(-1, 4, 16), labels)
    else:  # one example moves from one split to the other
        changed = {
            "train": Labelled(images[:-1], labels[:-1]),
            "test": Labelled(
                np.concatenate([test.images, images[-1:]]),
                np.concatenate([test.labels, labels[-1:]]),
            ),
        }
    assert content_sha256(changed) != content_sha256(decoded)
