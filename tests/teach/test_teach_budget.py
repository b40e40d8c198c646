"""The lab with budgets: a scripted class of thirty on one store, and what an account must keep."""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from class_specs import Law

from dataworth.book.layout import open_layout
from dataworth.errors import UserError
from dataworth.runs import Store, run_tasks
from dataworth.teach import budget
from dataworth.teach.budget import Answer, Ask, Lab, Target, interval_score

RULES = open_layout("quick").root / "teach" / "budget.yaml"
NAMES = [f"student {i:02d}" for i in range(30)]


def law(ask):
    return Answer(3 * ask.size ** -{"real": 0.4, "synthetic": 0.25}[ask.arm], ask.size / 20)


def price(ask):
    return ask.size / 10


@pytest.fixture
def lab(tmp_path):
    budget.open_lab(tmp_path / "lab", RULES, NAMES)
    return Lab(tmp_path / "lab", price, law)


@pytest.mark.slow
def test_a_class_of_thirty_on_one_store(tmp_path):
    """Ten ask for little and predict a wide interval, ten fit a law on many runs, ten do so too and
    trust it too much: each run is computed once for all, nobody overspends, honesty wins."""
    budget.open_lab(tmp_path / "lab", RULES, NAMES)
    log = tmp_path / "computed"

    def stored(ask):
        spec = Law(arm=ask.arm, size=ask.size, seed=ask.seed, log=str(log))
        (result,) = run_tasks([spec], store=Store(tmp_path / "store"), workers=1)
        return Answer(result.metrics["loss"], ask.size / 20)

    def one(number):
        mine = Lab(tmp_path / "lab", price, stored)  # as from a terminal of one's own
        student, way, refused = NAMES[number], number % 3, 0
        for target in mine.rules.held_back:
            sizes = [80, 640] if way == 0 else [40, 80, 160, 320]
            seen = []
            for size in sizes:
                for seed in range(1 if way == 0 else 3):
                    try:
                        seen.append((size, mine.ask(student, Ask(target.arm, size, seed)).loss))
                    except UserError as error:
                        assert "left" in str(error)
                        refused += 1
            x, y = np.log(np.array(seen)).T
            slope, constant = np.polyfit(x, y, 1)
            middle = math.exp(constant + slope * math.log(target.size))
            half = 0.4 if way == 0 else 0.15 if way == 1 else 0.02
            mine.predict(student, target, middle * math.exp(-half), middle * math.exp(half))
        return refused

    with ThreadPoolExecutor(10) as pool:
        refused = sum(pool.map(one, range(30)))
    lab = Lab(tmp_path / "lab", price, stored)
    computed = log.read_text().split()
    assert len(computed) == len(set(computed)) > 20  # thirty asked, each computed once
    for name in NAMES:
        reserved, paid, _ = lab._account(name)
        assert not reserved and 0 < sum(paid.values()) <= lab.rules.budget
        assert lab.left(name) == pytest.approx(lab.rules.budget - sum(paid.values()))
    assert refused > 0  # the budget does bind
    rows = lab.grades()
    place = {row["student"]: i for i, row in enumerate(rows)}
    assert len(rows) == 31
    means = [np.mean([place[n] for i, n in enumerate(NAMES) if i % 3 == way]) for way in range(3)]
    assert means[1] < min(means[0], means[2]) and max(means) < place["(blind)"]


def test_the_interval_score_is_that_of_the_paper():
    assert interval_score(1, math.e, 2, 0.9) == pytest.approx(1)
    assert interval_score(1, math.e, math.e**1.5, 0.9) == pytest.approx(1 + 20 * 0.5)
    assert interval_score(1, math.e, math.e**-0.1, 0.5) == pytest.approx(1 + 4 * 0.1)
    # It is proper: on average nothing beats the quantiles of what is predicted.
    draws = np.exp(np.random.default_rng(0).normal(size=20_000))

    def mean(low, high):
        return np.mean([interval_score(low, high, x, 0.9) for x in draws[:4000]])

    best = mean(*np.quantile(draws, [0.05, 0.95]))
    assert best < min(mean(0.4, 2.5), mean(0.05, 20), mean(0.3, 9))


def test_what_a_run_did_not_need_is_given_back_and_it_is_paid_once(lab):
    assert lab.left(NAMES[0]) == 150
    lab.ask(NAMES[0], Ask("real", 400, 0))
    assert lab.left(NAMES[0]) == 150 - 20  # 40 were reserved
    lab.ask(NAMES[0], Ask("real", 400, 0))
    assert lab.left(NAMES[0]) == 130 and lab.left(NAMES[1]) == 150


