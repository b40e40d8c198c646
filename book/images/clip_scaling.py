# ---
# jupyter:
#   dataworth:
#     answer: clip-gap-small
#     description: Is the gap between real and synthetic images smaller for contrastive
#       training?
#     device: cpu or one GPU
#     expected_minutes:
#       full: 15
#       gpu: 60
#       quick: 4
#       smoke: 1
#     main:
#     - sizes
#     - towers
#     - seeds
#     params: dataworth.studies.clip_scaling:ClipScaling
#   jupytext:
#     notebook_metadata_filter: dataworth,kernelspec,jupytext.notebook_metadata_filter,-all
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # For CLIP, do synthetic images scale almost as well as real ones?
#
# A classifier is told the class of each image. CLIP {cite}`radford2021learning` is told only which
# caption goes with which image, and learns an image and a text tower whose embeddings match. Which of
# the two is trained seems to decide how good a synthetic image is.
#
# **What Fan et al. {cite}`fan2024scaling` found** (zero-shot loss on ImageNet; ViT-B/16 towers):
#
# - On real pairs the {term}`scaling ability` is $k = 0.387$; on synthetic images, sampled by Stable
#   Diffusion from the data set's own captions at {term}`guidance scale` 1.5, it is 0.356: 8 % less (read
#   off their figure, ±0.002). For classifiers real images scale 2.0 to 2.7 times faster.
# - Real and synthetic pairs together help while there are few of them.
#
# **What is tested here.** The same two statements with small towers on captioned Fashion-MNIST images;
# whether the gap in $k$ is smaller than that of classifiers on the same test images; and two things
# that may explain it: labels that a synthetic image does not show, and captions that it still fits.
# A last arm has no text at all: images of one caption as each other's positives, as in StableRep
# {cite}`tian2023stablerep` and SynCLR {cite}`tian2024learning`. That captions decide what is learned is the subject of
# {cite}`santurkar2022caption`; better ones can be written by a model {cite}`nguyen2023captioning`, and more sources need not
# help {cite}`nguyen2022quality`.

# %% [markdown]
# ## Scale of this run
#
# The parameters of this page; a command at the end changes any of them.

# %% tags=["parameters"]
card = "fashion-mnist"
real_sizes = [80, 320, 1280, 2560, 5120]
synthetic_sizes = [80, 320, 640, 1280, 2560]
sizes = [320, 1280]
captions = "in-captions"
clip_guidance = 1.5
towers = "clip-2x64"
templates = "photo"
clip_budget = [[320, 60], [1280, 90]]
clip_batch = 128
clip_learning_rate = 5.0e-3
group_sizes = [320]
images_per_caption = 4
probe_images = 2000
retrieval_images = 1000
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

# %% [markdown]
# ## Method
#
# **Captions.** Fashion-MNIST has none. A caption here is a CLIP template around a class word or a
# synonym of it, with some of the words that hold for the image when its pixels are measured (*dark*,
# *patterned*, *long-sleeved*, ...). It stands for web alt text: right, short, and rarely complete.
#
# **Pairs.** A real pair is an image of the classifier pool and its caption. A synthetic pair is a
# caption of some real image of that pool and an image sampled from it; the prompt has the class name in
# front (prompt set *IN-Captions*), the pair's text has not. *Real + synthetic* at size $D$ is $D$ of
# each; its control is $2D$ real pairs, at the smallest and the largest $D$.
#
# **Towers.** Vision and text transformers of open_clip {cite}`ilharco2021openclip` with its CLIP loss, for the
# number of steps that is best on validation images ({term}`budget rule` *tuned*; `clip_budget` says how long at
# most). The tokenizer is the generator's own (512 byte-level entries), since open_clip's has an embedding ten times
# larger than these towers.
#
# **Evaluation.** {term}`Zero-shot <zero-shot>` on the test set: cosine with the text embedding of each class,
# averaged over templates, times the learned scale; its cross-entropy is the loss. {term}`Retrieval <retrieval>` among
# captioned validation images, where any text with the same words counts as a hit. A
# {term}`linear probe` (ridge regression on frozen features of labelled real images).

# %%
from dataworth import tables
from dataworth.studies.clip_scaling import ARMS, ClipScaling, run

params = ClipScaling.from_names(globals())
study = run(params)
tables.show(study.summary(), {"core minutes": ".2f"})

