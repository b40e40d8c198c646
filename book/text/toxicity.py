# ---
# jupyter:
#   kernelspec: {name: python3, display_name: Python 3, language: python}
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   dataworth:
#     params: "dataworth.studies.filtering:ToxicityFilter"
#     description: What does a language model lose when toxic text is filtered out, and what does it gain?
#     device: cpu or one GPU
#     main: [kept, tokens, seeds]
#     expected_minutes: {smoke: 1, quick: 3, full: 20, gpu: 30}
# ---

# %% [markdown]
# # Filtering out toxic text costs ability, and ability to recognise it
#
# Text that insults or threatens is removed from training sets so that models do not write such text. What else goes
# with it?
#
# **What they found.** Longpre et al. {cite}`longpre2024pretrainer` scored C4 with a commercial service, kept what lay below five
# thresholds, and trained a model of 1.5 billion parameters on each part.
#
# - "Toxicity filters worsen downstream task performance": question answering changes by +0.2 points where 98 % of the text is
#   kept, by −0.7 at 95 %, −1.2 at 86 %, −2.0 at 76 % and −2.7 at 61 %.
# - The *inverse* filter, which removes the least toxic 8 %, gains 1.7 points, and "the strongest
#   performance on toxicity identification for every dataset comes from the inverse toxicity filter".
# - The filter does what it is for: models write less toxic text.
# - "Likely due to toxicity and quality tradeoff", say the slides of the lecture: books and other good text score high on
#   toxicity.
#
# Each model was trained once, without a random drop beside it. The service that gave the scores was never versioned, and
# it closes at the end of 2026. Dolma's authors found the opposite with open scorers: their stricter threshold
# generally did *better* {cite}`soldaini2024dolma`. Li et al. {cite}`li2025bad` side with the paper: some toxic text in
# training makes a model easier to steer away from it.
#
# **What is tested here.** The paper's five shares and its inverse filter, on the small crawl of the chapter on
# [quality](quality) and with an open scorer; C4's word list; {term}`random drops <random drop>`; a random choice with the
# filter's domain mix; a filter of a larger crawl. The quality filters of that chapter are compared in one picture.

# %% [markdown]
# ## Scale of this run

# %% tags=["parameters"]
kept = [98, 95, 86, 76, 61]
inverse = 92
controls = [92, 76, 61]
equal = 76
tasks = [86, 61]
task_control = 61
quality_kept = [91, 73, 46]
quality_inverse = 73
examples = 400
steps = 48
questions = 48
prompts = 20
samples = 25
seeds = 2
model = "lm-0.4m"
vocabulary = 2048
# Set by the time on two cores: all of Part II within twelve minutes. Filters change the loss little:
# they get the largest part of it.
pool_bytes = 560_000
tokens = 163_840
batch = 16
context = 128
learning_rate = 1.6e-2
held_out_tokens = 6000
resamples = 1000
seed = 0

# %% [markdown]
# ## Method
#
# The scorer is the linear model of the package alt-profanity-check (0 harmless, 1 toxic). A document has the
# score of the whole, or of its worst passage of at most 20 words that the model knows where that is higher and 0.5 or more: an insult
# that scores 0.5 by itself is found in a text of any length, and milder words count within the whole. Documents are kept from the least toxic upwards until they hold the stated
# share of the *bytes*. Texts without a word, or not in English, are in no arm, as C4 has none; a text without a word that the
# model knows is not scored, and goes before any other. Everything else is as in the chapter on quality: equal numbers of training tokens, a {term}`gain` in percent
# of the {term}`bits per byte` of the model of the unfiltered crawl (positive is better), runs and documents resampled in
# pairs, random drops anew for every run and interpolated between the sizes that were run.

# %%
from dataworth.studies.filtering import ToxicityFilter, run

params = ToxicityFilter.from_names(globals())
study = run(params)
study.summary()

# %% [markdown]
# ## What the filter keeps
#
# `cut` is the score at which a filter cuts, `toxic` the share of bytes in documents of score 0.9 or more (where the scorer agrees
# best with the word list; some passage or other of a harmless mail often reaches 0.5), `quality` the mean
# quality score over bytes (1 is good), `unscored` the share that lacks a score. Most web sentences score close to zero: a filter that keeps 61 % removes sentences that
# nobody would call toxic.

