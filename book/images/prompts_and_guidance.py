# ---
# jupyter:
#   dataworth:
#     answer: low-guidance-trains-best
#     description: Which prompts and which guidance scale make images that train well,
#       and can one tell beforehand?
#     device: cpu or one GPU
#     expected_minutes:
#       full: 15
#       gpu: 75
#       quick: 2
#       smoke: 1
#     main:
#     - guidances
#     - prompt_sets
#     - sizes
#     params: dataworth.studies.prompts_and_guidance:PromptsAndGuidance
#   jupytext:
#     notebook_metadata_filter: dataworth,kernelspec,jupytext.notebook_metadata_filter,-all
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How much guidance makes the best training images?
#
# A text-to-image model has two knobs that cost nothing: the prompt, and the scale of
# {term}`classifier-free guidance`. More guidance makes each image show its class more clearly and
# makes all images of a class more alike. Which of the two does a classifier need that learns from
# them? Fan et al. {cite}`fan2024scaling` sampled training sets with many prompts and scales and compared
# them by {term}`recognizability` and {term}`diversity`.
#
# **What they found**, as we understand the paper and its summaries:
#
# - The best scale for training is low: 2.0 for Stable Diffusion, 1.5 for Imagen, $t = 0.3$ for Muse.
#   For pictures that people look at, 7.5 is usual. Others agree: going from 7.5 to 2.0 raised top-1 by
#   16.7 points {cite}`sariyildiz2023fake`, and accuracy peaks at 1.25 in {cite}`azizi2023synthetic`.
# - Prompts change the {term}`scaling ability`: with Stable Diffusion $k$ is 0.195 with CLIP templates and
#   0.245 with captions of ImageNet images.
# - Recognizability and diversity both go with a larger $k$. A single quality score is not enough:
#   in {cite}`azizi2023synthetic` the Inception Score keeps rising while accuracy falls.
#
# **What is tested here.** The same statements with one small generator of our own, on Fashion-MNIST,
# with intervals. Every {term}`prompt set` and every other generator is sampled at one guidance scale and every scale
# with one prompt set: not the full product. The best of all on *validation* images is held against what the synthetic
# arms of the other chapters are made by.
#
# **Two conventions.** With the prediction with text $l_c$ and without text $l_u$, diffusion models
# are mostly guided as $l_u + w\,(l_c - l_u)$; Muse writes $l_g = (1 + t)\, l_c - t\, l_u$. Both are the
# same with $w = 1 + t$. This book writes $w$: 1 means no guidance, and Muse's best $t = 0.3$ is $w = 1.3$.

# %% [markdown]
# ## Scale of this run

# %% tags=["parameters"]
card = "fashion-mnist"
seeds = 3
model = "vit-2x64"
budget = [[80, 80], [320, 110], [1280, 150], [10240, 420]]
batch = 128
learning_rate = 8.0e-3
shift = 0
flip = False
augmentation = "none"
generator = "pixel-diffusion"
retrain = False
prompt_set = "photo"
guidance = 2.0
solver_steps = 6
resamples = 1000
seed = 0
# The sweep is set by its cost: a configuration takes about 25 core seconds.
guidances = [1.0, 1.5, 2.0, 3.0, 7.5]
prompt_sets = ["classnames", "clip-80", "in-captions"]
compared_generators = ["latent-diffusion", "masked-token"]
sizes = [256]
learner = "vit-2x32"
judged = 256
reference_size = 5120

