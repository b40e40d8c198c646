"""Motifs of figures: what is drawn are the numbers that were given, and the alt text says the same;
nothing overlaps; the recorded run, infinite ends and extrapolated points are visible as such."""

import itertools
import re

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.text import Text

from dataworth.figures import (
    COLOURS,
    curves,
    draw,
    filters,
    forest,
    heatmap,
    label_points,
    scatter,
    series,
    show,
    split,
    stack,
    subplots,
)
from dataworth.figures.base import WIDTH, looks, shades, small_text
from dataworth.figures.series import number
from dataworth.stats import Estimate


def est(value, low, high):
    return Estimate(value, low, high, np.zeros(1))


DOMAINS = {"web": est(0.5, 0.2, 0.9), "books": est(-1.25, -2, -0.75), "code": est(3, 1, np.inf)}


class Curve:
    """As `studies.curves.Curve`: sizes, means and an interval."""

    def __init__(self, sizes, means, wide=0.1):
        self.sizes, self.means, self.wide = np.array(sizes), np.array(means, dtype=float), wide

    def interval(self):
        return self.means - self.wide, self.means + self.wide


def points(ax):
    """Marked points of the axes, as a list of (x, y) in data coordinates."""
    lines = [line for line in ax.lines if line.get_marker() not in ("None", None, "|", "_")]
    return [tuple(xy) for line in lines for xy in line.get_xydata() if np.isfinite(xy).all()]


def numbers(text):
    return [
        float(v.replace(",", "").replace("−", "-")) for v in re.findall(r"−?\d[\d,]*\.?\d*", text)
    ]


# --- The adapter ---------------------------------------------------------------------------------


def test_rows_may_be_called_like_what_a_table_has():
    found = series(pd.Series([1.0, 2.0, 3.0, 4.0], ["columns", "value", "sizes", "interval"]))
    assert list(found.at) == ["columns", "value", "sizes", "interval"]
    np.testing.assert_array_equal(found.value, [1, 2, 3, 4])


def test_series_of_whatever_a_study_gives():
    frame = pd.DataFrame(
        {"n": [10, 20], "gain": [1.0, 2.0], "gain_low": [0.5, 1.5], "gain_high": [1.5, 2.5]}
    )
    want = ([1, 2], [0.5, 1.5], [1.5, 2.5])
    triples = {"a": (1, 0.5, 1.5), "b": (2, 1.5, 2.5)}
    records = {
        key: dict(zip(("value", "low", "high"), e, strict=True)) for key, e in triples.items()
    }
    renamed = frame.rename(columns={"gain": "value", "gain_low": "low", "gain_high": "high"})
    evidence = {"sizes": [10, 20], "means": [1, 2], "low": want[1], "high": want[2]}
    for source, at in (
        (series(frame, "gain", "n"), (10, 20)),
        (series(renamed.set_index("n")), (10, 20)),
        (series(Curve([10, 20], [1, 2], 0.5)), (10, 20)),
        (series(evidence), (10, 20)),
        (series(([10, 20], *want)), (10, 20)),
        (series(triples), ("a", "b")),
        (series(records), ("a", "b")),
        (series({key: est(*e) for key, e in triples.items()}), ("a", "b")),
    ):
        assert source.at == at
        for found, numbers in zip((source.value, source.low, source.high), want, strict=True):
            np.testing.assert_array_equal(found, numbers)
    bare = series({"a": 3, "range": (1, 2), "nothing": None})
    np.testing.assert_array_equal(bare.value, [3, np.nan, np.nan])
    np.testing.assert_array_equal(bare.low, [np.nan, 1, np.nan])
    with pytest.raises(ValueError, match="no column 'loss'; there are n, gain"):
        series(frame, "loss")
    with pytest.raises(ValueError, match="cannot draw a object"):
        series(object())


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [(-0.002, "+.2f", "0.00"), (0.002, "+.2f", "0.00"), (-0.006, "+.2f", "−0.01"),
     (0.0, ".3g", "0"), (-1e-12, ".3g", "0"), (-0.5, "+.0f", "0"), (12.0, "+.2f", "+12.00"),
     (-np.inf, ".2f", "−∞")],
)  # fmt: skip
def test_a_number_rounded_to_zero_has_no_sign(value, form, text):
    assert number(value, form) == text


