# ---
# jupyter:
#   dataworth:
#     answer: intervals-cover
#     description: What does a scaling law answer, and how do fits go wrong?
#     device: cpu
#     expected_minutes:
#       full: 2
#       gpu: 2
#       quick: 1
#       smoke: 0.5
#     params: dataworth.studies.laws:Fitting
#   jupytext:
#     notebook_metadata_filter: dataworth,kernelspec,jupytext.notebook_metadata_filter,-all
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How far can a fitted scaling law be trusted?
#
# A {term}`scaling law` turns small runs into an answer about large ones: how low does the loss get with
# ten times the data, how much data is one more parameter worth, how should a budget be
# split? The answer is read off a fitted curve, so it inherits everything that went wrong in the fit.
#
# **What was found.** Hoffmann et al. {cite}`hoffmann2022training` fitted
#
# $$L(N, D) = E + \frac{A}{N^{\alpha}} + \frac{B}{D^{\beta}}$$
#
# to the losses of language models with $N$ parameters trained on $D$ tokens, and minimised it under
# a compute budget $C = 6ND$. Their rounded constants and the unrounded ones of the same fit give
# answers that differ by more than half. Besiroglu et al. {cite}`besiroglu2024chinchilla` refitted the points
# of a figure and found that the published interval was far too narrow for the data.
#
# **What is shown here.** Five ways in which a fit goes wrong, each on data whose truth is known
# because we simulated it: a floor left out, a range chosen, a loss that outliers rule, a search that
# stops early, constants that are rounded. Then what an interval should hold, and whether ours do, within the
# data and beyond; and whether a fit says when its law is wrong. What is quick runs live, the large tables were
# measured before; nothing is trained.

# %% tags=["parameters"]
runs = 240
noise = 0.006
resamples = 1000
starts = 150
curves = 200
seed = 0

# %% [markdown]
# ## What a law answers
#
# We simulate runs of Hoffmann's law on nine compute budgets, with heavy-tailed noise, fit it back, and
# ask for the best split of larger budgets. For this law the answer is in closed form:
# $N^* = G (C/6)^{\beta/(\alpha+\beta)}$ and $D^* = G^{-1} (C/6)^{\alpha/(\alpha+\beta)}$ with
# $G = (\alpha A / \beta B)^{1/(\alpha+\beta)}$.

# %%
import numpy as np
import pandas as pd

from dataworth import tables
from dataworth.fit import allocation_exponent, fit, frontier
from dataworth.studies import laws

params = laws.Fitting.from_names(globals())
rng = np.random.default_rng(seed)
table = laws.simulated_runs(params.runs, params.noise, rng)
model = fit(
    table, law="chinchilla", x=["N", "D"], y="loss", loss="chinchilla",
    bootstrap=resamples, seed=seed,
)  # fmt: skip
constants = {
    name: {"truth": truth, "estimate [95 % interval]": model.interval(name)}
    for name, truth in laws.HOFFMANN.items()
}
tables.show(pd.DataFrame(constants).T.rename_axis("constant"))

# %%
from dataworth.figures import curves, draw, forest, heatmap, scatter, show  # noqa: F811

budgets, sizes = np.geomspace(1e19, 1e25, 13), np.geomspace(2e7, 2e11, 21)
best = [(o.n.value, *o.n) for o in frontier(model, budgets)]
valley = model.predict(np.stack([sizes, 1e21 / 6 / sizes], -1))
at, exponent = frontier(model, 1e21)[0].n, allocation_exponent(model)
in_billions = {
    "simulated runs": (6e-21 * table.N * table.D, table.N / 1e9),
    "fitted optimum": (budgets / 1e21, *np.transpose(best) / 1e9),
}
truth = (budgets / 1e21, laws.compute_optimal(laws.HOFFMANN, budgets)[0] / 1e9)

