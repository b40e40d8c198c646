# ---
# jupyter:
#   dataworth:
#     answer: synthetic-no-floor
#     description: What do the published numbers say when they are fitted again, with
#       intervals?
#     device: cpu
#     expected_minutes:
#       full: 0.5
#       gpu: 0.5
#       quick: 0.5
#       smoke: 0.3
#     params: dataworth.studies.laws:PublishedCurves
#   jupytext:
#     notebook_metadata_filter: dataworth,kernelspec,jupytext.notebook_metadata_filter,-all
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Do the published curves of synthetic data level off?
#
# Papers on synthetic data report a slope, an optimum or an exchange rate, rarely with an interval. This
# chapter collects their points, each with its source and how it was obtained, and fits them again
# with the tools of this book. No model is trained here.
#
# **What was found.** Fan et al. {cite}`fan2024scaling` describe the loss by $D^{-k}$ over a factor of 32 in $D$.
# Askari-Hemmat et al. {cite}`askarihemmat2025deliberate` give accuracies for up to 13 million
# synthetic images. Azizi et al. {cite}`azizi2023synthetic` add synthetic to real images and find
# that more is not better. Mikami et al. {cite}`mikami2021scaling` pre-train on rendered images and
# fine-tune on real ones. Longpre et al. {cite}`longpre2024pretrainer` remove text by quality and
# toxicity filters.
#
# **What is asked here.** Is a straight line right? Where is the optimum, with an interval? How many
# synthetic images is a real one worth, and where can the points not tell?

# %% tags=["parameters"]
resamples = 4000
level = 0.95
seed = 0

# %% [markdown]
# ## Scaling exponents of Fan et al.
#
# Digitised from their headline figure (±0.002). The last column translates the exponent: by what
# factor must $D$ grow for the loss to halve?

# %%
import numpy as np
import pandas as pd

from dataworth import claims, published, tables
from dataworth.fit import equivalence, fit
from dataworth.studies import laws

laws.PublishedCurves.from_names(globals())
fan = published.fan_exponents()
k = fan.pivot_table(
    index=["model", "training_source"], columns="evaluation_set", values="k", sort=False
)
halving = 2 ** (1 / k["ImageNet val"].fillna(k["ImageNet zero-shot"]))
tables.show(
    k.assign(**{"data factor that halves the in-domain loss": halving}),
    {"data factor that halves the in-domain loss": ".1f"},
    names={"training_source": "trained on"},
)

# %% [markdown]
# In domain, real images scale best; on sketches and renditions the ranking reverses, and the
# templates that are worst in domain are best. A slope is all that was published: no points, no
# intervals, no floor.
#
# ## Deliberate practice: is a straight line enough?
#
# Askari-Hemmat et al. print the points. Static sampling draws all images in advance; deliberate
# practice draws images that the current classifier finds hard.

# %%
points = published.practice_curves()
fits = {
    (data_set, sampling, law): fit(part, law=law, x="images", y="error", residual="identity")
    for (data_set, sampling), part in points.groupby(["data_set", "sampling"], sort=False)
    for law in ("power", "shifted")
}
practice = pd.DataFrame(
    {
        "data set": data_set, "sampling": sampling, "points": bent.n,
        "k of a power law": fits[data_set, sampling, "power"].params["k"],
        "k with a floor": bent.interval("k", level),
        "floor E of the error": bent.interval("E", level),
        "squared error, power law over law with a floor": fits[data_set, sampling, "power"].objective
        / bent.objective,
    }
    for (data_set, sampling, law), bent in fits.items() if law == "shifted"
)  # fmt: skip
ratio = practice.columns[-1]
tables.show(practice, {"k with a floor": ".2f", "floor E of the error": ".3f", ratio: ",.0f"})

# %%
from dataworth.figures import curves, draw, show, split

