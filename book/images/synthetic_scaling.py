# ---
# jupyter:
#   kernelspec: {name: python3, display_name: Python 3, language: python}
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   dataworth:
#     params: "dataworth.studies.synthetic_scaling:SyntheticScaling"
#     description: How many synthetic images is a real one worth, for image classification?
#     device: cpu or one GPU
#     main: [real_sizes, synthetic_sizes, seeds]
#     expected_minutes: {smoke: 1, quick: 6, full: 60, gpu: 125}
# ---

# %% [markdown]
# # For classification, a synthetic image is worth less than a real one
#
# Real images are expensive; a text-to-image model draws as many as one likes. Fan et al.
# {cite}`fan2024scaling` trained classifiers on up to 64 million images drawn by Stable Diffusion,
# Imagen and Muse and asked how fast their loss on real images falls with the number $D$ of training
# images. They describe it by $\text{loss} \propto D^{-k}$ and call $k$ the {term}`scaling ability`.
#
# **What they found** (ImageNet, ViT-B, 0.125 to 4 million images):
#
# - On real training images $k = 0.53$; on synthetic ones 0.20 to 0.27, by generator and prompts
#   (read off their figure, ±0.002). So real data scales 2.0 to 2.7 times faster.
# - For equal loss one needs, in the best case, about 3 to 8 times as many synthetic images as
#   real ones.
# - Both are straight lines on log-log axes in that range, and flatten beyond it.
#
# **What is tested here.** The same three statements, on Fashion-MNIST {cite}`xiao2017fashion`
# with small vision transformers {cite}`dosovitskiy2021image` and a small text-to-image model that
# we trained ourselves. What the paper lacks: every size is trained with several seeds, every number
# carries an interval, and the generator never saw an image that the classifiers or the evaluation
# use. Absolute exponents cannot be compared across data sets; their ratio and their order can.

# %% [markdown]
# ## Scale of this run
#
# The parameters of this page; a command at the end changes any of them.

# %% tags=["parameters"]
card = "fashion-mnist"
real_sizes = [80, 320, 1280, 5120, 10240]
synthetic_sizes = [80, 320, 1280, 5120]
other_sizes = [80, 320, 1280]
other_generators = ["latent-diffusion", "masked-token"]
other_prompt_sets = ["clip-80"]
other_model = "vit-2x32"
epochs = 12
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
curve_steps = [2, 4, 8, 16]
curve_images = 256
resamples = 1000
seed = 0

# %% [markdown]
# ## Method
#
# The images are split by the content of their pixels into sets that share none: a *generator
# pool* of 30,000 images that stands for web data, a *classifier pool*, a validation set, images kept
# for the [shifted sets](out_of_distribution), and the official test set of 10,000. The text-to-image model (a PixArt transformer
# {cite}`chen2024pixart` on 4×4-pixel patches, trained by flow matching {cite}`lipman2023flow` with
# 10 % {term}`condition dropout`) learned from the generator pool with captions written from the
# class word and from measurements on the image. Part of that pool is stylised and captioned as such,
# as the web holds drawings. A synthetic image is drawn from its class name in the plainest CLIP
# template (`a photo of a coat`), so nothing of a real classifier image leaks into a prompt.
#
# Each arm trains the same transformer for the same number of samples at every size
# ({term}`fixed steps`), and keeps its logits for all test images.

# %%
from dataworth.studies.synthetic_scaling import SyntheticScaling, run

params = SyntheticScaling.from_names(globals())
study = run(params)
study.summary()

# %% [markdown]
# ### What the generators draw
#
# Real images of each class beside synthetic ones of every generator, none of them chosen.

# %% tags=["hide-input"]
from dataworth.figures import image_grid, show

