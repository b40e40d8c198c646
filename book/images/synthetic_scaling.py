# ---
# jupyter:
#   dataworth:
#     answer: data-equivalence
#     description: How many synthetic images is a real one worth, for image classification?
#     device: cpu or one GPU
#     expected_minutes:
#       full: 60
#       gpu: 125
#       quick: 8
#       smoke: 1
#     main:
#     - real_sizes
#     - synthetic_sizes
#     - seeds
#     params: dataworth.studies.synthetic_scaling:SyntheticScaling
#   jupytext:
#     notebook_metadata_filter: dataworth,kernelspec,jupytext.notebook_metadata_filter,-all
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How many synthetic images is a real one worth?
#
# Real images are expensive; a text-to-image model makes as many as one likes. Fan et al.
# {cite}`fan2024scaling` trained classifiers on up to 64 million images sampled from Stable Diffusion,
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
# carries an interval, each size is trained for as long as serves it best, and the generator never saw
# an image that the classifiers or the evaluation use. Absolute exponents cannot be compared across data
# sets; their order can. And one control: what would the real images have given that the *generator*
# learned from {cite}`geng2024unmet`?

# %% [markdown]
# ## Scale of this run
#
# The parameters of this page; a command at the end changes any of them.

# %% tags=["parameters"]
card = "fashion-mnist"
# 10,240 real images would take half as many steps as all of these together: the profile full has them.
real_sizes = [80, 320, 1280, 2560, 5120]
synthetic_sizes = [80, 320, 640, 1280, 2560]
fitted_from = 320
other_sizes = [320, 1280]
other_generators = ["latent-diffusion"]
other_prompt_sets = []
other_model = "vit-2x32"
retrieved_sizes = [2560]
fixed_steps = 150
epochs = 16
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
curve_steps = [2, 6, 16]
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
# as the web holds drawings. A synthetic image is sampled for its class name in the plainest CLIP
# template (`a photo of a coat`), so nothing of a real classifier image leaks into a prompt.
#
# Generator, prompts and guidance scale come from the sweep in the chapter on
# [prompts and guidance](prompts_and_guidance), which says how far they are from its best case on *validation* images.
#
# Each arm trains the same transformer. With a fixed number of steps a small set is memorised and a large one
# not learned to the end, and the curve is one of the budget. So each size has one training with averaged
# weights, and of four points of it the one with the lowest validation loss counts: `budget` names the longest
# training by size. Beside the loss stands the same after one temperature has been fitted to validation logits
# {cite}`guo2017calibration`, which takes overconfidence out.

# %%
from dataworth import claims, published, tables
from dataworth.studies.synthetic_scaling import PURE, SyntheticScaling, run
from dataworth.verdicts import number

params = SyntheticScaling.from_names(globals())
study = run(params)
tables.show(study.summary(), {"core minutes": ".2f"})

# %% [markdown]
# ### What the generators make
#
# Real images of each class beside synthetic ones of every generator, none of them chosen.

# %%
from dataworth.figures import curves, draw, forest, image_grid, series, show

sources = ["real", generator, *other_generators]
each = 12 // len(sources)
show(
    image_grid(study.gallery(each), columns=[s for name in sources for s in (name, *[""] * (each - 1))]),
    alt=f"{len(params.pool().names)} rows, one for each class ({', '.join(params.pool().names)}); {each} real images on "
    f"the left, then {each} sampled by each of the text-to-image models ({', '.join(sources[1:])}). Fine detail "
    "is cleaner in the real ones.",
    caption=f"Real images of the classifier pool and synthetic images (guidance scale {guidance}, "
    f"{solver_steps} sampling steps, prompt set {prompt_set}).",
    name="fig-gallery", raster=True,
)  # fmt: skip

