# ---
# jupyter:
#   kernelspec: {name: python3, display_name: Python 3, language: python}
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   dataworth:
#     params: "dataworth.studies.data_age:DataAge"
#     description: What does text of another time cost, and when does old text begin to hurt?
#     device: cpu or one GPU
#     main: [era_starts, age_tokens, seeds]
#     expected_minutes: {smoke: 1, quick: 3, full: 25, gpu: 8}
# ---

# %% [markdown]
# # Text of another time costs loss, and fine-tuning does not pay it back
#
# A language model is trained once and used for years. The text it learned from stops on some day; the
# text it is asked about does not. How much worse does the distance make it, is text *newer* than the
# training data harder than text that is older, and does fine-tuning on recent examples repair it?
#
# **What was found.** Longpre et al. {cite}`longpre2024pretrainer` trained models of 1.5 billion parameters on
# four versions of C4, each with all pages scraped up to a year: 2013, 2016, 2019, 2022.
#
# - After fine-tuning on five tasks, a year of distance between pretraining and evaluation costs 0.41 points of
#   score (Pearson $r$ = 0.61); a year between *fine-tuning* and evaluation costs 2.84 points (Table 2).
# - The loss is worse where evaluation data are newer than the pretraining data than where they are older (Figure 4).
# - Much fine-tuning "cannot overcome pretraining data that is temporally misaligned".
# - A model of 20 million parameters shows next to nothing: 0.08 points, $r$ = 0.07, not significant.
#
# The lecture that this book grew out of sums it up as: most models downloaded from the public hub are
# of before 2020; misalignment costs performance; more fine-tuning does not improve it; it is worse when
# pretraining precedes evaluation. The first is about the hub and is not tested here; the other three are in
# the ledger below.
#
# **What is tested here.** The same design on text of 232 years: the addresses on the State of the Union,
# one or two a year since 1790. Every arm has the *same amount* of text and of training, each is run more than
# once, and one arm, the **random dates**, draws its speeches from all years: whatever slope it shows
# is no effect of time. As the paper finds no fine-tuned effect in a small model, the verdicts rest on the
# *loss*, which is measured to much higher precision than the accuracy on a task.

# %% [markdown]
# ## Scale of this run

# %% tags=["parameters"]
era_starts = [1790, 1860, 1900, 1940, 1980]
last_year = 2021
# Set by the time on two cores: all of Part II within twelve minutes.
age_bytes = 520_000
age_tokens = 106_496
speech_tokens = 400
second_model = "lm-0.1m"
labelled_from = 1900
steps = [16, 48]
windows = 2
margins = [0.02, 0.05, 0.1]
seeds = 2
model = "lm-0.4m"
vocabulary = 2048
pool_bytes = 1_100_000
tokens = 360_000
batch = 16
context = 128
learning_rate = 1.6e-2
held_out_tokens = 6000
resamples = 1000
seed = 0

# %% [markdown]
# ## Method
#
# The years are cut into eras. Three kinds of training set, each of `age_bytes` bytes of whole speeches drawn
# at random (anew for every seed):
#
# - **snapshots**, as in the paper: any speech up to the end of an era. A later snapshot is not larger
#   than an earlier one; it holds fewer speeches of each time;
# - **slices**: speeches of one era only;
# - **random dates**: speeches of any year, as many draws as there are eras. These stand in for the
#   random drop of equal size in the other chapters.
#
# The first slice is also the first snapshot, and the last snapshot is a draw of random dates: these are trained
# once. All arms of a seed start from the same weights and take the same number of steps. The speeches of the
# validation and test sets (neither is used to choose anything) are judged by their first `speech_tokens` tokens;
# training and held-out sets share no speech, but they share presidents (see the end).
#
# **Temporal degradation**, {term}`TD <temporal degradation>`, is computed in two ways. With $L(p, e)$ the bits per byte of
# a model of training time $p$ on evaluation era $e$ and both times at the middle of their era:
#
# 1. the form of Longpre et al., for a loss: the slope of $L(p, e) - \overline{L(\cdot, e)}$ on the distance
#    $|p - e|$. Taking away the mean of each evaluation era removes that some speeches are easier
#    than others. Its Pearson $r$ and the one-sided $p$ of Wald's test are those of an ordinary regression, which takes the cells
#    as independent; the intervals do not: they resample speeches and seeds. On one side alone (or without the own
#    era), both loss and distance are centred over the cells that are left of an evaluation era, since a mean over all
#    would mix the sides;
# 2. a form in the manner of Luu et al. {cite}`luu2022time`, per evaluation era: the absolute slope of
#    $D(p, e) = (L(p, e) - L(e, e))\,\mathrm{sign}(p - e)$ on $p$, averaged over $e$. An absolute value is never
#    below zero, so that only its excess over the random dates counts.
#
# Both are in bits per byte and **decade**; larger is worse.

