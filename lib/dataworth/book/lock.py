"""One build of a chapter at a time: the second is refused in a sentence and the first goes on."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from dataworth.book.layout import Layout, write_atomic
from dataworth.errors import NOT_WRITABLE, UserError, cannot_write


@contextmanager
def locked(layout: Layout, chapter_ids: Iterable[str]) -> Iterator[None]:
    """Hold these chapters of the profile, so that nothing else executes or publishes them.

    The system gives the locks back when the process ends, however it ends. Raises UserError where
    another process holds one of them.
    """
    folder = layout.build / "locks"
    with ExitStack() as held:
        for chapter_id in sorted(chapter_ids):
            lock = FileLock(folder / f"{chapter_id}.lock")
            owner = folder / f"{chapter_id}.owner.json"
            try:
                folder.mkdir(parents=True, exist_ok=True)
                held.enter_context(lock.acquire(timeout=0))
                write_atomic(owner, json.dumps(_me()))
            except Timeout:
                raise UserError(
                    f"another build of {layout.called} is running{_who(owner)}; "
                    "wait for it or stop it."
                ) from None
            except (OSError, NotImplementedError) as error:
                if isinstance(error, OSError) and error.errno in NOT_WRITABLE:
                    raise cannot_write(layout.build, error, "DATAWORTH_BUILD") from None
                raise UserError(f"{layout.show(folder)} cannot be locked: {error}.") from None
            held.callback(_forget, owner)
        yield


def _me() -> dict[str, object]:
    now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": now}


def _forget(owner: Path) -> None:
    with suppress(OSError):
        owner.unlink()


def _who(owner: Path) -> str:
    """ ", pid N, since ..." of the process that holds a lock; empty where it has not yet said."""
    try:
        told = json.loads(owner.read_bytes())
        host = "" if told["host"] == socket.gethostname() else f" on {told['host']}"
        return f", pid {told['pid']}{host}, since {told['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
