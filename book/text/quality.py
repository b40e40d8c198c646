# ---
# jupyter:
#   kernelspec: {name: python3, display_name: Python 3, language: python}
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   dataworth:
#     params: "dataworth.studies.filtering:QualityFilter"
#     description: Does a filter for quality make a better language model, and is it the filter?
#     device: cpu or one GPU
#     expected_minutes: {smoke: 1, quick: 3, full: 20, gpu: 25}
# ---

# %% [markdown]
# # Filtering for quality helps, although less text is left
#
# A quality filter is a classifier that tells curated text (books, encyclopedias, edited pages) from the
# open web, and keeps the web pages that look most like the curated ones. GPT-3, GLaM and PaLM were trained on text
# chosen in this way. There is no ground truth for *quality*: the score measures resemblance.
#
# **What they found.** Longpre et al. {cite}`longpre2024pretrainer` filtered C4 at four thresholds, trained a model of 1.5
# billion parameters on each and fine-tuned it.
#
# - "Quality filters improve toxic identification and QA tasks": question answering gains 2.5 points where the
#   filter keeps 91 % of the text, 1.0 at 84 %, 1.2 at 73 % and 0.7 at 46 %. The mildest filter is the best.
# - The inverse filter, which keeps the *worst* 73 %, loses 3.1 points. With 73 % kept both times, which text is left
#   makes a difference of 4.3 points.
# - Questions about books are the exception: −2.2 points at 91 % kept, −6.7 at 46 %.
# - Filter and inverse filter both raise the toxicity of what the model writes.
#
# Each model was trained once, and none on a *random* part of the same size. Later work adds a suspicion: random text with
# the filtered set's mix of topics and formats recovers 84 % of the gain of one well-known filter and 35 %
# of another's {cite}`wettig2025organize`. A filter would then be a way to mix domains.
#
# **What is tested here.** A small crawl (sentences of the web and mails, four to one) in the place of C4; the GPT-3
# classifier at the paper's four shares and its inverse; {term}`random drops <random drop>`; a random choice with the filter's domain
# mix; a filter of a larger crawl, which leaves as much unique text as there was; Pareto sampling, as GPT-3 did it; and
# rules of thumb made for web pages.

# %% [markdown]
# ## Scale of this run

# %% tags=["parameters"]
kept = [91, 84, 73, 46]
inverse = 73
controls = [91, 73, 46]
equal = 73
tasks = [91, 73, 46]
task_control = 73
pareto_bytes = 9_600_000
alpha = 9
examples = 400
steps = 60
questions = 96
prompts = 20
samples = 25
seeds = 2
model = "lm-0.4m"
vocabulary = 2048
pool_bytes = 1_100_000
tokens = 360_000
batch = 16
context = 128
learning_rate = 1.6e-2
held_out_tokens = 8_000
resamples = 1000
seed = 0

# %% [markdown]
# ## Method
#
# The score is a logistic regression on hashed words and pairs of words {cite}`brown2020language`, with edited prose (the Brown corpus)
# and glosses (WordNet) as positives and web sentences as negatives. **Here 1 is good; the score of Longpre et al. is one
# minus ours.** Documents are ranked by it, and the best are kept until they hold the stated share of the *bytes*; equal
# thresholds would keep different shares under different scores.
#
# Every arm has the same number of training tokens, so that a smaller set is read more often. The {term}`gain` of an arm is the
# percentage by which its {term}`bits per byte` on held-out text lie *below* those of the model trained on the unfiltered
# crawl: positive is better. Run $i$ of every arm starts from the same weights, and intervals resample documents and
# runs in pairs. Random drops are drawn anew for every run; between the sizes that were run their losses are
# interpolated.

# %%
from dataworth.studies.filtering import QualityFilter, run

params = QualityFilter.from_names(globals())
study = run(params)
study.summary()