# %%
study.sets().round(2)

# %%
study.unscored().round(2)

# %%
import numpy as np
import pandas as pd

from dataworth import claims, published
from dataworth.figures import draw, filters, heatmap, scatter, series, show
from dataworth.studies.filter_tasks import TASKS
from dataworth.text.pools import CRAWL

sets = study.sets()
strict, turned = study.arm("toxicity", min(kept)), study.arm("toxicity", inverse, "inverse")
own_names = list(map(str, study.own_arms))
show(
    draw(*filters.kept_text(sets.loc[["whole", *own_names]], CRAWL), columns=2),
    caption="What every arm is trained on: domains, mean length of a document, mean quality score (1 is good) and "
    "fraction of toxic bytes, of the first seed. Dotted: the unfiltered crawl.",
    name="fig-toxicity-mix",
)

# %% [markdown]
# Three random documents of each fate (offensive words masked):

# %% tags=["hide-input"]
study.removed(3).style.hide().format({"score": "{:.2f}"}, escape="html")

# %% [markdown]
# ## Gain by share kept

# %%
record = claims.recorded("toxicity")
past = pd.DataFrame(record["evidence"]["gains"]) if record else pd.DataFrame()
paper = published.longpre_filters("toxicity")
gains = study.gains()
show(
    draw(
        filters.gains(
            gains.loc[own_names], equal=equal,
            recorded=past[past.arm.str.startswith("toxicity")] if record else None,
        ),
        filters.published_gains(paper[paper.category == "average"], "Longpre et al., Figure 7"),
        widths=(1.7, 1), height=4.6,
    ),
    caption="Left: gain in bits per byte, mean of eight domains, with 95 % intervals. Right: the published change "
    "in question answering after fine-tuning (one run each).",
    name="fig-toxicity-gain",
)  # fmt: skip

# %% [markdown]
# ## The published table, and ours
#
# The table of the slides has categories of questions; ours has domains of text. Four have the same name or
# place: Wiki and encyclopedia, web, books, academic.

# %%
wide = paper.pivot(index="filter", columns="category", values="change")
order = paper.drop_duplicates("filter").set_index("filter").kept
theirs = sorted(order.index, key=lambda name: not name.startswith("inverse"))  # inverse ones first
columns = ["Wiki", "Web", "Books", "Biomed", "Academic", "Common Sense", "Contrast Sets", "average"]
kinds = {str(arm): arm.kind for arm in study.arms}
ours = [turned, *(study.arm("toxicity", percent) for percent in sorted(kept, reverse=True))]
ours += [study.arm("word list"), *(arm for arm in study.own_arms if arm.kind == "random")]
found = [[*(study.gain(arm, d) for d in study.domains), study.gain(arm)] for arm in ours]
values, _ = study.by_domain(ours)
rows = [f"{name} ({order[name]:.0f} %)" for name in theirs]
show(
    draw(
        heatmap(wide.loc[theirs, columns].to_numpy(), "QA, change in points", rows=rows, columns=columns,
                top=5.0, form="+.1f", title="Longpre et al., Figure 7"),
        heatmap(found, "gain in bits per byte (%)", rows=list(map(str, ours)),
                columns=[*study.domains, "average"], title="this run"),
        columns=1,
    ),
    caption="The published table (above) and ours (below), random drops last; blue: better than unfiltered. "
    "Pale: the 95 % interval holds zero. Published values are of single runs, and a column scatters by several points.",
    name="fig-toxicity-table",
)  # fmt: skip

# %% [markdown]
# ## Downstream
#
# *Toxic sentences*: fine-tuned to find held-out sentences that hold a phrase of the word list. Those silver labels are not the
# filter's own score, and not human judgement either. *Toxic continuations*: of beginnings of held-out sentences, half of them toxic;
# 25 each, top-k 40, temperature 1, toxic if the filter's scorer gives 0.9 or more (of those that it can score).

