# ---
# jupyter:
#   kernelspec: {name: python3, display_name: Python 3, language: python}
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   dataworth:
#     params: "dataworth.studies.prompts_and_guidance:PromptsAndGuidance"
#     description: Which prompts and which guidance scale make images that train well, and can one tell beforehand?
#     device: cpu or one GPU
#     main: [guidances, prompt_sets, sizes]
#     expected_minutes: {smoke: 1, quick: 2, full: 15, gpu: 75}
# ---

# %% [markdown]
# # Little guidance makes the better training images
#
# A text-to-image model has two knobs that cost nothing: the prompt, and the scale of
# {term}`classifier-free guidance`. More guidance makes each image show its class more clearly and
# makes all images of a class more alike. Which of the two does a classifier need that learns from
# them? Fan et al. {cite}`fan2024scaling` drew training sets with many prompts and scales and compared
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
# with intervals. Every {term}`prompt set` is drawn at one guidance scale and every scale with one
# prompt set: an L-shaped design, not the full product.
#
# **Two conventions.** With the prediction with text $l_c$ and without text $l_u$, diffusion models
# are mostly guided as $l_u + w\,(l_c - l_u)$; Muse writes $l_g = (1 + t)\, l_c - t\, l_u$. Both are the
# same with $w = 1 + t$. This book writes $w$: 1 means no guidance, and Muse's best $t = 0.3$ is $w = 1.3$.

# %% [markdown]
# ## Scale of this run

# %% tags=["parameters"]
card = "fashion-mnist"
seeds = 2
model = "vit-2x64"
budget_rule = "fixed_steps"
budget = 250
batch = 128
learning_rate = 8.0e-3
shift = 0
flip = False
generator = "pixel-diffusion"
retrain = False
prompt_set = "photo"
guidance = 1.5
solver_steps = 6
resamples = 1000
seed = 0
# The sweep is set by its cost: a configuration takes about 17 core seconds.
guidances = [1.0, 1.5, 2.0, 3.0, 7.5]
prompt_sets = [
    "classnames",
    "description",
    "hypernyms-places",
    "word2sen",
    "clip-80",
    "in-captions",
]
compared = ["in-captions", "clip-80"]
sizes = [64, 256]
learner = "vit-2x32"
steps = 96
judged = 256
reference_size = 10240

# %% [markdown]
# ## Method
#
# Every configuration (a prompt set and a guidance scale) fills training sets of the same sizes, one
# for each {term}`seed`, and trains the same small transformer for the same number of steps. Image $i$
# starts from the same noise in all configurations and run $s$ from the same weights, so that
# differences between configurations are freed of that chance; two runs share no image.
#
# A *reference* classifier, trained on real images, judges the drawn images. Recognizability is its
# top-1 accuracy and its macro-F1 against the class that was asked for. Diversity is taken in its last
# features, class by class: their standard deviation, and the mean cosine distance between pairs. Beside them
# stand {term}`density and coverage` {cite}`naeem2020reliable`, the {term}`Fréchet distance`
# {cite}`heusel2017gans` and the {term}`Inception Score` {cite}`salimans2016improved`, with the reference
# in the place of the Inception network.
#
# Small training sets take seconds; they say which configuration is better and only roughly how each would
# scale. The exponent $k$ is the slope through the sizes that are run; verdicts on what *predicts* and on the
# wording of prompts are about it. With one size alone they fall back on the loss at that size.

# %%
from dataworth.studies.prompts_and_guidance import PromptsAndGuidance, run

params = PromptsAndGuidance.from_names(globals())
study = run(params)
study.summary()

# %%
table = study.table()
measures = ["recognizability", "macro_f1", "deviation", "cosine", "density", "coverage"]
measures += ["frechet", "inception_score"]
table[["loss", "low", "high", "top1", *measures]].round(3)

# %% [markdown]
# ### The same noise under other words and other guidance
#
# Each tile holds the first four images of a configuration, one of each of four classes. All tiles start
# from the same noise.

# %% tags=["hide-input"]
from dataworth.figures import image_grid, show