def test_a_falling_change_keeps_the_order_of_the_ends():
    accuracy = series(([1], [0.2], [0.1], [0.4])).map(lambda error: 100 * (1 - error))
    assert (accuracy.value[0], accuracy.low[0], accuracy.high[0]) == pytest.approx((80, 60, 90))


def test_split_reads_tables_and_evidence_alike():
    table = pd.DataFrame({"real": [20, 20, 60], "ratio": [1, 2, 1], "value": [0.9, 0.8, 1.0]})
    kept = {"20": {"ratio": [1, 2], "value": [0.9, 0.8]}, "60": {"ratio": [1], "value": [1.0]}}
    for found in (
        split(table, "real", at="ratio", name="{:,} real"),
        split(kept, at="ratio", name="{:,} real"),
    ):
        assert list(found) == ["20 real", "60 real"]
        assert found["20 real"].at == (1, 2) and list(found["60 real"].value) == [1.0]
    assert split(None) == {}


# --- Forest --------------------------------------------------------------------------------------


def test_forest_draws_and_tells_the_same_numbers():
    picture = draw(forest(DOMAINS, "change (%)", reference=0))
    (ax,) = picture.axes
    assert [x for x, _ in points(ax)][:3] == [0.5, -1.25, 3]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["web", "books", "code"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first row stands at the top
    assert numbers(picture.alt) == [0.5, 0.2, 0.9, -1.25, -2, -0.75, 3, 1]
    assert "code 3 [1, ∞]" in picture.alt and picture.alt.startswith(
        "change (%): web 0.5 [0.2, 0.9]"
    )


def test_an_infinite_end_is_an_arrow_at_the_edge():
    picture = draw(forest(DOMAINS, "k"))
    (ax,) = picture.axes
    low, high = ax.get_xlim()
    assert np.isfinite([low, high]).all() and low < -2 and high > 3
    (arrow,) = [line for line in ax.lines if line.get_marker() == ">"]
    assert list(arrow.get_xdata()) == [high] and round(float(arrow.get_ydata()[0])) == 2
    picture = draw(forest({"far": est(50, 40, 60), "near": est(1, 0, 2)}, "k", limits=(-1, 5)))
    arrows = [line for line in picture.axes[0].lines if line.get_marker() == ">"]
    assert [float(line.get_xdata()[0]) for line in arrows] == [5]
    assert [x for x, _ in points(picture.axes[0]) if x not in (5.0,)] == [1]  # 50 is no point
    assert "far 50 [40, 60]" in picture.alt  # and yet told


def test_the_recorded_run_is_drawn_first_and_bold_with_its_interval_and_size():
    past = {"web": est(0.7, 0.6, 0.8), "books": est(-1, -1.1, -0.9)}
    picture = draw(
        forest(DOMAINS, "k", recorded=past, size="20,480 images", published={"web": (0.25, 0.75)})
    )
    (ax,) = picture.axes
    legend = [t.get_text() for t in picture.fig.legends[0].get_texts()]
    assert legend == ["recorded larger run (20,480 images)", "this run", "published"]
    marked = [(line, to_hex(line.get_color())) for line in ax.lines if 0.7 in line.get_xdata()]
    assert [colour for _, colour in marked] == [to_hex(COLOURS["recorded"])]
    spans = [line for line in ax.lines if sorted(line.get_xdata()) == [0.6, 0.8]]
    assert spans[0].get_linewidth() > 2
    rows = dict(points(ax))
    assert rows[0.7] < rows[0.5]  # above this run's mark, in the same row
    assert "published: web 0.25 to 0.75" in picture.alt


def test_groups_stand_side_by_side_in_a_row_and_alone_in_its_middle():
    groups = {"real": {"a": 1.0, "b": 2.0}, "synthetic": {"a": 3.0}}
    picture = draw(forest(groups, "k", rows={"a": "first", "b": "second"}))
    (ax,) = picture.axes
    at = dict(points(ax))
    assert at[1.0] < 0 < at[3.0] and at[2.0] == 1
    assert [t.get_text() for t in ax.get_yticklabels()] == ["first", "second"]
    drawn = {line.get_label(): to_hex(line.get_color()).upper() for line in ax.lines}
    assert drawn["real"] == COLOURS["real"] and drawn["synthetic"] == COLOURS["synthetic"]


# --- Curves --------------------------------------------------------------------------------------


def test_curves_draw_and_tell_the_same_numbers():
    arms = {"real": Curve([10, 100, 1000], [2, 1, 0.5]), "synthetic": Curve([10, 100], [3, 2.5])}
    picture = draw(
        curves(
            arms,
            "images D",
            "loss (nats)",
            chance=2.3,
            slopes={"real": 0.4},
            recorded={"real": Curve([100, 10_240], [0.8, 0.25])},
            size="10,240 images",
            published={"Fan et al.": ([10, 50], [1.5, 1.25])},
        )
    )
    (ax,) = picture.axes
    drawn = points(ax)
    for sizes, means in (([10, 100, 1000], [2, 1, 0.5]), ([10, 100], [3, 2.5]),
                         ([100, 10_240], [0.8, 0.25]), ([10, 50], [1.5, 1.25])):  # fmt: skip
        assert set(zip(sizes, means, strict=True)) <= set(drawn)
    told = numbers(picture.alt)
    for value in (2, 1, 0.5, 3, 2.5, 0.8, 0.25, 1.5, 1.25, 2.3, 10_240):
        assert value in told
    assert (
        "recorded larger run, real 0.8 [0.7, 0.9] at 100, 0.25 [0.15, 0.35] at 10,240"
        in picture.alt
    )
    legend = [t.get_text() for t in picture.fig.legends[0].get_texts()]
    assert legend[0] == "recorded larger run, real (10,240 images)"
    assert "chance" in legend and "published slope, real (k = 0.4)" in legend
    (slope,) = [line for line in ax.lines if str(line.get_label()).startswith("published slope")]
    x, y = slope.get_data()
    np.testing.assert_allclose(y, 2 * (np.asarray(x) / 10) ** -0.4)
    assert ax.collections[0].get_facecolor()[0][3] < 0.5  # the band of the recorded run


class Law:
    """a n^-0.5 with a band of 10 %."""

    def __init__(self, a=3.0):
        self.a = a

    def mean(self, n):
        return self.a * np.asarray(n) ** -0.5

    def predict(self, n):
        mean = self.mean(n)
        return type("Prediction", (), {"mean": mean, "low": 0.9 * mean, "high": 1.1 * mean})


def test_a_law_has_a_band_where_runs_are_and_is_dashed_beyond():
    runs = ([10, 100, 1000], [1.0, 0.3, 0.1])
    panel = curves({"synthetic": runs}, "n", "loss", laws={"synthetic": Law()},
                   rivals={"synthetic": Law(2)}, to=5000)  # fmt: skip
    (ax,) = draw(panel).axes
    law, beyond, rival, marks, _ = ax.get_lines()
    assert {to_hex(line.get_color()).upper() for line in ax.get_lines()} == {COLOURS["synthetic"]}
    for line, style, a, low, high in (
        (law, "-", 3, 10, 1000), (beyond, "--", 3, 1000, 5000), (rival, ":", 2, 10, 5000)
    ):  # fmt: skip
        x = np.asarray(line.get_xdata())
        np.testing.assert_allclose([x[0], x[-1]], [low, high])
        np.testing.assert_allclose(line.get_ydata(), a * x**-0.5)
        assert line.get_linestyle() == style
    assert np.array_equal([marks.get_xdata(), marks.get_ydata()], runs)
    assert ax.get_xscale() == ax.get_yscale() == "log"
    (band,) = ax.collections
    corners = band.get_paths()[0].vertices
    ratio = corners[:, 1] / (3 * corners[:, 0] ** -0.5)
    np.testing.assert_allclose(sorted({round(r, 6) for r in ratio}), [0.9, 1.1])
    assert corners[:, 0].min() >= 10 * (1 - 1e-9) and corners[:, 0].max() <= 1000 * (1 + 1e-9)
    (near,) = draw(curves(runs, "n", "loss", laws={"this run": Law()}, to=50)).axes
    assert len(near.get_lines()) == 3 and len(near.collections) == 1  # nothing lies beyond


def test_a_law_of_a_real_fit_follows_the_truth_beyond_the_runs():
    from dataworth import fit

    n = np.geomspace(10, 1e4, 8)
    noisy = (0.2 + 5 * n**-0.6) * np.exp(0.01 * np.random.default_rng(0).normal(size=8))
    found = fit.fit({"n": n, "loss": noisy}, law="shifted", x="n", y="loss")
    (ax,) = draw(curves((n, noisy), "n", "loss", laws={"this run": found}, to=1e5)).axes
    for line in ax.get_lines()[:2]:
        x = np.asarray(line.get_xdata())
        np.testing.assert_allclose(line.get_ydata(), 0.2 + 5 * x**-0.6, rtol=0.05)


def test_upright_lines_and_bands_are_named():
    panel = curves(Curve([1, 10, 100], [3, 2, 1]), "n", "loss",
                   at={"here": 10, "about here": (2.0, 5.0)})  # fmt: skip
    picture = draw(panel)
    assert {"here", "about here"} <= {t.get_text() for t in picture.fig.legends[0].get_texts()}
    (band,) = picture.axes[0].patches
    assert band.get_x() == 2 and band.get_width() == 3


def test_named_conditions_stand_in_order_at_equal_steps():
    pairs = {
        "real": {"photo": est(10, 9, 11), "styles": est(10, 9, 11)},
        "mixed": {"photo": est(5, 4, 6), "styles": est(8, 7, 9)},
    }
    picture = draw(curves(pairs, "prompt set", "top-1 (%)"))
    (ax,) = picture.axes
    assert [t.get_text() for t in ax.get_xticklabels()] == ["photo", "styles"]
    assert ax.get_xscale() == "linear" and list(ax.get_xticks()) == [0, 1]
    lines = {tuple(line.get_ydata()): list(line.get_xdata()) for line in ax.lines}
    assert lines[(5.0, 8.0)] == [0, 1]
    assert "mixed 5 [4, 6] at photo, 8 [7, 9] at styles" in picture.alt


def test_points_outside_the_measured_range_are_marked_as_extrapolated():
    found = Curve([10, 100, 1000], [1, 2, 3])
    picture = draw(curves(found, "n", "ratio", measured=(50, 500)))
    (ax,) = picture.axes
    (line,) = [line for line in ax.lines if line.get_label() == "this run, extrapolated"]
    assert line.get_markerfacecolor() == "white"
    hollow = [
        line for line in ax.lines if line.get_markerfacecolor() == "white" and len(line.get_xdata())
    ]
    assert sorted(x for line in hollow for x in line.get_xdata()) == [10, 1000]
    (dotted,) = [line for line in ax.lines if line.get_linestyle() == ":"]
    assert list(dotted.get_xdata()) == [10, 100, 1000]


def test_an_infinite_ratio_is_an_arrow_at_the_top():
    found = ([10, 100], [2, np.inf], [1, 5], [4, np.inf])
    picture = draw(curves(found, "n", "ratio"))
    (ax,) = picture.axes
    arrows = [line for line in ax.lines if line.get_marker() == "^" and len(line.get_xdata())]
    assert [list(line.get_xydata()[0]) for line in arrows] == [[100, ax.get_ylim()[1]]]
    assert "∞ [5, ∞] at 100" in picture.alt


def test_panels_with_one_label_have_one_axis():
    arms = [{"real": Curve([10, 100], [high, high / 2])} for high in (1, 4)]
    panels = [curves(arm, "images D", "loss", title=t) for arm, t in zip(arms, "ab", strict=True)]
    first, second = draw(*panels).axes
    assert first.get_ylim() == second.get_ylim() and first.get_xlim() == second.get_xlim()
    assert first.get_ylabel() == "loss" and second.get_ylabel() == ""
    assert first.get_ylim()[1] > 4
    other = curves(arms[1], "images D", "error", title="c")
    first, second = draw(panels[0], other).axes
    assert first.get_ylim() != second.get_ylim() and second.get_ylabel() == "error"
    rows = [forest({"a": 1, "b": 2}, label) for label in ("k", "loss")]
    first, second = draw(*rows).axes
    assert not any(t.get_visible() for t in second.get_yticklabels() if t.get_text())
    assert draw(*panels).alt.count("loss against images D") == 1  # said once for both


# --- Heat maps, scatter plots, bars ---------------------------------------------------------------


def test_heatmap_is_pale_where_the_interval_holds_zero():
    cells = [[est(2, 1, 3), est(-0.5, -1, 0.5)], [est(0.1, -1, 1), est(-4, -5, -3)]]
    names = {"rows": ["a", "b"], "columns": ["x", "y"]}
    picture = draw(heatmap(cells, "gain (%)", **names))
    ax = picture.axes[0]
    assert [t.get_text() for t in ax.texts] == ["+2.00", "−0.50", "+0.10", "−4.00"]
    np.testing.assert_allclose(ax.collections[0].get_facecolors()[:, 3], [1, 0.3, 0.3, 1])
    blue, red = ax.collections[0].get_facecolors()[[0, 3], :3]
    assert blue[2] > blue[0] and red[0] > red[2]  # blue: better
    assert "largest change is −4.00 (b, y); 2 of 4 intervals exclude zero" in picture.alt
    worse = draw(heatmap(cells, "loss", better="down", **names)).axes[0]
    assert worse.collections[0].get_facecolors()[0, 0] > worse.collections[0].get_facecolors()[0, 2]
    bare = draw(heatmap([[2.0, -4.0]], "gain", pale=True)).axes[0]
    np.testing.assert_allclose(bare.collections[0].get_facecolors()[:, 3], 0.3)
    two = draw(heatmap(cells, "gain (%)", **names), heatmap(cells, "gain (%)", **names))
    assert len(two.fig.axes) == 3  # one colour bar for both
    values = (np.array([[0.9, 0.02], [np.nan, 0.5]]), np.ones((2, 2), dtype=bool))
    shown = draw(heatmap(values, "fraction", better="", least=0.05, form=".0%", **names))
    assert [t.get_text() for t in shown.axes[0].texts if t.get_text()] == ["90%", "50%"]


def test_scatter_draws_intervals_names_and_equality():
    x, y = {"a": est(1, 0.5, 1.5), "b": 2}, {"a": 3, "b": est(1, 0.5, 2)}
    picture = draw(scatter((x, y), "toxic", "gain", names=True, equal=True))
    (ax,) = picture.axes
    assert {t.get_text() for t in ax.texts} == {"a", "b"}
    assert {(1.0, 3.0), (2.0, 1.0)} <= set(points(ax))
    assert "gain against toxic: a (1 [0.5, 1.5], 3), b (2, 1 [0.5, 2])" in picture.alt


def test_scatter_shows_a_third_number_as_colour():
    groups = {"sweep": ([1, 2], [3, 4]), "sets": ([5], [6]), "real": ([7], [8])}
    groups = {name: tuple(dict(enumerate(v)) for v in pair) for name, pair in groups.items()}
    how = {"values": {"sweep": [1.0, 2.0], "sets": [5.0]}, "bar": "loss"}
    picture = draw(scatter(groups, "x", "y", **how), scatter(groups, "z", "y", **how))
    assert len(picture.fig.axes) == 3  # one colour bar for both
    assert picture.fig.axes[2].get_ylabel() == "loss"
    shown = [c for c in picture.axes[0].collections if isinstance(c, PathCollection)]
    assert [list(c.get_array()) for c in shown] == [[1, 2], [5]]
    colours = np.concatenate([c.to_rgba(c.get_array()) for c in shown])[:, :3].sum(1)
    assert (np.diff(colours) > 0).all()  # dark: low, on one scale
    assert (7.0, 8.0) in points(picture.axes[0])


def test_several_places_of_one_name_are_marked():
    panel = curves({1: 2.0, 4: 1.0}, "w", "loss", at={"published": [1.5, 2.0]}, log="x")
    picture = draw(panel)
    upright = [line.get_xdata()[0] for line in picture.axes[0].lines if line.get_ls() == ":"]
    assert upright == [1.5, 2.0]
    assert [t.get_text() for t in picture.fig.legends[0].get_texts()].count("published") == 1


def test_stacked_bars_leave_what_is_not_stated():
    table = pd.DataFrame({"web": [60, 50], "books": [40, 20]}, index=["one", "two"])
    picture = draw(stack(table, "% of the text", rest="not stated"))
    widths = [[bar.get_width() for bar in bars] for bars in picture.axes[0].containers]
    assert widths == [[60, 50], [40, 20], [0, 30]]
    assert "web is the largest part of one, two" in picture.alt


# --- Words and boxes ------------------------------------------------------------------------------


def boxes(texts):
    return [Text.get_window_extent(t) for t in texts]


def gap(box, xy):
    """Distance from a box to a point, in pixels."""
    x = max(box.x0 - xy[0], 0, xy[0] - box.x1)
    return np.hypot(x, max(box.y0 - xy[1], 0, xy[1] - box.y1))


@pytest.mark.parametrize("seed", range(4))
def test_names_of_points_never_overlap_or_swap(seed):
    """Two crowds, as the classes of pages that once read "pullover" at the coat's point."""
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.normal(0.5, 0.04, 6), rng.random(6)])
    y = np.concatenate([rng.normal(0.5, 0.04, 6), rng.random(6)])
    names = [f"class number {i}" for i in range(12)]
    fig, ax = subplots(figsize=(4.5, 3.5))
    ax.plot(x, y, "o")
    found = label_points(ax, x, y, names)
    fig.canvas.draw()
    by_name = dict(zip((t.get_text() for t in found), boxes(found), strict=True))
    for a, b in itertools.combinations(by_name.values(), 2):
        assert not a.overlaps(b)
    pixels = ax.transData.transform(np.column_stack([x, y]))
    joined = {t.get_text() for t in found if t.arrow_patch is not None}
    for i, name in enumerate(names):
        distances = [gap(by_name[name], xy) for xy in pixels]
        assert min(distances) > 0  # on no point
        if name not in joined:
            assert distances[i] == min(distances)  # beside its own
        assert by_name[name].x0 >= ax.bbox.x0 - 1 and by_name[name].x1 <= ax.bbox.x1 + 1


