# ---
# jupyter:
#   kernelspec: {name: python3, display_name: Python 3, language: python}
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   dataworth:
#     params: "dataworth.studies.mixing:Mixing"
#     description: What do synthetic images add to the real images one already has?
#     device: cpu or one GPU
#     main: [mixed_sizes, ratios, seeds]
#     expected_minutes: {smoke: 1, quick: 2, full: 30, gpu: 90}
# ---

# %% [markdown]
# # Beside real images, synthetic ones help while real ones are few
#
# Few people choose between real and synthetic images: they have some real ones, and could draw as
# many synthetic ones as they like. *Replacing* real images and *adding to* them are different
# questions. A synthetic image may be a poor substitute and still a good addition, because a set that
# holds both has the true classes from the one and the variety from the other; or the other way round,
# when a thousand synthetic images drown a hundred real ones.
#
# **What was found.**
#
# - Azizi et al. {cite}`azizi2023synthetic` added images of a fine-tuned Imagen to ImageNet's 1.2 million.
#   A ResNet-50 gains 1.7 points with as many synthetic as real images, and *loses* against real images
#   alone once they are about four times as many or more. At 64 pixels the gain kept growing instead.
# - He et al. {cite}`he2023synthetic` pretrained on 1.2, 2.4 and 3.6 million synthetic images; CIFAR-100
#   gained 5.1, 6.2 and 6.4 points: the gain saturates.
# - Fan et al. {cite}`fan2024scaling` found that mixing helps most where real images are scarce.
# - Jain, Montanari and Sasoglu {cite}`jain2024surrogate` showed in theory and experiments that the two kinds
#   should be *weighted*: counting every example equally is not optimal, and can hurt.
#
# **What is tested here.** Real sets of several sizes with growing synthetic sets beside them: optimum
# or steady gain, and at which real size; whether the mixed losses can be *predicted* from the two
# pure curves; what one synthetic image is worth as an addition and as a replacement; and whether
# another weight than the natural one does better.

# %% [markdown]
# ## Scale of this run

# %% tags=["parameters"]
card = "fashion-mnist"
real_sizes = [80, 320, 1280, 5120, 10240]
synthetic_sizes = [80, 320, 1280, 5120]
mixed_sizes = [80, 1280]
ratios = [1, 4, 16]
weighted_size = 80
weighted_ratio = 16
shares = [0.5]
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
# The pure arms, real and synthetic, are those of the chapter on synthetic scaling; nothing is trained
# twice. A mixed set is the union of one of those real sets and one of those synthetic sets, so that
# along each line below the real images are the same and the smaller synthetic sets are part of the
# larger. Model, recipe and number of training samples ({term}`fixed steps`) are the same for all: with
# sixteen synthetic images beside each real one, a real image is seen a seventeenth as often as alone.

# %%
from dataworth.studies.mixing import Mixing, run

params = Mixing.from_names(globals())
study = run(params)
study.summary()

# %% [markdown]
# ## More synthetic images beside the same real ones
#
# Each point is divided by the value for its real images alone, so 1 means that the synthetic images
# changed nothing. The right panel repeats the left for the top-1 error, in which the published numbers
# stand.

# %%
loss, error = study.relative("loss"), study.relative("error")
loss.round(3)

# %% tags=["hide-input"]
import numpy as np

from dataworth import claims, published
from dataworth.figures import COLOURS, plain_ticks, show, subplots

azizi = published.azizi_mixing()
record = claims.recorded("mixing")
shades = dict(zip(mixed_sizes, ("#7FD3BC", "#009E73", "#00523B", "#333333"), strict=False))

