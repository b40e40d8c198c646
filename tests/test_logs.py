"""Log lines: none unless asked for, then on stderr, and from processes below by way of a file."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataworth import logs
from dataworth.runs import Store, run_tasks
from runs.run_specs import Tiny

LINE = "import dataworth, logging; logging.getLogger('dataworth.x').info('one \\x1b[2J line')"


def stderr(code: str, **env: str) -> str:
    own = {k: v for k, v in os.environ.items() if not k.startswith("DATAWORTH_LOG")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**own, **env}
    )
    assert not done.stdout
    return done.stderr


def test_lines_are_shown_where_asked_for(tmp_path):
    assert stderr(LINE) == ""
    (line,) = stderr(LINE, DATAWORTH_LOG="info").splitlines()
    assert line.endswith("dataworth.x: one \\x1b[2J line") and line[2] == line[5] == ":"
    assert stderr(LINE, DATAWORTH_LOG="ERROR") == ""
    file = tmp_path / "log"
    for _ in range(2):  # two processes append
        assert stderr(LINE, DATAWORTH_LOG="DEBUG", DATAWORTH_LOG_FILE=str(file)) == ""
    assert file.read_text().count("one") == 2


@pytest.mark.parametrize(("option", "level"), [("-v", "INFO"), ("-vv", "DEBUG"), ("", None)])
def test_the_option_sets_the_level_for_processes_below(option, level):
    words = [*option.split(), "data", "status", "nlp-corpus"]
    code = (
        "import os, sys; from dataworth.cli import app;"
        f"app({words}, standalone_mode=False); print(os.environ.get('DATAWORTH_LOG'))"
    )
    own = {k: v for k, v in os.environ.items() if k != logs.LEVEL}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=own
    )
    assert done.stdout.splitlines()[-1] == str(level)


def test_the_engine_tells_what_it_does(tmp_path, caplog):
    caplog.set_level(logging.INFO, "dataworth")
    store = Store(tmp_path)
    run_tasks([Tiny(), Tiny(a=1)], store=store, workers=1, label="drops")
    run_tasks([Tiny(), Tiny(a=2)], store=store, workers=1, label="drops")
    said = [record.getMessage() for record in caplog.records]
    assert [s for s in said if s.startswith("drops")] == [
        "drops: 2 asked for, 0 of them stored",
        "drops: 2 asked for, 1 of them stored",
    ]
    assert sum("computed in" in s for s in said) == 3


def test_only_whole_new_lines_are_echoed(tmp_path, monkeypatch, capsys):
    file: Path = tmp_path / "log"
    echo = logs.Echo(file)
    monkeypatch.setenv(logs.LEVEL, "INFO")
    echo()
    file.write_text("a\nb")
    echo()
    with file.open("a") as stream:
        stream.write("c\n")
    echo()
    echo()
    assert capsys.readouterr().err == "a\nbc\n"
    monkeypatch.delenv(logs.LEVEL)
    logs.Echo(file)()
    assert capsys.readouterr().err == ""
