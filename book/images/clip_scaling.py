# ---
# jupyter:
#   kernelspec: {name: python3, display_name: Python 3, language: python}
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   dataworth:
#     params: "dataworth.studies.clip_scaling:ClipScaling"
#     description: Is the gap between real and synthetic images smaller for contrastive training?
#     device: cpu or one GPU
#     main: [sizes, towers, seeds]
#     expected_minutes: {smoke: 1, quick: 2, full: 15, gpu: 60}
# ---

# %% [markdown]
# # For contrastive training on captions, synthetic images are said to scale almost like real ones
#
# A classifier is told the class of each image. CLIP {cite}`radford2021learning` is told only which
# caption goes with which image, and learns an image and a text tower whose embeddings match. Which of
# the two is trained seems to decide how good a synthetic image is.
#
# **What Fan et al. {cite}`fan2024scaling` found** (zero-shot loss on ImageNet; ViT-B/16 towers):
#
# - On real pairs the {term}`scaling ability` is $k = 0.387$; on synthetic images, drawn by Stable
#   Diffusion from the data set's own captions at {term}`guidance scale` 1.5, it is 0.356: 8 % less (read
#   off their figure, ±0.002). For classifiers real images scale 2.0 to 2.7 times faster.
# - Real and synthetic pairs together help while there are few of them.
#
# **What is tested here.** The same two statements with small towers on captioned Fashion-MNIST images;
# whether the gap in $k$ is smaller than that of classifiers on the same test images; and two things
# that may explain it: labels that a synthetic image does not show, and captions that it still fits.
# A last arm has no text at all: images of one caption as each other's positives, as in StableRep
# {cite}`tian2023stablerep` and SynCLR {cite}`tian2024learning`.

# %% [markdown]
# ## Scale of this run
#
# The parameters of this page; a command at the end changes any of them.

# %% tags=["parameters"]
card = "fashion-mnist"
real_sizes = [80, 320, 1280, 5120, 10240]
synthetic_sizes = [80, 320, 1280, 5120]
sizes = [80, 320, 1280]
captions = "in-captions"
clip_guidance = 1.5
towers = "clip-2x64"
templates = "photo"
clip_budget = 60
clip_batch = 128
clip_learning_rate = 5.0e-3
group_sizes = [80, 320]
images_per_caption = 4
probe_images = 2000
retrieval_images = 1000
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
# **Captions.** Fashion-MNIST has none. A caption here is a CLIP template around a class word or a
# synonym of it, with some of the words that hold for the image when its pixels are measured (*dark*,
# *patterned*, *long-sleeved*, ...). It stands for web alt text: right, short, and rarely complete.
#
# **Pairs.** A real pair is an image of the classifier pool and its caption. A synthetic pair is a
# caption of some real image of that pool and an image drawn from it; the prompt has the class name in
# front (prompt set *IN-Captions*), the pair's text has not. *Real + synthetic* at size $D$ is $D$ of
# each.
#
# **Towers.** Vision and text transformers of open_clip {cite}`ilharco2021openclip` with its CLIP loss,
# for the same number of steps at every size ({term}`fixed steps`). The tokenizer is the generator's own
# (512 byte-level entries), since open_clip's has an embedding ten times larger than these towers.
#
# **Evaluation.** {term}`Zero-shot <zero-shot>` on the test set: cosine with the text embedding of each class,
# averaged over templates, times the learned scale; its cross-entropy is the loss. {term}`Retrieval <retrieval>` among
# captioned validation images, where any text with the same words counts as a hit. A
# {term}`linear probe` (ridge regression on frozen features of labelled real images).

# %%
from dataworth.studies.clip_scaling import ClipScaling, run

params = ClipScaling.from_names(globals())
study = run(params)
study.summary()

# %% [markdown]
# ## Scaling curves
#
# Lines are power laws $a D^{-k}$, bands 95 % intervals over seeds and test images, the same test images in
# every arm. The classifiers are the stored runs of the chapter *synthetic scaling* at the same sizes;
# nothing of them is trained again.