# %% [markdown]
# ## What the filter keeps
#
# `cut` is the score at which the filter cuts (the best document that an inverse filter keeps); `passes` says how often a run reads its
# set; `quality` is the mean score over bytes, `toxic` the share of bytes in documents that the toxicity scorer calls
# toxic, `unscored` that of documents that lack either score. Texts without a word, or not in English, are in no arm.

# %%
study.sets().round(2)

# %% tags=["hide-input"]
import numpy as np

from dataworth import claims, published
from dataworth.figures import COLOURS, show, subplots
from dataworth.figures.filters import (
    choice_by_domain,
    draw_cells,
    draw_gains,
    draw_mix,
    draw_tasks,
)

sets = study.sets()
fig, axes = subplots(1, 4, figsize=(10.5, 4.6), width_ratios=(1.6, 1, 1, 1), sharey=True)
draw_mix(axes, study)
mild, strict = study.arm("quality", max(kept)), study.arm("quality", min(kept))
hardest = str(strict)
show(
    fig,
    alt="Four panels with one row per arm. Domain mix: mail holds "
    f"{sets.mail['whole']:.0f} % of the unfiltered bytes, {sets.mail[hardest]:.0f} % at {min(kept):g} % kept and "
    f"{sets.mail['rules for pages']:.0f} % after the rules for pages. Mean document: {sets.bytes['whole']:.0f} bytes "
    f"unfiltered, {sets.bytes[hardest]:.0f} at {min(kept):g} % kept. Mean quality {sets.quality['whole']:.2f} and "
    f"{sets.quality[hardest]:.2f}. Toxic bytes {sets.toxic['whole']:.1f} % and {sets.toxic[hardest]:.1f} %.",
    caption="What every arm is trained on: domains, mean length of a document, mean quality score (1 is good) and "
    "share of toxic bytes, of the first seed. Dotted: the unfiltered crawl.",
    name="fig-quality-mix",
)

# %% [markdown]
# Three random sentences of each fate (offensive words masked):

# %% tags=["hide-input"]
study.removed(3).style.hide().format({"score": "{:.2f}"}, escape="html")

# %% [markdown]
# ## Gain by share kept

# %% tags=["hide-input"]
record = claims.recorded("quality")
paper = published.longpre_filters("quality")
average = paper[paper.category == "average"]
gains = study.gains()
fig, (ax, right) = subplots(1, 2, figsize=(10.2, 4.4), width_ratios=(1.7, 1))
draw_gains(ax, study, record["evidence"]["gains"] if record else None)
filters = average[~average.inverse].sort_values("kept")
worst = average[average.inverse]
right.plot([100, *filters.kept[::-1]], [0, *filters.change[::-1]], "o-", color=COLOURS["published"])
right.plot(worst.kept, worst.change, "s", color=COLOURS["published"], mfc="white", label="inverse")
right.axhline(0, color="#999999", lw=1, ls=":")
right.invert_xaxis()
right.set(xlabel="% kept", ylabel="QA score, change in points", title="Longpre et al., Figure 6")
right.title.set_fontsize(9)
right.legend(fontsize=8)


def told(name):
    row = gains.loc[name]
    return f"{name} {row.gain:+.2f} [{row.gain_low:+.2f}, {row.gain_high:+.2f}]"


show(
    fig,
    alt="Left: gain in bits per byte over the unfiltered crawl, in percent, by arm: "
    + "; ".join(told(name) for name in gains.index if name != "whole")
    + ". Right: published change of the question-answering score, "
    + ", ".join(f"{r.change:+.1f} at {r.kept:.0f} %" for r in filters.itertuples())
    + f" kept, and {worst.change.item():+.1f} for the inverse filter.",
    caption="Left: gain in bits per byte, mean of eight domains, with 95 % intervals. Right: the published change "
    "in question answering after fine-tuning (one run each).",
    name="fig-quality-gain",
)