# %%
show(
    draw(
        curves(in_billions, "compute C (10²¹ FLOP)", "parameters N (billion)", band=True,
               published={"truth": truth}, measured=(0, in_billions["simulated runs"][0].max()),
               join=["fitted optimum"], ticks=(0.01, 1, 100, 10_000),
               roles={"simulated runs": "#CCCCCC"}),
        curves({"loss at C = 10²¹": (sizes / 1e9, valley.mean, valley.low, valley.high)},
               "parameters N (billion)", "loss (nats)", at={"N* with 95 % interval": (at.low / 1e9, at.high / 1e9)},
               band=True, log="x", limits=(2.2, 3.2), ticks=(0.1, 1, 10, 100)),
        height=4,
    ),
    alt=f"The best N there is {at.value / 1e9:.2f} billion ({at.low / 1e9:.2f} to {at.high / 1e9:.2f}).",
    caption="Left: optimal N for each budget; hollow: beyond the largest simulated one. N* grows as C to the "
    f"power {exponent.value:.3f} ({exponent.low:.3f} to {exponent.high:.3f}; truth 0.457). Right: the valley of loss "
    "at one budget. Its bottom is flat, so the loss at the optimum is known much better than the optimum.",
    name="fig-frontier",
)  # fmt: skip

# %% [markdown]
# ## How fits go wrong
#
# ### 1. The floor
#
# If the loss tends to $E > 0$ and the law has no floor, the line is bent and the fitted exponent
# depends on where one stops. Below: the same curve $0.3 + 5 D^{-0.4}$ with noise of 1 %, fitted with
# $a D^{-k}$ and with $E + a D^{-k}$ on all sizes up to the one on the axis.

# %%
size = np.geomspace(1e2, 1e7, 16)
noisy = (0.3 + 5 * size**-0.4) * np.exp(0.01 * rng.normal(size=len(size)))
ends = range(6, len(size) + 1)
k = {law: laws.exponent_by_range(size, noisy, law, ends) for law in ("power", "shifted")}
data = {f"{m} sizes": (size[:m], noisy[:m]) for m in (len(size), 8)}
lines = {law: {name: fit({"x": x, "y": y}, law=law) for name, (x, y) in data.items()} for law in k}

# %%
names = {"power": "power law", "shifted": "law with a floor"}
largest = size[np.array(ends) - 1]
exponents = {
    names[law]: (largest, *zip(*[(i.value, *i) for i in k[law]], strict=True)) for law in k
}
show(
    draw(
        curves(data, "size D", "loss", laws=lines["shifted"], rivals=lines["power"], to=size[-1],
               ticks=(1e2, 1e4, 1e6)),
        curves(exponents, "largest size fitted", "fitted k (truth 0.4)", reference=0.4, band=True,
               log="x", limits=(0, 0.7), ticks=(1e4, 1e5, 1e6, 1e7),
               roles={"power law": "#44AA99", "law with a floor": "#661100"}),
        height=3.8,
    ),
    caption="Left: the same points, all sizes and the eight smallest, with the law with a floor (dashed beyond "
    "its points) and the power law (dotted). Right: the exponent of a law without a floor is a property of the "
    "range, and its interval is narrow and wrong. The law with a floor says how little it knows while the "
    "floor is out of sight. Bands: 95 % intervals.",
    name="fig-floor",
)  # fmt: skip

# %% [markdown]
# ### 2. The range
#
# On the fitted points alone, the misfit of the straight line is easily taken for noise. Holding back the
# largest sizes shows it. `rolling_origin` refits on the smaller sizes and scores the prediction
# of the larger ones: root mean squared log error, the continuous ranked probability score (CRPS),
# and how many held-out runs lie in the 90 % prediction interval.

# %%
from dataworth.fit import rolling_origin

heads = ["law", "fitted up to", "sizes held out", "RMSLE", "CRPS", "inside 90 % interval"]
held_out = [
    (names[law], o.until, o.n_test, o.rmsle, o.crps, o.coverage)
    for law in names
    for o in rolling_origin(lines[law][f"{len(size)} sizes"])
]
tables.show(
    pd.DataFrame(held_out, columns=heads), {"fitted up to": ",.0f", "inside 90 % interval": ".0%"}
)

# %% [markdown]
# The test that counts is on curves that somebody else chose. Alabdulmohsin et al.
# {cite}`alabdulmohsin2022revisiting` published 92 learning curves of vision and language models, each split into
# rows to fit and rows, up to twice as far out, to predict. Their law M4,
# $(L - E)/(E_0 - L)^c = b D^{-k}$, bends at both ends. The table has the root mean squared log error, mean over
# curves, of M4 minimised to its optimum on log loss (this book) and by the authors' search on log excess, which
# does not minimise its own objective; M1 is the power law and M3 a law with a shifted origin, both by the
# authors' code.

# %%
from dataworth import published

