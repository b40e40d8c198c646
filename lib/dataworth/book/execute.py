"""Execute one chapter in a worker process and publish what it made, whole or not at all."""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from dataworth import logs
from dataworth.book.chapters import Chapter
from dataworth.book.layout import Layout, write_atomic
from dataworth.book.parameters import Parameters
from dataworth.book.progress import Display
from dataworth.book.record import RECORD, Record
from dataworth.claims import Machine, read_ledger, sealed_ledger
from dataworth.compute import cpu_name
from dataworth.errors import UserError, short
from dataworth.pace import capability
from dataworth.paths import home, user_home
from dataworth.runs.kept import READ
from dataworth.sealed import Damaged, read_sealed, seal
from dataworth.why import differences, summary

log = logging.getLogger(__name__)

MEMORY_EVERY_S = 5.0  # reading the page tables of torch processes takes a tenth of a second each
REPORTED = [
    "dataworth",
    "numpy",
    "scipy",
    "pandas",
    "matplotlib",
    "pydantic",
    "torch",
    "diffusers",
    "timm",
    "transformers",
    "datasets",
    "papermill",
    "jupytext",
    "jupyter-book",
]


class ChapterFailed(UserError):
    """A cell of a chapter raised, or its kernel died."""


@dataclass(frozen=True)
class Products:
    """The files of an executed chapter. `record` is written last: without it nothing counts."""

    notebook: Path
    results: Path
    record: Path


def products(chapter: Chapter, layout: Layout) -> Products:
    return Products(
        notebook=layout.executed / f"{chapter.stem}.ipynb",
        results=layout.results / f"{chapter.id}.json",
        record=layout.executed / f"{chapter.stem}.run.json",
    )


def read_record(chapter: Chapter, layout: Layout) -> Record | None:
    """run.json of the last finished execution, or None where there is none or it is damaged."""
    try:
        return _record(chapter, layout)
    except (FileNotFoundError, Damaged):
        return None


def _record(chapter: Chapter, layout: Layout) -> Record:
    """Raises FileNotFoundError; Damaged also for the record of another chapter or profile;
    UserError where the file cannot be read."""
    path = products(chapter, layout).record
    try:
        record = read_sealed(path, RECORD)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{layout.show(path)} cannot be read: {error.strerror}.") from None
    if (record["chapter"], record["profile"]) != (chapter.id, layout.label):
        raise Damaged(f"it is of chapter '{record['chapter']}' with profile '{record['profile']}'")
    return record


def keep(chapter: Chapter, layout: Layout, key: dict[str, Any]) -> Path:
    """Keep the ledger of the chapter's last execution as its recorded run of the profile, with all
    parameters and `key`, the chapter's key of today.

    Every profile shows it beside its own. Raises UserError where nothing was executed, and where
    what was made is damaged, or is not what the profile and the chapter of today would make.
    """
    made, record = products(chapter, layout), read_record(chapter, layout)
    again = f"run: dataworth run {chapter.id} --profile {layout.profile}"
    if record is None or not made.results.is_file():
        raise UserError(
            f"Chapter '{chapter.id}' has no finished run with profile '{layout.profile}'; {again}"
        )
    # Which runs were kept before decides what a page shows, and no estimate.
    if why := why_stale(chapter, layout, {**key, "recorded": record["key"].get("recorded")}):
        raise UserError(
            f"The result of chapter '{chapter.id}' is not the one of profile '{layout.profile}' "
            f"today ({why}); {again}"
        )
    ledger = read_ledger(made.results, layout.show(made.results))
    ledger["run"] = {
        "started": record["started"], "finished": record["finished"], "wall_s": record["wall_s"],
        "versions": record["versions"], "device": record["device"], "commit": record["commit"],
        "parameters": record["parameters"], "key": record["key"],
    }  # fmt: skip
    target = layout.book / "recorded" / layout.profile / f"{chapter.id}.json"
    write_atomic(target, sealed_ledger(ledger))
    return target


def why_stale(chapter: Chapter, layout: Layout, key: dict[str, Any]) -> str | None:
    """Why the chapter must be executed, or None when what is stored is current and undamaged."""
    try:
        record = _record(chapter, layout)
    except FileNotFoundError:
        return "not executed yet"
    except Damaged as error:
        path = layout.show(products(chapter, layout).record)
        return f"not executed yet: {path} is not a record of a run: {error}"
    if changed := differences(record["key"], key):
        return f"changed: {summary(changed)}"
    if record["files"] != _fingerprints(chapter, layout):
        return "its stored notebook or results are damaged"
    return None


def read_notebook(chapter: Chapter, layout: Layout, record: Record) -> dict[str, Any]:
    """The executed notebook that the record speaks of. Raises UserError where it is not there any
    more or another one."""
    path = products(chapter, layout).notebook
    data = path.read_bytes() if path.is_file() else b""
    if sha256(data).hexdigest() != record["files"].get(path.name):
        raise UserError(
            f"{layout.show(path)} changed while the book was built; build the book again."
        )
    notebook: dict[str, Any] = json.loads(data)
    return notebook