# %% [markdown]
# ## Gain by domain
#
# Above, against the unfiltered crawl; below, against the random drop of the same size. Three of the domains (books,
# news, academic) and the encyclopedia come from the corpora that served as the classifier's positives (other
# documents of them); code, government and the crawl's own web and mail do not.

# %% tags=["hide-input"]
arms = [arm for arm in study.own if arm.kind != "random"]
beside = [arm for arm in arms if study.has_control(arm)]
upper, lower = study.by_domain(arms), study.by_domain(beside, over="control")
top = float(max(np.abs(upper[0]).max(), np.abs(lower[0]).max()))
fig, axes = subplots(2, 1, figsize=(8.2, 7.4), height_ratios=(len(arms), len(beside)), sharex=True)
for ax, (values, clear), rows in zip(axes, (upper, lower), (arms, beside), strict=True):
    image = draw_cells(
        ax, values, list(map(str, rows)), study.domains, top=top, clear=clear, form="{:+.2f}"
    )
axes[0].set_title("gain over the unfiltered crawl", fontsize=9)
axes[1].set_title("gain over the random drop of the same size", fontsize=9)
bar = fig.colorbar(image, ax=axes, label="gain in bits per byte (%)", shrink=0.6)
bar.set_ticks([-top, -top / 10, 0, top / 10, top])
bar.set_ticklabels([f"{-top:+.1f}", f"{-top / 10:+.1f}", "0", f"{top / 10:+.1f}", f"{top:+.1f}"])
bar.minorticks_off()
row = dict(zip(study.domains, upper[0][arms.index(strict)], strict=True))
show(
    fig,
    alt=f"Heat map of gains in percent of bits per byte, arms by domains. At {min(kept):g} % kept: "
    + ", ".join(f"{name} {value:+.2f}" for name, value in row.items())
    + f". In {int(lower[1].sum())} of {lower[1].size} cells the gain over the random drop is clear of zero.",
    caption="Gain in bits per byte by domain of the held-out text, in percent; blue: better. Colours are logarithmic beyond a tenth of "
    "the scale; pale: the 95 % interval holds zero.",
    name="fig-quality-domains",
)

# %% [markdown]
# ## Is it the filter, or the mix of domains?
#
# Five choices that leave the same share of the bytes. *Random, with the filter's domain mix* takes as much of web and mail
# as the filter does, but at random. It can know two domains only; finer mixes of topic and format are out of its reach.

# %% tags=["hide-input"]
five = {
    "random": study.arm("random", equal),
    "random, filter's mix": study.arm("quality", equal, "matched"),
    "inverse filter": study.arm("quality", inverse, "inverse"),
    "filter": study.arm("quality", equal),
    "filter of a larger crawl": study.arm("quality", equal, "equal"),
}
groups = {
    "curated": ["books", "news", "academic", "encyclopedia"],
    "code, government": ["code", "government"],
    "web, mail": ["web", "mail"],
}
fig, ax = subplots(figsize=(7.4, 3.8))
cells = {g: {k: study.gain(arm, names) for k, arm in five.items()} for g, names in groups.items()}
looks = zip(groups, (COLOURS["real"], COLOURS["mixed"], COLOURS["synthetic"]), "osD", strict=True)
for shift, (group, colour, marker) in zip((0.18, 0, -0.18), looks, strict=True):
    found = list(cells[group].values())
    bars = np.clip([[e.value - e.low for e in found], [e.high - e.value for e in found]], 0, None)
    y = np.arange(len(five))[::-1] + shift
    ax.errorbar(
        [e.value for e in found], y, xerr=bars, fmt=marker, color=colour, label=group, capsize=2
    )
