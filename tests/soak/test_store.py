"""The store under kills, damage, other processes and failing disks: nothing wrong, nothing lost."""

import builtins
import errno
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from store_specs import Fake, fakes

from dataworth.errors import UserError
from dataworth.runs import Store, run_tasks
from dataworth.runs.store import DAMAGED, FILES, MARK


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("DATAWORTH_PROGRESS", os.devnull)
    monkeypatch.delenv("DATAWORTH_WORKERS", raising=False)


@pytest.fixture(scope="module")
def start():
    """start(root, specs): the pid of a new process that runs them on that store."""
    nursery = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("store_specs.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def start(root: Path, specs: list[Fake], shuffle: bool = False, shard: str = "") -> int:
        fields = [spec.model_dump() for spec in specs]
        job = {"root": str(root), "specs": fields, "shuffle": shuffle, "shard": shard}
        nursery.stdin.write(json.dumps(job) + "\n")
        nursery.stdin.flush()
        return int(nursery.stdout.readline())

    yield start
    nursery.stdin.close()
    nursery.wait(timeout=30)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for_end(pids: list[int], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < until, "a process waits for ever"
        time.sleep(0.005)


def check(root: Path, specs: list[Fake]) -> None:
    """Every result is there and right, and nothing else is in the store."""
    store = Store(root)
    for spec in specs:
        found, expected = store.load(spec), spec.expected()
        assert found.metrics == expected.metrics
        assert set(found.arrays) == set(expected.arrays)
        for name, values in expected.arrays.items():
            assert found.arrays[name].tobytes() == values.tobytes()
    assert {path.name for path in root.iterdir()} == {"fake"}
    assert {path.name for path in (root / "fake").iterdir()} == {spec.key for spec in specs}
    assert not root.with_name(root.name + ".errors").exists(), root.with_name(
        root.name + ".errors"
    ).read_text()


def executions(log: Path) -> dict[int, list[int]]:
    """Processes that came to the end of each run, in order."""
    found: dict[int, list[int]] = {}
    for line in log.read_text().splitlines():
        number, pid = map(int, line.split())
        found.setdefault(number, []).append(pid)
    return found


# ---- Kills ------------------------------------------------------------------------------------


def test_killed_at_any_moment_and_resumed(tmp_path, start, cases):
    rng = random.Random(12)
    survived, hit = 0, 0
    for number in range(cases(20, 1000)):
        root, log = tmp_path / str(number), tmp_path / f"{number}.log"
        specs = fakes(6, log)
        log.touch()
        pid = start(root, specs)
        time.sleep(rng.uniform(0, 0.1))
        hit += alive(pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait_for_end([pid])
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # nothing that was kept is damaged
            run_tasks(specs, store=Store(root), workers=1)
        check(root, specs)
        assert all(len(pids) <= 2 for pids in executions(log).values())
        survived += 1
        shutil.rmtree(root)
        log.unlink()
    print(f"{survived} kills survived, {hit} of them at work")
    assert hit > survived / 3  # else the moments are badly chosen


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_on_one_store_do_nothing_twice(tmp_path, start, cases, processes):
    for number in range(cases(1, 20)):
        root, log = tmp_path / f"store{number}", tmp_path / f"log{number}"
        specs = fakes(24, log, pause_ms=8)
        shuffle = number % 2 == 1
        wait_for_end([start(root, specs, shuffle) for _ in range(processes)])
        check(root, specs)
        done = executions(log)
        assert sorted(done) == list(range(24))
        assert all(len(pids) == 1 for pids in done.values()), done
        if number == 0:
            assert len({pid for pids in done.values() for pid in pids}) > 1  # they shared the work


@pytest.mark.parametrize(
    ("processes", "shards", "rounds"),
    [(2, False, (1, 25)), (4, False, (1, 25)), (4, True, (1, 50))],
)
def test_processes_on_one_store_under_kills(tmp_path, start, cases, processes, shards, rounds):
    """As processes that ask for the same runs, and as shards (`dataworth work --shard i/n`)."""
    rng = random.Random(processes)
    asked, kills, twice = 0, 0, 0
    for number in range(cases(1, 60 if shards else 25)):  # of shards a thousand kills
        root, log = tmp_path / f"store{number}", tmp_path / f"log{number}"
        log.touch()
        specs = fakes(cases(40, 400) if shards else 40, log, pause_ms=100)

        def begin(at: int, root=root, specs=specs) -> int:
            return start(root, specs, shard=f"{at + 1}/{processes}" if shards else "")

        running = {at: begin(at) for at in range(processes)}
        killed: list[int] = []
        while any(alive(pid) for pid in running.values()):
            time.sleep(rng.uniform(0.2, 1))
            running = {at: pid for at, pid in running.items() if alive(pid)}
            if running and len(executions(log)) < len(specs):
                at, victim = rng.choice(list(running.items()))
                with suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                killed.append(victim)
                wait_for_end([victim])
                running[at] = begin(at)  # as a scheduler starts a task of an array again
        Store(root).clear(again=True)  # of one that was killed when no other had anything to do
        check(root, specs)
        done = executions(log)
        # Only a run whose process was killed between its end and its storing is done again.
        assert all(pid in killed for pids in done.values() for pid in pids[:-1])
        asked, kills = asked + len(specs), kills + len(killed)
        twice += sum(len(pids) > 1 for pids in done.values())
        shutil.rmtree(root)
    print(f"{processes} processes, {kills} kills, {twice} of {asked} runs done twice")
    assert twice <= max(3, asked / 100) and kills >= 1


# ---- Damage -----------------------------------------------------------------------------------


def flip(file: Path, rng: random.Random) -> None:
    data = bytearray(file.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(data)


def cut(file: Path, rng: random.Random) -> None:
    file.write_bytes(file.read_bytes()[: rng.randrange(file.stat().st_size)])


def noise(file: Path, rng: random.Random) -> None:
    file.write_bytes(rng.randbytes(rng.randrange(200)))


def junk(file: Path, rng: random.Random) -> None:
    file.write_text(rng.choice(["null", "[]", "{}", "1e999", '"x"', "[" * 100_000, "\ud83d" * 0]))


def remove(file: Path, rng: random.Random) -> None:
    file.unlink()


def folder(file: Path, rng: random.Random) -> None:
    file.unlink()
    file.mkdir()


def entry_a_file(file: Path, rng: random.Random) -> None:
    shutil.rmtree(file.parent)
    file.parent.write_text("no folder")


def empty(file: Path, rng: random.Random) -> None:
    for one in file.parent.iterdir():
        one.unlink()


def neighbours(file: Path, rng: random.Random) -> None:
    """One file of another run, with a fresh mark or without."""
    other = rng.choice([p for p in file.parent.parent.iterdir() if p != file.parent])
    if (other / file.name).is_file():
        shutil.copy(other / file.name, file)


def copied(file: Path, rng: random.Random) -> None:
    """The whole folder of another run."""
    others = [p for p in file.parent.parent.iterdir() if p != file.parent and p.is_dir()]
    shutil.rmtree(file.parent)
    shutil.copytree(rng.choice(others), file.parent)


DAMAGES = (
    flip,
    flip,
    flip,
    cut,
    noise,
    junk,
    remove,
    folder,
    entry_a_file,
    empty,
    neighbours,
    copied,
)


def test_damage_is_never_a_result(tmp_path, cases):
    rng = random.Random(11)
    root = tmp_path / "store"
    specs = fakes(4, tmp_path / "log", pause_ms=0)
    run_tasks(specs, store=Store(root), workers=1)
    counts: Counter[str] = Counter()
    for _ in range(cases(40, 2000)):
        damage, spec = rng.choice(DAMAGES), rng.choice(specs)
        path = Store(root).path(spec)
        before = {file.name: file.read_bytes() for file in path.iterdir()}
        damage(path / rng.choice([*FILES, MARK]), rng)
        after = (
            {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}
            if path.is_dir()
            else {}
        )
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            found = Store(root).get(spec)
        if found is None:
            counts["noticed"] += 1
            (aside,) = (root / DAMAGED).iterdir()
            assert aside.name.startswith(f"fake-{spec.key}-")
            if path.is_dir() or after:
                kept = {f.name: f.read_bytes() for f in aside.iterdir() if f.is_file()}
                assert kept == after  # as it was found
            assert len(told) == 1 and "is damaged; computing it again" in str(told[0].message)
            shutil.rmtree(aside) if aside.is_dir() else aside.unlink()
        else:  # white space of the mark, or nothing was changed
            counts["harmless"] += 1
            assert all(after[name] == before[name] for name in FILES) and not told
        run_tasks(specs, store=Store(root), workers=1)
        shutil.rmtree(root / DAMAGED, ignore_errors=True)
        check(root, specs)
    print(dict(counts))
    assert counts["noticed"] > counts["harmless"]


def test_damage_after_the_check_is_noticed_on_loading(tmp_path, cases):
    rng = random.Random(3)
    spec = Fake(a=1, log=str(tmp_path / "log"), pause_ms=0)
    store = Store(tmp_path / "store")
    for _ in range(cases(20, 500)):
        run_tasks([spec], store=store, workers=1)
        found = store.get(spec)
        file = store.path(spec) / "arrays.npz"
        rng.choice([flip, cut, noise, remove, entry_a_file])(file, rng)
        with pytest.raises(UserError, match=r"run store|damaged after"):
            _ = found.arrays
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            store.get(spec)


# ---- Disks that fail --------------------------------------------------------------------------

PASSING = [
    errno.EIO, errno.ESTALE, errno.EACCES, errno.EMFILE, errno.ETIMEDOUT, errno.ENOTDIR,
    errno.EROFS, errno.EPERM, errno.ENOMEM, errno.ENFILE, errno.EINTR, errno.ELOOP,
]  # fmt: skip


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("number", PASSING, ids=errno.errorcode.get)
@pytest.mark.parametrize("name", [*FILES, MARK])
def test_a_passing_read_error_touches_nothing(tmp_path, monkeypatch, number, name):
    spec = Fake(a=1, log=str(tmp_path / "log"), pause_ms=0)
    store = Store(tmp_path / "store")
    run_tasks([spec], store=store, workers=1)
    before, real = tree(store.root), io.open

    def failing(file, *args, **kwargs):
        if Path(str(file)).name == name:
            raise OSError(number, os.strerror(number), str(file))
        return real(file, *args, **kwargs)

    for module in (io, builtins):
        monkeypatch.setattr(module, "open", failing)
    for attempt in (store.get, store.load, lambda s: run_tasks([s], store=store, workers=1)):
        with pytest.raises(UserError) as caught:
            attempt(spec)
        assert os.strerror(number) in str(caught.value) and "\n" not in str(caught.value)
    monkeypatch.undo()
    assert tree(store.root) == before
    check(store.root, [spec])


@pytest.mark.parametrize("number", [*PASSING, errno.ENOSPC, errno.EDQUOT], ids=errno.errorcode.get)
@pytest.mark.parametrize("step", ["mkdir", "write_text", "rename", "savez", "link"])
def test_a_write_error_leaves_nothing(tmp_path, monkeypatch, number, step):
    done, spec = fakes(2, tmp_path / "log", pause_ms=0)
    store = Store(tmp_path / "store")
    run_tasks([done], store=store, workers=1)

    def failing(self, *args, **kwargs):
        if (step, number) == ("rename", errno.ENOTDIR):
            pytest.skip("means that a file stands where the run should be")
        if (step, number) == ("link", errno.EPERM):
            pytest.skip("means a file system without links: tested with the leases")
        raise OSError(number, os.strerror(number), str(self))

    if step == "savez":
        monkeypatch.setattr(np, "savez", failing)
    elif step == "link":
        monkeypatch.setattr(os, "link", failing)
    else:
        monkeypatch.setattr(Path, step, failing)
    with pytest.raises(UserError) as caught:
        run_tasks([spec], store=store, workers=1)
    assert str(store.root) in str(caught.value) and "\n" not in str(caught.value)
    monkeypatch.undo()
    check(store.root, [done])
    run_tasks([spec], store=store, workers=1)
    check(store.root, [done, spec])


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if not mount or os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    made = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"no disk can be mounted here: {made.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk(small_disk, tmp_path):
    specs = fakes(8, tmp_path / "log", pause_ms=0, size=20_000)  # 160 kB each
    store = Store(small_disk / "store")
    with pytest.raises(UserError, match="no space left"):
        run_tasks(specs, store=store, workers=1)
    finished = [spec for spec in specs if store.get(spec) is not None]
    assert 1 <= len(finished) < 8
    check(store.root, finished)
    with pytest.raises(UserError, match="no space left"):
        run_tasks(specs, store=store, workers=1)
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    run_tasks(specs, store=store, workers=1)
    check(store.root, specs)


def test_a_read_only_disk(small_disk, tmp_path):
    done, missing = fakes(2, tmp_path / "log", pause_ms=0)
    store = Store(small_disk / "store")
    run_tasks([done], store=store, workers=1)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    run_tasks([done], store=store, workers=1)
    assert store.get(missing) is None
    with pytest.raises(UserError, match=r"Read-only file system.*DATAWORTH_HOME"):
        run_tasks([missing], store=store, workers=1)
    check(store.root, [done])


# ---- A chapter --------------------------------------------------------------------------------


CHAPTER = "mixing"  # of the shortest that train


def test_a_chapter_killed_and_resumed(tmp_path, cases):
    """`dataworth run` of a real chapter, killed with all its processes."""
    kills = int(os.environ.get("DATAWORTH_SOAK_KILLS", cases(0, 50)))
    if not kills:
        pytest.skip("takes minutes: only with DATAWORTH_SOAK=full")
    clone = Path(__file__).parents[2]
    rng = random.Random(50)

    def run(home: Path) -> subprocess.Popen:
        (home / "clone").mkdir(parents=True, exist_ok=True)
        for name in ("book", "params", "pyproject.toml", "_toc.yml", "_config.yml"):
            link = home / "clone" / name
            if not link.exists():
                link.symlink_to(clone / name)
        (home / "data").exists() or (home / "data").symlink_to(clone / ".dataworth" / "data")
        command = ["-m", "dataworth.cli", "run", CHAPTER, "--profile", "smoke"]
        return subprocess.Popen(
            [sys.executable, *command, "--root", str(home / "clone")],
            env=os.environ | {"DATAWORTH_HOME": str(home)},
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def results(home: Path) -> dict[str, bytes]:
        return {k: v for k, v in tree(home / "runs").items() if k.endswith("arrays.npz")}

    began = time.monotonic()
    first = run(tmp_path / "whole")
    out, _ = first.communicate()
    assert first.returncode == 0, out
    whole, seconds = results(tmp_path / "whole"), time.monotonic() - began
    assert whole
    home = tmp_path / "killed"
    for _ in range(kills):
        process = run(home)
        time.sleep(rng.uniform(0.3, 1.1) * seconds)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if rng.random() < 0.3:  # begin anew, so that kills fall into every part
            shutil.rmtree(home / "runs", ignore_errors=True)
            shutil.rmtree(home / "clone" / "build", ignore_errors=True)
    last = run(home)
    out, _ = last.communicate()
    assert last.returncode == 0, out
    assert results(home) == whole
    assert not list((home / "runs").glob("*/.*"))
    print(f"{kills} kills of {CHAPTER} survived")