panels = [
    curves(
        split(part, "sampling", at="images", column="error"),
        "synthetic images D",
        "top-1 error",
        title=data_set,
        ticks=(1e5, 1e6, 1e7),
        roles={"static": "synthetic"},
        laws={kind: fits[data_set, kind, "shifted"] for kind in part.sampling.unique()},
        rivals={kind: fits[data_set, kind, "power"] for kind in part.sampling.unique()},
    )
    for data_set, part in points.groupby("data_set", sort=False)
]
show(
    draw(*panels, height=4),
    caption="Points of Askari-Hemmat et al., Tables 4 and 5; solid: error = E + a D^-k with its 95 % band; "
    f"dotted: power law. Squared errors differ by a factor of {practice[ratio].iloc[0]:,.0f} on ImageNet-1k, static.",
    name="fig-practice",
)  # fmt: skip

# %% [markdown]
# The exponent of the straight line describes the range, not the method: between neighbouring points of
# the static curve the local slope falls steadily.

# %%
static = points[(points.data_set == "ImageNet-1k") & (points.sampling == "static")]
steps = np.log(static[["images", "error"]]).diff()[1:]
local = -steps.error / steps.images
tables.show(
    pd.DataFrame({"from D": static.images[:-1].array, "to D": static.images[1:].array, "slope k": local.array}),
    {"slope k": ".3f"}, names={"slope k": "local slope k"},
)  # fmt: skip

# %% [markdown]
# **How many static images is one of deliberate practice worth?** Read horizontally, at equal
# error. Where the static curve's floor lies above that error, no number is enough.

# %%
sizes = {"ImageNet-1k": (320e3, 480e3, 640e3, 1.3e6), "ImageNet-100": (80e3, 112e3, 160e3, 416e3)}
answers = {
    (data_set, size): equivalence(
        fits[data_set, "static", "shifted"], fits[data_set, "deliberate practice", "shifted"],
        at_real=size, level=level,
    )
    for data_set, of_set in sizes.items()
    for size in of_set
}  # fmt: skip
heads = ["data set", "images of deliberate practice", "error", "static images per image", "case"]
rows = [(*key, a.loss, a.ratio, a.case) for key, a in answers.items()]
tables.show(
    pd.DataFrame(rows, columns=heads), {"images of deliberate practice": ",.0f", "error": ".3f"},
    names={"static images per image": f"static images per image [{100 * level:g} % interval]"},
)  # fmt: skip

# %% [markdown]
# ## Azizi: an optimum, or a law?
#
# Synthetic images added to 1.2 million real ones, ResNet-50. Their standard deviations over
# runs are published, so the position of the best total and the total at which the gain is gone get
# intervals by drawing from them (between the printed totals, accuracy is interpolated in log total).

# %%
azizi = dict(list(published.azizi_totals().groupby("pixels")))
rng = np.random.default_rng(seed)
(real,) = azizi[0].itertuples()
base = real.top1 + real.sd * rng.normal(size=resamples)
draws = {
    pixels: azizi[pixels].top1.to_numpy()
    + azizi[pixels].sd.to_numpy() * rng.normal(size=(resamples, len(azizi[pixels])))
    for pixels in (1024, 256)
}

# %%
from dataworth.stats import estimate

ends = {n: laws.break_even(azizi[n].total.to_numpy(), found, base) for n, found in draws.items()}
gone = {n: estimate(np.median(found), found, level) for n, found in ends.items()}
best = {n: azizi[n].total.to_numpy()[found.argmax(1)] for n, found in draws.items()}
azizi_rows = pd.DataFrame(
    {
        "pixels": n,
        "best total": np.median(best[n]),
        "draws with that best": (best[n] == np.median(best[n])).mean(),
        "gain at best": azizi[n].top1.max() - real.top1,
        f"gain gone at [{100 * level:g} % interval]": gone[n],
        "gain at 12 million": azizi[n].top1.iloc[-1] - real.top1,
    }
    for n in draws
)
formats = ["d", ",.0f", ".1%", "+.2f", ",.0f", "+.2f"]
tables.show(azizi_rows, dict(zip(azizi_rows, formats, strict=True)))

# %%
bars = {f"real + synthetic at {n} px": (azizi[n].total / 1e6, azizi[n].top1, azizi[n].top1 - 1.96 * azizi[n].sd,
                                        azizi[n].top1 + 1.96 * azizi[n].sd) for n in draws}  # fmt: skip
