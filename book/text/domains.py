# ---
# jupyter:
#   kernelspec: {name: python3, display_name: Python 3, language: python}
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   dataworth:
#     params: "dataworth.studies.domains:Domains"
#     description: What does a language model lose when one source is left out of its training text?
#     device: cpu or one GPU
#     main: [model, tokens, seeds]
#     expected_minutes: {smoke: 1, quick: 3, full: 35, gpu: 22}
# ---

# %% [markdown]
# # A source is not worth its bytes: what leaving it out costs, beside a random drop of the same size
#
# Training text is a mixture: web pages, books, code, papers, mails. To learn what a source is good for,
# leave it out and train again.
#
# **What they found.** Longpre et al. {cite}`longpre2024pretrainer` removed the nine groups of sources of the
# Pile {cite}`gao2020pile` one at a time and trained a model of 1.5 billion parameters on the rest.
#
# - "Common Crawl, OpenWeb and Books have strongest positive effects": without them, question answering
#   suffers most.
# - "Domain heterogeneity (multiple sources, domains) is critical", more than the size of the data.
# - Size does not explain the order: over the nine groups, the percentage removed and the change of the score
#   correlate with $r = -0.58$, and without Common Crawl with $+0.02$.
# - Removing a source rarely hurts its own kind of question. Only PubMed does (biomedical questions); without
#   academic papers, academic questions go *better*.
#
# RegMix {cite}`liu2024regmix` trained 512 small models on random mixtures of the Pile instead, and fitted the loss as
# a function of the shares. There, too, it is web text that matters most.
#
# Each of the published models was trained once, and there is no control for size: a model without Common
# Crawl has seen other text *and* less of it.
#
# **What is tested here.** A small Pile with counterparts of eight of its nine groups, in the Pile's proportions
# (PubMed has none). It is trained on whole; without each domain in turn; without *random* documents
# of as many bytes; and, with the bytes that are left without the largest domain, on one, two and four domains only.
# Every arm has the same number of training tokens and several seeds.

# %% [markdown]
# ## Scale of this run

# %% tags=["parameters"]
few = [1, 2, 4]
questions = 48
prompt = 32
continuation = 16
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
# A domain's *harm* is the {term}`bits per byte` of the model without it minus those of the model trained on
# everything, on the same held-out documents: above zero, leaving it out made the model worse. Run $i$ of every arm
# starts from the same weights, and intervals come from resampling documents and runs
# in pairs. The {term}`random drop` is drawn anew for every run; domains whose shares lie within one point have one between them.
#
# The average over domains can be taken in several ways, and the sign may hang on it. Leaving a domain out makes its own
# text harder to predict; the questions of the paper mostly measure *other* domains. Unless said otherwise, harm here is the
# plain mean over the seven domains that were left in.

# %%
from dataworth.studies.domains import Domains, run

params = Domains.from_names(globals())
study = run(params)
study.summary()

# %% [markdown]
# What every arm was trained on. The budget of tokens is the same for all, so that a smaller pool is read more often
# (epochs).

# %%
study.arms()

# %% [markdown]
# ## What leaving one domain out does to every domain
#
# Above, one domain left out; below, random documents of as many bytes. Coloured cells: the interval leaves out zero.

# %% tags=["hide-input"]
import numpy as np
from matplotlib.colors import SymLogNorm

from dataworth import claims, published
from dataworth.figures import COLOURS, show, subplots
from dataworth.studies.domains import without

