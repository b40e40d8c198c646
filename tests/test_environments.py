"""Odd surroundings: paths, locales, hash seeds, closed and full streams, read-only folders.

Everything runs as a program of its own on the small example book, as a person would start it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent / "book"))

from example import make_book

ROOT = Path(__file__).parents[1]
READING = (
    ["list"], ["list", "--json"], ["why", "line-fit"], ["check"], ["claims"],
    ["claims", "--history"],
)  # fmt: skip
PRINTING = (["claims"], ["list", "--json"], ["list", "--help"])

pytestmark = pytest.mark.slow


def environment(book: Path, changes: Mapping[str, str | None]) -> dict[str, str]:
    env = os.environ | {"PYTHONPATH": str(book)} | changes
    return {name: value for name, value in env.items() if value is not None}


def command(book: Path, *words: str) -> list[str]:
    return [
        sys.executable, "-m", "dataworth.cli", *words, "--root", str(book), "--profile", "smoke",
    ]  # fmt: skip


def program(
    book: Path, *words: str, before: tuple[str, ...] = (), **changes: str | None
) -> subprocess.CompletedProcess[str]:
    """The program run on the book, `before` being a command that starts it; `changes` of the
    environment, None for a variable that is not set."""
    return subprocess.run(
        [*before, *command(book, *words)], env=environment(book, changes), cwd="/",
        capture_output=True, text=True, check=False, encoding="utf-8",
    )  # fmt: skip


EACH = """
import json, sys
from dataworth.cli import app
for words in json.loads(sys.argv[1]):
    try:
        app([*words, "--root", sys.argv[2], "--profile", "smoke"])
    except SystemExit as end:
        print(f"=== {words[0]} ended with {end.code}")
"""


def read_all(book: Path, before: tuple[str, ...] = (), **changes: str | None) -> dict[str, str]:
    """What each command that only reads prints; all must end with 0 and have nothing to complain
    of. In one process, whose start is the most of each."""
    done = subprocess.run(
        [*before, sys.executable, "-c", EACH, json.dumps(READING), str(book)], cwd="/",
        env=environment(book, changes), capture_output=True, check=False, encoding="utf-8",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    *printed, rest = re.split(r"=== .* ended with 0\n", done.stdout)
    assert len(printed) == len(READING) and not rest, done.stdout
    return {" ".join(words): text for words, text in zip(READING, printed, strict=True)}


def made(build: Path) -> dict[str, bytes]:
    """What a chapter's execution makes that must not depend on the surroundings, its key too."""
    record = json.loads((build / "smoke" / "executed" / "line_fit.run.json").read_text())
    return {
        "notebook": (build / "smoke" / "executed" / "line_fit.ipynb").read_bytes(),
        "results": (build / "smoke" / "results" / "line-fit.json").read_bytes(),
        "key": json.dumps(record["key"]).encode(),
    }


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book in a folder whose path has spaces and letters beyond ASCII, built."""
    place = tmp_path_factory.mktemp("odd") / "Bücher und “mehr” – 学"
    place.mkdir()
    root = make_book(place)
    done = program(root, "book")
    assert done.returncode == 0, done.stdout + done.stderr
    page = root / "build" / "smoke" / "_build" / "html" / "index.html"
    assert page.is_file()
    assert f"The book: {page}" in done.stdout and page.as_uri() in done.stdout
    return root


def test_no_path_of_this_machine_gets_into_the_notebook(book):
    assert str(book) not in made(book / "build")["notebook"].decode()


KEYS = """
import sys
from hashlib import sha256
sys.path.insert(0, "tests")
from dataworth.book import tasks
from dataworth.book.layout import open_layout
import spec_samples
keys = tasks.make_plan(open_layout("smoke"), checked=False).keys
print(len(keys), sha256(repr(keys).encode()).hexdigest())
print(*(spec.key for spec in spec_samples.EVERY))
"""


def test_keys_of_the_real_book_do_not_depend_on_the_hash_seed():
    told = [
        subprocess.run(
            [sys.executable, "-c", KEYS], env=os.environ | {"PYTHONHASHSEED": seed},
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("0", "1")
    ]  # fmt: skip
    assert len(set(told)) == 1 and told[0].startswith("20 ")


@pytest.mark.parametrize(
    "changes",
    [
        {"LANG": "C", "LC_ALL": "C", "TERM": "dumb", "NO_COLOR": "1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "no_SUCH.locale", "TERM": None, "HOME": None, "USER": None, "LOGNAME": None},
        {"PYTHONIOENCODING": "ascii", "COLUMNS": "40", "LINES": "10"},
    ],
    ids=str,
)
def test_what_only_reads_works_everywhere(book, changes):
    width = int(changes.get("COLUMNS", "80"))
    printed = read_all(book, **changes)
    assert all("line-fit" in text for text in printed.values())
    assert max(map(len, printed["claims"].splitlines())) <= width
    assert "1 claim: 1 supported" in " ".join(printed["claims"].split())
    assert json.loads(printed["list --json"])[0]["state"] == "current"


def test_a_locale_without_letters_builds_the_same_book(book, tmp_path):
    """In another time zone, with other hashes and on a narrow dumb terminal; and shows a path that
    it cannot write as escapes."""
    done = program(
        book, "book", DATAWORTH_BUILD=str(tmp_path), LC_ALL="C", LANG=None, TERM="dumb",
        PYTHONIOENCODING="ascii", PYTHONHASHSEED="1", TZ="Pacific/Chatham", COLUMNS="40",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert made(tmp_path) == made(book / "build")
    page = Path("smoke/_build/html/glossary.html")
    assert (tmp_path / page).read_bytes() == (book / "build" / page).read_bytes()
    done = program(book / "ö", "list", LC_ALL="C", PYTHONIOENCODING="ascii")
    assert done.returncode == 2 and "\\xf6 is not a book" in done.stderr


@pytest.mark.parametrize("closed", ["<&-", "<&- >&- 2>&-"])
def test_closed_streams(book, tmp_path, closed):
    shell = ("sh", "-c", f'exec "$@" {closed}', "sh")
    done = program(book, "list", before=shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("current" in done.stdout) == (">" not in closed)
    if ">" not in closed:
        return  # a run takes seconds: one with all three closed
    build = {"DATAWORTH_BUILD": str(tmp_path)}
    assert program(book, "run", "line-fit", before=shell, **build).returncode == 0
    assert made(tmp_path) == made(book / "build")


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("words", PRINTING, ids=str)
def test_output_to_a_full_disk_is_one_sentence(book, words):
    with FULL.open("wb") as full:
        done = subprocess.run(
            command(book, *words), env=environment(book, {}), stdout=full,
            stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("Error: What was to be printed cannot be written: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", PRINTING, ids=str)
def test_a_reader_who_has_left_is_no_failure(book, words):
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "wb") as closed:
        done = subprocess.run(
            command(book, *words), env=environment(book, {}), stdout=closed,
            stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


READ_ONLY = """
if [ "$(id -u)" = 0 ]; then
  mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 77
