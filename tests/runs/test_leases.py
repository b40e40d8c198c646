"""A lease has one holder, lives as long as its holder, and is taken over by exactly one."""

import errno
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dataworth.runs import leases

RUN = "0123456789abcdef" * 2


@pytest.fixture
def path(tmp_path) -> Path:
    """The folder of a run, in a store that has nothing yet."""
    return tmp_path / "kind" / RUN


def names(path: Path) -> set[str]:
    return {file.name for file in path.parent.glob(".*")}


def ended() -> str:
    """The name of a process of this system that has ended."""
    code = "from dataworth.runs.leases import process; print(process())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def dead() -> str:
    return ended()


def leave(path: Path, process: str, name: str = "a" * 16, after: str = "") -> Path:
    """A lease file as another process left it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.with_name(f".{path.name}.lease{after}")
    file.write_text(json.dumps({"host": "elsewhere", "process": process, "id": name}))
    return file


def age(file: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(file, (then, then))


def test_one_holder_until_it_is_released(path):
    lease = leases.claim(path)
    holder = leases.holder(path)
    assert (holder.id, holder.pid, holder.host) == (lease.id, str(os.getpid()), platform.node())
    assert leases.claim(path) is None
    other = leases.claim(path.with_name("f" * 32))
    assert other is not None
    lease.release()
    assert leases.holder(path) is None
    again = leases.claim(path)
    assert again is not None and again.id != lease.id
    lease.release()  # twice does no harm to its successor
    assert leases.holder(path).id == again.id
    again.release()
    other.release()
    assert names(path) == set()


def test_of_many_at_once_one_holds(path):
    for _ in range(20):
        barrier, held = threading.Barrier(8), []

        def take(barrier=barrier, held=held) -> None:
            barrier.wait()
            if lease := leases.claim(path):
                held.append(lease)

        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(held) == 1
        held[0].release()
        assert names(path) == set()


def _take(path: Path, barrier, results) -> None:
    barrier.wait()
    lease = leases.claim(path)
    results.put(None if lease is None else lease.id)
    barrier.wait()  # nobody ends before all have tried


def test_of_many_processes_one_succeeds_the_dead(path, dead):
    context = multiprocessing.get_context("spawn")
    count = 4
    barrier, results = context.Barrier(count + 1), context.Queue()
    leave(path, dead)
    takers = [context.Process(target=_take, args=(path, barrier, results)) for _ in range(count)]
    for taker in takers:
        taker.start()
    barrier.wait()
    found = [results.get(timeout=60) for _ in range(count)]
    barrier.wait()
    for taker in takers:
        taker.join()
    assert sum(name is not None for name in found) == 1
    lease = leases.claim(path)  # the winner has ended without a word
    lease.release()
    assert names(path) == set()


def test_a_slow_successor_does_not_disturb_the_next_holder(path, dead, monkeypatch):
    """It finds the holder dead; before it acts, another takes over, ends, and a third begins."""
    leave(path, dead)
    real, third = leases._create, []

    def slowly(file, text):
        monkeypatch.setattr(leases, "_create", real)
        second = leases.claim(path)
        second.release()
        third.append(leases.claim(path))
        return real(file, text)

    monkeypatch.setattr(leases, "_create", slowly)
    assert leases.claim(path) is None
    assert leases.holder(path).id == third[0].id
    third[0].release()
    assert names(path) == set()


def test_a_chain_of_dead_holders_is_taken_over_and_removed(path, dead):
    leave(path, dead, "a" * 16)
    leave(path, dead, "b" * 16, "." + "a" * 16)
    leave(path, dead, "c" * 16, "." + "b" * 16)
    lease = leases.claim(path)
    assert leases.holder(path).id == lease.id and len(names(path)) == 4
    lease.release()
    assert names(path) == set()


def test_a_live_successor_of_a_dead_holder_keeps_the_lease(path, dead):
    leave(path, dead, "a" * 16)
    leave(path, leases.process(), "b" * 16, "." + "a" * 16)
    assert leases.claim(path) is None and leases.holder(path).id == "b" * 16


def test_another_process_with_the_same_pid_is_not_the_holder(path):
    system, pid, born = leases.process().split("-")
    leave(path, f"{system}-{pid}-{int(born) - 1 if born.isdigit() else 'earlier'}")
    assert leases.holder(path) is None and leases.claim(path) is not None


def test_a_holder_on_another_system_lives_by_its_heartbeat(path):
    file = leave(path, f"00000000-{os.getpid()}-1")  # our pid means nothing there
    assert leases.claim(path) is None and leases.holder(path).host == "elsewhere"
    age(file, leases.EXPIRY_S - 5)
    assert leases.claim(path) is None
    age(file, leases.EXPIRY_S + 1)
    assert leases.holder(path) is None
    leases.claim(path).release()
    assert names(path) == set()


def test_only_the_clock_of_the_file_system_counts(path, monkeypatch):
    file = leave(path, "00000000-1-1")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1e6)  # ours is fast
    assert leases.holder(path) is not None
    monkeypatch.setattr(time, "time", lambda: now)
    age(file, leases.EXPIRY_S + 1)
    monkeypatch.setattr(time, "time", lambda: now - 1e6)  # ours is slow
    assert leases.holder(path) is None


@pytest.mark.parametrize("text", ["", "{", "null", '{"host": 1}', '{"id": "../x"}', "\0" * 99])
def test_a_lease_that_cannot_be_read_lives_until_it_expires(path, text):
    path.parent.mkdir(parents=True)
    file = path.with_name(f".{path.name}.lease")
    file.write_text(text)
    assert leases.claim(path) is None and leases.holder(path).pid == "not known"
    age(file, leases.EXPIRY_S + 1)
    leases.claim(path).release()
    assert names(path) == set()


def test_the_heartbeat_renews_what_is_held_and_nothing_else(path, monkeypatch):
    monkeypatch.setattr(leases, "BEAT_S", 0.01)
    monkeypatch.setattr(leases, "_heart", None)  # a new thread, with the short interval
    lease, other = leases.claim(path), leases.claim(path.with_name("e" * 32))
    released = path.with_name(f".{'e' * 32}.lease")
    other.release()
    released.touch()
    for file in (leases.lease_of(path), released):
        age(file, 1000)
    until = time.monotonic() + 30
    while leases.holder(path).beat < time.time() - 500:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert released.stat().st_mtime < time.time() - 500
    lease.release()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_does_not_release_what_its_parent_holds(path):
    lease = leases.claim(path)
    pid = os.fork()
    if pid == 0:
        lease.release()
        os._exit(0 if not leases._held and leases.claim(path) is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert leases.holder(path).id == lease.id
    lease.release()


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_links(path, monkeypatch, number):
    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    lease = leases.claim(path)
    assert leases.holder(path).id == lease.id and leases.claim(path) is None
    lease.release()
    assert names(path) == set()


def test_processes_where_there_is_no_proc(monkeypatch, dead):
    """macOS: what `ps` says of a process decides."""
    real = Path.read_text

    def no_proc(self, *args, **kwargs):
        if str(self).startswith("/proc/"):
            raise FileNotFoundError(errno.ENOENT, "no such file", str(self))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", no_proc)
    leases._system.cache_clear()
    try:
        mine = leases.process()
        system, pid, born = mine.split("-")
        if not born:
            pytest.skip("no ps on this system")
        assert leases.is_dead(mine) is False
        assert leases.is_dead(f"{system}-{pid}-x{born}") is True
        assert leases.is_dead(f"{system}-{dead.split('-')[1]}-{born}") is True
        assert leases.is_dead(f"00000000-{pid}-{born}") is None
        child = subprocess.Popen([sys.executable, "-c", "pass"])
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, not yet waited for
        assert leases.is_dead(f"{system}-{child.pid}-{born}") is True
        child.wait()
    finally:
        leases._system.cache_clear()


@pytest.mark.parametrize("name", ["", "x", "00000000-0-1", "00000000--1-1", "-1", "0" * 8 + "-²-1"])
def test_a_name_that_is_none_tells_nothing(name):
    assert leases.is_dead(name) is None


def test_what_dead_processes_left_is_found_and_removed(path, dead):
    folder = path.parent
    alive = leases.claim(path.with_name("d" * 32))
    kept = [
        leases.lease_of(alive.path),
        leave(path.with_name("1" * 32), "00000000-5-5"),  # another machine's, fresh
        leases.temporary(path),  # ours
        folder / f".{RUN}.00000000-5-5.0123abcd.tmp",
        folder / ".notes",
        folder / f".{RUN}-0123abcd",  # of an older version, fresh
        folder / f".{RUN}.lease.backup.txt",
    ]
    gone = [
        leave(path, dead, "a" * 16),
        leave(path, dead, "b" * 16, "." + "a" * 16),
        leave(path.with_name("2" * 32), dead, "c" * 16, "." + "0" * 16),  # of no chain
        folder / f".{RUN}.{dead}.0123abcd.tmp",
        folder / f".{RUN}.00000000-5-5.ffffffff.tmp",
        folder / f".{RUN}-ffffffff",
        leave(path.with_name("3" * 32), "00000000-5-5"),
    ]
    for file in (*kept[2:4], kept[5], *gone[3:6]):
        file.mkdir()
        (file / "arrays.npz").write_text("half")
    for file in (kept[4], kept[6]):
        file.write_text("mine")
    for file in gone[4:]:
        age(file, leases.LEFT_OVER_S + 60)
    assert sorted(leases.left_over(folder)) == sorted(gone)
    for file in gone:
        leases.clear(file)
    assert set(folder.iterdir()) == set(kept)
    assert leases.left_over(folder) == []
    alive.release()
