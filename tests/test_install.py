"""What `make` installs is what was pinned: every file of it has a hash, this package aside."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import dataworth

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ["requirements.lock", "requirements-read.lock", "requirements-uv.lock"]


def pins(lock):
    """Requirement -> its hashes, of a lock file."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / lock).read_text(), flags=re.M).replace("\\\n", " ")
    found = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        words, *hashes = re.split(r"\s+--hash=", line)
        found[words] = hashes
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_pinned_and_hashed(lock):
    for words, hashes in pins(lock).items():
        assert re.fullmatch(r"==[\w.+]+", str(Requirement(words).specifier)), words
        assert hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", h.strip()) for h in hashes), (
            words
        )


def test_make_installs_nothing_without_a_hash():
    """Either hashes are asked for, or nothing can be fetched: no index, no build environment."""
    installs = re.findall(r".*pip (?:install|sync) .*", (ROOT / "Makefile").read_text())
    installs = [line for line in installs if "echo" not in line]
    assert len(installs) == 3
    closed = ("--offline", "--no-deps", "--no-build-isolation")
    for line in installs:
        assert "--require-hashes" in line or all(word in line for word in closed), line


def test_the_build_backend_and_all_extras_are_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    wanted = project["build-system"]["requires"] + project["project"]["dependencies"]
    pinned = {}
    for words in pins("requirements.lock"):
        one = Requirement(words)
        pinned.setdefault(canonicalize_name(one.name), []).append(str(one.specifier)[2:])
    for words in [*wanted, *(one for extra in extras for one in extra)]:
        if (one := Requirement(words)).name == "dataworth":  # an extra of ours, whose own follow
            continue
        versions = pinned[canonicalize_name(one.name)]
        assert all(one.specifier.contains(version) for version in versions), words


def test_what_reads_is_a_part_of_the_pinned_tree_without_torch():
    """`make read` installs the versions that `make book` does, and none of the large packages."""
    whole, light = (  # on fewer systems in the one than in the other
        {words.partition(" ;")[0]: hashes for words, hashes in pins(lock).items()}
        for lock in ("requirements.lock", "requirements-read.lock")
    )
    assert light.keys() <= whole.keys()
    assert all(set(hashes) <= set(whole[words]) for words, hashes in light.items())
    names = {canonicalize_name(Requirement(words).name) for words in light}
    assert not names & {"torch", "transformers", "datasets", "diffusers", "pyarrow", "jupyterlab"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["read"]
    assert {canonicalize_name(Requirement(words).name) for words in wanted} <= names


def test_the_version_is_one():
    """Written in the package; whoever cites or reads the changelog finds the same."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert ROOT / project["tool"]["hatch"]["version"]["path"] == Path(dataworth.__file__)
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    log = re.findall(r"^## \[(\d[^]]*)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert log[0] == (dataworth.__version__, cited["date-released"])
    assert cited["version"] == dataworth.__version__
    assert metadata.version("dataworth") == dataworth.__version__, "make installs it again"
    assert [Version(v) for v, _ in log] == sorted((Version(v) for v, _ in log), reverse=True)


def test_hooks_run_what_make_check_runs():
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local"
    check = re.search(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)[1]
    for hook in local["hooks"]:
        assert hook["language"] == "system", "nothing is fetched"
        assert hook["entry"].replace(" --force-exclude", "") in check.replace(" .\n", "\n")


def test_make_lab_starts_as_root_too_and_says_so(tmp_path):
    """The real recipe with a JupyterLab that only prints how it was called."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    program = tmp_path / ".venv" / "bin" / "jupyter"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    (tmp_path / ".venv" / ".ready").touch()
    command = ["make", "-s", "-o", ".venv/.ready", "lab", "LAB_OPTIONS=--port=8899"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    *note, called = made.stdout.splitlines()
    assert called.startswith("lab ") and called.endswith(" --port=8899")
    assert ("--allow-root" in called.split()) == (os.getuid() == 0) == (len(note) == 1)
    (settings,) = (tmp_path / ".venv").rglob("default_setting_overrides.json")
    assert "@jupyterlab/docmanager-extension:plugin" in json.loads(settings.read_text())