# %% [markdown]
# ## Method
#
# Every configuration (a generator, a prompt set and a guidance scale) fills training sets of the same sizes, one
# for each {term}`seed`, and trains the same small transformer, each time up to the best of four points of its training
# by the validation loss. Image $i$
# starts from the same noise in all configurations and run $s$ from the same weights, so that
# configurations are compared in pairs (*common random numbers*); two runs share no image.
#
# A *reference* classifier, trained on real images, evaluates the synthetic ones. Recognizability is its
# top-1 accuracy and its macro-F1 against the class that was asked for. Diversity is taken in its last
# features, class by class: their standard deviation, and the mean cosine distance between pairs. Beside them
# stand {term}`density and coverage` {cite}`naeem2020reliable`, the {term}`Fréchet distance`
# {cite}`heusel2017gans` and the {term}`Inception Score` {cite}`salimans2016improved`, with the reference
# in the place of the Inception network.
#
# Small training sets take seconds; they say which configuration is better and only roughly how each would
# scale. With two or more sizes the exponent $k$ is the slope through them, and verdicts on what *predicts* are about
# it; with one size alone they fall back on the loss at that size.

# %%
from dataworth import claims, published, tables
from dataworth.studies.prompts_and_guidance import HELD, METRICS, PromptsAndGuidance, run

params = PromptsAndGuidance.from_names(globals())
study = run(params)
tables.show(study.summary(), {"core minutes": ".2f"})

# %%
table = study.table()
with_interval = table.assign(loss=[c.one(-1) for c in study.curves.values()])
tables.show(
    with_interval[["loss", "top1", *METRICS]], dict.fromkeys(("loss", *METRICS), ".2f") | {"top1": ".1f"},
    names={**METRICS, "loss": f"test loss, {sizes[-1]} images", "top1": "top-1 %"}, sort="configurations",
)  # fmt: skip

# %% [markdown]
# ### The same noise under other words and other guidance
#
# Each tile holds the first four images of a configuration, one of each of four classes. All tiles start
# from the same noise.

# %%
from dataworth.figures import curves, draw, forest, image_grid, scatter, series, show

names = [c.prompt_set for c in params.wordings()]
show(
    image_grid(study.grid(), columns=[name.replace("-", "-\n") for name in names], size=0.95),
    alt=f"A grid of image tiles: {len(params.guidances)} rows for guidance scales from "
    f"{params.guidances[0]:g} to {params.guidances[-1]:g}, {len(names)} columns for the prompt sets "
    f"{', '.join(names)}. Each tile shows the same four garments, from the same noise: "
    "along a row they are variants of each other; with the prompt sets that the generator can read, outlines get "
    "cleaner with more guidance.",
    caption="Guidance scale (rows) against prompt set (columns): images 0 to 3 of each pool, not chosen.",
    name="fig-guidance-prompts", raster=True,
)  # fmt: skip

# %% [markdown]
# ## Recognizability against diversity
#
# The sweep over guidance makes a path, prompt sets and generators are compared at one point of it. Those worded like the
# captions that the generator learned from lie near that point, the others far off. Real images are evaluated by the
# same measures.

# %%
groups = study.groups()
show(
    draw(
        *(
            scatter(
                {name: (rows[measure], rows.recognizability) for name, rows in groups.items()},
                f"diversity: {METRICS[measure]}", "recognizability (top-1)", names=True, join=["guidance sweep"],
                values={name: rows.loss for name, rows in groups.items() if "loss" in rows},
                bar="test loss of a classifier trained on them (dark: low)", roles={"real images": "real"},
            )
            for measure in ("deviation", "cosine")
        ),
        columns=1, height=6.4,
    ),
    caption=f"Recognizability and diversity of {params.judged} images per configuration, under a classifier "
    "trained on real images. The path is the guidance sweep; the darker a point, the better its images train.",
    name="fig-recognizability-diversity",
)  # fmt: skip

# %% [markdown]
# ## Which images train best of all?
#
# The lowest validation loss among the configurations whose prompts use no real image of the classifiers' pool, and
# beside it the one that the other chapters' synthetic arms are made by. The last column compares the two in pairs: where
# its interval holds 1, this run cannot tell them apart.

