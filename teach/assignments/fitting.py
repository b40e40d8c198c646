# %% [markdown]
# # A law with and without a floor
#
# Error of classifiers on synthetic images (Askari-Hemmat et al., Table 5, static sampling).

# %%
import numpy as np

from dataworth import published

curves = published.practice_curves()
static = curves[(curves.data_set == "ImageNet-1k") & (curves.sampling == "static")]
x, y = static.images.to_numpy() / 1e6, static.error.to_numpy()
static

# %% [markdown]
# **1.** Fit $a\,x^{-k}$ by least squares on logarithms; return $a$ and $k$.


# %%
def power(x, y):
    ### BEGIN SOLUTION
    slope, constant = np.polyfit(np.log(x), np.log(y), 1)
    return np.exp(constant), -slope
    ### END SOLUTION


# %% tags=["points-2"]
assert np.allclose(power(np.array([1.0, 2, 4]), 3 * np.array([1.0, 2, 4]) ** -0.5), (3, 0.5))
### BEGIN HIDDEN TESTS
assert np.isclose(power(x, y)[1], 0.026, atol=0.003)
### END HIDDEN TESTS

# %% [markdown]
# **2.** Local exponents between neighbouring sizes. A power law has one; what do you see?


# %%
def local(x, y):
    ### BEGIN SOLUTION
    return -np.diff(np.log(y)) / np.diff(np.log(x))
    ### END SOLUTION


# %% tags=["points-2"]
assert len(local(x, y)) == len(x) - 1
### BEGIN HIDDEN TESTS
assert np.allclose(local(x, y)[[0, -1]], [0.075, 0.001], atol=0.002)
assert np.allclose(local(x, 2 * x**-0.3), 0.3)
### END HIDDEN TESTS

# %% [markdown]
# **3.** For a given exponent $k$, the best $E$ and $a$ of $E + a\,x^{-k}$ are a linear regression. Return $(E, a, k)$ with the
# smallest sum of squares over a grid of exponents.


# %%
def shifted(x, y):
    ### BEGIN SOLUTION
    best = None
    for k in np.linspace(0.05, 2, 196):
        design = np.column_stack([np.ones_like(x), x**-k])
        (floor, a), *_ = np.linalg.lstsq(design, y, rcond=None)
        squares = ((design @ [floor, a] - y) ** 2).sum()
        if best is None or squares < best[0]:
            best = squares, floor, a, k
    return best[1:]
    ### END SOLUTION


# %% tags=["points-4"]
floor, a, k = shifted(x, 0.5 + 0.1 * x**-1.0)
assert np.allclose((floor, a, k), (0.5, 0.1, 1.0), atol=1e-6)
### BEGIN HIDDEN TESTS
floor, a, k = shifted(x, y)
assert np.allclose((floor, a, k), (0.541, 0.0222, 0.95), atol=0.02)
assert ((floor + a * x**-k - y) ** 2).sum() < (
    (power(x, y)[0] * x ** -power(x, y)[1] - y) ** 2
).sum() / 100
### END HIDDEN TESTS