ax.axvline(0, color="#999999", lw=1, ls=":")
ax.set_yticks(np.arange(len(five))[::-1], list(five))
ax.set_xlabel("gain in bits per byte over the unfiltered crawl (%)")
ax.legend(fontsize=8, title="held-out text", title_fontsize=8)
show(
    fig,
    alt=f"Gains of five choices that keep {equal:g} % of the bytes, on three groups of domains. "
    + ". ".join(
        f"{group}: " + ", ".join(f"{k} {e.value:+.2f}" for k, e in row.items())
        for group, row in cells.items()
    )
    + ".",
    caption=f"Five sets with {equal:g} % of the bytes of the crawl (the last chosen from a larger one): gain on curated domains "
    "like the classifier's positives, on others, and on the crawl's own; 95 % intervals.",
    name="fig-quality-remix",
)

# %% [markdown]
# ## Downstream
#
# *Multiple choice*: which of four continuations belongs to a beginning; by likelihood, from all eight domains. *Toxic sentences*:
# fine-tuned to find held-out sentences with a phrase of the word list (silver labels). *Spam*: fine-tuned
# on labelled mails. *Toxic continuations*: 25 of each of several beginnings of held-out sentences, top-k 40, temperature 1, toxic if
# scored 0.9 or more.

# %%
study.task_words()

# %% tags=["hide-input"]
shown = ["margin", "toxic", "spam", "generation"]
fig, axes = subplots(1, 4, figsize=(9.8, 3.6), sharey=True)
draw_tasks(axes, study, shown)
whole = study.arm("whole")
level = {name: study.task(whole, name) for name in ("accuracy", *shown)}
show(
    fig,
    alt="Change of four downstream scores from the unfiltered crawl, by arm. Unfiltered: right answers "
    f"{level['accuracy'].value:.0f} % (chance 25), toxic sentences AUROC {level['toxic'].value:.0f} %, spam AUROC "
    f"{level['spam'].value:.0f} %, toxic continuations {level['generation'].value:.1f} %. "
    + "; ".join(
        f"{arm}: " + ", ".join(f"{t} {study.task_change(arm, t).value:+.2f}" for t in shown)
        for arm in study.tested
        if arm != whole
    )
    + ".",
    caption="Downstream scores against those of the unfiltered crawl, with 95 % intervals over what was asked and over "
    "runs. Multiple choice: bits per byte by which the best wrong answer is less likely than the true one.",
    name="fig-quality-tasks",
)

# %% [markdown]
# Multiple choice by the domain of the question, as far as a small model can tell:

# %% tags=["hide-input"]
tested_here = [arm for arm in study.tested if arm != whole]
fig, alt = choice_by_domain(study, tested_here)
show(
    fig,
    alt=alt,
    caption="Change of the margin of the true answer (bits per byte) from the unfiltered crawl, by domain of the question; "
    "blue: better. Pale: the 95 % interval holds zero.",
    name="fig-quality-choice",
)

# %% [markdown]
# ## Rules of thumb refuse sentences
#
# Many crawls are cleaned by rules instead: those of Gopher {cite}`rae2021gopher` and C4 {cite}`raffel2020exploring` ask for
# fifty words, for five sentences, for stop words. How many documents of the crawl each reason refuses:

# %%
import pandas as pd

pd.Series(study.reasons(), name="documents").to_frame()

# %% [markdown]
# The web card holds single sentences, which pages' rules refuse for their length. What passes is nearly all mail: the
# arm *rules for pages* is a re-mix of domains that nobody asked for, and its row in {numref}`fig-quality-domains` shows the
# price. A rule belongs to the kind of document that it was written for.

# %% [markdown]
# ## Verdict

# %% tags=["hide-input"]
from dataworth.stats import best_of, mean

own = [study.arm("quality", one) for one in sorted(kept, reverse=True)]
tested = [study.arm("quality", one) for one in sorted(tasks, reverse=True)]
turned = study.arm("quality", inverse, "inverse")
same = study.arm("quality", inverse if inverse in kept else equal)
best, _ = best_of({str(arm): study.gain(arm) for arm in own})
helps, first = study.gain(mild, over="control"), study.gain(mild).minus(study.gain(strict))
which = study.gain(same).minus(study.gain(turned))
books = study.gain(strict, "books", over="control")
matched = study.arm("quality", equal, "matched")
beyond = study.gain(study.arm("quality", equal)).minus(study.gain(matched))


