"""The process that executes one notebook: `python -m dataworth.book.worker job.json PARENT_PID`.

A process of its own because papermill changes the working directory and global I/O handlers, and
because a clean environment is part of what makes two runs equal.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

FAILED = 3  # exit status: a cell raised


def main(job_path: str, parent: int) -> int:
    """Execute job["source"] to job["output"]; write job["report"] with timings or the failure."""
    threading.Thread(target=_die_with_parent, args=(parent,), daemon=True).start()
    import papermill  # takes seconds, in which the parent may die
    from papermill.exceptions import PapermillExecutionError

    job = json.loads(Path(job_path).read_text())
    report: dict[str, Any] = {"failure": None}
    try:
        papermill.execute_notebook(
            job["source"],
            job["output"],
            parameters=job["parameters"],
            progress_bar=False,
            # One save at the end: papermill would write the notebook twice for every cell.
            request_save_on_cell_execute=False,
        )
    except PapermillExecutionError as error:
        report["failure"] = {
            "cell": error.cell_index,
            "source": error.source,
            "ename": error.ename,
            "evalue": error.evalue,
            "traceback": error.traceback,
        }
    notebook = json.loads(Path(job["output"]).read_text())
    report["cells"] = strip_stamps(notebook)
    Path(job["output"]).write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
    Path(job["report"]).write_text(json.dumps(report, indent=1))
    return FAILED if report["failure"] else 0


def strip_stamps(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """Remove times and paths from an executed notebook (in place) and return the cell timings.

    Two executions with equal outputs are then equal byte for byte.
    """
    timings = []
    notebook["metadata"].pop("papermill", None)
    for cell in notebook["cells"]:
        stamp = cell["metadata"].pop("papermill", {})
        cell["metadata"].pop("execution", None)
        tags = cell["metadata"].get("tags", [])
        if "injected-parameters" in tags:
            cell["id"] = "injected-parameters"
        if cell["cell_type"] == "code":
            first = next((line for line in cell["source"] if line.strip()), "")
            if isinstance(cell["source"], str):
                first = cell["source"].strip().partition("\n")[0]
            timings.append({"line": first.strip(), "seconds": round(stamp.get("duration") or 0, 3)})
    return timings


def _die_with_parent(parent: int) -> None:
    """End this process and its kernel when the builder has been killed."""
    while os.getppid() == parent:
        time.sleep(1)
    import psutil

    for child in psutil.Process().children(recursive=True):
        child.kill()
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
