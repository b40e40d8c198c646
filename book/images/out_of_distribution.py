# ---
# jupyter:
#   kernelspec: {name: python3, display_name: Python 3, language: python}
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   dataworth:
#     params: "dataworth.studies.out_of_distribution:OutOfDistribution"
#     description: Where do synthetic images beat real ones, and is it because the generator has seen drawings?
#     device: cpu or one GPU
#     main: [synthetic_sizes, seeds, cause_size]
#     expected_minutes: {smoke: 1, quick: 2, full: 15, gpu: 15}
# ---

# %% [markdown]
# # Away from the training distribution, real images keep their lead on photographs but not on drawings
#
# A classifier meets images that its training set does not look like. Whoever trains on synthetic images
# may hope that a generator that has seen the whole web teaches more than one data set can.
#
# **What they found.** Fan et al. {cite}`fan2024scaling` tested their ImageNet classifiers on four
# {term}`shifted sets <shifted set>`:
#
# - On fresh photographs (ImageNet-V2 {cite}`recht2019imagenet`) and on natural adversarial ones
#   (ImageNet-A {cite}`hendrycks2021natural`) real training images stay far ahead: 70.9 % against
#   46.0 % and 29.4 % against 9.4 % top-1, although the synthetic set is fifty times larger
#   (64 against 1.3 million; as quoted by {cite}`askarihemmat2025deliberate`).
# - On sketches (ImageNet-Sketch {cite}`wang2019learning`) and renditions (ImageNet-R
#   {cite}`hendrycks2021many`) the lead is gone: 32.5 against 32.4 % on sketches (a tie) and 44.6 against
#   52.5 % on renditions, real images first as above.
#   The {term}`scaling ability` turns with it: 0.253 against 0.239 on sketches and 0.308 against 0.207
#   on renditions, for Stable Diffusion with CLIP templates, the *worst* of the synthetic sources in domain.
#
# **What is tested here.** Whether real images win on -V2 and -A, and whether any synthetic source wins on
# -Sketch and -R; then the question that the paper leaves open: *why*. A generator may know drawings from its
# training data, and prompts may ask for them. A 2×2 experiment separates the two.

# %% [markdown]
# ## Scale of this run

# %% tags=["parameters"]
card = "fashion-mnist"
real_sizes = [80, 320, 1280, 5120, 10240]
synthetic_sizes = [80, 320, 1280, 5120]
other_sizes = [80, 320, 1280]
other_generators = ["latent-diffusion", "masked-token"]
other_prompt_sets = ["clip-80"]
with_drawings = "latent-diffusion"
without_drawings = "latent-diffusion-no-drawings"
style_prompt_set = "styles"
cause_size = 640
cause_budget = 110
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

# %% [markdown]
# ## Method
#
# The classifiers are those of the chapter on synthetic scaling; each kept its logits on every
# evaluation set, so nothing is trained again for the scaling curves. The shifted sets follow the four of
# ImageNet, and share no image with any generator or classifier:
#
# - **-V2**: fresh photographs, drawn so that they are as typical of their class as the test set's.
# - **-A**: photographs that three models of other families (neighbours, linear, kernel) all get wrong.
# - **-Sketch**: edges of photographs by an extractor that no generator learned from, and line icons
#   drawn by people.
# - **-R**: colour emoji and silhouettes, from icon sets that no generator has seen.
#
# The icon sets and their licences are listed in the card `fashion-icons`. Chance is 10 % where all ten classes
# occur, and a loss above $\ln 10 = 2.3$ nats is worse than not looking: near chance, $k$ measures how overconfident
# a classifier is rather than how much it recognises.

# %%
from dataworth.studies.out_of_distribution import OutOfDistribution, run

params = OutOfDistribution.from_names(globals())
study = run(params)
study.summary()

# %% [markdown]
# ### What the shifted sets look like
#
# One image of every class, drawn at random.

# %% tags=["hide-input"]
from dataworth.figures import image_grid, show