kinds = {
    "IC": "image classification",
    "NMT": "translation",
    "LM": "language models",
    "BB": "BIG-Bench",
}
error = published.measured("extrapolation").replace({"domain": kinds})
authors = ["M4", "M3", "M1"]
tables.show(
    error[["domain", "curves", "ours", *authors]], dict.fromkeys(("ours", *authors), ".4f"),
    names={"ours": "M4, this book", **{name: f"{name}, authors" for name in authors}},
    caption=f"This book's M4 misses least in {(error.ours < error[authors].min(axis=1)).sum()} of {len(error)} "
    f"domains; at worst its error is {(error.ours / error[authors].min(axis=1)).max():.2f} times the least.",
)  # fmt: skip

# %% [markdown]
# ### 3. The loss function
#
# One diverged run pulls a least-squares fit. A Huber loss with a width that follows the residuals
# (1.345 times their robust scale) bounds the pull of any run; a fixed width of $10^{-3}$ on log loss,
# the choice of {cite}`hoffmann2022training`, is close to least absolute deviations at usual noise.
# Below, simulated curves of 24 runs in which one run in twenty is off by ten times the noise.

# %%
from dataworth.stats import estimate

kinds = {"l2": "least squares", "huber": "Huber, adaptive", "chinchilla": "Huber, 0.001"}
by_loss = laws.exponents_by_loss(params.curves, list(kinds), rng)
show(
    forest(
        {name: estimate(np.median(v), v) for name, v in by_loss.items()}, "fitted k (truth 0.45)",
        rows={name: f"{kinds[name]} (sd {v.std():.3f})" for name, v in by_loss.items()}, reference=0.45,
    ),
    caption=f"Fitted exponents of {len(by_loss['l2'])} simulated curves with outliers under three losses: median "
    "and the middle 95 %; sd: standard deviation.",
    name="fig-losses",
)  # fmt: skip

# %% [markdown]
# ### 4. The search
#
# Hoffmann's objective has many basins, and a search from one start may end in the wrong one or stop
# early. Two demonstrations on the 240 runs above: a general optimiser from starts of the published
# 4,500-start grid, and the same optimiser on the *mean* instead of the *sum* of the loss, which
# divides every gradient by the number of runs and meets the stopping rule long before the minimum.

# %%
found = laws.searches(model, starts)
reached = {name: float((ends.excess < 1e-4).mean()) for name, ends in found.items()}
fraction = np.linspace(0, 1, len(found["sum"]))
label, ticks = "objective above the best, relative", (1e-8, 1e-4, 1)

# %%
show(
    draw(
        curves({f"{name} of the loss": (np.sort(ends.excess), fraction) for name, ends in found.items()},
               label, "fraction of starts", log="x", ticks=ticks),
        scatter({f"{name} of the loss": (ends.excess, ends.alpha) for name, ends in found.items()},
                label, "fitted alpha", log="x", cross=(None, model.params["alpha"])),
    ),
    caption=f"L-BFGS-B from {len(fraction)} starts of the published grid. Within a relative "
    f"distance of 0.0001 of the minimum end {reached['sum']:.0%} of the starts on the sum and "
    f"{reached['mean']:.0%} on the mean. The dotted line is the alpha of our solver (variable-projection "
    "seeds, then batched Newton steps), whose objective is the lowest of all: the best start here lies "
    f"{found['sum'].excess.min():.1e} above it.",
    name="fig-starts",
)  # fmt: skip

# %% [markdown]
# ### 5. Rounding
#
# Exponents enter as powers of numbers like $10^{12}$. Two digits are not enough.

# %%
answers = pd.DataFrame(
    {"rounded to two digits": laws.ROUNDED, "digits of the source": laws.HOFFMANN}
).apply(lambda constants: pd.Series(laws.compute_optimal(constants, 5.76e23), ["N*", "D*"]))
answers = answers.T.assign(ratio=lambda t: t["D*"] / t["N*"]).rename_axis("constants")
rounding = answers.ratio.iloc[0] / answers.ratio.iloc[1]
tables.show(answers, {"ratio": ".1f"}, names={"ratio": "tokens per parameter"})

