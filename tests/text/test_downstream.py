"""Downstream tasks: classification, choosing continuations, free text."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tiny_corpus import CONTEXT, IDS, TEST, TINY, TOKENIZER, TRAIN, VOCABULARY, language_model, part

from dataworth.errors import UserError
from dataworth.text.downstream import (
    FINE_TUNING,
    ChoiceSpec,
    FineTuneSpec,
    Questions,
    choice_scores,
    document_windows,
    fours_of,
    pool,
    stretches,
)
from dataworth.text.evaluation import Evaluation
from dataworth.text.generation import (
    GenerationSpec,
    generate,
    generated_texts,
    prompt_uniforms,
    toxic_share,
    toxicity_scores,
)
from dataworth.text.tokens import TOKEN, run_text_tasks

END = VOCABULARY - 1
PRETRAINED = language_model(tokens=10 * 4 * CONTEXT)


def model(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return TINY.build(VOCABULARY).eval()


@pytest.fixture
def pretrained(store, tiny):
    run_text_tasks([PRETRAINED], store=store)
    return PRETRAINED


# --- Classification ---------------------------------------------------------------------------


def fine_tune(**changes) -> FineTuneSpec:
    settings = {
        "pretrained": PRETRAINED,
        "train": part(),
        "evaluations": (Evaluation(name="test", part=part(*TEST)),),
        "label": "place",
        "classes": ("sea", "field"),
        "steps": 60,
        "batch": 8,
        "optimisation": FINE_TUNING.model_copy(update={"learning_rate": 1e-2}),
    }
    return FineTuneSpec(**(settings | changes))


def test_fine_tuning_tells_domains_apart(store, tiny, pretrained):
    specs = [fine_tune(), fine_tune(windows=3, pooling="last"), fine_tune(frozen=True)]
    full, last, frozen = run_text_tasks(specs, store=store)
    for result in (full, last, frozen):
        logits, labels = result.arrays["logits_test"], result.arrays["labels_test"]
        assert logits.shape == (len(TEST), 2) and logits.dtype == np.float32
        assert labels.tolist() == [0, 1] * (len(TEST) // 2)
        assert result.metrics["accuracy_test"] == (logits.argmax(1) == labels).mean()
    assert full.metrics["accuracy_test"] == 1
    assert full.metrics["examples"] == len(TRAIN) < last.metrics["examples"]


def test_fine_tuning_is_deterministic_and_leaves_the_pretrained_run(store, tiny, pretrained):
    before = store.load(pretrained).arrays
    one = fine_tune(steps=5).run(store).arrays["logits_test"]
    np.testing.assert_array_equal(fine_tune(steps=5).run(store).arrays["logits_test"], one)
    assert not np.array_equal(fine_tune(steps=5, seed=1).run(store).arrays["logits_test"], one)
    after = store.load(pretrained).arrays
    assert all(np.array_equal(before[name], after[name]) for name in before)


@given(st.integers(0, 100), st.integers(1, 5))
def test_document_windows_lie_within_the_document(length, count):
    document = np.arange(1, length + 1, dtype=TOKEN)
    tokens, lengths = document_windows(document, count, CONTEXT, 0)
    assert 1 <= len(tokens) <= count and (tokens[:, 0] == 0).all()
    for row, size in zip(tokens, lengths, strict=True):
        inside = row[1:size]
        assert (np.diff(inside) == 1).all() and (row[size:] == 0).all()
    assert lengths.max() == min(length, CONTEXT - 1) + 1
    if count > 1 and length:
        assert tokens.max() == length  # the last window ends with the document


def test_pooling_does_not_see_the_padding():
    net = model()
    tokens, lengths = document_windows(np.arange(5, dtype=TOKEN), 1, CONTEXT, END)
    other = np.where(np.arange(CONTEXT) < lengths[:, None], tokens, 7)
    wide = np.concatenate([tokens, np.arange(CONTEXT)[None]])  # fixes the batch's length
    for pooling in ("mean", "last"):
        one = pool(net, wide, np.array([6, CONTEXT]), pooling)[0]
        two = pool(net, np.concatenate([other, wide[1:]]), np.array([6, CONTEXT]), pooling)[0]
        torch.testing.assert_close(one, two)
        with torch.no_grad():
            states = net.hidden(torch.from_numpy(tokens[:, :6]))[0]
        expected = states.mean(0) if pooling == "mean" else states[-1]
        torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-5)


def test_labels_that_are_not_there(store, tiny, pretrained):
    with pytest.raises(UserError, match="no column 'party'; it has place"):
        fine_tune(label="party").run(store)
    with pytest.raises(UserError, match="class 'field', not in classes"):
        fine_tune(classes=("sea", "sky")).run(store)
    with pytest.raises(ValidationError, match="keep its weights"):
        fine_tune(pretrained=language_model(keep_weights=False))


def test_given_labels_are_those_of_the_column(store, tiny, pretrained):
    names = dict(zip(tiny.ids.tolist(), tiny.labels["place"].tolist(), strict=True))
    given = tuple(tuple(names[i] for i in ids) for ids in (TRAIN, TEST))
    ours = fine_tune(label=None, labels=given, steps=5).run(store).arrays
    theirs = fine_tune(steps=5).run(store).arrays
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
    with pytest.raises(ValidationError, match="either label, a column"):
        fine_tune(labels=given)
    with pytest.raises(ValidationError, match="either label, a column"):
        fine_tune(label=None)
    with pytest.raises(ValidationError, match="a class for each document"):
        fine_tune(label=None, labels=(given[0], given[1][:-1]))
    with pytest.raises(ValidationError, match="hold 'field', which is not in classes"):
        fine_tune(label=None, labels=given, classes=("sea", "sky"))


# --- Choosing ---------------------------------------------------------------------------------


@given(st.integers(0, 1000), st.integers(1, 60))
def test_a_model_that_reads_no_question_is_right_in_one_of_four(seed, count):
    """A uniform model, and any whose score is the answer's alone."""
    rng = np.random.default_rng(seed)
    n_bytes = rng.integers(5, 60, (count, 4))
    uniform = np.full((count, 4, 4), 16 * math.log(VOCABULARY))
    any_other = np.broadcast_to(rng.gamma(3, 5, (count, 1, 4)), (count, 4, 4))
    for nats in (uniform, any_other):
        right, margin = choice_scores(nats, n_bytes)
        np.testing.assert_allclose(right.sum(1), 1)
        assert right.mean() == pytest.approx(0.25) and (margin.max(1) >= 0).all()


