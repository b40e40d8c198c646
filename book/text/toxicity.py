# ---
# jupyter:
#   dataworth:
#     answer: beyond-size
#     description: What does a language model lose when toxic text is filtered out,
#       and what does it gain?
#     device: cpu or one GPU
#     expected_minutes:
#       full: 20
#       gpu: 30
#       quick: 4
#       smoke: 1
#     main:
#     - kept
#     - loss_model
#     - seeds
#     params: dataworth.studies.filtering:ToxicityFilter
#   jupytext:
#     notebook_metadata_filter: dataworth,kernelspec,jupytext.notebook_metadata_filter,-all
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What does filtering out toxic text cost, and what does it gain?
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
# **What is tested here.** The paper's fractions and its inverse filter, on the small crawl of the chapter on
# [quality](quality) and with an open scorer; C4's word list; {term}`random drops <random drop>`; a random choice with the
# filter's domain mix; a filter of a larger crawl, which leaves as much unique text as there was. The quality filters of that chapter are
# compared in one picture. Every run has a crawl of its own, which all arms select from.

# %% [markdown]
# ## Scale of this run

# %% tags=["parameters"]
card = "small-crawl"
scorer = "toxicity"
kept = [95, 86, 76, 61]
inverse = 92
controls = [92, 61]
equal = [61]
matched = 61
tasks = [61]
task_controls = [92, 61]
quality_kept = [91, 46]
quality_inverse = 73
examples = 400
steps = 40
questions = 48
prompts = 20
samples = 25
seeds = 3
loss_model = "trigram"
model = "lm-0.4m"
vocabulary = 2048
# Set by the time on two cores: all of Part II within twelve minutes. Filters change the loss little:
# they get the largest part of it.
pool_bytes = 420_000
tokens = 81_920
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
# fraction of the *bytes*. Texts without a word, or not in English, are in no arm, as C4 has none; a text without a word that the
# model knows is not scored, and goes before any other. Everything else is as in the chapter on quality: losses of counts of tokens or of a
# language model (`loss_model`), a {term}`gain` in percent of the {term}`bits per byte` of the model of the unfiltered crawl (positive is better), intervals over runs, their crawls and
# documents in pairs, random drops interpolated between the sizes that were run.

# %%
from dataworth import tables
from dataworth.studies.filtering import ToxicityFilter, run

params = ToxicityFilter.from_names(globals())
study = run(params)
tables.show(study.summary())

# %% [markdown]
# ## What the filter keeps
#
# *Score at the cut*: that of the most toxic document that a filter keeps (of the least, for an inverse filter). Toxic bytes
# are those of documents of score 0.9 or more (where the scorer agrees
# best with the word list; some passage or other of a harmless mail often reaches 0.5). Most sentences score close to
# zero: a filter that keeps 61 % removes sentences that nobody would call toxic.

# %%
from dataworth.figures import draw, filters, heatmap, show
from dataworth.studies.filter_tasks import TASKS

sets = study.sets()
filters.table_of_sets(sets)

# %%
tables.show(study.unscored(), {"documents": ",", "percent of bytes": ".2f"})

# %%
own = list(map(str, study.own_arms))
filters.show_kept(sets.loc[["whole", *own]], study.crawl, "fig-toxicity-mix")

# %% [markdown]
# Three random documents that go first, that only the strictest filter removes, and that stay (offensive words masked):

# %%
tables.show(study.removed(3), {"score": ".2f"}, names={"fate": "by the filter"})

# %% [markdown]
# ## Gain by fraction kept

# %%
from dataworth import claims, published

recorded = {} if params.own else (claims.recorded("toxicity") or {}).get("evidence", {})
paper = published.longpre_filters("toxicity")
gains = study.gains()
filters.show_gains(
    gains.loc[own], paper, "Longpre et al., Figure 7", "fig-toxicity-gain", rule="toxicity",
    recorded=recorded.get("gains"),
)  # fmt: skip

# %% [markdown]
# ## The published table, and ours
#
# The table of the slides has categories of questions; ours has domains of text. Four have the same name or
# place: Wiki and encyclopedia, web and scraps, books, academic.

