"""Log lines of this package, shown where they are asked for: `dataworth -v`, or `DATAWORTH_LOG`.

Every module that does something worth telling has `log = logging.getLogger(__name__)`. Nothing is
shown by default. The variable `DATAWORTH_LOG` (INFO or DEBUG) reaches every process below this one,
and `import dataworth` obeys it; in a chapter's kernel and its workers `DATAWORTH_LOG_FILE` is set
too, so that no line gets into a notebook: the builder shows them from there (`Echo`).
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from dataworth.display import say

LEVEL, FILE = "DATAWORTH_LOG", "DATAWORTH_LOG_FILE"


class _Stderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record), stderr=True)  # looks stderr up, so a live bar moves aside


def start() -> None:
    """Show log lines from now on, as the environment says; a name that is no level means INFO."""
    logger = logging.getLogger("dataworth")
    wanted = os.environ.get(LEVEL, "").upper()
    logger.setLevel(logging.getLevelNamesMapping().get(wanted, logging.INFO))
    if not logger.handlers:
        file = os.environ.get(FILE)
        handler = logging.FileHandler(file, encoding="utf-8") if file else _Stderr()
        form = "%(asctime)s %(process)d %(name)s: %(message)s"
        handler.setFormatter(logging.Formatter(form, datefmt="%H:%M:%S"))
        logger.addHandler(handler)


class Echo:
    """Shows on stderr what other processes have added to a log file, where lines are asked for."""

    def __init__(self, file: Path) -> None:
        self.file, self.shown = file, 0

    def __call__(self) -> None:
        if os.environ.get(LEVEL) and self.file.is_file():
            with self.file.open("rb") as stream:
                stream.seek(self.shown)
                new = stream.read()
            whole = new[: new.rfind(b"\n") + 1]
            self.shown += len(whole)
            if whole:
                say(whole.decode(errors="replace").rstrip("\n"), stderr=True)
