"""The card `icons`: names to classes, colours, copies, and which design serves what."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataworth.data import Card, card, fetch, load_images, named_icons
from dataworth.data.formats import FormatError
from dataworth.data.named_icons import (
    NO_CLASS,
    IconSet,
    colours,
    copies,
    icon_sets,
    luma,
    on_paper,
    rasterised,
    read_named,
    style_of,
    unlike,
    words,
)
from dataworth.data.splits import content_sha256

# -- names


@pytest.mark.parametrize(
    ("name", "shown", "said", "style"),
    [
        ("home", "home", ("outline",), "outline"),
        ("home-fill", "home", ("fill",), "filled"),
        ("home-2-bold-duotone", "home", ("bold", "duotone"), "duotone"),
        ("home-24-regular", "home", ("regular",), "outline"),
        ("home2", "home", ("outline",), "outline"),
        ("outline-shopping-cart", "shopping cart", ("outline",), "outline"),
        ("baseline-home", "home", ("outline",), "outline"),
        ("two-tone-home", "home", ("twotone",), "duotone"),
        ("light-bulb", "light bulb", ("outline",), "outline"),
        ("solid", "solid", ("outline",), "outline"),
        ("3d-cube", "3d cube", ("outline",), "outline"),
    ],
)
def test_what_a_name_shows_and_how_it_is_drawn(name, shown, said, style):
    assert words(name, "outline") == (shown, said)
    assert style_of(said, "outline") == style
    assert style_of(said, "emoji") == "emoji"


# -- colours


@given(st.text(min_size=1, max_size=20), st.booleans())
def test_ink_is_seen_on_paper(key, coloured):
    ink, paper = colours(key, coloured=coloured)
    assert abs(luma(ink) - luma(paper)) >= named_icons.CONTRAST
    assert colours(key, coloured=coloured) == (ink, paper)


def test_half_of_the_papers_are_dark():
    dark = [
        luma(ink) > luma(paper)
        for ink, paper in (colours(str(i), coloured=False) for i in range(400))
    ]
    assert 150 < sum(dark) < 250


def test_paper_shows_through_what_is_half_transparent():
    pytest.importorskip("resvg_py")
    bar = '<rect y="8" width="32" height="16" fill-opacity="0.5"/>'
    view = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
    pixels = rasterised(f"{view}{bar}</svg>", 32)
    image = on_paper(pixels, (200, 0, 0), (0, 0, 100))
    assert image[0, 0].tolist() == [0, 0, 100]
    np.testing.assert_allclose(image[16, 16].astype(int), [100, 0, 50], atol=1)
    assert (on_paper(pixels, None, (255, 255, 255))[16, 16].astype(int) >= 126).all()


# -- copies


def brute(pictures: np.ndarray, near: float) -> set[tuple[int, int]]:
    x = pictures.reshape(len(pictures), -1) / 255
    close = np.sqrt(((x[:, None] - x[None]) ** 2).mean(2)) <= near
    return set(zip(*np.nonzero(np.triu(close, 1)), strict=True))


def test_copies_against_all_pairs():
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (30, 8, 8))
    noisy = np.clip(base[:20] + rng.normal(0, 20, (20, 8, 8)), 0, 255)
    pictures = np.concatenate([base, noisy]).astype(np.uint8)
    found = copies(pictures, 0.08)
    assert set(map(tuple, found.tolist())) == brute(pictures, 0.08)
    assert 0 < len(found) < 20 and (np.diff(found[:, 0]) >= 0).all()


def test_of_copies_the_first_is_kept_and_none_of_two_classes():
    pictures = np.zeros((7, 8, 8), np.uint8)
    pictures[2:4, :, :4] = 255  # rows 2 and 3 are alike, of two classes
    pictures[4:, :4] = 255  # rows 4 to 6 are alike, and one of them is of no class
    labels = np.array([0, 0, 1, 2, NO_CLASS, 3, 3])
    assert unlike(pictures, labels, 0.01).tolist() == [0, 4]


# -- from a package to splits

BAR = '<path fill="currentColor" d="M0 {}h24v{}H0z"/>'


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three sets of bars, one of them in two sizes."""
    pytest.importorskip("resvg_py")
    sets = {
        "web": {
            "home": BAR.format(2, 3),
            "home-search": BAR.format(4, 5),
            "mail-fill": BAR.format(6, 2),
            "gone": "",
        },
        "ours": {
            "house-20": BAR.format(7, 1),
            "house-24": BAR.format(8, 2),
            "mail": BAR.format(9, 9),
            "mail-duotone": BAR.format(1, 9),
            "home-search": BAR.format(1, 1),
        },
        "theirs": {"home": BAR.format(12, 4), "mail-duotone": BAR.format(13, 8)},
    }
    (tmp_path / "json").mkdir()
    for name, bodies in sets.items():
        icons = {icon: {"body": body} for icon, body in bodies.items()}
        whole = {"prefix": name, "width": 24, "height": 24, "icons": icons}
        (tmp_path / "json" / f"{name}.json").write_text(json.dumps(whole))
    listed = {name: {"license": {"spdx": "MIT"}} for name in sets}
    (tmp_path / "collections.json").write_text(json.dumps(listed))
    uses = {"web": "generator", "ours": "classifier", "theirs": "test"}
    fixed = {"style": "outline", "licence": "MIT", "author": "nobody"}
    table = {n: IconSet(set=n, family=n, use=u, **fixed) for n, u in uses.items()}
    monkeypatch.setattr(named_icons, "icon_sets", lambda: table)
    return tmp_path