def _fingerprints(chapter: Chapter, layout: Layout) -> dict[str, str | None]:
    made = products(chapter, layout)
    return {
        path.name: sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        for path in (made.notebook, made.results)
    }


def clear(chapter: Chapter, layout: Layout) -> None:
    """Remove what builds of the chapter left that were killed; the caller holds its lock."""
    shutil.rmtree(_work(chapter, layout), ignore_errors=True)
    made = products(chapter, layout)
    for path in (made.notebook, made.results, made.record):
        for half in path.parent.glob(f"{path.name}.*.tmp"):  # of `write_atomic`
            half.unlink(missing_ok=True)


def _work(chapter: Chapter, layout: Layout) -> Path:
    return layout.build / "work" / chapter.stem


class Execution:
    """A chapter that executes: `look` until it says that it has ended, then `end`; or `kill`.

    The caller holds the chapter's lock (`lock.locked`) and has cleared it (`clear`). workers: for
    its runs; None: as many as this process may use.
    """

    def __init__(
        self,
        chapter: Chapter,
        notebook: Any,
        parameters: Parameters,
        layout: Layout,
        key: dict[str, Any],
        display: Display,
        workers: int | None = None,
    ) -> None:
        import nbformat

        self.chapter, self.layout, self.key, self.parameters = chapter, layout, key, parameters
        self.made = products(chapter, layout)
        self.work = _work(chapter, layout) / f"{os.getpid()}-{time.time_ns()}"
        (self.work / "results").mkdir(parents=True)
        source = self.work / f"{chapter.stem}.ipynb"
        source.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
        job = {
            "source": str(source),
            "output": str(self.work / "executed.ipynb"),
            "report": str(self.work / "report.json"),
            "parameters": parameters.values,
            "hidden": {
                str(self.work): "WORK", str(home()): "DATAWORTH_HOME", str(layout.root): "CLONE",
                str(user_home() or ""): "~", tempfile.gettempdir(): "TMP",
            },
        }  # fmt: skip
        (self.work / "job.json").write_text(json.dumps(job), encoding="utf-8")
        progress = self.work / "progress.jsonl"
        progress.touch()
        self.started, self.clock = datetime.now(UTC), time.monotonic()
        self.output = layout.logs / f"{chapter.stem}.log"
        self.output.parent.mkdir(parents=True, exist_ok=True)
        self.output.unlink(missing_ok=True)
        log.info("%s: executing in %s; its log is %s", chapter.id, self.work, self.output)
        self.echo = logs.Echo(self.output)
        self.peak_bytes, self.next_look = 0, self.clock + 1  # by then the kernel is starting
        with self.output.open("ab") as stream:  # the kernel appends its log lines
            self.process = psutil.Popen(
                [
                    sys.executable,
                    "-m",
                    "dataworth.book.worker",
                    str(self.work / "job.json"),
                    str(os.getpid()),
                ],
                cwd=layout.root,
                env={
                    **environment(layout, self.work / "results", progress, workers),
                    **({READ: str(given)} if (given := layout.given(chapter.id)) else {}),
                    logs.FILE: str(self.output),
                },
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the builder, which ends the tree in order
            )
        self.open = ExitStack()
        self.shown = self.open.enter_context(display.chapter(chapter.id, progress))

    def look(self) -> bool:
        """Show what happened since the last look; whether the chapter has ended."""
        ended = self.process.poll() is not None
        self.shown.update()
        self.echo()
        if not ended and time.monotonic() >= self.next_look:
            self.peak_bytes = max(self.peak_bytes, _tree_memory(self.process))
            self.next_look = time.monotonic() + MEMORY_EVERY_S
        return ended

    def kill(self) -> None:
        _end_tree(self.process)
        self.open.close()

    def end(self) -> Record:
        """The record of the chapter, which has ended (also written as <stem>.run.json).

        Raises ChapterFailed; then the last good products stay, and the notebook with the failing
        cell is kept beside them as <stem>.failed.ipynb.
        """
        wall_s = time.monotonic() - self.clock
        self.open.close()
        chapter, made, work = self.chapter, self.made, self.work
        report_path = work / "report.json"
        report: Any = {"failure": None}
        if report_path.is_file():
            report = json.loads(report_path.read_text())
        if self.process.returncode != 0 or report["failure"]:
            raise _failure(chapter, self.layout, work, report["failure"], self.output)

        claims = work / "results" / made.results.name
        if claims.exists():
            read_ledger(claims, f"What chapter '{chapter.id}' wrote to {claims.name}")
        made.record.unlink(missing_ok=True)
        write_atomic(made.notebook, (work / "executed.ipynb").read_bytes())
        if claims.exists():
            write_atomic(made.results, claims.read_bytes())
        else:
            made.results.unlink(missing_ok=True)
        record: Record = {
            "chapter": chapter.id,
            "profile": self.layout.label,
            "started": self.started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "wall_s": round(wall_s, 2),
            "peak_memory_mb": round(self.peak_bytes / 1e6),
            "cells": report["cells"],
            "parameters": self.parameters.values,
            "versions": versions(),
            "device": device(),
            "commit": commit(self.layout.root),
            "key": self.key,
            "files": _fingerprints(chapter, self.layout),
        }
        write_atomic(made.record, seal(record, RECORD))
        (self.layout.executed / f"{chapter.stem}.failed.ipynb").unlink(missing_ok=True)
        shutil.rmtree(work.parent, ignore_errors=True)
        return record


