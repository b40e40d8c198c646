"""Times of the reference, made those of this machine by a probe of its speed."""

import pytest

from dataworth import pace
from dataworth.book.progress import Outlook
from dataworth.book.tasks import on_this_machine


def test_a_machine_of_half_the_speed_takes_twice_as_long():
    asked = []

    def probe(processes):
        asked.append(processes)
        return pace.REFERENCE / 2

    before = Outlook({"a": 600.0, "b": None, "c": 900.0}, 2)
    here, words = on_this_machine(before, probe)
    assert asked == [2] and here.at_once == 2
    assert here.expected == {"a": 1200.0, "b": None, "c": 1800.0}
    assert here.left() == pytest.approx(2 * before.left())
    assert pace.capability() in words and "0.5 times as fast" in words


@pytest.mark.parametrize("failed", [None, 0.0])
def test_without_a_probe_the_times_stay(failed):
    before = Outlook({"a": 600.0}, 1)
    assert on_this_machine(before, lambda processes: failed) == (before, "")


def test_the_probe_counts_steps():
    assert pace.steps_a_second(0.05) > 0


def test_every_level_has_words():
    assert pace.capability("avx512_core_amx") == "AVX-512 with AMX"
    assert pace.capability("arm64 bf16") == "arm64 bf16"
