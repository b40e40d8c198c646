"""The whole path on a small book, with real kernels and Jupyter Book."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from click.testing import Result
from example import REPOSITORY, make_book
from typer.testing import CliRunner

from dataworth import paths
from dataworth.book import chapters, execute, site
from dataworth.book.layout import Layout, open_layout
from dataworth.cli import app
from dataworth.verdicts import Verdict


def command(layout: Layout, *words: str) -> list[str]:
    return [*words, "--root", str(layout.root), "--profile", "smoke"]


def call(layout: Layout, *words: str) -> Result:
    """A command in this process (starting Python and importing jupytext takes seconds)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(layout.root))
        done = CliRunner().invoke(app, command(layout, *words))
    sys.modules.pop("example_params", None)
    return done


def restore_interrupt() -> None:
    """A shell that runs the tests in the background ignores SIGINT, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(layout: Layout, *words: str) -> subprocess.Popen[str]:
    """The same command as a process of its own, to be killed."""
    return subprocess.Popen(
        [sys.executable, "-m", "dataworth.cli", *command(layout, *words)],
        env={**os.environ, "PYTHONPATH": str(layout.root)}, text=True, start_new_session=True,
        preexec_fn=restore_interrupt,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def edit(layout: Layout, old: str, new: str) -> None:
    path = layout.book / "part" / "line_fit.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def stored(layout: Layout) -> dict[str, bytes]:
    """The products whose bytes must not depend on when and how often a chapter ran."""
    return {
        "notebook": (layout.executed / "line_fit.ipynb").read_bytes(),
        "results": (layout.results / "line-fit.json").read_bytes(),
    }


def running(layout: Layout) -> list[str]:
    """Command lines of the workers and kernels that still run for this book."""
    found = []
    for process in psutil.process_iter(["cwd", "cmdline"]):
        words = " ".join(process.info["cmdline"] or [])
        ours = process.info["cwd"] == str(layout.root)
        if ours and ("ipykernel" in words or "dataworth.book.worker" in words):
            found.append(words)
    return found


def wait_for(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """An example book built once; the tests below change it, in order, and build again."""
    layout = open_layout("smoke", make_book(tmp_path_factory.mktemp("book")))
    done = call(layout, "book")
    assert done.exit_code == 0, done.output
    assert done.stdout.strip().endswith("_build/html/index.html")
    said = done.stdout.splitlines()
    assert said[0] == "1 chapter to execute: about 1 min at most"
    assert said[1].startswith("chapter 1 of 1, line-fit: executing (not executed yet), about 1 min")
    assert said[-3].startswith("1 claim: ") and said[-3].count(",") == len(Verdict) - 1
    assert said[-2] == f"The book: {layout.html / 'index.html'}"
    assert said[-1] == f"To open it: python3 -m webbrowser {(layout.html / 'index.html').as_uri()}"
    return layout


@pytest.fixture(scope="module")
def first(built: Layout) -> dict[str, bytes]:
    """What an undisturbed execution of the example chapter makes."""
    return stored(built)


def test_the_pages_hold_what_they_promise(built):
    html = (built.html / "part" / "line_fit.html").read_text()
    assert 'alt="Points that rise"' in html
    assert "Points and <em>their</em> line." in html
    assert "slope of the line" in html and "injected" not in html
    assert "to stderr" not in html and "DeprecationWarning: of process" not in html
    assert html.count("<h1") == 1
    front = (built.html / "index.html").read_text()
    assert 'class="verdict verdict-supported">supported</span>' in front
    assert "The line rises" in front
    assert json.loads((built.results / "line-fit.json").read_text())["title"] in front
    assert "profile <strong>smoke</strong>" in front
    for name in ("line_fit.py", "line_fit.ipynb", "line_fit.claims.yaml"):
        assert list(built.html.rglob(name)), name


def test_the_stored_notebook_is_valid_and_free_of_stamps(built):
    notebook = nbformat.read(built.executed / "line_fit.ipynb", as_version=4)
    nbformat.validate(notebook)
    text = json.dumps(notebook)
    assert "papermill" not in text
    assert str(built.root) not in text and "WORK/results/line-fit.json" in text
    assert "start_time" not in text and "iopub" not in text
    assert "to stderr" not in text  # a warning names the process: its place is the log
    assert "to stderr" in (built.logs / "line_fit.log").read_text()


def test_two_places_make_the_same_bytes(first, example):
    assert call(example, "run", "line-fit").exit_code == 0
    assert stored(example) == first


def test_the_record_tells_what_ran(built):
    record = json.loads((built.executed / "line_fit.run.json").read_text())
    assert record["parameters"] == {"slope": 3.0, "points": 10, "seed": 0}
    assert record["wall_s"] > 0 and record["peak_memory_mb"] > 10
    assert record["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert any(c["line"].startswith("generator = ") for c in record["cells"])
    results = json.loads((built.results / "line-fit.json").read_text())
    assert results["profile"] == "smoke"


def test_nothing_changed_does_nothing(built, first):
    before = site.html_mark(built).stat().st_mtime_ns
    done = call(built, "book")
    assert done.exit_code == 0
    assert "executing" not in done.output and "building the pages" not in done.output
    assert site.html_mark(built).stat().st_mtime_ns == before
    assert stored(built) == first


def test_prose_is_merged_without_execution(built, first):
    edit(built, "First prose", "Better prose")
    done = call(built, "book")
    assert done.exit_code == 0, done.output
    assert "executing" not in done.output
    assert "Better prose" in (built.html / "part" / "line_fit.html").read_text()
    (download,) = built.html.rglob("line_fit.ipynb")
    assert "Better prose" in download.read_text()
    assert stored(built) == first


def test_a_warning_fails_every_build_until_it_is_gone(built):
    """Sphinx shows a page's warnings only when it reads the page; the second build must fail too.

    A build that was killed leaves the same mark as one that failed.
    """
    edit(built, "See {numref}", "See {term}`unknown word` and {numref}")
    for _ in range(2):
        done = call(built, "book")
        assert done.exit_code == 2
        assert "unknown word" in done.output
    (built.html / "glossary.html").write_text("half a page")
    edit(built, "See {term}`unknown word` and {numref}", "See {numref}")
    assert call(built, "book").exit_code == 0
    assert "scaling law" in (built.html / "glossary.html").read_text()


def test_a_changed_parameter_and_a_damaged_product_run_the_chapter(built):
    path = built.params / "line_fit.yaml"
    path.write_text(path.read_text().replace("points: 10", "points: 7"))
    done = call(built, "run", "line_fit")
    assert done.exit_code == 0 and "changed: parameter points 10 -> 7" in done.output
    record = json.loads((built.executed / "line_fit.run.json").read_text())
    assert record["parameters"]["points"] == 7
    (built.results / "line-fit.json").write_text("{")
    (chapter,) = chapters.find(built.root)
    assert "damaged" in (execute.why_stale(chapter, built, record["key"]) or "")


STUDY = """
# %%
from dataworth import claims
from dataworth.studies.synthetic_scaling import SyntheticScaling