def test_choice_scores_by_hand():
    nats = math.log(2) * np.array([[[4, 8, 8, 8], [8, 6, 4, 8], [8, 8, 8, 9], [9, 9, 9, 1]]])
    right, margin = choice_scores(nats.astype(float), np.full((1, 4), 2))
    np.testing.assert_array_equal(right, [[1, 0, 1 / 3, 1]])
    np.testing.assert_allclose(margin, [[2, -1, 0, 4]])


@given(st.integers(0, 1000))
def test_fours_are_of_one_group_and_of_near_lengths(seed):
    rng = np.random.default_rng(seed)
    groups, n_bytes = rng.choice(["a", "b"], 50), rng.integers(5, 60, 50)
    fours = fours_of(groups, n_bytes)
    used = fours.ravel()
    assert len(set(used.tolist())) == len(used)
    assert all(len(set(groups[four])) == 1 for four in fours)
    for group in "ab":
        assert (groups == group).sum() - (groups[used] == group).sum() < 4
        spans = np.sort(n_bytes[fours[groups[fours[:, 0]] == group]], axis=1)
        assert (spans[1:, 0] >= spans[:-1, -1]).all()  # each four is a stretch of the lengths


@given(st.integers(0, 200), st.integers(1, 30), st.integers(1, 8))
def test_stretches_lie_apart_in_the_document(length, whole, places):
    starts = stretches(length, whole, places)
    assert len(starts) == min(places, length // whole)
    assert all(b - a >= whole for a, b in itertools.pairwise(starts))
    if starts:
        assert starts[0] == 0 and starts[-1] + whole <= length
    if len(starts) > 1:
        assert starts[-1] + whole == length


def test_further_places_ask_more_of_the_same_documents(store, tiny, pretrained):
    groups = tuple(tiny.domains.tolist())
    one, three = (
        ChoiceSpec(
            pretrained=pretrained,
            questions=(Questions(part=part(*IDS), groups=groups, places=places),),
            prompt=6,
            continuation=4,
        ).run(store)
        for places in (1, 3)
    )
    assert three.metrics["questions"] > one.metrics["questions"]
    ids, counts = np.unique(three.arrays["ids"], return_counts=True)
    assert counts.max() == 3 and set(ids.tolist()) <= set(IDS)
    named = dict(zip(IDS, groups, strict=True))
    for four, group in zip(three.arrays["ids"], three.arrays["groups"], strict=True):
        assert {named[i] for i in four.tolist()} == {group}


def test_choosing_by_likelihood(store, tiny, pretrained):
    groups = tuple(tiny.domains.tolist())
    spec = ChoiceSpec(
        pretrained=pretrained,
        questions=(Questions(part=part(*IDS), groups=groups),),
        prompt=8,
        continuation=6,
    )
    (result,) = run_text_tasks([spec], store=store)
    nats, ids = result.arrays["nats"], result.arrays["ids"]
    assert nats.shape == (len(ids), 4, 4) and (result.arrays["bytes"] > 0).all()
    # One entry by hand: question of document i, answer of document j.
    from dataworth.text.tokens import load_parts
    from dataworth.text.training import load_model

    i, j = load_parts(TOKENIZER, [part(int(ids[0, 1]), int(ids[0, 2]))], store)[0]
    line = np.concatenate([[END], i[:8], j[8:14]]).astype(np.int64)
    with torch.no_grad():
        logits = load_model(store.load(pretrained))(torch.from_numpy(line[None, :-1]))[0]
    expected = -logits.log_softmax(-1)[np.arange(8, 14), line[9:]].sum().item()
    assert nats[0, 1, 2] == pytest.approx(expected, rel=1e-4)
    right, margin = choice_scores(nats, result.arrays["bytes"])
    assert result.metrics["accuracy"] == right.mean() and result.metrics["margin"] == margin.mean()


def test_choices_that_cannot_be_made(store, tiny, pretrained):
    def spec(groups: str = "a" * len(TEST), **changes) -> ChoiceSpec:
        questions = (Questions(part=part(*TEST), groups=tuple(groups)),)
        settings = {"pretrained": pretrained, "questions": questions}
        return ChoiceSpec(**(settings | {"prompt": 8, "continuation": 8} | changes))

    with pytest.raises(ValidationError, match="are 17 tokens; the model's context is 16"):
        spec(prompt=9)
    with pytest.raises(ValidationError, match="one group for each"):
        spec(groups="a")
    with pytest.raises(UserError, match="no group has 4 documents of 16 tokens"):
        spec(groups="abcdefgh").run(store)


# --- Free text --------------------------------------------------------------------------------


def uniforms(prompts: int, samples: int = 5, length: int = 6) -> np.ndarray:
    return np.stack([prompt_uniforms(0, str(p), samples, length) for p in range(prompts)])


PROMPTS = [np.array([END, *range(n)], TOKEN) for n in (3, 1, 3)]


def test_samples_do_not_depend_on_the_batch():
    net, draws = model(), uniforms(3)
    whole = generate(net, PROMPTS, draws, end=END, top_k=40)
    for batch in (1, 4):
        again = generate(net, PROMPTS, draws, end=END, top_k=40, batch=batch)
        np.testing.assert_array_equal(again, whole)
    alone = generate(net, PROMPTS[1:2], draws[1:2], end=END, top_k=40)
    np.testing.assert_array_equal(alone[0], whole[1])


def test_sampling_is_of_the_models_top_k():
    """Frequencies of the first token against the renormalised probabilities of the k likeliest."""
    net = model()
    with torch.no_grad():
        net.embedding *= 20
        logits = net(torch.from_numpy(PROMPTS[0].astype(np.int64))[None])[0, -1].double()
    draws = np.random.default_rng(0).random((1, 4000, 1))
    tokens = generate(net, PROMPTS[:1], draws, end=END, top_k=3, temperature=2.0, batch=4000)
    best, index = logits.topk(3)
    expected = (best / 2).softmax(0).numpy()
    counts = np.bincount(tokens.ravel(), minlength=VOCABULARY)[index.numpy()]
    assert counts.sum() == 4000
    np.testing.assert_allclose(counts / 4000, expected, atol=4 * 0.5 / math.sqrt(4000))
    greedy = generate(net, PROMPTS[:1], draws[:, :5], end=END, top_k=1)
    assert (greedy == index[0].item()).all()


def test_text_ends_at_its_end():
    net = model()
    with torch.no_grad():  # every state points to the end of the text
        net.norm.zero_()
        net.embedding[:] = 0
    tokens = generate(net, PROMPTS[:1], np.zeros((1, 2, 6)), end=int(END), top_k=VOCABULARY)
    first = tokens[0, :, 0]
    ended = generate(net, PROMPTS[:1], np.zeros((1, 2, 6)), end=int(first[0]), top_k=VOCABULARY)
    assert (ended == first[0]).all()


def test_generation_runs_and_their_scores(store, tiny, pretrained):
    prompts = ("wave boat salt", "corn plough " * 30, "")
    spec = GenerationSpec(pretrained=pretrained, prompts=prompts, samples=4, length=6)
    (result,) = run_text_tasks([spec], store=store)
    assert result.arrays["tokens"].shape == (3, 4, 6)
    texts = generated_texts(result, store)
    assert [len(row) for row in texts] == [4, 4, 4]
    # A prompt's samples are its own, whatever stands beside it.
    alone = GenerationSpec(pretrained=pretrained, prompts=prompts[:1], samples=2, length=6)
    np.testing.assert_array_equal(
        alone.run(store).arrays["tokens"][0], result.arrays["tokens"][0, :2]
    )

    def scorer(found: list[str]) -> np.ndarray:
        return np.array([0.5 if "a" in text else 0.49 for text in found])

    share = toxic_share(toxicity_scores(result, scorer, store))
    np.testing.assert_allclose(share, [np.mean(["a" in t for t in row]) for row in texts])
    some = np.array([[0.2, np.nan, 0.7], [np.nan, np.nan, np.nan]])  # not scored is not harmless
    np.testing.assert_array_equal(toxic_share(some), [0.5, np.nan])
    with pytest.raises(ValidationError, match="length is 16"):
        GenerationSpec(pretrained=pretrained, prompts=prompts, length=16)