# %%
from dataworth.studies.data_age import DataAge, run

params = DataAge.from_names(globals())
study = run(params)
study.summary()

# %% [markdown]
# ## The loss by time of training and time of evaluation
#
# Bits per byte of the slices, then all maps less the mean of each column. If time matters, the diagonal of the slices is
# blue; below the diagonal of the snapshots, where the speeches' own time is part of the training set, only dilution can
# cost anything; and the random dates have no pattern.

# %%
study.matrix("slices", centred=False).round(3)

# %% tags=["hide-input"]
import numpy as np
from IPython.display import Markdown

from dataworth import claims, published
from dataworth.figures import COLOURS, show, subplots
from dataworth.text.models import MODELS

record = claims.recorded("data-age")
kinds = ("snapshots", "slices", "random dates")
tables = {kind: study.matrix(kind) for kind in kinds}
most = max(float(np.abs(table.to_numpy()).max()) for table in tables.values())
fig, axes = subplots(1, 3, figsize=(10, 4.1))
for ax, (kind, table) in zip(axes, tables.items(), strict=True):
    image = ax.imshow(table, cmap="RdBu_r", vmin=-most, vmax=most)
    for (row, column), value in np.ndenumerate(table.to_numpy()):
        ax.text(
            column,
            row,
            f"{value:+.2f}",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if abs(value) > 0.6 * most else "#222222",
        )
    ax.set_xticks(range(len(table.columns)), table.columns, rotation=60, fontsize=8)
    ax.set_yticks(range(len(table.index)), table.index, fontsize=8)
    ax.grid(False)
    ax.set(title=kind, xlabel="evaluation")
axes[0].set_ylabel("training text")
fig.colorbar(image, ax=axes, shrink=0.75, label="bits per byte, less the column's mean")
diagonal = {kind: np.diagonal(table).mean() for kind, table in tables.items()}
corner = tables["slices"]
show(
    fig,
    alt="Three heat maps of bits per byte by training text (rows) and era of evaluation (columns), each column "
    "less its mean. Mean of the diagonal: "
    + ", ".join(f"{kind} {value:+.3f}" for kind, value in diagonal.items())
    + f". The slice of {params.names[0]} on {params.names[-1]} is at {corner.iloc[0, -1]:+.3f}, the slice of "
    f"{params.names[-1]} on {params.names[0]} at {corner.iloc[-1, 0]:+.3f}.",
    caption="Loss by training text and era of evaluation, less the mean of each column; blue is better. All "
    "models have the same amount of text and of training. Random dates: draws from all years, the control.",
    name="fig-age-matrix",
)

# %% [markdown]
# ## Temporal degradation
#
# Each point is a cell of the maps above, against the distance in time with its sign: to the right, the
# evaluation is newer than the training text. The lines are the two sides' slopes.

# %%
degradations = study.degradations()
degradations.round(4)