names = [c.prompt_set for c in params.wordings()]
heads = [name.replace("-", "-\n") for name in names]
fig = image_grid(study.grid(), columns=heads, size=0.95)
show(
    fig,
    alt=f"A grid of image tiles: {len(params.guidances)} rows for guidance scales from "
    f"{params.guidances[0]:g} to {params.guidances[-1]:g}, {len(names)} columns for the prompt sets "
    f"{', '.join(names)}. Each tile shows the same four garments, drawn from the same noise: "
    "along a row they are variants of each other; with the prompt sets that the generator can read, outlines get "
    "cleaner with more guidance.",
    caption="Guidance scale (rows) against prompt set (columns): images 0 to 3 of each pool, not chosen.",
    name="fig-guidance-prompts",
    raster=True,
)

# %% [markdown]
# ## Recognizability against diversity
#
# The sweep over guidance draws a path, the prompt sets are compared at one point of it. Those worded like the
# captions that the generator learned from lie near that point, the others far off. Real images are judged by the
# same measures.

# %% tags=["hide-input"]
from dataworth.figures import COLOURS, plain_ticks, subplots

sweep = table.loc[[c.name for c in params.sweep()]]
worded = table.loc[[c.name for c in params.wordings()]]
real = next(iter(study.fidelity.values())).metrics
fig, axes = subplots(1, 2, figsize=(9.4, 4.4), sharey=True)
for ax, measure, title in zip(
    axes, ("deviation", "cosine"), ("feature deviation", "cosine distance"), strict=True
):
    ax.plot(sweep[measure], sweep.recognizability, "-", color="#999999", lw=1, zorder=1)
    points = ax.scatter(
        table[measure], table.recognizability, c=table.loss, cmap="viridis_r", s=46, zorder=2
    )
    for row in sweep.itertuples():
        ax.annotate(
            f"w = {row.guidance:g}",
            (getattr(row, measure), row.recognizability),
            xytext=(-5, -9),
            textcoords="offset points",
            ha="right",
            fontsize=8,
        )
    for row in worded.itertuples():
        if row.prompt_set != params.prompt_set:
            ax.annotate(
                row.prompt_set,
                (getattr(row, measure), row.recognizability),
                xytext=(5, 3),
                textcoords="offset points",
                fontsize=7,
                color=COLOURS["synthetic"],
            )
    ax.plot(real[f"real_{measure}"], real["real_recognizability"], "o", color=COLOURS["real"], ms=8)
    ax.annotate(
        "real",
        (real[f"real_{measure}"], real["real_recognizability"]),
        xytext=(7, -12),
        textcoords="offset points",
        fontsize=8,
        color=COLOURS["real"],
    )
    ax.set(xlabel=f"diversity: {title}")
    ax.margins(x=0.22, y=0.09)
axes[0].set(ylabel="recognizability (top-1)")
fig.colorbar(points, ax=axes, label="test loss of a classifier trained on them")
first, last = sweep.iloc[0], sweep.iloc[-1]
show(
    fig,
    alt="Two scatter plots of recognizability against diversity, coloured by the test loss of classifiers "
    f"trained on the images. From no guidance or little (w = {first.guidance:g}) to w = {last.guidance:g} "
    f"recognizability goes from {first.recognizability:.2f} to {last.recognizability:.2f}, feature deviation "
    f"from {first.deviation:.2f} to {last.deviation:.2f} and cosine distance from {first.cosine:.2f} to "
    f"{last.cosine:.2f}. Real images have {real['real_recognizability']:.2f}, "
    f"{real['real_deviation']:.2f} and {real['real_cosine']:.2f}.",
    caption=f"Recognizability and diversity of {params.judged} images per configuration, under a classifier "
    "trained on real images. The grey path is the guidance sweep.",
    name="fig-recognizability-diversity",
)

# %% [markdown]
# ## How much guidance
#
# The left panel is in our unit, the loss; the right one compares shapes across studies, so every curve is
# top-1 accuracy minus its own best.

# %% tags=["hide-input"]
import numpy as np

from dataworth import claims, published

record = claims.recorded("prompts-and-guidance")
azizi = published.table(paper="Azizi", setting="64x64 base model").pivot_table(
    index="x", columns="metric", values="y"
)
sariyildiz = published.table(
    paper="Sariyildiz", setting="ResNet-50, SD, synthetic only, 1.3M images"
)
sariyildiz = sariyildiz.set_index("x").y.sort_index()
fan = published.table(paper="Fan et al.", metric="best guidance scale").set_index("setting").y