domains = list(study.domains)
controls = list(dict.fromkeys(study.control(name) for name in domains))
upper, lower = study.heat([without(name) for name in domains]), study.heat(controls)
top = max(np.abs(upper[0]).max(), np.abs(lower[0]).max())
fig, axes = subplots(2, 1, figsize=(8.0, 7.2), height_ratios=(len(domains), len(controls)))
for ax, (values, clear), rows in zip(axes, (upper, lower), (domains, controls), strict=True):
    image = ax.imshow(
        np.where(clear, values, 0.0),
        cmap="RdBu_r",
        norm=SymLogNorm(linthresh=0.02, vmin=-top, vmax=top, base=10),
        aspect="auto",
    )
    for (i, j), value in np.ndenumerate(values):
        dark = "white" if abs(image.norm(value) - 0.5) > 0.3 else "black"
        ax.text(
            j, i, f"{value:+.3f}", ha="center", va="center", fontsize=7.5,
            color=dark if clear[i, j] else "#777777",
        )  # fmt: skip
    ax.set_xticks(range(len(domains)), domains, fontsize=8)
    ax.set_yticks(range(len(rows)), rows, fontsize=8)
    ax.grid(False)
axes[0].set(ylabel="domain left out")
axes[1].set(ylabel="left out at random", xlabel="held-out text of")
marks = [m for m in (0.01, 0.1, 1.0) if m < top]
bar = fig.colorbar(image, ax=axes, label="change of the loss (bits per byte)", shrink=0.6)
bar.set_ticks([-m for m in reversed(marks)] + [0, *marks])
bar.ax.set_yticklabels([f"{-m:+g}" for m in reversed(marks)] + ["0"] + [f"{m:+g}" for m in marks])
bar.minorticks_off()
own = np.diagonal(upper[0])
off = upper[0][~np.eye(len(domains), dtype=bool)]
show(
    fig,
    alt="Heat map of the change in bits per byte on the text of eight domains (columns). Upper part: one "
    f"domain left out. On the own text the change is {own.min():+.3f} to {own.max():+.3f}, largest for "
    f"{domains[int(own.argmax())]}; on other domains' text {off.min():+.3f} to {off.max():+.3f}, in "
    f"{int(upper[1].sum() - np.diagonal(upper[1]).sum())} of {off.size} cells clear of zero. Lower part: random "
    f"drops of the same sizes, {lower[0].min():+.3f} to {lower[0].max():+.3f}, {int(lower[1].sum())} of "
    f"{lower[1].size} cells clear of zero.",
    caption="Change of the held-out loss, in bits per byte, when one domain (above) or as many bytes at random "
    "(below) are left out, against the whole pool. Red: worse, blue: better, on a scale that is logarithmic beyond 0.02; "
    "white cells with grey figures: the 95 % interval holds zero.",
    name="fig-domains-heat",
)

# %% [markdown]
# ## Is it size?
#
# If a source were worth its bytes, harm would grow with the share left out, and a domain would do no more harm than random
# documents of its size. Left, this run; right, the published scores, with their sign turned so that up is worse.

# %%
harm = study.table()
drops = published.domain_drops()
harm[["group", "removed", "own", "others", "all", "random", "per_percent"]].round(4)

# %% tags=["hide-input"]
record = claims.recorded("domains")
fig, (ax, right) = subplots(1, 2, figsize=(9.6, 4.3))
for column, marker, colour, face, label in (
    ("random", "s", COLOURS["published"], "white", "random documents left out"),
    ("others", "o", COLOURS["real"], COLOURS["real"], "domain left out"),
):
    bars = np.clip(
        [harm[column] - harm[f"{column}_low"], harm[f"{column}_high"] - harm[column]], 0, None
    )
    ax.errorbar(
        harm.removed, harm[column], yerr=bars, fmt=marker, color=colour, mfc=face, ms=5, capsize=2,
        lw=1, label=label,
    )  # fmt: skip
for i, (name, row) in enumerate(harm.sort_values("removed").iterrows()):
    ax.annotate(
        name, (row.removed, row.others), xytext=(4, (4, -11)[i % 2]), textcoords="offset points",
        fontsize=8,
    )  # fmt: skip
if record:
    past = record["evidence"]["harm"]
    ax.plot(past["removed"], past["others"], "^", color=COLOURS["accent"], ms=4, label="recorded")