# %%
from dataworth.fit import fit

arms = ["real", "synthetic", "real + synthetic"]
zero_shot = {arm: study.curve(arm) for arm in arms}
supervised = {arm: study.classifier(arm) for arm in ("real", "synthetic")}


def power(c):
    return fit(c.table(), law="power", x="n", y="loss", draws=c.draws)


laws = {arm: power(c) for arm, c in zero_shot.items()}
supervised_laws = {arm: power(c) for arm, c in supervised.items()}

# %% tags=["hide-input"]
import numpy as np

from dataworth import claims, published
from dataworth.figures import COLOURS, plain_ticks, scaling_curve, show, subplots

record = claims.recorded("clip-scaling")
colours = {"real": "real", "synthetic": "synthetic", "real + synthetic": "mixed"}
fig, (left, right) = subplots(1, 2, figsize=(9, 4.2), sharex=True)
for arm, c in zero_shot.items():
    scaling_curve(
        left, colours[arm], np.repeat(c.sizes, seeds), c.values.ravel(), laws[arm], label=arm
    )
    if record:
        old = record["evidence"]["zero_shot"][arm]
        left.plot(
            old["sizes"], old["means"], ".-", color=COLOURS[colours[arm]], lw=0.8, alpha=0.6,
            label=f"recorded larger run, {arm}",
        )  # fmt: skip
for arm, c in supervised.items():
    scaling_curve(
        right, arm, np.repeat(c.sizes, seeds), c.values.ravel(), supervised_laws[arm], label=arm
    )
left.set(xlabel="pairs D (of each kind)", ylabel="test loss (nats)", title="CLIP, zero-shot")
right.set(xlabel="training images D", title="classifiers")
shown = sorted({*sizes, *(record["evidence"]["zero_shot"]["real"]["sizes"] if record else ())})
for ax in (left, right):
    plain_ticks(ax.xaxis, shown)
    plain_ticks(ax.yaxis)
    ax.legend(fontsize=8)
show(
    fig,
    alt="Two panels of test loss against training size on log-log axes. Left, zero-shot loss of CLIP "
    "towers: "
    + "; ".join(
        f"{arm} from {c.means[0]:.2f} at {c.sizes[0]} to {c.means[-1]:.2f} at {c.sizes[-1]} pairs"
        for arm, c in zero_shot.items()
    )
    + ". Right, classifiers: "
    + "; ".join(
        f"{arm} from {c.means[0]:.2f} to {c.means[-1]:.2f}" for arm, c in supervised.items()
    )
    + ".",
    caption="Loss on real test images, one point per run, with power laws and 95 % bands. Left: zero-shot "
    "loss of the towers. Right: classifiers on the same numbers of images.",
    name="fig-clip-curves",
)

# %% [markdown]
# ## Is the gap in $k$ smaller than for classifiers?
#
# Absolute exponents of towers and classifiers cannot be compared: the losses are not the same
# quantity. The ratio $k_\text{real} / k_\text{synthetic}$ can; 1 means no gap.

# %%
from dataworth.stats import estimate


def k_ratio(laws):
    draws = laws["real"].draws["k"] / laws["synthetic"].draws["k"]
    return estimate(laws["real"].params["k"] / laws["synthetic"].params["k"], draws)


ratio_clip, ratio_supervised = k_ratio(laws), k_ratio(supervised_laws)
ratio_of_ratios = estimate(
    ratio_supervised.value / ratio_clip.value, ratio_supervised.draws / ratio_clip.draws
)