# %% tags=["hide-input"]
colours = {
    "slices": COLOURS["real"],
    "snapshots": COLOURS["synthetic"],
    "random dates": COLOURS["published"],
    "second size": COLOURS["accent"],
}
middles = params.middles
gap = (middles - middles[:, None]).ravel()
fig, (ax, right) = subplots(1, 2, figsize=(10, 4.6), width_ratios=(1.1, 1))
for kind, marker in zip(kinds, "Dso", strict=True):
    y = tables[kind].to_numpy().ravel()
    ax.plot(gap, y, marker, color=colours[kind], ms=4, alpha=0.7, label=kind, mfc="none")
    for side, inside in (("newer", gap >= 0), ("older", gap <= 0)):
        slope, x = study.degradation(kind, side).per_year.value, np.abs(gap[inside])
        ends = np.array([0.0, x.max()])
        line = y[inside].mean() + slope * (ends - x.mean())
        ax.plot(ends if side == "newer" else -ends, line, color=colours[kind], lw=1.6)
ax.axvline(0, color="#999999", lw=1, ls=":")
ax.set(
    xlabel="years from training text to evaluation (right: evaluation is newer)",
    ylabel="bits per byte, less the mean of the era",
)
ax.legend(fontsize=8)
definitions = list(dict.fromkeys(degradations.definition))
for i, kind in enumerate(kinds):
    rows = degradations[degradations.arm == kind].set_index("definition").loc[definitions]
    bars = np.clip([rows.value - rows.low, rows.high - rows.value], 0, None)
    x = np.arange(len(definitions)) + 0.2 * (i - 1)
    right.errorbar(
        rows.value, x, xerr=bars, fmt="Dso"[i], color=colours[kind], capsize=2, ms=4, label=kind
    )
if record:
    past = record["evidence"]["degradation"]["slices"]
    right.plot(
        [past[name][0] for name in definitions],
        np.arange(len(definitions)) + 0.05,
        "x",
        color=COLOURS["real"],
        ms=6,
        label="slices, recorded run",
    )
right.axvline(0, color="#999999", lw=1, ls=":")
right.set_yticks(range(len(definitions)), definitions)
right.invert_yaxis()
right.locator_params(axis="x", nbins=5)
right.set(xlabel="TD (bits per byte and decade)")
right.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
both = degradations[degradations.definition == "both sides"].set_index("arm")
show(
    fig,
    alt="Left: centred bits per byte against the signed distance in years from training text to evaluation, with "
    "lines for either side. Right: temporal degradation by definition, with intervals. By the first definition, both "
    "sides: "
    + "; ".join(
        f"{kind} {both.value[kind]:.4f} [{both.low[kind]:.4f}, {both.high[kind]:.4f}], r = {both.r[kind]:.2f}"
        for kind in kinds
    )
    + " bits per byte and decade.",
    caption="Left: loss against distance in time, one point for each training text and era. Right: temporal "
    "degradation by five definitions; 95 % intervals over speeches and seeds. *Without own era* leaves out the cells in "
    "which training and evaluation speeches may have one speaker; *per evaluation era* is the second definition, "
    "which cannot be negative.",
    name="fig-age-degradation",
)

# %% [markdown]
# An exact test that needs no model of the errors: exchange the training times of the slices in every possible way and
# compute the slope anew. The share of these slopes that reach the true one is the test's $p$; the smallest that
# five eras allow is 1/120. The labels of the random dates mean nothing, so that exchanging *them* shows how large
# a slope arises by the choice of speeches alone; this spread is a fairer control than the interval of one labelling, as two
# seeds say little about that choice.

# %%
shuffled, exact_p = study.rearranged("slices")
null = 10 * np.quantile(study.rearranged("random dates")[0], [0.025, 0.975])
print(f"true dates: slope {10 * shuffled[0]:.4f} bits per byte and decade")
print(
    f"exchanged dates: {10 * shuffled.mean():+.4f} on average, {10 * shuffled.max():.4f} at most; "
    f"p = {exact_p:.4f}"
)
print(f"random dates in every order: 95 % within {null[0]:.4f} to {null[1]:.4f}")

# %% [markdown]
# ## A second size
#
# Are larger models more sensitive? The slices again with the other model. The published pair is in points of
# score after fine-tuning and spans a factor of 75 in size; only signs can be compared. Two more sizes, the larger
# that of the paper's small model, were trained once on a GPU with more text (`bench/age_by_size.py`); their table is
# kept with the library.

