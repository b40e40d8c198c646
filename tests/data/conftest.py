"""The tiny data set as the only one there is, and scripts in the place of the clients."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_set import CLASSES, tiny_data

from dataworth.data import catalog
from dataworth.data.catalog import Card
from dataworth.data.splits import Decoded, content_sha256


@pytest.fixture
def decoded() -> Decoded:
    return tiny_data()


@pytest.fixture
def use_card(decoded: Decoded, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Card]:
    """Make the tiny card, with these providers, the only one there is."""

    def use(*providers: object, **changes: object) -> Card:
        fields = {
            "id": "tiny",
            "title": "Tiny",
            "modality": "image",
            "image_shape": (8, 8),
            "classes": CLASSES,
            "source_splits": {"train": 36, "test": 9},
            "content_sha256": content_sha256(decoded),
            "licence": {"spdx": "CC0-1.0", "attribution": "nobody", "redistribution": "all"},
            "citation": {"key": "tiny", "bibtex": "@misc{tiny}\n"},
            "content_split": {
                "divide": "train",
                "keep": "test",
                "per_class": {"generator_pool": 4, "validation": 2},
                "rest": "classifier_pool",
            },
            "providers": providers,
        }
        made = Card.model_validate(fields | changes)
        monkeypatch.setattr(catalog, "cards", lambda: (made,))
        return made

    monkeypatch.delenv("DATAWORTH_DATA_TINY", raising=False)
    return use


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Put a shell script of this name on a PATH that holds nothing else but dpkg-deb's tools.

    Returns the log to which the script's first line writes its arguments.
    """
    programs = tmp_path / "programs"
    programs.mkdir()
    log = tmp_path / "calls.log"
    for name in ("dpkg-deb", "tar", "xz", "gzip", "zstd", "rm", "cp", "sleep"):
        if real := shutil.which(name):
            (programs / name).symlink_to(real)
    monkeypatch.setenv("PATH", str(programs))

    def put(name: str, body: str) -> Path:
        script = programs / name
        script.write_text(f'#!/bin/sh\necho "$*" >> "{log}"\n{body}\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        return log

    return put
