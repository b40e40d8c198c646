# ---
# jupyter:
#   kernelspec: {name: python3, display_name: Python 3, language: python}
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   dataworth:
#     params: "dataworth.studies.proxy_validity:ProxyValidity"
#     description: Do small language models rank training sets as larger ones do?
#     device: cpu or one GPU
#     main: [proxies, model, seeds]
#     expected_minutes: {smoke: 1, quick: 1, full: 10, gpu: 12}
# ---

# %% [markdown]
# # A small model's ranking of training data: as good as a repetition of the large one?
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
# (the age of data also at a second): whether the ranking of sources hangs on the size of the model was not tested.
#
# **What is tested here.** The arms of the chapter on domains: the whole pool, the pools without one of its eight domains, and a {term}`random drop`.
# They are trained again with smaller models, from the same documents and as many tokens. How many pairs of arms come in the same
# order ({term}`decision accuracy`)? The control is the {term}`noise ceiling`: how well one run of the *larger* model foretells
# another of its own runs.

# %% [markdown]
# ## Scale of this run

# %% tags=["parameters"]
proxies = ["lm-0.1m"]
seeds = 2
model = "lm-0.4m"
vocabulary = 2048
# Set by the time on two cores: all of Part II within twelve minutes. Leaving out a domain changes the
# loss more than a filter does: a smaller budget shows it.
pool_bytes = 400_000
tokens = 118_784
batch = 16
context = 128
learning_rate = 1.6e-2
held_out_tokens = 6000
resamples = 1000
seed = 0

# %% [markdown]
# ## Method
#
# The runs of the larger model are those of the chapter on domains; nothing is trained twice. Arms are compared by their
# {term}`bits per byte` on each domain's held-out text, and by the plain average over the eight domains. A pair of arms counts as
# agreed if both sizes put it in the same order, ties as half.
#
# Two comparisons are kept apart. *All seeds together*: the proxy's mean over its runs against the larger model's mean, the way one would
# decide. *One run against one run*, of different seeds: the way to compare with the noise ceiling, which has the same noise on both
# sides.

# %%
from dataworth.studies.proxy_validity import ProxyValidity, run

params = ProxyValidity.from_names(globals())
study = run(params)
study.summary()

# %%
study.cost().round(3)

# %% [markdown]
# ## Small against large, arm by arm
#
# Each point is an arm: the change of the loss when a domain is left out, for the small and for the larger model. On its own
# text an arm that lacks the domain loses so much, with any model, that it says little about the rest.

# %% tags=["hide-input"]
import numpy as np

from dataworth import claims, published
from dataworth.figures import COLOURS, plain_ticks, show, subplots
from dataworth.studies.domains import without

proxy = params.proxies[0]
names = list(study.evaluations)
small, large = study.losses(proxy), study.losses(params.model)
whole = study.arms.index("full")
pairs = {name: study.agreement(proxy, name) for name in names}
fig, axes = subplots(3, 3, figsize=(9.0, 8.4))
for e, (ax, name) in enumerate(zip(axes.flat, names, strict=True)):
    x, y = large[:, e] - large[whole, e], small[:, e] - small[whole, e]
    own = np.array([arm == without(name) for arm in study.arms])
    control = np.array([arm.startswith("random") for arm in study.arms])
    rest = ~own & ~control
    ax.plot(x[rest], y[rest], "o", color=COLOURS["real"], ms=4.5)
    ax.plot(x[own], y[own], "^", color=COLOURS["synthetic"], ms=6)
    ax.plot(x[control], y[control], "s", color=COLOURS["published"], mfc="white", ms=5.5)
    others = ~own if own.any() else np.ones_like(own)
    low, high = min(x[others].min(), y[others].min()), max(x[others].max(), y[others].max())
    pad = 0.15 * (high - low)
    ax.plot([low - pad, high + pad], [low - pad, high + pad], ":", color="#999999", lw=1)
    ax.set(xlim=(low - pad, high + pad), ylim=(low - pad, high + pad))
    beyond = ""
    if own.any():
        beyond = f"\nown text: {x[own][0]:+.2f}, {y[own][0]:+.2f}"
    ax.set_title(f"{name}: {pairs[name].value:.2f} of pairs{beyond}", fontsize=9)
    ax.tick_params(labelsize=8)
    ax.locator_params(nbins=4)
