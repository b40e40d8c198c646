"""The book from kept runs: every analysis executed, nothing trained, no data set opened, no torch.

`keep` executes chapters as scripts and keeps what their analysis asked of runs and data
(`runs.kept`) in book/kept/<profile>/<chapter>.zip, with the checksum and origin of each in
index.json; `Reading` is the layout whose chapters are executed on them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict  # pydantic reads typing's only from 3.12 on

from dataworth import paths
from dataworth.book import execute
from dataworth.book.chapters import Chapter
from dataworth.book.layout import Layout, write_atomic
from dataworth.compute import cpu_name
from dataworth.display import count
from dataworth.errors import UserError, short
from dataworth.runs.kept import KEEP, OLDER, runs_of
from dataworth.sealed import Damaged, read_sealed, seal

AT_ONCE = 2


@with_config(ConfigDict(extra="forbid", strict=True))
class Kept(TypedDict):
    """Of one chapter's file: what it is, and when, by which code and on what it was made. runs:
    how many it holds; older: how many of them code before that commit computed. A chapter that asks
    nothing of runs has no file: `bytes` is 0."""

    sha256: str
    bytes: Annotated[int, Field(ge=0)]
    runs: Annotated[int, Field(ge=0)]
    older: Annotated[int, Field(ge=0)]
    finished: str
    commit: str | None
    processor: str


class Index(TypedDict):
    """By chapter."""

    chapters: dict[str, Kept]


INDEX = TypeAdapter(Index)


def folder(layout: Layout) -> Path:
    return layout.book / "kept" / layout.profile


def read_index(layout: Layout) -> dict[str, Kept]:
    """What is kept of the profile. Raises UserError where the index is damaged."""
    path = folder(layout) / "index.json"
    try:
        return read_sealed(path, INDEX)["chapters"]
    except FileNotFoundError:
        return {}
    except Damaged as error:
        raise UserError(f"{layout.show(path)} is damaged: {error}; get it anew.") from None


@dataclass(frozen=True)
class Reading(Layout):
    """The book of a profile, executed on kept runs; generated in build/read."""

    @property
    def build(self) -> Path:
        return paths.build_dir(self.root) / "read"

    @cached_property
    def kept(self) -> dict[str, Kept]:
        return read_index(self)

    @property
    def reads(self) -> bool:
        return True

    def given(self, chapter_id: str) -> Path | None:
        """The file of a chapter, found whole; None for one that asks nothing of runs.

        Raises UserError where nothing was kept of it, and where the file is another one.
        """
        if (about := self.kept.get(chapter_id)) is None:
            raise UserError(
                f"Nothing is kept of chapter '{chapter_id}' with profile '{self.profile}'; run: "
                f"dataworth record {chapter_id} --read"
            )
        if not about["bytes"]:
            return None
        path = folder(self) / f"{chapter_id}.zip"
        data = path.read_bytes() if path.is_file() else b""
        if sha256(data).hexdigest() != about["sha256"]:
            raise UserError(
                f"{self.show(path)} is not the file that index.json names; get the folder anew, or "
                f"make it again: dataworth record {chapter_id} --read"
            )
        return path

    def origin(self, chapter_id: str) -> str:
        if (about := self.kept.get(chapter_id)) is None or not about["bytes"]:
            return ""
        commit = f" by the code of commit {about['commit']}" if about["commit"] else ""
        older = f" ({about['older']} of them computed by earlier code)" if about["older"] else ""
        return (
            f"Analysed on {count(about['runs'], 'run')}{older} that were kept on "
            f"{about['finished'][:10]}{commit} from {about['processor']}: nothing was trained for "
            "this page."
        )


def open_reading(layout: Layout) -> Reading:
    """Raises UserError where nothing is kept of the profile."""
    found = Reading(layout.root, layout.profile)
    if not found.kept:
        raise UserError(
            f"Nothing is kept of profile '{layout.profile}' ({layout.show(folder(layout))} has no "
            "index.json); run: make book"
        )
    return found


def keep(
    layout: Layout, chapters: Sequence[Chapter], say: Callable[[str], None], older: bool = False
) -> None:
    """Execute chapters and keep what their analysis asks of runs and data; runs that the store
    lacks are computed, unless `older` and code before today's stored one of the same fields.

    Raises UserError for a chapter that fails; the others are kept.
    """
    work = layout.build / "kept"
    shutil.rmtree(work, ignore_errors=True)
    kept, failures = read_index(layout), list[str]()
    waiting, running = list(chapters), list[tuple[Chapter, subprocess.Popen[bytes]]]()
    try:
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                running.append((waiting[0], _start(layout, waiting.pop(0), work, older)))
            chapter, process = running.pop(0)
            if process.wait() != 0:
                tail = (work / chapter.id / "log").read_text(errors="replace").strip()
                failures.append(f"{chapter.id} ({short(tail.splitlines()[-1:][0], 200)})")
                continue
            say(_take(layout, chapter, work, kept))
    finally:
        for _, process in running:
            process.kill()
    write_atomic(folder(layout) / "index.json", seal({"chapters": kept}, INDEX))
    if failures:
        raise UserError(f"Not kept: {'; '.join(failures)}; their logs are in {layout.show(work)}.")
    shutil.rmtree(work, ignore_errors=True)


def _start(layout: Layout, chapter: Chapter, work: Path, older: bool) -> subprocess.Popen[bytes]:
    """The chapter as a script, with the parameters of the profile, keeping."""
    from dataworth.book import chapters, parameters

    own = work / chapter.id
    (own / "results").mkdir(parents=True)
    notebook = chapters.read(chapter)
    resolved = parameters.resolve(chapter, notebook, chapters.header(chapter, notebook), layout)
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cells.append(chapters.python_of(cell.source))
        if "parameters" in cell.metadata.get("tags", []):
            cells += [f"{name} = {value!r}" for name, value in resolved.values.items()]
    script = own / chapter.source.name
    script.write_text("\n".join(cells), encoding="utf-8")
    progress = own / "progress.jsonl"
    environment = execute.environment(layout, own / "results", progress)
    with (own / "log").open("wb") as stream:
        return subprocess.Popen(
            [sys.executable, str(script)],
            cwd=layout.root,
            env={**environment, KEEP: str(own / "kept.zip")} | ({OLDER: "1"} if older else {}),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )


def _take(layout: Layout, chapter: Chapter, work: Path, kept: dict[str, Kept]) -> str:
    made = work / chapter.id / "kept.zip"
    data, (runs, old) = b"", (0, 0)
    if made.is_file():
        data, (runs, old) = made.read_bytes(), runs_of(made)
        write_atomic(folder(layout) / f"{chapter.id}.zip", data)
    kept[chapter.id] = {
        "sha256": sha256(data).hexdigest(),
        "bytes": len(data),
        "runs": runs,
        "older": old,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": execute.commit(layout.root),
        "processor": cpu_name(),
    }
    if not data:
        return f"{chapter.id}: asks nothing of runs"
    of_older = f", {old} of them by earlier code" if old else ""
    return f"{chapter.id}: {count(runs, 'run')} kept{of_older}, {len(data) / 1e6:.1f} MB"
