"""The published table: no remembered numbers, and values that can be checked by hand."""

import numpy as np
import pytest

from dataworth import published
from dataworth.errors import UserError


def test_every_row_has_a_source_and_an_accepted_confidence() -> None:
    rows = published.table()
    assert tuple(rows.columns) == published.COLUMNS
    assert set(rows["confidence"]) <= set(published.CONFIDENCE)
    assert rows[["paper", "table_or_figure", "metric", "y", "source"]].notna().all().all()
    assert not rows.duplicated().any()


def test_filters_narrow_the_table() -> None:
    rows = published.table(paper="2502.15588", metric="ImageNet val", setting="static")
    points = dict(zip(rows["x"], rows["y"], strict=True))
    # Deliberate Practice, Table 5: IN-1k static, 100k iterations
    assert points[320_000] == 39.334
    assert points[13_000_000] == 45.628


def test_unknown_paper_is_named_in_the_error() -> None:
    with pytest.raises(UserError, match="'Nobody 1999'"):
        published.table(paper="Nobody 1999")


def test_fan_exponents_as_in_the_headline_figure() -> None:
    k = published.fan_exponents().set_index(["training_source", "evaluation_set"])["k"]
    assert len(k) == 19
    assert k["real", "ImageNet val"] == 0.528
    assert k["SD, CLIP templates", "ImageNet-R"] == 0.308
    assert k["real", "ImageNet zero-shot"] == 0.387
    # data factor that halves the loss, 2**(1/k): 3.7 for real images
    assert 2 ** (1 / k["real", "ImageNet val"]) == pytest.approx(3.72, abs=0.01)


def test_azizi_mixing():
    rows = published.azizi_mixing().set_index(["pixels", "ratio"])
    assert list(rows.index.levels[0]) == [64, 256, 1024] and len(rows) == 3 + 9 + 9
    assert rows.top1[1024, 1.0] == 78.12 and rows.top1[256, 9.0] == 75.04
    assert rows.relative_error[1024, 1.0] == pytest.approx(21.88 / 23.61)
    assert rows.relative_error[1024, 9.0] > 1 > rows.relative_error[1024, 2.0]
    assert rows.relative_error[64, 9.0] == pytest.approx(1 - 4.35 / 31.4)


def test_azizi_totals():
    """As printed in Table 4."""
    rows = published.azizi_totals().set_index(["pixels", "total"])
    assert len(rows) == 1 + 9 + 9 and not rows.isna().any().any()
    assert rows.loc[(0, 1.2e6)].tolist() == [76.39, 0.21]
    assert rows.loc[(1024, 2.4e6)].tolist() == [78.12, 0.05]
    assert rows.loc[(256, 12e6)].tolist() == [75.04, 0.05]


def test_practice_curves():
    """As printed in Tables 4 and 5 of arXiv 2502.15588."""
    rows = published.practice_curves()
    sizes = rows.groupby(["data_set", "sampling"]).size().to_dict()
    assert sizes == {
        ("ImageNet-1k", "static"): 6, ("ImageNet-1k", "deliberate practice"): 7,
        ("ImageNet-100", "static"): 6, ("ImageNet-100", "deliberate practice"): 12,
    }  # fmt: skip
    error = rows.set_index(["data_set", "sampling", "images"]).error
    assert error["ImageNet-1k", "static", 320_000] == pytest.approx(1 - 0.39334)
    assert error["ImageNet-1k", "deliberate practice", 13_080_000] == pytest.approx(1 - 0.51198)
    assert error["ImageNet-100", "static", 4_000_000] == pytest.approx(1 - 0.6232)


def test_shifted_accuracy():
    """As printed in Table 1 of arXiv 2502.15588."""
    top1 = published.shifted_accuracy().pivot(
        index="training_source", columns="evaluation_set", values="top1"
    )
    assert top1.shape == (4, 5) and not top1.isna().any().any()
    assert top1.loc["real, 1.3M", "ImageNet-R"] == 44.6
    assert top1.loc["Fan et al., 64M", "ImageNet-R"] == 52.5
    assert top1.loc["deliberate practice, 9.1M", "ImageNet-A"] == 13.4


def test_model_domains_as_printed():
    """Counts over the 17 models, and the sums of the rows."""
    rows = published.model_domains().set_index("model")
    shares = published.model_shares()
    assert shares.shape == (17, 6) and list(shares.index) == list(rows.index)
    stated = (rows[list(published.MODEL_DOMAINS)] != "").sum()
    assert stated.tolist() == [15, 15, 13, 8, 10, 6]
    assert (rows.quality_filter != "").all() and (rows.tox_filter != "").sum() == 4
    assert rows.loc["Chinchilla", "quality_filter"] == rows.loc["BLOOM", "quality_filter"] == "H/C"
    assert rows.loc["T5", "wiki"] == "<1" and shares.loc["T5", "wiki"] == 0.5
    totals = shares.sum(axis=1)
    assert totals["Chinchilla"] == 80
    assert totals.drop("Chinchilla").between(98.5, 101).all()


def test_domain_drops_as_in_figure_8():
    """The full table; the correlation of size and change with and without Common Crawl."""
    rows = published.domain_drops()
    assert rows.shape == (9, 11) and not rows.isna().any().any()
    assert rows.removed.sum() == pytest.approx(100, abs=0.2)
    assert rows.loc["CC", ["removed", "average", "Academic"]].tolist() == [26.9, -4.8, -5.9]
    assert rows.loc["PubMed", "Biomed"] == -5.8
    assert rows.loc["Wiki", "toxic generation"] == 4.2
    assert rows.removed.corr(rows.average) == pytest.approx(-0.58, abs=0.005)
    rest = rows.drop("CC")
    assert rest.removed.corr(rest.average) == pytest.approx(0.02, abs=0.005)


def test_proxy_agreement():
    rows = published.proxy_agreement()
    assert rows.notna().all().all() and rows.agreement.between(0.5, 1).all()
    by = rows.groupby("measure").agreement
    assert by.min()["loss on a domain"] == 0.946 and by.max()["CORE accuracy"] == 0.855
    assert rows.study[rows.measure == "downstream accuracy"].str.contains("DataDecide").all()


def test_longpre_filters():
    toxicity = published.longpre_filters("toxicity")
    wide = toxicity.pivot(index="filter", columns="category", values="change")
    assert wide.shape == (7, 8) and not wide.isna().any().any()
    means = toxicity[(toxicity.category == "average") & ~toxicity.inverse]
    slope, r = (
        np.polyfit(means.kept, means.change, 1)[0],
        np.corrcoef(means.kept, means.change)[0, 1],
    )
    assert slope == pytest.approx(0.07, abs=0.01) and r == pytest.approx(0.97, abs=0.005)
    assert (wide.loc["full data set"] == 0).all()
    quality = published.longpre_filters("quality").set_index(["kept", "inverse", "category"]).change
    assert quality[73, True, "average"] == -3.1 and quality[73, False, "average"] == 1.2
    assert quality[46, False, "Books"] == -6.7


def test_measured_tables():
    """Each is there, names its version, and its intervals hold their values."""
    for name in published.MEASURED:
        assert published.measured(name).dataworth.notna().all(), name
    with pytest.raises(UserError, match=r"no measured table 'age'; coverage, exchange"):
        published.measured("age")
