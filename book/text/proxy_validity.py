# ---
# jupyter:
#   dataworth:
#     answer: as-good-as-repetition
#     description: Do small language models rank training sets as larger ones do?
#     device: cpu or one GPU
#     expected_minutes:
#       full: 10
#       gpu: 12
#       quick: 1.5
#       smoke: 1
#     main:
#     - proxies
#     - model
#     - seeds
#     params: dataworth.studies.proxy_validity:ProxyValidity
#   jupytext:
#     notebook_metadata_filter: dataworth,kernelspec,jupytext.notebook_metadata_filter,-all
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Does a small model rank training data as well as a repetition of the large one?
#
# Every study in this book trains models far smaller than those in use. That is of use only if small models
# prefer the same data as large ones. Nobody need believe it: it can be measured, at the sizes at hand.
#
# **What is known.**
#
# - DataDecide {cite}`magnusson2025datadecide` trained 25 corpora at 14 sizes. Ranking corpora by the downstream
#   accuracy of models with 150 million parameters gets about 80 % of the pairs right for models with one billion;
#   fitted scaling laws did no better than that single size. Continuous scores, such as the likelihood of the right
#   answer, do better than counts of right answers.
# - RegMix {cite}`liu2024regmix` chose a mixture for models of a billion parameters by 512 models of one million. In its public tables the same
#   256 mixtures were trained at 1 and at 60 million parameters: on each domain's loss almost all pairs are in the same order.
# - In the public evaluations of DataComp-LM {cite}`li2024dclm` small and large models agree less, on accuracies with mixed hyperparameters.
#
# Longpre et al. {cite}`longpre2024pretrainer`, whose experiments this part of the book repeats, trained their data arms at one size
# (the age of data also at a second): whether the ranking of sources depends on the size of the model was not tested.
#
# **What is tested here.** The arms of the chapter on domains: the whole pool, the pools without one of its eight domains, and a {term}`random drop`.
# They are trained again with smaller models, from the same documents and as many tokens, and counted (`trigram`). How many pairs of arms come in the same
# order ({term}`decision accuracy`)? The control is the {term}`noise ceiling`: how well one run of the *larger* model predicts
# another of its own runs.

# %% [markdown]
# ## Scale of this run

# %% tags=["parameters"]
card = "small-pile"
# Ninety runs rank ten mixtures three times with three models. Here counts of tokens stand in for the smallest network: that
# takes a minute where three networks take seven. Larger models and their proxies are those of `full`, drawn beside.
proxies = ["trigram", "bigram"]
seeds = 3
model = "lm-0.1m"
vocabulary = 2048
pool_bytes = 400_000
tokens = 65_536
batch = 16
context = 128
learning_rate = 1.6e-2
held_out_tokens = 6000
resamples = 1000
seed = 0

# %% [markdown]
# ## Method
#
# Where the chapter on domains trains the larger model, its runs are these; nothing is trained twice. Counts of tokens are the
# smallest models there are: they cost a second. Arms are compared by their
# {term}`bits per byte` on each domain's held-out text, and by the plain average over the eight domains. A pair of arms counts as
# agreed if both sizes put it in the same order, ties as half.
#
# Two comparisons are kept apart. *All seeds together*: the proxy's mean over its runs against the larger model's mean, the way one would
# decide. *One run against one run*, of different seeds: the way to compare with the noise ceiling, which has the same noise on both
# sides.

# %%
from dataworth import tables
from dataworth.studies.proxy_validity import ProxyValidity, run

params = ProxyValidity.from_names(globals())
study = run(params)
tables.show(study.summary())

# %%
tables.show(
    study.cost(),
    {"parameters": ",", "TFLOP per run": ".3g", "share of the cost": ".0%", "seconds per run": ".1f"},
    names={"share of the cost": "cost, % of the larger model's"},
)  # fmt: skip

# %% [markdown]
# ## Small against large, arm by arm
#
# Each point is an arm: the change of the loss when a domain is left out, for the small and for the larger model. On its own
# text an arm that lacks the domain loses so much, with any model, that it says little about the rest: these points are
# left out of the panels.

# %%
from dataworth import claims, published
from dataworth.figures import curves, draw, forest, scatter, show

