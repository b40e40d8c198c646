# ---
# jupyter:
#   dataworth:
#     description: How pretraining text is chosen, and what the scores of the second
#       paper were.
#     device: cpu
#     expected_minutes:
#       full: 0.2
#       gpu: 0.2
#       quick: 0.2
#       smoke: 0.2
#     params: dataworth.studies.background:TextBackground
#   jupytext:
#     notebook_metadata_filter: dataworth,kernelspec,jupytext.notebook_metadata_filter,-all
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What stands behind the second paper?
#
# Longpre et al. {cite}`longpre2024pretrainer` change what a language model is pretrained on. This page says how such text is chosen in the first place, and
# what the scores were by which they filter, in our own words, each with a toy that runs as you read. No toy is evidence.
# [The systems](../text/systems) lists what stands for the paper's corpora, models and scores in this book.

# %% tags=["parameters"]
hashes = 128
seed = 0

# %% [markdown]
# ## How are pretraining data curated?
#
# Three generations can be told apart. *Chosen sources*: an encyclopedia, books, news; little text, known quality (BERT). *The web, cleaned*:
# C4 {cite}`raffel2020exploring` takes one month of Common Crawl and keeps what rules of thumb let pass: lines that end like sentences, pages with
# enough of them, no listed bad word, no placeholder text, English only, no three sentences seen before. *Mixtures*: the Pile {cite}`gao2020pile`
# joins 22 sources - the web, books, papers, code, law, dialogue - with weights set by hand. Since then filters have become models of their own,
# and mixtures are searched for {cite}`liu2024regmix,li2024dclm`. Why a corpus is as it is has seldom been tested; that is the paper's point.
#
# What 17 known models were trained on is a table of [](../text/data_characteristics). The toy: rules of C4's kind on six lines. Every rule is plausible, and each removes something
# that one may have wanted: a poem, a program, a headline.

# %%
import numpy as np
import pandas as pd

from dataworth import tables
from dataworth.figures import curves, draw, show
from dataworth.studies.background import TextBackground

params = TextBackground.from_names(globals())

lines = {
    "a sentence": "The committee met on Tuesday and agreed on the budget for next year.",
    "a menu": "Home | About us | Contact | Log in",
    "a headline": "Committee agrees on budget",
    "a verse": "And all I ask is a tall ship and a star to steer her by",
    "a program": "for i in range(10): print(i ** 2);",
    "a placeholder": "Lorem ipsum dolor sit amet, consectetur adipiscing elit.",
}
rules = {
    "ends like a sentence": lambda text: text.endswith((".", "!", "?", '"')),
    "five words or more": lambda text: len(text.split()) >= 5,
    "no brace or semicolon": lambda text: not set("{};") & set(text),
    "no placeholder": lambda text: "lorem ipsum" not in text.lower(),
}
verdicts = {
    kind: {rule: "kept" if keeps(text) else "removed" for rule, keeps in rules.items()}
    for kind, text in lines.items()
}
tables.show(
    pd.DataFrame(verdicts).T.rename_axis("line"),
    caption="Six lines under four rules; a line stays if no rule removes it",
)

# %% [markdown]
# ## What does deduplication look for?
#
# The web repeats itself: notices, press releases, copies with a changed date. Lee et al. {cite}`lee2022deduplicating` remove near duplicates and find that models memorise less
# and lose nothing; Longpre et al. apply it to both of their corpora. Two documents are near duplicates if their sets of short word sequences overlap,
# by Jaccard's measure: common sequences over all sequences of both. To compare every pair of a billion documents is out of the question. *MinHash* keeps the
# smallest of many hashes of each set: the chance that two sets have the same smallest hash *is* their Jaccard overlap, so the share of equal
# ones estimates it. The toy changes more and more words of a text and compares.

# %%
rng = np.random.default_rng(params.seed)
words = rng.integers(0, 5000, size=300)


def shingles(text, n=3):
    return {tuple(text[i : i + n]) for i in range(len(text) - n + 1)}


