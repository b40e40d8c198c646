"""Progress: a file for the builder, one line in a notebook, a bar in a terminal, plain lines."""

import io
import json
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import papermill
import pytest
from nbclient import NotebookClient
from run_specs import Tiny

from dataworth.runs import run_tasks
from dataworth.runs.leases import Holder
from dataworth.runs.progress import progress

# --- The file of the builder ------------------------------------------------------------------


def test_a_progress_file_that_cannot_be_written_ends_no_run(store, tmp_path, monkeypatch):
    for path in (tmp_path, tmp_path / "absent" / "file", Path("/dev/full")):
        monkeypatch.setenv("DATAWORTH_PROGRESS", str(path))
        run_tasks([Tiny(a=len(str(path)))], store=store, workers=1)


@pytest.mark.parametrize("workers", [1, 2])
def test_progress_file(store, tmp_path, monkeypatch, workers):
    path = tmp_path / "progress.jsonl"
    monkeypatch.setenv("DATAWORTH_PROGRESS", str(path))
    run_tasks([Tiny(a=0)], store=store, workers=1, label="first")
    before = time.time()
    run_tasks([Tiny(a=i) for i in range(4)], store=store, workers=workers, label="second")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(set(line) == {"label", "done", "total", "eta_s", "t"} for line in lines)
    shown = [(line["label"], line["done"], line["total"]) for line in lines]
    assert shown == [("first", 0, 1), ("first", 1, 1), *(("second", i, 3) for i in range(4))]
    second = lines[2:]
    assert second[0]["eta_s"] is None and second[-1]["eta_s"] == 0
    assert all(line["eta_s"] > 0 for line in second[1:-1])
    times = [line["t"] for line in second]
    assert times == sorted(times) and before <= times[0] <= times[-1] <= time.time()
    run_tasks([Tiny(a=1)], store=store, workers=1)  # stored: nothing to report
    assert len(path.read_text().splitlines()) == len(lines)


def test_time_left_is_mean_time_times_what_is_left(store, tmp_path, monkeypatch):
    clock = iter([100.0, 103.0, 104.0, 110.0])  # start; then one reading a finished run
    of_progress = SimpleNamespace(monotonic=lambda: next(clock), time=time.time)
    monkeypatch.setattr("dataworth.runs.progress.time", of_progress)
    path = tmp_path / "progress.jsonl"
    monkeypatch.setenv("DATAWORTH_PROGRESS", str(path))
    run_tasks([Tiny(a=i) for i in range(3)], store=store, workers=1)
    assert [json.loads(x)["eta_s"] for x in path.read_text().splitlines()] == [None, 6.0, 2.0, 0.0]


# --- Lines and bars ---------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only where a test says so."""
    now = [1000.0]
    monkeypatch.setattr("dataworth.runs.progress.time.monotonic", lambda: now[0])
    return now


def test_a_script_prints_a_plain_line_every_15_seconds_at_most(capsys, clock):
    with progress("classifiers", 12, lambda: "12 runs missing, 28 reused") as advance:
        for _ in range(12):
            clock[0] += 6
            advance()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "classifiers: 12 runs missing, 28 reused",
        "classifiers 3 of 12, 54 s left",
        "classifiers 6 of 12, 36 s left",
        "classifiers 9 of 12, 18 s left",
        "classifiers 12 of 12, done",
    ]


def test_time_left_goes_down_between_two_runs(capsys, clock):
    with progress("runs", 3) as shown:
        clock[0] += 100
        shown()
        clock[0] += 30
        shown.show()
        shown.elsewhere([Holder(Path("x"), "a", "here", "7", 0.0)])
        clock[0] += 15
        shown.elsewhere([])
    assert capsys.readouterr().err.splitlines() == [
        "runs 0 of 3, time left not known yet",
        "runs 1 of 3, 3 min 20 s left",
        "runs 1 of 3, 2 min 50 s left",
        "runs 1 of 3, 2 min 35 s left",
    ]


class Terminal(io.StringIO):
    """What a bar is drawn on."""

    def isatty(self):
        return True