curves = {c.guidance: study.curve(c) for c in params.sweep()}
accuracy = {c.guidance: study.curve(c, "error") for c in params.sweep()}
w = np.array(list(curves))
fig, (left, right) = subplots(1, 2, figsize=(9.4, 4.2))
for i, size in enumerate(params.sizes):
    mean = np.array([c.means[i] for c in curves.values()])
    low, high = np.array([[end[i] for end in c.interval()] for c in curves.values()]).T
    left.errorbar(
        w,
        mean,
        yerr=(np.maximum(mean - low, 0), np.maximum(high - mean, 0)),
        fmt="s-",
        color=COLOURS["synthetic"],
        alpha=1 - 0.55 * (len(params.sizes) - 1 - i) / len(params.sizes),
        capsize=3,
        label=f"this run, {size} images",
    )
if record:
    old = record["evidence"]["sweep"]
    left.plot(
        old["guidance"],
        old["loss"],
        ".-",
        lw=0.8,
        color=COLOURS["accent"],
        label="recorded larger run",
    )
for best in fan:
    left.axvline(best, color=COLOURS["published"], ls=":", lw=1)
left.plot([], [], ":", color=COLOURS["published"], label="published best scales")
left.set(xscale="log", xlabel="guidance scale w", ylabel="test loss (nats)")
top1 = 100 * (1 - np.array([c.means[-1] for c in accuracy.values()]))
right.plot(w, top1 - top1.max(), "s-", color=COLOURS["synthetic"], label="this run")
cas = azizi["CAS top-1 %"]
right.plot(cas.index, cas - cas.max(), "x--", color=COLOURS["published"], label="Azizi et al. 2023")
right.plot(
    sariyildiz.index,
    sariyildiz - sariyildiz.max(),
    "+:",
    color=COLOURS["published"],
    label="Sariyildiz et al. 2023",
)
right.set(xscale="log", xlabel="guidance scale w", ylabel="top-1 minus the best, points")
for ax in (left, right):
    plain_ticks(ax.xaxis, [1, 1.5, 2, 3, 5, 7.5])
    ax.legend(fontsize=8)
final = np.array([c.means[-1] for c in curves.values()])
show(
    fig,
    alt=f"Left: test loss against guidance scale at {params.sizes[-1]} training images. It is "
    + ", ".join(f"{value:.2f} at w = {scale:g}" for scale, value in zip(w, final, strict=True))
    + f". Dotted lines mark the published best scales {', '.join(f'{v:g}' for v in fan)}. Right: top-1 accuracy "
    f"below its best, in points: this run {(top1 - top1.max()).min():.1f} at its worst; Azizi et al. "
    f"{(cas - cas.max()).min():.1f} at w = {cas.idxmin():g}; Sariyildiz et al. "
    f"{(sariyildiz - sariyildiz.max()).min():.1f} at w = {sariyildiz.idxmin():g}.",
    caption="Left: loss of classifiers trained on images of each guidance scale, with 95 % intervals over "
    "seeds and test images. Right: accuracy lost against the best scale of each study.",
    name="fig-guidance",
)

# %% [markdown]
# ## What the quality scores say
#
# Would one of the usual scores have found the best scale without training anything?

# %% tags=["hide-input"]
fig, axes = subplots(2, 4, figsize=(10, 4.6), sharex=True)
titles = {
    "recognizability": "recognizability ↑",
    "deviation": "feature deviation ↑",
    "density": "density ↑",
    "inception_score": "Inception Score ↑",
    "macro_f1": "macro-F1 ↑",
    "cosine": "cosine distance ↑",
    "coverage": "coverage ↑",
    "frechet": "Fréchet distance ↓",
}
for ax, (measure, title) in zip(axes.ravel(), titles.items(), strict=True):
    ax.plot(sweep.guidance, sweep[measure], "s-", color=COLOURS["synthetic"], ms=4)
    ax.axvline(study.best().value, color="#999999", ls=":", lw=1)
    ax.set(xscale="log")
    ax.set_title(title, fontsize=9)
    plain_ticks(ax.xaxis, [1, 2, 5])
for ax in axes[1]:
    ax.set_xlabel("guidance scale w", fontsize=9)
peaks = {
    m: sweep.guidance[sweep[m].idxmin() if m == "frechet" else sweep[m].idxmax()] for m in titles
}
show(
    fig,
    alt="Eight small panels, one score each, against the guidance scale. The scale that each score prefers: "
    + ", ".join(f"{m.replace('_', ' ')} {scale:g}" for m, scale in peaks.items())
    + f". The scale with the lowest training loss is {study.best().value:g}.",
    caption="Eight scores of the drawn images against the guidance scale; arrows say which direction is meant "
    "to be better. The dotted line is the scale whose images train best here.",
    name="fig-scores",
)