# %%
best_case = {study.chosen.name: study.chosen, params.own().name: params.own()}
tables.show(
    with_interval.loc[list(best_case), ["loss", "top1"]].assign(
        over=[study.contrast(c, study.chosen) for c in best_case.values()]
    ),
    {"loss": ".3f", "top1": ".1f", "over": ".3f"},
    names={"loss": f"test loss, {sizes[-1]} images", "top1": "top-1 %", "over": "loss over the best"},
)  # fmt: skip

# %% [markdown]
# ## How much guidance
#
# The left panel is in our unit, the loss; the right one compares shapes across studies, so every curve is
# top-1 accuracy minus its own best.

# %%
azizi = published.table(paper="Azizi", setting="64x64 base model").pivot_table(
    index="x", columns="metric", values="y"
)
cas = azizi["CAS top-1 %"]
sariyildiz = published.table(
    paper="Sariyildiz", setting="ResNet-50, SD, synthetic only, 1.3M images"
).set_index("x").y.sort_index()  # fmt: skip
fan = published.table(paper="Fan et al.", metric="best guidance scale").set_index("setting").y
past = (claims.recorded("prompts-and-guidance") or {}).get("evidence", {})

# %%
by_scale = {c.guidance: study.curves[c] for c in params.sweep()}
old = past.get("sweep")
scales = {"log": "x", "ticks": (1, 1.5, 2, 3, 5, 7.5)}
show(
    draw(
        curves(
            {f"{n:,} images": {w: c.one(i) for w, c in by_scale.items()} for i, n in enumerate(sizes)},
            "guidance scale w", "test loss (nats)", at={"published best scales": list(fan)}, roles="synthetic",
            recorded={f"{old['size']:,} images": series([old[k] for k in ("guidance", "loss", "low", "high")])}
            if old else None, **scales,
        ),
        curves(
            study.below_best(), "guidance scale w", "top-1 minus the best (points)",
            published={"Azizi et al. 2023": cas - cas.max(),
                       "Sariyildiz et al. 2023": sariyildiz - sariyildiz.max()}, **scales,
        ),
        height=4.2,
    ),
    caption="Left: loss of classifiers trained on images of each guidance scale. Right: accuracy lost against the "
    "best scale of each study. 95 % intervals over seeds and test images. Bold: the recorded larger run.",
    name="fig-guidance",
)  # fmt: skip

# %% [markdown]
# ## What the quality scores say
#
# Would one of the usual scores have found the best scale without training anything?

# %%
sweep = table.loc[[c.name for c in params.sweep()]].set_index("guidance")
preferred, (best, bowl) = study.preferred(), study.best()
show(
    draw(
        *(
            curves(sweep[m], "guidance scale w", f"{METRICS[m]} {'↓' if m == 'frechet' else '↑'}",
                   title=f"best at {preferred[m]:g}", at={"trains best here": best.value}, log="x", ticks=(1, 2, 5))
            for m in ("recognizability", "deviation", "density", "inception_score",
                      "macro_f1", "cosine", "coverage", "frechet")
        ),
        columns=4, height=4.6,
    ),
    caption="Eight scores of the synthetic images against the guidance scale; arrows say which direction is meant "
    "to be better, and the scale with the best score stands above. The dotted line is the scale whose images train best "
    "here.",
    name="fig-scores",
)  # fmt: skip

# %% [markdown]
# ## Prompts
#
# The loss can differ widely between prompt sets whose exponents do not: a set that the generator misreads costs
# accuracy at every size. So the verdict below is about all sets together, and its control is about those that the
# generator can read: whose images the reference recognises as often as real ones.

# %%
import pandas as pd

