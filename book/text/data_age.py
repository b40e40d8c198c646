# ---
# jupyter:
#   dataworth:
#     answer: distance-raises-loss
#     description: What does text of another time cost, and when does old text begin
#       to hurt?
#     device: cpu or one GPU
#     expected_minutes:
#       full: 120
#       gpu: 60
#       quick: 3
#       smoke: 1
#     main:
#     - card
#     - era_starts
#     - draws
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
# **What is tested here.** The same design on text that has a year and an author: informational RFCs, memos
# of one series and one kind, in eras of four years, so that a decade is within reach; and the addresses on the State of
# the Union since 1790 as a second corpus, through the same code. No first author of an RFC stands on both sides, and years,
# numbers of RFCs and standing texts are stripped. Every arm has the *same amount* of text, several pools are
# sampled for each, and one arm is a **placebo** with the **dates permuted**: its documents are sampled from all
# years, so that whatever slope it shows is no effect of time. Counts of three tokens carry the arms (modified Kneser-Ney
# {cite}`chen1999smoothing`): they have no random start and no budget, so that hundreds of them differ in their text alone. Decoders
# are trained beside them on a few eras. As the paper finds no fine-tuned effect in a small model, the verdicts
# rest on the *loss*. The practical question, how old a text may be, is answered first, in {numref}`fig-age-hurts`.

# %% [markdown]
# ## Scale of this run

# %% tags=["parameters"]
card = "rfc"
era_starts = [1991, 1995, 1999, 2003, 2007, 2011, 2015, 2019]
last_year = 2022
cut_every = 2
second_card = "sotu"
second_starts = [1790, 1860, 1920, 1970]
second_last = 2021
age_bytes = 500_000
draws = 4
document_tokens = 256
held_out_documents = 40
# Decoders cost a hundred times as much as counts.
decoder_eras = 2
age_tokens = 65_536
second_model = "lm-0.1m"
label = "party"
classes = ["Republican", "Democratic"]
party_starts = [1920, 1970]
party_last = 2021
steps = [12, 32]
windows = 2
margins = [0.01, 0.02, 0.05]
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
# The years are cut into eras. Training sets, each of `age_bytes` bytes of whole documents sampled at random (anew for
# every pool):
#
# - **snapshots**, as in the paper: any document up to the end of an era. A later snapshot is not larger
#   than an earlier one; it holds fewer documents of each time;
# - **slices**: documents of one era only;
# - **dates permuted (placebo)**: documents of any year, as many samples as there are eras, as if every document had
#   another's date. These stand in for the random drop of equal size in the other chapters;
# - for the age at which text begins to hurt, text of **recent years** (as many as an era has) and of **all years**, up to a
#   cut-off that moves by `cut_every` years.
#
# The first slice is also the first snapshot, and the last snapshot is a sample of the placebo: these are counted
# once. The documents of the validation and test sets (neither is used to choose anything) are represented by their first
# `document_tokens` tokens, at most `held_out_documents` of an era. Training and held-out speeches share presidents (see the
# end); RFCs share no first author.
#
# **Temporal degradation**, {term}`TD <temporal degradation>`, is computed in two ways. With $L(p, e)$ the bits per byte of
# a model of training time $p$ on evaluation era $e$ and both times at the middle of their era:
#
# 1. the form of Longpre et al., for a loss: the slope of $L(p, e) - \overline{L(\cdot, e)}$ on the distance
#    $|p - e|$. Taking away the mean of each evaluation era removes that some documents are easier
#    than others. Its Pearson $r$ and the one-sided $p$ of Wald's test are those of an ordinary regression, which takes the cells
#    as independent; the intervals do not: authors are drawn with all their documents, and pools have the noise of all arms ({term}`interval`). On one side alone (or without the own
#    era), both loss and distance are centred over the cells that are left of an evaluation era, since a mean over all
#    would mix the sides;
# 2. a form in the manner of Luu et al. {cite}`luu2022time`, per evaluation era: the absolute slope of
#    $D(p, e) = (L(p, e) - L(e, e))\,\mathrm{sign}(p - e)$ on $p$, averaged over $e$. An absolute value is never
#    below zero, so that only its excess over the placebo counts.
#
# Both are in bits per byte **per decade**; larger is worse.

# %%
from dataworth import claims, published, tables
from dataworth.studies.age_arms import RECENT, UP_TO
from dataworth.studies.data_age import DataAge, run
from dataworth.studies.party_task import LABELS

