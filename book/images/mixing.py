# ---
# jupyter:
#   dataworth:
#     answer: adding-helps
#     description: What do synthetic images add to the real images one already has?
#     device: cpu or one GPU
#     expected_minutes:
#       full: 30
#       gpu: 90
#       quick: 3
#       smoke: 1
#     main:
#     - mixed_sizes
#     - ratios
#     - seeds
#     params: dataworth.studies.mixing:Mixing
#   jupytext:
#     notebook_metadata_filter: dataworth,kernelspec,jupytext.notebook_metadata_filter,-all
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Do synthetic images help beside real ones, and when?
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
# **What is tested here.** Real sets of several sizes with growing synthetic sets beside them: optimum or steady
# gain, and at which real size; whether the mixed losses can be *predicted* from the two pure curves; what one
# synthetic image is worth as an addition and as a replacement; and whether another weight than the natural one does
# better. The regime is this book's own: a generator that has learned from 30,000 *other* images of the kind, beside
# real sets that are smaller than that. Azizi's generator was fitted to the very images that it was added to, 1.2
# million of them. So the claims on adding are about our regime, and the published numbers stand beside them for
# comparison. The control of each is what as many further *real* images would have brought; the generator's own pool is drawn
# as theirs is, so that this is also what retrieval from it would have brought {cite}`geng2024unmet`.

# %% [markdown]
# ## Scale of this run

# %% tags=["parameters"]
card = "fashion-mnist"
real_sizes = [80, 320, 1280, 2560, 5120]
synthetic_sizes = [80, 320, 640, 1280, 2560]
mixed_sizes = [80, 1280]
ratios = [1, 2, 16]
weighted_size = 80
weighted_ratio = 16
shares = [0.5, 0.8, 0.99]
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
# The pure arms, real and synthetic, are those of the chapter on synthetic scaling; nothing is trained twice. A
# mixed set is the union of one of those real sets and one of those synthetic sets, so that along each line below
# the real images are the same and the smaller synthetic sets are part of the larger. Model and recipe are the same
# for all; how long each set is trained is chosen on validation data, as for the pure arms ({term}`budget rule`
# *tuned*), so that no set is compared at another's best length. Without a weight every image is seen equally often:
# with sixteen synthetic images beside each real one, a real image is one sample in seventeen.

# %%
from dataworth import claims, published, tables
from dataworth.studies.mixing import Mixing, run

params = Mixing.from_names(globals())
study = run(params)
tables.show(study.summary(), {"core minutes": ".2f"})

# %% [markdown]
# ## More synthetic images beside the same real ones
#
# Each point is divided by the value for its real images alone, so 1 means that the synthetic images
# changed nothing. The right panel repeats the left for the top-1 error, in which the published numbers
# stand.

# %%
loss, error = study.relative("loss"), study.relative("error")
sets = ["real", "synthetic"]
tables.show(
    loss.set_index(sets), {"ratio": ".3g", "value": ".3f", "low": ".3f", "high": ".3f"},
    names={"ratio": "synthetic per real", "value": "loss over that of the real alone",
           "low": "95 % low", "high": "95 % high"},
)  # fmt: skip

# %%
from dataworth.figures import curves, draw, heatmap, scatter, series, show, split

