"""Training runs: equal budgets, losses that add up, determinism, resumption."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tiny_corpus import CONTEXT, TEST, TINY, TOKENIZER, TRAIN, VOCABULARY, language_model, part

from dataworth.runs import run_tasks
from dataworth.text import training
from dataworth.text.downstream import FINE_TUNING
from dataworth.text.evaluation import Evaluation
from dataworth.text.losses import bits_per_byte
from dataworth.text.models import next_token_nats
from dataworth.text.tokens import run_text_tasks
from dataworth.text.training import (
    PRETRAINING,
    LanguageModelSpec,
    load_model,
    token_nats,
    windows,
)


def untrained(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return TINY.build(VOCABULARY)


# --- Runs -------------------------------------------------------------------------------------


def test_a_run_learns_and_keeps_what_analysis_needs(store, tiny):
    spec = language_model(tokens=150 * 4 * CONTEXT)
    (result,) = run_text_tasks([spec], store=store)
    arrays, metrics = result.arrays, result.metrics
    assert arrays["curve"].shape == (150 // training.CURVE,)
    assert arrays["curve"][-1] < 0.75 * math.log(VOCABULARY)
    np.testing.assert_array_equal(arrays["ids_test"], TEST)
    texts = dict(zip(tiny.ids.tolist(), tiny.texts, strict=True))
    assert arrays["bytes_test"].tolist() == [len(texts[i].encode()) for i in TEST]
    expected = arrays["nats_test"].sum() / math.log(2) / arrays["bytes_test"].sum()
    assert metrics["bits_per_byte_test"] == pytest.approx(expected)
    assert expected == pytest.approx(
        float(bits_per_byte(arrays["nats_test"], arrays["bytes_test"]))
    )
    assert metrics["loss_test"] < 0.8 * math.log(VOCABULARY)
    # The kept weights are the model that was evaluated.
    documents = training.load_parts(TOKENIZER, [part(*TEST)], store)[0]
    again = token_nats(load_model(result), documents, TOKENIZER.end, CONTEXT)
    np.testing.assert_allclose([x.sum() for x in again], arrays["nats_test"], rtol=1e-5)


def test_budgets_are_equal_whatever_the_documents(store, tiny):
    arms = [
        language_model(parts=(part(*TRAIN[:4]),)),
        language_model(),
        language_model(parts=(part(*TRAIN[:3], weight=3), part(*TRAIN[3:], weight=1))),
    ]
    small, whole, mixed = (r.metrics for r in run_text_tasks(arms, store=store))
    assert small["tokens_seen"] == whole["tokens_seen"] == mixed["tokens_seen"] == 40 * 4 * CONTEXT
    assert small["epochs"][0] > 2 * whole["epochs"][0] and len(mixed["epochs"]) == 2
    for metrics, size in ((small, 4), (whole, 16)):  # an end of text after each document
        passes = metrics["tokens_seen"] / (metrics["unique_tokens"] + size)
        assert metrics["epochs"] == [pytest.approx(passes)]


def test_a_run_is_its_spec(store, tiny, tmp_path):
    from dataworth.runs import Store

    spec = language_model()
    one = run_text_tasks([spec], store=store)[0].arrays
    two = run_text_tasks([spec], store=Store(tmp_path / "other"))[0].arrays
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])
    other = run_text_tasks([language_model(seed=1)], store=store)[0].arrays
    assert not np.array_equal(one["nats_test"], other["nats_test"])


def test_finished_runs_are_not_computed_again(store, tiny, monkeypatch):
    specs = [language_model(seed=s) for s in range(2)]
    run_text_tasks(specs[:1], store=store)
    trained = []
    train = training.train
    monkeypatch.setattr(training, "train", lambda *a: trained.append(1) or train(*a))
    calls = tiny.calls
    run_text_tasks(specs, store=store)
    assert len(trained) == 1
    assert tiny.calls == calls  # neither tokenizer nor encoding is made again
    run_tasks(specs, store=store)
    assert len(trained) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": 63}, "tokens is 63, less than one step of 4 x 16"),
        ({"parts": (part(1, weight=1), part(2))}, "every part a weight, or none"),
        ({"evaluations": (Evaluation(name="a", part=part()),) * 2}, "names in common"),
        ({"parts": ()}, "parts"),
        ({"context": 1}, "context"),
    ],
)
def test_settings_that_make_no_run(changes, message):
    with pytest.raises(ValidationError, match=message):
        language_model(**changes)


def test_keys_follow_settings():
    keys = {language_model(**c).key for c in ({}, {"seed": 1}, {"tokens": 10_000}, {"batch": 8})}
    assert len(keys) == 4
    again = LanguageModelSpec.model_validate_json(language_model().model_dump_json())
    assert again.key == language_model().key


# --- Losses -----------------------------------------------------------------------------------


def test_document_losses_add_up_to_the_batchs():
    """Documents as long as the context: each row of a batch is one."""
    rng = np.random.default_rng(0)
    documents = [rng.integers(0, 298, CONTEXT).astype(np.uint16) for _ in range(6)]
    net = untrained()
    per_token = token_nats(net, documents, VOCABULARY - 1, CONTEXT)
    block = np.stack([np.append(np.uint16(VOCABULARY - 1), d) for d in documents]).astype(np.int64)
    mean, _ = next_token_nats(net, *(torch.from_numpy(b) for b in (block[:, :-1], block[:, 1:])))
    assert sum(x.sum() for x in per_token) == pytest.approx(mean.item() * 6 * CONTEXT, rel=1e-5)


@given(st.integers(0, 200), st.integers(2, 40))
def test_windows_predict_each_token_once(length, context):
    found = windows(length, context)
    predicted = [i for _, first, stop in found for i in range(first, stop)]
    assert predicted == list(range(length))
    for start, first, stop in found:
        assert stop - start <= context
        assert first == start == 0 or first - start >= context // 2


def test_long_documents_are_read_window_by_window():
    """Each token's loss is that of a forward over its own window alone; batches change nothing."""
    rng = np.random.default_rng(1)
    documents = [rng.integers(0, 298, n).astype(np.uint16) for n in (0, 1, 5, 16, 17, 50)]
    net, end = untrained(), VOCABULARY - 1
    found = token_nats(net, documents, end, CONTEXT)
    single = token_nats(net, documents, end, CONTEXT, batch_tokens=1)
    for document, values, alone in zip(documents, found, single, strict=True):
        assert values.shape == document.shape
        np.testing.assert_allclose(values, alone, rtol=1e-4, atol=1e-5)
        line = np.append(end, document).astype(np.int64)
        for start, first, stop in windows(len(document), CONTEXT):
            with torch.no_grad():
                logits = net(torch.from_numpy(line[None, start:stop]))[0].log_softmax(-1)
            expected = -logits[np.arange(stop - start), line[start + 1 : stop + 1]]
            np.testing.assert_allclose(
                values[first:stop], expected[first - start :], rtol=1e-4, atol=1e-5
            )


# --- Optimisation -----------------------------------------------------------------------------


def test_muon_takes_the_matrices_of_blocks():
    assert PRETRAINING.optimizer == "muon" and FINE_TUNING.optimizer == "adamw"
    adamw, muon = PRETRAINING.optimizers(untrained())
    shapes = {tuple(p.shape) for group in muon.param_groups for p in group["params"]}
    assert shapes == {(48, 16), (16, 16), (24, 16), (16, 24)}
    decayed, plain = adamw.param_groups
    assert [p.shape[0] for p in decayed["params"]] == [VOCABULARY] and plain["weight_decay"] == 0
    assert len(FINE_TUNING.optimizers(untrained())) == 1