fig.supxlabel(f"change of the loss, {params.model} (bits per byte)", fontsize=10)
fig.supylabel(f"change of the loss, {proxy} (bits per byte)", fontsize=10)
show(
    fig,
    alt=f"Nine scatter plots of the change of the loss against the whole pool, {proxy} against {params.model}, for "
    "eight domains' text and their average. Share of pairs in the same order: "
    + ", ".join(f"{name} {e.value:.2f}" for name, e in pairs.items())
    + ".",
    caption="Change of the loss of every arm against the whole pool, small model against larger one; the square is the random "
    "drop, the triangle the arm without the very domain (often outside the frame; its two changes, larger and small model, are in the "
    "title), the dotted line equality.",
    name="fig-proxy-arms",
)

# %% [markdown]
# ## How often do they agree?

# %% tags=["hide-input"]
record = claims.recorded("proxy-validity")
known = published.proxy_agreement()
sizes = list(params.proxies)
fig, (ax, right) = subplots(1, 2, figsize=(9.6, 4.3), width_ratios=(1.7, 1), sharey=True)
x = np.arange(len(names))
for i, name in enumerate(sizes):
    found = [study.agreement(name, e) for e in names]
    values = np.array([e.value for e in found])
    bars = np.clip(
        [values - [e.low for e in found], np.array([e.high for e in found]) - values], 0, None
    )
    ax.errorbar(
        x + 0.16 * (i - (len(sizes) - 1) / 2), values, yerr=bars, fmt="os^D"[i % 4], capsize=2,
        color=(COLOURS["real"], COLOURS["mixed"], COLOURS["synthetic"])[i % 3], lw=1,
        label=f"{name}, all seeds together",
    )  # fmt: skip
ax.set_xticks(x, names, rotation=35, ha="right", fontsize=9)
if record:
    past = record["evidence"]["pairs"]
    ax.plot(x, [past[name] for name in names], "^", ms=4, color=COLOURS["accent"], label="recorded")
ceiling = study.one_run(params.model)
single = {name: study.one_run(name) for name in sizes}
bars_of = {
    **{f"{name}, one run": e for name, e in single.items()},
    f"{params.model}, one run": ceiling,
}
for i, (name, e) in enumerate(bars_of.items()):
    right.errorbar(
        i, e.value, yerr=np.clip([[e.value - e.low], [e.high - e.value]], 0, None), fmt="o", capsize=3,
        color=COLOURS["published"] if name.startswith(params.model) else COLOURS["real"],
        mfc="white",
    )  # fmt: skip
right.set_xticks(
    range(len(bars_of)),
    [f"{m}\nforetells\n{params.model}" for m in (*sizes, params.model)],
    fontsize=8,
)
right.set_xlim(-0.6, len(bars_of) - 0.4)
decide = float(known[known.measure == "downstream accuracy"].agreement.iloc[0])
regmix = known[known.measure == "loss on a domain"].agreement
for panel in (ax, right):
    panel.axhline(0.5, color="#999999", lw=1, ls=":")
    panel.axhline(decide, color=COLOURS["published"], lw=1, ls="--")
    panel.axhspan(regmix.min(), regmix.max(), color=COLOURS["published"], alpha=0.2, lw=0)
    panel.set_ylim(0.3, 1.03)