ax.axhline(0, color="#999999", lw=1, ls=":")
ax.set(xlabel="left out (% of the bytes)", ylabel="harm on the other domains (bits per byte)")
ax.legend(fontsize=8)
right.plot(drops.removed, -drops.average, "x", color=COLOURS["published"])
for group, row in drops.iterrows():
    right.annotate(
        group, (row.removed, -row.average), xytext=(4, 4), textcoords="offset points", fontsize=8
    )
right.axhline(0, color="#999999", lw=1, ls=":")
right.set(xlabel="left out (% of the bytes)", ylabel="harm to question answering (points)")
r_all, r_rest = study.size_correlation(), study.size_correlation(largest=False)
order = harm.others.sort_values(ascending=False)
show(
    fig,
    alt="Two scatter plots of harm against the percentage left out. Left, this run, on the domains left in: from "
    + ", ".join(f"{name} {value:+.4f}" for name, value in order.items())
    + f" bits per byte; random drops {harm.random.min():+.4f} to {harm.random.max():+.4f}. Correlation with "
    f"size {r_all.value:.2f}, without the largest domain {r_rest.value:.2f}. Right, published: "
    + ", ".join(f"{g} {-v:+.1f}" for g, v in drops.average.sort_values().items())
    + " points.",
    caption="Harm against size. Left: mean change of the loss on the seven domains left in, with 95 % intervals, beside "
    "random drops of the same bytes on the same domains. Right: published, fall of the average "
    "question-answering score of a 1.5B model (Longpre et al., Figure 8; one run each).",
    name="fig-domains-size",
)

# %% [markdown]
# The four averages: over the domains left in or over all, each domain alike or weighted by its share of
# the pool.

# %%
import pandas as pd


def words_of(e):
    return f"{e.value:+.4f} [{e.low:+.4f}, {e.high:+.4f}]"


averages = pd.DataFrame(
    {
        f"{scope}, {average}": {
            name: words_of(study.harm(name, own=scope == "all", average=average))
            for name in domains
        }
        for scope in ("left in", "all")
        for average in ("macro", "bytes")
    }
)
averages

# %% [markdown]
# ## Is it variety?
#
# Pools of equal bytes, read equally often, that hold one, two, four, seven or all eight domains. On the average
# over all domains (left) few domains must lose: they have never seen the others. The right panel asks
# whether variety is paid for on the text of the largest domain itself, of which the pools with fewer domains hold more.

# %% tags=["hide-input"]
largest = max(study.shares, key=study.shares.get)
everywhere = study.heterogeneity()
at_home = study.heterogeneity(largest)
fig, (ax, right) = subplots(1, 2, figsize=(9.4, 4.0))
for panel, found, skip in ((ax, everywhere, ()), (right, at_home, (len(domains) - 1,))):
    kept = [count for count in found if count not in skip]
    values = np.array([found[count].value for count in kept])
    bars = np.clip(
        [
            values - np.array([found[count].low for count in kept]),
            np.array([found[count].high for count in kept]) - values,
        ],
        0,
        None,
    )
    panel.errorbar(
        kept, values, yerr=bars, fmt="o-", color=COLOURS["real"], mfc=COLOURS["real"], capsize=3
    )
    panel.plot([len(domains)], [0], "s", color=COLOURS["published"], mfc="white", zorder=5)
    panel.axhline(0, color="#999999", lw=1, ls=":")
    panel.set(xlabel="domains in the pool", ylabel="loss above all domains (bits per byte)")
    panel.set_xticks(list(found))