sources = ["real", generator, *other_generators]
each = 12 // len(sources)
heads = [name if i == 0 else "" for name in sources for i in range(each)]
show(
    image_grid(study.gallery(each), columns=heads),
    alt=f"Ten rows, one for each garment class; {each} real images on the left, then {each} drawn by "
    f"each of the text-to-image models ({', '.join(sources[1:])}). Garments are recognisable "
    "throughout; fine detail such as straps, laces and prints is cleaner in the real ones.",
    caption=f"Real images of the classifier pool and synthetic images (guidance scale {guidance}, "
    f"{solver_steps} sampling steps, prompt set {prompt_set}).",
    name="fig-gallery",
    raster=True,
)

# %% [markdown]
# ### How many solver steps are enough
#
# Sampling dominates the cost of synthetic data. Two measures say what further solver steps buy:
# {term}`recognizability` (how often a classifier trained on real images agrees with the prompt's class) and
# the Fréchet distance to real images in that classifier's features. The number used here (dotted) is a compromise with
# the time of a default build.

# %% tags=["hide-input"]
from dataworth.figures import COLOURS, plain_ticks, subplots

quality = study.quality()
fig, (left, right) = subplots(1, 2, figsize=(8.4, 3.4))
left.errorbar(
    quality.steps,
    quality.recognizability,
    yerr=quality.half_width,
    fmt="s-",
    color=COLOURS["synthetic"],
    capsize=3,
)
left.set(xscale="log", xlabel="solver steps", ylabel="recognizability (top-1)")
right.plot(quality.steps, quality.frechet, "s-", color=COLOURS["synthetic"])
right.set(xscale="log", xlabel="solver steps", ylabel="Fréchet distance to real")
for ax in (left, right):
    plain_ticks(ax.xaxis, quality.steps)
    ax.axvline(solver_steps, color="#999999", ls=":", lw=1)
show(
    fig,
    alt="Two panels against the number of solver steps. Left: recognizability with 95 percent "
    f"intervals, from {quality.recognizability.iloc[0]:.2f} at {quality.steps.iloc[0]} steps to "
    f"{quality.recognizability.iloc[-1]:.2f} at {quality.steps.iloc[-1]}. Right: Fréchet distance, "
    f"from {quality.frechet.iloc[0]:.1f} to {quality.frechet.iloc[-1]:.1f}.",
    caption=f"Image quality against solver steps ({curve_images} images per point); the dotted "
    f"line marks the {solver_steps} steps used here.",
    name="fig-steps",
)

# %% [markdown]
# ## Scaling curves
#
# Each point is one trained classifier. Lines are $E + a D^{-k}$ with $E \ge 0$, fitted on the log of
# the loss; bands are 95 % intervals from resampling seeds and test images together, the same test
# images in both arms. The loss is cross-entropy on real test images, in nats.

# %%
from dataworth.fit import fit

real, synthetic = study.curve("real"), study.curve("synthetic")
shifted = {
    arm: fit(c.table(), law="shifted", x="n", y="loss", draws=c.draws)
    for arm, c in {"real": real, "synthetic": synthetic}.items()
}
power = {
    arm: fit(c.table(), law="power", x="n", y="loss", draws=c.draws)
    for arm, c in {"real": real, "synthetic": synthetic}.items()
}

# %% tags=["hide-input"]
import numpy as np

from dataworth import claims, published
from dataworth.figures import scaling_curve

fan = published.fan_exponents().query("evaluation_set == 'ImageNet val'")
k_published = fan.set_index("training_source").k
k_paper_real = k_published["real"]
k_paper_synthetic = k_published.drop("real")
record = claims.recorded("synthetic-scaling")

fig, (ax, right) = subplots(1, 2, figsize=(9, 4.4), width_ratios=(3, 2))
for arm, c in {"real": real, "synthetic": synthetic}.items():
    scaling_curve(ax, arm, np.repeat(c.sizes, seeds), c.values.ravel(), shifted[arm])
for k, arm in [(k_paper_real, "real"), (k_paper_synthetic.max(), "synthetic")]:
    c = {"real": real, "synthetic": synthetic}[arm]
    x = np.geomspace(c.sizes[0], c.sizes[-1], 2)
    ax.plot(
        x,
        c.means[0] * (x / x[0]) ** -k,
        ":",
        color=COLOURS[arm],
        lw=1.3,
        label=f"published slope, {arm} (k = {k:.3f})",
    )
