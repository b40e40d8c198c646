# ---
# jupyter:
#   dataworth:
#     answer: distance-raises-loss
#     description: What does text of another time cost, and when does old text begin
#       to hurt?
#     device: cpu or one GPU
#     expected_minutes:
#       full: 25
#       gpu: 8
#       quick: 4
#       smoke: 1
#     main:
#     - era_starts
#     - age_tokens
#     - seeds
#     params: dataworth.studies.data_age:DataAge
#   jupytext:
#     notebook_metadata_filter: dataworth,kernelspec,jupytext.notebook_metadata_filter,-all
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What does text of another time cost, and does fine-tuning repair it?
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
# the ledger below. That the two sides of *snapshots* are unlike is so by design, since a later snapshot holds the older
# text; the claim is therefore judged on text of one era.
#
# **What is tested here.** The same design on text of 232 years: the addresses on the State of the Union,
# one or two a year since 1790. Every arm has the *same amount* of text and of training, each is run more than
# once, and one arm is a **placebo** with the **dates permuted**: its speeches are sampled from all years, so that
# whatever slope it shows is no effect of time. As the paper finds no fine-tuned effect in a small model, the verdicts
# rest on the *loss*, which is measured to much higher precision than the accuracy on a task. The practical question, how
# old a text may be, is answered first, in {numref}`fig-age-hurts`.

# %% [markdown]
# ## Scale of this run

# %% tags=["parameters"]
card = "sotu"
era_starts = [1790, 1860, 1920, 1970]
last_year = 2021
# Set by the time on two cores: all of Part II within twelve minutes.
age_bytes = 520_000
age_tokens = 90_112
speech_tokens = 400
second_model = "lm-0.1m"
label = "party"
classes = ["Republican", "Democratic"]
labelled_from = 1920
steps = [16, 40]
windows = 2
margins = [0.02, 0.05, 0.1]
seeds = 3
model = "lm-0.4m"
vocabulary = 2048
batch = 16
context = 128
learning_rate = 1.6e-2
resamples = 1000
seed = 0

# %% [markdown]
# ## Method
#
# The years are cut into eras. Three kinds of training set, each of `age_bytes` bytes of whole speeches sampled
# at random (anew for every seed):
#
# - **snapshots**, as in the paper: any speech up to the end of an era. A later snapshot is not larger
#   than an earlier one; it holds fewer speeches of each time;
# - **slices**: speeches of one era only;
# - **dates permuted (placebo)**: speeches of any year, as many samples as there are eras, as if every speech had
#   another's date. These stand in for the random drop of equal size in the other chapters.
#
# The first slice is also the first snapshot, and the last snapshot is a sample of the placebo: these are trained
# once. All arms of a seed start from the same weights and take the same number of steps. The speeches of the
# validation and test sets (neither is used to choose anything) are represented by their first `speech_tokens` tokens;
# training and held-out sets share no speech, but they share presidents (see the end).
#
# **Temporal degradation**, {term}`TD <temporal degradation>`, is computed in two ways. With $L(p, e)$ the bits per byte of
# a model of training time $p$ on evaluation era $e$ and both times at the middle of their era:
#
# 1. the form of Longpre et al., for a loss: the slope of $L(p, e) - \overline{L(\cdot, e)}$ on the distance
#    $|p - e|$. Taking away the mean of each evaluation era removes that some speeches are easier
#    than others. Its Pearson $r$ and the one-sided $p$ of Wald's test are those of an ordinary regression, which takes the cells
#    as independent; the intervals do not: presidents are drawn with all their speeches, and seeds have the noise of all arms ({term}`interval`). On one side alone (or without the own
#    era), both loss and distance are centred over the cells that are left of an evaluation era, since a mean over all
#    would mix the sides;
# 2. a form in the manner of Luu et al. {cite}`luu2022time`, per evaluation era: the absolute slope of
#    $D(p, e) = (L(p, e) - L(e, e))\,\mathrm{sign}(p - e)$ on $p$, averaged over $e$. An absolute value is never
#    below zero, so that only its excess over the placebo counts.
#
# Both are in bits per byte **per decade**; larger is worse.

# %%
from dataworth import claims, published, tables
from dataworth.studies.data_age import DataAge, run
from dataworth.studies.party_task import LABELS

params = DataAge.from_names(globals())
study = run(params)
tables.show(study.summary().rename(index=LABELS))