azizi = published.azizi_mixing()
past = (claims.recorded("mixing") or {}).get("evidence", {})
lines = {"at": "ratio", "name": "{:,} real"}
panels = [
    curves(
        split(table, "real", **lines),
        "synthetic images per real image", "relative to real images alone",
        title=title, recorded=split(past.get(f"relative_{metric}"), **lines),
        published=points, reference=1, log="x", roles="mixed",
    )
    for title, metric, table, points in (
        ("loss", "loss", loss, None),
        ("top-1 error", "error", error,
         split(azizi, "pixels", at="ratio", column="relative_error", name="Azizi et al., 1.2M real, {} px")),
    )
]  # fmt: skip
show(
    draw(*panels, height=4.4),
    caption="Loss (left) and top-1 error (right) of classifiers trained on the same real images with "
    "more and more synthetic ones, relative to the real ones alone; 95 % intervals. Bold: the recorded "
    "larger run. Grey: published, ResNet-50 on ImageNet.",
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
import numpy as np

predictions, errors = study.predictions(), study.errors()
own = predictions[predictions.rule == "n + m/ρ"].drop(columns="rule").set_index(sets)
tables.show(
    own.assign(covered=np.where(own.covered, "yes", "no")),
    dict.fromkeys(("measured", "predicted", "low", "high"), ".3f"),
    names={"low": "measured / predicted, low", "high": "high", "covered": "holds 1"},
)  # fmt: skip

# %% [markdown]
# Do the two laws describe their curves? $\chi^2$ of the residuals against the noise of seeds and test images; where a law
# fails (p below 0.05), the verdict's interval is wider by the last factor.

# %%
tables.show(
    study.misfits, {"chi2": ".1f", "df": ".0f", "p": "p", "off": ".1f", "factor": ".1f"},
    names={"chi2": "χ²", "off": "error of the law, % of the loss", "factor": "widened by"},
)  # fmt: skip

# %%
rules = predictions.groupby("rule", sort=False)
names = {
    rule: f"{rule}: RMSLE {errors[rule]}, {t.covered.sum()} of {len(t)} covered"
    for rule, t in rules
}
show(
    scatter(
        {names[rule]: (t.predicted, t.measured) for rule, t in rules},
        "predicted loss (nats), pure curves only", "measured loss of the mixed set (nats)",
        equal=True, log="xy", hollow=list(names.values())[1:],
        roles=dict(zip(names.values(), ("mixed", "real", "synthetic"), strict=True)),
    ),
    caption="Measured loss of every mixed set against its prediction from the pure curves, by three "
    "rules. RMSLE: root mean squared error of the log loss, with 95 % interval; covered: the interval of "
    "measured over predicted holds 1.",
    name="fig-mixing-predicted",
)  # fmt: skip

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
tables.show(
    worth.set_index(sets), ".2f",
    names={f"{q}_{end}": f"{q}, {end}" for q in ("added", "replaced") for end in ("low", "high")},
)  # fmt: skip

# %%
per = worth.assign(ratio=worth.synthetic / worth.real)
grid = np.array([[(n, m) for m in synthetic_sizes] for n in mixed_sizes], dtype=float)
show(
    draw(
        curves(
            {question: series(per, question, "ratio") for question in ("replaced", "added")},
            "synthetic images per real image in the set", "synthetic images that equal one real",
            reference=1, join=False, limits=(0.3, 30),
            roles={"replaced": "synthetic", "added": "mixed"},
        ),
        heatmap(
            surface.mean(grid.reshape(-1, 2)).reshape(grid.shape[:2]), "loss of the joint law (nats)",
            rows=mixed_sizes, columns=synthetic_sizes, x="synthetic images", y="real images", better="",
        ),
    ),
    alt=f"{np.isinf(worth.added).sum()} of {len(worth)} mixed sets did not gain at all.",
    caption="Left: exchange rates by two questions, 95 % intervals; an arrow at the edge: beyond it, up "
    "to infinity. Right: the joint law of real and synthetic images.",
    name="fig-mixing-exchange",
)  # fmt: skip

# %% [markdown]
# ## How much should a synthetic image weigh?
#
# In the sets above every image is seen equally often, so with many synthetic images the real ones fade.
# Here the two sets stay the same and only their *share among the training samples* changes: 0 is the real
# set alone, 1 the synthetic set alone, and the dotted line is the natural share. That *some* other share does better is
# refuted only by many, so several are tried on both sides; the interval of the best of them allows for the choice.

# %%
tried, weighted = study.weighted
best, gain = study.other_weights()

# %%
show(
    curves(
        (tried, weighted.means, *weighted.interval()),
        "share of synthetic images among the training samples", "test loss (nats)",
        log="", at={"every image counts the same": study.natural}, recorded=past.get("weights"),
        roles={"this run": "mixed"},
    ),
    caption=f"The same {weighted_size:,} real and {params.weighted_added:,} synthetic images, weighted "
    "differently; 95 % intervals. Bold: the recorded larger run, with other numbers of images.",
    name="fig-mixing-weights",
)  # fmt: skip

# %% [markdown]
# ## Verdict

# %%
scarce, ample = min(mixed_sizes), max(mixed_sizes)
places = {
    "once": (scarce, 1, 0), "ample": (ample, 1, 0), "many": (ample, -1, 0), "more": (ample, -1, 1)
}  # fmt: skip
change = {name: study.change(*at) for name, at in places.items()}
instead = {name: study.instead(*at) for name, at in places.items()}
instead["scarce"] = instead["once"].over(instead["ample"])
natural = weighted.one(int(np.abs(tried - study.natural).argmin()))
ledger = claims.judge(
    "mixing",
    {
        "adding-helps": change["once"],
        "helps-when-scarce": change["once"].over(change["ample"]),
        "too-many-hurt": change["many"],
        "optimum": change["more"],
        "predicted-from-pure": study.beyond_simpler(),
        "natural-weight": gain,
    },
    azizi=azizi[azizi.pixels == 1024].set_index("ratio").relative_error, instead=instead,
    scarce=scarce, added=params.added(scarce)[0], ample=ample, fewest=ratios[0],
    most=params.added(ample)[-1] / ample, errors=errors, sets=len(predictions) // 3,
    off=(~predictions.covered[predictions.rule == "n + m/ρ"]).sum(), best=best, natural=study.natural,
    shares=", ".join(f"{share:g}" for share in shares), alone=weighted.one(0).over(natural),
)  # fmt: skip
ledger

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
claims.write(
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
        "decision": study.decision(),
    },
    provenance=study.provenance(),
    cells=study.cell_means(),
)