ax.set_title("all eight domains", fontsize=10)
right.set_title(f"{largest} text only", fontsize=10)
show(
    fig,
    alt="Loss of pools of equal bytes above that of a random pool of all eight domains. Averaged over all domains: "
    + ", ".join(f"{count} domains {e.value:+.3f}" for count, e in everywhere.items())
    + f". On {largest} text: "
    + ", ".join(
        f"{count} domains {e.value:+.3f}"
        for count, e in at_home.items()
        if count != len(domains) - 1
    )
    + " bits per byte.",
    caption="Loss by the number of domains in pools of equal bytes and equal training, against random documents of all "
    f"eight (square). Seven domains: all but {largest}. 95 % intervals; left, the mean over all eight domains' "
    f"held-out text; right, that of {largest} text.",
    name="fig-domains-variety",
)

# %% [markdown]
# ## Does it show in a task?
#
# In place of the paper's questions: which of four continuations is the true one, after a stretch of
# held-out text? Counting right answers is coarse; the *margin* in bits per byte by which the true
# continuation is likelier than the best false one is finer. The questions are from the same eight domains.

# %%
study.accuracy().round(3)

# %% tags=["hide-input"]
task = study.downstream()
rows = np.arange(len(domains))
fig, (ax, right) = subplots(1, 2, figsize=(9.4, 4.4), sharey=True, width_ratios=(1.5, 1))
for column, marker, colour, face, shift, label in (
    ("own", "^", COLOURS["accent"], COLOURS["accent"], -0.2, "left out, its own questions"),
    ("others", "o", COLOURS["real"], COLOURS["real"], 0.0, "left out, the others' questions"),
    ("random", "s", COLOURS["published"], "white", 0.2, "random drop, the others' questions"),
):
    bars = np.clip(
        [task[column] - task[f"{column}_low"], task[f"{column}_high"] - task[column]], 0, None
    )
    ax.errorbar(
        task[column], rows + shift, xerr=bars, fmt=marker, color=colour, mfc=face, ms=5, capsize=2,
        lw=1, label=label,
    )  # fmt: skip
groups = [harm.group[name] for name in domains]
right.plot(drops.average[groups], rows, "x", color=COLOURS["published"])
for panel, label in (
    (ax, "change of the margin (bits per byte; right is better)"),
    (right, "published change of the QA average (points)"),
):
    panel.axvline(0, color="#999999", lw=1, ls=":")
    panel.set(xlabel=label)
    panel.xaxis.label.set_size(9)
ax.set_yticks(rows, [f"{name} ({group})" for name, group in zip(domains, groups, strict=True)])
ax.invert_yaxis()
ax.legend(fontsize=7.5)
show(
    fig,
    alt="Change of the multiple-choice margin by domain left out, in bits per byte, on the other domains' questions, with "
    "that of the random drop in brackets: "
    + ", ".join(f"{name} {row.others:+.3f} ({row.random:+.3f})" for name, row in task.iterrows())
    + f". On a domain's own questions {task.own.min():+.3f} to {task.own.max():+.3f}. Right: published changes of the "
    f"question-answering average, {drops.average[groups].min():+.1f} to {drops.average[groups].max():+.1f} points.",
    caption="Multiple choice when a domain is left out. Left: change of the margin of the true continuation against the "
    "whole pool, 95 % intervals. Right: published change of the question-answering average for the counterpart "
    "(Longpre et al., Figure 8).",
    name="fig-domains-choice",
)

# %% [markdown]
# ## Beside the published order
#
# Our numbers beside those of the Pile's groups: Figure 8 (average over the question-answering sets) and Table 3
# (toxicity identification; toxic generation, where up is worse). A Spearman correlation over
# eight domains is a weak instrument: its interval, over domains as well as documents and runs, is wide.

# %%
published_part = drops.loc[
    groups, ["removed", "average", "toxicity identification", "toxic generation"]
]
published_part.index = domains
beside = pd.concat(
    {
        "this run": harm[["group", "removed", "others"]].round({"removed": 1, "others": 4}),
        "Longpre et al.": published_part,
    },
    axis=1,
)
beside.sort_values(("Longpre et al.", "average"))

