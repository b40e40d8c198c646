"""The study of repeated text: cells, pairs and the law against closed forms, and a whole run."""

import numpy as np
import pytest
from pydantic import ValidationError
from tiny_corpus import TINY

from cells import cell
from dataworth.stats import estimate
from dataworth.studies import repetition
from dataworth.studies.repetition import Repetition, Study, run
from dataworth.text.models import MODELS

SMALL = {
    "unique_tokens": (256, 512, 1024),
    "epochs": (1, 2, 4),
    "most_tokens": 1024,
    "batch": 4,
    "context": 16,
    "held_out_documents": 10,
    "document_tokens": 50,
    "seeds": 2,
    "vocabulary": 300,
    "resamples": 100,
}


def test_cells_are_trainings_up_to_the_longest():
    params = cell(Repetition)
    cells = params.cells()
    assert len(cells) == 10 and all(u * e <= 128_000 for u, e in cells)
    assert params.pairs(4) == [((n, 4), (4 * n, 1)) for n in (16_000, 32_000)]
    assert params.pairs(8) == [((16_000, 8), (128_000, 1))] and params.pairs(3) == []


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("epochs", (2, 4, 8), "must begin with 1"),
        ("unique_tokens", (64_000, 32_000, 16_000), "unique_tokens must rise"),
        ("unique_tokens", (500, 1000, 2000), "a step of 8 rows of 64 tokens takes 512"),
        ("most_tokens", 20_000, "leave no set that is read four times"),
    ],
)
def test_a_bad_parameter_is_one_sentence(field, value, words):
    with pytest.raises(ValidationError, match=words):
        cell(Repetition, **{field: value})


class Made(Study):
    """Losses of a law, without runs."""

    @property
    def losses(self):
        return LOSSES

    @property
    def sizes(self):
        unique, epochs = np.array(list(LOSSES), dtype=float).T
        ones = np.ones(len(unique))
        return {"N": ones, "D": unique * epochs, "U_N": ones, "U_D": unique}


LOSSES = {}


@pytest.mark.parametrize("r_star", [3.0, 15.4, 60.0])
def test_the_law_is_found_where_it_holds(r_star, monkeypatch):
    params = cell(Repetition)
    rng = np.random.default_rng(0)
    made = {}
    for unique, epochs in params.cells():
        effective = unique * (1 + r_star * (1 - np.exp(-(epochs - 1) / r_star)))
        loss = 1.5 + 60 * effective**-0.3
        made[unique, epochs] = estimate(loss, loss * np.exp(rng.normal(0, 1e-4, 50)))
    monkeypatch.setattr("test_repetition.LOSSES", made)
    study = Made(params, {})
    assert study.decay_constant().value == pytest.approx(r_star, rel=1e-3)
    assert study.law.params["beta"] == pytest.approx(0.3, rel=1e-3)
    errors = study.errors()
    assert errors["worth decays"].value < 1e-6 < errors["repeated as new"].value
    assert study.over_simpler().value < 1e-3
    assert list(study.law_table().index) == list(study.rules)


def test_a_loss_that_rises_again_is_none_of_the_laws(monkeypatch):
    """R* is the planted one, although the smallest set is learned by heart after four readings."""
    params = cell(Repetition)
    made = {}
    for unique, epochs in params.cells():
        effective = unique * (1 + 5 * (1 - np.exp(-(epochs - 1) / 5)))
        loss = 1.5 + 60 * effective**-0.3 + (0.4 if (unique, epochs) == params.cells()[3] else 0)
        made[unique, epochs] = estimate(loss, np.full(50, loss))
    monkeypatch.setattr("test_repetition.LOSSES", made)
    study = Made(params, {})
    assert params.cells()[3] == (16_000, 8)
    assert np.flatnonzero(~study.falling).tolist() == [3]
    assert study.decay_constant().value == pytest.approx(5, rel=1e-3)
    assert study.of_all_cells().value < 4
    assert study.errors()["worth decays"].value < 1e-6


def test_where_repeated_text_is_as_good_as_new_the_rule_says_so(monkeypatch):
    params = cell(Repetition)
    made = {
        (u, e): estimate(2 + 30 * (u * e) ** -0.3, np.full(20, 2 + 30 * (u * e) ** -0.3))
        for u, e in params.cells()
    }
    monkeypatch.setattr("test_repetition.LOSSES", made)
    study = Made(params, {})
    assert study.errors()["repeated as new"].value < 1e-6
    assert study.against_new(4).value == pytest.approx(1)
    assert study.decay_constant().value > 1000  # it cannot be told from never


def test_a_study_from_end_to_end(memos, store, monkeypatch):
    monkeypatch.setattr(repetition, "SECTION", 60)
    monkeypatch.setitem(MODELS, "lm-0.1m", TINY)
    params = cell(Repetition, **SMALL)
    study = run(params, store)
    assert list(study.runs) == params.cells() and {len(r) for r in study.runs.values()} == {2}
    for (unique, epochs), runs in study.runs.items():
        for found in runs:
            assert found.metrics["tokens_seen"] == unique * epochs
            (passes,) = found.metrics["epochs"]
            # The end-of-text token after each section is read too.
            read = found.metrics["tokens_seen"] / found.metrics["unique_tokens"]
            assert passes == pytest.approx(read, rel=0.1)
        texts = [frozenset(part.ids for part in r.spec.parts) for r in runs]
        assert len(runs) == 2 and texts[0] and texts[1]
    repeated, new = params.pairs(4)[-1]
    means = [np.mean([r.metrics["loss_test"] for r in study.runs[c]]) for c in (repeated, new)]
    assert study.against_new(4).value == pytest.approx(means[0] / means[1], rel=1e-6)
    assert list(study.at_equal_tokens()) == [1, 2, 4]
    assert [len(row) for row in study.by_set().values()] == [3, 2, 1]
    assert study.table().shape == (3, 3)
