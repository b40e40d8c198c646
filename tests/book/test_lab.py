"""Chapters in JupyterLab: opening and saving leaves them as they are, and keeps their outputs."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import jupytext
import pytest
from jupytext.config import JupytextConfiguration, load_jupytext_config

from dataworth.book import chapters

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = chapters.find(ROOT)
# What JupyterLab's kernel puts into a notebook that it opens.
OF_LAB = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "version": "3.11.2", "mimetype": "text/x-python"},
}


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.id)
@pytest.mark.parametrize("configured", [True, False])
def test_what_is_read_is_written(chapter, configured):
    """Also without our settings: in a JupyterLab that was started inside book/, in VS Code."""
    config = load_jupytext_config(str(chapter.source)) if configured else JupytextConfiguration()
    text = chapter.source.read_text(encoding="utf-8")
    notebook = jupytext.reads(text, fmt="py:percent", config=config)
    notebook.metadata.update(OF_LAB)
    told = f"run: .venv/bin/jupytext --sync {chapter.source.relative_to(ROOT)}"
    assert jupytext.writes(notebook, fmt="py:percent", config=config) == text, told


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.id)
def test_cells_that_pages_hide_are_folded(chapter):
    for cell in chapters.read(chapter).cells:
        hidden = {"hide-input", "remove-cell"} & {*cell.metadata.get("tags", [])}
        folded = cell.metadata.get("jupyter", {}).get("source_hidden", False)
        assert folded == bool(hidden), cell.source


@contextmanager
def server(root):
    """JupyterLab's server on a free port of this machine: what asks it for a notebook."""
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--port=0"]
    options = ["--ip=127.0.0.1", f"--ServerApp.root_dir={root}", "--IdentityProvider.token=t"]
    folder = root.parent / "runtime"
    env = os.environ | {
        "JUPYTER_RUNTIME_DIR": str(folder),
        "JUPYTER_CONFIG_DIR": str(root.parent / "nobody's settings"),
    }
    log = (root.parent / "server.log").open("w")
    process = subprocess.Popen([*command, *options], cwd=root, env=env, stdout=log, stderr=log)

    def ask(path, content=None):
        (running,) = folder.glob("jpserver-*.json")
        url = json.loads(running.read_text())["url"]
        model = {"type": "notebook", "format": "json", "content": content}
        request = urllib.request.Request(
            f"{url}api/contents/{path}",
            data=json.dumps(model).encode() if content else None,
            method="PUT" if content else "GET",
            headers={"Authorization": "token t", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)["content"]

    try:
        while not list(folder.glob("jpserver-*.json")):
            assert process.poll() is None, Path(log.name).read_text()
            time.sleep(0.1)
        yield ask
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def files(root):
    return {p: p.read_bytes() for p in root.rglob("*") if p.is_file() and "build" not in p.parts}


def test_opening_and_saving_changes_no_file_and_keeps_outputs(tmp_path):
    root = tmp_path / "a clone, ö"
    shutil.copytree(
        ROOT / "book", root / "book", ignore=shutil.ignore_patterns(".ipynb_*", "_extra")
    )
    shutil.copy(ROOT / "pyproject.toml", root)
    before = files(root)
    output = {"output_type": "stream", "name": "stdout", "text": "kept\n"}
    with server(root) as ask:
        for chapter in CHAPTERS:
            path = f"book/{chapter.docname}.py"
            for _ in range(2):  # a fresh clone, then with its notebook in build/lab/
                notebook = ask(path)
                notebook["metadata"].update(OF_LAB)
                cell = next(c for c in notebook["cells"] if c["cell_type"] == "code")
                cell["outputs"] = [output]
                cell["metadata"] |= {"trusted": True, "scrolled": False, "editable": True}
                ask(path, notebook)
            assert (root / "build" / "lab" / f"{chapter.docname}.ipynb").is_file()
            (kept,) = next(c for c in ask(path)["cells"] if c["cell_type"] == "code")["outputs"]
            assert kept == output
        assert files(root) == before

        # Two versions of a cell: the newer one is not lost in silence, whichever it is.
        source, pair = (root / p for p in (path, f"build/lab/{chapter.docname}.ipynb"))
        written = source.read_text().replace("# %%\n", "# %%\n# of an editor\n", 1)
        source.write_text(written)
        assert any("# of an editor" in cell["source"] for cell in ask(path)["cells"])
        source.write_bytes(before[source])
        pair.write_text(pair.read_text().replace("import", "import  ", 1))
        os.utime(pair, (time.time() + 60, time.time() + 60))
        with pytest.raises(urllib.error.HTTPError, match="400"):
            ask(path)