ticks = set(synthetic.sizes)
if record:
    for arm, c in record["evidence"]["curves"].items():
        ticks.add(c["sizes"][-1])
        ax.plot(
            c["sizes"],
            c["means"],
            "-",
            color=COLOURS[arm],
            lw=0.8,
            marker=".",
            alpha=0.6,
            label=f"recorded larger run, {arm}",
        )
ax.set(xlabel="training images D", ylabel="test loss (nats)")
plain_ticks(ax.xaxis, sorted(ticks))
plain_ticks(ax.yaxis)
ax.legend(fontsize=8)
rows = [(f"{source.split(' (')[0]}, published", k, None) for source, k in k_published.items()]
for arm in ("synthetic", "real"):
    i = power[arm].interval("k")
    rows.append((f"{arm}, this run", i.value, (i.low, i.high)))
for y, (_, k, interval) in enumerate(rows):
    mine = interval is not None
    colour = COLOURS["real" if rows[y][0].startswith("real") else "synthetic"]
    right.plot(k, y, "o" if mine else "x", color=colour)
    if mine:
        right.plot(interval, (y, y), color=colour, lw=1.5)
right.set_yticks(range(len(rows)), [label for label, *_ in rows], fontsize=8)
right.set(xlabel="scaling ability k", xlim=(0, None))
show(
    fig,
    alt="Left: test loss against training images on log-log axes. "
    f"Loss on real images falls from {real.means[0]:.2f} at {real.sizes[0]} images to "
    f"{real.means[-1]:.2f} at {real.sizes[-1]}; on synthetic images from {synthetic.means[0]:.2f} to "
    f"{synthetic.means[-1]:.2f} at {synthetic.sizes[-1]}. Right: exponents k of this run with intervals "
    f"(real {power['real'].params['k']:.2f}, synthetic {power['synthetic'].params['k']:.2f}) beside the "
    f"published ones (real {k_paper_real:.2f}, synthetic {k_paper_synthetic.min():.2f} to "
    f"{k_paper_synthetic.max():.2f}).",
    caption="Left: loss against training-set size, one point per classifier, with fitted law and "
    "95 % band; dotted lines have the published slopes and start at our first point. Right: scaling "
    "ability k of a pure power law, ours with 95 % intervals, and as published for ImageNet.",
    name="fig-scaling",
)

# %% [markdown]
# Accuracy, for readers who think in it:

# %% tags=["hide-input"]
study.accuracy()

# %% [markdown]
# ## Does it depend on the generator, the prompts, the classifier, the budget rule?
#
# The same curves on fewer sizes, one thing changed at a time. The ratio compares each synthetic arm
# with the real arm of its classifier and budget rule, on sizes that both have.

# %%
others = {arm: study.curve(arm) for arm in study.runs if arm not in ("real", "synthetic")}
few = {arm: c.at(other_sizes) for arm, c in {"real": real, "synthetic": synthetic}.items()}
few |= {arm: c.at(other_sizes) for arm, c in others.items()}
power_few = {
    arm: fit(c.table(), law="power", x="n", y="loss", draws=c.draws) for arm, c in few.items()
}
counterpart = {
    arm: arm.replace("synthetic", "real") if arm.startswith("synthetic") else "real"
    for arm in few
    if not arm.startswith("real")
}

# %% tags=["hide-input"]
fig, (ax, right) = subplots(1, 2, figsize=(9, 0.55 * len(few) + 1.4), sharey=True)
labels = list(few)[::-1]
for y, arm in enumerate(labels):
    colour = COLOURS["real" if arm.startswith("real") else "synthetic"]
    i = power_few[arm].interval("k")
    ax.plot(i.value, y, "o", color=colour)
    ax.plot((i.low, i.high), (y, y), color=colour, lw=1.5)
    low, high = few[arm].interval()
    right.plot(few[arm].means[-1], y, "o", color=colour)
    right.plot((low[-1], high[-1]), (y, y), color=colour, lw=1.5)