def environment(
    layout: Layout, results: Path, progress: Path, workers: int | None = None
) -> dict[str, str]:
    """The environment of a chapter's kernel: the caller's, with what changes results pinned.

    The kernel runs in the clone, not where the caller stands, so paths in it are absolute.
    """
    share = {} if workers is None else {"DATAWORTH_WORKERS": str(workers)}
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "MPL", "JPY_"))}
    return {
        **env,
        **house(layout),
        **share,
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
        "TOKENIZERS_PARALLELISM": "false",
        "TQDM_DISABLE": "1",
        "DATAWORTH_BUILD": str(layout.build.parent),
        "DATAWORTH_HOME": str(home()),
        "DATAWORTH_PROFILE": layout.label,
        "DATAWORTH_RESULTS": str(results),
        "DATAWORTH_PROGRESS": str(progress),
    }


def house(layout: Layout) -> dict[str, str]:
    """`HOME` for kernels and tools where the caller's is unknown or read-only, as in a container
    with a user of its own: Jupyter and matplotlib write there."""
    if (known := user_home()) is not None and os.access(known, os.W_OK):
        return {}
    own = layout.build / "home"
    own.mkdir(parents=True, exist_ok=True)
    return {"HOME": str(own)}


def _tree_memory(process: psutil.Process) -> int:
    """Memory of the process and all its descendants in bytes: proportional set sizes where the
    system tells them, else resident ones (macOS tells more to root alone)."""
    total = 0
    for member in [process, *_descendants(process)]:
        with suppress(psutil.NoSuchProcess):  # it ended in between
            try:
                info = member.memory_full_info()
                total += getattr(info, "pss", 0) or info.uss
            except psutil.AccessDenied:
                total += member.memory_info().rss
    return total


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


def _end_tree(process: psutil.Process) -> None:
    """Ask the worker, its kernel and the kernel's workers to end; insist after five seconds."""
    tree = [*_descendants(process), process]
    for member in tree:
        try:
            member.terminate()
        except psutil.Error:
            continue
    _, alive = psutil.wait_procs(tree, timeout=5)
    for member in alive:
        member.kill()


def _failure(
    chapter: Chapter, layout: Layout, work: Path, failure: dict[str, Any] | None, log: Path
) -> ChapterFailed:
    if failure is None:
        tail = log.read_text(errors="replace").strip().splitlines()[-1:] or ["no output"]
        return ChapterFailed(
            f"Chapter '{chapter.id}' stopped without finishing ({short(tail[0], 200)}); "
            f"the log is {layout.show(log)}."
        )
    kept = layout.executed / f"{chapter.stem}.failed.ipynb"
    write_atomic(kept, (work / "executed.ipynb").read_bytes())
    line = next((x for x in failure["source"].splitlines() if x.strip()), "").strip()
    return ChapterFailed(
        f"Chapter '{chapter.id}' failed in cell {failure['cell']} ('{short(line)}') with "
        f"{failure['ename']}: {short(failure['evalue'], 400).rstrip('.')}; "
        f"the notebook up to there is {layout.show(kept)}."
    )


def versions() -> dict[str, str]:
    """Python and the packages that can change a number or a page."""
    found = {"python": platform.python_version()}
    for name in REPORTED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def device() -> Machine:
    """The machine: processor and what it can, usable cores, memory in GB, GPU name or None."""
    import joblib

    gpu = None
    if shutil.which("nvidia-smi"):
        listing = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        gpu = listing.stdout.strip().replace("\n", ", ") or None
    return {
        "processor": f"{cpu_name()}, {capability()}",
        "cores": joblib.cpu_count(),  # knows affinity, a container's quota, macOS
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpu": gpu,
        "system": f"{platform.system()} {platform.machine()}",
    }


def commit(root: Path) -> str | None:
    """Short commit of the clone, with '+' for local changes; None outside git."""
    git = shutil.which("git")
    if git is None:
        return None

    def ask(*args: str) -> str:
        command = [git, "-C", str(root), *args]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    name = ask("rev-parse", "--short=12", "HEAD")
    return f"{name}+" if name and ask("status", "--porcelain", "-uno") else name or None