params = SyntheticScaling.from_names(globals())

# %%
claims.write(claims.Judged("synthetic-scaling", "", []), evidence={}, provenance={"seeds": seeds})
"""


def clone(folder: Path) -> Path:
    """A clone after `make`, with one chapter: its own cells of parameters, and no experiment."""
    skipped = shutil.ignore_patterns("__pycache__", "weights", "published_data")
    shutil.copytree(REPOSITORY / "lib" / "dataworth", folder / "lib" / "dataworth", ignore=skipped)
    shutil.copytree(REPOSITORY / "params", folder / "params")
    shutil.copy(REPOSITORY / "pyproject.toml", folder)
    (folder / ".venv").symlink_to(sys.prefix)
    source = (REPOSITORY / "book" / "images" / "synthetic_scaling.py").read_text()
    head, tags, rest = source.partition('# %% tags=["parameters"]\n')
    cell = rest.partition("\n# %%")[0]
    (folder / "book" / "images").mkdir(parents=True)
    chapter = folder / "book" / "images" / "synthetic_scaling.py"
    chapter.write_text(f"{head}{tags}{cell}{STUDY}")
    return folder


def test_papermill_takes_the_lines_of_the_readme_as_they_stand(tmp_path):
    """In a clone whose environment is active and without any variable of ours: from the clone and
    from elsewhere, results lie in one place, and the first output says what differs."""
    root, elsewhere = clone(tmp_path / "ein Klon ä"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    env = {
        "PATH": os.defpath, "HOME": str(tmp_path), "PYTHONPATH": str(root / "lib"),
        "LANG": "C.UTF-8",
    }  # fmt: skip

    def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
        script = f"source '{root}/.venv/bin/activate' && cd '{folder}' && {line}"
        return subprocess.run(
            ["bash", "-c", script], env=env, capture_output=True, text=True, check=False
        )

    def first_output(path: Path) -> str:
        cells = nbformat.read(path, as_version=4).cells
        (own,) = [c.outputs for c in cells if "from_names" in c.source]
        return "".join(output.get("text", "") for output in own)

    readme = (REPOSITORY / "README.md").read_text()
    assert "`source .venv/bin/activate`" in readme
    lines = [
        line.strip() for line in readme.splitlines()
        if line.startswith(("    jupytext ", "    papermill "))
    ]  # fmt: skip
    results = root / "build" / "notebooks" / "results" / "synthetic-scaling.json"
    wanted = ["", "", "changed from quick: real_sizes [320, 1280, 5120, 20480] (was [80, ",
              "changed from quick: real_sizes [80, 320, 1280, 2560] (was [80, 320, 1280, 2560, "
              "5120]), seeds 5 (was 3)\n"]  # fmt: skip
    before = {path.relative_to(root) for path in root.rglob("*")}
    for line, told in zip(lines, wanted, strict=True):
        done = shell(line, root)
        assert done.returncode == 0, done.stderr
        if line.startswith("papermill"):
            said = first_output(root / "executed.ipynb")
            assert said.startswith(told) and bool(said) == bool(told)
            assert json.loads(results.read_text())["profile"] == "custom"
            results.unlink()
    done = shell(f"papermill '{root}/chapter.ipynb' o.ipynb -p seeds 3", elsewhere)
    assert done.returncode == 0 and results.is_file(), done.stderr
    assert [path.name for path in elsewhere.iterdir()] == ["o.ipynb"]
    made = {path.relative_to(root).as_posix() for path in root.rglob("*")} - {
        path.as_posix() for path in before
    }
    assert {name for name in made if "__pycache__" not in name} == {
        "chapter.ipynb", "executed.ipynb", "build", "build/notebooks", "build/notebooks/results",
        "build/notebooks/results/synthetic-scaling.json",
    }  # fmt: skip
    done = shell("papermill chapter.ipynb o.ipynb -p sedes 3", root)
    assert done.returncode == 1 and done.stderr.strip().endswith("Did you mean 'seeds'?")
    done = shell("papermill chapter.ipynb o.ipynb -p real_sizes '[80, 320]'", root)
    assert done.returncode == 1 and done.stderr.strip().endswith(
        "UserError: parameter 'real_sizes' is '[80, 320]': it must be a list, such as [80, 320]; "
        'papermill takes a list as -y "real_sizes: [80, 320]".'
    )


def test_a_failing_cell_is_named_and_nothing_counts(example):
    edit(example, "y = slope", "raise RuntimeError('no luck')\ny = slope")
    done = call(example, "book")
    assert done.exit_code == 2
    assert "'line-fit' failed in cell" in done.output
    assert "RuntimeError: no luck" in done.output
    assert (example.executed / "line_fit.failed.ipynb").is_file()
    assert not (example.executed / "line_fit.run.json").exists()
    assert not example.html.exists()


def test_interrupt_ends_everything_with_130_and_one_sentence(example):
    edit(example, "y = slope", "import time; time.sleep(60)\ny = slope")
    process = start(example, "run", "line-fit")
    try:
        assert wait_for(lambda: any("ipykernel" in words for words in running(example)))
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.startswith("Interrupted: finished runs") and err.count("\n") == 1
    assert wait_for(lambda: not running(example), 5)
    assert not (example.executed / "line_fit.run.json").exists()


def test_a_relative_home_is_one_place(example, tmp_path, monkeypatch):
    """Builder and kernel stand in different folders and mean the same one."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("DATAWORTH_HOME", "some/home")
    kernel = execute.environment(example, tmp_path / "results", tmp_path / "progress.jsonl")
    assert paths.home() == elsewhere / "some" / "home" == Path(kernel["DATAWORTH_HOME"])
    edit(
        example, "y = slope", "from dataworth.paths import home\nprint(f'at {home()}.')\ny = slope"
    )
    assert call(example, "run", "line-fit").exit_code == 0
    assert "at DATAWORTH_HOME." in (example.executed / "line_fit.ipynb").read_text()