def test_a_run_that_fails_costs_nothing(lab):
    def fails(ask):
        assert lab.left(NAMES[0]) == 150 - 40  # reserved meanwhile
        raise MemoryError

    lab.runner = fails
    with pytest.raises(MemoryError):
        lab.ask(NAMES[0], Ask("real", 400, 0))
    assert lab.left(NAMES[0]) == 150


def test_what_a_killed_process_left_behind(lab):
    """A reservation stays until its run is asked for again; half a line did not happen."""
    with lab._book() as write:
        write(NAMES[0], "reserve", run="real:400:0", units=40.0)
    with (lab.folder / budget.ACCOUNTS).open("a") as stream:
        stream.write('{"student": "student 00", "did": "res')
    assert lab.left(NAMES[0]) == 110
    lab.ask(NAMES[0], Ask("real", 400, 0))
    assert lab.left(NAMES[0]) == 130


def test_two_asks_at_once_cannot_overdraw(lab):
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(lab.ask, NAMES[0], Ask("real", 800 + i, 0)) for i in range(8)]
    done = [j for j in jobs if j.exception() is None]
    assert all(isinstance(j.exception(), UserError) for j in jobs if j not in done)
    assert lab.left(NAMES[0]) >= 0 and 1 <= len(done) <= 3


@pytest.mark.parametrize(
    ("action", "told"),
    [
        (lambda lab: lab.ask("student 99", Ask("real", 80, 0)), "Unknown student"),
        (lambda lab: lab.ask(NAMES[0], Ask("reel", 80, 0)), "real, synthetic"),
        (lambda lab: lab.ask(NAMES[0], Ask("real", 10240, 0)), "from 10 to 1280"),
        (lambda lab: lab.ask(NAMES[0], Ask("real", 80, 3)), "from 0 to 2"),
        (lambda lab: lab.predict(NAMES[0], Target(arm="real", size=80), 1, 2), "real:10240"),
        (lambda lab: lab.predict(NAMES[0], Target(arm="real", size=10240), 2, 1), "lower"),
        (lambda lab: lab.predict(NAMES[0], Target(arm="real", size=10240), 0, 1), "above 0"),
        (lambda lab: budget.open_lab(lab.folder, RULES, NAMES), "already"),
        (lambda lab: budget.open_lab(lab.folder.parent / "b", RULES, ["a", "a"]), "different"),
        (lambda lab: budget.read_rules(Path("nowhere") / "budget.yaml"), "no lab"),
    ],
)
def test_bad_input_is_one_sentence_and_costs_nothing(lab, action, told):
    with pytest.raises(UserError, match=told):
        action(lab)
    assert not (lab.folder / budget.ACCOUNTS).exists() or lab.left(NAMES[0]) == 150


def test_a_missing_prediction_counts_as_blind(lab):
    lab.predict(NAMES[0], lab.rules.held_back[0], 0.07, 0.08)
    rows = {row["student"]: row for row in lab.grades()}
    assert rows[NAMES[0]]["score"] < rows[NAMES[1]]["score"] == rows["(blind)"]["score"]
    assert rows[NAMES[0]]["predicted"] == 1
    json.dumps(list(rows.values()), allow_nan=False)


@pytest.mark.slow
def test_the_runs_of_the_book_are_the_runs_of_the_lab(tmp_path):
    """Priced by what training sees, in thousands of images, and by what is drawn."""
    budget.open_lab(tmp_path, RULES, NAMES)
    of = budget.of_book(tmp_path)
    from dataworth.book.parameters import of_chapter

    study = of_chapter(of.rules.chapter, of.rules.profile).model
    n = 320
    seen = study.own_budget.steps(n) * study.batch / 1000
    assert of.price(Ask("real", n, 0)) == pytest.approx(seen)
    assert of.price(Ask("synthetic", n, 0)) == pytest.approx(seen + n * of.rules.drawn)
    # A few sizes with all seeds, but not everything, fits into the budget.
    few = sum(of.price(Ask("real", m, s)) for m in (80, 320) for s in range(2))
    everything = sum(of.price(Ask(a, 1280, s)) for a in of.rules.arms for s in range(3))
    assert few < of.rules.budget < everything
