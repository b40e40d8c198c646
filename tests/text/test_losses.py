"""Bits per byte: closed forms, coverage of intervals, pairing; no torch."""

import math
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from dataworth.errors import UserError
from dataworth.text.losses import bits_per_byte, document_losses, resample


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


def test_resample_covers_seeds_and_documents():
    """The bootstrap's variance is that of a mean over seeds and documents."""
    rng = np.random.default_rng(0)
    seeds, documents = rng.normal(0, 3, 4), rng.normal(0, 10, 400)
    nats = 100 + seeds[:, None] + documents
    draws = resample(nats, np.full(400, 100), resamples=4000)
    unit = 100 * math.log(2)
    expected = (seeds.var(ddof=1) / 4 + documents.var() / 400) / unit**2
    assert draws.var() == pytest.approx(expected, rel=0.1)
    assert draws.mean() == pytest.approx(nats.mean() / unit, rel=0.002)
    alone = resample(nats[:1], np.full(400, 100), resamples=4000)
    assert alone.var() == pytest.approx(documents.var() / 400 / unit**2, rel=0.1)


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