# %% [markdown]
# ## When does an old data set begin to hurt?
#
# For every speech: the excess loss of older text over the *newest text that is all from before the speech*, in
# percent, against the years between their ends. The text of the speech's own era is no such reference: it holds later years
# than the speech, and other speeches of its president. The curve is the rising fit ({term}`isotonic regression`), which
# starts from nothing at age 0 and assumes no other form; our eras are forty years and more, so that it says nothing of the first
# decade. The age at which it reaches a margin is the answer, infinite where it is not reached within the data.

# %%
past = (claims.recorded("data-age") or {}).get("evidence", {})
placebo, mixed = LABELS["random dates"], study.random_excess().times(100)
reaches = study.reaches()
fits = {kind: study.excess(kind) for kind in reaches.index}
tables.show(
    reaches,
    ".1f",
    names={margin: f"{100 * margin:g} % excess loss" for margin in margins},
    caption="Years by which text ends earlier than the newest text before the speech, until the loss exceeds the "
    "latter's by a margin, with 95 % intervals over speeches and seeds.",
)

# %%
from dataworth.figures import COLOURS, curves, draw, forest, heatmap, scatter, series, show, split

show(
    draw(*(
        curves(
            {
                "this run": series(table[::2], "excess", "years").map(lambda x: 100 * x),
                placebo: ([0, table.years.max()], *([e, e] for e in (mixed.value, *mixed.interval))),
            },
            "years by which the text ends earlier", "excess loss (%)", title=kind, log="", band=True,
            recorded={"this run": series(past["ageing"][kind]).map(lambda x: 100 * x)} if past else None,
            size=past.get("scale", ""), roles={placebo: "control"},
        )
        for kind, table in fits.items()
    ), height=3.6),
    caption="Excess loss of older text on a speech, against the newest text of the same kind that ends before the speech's "
    "era: rising fits with 95 % bands. Placebo: samples of all dates, which hold the speech's own time and may lie below 0.",
    name="fig-age-hurts",
)  # fmt: skip

# %% [markdown]
# ## The loss by time of training and time of evaluation
#
# Bits per byte of the slices, then all maps less the mean of each column. If time matters, the diagonal of the slices is
# blue; below the diagonal of the snapshots, where the speeches' own time is part of the training set, only dilution can
# cost anything; and the placebo has no pattern.

# %%
import pandas as pd

kinds = {kind: LABELS.get(kind, kind) for kind in ("slices", "snapshots", "random dates")}
maps = {label: study.matrix(kind) for kind, label in kinds.items()}
before = pd.DataFrame(past["matrix"]["slices"] if past else [])
if before.shape == maps["slices"].shape:  # the recorded run, if it has as many eras
    maps["slices, recorded larger run"] = (
        before.sub(before.mean()).set_axis(params.names).set_axis(params.names, axis=1)
    )
tables.show(study.matrix("slices", centred=False), ".3f")

# %%
top = max(abs(table).max(axis=None) for table in maps.values())
panels = [
    heatmap(table, "bits per byte, less the column's mean", better="down", top=top, title=title,
            x="era of evaluation", y="training text")
    for title, table in maps.items()
]  # fmt: skip
show(
    draw(*panels, columns=2),
    caption="Loss by training text and era of evaluation, less the mean of each column; blue is better. All "
    "models have the same amount of text and of training. Placebo: samples of all years, the control.",
    name="fig-age-matrix",
)  # fmt: skip

# %% [markdown]
# ## What do counts of words and pairs know of it?
#
# Models of this size have read little. How much of their loss, and of its rise with distance, is merely which words
# and pairs of words occur? Counts of one, two and three tokens of the very same speeches, each read
# once, are the reference line: a model above the line of triples has learned less than a table, and
# what *its* size does to a slope says how far it has come, not how sensitive large models are.

# %%
tables.show(
    study.references(), {"own": ".3f", "degradation": ".1f"},
    names={"own": "bits per byte, own era", "degradation": "TD, thousandths of a bit per byte per decade"},
    caption="Slices, with 95 % intervals over presidents and seeds.",
)  # fmt: skip

# %% [markdown]
# ## Temporal degradation
#
# Each point is a cell of the maps above, against the distance in time with its sign: to the right, the
# evaluation is newer than the training text. The lines are the two sides' slopes. *Without own era* omits the cells in
# which training and evaluation speeches may have one speaker; *per evaluation era* is the second definition, which cannot
# be negative.

# %%
degradations = study.degradations()
roles = {"slices": "#56B4E9", "snapshots": "#E69F00", placebo: "control"}
tables.show(
    study.by_definition(),
    ".1f",
    caption="Temporal degradation in thousandths of a bit per byte per decade, with 95 % intervals over speeches and "
    "seeds. The second size is another model on the slices.",
)

