"""The package without its clone and without its extras, as a wheel alone is installed.

The folder of modules is what the wheel holds; an import hook hides every installed distribution
that the core dependencies do not bring.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dataworth import __version__
from dataworth.claims import sealed_ledger
from dataworth.cli import BROUGHT, EXTRAS

CLONE = Path(__file__).parents[1]
PROJECT = tomllib.loads((CLONE / "pyproject.toml").read_text())["project"]

HOOK = """
import sys
HIDDEN = frozenset({hidden!r})
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hide())
"""


def brought_by(requirements: list[str]) -> set[str]:
    """Names of the distributions that these requirements install, here."""
    found: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name in found or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        waiting += map(Requirement, metadata.requires(name) or [])
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to put first on the path."""
    core = brought_by(PROJECT["dependencies"])
    hidden = {
        module
        for module, owners in metadata.packages_distributions().items()
        if not core & {canonicalize_name(owner) for owner in owners} and module != "dataworth"
    }
    assert {"torch", "psutil", "jupytext", "filelock"} <= hidden
    assert not {"numpy", "scipy", "pandas", "rich", "typer", "yaml", "pydantic"} & hidden
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(
        CLONE / "lib" / "dataworth", site / "dataworth",
        ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"),
    )  # fmt: skip
    (site / "sitecustomize.py").write_text(HOOK.format(hidden=sorted(hidden)))
    return site


@pytest.fixture
def call(alone: Path, tmp_path: Path):
    folder = tmp_path / "empty"
    folder.mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DATAWORTH_", "PYTHON"))}
    env = kept | {"PYTHONPATH": str(alone), "HOME": str(tmp_path), "COLUMNS": "300"}
    code = "from dataworth.cli import app; app()"

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, *words]
        return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)

    return run


def write_runs(folder: Path, name: str, floor: float) -> None:
    rows = [f"{n},{d},{floor + n**-0.3 + d**-0.3}" for n in (1e2, 1e3, 1e4) for d in (1e3, 1e4)]
    (folder / name).write_text("\n".join(["N,D,loss", *rows]))


def test_what_works_alone(call, tmp_path):
    folder = tmp_path / "empty"
    assert call("--version").stdout == f"dataworth {__version__}\n"
    shown = call("--help").stdout
    assert all(name in shown for name in ("book", "claims", *BROUGHT))
    for name, floor in (("real.csv", 0.1), ("synthetic.csv", 0.2)):
        write_runs(folder, name, floor)
    one = ("--x", "N", "--y", "loss", "--law", "power")
    assert json.loads(call("fit", "real.csv", *one).stdout)["n"] == 6
    ratio = json.loads(call("ratio", "real.csv", "synthetic.csv", *one, "--at-real", "500").stdout)
    assert ratio["ratio"]["value"] > 1
    assert json.loads(call("frontier", "real.csv", "--budget", "1e9").stdout)["optima"]
    claim = {"id": "a", "statement": "S", "source": "", "published": "", "estimate": 1.0,
             "interval": [0.0, 2.0], "region": [0.0, 2.0], "unit": "u", "effect": "",
             "verdict": "supported", "reason": "", "definition": ""}  # fmt: skip
    (folder / "build" / "results").mkdir(parents=True)
    ledger = {"chapter": "c", "title": "T", "profile": "p", "claims": [claim],
              "evidence": {}, "provenance": {}}  # fmt: skip
    (folder / "build" / "results" / "c.json").write_text(sealed_ledger(ledger))
    assert json.loads(call("claims", "--json").stdout) == [ledger]
    done = call("data", "status")
    assert "fashion-mnist: missing" in done.stdout and done.returncode == 0


EXTRA = "pip install 'dataworth["


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["book"], "clone"),
        (["run", "mixing"], "clone"),
        (["record", "mixing"], "clone"),
        (["list"], "clone"),
        (["check"], "clone"),
        (["why", "mixing"], "clone"),
        (["why", "0123456789"], "0123456789"),
        (["claims"], "build/results; name a folder that has some with --results"),
        (["data", "fetch", "fashion-mnist"], "dataworth[images]"),
        (["data", "fetch", "sotu"], EXTRA),
        # the book is there, what executes it is not
        (["list", "--root", str(CLONE)], EXTRA),
        (["run", "mixing", "--root", str(CLONE)], EXTRA),
    ],
)
def test_everything_else_is_one_sentence(call, tmp_path, words, named):
    done = call(*words)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1
    assert named in done.stderr
    assert not list((tmp_path / "empty").iterdir())


def test_every_command_is_tried_above(call):
    commands = {"book", "run", "record", "list", "check", "claims", "data", "why", *BROUGHT}
    shown = call("--help").stdout.partition("Commands")[2]
    named = {line.split()[1] for line in shown.splitlines() if line.startswith("│ ")}
    assert commands == {name for name in named if name.replace("-", "_").isidentifier()}


def test_the_extras_name_every_module_they_bring():
    """Each distribution of an extra provides a module that the sentence knows, under that extra."""
    known: dict[str, set[str]] = {}
    for extras, modules in EXTRAS.items():
        for extra in extras.split(","):
            known.setdefault(extra, set()).update(modules)
    provided: dict[str, set[str]] = {}
    for module, owners in metadata.packages_distributions().items():
        for owner in owners:
            provided.setdefault(canonicalize_name(owner), set()).add(module)
    for extra in ("book", "images", "text"):
        for text in PROJECT["optional-dependencies"][extra]:
            name = canonicalize_name(Requirement(text).name)
            if name == "dataworth":  # another of its extras
                continue
            assert provided[name] & known[extra], name


def test_the_fits_are_listed_by_their_own_line_of_help():
    from dataworth.cli import _brought_by

    for name, (room, text) in BROUGHT.items():
        command = _brought_by(room)[name]
        assert command.help.partition("\n\n")[0] == text