# %% tags=["hide-input"]
small, large = study.larger
names = {"slices": params.model, "second size": params.second_model}
table2 = published.temporal_degradation()
gpu = published.measured("age_by_size")
fig, (ax, middle, right) = subplots(1, 3, figsize=(9.8, 3.9))
for i, arm in enumerate((small, large)):
    rows = degradations[degradations.arm == arm].set_index("definition").loc[definitions]
    bars = np.clip([rows.value - rows.low, rows.high - rows.value], 0, None)
    ax.errorbar(
        np.arange(len(definitions)) + 0.16 * (i - 0.5),
        rows.value,
        yerr=bars,
        fmt="D" if arm == "slices" else "^",
        color=colours[arm],
        capsize=3,
        ms=5,
        label=names[arm],
    )
control = degradations[degradations.arm == "random dates"].set_index("definition").loc[definitions]
ax.plot(
    range(len(definitions)),
    control.value,
    "o",
    color=colours["random dates"],
    ms=4,
    label="random dates",
)
ax.axhline(0, color="#999999", lw=1, ls=":")
ax.set_xticks(range(len(definitions)), definitions, rotation=35, ha="right", fontsize=8)
ax.set(ylabel="TD (bits per byte and decade)", title="this run: loss, slices")
ax.margins(y=0.3)
ax.legend(fontsize=8, loc="upper center", ncols=3, columnspacing=0.8, handletextpad=0.3)
own = degradations[degradations.definition == "both sides"].set_index("arm").loc[[small, large]]
own = own.assign(parameters=[MODELS[names[arm]].parameters(vocabulary) for arm in (small, large)])
once = gpu[(gpu.definition == "both sides") & (gpu.arm == "slices")].dropna(subset="parameters")
for rows, marker, colour, label in (
    (own, "D", colours["slices"], "this run"),
    (once.sort_values("parameters"), "x", "#333333", "on a GPU, more text"),
):
    bars = [rows.value - rows.low, rows.high - rows.value]
    middle.errorbar(
        rows.parameters,
        rows.value,
        bars,
        fmt=marker + "-",
        color=colour,
        lw=1,
        capsize=3,
        label=label,
    )
middle.set(xscale="log", xlabel="parameters", ylim=(0, None), title="both sides, by size")
middle.legend(fontsize=8)
for of, marker in (("pretraining", "x"), ("fine-tuning", "+")):
    rows = table2[table2.of == of]
    right.plot(
        rows.parameters, rows.value, marker + ":", color=COLOURS["published"], label=of, ms=8
    )
right.set(
    xscale="log",
    xlabel="parameters",
    ylabel="TD (points of score and year)",
    title="published: score",
    ylim=(0, None),
)
right.legend(fontsize=8)
pair = {arm: both.loc[arm] for arm in (small, large)}
show(
    fig,
    alt="Left: temporal degradation of the loss of two model sizes by five definitions; both sides: "
    + ", ".join(
        f"{names[arm]} {row.value:.4f} [{row.low:.4f}, {row.high:.4f}]" for arm, row in pair.items()
    )
    + ". Middle: both sides by parameters, this run and larger models on a GPU: "
    + ", ".join(f"{r.model} {r.value:.4f} [{r.low:.4f}, {r.high:.4f}]" for r in once.itertuples())
    + ". Right: published degradation of the score of two sizes: "
    + ", ".join(f"{r.model} {r.of} {r.value:.2f}" for r in table2.itertuples())
    + " points per year.",
    caption="Left: temporal degradation of slices by model size, with 95 % intervals and the random dates of "
    "the main model. Middle: the first definition by model size; the two series differ in their budgets of text. "
    "Right: Table 2 of Longpre et al., in other units.",
    name="fig-age-sizes",
)


# %% tags=["hide-input"]
def measured(arm, definition="both sides", model="lm-20m"):
    """A row of the GPU's table in words."""
    rows = gpu[(gpu.arm == arm) & (gpu.definition == definition) & (gpu.model == model)]
    row = next(rows.itertuples())
    return f"{row.value:.4f} [{row.low:.4f}, {row.high:.4f}]"