k_fan = published.fan_exponents().query("evaluation_set == 'ImageNet val'")
k_fan = k_fan.set_index("training_source").k
known = {"clip-80": k_fan["SD, CLIP templates"], "in-captions": k_fan["SD, captions (IN-Captions)"]}
order = table.loc[[c.name for c in params.wordings()]].set_index("prompt_set").sort_values("loss")
larger = pd.DataFrame(past.get("configurations", {"guidance": []})).query("guidance == @guidance")
columns = {"loss": f"test loss at {sizes[-1]} images (nats)", "k": "scaling ability k"}
show(
    draw(
        *(
            forest(series(order, name), label, rows=list(order.index),
                   recorded=series(larger, name, "prompt_set") if past else None,
                   published=known if name == "k" else None)
            for name, label in columns.items() if name in order
        )
    ),
    caption=f"Prompt sets at guidance {guidance:g}, with 95 % intervals. Bold: the recorded larger run"
    + (f" (loss at {old['size']:,} images)" if old else "") + "; published: Stable Diffusion, ImageNet.",
    name="fig-prompts",
)  # fmt: skip

# %% [markdown]
# ## Which score predicts how well images train
#
# Over all configurations: the rank correlation of each score with how well its images train, and the
# {term}`partial rank correlation` with recognizability or diversity held fixed. Each bootstrap draw resamples
# configurations, seeds and test images; the scores themselves are taken as given.

# %%
ranks = study.ranks()
aim = "the exponent k" if study.target == "k" else "minus the test loss"
show(
    forest(
        {"rank correlation": dict(ranks.alone), "partial rank correlation": dict(ranks.partial)},
        f"rank correlation with {aim}", reference=0, limits=(-1, 1), form="+.2f",
        rows={m: f"{METRICS[m]}\n(given {' and '.join(METRICS[g] for g in HELD[m])})" for m in ranks.index},
    ),
    caption="Rank correlation of each score with how well its images train, plain and with the measure "
    "in brackets held fixed, with 95 % bootstrap intervals over configurations, seeds and test images.",
    name="fig-rank-correlation",
)  # fmt: skip

# %% [markdown]
# ## Verdict

# %%
swept = {c.guidance: c for c in params.sweep()}
near = min(swept, key=lambda scale: abs(scale - 2))
strong, weak = max(swept), min(swept)
mild = min((s for s in swept if s > weak), key=lambda scale: abs(scale - 1.5))
real = groups["real images"].recognizability.item()
every, readable = study.heterogeneity(), study.heterogeneity(readable=real)
scores = azizi.loc[1.25:]
ledger = claims.judge(
    "prompts-and-guidance",
    {
        "low-guidance-trains-best": best,
        "strong-guidance-hurts": study.points(swept[strong], swept[near]),
        "some-guidance-helps": study.contrast(swept[weak], swept[mild]),
        "prompts-change-training": every.off,
        "recognizability-predicts": ranks.partial["recognizability"],
        "diversity-predicts": ranks.partial["deviation"],
        "inception-score-misleads": study.misled("inception_score"),
    },
    scales=", ".join(f"{name} {value:g}" for name, value in fan.items()),
    sariyildiz=sariyildiz[2.0] - sariyildiz[7.5], cas=[cas[w] for w in (1, 1.25, 1.5)],
    k_fan=k_fan,
    score=scores["Inception Score"].corr(scores["CAS top-1 %"], method="spearman"),
    near=near, strong=strong, weak=weak, mild=mild,
    aim="k" if study.target == "k" else "a lower loss", images=params.sizes[-1],
    tried=", ".join(f"{s:g}" for s in swept), grid=study.lowest(),
    bowl=f"χ² of the parabola {bowl.chi2:.1f}, df {bowl.df}" if bowl.df else "as many as the parabola takes",
    best_points=study.points(swept[near], swept[mild]), noise=study.contrast(swept[mild], swept[near]),
    guidance=params.guidance, configurations=len(table), sets=len(params.wordings()),
    differ=every, few=readable.df + 1, readable=readable.off if readable.df else "too few to differ",
    real=real, preferred=preferred["inception_score"],
    recognised=study.misled("recognizability"), alone=dict(ranks.alone),
)  # fmt: skip
ledger

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
claims.write(
    ledger,
    evidence={
        "sweep": {
            "size": params.sizes[-1],
            "guidance": sweep.index.tolist(),
            "loss": sweep.loss.tolist(),
            "low": sweep.low.tolist(),
            "high": sweep.high.tolist(),
        },
        "configurations": table.reset_index().to_dict("list"),
        "rank_correlation": {
            m: {"target": study.target, "alone": row.alone.value, "partial": row.partial.value}
            for m, row in ranks.iterrows()
        },
    },
    provenance=study.provenance(),
    cells=study.cell_means(),
)