ax.set_yticks(range(len(labels)), labels)
ax.set(xlabel=f"scaling ability k ({other_sizes[0]} to {other_sizes[-1]} images)")
right.set(xlabel=f"test loss at {other_sizes[-1]} images (nats)")
show(
    fig,
    alt="Scaling ability (left) and test loss at "
    f"{other_sizes[-1]} images (right) of every arm, with 95 percent intervals: "
    + "; ".join(
        f"{arm} k {power_few[arm].params['k']:.2f}, loss {few[arm].means[-1]:.2f}" for arm in few
    )
    + ".",
    caption=f"Every arm on the sizes {', '.join(map(str, other_sizes))}: scaling ability of a pure "
    "power law, and loss at the largest of them, with 95 % intervals.",
    name="fig-arms",
)

# %% tags=["hide-input"]
import pandas as pd

from dataworth.fit import percentile_interval


def ratio_of_k(arm):
    return power_few[counterpart[arm]].draws["k"] / power_few[arm].draws["k"]


pd.DataFrame(
    {
        "k real / k synthetic": [
            power_few[counterpart[arm]].params["k"] / power_few[arm].params["k"]
            for arm in counterpart
        ],
        "95 % low": [percentile_interval(ratio_of_k(arm))[0] for arm in counterpart],
        "95 % high": [percentile_interval(ratio_of_k(arm))[1] for arm in counterpart],
    },
    index=pd.Index(counterpart, name="arm"),
).round(2)

# %% [markdown]
# ### Does a larger classifier go on learning where a smaller one has stopped?
#
# In the paper ViT-B flattens after 4 million synthetic images and ViT-L after 8 million. Three sizes
# do not identify a floor, so the comparison is of the local slope
# $-\mathrm{d} \log L / \mathrm{d} \log D$ between the two largest of them: how much the last
# factor of data still bought each classifier.

# %%
local = {
    arm: -np.diff(np.log(few[arm].draws[:, -2:]))[:, 0] / np.log(other_sizes[-1] / other_sizes[-2])
    for arm in few
}
slope = {
    arm: -np.log(c.means[-1] / c.means[-2]) / np.log(other_sizes[-1] / other_sizes[-2])
    for arm, c in few.items()
}
small_arm = f"synthetic, {other_model}"
pd.DataFrame(
    {
        "local slope": slope,
        "95 % low": {arm: percentile_interval(d)[0] for arm, d in local.items()},
        "95 % high": {arm: percentile_interval(d)[1] for arm, d in local.items()},
    }
).loc[["real", "synthetic", f"real, {other_model}", small_arm]].round(3)

# %% [markdown]
# ## How many synthetic images replace one real image
#
# Read horizontally: for a real training set of $n$ images, find the synthetic size with the same loss
# on the fitted curves. Where the synthetic curve's floor lies above the real curve, no number of
# synthetic images is enough, and the {term}`data-equivalence ratio` is infinite. The ratio is not
# a constant: it depends on where one asks.

# %%
from dataworth.fit import equivalence

asked = np.unique(np.round(np.geomspace(real.sizes[0], real.sizes[-1], 9)).astype(int))
answers = {
    int(n): equivalence(shifted["synthetic"], shifted["real"], at_real=float(n)) for n in asked
}
here = equivalence(shifted["synthetic"], shifted["real"], at=float(synthetic.sizes[-1]))
pd.DataFrame(
    {
        "synthetic per real": [a.ratio.value for a in answers.values()],
        "95 % low": [a.ratio.low for a in answers.values()],
        "95 % high": [a.ratio.high for a in answers.values()],
        "share of draws infinite": [a.share_infinite for a in answers.values()],
        "case": [a.case for a in answers.values()],
    },
    index=pd.Index(answers, name="real images"),
).round(2)