def test_a_bar_in_a_terminal_that_is_gone_at_the_end(monkeypatch, clock):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with progress("classifiers", 2) as advance:
        clock[0] += 60
        advance()
    shown = terminal.getvalue()
    assert "classifiers" in shown and "1/2" in shown and "1 min left" in shown
    assert shown.endswith("\x1b[2K")  # its line is erased


def test_a_closed_pipe_ends_no_run(monkeypatch, store):
    closed = io.StringIO()
    closed.close()
    for stream in (closed, None):
        monkeypatch.setattr(sys, "stderr", stream)
        assert run_tasks([Tiny(a=3)], store=store, workers=1)[0].metrics == {"a": 3}
        monkeypatch.undo()


# --- A notebook -------------------------------------------------------------------------------

CELLS = (
    "import time",
    "from run_specs import Tiny, Slow\n"
    "from dataworth.runs import run_tasks\n"
    "few = run_tasks([Tiny(a=i) for i in range(2)], label='few', workers=1)\n"
    "more = run_tasks([Tiny(a=i) for i in range(5)], label='more', workers=1)\n"
    "slow = run_tasks([Slow(a=i) for i in range(3)], label='slow', workers=1)",
    "print('before')\nrun_tasks([Tiny(a=10)], workers=1);\n"
    "print('between')\nrun_tasks([Tiny(a=11)], workers=1);",
    "from dataworth import display\n"
    "display.aside({'text/html': '<b>table</b>', 'text/plain': 'table'})\n"
    "run_tasks([Tiny(a=15)], workers=1);",
    "import dataworth, tqdm.auto\nlen(run_tasks([Tiny(a=20)], workers=1))",
)


class Following(NotebookClient):
    """Keeps what a page would show on the way."""

    def process_message(self, msg, cell, cell_index):
        found = super().process_message(msg, cell, cell_index)
        if msg["msg_type"] in ("display_data", "update_display_data", "clear_output"):
            told = msg["content"].get("data", {}).get("text/plain", "")
            self.told = [*getattr(self, "told", []), (cell_index, told)]
        return found


@pytest.fixture
def notebook(monkeypatch, tmp_path):
    monkeypatch.setenv("DATAWORTH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return made


def outputs(notebook):
    """Of each cell, without what only says how a cell was run."""
    return [
        [{k: v for k, v in o.items() if k != "metadata"} for o in c.outputs] for c in notebook.cells
    ]


LEFT = [
    [],
    [],  # nothing is left of the line where the cell has shown nothing else
    [
        {"output_type": "stream", "name": "stdout", "text": "before\n"},
        {"output_type": "display_data", "data": {}},  # and nothing to see elsewhere
        {"output_type": "stream", "name": "stdout", "text": "between\n"},
    ],
    [{"output_type": "display_data", "data": {"text/html": "<b>table</b>", "text/plain": "table"}}],
    [{"output_type": "execute_result", "data": {"text/plain": "1"}, "execution_count": 5}],
]


def test_a_notebook_has_one_line_that_leaves_nothing(notebook):
    client = Following(notebook)
    client.execute()
    assert outputs(notebook) == LEFT
    told = [text for cell, text in client.told if cell == 1]
    assert told[:4] == [
        "few: 2 runs missing, 0 reused, time not known (no run of their kind is stored)",
        "",  # removed
        "more: 3 runs missing, 2 reused, less than a minute (by stored runs that differ in a)",
        "",
    ]
    below = [text for cell, text in client.told if cell == 3]
    line = "runs: 1 run missing, 0 reused, less than a minute"
    assert below == ["table", f"table\n\n{line}", "table"]
    slow = [text for text in told if text.startswith("slow")]
    assert [text.split(",")[0] for text in slow] == [
        "slow: 3 runs missing", "slow 1 of 3", "slow 2 of 3", "slow 3 of 3",
    ]  # fmt: skip
    assert all(re.search(r"\d (s|min) left$", text) for text in slow[1:3])
    assert "IProgress" not in str(notebook)


def test_papermill_stores_nothing_of_it(notebook, tmp_path):
    nbformat.write(notebook, tmp_path / "in.ipynb")
    papermill.execute_notebook(tmp_path / "in.ipynb", tmp_path / "out.ipynb", progress_bar=False)
    assert outputs(nbformat.read(tmp_path / "out.ipynb", 4)) == LEFT