proxy, larger = params.proxies[0], params.model
pairs = {name: study.agreement(proxy, name) for name in study.evaluations}
roles = {"a domain left out": "real", "random drop": "control"}
panels = [
    scatter(
        study.compared(proxy, name), larger, proxy, equal=True, cross=(0, 0), roles=roles,
        title=f"{name} ({pairs[name].value:.2f})",
    )
    for name in study.evaluations
]  # fmt: skip
show(
    draw(*panels, columns=3, height=7.4, share=False),
    caption="Change of the loss of every arm against the whole pool (in bits per byte), small model against larger one, by "
    "the text they are evaluated on; in brackets, the fraction of all pairs of arms in the same order. Every panel has its "
    "own axes. The arm without the very domain is not drawn; dotted: no change, and equal changes.",
    name="fig-proxy-arms",
)

# %% [markdown]
# ## How often do they agree?

# %%
past = {} if params.own else (claims.recorded("proxy-validity") or {}).get("evidence", {})
known = published.proxy_agreement()
decide = float(known[known.measure == "downstream accuracy"].agreement.iloc[0])
regmix = known[known.measure == "loss on a domain"].agreement
literature = {
    "RegMix, 1M for 60M, loss": (regmix.min(), regmix.max()),
    "DataDecide, 150M for 1B, accuracy": decide,
}
recorded = past and {proxy: {k: (v, *past["pairs interval"][k]) for k, v in past["pairs"].items()}}

# %%
ceiling = study.one_run(larger)
single = {f"{name} predicts {larger}": study.one_run(name) for name in params.proxies}
share = "pairs of arms in the same order (chance: 0.5)"
common = {"reference": 0.5, "limits": (0.3, 1.03)}
show(
    draw(
        forest(
            {name: {e: study.agreement(name, e) for e in study.evaluations} for name in params.proxies},
            share, published=literature, roles={proxy: "this run"}, recorded=recorded or None,
            title=f"for {larger}, all seeds together", **common,
        ),
        forest(single | {f"{larger} predicts itself: the noise ceiling": ceiling}, share,
               title="one run for one run of another seed", **common),
        columns=1,
    ),
    caption="Decision accuracy. Above: small against larger model, by the text they are evaluated on; 95 % intervals over "
    "documents and runs. Below: one run against one run of another seed, mean over the domains, with intervals over "
    "documents. Dotted: chance.",
    name="fig-proxy-agreement",
)  # fmt: skip

# %% [markdown]
# What would decide? Errors fall with the square root of the runs and documents; the table says how many times as many it
# would take, at the agreement found, until the interval lies on one side of chance and of DataDecide's number
# (∞: more than 64 times).

# %%
tables.show(
    study.decisions(proxy, (0.5, decide)), {"pairs": ".2f", 0.5: ".0f", decide: ".0f"},
    names={"pairs": "pairs in the same order", 0.5: "times as many, to tell from chance",
           decide: f"times as many, to tell from {decide:g}"},
)  # fmt: skip

# %% [markdown]
# ## Which pairs do they disagree on?
#
# A disagreement over two arms that are equally good costs nothing. Here are the same pairs, sorted by how far apart the larger
# model puts them.

# %%
gaps = {name: study.by_gap(name) for name in params.proxies}
show(
    curves(
        {name: (table.gap, table.agree) for name, table in gaps.items()},
        f"difference between two arms, {larger} (bits per byte; median of a quarter of the pairs)",
        "pairs in the same order", log="x", chance=0.5, limits=(0.4, 1.02), form=".2f",
        ticks=(0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3), roles={proxy: "this run"},
    ),
    caption="Agreement by the size of the difference: all pairs of arms on all domains' text in four equal groups.",
    name="fig-proxy-gap",
)  # fmt: skip

# %% [markdown]
# The arm that lacks the very domain of the test text is an easy call; without it agreement is lower. The rank correlations are
# Spearman's; over so few arms they are shown and not judged.

# %%
tables.show(study.by_measure(), ".2f")

# %% [markdown]
# ## Verdict