fig, axes = subplots(1, 2, figsize=(9.4, 4.2), sharex=True)
for ax, table, name in zip(axes, (loss, error), ("loss", "top-1 error"), strict=True):
    for n, rows in table.groupby("real"):
        colour = shades.get(n, COLOURS["mixed"])
        bars = np.clip([rows.value - rows.low, rows.high - rows.value], 0, None)
        ax.errorbar(
            rows.ratio,
            rows.value,
            yerr=bars,
            fmt="D-",
            ms=5,
            capsize=2,
            color=colour,
            label=f"{n:,} real",
        )
    ax.axhline(1, color="#999999", lw=1, ls=":")
    ax.set(xlabel="synthetic images per real image", ylabel=f"{name}, relative to real alone")
    ax.set_xscale("log")
    plain_ticks(ax.xaxis)
for pixels, rows in azizi.groupby("pixels"):
    axes[1].plot(
        rows.ratio,
        rows.relative_error,
        "x:",
        color=COLOURS["published"],
        alpha={64: 0.5, 256: 0.7}.get(pixels, 1),
        lw=1.2,
        label=f"Azizi et al., 1.2M real, {pixels} px",
    )
if record:
    for name, rows in record["evidence"]["relative_loss"].items():
        axes[0].plot(rows["ratio"], rows["value"], ".-", lw=0.8, alpha=0.6, color=COLOURS["accent"],
                     label=f"recorded, {int(name):,} real")  # fmt: skip
    for rows in record["evidence"]["relative_error"].values():
        axes[1].plot(rows["ratio"], rows["value"], ".-", lw=0.8, alpha=0.6, color=COLOURS["accent"])
axes[0].legend(fontsize=8)
axes[1].legend(fontsize=7)
words = "; ".join(
    f"with {n:,} real images {rows.value.iloc[0]:.2f} at {rows.ratio.iloc[0]:g} synthetic per real and "
    f"{rows.value.iloc[-1]:.2f} at {rows.ratio.iloc[-1]:g}"
    for n, rows in loss.groupby("real")
)
show(
    fig,
    alt=f"Two panels against the number of synthetic images per real image. Left, loss relative to real "
    f"images alone: {words}. Right, the same for the top-1 error, with the published curves of Azizi et "
    f"al.: at 1024 pixels {azizi[azizi.pixels == 1024].relative_error.iloc[0]:.2f} at 1 and "
    f"{azizi[azizi.pixels == 1024].relative_error.iloc[-1]:.2f} at 9 synthetic per real.",
    caption="Loss (left) and top-1 error (right) of classifiers trained on the same real images with "
    "more and more synthetic ones, relative to the real ones alone; 95 % intervals. Crosses: published, "
    "ResNet-50 on ImageNet; thin lines: the recorded larger run.",
    name="fig-mixing-ratio",
)

# %% [markdown]
# ## Can the mixed case be predicted from the pure curves?
#
# Does knowing *real against synthetic* tell us about *real and synthetic together*? Take
# the {term}`data-equivalence ratio` $\rho$ where $m$ synthetic images stand alone: they do as well as
# $m/\rho$ real ones. If that is all there is to them, $m$ synthetic images beside $n$ real ones should do
# as well as $n + m/\rho$ real ones. No mixed run is used in that prediction. Two simpler rules beside
# it: every image counts as a real one ($n + m$), and mixing gains nothing over the better set.

# %%
predictions, errors = study.predictions(), study.errors()
own = predictions[predictions.rule == "n + m/ρ"].drop(columns="rule")
own.rename(columns={"low": "measured / predicted, low", "high": "high"}).round(3)

# %% tags=["hide-input"]
fig, ax = subplots(figsize=(6.4, 4.6))
looks = {
    "n + m/ρ": ("D", COLOURS["mixed"]),
    "n + m": ("o", COLOURS["real"]),
    "n or m": ("s", COLOURS["synthetic"]),
}
for rule, rows in predictions.groupby("rule", sort=False):
    marker, colour = looks[rule]
    e = errors[rule]
    ax.plot(
        rows.predicted, rows.measured, marker, color=colour, mfc=colour if rule == "n + m/ρ" else "white",
        label=f"{rule}: RMSLE {e.value:.3f} [{e.low:.3f}, {e.high:.3f}], "
        f"{rows.covered.sum()} of {len(rows)} covered",
    )  # fmt: skip