# %% tags=["hide-input"]
theirs = {name: -float(drops.average[harm.group[name]]) for name in domains}
agreement = study.agreement(theirs)
x = np.array([theirs[name] for name in domains])
fig, ax = subplots(figsize=(6.2, 4.2))
bars = np.clip([harm.others - harm.others_low, harm.others_high - harm.others], 0, None)
ax.errorbar(x, harm.others, yerr=bars, fmt="o", color=COLOURS["real"], capsize=2, lw=1)
ax.plot(x, harm.random, "s", color=COLOURS["published"], mfc="white", ms=5, label="random drop")
for i, (name, at) in enumerate(sorted(zip(domains, x, strict=True), key=lambda pair: pair[1])):
    ax.annotate(
        f"{name} ({harm.group[name]})",
        (at, harm.others[name]),
        xytext=(5, (4, -11)[i % 2]),
        textcoords="offset points",
        fontsize=8,
    )
ax.axhline(0, color="#999999", lw=1, ls=":")
ax.axvline(0, color="#999999", lw=1, ls=":")
ax.set(
    xlabel="published harm to question answering (points)",
    ylabel="harm on the other domains (bits per byte)",
)
ax.legend(fontsize=8)
show(
    fig,
    alt="Harm of leaving out a domain in this run against the published harm of its counterpart. Spearman correlation "
    f"{agreement.value:.2f}, 95 % interval {agreement.low:.2f} to {agreement.high:.2f}.",
    caption="This run against the published order. Vertical: mean change of the loss on the domains left in; squares: random "
    "drops of the same sizes. Horizontal: fall of the question-answering average (Longpre et al., Figure 8).",
    name="fig-domains-order",
)

# %% [markdown]
# ## The mixture as a regression
#
# The other way to read the same runs, that of RegMix: every arm is a mixture with known shares; regress the loss on
# each domain's text on the logarithms of all shares (ridge regression, its penalty chosen by cross-validation). The test
# is leave-one-out: predict an arm from the others. A slope below zero means that more of that source lowers
# the loss.

# %% tags=["hide-input"]
regression = study.regression
explained = regression.explained()
fig, (ax, right) = subplots(1, 2, figsize=(9.8, 4.4), width_ratios=(1, 1.25))
change = regression.measured - regression.measured.mean(0)
guess = regression.predicted - regression.measured.mean(0)
palette = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#333333", "#8C6D31")
for j, name in enumerate(domains):
    ax.plot(
        guess[:, j], change[:, j], "osD^vP*X"[j], ms=4.5, color=palette[j], alpha=0.8,
        label=f"{name}, R² {explained[j]:.2f}",
    )  # fmt: skip
ends = [min(guess.min(), change.min()), max(guess.max(), change.max())]
ax.plot(ends, ends, ":", color="#999999")
ax.set(
    xlabel="predicted from the other arms (bits per byte)",
    ylabel="measured, less the arms' mean",
)
ax.legend(fontsize=7)
steepest = np.abs(regression.slopes).max()
right.imshow(regression.slopes, cmap="RdBu_r", vmin=-steepest, vmax=steepest, aspect="auto")
for (i, j), value in np.ndenumerate(regression.slopes):
    right.text(
        j, i, f"{value:+.2f}", ha="center", va="center", fontsize=7,
        color="white" if abs(value) > 0.6 * steepest else "black",
    )  # fmt: skip