for words, height in (
    ("RegMix, 1M for 60M, loss", regmix.max()),
    ("DataDecide, 150M for 1B, accuracy", decide),
):
    right.annotate(
        words, (0.02, height), xytext=(0, 2), xycoords=("axes fraction", "data"), fontsize=7.5,
        textcoords="offset points", va="bottom", bbox={"fc": "white", "ec": "none", "pad": 0.5},
    )  # fmt: skip
ax.set(ylabel="pairs of arms in the same order")
ax.legend(fontsize=8, loc="lower left")
show(
    fig,
    alt="Share of pairs of arms in the same order. Left, by evaluation: "
    + "; ".join(
        f"{name}: " + ", ".join(f"{e} {study.agreement(name, e).value:.2f}" for e in names)
        for name in sizes
    )
    + ". Right, one run against one run, mean over domains: "
    + ", ".join(f"{name} {e.value:.2f}" for name, e in bars_of.items())
    + f". Published: DataDecide {decide:.2f}, RegMix {regmix.min():.2f} to {regmix.max():.2f}.",
    caption="Decision accuracy. Left: small against larger model, by the text that judges; 95 % intervals over documents "
    "and runs. Right: one run against one run of another seed, mean over the domains, with intervals over documents; grey: the larger "
    "model foretells its own repetition, the noise ceiling. Dashed and shaded: published; dotted: chance.",
    name="fig-proxy-agreement",
)

# %% [markdown]
# ## Which pairs do they disagree on?
#
# A disagreement over two arms that are equally good costs nothing. Here are the same pairs, sorted by how far apart the larger
# model puts them.

# %% tags=["hide-input"]
fig, ax = subplots(figsize=(6.4, 3.9))
tables = {name: study.by_gap(name) for name in sizes}
for i, (name, table) in enumerate(tables.items()):
    ax.plot(
        table.gap, table.agree, "os^D"[i % 4] + "-", label=name,
        color=(COLOURS["real"], COLOURS["mixed"], COLOURS["synthetic"])[i % 3],
    )  # fmt: skip
ax.axhline(0.5, color="#999999", lw=1, ls=":")
ax.set(
    xscale="log",
    ylim=(0.4, 1.02),
    xlabel=f"difference between two arms, {params.model} (bits per byte; median of a quarter of the pairs)",
    ylabel="pairs in the same order",
)
plain_ticks(ax.xaxis)
ax.xaxis.label.set_size(9)
ax.legend(fontsize=8)
apart = {name: study.told_apart(name) for name in sizes}
show(
    fig,
    alt="Share of pairs in the same order against the difference between the two arms: "
    + "; ".join(
        f"{name}: " + ", ".join(f"{row.agree:.2f} at {row.gap:.4f}" for row in table.itertuples())
        for name, table in tables.items()
    )
    + ". Of the pairs that the larger model itself tells apart: "
    + ", ".join(
        f"{name} agrees on {a:.2f} of them ({s:.0%} of all)" for name, (a, s) in apart.items()
    )
    + ".",
    caption="Agreement by the size of the difference: all pairs of arms on all domains' text in four equal groups.",
    name="fig-proxy-gap",
)

# %% [markdown]
# The arm that lacks the very domain of the test text is an easy call; without it agreement is lower. The rank correlations are
# Spearman's, the mean over domains.

# %%
import pandas as pd

pd.DataFrame(
    {
        name: {
            "pairs, all arms": str(study.agreement(name)),
            "pairs, without the own domain's arm": str(study.agreement(name, own=False)),
            "pairs, average loss": str(study.agreement(name, "average")),
            "Spearman, all arms": str(study.agreement(name, measure="spearman")),
            "Spearman, without the own domain's arm": str(
                study.agreement(name, measure="spearman", own=False)
            ),
            "pairs, one run": str(study.one_run(name)),
            "pairs, noise ceiling": str(ceiling),
            "agreed, where the larger model tells apart": f"{apart[name][0]:.2f} ({apart[name][1]:.0%} of the pairs)",
        }
        for name in sizes
    }
)

# %% [markdown]
# ## Verdict

