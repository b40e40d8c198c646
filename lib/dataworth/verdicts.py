"""Five verdicts from three things: an interval, the region that agrees, the smallest effect that
matters; why each is what it is, and how likely it is by chance. Numbers and their words only:
claims, and the files that hold them, are in `claims`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any, Literal

from dataworth.tables import signed

TAIL = 0.025  # of a 95 % interval, on each side
Z = 1.959963984540054  # standard normal quantile at 1 - TAIL
POWER = 1 + 0.8416212335729143 / Z  # half widths that are seen in 80 of 100 repetitions
WITHIN_REACH = 100  # times as many runs: more are not proposed
QUANTILES = 401  # kept of an estimate's draws: levels 0, 1/400 ... 1, the ends of 95 % among them


class Verdict(StrEnum):
    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    NO_EFFECT = "no effect"
    INCONCLUSIVE = "inconclusive"
    NOT_MEASURABLE = "not measurable here"


DEFINITE = (Verdict.SUPPORTED, Verdict.CONTRADICTED, Verdict.NO_EFFECT)


@dataclass(frozen=True)
class Rule:
    """What an interval is held against.

    region: the values that agree with the claim, ends included. no_effect: the value that means no
    effect (0 of a difference, 1 of a ratio), not inside the region, on its edge at most; None where
    the claim is on no effect. matters: the smallest effect that matters, above 0, or None.

    Raises ValueError where these do not go together.
    """

    region: tuple[float, float]
    no_effect: float | None = None
    matters: float | None = None

    def __post_init__(self) -> None:
        low, high = self.region
        if not low <= high:
            raise ValueError(f"region {self.region} has its ends the wrong way round")
        if self.no_effect is not None:
            if self.matters is None or not self.matters > 0:
                raise ValueError("no_effect needs the smallest effect that matters, above 0")
            if low < self.no_effect < high:
                raise ValueError(f"no_effect {self.no_effect} lies inside region {self.region}")

    @property
    def nothing(self) -> tuple[float, float] | None:
        """The values that differ from `no_effect` by no more than `matters`."""
        if self.no_effect is None or self.matters is None:
            return None
        return self.no_effect - self.matters, self.no_effect + self.matters

    def verdict(self, interval: tuple[float, float], unmeasurable: str = "") -> Verdict:
        """The verdict on an estimate with this 95 % interval; its ends may be infinite.

        Not measurable where a reason is given. No effect where the whole interval lies in
        `nothing` (the two one-sided tests of Schuirmann 1987, at 2.5 % each), in the region or
        not: an effect of which one is sure that it is too small to matter is none. Supported where
        it lies in the region, contradicted where the two do not meet, else inconclusive, as with an
        end that is NaN (not identified).

        Raises ValueError where the interval is upside down.
        """
        if unmeasurable:
            return Verdict.NOT_MEASURABLE
        low, high = interval
        if math.isnan(low) or math.isnan(high):
            return Verdict.INCONCLUSIVE
        if low > high:
            raise ValueError(f"interval {interval} has its ends the wrong way round")
        if self.nothing and _within(interval, self.nothing):
            return Verdict.NO_EFFECT
        if _within(interval, self.region):
            return Verdict.SUPPORTED
        return Verdict.CONTRADICTED if self.side(interval) else Verdict.INCONCLUSIVE

    def side(self, interval: tuple[float, float]) -> Literal["", "below", "above"]:
        """On which side of the region the whole interval lies, "" where they meet."""
        if interval[1] < self.region[0]:
            return "below"
        return "above" if interval[0] > self.region[1] else ""

    def more(self, value: float, interval: tuple[float, float]) -> float:
        """How many times as many runs of this size would make the verdict definite, if the estimate
        stays and its interval narrows with the square root of their number.

        Infinite where none would: the estimate lies on an edge, or the interval has an open end on
        the side that decides. NaN where estimate or interval are not known, or apart.
        """
        low, high = interval
        if not low <= value <= high or math.isinf(value):
            return math.nan
        down, up = value - low, high - value

        def narrowed(first: float, last: float) -> float:
            """The largest factor of both half widths with which the interval lies within."""
            if not first <= value <= last:
                return 0.0
            rooms = ((value - first, down), (last - value, up))
            return min((room / half for room, half in rooms if half and room < math.inf), default=1)

        zones = [self.region, (-math.inf, self.region[0]), (self.region[1], math.inf)]
        best = max(narrowed(*zone) for zone in [*zones, *([self.nothing] if self.nothing else [])])
        return max(1.0, best**-2) if best > 0 else math.inf


def _within(inner: tuple[float, float], outer: tuple[float, float]) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def detectable(interval: tuple[float, float], correlation: bool = False) -> float:
    """The effect that an interval as wide as this one excludes from being none in 80 of 100
    repetitions: (1.96 + 0.84) / 1.96 of the half width; of a correlation that of its Fisher
    transform, on which its interval is symmetric: at most 1, which is no correlation at all."""
    low, high = interval
    if not correlation:
        return POWER * (high - low) / 2
    if math.isnan(low + high):
        return math.nan
    if min(1 + low, 1 - high) <= 0:
        return 1.0
    return math.tanh(detectable((math.atanh(low), math.atanh(high))))


def at_chance(value: float, interval: tuple[float, float], chance: float, of: str) -> str:
    """Why changes of a level (accuracy, area under the ROC curve) say nothing where it is not three
    standard errors above chance, and which level this design would tell from chance; "" where it
    is. Its standard error is its 95 % interval's half width over 1.96; an unknown level is at
    chance. of: what it is the level of."""
    least = chance + 3 * (interval[1] - interval[0]) / 2 / Z
    if value > least:
        return ""
    text = (
        f"The level of {of}, {number(value)} {span(interval)}, is not three standard errors above "
        f"chance ({number(chance)})"
    )
    return text + (f"; it takes {number(least)} to be." if math.isfinite(least) else ".")


@dataclass(frozen=True)
class Spread:
    """Where the truth may lie, given the estimate.

    quantiles (QUANTILES,): of the estimate's draws, of which there were `count`. Without them the
    approximation is normal on either side of the estimate, with the half widths of its 95 %
    interval for 1.96 standard errors.
    """

    value: float
    interval: tuple[float, float]
    quantiles: Sequence[float] = ()
    count: int = 0

    @property
    def least(self) -> float:
        """The smallest share that so many draws can tell from none."""
        return 1 / (self.count + 1) if self.quantiles else 0.0

    def below(self, x: float) -> float:
        """Share of it below x."""
        if self.quantiles:
            return _share(self.quantiles, x)
        return _half_normal(self.value, self.interval, x)

    def above(self, x: float) -> float:
        """Share of it above x."""
        low, high = self.interval
        mirrored = [-q for q in reversed(self.quantiles)]
        return Spread(-self.value, (-high, -low), mirrored, self.count).below(-x)


def _share(quantiles: Sequence[float], x: float) -> float:
    if x > quantiles[-1]:
        return 1.0
    for at, (a, b) in enumerate(pairwise(quantiles)):
        if x <= a:
            return 0.0 if at == 0 else at / (len(quantiles) - 1)
        if x <= b:
            part = (x - a) / (b - a) if math.isfinite(b - a) else float(x == b)
            return (at + part) / (len(quantiles) - 1)
    return 1.0


def _half_normal(value: float, interval: tuple[float, float], x: float) -> float:
    low, high = interval
    if x in (-math.inf, math.inf):
        return float(x > 0)
    if math.isinf(value):  # the interval alone says something: TAIL lies below it
        return (TAIL if x <= low else 0.5) if value > 0 else (1 - TAIL if x > high else 0.5)
    middle = min(max(value, low), high)
    half = middle - low if x < middle else high - middle
    if half == 0:
        return float(x > middle)
    return 0.5 * math.erfc(-(x - middle) * Z / half / math.sqrt(2))


def summary(draws: Any, interval: tuple[float, float]) -> dict[str, Any] | None:
    """What a ledger keeps of an estimate's draws (B,): how many are known (`count`) and QUANTILES
    of them, six significant digits. None where there are none, or where the interval is not
    theirs but a wider one (as of the best of several arms)."""
    import numpy as np

    from dataworth.stats import interval as ends

    drawn = np.asarray(draws, dtype=float)
    known = np.sort(drawn[~np.isnan(drawn)])
    if len(known) < 2 or not np.allclose(ends(drawn), interval, rtol=1e-6, atol=0):
        return None
    half = QUANTILES // 2
    pairs = [ends(known, 1 - 2 * i / (QUANTILES - 1)) for i in range(1, half)]
    middle = known[(len(known) - 1) // 2]
    lows, highs = [pair[0] for pair in pairs], [pair[1] for pair in reversed(pairs)]
    found = [known[0], *lows, middle, *highs, known[-1]]
    return {"count": len(known), "quantiles": [float(f"{value:.6g}") for value in found]}


def p_value(rule: Rule, spread: Spread) -> float:
    """The smallest alpha at which the interval of level 1 - alpha of this spread would give a
    definite verdict: twice the larger tail outside the zone that is easiest to lie in (region,
    below it, above it, no effect). NaN where the interval is not known."""
    if any(map(math.isnan, spread.interval)):
        return math.nan
    low, high = rule.region
    inside = max(spread.below(low), spread.above(high))
    tails = [inside, 1 - spread.below(low), 1 - spread.above(high)]
    if rule.nothing:
        tails.append(max(spread.below(rule.nothing[0]), spread.above(rule.nothing[1])))
    return min(1.0, 2 * max(min(tails), spread.least))


def wrong(rule: Rule, spread: Spread, verdict: Verdict) -> float:
    """The share of the spread that lies where a definite verdict says that the truth does not: with
    a flat prior the probability that the verdict is wrong by chance; 0 of the other verdicts."""
    if verdict not in DEFINITE:
        return 0.0
    if verdict is Verdict.CONTRADICTED:
        below = rule.side(spread.interval) == "below"
        share = 1 - (spread.below(rule.region[0]) if below else spread.above(rule.region[1]))
    else:
        low, high = rule.nothing if verdict is Verdict.NO_EFFECT and rule.nothing else rule.region
        share = spread.below(low) + spread.above(high)
    return max(share, spread.least)


def q_values(p_values: Mapping[Any, float]) -> dict[Any, float]:
    """The smallest false discovery rate at which each would be a discovery among all of them,
    whatever their dependence (Benjamini and Yekutieli 2001); NaN ones are left out."""
    # scipy.stats.false_discovery_control does the same; to import it takes as long as all else that
    # a build with nothing to do does.
    known = sorted(
        ((p, key) for key, p in p_values.items() if not math.isnan(p)), key=lambda pair: pair[0]
    )
    harmonic = sum(1 / rank for rank in range(1, len(known) + 1))
    found, least = {}, 1.0
    for rank, (p, key) in reversed(list(enumerate(known, 1))):
        least = min(least, p * harmonic * len(known) / rank)
        found[key] = least
    return {key: found[key] for key in p_values if key in found}


# ---- Words --------------------------------------------------------------------------------------


def reason(
    by: Rule,
    value: float,
    interval: tuple[float, float],
    verdict: Verdict,
    unmeasurable: str = "",
    settles: str = "",
    correlation: bool = False,
) -> str:
    """Why a verdict is what it is; of one that is inconclusive, what would settle it: `settles`, in
    a sentence, where the interval is no matter of more runs."""
    if verdict is Verdict.NOT_MEASURABLE:
        return unmeasurable
    if any(map(math.isnan, interval)):
        return "The runs do not identify this quantity."
    if verdict is Verdict.NO_EFFECT:
        return (
            f"The interval {span(interval)} lies within {number(by.matters)} of "
            f"{number(by.no_effect)}, which means no effect; less does not matter."
        )
    where = {Verdict.SUPPORTED: "lies inside", Verdict.INCONCLUSIVE: "reaches beyond"}
    placed = where.get(verdict) or f"lies {by.side(interval)}"
    text = f"The interval {span(interval)} {placed} the claimed range {span(by.region)}."
    if verdict is not Verdict.INCONCLUSIVE:
        return text
    if settles:
        return f"{text} {settles}"
    times = by.more(value, interval)
    if times <= WITHIN_REACH:
        text += (
            f" About {number(max(1.1, math.ceil(10 * times) / 10))} times as many runs of this "
            "size would settle it, if the estimate stays and intervals narrow as 1/√n."
        )
    else:
        text += " No number of runs of this size can be promised to settle it: " + (
            "an end of the interval is open or the estimate lies on an edge."
            if not math.isfinite(times)
            else f"it would take more than {WITHIN_REACH} times as many."
        )
    return text + seen(by, interval, correlation)


def seen(by: Rule, interval: tuple[float, float], correlation: bool = False) -> str:
    """Which effect would be seen, and which would matter; "" where none is asked for."""
    effect = detectable(interval, correlation)
    if not by.nothing or not math.isfinite(effect):
        return ""
    what = f"{'a correlation' if correlation else 'an effect'} of {number(effect)}"
    if correlation and effect > 0.995:  # 1 in three digits
        what = "no correlation, however strong,"
    least = number(by.matters)
    return f" As it is, {what} would be seen in 80 of 100 repetitions; {least} would matter."


def number(value: float | str | None) -> str:
    """Three significant digits for a reader; "inf" and null as in a results file, text as it is."""
    if value in ("inf", "-inf"):
        value = float(value)
    if isinstance(value, str):
        return value
    if value is None or math.isnan(value):
        return "not identified"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if 1e3 <= abs(value) < 1e7:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"


def span(interval: Sequence[float | str | None]) -> str:
    """An interval for a reader, such as "[0.4, ∞]"."""
    return f"[{number(interval[0])}, {number(interval[1])}]"


def estimated(line: Mapping[str, Any]) -> str:
    """Estimate, interval and unit of a line of a ledger; words where nothing was measured, and
    instead of an interval whose ends are both infinite, as the estimate is."""
    if line["estimate"] is None and line["verdict"] == Verdict.NOT_MEASURABLE:
        return "not measured"
    middle, ends = number(line["estimate"]), span(line["interval"])
    if ends == f"[{middle}, {middle}]" and "∞" in ends:
        return f"{middle} {line['unit']}, at both ends of the interval".replace(" ,", ",")
    return signed(f"{middle} {ends} {line['unit']}".strip())