ends = [
    predictions[["predicted", "measured"]].min().min(),
    predictions[["predicted", "measured"]].max().max(),
]
ax.plot(ends, ends, ":", color="#999999")
ax.set(
    xscale="log",
    yscale="log",
    xlabel="predicted loss (nats), pure curves only",
    ylabel="measured loss of the mixed set (nats)",
)
for axis in (ax.xaxis, ax.yaxis):
    plain_ticks(axis, np.round(np.geomspace(*ends, 4), 2))
ax.legend(fontsize=8)
worst = predictions[predictions.rule == "n + m/ρ"].assign(
    off=lambda t: np.abs(np.log(t.measured / t.predicted))
)
worst = worst.loc[worst.off.idxmax()]
show(
    fig,
    alt="Measured against predicted loss of the mixed sets, with the line of equality. Root mean squared "
    + "errors of log loss: "
    + "; ".join(f"rule {rule} {e.value:.3f}" for rule, e in errors.items())
    + f". The rule n + m/rho is furthest off at {worst.real:,} real and {worst.synthetic:,} synthetic "
    f"images: predicted {worst.predicted:.2f}, measured {worst.measured:.2f}.",
    caption="Measured loss of every mixed set against its prediction from the pure curves, by three "
    "rules. RMSLE: root mean squared error of the log loss, with 95 % interval; covered: the interval of "
    "measured over predicted holds 1.",
    name="fig-mixing-predicted",
)

# %% [markdown]
# ## Adding and replacing: two exchange rates
#
# For every mixed set, two numbers of synthetic images per real image. *Replaced*: $m$ over the number of real images that
# alone do as well as the $m$ synthetic ones alone. *Added*: $m$ over the number of further real images
# that would have brought the loss of the mixed set. If one rate served both, prediction would have been
# exact. A joint law fitted on all runs, pure and mixed, summarises them:
# $L = E + B\,(n_r + k\,n_s^{g})^{-\beta}$, in which $n_s$ synthetic images are worth $k\,n_s^{g}$ real ones
# {cite}`hernandez2021transfer`.

# %%
worth = study.worth()
surface = study.surface
worth.round(2)

# %% tags=["hide-input"]
top = 30.0
fig, (ax, right) = subplots(1, 2, figsize=(9.4, 4.2), width_ratios=(1, 1))
for question, colour, marker, shift_x in (
    ("replaced", COLOURS["synthetic"], "s", 0.96),
    ("added", COLOURS["mixed"], "D", 1.04),
):
    clip = {end: worth[f"{question}{end}"].clip(0.3, top) for end in ("", "_low", "_high")}
    bars = np.clip([clip[""] - clip["_low"], clip["_high"] - clip[""]], 0, None)
    x = worth.synthetic / worth.real * shift_x
    ax.errorbar(
        x,
        clip[""],
        yerr=bars,
        fmt=marker,
        color=colour,
        capsize=2,
        ms=5,
        label=question,
        alpha=0.85,
    )
