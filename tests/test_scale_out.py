"""The recipes of book/scale_out.md, as far as they can be checked without their systems."""

import ast
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from test_commands import check

PAGE = (Path(__file__).parents[1] / "book" / "scale_out.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
SCRIPTS = [text for kind, text in BLOCKS if kind == "bash"]
JOB = yaml.safe_load(next(text for kind, text in BLOCKS if kind == "yaml"))
# What stands for what a scheduler fills in.
FILLED = {
    '"$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"': "3/8",
    '"$((JOB_COMPLETION_INDEX + 1))/8"': "3/8",
    "{}/4": "3/4",
}


def commands(text: str) -> list[list[str]]:
    """The commands of ours in a text, wherever in a line they stand."""
    for old, new in FILLED.items():
        text = text.replace(old, new)
    found = re.findall(r"(?:\.venv/bin/)?(dataworth (?:work|run)[^\n\"]*)", text)
    return [shlex.split(line) for line in found]


def test_scripts_are_scripts():
    assert len(SCRIPTS) >= 5
    for script in SCRIPTS:
        done = subprocess.run(
            ["bash", "-n"], input=script, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 and not done.stderr, script


def test_their_commands_are_taken():
    (line,) = JOB["spec"]["template"]["spec"]["containers"][0]["args"]
    found = [words for text in [*SCRIPTS, line] for words in commands(text)]
    assert len(found) == len(re.findall("dataworth (?:work|run)", "".join([*SCRIPTS, line])))
    assert {words[1] for words in found} == {"work", "run"}
    for words in found:
        check(words)


def test_the_job_gives_each_index_a_shard():
    spec = JOB["spec"]
    assert (JOB["apiVersion"], JOB["kind"]) == ("batch/v1", "Job")
    assert spec["completionMode"] == "Indexed" and spec["parallelism"] <= spec["completions"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"][0].endswith(f'+ 1))/{spec["completions"]}"')
    assert [m["name"] for m in container["volumeMounts"]] == [v["name"] for v in pod["volumes"]]
    environment = {one["name"]: one["value"] for one in container["env"]}
    assert environment["DATAWORTH_HOME"] == container["volumeMounts"][0]["mountPath"]
    assert environment["DATAWORTH_WORKERS"] == container["resources"]["requests"]["cpu"]


def test_the_array_begins_at_one():
    (script,) = [s for s in SCRIPTS if "#SBATCH --array" in s]
    assert script.startswith("#!/bin/bash\n#SBATCH")  # Slurm reads no line after the first command
    assert re.search(r"^#SBATCH --array=1-\d+$", script, re.MULTILINE)
    body = script.index("set -eu")
    assert "#SBATCH" not in script[body:]


def test_the_lines_for_dask_are_options_of_dask():
    pytest.importorskip("distributed")
    from distributed.cli import dask_scheduler, dask_worker

    text = "\n".join(SCRIPTS)
    for name, module in (("scheduler", dask_scheduler), ("worker", dask_worker)):
        (line,) = re.findall(rf"\.venv/bin/dask {name} (.*) &", text)
        known = {option for one in module.main.params for option in one.opts}
        assert set(re.findall(r"--[a-z-]+", line)) <= known


def test_the_notebook_is_python_and_names_what_exists():
    import joblib

    from dataworth.studies import mixing

    (code,) = [text for kind, text in BLOCKS if kind == "python"]
    ast.parse(code)
    assert callable(mixing.run) and callable(joblib.parallel_config)
