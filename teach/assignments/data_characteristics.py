# %% [markdown]
# # What a score says depends on the unit that is scored
#
# A document is called toxic if its worst passage is. Long documents have many passages.

# %%
import numpy as np

from dataworth import published

# %% [markdown]
# **1.** A fraction $p$ of passages is flagged, independently. Which fraction of documents of $n$ passages is? And which $p$
# follows from a document rate?


# %%
def documents(p, n):
    ### BEGIN SOLUTION
    return 1 - (1 - p) ** n
    ### END SOLUTION


def passages(rate, n):
    ### BEGIN SOLUTION
    return 1 - (1 - rate) ** (1 / n)
    ### END SOLUTION


# %% tags=["points-3"]
assert np.isclose(documents(0.5, 1), 0.5)
### BEGIN HIDDEN TESTS
assert np.isclose(documents(0.031, 10), 0.27, atol=0.005)
assert np.isclose(passages(documents(0.02, 7), 7), 0.02)
### END HIDDEN TESTS

# %% [markdown]
# **2.** GPT-3's filter keeps a document of quality $s$ (1 is good) with probability $(2 - s)^{-9}$. Which fraction stays of
# documents with these scores?


# %%
def stays(scores, alpha=9):
    ### BEGIN SOLUTION
    return np.mean((2 - np.asarray(scores, dtype=float)) ** -alpha)
    ### END SOLUTION


# %% tags=["points-2"]
assert np.isclose(stays([1.0]), 1)
### BEGIN HIDDEN TESTS
assert np.isclose(stays([0.0]), 2.0**-9)
assert np.isclose(stays([0.9, 0.3]), (1.1**-9 + 1.7**-9) / 2)
assert stays([0.5], alpha=3) > stays([0.5])
### END HIDDEN TESTS

# %% [markdown]
# **3.** Table 1 of Longpre et al. as `published.model_shares()`: percent of the training text by domain. Return the names of
# the models of which more than half is web text, and the effective number of domains of each model,
# $\exp(-\sum_i p_i \log p_i)$ of its shares, scaled to add to 1.

# %%
shares = published.model_shares()


def mostly_web(shares):
    ### BEGIN SOLUTION
    return list(shares.index[shares.web > 50])
    ### END SOLUTION


def effective(shares):
    ### BEGIN SOLUTION
    p = shares.div(shares.sum(axis=1), axis=0)
    return np.exp(-(p * np.log(p.where(p > 0, 1))).sum(axis=1))
    ### END SOLUTION


# %% tags=["points-3"]
assert "GPT-2" in mostly_web(shares)
### BEGIN HIDDEN TESTS
assert set(mostly_web(shares)) == set(shares.index[shares.web > 50])
assert np.isclose(effective(shares)["GPT-2"], 1)
assert np.isclose(effective(shares)["BLOOM"], 3.66, atol=0.01)
assert effective(shares).idxmax() == "GPT-J/Neo"
### END HIDDEN TESTS
