# %% [markdown]
# # Easy, scaling, poor: by rule
#
# Fan et al. name three groups of classes and give no thresholds. Here is a rule, and how sure it is.

# %%
import numpy as np

sizes = np.array([80, 320, 1280])
top1 = {
    "trouser": [0.91, 0.94, 0.96],
    "coat": [0.52, 0.66, 0.75],
    "shirt": [0.35, 0.38, 0.39],
}

# %% [markdown]
# **1.** The exponent $k$ of the error $1 - \text{top-1} \propto D^{-k}$, by least squares on logarithms.


# %%
def exponent(sizes, top1):
    ### BEGIN SOLUTION
    return -np.polyfit(np.log(sizes), np.log(1 - np.asarray(top1)), 1)[0]
    ### END SOLUTION


# %% tags=["points-2"]
assert np.isclose(exponent(sizes, 1 - 0.5 * sizes**-0.3), 0.3)
### BEGIN HIDDEN TESTS
assert np.isclose(exponent(sizes, [0.4, 0.4, 0.4]), 0)
assert exponent(sizes, top1["coat"]) > exponent(sizes, top1["shirt"])
### END HIDDEN TESTS

# %% [markdown]
# **2.** *Easy*: at least `easy` at the smallest size. *Poor*: not easy, below `poor` at the largest size, exponent below
# `flat`. *Scaling*: the rest.


# %%
def group(sizes, top1, easy=0.8, poor=0.6, flat=0.1):
    ### BEGIN SOLUTION
    if top1[0] >= easy:
        return "easy"
    if top1[-1] < poor and exponent(sizes, top1) < flat:
        return "poor"
    return "scaling"
    ### END SOLUTION


# %% tags=["points-3"]
assert group(sizes, top1["trouser"]) == "easy"
### BEGIN HIDDEN TESTS
assert [group(sizes, v) for v in top1.values()] == ["easy", "scaling", "poor"]
assert group(sizes, top1["shirt"], flat=0.0) == "scaling"
assert group(sizes, top1["coat"], easy=0.5) == "easy"
### END HIDDEN TESTS

# %% [markdown]
# **3.** Each top-1 is a mean over 100 test images. Resample: `rng.binomial(100, p) / 100` for every size. In which fraction
# of `draws` draws does a class stay in its group? Avoid the logarithm of zero by an error of at least 0.005.


# %%
def agreement(sizes, top1, draws, rng):
    ### BEGIN SOLUTION
    own = group(sizes, top1)
    drawn = rng.binomial(100, np.asarray(top1), size=(draws, len(sizes))) / 100
    return np.mean([group(sizes, np.minimum(p, 0.995)) == own for p in drawn])
    ### END SOLUTION


# %% tags=["points-3"]
assert 0 <= agreement(sizes, top1["trouser"], 50, np.random.default_rng(0)) <= 1
### BEGIN HIDDEN TESTS
assert agreement(sizes, top1["trouser"], 400, np.random.default_rng(0)) > 0.97
assert 0.35 < agreement(sizes, [0.45, 0.52, 0.57], 400, np.random.default_rng(0)) < 0.65
### END HIDDEN TESTS
