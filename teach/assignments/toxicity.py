# %% [markdown]
# # What does a toxicity filter cost?
#
# Figure 7 of Longpre et al.: change of question answering against the whole of C4, by what the filter keeps.

# %%
import numpy as np

from dataworth import published

filters = published.longpre_filters("toxicity")
average = filters[filters.category == "average"]
average

# %% [markdown]
# **1.** The slope: points of question answering per percent of the text removed, by least squares over the filters that are
# not inverse. Is the whole set (0 removed, 0 change) among the rows? Look first.


# %%
def cost_per_percent(rows):
    ### BEGIN SOLUTION
    rows = rows[~rows.inverse]
    return np.polyfit(100 - rows.kept, rows.change, 1)[0]
    ### END SOLUTION


# %% tags=["points-3"]
assert cost_per_percent(average) < 0
### BEGIN HIDDEN TESTS
kept = average[~average.inverse]
assert np.isclose(cost_per_percent(average), np.polyfit(100 - kept.kept, kept.change, 1)[0])
assert np.isclose(cost_per_percent(average), -0.07, atol=0.015)
### END HIDDEN TESTS

# %% [markdown]
# **2.** The control that the paper lacks: a random drop of equal size. Given the change of the filter and that of the random
# drop, each with a standard error, return the filter's *net* change and its standard error (independent runs).


# %%
def net(filtered, filtered_se, random, random_se):
    ### BEGIN SOLUTION
    return filtered - random, np.hypot(filtered_se, random_se)
    ### END SOLUTION


# %% tags=["points-2"]
assert np.isclose(net(-2.0, 0.3, -0.5, 0.4)[0], -1.5)
### BEGIN HIDDEN TESTS
assert np.isclose(net(-2.0, 0.3, -0.5, 0.4)[1], 0.5)
### END HIDDEN TESTS

# %% [markdown]
# **3.** Why no threshold can be carried over. Two scorers rate the same documents; a filter keeps what scores below $T$.
# Return the fraction kept at `threshold`, and the threshold at which `fraction` is kept (the smallest score that is
# *not* kept when that fraction, rounded down to whole documents, stays).


# %%
def kept(scores, threshold):
    ### BEGIN SOLUTION
    return np.mean(np.asarray(scores) < threshold)
    ### END SOLUTION


def threshold_for(scores, fraction):
    ### BEGIN SOLUTION
    return np.sort(scores)[int(fraction * len(scores))]
    ### END SOLUTION


# %% tags=["points-3"]
assert kept([0.1, 0.2, 0.9, 0.95], 0.5) == 0.5
### BEGIN HIDDEN TESTS
scores = np.random.default_rng(0).beta(1, 9, size=1000)
for fraction in (0.61, 0.95):
    assert np.isclose(kept(scores, threshold_for(scores, fraction)), fraction)
assert not np.isclose(kept(scores, 0.3), kept(scores**2, 0.3))
### END HIDDEN TESTS