def signature(of, prime=2_147_483_647):
    a, b = np.random.default_rng(1).integers(1, prime, size=(2, params.hashes))
    keys = np.array([hash(s) % prime for s in of])
    return ((a * (keys[:, None] % 65_536) + b + keys[:, None]) % prime).min(axis=0)


changed = np.array([0, 1, 2, 4, 8, 15, 30, 60, 120])
exact, estimated = [], []
for count in changed:
    other = words.copy()
    other[rng.choice(300, size=count, replace=False)] += 5000
    one, two = shingles(words.tolist()), shingles(other.tolist())
    exact.append(len(one & two) / len(one | two))
    estimated.append((signature(one) == signature(two)).mean())
error = np.abs(np.subtract(exact, estimated)).max()
print(
    f"largest error: {error:.2f}; the standard error of one is at most {0.5 / params.hashes**0.5:.2f}"
)

# %%
show(
    curves(
        {"exact": (changed, exact), f"{params.hashes} hashes": (changed, estimated)}, "of 300 words changed", "Jaccard overlap of three-word sequences",
        log="", form=".2f", ticks=(0, 30, 60, 120), reference=0.8, height=3.4,
        roles={"exact": "#0072B2", f"{params.hashes} hashes": "#D55E00"},
    ),
    caption="A toy: a few changed words break many sequences. Dotted: 0.8, as a threshold for near duplicates.",
    name="fig-toy-minhash",
)  # fmt: skip

# %% [markdown]
# ## What is a quality filter?
#
# A classifier is shown curated text and scraps of the web and learns to tell them; "quality" is its belief that a page is of the first kind. PaLM and GLaM
# {cite}`du2022glam` use such a score, GPT-3 {cite}`brown2020language` published the recipe. It measures *resemblance to its positives*: what they lack (code,
# dialect, forums) scores low however good it is. GPT-3 does not cut at a threshold but keeps a page of score $s$ with probability $(2-s)^{-\alpha}$, so that some
# of everything stays. The toy draws both.

# %%
score = np.linspace(0, 1, 21)
keeps = {f"Pareto, α = {a}": (score, 100 * (2 - score) ** -a) for a in (3, 9)}
keeps["threshold 0.5"] = (score, 100.0 * (score >= 0.5))
flagged = np.geomspace(0.001, 0.3, 13)
by_length = {f"{n} passages": (100 * flagged, 100 * (1 - (1 - flagged) ** n)) for n in (1, 10, 30)}

# %%
show(
    draw(
        curves(keeps, "quality score", "kept (%)", log="", form=".0f", ticks=(0, 0.5, 1), join=True),
        curves(by_length, "passages flagged (%)", "documents flagged (%)", log="x", form=".0f", ticks=(0.1, 1, 10)),
        share=False, height=3.4,
    ),
    caption="Left: what two kinds of quality filter keep. Right: documents rated by their worst passage; the longer, the more are flagged.",
    name="fig-toy-filters",
)  # fmt: skip

# %% [markdown]
# ## What was Perspective?
#
# A free service of Google's Jigsaw: one sends a text and gets, for *toxicity* and several other attributes, a number from 0 to 1, meant as the share of readers who would call
# it so. It was made for moderators of comments, and became the yardstick of a whole literature on language models, this paper included: its filter keeps
# documents below a threshold of that score, and its measure of toxic generation is the same score. Three things follow.
#
# - *It cannot be run again.* The models behind it were retrained without notice and never versioned; scores of one year are not those of another
#   {cite}`pozzobon2023challenges`. The service closes at the end of 2026. This book has scorers that anyone can run, and says how far they agree.
# - *It scores words as much as meaning.* A text about hatred, in the dialect of a minority, or of 1600 can score high without any ill will.
# - *Documents are not comments.* A rule is needed for a long text. Where the worst passage decides, length alone makes a document toxic: the right-hand toy above,
#   and a section of [](../text/data_characteristics).
#
# What replaces it is asked in [](../text/discussion), question 8.