ax.axhline(1, color="#999999", lw=1, ls=":")
ax.set(
    xscale="log",
    yscale="log",
    ylim=(0.3, top * 1.2),
    xlabel="synthetic images per real image in the set",
    ylabel="synthetic images that equal one real image",
)
plain_ticks(ax.xaxis)
plain_ticks(ax.yaxis, [0.3, 1, 3, 10, 30])
ax.legend(fontsize=8)
n_axis = np.geomspace(min(mixed_sizes) / 1.5, max(mixed_sizes) * 4, 40)
m_axis = np.geomspace(min(synthetic_sizes) / 1.5, max(synthetic_sizes) * 1.5, 40)
grid = np.stack([g.ravel() for g in np.meshgrid(n_axis, m_axis, indexing="ij")], 1)
height = surface.mean(grid).reshape(len(n_axis), len(m_axis))
lines = right.contour(n_axis, m_axis, height.T, levels=8, colors=COLOURS["mixed"], linewidths=1)
right.clabel(lines, fontsize=8, fmt="%.2f", inline=False)
right.plot(worth.real, worth.synthetic, "D", color="#333333", ms=4)
right.set(xscale="log", yscale="log", xlabel="real images", ylabel="synthetic images")
plain_ticks(right.xaxis, mixed_sizes)
plain_ticks(right.yaxis, synthetic_sizes)
rates = {m: study.exchange(m) for m in (min(synthetic_sizes), max(synthetic_sizes))}
show(
    fig,
    alt="Left: synthetic images that equal one real image, against the share of synthetic images in the "
    f"set. Median when replaced {worth.replaced.median():.1f}, when added {worth.added.median():.1f}; "
    f"{np.isinf(worth.added).sum()} of {len(worth)} mixed sets did not gain at all. Right: contours of the "
    "fitted joint law over real and synthetic images, loss falling to the upper right; the mixed sets are marked. On it, "
    + " and ".join(f"{m:,} synthetic images cost {e} per real one" for m, e in rates.items())
    + ".",
    caption=f"Left: exchange rates by two questions, 95 % intervals; the upper edge ({top:.0f}) stands for "
    "infinity. Right: the joint law of real and synthetic images, loss in nats; diamonds are the mixed sets.",
    name="fig-mixing-exchange",
)

# %% [markdown]
# ## How much should a synthetic image weigh?
#
# In the sets above every image is seen equally often, so with many synthetic images the real ones fade.
# Here the two sets stay the same and only their *share among the training samples* changes: 0 is the real
# set alone, 1 the synthetic set alone, and the dotted line is the natural share. The best of the tried
# shares is chosen on the validation set and judged on the test set.

# %%
tried, weighted = study.weighted()
best, gain = study.best_share()

# %% tags=["hide-input"]
low, high = weighted.interval()
fig, ax = subplots(figsize=(6.4, 3.8))
bars = np.clip([weighted.means - low, high - weighted.means], 0, None)
ax.errorbar(tried, weighted.means, yerr=bars, fmt="D-", color=COLOURS["mixed"], capsize=3)
ax.axvline(study.natural, color="#999999", ls=":", lw=1)
ax.annotate(
    "every image counts the same",
    (study.natural, high.max()),
    rotation=90,
    ha="right",
    va="top",
    fontsize=8,
)
ax.set(xlabel="share of synthetic images among the training samples", ylabel="test loss (nats)")
show(
    fig,
    alt=f"Test loss against the share of synthetic images among the samples, for {weighted_size:,} real and "
    f"{params.weighted_added:,} synthetic images: "
    + ", ".join(f"{y:.2f} at {x:.2f}" for x, y in zip(tried, weighted.means, strict=True))
    + f". The natural share is {study.natural:.2f}.",
    caption=f"The same {weighted_size:,} real and {params.weighted_added:,} synthetic images, weighted "
    "differently; 95 % intervals.",
    name="fig-mixing-weights",
)

# %% [markdown]
# ## Verdict

# %% tags=["hide-input"]
scarce, ample = min(mixed_sizes), max(mixed_sizes)
lines = {n: study.mixed(n, "error") for n in mixed_sizes}  # as the published numbers
most = {n: lines[n].sizes[-1] / n for n in mixed_sizes}
crowded = max(mixed_sizes, key=lambda n: (most[n], n))  # the line that goes furthest


def percentiles(draws):
    return tuple(float(v) for v in np.nanquantile(draws, [0.025, 0.975]))


def change(n, above, below):
    """Error of one mixed set over that of another along the line of n real images."""
    c = lines[n]
    return c.means[above] / c.means[below], c.draws[:, above] / c.draws[:, below]


