"""Icon sets: from a package's JSON to images, and the card that pins them."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dataworth.data import Card, card, content_ids, fetch, icons, load_images, status
from dataworth.data.catalog import IconSource
from dataworth.data.formats import FormatError
from dataworth.data.icons import icon_choices, rasterised, read_iconify, svg
from dataworth.data.splits import content_sha256
from dataworth.errors import UserError

SQUARE = '<path fill="currentColor" d="M2 6h20v10H2z"/>'  # 20 wide, 10 high
TINY_SET = {
    "prefix": "tiny-set",
    "width": 28,
    "height": 28,
    "icons": {
        "bar": {"body": SQUARE},
        "red": {"body": SQUARE.replace("currentColor", "#f00")},
        "tall": {"body": '<path d="M10 0h4v32h-4z"/>', "height": 32},
    },
}


# -- rendering, against areas computed by hand


def test_a_bar_fills_the_width_and_is_centred() -> None:
    pytest.importorskip("resvg_py")
    image = rasterised(svg(TINY_SET, "bar"), 28)
    expected = np.zeros((28, 28), np.uint8)
    expected[7:21] = 255  # 20 x 10 becomes 28 x 14
    np.testing.assert_array_equal(image, expected)


def test_a_tall_bar_fills_the_height() -> None:
    pytest.importorskip("resvg_py")
    ink = rasterised(svg(TINY_SET, "tall"), 28) / 255
    assert ink[:, 14].min() == 1 and ink[0].sum() == pytest.approx(28 * 4 / 32, abs=0.6)


def test_tones_are_stretched_and_colour_is_weighed_as_luma() -> None:
    pytest.importorskip("resvg_py")
    two = '<rect width="10" height="20"/><rect x="10" width="10" height="20" fill="#f00"/>'
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 20">{two}</svg>'
    ink = rasterised(drawing, 28)
    assert ink[14, 3] == 255
    assert ink[14, 24] == pytest.approx(255 * (1 - 0.299), abs=1)  # ITU-R BT.601, red
    alone = rasterised(svg(TINY_SET, "red"), 28)
    assert alone.max() == 255 and set(np.unique(alone)) == {0, 255}


def test_what_cannot_be_rendered() -> None:
    pytest.importorskip("resvg_py")
    with pytest.raises(FormatError, match="tiny-set has no icon 'foo'"):
        svg(TINY_SET, "foo")
    with pytest.raises(FormatError, match="empty"):
        rasterised('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"/>', 28)
    dots = "".join(f'<rect x="{at}" y="{at}" width="1" height="1"/>' for at in (0, 223))
    faint = f'<g fill-opacity="0.06">{dots}</g>'
    with pytest.raises(FormatError, match="too faint"):
        rasterised(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 224 224">{faint}</svg>', 28
        )


# -- the provider: several packages by one call of npm


@pytest.fixture
def tiny_icons(
    use_card: Callable[..., Card], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Card, Path]:
    pytest.importorskip("resvg_py")
    choices = {
        "tiny_set": icons.IconChoice(ink="colour", icons={"Trouser": ("bar", "tall")}),
        "other": icons.IconChoice(ink="line", icons={"T-shirt/top": ("bar",)}),
    }
    monkeypatch.setattr(icons, "icon_choices", lambda card_id: choices)
    packages = []
    for prefix in ("tiny-set", "other"):
        source = tmp_path / prefix / "icons.json"
        source.parent.mkdir()
        source.write_text(json.dumps(TINY_SET | {"prefix": prefix}))
        archive = tmp_path / f"icons-{prefix}-1.0.tgz"
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(source, "package/icons.json")
        packages.append(
            {
                "package": f"@icons/{prefix}",
                "version": "1.0",
                "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
                "size": archive.stat().st_size,
                "spdx": "CC0-1.0",
                "attribution": "nobody",
            }
        )
    fields = {
        "image_shape": (28, 28),
        "source_splits": {"tiny_set": 2, "other": 1},
        "content_split": None,
    }
    provider = {"kind": "icons", "packages": packages}
    decoded = read_iconify(tmp_path, use_card(provider, **fields))
    made = use_card(provider, **fields, content_sha256=content_sha256(decoded))
    return made, tmp_path


def test_icon_sets_become_splits(tiny_icons: tuple[Card, Path], client) -> None:
    made, folder = tiny_icons
    log = client("npm", f'cp "{folder}"/icons-*.tgz .')
    root = folder / "data"
    fetch(made.id, root=root)
    assert log.read_text().split()[:3] == ["pack", "@icons/tiny-set@1.0", "@icons/other@1.0"]
    colour, line = (load_images(made.id, name, root=root) for name in ("tiny_set", "other"))
    assert colour.labels.tolist() == [1, 1] and line.labels.tolist() == [0]
    assert colour.images[:, 0, 0].max() == 0 and line.images[0, 0, 0] == 255  # the grounds
    assert any(np.array_equal(255 - line.images[0], image) for image in colour.images)
    found = status(made, root=root)
    assert found.present and found.version == "tiny-set@1.0 other@1.0"


def test_without_a_connection(tiny_icons: tuple[Card, Path], client) -> None:
    made, folder = tiny_icons
    with pytest.raises(
        UserError, match="packages @icons/tiny-set and 1 more failed: the program npm is"
    ):
        fetch(made.id, root=folder / "data")
    client("npm", 'echo "npm error network request failed" >&2; exit 1')
    with pytest.raises(UserError, match="request failed; check the connection") as caught:
        fetch(made.id, root=folder / "data")
    assert "\n" not in str(caught.value)


# -- the card


def test_the_table_fits_the_card() -> None:
    found = card("fashion-icons")
    choices = icon_choices(found.id)
    assert list(choices) == list(found.source_splits)
    for name, choice in choices.items():
        assert set(choice.icons) <= set(found.classes)
        chosen = [icon for names in choice.icons.values() for icon in names]
        assert max(Counter(chosen).values()) == 1, f"{name} has an icon in two classes"
        assert len(chosen) == found.source_splits[name]
    assert found.classes == card("fashion-mnist").classes


def test_licences_of_the_packages_are_those_of_the_card() -> None:
    found = card("fashion-icons")
    (provider,) = found.providers
    assert isinstance(provider, IconSource)
    licences = {package.spdx for package in provider.packages}
    assert " AND ".join(sorted(licences)) == found.licence.spdx
    assert all(re.match("(MIT|ISC|Apache|CC-BY)", spdx) for spdx in licences)
    assert all(package.attribution for package in provider.packages)
    assert provider.size < 15e6


@pytest.mark.network
@pytest.mark.slow
def test_real_fetch_of_the_icons(tmp_path: Path) -> None:
    """The pinned packages, rendered here, are the images that the card pins."""
    pytest.importorskip("resvg_py")
    if not shutil.which("npm"):
        pytest.skip("npm is not on this machine")
    asked = subprocess.run(
        ["npm", "view", "@iconify-json/lucide", "name", "--fetch-timeout=10000"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    if asked.returncode:
        pytest.skip(f"the npm registry cannot be reached: {asked.stderr.strip()[:200]}")
    fetch("fashion-icons", root=tmp_path)
    found = load_images("fashion-icons", "noto", root=tmp_path)
    assert len(found) == 15 and found.images.shape[1:] == (28, 28)
    np.testing.assert_array_equal(found.ids, content_ids(found.images))
    corners = found.images[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert np.median(corners) == 0  # a dark ground, as under the photographs