# %% [markdown]
# ## Prompts

# %% tags=["hide-input"]
several = "k" in table
order = worded.sort_values("loss")
wordings = set(order.prompt_set)
fig, axes = subplots(
    1, 1 + several, figsize=(5.2 + 4.2 * several, 0.5 * len(order) + 1.4), squeeze=False
)
panels = [("loss", "low", "high", f"test loss at {params.sizes[-1]} images (nats)")]
panels += [("k", "k_low", "k_high", "scaling ability k")] if several else []
for ax, (value, low, high, label) in zip(axes[0], panels, strict=True):
    for y, row in enumerate(order.itertuples()):
        ax.plot([getattr(row, low), getattr(row, high)], [y, y], "-", color=COLOURS["synthetic"])
        ax.plot(getattr(row, value), y, "s", color=COLOURS["synthetic"])
    ax.set_yticks(range(len(order)), order.prompt_set)
    ax.set(xlabel=label)
if several:
    k = (
        published.fan_exponents()
        .query("evaluation_set == 'ImageNet val'")
        .set_index("training_source")
        .k
    )
    ours = {"SD, CLIP templates": "clip-80", "SD, captions (IN-Captions)": "in-captions"}
    marked = {list(order.prompt_set).index(n): k[s] for s, n in ours.items() if n in wordings}
    if marked:
        axes[0, 1].plot(
            list(marked.values()), list(marked), "x", color=COLOURS["published"], label="published"
        )
        axes[0, 1].legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1))
show(
    fig,
    alt=f"Test loss after training on images of each prompt set at guidance {params.guidance:g}, lowest first: "
    + ", ".join(
        f"{r.prompt_set} {r.loss:.2f} ({r.low:.2f} to {r.high:.2f})" for r in order.itertuples()
    )
    + (
        "; scaling ability k: " + ", ".join(f"{r.prompt_set} {r.k:.2f}" for r in order.itertuples())
        if several
        else ""
    )
    + ".",
    caption=f"Prompt sets at guidance {params.guidance:g}, with 95 % intervals.",
    name="fig-prompts",
)

# %% [markdown]
# ## Which score tells beforehand how well images train
#
# Over all configurations: the rank correlation of each score with how well its images train, and the
# {term}`partial rank correlation` with recognizability or diversity held fixed. Each bootstrap draw takes
# configurations, seeds and test images anew; the scores themselves are taken as given.

# %%
target = "k" if len(params.sizes) > 1 else "loss"
alone = {m: study.rank(m, target=target) for m in titles}
held = {m: ["recognizability"] for m in ("deviation", "cosine", "coverage")}
held |= {m: ["deviation"] for m in ("recognizability", "macro_f1", "density", "inception_score")}
held["frechet"] = ["recognizability", "deviation"]
partial = {m: study.rank(m, given=given, target=target) for m, given in held.items()}


# %% tags=["hide-input"]
def spell(value):
    return f"{value:+.2f}" if np.isfinite(value) else "not identified"


fig, ax = subplots(figsize=(7.4, 4.6))
labels = []
for y, (m, given) in enumerate(held.items()):
    for shift_y, found, colour, marker in (
        (0.15, alone[m], COLOURS["published"], "o"),
        (-0.15, partial[m], COLOURS["synthetic"], "s"),
    ):
        ax.plot([found.low, found.high], [y + shift_y] * 2, "-", color=colour)
        ax.plot(found.value, y + shift_y, marker, color=colour)
    labels.append(f"{titles[m][:-2]}\n(given {' and '.join(titles[g][:-2] for g in given)})")
ax.plot([], [], "o-", color=COLOURS["published"], label="rank correlation")
ax.plot([], [], "s-", color=COLOURS["synthetic"], label="partial rank correlation")
ax.axvline(0, color="#999999", lw=1)
ax.set_yticks(range(len(held)), labels, fontsize=8)
ax.set(
    xlim=(-1.05, 1.05),
    xlabel="with the exponent k" if target == "k" else "with minus the test loss",
)
ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0, 1.14), ncols=2)
show(
    fig,
    alt=f"Rank correlations over {len(table)} configurations with "
    + ("the exponent k" if target == "k" else "minus the test loss")
    + ", plain and partial: "
    + "; ".join(
        f"{m.replace('_', ' ')} {spell(alone[m].value)} and {spell(partial[m].value)} "
        f"({spell(partial[m].low)} to {spell(partial[m].high)})"
        for m in held
    )
    + ".",
    caption="Rank correlation of each score with how well its images train, plain (grey) and with the measure "
    "in brackets held fixed, with 95 % bootstrap intervals over configurations, seeds and test images.",
    name="fig-rank-correlation",
)

