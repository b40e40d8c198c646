# %% [markdown]
# # Do small models choose right?
#
# A small model's losses on data sets against a large one's: how many pairs are in the same order, and what noise does.

# %%
import numpy as np

small = np.array([3.1, 3.0, 3.4, 3.3, 3.2])
large = np.array([2.1, 2.2, 2.5, 2.4, 2.3])

# %% [markdown]
# **1.** The fraction of pairs in the same order; a tie counts half.


# %%
def pair_accuracy(a, b):
    ### BEGIN SOLUTION
    i, j = np.triu_indices(len(a), 1)
    same = np.sign(a[i] - a[j]) * np.sign(b[i] - b[j])
    return np.mean((1 + same) / 2)
    ### END SOLUTION


# %% tags=["points-3"]
assert np.isclose(pair_accuracy(small, large), 0.9)
### BEGIN HIDDEN TESTS
assert pair_accuracy(large, large) == 1
assert pair_accuracy(large, -large) == 0
assert pair_accuracy(np.zeros(5), large) == 0.5
### END HIDDEN TESTS

# %% [markdown]
# **2.** Kendall's $\tau$ from the accuracy by pairs (no ties).


# %%
def tau(accuracy):
    ### BEGIN SOLUTION
    return 2 * accuracy - 1
    ### END SOLUTION


# %% tags=["points-1"]
assert tau(0.5) == 0
### BEGIN HIDDEN TESTS
discordant = 1  # of the ten pairs: the first two
assert np.isclose(tau(pair_accuracy(small, large)), ((10 - discordant) - discordant) / 10)
assert np.isclose(tau(0.8), 0.6)
### END HIDDEN TESTS

# %% [markdown]
# **3.** Two runs of one size agree on a fraction $a$ of the pairs, noise being alike and independent and all pairs equally
# hard. How often is one run right? (Take the solution of at least one half.)


# %%
def right(agreement):
    ### BEGIN SOLUTION
    return (1 + np.sqrt(2 * agreement - 1)) / 2
    ### END SOLUTION


# %% tags=["points-3"]
assert np.isclose(right(1.0), 1)
### BEGIN HIDDEN TESTS
for q in (0.5, 0.7, 0.92):
    assert np.isclose(right(q**2 + (1 - q) ** 2), q)
### END HIDDEN TESTS
