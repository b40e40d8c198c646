"""Every chapter with claims outside our builder: as a notebook, by plain papermill, as a script,
from other working folders and with other hash seeds. Each says to the last byte what the smoke book
says, which `make test` has just built, and nothing else."""

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

from dataworth import claims
from dataworth.book import chapters, execute, parameters, tasks
from dataworth.book.layout import open_layout

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
LAYOUT = open_layout("smoke", ROOT)
CHAPTERS = [chapter for chapter in chapters.find(ROOT) if chapter.claims.is_file()]
ALL_WAYS = "fitting"  # the quickest chapter runs every way
WAYS = ("notebook", "script", "papermill")
FOLDERS = ("clone", "chapters", "elsewhere")
# What `make test` and the builder set, and a reader does not.
UNSET = {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "DATAWORTH_PROFILE", "DATAWORTH_RESULTS"}


def told_by(way, chapter, folder, tmp_path, env):
    """(figures by name, other outputs) of the chapter with the profile smoke's parameters."""
    values = parameters.of_chapter(chapter.id, "smoke", ROOT).values
    cell = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    if way == "script":
        text = re.sub(
            r'(?<=# %% tags=\["parameters"\]\n).*?\n(?=\n#)', lambda _: cell + "\n",
            chapter.source.read_text(encoding="utf-8"), flags=re.DOTALL,
        )  # fmt: skip
        source = tmp_path / chapter.source.name
        source.write_text(text, encoding="utf-8")
        said = call([sys.executable, source], folder, env)
        drawn = {p.stem: p.read_bytes() for p in (tmp_path / "build" / "figures").rglob("*.*")}
        return drawn, said
    if way == "papermill":
        source, target = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
        call([BIN / "jupytext", "--to", "ipynb", "-o", source, chapter.source], folder, env)
        (tmp_path / "smoke.yaml").write_text(json.dumps(values))
        words = [BIN / "papermill", source, target, "-f", tmp_path / "smoke.yaml"]
        call([*words, "--no-progress-bar", "--log-level", "ERROR"], folder, env)
        notebook = nbformat.read(target, as_version=4)
    else:
        notebook = jupytext.read(chapter.source, fmt="py:percent")
        place = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
        injected = nbformat.v4.new_code_cell(cell, metadata={"tags": ["injected-parameters"]})
        notebook.cells.insert(notebook.cells.index(place) + 1, injected)
        client = NotebookClient(notebook, resources={"metadata": {"path": str(folder)}})
        client.execute(env=env)
    return outputs(notebook)


def call(words, folder, env):
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def outputs(notebook):
    """Figures of an executed notebook by name, and what else its cells showed, in order."""
    drawn, others = {}, []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            data = {kind: "".join(text) for kind, text in output.get("data", {}).items()}
            if named := output.get("metadata", {}).get("dataworth", {}).get("name"):
                image = data.get("image/svg+xml", "").encode()
                drawn[named] = image or base64.b64decode(data["image/png"])
            else:
                others.append(data or {output["name"]: "".join(output["text"])})
    return drawn, others


def ways():
    """Every eighth chapter one way and from one folder, in turn, and one chapter every way, which
    every folder is in. With DATAWORTH_SOAK=full every chapter every way (four minutes)."""
    if os.environ.get("DATAWORTH_SOAK") == "full":
        turn = enumerate(CHAPTERS)
        yield from ((c, way, FOLDERS[(n + i) % 3]) for n, c in turn for i, way in enumerate(WAYS))
        return
    others = [chapter for chapter in CHAPTERS if chapter.id != ALL_WAYS][::8]
    for number, chapter in enumerate(others):
        yield chapter, WAYS[number % 3], FOLDERS[(number + number // 3) % 3]
    (chapter,) = (c for c in CHAPTERS if c.id == ALL_WAYS)
    yield from ((chapter, way, FOLDERS[i - 1]) for i, way in enumerate(WAYS))


@pytest.mark.parametrize(
    ("chapter", "way", "folder"),
    [pytest.param(*one, id=f"{one[0].id}-{one[1]}-{one[2]}") for one in ways()],
)
def test_every_way_says_what_the_book_says(chapter, way, folder, tmp_path):
    made = execute.products(chapter, LAYOUT)
    if tasks.make_plan(LAYOUT, only=chapter.id, checked=False).stale:
        pytest.skip(
            "the smoke book is not built, or not of this code: dataworth book --profile smoke"
        )
    here = {"clone": ROOT, "chapters": chapter.source.parent, "elsewhere": tmp_path / "ö, a b"}[
        folder
    ]
    here.mkdir(exist_ok=True)
    before = sorted(p.name for p in here.iterdir())
    env = {k: v for k, v in os.environ.items() if k not in UNSET} | {
        "DATAWORTH_BUILD": str(tmp_path / "build"), "PYTHONHASHSEED": "random"
    }  # fmt: skip
    drawn, said = told_by(way, chapter, here, tmp_path, env)
    figures, others = outputs(json.loads(made.notebook.read_bytes()))
    assert drawn == figures
    if way == "script":
        for line in claims.read_ledger(made.results)["claims"]:
            verdict = f"{claims.told(line)}: {line['statement']} {claims.estimated(line)}"
            assert f"{verdict}\n" in said
        assert said.count("figure: ") == len(figures)
        assert "Warning" not in said and "kept in float32" not in said, said
    else:
        changed = [one for one in said if one.get("stdout", "").startswith("changed from quick: ")]
        assert len(changed) == 1  # no profile is named
        assert [one for one in said if one not in changed] == others
        assert str(tmp_path) not in json.dumps(said), "a path of this machine"
    results = tmp_path / "build" / "notebooks" / "results" / made.results.name
    ours, books = claims.read_ledger(results), claims.read_ledger(made.results)
    assert {**ours, "profile": ""} == {**books, "profile": ""}
    assert sorted(p.name for p in here.iterdir()) == before
