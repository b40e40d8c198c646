"""`dataworth store`: what is stored, and what may go; nothing is deleted unasked."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from run_specs import Tiny
from typer.testing import CliRunner

from dataworth.cli import app
from dataworth.runs import Store, leases, run_tasks
from dataworth.runs.cli import IN_USE_S, size
from dataworth.runs.spec import key_of
from dataworth.runs.store import DAMAGED


def call(*words: str) -> list[str]:
    done = CliRunner().invoke(app, ["store", *words])
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def age(path: Path, days: float = 40) -> None:
    then = time.time() - days * 86400
    os.utime(path, (then, then))


def stored(home: Path, count: int = 3) -> list[Path]:
    store = Store(home / "runs")
    specs = [Tiny(a=a) for a in range(count)]
    run_tasks(specs, store=store, workers=1)
    return [store.path(spec) for spec in specs]


def rename(path: Path, **changes: object) -> Path:
    """The entry as if another code had stored it: whole, under the key of its content."""
    content = json.loads((path / "spec.json").read_text()) | changes
    (path / "spec.json").write_text(json.dumps(content))
    other = path.rename(path.with_name(key_of(content)))
    age(other)
    return other


def test_an_empty_store(home):
    assert call("list") == call("size") == [f"0 entries, 0 bytes, in {home / 'runs'}"]
    assert call("prune", "--unreferenced") == ["0 entries of 0 bytes would go"]
    assert not home.exists()


def test_list_and_size_count_by_kind(home):
    paths = stored(home)
    held = sum(f.stat().st_size for path in paths for f in path.iterdir())
    junk = home / "runs" / "tiny" / "notes.txt"
    junk.write_text("mine")
    (home / "runs" / "README").write_text("mine")
    (home / "runs" / "\x1b[31m[red]").mkdir()
    (home / "runs" / "tiny" / f".{paths[0].name}-0123abcd").mkdir()
    age(home / "runs" / "tiny" / f".{paths[0].name}-0123abcd")
    told = json.loads("\n".join(call("list", "--json")))
    (row,) = told["kinds"]
    assert (row["kind"], row["entries"], row["bytes"]) == ("tiny", 3, held)
    assert told["left_over"] == 1
    lines = call("list")
    assert lines[0].startswith(f"tiny: 3 runs, {size(held)}, last used ")
    assert lines[-1] == call("size")[0] == f"3 entries, {size(held)}, in {home / 'runs'}"


def test_only_what_today_cannot_ask_for_goes_and_only_with_yes(home):
    current, *others = stored(home, 8)
    age(current)
    text = "dataworth.text.tokens:TokenizerSpec"
    fields = {"nothing": "like it"}
    gone = [
        rename(others[0], **{"class": "dataworth.text.gone:Old"}),
        rename(others[1], **{"class": text, "spec": fields}),
    ]
    kept = [
        current,
        rename(others[2], **{"class": "elsewhere:Old"}),  # nobody here can tell
        rename(others[3], **{"class": "dataworth.errors:UserError"}),
    ]
    young = rename(others[4], **{"class": "dataworth.text.gone:Old"})
    os.utime(young)
    kept.append(young)
    broken = others[5]
    (broken / "spec.json").write_text("{")
    age(broken)
    gone.append(broken)
    copied = home / "runs" / "tiny" / ("9" * 32)
    shutil.copytree(current, copied)
    age(copied)
    gone.append(copied)
    lines = call("prune", "--unreferenced")
    assert lines[-1].startswith("4 entries of ") and "nothing was deleted" in lines[-1]
    assert "tiny: the class dataworth.text.gone:Old of this run is no longer there: 1" in lines
    assert all(path.exists() for path in [*gone, *kept])
    assert call("prune", "--unreferenced", "--yes")[-1].startswith("4 entries of ")
    assert not any(path.exists() for path in gone) and all(path.exists() for path in kept)
    assert Store(home / "runs").get(Tiny(a=0)) is not None
    assert not list((home / "runs").glob("*/.*"))


def test_another_code_library_or_machine_is_told(home):
    from dataworth.text.tokens import TextPart, TokenizerSpec

    spec = TokenizerSpec(parts=(TextPart(card="brown", ids=(1, 2)),), vocabulary=300)
    content = spec.content
    paths = stored(home, 4)
    changes = [
        {"modules": {**content["modules"], "dataworth.text.tokens": "0" * 16}},
        {"libraries": {**content["libraries"], "tokenizers": "0.1"}},
        {"machine": {**content["machine"], "device": "cuda"}},
    ]
    now, *before = [
        rename(path, **{**content, **change})
        for path, change in zip(paths, [{}, *changes], strict=True)
    ]
    lines = call("prune", "--unreferenced", "--yes")
    assert [line.rpartition(": ")[0] for line in lines[:3]] == [
        f"tiny: another state of {part}" for part in ("libraries", "machine", "modules")
    ]
    assert now.exists() and not any(path.exists() for path in before)


def test_what_is_in_use_stays(home):
    one, two = (rename(path, **{"class": "dataworth.gone:Old"}) for path in stored(home, 2))
    lease = leases.claim(one)
    age(two, (IN_USE_S - 60) / 86400)  # read an hour ago or two
    lines = call("prune", "--unreferenced", "--older-than", "0m", "--yes")
    assert lines[-2:][0].startswith("0 entries") and "1 were kept" in lines[-1]
    assert one.exists() and two.exists()
    lease.release()
    assert call("prune", "--unreferenced", "--older-than", "0m", "--yes")[-1].startswith("1 ")
    assert not one.exists() and two.exists()


def test_reading_a_run_keeps_it(home):
    (path,) = stored(home, 1)
    age(path)
    assert Store(home / "runs").get(Tiny(a=0)) is not None
    assert time.time() - path.stat().st_mtime < 100


def test_damaged_runs_are_listed_and_pruned_by_their_own_option(home):
    (path,) = stored(home, 1)
    (path / "arrays.npz").write_bytes(b"x")
    with pytest.warns(UserWarning, match="is damaged"):
        assert Store(home / "runs").get(Tiny(a=0)) is None
    (aside,) = (home / "runs" / DAMAGED).iterdir()
    assert call("list")[0].startswith("damaged: 1 damaged, moved aside, ")
    age(aside)
    call("prune", "--unreferenced", "--yes")
    assert aside.exists()
    call("prune", "--damaged", "--yes")
    assert not aside.exists()


@pytest.mark.parametrize("value", ["", "30", "d", "²d", "-1d", "1.5h", "1y", "9" * 5000 + "d"])
def test_a_bad_age_is_refused(home, value):
    done = CliRunner().invoke(app, ["store", "prune", "--unreferenced", "--older-than", value])
    assert done.exit_code == 2 and "--older-than is" in done.output
    assert len(done.output) < 300 and "Traceback" not in done.output


def test_prune_needs_to_be_told_what(home):
    done = CliRunner().invoke(app, ["store", "prune", "--yes"])
    assert done.exit_code == 2 and "--unreferenced, --damaged" in done.output


def test_a_root_that_is_a_file(home):
    home.mkdir()
    (home / "runs").write_text("no folder")
    for words in (["list"], ["size"], ["prune", "--unreferenced", "--yes"]):
        done = CliRunner().invoke(app, ["store", *words])
        assert done.exit_code == 2 and "Not a directory" in done.output


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (3.4e9, "3.4 GB")]
)
def test_size_in_words(count, text):
    assert size(count) == text