# %%
tested_here = [arm for arm in study.tested if arm in study.own_arms]
study.task_words().loc[list(map(str, tested_here))]

# %%
shown = ["margin", "toxic", "spam", "generation"]
changes = {t: {str(arm): study.task_change(arm, t) for arm in tested_here} for t in shown}
whole = study.arm("whole")
after = {kind: study.task(whole, "generation", kind).value for kind in ("toxic", "other")}
level = {name: study.task(whole, name) for name in ("accuracy", *shown)}
levels = ", ".join(f"{name} {e.value:.3g}" for name, e in level.items())
show(
    draw(*filters.tasks(changes, kinds, TASKS), columns=2),
    alt=f"Scores of the unfiltered crawl: {levels} (chance of the accuracy: 25); toxic "
    f"continuations after toxic beginnings {after['toxic']:.1f} %, after others {after['other']:.1f} %.",
    caption="Downstream scores against those of the unfiltered crawl, with 95 % intervals over test items and "
    "seeds.",
    name="fig-toxicity-tasks",
)

# %% [markdown]
# Multiple choice by the domain of the question, as far as a small model can tell:

# %%
show(
    heatmap(
        study.tasks_by_domain(tested_here), "change of the margin (bits per byte)",
        rows=list(map(str, tested_here)),
        columns=study.domains, form="+.3f",
    ),
    caption="Change of the margin of the true answer (bits per byte) from the unfiltered crawl, by domain of the question; "
    "blue: better. Pale: the 95 % interval holds zero.",
    name="fig-toxicity-choice",
)  # fmt: skip

# %% [markdown]
# ## The trade-off between quality and toxicity
#
# Both filters, in one picture: how toxic is what the model writes (or what it has read), and how well does it predict text?
# Down and to the right is the worst corner; a filter without a price would move to the left and stay level.

# %%
kind = {"quality": "quality filters", "toxicity": "toxicity filters", "word list": "word list"}
sort = gains["filter"].map(kind).fillna("random drops and none")
sort += np.where(gains.index.str.startswith("inverse"), ", inverse", "")


def against(x, names):
    """Gain against x (a mapping by arm), by kind of filter."""
    parts = {g: [n for n in names if sort[n] == g] for g in sort.unique()}
    return {
        group: ({n: x[n] for n in part}, series(gains.loc[part], "gain"))
        for group, part in parts.items()
        if part
    }


hues = {"quality filters": "#E69F00", "toxicity filters": "filter", "word list": "#44AA99",
        "random drops and none": "control", "quality filters, inverse": "#E69F00",
        "toxicity filters, inverse": "filter"}  # fmt: skip
options = {"cross": (None, 0.0), "roles": hues, "hollow": [g for g in hues if "inverse" in g]}
written = {str(arm): study.task(arm, "generation") for arm in study.tested}
gain_label = "gain in bits per byte (%), mean of 8 domains"
show(
    draw(
        scatter(against(sets.toxic, gains.index), "toxic fraction of the bytes read (%)", gain_label,
                **options),
        scatter(against(written, written), "toxic fraction of continuations (%)", gain_label,
                names=True, **options),
        columns=1,
    ),
    caption="Gain against toxicity: of what was read (above, all arms) and of what is written (below, the arms whose models "
    "did the downstream tasks); lines are 95 % intervals. White: inverse filters.",
    name="fig-toxicity-tradeoff",
)  # fmt: skip

# %% [markdown]
# ## Verdict

# %%
own = [study.arm("toxicity", percent) for percent in sorted(kept, reverse=True)]
tested = [study.arm("toxicity", percent) for percent in sorted(tasks, reverse=True)]
ledger = claims.judge(
    "toxicity",
    {
        "costs-answers": study.slope(
            {arm: study.task_change(arm, "accuracy") for arm in (whole, *tested)}
        ),
        "costs-loss": study.slope({arm: study.gain(arm) for arm in (whole, *own)}),
        "beyond-size": study.gain(strict, over="control"),
        "inverse-identifies": study.ahead(turned, [whole, *tested], "toxic"),
        "inverse-helps": study.task_change(turned, "accuracy"),
        "writes-less": study.task_change(strict, "generation"),
        "trade-off": study.removed_quality(strict),
    },
    tested=len(tested), own=len(own), others=1 + len(tested), strict=strict, turned=turned,
    helped_loss=study.gain(turned, over="control"), level=level["generation"],
)  # fmt: skip
ledger