params = DataAge.from_names(globals())
study = run(params)
tables.show(study.summary().rename(index=LABELS))

# %% [markdown]
# ## When does an old data set begin to hurt?
#
# For every document: the excess loss of older text over the *newest text that is all from before the document's year*, in
# percent, against the years between their ends. Text of the document's own year is no such reference: it knows what came
# later. The curve is the rising fit ({term}`isotonic regression`), which starts from nothing at age 0 and assumes no
# other form. The age at which it reaches a margin is the answer, infinite where it is not reached within the data.

# %%
past = {} if params.own else (claims.recorded("data-age") or {}).get("evidence", {})
aged, second = study.main, study.second
placebo, mixed = LABELS["random dates"], aged.random_excess().times(100)
reaches = aged.reaches(margins)
tables.show(
    reaches,
    ".1f",
    names={margin: f"{100 * margin:g} % excess loss" for margin in margins},
    caption="Years by which text ends earlier than the newest text before the document, until the loss exceeds the "
    "latter's by a margin, with 95 % intervals over documents and pools.",
)

# %%
from dataworth.figures import COLOURS, curves, draw, forest, heatmap, scatter, series, show, split

fits = {arm: aged.excess(arm) for arm in (RECENT, UP_TO)}
before = past.get("ageing", {})
show(
    draw(*(
        curves(
            {
                "this run": series(table[::2], "excess", "years").map(lambda x: 100 * x),
                placebo: ([0, table.years.max()], *([e, e] for e in (mixed.value, *mixed.interval))),
            },
            "years by which the text ends earlier", "excess loss (%)", title=arm, log="", band=True,
            recorded={"this run": series(before[arm]).map(lambda x: 100 * x)} if arm in before else None,
            size=past.get("scale", ""), roles={placebo: "control"},
        )
        for arm, table in fits.items()
    ), height=3.6),
    caption="Excess loss of older text on a document, against the newest text of the same kind that ends before the document's "
    "year: rising fits with 95 % bands. Placebo: samples of all dates, which hold the document's own time and may lie below 0.",
    name="fig-age-hurts",
)  # fmt: skip

# %% [markdown]
# ## The loss by time of training and time of evaluation
#
# Bits per byte of the slices, then all maps less the mean of each column. If time matters, the diagonal of the slices is
# blue; below the diagonal of the snapshots, where the documents' own time is part of the training set, only dilution can
# cost anything; and the placebo has no pattern.

# %%
kinds = {kind: LABELS.get(kind, kind) for kind in ("slices", "snapshots", "random dates")}
maps = {label: aged.matrix(kind) for kind, label in kinds.items()}
maps[f"slices, {second_card}"] = second.matrix("slices")
tables.show(aged.matrix("slices", centred=False), ".3f")

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
# ## What do models make of the same text?
#
# Counts of one, two and three tokens and two decoders, on the slices that decoders are trained on. A decoder above the line
# of triples has learned less than a table, and what *its* size does to a slope says how far it has come, not
# how sensitive large models are. Counts of single tokens say how much of a slope is merely which words are used.

# %%
models = aged.references()
tables.show(
    models, {"own": ".3f", "degradation": ".1f"},
    names={"own": "bits per byte, own era", "degradation": "TD, thousandths of a bit per byte per decade"},
    caption=f"Slices of {decoder_eras} eras, with 95 % intervals over authors, and pools or seeds.",
)  # fmt: skip

# %% [markdown]
# ## Temporal degradation
#
# Each point is a cell of the maps above, against the distance in time with its sign: to the right, the
# evaluation is newer than the training text. The lines are the two sides' slopes. *Without own era* omits the cells in
# which training and evaluation documents are of one time; *per evaluation era* is the second definition, which cannot
# be negative.

# %%
degradations = aged.degradations()
roles = {"slices": "#56B4E9", "snapshots": "#E69F00", placebo: "control"}
tables.show(
    aged.by_definition(), ".1f",
    caption=f"Temporal degradation on {card} in thousandths of a bit per byte per decade, with 95 % intervals over "
    "authors and pools.",
)  # fmt: skip

