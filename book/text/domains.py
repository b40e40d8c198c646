# ---
# jupyter:
#   dataworth:
#     answer: beyond-own-domain
#     description: What does a language model lose when one source is left out of its
#       training text?
#     device: cpu or one GPU
#     expected_minutes:
#       full: 35
#       gpu: 22
#       quick: 2
#       smoke: 1
#     main:
#     - model
#     - pool_bytes
#     - seeds
#     params: dataworth.studies.domains:Domains
#   jupytext:
#     notebook_metadata_filter: dataworth,kernelspec,jupytext.notebook_metadata_filter,-all
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What does leaving a source out cost, beside a random drop of the same size?
#
# Training text is a mixture: web pages, books, code, papers, e-mails. To learn what a source is good for,
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
# a function of the shares. There, too, it is web text that matters most. Neither can be tested here: no corpus of this book
# is text of the web.
#
# Each of the published models was trained once, and there is no control for size: a model without Common
# Crawl has seen other text *and* less of it.
#
# **What is tested here.** A small Pile with counterparts of eight of its nine groups, in the Pile's proportions, but none
# below five percent (PubMed has no counterpart). It is trained on whole; without each domain in turn; without *random*
# documents of as many bytes; and, with the bytes that are left without the largest domain, on a few domains only.
# Every arm has several runs, each with a pool of its own: which documents stand for a domain is part of every interval. What is
# trained is counts of three tokens in a row at the profile `quick`, a second each; language models of equal budgets at larger ones.

# %% [markdown]
# ## Scale of this run

# %% tags=["parameters"]
card = "small-pile"
few = [1, 4]
questions = 48
prompt = 32
continuation = 16
seeds = 6
model = "trigram"
vocabulary = 2048
# Counts take a second of all of it; the budgets below are those of language models.
pool_bytes = 1_200_000
tokens = 114_688
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
# selects from the same pool, which is sampled anew for the next run (language models start from the same weights); intervals come
# from the noise of documents and runs in pairs ({term}`interval`). The {term}`random drop` of a domain's size is interpolated
# between the sizes that were run.
#
# The *model* is a parameter. Counts of up to three tokens, smoothed after Kneser and Ney {cite}`chen1999smoothing`, predict this
# little text better than small networks do, have no random start, and cost so little that six pools fit where three did:
# what differs between two arms is the text. A language model can use longer contexts, and shows what they add at larger scales.
#
# A pool holds *sections* of documents, two rows of the model long, so that a domain is not one speech: at least thirty
# documents each, or the chapter refuses to run. No document stands in two domains: the scraps of English held four percent of
# sentences of the speeches, and have lost what shares a twentieth of its word 8-grams with another corpus. Mail bodies that are
# not text are left out.
#
# The average over domains can be taken in several ways, and the sign may depend on it. Leaving a domain out makes its own
# text harder to predict; the questions of the paper mostly measure *other* domains. Unless said otherwise, harm here is the
# plain mean over the seven domains that were left in.

# %%
from dataworth import tables
from dataworth.studies.domains import Domains, run

params = Domains.from_names(globals())
study = run(params)
tables.show(study.summary())

# %% [markdown]
# What every arm was trained on. Counts take each document once. The budget of a language model is the same for all arms, so that
# a smaller pool is read more often (epochs).

# %%
tables.show(
    study.arms(), {"documents": ",", "kB": ",", "epochs": ".2f"},
    names={"kB": "kB of text", "fewest": "fewest of a domain"},
)  # fmt: skip

# %% [markdown]
# ## What leaving one domain out does to every domain
#
# Above, one domain left out; below, random documents of as many bytes. Pale cells: the interval holds zero.

# %%
from dataworth import claims, published
from dataworth.figures import curves, draw, forest, heatmap, scatter, series, show
from dataworth.stats import correlation
from dataworth.studies.domain_arms import without

domains = list(study.domains)
controls = list(params.controls)
left_out = study.heat([without(name) for name in domains])
shared = {"columns": domains, "better": "down", "top": 0.2, "form": "+.3f"}
change = "change of the loss (bits per byte)"
show(
    draw(
        heatmap(left_out, change, rows=domains, title="one domain left out", **shared),
        heatmap(study.heat(controls), change, rows=controls, title="left out at random", **shared),
        columns=1,
    ),
    caption="Change of the held-out loss, in bits per byte, on the text of every domain (columns) when one domain "
    "(above) or as many bytes at random (below) are left out, against the whole pool. Red: worse, blue: better; colours "
    "are logarithmic beyond 0.02 and end at 0.2. Pale: the 95 % interval holds zero. All cells of a column share the runs "
    "of the whole pool: a column of one colour may be their luck.",
    name="fig-domains-heat",
)