# %%
columns = ["Wiki", "Web", "Books", "Biomed", "Academic", "Common Sense", "Contrast Sets", "average"]
theirs = paper.sort_values(["inverse", "kept"], ascending=False).assign(
    row=lambda t: t["filter"] + t.kept.map(" ({:.0f} %)".format)
)
wide = theirs.pivot(index="row", columns="category", values="change")
wide = wide.loc[theirs.row.unique(), columns]

# %%
strict, turned = study.filters[-1], study.arm("toxicity", inverse, "inverse")
ours = [turned, *study.filters, study.arm("word list")]
ours += [arm for arm in study.own_arms if arm.kind == "random"]
found = [[*(study.gain(arm, d) for d in study.domains), study.gain(arm)] for arm in ours]
show(
    draw(
        heatmap(wide, "QA, change in points", top=5.0, form="+.1f", title="Longpre et al., Figure 7",
                pale=True),
        heatmap(found, "gain in bits per byte (%)", rows=list(map(str, ours)),
                columns=[*study.domains, "average"], title="this run"),
        columns=1,
    ),
    caption="The published table (above) and ours (below), random drops last; blue: better than unfiltered. "
    "Pale: the 95 % interval holds zero, or is not known: published values are of single runs, and a column scatters by "
    "several points. A column of one colour below, random drops included, is the luck of the common baseline.",
    name="fig-toxicity-table",
)  # fmt: skip

# %% [markdown]
# ## Downstream
#
# *Toxic sentences*: fine-tuned to find held-out sentences that hold a phrase of the word list. Those silver labels are not the
# filter's own score, and not human judgement either. *Toxic continuations*: of beginnings of held-out sentences, half of them toxic;
# 25 each, top-k 40, temperature 1, toxic if the filter's scorer gives 0.9 or more (of those that it can score); *with a listed word*: by
# the word list, which the filter does not know. The first rows are levels: where that of the unfiltered crawl is not three standard
# errors above chance, nothing is judged.

# %%
whole, shown = study.arm("whole"), ["margin", "toxic", "generation", "listed"]
changes = study.changes(study.own_tested)
filters.table_of_tasks(changes, TASKS, {task: study.task(whole, task) for task in TASKS})

# %%
after = {kind: study.task(whole, "generation", kind) for kind in ("toxic", "other")}
filters.show_tasks(
    {task: changes[task] for task in shown}, dict(gains.kind), TASKS,
    {task: study.task(whole, task) for task in TASKS}
    | {f"toxic continuations of {kind} beginnings": e for kind, e in after.items()},
    "fig-toxicity-tasks",
)  # fmt: skip

# %% [markdown]
# Multiple choice by the domain of the question, as far as a small model can tell:

# %%
tested = study.own_tested
filters.show_choice(
    study.tasks_by_domain(tested), list(map(str, tested)), study.domains, "fig-toxicity-choice"
)

# %% [markdown]
# ## The trade-off between quality and toxicity
#
# Both filters, in one picture: how toxic is what the model writes (or what it has read), and how well does it predict text?
# Down and to the right is the worst corner; a filter without a price would move to the left and stay level.

# %%
written = {str(arm): study.task(arm, "generation") for arm in study.tested}
show(
    draw(
        filters.tradeoff(gains, sets.toxic, "toxic fraction of the bytes read (%)"),
        filters.tradeoff(gains, written, "toxic fraction of continuations (%)", names=True),
        columns=1,
    ),
    caption="Gain against toxicity: of what was read (above, all arms) and of what is written (below, the arms whose models "
    "did the downstream tasks); lines are 95 % intervals. White: inverse filters.",
    name="fig-toxicity-tradeoff",
)

# %% [markdown]
# ## Verdict