# %% tags=["hide-input"]
fig, ax = subplots(figsize=(7, 4))
top = 100.0
n = np.array(list(answers))
value, low, high = (
    np.clip([getattr(a.ratio, end) for a in answers.values()], 0.1, top)
    for end in ("value", "low", "high")
)
ax.fill_between(n, low, high, color=COLOURS["synthetic"], alpha=0.2, lw=0)
ax.plot(n, value, "s-", color=COLOURS["synthetic"], label="this run")
ax.axhspan(3, 8, color=COLOURS["published"], alpha=0.15, lw=0, label="published: 3 to 8, best case")
ax.axhline(1, color="#999999", lw=1, ls=":")
ticks = set(real.sizes)
if record:
    ratio = record["evidence"]["equivalence"]
    ticks.add(ratio["real"][-1])
    ax.plot(
        ratio["real"],
        np.clip(ratio["value"], 0.1, top),
        ".-",
        lw=0.8,
        alpha=0.7,
        color=COLOURS["accent"],
        label="recorded larger run",
    )
ax.set(
    xscale="log",
    yscale="log",
    ylim=(0.3, top),
    xlabel="real images n",
    ylabel="synthetic images per real image",
)
plain_ticks(ax.xaxis, sorted(ticks))
plain_ticks(ax.yaxis)
ax.legend(fontsize=8, loc="upper left")
show(
    fig,
    alt="Synthetic images needed per real image for equal loss, against the number of real images. "
    f"At {n[0]} real images {value[0]:.1f} (interval {low[0]:.1f} to {high[0]:.1f}), at {n[-1]} "
    f"{value[-1]:.1f} or more (interval {low[-1]:.1f} to {high[-1]:.1f}; {top:.0f} stands for infinity). "
    "A grey band marks the published 3 to 8.",
    caption=f"Data-equivalence ratio with its 95 % interval; the upper edge of the picture ({top:.0f}) "
    "stands for infinity. The grey band is the published best case.",
    name="fig-equivalence",
)

# %% [markdown]
# ## Verdict
#
# Whether a straight line describes the curve is judged by what it is for: fitted on all sizes but
# the largest, does the pure power law predict the loss at the largest size within 5 %?

# %%
from dataclasses import replace

from dataworth.studies.curves import exponent_ratio

shared = sorted(set(real.sizes) & set(synthetic.sizes))[-1]
pure = {"real": real, "synthetic": synthetic}
on_real, on_synthetic = (c.one(list(c.sizes).index(shared)) for c in pure.values())
reach = synthetic.sizes[-1]
ledger = claims.judge(
    "synthetic-scaling",
    {
        "synthetic-worse-in-domain": on_synthetic.over(on_real),
        "data-equivalence": here.ratio,
        "scaling-ability-ratio": exponent_ratio(power["real"], power["synthetic"]),
        "power-law-real": study.predicted("real"),
        "power-law-synthetic": study.predicted("synthetic"),
        "scarce-real": replace(
            here.ratio, value=here.n_real, low=reach / here.ratio.high, high=reach / here.ratio.low
        ),
        "saturation-moves": study.local_slope("synthetic").minus(study.local_slope(small_arm)),
        "budget-rule": exponent_ratio(
            power_few["real, fixed epochs"], power_few["synthetic, fixed epochs"]
        ),
    },
    least={arm: c.sizes[0] for arm, c in pure.items()},
    most={arm: c.sizes[-1] for arm, c in pure.items()},
    smaller={arm: len(c.sizes) - 1 for arm, c in pure.items()},
    k_paper=[k_paper_real / k for k in (k_paper_synthetic.max(), k_paper_synthetic.min())],
    lowest=min(a.ratio.value for a in answers.values()),
    highest=max(a.ratio.value for a in answers.values()), asked=[min(answers), max(answers)],
    power=power, power_few=power_few, here=here, shared=shared, epochs=epochs,
    equal_ranges=exponent_ratio(power_few["real"], power_few["synthetic"]),
    common=[*other_sizes[:1], *other_sizes[-2:]], model=model, other_model=other_model,
)  # fmt: skip
ledger