# %% [markdown]
# ## Why it could be wrong
#
# - **Small training sets.** With few images per class, a clear image is worth more and variety less
#   than at a million images, so the best scale of a small run may lie higher than that of a large one.
#   {numref}`fig-guidance` shows one curve for each size.
# - **One size makes a level, not a law.** The default profile has one size (`full` has three). A configuration can start
#   low and flatten early, and the best case at a few hundred images need not be that at thousands.
# - **Few configurations.** Ranks over fewer than twelve configurations are not judged, and over a dozen their interval is
#   wide: about half of the points come from one sweep, in which recognizability and diversity move together. What the
#   sweep binds together no statistic can take apart; prompt sets help, as they move the two separately.
# - **The reference is a classifier of the same kind** as those that are trained, and it learned from the same real
#   pool. Its features may see what our classifiers see and miss what others would.
# - **A parabola.** The best scale is the minimum of a parabola in the logarithm of the scale, through the scales up to 4;
#   its lack of fit widens the interval, but three or four scales say little about its shape.
# - **Our generator is closed-domain.** It knows nothing but garments, so that most of its unguided images already
#   show their class; Stable Diffusion needs guidance for that. Its text encoder has seen little language: wordings
#   far from its captions (glosses, whole sentences, a place in the background) are no poorer descriptions, it
#   simply cannot read them, which makes the differences between prompt sets larger here than there.
# - **Captions leak.** The set *in-captions* describes real images of the classifier pool. Its advantage, if it has
#   one, is partly information from real data.

# %% [markdown]
# ## Discussion
#
# **Why does the best guidance for training differ from the best for viewing?** One looks at a single image; a
# classifier looks at all of them. Guidance moves probability towards images that are typical of the text: each
# gets clearer, and the set loses its edges, where the boundary between classes is learned. The
# path in {numref}`fig-recognizability-diversity` shows both sides, and {numref}`fig-guidance` what they cost.
#
# **Can one choose prompts and guidance without training?** That is the use of {numref}`fig-rank-correlation`: a
# score is useful for this if its interval excludes zero with the other side held fixed. A score that rewards only
# clear images, like the Inception Score, cannot see what is lost; {numref}`fig-scores` shows which scale each would
# have chosen.
#
# ## Exercises
#
# **1.** Stable Diffusion's best scale is 2.0 and Muse's is 0.3. Which of the two guides more, and by how much?
#
# ```{admonition} Solution
# :class: dropdown
# Muse's 0.3 is in the $t$ convention: $w = 1 + t = 1.3$. Stable Diffusion adds
# $w - 1 = 1.0$ times the difference between the two predictions, Muse 0.3 times.
# ```
#
# **2.** Does the best scale move with the size of the training set? Predict first, then run
# `dataworth run prompts-and-guidance -p 'sizes=[64, 256, 1024]'`, as the recorded run did.
#
# ```{admonition} Solution
# :class: dropdown
# `{n: min(by_scale, key=lambda w: by_scale[w].means[i]) for i, n in enumerate(params.sizes)}`.
# More images can make up for less clear ones, not for missing variety: the expected direction is a lower best
# scale for larger sets. Whether the intervals are narrow enough to see it is another question.
# ```
#
# **3.** Hold coverage fixed instead of feature deviation. Does recognizability still predict how well images train?
#
# ```{admonition} Solution
# :class: dropdown
# `study.rank("recognizability", given=["coverage"], target=study.target)`. Coverage falls when images are wrong
# *and* when they are too alike, so less is left for recognizability to explain.
# ```