def mean_change(task, arms):
    """Mean over arms of the change of a task's score."""
    return mean([study.task_change(arm, task) for arm in arms])


finds, answers = mean_change("toxic", tested), mean_change("margin", tested)
writes, writes_inverse = mean_change("generation", tested), mean_change("generation", [turned])
inf = float("inf")
ledger = [
    claims.claim(
        "quality-helps",
        "A quality filter makes a better model than random text of the same size.",
        source="Longpre et al. 2023, section 5",
        published="QA +2.5 points at 91 % kept, against no random drop",
        estimate=helps.value,
        interval=helps.interval,
        region=(0.0, inf),
        unit="% of bits per byte",
        effect=f"{mild}: gain over the random drop, mean of eight domains",
    ),
    claims.claim(
        "mildest-is-best",
        "The mildest quality filter helps more than the strictest.",
        source="Longpre et al. 2023, Figure 6",
        published="QA +2.5 points at 91 % kept, +0.7 at 46 %",
        estimate=first.value,
        interval=first.interval,
        region=(0.0, inf),
        unit="% of bits per byte",
        effect=f"gain of {mild} minus gain of {strict}; the largest gain is that of {best}",
    ),
    claims.claim(
        "which-text",
        "With equal shares kept, the filter beats its inverse: it matters which text is left.",
        source="Longpre et al. 2023, Figure 6",
        published="4.3 points of QA between filter and inverse, both 73 % kept",
        estimate=which.value,
        interval=which.interval,
        region=(0.0, inf),
        unit="% of bits per byte",
        effect=f"gain of {same} minus gain of {turned}",
    ),
    claims.claim(
        "books-are-hurt",
        "A quality filter hurts on books.",
        source="Longpre et al. 2023, Figure 6",
        published="QA on books −2.2 points at 91 % kept, −6.7 at 46 %",
        estimate=books.value,
        interval=books.interval,
        region=(-inf, 0.0),
        unit="% of bits per byte",
        effect=f"{strict}: gain on books over the random drop",
    ),
    claims.claim(
        "beyond-the-mix",
        "The filter gains more than a random choice with its mix of domains.",
        source="Wettig et al. 2025, on the mix of topics and formats",
        published="16 % of one filter's gain is left to the filter itself, 65 % of another's",
        estimate=beyond.value,
        interval=beyond.interval,
        region=(0.0, inf),
        unit="% of bits per byte",
        effect=f"gain of quality {equal:g} % minus gain of the matched choice",
    ),
    claims.claim(
        "identification",
        "Quality filters improve the identification of toxic text.",
        source="Longpre et al. 2023; lecture slides",
        published="about +2 % on average, still rising at 46 % kept",
        estimate=finds.value,
        interval=finds.interval,
        region=(0.0, inf),
        unit="points of AUROC",
        effect=f"mean change of {len(tested)} filters from the unfiltered crawl",
    ),
    claims.claim(
        "question-answering",
        "Quality filters improve question answering.",
        source="Longpre et al. 2023, Figure 6; lecture slides",
        published="+0.7 to +2.5 points",
        estimate=answers.value,
        interval=answers.interval,
        region=(0.0, inf),
        unit="bits per byte of margin",
        effect=f"multiple choice, mean change of {len(tested)} filters from the unfiltered crawl",
    ),
    claims.claim(
        "toxic-generation",
        "Quality filters raise the toxicity of generated text.",
        source="Longpre et al. 2023, Figure 5",
        published="raised (size not known)",
        estimate=writes.value,
        interval=writes.interval,
        region=(0.0, inf),
        unit="points of toxic continuations",
        effect=f"mean change of {len(tested)} filters from the unfiltered crawl",
    ),
    claims.claim(
        "toxic-generation-inverse",
        "Inverse quality filters raise the toxicity of generated text.",
        source="Longpre et al. 2023, Figure 5",
        published="raised (size not known)",
        estimate=writes_inverse.value,
        interval=writes_inverse.interval,
        region=(0.0, inf),
        unit="points of toxic continuations",
        effect=f"change of {turned} from the unfiltered crawl",
    ),
]
claims.table(ledger, "quality")