twin = gpu[gpu.model == "lm-20m"].iloc[0]
r20 = gpu[(gpu.arm == "snapshots") & (gpu.definition == "both sides")].r.iloc[0]
Markdown(
    f"At the size of the paper's small model ({twin.parameters / 1e6:.0f} million parameters, {twin.tokens:,} tokens, "
    f"{twin.seeds} seeds, on {twin.device.removeprefix('cuda: ')}) the loss shows what its fine-tuned scores did not: "
    f"{measured('snapshots')} bits per byte and decade for snapshots (*r* = {r20:.2f}; published for the scores of "
    f"LM-XL: {table2.r.max():.2f}), {measured('slices')} for slices, {measured('random dates')} for random dates. "
    f"Its snapshots lose {measured('snapshots', 'newer evaluation')} on the newer side and "
    f"{measured('snapshots', 'older evaluation')} on the older one. Against the model of an eighth of its size it loses "
    f"{measured('slices', model='larger less smaller')} more (slices, paired by speech and seed)."
)

# %% [markdown]
# ## Does fine-tuning repair it?
#
# A cube: models pretrained on one era's slice are fine-tuned to tell the party of a speech, Republican or
# Democratic, on the speeches of one era, and judged on every era. All three axes have the eras since
# `labelled_from`: before, a single president gave all the speeches of one of the parties in some era.
#
# Speeches of one president are alike, and each has one party. A classifier that knows the presidents of the training
# speeches looks good on their other speeches and has learned nothing about parties. Therefore the presidents are in two
# halves: fine-tuning sees one, and {term}`TD <temporal degradation>` is computed on the **unseen** ones of the other
# half; the **seen** ones are shown beside them. TD here is in nats of cross-entropy and decade:
#
# - *pretraining*: centred over pretraining eras at the same fine-tuning era, on their distance from the evaluation;
# - *matched*: the same, only where fine-tuning and evaluation are of one era. If fine-tuning on the right time
#   repaired the pretraining, this would be 0;
# - *fine-tuning*: centred over fine-tuning eras at the same pretraining era, on their distance;
# - *control*: the distance of the fine-tuning era for a model pretrained on random dates.

# %%
tuned = study.tuned_table()
tuned.round(3)

# %%
study.accuracy(steps[-1]).round(2)

# %% tags=["hide-input"]
fig, axes = subplots(1, 3, figsize=(10, 4.1), width_ratios=(1, 1, 0.7))
order = ["pretraining", "matched", "fine-tuning", "control"]
for ax, who in zip(axes, ("unseen", "seen"), strict=False):
    for i, count in enumerate(steps):
        rows = tuned[(tuned.presidents == who) & (tuned.steps == count)].set_index("of").loc[order]
        bars = np.clip([rows.value - rows.low, rows.high - rows.value], 0, None)
        ax.errorbar(
            np.arange(len(order)) + 0.18 * (i - (len(steps) - 1) / 2),
            rows.value,
            yerr=bars,
            fmt="Ds^o"[i % 4],
            color=(COLOURS["mixed"], COLOURS["synthetic"], COLOURS["accent"])[i % 3],
            capsize=3,
            label=f"{count} steps",
        )
    ax.axhline(0, color="#999999", lw=1, ls=":")
    ax.set_xticks(range(len(order)), order, rotation=30)
    ax.set(title=f"{who} presidents")
