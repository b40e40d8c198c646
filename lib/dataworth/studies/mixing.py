"""The study behind the chapter *mixing*: real and synthetic images in one training set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from dataworth.images.classifiers import ClassifierSpec
from dataworth.parameters import field
from dataworth.runs import Store
from dataworth.runs.kept import keep
from dataworth.stats import Estimate, best_of, estimate
from dataworth.studies import base
from dataworth.studies.curves import Curve, curves, misfits, widened
from dataworth.studies.images import Runs, check_sizes, run_classifiers
from dataworth.studies.reanalysis import Reanalysis
from dataworth.studies.synthetic_scaling import PURE
from dataworth.tables import text

if TYPE_CHECKING:
    import pandas as pd

    from dataworth.fit import Fit
    from dataworth.studies.image_cost import Training

from dataworth.arrays import Array

Sizes = Annotated[tuple[int, ...], Field(min_length=1)]
Ratios = Annotated[tuple[Annotated[float, Field(gt=0, le=10**6)], ...], Field(min_length=1)]
Shares = Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=1)]
RULES = {
    "n + m/ρ": "synthetic images count as the real ones that they replace",
    "n + m": "synthetic images count as real ones",
    "n or m": "the better of the two sets alone",
}
"""Ways to predict a mixed set's loss from the two pure curves."""


class Mixing(Reanalysis):
    """Parameters of the chapter."""

    mixed_sizes: Sizes = field("real images in the mixed training sets", "images")
    ratios: Ratios = field(
        "synthetic images per real image, as far as the synthetic arm reaches", "images per image"
    )
    weighted_size: int = field("real images of the weighted mixture", "images", ge=10, le=10**9)
    weighted_ratio: float = field(
        "synthetic images per real image of the weighted mixture",
        "images per image",
        gt=0,
        le=10**6,
    )
    shares: Shares = field(
        "shares of synthetic images among the training samples of the weighted mixture"
    )

    _sorted = field_validator("mixed_sizes")(check_sizes)

    @field_validator("ratios", "shares")
    @classmethod
    def _rising(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(values)) < len(values):
            raise ValueError("must be distinct")
        return tuple(sorted(values))

    @model_validator(mode="after")
    def _has_baselines(self) -> Self:
        if strangers := set(self.mixed_sizes) - set(self.real_sizes):
            raise ValueError(f"mixed_sizes holds {min(strangers)}, which is not in real_sizes")
        if any(len(self.added(n)) < 2 for n in self.mixed_sizes):
            raise ValueError(
                "ratios must leave at least two mixed sets for every one of mixed_sizes with no "
                f"more than {self.synthetic_sizes[-1]} synthetic images"
            )
        if self.weighted_size not in self.mixed_sizes:
            raise ValueError("weighted_size must be one of mixed_sizes")
        if round(self.weighted_ratio * self.weighted_size) not in self.added(self.weighted_size):
            raise ValueError("weighted_ratio must be one of ratios, within the synthetic arm")
        return self

    def added(self, real: int) -> tuple[int, ...]:
        """Numbers of synthetic images that are mixed with `real` real ones."""
        reach = self.synthetic_sizes[-1]
        return tuple(m for m in (round(r * real) for r in self.ratios) if m <= reach)

    @property
    def weighted_added(self) -> int:
        """Synthetic images of the weighted mixture."""
        return round(self.weighted_ratio * self.weighted_size)

    def mixed(self, real: int, synthetic: int, share: float | None = None) -> list[ClassifierSpec]:
        """Training runs, one a seed, on the union of a real and a synthetic set. `share` of the
        samples is synthetic; without it every image is seen equally often."""
        weights = {} if share is None else {"part_weights": (1 - share, share)}
        return [
            self.classifier(
                self.real(real, s), self.synthetic(self.pool(), synthetic, s), seed=s, **weights
            )
            for s in range(self.seeds)
        ]

    def trainings(self) -> list[Training]:
        """The main arms, and the mixed sets, whose synthetic images are those of the main arm."""
        from dataworth.studies.image_cost import Training

        sizes = [n + m for n in self.mixed_sizes for m in self.added(n)]
        sizes += [self.weighted_size + self.weighted_added] * len(self.shares)
        budget = self.own_budget
        samples = self.seeds * sum(budget.steps(n) * budget.batch for n in sizes)
        mixed = Training("mixed", self.model, self.seeds * len(sizes), samples)
        return [*super().trainings(), mixed]

    def preflight(self) -> None:
        """Raises UserError before anything runs: no data, a small pool, no generator."""
        cells = sum(len(self.added(n)) for n in self.mixed_sizes) + len(self.shares)
        pure = len(self.real_sizes) + len(self.synthetic_sizes)
        self.check(real=max(self.real_sizes), runs=self.seeds * (cells + pure))


