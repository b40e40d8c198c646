"""What every study has in common.

A study is a pair of classes in the module of its chapter. Its parameters (`Parameters` of the
chapter) can `preflight` (validate before anything runs) and say their `cost`; `run(params)` makes
a grid of specs of them, runs what is missing (`run_grid`) and gives a `Study`: the finished runs,
from which every table, estimate and interval of the chapter is computed.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from dataworth.errors import UserError
from dataworth.paths import home
from dataworth.runs import Result, Spec, Store, report, run_tasks

if TYPE_CHECKING:
    import pandas as pd

K = TypeVar("K")


class Runner(Protocol):
    """Runs specs in order; `run_tasks` or one that prepares what they read."""

    def __call__(
        self, specs: list[Any], *, store: Store, workers: int | None, label: str
    ) -> list[Result]: ...


def placed(grid: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """The leaves of a grid, each with its place: keys of mappings, positions in sequences."""
    if isinstance(grid, Spec | Result):
        yield at, grid
        return
    for key, part in grid.items() if isinstance(grid, Mapping) else enumerate(grid):
        yield from placed(part, (*at, key))


def leaves(grid: Any) -> Iterator[Any]:
    """The specs or results of a grid in order: of mappings the values, of sequences the items."""
    for _, leaf in placed(grid):
        yield leaf


def run_grid(
    grid: Mapping[K, Any],
    store: Store,
    label: str,
    *,
    run: Runner = run_tasks,
    workers: int | None = None,
) -> dict[K, Any]:
    """Results in the shape of a grid of specs (mappings and lists of them, nested at will); equal
    specs run once."""
    specs = list(dict.fromkeys(leaves(grid)))
    found = dict(zip(specs, run(specs, store=store, workers=workers, label=label), strict=True))

    def filled(part: Any) -> Any:
        if isinstance(part, Spec):
            return found[part]
        if isinstance(part, Mapping):
            return {key: filled(item) for key, item in part.items()}
        return [filled(item) for item in part]

    return {key: filled(part) for key, part in grid.items()}


def check_disk(mib: int) -> None:
    """Raises UserError where the store's disk has less than `mib` MiB free."""
    home().mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(home()).free >> 20) < mib:
        raise UserError(
            f"{home()} has {free} MiB free, but the chapter stores up to {mib} MiB; free some "
            "space or set DATAWORTH_HOME."
        )


def missing_rows(
    repos: Iterable[str], disk: float, *, gpu: bool = False
) -> list[dict[str, object]]:
    """What is not here of what a run would take, for a `cost`: repositories of a hub, disk (GB), a
    GPU where one is needed."""
    from dataworth import compute, weights

    rows: list[dict[str, object]] = []
    if absent := [repo for repo in dict.fromkeys(repos) if not weights.at_hand(repo)]:
        said = (
            "in no folder of copies (--hub) and not in the hub's cache: to be fetched, with access"
        )
        rows.append({"step": "missing: repositories", "resolved": f"{', '.join(absent)}; {said}"})
    place = next(p for p in (home(), *home().parents) if p.exists())
    if (free := shutil.disk_usage(place).free / 1e9) < disk:
        told = f"{disk:,.0f} GB are needed and {place} has {free:,.0f} GB free"
        rows.append({"step": "missing: disk", "resolved": told})
    if gpu and not compute.has_gpu():
        rows.append({"step": "missing: GPU", "resolved": "none is here, and pipelines need one"})
    return rows


class Study(ABC):
    """Finished runs of a chapter."""

    params: Any

    @abstractmethod
    def kinds(self) -> Mapping[str, Any]:
        """All results, by what they are; each a grid (`leaves`)."""

    def summary(self) -> pd.DataFrame:
        """What was run: tasks and core minutes, by kind; runs of two kinds count in both."""
        kinds = {kind: leaves(grid) for kind, grid in self.kinds().items()}
        return report.summary(kinds).rename_axis("kind of run")

    def provenance(self) -> dict[str, object]:
        """What the ledger records about these runs."""
        seeds: Iterable[int] = range(getattr(self.params, "seeds", 1))
        return report.provenance(leaves(self.kinds()), [self.params.seed + s for s in seeds])

    def run_means(self, leaf: Result) -> Mapping[str, Any]:
        """Means that a run's own metrics lack, since they are made from what it stores."""
        return {}

    def cell_means(self) -> dict[str, dict[str, list[Any]]]:
        """What a ledger keeps of every run, by kind: `at`, its place in the grid (arms, positions
        of sizes, seeds), and its means (all metrics and `run_means` that are numbers), seven
        significant digits.
        With these a claim of another definition can be evaluated without the runs."""
        kept: dict[str, dict[str, list[Any]]] = {}
        for kind, grid in self.kinds().items():
            rows = [
                (at, _numbers({**leaf.metrics, **self.run_means(leaf)}))
                for at, leaf in placed(grid)
            ]
            names = dict.fromkeys(name for _, found in rows for name in found)
            places = [[x if isinstance(x, int) else str(x) for x in at] for at, _ in rows]
            columns = {name: [found.get(name) for _, found in rows] for name in names}
            kept[kind] = {"at": places, **columns}
        return kept


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(f"{value:.7g}")
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