# %% tags=["remove-cell"]
claims.write(
    ledger,
    evidence={
        "curves": {arm: c.evidence() for arm, c in pure.items()},
        "equivalence": {
            "real": list(answers),
            "value": [a.ratio.value for a in answers.values()],
            "low": [a.ratio.low for a in answers.values()],
            "high": [a.ratio.high for a in answers.values()],
        },
    },
    provenance=study.provenance(),
)

# %% [markdown]
# ## Why it could be wrong
#
# - **Scale.** Two decades of small grey images, a transformer of a hundred thousand parameters. The
#   paper's exponents come from a million times more pixels; only ratios and orders carry over.
# - **A closed domain.** Our generator learned from 30,000 images of the same kind as the test set. Stable
#   Diffusion learned from the web and has to hit ImageNet's classes from a distance. That favours
#   synthetic images here.
# - **One guidance scale.** The paper's "best case" is the best over prompts, guidance and generators; the main
#   verdicts here are about one configuration, and {numref}`fig-arms` shows the others at fewer sizes.
# - **Fixed steps.** Every size sees the same number of samples. With few images this means hundreds of
#   passes over each, and the loss of a set that is known by heart counts overconfidence; `budget_rule: fixed_epochs`
#   is the other choice, and exponents differ under it.
# - **The exponent depends on the range.** A floor $E$ above zero makes a straight line's $k$ shrink as larger sizes are
#   added; overconfidence at the small sizes makes it grow. The verdict on straightness says how far to trust $k$.
# - **Few seeds.** The interval is widened for the number of seeds, but two seeds say little about the
#   spread. The `full` profile has more.

# %% [markdown]
# ## Discussion
#
# **How can we use the real against synthetic set-up to learn about synthetic + real?** The curves
# above are the two edges of a surface $L(n_\text{real}, n_\text{synthetic})$. The data-equivalence
# ratio gives a first guess for its interior: $m$ synthetic images added to $n$ real ones should act
# like $n + m/\rho$ real ones, with $\rho$ from {numref}`fig-equivalence`. The guess must fail where
# $\rho$ is infinite, since a few real images lower a floor that no number of synthetic ones can lower.
#
# **Which do we care more about: scaling laws for classifiers or for representation learning, and why
# is there a gap between them?** A classifier inherits every error of the generator in the label: an
# image that does not show its class is a wrong label, at any $D$. That is a floor, and
# {numref}`fig-scaling` shows whether there is one here. Contrastive training asks only that image and
# text belong together, so the same image costs it less; the published gap in $k$ is 8 % there, against
# a factor of two and more for classifiers.
#
# ## Exercises
#
# **1.** How many synthetic images match 1,000 real ones? Give an interval.
#
# ```{admonition} Solution
# :class: dropdown
# `equivalence(shifted["synthetic"], shifted["real"], at_real=1000.0).summary`
# ```
#
# **2.** Does stronger guidance make better training data? Predict first, then run
# `dataworth run synthetic-scaling -p guidance=4`.
#
# ```{admonition} Solution
# :class: dropdown
# Images get cleaner and more alike: recognizability rises, the loss of classifiers trained on them
# rises too. Published: the best scale for training is low (2.0 for Stable Diffusion, where 7.5 is
# usual for pictures). Only the synthetic arm is computed again; the real runs are in the store.
# ```
#
# **3.** In the arms with fixed epochs every set is passed over equally often. Predict whether $k$ comes out
# larger or smaller than with fixed steps, then change the number of passes: `-p epochs=60`.
#
# ```{admonition} Solution
# :class: dropdown
# {numref}`fig-arms` has the answer of this run. With fixed epochs a larger set also means longer training, so $k$
# measures both at once, and it depends on how many epochs are fixed: with few, the small sets hardly train
# at all and their loss stays near that of guessing; with many, the large sets cost more than they gain. State the
# budget rule with every exponent.
# ```