# %% tags=["remove-cell"]
claims.write(
    ledger,
    evidence={
        "gains": {"arm": own_names}
        | {
            name: gains.loc[own_names, name].tolist()
            for name in ("kept", "gain", "gain_low", "gain_high", "net")
        },
        "cuts": {str(arm): study.arms[arm].cut for arm in own},
        "domains": {
            "arms": list(map(str, ours)),
            "columns": list(study.domains),
            "gain": values.tolist(),
        },
        "tasks": {name: study.task_table()[name].tolist() for name in ("kept", *shown)}
        | {"arm": list(map(str, study.tested))},
    },
    provenance=study.provenance(),
)

# %% [markdown]
# ## Why it could be wrong
#
# - **Another scorer.** The paper's commercial service read whole documents, and its thresholds cannot be carried over: shares are
#   equal here, scores at the cut are not (see the table). A linear model sees words and not what is meant: a harmless use of
#   a rude word goes, a polite insult stays.
# - **The same scorer twice.** The filter and the judge of the continuations are one model, which flatters the filter. The silver labels
#   come from the word list instead.
# - **Silver labels.** A sentence with a listed phrase need not be toxic. The test to wish for is a set labelled by people: Civil
#   Comments is described beside the data cards and can be had where there is a network.
# - **Small models.** A model of this size predicts letters and phrases. It learns what rude words look like long before it
#   can answer a question; the paper's loss in question answering may need its 1.5 billion parameters.
# - **Length.** A document has the toxicity of its worst passage, so that a filter also removes much harmless text, and long
#   documents first. Our crawl is mostly single sentences; of the mails, which are long, a strict filter leaves few, as does a
#   word list, which needs one hit anywhere ({numref}`fig-toxicity-mix`). The random choice with the filter's domain mix
#   says what that alone costs. Of stretches of 100 words of calm prose the scorer flags one to eight in a hundred at 0.9 and 16 to 38 at
#   0.5, of such stretches of 1,000 words 12 to 48 and 78 to 98 (`bench/text_scoring.py --calm`).

# %% [markdown]
# ## Discussion
#
# **How do we address the trade-off between quality and toxicity?** First measure whether there is one. The last
# line of the ledger says whether the two scores are at odds in *this* crawl, which has no books; and
# {numref}`fig-toxicity-tradeoff` shows what each filter pays in prediction for what it takes out of the
# text. Points on the left at the height of the random drops are a bargain. Three ways lie open where there is a price. *Filter less*:
# the mildest shares remove most of what a reader would call toxic, and what a strict filter removes beyond them is harmless (see the
# examples). *Filter by both scores*: a document that is toxic and good is worth a second look, one that is toxic and bad is not.
# *Do not filter, but tell*: conditioning on the score {cite}`korbak2023pretraining`, or steering at inference
# {cite}`li2025bad`, keeps what toxic text teaches and controls its use. The reason given for it is that a model which
# never read toxic text cannot recognise it; {numref}`fig-toxicity-tasks` shows whether that can be seen at this size.
#
# ## Exercises
#
# **1.** The paper's filter at T = 0.3 keeps 61 % of C4. At which score does ours keep as much, and what does that say
# about thresholds in data cards?
#
# ```{admonition} Solution
# :class: dropdown
# See the column `cut` of `study.sets()`. A threshold means nothing without the scorer, its version, the rule for
# long documents and the corpus. The share kept, and a sample of what went, say more.
# ```
#
# **2.** Is the word list a milder filter than the linear scorer? Compare shares, toxic bytes and mail before and after.
#
# ```{admonition} Solution
# :class: dropdown
# `study.sets().loc[["whole", "word list", "toxicity 95 %", "toxicity 86 %"]]`. One listed phrase anywhere removes the whole
# document, so that the list takes long documents, and with them a domain, before it takes short ones. A rule that
# needs a single hit punishes length.
# ```
