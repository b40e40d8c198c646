# %% [markdown]
# # Two ways to write guidance
#
# The slides write $\ell_g = (1 + t)\,\ell_c - t\,\ell_u$, the tools of Stable Diffusion
# $\epsilon = \epsilon_u + w(\epsilon_c - \epsilon_u)$.

# %%
import numpy as np

# %% [markdown]
# **1.** Write both, and the one that turns $t$ into $w$.


# %%
def by_t(conditional, unconditional, t):
    ### BEGIN SOLUTION
    return (1 + t) * conditional - t * unconditional
    ### END SOLUTION


def by_w(conditional, unconditional, w):
    ### BEGIN SOLUTION
    return unconditional + w * (conditional - unconditional)
    ### END SOLUTION


def w_of(t):
    ### BEGIN SOLUTION
    return 1 + t
    ### END SOLUTION


# %% tags=["points-2"]
assert by_t(2.0, 1.0, 0) == 2.0
assert by_w(2.0, 1.0, 1) == 2.0
### BEGIN HIDDEN TESTS
c, u = np.array([2.0, -1.0, 0.3]), np.array([1.0, 0.5, 0.4])
for t in (0, 0.3, 1, 6.5):
    assert np.allclose(by_t(c, u, t), by_w(c, u, w_of(t)))
assert np.isclose(w_of(0.3), 1.3)
### END HIDDEN TESTS

# %% [markdown]
# **2.** Guidance on log-densities of two Gaussians: the class has mean 1 and deviation 1, all images mean 0 and deviation 2.
# The guided log-density $(1 + t)\log p_c - t \log p_u$ is that of a Gaussian again. Return its mean and deviation.


# %%
def guided(t, mean=1.0, sd=1.0, all_mean=0.0, all_sd=2.0):
    ### BEGIN SOLUTION
    precision = (1 + t) / sd**2 - t / all_sd**2
    return ((1 + t) * mean / sd**2 - t * all_mean / all_sd**2) / precision, precision**-0.5
    ### END SOLUTION


# %% tags=["points-3"]
assert np.allclose(guided(0), (1, 1))
### BEGIN HIDDEN TESTS
x = np.linspace(-12, 12, 200_001)
for t in (0.3, 1.0, 6.5):
    log = -(1 + t) * (x - 1) ** 2 / 2 + t * x**2 / 8
    p = np.exp(log - log.max())
    p /= p.sum()
    m = (p * x).sum()
    assert np.allclose(guided(t), (m, ((p * (x - m) ** 2).sum()) ** 0.5), atol=1e-6)
### END HIDDEN TESTS

# %% [markdown]
# **3.** Does the deviation, the diversity of this class, rise or fall with $t$? Set `diversity` to "rises" or "falls", and
# `half` to the $t$ at which it is half of what it is without guidance.

# %%
### BEGIN SOLUTION
diversity = "falls"
half = 4.0
### END SOLUTION

# %% tags=["points-2"]
assert diversity in ("rises", "falls")
### BEGIN HIDDEN TESTS
assert diversity == "falls"
assert np.isclose(guided(half)[1], 0.5)
### END HIDDEN TESTS