# %% [markdown]
# ## Do the intervals hold what they promise?
#
# A 95 % interval should hold the truth in 95 of 100 repetitions, from five runs as well as from two
# hundred, with outliers and with runs that share their luck. The picture shows, on simulated curves
# $E + a D^{-k}$, how often the default interval (the profile of the same objective that was minimised,
# with Student's quantile) holds the true exponent, the floor, the loss at ten times the largest size,
# and the {term}`data-equivalence ratio` to a second curve. An interval may be infinite on one side where the data do
# not close it.
#
# Every setting that was measured is in {numref}`fig-coverage`. Noise is relative, with a scale of 2 %: Gaussian;
# Student's t with 3 degrees of freedom (t3); Gaussian with one run in twenty ten times as far off
# (outliers); pairs of runs that share nine tenths of their noise (clusters); Gaussian, with a true floor
# of 0.01 instead of 0.1, beside the bound at zero (low floor); Gaussian, 4.5 times as large at the smallest size as at
# the largest (falling); Gaussian, with all but two sizes below a sixteenth of the largest, so that two runs decide
# (leverage). The last two are what tables from practice look like; an interval that takes all runs for equally noisy is
# too narrow there, so ours widen as the squared residuals of the deciding runs say. Where noise falls with size, the
# exponent's cover 91 to 95 %, and those of a second curve's ratio more than they promise.

# %%
coverage = published.measured("coverage")
settings = ["noise", "loss", "n", "simulations"]
wide = coverage.pivot_table(index=settings, columns="quantity", values="coverage", sort=False)
sampling = coverage.pivot_table(
    index=settings, columns="quantity", values="standard_error", sort=False
)
simulations = " or ".join(str(v) for v in sorted(coverage["simulations"].unique()))
inside = float(coverage["coverage"].between(0.92, 0.98).mean())

# %%
show(
    heatmap(
        (100 * wide - 95, (wide - 0.95).abs() > 1.96 * sampling), "coverage less 95 %, in points",
        rows=[f"{noise}, {loss}, {n} runs" for noise, loss, n, _ in wide.index],
        columns=["floor E" if name == "E" else name for name in wide.columns], form="+.1f",
    ),
    alt=f"{inside:.0%} of the cells lie between 92 and 98 percent; the lowest is {coverage['coverage'].min():.1%}.",
    caption="How much more (blue) or less (red) often than in 95 of 100 simulated curves the interval holds the "
    f"truth, by noise, fitted loss and number of runs, in percentage points; {simulations} curves a "
    "row. Pale: within sampling error of 95 %.",
    name="fig-coverage",
)  # fmt: skip

# %% [markdown]
# The numbers are stored with the library as `measured_coverage.csv`; its rows name the seed and the versions
# of the library, of numpy and of Python that they were measured with, the command and the seconds it took. This measures
# all of it again, in a quarter of an hour on one core:
#
# ```bash
# python bench/fit_coverage.py --simulations 400
# ```
#
# With five or six runs there are two at most for each of the three parameters; such fits carry the flag `few_rows`. A floor
# cannot be negative. Beside that bound the usual quantile would cover more than it promises, so the
# interval of a floor follows the ordering of Feldman and Cousins (1998) for a bounded mean, and a floor that
# is estimated as zero counts as no parameter.

# %% [markdown]
# ## And beyond the data, on real curves?
#
# In these simulations the truth is a law of the family that is fitted. Real curves need not be. LCDB {cite}`mohr2022lcdb`
# holds the test errors of twenty learners on 248 classification data sets by number of training examples, from 16 on in
# steps of $\sqrt 2$, each a mean over some 25 trainings. Two learners of each data set, taken by lot, are fitted up to
# about 0.5, 0.6, 0.7 and 0.8 of their sizes, and every size beyond is predicted: a {term}`rolling origin`.
#
# An interval that knows the noise alone is right where the law is. Here the law is wrong by more than the noise, and
# the further out, the more. Averaging over laws does not mend it: mixtures of the power law and the law with
# a floor, weighted equally, by AICc or by what each had missed before, had wider intervals at the same coverage. Two numbers
# of the curve itself say more: the spread $s$ of a new run, and the root mean square $m$ of what the law missed when the sizes
# of its last factor of four were held back. `forecast(runs).predict(D)` of `dataworth.fit` predicts
#
# $$\log L(D) \; \pm \; c \, \frac{D}{D_\max} \sqrt{s^2 + m^2},$$
#
# with a $c$ that depends on law and level only: the quantile of public curves at which so many of their errors lie inside
# (split-conformal prediction, {cite}`vovk2005algorithmic`). Below, $c$ comes from four fifths of the data sets and is
# tried on the other fifth, each fifth in turn. From a terminal, `dataworth forecast runs.csv --x n --y loss --at 1e6` prints this interval
# beside the other two.