# %% tags=["hide-input"]
fan = published.fan_exponents()
clip_k = fan.query("evaluation_set == 'ImageNet zero-shot'").k.to_list()
k_real, k_synthetic = max(clip_k), min(clip_k)
fan_supervised = fan.query("evaluation_set == 'ImageNet val'").set_index("training_source").k
supervised_range = [
    fan_supervised["real"] / fan_supervised.drop("real").max(),
    fan_supervised["real"] / fan_supervised.drop("real").min(),
]
fig, ax = subplots(figsize=(7, 2.8))
rows = [
    ("classifiers", ratio_supervised, supervised_range),
    ("CLIP", ratio_clip, [k_real / k_synthetic] * 2),
]
for y, (name, own, paper) in enumerate(rows):
    ax.plot(own.value, y, "o", color=COLOURS["accent"], label="this run" if y == 0 else None)
    ax.plot(own.interval, (y, y), color=COLOURS["accent"], lw=1.5)
    ax.plot(
        paper,
        (y + 0.2,) * 2,
        "x-",
        color=COLOURS["published"],
        label="published" if y == 0 else None,
    )
    if record:
        old = record["evidence"]["k_ratio"][name]
        ax.plot(
            old["value"], y - 0.2, "s", color=COLOURS["accent"], mfc="white",
            label="recorded larger run" if y == 0 else None,
        )  # fmt: skip
ax.axvline(1, color="#999999", lw=1, ls=":")
ax.set_yticks([0, 1], [name for name, *_ in rows])
ax.set(xlabel="k on real / k on synthetic images", ylim=(-0.5, 1.6))
ax.legend(fontsize=8)
show(
    fig,
    alt=f"Ratio of the exponents on real and synthetic images. Classifiers: {ratio_supervised} in this run, "
    f"published {supervised_range[0]:.1f} to {supervised_range[1]:.1f}. CLIP: {ratio_clip} in this run, published "
    f"{k_real / k_synthetic:.2f}.",
    caption="How much faster loss falls with real than with synthetic images, for classifiers and for CLIP: "
    "this run with 95 % intervals, and as published for ImageNet.",
    name="fig-clip-ratio",
)

# %% [markdown]
# ## Does adding synthetic pairs help, and when?
#
# The loss of $D$ real and $D$ synthetic pairs together, over that of the $D$ real ones alone, at an equal
# number of training steps. Below 1, mixing helps.

# %% tags=["hide-input"]
mix_draws = zero_shot["real + synthetic"].draws / zero_shot["real"].draws
gains = [
    estimate(value, mix_draws[:, i])
    for i, value in enumerate(zero_shot["real + synthetic"].means / zero_shot["real"].means)
]
fig, ax = subplots(figsize=(7, 3.4))
ax.errorbar(
    sizes,
    [g.value for g in gains],
    yerr=[[g.value - g.low for g in gains], [g.high - g.value for g in gains]],
    fmt="D-",
    color=COLOURS["mixed"],
    capsize=3,
    label="this run",
)
if record:
    old = record["evidence"]["mixing"]
    ax.plot(
        old["sizes"],
        old["value"],
        ".-",
        lw=0.8,
        color=COLOURS["mixed"],
        alpha=0.6,
        label="recorded larger run",
    )
ax.axhline(1, color="#999999", lw=1, ls=":")
ax.set(xscale="log", xlabel="real pairs D", ylabel="loss, real + synthetic / real")
plain_ticks(ax.xaxis, shown)
ax.legend(fontsize=8)
show(
    fig,
    alt="Zero-shot loss with synthetic pairs added over loss without, against the number of real pairs: "
    + "; ".join(f"{g} at {n}" for n, g in zip(sizes, gains, strict=True))
    + ".",
    caption="Zero-shot loss of D real and D synthetic pairs over that of the D real pairs, with 95 % intervals.",
    name="fig-clip-mixing",
)

# %% [markdown]
# ## Zero-shot, retrieval and linear probe
#
# In percent, mean over seeds. The multi-positive arm has no trained text tower, hence no zero-shot and no
# retrieval. By chance, zero-shot is right in 10 % and the first of the retrieved is a hit about as often as a
# caption occurs among the queries, some tenths of a percent.

# %% tags=["hide-input"]
study.scores().style.format("{:.1f}", na_rep="", escape="html")

