# ---
# jupyter:
#   kernelspec: {name: python3, display_name: Python 3, language: python}
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   dataworth:
#     params: "dataworth.studies.laws:PublishedCurves"
#     description: What do the published numbers say when they are fitted again, with intervals?
#     device: cpu
#     expected_minutes: {smoke: 0.3, quick: 0.5, full: 0.5, gpu: 0.5}
# ---

# %% [markdown]
# # Published curves bend, and most of them saturate
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

from dataworth import claims, published
from dataworth.fit import equivalence, fit

fan = published.fan_exponents()
wide = fan.pivot_table(
    index=["model", "training_source"], columns="evaluation_set", values="k", sort=False
)
halving = 2 ** (1 / fan.set_index(["model", "training_source", "evaluation_set"])["k"])
in_domain = [
    halving.get((m, s, "ImageNet val"), halving.get((m, s, "ImageNet zero-shot")))
    for m, s in wide.index
]
wide = wide.rename_axis(index={"training_source": "trained on"}, columns=None)
wide = wide.assign(**{"data factor that halves the in-domain loss": np.round(in_domain, 1)})
wide.astype(object).fillna("")

# %% [markdown]
# In domain, real images scale best; on sketches and renditions the ranking turns round, and the
# templates that are worst in domain are best. A slope is all that was published: no points, no
# intervals, no floor.
#
# ## Deliberate practice: a straight line fails
#
# Askari-Hemmat et al. print the points. Static sampling draws all images in advance; deliberate
# practice draws images that the current classifier finds hard.

# %%
points = published.table(paper="2502.15588", metric="ImageNet")
series = {
    "ImageNet-1k, static": ("Table 5", "static", "ImageNet val"),
    "ImageNet-1k, deliberate practice": ("Table 5", "deliberate", "ImageNet val"),
    "ImageNet-100, static": ("Table 4", "static", "ImageNet-100 val"),
    "ImageNet-100, deliberate practice": ("Table 4", "deliberate", "ImageNet-100 val"),
}
data, fits, rows = {}, {}, []
for name, (where, kind, metric) in series.items():
    chosen = points[
        (points["table_or_figure"] == where)
        & points["setting"].str.startswith(kind)
        & points["metric"].str.endswith(metric)
    ].sort_values("x")
    data[name] = {"D": chosen["x"].to_numpy(), "error": 1 - chosen["y"].to_numpy() / 100}
    fits[name] = {
        law: fit(data[name], law=law, x="D", y="error", residual="identity")
        for law in ("power", "shifted")
    }
    line, bent = fits[name]["power"], fits[name]["shifted"]
    k, floor = bent.interval("k", level), bent.interval("E", level)
    rows.append(
        {
            "curve": name,
            "points": bent.n,
            "k of a power law": round(line.params["k"], 3),
            "squared error": f"{2 * line.objective:.1e}",
            "k with a floor": f"{k.value:.2f} [{k.low:.2f}, {k.high:.2f}]",
            "floor E of the error": f"{floor.value:.3f} [{floor.low:.3f}, {floor.high:.3f}]",
            "squared error with a floor": f"{2 * bent.objective:.1e}",
            "ratio": f"{line.objective / bent.objective:,.0f}",
        }
    )
pd.DataFrame(rows)

# %% tags=["hide-input"]
from dataworth.figures import COLOURS, plain_ticks, show, subplots

fig, axes = subplots(1, 2, figsize=(9.6, 4))
for ax, task in zip(axes, ("ImageNet-1k", "ImageNet-100"), strict=True):
    for kind, colour in (("static", "synthetic"), ("deliberate practice", "accent")):
        name = f"{task}, {kind}"
        x = data[name]["D"]
        grid = np.geomspace(x.min(), x.max(), 30)
        band = fits[name]["shifted"].predict(grid, level)
        ax.loglog(x / 1e6, data[name]["error"], "o", color=COLOURS[colour], ms=5, label=kind)
        ax.plot(grid / 1e6, band.mean, color=COLOURS[colour])
        ax.fill_between(grid / 1e6, band.low, band.high, color=COLOURS[colour], alpha=0.2, lw=0)
        ax.plot(grid / 1e6, fits[name]["power"].mean(grid), ":", color=COLOURS[colour], lw=1.2)
    ax.set(title=task, xlabel="synthetic images D (million)", ylabel="top-1 error")
    plain_ticks(ax.xaxis, [0.3, 1, 3, 10] if task == "ImageNet-1k" else [0.1, 0.3, 1, 3])
    plain_ticks(ax.yaxis, [0.3, 0.34, 0.38, 0.42, 0.46, 0.5, 0.54, 0.58])
    ax.legend(fontsize=8)