# %% [markdown]
# ### How many solver steps are enough
#
# Sampling dominates the cost of synthetic data. Two measures say what further solver steps buy:
# {term}`recognizability` (how often a classifier trained on real images agrees with the prompt's class) and
# the Fréchet distance to real images in that classifier's features. More steps need not make images more
# recognizable: in the default run recognizability even falls a little, since an image with less detail is no harder to
# name. Steps are enough where the Fréchet distance stops falling. Each doubling also doubles the time, and the number
# used here (dotted) is a compromise with that of a default build.

# %%
quality, chance = study.quality(), 1 / len(params.pool().names)
common = {"log": "x", "at": {"used here": solver_steps}}
show(
    draw(
        curves(series(quality, "recognizability", "steps"), "solver steps", "recognizability (top-1)",
               limits=(0, 1), chance=chance, **common),
        curves(series(quality, "frechet", "steps"), "solver steps", "Fréchet distance to real", **common),
    ),
    caption=f"Image quality against solver steps ({curve_images} images per point); recognizability with "
    "95 % intervals.",
    name="fig-steps",
)  # fmt: skip

# %% [markdown]
# ## Scaling curves
#
# Each point is the mean of classifiers that differ in their seed. Lines are $E + a D^{-k}$ with $E \ge 0$, fitted on the
# log of the loss from `fitted_from` images on (below, with eight images a class, a curve starts flatter, whatever the
# length of training); bands are 95 % intervals from the noise of seeds and test images ({term}`interval`), the same
# test images in both arms. The loss is cross-entropy on real test images, in nats. The exponents on the right are
# those of pure power laws, which the paper fits.

# %%
import numpy as np

from dataworth.studies.curves import exponent

fan = published.fan_exponents().query("evaluation_set == 'ImageNet val'")
fan = fan.set_index("training_source").k
past = (claims.recorded("synthetic-scaling") or {}).get("evidence", {})
pure = {arm: study.curves[arm] for arm in PURE}
show(
    draw(
        curves(pure, "training images D", "test loss (nats)", laws=study.laws, recorded=past.get("curves"),
               chance=-np.log(chance)),
        forest({arm: {arm: k} for arm, k in study.abilities.items()}, "scaling ability k", published=fan,
               rows={row: row.split(" (")[0] for row in (*PURE, *fan.index)}),
        widths=(3, 2), height=4.6,
    ),
    caption="Left: loss against training-set size, with fitted law and 95 % band. Bold: the recorded larger run. "
    "Right: scaling ability k of a pure power law, ours with 95 % intervals (wider where the law fails), and as "
    "published for ImageNet (no interval is given there).",
    name="fig-scaling",
)  # fmt: skip

# %% [markdown]
# Is a curve one of the data or of the training? Each size is at its own optimum, so a slope that changes from size to
# size is not one of the budget: a power law has the same slope everywhere, a floor makes it fall. Where the steps are
# those of the longest training, more might have helped.

# %%
tables.show(
    study.tuning(), {"steps": ".0f", "loss": ".3f", "calibrated": ".3f", "slope": ".2f"},
    names={"steps": "steps taken", "longest": "of at most", "loss": "test loss",
           "calibrated": "temperature scaled", "slope": "slope to the next size"},
)  # fmt: skip

# %% [markdown]
# Does the law describe the curve? $\chi^2$ of the residuals against the noise of seeds and test images, with its degrees
# of freedom and p-value, and the law's own error beyond that noise. Where a law fails (p below 0.05), intervals of what
# is read off it are wider by the last factor, $\sqrt{\chi^2/\text{df}}$.

# %%
misfits = study.misfits
tables.show(
    misfits, {"chi2": ".1f", "df": ".0f", "p": "p", "off": ".1f", "factor": ".1f"},
    names={"chi2": "χ²", "off": "error of the law, % of the loss", "factor": "widened by"},
)  # fmt: skip

# %% [markdown]
# The same result as accuracy, in percent, by number of training images:

# %%
tables.show(study.accuracy(), ".1f")

# %% [markdown]
# ## Does it depend on the generator, the classifier, the budget rule?
#
# The same curves on fewer sizes, one thing changed at a time. The ratio compares each synthetic arm
# with the real arm of its classifier and budget rule, on sizes that both have. Fixed steps and fixed epochs are
# the controls of the budget: what a reader would see who trains every size alike.