def test_no_label_of_a_picture_overlaps_another():
    arms = {"real": Curve([80, 100, 320, 5120, 10_240, 20_480], [3, 2.9, 2, 1, 0.5, 0.4])}
    picture = draw(
        *(
            curves(arms, "images D", "loss", title=t, recorded=arms, size="20 images")
            for t in "abcd"
        ),
        forest(DOMAINS, "scaling ability k"),
        columns=3,
    )
    picture.fig.canvas.draw()
    for ax in picture.axes:
        for axis in (ax.xaxis, ax.yaxis):
            seen = [t for t in axis.get_ticklabels() if t.get_text() and t.get_visible()]
            for a, b in itertools.combinations(boxes(seen), 2):
                assert not a.overlaps(b)
    legend = picture.fig.legends[0].get_window_extent()
    assert legend.x1 <= picture.fig.bbox.x1 and not any(
        legend.overlaps(ax.bbox) for ax in picture.axes
    )


def test_long_titles_and_labels_of_colour_bars_stay_inside():
    title = "identification of toxic sentences, AUROC of a fine-tuned model"
    picture = draw(*(forest({"a row": 1.0}, f"label {i}", title=title) for i in range(2)))
    low = draw(
        heatmap([[est(1, 0, 2)] * 3] * 2, "change of the margin of the answer (bits per byte)")
    )
    low.fig.canvas.draw()
    picture.fig.canvas.draw()
    first, second = boxes(ax.title for ax in picture.axes)
    assert not first.overlaps(second) and second.x1 <= picture.fig.bbox.x1
    label = low.fig.axes[1].yaxis.label.get_window_extent()
    assert label.y0 >= 0 and label.y1 <= low.fig.bbox.y1 and "\n" in low.fig.axes[1].get_ylabel()