@pytest.fixture
def tiny(package: Path, use_card: Callable[..., Card]) -> Callable[..., Card]:
    def use(*providers: object, **changes: object) -> Card:
        splits = ("generator_pool", "classifier_pool", "test", "duotone")
        fields = {
            "image_shape": (32, 32, 3),
            "classes": ("home", "mail"),
            "words": {"home": ("home", "house")},
            "described": True,
            "source_splits": dict.fromkeys(splits, 1),
            "content_split": None,
        }
        return use_card(*providers, **fields | changes)

    return use


def test_each_icon_goes_where_its_design_and_its_name_say(package, tiny):
    found = read_named(package, tiny())
    seen = {split: dict(zip(d.texts, d.labels.tolist(), strict=True)) for split, d in found.items()}
    assert seen == {
        "generator_pool": {"home, outline": 0, "home search, outline": NO_CLASS, "mail, fill": 1},
        "classifier_pool": {"house, outline": 0, "mail, outline": 1},
        "test": {"home, outline": 0},
        "duotone": {"mail, duotone": 1},
    }
    assert set(found["test"].origins) == {"theirs"}
    assert found["generator_pool"].images.shape == (3, 32, 32, 3)


def test_another_licence_is_refused(package, tiny):
    listed = package / "collections.json"
    listed.write_text(listed.read_text().replace("MIT", "CC-BY-NC-4.0", 1))
    with pytest.raises(FormatError, match=r"icon set \w+ is under CC-BY-NC-4.0, not MIT"):
        read_named(package, tiny())


def test_described_images_are_fetched_and_loaded(package, tiny, client, tmp_path):
    archive = tmp_path / "tiny-icons-1.0.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        for path in (package / "json", package / "collections.json"):
            tar.add(path, f"package/{path.name}")
    pin = {
        "kind": "npm",
        "package": "tiny-icons",
        "version": "1.0",
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "size": archive.stat().st_size,
        "path": "package",
        "format": "named-icons",
    }
    decoded = read_named(package, tiny())
    tiny(pin, content_sha256=content_sha256(decoded))
    client("npm", f'cp "{archive}" .')
    root = tmp_path / "data"
    fetch("tiny", root=root)
    pool = load_images("tiny", "generator_pool", root=root)
    assert pool.texts is not None and pool.origins is not None
    labels = dict(zip(pool.texts.tolist(), pool.labels.tolist(), strict=True))
    assert labels == {"home, outline": 0, "home search, outline": NO_CLASS, "mail, fill": 1}
    assert set(pool.origins) == {"web"}
    changed = dict(decoded)
    changed["test"].texts = np.array(["house, outline"])
    assert content_sha256(changed) != content_sha256(read_named(package, tiny()))


def test_described_images_have_no_rule_of_splits(tiny):
    with pytest.raises(ValueError, match="described are images, of splits as published"):
        rule = {"divide": "test", "keep": None, "per_class": {"a": 1}, "rest": "b"}
        tiny(content_split=rule)


# -- the card


def test_a_design_serves_one_purpose_under_a_licence_that_allows_it():
    uses: dict[str, set[str]] = {}
    for one in icon_sets().values():
        if one.use == "none":
            continue
        uses.setdefault(one.family, set()).add(one.use)
        assert not {"NC", "ND"} & set(one.licence.split("-")) and one.author
        if one.use == "generator":  # weights are shipped
            assert "SA" not in one.licence.split("-"), one.set
    assert all(len(found) == 1 for found in uses.values())
    assert {s.family for s in icon_sets().values() if s.set.startswith("fa")} >= {"font-awesome"}
    assert len({s.use for s in icon_sets().values() if s.family == "font-awesome"} - {"none"}) == 1


def test_classes_of_the_card_are_told_apart_by_their_words():
    found = card("icons")
    named = [word for row in found.class_words for word in row]
    assert len(found.classes) >= 100 and len(set(named)) == len(named)
    assert all(words(name.replace(" ", "-"), "outline")[0] == name for name in named)
    used = {one.licence for one in icon_sets().values() if one.use != "none"}
    assert " AND ".join(sorted(used)) == found.licence.spdx