# %%
compared = study.compared()
by_kind = dict(list(compared.groupby("images", sort=False)))
show(
    draw(
        *(
            forest({kind: dict(rows[name]) for kind, rows in by_kind.items()}, label, rows=list(compared.index))
            for name, label in (
                ("k", f"scaling ability k ({other_sizes[0]} to {other_sizes[-1]} images)"),
                ("loss", f"test loss at {other_sizes[-1]} images (nats)"),
            )
        )
    ),
    caption=f"Every arm on the sizes {', '.join(map(str, other_sizes))}: scaling ability of a pure "
    "power law, and loss at the largest of them, with 95 % intervals.",
    name="fig-arms",
)  # fmt: skip

# %%
tables.show(compared[["k", "ratio"]].dropna(), ".2f", names={"ratio": "k real / k synthetic"})

# %% [markdown]
# ### Does a larger classifier go on learning where a smaller one has stopped?
#
# In the paper ViT-B flattens after 4 million synthetic images and ViT-L after 8 million. Three sizes
# do not identify a floor, so the comparison is of the local slope
# $-\mathrm{d} \log L / \mathrm{d} \log D$ between the two largest of them: how much the last
# factor of data still bought each classifier.

# %%
four = [*PURE, *(f"{arm}, {other_model}" for arm in PURE)]
tables.show(compared.loc[four, ["slope"]], ".2f", names={"slope": "local slope"})

# %% [markdown]
# ## How many synthetic images replace one real image
#
# Read horizontally: for a real training set of $n$ images, find the synthetic size with the same loss
# on the fitted curves. Where the synthetic curve's floor lies above the real curve, no number of
# synthetic images is enough, and the {term}`data-equivalence ratio` is infinite. The ratio is a curve, not a
# constant: two straight lines with exponents $k_r$ and $k_s$ make it grow as $n^{k_r/k_s - 1}$. So the claim is about
# the curve, where its synthetic sizes were run.

# %%
worth = study.worth.table
tables.show(
    worth[["ratio", "infinite"]], {"ratio": ".3g", "infinite": ".0%"},
    names={"ratio": "synthetic per real", "infinite": "draws in which no number is enough"},
)  # fmt: skip

# %%
old = past.get("equivalence")
show(
    curves(
        worth.ratio.to_dict(), "real images n", "synthetic images per real image", band=True, reference=1,
        range_=(3, 8, "published: 3 to 8, best case"), recorded=series(old, at="real") if old else None,
        measured=study.worth.measured or (np.inf, -np.inf), limits=(0.3, 100),
    ),
    caption="Data-equivalence ratio with its 95 % interval; arrows at the upper edge: beyond it, up to infinity. Dotted, "
    "with small marks: extrapolated, one of the two sizes lies outside its data. Bold: the recorded larger run.",
    name="fig-equivalence",
)  # fmt: skip

# %% [markdown]
# ### What retrieval would have given
#
# The generator read 30,000 captioned images of these very classes. Its images may be worth many of a poor
# user's own and still less than those that it learned from: the images whose captions match the prompt, simply
# retrieved {cite}`geng2024unmet`. They train the same classifier, as many as there are synthetic ones.

# %%
kinds = [arm for arm in ("real", "retrieved", "synthetic") if arm in study.curves]
tables.show(study.accuracy().loc[kinds], ".1f")

# %% [markdown]
# ## Verdict

