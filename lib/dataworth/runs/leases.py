"""Who computes which run: a lease per key, so that processes that share a store share its work.

    <folder>/.<key>.lease         the holder: host, process, a random id; its mtime is the heartbeat
             .<key>.lease.<id>    whoever took over from the holder <id>, found dead
             .<key>.<process>.<random>.tmp    what a process is writing

The files of a key form a chain, and its last link holds the key. Each is created exclusively, so of
several who find a holder dead exactly one succeeds it, and no file of another process is touched
before that. A holder on this system is dead when its process is; one on another system (a second
machine, another container) when it has missed its heartbeats. Only the clock of the file system
is used.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

BEAT_S, EXPIRY_S = 5.0, 30.0
LEFT_OVER_S = 3600.0
"""Age from which a temporary of which nobody can tell whose it is counts as left over."""

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)

_PROCESS = re.compile(r"([0-9a-f]{8})-([1-9][0-9]{0,9})-([0-9A-Za-z]*)")
_TEMPORARY = re.compile(
    rf"\.[0-9a-f]{{32}}(?:\.({_PROCESS.pattern})\.[0-9a-f]{{8}}\.tmp|-[0-9a-f]{{8}})"
)
_LEASE = re.compile(r"(\.[0-9a-f]{32}\.lease)(\..+)?")


# ---- Processes --------------------------------------------------------------------------------


def process() -> str:
    """This process, unique among all that may share a store: system, pid and start time."""
    pid = os.getpid()
    return f"{_system()}-{pid}-{_born(pid) or ''}"


@cache
def _system() -> str:
    """Eight hex characters: the space in which pids mean something (a boot, a container)."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def _born(pid: int) -> str | None:
    """Start time of a process, "" if it cannot be told, None if there is no such process."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:  # another user's
        pass
    with suppress(OSError, IndexError):
        # proc(5) stat: the name in parentheses may hold anything; state is field 3, start field 22
        state, *fields = (
            Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        )
        return None if state in "ZX" else fields[18]
    with suppress(OSError, ValueError):  # macOS has no /proc
        told = subprocess.run(
            ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
            capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"},
        )  # fmt: skip
        state, _, start = told.stdout.strip().partition(" ")
        return None if state.startswith("Z") else re.sub(r"\W", "", start, flags=re.ASCII)
    return ""


def is_dead(name: str) -> bool | None:
    """Whether a process (`process`) has ended; None where that cannot be told from here."""
    match = _PROCESS.fullmatch(name)
    if match is None or match[1] != _system():
        return None
    born = _born(int(match[2]))
    return born is None or bool(born and match[3] and born != match[3])


def clock(folder: Path) -> float:
    """The present time of the file system that holds a folder, which may be another machine's."""
    probe = temporary(folder / ("0" * 32))
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def temporary(path: Path) -> Path:
    """A free hidden name beside `path` that tells whose it is."""
    return path.with_name(f".{path.name}.{process()}.{uuid.uuid4().hex[:8]}.tmp")


# ---- Leases -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Holder:
    """One link of a chain, as read. `beat`: its last heartbeat, by the file system's clock."""

    path: Path
    id: str
    host: str
    process: str
    beat: float

    @property
    def pid(self) -> str:
        return self.process.split("-")[1] if self.process else "not known"

    def is_dead(self) -> bool:
        dead = is_dead(self.process)
        return clock(self.path.parent) - self.beat > EXPIRY_S if dead is None else dead


@dataclass(frozen=True)
class Lease:
    """The right to compute the run that `path` (its folder in the store) names, until `release`."""

    path: Path
    id: str
    process: str

    def release(self) -> None:
        """Let others have the key. Never raises: what cannot be removed expires."""
        with _lock:
            _held.pop(self.id, None)
        if self.process != process():  # a fork of the holder
            return
        with suppress(OSError):
            chain = _chain(self.path)
            if chain and chain[-1].id == self.id:
                for link in chain:  # from the first: without it the others hold nothing
                    link.path.unlink(missing_ok=True)


def lease_of(path: Path) -> Path:
    """The first lease file of the run with this folder."""
    return path.with_name(f".{path.name}.lease")


def holder(path: Path) -> Holder | None:
    """The live process that computes the run with this folder, if there is one. Raises OSError."""
    chain = _chain(path)
    return chain[-1] if chain and not chain[-1].is_dead() else None


