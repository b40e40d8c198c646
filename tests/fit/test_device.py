"""The solver on torch tensors gives numpy's numbers."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_laws import TRUTH, design, internal

from dataworth.errors import UserError
from dataworth.fit import LAWS, Fit, fit
from dataworth.fit.backend import on_device, to_numpy
from dataworth.fit.estimate import solve

pytest.importorskip("torch", reason="torch is an optional extra")


def same(one: Fit, other: Fit) -> None:
    """Refitted curves to 3e-7; parameters, which a flat direction lets slide further, to 3e-6.

    The solver stops where a step promises less than 1e-11 of the objective. That leaves sqrt(1e-11)
    of the noise (0.02 here), 6e-8 of a curve, open; where in it two solvers stop is rounding, which
    each processor does otherwise (3e-8 measured without AVX2). Single precision would miss by 1e-5.
    """
    for a, b in [(one[label], other[label]) for label in one.labels] or [(one, other)]:
        np.testing.assert_allclose(b.mean_draws(b.curve.x), a.mean_draws(a.curve.x), rtol=3e-7)
        for name, values in a.draws.items():
            np.testing.assert_allclose(b.draws[name], values, rtol=3e-6, atol=1e-12)
    np.testing.assert_array_equal(other.draws_status, one.draws_status)


@pytest.mark.parametrize("loss", ["l2", "huber", "student", "chinchilla"])
@pytest.mark.parametrize("residual", ["log", "identity", "logit"])
def test_bootstrap_agrees_with_numpy(
    loss: str, residual: str, shifted_runs: Callable[..., Any]
) -> None:
    runs = shifted_runs(0.2, 2.0, 0.3)
    options: dict[str, Any] = {
        "law": "shifted", "loss": loss, "residual": residual, "bootstrap": 40
    }  # fmt: skip
    same(fit(runs, **options), fit(runs, device="cpu", **options))


@pytest.mark.parametrize("name", TRUTH)
def test_every_law_agrees_with_numpy(name: str) -> None:
    law = LAWS[name]
    x = design(law)
    _, phi, scaled = internal(law, x)
    c = np.random.default_rng(1).normal(size=(1, len(x)))
    ours = [*law.derivatives(phi[None], scaled)]
    tensors = [on_device(a, "cpu") for a in (phi[None], scaled)]
    theirs = [*law.derivatives(*tensors)]
    ours[2], theirs[2] = ours[2](c), theirs[2](on_device(c, "cpu"))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(to_numpy(b), a, rtol=1e-8, atol=1e-8 * (1 + np.abs(a).max()))
    y = np.exp(ours[0]) * np.exp(0.01 * np.random.default_rng(2).normal(size=(3, len(x))))
    log_x0 = law.log_scale(x)
    table = {v: x[:, i] for i, v in enumerate(law.variables)}
    settings = fit({**table, "y": y[0]}, law=name, x=list(law.variables)).settings
    want = solve(settings, x, log_x0, y, np.ones_like(y))
    got = solve(settings, x, log_x0, *(on_device(a, "cpu") for a in (y, np.ones_like(y))))
    np.testing.assert_allclose(to_numpy(got[1]), want[1], rtol=1e-8)


def test_chinchilla_with_ties_and_clusters(chinchilla_runs: dict[str, np.ndarray]) -> None:
    options: dict[str, Any] = {
        "law": "chinchilla", "x": ["N", "D"], "y": "loss", "loss": "huber",
        "tied": [("alpha", "beta")], "cluster": "run", "bootstrap": 30,
    }  # fmt: skip
    runs = {**chinchilla_runs, "run": np.arange(240) // 4}
    same(fit(runs, **options), fit(runs, device="cpu", **options))


def test_curves_with_a_shared_exponent_and_wild_draws(shifted_runs: Callable[..., Any]) -> None:
    parts = [shifted_runs(floor, 5.0, 0.4, seed=i) for i, floor in enumerate((0.1, 0.4))]
    runs = {c: np.concatenate([p[c] for p in parts]) for c in ("x", "y")}
    runs["source"] = np.repeat(["real", "synthetic"], len(parts[0]["x"]))
    options: dict[str, Any] = {
        "law": "shifted", "group": "source", "shared": ["k"], "bootstrap": 20, "resample": "wild"
    }  # fmt: skip
    same(fit(runs, **options), fit(runs, device="cpu", **options))


def test_a_device_that_is_not_there_is_refused(shifted_runs: Callable[..., Any]) -> None:
    for device in ("cuda:99", "abacus"):
        with pytest.raises(UserError, match=f"device is '{device}'; torch has no such device"):
            fit(shifted_runs(), law="shifted", device=device)


def test_the_library_imports_and_fits_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from dataworth.fit import fit\n"
        "fit({'x': [1., 2, 4, 8], 'y': [4., 3, 2.4, 2]}, law='power', bootstrap=5)\n"
        "try: fit({'x': [1., 2, 4], 'y': [4., 3, 2]}, device='cpu')\n"
        "except Exception as e: print(e)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "needs torch, which is not installed" in done.stdout