# %%
lcdb = published.measured("lcdb")
how = {"fit": "as fitted", "curves": "allowing for a wrong law"}
index = ["interval", "law"]
beyond = lcdb.pivot_table(index=index, columns="distance", values="coverage", sort=False)
chance = lcdb.pivot_table(index=index, columns="distance", values="standard_error", sort=False)
beyond, chance = beyond.loc[list(how)], chance.loc[list(how)]
next_size = lcdb[lcdb.distance == lcdb.distance.iloc[0]].groupby("interval", sort=False).coverage
low, high = next_size.min(), next_size.max()
widths = lcdb[(lcdb.law == "shifted") & (lcdb.interval == "curves")].half_width

# %%
show(
    heatmap(
        (100 * beyond - 95, (beyond - 0.95).abs() > 1.96 * chance), "coverage less 95 %, in points", form="+.1f",
        rows=[f"{law}, {how[interval]}" for interval, law in beyond.index], columns=list(beyond.columns),
        x="size predicted, over the largest that was fitted",
    ),
    alt=f"As fitted, intervals hold {low['fit']:.0%} to {high['fit']:.0%} of the next sizes; allowing for a wrong law, "
    f"{low['curves']:.1%} to {high['curves']:.1%}.",
    caption="How much more (blue) or less (red) often than in 95 of 100 predictions the 95 % interval of a new run holds the "
    f"error that was measured, in percentage points: {lcdb.curves.iloc[0]} curves of {lcdb.data_sets.iloc[0]} data sets. "
    "Pale: within sampling error of 95 %. As fitted, intervals hold "
    f"{low['fit']:.0%} to {high['fit']:.0%} of the next sizes; allowing for a wrong law, {low['curves']:.1%} to "
    f"{high['curves']:.1%}. The price is their length: for the law with a floor, half of them reach beyond a factor of "
    f"{np.exp(widths.iloc[0]):.2f} at the next size, and of {np.exp(widths.iloc[-1]):.1f} at more than eight times the largest.",
    name="fig-lcdb",
)  # fmt: skip

# %% [markdown]
# How far a law carries is thus a property of the curve, not of the law: where it missed nothing when its last sizes were held
# back, the interval stays short for a factor of ten; where it missed a tenth, it spans a factor of more than two both ways at
# eight times the largest size.
# `DATAWORTH_LCDB=lcdb-0.1.0/lcdb python bench/fit_lcdb.py` measures it again from the data of the package `lcdb`.
#
# ## Does a fit say when it is wrong?
#
# A flag is worth reading if it comes when something is wrong and stays away when nothing is. Below, tables of a true law, and tables
# in which one thing was planted: a bend that the law does not have, a second descent, a rise, rows that are off, a
# unit mistaken, compute in the place of tokens, an accuracy in the place of a loss, noise that falls tenfold with size, checkpoints that
# share their run's noise. *Recall* is the fraction of tables whose fit carries a flag that names what was planted; a *false
# alarm* is any flag about law, rows or columns where nothing was planted.

# %%
flags = published.measured("flags")
rates = flags.groupby("quantity").fraction
tables.show(
    flags[["planted", "n", "noise", "law", "loss", "quantity", "fraction"]], {"noise": ".1%", "fraction": ".1%"},
    names={"n": "runs"},
    caption=f"Recall is {rates.min()['recall']:.1%} or more, false alarms are {rates.max()['false alarms']:.1%} or less; "
    f"{flags.simulations.min()} to {flags.simulations.max()} simulated tables a row, so a row is known to about "
    f"{2 * flags.standard_error.max():.1%} (measured_flags.csv, by bench/fit_flags.py).",
)  # fmt: skip

# %% [markdown]
# ## And intervals over seeds?
#
# All other chapters repeat a training a few times. A bootstrap of two seeds has three possible values, whatever the
# true spread: its 95 % interval covers in 61 of 100 repetitions. The chapters therefore take the spread of seeds
# from all arms and sizes together, as a function of size, moderated for each cell as in limma {cite}`smyth2004linear`; runs
# that share seeds on purpose are compared within a seed; documents come in clusters (the addresses of one president).
# {numref}`fig-seed-coverage` shows how often such intervals hold the truth: in simulated designs with the chapters' sizes and
# arms, and for real runs of which 24 seeds were trained, of which two, three or five are drawn: small classifiers and CLIP
# on real and on synthetic images, and language models with and without a domain.