show(
    curves(
        bars, "total training images (million)", "top-1 accuracy (%)", log="", reference=real.top1,
        form=".4g", roles="mixed",
    ),
    caption="Azizi et al., Table 4 (bars: 1.96 published standard deviations); dotted: 1.2 million real images alone. "
    "The best mixture is the smallest one that was tried; at 64 pixels, by contrast, the gain still grows at 10.8 "
    "million (+4.35).",
    name="fig-azizi",
)  # fmt: skip

# %% [markdown]
# ## Mikami: does the exchange rate depend on how much real data there is?
#
# ResNet-50, pre-trained on $s$ rendered images, fine-tuned on $n$ real ImageNet images. The error is mapped
# back through the real-only curve: so many real images would have done the same. The interval comes
# from the scatter of the real-only runs around a fitted sigmoidal law (one run per setting, so this is all
# the noise one can see).

# %%
exchange = published.measured("exchange")
exchange["interval"] = list(zip(exchange.low, exchange.high, strict=True))
tables.show(
    exchange[["synthetic", "real", "interpolated", "fitted", "interval", "case"]],
    names={"synthetic": "synthetic images s", "real": "real images n", "interpolated": "by interpolation"},
)  # fmt: skip

# %%
known = exchange.case == "identified"
drawn = exchange.assign(fitted=exchange.fitted.where(known))
show(
    curves(
        split(drawn, "synthetic", at="real", column="fitted", name="{:,} synthetic images"),
        "real images n", "synthetic per extra real image", limits=(0.5, 50), roles="synthetic",
        reference=1, join=False, ticks=(13e3, 50e3, 200e3, 1.3e6),
    ),
    caption="Exchange rates from the error grid of Mikami et al. (derived; interval from the scatter of the "
    "real-only runs). Bars without a mark: not identified; an arrow: beyond the edge. Four times as many synthetic "
    "images are worth far less than four times as much.",
    name="fig-mikami",
)  # fmt: skip

# %% [markdown]
# ## Longpre: what filtering text does
#
# Change of question answering score against training on unfiltered text, by how much the filter keeps (third-party
# transcriptions of Figures 6 and 7). A straight line through the points has a slope; its interval
# comes from their scatter.

# %%
longpre = {name: published.longpre_filters(name) for name in ("quality", "toxicity")}
cut = {  # the unfiltered row is the reference itself
    name: rows[(rows.category == "average") & ~rows.inverse & (rows.kept < 100)]
    for name, rows in longpre.items()
}
slopes = {
    name: laws.slope(100 - rows.kept, rows.change, level).times(10) for name, rows in cut.items()
}
filter_rows = [(name, len(cut[name]), cut[name].change.mean(), slopes[name]) for name in cut]
heads = ["filter", "points", "mean change", "change per further 10 % removed"]
tables.show(
    pd.DataFrame(filter_rows, columns=heads), {"mean change": ".2f", heads[-1]: ".2f"},
    names={heads[-1]: f"{heads[-1]} [{100 * level:g} % interval]"},
)  # fmt: skip

# %% [markdown]
# ## How far do published curves carry?
#
# Alabdulmohsin et al. {cite}`alabdulmohsin2022revisiting` split 92 learning curves of vision and language models into rows to fit and
# rows to predict, up to about twice as far out. We fit their law M4 to the first and count how many of the others lie in
# its 95 % interval of a new run, and in the one that allows for a wrong law. The factor of the latter was learned from
# other curves, those of small classifiers ([](fitting)), so this says how far it carries over: where the first count is far
# below 95 %, the second may be below it too.

# %%
carried = published.measured("extrapolation").replace(
    {"domain": {"IC": "image classification", "NMT": "translation", "LM": "language models", "BB": "BIG-Bench"}}
)  # fmt: skip
tables.show(
    carried[["domain", "curves", "ours", "covered_fit", "covered", "half_width"]],
    {"ours": ".1%", "covered_fit": ".0%", "covered": ".0%", "half_width": ".1%"},
    names={"ours": "error of the prediction", "covered_fit": "inside, as fitted",
           "covered": "inside, allowing for a wrong law", "half_width": "half width of the latter"},
    caption="Losses held back, about twice as far out as those fitted, in 95 % intervals. "
    + "".join(f"In {row.domain} an interval that allows for a wrong law holds {100 * row.covered:.0f} % of them, not 95 %: its "
              "factor was learned from other curves. " for row in carried.itertuples() if row.covered < 0.92)
    + "Where curves like yours are at hand, count how often their last sizes are missed.",
)  # fmt: skip

