"""What a model's name stands for: the content of its files, for the keys of runs.

A parameter names a model of others by a hub id, after which `@` and a commit may stand, or by a
folder. A hub's `main` moves and a folder's files can be exchanged, so neither is part of a key.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from dataworth.errors import UserError
from dataworth.paths import hub_copy

_NAMED = re.compile(r"(?:hub|word2sen|in-captions):(\S+)")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def digests(texts: Iterable[str]) -> dict[str, str]:
    """Digest of every model that one of the texts names (`hub:<model>`, `word2sen:<model>`,
    `in-captions:<model>`): of a folder's files, or the hub's commit; by the model's name."""
    names = {match[1] for text in texts if (match := _NAMED.fullmatch(text))}
    return {name: found for name in sorted(names) if (found := digest(name))}


def digest(model: str) -> str | None:
    """Digest of a folder's files, or the commit of a hub id: the one named, else that of the
    local copy, else the hub's present one, "not known" where it cannot be asked. None for what
    is neither a folder nor of the form of a hub id."""
    folder = Path(model).expanduser()
    if not folder.is_dir() and _HUB_ID.fullmatch(model):
        with suppress(UserError):  # loading the model will say that the copy is missing
            folder = hub_copy(model) or folder
    if folder.is_dir():
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return _of_files(tuple((path, *_state(path)) for path in files), folder)
    return _commit(model) if _HUB_ID.fullmatch(model) else None


def at_hand(repo: str) -> bool:
    """Whether a hub's repository (or a folder) is on this machine: in the folder of copies that
    the user named, or, where none is named, in the hub's cache. No network."""
    try:
        if hub_copy(repo) is not None:
            return True
    except UserError:
        return False
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError:
        return Path(repo).is_dir()
    cached = repo.partition("@")[0].replace("/", "--")
    kinds = (Path(HF_HUB_CACHE) / f"{kind}--{cached}" for kind in ("models", "datasets"))
    return Path(repo).is_dir() or any((folder / "snapshots").is_dir() for folder in kinds)


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


@lru_cache(maxsize=16)
def _of_files(files: tuple[tuple[Path, int, int], ...], folder: Path) -> str:
    whole = hashlib.sha256()
    for path, _, _ in files:
        with path.open("rb") as file:
            part = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(folder).as_posix()} {part}\n".encode())
    return whole.hexdigest()


@lru_cache(maxsize=64)
def _commit(model: str) -> str:
    name, _, revision = model.partition("@")
    if _COMMIT.fullmatch(revision):
        return revision
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.constants import HF_HUB_CACHE, HF_HUB_OFFLINE
    except ImportError:
        return "not known"
    ref = Path(HF_HUB_CACHE) / f"models--{name.replace('/', '--')}" / "refs" / (revision or "main")
    if ref.is_file():
        return ref.read_text().strip()
    if HF_HUB_OFFLINE:
        return "not known"
    try:
        return str(HfApi().model_info(name, revision=revision or None, timeout=10).sha)
    except Exception:  # whatever keeps us from it: loading the model will say
        return "not known"
