# %% [markdown]
# # Adding synthetic images to real ones
#
# Azizi et al. added synthetic images to ImageNet's 1.2 million: `relative_error` is the error over that of the real
# images alone.

# %%
import numpy as np

from dataworth import published

azizi = published.azizi_mixing()
azizi.head()

# %% [markdown]
# **1.** Up to which ratio of synthetic to real images is the error lower than with real images alone, at a resolution?
# Return the largest ratio in the table that still helps.


# %%
def helps_up_to(table, pixels):
    ### BEGIN SOLUTION
    rows = table[(table.pixels == pixels) & (table.relative_error < 1)]
    return float(rows.ratio.max())
    ### END SOLUTION


# %% tags=["points-2"]
assert helps_up_to(azizi, 256) == 3
### BEGIN HIDDEN TESTS
assert helps_up_to(azizi, 64) == 9
rows = azizi[azizi.pixels == 1024]
assert helps_up_to(azizi, 1024) == rows[rows.relative_error < 1].ratio.max()
### END HIDDEN TESTS

# %% [markdown]
# **2.** If $\rho$ synthetic images replace one real one, $n$ real and $m$ synthetic images count as $n + m/\rho$. With loss
# $a\,N^{-k}$ of $N$ real images, what loss has the mixture?


# %%
def mixed(n, m, rho, a, k):
    ### BEGIN SOLUTION
    return a * (n + m / rho) ** -k
    ### END SOLUTION


# %% tags=["points-2"]
assert np.isclose(mixed(100, 0, 5, 2.0, 0.5), 0.2)
### BEGIN HIDDEN TESTS
assert np.isclose(mixed(100, 1500, 5, 2.0, 0.5), 0.1)
assert np.isclose(mixed(100, 300, np.inf, 2.0, 0.5), 0.2)
### END HIDDEN TESTS

# %% [markdown]
# **3.** A mixture of $n$ and $m$ images has been measured to have the loss `loss`. Turn the rule round: what does each
# synthetic image count for, as a fraction of a real one?


# %%
def counts_for(loss, n, m, a, k):
    ### BEGIN SOLUTION
    return ((loss / a) ** (-1 / k) - n) / m
    ### END SOLUTION


# %% tags=["points-3"]
assert np.isclose(counts_for(0.2, 100, 50, 2.0, 0.5), 0)
### BEGIN HIDDEN TESTS
assert np.isclose(counts_for(mixed(80, 640, 4, 3.0, 0.4), 80, 640, 3.0, 0.4), 0.25)
assert counts_for(0.21, 100, 50, 2.0, 0.5) < 0
### END HIDDEN TESTS
