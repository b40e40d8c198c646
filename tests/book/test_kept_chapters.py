"""Every chapter's analysis, executed on what was kept of its runs, gives the results that the runs
themselves give, field by field: without torch, and without a store or data."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataworth.book import chapters, execute, reading
from dataworth.book.layout import Layout
from dataworth.runs.kept import READ

READER = """
import runpy, sys
class Absent:  # None in sys.modules would do, but scipy looks there for torch
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "transformers", "diffusers", "timm", "open_clip", "datasets"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
runpy.run_path(sys.argv[1], run_name="__main__")
"""
ROOT = Path(__file__).parents[2]
SMOKE = Layout(ROOT, "smoke")
# All of them with DATAWORTH_SOAK=full: each is executed twice.
CHAPTERS = [
    chapter
    for chapter in chapters.find(ROOT)
    if os.environ.get("DATAWORTH_SOAK") == "full" or chapter.id == "mixing"
]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.id)
def test_what_was_kept_gives_the_results_of_the_runs(chapter, tmp_path):
    if not (SMOKE.results / f"{chapter.id}.json").is_file():
        pytest.skip("the smoke book has not been built here")
    work = tmp_path / chapter.id
    assert reading._start(SMOKE, chapter, tmp_path, older=False).wait() == 0, (
        work / "log"
    ).read_text()
    kept, read = work / "kept.zip", tmp_path / "read"
    read.mkdir()
    environment = execute.environment(SMOKE, read, tmp_path / "progress.jsonl")
    environment["DATAWORTH_HOME"] = str(tmp_path / "nothing")
    done = subprocess.run(
        [sys.executable, "-c", READER, str(work / chapter.source.name)],
        cwd=ROOT,
        env=environment | ({READ: str(kept)} if kept.is_file() else {}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found, executed = (
        json.loads((folder / f"{chapter.id}.json").read_bytes())
        for folder in (read, work / "results")
    )
    assert found == executed
