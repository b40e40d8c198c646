# ---
# jupyter:
#   dataworth:
#     answer: synthetic-worth
#     description: How many tokens of a model's text is a token of real text worth,
#       alone and mixed?
#     device: cpu
#     expected_minutes:
#       full: 15
#       quick: 1
#       smoke: 0.5
#     main:
#     - card
#     - factors
#     - seeds
#     params: dataworth.studies.synthetic_text:SyntheticText
#   jupytext:
#     notebook_metadata_filter: dataworth,kernelspec,jupytext.notebook_metadata_filter,-all
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What is synthetic text worth?
#
# Good text runs out; models write as much as one likes. [Repeating](repetition) what there is loses its worth after a few epochs
# {cite}`muennighoff2023repetition`. Does a model's own text do better? This chapter asks of text what
# [the first chapter](../images/synthetic_scaling) asks of images, on the same picture.
#
# **What was found** (numbers from memory of the papers' summaries; the regions of the claims are made of them):
#
# - Kang et al. {cite}`kang2025demystifying` pretrained many models on mixtures of natural text and text that a
#   language model had rephrased or written as textbooks. Rephrased text alone is no faster than natural text; about a third
#   of it in the mixture is several times as fast; larger generators are not better ones.
# - Gerstgrasser et al. {cite}`gerstgrasser2024collapse` let models learn from the text of those before them. Where it
#   *replaces* the real text, the loss rises from generation to generation; where it *accumulates* beside the real text,
#   the loss stays bounded.
#
# **What is tested here.** The same questions with counts of tokens as generators and as learners, on informational RFCs: a
# generator that has read pool A writes, a learner reads real text of another pool B or what was written, and is evaluated on
# documents of authors that neither has read. Counts are far from a language model that rephrases: they know nothing but their text, so that the
# chapter measures what *resampling* is worth when no other knowledge comes in. That is the floor that rephrasing has to beat. Beside
# every arm stands the control that papers on synthetic data rarely show {cite}`geng2024unmet`: the text that the generator itself
# has read.

# %% [markdown]
# ## Scale of this run

# %% tags=["parameters"]
card = "rfc"
base_tokens = 16_000
factors = [1, 2, 4, 8, 16, 32]
other_factors = [2, 4, 8, 16]
generator_tokens = 128_000
generator = "trigram"
other_generators = ["bigram"]
temperature = 1.0
other_temperatures = [0.7, 1.3]
shares = [0.1, 0.33, 0.67]
generations = 3
held_out_documents = 120
document_tokens = 400
vocabulary = 2048
seeds = 3
resamples = 1000
seed = 0

# %% [markdown]
# ## Method
#
# For every run the training documents are parted anew. A generator (counts of `generator`, modified Kneser-Ney
# {cite}`chen1999smoothing`) learns from `generator_tokens` tokens of pool A and writes documents: exact samples at `temperature`, which
# takes the place of the guidance scale of images. Learners are counts of three tokens. Arms, at equal numbers of tokens:
#
# - **real**: text of pool B, the text that one would have collected instead;
# - **synthetic**: the generator's text alone; and at other temperatures, and of a generator that knows less;
# - **mixed**: real text of B with 10, 33 and 67 % of synthetic text;
# - **retrieved**: pool A itself, the control.

# %%
from dataworth import claims, tables
from dataworth.studies.synthetic_text import REAL, RETRIEVED, SYNTHETIC, SyntheticText, mixed, run
from dataworth.verdicts import number

params = SyntheticText.from_names(globals())
study = run(params)
tables.show(study.summary(), {"core minutes": ".2f"})

# %% [markdown]
# ## How does the loss fall with real and with synthetic text?
#
# Lines are $E + a D^{-k}$ with $E \ge 0$, fitted on the log of the loss. Where the synthetic curve's floor lies above the
# real curve, no amount of synthetic text is enough.

# %%
from dataworth.figures import curves, draw, forest, series, show

past = {} if params.own else (claims.recorded("synthetic-text") or {}).get("evidence", {})
main = {arm: study.curves[arm] for arm in (REAL, SYNTHETIC, RETRIEVED)}
show(
    draw(
        curves(main, "training tokens D", "loss (nats per token)", laws={a: study.laws[a] for a in (REAL, SYNTHETIC)},
               recorded=past.get("curves"), title="alone"),
        curves({arm: study.curves[arm] for arm in (REAL, *map(mixed, shares), SYNTHETIC)}, "training tokens D",
               "loss (nats per token)", title="mixed"),
        height=4.4,
    ),
    caption=f"Loss on held-out documents against training tokens, with fitted laws and 95 % bands over authors and pools. "
    f"Retrieved: the {generator_tokens:,} tokens that the generator has read.",
    name="fig-text-scaling",
)  # fmt: skip

# %%
tables.show(study.table(), ".3f", caption="Nats per token, by arm and training tokens.")

# %%
tables.show(
    study.misfits, {"chi2": ".1f", "df": ".0f", "p": "p", "off": ".1f", "factor": ".1f"},
    names={"chi2": "χ²", "off": "error of the law, % of the loss", "factor": "widened by"},
)  # fmt: skip

