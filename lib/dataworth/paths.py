"""Where things live: the clone, the cache of data and runs, the build."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from dataworth.errors import UserError

VARIANT = "variant of "
"""And a profile: the scale that DATAWORTH_PROFILE names where a chapter runs as a variant."""


def project_root() -> Path | None:
    """The clone this package runs from, or None when it was installed from a wheel."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() and (root / "book").is_dir() else None


def home() -> Path:
    """Folder of fetched data and stored runs.

    `DATAWORTH_HOME` if set; else `.dataworth/` of the clone; else `~/.cache/dataworth`. A relative
    `DATAWORTH_HOME` is meant from where the command is given: the builder hands the absolute path
    to every chapter's kernel, which works in the clone.
    """
    if (named := _named("DATAWORTH_HOME")) is not None:
        return named
    if (root := project_root()) is not None:
        return root / ".dataworth"
    if (user := user_home()) is None:
        raise UserError(
            "Nobody knows the home folder of this user: set DATAWORTH_HOME to a folder for data "
            "and runs."
        )
    return user / ".cache" / "dataworth"


def hub_copy(repo: str) -> Path | None:
    """The local copy of a hub's repository (`owner/name`, `@` and a commit after it) in the folder
    that `DATAWORTH_HUB` names, `FOLDER/owner/name`; None where no folder is named. UserError where
    the folder lacks the copy: nothing is then fetched in its place."""
    if (folder := _named("DATAWORTH_HUB")) is None:
        return None
    copy = folder / repo.partition("@")[0]
    if not copy.is_dir():
        raise UserError(f"The folder of hub copies {folder} has no {repo.partition('@')[0]}.")
    return copy


def user_home() -> Path | None:
    """The user's own folder; None where neither `HOME` nor the system knows it, as in a container
    that was started for a user of its own."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def build_dir(root: Path) -> Path:
    """Folder of everything generated from the book in `root`: `DATAWORTH_BUILD` if set, such as
    for a clone that nobody may write; else `build/` of `root`."""
    return _named("DATAWORTH_BUILD") or root / "build"


def _named(variable: str) -> Path | None:
    if not (value := os.environ.get(variable)):
        return None
    try:
        return Path(value).expanduser().resolve()
    except RuntimeError:
        raise UserError(
            f"{variable} is '{value}', and nobody knows that home folder: name it in full."
        ) from None


def shown(path: Path) -> str:
    """The path for a person: from the working folder where it lies in it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def figures_dir() -> Path:
    """Where a chapter that runs without a notebook writes its figures, whatever the working folder:
    `DATAWORTH_RESULTS` if set, else `build/` of the clone (without one: of the working folder),
    then figures/ and the name of the script."""
    root = project_root()
    folder = Path(os.environ.get("DATAWORTH_RESULTS") or (build_dir(root) if root else "build"))
    script = getattr(sys.modules["__main__"], "__file__", None)
    return folder.absolute() / "figures" / (Path(script).stem if script else "session")


def recorded_runs(root: Path, chapter: str) -> list[Path]:
    """The kept ledgers of a chapter's larger runs, `book/recorded/<profile>/<chapter>.json` of a
    clone, by profile: full, then gpu."""
    return sorted((root / "book" / "recorded").glob(f"*/{chapter}.json"))


def data_dir() -> Path:
    return home() / "data"


def store_dir() -> Path:
    return home() / "runs"