# %%
saturation, on_real = study.saturation()
places = worth[worth.measured].ratio.iloc[[0, -1]] if worth.measured.any() else {}
ledger = claims.judge(
    "synthetic-scaling",
    {
        "synthetic-worse-in-domain": study.against("synthetic", "real"),
        "data-equivalence": study.worth.reached(3, 8),
        "equivalence-grows": study.worth.growth(),
        "scaling-ability-ratio": study.ability_ratio(),
        "power-law-real": misfits.off["real, power law"],
        "power-law-synthetic": misfits.off["synthetic, power law"],
        "scarce-real": study.over_retrieval(),
        "saturation-moves": saturation,
        "budget-rule": compared.ratio["synthetic, fixed epochs"],
    },
    most=study.shared[-1], least=study.shared[0], largest=synthetic_sizes[-1],
    retrieved=max(retrieved_sizes, default=0),
    alike=study.over_retrieval(other="real"), crossing=number(study.worth.crossing.value),
    k_paper=[fan.real / k for k in (fan.drop("real").max(), fan.drop("real").min())],
    curve=", ".join(f"{r.value:.2g} at {n:,} real images" for n, r in places.items()) or "no loss in common",
    lines=study.ability_ratio(), k=study.abilities,
    few_k={arm: exponent(law) for arm, law in study.common_powers.items()},
    chi2=dict(misfits.chi2), df=dict(misfits.df), p=dict(misfits.p), off=dict(misfits.off),
    fixed=compared.ratio["synthetic, fixed steps"], tuned=compared.ratio["synthetic"],
    few=other_sizes[0], many=other_sizes[-1], before=other_sizes[-2], on_real=on_real,
    model=model, other_model=other_model, epochs=epochs, steps=fixed_steps,
)  # fmt: skip
ledger

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
claims.write(
    ledger,
    evidence={
        "curves": {arm: c.evidence() for arm, c in pure.items()},
        "equivalence": {"real": list(worth.index)}
        | {end: [getattr(r, end) for r in worth.ratio] for end in ("value", "low", "high")},
    },
    provenance=study.provenance(),
    cells=study.cell_means(),
)

# %% [markdown]
# ## Why it could be wrong
#
# - **Scale.** Two decades of small grey images, a transformer of a hundred thousand parameters. The
#   paper's exponents come from a million times more pixels; only ratios and orders carry over.
# - **A closed domain.** Our generator learned from 30,000 images of the same kind as the test set. Stable
#   Diffusion learned from the web and has to hit ImageNet's classes from a distance. That favours
#   synthetic images here.
# - **The best case of a small sweep.** Generator, prompts and guidance were chosen on validation at a few hundred images;
#   at thousands another scale may be the best one.
# - **Four points of one training.** The optimum lies between them, and a schedule made for the best point would reach a
#   little lower. Both arms pay that alike.
# - **The exponent depends on the range.** A floor $E$ above zero makes a straight line's $k$ shrink as larger sizes are
#   added, and near chance a curve starts flat. The table of lack of fit says how far to trust $k$; both arms are
#   compared on equal ranges.
# - **One generator.** The noise of training it again is in no interval.
# - **Few seeds.** Intervals are made for so many seeds, but a few say little about the spread.

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
# 1,000 times the ratio `study.worth.at(1000)`, with its interval, which is wider where a law fails. Beyond the number
# of real images that the largest synthetic set is worth, it is an extrapolation: {numref}`fig-equivalence` shows how soon
# its upper end is infinite.
# ```
#
# **2.** Does stronger guidance make better training data? Predict first, then run
# `dataworth run synthetic-scaling -p guidance=4`.
#
# ```{admonition} Solution
# :class: dropdown
# Images get cleaner and more alike: recognizability rises, the loss of classifiers trained on them
# rises too. Published: the best scale for training is low (2.0 for Stable Diffusion, where 7.5 is
# usual for pictures). Only the synthetic arms are computed again; the real runs are in the store.
# ```
#
# **3.** In the arms with fixed epochs every image is seen equally often. Predict whether $k$ comes out
# larger or smaller than with tuned training, then change the number of epochs: `-p epochs=60`.
#
# ```{admonition} Solution
# :class: dropdown
# {numref}`fig-arms` has the answer of this run. With fixed epochs a larger set also means longer training, so $k$
# measures both at once, and it depends on how many epochs are fixed: with few, the small sets hardly train
# at all and their loss stays near that of guessing; with many, the large sets cost more than they gain. State the
# budget rule with every exponent.
# ```
