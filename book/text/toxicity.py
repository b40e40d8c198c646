# ---
# jupyter:
#   kernelspec: {name: python3, display_name: Python 3, language: python}
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   dataworth:
#     params: "dataworth.studies.filtering:ToxicityFilter"
#     description: What does a language model lose when toxic text is filtered out, and what does it gain?
#     device: cpu or one GPU
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
strict, turned = study.arm("toxicity", min(kept)), study.arm("toxicity", inverse, "inverse")
hardest, own_names = str(strict), list(map(str, study.own))
fig, axes = subplots(1, 4, figsize=(10.5, 4.6), width_ratios=(1.6, 1, 1, 1), sharey=True)
draw_mix(axes, study)
show(
    fig,
    alt="Four panels with one row per arm. Domain mix: mail holds "
    f"{sets.mail['whole']:.0f} % of the unfiltered bytes, {sets.mail[hardest]:.0f} % at {min(kept):g} % kept and "
    f"{sets.mail['word list']:.0f} % after the word list. Mean document: {sets.bytes['whole']:.0f} bytes unfiltered, "
    f"{sets.bytes[hardest]:.0f} at {min(kept):g} % kept, {sets.bytes['word list']:.0f} after the word list. Mean quality "
    f"{sets.quality['whole']:.3f} and {sets.quality[hardest]:.3f}. Toxic bytes {sets.toxic['whole']:.1f} % and "
    f"{sets.toxic[hardest]:.1f} %.",
    caption="What every arm is trained on: domains, mean length of a document, mean quality score (1 is good) and "
    "share of toxic bytes, of the first seed. Dotted: the unfiltered crawl.",
    name="fig-toxicity-mix",
)

# %% [markdown]
# Three random documents of each fate (offensive words masked):

# %% tags=["hide-input"]
study.removed(3).style.hide().format({"score": "{:.2f}"}, escape="html")

# %% [markdown]
# ## Gain by share kept

# %% tags=["hide-input"]
record = claims.recorded("toxicity")
paper = published.longpre_filters("toxicity")
average = paper[paper.category == "average"]
gains = study.gains()
fig, (ax, right) = subplots(1, 2, figsize=(10.2, 4.4), width_ratios=(1.7, 1))
draw_gains(ax, study, record["evidence"]["gains"] if record else None)
filters = average[~average.inverse].sort_values("kept", ascending=False)
best = average[average.inverse]
right.plot(filters.kept, filters.change, "o-", color=COLOURS["published"])
right.plot(best.kept, best.change, "s", color=COLOURS["published"], mfc="white", label="inverse")
right.axhline(0, color="#999999", lw=1, ls=":")
right.invert_xaxis()
right.set(xlabel="% kept", ylabel="QA score, change in points", title="Longpre et al., Figure 7")
right.title.set_fontsize(9)
right.legend(fontsize=8)


def told(name):
    row = gains.loc[name]
    return f"{name} {row.gain:+.2f} [{row.gain_low:+.2f}, {row.gain_high:+.2f}]"


show(
    fig,
    alt="Left: gain in bits per byte over the unfiltered crawl, in percent, by arm: "
    + "; ".join(map(told, own_names))
    + ". Right: published change of the question-answering score, falling from "
    + ", ".join(f"{r.change:+.1f} at {r.kept:.0f} %" for r in filters.itertuples())
    + f" kept; {best.change.item():+.1f} for the inverse filter.",
    caption="Left: gain in bits per byte, mean of eight domains, with 95 % intervals. Right: the published change "
    "in question answering after fine-tuning (one run each).",
    name="fig-toxicity-gain",
)

# %% [markdown]
# ## The published table, and ours
#
# The table of the slides has categories of questions; ours has domains of text. Four have the same name or
# place: Wiki and encyclopedia, web, books, academic.

# %% tags=["hide-input"]
wide = paper.pivot(index="filter", columns="category", values="change")
order = paper.drop_duplicates("filter").set_index("filter").kept
theirs = [*order.index[order.index.str.startswith("inverse")]]
theirs += [name for name in order.index if name not in theirs]
columns = ["Wiki", "Web", "Books", "Biomed", "Academic", "Common Sense", "Contrast Sets", "average"]
ours = [turned, *(study.arm("toxicity", one) for one in sorted(kept, reverse=True))]
ours += [study.arm("word list"), *(arm for arm in study.own if arm.kind == "random")]
values, clear = study.by_domain(ours)
mean = np.array([study.gain(arm).value for arm in ours])
sure = np.array([e.low > 0 or e.high < 0 for e in map(study.gain, ours)])
fig, axes = subplots(1, 2, figsize=(10.2, 4.8))
draw_cells(
    axes[0],
    wide.loc[theirs, columns].to_numpy(),
    [f"{name} ({order[name]:.0f} %)" for name in theirs],
    columns,
    top=5.0,
)
axes[0].set_title("Longpre et al., Figure 7: QA, change in points", fontsize=9)
draw_cells(
    axes[1],
    np.column_stack([values, mean]),
    list(map(str, ours)),
    [*study.domains, "average"],
    top=float(np.abs(values).max()),
    clear=np.column_stack([clear, sure]),
    form="{:+.2f}",
)
axes[1].set_title("this run: gain in bits per byte (%)", fontsize=9)
show(
    fig,
    alt="Two heat maps, filters by categories. Left, published: averages "
    + ", ".join(f"{name} {wide.average[name]:+.1f}" for name in theirs)
    + ". Right, this run: averages "
    + ", ".join(f"{arm} {value:+.2f}" for arm, value in zip(ours, mean, strict=True))
    + f"; {int(clear.sum())} of {clear.size} cells are clear of zero.",
    caption="The published table (left) and ours (right), with the random drops below it; blue: better than unfiltered. "
    "Pale: the 95 % interval holds zero. Published values are of single runs, and a column scatters by several points.",
    name="fig-toxicity-table",
)