# %% [markdown]
# ## Scaling curves
#
# Lines are power laws $a D^{-k}$, bands 95 % intervals over seeds and test images, the same test images in
# every arm. The classifiers are the stored runs of the chapter *synthetic scaling* at the same sizes;
# nothing of them is trained again.

# %%
from dataworth import claims, published
from dataworth.figures import curves, draw, forest, image_grid, series, show

zero_shot = {arm: study.curve(arm) for arm in ARMS}
supervised = {arm: study.classifier(arm) for arm in ("real", "synthetic")}
laws = {arm: c.fit("power") for arm, c in zero_shot.items()}
supervised_laws = {arm: c.fit("power") for arm, c in supervised.items()}
past = (claims.recorded("clip-scaling") or {}).get("evidence", {})

# %%
import numpy as np

recorded = past.get("zero_shot", {})
size = f"up to {recorded['real']['sizes'][-1]:,} pairs" if recorded else ""
ticks = sorted({*sizes, *(recorded["real"]["sizes"] if recorded else ())})
panels = [
    curves(c, "training images or pairs D", "test loss (nats)", title=f"CLIP, {arm}",
           laws={"this run": laws[arm]}, recorded=recorded.get(arm), size=size, chance=np.log(10), ticks=ticks)
    for arm, c in zero_shot.items()
]  # fmt: skip
panels.append(
    curves(supervised, "training images or pairs D", "test loss (nats)", title="classifiers",
           laws=supervised_laws, chance=np.log(10), ticks=ticks)
)  # fmt: skip
show(
    draw(*panels, columns=2, height=5.2),
    caption="Loss on real test images, mean of the seeds, with power laws and 95 % bands; chance: ln 10. CLIP: zero-shot "
    "loss of towers trained on D pairs of each kind. Classifiers on the same numbers of images.",
    name="fig-clip-curves",
)

# %% [markdown]
# ## Is the gap in $k$ smaller than for classifiers?
#
# Absolute exponents of towers and classifiers cannot be compared: the losses are not the same
# quantity. The ratio $k_\text{real} / k_\text{synthetic}$ can; 1 means no gap.

# %%
from dataworth.studies.curves import exponent_ratio

ratio_clip = study.gap()
ratio_supervised = exponent_ratio(supervised_laws["real"], supervised_laws["synthetic"])
ratio_of_ratios = ratio_supervised.over(ratio_clip)
fan = published.fan_exponents().set_index(["evaluation_set", "training_source"]).k
k_real, k_synthetic = fan["ImageNet zero-shot"]
of_classifiers = fan["ImageNet val"]["real"] / fan["ImageNet val"].drop("real")
supervised_range = (of_classifiers.min(), of_classifiers.max())

# %%
show(
    forest(
        {"classifiers": ratio_supervised, "CLIP": ratio_clip}, "k on real / k on synthetic images",
        recorded=past.get("k_ratio"), size=size, reference=1, limits=(0, 5),
        published={"classifiers": supervised_range, "CLIP": k_real / k_synthetic},
    ),
    caption="How much faster loss falls with real than with synthetic images, for classifiers and for CLIP; "
    "95 % intervals, cut off with an arrow at 0 and 5. Published: for ImageNet.",
    name="fig-clip-ratio",
)  # fmt: skip

# %% [markdown]
# ## Does adding synthetic pairs help, and when?
#
# The loss of $D$ real and $D$ synthetic pairs together, over that of the $D$ real ones alone. Below 1, mixing
# helps. More pairs of any kind help while there are few: the control is $D$ further *real* pairs instead. And where
# the real pairs alone do worse than a guess (2.3 nats), anything helps: that is not judged.

# %%
gains, doubled = study.mixing(), study.doubled()
show(
    curves(
        {"D synthetic pairs": gains, "D further real pairs": doubled}, "real pairs D",
        "loss with what is added / without", log="x", reference=1,
        roles={"D synthetic pairs": "mixed", "D further real pairs": "control"},
        recorded={"D synthetic pairs": past["mixing"]} if past else None, size=size,
    ),
    caption="Zero-shot loss of D real pairs and as many others over that of the D real pairs, with 95 % intervals.",
    name="fig-clip-mixing",
)  # fmt: skip

# %% [markdown]
# ## Zero-shot, retrieval and linear probe
#
# In percent, mean over seeds. The multi-positive arm has no trained text tower, hence no zero-shot and no
# retrieval. By chance, zero-shot is right in 10 % and the first of the retrieved is a hit about as often as a
# caption occurs among the queries, some tenths of a percent.