one_static = fits["ImageNet-1k, static"]
show(
    fig,
    alt="Top-1 error against the number of synthetic images for ImageNet-1k and ImageNet-100, static "
    "sampling and deliberate practice. All four curves flatten; dotted straight lines (power laws) cross "
    "them, solid lines with a floor follow them.",
    caption="Points of Askari-Hemmat et al., Tables 4 and 5; solid: error = E + a D^-k with its band; "
    "dotted: power law. Squared errors differ by a factor of "
    f"{one_static['power'].objective / one_static['shifted'].objective:,.0f} on ImageNet-1k, static.",
    name="fig-practice",
)

# %% [markdown]
# The exponent of the straight line describes the range, not the method: between neighbouring points of
# the static curve the local slope falls steadily.

# %% tags=["hide-input"]
log_d, log_e = (np.log(data["ImageNet-1k, static"][c]) for c in ("D", "error"))
slopes = -np.diff(log_e) / np.diff(log_d)
pd.DataFrame(
    {
        "from D": [f"{v:,.0f}" for v in data["ImageNet-1k, static"]["D"][:-1]],
        "to D": [f"{v:,.0f}" for v in data["ImageNet-1k, static"]["D"][1:]],
        "local slope k": slopes.round(3),
    }
)

# %% [markdown]
# **How many static images is one of deliberate practice worth?** Read horizontally, at equal
# error. Where the static curve's floor lies above that error, no number is enough.

# %% tags=["hide-input"]
answers = {}
for task, sizes in (
    ("ImageNet-1k", (320e3, 480e3, 640e3, 1.3e6)),
    ("ImageNet-100", (80e3, 112e3, 160e3, 416e3)),
):
    static, practice = (
        fits[f"{task}, {kind}"]["shifted"] for kind in ("static", "deliberate practice")
    )
    for size in sizes:
        answers[task, size] = equivalence(static, practice, at_real=size, level=level)


pd.DataFrame(
    [
        {
            "data set": task,
            "images of deliberate practice": f"{size:,.0f}",
            "error": round(a.loss, 3),
            "static images per image": claims.number(a.ratio.value),
            "interval": claims.span(list(a.ratio)),
            "case": a.case,
        }
        for (task, size), a in answers.items()
    ]
)

# %% [markdown]
# ## Azizi: an optimum, not a law
#
# Synthetic images added to 1.2 million real ones, ResNet-50. Their standard deviations over
# runs are published, so the position of the best total and the total at which the gain is gone get
# intervals by drawing from them (between the printed totals, accuracy is interpolated in log total).

# %%
azizi = published.table(paper="Azizi", metric="top-1 %, ImageNet val")
azizi = azizi[azizi["table_or_figure"] == "Table 4"]
rng = np.random.default_rng(seed)


def spread(settings):
    return settings.str.extract(r"\(\+-([\d.]+)\)")[0].astype(float).to_numpy()


real_only = azizi[azizi["setting"].str.contains("real only")]
base = real_only["y"].iloc[0] + spread(real_only["setting"])[0] * rng.normal(size=resamples)
azizi_rows, gone = [], {}
for resolution in ("1024px", "256px"):
    part = azizi[azizi["setting"].str.contains(resolution)].sort_values("x")
    totals = part["x"].to_numpy()
    drawn = part["y"].to_numpy() + spread(part["setting"]) * rng.normal(size=(resamples, len(part)))
    best = totals[drawn.argmax(1)]
    # first total at which the drawn accuracy falls below the drawn real-only accuracy
    below = drawn < base[:, None]
    at = np.where(below.any(1), below.argmax(1), len(totals) - 1)
    before = np.maximum(at - 1, 0)
    row = np.arange(resamples)
    y0, y1 = drawn[row, before] - base, drawn[row, at] - base
    share = np.clip(y0 / np.where(y0 == y1, 1, y0 - y1), 0, 1)
    end = np.exp(np.log(totals[before]) + share * (np.log(totals[at]) - np.log(totals[before])))
    gone[resolution] = np.where(below.any(1), end, np.inf)
    low, high = np.quantile(gone[resolution], [(1 - level) / 2, (1 + level) / 2])
    azizi_rows.append(
        {
            "resolution": resolution,
            "best total": f"{np.median(best):,.0f}",
            "share of draws with that best": f"{(best == np.median(best)).mean():.1%}",
            "gain at best": f"{part['y'].max() - real_only['y'].iloc[0]:+.2f} points",
            "gain gone at": f"{np.median(gone[resolution]):,.0f} [{low:,.0f}, {high:,.0f}]",
            "at 12 million": f"{part['y'].iloc[-1] - real_only['y'].iloc[0]:+.2f} points",
        }
    )