# %% [markdown]
# ## Why it could be wrong
#
# - **A closed domain.** The generator learned from images of the same kind as the test set, and its
#   30,000 images are in a way behind every synthetic one. Where real images are fewer than that, synthetic images carry
#   information that the real set lacks. Azizi's generator was fine-tuned on the very images that it
#   was added to: there it could add variety only. That alone may turn the sign.
# - **Fewer looks.** More synthetic images mean a smaller proportion of looks at each real one. The tuned budget lets
#   larger sets train longer, which gives a part of the looks back; the weighted mixture takes the rest apart.
# - **Small pictures.** The published decline is at 256 and 1024 pixels; at 64 it is absent. Ours have
#   28 pixels a side.
# - **One pool.** A single generator, prompt set and guidance scale: a more diverse pool may postpone the
#   optimum (Yu et al. {cite}`yu2023diversify` report gains up to six times ImageNet's size with diversified
#   prompts).
# - **Loss and error disagree.** The loss of a small real set counts overconfidence even at its best length of
#   training, and synthetic images cure that where they change few answers. The verdicts on adding are therefore
#   about the top-1 error, as the published numbers are; the left panel of {numref}`fig-mixing-ratio` shows the
#   loss.
# - **The control is interpolated.** What as many further real images bring is read off straight lines in logs between the
#   sizes of the real arm, and ends at its largest.
# - **Few seeds.** Mixed sets and real ones of one seed share their real images; ratios between them have the noise of
#   differences within a seed ({term}`interval`). It is known from a handful of seeds, and of one classifier.

# %% [markdown]
# ## Discussion
#
# **How can we use the real against synthetic set-up to learn about synthetic + real?** By the rule $n + m/\rho$, as
# far as {numref}`fig-mixing-predicted` bears it out. The rule errs in a telling way. Where the measured loss is
# *below* the prediction, synthetic images add something that no real image of the set has; where it is *above*,
# they take something away (looks at real images, or right labels). It cannot hold where $\rho$ is infinite:
# synthetic images alone end on a floor made of wrong labels and missing details, and a few real images lower that
# floor. Two pure curves do not know that; one mixed run does, which is why the joint law is fitted on all of them.
#
# **Is there an optimum or a law?** The answer may hang on the number of real images: synthetic ones replace what a
# small set lacks, and crowd out what a large one has. A line on the right of {numref}`fig-mixing-ratio` that goes on
# falling speaks for a law, one that turns up for an optimum. The joint law has no optimum, since its synthetic images
# never have a negative worth. A decline that is significant in the ledger contradicts it, and then the natural weight
# is the first suspect. With the best weight more data cannot hurt in expectation: the weight 0 is always allowed.
#
# ## Exercises
#
# **1.** You have the smallest real set of this run and pay for as many synthetic images as were tried beside it. How
# many more real images would have done the same, by the pure curves and by the mixed runs?
#
# ```{admonition} Solution
# :class: dropdown
# `worth[worth.real == min(mixed_sizes)].iloc[-1]`; divide its number of synthetic images by `replaced`, then by
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
# **3.** Repeat with twice the training of the default,
# `-p 'budget=[[80, 200], [320, 260], [1280, 340], [10240, 1020]]'`. Does the verdict on the optimum change?
#
# ```{admonition} Solution
# :class: dropdown
# The best of four points of each training counts, so a longer one changes a loss much only where the
# shorter one had not reached its optimum. What remains of a decline is due to what the images show.
# ```
