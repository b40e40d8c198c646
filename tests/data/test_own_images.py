"""A user's own images: every odd file is right or counted, every unfit set one sentence."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataworth.data import own_images, pictures
from dataworth.data.own import OwnData
from dataworth.data.own_images import OwnImages
from dataworth.errors import UserError

Make = Callable[..., Path]
INKS = {"disc": (200, 30, 30), "box": (30, 200, 30), "cross": (30, 30, 200)}


def picture(label: str, number: int, side: int = 16) -> Image.Image:
    """One image of a class: its ink, and noise of its own."""
    rng = np.random.default_rng([sum(map(ord, label)), number])
    pixels = rng.integers(0, 60, (side, side, 3), dtype=np.uint8)
    pixels[4:12, 4:12] = INKS.get(label, (200, 200, 30))
    return Image.fromarray(pixels)


@pytest.fixture
def folder(tmp_path: Path) -> Make:
    """A folder of folders: so many images of each class in each split ("": no split folders)."""

    def make(
        splits: dict[str, int] | None = None, classes: Any = tuple(INKS), **kwargs: Any
    ) -> Path:
        start = 0
        for split, count in (splits or {"train": 8, "test": 4}).items():
            for label in classes:
                (tmp_path / "in" / split / label).mkdir(parents=True)
                for i in range(count):
                    picture(label, start + i, **kwargs).save(
                        tmp_path / "in" / split / label / f"{i}.png"
                    )
            start += count
        return tmp_path / "in"

    return make


def read(source: Path, **said: Any) -> OwnImages:
    return own_images.read(OwnData(images=str(source), **said))


def refusal(source: Path, **said: Any) -> str:
    with pytest.raises(UserError) as caught:
        read(source, **said)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_plain_folder(folder: Make) -> None:
    found = read(folder())
    assert found.classes == ("box", "cross", "disc") and found.shape == (16, 16, 3)
    assert {name: len(split.labels) for name, split in found.decoded.items()} == {
        "train": 24,
        "test": 12,
    }
    assert found.rule.keep == "test" and found.rule.per_class == {
        "generator_pool": 2,
        "validation": 1,
    }
    images, labels = found.decoded["test"]
    for image, label in zip(images, labels, strict=True):
        assert tuple(image[8, 8]) == INKS[found.classes[label]]
    assert not found.report.left_out and not found.report.changed


def test_splits_are_made_where_none_are_given(folder: Make) -> None:
    found = read(folder({"": 20}))
    assert found.rule.keep is None and list(found.decoded) == ["train"]
    assert found.rule.per_class == {"test": 4, "generator_pool": 6, "validation": 2}
    assert found.report.found["largest real training set"] == 3 * 8


def test_an_envelope_around_the_splits(folder: Make, tmp_path: Path) -> None:
    folder()
    (tmp_path / "outer").mkdir()
    (tmp_path / "in").rename(tmp_path / "outer" / "inner")
    assert set(read(tmp_path / "outer").decoded) == {"train", "test"}


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        (("猫", "犬", "bird"), ("bird", "犬", "猫")),  # no letter of ASCII in two of them
        (("c", "c++", "1.0", "10"), ("1.0", "10", "c", "c++")),
        (("2", "10", "1"), ("1", "2", "10")),  # numbers by their size
        (("train", "car"), ("car", "train")),  # a class may be called as a split is
    ],
)
def test_classes_stay_apart_whatever_their_names(
    folder: Make, classes: tuple, names: tuple
) -> None:
    found = read(folder(classes=classes))
    assert found.classes == names
    for split, count in (("train", 8), ("test", 4)):
        assert np.bincount(found.decoded[split].labels).tolist() == [count] * len(names)


def test_a_nested_folder_belongs_to_its_class(folder: Make) -> None:
    root = folder()
    (root / "train/disc/more").mkdir()
    picture("disc", 99).save(root / "train/disc/more/n.png")
    found = read(root)
    assert found.classes == ("box", "cross", "disc") and len(found.decoded["train"].labels) == 25


def test_validation_serves_as_test_where_there_is_no_other(folder: Make) -> None:
    found = read(folder({"train": 8, "val": 4}))
    assert found.rule.keep == "test" and len(found.decoded["test"].labels) == 12
    assert any("'validation' serves as test set" in note for note in found.report.notes)


def test_a_third_split_joins_the_training_images(folder: Make) -> None:
    found = read(folder({"train": 8, "val": 4, "test": 5}))
    assert {n: len(s.labels) for n, s in found.decoded.items()} == {"train": 36, "test": 15}
    assert any("'validation' was joined to train" in note for note in found.report.notes)
    assert "there is no split 'dev2'; there are " in refusal(_again(found), test="dev2")


def _again(found: OwnImages) -> Path:
    return Path(found.report.found["images from"])


def encoded(image: Image.Image, kind: str, **how: Any) -> bytes:
    with io.BytesIO() as file:
        image.save(file, kind, **how)
        return file.getvalue()


def ramp16() -> Image.Image:
    return Image.fromarray(np.arange(256, dtype=np.uint16).reshape(16, 16) * 257)


def half_clear(mode: str) -> Image.Image:
    """Left half opaque grey 90, right half transparent over hidden black."""
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[:, :8] = (90, 90, 90, 255)
    return Image.fromarray(pixels).convert(mode)


def turned() -> bytes:
    """White on top as stored; its EXIF says that the stored top is the right side."""
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(Image.fromarray(pixels), "JPEG", quality=100, exif=exif)


def animated() -> bytes:
    frames = [Image.new("RGB", (16, 16), ink) for ink in ("red", "blue")]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


def cmyk() -> bytes:
    return encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100)


ODD = {
    "16 bits": (encoded(ramp16(), "PNG"), "16 bits a pixel: the upper 8 taken",
                np.repeat(np.arange(256).reshape(16, 16, 1), 3, 2)),
    "alpha": (encoded(half_clear("RGBA"), "PNG"), "transparent: shown on white",
              np.repeat(np.repeat([[90] * 8 + [255] * 8], 16, 0)[..., None], 3, 2)),
    "grey alpha": (encoded(half_clear("LA"), "PNG"), "transparent: shown on white",
                   np.repeat(np.repeat([[90] * 8 + [255] * 8], 16, 0)[..., None], 3, 2)),
    "exif": (turned(), "turned as EXIF says",
             np.repeat(np.repeat([[0] * 8 + [255] * 8], 16, 0)[..., None], 3, 2)),
    "animated": (animated(), "animated: the first frame taken",
                 np.broadcast_to([255, 0, 0], (16, 16, 3))),
    "cmyk": (cmyk(), "CMYK turned into RGB", np.broadcast_to([255, 0, 0], (16, 16, 3))),
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
def test_odd_images_come_out_right(folder: Make, kind: str) -> None:
    file, said, expected = ODD[kind]
    root = folder()
    (root / "train/disc/odd").write_bytes(file)
    (root / "train/disc/odd").rename(root / "train/disc/odd.png")  # the name tells nothing
    found = read(root)
    assert found.report.changed == {said: 1} and not found.report.left_out
    away = np.abs(found.decoded["train"].images.astype(int) - expected).max((1, 2, 3))
    assert away.min() <= 6  # JPEG


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (encoded(picture("disc", 50, 64), "JPEG")[:900], "truncated or damaged"),
        (b"<html>404</html>", "no picture that can be read"),
        (b"", "no picture that can be read"),
        (encoded(Image.fromarray(np.full((16, 16), 0.5, np.float32)), "TIFF"),
         "pixels of floating point, of which nobody knows the range"),
    ],
    ids=["truncated", "html", "empty", "float"],
)  # fmt: skip
def test_what_is_no_image_is_counted_and_named(folder: Make, file: bytes, reason: str) -> None:
    root = folder()
    (root / "train/disc/cut.png").write_bytes(file)
    found = read(root)
    assert found.report.left_out == {reason: 1}
    assert found.report.first == {reason: "train/disc/cut.png"}
    assert len(found.decoded["train"].labels) == 24


def test_hidden_files_and_notes_are_no_images(folder: Make) -> None:
    root = folder()
    for name in (".DS_Store", "._0.png", "notes.txt"):
        (root / "train/disc" / name).write_bytes(b"no image")
    found = read(root)
    assert found.report.left_out == {"files that are not images by their names": 1}


def test_copies_leave_no_trace_in_the_test_set(folder: Make) -> None:
    root = folder()
    again = (root / "train/disc/0.png").read_bytes()
    (root / "train/disc/again.png").write_bytes(again)  # a copy
    (root / "train/box/leak.png").write_bytes((root / "test/box/0.png").read_bytes())  # in test
    (root / "train/box/other.png").write_bytes((root / "train/cross/1.png").read_bytes())  # labels
    found = read(root)
    assert found.report.left_out == {
        "exact copies within train": 1,
        "in train that are in test too": 1,
        "in train whose copies have other labels": 2,
    }
    assert len(found.decoded["train"].labels) == 24 - 1 and len(found.decoded["test"].labels) == 12


def test_sizes_and_colours_are_made_alike(folder: Make, tmp_path: Path) -> None:
    root = folder({"": 8}, side=16)
    Image.new("RGB", (60, 30), "white").save(root / "disc/wide.png")
    found = read(root)
    assert found.shape == (32, 32, 3)  # 32, as the files differ
    assert found.report.changed == {"cropped to the middle square and resized to 32 x 32": 25}
    assert read(root, image_size=16).shape == (16, 16, 3)
    assert read(root, grey=True).shape == (32, 32)
    for path in root.rglob("*.png"):
        Image.open(path).convert("L").convert("RGB").save(path)
    assert read(root).shape == (32, 32)  # RGB files without a colour are grey


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"splits": {"train": 3, "test": 4}}, "class 'box' has 3 images in train, of which 3"),
        ({"classes": ("disc",)}, "there is one class, 'disc'; a classifier needs two or more"),
    ],
)
def test_unfit_folders(folder: Make, made: dict, words: str) -> None:
    assert words in refusal(folder(**made))


def test_classes_that_differ_between_splits(folder: Make) -> None:
    root = folder()
    (root / "test/moon").mkdir()
    picture("moon", 0).save(root / "test/moon/0.png")
    assert "class 'moon' has 1 images in test and none in train" in refusal(root)


def test_images_without_a_class(tmp_path: Path) -> None:
    for i in range(4):
        picture("disc", i).save(tmp_path / f"{i}.png")
    assert "none of the 4 images" in refusal(tmp_path)
    (tmp_path / "empty").mkdir()
    assert "holds no image of a known kind" in refusal(tmp_path / "empty")


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    assert "there is no file or folder" in refusal(tmp_path / "nowhere")
    (tmp_path / "notes.docx").write_text("x")
    assert "is no table of images; a file must end in .parquet" in refusal(tmp_path / "notes.docx")


def test_wordnet_ids_become_words(folder: Make) -> None:
    found = read(folder(classes=("n01440764", "n02979186")), words={"n02979186": ["boombox"]})
    assert found.words == {"n01440764": ("tench", "Tinca tinca"), "n02979186": ("boombox",)}
    assert "words: there is no class 'cat'" in refusal(_again(found), words={"cat": ["cat"]})


def rows(count: int) -> dict[str, list]:
    labels = [list(INKS)[i % 3] for i in range(count)]
    files = [{"bytes": encoded(picture(n, i), "PNG"), "path": None} for i, n in enumerate(labels)]
    return {"image": files, "label": labels}


@pytest.mark.parametrize("kind", ["parquet", "class label", "arrow folder", "metadata.csv", "tar"])
def test_tables(tmp_path: Path, kind: str) -> None:
    import datasets

    table = rows(24)
    table["label"][23] = None
    out = tmp_path / "in"
    out.mkdir()
    if kind == "metadata.csv":
        lines = ["file_name,label"]
        for i, (file, label) in enumerate(zip(table["image"], table["label"], strict=True)):
            (out / f"{i}.png").write_bytes(file["bytes"])
            lines.append(f"{i}.png,{label or ''}")
        (out / "metadata.csv").write_text("\n".join(lines) + "\n")
    elif kind == "tar":  # webdataset: classes are numbers
        table = {"image": table["image"][:23], "label": [i % 3 for i in range(23)]}
        out = tmp_path / "in.tar"
        with tarfile.open(out, "w") as tar:
            for i, (file, label) in enumerate(zip(*table.values(), strict=True)):
                for suffix, raw in (("png", file["bytes"]), ("cls", str(label).encode())):
                    member = tarfile.TarInfo(f"{i:03}.{suffix}")
                    member.size = len(raw)
                    tar.addfile(member, io.BytesIO(raw))
    else:
        features = None
        if kind == "class label":
            names = datasets.ClassLabel(names=sorted(INKS))
            features = datasets.Features({"image": datasets.Image(), "label": names})
        made = datasets.Dataset.from_dict(table, features=features)
        if kind == "arrow folder":
            made.save_to_disk(str(out))
        else:
            made.to_parquet(str(out / "data.parquet"))
            out = out / "data.parquet"
    found = read(out)
    names = tuple(INKS) if kind == "tar" else ("box", "cross", "disc")
    assert len(found.classes) == 3 and (kind == "tar" or found.classes == names)
    assert found.report.left_out == ({} if kind == "tar" else {"without a label": 1})
    assert len(found.decoded["train"].labels) == 23
    for image, label in zip(*found.decoded["train"], strict=True):
        assert tuple(image[8, 8]) == INKS[names[label]]


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    import datasets

    table = rows(9)
    table["kind"] = table.pop("label")
    datasets.Dataset.from_dict(table).to_parquet(str(tmp_path / "t.parquet"))
    assert (
        "label_column: no column of split train looks like it; name one of image, kind"
        in refusal(tmp_path / "t.parquet")
    )
    assert "there is no column 'king'" in refusal(tmp_path / "t.parquet", label_column="king")
    assert "has 3 images in train" in refusal(tmp_path / "t.parquet", label_column="kind")


def test_the_size_is_read_from_the_header_alone() -> None:
    assert pictures.size(turned()) == (16, 16)
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = encoded(Image.new("RGB", (20, 10)), "JPEG", exif=exif)
    assert pictures.size(lying) == (20, 10)  # height, width as shown
