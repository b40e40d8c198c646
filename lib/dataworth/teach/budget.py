"""A lab with budgets, after the scaling assignment of Stanford's CS336: no cloud, one shared store.

A class shares a folder and a store of runs. Each student asks for training runs of small sets and
pays for what they take: the price is reserved first, what a run did not need is given back, a run
that fails costs nothing, and the same run is paid once. From what they see they predict
the loss of held-back larger runs as an interval, and are graded by its interval score.

    <folder>/budget.yaml    the rules (teach/budget.yaml, as they were when the lab was opened)
             accounts.jsonl what happened, one line each, only appended; budgets follow from it
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dataworth import strict_yaml
from dataworth.errors import UserError, did_you_mean, quoted, short
from dataworth.parameters import faults

RULES, ACCOUNTS = "budget.yaml", "accounts.jsonl"
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Target(BaseModel):
    """A held-back run: arm and training images."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    arm: str
    size: int = Field(ge=10)

    def __str__(self) -> str:
        return f"{self.arm}:{self.size}"


class Rules(BaseModel):
    """The file `budget.yaml`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    chapter: str
    profile: str
    arms: list[str] = Field(min_length=1)
    largest: int = Field(ge=10)
    seeds: int = Field(ge=1, le=100)
    budget: Positive
    drawn: float = Field(ge=0)
    held_back: list[Target] = Field(min_length=1)
    level: float = Field(gt=0, lt=1)
    blind: list[Positive] = Field(min_length=2, max_length=2)
    students: list[str] = []


@dataclass(frozen=True)
class Ask:
    """A training run that can be asked for: `seed` from 0."""

    arm: str
    size: int
    seed: int

    def __str__(self) -> str:
        return f"{self.arm}:{self.size}:{self.seed}"


@dataclass(frozen=True)
class Answer:
    """What a run found and what it took, in units of the budget."""

    loss: float
    spent: float


Runner = Callable[[Ask], Answer]
Price = Callable[[Ask], float]


def interval_score(low: float, high: float, truth: float, level: float) -> float:
    """Gneiting and Raftery 2007, equation 43, on logarithms (the loss of a run is above zero): the
    interval's width, and 2 / (1 - level) times the distance by which it misses. Lower is better."""
    a, b, x = math.log(low), math.log(high), math.log(truth)
    return (b - a) + 2 / (1 - level) * (max(a - x, 0) + max(x - b, 0))


def _pair(interval: Sequence[float]) -> tuple[float, float]:
    return interval[0], interval[1]


class Lab:
    """A lab in its folder. price: the most that a run may take. runner: makes it, or reads it."""

    def __init__(self, folder: Path, price: Price, runner: Runner) -> None:
        self.folder, self.price, self.runner = folder, price, runner

    @cached_property
    def rules(self) -> Rules:
        return read_rules(self.folder / RULES)

    def _events(self) -> list[dict[str, Any]]:
        """What happened. A line that a killed process left unfinished did not happen."""
        path = self.folder / ACCOUNTS
        found = []
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    @contextmanager
    def _book(self) -> Iterator[Callable[..., None]]:
        """The accounts, held; gives what writes a line."""
        path = self.folder / ACCOUNTS
        with FileLock(self.folder / f".{ACCOUNTS}.lock"), path.open("a+b") as stream:
            stream.seek(0, 2)
            if stream.tell():
                stream.seek(-1, 2)
                if stream.read(1) != b"\n":
                    stream.write(b"\n")

            def write(student: str, did: str, **more: Any) -> None:
                at = datetime.now(UTC).isoformat(timespec="seconds")
                line = {"at": at, "student": student, "did": did, **more}
                stream.write(json.dumps(line, allow_nan=False).encode() + b"\n")
                stream.flush()

            yield write

    def _account(self, student: str) -> tuple[dict[str, float], dict[str, float], dict[str, Any]]:
        """What a student has reserved, by run; has paid for, by run; and has predicted."""
        reserved: dict[str, float] = {}
        paid: dict[str, float] = {}
        predicted: dict[str, Any] = {}
        for e in self._events():
            if e["student"] != student:
                continue
            match e["did"]:
                case "reserve":
                    reserved[e["run"]] = e["units"]
                case "pay":
                    reserved.pop(e["run"], None)
                    paid[e["run"]] = e["units"]
                case "refund":
                    reserved.pop(e["run"], None)
                case "predict":
                    predicted[e["run"]] = e["low"], e["high"]
        return reserved, paid, predicted

    def left(self, student: str) -> float:
        """Units that a student can still reserve."""
        reserved, paid, _ = self._account(self._known(student))
        return self.rules.budget - sum(reserved.values()) - sum(paid.values())

    def ask(self, student: str, ask: Ask) -> Answer:
        """Have a run made, or read, for a student.

        Raises UserError for a run that may not be asked for or that the budget does not hold.
        What the run raises is raised again, after its price was given back.
        """
        self._known(student)
        self._allowed(ask)
        name, most = str(ask), self.price(ask)
        with self._book() as write:
            reserved, paid, _ = self._account(student)
            if name not in paid and name not in reserved:
                left = self.rules.budget - sum(reserved.values()) - sum(paid.values())
                if most > left + 1e-9:
                    raise UserError(
                        f"{name} may take {most:.4g} units and {student} has {left:.4g} left: ask "
                        "for a smaller set."
                    )
                write(student, "reserve", run=name, units=most)
        try:
            answer = self.runner(ask)
        except BaseException:
            with self._book() as write:
                if name in self._account(student)[0]:
                    write(student, "refund", run=name)
            raise
        with self._book() as write:
            if name in self._account(student)[0]:
                write(student, "pay", run=name, units=min(answer.spent, most), loss=answer.loss)
        return answer

    def predict(self, student: str, target: Target, low: float, high: float) -> None:
        """Keep a student's interval of the loss of a held-back run; the last one counts."""
        self._known(student)
        if target not in self.rules.held_back:
            known = ", ".join(map(str, self.rules.held_back))
            raise UserError(f"{target} is not held back; to be predicted are {known}.")
        if not 0 < low < high < math.inf:
            raise UserError(
                f"the interval is [{low:g}, {high:g}]; it must be two losses above 0, the lower "
                "one first."
            )
        with self._book() as write:
            write(student, "predict", run=str(target), low=low, high=high)

    def grades(self) -> list[dict[str, Any]]:
        """Students from the best mean interval score on, and who knows nothing (`blind`) among
        them; a target without a prediction counts as blind. The held-back runs are made now."""
        rules = self.rules
        truth = {str(t): self._truth(t) for t in rules.held_back}
        blind = rules.blind[0], rules.blind[1]
        rows = []
        for student in [*rules.students, "(blind)"]:
            _, paid, predicted = self._account(student)
            given = {name: _pair(predicted.get(name, blind)) for name in truth}
            scores = [
                interval_score(*given[n], truth=x, level=rules.level) for n, x in truth.items()
            ]
            held = [given[n][0] <= x <= given[n][1] for n, x in truth.items()]
            rows.append(
                {
                    "student": student,
                    "score": sum(scores) / len(scores),
                    "held": sum(held),
                    "of": len(held),
                    "predicted": len(predicted.keys() & truth.keys()),
                    "spent": sum(paid.values()),
                    "runs": len(paid),
                }
            )
        return sorted(rows, key=lambda row: (row["score"], row["student"]))

    def _truth(self, target: Target) -> float:
        asks = [Ask(target.arm, target.size, seed) for seed in range(self.rules.seeds)]
        return sum(self.runner(ask).loss for ask in asks) / len(asks)

    def _known(self, student: str) -> str:
        if student not in self.rules.students:
            raise UserError(
                f"Unknown student '{short(student)}'."
                f"{did_you_mean(student, self.rules.students)} The lab was opened for "
                f"{len(self.rules.students)}."
            )
        return student

    def _allowed(self, ask: Ask) -> None:
        rules = self.rules
        if ask.arm not in rules.arms:
            raise UserError(f"the arm is {quoted(ask.arm)}; it must be of {', '.join(rules.arms)}.")
        if not 10 <= ask.size <= rules.largest:
            raise UserError(f"the size is {ask.size}; it must be from 10 to {rules.largest}.")
        if not 0 <= ask.seed < rules.seeds:
            raise UserError(f"the seed is {ask.seed}; it must be from 0 to {rules.seeds - 1}.")