# %% tags=["remove-cell"]
claims.write(
    "quality",
    "Filtering for quality helps, although less text is left",
    ledger,
    evidence={
        "gains": {"arm": list(gains.index)}
        | {name: gains[name].tolist() for name in ("kept", "gain", "gain_low", "gain_high", "net")},
        "cuts": {str(arm): study.arms[arm].cut for arm in own},
        "domains": {
            "arms": list(map(str, arms)),
            "columns": list(study.domains),
            "gain": upper[0].tolist(),
        },
        "tasks": {name: study.task_table()[name].tolist() for name in ("kept", *shown)}
        | {"arm": list(map(str, study.tested))},
    },
    provenance=study.provenance(),
)

# %% [markdown]
# ## Why it could be wrong
#
# - **The judge resembles the filter.** Four of the eight domains are other documents of the corpora that the classifier learned to
#   like. A gain there shows that the filter finds text like its positives, and not that such text is better. The groups of
#   {numref}`fig-quality-remix` keep them apart.
# - **Loss is not ability.** Filters can lift benchmarks and leave the loss on good text where it was. Multiple
#   choice is closer to the paper's questions, and noisier.
# - **Sentences, not pages.** A score of seventeen words is a guess. The classifier's negatives are sentences of the very crawl that it
#   filters (as those of GPT-3 were), so that its scores there are a little too sure.
# - **One pass.** At the sizes of this book most arms read their text once or twice. Where data are scarce and training is long, a strict filter
#   has to repeat its text, and the order of the arms can turn; the filter of the larger crawl shows the difference.
# - **Books are not questions about books.** The paper's −6.7 is a score on reading comprehension after fine-tuning. Our *books* are
#   fiction of 1961, and half of the classifier's positives come from the same corpus.
# - **Silver labels.** Toxic sentences are those with a listed phrase. Models fine-tuned on human labels (Civil Comments, which
#   the hub has under CC0) would be a better test; it needs a network and is described beside the data cards.

# %% [markdown]
# ## Discussion
#
# **What does a quality filter select?** The table of what every arm keeps has one answer: besides the score, the length of
# documents and the domain mix can move. Compare the filter with the random choice of its domain mix, and curated with
# other held-out text, before you call it quality: a filter that gains on its positives' domains alone has moved the
# training text towards a target, which is a good thing if the target is yours.
#
# **Why would the mildest filter be the best?** Two forces pull: what goes first is the worst, and what goes later is
# variety, while the same tokens are read more often. The random drops measure the second force alone.
#
# ## Exercises
#
# **1.** Longpre et al. report thresholds on a score of which 1 is *bad*. At which threshold of theirs would our filter keep
# 46 %?
#
# ```{admonition} Solution
# :class: dropdown
# At `1 - study.arms[study.arm("quality", 46)].cut`. The paper's threshold for that share is 0.7; that ours differs says only that
# classifier, positives and crawl differ. Shares can be compared between studies, thresholds cannot.
# ```
#
# **2.** How much of a document set does Pareto sampling keep if every score is 0.9, and if every score is 0.3? Which
# documents does it keep that a threshold would not?
#
# ```{admonition} Solution
# :class: dropdown
# A document of score $s$ stays with probability $(2 - s)^{-\alpha}$: with $\alpha = 9$ that is 42 % at 0.9 and 0.8 % at 0.3.
# It keeps a few documents of every score. GPT-3 chose it for that reason: some text that the classifier does not know
# should stay.
# ```
