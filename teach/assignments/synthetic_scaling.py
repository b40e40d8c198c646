# %% [markdown]
# # How many synthetic images is a real one worth?
#
# Fan et al. fit loss $\propto D^{-k}$. You compute what follows from two exponents, and why one number is not
# enough. Nothing is trained.

# %%
import numpy as np

from dataworth import published

exponents = published.fan_exponents()
val = exponents[exponents.evaluation_set == "ImageNet val"].head(5).set_index("training_source").k
val

# %% [markdown]
# **1.** By which factor must the number of images grow to halve the loss, if loss $\propto D^{-k}$?


# %%
def halving(k):
    ### BEGIN SOLUTION
    return 2 ** (1 / k)
    ### END SOLUTION


# %% tags=["points-2"]
assert np.isclose(halving(0.5), 4)
assert np.isclose(halving(1.0), 2)
### BEGIN HIDDEN TESTS
assert np.isclose(halving(val["real"]), 3.716, atol=0.01)
assert np.allclose(halving(np.array([0.25, 0.5])), [16, 4])
### END HIDDEN TESTS

# %% [markdown]
# **2.** Real and synthetic images give losses $a\,n^{-k}$ and $b\,m^{-l}$. How many synthetic images $m$ equal $n$ real
# ones? Give the ratio $m / n$.


# %%
def worth(n, a, k, b, l):
    ### BEGIN SOLUTION
    loss = a * n**-k
    return (loss / b) ** (-1 / l) / n
    ### END SOLUTION


# %% tags=["points-3"]
assert np.isclose(worth(1000, 2.0, 0.3, 2.0, 0.3), 1)
### BEGIN HIDDEN TESTS
m = 500 * worth(500, 3.0, 0.4, 2.0, 0.2)
assert np.isclose(2.0 * m**-0.2, 3.0 * 500**-0.4)
assert np.isclose(worth(10, 1.0, 0.5, 1.0, 0.25), 10)
### END HIDDEN TESTS

# %% [markdown]
# **3.** With $k > l$, does the ratio grow, stay or shrink as $n$ grows? Set `answer` to one of the three words, and `slope` to
# the power of $n$ with which the ratio changes where $k = 0.528$ and $l = 0.265$.

# %%
### BEGIN SOLUTION
answer = "grow"
slope = 0.528 / 0.265 - 1
### END SOLUTION

# %% tags=["points-2"]
assert answer in ("grow", "stay", "shrink")
### BEGIN HIDDEN TESTS
assert answer == "grow"
assert np.isclose(slope, np.log10(worth(1e5, 1, 0.528, 1, 0.265) / worth(1e4, 1, 0.528, 1, 0.265)))
### END HIDDEN TESTS