# %% [markdown]
# ## Downstream
#
# *Toxic sentences*: fine-tuned to find held-out sentences that hold a phrase of the word list. Those silver labels are not the
# filter's own score, and not human judgement either. *Toxic continuations*: of beginnings of held-out sentences, half of them toxic;
# 25 each, top-k 40, temperature 1, toxic if the filter's scorer gives 0.9 or more (of those that it can score).

# %%
tested_here = [arm for arm in study.tested if arm in study.own]
study.task_words().loc[list(map(str, tested_here))]

# %% tags=["hide-input"]
shown = ["margin", "toxic", "spam", "generation"]
fig, axes = subplots(1, 4, figsize=(9.8, 3.2), sharey=True)
draw_tasks(axes, study, shown)
whole = study.arm("whole")
level = {name: study.task(whole, name) for name in ("accuracy", *shown)}
kinds = {kind: study.task(whole, "generation", kind).value for kind in ("toxic", "other")}
show(
    fig,
    alt="Change of four downstream scores from the unfiltered crawl, by arm. Unfiltered: right answers "
    f"{level['accuracy'].value:.0f} % (chance 25), toxic sentences AUROC {level['toxic'].value:.0f} %, spam AUROC "
    f"{level['spam'].value:.0f} %, toxic continuations {level['generation'].value:.1f} % ({kinds['toxic']:.1f} % after "
    f"toxic and {kinds['other']:.1f} % after other beginnings). "
    + "; ".join(
        f"{arm}: " + ", ".join(f"{t} {study.task_change(arm, t).value:+.2f}" for t in shown)
        for arm in tested_here
    )
    + ".",
    caption="Downstream scores against those of the unfiltered crawl, with 95 % intervals over what was asked and over "
    "runs.",
    name="fig-toxicity-tasks",
)

# %% [markdown]
# Multiple choice by the domain of the question, as far as a small model can tell:

# %% tags=["hide-input"]
fig, alt = choice_by_domain(study, tested_here)
show(
    fig,
    alt=alt,
    caption="Change of the margin of the true answer (bits per byte) from the unfiltered crawl, by domain of the question; "
    "blue: better. Pale: the 95 % interval holds zero.",
    name="fig-toxicity-choice",
)

# %% [markdown]
# ## The trade-off between quality and toxicity
#
# Both filters, in one picture: how toxic is what the model writes (or what it has read), and how well does it predict text?
# Down and to the right is the worst corner; a filter without a price would move to the left and stay level.

# %% tags=["hide-input"]
looks = {
    "quality": (COLOURS["mixed"], "D", "quality filters"),
    "toxicity": (COLOURS["real"], "o", "toxicity filters"),
    "": (COLOURS["published"], "x", "random drops, and none (at 0)"),
    "word list": ("#333333", "*", "word list"),
}
fig, (left, right) = subplots(1, 2, figsize=(10.2, 4.3), sharey=True)
for by, (colour, marker, label) in looks.items():
    drawn = [arm for arm in study.arms if arm.filter == by]
    for ax, arms in ((left, drawn), (right, [arm for arm in drawn if arm in study.tested])):
        for i, arm in enumerate(arms):
            name, row = str(arm), gains.loc[str(arm)]
            x = sets.toxic[name] if ax is left else study.task(arm, "generation").value
            if ax is right:
                e = study.task(arm, "generation")
                ax.plot((e.low, e.high), (row.gain, row.gain), color=colour, lw=0.8, alpha=0.6)
                ax.plot((x, x), (row.gain_low, row.gain_high), color=colour, lw=0.8, alpha=0.6)
            ax.plot(
                x,
                row.gain,
                marker,
                color=colour,
                mfc="white" if arm.kind == "inverse" else colour,
                label=label if i == 0 else None,
            )
            if ax is right:
                ax.annotate(
                    name,
                    (x, row.gain),
                    fontsize=7,
                    xytext=(4, (4, -10, 13)[i % 3]),
                    textcoords="offset points",
                )
for ax in (left, right):
    ax.axhline(0, color="#999999", lw=1, ls=":")