# %% [markdown]
# ## How many synthetic tokens replace a real one?
#
# The {term}`data-equivalence ratio` as for images: for $n$ real tokens, the number of synthetic ones with the same loss on the
# fitted curves. It is infinite beyond the real text that the synthetic floor is worth.

# %%
import numpy as np

worth = study.worth()
ratio = {n: worth.at(n) for n in params.sizes}
old = past.get("equivalence")
show(
    curves(ratio, "real tokens n", "synthetic tokens per real token", band=True, reference=1,
           recorded=series(old, at="real") if old else None, measured=worth.measured or (np.inf, -np.inf),
           limits=(0.3, 100)),
    caption="Data-equivalence ratio with its 95 % interval; arrows at the upper edge: beyond it, up to infinity. Dotted: "
    "extrapolated, one of the two sizes lies outside its data.",
    name="fig-text-equivalence",
)  # fmt: skip

# %% [markdown]
# ## Does temperature or a simpler generator matter?

# %%
last = base_tokens * other_factors[-1]
arms = [arm for arm in study.curves if last in study.curves[arm].sizes]
show(
    forest(
        {f"{last:,} tokens": {arm: study.at(arm, last) for arm in arms}}, "loss (nats per token)"
    ),
    caption=f"Loss of every arm at {last:,} training tokens, with 95 % intervals over authors and pools. Synthetic: {generator} "
    f"at temperature {temperature:g}.",
    name="fig-text-arms",
)

# %% [markdown]
# ## What happens when models learn from models?
#
# Generation 1 learns from pool A. Every further one learns from text of the generation before it, as many tokens: instead of what
# there was, or added to it. The control reads as much real text as has accumulated.

# %%
show(
    curves({"replace": study.generations["replace"], "accumulate": study.generations["accumulate"],
            "real text added": study.generations[REAL]}, "generation", "loss (nats per token)", log="", band=True),
    caption=f"Loss by generation, {generator_tokens:,} tokens each, with 95 % bands over authors and pools.",
    name="fig-text-generations",
)  # fmt: skip

# %% [markdown]
# ## Verdict

# %%
place, largest = base_tokens * factors[2], params.sizes[-1]
third = min(shares, key=lambda share: abs(share - 1 / 3))
alike = study.at(REAL, generator_tokens).minus(study.at(RETRIEVED, generator_tokens))
ledger = claims.judge(
    "synthetic-text",
    {
        "synthetic-worth": worth.at(place),
        "floor": study.over_retrieval(),
        "a-third-speeds-up": study.speed_up(third),
        "best-share": study.best_share(),
        "replace-degrades": study.rise("replace"),
        "accumulating-bounds": study.rise("accumulate").over(study.rise("replace")),
    },
    place=place, largest=largest, read=generator_tokens, crossing=number(worth.crossing.value), alike=alike,
    pure=worth.crossing.times(1 / largest), tried=", ".join(f"{100 * s:.0f}" for s in shares),
    tried_first=f"{100 * shares[0]:.0f}",
    little=study.at(mixed(shares[0]), largest).minus(study.at(REAL, largest)),
    generations=generations, fresh=study.rise(REAL), replaced=study.rise("replace"),
)  # fmt: skip
ledger

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
claims.write(
    ledger,
    evidence={
        "curves": {arm: c.evidence() for arm, c in main.items()},
        "equivalence": {"real": list(ratio)}
        | {end: [getattr(r, end) for r in ratio.values()] for end in ("value", "low", "high")},
    },
    provenance=study.provenance(),
    cells=study.cell_means(),
)

# %% [markdown]
# ## Why it could be wrong
#
# - **No knowledge comes in.** The published gains are those of large models that rephrase: they know more than the text
#   they rewrite. A table of counts does not. What it shows is the other side: resampling alone is worth less than the
#   text itself.
# - **Generator and learner are of one kind.** A learner that sees further could use less of a trigram's text still, and
#   be hurt more by it.
# - **One corpus, one tokenizer.** Memos of one series; the tokenizer is that of the other text chapters.
# - **Few pools.** Each run parts the documents anew; a few say little about the spread.
# - **Tokens, not epochs.** Counts take each document once: repetition, the other way to more text, is not among the arms.
#
# ## Discussion
#
# **When is synthetic text worth its price?** Read the ratio at the number of real tokens that one has: it is what a synthetic
# token may cost, as a fraction of a real one. Where the ratio is infinite, none of any price is enough, and the generator's own
# text, if one may use it, is worth more than all that it writes.
#
# ## Exercises
#
# **1.** Predict first: does a generator that has read four times as much text make the ratio fall, or the floor?
#
# ```{admonition} Solution
# :class: dropdown
# Both: `dataworth run synthetic-text -p generator_tokens=512000`. The floor is what its own text is worth to a learner, and more
# of that text lowers it; so fewer synthetic tokens are needed at the same loss.
# ```
#
# **2.** Why can a cold generator (temperature below 1) not make up for its dullness by writing more?
#
# ```{admonition} Solution
# :class: dropdown
# It almost never writes what is rare. A learner gives all that it never saw what discounting leaves, however much of the likely
# it has seen, and more text only makes it surer.
# ```
