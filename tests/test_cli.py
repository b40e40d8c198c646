from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent / "book"))

from example import make_book

from dataworth import claims
from dataworth import cli as face
from dataworth.claims import sealed_ledger
from dataworth.cli import app
from dataworth.stats import Estimate


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(make_book(tmp_path)))
    yield tmp_path
    sys.modules.pop("example_params", None)


def call(*words: str, root: Path) -> Any:
    return CliRunner().invoke(app, [*words, "--root", str(root)])


def test_list_tells_state_and_parameters(root):
    rows = json.loads(call("list", "--json", "--profile", "smoke", root=root).stdout)
    assert [(r["chapter"], r["state"]) for r in rows] == [("line-fit", "not executed yet")]
    assert rows[0]["parameters"] == {"slope": 3.0, "points": 10, "seed": 0}
    assert "line-fit" in call("list", "--profile", "smoke", root=root).stdout


def test_check_shows_the_cost_and_runs_nothing(root):
    done = call("check", root=root)
    assert done.exit_code == 0
    assert "3 parameters are valid for profile 'paper'" in done.stdout
    assert "hours" in done.stdout and "15" in done.stdout
    assert not (root / "build").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["run", "line-fit", "--profile", "smoke", "-p", "slope=-1"], "'slope' is -1"),
        (["run", "line-fit", "--profile", "smoke", "-p", "points=60"], "the pool holds 50"),
        (["run", "line-fit", "--profile", "smoke", "-p", "slop=1"], "Did you mean 'slope'?"),
        (["run", "line-fit", "--profile", "smoke", "-p", "slope"], "write -p name=value"),
        (["run", "line-fti", "--profile", "smoke"], "Unknown chapter 'line-fti'; the book has"),
        (["why", "LINE_FTI", "--profile", "smoke"], "Did you mean 'line-fit'?"),
        (["list", "--profile", "somke"], "Did you mean 'smoke'?"),
        (["compare", "line-fit", "a"], "has no finished run 'a'; it has none"),
        (["diff", "smoke", "recorded:full"], "'smoke' has no result of a chapter of this book"),
        (
            ["diff", "line-fit", "smoke"],
            "'line-fit' is neither a profile (smoke, quick, paper),",
        ),
        (["run", "line-fit", "--profile", "smoke", "--hub", "nowhere"], "--hub names nowhere"),
        (["book", "--profile", "paper"], "dataworth check --profile paper"),
        (["book", "--profile", "smok"], "Unknown profile 'smok'; the book has smoke, quick, paper"),
        (["record", "line-fit", "--profile", "smoke"], "has no finished run with profile 'smoke'"),
        (["claims", "--profile", "smoke"], "run: dataworth book --profile smoke"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2_before_any_kernel(root, words, complaint):
    done = call(*words, root=root)
    assert done.exit_code == 2
    assert complaint in done.stderr
    assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1
    assert not (root / "build" / "smoke" / "work").exists()


def test_claims_as_table_and_json(root, monkeypatch):
    folder = root / "build" / "smoke" / "results"
    monkeypatch.setenv("DATAWORTH_RESULTS", str(folder))
    monkeypatch.setenv("DATAWORTH_PROFILE", "smoke")
    monkeypatch.chdir(root)
    made = claims.judge("line-fit", {"rises": Estimate(3.1, 2.5, 3.7, np.empty(0))})
    claims.write(made, evidence={}, provenance={})
    path = folder / "line-fit.json"
    (result,) = json.loads(call("claims", "--json", "--profile", "smoke", root=root).stdout)
    assert result == claims.read_ledger(path)
    shown = " ".join(call("claims", "--profile", "smoke", root=root).stdout.split())
    assert "The line" in shown and "supported" in shown
    path.write_text("[]")
    done = call("claims", "--profile", "smoke", root=root)
    assert done.exit_code == 2
    assert "build/smoke/results/line-fit.json is not a ledger: it holds a list" in done.stderr


def in_terminal(*words: str, columns: int = 200, kind: str = "dumb") -> tuple[int, str]:
    """Exit status of the program and what it writes to a terminal so many columns wide."""
    ours, theirs = pty.openpty()
    env = os.environ | {"COLUMNS": str(columns), "TERM": kind}
    code = "from dataworth.cli import app; app()"
    program = subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=theirs, stderr=theirs, env=env
    )
    os.close(theirs)
    written = b""
    try:
        while block := os.read(ours, 4096):
            written += block
    except OSError:  # Linux ends a terminal so
        pass
    os.close(ours)
    return program.wait(), written.decode()