axes[0].set_ylabel("TD (nats of cross-entropy and decade)")
axes[0].legend(fontsize=8)
xl = table2[table2.model == "LM-XL"].set_index("of").value
lm_small = table2[table2.model == "LM-Small"].set_index("of").value
axes[2].plot(xl.index, xl, "x", color=COLOURS["published"], ms=8, label="LM-XL")
axes[2].plot(lm_small.index, lm_small, "+", color=COLOURS["published"], ms=9, label="LM-Small")
axes[2].set(
    title="published", ylabel="TD (points of score and year)", ylim=(0, None), xlim=(-0.5, 1.5)
)
axes[2].legend(fontsize=8)
longest = tuned[(tuned.steps == steps[-1]) & (tuned.presidents == "unseen")].set_index("of")
show(
    fig,
    alt=f"Temporal degradation of the fine-tuned loss. Unseen presidents, {steps[-1]} steps: "
    + "; ".join(
        f"{name} {longest.value[name]:.3f} [{longest.low[name]:.3f}, {longest.high[name]:.3f}]"
        for name in order
    )
    + " nats and decade. Right, published: points of score per year, "
    + ", ".join(f"{r.model} {r.of} {r.value:.2f}" for r in table2.itertuples())
    + ".",
    caption="Temporal degradation after fine-tuning to tell parties, on presidents whom fine-tuning did not see "
    "(left) and did see (middle); 95 % intervals over speeches and seeds. Right: Table 2 of Longpre et al., in "
    "other units.",
    name="fig-age-tuning",
)

# %% [markdown]
# ## When does an old data set begin to hurt?
#
# For every speech newer than a model's last training year: its excess loss over the model whose text ends with the
# speech's own era, in percent, against the years in between. The curve is the rising fit ({term}`isotonic regression`),
# which starts from nothing at age 0 and assumes no other form. The age at which it reaches a margin is the answer, *open* where
# it is not reached within the data.

# %%
import pandas as pd

ages = {kind: study.ageing(kind) for kind in ("slices", "snapshots")}
answers = {
    (kind, margin): found.reaches(margin) for kind, found in ages.items() for margin in margins
}
mixed = study.random_excess()
pd.DataFrame(
    [
        {
            "training text": kind,
            "excess loss": f"{100 * margin:g} %",
            "years": claims.number(e.value),
            "95 % interval": claims.span(e.interval),
        }
        for (kind, margin), e in answers.items()
    ]
)

# %% tags=["hide-input"]
fig, axes = subplots(1, 2, figsize=(10, 4.2), sharey=True)
for ax, (kind, found) in zip(axes, ages.items(), strict=True):
    low, high = np.quantile(found.draws, [0.025, 0.975], axis=0)
    ax.plot(found.ages, 100 * found.excess, ".", color="#BBBBBB", ms=4)
    ax.fill_between(found.grid, 100 * low, 100 * high, color=colours[kind], alpha=0.2, lw=0)
    ax.plot(found.grid, 100 * found.curve, color=colours[kind], lw=2, label="rising fit, 95 % band")
    for margin in margins:
        ax.axhline(100 * margin, color="#999999", lw=0.8, ls=":")
    ax.axhline(
        100 * mixed.value, color=colours["random dates"], lw=1.2, ls="--", label="random dates"
    )
    ax.set(title=kind, xlabel="years from the last training year to the speech")
    if record:
        past = record["evidence"]["ageing"][kind]
        ax.plot(
            past["years"],
            100 * np.array(past["excess"]),
            ".-",
            lw=0.8,
            ms=3,
            color="#333333",
            label="recorded run",
        )
    ax.legend(fontsize=8, loc="upper left")
axes[0].set_ylabel("excess loss (%)")
first = margins[0]
show(
    fig,
    alt="Excess loss in percent against the years between the last training year and a newer speech, for slices and "
    f"for snapshots, with rising fits. The fits reach {100 * first:g} % after "
    + " and ".join(f"{claims.number(answers[kind, first].value)} years ({kind})" for kind in ages)
    + "; at 100 years they are at "
    + " and ".join(
        f"{100 * np.interp(100, f.grid, f.curve):.1f} % ({kind})" for kind, f in ages.items()
    )
    + f". Random dates: {100 * mixed.value:.1f} %.",
    caption="Excess loss on newer speeches, each against the model of the same kind that ends with the speech's "
    "era. Grey: single speeches. Dotted: the margins of the table. Dashed: random dates against the slices of the "
    "speeches' own eras.",
    name="fig-age-hurts",
)

# %% [markdown]
# ## Verdict


# %%
def decade(arm, side="both"):
    return study.degradation(arm, side).per_year.times(10)