NAMES = {"test": "test", "v2": "-V2", "a": "-A", "sketch": "-Sketch", "r": "-R"}
examples = study.shifted_examples()
show(
    image_grid({NAMES[s]: images for s, images in examples.items()}, size=0.65),
    alt="Five rows of small grey images, one image for each class that the set has: "
    + ", ".join(f"{NAMES[s]} {len(images)}" for s, images in examples.items())
    + ". Test, -V2 and -A hold photographs of garments on black, those of -A of unusual shape; "
    "-Sketch holds dark strokes on white; -R holds filled drawings on black.",
    caption="A random image of every class from the test set and the four shifted sets.",
    name="fig-shifts",
    raster=True,
)

# %% [markdown]
# ## Scaling on the shifted sets
#
# Accuracy and loss of the same classifiers on each set. Bands are 95 % intervals from resampling
# training seeds and test images together; a set of few images has a wide band.

# %% tags=["hide-input"]
import numpy as np

from dataworth import claims, published
from dataworth.figures import COLOURS, plain_ticks, subplots

SPARE = ["#56B4E9", "#009E73", "#882255", "#E69F00", "#F0E442", "#000000"]
arms = list(study.runs)
others = [arm for arm in arms if arm not in ("real", "synthetic")]
colour = {"real": COLOURS["real"], "synthetic": COLOURS["synthetic"]}
colour |= {arm: SPARE[i % len(SPARE)] for i, arm in enumerate(others)}
label = {arm: arm for arm in arms} | {"synthetic": f"{generator}, {prompt_set}"}
curves = {
    (arm, s, m): study.curve(arm, split=s, metric=m)
    for s in NAMES
    for m in ("error", "loss")
    for arm in arms
}


def panels(metric, scale, axis_label):
    """One panel for each evaluation set, one curve with its band for each arm."""
    fig, axes = subplots(2, 3, figsize=(9.0, 5.2), sharex=True)
    for ax, s in zip(axes.ravel(), NAMES, strict=False):
        for arm in arms:
            c = curves[arm, s, metric]
            low, high = c.interval()
            ax.plot(c.sizes, scale(c.means), "o-", ms=3, lw=1.3, color=colour[arm])
            ax.fill_between(c.sizes, scale(low), scale(high), color=colour[arm], alpha=0.15, lw=0)
        ax.set(xscale="log", title=NAMES[s])
        plain_ticks(ax.xaxis, [real_sizes[0], real_sizes[-1]])
    lines = [axes[0, 0].plot([], [], "o-", color=colour[arm])[0] for arm in arms]
    axes[1, 2].axis("off")
    axes[1, 2].legend(lines, [label[arm] for arm in arms], loc="center", fontsize=9)
    fig.supxlabel("training images D", fontsize=10)
    fig.supylabel(axis_label, fontsize=10)
    return fig


def percent(error):
    return 100 * (1 - error)


show(
    panels("error", percent, "top-1 accuracy (%)"),
    alt="Top-1 accuracy against the number of training images, one panel for each evaluation set. "
    + "; ".join(
        f"{NAMES[s]}: real {percent(curves['real', s, 'error'].means[-1]):.0f} percent at "
        f"{real_sizes[-1]} images, synthetic {percent(curves['synthetic', s, 'error'].means[-1]):.0f} "
        f"at {synthetic_sizes[-1]}"
        for s in NAMES
    )
    + ".",
    caption="Top-1 accuracy on the test set and the shifted sets, by training source, with 95 % bands.",
    name="fig-ood-accuracy",
)

# %% tags=["hide-input"]
fig = panels("loss", lambda loss: loss, "loss (nats)")
for ax in fig.axes[: len(NAMES)]:
    ax.set_yscale("log")
    plain_ticks(ax.yaxis)
show(
    fig,
    alt="Loss against the number of training images on log-log axes, one panel for each evaluation "
    "set. "
    + "; ".join(
        f"{NAMES[s]}: real from {curves['real', s, 'loss'].means[0]:.2f} to "
        f"{curves['real', s, 'loss'].means[-1]:.2f} nats, synthetic from "
        f"{curves['synthetic', s, 'loss'].means[0]:.2f} to "
        f"{curves['synthetic', s, 'loss'].means[-1]:.2f}"
        for s in NAMES
    )
    + ".",
    caption="Loss on the test set and the shifted sets, by training source, with 95 % bands. A line "
    "that rises means that more training data made wrong answers more confident.",
    name="fig-ood-loss",
)

