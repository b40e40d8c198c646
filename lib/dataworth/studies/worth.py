"""What a real example is worth in synthetic ones, as a curve over the number of real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from dataworth.arrays import Array
from dataworth.stats import Estimate, estimate, first_and_rest, not_measured
from dataworth.studies.curves import widened

if TYPE_CHECKING:
    import pandas as pd

    from dataworth.fit import Equivalence, Fit

POINTS = 7
"""Places at which the measured part of the curve is evaluated."""


@dataclass(frozen=True)
class Worth:
    """The data-equivalence ratio of two laws with draws, fitted to curves on these sizes (n,) each.

    factor: by how much the laws' lack of fit widens the ratio, on its log scale.
    """

    synthetic: Fit
    real: Fit
    synthetic_sizes: Sequence[int]
    real_sizes: Sequence[int]
    factor: float = 1.0

    def at(self, real: float) -> Estimate:
        """Synthetic examples per real one of equal loss, at so many real ones."""
        from dataworth.fit import equivalence

        return self._ratio(equivalence(self.synthetic, self.real, at_real=float(real)))

    def _ratio(self, found: Equivalence) -> Estimate:
        return widened(estimate(found.ratio.value, found.ratio_draws), self.factor, log=True)

    def _beside(self, size: int) -> Equivalence:
        """A synthetic set against the real one of equal loss."""
        from dataworth.fit import equivalence

        return equivalence(self.synthetic, self.real, at=float(size))

    @cached_property
    def crossing(self) -> Estimate:
        """Number of real examples whose loss equals that of the largest synthetic set."""
        size = self.synthetic_sizes[-1]
        found = self._beside(size)
        ratio = self._ratio(found)
        with np.errstate(divide="ignore"):
            draws, low, high = (np.divide(size, r) for r in (ratio.draws, ratio.high, ratio.low))
        return Estimate(found.n_real, float(low), float(high), draws)

    @cached_property
    def measured(self) -> tuple[int, int] | None:
        """The ends of what is interpolated: numbers of real examples whose equivalent lies among
        the synthetic sizes that were run. None where they are less than a factor 1.5 apart."""
        low = max(self._beside(self.synthetic_sizes[0]).n_real, self.real_sizes[0])
        high = min(self.crossing.value, self.real_sizes[-1])
        return (round(low), round(high)) if 0 < 1.5 * low < high else None

    @cached_property
    def table(self) -> pd.DataFrame:
        """The curve: index `real images`, over the `measured` range and beyond it up to the largest
        real set; the `ratio` with its interval, the fraction of draws in which it is `infinite`,
        and whether the place is `measured`."""
        import pandas as pd

        last = self.real_sizes[-1]
        first, end = self.measured or (self.real_sizes[0], last)
        inside, beyond = (
            np.geomspace(first, end, POINTS, dtype=float),
            np.geomspace(end, last, 3, dtype=float)[1:],
        )
        sizes = np.unique(np.round([*inside, *beyond]).astype(int)).tolist()
        found = {n: self.at(n) for n in sizes}
        rows = {
            n: (e, float(np.isposinf(e.draws).mean()), self.measured is not None and n <= end)
            for n, e in found.items()
        }
        columns = ["ratio", "infinite", "measured"]
        whole = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
        return whole.rename_axis("real images")

    def reached(self, low: float, high: float) -> Estimate:
        """The value of the measured curve that comes closest to a published range: its largest if
        all lie below, its smallest if all lie above, else the geometric middle of what they have in
        common. Draw by draw, of the whole curve."""
        if (curve := self._curve()) is None:
            return _NOWHERE
        least, most = curve.min(1), curve.max(1)
        within = np.sqrt(np.maximum(least, low) * np.minimum(most, high))
        closest = np.where(most < low, most, np.where(least > high, least, within))
        return first_and_rest(closest)

    def growth(self) -> Estimate:
        """d log ratio / d log n between the ends of the measured range; of two straight lines it
        is k real / k synthetic - 1."""
        if (curve := self._curve()) is None:
            return _NOWHERE
        sizes = self.table.index[self.table.measured]
        with np.errstate(invalid="ignore", divide="ignore"):
            rise = np.log(curve[:, -1]) - np.log(curve[:, 0])
        return first_and_rest(rise / np.log(sizes[-1] / sizes[0]))

    def _curve(self) -> Array | None:
        """(1 + B, m): the measured curve, then its draws."""
        rows = self.table.ratio[self.table.measured]
        return np.stack([[e.value, *e.draws] for e in rows], 1) if len(rows) > 1 else None


_NOWHERE = not_measured(
    "The two curves share no range of losses over which they could be compared."
)