slopes = {kind: study.degradation(kind) for kind in kinds}
few, most = (study.tuned_degradation(n, "matched").per_year for n in (steps[0], steps[-1]))
ledger = claims.judge(
    "data-age",
    {
        "distance-raises-loss": decade("snapshots"),
        "distance-raises-loss-slices": decade("slices"),
        "newer-is-worse": study.asymmetry("snapshots").times(10),
        "newer-is-worse-slices": study.asymmetry("slices").times(10),
        "larger-more-sensitive": decade(large).minus(decade(small)),
        "fine-tuning-does-not-repair": most.times(10),
        "more-fine-tuning": most.minus(few).times(10),
    },
    slopes=slopes, null=null, exact_p=exact_p, large=names[large], small=names[small],
    sides={
        arm: f"{arm}: newer {decade(arm, 'newer').value:.4f}, older {decade(arm, 'older').value:.4f} "
        "bits per byte and decade"
        for arm in slopes
    },
    of_tuning=study.tuned_degradation(steps[-1], "fine-tuning").per_year.times(10),
    fewest=steps[0], most=steps[-1],
)  # fmt: skip
ledger

# %% tags=["remove-cell"]
claims.write(
    ledger,
    evidence={
        "matrix": {kind: study.matrix(kind, centred=False).to_numpy().tolist() for kind in kinds},
        "degradation": {
            arm: {
                row.definition: [row.value, row.low, row.high, row.r, row.p]
                for row in rows.itertuples()
            }
            for arm, rows in degradations.groupby("arm")
        },
        "ageing": {
            kind: {"years": found.grid[::10].tolist(), "excess": found.curve[::10].tolist()}
            for kind, found in ages.items()
        },
        "reaches": {
            f"{kind}, {margin:g}": [e.value, e.low, e.high] for (kind, margin), e in answers.items()
        },
        "exchanged_dates_p": exact_p,
        "tuned": tuned.to_dict("list"),
    },
    provenance=study.provenance(),
)

# %% [markdown]
# ## Why it could be wrong
#
# - **Speakers.** Within an era, most presidents of the held-out speeches also speak in the training text. The
#   diagonal gains from that, not from time alone. *Without own era* takes it out: no speaker is far from his
#   own time. What remains on short distances are the few who served across a border. The excess loss in the first years
#   after a cut-off is part speaker, too: the model of the speech's own era has read other speeches of the same president.
# - **What changes is not only language.** Addresses were written reports through most of the nineteenth
#   century and are speeches on television now: length, audience and form change with the date. Crawled pages change in the same
#   way, as TiC-LM's monthly losses show {cite}`li2025ticlm`. A slope over time is a fact about the text of those
#   times; it is not a law of ageing.
# - **Decades, not years.** The paper's snapshots span nine years, our eras more than two centuries. A slope
#   over so long a time says little about the first nine years; the last figure above is nearer to that
#   question, and its scatter shows how little one speech says.
# - **Snapshots are diluted.** With equal text, a late snapshot has less of each time. In a growing crawl, later
#   snapshots are larger and mostly new. The snapshots' older side is less steep by design, as some of the old text is still
#   in them; hence the slices.
# - **Small sets.** A dozen or two speeches judge an era, and the parties of one era are told apart from about as many. The
#   accuracy table (era of pretraining by era of evaluation, fine-tuned in the latter) shows whether anything was learned
#   there that age could have spoiled. Below one half is no mystery: few presidents speak in an era, and what tells the
#   parties of one half of them apart may mislead on the other half. Where it is near one half or below,
#   the cube says nothing, as the paper's small model says nothing.
# - **Few draws.** Which speeches an arm holds is drawn once per seed. Intervals over two seeds say little about that
#   choice and are too narrow: the random dates, whose slopes mean nothing, may have an interval clear of zero. The spread
#   of the random dates in every order says more, and the recorded run has three seeds.
# - **One corpus, one language, small models.** Training is short: about one pass over the text.