# %% tags=["hide-input"]
study.accuracy().rename(index=NAMES)

# %% [markdown]
# ### Scaling ability on each set
#
# $k$ of a pure power law, every arm fitted on the same sizes. A negative $k$ is possible: the loss on a
# shifted set may grow with the training set.

# %%
k = {(arm, s): study.exponent(arm, s) for s in NAMES for arm in arms}

# %% tags=["hide-input"]
IMAGENET = {"test": "ImageNet val", "sketch": "ImageNet-Sketch", "r": "ImageNet-R"}
fan = published.fan_exponents()
fan = fan[fan.model == "supervised ViT-B"]
k_fan = fan.pivot(index="training_source", columns="evaluation_set", values="k")
record = claims.recorded("out-of-distribution")

fig, axes = subplots(1, len(NAMES), figsize=(9.6, 3.4), sharey=True)
for ax, s in zip(axes, NAMES, strict=True):
    for y, arm in enumerate(arms):
        i = k[arm, s]
        ax.plot(i.value, y, "o", color=colour[arm])
        ax.plot(i.interval, (y, y), color=colour[arm], lw=1.5)
        if record and arm in record["evidence"]["k"]:
            ax.plot(record["evidence"]["k"][arm][s], y - 0.25, "^", ms=4, color=COLOURS["accent"])
    for y, source in enumerate(k_fan.index, start=len(arms)):
        if s in IMAGENET:
            ax.plot(k_fan.loc[source, IMAGENET[s]], y, "x", color=COLOURS["published"])
    ax.axvline(0, color="#999999", lw=1, ls=":")
    ax.set(title=NAMES[s])
axes[0].set_yticks(
    range(len(arms) + len(k_fan)),
    [label[arm] for arm in arms] + [f"published: {source}" for source in k_fan.index],
    fontsize=8,
)
fig.supxlabel(f"scaling ability k ({other_sizes[0]} to {other_sizes[-1]} images)", fontsize=9)
show(
    fig,
    alt="Scaling ability k with 95 percent intervals, one panel for each evaluation set. "
    + "; ".join(f"{NAMES[s]}: " + ", ".join(f"{arm} {k[arm, s]}" for arm in arms) for s in NAMES)
    + f". Published for ImageNet-R: real {k_fan.loc['real', 'ImageNet-R']:.3f}, Stable Diffusion with "
    f"CLIP templates {k_fan.loc['SD, CLIP templates', 'ImageNet-R']:.3f}.",
    caption="Scaling ability by training source and evaluation set: this run (dots with 95 % "
    "intervals), the recorded larger run where there is one (triangles), and ImageNet as published "
    "(crosses; not published for -V2 and -A).",
    name="fig-ood-k",
)

# %% [markdown]
# ## Does the order turn round?
#
# The advantage of each synthetic source over as many real images, in points of top-1. Among several
# sources the best is partly the luckiest; the verdicts below use an interval that allows for the
# choice (Bonferroni over the sources).

# %%
from dataworth.stats import best_of

drawn_arms = [arm for arm in arms if arm != "real"]
advantage = {s: {arm: study.advantage(arm, s) for arm in drawn_arms} for s in NAMES}
best = {s: best_of(advantage[s]) for s in NAMES}

# %% tags=["hide-input"]
SETS_OF_IMAGENET = dict(IMAGENET, v2="ImageNet-V2", a="ImageNet-A")
top1 = published.shifted_accuracy().pivot(
    index="evaluation_set", columns="training_source", values="top1"
)
gap_published = {s: top1.drop(columns="real, 1.3M").loc[n] - top1.loc[n, "real, 1.3M"]
                 for s, n in SETS_OF_IMAGENET.items()}  # fmt: skip