# %% [markdown]
# ### Several images per caption
#
# Images of the multi-positive arm, each row drawn from the one caption beside it:

# %% tags=["hide-input"]
from dataworth.figures import image_grid

shown = study.gallery(6)
fig = image_grid(shown, size=0.85)
show(
    fig,
    alt=f"{len(shown)} rows of {images_per_caption} synthetic garments, each row drawn from one caption: "
    + "; ".join(shown)
    + ".",
    caption=f"{images_per_caption} synthetic images of each of {len(shown)} captions (guidance scale {clip_guidance}).",
    name="fig-clip-groups",
    raster=True,
)

# %% tags=["hide-input"]
probe = {
    arm: study.curve(arm, split="probe", metric="error")
    for arm in ("real", "synthetic", "multi-positive")
}
fig, ax = subplots(figsize=(7, 3.6))
for arm, c in probe.items():
    low, high = c.interval()
    colour = COLOURS.get(arm, COLOURS["accent"])
    ax.errorbar(
        c.sizes, 100 * (1 - c.means), yerr=100 * np.array([high - c.means, c.means - low]).clip(0),
        fmt="o-", color=colour, capsize=3, label=f"CLIP, {arm}" if arm != "multi-positive" else "multi-positive, synthetic",
    )  # fmt: skip
pixels = 100 * study.pixel_probe()
ax.axhline(pixels, color="#999999", lw=1, ls="--", label="raw pixels")
ax.set(xscale="log", xlabel="training images D", ylabel="linear probe, top-1 %")
plain_ticks(ax.xaxis, sizes)
ax.legend(fontsize=8)
show(
    fig,
    alt="Linear-probe accuracy against training images: "
    + "; ".join(
        f"{arm} {100 * (1 - c.means[0]):.1f} percent at {c.sizes[0]}, {100 * (1 - c.means[-1]):.1f} at "
        f"{c.sizes[-1]}"
        for arm, c in probe.items()
    )
    + f"; raw pixels {pixels:.1f} percent.",
    caption=f"Top-1 of a ridge classifier on frozen features ({probe_images} labelled real images), by what "
    "the features were trained on. Dashed: the same ridge classifier on the pixels themselves, which features worth "
    "having must beat; towers trained as briefly as these may not.",
    name="fig-clip-probe",
)

# %% [markdown]
# ## Why should there be a gap between classification and representation learning?
#
# A synthetic image that does not show its class is a wrong label to a classifier. Two measurements say
# how much of that there is and what it does. A *reference* classifier, trained on the largest real set,
# names each synthetic image of the largest size. Then (i) the images whose class it does not recognise
# are dropped, and a classifier and the towers are trained on the rest, for the same number of samples;
# (ii) for the unrecognised images, the attribute words of the caption are held against the image's
# own measurements. Dropping uses real data: this is a diagnosis, not a recipe.

# %%
recognised, filtering, agreement = study.recognised(), study.filtering(), study.agreement()
agreement.round(3)

# %% tags=["hide-input"]
fig, (left, right) = subplots(1, 2, figsize=(9, 3.2))
for y, (name, colour) in enumerate([("clip", "accent"), ("classifier", "synthetic")]):
    e = filtering[name]
    left.plot(e.value, y, "o", color=COLOURS[colour])
    left.plot(e.interval, (y, y), color=COLOURS[colour], lw=1.5)
left.axvline(1, color="#999999", lw=1, ls=":")
left.set_yticks([0, 1], ["CLIP", "classifier"])
left.set(xlabel="loss after / before dropping", ylim=(-0.6, 1.6))
for y, (_, row) in enumerate(agreement.iterrows()):
    right.plot(
        row.share, y, "o", color=COLOURS["synthetic"], label="its own image" if y == 0 else None
    )
    right.plot((row.low, row.high), (y, y), color=COLOURS["synthetic"], lw=1.5)
    right.plot(
        row.chance, y, "x", color=COLOURS["published"],
        label="another image of its class" if y == 0 else None,
    )  # fmt: skip