# %% [markdown]
# ## Is it size?
#
# If a source were worth its bytes, harm would grow with the fraction left out, and a domain would do no more harm than random
# documents of its size. Left, this run; right, the published scores, with their sign turned so that up is worse.

# %%
harm = study.table()
drops = published.domain_drops()
tables.show(
    harm[["group", "removed", "own", "others", "random", "per_percent"]],
    {"removed": ".1f", "own": "+.3f", "others": "+.4f", "random": "+.4f", "per_percent": "+.5f"},
    names={
        "domain": "domain left out", "group": "counterpart in the Pile", "removed": "% of the bytes",
        "own": "harm on its own text", "others": "on the others",
        "random": "random drop, on the others", "per_percent": "harm per % left out",
    },
)  # fmt: skip

# %%
past = {} if params.own else (claims.recorded("domains") or {}).get("evidence", {})
recorded = [series(past["harm"], c, "domain") for c in ("removed", "others")] if past else None
r_all, r_rest = study.size_correlation(), study.size_correlation(whole=False)
share, on_others = "left out (% of the bytes)", "harm on the domains left in (bits per byte)"
roles = {"random drop": "control", "domain left out": "real", "Longpre et al.": "published"}

# %%
harms = {"random drop": series(harm, "random"), "domain left out": series(harm, "others")}
show(
    draw(
        scatter({name: (harm.removed, found) for name, found in harms.items()}, share, on_others,
                names="domain left out", cross=(None, 0), recorded=recorded, roles=roles),
        scatter({"Longpre et al.": (drops.removed, -drops.average)}, share,
                "harm to question answering (points)", names=True, cross=(None, 0), roles=roles),
    ),
    alt=f"Correlation of harm and size {r_all.value:.2f}, without the largest domain {r_rest.value:.2f}.",
    caption="Harm against size. Left: mean change of the loss on the domains left in, with 95 % intervals, beside "
    "random drops of the same bytes on the same domains. Right: published, fall of the average "
    "question-answering score of a 1.5B model (one run each).",
    name="fig-domains-size",
)  # fmt: skip

# %% [markdown]
# The harm by four averages: over the domains left in or over all, each domain alike or weighted by its share of
# the pool.

# %%
tables.show(study.averages(), "+.3f")

# %% [markdown]
# ## Is it variety?
#
# Pools of equal bytes, read equally often, that hold few, seven or all eight domains. On the average
# over all domains (left) few domains must lose: they have never seen the others. The right panel asks
# whether variety is paid for on the text of the largest domain itself, of which the pools with fewer domains hold more.
# What can fail is stated as a claim: on kinds of text that *neither* pool has seen, do more domains predict better?

# %%
most = max(params.few)
largest = max(study.shares, key=study.shares.get)
everywhere, at_home = study.heterogeneity(), study.heterogeneity(largest)
axes = ("domains in the pool", "loss above all domains (bits per byte)")
show(
    draw(
        curves(everywhere, *axes, title="text of all domains", log="", reference=0,
               recorded=past.get("heterogeneity")),
        curves(at_home, *axes, title=f"{largest} text only", log="", reference=0),
        share=False,
    ),
    caption="Loss by the number of domains in pools of equal bytes and equal training, against random documents of all "
    f"{len(domains)} (zero). {len(domains) - 1} domains: all but {largest}. 95 % intervals; left, the mean over all domains' "
    f"held-out text; right, that of {largest} text, on an axis of its own.",
    name="fig-domains-variety",
)  # fmt: skip

# %% [markdown]
# ## Does it show in a task?
#
# In place of the paper's questions: which of four continuations is the true one, after a stretch of
# held-out text? Counting right answers is coarse; the *margin* in bits per byte by which the true
# continuation is likelier than the best false one is finer. The questions are from the same eight domains. First the levels
# of the whole pool: where right answers are not clear of chance, changes say nothing.

# %%
answered = study.accuracy()
tables.show(
    answered, {"right": ".0f", "margin": ".3f"},
    names={"right": "right answers (%; chance: 25)", "margin": "margin (bits per byte)"},
)  # fmt: skip

# %%
task = study.downstream()
words = {"own": "left out, its own questions", "others": "left out, the others' questions",
         "random": "random drop, the others' questions"}  # fmt: skip