left.set(
    xlabel="toxic share of the bytes read (%)",
    ylabel="gain in bits per byte (%), mean of 8 domains",
)
right.set(xlabel="toxic share of the continuations written (%)")
left.legend(fontsize=8)
show(
    fig,
    alt="Gain in bits per byte against toxicity, one point per arm. Left, by toxic share of the bytes read: "
    + "; ".join(f"{n} {sets.toxic[n]:.1f} %, {gains.gain[n]:+.2f}" for n in gains.index)
    + ". Right, by toxic share of what the models write: "
    + "; ".join(f"{arm} {study.task(arm, 'generation').value:.1f} %" for arm in study.tested)
    + ".",
    caption="Gain against toxicity: of what was read (left, all arms) and of what is written (right, the arms whose models "
    "did the downstream tasks; lines are 95 % intervals). White: inverse filters.",
    name="fig-toxicity-tradeoff",
)

# %% [markdown]
# ## Verdict

# %% tags=["hide-input"]
from dataworth.stats import estimate

own = [study.arm("toxicity", one) for one in sorted(kept, reverse=True)]
tested = [study.arm("toxicity", one) for one in sorted(tasks, reverse=True)]
slope = study.slope({arm: study.gain(arm) for arm in (whole, *own)})
answers = study.slope({arm: study.task_change(arm, "accuracy") for arm in (whole, *tested)})
net = study.gain(strict, over="control")
helped = study.task_change(turned, "accuracy")
helped_loss = study.gain(turned, over="control")
finds = study.task(turned, "toxic")
others = [study.task(arm, "toxic") for arm in (whole, *tested)]
ahead = estimate(
    finds.value - max(e.value for e in others),
    finds.draws - np.max([e.draws for e in others], axis=0),
)
writes = study.task_change(strict, "generation")
better = study.removed_quality(strict)
inf = float("inf")
ledger = [
    claims.claim(
        "costs-answers",
        "Every percent of text that a toxicity filter removes costs question answering.",
        source="Longpre et al. 2023, Figure 7",
        published="−0.07 points per percent removed; −2.7 at 61 % kept",
        estimate=answers.value,
        interval=answers.interval,
        region=(-inf, 0.0),
        unit="points per % removed",
        effect=f"multiple choice: slope of right answers over {len(tested)} filters and none",
    ),
    claims.claim(
        "costs-loss",
        "Every percent of text that a toxicity filter removes costs prediction.",
        source="Longpre et al. 2023, Figure 7, read as a claim on loss",
        published="no published test on loss",
        estimate=slope.value,
        interval=slope.interval,
        region=(-inf, 0.0),
        unit="% of bits per byte per % removed",
        effect=f"slope of the gain over {len(own)} filters and none",
    ),
    claims.claim(
        "beyond-size",
        "A toxicity filter costs more than a random drop of its size.",
        source="Longpre et al. 2023, who compare with no random drop",
        published="no published test",
        estimate=net.value,
        interval=net.interval,
        region=(-inf, 0.0),
        unit="% of bits per byte",
        effect=f"{strict}: gain over the random drop, mean of eight domains",
    ),
    claims.claim(
        "inverse-identifies",
        "The inverse toxicity filter is the best for toxicity identification.",
        source="Longpre et al. 2023, section 5",
        published="best on every data set (sizes not known)",
        estimate=ahead.value,
        interval=ahead.interval,
        region=(0.0, inf),
        unit="points of AUROC",
        effect=f"{turned} minus the best of the others ({len(others)} arms)",
    ),
    claims.claim(
        "inverse-helps",
        "The inverse toxicity filter helps question answering.",
        source="Longpre et al. 2023, Figure 7",
        published="+1.7 points at 92 % kept",
        estimate=helped.value,
        interval=helped.interval,
        region=(0.0, inf),
        unit="points",
        effect=f"multiple choice: {turned} minus unfiltered; gain in bits per byte over the random drop {helped_loss} %",
    ),
    claims.claim(
        "writes-less",
        "A toxicity filter makes models write less toxic text.",
        source="Longpre et al. 2023, Figure 5",
        published="lower (sizes not known)",
        estimate=writes.value,
        interval=writes.interval,
        region=(-inf, 0.0),
        unit="points of toxic continuations",
        effect=f"{strict} minus unfiltered ({level['generation'].value:.1f} %)",
    ),
    claims.claim(
        "trade-off",
        "What a toxicity filter removes is of higher quality than what it keeps.",
        source="lecture slides: likely due to toxicity and quality trade-off",
        published="books score high on both (sizes not known)",
        estimate=better.value,
        interval=better.interval,
        region=(0.0, inf),
        unit="of the quality score, 0 to 1",
        effect=f"{strict}: mean quality over bytes, removed minus kept",
    ),
]
claims.table(ledger, "toxicity")

# %% tags=["remove-cell"]
claims.write(
    "toxicity",
    "Filtering out toxic text costs ability, and ability to recognise it",
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