right.set_yticks(range(len(agreement)), agreement.index)
right.set(xlabel="share of attribute words that hold", xlim=(0, 1), ylim=(-0.6, 1.6))
right.legend(fontsize=8)
show(
    fig,
    alt=f"Left: loss after dropping unrecognised images over loss before; classifier {filtering['classifier']}, "
    f"CLIP {filtering['clip']}. Right: share of the captions' attribute words that hold in the image; "
    + "; ".join(
        f"{name} images {row.share:.2f} (by chance {row.chance:.2f})"
        for name, row in agreement.iterrows()
    )
    + ".",
    caption="Left: what dropping the synthetic images of unrecognised class does to the loss of a classifier "
    "and of the towers. Right: do images show what their caption says apart from the class? Crosses: the "
    "same words held against another synthetic image of the class.",
    name="fig-clip-labels",
)

# %% [markdown]
# ## Verdict
#
# A gap counts as *small* if real pairs scale at most 1.2 times faster, somewhat more than twice the
# published deficit.

# %%
common = int(probe["multi-positive"].sizes[-1])
plain = probe["synthetic"].one(sizes.index(common))
ledger = claims.judge(
    "clip-scaling",
    {
        "clip-gap-small": ratio_clip,
        "clip-gap-smaller-than-supervised": ratio_of_ratios,
        "clip-mixing-helps": gains[0],
        "clip-mixing-fades": gains[0].over(gains[-1]),
        "label-noise-hurts-classifiers-more": filtering["ratio"],
        "multi-positive-better-features": probe["multi-positive"].one(-1).over(plain),
    },
    k_real=k_real, k_synthetic=k_synthetic, k_ratio=k_real / k_synthetic,
    times=[ratio * k_synthetic / k_real for ratio in supervised_range],
    laws=laws, clip=ratio_clip, supervised=ratio_supervised,
    first=gains[0], last=gains[-1], smallest=sizes[0], largest=sizes[-1],
    dropped=100 * (1 - recognised.value), common=common, per_caption=images_per_caption,
    synclr=published.table(
        paper="SynCLR", metric="linear probe top-1 %, ImageNet", setting="LAION-400M"
    ).y.agg(["max", "min"]),
)  # fmt: skip
ledger

# %% tags=["remove-cell"]
claims.write(
    ledger,
    evidence={
        "zero_shot": {arm: c.evidence() for arm, c in zero_shot.items()},
        "k_ratio": {
            name: {"value": e.value, "low": e.low, "high": e.high}
            for name, e in {"CLIP": ratio_clip, "classifiers": ratio_supervised}.items()
        },
        "mixing": {
            "sizes": list(sizes),
            "value": [g.value for g in gains],
            "low": [g.low for g in gains],
            "high": [g.high for g in gains],
        },
        "filtering": {
            name: {"value": e.value, "low": e.low, "high": e.high} for name, e in filtering.items()
        },
        "agreement": agreement.to_dict("index"),
    },
    provenance=study.provenance(),
)

# %% [markdown]
# ## Why it could be wrong
#
# - **Captions that know the class.** Every caption here holds a class word. Web captions often do not, so
#   real CLIP data is noisier than ours, which makes synthetic pairs look better there.
# - **The class name in the prompt.** A synthetic image was drawn with the class name before its caption.
#   That raises recognizability a little over captions alone.
# - **Leaked captions.** Captions describe real images of the classifier pool, as in the paper. Synthetic
#   pairs are not free of real data.
# - **Different images for the classifiers' curves.** The classifiers' synthetic runs used plain class
#   prompts (`prompt_set`), the towers' runs captions. The measurement on dropped images uses one and
#   the same set for both.
# - **Few pairs for contrastive learning.** With fewer images than a batch the whole set is one batch, and
#   with ten classes many negatives are of the same class. The loss of small sets is high because the
#   towers are sure of themselves, and $k$ is steep for that reason.
# - **The reference is not an oracle.** What it does not recognise may be an odd image of the right
#   class; dropping it removes variety too.
# - **Features that do not beat pixels.** On small grey images a linear classifier on the pixels is strong. Where the
#   towers stay below it (dashed in {numref}`fig-clip-probe`), the comparison between arms is one of poor features.
# - **The smallest set anchors the law.** With 80 pairs the zero-shot loss can lie above that of guessing (2.3 nats); a
#   steep $k$ from there is recovery from overconfidence as much as learning.
# - **Few sizes, few seeds.** A ratio of exponents from three sizes has a wide interval.

