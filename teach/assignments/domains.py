# %% [markdown]
# # Leave one source out
#
# Figure 8 of Longpre et al.: the Pile without one of its nine groups. `average` is the change of question answering.

# %%
import numpy as np

from dataworth import published

drops = published.domain_drops()
drops[["removed", "average"]]

# %% [markdown]
# **1.** Harm per percent of the data that was removed (positive: removing hurts), largest first.


# %%
def harm_per_percent(table):
    ### BEGIN SOLUTION
    return (-table.average / table.removed).sort_values(ascending=False)
    ### END SOLUTION


# %% tags=["points-2"]
assert np.isclose(harm_per_percent(drops)["CC"], 4.8 / 26.9)
### BEGIN HIDDEN TESTS
assert harm_per_percent(drops).index[0] == "Books"
assert harm_per_percent(drops).iloc[-1] < 0
### END HIDDEN TESTS

# %% [markdown]
# **2.** Does size explain harm? Pearson's correlation of `removed` with `average`, over all groups and without one.


# %%
def correlation(table, without=()):
    ### BEGIN SOLUTION
    rows = table.drop(index=list(without))
    return np.corrcoef(rows.removed, rows.average)[0, 1]
    ### END SOLUTION


# %% tags=["points-2"]
assert -1 <= correlation(drops) <= 1
### BEGIN HIDDEN TESTS
assert np.isclose(correlation(drops), -0.58, atol=0.01)
assert abs(correlation(drops, ["CC"])) < 0.05
### END HIDDEN TESTS

# %% [markdown]
# **3.** Each group was removed once. Suppose that a single run has noise of standard deviation `sd` in the average and the
# full Pile's run, which all nine share, as well. Return the standard deviation of the *difference between two groups'*
# changes, and of one group's change.


# %%
def noise(sd):
    ### BEGIN SOLUTION
    between = one = np.sqrt(2) * sd
    ### END SOLUTION
    return between, one


# %% tags=["points-3"]
assert len(noise(1.0)) == 2
### BEGIN HIDDEN TESTS
rng = np.random.default_rng(0)
full, a, b = rng.normal(0, 1.5, size=(3, 200_000))
assert np.allclose(noise(1.5), ((a - full - (b - full)).std(), (a - full).std()), rtol=0.02)
### END HIDDEN TESTS