right.set_xticks(range(len(domains)), domains, fontsize=8, rotation=40, ha="right")
right.set_yticks(range(len(domains)), domains, fontsize=8)
right.set(xlabel="loss on the text of", ylabel="log share of")
right.grid(False)
outside = regression.slopes.copy()
np.fill_diagonal(outside, np.nan)
helps = np.nanmean(outside, axis=1)
show(
    fig,
    alt="Left: loss of every arm on every domain against its prediction from the other arms. Share of squared error saved "
    "against the mean of the other arms: "
    + ", ".join(f"{name} {value:.2f}" for name, value in zip(domains, explained, strict=True))
    + ". Right: heat map of slopes, bits per byte for a unit of the log share. On the diagonal "
    f"{np.diagonal(regression.slopes).min():+.2f} to {np.diagonal(regression.slopes).max():+.2f}; averaged over other "
    f"domains' text, {domains[int(helps.argmin())]} has the lowest slope ({helps.min():+.3f}).",
    caption="Regression of the loss on the mixture, over all arms, the random drops included. Left: every arm predicted from "
    "the others; R² is against predicting the others' mean. Right: slopes; below zero, more of the source (row) lowers "
    "the loss on the text of the column.",
    name="fig-domains-regression",
)

# %% [markdown]
# ## Verdict

# %%
from dataworth import stats

strong = [name for name in domains if harm.group[name] in ("CC", "OpenWeb", "Books")]
weak = [name for name in domains if name not in strong]
edited = [name for name in strong if harm.group[name] != "CC"]
harms = {name: study.harm(name) for name in domains}
mean = {kind: stats.mean([harms[n] for n in names])
        for kind, names in (("strong", strong), ("weak", weak), ("edited", edited))}  # fmt: skip
contrast = mean["strong"].minus(mean["weak"])
extra = stats.mean([study.harm(name, beyond=True) for name in domains])
most = max(params.few)
varied = everywhere[most]
qa, per_percent = drops.average, drops.average / drops.removed
ledger = claims.judge(
    "domains",
    {
        "strongest-sources": contrast,
        "openweb-and-books": mean["edited"].minus(mean["weak"]),
        "heterogeneity": varied,
        "beyond-own-domain": extra,
        "order": agreement,
        "size-does-not-explain": r_rest,
        "books-per-percent": study.largest_margin("books", per_percent=True),
        "own-domain": study.change(without("academic"), "academic"),
        "web-matters-most": study.largest_margin("web"),
    },
    qa={
        "strong": qa[[harm.group[n] for n in strong]].mean(),
        "weak": qa[[harm.group[n] for n in weak]].mean(),
        "edited": qa[["OpenWeb", "Books"]].mean(),
        "all": qa.mean(),
        "web": qa["CC"],
        "academic": drops.loc["Academic", "Academic"],
    },
    r={"all": -drops.removed.corr(qa), "rest": -drops.drop("CC").removed.corr(qa.drop("CC"))},
    order=", ".join(qa[groups].sort_values().index), lower=(qa < 0).sum(), removals=len(qa),
    per_percent=per_percent, next=per_percent.drop("Books").min(), most=most,
    strong=", ".join(strong), weak=", ".join(weak), edited=" and ".join(edited),
    largest=largest, r_all=r_all,
)  # fmt: skip
ledger

# %% tags=["remove-cell"]
claims.write(
    ledger,
    evidence={
        "harm": {"domain": domains} | {c: harm[c].tolist() for c in harm},
        "heat": upper[0].tolist(),
        "heterogeneity": {str(k): [e.value, e.low, e.high] for k, e in everywhere.items()},
        "downstream": {c: task[c].tolist() for c in task},
        "regression": {
            "explained": explained.tolist(), "slopes": regression.slopes.tolist(),
        },
        "size correlation": {
            "all": [r_all.value, r_all.low, r_all.high],
            "without the largest": [r_rest.value, r_rest.low, r_rest.high],
        },
        "epochs": study.arms().epochs.to_dict(),
    },
    provenance=study.provenance(),
)  # fmt: skip

