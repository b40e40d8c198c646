"""Bits per byte: closed forms, coverage of intervals, pairing; no torch."""

import math
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from dataworth.errors import UserError
from dataworth.text.losses import bits_per_byte, by_part, document_losses


def run(nats, n_bytes=None, ids=None) -> SimpleNamespace:
    size = len(nats)
    return SimpleNamespace(
        arrays={
            "nats_test": np.asarray(nats, dtype=float),
            "bytes_test": np.full(size, 100) if n_bytes is None else np.asarray(n_bytes),
            "ids_test": np.arange(size) if ids is None else np.asarray(ids),
        }
    )


def test_bits_per_byte_of_a_uniform_guess_over_bytes_is_eight():
    n_bytes = np.array([3, 50, 700])
    assert bits_per_byte(math.log(256) * n_bytes, n_bytes) == pytest.approx(8)
    # Two bytes for each token of 1,024: 5 bits per byte, whatever the documents' lengths.
    assert bits_per_byte(math.log(1024) * n_bytes / 2, n_bytes) == pytest.approx(5)
    assert np.isnan(bits_per_byte([], []))


def one_part(nats, clusters=None, resamples=4000):
    value, draws = by_part(
        nats / (100 * math.log(2)), np.ones(nats.shape[-1]), np.zeros(nats.shape[-1], int),
        clusters=clusters, resamples=resamples,
    )  # fmt: skip
    return value[..., 0], draws[..., 0]


def test_an_interval_is_that_of_seeds_and_documents():
    """Student's t of a mean over documents, and the t of the seeds' means where they are far
    apart: quantiles in closed form."""
    rng = np.random.default_rng(0)
    seeds, documents = rng.normal(0, 3, 4), rng.normal(0, 10, 400)
    unit = 100 * math.log(2)
    value, draws = one_part(100 + documents[None], resamples=20_000)
    assert value == pytest.approx((100 + documents.mean()) / unit)
    half = stats.t.ppf(0.975, 399) * documents.std(ddof=1) / 20 / unit
    assert np.quantile(draws, [0.025, 0.975]) - value == pytest.approx([-half, half], rel=0.05)
    value, draws = one_part(100 + seeds[:, None] + 1e-6 * documents, resamples=20_000)
    half = stats.t.ppf(0.975, 3) * seeds.std(ddof=1) / 2 / unit
    assert np.quantile(draws, [0.025, 0.975]) - value == pytest.approx([-half, half], rel=0.05)
    one, _ = one_part(100 + documents[None])
    both, _ = one_part(100 + seeds[:, None] + documents)
    assert both == pytest.approx(one + seeds.mean() / unit)


def test_documents_of_one_author_count_as_one():
    """Equal documents in clusters: as many as there are clusters."""
    authors = np.repeat(np.arange(25), 16)
    line = np.random.default_rng(0).normal(100, 10, 25)
    nats = line[authors][None]
    unit = 100 * math.log(2)
    _, apart = one_part(nats, resamples=20_000)
    _, together = one_part(nats, authors, resamples=20_000)
    for draws, n, df in ((apart, 400, 399), (together, 25, 24)):
        half = stats.t.ppf(0.975, df) * line.std(ddof=1) / np.sqrt(n) / unit
        low, high = np.quantile(draws, [0.025, 0.975])
        assert (high - low) / 2 == pytest.approx(half, rel=0.05)


def test_arms_share_documents_and_what_their_seeds_have_in_common():
    """Arms apart by a constant: every draw of the difference is it, whatever seeds and documents
    do; and a difference of two arms has the interval of a paired t test over seeds."""
    rng = np.random.default_rng(1)
    nats = 100 + rng.normal(0, 3, (5, 1)) + rng.normal(0, 10, 60)
    _, draws = one_part(np.stack([nats, nats + 7]), resamples=200)
    unit = 100 * math.log(2)
    np.testing.assert_allclose((draws[:, 1] - draws[:, 0]) * unit, 7, rtol=1e-6)
    apart = rng.normal(0, 2, 5)
    _, draws = one_part(np.stack([nats, nats + apart[:, None]]), resamples=20_000)
    found = np.quantile(draws[:, 1] - draws[:, 0], [0.025, 0.975])
    low, high = stats.ttest_1samp(apart, 0).confidence_interval()
    assert found * unit == pytest.approx([low, high], rel=0.06)


def test_a_part_without_documents_is_refused_and_one_document_has_no_interval():
    with pytest.raises(UserError, match="no document is of part 1"):
        by_part(np.ones((1, 2)), np.ones(2), np.array([0, 2]))
    assert np.isnan(by_part(np.ones((2, 1)), np.ones(1), np.zeros(1, int))[1]).all()


def test_arms_that_cannot_be_compared():
    with pytest.raises(UserError, match="'none' is none of test"):
        document_losses([run([1.0])], "none")
    with pytest.raises(UserError, match="differ in the documents"):
        document_losses([run([1.0]), run([1.0], ids=[5])], "test")


def test_analysis_and_specs_import_no_torch():
    modules = "tokens, models, training, downstream, losses"
    code = f"import sys; from dataworth.text import {modules}; "
    code += "print([m for m in ('torch', 'tokenizers', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