def test_a_sentence_in_a_terminal_is_folded_between_words(root):
    """Twenty names of parameters are a list to read, not one line cut by the terminal."""
    words = ["list", "--profile", "smok", "--root", str(root)]
    status, shown = in_terminal(*words, columns=40, kind="linux")
    assert status == 2
    first, *rest = shown.replace("\r", "").rstrip("\n").split("\n")
    assert rest and all(len(line) <= 40 for line in (first, *rest))
    assert all(line.startswith("    ") for line in rest)
    assert " ".join(shown.split()).endswith("smoke, quick, paper. Did you mean 'smoke'?")


HOSTILE = ["a[real]", "/x", "[bold]", "[/]", ":smile:", "\x1b]0;title\x07", "abc\u202edef"]


def test_no_label_of_a_curve_is_taken_for_a_command(tmp_path):
    """Labels that rich would read as markup or emoji, and a terminal as orders, are shown."""
    rows = [f"{x},{x**-0.3},{label}" for label in HOSTILE for x in (80, 160, 320, 640)]
    runs = tmp_path / "groups.csv"
    runs.write_text("\n".join(["x,y,arm", *rows]))
    status, shown = in_terminal("fit", str(runs), "--group", "arm")
    assert status == 0
    first = [line.split()[0] for line in shown.splitlines() if line.strip()]
    wanted = [label.encode("unicode_escape").decode() for label in HOSTILE]
    for name in "ak":
        assert {f"{name}[{label}]" for label in wanted} <= set(first)
    assert not set("\x1b\x07\u202e") & set(shown)


def test_no_claim_or_message_is_taken_for_a_command(tmp_path):
    claim = {
        "id": "a", "statement": "[bold]A[/] \x1b[2Jclaim", "source": "", "published": "",
        "region": [0, 9], "effect": "", "definition": "", "estimate": 3.1,
        "interval": [2.5, 3.7], "unit": "[u]", "verdict": "supported", "reason": "/x \u2066",
    }  # fmt: skip
    ledger = {"chapter": "c[real]", "title": "", "profile": "smoke", "claims": [claim],
              "evidence": {}, "provenance": {}}  # fmt: skip
    (tmp_path / "c[real].json").write_text(sealed_ledger(ledger))
    command = ["claims", "-v", "--results", str(tmp_path)]
    done = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    assert done.exit_code == 0
    for text in ("c[real]", "[bold]A[/] \\x1b[2Jclaim", "[u]", "/x \\u2066"):
        assert text in done.stdout
    for words in (["fit", "[red]\x1b[31m.csv"], ["\x1b[31m"], ["fit", "a.csv", "--\x1b[31m", "1"]):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 2
        assert "\\x1b[31m" in done.stderr and "\x1b" not in done.stderr


def commands() -> dict[str, list[str]]:
    """Every command of the program, those in a group of their own too, with what it must have."""
    found = {}
    top = typer.main.get_command(app)
    context = top.make_context("dataworth", ["list"])
    for name in top.list_commands(context):
        command = top.resolve_command(context, [name])[1]
        inner = getattr(command, "commands", None) or {"": command}
        for other, one in inner.items():
            needed: list[str] = []
            for parameter in one.params:
                if parameter.required:
                    option = parameter.param_type_name == "option"
                    kind = parameter.type_descriptor.annotation
                    value = get_args(kind)[0] if get_origin(kind) is Literal else "1"
                    needed += [*([parameter.opts[0]] if option else []), value]
            found[f"{name} {other}".strip()] = needed
    return found


COMMANDS = commands()


