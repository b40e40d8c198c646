"""The laws that come with the library, each with its source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dataworth.arrays import Array
from dataworth.errors import UserError, did_you_mean

from . import laws, written
from .accuracy import Exponential, Sigmoid
from .backend import namespace
from .laws import BasisLaw, Curvature, Law, Param, Slopes
from .powers import PowerSum, Term


class M3(BasisLaw):
    """M3 of Alabdulmohsin et al. 2022 (arXiv 2209.06640): f = b (1/x + g)^k."""

    name = "m3"
    variables = ("x",)
    latex = r"L(x) = b (1/x + g)^{k}"
    amplitudes = 1
    params = (Param("b"), Param("k", log=False, lower=0.0, upper=5.0), Param("g", zero=True))

    def log_basis(self, eta: Array, x: Array) -> tuple[list[Array], Slopes]:
        xp = namespace(eta)
        g = xp.exp(eta[:, 1, None])
        base = 1 / x[..., 0] + g
        log_base = xp.log(base)
        return [eta[:, 0, None] * log_base], [{0: log_base, 1: eta[:, 0, None] * g / base}]

    def grid(self, x: Array, size: int) -> Array:
        side = max(4, round(size**0.5))
        reach = np.log(x[:, 0])
        g = np.linspace(-reach.max() - 4, -reach.min(), side)
        return laws.combinations(np.geomspace(0.02, 3, side), g)

    def zero_reference(self, j: int, x: Array, y: Array) -> float:
        return -float(np.log(x[:, 0]).max())

    def unscale(self, log_x0: Array) -> tuple[Array, Array]:
        return self._affine([("b", "k", log_x0[0])]), np.array([0.0, 0.0, -log_x0[0]])


class M4(Law):
    """M4 of Alabdulmohsin et al. 2022: (f - E) / (E0 - f)^c ~ x^-k, E0 the loss before learning.

    Both distances are in units of E0 - E, so that b, unlike the paper's, does not change with the
    unit of the loss and hangs little together with c and E0. With t = logit((f - E) / (E0 - E)),
    log sigma(t) - c log sigma(-t) = log b - k log x, a monotone and convex or concave function of t
    that Newton's method inverts.
    """

    name = "m4"
    variables = ("x",)
    latex = r"\frac{L - E}{E_0 - E} = b x^{-k} \left(\frac{E_0 - L}{E_0 - E}\right)^{c}"
    cheap_curvature = True
    params = (
        Param("E", zero=True),
        Param("b"),
        Param("E0"),
        Param("c", lower=0.01, upper=20.0),
        Param("k", log=False, lower=0.0, upper=5.0),
    )

    def _solve(self, phi: Array, x: Array) -> tuple[Array, Array, Array]:
        """t (B,n), sigma(t) (B,n) and the shape c (B,1)."""
        xp = namespace(phi)
        c = xp.exp(phi[:, 3, None])
        right = phi[:, 1, None] - phi[:, 4, None] * xp.log(x[..., 0])
        right = xp.where(xp.isfinite(right), right, 0.0)
        t = xp.where(right < 0, right, right / c)  # the two asymptotes are t and c t
        for _ in range(30):
            soft = xp.logaddexp(0, t)
            up = xp.exp(t - soft)
            step = (t - soft + c * soft - right) / (1 - up + c * up)
            t = t - step
            if not (xp.abs(step) > 1e-13 * (1 + xp.abs(t))).any():
                break
        return t, xp.exp(t - xp.logaddexp(0, t)), c

    def log_value(self, phi: Array, x: Array) -> Array:
        xp = namespace(phi)
        t, _, _ = self._solve(phi, x)
        soft = xp.logaddexp(0, t)
        log_f = xp.logaddexp(phi[:, 0, None] - soft, phi[:, 2, None] + t - soft)
        return xp.where(phi[:, 2, None] > phi[:, 0, None], log_f, np.inf)

    def derivatives(self, phi: Array, x: Array) -> tuple[Array, Array, Curvature]:
        xp = namespace(phi)
        t, up, c = self._solve(phi, x)
        u, soft, down = xp.log(x[..., 0]), xp.logaddexp(0, t), 1 - up
        floor, ceiling = xp.exp(phi[:, 0, None]), xp.exp(phi[:, 2, None])
        # everything in units of f: f = E sigma(-t) + E0 sigma(t)
        log_f = xp.logaddexp(phi[:, 0, None] - soft, phi[:, 2, None] + t - soft)
        f = xp.exp(log_f)
        of_floor, of_ceiling = floor * down / f, ceiling * up / f
        both = up * down
        by_t = (ceiling - floor) * both / f
        q = 1 / (down + c * up)  # dt / d log b
        t_c = -c * soft * q
        jac = xp.stack([of_floor, by_t * q, of_ceiling, by_t * t_c, -u * by_t * q], 1)
        log_f = xp.where(phi[:, 2, None] > phi[:, 0, None], log_f, np.inf)

        def curvature(w: Array) -> Array:
            slopes = (q, t_c, -u * q)
            twice = (1 - c) * both * q**3  # d2t / d(log b)2
            mixed = -(q**2) * ((c - 1) * both * t_c + c * up)
            third = t_c - c * up * q * t_c - c * soft * mixed
            bends = (
                (twice, mixed, -u * twice),
                (mixed, third, -u * mixed),
                (-u * twice, -u * mixed, u * u * twice),
            )
            out = -xp.matmul(jac * w[:, None], jac.mT)
            for i, part, side in ((0, of_floor, -up), (2, of_ceiling, down)):
                out[:, i, i] += (w * part).sum(1)
                for j, slope in zip((1, 3, 4), slopes, strict=True):
                    value = (w * part * side * slope).sum(1)
                    out[:, i, j] += value
                    out[:, j, i] += value
            for a, i in enumerate((1, 3, 4)):
                for b, j in enumerate((1, 3, 4)):
                    bend = bends[a][b]
                    value = by_t * ((down - up) * slopes[a] * slopes[b] + bend)
                    out[:, i, j] += (w * value).sum(1)
            return out

        return log_f, jac, curvature

    def seeds(self, x: Array, y: Array, weights: Array, size: int) -> Array:
        xp = namespace(y)
        u = xp.asarray(np.log(x[:, 0]))
        low, high = xp.amin(y, 1), xp.amax(y, 1)
        ks = np.geomspace(0.1, 1.5, 3 if size < 100 else 6)
        axes = ([1e-3, 0.5, 0.9, 0.99], [1.02, 1.3, 3.0], np.log([0.1, 0.4, 1.0, 2.5]), ks)
        shapes = xp.asarray(laws.combinations(*axes))
        floor, ceiling = low[:, None] * shapes[:, 0], high[:, None] * shapes[:, 1]
        # log b by the weighted mean of the left side, then the true residual ranks the seeds
        left = xp.log(y[:, None] - floor[..., None])
        left = left - xp.exp(shapes[:, 2])[:, None] * xp.log(ceiling[..., None] - y[:, None])
        left = left + ((xp.exp(shapes[:, 2]) - 1) * xp.log(ceiling - floor))[..., None]
        fraction = (weights / weights.sum(1)[:, None])[:, None]
        b = (fraction * (left + shapes[:, 3, None] * u)).sum(-1)
        parts = xp.broadcast_arrays(xp.log(floor), b, xp.log(ceiling), shapes[:, 2], shapes[:, 3])
        phi = xp.stack(parts, -1)
        flat = phi.reshape(-1, 5)
        r = self.log_value(flat, xp.asarray(x)).reshape(*phi.shape[:2], -1) - xp.log(y)[:, None]
        return laws.best_seeds(phi, (weights[:, None] * r**2).sum(-1))

    def unscale(self, log_x0: Array) -> tuple[Array, Array]:
        return self._affine([("b", "k", log_x0[0])]), np.zeros(5)


class BrokenPower(BasisLaw):
    """Broken power law of Caballero et al. 2022 (arXiv 2210.14891) with n smooth breaks:
    f = E + a x^-k0 prod_i (1 + (x/d_i)^(1/s_i))^(-k_i s_i). A break must lie inside the data.
    """

    variables = ("x",)
    amplitudes = 2

    def __init__(self, breaks: int = 1) -> None:
        self.breaks = breaks
        self.name = "broken" if breaks == 1 else f"broken{breaks}"
        self.latex = r"L(x) = E + a x^{-k_0} \prod_i \left(1 + (x/d_i)^{1/s_i}\right)^{-k_i s_i}"
        self.params = (
            Param("E", zero=True),
            Param("a"),
            Param("k0", log=False, lower=-2.0, upper=5.0),
            *(
                p
                for i in range(1, breaks + 1)
                for p in (
                    Param(f"k{i}", log=False, lower=-5.0, upper=5.0),
                    Param(f"d{i}"),
                    Param(f"s{i}", lower=0.02, upper=3.0),
                )
            ),
        )

    def log_basis(self, eta: Array, x: Array) -> tuple[list[Array], Slopes]:
        xp = namespace(eta)
        u = xp.log(x[..., 0])
        log = -eta[:, 0, None] * u
        slopes = {0: xp.broadcast_to(-u, log.shape)}
        for i in range(self.breaks):
            k, d = eta[:, 1 + 3 * i, None], eta[:, 2 + 3 * i, None]
            s = xp.exp(eta[:, 3 + 3 * i, None])
            z = (u - d) / s
            soft = xp.logaddexp(0, z)
            up = xp.exp(z - soft)  # logistic(z)
            log = log - k * s * soft
            slopes[1 + 3 * i] = -s * soft
            slopes[2 + 3 * i] = k * up
            slopes[3 + 3 * i] = -k * s * (soft - z * up)
        return [xp.zeros_like(log), log], [{}, slopes]

    def grid(self, x: Array, size: int) -> Array:
        u = np.log(x[:, 0])
        inner = np.quantile(u, np.linspace(0.1, 0.9, 6 if size >= 100 else 3))
        axes: list[Sequence[float] | Array] = [[0.0, 0.1, 0.3, 1.0]]
        for _ in range(self.breaks):
            axes += [[-0.3, 0.2, 0.6, 1.5], inner, np.log([0.1, 0.5])]
        grid = laws.combinations(*axes)
        if self.breaks > 1:  # breaks in order; a thinned grid keeps the product small
            d = grid[:, 2::3]
            grid = grid[(np.diff(d, axis=1) > 0).all(1)]
            grid = grid[:: max(1, len(grid) // 3000)]
        return grid

    def bounds(self, x: Array, y: Array) -> tuple[Array, Array]:
        low, high = super().bounds(x, y)
        u = np.log(x[:, 0])
        for i in range(1, self.breaks + 1):
            low[self.index(f"d{i}")], high[self.index(f"d{i}")] = u.min(), u.max()
        return low, high

    def unscale(self, log_x0: Array) -> tuple[Array, Array]:
        # the product is unit-free in x/d, so only the first power changes with the unit of x
        shift = np.zeros(len(self.params))
        for i in range(1, self.breaks + 1):
            shift[self.index(f"d{i}")] = log_x0[0]
        return self._affine([("a", "k0", log_x0[0])]), shift


class Kaplan(Law):
    """Joint law of Kaplan et al. 2020 (arXiv 2001.08361, equation 1.5):
    f = [(Nc/N)^(alpha_N/alpha_D) + Dc/D]^alpha_D; it has no floor.
    """

    name = "kaplan"
    variables = ("N", "D")
    latex = r"L(N, D) = \left[(N_c/N)^{\alpha_N/\alpha_D} + D_c/D\right]^{\alpha_D}"
    params = (
        Param("Nc"),
        Param("Dc"),
        Param("alpha_N", log=False, lower=1e-3, upper=3.0),
        Param("alpha_D", log=False, lower=1e-3, upper=3.0),
    )

    def _parts(self, phi: Array, x: Array) -> tuple[Array, Array, Array, Array]:
        xp = namespace(phi)
        u = xp.moveaxis(xp.log(x), -1, 0)
        first = phi[:, 2, None] / phi[:, 3, None] * (phi[:, 0, None] - u[0])
        second = phi[:, 1, None] - u[1]
        total = xp.logaddexp(first, second)
        return first, total, xp.exp(first - total), xp.exp(second - total)

    def log_value(self, phi: Array, x: Array) -> Array:
        return phi[:, 3, None] * self._parts(phi, x)[1]

    def derivatives(self, phi: Array, x: Array) -> tuple[Array, Array, Curvature]:
        first, total, p, q = self._parts(phi, x)
        xp = namespace(phi)
        jac = xp.empty((len(phi), 4, x.shape[-2]))
        jac[:, 0] = phi[:, 2, None] * p
        jac[:, 1] = phi[:, 3, None] * q
        jac[:, 2] = p * (phi[:, 0, None] - xp.log(x[..., 0]))
        jac[:, 3] = total - p * first
        return phi[:, 3, None] * total, jac, self._numeric_curvature(phi, x)

    def seeds(self, x: Array, y: Array, weights: Array, size: int) -> Array:
        side = max(5, round(size**0.5))
        axis = np.geomspace(0.02, 1.0, side)
        u, xp = np.log(x).T, namespace(y)
        found, errors = [], []
        for alpha_d in axis.tolist():  # y^(1/alpha_D) is linear in two amplitudes
            basis = np.stack([np.exp(np.stack([-a / alpha_d * u[0], -u[1]])) for a in axis])
            # a relative residual of y is 1/alpha_D relative residuals of its power
            c, error = laws.project(basis, y ** (1 / alpha_d), weights * alpha_d**2)
            with np.errstate(divide="ignore"):
                logs = xp.maximum(xp.log(c), -50.0)
            phi = xp.empty((*c.shape[:2], 4))
            phi[..., 0] = logs[..., 0] * xp.asarray(alpha_d / axis)
            phi[..., 1] = logs[..., 1]
            phi[..., 2], phi[..., 3] = xp.asarray(axis), alpha_d
            found.append(phi)
            errors.append(error)
        return laws.best_seeds(xp.concatenate(found, 1), xp.concatenate(errors, 1))

    def unscale(self, log_x0: Array) -> tuple[Array, Array]:
        return np.eye(4), np.array([log_x0[0], log_x0[1], 0.0, 0.0])


class Repetition(BasisLaw):
    """Data-constrained law of Muennighoff et al. 2023 (arXiv 2305.16264, section 3):
    Chinchilla's law in effective sizes U + U R*(1 - exp(-R/R*)), R the repetitions of unique data
    U_D (or excess parameters over U_N). Variables N, D, and the unique U_N, U_D.
    """

    name = "repetition"
    variables = ("N", "D", "U_N", "U_D")
    units = ("parameters", "tokens", "parameters", "tokens")
    latex = (
        r"L = E + A / N'^{\alpha} + B / D'^{\beta},\; "
        r"D' = U_D + U_D R_D^* (1 - e^{-R_D / R_D^*})"
    )
    amplitudes = 3
    params = (
        Param("E", zero=True),
        Param("A"),
        Param("B"),
        Param("alpha", log=False, lower=0.0, upper=5.0),
        Param("beta", log=False, lower=0.0, upper=5.0),
        Param("R_N", lower=1e-3, upper=1e6),
        Param("R_D", lower=1e-3, upper=1e6),
    )

    @staticmethod
    def _effective(total: Array, unique: Array, log_r: Array) -> tuple[Array, Array]:
        """log effective size and its derivative by log R*."""
        xp = namespace(log_r)
        r = xp.exp(log_r)
        q = xp.maximum(total / unique - 1, 0) / r
        gain = -xp.expm1(-q)
        size = 1 + r * gain
        return xp.log(unique) + xp.log(size), r * (gain - q * xp.exp(-q)) / size

    def log_basis(self, eta: Array, x: Array) -> tuple[list[Array], Slopes]:
        n, dn = self._effective(x[..., 0], x[..., 2], eta[:, 2, None])
        d, dd = self._effective(x[..., 1], x[..., 3], eta[:, 3, None])
        alpha, beta = eta[:, 0, None], eta[:, 1, None]
        return [namespace(n).zeros_like(n), -alpha * n, -beta * d], [
            {},
            {0: -n, 2: -alpha * dn},
            {1: -d, 3: -beta * dd},
        ]

    def grid(self, x: Array, size: int) -> Array:
        axis = [0.1, 0.2, 0.35, 0.6, 1.0]
        r = np.log(np.geomspace(1.0, 250.0, 3 if size < 100 else 6))  # two basins may lie near
        return laws.combinations(axis, axis, r, r)

    def unscale(self, log_x0: Array) -> tuple[Array, Array]:
        return self._affine([("A", "alpha", log_x0[0]), ("B", "beta", log_x0[1])]), np.zeros(7)


class Mixture(BasisLaw):
    """Joint law of real and synthetic examples: f = E + B (n_real + k n_syn^g)^-beta.

    k n_syn^g is the number of real examples that n_syn synthetic ones are worth: the effective-data
    form of Hernandez et al. 2021 (arXiv 2102.01293, section 2) with a shared exponent. Either
    size may be zero.
    """

    name = "mixture"
    variables = ("n_real", "n_syn")
    units = ("examples", "examples")
    may_be_zero = ("n_real", "n_syn")
    latex = r"L = E + B (n_r + k n_s^{g})^{-\beta}"
    amplitudes = 2
    params = (
        Param("E", zero=True),
        Param("B"),
        Param("beta", log=False, lower=0.0, upper=5.0),
        Param("k"),
        Param("g", log=False, lower=0.01, upper=3.0),
    )

    def log_basis(self, eta: Array, x: Array) -> tuple[list[Array], Slopes]:
        real, synthetic = x[..., 0], x[..., 1]
        xp = namespace(eta)
        log_s = xp.log(xp.where(synthetic > 0, synthetic, 1.0))
        # in logarithms: under noise alone k may grow beyond what a number holds
        worth = xp.where(synthetic > 0, eta[:, 1, None] + eta[:, 2, None] * log_s, -1e300)
        log_total = xp.logaddexp(xp.log(xp.maximum(real, 1e-300)), worth)
        fraction = xp.exp(worth - log_total)
        beta = eta[:, 0, None]
        return [xp.zeros_like(log_total), -beta * log_total], [
            {},
            {0: -log_total, 1: -beta * fraction, 2: -beta * fraction * log_s},
        ]

    def grid(self, x: Array, size: int) -> Array:
        return laws.combinations(
            np.geomspace(0.05, 1.5, 6), np.log([0.01, 0.05, 0.2, 0.6, 1.5]), [0.2, 0.5, 0.8, 1.0]
        )

    def unscale(self, log_x0: Array) -> tuple[Array, Array]:
        matrix = self._affine([("B", "beta", log_x0[0]), ("k", "g", -log_x0[0])])
        return matrix, np.array([0.0, 0.0, 0.0, log_x0[0], 0.0])


power = PowerSum("power", (Term("a", {"x": "k"}),), r"L(x) = a x^{-k}", exponent_range=(-5.0, 5.0))
shifted = PowerSum("shifted", (Term("E"), Term("a", {"x": "k"})), r"L(x) = E + a x^{-k}", floor="E")
chinchilla = PowerSum(
    "chinchilla",
    (Term("E"), Term("A", {"N": "alpha"}), Term("B", {"D": "beta"})),
    r"L(N, D) = E + A N^{-\alpha} + B D^{-\beta}",
    variables=("N", "D"),
    floor="E",
)

# Hernandez et al. 2021 (arXiv 2102.01293): effective data transferred, D_T = k D_F^alpha N^beta
transfer = PowerSum(
    "transfer",
    (Term("k", {"D_F": "+alpha", "N": "+beta"}),),
    r"D_T = k D_F^{\alpha} N^{\beta}",
    variables=("D_F", "N"),
)
# Mikami et al. 2021 (arXiv 2108.11018): delta (gamma + n^-alpha) s^-beta, n synthetic images for
# pre-training, s real images for fine-tuning; G = delta * gamma
syn2real = PowerSum(
    "syn2real",
    (Term("G", {"s": "beta"}), Term("delta", {"n": "alpha", "s": "beta"})),
    r"L(n, s) = (G + \delta n^{-\alpha}) s^{-\beta}",
    variables=("n", "s"),
)

# Settings as sizes ask for them, such as the best learning rate or batch size (Li et al. 2025,
# arXiv 2503.04715); the exponents may have either sign
product = PowerSum(
    "product",
    (Term("c", {"N": "+a", "D": "+b"}),),
    r"L(N, D) = c N^{a} D^{b}",
    variables=("N", "D"),
    exponent_range=(-5.0, 5.0),
)

LAWS: dict[str, Law] = {
    law.name: law
    for law in (
        power, shifted, M3(), M4(), BrokenPower(1), BrokenPower(2), chinchilla, Kaplan(),
        Repetition(), transfer, syn2real, Mixture(), product, Sigmoid(), Exponential(),
    )
}  # fmt: skip


def get(law: str | Law) -> Law:
    """The law itself, the one of that name, or the one that a formula states (`written`).

    Raises:
        UserError: no law has this name, or the formula is no law.
    """
    if isinstance(law, Law):
        return law
    if law in LAWS:
        return LAWS[law]
    if written.looks_written(law):
        return written.law(law)
    raise UserError(
        f"Unknown law {law!r}; known are: {', '.join(LAWS)}, or a formula such as "
        f"E + A*N^-alpha.{did_you_mean(law, LAWS)}"
    )