# %%
# Longer than other cells: no motif draws the two sides' slopes.
rows = degradations.replace({"arm": LABELS})
then = {LABELS.get(arm, arm): e for arm, e in past.get("degradation", {}).items() if arm in kinds}
cells = {label: aged.cells(kind) for kind, label in kinds.items()}
picture = draw(
    scatter({label: (table.years, table.loss) for label, table in cells.items()},
            "years from training to evaluation text", "bits per byte, less the era's mean",
            roles=roles, cross=(0, None), hollow=list(roles)),
    forest(split(rows, "arm", at="definition"), "TD (bits per byte per decade)", reference=0,
           recorded=then, size=past.get("scale", ""), roles=roles),
    widths=(1.1, 1), height=5.4,
)  # fmt: skip
for kind, label in kinds.items():
    for side in ("newer", "older"):
        picture.axes[0].plot(*aged.ends(kind, side), color=COLOURS.get(roles[label], roles[label]))
show(
    picture,
    caption="Left: loss against distance in time, one point for each training text and era, with the slopes of either "
    "side. Right: temporal degradation by six definitions; 95 % intervals over authors and pools.",
    name="fig-age-degradation",
)

# %% [markdown]
# A permutation test over training times needs no model of the errors: exchange the training times of the slices (in
# every possible way, or in 2,000 where there are more than seven) and compute the slope anew. The fraction of these slopes that reach
# the true one is the test's $p$. The labels of the placebo mean nothing, so that exchanging *them* shows how
# large a slope arises by the choice of documents alone; this spread is a fairer control than the interval of one
# labelling.

# %%
exchanged = aged.exchanged()
tables.show(
    exchanged.rename(index=LABELS),
    {"slope": ".2g", "spread": ".2g", "p": "p"},
    names={"arm": "training text", "slope": "slope, order as it is", "spread": "95 % of the slopes of all orders"},
    caption="Bits per byte per decade.",
)  # fmt: skip

# %% [markdown]
# ## A second corpus, and other models
#
# The same slopes on the second corpus, whose eras are half a century long, and by model. The published pair is in
# points of score after fine-tuning and spans a factor of 75 in size; only signs can be compared.

# %%
other = {label: second.per_decade(kind) for kind, label in kinds.items()}
sides = {side: second.per_decade("slices", side=side) for side in ("newer", "older")}
show(
    draw(
        forest({second_card: other | {f"slices, {side}": e for side, e in sides.items()}},
               "TD (bits per byte per decade)", reference=0, title=f"the second corpus, {second_card}"),
        forest({card: {name: aged.sensitivity(name) for name in aged.models}},
               "TD (bits per byte per decade)", reference=0, title=f"slices of {card}, by model"),
        forest({}, "TD (points of score per year)", reference=0, title="Longpre et al., Table 2",
               published=split(published.temporal_degradation(), "of", column="value", at="model", name="of {}")),
        columns=2,
    ),
    caption="Temporal degradation of the second corpus, of every model on the same slices of the first, and as published "
    "(scores after fine-tuning), with 95 % intervals over authors, and pools or seeds.",
    name="fig-age-sizes",
)  # fmt: skip

# %% [markdown]
# ## Does fine-tuning repair it?
#
# A cube: models pretrained on one era's slice are fine-tuned to tell the party of a speech, Republican or
# Democratic, on the addresses of one era, and evaluated on every era. The eras are those of
# `party_starts`: before, a single president gave all the speeches of one of the parties in some era.
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
import pandas as pd

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
small, large = aged.decoders
few, most = steps[0], steps[-1]
repaired = study.cube.per_decade(most, "matched")
slopes = {kind: aged.degradation(kind) for kind in kinds}
ledger = claims.judge(
    "data-age",
    {
        "distance-raises-loss": aged.per_decade("snapshots"),
        "distance-raises-loss-slices": aged.per_decade("slices"),
        "within-twelve-years": aged.near("slices"),
        "newer-is-worse-slices": aged.asymmetry("slices"),
        "second-corpus": second.per_decade("slices"),
        "second-corpus-newer": second.asymmetry("slices"),
        "larger-more-sensitive": aged.sensitivity(large).minus(aged.sensitivity(small)),
        "fine-tuning-does-not-repair": repaired,
        "more-fine-tuning": repaired.minus(study.cube.per_decade(few, "matched")),
    },
    slopes=slopes, card=card, second_card=second_card,
    chances={k: f"p = {tables.text(s.p, 'p')}".replace("= <", "< ") for k, s in slopes.items()},
    placebo=aged.per_decade("random dates").times(1000),
    near_placebo=aged.near("random dates").times(1000),
    second_placebo=second.per_decade("random dates").times(1000),
    null=[1000 * end for end in exchanged.spread["random dates"]], exact_p=exchanged.p["slices"],
    words=models.degradation["unigram"], saved=aged.beyond_counts(),
    newer={kind: aged.per_decade(kind, side="newer") for kind in kinds},
    older={kind: aged.per_decade(kind, side="older") for kind in kinds},
    diluted=aged.asymmetry("snapshots"), second_diluted=second.asymmetry("snapshots"), sides=sides,
    large=large, small=small, alone=aged.sensitivity(small),
    of_tuning=study.cube.per_decade(most, "fine-tuning"), right=study.cube.level(most),
    after_few=study.cube.per_decade(few, "matched"), fewest=few, most=most,
)  # fmt: skip
ledger

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
claims.write(
    ledger,
    evidence={
        "scale": f"{draws} pools, {held_out_documents} documents an era",
        "matrix": {kind: aged.matrix(kind, centred=False).to_numpy().tolist() for kind in kinds},
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
            name: {column: e.evidence() for column, e in row.items()} for name, row in models.iterrows()
        },
        "tuned": tuned.to_dict("list"),
    },
    provenance=study.provenance(),
    cells=study.cell_means(),
)  # fmt: skip