first, first_draws = change(scarce, 1, 0)
last, last_draws = change(crowded, -1, 0)
turn, turn_draws = change(crowded, -1, 1)
other, other_draws = change(ample, 1, 0)
rule = errors["n + m/ρ"]
ledger = [
    claims.claim(
        "adding-helps",
        "Adding as many synthetic as real images improves a classifier.",
        source="Azizi et al. 2023, Table 4",
        published="relative error "
        f"{azizi[(azizi.pixels == 1024) & (azizi.ratio == 1)].relative_error.item():.2f} at 1.2M real images",
        estimate=first,
        interval=percentiles(first_draws),
        region=(0.0, 1.0),
        unit="× error",
        effect=f"{scarce:,} real images with {lines[scarce].sizes[1]:,} synthetic ones, over the real ones alone",
    ),
    claims.claim(
        "helps-when-scarce",
        "Synthetic images help more where real ones are scarce.",
        source="Fan et al. 2023, on mixing",
        published="gains largest at small real sets",
        estimate=first / other,
        interval=percentiles(first_draws / other_draws),
        region=(0.0, 1.0),
        unit="ratio of relative errors",
        effect=f"{scarce:,} against {ample:,} real images, {ratios[0]:g} synthetic per real",
    ),
    claims.claim(
        "too-many-hurt",
        "With many synthetic images per real one, a classifier does worse than on the real ones alone.",
        source="Azizi et al. 2023, Table 4",
        published="relative error "
        f"{azizi[(azizi.pixels == 1024) & (azizi.ratio == 4)].relative_error.item():.2f} at 4 and "
        f"{azizi[(azizi.pixels == 1024) & (azizi.ratio == 9)].relative_error.item():.2f} at 9 per real image",
        estimate=last,
        interval=percentiles(last_draws),
        region=(1.0, np.inf),
        unit="× error",
        effect=f"{crowded:,} real images with {most[crowded]:g} synthetic per real, over the real ones alone",
    ),
    claims.claim(
        "optimum",
        "There is an optimum: beyond a few synthetic images per real one, more make it worse.",
        source="Azizi et al. 2023, Table 4; contradicted at 64 pixels (Figure 6)",
        published="best at 1 synthetic per real image, falling from there on",
        estimate=turn,
        interval=percentiles(turn_draws),
        region=(1.0, np.inf),
        unit="× error",
        effect=f"{crowded:,} real images: {most[crowded]:g} over {ratios[0]:g} synthetic per real",
    ),
    claims.claim(
        "predicted-from-pure",
        "The pure curves predict the mixed losses within 10 % on average, by the rule n + m/ρ.",
        source="question 1 of the study; the rule is the first order of the joint law",
        published="no published test",
        estimate=rule.value,
        interval=rule.interval,
        region=(0.0, float(np.log(1.1))),
        unit="RMSLE",
        effect=f"{len(predictions) // 3} mixed sets, "
        f"{(~predictions[predictions.rule == 'n + m/ρ'].covered).sum()} of them off by more than their interval; "
        f"counting synthetic images as real gives "
        f"{errors['n + m'].value:.3f}, no gain from mixing {errors['n or m'].value:.3f}",
    ),
    claims.claim(
        "natural-weight",
        "Counting every image equally is not the best mixture.",
        source="Jain et al. 2024, weighted empirical risk",
        published="unweighted mixing is sub-optimal and can hurt",
        estimate=gain.value,
        interval=gain.interval,
        region=(0.0, 1.0),
        unit="× loss",
        effect=f"share {best:g} (chosen on validation data) over the natural share {study.natural:.2f}",
    ),
]
claims.table(ledger, "mixing")

# %% tags=["remove-cell"]
claims.write(
    "mixing",
    "Beside real images, synthetic ones help while real ones are few",
    ledger,
    evidence={
        f"relative_{name}": {
            str(n): {column: rows[column].tolist() for column in ("ratio", "value", "low", "high")}
            for n, rows in table.groupby("real")
        }
        for name, table in (("loss", loss), ("error", error))
    }
    | {
        "errors": {name: [e.value, e.low, e.high] for name, e in errors.items()},
        "worth": {column: worth[column].tolist() for column in worth},
        "weights": {"share": tried.tolist(), "loss": weighted.means.tolist()},
        "surface": surface.params,
    },
    provenance=study.provenance(),
)