def test_small_text_is_refused_as_displayed(shown):
    fig, ax = subplots(figsize=(12, 3))
    assert fig.get_figwidth() == WIDTH  # no wider than the page, so nothing is scaled down
    ax.set_title("tiny", fontsize=6.5)
    assert small_text(fig) == ["tiny"]
    with pytest.raises(
        ValueError, match="figure 'n': 'tiny' would be shown with letters under 9 px"
    ):
        show(fig, alt="a", caption="c", name="n")
    ax.set_title("fine", fontsize=7)
    show(fig, alt="a", caption="c", name="n")
    wide = plt.figure(figsize=(2 * WIDTH, 3))
    wide.text(0.5, 0.5, "halved", fontsize=12)
    assert small_text(wide) == ["halved"]


def test_show_puts_the_chapters_words_behind_the_motifs(shown):
    show(forest({"a": 1.5}, "k"), alt="It is larger.", caption="c", name="n")
    assert shown[0][1]["dataworth"]["alt"] == "k: a 1.5. It is larger."


def test_a_colour_has_one_meaning():
    assert len(set(COLOURS.values())) == len(COLOURS)
    found = looks(["real", "lm-small", "steps"], {"steps": "synthetic"})
    assert found["real"][0] == COLOURS["real"] and found["steps"][0] == COLOURS["synthetic"]
    assert found["lm-small"][0] not in COLOURS.values()
    tints = looks(["1,280 real", "80 real"], "mixed")
    light = [
        sum(int(tints[n][0][i : i + 2], 16) for i in (1, 3, 5)) for n in ("80 real", "1,280 real")
    ]
    assert light[0] > light[1]  # the larger the darker
    assert len(set(shades("mixed", 4))) == 4