# %% [markdown]
# ## Discussion
#
# **How can we determine when older data sets will start negatively impacting training tasks?** By measuring it, on
# the new text itself; it takes small models and an afternoon:
#
# 1. choose a margin: the excess loss (or loss of score) at which you would pay for new data;
# 2. take held-out documents *with dates*, the newer the better, and part the data by date into a few eras;
# 3. train a small model per era on equal amounts of text, two seeds at least, and one on random dates;
# 4. plot the excess loss on newer documents against the years since the cut-off, fit a curve that may only rise, and
#    read off the age at the margin with its interval;
# 5. if the upper end is open, the data have not shown an end of their usefulness; if the curve crosses at once, mind
#    that form or source may have changed, not the age: compare with the random dates.

# %% tags=["hide-input"]
Markdown(
    "Here, "
    + "; ".join(
        f"text of one era costs {100 * margin:g} % after {claims.number(answers['slices', margin].value)} years "
        f"{claims.span(answers['slices', margin].interval)}"
        for margin in margins
    )
    + f". A mixture of all dates costs {100 * mixed.value:.1f} % "
    f"[{100 * mixed.low:.1f}, {100 * mixed.high:.1f}] against text of the right era: "
    + (
        "old text beside new is not poison, but it takes the place of something better."
        if mixed.low > 0
        else "old text beside new costs nothing that this run can see."
    )
)

# %% [markdown]
# **Is newer text harder than older text?** A cumulative snapshot still holds the old text, so that its loss can rise
# towards the past by dilution alone, and towards the future by ignorance: its two sides are unlike by design. The slices hold
# one era and treat both sides alike.

# %% tags=["hide-input"]
skew = {kind: study.asymmetry(kind) for kind in ("snapshots", "slices")}


def of_sides(kind):
    e = skew[kind]
    what = "no difference that this run can see" if e.low <= 0 <= e.high else "a difference"
    return (
        f"the {kind} show {what} (newer less older side {10 * e.value:+.4f} "
        f"[{10 * e.low:+.4f}, {10 * e.high:+.4f}] bits per byte and decade)"
    )


by_design = skew["snapshots"].low > 0 and skew["slices"].low <= 0
Markdown(
    f"Here, {of_sides('snapshots')}, and {of_sides('slices')}. "
    + (
        "So the asymmetry of this run belongs to the snapshots, not to time: the future is harder because nothing of it is "
        "in the training text, and the past easier because some of it still is."
        if by_design
        else "A claim that time itself works one way needs the slices to say so."
    )
)

# %% [markdown]
# The paper's snapshots therefore answer the practical question, what is lost by *stopping* to collect; the slices
# answer what the old text itself is worth.
#
# **How will the intuitions gained from this research guide the way we approach fine-tuning models for new tasks?** By what
# the cube above bears out, and no further:
#
# - *Look at the date of the base model before choosing it.* The loss of a base model on recent text costs
#   nothing to measure, and {numref}`fig-age-degradation` says it in bits where a fine-tuned score of a small model says
#   nothing at all.
# - *Date the fine-tuning set, too.* In the published numbers a year between fine-tuning and evaluation costs about
#   seven times as much as one between pretraining and evaluation: new labels first, a new base model second.
# - *Judge on speakers, sources and dates that fine-tuning has not seen.* {numref}`fig-age-tuning` has seen and unseen
#   presidents side by side; their difference is what a careless split would have reported.
#
# ## Exercises
#
# **1.** A snapshot up to the end of an era *contains* the older eras. Why then should its loss on older
# speeches rise with distance at all?
#
# ```{admonition} Solution
# :class: dropdown
# By dilution. The amount of text is fixed, so that each era that is added takes away from the others: the last
# snapshot has only a part of its text in each. `study.matrix("snapshots")` shows it below the diagonal. If the set were
# allowed to grow, the loss on old speeches would not rise, and the older side would be flat.
# ```
#
# **2.** The second definition of TD is above zero even for random dates. Why, and how would you correct it?
#
# ```{admonition} Solution
# :class: dropdown
# It is a mean of absolute slopes, and the absolute value of noise is not zero on average. Subtract the value for random
# dates, `study.per_evaluation("slices").minus(study.per_evaluation("random dates"))`: draw by draw, both with the same
# speeches and seeds. Or keep the sign, as the first definition does.
# ```
