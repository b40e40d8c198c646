"""A user's own files or hub repository, opened as tables of rows by `datasets`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataworth.data.formats import import_datasets, quiet
from dataworth.data.own import HUB_ID, OwnData
from dataworth.errors import UserError, is_full, short

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev", "eval"),
    "test": ("test", "testing"),
}
"""Split names as people write them."""
BUILDERS = {".parquet": "parquet", ".arrow": "arrow", ".tar": "webdataset"}


@dataclass(frozen=True)
class Place:
    """What a source turned out to be: a folder, a file, or a hub repository at a commit."""

    path: Path | None
    repo: str = ""
    commit: str | None = None

    def __str__(self) -> str:
        return str(self.path) if self.path else f"hub repository {self.repo}"


def place(data: OwnData) -> Place:
    """Where the data are. UserError for a path that does not exist and is no hub id."""
    field = "images" if data.images else "text"
    path = Path(data.source).expanduser()
    if path.exists():
        if not os.access(path, os.R_OK):
            raise UserError(f"{field}: {path} may not be read; change its permissions.")
        return Place(path.absolute())
    if (found := HUB_ID.fullmatch(data.source)) and not data.source.startswith((".", "/", "~")):
        return Place(None, found["repo"], found["commit"])
    raise UserError(
        f"{field}: there is no file or folder '{short(data.source)}', and it is not of the form "
        "owner/name of a hub repository."
    )


def split_of(name: str) -> str | None:
    """`train`, `validation` or `test` of a split's or folder's name, None of any other."""
    return next((split for split, names in SPLITS.items() if name.lower() in names), None)


def files_below(folder: Path) -> Iterator[Path]:
    """All files of a folder by path, without hidden ones and those in hidden folders."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts)
        if not hidden and path.is_file():
            yield path


def tables(
    data: OwnData, where: Place, scratch: Path, *, streaming: bool = False
) -> dict[str, Any]:
    """The splits of a file or folder of Parquet, Arrow or webdataset, of a folder of
    `save_to_disk`, or of a hub repository, as `datasets` reads them; by name.

    UserError, one sentence, for what cannot be read, is gated or is not there.
    """
    datasets = import_datasets()
    try:
        with quiet(datasets):
            if where.path is None:
                loaded = datasets.load_dataset(
                    where.repo, data.config, revision=where.commit, streaming=streaming
                )
            elif where.path.is_dir() and _saved(where.path):
                loaded = datasets.load_from_disk(str(where.path))
            elif where.path.is_dir():
                loaded = datasets.load_dataset(
                    str(where.path), data.config, cache_dir=str(scratch), streaming=streaming
                )
            else:
                loaded = datasets.load_dataset(
                    BUILDERS[where.path.suffix.lower()],
                    data_files={"train": str(where.path)},
                    cache_dir=str(scratch),
                    streaming=streaming,
                )
    except UserError:
        raise
    except Exception as error:  # any of several libraries' errors
        if is_full(error):
            raise
        raise UserError(_refusal(where, error, offline=datasets.config.HF_HUB_OFFLINE)) from error
    # A data set by itself is a table of one split; a mapping of them has several.
    return dict(loaded) if hasattr(loaded, "keys") else {str(loaded.split or "train"): loaded}


def _saved(folder: Path) -> bool:
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()


def _refusal(where: Place, error: Exception, *, offline: bool) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    said = short(lines[0], 200).rstrip(".:")
    names = {kind.__name__ for kind in type(error).__mro__}
    if where.path is not None:
        return f"{where} cannot be read ({said}): is a file of it damaged or of another kind?"
    if "GatedRepoError" in names or "gated" in str(error).lower():
        return (
            f"The {where} is gated: ask for access on its page, log in (hf auth login), and give "
            "the command again."
        )
    if offline:
        return (
            f"The {where} is not in the local cache, and HF_HUB_OFFLINE forbids asking the hub "
            f"({said})."
        )
    if names & {"DatasetNotFoundError", "RepositoryNotFoundError", "RevisionNotFoundError"}:
        return (
            f"The {where} does not exist, or is private: check owner, name and commit, or log in "
            "(hf auth login)."
        )
    return f"The {where} could not be read ({said}): check the connection and its name."


def column(columns: list[str], given: str | None, known: tuple[str, ...], what: str) -> str | None:
    """The column that was named, else the first of the `known` names that is there (upper and
    lower case alike), else None. UserError for a named one that is not there."""
    if given is not None:
        if given not in columns:
            raise UserError(
                f"{what}: there is no column '{short(given)}'; there are "
                f"{short(', '.join(columns), 300)}."
            )
        return given
    lower = {name.lower(): name for name in reversed(columns)}
    return next((lower[name] for name in known if name in lower), None)