# %% [markdown]
# ## Why it could be wrong
#
# - **Other data.** Our counterparts are eight small English corpora: the place of Common Crawl is taken by single sentences of
#   web text, that of legal text by presidents' speeches, that of OpenWeb by newspapers of 1961, that of Social by mails. Agreement with
#   Figure 8 would be agreement of *kinds* of text; disagreement may be due to the stand-ins.
# - **Loss and question answering.** The paper fine-tunes each model and counts right answers. A source can matter for
#   knowledge and not for the loss, or the other way round. On its own kind of text a domain has to matter for the loss.
# - **A fixed number of tokens.** A pool without its largest domain is read more often. While a pool is read about once, the
#   domains that stay gain what the missing one leaves: other text is seen more. That is how harm can be *below* zero. The
#   random drop has the same number of passes.
# - **Small pools, long documents.** Some domains are a handful of documents here; a random drop of whole documents then
#   changes the mixture by chance, and which documents of a domain the pool holds is fixed. The former is in the intervals (each
#   run has its own drop), the latter is not.
# - **Few test documents.** Some domains have about ten, though long ones. Documents are resampled, and the held-out text
#   counts with its beginnings.
# - **One baseline.** All harms are differences from the same whole-pool runs: their errors have a common part, as in
#   Figure 8, where nearly all removals lower two of the seven columns and raise a third. Differences *between* domains do not suffer from it.

# %% [markdown]
# ## Discussion
#
# **Will the trends apply to areas outside language models?** What carries over is the reasoning, as far as the verdicts above
# bear it out. A source matters for three different things: examples of its own kind, examples of others' kinds
# that it shares something with, and mere volume. The random drop separates the third from the rest, and the columns of
# {numref}`fig-domains-heat` the first from the second. Part I of this book does the same with pictures, where
# synthetic images are a *source*: they are worth something on the test set of their own kind, something else on shifted sets
# ([](../images/out_of_distribution)), and beside real images something else again ([](../images/mixing)). In both parts, a number of examples says little
# until it is said *for which test*. What does not carry over are the numbers: how much one kind of text teaches about another
# depends on how much vocabulary and grammar they share, and pictures of different kinds share other things.
#
# **Heterogeneity or size?** Compare the two panels of {numref}`fig-domains-variety`. Averaged over every kind of text, a pool of few
# domains does badly because it has never seen the others; this is coverage, and nobody doubts it. The stronger claim is that variety
# helps *everywhere*. The test of it is the claim on other domains' text in the ledger, and the right panel: the price
# paid on the largest domain's own text for reading other text as well.
#
# ## Exercises
#
# **1.** Rank the domains by harm per percent of bytes left out, by the plain and by the byte-weighted mean. Which average favours
# which kind of domain, and why?
#
# ```{admonition} Solution
# :class: dropdown
# `study.table("macro").per_percent.sort_values()` and `study.table("bytes").per_percent.sort_values()`. The weighted mean counts
# the large domains' text most; a source that helps a large domain gains by it. Leaving out a large domain itself shifts
# the weight to the rest: with the left-out domain excluded, the two means weigh the remaining ones differently.
# ```
#
# **2.** A colleague has only one run of each arm and reports that leaving out mails *improves* the model. What do you ask for?
#
# ```{admonition} Solution
# :class: dropdown
# For the random drop of the same size, and for a second seed. `harm.loc["mail"]` shows the interval of such an effect
# and `harm.random["mail"]` what losing as many bytes at random does. In Figure 8 of the paper, leaving
# out 1.2 % of the data moves single columns by up to 3.7 points in a single run: most of that can only be noise.
# ```
#
# **3.** Use the regression to propose a mixture with a lower average loss than the Pile's. Why should it be
# trained before it is believed?
#
# ```{admonition} Solution
# :class: dropdown
# With `s = study.regression.slopes.mean(1)`, the predicted average loss is a constant plus $\sum_i s_i \log(p_i + 0.01)$. Under
# $\sum_i p_i = 1$ it is lowest where $p_i + 0.01$ is proportional to $-s_i$, over the domains whose slope is below zero. The arms differ from the Pile by one domain at a time, mostly: a mixture far from
# all of them is an extrapolation, and documents of a small domain would be read many times over, which the regression has never seen.
# ```
