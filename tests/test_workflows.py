"""What a public host is told to run exists: workflows, devcontainer, and the Makefile they call."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from dataworth.book.layout import open_layout, profiles
from dataworth.compute import LIMITS
from dataworth.paths import project_root

ROOT = project_root()
if ROOT is None or not (ROOT / "Makefile").is_file():
    pytest.skip("a clone has these files, an installed wheel does not", allow_module_level=True)
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
DEVCONTAINER = ROOT / ".devcontainer" / "devcontainer.json"
MAKEFILE = (ROOT / "Makefile").read_text()


def jobs(name: str) -> dict[str, dict[str, Any]]:
    return yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())["jobs"]


def commands() -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Every command of the workflows and the devcontainer, with the values of its job's matrix."""
    for path in WORKFLOWS:
        for job in jobs(path.name).values():
            matrix = job.get("strategy", {}).get("matrix", {})
            values = {name: value for name, value in matrix.items() if name != "include"}
            for step in job["steps"]:
                assert ("run" in step) != ("uses" in step), step
                for line in step.get("run", "").splitlines():
                    yield line, values
    yield json.loads(DEVCONTAINER.read_text())["postCreateCommand"], {}


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not on this machine")
def test_every_command_is_a_target_of_the_makefile():
    found = list(commands())
    assert len(found) >= 4
    for line, matrix in found:
        for name, values in matrix.items():
            line = line.replace(f"${{{{ matrix.{name} }}}}", values[0])
        words = line.split()
        assert words[0] == "make" and "$" not in line, line
        done = subprocess.run(
            ["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        for profile in re.findall(r"PROFILE=(\S+)", line):
            assert profile in profiles(ROOT)


def test_the_pythons_tried_are_those_promised():
    tried = jobs("ci.yml")["systems"]["strategy"]["matrix"]["python"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    promised = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    assert tried == promised and project["requires-python"] == f">={tried[0]}"
    after = f"3.{int(tried[-1].split('.')[1]) + 1}"
    assert f"DATAWORTH_PYTHON ?= >={tried[0]},<{after}\n" in MAKEFILE
    others = [
        step["with"]["python-version"]
        for path in WORKFLOWS
        for job in jobs(path.name).values()
        for step in job["steps"]
        if "python-version" in step.get("with", {})
    ]
    assert set(others) <= {*tried, "${{ matrix.python }}"}
    image = json.loads(DEVCONTAINER.read_text())["image"]
    assert re.fullmatch(r"python:(3\.\d+)-\w+", image)[1] in tried


def test_the_simulated_processors_are_ones_that_keys_know():
    job = jobs("ci.yml")["processors"]
    for setting in job["strategy"]["matrix"]["include"]:
        for variable, value in job["env"].items():
            level = setting[re.search(r"matrix\.(\w+)", value)[1]]
            assert level.lower() in LIMITS[variable], (variable, level)


def test_the_page_that_is_published_is_the_one_that_is_built():
    steps = jobs("pages.yml")["book"]["steps"]
    (published,) = (s["with"]["path"] for s in steps if "upload-pages" in s.get("uses", ""))
    assert ROOT / published == open_layout("quick", ROOT).html
    used = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    for pattern in re.findall(r"hashFiles\('([^']+)'\)", used):
        assert list(ROOT.glob(pattern)), pattern


def test_the_makefile_needs_no_newer_make_than_macos_has():
    """GNU make 3.81 and BSD tools."""
    newer = r"\.ONESHELL|\.RECIPEPREFIX|!=|:::?=|&:|\$\((file|guile|let|intcmp|undefine) "
    gnu = r"sed -i|readlink -f|realpath|nproc|grep -P|xargs -r|date -d|cp -t|stat -c|sort -V"
    assert not re.findall(newer, MAKEFILE) and not re.findall(gnu, MAKEFILE)