# %% [markdown]
# ## Verdict

# %%
by_scale = {c.guidance: c for c in params.sweep()}
near = min(by_scale, key=lambda scale: abs(scale - 2))
strong, weak = max(by_scale), min(by_scale)
mild = min((s for s in by_scale if s > weak), key=lambda scale: abs(scale - 1.5))
wording = {c.prompt_set: c for c in params.wordings()}
better, worse = params.compared
scores = azizi.loc[1.25:]
k_fan = published.fan_exponents().query("evaluation_set == 'ImageNet val'")
ledger = claims.judge(
    "prompts-and-guidance",
    {
        "low-guidance-trains-best": study.best(),
        "strong-guidance-hurts": study.points(by_scale[strong], by_scale[near]),
        "some-guidance-helps": study.contrast(by_scale[weak], by_scale[mild]),
        "prompts-change-training": study.steeper(wording[worse], wording[better]),
        "recognizability-predicts": partial["recognizability"],
        "diversity-predicts": partial["deviation"],
        "inception-score-misleads": study.rank("inception_score", among=params.sweep()),
    },
    scales=", ".join(f"{name} {value:g}" for name, value in fan.items()),
    sariyildiz=sariyildiz[2.0] - sariyildiz[7.5], cas=[cas[w] for w in (1, 1.25, 1.5)],
    k_fan=k_fan.set_index("training_source").k,
    score=scores["Inception Score"].corr(scores["CAS top-1 %"], method="spearman"),
    near=near, strong=strong, weak=weak, mild=mild, better=better, worse=worse,
    unit=f"k {better} - k {worse}" if target == "k" else f"log loss {worse} - log loss {better}",
    aim="k" if target == "k" else "a lower loss", images=params.sizes[-1],
    tried=", ".join(f"{s:g}" for s in by_scale), swept=len(by_scale),
    guidance=params.guidance, configurations=len(table),
)  # fmt: skip
ledger

# %% tags=["remove-cell"]
claims.write(
    ledger,
    evidence={
        "sweep": {
            "size": params.sizes[-1],
            "guidance": sweep.guidance.tolist(),
            "loss": sweep.loss.tolist(),
            "low": sweep.low.tolist(),
            "high": sweep.high.tolist(),
        },
        "configurations": table.reset_index().to_dict("list"),
        "rank_correlation": {
            m: {"target": target, "alone": alone[m].value, "partial": partial[m].value}
            for m in held
        },
    },
    provenance=study.provenance(),
)

# %% [markdown]
# ## Why it could be wrong
#
# - **Small training sets.** With few images per class, a clear image is worth more and variety less
#   than at a million images, so the best scale of a small run may lie higher than that of a large one.
#   {numref}`fig-guidance` shows one curve for each size.
# - **Two sizes make a slope, not a law.** The default profile has two sizes, a factor of four apart; whether the line
#   is straight it cannot say (`full` has three). A configuration can start low and flatten early.
# - **Few configurations.** A partial rank correlation over a dozen configurations has a wide interval, and about half
#   of its points come from one sweep, in which recognizability and diversity move together. What the sweep
#   binds together no statistic can take apart; prompt sets help, as they move the two separately.
# - **The judge is a classifier of the same kind** as those that are trained, and it learned from the same real
#   pool. Its features may see what our classifiers see and miss what others would.
# - **The best of a grid.** The best scale can only be one of those that were tried, and its interval counts where the
#   minimum falls when seeds and test images are drawn anew.
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
# `{n: min(curves, key=lambda w: curves[w].means[i]) for i, n in enumerate(params.sizes)}`.
# More images can make up for less clear ones, not for missing variety: the expected direction is a lower best
# scale for larger sets. Whether the intervals are narrow enough to see it is another question.
# ```
#
# **3.** Hold coverage fixed instead of feature deviation. Does recognizability still tell something?
#
# ```{admonition} Solution
# :class: dropdown
# `study.rank("recognizability", given=["coverage"], target=target)`. Coverage falls when images are wrong
# *and* when they are too alike, so less is left for recognizability to explain.
# ```