def test_every_command_is_found():
    assert {"book", "run", "record", "claims", "fit", "store prune", "data fetch"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_ends_with_0_2_or_130(command, monkeypatch):
    """As its help says: 0 done, 2 refused, 130 interrupted; whatever it is doing then."""
    ours, words = CliRunner(), command.split()
    helped = ours.invoke(app, [*words, "--help"])
    assert helped.exit_code == 0 and "Usage" in helped.stdout
    refused = ours.invoke(app, [*words, "--no-such-option"])
    assert refused.exit_code == 2 and "--no-such-option" in refused.stderr

    def interrupted(self, ctx):
        raise KeyboardInterrupt

    def failed(self, ctx):
        raise OSError(28, "No space left on device", "/somewhere/file")

    for behaviour, status, told in (
        (interrupted, 130, "Interrupted: finished runs"),
        (failed, 2, "Error: '/somewhere/file' cannot be read or written: No space left"),
    ):
        monkeypatch.setattr(face.TyperCommand, "invoke", behaviour)
        done = ours.invoke(app, [*words, *COMMANDS[command]])
        assert done.exit_code == status
        assert done.stderr.startswith(told) and done.stderr.count("\n") == 1


def test_the_help_names_exit_statuses_and_the_root():
    shown = " ".join(CliRunner().invoke(app, ["--help"]).stdout.split())
    for told in ("0 done", "2 refused or failed", "130 interrupted", "--quiet", "--version"):
        assert told in shown
    for words in (["run"], ["list"], ["claims"], ["check"], ["why"], ["record"], ["book"]):
        assert "--root" in CliRunner().invoke(app, [*words, "--help"]).stdout


LISTINGS = {
    "list": {"chapter", "state", "changed", "expected_minutes", "measured_minutes", "parameters"},
    "check": {"chapter", "profile", "parameters", "doubts", "cost"},
    "why line-fit": {"chapter", "state", "executed", "changed"},
    "runs line-fit": set(),
    "claims --history": {"chapter", "claim", "region", "since", "recorded"},
}


@pytest.mark.parametrize("line", LISTINGS)
def test_every_listing_of_a_book_has_json(root, line):
    words = line.split()
    profile = [] if words[0] in ("runs", "claims") else ["--profile", "smoke"]
    done = call(*words, "--json", *profile, root=root)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    rows = told if isinstance(told, list) else [told]
    assert all(LISTINGS[line] <= set(row) for row in rows)
    assert bool(rows) == bool(LISTINGS[line])


def test_the_costs_of_a_check_are_numbers(root):
    (row,) = json.loads(call("check", "--json", "--profile", "smoke", root=root).stdout)
    assert row["cost"] == [{"part": "fits", "hours": 15.0}] and row["doubts"] == []


def test_every_listing_of_data_and_runs_has_json(tmp_path, monkeypatch):
    monkeypatch.setenv("DATAWORTH_HOME", str(tmp_path))

    def told(*words):
        return json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)

    (status,) = told("data", "status", "fashion-mnist")
    assert (status["card_id"], status["present"]) == ("fashion-mnist", False)
    assert len(told("data", "status")) > 5
    store = str(tmp_path / "runs")
    assert told("store", "list")["kinds"] == []
    assert told("store", "size") == {"store": store, "entries": 0, "bytes": 0}
    pruned = told("store", "prune", "--unreferenced")
    assert pruned["store"] == store and pruned["entries"] == pruned["deleted"] == 0


def claimed(folder: Path) -> list[dict[str, Any]]:
    """Two chapters with claims of many lengths, as results files in the folder."""
    made = []
    for chapter in ("first-chapter", "second"):
        lines: list[dict[str, Any]] = [
            {
                "id": f"claim-{i}", "statement": " ".join(["word"] * (3 + 11 * i)) + ".",
                "source": "", "published": "", "region": [0, "inf"], "effect": "",
                "definition": "", "estimate": 3.1 * i, "interval": [2.5 * i, 3.7 * i],
                "unit": "points per further 10 % removed", "verdict": "supported",
                "reason": f"Because of {chapter} {i}.",
            }
            for i in range(1, 4)
        ]  # fmt: skip
        title = "A rather long title, longer than forty columns"
        ledger: Any = {"chapter": chapter, "title": title, "profile": "smoke", "claims": lines,
                       "evidence": {}, "provenance": {}}  # fmt: skip
        (folder / f"{chapter}.json").write_text(sealed_ledger(ledger))
        made += lines
    return made