# --- The filters' pictures ------------------------------------------------------------------------

ARMS = pd.DataFrame(
    {
        "kind": ["filter", "filter", "random", "inverse", "equal", "other"],
        "kept": [91.0, 46.0, 73.0, 73.0, 99.0, 30.0],
        "share": [91.0, 46.0, 73.0, 73.0, 73.0, 30.0],
        "gain": [0.3, -0.2, 0.05, -0.6, 0.4, -1.0],
    },
    index=["quality 91 %", "quality 46 %", "random 73 %", "inverse 73 %", "larger, 73 %", "rules"],
).assign(gain_low=lambda t: t.gain - 0.1, gain_high=lambda t: t.gain + 0.1)


def test_gain_against_another_number_by_kind_of_filter():
    table = ARMS.assign(filter=["quality", "quality", "", "quality", "quality", "word list"])
    x = {"quality 91 %": est(3.0, 2, 4), "inverse 73 %": est(5.0, 4, 6), "random 73 %": 4.0}
    (ax,) = draw(filters.tradeoff(table, x, "toxic (%)", names=True)).axes
    assert {(3.0, 0.3), (5.0, -0.6), (4.0, 0.05)} == set(points(ax))
    assert {t.get_text() for t in ax.texts} == set(x)
    white = [line.get_xydata() for line in ax.lines if line.get_markerfacecolor() == "white"]
    np.testing.assert_array_equal(np.concatenate(white), [[5.0, -0.6]])  # inverse
    (other,) = draw(filters.tradeoff(table, table.kept[:2], "toxic (%)")).axes
    assert set(points(other)) == {(91.0, 0.3), (46.0, -0.2)}