# %%
seeds = published.measured("seed_coverage")
seeds["design"] = seeds["design"].where(
    seeds["noise"] == "simulated", "real runs: " + seeds["design"]
)
repeated = seeds[seeds["seeds"] > 0]
ends = repeated.pivot_table(
    index="design", columns="seeds", values="coverage", aggfunc=["min", "max"], sort=False
)
others = seeds[seeds["seeds"] == 0]
repetitions = f"{seeds.repetitions.min():,} to {seeds.repetitions.max():,}"

# %%
show(
    heatmap(
        (100 * ends - 95, (ends - 0.95).abs() > 0.03), "coverage less 95 %, in points", rows=list(ends.index),
        columns=[f"{n} seeds, {'lowest' if end == 'min' else 'highest'}" for end, n in ends.columns], form="+.1f",
    ),
    alt=f"Coverage lies between {seeds.coverage.min():.1%} and {seeds.coverage.max():.1%}; its mean is {seeds.coverage.mean():.1%}.",
    caption="How much more (blue) or less (red) often than in 95 of 100 repetitions the interval holds the truth, by design and "
    "number of seeds, in percentage points: the lowest and the highest of the quantities (means, differences, ratios, slopes, "
    f"data-equivalence ratios ...); {repetitions} repetitions a design. Pale: within 3 points of 95 %. Intervals are "
    f"{repeated.width.median():.2f} times as long (median) as if the spread were known. Without seeds: "
    + ", ".join(f"{row.quantity} of {row.design} {row.coverage:.1%}" for row in others.itertuples()) + ".",
    name="fig-seed-coverage",
)  # fmt: skip

# %% [markdown]
# `measured_seed_coverage.csv` holds every quantity, `measured_seeds.csv` the seeds of real runs;
# `python bench/seed_noise.py` and `python bench/coverage.py` measure both again.

# %% [markdown]
# ## Verdict

# %%
from dataworth import claims
from dataworth.stats import Estimate

none = np.empty(0)  # no draws: these are ranges or closed forms
ledger = claims.judge(
    "fitting",
    {
        "intervals-cover": Estimate(*coverage["coverage"].agg(["median", "min", "max"]), none),
        "floor-free-exponent": k["power"][-1],
        "rounded-constants": Estimate(rounding, rounding, rounding, none),
    },
    inside=inside, points=len(coverage), first_k=k["power"][0].value, last_k=k["power"][-1].value,
)  # fmt: skip
ledger

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
claims.write(
    ledger,
    evidence={
        "coverage": wide.reset_index().to_dict("list"),
        "power_k_by_range": {"largest": largest.tolist(), "k": [i.value for i in k["power"]]},
        "starts_at_minimum": reached,
    },
    provenance={"data": "simulated; no runs", "coverage": f"{simulations} simulations a setting"},
)

# %% [markdown]
# ## Why it could be wrong
#
# - **The simulated truth is a law of the family that is fitted.** Real curves need not be. Then no
#   interval of a parameter means much, and only tests beyond the data help.
# - **The factor of a forecast is that of small classifiers.** LCDB has learners of minutes on tables of numbers. A curve that bends
#   where none of theirs did is covered less often, and coverage is of all curves together: of a curve that
#   is known to be rough it is lower.
# - **Noise levels are ours.** With more noise or a shorter range the floor is often not identified; the
#   intervals say so by reaching zero or being open, which counts as covering.
# - **Coverage is of one law, the shifted power law.** The other laws share solver and interval code,
#   not this table.
#
# ## Exercises
#
# **1.** Fit your own table of runs from a terminal.
#
# ```{admonition} Solution
# :class: dropdown
# `dataworth fit runs.csv --law shifted --x size --y loss --loss huber`. Add `--plot curve.svg` for
# a picture, `--bootstrap 2000` for resampling instead of profile intervals.
# ```
#
# **2.** Which further runs would narrow the interval of $k$ most: many small ones, or few large ones?
#
# ```{admonition} Solution
# :class: dropdown
# `more_runs(result, "k", half_width, sizes)` of `dataworth.fit`. For a power law the two ends tell most,
# the middle nothing: a slope is measured with the longest lever.
# ```
#
# **3.** Tie $\alpha = \beta$ in the fit above. Does the objective get worse than chance?
#
# ```{admonition} Solution
# :class: dropdown
# `fit(table, law="chinchilla", x=["N", "D"], y="loss", loss="chinchilla", tied=[("alpha", "beta")])` and
# compare `objective`: the truth has $\alpha \ne \beta$, and with 240 runs the difference shows.
# ```
