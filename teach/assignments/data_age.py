# %% [markdown]
# # Temporal degradation
#
# Score (here: loss, so the sign is turned) against the distance between the years of training and evaluation, with
# the mean of each evaluation year taken out.

# %%
import numpy as np

years = np.array([2013, 2016, 2019, 2022])
# loss[i, j]: trained up to years[i], evaluated on years[j]
loss = np.array(
    [
        [3.00, 3.06, 3.13, 3.22],
        [3.02, 3.00, 3.05, 3.12],
        [3.05, 3.03, 3.00, 3.05],
        [3.08, 3.06, 3.02, 3.00],
    ]
)

# %% [markdown]
# **1.** Take out the mean of each evaluation year: some years are harder than others for every model.


# %%
def centred(loss):
    ### BEGIN SOLUTION
    return loss - loss.mean(axis=0)
    ### END SOLUTION


# %% tags=["points-2"]
assert np.allclose(centred(loss).mean(axis=0), 0)
### BEGIN HIDDEN TESTS
assert np.allclose(centred(loss + np.array([0, 5, 0, -3])), centred(loss))
### END HIDDEN TESTS

# %% [markdown]
# **2.** TD: the slope of the centred loss on the distance in years, by least squares over all pairs.


# %%
def degradation(loss, years):
    ### BEGIN SOLUTION
    distance = np.abs(years[:, None] - years[None, :])
    return np.polyfit(distance.ravel(), centred(loss).ravel(), 1)[0]
    ### END SOLUTION


# %% tags=["points-3"]
assert degradation(loss, years) > 0
### BEGIN HIDDEN TESTS
gap = np.abs(years[:, None] - years[None, :])
assert np.isclose(degradation(np.zeros((4, 4)), years), 0)
direct = np.polyfit(gap.ravel(), (loss - loss.mean(0)).ravel(), 1)[0]
assert np.isclose(degradation(loss, years), direct)
### END HIDDEN TESTS

# %% [markdown]
# **3.** Asymmetry: the mean rise of loss per year over the diagonal where the evaluation is *newer* than the training, and
# where it is *older*, each from `loss[i, j] - loss[j, j]` (the model of the evaluation's own year).


# %%
def newer_and_older(loss, years):
    ### BEGIN SOLUTION
    rise = (loss - np.diag(loss)[None, :]) / np.maximum(np.abs(years[:, None] - years[None, :]), 1)
    newer = years[None, :] > years[:, None]
    older = years[None, :] < years[:, None]
    return rise[newer].mean(), rise[older].mean()
    ### END SOLUTION


# %% tags=["points-3"]
assert len(newer_and_older(loss, years)) == 2
### BEGIN HIDDEN TESTS
newer, older = newer_and_older(loss, years)
assert newer > older > 0
flat = 3 + 0.01 * np.abs(years[:, None] - years[None, :])
assert np.allclose(newer_and_older(flat, years), (0.01, 0.01))
### END HIDDEN TESTS

# %% [markdown]
# **4.** A permutation test. If time did not matter, the training years could be exchanged. Return the fraction of all
# exchanges of the rows' years (24 for four) whose TD is at least that of the true order, itself included.


# %%
def p_value(loss, years):
    ### BEGIN SOLUTION
    from itertools import permutations

    own = degradation(loss, years)
    all_ = [degradation(loss[list(p)], years) for p in permutations(range(len(years)))]
    return np.mean(np.array(all_) >= own - 1e-12)
    ### END SOLUTION


# %% tags=["points-3"]
assert 0 < p_value(loss, years) <= 1
### BEGIN HIDDEN TESTS
assert np.isclose(p_value(loss, years), 1 / 24)
assert p_value(np.zeros((4, 4)), years) == 1
### END HIDDEN TESTS