# %% [markdown]
# ## Discussion
#
# **Which do we care more about: scaling laws for image classifiers or for representation learning
# algorithms?** For a fixed task, the classifier's. But a representation is trained once and used for
# tasks that nobody has listed yet; there the question is whether images from a generator can stand in
# for the web, and the law for contrastive training answers it.
#
# **Why is there a gap between these?** Three differences can be looked at one by one with this chapter's runs.

# %% tags=["hide-input"]
from IPython.display import Markdown


def direction(e, low, high, unclear):
    """Words for an estimate by where its interval lies about 1."""
    return low if e.high < 1 else high if e.low > 1 else unclear


odd = agreement.loc["not recognised"]
Markdown(
    f"""
1. *Wrong labels.* The reference does not recognise {100 * (1 - recognised.value):.0f} % of the synthetic
   images. Dropping them multiplies the classifier's loss by {filtering["classifier"]}
   ({direction(filtering["classifier"], "so they were wrong labels to it", "so even they taught it something: variety that only they held", "which is within chance")})
   and that of CLIP by {filtering["clip"]}; relative to CLIP, the classifier
   {direction(filtering["ratio"], "gains more, as label noise would have it", "gains less, against the explanation by label noise", "shows no difference that this run can tell from chance")}.
2. *Targets that stay right.* A caption says more than a class. In the images of unrecognised class
   ({int(odd.images)} of them) {100 * odd.share:.0f} % of the other words of the caption hold
   (interval {100 * odd.low:.0f} to {100 * odd.high:.0f} %), where {100 * odd.chance:.0f} % would hold in another
   image of the class. What exceeds chance is a signal that contrastive training can use and
   a class label cannot carry.
3. *The measure.* For classifiers the gap in *k* is {ratio_supervised}, for CLIP {ratio_clip}; their ratio is
   {ratio_of_ratios}, so this run {direction(ratio_of_ratios, "contradicts a smaller gap for CLIP", "bears out a smaller gap for CLIP", "cannot tell whether the gap is smaller for CLIP")}.
"""
)

# %% [markdown]
# ## Exercises
#
# **1.** Does a plainer caption make synthetic pairs worse? Predict first, then run
# `dataworth run clip-scaling -p captions=photo`.
#
# ```{admonition} Solution
# :class: dropdown
# Now all images of a class share one caption, and the contrastive task within a class cannot be solved.
# Zero-shot classification hardly needs what is lost; retrieval does. Compare the columns of the table of
# scores.
# ```
#
# **2.** `match_cross_entropy` of `dataworth.images.clip` takes logits and a matrix of matches. Show that with the
# unit matrix, in both directions, it is the CLIP loss.
#
# ```{admonition} Solution
# :class: dropdown
# With one positive per row the match distribution is one-hot, so each row's term is
# $-\log \text{softmax}(\ell_i)_i$: cross-entropy with the row's number as its label. The mean over rows and over
# the two directions is open_clip's `ClipLoss`.
# ```
#
# **3.** Why is recall at 1 counted with equal captions as hits?
#
# ```{admonition} Solution
# :class: dropdown
# Several images share the caption *a photo of a coat*. The towers cannot know which of equal texts was
# written for which image; to count the others as errors would put a ceiling on recall that has nothing to
# do with the towers.
# ```