def test_gains_stand_at_the_bytes_removed():
    past = ARMS.loc[["quality 91 %", "quality 46 %"]].assign(gain=[0.5, 0.1])
    picture = draw(filters.gains(ARMS, recorded=past))
    drawn = {tuple(np.round(xy, 6)) for xy in points(picture.axes[0])}
    assert {
        (9.0, 0.3),
        (54.0, -0.2),
        (27.6, 0.05),
        (27.0, -0.6),
        (25.8, 0.4),
        (70.0, -1.0),
    } <= drawn
    assert {(9.0, 0.5), (54.0, 0.1)} <= drawn  # recorded
    assert [t.get_text() for t in picture.axes[0].texts] == ["rules"]
    table = pd.DataFrame(
        {"kept": [73.0, 91.0, 73.0], "change": [1.2, 2.5, -3.1], "inverse": [False, False, True]}
    )
    known = draw(filters.published_gains(table, "Longpre et al."))
    assert {(9.0, 2.5), (27.0, 1.2), (27.0, -3.1)} <= set(points(known.axes[0]))


def test_tasks_by_kind_of_arm():
    info = type("Task", (), {"what": "spam, AUROC", "unit": "%", "better": "up"})
    kinds = dict(ARMS.kind)
    found = {"spam": {name: est(g, g - 1, g + 1) for name, g in ARMS.gain.items()}}
    (ax,) = draw(*filters.tasks(found, kinds, {"spam": info})).axes
    assert sorted(x for x, _ in points(ax)) == sorted(ARMS.gain)
    assert [t.get_text() for t in ax.get_yticklabels()] == list(ARMS.index)
    assert ax.get_xlabel() == "change, points (better →)"