fig, ax = subplots(figsize=(7.5, 3.9))
for x, s in enumerate(NAMES):
    for i, arm in enumerate(drawn_arms):
        at, e = x - 0.3 + 0.3 * (i + 0.5) / len(drawn_arms), advantage[s][arm]
        ax.plot(at, e.value, "o", ms=5, color=colour[arm], label=label[arm] if x == 0 else None)
        ax.plot((at, at), e.interval, color=colour[arm], lw=1.5)
    if record:
        ax.plot(x + 0.1, record["evidence"]["advantage"][s], "^", color=COLOURS["accent"],
                label="recorded larger run, best source" if x == 0 else None)  # fmt: skip
    for source, mark in (("Fan et al., 64M", "x"), ("deliberate practice, 9.1M", "+")):
        ax.plot(x + 0.25, gap_published[s][source], mark, color=COLOURS["published"],
                label=f"published: {source}" if x == 0 else None)  # fmt: skip
ax.axhline(0, color="#999999", lw=1, ls=":")
ax.set_xticks(range(len(NAMES)), list(NAMES.values()))
ax.set(ylabel="synthetic minus real, top-1 points")
ax.legend(fontsize=8)
show(
    fig,
    alt=f"Synthetic minus real top-1 in points, {other_sizes[-1]} training images each, by evaluation "
    "set; the best source with an interval that allows for choosing it: "
    + "; ".join(f"{NAMES[s]} {best[s][0]} {best[s][1]}" for s in NAMES)
    + ". Published for 64 million Stable Diffusion images against 1.3 million real ones: "
    + ", ".join(f"{NAMES[s]} {gap_published[s]['Fan et al., 64M']:.1f}" for s in NAMES)
    + ".",
    caption=f"Advantage of synthetic over real training images at {other_sizes[-1]} images each, with "
    "95 % intervals, beside the published differences on ImageNet (there with more synthetic than real "
    "images).",
    name="fig-flip",
)

# %% [markdown]
# ## The cause: drawings in the pool, or words in the prompt?
#
# Web data holds drawings beside photographs. Does Stable Diffusion help on drawings because it *learned* from
# them, or because prompts (CLIP's templates say "a sketch of a", "a rendition of a") *ask* for them?
# Two generators of one family, one trained on photographs and stylised copies, one on
# photographs alone, are each sampled in two ways: with the plain photo prompt, and with a prompt set that
# asks for a sketch, a rendition or a negative in half of the images. Everything else is equal.
#
# -Sketch differs from photographs in two ways: it holds strokes, and it is white where they are black. A generator
# that can draw sketches and negatives teaches both. The same sketches with black and white exchanged (*-Sketch,
# dark*) tell them apart: what is gained there too is gained on strokes, what is gained on white paper alone is
# polarity.

# %% tags=["hide-input"]
cells = study.cell_examples(10)
show(
    image_grid(cells, size=0.65),
    alt="Four rows of ten images, one of each class, drawn by the generator without drawings (upper two "
    "rows) and with drawings (lower two), with photo prompts and with style prompts in turn.",
    caption="The four training sets of the 2×2: generator and prompt set. Columns show the same class; "
    "with style prompts about half of the images were asked for as drawings.",
    name="fig-cells",
    raster=True,
)

# %%
CELLS = NAMES | {"sketch-dark": "-Sketch, dark"}
effects = {s: study.effects((s,)) for s in CELLS}
on_drawings = study.effects(("sketch", "r"))

# %% tags=["hide-input"]
fig, axes = subplots(2, 3, figsize=(9.4, 5.6), sharex=True)
rows = {"without drawings": (0, 1, COLOURS["published"]), "with drawings": (2, 3, COLOURS["mixed"])}
words = []
for ax, s in zip(axes.ravel(), CELLS, strict=True):
    means, draws = study.cell_accuracy((s,))
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    for offset, (name, (plain, styled, shade)) in zip((-0.04, 0.04), rows.items(), strict=True):
        at = [plain, styled]
        bars = np.clip([means[at] - low[at], high[at] - means[at]], 0, None)
        ax.errorbar(
            [offset, 1 + offset], means[at], yerr=bars, fmt="o-", color=shade, capsize=3, label=name
        )
    ax.axhspan(low[4], high[4], color=COLOURS["real"], alpha=0.12, lw=0)
    ax.axhline(means[4], color=COLOURS["real"], lw=1.2, label="real images")
    ax.set_xticks([0, 1], [prompt_set, style_prompt_set])
    ax.set(title=CELLS[s], xlim=(-0.3, 1.3))
    words.append(
        f"{CELLS[s]}: without drawings {means[0]:.1f} to {means[1]:.1f}, with drawings "
        f"{means[2]:.1f} to {means[3]:.1f}, real {means[4]:.1f}"
    )