# %% [markdown]
# ## Why it could be wrong
#
# - **A closed domain.** The generator learned from images of the same kind as the test set, and its
#   30,000 images are in a way behind every synthetic one. Where real images are fewer than that, synthetic images carry
#   information that the real set lacks. Azizi's generator was fine-tuned on the very images that it
#   was added to: there it could add variety only. That alone may turn the sign.
# - **Fixed steps.** More synthetic images mean fewer looks at each real one. Part of a decline is
#   this exchange of looks, which the weighted mixture takes apart; under fixed epochs larger sets get
#   more training and the curves fall further.
# - **Small pictures.** The published decline is at 256 and 1024 pixels; at 64 it is absent. Ours have
#   28 pixels a side.
# - **One pool.** A single generator, prompt set and guidance scale: a more diverse pool may postpone the
#   optimum (Yu et al. 2023, arXiv 2312.02253, report gains up to six times ImageNet's size with diversified
#   prompts).
# - **Loss and error disagree.** Trained for a fixed number of steps, a small real set is learned by heart and its
#   loss counts overconfidence; synthetic images cure that even where they change few answers. The verdicts on adding
#   are therefore about the top-1 error, as the published numbers are; the left panel of {numref}`fig-mixing-ratio`
#   shows how much kinder the loss is.
# - **Few seeds.** Seeds of the mixed and of the pure runs are resampled independently although they
#   share real images; the intervals of ratios are, if anything, too wide.

# %% [markdown]
# ## Discussion
#
# **How can we use the real against synthetic set-up to learn about synthetic + real?** By the rule
# $n + m/\rho$, as far as {numref}`fig-mixing-predicted` bears it out. The rule errs in a telling way. Where the
# measured loss is *below* the prediction, synthetic images add something that no real image of the
# set has; where it is *above*, they take something away (looks at real images, or right labels). It
# cannot hold where $\rho$ is infinite: synthetic images alone end on a floor made of wrong labels and missing details, and
# a few real images lower that floor. Two pure curves do not know that; one mixed run does, which is why
# the joint law is fitted on all of them.
#
# **Is there an optimum or a law?** The answer may hang on the number of real images: synthetic ones replace what a
# small set lacks, and crowd out what a large one has. The recorded run (thin lines on the right of
# {numref}`fig-mixing-ratio`) shows both, one line falling and one turning up. Both can be true of a law, too: the joint law has no optimum, since its synthetic images never
# have a negative worth. A decline that is significant in the ledger contradicts it, and then the natural weight
# is the first suspect. With the best weight more data cannot hurt in expectation: the weight 0 is always allowed.
#
# ## Exercises
#
# **1.** You have the smallest real set of this run and pay for 1,280 synthetic images. How many more real images
# would have done the same, by the pure curves and by the mixed runs?
#
# ```{admonition} Solution
# :class: dropdown
# `worth[(worth.real == min(mixed_sizes)) & (worth.synthetic == 1280)]`; divide 1,280 by the column `replaced`, then by
# `added`. The second is the answer to the question asked.
# ```
#
# **2.** Which weight would Jain et al. choose if the synthetic images were perfect?
#
# ```{admonition} Solution
# :class: dropdown
# The natural one: if both kinds come from the same distribution, every example carries the same
# information and $m/(n+m)$ is optimal. The distance of the best share from it measures how far the synthetic
# images are from real ones, for training.
# ```
#
# **3.** Repeat with `-p budget_rule=fixed_epochs -p budget=8`. Does the verdict on the optimum change?
#
# ```{admonition} Solution
# :class: dropdown
# Every image is now seen eight times in every set, so synthetic images take no looks away from the
# real ones. What remains of a decline is due to what the images show. Mind that larger sets also
# get more training, which lowers their loss by itself.
# ```