# %%
drops = {size: study.arm("random", size) for size in (min(task_controls), max(task_controls))}
drop, mild_drop = drops.values()
larger = study.arm("toxicity", min(equal), "equal")
mixed = study.arm("toxicity", matched, "matched")
ledger = claims.judge(
    "toxicity",
    {
        "costs-answers": study.task_change(strict, "accuracy", over=drop),
        "net-cost": study.slope(
            {whole: study.gain(whole)}
            | {arm: study.gain(arm, over="control") for arm in study.filters}
        ),
        "beyond-size": study.gain(strict, over="control"),
        "inverse-identifies": study.task_change(turned, "toxic", over=mild_drop),
        "inverse-helps": study.task_change(turned, "accuracy", over=mild_drop),
        "writes-less": study.task_change(larger, "generation"),
        "trade-off": study.removed_quality(strict),
    },
    own=len(study.filters), strict=strict, turned=turned, larger=larger,
    drop=str(drop), mild_drop=str(mild_drop), drop_right=study.task_change(drop, "accuracy"),
    mild_right=study.task_change(mild_drop, "accuracy"),
    mild_auroc=study.task_change(mild_drop, "toxic"),
    drops_slope=study.slope({arm: study.gain(arm) for arm in (whole, *study.drops)}),
    drop_gain=study.gain(drop), mixed_net=study.gain(mixed, over="control"),
    listed=study.task_change(larger, "listed"), drop_quality=study.removed_quality(drop),
    right=study.task(whole, "accuracy"), auroc=study.task(whole, "toxic"),
    level=study.task(whole, "generation"), fewest=study.fewest(),
)  # fmt: skip
ledger

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
claims.write(
    ledger,
    evidence=study.evidence(ours, shown),
    provenance=study.provenance(),
    cells=study.cell_means(),
)

# %% [markdown]
# ## Why it could be wrong
#
# - **Another scorer.** The paper's commercial service read whole documents, and its thresholds cannot be carried over: fractions are
#   equal here, scores at the cut are not (see the table). A linear model sees words and not what is meant: a harmless use of
#   a rude word goes, a polite insult stays.
# - **The same scorer twice.** The filter and the scorer of the continuations are one model, which flatters the filter. The word list
#   stands beside it, and the silver labels come from it; but an inverse filter keeps more of the listed words, and to find them is to look
#   them up.
# - **Silver labels.** A sentence with a listed phrase need not be toxic. The test to wish for is a set labelled by people: Civil
#   Comments is described beside the data cards and can be had where there is a network.
# - **Small models.** A model of this size predicts letters and phrases. It learns what rude words look like long before it
#   can answer a question; the paper's loss in question answering may need its 1.5 billion parameters.
# - **Length.** A document has the toxicity of its worst passage, so that a filter also removes much harmless text, and long
#   documents first. Our crawl is mostly single sentences; of the e-mails, which are long, a strict filter leaves few, as does a
#   word list, which needs one hit anywhere ({numref}`fig-toxicity-mix`). The random choice with the filter's domain mix
#   says what that alone costs. Of stretches of 100 words of calm prose the scorer flags one to eight in a hundred at 0.9 and 16 to 38 at
#   0.5, of such stretches of 1,000 words 12 to 48 and 78 to 98 (`bench/text_scoring.py --calm`).

# %% [markdown]
# ## Discussion
#
# **How do we address the trade-off between quality and toxicity?** First measure whether there is one. The last
# line of the ledger says whether the two scores are at odds in *this* crawl, which has single sentences of books at most; and
# {numref}`fig-toxicity-tradeoff` shows what each filter pays in prediction for what it takes out of the
# text. Points on the left at the height of the random drops are a bargain. Three ways lie open where there is a price. *Filter less*:
# the mildest filters remove most of what a reader would call toxic, and what a strict filter removes beyond them is harmless (see the
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
# long documents and the corpus. The fraction kept, and a sample of what went, say more.
# ```
#
# **2.** Is the word list a milder filter than the linear scorer? Compare fractions, toxic bytes and mail before and after.
#
# ```{admonition} Solution
# :class: dropdown
# `study.sets().loc[["whole", "word list", "toxicity 95 %", "toxicity 86 %"]]`. One listed phrase anywhere removes the whole
# document, so that the list takes long documents, and with them a domain, before it takes short ones. A rule that
# needs a single hit punishes length.
# ```