def test_a_disk_that_takes_nothing_is_a_sentence(example):
    """Here a file lies where the work folder goes; a full disk ends in the same place."""
    example.build.mkdir(parents=True)
    (example.build / "work").write_text("")
    done = call(example, "book")
    assert done.exit_code == 2 and "one chapter failed" in done.output
    assert "Chapter 'line-fit' could not be executed: [Errno " in done.output


def test_a_second_run_is_refused_and_the_first_goes_on(example, first):
    """The second names the first; another chapter or profile would not be in its way."""
    process = start(example, "run", "line-fit")
    try:
        assert wait_for(lambda: bool(running(example)))
        for words in (["run", "line-fit"], ["book"]):
            done = call(example, *words)
            assert done.exit_code == 2
            sentence = f"another build of profile smoke is running, pid {process.pid}, since 20"
            assert sentence in done.stderr and done.stderr.endswith("wait for it or stop it.\n")
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, out + err
    assert stored(example) == first


@pytest.mark.parametrize("delay", [0.2, 3.0])
def test_kill_leaves_no_process_and_the_next_run_is_the_same(example, first, delay):
    process = start(example, "run", "line-fit")
    try:
        assert wait_for(lambda: bool(running(example)))
        time.sleep(delay)
    finally:
        process.kill()  # SIGKILL: no handler runs
        process.communicate()
    assert wait_for(lambda: not running(example), 10)
    example.executed.mkdir(exist_ok=True)
    (example.executed / "line_fit.ipynb.99999.tmp").write_text("half")
    assert call(example, "run", "line-fit").exit_code == 0
    assert stored(example) == first
    assert list((example.build / "work").iterdir()) == []
    assert not list(example.build.rglob("*.tmp"))


