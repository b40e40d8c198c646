"""A tiny data set, packed for every kind of provider."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dataworth.data.catalog import PackageSource
from dataworth.data.splits import Decoded, Labelled

CLASSES = ("T-shirt/top", "Trouser", "Ankle boot")


def tiny_data() -> Decoded:
    """36 + 9 grey images of 8x8; some training images are copies, as in web data."""
    rng = np.random.default_rng(7)
    train = rng.integers(0, 256, (36, 8, 8), dtype=np.uint8)
    test = rng.integers(0, 256, (9, 8, 8), dtype=np.uint8)
    train_labels = np.arange(36, dtype=np.int64) % 3
    train[35] = train[32]  # an exact copy, same label
    train[34] = train[30]  # an exact copy under another label
    train[33] = test[0]  # a training image that is also in the test set
    return {
        "train": Labelled(train, train_labels),
        "test": Labelled(test, np.arange(9, dtype=np.int64) % 3),
    }


def write_idx(folder: Path, decoded: Decoded) -> Path:
    """The files of MNIST's format: http://yann.lecun.com/exdb/mnist (magic 2051 and 2049)."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = decoded[split]
        header = np.array([2051, *images.shape], ">i4").tobytes()
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(
            gzip.compress(header + images.tobytes())
        )
        header = np.array([2049, len(labels)], ">i4").tobytes()
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(
            gzip.compress(header + labels.astype(np.uint8).tobytes())
        )
    return folder


def package(kind: str, archive: Path, **changes: object) -> PackageSource:
    """The pin of an archive made here."""
    inside = {"debian": "usr/share/datasets/tiny", "npm": "package/data", "pypi": "tiny/data"}
    fields = {
        "kind": kind,
        "package": "dataset-tiny",
        "version": "1.0",
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "size": archive.stat().st_size,
        "path": inside[kind],
        "format": "idx",
    }
    return PackageSource.model_validate(fields | changes)


def make_deb(folder: Path, decoded: Decoded, version: str = "1.0") -> Path:
    if not shutil.which("dpkg-deb"):
        pytest.skip("dpkg-deb is not on this machine")
    tree = folder / f"deb-{version}"
    write_idx(tree / "usr/share/datasets/tiny", decoded)
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(
        f"Package: dataset-tiny\nVersion: {version}\nArchitecture: all\n"
        "Maintainer: Nobody <nobody@example.org>\nDescription: tiny\n"
    )
    archive = folder / f"dataset-tiny_{version}_all.deb"
    command = ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(archive)]
    subprocess.run(command, check=True, capture_output=True)
    return archive


def make_tgz(folder: Path, decoded: Decoded) -> Path:
    write_idx(folder / "npm/data", decoded)
    archive = folder / "dataset-tiny-1.0.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder / "npm", "package")
    return archive


def make_wheel(folder: Path, decoded: Decoded) -> Path:
    files = write_idx(folder / "wheel", decoded)
    wheels = folder / "wheels"
    wheels.mkdir()
    archive = wheels / "dataset_tiny-1.0-py3-none-any.whl"
    info = "dataset_tiny-1.0.dist-info"
    with zipfile.ZipFile(archive, "w") as wheel:
        for path in files.iterdir():
            wheel.write(path, f"tiny/data/{path.name}")
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: dataset-tiny\nVersion: 1.0\n"
        )
        tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{info}/WHEEL", tags)
        wheel.writestr(f"{info}/RECORD", "".join(f"{n},,\n" for n in wheel.namelist()))
    return archive