# %% [markdown]
# ## Why it could be wrong
#
# - **Topics, not language.** What the series writes about moves on: a memo on a protocol that did not exist is hard for older
#   text because of its words. Counts of single tokens show how much of a slope is that (table above); years and numbers
#   of memos are stripped, names of protocols are not, and should not be: they are what ages.
# - **The series changes.** Who publishes informational memos, and through which stream, is not the same in 1995 and 2020. Crawled pages
#   change in the same way, as TiC-LM's monthly losses show {cite}`li2025ticlm`. A slope over time is a fact about the
#   text of those times; it is not a law of ageing.
# - **Authors.** No first author of an RFC stands on both sides, but second authors and working groups do. Presidents stand on
#   both sides of the addresses: the diagonal gains from that, not from time alone. *Without own era* takes it out.
# - **Snapshots are diluted.** With equal text, a late snapshot has less of each time. In a growing crawl, later
#   snapshots are larger and mostly new. The snapshots' older side is less steep by design, as some of the old text is still
#   in them; hence the slices.
# - **Counts.** They see two tokens back. A large model may be hurt less by an unknown name, since it learns from the text
#   before; or more, since it has learned more. The decoders here do not decide it where they are above the counts' line.
# - **Small sets.** Fine-tuning, which sees half of the presidents, has five to twelve speeches of either party in an era. The
#   accuracy table (era of pretraining by era of evaluation, fine-tuned in the latter) shows whether anything was learned
#   there that age could have spoiled. Below one half is no mystery: few presidents speak in an era, and what tells the
#   parties of one half of them apart may mislead on the other half. Where it is near one half or below,
#   the cube says nothing, as the paper's small model says nothing.
# - **One language.** Two corpora, both English.

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
# {numref}`fig-age-hurts` and its table are the answer for these memos. The placebo's band says what a mixture of
# all dates gains or costs against the newest text before the document: below zero, some text of the right time makes up for
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
# - *Or do not fine-tune for facts.* What changes with the date can be looked up instead, and given to the model beside the
#   question {cite}`bratanic2023retrieval`; that is not tested here.
# - *Evaluate on speakers, sources and dates that fine-tuning has not seen.* {numref}`fig-age-tuning` has seen and unseen
#   presidents side by side; their difference is what a careless split would have reported.
#
# ## Exercises
#
# **1.** A snapshot up to the end of an era *contains* the older eras. Why then should its loss on older
# documents rise with distance at all?
#
# ```{admonition} Solution
# :class: dropdown
# By dilution. The amount of text is fixed, so that each era that is added takes away from the others: the last
# snapshot has only a part of its text in each. `study.main.matrix("snapshots")` shows it below the diagonal. If the set were
# allowed to grow, the loss on old documents would not rise, and the older side would be flat.
# ```
#
# **2.** The second definition of TD is above zero even for the placebo. Why, and how would you correct it?
#
# ```{admonition} Solution
# :class: dropdown
# It is a mean of absolute slopes, and the absolute value of noise is not zero on average. Subtract the value of the
# placebo, `study.main.per_evaluation("slices").minus(study.main.per_evaluation("random dates"))`: draw by draw, both
# with the same documents and pools. Or keep the sign, as the first definition does.
# ```