# %% [markdown]
# ## Verdict

# %%
from scipy.stats import norm

from dataworth.stats import Estimate

none = np.empty(0)  # no draws: closed forms
first = answers["ImageNet-1k", 640e3]
last = azizi[1024].iloc[-1]
much, half = last.top1 - real.top1, norm.ppf((1 + level) / 2) * np.hypot(last.sd, real.sd)
rate = exchange[(exchange.synthetic == 64000) & (exchange.real == 128117)].iloc[0]
ledger = claims.judge(
    "published-curves",
    {
        "synthetic-no-floor": fits["ImageNet-1k", "static", "shifted"].interval("E", level),
        "practice-20x": first.ratio,
        "azizi-too-much": Estimate(much, much - half, much + half, none),
        "exchange-rate": Estimate(*rate[["fitted", "low", "high"]], none),
        "toxicity-filter-costs": slopes["toxicity"],
    },
    times=practice[ratio].iloc[0],
    effect="infinite: the floor of the static curve lies above that error"
    if first.case == "infinite"
    else f"{first.case}: at an error of {first.loss:.3f}",
    gone=gone[1024].times(1 / 1.2e6), quality=slopes["quality"].value,
)  # fmt: skip
ledger

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
k_fan = fan.query("evaluation_set == 'ImageNet val'").set_index("training_source")["k"]
claims.write(
    ledger,
    evidence={
        "fan": {"real": k_fan["real"], "synthetic": k_fan.drop("real").tolist()},
        "practice": {
            ", ".join(key): {**found.params, "squared error": 2 * found.objective}
            for key, found in fits.items()
        },
        "azizi": {
            str(n): {"best": float(np.median(best[n])), "gone": [e.value, *e.interval]}
            for n, e in gone.items()
        },
        "filters": {name: [e.value, *e.interval] for name, e in slopes.items()},
    },
    provenance={"data": "published numbers; sources in dataworth.published.table()"},
)

# %% [markdown]
# ## Where the numbers come from
#
# Every row of `dataworth.published.table()` names paper, table or figure, source and one of three confidences:
# primary (printed by the authors), digitised (read off a figure) or third-party (quoted by someone
# else). What is only remembered is left out.

# %%
counted = published.table().groupby(["paper", "confidence"]).size().rename("rows")
tables.show(counted.reset_index())

# %% [markdown]
# ## Why it could be wrong
#
# - **Few points, single runs.** Six points carry three parameters on the static curves; intervals use Student's
#   quantile with three degrees of freedom and assume independent errors around the law.
# - **Accuracy is not loss.** Fan et al. fit cross-entropy; Askari-Hemmat et al. print accuracy. A floor of
#   one need not be a floor of the other.
# - **Validation was watched.** Deliberate practice decides by ImageNet validation accuracy when to add data, so
#   its points are not fully held out.
# - **Third-party rows.** The filter numbers of Longpre et al. are transcriptions; a slope from five points is
#   a summary, not a law.
#
# ## Exercises
#
# **1.** Drop the smallest size of the static ImageNet-1k curve and fit the power law again. What happens to $k$?
#
# ```{admonition} Solution
# :class: dropdown
# It falls: the remaining points are the flatter ones. With the first two points alone $k$ is 0.075, with the last
# two 0.001. State the range with every exponent.
# ```
#
# **2.** At which loss do 16,000 rendered images replace as many real ones?
#
# ```{admonition} Solution
# :class: dropdown
# Read the table of exchange rates for 16,000 synthetic images: about one at 50,000 to 130,000 real images. Below,
# more than one is needed; above, the runs cannot tell.
# ```