fig.supylabel("top-1 accuracy (%)", fontsize=10)
fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=8)
show(
    fig,
    alt="Interaction plot: top-1 in percent with photo and then style prompts, for a generator "
    "trained without and with drawings, one panel for each evaluation set. "
    + "; ".join(words)
    + ".",
    caption=f"The 2×2 at {cause_size} training images: each line is a generator, each step along it "
    "adds style words. Parallel lines mean no interaction. The blue band is the accuracy with as many "
    "real images. *-Sketch, dark* is -Sketch with black and white exchanged. Bars and band are 95 % intervals.",
    name="fig-cause",
)

# %% tags=["hide-input"]
import pandas as pd

pd.DataFrame(
    {CELLS[s]: {name: str(e) for name, e in effects[s].items()} for s in CELLS}
    | {"-Sketch and -R": {name: str(e) for name, e in on_drawings.items()}}
).rename_axis("effect on top-1, points [95 % interval]")

# %% [markdown]
# ## Verdict

# %%
from dataworth.stats import rank_agreement

fastest = {
    s: best_of({a: k[a, s].minus(k["real", s]) for a in drawn_arms}) for s in ("sketch", "r")
}
k_gap = k_fan.drop("real").max() - k_fan.loc["real"]
white = effects["sketch"]["interaction"].minus(effects["sketch-dark"]["interaction"])
ledger = claims.judge(
    "out-of-distribution",
    {
        "accuracy-v2": best["v2"][1],
        "accuracy-a": best["a"][1],
        "accuracy-sketch": best["sketch"][1],
        "accuracy-r": best["r"][1],
        "scaling-sketch": fastest["sketch"][1],
        "scaling-r": fastest["r"][1],
        "ranking-flips": rank_agreement([k[a, "test"] for a in arms], [k[a, "r"] for a in arms]),
        "cause-pool": on_drawings["drawings in the pool"],
        "cause-words": on_drawings["style words"],
        "cause-both": on_drawings["interaction"],
        "cause-polarity": white,
    },
    gap={s: points["Fan et al., 64M"] for s, points in gap_published.items()},
    k_gap={s: k_gap[IMAGENET[s]] for s in fastest},
    rho=k_fan[["ImageNet val", "ImageNet-R"]].corr("spearman").iloc[0, 1], sources=len(k_fan),
    best=best, fastest=fastest, effects=effects, arms=len(arms),
    smallest=other_sizes[0], largest=other_sizes[-1],
)  # fmt: skip
ledger

# %% tags=["remove-cell"]
claims.write(
    ledger,
    evidence={
        "k": {arm: {s: k[arm, s].value for s in NAMES} for arm in arms},
        "advantage": {s: best[s][1].value for s in NAMES},
        "effects": {
            s: {name: [e.value, e.low, e.high] for name, e in effects[s].items()} for s in CELLS
        },
    },
    provenance=study.provenance(),
)

# %% [markdown]
# ## Why it could be wrong
#
# - **The title is the published claim.** Whether it holds here is what the table of verdicts says.
# - **Small sets.** -R and the icons of -Sketch are few, and some classes have none. Their intervals are
#   wide for that reason; a verdict of *inconclusive* there is a statement about the size of the set.
# - **A mean hides its parts.** The verdicts on the cause are about the mean of -Sketch and -R; the sets apart, and
#   the dark sketches, stand in the same lines. Where an interaction is clear, a *main* effect is a mean over two
#   unlike halves: {numref}`fig-cause` shows each half.
# - **Icons are not paintings.** ImageNet-R holds art, cartoons and toys; ours are flat drawings of one
#   object. A model that has learned outlines may do well on them and badly on art.
# - **-A is hard by construction**, for models that learned from real images. That could favour training on
#   anything else; a real arm that still wins there wins against this handicap.
# - **Our drawings are copies.** The generator's drawings are filtered photographs of its pool, those of the web
#   are drawn by people and differ more. The effect measured here is that of *style*, not of new content.
# - **Unknown words.** The generator without drawings has never read a style word beside an image that shows
#   it. That is the point of the comparison, but what it draws for such a prompt is not a clean photo either.
# - **Equal numbers.** The published accuracies compare 64 million synthetic with 1.3 million real images;
#   {numref}`fig-flip` compares equal numbers, which is harder on synthetic images.

