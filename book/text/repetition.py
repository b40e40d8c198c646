# ---
# jupyter:
#   dataworth:
#     answer: four-times
#     description: What is text worth that was read before?
#     device: cpu or one GPU
#     expected_minutes:
#       full: 30
#       gpu: 60
#       quick: 1
#       smoke: 0.5
#     main:
#     - unique_tokens
#     - epochs
#     - seeds
#     params: dataworth.studies.repetition:Repetition
#   jupytext:
#     notebook_metadata_filter: dataworth,kernelspec,jupytext.notebook_metadata_filter,-all
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What is text worth that was read before?
#
# The reason for synthetic data is that real data runs out. Before one writes new text, there is a cheaper way to have more:
# read what there is again. How soon does that lose its worth?
#
# **What was found.** Muennighoff et al. {cite}`muennighoff2023repetition` trained language models of up to 9 billion parameters
# on sets of unique text that were read up to 1,500 times. Up to four epochs, they found hardly any difference to as much new
# text (half a percent of the loss); then returns diminish, and after some 16 epochs little is gained. They put that into a law:
# in Chinchilla's law of $N$ parameters and $D$ tokens the place of $D$ is taken by
#
# $$D' = U + U R^* \left(1 - e^{-R/R^*}\right),$$
#
# with $U$ unique tokens and $R = D/U - 1$ repetitions. The constant $R^*$, about 15 in their fits, says how fast the worth decays:
# after $R^*$ repetitions a further one is worth $1/e$ of new text. (Numbers from memory of the paper; the regions of the
# claims are made of them.)
#
# **What is tested here.** The same grid, small: sets of unique text, each read once, twice and more often, by a small decoder,
# with text drawn anew for every run, so that the intervals know it. The law is this book's own fitter's, and two simpler
# rules stand beside it: repeated text counts as new, or for nothing.

# %% [markdown]
# ## Scale of this run

# %% tags=["parameters"]
card = "rfc"
unique_tokens = [16_000, 32_000, 64_000, 128_000]
epochs = [1, 2, 4, 8]
most_tokens = 128_000
held_out_documents = 120
document_tokens = 400
seeds = 3
model = "lm-0.1m"
vocabulary = 2048
batch = 8
context = 64
learning_rate = 8.0e-3
resamples = 1000
seed = 0

# %% [markdown]
# ## Method
#
# Training text is drawn from informational RFCs in *sections* of two thousand bytes, so that even the smallest set holds text of many
# documents. A model reads a set in shuffled passes; every training has the same optimiser, schedule and batch, and as many
# steps as its tokens take. Losses are on held-out documents of other authors. Run $i$ of every cell has its own text and starting
# weights.

# %%
from dataworth import claims, tables
from dataworth.studies.repetition import OFTEN, Repetition, run

params = Repetition.from_names(globals())
study = run(params)
tables.show(study.summary(), {"core minutes": ".2f"})

# %% [markdown]
# ## Losses
#
# Nats per token by unique text and how often it was read. Trainings on one diagonal are equally long.

# %%
tables.show(study.table(), ".2f")

# %%
from dataworth.figures import curves, draw, forest, show

past = {} if params.own else (claims.recorded("repetition") or {}).get("evidence", {})
show(
    draw(
        curves(study.by_set(), "tokens read", "loss (nats per token)", title="by set of unique text", roles="real"),
        curves(study.at_equal_tokens(), "times that its text was read", "loss (nats per token)", log="x",
               title=f"{most_tokens:,} tokens read", roles={"this run": "real"}),
    ),
    caption="Left: loss against the tokens read, of which each line has so many unique ones; its first point is new text alone. "
    "Right: trainings of one length, by how often their text was read. 95 % intervals over authors, text and starting weights.",
    name="fig-repetition",
)  # fmt: skip

# %% [markdown]
# ## How fast does the worth decay?
#
# The law with one size of model has four parameters: floor, scale and exponent of the loss, and $R^*$. The simpler rules have the first
# three. All are fitted to the trainings up to the lowest loss of their set: none of them can follow a loss that rises again.

# %%
errors, rules = study.errors(), study.rules
tables.show(
    study.law_table(),
    {"error": ".2%", "R*": ".3g", "exponent": ".3f"},
    names={"error": "error of the log loss"},
)

# %%
show(
    forest({"": errors}, "root mean squared error of the log loss", recorded={"": past["errors"]} if past else None, log=True),
    caption="Error of the law in which the worth of repeated text decays, and of the two simpler rules; 95 % intervals. Bold: the "
    "recorded larger run.",
    name="fig-repetition-rules",
)  # fmt: skip

# %% [markdown]
# ## Verdict

# %%
repeated, new = params.pairs(OFTEN)[-1]
ledger = claims.judge(
    "repetition",
    {
        "four-times": study.against_new(),
        "decay-constant": study.decay_constant(),
        "worth-decays": study.over_simpler(),
    },
    unique=repeated[0], epochs=OFTEN, new=new[0],
    once=study.losses[repeated[0], 1].over(study.losses[new]),
    own=errors["worth decays"], as_new=errors["repeated as new"], for_nothing=errors["repeated for nothing"],
    of_all=study.of_all_cells(), cells=int(study.falling.sum()), left=int((~study.falling).sum()),
)  # fmt: skip
ledger

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
claims.write(
    ledger,
    evidence={
        "losses": [{"unique": u, "epochs": e, **found.evidence()} for (u, e), found in study.losses.items()],
        "errors": {name: e.evidence() for name, e in errors.items()},
        "decay_constant": study.decay_constant().evidence(),
    },
    provenance=study.provenance(),
    cells=study.cell_means(),
)  # fmt: skip

# %% [markdown]
# ## Why it could be wrong
#
# - **A small model has little to forget.** How soon text is used up depends on how much of it a model can hold. The published $R^*$ is
#   of models ten thousand times as large on sets a million times as large.
# - **Losses may rise.** Read often enough, a small set is learned by heart, and the loss on other text rises. The law only levels off,
#   so trainings beyond the lowest loss of their set are left out of it; which set reaches its lowest loss when is itself a matter of chance. The
#   ledger has the $R^*$ of every training beside it.
# - **Few steps.** A short training stops before it has made of its text what it could: part of what a second reading gains is more
#   steps, not more text. That flatters repetition here.
# - **One length of schedule for each cell.** Learning rate and batch are those of all cells, best for none of them.
# - **Sections, not documents.** Text beyond two thousand bytes of a document is another section, which may or may not be in the set.
# - **The law's error is a few parts in a thousand**, and its intervals know the noise of runs and text only.
#
# ## Discussion
#
# **Synthetic text or another epoch?** A further reading of $U$ tokens is worth $U e^{-R/R^*}$ new ones. Where the
# {term}`data-equivalence ratio` of a generator's text is $\rho$, as many of its tokens are worth $U/\rho$. So reading again is the better
# choice as long as $R < R^* \ln \rho$: with the $\rho$ of [the next chapter](synthetic_text) and the $R^*$ above, that is the number of epochs
# after which a generator begins to pay.
#
# ## Exercises
#
# **1.** After how many repetitions is one more worth half of new text?
#
# ```{admonition} Solution
# :class: dropdown
# $e^{-R/R^*} = 1/2$ at $R = R^* \ln 2$.
# ```
#
# **2.** Does a larger model use its text up sooner? Predict first, then run
# `dataworth run repetition -p model=lm-0.4m`.