pd.DataFrame(azizi_rows)

# %% tags=["hide-input"]
fig, ax = subplots(figsize=(7, 3.8))
for resolution, colour, marker in (("1024px", "mixed", "D"), ("256px", "accent", "^")):
    part = azizi[azizi["setting"].str.contains(resolution)].sort_values("x")
    ax.errorbar(part["x"] / 1e6, part["y"], yerr=1.96 * spread(part["setting"]), fmt=f"{marker}-",
                color=COLOURS[colour], ms=4, capsize=2, label=f"real + synthetic at {resolution}")  # fmt: skip
ax.axhline(real_only["y"].iloc[0], color=COLOURS["real"], lw=1.4, label="1.2 million real only")
ax.set(xlabel="total training images (million)", ylabel="top-1 accuracy (%)")
ax.legend(fontsize=8)
show(
    fig,
    alt="Accuracy of ResNet-50 against the total number of training images. Both curves start above the "
    "real-only line at 2.4 million, fall steadily, and lie below it from about five to six million on.",
    caption="Azizi et al., Table 4 (bars: 1.96 published standard deviations). The best mixture is the "
    "smallest one that was tried; at 64 pixels, by contrast, the gain still grows at 10.8 million (+4.35).",
    name="fig-azizi",
)

# %% [markdown]
# ## Mikami: an exchange rate that depends on how much real data there is
#
# ResNet-50, pre-trained on $s$ rendered images, fine-tuned on $n$ real ImageNet images. The error is mapped
# back through the real-only curve: so many real images would have done the same. The interval comes
# from the scatter of the real-only runs around a fitted sigmoidal law (one run per setting, so this is all
# the noise one can see).

# %% tags=["hide-input"]
exchange = published.measured("exchange")
exchange["rate"] = [claims.number(v) for v in exchange["fitted"]]
exchange["interval"] = [
    claims.span(ends) for ends in zip(exchange["low"], exchange["high"], strict=True)
]
shown = exchange.assign(**{c: exchange[c].map("{:,}".format) for c in ("synthetic", "real")})
shown[["synthetic", "real", "interpolated", "rate", "interval", "case"]].rename(
    columns={"rate": "fitted", "interpolated": "by interpolation", "real": "real images n",
             "synthetic": "synthetic images s"}
).round(2).astype(object).fillna("none")  # fmt: skip

# %% tags=["hide-input"]
fig, ax = subplots(figsize=(7, 3.8))
for synthetic, colour, marker in ((16000, "accent", "^"), (64000, "synthetic", "s")):
    part = exchange[exchange["synthetic"] == synthetic]
    if synthetic == 16000:  # a step aside, so that bars and open marks do not overlap
        part = part.assign(real=part["real"] * 0.94)
    ok = part[part["case"] == "identified"]
    value = ok["fitted"].to_numpy()
    ends = [value - ok["low"], np.minimum(ok["high"], 100) - value]
    ax.errorbar(ok["real"] / 1e3, value, yerr=ends, fmt=f"{marker}-", color=COLOURS[colour], ms=5, capsize=2,
                label=f"{synthetic:,} synthetic images")  # fmt: skip
    hidden = part[part["case"] == "unidentified"]
    ax.plot(hidden["real"] / 1e3, np.full(len(hidden), 40 if synthetic == 64000 else 33), marker, mfc="white",
            color=COLOURS[colour], ms=5)  # fmt: skip
ax.text(13, 36, "open marks: not identified", fontsize=8)
ax.set(xscale="log", yscale="log", ylim=(0.5, 50), xlabel="real images n (thousand)",
       ylabel="synthetic per extra real image")  # fmt: skip