@dataclass(frozen=True, eq=False)
class Mixed(base.Study):
    """Finished runs: `runs["real"]` and `runs["synthetic"]` by size, `runs["mixed, n"]` by number
    of synthetic images, `runs["weighted"]` by share; each as [value][seed]."""

    params: Mixing
    runs: Runs

    def pure(self, arm: str, metric: str = "loss") -> Curve:
        """The scaling curve of `real` or `synthetic` images alone."""
        return self._curves(metric)[arm]

    def mixed(self, real: int, metric: str = "loss") -> Curve:
        """Loss against the number of synthetic images beside `real` real ones, none first."""
        alone, added = self.pure("real", metric), self._curves(metric)[f"mixed, {real}"]
        at = self.params.real_sizes.index(real)
        return Curve(
            np.concatenate([[0], added.sizes]),
            np.concatenate([alone.values[[at]], added.values]),
            np.concatenate([alone.draws[:, [at]], added.draws], axis=1),
        )

    @cached_property
    def weighted(self) -> tuple[Array, Curve]:
        """Shares of synthetic images among the samples, rising, and the loss at each. The first is
        0 (real images alone), one is the natural share, the last is 1 where the synthetic arm was
        run at that size."""
        p = self.params
        n, m = p.weighted_size, p.weighted_added
        parts = [(0.0, self.pure("real"), p.real_sizes.index(n))]
        parts += [(self.natural, self._curves("loss")[f"mixed, {n}"], p.added(n).index(m))]
        own = self._curves("loss")["weighted"]
        parts += [(share, own, i) for i, share in enumerate(p.shares)]
        if m in p.synthetic_sizes:
            alone = self.pure("synthetic")
            parts.append((1.0, alone, p.synthetic_sizes.index(m)))
        parts.sort(key=lambda part: part[0])
        joined = Curve(
            np.arange(len(parts)),
            np.stack([c.values[i] for _, c, i in parts]),
            np.stack([c.draws[:, i] for _, c, i in parts], axis=1),
        )
        return np.array([share for share, _, _ in parts]), joined

    @property
    def natural(self) -> float:
        """Share of synthetic images among the samples when every image counts the same."""
        n, m = self.params.weighted_size, self.params.weighted_added
        return m / (n + m)

    def other_weights(self) -> tuple[float, Estimate]:
        """The best of `shares`, and the loss at the natural share over that at it: above 1 where
        another weight does better. Its interval allows for the choice (`stats.best_of`)."""
        tried, test = self.weighted
        natural = test.one(int(np.abs(tried - self.natural).argmin()))
        others = {
            f"{share}": natural.over(test.one(i))
            for i, share in enumerate(tried.tolist())
            if share in self.params.shares
        }
        best, gain = best_of(others)
        return float(best), gain

    def relative(self, metric: str = "loss") -> pd.DataFrame:
        """Loss (or error) of every mixed set divided by that of its real images alone: columns
        `real`, `synthetic`, `ratio`, `value`, `low`, `high`."""
        import pandas as pd

        rows = []
        for n in self.params.mixed_sizes:
            c = self.mixed(n, metric)
            for i in range(1, len(c.sizes)):
                e = c.one(i).over(c.one(0))
                rows.append((n, int(c.sizes[i]), c.sizes[i] / n, e.value, e.low, e.high))
        columns = ["real", "synthetic", "ratio", "value", "low", "high"]
        return pd.DataFrame(rows, columns=columns)

    @cached_property
    def laws(self) -> dict[str, Fit]:
        """E + a D^-k on the two pure curves, by arm."""
        return {arm: self.pure(arm).fit("shifted") for arm in PURE}

    @cached_property
    def misfits(self) -> pd.DataFrame:
        """Lack of fit of the two laws (`curves.misfits`)."""
        return misfits({arm: (self.pure(arm), law) for arm, law in self.laws.items()})

    @cached_property
    def surface(self) -> Fit:
        """The joint law E + B (n_real + k n_syn^g)^-beta on all pure and mixed runs."""
        from dataworth.fit import fit

        real, synthetic = self.pure("real"), self.pure("synthetic")
        none = [np.zeros(len(c.sizes)) for c in (real, synthetic)]
        mixed = [self._curves("loss")[f"mixed, {n}"] for n in self.params.mixed_sizes]
        beside = [
            np.full(len(c.sizes), n) for c, n in zip(mixed, self.params.mixed_sizes, strict=True)
        ]
        curves = [real, synthetic, *mixed]
        table = {
            "n_real": np.concatenate([real.sizes, none[1], *beside]),
            "n_syn": np.concatenate([none[0], synthetic.sizes, *(c.sizes for c in mixed)]),
            "loss": np.concatenate([c.means for c in curves]),
        }
        draws = np.concatenate([c.draws for c in curves], axis=1)
        return fit(table, law="mixture", x=("n_real", "n_syn"), y="loss", draws=draws)

    def exchange(self, synthetic: float) -> Estimate:
        """Synthetic images per real image on the fitted surface: m / (k m^g) at m = `synthetic`."""
        found, draws = self.surface.params, self.surface.draws
        with np.errstate(divide="ignore"):  # draws in which synthetic images are worth nothing
            drawn = synthetic ** (1 - draws["g"]) / draws["k"]
        return estimate(synthetic ** (1 - found["g"]) / found["k"], drawn)

    def decision(self) -> dict[str, Any]:
        """For who has n real images and money for m synthetic ones, as a table of text: by the
        joint law the loss with both over that of the real ones alone, the real images that the
        synthetic ones are worth, and the price of one, in real images, at which both ways cost the
        same; and the measured loss where the set was trained. Within the sizes of the mixed sets.
        """
        p, law, draws = self.params, self.surface.params, self.surface.draws
        measured = {
            (int(n), int(m)): Estimate(value, low, high, np.empty(0))
            for n, m, _, value, low, high in self.relative().itertuples(index=False)
        }
        reals = _doubled(p.mixed_sizes)
        bought = _doubled([m for _, m in measured])
        rows = []
        for n in reals:
            for m in bought:
                worth = estimate(law["k"] * m ** law["g"], draws["k"] * m ** draws["g"])
                loss = estimate(
                    _joint(law, n, worth.value) / _joint(law, n, 0.0),
                    _joint(draws, n, worth.draws) / _joint(draws, n, 0.0),
                )
                price = estimate(worth.value / m, worth.draws / m)
                seen = text(measured[n, m]) if (n, m) in measured else "not trained"
                rows.append([f"{n:,}", f"{m:,}", *map(text, (loss, worth, price)), seen])
        head = [
            "real images you have", "synthetic images you would add",
            "loss, over that of the real ones alone", "worth as many further real images",
            "worth buying while one costs at most this part of a real image",
            "measured loss, over that of the real ones alone",
        ]  # fmt: skip
        return {"head": head, "rows": rows, "dials": 2}

    def predictions(self) -> pd.DataFrame:
        """Every mixed set's measured loss and what the pure curves alone predict, by rule
        (`RULES`): columns `real`, `synthetic`, `rule`, `measured`, `predicted`, `low` and `high` of
        measured / predicted, and `covered`: whether that interval holds 1."""
        import pandas as pd

        rows = [
            (n, m, rule, measured, predicted, e.low, e.high, e.low <= 1 <= e.high)
            for n, m, rule, measured, predicted, e in self._predicted()
        ]
        columns = ["real", "synthetic", "rule", "measured", "predicted", "low", "high", "covered"]
        return pd.DataFrame(rows, columns=columns)

    def errors(self) -> dict[str, Estimate]:
        """Root mean squared error of log loss over all mixed sets, by rule."""
        found: dict[str, list[Estimate]] = {rule: [] for rule in RULES}
        for _, _, rule, _, _, e in self._predicted():
            found[rule].append(e)
        return {
            rule: estimate(
                np.sqrt(np.mean([np.log(e.value) ** 2 for e in cells])),
                np.sqrt(np.mean([np.log(e.draws) ** 2 for e in cells], axis=0)),
            )
            for rule, cells in found.items()
        }

    def worth(self) -> pd.DataFrame:
        """Synthetic images per real image by two questions, for every mixed set: when *added* to
        the real ones (m over the further real images that would have given the mixed loss), and
        when they *replace* them (m over the real images that give the loss of m synthetic ones
        alone). Columns `real`, `synthetic`, and `<question>`, `<question>_low`,
        `<question>_high`; infinite where adding does not help."""
        import pandas as pd

        real, rows = self.laws["real"], []
        for n in self.params.mixed_sizes:
            c = self._curves("loss")[f"mixed, {n}"]
            for i, m in enumerate(c.sizes):
                extra = (
                    _inverse(real.params, c.means[i]) - n,
                    _inverse(real.draws, c.draws[:, i]) - n,
                )
                alone = _replaced(self.laws, float(m))
                row: list[float] = [n, int(m)]
                for value, draws in (extra, alone):
                    with np.errstate(divide="ignore"):
                        per = m / np.maximum(np.asarray(value), 0)
                        drawn = m / np.maximum(draws, 0)
                    e = estimate(float(per), drawn)
                    row += [e.value, *e.interval]
                rows.append(row)
        ends = ["", "_low", "_high"]
        columns = [f"{question}{end}" for question in ("added", "replaced") for end in ends]
        return pd.DataFrame(rows, columns=["real", "synthetic", *columns])

    def beyond_simpler(self) -> Estimate:
        """By how much the error of the rule n + m/ρ exceeds that of the better of the two simpler
        rules (`errors`), draw by draw: below 0 where it beats both. Wider where a law does not
        describe its curve."""
        rule, *simpler = self.errors().values()
        gaps = [rule.minus(other) for other in simpler]
        found = estimate(max(g.value for g in gaps), np.max([g.draws for g in gaps], axis=0))
        return widened(found, self.misfits.factor.max())

    def change(self, real: int, above: int, below: int) -> Estimate:
        """The top-1 error at one place of the line of `real` images over that at another; place 0
        is the real images alone."""
        c = self.mixed(real, "error")
        return c.one(above).over(c.one(below))

    def instead(self, real: int, above: int, below: int) -> Estimate:
        """The control of `change`: as many further real images in the place of the synthetic ones,
        by straight lines in logs between the sizes of the real arm, its largest at most."""
        c, added = self.pure("real", "error"), self.mixed(real).sizes

        def at(place: int) -> Estimate:
            size = min(real + added[place], c.sizes[-1])
            i = int(min(np.searchsorted(c.sizes, size, side="right"), len(c.sizes) - 1))
            part = np.log(size / c.sizes[i - 1]) / np.log(c.sizes[i] / c.sizes[i - 1])
            few, many = c.one(i - 1), c.one(i)
            return estimate(
                few.value ** (1 - part) * many.value**part,
                few.draws ** (1 - part) * many.draws**part,
            )

        return at(above).over(at(below))

    def kinds(self) -> dict[str, Any]:
        """All results, by kind."""
        return self.runs

    @cache  # noqa: B019 - a study lives as long as its page
    def _curves(self, metric: str) -> dict[str, Curve]:
        """All arms, from one model of noise; runs that hold the same real images are a block."""
        p = self.params
        sizes: dict[str, Sequence[int]] = {"real": p.real_sizes, "synthetic": p.synthetic_sizes}
        trained, blocks = dict(sizes), dict(sizes) | {"synthetic": [-m for m in p.synthetic_sizes]}
        for n in p.mixed_sizes:
            arm = f"mixed, {n}"
            sizes[arm] = p.added(n)
            trained[arm], blocks[arm] = [n + m for m in p.added(n)], [n] * len(p.added(n))
        count = len(p.shares)
        sizes["weighted"] = range(count)
        trained["weighted"] = [p.weighted_size + p.weighted_added] * count
        blocks["weighted"] = [p.weighted_size] * count
        return curves(
            {arm: self.runs[arm] for arm in sizes},
            sizes,
            trained=trained,
            blocks=blocks,
            metric=metric,
            resamples=p.resamples,
            seed=p.seed,
        )

    def _predicted(self) -> list[tuple[int, int, str, float, float, Estimate]]:
        """(real, synthetic, rule, measured, predicted, measured / predicted) of every mixed set."""
        real, synthetic = self.laws["real"], self.laws["synthetic"]
        rows = []
        for n in self.params.mixed_sizes:
            c = self._curves("loss")[f"mixed, {n}"]
            for i, m in enumerate(c.sizes.tolist()):
                like, like_draws = _replaced(self.laws, float(m))
                by_rule = {
                    "n + m/ρ": (
                        _value(real.params, n + like), _value(real.draws, n + like_draws)
                    ),
                    "n + m": (_value(real.params, n + m), _value(real.draws, n + m)),
                    "n or m": (
                        np.minimum(_value(real.params, n), _value(synthetic.params, m)),
                        np.minimum(_value(real.draws, n), _value(synthetic.draws, m)),
                    ),
                }  # fmt: skip
                for rule, (value, draws) in by_rule.items():
                    e = estimate(float(c.means[i] / value), c.draws[:, i] / draws)
                    rows.append((n, m, rule, float(c.means[i]), float(value), e))
        return rows


