"""Where the book's inputs and products live."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from dataworth import paths
from dataworth.errors import UserError, did_you_mean, short

QUICK = "quick"  # the profile that every chapter's own parameters cell is; it has no files
MAKING = "_making"  # no chapter's id has an underscore


@dataclass(frozen=True)
class Layout:
    """The folders of one book at one profile.

    `root` holds the inputs (book/, params/, _toc.yml, _config.yml); everything generated lies
    under `build` = root/build/<profile> (see `paths.build_dir`).
    """

    root: Path
    profile: str

    @property
    def label(self) -> str:
        """What results say of their scale: the profile's name alone where they are its own."""
        return self.profile

    @property
    def called(self) -> str:
        return f"profile {self.profile}"

    @property
    def book(self) -> Path:
        return self.root / "book"

    @property
    def params(self) -> Path:
        return self.root / "params" / self.profile

    @property
    def build(self) -> Path:
        return paths.build_dir(self.root) / self.profile

    @property
    def executed(self) -> Path:
        return self.build / "executed"

    @property
    def results(self) -> Path:
        return self.build / "results"

    @property
    def site(self) -> Path:
        return self.build / "site"

    @property
    def logs(self) -> Path:
        return self.build / "logs"

    @property
    def html(self) -> Path:
        """Jupyter Book always writes to `_build/html` under the output folder it is given."""
        return self.build / "_build" / "html"

    @property
    def alone(self) -> Path:
        """Where a chapter is rendered without the others."""
        return self.build / "page"

    @property
    def reads(self) -> bool:
        """Whether its chapters are executed on kept runs (`reading`)."""
        return False

    def given(self, chapter_id: str) -> Path | None:
        """The kept runs that a chapter is executed on, if it is."""
        return None

    def origin(self, chapter_id: str) -> str:
        """A sentence on them for the chapter's page; empty where there are none."""
        return ""

    def recorded(self, chapter_id: str) -> list[Path]:
        """The kept ledgers of a chapter's larger runs (`dataworth record`), by profile."""
        return paths.recorded_runs(self.root, chapter_id)

    def show(self, path: Path) -> str:
        """`path` as a person would type it from the root."""
        return (
            path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)
        )


@dataclass(frozen=True)
class Variant(Layout):
    """One chapter with other parameters than its profile's, or kept apart under a name.

    Everything that a finished one consists of lies in one folder, build/variants/<chapter>/<name>;
    what is in the making lies in `build` and becomes that folder as a whole.
    """

    chapter_id: str
    name: str
    finished: bool = True

    @property
    def label(self) -> str:
        return f"{paths.VARIANT}{self.profile}"

    @property
    def called(self) -> str:
        return f"variant '{self.name}' of {self.chapter_id}"

    @property
    def build(self) -> Path:
        return variants_of(self.root, MAKING) / self.chapter_id / self.name

    @property
    def folder(self) -> Path:
        return variants_of(self.root, self.chapter_id) / self.name

    @property
    def executed(self) -> Path:
        return self.folder if self.finished else self.build / "made"

    @property
    def results(self) -> Path:
        return self.executed

    @property
    def alone(self) -> Path:
        return self.folder / "page"


def variants_of(root: Path, chapter_id: str) -> Path:
    """The folder of a chapter's variants."""
    return paths.build_dir(root) / "variants" / chapter_id


@dataclass(frozen=True)
class OtherPages(Layout):
    """Other pages, in a folder of their own (`build`), of a book as it was executed."""

    whole: Layout

    @property
    def executed(self) -> Path:
        return self.whole.executed

    @property
    def results(self) -> Path:
        return self.whole.results

    @property
    def label(self) -> str:
        return self.whole.label


@dataclass(frozen=True)
class OnePage(OtherPages):
    """One chapter alone."""

    @property
    def build(self) -> Path:
        return self.whole.alone


def open_layout(profile: str, root: Path | None = None) -> Layout:
    """The layout of `profile` in `root` (default: the clone this package runs from).

    Raises UserError where there is no book or no such profile.
    """
    found = root.resolve() if root else paths.project_root()
    if found is None:
        raise UserError(
            "There is no book here: dataworth was installed without its clone; "
            "name the folder that holds book/ and params/ with --root."
        )
    for needed in ("book", "params", "_toc.yml", "_config.yml"):
        if not (found / needed).exists():
            raise UserError(f"{found} is not a book: {needed} is missing there.")
    known = profiles(found)
    if profile not in known:
        raise UserError(
            f"Unknown profile '{short(profile)}'; the book has {', '.join(known)}."
            f"{did_you_mean(profile, known)}"
        )
    return Layout(found, profile)


def profiles(root: Path) -> list[str]:
    """`quick` and the folders in params/, smallest scale first where the name is a usual one."""
    usual = ["smoke", QUICK, "full", "gpu", "lab", "paper"]
    names = {QUICK, *(p.name for p in (root / "params").iterdir() if p.is_dir())}
    return sorted(names, key=lambda n: (usual.index(n) if n in usual else len(usual), n))


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write under a temporary name, then rename: a file is whole or not there."""
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


def write_changed(path: Path, content: str | bytes) -> bool:
    """`write_atomic` only where the content differs, so that Sphinx sees no change otherwise."""
    data = content.encode() if isinstance(content, str) else content
    if path.is_file() and path.read_bytes() == data:
        return False
    write_atomic(path, data)
    return True