else
  chmod -R a-w "$1" && trap 'chmod -R u+w "$1"' EXIT
fi
place=$1; shift; "$@"
"""


def read_only(place: Path) -> tuple[str, ...]:
    """What starts a command for which the folder is read-only. Root ignores the permission bits of
    files, so for root it is a read-only mount in a name space of its own."""
    own = ("unshare", "--mount") if os.geteuid() == 0 else ()
    started = (*own, "sh", "-c", READ_ONLY, "sh", str(place))
    done = subprocess.run(
        [*started, "touch", str(place / "probe")], capture_output=True, text=True, check=False
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no read-only mount can be made here: {done.stderr.strip()}")
    assert done.returncode != 0 and not (place / "probe").exists()
    return started


def test_a_read_only_tree_is_read_and_told_where_to_build(book, tmp_path):
    before = read_only(book)
    assert "; current" in read_all(book, before)["list"]
    for words in (["book"], ["run", "line-fit", "-p", "points=7"]):
        done = program(book, *words, before=before)
        assert done.returncode == 2
        assert re.fullmatch(
            rf"Error: The folder {re.escape(str(book))}/build\S* cannot be written \(.+\): "
            r"set DATAWORTH_BUILD to a folder with room and write access\.\n",
            done.stderr,
        ), done.stderr
    done = program(book, "record", "line-fit", before=before)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "book/recorded/smoke" in done.stderr and "Traceback" not in done.stderr
    done = program(book, "run", "line-fit", before=before, DATAWORTH_BUILD=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert made(tmp_path) == made(book / "build")
    done = program(book, "claims", before=before, DATAWORTH_BUILD=str(tmp_path))
    assert "1 claim: 1 supported" in done.stdout


def test_a_read_only_store_is_read(tmp_path):
    """Stored runs are counted and used; what would be written is one sentence."""
    (tmp_path / "runs").mkdir()
    before = read_only(tmp_path)
    env = os.environ | {"DATAWORTH_HOME": str(tmp_path)}

    def ours(*words: str) -> Any:
        return subprocess.run(
            [*before, sys.executable, "-m", "dataworth.cli", *words], env=env,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    assert ours("store", "list").stdout.startswith("0 entries")
    assert "missing" in ours("data", "status", "fashion-mnist").stdout
    done = ours("data", "fetch", "fashion-mnist")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "set DATAWORTH_HOME to a folder with room and write access" in done.stderr


def test_a_home_that_cannot_be_written_is_not_needed(book, tmp_path):
    """As in a container that runs for a user of its own: Jupyter and matplotlib get a folder."""
    place = tmp_path / "nowhere"
    build = tmp_path / "build"
    odd = {"HOME": str(place), "PYTHONHASHSEED": "0", "LANG": "C", "LC_ALL": None}
    done = program(book, "book", "--quiet", DATAWORTH_BUILD=str(build), **odd)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == f"The book: {build}/smoke/_build/html/index.html\n"
    assert not place.exists() and (build / "smoke" / "home").is_dir()
    assert made(build) == made(book / "build")
    assert not (book / "build" / "smoke" / "home").exists()  # where there is one, it is used
