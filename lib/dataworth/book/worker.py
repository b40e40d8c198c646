"""The process that executes one notebook: `python -m dataworth.book.worker job.json PARENT_PID`.

A process of its own because papermill changes the working directory and global I/O handlers, and
because a clean environment is part of what makes two runs equal.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

STYLED = re.compile(r'<table id="T_(\w+)"')  # a table of pandas' Styler
ADDRESS = re.compile(r" at 0x[0-9a-f]+(?=>)")
FAILED = 3  # exit status: a cell raised


def main(job_path: str, parent: int) -> int:
    """Execute job["source"] to job["output"]; write job["report"] with timings or the failure."""
    threading.Thread(target=_die_with_parent, args=(parent,), daemon=True).start()
    import papermill  # takes seconds, in which the parent may die
    from papermill.exceptions import PapermillExecutionError

    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
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
    notebook = json.loads(Path(job["output"]).read_text(encoding="utf-8"))
    report["cells"] = strip_stamps(notebook)
    if report["failure"] is None:
        for text in strip_stderr(notebook):
            print(text, flush=True)  # to the log
        hide_machine(notebook, job["hidden"])
    content = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    Path(job["output"]).write_text(content, encoding="utf-8")
    Path(job["report"]).write_text(json.dumps(report, indent=1))
    return FAILED if report["failure"] else 0


def strip_stamps(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """Remove times, paths and random names from an executed notebook (in place) and return the
    cell timings.

    Two executions with equal outputs are then equal byte for byte.
    """
    timings = []
    notebook["metadata"].pop("papermill", None)
    for index, cell in enumerate(notebook["cells"]):
        stamp = cell["metadata"].pop("papermill", {})
        cell["metadata"].pop("execution", None)
        tags = cell["metadata"].get("tags", [])
        if "injected-parameters" in tags:
            cell["id"] = "injected-parameters"
        if cell["cell_type"] == "code":
            source = _text(cell["source"]).splitlines()
            first = next((line.strip() for line in source if line.strip()), "")
            timings.append({"line": first, "seconds": round(stamp.get("duration") or 0, 3)})
            _name_tables(cell, index)
    return timings


def _name_tables(cell: dict[str, Any], index: int) -> None:
    """pandas names a styled table, and all cells of it, at random: name them by cell instead."""
    for output in cell["outputs"]:
        if (page := output.get("data", {}).get("text/html")) is None:
            continue
        text = _text(page)
        for number, name in enumerate(dict.fromkeys(STYLED.findall(text))):
            text = text.replace(f"T_{name}", f"T_{index}_{number}")
        output["data"]["text/html"] = text


def strip_stderr(notebook: dict[str, Any]) -> list[str]:
    """Take what the cells wrote to stderr out of a notebook (in place): warnings hold process ids
    and paths of this machine, and their place is the log. Returns it, cell by cell."""
    said = []
    for index, cell in enumerate(notebook["cells"]):
        outputs = cell.get("outputs", [])
        wrong = [o for o in outputs if o["output_type"] == "stream" and o["name"] == "stderr"]
        said += [f"cell {index} wrote to stderr:\n{_text(o['text'])}" for o in wrong]
        if wrong:
            cell["outputs"] = [o for o in outputs if o not in wrong]
    return said


def hide_machine(notebook: dict[str, Any], names: dict[str, str]) -> None:
    """Give the folders of this machine (path -> what to call it) neutral names in the outputs (in
    place), and take the addresses in memory out of them: `<Styler at 0x7f04>` is `<Styler>`."""
    known = sorted((path for path in names if len(path) > 1), key=len, reverse=True)
    found = re.compile(rf"({'|'.join(map(re.escape, known))})(?![\w-])")

    def hide(value: Any) -> Any:
        if isinstance(value, str):
            return ADDRESS.sub("", found.sub(lambda path: names[path[0]], value))
        if isinstance(value, dict):
            return {key: hide(item) for key, item in value.items()}
        return [hide(item) for item in value] if isinstance(value, list) else value

    for cell in notebook["cells"]:
        if "outputs" in cell:
            cell["outputs"] = hide(cell["outputs"])


def _text(source: str | list[str]) -> str:
    return source if isinstance(source, str) else "".join(source)


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