def test_a_recorded_run_is_kept_and_shown(built):
    call(built, "book")
    done = call(built, "record", "line-fit")
    assert done.exit_code == 0
    assert done.stdout.strip() == "recorded: book/recorded/smoke/line-fit.json"
    kept = json.loads(built.recorded("line-fit")[0].read_text())
    record = execute.read_record(chapters.get(built.root, "line-fit"), built)
    assert kept["claims"] == json.loads((built.results / "line-fit.json").read_text())["claims"]
    assert kept["run"]["commit"] == record["commit"] and kept["run"]["device"] == record["device"]
    assert "changed: recorded run smoke" in call(built, "book").stdout
    page = (built.html / "part" / "line_fit.html").read_text()
    assert "recorded run, smoke" in page and "Of the claims on this page" in page


def test_a_damaged_recorded_run_is_left_out_and_said(built):
    """Terminal and page say so; the book is built."""
    assert call(built, "run", "line-fit").exit_code == 0
    assert call(built, "record", "line-fit").exit_code == 0
    built.recorded("line-fit")[0].write_text("[]")
    done = call(built, "book")
    assert done.exit_code == 0, done.output
    sentence = "book/recorded/smoke/line-fit.json is not a ledger: it holds a list, not a mapping."
    assert f"Warning: a recorded run is left out: {sentence}" in done.stdout
    assert sentence in (built.html / "part" / "line_fit.html").read_text()


def test_a_damaged_record_of_a_run_executes_it_again(built):
    path = built.executed / "line_fit.run.json"
    path.write_bytes(b'{"key": "\xff"}')
    assert "line_fit.run.json is not a record of a run" in call(built, "list").output
    done = call(built, "run", "line-fit")
    assert done.exit_code == 0 and "line-fit: executing (not executed yet: " in done.stdout
    assert json.loads(path.read_text())["chapter"] == "line-fit"


def test_a_failed_chapter_does_not_stop_the_others(example):
    """Nor is a page made before all have succeeded."""
    source = (example.book / "part" / "line_fit.py").read_text()
    other = source.replace("A line goes", "Another line goes").replace("fig-points", "fig-other")
    (example.book / "part" / "other_fit.py").write_text(other.replace('"line-fit"', '"other-fit"'))
    claims = example.book / "part" / "line_fit.claims.yaml"
    claims.with_name("other_fit.claims.yaml").write_bytes(claims.read_bytes())
    toc = example.root / "_toc.yml"
    toc.write_text(toc.read_text().replace("  - caption: About", "      - file: part/other_fit\n"
                   "  - caption: About"))  # fmt: skip
    for profile in ("smoke", "paper"):
        folder = example.root / "params" / profile
        (folder / "other_fit.yaml").write_bytes((folder / "line_fit.yaml").read_bytes())
    edit(example, "y = slope", "raise RuntimeError('no luck')\ny = slope")
    done = call(example, "book")
    assert done.exit_code == 2 and "one chapter failed (see above)" in done.output
    assert "'line-fit' failed in cell" in done.output and "other-fit: executed in" in done.output
    assert "chapter 2 of 2, other-fit: executing" in done.output
    assert not example.html.exists() and not example.site.exists()