known = study.counterparts()
groups = harm.group[known]
rows = {name: f"{name} ({groups[name]})" if name in known else name for name in domains}
qa = drops.average[groups].set_axis(known)
hues = dict(zip(words.values(), ("mixed", "real", "control"), strict=True))
panels = [
    forest({word: series(task, column) for column, word in words.items()},
           "change of the margin (bits per byte; better →)", rows=rows, reference=0, roles=hues)
]  # fmt: skip
if known:
    panels.append(
        forest({}, "QA change, points (better →)", rows=rows, reference=0,
               published={"Longpre et al., Figure 8": qa})
    )  # fmt: skip
show(
    draw(*panels, widths=(1.5, 1)[: len(panels)]),
    caption="Multiple choice when a domain is left out. Left: change of the margin of the true continuation against the "
    "whole pool, 95 % intervals. Right: published change of the question-answering average for the counterpart.",
    name="fig-domains-choice",
)  # fmt: skip

# %% [markdown]
# ## Beside the published order
#
# Our numbers beside those of the Pile's groups: Figure 8 (average over the question-answering sets) and Table 3
# (toxicity identification; toxic generation, where up is worse). A Spearman correlation over
# eight domains is a weak instrument: its interval, over domains as well as documents and runs, is wide.

# %%
import pandas as pd

theirs = ["removed", "average", "toxicity identification", "toxic generation"]
beside = {
    "this run": harm.loc[known, ["group", "removed", "others"]],
    "Longpre et al.": drops.loc[groups, theirs].set_axis(known),
}
study.lacking or tables.show(
    pd.concat(beside, axis=1).rename_axis("domain").sort_values(("Longpre et al.", "average")),
    {"this run, removed": ".1f", "this run, others": "+.4f", "Longpre et al., removed": ".1f"}
    | {f"Longpre et al., {name}": "+.1f" for name in theirs[1:]},
    names={"domain": "domain left out", "this run, group": "counterpart",
           "this run, removed": "this run, % of the bytes", "this run, others": "this run, harm",
           "Longpre et al., removed": "published, % of the bytes", "Longpre et al., average": "QA average"}
    | {f"Longpre et al., {name}": name for name in theirs[2:]},
)  # fmt: skip

# %%
agreement, beside = study.agreement(dict(-qa)), harm.loc[known]
study.lacking or show(
    scatter(
        {"random drop": (-qa, beside.random), "domain left out": (-qa, series(beside, "others"))},
        "published harm to question answering (points)", on_others, cross=(0, 0),
        names="domain left out", roles=roles,
    ),
    alt=f"Spearman correlation of the two orders: {tables.text(agreement, '.2f')}.",
    caption="This run against the published order. Vertical: mean change of the loss on the domains left in, with 95 % "
    "intervals. Horizontal: fall of the question-answering average without the counterpart (Longpre et al., Figure 8).",
    name="fig-domains-order",
)  # fmt: skip

# %% [markdown]
# ## The mixture as a regression
#
# The other way to read the same runs, that of RegMix: every arm is a mixture with known shares; regress the loss on
# each domain's text on the logarithms of all shares (ridge regression, its penalty chosen by cross-validation). The test
# is leave-one-out: predict an arm from the others. A slope below zero means that more of that source lowers
# the loss.

# %%
regression = study.regression
explained = regression.explained()
lacking, holding = study.predictions(held=False), study.predictions(held=True)
axes = ("predicted from the other arms", "measured, less the arms' mean")
past_fit = past.get("regression", {}).get("explained")
show(
    draw(
        scatter((lacking.predicted, lacking.measured), *axes, equal=True,
                title="arms without the domain"),
        scatter((holding.predicted, holding.measured), *axes, equal=True,
                title="arms with the domain"),
        forest(dict(zip(domains, explained, strict=True)), "R² against the arms' mean",
               reference=0, limits=(-1, 1), recorded=past_fit and dict(zip(domains, past_fit, strict=True))),
        share=False,
    ),
    caption="Regression of the loss (bits per byte) on the mixture, over all arms, the random drops included. Every arm is "
    "predicted from the others, on the text of the domains that it lacks (left) and holds (middle). Right: the fraction of "
    "the squared error that this saves against the mean of the other arms; an arrow: below −1.",
    name="fig-domains-regression",
)  # fmt: skip

# %%
show(
    heatmap(regression.slopes, "slope (bits per byte)", rows=domains, columns=domains, better="down",
            x="loss on the text of", y="log share of", form="+.3f", least=5e-4),
    caption="Slopes of the regression for a unit of the log share; blue: more of the source (row) lowers the loss on the "
    "text of the column.",
    name="fig-domains-slopes",
)  # fmt: skip

# %% [markdown]
# ## Verdict