# %% [markdown]
# ## Discussion
#
# **Why does Stable Diffusion do so much better on the sketch and artistic rendering sets?** Three
# answers are on the table. *It has seen drawings*: then the generator's pool matters, even with plain
# prompts. *It is asked for drawings*: CLIP's templates name sketches, renditions, cartoons and
# origami, so the training set itself holds drawings; then words matter, and only with a pool that gives
# them meaning, which is an interaction. *It is sloppy*: synthetic images lack the texture that a classifier
# of real images leans on, so the classifier learns shapes instead; then even the generator without
# drawings, plainly prompted, does better on drawings than real images do. {numref}`fig-cause` puts a number
# on each: the gap between the *left* ends of the two lines (plain prompts), the slope of one line against the other,
# and the left end of the line without drawings against the blue band.

# %% tags=["hide-input"]
from IPython.display import Markdown

from dataworth.stats import estimate

means, draws = study.cell_accuracy(("sketch", "r"))


def apart(a, b):
    """Points of top-1 between two cells (rows of the 2x2, real images in row 4)."""
    return estimate(means[a] - means[b], draws[:, a] - draws[:, b])


both, dark = effects["sketch"]["interaction"], effects["sketch-dark"]["interaction"]
Markdown(
    f"In this run, on -Sketch and -R together: with plain prompts, drawings in the pool change top-1 by "
    f"{apart(2, 0)} points; style words change it by {apart(1, 0)} without drawings in the pool and by "
    f"{apart(3, 2)} with them (interaction {on_drawings['interaction']}). The generator that saw no drawing, "
    f"plainly prompted, differs from real images by {apart(0, 4)}. An interval that includes 0 leaves its "
    f"answer open. On -Sketch alone the interaction is {both}; on the same sketches in black and white exchanged it "
    f"is {dark}. "
    + (
        "So the strokes themselves are recognised better, not only the white paper."
        if dark.low > 0
        else "So what was learned is, for the most part, that garments may stand on white paper: with black and white "
        "exchanged, little or nothing of the gain is left."
        if white.low > 0
        else "So this run cannot tell the learning of strokes from getting used to white paper."
    )
    + (
        " The recorded run was made before this control, and its verdicts on the cause stand under the same doubt."
        if record and "sketch-dark" not in record["evidence"]["effects"]
        else ""
    )
)

# %% [markdown]
# ## Exercises
#
# **1.** Is the effect of style words on the test set positive or negative? Predict first: half of the training
# images are no photographs any more.
#
# ```{admonition} Solution
# :class: dropdown
# `study.effects(("test",))["style words"]`. The classifier sees half as many photographs, so the effect
# should be negative in domain wherever it is positive on drawings: the training set's share of styles
# trades one for the other.
# ```
#
# **2.** -Sketch holds edges of photographs and icons drawn by people. On which of them do drawings in
# the pool help more?
#
# ```{admonition} Solution
# :class: dropdown
# `dataworth.images.shifts.shift("sketch").origin` tells the two apart. Average
# `study.factorial[cell][seed].arrays["logits_sketch"].argmax(1) == labels` over the rows of each origin
# and apply `factorial_effects` to the four means.
# ```
#
# **3.** Why is the interval of the best source wider than that of a source named in advance?
#
# ```{admonition} Solution
# :class: dropdown
# The largest of several noisy estimates is too large on average. With $m$ sources each interval is made at
# level $1 - 0.05/m$; all of them hold together with 95 %, so the best of the true values lies between the
# largest lower and the largest upper end. Try `best_of({"synthetic": advantage["r"]["synthetic"]})`.
# ```