def read_rules(path: Path) -> Rules:
    """Raises UserError naming the field, its value and what is allowed."""
    if not path.is_file():
        raise UserError(f"There is no lab in {path.parent}: {path.name} is missing there.")
    found = strict_yaml.read(path, path.name)
    try:
        return Rules.model_validate(found.value)
    except ValidationError as error:
        places = {name: f"line {line}" for name, line in found.lines.items()}
        raise UserError(f"{path}: {faults(error, places)}.") from None


def open_lab(folder: Path, rules: Path, students: Sequence[str]) -> Rules:
    """Begin a lab with the rules of a file. Raises UserError where there is one already."""
    checked = read_rules(rules)
    if not students or len(set(students)) < len(students) or not all(students):
        raise UserError("the students must be different names, at least one.")
    if (folder / RULES).exists():
        raise UserError(f"There is a lab in {folder} already; its accounts are kept.")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(rules, folder / f".{RULES}")
    with (folder / f".{RULES}").open("a", encoding="utf-8") as stream:
        stream.write(f"students: {json.dumps(list(students))}\n")
    (folder / f".{RULES}").rename(folder / RULES)
    return checked


def of_book(folder: Path, root: Path | None = None) -> Lab:
    """The lab in a folder, its runs those of the image chapter that its rules name.

    A run is priced by the images it sees in training, in thousands, and those it has drawn; what
    lies after the checkpoint that counts is given back.
    """
    from dataworth.book.parameters import of_chapter
    from dataworth.runs import Store
    from dataworth.studies.images import ImageStudy, run_classifiers

    rules = read_rules(folder / RULES)
    study = of_chapter(rules.chapter, rules.profile, root).model
    if not isinstance(study, ImageStudy):
        raise UserError(f"chapter is '{rules.chapter}'; it must be one of the chapters on images.")

    def spec(ask: Ask) -> Any:
        if ask.arm == "real":
            return study.classifier(study.real(ask.size, ask.seed), seed=ask.seed)
        part = study.synthetic(study.pool(), ask.size, ask.seed)
        return study.classifier(part, seed=ask.seed)

    def drawn(ask: Ask) -> float:
        return 0.0 if ask.arm == "real" else rules.drawn * ask.size

    def price(ask: Ask) -> float:
        return study.own_budget.steps(ask.size) * study.batch / 1000 + drawn(ask)

    def runner(ask: Ask) -> Answer:
        metrics: Mapping[str, Any] = run_classifiers({"it": [[spec(ask)]]}, Store())["it"][0][
            0
        ].metrics
        return Answer(metrics["loss_test"], metrics["steps"] * study.batch / 1000 + drawn(ask))

    return Lab(folder, price, runner)
