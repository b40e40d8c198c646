"""Two builds never meet in one chapter, and no dead one stands in the way."""

import multiprocessing
import os
import signal

import pytest

from dataworth.book.layout import Layout
from dataworth.book.lock import locked
from dataworth.errors import UserError


def hold(layout, ids, inside):
    with locked(layout, ids):
        inside.send(os.getpid())
        inside.recv()


@pytest.fixture
def holder(tmp_path):
    """Start a process that holds chapters of a profile."""
    context = multiprocessing.get_context("spawn")
    started = []

    def start(layout, ids):
        here, there = context.Pipe()
        process = context.Process(target=hold, args=(layout, ids, there))
        process.start()
        started.append(process)
        assert here.poll(30) and here.recv() == process.pid
        process.leave = here  # what it waits for
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


def test_the_second_names_the_first_and_gets_in_after_it(tmp_path, holder):
    layout = Layout(tmp_path, "quick")
    first = holder(layout, ["a", "b"])
    said = (
        rf"^another build of profile quick is running, pid {first.pid}, since "
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S+; wait for it or stop it.$"
    )
    with pytest.raises(UserError, match=said), locked(layout, ["b", "c"]):
        pass
    with locked(layout, ["c"]):  # what the refused one already held was given back
        pass
    first.leave.send("go")
    first.join()
    with locked(layout, ["a", "b"]):
        pass


def test_other_chapters_and_profiles_go_side_by_side(tmp_path, holder):
    holder(Layout(tmp_path, "quick"), ["a"])
    with locked(Layout(tmp_path, "quick"), ["b"]), locked(Layout(tmp_path, "full"), ["a"]):
        pass


def test_a_killed_build_leaves_no_lock(tmp_path, holder):
    layout = Layout(tmp_path, "quick")
    first = holder(layout, ["a"])
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    with locked(layout, ["a"]):
        pass


def test_an_owner_that_has_not_said_who_it_is(tmp_path, holder):
    layout = Layout(tmp_path, "quick")
    holder(layout, ["a"])
    for text in (None, "", "[]", "{}", "\0"):
        owner = layout.build / "locks" / "a.owner.json"
        owner.unlink() if text is None else owner.write_text(text)
        with pytest.raises(UserError, match="quick is running; wait"), locked(layout, ["a"]):
            pass


def test_a_folder_that_cannot_be_locked_is_a_sentence(tmp_path):
    (tmp_path / "build").write_text("a file")
    refused = pytest.raises(UserError, match="build/quick/locks cannot be locked")
    with refused, locked(Layout(tmp_path, "quick"), ["a"]):
        pass