def _joint(law: Mapping[str, Any], real: int, worth: Any) -> Any:
    """The loss of the joint law where the synthetic images are worth so many real ones."""
    return law["E"] + law["B"] * (real + worth) ** -law["beta"]


def _doubled(sizes: Sequence[int]) -> list[int]:
    """Some sizes and, from the smallest on, its doublings below the largest."""
    low, high = min(sizes), max(sizes)
    steps = [low * 2**i for i in range(int(np.log2(high / low)) + 1)]
    return sorted({*sizes, *steps})


def _value(law: dict[str, float] | dict[str, Array], size: float | Array) -> Array:
    """E + a D^-k for parameters or draws (B,) of them; the floor E for infinite D."""
    return np.asarray(law["E"] + law["a"] * np.power(size, -np.asarray(law["k"])))


def _inverse(law: dict[str, float] | dict[str, Array], loss: float | Array) -> Array:
    """Size at which E + a D^-k has fallen to a loss; infinite at or below the floor."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):  # a flat draw says nothing
        excess = np.maximum(np.asarray(loss) - law["E"], 0)
        return np.power(excess / law["a"], -1 / np.asarray(law["k"]))


def _replaced(laws: dict[str, Fit], synthetic: float) -> tuple[float, Array]:
    """Real images that alone give the loss of so many synthetic ones alone, and draws of it."""
    from dataworth.fit import equivalence

    answer = equivalence(laws["synthetic"], laws["real"], at=synthetic)
    with np.errstate(divide="ignore"):
        return answer.n_real, synthetic / answer.ratio_draws


@keep
def run(params: Mixing, store: Store | None = None) -> Mixed:
    """Run what is missing and collect the study; the pure arms are those of *synthetic scaling*."""
    params.preflight()
    _, grid = params.stored(PURE)
    for n in params.mixed_sizes:
        grid[f"mixed, {n}"] = [params.mixed(n, m) for m in params.added(n)]
    n, m = params.weighted_size, params.weighted_added
    grid["weighted"] = [params.mixed(n, m, share) for share in params.shares]
    return Mixed(params, run_classifiers(grid, store or Store()))