def test_what_every_arm_keeps():
    table = pd.DataFrame(
        {"web": [80.0, 60], "mail": [20.0, 40], "bytes": [100.0, 3000], "quality": [0.2, 0.5]},
        index=["whole", "filter"],
    ).assign(toxic=[5.0, 1])
    axes = draw(*filters.kept_text(table, ["web", "mail"]), columns=2).axes
    assert [ax.get_xlabel() for ax in axes] == [
        "% of the bytes", "bytes per document", "quality score", "toxic bytes (%)"
    ]  # fmt: skip
    assert axes[1].get_xscale() == "log" and axes[2].get_xscale() == "linear"
    assert [x for x, _ in points(axes[3])] == [5, 1]


def test_recorded_evidence_meets_this_run_though_its_keys_are_text():
    """A results file is JSON: the sizes that key a mapping come back as text."""
    now = {1: 0.4, 2: 0.3, 8: 0.1}
    then = {str(size): {"value": value, "low": 0.0, "high": 1.0} for size, value in now.items()}
    picture = draw(curves(now, "domains", "loss", recorded=then, log=""))
    drawn = [
        line.get_xdata().tolist() for line in picture.axes[0].lines if len(line.get_xdata()) == 3
    ]
    assert drawn and all(places == [1, 2, 8] for places in drawn)
