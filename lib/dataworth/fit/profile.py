"""Profile intervals of any scalar of the parameters.

The profile at psi = c is traced by adding K/2 gap(z, c)^2 to the objective. The minimum of that
sum is the exact constrained optimum at the psi it reaches, whatever K is, so each solve yields
one exact point of the profile. All values of one side are one batch.

An interval is {psi : 2 (O(psi) - O_min) / s <= t^2}, with t Student's quantile and s the
dispersion of the objective at its minimum (`minimum`). The root of a floor itself is corrected for
its bound (`near_zero`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from dataworth.arrays import Array

from . import misfit
from .gaps import Floor, Gap, Quantity
from .minimum import Minimum, State, student_quantile
from .solver import Expansion, Joint, Problem, Status, lifted, minimise

FAR = 100.0
DEAR = 50_000  # values that one evaluation holds, above which a point of a profile is dear


class Better(Exception):
    """A profile met a point z (f,) with a lower objective than the estimate's: no interval holds
    until the estimate is moved there (the "new minimum" of MINOS, James and Roos 1975)."""

    def __init__(self, z: Array) -> None:
        super().__init__("the profile met a lower objective than the estimate's")
        self.z = z


@dataclass(frozen=True)
class Trace:
    """Points of a profile: psi and the signed root of the scaled deviance, (m,) ascending."""

    psi: Array
    root: Array


class Constrained:
    """A problem plus stiffness/2 gap(z, c)^2; c rides as the last column of the target."""

    def __init__(self, base: Problem | Joint, gap: Gap, stiffness: float) -> None:
        self.base, self.gap, self.stiffness = base, gap, stiffness
        self.lower, self.upper, self.work = base.lower, base.upper, base.work
        self.quadratic = base.quadratic
        self.reweighted_steps = base.reweighted_steps

    def value(self, z: Array, target: Array, weights: Array) -> Array:
        with np.errstate(all="ignore"):
            data = self.base.value(z, target[:, :-1], weights[:, :-1])
            total = data + self.stiffness / 2 * self.gap.value(z, target[:, -1]) ** 2
        return np.where(np.isfinite(total), total, np.inf)

    def derivatives(self, z: Array, target: Array, weights: Array, newton: bool) -> Expansion:
        with np.errstate(all="ignore"):
            total, gradient, hessian = self.base.derivatives(
                z, target[:, :-1], weights[:, :-1], newton
            )
            gap, slope, bend = self.gap.derivatives(z, target[:, -1], newton)
            total = total + self.stiffness / 2 * gap**2
            gradient = gradient + self.stiffness * gap[:, None] * slope
            hessian = hessian + self.stiffness * slope[:, :, None] * slope[:, None, :]
            if newton:
                hessian = hessian + self.stiffness * gap[:, None, None] * bend
        return np.where(np.isfinite(total), total, np.inf), gradient, hessian


class Profile:
    """Deviance of an objective as a function of a constrained scalar, traced where it is asked.

    `centre` is the scalar at the estimate, which may be infinite; `scale` divides the deviance;
    `dof` degrees of freedom. `floor`: the scalar is a parameter that cannot fall below zero; its
    roots are then those of `near_zero`.
    """

    def __init__(
        self,
        at: State,
        gap: Gap,
        centre: float,
        scale: float,
        dof: float,
        floor: Floor | None = None,
    ) -> None:
        self.at, self.gap, self.centre, self.scale, self.dof = at, gap, centre, scale, dof
        self.problem, self.floor, z = at.problem, floor, at.z[None]
        self.base = float(self.problem.value(z, at.target[None], at.weights[None])[0])
        # a decrease that is worth another start: seen in the deviance, and above rounding
        rounding = float((at.weights * (1e-14 * (1 + np.abs(at.target))) ** 2).sum())
        self.worth = 5e-4 * scale + 1e-9 * abs(self.base) + rounding
        self.origin = origin(centre)
        c, h = np.array([self.origin]), 1e-4
        slope = gap.slope(at.z, self.origin)
        change = float((gap.value(z, c + h) - gap.value(z, c - h))[0]) / (2 * h)
        gap_error = float(np.sqrt(max(float(slope @ at.inverse @ slope) * scale, 0.0)))
        error = gap_error / abs(change) if change else 0.0
        error = error if np.isfinite(error) and error > 0 else 0.1 * max(abs(self.origin), 1e-3)
        if floor is not None and np.exp(at.z[floor.at] + floor.shift) < 0.01 * floor.unit:
            # the log of a floor near zero is flat, so that slope says nothing about the floor
            error = 0.05 * floor.unit
        self.error = min(error, 1e3)
        unit = gap_error if change == 0 else abs(change) * self.error
        # so stiff that the point reached lies 1e-4 of the way back from c to the estimate, and not
        # stiffer, which would spoil the condition of the Hessian
        self.constrained = Constrained(self.problem, gap, 1e4 * scale / max(unit, 1e-12) ** 2)
        self.z, self.psi, self.root = z, np.array([centre]), np.array([0.0])
        if floor is not None:
            self.trace(np.zeros(1))

    def roots(self) -> Array:
        """Signed roots (m,) of the points traced so far: Student-t distributed under the truth."""
        if self.floor is None:
            return self.root
        return near_zero(self.psi, self.root, self.centre, self.dof)

    def trace(self, c: Array) -> None:
        """Solve for the values c and keep the exact profile points that they lead to."""
        floor, problem = self.floor, self.problem
        if floor is not None and self.centre == 0:  # `near_zero` asks for the halves
            c = np.concatenate([c, c / 2])
        known = np.clip(self.psi, -1e6, 1e6)
        start = self.z[np.abs(known[:, None] - c).argmin(0)]
        count = len(c)
        if floor is None:
            start = lifted(start, problem.floors)
            variants = len(start)
            start, c = start.reshape(-1, start.shape[-1]), np.tile(c, variants)
        t, w = (np.broadcast_to(a, (len(c), len(a))) for a in (self.at.target, self.at.weights))
        if floor is not None:  # z of the floor's own value
            start[:, floor.at] = np.log(np.maximum(c, 1e-12 * floor.unit)) - floor.shift
            start = np.clip(start, problem.lower, problem.upper)
        else:  # close the gap along the direction that costs least
            gap, slope, _ = self.gap.derivatives(start, c, False)
            along = slope @ self.at.inverse
            size = np.maximum((slope * along).sum(1), 1e-300)
            trial = start - (gap / size)[:, None] * along
            trial = np.clip(trial, problem.lower, problem.upper)
            with np.errstate(all="ignore"):
                good = np.isfinite(problem.value(trial, t, w))
            start = np.where(good[:, None], trial, start)
        both = np.concatenate([t, c[:, None]], 1), np.concatenate([w, np.ones((len(c), 1))], 1)
        found = minimise(
            self.constrained, start, *both,
            tolerance=1e-9, enough=1e-6 * self.scale, max_iterations=100,
        )  # fmt: skip
        best = found.objective.reshape(-1, count).argmin(0) * count + np.arange(count)
        end, c, t, w = found.z[best], c[:count], t[:count], w[:count]
        reached = self.gap.reached(end, c)
        value = problem.value(end, t, w)
        if value.min() < self.base - self.worth:
            raise Better(end[value.argmin()])
        deviance = 2 * (value - self.base) / self.scale
        # a constraint that could not be met says nothing about this value, but what was reached on
        # the way to it is a point of the profile all the same, where the search came to rest
        ok = np.abs(reached - c) <= 0.3 * self.error + 0.05 * np.abs(c - self.origin)
        between = (reached - self.origin) * (c - reached) > 0
        ok |= between & (found.status[best] != Status.MAX_ITERATIONS)
        ok &= np.isfinite(reached) & np.isfinite(deviance)
        side = np.sign(reached - self.centre) if np.isfinite(self.centre) else -np.sign(self.centre)
        self.z = np.concatenate([self.z, end[ok]])
        self.psi = np.concatenate([self.psi, reached[ok]])
        root = side * np.sqrt(np.maximum(deviance, 0))
        self.root = np.concatenate([self.root, root[ok]])

    def p_value(self, c: float) -> float:
        """Two-sided p-value of "the scalar has the value c"."""
        return float(2 * special.stdtr(max(self.dof, 1), -abs(self.deviance(c))))

    def deviance(self, c: float) -> float:
        """Signed root deviance at one value: Student-t distributed when c is true."""
        if c == self.centre:
            return 0.0
        self.trace(np.array([c]))
        at = np.abs(np.clip(self.psi, -1e9, 1e9) - c).argmin()
        if not np.isfinite(self.psi[at]) or abs(self.psi[at] - c) > 0.3 * self.error:
            return float(np.copysign(np.inf, c - self.centre))
        root = float(self.roots()[at])
        if not np.isfinite(self.centre):
            return root
        if self.psi[at] == self.centre:  # c is beside the estimate
            return (c - self.centre) / self.error
        # the point reached lies beside c; the root is close to linear in between
        return float(root * (c - self.centre) / (self.psi[at] - self.centre))

    def ends(self, level: float, low: float = -np.inf, high: float = np.inf) -> tuple[float, float]:
        """Both ends; the limits `low`, `high` where the data do not close them."""
        quantile = student_quantile(level, self.dof)
        return self.end(-1, quantile, low), self.end(1, quantile, high)

    def end(self, side: int, quantile: float, limit: float) -> float:
        """End on one side: the farthest value not rejected; `limit` if none is rejected."""
        if not np.isfinite(self.centre) and side == np.sign(self.centre):
            return float(self.centre)
        outward = side if np.isfinite(self.centre) else int(-np.sign(self.centre))
        # a problem of many rows is one search at a time, and nearly quadratic: few points then
        dear = self.problem.work > DEAR and np.isfinite(self.centre) and self.centre != 0
        steps = np.array([1.02] if dear else [0.6, 1.0, 1.6, 2.5, 4.0]) * quantile * self.error
        if not np.isfinite(self.centre):
            self.trace(self.origin - outward * np.array([0.0, 10.0, 40.0, 160.0]))
            steps = np.array([1.0, 2.0, 4.0, 8.0, 14.0])
        for _ in range(12 if dear else 6):
            c = self.origin + outward * steps
            beyond = (c - limit) * outward >= 0
            c = np.unique(np.where(beyond, limit, c))
            self.trace(c[np.isfinite(c)])
            if (outward * self.roots() >= quantile).any() or beyond.all():
                break
            steps = steps * (1.6 if dear else 8) + 1e-12
            if steps[0] > 1e4 * max(1.0, abs(self.origin)):
                break
        if not (outward * self.roots() >= quantile).any():
            return limit
        guess = np.inf
        for _ in range(8):
            p, r = outward * self.psi, outward * self.roots()
            rejected = r >= quantile
            outer = p[rejected].min()
            inside = ~rejected & (p < outer)
            if not inside.any():
                return float(outward * outer)
            inner = p[inside].max()
            if not np.isfinite(inner):  # only the infinite estimate itself lies inside so far
                return float(self.centre)
            ra, rb = r[inside][p[inside].argmax()], r[rejected][p[rejected].argmin()]
            width = outer - inner
            last = guess
            guess = inner + width * float(np.clip((quantile - ra) / max(rb - ra, 1e-12), 0, 1))
            if width < 1e-3 * self.error or abs(guess - last) < 1e-3 * self.error:
                return float(outward * guess)
            before = len(self.psi)
            between = [(inner + guess) / 2, (guess + outer) / 2]
            self.trace(outward * np.array([guess, *([] if dear else between)]))
            if len(self.psi) == before:  # nothing between can be reached
                return float(outward * outer)
        return float(outward * guess)

    def points(self) -> Trace:
        order = np.argsort(self.psi)
        return Trace(self.psi[order], self.root[order])


def near_zero(psi: Array, root: Array, centre: float, dof: float) -> Array:
    """Signed roots (m,) of a scalar that cannot be negative, corrected for that bound.

    Where the bound cuts off part of the estimates, the restricted deviance of the truth is smaller
    than Student's t promises, and intervals are too wide. This is the ordering of Feldman and
    Cousins (1998, section IV B) for a mean near a bound, with Student's t for the normal: with the
    value d standard errors above zero, a root r > d has the probability P(T > (d^2 + r^2) / 2d) on
    the side of the bound, not P(T > r). psi, root: traced points, zero among them. d is the root's
    way from zero or, for an estimate of zero, follows from the deviance at psi and at psi / 2,
    d^2 + 2 d s and d^2 / 4 + d s, where s is the part cut off.
    """
    order = np.argsort(psi)
    size = np.abs(root)
    if centre > 0:
        d = root - np.interp(0.0, psi[order], root[order])
    else:
        half = np.interp(psi / 2, psi[order], root[order] ** 2)
        d = np.sqrt(np.maximum(2 * root**2 - 4 * half, 0))
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        beyond = np.where(size > 0, (d * d + root**2) / (2 * d), 0.0)
    other = np.where((size <= d) | ((root > 0) & (centre > 0)), size, beyond)
    nearer = np.minimum(size, other)
    tail = special.stdtr(dof, -size) + special.stdtr(dof, -other)
    # where both probabilities are one, or too small to be told from zero, the nearer root decides
    mixed = (size != other) & (tail > 1e-290)
    safe = np.where(mixed, tail / 2, 0.25)
    return np.sign(root) * np.where(mixed, -special.stdtrit(dof, safe), nearer)


def origin(centre: float) -> float:
    """Where a profile starts: the estimate or, where that is infinite, far out on its side (14 in
    logs is a factor of a million)."""
    return centre if np.isfinite(centre) else float(np.sign(centre)) * 14.0


def traced(at: Minimum, quantity: Quantity) -> Profile | None:
    """The profile of a quantity; none when no rows are to spare."""
    gap, centre, slope = at.tangent(quantity)
    scale, dof = at.noise(slope)
    floor = quantity.floor
    if floor is not None and at.z[floor.at] <= at.problem.lower[floor.at]:
        centre = 0.0
    return None if dof < 1 else Profile(at, gap, centre, scale, dof, quantity.floor)


def identified(at: Minimum, quantity: Quantity) -> bool:
    """Whether the rows determine a quantity to first order."""
    return not misfit.free_directions(at, at.tangent(quantity)[2][None])[0]


def profile_ends(at: Minimum, quantity: Quantity, level: float) -> tuple[float, float]:
    """Ends of psi; infinite where the data do not close them."""
    least, most = quantity.limits
    if quantity.floor is None and not identified(at, quantity):
        return (0.0 if least == 0 else -np.inf), np.inf
    found = traced(at, quantity)
    low, high = quantity.limits if found is None else found.ends(level, least, most)
    # the edge of the law's range is no end that the data gave, except a natural zero or top; nor is
    # a factor of e^100, at which a search stops for want of numbers
    far = FAR if quantity.logarithmic and found is not None else np.inf
    centre = found.origin if found is not None else 0.0
    if (low <= least and least != 0) or low < centre - far:
        low = -np.inf
    if (high >= most and not quantity.closed) or high > centre + far:
        high = np.inf
    return low, high


def p_value(at: Minimum, quantity: Quantity, psi: float) -> float:
    """Two-sided p-value of "the quantity is psi"; nan when no rows are to spare."""
    found = traced(at, quantity)
    return float("nan") if found is None else found.p_value(psi)