# %%
# Longer than other cells: no motif draws the two sides' slopes.
rows = degradations[degradations.arm != "second size"].replace({"arm": LABELS})
then = {LABELS.get(arm, arm): e for arm, e in past.get("degradation", {}).items()}
cells = {label: study.cells(kind) for kind, label in kinds.items()}
picture = draw(
    scatter({label: (table.years, table.loss) for label, table in cells.items()},
            "years from training to evaluation text", "bits per byte, less the era's mean",
            roles=roles, cross=(0, None), hollow=list(roles)),
    forest(split(rows, "arm", at="definition"), "TD (bits per byte per decade)", reference=0,
           recorded=then, size=past.get("scale", ""), roles=roles),
    widths=(1.1, 1), height=5,
)  # fmt: skip
for kind, label in kinds.items():
    for side in ("newer", "older"):
        picture.axes[0].plot(*study.line(kind, side), color=COLOURS.get(roles[label], roles[label]))
show(
    picture,
    caption="Left: loss against distance in time, one point for each training text and era, with the slopes of either "
    "side. Right: temporal degradation by five definitions; 95 % intervals over speeches and seeds.",
    name="fig-age-degradation",
)

# %% [markdown]
# An exact permutation test over training times needs no model of the errors: exchange the training times of the slices in
# every possible way and compute the slope anew. The fraction of these slopes that reach the true one is the test's $p$; the
# smallest that four eras allow is 1/24, of five 1/120. The labels of the placebo mean nothing, so that exchanging *them* shows how
# large a slope arises by the choice of speeches alone; this spread is a fairer control than the interval of one labelling,
# as a few seeds say little about that choice.

# %%
exchanged = study.exchanged()
tables.show(
    exchanged.rename(index=LABELS),
    {"slope": ".2g", "spread": ".2g", "p": "p"},
    names={"arm": "training text", "slope": "slope, order as it is", "spread": "95 % of the slopes of all orders"},
    caption="Bits per byte per decade.",
)  # fmt: skip

# %% [markdown]
# ## A second size
#
# Are larger models more sensitive? The slices again with the other model. The published pair is in points of
# score after fine-tuning and spans a factor of 75 in size; only signs can be compared. Two more sizes, the larger
# that of the paper's small model, were trained once on a GPU with more text (`bench/age_by_size.py`); their table is
# kept with the library (version 0.1, whose fits and intervals were older). There, the loss shows what the fine-tuned
# scores of the paper's small model did not.

# %%
gpu = published.measured("age_by_size")
sizes = pd.concat([study.by_model().assign(run="this run"), gpu.assign(run="GPU, more text")])
sizes = sizes[(sizes.definition == "both sides") & sizes.parameters.notna()].replace(
    {"arm": LABELS}
)
sizes = sizes.assign(row=sizes.model + ", " + sizes.run).sort_values(
    ["run", "parameters"], ascending=[False, True]
)
apart = gpu.set_index("model").loc["larger less smaller"]

# %%
show(
    draw(
        forest(split(sizes, "arm", at="row"), "TD of the loss (bits per byte per decade)", roles=roles,
               rows=sizes.row.unique(), reference=0, title="the loss, both sides"),
        forest({}, "TD (points of score per year)", reference=0, title="Longpre et al., Table 2",
               published=split(published.temporal_degradation(), "of", column="value", at="model", name="of {}")),
        widths=(1.5, 1),
    ),
    caption="Temporal degradation by model size. Left: the loss, first definition, with 95 % intervals; this run and the "
    f"one on a GPU ({apart.tokens:,} tokens, {apart.seeds} seeds) differ in their budgets. There, the larger model "
    f"loses {apart.value:.4f} [{apart.low:.4f}, {apart.high:.4f}] more than the smaller one (slices, paired by speech "
    "and seed). Right: published, scores after fine-tuning.",
    name="fig-age-sizes",
)  # fmt: skip