# %%
scores = study.scores()
tables.show(scores, dict.fromkeys(scores, ".1f"))

# %% [markdown]
# ### Several images per caption
#
# Images of the multi-positive arm, each column sampled from the one caption above it:

# %%
import textwrap

shown = study.gallery(7)
copies = {
    f"{i + 1}": np.stack([images[i] for images in shown.values()])
    for i in range(images_per_caption)
}
show(
    image_grid(copies, columns=[textwrap.fill(text, 15) for text in shown], size=0.75),
    alt=f"{images_per_caption} synthetic garments of each of {len(shown)} captions: {'; '.join(shown)}.",
    caption=f"{images_per_caption} synthetic images of each caption (guidance scale {clip_guidance}).",
    name="fig-clip-groups",
    raster=True,
)  # fmt: skip

# %%
probe = {
    arm: study.curve(arm, split="probe", metric="error")
    for arm in ("real", "synthetic", "multi-positive")
}
top1 = {
    f"towers, {arm}": series(c).map(lambda error: 100 * (1 - error)) for arm, c in probe.items()
}
pixels = (sizes, [100 * study.pixel_probe()] * len(sizes))
show(
    curves(
        {**top1, "raw pixels": pixels}, "training images D", "linear probe, top-1 %", log="x", chance=10,
        roles={"towers, real": "real", "towers, synthetic": "synthetic", "raw pixels": "control"},
    ),
    caption=f"Top-1 of a ridge classifier on frozen features ({probe_images:,} labelled real images), by what the towers "
    "were trained on; 95 % intervals. Raw pixels: the same classifier on the pixels themselves, which features worth having "
    "must beat; towers trained as briefly as these may not.",
    name="fig-clip-probe",
)  # fmt: skip

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
from dataworth.stats import Estimate

recognised, filtering, agreement = study.recognised(), study.filtering(), study.agreement()
words = {
    name: Estimate(row.share, row.low, row.high, np.empty(0)) for name, row in agreement.iterrows()
}
tables.show(
    agreement.assign(share=list(words.values()))[["images", "words", "share", "chance"]],
    {"share": ".2f", "chance": ".2f"},
    names={"share": "fraction of the words that hold [95 % interval]", "chance": "by chance"},
)

# %%
show(
    draw(
        forest(
            {name: filtering[name] for name in ("classifier", "clip")}, "loss after / before dropping",
            rows={"classifier": "classifier", "clip": "CLIP"}, reference=1, recorded=past.get("filtering"), size=size,
        ),
        forest(
            {"its own image": words, "another image of its class": agreement.chance.to_dict()},
            "fraction of attribute words that hold", limits=(0, 1),
            roles={"its own image": "synthetic", "another image of its class": "control"},
        ),
        height=2.2,
    ),
    caption="Left: what dropping the synthetic images of unrecognised class does to the loss of a classifier "
    "and of the towers. Right: do images show what their caption says apart from the class? The same words are also "
    "held against another synthetic image of the class. 95 % intervals.",
    name="fig-clip-labels",
)  # fmt: skip

# %% [markdown]
# ## Verdict
#
# A gap counts as *small* if real pairs scale at most 1.2 times faster, somewhat more than twice the
# published deficit.

# %%
common, small, large = group_sizes[-1], sizes[0], sizes[-1]
probed = {arm: c.one(params.sizes_of(arm).index(common)) for arm, c in probe.items()}
ledger = claims.judge(
    "clip-scaling",
    {
        "clip-gap-small": ratio_clip,
        "clip-gap-smaller-than-supervised": ratio_of_ratios,
        "clip-mixing-helps": gains[small],
        "clip-mixing-fades": gains[small].over(gains[large]),
        "label-noise-hurts-classifiers-more": filtering["ratio"],
        "multi-positive-better-features": study.features(),
    },
    k_real=k_real, k_synthetic=k_synthetic, k_ratio=k_real / k_synthetic,
    times=[ratio * k_synthetic / k_real for ratio in supervised_range],
    laws=laws, clip=ratio_clip, supervised=ratio_supervised,
    first=gains[small], last=gains[large], smallest=small, largest=large,
    doubled=doubled[small], doubled_fades=doubled[small].over(doubled[large]),
    at_random=study.random_drop(), probed=probed, pixels=1 - study.pixel_probe(),
    dropped=100 * (1 - recognised.value), common=common, per_caption=images_per_caption,
    synclr=published.table(
        paper="SynCLR", metric="linear probe top-1 %, ImageNet", setting="LAION-400M"
    ).y.agg(["max", "min"]),
)  # fmt: skip
ledger

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
claims.write(
    ledger,
    evidence={
        "zero_shot": {arm: c.evidence() for arm, c in zero_shot.items()},
        "k_ratio": {"CLIP": ratio_clip.evidence(), "classifiers": ratio_supervised.evidence()},
        "mixing": {"sizes": sizes}
        | {name: [e.evidence()[name] for e in gains.values()] for name in ("value", "low", "high")},
        "filtering": {name: e.evidence() for name, e in filtering.items()},
        "agreement": agreement.to_dict("index"),
    },
    provenance=study.provenance(),
    cells=study.cell_means(),
)