# %%
strong = study.counterparts("CC", "OpenWeb", "Books")
edited = study.counterparts("OpenWeb", "Books")
weak = [name for name in known if name not in strong]
others = study.mean_harm(weak)
average, best, others_of_pile = (
    drops.average,
    ["CC", "OpenWeb", "Books"],
    ["Code", "Academic", "Legal", "Wiki", "Social"],
)
per_percent = average / drops.removed
ledger = claims.judge(
    "domains",
    {
        "strongest-sources": study.mean_harm(strong).minus(others),
        "openweb-and-books": study.mean_harm(edited).minus(others),
        "variety": study.variety(most),
        "beyond-own-domain": study.mean_harm(domains, beyond=True),
        "order": agreement,
        "size-does-not-explain": r_rest,
        "books-per-percent": study.largest_margin("books", per_percent=True),
        "academic-answers": study.answers_without("academic"),
    },
    qa={
        "strong": average[best].mean(), "weak": average[others_of_pile].mean(),
        "edited": average[best[1:]].mean(),
        "all": average.mean(), "academic": drops.loc["Academic", "Academic"],
    },
    r={"all": -drops.removed.corr(average),
       "rest": -drops.drop("CC").removed.corr(average.drop("CC"))},
    order=", ".join(average[best + others_of_pile].sort_values().index), lower=(average < 0).sum(), removals=len(drops),
    per_percent=per_percent, next=per_percent.drop("Books").min(), most=most,
    strong=", ".join(strong) or "no domain", weak=", ".join(weak) or "no domain",
    edited=" and ".join(edited) or "no domain",
    largest=largest, r_all=r_all, counterparts=len(domains), fewest=study.fewest(),
    fewer_bytes=study.fewer_bytes(most), at_random=study.at_random(domains),
    strong_at_random=study.at_random(strong).minus(study.at_random(weak)),
    edited_at_random=study.at_random(edited).minus(study.at_random(weak)),
    edited_but_code=study.mean_harm(edited).minus(
        study.mean_harm([name for name in weak if name != "code"])
    ),
    books_at_random=study.at_random(["books"], per_percent=True),
    by_size=correlation([study.shares[name] for name in known], -qa, rank=True) if known else 0.0,
    academic_at_random=study.answers_at_random("academic"),
    academic_right=study.right("academic"),
)  # fmt: skip
ledger

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
claims.write(
    ledger,
    evidence={
        "harm": {"domain": domains} | {c: harm[c].tolist() for c in harm},
        "heat": left_out[0].tolist(),
        "heterogeneity": {str(k): [e.value, e.low, e.high] for k, e in everywhere.items()},
        "downstream": {c: task[c].tolist() for c in task},
        "right answers": {name: e.evidence() | {"chance": 25} for name, e in answered.right.items()},
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
    cells=study.cell_means(),
)  # fmt: skip

# %% [markdown]
# ## Why it could be wrong
#
# - **Other data.** Our counterparts are eight small English corpora: the place of Common Crawl is taken by scraps (lyrics,
#   film scripts, forum posts, novels), that of legal text by presidents' speeches, that of OpenWeb by newspapers of 1961, that of Social by
#   e-mails. Agreement with Figure 8 would be agreement of *kinds* of text; disagreement may be due to the stand-ins. Three of the
#   domains are parts of one corpus (Brown), so that kinds of text that a pool has not seen may have a neighbour in it.
# - **Loss and question answering.** The paper fine-tunes each model and counts right answers. A source can matter for
#   knowledge and not for the loss, or the other way round. On its own kind of text a domain has to matter for the loss.
# - **A fixed number of tokens.** A language model reads a pool without its largest domain more often. While a pool is read about
#   once, the domains that stay gain what the missing one leaves: other text is seen more. That is how harm can be *below* zero. The
#   random drop has the same number of epochs. Counts repeat nothing.
# - **Three tokens.** Counts see no further: what a source teaches beyond neighbouring words is not in their harm.
# - **Sections.** Documents are cut, two rows of the model long: what a longer context would use of a document is lost in every arm.
# - **One tokenizer.** It was learned from all eight domains, once: what it gives a domain that is then left out is in no interval.
# - **Few test documents.** Some domains have about ten, though long ones. Documents are resampled, those of one president together, and
#   the held-out text counts with its beginnings.
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
# helps *everywhere*. Its tests are two claims of the ledger, that on other domains' text and that on kinds that neither pool has
# seen, and the right panel: the price paid on the largest domain's own text for reading other text as well.
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
# **2.** A colleague has only one run of each arm and reports that leaving out e-mails *improves* the model. What do you ask for?
#
# ```{admonition} Solution
# :class: dropdown
# For the random drop of the same size, and for a second run on other documents. `harm.loc["mail"]` shows the interval of such an effect
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