# %%
setting = (
    f"{proxy} for {larger} at {study.cost()['share of the cost'][proxy]:.0%} of the operations, "
    f"{len(study.arms)} arms"
)
ledger = claims.judge(
    "proxy-validity",
    {
        "pairs-by-average": study.agreement(proxy, "average"),
        "pairs-by-domain": study.agreement(proxy),
        "better-than-chance": study.agreement(proxy, own=False),
        "as-good-as-repetition": study.shortfall(proxy),
    },
    decide=decide, regmix=regmix.agg(["min", "max"]), setting=setting,
    ceiling=ceiling, ceiling_own=study.one_run(larger, own=False), single=study.one_run(proxy),
)  # fmt: skip
ledger

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
claims.write(
    ledger,
    evidence={
        "pairs": {name: e.value for name, e in pairs.items()},
        "pairs interval": {name: [e.low, e.high] for name, e in pairs.items()},
        "by proxy": {
            name: {
                "pairs": study.agreement(name).value,
                "spearman": study.agreement(name, measure="spearman").value,
                "one run": study.one_run(name).value,
                "told apart": list(study.decided(name)),
            }
            for name in params.proxies
        },
        "ceiling": [ceiling.value, ceiling.low, ceiling.high],
        "cost": study.cost().to_dict(),
    },
    provenance=study.provenance(),
    cells=study.cell_means(),
)

# %% [markdown]
# ## Why it could be wrong
#
# - **The step is small.** From one network to the next is a factor of a few in parameters, where the published studies have
#   ten to a thousand; from counts to a network is a step in kind. Agreement here is a necessary condition for agreement with large models, not evidence of it.
# - **The same budget.** Both sizes see the same number of tokens, so that nothing but the size differs. A proxy in
#   practice also sees fewer tokens, which saves more and agrees less; how often the pool is repeated would differ too.
# - **Resampling lowers agreement.** A bootstrap adds noise to two rankings that are noisy already, so that its percentile interval
#   lies low. The intervals above hold that interval and its mirror image at the estimate, which lies high; they are wide, and
#   verdicts against a claim as rare as verdicts for it. The shortfall is a difference, in which most of this cancels.
# - **Pairs are not independent.** Ten arms make forty-five pairs, and the whole pool is in nine of them.
# - **Loss, not tasks.** Accuracy on tasks is noisier; DataDecide's number is about accuracy. Nothing here
#   says that rankings by tasks would agree as well.
# - **The ceiling has few runs.** It rests on the ordered pairs of few runs; its interval is over documents.

# %% [markdown]
# ## Discussion
#
# **May conclusions from small models be believed?** Three numbers say how far. The *ceiling*: if the larger model does not
# predict its own repetition, no proxy can, and the ranking asked for does not exist at this budget. The *shortfall* from it: what is
# lost by being small. And the *gap*: with which differences agreement becomes reliable ({numref}`fig-proxy-gap`). A
# chapter of this book that reports an effect far to the right of that figure may expect the sign to hold at the next size;
# one that reports an effect far to the left may not, whatever its interval.
#
# **Does the same hold for pictures?** Part I asks the analogous question with curves instead of pairs: whether the order of two
# data sources at a small number of images is kept at a larger one. A crossing of two scaling curves is a disagreement between a
# proxy and its target, predicted by a fit. DataDecide found that such fits rank data no better than
# the best single small size does.
#
# ## Exercises
#
# **1.** Ten arms, agreement 0.8 by pairs. What is Kendall's $\tau$, and how many pairs are in the wrong order?
#
# ```{admonition} Solution
# :class: dropdown
# $\tau = 2 \cdot 0.8 - 1 = 0.6$. Nine of the 45 pairs are reversed. `pair_accuracy` is $(1 + \tau)/2$.
# ```
#
# **2.** Two runs of one size agree on 85 % of the pairs. Suppose that noise hits both alike and independently. About how often
# would one run agree with the *true* order?
#
# ```{admonition} Solution
# :class: dropdown
# If each run has a pair right with probability $q$, two runs agree with $q^2 + (1-q)^2$. Setting this to 0.85 gives
# $q = (1 + \sqrt{2 \cdot 0.85 - 1})/2 \approx 0.92$ (if all pairs were equally hard, which they are not). Averaging seeds
# raises it: the comparison of means is the better decision, the comparison of single runs the fairer test.
# ```
#
# **3.** Run with `-p 'proxies=["lm-0.4m", "lm-0.9m"]'`. Does a *larger* stand-in agree better, and what would you conclude if not?
#
# ```{admonition} Solution
# :class: dropdown
# Compare the columns of the last table with the ceiling. If both sizes agree with the target as well as its own repetition does,
# noise is what limits them, not size: more seeds or more held-out text help, a larger proxy does not.
# ```