plain_ticks(ax.xaxis, [13, 50, 200, 1300])
plain_ticks(ax.yaxis, [1, 2, 5, 10, 20])
ax.legend(fontsize=8, loc="lower left")
show(
    fig,
    alt="Synthetic images per extra real image against the number of real images. With 64 thousand "
    "synthetic images about four to six at small n, with intervals that widen; with 16 thousand about one to two. "
    "At the largest real sizes the rate is not identified.",
    caption="Exchange rates from the error grid of Mikami et al. (derived; interval from the scatter of the "
    "real-only runs). Four times as many synthetic images are worth far less than four times as much.",
    name="fig-mikami",
)

# %% [markdown]
# ## Longpre: what filtering text does
#
# Change of question answering score against training on unfiltered text, by how much the filter keeps (third-party
# transcriptions of Figures 6 and 7). A straight line through the points has a slope; its interval
# comes from their scatter.

# %%
from scipy import stats

longpre = published.table(paper="Longpre", metric="QA score change vs unfiltered, average")
slopes_by_filter, filter_rows = {}, []
for name in ("quality", "toxicity"):
    part = longpre[
        longpre["setting"].str.contains(f"{name} filter")
        & ~longpre["setting"].str.contains("inverse")
    ]
    removed = 100 - part["x"].to_numpy()
    keep = removed > 0  # the unfiltered row is the reference itself
    line = stats.linregress(removed[keep], part["y"].to_numpy()[keep])
    half = stats.t.ppf((1 + level) / 2, keep.sum() - 2) * line.stderr
    slopes_by_filter[name] = (10 * line.slope, 10 * (line.slope - half), 10 * (line.slope + half))
    filter_rows.append(
        {
            "filter": name,
            "points": int(keep.sum()),
            "mean change": round(part["y"].to_numpy()[keep].mean(), 2),
            "change per further 10 % removed": round(10 * line.slope, 2),
            "interval": "[{:.2f}, {:.2f}]".format(*slopes_by_filter[name][1:]),
        }
    )
pd.DataFrame(filter_rows)

# %% [markdown]
# ## Verdict

# %%
from dataworth.stats import Estimate, estimate

static, none = fits["ImageNet-1k, static"], np.empty(0)
first = answers["ImageNet-1k", 640e3]
last = azizi[azizi["setting"].str.contains("1024px")].sort_values("x").iloc[[-1]]
much = last["y"].iloc[0] - real_only["y"].iloc[0]
deviations = np.r_[spread(last["setting"]), spread(real_only["setting"])]
half = stats.norm.ppf((1 + level) / 2) * np.hypot(*deviations)
rate = exchange[(exchange["synthetic"] == 64000) & (exchange["real"] == 128117)].iloc[0]
ledger = claims.judge(
    "published-curves",
    {
        "synthetic-no-floor": static["shifted"].interval("E", level),
        "practice-20x": first.ratio,
        "azizi-too-much": Estimate(much, much - half, much + half, none),
        "exchange-rate": Estimate(*rate[["fitted", "low", "high"]], none),
        "toxicity-filter-costs": Estimate(*slopes_by_filter["toxicity"], none),
    },
    times=static["power"].objective / static["shifted"].objective,
    effect="infinite: the floor of the static curve lies above that error"
    if first.case == "infinite"
    else f"{first.case}: at an error of {first.loss:.3f}",
    gone=estimate(np.median(gone["1024px"]) / 1.2e6, gone["1024px"] / 1.2e6, level),
    quality=slopes_by_filter["quality"][0],
)  # fmt: skip
ledger

# %% tags=["remove-cell"]
k_fan = fan.query("evaluation_set == 'ImageNet val'").set_index("training_source")["k"]
claims.write(
    ledger,
    evidence={
        "fan": {"real": k_fan["real"], "synthetic": k_fan.drop("real").tolist()},
        "practice": rows,
        "azizi": azizi_rows,
        "filters": {name: list(v) for name, v in slopes_by_filter.items()},
    },
    provenance={"data": "published numbers; sources in dataworth.published.table()"},
)

# %% [markdown]
# ## Where the numbers come from
#
# Every row of `dataworth.published.table()` names paper, table or figure, source and one of three confidences:
# primary (printed by the authors), digitised (read off a figure) or third-party (quoted by someone
# else). What is only remembered is left out.

# %% tags=["hide-input"]
everything = published.table()
everything.groupby(["paper", "confidence"]).size().rename("rows").reset_index()

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