# %% [markdown]
# ## Why it could be wrong
#
# - **Captions that know the class.** Every caption here holds a class word. Web captions often do not, so
#   real CLIP data is noisier than ours, which makes synthetic pairs look better there.
# - **The class name in the prompt.** A synthetic image was sampled with the class name before its caption.
#   That raises recognizability a little over captions alone.
# - **Leaked captions.** Captions describe real images of the classifier pool, as in the paper. Synthetic
#   pairs are not free of real data.
# - **Different images for the classifiers' curves.** The classifiers' synthetic runs used plain class
#   prompts (`prompt_set`), the towers' runs captions. The measurement on dropped images uses one and
#   the same set for both.
# - **Few pairs for contrastive learning.** With ten classes many of a batch's negatives are of the same class. The loss
#   of small sets is in part that of towers that are too sure of themselves, which makes $k$ steep.
# - **The reference is not an oracle.** What it does not recognise may be an odd image of the right
#   class; dropping it removes variety too.
# - **Features that do not beat pixels.** On small grey images a linear classifier on the pixels is strong. Where the
#   towers stay below it (`raw pixels` in {numref}`fig-clip-probe`), the comparison between arms is one of poor features.
# - **Smaller sets are left out.** With 80 pairs the zero-shot loss is that of guessing (2.3 nats, the chance line) even at
#   its best length of training, 24 steps or fewer; a steep $k$ from there would be recovery from overconfidence.
# - **Few sizes, few seeds.** A ratio of exponents from two sizes rests on a law that they cannot test. Its interval is
#   wide, although real and synthetic pairs are compared within seeds, which start from the same weights.

# %% [markdown]
# ## Discussion
#
# **Which do we care more about: scaling laws for image classifiers or for representation learning
# algorithms?** For a fixed task, the classifier's. But a representation is trained once and used for
# tasks that nobody has listed yet; there the question is whether images from a generator can stand in
# for the web, and the law for contrastive training answers it.
#
# **Why is there a gap between these?** Three differences can be looked at one by one with this chapter's runs.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
from IPython.display import Markdown

odd = agreement.loc["not recognised"]
labels = ("is within chance", "means that even they taught it something: variety that only they held",
          "means that they were wrong labels to it")[filtering["classifier"].side(1)]  # fmt: skip
noise = ("shows no difference that this run can tell from chance",
         "gains less, against the explanation by label noise",
         "gains more, as label noise would have it")[filtering["ratio"].side(1)]  # fmt: skip
gap = ("cannot tell whether the gap is smaller for CLIP", "supports a smaller gap for CLIP",
       "contradicts a smaller gap for CLIP")[ratio_of_ratios.side(1)]  # fmt: skip
Markdown(f"""
1. *Wrong labels.* The reference does not recognise {100 * (1 - recognised.value):.0f} % of the synthetic images. Dropping
   them multiplies the classifier's loss by {filtering["classifier"]}, which {labels}, and that of CLIP by
   {filtering["clip"]}; relative to CLIP, the classifier {noise}.
2. *Targets that stay right.* A caption says more than a class. In the images of unrecognised class ({int(odd.images)} of
   them) {100 * odd.share:.0f} % of the other words of the caption hold (interval {100 * odd.low:.0f} to
   {100 * odd.high:.0f} %), where {100 * odd.chance:.0f} % would hold in another image of the class. What exceeds chance is
   a signal that contrastive training can use and a class label cannot carry.
3. *The measure.* For classifiers the gap in *k* is {ratio_supervised}, for CLIP {ratio_clip}; their ratio is
   {ratio_of_ratios}, so this run {gap}.
""")

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