# %% [markdown]
# ## Does fine-tuning repair it?
#
# A cube: models pretrained on one era's slice are fine-tuned to tell the party of a speech, Republican or
# Democratic, on the speeches of one era, and evaluated on every era. All three axes have the eras since
# `labelled_from`: before, a single president gave all the speeches of one of the parties in some era.
#
# Speeches of one president are alike, and each has one party. A classifier that knows the presidents of the training
# speeches looks good on their other speeches and has learned nothing about parties. Therefore the presidents are in two
# halves: fine-tuning sees one, and {term}`TD <temporal degradation>` is computed on the **unseen** ones of the other
# half; the **seen** ones are shown beside them. TD here is in nats of cross-entropy per decade:
#
# - *pretraining*: centred over pretraining eras at the same fine-tuning era, on their distance from the evaluation;
# - *matched*: the same, only where fine-tuning and evaluation are of one era. If fine-tuning on the right time
#   repaired the pretraining, this would be 0;
# - *fine-tuning*: centred over fine-tuning eras at the same pretraining era, on their distance;
# - *control*: the distance of the fine-tuning era for a model pretrained on the placebo.
#
# The published numbers, in other units, stand in {numref}`fig-age-sizes`. First the accuracy after the most fine-tuning,
# in the era of evaluation (presidents unseen, chance is one half). Where its mean over parties is not three standard errors
# above chance, there is nothing that age could have spoiled, and the ledger says *not measurable here*:

# %%
tuned = study.cube.degradations()
runs = [
    table.assign(
        steps=table.steps.map({table.steps.min(): "fewest steps", table.steps.max(): "most steps"})
    )
    for table in (tuned, pd.DataFrame(past["tuned"]) if past else tuned[:0])
]
study.cube.lacking or tables.show(study.cube.accuracy(steps[-1]), ".2f")

# %%
panels = (
    []
    if study.cube.lacking
    else [
        forest(
            split(here, "steps", at="of"),
            "TD (nats per decade)",
            title=f"{who} presidents",
            reference=0,
            recorded=split(there, "steps", at="of"),
            roles={"fewest steps": "#44AA99", "most steps": "#661100"},
        )
        for who in ("unseen", "seen")
        for here, there in [[table[table.presidents == who] for table in runs]]
    ]
)
study.cube.lacking or show(
    draw(*panels, columns=2),
    caption="Temporal degradation after fine-tuning to classify by party, on presidents whom fine-tuning did not see "
    f"(left) and did see (right), after {steps[0]} and {steps[-1]} steps"
    + (f" (recorded: {min(past['tuned']['steps'])} and {max(past['tuned']['steps'])})" if past else "")
    + "; 95 % intervals over speeches and seeds.",
    name="fig-age-tuning",
)  # fmt: skip

# %% [markdown]
# ## Verdict

# %%
small, large = study.models
few, most = steps[0], steps[-1]
repaired = study.cube.per_decade(most, "matched")
slopes = {kind: study.degradation(kind) for kind in kinds}
ledger = claims.judge(
    "data-age",
    {
        "distance-raises-loss": study.per_decade("snapshots"),
        "distance-raises-loss-slices": study.per_decade("slices"),
        "newer-is-worse-slices": study.asymmetry("slices"),
        "larger-more-sensitive": study.per_decade(large).minus(study.per_decade(small)),
        "fine-tuning-does-not-repair": repaired,
        "more-fine-tuning": repaired.minus(study.cube.per_decade(few, "matched")),
    },
    slopes=slopes,
    chances={k: f"p = {tables.text(s.p, 'p')}".replace("= <", "< ") for k, s in slopes.items()},
    placebo=study.per_decade("random dates").times(1000),
    null=[1000 * end for end in exchanged.spread["random dates"]], exact_p=exchanged.p["slices"],
    words=study.per_decade("counts of tokens"), saved=study.beyond_counts(),
    newer={kind: study.per_decade(kind, "newer") for kind in kinds},
    older={kind: study.per_decade(kind, "older") for kind in kinds},
    diluted=study.asymmetry("snapshots"),
    large=study.models[large], small=study.models[small], alone=study.per_decade(small),
    of_tuning=study.cube.per_decade(most, "fine-tuning"), right=study.cube.level(most),
    after_few=study.cube.per_decade(few, "matched"), fewest=few, most=most,
)  # fmt: skip
ledger

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
claims.write(
    ledger,
    evidence={
        "scale": f"{age_tokens:,} tokens, {seeds} seeds",
        "matrix": {kind: study.matrix(kind, centred=False).to_numpy().tolist() for kind in kinds},
        "degradation": {
            arm: {row.definition: [row.value, row.low, row.high, row.r, row.p] for row in rows.itertuples()}
            for arm, rows in degradations.groupby("arm")
        },
        "ageing": {kind: table.to_dict("list") for kind, table in fits.items()},
        "reaches": {
            f"{kind}, {margin:g}": [e.value, e.low, e.high]
            for margin in margins
            for kind, e in reaches[margin].items()
        },
        "exchanged_dates_p": exchanged.p["slices"],
        "references": {
            name: {column: e.evidence() for column, e in row.items()}
            for name, row in study.references().iterrows()
        },
        "tuned": tuned.to_dict("list"),
    },
    provenance=study.provenance(),
    cells=study.cell_means(),
)  # fmt: skip