def claim(path: Path) -> Lease | None:
    """Take the lease of the run with this folder; None while another process has it. Raises
    OSError where the store cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chain = _chain(path)
    if chain and not chain[-1].is_dead():
        return None
    mine = Lease(path, uuid.uuid4().hex[:16], process())
    file = _successor(path, chain[-1].id) if chain else lease_of(path)
    told = json.dumps({"host": platform.node(), "process": mine.process, "id": mine.id})
    if not _create(file, told):
        return None
    # The dead holder may have been succeeded, and its chain removed, while we looked at it.
    ours = not chain or mine.id in [link.id for link in _chain(path)]
    if not ours:
        file.unlink(missing_ok=True)
        return None
    _keep_alive(mine.id, file)
    return mine


def _create(file: Path, text: str) -> bool:
    """Create a file with its text, in one step; False where there is one already."""
    written = temporary(file.with_name(_LEASE.fullmatch(file.name)[1][1:33]))  # type: ignore[index]
    try:
        written.write_text(text)
        os.link(written, file)  # exclusive, on a network file system too
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with suppress(FileExistsError), file.open("x") as stream:
            stream.write(text)
            return True
        return False
    finally:
        written.unlink(missing_ok=True)
    return True


def _successor(path: Path, of: str) -> Path:
    return path.with_name(f".{path.name}.lease.{of}")


def _chain(path: Path) -> list[Holder]:
    chain: list[Holder] = []
    link = _read(lease_of(path))
    while link is not None and link.id not in {one.id for one in chain}:
        chain.append(link)
        link = _read(_successor(path, link.id))
    return chain


def _read(file: Path) -> Holder | None:
    try:
        with file.open("rb") as stream:  # opening asks a network file system for fresh attributes
            raw, state = stream.read(4096), os.fstat(stream.fileno())
    except FileNotFoundError:
        return None
    try:
        told = json.loads(raw)
        host, owner, name = (str(told[field]) for field in ("host", "process", "id"))
        if not (_PROCESS.fullmatch(owner) and re.fullmatch("[0-9a-f]{16}", name)):
            raise ValueError(name)
    except (ValueError, KeyError, TypeError, RecursionError):
        # Damaged, or (on a file system without links) being written: it lives while it changes.
        host, owner, name = "not known", "", f"{state.st_ino}-{state.st_mtime_ns}"
    return Holder(file, name, host, owner, state.st_mtime)


# ---- The heartbeat: one thread a process ------------------------------------------------------

_lock = threading.Lock()
_held: dict[str, Path] = {}
_heart: threading.Thread | None = None


def _keep_alive(name: str, file: Path) -> None:
    global _heart
    with _lock:
        _held[name] = file
        if _heart is None:
            _heart = threading.Thread(target=_beat, name="leases", daemon=True)
            _heart.start()


def _beat() -> None:
    while True:
        time.sleep(BEAT_S)
        with _lock:
            files = list(_held.values())
        for file in files:
            with suppress(OSError):
                os.utime(file)


def _forget() -> None:
    """A fork has neither the thread nor the leases of its parent."""
    global _heart, _lock
    _heart, _lock = None, threading.Lock()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


# ---- What dead processes left -----------------------------------------------------------------


def left_over(folder: Path) -> list[Path]:
    """Temporaries and leases in a folder of runs whose processes are dead; where that cannot be
    told from here, those that are older than an hour."""
    found: list[Path] = []
    now: float | None = None
    for path in sorted(folder.glob(".*")):
        with suppress(OSError):  # gone meanwhile, or not ours to touch
            if temporary := _TEMPORARY.fullmatch(path.name):
                dead = is_dead(temporary[1] or "")
            elif _LEASE.fullmatch(path.name) and (link := _read(path)):
                dead = is_dead(link.process)
            else:
                continue
            if dead is None:
                now = clock(folder) if now is None else now
                dead = now - path.stat().st_mtime > LEFT_OVER_S
            if dead:
                found.append(path)
    return found


def clear(path: Path) -> None:
    """Remove one of `left_over`. A lease that counts is taken first: others may be after it."""
    lease = _LEASE.fullmatch(path.name)
    if lease is None:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        return
    run = path.with_name(lease[1].removeprefix(".").removesuffix(".lease"))
    if path not in [link.path for link in _chain(run)]:
        path.unlink(missing_ok=True)
    elif mine := claim(run):
        mine.release()