# %%
setting = (
    f"{proxy} for {params.model} at {study.cost()['share of the cost'][proxy]:.0%} of the operations, "
    f"{len(study.arms)} arms"
)
agree, short = study.agreement(proxy), study.shortfall(proxy)
ledger = claims.judge(
    "proxy-validity",
    {
        "pairs-by-average": study.agreement(proxy, "average"),
        "pairs-by-domain": agree,
        "ranks-by-domain": study.agreement(proxy, measure="spearman"),
        "better-than-chance": study.agreement(proxy, own=False),
        "as-good-as-repetition": short,
    },
    decide=decide, regmix=regmix.agg(["min", "max"]), setting=setting,
    spearman=published.table(paper="RegMix", metric="Spearman").y.agg(["min", "max"]),
    ceiling=ceiling, single=single[proxy],
)  # fmt: skip
ledger

# %% tags=["remove-cell"]
claims.write(
    ledger,
    evidence={
        "pairs": {name: e.value for name, e in pairs.items()},
        "pairs interval": {name: [e.low, e.high] for name, e in pairs.items()},
        "by proxy": {
            name: {
                "pairs": study.agreement(name).value,
                "spearman": study.agreement(name, measure="spearman").value,
                "one run": single[name].value,
                "told apart": list(apart[name]),
            }
            for name in sizes
        },
        "ceiling": [ceiling.value, ceiling.low, ceiling.high],
        "cost": study.cost().to_dict(),
    },
    provenance=study.provenance(),
)

# %% [markdown]
# ## Why it could be wrong
#
# - **The step is small.** From the proxy to the larger model is a factor of a few in parameters, where the published studies have
#   ten to a thousand. Agreement here is a necessary condition for agreement with large models, not evidence of it.
# - **The same budget.** Both sizes see the same number of tokens, so that nothing but the size differs. A proxy in
#   practice also sees fewer tokens, which saves more and agrees less; how often the pool is repeated would differ too.
# - **Resampling lowers agreement.** A bootstrap adds noise to two rankings that are noisy already, so that its percentile interval
#   lies low. The intervals above hold that interval and its mirror image at the estimate, which lies high; they are wide, and
#   verdicts against a claim as rare as verdicts for it. The shortfall is a difference, in which most of this cancels.
# - **Pairs are not independent.** Ten arms make forty-five pairs, and the whole pool is in nine of them.
# - **Loss, not tasks.** Accuracy on tasks is noisier; DataDecide's number is about accuracy. Nothing here
#   says that rankings by tasks would agree as well.
# - **The ceiling has few runs.** With two seeds it rests on two ordered pairs of runs; its interval is over documents.

# %% [markdown]
# ## Discussion
#
# **May conclusions from small models be believed?** Three numbers say how far. The *ceiling*: if the larger model does not
# foretell its own repetition, no proxy can, and the ranking asked for does not exist at this budget. The *shortfall* from it: what is
# lost by being small. And the *gap*: with which differences agreement becomes reliable ({numref}`fig-proxy-gap`). A
# chapter of this book that reports an effect far to the right of that figure may expect the sign to hold at the next size;
# one that reports an effect far to the left may not, whatever its interval.
#
# **Does the same hold for pictures?** Part I asks the analogous question with curves instead of pairs: whether the order of two
# data sources at a small number of images is kept at a larger one. A crossing of two scaling curves is a disagreement between a
# proxy and its target, foretold by a fit. DataDecide found that such fits rank data no better than
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
# **3.** Run with `-p 'proxies=["lm-0.1m", "lm-0.9m"]'`. Does a *larger* stand-in agree better, and what would you conclude if not?
#
# ```{admonition} Solution
# :class: dropdown
# Compare the columns of the last table with the ceiling. If both sizes agree with the target as well as its own repetition does,
# noise is what limits them, not size: more seeds or more held-out text help, a larger proxy does not.
# ```