# %% [markdown]
# ## Why it could be wrong
#
# - **Speakers.** Within an era, most presidents of the held-out speeches also speak in the training text. The
#   diagonal gains from that, not from time alone. *Without own era* takes it out: no speaker is far from his
#   own time. What remains on short distances are the few who served across a border.
# - **Words, not language.** Counts of single tokens show a slope of their own (table above): a part of what is measured is
#   which words a time uses. Of a model above the line of counts of triples, nothing is said about what models learn beyond them.
# - **What changes is not only language.** Addresses were written reports through most of the nineteenth
#   century and are speeches on television now: length, audience and form change with the date. Crawled pages change in the same
#   way, as TiC-LM's monthly losses show {cite}`li2025ticlm`. A slope over time is a fact about the text of those
#   times; it is not a law of ageing.
# - **Decades, not years.** The paper's snapshots span nine years, our eras more than two centuries. A slope
#   over so long a time says little about the first nine years; {numref}`fig-age-hurts` is nearer to that question.
# - **Snapshots are diluted.** With equal text, a late snapshot has less of each time. In a growing crawl, later
#   snapshots are larger and mostly new. The snapshots' older side is less steep by design, as some of the old text is still
#   in them; hence the slices.
# - **Small sets.** Each era is evaluated on 12 to 21 speeches; fine-tuning, which sees half of the presidents, has five to
#   twelve of either party. The
#   accuracy table (era of pretraining by era of evaluation, fine-tuned in the latter) shows whether anything was learned
#   there that age could have spoiled. Below one half is no mystery: few presidents speak in an era, and what tells the
#   parties of one half of them apart may mislead on the other half. Where it is near one half or below,
#   the cube says nothing, as the paper's small model says nothing.
# - **Few samples.** Which speeches an arm holds is sampled once per seed. Intervals over three seeds say little about that
#   choice: the placebo, whose slopes mean nothing, may have an interval that excludes zero. The spread of the placebo in
#   every order says more.
# - **One corpus, one language, small models.** Training is short: about one epoch over the text.

# %% [markdown]
# ## Discussion
#
# **How can we determine when older data sets will start negatively impacting training tasks?** By measuring it, on
# the new text itself; it takes small models and an afternoon:
#
# 1. choose a margin: the excess loss (or loss of score) at which you would pay for new data;
# 2. take held-out documents *with dates*, the newer the better, and part the data by date into a few eras;
# 3. train a small model per era on equal amounts of text, three seeds at least, and one with the dates permuted;
# 4. plot the excess loss against the newest model that ends before the document, by the years between, fit a curve that may only rise, and
#    read off the age at the margin with its interval;
# 5. if the upper end is open, the data have not shown an end of their usefulness; if the curve crosses at once, mind
#    that form or source may have changed, not the age: compare with the placebo.
#
# {numref}`fig-age-hurts` and its table are the answer for these speeches. The placebo's band says what a mixture of
# all dates gains or costs against the newest text before the speech: below zero, some text of the right time makes up for
# much old text beside it.
#
# **Is newer text harder than older text?** A cumulative snapshot still holds the old text, so that its loss can rise
# towards the past by dilution alone, and towards the future by ignorance: its two sides are unlike by design. The slices hold
# one era and treat both sides alike. The ledger has newer less older side of both. Where that of the snapshots
# is clear and that of the slices is none, the asymmetry belongs to the snapshots, not to time: the future is harder
# because nothing of it is in the training text, and the past easier because some of it still is. A claim that time itself
# works one way needs the slices to say so.
#
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
# - *Evaluate on speakers, sources and dates that fine-tuning has not seen.* {numref}`fig-age-tuning` has seen and unseen
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
# **2.** The second definition of TD is above zero even for the placebo. Why, and how would you correct it?
#
# ```{admonition} Solution
# :class: dropdown
# It is a mean of absolute slopes, and the absolute value of noise is not zero on average. Subtract the value of the
# placebo, `study.per_evaluation("slices").minus(study.per_evaluation("random dates"))`: draw by draw, both with the same
# speeches and seeds. Or keep the sign, as the first definition does.
# ```