@pytest.mark.parametrize("width", [40, 80, 200])
def test_claims_are_one_block_each_at_every_width(tmp_path, width):
    """The verdict in its first line, nothing cut, no line too long, counts at the end."""
    made = claimed(tmp_path)
    words = ["claims", "--results", str(tmp_path)]
    shown = CliRunner().invoke(app, words, env={"COLUMNS": str(width)}).stdout
    assert max(map(len, shown.splitlines())) <= width
    blocks = [" ".join(block.split()) for block in re.split("^  (?=claim-)", shown, flags=re.M)]
    assert len(blocks) == 1 + len(made)
    for line, block in zip(made, blocks[1:], strict=True):
        estimate = claims.estimated(line)
        assert block.startswith(f"{line['id']}: supported {line['statement']} {estimate}")
    assert " ".join(shown.split()).endswith(f"6 claims: {claims.counts(made)}")
    assert "Because" not in shown
    for asked in (["-v", *words], [*words, "--verbose"]):
        said = CliRunner().invoke(app, asked, env={"COLUMNS": str(width)}).stdout
        assert said.count("Because of ") == 6


def test_unknown_data_set():
    done = CliRunner().invoke(app, ["data", "status", "no-such-set"])
    assert done.exit_code == 2
    assert "no data set 'no-such-set'; the data sets are: fashion-mnist" in done.stderr
    done = CliRunner().invoke(app, ["data", "fetch", "fashion-mnits"])
    assert done.exit_code == 2 and done.stderr.endswith(" Did you mean 'fashion-mnist'?\n")


def test_data_status_tells_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("DATAWORTH_HOME", str(tmp_path))
    done = CliRunner().invoke(app, ["data", "status"])
    assert done.exit_code == 0
    assert "fashion-mnist: missing (dataworth data fetch fashion-mnist)" in done.stdout


@pytest.mark.parametrize(
    "words", ["import dataworth", "import dataworth.cli; dataworth.cli.app(['--help'])"]
)
def test_the_start_is_light(words):
    """Nothing that computes, checks values or draws is imported before a command needs it."""
    code = f"import atexit, sys; atexit.register(lambda: print(*sorted(sys.modules))); {words}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {
        "IPython", "jupytext", "matplotlib", "nbformat", "numpy", "pandas", "papermill",
        "psutil", "pydantic", "scipy", "sphinx", "torch", "yaml",
    }  # fmt: skip
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "dataworth" in loaded and not heavy & loaded


def test_reading_a_chapter_compiles_no_grammars():
    """`dataworth list` would spend a second on what no notebook has."""
    code = (
        "import sys; from dataworth.book.chapters import _jupytext; _jupytext();"
        "print('jsonschema' in sys.modules, 'rfc3987_syntax' in sys.modules);"
        "import rfc3987_syntax"  # whoever wants them still gets them
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("dataworth run line", ["line-fit"]),
        ("dataworth why li", ["line-fit"]),
        ("dataworth list --profile s", ["smoke"]),
        ("dataworth run line-fit -p s", ["slope=", "seed="]),
        ("dataworth run line-fti -p s", []),
        ("dataworth data fetch fashion-i", ["fashion-icons"]),
        ("dataworth record li", ["line-fit"]),
        ("dataworth runs li", ["line-fit"]),
        ("dataworth compare li", ["line-fit"]),
        ("dataworth compare line-fit rec", ["recorded:smoke"]),
        ("dataworth compare line-fit x r", ["recorded:smoke"]),
        ("dataworth claims --profile p", ["paper"]),
        ("dataworth run line-fit --qu", ["--quiet"]),
    ],
)
def test_the_shell_completes(root, line, offered):
    """What the shell asks for when the tabulator is pressed at the end of the line."""
    device = {"processor": "", "cores": 1, "memory_gb": 1.0, "gpu": None, "system": ""}
    run = {"started": "2026-11-27", "finished": "2026-11-27", "wall_s": 1.0, "versions": {},
           "device": device, "commit": None}  # fmt: skip
    ledger: Any = {"chapter": "line-fit", "title": "", "profile": "smoke", "claims": [],
                   "evidence": {}, "provenance": {}, "run": run}  # fmt: skip
    kept = root / "book" / "recorded" / "smoke" / "line-fit.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(sealed_ledger(ledger))
    words = line.split()
    place = ["--root", str(root)] if words[1] != "data" else []
    words = [*words[:2], *place, *words[2:]]
    env = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    code = "from dataworth.cli import app; app(prog_name='dataworth')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env=os.environ | env | {"_DATAWORTH_COMPLETE": "complete_bash"},
    )  # fmt: skip
    assert done.stdout.split() == offered, done.stderr
